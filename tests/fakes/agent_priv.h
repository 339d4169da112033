/* What the parts of the agent among fakes share; see agent.h. */
#pragma once

#include "fakes/agent.h"

#include "agent/options.h"
#include "rpc/server.h"
#include "util/thread.h"

/* What other compute hosts do, and what was sent to them. */
typedef struct FakePeers {
    FakeConductorWatch watch; /* set before anybody casts, likewise the next */
    void *watch_arg;
    DvMutex lock;
    GPtrArray *casts;    /* [lock] "method host" */
    json_t *answers;     /* [lock] method -> what any compute host answers */
    char *failing_cast;  /* [lock] method, or NULL */
    char *lost_call;     /* [lock] likewise */
    bool lost_before;    /* [lock] */
    unsigned lost_times; /* [lock] */
} FakePeers;

struct FakeAgent {
    Agent agent;
    FakePeers peers;
    FakeConductor *conductor;
    HttpServer *server;
    FakeAgent *other; /* the host beside it; set before anybody calls */
    bool guest_of;    /* of the other's cloud: conductor and server are the other's */
    const char *host;
    char *folder;
    DvConfig *options;
    TrackerConfig tracker_config;
    ServiceConfig barbican_config;
    AuthConfig barbican_user;
    VendordataConfig vendordata_config;
    RpcServer *rpc_server;
    DvCtx *ctx;
    unsigned sent;    /* [rpc_lock] */
    DvMutex rpc_lock; /* what rpc-listen owns in an agent: one request comes in at a time */
};

/* agent_peers.c */
void fake_peers_init(FakePeers *peers);
void fake_peers_done(FakePeers *peers);
/* What this agent casts and calls. */
PeerTransport fake_peers_transport(FakeAgent *fake);
