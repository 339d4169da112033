/* Open vSwitch ports: libvirt adds the port to the integration bridge, which the L2 agent made. */
#include "virt/vif/vif.h"

static bool plug(const DvCtx *ctx G_GNUC_UNUSED, const NicSpec *nic, GError **err)
{
    if (!nic->bridge)
        return dv_fail(err, DV_E_BAD_INPUT, "the port has no bridge");
    /* TODO(hybrid-plug): the iptables_hybrid firewall driver wants qbr/qvb/qvo devices in between;
     * matters on clouds that have not moved to the openvswitch firewall driver. */
    if (nic->ovs_hybrid)
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "hybrid plugging is not supported, use firewall_driver = openvswitch");
    return true;
}

const VifOps vif_ovs_ops = {.type = "ovs", .plug = plug};
