/* The conductor client: the two general calls, and the records of this host; see conductor.h.
 * What belongs to an instance is in conductor_instance.c.
 *
 * A save sends only the identity of the object and what changed. conductor rebuilds an object from
 * that, writes the changed columns and answers with every field that is set afterwards and was not
 * before; its save methods read nothing but the fields named in `identities`. Classes that are not
 * in the table are sent whole. */
#include "services/conductor.h"
#include "services/conductor_priv.h"

#include "services/remote_errors.h"

#include <jansson.h>
#include <stdatomic.h>
#include <string.h>

#define TOPIC "conductor"
#define VERSION "3.0"

struct Conductor {
    ConductorTransport transport; /* [const] */
    atomic_int release;           /* [atomic] NovaRelease */
    _Atomic uint64_t calls;       /* [atomic] */
    atomic_bool silent;           /* [atomic] the last call had no answer */
};

/* What a save method on conductor's side reads besides the changes; NULL: everything. */
typedef struct Identity {
    const char *name;
    const char *fields[8];
} Identity;

static const Identity identities[] = {
    /* clang-format off */
    {"BlockDeviceMapping", {"id", "uuid", "instance_uuid", NULL}},
    {"ComputeNode",        {"id", "uuid", "host", NULL}},
    {"InstanceInfoCache",  {"instance_uuid", NULL}},
    {"Migration",          {"id", "uuid", "instance_uuid", NULL}},
    {"PciDevice",          {"id", "uuid", "compute_node_id", "address", "status", NULL}},
    /* clang-format on */
};

static const RpcTarget manager = {.topic = TOPIC, .version = VERSION};
static const RpcTarget base_api = {.topic = TOPIC, .namespace_ = "baseapi", .version = "1.0"};
static const RpcTarget task_api = {.topic = TOPIC, .namespace_ = "compute_task", .version = "1.19"};

/* ---- life ---- */

Conductor *conductor_new_with(const ConductorTransport *transport, NovaRelease release)
{
    Conductor *con = g_new0(Conductor, 1);

    con->transport = *transport;
    atomic_init(&con->release, (int)release);
    atomic_init(&con->calls, 0);
    atomic_init(&con->silent, false);
    return con;
}

void conductor_free(Conductor *con)
{
    g_free(con);
}

void conductor_set_release(Conductor *con, NovaRelease release)
{
    atomic_store(&con->release, (int)release);
}

NovaRelease conductor_release(const Conductor *con)
{
    return (NovaRelease)atomic_load(&con->release);
}

uint64_t conductor_calls(const Conductor *con)
{
    return atomic_load(&con->calls);
}

bool conductor_silent(const Conductor *con)
{
    return atomic_load(&con->silent);
}

/* ---- the general forms ---- */

