/* instance.device_metadata: where the guest finds the devices that its user gave a tag.
 *
 * The metadata service and the config drive tell it to the guest. Only tagged devices are in it: an
 * instance without tags has none, and nothing is asked of the hypervisor.
 * Errors     those of conductor; DV_E_INSTANCE_NOT_FOUND: no guest is defined.
 * Sources    nova virt/libvirt/driver.py _build_device_metadata (Zed). */
#pragma once

#include "agent/agent.h"

/* Whether a port (as recorded with conductor) or a mapping of `bdms` (may be NULL) has a tag. */
bool device_metadata_wanted(Agent *agent, const DvCtx *ctx, const Ovo *instance, const Ovo *bdms,
                            bool *out, GError **err);
/* Puts it into the instance, unsaved, as the guest is defined now. bdms NULL: conductor is asked.
 */
bool device_metadata_build(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *bdms,
                           GError **err);
