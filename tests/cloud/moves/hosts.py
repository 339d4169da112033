"""The hosts of a cloud made with `devstack/cloud up --hosts N`, and the questions that decide a move's test.

Where a guest runs is asked of the hypervisors, never of nova. Everything about a host is seen from outside, through
libvirtd's socket and the folder where the host keeps its instances, so that a host whose cable is cut still answers.
"""
import os
import re
import subprocess
import xml.etree.ElementTree as ET

import leaks
import lib
from lib import check, check_equal, cloud_command, eventually

VIRSH_S = 60


class HostAgent(lib.Agent):
    """The compute agent of one host."""

    def __init__(self, host):
        self.host = host

    @property
    def name(self):
        with open(os.path.join(os.environ["DROVER_CLOUD"], "host", self.host, "agent"), encoding="ascii") as file:
            return file.read().strip()

    @property
    def runs(self):
        return lib.pid_of(f"{self.host}/{self.name}") is not None

    @property
    def pid(self):
        pid = lib.pid_of(f"{self.host}/{self.name}")
        check(pid, f"{self.name} does not run on {self.host}")
        return pid

    def choose(self, name):
        """Makes this one the host's agent; it runs and has reported afterwards."""
        if name != self.name or not self.runs:
            cloud_command("agent", name, self.host)

    def start(self):
        cloud_command("start", "agent", self.host)

    def restart(self):
        cloud_command("restart", "agent", self.host)

    def restart_to_die(self, point):
        """Starts drover anew so that it ends with SIGKILL at this step (agent/main.c)."""
        os.environ["DROVER_KILL_AT"] = point
        try:
            self.restart()
        finally:
            del os.environ["DROVER_KILL_AT"]


