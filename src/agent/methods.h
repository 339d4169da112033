/* The table of RPC methods, and the endpoints they are served on.
 *
 * Threads    constant tables. */
#pragma once

#include "agent/dispatch.h"

/* All endpoints of a compute service: 6.x, the 5.x proxy, baseapi, and the ping of oslo.messaging
 * when enabled. */
const RpcEndpoint *methods_endpoints(bool ping_enabled, size_t *out_count);
/* The row of a method, NULL when unknown. */
const AgentMethod *methods_find(const char *name);
