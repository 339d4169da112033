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
    char *image; /* what glance gives as any image */
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
