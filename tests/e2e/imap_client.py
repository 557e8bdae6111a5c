"""An IMAP client for tests: sees every octet, and believes about a mailbox exactly what it was told.

    c = Client(server, "u0@example.test")         # logged in
    r = c.do("SELECT INBOX")                      # r.status, r.code, r.text, r.lines (untagged, literals inside)
    c.uids                                        # what the client knows by EXISTS, EXPUNGE and FETCH
"""
import re
import socket
import ssl


class Reply:
    def __init__(self, tagged, lines):
        self.line, self.lines = tagged, lines
        parts = tagged.split(b" ", 2)
        self.status = parts[1].decode() if len(parts) > 1 else ""
        self.text = parts[2] if len(parts) > 2 else b""
        code = re.match(rb"\[([^\]]*)\]", self.text)
        self.code = code[1].decode() if code else ""

    def __repr__(self):
        return "%r %r" % (self.line, self.lines[:6])

    def having(self, word):
        return [line for line in self.lines if word in line]


class Closed(Exception):
    pass


class Client:
    def __init__(self, server, user=None, password="pw", tls=False, seconds=30):
        self.port = server.ports["imaps" if tls else "imap"]
        self.sock = socket.create_connection(("127.0.0.1", self.port), seconds)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = server.context().wrap_socket(self.sock, server_hostname="localhost")
        self.server, self.buffer, self.number = server, b"", 0
        self.messages, self.wrong = None, []  # a dict of what is known for each sequence number; impossible responses
        self.greeting = self.line()
        if user:
            r = self.do('LOGIN "%s" "%s"' % (user, password))
            assert r.status == "OK", r

    # --- octets ---

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def take(self, n):
        parts, left = [], n  # joined once: a literal may be large
        while left > 0:
            if not self.buffer:
                self.more()
            parts.append(self.buffer[:left])
            self.buffer = self.buffer[left:]
            left -= len(parts[-1])
        return b"".join(parts)

    def line(self):
        """One response with its literals in place, without the last CRLF."""
        whole = b""
        while True:
            while b"\r\n" not in self.buffer:
                self.more()
            part, self.buffer = self.buffer.split(b"\r\n", 1)
            whole += part
            literal = re.search(rb"\{(\d+)\}$", part)
            if not literal:
                return whole
            whole += b"\r\n" + self.take(int(literal[1]))

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def starttls(self):
        r = self.do("STARTTLS")
        assert r.status == "OK", r
        self.sock = self.server.context().wrap_socket(self.sock, server_hostname="localhost")

    # --- commands ---

    def begin(self, command):
        """Sends a command with a new tag and waits for nothing."""
        self.number += 1
        tag = "t%d" % self.number
        data = command if isinstance(command, bytes) else command.encode()
        self.send(tag.encode() + b" " + data + b"\r\n")
        return tag

    def finish(self, tag, command=b""):
        lines = []
        fetch_by_number = re.match(rb"(FETCH|STORE|SEARCH)", command)
        while True:
            line = self.line()
            if line.startswith(tag.encode() + b" "):
                return Reply(line, lines)
            lines.append(line)
            self.believe(line, bool(fetch_by_number))

    def do(self, command):
        data = command if isinstance(command, bytes) else command.encode()
        if re.match(rb"(SELECT|EXAMINE) ", data):
            self.messages = {}
        return self.finish(self.begin(data), data)

    def literal(self, head, data, tail=b""):
        """A command with a synchronising literal."""
        self.number += 1
        tag = "t%d" % self.number
        self.send(("%s %s{%d}\r\n" % (tag, head, len(data))).encode())
        lines = []
        while True:
            line = self.line()
            if line.startswith(b"+"):
                break
            if line.startswith(tag.encode()):
                return Reply(line, lines)
            lines.append(line)
            self.believe(line, False)
        self.send(data + tail + b"\r\n")
        r = self.finish(tag)
        r.lines = lines + r.lines
        return r

    def append(self, mailbox, data, before=""):
        return self.literal('APPEND "%s" %s' % (mailbox, before), data)

    def idle(self):
        tag = self.begin("IDLE")
        while not self.line().startswith(b"+"):
            pass
        return tag

    def done(self, tag):
        self.send(b"DONE\r\n")
        return self.finish(tag)

    # --- what the client believes (RFC 3501, 5.2, 7.4.1) ---

    def believe(self, line, fixed):
        if self.messages is None:
            return
        m = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)", line)
        if not m:
            return
        n, count = int(m[1]), len(self.messages)
        if m[2] == b"EXISTS":
            if n < count:
                self.wrong.append("EXISTS %d lowers %d" % (n, count))
            for i in range(count + 1, n + 1):
                self.messages[i] = {}
        elif not 1 <= n <= count:
            self.wrong.append("no such number: %r of %d" % (line[:60], count))
        elif m[2] == b"EXPUNGE":
            if fixed:
                self.wrong.append("EXPUNGE within FETCH, STORE or SEARCH: %r" % line)
            for i in range(n, count):
                self.messages[i] = self.messages[i + 1]
            del self.messages[count]
        else:
            uid = re.search(rb"UID (\d+)", line)
            flags = re.search(rb"FLAGS \(([^)]*)\)", line)
            if uid:
                known = self.messages[n].get("uid")
                if known not in (None, int(uid[1])):
                    self.wrong.append("message %d was UID %d, now %s" % (n, known, uid[1]))
                self.messages[n]["uid"] = int(uid[1])
            if flags:
                self.messages[n]["flags"] = set(flags[1].split()) - {b"\\Recent"}

    def close(self):
        self.sock.close()
