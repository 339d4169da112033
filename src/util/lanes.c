/* Lanes: one job at a time per key, in order; see lanes.h.
 *
 * A lane exists while it has a job. Its head is with a pool (queued there or running), the others
 * wait here. When a pool drops the head, because it stops, all that waits behind it is dropped too:
 * a later job of the same key must not overtake one that never ran. */
#include "util/lanes.h"

#include "util/thread.h"

typedef struct Job {
    DvPool *pool;
    DvJobFn run;
    void *arg;
    GDestroyNotify drop;
} Job;

typedef struct Lane {
    DvLanes *lanes; /* [const] */
    char *key;      /* [const] */
    Job *head;      /* [const] while it is with its pool; changed under the lock in between */
    GQueue waiting; /* [DvLanes.lock] Job */
} Lane;

struct DvLanes {
    DvMutex lock;
    GHashTable *by_key DV_GUARDED_BY(lock); /* Lane.key -> Lane, owned */
};

static void job_drop(Job *job)
{
    if (job->drop)
        job->drop(job->arg);
    g_free(job);
}

static void lane_free(Lane *lane)
{
    Job *job = NULL;

    while ((job = g_queue_pop_head(&lane->waiting)))
        job_drop(job);
    g_free(lane->key);
    g_free(lane);
}

static void lane_run(void *arg);
static void lane_dropped(void *arg);

static void lane_run(void *arg)
{
    Lane *lane = arg;
    DvLanes *lanes = lane->lanes;
    Job *job = lane->head;
    Job *next = NULL;

    job->run(job->arg);
    g_free(job);

    dv_lock(&lanes->lock);
    lane->head = next = g_queue_pop_head(&lane->waiting);
    if (!next) {
        g_hash_table_steal(lanes->by_key, lane->key);
        lane_free(lane);
    }
    dv_unlock(&lanes->lock);
    if (next) /* the lane cannot go away before this has run or been dropped */
        dv_pool_submit(next->pool, lane_run, lane, lane_dropped);
}

static void lane_dropped(void *arg)
{
    Lane *lane = arg;
    DvLanes *lanes = lane->lanes;

    dv_lock(&lanes->lock);
    g_hash_table_steal(lanes->by_key, lane->key);
    dv_unlock(&lanes->lock);
    job_drop(lane->head);
    lane_free(lane);
}

DvLanes *dv_lanes_new(void)
{
    DvLanes *lanes = g_new0(DvLanes, 1);

    dv_mutex_init(&lanes->lock);
    lanes->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    return lanes;
}

void dv_lanes_free(DvLanes *lanes)
{
    GHashTableIter iter;
    void *lane = NULL;

    if (!lanes)
        return;
    /* Stopped pools have dropped their heads; what is left belongs to a job that never ended. */
    g_hash_table_iter_init(&iter, lanes->by_key);
    while (g_hash_table_iter_next(&iter, NULL, &lane))
        lane_free(lane);
    g_hash_table_destroy(lanes->by_key);
    dv_mutex_done(&lanes->lock);
    g_free(lanes);
}

void dv_lanes_submit(DvLanes *lanes, const char *key, DvPool *pool, DvJobFn run, void *arg,
                     GDestroyNotify drop)
{
    Job *job = g_new(Job, 1);
    Lane *lane = NULL;
    bool first = false;

    *job = (Job){pool, run, arg, drop};
    dv_lock(&lanes->lock);
    lane = g_hash_table_lookup(lanes->by_key, key);
    if (!lane) {
        lane = g_new0(Lane, 1);
        lane->lanes = lanes;
        lane->key = g_strdup(key);
        lane->head = job;
        g_queue_init(&lane->waiting);
        g_hash_table_insert(lanes->by_key, lane->key, lane);
        first = true;
    } else {
        g_queue_push_tail(&lane->waiting, job);
    }
    dv_unlock(&lanes->lock);
    if (first)
        dv_pool_submit(pool, lane_run, lane, lane_dropped);
}

unsigned dv_lanes_depth(DvLanes *lanes, const char *key)
{
    const Lane *lane = NULL;
    unsigned n = 0;

    dv_lock(&lanes->lock);
    lane = g_hash_table_lookup(lanes->by_key, key);
    if (lane)
        n = lane->waiting.length + 1;
    dv_unlock(&lanes->lock);
    return n;
}
