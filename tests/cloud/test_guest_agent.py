"""What goes through QEMU's guest agent: passwords and frozen file systems; and logging in over ssh."""
import base64
import contextlib
import io
import json
import os

import paramiko
from cryptography.hazmat.primitives.asymmetric import padding

from lib import CONSOLE_S, RestError, check, check_equal, cloud_command, eventually, refused, virsh

KEY_BITS = 2048


@contextlib.contextmanager
def keypair(t):
    """A key pair of nova's whose private half we have."""
    key = paramiko.RSAKey.generate(KEY_BITS)
    name = f"drover-test-{os.getpid()}"
    t.cloud.post("compute", "/os-keypairs", {"keypair": {
        "name": name, "type": "ssh", "public_key": f"{key.get_name()} {key.get_base64()} drover"}})
    t.made.append(("compute", "/os-keypairs/" + name))
    yield name, key


def ssh(address, command, **login):
    """Runs a command in the guest as root; returns its output."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    try:
        client.connect(address, username="root", timeout=30, banner_timeout=60, auth_timeout=60, allow_agent=False,
                       look_for_keys=False, **login)
        _, out, _ = client.exec_command(command, timeout=60)
        return out.read().decode()
    finally:
        client.close()


def eventually_ssh(address, command, **login):
    def probe():
        try:
            return (ssh(address, command, **login),)  # also of a command that says nothing
        except (paramiko.SSHException, OSError):
            return None
    return eventually(CONSOLE_S, f"ssh to {address}", probe, 2)[0]


def refused_login(address, **login):
    try:
        ssh(address, "true", **login)
        return False
    except paramiko.AuthenticationException:
        return True


def up(t, name, image, **options):
    """A server with its guest's address; metadata come from nova's metadata service."""
    cloud_command("start", "nova-metadata")
    server = t.boot_active(name, image=image, **options)
    return server, server.wait_console(r"GUEST-DHCP eth0 ([\d.]+)").group(1)


def agent_says(server, command):
    return json.loads(virsh("qemu-agent-command", server.domain, json.dumps({"execute": command})))["return"]


def change_password(t, server, password):
    t.cloud.post("compute", f"/servers/{server.uuid}/action", {"changePassword": {"adminPass": password}})


def test_ssh_with_key(t):
    """The guest gets its name and its owner's key from the metadata service."""
    with keypair(t) as (name, key):
        server, address = up(t, "with-key", "tiny", key_name=name)
        server.wait_console("GUEST-NAME with-key")
        check_equal(eventually_ssh(address, "hostname", pkey=key).strip(), "with-key", "hostname")
        check(refused_login(address, password="nobody-set-this"), "any password will do")


def test_admin_password(t):
    """A password that was set logs in, and the owner of the key gets it back from the API."""
    with keypair(t) as (name, key):
        server, address = up(t, "password", "tiny-agent", key_name=name)
        eventually_ssh(address, "true", pkey=key)
        for password in ("Kümmel-1", "second of 2"):
            change_password(t, server, password)
            server.wait("ACTIVE")
            check(not refused_login(address, password=password), "the password does not log in")
            kept = t.cloud.get("compute", f"/servers/{server.uuid}/os-server-password")["password"]
            text = key.key.decrypt(base64.b64decode(kept), padding.PKCS1v15()).decode()
            check_equal(text, password, "the password that the API keeps")
        check(refused_login(address, password="Kümmel-1"), "the old password still logs in")


def test_no_guest_agent(t):
    """Without an agent, or with one that does not answer, the user is told so and the server goes on."""
    with keypair(t) as (name, key):
        plain, _ = up(t, "no-agent", "tiny")
        silent, address = up(t, "silent-agent", "tiny-agent", key_name=name)
        eventually_ssh(address, "kill -STOP $(pidof qemu-ga)", pkey=key)
        for server, statuses in ((plain, (409,)), (silent, (409, 501))):
            text = refused(lambda s=server: change_password(t, s, "x"), *statuses)
            check("/" not in text.replace("</", ""), f"the answer names a path: {text}")
            server.wait("ACTIVE")


def test_quiesced_snapshot(t):
    """The guest's file systems are frozen while the disk is copied, and thawed again."""
    server, _ = up(t, "quiesce", "tiny-agent")
    server.wait_console("GUEST-AGENT")
    eventually(CONSOLE_S, "the guest agent", lambda: agent_says(server, "guest-info"), 2)
    before = server.console().count("GUEST-AGENT")
    answer = t.cloud.post("compute", f"/servers/{server.uuid}/action", {"createImage": {"name": "drover-test-frozen"}},
                          timeout=180)
    t.made.append(("image", "/images/" + answer["image_id"]))

    def image_active():
        image = t.cloud.get("image", "/images/" + answer["image_id"])
        return image if image["status"] == "active" else None
    image = eventually(CONSOLE_S, "the image", image_active, 1)
    check_equal(image["os_require_quiesce"], "yes", "os_require_quiesce")
    server.wait("ACTIVE")
    said = [line for line in io.StringIO(server.console()) if "GUEST-AGENT" in line][before:]
    frozen = [i for i, line in enumerate(said) if "guest-fsfreeze" in line]
    check(len(frozen) >= 1, f"the agent was not asked to freeze: {said}")
    check_equal(agent_says(server, "guest-fsfreeze-status"), "thawed", "state of the file systems")


def test_quiesce_that_fails(t):
    """An image that must be quiesced is not taken of a guest whose agent is silent."""
    with keypair(t) as (name, key):
        server, address = up(t, "no-quiesce", "tiny-agent", key_name=name)
        eventually_ssh(address, "kill -STOP $(pidof qemu-ga)", pkey=key)
        answer = t.cloud.post("compute", f"/servers/{server.uuid}/action",
                              {"createImage": {"name": "drover-test-unfrozen"}}, timeout=180)

        def image_gone():
            try:
                return t.cloud.get("image", "/images/" + answer["image_id"])["status"] == "deleted"
            except RestError as err:
                return err.status == 404
        eventually(CONSOLE_S, "the image to be deleted", image_gone, 1)
        server.wait("ACTIVE")
        check_equal(virsh("domstate", server.domain).strip(), "running", "domain")
