"""The two kinds of peer: C programs (peer.c) and oslo.messaging's own server and client."""
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
import types
import uuid

import amqp
from oslo_config import cfg
import oslo_messaging

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 300  # seconds for what normally takes a few: machines that run tests may be very busy


class LinePeer:
    """A child that speaks JSON lines."""

    def __init__(self, argv, log):
        self.log = log
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(log, "ab"), text=True)
        self.events = queue.Queue()
        self.answers = {}
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if "id" in message:
                with self.changed:
                    self.answers[message["id"]] = message
                    self.changed.notify_all()
            else:
                self.events.put(message)

    def event(self, name, timeout=PATIENCE):
        """The next event called `name`; others on the way are dropped."""
        deadline = time.time() + timeout
        while True:
            message = self.events.get(timeout=max(deadline - time.time(), 0.01))
            if message["event"] == name:
                return message

    def silent(self, seconds):
        """True when nothing is said for so long."""
        try:
            return self.events.get(timeout=seconds) is None
        except queue.Empty:
            return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=60):
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
                self.process.wait(timeout)
            except (OSError, subprocess.TimeoutExpired):
                self.kill()
        return self.process.returncode

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()


class CPeer(LinePeer):
    ids = itertools.count(1)

    def __init__(self, build, url, topic, server, log, wait=True):
        super().__init__([os.path.join(build, "tests/interop/peer"), url, topic, server], log)
        if wait:
            self.event("started")
            self.wait_connected()

    def send(self, **command):
        command["id"] = next(CPeer.ids)
        with self.changed:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        return command["id"]

    def answer(self, number, timeout=PATIENCE):
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.answers, timeout):
                raise AssertionError("no answer from the C peer in %s s" % timeout)
            return self.answers.pop(number)

    def do(self, timeout=PATIENCE, **command):
        return self.answer(self.send(**command), timeout)

    def call(self, topic, method, timeout=PATIENCE, **more):
        more.setdefault("version", "3.0")
        return self.do(timeout, op="call", topic=topic, method=method, **more)

    def connected(self):
        return self.do(op="status")["connected"]

    def wait_connected(self, timeout=PATIENCE):
        wait_for(self.connected, timeout, "C peer to be connected")


class PyServer(LinePeer):
    def __init__(self, url, topic, server, log):
        super().__init__([sys.executable, os.path.join(HERE, "pyserver.py"), url, topic, server],
                         log)
        self.event("started")


def wait_for(what, timeout, text):
    deadline = time.time() + timeout
    while time.time() < deadline:
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("waited %s s for the %s" % (timeout, text))


class Background:
    """Runs a call on a thread and keeps its outcome."""

    def __init__(self, what):
        self.result = self.error = None
        self.thread = threading.Thread(target=self.run, args=(what,), daemon=True)
        self.thread.start()

    def run(self, what):
        try:
            self.result = what()
        except Exception as e:
            self.error = e

    def get(self):
        self.thread.join(2 * PATIENCE)
        assert not self.thread.is_alive(), "still running"
        assert self.error is None, self.error
        return self.result


def nova_exceptions():
    """oslo rebuilds exceptions of the module nova.exception: a stand-in with one class will do."""
    if "nova.exception" in sys.modules:
        return sys.modules["nova.exception"]

    class InstanceNotFound(Exception):
        def __init__(self, message=None, **kwargs):
            super().__init__(message)
            self.kwargs = kwargs

    module = types.ModuleType("nova.exception")
    InstanceNotFound.__module__ = "nova.exception"
    module.InstanceNotFound = InstanceNotFound
    nova = types.ModuleType("nova")
    nova.exception = module
    sys.modules.setdefault("nova", nova)
    sys.modules["nova.exception"] = module
    return module


class PyClient:
    """oslo.messaging's client; options of [oslo_messaging_rabbit] come with the URL."""

    def __init__(self, url):
        nova_exceptions()
        self.conf = cfg.CONF
        self.conf([], project="interop", default_config_files=[])
        self.transport = oslo_messaging.get_rpc_transport(
            self.conf, url=url, allowed_remote_exmods=["nova.exception"])

    def prepared(self, topic, server=None, version="6.0", namespace=None, timeout=120,
                 monitor=None, fanout=None):
        target = oslo_messaging.Target(exchange="nova", topic=topic, version=version,
                                       namespace=namespace)
        client = oslo_messaging.get_rpc_client(self.transport, target, timeout=timeout,
                                               call_monitor_timeout=monitor)
        return client.prepare(server=server, fanout=fanout)

    def call(self, topic, server, method, args=None, ctxt=None, **more):
        return self.prepared(topic, server, **more).call(ctxt or {}, method, **(args or {}))

    def cast(self, topic, server, method, args=None, ctxt=None, **more):
        self.prepared(topic, server, **more).cast(ctxt or {}, method, **(args or {}))

    def close(self):
        self.transport.cleanup()


class Raw:
    """Plain AMQP, for what oslo.messaging would never send."""

    def __init__(self, port, vhost="/"):
        self.connection = amqp.Connection("127.0.0.1:%d" % port, userid="guest", password="guest",
                                          virtual_host=vhost, confirm_publish=True)
        self.connection.connect()
        self.channel = self.connection.channel()
        self.replies = "reply_" + uuid.uuid4().hex
        self.channel.queue_declare(self.replies, auto_delete=False, arguments={"x-expires": 60000})

    def publish(self, key, body, exchange="nova", content_type="application/json", **props):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        self.channel.basic_publish(
            amqp.Message(body, content_type=content_type, content_encoding="utf-8",
                         delivery_mode=2, **props), exchange, key)

    def request(self, method, args=None, call=True, **more):
        """An enveloped request; for calls the reply comes to self.reply()."""
        inner = {"method": method, "args": args or {}, "version": "6.0",
                 "_unique_id": uuid.uuid4().hex, "_context_request_id": "req-raw"}
        if call:
            inner.update(_msg_id=uuid.uuid4().hex, _reply_q=self.replies, _timeout=None)
        inner.update(more)
        return self.envelope(inner)

    @staticmethod
    def envelope(inner):
        return {"oslo.version": "2.0", "oslo.message": json.dumps(inner)}

    def reply(self, timeout=PATIENCE):
        deadline = time.time() + timeout
        while time.time() < deadline:
            message = self.channel.basic_get(self.replies, no_ack=True)
            if message:
                return json.loads(json.loads(message.body)["oslo.message"]), message
            time.sleep(0.05)
        raise AssertionError("no reply in %s s" % timeout)

    def close(self):
        self.connection.close()
