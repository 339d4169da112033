/* Shelving by the clock: instances that are shelved for longer than shelved_offload_time leave this
 * host.
 *
 * Sources    nova compute/manager.py _poll_shelved_instances (Zed). */
#pragma once

#include "agent/agent.h"

/* Queues the offload of each of them in its lane. */
bool shelve_offload_due(Agent *agent, const DvCtx *ctx, GError **err);
