"""The PROXY protocol on every port (--proxy-from), versions 1 and 2, in pieces and at once."""
import socket
import ssl
import struct
import time

from harness import Server, Standstill, check, finish, wait_for

MAGIC = b"\r\n\r\n\0\r\nQUIT\n"
GREETINGS = {"smtp": b"220 ", "submission": b"220 ", "lmtp": b"220 ", "pop3": b"+OK", "imap": b"* OK"}


def v1(client, six=False):
    return b"PROXY TCP%d %s %s 40000 25\r\n" % (6 if six else 4, client.encode(), b"2001:db8::25" if six else b"192.0.2.25")


def v2(client, extra=b""):
    six = ":" in client
    family = socket.AF_INET6 if six else socket.AF_INET
    body = socket.inet_pton(family, client) * 2 + struct.pack(">HH", 40000, 25) + extra
    return MAGIC + bytes([0x21, 0x21 if six else 0x11]) + struct.pack(">H", len(body)) + body


def connect(s, port):
    c = socket.create_connection(("127.0.0.1", s.ports[port]), 20)
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return c


def read(c, seconds=30):
    """What came; b"" when the connection has ended, None when nothing happens."""
    c.settimeout(seconds)
    try:
        return c.recv(4096)
    except ConnectionError:
        return b""
    except OSError:
        return None


def talk(s, port, data, pieces=False):
    c = connect(s, port)
    if pieces:
        for i in range(len(data)):
            c.sendall(data[i:i + 1])
            time.sleep(0.0005)
    else:
        c.sendall(data)
    return c, read(c)


def every_port(s):
    for port, greeting in GREETINGS.items():
        for name, header in (("v1", v1("192.0.2.10")), ("v2", v2("192.0.2.11")), ("v1, IPv6", v1("2001:db8::a", True)), ("v2, IPv6, extensions", v2("2001:db8::b", b"\4\0\2xy"))):
            c, got = talk(s, port, header)
            check("%s: %s" % (port, name), got is not None and got.startswith(greeting), got)
            c.close()
        c, got = talk(s, port, v1("192.0.2.12"), pieces=True)
        check(port + ": octet by octet", got is not None and got.startswith(greeting), got)
        c.close()
    for port, greeting in (("imaps", b"* OK"), ("pop3s", b"+OK"), ("submissions", b"220 ")):
        c = connect(s, port)
        c.sendall(v2("192.0.2.13"))
        t = s.context().wrap_socket(c, server_hostname="localhost")
        check(port + ": TLS behind the header", read(t).startswith(greeting))
        t.close()
    check("the log has the clients", wait_for(lambda: "192.0.2.11" in s.log_text() and "2001:db8::b" in s.log_text()))


def with_more_behind(s):
    """What comes in one piece with the header is not lost, TLS neither."""
    c, got = talk(s, "imap", v1("192.0.2.20") + b"a LOGOUT\r\n")
    while got and b"a OK" not in got:
        more = read(c)
        if not more:
            break
        got += more
    check("a command behind the header", b"* OK" in got and b"a OK" in got, got)
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = s.context().wrap_bio(inbound, outbound, server_hostname="localhost")
    c, first = connect(s, "imaps"), v2("2001:db8::21")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            c.sendall(first + outbound.read())
            first = b""
            inbound.write(read(c))
    c.sendall(outbound.read())
    greeting = b""
    while b"\n" not in greeting:
        try:
            greeting += tls.read(1000)
        except ssl.SSLWantReadError:
            inbound.write(read(c))
    check("a ClientHello behind the header", greeting.startswith(b"* OK"), greeting)


def bad(s):
    for name, data in (("none", b"EHLO client.test\r\n"), ("a broken one", b"PROXY TCP4 192.0.2.1\r\n"), ("version 3", MAGIC + b"\x31\x11\0\0"), ("too long", MAGIC + b"\x21\x11\xff\xff"),
                       ("an endless line", b"PROXY UNKNOWN " + b"x" * 200)):
        _, got = talk(s, "smtp", data)
        check("closed without a word: " + name, got == b"", got)
    check("which the log tells", wait_for(lambda: s.log_text().count("proxy-header-bad") == 5, 10))
    for name, data in (("LOCAL", MAGIC + b"\x20\0\0\0"), ("UNKNOWN", b"PROXY UNKNOWN\r\n"), ("UNSPEC", MAGIC + b"\x21\0\0\0")):
        _, got = talk(s, "smtp", data)
        check(name + " stays the proxy's own address", got is not None and got.startswith(b"220 "), got)
    c = connect(s, "smtp")
    c.sendall(b"PROX")
    c.close()


def silent(s):
    """--handshake-timeout 2s"""
    with Standstill() as still:
        begin = time.monotonic()
        got = read(connect(s, "smtp"), 60)
        took = time.monotonic() - begin
        check("no header at all: closed in time", got == b"" and 1 < took < 8 + still.seconds, (got, took, still.seconds))


def counted(s):
    """--max-connections-address 3 counts the clients, not the proxy."""
    held = [talk(s, "smtp", v1("192.0.2.%d" % i)) for i in range(60, 66)]
    check("six clients through one proxy", all(got.startswith(b"220 ") for _, got in held))
    same = [talk(s, "smtp", v2("192.0.2.99")) for _ in range(4)]
    check("the fourth of one client is refused", [got[:3] for _, got in same] == [b"220", b"220", b"220", b"421"], [g for _, g in same])


def others(s):
    for port, header in (("smtp", v1("192.0.2.1")), ("smtp", v2("192.0.2.1"))):
        c, got = talk(s, port, header + b"EHLO x\r\n")
        more = got + (read(c) or b"")
        check("nobody else may send one", got.startswith(b"220 ") and b"250-" not in more, more)


class Proxied(Server):
    """It is up when it answers a proxy."""

    def answers(self):
        try:
            c, got = talk(self, "imap", MAGIC + b"\x20\0\0\0")
        except OSError:
            return False
        c.close()
        return bool(got)


def main():
    proxied = ["--proxy-from", "127.0.0.0/8", "--max-connections-address", "3"]
    with Proxied(users=2, flags=proxied, plaintext=False) as s:
        every_port(s)
        with_more_behind(s)
        bad(s)
        counted(s)
    with Proxied(users=2, flags=proxied + ["--handshake-timeout", "2s"]) as s:
        silent(s)
    with Server(users=2) as s:
        others(s)
    finish()


main()
