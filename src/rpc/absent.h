/* Reply queues that nobody consumes any more: replies to them are dropped without trying again.
 *
 * Bounded in number and time, as oslo's cache: 200 entries, 60 s.
 * Threads    one, rpc-send. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { RPC_ABSENT_ENTRIES = 200, RPC_ABSENT_MS = 60000 };

typedef struct RpcAbsent RpcAbsent;

RpcAbsent *rpc_absent_new(void);
void rpc_absent_free(RpcAbsent *absent);
void rpc_absent_add(RpcAbsent *absent, const char *queue, int64_t now_ms);
bool rpc_absent_has(RpcAbsent *absent, const char *queue, int64_t now_ms);
