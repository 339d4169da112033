#!/usr/bin/python3
"""An oslo.messaging RPC server for the interop tests: pyserver.py URL TOPIC SERVER

Options of [oslo_messaging_rabbit] come with the URL. Prints a JSON line when it is up and for every cast it gets; ends when standard input closes.
"""
import json
import sys
import threading
import time

from oslo_config import cfg
import oslo_messaging


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def exception_class(module, name):
    return type(name, (Exception,), {"__module__": module})


class Endpoint:
    target = oslo_messaging.Target(version="3.0")

    def __init__(self):
        self.counts = {}
        self.lock = threading.Lock()

    def echo(self, ctxt, **kwargs):
        return kwargs

    def boom(self, ctxt, cls, module, message, **kwargs):
        error = exception_class(module, cls)(message)
        error.kwargs = kwargs
        raise error

    def value_error(self, ctxt, message):
        raise ValueError(message)

    def slow(self, ctxt, seconds):
        say(event="slow")
        time.sleep(seconds)
        return seconds

    def size(self, ctxt, bytes):
        return "x" * bytes

    def length(self, ctxt, data):
        return len(data)

    def context(self, ctxt):
        return ctxt

    def note(self, ctxt, **kwargs):
        say(event="note", args=kwargs)

    def count(self, ctxt, key):
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            return self.counts[key]

    def mixed(self, ctxt):
        return {"int": 1 << 40, "float": 0.1, "none": None, "list": [True, False],
                "text": "gr\u00fc\u00df \U0001f600 \"quoted\" \\ \n"}


def main():
    url, topic, server = sys.argv[1:4]
    cfg.CONF([], project="interop", default_config_files=[])
    transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=url)
    rpc = oslo_messaging.get_rpc_server(
        transport, oslo_messaging.Target(exchange="nova", topic=topic, server=server),
        [Endpoint()], executor="threading")
    rpc.start()
    say(event="started")
    sys.stdin.read()
    rpc.stop()


main()