class Host:
    """One compute host."""

    def __init__(self, name):
        self.name = name
        self.agent = HostAgent(name)
        socket = os.path.join(os.environ["DROVER_CLOUD"], "run", name, "libvirt", "libvirt-sock")
        self.uri = f"qemu+unix:///system?socket={socket}"

    def __repr__(self):
        return self.name

    @property
    def address(self):
        return f"198.18.0.{10 + int(self.name[3:])}"

    @property
    def instances(self):
        """The folder of the instances, seen from outside."""
        if os.environ["DROVER_CLOUD_STORAGE"] == "shared":
            return os.path.join(os.environ["DROVER_CLOUD"], "shared/instances")
        return os.path.join(os.environ["DROVER_CLOUD"], "host", self.name, "nova/instances")

    @property
    def instances_inside(self):
        shared = os.environ["DROVER_CLOUD_STORAGE"] == "shared"
        return "/srv/shared/instances" if shared else "/var/lib/nova/instances"

    def run(self, *argv):
        """Runs a command in the host; returns its output."""
        return lib.run(os.path.join(lib.ROOT, "devstack/lib/host-exec"), self.name, *argv)

    def virsh(self, *argv):
        return lib.run("virsh", "-c", self.uri, *argv, timeout=VIRSH_S)

    def guests(self):
        """{uuid: state} of all that this host's libvirt knows, running or not."""
        lines = self.virsh("list", "--all", "--uuid").split()
        return {uuid: self.virsh("domstate", uuid).strip() for uuid in lines}

    def state(self, uuid):
        """What libvirt says of this guest: running, paused, shut off, ...; None when it does not know it."""
        done = subprocess.run(["virsh", "-c", self.uri, "domstate", uuid], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=VIRSH_S)
        if done.returncode == 0:
            return done.stdout.strip()
        check("failed to get domain" in done.stderr, f"virsh of {self.name}: {done.stderr.strip()}")
        return None

    def describe(self, uuid):
        """What libvirt and QEMU say of a guest: a line for whoever looks for the cause of a failure."""
        said = [self.virsh("domstate", "--reason", uuid).strip()]
        if said[0].startswith(("running", "paused")):
            for _ in range(3):  # a processor that halts at one place waits for an interrupt
                said.append(" ".join(re.findall(r"\b(?:RIP|EIP|RFL|HLT)=\w+", self.monitor(uuid, "info registers"))))
            said.append(self.monitor(uuid, "info status"))
            said += self.waits_for(uuid)
        return "; ".join(said)

    def waits_for(self, uuid):
        """What a guest that stands may wait for: its timer, or a disk that has requests of it in hand."""
        lapic = self.monitor(uuid, "info lapic")
        said = [" ".join(re.findall(r"(?:LVTT|Timer|ISR|IRR).*", lapic)).replace("\t", " ")]
        for path in re.findall(r"(\S+) \[virtio-blk\]", self.monitor(uuid, "info virtio")):
            queue = self.monitor(uuid, f"info virtio-queue-status {path} 0")
            said.append("virtio-blk " + " ".join(re.findall(r"(?:inuse|\w+_idx|signalled_used\w*): +\w+", queue)))
        said.append("jobs " + self.monitor(uuid, "info block-jobs"))
        return said

    def monitor(self, uuid, command):
        return self.virsh("qemu-monitor-command", uuid, "--hmp", command).strip()

    def qemu(self, uuid):
        """The pid, seen from outside, of the guest's QEMU."""
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    command = file.read()
            except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
                continue
            if (uuid.encode() in command and b"qemu-system" in command.split(b"\0")[0]
                    and os.readlink(f"/proc/{entry}/ns/net") == self.netns()):
                return int(entry)
        return None

    def netns(self):
        return os.readlink(f"/proc/{lib.pid_of(self.name + '/init')}/ns/net")

    def job(self, uuid):
        """What libvirt says of the guest's last finished job: {"total_ms", "downtime_ms"}, as far as it does."""
        text = self.virsh("domjobinfo", uuid, "--completed")
        found = {}
        for key, label in (("total_ms", "Time elapsed"), ("downtime_ms", "Total downtime")):
            match = re.search(rf"^{label}:\s+(\d+)\s+ms", text, re.MULTILINE)
            if match:
                found[key] = int(match.group(1))
        return found

    def files(self, uuid):
        """The folders of this guest on the host's storage: its own, and those that a move sets aside."""
        return sorted(n for n in os.listdir(self.instances) if n.startswith(uuid))

    def taps(self):
        return re.findall(r"\btap[0-9a-f]{8}-[0-9a-f]{2}\b", self.run("ls", "/sys/class/net"))

    # ---- what tests do to it ----

    def libvirtd(self, verb):
        """start, stop or restart; or kill: kill -9."""
        if verb == "kill":
            os.killpg(lib.pid_of(self.name + "/libvirtd"), 9)
        else:
            cloud_command(verb, "libvirtd", self.name)

    def rate(self, kbit):
        cloud_command("rate", self.name, str(kbit))

    def link(self, state):
        cloud_command("link", self.name, state)

    def options(self, text):
        """More options for its agents, from their next start on; None takes them away."""
        set_options(self.name, text)

    def tune(self, name, text):
        """Makes `name` its agent, with these options: what runs so already goes on."""
        other = get_options(self.name) != text
        if other:
            self.options(text)
        if other and name == self.agent.name and self.agent.runs:
            self.agent.restart()
        else:
            self.agent.choose(name)


def get_options(name):
    """What further options the agents of a host have, or nova-conductor has; None: none."""
    path = os.path.join(os.environ["DROVER_CLOUD"], "etc", name, "extra.conf")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read()


