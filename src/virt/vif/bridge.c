/* linuxbridge ports: the bridge is made by whoever needs it first, the L2 agent or us. */
#include "virt/vif/vif.h"

#include "priv/priv.h"
#include "util/log.h"

static bool plug(const DvCtx *ctx, const NicSpec *nic, const char *guest_uuid G_GNUC_UNUSED,
                 GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (!nic->bridge)
        return dv_fail(err, DV_E_BAD_INPUT, "the port has no bridge");
    if (!nic->create_bridge)
        return true;
    /* The bridge gets no MTU of its own: it follows its ports. */
    if (!priv_bridge_create(nic->bridge, 0, &cause))
        return dv_fail(err, DV_E_HYPERVISOR, "%s", cause->message);
    dv_debug(ctx, "bridge %s is there for port %s", nic->bridge, nic->port_id);
    return true;
}

const VifOps vif_bridge_ops = {.type = "bridge", .plug = plug};
