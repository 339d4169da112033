"""Devices that come and go, consoles, and what a config drive tells of them."""
import json
import os
import socket
import subprocess

from lib import check, check_equal, check_nothing_left, eventually, further_options, refused, run, virsh

OLD_API = {"OpenStack-API-Version": "compute 2.1", "X-OpenStack-Nova-API-Version": "2.1"}


def attach(t, server, **what):
    """Attaches an interface and returns nova's answer about it."""
    return t.cloud.post("compute", f"/servers/{server.uuid}/os-interface",
                        {"interfaceAttachment": what}, timeout=180)["interfaceAttachment"]


def detach(t, server, port_id):
    t.cloud.delete("compute", f"/servers/{server.uuid}/os-interface/{port_id}")


def taps(server, *flags):
    """Tap devices of a domain, as libvirt has them."""
    lines = virsh("domiflist", server.domain, *flags).splitlines()[2:]
    return {line.split()[4]: line.split()[0] for line in lines if line.strip()}  # MAC -> tap


def wait_nics(server, names, seconds=120):
    """Waits until the guest itself lists these network devices in its newest heartbeat."""
    def probe():
        beats = [line for line in server.console().splitlines() if line.startswith("HB ")]
        return beats and f"net={names}," in beats[-1]
    eventually(seconds, f"guest to have {names}", probe, 1)


def wait_detached(t, server, port_id):
    def probe():
        listed = t.cloud.get("compute", f"/servers/{server.uuid}/os-interface")["interfaceAttachments"]
        return port_id not in [one["port_id"] for one in listed]
    eventually(120, f"port {port_id} to be detached", probe)


def drive_file(server, name):
    """A file of the server's config drive, read from the host's side."""
    image = os.path.join(server.folder, "disk.config")
    return subprocess.run(["isoinfo", "-R", "-i", image, "-x", "/" + name], stdout=subprocess.PIPE, check=True).stdout


def test_attach_and_detach(t):
    """An interface comes to a running guest, which sees it and gets its address, and goes again with its port."""
    server = t.boot_active("hotplug")
    server.wait_console("GUEST-DHCP eth0")
    made = attach(t, server, net_id=t.network())
    check_equal(set(taps(server)), {p["mac_address"] for p in server.ports()}, "MACs of the domain")
    check_equal(taps(server)[made["mac_addr"]], "tap" + made["port_id"][:11], "tap of the new port")
    check(made["mac_addr"] in taps(server, "--inactive"), "the definition does not have the new device")
    check(f'uuid="{made["port_id"]}"' in virsh("dumpxml", server.domain).replace("'", '"'), "no metadata of the port")
    wait_nics(server, "eth0,eth1,lo")
    eventually(60, "port ACTIVE", lambda: t.show_port(made["port_id"])["status"] == "ACTIVE")
    check_equal(server.wait_console(r"GUEST-DHCP eth1 ([\d.]+)").group(1), made["fixed_ips"][0]["ip_address"],
                "address of the new device")

    detach(t, server, made["port_id"])
    wait_detached(t, server, made["port_id"])
    wait_nics(server, "eth0,lo")
    check(made["mac_addr"] not in taps(server), "the guest still has the device")
    check(made["mac_addr"] not in taps(server, "--inactive"), "the definition still has the device")
    check_equal(len(server.ports()), 1, "ports of the server")
    server.delete_and_wait()
    check_nothing_left(server)


def test_attach_users_port(t):
    """A port that the user made stays when it is detached, and can be attached again."""
    port = t.make_port()
    server = t.boot_active("users-port")
    server.wait_console("GUEST-DHCP eth0")
    for _ in range(2):
        made = attach(t, server, port_id=port["id"])
        check_equal(made["port_id"], port["id"], "port")
        check_equal(t.show_port(port["id"])["binding:host_id"], t.host, "port's host")
        wait_nics(server, "eth0,eth1,lo")
        detach(t, server, port["id"])
        wait_detached(t, server, port["id"])
        eventually(60, "port to be unbound", lambda: t.show_port(port["id"])["device_id"] == "")
        wait_nics(server, "eth0,lo")


def test_attach_while_stopped(t):
    """A stopped guest has its new interface at the next start; a port in use is refused."""
    server = t.boot_active("stopped-attach")
    server.wait_console("GUEST-DHCP eth0")
    t.cloud.post("compute", f"/servers/{server.uuid}/action", {"os-stop": None})
    server.wait("SHUTOFF")
    made = attach(t, server, net_id=t.network())
    check_equal(len(taps(server, "--inactive")), 2, "devices of the definition")
    refused(lambda: attach(t, server, port_id=made["port_id"]), 400, 409)
    t.cloud.post("compute", f"/servers/{server.uuid}/action", {"os-start": None})
    server.wait("ACTIVE")
    wait_nics(server, "eth0,eth1,lo")


