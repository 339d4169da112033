"""drover killed at each step of an operation, and started again: what nova's recovery says, and nothing left.

The agent ends itself with SIGKILL at the step that DROVER_KILL_AT names (agent/main.c); the steps are those of the
tables in agent/ops. nova-compute has no such switch.
"""
import os

from lib import (BOOT_S, check, check_equal, check_nothing_left, check_survivors, eventually, needs_agent, pid_of)

BOOT_STEPS = ("claim", "affinity", "networks", "devices", "spawning", "disks", "guest", "plugged", "resume", "active",
              "done")
DELETE_STEPS = ("network_info", "guest", "networks", "record", "usage", "traces", "destroy", "done")


def restart_to_die(t, point):
    """Starts the agent anew so that it dies at this step."""
    os.environ["DROVER_KILL_AT"] = point
    try:
        t.agent.restart()
    finally:
        del os.environ["DROVER_KILL_AT"]


def dies(t, point):
    eventually(BOOT_S, f"the agent to die at {point}", lambda: pid_of(t.agent.name) is None, 0.05)
    t.agent.start()


@needs_agent("drover")
def test_killed_at_each_boot_step(t):
    """kill -9 at each step of a boot: ERROR (ACTIVE once that is saved), and a delete leaves nothing."""
    for step in BOOT_STEPS:
        point = "boot." + step
        restart_to_die(t, point)
        server = t.boot("dies-at-" + step)
        dies(t, point)
        status = server.wait("ERROR", "ACTIVE")["status"]
        check_equal(status, "ACTIVE" if step == "done" else "ERROR", f"status after a kill at {point}")
        check_survivors(server)


@needs_agent("drover")
def test_killed_at_each_delete_step(t):
    """kill -9 at each step of a delete: the restarted agent finishes it."""
    for step in DELETE_STEPS:
        point = "delete." + step
        server = t.boot_active("dies-at-" + step)
        restart_to_die(t, point)
        server.delete()
        dies(t, point)
        server.wait_gone()
        check_nothing_left(server)
        check(t.service()["state"] == "up", "service is down")
