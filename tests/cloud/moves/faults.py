"""What goes wrong during a live migration, and what stops or hastens it on purpose.

Whatever happens, the guest runs on exactly one host, nova knows which, and the other keeps nothing of it. Where a
fault leaves the outcome open (the broker was away for a moment), either outcome is right, but it must be whole.
"""
import os
import signal
import time

import lib
from bench import LIVE_ENDED
from hosts import check_on
from lib import check, check_equal, cloud_command, eventually, refused

SLOW_KBIT = 40000          # a guest of 128 MiB then takes about half a minute


class Slowly:
    """A live migration that lasts, because the destination's cable is slow; within, memory flows.

    record: nova's, as it is then.
    """

    def __init__(self, t, kbit=SLOW_KBIT, guest=None):
        self.t, self.kbit = t, kbit
        self.record = None
        self.guest = guest or t.a_guest()
        self.guest.witness()

    def __enter__(self):
        self.t.dest.rate(self.kbit)
        self.guest.migrate_live(self.t.dest)
        self.record = eventually(lib.BOOT_S, "memory to flow", self.flows, 0.2)
        return self

    def flows(self):
        """The record once a MiB went over."""
        record = self.guest.migrations()[-1]
        check(record["status"] not in LIVE_ENDED, f"the migration has {record['status']} already")
        return record if record["status"] == "running" and self.sent() > 1 << 20 else None

    def sent(self):
        """Bytes that libvirt of the source says went over so far."""
        text = self.t.source.virsh("domjobinfo", self.guest.uuid, "--rawstats")
        fields = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
        return int(fields.get("memory_processed", 0)) + int(fields.get("disk_processed", 0))

    def __exit__(self, *exc):
        self.t.dest.rate(0)
        return False

    def abort(self):
        self.t.cloud.delete("compute", f"/servers/{self.guest.uuid}/migrations/{self.record['id']}")

    def ended(self, *states):
        record = self.guest.wait_migration(*LIVE_ENDED)
        check(record["status"] in states, f"the migration has {record['status']}, expected {' or '.join(states)}")
        return record

    def check_stayed(self, pause_s=0):
        """The guest did not notice, but for such a pause: it is where it was, and the destination has nothing of it."""
        self.guest.wait("ACTIVE")
        self.guest.check_settled(self.t.source)
        self.guest.check_same(self.t.source, pause_s)

    def check_whole(self, downtime_s=3):
        """It has moved or it has not, but not half of it."""
        record = self.guest.wait_migration(*LIVE_ENDED, seconds=2 * lib.BOOT_S)
        self.guest.wait("ACTIVE")
        host = self.t.dest if record["status"] == "completed" else self.t.source
        self.guest.check_settled(host)
        self.guest.check_same(host, downtime_s)
        return {"ended": record["status"], "on": host.name}


def moves_again(t, guest):
    """The proof that nothing of the fault is left: the same guest moves."""
    t.ready()
    guest.since = time.monotonic()
    figures = t.live(guest)
    guest.check_settled(t.dest)
    guest.check_same(t.dest, figures["downtime_s"])


def abort_running(t):
    """A running migration is aborted: nothing has happened."""
    with Slowly(t) as move:
        move.abort()
        # libvirt says of some aborts that the job failed, and nova takes its word
        move.ended("cancelled", "failed", "error")
    move.check_stayed()
    moves_again(t, move.guest)


def heard(t, guest, action):
    """Whether an agent has done what that action asked of it."""
    path = f"/servers/{guest.uuid}/os-instance-actions"
    ids = [a["request_id"] for a in t.cloud.get("compute", path)["instanceActions"] if a["action"] == action]
    events = [e for i in ids for e in t.cloud.get("compute", f"{path}/{i}")["instanceAction"]["events"]]
    return bool(events) and all(event["finish_time"] for event in events)


def abort_preparing(t):
    """Aborted while the destination prepares, which it cannot end because it stands still."""
    guest = t.a_guest()
    guest.witness()
    t.source.rate(80)      # what the destination answers takes its time
    try:
        guest.migrate_live(t.dest)
        record = guest.wait_migration("preparing", "running", *LIVE_ENDED, pause=0.02)
        check_equal(record["status"], "preparing", "the migration when it was to be aborted")
        os.killpg(t.dest.agent.pid, signal.SIGSTOP)
        try:
            t.cloud.delete("compute", f"/servers/{guest.uuid}/migrations/{record['id']}")
            eventually(60, "the source to hear of it", lambda: heard(t, guest, "live_migration_cancel"))
        finally:
            os.killpg(t.dest.agent.pid, signal.SIGCONT)
    finally:
        t.source.rate(0)
    check_equal(guest.wait_migration(*LIVE_ENDED)["status"], "cancelled", "the migration")
    guest.wait("ACTIVE")
    guest.check_settled(t.source)
    guest.check_same(t.source, 2)


