/* Powering a guest off; see power_off.h.
 *
 * The guest's own end is an event that wakes us. It is looked at again before each reminder, since
 * an event can be lost with the connection to libvirt. */
#include "agent/ops/power_off.h"

#include "agent/lifecycle.h"
#include "util/log.h"

typedef struct PowerOff {
    Agent *agent;
    const DvCtx *ctx;
    const char *uuid;
    int64_t deadline_ms;
} PowerOff;

static int64_t shutdown_timeout_s(const Agent *agent, const DvCtx *ctx, const Ovo *instance)
{
    const char *text = ovo_dict_str(instance, "system_metadata", "image_os_shutdown_timeout");
    g_autoptr(GError) bad = NULL;
    gint64 value = 0;

    if (!text)
        return agent->config.shutdown_timeout_s;
    if (g_ascii_string_to_signed(text, 10, 0, G_MAXINT32, &value, &bad))
        return value;
    dv_warning(ctx, "image property os_shutdown_timeout is no number of seconds: %s", bad->message);
    return agent->config.shutdown_timeout_s;
}

static bool is_off(GuestState state)
{
    return state == GUEST_STATE_NONE || state == GUEST_STATE_OFF || state == GUEST_STATE_CRASHED;
}

/* One request to the guest and the wait for what it does. *out_off: it is off. */
static bool ask_once(const PowerOff *off, bool *out_off, GError **err)
{
    const VirtDriver *virt = off->agent->virt;
    int64_t left_ms = off->deadline_ms - dv_now_ms();
    int64_t patience_ms = MIN(off->agent->config.shutdown_retry_interval_s * 1000, left_ms);
    g_autoptr(WaitSet) stopped = lifecycle_expect_stop(off->agent, off->uuid);
    g_autoptr(GError) refusal = NULL;
    bool has_stopped = false;
    GuestState state;

    if (!virt->ops->state(virt->self, off->uuid, &state, err))
        return false;
    *out_off = is_off(state);
    if (*out_off || left_ms <= 0)
        return true;
    if (!virt->ops->shutdown(virt->self, off->ctx, off->uuid, &refusal))
        dv_debug(off->ctx, "shutdown request: %s", refusal->message); /* it may be off by now */
    return lifecycle_wait(off->agent, stopped, off->uuid, patience_ms, &has_stopped, err);
}

static bool shut_down(const PowerOff *off, GError **err)
{
    int64_t start_ms = dv_now_ms();
    bool is_down = false;

    while (!is_down && dv_now_ms() < off->deadline_ms) {
        if (agent_stopping(off->agent))
            return dv_fail(err, DV_E_CANCELLED, "the service is stopping");
        if (!ask_once(off, &is_down, err))
            return false;
    }
    if (is_down)
        dv_info(off->ctx, "guest is off after %d ms", (int)(dv_now_ms() - start_ms));
    else
        dv_info(off->ctx, "guest did not power off in %d ms", (int)(dv_now_ms() - start_ms));
    return true;
}

bool guest_power_off(Agent *agent, const DvCtx *ctx, const Ovo *instance, bool clean, GError **err)
{
    int64_t timeout_s = clean ? shutdown_timeout_s(agent, ctx, instance) : 0;
    PowerOff off = {
        .agent = agent,
        .ctx = ctx,
        .uuid = ovo_str_or(instance, "uuid", ""),
        .deadline_ms = dv_now_ms() + timeout_s * 1000,
    };

    if (timeout_s > 0 && !shut_down(&off, err))
        return dv_within(err, "powering off");
    return agent->virt->ops->power_off(agent->virt->self, ctx, off.uuid, err);
}
