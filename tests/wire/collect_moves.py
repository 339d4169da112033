#!/usr/bin/python3
"""Makes fixtures of recorded moves: tests/wire/collect_moves.py BOOT_DELETE_EARLY.jsonl START.jsonl MOVE.jsonl...

A move is a conversation of two hosts. Of each two fixtures are made for tests/fakes/replay.c, NAME.source and
NAME.dest: what one of the hosts was asked, by the control plane and by the other host, what the other host answered, and what it
said itself. In each the host is called "vm", as in all fixtures, the other "cmp2", and their addresses are 198.51.100.1
and 198.51.100.2. A host that was asked nothing has none.

What is in a fixture is said in collect_replay.py. Besides: the requests that came while another one was worked at (of
DURING) are of its step, all others are steps of their own; `peers` has {"raises": class, module, message} where the
other host failed. Of these records there is no log with HTTP: only messages are compared. What the services answer is
taken from the two captures that come first, which have one, with the names of this instance.
"""
import json
import os
import re
import sys

import collect_replay as base

IPS = {"cmp1": "198.18.0.11", "cmp2": "198.18.0.12"}

DURING = {"external_instance_event", "live_migration_abort", "live_migration_force_complete"}
# Who is asked what; and of casts to the other host, which name no sender, who sends them.
ASKED = {"prep_resize": "dest", "resize_instance": "source", "finish_resize": "dest", "confirm_resize": "source",
         "revert_resize": "dest", "finish_revert_resize": "source", "live_migration": "source",
         "check_can_live_migrate_destination": "dest", "check_can_live_migrate_source": "source",
         "rebuild_instance": "dest"}
SENT_BY = {"resize_instance": "dest", "finish_resize": "source", "finish_revert_resize": "dest",
           "rollback_live_migration_at_destination": "source"}
IGNORED = {"get_console_output"}


def hosts(path):
    """role -> host, by who is asked what."""
    out = {}
    for record, message in base.messages(path):
        key = record["routing_keys"][0]
        if key.startswith("compute.") and message.get("method") in ASKED:
            out[ASKED[message["method"]]] = key.split(".", 1)[1]
    return out


def names(host):
    """What both hosts are called in the record, and in the fixture. In this order."""
    other = "cmp1" if host == "cmp2" else "cmp2"
    return [(IPS[host], "198.51.100.1"), (IPS[other], "198.51.100.2"), (host, "vm"), (other, "cmp2")]


