/* Service start; see startup.h. */
#include "agent/startup.h"

#include "agent/evacuated.h"
#include "agent/ops/live.h"
#include "agent/recovery.h"
#include "agent/recovery_moves.h"
#include "services/scheduler.h"
#include "util/log.h"

#define PING_TIMEOUT_MS 10000
#define PING_PAUSE_MS 1000
#define OLDEST_SERVICE_VERSION 61 /* Yoga: what a Zed control plane accepts beside itself */

/* ---- the control plane and our record in it ---- */

static bool wait_for_conductor(Agent *agent, const DvCtx *ctx, GError **err)
{
    bool said = false;

    while (!agent_stopping(agent)) {
        g_autoptr(GError) cause = NULL;

        if (conductor_ping(agent->con, ctx, PING_TIMEOUT_MS, &cause))
            return true;
        if (!said)
            dv_warning(ctx, "waiting for nova-conductor: %s", cause->message);
        said = true;
        if (!dv_is(cause, DV_E_TIMEOUT))
            g_usleep(PING_PAUSE_MS * 1000UL);
    }
    return dv_fail(err, DV_E_CANCELLED, "stopping before nova-conductor answered");
}

/* The release of the control plane: the option, or the newest that nova-conductor's services
 * report. */
static bool find_release(Agent *agent, const DvCtx *ctx, GError **err)
{
    const char *option = agent->config.control_plane_release;
    NovaRelease release = NOVA_ZED;
    int version = 0;

    if (g_strcmp0(option, "auto") != 0) {
        if (!nova_release_parse(option, &release))
            return dv_fail(err, DV_E_BAD_CONFIG, "[drover] control_plane_release: unknown '%s'",
                           option);
    } else {
        if (!conductor_minimum_version(agent->con, ctx, "nova-conductor", &version, err))
            return dv_within(err, "finding the release of the control plane");
        release = nova_release_of_service_version(version);
    }
    conductor_set_release(agent->con, release);
    dv_info(ctx, "control plane is %s, reporting service version %d", nova_release_name(release),
            nova_release_service_version(release));
    return true;
}

void startup_refresh(Agent *agent)
{
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    g_autoptr(GError) err = NULL;

    tracker_forget_provider(agent->tracker);
    if (!find_release(agent, ctx, &err))
        dv_error(ctx, "the control plane's release is not looked up again: %s", err->message);
}

static bool check_minimum(Agent *agent, const DvCtx *ctx, GError **err)
{
    int minimum = 0;

    if (!conductor_minimum_version(agent->con, ctx, "nova-compute", &minimum, err))
        return false;
    if (minimum != 0 && minimum < OLDEST_SERVICE_VERSION)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "the oldest nova-compute service in this cell has version %d; at least %d "
                       "is needed",
                       minimum, OLDEST_SERVICE_VERSION);
    return true;
}

static bool create_service(Agent *agent, const DvCtx *ctx, int version, Ovo **out, GError **err)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(Ovo)
        service = ovo_new("Service", ovo_version_of(conductor_release(agent->con), "Service"));

    ovo_set_str(service, "host", agent->config.host);
    ovo_set_str(service, "binary", "nova-compute");
    ovo_set_str(service, "topic", "compute");
    ovo_set_i64(service, "report_count", 0);
    ovo_set_i64(service, "version", version);
    if (conductor_create(agent->con, ctx, service, &cause)) {
        *out = g_steal_pointer(&service);
        return true;
    }
    if (!dv_is(cause, DV_E_SERVICE_EXISTS)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    return conductor_service_get(agent->con, ctx, agent->config.host, "nova-compute", out, err);
}

bool startup_register(Agent *agent, const DvCtx *ctx, Ovo **out_service, GError **err)
{
    g_autoptr(Ovo) service = NULL;
    int version;

    if (!wait_for_conductor(agent, ctx, err) || !find_release(agent, ctx, err) ||
        !check_minimum(agent, ctx, err) ||
        !conductor_service_get(agent->con, ctx, agent->config.host, "nova-compute", &service, err))
        return dv_within(err, "registering the service");
    version = nova_release_service_version(conductor_release(agent->con));
    if (!service && !create_service(agent, ctx, version, &service, err))
        return dv_within(err, "creating the service record");
    if (!service)
        return dv_fail(err, DV_E_SERVICE_NOT_FOUND, "the service record vanished while created");
    if (ovo_i64_or(service, "version", 0) != version) {
        ovo_set_i64(service, "version", version);
        if (!conductor_save(agent->con, ctx, service, err))
            return dv_within(err, "saving the service record");
    }
    *out_service = g_steal_pointer(&service);
    return true;
}

/* ---- what died before its claim ---- */

static bool set_unclaimed_to_error(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    g_autoptr(DvCtx) mine = dv_ctx_with_instance(ctx, ovo_str_or(instance, "uuid", NULL));

    dv_warning(mine, "the build was interrupted before it was claimed: set to error");
    ovo_set_str(instance, "vm_state", "error");
    ovo_set_null(instance, "task_state");
    return conductor_instance_save(agent->con, mine, instance, NULL, err);
}

/* Consumers of our provider that neither the tracker knows nor a request that waits at the gate;
 * NULL-terminated, strings borrowed from `consumers`. */
