"""Policy at the door, submission, forwarding: limits and checks, who may send as whom, what a
submission server mends, aliases that lead to other servers, and senders that lead back.
"""
import base64
import os
import re
import resource
import signal
import socket
import struct
import threading
import time

from harness import DOMAIN, Server, check, finish, wait_for
from sink import Sink

U0, U1 = "u0@" + DOMAIN, "u1@" + DOMAIN


class Client:
    """Sends lines, reads replies; .last is the text of the last one."""

    def __init__(self, server, port="smtp", source="127.0.0.1", hello="client.test", login=None):
        self.sock = socket.create_connection(("127.0.0.1", server.ports[port]), 20, source_address=(source, 0))
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()
        self.hello = self.cmd("EHLO " + hello) if hello and self.greeting == 220 else 0
        if login:
            self.cmd("AUTH PLAIN " + base64.b64encode(b"\0%s\0pw" % login.encode()).decode())

    def reply(self):
        self.last = ""
        while True:
            line = self.file.readline().decode("utf-8", "replace")
            self.last += line
            if len(line) < 4 or line[3] != "-":
                return int(line[:3]) if line[:3].isdigit() else 0

    def cmd(self, line):
        self.sock.sendall(line.encode() + b"\r\n")
        return self.reply()

    def mail(self, sender="a@client.test", rcpts=(U0,), text=b"Subject: x\r\n\r\nhello\r\n", more=""):
        """The codes of MAIL, of each RCPT, of the text; it ends with the first MAIL or text that is refused."""
        codes = [self.cmd("MAIL FROM:<%s>%s" % (sender, more))]
        if codes[0] != 250:
            return codes
        codes += [self.cmd("RCPT TO:<%s>" % r) for r in rcpts]
        if not any(c == 250 for c in codes[1:]):
            self.cmd("RSET")
            return codes
        if self.cmd("DATA") == 354:
            self.sock.sendall(text + b".\r\n")
            codes.append(self.reply())
        return codes

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.sock.close()


class Dns(threading.Thread):
    """Answers MX and A questions from a table: name -> "ok", "null", "gone", "fail"."""

    def __init__(self, table):
        super().__init__(daemon=True)
        self.table = table
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            labels, at = [], 12
            while data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
                at += 1 + data[at]
            kind = struct.unpack("!H", data[at + 1:at + 3])[0]
            question = data[12:at + 5]
            name = ".".join(labels)
            how = self.table.get(name, "gone")
            rcode, answer = {"gone": 3, "fail": 2}.get(how, 0), b""
            if how == "null" and kind == 15:
                answer = b"\xc0\x0c" + struct.pack("!HHIHH", 15, 1, 60, 3, 0) + b"\0"
            elif how == "ok" and kind == 1:
                answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
            self.sock.sendto(data[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, 1 if answer else 0, 0, 0) + question + answer, peer)


def limits_of_addresses():
    with Server(flags=["--max-messages-address", "4", "--max-recipients-address", "9"]) as s:
        codes = []
        for _ in range(6):  # on whatever thread
            with Client(s) as c:
                codes.append(c.mail())
        check("messages of an address", codes == [[250, 250, 250]] * 4 + [[450]] * 2, codes)
        with Client(s, source="127.0.0.5") as c:
            codes = c.mail(rcpts=[U0] * 12)
            check("recipients of an address", codes == [250] + [250] * 9 + [450] * 3 + [250], codes)
            check("a limit says so", c.mail(rcpts=[U0]) == [250, 450])
        with Client(s, port="submission", login=U0) as c:
            check("who is logged in is not counted by address", [c.mail(sender=U0)[-1] for _ in range(6)] == [250] * 6)
    with Server(flags=["--max-messages-address", "1", "--unlimited-from", "127.0.0.0/30"]) as s:
        with Client(s) as c:
            check("--unlimited-from lifts them", [c.mail()[0] for _ in range(4)] == [250] * 4)
        with Client(s, source="127.0.0.9") as c:
            check("and for nobody else", [c.mail()[0] for _ in range(3)] == [250, 450, 450])


