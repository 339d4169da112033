/* When to try which broker again: full jitter over a ceiling that grows. No I/O, no clock.
 *
 * The hosts are shuffled once, then walked in that order for ever (or picked at random with the
 * strategy "shuffle"). A connection that was up counts as a fresh start.
 * Threads    one, the connection's.
 * Sources    oslo.messaging options kombu_reconnect_delay, kombu_reconnect_splay,
 *            rabbit_retry_interval, rabbit_retry_backoff, rabbit_interval_max. */
#pragma once

#include "rpc/rpc.h"

typedef struct RpcReconnect RpcReconnect;

RpcReconnect *rpc_reconnect_new(const RpcConfig *config, size_t host_count, GRand *rand);
void rpc_reconnect_free(RpcReconnect *reconnect);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcReconnect, rpc_reconnect_free)

/* The host to try now. */
size_t rpc_reconnect_host(const RpcReconnect *reconnect);
/* The attempt failed, or the connection that it made went away after all: moves to the next host;
 * returns the milliseconds to wait first. */
int64_t rpc_reconnect_failed(RpcReconnect *reconnect);
/* The attempt made a usable connection. */
void rpc_reconnect_succeeded(RpcReconnect *reconnect);
