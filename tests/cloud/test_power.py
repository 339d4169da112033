"""Servers that are stopped, rebooted, paused, suspended: seen in the guest itself and in libvirt."""
import re
import time

from lib import BOOT_S, check, check_equal, check_nothing_left, eventually, qemu_pid, refused, virsh


def act(t, server, action, body=None):
    t.cloud.post("compute", f"/servers/{server.uuid}/action", {action: body})


def boots(server):
    """How often the guest has booted: its root disk counts."""
    return int(server.wait_console(r"GUEST-BOOTCOUNT (\d+)(?!.*GUEST-BOOTCOUNT)").group(1))


def beat(server):
    """The guest's counter: it starts anew with each boot, and stands still with the guest's CPUs."""
    return int(re.findall(r"HB (\d+) ", server.wait_console(r"HB \d+ ").string)[-1])


def up(t, name, **options):
    """A server whose guest has come up far enough to hear its power button."""
    server = t.boot_active(name, **options)
    server.wait_console(r"HB 2 ")
    return server


def state(server):
    return virsh("domstate", server.domain).strip()


def shown(server, vm_state, power_state):
    server_shown = server.show()
    check_equal(server_shown["OS-EXT-STS:vm_state"], vm_state, "vm_state")
    check_equal(server_shown["OS-EXT-STS:power_state"], power_state, "power_state")


def test_stop_start(t):
    """A stop lets the guest shut down; after a start it boots from the same disk, with the same address."""
    server = up(t, "stop")
    address = server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1)
    first = boots(server)
    act(t, server, "os-stop")
    server.wait("SHUTOFF")
    shown(server, "stopped", 4)
    check_equal(state(server), "shut off", "domain")
    check("GUEST-POWERBUTTON" in server.console(), "the guest was not asked to stop")

    act(t, server, "os-start")
    server.wait("ACTIVE")
    shown(server, "active", 1)
    check_equal(state(server), "running", "domain")
    check_equal(boots(server), first + 1, "boots of the guest")
    check_equal(server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1), address, "guest's address")


def test_reboot_soft(t):
    """A soft reboot is the guest's own: it is much quicker than the time after which it is rebooted hard."""
    server = up(t, "soft")
    first, began = boots(server), time.monotonic()
    act(t, server, "reboot", {"type": "SOFT"})
    server.wait("ACTIVE")
    check(time.monotonic() - began < 100, "the guest was not rebooted by its power button")
    check_equal(boots(server), first + 1, "boots of the guest")


def test_reboot_hard(t):
    """A hard reboot makes the guest anew, without asking it."""
    server = up(t, "hard")
    first, pid = boots(server), qemu_pid(server.domain)
    act(t, server, "reboot", {"type": "HARD"})
    server.wait("ACTIVE")
    check(qemu_pid(server.domain) != pid, "it is still the same QEMU")
    check_equal(boots(server), first + 1, "boots of the guest")
    check("GUEST-POWERBUTTON" not in server.console(), "the guest was asked")


def test_pause_unpause(t):
    """A paused guest stands still, and goes on where it was."""
    server = up(t, "pause")
    act(t, server, "pause")
    server.wait("PAUSED")
    shown(server, "paused", 3)
    check_equal(state(server), "paused", "domain")
    still = beat(server)
    time.sleep(4)
    check_equal(beat(server), still, "counter of the paused guest")
    act(t, server, "unpause")
    server.wait("ACTIVE")
    check_equal(state(server), "running", "domain")
    eventually(60, "guest to go on", lambda: beat(server) > still, 1)
    check_equal(boots(server), 1, "boots of the guest")


def test_suspend_resume(t):
    """A suspended guest is on disk, and comes back with its memory."""
    server = up(t, "suspend")
    before = beat(server)
    act(t, server, "suspend")
    server.wait("SUSPENDED")
    check_equal(state(server), "shut off", "domain")
    check(re.search(r"Managed save:\s+yes", virsh("dominfo", server.domain)), "no managed save")
    act(t, server, "resume")
    server.wait("ACTIVE")
    check_equal(state(server), "running", "domain")
    eventually(60, "guest to go on", lambda: beat(server) > before, 1)
    check("GUEST-UP" not in server.console().split(f"HB {before} ")[-1], "the guest booted")