def errors_of_addresses():
    with Server(flags=["--max-errors-address", "12"]) as s:
        times = []
        for _ in range(3):
            c = Client(s, source="127.0.0.7")
            for _ in range(6):
                time.sleep(0.1)  # another thread may count for the address: its answer comes meanwhile
                begun = time.monotonic()
                if c.cmd("FROBNICATE") != 500:
                    break
                times.append(time.monotonic() - begun)
        # On the thread that counts for the address the twelfth is turned away at once, on others a little later.
        check("errors of an address add up", 11 <= len(times) < 18, len(times))
        check("replies to them get slower", min(times[:5]) < times[10] and times[10] > 0.5, times)
        late = []
        while len(late) < 9:  # a thread that has not heard of the address learns of it by its first error there
            with Client(s, source="127.0.0.7") as c:
                if c.greeting == 421:
                    check("then it is turned away", "4.7.0" in c.last, c.last)
                    check("and the connection closed", c.file.readline() == b"")
                    break
                c.cmd("FROBNICATE")
                late.append(wait_for(lambda: c.mail()[0] == 421, step=0.1))
        check("at the latest after one more error", len(late) < 9 and all(late), late)
        with Client(s, source="127.0.0.8") as c:
            check("others are not", c.mail()[-1] == 250)


def limits_of_users():
    with Server(users=3, flags=["--max-messages-user", "3", "--max-recipients-user", "5"]) as s:
        codes = []
        for _ in range(5):
            with Client(s, port="submission", login=U0) as c:
                codes.append(c.mail(sender=U0))
        check("messages of a user", codes == [[250, 250, 250]] * 3 + [[450]] * 2, codes)
        check("which says so", c.last.startswith("450 4.7.1"), c.last)
        with Client(s, port="submission", login=U1) as c:
            codes = c.mail(sender=U1, rcpts=[U0] * 7)
            check("recipients of a user", codes == [250] + [250] * 5 + [450] * 2 + [250], codes)
        with Client(s) as c:
            check("strangers are not counted as users", [c.mail()[-1] for _ in range(5)] == [250] * 5)


def helo_checks():
    with Server(flags=["--helo-checks", "yes", "--trust", "127.0.0.40/32"]) as s:
        def says(hello, source="127.0.0.2", port="smtp"):
            with Client(s, source=source, hello=hello, port=port) as c:
                return c.hello

        check("another name", says("client.test") == 250)
        check("the server's name", says("Mail." + DOMAIN.upper()) == 550)
        check("its address", says("[127.0.0.1]") == 550)
        check("the client's own address", says("[127.0.0.2]") == 250)
        check("a number", says("12345") == 550 and says("192.0.2.1") == 550)
        check("from the server itself", says("mail." + DOMAIN, source="127.0.0.1") == 250)
        check("from a trusted network", says("mail." + DOMAIN, source="127.0.0.40") == 250)
        check("submission is not asked", says("12345", port="submission") == 250)
        with Client(s, source="127.0.0.2", hello="12345") as c:
            check("a better name helps", c.cmd("EHLO client.test") == 250 and c.mail()[-1] == 250)
    with Server() as s:
        with Client(s, source="127.0.0.2", hello="12345") as c:
            check("off unless asked for", c.hello == 250)


def sender_checks():
    dns = Dns({"good.test": "ok", "null.test": "null", "broken.test": "fail", "empty.test": "empty"})
    flags = ["--sender-checks", "yes", "--resolver", "127.0.0.1:%d" % dns.port, "--dns-timeout", "30s", "--trust", "127.0.0.40/32"]
    with Server(flags=flags) as s:
        with Client(s) as c:
            check("a domain with a host", c.mail(sender="a@good.test")[-1] == 250, c.last)
            check("<>", c.mail(sender="")[-1] == 250, c.last)
            check("our own domain", c.mail(sender=U1)[-1] == 250, c.last)
            for domain, reply in (("gone.test", "550 5.1.8"), ("null.test", "550 5.7.27"), ("empty.test", "550 5.1.8"),
                                  ("broken.test", "451 4.1.8")):
                code = c.mail(sender="a@" + domain)[0]
                check("%s gets %s" % (domain, reply), c.last.startswith(reply), (code, c.last))
            check("the session goes on", c.mail(sender="b@good.test")[-1] == 250)
        with Client(s, source="127.0.0.40") as c:
            check("a trusted network may do that", c.mail(sender="a@gone.test")[-1] == 250, c.last)
        gone = Client(s)
        gone.sock.sendall(b"MAIL FROM:<a@broken.test>\r\n")
        gone.sock.close()  # while the question is out
    dns.sock.close()


