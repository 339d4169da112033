/* What follows a live migration's job on the source: live_finish or live_rollback; see live.h.
 *
 * Both are lists of steps that are all done, whatever becomes of each: the guest's place is decided
 * by then, and a port that neutron keeps is no reason to leave the record wrong.
 * Sources    nova compute/manager.py _post_live_migration, _rollback_live_migration,
 *            _post_live_migration_update_host (Zed and 2026.1). */
#include "agent/ops/live.h"

#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/outcome.h"
#include "agent/ops/unplug.h"
#include "util/log.h"

#include <string.h>

enum { HAND_OVER_TRIES = 3, SILENT_TRIES = 2, HAND_OVER_PAUSE_MS = 1000 };

static NetworkInstance bound_to(const Live *live, const char *host)
{
    NetworkInstance who = network_instance_of(live->agent, live->instance);

    who.host = host;
    return who;
}

static bool data_says(const Live *live, const char *field)
{
    return live->data && ovo_bool_or(live->data, field, false);
}

/* Its ports as they were here; the instance's cache where nobody wrote them down. */
static NetworkInfo *source_network(const Live *live, GError **err)
{
    return live->data && migrate_data_has_vifs(live->data)
               ? migrate_data_source_network(live->data, err)
               : network_cache_read(live->instance, err);
}

/* The allocation that conductor gave to the migration becomes the instance's again. */
static bool give_back_allocation(void *self, GError **err)
{
    Live *live = self;
    const char *from = ovo_str_or(live->migration, "uuid", "");
    bool moved = false;

    if (!placement_allocations_move(live->agent->placement, live->admin, from, live->uuid, &moved,
                                    err))
        return false;
    if (!moved)
        dv_error(live->ctx, "migration %s holds no allocation that could be given back", from);
    return true;
}

bool live_ended(Live *live, const char *status, GError **err)
{
    if (!live_status(live, status, err))
        return false;
    live_file_remove(live);
    return true;
}

/* ---- ports ---- */

bool live_bind_ports(Agent *agent, const DvCtx *ctx, const char *uuid, const NetworkInfo *ports,
                     const char *dest, GError **err)
{
    bool queued = live_queue_phase(agent->live, uuid) != LIVE_NONE;
    bool ok;

    if (queued && !live_queue_bind(agent->live, uuid))
        return true;
    ok = neutron_activate_bindings(agent->neutron, ctx, ports, dest, err);
    if (queued)
        live_queue_bound(agent->live, uuid, ok);
    return ok;
}

/* ---- the guest is at the destination ---- */

static bool finish_ports(void *self, GError **err)
{
    Live *live = self;
    g_autoptr(NetworkInfo) ports = source_network(live, err);

    return ports && live_bind_ports(live->agent, live->admin, live->uuid, ports, live->dest, err);
}

static bool finish_unplug(void *self, GError **err)
{
    Live *live = self;
    g_autoptr(NetworkInfo) ports = source_network(live, err);

    if (!ports)
        return false;
    op_unplug(live->agent, live->ctx, live->instance, ports);
    return true;
}

/* What the destination could not say itself. Somebody else may have moved the record meanwhile. */
static bool move_record(Live *live, GError **err)
{
    static const char *const attrs[] = {"migration_context", NULL};
    g_autoptr(Ovo) fresh = NULL;

    if (!conductor_instance_get(live->agent->con, live->ctx, live->uuid, attrs, &fresh, err))
        return false;
    if (g_strcmp0(ovo_str_or(fresh, "host", NULL), live->dest) == 0)
        return true;
    ovo_set_str(fresh, "host", live->dest);
    ovo_set_from(fresh, "node", live->migration, "dest_node");
    if (ovo_version_at_least(fresh, 2, 8))
        ovo_set_from(fresh, "compute_id", live->migration, "dest_compute_id");
    if (g_strcmp0(ovo_str_or(fresh, "task_state", NULL), "migrating") == 0)
        ovo_set_null(fresh, "task_state");
    ovo_set_i64(fresh, "progress", 0);
    if (ovo_has_value(fresh, "migration_context"))
        ovo_set_null(fresh, "migration_context");
    return conductor_instance_save(live->agent->con, live->ctx, fresh, NULL, err);
}

/* Asked again when the answer may be better: it can be done twice. An agent there that is dead is
 * not waited for long: the guest runs, and its server is nobody's until then. */
