#!/usr/bin/env python3
"""ringmail-bench: every mode for a moment against a real server, what --verify finds, and how it is wrong to use it."""
import contextlib
import json
import os
import random
import re
import resource
import signal
import smtplib
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

from harness import RINGMAIL, Server, check, finish, skip, undisturbed, wait_for

BENCH = os.path.join(os.path.dirname(os.path.abspath(RINGMAIL)), "ringmail-bench")
USERS = 8
KEYS = {"mode", "op", "target", "connections", "tls", "rate_wanted", "operations", "seconds", "rate", "errors",
        "error_text", "latency_us", "bytes_in", "bytes_out", "server", "driver", "disk", "verify"}


def bench(*args):
    """Exit status, what was said on standard error, and the figures."""
    p = subprocess.run([BENCH, *map(str, args), "--json", "-", "--quiet"], capture_output=True, text=True, timeout=300)
    return p.returncode, p.stderr, json.loads(p.stdout) if p.stdout.strip() else None


def good(name, figures, count):
    """The figures of a run without errors make sense."""
    code, said, j = figures
    if not check(name, code == 0 and j and j["operations"] == count and j["errors"] == 0, (code, said, j)):
        return j or {}
    q = j["latency_us"]
    check(name + ": figures", KEYS <= j.keys() and q["count"] == count and j["bytes_in"] > 0 and j["bytes_out"] > 0 and
          0 < q["p50"] <= q["p90"] <= q["p99"] <= q["p999"] <= q["max"] and
          abs(j["rate"] * j["seconds"] - count) < count * 0.02 + 1, j)
    return j


def target(s, port):
    return "127.0.0.1:%d" % s.ports[port]


# --- something between driver and server that is not to be trusted ---