def test_deleted_port(t):
    """A port that is deleted in neutron leaves the guest."""
    server = t.boot_active("port-deleted")
    server.wait_console("GUEST-DHCP eth0")
    made = attach(t, server, net_id=t.network())
    wait_nics(server, "eth0,eth1,lo")
    t.cloud.delete("network", "/ports/" + made["port_id"])
    wait_nics(server, "eth0,lo")
    eventually(60, "device to be gone", lambda: made["mac_addr"] not in taps(server, "--inactive"))
    check_equal(len(server.show()["addresses"]["provider"]), 1, "addresses that nova shows")


def test_device_tags(t):
    """A tagged interface is in the config drive with its PCI address; one that is attached is told to the API."""
    server = t.own(t.cloud.post("compute", "/servers", {"server": {
        "name": "tags", "flavorRef": "1", "imageRef": t.image("tiny"), "config_drive": True,
        "networks": [{"uuid": t.network(), "tag": "front"}]}}, timeout=180)["server"]["id"])
    server.wait("ACTIVE")
    metadata = json.loads(drive_file(server, "openstack/latest/meta_data.json"))
    device, = metadata["devices"]
    check_equal(device["tags"], ["front"], "tags")
    check_equal(device["mac"], server.ports()[0]["mac_address"], "MAC")
    xml = virsh("dumpxml", server.domain)
    slot = int(device["address"].split(":")[2].split(".")[0], 16)
    check(f"slot='0x{slot:02x}'" in xml.split("<interface")[1].split("</interface>")[0],
          f"the interface is not at {device['address']}")
    ec2 = json.loads(drive_file(server, "ec2/latest/meta-data.json"))
    check_equal(ec2["security-groups"], ["default"], "security groups")
    made = attach(t, server, net_id=t.network(), tag="back")
    listed = t.cloud.get("compute", f"/servers/{server.uuid}/os-interface")["interfaceAttachments"]
    check_equal({one["port_id"]: one["tag"] for one in listed}[made["port_id"]], "back", "tag that nova shows")


def test_fixed_ips(t):
    """An address is added to a server's port and removed again."""
    server = t.boot_active("fixed-ip")
    before = {ip["ip_address"] for ip in server.ports()[0]["fixed_ips"]}
    t.cloud.post("compute", f"/servers/{server.uuid}/action", {"addFixedIp": {"networkId": t.network()}},
                 headers=OLD_API)
    eventually(60, "second address", lambda: len(server.ports()[0]["fixed_ips"]) == 2)
    added, = {ip["ip_address"] for ip in server.ports()[0]["fixed_ips"]} - before
    eventually(60, "address that nova shows",
               lambda: added in [a["addr"] for a in server.show()["addresses"]["provider"]])
    t.cloud.post("compute", f"/servers/{server.uuid}/action", {"removeFixedIp": {"address": added}}, headers=OLD_API)
    eventually(60, "one address", lambda: len(server.ports()[0]["fixed_ips"]) == 1)


def test_serial_and_spice(t):
    """With the options on, the serial console listens on TCP and still fills the log, and SPICE has a port."""
    options = ("[serial_console]\nenabled=true\nport_range=11000:11010\nproxyclient_address=127.0.0.1\n"
               "[spice]\nenabled=true\nagent_enabled=true\nserver_listen=127.0.0.1\n")
    with further_options("agent", options):
        server = t.boot_active("serial")
        console = t.cloud.post("compute", f"/servers/{server.uuid}/remote-consoles", {
            "remote_console": {"protocol": "serial", "type": "serial"}})["remote_console"]
        check(console["url"].startswith("ws://127.0.0.1:6083/?token="), f"URL is {console['url']}")
        info = t.cloud.get("compute", "/os-console-auth-tokens/" + console["url"].split("token=")[1])["console"]
        check(11000 <= int(info["port"]) < 11010, f"port {info['port']}")
        with socket.create_connection((info["host"], int(info["port"])), timeout=60) as sock:
            check(sock.recv(1), "nothing comes from the serial console")
        server.wait_console("GUEST-UP")
        spice = t.cloud.post("compute", f"/servers/{server.uuid}/remote-consoles", {
            "remote_console": {"protocol": "spice", "type": "spice-html5"}})["remote_console"]
        check(spice["url"].startswith("http://127.0.0.1:6082/spice_auto.html?token="), f"URL is {spice['url']}")
        xml = virsh("dumpxml", server.domain)
        check("com.redhat.spice.0" in xml and "qxl" in xml, "no SPICE channel or no QXL")
        port = run("virsh", "-c", os.environ["DROVER_CLOUD_LIBVIRT_URI"], "domdisplay", server.domain, "--type",
                   "spice").strip().rsplit(":", 1)[1]
        with socket.create_connection(("127.0.0.1", int(port)), timeout=30):
            pass
        server.delete_and_wait()
        check_nothing_left(server)
