/* The heartbeat: Service.save with a growing report_count, by which the control plane knows that we
 * are up.
 *
 * It has a worker of its own and waits for nobody: a stuck hypervisor or a full pool does not stop
 * it. Sources    nova servicegroup/drivers/db.py (Zed). */
#pragma once

#include "agent/agent.h"

typedef struct Heartbeat Heartbeat;

/* Beats at once and then every report_interval. `service` is taken over. */
Heartbeat *heartbeat_start(Agent *agent, Ovo *service);
/* After the beat pool has been stopped. */
void heartbeat_free(Heartbeat *beat);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Heartbeat, heartbeat_free)
