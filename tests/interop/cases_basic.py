"""Both directions on a healthy broker."""
import concurrent.futures
import json
import time

import oslo_messaging

from peers import Background, CPeer, PyServer, Raw, nova_exceptions, wait_for

MIB = 1024 * 1024


def eq(got, want):
    assert got == want, "got %.300r, want %.300r" % (got, want)


def python_calls_c(lab):
    args = {"text": "gr\u00fc\u00df \U0001f600 \"q\" \\ \n", "n": 1 << 40, "f": 0.1, "none": None,
            "list": [True, {"a": []}]}
    eq(lab.client.call("compute", "host1", "echo", args), args)
    eq(lab.client.call("compute", None, "echo", {"a": 1}), {"a": 1})


def python_calls_c_older_endpoint_and_namespace(lab):
    eq(lab.client.call("compute", "host1", "echo", {"a": 1}, version="5.4"), {"a": 1})
    eq(lab.client.call("compute", "host1", "ping", {"arg": "x"}, version="1.1",
                       namespace="baseapi"), {"service": "compute", "arg": "x"})
    eq(lab.client.call("compute", "host1", "oslo_rpc_server_ping", version="1.0"), "pong")


def c_calls_python(lab):
    answer = lab.c.call("conductor", "echo", args={"a": [1, None], "b": "gr\u00fc\u00df"})
    eq(answer.get("result"), {"a": [1, None], "b": "gr\u00fc\u00df"})
    eq(lab.c.call("conductor", "echo", server="ctl", args={"x": 1}).get("result"), {"x": 1})
    mixed = lab.c.call("conductor", "mixed")["result"]
    eq(mixed["int"], 1 << 40)
    eq(mixed["float"], 0.1)
    eq(mixed["text"], "gr\u00fc\u00df \U0001f600 \"quoted\" \\ \n")


def c_calls_c(lab):
    eq(lab.c.call("compute", "echo", server="host2", version="6.0", args={"a": 2}).get("result"),
       {"a": 2})


def ping_takes_a_few_milliseconds(lab):
    times = sorted(lab.c.call("compute", "echo", server="host2", version="6.0")["ms"]
                   for _ in range(50))
    lab.remark("fastest %d ms, median %d ms" % (times[0], times[25]))
    assert times[0] <= 10, "the fastest of 50 took %s ms" % times[0]


def context_passes_through_c_unchanged(lab):
    ctxt = {"request_id": "req-1", "user_id": "u", "project_id": "p", "roles": ["member"],
            "is_admin": False, "read_deleted": "no", "auth_token": "T", "something_new": {"x": 1}}
    got = lab.client.call("compute", "host1", "context", ctxt=ctxt)
    eq(got, {"_context_" + k: v for k, v in ctxt.items()})
    got = lab.client.call("compute", "host1", "context", {"elevated": True}, ctxt=ctxt)
    eq(got["_context_roles"], ["member", "admin"])
    eq(got["_context_is_admin"], True)
    eq(got["_context_something_new"], {"x": 1})


def own_context_reaches_python(lab):
    got = lab.c.call("conductor", "context")["result"]
    eq(got["is_admin"], True)
    eq(got["roles"], [])
    eq(got["user_identity"], "- - - - -")
    assert got["request_id"].startswith("req-"), got


def failures_reach_python_as_their_class(lab):
    nova = nova_exceptions()
    try:
        lab.client.call("compute", "host1", "boom", {
            "class": "InstanceNotFound", "module": "nova.exception", "message": "no vm",
            "code": 404})
        raise AssertionError("no exception")
    except nova.InstanceNotFound as e:
        assert type(e).__name__ == "InstanceNotFound_Remote", type(e)
        eq(e.kwargs, {"code": 404})
        assert str(e).startswith("no vm"), str(e)
    try:
        lab.client.call("compute", "host1", "boom", {
            "class": "ValueError", "module": "builtins", "message": "bad"})
        raise AssertionError("no exception")
    except ValueError as e:
        assert str(e).startswith("bad"), str(e)
    try:
        lab.client.call("compute", "host1", "boom", {
            "class": "Odd", "module": "elsewhere", "message": "m"})
        raise AssertionError("no exception")
    except oslo_messaging.RemoteError as e:
        eq((e.exc_type, e.value), ("Odd", "m"))


