"""A small Internet: hosts in network namespaces on one bridge, a real name server among them.

    with Internet() as net:
        net.name_server({"b.test.": ["MX 10 mx.b.test."], "mx.b.test.": ["A 10.77.0.2"]})
        a = MailHost(net, "a", 1, "a.test", ["anna"])

Needs root and ip(8); available() says whether a namespace can be made. Everything goes with
the object: the servers by pid, the namespaces by name.
"""
import contextlib
import ctypes
import imaplib
import os
import re
import socket
import subprocess
import tempfile
import shutil

from harness import RINGMAIL, Server, wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
NET4, NET6 = "10.77.0.%d", "fd77::%d"
NAME_SERVER = 53


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True, check=False)


def available():
    """None, or why there can be no namespaces here."""
    if os.geteuid() != 0:
        return "needs root"
    if not shutil.which("ip"):
        return "ip(8) is missing"
    name = "rm%d-try" % os.getpid()
    made = ip("netns", "add", name)
    if made.returncode:
        return made.stderr.strip()
    ip("netns", "del", name)
    return None


class Internet:
    def __init__(self):
        self.tag = "rm%d" % os.getpid()
        self.spaces, self.procs = [], []
        self.folder = tempfile.mkdtemp(prefix="ringmail-net-")
        self.switch = self.space("switch")
        self.run(self.switch, "ip", "link", "add", "br0", "type", "bridge")
        self.run(self.switch, "ip", "link", "set", "br0", "up")

    def space(self, name):
        full = "%s-%s" % (self.tag, name)
        made = ip("netns", "add", full)
        if made.returncode:
            raise RuntimeError(made.stderr)
        self.spaces.append(full)
        return full

    def run(self, space, *command):
        done = subprocess.run(["ip", "netns", "exec", space, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError("%s: %s" % (" ".join(command), done.stderr))

    def host(self, name, number):
        """A namespace with the addresses NET4 % number and NET6 % number; its name."""
        space, port = self.space(name), "p%d" % number
        ip("link", "add", port, "netns", self.switch, "type", "veth", "peer", "name", "eth0", "netns", space)
        self.run(self.switch, "ip", "link", "set", port, "master", "br0", "up")
        for command in (["link", "set", "lo", "up"], ["addr", "add", NET4 % number + "/24", "dev", "eth0"],
                        ["addr", "add", NET6 % number + "/64", "dev", "eth0", "nodad"], ["link", "set", "eth0", "up"]):
            self.run(space, "ip", *command)
        return space

    @contextlib.contextmanager
    def inside(self, space):
        """Sockets made by this thread meanwhile are made on that host."""
        with open("/proc/self/ns/net", "rb") as home, open("/run/netns/" + space, "rb") as there:
            if LIBC.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                LIBC.setns(home.fileno(), CLONE_NEWNET)

    def start(self, space, command, log):
        with open(os.path.join(self.folder, log), "ab") as out:
            proc = subprocess.Popen(["ip", "netns", "exec", space, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.procs.append(proc)
        return proc

    def name_server(self, names):
        """Knot DNS, authoritative for `test.`, on a host of its own."""
        space = self.host("dns", NAME_SERVER)
        zone = os.path.join(self.folder, "test.zone")
        with open(zone, "w", encoding="ascii") as f:
            f.write("$TTL 5\ntest. SOA ns.test. root.test. 1 60 60 60 5\ntest. NS ns.test.\nns.test. A %s\n" % (NET4 % NAME_SERVER))
            for name, records in names.items():
                f.writelines("%s %s\n" % (name, r) for r in records)
        conf = os.path.join(self.folder, "knot.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write('server:\n  rundir: "%s"\n  listen: %s@53\ndatabase:\n  storage: "%s"\nlog:\n  - target: stderr\n    any: warning\n'
                    'zone:\n  - domain: test\n    file: "%s"\n' % (self.folder, NET4 % NAME_SERVER, self.folder, zone))
        self.start(space, ["knotd", "-c", conf], "knot.log")

        def answers():
            with self.inside(space), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(0.5)
                try:
                    s.sendto(bytes.fromhex("0001010000010000000000000474657374000006 0001".replace(" ", "")), (NET4 % NAME_SERVER, 53))
                    return s.recv(512)[3] & 15 == 0
                except OSError:
                    return False
        if not wait_for(answers, 20, 0.1):
            with open(os.path.join(self.folder, "knot.log"), encoding="utf-8", errors="replace") as f:
                raise RuntimeError("knotd does not answer: " + f.read())

    def silent(self, name, number, port=25):
        """A host that accepts connections and never says anything."""
        space = self.host(name, number)
        with self.inside(space):
            s = socket.create_server((NET4 % number, port), backlog=200)
        return s

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for proc in self.procs:
            proc.terminate()
        for proc in self.procs:
            proc.wait(20)
        for space in self.spaces:
            ip("netns", "del", space)
        shutil.rmtree(self.folder, ignore_errors=True)


class MailHost(Server):
    """A server on the standard ports of a host of its own; the same clients as a Server."""

    def __init__(self, net, name, number, domain, users, flags=()):
        super().__init__(names=["%s@%s" % (u, domain) for u in users], flags=flags)
        self.net, self.number, self.domain = net, number, domain
        self.space = net.host(name, number)
        self.address = NET4 % number
        self.certificate()

    def certificate(self):
        """One that is good for mx.DOMAIN and signed by itself."""
        cert, key = os.path.join(self.folder, "mx.pem"), os.path.join(self.folder, "mx.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-out", cert, "-days", "30", "-subj", "/CN=mx." + self.domain,
                        "-addext", "subjectAltName=DNS:mx.%s,IP:%s" % (self.domain, self.address)], check=True, capture_output=True)
        os.chmod(key, 0o600)
        self.tls = (cert, key)

    def command(self):
        four, six = self.address, "[%s]" % (NET6 % self.number)
        return ["ip", "netns", "exec", self.space, self.binary or RINGMAIL, "serve", "--data", self.data, "--hostname", "mx." + self.domain,
                "--domain", self.domain, "--users", self.users_file, "--shards", str(self.shards), "--threads", str(self.threads),
                "--smtp", four + ":25", "--smtp", six + ":25", "--submission", four + ":587", "--imap", four + ":143",
                "--tls-cert", self.tls[0], "--tls-key", self.tls[1], "--allow-plaintext", "10.77.0.0/24",
                "--resolver", NET4 % NAME_SERVER + ":53", *self.flags]

    def answers(self):
        try:
            for port in (25, 143):
                with self.net.inside(self.space), socket.create_connection((self.address, port), 2) as s:
                    s.settimeout(5)
                    if not s.recv(1):
                        return False
            return True
        except OSError:
            return False

    def imap(self, user=None, password="pw", tls=False):
        with self.net.inside(self.space):
            m = imaplib.IMAP4(self.address, 143)
        m.login(user, password)
        return m

    def inbox(self, user):
        """The messages of INBOX, whole."""
        m = self.imap(user)
        m.select()
        uids = m.uid("SEARCH", "ALL")[1][0].split()
        got = [m.uid("FETCH", u, "(BODY.PEEK[])")[1][0][1] for u in uids]
        m.logout()
        return got

    def find(self, user, word, seconds=30):
        """Waits for messages that hold the word; all of them."""
        word = word.encode()
        return wait_for(lambda: [t for t in self.inbox(user) if word in t], seconds, 0.1) or []

    def msmtp(self, user, to, message, *options):
        """Sends as a person does: msmtp, STARTTLS with a checked certificate, AUTH."""
        rc = os.path.join(self.folder, "msmtprc")
        with open(rc, "w", encoding="ascii") as f:
            f.write("defaults\nhost %s\nport 587\ntls on\ntls_starttls on\ntls_trust_file %s\nauth plain\nuser %s\npassword pw\nfrom %s\naccount default\n"
                    % (self.address, self.tls[0], user, user))
        os.chmod(rc, 0o600)
        return subprocess.run(["ip", "netns", "exec", self.space, "msmtp", "-C", rc, *options, *([to] if isinstance(to, str) else to)],
                              input=message, capture_output=True, text=True, check=False, timeout=120)

    def queue(self, *command):
        done = subprocess.run([self.binary, "queue", command[0], "--data", self.data, *command[1:]],
                              capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr


def field(text, name):
    """The first field of that name, unfolded."""
    found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*((?:.*\r\n[ \t])*.*)\r\n", text)
    return re.sub(rb"\r\n[ \t]+", b" ", found[1]).decode("utf-8", "replace") if found else ""
