/* A bounded pool of workers of one class: general, build, migrate, snapshot.
 *
 * Jobs wait in a FIFO when all workers are busy. Workers start on demand and end after some idle
 * seconds, so that an idle agent has none.
 * Ownership  a job's argument belongs to the job; `drop` frees it when the pool ends before it ran.
 * Threads    all functions from any thread; pool_free from the thread that wires. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct DvPool DvPool;
typedef void (*DvJobFn)(void *arg);

/* max_workers 0 means unlimited. The name is that of the threads ("build" -> "build"). */
DvPool *dv_pool_new(const char *name, unsigned max_workers);
void dv_pool_submit(DvPool *pool, DvJobFn run, void *arg, GDestroyNotify drop);
unsigned dv_pool_queued(DvPool *pool);
unsigned dv_pool_running(DvPool *pool);

/* For health. */
typedef struct DvPoolLoad {
    const char *name; /* borrowed from the pool */
    unsigned queued, running;
    unsigned max_workers; /* 0: unlimited */
    int64_t oldest_ms;    /* how long the first of the queue has waited, 0: none */
} DvPoolLoad;
void dv_pool_load(DvPool *pool, DvPoolLoad *out);

/* Stops taking jobs, drops the queued ones, waits for running ones until deadline (dv_now_ms base).
 * True when nothing runs any more. */
bool dv_pool_stop(DvPool *pool, int64_t deadline_ms);
void dv_pool_free(DvPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DvPool, dv_pool_free)
