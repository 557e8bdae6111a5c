"""The small frame of every end-to-end test: a real server on free loopback ports, and checks.

    from harness import Server, check, skip, finish

    with Server(users=2) as s:          # u0@example.test .. , password "pw"
        m = s.imap("u0@example.test")   # imaplib, logged in
        check("inbox is empty", m.select()[1] == [b"0"])
    finish()                            # prints "N passed, N failed, N skipped" and exits

RINGMAIL is the executable (default build/release/ringmail). A Server ends what it started,
by pid; its store lies in a temporary folder that goes with it. s.stop() demands exit
status 0 and no sanitizer report in the log.
"""
import concurrent.futures
import fcntl
import imaplib
import itertools
import json
import os
import poplib
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RINGMAIL = os.environ.get("RINGMAIL") or os.path.join(TOP, "build", "release", "ringmail")
RELEASE = os.environ.get("RINGMAIL_RELEASE") or RINGMAIL
SHARED = os.environ.get("RINGMAIL_SHARED", "")
LONG = os.environ.get("RINGMAIL_LONG", "0") == "1"
DOMAIN = "example.test"
LISTENERS = ("smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps")
PORT_BLOCK = 400
imaplib._MAXLINE = 100_000_000
_lock = threading.Lock()
_ports = []  # the lock of this process's block of them, and the block
_counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, good, detail=""):
    with _lock:
        _counts["passed" if good else "failed"] += 1
        print(("ok " if good else "not ok ") + name + (" -- %s" % (detail,) if detail and not good else ""), flush=True)
    return good


def skip(name, why):
    _counts["skipped"] += 1
    print("skip %s -- %s" % (name, why), flush=True)


def side_by_side(tests, at_once=3):
    """Runs tests that have servers of their own and spend their time waiting."""
    def run(test):
        print("# " + test.__name__, flush=True)
        try:
            test()
        except Exception:
            check(test.__name__ + " comes to its end", False, traceback.format_exc())
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, tests))


def finish():
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % _counts)
    sys.exit(1 if _counts["failed"] or not (_counts["passed"] or _counts["skipped"]) else 0)


def port_block():
    """Ports that belong to this process as long as it runs, by a lock: no other test takes those of a server that is about
    to start, or is down between two lives. They lie below those that the kernel gives to outgoing connections."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low = int(f.read().split()[0])
    folder = os.path.join(tempfile.gettempdir(), "ringmail-test-ports-%d" % os.getuid())
    os.makedirs(folder, exist_ok=True)
    firsts = list(range(10_000, low - PORT_BLOCK + 1, PORT_BLOCK))
    random.SystemRandom().shuffle(firsts)
    for first in firsts:
        lock = open(os.path.join(folder, str(first)), "w", encoding="ascii")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, itertools.cycle(range(first, first + PORT_BLOCK))
        except OSError:
            lock.close()
    return None, itertools.repeat(0)  # then any will do


def free_ports(count):
    """Ports nobody listens on; all are held until all are known, so they differ."""
    with _lock:
        _ports.extend(() if _ports else port_block())
        socks = []
        while len(socks) < count:
            s = socket.socket()
            try:
                s.bind(("127.0.0.1", next(_ports[1])))
                socks.append(s)
            except OSError:
                s.close()
        ports = [s.getsockname()[1] for s in socks]
        for s in socks:
            s.close()
    return ports


def wait_for(condition, seconds=30.0, step=0.02):
    """What the condition gives once that is true; what it gives last after so many seconds. They are counted by their steps:
    while the machine stands still, none pass; but ten times as many of the clock are the end."""
    left, end = round(seconds / step), time.monotonic() + 10 * seconds
    while not (value := condition()) and left > 0 and time.monotonic() < end:
        time.sleep(step)
        left -= 1
    return value


class Standstill:
    """How long the machine stands still: what short sleeps take beyond their time, added up.

        with Standstill() as still:
            ...
            check("it ends in time", took < 9 + still.seconds)
    """

    def __init__(self):
        self.seconds, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        begin = time.monotonic()
        while not self.ended.wait(0.05):
            now = time.monotonic()
            self.seconds += max(0.0, now - begin - 0.1)
            begin = now

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.thread.join()


def undisturbed(run, good, tries=5):
    """What run() returns, which is about moments: once more when that is not good and the machine stood still meanwhile."""
    for _ in range(tries):
        with Standstill() as still:
            result = run()
        if good(result) or still.seconds < 0.2:
            break
    return result


def certificate(folder):
    """A self-signed P-256 certificate for localhost: paths of certificate and key."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