/* One call; a remote exception becomes the code of its class. args is stolen. */
static bool conductor_call(Conductor *con, const DvCtx *ctx, const RpcTarget *target,
                           const char *method, json_t *args, int64_t timeout_ms, json_t **out,
                           GError **err)
{
    g_auto(RpcRemote) remote = {0};
    g_autoptr(GError) why = NULL;

    bool ok;

    atomic_fetch_add(&con->calls, 1);
    ok = con->transport.call(con->transport.self, ctx, target, method, args, timeout_ms, out,
                             &remote, &why);
    if (!dv_is(why, DV_E_CANCELLED))
        atomic_store(&con->silent, dv_is(why, DV_E_TIMEOUT) || dv_is(why, DV_E_UNAVAILABLE));
    if (ok)
        return true;
    if (dv_is(why, DV_E_REMOTE))
        return remote_fail(err, &remote);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

static json_t *or_empty(json_t *value, json_t *(*make)(void))
{
    return value ? value : make();
}

bool conductor_class_action(Conductor *con, const DvCtx *ctx, const char *objname,
                            const char *objmethod, json_t *args, json_t *kwargs,
                            json_t **out_result, GError **err)
{
    json_t *manifest = ovo_manifest(conductor_release(con), objname);
    json_t *call;

    if (!manifest) {
        json_decref(args);
        json_decref(kwargs);
        return dv_fail(err, DV_E_INTERNAL, "no manifest for %s", objname);
    }
    call = json_pack("{ss ss so so so}", "objname", objname, "objmethod", objmethod,
                     "object_versions", manifest, "args", or_empty(args, json_array), "kwargs",
                     or_empty(kwargs, json_object));
    if (!conductor_call(con, ctx, &manager, "object_class_action_versions", call, 0, out_result,
                        err))
        return dv_within(err, "conductor: %s.%s", objname, objmethod);
    return true;
}

/* The answer [updates, result]; borrows answer. */
static bool action_answer(Ovo *obj, json_t *answer, json_t **out_result, GError **err)
{
    if (json_array_size(answer) != 2)
        return dv_fail(err, DV_E_BAD_INPUT, "the answer is no pair");
    if (!ovo_apply_updates(obj, json_array_get(answer, 0), err))
        return false;
    if (out_result)
        *out_result = json_incref(json_array_get(answer, 1));
    return true;
}

bool conductor_action(Conductor *con, const DvCtx *ctx, Ovo *obj, json_t *primitive,
                      const char *objmethod, json_t *args, json_t *kwargs, json_t **out_result,
                      GError **err)
{
    json_auto_t *answer = NULL;
    json_t *call = json_pack("{so ss so so}", "objinst", primitive, "objmethod", objmethod, "args",
                             or_empty(args, json_array), "kwargs", or_empty(kwargs, json_object));

    if (!conductor_call(con, ctx, &manager, "object_action", call, 0, &answer, err) ||
        !action_answer(obj, answer, out_result, err))
        return dv_within(err, "conductor: %s.%s", ovo_name(obj), objmethod);
    return true;
}

bool conductor_object_action(Conductor *con, const DvCtx *ctx, Ovo *obj, const char *objmethod,
                             json_t *args, json_t *kwargs, json_t **out_result, GError **err)
{
    return conductor_action(con, ctx, obj, ovo_json(obj), objmethod, args, kwargs, out_result, err);
}

Ovo *conductor_object_new(Conductor *con, const char *name)
{
    const char *version = ovo_version_of(conductor_release(con), name);

    g_assert(version);
    return ovo_new(name, version);
}

bool conductor_forgive(GError **err, DvErrorCode code)
{
    if (!dv_is(*err, code))
        return false;
    g_clear_error(err);
    return true;
}

bool conductor_get(Conductor *con, const DvCtx *ctx, const char *objname, const char *objmethod,
                   json_t *args, json_t *kwargs, const char *want, bool nullable, Ovo **out,
                   GError **err)
{
    json_t *result = NULL;
    Ovo *ovo;

    if (!conductor_class_action(con, ctx, objname, objmethod, args, kwargs, &result, err))
        return false;
    if (nullable && json_is_null(result)) {
        json_decref(result);
        *out = NULL;
        return true;
    }
    ovo = ovo_take(result, want, err);
    if (!ovo)
        return dv_within(err, "conductor: %s.%s", objname, objmethod);
    *out = ovo;
    return true;
}

/* ---- start-up, service ---- */

bool conductor_ping(Conductor *con, const DvCtx *ctx, int64_t timeout_ms, GError **err)
{
    json_auto_t *answer = NULL;

    if (!conductor_call(con, ctx, &base_api, "ping", json_pack("{ss}", "arg", "drover"), timeout_ms,
                        &answer, err))
        return dv_within(err, "conductor: ping");
    if (!json_is_object(answer))
        return dv_fail(err, DV_E_BAD_INPUT, "conductor: ping: the answer is no dict");
    return true;
}

bool conductor_minimum_version(Conductor *con, const DvCtx *ctx, const char *binary, int *out,
                               GError **err)
{
    json_auto_t *result = NULL;
    json_int_t version;

    if (!conductor_class_action(con, ctx, "Service", "get_minimum_version",
                                json_pack("[s]", binary), NULL, &result, err))
        return false;
    version = json_integer_value(result);
    if (!json_is_integer(result) || version < 0 || version > G_MAXINT)
        return dv_fail(err, DV_E_BAD_INPUT,
                       "conductor: Service.get_minimum_version: the answer is no version");
    *out = (int)version;
    return true;
}

bool conductor_service_get(Conductor *con, const DvCtx *ctx, const char *host, const char *binary,
                           Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "Service", "get_by_host_and_binary",
                         json_pack("[ss]", host, binary), NULL, "Service", true, out, err);
}

/* ---- any object ---- */

bool conductor_create(Conductor *con, const DvCtx *ctx, Ovo *obj, GError **err)
{
    return conductor_object_action(con, ctx, obj, "create", NULL, NULL, NULL, err);
}

