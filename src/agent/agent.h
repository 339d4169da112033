/* Everything that a running agent is made of, wired by main.c and handed to whoever works.
 *
 * Ownership  main.c makes and frees the parts; all others borrow them.
 * Threads    the pointers are constant after wiring; each part says its own rule. */
#pragma once

#include "agent/gate.h"
#include "agent/options.h"
#include "agent/pending.h"
#include "agent/vitals.h"
#include "agent/waits.h"
#include "rpc/rpc.h"
#include "scheduler_hints/tracker.h"
#include "services/conductor.h"
#include "services/glance.h"
#include "services/neutron.h"
#include "services/peer.h"
#include "services/placement.h"
#include "services/vendordata.h"
#include "util/lanes.h"
#include "util/pool.h"
#include "util/timer.h"
#include "virt/disk/disks.h"
#include "virt/driver.h"

#include <stdatomic.h>

/* Of every message to another compute host: all of them speak it, from Zed on. */
#define PEER_VERSION "6.0"

typedef struct Notifier Notifier;
typedef struct LiveQueue LiveQueue;
typedef struct Arrivals Arrivals;

typedef enum {
    POOL_GENERAL,
    POOL_BUILD,
    POOL_SNAPSHOT, /* copies and uploads of disks */
    POOL_MIGRATE,  /* live migrations from here */
    POOL_PERIODIC, /* one worker: periodic jobs never run beside each other */
    POOL_BEAT,     /* one worker: the heartbeat waits for nobody */
    POOL_COUNT
} AgentPool;

typedef struct Agent {
    AgentConfig config; /* [const] likewise what follows */
    VirtConfig virt_config;
    DisksConfig disks_config;
    const char *pointer_model;
    int64_t second_look_ms; /* [const] recovery_moves.h; likewise the next */
    GHashTable *moving;     /* [thread: start] instances whose moves it looks at; NULL: none */
    DvTimer *timer;         /* [const] likewise the pointers below */
    DvPool *pools[POOL_COUNT];
    DvLanes *lanes;
    Gate *gate; /* opened by the start, closed by the stop */
    Rpc *rpc;
    Notifier *notifier; /* NULL: the operator wants no notifications */
    Conductor *con;
    Peers *peers;
    HttpClient *http;
    Service *placement, *neutron, *glance;
    Service *barbican; /* the key manager; asked only for TPMs */
    Vendordata *vendordata;
    VirtDriver *virt;
    Disks *disks;
    Tracker *tracker;
    Waits *waits;
    Pending *refreshes;     /* instances with a queued network cache refresh */
    Pending *ports;         /* the users' ports that a boot is taking just now */
    Pending *saves;         /* instances whose guest's memory is being saved just now */
    atomic_bool evacuating; /* some guest was evacuated from here and is not cleaned up yet */
    LiveQueue *live;        /* live migrations from here */
    Arrivals *arrivals;     /* instances that may come here live */
    Vitals vitals;          /* what the parts report of themselves */
    atomic_bool stopping;   /* set once by main */
} Agent;

bool agent_stopping(const Agent *agent);
