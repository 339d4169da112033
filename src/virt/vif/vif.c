/* The table of VIF types; see vif.h. */
#include "virt/vif/vif.h"

static const VifOps *const types[] = {&vif_bridge_ops, &vif_ovs_ops};

bool vif_plug(const DvCtx *ctx, const NicSpec *nic, GError **err)
{
    const char *port = nic->port_id ? nic->port_id : "?";

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (g_strcmp0(types[i]->type, nic->type) == 0)
            return types[i]->plug(ctx, nic, err) || dv_within(err, "plugging port %s", port);
    }
    return dv_fail(err, DV_E_UNSUPPORTED, "plugging port %s: VIF type %s is not supported", port,
                   nic->type ? nic->type : "(none)");
}
