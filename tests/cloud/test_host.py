"""What the host tells the cloud about itself."""
import calendar
import json
import os
import subprocess
import time

from lib import check, check_equal, eventually

OLD = {"OpenStack-API-Version": "compute 2.87", "X-OpenStack-Nova-API-Version": "2.87"}


def hypervisor(t, **kwargs):
    found = t.cloud.request("GET", "compute", "/os-hypervisors/detail", **kwargs)["hypervisors"]
    check_equal(len(found), 1, "hypervisors")
    return found[0]


def test_service_is_up(t):
    """nova lists one nova-compute service of this host, up and enabled, and its reports go on."""
    service = t.service()
    check_equal(service["binary"], "nova-compute", "binary")
    check_equal((service["state"], service["status"]), ("up", "enabled"), "service")
    eventually(60, "a new report", lambda: t.service()["updated_at"] > service["updated_at"], 2)
    age = time.time() - calendar.timegm(time.strptime(t.service()["updated_at"][:19], "%Y-%m-%dT%H:%M:%S"))
    check(age < 30, f"the newest report is {age:.0f} s old")


def test_service_keeps_its_record(t):
    """A restarted agent goes on with the service record and the hypervisor record that it had."""
    before = t.service()["id"], hypervisor(t)["id"]
    t.agent.kill()
    t.agent.start()
    check_equal((t.service()["id"], hypervisor(t)["id"]), before, "service and hypervisor id after a restart")


def test_hypervisor_show(t):
    """The hypervisor record tells the truth about this machine."""
    shown = hypervisor(t, headers=OLD)
    check_equal(shown["state"], "up", "state")
    check_equal(shown["hypervisor_type"], "QEMU", "type")
    check_equal(shown["vcpus"], os.cpu_count(), "vCPUs")
    check_equal(shown["service"]["host"], t.host, "host")
    check(shown["hypervisor_version"] > 1000000, f"version {shown['hypervisor_version']}")
    info = shown["cpu_info"] if isinstance(shown["cpu_info"], dict) else json.loads(shown["cpu_info"])
    check_equal(info["arch"], os.uname().machine, "architecture")
    check(info["features"] and info["topology"]["cores"] >= 1, f"cpu_info {info}")
    usage = os.statvfs(os.environ["DROVER_CLOUD_INSTANCES"])
    check_equal(shown["local_gb"], usage.f_blocks * usage.f_frsize >> 30, "local_gb")


def test_uptime(t):
    """`openstack hypervisor show` asks the agent for the host's uptime."""
    said = t.cloud.get("compute", f"/os-hypervisors/{hypervisor(t)['id']}")["hypervisor"]["uptime"]
    real = subprocess.check_output(["uptime"], text=True)
    check("load average:" in said, f"uptime is {said!r}")
    check_equal(said.split(" up ")[1].split(",")[0].split(":")[0], real.split(" up ")[1].split(",")[0].split(":")[0],
                "uptime's first part")


def test_inventory_counts_guests(t):
    """A guest's allocation is its flavor, and the provider's usage follows."""
    provider, = t.cloud.get("placement", "/resource_providers", name=os.uname().nodename)["resource_providers"]

    def usage():
        return t.cloud.get("placement", f"/resource_providers/{provider['uuid']}/usages")["usages"]
    before = usage()
    server = t.boot_active("usage", flavor="3")
    allocation, = server.allocations().values()
    check_equal(allocation["resources"], {"VCPU": 1, "MEMORY_MB": 256, "DISK_GB": 2}, "allocation")
    check_equal(usage()["MEMORY_MB"], before["MEMORY_MB"] + 256, "memory in use")
    server.delete_and_wait()
    check_equal(usage(), before, "usage after the delete")


def test_disabled_service_gets_no_guests(t):
    """`openstack compute service set --disable` keeps new guests away, also in placement; enabling brings them back."""
    service = t.service()
    provider, = t.cloud.get("placement", "/resource_providers", name=os.uname().nodename)["resource_providers"]

    def disabled_trait():
        traits = t.cloud.get("placement", f"/resource_providers/{provider['uuid']}/traits")["traits"]
        return "COMPUTE_STATUS_DISABLED" in traits
    try:
        t.cloud.put("compute", f"/os-services/{service['id']}", {"status": "disabled"})
        eventually(60, "COMPUTE_STATUS_DISABLED", disabled_trait)
        server = t.boot("nowhere")
        server.wait("ERROR")
        check("No valid host" in server.fault, f"fault: {server.fault}")
    finally:
        t.cloud.put("compute", f"/os-services/{service['id']}", {"status": "enabled"})
    eventually(60, "no COMPUTE_STATUS_DISABLED", lambda: not disabled_trait())
