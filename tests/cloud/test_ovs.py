"""Ports in Open vSwitch: what the agent plugs there, and that it is gone with the server."""
import os

from lib import check, check_equal, check_nothing_left, needs_network, run


def vsctl(*words):
    return run("ovs-vsctl", "--timeout=20", *words).strip()


def check_interface(device, port, server):
    """The OVS port of the device carries what neutron's agent and the operator know it by."""
    check_equal(vsctl("port-to-br", device), "br-int", "bridge of the port")
    for key, want in (("iface-id", port["id"]), ("attached-mac", port["mac_address"]), ("vm-uuid", server.uuid)):
        got = vsctl("get", "Interface", device, f"external_ids:{key}").strip('"')
        check_equal(got, want, f"{key} of the port")
    check(int(vsctl("get", "Interface", device, "ofport")) > 0, "OVS has not opened the device")


def boot_and_check(t, name, prefix):
    server = t.boot_active(name)
    port, = server.ports()
    device = (prefix + port["id"])[:14]
    check_equal(port["binding:vif_type"], "ovs", "port's VIF type")
    check_equal(port["binding:vif_details"].get("ovs_hybrid_plug"), prefix == "qvo", "hybrid plug")
    address = port["fixed_ips"][0]["ip_address"]
    check_equal(server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1), address, "guest's address")
    check_interface(device, port, server)
    return server, port, device


def check_unplugged(server, port, device):
    server.delete_and_wait()
    check_nothing_left(server)
    check(device not in vsctl("list-ports", "br-int").split(), f"port {device} is still in OVS")
    for prefix in ("tap", "qbr", "qvb", "qvo"):
        name = (prefix + port["id"])[:14]
        check(not os.path.exists("/sys/class/net/" + name), f"device {name} stays")


@needs_network("ovs")
def test_ovs_port(t):
    """A server on an Open vSwitch port gets its address by DHCP; the port is gone with it."""
    check_unplugged(*boot_and_check(t, "ovs", "tap"))


@needs_network("ovs-hybrid")
def test_ovs_hybrid_port(t):
    """With security groups by iptables the port has a bridge and a cable of its own, which go with it."""
    server, port, device = boot_and_check(t, "hybrid", "qvo")
    bridge = ("qbr" + port["id"])[:14]
    check_equal(sorted(os.listdir(f"/sys/class/net/{bridge}/brif")),
                sorted([("qvb" + port["id"])[:14], ("tap" + port["id"])[:14]]), "ports of its bridge")
    check_unplugged(server, port, device)
