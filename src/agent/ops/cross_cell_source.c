/* A resize or cold migration between cells, the source's side: the server is shut down, becomes an
 * image, and leaves its disks here until its owner confirms or reverts.
 *
 * conductor waits for each of these calls and takes back what others did when one fails. What this
 * side can give back it gives back itself: until the guest is gone, a failure leaves the server
 * off, as it is. Sources    nova compute/manager.py prep_snapshot_based_resize_at_source,
 *            confirm_snapshot_based_resize_at_source,
 *            finish_revert_snapshot_based_resize_at_source (Zed). */
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/move.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/power_off.h"
#include "agent/ops/relaunch.h"
#include "agent/ops/snapshot_take.h"
#include "agent/ops/spawn.h"

#include "util/log.h"

#include <string.h>

static bool destroy_guest(Move *move, GError **err)
{
    const VirtDriver *virt = move->agent->virt;

    return virt->ops->destroy(virt->self, move->ctx, move->uuid, err);
}

/* ---- prep_snapshot_based_resize_at_source ---- */

typedef struct Depart {
    Move move;
    const char *snapshot_id;
    bool guest_gone;
} Depart;

static bool depart_begin(void *self, GError **err)
{
    Depart *depart = self;
    Move *move = &depart->move;

    if (!depart->snapshot_id)
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "servers with volumes are not supported by this host");
    if (!network_cache_refresh(move->agent, move->ctx, move->instance, NULL, err))
        return false;
    move_notify(move, NOTIFY_RESIZE, NOTIFY_START);
    return move_status(move, "migrating", err);
}

