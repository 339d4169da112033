/* Keys with queued work; see pending.h. */
#include "agent/pending.h"

#include "util/thread.h"

struct Pending {
    DvMutex lock;
    GHashTable *keys DV_GUARDED_BY(lock); /* char * -> itself */
};

Pending *pending_new(void)
{
    Pending *pending = g_new0(Pending, 1);

    dv_mutex_init(&pending->lock);
    pending->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return pending;
}

void pending_free(Pending *pending)
{
    if (!pending)
        return;
    g_hash_table_unref(pending->keys);
    dv_mutex_done(&pending->lock);
    g_free(pending);
}

bool pending_add(Pending *pending, const char *key)
{
    bool added;

    dv_lock(&pending->lock);
    added = g_hash_table_add(pending->keys, g_strdup(key));
    dv_unlock(&pending->lock);
    return added;
}

void pending_remove(Pending *pending, const char *key)
{
    dv_lock(&pending->lock);
    g_hash_table_remove(pending->keys, key);
    dv_unlock(&pending->lock);
}

bool pending_has(Pending *pending, const char *key)
{
    bool has;

    dv_lock(&pending->lock);
    has = g_hash_table_contains(pending->keys, key);
    dv_unlock(&pending->lock);
    return has;
}