class Tamper(socketserver.ThreadingTCPServer):
    """Takes mail by SMTP, one line at a time and in crumbs, and hands it on, but one message as `how` says."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, port, how, old=False):
        self.old = old  # knows only RFC 821
        self.port, self.how, self.count, self.lock = port, how, 0, threading.Lock()
        super().__init__(("127.0.0.1", 0), TamperHandler)

    def deliver(self, rcpts, text):
        with self.lock:
            self.count += 1
            mine = self.count == 5
        if mine and self.how == "lose":
            return
        if mine and self.how == "alter":
            text = text[:-40] + bytes([text[-40] ^ 1]) + text[-39:]
        for _ in range(2 if mine and self.how == "double" else 1):
            with smtplib.SMTP("127.0.0.1", self.port) as m:
                m.sendmail("x@client.test", rcpts, text)


class TamperHandler(socketserver.StreamRequestHandler):
    def say(self, text):
        for i in range(0, len(text), 7):
            self.wfile.write(text[i:i + 7])
            self.wfile.flush()

    def handle(self):
        rcpts = []
        self.say(b"220-hello\r\n220 there\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"EHLO" and self.server.old:
                self.say(b"502 5.5.1 no\r\n")
            elif verb == b"EHLO":
                self.say(b"250-tamper\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n")
            elif verb == b"RCPT":
                rcpts.append(line[line.index(b"<") + 1:line.index(b">")].decode())
                self.say(b"250 2.1.5 yes\r\n")
            elif verb == b"DATA":
                self.say(b"354 go\r\n")
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text += line[1:] if line.startswith(b"..") else line
                self.server.deliver(rcpts, text)
                rcpts = []
                self.say(b"250-2.0.0\r\n250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                self.say(b"221 bye\r\n")
                return
            else:
                self.say(b"250 yes\r\n")


class Hangs(socketserver.ThreadingTCPServer):
    """An IMAP server that hangs up on every connection in the middle of its commands."""
    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HangsHandler)


class HangsHandler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
        try:
            for _ in range(14):
                tag = self.rfile.readline().split(b" ")[0]
                self.wfile.write(b"* 3 EXISTS\r\n" + tag + b" OK done\r\n")
        except OSError:
            pass


class Junk(socketserver.ThreadingTCPServer):
    """Answers everything with octets that mean nothing, the same ones every time."""
    allow_reuse_address = daemon_threads = True

    def __init__(self):
        self.random = random.Random(4)
        super().__init__(("127.0.0.1", 0), JunkHandler)


class JunkHandler(socketserver.BaseRequestHandler):
    WORDS = (b"250 ", b"250-", b"354 x", b"220 hi", b"* OK ", b"* BYE", b"+ ", b"+OK 5 5", b"-ERR", b"b1 OK", b"b2 OK x", b"b3 OK",
             b"* 7 EXISTS", b"* 1 FETCH (BODY[] {5}", b"{99999999999999999999}", b"{3}", b".", b"\0\xff\x80", b" " * 900, b"")

    def handle(self):
        r = self.server.random
        try:
            for _ in range(r.randrange(1, 40)):
                self.request.sendall(b"".join(r.choice(self.WORDS) + r.choice((b"\r\n", b"\r\n", b"\n", b"\r", b""))
                                              for _ in range(r.randrange(1, 9))))
        except OSError:
            pass


class NobodyTook(socketserver.StreamRequestHandler):
    """LMTP that refuses every recipient, and wants the text all the same."""

    def handle(self):
        self.wfile.write(b"220 hello\r\n")
        while line := self.rfile.readline():
            answer = {b"LHLO": b"250-there\r\n250 PIPELINING", b"RCPT": b"550 no", b"DATA": b"354 go",
                      b".\r\n": b"503 nobody"}.get(line[:4].upper(), b"250 yes")
            self.wfile.write(answer + b"\r\n")


class SaysTwice(socketserver.StreamRequestHandler):
    """LMTP with an answer too many: to this command, or to the text of DATA."""
    twice = b""

    def handle(self):
        self.wfile.write(b"220 hello\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go\r\n")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
            self.wfile.write(b"250 yes\r\n" * (2 if word == self.twice else 1))


class OneTooMany(SaysTwice):
    """LMTP that answers a text twice."""
    twice = b"DATA"


class OneAhead(SaysTwice):
    """LMTP that answers MAIL twice."""
    twice = b"MAIL"


class Goes(socketserver.StreamRequestHandler):
    """IMAP that hangs up on who is in IDLE, and lets nobody come again."""
    seen = 0

    def handle(self):
        Goes.seen += 1
        self.wfile.write(b"* OK hello\r\n" if Goes.seen == 1 else b"* BYE no\r\n")
        while Goes.seen == 1 and (line := self.rfile.readline()):
            if b"IDLE" in line:
                self.wfile.write(b"+ idling\r\n")
                time.sleep(0.3)
                return
            self.wfile.write(line.split(b" ")[0] + b" OK done\r\n")


class Unsteady(socketserver.StreamRequestHandler):
    """IMAP that refuses every second login, and now and then hangs up on somebody else then."""
    lock, logins, others = threading.Lock(), 0, []

    def handle(self):
        self.wfile.write(b"* OK hello\r\n")
        while line := self.rfile.readline():
            tag, word = line.split(b" ", 2)[:2]
            if word == b"LOGIN":
                with self.lock:
                    Unsteady.logins += 1
                    turn, other = Unsteady.logins, self.others.pop(0) if Unsteady.logins in (10, 20) else None
                    if turn % 2 == 0:
                        self.others.append(self.connection)
                if other:
                    other.shutdown(socket.SHUT_RDWR)
                if turn % 2:
                    self.wfile.write(tag + b" NO not now\r\n")
                    return
            self.wfile.write(tag + b" OK done\r\n")


class Lists(socketserver.StreamRequestHandler):
    """IMAP with its answers ready: who reads them has ten times its work."""
    ANSWER = b"* 1 A\r\n" * 60000

    def handle(self):
        self.wfile.write(b"* OK hello\r\n")
        while line := self.rfile.readline():
            tag, word = line.split()[:2]
            self.wfile.write((self.ANSWER if word == b"NOOP" else b"") + tag + b" OK done\r\n")
            if word == b"LOGOUT":
                return


class Misled(socketserver.BaseRequestHandler):
    """Between a client and the IMAP server at Misled.port: who logs in as u1 becomes u0."""
    port = 0

    def handle(self):
        with socket.create_connection(("127.0.0.1", Misled.port)) as up:
            threading.Thread(target=self.answers, args=(up,), daemon=True).start()
            try:
                while part := self.request.recv(65536):
                    up.sendall(part.replace(b'LOGIN "u1@', b'LOGIN "u0@'))
            except OSError:
                pass

    def answers(self, up):
        try:
            while part := up.recv(65536):
                self.request.sendall(part)
        except OSError:
            pass


class Slow(socketserver.BaseRequestHandler):
    """Between a client and the server at Slow.port: answers come at 10 KiB a second."""
    port = 0

    def handle(self):
        with socket.create_connection(("127.0.0.1", Slow.port)) as up:
            threading.Thread(target=self.requests, args=(up,), daemon=True).start()
            try:
                while part := up.recv(1024):
                    time.sleep(0.1)
                    self.request.sendall(part)
            except OSError:
                pass

    def requests(self, up):
        try:
            while part := self.request.recv(4096):
                up.sendall(part)
        except OSError:
            pass


def serving(handler):
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # the driver hangs up on it, as it should
    return Serving(server)


class Serving:
    def __init__(self, server):
        self.server = server

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return "127.0.0.1:%d" % self.server.server_address[1]

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


class Sink:
    """ringmail-bench sink on a port of its choice; .figures once it has been stopped."""

    def __init__(self, *args):
        self.args, self.figures = list(map(str, args)), None

    def __enter__(self):
        self.proc = subprocess.Popen([BENCH, "sink", "--listen", "127.0.0.1:0", "--json", "-", *self.args],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self.proc.stderr.readline().split()[-1]

    def __exit__(self, *exc):
        self.proc.send_signal(signal.SIGINT)
        out, self.said = self.proc.communicate(timeout=60)
        self.code = self.proc.returncode
        self.figures = json.loads(out) if out.strip() else {}


# --- tests ---


def progress(run, pattern):
    """What a run says on standard error until the pattern is in it, or it ends."""
    seen = ""
    while not re.search(pattern, seen) and (c := run.stderr.read(1)):
        seen += c
    return seen


def test_usage():
    for args, words in (((), ("mode",)), (("smtp",), ("--to",)), (("smtp", "--to", "x"), ("--to x", "127.0.0.1:25")),
                        (("smtp", "--to", "127.0.0.1:1", "--recipients", "2"), ("--recipients 2", "--user-count 2")),
                        (("imap", "--to", "127.0.0.1:1", "--verify", "127.0.0.1:1"), ("--verify", "--op append")),
                        (("idle", "--to", "127.0.0.1:1", "--deliver", "127.0.0.1:2", "--connections", "2"),
                         ("--connections 2", "--user-count 2")),
                        (("smtp", "--to", "127.0.0.1:1", "--server-pid", "2000000000"), ("--server-pid 2000000000",)),
                        (("smtp", "--to", "127.0.0.1:1", "--server-data", "/nonexistent"), ("/nonexistent",)),
                        (("smtp", "--to", "127.0.0.1:1", "--server-cgroup", "/tmp"), ("--server-cgroup /tmp",)),
                        (("smtp", "--to", "127.0.0.1:1", "--mail", "/nonexistent"), ("--mail /nonexistent",))):
        p = subprocess.run([BENCH, *args], capture_output=True, text=True, timeout=60)
        check("bad usage: %s" % " ".join(args), p.returncode == 64 and p.stderr.count("\n") == 1 and
              all(w in p.stderr for w in words), (p.returncode, p.stderr))
    p = subprocess.run([BENCH, "--help"], capture_output=True, text=True, timeout=60)
    check("help", p.returncode == 0 and all(w in p.stdout for w in ("mixed", "--verify", "--rate", "Exit status")))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = "127.0.0.1:%d" % nobody.getsockname()[1]
        code, said, _ = bench("smtp", "--to", place, "--count", 3)
        check("nobody listens", code == 1 and place + ": " in said and "refused" in said, (code, said))
        for flag in ("--json", "--csv"):
            p = subprocess.run([BENCH, "smtp", "--to", place, flag, "/nonexistent/x"], capture_output=True, text=True, timeout=60)
            check("%s that can't be written is told of before the run" % flag, p.returncode == 64 and
                  p.stderr.count("\n") == 1 and flag + " /nonexistent/x" in p.stderr, (p.returncode, p.stderr))
    for flag, most in (("--password", 256), ("--from", 254)):
        p = subprocess.run([BENCH, "submission", "--to", "127.0.0.1:1", flag, "x" * (most + 1)], capture_output=True,
                           text=True, timeout=60)
        check("%s too long" % flag, p.returncode == 64 and flag in p.stderr and str(most) in p.stderr, (p.returncode, p.stderr))
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("a@example.test:" + "x" * 257 + "\n")
        f.flush()
        p = subprocess.run([BENCH, "pop3", "--to", "127.0.0.1:1", "--users-file", f.name], capture_output=True, text=True, timeout=60)
        check("a password too long in a file", p.returncode == 64 and "too long" in p.stderr, (p.returncode, p.stderr))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    p = subprocess.run([BENCH, "smtp", "--to", "127.0.0.1:1", "--connections", "200"], capture_output=True, text=True,
                       timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300)))
    check("too few descriptors", p.returncode == 64 and "--connections 200:" in p.stderr and "464" in p.stderr and
          "300" in p.stderr and resource.getrlimit(resource.RLIMIT_NOFILE) == limit, (p.returncode, p.stderr))


def test_senders(s):
    common = ("--user-count", USERS, "--count", 40, "--connections", 4, "--verify", target(s, "imap"))
    j = good("smtp", bench("smtp", "--to", target(s, "smtp"), "--server-pid", s.proc.pid, "--server-data",
                            s.data, *common), 40)
    check("smtp: all is there", j["verify"]["expected"] == j["verify"]["found"] == 40, j["verify"])
    disk = "/sys/dev/block/%d:%d" % (os.major(os.stat(s.data).st_dev), os.minor(os.stat(s.data).st_dev))
    disk += "/.." if os.path.exists(disk + "/partition") else ""
    if j["disk"] and check("smtp: the disk is seen", j["disk"]["writes"] > 0 and j["disk"]["bytes_written"] > 0, j["disk"]):
        with open(disk + "/queue/fua", encoding="ascii") as f:
            check("smtp: and what its flushes mean", j["disk"]["fua"] == (f.read().strip() == "1"), j["disk"])
    check("smtp: the server is seen", j["server"]["cpu_us_per_op"] > 0 and j["server"]["memory_bytes"] > 0 and
          isinstance(j["server"]["memory_per_connection"], (int, float)) and
          abs(j["server"]["memory_per_op"]) * 40 < j["server"]["memory_bytes"], j["server"])
    check("smtp: connections are kept", j["connects"] == 4, j)
    j = good("smtp, one-shot, no pipelining, 3 recipients, sizes", bench(
        "smtp", "--to", target(s, "smtp"), "--per-connection", 1, "--pipeline", "no", "--recipients", 3, "--size",
        "500:5,2K-9K:3,100K:1", "--threads", 2, *common), 40)
    check("recipients are expected", j["verify"]["expected"] == 120 and j["connects"] == 40, j)
    good("smtp, STARTTLS", bench("smtp", "--to", target(s, "smtp"), "--tls", "starttls", *common), 40)
    j = good("submission, TLS resumed", bench("submission", "--to", target(s, "submissions"), "--tls", "implicit",
                                              "--tls-resume", "yes", "--per-connection", 2, *common), 40)
    check("sessions are resumed", j["handshakes"] >= 20 and j["resumed"] == j["handshakes"] - 4, j)
    good("lmtp", bench("lmtp", "--to", target(s, "lmtp"), "--recipients", 2, *common), 40)
    with tempfile.TemporaryDirectory() as folder:
        for i, text in enumerate((b"Subject: a\n\n.\n..x\nend", b"Subject: b\r\n\r\n" + b"\xff" * 500 + b"\r\n")):
            with open(os.path.join(folder, "%d.eml" % i), "wb") as f:
                f.write(text)
        good("real mail", bench("smtp", "--to", target(s, "smtp"), "--mail", folder, *common), 40)
    j = good("append", bench("imap", "--op", "append", "--pipeline", 8, "--mailbox", "Archive", "--to", target(s, "imap"), *common), 40)
    check("append: all is there", j["verify"]["expected"] == j["verify"]["found"] == 40, j["verify"])
    good("append, synchronizing", bench("imap", "--op", "append", "--pipeline", "no", "--size", "20K", "--to",
                                        target(s, "imap"), *common), 40)


def test_readers(s):
    common = ("--user-count", USERS, "--count", 40, "--connections", 4)
    for op in ("login", "noop", "select", "flags", "envelope", "body", "range", "store", "search", "status"):
        good("imap " + op, bench("imap", "--op", op, "--to", target(s, "imap"), *common), 40)
    good("imap, 8 under way, TLS", bench("imap", "--op", "body", "--pipeline", 8, "--tls", "implicit", "--to",
                                         target(s, "imaps"), *common), 40)
    code, said, j = bench("imap", "--op", "body", "--mailbox", "Drafts", "--to", target(s, "imap"), *common)
    check("an empty mailbox is an error", code == 1 and j["operations"] == 0 and "empty" in j["error_text"], j)
    j = good("pop3", bench("pop3", "--retr", 3, "--to", target(s, "pop3"), *common), 40)
    check("pop3: messages are read", j["bytes_in"] > 40 * 3 * 500, j)
    good("pop3, STLS, 4 under way", bench("pop3", "--tls", "starttls", "--pipeline", 4, "--to", target(s, "pop3"), *common), 40)
    good("login imap", bench("login", "--tls", "starttls", "--to", target(s, "imap"), *common), 40)
    good("login pop3", bench("login", "--protocol", "pop3", "--to", target(s, "pop3"), *common), 40)
    code, said, j = bench("login", "--password", "wrong", "--count", 2, "--to", target(s, "imap"))
    for mode, port in (("imap", "imap"), ("submission", "submission"), ("login --protocol pop3", "pop3")):
        code, said, k = bench(*mode.split(), "--password", "wrong", "--count", 2, "--to", target(s, port))
        check("who is refused is named: %s" % mode, code == 1 and "u0@example.test: " in (k["error_text"] if k else said), (said, k))
    check("a refused login is an error, with the server's words",
          code == 1 and j["errors"] == 2 and "NO" in j["error_text"], j)


def test_idle(s):
    common = ("--user-count", USERS, "--connections", USERS, "--to", target(s, "imap"))
    code, said, j = bench("idle", "--time", "0.3", "--server-pid", s.proc.pid, *common)
    check("idle connections are held", code == 0 and j["connects"] == USERS and j["errors"] == 0 and
          "memory_per_connection" in j["server"], j)
    j = good("idle, by SMTP", bench("idle", "--deliver", target(s, "smtp"), "--count", 40, "--verify",
                                    target(s, "imap"), *common), 40)
    check("idle: all is there", j["verify"]["found"] == 40 and j["steps_us"]["answer"]["count"] == 40, j)
    good("idle, by LMTP, two threads", bench("idle", "--deliver", target(s, "lmtp"), "--deliver-protocol", "lmtp",
                                             "--threads", 2, "--count", 40, *common), 40)
    j = good("mixed", bench("mixed", "--deliver", target(s, "smtp"), "--count", 200, "--verify", target(s, "imap"), *common), 200)
    check("mixed: all is or was there", j["verify"]["found"] == j["verify"]["expected"] == 200, j["verify"])
    steps = {k: v["count"] for k, v in j["steps_us"].items()}
    check("mixed: each step is seen", steps["deliver"] == steps["push"] == steps["headers"] == steps["read"] ==
          steps["flag"] == steps["idle"] == 200 and steps["search"] > 0 and steps["expunge"] > 0, steps)


def test_open_loop(s):
    j = good("open loop", bench("smtp", "--to", target(s, "smtp"), "--user-count", USERS, "--connections", 4, "--rate",
                                200, "--count", 60), 60)
    check("it is not faster than was wanted", j["seconds"] > 59 / 200 * 0.99 and j["rate_wanted"] == 200, j)
    good("open loop, poisson, threads", bench("imap", "--op", "noop", "--to", target(s, "imap"), "--connections", 4,
                                              "--threads", 2, "--rate", 300, "--arrival", "poisson", "--count", 60), 60)
    # One connection, a message due every 10 ms, an answer after 50 ms at the earliest: the last of 20 waits for those
    # before it, and that has to be seen.
    with Sink("--delay", "50ms") as sink:
        j = good("a slow server", bench("smtp", "--to", sink, "--rate", 100, "--count", 20), 20)
    q = j["latency_us"]
    check("time in the queue counts", q["max"] > 10 * 50e3 and q["p50"] > 4 * 50e3 and j["driver"]["late"] >= 15, j)


def limited(*args, prepare=None):
    """What a run says of its driver; its own rule holds for its own figures, and those for what the process used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    p = subprocess.run([BENCH, *map(str, args), "--json", "-", "--quiet"], capture_output=True, text=True, timeout=300,
                       preexec_fn=prepare)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    j = json.loads(p.stdout)
    d, cpu_s = j["driver"], after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    busy, waited = d["busy_percent"], d["waited_percent"]
    if abs(busy - 90) > 0.1 and abs(busy + waited - 90) > 0.1:  # they are rounded
        check("the limit follows from busy and waiting", d["limit"] == (
            "driver" if busy >= 90 else "cpus" if busy + waited >= 90 else "none"), d)
    check("the driver used what it says", j["errors"] == 0 and busy / 100 * j["seconds"] < cpu_s * 1.1 + 0.02, (j, cpu_s))
    check("a bottleneck is the limit", d["bottleneck"] == (d["limit"] == "driver"), d)
    return d


