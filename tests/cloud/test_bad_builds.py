"""Builds that must fail: with a fault that names the reason, and with nothing left on the host."""
import ctypes
import os
import subprocess

from lib import check, check_equal, check_nothing_left, check_survivors, eventually, needs_agent, refused

IN_OPEN = 0x20
IN_ACCESS = 0x01


class FileWatch:
    """Sees every open of a file by anybody, from now on (inotify)."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK)
        check(self.fd >= 0 and libc.inotify_add_watch(self.fd, path.encode(), IN_OPEN | IN_ACCESS) >= 0,
              f"cannot watch {path}")

    def opened(self):
        try:
            return bool(os.read(self.fd, 4096))
        except BlockingIOError:
            return False
        finally:
            os.close(self.fd)


def qemu_img(*argv):
    subprocess.run(("qemu-img",) + argv, check=True, stdout=subprocess.DEVNULL)


def fails(t, name, *words, **options):
    """Boots a server that must go to ERROR with one of `words` in its fault, and whose remains must go with it."""
    server = t.boot(name, **options)
    server.wait("ERROR")
    fault = server.fault
    check(any(word.lower() in fault.lower() for word in words), f"fault {fault!r} has none of {words}")
    check_equal(server.allocations(), {}, "allocations of a failed build")
    check(not os.path.exists(server.folder), f"{server.folder} of a failed build is still there")
    check_survivors(server)
    return fault


def test_image_larger_than_disk(t):
    """An image whose virtual size exceeds the flavor's disk is refused (its file is small: only the agent can see it)."""
    path = os.path.join(t.scratch, "large.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", path, "3G")
    fails(t, "large", "too small", image=t.make_image(path))


def test_no_valid_host(t):
    """A flavor that no host can hold never reaches the agent."""
    fails(t, "huge", "no valid host", flavor=t.make_flavor(ram=50 << 10))


def test_image_is_not_what_it_says(t):
    """Bytes that are no qcow2, uploaded as qcow2."""
    path = os.path.join(t.scratch, "noise")
    with open(path, "wb") as file:
        file.write(os.urandom(1 << 20))
    fails(t, "noise", "unacceptable", "invalid", "format", image=t.make_image(path))


@needs_agent("drover")  # nova-compute boots it all the same
def test_truncated_image(t):
    """A qcow2 whose header promises tables that are beyond its end."""
    whole, path = os.path.join(t.scratch, "whole"), os.path.join(t.scratch, "cut")
    qemu_img("create", "-q", "-f", "qcow2", whole, "16M")
    with open(whole, "rb") as file, open(path, "wb") as cut:
        cut.write(file.read(600))
    fails(t, "cut", "unacceptable", "invalid", "could not", "unexpected", "qemu-img", image=t.make_image(path))


def hostile(t, name, path, secret, disk_format="qcow2"):
    image = t.make_image(path, disk_format)
    watch = FileWatch(secret)
    fails(t, name, "unacceptable", "invalid", "backing", "format", image=image)
    check(not watch.opened(), f"somebody opened {secret}, which the image points at")


def secret_file(t):
    path = os.path.join(t.scratch, "secret")
    with open(path, "wb") as file:
        file.write(b"host secret\n" * 100000)
    os.chmod(path, 0o644)
    return path


def test_hostile_backing_file(t):
    """A qcow2 whose backing file is a file of the host: refused, and that file is never opened."""
    secret, path = secret_file(t), os.path.join(t.scratch, "hostile.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, path)
    hostile(t, "backing", path, secret)


def test_hostile_data_file(t):
    """A qcow2 whose data is in an external file of the host."""
    secret, path = secret_file(t), os.path.join(t.scratch, "hostile.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", "-o", "data_file_raw=on,data_file=" + secret, path, "1M")
    with open(secret, "wb") as file:  # qemu-img has just truncated it
        file.write(b"host secret\n" * 100000)
    hostile(t, "data", path, secret)


def test_hostile_raw(t):
    """The same image uploaded as raw: nothing may guess its format later."""
    secret, path = secret_file(t), os.path.join(t.scratch, "hostile.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, path)
    hostile(t, "raw", path, secret, "raw")


def test_hostile_vmdk(t):
    """A vmdk descriptor whose extent is a file of the host."""
    secret, path = secret_file(t), os.path.join(t.scratch, "hostile.vmdk")
    with open(path, "w", encoding="ascii") as file:
        file.write("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
                   f'createType="monolithicFlat"\n\n# Extent description\nRW 2048 FLAT "{secret}" 0\n'
                   '\n# The Disk Data Base\nddb.adapterType = "ide"\n')
        file.write("\n" * 4096)
    hostile(t, "vmdk", path, secret, "vmdk")


def test_image_deleted_meanwhile(t):
    """The image goes between nova-api's check and the agent's download."""
    image = t.make_image(os.path.join(os.environ["DROVER_CLOUD"], "guest/tiny.qcow2"), extra="1")
    t.agent.pause()
    try:
        server = t.boot("no-image", image=image)
        allocated(server)
        t.cloud.delete("image", "/images/" + image)
    finally:
        t.agent.resume()
    server.wait("ERROR")
    # the agent gives the build back, as nova-compute does, and conductor has no other host
    check("maximum number of retries" in server.fault or image in server.fault, f"fault: {server.fault}")
    check_survivors(server)


def test_queued_image_is_refused(t):
    """An image without data never reaches the agent: 400."""
    image = t.cloud.post("image", "/images", {"name": "drover-test", "disk_format": "raw",
                                              "container_format": "bare"})["id"]
    t.made.append(("image", "/images/" + image))
    refused(lambda: t.boot("queued", image=image), 400)


def test_port_in_use(t):
    """A port of one server is refused for another one by nova-api."""
    server = t.boot_active("first")
    port, = server.ports()
    refused(lambda: t.boot("second", port=port["id"]), 409)


def test_port_taken_meanwhile(t):
    """Two servers ask for one port before the agent has bound it: one gets it, the other one's build fails."""
    port = t.make_port()
    t.agent.pause()
    try:
        pair = [t.boot("pair", port=port["id"]) for _ in range(2)]
        for server in pair:
            allocated(server)
    finally:
        t.agent.resume()
    states = [server.wait("ACTIVE", "ERROR")["status"] for server in pair]
    check_equal(sorted(states), ["ACTIVE", "ERROR"], "states of the two servers")
    winner, loser = (pair if states[0] == "ACTIVE" else pair[::-1])
    check(port["id"] in loser.fault or "in use" in loser.fault, f"fault: {loser.fault}")
    check_equal(t.show_port(port["id"])["device_id"], winner.uuid, "device of the port")
    check_survivors(loser)
    check_equal(t.show_port(port["id"])["device_id"], winner.uuid, "device of the port after the loser's delete")
    winner.delete_and_wait()
    check_nothing_left(winner)


def allocated(server):
    """Waits until the scheduler has chosen the host: the request is then on its way to the agent."""
    eventually(120, "allocation", server.allocations)
    eventually(60, "build request to become an instance",
               lambda: server.show()["OS-EXT-SRV-ATTR:instance_name"] != "instance-00000000")
