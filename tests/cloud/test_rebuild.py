"""Servers made anew on their host: rebuilt, rescued, unshelved."""
import os
import xml.etree.ElementTree as ET

from lib import CONSOLE_S, RestError, check, check_equal, eventually, qemu_pid, virsh


def action(t, server, body):
    return t.cloud.post("compute", f"/servers/{server.uuid}/action", body, timeout=180)


def address_of(server):
    return server.ports()[0]["fixed_ips"][0]["ip_address"]


def disks_of(server):
    """The guest's disks: [(file, target device)], in the order of the domain."""
    domain = ET.fromstring(virsh("dumpxml", server.domain))
    return [(os.path.basename(disk.find("source").get("file")), disk.find("target").get("dev"))
            for disk in domain.findall("devices/disk")]


def wait_boot(server, count):
    """Waits until the guest, in a console that was read from its start, tells the n-th boot of its disk."""
    server.wait_console(rf"GUEST-BOOTCOUNT {count}\b", seconds=CONSOLE_S)


def test_rebuild(t):
    """A rebuilt server has a new disk and a new process, and the port and address that it had."""
    server = t.boot_active("rebuild")
    wait_boot(server, 1)
    pid, port, held = qemu_pid(server.domain), server.ports()[0]["id"], server.allocations()
    action(t, server, {"reboot": {"type": "HARD"}})
    server.wait("ACTIVE")
    wait_boot(server, 2)
    action(t, server, {"rebuild": {"imageRef": t.image("tiny"), "metadata": {"rebuilt": "yes"}}})
    shown = server.wait("ACTIVE")
    check_equal(shown["metadata"], {"rebuilt": "yes"}, "metadata")
    wait_boot(server, 1)
    check(qemu_pid(server.domain) != pid, "the same QEMU still runs")
    check_equal(server.ports()[0]["id"], port, "port")
    check_equal(server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1), address_of(server), "guest's address")
    check_equal(server.allocations(), held, "allocations")


def test_rebuild_stopped(t):
    """A stopped server is rebuilt, from another image, and is stopped again."""
    server = t.boot_active("rebuild-stopped")
    action(t, server, {"os-stop": None})
    server.wait("SHUTOFF")
    action(t, server, {"rebuild": {"imageRef": t.image("tiny-raw")}})
    shown = server.wait("SHUTOFF")
    check_equal(shown["image"]["id"], t.image("tiny-raw"), "image")
    check_equal(virsh("domstate", server.domain).strip(), "shut off", "domain")
    action(t, server, {"os-start": None})
    server.wait("ACTIVE")
    server.wait_console("GUEST-BOOTCOUNT")


def test_rescue(t):
    """A rescued server boots the rescue image with its own disk behind, and comes back as it was."""
    server = t.boot_active("rescue")
    wait_boot(server, 1)
    before = disks_of(server)
    action(t, server, {"rescue": {"rescue_image_ref": t.image("tiny")}})
    server.wait("RESCUE")
    check_equal(disks_of(server), [("disk.rescue", "vda"), ("disk", "vdb")], "disks of the rescue")
    server.wait_console(r"HB \d+ .*blk=\S*vda,vdb")
    check(os.path.exists(os.path.join(server.folder, "unrescue.xml")), "no unrescue.xml")
    action(t, server, {"unrescue": None})
    server.wait("ACTIVE")
    check_equal(disks_of(server), before, "disks after the rescue")
    wait_boot(server, 2)
    check(not [name for name in os.listdir(server.folder) if "rescue" in name], "files of the rescue stay")


def test_unshelve(t):
    """What the guest wrote before it was shelved is there when it comes back, at its old address."""
    server = t.boot_active("unshelve")
    wait_boot(server, 1)
    port, address = server.ports()[0]["id"], address_of(server)
    action(t, server, {"shelve": None})
    server.wait("SHELVED_OFFLOADED")
    image, = t.cloud.get("image", "/images", name="unshelve-shelved")["images"]
    t.made.append(("image", "/images/" + image["id"]))
    action(t, server, {"unshelve": None})
    shown = server.wait("ACTIVE")
    check_equal(shown["OS-EXT-SRV-ATTR:host"], t.host, "host")
    check_equal(shown["image"]["id"], t.image("tiny"), "image that nova shows")
    wait_boot(server, 2)
    check_equal(server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1), address, "guest's address")
    check_equal(server.ports()[0]["id"], port, "port")
    check(server.allocations(), "an unshelved server has no allocation")

    def gone():
        try:
            return t.cloud.get("image", "/images/" + image["id"]) is None
        except RestError as err:
            return err.status == 404
    eventually(60, "the shelved image to be deleted", gone)
    t.made.pop()
