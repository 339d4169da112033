/* terminate_instance: the guest goes, then its ports, records, allocation, and at last the
 * instance.
 *
 * A delete only goes forward, so there is nothing to undo: each step that failed can be done again
 * by another delete, or by the start-up of the agent. The order is nova's: what a user could lose
 * twice (addresses) goes only after the guest is surely gone. Sources: nova compute/manager.py
 * terminate_instance, _delete_instance, _shutdown_instance, _complete_deletion (Zed);
 * docs/wire/flows.md. */
#include "agent/guest_tpm.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/live.h"
#include "agent/ops/ops.h"
#include "agent/ops/unplug.h"

#include "services/scheduler.h"
#include "util/log.h"

#define DEALLOCATE_TRIES 3
#define DEALLOCATE_PAUSE_MS 2000

typedef struct Delete {
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin;
    Ovo *instance;
    const Ovo *bdms; /* NULL: not known */
    const char *uuid;
    NetworkInfo *network;
} Delete;

static void notify(const Delete *del, NotifyAction action, NotifyPhase phase)
{
    const NotifyExtra extra = {.bdms = del->bdms};

    notify_instance_with(del->agent, action == NOTIFY_SHUTDOWN ? del->admin : del->ctx,
                         del->instance, action, phase, &extra, NULL);
}

static bool delete_network_info(void *self, GError **err)
{
    Delete *del = self;
    g_autoptr(GError) bad = NULL;

    notify(del, NOTIFY_SHUTDOWN, NOTIFY_START);
    del->network = network_cache_read(del->instance, &bad);
    if (!del->network) {
        dv_warning(del->ctx, "network info cache unreadable, asking neutron: %s", bad->message);
        del->network = network_info_new();
    }
    if (network_info_count(del->network) == 0) {
        NetworkInstance who = network_instance_of(del->agent, del->instance);
        g_autoptr(NetworkInfo) fresh = NULL;

        if (!neutron_refresh(del->agent->neutron, del->admin, &who, NULL, NULL, &fresh, err))
            return false;
        network_info_free(del->network);
        del->network = g_steal_pointer(&fresh);
    }
    return true;
}

static bool deallocate(Delete *del, GError **err)
{
    NetworkInstance who = network_instance_of(del->agent, del->instance);
    g_autoptr(NetworkInfo) none = network_info_new();

    for (int try = 1;; try++) {
        g_autoptr(GError) cause = NULL;

        if (neutron_deallocate(del->agent->neutron, del->admin, &who, del->network, NULL, &cause))
            break;
        if (!dv_is(cause, DV_E_UNAVAILABLE) || try == DEALLOCATE_TRIES) {
            g_propagate_prefixed_error(err, g_steal_pointer(&cause), "deallocating networks: ");
            return false;
        }
        dv_warning(del->ctx, "deallocating networks: %s; trying again", cause->message);
        g_usleep(try * DEALLOCATE_PAUSE_MS * 1000UL);
    }
    return conductor_vifs_delete(del->agent->con, del->admin, del->uuid, err) &&
           network_cache_store(del->agent, del->admin, del->instance, none, err);
}

static bool delete_guest(void *self, GError **err)
{
    Delete *del = self;
    const VirtDriver *virt = del->agent->virt;
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) second = NULL;

    if (virt->ops->destroy(virt->self, del->ctx, del->uuid, &cause)) {
        op_unplug(del->agent, del->ctx, del->instance, del->network);
        if (disks_remove(del->agent->disks, del->ctx, del->uuid, &cause))
            return true;
    }
    /* A guest that cannot be powered off keeps its addresses; after any other failure they go. */
    if (!dv_is(cause, DV_E_POWER_OFF) && !deallocate(del, &second))
        dv_warning(del->ctx, "%s", second->message);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* A request without a user's token (a reclaim, a clean-up) cannot delete what is the user's. nova
 * tries again and again then, and the server never goes. */
static bool delete_secret(void *self, GError **err)
{
    Delete *del = self;
    bool is_users = del->ctx->auth_token && *del->ctx->auth_token;

    if (is_users)
        return guest_tpm_forget(del->agent, del->ctx, del->instance, err);
    if (guest_tpm_has_secret(del->instance))
        dv_warning(del->ctx, "the secret of the server's TPM stays in the key manager, as only a"
                             " user's request can delete it");
    return true;
}

static bool delete_networks(void *self, GError **err)
{
    Delete *del = self;

    if (!deallocate(del, err))
        return false;
    notify(del, NOTIFY_SHUTDOWN, NOTIFY_END);
    return true;
}

static bool delete_record(void *self, GError **err)
{
    Delete *del = self;
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));

    ovo_set_str(del->instance, "vm_state", "deleted");
    ovo_set_null(del->instance, "task_state");
    ovo_set_i64(del->instance, "power_state", GUEST_STATE_NONE);
    ovo_set_str(del->instance, "terminated_at", now);
    ovo_set_bool(del->instance, "cleaned", true);
    return conductor_instance_save(del->agent->con, del->ctx, del->instance, NULL, err);
}

static bool delete_usage(void *self, GError **err)
{
    Delete *del = self;
    Agent *agent = del->agent;

    return tracker_update_usage(agent->tracker, del->admin, del->instance, err) &&
           placement_allocations_delete(agent->placement, del->ctx, del->uuid, NULL, err);
}