def set_options(name, text):
    if text is None:
        cloud_command("options", name)
        return
    path = os.path.join(os.environ["DROVER_CLOUD"], "tmp", name + ".conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    cloud_command("options", name, path)


def tune_conductor(text):
    """nova-conductor runs with these options, and with no others."""
    if get_options("nova-conductor") != text:
        set_options("nova-conductor", text)
        cloud_command("restart", "nova-conductor")


def settled(cloud, host):
    """Is its service up and enabled? nova-compute disables it when libvirtd goes, and takes a minute to undo that."""
    service, = cloud.get("compute", "/os-services", binary="nova-compute", host=host.name)["services"]
    return service["state"] == "up" and service["status"] == "enabled" and not service.get("forced_down")


def check_definitions(host, uuid):
    """What the guest would be started from is what runs: its interfaces, disks and listen addresses."""
    def essence(text):
        root = ET.fromstring(text)
        nics = [(n.find("mac").get("address"), n.find("source").attrib.get("bridge"), n.find("target").get("dev"))
                for n in root.findall("./devices/interface")]
        disks = [(d.find("target").get("dev"), d.find("source").attrib.get("file"))
                 for d in root.findall("./devices/disk") if d.find("source") is not None]
        screens = [g.get("listen") for g in root.findall("./devices/graphics")]
        return {"interfaces": nics, "disks": disks, "graphics": screens}
    check_equal(essence(host.virsh("dumpxml", "--inactive", uuid)), essence(host.virsh("dumpxml", uuid)),
                f"definition of {uuid} on {host}, next to what runs")
    live = essence(host.virsh("dumpxml", uuid))
    check(all(address in (host.address, "0.0.0.0", "127.0.0.1") for address in live["graphics"] if address),
          f"the console of {uuid} listens on {live['graphics']}, {host} is {host.address}")


def check_on(server, host, hosts, state="running"):
    """The hypervisors say that the guest is on `host` only."""
    want = {h.name: state if h is host else None for h in hosts}

    def states():
        return {h.name: h.state(server.uuid) for h in hosts}
    eventually(30, lambda: f"guest {server.uuid} to be on {host} only: {states()}", lambda: states() == want)


def check_books(server, host, hosts):
    """nova, placement and neutron agree that the server is on `host`, and on no other."""
    shown = server.show()
    check_equal(shown["OS-EXT-SRV-ATTR:host"], host.name, "host that nova shows")
    check_equal(shown["OS-EXT-STS:task_state"], None, "task state")
    cloud = server.bench.cloud
    providers = {p["uuid"]: p["name"] for p in cloud.get("placement", "/resource_providers")["resource_providers"]}

    def held():
        return [providers[uuid].split(".")[0] for uuid in server.allocations()]
    eventually(20, f"allocations of {server.uuid} on {host} only", lambda: held() == [host.name])
    ports = server.ports()
    check_equal({port["id"] for port in ports}, server.port_ids, "ports")
    for port in ports:
        def bindings(port=port):
            answer = cloud.get("network", f"/ports/{port['id']}/bindings")["bindings"]
            return sorted((b["host"], b["status"]) for b in answer)
        eventually(20, lambda p=port, b=bindings: f"one binding of port {p['id']} on {host}: {b()}",
                   lambda b=bindings: b() == [(host.name, "ACTIVE")])
    tap_names = {"tap" + port["id"][:11] for port in ports}
    for other in hosts:
        if other is not host:
            eventually(20, f"taps of {server.uuid} to go from {other}",
                       lambda o=other: not tap_names & set(o.taps()))


def check_files(server, host, hosts):
    """The guest's files are where it is; elsewhere there is none (local storage), nor any set aside."""
    shared = os.environ["DROVER_CLOUD_STORAGE"] == "shared"
    want = {h.name: [server.uuid] if shared or h is host else [] for h in hosts}

    def files():
        return {h.name: h.files(server.uuid) for h in hosts}
    eventually(30, lambda: f"files of {server.uuid} to be {want}: {files()}", lambda: files() == want)


def find_leaks(cloud, hosts):
    """What belongs to no server, on any host."""
    servers = leaks.all_servers(cloud)
    all_ports = cloud.get("network", "/ports")["ports"]
    found = list(leaks.allocations(cloud, servers))
    for host in hosts:
        here = [*leaks.domains(host.virsh("list", "--all", "--uuid").split(), servers),
                *leaks.folders(host.instances, servers), *leaks.ports(all_ports, servers, host.name),
                *leaks.taps(host.taps(), all_ports)]
        found += [f"{host}: {line}" for line in here]
    return found