def abort_queued(t):
    """Of two migrations at once the second waits, and is aborted in the queue."""
    slowly = Slowly(t)
    second = t.boot_guest("second")
    second.witness()
    with slowly as move:
        second.migrate_live(t.dest)
        record = second.wait_migration("queued", *LIVE_ENDED)
        check_equal(record["status"], "queued", "the second migration")
        t.cloud.delete("compute", f"/servers/{second.uuid}/migrations/{record['id']}")
        check_equal(second.wait_migration(*LIVE_ENDED)["status"], "cancelled", "the second migration")
        second.wait("ACTIVE")
        second.check_settled(t.source)
        second.check_same(t.source, 0)
        t.dest.rate(0)
        move.ended("completed")
    move.check_whole()


def force_complete(t):
    """Forced to its end: the guest stands while the rest goes over, and has moved."""
    with Slowly(t, 30000) as move:
        path = f"/servers/{move.guest.uuid}/migrations/{move.record['id']}/action"
        t.cloud.post("compute", path, {"force_complete": None})
        eventually(15, "the guest to stand", lambda: t.source.state(move.guest.uuid) == "paused", 0.1)
        t.dest.rate(0)
        move.ended("completed")
    move.guest.wait("ACTIVE")
    move.guest.check_settled(t.dest)
    move.guest.check_same(t.dest, 60)
    refused(lambda: t.cloud.post("compute", path, {"force_complete": None}), 400, 404, 409)


def link_lost(t):
    """The destination's cable is pulled for longer than libvirt waits: the guest stays."""
    with Slowly(t) as move:
        t.dest.link("down")
        try:
            eventually(90, "source libvirt to give up", lambda: "None" in t.source.virsh("domjobinfo", move.guest.uuid))
            check_equal(t.source.state(move.guest.uuid), "running", "guest on the source")
        finally:
            t.dest.link("up")
        move.ended("failed", "error")
    move.check_stayed()
    moves_again(t, move.guest)


def dest_libvirtd_killed(t):
    """kill -9 of the destination's libvirtd: the guest stays, and libvirtd's successor has nothing of it."""
    with Slowly(t) as move:
        t.dest.libvirtd("kill")
        eventually(60, "the migration to fail", lambda: "None" in t.source.virsh("domjobinfo", move.guest.uuid))
        t.dest.libvirtd("start")
        move.ended("failed", "error")
    move.check_stayed()


def source_libvirtd_killed(t):
    """kill -9 of the source's libvirtd: its successor finds the guest running, and nova puts all back."""
    with Slowly(t) as move:
        t.source.libvirtd("kill")
        t.source.libvirtd("start")
        record = move.ended("failed", "error", "completed")
    if record["status"] == "error" and t.source.agent.name == "nova-compute":
        check_given_up(t, move)
    else:
        move.check_whole()


def come_back(guest):
    """A hard reboot, out of ERROR if need be, which the status stays until the guest runs."""
    guest.action({"reboot": {"type": "HARD"}})
    eventually(lib.BOOT_S, "the server to be back", lambda: guest.show()["status"] == "ACTIVE")
    guest.wait("ACTIVE")
    guest.wait_next_boot()


def check_given_up(t, move):
    """What nova-compute makes of a source whose libvirtd went (its _do_live_migration): no rollback, but an ERROR.

    The guest runs on untouched, and a hard reboot brings the server back; the migration keeps its allocation.
    """
    guest = move.guest
    eventually(lib.BOOT_S, "the server to be in ERROR",
               lambda: (guest.show()["status"], guest.show()["OS-EXT-STS:task_state"]) == ("ERROR", None))
    check_on(guest, t.source, t.hosts)
    guest.check_same(t.source, 2)
    come_back(guest)
    check_on(guest, t.source, t.hosts)
    guest.check_same(t.source)
    t.plain = None  # its bindings are those of two hosts: nothing for another case
    t.cloud.delete("placement", f"/allocations/{move.record['uuid']}")


