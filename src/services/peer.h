/* Other compute hosts, and this one by way of the broker (nova casts to itself, too).
 *
 * Threads    any; a cast returns when the broker has it.
 * Sources    nova compute/rpcapi.py (Zed). */
#pragma once

#include "objects/ovo.h"
#include "rpc/rpc.h"

typedef struct Peers Peers;

/* What carries a cast, with the contract of rpc_cast; args is stolen. */
typedef bool (*PeerCastFn)(void *self, const DvCtx *ctx, const RpcTarget *target,
                           const char *method, json_t *args, GError **err);

Peers *peers_new(Rpc *rpc);
/* For tests: over something that is not RabbitMQ. */
Peers *peers_new_with(PeerCastFn cast, void *self);
void peers_free(Peers *peers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Peers, peers_free)

/* args: a dict Ovo, borrowed. */
bool peer_cast(Peers *peers, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, GError **err);
