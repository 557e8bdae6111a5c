"""One server under test: a folder, free loopback ports, users, a certificate, processes."""
import os
import socket
import subprocess
import time

from compare_lib.packages import Trouble
from compare_lib.processes import Group

DOMAIN = "example.test"
USERS = "u%d@" + DOMAIN  # as ringmail-bench counts them
PASSWORD = "pw"
USER_COUNT = 1000
LISTENERS = ("smtp", "lmtp", "pop3", "imap", "imaps")


def free_ports(count):
    """Ports nobody listens on; all are held until all are known, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def certificate(folder):
    """A self-signed P-256 pair, one for all servers of a run."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        os.chmod(key, 0o600)
    return cert, key


class Server:
    """What a peer must say of itself is below; the rest is common."""
    name = ""
    listeners = LISTENERS
    forks = False  # a process for each message or session: shown, never the measure of a ratio
    only = None    # the lines it is for; None: all that its listeners allow
    login = USERS  # the name users log in with
    queues = False  # it delivers later what it took

    def __init__(self, work):
        self.folder = os.path.join(work, self.name)
        self.tls = certificate(work)
        self.ports, self.group = {}, None

    # --- for a peer to fill in ---

    def prepare(self):
        """Installs packages, writes configuration; once, before the first start."""

    def command(self):
        raise NotImplementedError

    def queued(self):
        """Messages acknowledged that are in no mailbox yet."""
        return 0

    def version(self):
        return "?"

    # --- common ---

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def make(self, name, owner=0, mode=0o755, group=None):
        os.makedirs(self.path(name), exist_ok=True)
        os.chown(self.path(name), owner, owner if group is None else group)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def start(self, seconds=60):
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.prepare()
        self.group = Group(self.name)
        self.group.start(self.command(), self.path("log"))
        end = time.monotonic() + seconds
        while not self.answers():
            if not self.group.alive() or time.monotonic() > end:
                with open(self.path("log"), encoding="utf-8", errors="replace") as f:
                    said = f.read()[-600:].strip()
                self.stop()
                raise Trouble("%s does not start: %s" % (self.name, said.replace("\n", " | ") or "it says nothing"))
            time.sleep(0.05)
        return self

    def answers(self):
        """Every port that greets does."""
        for name in self.listeners:
            if name == "imaps":
                continue
            try:
                with socket.create_connection(("127.0.0.1", self.ports[name]), 2) as s:
                    s.settimeout(10)
                    if not s.recv(1):
                        return False
            except OSError:
                return False
        return True

    def drain(self, seconds=120):
        """Waits until all that was acknowledged can be read; how long that took."""
        began = time.monotonic()
        while self.queued():
            if time.monotonic() - began > seconds:
                raise Trouble("%s still has %d messages in its queue after %d s" % (self.name, self.queued(), seconds))
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self):
        if self.group:
            self.group.stop()
            self.group = None
