#!/usr/bin/python3
"""Makes tests/wire/data/replay out of broker captures: tests/wire/collect_replay.py CAPTURE.jsonl...

A capture has one JSON object per line, one line per message that was published; beside it lies NAME.log, what
nova-compute logged of the same time at debug level, with its HTTP requests and their answers. Of each capture one
operation is kept: the first request to the compute host that is not an external event or a read of the console log by
whoever recorded it. Of the captures in WHOLE all operations are kept. A capture without an operation is what the host
did by itself: its start, its periodic jobs, its heartbeat. What comes out, NAME.json, is read by tests/fakes/replay.c:

requests  what reached the host, the operation first: method, version, args, `call` (it wants a reply), `when`: start,
          during (before the operation's last message) or after; of several operations `step`: those that worked at the
          same time have the same
jobs      what the host did by itself, in order: "start", "beat", or the name of a periodic job
sent      what nova-compute sent because of them, in order. RPC: to, call, and what it says; HTTP: to, call (method and
          target), body, and the answer (`status`, `answer`), which is not compared but given to drover; `step`: the
          step of the requests, or the number of the job, that it belongs to
owners    of several operations: id of a row -> uuid of the instance that it belongs to
logged    whether there is a log, and so anything over HTTP in `sent`
answers   what conductor answered to class actions
row       what the instance's row has besides what the request brings: fields that were loaded later
instances rows of instances that the host had, where no request brings them
peers     what other hosts answered: method -> result
node      the compute node's record before the operation, when the capture has it
known     answers that nova had from earlier and did not ask for again, and answers to what drover asks for with one
          request where nova needs several

Messages belong to the operation by the request id in their context, and by the time where nova used another context.
Contexts and with them tokens are left out. How a message is reduced to what it says is described in
docs/wire/replay.md; tests/fakes/replay_message.c does the same with what drover sends.
"""
import calendar
import json
import os
import re
import sys
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
TIME = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?$")
SERVICES = {"8778": "placement", "9696": "neutron", "9292": "glance", "8776": "cinder"}
NOISE = {"external_instance_event", "get_console_output"}
# Casts of a compute host to itself: they come back by themselves.
OWN = {"resize_instance", "finish_resize", "finish_revert_resize"}
# Of captures with two hosts: whose start it is. In the fixture it is called as the one host of the others.
VIEWS = {"startup_two_instances_shared": "cmp1", "evacuate_source_back_shared": "cmp1",
         "evacuate_source_back_local": "cmp1"}
# What the API asks of conductor in the same context.
FROM_API = {"schedule_and_build_instances"}
# Captures of several operations.
WHOLE = {"boot_delete_early", "multi_boot", "bench_boot"}
# One boot and delete, and one start, with a log; their answers serve those without.
DONOR = "boot_delete_early"
START = "startup_with_instance"
ELSEWHERE = "00000000-0000-4000-8000-00000000e15e"  # another host's provider
START_S = 12  # in this time after the start all that is sent is the start's; the first job comes later
# Periodic jobs that drover calls otherwise, or (None) does not have: they concern what it does not do.
JOBS = {"run_image_cache_manager_pass": "image_cache", "poll_shelved_instances": "shelved_instances",
        "poll_volume_usage": None, "poll_bandwidth_usage": None}
# Without a log a job is known by a message that only it sends.
SIGNS = {"InstanceList.get_by_host": "heal_instance_info_cache", "sync_instance_info": "sync_scheduler_instance_info",
         "ComputeNodeList.get_all_by_host": "update_available_resource"}
# Messages that come from one job only, however late they are written.
OWN_JOBS = {"Service.save": "beat", "sync_instance_info": "sync_scheduler_instance_info"}
# Answered by the row of the instance that the replay keeps, or by nobody.
FROM_ROWS = {"Instance", "InstanceList", "InstanceActionEvent", "InstanceFault", "InstanceAction"}


# ---- what a message says ----