static bool call_post(Live *live, GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();

    ovo_set_child(args, "instance", live->instance);
    ovo_set_from(args, "block_migration", live->request, "block_migration");
    for (unsigned try = 1;; try++) {
        g_autoptr(GError) why = NULL;
        unsigned tries;

        if (peer_call(live->agent->peers, live->ctx, live->dest,
                      "post_live_migration_at_destination", PEER_VERSION, args, PEER_ALIVE, NULL,
                      &why))
            return true;
        tries = dv_is(why, DV_E_TIMEOUT) ? SILENT_TRIES : HAND_OVER_TRIES;
        if (outcome_gone(why) || try >= tries || agent_stopping(live->agent)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        dv_warning(live->ctx, "host %s has not taken the instance over: %s; asking again",
                   live->dest, why->message);
        g_usleep(HAND_OVER_PAUSE_MS * 1000UL);
    }
}

/* The destination takes the instance over: its record, ports and bindings. What it could not do
 * itself is done for it. */
static bool finish_hand_over(void *self, GError **err)
{
    Live *live = self;
    const NetworkInstance who = bound_to(live, live->dest);
    g_autoptr(GError) why = NULL;
    g_autoptr(GError) ports = NULL;

    if (call_post(live, &why))
        return true;
    dv_error(live->ctx, "the guest runs on host %s, which could not take the instance over: %s",
             live->dest, why->message);
    if (!neutron_forget_host(live->agent->neutron, live->admin, &who, live->agent->config.host,
                             &ports))
        dv_warning(live->ctx, "%s", ports->message);
    if (!move_record(live, err))
        return false;
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* The hypervisor has said that the guest left; its files here are of no use to anybody, unless the
 * destination works on the same. Asked once more, because nothing brings them back. */
static bool finish_disks(void *self, GError **err)
{
    Live *live = self;
    const VirtDriver *virt = live->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!live->data) {
        dv_warning(live->ctx, "nobody knows whether its disks are shared: they stay");
        return true;
    }
    if (data_says(live, "is_shared_instance_path") || data_says(live, "is_shared_block_storage"))
        return true;
    if (!virt->ops->state(virt->self, live->uuid, &state, err))
        return false;
    if (state != GUEST_STATE_NONE)
        return dv_fail(err, DV_E_INSTANCE_EXISTS, "a guest of it is defined here: its disks stay");
    return disks_remove(live->agent->disks, live->ctx, live->uuid, err);
}

static bool finish_usage(void *self, GError **err)
{
    Live *live = self;
    ovo_set_str(live->instance, "host", live->dest);
    ovo_set_from(live->instance, "node", live->migration, "dest_node");
    waits_cancel(live->agent->waits, live->uuid);
    outcome_withdraw(live->agent, live->admin, live->uuid);
    return tracker_update_usage(live->agent->tracker, live->admin, live->instance, err);
}

static bool finish_consoles(void *self, GError **err)
{
    Live *live = self;
    const AgentConfig *config = &live->agent->config;

    if (!config->vnc.enabled && !config->spice.enabled && !config->serial.enabled)
        return true;
    return conductor_console_clean(live->agent->con, live->admin, live->uuid, err);
}

static bool finish_status(void *self, GError **err)
{
    Live *live = self;
    return live_ended(live, "completed", err);
}

static bool finish_allocation(void *self, GError **err)
{
    Live *live = self;
    return placement_allocations_delete(live->agent->placement, live->admin,
                                        ovo_str_or(live->migration, "uuid", ""), NULL, err);
}

/* The status comes last: until then the next start does all of them again. */
static const OpStep finish_steps[] = {
    {"ports", finish_ports, NULL},           {"unplug", finish_unplug, NULL},
    {"hand_over", finish_hand_over, NULL},   {"disks", finish_disks, NULL},
    {"usage", finish_usage, NULL},           {"consoles", finish_consoles, NULL},
    {"allocation", finish_allocation, NULL}, {"status", finish_status, NULL},
};

static void notify(Live *live, NotifyAction action, NotifyPhase phase)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkInfo) network = notify_enabled(live->agent) ? source_network(live, &err)
                                                                 : NULL;
    const NotifyExtra extra = {.network = action == NOTIFY_LIVE_MIGRATION_POST ? network : NULL};

    notify_instance_with(live->agent, live->ctx, live->instance, action, phase, &extra, NULL);
}

bool live_finish(Live *live, GError **err)
{
    bool ok;

    notify(live, NOTIFY_LIVE_MIGRATION_POST, NOTIFY_START);
    ok = op_run_all("live_finish", finish_steps, G_N_ELEMENTS(finish_steps), live, live->ctx, err);
    notify(live, NOTIFY_LIVE_MIGRATION_POST, NOTIFY_END);
    if (ok)
        dv_info(live->ctx, "live migrated to host %s", live->dest);
    return ok;
}

/* ---- the guest is here ---- */

