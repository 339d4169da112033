"""The broker's moods: restarts, throttling, refusals, TLS, and every kind of queue."""
import os
import time

from peers import PATIENCE, Background, CPeer, PyClient, PyServer, Raw, wait_for


def eq(got, want):
    assert got == want, "got %.300r, want %.300r" % (got, want)


def connections_of(lab, peer):
    """The broker's names for the connections of a peer; connection_name tells which they are."""
    mark = "peer:%d:" % peer.process.pid
    return {row[0] for row in lab.broker.rows("connections", "pid", "client_properties")
            if mark in row[1]}


# ---- life of queues ----

def connections_tell_who_they_are(lab):
    rows = [row[0] for row in lab.broker.rows("connections", "client_properties")
            if "peer:%d:" % lab.c.process.pid in row[0]]
    eq(len(rows), 2)
    for word in ("connection.blocked", "consumer_cancel_notify", "authentication_failure_close"):
        assert word in rows[0], rows[0]


def queues_are_declared_as_oslo_does(lab):
    rows = {row[0]: row[1:] for row in
            lab.broker.rows("queues", "name", "durable", "auto_delete", "arguments")}
    for name in ("compute", "compute.host1"):
        eq(rows[name], ("false", "false", "[]"))
    fanouts = [name for name in rows if name.startswith("compute_fanout_")]
    eq(len(fanouts), 2)
    assert "1800000" in rows[fanouts[0]][2], rows[fanouts[0]]


def fanout_queue_goes_on_a_clean_stop_only(lab):
    def fanouts(topic):
        return [r for r in lab.broker.rows("queues", "name") if r[0].startswith(topic)]

    one = CPeer(lab.build, lab.url(), "stopper", "s1", lab.log("stopper"))
    eq(len(fanouts("stopper_fanout_")), 1)
    eq(one.stop(), 0)
    eq(len(fanouts("stopper_fanout_")), 0)
    two = CPeer(lab.build, lab.url(), "stopper", "s2", lab.log("stopper2"))
    two.kill()
    eq(len(fanouts("stopper_fanout_")), 1)


def stopped_server_consumes_no_more_but_answers(lab):
    peer = CPeer(lab.build, lab.url(), "leaver", "l1", lab.log("leaver"))
    slow = Background(lambda: lab.client.call("leaver", "l1", "slow", {"seconds": 15}))
    time.sleep(5)
    assert "error" not in peer.do(op="stop_server")
    eq([r for r in lab.broker.rows("consumers", "queue_name") if r[0].startswith("leaver")], [])
    eq(slow.get(), 15.0)
    lab.client.cast("leaver", "l1", "note", {"kept": 1})
    eq(peer.stop(), 0)
    rows = dict(lab.broker.rows("queues", "name", "messages"))
    eq(rows["leaver.l1"], "1")


def deleted_queue_is_declared_again(lab):
    peer = CPeer(lab.build, lab.url(), "phoenix", "p1", lab.log("phoenix"))
    eq(lab.client.call("phoenix", "p1", "echo", {"a": 1}), {"a": 1})
    for name in ("phoenix.p1", "phoenix"):
        lab.broker.ctl("delete_queue", name)
    wait_for(lambda: ("phoenix.p1",) in lab.broker.rows("consumers", "queue_name"), PATIENCE,
             "queue to be consumed again")
    eq(lab.client.call("phoenix", "p1", "echo", {"a": 2}), {"a": 2})
    eq(lab.client.call("phoenix", None, "echo", {"a": 3}), {"a": 3})
    eq(peer.stop(), 0)


# ---- connections that break ----

def closed_connections_come_back(lab):
    before = connections_of(lab, lab.c)
    lab.broker.ctl("close_all_connections", "maintenance")
    wait_for(lambda: len(connections_of(lab, lab.c) - before) == 2, PATIENCE, "new connections")
    lab.c.wait_connected()
    lab.c2.wait_connected()
    eq(lab.client.call("compute", "host1", "echo", {"back": 1}), {"back": 1})
    answer = lab.c.call("conductor", "echo", args={"b": 1})
    eq(answer.get("result"), {"b": 1})