@contextlib.contextmanager
def before_others():
    """Lets what is begun in it have CPUs to itself, for a moment, where that is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_limit(s):
    d = limited("imap", "--op", "noop", "--to", target(s, "imap"), "--rate", 5, "--time", 2)
    check("a driver with little to do is no limit", d["limit"] == "none", d)
    full, cpu = ("imap", "--op", "noop", "--connections", 4), min(os.sched_getaffinity(0))

    def beside():
        os.sched_setaffinity(0, {cpu})
        os.nice(10)

    if os.path.exists("/proc/thread-self/schedstat"):
        burner = subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        with serving(Lists) as place:
            d = undisturbed(lambda: limited(*full, "--to", place, "--time", 1, prepare=beside), lambda d: d["limit"] == "cpus")
        burner.kill()
        burner.wait()
        check("a driver whose CPU another one uses blames the CPUs", d["limit"] == "cpus" and d["busy_percent"] < 50, d)
    else:
        skip("a driver whose CPU another one uses blames the CPUs", "no schedstat here")
    for _ in range(3):
        with before_others(), serving(Lists) as place:
            d = limited(*full, "--to", place, "--time", 0.3)
        if d["busy_percent"] > 90.1:
            check("a driver that uses up a CPU says so", d["limit"] == "driver", d)
            break
    else:
        skip("a driver that uses up a CPU says so", "others use the CPUs: %s" % d)


def test_verify(s):
    for how, field in (("lose", "missing"), ("double", "twice"), ("alter", "different"), (None, None)):
        with Serving(Tamper(s.ports["smtp"], how)) as proxy:
            code, said, j = bench("smtp", "--to", proxy, "--user-count", USERS, "--count", 10, "--connections", 2,
                                  "--verify", target(s, "imap"), "--verify-wait", 0)
        wrong = {k: j["verify"][k] for k in ("missing", "twice", "different")}
        want = {k: int(k == field) for k in wrong}
        check("verify: %s" % (how or "nothing wrong"),
              wrong == want and code == (1 if how else 0) and j["verify"]["expected"] == 10, (code, j))
    with Serving(Tamper(s.ports["smtp"], None, old=True)) as proxy:
        good("a server without EHLO", bench("smtp", "--to", proxy, "--user-count", USERS, "--recipients", 2, "--count", 10,
                                            "--connections", 2, "--size", "300-3K", "--verify", target(s, "imap")), 10)
        for mode, more in (("submission", ()), ("smtp", ("--tls", "starttls"))):
            code, said, j = bench(mode, "--to", proxy, "--count", 1, *more)
            check("without EHLO no %s" % (more or mode)[-1], code == 1 and "502" in said, (code, said))
    Misled.port = Slow.port = s.ports["imap"]
    for count, wrong in ((1, 0), (2, 5)):
        with serving(Misled) as proxy:
            code, said, j = bench("imap", "--op", "append", "--to", proxy, "--user-count", count, "--connections", count, "--threads",
                                  count, "--count", 5 * count, "--verify", target(s, "imap"), "--verify-wait", 0)
        check("verify: append, %d of %d at another user" % (wrong, 5 * count), code == (1 if wrong else 0) and
              j["verify"]["different"] == wrong and j["verify"]["expected"] == 5 * count, (code, j))
    for how, different in (("alter", 1), (None, 0)):
        with Serving(Tamper(s.ports["smtp"], how)) as proxy:
            code, said, j = bench("mixed", "--to", target(s, "imap"), "--deliver", proxy, "--user-first", USERS + different, "--count",
                                  50, "--verify", target(s, "imap"), "--verify-wait", 0)
        check("verify: mixed, %s" % (how or "nothing wrong"), code == different and j["operations"] == 50 and
              j["steps_us"]["expunge"]["count"] == 1 and j["verify"]["different"] == different and
              j["verify"]["found"] == j["verify"]["expected"] == 50, (code, j))
    with serving(Slow) as slow:
        code, said, j = undisturbed(lambda: bench("smtp", "--to", target(s, "smtp"), "--user-first", USERS + 1, "--count", 60,
                                                  "--verify", slow, "--timeout", "6s"),
                                    lambda result: result[0] == 0)
    check("verify: a mailbox may take longer than an operation", code == 0 and j["verify"]["found"] == 60, (code, j))
    with Sink() as sink:
        code, said, j = bench("smtp", "--to", sink, "--user-count", USERS, "--count", 10, "--verify",
                              target(s, "imap"), "--verify-wait", 0)
    check("verify: all lost", code == 1 and j["verify"]["missing"] == 10 and j["verify"]["found"] == 0, j)
    code, said, j = bench("smtp", "--to", target(s, "smtp"), "--user-count", USERS, "--count", 10, "--password", "wrong",
                          "--verify", target(s, "imap"), "--verify-wait", 0)
    check("verify: mail that can't be read proves nothing", code == 1 and j["verify"]["error_text"], j)


def test_sink():
    sink = Sink()
    with sink as place:
        good("into a sink", bench("smtp", "--to", place, "--user-count", 3, "--recipients", 3, "--count", 50,
                                  "--connections", 5, "--size", "100K"), 50)
        good("into a sink by LMTP", bench("lmtp", "--to", place, "--user-count", 3, "--recipients", 3, "--count", 50,
                                          "--per-connection", 1), 50)
    f = sink.figures
    check("a sink counts", sink.code == 0 and f["operations"] == 100 and f["recipients"] == 300 and f["connects"] == 55, f)
    with Sink("--answer", "451", "--answer-percent", "10") as place:
        code, said, j = bench("smtp", "--to", place, "--count", 100, "--connections", 4)
    check("a sink refuses a share", code == 1 and j["errors"] == 10 and j["operations"] == 90 and
          j["error_text"].startswith("451"), j)
    with Sink("--answer", "421", "--answer-percent", "50") as place:
        code, said, j = bench("smtp", "--to", place, "--count", 20, "--connections", 2)
    check("who is hung up on comes again", j["errors"] == 10 and j["operations"] == 10, j)
    sink = Sink("--count", 7)
    with sink as place:
        good("to the last one", bench("smtp", "--to", place, "--count", 7), 7)
        wait_for(lambda: sink.proc.poll() is not None)
    check("a sink ends by count", sink.code == 0 and sink.figures["operations"] == 7, sink.figures)
    sink = Sink("--delay", "100ms")
    with sink as place:
        load = subprocess.Popen([BENCH, "smtp", "--to", place, "--connections", "32", "--time", "300", "--progress", "yes"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seen = progress(load, r"(6[5-9]|[7-9]\d|\d{3,}) operations")
    load.terminate()
    load.communicate()
    check("a sink ends while mail comes and answers are due", sink.code == 0 and sink.figures["operations"] > 64, (seen, sink.figures))
    with tempfile.NamedTemporaryFile() as f:
        p = subprocess.run([BENCH, "sink", "--listen", "unix:" + f.name, "--time", "1"], capture_output=True, text=True, timeout=60)
        check("a sink removes no file", p.returncode == 64 and os.path.exists(f.name) and f.name in p.stderr, (p.returncode, p.stderr))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limit[1]))
    sink = Sink()
    with sink as place:
        soft, hard = resource.prlimit(sink.proc.pid, resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    check("a sink takes as many descriptors as it may have", soft == hard > 128, (soft, hard))


def test_output(s):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "figures.csv")
        for _ in range(2):
            p = subprocess.run([BENCH, "smtp", "--to", target(s, "smtp"), "--count", "5", "--csv", path, "--json",
                                os.path.join(folder, "j"), "--progress", "yes"], capture_output=True, text=True, timeout=60)
            check("a report in words", p.returncode == 0 and "p99" in p.stdout and "5 in " in p.stdout, p)
        with open(path, encoding="ascii") as f:
            rows = [line.rstrip("\n").split(",") for line in f]
        check("CSV: one line of headings, a row a run", len(rows) == 3 and len({len(r) for r in rows}) == 1 and
              rows[0][0] == "mode" and rows[1][rows[0].index("operations")] == "5", rows)
        with open(os.path.join(folder, "j"), encoding="ascii") as f:
            check("JSON in a file", json.load(f)["operations"] == 5)
    p = subprocess.Popen([BENCH, "imap", "--to", target(s, "imap"), "--time", "300", "--json", "-", "--quiet",
                          "--progress", "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = progress(p, "operations")
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=60)
    check("progress is shown, and an interrupt ends it with a report",
          "operations" in seen and p.returncode == 0 and json.loads(out)["operations"] > 0, (seen, out))


def outlives():
    """Exit status and figures of a driver whose server is killed when it has begun."""
    with Server(users=USERS) as s:
        load = subprocess.Popen([BENCH, "imap", "--to", target(s, "imap"), "--rate", "100", "--time", "3", "--json", "-", "--quiet",
                                 "--progress", "yes", "--server-pid", str(s.proc.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        progress(load, r"[1-9]\d* operations")
        s.kill()
        out, _ = load.communicate(timeout=60)
    return load.returncode, json.loads(out)


def test_end_of_server():
    code, j = undisturbed(outlives, lambda result: result[1]["driver"]["not_begun"] > 100)
    check("of a server that ends nothing is made up", code == 1 and j["server"] is None and j["errors"] > 0, j)
    check("what was due after its end was not begun", 280 <= j["operations"] + j["driver"]["not_begun"] <= 300 and
          j["driver"]["not_begun"] > 100, j)


def interrupted(words, *args):
    """Exit status and report of a run that is interrupted once its progress line says `words`; None: it never does."""
    p = subprocess.Popen([BENCH, *map(str, args), "--progress", "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = progress(p, re.escape(words))
    p.send_signal(signal.SIGINT)
    out, said = p.communicate(timeout=120)
    return (p.returncode, out + said) if words in seen else (None, seen)


def cgroup2():
    """A new control group of version 2, or None and why there is none."""
    with open("/proc/mounts", encoding="ascii") as f:
        top = next((l.split()[1] for l in f if l.split()[2] == "cgroup2"), None)
    if not top:
        return None, "cgroup v2 is not mounted"
    try:
        return tempfile.mkdtemp(prefix="bench-test-", dir=top), ""
    except OSError as e:
        return None, "no control group can be made: %s" % e


def test_cgroup():
    group, why = cgroup2()
    if not group:
        skip("figures of a control group", why)
        return
    with tempfile.TemporaryDirectory() as folder:
        inside = os.path.join(folder, "ringmail")
        with open(inside, "w", encoding="ascii") as f:
            f.write('#!/bin/sh\necho $$ >%s/cgroup.procs && exec %s "$@"\n' % (group, os.path.abspath(RINGMAIL)))
        os.chmod(inside, 0o755)
        with Server(users=USERS, binary=inside) as s:
            pid = s.proc.pid
            clock = (~pid << 3) | 2  # of all its threads: clock_getcpuclockid(3)
            common = ("imap", "--op", "status", "--to", target(s, "imap"), "--user-count", USERS, "--connections", 4, "--count", 3000)
            s.memory()  # what it takes after it listens costs CPU, too
            before = time.clock_gettime(clock)
            j = good("a control group", bench(*common, "--server-cgroup", group), 3000)["server"]
            whole = time.clock_gettime(clock) - before
            check("its CPU is that of the process, without logins", 0.5 * whole < j["cpu_seconds"] < 1.02 * whole and
                  0.98 < (j["user_us_per_op"] + j["system_us_per_op"]) / j["cpu_us_per_op"] < 1.02, (j, whole))
            k = good("the same by pid", bench(*common, "--server-pid", pid), 3000)["server"]
            check("the group and the process agree", 0.4 < j["cpu_us_per_op"] / k["cpu_us_per_op"] < 2.5 and
                  0.4 < j["memory_bytes"] / k["memory_bytes"] < 2.5, (j, k))
    os.rmdir(group)


def test_silence():
    with socket.socket() as silent, Sink() as sink:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        place = "127.0.0.1:%d" % silent.getsockname()[1]
        code, said = interrupted("0 of 6 connections are set up, 0 errors", "imap", "--to", place, "--connections", 6, "--threads", 2)
        check("the set-up shows its progress", code == 1 and "interrupted" in said, (code, said))
        code, said = interrupted("0 of 3 mailboxes read back", "smtp", "--to", sink, "--user-count", 3, "--count", 9, "--verify", place)
        check("reading back shows its progress, and an interrupt ends it", code == 1 and "interrupted" in said, (code, said))
        code, said, j = bench("smtp", "--to", place, "--count", 2, "--timeout", "0.3s", "--per-connection", 1)
    check("silence is an error in time", code == 1 and j["errors"] == 2 and "--timeout" in j["error_text"], (said, j))


def test_bad_servers():
    with Serving(Hangs()) as place:
        code, said, j = bench("imap", "--to", place, "--pipeline", 8, "--connections", 2, "--count", 100)
    check("what was under way is lost, and counted", code == 1 and j["operations"] + j["errors"] == 100 and
          j["operations"] >= 50 and j["errors"] > j["connects"] and "closed" in j["error_text"], j)
    for handler, want in ((NobodyTook, "354"), (OneTooMany, "250"), (OneAhead, "250")):
        with serving(handler) as place:
            code, said, j = bench("lmtp", "--to", place, "--count", 3, "--rate", 20, "--timeout", 20)
        check("LMTP: %s" % handler.__doc__, code == 1 and j["errors"] > 0 and j["error_text"].startswith(want) and
              j["seconds"] < 10, (said, j))
    def nobody_left():
        Goes.seen = 0
        with serving(Goes) as place, Sink() as sink:
            return bench("idle", "--to", place, "--deliver", sink, "--time", 1)
    code, said, j = undisturbed(nobody_left, lambda result: result[2]["errors"] > 3)
    check("nobody is left who waits for mail: errors, but not without end", code == 1 and 3 < j["errors"] < 100, (said, j))
    with serving(Unsteady) as place:
        code, said, j = bench("imap", "--to", place, "--connections", 16, "--count", 400)
    check("all connections are there before the run", code == 1 and j["operations"] == 400 and j["connects"] >= 32 and
          j["errors"] == j["connects"] - 16, j)
    with Serving(Junk()) as place:
        for mode in ("smtp", "submission", "lmtp", "imap", "pop3", "login"):
            for tls in ("none", "starttls") + (("implicit",) if mode != "lmtp" else ()):
                p = subprocess.run([BENCH, mode, "--to", place, "--tls", tls, "--count", "30", "--connections", "3",
                                    "--per-connection", "1", "--timeout", "0.5s"], capture_output=True, text=True, timeout=120)
                check("junk: %s, TLS %s" % (mode, tls), p.returncode == 1 and "first error" in p.stdout, p)


test_usage()
test_silence()
test_bad_servers()
test_sink()
test_end_of_server()
test_cgroup()
with Server(users=USERS + 2) as server:
    test_senders(server)
    test_readers(server)
    test_idle(server)
    test_open_loop(server)
    test_limit(server)
    test_verify(server)
    test_output(server)
finish()