class Half(base.Capture):
    def __init__(self, path, role, host):
        super().__init__(path, names(host))
        self.role = role
        self.host = "vm"

    def own_queue(self):
        for _, message in self.records:
            if message.get("method") == "object_class_action_versions" and \
                    message["args"]["objname"] == "InstanceActionEvent" and \
                    message["args"]["kwargs"].get("host") == "vm":
                return message["_reply_q"]
        raise ValueError(self.name + ": who is the host?")

    def find_requests(self):
        for record, message in self.records:
            if record["routing_keys"][0] != "compute.vm" or message.get("method") in IGNORED | {None}:
                continue
            if not self.requests and message["method"] in DURING:
                continue
            if not self.requests:
                self.begin = record["ts"]
            self.ids.setdefault(message["_context_request_id"], len(self.requests))
            self.requests.append({"method": message["method"], "version": message["version"],
                                  "args": message["args"], "call": "_msg_id" in message, "ts": record["ts"],
                                  "msg_id": message.get("_msg_id"), "request_id": message["_context_request_id"]})

    def ours(self, record, message):
        if record["ts"] < self.begin or "method" not in message or record["exchange"] == "":
            return False
        key = record["routing_keys"][0]
        if "_reply_q" in message:
            mine = message["_reply_q"] == self.queue
        elif key.startswith("compute."):
            mine = SENT_BY.get(message["method"]) == self.role
        else:
            mine = message["args"].get("host_name") == "vm"
        if not mine or message["_context_request_id"] in self.ids:
            return mine
        args = message["args"]
        name = (args.get("objinst") or {}).get("nova_object.name")
        return name == "ComputeNode" and args["objmethod"] == "save" and not self.audit_at(record["ts"])

    def audit_at(self, ts):
        """Whether the compute node is saved then by an audit that is none of a request's: each lists the instances."""
        audits = [m["_context_request_id"] for r, m in self.records if m.get("_reply_q") == self.queue and
                  m["args"].get("objmethod") == "get_by_host_and_node" and 0 <= ts - r["ts"] < 2]
        return bool(audits) and audits[-1] not in self.ids

    def find_steps(self):
        starts = [r for r in self.requests if r["method"] not in DURING]
        for number, start in enumerate(starts):
            until = starts[number + 1]["ts"] if number + 1 < len(starts) else float("inf")
            start.update(step=number, when="start")
            start["end"] = max((r["ts"] for r, m in self.records if start["ts"] <= r["ts"] < until and
                                m.get("_context_request_id") == start["request_id"] and self.ours(r, m)), default=0)
        for request in self.requests:
            if request["method"] in DURING:
                last = [s for s in starts if s["ts"] <= request["ts"]][-1]
                request.update(step=last["step"], when="during" if request["ts"] < last["end"] else "after")

    def nodes(self, results):
        """Of this host, as it was when the record began, or nearly."""
        for _, message in self.records:
            obj = message["args"].get("objinst") if isinstance(message.get("args"), dict) else None
            if obj and obj["nova_object.name"] == "ComputeNode" and obj["nova_object.data"].get("host") == "vm":
                yield obj["nova_object.data"]
        for result in results.values():
            if isinstance(result, dict) and result.get("nova_object.name") == "ComputeNode" and \
                    result["nova_object.data"]["host"] == "vm":
                yield result["nova_object.data"]

    def convert(self):
        self.find_requests()
        if not self.requests:
            return None
        self.queue = self.own_queue()
        results, failures = self.replies()
        self.find_steps()
        timeline, answers, peers = [], {}, {}
        for record, message in self.records:
            if not self.ours(record, message):
                continue
            said = base.rpc_message(record, message)
            msg_id = message.get("_msg_id")
            name = said["call"].split(".")[0]
            if said["to"].startswith("compute.") and msg_id in failures:
                failure = failures[msg_id]
                peers[said["call"]] = {"raises": {"class": failure["class"], "module": failure["module"],
                                                  "message": failure["message"]}}
            elif said["to"].startswith("compute.") and msg_id in results:
                peers[said["call"]] = results[msg_id]
            elif message["method"] == "object_class_action_versions" and msg_id in results and \
                    msg_id not in failures and name not in base.FROM_ROWS | {"MigrationList"}:
                if "vm" in message["args"]["args"]:  # of this host rather than of the other
                    answers[said["call"]] = results[msg_id]
                answers.setdefault(said["call"], results[msg_id])
            timeline.append((record["ts"], said))
        for request in self.requests:
            if request["call"] and request["msg_id"] in results:
                failure = failures.get(request["msg_id"])
                said = {"to": "reply", "call": request["method"]}
                if failure:
                    said["failure"] = failure["module"] + "." + failure["class"]
                else:
                    said["result"] = base.canon(results[request["msg_id"]])
                timeline.append((self.replied[request["msg_id"]], said))
        timeline.sort(key=lambda item: item[0])
        keys = ("method", "version", "args", "call", "when", "step")
        return {"host": "vm", "requests": [{k: r[k] for k in keys} for r in self.requests],
                "sent": [said for _, said in timeline], "answers": answers, "peers": peers,
                "node": next(self.nodes(results), None), "row": self.loaded(results), "logged": False}

    def instance(self):
        """Data of the first instance that a request brings."""
        return next(r["args"]["instance"]["nova_object.data"] for r in self.requests if r["args"].get("instance"))

    def network(self):
        return json.loads(self.instance()["info_cache"]["nova_object.data"]["network_info"])


# ---- what services answer ----

READS = re.compile(r"neutron GET /v2.0/(ports[?]device_id|networks[?]id|subnets|ports[?]network_id|"
                   r"ports[?]device_owner|security-groups)")


