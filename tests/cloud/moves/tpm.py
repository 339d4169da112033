"""Cold migrations of guests with emulated TPMs, whose state goes along: on a cloud with a key manager only."""
import hashlib
import os

from cold import ask, confirm
from lib import check, check_equal


def boot(t):
    flavor = t.make_flavor(128)
    t.cloud.post("compute", f"/flavors/{flavor}/os-extra_specs",
                 {"extra_specs": {"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"}})
    return t.boot_guest(flavor=flavor)


def folder(host, guest):
    """Where the host's libvirt keeps it, seen from outside."""
    return os.path.join(os.environ["DROVER_CLOUD"], "host", host.name, "libvirt/var/lib/libvirt/swtpm", guest.uuid)


def state(host, guest):
    """What tells this state from another one; None: the host has none."""
    path = os.path.join(folder(host, guest), "tpm2", "tpm2-00.permall")
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def check_unpacked(host, guest):
    """Nothing lies on its way any more; a nova-compute leaves the folder that it was in."""
    path = os.path.join(host.instances, guest.uuid, "swtpm")
    check(not os.path.exists(path) or not os.listdir(path), f"{path} holds {guest}'s TPM")


def check_works(host, guest):
    check('"type":"emulator"' in host.virsh("qemu-monitor-command", guest.uuid, '{"execute": "query-tpm"}')
          .replace(" ", ""), "QEMU has no TPM")
    check_equal(host.virsh("-q", "secret-list").strip(), "", f"secrets in libvirt of {host}")


def tpm_cold(t):
    """A stopped guest finds on the other host, byte for byte, what its TPM had in store, and starts with it."""
    guest = boot(t)
    guest.witness()
    check_works(t.source, guest)
    guest.action({"os-stop": None})
    guest.wait("SHUTOFF")
    before = state(t.source, guest)
    check(before, f"{t.source} has no state of the TPM")
    ask(guest, {"migrate": None})
    check_equal(state(t.dest, guest), before, "the state of the TPM")
    check_unpacked(t.dest, guest)
    guest.action({"confirmResize": None})
    guest.wait("SHUTOFF")
    guest.check_settled(t.dest, state="shut off")
    if t.source.agent.name == "drover":
        check_equal(state(t.source, guest), None, f"the state of the TPM on {t.source}")
    guest.action({"os-start": None})
    guest.wait("ACTIVE")
    guest.wait_next_boot()
    guest.check_same(t.dest)
    check_works(t.dest, guest)


def tpm_running(t):
    """A guest that runs goes on with its TPM on the other host."""
    guest = boot(t)
    guest.witness()
    ask(guest, {"migrate": None})
    guest.wait_next_boot()
    guest.check_same(t.dest)
    check_works(t.dest, guest)
    confirm(guest)
    guest.check_settled(t.dest)


def tpm_revert(t):
    """Taken back, the guest starts with the state that it had; the other host keeps none."""
    guest = boot(t)
    guest.witness()
    ask(guest, {"migrate": None})
    guest.wait_next_boot()
    files = len(guest.console_log.parts)
    guest.action({"revertResize": None})
    guest.wait("ACTIVE")
    guest.boots -= 1
    guest.wait_next_boot(files)
    guest.check_settled(t.source)
    check_works(t.source, guest)
    check_unpacked(t.source, guest)
    if t.dest.agent.name == "drover":
        check_equal(state(t.dest, guest), None, f"the state of the TPM on {t.dest}")


WITH_DROVER = ("dd", "dn", "nd")
# A nova-compute of Zed that takes back a move of local disks deletes the TPM's secret with them.
REVERTED_BY_DROVER = ("dd", "nd")
CASES = {
    "tpm_cold": (tpm_cold, ("shared", "local"), WITH_DROVER),
    "tpm_running": (tpm_running, ("shared", "local"), WITH_DROVER),
    "tpm_revert": (tpm_revert, ("shared", "local"), REVERTED_BY_DROVER),
}
