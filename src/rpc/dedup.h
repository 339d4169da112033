/* The last 16 message ids of a listener: oslo drops a message whose _unique_id is among them.
 *
 * Threads    one, the listener's. */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum { RPC_DEDUP_IDS = 16, RPC_DEDUP_ID_BYTES = 64 };

typedef struct RpcDedup {
    char ids[RPC_DEDUP_IDS][RPC_DEDUP_ID_BYTES];
    unsigned next;
} RpcDedup;

/* True when `id` was seen lately; remembers it otherwise. NULL and ids that are too long are never
 * duplicates. */
bool rpc_dedup_seen(RpcDedup *dedup, const char *id);
