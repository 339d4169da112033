/* Suspend and resume: the guest's memory goes to disk and comes back.
 *
 * Saving a large memory takes long, and a delete is not to wait for it: what it saves is about to
 * be thrown away. Agent.saves says whose memory is being saved; suspend_end_save ends it. Sources:
 * nova compute/manager.py suspend_instance, resume_instance, virt/libvirt/driver.py suspend, resume
 * (Zed). */
#include "agent/guest_tpm.h"
#include "agent/guest_spec.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/relaunch.h"
#include "util/log.h"

#define ABORT_PAUSE_MS 200

/* ---- suspend ---- */

typedef struct EndSave {
    Agent *agent;
    char *uuid;
} EndSave;

static void end_save_free(void *arg)
{
    EndSave *end = arg;

    g_free(end->uuid);
    g_free(end);
}

/* Again while it is being saved: the job may not have begun when it is first told to end. */
static void end_save_run(void *arg)
{
    EndSave *end = arg;
    Agent *agent = end->agent;
    g_autoptr(DvCtx) admin = dv_ctx_new_admin();
    g_autoptr(DvCtx) ctx = dv_ctx_with_instance(admin, end->uuid);

    while (pending_has(agent->saves, end->uuid) && waits_closed(agent->waits, end->uuid)) {
        g_autoptr(GError) err = NULL;

        if (!agent->virt->ops->abort_job(agent->virt->self, ctx, end->uuid, &err)) {
            dv_warning(ctx, "the delete waits until the guest is saved: %s", err->message);
            break;
        }
        g_usleep(ABORT_PAUSE_MS * 1000UL);
    }
    end_save_free(end);
}

void suspend_end_save(Agent *agent, const char *instance_uuid)
{
    EndSave *end;

    if (!pending_has(agent->saves, instance_uuid))
        return;
    end = g_new0(EndSave, 1);
    end->agent = agent;
    end->uuid = g_strdup(instance_uuid);
    dv_pool_submit(agent->pools[POOL_GENERAL], end_save_run, end, end_save_free);
}

static bool save_guest(const OpCall *call, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    Agent *agent = call->agent;
    g_autoptr(GError) cause = NULL;
    bool ok;

    /* First the mark, then the look: a delete that comes in does it the other way round. */
    pending_add(agent->saves, call->uuid);
    ok = !waits_closed(agent->waits, call->uuid) &&
         virt->ops->save(virt->self, call->ctx, call->uuid, &cause);
    pending_remove(agent->saves, call->uuid);
    if (ok)
        return true;
    if (waits_closed(agent->waits, call->uuid))
        return dv_fail(err, DV_E_DELETING, "the instance is being deleted");
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static void set_failed(const OpCall *call, const GError *cause)
{
    if (outcome_gone(cause) || dv_is(cause, DV_E_CANCELLED))
        return;
    if (dv_is(cause, DV_E_NOT_IMPLEMENTED))
        outcome_restore(call->agent, call->ctx, call->instance,
                        ovo_str_or(call->instance, "vm_state", NULL));
    else
        outcome_error(call->agent, call->ctx, call->instance);
}

static void notify(const OpCall *call, NotifyAction action, NotifyPhase phase)
{
    notify_instance(call->agent, call->ctx, call->instance, action, phase, NULL);
}

bool op_suspend(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    static const char *const expected[] = {"suspending", NULL};
    g_autoptr(GError) cause = NULL;

    if (!instance_load(call->agent, call->ctx, call->instance, attrs, err))
        return false;
    ovo_dict_set(call->instance, "system_metadata", "old_vm_state",
                 ovo_str_or(call->instance, "vm_state", "active"));
    notify(call, NOTIFY_SUSPEND, NOTIFY_START);
    if (save_guest(call, &cause)) {
        if (!op_power_saved(call, "suspended", expected, err))
            return false;
        notify(call, NOTIFY_SUSPEND, NOTIFY_END);
        return true;
    }
    set_failed(call, cause);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* ---- resume ---- */

/* The definition is there, with the saved memory: only what the host has to give is made sure of.
 * Without it, it is made anew, and the guest boots. */
static bool bring_back(const OpCall *call, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(NetworkInfo) network = NULL;
    g_autoptr(GuestSpec) ports = NULL;
    g_autoptr(GError) cause = NULL;
    g_auto(GuestSecret) keep = {0};
    const GuestSecret *secret = NULL;

    if (!network_cache_refresh(call->agent, call->ctx, call->instance, &network, err))
        return false;
    ports = guest_spec_of_ports(call->instance, network);
    if (!virt->ops->plug(virt->self, call->ctx, ports, err) ||
        !guest_tpm_launch(call->agent, call->ctx, call->instance, &keep, &secret, err))
        return false;
    if (virt->ops->launch(virt->self, call->ctx, call->uuid, secret, false, &cause))
        return true;
    if (dv_is(cause, DV_E_INSTANCE_NOT_FOUND)) {
        dv_warning(call->ctx, "the suspended guest is gone and is started anew");
        return guest_relaunch(call->agent, call->ctx, call->instance, RELAUNCH_CACHED_NETWORKS,
                              err);
    }
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

bool op_resume(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const attrs[] = {"system_metadata", "info_cache", NULL};
    static const char *const expected[] = {"resuming", NULL};
    const VirtDriver *virt = call->agent->virt;
    g_autofree char *old = NULL;
    g_autoptr(GError) cause = NULL;

    if (!instance_load(call->agent, call->ctx, call->instance, attrs, err))
        return false;
    notify(call, NOTIFY_RESUME, NOTIFY_START);
    if (!bring_back(call, &cause)) {
        set_failed(call, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    virt->ops->sync_time(virt->self, call->ctx, call->uuid);
    old = g_strdup(ovo_dict_str(call->instance, "system_metadata", "old_vm_state"));
    if (old)
        ovo_dict_set(call->instance, "system_metadata", "old_vm_state", NULL);
    if (!op_power_saved(call, old ? old : "active", expected, err))
        return false;
    notify(call, NOTIFY_RESUME, NOTIFY_END);
    return true;
}
