/* The timer thread; see timer.h.
 *
 * Entries are kept sorted by their due time; the thread sleeps until the first. While an entry runs
 * it is the current one and in neither list, so that cancelling it means: mark it, and wait until
 * the thread has let go of it. */
#include "util/timer.h"

#include "util/thread.h"

typedef struct Entry {
    uint64_t id;
    int64_t due_ms;
    int64_t period_ms;
    DvTimerFn fn;
    void *arg;
    GDestroyNotify drop;
    GSequenceIter *place; /* in `queue`, NULL while it runs */
    bool cancelled;
} Entry;

struct DvTimer {
    GThread *thread; /* [const] */
    DvMutex lock;
    DvCond wake;
    DvCond ran;                              /* `current_id` changed */
    GSequence *queue DV_GUARDED_BY(lock);    /* Entry, by due time, then id */
    GHashTable *by_id DV_GUARDED_BY(lock);   /* &Entry.id -> Entry: queued, or a periodic current */
    uint64_t current_id DV_GUARDED_BY(lock); /* 0: none */
    uint64_t last_id DV_GUARDED_BY(lock);
    bool stopping DV_GUARDED_BY(lock);
};

static int entry_compare(const void *a, const void *b, void *unused G_GNUC_UNUSED)
{
    const Entry *x = a;
    const Entry *y = b;

    if (x->due_ms != y->due_ms)
        return x->due_ms < y->due_ms ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void entry_free(Entry *entry)
{
    if (entry->drop)
        entry->drop(entry->arg);
    g_free(entry);
}

static void timer_enqueue(DvTimer *timer, Entry *entry) DV_REQUIRES(timer->lock)
{
    entry->place = g_sequence_insert_sorted(timer->queue, entry, entry_compare, NULL);
}

/* Waits for the first entry to be due and takes it off the queue; NULL when stopping. */
static Entry *timer_next(DvTimer *timer) DV_REQUIRES(timer->lock)
{
    while (!timer->stopping) {
        Entry *first = NULL;

        if (g_sequence_is_empty(timer->queue)) {
            dv_cond_wait(&timer->wake, &timer->lock);
            continue;
        }
        first = g_sequence_get(g_sequence_get_begin_iter(timer->queue));
        if (first->due_ms <= dv_now_ms()) {
            g_sequence_remove(first->place);
            first->place = NULL;
            return first;
        }
        dv_cond_wait_until(&timer->wake, &timer->lock, first->due_ms);
    }
    return NULL;
}

/* After a run: queue it again, or hand it back to be freed. */
static Entry *timer_after_run(DvTimer *timer, Entry *entry) DV_REQUIRES(timer->lock)
{
    int64_t now = dv_now_ms();

    if (entry->cancelled || entry->period_ms == 0 || timer->stopping) {
        if (!entry->cancelled)
            g_hash_table_remove(timer->by_id, &entry->id);
        return entry;
    }
    entry->due_ms += entry->period_ms;
    if (entry->due_ms <= now) /* runs that were missed are not made up for */
        entry->due_ms = now + entry->period_ms;
    timer_enqueue(timer, entry);
    return NULL;
}

static void *timer_main(void *arg)
{
    DvTimer *timer = arg;
    Entry *entry = NULL;

    dv_lock(&timer->lock);
    while ((entry = timer_next(timer))) {
        Entry *over = NULL;

        timer->current_id = entry->id;
        if (entry->period_ms == 0) /* it has fired: nobody can prevent it any more */
            g_hash_table_remove(timer->by_id, &entry->id);
        dv_unlock(&timer->lock);
        entry->fn(entry->arg);
        dv_lock(&timer->lock);
        over = timer_after_run(timer, entry);
        if (over) {
            dv_unlock(&timer->lock);
            entry_free(over);
            dv_lock(&timer->lock);
        }
        timer->current_id = 0;
        dv_cond_broadcast(&timer->ran);
    }
    dv_unlock(&timer->lock);
    return NULL;
}

DvTimer *dv_timer_new(void)
{
    DvTimer *timer = g_new0(DvTimer, 1);

    dv_mutex_init(&timer->lock);
    dv_cond_init(&timer->wake);
    dv_cond_init(&timer->ran);
    timer->queue = g_sequence_new(NULL);
    timer->by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
    timer->thread = dv_thread_new("timer", timer_main, timer);
    return timer;
}

void dv_timer_free(DvTimer *timer)
{
    if (!timer)
        return;
    dv_lock(&timer->lock);
    timer->stopping = true;
    dv_cond_broadcast(&timer->wake);
    dv_unlock(&timer->lock);
    g_thread_join(timer->thread);

    g_sequence_foreach(timer->queue, (GFunc)(void (*)(void))entry_free, NULL);
    g_sequence_free(timer->queue);
    g_hash_table_destroy(timer->by_id);
    dv_mutex_done(&timer->lock);
    dv_cond_done(&timer->wake);
    dv_cond_done(&timer->ran);
    g_free(timer);
}

uint64_t dv_timer_add(DvTimer *timer, int64_t delay_ms, int64_t period_ms, DvTimerFn fn, void *arg,
                      GDestroyNotify drop)
{
    Entry *entry = g_new0(Entry, 1);
    uint64_t id;

    *entry = (Entry){
        .due_ms = dv_now_ms() + MAX(delay_ms, 0),
        .period_ms = MAX(period_ms, 0),
        .fn = fn,
        .arg = arg,
        .drop = drop,
    };
    dv_lock(&timer->lock);
    id = entry->id = ++timer->last_id;
    g_hash_table_insert(timer->by_id, &entry->id, entry);
    timer_enqueue(timer, entry);
    dv_cond_signal(&timer->wake);
    dv_unlock(&timer->lock);
    return id;
}

bool dv_timer_cancel(DvTimer *timer, uint64_t id)
{
    Entry *entry = NULL;
    Entry *over = NULL;

    if (id == 0)
        return false;
    dv_lock(&timer->lock);
    entry = g_hash_table_lookup(timer->by_id, &id);
    if (entry) {
        g_hash_table_remove(timer->by_id, &id);
        if (entry->place) {
            g_sequence_remove(entry->place);
            over = entry;
        } else {
            entry->cancelled = true; /* the thread frees it after the run */
        }
    }
    if (g_thread_self() != timer->thread)
        while (timer->current_id == id)
            dv_cond_wait(&timer->ran, &timer->lock);
    dv_unlock(&timer->lock);
    if (over)
        entry_free(over);
    return entry != NULL;
}
