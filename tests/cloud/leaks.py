#!/usr/bin/python3
"""leaks.py: lists what belongs to no server: domains, folders, ports, taps, allocations. Exit 1 when there is any.

Runs alone (against the running cloud) and after each cloud test.
"""
import os
import re
import sys

import lib

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def all_servers(cloud):
    return {s["id"] for s in cloud.get("compute", "/servers", all_tenants=1)["servers"]}


def domains(uuids, servers):
    for uuid in uuids:
        if uuid not in servers:
            yield f"domain {uuid}"


def folders(root, servers):
    for name in os.listdir(root):
        # UUID_resize and UUID_del are a server's folders too
        match = re.match(UUID, name)
        if match and (match.group() not in servers or name.endswith("_del")):
            yield f"folder {name}"
    base = os.path.join(root, "_base")
    for name in os.listdir(base) if os.path.isdir(base) else ():
        if not re.fullmatch(r"(?:[0-9a-f]{40}|ephemeral_\w+|swap_\d+)(?:_[\w]+)?", name):
            yield f"unfinished file _base/{name}"


def allocations(cloud, servers):
    for provider in cloud.get("placement", "/resource_providers")["resource_providers"]:
        answer = cloud.get("placement", f"/resource_providers/{provider['uuid']}/allocations")
        for consumer in answer["allocations"]:
            if consumer not in servers:
                yield f"allocation of {consumer} on {provider['name']}"


def ports(all_ports, servers, host):
    for port in all_ports:
        if port["device_owner"].startswith("compute:"):
            if port["device_id"] not in servers:
                yield f"port {port['id']} of server {port['device_id']}"
        elif not port["device_owner"] and port["binding:host_id"] == host:
            yield f"binding of port {port['id']}, which nobody uses"


def taps(names, all_ports):
    known = {"tap" + port["id"][:11] for port in all_ports if port["device_owner"]}
    for name in names:
        if re.fullmatch(r"tap[0-9a-f]{8}-[0-9a-f]{2}", name) and name not in known:
            yield f"tap {name}"


def find(cloud):
    """Returns a list of sentences, empty when all is well."""
    servers = all_servers(cloud)
    all_ports = cloud.get("network", "/ports")["ports"]
    return [*domains(lib.virsh("list", "--all", "--uuid").split(), servers),
            *folders(os.environ["DROVER_CLOUD_INSTANCES"], servers), *allocations(cloud, servers),
            *ports(all_ports, servers, os.environ["DROVER_CLOUD_HOST"]), *taps(os.listdir("/sys/class/net"), all_ports)]


def main():
    lib.load_env()
    found = find(lib.Cloud.from_env())
    for line in found:
        print(line)
    print(f"{len(found)} leaks")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