def dest_qemu_killed(t):
    """kill -9 of the incoming QEMU: the guest stays."""
    with Slowly(t) as move:
        pid = t.dest.qemu(move.guest.uuid)
        check(pid, "no QEMU on the destination")
        os.kill(pid, signal.SIGKILL)
        move.ended("failed", "error")
    move.check_stayed()
    moves_again(t, move.guest)


def source_qemu_killed(t):
    """kill -9 of the guest itself while it moves: it is gone, nova says so, and it can be started again."""
    with Slowly(t) as move:
        os.kill(t.source.qemu(move.guest.uuid), signal.SIGKILL)
        record = move.ended("failed", "error", *(["completed"] if t.source.agent.name == "nova-compute" else []))
    eventually(lib.BOOT_S, "the guest to be settled", lambda: move.guest.show()["OS-EXT-STS:task_state"] is None)
    check(t.dest.state(move.guest.uuid) is None, "the guest is on the destination")
    check(t.source.state(move.guest.uuid) in (None, "shut off"), "the guest runs on the source")
    host = t.source
    if record["status"] == "completed":
        # nova-compute takes a guest that is no more for one that has arrived, and leaves its definition
        host = t.dest
        if t.source.state(move.guest.uuid):
            t.source.virsh("undefine", move.guest.uuid)
    come_back(move.guest)
    move.guest.check_settled(host)


def source_agent_killed(t):
    """kill -9 of the source's agent while memory flows: its successor takes the migration over."""
    with Slowly(t) as move:
        os.killpg(t.source.agent.pid, signal.SIGKILL)
        t.source.agent.start()
        t.dest.rate(0)
    return move.check_whole()


def dest_agent_killed(t):
    """kill -9 of the destination's agent while memory flows: its successor ends what is its part."""
    with Slowly(t) as move:
        os.killpg(t.dest.agent.pid, signal.SIGKILL)
        t.dest.agent.start()
        t.dest.rate(0)
    return move.check_whole()


def dest_disk_full(t):
    """No room for the guest's disk on the destination: the guest stays, and the room is given back."""
    guest = t.a_guest()
    guest.witness()
    folder = t.dest.instances_inside
    # the image's copy fits, the guest's own writes do not
    t.dest.run("mount", "-t", "tmpfs", "-o", "mode=755,size=33m", "tmpfs", folder)
    try:
        guest.migrate_live(t.dest)
        check(guest.wait_migration(*LIVE_ENDED)["status"] in ("failed", "error"), "the migration did not fail")
        guest.wait("ACTIVE")
        # what the destination has made it is told to remove, but nobody waits for that
        eventually(30, "the destination to give the room back", lambda: guest.uuid not in t.dest.run("ls", folder).split())
    finally:
        t.dest.run("umount", folder)
    guest.check_settled(t.source)
    guest.check_same(t.source, 0)
    moves_again(t, guest)


def broker_restart(t):
    """RabbitMQ restarts while memory flows: libvirt goes on, and nova hears how it ended."""
    with Slowly(t) as move:
        cloud_command("restart", "rabbitmq")
    return move.check_whole()


def conductor_down(t):
    """No conductor for a minute while a migration ends: it is finished when there is one again."""
    with Slowly(t) as move:
        cloud_command("stop", "nova-conductor")
        try:
            t.dest.rate(0)
            time.sleep(60)
        finally:
            cloud_command("start", "nova-conductor")
    return move.check_whole()


DROVER_SOURCE = ("dd", "dn")
DROVER_DEST = ("dd", "nd")
BOTH = ("shared", "local")
CASES = {  # name: (function, storages[, pairs])
    "abort_running": (abort_running, BOTH),
    "abort_preparing": (abort_preparing, ("shared",)),
    "abort_queued": (abort_queued, ("shared",)),
    "force_complete": (force_complete, BOTH),
    "link_lost": (link_lost, ("shared",)),
    "dest_libvirtd_killed": (dest_libvirtd_killed, BOTH),
    "source_libvirtd_killed": (source_libvirtd_killed, ("shared",)),
    "dest_qemu_killed": (dest_qemu_killed, BOTH),
    "source_qemu_killed": (source_qemu_killed, ("shared",)),
    "source_agent_killed": (source_agent_killed, BOTH, DROVER_SOURCE),
    "dest_agent_killed": (dest_agent_killed, BOTH, DROVER_DEST),
    "dest_disk_full": (dest_disk_full, ("local",)),
    "broker_restart": (broker_restart, ("shared",), DROVER_SOURCE),
    "conductor_down": (conductor_down, ("shared",), DROVER_SOURCE),
}
