"""What the cloud tests share: the running cloud, servers that clean up after themselves, and how to wait.

A test is a function that takes a Bench. It creates what it needs through the Bench, which deletes all of it
afterwards and then looks for leaks: a test that leaves something behind fails, whatever it asserted before.
"""
import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "devstack", "lib"))

from rest import Cloud, RestError  # noqa: E402  (the path comes first)

CLOUD = os.path.join(ROOT, "devstack", "cloud")

# Deadlines are for machines that are busy with something else; PATIENCE stretches them on slow ones.
PATIENCE = float(os.environ.get("DROVER_TEST_PATIENCE", "1"))
BOOT_S = 300 * PATIENCE
CONSOLE_S = 240 * PATIENCE
DELETE_S = 180 * PATIENCE
SERVICE_S = 120 * PATIENCE


class Failure(Exception):
    """A test's expectation that does not hold."""


def needs_network(*kinds):
    """Marks a test of clouds that were made with one of these `devstack/cloud up --network`."""
    def mark(function):
        function.networks = kinds
        return function
    return mark


def needs_agent(name):
    """Marks a test of what only this agent has."""
    def mark(function):
        function.agent = name
        return function
    return mark


def needs_key_manager(function):
    """Marks a test of clouds that were made with `devstack/cloud up --key-manager`."""
    function.key_manager = True
    return function


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(got, want, what):
    check(got == want, f"{what}: {got!r}, expected {want!r}")


def eventually(seconds, what, probe, pause=0.5):
    """Returns the first true result of probe(); fails after `seconds`. What probe raises is a failure at once.

    what: a text, or a function that says at the end how things are.
    Asking costs the services that are asked: on a busy machine the pause grows with what an answer takes.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failure(f"{what() if callable(what) else what}: not after {seconds:.0f} s")
        time.sleep(max(pause, 2 * (time.monotonic() - began)))


def refused(function, *codes):
    """Calls function(), which nova must refuse with one of these HTTP codes; returns nova's words."""
    try:
        function()
    except RestError as err:
        check(err.status in codes, f"refused with {err.status} {err.text[:200]}, expected {codes}")
        return err.text
    raise Failure("nova did not refuse")


def run(*argv, **kwargs):
    """Runs a command; returns its output, fails with its errors."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **kwargs)
    check(done.returncode == 0, f"{' '.join(argv)}: exit {done.returncode}: {done.stdout[-300:]}{done.stderr[-500:]}")
    return done.stdout


def cloud_command(*argv):
    return run(CLOUD, *argv)


def virsh(*argv):
    return run("virsh", "-c", os.environ["DROVER_CLOUD_LIBVIRT_URI"], *argv)


@contextlib.contextmanager
def further_options(daemon, text):
    """The agent ("agent") or "nova-api" runs with further lines of its configuration, and afterwards without them."""
    conf = os.environ["DROVER_CLOUD_CONF"]
    if daemon == "nova-api":
        conf = os.path.join(os.path.dirname(conf), "nova.conf")
    with open(conf, encoding="utf-8") as file:
        before = file.read()
    try:
        with open(conf, "w", encoding="utf-8") as file:
            file.write(before + "\n" + text)
        cloud_command("restart", daemon)
        yield
    finally:
        with open(conf, "w", encoding="utf-8") as file:
            file.write(before)
        cloud_command("restart", daemon)


def load_env():
    """Takes over the variables of `devstack/cloud env`."""
    for line in cloud_command("env").splitlines():
        for name, quoted, plain in re.findall(r"(\w+)=(?:'([^']*)'|(\S*))", line):
            os.environ[name] = quoted or plain


def pid_of(name):
    """The pid of one of the cloud's daemons, None when it does not run."""
    try:
        with open(os.path.join(os.environ["DROVER_CLOUD"], "pid", name + ".pid"), encoding="ascii") as file:
            pid, started = file.read().split()
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(pid) if file.read().rsplit(") ", 1)[1].split()[19] == started else None
    except (FileNotFoundError, ProcessLookupError):
        return None


def qemu_pid(domain):
    path = os.path.join(os.environ["DROVER_CLOUD"], "run/libvirt/qemu", domain + ".pid")
    with open(path, encoding="ascii") as file:
        return int(file.read())


