/* The defaults that a host chose for a guest go into its instance as image properties, so that a
 * later host, or this one with other defaults, builds the same machine.
 *
 * Threads    on the caller's worker.
 * Sources    nova virt/libvirt/driver.py _register_undefined_instance_details (Zed). */
#pragma once

#include "agent/agent.h"

/* What `spec` says and the instance does not know yet; unsaved. */
void guest_defaults_record(const GuestSpec *spec, Ovo *instance);

/* For a guest that was made before such things were written down: finds out what this host would
 * choose, and saves it. `instance` has flavor and system_metadata. Nothing to do: success, without
 * a call. */
bool guest_defaults_register(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);