static bool delete_traces(void *self, GError **err G_GNUC_UNUSED)
{
    Delete *del = self;
    g_autoptr(GError) console_err = NULL;
    g_autoptr(GError) scheduler_err = NULL;

    /* Neither keeps the instance from going: tokens expire, and the scheduler is told again. */
    if (!conductor_console_clean(del->agent->con, del->admin, del->uuid, &console_err))
        dv_warning(del->ctx, "console tokens not cleaned: %s", console_err->message);
    if (del->agent->config.track_instance_changes &&
        !scheduler_delete_instance_info(del->agent->rpc, del->admin, del->agent->config.host,
                                        del->uuid, &scheduler_err))
        dv_warning(del->ctx, "scheduler not told: %s", scheduler_err->message);
    return true;
}

static bool delete_destroy(void *self, GError **err)
{
    Delete *del = self;

    if (!conductor_instance_destroy(del->agent->con, del->ctx, del->instance, err))
        return false;
    notify(del, NOTIFY_DELETE, NOTIFY_END);
    return true;
}

static const OpStep delete_steps[] = {
    {"network_info", delete_network_info, NULL},
    {"guest", delete_guest, NULL},
    {"secret", delete_secret, NULL},
    {"networks", delete_networks, NULL},
    {"record", delete_record, NULL},
    {"usage", delete_usage, NULL},
    {"traces", delete_traces, NULL},
    {"destroy", delete_destroy, NULL},
};

/* A record that says deleted already lost its guest: only the tail is left. */
static const OpStep complete_steps[] = {
    {"usage", delete_usage, NULL},
    {"traces", delete_traces, NULL},
    {"destroy", delete_destroy, NULL},
};

static bool delete_ports(void *self, GError **err)
{
    Delete *del = self;
    NetworkInstance who = network_instance_of(del->agent, del->instance);

    return neutron_deallocate(del->agent->neutron, del->admin, &who, del->network, NULL, err);
}

/* There is no record any more to save into. */
static const OpStep reap_steps[] = {
    {"network_info", delete_network_info, NULL},
    {"guest", delete_guest, NULL},
    {"ports", delete_ports, NULL},
};

static bool run_steps(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *bdms,
                      const OpStep *steps, size_t count, GError **err)
{
    Delete del = {
        .agent = agent,
        .ctx = ctx,
        .admin = dv_ctx_elevated(ctx),
        .instance = instance,
        .bdms = bdms,
        .uuid = ovo_str_or(instance, "uuid", NULL),
    };
    bool ok;

    if (steps == delete_steps)
        notify(&del, NOTIFY_DELETE, NOTIFY_START);
    ok = op_run("delete", steps, count, &del, ctx, err);
    network_info_free(del.network);
    dv_ctx_unref(del.admin);
    return ok;
}

/* Its live migration could not be ended any more: then the guest is another host's to delete. */
static bool delete_elsewhere(Agent *agent, const DvCtx *ctx, const Ovo *instance, const Ovo *bdms,
                             bool *out_done, GError **err)
{
    static const char *const none[] = {NULL};
    g_autoptr(Ovo) now = NULL;
    g_autoptr(Ovo) args = NULL;
    const char *host;

    if (!live_give_way(agent, ctx, ovo_str_or(instance, "uuid", "")))
        return true;
    if (!conductor_instance_get(agent->con, ctx, ovo_str_or(instance, "uuid", ""), none, &now, err))
        return false;
    host = ovo_str_or(now, "host", agent->config.host);
    if (strcmp(host, agent->config.host) == 0)
        return true;
    dv_info(ctx, "moved to host %s meanwhile, which deletes it", host);
    *out_done = true;
    args = ovo_new_dict();
    ovo_set_child(args, "instance", now);
    if (bdms)
        ovo_set_child(args, "bdms", bdms);
    else
        ovo_set_strv(args, "bdms", NULL);
    return peer_cast(agent->peers, ctx, host, "terminate_instance", PEER_VERSION, args, err);
}

static bool delete_with(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *bdms,
                        GError **err)
{
    bool done = false;

    if (!delete_elsewhere(agent, ctx, instance, bdms, &done, err) || done)
        return done;
    waits_cancel(agent->waits, ovo_str_or(instance, "uuid", ""));
    return run_steps(agent, ctx, instance, bdms, delete_steps, G_N_ELEMENTS(delete_steps), err);
}

bool op_delete_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    return delete_with(agent, ctx, instance, NULL, err);
}

bool op_complete_deletion(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    return run_steps(agent, ctx, instance, NULL, complete_steps, G_N_ELEMENTS(complete_steps), err);
}

bool op_reap_guest(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    return run_steps(agent, ctx, instance, NULL, reap_steps, G_N_ELEMENTS(reap_steps), err);
}

/* A boot that waits for its ports, a stop that waits for its guest, a suspend that writes its
 * memory: each gives way to the delete behind it. */
void op_delete_arrive(Agent *agent, const char *instance_uuid)
{
    waits_close(agent->waits, instance_uuid);
    suspend_end_save(agent, instance_uuid);
}

static void set_error(const OpCall *call)
{
    g_autoptr(GError) err = NULL;

    ovo_set_str(call->instance, "vm_state", "error");
    if (!conductor_instance_save(call->agent->con, call->ctx, call->instance, NULL, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(call->ctx, "instance not set to error: %s", err->message);
}

bool op_delete(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    g_autoptr(Ovo) bdms = ovo_child(call->args, "bdms");
    g_autoptr(GError) cause = NULL;
    int64_t start_ms = dv_now_ms();

    if (delete_with(call->agent, call->ctx, call->instance, bdms, &cause)) {
        dv_info(call->ctx, "deleted after %d ms", (int)(dv_now_ms() - start_ms));
        return true;
    }
    if (dv_is(cause, DV_E_INSTANCE_NOT_FOUND)) {
        dv_info(call->ctx, "instance disappeared during terminate");
        return true;
    }
    dv_error(call->ctx, "delete failed: %s", cause->message);
    set_error(call);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}
