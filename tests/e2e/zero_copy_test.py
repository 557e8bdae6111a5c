"""--zero-copy: large bodies arrive octet for octet, slow readers and killed clients beside them, and nothing stays lent."""
import concurrent.futures
import random
import re
import socket
import time

from harness import Server, check, finish, wait_for

PORTS = ("imap", "imaps", "pop3", "pop3s")
SIZES = (1_000, 20_000, 100_000, 300_000, 3_000_000)
ROUNDS = 25


def message(size, seed):
    rng = random.Random(seed)
    lines = [b"Subject: %d\r\n\r\n" % size]
    left = size
    while left > 0:
        lines.append(rng.randbytes(35).hex().encode() + b"\r\n")
        left -= len(lines[-1])
    return b"".join(lines)


def open_socket(s, name, small=False):
    """A socket whose receive buffer may be too small for anything to be let go soon."""
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", s.ports[name]))
    if name in ("imaps", "pop3s"):
        sock = s.context().wrap_socket(sock, server_hostname="localhost")
    return sock


def read_until(sock, end, piece=65536, pause=0.0):
    """Bytes up to a last line that begins with `end`, which is a pattern."""
    last = re.compile(rb"\r\n(?:%s)[^\n]*\r\n\Z" % end)
    got, tail = [], b"\r\n"
    while True:
        data = sock.recv(piece)
        if not data:
            raise EOFError(b"".join(got)[-200:])
        got.append(data)
        tail = (tail + data)[-4096:]
        if last.search(tail):
            return b"".join(got)
        if pause:
            time.sleep(pause)


def ask(sock, text, end, **how):
    sock.sendall(text + b"\r\n")
    return read_until(sock, end, **how)


def log_in(s, name, small=False):
    """To an account of this port's own; a maildrop is free again when the server has seen the last session end."""
    user, end = s.users[PORTS.index(name)].encode(), time.monotonic() + 30
    while True:
        sock = open_socket(s, name, small)
        if name.startswith("imap"):
            read_until(sock, rb"\* OK")
            ask(sock, b"a LOGIN %s pw" % user, b"a OK")
            ask(sock, b"b SELECT INBOX", b"b OK")
            return sock
        read_until(sock, rb"\+OK")
        ask(sock, b"USER " + user, rb"\+OK")
        if ask(sock, b"PASS pw", rb"\+OK|-ERR").startswith(b"+OK"):
            return sock
        sock.close()
        if time.monotonic() > end:
            raise TimeoutError("the maildrop stays in use")


def body(name, sock, n, **how):
    """Message n as this protocol tells it, the frame around it taken off."""
    if name.startswith("imap"):
        got = ask(sock, b"c UID FETCH %d BODY.PEEK[]" % n, b"c OK", **how)
        first, rest = got.split(b"\r\n", 1)
        return rest[:int(first[first.rindex(b"{") + 1:-1])]
    got = ask(sock, b"RETR %d" % n, rb"\.", **how)
    return got.split(b"\r\n", 1)[1][:-3]


def fetches_are_equal(s, name, messages):
    sock = log_in(s, name)
    wrong = [(n, len(m)) for _ in range(2) for n, m in enumerate(messages, 1) if body(name, sock, n) != m]
    check("%s: bodies are the same" % name, not wrong, wrong)
    if name.startswith("imap"):
        got = ask(sock, b"d FETCH 1:* BODY.PEEK[]", b"d OK")
        at = [got.find(m) for m in messages]
        check("%s: and in order, many at once" % name, -1 not in at and at == sorted(at), at)
    sock.close()


def slow_reader(s, name, m):
    sock = log_in(s, name, small=True)
    got = body(name, sock, 4, piece=3000, pause=0.002)
    check("%s: a slow reader gets all of it" % name, got == m, len(got))
    sock.close()


def dies_in_the_middle(s, name, rng):
    for i in range(ROUNDS):
        small = i % 2 == 0
        sock = log_in(s, name, small)
        sock.sendall(b"c FETCH 1:* BODY.PEEK[]\r\n" if name.startswith("imap") else b"RETR 5\r\nRETR 4\r\n")
        left = rng.randrange(20_000 if small else 200_000)
        while left > 0:
            left -= len(sock.recv(min(left, 65536)))
        if i % 3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()


def at_once(jobs):
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(*job) for job in jobs]:
            done.result()


with Server(users=4, flags=["--zero-copy", "16K", "--unlimited-from", "127.0.0.0/8", "--max-connections-user", "100"]) as server:
    mails = [message(size, size) for size in SIZES]
    for address in server.users:
        client = server.imap(address)
        for mail in mails:
            client.append("INBOX", None, None, mail)
        client.logout()
    for port in PORTS:
        fetches_are_equal(server, port, mails)
    at_once([(slow_reader, server, port, mails[3]) for port in PORTS])
    at_once([(dies_in_the_middle, server, port, random.Random(k)) for k, port in enumerate(PORTS)])
    for port in PORTS:
        fetches_are_equal(server, port, mails)
    check("connections and what they had lent are gone",
          wait_for(lambda: server.stat()["total"]["connections"] == 0 and server.stat()["total"]["buffered"] == 0))
    total = server.stat()["total"]
    check("sends lent their octets", total["sends_zero_copy"] >= ROUNDS, total["sends_zero_copy"])
    check("loopback copied them, and was noticed", 0 < total["sends_copied"] <= total["sends_zero_copy"],
          (total["sends_copied"], total["sends_zero_copy"]))
    held = log_in(server, "imap", small=True)
    held.sendall(b"c FETCH 1:* BODY.PEEK[]\r\n")
    time.sleep(0.2)
finish()
