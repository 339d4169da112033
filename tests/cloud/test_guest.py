"""What flavors and images ask for reaches the guest: libvirt's XML says so, and the guest boots with it."""
import os
import xml.etree.ElementTree as ET

from lib import check, check_equal, check_nothing_left, check_survivors, virsh


def flavor_with(t, vcpus=1, **specs):
    """A flavor with extra specs; '__' stands for the colon of a name."""
    flavor = t.make_flavor(ram=128, vcpus=vcpus)
    t.cloud.post("compute", f"/flavors/{flavor}/os-extra_specs",
                 {"extra_specs": {name.replace("__", ":"): value for name, value in specs.items()}})
    return flavor


def image_with(t, **properties):
    return t.make_image(os.path.join(os.environ["DROVER_CLOUD"], "guest/tiny.qcow2"), **properties)


def domain_of(server):
    return ET.fromstring(virsh("dumpxml", "--inactive", server.domain))


def check_at(domain, path, attribute, want):
    node = domain.find(path)
    check(node is not None, f"{path} is not in the domain")
    check_equal(node.get(attribute) if attribute else node.text, want, f"{path} {attribute or ''}")


def test_flavor_asks(t):
    """CPU topology, CPU weight, disk limits, random number rate, watchdog and boot menu of a flavor."""
    flavor = flavor_with(t, vcpus=2, hw__cpu_max_sockets="1", quota__cpu_shares="512",
                         quota__disk_total_iops_sec="2000", hw_rng__rate_bytes="4096", hw_rng__rate_period="1000",
                         hw__watchdog_action="reset", hw__boot_menu="true")
    server = t.boot_active("flavor-asks", flavor=flavor)
    domain = domain_of(server)
    check_at(domain, "cpu/topology", "sockets", "1")
    check_at(domain, "cpu/topology", "cores", "2")
    check_at(domain, "cputune/shares", None, "512")
    check_at(domain, "devices/disk/iotune/total_iops_sec", None, "2000")
    check_at(domain, "devices/rng/rate", "bytes", "4096")
    check_at(domain, "devices/watchdog", "action", "reset")
    check_at(domain, "os/bootmenu", "enable", "yes")
    check("512" in virsh("schedinfo", server.domain), "the weight did not reach the scheduler")
    check_equal(server.wait_console(r"GUEST-CPUS (\d+)").group(1), "2", "CPUs in the guest")


def test_image_asks_for_scsi_on_q35(t):
    """q35 with disks and config drive on one virtio-scsi controller, and a guest agent's channel."""
    image = image_with(t, hw_machine_type="q35", hw_disk_bus="scsi", hw_scsi_model="virtio-scsi",
                       hw_cdrom_bus="scsi", hw_qemu_guest_agent="yes", hw_video_model="vga")
    server = t.boot("scsi", image=image, config_drive=True)
    server.wait("ACTIVE")
    domain = domain_of(server)
    check("q35" in domain.find("os/type").get("machine"), "machine type")
    check_equal([(disk.find("target").get("dev"), disk.find("target").get("bus"), disk.find("address").get("unit"))
                 for disk in domain.findall("devices/disk")], [("sda", "scsi", "0"), ("sdb", "scsi", "1")], "disks")
    check_at(domain, "devices/controller[@type='scsi']", "model", "virtio-scsi")
    check_at(domain, "devices/channel/target[@name='org.qemu.guest_agent.0']", "type", "virtio")
    check_at(domain, "devices/video/model", "type", "vga")
    server.wait_console(r"GUEST-BOOTCOUNT 1")
    server.wait_console(r"GUEST-CONFIGDRIVE sr0 ")


def test_uefi(t):
    """A UEFI guest gets the host's firmware and a variable store of its own, which goes with it."""
    image = image_with(t, hw_machine_type="q35", hw_firmware_type="uefi")
    server = t.boot_active("uefi", image=image)
    os_node = domain_of(server).find("os")
    check_equal(os_node.find("loader").get("secure"), "no", "Secure Boot")
    check(os.path.exists(os_node.findtext("loader")), "the firmware is not there")
    store = os_node.findtext("nvram")
    check(store, "no variable store")
    server.delete_and_wait()
    check_nothing_left(server)
    check(not os.path.exists(store), f"{store} is still there")


def test_video_memory_is_refused(t):
    """More video memory than the flavor allows ends the build with nova's words."""
    server = t.boot("video", image=image_with(t, hw_video_ram="64"), flavor=flavor_with(t, hw_video__ram_max_mb="16"))
    server.wait("ERROR")
    check("higher than the maximum allowed by flavor" in server.fault, f"fault: {server.fault}")
    check_survivors(server)
