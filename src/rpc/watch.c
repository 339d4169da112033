/* Call-monitor heartbeats; see watch.h. */
#include "rpc/watch.h"

enum { WATCH_MIN_TIMEOUT_S = 2, WATCH_MAX_TIMEOUT_S = 7 * 24 * 3600 };

int64_t rpc_watch_period_ms(int64_t timeout_s)
{
    if (timeout_s < WATCH_MIN_TIMEOUT_S)
        return 0;
    return MIN(timeout_s, WATCH_MAX_TIMEOUT_S) * 1000 / 2;
}

uint64_t rpc_watch_start(DvTimer *timer, int64_t timeout_s, RpcBeatFn beat, void *arg)
{
    int64_t period_ms = rpc_watch_period_ms(timeout_s);

    if (!period_ms || !timer)
        return 0;
    return dv_timer_add(timer, period_ms, period_ms, beat, arg, NULL);
}

void rpc_watch_stop(DvTimer *timer, uint64_t id)
{
    if (id)
        dv_timer_cancel(timer, id);
}
