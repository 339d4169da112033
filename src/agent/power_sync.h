/* Power states: what the hypervisor has wins over what the database says, by nova's table.
 *
 * Threads    on a worker, in the instance's lane.
 * Sources    nova compute/manager.py _sync_instance_power_state, handle_lifecycle_event (Zed). */
#pragma once

#include "agent/agent.h"

/* Brings one instance in line with the guest's state. */
bool power_sync_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state,
                         GError **err);
/* Queues a look at one instance behind what it is doing; reads it anew. Never blocks. */
void power_sync_want(Agent *agent, const char *instance_uuid);
/* The periodic job: all instances of this host, with one listing of the guests. */
bool power_sync_all(Agent *agent, const DvCtx *ctx, GError **err);