static json_t *save_primitive(const Ovo *obj)
{
    for (size_t i = 0; i < G_N_ELEMENTS(identities); i++)
        if (g_strcmp0(identities[i].name, ovo_name(obj)) == 0)
            return ovo_save_json(obj, identities[i].fields);
    return ovo_json(obj);
}

bool conductor_save(Conductor *con, const DvCtx *ctx, Ovo *obj, GError **err)
{
    if (g_strcmp0(ovo_name(obj), "Instance") == 0)
        return conductor_instance_save(con, ctx, obj, NULL, err);
    if (!ovo_any_changed(obj))
        return true;
    return conductor_action(con, ctx, obj, save_primitive(obj), "save", NULL, NULL, NULL, err);
}

bool conductor_destroy(Conductor *con, const DvCtx *ctx, Ovo *obj, GError **err)
{
    return conductor_object_action(con, ctx, obj, "destroy", NULL, NULL, NULL, err);
}

/* ---- host ---- */

bool conductor_compute_nodes_by_host(Conductor *con, const DvCtx *ctx, const char *host, Ovo **out,
                                     GError **err)
{
    return conductor_get(con, ctx, "ComputeNodeList", "get_all_by_host", json_pack("[s]", host),
                         json_pack("{sb}", "use_slave", 1), "ComputeNodeList", false, out, err);
}

bool conductor_compute_node_get(Conductor *con, const DvCtx *ctx, const char *host,
                                const char *node, Ovo **out, GError **err)
{
    GError *why = NULL;
    bool ok = conductor_get(con, ctx, "ComputeNode", "get_by_host_and_nodename",
                            json_pack("[ss]", host, node), NULL, "ComputeNode", false, out, &why);

    if (ok)
        return true;
    if (conductor_forgive(&why, DV_E_HOST_NOT_FOUND)) {
        *out = NULL;
        return true;
    }
    g_propagate_error(err, why);
    return false;
}

bool conductor_compute_node_of(Conductor *con, const DvCtx *ctx, const char *host, Ovo **out,
                               GError **err)
{
    return conductor_get(con, ctx, "ComputeNode", "get_first_node_by_host_for_old_compat",
                         json_pack("[s]", host), NULL, "ComputeNode", false, out, err);
}

bool conductor_pci_devices(Conductor *con, const DvCtx *ctx, int64_t compute_node_id, Ovo **out,
                           GError **err)
{
    return conductor_get(con, ctx, "PciDeviceList", "get_by_compute_node",
                         json_pack("[I]", (json_int_t)compute_node_id), NULL, "PciDeviceList",
                         false, out, err);
}

bool conductor_migrations_in_progress_and_error(Conductor *con, const DvCtx *ctx, const char *host,
                                                const char *node, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "MigrationList", "get_in_progress_and_error",
                         json_pack("[ss]", host, node), NULL, "MigrationList", false, out, err);
}

bool conductor_migrations_in_progress(Conductor *con, const DvCtx *ctx, const char *host,
                                      const char *node, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "MigrationList", "get_in_progress_by_host_and_node",
                         json_pack("[ss]", host, node), NULL, "MigrationList", false, out, err);
}

bool conductor_migration_by_status(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                   const char *status, Ovo **out, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (conductor_get(con, ctx, "Migration", "get_by_instance_and_status",
                      json_pack("[ss]", instance_uuid, status), NULL, "Migration", true, out,
                      &cause))
        return true;
    if (dv_is(cause, DV_E_NOT_FOUND)) {
        *out = NULL;
        return true;
    }
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

bool conductor_migrations_by_filters(Conductor *con, const DvCtx *ctx, const Ovo *filters,
                                     Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "MigrationList", "get_by_filters",
                         json_pack("[o]", ovo_json(filters)), NULL, "MigrationList", false, out,
                         err);
}

bool conductor_migration_newest(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                Ovo **out, GError **err)
{
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;
    int64_t newest = -1;

    ovo_set_str(filters, "instance_uuid", instance_uuid);
    if (!conductor_migrations_by_filters(con, ctx, filters, &list, err))
        return false;
    *out = NULL;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(list, NULL, i);
        int64_t id = migration ? ovo_i64_or(migration, "id", -1) : -1;

        if (id <= newest)
            continue;
        newest = id;
        ovo_unref(*out);
        *out = g_steal_pointer(&migration);
    }
    return true;
}

bool conductor_migration_get(Conductor *con, const DvCtx *ctx, int64_t id, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "Migration", "get_by_id", json_pack("[I]", (json_int_t)id), NULL,
                         "Migration", false, out, err);
}

