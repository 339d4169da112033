/* Duplicate suppression; see dedup.h. */
#include "rpc/dedup.h"

#include <string.h>

bool rpc_dedup_seen(RpcDedup *dedup, const char *id)
{
    if (!id || !*id || strlen(id) >= RPC_DEDUP_ID_BYTES)
        return false;
    for (unsigned i = 0; i < RPC_DEDUP_IDS; i++)
        if (strcmp(dedup->ids[i], id) == 0)
            return true;
    g_strlcpy(dedup->ids[dedup->next], id, RPC_DEDUP_ID_BYTES);
    dedup->next = (dedup->next + 1) % RPC_DEDUP_IDS;
    return false;
}
