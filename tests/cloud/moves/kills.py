"""drover killed at each step of a move, at the source or at the destination, and started again.

The steps are those of the tables in src/agent/ops, read from there: a new one is tried without being named here. The
agent ends itself with SIGKILL at the step that DROVER_KILL_AT names (agent/main.c). Afterwards the guest runs on one
host, or can be made to, with all that it had written.
"""
import glob
import os
import re
import time

import evacuate
import lib
from bench import LIVE_ENDED
from guest import check_writes
from lib import check, check_equal, eventually

SHARED, BOTH = ("shared",), ("shared", "local")
# operation: (the host whose agent runs it, what leads to it, on which storages: both where disks make a difference)
OPERATIONS = {
    "check_live_destination": ("dest", "live", SHARED),
    "pre_live_migration": ("dest", "live", BOTH),
    "live_migration": ("source", "live", BOTH),
    "live_job": ("source", "live", BOTH),
    "post_live_migration": ("dest", "live", BOTH),
    "live_finish": ("source", "live", BOTH),
    "prep_resize": ("dest", "cold", SHARED),
    "resize_instance": ("source", "cold", BOTH),
    "finish_resize": ("dest", "cold", BOTH),
    "confirm_resize": ("source", "confirm", BOTH),
    "revert_resize": ("dest", "revert", BOTH),
    "finish_revert_resize": ("source", "revert", BOTH),
    "evacuate": ("dest", "evacuate", BOTH),
}
SETTLE_S = 240 * lib.PATIENCE


def steps_of_operations():
    """{operation: [step, ...]} of the step tables."""
    found = {}
    for path in sorted(glob.glob(os.path.join(lib.ROOT, "src/agent/ops/*.c"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        tables = dict(re.findall(r"static const OpStep (\w+)\[\] = \{(.*?)\n\};", text, re.DOTALL))
        for operation, table in re.findall(r'op_run(?:_all)?\("(\w+)",\s*(\w+),', text):
            if table in tables:
                found[operation] = re.findall(r'\{"(\w+)"', tables[table])
    return found


# Of all agents while these cases run: half a minute for a message that may still be on its way is long where none is,
# and so is a minute for the answer of a peer that has died. Who works on a call says so each half of that time.
CONDUCTOR_OPTIONS = "[DEFAULT]\nrpc_response_timeout = 15\n"
OPTIONS = CONDUCTOR_OPTIONS + "[drover]\nrecovery_delay = 5\n"


class Doomed:
    """The agent of a host, which dies at a step; within, the move is asked for that leads it there."""

    def __init__(self, t, host, point):
        self.t, self.host, self.point = t, host, point

    def __enter__(self):
        self.host.agent.restart_to_die(self.point)

    def __exit__(self, kind, *_):
        if kind is None:
            eventually(lib.BOOT_S, f"{self.host}'s agent to die at {self.point}", lambda: not self.host.agent.runs, 0.05)
        if not self.host.agent.runs:
            self.host.agent.start()
        return False


def rests(guest, *states):
    """Waits until nobody works on the server any more; returns what nova shows."""
    def probe():
        shown = guest.show()
        return shown if shown["status"] in states and not shown["OS-EXT-STS:task_state"] else None
    return eventually(SETTLE_S, f"server {guest.uuid} to rest in {' or '.join(states)}", probe, 1)


def runs_once(t, guest):
    """It is running or paused on at most one host."""
    states = {host: host.state(guest.uuid) for host in t.hosts}
    check(sum(state in ("running", "paused") for state in states.values()) <= 1, f"the guest runs twice: {states}")
    return states


def check_alive(t, guest, records):
    """Brings the server back where it rests in ERROR, and finds everything that it had written."""
    shown = guest.show()
    runs_once(t, guest)
    if shown["status"] == "ERROR":
        guest.action({"reboot": {"type": "HARD"}})
        rests(guest, "ACTIVE")
    host = guest.host
    check_equal(host.state(guest.uuid), "running", f"guest on {host}")
    runs_once(t, guest)
    guest.console_log.wait_ticks()
    check_writes(host, guest, records)
    if shown["status"] == "ACTIVE":
        guest.check_settled(host)
    return {"rested in": shown["status"], "on": host.name}


def kill_in_live(t, role, point):
    guest = t.a_guest()
    guest.witness()
    with Doomed(t, getattr(t, role), point):
        t.ready()
        guest.since = time.monotonic()
        guest.migrate_live(t.dest)
    record = guest.wait_migration(*LIVE_ENDED, seconds=SETTLE_S)
    rests(guest, "ACTIVE")
    there = t.dest if record["status"] == "completed" else t.source
    guest.check_settled(there)
    guest.check_same(there, 3)
    return {"ended": record["status"], "on": there.name}


def kill_in_cold(t, role, point):
    guest = t.a_guest()
    records = guest.console_log.records()
    with Doomed(t, getattr(t, role), point):
        t.ready()
        guest.action({"migrate": None})
    shown = rests(guest, "VERIFY_RESIZE", "ACTIVE", "ERROR")
    runs_once(t, guest)
    if shown["status"] == "VERIFY_RESIZE":
        guest.action({"confirmResize": None})
        guest.wait("ACTIVE")
    return dict(check_alive(t, guest, records), came_to=shown["status"])


def moved_cold(t):
    guest = t.a_guest()
    records = guest.console_log.records()
    guest.action({"migrate": None})
    guest.wait("VERIFY_RESIZE")
    return guest, records


def kill_in_confirm(t, role, point):
    guest, records = moved_cold(t)
    with Doomed(t, getattr(t, role), point):
        t.ready()
        guest.action({"confirmResize": None})
    rests(guest, "ACTIVE", "ERROR")
    return check_alive(t, guest, records)


def kill_in_revert(t, role, point):
    guest, records = moved_cold(t)
    with Doomed(t, getattr(t, role), point):
        t.ready()
        guest.action({"revertResize": None})
    rests(guest, "ACTIVE", "ERROR", "VERIFY_RESIZE")
    return check_alive(t, guest, records)


def kill_in_evacuate(t, role, point):
    guest = t.a_guest()
    records = guest.console_log.records()
    evacuate.lose(t, t.source)
    with Doomed(t, getattr(t, role), point):
        guest.action({"evacuate": {"host": t.dest.name}})
    shown = rests(guest, "ACTIVE", "ERROR")
    evacuate.bring_back(t, t.source)
    runs_once(t, guest)
    kept = t.shared or shown["OS-EXT-SRV-ATTR:host"] == t.source.name
    return check_alive(t, guest, records if kept else {})


LEADS = {"live": kill_in_live, "cold": kill_in_cold, "confirm": kill_in_confirm, "revert": kill_in_revert,
         "evacuate": kill_in_evacuate}
PAIRS = {"source": ("dd", "dn"), "dest": ("dd", "nd")}


def make_case(operation, step):
    role, lead, storages = OPERATIONS[operation]

    def case(t):
        return LEADS[lead](t, role, f"{operation}.{step}")
    case.__doc__ = f"kill -9 of the {role}'s agent at {operation}.{step}, and its restart."
    return case, storages, PAIRS[role]


def make_cases():
    found = steps_of_operations()
    missing = set(OPERATIONS) - set(found)
    if missing:
        raise LookupError(f"no step table in src/agent/ops of {', '.join(sorted(missing))}")
    return {f"kill.{operation}.{step}": make_case(operation, step)
            for operation in OPERATIONS for step in [*found[operation], "done"]}


CASES = make_cases()
