/* What a VIF type needs on the host before libvirt plugs the guest's device into it.
 *
 * libvirt makes the tap device and puts it into the bridge (or adds the OVS port with its interface
 * id), and takes it away when the guest ends; what is left to us is what must be there before.
 * Errors     DV_E_UNSUPPORTED names the VIF type; DV_E_VIF_PLUG: the plug failed.
 * Threads    any; calls block on the kernel only.
 * Sources    os-vif vif_plug_linux_bridge, vif_plug_ovs; nova network/os_vif_util.py (Zed). */
#pragma once

#include "util/ctx.h"
#include "util/error.h"
#include "virt/spec.h"

typedef struct VifOps {
    const char *type;
    bool (*plug)(const DvCtx *ctx, const NicSpec *nic, GError **err);
} VifOps;

extern const VifOps vif_bridge_ops; /* bridge.c */
extern const VifOps vif_ovs_ops;    /* ovs.c */

bool vif_plug(const DvCtx *ctx, const NicSpec *nic, GError **err);