/* Somebody who wanted the migration completed had it paused. */
static bool rollback_resume(void *self, GError **err)
{
    Live *live = self;
    const VirtDriver *virt = live->agent->virt;

    if (!live->paused)
        return true;
    live->paused = false;
    return virt->ops->resume(virt->self, live->ctx, live->uuid, err);
}

/* They may have been made to follow the guest when it was about to leave. */
static bool rollback_ports(void *self, GError **err)
{
    Live *live = self;
    const char *here = live->agent->config.host;
    const NetworkInstance who = bound_to(live, here);
    g_autoptr(NetworkInfo) ports = source_network(live, err);

    return ports &&
           neutron_activate_bindings(live->agent->neutron, live->admin, ports, here, err) &&
           neutron_forget_host(live->agent->neutron, live->admin, &who, live->dest, err);
}

/* A destination that shares the folder has nothing but ports to give up, and knows so. */
static bool rollback_dest(void *self, GError **err)
{
    Live *live = self;
    g_autoptr(Ovo) args = ovo_new_dict();

    if (!live->data)
        return dv_fail(err, DV_E_NOT_FOUND, "what host %s has prepared is not known", live->dest);
    ovo_set_child(args, "instance", live->instance);
    ovo_set_bool(args, "destroy_disks", !data_says(live, "is_shared_block_storage"));
    ovo_set_child(args, "migrate_data", live->data);
    return peer_cast(live->agent->peers, live->ctx, live->dest,
                     "rollback_live_migration_at_destination", PEER_VERSION, args, err);
}

/* The destination has claimed NUMA cells. */
static bool rollback_claim(void *self, GError **err)
{
    Live *live = self;
    g_autoptr(Ovo) args = ovo_new_dict();

    if (!data_says(live, "src_supports_numa_live_migration"))
        return true;
    ovo_set_child(args, "instance", live->instance);
    return peer_call(live->agent->peers, live->ctx, live->dest, "drop_move_claim_at_destination",
                     PEER_VERSION, args, PEER_SHORT, NULL, err);
}

static bool rollback_record(void *self, GError **err)
{
    Live *live = self;
    static const char *const expected[] = {"migrating", NULL};
    g_autoptr(GError) why = NULL;

    if (live->unsaved)
        return true;
    ovo_set_null(live->instance, "task_state");
    ovo_set_i64(live->instance, "progress", 0);
    if (ovo_has_value(live->instance, "migration_context"))
        ovo_set_null(live->instance, "migration_context");
    if (conductor_instance_save(live->agent->con, live->ctx, live->instance, expected, &why) ||
        outcome_gone(why) || dv_is(why, DV_E_UNEXPECTED_TASK_STATE)) { /* another's by now */
        live_file_remove(live);
        return true;
    }
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

static bool rollback_status(void *self, GError **err)
{
    Live *live = self;
    g_autoptr(GError) why = NULL;

    if (live_status(live, live->end_status, &why))
        return true;
    /* Who looks again finds it by the instance's task: that stays as it is. */
    live->unsaved = dv_is(why, DV_E_TIMEOUT) || dv_is(why, DV_E_UNAVAILABLE);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* The instance is free at last: whoever waits for that finds the migration ended. */
static const OpStep rollback_steps[] = {
    {"resume", rollback_resume, NULL}, {"allocation", give_back_allocation, NULL},
    {"ports", rollback_ports, NULL},   {"destination", rollback_dest, NULL},
    {"claim", rollback_claim, NULL},   {"status", rollback_status, NULL},
    {"record", rollback_record, NULL},
};

bool live_rollback(Live *live, const char *status, GError **err)
{
    bool ok;

    dv_info(live->ctx, "taking the live migration to host %s back", live->dest);
    live->end_status = status;
    notify(live, NOTIFY_LIVE_MIGRATION_ROLLBACK, NOTIFY_START);
    ok = op_run_all("live_rollback", rollback_steps, G_N_ELEMENTS(rollback_steps), live, live->ctx,
                    err);
    notify(live, NOTIFY_LIVE_MIGRATION_ROLLBACK, NOTIFY_END);
    return ok;
}

/* ---- neither ---- */

void live_broken(Live *live, const GError *why)
{
    g_autoptr(GError) err = NULL;

    dv_error(live->ctx,
             "the live migration to host %s can neither go on nor back: %s; look at the guest on "
             "both hosts before you start or delete it",
             live->dest, why->message);
    dispatch_record_fault(live->agent, live->ctx, live->uuid, why, NULL);
    if (!live_status(live, "error", &err))
        dv_warning(live->ctx, "migration not set to error: %s", err->message);
    ovo_set_null(live->instance, "task_state");
    outcome_error(live->agent, live->ctx, live->instance);
}
