/* What the files behind rpc.h share. */
#pragma once

#include "rpc/call.h"
#include "rpc/dedup.h"
#include "rpc/ids.h"
#include "rpc/limit.h"
#include "rpc/listener.h"
#include "rpc/sender.h"
#include "util/metrics.h"
#include "util/thread.h"

struct Rpc {
    RpcConfig config; /* [const] the caller's, with the URL's options on top */
    RpcUrl *url;      /* [const] likewise the next five; each is itself thread-safe */
    RpcTopology *topology;
    RpcListener *listener;
    RpcSender *sender;
    RpcCalls *calls;
    DvTimer *timer; /* [const] borrowed */

    DvMutex lock;
    GPtrArray *servers;  /* [lock] of RpcServer, owned */
    RpcFeed *reply_feed; /* [lock] NULL until the first call */
    bool started;        /* [lock] */
    bool stopped;        /* [lock] */

    RpcDedup reply_dedup; /* [thread: rpc-listen] */
    RpcLimit reply_limit; /* [thread: rpc-listen] */
    struct {
        DvMetric *requests, *dropped, *calls, *call_failures, *heartbeats;
    } metrics; /* [const] */
};

/* A request or reply for the sender, with its body written. NULL when it cannot be written. */
RpcOut *rpc_out_for(const json_t *inner, const char *routing_key);
void rpc_server_free(RpcServer *server);
/* A message of a server's queues; `self` is the RpcServer. */
void rpc_server_message(void *self, RpcLinkEvent *event);
/* A message of the reply queue; `self` is the Rpc. */
void rpc_client_on_reply(void *self, RpcLinkEvent *event);