def trust():
    with Sink() as sink, Server(flags=["--trust", "127.0.0.40/32", "--route", "else.test=127.0.0.1:%d" % sink.port]) as s:
        with Client(s) as c:
            check("strangers don't relay", c.mail(rcpts=["x@else.test"]) == [250, 550], c.last)
        with Client(s, source="127.0.0.40") as c:
            check("a trusted network does", c.mail(rcpts=["x@else.test"]) == [250, 250, 250], c.last)
        with Client(s, source="127.0.0.40", port="submission") as c:
            check("submission wants a login even so", c.mail(rcpts=["x@else.test"]) == [530], c.last)
        wait_for(lambda: sink.mails, 20)
        check("it arrives", [m.rcpts for m in sink.mails] == [["x@else.test"]], [m.rcpts for m in sink.mails])


def granted_senders():
    s = Server(users=3, flags=["--from-check", "yes"])
    senders = os.path.join(s.folder, "senders")
    s.flags += ["--senders", senders]
    with open(senders, "w", encoding="ascii") as f:
        f.write("u0 sales@%s, @brand.test\n" % DOMAIN)
    with s:
        def sends(login, sender, header=None):
            with Client(s, port="submission", login=login) as c:
                return c.mail(sender=sender, text=b"From: %s\r\n\r\nx\r\n" % (header or sender).encode())[-1]

        check("the own address", sends(U0, U0) == 250 and sends(U0, "u0+shop@" + DOMAIN) == 250)
        check("another's", sends(U0, U1) == 553)
        check("granted ones", sends(U0, "sales@" + DOMAIN) == 250 and sends(U0, "who@Brand.test") == 250)
        check("not to others", sends(U1, "sales@" + DOMAIN) == 553)
        check("From is checked too", sends(U0, U0, U1) == 550 and sends(U0, U0, "Sales <sales@%s>" % DOMAIN) == 250)
        with open(senders, "w", encoding="ascii") as f:
            f.write("u1 sales@%s\n" % DOMAIN)
        s.proc.send_signal(signal.SIGHUP)
        check("read again", wait_for(lambda: sends(U1, "sales@" + DOMAIN) == 250) and
              sends(U0, "sales@" + DOMAIN) == 553)
        with open(senders, "w", encoding="ascii") as f:
            f.write("u1 @@\n")
        s.proc.send_signal(signal.SIGHUP)
        check("a bad file changes nothing", wait_for(lambda: "senders, line 1" in s.log_text()) and
              sends(U1, "sales@" + DOMAIN) == 250)


def repairs():
    with Server() as s:
        texts = [b"Subject: 1\r\nBcc: secret@x.test,\r\n more@x.test\r\n\r\nbody\r\n.\r\n", b"no header\r\n", b"Subject: 3\r\n",
                 b"Date: d\r\nFrom: f@x.test\r\nMessage-ID: <m@x>\r\nX: \xc3\xa9\r\n\r\nas it is\r\n"]
        with Client(s, port="submission", login=U0) as c:
            for t in texts:
                stuffed = re.sub(rb"(?m)^\.", b"..", t)
                check("taken", c.mail(sender=U0, rcpts=[U1], text=stuffed)[-1] == 250, c.last)
        with Client(s) as c:
            c.mail(rcpts=[U1], text=texts[0].replace(b".\r\n", b""))
        p = s.pop3(U1)
        got = [b"\r\n".join(p.retr(i)[1]) + b"\r\n" for i in range(1, 6)]
        p.quit()
        heads = [g.split(b"\r\n\r\n", 1)[0] for g in got]
        check("Date, From, Message-ID are added", all(
            re.search(rb"(?m)^Date: \w{3}, ", h) and b"\r\nFrom: " + U0.encode() in h and
            re.search(rb"(?m)^Message-ID: <[^>]+@mail\." + DOMAIN.encode() + rb">", h) for h in heads[:3]), heads)
        check("each has another id", len({re.search(rb"Message-ID: (.*)", h)[1] for h in heads[:3]}) == 3)
        check("Bcc goes", b"bcc" not in heads[0].lower() and b"more@" not in heads[0] and got[0].endswith(b"\r\n\r\nbody\r\n.\r\n"), got[0])
        check("a text without header", got[1].endswith(b">\r\n\r\nno header\r\n"), got[1])
        check("a header without text", heads[2] + b"\r\n\r\n" == got[2] and b"Subject: 3" in heads[2], got[2])
        check("what is whole stays", got[3].endswith(b"\r\n" + texts[3]), got[3])
        check("other servers' mail stays", b"\r\nSubject: 1\r\nBcc: secret@x.test,\r\n more@x.test\r\n\r\nbody" in got[4] and
              b"Message-ID" not in got[4], got[4])