def casts_are_neither_lost_nor_doubled_when_connections_break(lab):
    lab.broker.add_vhost("durable-casts")
    url = lab.url("amqp_durable_queues=true", "durable-casts")
    receiver = CPeer(lab.build, url, "sink", "s1", lab.log("sink"))
    sender = CPeer(lab.build, url, "source", "s1", lab.log("source"))
    numbers = []
    for i in range(300):
        numbers.append(sender.send(op="cast", topic="sink", server="s1", method="note",
                                   args={"i": i}, version="6.0"))
        if i in (100, 200):
            lab.broker.ctl("close_all_connections", "--vhost", "durable-casts", "test")
    for number in numbers:
        answer = sender.answer(number)
        assert "error" not in answer, answer
    got = [receiver.event("note")["args"]["i"] for _ in range(300)]
    eq(sorted(set(got)), list(range(300)))
    eq(len(got), 300)
    sender.stop()
    receiver.stop()


def broker_restarted_in_mid_call(lab):
    python = Background(lambda: lab.client.call("compute", "host1", "slow", {"seconds": 20},
                                                timeout=1500))
    number = lab.c.send(op="call", topic="conductor", method="slow", args={"seconds": 20},
                        version="3.0", timeout_ms=1500000)
    lab.server.event("slow")
    lab.broker.restart()
    lab.c.wait_connected()
    eq(python.get(), 20.0)
    answer = lab.c.answer(number, 1500)
    eq(answer.get("result"), 20)


