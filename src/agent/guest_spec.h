/* From an instance to the plain description of its guest: the one translator between nova's objects
 * and virt.
 *
 * Sources    nova virt/libvirt/driver.py _get_guest_config, blockinfo.py (Zed). */
#pragma once

#include "agent/agent.h"

/* What a boot knows beside the instance. Everything borrowed. */
typedef struct GuestSource {
    const Ovo *instance;
    const Ovo *image; /* glance metadata dict with "properties"; NULL: from system_metadata */
    const Ovo *bdms;  /* BlockDeviceMappingList */
    const NetworkInfo *network;
    const DvCtx *ctx;
} GuestSource;

/* DV_E_UNSUPPORTED names what the request needs and this agent cannot do: nothing is ignored. */
GuestSpec *guest_spec_build(const Agent *agent, const GuestSource *source, GError **err);

/* Adds a NicSpec for each port; network may be NULL. model NULL: virtio. */
void guest_spec_add_ports(GuestSpec *spec, const NetworkInfo *network, const char *model);

/* An image property: from the image's properties, or the instance's system_metadata ("image_"
 * prefix). NULL when unset. */
const char *guest_image_prop(const GuestSource *source, const char *name);
/* True when the instance gets a config drive. */
bool guest_needs_config_drive(const Agent *agent, const GuestSource *source);
/* "instance-0000002a" by instance_name_template. Caller frees. */
char *guest_name(const Agent *agent, const Ovo *instance, GError **err);
/* "pc", or what [libvirt] hw_machine_type says. Borrowed. */
const char *guest_default_machine_type(const Agent *agent);
