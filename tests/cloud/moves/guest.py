"""The guest as its own witness: image `ticks` counts on its console and writes numbered records to its disk.

    T 123 45.67    ten times a second: a counter, and the guest's uptime (devstack/lib/make-guest)
    W 1 17         record 17 of boot 1 is safe on the disk
"""
import hashlib
import os
import re
import subprocess
import threading
import time

from lib import check, check_equal, eventually

TICK_S = 0.1
MIB = 1 << 20
STATIC_MIB = 29            # of the disk: the image itself, which nobody writes to after the boot is counted
RECORD = 512
RECORDS_AT = 64 * MIB
RECORDS_OF_BOOT = 32 * MIB
# What the machine itself may take between two lines beside the downtime: two busy cores under TCG.
SLACK_S = float(os.environ.get("DROVER_TEST_TICK_SLACK", "3"))


class Console:
    """Follows the console.log of a guest in the instance folders of all hosts, and keeps when each part came.

    Files stay open: what a source host writes last is read even when the file has been removed already, or replaced by
    the incoming side of a migration on shared storage.
    """

    def __init__(self, folders, uuid):
        self.paths = sorted({os.path.join(folder, uuid, "console.log") for folder in folders})
        self.parts = []            # [[(when, bytes)]], one list for each file, in the order in which they began
        self.files = {}            # (device, inode) -> (file, list of its part)
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopped.set()
        self.thread.join()
        for file, _ in self.files.values():
            file.close()

    def forget(self):
        """Begins anew with what comes from now on.

        Files stay open: that of a guest whose migration was broken off on shared storage may have lost its name, since
        the incoming side makes another one in its place.
        """
        with self.lock:
            self.parts = []
            for key, (file, _) in self.files.items():
                self.files[key] = (file, [])

    def follow(self):
        while not self.stopped.wait(0.015):
            for path in self.paths:
                self.open_new(path)
            for file, chunks in self.files.values():
                data = file.read()
                if data:
                    self.note(chunks, data)

    def open_new(self, path):
        try:
            status = os.stat(path)
            key = status.st_dev, status.st_ino
            if key not in self.files:
                self.files[key] = (open(path, "rb", buffering=0), [])
        except OSError:
            pass

    def note(self, chunks, data):
        with self.lock:
            if not chunks:
                self.parts.append(chunks)
            chunks.append((time.monotonic(), data))

    def lines(self, first_part=0):
        """[(when, part, text)] of the lines so far; one that was cut by the end of a part goes on in the next."""
        with self.lock:
            chunks = [(when, number, data) for number, part in enumerate(self.parts)
                      if number >= first_part for when, data in part]
        found, rest = [], b""
        for when, number, data in chunks:
            *whole, rest = (rest + data).split(b"\n")
            found += [(when, number, line.decode(errors="replace").strip()) for line in whole]
        return found

    def ticks(self):
        """[(when, part, counter, uptime)]"""
        found = []
        for when, part, line in self.lines():
            match = re.fullmatch(r"T (\d+) ([\d.]+)", line)
            if match:
                found.append((when, part, int(match.group(1)), float(match.group(2))))
        return found

    def records(self, first_part=0):
        """{boot: number of its last record that the guest knows to be safe}"""
        found = {}
        for _, _, line in self.lines(first_part):
            match = re.fullmatch(r"W (\d+) (\d+)", line)
            if match:
                found[int(match.group(1))] = int(match.group(2))
        return found

    def other_words(self, most=6):
        """The last lines that are neither a counter nor a record: a kernel that dies says so there."""
        lines = [line for _, _, line in self.lines() if line and not re.match(r"[TW] \d+ ", line)]
        return " | ".join(line[:120] for line in lines[-most:])

    def counter(self):
        ticks = self.ticks()
        return ticks[-1][2] if ticks else 0

    def wait_ticks(self, more=15, seconds=90):
        """Waits until the guest has counted on by so much, and returns the counter."""
        start = self.counter()
        eventually(seconds, lambda: f"guest to count on from {start}: {self.state()}",
                   lambda: self.counter() >= start + more or 0 < self.counter() < start, 0.2)
        return self.counter()

    def state(self):
        """Why nothing more comes, for whoever reads of a failure: what was read, and what there is."""
        read = {os.fstat(file.fileno()).st_ino: file.tell() for file, _ in self.files.values()}
        there = {path: (os.stat(path).st_ino, os.stat(path).st_size) for path in self.paths if os.path.exists(path)}
        return f"{self.counter()}, bytes read of each file {read}, files {there}, follows: {self.thread.is_alive()}"

    def wait_boot(self, boot=1, seconds=180, first_part=0):
        """Waits until the guest counts and has written in this boot; first_part: how many files there were before."""
        eventually(seconds, f"guest to write in its boot {boot}",
                   lambda: self.records(first_part).get(boot, 0) >= 4 and self.counter() >= 10, 0.3)

    def check_went_on(self, since, downtime_s):
        """No tick is missing since then (time.monotonic()), no pause longer than the downtime and a little more.

        Returns the longest pause. A line may be lost where one file ends and another begins: the counter says so.
        """
        ticks = [t for t in self.ticks() if t[0] >= since]
        longest = 0.0
        for before, after in zip(ticks, ticks[1:]):
            step, edge = after[2] - before[2], after[1] != before[1]
            check(1 <= step <= (4 if edge else 1), f"the guest's counter went from {before[2]} to {after[2]}")
            check(after[3] >= before[3], f"the guest's uptime went from {before[3]} to {after[3]}")
            longest = max(longest, after[0] - before[0])
        check(len(ticks) > 10, f"the guest has hardly counted: {len(ticks)} ticks")
        check(longest <= downtime_s + SLACK_S,
              f"the guest stood for {longest:.2f} s, the downtime is said to be {downtime_s:.2f} s")
        return longest