def forwarding():
    s = Server(users=2, flags=["--srs", "yes", "--expn", "yes"])
    with open(os.path.join(s.data, "aliases"), "w", encoding="ascii") as f:
        f.write("list@{0} u0@{0}, Far.Away@else.test\nfar@{0} one@else.test two@else.test\n"
                "@a.{0} @b.{0}\n@b.{0} @a.{0}\nloop@{0} x@a.{0}\n".format(DOMAIN))
    with Sink() as sink:
        s.flags += ["--route", "else.test=127.0.0.1:%d" % sink.port, "--route", "client.test=127.0.0.1:%d" % sink.port]
        with s:
            check("the key is nobody else's", os.stat(os.path.join(s.data, "srs.key")).st_mode & 0o777 == 0o600)
            with Client(s) as c:
                check("anybody may write to an alias that leads away", c.mail(
                    sender="anna@client.test", rcpts=["list@" + DOMAIN]) == [250, 250, 250], c.last)
                check("a loop", c.cmd("MAIL FROM:<>") == 250 and c.cmd("RCPT TO:<loop@%s>" % DOMAIN) == 550 and
                      "5.4.6" in c.last and c.cmd("RSET") == 250, c.last)
                check("relaying stays denied", c.mail(rcpts=["one@else.test"]) == [250, 550], c.last)
            check("it goes on", wait_for(lambda: sink.mails, 20))
            m = sink.mails[0]
            check("to the address as it is written", m.rcpts == ["Far.Away@else.test"], m.rcpts)
            check("from a sender that is ours", re.fullmatch(
                "SRS0=[A-Z2-7]{6}=[A-Z2-7]{2}=client.test=anna@" + DOMAIN, m.sender), m.sender)
            p = s.pop3(U0)
            check("and stays here", p.stat()[0] == 1 and b"Return-Path: <anna@client.test>" in p.retr(1)[1])
            p.quit()
            made = m.sender
            with Client(s) as c:
                check("a bounce comes back", c.mail(sender="", rcpts=[made.lower()]) == [250, 250, 250], c.last)
                check("other mail does not", c.mail(rcpts=[made]) == [250, 550] and c.mail(sender="", rcpts=[made, U1])[-1] == 250)
                forged = made.replace("=anna@", "=bert@")
                check("a forged address", c.cmd("MAIL FROM:<>") == 250 and c.cmd("RCPT TO:<%s>" % forged) == 550 and
                      "5.1.1" in c.last, c.last)
            check("to whom it was from", wait_for(lambda: len(sink.mails) >= 2, 20) and
                  sink.mails[1].rcpts == ["anna@client.test"] and sink.mails[1].sender == "", [m.rcpts for m in sink.mails])
            with Client(s, port="submission", login=U0) as c:
                check("EXPN", c.cmd("EXPN list") == 250 and "u0@" + DOMAIN in c.last and "Far.Away@else.test" in c.last, c.last)
                check("our own senders stay", c.mail(sender=U0, rcpts=["far@" + DOMAIN])[-1] == 250, c.last)
            check("one message for two", wait_for(lambda: any(m.sender == U0 for m in sink.mails), 20) and
                  sorted(r for m in sink.mails if m.sender == U0 for r in m.rcpts) == ["one@else.test", "two@else.test"],
                  [(m.sender, m.rcpts) for m in sink.mails])


