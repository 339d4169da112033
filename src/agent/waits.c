/* External events and their waiters; see waits.h. */
#include "agent/waits.h"

#include "util/clock.h"
#include "util/thread.h"

typedef enum { EVENT_PENDING, EVENT_COMPLETED, EVENT_FAILED } EventState;

typedef struct {
    char *tag;
    EventState state;
} Event;

struct WaitSet {
    Waits *waits;
    char *instance_uuid; /* [const] */
    char *name;          /* [const] */
    GArray *events;      /* [waits->lock] Event */
    bool cancelled;      /* [waits->lock] */
    bool doubted;        /* [waits->lock] until the waiter was told */
};

struct Waits {
    DvMutex lock;
    DvCond changed;
    GPtrArray *sets DV_GUARDED_BY(lock);    /* borrowed WaitSet */
    GHashTable *closed DV_GUARDED_BY(lock); /* instance uuid -> how many keep it closed */
};

Waits *waits_new(void)
{
    Waits *waits = g_new0(Waits, 1);

    dv_mutex_init(&waits->lock);
    dv_cond_init(&waits->changed);
    waits->sets = g_ptr_array_new();
    waits->closed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return waits;
}

void waits_free(Waits *waits)
{
    if (!waits)
        return;
    g_ptr_array_unref(waits->sets);
    g_hash_table_unref(waits->closed);
    dv_cond_done(&waits->changed);
    dv_mutex_done(&waits->lock);
    g_free(waits);
}

WaitSet *waits_register(Waits *waits, const char *instance_uuid, const char *name,
                        const char *const *tags)
{
    WaitSet *set = g_new0(WaitSet, 1);

    set->waits = waits;
    set->instance_uuid = g_strdup(instance_uuid);
    set->name = g_strdup(name);
    set->events = g_array_new(FALSE, FALSE, sizeof(Event));
    for (size_t i = 0; tags[i]; i++) {
        Event event = {g_strdup(tags[i]), EVENT_PENDING};

        g_array_append_val(set->events, event);
    }
    dv_lock(&waits->lock);
    set->cancelled = g_hash_table_contains(waits->closed, instance_uuid);
    g_ptr_array_add(waits->sets, set);
    dv_unlock(&waits->lock);
    return set;
}

void wait_set_free(WaitSet *set)
{
    if (!set)
        return;
    dv_lock(&set->waits->lock);
    g_ptr_array_remove(set->waits->sets, set);
    dv_unlock(&set->waits->lock);
    for (guint i = 0; i < set->events->len; i++)
        g_free(g_array_index(set->events, Event, i).tag);
    g_array_unref(set->events);
    g_free(set->instance_uuid);
    g_free(set->name);
    g_free(set);
}

/* What a set is at: pending tags counted, the first failed one named. */
static unsigned set_pending(const WaitSet *set, const char **out_failed)
{
    unsigned pending = 0;

    for (guint i = 0; i < set->events->len; i++) {
        const Event *event = &g_array_index(set->events, Event, i);

        if (event->state == EVENT_PENDING)
            pending++;
        else if (event->state == EVENT_FAILED && !*out_failed)
            *out_failed = event->tag;
    }
    return pending;
}

bool waits_wait(WaitSet *set, int64_t timeout_ms, GError **err)
{
    int64_t deadline_ms = dv_now_ms() + timeout_ms;
    const char *failed = NULL;
    unsigned pending = 0;
    bool cancelled = false;
    bool doubted = false;
    bool in_time = true;

    dv_lock(&set->waits->lock);
    while (in_time) {
        cancelled = set->cancelled;
        pending = set_pending(set, &failed);
        doubted = set->doubted;
        set->doubted = false;
        if (cancelled || failed || !pending || doubted)
            break;
        in_time = dv_cond_wait_until(&set->waits->changed, &set->waits->lock, deadline_ms);
    }
    if (!in_time)
        pending = set_pending(set, &failed);
    dv_unlock(&set->waits->lock);

    if (cancelled)
        return dv_fail(err, DV_E_CANCELLED, "waiting for %s was cancelled", set->name);
    if (failed)
        return dv_fail(err, DV_E_VIF_PLUG, "%s failed for %s", set->name, failed);
    if (pending && doubted)
        return dv_fail(err, DV_E_UNAVAILABLE, "%u %s events may have been lost", pending,
                       set->name);
    if (pending)
        return dv_fail(err, DV_E_TIMEOUT, "%u %s events did not come in time", pending, set->name);
    return true;
}

