"""POP3 over sockets. The names in brackets are rows of the security matrix."""
import base64
import poplib
import random
import re
import select
import socket
import string
import threading
import time

from harness import DOMAIN, Server, Standstill, check, finish, wait_for

U0, U1 = "u0@" + DOMAIN, "u1@" + DOMAIN


def mail(body=b"hello\r\n"):
    tok = "".join(random.choices(string.ascii_lowercase, k=12)).encode()
    return b"From: <a@client.test>\r\nSubject: %s\r\n\r\n%s" % (tok, body)


class Pop3:
    """A client that sends octets as they are and reads replies one by one."""

    def __init__(self, server, user=U0, password="pw", port="pop3"):
        self.server, self.buffer = server, b""
        self.sock = socket.create_connection(("127.0.0.1", server.ports[port]), 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if port == "pop3s":
            self.handshake()
        self.greeting = self.line()
        self.welcome = None
        if user:
            self.cmd("USER " + user)
            self.welcome = self.cmd("PASS " + password)

    def handshake(self):
        self.sock = self.server.context().wrap_socket(self.sock, server_hostname="localhost")

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def line(self):
        while b"\n" not in self.buffer:
            try:
                got = self.sock.recv(65536)
            except OSError:
                got = b""
            if not got:
                return b""
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line + b"\n"

    def cmd(self, text):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.line()

    def lines(self):
        """A multi-line reply, stuffing undone."""
        got = []
        while True:
            line = self.line()
            if line in (b".\r\n", b""):
                return got
            got.append(line[1:] if line.startswith(b".") else line)

    def many(self, text):
        return self.lines() if self.cmd(text).startswith(b"+OK") else None

    def retr(self, n):
        got = self.many("RETR %d" % n)
        return None if got is None else b"".join(got)

    def stat(self):
        m = re.fullmatch(rb"\+OK (\d+) (\d+)\r\n", self.cmd("STAT"))
        return int(m[1]), int(m[2])

    def list(self):
        return [int(line.split()[1]) for line in self.many("LIST")]

    def uidl(self):
        return [line.split()[1] for line in self.many("UIDL")]

    def ok(self, text):
        return self.cmd(text).startswith(b"+OK")

    def err(self, text):
        return self.cmd(text).startswith(b"-ERR")

    def closed(self):
        while self.line():
            pass
        return True

    def quit(self):
        return self.cmd("QUIT")

    def cut(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def append(s, message, user=U0):
    m = s.imap(user)
    good = m.append("INBOX", None, None, message)[0] == "OK"
    m.logout()
    return good


def empty(s, user=U0):
    m = s.imap(user)
    m.select()
    m.store("1:*", "+FLAGS", "\\Deleted")
    m.expunge()
    m.logout()


# --- states ---------------------------------------------------------------------------------


def states(s):
    p = Pop3(s, user=None)
    check("greeting", p.greeting.startswith(b"+OK "))
    capa = {line.strip() for line in p.many("CAPA")}
    check("CAPA", {b"TOP", b"UIDL", b"USER", b"SASL PLAIN LOGIN", b"STLS", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE"} <= capa, capa)
    check("[P08] before login", all(p.err(x) for x in ("STAT", "DELE 1", "RETR 1", "NOOP", "RSET", "UIDL")))
    check("PASS without USER", p.err("PASS x"))
    check("QUIT", p.ok("QUIT") and p.closed())
    p = Pop3(s)
    check("login", p.welcome.startswith(b"+OK "), p.welcome)
    check("[P08] after login", p.err("USER " + U1) and p.err("PASS x") and p.err("AUTH PLAIN") and p.err("STLS") and p.ok("NOOP"))
    capa = {line.strip() for line in p.many("CAPA")}
    check("CAPA after login: RFC 2449, 5", {b"UIDL", b"USER", b"SASL PLAIN LOGIN"} <= capa and b"STLS" not in capa, capa)
    p.quit()
    for text in (b"NOOP " + b"x" * 100_000, b"NO\0OP", b"NOOP\rQUIT", b"NOOP\nQUIT", b"\xff\xfe", b""):
        p = Pop3(s)
        check("[P06] %r" % text[:12], p.err(text) and p.ok("NOOP"))
        p.quit()
    p = Pop3(s)
    replies = [p.cmd("XBAD") for _ in range(10)]
    check("ten errors", all(r.startswith(b"-ERR") for r in replies) and p.closed(), replies)
    for port in "pop3", "pop3s":
        p = Pop3(s, port=port)
        p.send(b"NOOP\r\nSTAT\r\nNOOP\r\n" * 1000)
        replies = [p.line() for _ in range(3000)]
        check("[P07] 3000 pipelined, " + port,
              all(r.startswith(b"+OK") for r in replies) and all(re.match(rb"\+OK \d+ \d+\r", r) for r in replies[1::3]))
        p.quit()
    p = Pop3(s, user=None)
    p.send(b"USER %s\r\nPASS pw\r\nSTAT\r\nLIST\r\nNOOP\r\nQUIT\r\n" % U0.encode())
    text = b""
    while line := p.line():
        text += line
    check("a whole session in one segment", re.fullmatch(rb"(\+OK [^\n]*\n){4}(\d+ \d+\r\n)*\.\r\n(\+OK[^\n]*\n){2}", text), text)


def logins(s):
    replies = []
    for user, password in ((U0, "bad"), ("nobody@" + DOMAIN, "bad")):
        p = Pop3(s, user, password)
        replies.append(p.welcome)
    check("wrong password, unknown user", replies[0] == replies[1] and replies[0].startswith(b"-ERR [AUTH] "), replies)
    p = Pop3(s, user=None)
    for _ in range(5):
        p.cmd("USER " + U1)
        last = p.cmd("PASS bad")
    check("[P09] five wrong passwords", last.startswith(b"-ERR [AUTH]") and p.closed(), last)
    p = Pop3(s, U1)
    check("[P09] then the right one", p.welcome.startswith(b"+OK"))
    p.quit()
    plain = base64.b64encode(b"\0%s\0pw" % U0.encode()).decode()
    p = Pop3(s, user=None)
    check("AUTH lists", p.many("AUTH") == [b"PLAIN\r\n", b"LOGIN\r\n"])
    check("AUTH PLAIN", p.cmd("AUTH PLAIN") == b"+ \r\n" and p.ok(plain))
    p.quit()
    p = Pop3(s, user=None)
    check("AUTH with an initial response", p.ok("AUTH PLAIN " + plain))
    p.quit()
    p = Pop3(s, user=None)
    check("AUTH LOGIN", [p.cmd(x)[:2] for x in ("AUTH LOGIN", base64.b64encode(U0.encode()).decode(), base64.b64encode(b"pw").decode())] == [b"+ ", b"+ ", b"+O"])
    p.quit()
    p = Pop3(s, user=None)
    check("AUTH cancelled, malformed, unknown", p.cmd("AUTH PLAIN") == b"+ \r\n" and p.err("*") and p.err("AUTH PLAIN !!") and p.err("AUTH X") and p.ok("AUTH PLAIN " + plain))
    p.quit()
    p = Pop3(s, "U0", "pw")
    check("names fold case and need no domain", p.welcome.startswith(b"+OK"), p.welcome)
    p.quit()
    check("no password in the log", "AUTH PLAIN" not in s.log_text() and plain not in s.log_text())


def tls(s):
    """Without --allow-plaintext."""
    p = Pop3(s, user=None)
    capa = {line.strip() for line in p.many("CAPA")}
    check("[T09] not offered in clear", b"USER" not in capa and b"STLS" in capa and not any(x.startswith(b"SASL") for x in capa), capa)
    check("[T09] refused in clear", p.err("USER " + U0) and p.err("PASS pw") and p.err("AUTH PLAIN " + base64.b64encode(b"\0%s\0pw" % U0.encode()).decode()))
    p = Pop3(s, user=None)
    p.send(b"STLS\r\nUSER injected\r\n")
    check("[T03] STLS", p.line().startswith(b"+OK"))
    p.handshake()
    check("[T03] what came with it is gone", p.err("PASS pw") and p.err("STLS"))
    check("login in TLS", p.ok("USER " + U0) and p.ok("PASS pw") and p.ok("QUIT"))
    p = Pop3(s, port="pop3s")
    check("pop3s", p.welcome.startswith(b"+OK") and p.ok("QUIT"))
    before = len(s.log_text())
    p = Pop3(s, port="pop3s")
    p.quit()
    select.select([p.sock], [], [], 20)  # close_notify, which many clients leave unread
    p.cut()
    ended = lambda: re.search(" pop3-end .*", s.log_text()[before:])
    check("a reset after QUIT is no error", wait_for(ended, 10) and "errno" not in ended()[0], ended() and ended()[0])


# --- the maildrop ------------------------------------------------------------------------------


def octets(s):
    bodies = [b".\r\n..\r\n.a\r\nend\r\n", b"plain\r\n", b"", b"x" * 5000 + b"\r\n", b"".join(b".%d %s\r\n" % (i, b"y" * 70) for i in range(5000)),
              b"".join(b"%d %s\r\n" % (i, b"y" * 70) for i in range(20_000))]
    sent = [mail(b) for b in bodies]
    for message in sent:
        s.send([U0], message)
    p = Pop3(s)
    sizes, got = p.list(), [p.retr(i + 1) for i in range(len(sent))]
    check("[P04] RETR gives what was stored", all(g.endswith(m) for g, m in zip(got, sent)) and len(sizes) == len(sent))
    check("[P04] LIST is what RETR sends", sizes == [len(g) for g in got], (sizes, [len(g) for g in got]))
    check("STAT is their sum", p.stat() == (len(sent), sum(sizes)))
    check("LIST of one", p.cmd("LIST 2") == b"+OK 2 %d\r\n" % sizes[1])
    header = got[4][:got[4].index(b"\r\n\r\n") + 4]
    check("TOP 0 is the header", b"".join(p.many("TOP 5 0")) == header)
    check("TOP n", b"".join(p.many("TOP 5 3")) == header + b"".join(got[4][len(header):].splitlines(True)[:3]))
    check("[P02] TOP of more than there is", b"".join(p.many("TOP 5 99999999999")) == got[4] and b"".join(p.many("TOP 6 4294967295")) == got[5])
    check("[P02] TOP 1 -1", p.err("TOP 1 -1") and p.err("TOP 1") and p.err("TOP") and p.ok("NOOP"))
    p.quit()
    empty(s)
    # What has no line end at its end gets one, and the size counts it.
    ends = [b"Subject: a\r\n\r\nno end", b"x", b"Subject: c\r\n\r\n.dot", b"Subject: d\r\n\r\nwhole\r\n"]
    check("APPEND", all(append(s, m) for m in ends))
    p = Pop3(s)
    got = [p.retr(i + 1) for i in range(len(ends))]
    check("a line end is added where there is none", got == [m if m.endswith(b"\r\n") else m + b"\r\n" for m in ends], got)
    check("and is counted", p.list() == [len(g) for g in got] and p.stat() == (len(ends), sum(map(len, got))), p.list())
    p.quit()
    p = Pop3(s)
    check("LIST of one, first", [p.cmd("LIST %d" % (i + 1)).split()[2] for i in range(len(ends))] == [b"%d" % len(g) for g in got])
    p.quit()
    empty(s)


def bdat(s, message):
    with s.smtp() as c:
        c.mail("sender@client.test")
        c.rcpt(U0)
        c.send(b"BDAT %d LAST\r\n" % len(message) + message)
        return c.getreply()[0] == 250


def ends(s):
    """Whoever brings it, what has no line end at its end gets one in RETR, and sizes count it: also
    of copies, and of what the index reads back."""
    texts = [b"Subject: a\r\n\r\nno end", b"Subject: b\r\n\r\nwhole\r\n", b"Subject: c\r\n\r\n.dot", b"Subject: d\r\n\r\n.\r\n",
             b"Subject: e\r\n\r\n" + b"x" * 70 + (b"\r\n" + b"y" * 70) * 5000]
    check("BDAT without a line end", all(bdat(s, t) for t in texts))
    check("APPEND without a line end", all(append(s, t) for t in texts))
    m = s.imap(U0)
    m.select()
    check("copies", m.copy("1:*", "INBOX")[0] == "OK" and m.copy("1:*", "Trash")[0] == "OK")
    m.select("Trash")
    check("moved back", m._simple_command("MOVE", "1:*", "INBOX")[0] == "OK")
    m.logout()
    kept = texts * 8
    for when in ("at once", "after a kill", "after a stop"):
        if when != "at once":
            s.kill() if when == "after a kill" else s.stop()
            s.start()
        p = Pop3(s)
        stat, sizes = p.stat(), p.list()
        got = [p.retr(i + 1) for i in range(len(sizes))]
        check("sizes are what RETR sends, " + when, sizes == [len(g) for g in got] and stat == (len(kept), sum(sizes)), (stat, sizes, [len(g) for g in got]))
        check("every last line ends, " + when, all(g.endswith(t if t.endswith(b"\r\n") else t + b"\r\n") for g, t in zip(got, kept)))
        p.quit()
    empty(s)


def numbers(s):
    for _ in range(3):
        s.send([U0], mail())
    for verb in ("RETR", "DELE", "LIST", "UIDL", "TOP"):
        for n in ("0", "-1", "4294967297", "18446744073709551617", "x", "1x", "4", "1 2 3"):
            p = Pop3(s)
            check("[P01] %s %s" % (verb, n), p.err("%s %s%s" % (verb, n, " 0" if verb == "TOP" else "")) and p.ok("NOOP"))
            p.quit()
    p = Pop3(s)
    check("RETR alone, DELE alone", p.err("RETR") and p.err("DELE"))
    p.quit()
    empty(s)


def deleting(s):
    sent = [mail() for _ in range(5)]
    for message in sent:
        s.send([U0], message)
    p = Pop3(s)
    ids, sizes = p.uidl(), p.list()
    check("[P05] UIDL", len(set(ids)) == 5 and all(re.fullmatch(rb"[\x21-\x7e]{1,70}", x) for x in ids), ids)
    check("DELE", p.ok("DELE 2") and p.ok("DELE 4"))
    check("[P03] a deleted message is gone for this session", all(p.err(x) for x in ("RETR 2", "DELE 2", "LIST 2", "UIDL 2", "TOP 2 1")))
    check("the others keep their numbers", [x.split()[0] for x in p.many("LIST")] == [b"1", b"3", b"5"] and p.stat() == (3, sizes[0] + sizes[2] + sizes[4]))
    check("[P03] RSET", p.ok("RSET") and p.stat() == (5, sum(sizes)) and p.uidl() == ids)
    check("DELE again", p.ok("DELE 1") and p.ok("DELE 2"))
    p.cut()
    time.sleep(0.3)
    p = Pop3(s)
    check("[P03] cut off: nothing is deleted", p.uidl() == ids)
    p.ok("DELE 1")
    p.sock.shutdown(socket.SHUT_WR)
    p.closed()
    p = Pop3(s)
    check("nor without QUIT", p.uidl() == ids)
    check("QUIT deletes", p.ok("DELE 1") and p.ok("DELE 2") and p.ok("DELE 4") and p.quit().startswith(b"+OK"))
    p = Pop3(s)
    check("and it is done at its +OK", p.uidl() == [ids[2], ids[4]] and p.retr(1).endswith(sent[2]) and p.retr(2).endswith(sent[4]))
    p.quit()
    s.stop()
    s.start()
    p = Pop3(s)
    check("[P05] UIDL over a restart", p.uidl() == [ids[2], ids[4]])
    s.kill()
    s.start()
    p = Pop3(s)
    check("[P05] UIDL over kill -9", p.uidl() == [ids[2], ids[4]])
    p.quit()
    empty(s)


def others(s):
    """What other sessions do meanwhile."""
    for _ in range(3):
        s.send([U0], mail())
    p = Pop3(s)
    before = [p.retr(i) for i in (1, 2, 3)]
    q = Pop3(s)
    check("[P11] the maildrop is locked", q.welcome.startswith(b"-ERR [IN-USE] "), q.welcome)
    check("and the session can try again", q.ok("USER " + U1) and q.ok("PASS pw") and q.ok("QUIT"))
    m = s.imap(U0)
    check("IMAP is not shut out", m.select()[1] == [b"3"])
    m.store("2", "+FLAGS", "\\Deleted")
    m.expunge()
    s.send([U0], mail())
    check("what IMAP removed stays readable here", [p.retr(i) for i in (1, 2, 3)] == before and p.stat()[0] == 3)
    check("what came since is not here", p.err("RETR 4"))
    check("it can be deleted once more", p.ok("DELE 2") and p.ok("DELE 3") and p.quit().startswith(b"+OK"))
    m.noop()
    check("[P11] IMAP is told once", m.search(None, "ALL")[1] == [b"1 2"], m.search(None, "ALL"))
    check("flags are untouched", b"\\Seen" not in m.fetch("1", "(FLAGS)")[1][0])
    m.logout()
    p = Pop3(s)
    check("a new session sees the rest", p.stat()[0] == 2)
    p.cut()
    check("the lock goes with the connection", wait_for(lambda: Pop3(s).welcome.startswith(b"+OK"), 3))
    empty(s)


def reading(s):
    """A client that does not read costs little, and others are served."""
    big = mail((b"b" * 998 + b"\r\n") * 2000)
    s.send([U0], big)
    p, before = Pop3(s), s.memory()
    threading.Thread(target=p.send, args=(b"RETR 1\r\n" * 500,)).start()
    time.sleep(1)
    q = Pop3(s, U1)
    with Standstill() as still:
        begin = time.monotonic()
        good, took = q.ok("NOOP") and q.stat() is not None, time.monotonic() - begin
        check("[O04] others are served", good and took < 2 + still.seconds, (good, took, still.seconds))
    q.quit()
    check("[O04] memory", s.memory() - before < 96 << 20, s.memory() - before)
    got = b"".join(p.lines()) if p.line().startswith(b"+OK") else b""
    check("and what is read is right", got.endswith(big))
    p.cut()
    time.sleep(0.3)
    p = Pop3(s)
    check("TOP of a large message", b"".join(p.many("TOP 1 1")).endswith(b"\r\n\r\n" + b"b" * 998 + b"\r\n"))
    p.quit()
    empty(s)


def many(s):
    count = 3000
    m = s.imap(U0)
    for _ in range(count // 10):
        m.append("INBOX", None, None, mail(b"x"))
    m.select()
    for _ in range(9):
        m.copy("1:%d" % (count // 10), "INBOX")
    p = Pop3(s)
    n, octets_ = p.stat()
    check("a large maildrop", n == count and sum(p.list()) == octets_ and len(set(p.uidl())) == count, n)
    p.send(b"".join(b"DELE %d\r\n" % (i + 1) for i in range(count) if i % 3) + b"RSET\r\n" + b"".join(b"DELE %d\r\n" % (i + 1) for i in range(count) if i % 2) + b"STAT\r\nQUIT\r\n")
    text = b""
    while line := p.line():
        text += line
    check("thousands of DELE and one QUIT", text.count(b"+OK") == count * 2 // 3 + 1 + count // 2 + 2, text.count(b"+OK"))
    m.noop()
    check("half of them are gone", len(m.search(None, "ALL")[1][0].split()) == count // 2)
    m.logout()
    empty(s)


def idle(s):
    """--login-timeout 5s --pop3-timeout 10s."""
    s.send([U0], mail())
    with Standstill() as still:
        begin = time.monotonic()
        a, b = Pop3(s, user=None), Pop3(s)
        b.ok("DELE 1")
        for what, p, low, high in (("[O07] silence before login", a, 4, 9), ("silence after it, without a word", b, 9, 16)):
            p.sock.settimeout(60)
            line, took = p.line(), time.monotonic() - begin
            check(what, line == b"" and low <= took < high + still.seconds, (line, took, still.seconds))
    p = Pop3(s)
    check("nothing is deleted by it", p.stat()[0] == 1)
    s.proc.terminate()
    check("a stop is told", p.line().startswith(b"-ERR [SYS/TEMP]"))
    s.stop()


def main():
    with Server(users=2, flags=["--unlimited-from", "127.0.0.0/8"]) as s:
        states(s)
        logins(s)
        octets(s)
        ends(s)
        numbers(s)
        deleting(s)
        others(s)
        reading(s)
        many(s)
        p = poplib.POP3("127.0.0.1", s.ports["pop3"])
        p.stls(context=s.context())
        p.user(U0)
        p.pass_("pw")
        check("poplib: STLS, login", p.stat()[0] == 0 and p.quit().startswith(b"+OK"))
    with Server(users=2, plaintext=False) as s:
        tls(s)
    with Server(users=2, flags=["--login-timeout", "5s", "--pop3-timeout", "10s"]) as s:
        idle(s)
    finish()


main()
