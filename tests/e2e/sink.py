"""A hop that does as it is told: an SMTP or LMTP server on a loopback port, by threads.

    with Sink() as s:                       # s.port
        s.on_rcpt = lambda sink, who: "550 5.1.1 no" if who.startswith("no") else None
        ...
        s.mails[0].sender, .rcpts, .text, .params

Each on_x gives the whole answer (text, may hold CR LF in it; bytes), None for the usual
one, or DROP to close the connection in place of an answer.
"""
import socket
import threading
import time

DROP = object()


class Mail:
    def __init__(self, sender, params):
        self.sender, self.params, self.rcpts, self.rcpt_params, self.text = sender, params, [], [], b""


class Sink:
    def __init__(self, lmtp=False, offers=("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"), port=0, greet=True):
        self.lmtp, self.offers, self.greet = lmtp, list(offers), greet
        self.mails, self.sessions, self.open, self.most, self.lock = [], 0, 0, 0, threading.Lock()
        self.on_greet = self.on_mail = self.on_rcpt = self.on_dot = lambda *a: None
        self.delay = 0
        self.times = []
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(200)
        self.port = self.socket.getsockname()[1]
        self.ended = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def close(self):
        self.ended = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # --- one session ---

    def serve(self, c):
        with self.lock:
            self.sessions += 1
            self.open += 1
            self.most = max(self.most, self.open)
            self.times.append(time.monotonic())
        try:
            if self.greet:
                self.talk(c, c.makefile("rb"))
            else:
                c.recv(1)
        except (OSError, ValueError, ConnectionError):
            pass
        finally:
            with self.lock:
                self.open -= 1
            c.close()

    def say(self, c, answer, usual):
        answer = usual if answer is None else answer
        if answer is DROP:
            raise ConnectionError
        c.sendall((answer if isinstance(answer, bytes) else answer.encode()) + b"\r\n")
        return answer

    def talk(self, c, f):
        mail = None
        if not str(self.say(c, self.on_greet(self), "220 sink ESMTP")).startswith("220"):
            return
        while True:
            line = f.readline()
            if not line:
                return
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb = text[:4].upper()
            if verb in ("EHLO", "LHLO"):
                lines = ["sink"] + self.offers
                self.say(c, "\r\n".join("250%s%s" % (" " if i == len(lines) - 1 else "-", l) for i, l in enumerate(lines)), None)
            elif verb == "MAIL":
                path, _, params = text[10:].partition(">")
                mail = Mail(path.lstrip("<"), params.strip())
                if not str(self.say(c, self.on_mail(self, mail), "250 2.1.0 ok")).startswith("250"):
                    mail = None
            elif verb == "RCPT":
                path, _, params = text[8:].partition(">")
                who = path.lstrip("<")
                said = self.say(c, self.on_rcpt(self, who) if mail else "503 5.5.1 no MAIL", "250 2.1.5 ok")
                if mail and str(said).startswith("250"):
                    mail.rcpts.append(who)
                    mail.rcpt_params.append(params.strip())
            elif verb == "DATA":
                if not mail or not mail.rcpts:
                    self.say(c, "554 5.5.1 no recipients", None)
                    continue
                self.say(c, "354 go on", None)
                self.take(c, f, mail)
                mail = None
            elif verb == "QUIT":
                self.say(c, "221 2.0.0 bye", None)
                return
            else:
                self.say(c, "250 2.0.0 ok", None)

    def take(self, c, f, mail):
        lines = []
        while True:
            line = f.readline()
            if not line:
                raise ConnectionError
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        mail.text = b"".join(lines)
        if self.delay:
            time.sleep(self.delay)
        for who in mail.rcpts if self.lmtp else [None]:
            answer = self.on_dot(self, mail) if not self.lmtp else self.on_dot(self, mail, who)
            if answer is None or str(answer).startswith("2"):
                with self.lock:
                    if mail not in self.mails:
                        self.mails.append(mail)
            self.say(c, answer, "250 2.0.0 taken")
