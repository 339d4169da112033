"""Live migrations on other ways than the usual: encrypted, tunnelled, over several connections, in post-copy, slowed down."""
import contextlib
import json
import os
import re

from faults import DROVER_SOURCE, Slowly
from lib import check, check_equal, eventually


@contextlib.contextmanager
def configured(t, text):
    """The source's agent runs with these options, which are for a source alone.

    A start of nova-compute takes long, so that the destination's is left alone; where the two are alike the guest may be
    found on either.
    """
    hosts = [t.source] if t.source.agent.name != t.dest.agent.name else [t.source, t.dest]
    for host in hosts:
        host.options("[libvirt]\n" + text)
        host.agent.restart()
    try:
        t.ready()
        yield
    finally:
        for host in hosts:
            host.options(None)
            host.agent.restart()


def ask_qemu(host, guest, command):
    return json.loads(host.virsh("qemu-monitor-command", guest.uuid, json.dumps({"execute": command})))["return"]


def arrives(t, move, downtime_s=3):
    move.ended("completed")
    move.guest.wait("ACTIVE")
    move.guest.check_settled(t.dest)
    move.guest.check_same(t.dest, downtime_s)


def live_tls(t):
    """QEMU encrypts what it sends, the disks too."""
    with configured(t, "live_migration_with_native_tls = true\n"), Slowly(t) as move:
        used = ask_qemu(t.source, move.guest, "query-migrate-parameters").get("tls-creds")
        t.dest.rate(0)
        arrives(t, move)
    check(used, "the source's QEMU has no credentials for TLS")


def live_tunnelled(t):
    """Memory goes through libvirt's own connection: no QEMU listens on the destination."""
    with configured(t, "live_migration_tunnelled = true\n"), Slowly(t) as move:
        listens = f"pid={t.dest.qemu(move.guest.uuid)}," in t.dest.run("ss", "-Htlnp", "src", t.dest.address)
        t.dest.rate(0)
        arrives(t, move)
    check(not listens, "the destination's QEMU listens for memory")


def live_parallel(t):
    """Memory goes over several connections of QEMU."""
    with configured(t, "live_migration_parallel_connections = 3\n"), Slowly(t) as move:
        used = {c["capability"] for c in ask_qemu(t.source, move.guest, "query-migrate-capabilities") if c["state"]}
        t.dest.rate(0)
        arrives(t, move)
    check("multifd" in used, f"capabilities of the source's QEMU: {used}")


def live_post_copy(t):
    """Forced to its end where post-copy is permitted, the guest goes on at the destination before its memory is there."""
    with configured(t, "live_migration_permit_post_copy = true\n"), Slowly(t, 30000) as move:
        path = f"/servers/{move.guest.uuid}/migrations/{move.record['id']}/action"
        t.cloud.post("compute", path, {"force_complete": None})
        eventually(60, "the guest to run at the destination", lambda: t.dest.state(move.guest.uuid) == "running", 0.05)
        reason = t.source.virsh("domstate", "--reason", move.guest.uuid).strip()
        t.dest.rate(0)
        arrives(t, move, 10)
    check_equal(reason, "paused (post-copy)", "the source's part meanwhile")


def live_auto_converge(t):
    """A guest that writes faster than the link carries is slowed down, the log says how much; aborted, it goes on.

    Not to its end: an emulated guest may hang after many passes of memory that it writes on.
    """
    with configured(t, "live_migration_permit_auto_converge = true\n"), Slowly(t, guest=t.busy_guest()) as move:
        eventually(180, "QEMU to slow the guest down",
                   lambda: ask_qemu(t.source, move.guest, "query-migrate").get("cpu-throttle-percentage", 0) > 0, 0.2)
        said = eventually(120, "the log to say so", lambda: throttles(t.source, move.guest), 1)
        move.abort()
        move.ended("cancelled", "failed", "error")
        t.dest.rate(0)
        move.check_stayed(2)
    return {"throttled by": said}


def throttles(host, guest):
    """The most that drover of this host has said of how much it slows this guest down, per cent."""
    path = os.path.join(os.environ["DROVER_CLOUD"], "log", host.name, "drover.log")
    with open(path, encoding="utf-8", errors="replace") as file:
        return max((int(found) for line in file if guest.uuid in line
                    for found in re.findall(r"throttled by (\d+)%", line)), default=0)


BOTH = ("shared", "local")
CASES = {
    "live_tls": (live_tls, BOTH),
    "live_tunnelled": (live_tunnelled, ("shared",)),
    "live_parallel": (live_parallel, ("shared",), DROVER_SOURCE),
    "live_post_copy": (live_post_copy, BOTH),
    "live_auto_converge": (live_auto_converge, ("shared",), DROVER_SOURCE),
}
