/* Powering a guest off, as every operation does that needs it off.
 *
 * Errors     DV_E_DELETING: a delete of the instance has come in meanwhile, and the guest is left
 * to it; DV_E_CANCELLED: the agent is stopping; DV_E_POWER_OFF and the rest of virt/driver.h.
 * Threads    on the operation's worker; a clean one blocks for up to the guest's shutdown timeout.
 * Sources    nova compute/manager.py _get_power_off_values, virt/libvirt/driver.py power_off,
 *            _clean_shutdown (Zed). */
#pragma once

#include "agent/agent.h"

/* Clean: the guest is asked to power itself off and gets the time that its image
 * (os_shutdown_timeout) or shutdown_timeout says; then it is ended. Otherwise it is ended at once.
 * It stays defined; one that is off or gone is success. */
bool guest_power_off(Agent *agent, const DvCtx *ctx, const Ovo *instance, bool clean, GError **err);
