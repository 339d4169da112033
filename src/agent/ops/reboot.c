/* reboot_instance: soft, which the guest does itself, or hard, which makes it anew.
 *
 * A guest that does not do it in time is rebooted hard. A failure is one only when the guest is not
 * running afterwards. Sources: nova compute/manager.py _reboot_instance, virt/libvirt/driver.py
 * reboot, _soft_reboot (Zed). */
#include "agent/guest_tpm.h"
#include "agent/lifecycle.h"
#include "agent/notify.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/relaunch.h"
#include "util/log.h"

#define LOOK_MS 10000 /* an event can be lost with the connection to libvirt */

typedef struct RebootKind {
    const char *type;
    const char *pending, *started;
    const char *const from[4]; /* task states that may become pending */
} RebootKind;

static const RebootKind kinds[] = {
    {"SOFT",
     "reboot_pending",
     "reboot_started",
     {"rebooting", "reboot_pending", "reboot_started", NULL}},
    {"HARD",
     "reboot_pending_hard",
     "reboot_started_hard",
     {"rebooting_hard", "reboot_pending_hard", "reboot_started_hard", NULL}},
};

static bool read_state(const OpCall *call, GuestState *out, GError **err)
{
    const VirtDriver *virt = call->agent->virt;

    return virt->ops->state(virt->self, call->uuid, out, err);
}

/* ---- soft ---- */

/* Once the guest has stopped: *out_up when it runs again. */
static bool start_again(const OpCall *call, bool *out_up, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(GError) cause = NULL;
    g_auto(GuestSecret) keep = {0};
    const GuestSecret *secret = NULL;
    GuestState state;

    if (!read_state(call, &state, err))
        return false;
    *out_up = state == GUEST_STATE_RUNNING; /* somebody else was quicker */
    if (state != GUEST_STATE_OFF && state != GUEST_STATE_CRASHED)
        return true;
    *out_up = guest_tpm_launch(call->agent, call->ctx, call->instance, &keep, &secret, &cause) &&
              virt->ops->launch(virt->self, call->ctx, call->uuid, secret, false, &cause);
    if (!*out_up)
        dv_warning(call->ctx, "starting the guest again: %s", cause->message);
    return true;
}

/* *out_done is false when the guest did not do it, whatever the reason. Fails only when the wait
 * was ended, or the hypervisor is away. */
static bool reboot_soft(const OpCall *call, bool *out_done, GError **err)
{
    Agent *agent = call->agent;
    int64_t deadline_ms = dv_now_ms() + agent->config.wait_soft_reboot_s * 1000;
    g_autoptr(WaitSet) stop = lifecycle_expect_stop(agent, call->uuid);
    g_autoptr(GError) refusal = NULL;
    bool has_stopped = false;
    GuestState state;

    *out_done = false;
    if (!read_state(call, &state, err))
        return false;
    if (state != GUEST_STATE_RUNNING)
        return true; /* it could not hear us */
    if (!agent->virt->ops->shutdown(agent->virt->self, call->ctx, call->uuid, &refusal)) {
        dv_debug(call->ctx, "soft reboot: %s", refusal->message);
        return true;
    }
    while (!has_stopped && dv_now_ms() < deadline_ms) {
        int64_t patience_ms = MIN(LOOK_MS, deadline_ms - dv_now_ms());

        if (!lifecycle_wait(agent, stop, call->uuid, patience_ms, &has_stopped, err) ||
            !read_state(call, &state, err))
            return false;
        has_stopped = has_stopped || state != GUEST_STATE_RUNNING;
    }
    return !has_stopped || start_again(call, out_done, err);
}

static bool reboot(const OpCall *call, const RebootKind *kind, GError **err)
{
    bool done = false;

    if (kind == &kinds[0] && !reboot_soft(call, &done, err))
        return false;
    if (done)
        return true;
    if (kind == &kinds[0])
        dv_warning(call->ctx, "the guest did not reboot by itself: trying a hard reboot");
    return guest_relaunch(call->agent, call->ctx, call->instance, 0, err);
}

/* ---- the operation ---- */

static bool save_task(const OpCall *call, const char *task, const char *const *expected,
                      GError **err)
{
    ovo_set_str(call->instance, "task_state", task);
    return conductor_instance_save(call->agent->con, call->ctx, call->instance, expected, err);
}

static bool save_begin(const OpCall *call, const RebootKind *kind, GError **err)
{
    const char *const pending[] = {kind->pending, NULL};
    GuestState state;

    if (!read_state(call, &state, err))
        return false;
    if (state != GUEST_STATE_RUNNING)
        dv_warning(call->ctx, "rebooting a guest that does not run (power state %d)", (int)state);
    /* nova tells of the start with the state it is about to save. */
    ovo_set_str(call->instance, "task_state", kind->pending);
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_REBOOT, NOTIFY_START, NULL);
    ovo_set_i64(call->instance, "power_state", state);
    return save_task(call, kind->pending, kind->from, err) &&
           save_task(call, kind->started, pending, err);
}

static const RebootKind *kind_of(const OpCall *call)
{
    const char *type = ovo_str_or(call->args, "reboot_type", "");

    return strcmp(type, kinds[0].type) == 0 ? &kinds[0] : &kinds[1];
}

/* True when the guest runs all the same: then the fault is all that is left of the failure. */
static bool forgive(const OpCall *call, const GError *cause)
{
    GuestState state = GUEST_STATE_NONE;

    if (outcome_gone(cause) || dv_is(cause, DV_E_CANCELLED))
        return false;
    if (read_state(call, &state, NULL) && state == GUEST_STATE_RUNNING) {
        dv_warning(call->ctx, "reboot failed, but the guest runs: %s", cause->message);
        dispatch_record_fault(call->agent, call->ctx, call->uuid, cause, NULL);
        notify_instance(call->agent, call->ctx, call->instance, NOTIFY_REBOOT, NOTIFY_ERROR, cause);
        return true;
    }
    outcome_error(call->agent, call->ctx, call->instance);
    return false;
}

bool op_reboot(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const RebootKind *kind = kind_of(call);
    const char *const expected[] = {kind->started, "", NULL};
    bool rescued = strcmp(ovo_str_or(call->instance, "vm_state", ""), "rescued") == 0;
    int64_t start_ms = dv_now_ms();
    g_autoptr(GError) cause = NULL;

    if (!save_begin(call, kind, err))
        return false;
    if (!reboot(call, kind, &cause) && !forgive(call, cause)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    if (!op_power_saved(call, rescued ? "rescued" : "active", expected, err))
        return false;
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_REBOOT, NOTIFY_END, NULL);
    dv_info(call->ctx, "rebooted (%s) after %d ms", kind->type, (int)(dv_now_ms() - start_ms));
    return true;
}
