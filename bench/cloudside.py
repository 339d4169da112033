"""What bench/run measures with: the agent's processes, a tap on the message bus, nova's service record, load."""
import json
import os
import re
import subprocess
import sys
import threading
import time

import amqp
import pymysql

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "cloud"))

import lib  # noqa: E402  (the path comes first)

STATE = "DROVER_CLOUD"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write_figures(name, lines):
    """Puts lines between the marks of this name in docs/benchmarks.md."""
    path = os.path.join(ROOT, "docs", "benchmarks.md")
    new = re.sub(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", lambda m: m.group(1) + "\n".join(lines) + m.group(2),
                 read(path), flags=re.S)
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)


# ---- processes ----

def stat_of(pid):
    """The fields of /proc/PID/stat from the third on: [0] is the state, [3] the session, [19] the start time."""
    return read(f"/proc/{pid}/stat").rsplit(") ", 1)[1].split()


def is_helper(pid, conf):
    """A root helper that left the agent's session: nova's privsep daemons name their configuration."""
    line = read(f"/proc/{pid}/cmdline")
    return "privsep-helper" in line and conf in line


class Processes:
    """The agent and all its helpers: its session, and the daemons that it started with its configuration."""

    def __init__(self, agent_pid, conf=None):
        self.main = agent_pid
        self.conf = conf or os.environ["DROVER_CLOUD_CONF"]

    def pids(self):
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                if int(stat_of(name)[3]) == self.main or is_helper(name, self.conf):
                    found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def memory(self):
        """KiB, proportional and resident, of all of them, and how many there are."""
        total = {"Pss": 0, "Rss": 0}
        pids = self.pids()
        for pid in pids:
            try:
                for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
                    key, _, rest = line.partition(":")
                    if key in total:
                        total[key] += int(rest.split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total["Pss"], total["Rss"], len(pids)

    def cpu(self):
        """{pid: CPU seconds}. The kernel's tick is 10 ms, its scheduler statistics count nanoseconds but
        forget threads that have ended: the larger of both."""
        used = {}
        for pid in self.pids():
            try:
                fields = stat_of(pid)
                ticks = sum(map(int, fields[11:13])) * TICK_S
                exact = sum(int(read(f"/proc/{pid}/task/{tid}/schedstat").split()[0])
                            for tid in os.listdir(f"/proc/{pid}/task")) / 1e9
            except (FileNotFoundError, ProcessLookupError):
                continue
            used[pid] = max(ticks, exact)
        return used


# ---- nova's service record ----

class ServiceRecord:
    """report_count of the compute service, straight from nova's database, by one connection."""

    def __init__(self):
        self.db = pymysql.connect(host="127.0.0.1", user="drover", password=os.environ["OS_PASSWORD"],
                                  database="nova", autocommit=True)

    def report_count(self):
        with self.db.cursor() as cursor:
            cursor.execute("SELECT report_count FROM services WHERE `binary` = 'nova-compute' AND host = %s"
                           " AND deleted = 0", (os.environ["DROVER_CLOUD_HOST"],))
            row = cursor.fetchone()
        return row[0] if row else -1


# ---- the message bus ----

class Message:
    """One RPC request as it went through the `nova` exchange or a fanout."""

    def __init__(self, when, key, body):
        self.when = when
        self.key = key
        self.method = body.get("method", "")
        self.args = body.get("args") or {}
        self.reply_queue = body.get("_reply_q")
        self.request_id = body.get("_context_request_id")

    @property
    def what(self):
        """The method, with class and remote method where conductor is only the way."""
        inner = self.args.get("objinst")
        name = (inner or {}).get("nova_object.name") if isinstance(inner, dict) else self.args.get("objname")
        return f"{self.method} {name}.{self.args.get('objmethod')}" if name else self.method

    def saves_service(self):
        return self.what == "object_action Service.save"

    def saved(self, field):
        """The value of a field that this message saves on an object, None when it does not."""
        inner = self.args.get("objinst")
        if not isinstance(inner, dict) or self.args.get("objmethod") != "save":
            return None
        if field not in (inner.get("nova_object.changes") or []):
            return None
        return inner.get("nova_object.data", {}).get(field)


class Tap:
    """Copies of all requests on the bus: an exclusive queue of ours beside the real ones."""

    def __init__(self):
        self.messages = []
        self.lock = threading.Lock()
        self.stopping = False
        broker = os.environ["DROVER_CLOUD_TRANSPORT_URL"].rsplit("@", 1)[1].rstrip("/")
        self.connection = amqp.Connection(broker, "drover", os.environ["OS_PASSWORD"], virtual_host="/")
        self.connection.connect()
        channel = self.connection.channel()
        queue = channel.queue_declare("", exclusive=True, auto_delete=True).queue
        channel.queue_bind(queue, "nova", "#")
        self.bind_fanout(queue, "scheduler_fanout")
        channel.basic_consume(queue, no_ack=True, callback=self.take)
        self.thread = threading.Thread(target=self.drain, daemon=True)
        self.thread.start()

    def bind_fanout(self, queue, exchange):
        """What the agents tell all schedulers; an exchange that is not there yet closes the channel that asked."""
        channel = self.connection.channel()
        try:
            channel.exchange_declare(exchange, "fanout", passive=True)
            channel.queue_bind(queue, exchange)
            channel.close()
        except amqp.exceptions.NotFound:
            pass

    def take(self, message):
        when = time.monotonic()
        try:
            text = message.body if isinstance(message.body, str) else message.body.decode()
            body = json.loads(text)
            if "oslo.message" in body:
                body = json.loads(body["oslo.message"])
        except ValueError:
            return
        with self.lock:
            self.messages.append(Message(when, message.delivery_info.get("routing_key", ""), body))

    def drain(self):
        while not self.stopping:
            try:
                self.connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue
            except (OSError, amqp.exceptions.AMQPError):
                return

    def close(self):
        self.stopping = True
        self.thread.join(3)
        self.connection.close()

    def between(self, start, end=None):
        with self.lock:
            return [m for m in self.messages if m.when >= start and (end is None or m.when <= end)]


def of_agent(messages, host):
    """The messages that the compute agent sent: it is who saves the service record with a report, and it names the
    host in its fanouts."""
    queues = {m.reply_queue for m in messages if m.saves_service() and m.saved("report_count") is not None
              and m.args["objinst"]["nova_object.data"].get("host") in (None, host)
              and m.args["objinst"]["nova_object.data"].get("binary") in (None, "nova-compute")}
    return [m for m in messages if m.reply_queue in queues or m.args.get("host_name") == host]


# ---- load ----

def rpc_load(method, in_flight, seconds, max_calls=0, timeout_ms=10000):
    """Runs the load client, and returns what it counted."""
    program = os.environ.get("DROVER_RPC_LOAD", os.path.join(ROOT, "build/dev/bench/rpc_load"))
    url = f"rabbit://drover:{os.environ['OS_PASSWORD']}@127.0.0.1:5672/"
    done = subprocess.run([program, url, os.environ["DROVER_CLOUD_HOST"], method, str(in_flight), str(seconds),
                           str(max_calls), str(timeout_ms)], stdout=subprocess.PIPE, text=True, check=False)
    lib.check(done.returncode == 0, f"rpc_load ended with {done.returncode}")
    return json.loads(done.stdout)


class LoadBeside(threading.Thread):
    """A load that runs while something else happens; result() ends it with its figures, in rounds of a second."""

    def __init__(self, method, in_flight):
        super().__init__(daemon=True)
        self.method, self.in_flight = method, in_flight
        self.ending = threading.Event()
        self.rounds = []
        self.start()

    def run(self):
        while not self.ending.is_set():
            self.rounds.append(rpc_load(self.method, self.in_flight, 5))

    def result(self):
        self.ending.set()
        self.join(60)
        lib.check(self.rounds, "no round of load ended")
        answered = sum(r["answered"] for r in self.rounds)
        worst = [r["p99_ms"] for r in self.rounds if r["p99_ms"] is not None]
        return {"calls_per_s": answered / sum(r["seconds"] for r in self.rounds),
                "p99_ms": max(worst) if worst else None}