bool conductor_evacuations_from(Conductor *con, const DvCtx *ctx, const char *host, Ovo **out,
                                GError **err)
{
    /* The instance of an evacuation may be deleted by now. */
    g_autoptr(DvCtx) all = dv_ctx_with_read_deleted(ctx, "yes");
    json_t *filters = json_pack("{ss s[sss] ss}", "source_compute", host, "status", "accepted",
                                "pre-migrating", "done", "migration_type", "evacuation");

    return conductor_get(con, all, "MigrationList", "get_by_filters", json_pack("[o]", filters),
                         NULL, "MigrationList", false, out, err);
}

bool conductor_unconfirmed_resizes(Conductor *con, const DvCtx *ctx, int64_t older_than_s,
                                   const char *host, Ovo **out, GError **err)
{
    return conductor_get(con, ctx, "MigrationList", "get_unconfirmed_by_dest_compute",
                         json_pack("[Is]", (json_int_t)older_than_s, host),
                         json_pack("{sb}", "use_slave", 1), "MigrationList", false, out, err);
}

/* ---- periodic tasks ---- */

bool conductor_task_log_get(Conductor *con, const DvCtx *ctx, const char *task_name,
                            int64_t begin_ms, int64_t end_ms, const char *host, Ovo **out,
                            GError **err)
{
    /* arguments that are times travel in the form of contexts, fields in that of objects */
    g_autofree char *begin = dv_time_context(begin_ms);
    g_autofree char *end = dv_time_context(end_ms);

    return conductor_get(con, ctx, "TaskLog", "get",
                         json_pack("[ssss]", task_name, begin, end, host), NULL, "TaskLog", true,
                         out, err);
}

bool conductor_task_log_begin(Conductor *con, const DvCtx *ctx, Ovo *log, GError **err)
{
    return conductor_object_action(con, ctx, log, "begin_task", NULL, NULL, NULL, err);
}

bool conductor_task_log_end(Conductor *con, const DvCtx *ctx, Ovo *log, GError **err)
{
    return conductor_object_action(con, ctx, log, "end_task", NULL, NULL, NULL, err);
}

/* ---- compute_task ---- */

#define MIGRATE_SERVER_TIMEOUT_MS (1800 * 1000) /* nova's long_rpc_timeout */

/* Arguments that pass unchanged from build_and_run_instance to build_instances. */
static const char *const build_passed[] = {
    "image",          "filter_properties",  "admin_password",
    "injected_files", "requested_networks", "security_groups",
    "request_spec",
};

bool conductor_build_instances(Conductor *con, const DvCtx *ctx, const Ovo *args, GError **err)
{
    json_auto_t *received = ovo_json(args);
    json_t *sent = json_object();

    for (size_t i = 0; i < G_N_ELEMENTS(build_passed); i++) {
        json_t *value = json_object_get(received, build_passed[i]);

        json_object_set_new(sent, build_passed[i], value ? json_incref(value) : json_null());
    }
    json_object_set_new(sent, "instances", json_pack("[O]", json_object_get(received, "instance")));
    json_object_set_new(sent, "host_lists",
                        json_pack("[O?]", json_object_get(received, "host_list")));
    atomic_fetch_add(&con->calls, 1);
    if (!con->transport.cast(con->transport.self, ctx, &task_api, "build_instances", sent, err))
        return dv_within(err, "conductor: build_instances");
    return true;
}

bool conductor_migrate_server(Conductor *con, const DvCtx *ctx, const Ovo *args, GError **err)
{
    static const char *const passed[] = {"instance", "flavor", "request_spec", "host_list"};
    const RpcTarget target = {
        .topic = "conductor", .namespace_ = "compute_task", .version = "1.20"};
    json_auto_t *received = ovo_json(args);
    json_t *sent = json_pack("{s{sO?} sb sb sn sn sn sb}", "scheduler_hint", "filter_properties",
                             json_object_get(received, "filter_properties"), "live", 0, "rebuild",
                             0, "block_migration", "disk_over_commit", "reservations",
                             "clean_shutdown", 1);

    for (size_t i = 0; i < G_N_ELEMENTS(passed); i++) {
        json_t *value = json_object_get(received, passed[i]);

        json_object_set_new(sent, passed[i], value ? json_incref(value) : json_null());
    }
    if (!conductor_call(con, ctx, &target, "migrate_server", sent, MIGRATE_SERVER_TIMEOUT_MS, NULL,
                        err))
        return dv_within(err, "conductor: migrate_server");
    return true;
}