class Server:
    def __init__(self, users=2, flags=(), shards=2, threads=2, tls=True, plaintext=True, binary=None, env=None,
                 names=None, folder=None):
        self.own = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="ringmail-test-")
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "log")
        self.binary = binary or RINGMAIL
        self.flags, self.shards, self.threads, self.env = list(flags), shards, threads, dict(os.environ, **(env or {}))
        self.users = names or ["u%d@%s" % (i, DOMAIN) for i in range(users)]
        os.makedirs(self.data, exist_ok=True)
        self.users_file = os.path.join(self.data, "users")
        with open(self.users_file, "w", encoding="utf-8") as f:
            f.writelines("%s:{PLAIN}pw\n" % u for u in self.users)
        os.chmod(self.users_file, 0o600)
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.tls = certificate(self.folder) if tls else None
        self.plaintext, self.proc, self.settled = plaintext, None, False

    def command(self):
        c = [self.binary, "serve", "--data", self.data, "--hostname", "mail." + DOMAIN, "--domain", DOMAIN,
             "--users", self.users_file, "--shards", str(self.shards), "--threads", str(self.threads)]
        for name in LISTENERS:
            if self.tls or name not in ("submissions", "pop3s", "imaps"):
                c += ["--" + name, "127.0.0.1:%d" % self.ports[name]]
        if self.tls:
            c += ["--tls-cert", self.tls[0], "--tls-key", self.tls[1]]
        if self.plaintext:
            c += ["--allow-plaintext", "127.0.0.0/8"]
        return c + self.flags

    def start(self, seconds=60):
        self.settled = False
        before = len(self.log_text()) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        if not wait_for(lambda: self.proc.poll() is not None or self.ready(before), seconds) or self.proc.poll() is not None:
            text = self.log_text()[-4000:]
            self.kill()
            raise RuntimeError("the server did not start:\n" + text)
        return self

    def ready(self, before):
        """What a start says is in the log then, which had before characters."""
        return " ready " in self.log_text()[before:] and self.answers()

    def answers(self):
        try:
            for name in ("smtp", "imap"):
                with socket.create_connection(("127.0.0.1", self.ports[name]), 2) as s:
                    s.settimeout(5)
                    if not s.recv(1):
                        return False
            return True
        except OSError:
            return False

    def stop(self, seconds=60):
        """SIGTERM; checks exit status 0 and a log without sanitizer reports."""
        if not self.proc:
            return
        self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            check("the server stops on SIGTERM", False, self.log_text()[-2000:])
            return
        self.proc = None
        text = self.log_text()
        bad = re.search(r"(AddressSanitizer|UndefinedBehavior|runtime error|ThreadSanitizer|LeakSanitizer|check-failed)[^\n]*", text)
        if code or bad:
            check("clean stop", False, "exit %s %s\n%s" % (code, bad and bad[0], text[-6000:]))

    def kill(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
            self.proc = None

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- clients ---

    def context(self):
        c = ssl.create_default_context(cafile=self.tls[0])
        return c

    def raw(self, name, seconds=20):
        """A plain socket to a port, as a file: r.sock, r.readline(), r.write(b"..."), r.flush()."""
        s = socket.create_connection(("127.0.0.1", self.ports[name]), seconds)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        f = s.makefile("rwb")
        f.sock = s
        return f

    def imap(self, user=None, password="pw", tls=False):
        if tls:
            m = imaplib.IMAP4_SSL("localhost", self.ports["imaps"], ssl_context=self.context())
        else:
            m = imaplib.IMAP4("127.0.0.1", self.ports["imap"])
        if user:
            m.login(user, password)
        return m

    def pop3(self, user=None, password="pw"):
        p = poplib.POP3("127.0.0.1", self.ports["pop3"], timeout=30)
        if user:
            p.user(user)
            p.pass_(password)
        return p

    def smtp(self):
        s = smtplib.SMTP("127.0.0.1", self.ports["smtp"], timeout=60)
        s.ehlo("client.test")
        return s

    def send(self, to, message, sender="sender@client.test"):
        with self.smtp() as s:
            return s.sendmail(sender, to, message)

    # --- the process ---

    def stat(self):
        """What the running server counts: the object that `ringmail stat --json` prints."""
        done = subprocess.run([self.binary, "stat", "--data", self.data, "--json"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    def memory(self):
        """Resident bytes without shared file pages (RssAnon). First waits until the server has taken the memory that
        it takes after it listens (store_fill_recent())."""
        now, steady = self.resident(), 0
        for _ in range(200):
            if self.settled or steady == 4:
                break
            time.sleep(0.25)
            before, now = now, self.resident()
            steady = steady + 1 if now - before < 1 << 20 else 0
        self.settled = True
        return now

    def resident(self):
        with open("/proc/%d/status" % self.proc.pid, encoding="ascii") as f:
            return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1]) * 1024

    def cpu_seconds(self):
        """User and system CPU time of the process so far: clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.proc.pid << 3) | 2)
