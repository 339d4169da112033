/* Lanes: work on one key (an instance) runs one job at a time, in the order it came; different keys
 * never wait for each other except for a free worker of the pool.
 *
 * A lane holds no worker while it waits: the next job of a key is given to its pool when the one
 * before has ended, so lanes cannot fill a pool with waiters. Threads    all functions from any
 * thread. */
#pragma once

#include "util/pool.h"

typedef struct DvLanes DvLanes;

DvLanes *dv_lanes_new(void);
/* Frees; the pools the lanes used must have been stopped before. Queued jobs are dropped. */
void dv_lanes_free(DvLanes *lanes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DvLanes, dv_lanes_free)

/* Queues `run(arg)` on `pool` behind all earlier jobs of `key`. `drop` as in dv_pool_submit. */
void dv_lanes_submit(DvLanes *lanes, const char *key, DvPool *pool, DvJobFn run, void *arg,
                     GDestroyNotify drop);
/* Jobs of `key` queued or running. */
unsigned dv_lanes_depth(DvLanes *lanes, const char *key);
