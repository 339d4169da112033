/* What external events need of the interface operations; those themselves are in ops.h.
 *
 * Threads    on a worker, in the instance's lane. */
#pragma once

#include "agent/agent.h"

/* Neutron has deleted a port: it leaves the cache and the guest. Failures are logged: there is
 * nobody to tell. */
void interfaces_port_deleted(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *port_id);
