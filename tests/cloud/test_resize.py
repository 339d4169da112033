"""Resizes on one host: to another flavor, confirmed or taken back; and what is refused."""
import os
import re

from lib import BOOT_S, check, check_equal, eventually, virsh


def action(t, server, body):
    return t.cloud.post("compute", f"/servers/{server.uuid}/action", body, timeout=180)


def disk_bytes(server):
    return int(virsh("domblkinfo", server.domain, "vda").split()[1])


def guest_memory_mib(server):
    return int(server.wait_console(r"GUEST-CPUS \d+ MEMKB (\d+)").group(1)) // 1024


def held(server):
    """What the server holds of its host: {class: amount}; nothing when it holds something on several."""
    allocations = list(server.allocations().values())
    return allocations[0]["resources"] if len(allocations) == 1 else {}


def resize(t, server, flavor):
    action(t, server, {"resize": {"flavorRef": flavor}})
    return server.wait("VERIFY_RESIZE")


def test_resize_confirm(t):
    """The guest gets the new flavor's memory and disk, and keeps what is on its disk."""
    flavor = t.make_flavor(192, disk=2)
    server = t.boot_active("resize")
    server.wait_console("GUEST-BOOTCOUNT 1")
    shown = resize(t, server, flavor)
    check_equal(shown["flavor"]["ram"], 192, "memory that nova shows")
    server.wait_console("GUEST-BOOTCOUNT 2")
    check(128 < guest_memory_mib(server) <= 192, "memory in the guest")
    check_equal(disk_bytes(server), 2 << 30, "size of the disk")
    check(os.path.isdir(server.folder + "_resize"), "nothing was set aside")
    action(t, server, {"confirmResize": None})
    server.wait("ACTIVE")
    eventually(60, "what was set aside to go", lambda: not os.path.exists(server.folder + "_resize"))
    check_equal(held(server), {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 2}, "allocations")
    check_equal(virsh("domstate", server.domain).strip(), "running", "domain")


def test_resize_revert(t):
    """A resize that is taken back leaves the server with its old flavor and its old disk."""
    flavor = t.make_flavor(192, disk=2)
    server = t.boot_active("revert")
    server.wait_console("GUEST-BOOTCOUNT 1")
    before = held(server)
    resize(t, server, flavor)
    server.wait_console("GUEST-BOOTCOUNT 2")
    action(t, server, {"revertResize": None})
    shown = server.wait("ACTIVE")
    check_equal(shown["flavor"]["ram"], 128, "memory that nova shows")
    # the boot of the larger flavor was counted on the copy
    server.wait_console("GUEST-BOOTCOUNT 2")
    check(guest_memory_mib(server) <= 128, "memory in the guest")
    check_equal(disk_bytes(server), 1 << 30, "size of the disk")
    check(not os.path.exists(server.folder + "_resize"), "what was set aside stays")
    check_equal(held(server), before, "allocations")


def test_resize_stopped(t):
    """A stopped server is resized without a start."""
    flavor = t.make_flavor(192)
    server = t.boot_active("resize-stopped")
    action(t, server, {"os-stop": None})
    server.wait("SHUTOFF")
    resize(t, server, flavor)
    check_equal(virsh("domstate", server.domain).strip(), "shut off", "domain")
    check(re.search(r"Max memory:\s+196608 KiB", virsh("dominfo", server.domain)), "memory of the domain")
    action(t, server, {"confirmResize": None})
    server.wait("SHUTOFF")


def test_resize_refused(t):
    """A disk does not shrink: the server goes on as it was, and its action says so."""
    large, small = t.make_flavor(128, disk=2), t.make_flavor(192, disk=1)
    server = t.boot_active("shrink", flavor=large)
    before = held(server)
    action(t, server, {"resize": {"flavorRef": small}})

    def failed():
        actions = t.cloud.get("compute", f"/servers/{server.uuid}/os-instance-actions")["instanceActions"]
        return next((a for a in actions if a["action"] == "resize" and a["message"] == "Error"), None)
    eventually(BOOT_S, "the resize to fail", failed, 1)
    server.wait("ACTIVE")
    check_equal(virsh("domstate", server.domain).strip(), "running", "domain")
    check_equal(held(server), before, "allocations")
    check(not os.path.exists(server.folder + "_resize"), "something was set aside")
