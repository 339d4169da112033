/* The periodic "exists" notifications, by which billing knows what existed in a period.
 *
 * Once for each audit period that is over; the record of that is conductor's TaskLog, so that a
 * restart does not tell it twice.
 * Threads    on the periodic worker.
 * Sources    nova compute/manager.py _instance_usage_audit (Zed). */
#pragma once

#include "agent/agent.h"

/* Nothing unless [DEFAULT] instance_usage_audit. */
bool usage_audit(Agent *agent, const DvCtx *ctx, GError **err);
