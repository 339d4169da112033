/* Other compute hosts, and this one by way of the broker (nova casts to itself, too). What runs
 * there may be drover or nova-compute.
 *
 * Errors     a call ends with the code of the exception that the other side raised (those of
 * remote_errors.h, without its class in the text), DV_E_REMOTE "Class: message" for the others,
 * DV_E_TIMEOUT when nobody answered: then the other side may still have done it.
 * Threads    any; a cast returns when the broker has it, a call blocks.
 * Sources    nova compute/rpcapi.py (Zed to 2026.1). */
#pragma once

#include "objects/ovo.h"
#include "rpc/rpc.h"

typedef struct Peers Peers;

/* What carries the messages, with the contracts of rpc_cast and rpc_call; args is stolen. */
typedef struct PeerTransport {
    bool (*cast)(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                 json_t *args, GError **err);
    bool (*call)(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                 json_t *args, int64_t timeout_ms, int64_t monitor_ms, json_t **out_result,
                 RpcRemote *remote, GError **err);
    void *self;
} PeerTransport;

/* [DEFAULT] rpc_response_timeout and long_rpc_timeout. */
typedef struct PeerTimes {
    int64_t response_ms, long_ms;
} PeerTimes;

Peers *peers_new(Rpc *rpc, const PeerTimes *times);
/* For tests: over something that is not RabbitMQ. */
Peers *peers_new_with(const PeerTransport *transport, const PeerTimes *times);
void peers_free(Peers *peers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Peers, peers_free)

/* args: a dict Ovo, borrowed. */
bool peer_cast(Peers *peers, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, GError **err);

/* How long nova waits for a method's answer. */
typedef enum {
    PEER_SHORT, /* rpc_response_timeout */
    PEER_LONG,  /* long_rpc_timeout, as long as the other side shows every rpc_response_timeout that
                   it is alive */
    PEER_ALIVE, /* the same, and it has to show so within 20 s: for a caller who can do without */
} PeerWait;

/* Calls and waits. *out_result (may be NULL: not wanted) is the caller's, a JSON value. */
bool peer_call(Peers *peers, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, PeerWait wait, json_t **out_result,
               GError **err);
