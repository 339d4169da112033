/* A resize or cold migration taken back: revert_resize at the destination ends the guest there,
 * finish_revert_resize at the source puts back what was set aside.
 *
 * Both only go forward. The destination removes disks only when the source says that it does not
 * see them: in doubt they stay.
 * Sources    nova compute/manager.py revert_resize, finish_revert_resize;
 * virt/libvirt/driver.py finish_revert_migration (Zed). */
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/move_files.h"
#include "agent/ops/move_tpm.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/relaunch.h"
#include "agent/ops/spawn.h"

#include "util/log.h"

#include <string.h>

/* ---- revert_resize ---- */

/* The source's bindings become the active ones again, where it has some: conductor made bindings of
 * their own for the destination. */
static bool revert_networks(void *self, GError **err)
{
    Move *move = self;

    return move_same_host(move) ||
           (move_activate_ports(move, move->agent->config.host, err) &&
            network_cache_refresh(move->agent, move->ctx, move->instance, NULL, err));
}

static bool revert_guest(void *self, GError **err)
{
    Move *move = self;
    const VirtDriver *virt = move->agent->virt;

    bool ended = move_same_host(move) ? virt->ops->retire(virt->self, move->ctx, move->uuid, err)
                                      : virt->ops->destroy(virt->self, move->ctx, move->uuid, err);

    if (!ended)
        return false;
    move_unplug(move);
    return true;
}

/* On one host, or where both see one directory, the disks lie where the source's are put back in a
 * moment. */
static bool revert_disks(void *self, GError **err)
{
    Move *move = self;
    g_autoptr(GError) why = NULL;
    bool shared = true;

    if (move_same_host(move))
        return true;
    if (!move_files_shared(move, ovo_str_or(move->migration, "source_compute", ""), &shared, &why))
        dv_warning(move->ctx, "disks stay here, as nobody said whose else they are: %s",
                   why->message);
    return shared || disks_drop(move->agent->disks, move->uuid, err);
}

static bool revert_claim(void *self, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    Move *move = self;
    g_autoptr(Ovo) old = ovo_child(move->instance, "old_flavor");

    if (!old)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.old_flavor: want a flavor");
    return move_status(move, "reverted", err) &&
           tracker_move_end(move->agent->tracker, move->admin, move->instance,
                            move_same_host(move) ? old : NULL, err) &&
           conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static bool revert_cast(void *self, GError **err)
{
    Move *move = self;

    return move_cast(move, ovo_str_or(move->migration, "source_compute", ""),
                     "finish_revert_resize", NULL, err);
}

static const OpStep revert_steps[] = {
    {"networks", revert_networks, NULL}, {"guest", revert_guest, NULL},
    {"disks", revert_disks, NULL},       {"claim", revert_claim, NULL},
    {"cast", revert_cast, NULL},
};

bool op_revert_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(GError) cause = NULL;
    bool ok;

    /* It is a resize back to the old size, so that usage is told. */
    if (call->instance)
        notify_exists(call->agent, call->ctx, call->instance, NULL);
    ok = move_init(&move, call, &cause) &&
         op_run("revert_resize", revert_steps, G_N_ELEMENTS(revert_steps), &move, call->ctx,
                &cause);

    if (!ok) {
        move_broken(&move, call, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    move_done(&move);
    return ok;
}

/* ---- finish_revert_resize ---- */

static bool back_flavor(void *self, GError **err)
{
    Move *move = self;

    notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_REVERT, NOTIFY_START,
                    NULL);
    return move_return(move, err);
}

static bool back_allocation(void *self, GError **err)
{
    return move_revert_allocation(self, err);
}

static bool back_networks(void *self, GError **err)
{
    Move *move = self;

    return spawn_networks(move->agent, move->ctx, move->instance, NULL, err);
}

static bool back_disks(void *self, GError **err)
{
    Move *move = self;

    return disks_take_back(move->agent->disks, move->ctx, move->uuid, err) &&
           move_tpm_unpack(move, err);
}

static bool was_stopped(const Move *move)
{
    return strcmp(move_old_state(move), "stopped") == 0;
}

static bool back_guest(void *self, GError **err)
{
    Move *move = self;
    unsigned flags = RELAUNCH_CACHED_NETWORKS | RELAUNCH_WAIT_PLUGGED;

    return guest_relaunch(move->agent, move->ctx, move->instance,
                          flags | (was_stopped(move) ? RELAUNCH_OFF : 0), err);
}

static bool back_active(void *self, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    Move *move = self;

    ovo_set_null(move->instance, "migration_context");
    outcome_active(move->instance, "active");
    if (was_stopped(move)) {
        ovo_set_str(move->instance, "vm_state", "resized");
        ovo_set_str(move->instance, "task_state", "powering-off");
    }
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err) ||
        (was_stopped(move) && !outcome_stop(move->agent, move->ctx, move->instance, true, err)))
        return false;
    notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_REVERT, NOTIFY_END, NULL);
    return true;
}

static const OpStep back_steps[] = {
    {"flavor", back_flavor, NULL},     {"allocation", back_allocation, NULL},
    {"networks", back_networks, NULL}, {"disks", back_disks, NULL},
    {"guest", back_guest, NULL},       {"active", back_active, NULL},
};

bool op_finish_revert_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) end = NULL;
    bool ok = move_init(&move, call, &cause) &&
              op_run("finish_revert_resize", back_steps, G_N_ELEMENTS(back_steps), &move, call->ctx,
                     &cause);

    if (!ok)
        move_broken(&move, call, cause);
    /* The object has what the last save was refused for: not over the head of a delete. */
    if (move.migration && !outcome_gone(cause) && !move_forget_flavors(&move, &end) &&
        !dv_is(end, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(call->ctx, "flavors of the resize stay in the record: %s", end->message);
    if (ok)
        dv_info(call->ctx, "resize reverted");
    else
        g_propagate_error(err, g_steal_pointer(&cause));
    move_done(&move);
    return ok;
}
