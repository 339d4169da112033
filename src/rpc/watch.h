/* Call-monitor heartbeats: while a request that asked for them is being worked on, its caller hears
 * from us every half of its timeout.
 *
 * Threads    `beat` runs on the timer thread and must not block. */
#pragma once

#include "util/timer.h"

typedef void (*RpcBeatFn)(void *arg);

/* Returns an id for rpc_watch_stop, 0 when the timeout asks for no heartbeats (below 2 s). */
uint64_t rpc_watch_start(DvTimer *timer, int64_t timeout_s, RpcBeatFn beat, void *arg);
/* After return `beat` does not run any more. */
void rpc_watch_stop(DvTimer *timer, uint64_t id);
/* Milliseconds between heartbeats; 0: none. */
int64_t rpc_watch_period_ms(int64_t timeout_s);
