"""Cold migrations and resizes to the other host: confirmed, and taken back."""
import time

from guest import check_writes
from lib import check, check_equal


def memory_mib(guest):
    return int(guest.wait_console(r"GUEST-CPUS \d+ MEMKB (\d+)").group(1)) // 1024


def ask(guest, body):
    """An action, and the status VERIFY_RESIZE that it must lead to."""
    began = time.monotonic()
    guest.action(body)
    guest.wait("VERIFY_RESIZE")
    return {"total_s": round(time.monotonic() - began, 2)}


def confirm(guest):
    guest.action({"confirmResize": None})
    guest.wait("ACTIVE")
    check_equal(guest.wait_migration("confirmed", "error")["status"], "confirmed", "migration")


def went(t, guest):
    """After the move and before the decision: the guest runs there, what it was is set aside."""
    guest.wait_next_boot()
    guest.check_same(t.dest)
    states = {host: host.state(guest.uuid) for host in t.hosts}
    check_equal(states[t.dest], "running", f"guest on {t.dest}")
    check(states[t.source] in (None, "shut off"), f"the guest is {states[t.source]} on {t.source}")
    check(guest.uuid + "_resize" in t.source.files(guest.uuid), "nothing was set aside")


def moved(t, named):
    guest = t.a_guest()
    guest.witness()
    figures = ask(guest, {"migrate": {"host": t.dest.name} if named else None})
    went(t, guest)
    confirm(guest)
    guest.check_settled(t.dest)
    return figures


def cold(t):
    """The guest starts on the other host with its disk; confirming leaves nothing on the first."""
    return moved(t, named=False)


def cold_named_host(t):
    """The same to a host that the caller names."""
    return moved(t, named=True)


def cold_stopped(t):
    """A stopped guest moves without a start."""
    guest = t.a_guest()
    guest.witness()
    guest.action({"os-stop": None})
    guest.wait("SHUTOFF")
    ask(guest, {"migrate": None})
    check_equal(t.dest.state(guest.uuid), "shut off", f"guest on {t.dest}")
    guest.action({"confirmResize": None})
    guest.wait("SHUTOFF")
    guest.check_settled(t.dest, state="shut off")
    guest.action({"os-start": None})
    guest.wait("ACTIVE")
    guest.wait_next_boot()
    guest.check_same(t.dest)


def resize_up(t):
    """More memory and disk on the other host, with what was on the disk."""
    flavor = t.make_flavor(192, disk=2)
    guest = t.a_guest()
    guest.witness()
    figures = ask(guest, {"resize": {"flavorRef": flavor}})
    went(t, guest)
    check(128 < memory_mib(guest) <= 192, "memory in the guest")
    check_equal(int(t.dest.virsh("domblkinfo", guest.uuid, "vda").split()[1]), 2 << 30, "size of the disk")
    confirm(guest)
    guest.check_settled(t.dest)
    held, = guest.allocations().values()
    check_equal(held["resources"], {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 2}, "allocations")
    return figures


def resize_revert(t):
    """Taken back, the guest runs where it was, with the disk and the memory that it had."""
    flavor = t.make_flavor(192, disk=2)
    guest = t.a_guest()
    guest.witness()
    records = guest.console_log.records()
    figures = ask(guest, {"resize": {"flavorRef": flavor}})
    went(t, guest)
    files = len(guest.console_log.parts)
    guest.action({"revertResize": None})
    guest.wait("ACTIVE")
    check_equal(guest.wait_migration("reverted", "error")["status"], "reverted", "migration")
    guest.boots -= 1  # the boot on the other host was counted on the copy
    guest.wait_next_boot(files)
    guest.check_settled(t.source)
    check(memory_mib(guest) <= 128, "memory in the guest")
    check_equal(int(t.source.virsh("domblkinfo", guest.uuid, "vda").split()[1]), 1 << 30, "size of the disk")
    check_writes(t.source, guest, {**records, **guest.console_log.records(files)})
    return figures


CASES = {
    "cold": (cold, ("shared", "local")),
    "cold_named_host": (cold_named_host, ("shared", "local")),
    "cold_stopped": (cold_stopped, ("shared", "local")),
    "resize_up": (resize_up, ("shared", "local")),
    "resize_revert": (resize_revert, ("shared", "local")),
}
