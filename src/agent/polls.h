/* Periodic looks at servers that a user was expected to come back to.
 *
 * Each asks for nothing that runs here in the caller's thread: what it finds due is requested as
 * the API would request it, and runs in the server's lane.
 * Threads    on the periodic worker.
 * Sources    nova compute/manager.py _poll_unconfirmed_resizes, _poll_rescued_instances (Zed). */
#pragma once

#include "agent/agent.h"

/* Confirms resizes that are finished since resize_confirm_window seconds. 0: nothing. */
bool poll_unconfirmed_resizes(Agent *agent, const DvCtx *ctx, GError **err);
/* Ends rescues that began more than rescue_timeout seconds ago. 0: nothing. */
bool poll_rescued(Agent *agent, const DvCtx *ctx, GError **err);
