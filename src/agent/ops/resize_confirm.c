/* confirm_resize, at the source: what it has kept of the server goes for good.
 *
 * It only goes forward. Whatever fails, the server is on the destination by now, so that the room
 * and the records that were held for it here are given up all the same.
 * Sources    nova compute/manager.py confirm_resize, _confirm_resize; virt/libvirt/driver.py
 *            confirm_migration, _cleanup_resize (Zed). */
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/move.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"

#include "util/log.h"

#include <string.h>

/* Neutron forgets this host as a place of the ports. */
static bool confirm_networks(void *self, GError **err)
{
    Move *move = self;
    NetworkInstance who = network_instance_of(move->agent, move->instance);

    notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_CONFIRM, NOTIFY_START,
                    NULL);
    if (move_same_host(move))
        return true;
    who.host = ovo_str_or(move->instance, "host", who.host);
    return neutron_forget_host(move->agent->neutron, move->ctx, &who, move->agent->config.host,
                               err);
}

static bool confirm_aside(void *self, GError **err)
{
    Move *move = self;

    return disks_forget_aside(move->agent->disks, move->ctx, move->uuid, err);
}

/* On another host the server has its guest by now; the one that stayed here, off, is nobody's. */
static bool confirm_guest(void *self, GError **err)
{
    Move *move = self;
    const VirtDriver *virt = move->agent->virt;

    if (strcmp(ovo_str_or(move->instance, "host", ""), move->agent->config.host) == 0)
        return true;
    if (!virt->ops->destroy(virt->self, move->ctx, move->uuid, err))
        return false;
    move_unplug(move);
    return true;
}

static bool confirm_claim(void *self, GError **err)
{
    Move *move = self;
    g_autoptr(Ovo) flavor = ovo_child(move->instance, "flavor");

    if (!flavor)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
    return move_status(move, "confirmed", err) &&
           tracker_move_end(move->agent->tracker, move->admin, move->instance, flavor, err);
}

/* A server that was stopped may have been started to look at it, and the other way round. */
static bool confirm_active(void *self, GError **err)
{
    static const char *const expected[] = {"", "deleting", "soft-deleting", NULL};
    Move *move = self;
    bool off = ovo_i64_or(move->instance, "power_state", 0) == GUEST_STATE_OFF;

    ovo_set_str(move->instance, "vm_state", off ? "stopped" : "active");
    ovo_set_null(move->instance, "task_state");
    ovo_set_null(move->instance, "migration_context");
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err))
        return false;
    move_notify(move, NOTIFY_RESIZE_CONFIRM, NOTIFY_END);
    return true;
}

static const OpStep confirm_steps[] = {
    {"networks", confirm_networks, NULL}, {"aside", confirm_aside, NULL},
    {"guest", confirm_guest, NULL},       {"claim", confirm_claim, NULL},
    {"active", confirm_active, NULL},
};

/* Whatever happened, the instance is on the destination: nothing is held for it here. */
static bool confirm_end(Move *move, GError **err)
{
    bool here = strcmp(ovo_str_or(move->instance, "host", ""), move->agent->config.host) == 0;

    if (!move_drop_allocation(move, err))
        return false;
    /* nova tells so on one host, too; the schedulers would then not count a server that is here. */
    if (!here)
        outcome_withdraw(move->agent, move->admin, move->uuid);
    return move_forget_flavors(move, err);
}

bool resize_confirmed(Agent *agent, const DvCtx *ctx, Ovo *instance, Ovo *migration, GError **err)
{
    g_autoptr(DvCtx) admin = dv_ctx_elevated(ctx);
    Move move = {
        .agent = agent,
        .ctx = ctx,
        .admin = admin,
        .instance = instance,
        .migration = migration,
        .uuid = ovo_str_or(instance, "uuid", ""),
    };
    bool waits = strcmp(ovo_str_or(instance, "vm_state", ""), "resized") == 0;

    return (!waits || confirm_active(&move, err)) && confirm_end(&move, err);
}

static bool confirm(Move *move, GError **err)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) end = NULL;
    bool ok = op_run("confirm_resize", confirm_steps, G_N_ELEMENTS(confirm_steps), move, move->ctx,
                     &cause);

    if (!ok)
        dv_error(move->ctx, "confirming the resize: %s", cause->message);
    if (!confirm_end(move, &end)) {
        dv_error(move->ctx, "ending the resize: %s", end->message);
        if (!cause)
            cause = g_steal_pointer(&end);
    }
    if (!cause)
        return true;
    move_failed(move);
    if (!outcome_gone(cause))
        outcome_error(move->agent, move->ctx, move->instance);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static bool may_confirm(const Move *move)
{
    static const char *const wanted[] = {"finished", "confirming", NULL};
    const char *status = ovo_str_or(move->migration, "status", "");

    if (g_strv_contains(wanted, status))
        return true;
    dv_info(move->ctx, "migration %" G_GINT64_FORMAT " is %s: there is nothing to confirm",
            ovo_i64_or(move->migration, "id", 0), status);
    return false;
}

bool op_confirm_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(Ovo) fresh = NULL;
    g_autoptr(GError) cause = NULL;
    bool ok = move_init(&move, call, &cause);

    if (ok && may_confirm(&move)) {
        if (move_reread(&move, &fresh, &cause)) {
            move.instance = fresh;
            ok = confirm(&move, &cause);
        } else {
            ok = dv_is(cause, DV_E_INSTANCE_NOT_FOUND);
        }
    }
    if (!ok)
        g_propagate_error(err, g_steal_pointer(&cause));
    move_done(&move);
    return ok;
}
