"""Notifications, read off the cloud's own broker."""
import json
import os
import socket

import kombu

from lib import check, check_equal, further_options

OPTIONS = """\
[oslo_messaging_notifications]
driver = messagingv2
[notifications]
notification_format = both
"""
QUEUES = ("notifications.info", "versioned_notifications.info")


class Ear:
    """Binds the queues before anything is sent, and reads them."""

    def __init__(self):
        url = os.environ["DROVER_CLOUD_TRANSPORT_URL"].replace("rabbit://", "amqp://", 1).rstrip("/") + "//"
        self.connection = kombu.Connection(url)
        self.channel = self.connection.channel()
        self.exchange = kombu.Exchange("nova", type="topic", durable=False)
        self.queues = [kombu.Queue(name, self.exchange, routing_key=name, durable=False, channel=self.channel)
                       for name in QUEUES]
        for queue in self.queues:
            queue.declare()
            queue.purge()
        self.heard = []

    def listen(self, until, seconds=60):
        """Takes messages until `until(heard)` holds."""
        def on_message(body, message):
            envelope = json.loads(body) if isinstance(body, str) else body
            self.heard.append(json.loads(envelope["oslo.message"]) if "oslo.message" in envelope else envelope)
            message.ack()
        with kombu.Consumer(self.channel, self.queues, callbacks=[on_message]):
            while not until(self.heard):
                try:
                    self.connection.drain_events(timeout=seconds)
                except socket.timeout:
                    break
        return self.heard

    def close(self):
        for queue in self.queues:
            queue.delete()
        self.connection.release()


def events(heard, uuid):
    """Event types about a server, in the order in which they came."""
    found = []
    for message in heard:
        payload = message["payload"].get("nova_object.data", message["payload"])
        if uuid in (payload.get("instance_id"), payload.get("uuid")):
            found.append(message["event_type"])
    return found


def test_notifications(t):
    """A boot and a delete are told in both formats, as nova-compute tells them."""
    unversioned = ["compute.instance.create.start", "compute.instance.create.end", "compute.instance.delete.start",
                   "compute.instance.shutdown.start", "compute.instance.shutdown.end", "compute.instance.delete.end"]
    versioned = ["instance.create.start", "instance.create.end", "instance.delete.start", "instance.shutdown.start",
                 "instance.shutdown.end", "instance.delete.end"]
    ear = Ear()
    try:
        with further_options("agent", OPTIONS):
            server = t.boot_active("told")
            server.delete_and_wait()
            heard = ear.listen(lambda all_: {"compute.instance.delete.end", "instance.delete.end"} <=
                               set(events(all_, server.uuid)))
    finally:
        ear.close()
    got = events(heard, server.uuid)
    check_equal([e for e in got if e in unversioned], unversioned, "unversioned events")
    check_equal([e for e in got if e in versioned], versioned, "versioned events")
    for message in heard:
        text = json.dumps(message)
        check("auth_token\": \"gAAAA" not in text, "a notification carries a token")
