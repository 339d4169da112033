/* A bounded pool of workers; see pool.h.
 *
 * Own code rather than GThreadPool, because ours has named threads with signals blocked, ends them
 * when idle and can stop with a deadline. Ended workers leave their handle in `ended` and are
 * joined by whoever touches the pool next, so that freeing the pool never races with a worker's
 * last instructions. */
#include "util/pool.h"

#include "util/clock.h"
#include "util/pool_priv.h"
#include "util/thread.h"

enum { IDLE_MS = 10 * 1000 };

typedef struct Job {
    DvJobFn run;
    void *arg;
    GDestroyNotify drop;
    int64_t since_ms;
} Job;

struct DvPool {
    char *name;           /* [const] */
    unsigned max_workers; /* [const] */
    DvMutex lock;
    DvCond wake; /* a job came, or stopping */
    DvCond idle; /* a worker has nothing to do or ended */
    int64_t idle_ms DV_GUARDED_BY(lock);
    GQueue jobs DV_GUARDED_BY(lock);      /* Job */
    GPtrArray *ended DV_GUARDED_BY(lock); /* GThread, to be joined */
    unsigned workers DV_GUARDED_BY(lock); /* threads that have not said goodbye */
    unsigned running DV_GUARDED_BY(lock); /* of these, inside a job */
    bool stopping DV_GUARDED_BY(lock);
};

static void job_drop(Job *job)
{
    if (job->drop)
        job->drop(job->arg);
    g_free(job);
}

/* Waits for a job; NULL when the worker shall end. */
static Job *pool_next(DvPool *pool) DV_REQUIRES(pool->lock)
{
    int64_t until = dv_now_ms() + pool->idle_ms;

    while (g_queue_is_empty(&pool->jobs) && !pool->stopping)
        if (!dv_cond_wait_until(&pool->wake, &pool->lock, until))
            break;
    return g_queue_pop_head(&pool->jobs);
}

static void *worker(void *arg)
{
    DvPool *pool = arg;
    Job *job = NULL;

    dv_lock(&pool->lock);
    while ((job = pool_next(pool))) {
        pool->running++;
        dv_unlock(&pool->lock);
        job->run(job->arg);
        g_free(job);
        dv_lock(&pool->lock);
        pool->running--;
        dv_cond_broadcast(&pool->idle);
    }
    pool->workers--;
    g_ptr_array_add(pool->ended, g_thread_ref(g_thread_self()));
    dv_cond_broadcast(&pool->idle);
    dv_unlock(&pool->lock);
    return NULL;
}

/* Takes the handles of ended workers; join them without the lock. */
static GPtrArray *pool_take_ended(DvPool *pool) DV_REQUIRES(pool->lock)
{
    GPtrArray *ended = pool->ended;

    pool->ended = g_ptr_array_new();
    return ended;
}

static void join_all(GPtrArray *threads)
{
    for (guint i = 0; i < threads->len; i++)
        g_thread_join(threads->pdata[i]);
    g_ptr_array_free(threads, TRUE);
}

DvPool *dv_pool_new(const char *name, unsigned max_workers)
{
    DvPool *pool = g_new0(DvPool, 1);

    pool->name = g_strdup(name);
    pool->max_workers = max_workers;
    pool->ended = g_ptr_array_new();
    pool->idle_ms = IDLE_MS;
    g_queue_init(&pool->jobs);
    dv_mutex_init(&pool->lock);
    dv_cond_init(&pool->wake);
    dv_cond_init(&pool->idle);
    return pool;
}

void dv_pool_set_idle_ms(DvPool *pool, int64_t idle_ms)
{
    dv_lock(&pool->lock);
    pool->idle_ms = idle_ms;
    dv_unlock(&pool->lock);
}

/* True when the jobs waiting outnumber the workers that are free to take them. */
static bool pool_wants_worker(const DvPool *pool) DV_REQUIRES(pool->lock)
{
    unsigned free_workers = pool->workers - pool->running;

    return pool->jobs.length > free_workers &&
           (pool->max_workers == 0 || pool->workers < pool->max_workers);
}

void dv_pool_submit(DvPool *pool, DvJobFn run, void *arg, GDestroyNotify drop)
{
    Job *job = g_new(Job, 1);
    GPtrArray *ended = NULL;

    *job = (Job){run, arg, drop, dv_now_ms()};
    dv_lock(&pool->lock);
    if (pool->stopping) {
        dv_unlock(&pool->lock);
        job_drop(job);
        return;
    }
    g_queue_push_tail(&pool->jobs, job);
    if (pool_wants_worker(pool)) {
        pool->workers++;
        /* Under the lock, so that a stop that follows sees the worker. */
        g_thread_unref(dv_thread_new(pool->name, worker, pool));
    }
    dv_cond_signal(&pool->wake);
    ended = pool_take_ended(pool);
    dv_unlock(&pool->lock);
    join_all(ended);
}

unsigned dv_pool_queued(DvPool *pool)
{
    unsigned n;

    dv_lock(&pool->lock);
    n = pool->jobs.length;
    dv_unlock(&pool->lock);
    return n;
}

unsigned dv_pool_running(DvPool *pool)
{
    unsigned n;

    dv_lock(&pool->lock);
    n = pool->running;
    dv_unlock(&pool->lock);
    return n;
}

void dv_pool_load(DvPool *pool, DvPoolLoad *out)
{
    const Job *first;

    dv_lock(&pool->lock);
    first = g_queue_peek_head(&pool->jobs);
    *out = (DvPoolLoad){
        .name = pool->name,
        .queued = pool->jobs.length,
        .running = pool->running,
        .max_workers = pool->max_workers,
        .oldest_ms = first ? dv_now_ms() - first->since_ms : 0,
    };
    dv_unlock(&pool->lock);
}

bool dv_pool_stop(DvPool *pool, int64_t deadline_ms)
{
    GQueue queued = G_QUEUE_INIT;
    GPtrArray *ended = NULL;
    Job *job = NULL;
    bool done = false;

    dv_lock(&pool->lock);
    pool->stopping = true;
    while ((job = g_queue_pop_head(&pool->jobs)))
        g_queue_push_tail(&queued, job);
    dv_cond_broadcast(&pool->wake);
    dv_unlock(&pool->lock);
    while ((job = g_queue_pop_head(&queued)))
        job_drop(job);

    dv_lock(&pool->lock);
    while (pool->workers > 0)
        if (!dv_cond_wait_until(&pool->idle, &pool->lock, deadline_ms))
            break;
    done = pool->workers == 0;
    ended = pool_take_ended(pool);
    dv_unlock(&pool->lock);
    join_all(ended);
    return done;
}

void dv_pool_free(DvPool *pool)
{
    if (!pool)
        return;
    /* A job that outlived the deadline of the stop still uses the pool: leave both to the end of
     * the process, which is what such a stop is for. */
    if (!dv_pool_stop(pool, dv_now_ms()))
        return;
    g_ptr_array_free(pool->ended, TRUE);
    dv_mutex_done(&pool->lock);
    dv_cond_done(&pool->wake);
    dv_cond_done(&pool->idle);
    g_free(pool->name);
    g_free(pool);
}
