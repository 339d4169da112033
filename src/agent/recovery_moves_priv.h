/* What recovery_moves.c and recovery_live.c share. */
#pragma once

#include "agent/agent.h"

/* A move as it was found: the records, and what the hypervisor here says of the guest. */
typedef struct Interrupted {
    Agent *agent;
    const DvCtx *ctx; /* with the instance's uuid */
    const char *uuid;
    Ovo *instance, *migration; /* migration: the newest, or NULL */
    GuestState power;
} Interrupted;
