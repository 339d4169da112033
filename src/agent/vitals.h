/* What the parts of a running agent report of themselves, for health and the watchdog.
 *
 * Units      times in dv_now_ms' base, 0: not yet.
 * Threads    every field is atomic: written by the part it tells of, read by the health and timer
 *            threads, which therefore wait for nobody. */
#pragma once

#include "virt/driver.h"

#include <stdatomic.h>

typedef struct Vitals {
    _Atomic int64_t begin_ms;     /* the process was wired */
    _Atomic(VirtDriver *) virt;   /* NULL until the hypervisor was opened */
    atomic_bool ready;            /* the start has finished: operations run */
    _Atomic int64_t beat_ms;      /* the last heartbeat that went through */
    _Atomic int64_t beat_turn_ms; /* the last one that ended, well or not; at first: their start */
    _Atomic int64_t audit_ms;     /* the last audit that went through */
} Vitals;