def failures_of_python_reach_c(lab):
    answer = lab.c.call("conductor", "value_error", args={"message": "wrong"})
    eq(answer["remote"], {"class": "ValueError", "module": "builtins", "message": "wrong"})
    answer = lab.c.call("conductor", "boom", args={
        "cls": "InstanceNotFound", "module": "nova.exception", "message": "gone", "code": 404})
    eq(answer["remote"]["class"], "InstanceNotFound")
    eq(answer["remote"]["module"], "nova.exception")


def failure_passes_through_c(lab):
    nova = nova_exceptions()
    try:
        lab.client.call("compute", "host1", "relay", {
            "topic": "conductor", "version": "3.0", "what": "boom",
            "args": {"cls": "InstanceNotFound", "module": "nova.exception", "message": "far"}},
            version="6.0")
        raise AssertionError("no exception")
    except nova.InstanceNotFound as e:
        assert str(e).startswith("far"), str(e)


def unknown_method_and_version(lab):
    for args, text in ((("nothing_here", "6.0"), "Endpoint does not support RPC method"),
                       (("_private", "6.0"), "Endpoint does not support RPC method"),
                       (("echo", "6.2"), "Endpoint does not support RPC version 6.2"),
                       (("echo", "7.0"), "Endpoint does not support RPC version 7.0")):
        try:
            lab.client.call("compute", "host1", args[0], version=args[1])
            raise AssertionError("no exception")
        except oslo_messaging.RemoteError as e:
            assert e.exc_type in ("UnsupportedVersion", "NoSuchMethod"), e.exc_type
            assert e.value.startswith(text), e.value
    answer = lab.c.call("conductor", "echo", version="9.0")
    eq(answer["remote"]["class"], "UnsupportedVersion")
    answer = lab.c.call("conductor", "nothing_here")
    eq(answer["remote"]["class"], "NoSuchMethod")


def timeouts(lab):
    answer = lab.c.call("conductor", "slow", args={"seconds": 30}, timeout_ms=1000)
    assert answer["error"] and 900 <= answer["ms"] <= 20000, answer
    eq(answer["code"], lab.codes["TIMEOUT"])
    try:
        lab.client.call("compute", "host1", "slow", {"seconds": 30}, timeout=1)
        raise AssertionError("no exception")
    except oslo_messaging.MessagingTimeout:
        pass


def long_calls_with_call_monitor(lab):
    """Three at once: each way longer than the monitor allows silence, and one that is too long."""
    python = Background(lambda: lab.client.call("compute", "host1", "slow", {"seconds": 50},
                                                timeout=300, monitor=30))
    c = lab.c.send(op="call", topic="conductor", method="slow", args={"seconds": 50},
                   version="3.0", timeout_ms=300000, monitor_ms=30000)
    endless = lab.c.send(op="call", topic="conductor", method="slow", args={"seconds": 300},
                         version="3.0", timeout_ms=40000, monitor_ms=30000)
    answer = lab.c.answer(endless)
    eq(answer["error"], "conductor.slow: no reply in time")
    assert 39900 <= answer["ms"], answer
    eq(python.get(), 50.0)
    eq(lab.c.answer(c).get("result"), 50)


def killed_peer_is_noticed_by_monitor(lab):
    server = PyServer(lab.url(), "mortal", "m1", lab.log("mortal"))
    number = lab.c.send(op="call", topic="mortal", method="slow", args={"seconds": 600},
                        version="3.0", timeout_ms=600000, monitor_ms=5000)
    server.event("slow")
    server.kill()
    answer = lab.c.answer(number)
    assert answer["error"] and answer["ms"] < 200000, answer
    eq(answer["code"], lab.codes["TIMEOUT"])


def casts(lab):
    lab.client.cast("compute", "host1", "note", {"n": 1})
    eq(lab.c.event("note")["args"], {"n": 1})
    answer = lab.c.do(op="cast", topic="conductor", method="note", args={"n": 2}, version="3.0")
    assert "error" not in answer, answer
    eq(lab.server.event("note")["args"], {"n": 2})


