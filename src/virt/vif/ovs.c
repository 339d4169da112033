/* Open vSwitch ports, in the three ways that nova knows:
 *
 *   created by us    the port is added here, the tap device comes with the guest (delegate_create;
 *                    all that a nova since Xena says of its ports)
 *   left to libvirt  it adds the port with the tap; only the bridge has to be there
 *   hybrid           security groups by iptables want a kernel bridge: tap - qbr - qvb - qvo -
 * br-int
 *
 * A port's bridge is the integration bridge, made by the L2 agent, or a trunk's, made by whoever
 * needs it first and deleted with the port.
 * Sources    os-vif vif_plug_ovs/ovs.py, linux_net.py; nova network/os_vif_util.py
 *            _nova_to_osvif_vif_ovs, neutron openvswitch agent (Zed). */
#include "virt/vif/vif.h"

#include "priv/priv.h"
#include "util/log.h"

#define TRUNK_BRIDGE_PREFIX "tbr-"
#define NAME_LENGTH 14 /* nova's and os-vif's NIC_NAME_LEN */

static char *device_name(const char *prefix, const NicSpec *nic)
{
    return g_strdup_printf("%s%.*s", prefix, NAME_LENGTH - (int)strlen(prefix), nic->port_id);
}

char *vif_ovs_hybrid_bridge(const NicSpec *nic)
{
    return device_name("qbr", nic);
}

static bool add_port(const NicSpec *nic, const char *device, const char *guest_uuid, GError **err)
{
    return priv_ovs_port_add(
        &(PrivOvsPort){
            .bridge = nic->bridge,
            .name = device,
            .iface_id = nic->ovs_interfaceid ? nic->ovs_interfaceid : nic->port_id,
            .mac = nic->mac,
            .vm_uuid = guest_uuid,
        },
        err);
}

/* An OVS bridge has a device of its name, whatever its datapath: no need to ask OVS each time. */
static bool need_bridge(const NicSpec *nic, GError **err)
{
    return priv_link_exists(nic->bridge) ||
           priv_ovs_bridge_create(nic->bridge, nic->ovs_datapath, err);
}

static bool plug_hybrid(const NicSpec *nic, const char *guest_uuid, GError **err)
{
    g_autofree char *bridge = vif_ovs_hybrid_bridge(nic);
    g_autofree char *inner = device_name("qvb", nic);
    g_autofree char *outer = device_name("qvo", nic);

    if (!priv_bridge_create_flooding(bridge, err))
        return false;
    /* Devices of the guest's last start are kept, they may hold flows; the MTU may be another. */
    if (!priv_link_exists(outer)) {
        if (!priv_veth_create(inner, outer, nic->mtu, err))
            return false;
    } else if (nic->mtu > 0 && (!priv_link_set_mtu(inner, nic->mtu, err) ||
                                !priv_link_set_mtu(outer, nic->mtu, err))) {
        return false;
    }
    return priv_link_enslave(inner, bridge, err) && need_bridge(nic, err) &&
           add_port(nic, outer, guest_uuid, err);
}

static bool plug(const DvCtx *ctx, const NicSpec *nic, const char *guest_uuid, GError **err)
{
    g_autoptr(GError) cause = NULL;
    bool ok;

    if (!nic->bridge || !nic->port_id || !nic->devname)
        return dv_fail(err, DV_E_BAD_INPUT, "the port has no bridge, id or device name");
    if (nic->ovs_hybrid)
        ok = plug_hybrid(nic, guest_uuid, &cause);
    else
        ok = need_bridge(nic, &cause) &&
             (!nic->ovs_create || add_port(nic, nic->devname, guest_uuid, &cause));
    if (!ok)
        return dv_fail(err, DV_E_HYPERVISOR, "%s", cause->message);
    dv_debug(ctx, "port %s is plugged into %s", nic->port_id, nic->bridge);
    return true;
}

/* What is there decides, not the port's binding: that may have changed since it was plugged. */
static bool unplug(const DvCtx *ctx, const NicSpec *nic, GError **err)
{
    g_autofree char *bridge = NULL;
    g_autofree char *outer = NULL;

    if (!nic->port_id || !nic->devname)
        return dv_fail(err, DV_E_BAD_INPUT, "the port has no id or device name");
    bridge = vif_ovs_hybrid_bridge(nic);
    outer = device_name("qvo", nic);
    if (priv_link_exists(bridge) || priv_link_exists(outer)) {
        if (!priv_link_delete(bridge, err) || !priv_ovs_port_delete(outer, err) ||
            !priv_link_delete(outer, err)) /* and its other end with it */
            return false;
    } else if (!priv_ovs_port_delete(nic->devname, err) || !priv_link_delete(nic->devname, err)) {
        return false;
    }
    dv_debug(ctx, "port %s is unplugged", nic->port_id);
    return !nic->bridge || !g_str_has_prefix(nic->bridge, TRUNK_BRIDGE_PREFIX) ||
           priv_ovs_bridge_delete(nic->bridge, err);
}

const VifOps vif_ovs_ops = {.type = "ovs", .plug = plug, .unplug = unplug};