def differences(old, new):
    """Texts of one network info and what stands for them in another of the same form."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() & new.keys():
            yield from differences(old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list):
        for one, other in zip(old, new):
            yield from differences(one, other)
    elif isinstance(old, str) and isinstance(new, str) and old != new and len(old) > 6:
        yield old, new


def renamed(exchange, names):
    text = json.dumps({k: exchange[k] for k in ("to", "call", "status", "answer") if k in exchange})
    for old, new in names:
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    return json.loads(text)


def donor_network(donor):
    found = [json.loads(m["args"]["objinst"]["nova_object.data"]["network_info"]) for _, m in donor.records
             if m.get("method") == "object_action" and "network_info" in m["args"]["objinst"]["nova_object.data"]]
    return max(found, key=len)


def neutron_answers(half, donor, said):
    old, new = donor_network(donor), half.network()
    instance = half.instance()
    (uuid,) = donor.ports()
    stands_for = [(uuid, instance["uuid"])] + sorted(set(differences(old, new)))
    fullest = {}
    for exchange in said:
        if READS.match(exchange["to"] + " " + exchange["call"]):
            known = fullest.setdefault(exchange["call"], exchange)
            if len(exchange["answer"]) > len(known["answer"]):
                fullest[exchange["call"]] = exchange
    out = [renamed(exchange, stands_for) for exchange in fullest.values()]
    ports = next(e["answer"] for e in out if e["call"].startswith("GET /v2.0/ports?device_id="))
    out += [{"to": "neutron", "call": "GET /v2.0/ports?binding:host_id=%s&device_id=%s&tenant_id=%s" %
             (host, instance["uuid"], instance["project_id"]), "status": 200, "answer": ports}
            for host in ("vm", "cmp2")]
    out.append({"to": "neutron", "call": "PUT /v2.0/ports/" + new[0]["id"], "status": 200,
                "answer": json.dumps({"port": json.loads(ports)["ports"][0]})})
    for host in ("vm", "cmp2"):
        path = "/v2.0/ports/%s/bindings/%s" % (new[0]["id"], host)
        status = "ACTIVE" if (host == "vm") == (half.role == "source") else "INACTIVE"
        out += [{"to": "neutron", "call": "GET " + path, "status": 200,
                 "answer": json.dumps({"binding": {"host": host, "status": status}})},
                {"to": "neutron", "call": "PUT " + path + "/activate", "status": 200, "answer": "{}"},
                {"to": "neutron", "call": "DELETE " + path, "status": 204}]
    return out


def placement_answers(half, fixture, starter):
    consumers = {half.instance()["uuid"]}
    for request in fixture["requests"]:
        migration = request["args"].get("migration")
        if migration:
            consumers.add(migration["nova_object.data"]["uuid"])
    out = base.provider_of(fixture["node"], starter) if fixture["node"] else []
    for uuid in sorted(consumers):
        out += base.allocations_of(uuid, (fixture["node"] or {}).get("uuid", base.ELSEWHERE))
        out.append({"to": "placement", "call": "DELETE /allocations/" + uuid, "status": 204})
    out.append({"to": "placement", "call": "POST /allocations", "status": 204})
    return out


def with_node(fixture, uuid):
    """The node's id is the one that the fakes know."""
    if not fixture["node"]:
        return fixture
    return json.loads(json.dumps(fixture).replace(fixture["node"]["uuid"], uuid))


def main():
    donor, starter = (base.Capture(path) for path in sys.argv[1:3])
    donor_fixture, starter_fixture = donor.convert(), starter.convert()
    said = donor_fixture["sent"] + base.known(donor_fixture)
    for path in sys.argv[3:]:
        for role, host in hosts(path).items():
            half = Half(path, role, host)
            fixture = half.convert()
            if fixture is None:
                continue
            # What nova finds out over ssh, drover asks.
            fixture["peers"].setdefault("check_instance_shared_storage", half.name.endswith("_shared"))
            fixture = with_node(fixture, starter_fixture["node"]["uuid"])
            fixture["known"] = neutron_answers(half, donor, said) + placement_answers(half, fixture, starter_fixture)
            fixture["known"].append(base.shorter(donor.extensions() or starter.extensions()))
            base.write(os.path.join("moves", half.name + "." + role), fixture)


if __name__ == "__main__":
    main()