def fanout_both_ways(lab):
    lab.client.cast("compute", None, "note", {"f": 1}, fanout=True)
    eq(lab.c.event("note")["args"], {"f": 1})
    eq(lab.c2.event("note")["args"], {"f": 1})
    answer = lab.c.do(op="cast", topic="conductor", method="note", args={"f": 2}, version="3.0",
                      fanout=True)
    assert "error" not in answer, answer
    eq(lab.server.event("note")["args"], {"f": 2})


def ten_mib_both_ways(lab):
    size = 10 * MIB
    eq(len(lab.client.call("compute", "host1", "size", {"bytes": size}, timeout=60)), size)
    eq(lab.client.call("compute", "host1", "length", {"data": "z" * size}, timeout=60), size)
    answer = lab.c.call("conductor", "size", args={"bytes": size}, measure=True)
    eq(answer.get("length"), size)
    eq(lab.c.call("conductor", "length", fill=size).get("result"), size)


def thousand_calls_with_32_outstanding(lab):
    started = time.time()
    pending = []
    for i in range(1000):
        if len(pending) >= 32:
            eq(lab.c.answer(pending.pop(0))["result"]["i"], i - 32)
        pending.append(lab.c.send(op="call", topic="compute", server="host2", method="echo",
                                  version="6.0", args={"i": i}))
    for number in pending:
        assert "error" not in lab.c.answer(number)
    lab.remark("%.0f calls/s C to C through pipes" % (1000 / (time.time() - started)))


def many_python_threads_call_c(lab):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(
            lambda i: lab.client.call("compute", "host1", "echo", {"i": i}), range(300)))
    eq(results, [{"i": i} for i in range(300)])


def slow_requests_do_not_hold_up_others(lab):
    numbers = [lab.c.send(op="call", topic="compute", server="host2", method="slow",
                          args={"seconds": 10}, version="6.0", timeout_ms=120000)
               for _ in range(20)]
    answer = lab.c.call("compute", "echo", server="host2", version="6.0", args={"q": 1})
    assert answer["ms"] < 9000, answer
    for number in numbers:
        eq(lab.c.answer(number).get("result"), 10.0)


def duplicate_is_ignored(lab):
    raw = Raw(lab.broker.port)
    body = json.dumps(raw.request("note", {"d": 1}, call=False))
    raw.publish("compute.host1", body)
    raw.publish("compute.host1", body)
    eq(lab.c.event("note")["args"], {"d": 1})
    lab.client.call("compute", "host1", "echo", {"after": 1})
    assert lab.c.silent(0.5), "the duplicate was served"
    raw.close()


def garbage_is_survived(lab):
    raw = Raw(lab.broker.port)
    deep = "[" * 5000 + "]" * 5000
    for body in (b"", b"\xff\xfe\x00", "not json", "[]", "1", '{"oslo.version": 2}', deep,
                 {"oslo.version": "2.0"}, {"oslo.version": "3.0", "oslo.message": "{}"},
                 {"oslo.version": "2.0", "oslo.message": "["},
                 {"oslo.version": "2.0", "oslo.message": "[1]"},
                 {"oslo.version": "2.0", "oslo.message": deep},
                 {"oslo.version": "2.0", "oslo.message": {"method": "note"}},
                 raw.request(17, call=False), raw.request("note", ["x"], call=False),
                 raw.request("note", call=False, _context_is_admin="yes"),
                 raw.request("note", call=False, _context_roles="admin")):
        raw.publish("compute.host1", body)
    raw.publish("compute.host1", b"x" * (33 * MIB))
    for broken in ({"args": "x"}, {"version": 6}, {"_context_is_admin": {}}, {"method": None},
                   {"namespace": []}):
        raw.publish("compute.host1", raw.request(**{"method": "echo", "args": {}, **broken}))
        inner, _ = raw.reply()
        failure = json.loads(inner["failure"])
        eq((failure["module"], failure["class"]), ("builtins", "ValueError"))
        eq(inner["ending"], True)
    eq(lab.client.call("compute", "host1", "echo", {"still": "here"}), {"still": "here"})
    assert lab.c.silent(0.2), "garbage reached a handler"
    raw.close()


def reply_on_the_wire(lab):
    raw = Raw(lab.broker.port)
    raw.publish("compute.host1", raw.request("echo", {"a": 1}))
    inner, message = raw.reply()
    eq(sorted(inner), ["_msg_id", "_unique_id", "ending", "failure", "result"])
    eq((inner["result"], inner["failure"], inner["ending"]), ({"a": 1}, None, True))
    props = message.properties
    eq(props["content_type"], "application/json")
    eq(props["content_encoding"], "utf-8")
    eq((props["delivery_mode"], props["priority"]), (2, 0))
    raw.close()