static bool depart_power_off(void *self, GError **err)
{
    Move *move = &((Depart *)self)->move;
    g_autoptr(GError) cause = NULL;

    if (guest_power_off(move->agent, move->ctx, move->instance, true, &cause)) {
        ovo_set_i64(move->instance, "power_state", GUEST_STATE_OFF);
        return true;
    }
    if (outcome_gone(cause)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    return dv_fail(err, DV_E_POWER_OFF, "Failed to power off instance: %s", cause->message);
}

static bool depart_snapshot(void *self, GError **err)
{
    const Depart *depart = self;
    const Move *move = &depart->move;

    if (snapshot_take(move->agent, move->ctx, move->instance, depart->snapshot_id, NULL, err))
        return true;
    snapshot_forget_image(move->agent, move->ctx, depart->snapshot_id, false);
    return false;
}

/* The disks stay: the server comes back to them when it is reverted. */
static bool depart_guest(void *self, GError **err)
{
    Depart *depart = self;
    Move *move = &depart->move;

    depart->guest_gone = true;
    if (!destroy_guest(move, err))
        return false;
    move_unplug(move);
    return true;
}

static bool depart_ports(void *self, GError **err)
{
    const Move *move = &((Depart *)self)->move;

    return move_activate_ports(move, ovo_str_or(move->migration, "dest_compute", ""), err);
}

static bool depart_migrated(void *self, GError **err)
{
    static const char *const expected[] = {"resize_migrating", NULL};
    Move *move = &((Depart *)self)->move;

    if (!move_status(move, "post-migrating", err))
        return false;
    ovo_set_str(move->instance, "task_state", "resize_migrated");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static const OpStep depart_steps[] = {
    {"begin", depart_begin, NULL},       {"power_off", depart_power_off, NULL},
    {"snapshot", depart_snapshot, NULL}, {"guest", depart_guest, NULL},
    {"ports", depart_ports, NULL},       {"migrated", depart_migrated, NULL},
};

bool op_cross_prep_source(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Depart depart = {.snapshot_id = ovo_str_or(call->args, "snapshot_id", NULL)};
    g_autoptr(GError) cause = NULL;
    bool ok = move_init(&depart.move, call, &cause) &&
              op_run("prep_snapshot_based_resize", depart_steps, G_N_ELEMENTS(depart_steps),
                     &depart, call->ctx, &cause);

    if (ok) {
        move_notify(&depart.move, NOTIFY_RESIZE, NOTIFY_END);
        waits_cancel(call->agent->waits, call->uuid);
    } else {
        dv_error(call->ctx, "resize between cells broken off: %s", cause->message);
        move_failed(&depart.move);
        if (depart.guest_gone && !outcome_gone(cause))
            outcome_error(call->agent, call->ctx, call->instance);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    move_done(&depart.move);
    return ok;
}

/* ---- confirm_snapshot_based_resize_at_source ---- */

static bool forget_disks(void *self, GError **err)
{
    Move *move = self;

    return network_cache_refresh(move->agent, move->ctx, move->instance, NULL, err) &&
           destroy_guest(move, err) && disks_remove(move->agent->disks, move->ctx, move->uuid, err);
}

static bool forget_ports(void *self, GError **err G_GNUC_UNUSED)
{
    Move *move = self;
    NetworkInstance who = network_instance_of(move->agent, move->instance);
    g_autoptr(GError) left = NULL;

    who.host = ovo_str_or(move->migration, "dest_compute", "");
    if (!neutron_forget_host(move->agent->neutron, move->admin, &who, move->agent->config.host,
                             &left))
        dv_error(move->ctx, "%s", left->message);
    return true;
}

static bool forget_claim(void *self, GError **err)
{
    Move *move = self;

    if (!move_status(move, "confirmed", err) ||
        !tracker_move_end(move->agent->tracker, move->admin, move->instance, NULL, err))
        return false;
    ovo_set_null(move->instance, "migration_context");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, NULL, err);
}

static const OpStep forget_steps[] = {
    {"disks", forget_disks, NULL},
    {"ports", forget_ports, NULL},
    {"claim", forget_claim, NULL},
};

bool op_cross_confirm(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) end = NULL;
    bool ok = move_init(&move, call, &cause) &&
              op_run("confirm_snapshot_based_resize", forget_steps, G_N_ELEMENTS(forget_steps),
                     &move, call->ctx, &cause);

    /* Whatever happened, the server is in the other cell: nothing is held for it here. */
    if (move.migration && !move_drop_allocation(&move, &end)) {
        dv_error(call->ctx, "allocation of the migration stays: %s", end->message);
        if (ok)
            cause = g_steal_pointer(&end);
        ok = false;
    }
    if (ok) {
        outcome_withdraw(call->agent, move.admin, call->uuid);
    } else {
        move_broken(&move, call, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    move_done(&move);
    return ok;
}

/* ---- finish_revert_snapshot_based_resize_at_source ---- */

static bool return_flavor(void *self, GError **err)
{
    return move_return(self, err);
}

/* The server goes on without: an operator heals allocations. */
static bool return_allocation(void *self, GError **err G_GNUC_UNUSED)
{
    Move *move = self;
    g_autoptr(GError) why = NULL;

    if (!move_revert_allocation(move, &why))
        dv_error(move->ctx,
                 "allocation of the migration stays, and so does that of the other cell's"
                 " host: %s",
                 why->message);
    return true;
}

static bool return_networks(void *self, GError **err)
{
    Move *move = self;

    return spawn_networks(move->agent, move->ctx, move->instance, NULL, err);
}

static bool was_active(const Move *move)
{
    return strcmp(move_old_state(move), "active") == 0;
}

static bool return_guest(void *self, GError **err)
{
    Move *move = self;
    unsigned flags = RELAUNCH_CACHED_NETWORKS | RELAUNCH_WAIT_PLUGGED;

    return disks_take_back(move->agent->disks, move->ctx, move->uuid, err) &&
           guest_relaunch(move->agent, move->ctx, move->instance,
                          flags | (was_active(move) ? 0 : RELAUNCH_OFF), err);
}

static bool return_active(void *self, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    Move *move = self;

    ovo_set_null(move->instance, "migration_context");
    ovo_set_i64(move->instance, "power_state",
                was_active(move) ? GUEST_STATE_RUNNING : GUEST_STATE_OFF);
    outcome_active(move->instance, was_active(move) ? "active" : "stopped");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err) &&
           move_status(move, "reverted", err);
}

static const OpStep return_steps[] = {
    {"flavor", return_flavor, NULL},     {"allocation", return_allocation, NULL},
    {"networks", return_networks, NULL}, {"guest", return_guest, NULL},
    {"active", return_active, NULL},
};

bool op_cross_finish_revert(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) end = NULL;
    bool ok = move_init(&move, call, &cause) &&
              op_run("finish_revert_snapshot_based_resize", return_steps,
                     G_N_ELEMENTS(return_steps), &move, call->ctx, &cause);

    if (!ok)
        move_broken(&move, call, cause);
    /* The object has what the last save was refused for: not over the head of a delete. */
    if (move.migration && !outcome_gone(cause) && !move_forget_flavors(&move, &end) &&
        !dv_is(end, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(call->ctx, "flavors of the resize stay in the record: %s", end->message);
    if (ok)
        outcome_announce(call->agent, move.admin, call->instance);
    else
        g_propagate_error(err, g_steal_pointer(&cause));
    move_done(&move);
    return ok;
}