class Agent:
    """The compute agent of the cloud, whichever runs."""

    @property
    def name(self):
        with open(os.path.join(os.environ["DROVER_CLOUD"], "agent"), encoding="ascii") as file:
            return file.read().strip()

    @property
    def pid(self):
        pid = pid_of(self.name)
        check(pid, f"{self.name} does not run")
        return pid

    def kill(self):
        """kill -9 of its process group, at once: no script in between."""
        os.killpg(self.pid, signal.SIGKILL)

    def pause(self):
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.pid, signal.SIGCONT)

    def start(self):
        """Starts it again and waits until nova sees a new report."""
        cloud_command("start", "agent")

    def restart(self):
        """The same, after it was stopped in good order."""
        cloud_command("restart", "agent")


class Server:
    """A nova server of a test."""

    def __init__(self, bench, uuid):
        self.bench = bench
        self.uuid = uuid
        self.domain = None

    def show(self):
        return self.bench.cloud.get("compute", "/servers/" + self.uuid)["server"]

    @property
    def fault(self):
        return self.show().get("fault", {}).get("message", "")

    def wait(self, *states, seconds=BOOT_S):
        """Waits until the status is one of `states` and no task runs; an unexpected ERROR fails at once."""
        def probe():
            server = self.show()
            if server["status"] == "ERROR" and "ERROR" not in states:
                raise Failure(f"server is in ERROR: {server.get('fault', {}).get('message')}")
            return server if server["status"] in states and not server["OS-EXT-STS:task_state"] else None
        server = eventually(seconds, f"server {self.uuid} to become {' or '.join(states)}", probe)
        self.domain = server["OS-EXT-SRV-ATTR:instance_name"]
        return server

    def wait_task(self, *tasks, seconds=BOOT_S):
        """Waits until the server is in one of these task states, and returns which."""
        def probe():
            server = self.show()
            check(server["status"] == "BUILD", f"server is {server['status']} and was never seen in {tasks}")
            return server["OS-EXT-STS:task_state"] if server["OS-EXT-STS:task_state"] in tasks else None
        return eventually(seconds, f"task state {' or '.join(tasks)}", probe, pause=0.02)

    def console(self):
        answer = self.bench.cloud.post("compute", f"/servers/{self.uuid}/action", {"os-getConsoleOutput": {}})
        return answer["output"]

    def wait_console(self, pattern, seconds=CONSOLE_S):
        """Waits for a match in the guest's console output, and returns the match."""
        return eventually(seconds, f"console line {pattern!r}", lambda: re.search(pattern, self.console()), 1)

    def delete(self):
        self.bench.cloud.delete("compute", "/servers/" + self.uuid)

    def wait_gone(self, seconds=DELETE_S):
        def probe():
            try:
                server = self.show()
            except RestError as err:
                if err.status == 404:
                    return True
                raise
            check(not (server["status"] == "ERROR" and not server["OS-EXT-STS:task_state"]),
                  f"delete ended in ERROR: {server.get('fault', {}).get('message')}")
            return False
        eventually(seconds, f"server {self.uuid} to be gone", probe)

    def delete_and_wait(self):
        self.delete()
        self.wait_gone()

    def ports(self):
        return self.bench.cloud.get("network", "/ports", device_id=self.uuid)["ports"]

    def allocations(self):
        return self.bench.cloud.get("placement", "/allocations/" + self.uuid)["allocations"]

    @property
    def folder(self):
        return os.path.join(os.environ["DROVER_CLOUD_INSTANCES"], self.uuid)