static GPtrArray *unknown_consumers(Agent *agent, const GPtrArray *consumers)
{
    g_auto(GStrv) tracked = tracker_instances(agent->tracker);
    GPtrArray *unknown = g_ptr_array_new();

    for (guint i = 0; i < consumers->len; i++) {
        const char *uuid = g_ptr_array_index(consumers, i);

        if (!g_strv_contains((const char *const *)tracked, uuid) &&
            dv_lanes_depth(agent->lanes, uuid) == 0)
            g_ptr_array_add(unknown, (void *)uuid);
    }
    g_ptr_array_add(unknown, NULL);
    return unknown;
}

/* The scheduler has put them here for a move, and nothing else says so: the agent died before its
 * claim named this host. */
static bool look_at_moves(Agent *agent, const DvCtx *ctx, const GPtrArray *uuids, GError **err)
{
    static const char *const attrs[] = {NULL};
    static const char *const tasks[] = {"resize_prep", "rebuilding", NULL};
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    ovo_set_strv(filters, "task_state", tasks);
    ovo_set_strv(filters, "uuid", (const char *const *)uuids->pdata);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, attrs, &list, err))
        return dv_within(err, "reading interrupted moves");
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);

        if (instance)
            recovery_moves_note(agent, ovo_str_or(instance, "uuid", ""));
    }
    return true;
}

/* A migration that was confirmed holds nothing any more: the agent died before it had ended it. */
static bool look_at_confirmed(Agent *agent, const DvCtx *ctx, const GPtrArray *uuids, GError **err)
{
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    ovo_set_strv(filters, "uuid", (const char *const *)uuids->pdata);
    ovo_set_str(filters, "source_compute", agent->config.host);
    ovo_set_str(filters, "status", "confirmed");
    if (!conductor_migrations_by_filters(agent->con, ctx, filters, &list, err))
        return dv_within(err, "reading confirmed moves");
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(list, NULL, i);

        if (migration)
            recovery_moves_note(agent, ovo_str_or(migration, "instance_uuid", ""));
    }
    return true;
}

static bool recover_unclaimed(Agent *agent, const DvCtx *ctx, GError **err)
{
    static const char *const attrs[] = {NULL};
    g_autofree char *provider = NULL;
    g_autoptr(GPtrArray) consumers = NULL;
    g_autoptr(GPtrArray) unknown = NULL;
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;
    int64_t id = 0;

    if (!tracker_node_identity(agent->tracker, &provider, &id))
        return true;
    if (!placement_consumers_of(agent->placement, ctx, provider, &consumers, err))
        return dv_within(err, "reading the allocations of this host");
    unknown = unknown_consumers(agent, consumers);
    if (unknown->len == 1)
        return true;
    ovo_set_str(filters, "vm_state", "building");
    ovo_set_strv(filters, "uuid", (const char *const *)unknown->pdata);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, attrs, &list, err))
        return dv_within(err, "reading interrupted builds");
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);

        if (instance && !set_unclaimed_to_error(agent, ctx, instance, err))
            return false;
    }
    return look_at_moves(agent, ctx, unknown, err) && look_at_confirmed(agent, ctx, unknown, err);
}

void startup_recover_unclaimed(Agent *agent, const DvCtx *ctx)
{
    g_autoptr(GError) err = NULL;

    if (!recover_unclaimed(agent, ctx, &err))
        dv_error(ctx, "interrupted builds are not looked for: %s", err->message);
}

/* ---- from the record to the first request ---- */

/* A placement that is away is no reason to be away too: the periodic audit makes up for it. Without
 * a compute node record there is nothing to serve, and a wrong option does not mend itself. */
static bool first_audit(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (tracker_audit(agent->tracker, ctx, true, &cause)) {
        atomic_store(&agent->vitals.audit_ms, dv_now_ms());
        return true;
    }
    if (dv_is(cause, DV_E_BAD_CONFIG) || !tracker_node_identity(agent->tracker, NULL, NULL)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    dv_error(ctx, "the first audit failed, the next one comes in its turn: %s", cause->message);
    return true;
}

static void settle_evacuated(Agent *agent, const DvCtx *ctx)
{
    g_autoptr(GError) err = NULL;

    if (!evacuated_settle(agent, ctx, &err))
        dv_error(ctx, "evacuated guests are looked for again later: %s", err->message);
}

/* A host without instances has nothing to say: it may not be in a cell yet, which schedulers do not
 * expect. */
static void announce(Agent *agent, const DvCtx *ctx)
{
    static const char *const attrs[] = {NULL};
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) list = NULL;

    if (!agent->config.track_instance_changes)
        return;
    if (!conductor_instances_by_host(agent->con, ctx, agent->config.host, attrs, &list, &err) ||
        (ovo_count(list, NULL) > 0 &&
         !scheduler_update_instance_info(agent->rpc, ctx, agent->config.host, list, &err)))
        dv_warning(ctx, "scheduler not told of the instances here: %s", err->message);
}

bool startup_open(Agent *agent, const DvCtx *ctx, GError **err)
{
    if (!recovery_run(agent, ctx, err) || !first_audit(agent, ctx, err))
        return false;
    startup_recover_unclaimed(agent, ctx);
    settle_evacuated(agent, ctx);
    recovery_moves(agent, ctx);
    live_check_clean(agent, ctx);
    gate_open(agent->gate);
    atomic_store(&agent->vitals.ready, true);
    announce(agent, ctx);
    return true;
}
