"""LMTP (RFC 2033) on TCP and on a socket file: an answer for each recipient, nothing queued."""
import os
import socket
import stat
import subprocess
import tempfile

from harness import DOMAIN, Server, check, finish
from smtp_client import FROM, U0, U1, Smtp, kept, mail, stored, token

U2 = "u2@" + DOMAIN


class Lmtp(Smtp):
    def __init__(self, server, path=None):
        if path:
            self.server, self.buffer = server, b""
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(20)
            self.sock.connect(path)
            self.greeting = self.reply()
        else:
            super().__init__(server, "lmtp", hello=False)
        code, self.offers = self.cmd(b"LHLO client.test\r\n")
        check("LHLO", code == 250)

    def begin(self, *rcpts):
        return [self.code(FROM)] + [self.code(b"RCPT TO:<%s>\r\n" % r.encode()) for r in rcpts]

    def codes(self, count):
        return [self.reply()[0] for _ in range(count)]


def words(s):
    c = Lmtp(s)
    check("greeting", " LMTP " in c.greeting[1], c.greeting)
    offers = {line[4:].split()[0] for line in c.offers.splitlines()[1:]}
    check("what RFC 2033, 5 wants is offered", {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= offers, offers)
    check("nothing that needs a queue", not offers & {"DSN", "AUTH", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY", "BINARYMIME"}, offers)
    check("BODY=BINARYMIME neither", c.code(FROM[:-2] + b" BODY=BINARYMIME\r\n") == 501 and c.in_step())
    check("EHLO and HELO: 500 (RFC 2033, 4.1)", [c.code(b"EHLO x\r\n"), c.code(b"HELO x\r\n")] == [500, 500])
    check("LHLO is no word of SMTP", Smtp(s).code(b"LHLO x\r\n") == 500)
    check("DATA without a good RCPT: 503 (4.2)", c.begin("no@" + DOMAIN) == [250, 550] and c.code(b"DATA\r\n") == 503 and c.in_step())
    check("nothing for elsewhere, by an alias neither", c.begin("x@other.test", "away@" + DOMAIN) == [250, 550, 550] and c.in_step())


def answers(s):
    t, c = token(), Lmtp(s)
    codes = c.begin(U0, "no@" + DOMAIN, U1, U0, "team@" + DOMAIN) + [c.code(b"DATA\r\n")]
    check("recipients", codes == [250, 250, 550, 250, 250, 250, 354], codes)
    c.send(mail(t) + b".\r\n")
    codes = c.codes(4)
    check("one answer for each good RCPT, in order", codes == [250] * 4 and c.in_step(), codes)
    check("one copy each", all(kept(s, t, mail(t), u) for u in (U0, U1, U2)))
    t = token()
    message = mail(t, b".dot\r\n" * 1000)
    c.begin(U0, U2)
    c.send(b"BDAT 100\r\n" + message[:100] + b"BDAT %d LAST\r\n" % (len(message) - 100) + message[100:] + b"NOOP\r\n")
    check("chunks: one for the first, each for the last", c.codes(4) == [250] * 4 and kept(s, t, message, U2))
    c.begin(U0, U1)
    c.code(b"DATA\r\n")
    c.send(b"a\nb\r\n.\r\nNOOP\r\n")
    check("a refused text is refused for each", c.codes(3) == [550, 550, 250])
    c.begin(U0, U1)
    c.send(b"BDAT 3\r\na\nbBDAT 4 LAST\r\nQUITNOOP\r\n")
    check("a failed chunk, then the last", c.codes(4) == [550, 550, 550, 250])
    check("no recipient, no answer (4.3)", c.code(FROM) == 250 and c.code(b"BDAT 4 LAST\r\nQUITNOOP\r\n") == 250)
    got = Lmtp(s)
    got.begin(U0)
    got.code(b"DATA\r\n")
    t = token()
    got.send(mail(t) + b".\r\n")
    got.codes(1)
    text = stored(s, t)
    check("the trace says LMTP (RFC 3848)", text is not None and b"with LMTP id" in text)


def quota(s):
    """--quota 64K: a full mailbox hurts nobody else, and is tried again later."""
    c, t = Lmtp(s), token()
    big = mail(token(), b"x" * 50000 + b"\r\n")
    c.begin(U1)
    check("fills one", c.bdat(big, True) == 250)
    message = mail(t, b"y" * 30000 + b"\r\n")
    codes = c.begin(U0, U1, U2)
    c.send(b"BDAT %d LAST\r\n" % len(message) + message)
    got = [c.reply() for _ in range(3)]
    check("452 for the full one only", codes == [250] * 4 and [g[0] for g in got] == [250, 452, 250] and got[1][1].startswith("452 4.2.2 "), (codes, got))
    check("the others have it", kept(s, t, message, U0) and kept(s, t, message, U2) and not kept(s, t, message, U1))
    c.send(FROM[:-2] + b" SIZE=60000\r\nRCPT TO:<%s>\r\nRCPT TO:<%s>\r\n" % (U1.encode(), U0.encode()))
    check("known at RCPT already", c.codes(3)[1] == 452)


def socket_file(folder):
    path = os.path.join(folder, "lmtp")
    with Server(users=2, flags=["--lmtp", "unix:" + path]) as s:
        mode = os.stat(path)
        check("the file is for user and group (0660)", stat.S_ISSOCK(mode.st_mode) and stat.S_IMODE(mode.st_mode) == 0o660, oct(mode.st_mode))
        t, c = token(), Lmtp(s, path)
        c.begin(U0)
        check("a message by it", c.bdat(mail(t), True) == 250 and kept(s, t, mail(t)))
        second = Server(users=2, flags=["--lmtp", "unix:" + path])
        out = subprocess.run(second.command(), capture_output=True, text=True, timeout=60, check=False)
        check("a live one is not taken over", out.returncode != 0 and "unix:" in out.stdout + out.stderr, (out.returncode, out.stderr[-300:]))
        check("and goes on", Lmtp(s, path).code(b"NOOP\r\n") == 250)
        s.kill()
        check("one of a dead server is left", os.path.exists(path))
        s.start()
        check("and replaced", Lmtp(s, path).code(b"NOOP\r\n") == 250)
    check("it goes with the server", not os.path.exists(path))
    with open(path, "w", encoding="ascii") as f:
        f.write("precious")
    third = Server(users=2, flags=["--lmtp", "unix:" + path])
    out = subprocess.run(third.command(), capture_output=True, text=True, timeout=60, check=False)
    check("a file that is no socket stays", out.returncode != 0 and open(path, encoding="ascii").read() == "precious")


def accepted(s, thread):
    return s.stat()["threads"][thread]["accepted"]


def turns(folder):
    """One socket file, and all threads accept from it."""
    path = os.path.join(folder, "turns")
    with Server(users=2, threads=2, flags=["--lmtp", "unix:" + path]) as s:
        before = [accepted(s, n) for n in range(2)]
        open_ones = [Lmtp(s, path) for _ in range(40)]
        got = [accepted(s, n) - before[n] for n in range(2)]
        print("# connections by thread: %s" % got)
        check("each thread gets its part of 40 connections", sum(got) == 40 and min(got) >= 5, got)
        waiting = open_ones[7]
        waiting.begin(U0)
        t = token()
        check("a message by each", all(c.begin(U0, U1) and delivered(c, mail(t)) for c in open_ones if c is not waiting))
        s.stop()
        check("a stop ends them all", not os.path.exists(path))
        s.start()
        queued = [plain(path) for _ in range(40)]
        check("and begins anew", all(q.recv(200).startswith(b"220 ") for q in queued))
        queued += [plain(path) for _ in range(40)]
        s.stop()
        check("who was waiting at the stop is answered too", all(q.recv(200)[:3] in (b"220", b"421") for q in queued[40:]) and not os.path.exists(path))


def plain(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(path)
    return sock


def delivered(c, message):
    c.send(b"BDAT %d LAST\r\n" % len(message) + message)
    return c.codes(2) == [250, 250]


def main():
    s = Server(users=3)
    with open(s.data + "/aliases", "w", encoding="ascii") as f:
        f.write("team@%s %s, %s\naway@%s x@other.test\n" % (DOMAIN, U2, U0, DOMAIN))
    with s:
        words(s)
        answers(s)
    with Server(users=3, flags=["--quota", "64K"]) as s:
        quota(s)
    with tempfile.TemporaryDirectory() as folder:
        socket_file(folder)
        turns(folder)
    finish()


main()
