"""Guests that boot, speak and go: the project's main job."""
import os
import re
import socket
import urllib.parse
import xml.etree.ElementTree as ET

from lib import (CONSOLE_S, Failure, check, check_equal, check_nothing_left, eventually, qemu_pid, virsh,
                 websocket_read)


def test_boot_console_delete(t):
    """A server boots, gets neutron's address by DHCP, shows its console, and leaves nothing when deleted."""
    server = t.boot("boot")
    shown = server.wait("ACTIVE")
    check_equal(shown["OS-EXT-SRV-ATTR:host"], t.host, "host")
    check_equal(shown["OS-EXT-STS:vm_state"], "active", "vm_state")
    check_equal(shown["OS-EXT-STS:power_state"], 1, "power_state")
    check(shown["OS-SRV-USG:launched_at"], "no launched_at")

    port, = server.ports()
    check_equal(port["binding:host_id"], t.host, "port's host")
    vif_type = "bridge" if os.environ["DROVER_CLOUD_NETWORK"] == "linuxbridge" else "ovs"
    check_equal(port["binding:vif_type"], vif_type, "port's VIF type")
    eventually(60, "port ACTIVE", lambda: t.show_port(port["id"])["status"] == "ACTIVE")
    address = port["fixed_ips"][0]["ip_address"]
    check_equal(shown["addresses"]["provider"][0]["addr"], address, "address that nova shows")
    check_equal(server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1), address, "guest's address")

    check_equal(virsh("domstate", server.domain).strip(), "running", "domain")
    check(server.allocations(), "a running server has no allocation")
    server.delete_and_wait()
    check_nothing_left(server)


def test_guest_is_what_flavor_says(t):
    """vCPUs, memory and disk of the guest are those of its flavor; its disks carry explicit formats."""
    server = t.boot_active("sizes", flavor="4")
    cpus, memory_kib = re.search(r"GUEST-CPUS (\d+) MEMKB (\d+)", server.wait_console(
        r"GUEST-CPUS \d+ MEMKB \d+").group()).groups()
    check_equal(int(cpus), 2, "vCPUs in the guest")
    check(180 * 1024 < int(memory_kib) <= 256 * 1024, f"memory in the guest: {memory_kib} KiB")
    domain = ET.fromstring(virsh("dumpxml", "--inactive", server.domain))
    check_equal(domain.findtext("uuid"), server.uuid, "UUID of the domain")
    for driver in domain.findall("devices/disk/driver"):
        check(driver.get("type") in ("qcow2", "raw"), "a disk without a format")
    check_equal(virsh("domblkinfo", server.domain, "vda").split()[1], str(1 << 30), "size of the disk")


def test_boot_raw_image(t):
    """A raw image boots as well."""
    t.boot_active("raw", image="tiny-raw").wait_console("GUEST-DHCP")


def test_boot_from_port(t):
    """A port that the user made is bound for the guest; after the delete it is still there, unbound."""
    port = t.make_port()
    server = t.boot("port", port=port["id"])
    server.wait("ACTIVE")
    bound = t.show_port(port["id"])
    check_equal(bound["device_id"], server.uuid, "port's device")
    check_equal(bound["binding:host_id"], t.host, "port's host")
    address = port["fixed_ips"][0]["ip_address"]
    check_equal(server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1), address, "guest's address")

    server.delete_and_wait()
    check_nothing_left(server)
    kept = t.show_port(port["id"])
    check_equal(kept["device_id"], "", "device of the port that stays")
    check_equal(kept["device_owner"], "", "owner of the port that stays")
    check_equal(kept["binding:host_id"], "", "host of the port that stays")
    check_equal(kept["binding:vif_type"], "unbound", "VIF type of the port that stays")


def test_config_drive(t):
    """With a config drive the guest reads its own metadata."""
    server = t.boot("cfg", config_drive=True, metadata={"k": "v"})
    check_equal(server.wait("ACTIVE")["config_drive"], "True", "config_drive")
    server.wait_console("GUEST-CONFIGDRIVE \\w+ ")
    # The guest prints the first 300 bytes, which are not always whole JSON: look for the members.
    text = server.wait_console("GUEST-CONFIGDRIVE .*").group()
    check(f'"uuid": "{server.uuid}"' in text, f"the config drive is not this server's: {text}")


def test_vnc_console(t):
    """`openstack console url show` gives a token that nova knows, and behind its address listens a VNC server."""
    server = t.boot_active("vnc")
    console = t.cloud.post("compute", f"/servers/{server.uuid}/remote-consoles", {
        "remote_console": {"protocol": "vnc", "type": "novnc"}})["remote_console"]
    check(console["url"].startswith("http://127.0.0.1:6080/vnc_lite.html?"), f"URL is {console['url']}")
    token = token_of(console["url"])
    info = t.cloud.get("compute", "/os-console-auth-tokens/" + token)["console"]
    check_equal(info["instance_uuid"], server.uuid, "instance of the token")
    with socket.create_connection((info["host"], info["port"]), timeout=30) as sock:
        check_equal(sock.recv(4), b"RFB ", "what listens at the console's address")


def test_vnc_through_proxy(t):
    """A browser's websocket through nova-novncproxy ends at the guest's VNC server."""
    server = t.boot_active("vnc-proxy")
    console = t.cloud.post("compute", f"/servers/{server.uuid}/remote-consoles", {
        "remote_console": {"protocol": "vnc", "type": "novnc"}})["remote_console"]
    path = "/websockify?" + urllib.parse.urlencode({"token": token_of(console["url"])})
    check_equal(websocket_read("127.0.0.1", 6080, path, 4, CONSOLE_S)[:4], b"RFB ", "first bytes through the proxy")


def test_console_length(t):
    """`openstack console log show --lines N` gives the last N lines."""
    server = t.boot_active("lines")
    server.wait_console("HB 3 ")
    answer = t.cloud.post("compute", f"/servers/{server.uuid}/action", {"os-getConsoleOutput": {"length": 2}})
    lines = answer["output"].strip().splitlines()
    check(1 <= len(lines) <= 3, f"asked for 2 lines, got {lines}")
    check(lines[-1].startswith("HB "), f"not the end of the log: {lines}")


def test_ten_at_once(t):
    """Ten servers in one request: all become active, each with an address of its own, and all go again."""
    reservation = t.ask_boot("ten", count=10)["reservation_id"]
    found = t.cloud.get("compute", "/servers", reservation_id=reservation)["servers"]
    check_equal(len(found), 10, "servers of the reservation")
    servers = [t.own(s["id"]) for s in found]
    addresses = {server.wait("ACTIVE", seconds=3 * CONSOLE_S)["addresses"]["provider"][0]["addr"] for server in servers}
    check_equal(len(addresses), 10, "different addresses")
    check_equal(len({qemu_pid(server.domain) for server in servers}), 10, "QEMU processes")
    for server in servers:
        server.delete()
    for server in servers:
        server.wait_gone()
        check_nothing_left(server)


def test_delete_while_building(t):
    """A delete that comes in any phase of the build wins, and leaves nothing."""
    for tasks in (("scheduling",), ("networking",), ("block_device_mapping",), ("spawning",)):
        server = t.boot("early")
        try:
            server.wait_task(*tasks)
        except Failure:  # the phase went by unseen: the delete then meets a later one
            pass
        server.delete()
        server.wait_gone()
        server.domain = server.domain or "instance-of-" + server.uuid
        check_nothing_left(server)


def token_of(url):
    """The token in a novnc URL: ?path=%3Ftoken%3D..."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["path"][0].split("token=")[1]
