/* The timer thread: deadlines, periodic jobs, call-monitor heartbeats.
 *
 * Callbacks run on the timer thread and must not block: they post to a pool or set a flag.
 * Threads    all functions from any thread, also from callbacks. */
#pragma once

#include "util/clock.h"
#include "util/error.h"

typedef struct DvTimer DvTimer;
typedef void (*DvTimerFn)(void *arg);

DvTimer *dv_timer_new(void);
/* Ends the thread; pending callbacks are dropped (their `drop` runs). */
void dv_timer_free(DvTimer *timer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DvTimer, dv_timer_free)

/* Runs `fn(arg)` after `delay_ms`, then each `period_ms` when that is not 0. Returns an id, never
 * 0. `drop` (may be NULL) frees arg once the entry is gone: after the last run, on cancel, or with
 * the timer. */
uint64_t dv_timer_add(DvTimer *timer, int64_t delay_ms, int64_t period_ms, DvTimerFn fn, void *arg,
                      GDestroyNotify drop);
/* Forgets an entry. True when it was still there. Waits for a run that is under way, unless called
 * from that very callback; so after return the callback does not run and arg is gone. 0 is ignored.
 */
bool dv_timer_cancel(DvTimer *timer, uint64_t id);