def request_on_the_wire(lab):
    raw = Raw(lab.broker.port)
    raw.channel.queue_declare("wire", auto_delete=False)
    raw.channel.queue_bind("wire", "nova", "wire")
    number = lab.c.send(op="call", topic="wire", method="m", namespace="ns", version="1.2",
                        args={"a": 1}, timeout_ms=40000, monitor_ms=2000)
    wait_for(lambda: raw.channel.queue_declare("wire", passive=True).message_count, 300, "request")
    message = raw.channel.basic_get("wire", no_ack=True)
    inner = json.loads(json.loads(message.body)["oslo.message"])
    eq((inner["method"], inner["args"], inner["namespace"], inner["version"], inner["_timeout"]),
       ("m", {"a": 1}, "ns", "1.2", 2))
    eq(message.properties["expiration"], "40000")
    assert inner["_reply_q"].startswith("reply_") and len(inner["_msg_id"]) == 32, inner
    assert lab.c.answer(number)["error"]
    raw.channel.queue_delete("wire")
    raw.close()


def reply_to_a_missing_queue_is_retried_then_given_up(lab):
    raw = Raw(lab.broker.port)
    replies, late = raw.replies, "reply_late%d" % time.time()
    raw.publish("compute.host1", raw.request("echo", {"late": 1}, _reply_q=late))
    time.sleep(1.5)
    raw.channel.queue_declare(late, auto_delete=False)
    raw.replies = late
    eq(raw.reply()[0]["result"], {"late": 1})
    raw.replies = replies
    peer = CPeer(lab.build, lab.url("kombu_missing_consumer_retry_timeout=1"), "brief", "b1",
                 lab.log("brief"))
    raw.publish("brief.b1", raw.request("echo", _reply_q="reply_never"))
    wait_for(lambda: "given up: no queue takes it" in peer.log_text(), 300, "reply to be given up")
    raw.channel.queue_declare("reply_never", auto_delete=False)
    raw.publish("brief.b1", raw.request("echo", _reply_q="reply_never"))
    raw.publish("brief.b1", raw.request("echo", {"after": 1}))
    eq(raw.reply()[0]["result"], {"after": 1})
    eq(raw.channel.queue_declare("reply_never", passive=True).message_count, 0)
    eq(peer.stop(), 0)
    raw.close()


def notifications(lab):
    import oslo_messaging.notify.listener as listener
    transport = oslo_messaging.get_notification_transport(lab.client.conf, url=lab.url())
    got = []

    class Endpoint:
        def info(self, ctxt, publisher_id, event_type, payload, metadata):
            got.append((publisher_id, event_type, payload, ctxt.get("is_admin"), metadata))

    lab.c.do(op="notify", topic="versioned_notifications", priority="INFO", v2=True, args={"a": 1},
             publisher_id="nova-compute:host1", event_type="instance.create.start")
    server = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(exchange="nova", topic="versioned_notifications")],
        [Endpoint()], executor="threading")
    server.start()
    wait_for(lambda: got, 300, "notification")
    server.stop()
    eq(got[0][:4], ("nova-compute:host1", "instance.create.start", {"a": 1}, True))
    assert got[0][4]["message_id"] and got[0][4]["timestamp"], got


CASES = [python_calls_c, python_calls_c_older_endpoint_and_namespace, c_calls_python, c_calls_c,
         ping_takes_a_few_milliseconds, context_passes_through_c_unchanged,
         own_context_reaches_python, failures_reach_python_as_their_class,
         failures_of_python_reach_c, failure_passes_through_c, unknown_method_and_version,
         timeouts, long_calls_with_call_monitor, killed_peer_is_noticed_by_monitor, casts,
         fanout_both_ways, ten_mib_both_ways, thousand_calls_with_32_outstanding,
         many_python_threads_call_c, slow_requests_do_not_hold_up_others, duplicate_is_ignored,
         garbage_is_survived, reply_on_the_wire, request_on_the_wire,
         reply_to_a_missing_queue_is_retried_then_given_up, notifications]
