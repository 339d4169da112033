"""What breaks around the agent, and the agent itself: guests survive it, and nothing is left behind."""
import os
import re
import time

from lib import (BOOT_S, SERVICE_S, Failure, check, check_equal, check_nothing_left, check_survivors, cloud_command,
                 eventually, qemu_pid)


def service_up(t):
    service = t.service()
    return service["state"] == "up"


def boots_and_deletes(t):
    """The proof that all is well again."""
    server = t.boot_active("after")
    server.delete_and_wait()
    check_nothing_left(server)


def heartbeat(server):
    """The guest's counter: it goes on while the guest lives, and starts anew when it was rebooted."""
    server.wait_console(r"HB \d+ [^\n]*\n")
    return int(re.findall(r"^HB (\d+) [^\n]*\n", server.console(), re.MULTILINE)[-1])


def check_untouched(server, pid, beat):
    """The guest ran on: same QEMU, and its counter has grown."""
    check_equal(qemu_pid(server.domain), pid, "pid of the guest's QEMU")
    eventually(60, "guest to go on", lambda: heartbeat(server) > beat, 1)
    check_equal(server.show()["status"], "ACTIVE", "status")


def build_until(t, *tasks):
    """A server in one of these task states; a build that is too quick to be caught is tried again."""
    for _ in range(5):
        server = t.boot("caught")
        try:
            server.wait_task(*tasks)
            return server
        except Failure:
            server.delete_and_wait()
    raise Failure(f"no build was seen in {tasks}")


def settles(t, server):
    """A build that was disturbed ends as a working server, or as an ERROR that says why; both can be deleted."""
    shown = server.wait("ACTIVE", "ERROR", seconds=2 * BOOT_S)
    if shown["status"] == "ACTIVE":
        server.delete_and_wait()
        check_nothing_left(server)
    else:
        check_survivors(server)
    return shown["status"]


def test_libvirtd_restart(t):
    """libvirtd restarts under a running guest: the guest does not notice, and the next boot works."""
    server = t.boot_active("through")
    pid, beat = qemu_pid(server.domain), heartbeat(server)
    cloud_command("restart", "libvirtd")
    check_untouched(server, pid, beat)
    eventually(SERVICE_S, "service up and enabled again",
               lambda: (t.service()["state"], t.service()["status"]) == ("up", "enabled"))
    boots_and_deletes(t)
    server.delete_and_wait()
    check_nothing_left(server)


def test_broker_restart_idle(t):
    """RabbitMQ restarts: the agent comes back by itself, and reports again."""
    cloud_command("restart", "rabbitmq")
    restarted = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    eventually(SERVICE_S, "a report after the restart", lambda: t.service()["updated_at"] > restarted, 1)
    check(service_up(t), "service is down")
    boots_and_deletes(t)


def test_broker_restart_during_boot(t):
    """RabbitMQ restarts while a guest is being built: the build ends one way or the other, and leaks nothing."""
    server = build_until(t, "networking", "block_device_mapping", "spawning")
    cloud_command("restart", "rabbitmq")
    settles(t, server)
    eventually(SERVICE_S, "service up", lambda: service_up(t))
    boots_and_deletes(t)


def test_conductor_down(t):
    """No conductor for 60 s: guests run, and the service is up again soon after it is back."""
    server = t.boot_active("lonely")
    pid, beat = qemu_pid(server.domain), heartbeat(server)
    cloud_command("stop", "nova-conductor")
    time.sleep(60)
    cloud_command("start", "nova-conductor")
    back = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    eventually(SERVICE_S, "a report after the outage", lambda: t.service()["updated_at"] > back, 1)
    check_untouched(server, pid, beat)
    server.delete_and_wait()
    check_nothing_left(server)
    boots_and_deletes(t)


def test_conductor_down_during_boot(t):
    """The conductor goes for 60 s in the middle of a build."""
    server = build_until(t, "networking", "block_device_mapping", "spawning")
    cloud_command("stop", "nova-conductor")
    time.sleep(60)
    cloud_command("start", "nova-conductor")
    settles(t, server)
    eventually(SERVICE_S, "service up", lambda: service_up(t))
    boots_and_deletes(t)


def killed_during_boot(t, *tasks):
    server = build_until(t, *tasks)
    t.agent.kill()
    t.agent.start()
    server.wait("ERROR")
    check_survivors(server)
    boots_and_deletes(t)


def test_killed_while_networking(t):
    """kill -9 while ports are made: nova's recovery puts the server in ERROR, and a delete leaves nothing."""
    killed_during_boot(t, "networking")


def test_killed_while_spawning(t):
    """kill -9 while the guest is made."""
    killed_during_boot(t, "spawning")


def test_killed_late_in_spawning(t):
    """kill -9 when the domain is there already, but waits for its port."""
    server = build_until(t, "spawning")
    uuids = os.path.join(os.environ["DROVER_CLOUD_INSTANCES"], server.uuid)
    eventually(BOOT_S, "disk of the guest", lambda: os.path.exists(os.path.join(uuids, "disk")), 0.02)
    time.sleep(0.3)
    t.agent.kill()
    t.agent.start()
    check(server.wait("ERROR", "ACTIVE")["status"], "no status")
    check_survivors(server)
    boots_and_deletes(t)


def test_killed_under_a_guest(t):
    """kill -9 of the agent under a running guest: the guest runs on, and is looked after again afterwards."""
    server = t.boot_active("orphan")
    pid, beat = qemu_pid(server.domain), heartbeat(server)
    t.agent.kill()
    t.agent.start()
    check_untouched(server, pid, beat)
    server.delete_and_wait()
    check_nothing_left(server)


def test_killed_while_deleting(t):
    """kill -9 in the middle of a delete: the restarted agent finishes it."""
    server = t.boot_active("half-gone")
    server.delete()
    eventually(60, "delete to begin", lambda: server.show()["OS-EXT-STS:task_state"] == "deleting", 0.02)
    t.agent.kill()
    t.agent.start()
    server.wait_gone()
    check_nothing_left(server)


def test_deleted_while_agent_was_down(t):
    """A delete that is asked for while no agent runs is done when it is back."""
    server = t.boot_active("late")
    t.agent.kill()
    server.delete()
    time.sleep(2)
    t.agent.start()
    server.wait_gone()
    check_nothing_left(server)


def test_stopped_during_boot(t):
    """SIGTERM during a build: the agent stops in good order, and what it left undone is ended after the start."""
    server = build_until(t, "networking", "block_device_mapping", "spawning")
    cloud_command("stop", "agent")
    cloud_command("start", "agent")
    settles(t, server)
    boots_and_deletes(t)
