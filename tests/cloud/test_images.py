"""Guests that become images: snapshots, backups, shelving; and images that are fetched ahead."""
import hashlib
import os

from lib import BOOT_S, RestError, check, check_equal, eventually, qemu_pid, virsh


def action(t, server, body):
    return t.cloud.post("compute", f"/servers/{server.uuid}/action", body, timeout=180)


def show_image(t, image_id):
    """The image's record, None when it is gone."""
    try:
        return t.cloud.get("image", "/images/" + image_id)
    except RestError as err:
        if err.status == 404:
            return None
        raise


def take(t, server, body):
    """Sends createImage or createBackup; returns the id of the image, which the test then owns."""
    image_id = action(t, server, body)["image_id"]
    t.made.append(("image", "/images/" + image_id))
    return image_id


def wait_image(t, image_id):
    def probe():
        image = show_image(t, image_id)
        check(image, f"image {image_id} was deleted: the snapshot failed")
        return image if image["status"] == "active" else None
    return eventually(BOOT_S, f"image {image_id} to become active", probe, 1)


def check_whole(image, server):
    """What nova puts into a snapshot's record, and that there is data."""
    check_equal(image["disk_format"], "qcow2", "disk_format")
    check_equal(image["container_format"], "bare", "container_format")
    check_equal(image["image_location"], "snapshot", "image_location")
    check_equal(image["image_state"], "available", "image_state")
    check_equal(image["instance_uuid"], server.uuid, "instance_uuid")
    check(image["size"] > 1 << 20, f"an image of {image['size']} bytes")
    check_equal(image["virtual_size"], 1 << 30, "virtual_size")


def check_no_folder_left():
    folder = os.path.join(os.environ["DROVER_CLOUD_INSTANCES"], "snapshots")
    check_equal(os.listdir(folder) if os.path.isdir(folder) else [], [], "folders of snapshots")


def check_no_copy_left(server):
    check("No current block job" in virsh("blockjob", server.domain, "vda", "--info"), "a block job goes on")
    check_no_folder_left()


def test_live_snapshot(t):
    """A running guest is copied without a stop, and what it wrote is in the guest that boots from the image."""
    server = t.boot_active("live")
    server.wait_console("GUEST-BOOTCOUNT 1")
    pid = qemu_pid(server.domain)
    image_id = take(t, server, {"createImage": {"name": "drover-test-live", "metadata": {"a": "b"}}})
    image = wait_image(t, image_id)
    check_whole(image, server)
    check_equal(image["a"], "b", "the user's property")
    server.wait("ACTIVE")
    check_equal(qemu_pid(server.domain), pid, "QEMU's pid")
    check_equal(virsh("domstate", server.domain).strip(), "running", "domain")
    check(server.domain in virsh("list", "--all", "--persistent", "--name").split(), "the domain is not persistent")
    check_no_copy_left(server)
    again = t.boot_active("from-live", image=image_id)
    again.wait_console("GUEST-BOOTCOUNT 2")


def test_snapshot_of_paused_and_stopped(t):
    """A paused guest stays paused; the disk of a stopped one is read where it lies."""
    server = t.boot_active("cold")
    server.wait_console("GUEST-BOOTCOUNT 1")
    action(t, server, {"pause": None})
    server.wait("PAUSED")
    check_whole(wait_image(t, take(t, server, {"createImage": {"name": "drover-test-paused"}})), server)
    server.wait("PAUSED")
    check_equal(virsh("domstate", server.domain).strip(), "paused", "domain")
    check_no_copy_left(server)
    action(t, server, {"unpause": None})
    server.wait("ACTIVE")
    action(t, server, {"os-stop": None})
    server.wait("SHUTOFF")
    check_whole(wait_image(t, take(t, server, {"createImage": {"name": "drover-test-stopped"}})), server)
    server.wait("SHUTOFF")
    check_equal(virsh("domstate", server.domain).strip(), "shut off", "domain")


def test_backup_rotation(t):
    """Of two backups with a rotation of one, the younger stays."""
    server = t.boot_active("backup")
    images = []
    for name in ("drover-test-one", "drover-test-two"):
        images.append(take(t, server, {"createBackup": {"name": name, "backup_type": "daily", "rotation": 1}}))
        image = wait_image(t, images[-1])
        check_equal(image["image_type"], "backup", "image_type")
        server.wait("ACTIVE")
    eventually(60, "the first backup to be deleted", lambda: show_image(t, images[0]) is None)
    check_equal(show_image(t, images[1])["status"], "active", "the second backup")


def test_shelve(t):
    """A shelved server leaves the host: no guest, no disk, no allocation, but its image and its port."""
    server = t.boot_active("shelve")
    server.wait_console("GUEST-DHCP")
    action(t, server, {"shelve": None})
    shown = server.wait("SHELVED_OFFLOADED")
    check_equal(shown["OS-EXT-SRV-ATTR:host"], None, "host")
    check(server.domain not in virsh("list", "--all", "--name").split(), "the domain is still there")
    check(not os.path.exists(server.folder), f"{server.folder} is still there")
    check_equal(server.allocations(), {}, "allocations")
    check_equal(len(server.ports()), 1, "ports")
    image, = t.cloud.get("image", "/images", name=shown["name"] + "-shelved")["images"]
    check_whole(image, server)


def test_delete_during_snapshot(t):
    """A server that is deleted during its snapshot goes at once, and leaves no image without data."""
    server = t.boot_active("snapshot-delete")
    image_id = take(t, server, {"createImage": {"name": "drover-test-deleted"}})
    server.delete_and_wait()

    def probe():
        image = show_image(t, image_id)
        return not image or image["status"] == "active"
    eventually(BOOT_S, "the image to be whole or gone", probe, 1)
    check_no_folder_left()


def test_cache_images(t):
    """An image is in the cache of an aggregate's host before anybody boots from it."""
    path = os.path.join(t.scratch, "image.raw")
    with open(path, "wb") as file:
        file.write(os.urandom(1 << 20))
    image_id = t.make_image(path, "raw")
    aggregate = t.cloud.post("compute", "/os-aggregates", {"aggregate": {"name": f"drover-test-{os.getpid()}"}})
    where = f"/os-aggregates/{aggregate['aggregate']['id']}"
    t.made.append(("compute", where))
    t.cloud.post("compute", where + "/action", {"add_host": {"host": t.host}})
    base = os.path.join(os.environ["DROVER_CLOUD_INSTANCES"], "_base", hashlib.sha1(image_id.encode()).hexdigest())
    try:
        t.cloud.post("compute", where + "/images", {"cache": [{"id": image_id}]})
        eventually(60, f"{base} to appear", lambda: os.path.exists(base))
        check_equal(os.path.getsize(base), 1 << 20, "size of the base file")
    finally:
        t.cloud.post("compute", where + "/action", {"remove_host": {"host": t.host}})
        if os.path.exists(base):
            os.unlink(base)
