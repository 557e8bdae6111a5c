"""kill -9 while the queue works: what was acknowledged reaches the next hop, and what
reaches it twice had been answered 250 in the life of the server that was killed."""
import random
import smtplib
import socket
import socketserver
import threading
import time

from harness import DOMAIN, LONG, Server, check, finish, free_ports, wait_for

KILLS = 100 if LONG else 12
USER = "u0@" + DOMAIN


class Hop(socketserver.ThreadingTCPServer):
    """A next hop that keeps, for each message, in which lives of the server it said 250:
    each life has a name of its own in EHLO."""
    allow_reuse_address = daemon_threads = True
    request_queue_size = 200

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Talk)
        self.taken, self.lock = {}, threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass # a killed client is what this is about


class Talk(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line + b"\r\n")
        self.wfile.flush()

    def handle(self):
        self.say(b"220 hop.test ESMTP")
        while True:
            line = self.rfile.readline(4096)
            verb = line[:4].upper()
            if not line or verb == b"QUIT":
                return
            if verb == b"EHLO":
                self.life = line[4:].strip().decode()
                self.say(b"250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8")
            elif verb == b"DATA":
                self.say(b"354 go on")
                self.text()
            else:
                self.say(b"250 2.0.0 fine")

    def text(self):
        lines = []
        while True:
            line = self.rfile.readline(65536)
            if not line:
                raise ConnectionError
            if line == b".\r\n":
                break
            lines.append(line)
        name = next(l for l in lines if l.startswith(b"Subject: "))[9:].strip().decode()
        time.sleep(random.random() * 0.02)
        with self.server.lock:
            self.server.taken.setdefault(name, []).append(self.life)
        self.say(b"250 2.0.0 taken")


def sender(s, number, acknowledged, stop):
    count = 0
    while not stop.is_set():
        try:
            with smtplib.SMTP("127.0.0.1", s.ports["submission"], timeout=5) as c:
                c.ehlo("client.test")
                c.login(USER, "pw")
                while not stop.is_set():
                    name = "m%d-%d" % (number, count)
                    count += 1
                    c.sendmail(USER, ["x@away%d.test" % (count % 3)], "Subject: %s\r\n\r\n%s\r\n" % (name, "text " * 50))
                    acknowledged.append(name)
        except (OSError, smtplib.SMTPException):
            time.sleep(0.02)


def main():
    port = free_ports(1)[0]
    hop = Hop(port)
    s = Server(flags=["--relay", "127.0.0.1:%d" % port, "--retry-first", "1s", "--retry-max", "1s", "--unlimited-from", "127.0.0.0/8",
                      "--destination-sessions", "4", "--hostname", "life0.test"])
    s.start()
    stop, acknowledged = threading.Event(), []
    threads = [threading.Thread(target=sender, args=(s, i, acknowledged, stop)) for i in range(3)]
    for t in threads:
        t.start()
    for i in range(KILLS):
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) >= before + 12)
        time.sleep(0.3 + random.random())
        s.kill()
        s.flags[-1] = "life%d.test" % (i + 1)
        s.start()
    stop.set()
    for t in threads:
        t.join()
    known = wait_for(lambda: all(hop.taken.get(n) for n in acknowledged), 120, 0.5)
    time.sleep(2)
    lost = [n for n in acknowledged if not hop.taken.get(n)]
    twice = {n: lives for n, lives in hop.taken.items() if len(lives) > 1}
    unexplained = {n: lives for n, lives in twice.items() if len(set(lives)) != len(lives)}
    print("# %d kills, %d acknowledged, %d at the next hop, %d of them more than once" % (KILLS, len(acknowledged), len(hop.taken), len(twice)))
    check("there was work", len(acknowledged) > 10 * KILLS and hop.taken, len(acknowledged))
    check("nothing acknowledged is lost", known and not lost, lost[:10])
    check("no message goes out twice in one life of the server", not unexplained, list(unexplained.items())[:5])
    check("duplicates are few: at most what was under way at a kill", len(twice) <= KILLS * 12, len(twice))
    s.stop()
    hop.shutdown()
    finish()


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    main()
