"""What drover and Debian's nova-compute say of one and the same host, field by field.

Before each agent starts, all that it reports is made wrong in nova's database and in placement: what is right
afterwards it has written itself.
"""
import json
import os

import pymysql

from lib import check, check_equal, cloud_command, eventually

AGENTS = ("nova-compute", "drover")
# They change by themselves between two runs: times, and what depends on free space and on memory that is added at run
# time on some machines.
VOLATILE = ("created_at", "updated_at", "free_ram_mb", "free_disk_gb", "local_gb_used", "disk_available_least", "stats")
SCRAMBLED = {"vcpus": 99, "memory_mb": 1, "local_gb": 1, "cpu_info": "{}", "supported_instances": "[]",
             "numa_topology": None, "hypervisor_version": 1, "hypervisor_type": "none", "host_ip": "192.0.2.1",
             "memory_mb_used": 1, "vcpus_used": 9, "running_vms": 9, "cpu_allocation_ratio": 7, "metrics": "",
             "ram_allocation_ratio": 7, "disk_allocation_ratio": 7, "pci_stats": None}
MEMORY_SLACK_MIB = 2048
# What drover refuses it does not promise: docs/capacity.md.
NOT_PROMISED = ["COMPUTE_TRUSTED_CERTS"]


class Row:
    """The host's row of compute_nodes."""

    def __init__(self):
        self.db = pymysql.connect(host="127.0.0.1", user="drover", password=os.environ["OS_PASSWORD"],
                                  database="nova", autocommit=True, cursorclass=pymysql.cursors.DictCursor)

    def read(self):
        with self.db.cursor() as cursor:
            cursor.execute("SELECT * FROM compute_nodes WHERE deleted = 0")
            row, = cursor.fetchall()
        return row

    def scramble(self):
        with self.db.cursor() as cursor:
            cursor.execute("UPDATE compute_nodes SET " + ", ".join(f"{name} = %s" for name in SCRAMBLED)
                           + " WHERE deleted = 0", tuple(SCRAMBLED.values()))


def normal(value):
    """JSON texts as values; lists without an order of their own sorted; objects without their change marks."""
    if isinstance(value, str) and value[:1] in "[{":
        return normal(json.loads(value))
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k != "nova_object.changes"}
    if isinstance(value, list):
        return sorted((normal(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def without_memory(value):
    """A NUMA topology without the sizes that grow when memory is added."""
    if isinstance(value, dict):
        return {k: without_memory(v) for k, v in value.items() if k not in ("memory", "total")}
    return [without_memory(v) for v in value] if isinstance(value, list) else value


def provider(t):
    found = t.cloud.get("placement", "/resource_providers")["resource_providers"]
    check_equal(len(found), 1, "resource providers")
    return "/resource_providers/" + found[0]["uuid"], found[0]["generation"]


def scramble_provider(t):
    path, generation = provider(t)
    t.cloud.put("placement", path + "/traits", {"resource_provider_generation": generation, "traits": []})
    path, generation = provider(t)
    t.cloud.put("placement", path + "/inventories", {"resource_provider_generation": generation, "inventories": {}})


def report_of(t, agent, row):
    """What this agent writes about the host."""
    cloud_command("agent", "none")
    row.scramble()
    scramble_provider(t)
    cloud_command("agent", agent)

    def written():
        path, _ = provider(t)
        inventories = t.cloud.get("placement", path + "/inventories")["inventories"]
        traits = t.cloud.get("placement", path + "/traits")["traits"]
        node = row.read()
        if not inventories or not traits or node["vcpus"] == SCRAMBLED["vcpus"]:
            return None
        return {"inventory": inventories, "traits": sorted(traits), "node": node}
    return eventually(120, f"report of {agent}", written)


def test_same_report_as_nova_compute(t):
    """Hypervisor record, inventory and traits are those that nova-compute writes about the same host, but for NOT_PROMISED."""
    row, current = Row(), t.agent.name
    reports = {}
    try:
        for agent in AGENTS:
            reports[agent] = report_of(t, agent, row)
    finally:
        cloud_command("agent", current)
    theirs, ours = (reports[agent] for agent in AGENTS)

    check_equal(sorted(ours["traits"] + NOT_PROMISED), theirs["traits"], "traits")
    for what in (theirs, ours):
        what["memory"] = what["inventory"]["MEMORY_MB"].pop("total"), what["node"].pop("memory_mb")
        what["inventory"]["MEMORY_MB"].pop("max_unit")
        what["node"] = {k: normal(v) for k, v in what["node"].items() if k not in VOLATILE}
        what["node"]["numa_topology"] = without_memory(what["node"]["numa_topology"])
    check_equal(ours["inventory"], theirs["inventory"], "inventory")
    for name, value in theirs["node"].items():
        check_equal(ours["node"][name], value, f"compute node: {name}")
    for mine, other in zip(ours["memory"], theirs["memory"]):
        check(abs(mine - other) <= MEMORY_SLACK_MIB, f"memory: {mine} MiB, nova-compute says {other}")
