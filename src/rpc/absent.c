/* The negative cache of reply queues; see absent.h. */
#include "rpc/absent.h"

#include <glib.h>

struct RpcAbsent {
    GHashTable *expiry; /* name, owned -> int64_t *, owned */
    GQueue order;       /* names, oldest first, borrowed from expiry */
};

RpcAbsent *rpc_absent_new(void)
{
    RpcAbsent *absent = g_new0(RpcAbsent, 1);

    absent->expiry = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_queue_init(&absent->order);
    return absent;
}

void rpc_absent_free(RpcAbsent *absent)
{
    if (!absent)
        return;
    g_queue_clear(&absent->order);
    g_hash_table_unref(absent->expiry);
    g_free(absent);
}

static void drop_oldest(RpcAbsent *absent)
{
    g_hash_table_remove(absent->expiry, g_queue_pop_head(&absent->order));
}

void rpc_absent_add(RpcAbsent *absent, const char *queue, int64_t now_ms)
{
    int64_t *expiry;
    char *name;

    if (rpc_absent_has(absent, queue, now_ms))
        return;
    if (absent->order.length >= RPC_ABSENT_ENTRIES)
        drop_oldest(absent);
    expiry = g_new(int64_t, 1);
    *expiry = now_ms + RPC_ABSENT_MS;
    name = g_strdup(queue);
    g_hash_table_insert(absent->expiry, name, expiry);
    g_queue_push_tail(&absent->order, name);
}

bool rpc_absent_has(RpcAbsent *absent, const char *queue, int64_t now_ms)
{
    const char *oldest;

    while ((oldest = g_queue_peek_head(&absent->order))) {
        const int64_t *expiry = g_hash_table_lookup(absent->expiry, oldest);

        if (*expiry > now_ms)
            break;
        drop_oldest(absent);
    }
    return g_hash_table_contains(absent->expiry, queue);
}
