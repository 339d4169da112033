/* What others want of a live migration while it waits or runs: live_migration_abort,
 * live_migration_force_complete, a delete, the end of the service; see live.h.
 *
 * They overtake the worker that carries the migration out: it is told through agent/live_queue, the
 * hypervisor directly.
 * Sources    nova compute/manager.py live_migration_abort, live_migration_force_complete,
 *            _cleanup_live_migrations_in_pool, handle_lifecycle_event (Zed). */
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/ops/live.h"
#include "agent/ops/ops.h"

#include "util/log.h"

#define GIVE_WAY_MS ((int64_t)120 * 1000) /* what a cancelled migration may take to end */

/* ---- abort ---- */

/* What conductor did for a migration that does not begin: nothing else was done. */
static bool revert_queued(const OpCall *call, Ovo *migration, GError **err)
{
    static const char *const expected[] = {"migrating", NULL};
    Agent *agent = call->agent;
    g_autoptr(DvCtx) admin = dv_ctx_elevated(call->ctx);
    NetworkInstance who = network_instance_of(agent, call->instance);
    const char *dest = ovo_str_or(migration, "dest_compute", "");
    g_autoptr(GError) ports = NULL;

    if (!placement_allocations_move(agent->placement, admin, ovo_str_or(migration, "uuid", ""),
                                    call->uuid, NULL, err))
        return false;
    if (!neutron_forget_host(agent->neutron, admin, &who, dest, &ports)) {
        if (!dv_is(ports, DV_E_BINDING_DELETE)) {
            g_propagate_error(err, g_steal_pointer(&ports));
            return false;
        }
        dv_error(call->ctx, "%s", ports->message);
    }
    ovo_set_null(call->instance, "task_state");
    ovo_set_str(migration, "status", "cancelled");
    return conductor_instance_save(agent->con, call->ctx, call->instance, expected, err) &&
           conductor_save(agent->con, admin, migration, err);
}

/* The hypervisor ends it, and its worker takes everything back. */
static bool abort_running(const OpCall *call, const Ovo *migration, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    const char *status = ovo_str_or(migration, "status", "");

    if (strcmp(status, "running") != 0)
        return dv_fail(err, DV_E_MIGRATION_STATE,
                       "Migration %" G_GINT64_FORMAT
                       " state of instance %s is %s. Cannot abort live migration while the "
                       "migration is in this state.",
                       ovo_i64_or(migration, "id", 0), call->uuid, status);
    live_queue_cancel(call->agent->live, call->uuid);
    return virt->ops->abort_job(virt->self, call->ctx, call->uuid, err);
}

static bool abort_in_phase(const OpCall *call, Ovo *migration, bool *out_pending, GError **err)
{
    /* A running one is judged by its record, as it may have switched to post-copy. */
    if (live_queue_phase(call->agent->live, call->uuid) == LIVE_RUNNING)
        return abort_running(call, migration, err);
    switch (live_queue_cancel(call->agent->live, call->uuid)) {
    case LIVE_QUEUED:
        return revert_queued(call, migration, err);
    case LIVE_PREPARING:
        waits_cancel(call->agent->waits, call->uuid);
        *out_pending = true;
        return true;
    case LIVE_RUNNING:
    case LIVE_NONE: /* or it is one of an earlier process */
        break;
    }
    return abort_running(call, migration, err);
}

bool op_live_abort(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    g_autoptr(DvCtx) admin = dv_ctx_elevated(call->ctx);
    g_autoptr(Ovo) migration = NULL;
    int64_t id = 0;
    bool pending = false; /* its worker says that it has ended */

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "live_migration_abort without an instance");
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_LIVE_MIGRATION_ABORT,
                    NOTIFY_START, NULL);
    if (!ovo_i64(call->args, "migration_id", &id, err) ||
        !conductor_migration_get(call->agent->con, admin, id, &migration, err) ||
        !abort_in_phase(call, migration, &pending, err))
        return false;
    dv_info(call->ctx, "live migration %" G_GINT64_FORMAT " is cancelled", id);
    if (!pending)
        notify_instance(call->agent, call->ctx, call->instance, NOTIFY_LIVE_MIGRATION_ABORT,
                        NOTIFY_END, NULL);
    return true;
}

/* ---- force-complete ---- */

