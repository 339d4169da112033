/* The hypervisor's events become power syncs.
 *
 * Threads    the sink runs on the driver's event thread and only posts.
 * Sources    nova virt/libvirt/host.py (delay of stopped events), compute/manager.py handle_events.
 */
#pragma once

#include "agent/agent.h"

/* GuestEventFn; self is the Agent. */
void lifecycle_event(void *self, const GuestEvent *event);
