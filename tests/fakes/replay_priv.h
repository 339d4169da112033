/* What the parts of the replay share; see replay.h. */
#pragma once

#include "fakes/replay.h"

#include "agent/heartbeat_priv.h"
#include "agent/periodic_priv.h"
#include "util/thread.h"

typedef struct Replay {
    const ReplayHow *how;
    FakeAgent *fake;
    json_t *fixture;
    const char *method, *uuid; /* of the operation, or of the instance that is there; borrowed */
    GThread *pump;
    atomic_bool stop;
    atomic_uint lulls;  /* how often the pump found nothing to take */
    atomic_uint step;   /* of the conversation: what is sent now belongs to it */
    Periodic *periodic; /* NULL before the agent has started, and so is the next */
    Heartbeat *beat;
    VirtDriver *peer; /* of half: the hypervisor of the other host */
    char *image;      /* what glance gives as any image */
    size_t image_length;
    DvMutex lock;
    bool recording;      /* [lock] */
    json_t *sent;        /* [lock] */
    GHashTable *answers; /* [lock] "neutron GET /v2.0/..." -> GQueue of json_t, borrowed */
} Replay;

/* Request `i` of the recording, NULL when there is none. Borrowed. */
json_t *replay_request(const Replay *replay, size_t i);
/* The instance that a request brings, NULL when it brings none. Borrowed. */
json_t *replay_instance_of(const json_t *request);
/* The row of an instance as the control plane has it when it sends this request. */
void replay_put(Replay *replay, const json_t *instance);

/* replay_stage.c: the host as it was before the recorded conversation began. */
void replay_set_stage(Replay *replay);
/* A root disk over the image in the cache, as an earlier boot left it; data of the Instance. */
void replay_put_disk(Replay *replay, const json_t *data);

/* replay_moves.c: of a conversation of two hosts.
 * Options that the recorded host has. */
#define REPLAY_HALF_OPTIONS                                                  \
    "my_ip = 198.51.100.1\n[vnc]\nserver_listen = 198.51.100.1\n[libvirt]\n" \
    "live_migration_scheme = tcp\nlive_migration_inbound_addr = 198.51.100.1\n[DEFAULT]\n"
/* The other host, and what this one has of the instance. */
void replay_set_peer(Replay *replay);
/* What the other host and the control plane have done when they send this request, which is
 * changed where it names files. */
void replay_before(Replay *replay, json_t *request);
void replay_peer_done(Replay *replay);
