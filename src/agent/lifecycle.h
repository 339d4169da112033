/* The hypervisor's events wake those who wait for a guest, and become power syncs.
 *
 * Threads    the sink runs on the driver's event thread and only posts.
 * Sources    nova virt/libvirt/host.py (delay of stopped events), compute/manager.py handle_events.
 */
#pragma once

#include "agent/agent.h"

/* GuestEventFn; self is the Agent. */
void lifecycle_event(void *self, const GuestEvent *event);

/* Waits until the guest has stopped by itself or was stopped; register before looking at its state.
 * Ended like all waits of the instance (agent/waits.h). */
WaitSet *lifecycle_expect_stop(Agent *agent, const char *instance_uuid);
/* Waits for it; *out_stopped is false when it did not come in time. False when the wait was ended:
 * DV_E_DELETING, a delete of the instance has come in; DV_E_CANCELLED, the agent is stopping. */
bool lifecycle_wait(Agent *agent, WaitSet *stop, const char *instance_uuid, int64_t timeout_ms,
                    bool *out_stopped, GError **err);
