"""A client of SMTP and LMTP for the end-to-end tests: octets as they are, replies one by one."""
import base64
import random
import socket
import string

from harness import DOMAIN

U0, U1 = "u0@" + DOMAIN, "u1@" + DOMAIN
HEAD = b"From: Ann <ann@client.test>\r\nTo: someone\r\nSubject: %s\r\nMessage-ID: <%s@client.test>\r\n"
FROM, TO = b"MAIL FROM:<sender@client.test>\r\n", b"RCPT TO:<%s>\r\n" % U0.encode()


def token():
    return "t" + "".join(random.choices(string.ascii_lowercase, k=12))


def mail(tok, body=b"hello\r\n", head=b""):
    return HEAD % (tok.encode(), tok.encode()) + head + b"\r\n" + body


class Smtp:
    """A client that sends octets as they are and reads replies one by one."""

    def __init__(self, server, port="smtp", hello=True, tls=False, seconds=20, source="127.0.0.1"):
        self.server = server
        self.sock = socket.create_connection(("127.0.0.1", server.ports[port]), seconds, source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.offers = b"", ""
        if tls:
            self.handshake()
        self.greeting = self.reply()
        if hello:
            self.ehlo()

    def handshake(self):
        self.sock = self.server.context().wrap_socket(self.sock, server_hostname="localhost")

    def ehlo(self):
        code, self.offers = self.cmd(b"EHLO client.test\r\n")
        return code

    def starttls(self):
        code, _ = self.cmd(b"STARTTLS\r\n")
        if code == 220:
            self.handshake()
        return code

    def send(self, data):
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

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

    def reply(self):
        """Code and text of the next reply; 0 when the connection has ended."""
        text = b""
        while True:
            line = self.line()
            text += line
            if not line:
                return 0, text.decode("latin-1")
            if line[3:4] != b"-":
                return int(line[:3]), text.decode("latin-1")

    def cmd(self, data):
        self.send(data)
        return self.reply()

    def code(self, data):
        return self.cmd(data)[0]

    def begin(self, rcpt=TO, sender=FROM):
        return self.code(sender), self.code(rcpt)

    def data(self, message, end=b".\r\n", rcpt=TO, sender=FROM):
        """A whole transaction; the code of its last reply."""
        for command in (sender, rcpt, b"DATA\r\n"):
            code = self.code(command)
            if code not in (250, 354):
                return code
        return self.code(message + end)

    def bdat(self, chunk, last=False):
        return self.code(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)

    def in_step(self):
        return self.code(b"RSET\r\n") == 250

    def closed(self, seconds=60):
        self.sock.settimeout(seconds)
        try:
            while True:
                got = self.sock.recv(65536)
                if not got:
                    return True
                self.buffer += got
        except ConnectionError:
            return True
        except OSError:
            return False

    def auth(self, user=U0, password="pw"):
        return self.code(b"AUTH PLAIN " + base64.b64encode(b"\0%s\0%s" % (user.encode(), password.encode())) + b"\r\n")

    def close(self):
        self.sock.close()


def find(s, tok, user=U0):
    """The octets of every message of `user` whose Subject is the token, as IMAP gives them."""
    m = s.imap(user)
    m.select(readonly=True)
    found = m.search(None, "SUBJECT", tok)[1][0].split()
    bodies = [m.fetch(n, "(BODY.PEEK[])")[1][0][1] for n in found]
    m.logout()
    return bodies


def stored(s, tok, user=U0):
    bodies = find(s, tok, user)
    return bodies[0] if len(bodies) == 1 else None


def kept(s, tok, message, user=U0):
    """Exactly one message, and behind the trace fields it is what was sent."""
    got = stored(s, tok, user)
    return got is not None and got.endswith(message) and got[:-len(message)].startswith(b"Return-Path: <")
