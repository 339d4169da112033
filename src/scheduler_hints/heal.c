/* Stale allocations: what placement books on this host for instances that are gone.
 *
 * An instance deleted while its host was down leaves its allocation behind. Only an instance that
 * the database knows as deleted loses it here; all doubtful cases are left alone, because the
 * scheduler writes the allocation before the instance arrives and moves keep one on both hosts.
 * Sources    nova compute/resource_tracker.py _remove_deleted_instances_allocations (Zed). */
#include "scheduler_hints/hint_priv.h"

#include "util/log.h"

static GHashTable *migration_uuids(const Ovo *migrations)
{
    GHashTable *uuids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (size_t i = 0; i < ovo_count(migrations, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(migrations, NULL, i);
        const char *uuid = migration ? ovo_str_or(migration, "uuid", NULL) : NULL;

        if (uuid)
            g_hash_table_add(uuids, g_strdup(uuid));
    }
    return uuids;
}

static bool is_tracked(Tracker *tracker, const char *uuid)
{
    bool found;

    dv_lock(&tracker->lock);
    found = hint_book_find(&tracker->book, uuid) != NULL;
    dv_unlock(&tracker->lock);
    return found;
}

static void report_alive(Tracker *tracker, const DvCtx *ctx, const char *uuid, const Ovo *instance)
{
    const char *host = ovo_str_or(instance, "host", "");
    const char *task = ovo_str_or(instance, "task_state", NULL);

    if (!*host)
        dv_debug(ctx, "instance %s is still on its way here: its allocation stays", uuid);
    else if (!g_str_equal(host, tracker->config.host))
        dv_warning(ctx, "instance %s is on host %s and still has an allocation here", uuid, host);
    else if (task)
        dv_debug(ctx, "instance %s in task %s is not tracked here: its allocation stays", uuid,
                 task);
    else
        dv_warning(ctx, "instance %s has an allocation here but is not tracked: leaving it", uuid);
}

static void heal_one(Tracker *tracker, const DvCtx *ctx, const char *uuid, GHashTable *by_uuid)
{
    static const char *const no_attrs[] = {NULL};
    g_autoptr(DvCtx) deleted = dv_ctx_with_read_deleted(ctx, "yes");
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(GError) why = NULL;
    Ovo *here = g_hash_table_lookup(by_uuid, uuid);
    bool existed;

    if (here)
        instance = ovo_ref(here);
    else if (!conductor_instance_get(tracker->con, deleted, uuid, no_attrs, &instance, &why)) {
        if (dv_is(why, DV_E_INSTANCE_NOT_FOUND))
            dv_info(ctx, "consumer %s of an allocation here is not in the database (yet)", uuid);
        else
            dv_warning(ctx, "allocation of %s not checked: %s", uuid, why->message);
        return;
    }
    /* A hidden one is half of a move between cells, which cleans up itself. */
    if (!ovo_bool_or(instance, "deleted", false) || ovo_bool_or(instance, "hidden", false)) {
        report_alive(tracker, ctx, uuid, instance);
        return;
    }
    if (!tracker->placement->allocations_delete(tracker->placement_self, ctx, uuid, &existed, &why))
        dv_warning(ctx, "allocation of deleted instance %s: %s", uuid, why->message);
    else
        dv_info(ctx, "removed the allocation that deleted instance %s had left here", uuid);
}

void hint_heal_allocations(Tracker *tracker, const DvCtx *ctx, const char *provider_uuid,
                           const Ovo *migrations, GHashTable *by_uuid)
{
    g_autoptr(GHashTable) moving = migration_uuids(migrations);
    g_autoptr(GPtrArray) consumers = NULL;
    g_autoptr(GError) why = NULL;

    if (!tracker->placement->consumers_of(tracker->placement_self, ctx, provider_uuid, &consumers,
                                          &why)) {
        dv_warning(ctx, "stale allocations not looked for: %s", why->message);
        return;
    }
    for (guint i = 0; consumers && i < consumers->len; i++) {
        const char *uuid = consumers->pdata[i];

        if (!is_tracked(tracker, uuid) && !g_hash_table_contains(moving, uuid))
            heal_one(tracker, ctx, uuid, by_uuid);
    }
}
