"""What the agent says of itself over HTTP, while all is well and while libvirtd hangs."""
import json
import os
import signal
import socket
import time

from lib import SERVICE_S, check, check_equal, check_nothing_left, eventually, needs_agent, pid_of

SOCKET = os.path.join(os.environ.get("DROVER_CLOUD", "/var/tmp/drover-cloud"), "run/drover-health")
NOTICE_S = 60  # libvirt's keepalive gives a silent libvirtd up after 30 s


def get(page, seconds=3):
    """(status, body) of a page; an answer that takes longer is a failure."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(seconds)
        s.connect(SOCKET)
        s.sendall(f"GET /{page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    head, body = answer.decode().split("\r\n\r\n", 1)
    return int(head.split()[1]), body


def failing():
    """The checks that are not well; [] goes with 200, anything else with 503."""
    status, body = get("healthz")
    report = json.loads(body)
    bad = [name for name, one in report["checks"].items() if not one["ok"]]
    check_equal((status, report["ok"]), (503, False) if bad else (200, True), "status of /healthz")
    return bad


def metric(name):
    lines = [line.rsplit(" ", 1) for line in get("metrics")[1].splitlines() if line and line[0] != "#"]
    values = [float(value) for key, value in lines if key == name]
    check_equal(len(values), 1, f"samples of {name}")
    return values[0]


def uptime(t):
    """A call that the agent answers without its workers and without libvirt."""
    hypervisor, = t.cloud.get("compute", "/os-hypervisors")["hypervisors"]
    return t.cloud.get("compute", f"/os-hypervisors/{hypervisor['id']}")["hypervisor"]["uptime"]


def wait_well():
    eventually(SERVICE_S, "health to be well", lambda: not failing(), 1)


@needs_agent("drover")
def test_health_when_well(t):
    """All checks are well, and what the agent does is counted."""
    wait_well()
    check_equal(get("readyz")[0], 200, "status of /readyz")
    server = t.boot_active("counted")
    check(metric('drover_builds_total{outcome="active"}') >= 1, "no build was counted")
    check(metric('drover_operations_total{method="build_and_run_instance",outcome="done"}') >= 1, "no request was counted")
    check(metric('drover_operation_seconds_count{method="build_and_run_instance"}') >= 1, "no duration was measured")
    check(metric("drover_conductor_calls_total") >= 10, "conductor's calls are not counted")
    check_equal((metric("drover_ready"), metric("drover_libvirt_up")), (1, 1), "ready and libvirt")
    server.delete_and_wait()
    check_nothing_left(server)


@needs_agent("drover")
def test_health_while_libvirtd_hangs(t):
    """libvirtd is stopped: health says so in time, the service stays up, and calls that need no hypervisor are answered."""
    wait_well()
    libvirtd = pid_of("libvirtd")
    check(libvirtd, "libvirtd does not run")
    os.kill(libvirtd, signal.SIGSTOP)
    try:
        bad = eventually(NOTICE_S, "health to name libvirt", lambda: {"libvirt", "libvirt_calls"} & set(failing()), 1)
        check(bad, "nothing is bad")
        began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        check("load average:" in uptime(t), "the agent does not answer")
        eventually(SERVICE_S, "a report while libvirtd hangs", lambda: t.service()["updated_at"] > began, 1)
        check_equal(t.service()["state"], "up", "state of the service")
        check_equal(get("readyz")[0], 200, "status of /readyz")
        check(not {"amqp_listen", "amqp_send", "amqp_threads", "heartbeat", "conductor"} & set(failing()),
              f"more is bad than libvirt: {failing()}")
    finally:
        os.kill(libvirtd, signal.SIGCONT)
    wait_well()
    server = t.boot_active("after")
    server.delete_and_wait()
    check_nothing_left(server)
