/* What an instance's ports leave on this host, taken away once its guest is gone.
 *
 * Threads    the instance's lane. */
#pragma once

#include "agent/agent.h"
#include "objects/network_info.h"

/* Nobody waits for it and nothing hangs on it: what could not be taken away is logged, as nova
 * does. network may be NULL. */
void op_unplug(Agent *agent, const DvCtx *ctx, const Ovo *instance, const NetworkInfo *network);
