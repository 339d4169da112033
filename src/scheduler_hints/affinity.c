/* The server group's policy, checked once more where the truth is.
 *
 * The scheduler decides from what it saw some moments ago; two members of a group that are
 * scheduled at the same time can both end up here. The claim has been saved when this runs, so that
 * of two racing members at least one sees the other. Sources    nova compute/manager.py
 * _validate_instance_group_policy (Zed). */
#include "scheduler_hints/hint_priv.h"

#include <string.h>

/* The `group` scheduler hint: a list of one, or a bare string. NULL: none. Borrowed. */
static const char *hint_of(const Ovo *hints)
{
    const char *hint = ovo_str_at(hints, "group", 0);

    return hint ? hint : ovo_str_or(hints, "group", NULL);
}

static bool is_group_missing(const GError *why)
{
    return dv_is(why, DV_E_NOT_FOUND) || strstr(why->message, "InstanceGroupNotFound");
}

/* *out stays NULL when there is no such group. */
static bool group_by_hint(Tracker *tracker, const DvCtx *ctx, const char *hint, Ovo **out,
                          GError **err)
{
    bool by_uuid = g_uuid_string_is_valid(hint);
    g_autoptr(Ovo) kwargs = ovo_new_dict();
    g_autoptr(GError) why = NULL;
    json_t *result = NULL;

    ovo_set_str(kwargs, by_uuid ? "uuid" : "name", hint);
    if (!conductor_class_action(tracker->con, ctx, "InstanceGroup",
                                by_uuid ? "get_by_uuid" : "get_by_name", NULL, ovo_json(kwargs),
                                &result, &why)) {
        if (is_group_missing(why))
            return true;
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    *out = ovo_take(result, "InstanceGroup", err);
    return *out != NULL;
}

/* ---- anti-affinity ---- */

/* Everything that is or will be on this host: instances, migrations under way, claims. */
static bool add_present(Tracker *tracker, const DvCtx *ctx, GHashTable *present, GError **err)
{
    g_autofree char *node = tracker_node(tracker);
    g_auto(GStrv) tracked = tracker_instances(tracker);
    g_auto(GStrv) uuids = NULL;
    g_autoptr(Ovo) migrations = NULL;

    if (!conductor_instance_uuids_by_host(tracker->con, ctx, tracker->config.host, &uuids, err) ||
        !conductor_migrations_in_progress(tracker->con, ctx, tracker->config.host, node ? node : "",
                                          &migrations, err))
        return false;
    for (size_t i = 0; uuids && uuids[i]; i++)
        g_hash_table_add(present, g_strdup(uuids[i]));
    for (size_t i = 0; tracked[i]; i++)
        g_hash_table_add(present, g_strdup(tracked[i]));
    for (size_t i = 0; i < ovo_count(migrations, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(migrations, NULL, i);
        const char *uuid = migration ? ovo_str_or(migration, "instance_uuid", NULL) : NULL;

        if (uuid)
            g_hash_table_add(present, g_strdup(uuid));
    }
    return true;
}

/* rules is a dict of strings or of numbers, by the caller's microversion. */
static int64_t most_per_host(const Ovo *group)
{
    g_autoptr(Ovo) rules = ovo_child(group, "_rules");

    if (!rules)
        rules = ovo_child(group, "rules");
    return rules ? ovo_i64_or(rules, "max_server_per_host", 1) : 1;
}

static bool check_anti_affinity(Tracker *tracker, const DvCtx *ctx, const char *uuid,
                                const Ovo *group, GError **err)
{
    g_autoptr(GHashTable) present = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    int64_t most = most_per_host(group);
    int64_t here = 0;
    const char *member;

    if (!add_present(tracker, ctx, present, err))
        return false;
    for (size_t i = 0; (member = ovo_str_at(group, "members", i)) != NULL; i++)
        if (strcmp(member, uuid) != 0 && g_hash_table_contains(present, member))
            here++;
    if (here < most)
        return true;
    return dv_fail(err, DV_E_AFFINITY,
                   "Anti-affinity instance group policy was violated: %d other members of group %s "
                   "are on this host, allowed per host: %d",
                   (int)here, ovo_str_or(group, "uuid", "?"), (int)most);
}

/* ---- affinity ---- */

static bool check_affinity(Tracker *tracker, const DvCtx *ctx, const char *uuid, Ovo *group,
                           GError **err)
{
    const char *const exclude[] = {uuid, NULL};
    g_autoptr(Ovo) kwargs = ovo_new_dict();
    g_autoptr(Ovo) answer = ovo_new_dict();
    json_t *result = NULL;
    const char *host;

    ovo_set_strv(kwargs, "exclude", exclude);
    if (!conductor_object_action(tracker->con, ctx, group, "get_hosts", NULL, ovo_json(kwargs),
                                 &result, err))
        return false;
    ovo_set_json(answer, "hosts", result);
    for (size_t i = 0; (host = ovo_str_at(answer, "hosts", i)) != NULL; i++)
        if (strcmp(host, tracker->config.host) == 0)
            return true;
    if (ovo_count(answer, "hosts") == 0)
        return true;
    return dv_fail(err, DV_E_AFFINITY,
                   "Affinity instance group policy was violated: group %s is on host %s",
                   ovo_str_or(group, "uuid", "?"), ovo_str_at(answer, "hosts", 0));
}

static bool check_policy(Tracker *tracker, const DvCtx *ctx, const char *uuid, Ovo *group,
                         GError **err)
{
    const char *policy = ovo_str_or(group, "policy", "");

    if (strcmp(policy, "anti-affinity") == 0)
        return check_anti_affinity(tracker, ctx, uuid, group, err);
    if (strcmp(policy, "affinity") == 0)
        return check_affinity(tracker, ctx, uuid, group, err);
    return true;
}

bool tracker_check_group(Tracker *tracker, const DvCtx *ctx, const Ovo *instance, bool *out_grouped,
                         GError **err)
{
    g_autoptr(Ovo) group = NULL;
    const char *uuid;

    *out_grouped = false;
    if (tracker->config.disable_group_policy_check)
        return true;
    if (!ovo_str(instance, "uuid", &uuid, err))
        return false;
    if (!conductor_group_of_instance(tracker->con, ctx, uuid, &group, err))
        return dv_within(err, "server group of instance %s", uuid);
    *out_grouped = group != NULL;
    return !group || check_policy(tracker, ctx, uuid, group, err);
}

bool tracker_check_affinity(Tracker *tracker, const DvCtx *ctx, const Ovo *instance,
                            const Ovo *request_spec, GError **err)
{
    g_autoptr(Ovo) hints = request_spec ? ovo_child(request_spec, "scheduler_hints") : NULL;
    g_autoptr(Ovo) group = NULL;
    const char *hint = hints ? hint_of(hints) : NULL;
    const char *uuid;

    bool grouped;

    if (!request_spec)
        return tracker_check_group(tracker, ctx, instance, &grouped, err);
    if (tracker->config.disable_group_policy_check || !hint)
        return true;
    if (!ovo_str(instance, "uuid", &uuid, err))
        return false;
    if (!group_by_hint(tracker, ctx, hint, &group, err))
        return dv_within(err, "server group of instance %s", uuid);
    return !group || check_policy(tracker, ctx, uuid, group, err);
}