class Bench:
    """What a test works with, and what it must clean up."""

    def __init__(self, cloud, scratch):
        self.cloud = cloud
        self.agent = Agent()
        self.host = os.environ["DROVER_CLOUD_HOST"]
        self.scratch = scratch
        self.made = []  # (service, path), newest last
        self.servers = []

    def image(self, name):
        """The UUID of an image known by its name, or by that already."""
        if len(name) == 36:
            return name
        return self.cloud.get("image", "/images", name=name)["images"][0]["id"]

    def network(self, name="provider"):
        return self.cloud.get("network", "/networks", name=name)["networks"][0]["id"]

    def ask_boot(self, name, image="tiny", flavor="1", port=None, count=None, **options):
        """POST /servers; returns the answer. `image`: name or UUID."""
        network = {"port": port} if port else {"uuid": self.network()}
        body = dict(options, name=name, flavorRef=flavor, networks=[network],
                    imageRef=self.image(image))
        if count:
            body.update(min_count=count, max_count=count, return_reservation_id=True)
        return self.cloud.post("compute", "/servers", {"server": body}, timeout=180)

    def boot(self, name, **options):
        """Asks for a server and returns it while it builds."""
        return self.own(self.ask_boot(name, **options)["server"]["id"])

    def boot_active(self, name, **options):
        server = self.boot(name, **options)
        server.wait("ACTIVE")
        return server

    def own(self, uuid):
        server = Server(self, uuid)
        self.servers.append(server)
        return server

    def make_port(self):
        port = self.cloud.post("network", "/ports", {"port": {
            "network_id": self.network(), "name": "drover-test"}})["port"]
        self.made.append(("network", "/ports/" + port["id"]))
        return port

    def show_port(self, port_id):
        return self.cloud.get("network", "/ports/" + port_id)["port"]

    def make_flavor(self, ram, vcpus=1, disk=1, ephemeral=0):
        flavor = self.cloud.post("compute", "/flavors", {"flavor": {
            "name": f"drover-test-{os.getpid()}-{len(self.made)}", "ram": ram, "vcpus": vcpus, "disk": disk,
            "OS-FLV-EXT-DATA:ephemeral": ephemeral}})["flavor"]
        self.made.append(("compute", "/flavors/" + flavor["id"]))
        return flavor["id"]

    def make_image(self, path, disk_format="qcow2", **properties):
        """Uploads a file as an image of the given format, whatever it really is."""
        image = self.cloud.post("image", "/images", dict(
            properties, name="drover-test", disk_format=disk_format, container_format="bare"))
        self.made.append(("image", "/images/" + image["id"]))
        with open(path, "rb") as file:
            self.cloud.put("image", f"/images/{image['id']}/file", file.read(),
                           headers={"Content-Type": "application/octet-stream"})
        return image["id"]

    def service(self):
        services = self.cloud.get("compute", "/os-services", binary="nova-compute", host=self.host)["services"]
        check_equal(len(services), 1, f"service records of {self.host}")
        return services[0]

    def clean(self):
        """Deletes everything that the test made; returns what resisted."""
        trouble = []
        for server in self.servers:
            try:
                server.delete()
            except (RestError, ConnectionError) as err:
                trouble.append(str(err))
        for server in self.servers:
            try:
                server.wait_gone()
            except (Failure, RestError, ConnectionError) as err:
                trouble.append(str(err))
        for service, path in reversed(self.made):
            try:
                self.cloud.delete(service, path)
            except (RestError, ConnectionError) as err:
                trouble.append(str(err))
        return trouble


def check_nothing_left(server):
    """After a delete: no domain, folder, port, tap or allocation of this server."""
    check(server.domain not in virsh("list", "--all", "--name").split(), f"domain {server.domain} is still there")
    check(not os.path.exists(server.folder), f"{server.folder} is still there")
    # nova-api, which ends a build that no agent has yet, and nova-compute give the room back a moment later
    eventually(10, "allocations to go", lambda: server.allocations() == {})
    check_equal(server.ports(), [], "ports")


def check_survivors(server):
    """A server in ERROR must be deletable and then leave nothing."""
    server.domain = server.show()["OS-EXT-SRV-ATTR:instance_name"]
    server.delete_and_wait()
    check_nothing_left(server)


def websocket_read(host, port, path, want, seconds):
    """Opens a websocket as a browser does, and returns the first `want` bytes that come through it."""
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection((host, port), timeout=seconds) as sock:
        sock.sendall((f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\n"
                      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                      f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: binary\r\n\r\n").encode())
        stream = sock.makefile("rb")
        status = stream.readline().decode(errors="replace").strip()
        check(" 101 " in status, f"websocket upgrade: {status}")
        while stream.readline().strip():
            pass
        data = b""
        while len(data) < want:
            head = stream.read(2)
            check(len(head) == 2, f"the proxy closed the connection after {data!r}")
            check(head[0] & 0x0F in (1, 2), f"the proxy sent frame type {head[0] & 0x0F} after {data!r}")
            length = head[1] & 0x7F
            if length >= 126:
                length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
            data += stream.read(length)
        return data
