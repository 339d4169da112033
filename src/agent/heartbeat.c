/* The heartbeat; see heartbeat.h. */
#include "agent/heartbeat_priv.h"

#include "util/log.h"
#include "util/metrics.h"

struct Heartbeat {
    Agent *agent;       /* [const] */
    DvCtx *ctx;         /* [const] */
    Ovo *service;       /* [thread: the one beat worker] */
    bool troubled;      /* [thread: the one beat worker] the last beat failed */
    bool lived;         /* [thread: the one beat worker] one beat went through */
    atomic_bool queued; /* [atomic] a beat waits or runs: the next one would say the same */
    uint64_t timer_id;  /* [const] after start */
};

static void beat_run(void *arg)
{
    Heartbeat *beat = arg;
    g_autoptr(GError) err = NULL;
    int64_t count = ovo_i64_or(beat->service, "report_count", 0);

    ovo_set_i64(beat->service, "report_count", count + 1);
    if (conductor_save(beat->agent->con, beat->ctx, beat->service, &err)) {
        if (beat->troubled)
            dv_info(beat->ctx, "heartbeat goes through again");
        else if (!beat->lived)
            dv_info(beat->ctx, "service is up");
        beat->troubled = false;
        beat->lived = true;
        /* Whoever forces a host down evacuates it, and this agent was there all the time: its
         * guests may run twice now. */
        if (ovo_bool_or(beat->service, "forced_down", false))
            atomic_store(&beat->agent->evacuating, true);
        atomic_store(&beat->agent->vitals.beat_ms, dv_now_ms());
    } else if (!beat->troubled) {
        beat->troubled = true;
        dv_error(beat->ctx, "heartbeat failed: %s", err->message);
    }
    dv_metric_set(dv_metric("drover_heartbeat_ok", "1 when the last heartbeat went through"),
                  !beat->troubled);
    atomic_store(&beat->agent->vitals.beat_turn_ms, dv_now_ms());
    atomic_store(&beat->queued, false);
}

static void beat_due(void *arg)
{
    Heartbeat *beat = arg;

    if (!atomic_exchange(&beat->queued, true))
        dv_pool_submit(beat->agent->pools[POOL_BEAT], beat_run, beat, NULL);
}

Heartbeat *heartbeat_new(Agent *agent, Ovo *service)
{
    Heartbeat *beat = g_new0(Heartbeat, 1);

    beat->agent = agent;
    beat->ctx = dv_ctx_new_admin();
    beat->service = service;
    return beat;
}

void heartbeat_beat(Heartbeat *beat)
{
    beat_run(beat);
}

Heartbeat *heartbeat_start(Agent *agent, Ovo *service)
{
    Heartbeat *beat = heartbeat_new(agent, service);

    atomic_store(&agent->vitals.beat_turn_ms, dv_now_ms());
    beat->timer_id = dv_timer_add(agent->timer, 0, agent->config.report_interval_s * 1000, beat_due,
                                  beat, NULL);
    return beat;
}

void heartbeat_free(Heartbeat *beat)
{
    if (!beat)
        return;
    dv_timer_cancel(beat->agent->timer, beat->timer_id);
    ovo_unref(beat->service);
    dv_ctx_unref(beat->ctx);
    g_free(beat);
}