unsigned wait_set_complete(WaitSet *set, const char *const *tags)
{
    unsigned count = 0;

    dv_lock(&set->waits->lock);
    for (guint i = 0; i < set->events->len; i++) {
        Event *event = &g_array_index(set->events, Event, i);

        if (event->state != EVENT_PENDING || !g_strv_contains(tags, event->tag))
            continue;
        event->state = EVENT_COMPLETED;
        count++;
    }
    dv_unlock(&set->waits->lock);
    return count;
}

void waits_doubt(Waits *waits)
{
    dv_lock(&waits->lock);
    for (guint i = 0; i < waits->sets->len; i++)
        ((WaitSet *)g_ptr_array_index(waits->sets, i))->doubted = true;
    dv_cond_broadcast(&waits->changed);
    dv_unlock(&waits->lock);
}

bool waits_deliver(Waits *waits, const char *instance_uuid, const char *name, const char *tag,
                   const char *status)
{
    bool found = false;
    EventState state = EVENT_COMPLETED;

    if (g_strcmp0(status, "in-progress") == 0)
        return true;
    if (g_strcmp0(status, "failed") == 0)
        state = EVENT_FAILED;
    dv_lock(&waits->lock);
    for (guint i = 0; i < waits->sets->len; i++) {
        WaitSet *set = g_ptr_array_index(waits->sets, i);

        if (strcmp(set->instance_uuid, instance_uuid) != 0 || strcmp(set->name, name) != 0)
            continue;
        for (guint j = 0; j < set->events->len; j++) {
            Event *event = &g_array_index(set->events, Event, j);

            if (g_strcmp0(event->tag, tag) == 0) {
                event->state = state;
                found = true;
            }
        }
    }
    if (found)
        dv_cond_broadcast(&waits->changed);
    dv_unlock(&waits->lock);
    return found;
}

unsigned waits_cancel(Waits *waits, const char *instance_uuid)
{
    unsigned pending = 0;

    dv_lock(&waits->lock);
    for (guint i = 0; i < waits->sets->len; i++) {
        WaitSet *set = g_ptr_array_index(waits->sets, i);
        const char *failed = NULL;

        if (instance_uuid && strcmp(set->instance_uuid, instance_uuid) != 0)
            continue;
        set->cancelled = true;
        pending += set_pending(set, &failed);
    }
    dv_cond_broadcast(&waits->changed);
    dv_unlock(&waits->lock);
    return pending;
}

void waits_close(Waits *waits, const char *instance_uuid)
{
    guint holders;

    dv_lock(&waits->lock);
    holders = GPOINTER_TO_UINT(g_hash_table_lookup(waits->closed, instance_uuid));
    g_hash_table_insert(waits->closed, g_strdup(instance_uuid), GUINT_TO_POINTER(holders + 1));
    dv_unlock(&waits->lock);
    waits_cancel(waits, instance_uuid);
}

void waits_open(Waits *waits, const char *instance_uuid)
{
    guint holders;

    dv_lock(&waits->lock);
    holders = GPOINTER_TO_UINT(g_hash_table_lookup(waits->closed, instance_uuid));
    if (holders > 1)
        g_hash_table_insert(waits->closed, g_strdup(instance_uuid), GUINT_TO_POINTER(holders - 1));
    else
        g_hash_table_remove(waits->closed, instance_uuid);
    dv_unlock(&waits->lock);
}

bool waits_closed(Waits *waits, const char *instance_uuid)
{
    bool closed;

    dv_lock(&waits->lock);
    closed = g_hash_table_contains(waits->closed, instance_uuid);
    dv_unlock(&waits->lock);
    return closed;
}
