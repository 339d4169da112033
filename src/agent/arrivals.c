/* Instances that were announced; see arrivals.h. */
#include "agent/arrivals.h"

#include "util/thread.h"

enum { MOST = 64, AGE_MS = 60000 };

typedef struct Arrival {
    Ovo *bdms;
    bool grouped;
    int64_t noted_ms;
} Arrival;

struct Arrivals {
    const DvClock *clock; /* [const] */
    DvMutex lock;
    GHashTable *known DV_GUARDED_BY(lock); /* uuid -> Arrival */
};

static void arrival_free(void *arg)
{
    Arrival *arrival = arg;

    ovo_unref(arrival->bdms);
    g_free(arrival);
}

Arrivals *arrivals_new(const DvClock *clock)
{
    Arrivals *arrivals = g_new0(Arrivals, 1);

    arrivals->clock = clock;
    dv_mutex_init(&arrivals->lock);
    arrivals->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, arrival_free);
    return arrivals;
}

void arrivals_free(Arrivals *arrivals) DV_NO_ANALYSIS
{
    if (!arrivals)
        return;
    g_hash_table_unref(arrivals->known);
    dv_mutex_done(&arrivals->lock);
    g_free(arrivals);
}

static bool is_old(const Arrival *arrival, int64_t now_ms)
{
    return now_ms - arrival->noted_ms > AGE_MS;
}

static gboolean is_old_entry(void *key G_GNUC_UNUSED, void *value, void *now_ms)
{
    return is_old(value, *(int64_t *)now_ms);
}

void arrivals_note(Arrivals *arrivals, const char *uuid, Ovo *bdms, bool grouped)
{
    Arrival *arrival = g_new(Arrival, 1);
    int64_t now_ms = dv_clock_now_ms(arrivals->clock);

    *arrival = (Arrival){bdms, grouped, now_ms};
    dv_lock(&arrivals->lock);
    g_hash_table_foreach_remove(arrivals->known, is_old_entry, &now_ms);
    g_hash_table_remove(arrivals->known, uuid);
    if (g_hash_table_size(arrivals->known) < MOST)
        g_hash_table_replace(arrivals->known, g_strdup(uuid), g_steal_pointer(&arrival));
    dv_unlock(&arrivals->lock);
    if (arrival)
        arrival_free(arrival);
}

bool arrivals_take(Arrivals *arrivals, const char *uuid, Ovo **out_bdms, bool *out_grouped)
{
    Arrival *arrival = NULL;
    char *key = NULL;
    bool ok;

    dv_lock(&arrivals->lock);
    g_hash_table_steal_extended(arrivals->known, uuid, (void **)&key, (void **)&arrival);
    dv_unlock(&arrivals->lock);
    g_free(key);
    ok = arrival && !is_old(arrival, dv_clock_now_ms(arrivals->clock));
    if (ok) {
        *out_bdms = g_steal_pointer(&arrival->bdms);
        *out_grouped = arrival->grouped;
    }
    if (arrival)
        arrival_free(arrival);
    return ok;
}
