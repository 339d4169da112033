"""Evacuations: the source has lost its power; the guest is built anew, or started again, on the other host."""
import time

import lib
from lib import check, check_equal, cloud_command, eventually


def lose(t, host):
    """A power failure, and somebody who has seen to it that the host stays off (fencing)."""
    cloud_command("power-off", host.name)
    t.force_down(host, True)


def bring_back(t, host):
    """The host boots again: its agent cleans up what has left, then nova may use it again."""
    cloud_command("power-on", host.name)

    def cleaned():
        records = t.cloud.get("compute", "/os-migrations", migration_type="evacuation", host=host.name)["migrations"]
        return all(r["status"] not in ("accepted", "pre-migrating", "done") for r in records
                   if r["source_compute"] == host.name)
    eventually(lib.SERVICE_S, f"{host} to finish with its evacuations", cleaned, 1)
    t.force_down(host, False)
    t.ready()


def ask(t, guest, body, status="ACTIVE"):
    """POST evacuate; returns when the server has this status on the other host."""
    began = time.monotonic()
    guest.action({"evacuate": body})

    def arrived():
        shown = guest.show()
        check(shown["status"] != "ERROR", f"server is in ERROR: {shown.get('fault', {}).get('message')}")
        return shown["OS-EXT-SRV-ATTR:host"] == t.dest.name and not shown["OS-EXT-STS:task_state"]
    eventually(lib.BOOT_S, "evacuation", arrived)
    guest.wait(status)
    return {"total_s": round(time.monotonic() - began, 2)}


def only_there(t, guest):
    check_equal(t.dest.state(guest.uuid), "running", f"guest on {t.dest}")
    if t.shared:  # the disk was kept: the next boot, and all that was written before
        guest.wait_next_boot()
        guest.check_same(t.dest)
    else:
        guest.boots = 1
        guest.console_log.wait_boot(1)
        eventually(60, "first boot of a new disk", lambda: "GUEST-BOOTCOUNT 1" in guest.console(), 1)


def evacuated(t, named):
    guest = t.a_guest()
    guest.witness()
    lose(t, t.source)
    figures = ask(t, guest, {"host": t.dest.name} if named else {})
    only_there(t, guest)
    bring_back(t, t.source)
    eventually(60, f"{t.source} to forget the guest", lambda: t.source.state(guest.uuid) is None, 1)
    guest.check_settled(t.dest)
    check_equal(guest.wait_migration("completed", "done", "error")["status"], "completed", "migration")
    return figures


def evacuate(t):
    """On shared storage with its disk, on local storage from its image; the host that returns cleans up."""
    return evacuated(t, named=True)


def evacuate_no_host(t):
    """The scheduler finds the host."""
    return evacuated(t, named=False)


def evacuate_stopped(t):
    """A stopped guest stays stopped on its new host."""
    guest = t.a_guest()
    guest.witness()
    guest.action({"os-stop": None})
    guest.wait("SHUTOFF")
    lose(t, t.source)
    ask(t, guest, {"host": t.dest.name}, "SHUTOFF")
    bring_back(t, t.source)
    guest.check_settled(t.dest, state="shut off")
    if t.shared:
        guest.check_same(t.dest)


CASES = {
    "evacuate": (evacuate, ("shared", "local")),
    "evacuate_no_host": (evacuate_no_host, ("shared", "local")),
    "evacuate_stopped": (evacuate_stopped, ("shared", "local")),
}