def canon(value):
    if isinstance(value, dict):
        if "nova_object.name" in value:
            return {"object": value["nova_object.name"] + " " + value["nova_object.version"],
                    "data": canon(value["nova_object.data"])}
        return {k: canon(v) for k, v in value.items()}
    if isinstance(value, list):
        return [canon(v) for v in value]
    if isinstance(value, str):
        if TIME.match(value):
            return "TIME"
        if value[:1] in ("{", "["):
            try:
                return {"json": canon(json.loads(value))}
            except ValueError:
                pass
    return value


def expectations(kwargs):
    """A state and a list of one state are the same to conductor, and so is the order of several; null is none."""
    out = canon({k: v for k, v in kwargs.items() if v is not None or not k.startswith("expected_")})
    for key in out:
        if key.startswith("expected_"):
            states = out[key] if isinstance(out[key], list) else [out[key]]
            out[key] = sorted(states, key=lambda s: s or "")
    return out


def conductor_call(method, args):
    if method == "object_action":
        obj = args["objinst"]
        data = obj["nova_object.data"]
        return {"to": "conductor", "call": obj["nova_object.name"] + "." + args["objmethod"],
                "version": obj["nova_object.version"], "id": data.get("uuid", data.get("id")),
                "set": {f: canon(data.get(f)) for f in obj.get("nova_object.changes", [])},
                "args": canon(args["args"]), "kwargs": expectations(args["kwargs"])}
    if method == "object_class_action_versions":
        name = args["objname"]
        return {"to": "conductor", "call": name + "." + args["objmethod"], "version": args["object_versions"][name],
                "args": canon(args["args"]), "kwargs": canon(args["kwargs"])}
    return None


def rpc_message(record, message):
    fanout = record["exchange"].endswith("_fanout")
    topic = record["exchange"][:-len("_fanout")] + " fanout" if fanout else record["routing_keys"][0]
    call = conductor_call(message["method"], message["args"])
    if call:
        return call
    return {"to": topic, "call": message["method"], "version": message["version"], "args": canon(message["args"])}


# ---- the two files ----

def messages(path, names=()):
    """names: (as it is called in the record, in the fixture)."""
    view = VIEWS.get(os.path.basename(path)[:-len(".jsonl")])
    if view:
        names = [(view, "vm")]
    with open(path) as f:
        for line in f:
            for old, new in names:
                line = line.replace(old, new)
            record = json.loads(line)
            if isinstance(record.get("message"), dict):
                yield record, record["message"]


STARTED = re.compile(r"(\S+ \S+)\.(\d+) .*Running periodic task ComputeManager\.(\S+)")
LOGGED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d+) \d+ DEBUG \S+ \[([^]]*)\] (.*)", re.S)
REQUEST = re.compile(r"(?:REQ: )?curl .*?-X '?([A-Z]+)'? '?(?:-H .*? )?(http\S+?)'?(?: |$)(.*)", re.S)
BODY = re.compile(r" -d '(.*)'", re.S)
NAMED = re.compile(r"([A-Z]+) call to \S+ for (http\S+) used request id")


def listed(value):
    """The order of in:A,B,C says nothing."""
    return "in:" + ",".join(sorted(value[3:].split(","))) if value.startswith("in:") else value


