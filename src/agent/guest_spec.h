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

/* What the request needs and this agent cannot do is refused by name, with nova's exception:
 * nothing is ignored (guest_requests.c). */
GuestSpec *guest_spec_build(const Agent *agent, const GuestSource *source, GError **err);

/* One port of the source's network alone, for a guest that is there already; nic_spec_free frees
 * it. */
NicSpec *guest_nic_build(const Agent *agent, const GuestSource *source, const char *port_id,
                         GError **err);
/* Only the guest's name and ports, for plugging them. */
GuestSpec *guest_spec_of_ports(const Ovo *instance, const NetworkInfo *network);

/* An image property: from the image's properties, or the instance's system_metadata ("image_"
 * prefix), under its name or an older one. NULL when unset. */
const char *guest_image_prop(const GuestSource *source, const char *name);
/* True when the instance gets a config drive. */
bool guest_needs_config_drive(const Agent *agent, const GuestSource *source);
/* "instance-0000002a" by instance_name_template. Caller frees. */
char *guest_name(const Agent *agent, const Ovo *instance, GError **err);
/* "pc", or what [libvirt] hw_machine_type says. Borrowed. */
const char *guest_default_machine_type(const Agent *agent);
