/* Callers that wait for a reply, by _msg_id.
 *
 * A reply wakes its waiter on the thread that read it, so no pool has to have a free thread.
 * Errors     as rpc_call.
 * Threads    any; rpc_call_wait blocks. */
#pragma once

#include "rpc/envelope.h"

typedef struct RpcCalls RpcCalls;
typedef struct RpcWait RpcWait;

RpcCalls *rpc_calls_new(void);
void rpc_calls_free(RpcCalls *calls);

/* Registers a waiter before its request leaves. monitor_ms 0: no call monitor. NULL when we are
 * stopping. Every waiter must be waited for. */
RpcWait *rpc_calls_begin(RpcCalls *calls, const char *msg_id, int64_t deadline_ms,
                         int64_t monitor_ms);
/* Waits for the end of the call; frees the waiter. */
bool rpc_calls_wait(RpcCalls *calls, RpcWait *wait, json_t **out_result, RpcRemote *remote,
                    GError **err);
/* A reply or a heartbeat came. `result` is stolen and must not be shared: from here on it belongs
 * to the caller's thread. reply->result is not looked at. False: nobody waits for it. */
bool rpc_calls_deliver(RpcCalls *calls, const RpcReplyView *reply, json_t *result);
/* The request could not be sent. */
void rpc_calls_fail(RpcCalls *calls, const char *msg_id, DvErrorCode code, const char *text);
/* Ends all waits with DV_E_CANCELLED, and all later ones. */
void rpc_calls_cancel(RpcCalls *calls);
size_t rpc_calls_count(RpcCalls *calls);
