"""Emulated TPMs: real swtpm under a secret in real barbican."""
import os

from lib import check, check_equal, check_nothing_left, needs_key_manager, refused, virsh
from test_power import act, boots


def flavor(t, **specs):
    made = t.make_flavor(128)
    t.cloud.post("compute", f"/flavors/{made}/os-extra_specs", {"extra_specs": specs})
    return made


def barbican_secrets(t, server):
    """Uuids of the secrets that were made for this server."""
    name = f"vTPM secret for instance {server.uuid}"
    found = t.cloud.get("key-manager", "/v1/secrets", name=name)["secrets"]
    return [secret["secret_ref"].rsplit("/", 1)[1] for secret in found]


def state_folder(server):
    return os.path.join(os.environ["DROVER_CLOUD"], "libvirt/var/lib/libvirt/swtpm", server.uuid)


def identity(server):
    """What tells one TPM from another made anew: its folder."""
    folder = state_folder(server)
    check(os.path.getsize(os.path.join(folder, "tpm2", "tpm2-00.permall")) > 0, "the TPM has no state")
    return os.stat(folder).st_ino


def check_runs(t, server, made):
    """The guest runs on the TPM that it had, and libvirt has forgotten the secret."""
    check('"type": "emulator"' in virsh("qemu-monitor-command", server.domain, '{"execute": "query-tpm"}')
          .replace('"type":"emulator"', '"type": "emulator"'), "QEMU has no TPM")
    check_equal(virsh("-q", "secret-list").strip(), "", "secrets in libvirt")
    check_equal(identity(server), made, "the TPM's folder")
    check_equal(len(barbican_secrets(t, server)), 1, "secrets in barbican")


def check_gone(t, server, secret):
    server.delete_and_wait()
    check_nothing_left(server)
    check(not os.path.exists(state_folder(server)), "the TPM's state is still there")
    check_equal(virsh("-q", "secret-list").strip(), "", "secrets in libvirt")
    check_equal(barbican_secrets(t, server), [], "secrets in barbican")
    refused(lambda: t.cloud.get("key-manager", f"/v1/secrets/{secret}"), 404)


@needs_key_manager
def test_tpm(t):
    """A server keeps its TPM over stop, start and reboots; its delete leaves neither secret nor state."""
    server = t.boot_active("tpm", flavor=flavor(t, **{"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"}))
    secret, = barbican_secrets(t, server)
    check(f"secret='{secret}'" in virsh("dumpxml", server.domain), "the guest's XML does not name the secret")
    made = identity(server)
    check_runs(t, server, made)
    server.wait_console(r"HB 2 ")
    act(t, server, "os-stop")
    server.wait("SHUTOFF")
    act(t, server, "os-start")
    server.wait("ACTIVE")
    check_runs(t, server, made)
    check(boots(server) >= 1, "the guest has not booted")
    server.wait_console(r"HB 2 ")
    for kind in ("HARD", "SOFT"):
        act(t, server, "reboot", {"type": kind})
        server.wait("ACTIVE")
        check_runs(t, server, made)
    act(t, server, "suspend")
    server.wait("SUSPENDED")
    act(t, server, "resume")
    server.wait("ACTIVE")
    check_runs(t, server, made)
    check_gone(t, server, secret)


@needs_key_manager
def test_tpm_older(t):
    """Version 1.2 works as well, a model that does not go with it is refused."""
    server = t.boot_active("tpm12", flavor=flavor(t, **{"hw:tpm_version": "1.2"}))
    secret, = barbican_secrets(t, server)
    check("<backend type='emulator' version='1.2'" in virsh("dumpxml", server.domain), "no TPM 1.2 in the guest")
    check_gone(t, server, secret)


@needs_key_manager
def test_tpm_lost_secret(t):
    """A server whose secret is gone from barbican does not start, keeps its TPM, and can be deleted."""
    server = t.boot_active("lost", flavor=flavor(t, **{"hw:tpm_version": "2.0"}))
    secret, = barbican_secrets(t, server)
    act(t, server, "os-stop")
    server.wait("SHUTOFF")
    t.cloud.delete("key-manager", f"/v1/secrets/{secret}")
    act(t, server, "os-start")
    server.wait("ERROR", "SHUTOFF")
    check_equal(server.show()["OS-EXT-STS:power_state"], 4, "power state")
    check(os.path.exists(state_folder(server)), "the TPM's state is gone")
    check_gone(t, server, secret)
