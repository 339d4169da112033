"""A RabbitMQ node of our own on loopback, for the interop tests.

Runs as the current user out of a temporary folder, with its own epmd, so that it neither needs nor
disturbs a broker that the machine may have.
"""
import os
import shutil
import socket
import subprocess
import tempfile
import time

BIN = "/usr/lib/rabbitmq/bin/"
PATIENCE = 1800  # seconds for what takes ten on an idle machine
ERL_ARGS = ("-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none "
            "+sbwtdio none")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="drover-interop-")
        self.port = free_port()
        self.tls_port = free_port()
        self.epmd_port = free_port()
        self.node = "interop%d@localhost" % os.getpid()
        self.process = None
        self.env = dict(
            PATH=os.environ["PATH"], LC_ALL="C.UTF-8", HOME=self.dir,
            ERL_EPMD_ADDRESS="127.0.0.1", ERL_EPMD_PORT=str(self.epmd_port),
            RABBITMQ_NODENAME=self.node, RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port), RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_MNESIA_BASE=self.path("mnesia"), RABBITMQ_LOG_BASE=self.path("log"),
            RABBITMQ_PID_FILE=self.path("pid"), RABBITMQ_CONF_ENV_FILE=self.path("env.conf"),
            RABBITMQ_CONFIG_FILE=self.path("rabbitmq"),
            RABBITMQ_ADVANCED_CONFIG_FILE=self.path("advanced"),
            RABBITMQ_ENABLED_PLUGINS_FILE=self.path("plugins"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=ERL_ARGS)
        self.certificates()
        self.write("env.conf", "")
        self.write("plugins", "[].\n")
        self.write("rabbitmq.conf", self.config())

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def certificates(self):
        """A CA, and a certificate for localhost that it signed."""
        def openssl(*args):
            subprocess.run(("openssl",) + args, cwd=self.dir, check=True, capture_output=True)
        self.write("san", "subjectAltName=DNS:localhost\n")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=interop CA", "-keyout", "ca.key",
                "-out", "ca.pem")
        for name in ("server", "client"):
            openssl("req", *key, "-subj", "/CN=localhost", "-keyout", name + ".key", "-out",
                    name + ".csr")
            openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", name + ".pem")

    def config(self):
        return "\n".join((
            "listeners.tcp.default = 127.0.0.1:%d" % self.port,
            "listeners.ssl.default = 127.0.0.1:%d" % self.tls_port,
            "ssl_options.cacertfile = " + self.path("ca.pem"),
            "ssl_options.certfile = " + self.path("server.pem"),
            "ssl_options.keyfile = " + self.path("server.key"),
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = false",
            "log.file.level = info", ""))

    def start(self):
        self.process = subprocess.Popen(
            [BIN + "rabbitmq-server"], env=self.env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=open(self.path("out"), "ab"),
            stderr=subprocess.STDOUT)
        deadline = time.time() + PATIENCE
        while time.time() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                self.ctl("await_startup")
                return
            except OSError:
                time.sleep(0.3)
        with open(self.path("out"), errors="replace") as f:
            raise RuntimeError("rabbitmq-server does not start: " + f.read()[-2000:])

    def ctl(self, *args, check=True):
        done = subprocess.run([BIN + "rabbitmqctl", "-q"] + list(args), env=self.env,
                              capture_output=True, text=True, timeout=PATIENCE)
        if check and done.returncode:
            raise RuntimeError("rabbitmqctl %s: %s" % (args, done.stderr or done.stdout))
        return done.stdout

    def halt(self):
        """A clean shutdown; the data stay for start()."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def crash(self):
        """The broker goes without a word."""
        with open(self.path("pid")) as f:
            os.kill(int(f.read()), 9)
        self.process.wait()

    def restart(self):
        self.halt()
        self.start()

    def remove(self):
        self.halt()
        subprocess.run(["epmd", "-port", str(self.epmd_port), "-kill"], env=self.env,
                       capture_output=True)
        if os.environ.get("INTEROP_KEEP"):
            print("# broker files kept in", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- facts ----

    def url(self, vhost="", options="", port=None):
        return "rabbit://guest:guest@127.0.0.1:%d/%s%s" % (port or self.port, vhost,
                                                           "?" + options if options else "")

    def rows(self, what, *columns, vhost="/"):
        """rabbitmqctl list_<what> as a list of tuples."""
        scope = ["-p", vhost] if what in ("queues", "exchanges", "consumers") else []
        text = self.ctl("list_" + what, "--no-table-headers", *scope, *columns)
        return [tuple(line.split("\t")) for line in text.splitlines() if line]

    def add_vhost(self, name):
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
