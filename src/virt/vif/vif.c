/* The table of VIF types; see vif.h. */
#include "virt/vif/vif.h"

static const VifOps *const types[] = {&vif_bridge_ops, &vif_ovs_ops};

static const char *port_of(const NicSpec *nic)
{
    return nic->port_id ? nic->port_id : "?";
}

static const VifOps *ops_of(const NicSpec *nic, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (g_strcmp0(types[i]->type, nic->type) == 0)
            return types[i];
    }
    dv_fail(err, DV_E_UNSUPPORTED, "VIF type %s is not supported",
            nic->type ? nic->type : "(none)");
    return NULL;
}

bool vif_plug(const DvCtx *ctx, const NicSpec *nic, const char *guest_uuid, GError **err)
{
    const VifOps *ops = ops_of(nic, err);

    return (ops && ops->plug(ctx, nic, guest_uuid, err)) ||
           dv_within(err, "plugging port %s", port_of(nic));
}

bool vif_unplug(const DvCtx *ctx, const NicSpec *nic, GError **err)
{
    const VifOps *ops = ops_of(nic, err);

    return (ops && (!ops->unplug || ops->unplug(ctx, nic, err))) ||
           dv_within(err, "unplugging port %s", port_of(nic));
}
