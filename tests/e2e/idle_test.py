"""Memory: 10,000 logged-in idle IMAP connections, plain and TLS; a 100 MB message through the server."""
import hashlib
import re
import resource
import selectors
import socket
import ssl
import time

from harness import RELEASE, Server, check, finish, skip

COUNT = 10_000
PLAIN_MAX, TLS_MAX = 2048, 8192


def raise_descriptors(want):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want), max(hard, want)))
        return True
    except (OSError, ValueError):
        return hard >= want and not resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


def login(s, user, context):
    c = socket.create_connection(("127.0.0.1", s.ports["imaps" if context else "imap"]), 30)
    if context:
        c = context.wrap_socket(c, server_hostname="localhost")
    c.sendall(b'a LOGIN "%s" pw\r\nb SELECT INBOX\r\nc IDLE\r\n' % user.encode())
    got = b""
    while b"\r\n+ " not in got:
        piece = c.recv(4096)
        if not piece:
            raise RuntimeError("closed at login: %r" % got)
        got += piece
    return c


def idle(name, tls, limit):
    with Server(users=200, binary=RELEASE, flags=["--unlimited-from", "127.0.0.0/8"]) as s:
        context = s.context() if tls else None
        warm = [login(s, s.users[n % 200], context) for n in range(400)]  # tables, pools and users exist before we count
        time.sleep(1)
        before, conns = s.memory(), []
        for n in range(COUNT):
            conns.append(login(s, s.users[n % 200], context))
        time.sleep(2)
        each = (s.memory() - before) / COUNT
        print("%s: %.0f octets of user memory per logged-in, selected, idle connection (%d connections)" % (name, each, COUNT))
        check("%s: below %d octets each" % (name, limit), each < limit, each)
        # They are alive: mail for one user wakes exactly his connections.
        s.send([s.users[0]], b"From: a@client.test\r\nSubject: wake\r\n\r\nx\r\n")
        mine = [c for n, c in enumerate(warm + conns) if (n % 200 if n < 400 else (n - 400) % 200) == 0]
        woken = 0
        with selectors.DefaultSelector() as sel:
            for c in mine:
                sel.register(c, selectors.EVENT_READ)
            end = time.monotonic() + 60
            while woken < len(mine) and time.monotonic() < end:
                for key, _ in sel.select(1):
                    if b"EXISTS" in key.fileobj.recv(4096):
                        woken += 1
                        sel.unregister(key.fileobj)
        check("%s: all %d idle connections of the recipient were told" % (name, len(mine)), woken == len(mine), woken)
        for c in warm + conns:
            c.close()


def large():
    size, line = 100_000_000, b"0123456789abcdef" * 4 + b"\r\n"
    with Server(users=2, binary=RELEASE, flags=["--max-message-size", "120M", "--recent-memory", "16M"]) as s:
        # The memory for the newest mail (--recent-memory) is there to be filled: fill it first.
        s.send(s.users, b"From: a@client.test\r\n\r\n" + line * (90_000_000 // len(line)))
        for user in s.users:
            m = s.imap(user)
            m.select()
            m.fetch("1", "BODY[]")
            m.logout()
        before = s.memory()
        f = s.raw("smtp", 120)
        f.readline()
        peak = 0
        for cmd in (b"EHLO big.test", b"MAIL FROM:<a@client.test>", b"RCPT TO:<%s>" % s.users[0].encode(), b"RCPT TO:<%s>" % s.users[1].encode(), b"DATA"):
            f.write(cmd + b"\r\n")
            f.flush()
            while (got := f.readline())[3:4] == b"-":
                pass
        check("354", got.startswith(b"354"), got)
        block, digest, sent = line * 5000, hashlib.sha256(), 0
        head = b"Subject: big\r\n\r\n"
        f.write(head)
        digest.update(head)
        while sent < size:
            f.write(block)
            digest.update(block)
            sent += len(block)
            peak = max(peak, s.memory())
        f.write(b".\r\n")
        f.flush()
        got = f.readline()
        check("a message of 100 MB is taken", got.startswith(b"250"), got)
        for user in s.users:
            i = s.raw("imap", 120)
            i.readline()
            i.write(b'a LOGIN "%s" pw\r\nb SELECT INBOX\r\nc FETCH 2 BODY.PEEK[TEXT]\r\n' % user.encode())
            i.flush()
            while not (m := re.search(rb"\{(\d+)\}\r\n$", i.readline())):
                pass
            left, back = int(m[1]), hashlib.sha256(head)
            while left:
                piece = i.read(min(left, 1 << 20))
                back.update(piece)
                left -= len(piece)
                peak = max(peak, s.memory())
            check("%s reads the 100 MB as sent" % user, back.hexdigest() == digest.hexdigest())
        grown = peak - before
        print("resident memory rose by at most %.1f MB while 100 MB came in and went out twice" % (grown / 1e6))
        check("a 100 MB message costs a few MB", grown < 12_000_000, grown)


if raise_descriptors(COUNT + 2000):
    idle("plain TCP", False, PLAIN_MAX)
    idle("TLS", True, TLS_MAX)
else:
    skip("10,000 idle connections", "the descriptor limit cannot be raised here")
large()
finish()
