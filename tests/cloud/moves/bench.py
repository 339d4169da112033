"""What a test of a move works with: two hosts with an agent each, guests that bear witness, and the move itself."""
import time

import leaks
import lib
from guest import Console, check_writes, disk_sums
from hosts import Host, check_books, check_definitions, check_files, check_on, find_leaks, settled
from lib import check, check_equal, eventually

MOVE_S = 180 * lib.PATIENCE
LIVE_ENDED = ("completed", "error", "failed", "cancelled")
BOOTS = 20  # of one guest, whose disk has room for the records of a few more


class Shelf:
    """What one case leaves to the next: a guest that is whole, so that nobody need wait for a boot; and leaks."""

    def __init__(self):
        self.guest = None
        self.leaks = set()   # that a case has been blamed for


class Guest(lib.Server):
    """A server that boots the image `ticks`, and what was seen of it before its move."""

    def __init__(self, bench, uuid):
        super().__init__(bench, uuid)
        self.console_log = Console([h.instances for h in bench.hosts], uuid)
        self.port_ids = set()
        self.flavor = None
        self.boots = 1       # as its disk has counted them
        self.sums = None
        self.since = 0       # time.monotonic() of what a move is compared with

    @property
    def host(self):
        return self.bench.host_named(self.show()["OS-EXT-SRV-ATTR:host"])

    def action(self, body):
        return self.bench.cloud.post("compute", f"/servers/{self.uuid}/action", body, timeout=180)

    def migrations(self):
        """Its migration records, oldest first."""
        found = self.bench.cloud.get("compute", "/os-migrations", instance_uuid=self.uuid)["migrations"]
        return sorted(found, key=lambda m: m["id"])

    def wait_migration(self, *states, seconds=MOVE_S, pause=0.1):
        """Waits until its newest migration is in one of these states."""
        def probe():
            records = self.migrations()
            return records[-1] if records and records[-1]["status"] in states else None
        return eventually(seconds, f"migration of {self.uuid} to become {' or '.join(states)}", probe, pause)

    def migrate_live(self, dest, block="auto"):
        """Asks for the move and returns when nova has its record."""
        before = len(self.migrations())
        self.action({"os-migrateLive": {"host": dest.name if dest else None, "block_migration": block}})
        eventually(MOVE_S, "a migration record", lambda: len(self.migrations()) > before, 0.05)

    def witness(self):
        """Notes what must be the same after a move."""
        self.sums = disk_sums(self.host, self)
        self.since = time.monotonic()

    def follow(self):
        """Begins anew with its console, and learns how often it has booted."""
        self.console_log.forget()
        self.console_log.wait_ticks()
        self.boots = max(eventually(60, f"guest {self.uuid} to write", self.console_log.records))

    def wait_next_boot(self, first_part=0):
        self.boots += 1
        self.console_log.wait_boot(self.boots, first_part=first_part)

    def check_same(self, host, downtime_s=None):
        """The guest goes on, on `host`, with the disk that it had and all that it wrote.

        downtime_s: None when the guest was started anew.
        """
        if downtime_s is not None:
            self.console_log.wait_ticks()
            self.console_log.check_went_on(self.since, downtime_s)
        records = self.console_log.records()
        check(records, "the guest has written nothing")
        check_writes(host, self, records)
        whole, files = disk_sums(host, self)
        check_equal(files, self.sums[1], "checksum of the files on the disk")
        if downtime_s is not None:
            check_equal(whole, self.sums[0], "checksum of the disk's fixed part")

    def check_settled(self, host, state="running"):
        """Hypervisors, nova, placement, neutron and files agree that the guest is on `host` and nowhere else."""
        hosts = self.bench.hosts
        check_on(self, host, hosts, state)
        check_books(self, host, hosts)
        check_files(self, host, hosts)
        check_definitions(host, self.uuid)


