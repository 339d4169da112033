/* Instances over conductor, and what hangs on them: mappings, caches, events, faults, consoles.
 *
 * Instance.save has rules of its own:
 * - conductor stores the three flavors as one text and would read from the database, over what we
 *   changed, those that are not sent: when one changed, all go.
 * - expected_task_state is only looked at when a column changes, and null means "no check" while a
 *   list may contain null.
 * - from Instance 2.8 on, a changed node needs compute_id in the change list. */
#include "services/conductor.h"
#include "services/conductor_priv.h"

#include <jansson.h>
#include <string.h>

/* Column sizes of nova's tables. */
#define FAULT_MESSAGE_BYTES 255

static const char *const instance_identity[] = {"id", "uuid", NULL};
static const char *const instance_identity_flavors[] = {"id",         "uuid",       "flavor",
                                                        "old_flavor", "new_flavor", NULL};

/* ---- saving ---- */

static bool flavors_changed(const Ovo *instance)
{
    return ovo_changed(instance, "flavor") || ovo_changed(instance, "old_flavor") ||
           ovo_changed(instance, "new_flavor");
}

static void compute_id_follows_node(Ovo *instance)
{
    if (!ovo_version_at_least(instance, 2, 8) || !ovo_changed(instance, "node"))
        return;
    if (!ovo_has(instance, "compute_id"))
        ovo_set_null(instance, "compute_id");
    ovo_mark_changed(instance, "compute_id");
}

static json_t *expected_states(const char *const *expected)
{
    json_t *list = json_array();

    for (size_t i = 0; expected[i]; i++)
        json_array_append_new(list, *expected[i] ? json_string(expected[i]) : json_null());
    return list;
}

bool conductor_instance_save(Conductor *con, const DvCtx *ctx, Ovo *instance,
                             const char *const *expected, GError **err)
{
    json_t *kwargs = json_object();
    const char *const *keep = instance_identity;

    if (expected) {
        json_object_set_new(kwargs, "expected_task_state", expected_states(expected));
        /* A check that was asked for is made, also when there is nothing new to write. */
        if (!ovo_any_changed(instance))
            ovo_mark_changed(instance, "task_state");
    }
    if (!ovo_any_changed(instance)) {
        json_decref(kwargs);
        return true;
    }
    compute_id_follows_node(instance);
    if (flavors_changed(instance))
        keep = instance_identity_flavors;
    return conductor_action(con, ctx, instance, ovo_save_json(instance, keep), "save", NULL, kwargs,
                            NULL, err);
}

bool conductor_instance_destroy(Conductor *con, const DvCtx *ctx, Ovo *instance, GError **err)
{
    return conductor_destroy(con, ctx, instance, err);
}

/* ---- getters ---- */

/* {"expected_attrs": [...]}; no attrs is an empty list: null would mean nova's default set. */
static json_t *attrs_kwargs(const char *const *attrs)
{
    json_t *list = json_array();

    for (size_t i = 0; attrs && attrs[i]; i++)
        json_array_append_new(list, json_string(attrs[i]));
    return json_pack("{so}", "expected_attrs", list);
}

bool conductor_instance_get(Conductor *con, const DvCtx *ctx, const char *uuid,
                            const char *const *attrs, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "Instance", "get_by_uuid", json_pack("[s]", uuid),
                         attrs_kwargs(attrs), "Instance", false, out, err);
}

bool conductor_instances_by_host(Conductor *con, const DvCtx *ctx, const char *host,
                                 const char *const *attrs, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "InstanceList", "get_by_host", json_pack("[s]", host),
                         attrs_kwargs(attrs), "InstanceList", false, out, err);
}

bool conductor_instances_by_host_and_node(Conductor *con, const DvCtx *ctx, const char *host,
                                          const char *node, const char *const *attrs, Ovo **out,
                                          GError **err)
{
    return conductor_get(con, ctx, "InstanceList", "get_by_host_and_node",
                         json_pack("[ss]", host, node), attrs_kwargs(attrs), "InstanceList", false,
                         out, err);
}

bool conductor_instances_by_filters(Conductor *con, const DvCtx *ctx, const Ovo *filters,
                                    const char *const *attrs, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "InstanceList", "get_by_filters",
                         json_pack("[o]", ovo_json(filters)), attrs_kwargs(attrs), "InstanceList",
                         false, out, err);
}

