/* What a VIF type needs on the host before libvirt makes the guest's device, and what of it has to
 * be taken away when the guest is gone.
 *
 * libvirt makes the tap device, puts it into the bridge that the domain's XML names, and takes it
 * away when the guest ends. plug is done again before each start and finds what is there already;
 * unplug finds what is left, whatever made it.
 * Errors     DV_E_UNSUPPORTED names the VIF type; DV_E_HYPERVISOR: the plug failed, which nova has
 * as InternalError. Threads    any; calls block on the kernel, and on ovs-vsctl for at most two
 * minutes. Sources    os-vif vif_plug_linux_bridge, vif_plug_ovs; nova network/os_vif_util.py
 * (Zed). */
#pragma once

#include "util/ctx.h"
#include "util/error.h"
#include "virt/spec.h"

typedef struct VifOps {
    const char *type;
    bool (*plug)(const DvCtx *ctx, const NicSpec *nic, const char *guest_uuid, GError **err);
    bool (*unplug)(const DvCtx *ctx, const NicSpec *nic, GError **err); /* NULL: nothing to do */
} VifOps;

extern const VifOps vif_bridge_ops; /* bridge.c */
extern const VifOps vif_ovs_ops;    /* ovs.c */

bool vif_plug(const DvCtx *ctx, const NicSpec *nic, const char *guest_uuid, GError **err);
bool vif_unplug(const DvCtx *ctx, const NicSpec *nic, GError **err);
/* The bridge between a guest and OVS of a port with ovs_hybrid: "qbr" and the port's id. Caller
 * frees. */
char *vif_ovs_hybrid_bridge(const NicSpec *nic);
