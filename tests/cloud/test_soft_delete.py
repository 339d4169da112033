"""Servers that are deleted softly: nova-api does so when it is told to keep them for a while."""
from lib import check, check_equal, check_nothing_left, eventually, further_options, refused, virsh

INTERVAL_S = 20
OPTIONS = f"[DEFAULT]\nreclaim_instance_interval = {INTERVAL_S}\n"


def state(server):
    return virsh("domstate", server.domain).strip()


def test_soft_delete_restore_reclaim(t):
    """A deleted server is off and can be restored; one that nobody restores is deleted by the periodic job."""
    with further_options("nova-api", OPTIONS), further_options("agent", OPTIONS + "periodic_fuzzy_delay = 0\n"):
        server = t.boot_active("soft")
        server.wait_console("GUEST-BOOTCOUNT 1")
        server.delete()
        shown = server.wait("SOFT_DELETED")
        check_equal(shown["OS-EXT-STS:vm_state"], "soft-delete", "vm_state")
        check_equal(shown["OS-EXT-STS:power_state"], 4, "power_state")
        check_equal(state(server), "shut off", "domain")
        check(len(server.ports()) == 1 and server.allocations(), "port or allocation went with a soft delete")

        t.cloud.post("compute", f"/servers/{server.uuid}/action", {"restore": None})
        shown = server.wait("ACTIVE")
        check_equal(shown["OS-EXT-STS:power_state"], 1, "power_state")
        check_equal(state(server), "running", "domain")
        server.wait_console("GUEST-BOOTCOUNT 2")

        server.delete()
        server.wait("SOFT_DELETED")
        # the job runs once a minute
        server.wait_gone(INTERVAL_S + 180)
        check_nothing_left(server)


def test_force_delete_of_soft_deleted(t):
    """A user who does not want to wait deletes for good."""
    with further_options("nova-api", "[DEFAULT]\nreclaim_instance_interval = 3600\n"):
        server = t.boot_active("force")
        server.delete()
        server.wait("SOFT_DELETED")
        t.cloud.post("compute", f"/servers/{server.uuid}/action", {"forceDelete": None})
        server.wait_gone()
        check_nothing_left(server)
        refused(lambda: t.cloud.post("compute", f"/servers/{server.uuid}/action", {"restore": None}), 404)
    eventually(60, "nova-api", lambda: t.cloud.get("compute", "/servers") is not None)
