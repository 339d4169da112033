/* A guest's description turned into that of its rescue.
 *
 * The classic rescue boots a disk of the rescue image and shows the root disk behind it, and
 * nothing else. The stable one, asked for by the rescue image's hw_rescue_device and hw_rescue_bus,
 * adds the rescue disk to everything that the guest has, under the names it has.
 *
 * Errors     DV_E_RESCUE_DEVICE, DV_E_RESCUE_BUS.
 * Sources    nova virt/libvirt/blockinfo.py _get_rescue_disk_mapping,
 *            _get_stable_device_rescue_mapping (Zed). */
#pragma once

#include "agent/agent.h"

/* True when the rescue image (dict with "properties") asks for a stable rescue. */
bool rescue_is_stable(const Ovo *image);
/* Changes `spec` in place; its disks get their paths when they are made. `image`: the rescue's. */
bool rescue_spec_apply(const Agent *agent, GuestSpec *spec, const Ovo *image, GError **err);
/* Kernel and ramdisk of the rescue lie beside those of the guest; NULL ids: it has none. */
void rescue_spec_kernel(const Agent *agent, GuestSpec *spec, const char *kernel_id,
                        const char *ramdisk_id);