def test_crash_dump(t):
    """The guest's kernel gets an interrupt that nothing masks, and says so."""
    server = up(t, "nmi")
    act(t, server, "trigger_crash_dump")
    server.wait_console(r"NMI received|unknown NMI")
    shown(server, "active", 1)


def test_diagnostics(t):
    """Diagnostics in both forms name the guest's devices and have counted."""
    server = up(t, "diagnostics")
    port, = server.ports()
    new = t.cloud.get("compute", f"/servers/{server.uuid}/diagnostics")
    check_equal(new["state"], "running", "state")
    check_equal(new["driver"], "libvirt", "driver")
    check_equal((new["num_cpus"], new["num_disks"], new["num_nics"]), (1, 1, 1), "devices")
    check(new["cpu_details"][0]["time"] > 0, "no CPU time")
    check_equal(new["nic_details"][0]["mac_address"], port["mac_address"], "MAC address")
    check(new["nic_details"][0]["rx_packets"] > 0, "nothing received")
    check(new["disk_details"][0]["read_bytes"] > 1 << 20, "nothing read from the disk")
    old = t.cloud.request("GET", "compute", f"/servers/{server.uuid}/diagnostics", headers={
        "OpenStack-API-Version": "compute 2.1", "X-OpenStack-Nova-API-Version": "2.1"})
    tap = "tap" + port["id"][:11]
    check(old["cpu0_time"] > 0 and old["vda_read"] > 1 << 20 and old[tap + "_rx_packets"] > 0, f"old form: {old}")


def test_password_without_agent(t):
    """Without an agent in the guest a password cannot be set: nova-api says why, and nothing else changes."""
    server = up(t, "password")
    text = refused(lambda: act(t, server, "changePassword", {"adminPass": "not-to-be-seen"}), 409)
    check("guest agent" in text.lower(), f"reason: {text}")
    server.wait("ACTIVE")
    check("not-to-be-seen" not in server.fault, "the password is in the fault")


def test_guest_powers_off(t):
    """A guest that shuts itself down becomes a stopped server."""
    server = up(t, "itself")
    virsh("shutdown", server.domain)
    server.wait("SHUTOFF", seconds=BOOT_S)
    shown(server, "stopped", 4)


def test_stopped_guest_stays_stopped(t):
    """A stopped server that somebody starts behind nova's back is stopped again."""
    server = up(t, "behind")
    act(t, server, "os-stop")
    server.wait("SHUTOFF")
    virsh("start", server.domain)
    eventually(120, "guest to be stopped again", lambda: state(server) == "shut off", 1)
    server.wait("SHUTOFF")


def deaf(t, name):
    """A server whose guest cannot hear its power button: its CPUs stand still, and nova does not know."""
    server = t.boot_active(name)
    virsh("suspend", server.domain)
    return server


def test_delete_while_stopping(t):
    """A delete does not wait for a stop that waits for its guest."""
    server = deaf(t, "impatient")
    act(t, server, "os-stop")
    eventually(30, "stop to begin", lambda: server.show()["OS-EXT-STS:task_state"] == "powering-off")
    time.sleep(2)
    began = time.monotonic()
    server.delete_and_wait()
    check(time.monotonic() - began < 40, "the delete waited for the stop")
    check_nothing_left(server)


def test_killed_while_stopping(t):
    """An agent that dies while it waits for a guest stops it when it is back."""
    server = deaf(t, "killed")
    act(t, server, "os-stop")
    eventually(30, "stop to begin", lambda: server.show()["OS-EXT-STS:task_state"] == "powering-off")
    time.sleep(2)
    t.agent.kill()
    t.agent.start()
    server.wait("SHUTOFF", seconds=BOOT_S)
    check_equal(state(server), "shut off", "domain")
