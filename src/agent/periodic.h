/* The periodic jobs of nova-compute, with its option names and spacings.
 *
 * Jobs run one after the other on a worker of their own; one that is still running or queued is not
 * queued again. Sources    nova compute/manager.py periodic tasks (Zed); docs/wire/flows.md. */
#pragma once

#include "agent/agent.h"

typedef struct Periodic Periodic;

Periodic *periodic_start(Agent *agent);
/* After the periodic pool has been stopped. */
void periodic_free(Periodic *periodic);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Periodic, periodic_free)
