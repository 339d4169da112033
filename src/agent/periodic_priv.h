/* Periodic jobs without their clock, for tests. */
#pragma once

#include "agent/periodic.h"

/* None of the jobs runs by itself. */
Periodic *periodic_new(Agent *agent);
/* Runs one job now, on the caller's thread; what it queues elsewhere may go on. False: there is no
 * job of that name. */
bool periodic_run(Periodic *periodic, const char *name);
