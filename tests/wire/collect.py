#!/usr/bin/python3
"""Makes tests/wire/data out of broker captures: tests/wire/collect.py CAPTURE.jsonl... [EXTRA.json]

A capture has one JSON object per line, one line per message that nova published; `message` is what
stood in oslo.message, `routing_keys` where it went. An EXTRA file is one dict whose values may be
object primitives, for classes that a capture did not meet. Two files come out, one JSON object per line:

objects.jsonl    {"from", "object", "dirty"}: objects of all classes that were seen. Of those with
                 the same class, fields and change list one is kept, and at most PER_CLASS of a
                 class. `dirty` is what nova's own obj_what_changed() says of the object.
conductor.jsonl  {"from", "call": {"method", "namespace", "version", "args"}, "result"} or "failure":
                 what a nova-compute asked of conductor, and the answer. One of each kind.

Needs nova's python package. Contexts, and with them tokens, are left out.
"""
import collections
import json
import os
import sys

from nova import context
from nova import objects
from nova.objects import base

PER_CLASS = 5
CONVERSATIONS = ("boot", "boot_fails", "boot_port", "delete", "startup_empty",
                 "startup_with_instance", "attach_interface", "detach_interface", "vnc_console",
                 "cold_confirm_local", "cold_migrate_local", "resize_confirm", "lm_ok_local",
                 "guest_died_outside", "service_disable", "cold_revert_local", "lm_abort_local")
API_ONLY = {"BuildRequest", "Aggregate"}
HERE = os.path.dirname(os.path.abspath(__file__))


def primitives(value):
    """Every object primitive in value, outermost first."""
    if isinstance(value, dict):
        if "nova_object.name" in value:
            yield value
        for item in value.values():
            yield from primitives(item)
    elif isinstance(value, list):
        for item in value:
            yield from primitives(item)


def dirty(primitive):
    obj = base.NovaObject.obj_from_primitive(primitive, context=context.get_admin_context())
    return sorted(f for f in obj.obj_what_changed() if f in primitive["nova_object.data"])


def messages(path):
    with open(path) as f:
        if path.endswith(".json"):
            yield {}, {"args": [v for v in json.load(f).values() if "<" not in json.dumps(v)]}
            return
        for line in f:
            record = json.loads(line)
            if isinstance(record.get("message"), dict):
                yield record, record["message"]


def kind(call):
    """Calls of one kind teach the same."""
    args = call["args"]
    if call["method"] == "object_action":
        obj = args["objinst"]
        return ("action", obj["nova_object.name"], args["objmethod"],
                tuple(sorted(obj.get("nova_object.changes", []))), str(args["kwargs"]))
    if call["method"] == "object_class_action_versions":
        return ("class", args["objname"], args["objmethod"], str(args["kwargs"]))
    return (call["method"],)


def conversation(path):
    calls = {}
    for record, message in messages(path):
        if record["routing_keys"] == ["conductor"] and "_msg_id" in message \
                and message.get("namespace") != "compute_task":
            calls[message["_msg_id"]] = {k: message.get(k) for k in
                                         ("method", "namespace", "version", "args")}
        elif record["exchange"] == "" and message.get("_msg_id") in calls and message["ending"]:
            call = calls.pop(message["_msg_id"])
            if message["failure"]:
                yield call, {"failure": json.loads(message["failure"])}
            else:
                yield call, {"result": message["result"]}


def write(name, lines):
    with open(os.path.join(HERE, "data", name), "w") as f:
        for line in lines:
            f.write(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n")


def main():
    objects.register_all()
    # A flavor with extra specs is changed, for nova, as soon as it was read. Nobody relies on that.
    objects.Flavor.obj_what_changed = base.NovaObject.obj_what_changed
    seen, count, out = set(), collections.Counter(), []
    talks, said = [], set()
    for path in sys.argv[1:]:
        name = os.path.basename(path).split(".")[0]
        for _, message in messages(path):
            for p in primitives([message.get("args"), message.get("result")]):
                key = (p["nova_object.name"], p["nova_object.version"],
                       tuple(sorted(p["nova_object.data"])),
                       tuple(sorted(p.get("nova_object.changes", []))))
                if p["nova_object.name"] in API_ONLY or key in seen:
                    continue
                if count[p["nova_object.name"]] == PER_CLASS:
                    continue
                seen.add(key)
                count[p["nova_object.name"]] += 1
                out.append({"from": name, "object": p, "dirty": dirty(p)})
        if name in CONVERSATIONS:
            for call, answer in conversation(path):
                if kind(call) not in said:
                    said.add(kind(call))
                    talks.append(dict(answer, call=call, **{"from": name}))
    write("objects.jsonl", out)
    write("conductor.jsonl", talks)
    print(len(out), "objects of", len(count), "classes,", len(talks), "calls")


main()