bool conductor_instances_active(Conductor *con, const DvCtx *ctx, int64_t begin_ms, int64_t end_ms,
                                const char *host, const char *const *attrs, Ovo **out, GError **err)
{
    g_autofree char *begin = dv_time_object(begin_ms);
    g_autofree char *end = dv_time_object(end_ms);
    json_t *list = json_array();

    for (size_t i = 0; attrs && attrs[i]; i++)
        json_array_append_new(list, json_string(attrs[i]));
    return conductor_get(con, ctx, "InstanceList", "_get_active_by_window_joined",
                         json_pack("[ssnso]", begin, end, host, list),
                         json_pack("{sb sn sn}", "use_slave", 1, "limit", "marker"), "InstanceList",
                         false, out, err);
}

bool conductor_instance_uuids_by_host(Conductor *con, const DvCtx *ctx, const char *host,
                                      char ***out, GError **err)
{
    g_autoptr(GPtrArray) uuids = g_ptr_array_new_with_free_func(g_free);
    json_auto_t *result = NULL;
    json_t *item;
    size_t i;

    if (!conductor_class_action(con, ctx, "InstanceList", "get_uuids_by_host",
                                json_pack("[s]", host), NULL, &result, err))
        return false;
    if (!json_is_array(result))
        return dv_fail(err, DV_E_BAD_INPUT, "conductor: get_uuids_by_host: the answer is no list");
    json_array_foreach(result, i, item)
    {
        if (!json_is_string(item))
            return dv_fail(err, DV_E_BAD_INPUT, "conductor: get_uuids_by_host: %zu is no string",
                           i);
        g_ptr_array_add(uuids, g_strdup(json_string_value(item)));
    }
    g_ptr_array_add(uuids, NULL);
    *out = (char **)g_ptr_array_steal(uuids, NULL);
    return true;
}

bool conductor_bdms_get(Conductor *con, const DvCtx *ctx, const char *instance_uuid, Ovo **out,
                        GError **err)
{
    return conductor_get(con, ctx, "BlockDeviceMappingList", "get_by_instance_uuid",
                         json_pack("[s]", instance_uuid), NULL, "BlockDeviceMappingList", false,
                         out, err);
}

bool conductor_group_of_instance(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                 Ovo **out, GError **err)
{
    GError *why = NULL;

    if (conductor_get(con, ctx, "InstanceGroup", "get_by_instance_uuid",
                      json_pack("[s]", instance_uuid), NULL, "InstanceGroup", false, out, &why))
        return true;
    if (conductor_forgive(&why, DV_E_NOT_FOUND)) {
        *out = NULL;
        return true;
    }
    g_propagate_error(err, why);
    return false;
}

/* ---- network ---- */

bool conductor_info_cache_save(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                               const char *network_info, GError **err)
{
    g_autoptr(Ovo) cache = conductor_object_new(con, "InstanceInfoCache");

    ovo_set_str(cache, "instance_uuid", instance_uuid);
    ovo_set_str(cache, "network_info", network_info);
    return conductor_save(con, ctx, cache, err);
}

bool conductor_vif_create(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                          const char *port_id, const char *address, const char *tag, GError **err)
{
    g_autoptr(Ovo) vif = conductor_object_new(con, "VirtualInterface");
    /* nova makes the address unique by the port: several networks may know the same MAC. */
    g_autofree char *unique = g_strdup_printf("%s/%s", address, port_id);

    ovo_set_str(vif, "address", unique);
    ovo_set_str(vif, "instance_uuid", instance_uuid);
    ovo_set_str(vif, "uuid", port_id);
    ovo_set_str(vif, "tag", tag);
    return conductor_create(con, ctx, vif, err);
}

bool conductor_vifs_get(Conductor *con, const DvCtx *ctx, const char *instance_uuid, Ovo **out,
                        GError **err)
{
    return conductor_get(con, ctx, "VirtualInterfaceList", "get_by_instance_uuid",
                         json_pack("[s]", instance_uuid), NULL, "VirtualInterfaceList", false, out,
                         err);
}

