#!/usr/bin/python3
"""Makes tests/wire/data/replay out of broker captures: tests/wire/collect_replay.py CAPTURE.jsonl...

A capture has one JSON object per line, one line per message that was published; beside it lies NAME.log, what
nova-compute logged of the same time at debug level, with its HTTP requests and their answers. Of each capture one
operation is kept: the first request to the compute host that is not an external event or a read of the console log by
whoever recorded it. What comes out, NAME.json, is read by tests/fakes/replay.c:

requests  what reached the host, the operation first: method, version, args, `call` (it wants a reply), `when`: start,
          during (before the operation's last message) or after
sent      what nova-compute sent because of them, in order. RPC: to, call, and what it says; HTTP: to, call (method and
          target), body, and the answer (`status`, `answer`), which is not compared but given to drover
answers   what conductor answered to class actions
node      the compute node's record before the operation, when the capture has it
known     answers that nova had from earlier and did not ask for again, and answers about one port in the form
          of a list, as they are asked for here

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
    """A state and a list of one state are the same to conductor, and so is the order of several."""
    out = canon(kwargs)
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

def messages(path):
    with open(path) as f:
        for line in f:
            record = json.loads(line)
            if isinstance(record.get("message"), dict):
                yield record, record["message"]


LOGGED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d+) \d+ DEBUG \S+ \[([^]]*)\] (.*)", re.S)
REQUEST = re.compile(r"(?:REQ: )?curl .*?-X '?([A-Z]+)'? '?(?:-H .*? )?(http\S+?)'?(?: |$)(.*)", re.S)
BODY = re.compile(r" -d '(.*)'", re.S)
NAMED = re.compile(r"([A-Z]+) call to \S+ for (http\S+) used request id")


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
        query = sorted(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
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
        except ValueError:
            pass
    return exchange


PORT = re.compile(r"GET /v2.0/ports/([-0-9a-f]+)$")


def as_list(exchange):
    found = [json.loads(exchange["answer"])["port"]] if exchange["status"] == 200 else []
    return {"to": exchange["to"], "call": "GET /v2.0/ports?id=" + PORT.match(exchange["call"])[1], "status": 200,
            "answer": json.dumps({"ports": found})}


# ---- one capture ----

class Capture:
    def __init__(self, path):
        self.records = list(messages(path))
        self.http = http_exchanges(path[:-len(".jsonl")] + ".log")
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
            elif message["method"] != "external_instance_event":
                continue
            self.ids[request_id] = len(self.requests)
            self.requests.append({"method": message["method"], "version": message["version"],
                                  "args": message["args"], "call": "_msg_id" in message, "ts": record["ts"],
                                  "msg_id": message.get("_msg_id")})

    def only_noise(self):
        return not any(m.get("method") and r["routing_keys"][0].startswith("compute.") and m["method"] not in NOISE
                       for r, m in self.records)

    def reply_queue(self):
        for _, message in self.records:
            if message.get("method") in ("object_action", "object_class_action_versions"):
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
        out, failures = {}, {}
        for record, message in self.records:
            if record["exchange"] == "" and message.get("ending"):
                out[message["_msg_id"]] = message["result"]
                if message.get("failure"):
                    failures[message["_msg_id"]] = json.loads(message["failure"])
        return out, failures

    def convert(self):
        self.find_requests()
        if not self.requests:
            return None
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
                timeline.append((end + 0.001, said))
        timeline.sort(key=lambda item: item[0])
        requests = []
        for number, request in enumerate(self.requests):
            when = "start" if number == 0 else "during" if request["ts"] <= end else "after"
            requests.append({"when": when, **{k: request[k] for k in ("method", "version", "args", "call")}})
        return {"host": self.host, "requests": requests, "sent": [said for _, said in timeline],
                "answers": answers, "node": node}

    def extensions(self):
        return next((e for _, _, e in self.http if e["call"] == "GET /v2.0/extensions" and e.get("answer")), None)


def main():
    captures = {os.path.basename(path).split(".")[0]: Capture(path) for path in sys.argv[1:]}
    extensions = next(filter(None, (c.extensions() for c in captures.values())), None)
    for name, capture in captures.items():
        fixture = capture.convert()
        if fixture is None:
            print(name, "has no request")
            continue
        fixture["known"] = [as_list(said) for said in fixture["sent"] if PORT.match(said["call"])]
        if extensions and not capture.extensions():
            fixture["known"].append(shorter(extensions))
        out = os.path.join(HERE, "data", "replay", name + ".json")
        with open(out, "w") as f:
            json.dump(fixture, f, separators=(",", ":"), sort_keys=True)
            f.write("\n")
        print(name, os.path.getsize(out), len(fixture["requests"]), "requests,", len(fixture["sent"]), "messages")


main()