def cpu_seconds(peer):
    with open("/proc/%d/stat" % peer.process.pid, encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call_made_while_the_broker_is_away_is_sent_later(lab):
    lab.broker.crash()
    wait_for(lambda: not lab.c.connected(), PATIENCE, "loss to be noticed")
    number = lab.c.send(op="call", topic="conductor", method="echo", args={"late": 1},
                        version="3.0", timeout_ms=1500000)
    cast = lab.c.send(op="cast", topic="conductor", method="note", args={"late": 2},
                      version="3.0")
    short = lab.c.call("conductor", "echo", timeout_ms=1000)
    eq(short["code"], lab.codes["UNAVAILABLE"])
    spent = cpu_seconds(lab.c)
    time.sleep(5)
    spent = cpu_seconds(lab.c) - spent
    assert spent < 1, "%.1f CPU seconds in 5 s without a broker" % spent
    lab.broker.start()
    eq(lab.c.answer(number, 1500).get("result"), {"late": 1})
    answer = lab.c.answer(cast, 1500)
    assert "error" not in answer, answer
    eq(lab.server.event("note")["args"], {"late": 2})


def heartbeats_keep_an_idle_connection(lab):
    peer = CPeer(lab.build, lab.url("heartbeat_timeout_threshold=4"), "idle", "i1",
                 lab.log("idle"))
    before = connections_of(lab, peer)
    time.sleep(20)
    eq(connections_of(lab, peer), before)
    eq(peer.stop(), 0)


def dead_first_host_is_passed_over(lab):
    url = "rabbit://guest:guest@127.0.0.1:1,guest:guest@127.0.0.1:%d/" % lab.broker.port
    for i in range(2):
        peer = CPeer(lab.build, url, "multi", "m%d" % i, lab.log("multi"))
        eq(lab.client.call("multi", "m%d" % i, "echo", {"a": i}), {"a": i})
        eq(peer.stop(), 0)


def wrong_password_is_said(lab):
    url = lab.url().replace("guest:guest", "guest:wrong")
    peer = CPeer(lab.build, url, "stranger", "s1", lab.log("stranger"), wait=False)
    peer.event("started")
    wait_for(lambda: "ACCESS_REFUSED" in peer.log_text(), PATIENCE, "refusal to be logged")
    eq(peer.connected(), False)
    assert "wrong" not in peer.log_text(), "the password is in the log"
    eq(peer.stop(), 0)


# ---- throttling ----

def blocked_publisher_still_hears_and_beats(lab):
    peer = CPeer(lab.build, lab.url("heartbeat_timeout_threshold=4"), "blocked", "b1",
                 lab.log("blocked"))
    raw = Raw(lab.broker.port)
    # Nobody can publish while the alarm is on: this one is on its way already, and the broker itself passes it on.
    raw.channel.queue_declare("blocked-later", auto_delete=False, arguments={
        "x-expires": 600000, "x-message-ttl": 15000, "x-dead-letter-exchange": "nova",
        "x-dead-letter-routing-key": "blocked.b1"})
    assert "error" not in peer.do(op="cast", topic="conductor", method="note", args={"b": 1},
                                  version="3.0")
    eq(lab.server.event("note")["args"], {"b": 1})
    before = connections_of(lab, peer)
    raw.publish("blocked-later", raw.request("note", {"heard": 1}, call=False), exchange="")
    lab.broker.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        number = peer.send(op="cast", topic="conductor", method="note", args={"b": 2},
                           version="3.0")
        wait_for(lambda: "blocks publishers" in peer.log_text(), PATIENCE, "blocked notice")
        eq(peer.event("note")["args"], {"heard": 1})
        time.sleep(15)
        eq(connections_of(lab, peer), before)
    finally:
        lab.broker.ctl("set_vm_memory_high_watermark", "0.4")
    answer = peer.answer(number)
    assert "error" not in answer, answer
    eq(lab.server.event("note")["args"], {"b": 2})
    eq(connections_of(lab, peer), before)
    raw.close()
    eq(peer.stop(), 0)


def blocked_publisher_keeps_large_messages_and_its_connection(lab):
    """The broker stops in the middle of a message, for longer than TCP_USER_TIMEOUT."""
    lab.broker.add_vhost("blocked-large")
    url = lab.url("heartbeat_timeout_threshold=4", "blocked-large")
    receiver = CPeer(lab.build, url, "sink", "s1", lab.log("blocked-sink"))
    peer = CPeer(lab.build, url, "blocked", "b3", lab.log("blocked3"))
    assert "error" not in peer.do(op="cast", topic="sink", server="s1", method="note",
                                  args={"i": -1}, version="6.0")
    before = connections_of(lab, peer)
    lab.broker.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        numbers = [peer.send(op="cast", topic="sink", server="s1", method="note", args={"i": i},
                             fill=1024 * 1024, version="6.0") for i in range(20)]
        wait_for(lambda: "blocks publishers" in peer.log_text(), PATIENCE, "blocked notice")
        time.sleep(15)
        eq(connections_of(lab, peer), before)
    finally:
        lab.broker.ctl("set_vm_memory_high_watermark", "0.4")
    for number in numbers:
        answer = peer.answer(number)
        assert "error" not in answer, answer
    got = [receiver.event("note")["args"] for _ in range(21)]
    eq(sorted(args["i"] for args in got), list(range(-1, 20)))
    eq({len(args["data"]) for args in got if args["i"] >= 0}, {1024 * 1024})
    eq(connections_of(lab, peer), before)
    eq(peer.stop(), 0)
    eq(receiver.stop(), 0)


def blocked_publisher_can_be_stopped(lab):
    peer = CPeer(lab.build, lab.url(), "blocked", "b2", lab.log("blocked2"))
    peer.do(op="cast", topic="conductor", method="note", args={"b": 1}, version="3.0")
    lab.server.event("note")
    lab.broker.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        for _ in range(20):
            peer.send(op="cast", topic="conductor", method="length", fill=1024 * 1024,
                      version="3.0")
        wait_for(lambda: "blocks publishers" in peer.log_text(), PATIENCE, "blocked notice")
        started = time.time()
        eq(peer.stop(PATIENCE), 0)
        lab.remark("stopped in %.1f s" % (time.time() - started))
    finally:
        lab.broker.ctl("set_vm_memory_high_watermark", "0.4")


# ---- settings ----

def settings_agree(lab, vhost, options, python=True):
    """The same options on both sides: calls both ways and a fanout."""
    lab.broker.add_vhost(vhost)
    url = lab.url(options, vhost)
    peer = CPeer(lab.build, url, "compute", "host1", lab.log(vhost))
    twin = CPeer(lab.build, url, "compute", "host2", lab.log(vhost + "-twin"))
    if python:
        server = PyServer(url, "conductor", "ctl", lab.log(vhost + "-py"))
        client = PyClient(url)
        eq(client.call("compute", "host1", "echo", {"a": 1}), {"a": 1})
        eq(peer.call("conductor", "echo", args={"a": 2}).get("result"), {"a": 2})
        client.cast("compute", None, "note", {"f": 1}, fanout=True)
        client.close()
        server.stop()
    else:
        answer = twin.call("compute", "echo", server="host1", version="6.0", args={"a": 1})
        eq(answer.get("result"), {"a": 1})
        assert "error" not in twin.do(op="cast", topic="compute", method="note", args={"f": 1},
                                      version="6.0", fanout=True)
    eq(peer.event("note")["args"], {"f": 1})
    eq(twin.event("note")["args"], {"f": 1})
    rows = {row[0]: row[1:] for row in
            lab.broker.rows("queues", "name", "type", "durable", "auto_delete", vhost=vhost)}
    eq(peer.stop(), 0)
    eq(twin.stop(), 0)
    return rows


def kinds(rows, prefix):
    return {row for name, row in rows.items() if name.startswith(prefix)}


def durable_queues(lab):
    rows = settings_agree(lab, "durable", "amqp_durable_queues=true")
    eq(rows["compute.host1"], ("classic", "true", "false"))
    eq(kinds(rows, "compute_fanout_"), {("classic", "false", "false")})


def auto_delete_queues(lab):
    rows = settings_agree(lab, "autodelete", "amqp_auto_delete=true")
    eq(rows["compute.host1"], ("classic", "false", "true"))


def quorum_queues(lab):
    rows = settings_agree(lab, "quorum",
                          "rabbit_quorum_queue=true&rabbit_quorum_delivery_limit=5")
    eq(rows["compute.host1"], ("quorum", "true", "false"))
    eq(kinds(rows, "compute_fanout_"), {("classic", "false", "false")})


def transient_quorum_and_queue_manager_names(lab):
    lab.broker.add_vhost("transient")
    url = lab.url("rabbit_transient_quorum_queue=true&use_queue_manager=true", "transient")
    peer = CPeer(lab.build, url, "compute", "host1", lab.log("transient"))
    eq(peer.call("compute", "echo", server="host1", version="6.0", args={"a": 1}).get("result"),
       {"a": 1})
    assert "error" not in peer.do(op="cast", topic="compute", method="note", args={"f": 1},
                                  version="6.0", fanout=True)
    eq(peer.event("note")["args"], {"f": 1})
    eq(peer.stop(), 0)
    rows = {row[0]: row[1:] for row in
            lab.broker.rows("queues", "name", "type", "durable", vhost="transient")}
    eq(rows["compute_fanout_interop:peer:1"], ("quorum", "true"))
    eq(rows["reply_interop:peer:2"], ("quorum", "true"))
    again = CPeer(lab.build, url, "compute", "host1", lab.log("transient2"))
    eq(again.call("compute", "echo", server="host1", version="6.0", args={"a": 2}).get("result"),
       {"a": 2})
    eq(again.stop(), 0)


def stream_fanout(lab):
    rows = settings_agree(
        lab, "stream", "rabbit_transient_quorum_queue=true&rabbit_stream_fanout=true"
        "&rabbit_qos_prefetch_count=50", python=False)
    eq(rows["compute_fanout"], ("stream", "true", "false"))


def prefetch(lab):
    peer = CPeer(lab.build, lab.url("rabbit_qos_prefetch_count=1"), "narrow", "n1",
                 lab.log("narrow"))
    eq([lab.client.call("narrow", "n1", "echo", {"i": i}) for i in range(20)],
       [{"i": i} for i in range(20)])
    eq(peer.stop(), 0)


def unequal_queue_is_named_with_its_option(lab):
    lab.broker.add_vhost("unequal")
    raw = Raw(lab.broker.port, "unequal")
    raw.channel.queue_declare("compute", durable=True, auto_delete=False)
    peer = CPeer(lab.build, lab.url("", "unequal"), "compute", "host1", lab.log("unequal"),
                 wait=False)
    peer.event("started")
    wait_for(lambda: "To mend it, set amqp_durable_queues" in peer.log_text(), PATIENCE,
             "advice in the log")
    eq(peer.connected(), False)
    raw.channel.queue_delete("compute")
    peer.wait_connected()
    eq(peer.stop(), 0)
    raw.close()


def unequal_exchange_is_used_as_it_is(lab):
    lab.broker.add_vhost("unequal-exchange")
    raw = Raw(lab.broker.port, "unequal-exchange")
    raw.channel.exchange_declare("nova", "topic", durable=True, auto_delete=False)
    peer = CPeer(lab.build, lab.url("", "unequal-exchange"), "compute", "host1",
                 lab.log("unequal-exchange"))
    answer = peer.call("compute", "echo", server="host1", version="6.0", args={"a": 1})
    eq(answer.get("result"), {"a": 1})
    assert "as it is" in peer.log_text()
    eq(peer.stop(), 0)
    raw.close()


# ---- TLS ----

def tls_url(lab, options, host="127.0.0.1"):
    return "rabbit://guest:guest@%s:%d/?ssl=1&%s" % (host, lab.broker.tls_port, options)


def tls_with_verified_chain_and_client_certificate(lab):
    url = tls_url(lab, "ssl_ca_file=%s&ssl_cert_file=%s&ssl_key_file=%s"
                  "&ssl_enforce_hostname_verification=1" % tuple(
                      lab.broker.path(f) for f in ("ca.pem", "client.pem", "client.key")),
                  host="localhost")
    peer = CPeer(lab.build, url, "tls", "t1", lab.log("tls"))
    eq(lab.client.call("tls", "t1", "echo", {"a": 1}), {"a": 1})
    eq(len(lab.client.call("tls", "t1", "size", {"bytes": 5000000})), 5000000)
    eq(lab.client.call("tls", "t1", "length", {"data": "x" * 5000000}), 5000000)
    rows = [row for row in lab.broker.rows("connections", "ssl", "client_properties")
            if "peer:%d:" % peer.process.pid in row[1]]
    eq({row[0] for row in rows}, {"true"})
    eq(peer.stop(), 0)


def tls_without_ca_verifies_nothing(lab):
    peer = CPeer(lab.build, tls_url(lab, "ssl_version=TLSv1_2"), "tls", "t2", lab.log("tls2"))
    eq(lab.client.call("tls", "t2", "echo", {"a": 1}), {"a": 1})
    eq(peer.stop(), 0)


def tls_refuses_a_stranger(lab):
    peer = CPeer(lab.build, tls_url(lab, "ssl_ca_file=" + lab.broker.path("client.pem")), "tls",
                 "t3", lab.log("tls3"), wait=False)
    peer.event("started")
    wait_for(lambda: "trying the next broker" in peer.log_text(), PATIENCE, "refusal")
    eq(peer.connected(), False)
    eq(peer.stop(), 0)
    url = tls_url(lab, "ssl_ca_file=%s&ssl_enforce_hostname_verification=1" %
                  lab.broker.path("ca.pem"))
    peer = CPeer(lab.build, url, "tls", "t4", lab.log("tls4"), wait=False)
    peer.event("started")
    wait_for(lambda: "trying the next broker" in peer.log_text(), PATIENCE, "refusal of the name")
    eq(peer.connected(), False)
    eq(peer.stop(), 0)


CASES = [connections_tell_who_they_are, queues_are_declared_as_oslo_does,
         fanout_queue_goes_on_a_clean_stop_only, stopped_server_consumes_no_more_but_answers,
         deleted_queue_is_declared_again, durable_queues, auto_delete_queues, quorum_queues,
         transient_quorum_and_queue_manager_names, stream_fanout, prefetch,
         unequal_queue_is_named_with_its_option, unequal_exchange_is_used_as_it_is,
         tls_with_verified_chain_and_client_certificate, tls_without_ca_verifies_nothing,
         tls_refuses_a_stranger, heartbeats_keep_an_idle_connection,
         dead_first_host_is_passed_over, wrong_password_is_said,
         blocked_publisher_still_hears_and_beats,
         blocked_publisher_keeps_large_messages_and_its_connection,
         blocked_publisher_can_be_stopped,
         closed_connections_come_back, casts_are_neither_lost_nor_doubled_when_connections_break,
         broker_restarted_in_mid_call, call_made_while_the_broker_is_away_is_sent_later]