bool conductor_vif_delete(Conductor *con, const DvCtx *ctx, const char *port_id, GError **err)
{
    g_autoptr(Ovo) vif = NULL;

    if (!conductor_get(con, ctx, "VirtualInterface", "get_by_uuid", json_pack("[s]", port_id), NULL,
                       "VirtualInterface", true, &vif, err))
        return false;
    return !vif || conductor_destroy(con, ctx, vif, err);
}

bool conductor_vifs_delete(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                           GError **err)
{
    return conductor_class_action(con, ctx, "VirtualInterface", "delete_by_instance_uuid",
                                  json_pack("[s]", instance_uuid), NULL, NULL, err);
}

/* ---- events, faults ---- */

bool conductor_event_start(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                           const char *event, const char *host, GError **err)
{
    return conductor_class_action(con, ctx, "InstanceActionEvent", "event_start",
                                  json_pack("[ss]", instance_uuid, event),
                                  json_pack("{sb ss}", "want_result", 0, "host", host), NULL, err);
}

bool conductor_event_finish(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                            const char *event, const char *exc_val, const char *exc_tb,
                            GError **err)
{
    json_t *kwargs = json_pack("{so so sb}", "exc_val", ovo_value_str(exc_val), "exc_tb",
                               ovo_value_str(exc_tb), "want_result", 0);

    return conductor_class_action(con, ctx, "InstanceActionEvent", "event_finish_with_failure",
                                  json_pack("[ss]", instance_uuid, event), kwargs, NULL, err);
}

bool conductor_action_start(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                            const char *action, GError **err)
{
    return conductor_class_action(con, ctx, "InstanceAction", "action_start",
                                  json_pack("[ss]", instance_uuid, action),
                                  json_pack("{sb}", "want_result", 0), NULL, err);
}

/* At most `bytes` of text, whole characters. Caller frees. */
static char *truncated(const char *text, size_t bytes)
{
    g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);
    const char *end = valid;

    while (*end && (size_t)(g_utf8_next_char(end) - valid) <= bytes)
        end = g_utf8_next_char(end);
    return g_strndup(valid, (size_t)(end - valid));
}

bool conductor_fault_create(Conductor *con, const DvCtx *ctx, const char *instance_uuid, int code,
                            const char *message, const char *details, const char *host,
                            GError **err)
{
    g_autoptr(Ovo) fault = conductor_object_new(con, "InstanceFault");
    g_autofree char *fits = truncated(message, FAULT_MESSAGE_BYTES);

    ovo_set_str(fault, "instance_uuid", instance_uuid);
    ovo_set_i64(fault, "code", code);
    ovo_set_str(fault, "message", fits);
    ovo_set_str(fault, "details", details ? details : "");
    ovo_set_str(fault, "host", host);
    return conductor_create(con, ctx, fault, err);
}

/* ---- consoles ---- */

bool conductor_console_authorize(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                 const char *console_type, const char *host, int port,
                                 const char *path, const char *access_url_base, int64_t ttl_s,
                                 char **out_token, GError **err)
{
    g_autoptr(Ovo) token = conductor_object_new(con, "ConsoleAuthToken");
    json_auto_t *result = NULL;

    ovo_set_str(token, "console_type", console_type);
    ovo_set_str(token, "host", host);
    ovo_set_i64(token, "port", port);
    ovo_set_str(token, "internal_access_path", path);
    ovo_set_str(token, "instance_uuid", instance_uuid);
    ovo_set_str(token, "access_url_base", access_url_base);
    if (!conductor_object_action(con, ctx, token, "authorize", json_pack("[I]", (json_int_t)ttl_s),
                                 NULL, &result, err))
        return false;
    if (!json_is_string(result))
        return dv_fail(err, DV_E_BAD_INPUT, "conductor: authorize: the answer is no token");
    *out_token = g_strdup(json_string_value(result));
    return true;
}

bool conductor_console_clean(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                             GError **err)
{
    return conductor_class_action(con, ctx, "ConsoleAuthToken", "clean_console_auths_for_instance",
                                  json_pack("[s]", instance_uuid), NULL, NULL, err);
}

bool conductor_console_clean_expired(Conductor *con, const DvCtx *ctx, GError **err)
{
    return conductor_class_action(con, ctx, "ConsoleAuthToken", "clean_expired_console_auths", NULL,
                                  NULL, NULL, err);
}