bool op_live_force_complete(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "live_migration_force_complete without an instance");
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_LIVE_MIGRATION_FORCE_COMPLETE,
                    NOTIFY_START, NULL);
    if (!live_queue_force(call->agent->live, call->uuid))
        return dv_fail(err, DV_E_NO_MIGRATION, "Active live migration for instance %s not found",
                       call->uuid);
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_LIVE_MIGRATION_FORCE_COMPLETE,
                    NOTIFY_END, NULL);
    return true;
}

/* ---- the guest changes sides ---- */

typedef struct Switch {
    Agent *agent;
    char *uuid;
} Switch;

static void switch_free(void *arg)
{
    Switch *job = arg;

    g_free(job->uuid);
    g_free(job);
}

/* Of a migration that an earlier process began the record says it. */
static NetworkInfo *ports_of(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    static const char *const attrs[] = {"info_cache", NULL};
    g_autofree char *known = live_queue_ports(agent->live, uuid);
    g_autoptr(Ovo) instance = NULL;

    if (known)
        return network_info_parse(known, err);
    return conductor_instance_get(agent->con, ctx, uuid, attrs, &instance, err)
               ? network_cache_read(instance, err)
               : NULL;
}

/* Whatever fails here is done again when the migration has ended. */
static bool bind_early(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *dest = live_queue_dest(agent->live, uuid);
    g_autoptr(NetworkInfo) ports = NULL;

    if (!dest)
        return true;
    ports = ports_of(agent, ctx, uuid, err);
    return ports && live_bind_ports(agent, ctx, uuid, ports, dest, err);
}

static void switch_run(void *arg)
{
    Switch *job = arg;
    g_autoptr(DvCtx) admin = dv_ctx_new_admin();
    g_autoptr(DvCtx) ctx = dv_ctx_with_instance(admin, job->uuid);
    g_autoptr(GError) err = NULL;

    if (!bind_early(job->agent, ctx, job->uuid, &err))
        dv_warning(ctx, "its ports will follow at the end of the live migration: %s", err->message);
    switch_free(job);
}

void live_guest_switches(Agent *agent, const char *instance_uuid)
{
    Switch *job;

    if (live_queue_phase(agent->live, instance_uuid) != LIVE_RUNNING)
        return;
    job = g_new0(Switch, 1);
    job->agent = agent;
    job->uuid = g_strdup(instance_uuid);
    dv_pool_submit(agent->pools[POOL_GENERAL], switch_run, job, switch_free);
}

/* ---- deletes, and the end of the service ---- */

bool live_give_way(Agent *agent, const DvCtx *ctx, const char *instance_uuid)
{
    const VirtDriver *virt = agent->virt;
    g_autoptr(GError) err = NULL;
    LivePhase phase = live_queue_cancel(agent->live, instance_uuid);

    if (phase == LIVE_NONE || phase == LIVE_QUEUED)
        return false;
    dv_info(ctx, "its live migration gives way");
    waits_cancel(agent->waits, instance_uuid);
    if (phase == LIVE_RUNNING && !virt->ops->abort_job(virt->self, ctx, instance_uuid, &err))
        dv_warning(ctx, "%s", err->message);
    if (!live_queue_wait_gone(agent->live, instance_uuid, GIVE_WAY_MS))
        dv_warning(ctx, "its live migration has not ended");
    return true;
}

void live_cancel_waiting(Agent *agent)
{
    g_auto(GStrv) uuids = live_queue_waiting(agent->live);

    for (size_t i = 0; uuids[i]; i++) {
        g_autoptr(DvCtx) admin = dv_ctx_new_admin();
        g_autoptr(DvCtx) ctx = dv_ctx_with_instance(admin, uuids[i]);
        g_autoptr(Ovo) instance = NULL;
        g_autoptr(Ovo) migration = NULL;
        g_autoptr(GError) err = NULL;
        static const char *const attrs[] = {NULL};
        OpCall call = {.agent = agent, .ctx = ctx, .uuid = uuids[i]};

        if (live_queue_cancel(agent->live, uuids[i]) != LIVE_QUEUED)
            continue;
        if (!conductor_migration_by_status(agent->con, admin, uuids[i], "queued", &migration,
                                           &err) ||
            !conductor_instance_get(agent->con, ctx, uuids[i], attrs, &instance, &err)) {
            dv_warning(ctx, "a live migration that waits is left: %s", err->message);
            continue;
        }
        call.instance = instance;
        if (migration && !revert_queued(&call, migration, &err))
            dv_warning(ctx, "a live migration that waits is not taken back: %s", err->message);
    }
}