def http_exchanges(path):
    """(time, context, request with its answer) of a log, in the order of the requests.

    An answer is logged without its URL; the line after it names it, where there is one. Else the oldest request of the
    context is meant.
    """
    waiting, said, out = {}, {}, []
    if not os.path.exists(path):
        return out
    with open(path, errors="replace") as f:
        lines = f.read().split("\n")

    def answer(context, call=None):
        status, body = said.pop(context)
        mine = waiting.get(context, [])
        exchange = next((e for e in mine if call in (None, e["call"])), None)
        if exchange:
            mine.remove(exchange)
            exchange["status"] = status
            if body is not None:
                exchange["answer"] = body

    for line in lines:
        m = LOGGED.match(line)
        if not m or "keystoneauth" not in line and "glanceclient" not in line:
            continue
        when = calendar.timegm(time.strptime(m[1], "%Y-%m-%d %H:%M:%S")) + float("0." + m[2])
        ids = [w for w in m[3].split() if w.startswith("req-")]
        context, text = ids[-1] if ids else "-", m[4]
        named = NAMED.match(text)
        if context in said and not named and not text.startswith("RESP BODY: "):
            answer(context)
        if "curl " in text:
            r = REQUEST.match(text)
            body = BODY.search(r[3])
            exchange = {"call": r[1] + " " + r[2]}
            if body:
                exchange["body"] = body[1]
            out.append((when, context, exchange))
            waiting.setdefault(context, []).append(exchange)
        elif text.startswith("RESP: ["):
            said[context] = int(text[7:10]), None
        elif text.startswith("RESP BODY: ") and context in said:
            body = text[11:].rsplit(" _http_log_response", 1)[0]
            said[context] = said[context][0], None if body.startswith("Omitted") else body
        elif named and context in said:
            answer(context, named[1] + " " + named[2])
    for context in list(said):
        answer(context)
    for _, _, exchange in out:
        method, url = exchange["call"].split(" ", 1)
        parts = urllib.parse.urlsplit(url)
        query = sorted((k, listed(v)) for k, v in urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        exchange["to"] = SERVICES.get(str(parts.port), "keystone")
        exchange["call"] = method + " " + parts.path + "".join(
            ("?" if i == 0 else "&") + k + "=" + v for i, (k, v) in enumerate(query))
    return out


def shorter(exchange):
    """Of neutron's extensions only the aliases matter, of glance's schemas nothing."""
    if "/v2/schemas/" in exchange["call"]:
        exchange["answer"] = "{}"
    if exchange["call"] == "GET /v2.0/extensions" and exchange.get("answer"):
        aliases = [{"alias": e["alias"]} for e in json.loads(exchange["answer"])["extensions"]]
        exchange["answer"] = json.dumps({"extensions": aliases})
    if "body" in exchange:
        try:
            exchange["body"] = canon(json.loads(exchange["body"]))
            if "traits" in exchange["body"]:  # a set
                exchange["body"]["traits"].sort()
        except ValueError:
            del exchange["body"]
    return exchange


PORT = re.compile(r"GET /v2.0/ports/([-0-9a-f]+)$")
TRAITS = re.compile(r"GET (/resource_providers/[-0-9a-f]+)/traits$")
JOINED = (re.compile(r"(GET /v2.0/ports\?device_owner=network:dhcp)(&network_id=[-0-9a-f]+)$"),
          re.compile(r"(GET /v2.0/subnets)([?]id=[-0-9a-f]+)$"))


def port_as_list(exchange):
    found = [json.loads(exchange["answer"])["port"]] if exchange["status"] == 200 else []
    return {"to": exchange["to"], "call": "GET /v2.0/ports?id=" + PORT.match(exchange["call"])[1], "status": 200,
            "answer": json.dumps({"ports": found})}


def joined(sent, pattern):
    """The answers to several filters of one value each, as one to a filter of all values."""
    parts = {said["call"]: (pattern.match(said["call"]), json.loads(said["answer"]))
             for said in sent if pattern.match(said["call"])}
    if len(parts) < 2:
        return []
    matches = [parts[call][0] for call in sorted(parts)]
    what = next(iter(matches))[1].split("/")[-1].split("?")[0]
    call = matches[0][1] + "".join(m[2] for m in matches)
    call = call[:1 + call.index("?")] + call[1 + call.index("?"):].replace("?", "&")
    found = [item for call_ in sorted(parts) for item in parts[call_][1][what]]
    return [{"to": "neutron", "call": call, "status": 200, "answer": json.dumps({what: found})}]


def single_networks(said):
    for network in json.loads(said["answer"])["networks"]:
        yield {"to": "neutron", "call": "GET /v2.0/networks?id=" + network["id"], "status": 200,
               "answer": json.dumps({"networks": [network]})}


def provider(said, host):
    """nova keeps its provider in memory; drover looks at it before it changes its traits."""
    path = TRAITS.match(said["call"])[1]
    generation = json.loads(said["answer"])["resource_provider_generation"]
    answers = {"": {"uuid": path.split("/")[-1], "name": host, "generation": generation},
               "/inventories": {"resource_provider_generation": generation, "inventories": {}}}
    return [{"to": "placement", "call": "GET " + path + rest, "status": 200, "answer": json.dumps(answer)}
            for rest, answer in answers.items()]


def emptied(said):
    """An allocation that nova writes empty is deleted here."""
    return {"to": "placement", "call": said["call"].replace("PUT ", "DELETE "), "status": 204}


def known(fixture):
    sent = fixture["sent"]
    out = [port_as_list(said) for said in sent if PORT.match(said["call"])]
    out += [emptied(said) for said in sent if said["call"].startswith("PUT /allocations/")]
    for said in sent:
        if said["call"].startswith("GET /v2.0/networks?id=") and "&" in said["call"]:
            out += single_networks(said)
    for said in sent:
        if TRAITS.match(said["call"]):
            out += provider(said, fixture["host"])
    for pattern in JOINED:
        out += joined(sent, pattern)
    return out


# ---- one capture ----

def instance_of(message):
    instance = message["args"].get("instance")
    return instance["nova_object.data"]["uuid"] if isinstance(instance, dict) else None


class Capture:
    def __init__(self, path, names=()):
        self.name = os.path.basename(path)[:-len(".jsonl")]
        self.records = list(messages(path, names))
        self.log = path[:-len(".jsonl")] + ".log"
        self.http = http_exchanges(self.log)
        self.requests = []
        self.ids = {}  # request id -> number of the request
        self.host = None

    def find_requests(self):
        main = None
        for record, message in self.records:
            key = record["routing_keys"][0]
            if not key.startswith("compute.") or "method" not in message:
                continue
            request_id = message["_context_request_id"]
            if main is None:
                if message["method"] in NOISE and not self.only_noise():
                    continue
                main, self.host = message, key.split(".", 1)[1]
                self.begin = record["ts"]
            elif message["method"] in OWN and request_id == main["_context_request_id"]:
                continue
            elif message["method"] != "external_instance_event" and self.name not in WHOLE:
                continue
            self.ids.setdefault(request_id, len(self.requests))
            self.requests.append({"method": message["method"], "version": message["version"],
                                  "args": message["args"], "call": "_msg_id" in message, "ts": record["ts"],
                                  "msg_id": message.get("_msg_id"), "request_id": request_id,
                                  "instance": instance_of(message)})

    def only_noise(self):
        return not any(m.get("method") and r["routing_keys"][0].startswith("compute.") and m["method"] not in NOISE
                       for r, m in self.records)

    def reply_queue(self, methods=("object_action", "object_class_action_versions")):
        for _, message in self.records:
            if message.get("method") in methods:
                return message["_reply_q"]
        return None

    def ours(self, record, message):
        """Whether nova-compute sent this because of one of the requests."""
        if record["ts"] < self.begin or "method" not in message or record["routing_keys"][0].startswith("reply_"):
            return False
        if message.get("_reply_q") not in (None, self.queue):
            return False
        if record["routing_keys"][0].startswith("compute.") and message["method"] not in OWN:
            return False
        if message["_context_request_id"] in self.ids:
            return True
        args = message["args"]
        name = (args.get("objinst") or {}).get("nova_object.name")
        return name == "ComputeNode" and args["objmethod"] == "save" and not self.audit_at(record["ts"])

    def audit_at(self, ts):
        """The periodic audit saves the compute node in the same context as a claim does."""
        return any(m.get("args", {}).get("objmethod") == "get_by_host_and_node" and 0 <= ts - r["ts"] < 2
                   for r, m in self.records if isinstance(m.get("args"), dict))

    def replies(self):
        out, failures, self.replied = {}, {}, {}
        for record, message in self.records:
            if record["exchange"] == "" and message.get("ending"):
                out[message["_msg_id"]] = message["result"]
                self.replied[message["_msg_id"]] = record["ts"]
                if message.get("failure"):
                    failures[message["_msg_id"]] = json.loads(message["failure"])
        return out, failures

    # -- several operations --

    def last_of(self, request_id):
        """When nova-compute last said something because of that request."""
        return max((r["ts"] for r, m in self.records if m.get("_context_request_id") == request_id
                    and m.get("_reply_q") in (None, self.queue) and not r["routing_keys"][0].startswith("compute.")),
                   default=0)

    def find_steps(self):
        """Operations that begin before the others have ended are of one step. Events are of the step before them."""
        step, end, busy = -1, 0, set()
        for request in self.requests:
            request["when"] = "during" if request["ts"] <= end else "after"
            if request["method"] not in NOISE:
                if request["ts"] > end:
                    step, busy = step + 1, set()
                if request["instance"] not in busy:
                    request["when"] = "start"
                busy.add(request["instance"])
                end = max(end, self.last_of(request["request_id"]))
            request["step"] = step

    def owners(self):
        """Rows that belong to the instances of the requests."""
        out = {}
        for request in self.requests:
            uuid = request["instance"]
            if uuid:
                out[uuid] = uuid
            bdms = request["args"].get("block_device_mapping") or {}
            for bdm in bdms.get("nova_object.data", {}).get("objects", []):
                out[bdm["nova_object.data"]["uuid"]] = uuid
        for _, message in self.records:
            obj = message.get("args", {}).get("objinst") if isinstance(message.get("args"), dict) else None
            if obj and obj["nova_object.name"] == "VirtualInterface":
                data = obj["nova_object.data"]
                if data["instance_uuid"] in out:
                    out[data["uuid"]] = data["instance_uuid"]
        return out

    def several(self):
        """The conversation of several operations. What is not one's (the node) is of the step whose time it is."""
        self.queue = self.reply_queue()
        self.find_steps()
        results, failures = self.replies()
        begins = {}
        for request in self.requests:
            begins.setdefault(request["step"], request["ts"])
        ids = {}
        for request in self.requests:
            ids.setdefault(request["request_id"], request["step"])
        timeline, answers, node = [], {}, None
        for record, message in self.records:
            if not self.ours(record, message) or message["method"] in OWN | FROM_API:
                continue
            said = rpc_message(record, message)
            step = ids.get(message["_context_request_id"], max(s for s, ts in begins.items() if ts <= record["ts"]))
            if message["method"] == "object_class_action_versions" and said["call"].split(".")[0] not in FROM_ROWS:
                if message["_msg_id"] in results:
                    answers.setdefault(said["call"], results[message["_msg_id"]])
            if said["call"] == "ComputeNode.save" and node is None:
                node = dict(message["args"]["objinst"]["nova_object.data"])
            timeline.append((record["ts"], {**said, "step": step}))
        for when, context, exchange in self.http:
            if exchange["to"] == "keystone" or "status" not in exchange or when < self.begin:
                continue
            if context in ids or context == "-":
                step = ids.get(context, max(s for s, ts in begins.items() if ts <= when))
                timeline.append((when, {**shorter(exchange), "step": step}))
        timeline.sort(key=lambda item: item[0])
        keys = ("method", "version", "args", "call", "when", "step")
        return {"host": self.host, "requests": [{k: request[k] for k in keys} for request in self.requests],
                "sent": [said for _, said in timeline], "answers": answers, "node": node, "row": {},
                "owners": self.owners(), "logged": bool(self.http)}

    # -- what the host does by itself --

    @staticmethod
    def as_before(answers, node, timeline):
        """The node as it was when the record began, and the service as it was before the first heartbeat."""
        nodes = answers.get("ComputeNodeList.get_all_by_host", {}).get("nova_object.data", {}).get("objects")
        beats = [said["set"]["report_count"] for _, said in timeline if said["call"] == "Service.save"]
        for call in ("Service.get_by_compute_host", "Service.get_by_host_and_binary"):
            if beats and call in answers:
                answers[call]["nova_object.data"]["report_count"] = beats[0] - 1
        if "Service.get_by_compute_host" in answers:
            answers.setdefault("Service.get_by_host_and_binary", answers["Service.get_by_compute_host"])
        return dict(nodes[0]["nova_object.data"]) if nodes else node

    def jobs(self):
        """(time, what) of the start, the heartbeats, and the periodic jobs as the log has them, or their messages."""
        out, logged = [], False
        if os.path.exists(self.log):
            with open(self.log, errors="replace") as f:
                for line in f:
                    m = STARTED.match(line)
                    if not m:
                        continue
                    logged = True
                    name = m[3].lstrip("_")
                    name = JOBS.get(name, name)
                    if name:
                        out.append((calendar.timegm(time.strptime(m[1], "%Y-%m-%d %H:%M:%S")) + float("0." + m[2]), name))
        for record, message in self.records:
            if message.get("method") == "ping":
                out.append((record["ts"] - 0.001, "start"))
                self.host = next(m["args"]["args"][0] for _, m in self.records
                                 if m.get("args", {}).get("objmethod") == "get_by_compute_host")
        start = min((ts for ts, what in out if what == "start"), default=None)
        if not logged:
            out += self.signs(start)
        return sorted(out)

    def signs(self, start):
        """Jobs that no log names: each message that tells one begins it, and the list that was read before it is its."""
        out = []
        for record, message in self.records:
            args = message.get("args") or {}
            if message.get("_reply_q") not in (None, self.queue) or args.get("host_name", "vm") != "vm":
                continue
            if message.get("method") == "object_class_action_versions":
                call = args["objname"] + "." + args["objmethod"]
            else:
                call = message.get("method")
            name = SIGNS.get(call)
            if call == "InstanceList.get_by_filters" and {"deleted", "uuid"} <= set(args["args"][0]):
                name = "cleanup_running_deleted_instances"
            if start is not None and record["ts"] < start + START_S:
                continue
            if start is not None and not out and name == "heal_instance_info_cache":
                name = "sync_power_states"  # sends the same, and comes first
            if name == "sync_scheduler_instance_info":
                out[-1] = (out[-1][0], name)
            elif name:
                out.append((record["ts"] - 0.001, name))
        return out

    def alone(self):
        """The conversation of a host that nobody asks for anything."""
        self.queue = self.reply_queue(["ping"]) or self.reply_queue()
        self.begin = 0
        jobs = self.jobs()
        if not jobs:
            return None
        results, _ = self.replies()
        events = {m["_context_request_id"] for _, m in self.records if m.get("method") in NOISE}
        timeline, answers, node, rows, peers = [], {}, None, {}, {}
        for record, message in self.records:
            key = record["routing_keys"][0]
            if "method" not in message or key.startswith("reply_") or \
                    message.get("_reply_q") not in (None, self.queue) or \
                    message["args"].get("host_name", "vm") != "vm" or message["_context_request_id"] in events:
                continue
            said = rpc_message(record, message)
            result = results.get(message.get("_msg_id"))
            if key.startswith("compute."):
                if "_reply_q" not in message:
                    continue
                peers[message["method"]] = result
            if message["method"] == "object_class_action_versions" and result is not None:
                if said["call"].split(".")[0] not in FROM_ROWS:
                    answers.setdefault(said["call"], result)
                for obj in [result] + result.get("nova_object.data", {}).get("objects", []) \
                        if isinstance(result, dict) else []:
                    if obj.get("nova_object.name") == "Instance":
                        row = rows.setdefault(obj["nova_object.data"]["uuid"], json.loads(json.dumps(obj)))
                        for k, v in obj["nova_object.data"].items():
                            row["nova_object.data"].setdefault(k, v)
            if said["call"] == "ComputeNode.save" and node is None:
                node = dict(message["args"]["objinst"]["nova_object.data"])
            if said["call"] == "Service.save":
                jobs.append((record["ts"] - 0.001, "beat"))
            timeline.append((record["ts"], said))
        for when, _, exchange in self.http:
            if exchange["to"] != "keystone" and "status" in exchange:
                timeline.append((when, shorter(exchange)))
        jobs.sort()
        node = self.as_before(answers, node, timeline)
        timeline = [(ts, self.with_step(jobs, ts, said)) for ts, said in sorted(timeline, key=lambda item: item[0])]
        return {"host": self.host or "vm", "requests": [], "jobs": [what for _, what in jobs],
                "sent": [said for _, said in timeline if said], "answers": answers, "node": node, "row": {},
                "instances": list(rows.values()), "logged": bool(self.http), **({"peers": peers} if peers else {})}

    @staticmethod
    def with_step(jobs, ts, said):
        """The last job that had begun; heartbeats come in between. None: nothing had begun when the record did."""
        only = OWN_JOBS.get(said["call"])
        steps = [i for i, (begin, what) in enumerate(jobs) if begin <= ts and
                 (what == only if only else what != "beat")]
        return {**said, "step": steps[-1]} if steps else None

    def convert(self):
        self.find_requests()
        if not self.requests or self.name in VIEWS:
            return self.alone()
        if self.name in WHOLE:
            return self.several()
        self.queue = self.reply_queue()
        results, failures = self.replies()
        timeline, answers, node = [], {}, None
        main = next(i for i, n in self.ids.items() if n == 0)
        end = self.begin
        for record, message in self.records:
            if not self.ours(record, message):
                continue
            said = rpc_message(record, message)
            if message["_context_request_id"] == main:
                end = max(end, record["ts"])
            if message["method"] == "object_class_action_versions" and said["call"].split(".")[0] not in FROM_ROWS:
                if message["_msg_id"] in results:
                    answers.setdefault(said["call"], results[message["_msg_id"]])
            if said["call"] == "ComputeNode.save" and node is None:
                node = {k: v for k, v in message["args"]["objinst"]["nova_object.data"].items()}
            timeline.append((record["ts"], said))
        for when, context, exchange in self.http:
            if exchange["to"] == "keystone" or "status" not in exchange or when < self.begin:
                continue
            if context in self.ids or (context == "-" and when <= end):
                timeline.append((when, shorter(exchange)))
        for request in self.requests:
            if request["call"] and request["msg_id"] in results:
                failure = failures.get(request["msg_id"])
                said = {"to": "reply", "call": request["method"]}
                if failure:
                    said["failure"] = failure["module"] + "." + failure["class"]
                else:
                    said["result"] = canon(results[request["msg_id"]])
                timeline.append((self.replied[request["msg_id"]], said))
        timeline.sort(key=lambda item: item[0])
        requests = []
        for number, request in enumerate(self.requests):
            when = "start" if number == 0 else "during" if request["ts"] <= end else "after"
            requests.append({"when": when, **{k: request[k] for k in ("method", "version", "args", "call")}})
        return {"host": self.host, "requests": requests, "sent": [said for _, said in timeline],
                "answers": answers, "node": node, "row": self.loaded(results)}

    def loaded(self, results):
        instance = self.requests[0]["args"].get("instance")
        row = {}
        if isinstance(instance, dict):
            known = instance["nova_object.data"]
            for result in results.values():
                if not isinstance(result, dict) or result.get("nova_object.name") != "Instance":
                    continue
                data = result["nova_object.data"]
                if data["uuid"] == known["uuid"]:
                    row.update({k: v for k, v in data.items() if k not in known and k not in row})
        return row

    def ports(self):
        """Instance uuid -> texts by which neutron knows its one port."""
        out = {}
        for _, message in self.records:
            obj = message.get("args", {}).get("objinst") if isinstance(message.get("args"), dict) else None
            name = obj["nova_object.name"] if obj else None
            data = obj["nova_object.data"] if obj else {}
            if name == "VirtualInterface":
                out[data["instance_uuid"]] = [data["instance_uuid"], data["uuid"], data["address"].split("/")[0]]
            elif name == "InstanceInfoCache" and "network_info" in data:
                for vif in json.loads(data["network_info"]):
                    mine = out.setdefault(data["instance_uuid"], [data["instance_uuid"], vif["id"], vif["address"]])
                    if len(mine) > 3:
                        continue
                    ip = vif["network"]["subnets"][0]["ips"][0]["address"]
                    out[data["instance_uuid"]].append('"' + ip + '"')
        return out

    def extensions(self):
        return next((e for _, _, e in self.http if e["call"] == "GET /v2.0/extensions" and e.get("answer")), None)


def provider_of(node, donor):
    """What placement has of a host without instances and without a log: the donor's provider, with its memory."""
    out = []
    for said in donor["sent"] + known(donor):
        if said["to"] != "placement":
            continue
        text = json.dumps(said)
        for field in ("memory_mb", "uuid"):
            text = text.replace(str(donor["node"][field]), str(node[field]))
        out.append(json.loads(text))
        if said["call"].endswith("/allocations"):
            out[-1]["answer"] = json.dumps({"allocations": {}, "resource_provider_generation": 49})
    return out


def allocations_of(uuid, provider_uuid):
    """Of an instance of this host, or of one that has left it and is made elsewhere."""
    held = {name: {"resources": {"VCPU": 1}, "generation": 1} for name in (provider_uuid, ELSEWHERE)}
    answer = {"allocations": held, "project_id": "p", "user_id": "u", "consumer_generation": 1}
    call = "/allocations/" + uuid
    return [{"to": "placement", "call": "GET " + call, "status": 200, "answer": json.dumps(answer)},
            {"to": "placement", "call": "PUT " + call, "status": 204}]


STANDS_IN = re.compile(r"neutron (?!GET .*(/floatingips|fields=|shared=))|placement DELETE ")


def stand_in(capture, donor, said):
    """What neutron answers where no log says so: what it answered of the donor's port, with other names."""
    (theirs,) = donor.ports().values()
    out, seen = [], set()
    for uuid, names in capture.ports().items():
        for exchange in said:
            if (uuid, exchange["call"]) in seen or not STANDS_IN.match(exchange["to"] + " " + exchange["call"]):
                continue
            seen.add((uuid, exchange["call"]))
            text = json.dumps({k: exchange[k] for k in ("to", "call", "status", "answer") if k in exchange})
            for old, new in zip(theirs, names):
                text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
            out.append({**json.loads(text), "for": uuid})
    return out


def main():
    captures = {os.path.basename(path).split(".")[0]: Capture(path) for path in sys.argv[1:]}
    extensions = next(filter(None, (c.extensions() for c in captures.values())), None)
    fixtures = {name: capture.convert() for name, capture in captures.items()}
    for name, capture in captures.items():
        fixture = fixtures[name]
        if fixture is None:
            print(name, "has no message of or to the host")
            continue
        fixture["known"] = known(fixture)
        if fixture.get("owners") and not fixture["logged"]:
            donor = fixtures[DONOR]
            fixture["known"] += stand_in(capture, captures[DONOR], donor["sent"] + known(donor))
        elif "jobs" in fixture and not fixture["logged"]:
            fixture["known"] += provider_of(fixture["node"], fixtures[START])
            for instance in fixture["instances"]:
                fixture["known"] += allocations_of(instance["nova_object.data"]["uuid"], fixture["node"]["uuid"])
            fixture["known"] += stand_in(capture, captures[DONOR], fixtures[DONOR]["sent"] + known(fixtures[DONOR]))
        if extensions and not capture.extensions():
            fixture["known"].append(shorter(extensions))
        write(os.path.join("replay", name), fixture)


def write(name, fixture):
    out = os.path.join(HERE, "data", name + ".json")
    with open(out, "w") as f:
        json.dump(fixture, f, separators=(",", ":"), sort_keys=True)
        f.write("\n")
    print(name, os.path.getsize(out), len(fixture["requests"]), "requests,", len(fixture["sent"]), "messages")


if __name__ == "__main__":
    main()
