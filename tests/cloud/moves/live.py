"""Live migrations that succeed: of a running guest on shared and on local storage, and of guests with something extra."""
import time

from lib import check, check_equal, eventually


def move_and_check(t, guest):
    """There; the guest has not noticed, and everybody agrees where it is."""
    guest.witness()
    figures = t.live(guest)
    guest.check_same(t.dest, figures["downtime_s"])
    guest.check_settled(t.dest)
    return figures


def reboot(t, guest, kind):
    """Where it has come to, it can be worked with."""
    guest.action({"reboot": {"type": kind}})
    time.sleep(1)
    guest.wait("ACTIVE")
    guest.wait_next_boot()
    guest.check_settled(t.dest)


def live_soft_reboot(t):
    """A soft reboot starts the guest from the definition that was left there, which names the new devices."""
    guest = t.a_guest()
    move_and_check(t, guest)
    reboot(t, guest, "SOFT")
    guest.check_same(t.dest, None)


def live(t):
    """The guest counts on, loses no write, keeps its disk; nothing stays behind; a reboot finds it whole."""
    guest = t.a_guest()
    first = move_and_check(t, guest)
    reboot(t, guest, "HARD")
    return first


def live_there_and_back(t):
    """The way back ends on a host that the guest has left before."""
    guest = t.a_guest()
    there = move_and_check(t, guest)
    t.source, t.dest = t.dest, t.source
    try:
        move_and_check(t, guest)
    finally:
        t.source, t.dest = t.dest, t.source
    return there


def live_no_host(t):
    """Without a named host the scheduler finds the other one."""
    guest = t.a_guest()
    guest.witness()
    guest.migrate_live(None)
    check_equal(guest.wait_migration("completed", "error", "failed")["status"], "completed", "migration")
    guest.wait("ACTIVE")
    guest.check_same(t.dest, t.dest.job(guest.uuid)["downtime_ms"] / 1000)
    guest.check_settled(t.dest)


def live_paused(t):
    """A paused guest stays paused, and goes on with the next number when it is let go."""
    guest = t.a_guest()
    guest.witness()
    guest.action({"pause": None})
    guest.wait("PAUSED")
    time.sleep(0.5)
    before = guest.console_log.counter()
    figures = t.live(guest)
    guest.check_settled(t.dest, state="paused")
    check_equal(guest.show()["status"], "PAUSED", "status")
    check_equal(guest.console_log.counter(), before, "counter of a guest that stands")
    let_go = time.monotonic()
    guest.action({"unpause": None})
    guest.wait("ACTIVE")
    guest.console_log.wait_ticks()
    after = [tick for tick in guest.console_log.ticks() if tick[0] > let_go]
    check(before < after[0][2] <= before + 4, f"the guest went on at {after[0][2]}, it stood at {before}")
    guest.check_same(t.dest)
    guest.check_settled(t.dest)
    return figures


def live_config_drive(t):
    """The config drive goes with the guest, and is still there after a reboot."""
    guest = t.boot_guest(body={"config_drive": True})
    guest.wait_console(r"GUEST-CONFIGDRIVE \w+ \{")
    figures = move_and_check(t, guest)
    check("disk.config" in t.dest.run("ls", f"{t.dest.instances_inside}/{guest.uuid}"), "no disk.config")
    guest.action({"reboot": {"type": "HARD"}})
    time.sleep(1)
    guest.wait("ACTIVE")
    guest.wait_next_boot()
    guest.wait_console(r"GUEST-CONFIGDRIVE \w+ \{")
    return figures


def live_two_nics(t):
    """Both ports are bound to the destination, and to it alone."""
    guest = t.boot_guest(networks=[{"uuid": t.network()}, {"uuid": t.network("private")}])
    eventually(60, "both addresses", lambda: guest.console().count("GUEST-DHCP") >= 2, 1)
    return move_and_check(t, guest)


def live_server_group(t):
    """A member of a group stays where the policy has no other place for it, and moves when there is one."""
    group = t.make_group("anti-affinity")
    guest = t.boot_guest(**{"os:scheduler_hints": {"group": group}})
    second = t.boot_guest("second", t.dest, **{"os:scheduler_hints": {"group": group}})
    guest.witness()
    guest.migrate_live(None)
    check(guest.wait_migration("completed", "error", "failed")["status"] != "completed", "the policy was broken")
    guest.wait("ACTIVE")
    guest.check_same(t.source, 0)
    guest.check_settled(t.source)
    second.check_settled(t.dest)
    second.delete_and_wait()
    return move_and_check(t, guest)


CASES = {  # name: (function, storages)
    "live": (live, ("shared", "local")),
    "live_there_and_back": (live_there_and_back, ("shared", "local")),
    "live_no_host": (live_no_host, ("shared", "local")),
    "live_paused": (live_paused, ("shared", "local")),
    "live_config_drive": (live_config_drive, ("shared", "local")),
    "live_two_nics": (live_two_nics, ("shared", "local")),
    "live_server_group": (live_server_group, ("shared", "local")),
    "live_soft_reboot": (live_soft_reboot, ("shared", "local")),
}