def read_disk(host, server, skip, size):
    """A part of the guest's root disk as the guest sees it, read in the host through its chain of images."""
    block = MIB if skip % MIB == 0 and size % MIB == 0 else RECORD
    out = os.path.join(os.environ["DROVER_CLOUD"], "tmp", f"disk-{os.getpid()}-{server.uuid}")
    try:
        host.run("qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", f"bs={block}", f"skip={skip // block}",
                 f"count={(skip + size) // block}", f"if={host.instances_inside}/{server.uuid}/disk", f"of={out}")
        with open(out, "rb") as file:
            return file.read(size)  # newer ones count from where they skipped to
    finally:
        if os.path.exists(out):
            os.remove(out)


def disk_sums(host, server):
    """Checksums of what the guest does not write to: of the image's whole part of the disk, and of the files on it.

    The first holds until the guest boots again, which it counts in a file.
    """
    path = os.path.join(os.environ["DROVER_CLOUD"], "tmp", f"fixed-{os.getpid()}-{server.uuid}")
    try:
        with open(path, "wb") as file:
            file.write(read_disk(host, server, 0, STATIC_MIB * MIB))
        with open(path, "rb") as file:
            whole = hashlib.sha256(file.read()).hexdigest()
        files = b"".join(subprocess.run(["mtype", "-i", path + "@@1M", "::/" + name], stdout=subprocess.PIPE,
                                        check=True).stdout for name in ("vmlinuz", "initrd.gz"))
        check(len(files) > MIB, "the files on the disk are gone")
        return whole, hashlib.sha256(files).hexdigest()
    finally:
        os.remove(path)


def check_writes(host, server, records):
    """Each record that the guest knew to be safe is on the disk that `host` has."""
    for boot, last in records.items():
        data = read_disk(host, server, RECORDS_AT + boot * RECORDS_OF_BOOT, (last + 1) * RECORD)
        for number in range(1, last + 1):
            got = data[number * RECORD:(number + 1) * RECORD].decode(errors="replace").rstrip("\0 ")
            check_equal(got, f"drover boot={boot} write={number}", f"record {number} of {last} of boot {boot} on {host}")
