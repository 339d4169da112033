/* The instances of this host at the start of the agent: what an earlier run, of ours or of
 * nova-compute, left in the middle of something.
 *
 * What may take long (a stop, a reboot, a guest that is started) is queued in the instance's lane
 * and looks at the instance again when its turn comes, so that one slow guest keeps nobody waiting;
 * all else is done when the call returns. The number of calls does not depend on the number of
 * instances, those left in the middle of something aside.
 *
 * Threads    the start thread, before the gate is open.
 * Sources    nova compute/manager.py _init_instance, _retry_reboot, _resume_guests_state,
 *            _reset_live_migration (Zed); docs/wire/flows.md. */
#pragma once

#include "agent/agent.h"

/* Recovers the instances one by one; one that cannot be recovered is reported, or set to error, and
 * the rest go on. Fails only when the lists cannot be read. */
bool recovery_run(Agent *agent, const DvCtx *ctx, GError **err);