class FewFiles(Server):
    """A server of which the system allows so many descriptors."""
    limit = 200

    def command(self):
        return ["prlimit", "--nofile=%d:%d" % (self.limit, self.limit)] + super().command()

    def descriptors(self):
        """Number -> what it leads to, and whether that is only read."""
        found = {}
        for fd in os.listdir("/proc/%d/fd" % self.proc.pid):
            try:
                with open("/proc/%d/fdinfo/%s" % (self.proc.pid, fd), encoding="ascii") as f:
                    flags = int(re.search(r"flags:\s*(\d+)", f.read())[1], 8)
                found[int(fd)] = os.readlink("/proc/%d/fd/%s" % (self.proc.pid, fd)), flags & os.O_ACCMODE == os.O_RDONLY
            except OSError:
                pass  # closed meanwhile
        return found

    def segments_read(self):
        return sum("/log-" in path and only_read for path, only_read in self.descriptors().values())


def few_descriptors():
    """[O08] Connections never take what the store needs."""
    with FewFiles(flags=["--unlimited-from", "127.0.0.0/8", "--segment-size", "1M"]) as s:
        check("it is said at the start", wait_for(lambda: "connections-are-limited-to=100" in s.log_text()))
        socks = [socket.create_connection(("127.0.0.1", s.ports["smtp"]), 20) for _ in range(150)]
        said = [c.recv(3) for c in socks]
        check("the rest is told to come later", said.count(b"220") == 100 and said.count(b"421") == 50,
              (said.count(b"220"), said.count(b"421")))
        for c, code in zip(socks, said):
            if code != b"220":
                c.close()
        with socks[0] as one:
            one.sendall(b"EHLO client.test\r\n" + (b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nBDAT 300000 LAST\r\n" % U0.encode() + b"x" * 300000) * 20 + b"QUIT\r\n")
            got = one.makefile("rb").read()
        check("mail is stored meanwhile", got.count(b"\r\n250 2.0.0 ") == 20, got[-300:])
        for c in socks:
            c.close()
        check("and read afterwards", wait_for(lambda: s.pop3(U0).stat()[0] == 20))


def retrieve(pop, count):
    """How many of so many messages of 300,000 octets come whole."""
    return sum(pop.retr(n)[1].count(b"x" * 58) == 5000 for n in range(1, count + 1))


def open_segments():
    """As many segments stay open as descriptors allow; where one is refused, those that are open serve in turn."""
    with FewFiles(shards=1, threads=1, flags=["--unlimited-from", "127.0.0.0/8", "--segment-size", "1M"]) as s:
        mail = b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nBDAT 300000 LAST\r\n" % U0.encode() + (b"x" * 58 + b"\r\n") * 5000
        stored = 0
        for _ in range(12):
            with socket.create_connection(("127.0.0.1", s.ports["smtp"]), 20) as one:
                one.sendall(b"EHLO client.test\r\n" + mail * 20 + b"QUIT\r\n")
                stored += one.makefile("rb").read().count(b"\r\n250 2.0.0 ")
        check("mail is stored", stored == 240, stored)
        check("few descriptors: all is read", retrieve(s.pop3(U0), 240) == 240)
        check("half of what connections leave is for segments", 16 < s.segments_read() <= 50, s.segments_read())
        s.stop()
        s.limit = 2000
        s.start()
        check("all is read again", retrieve(s.pop3(U0), 240) == 240)
        check("each stays open to be read again", s.segments_read() > 55, s.segments_read())
        s.stop()
        s.start()
        pop = s.pop3(U0)
        used, before = s.descriptors(), s.segments_read()
        most = [n for n in range(2000) if n not in used][8]
        resource.prlimit(s.proc.pid, resource.RLIMIT_NOFILE, (most, 2000))
        check("without descriptors all is read", retrieve(pop, 240) == 240)
        check("from the files there are", 0 < s.segments_read() <= before + 8 < 55, (s.segments_read(), before))
        resource.prlimit(s.proc.pid, resource.RLIMIT_NOFILE, (2000, 2000))


for test in (limits_of_addresses, errors_of_addresses, limits_of_users, helo_checks, sender_checks, trust, granted_senders, repairs,
             forwarding, few_descriptors, open_segments):
    print("# " + test.__name__, flush=True)
    try:
        test()
    except Exception as e:  # the other tests still say what they have to say
        check(test.__name__, False, repr(e))
finish()