class MoveBench(lib.Bench):
    """`source` and `dest` are the two hosts of the test; `hosts` are all."""

    def __init__(self, cloud, names, shelf=None):
        super().__init__(cloud, None)
        self.shelf = shelf or Shelf()
        self.plain = None    # the guest that may go to the shelf
        self.hosts = [Host(name) for name in names]
        self.source, self.dest = self.hosts[:2]
        self.agent = self.source.agent
        self.shared = lib.os.environ["DROVER_CLOUD_STORAGE"] == "shared"

    def host_named(self, name):
        found = [h for h in self.hosts if h.name == name]
        check(found, f"no host {name!r}")
        return found[0]

    def own(self, uuid):
        guest = Guest(self, uuid)
        self.servers.append(guest)
        return guest

    def ready(self):
        """Every host may be chosen: a service that has just come back is not, for a moment."""
        eventually(lib.SERVICE_S, "all services up and enabled",
                   lambda: all(settled(self.cloud, h) for h in self.hosts), 1)

    def take(self):
        """The guest of an earlier case, on the source, which is the host where it is if the hosts are alike."""
        guest, self.shelf.guest = self.shelf.guest, None
        guest.bench = self
        self.servers.append(guest)
        if guest.host is not self.source:
            if self.source.agent.name == self.dest.agent.name:
                self.source, self.dest = self.dest, self.source
            else:
                self.live(guest, self.source)
        guest.follow()
        return guest

    def keep(self):
        """Puts the guest on the shelf if it is as the next case may find it; otherwise clean() deletes it."""
        guest, self.plain = self.plain, None
        if not guest or guest.boots >= BOOTS or self.shelf.guest:
            return
        shown = guest.show()
        if (shown["status"], shown["OS-EXT-STS:task_state"], shown["flavor"]) != ("ACTIVE", None, guest.flavor):
            return
        try:
            guest.check_settled(guest.host)
        except lib.Failure:  # what a case demands it has checked itself; what stays of the guest is found by leaks()
            return
        self.servers.remove(guest)
        self.shelf.guest = guest

    def a_guest(self):
        """A guest that runs on the source, counts and writes; nothing is special about it."""
        self.ready()
        self.plain = self.take() if self.shelf.guest else self.boot_guest()
        return self.plain

    def boot_guest(self, name="moves", host=None, networks=None, **options):
        """A new guest that runs on `host` (default: the source), counts and writes."""
        self.ready()
        options.setdefault("image", "ticks")
        options.setdefault("flavor", "1")
        body = {"name": name, "flavorRef": options.pop("flavor"), "imageRef": self.image(options.pop("image")),
                "host": (host or self.source).name, "networks": networks or [{"uuid": self.network()}]}
        body.update(options.pop("body", {}))
        request = {"server": body, **options}
        guest = self.own(self.cloud.post("compute", "/servers", request, timeout=180)["server"]["id"])
        guest.flavor = guest.wait("ACTIVE")["flavor"]
        guest.port_ids = {port["id"] for port in guest.ports()}
        check_equal(len(guest.port_ids), len(body["networks"]), "ports")
        guest.console_log.wait_boot()
        return guest

    def busy_guest(self, flavor="1"):
        """One that rewrites 2 MiB of its memory all the time besides."""
        image = self.make_image(lib.os.path.join(lib.os.environ["DROVER_CLOUD"], "guest", "ticks.qcow2"),
                                kernel_id=self.image("tiny-kernel"), ramdisk_id=self.image("tiny-initrd"),
                                os_command_line="console=ttyS0 quiet panic=5 ticks busy")
        guest = self.boot_guest(flavor=flavor, image=image)
        eventually(lib.BOOT_S, "the guest to be busy (an old guest image cannot)", lambda: "GUEST-BUSY" in guest.console(), 1)
        guest.follow()
        return guest

    def make_group(self, policy):
        group = self.cloud.post("compute", "/os-server-groups", {"server_group": {
            "name": "drover-test", "policy": policy}})["server_group"]
        self.made.append(("compute", "/os-server-groups/" + group["id"]))
        return group["id"]

    def live(self, guest, dest=None, block="auto"):
        """A live migration that must succeed; returns {"total_s", "downtime_s", ...}."""
        dest = dest or self.dest
        began = time.monotonic()
        guest.migrate_live(dest, block)
        record = guest.wait_migration(*LIVE_ENDED)
        total = time.monotonic() - began
        check_equal(record["status"], "completed", f"migration of {guest.uuid}")
        guest.wait("ACTIVE", "PAUSED")
        job = dest.job(guest.uuid)
        check("downtime_ms" in job, f"libvirt of {dest} knows no downtime: {job}")
        return {"total_s": round(total, 2), "downtime_s": job["downtime_ms"] / 1000,
                "job_s": job.get("total_ms", 0) / 1000}

    def service_of(self, host):
        service, = self.cloud.get("compute", "/os-services", binary="nova-compute", host=host.name)["services"]
        return service

    def force_down(self, host, down):
        self.cloud.put("compute", "/os-services/" + self.service_of(host)["id"], {"forced_down": down})

    def mend(self):
        """Puts back what a test that failed may have left: cables, rates, options, daemons, agents."""
        trouble = []
        for host in self.hosts:
            if lib.pid_of(host.name + "/init") is None:
                trouble.append(f"{host} had to be switched on again")
                lib.cloud_command("power-on", host.name)
            host.link("up")
            host.rate(0)
            lib.cloud_command("drop", host.name, "off")
            if lib.pid_of(host.name + "/libvirtd") is None:
                trouble.append(f"libvirtd of {host} had to be started again")
                host.libvirtd("start")
            if not host.agent.runs:
                trouble.append(f"{host.agent.name} of {host} had to be started again")
                host.agent.start()
            if self.service_of(host)["forced_down"]:
                trouble.append(f"{host} had to be un-forced")
                self.force_down(host, False)
        return trouble

    def testify(self):
        """What the hypervisors say of the guests of a case that failed, before they are deleted."""
        said = [f"{host}: {guest.uuid} {host.describe(guest.uuid)}" for guest in self.servers for host in self.hosts
                if lib.pid_of(host.name + "/libvirtd") and host.state(guest.uuid)]
        words = [(guest.uuid, guest.console_log.other_words()) for guest in self.servers]
        return said + [f"the console of {uuid} says besides: {text}" for uuid, text in words if text]

    def clean(self):
        trouble = super().clean()
        for guest in self.servers:
            guest.console_log.stop()
        return trouble

    def leaks(self):
        found = leaks.lasting(lambda: sorted(set(find_leaks(self.cloud, self.hosts)) - self.shelf.leaks))
        self.shelf.leaks.update(found)
        return found
