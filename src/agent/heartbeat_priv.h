/* The heartbeat without its clock, for tests. */
#pragma once

#include "agent/heartbeat.h"

/* Does not beat by itself. `service` is taken over. */
Heartbeat *heartbeat_new(Agent *agent, Ovo *service);
/* One beat, on the caller's thread. */
void heartbeat_beat(Heartbeat *beat);
