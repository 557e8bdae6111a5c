"""SMTP and submission over sockets: what every client needs, and what no client may do.

The names in brackets are rows of the security matrix.
"""
import base64
import os
import random
import re
import smtplib
import socket
import ssl
import threading
import time

from harness import DOMAIN, Server, Standstill, check, finish, wait_for
from smtp_client import FROM, TO, U0, U1, Smtp, find, kept, mail, stored, token


# --- commands -----------------------------------------------------------------------------


def commands(s):
    c = Smtp(s)
    check("greeting", c.greeting[0] == 220 and c.greeting[1].startswith("220 mail." + DOMAIN), c.greeting)
    offers = {line[4:].split()[0] for line in c.offers.splitlines()[1:]}
    check("offers on the MX port", offers == {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "LIMITS", "STARTTLS"}, offers)
    check("HELP, NOOP, RSET", [c.code(x) for x in (b"HELP\r\n", b"NOOP\r\n", b"noop with words\r\n", b"RSET\r\n")] == [214, 250, 250, 250])
    check("[S39] VRFY and EXPN tell nothing", len({c.cmd(v + b" " + a + b"\r\n") for v in (b"VRFY", b"EXPN") for a in (U0.encode(), b"nobody@" + DOMAIN.encode())}) == 1)
    check("[S06] DATA without RCPT", c.code(FROM) == 250 and c.code(b"DATA\r\n") == 503 and c.in_step())
    check("[S07] RCPT without MAIL", c.code(TO) == 503 and c.in_step())
    check("[S08] second MAIL", c.code(FROM) == 250 and c.code(FROM) == 503 and c.in_step())
    check("[S09] unknown parameter", c.code(FROM[:-2] + b" XYZZY=1\r\n") == 555 and c.in_step())
    check("[S11] BODY=9BIT", c.code(FROM[:-2] + b" BODY=9BIT\r\n") == 501 and c.in_step())
    check("[S12] SIZE too big", c.code(FROM[:-2] + b" SIZE=2000000000\r\n") == 552 and c.in_step())
    for size in (b"9" * 26, b"-1", b"", b"1e3", b"18446744073709551616", b"0x10"):
        code = Smtp(s).code(FROM[:-2] + b" SIZE=" + size + b"\r\n")
        check("[S10] SIZE=%s" % size.decode(), code in (501, 552), code)
    c = Smtp(s)
    for name, rcpt, codes in (("S13", b'<""@%s>' % DOMAIN.encode(), (550, 501)), ("S14", b"<" + U0.encode(), (501,)),
                              ("S15", b"<<%s>>" % U0.encode(), (501,)), ("S16", b"<" + b"a" * 70000 + b"@x.test>", (500, 501)),
                              ("S17", b"<postmaster>", (250,)), ("S17", b"<Postmaster@%s>" % DOMAIN.upper().encode(), (250,)),
                              ("S17", b"<abuse@%s>" % DOMAIN.encode(), (250,))):
        c.code(FROM)
        code = c.code(b"RCPT TO:" + rcpt + b"\r\n")
        check("[%s] RCPT TO:%s" % (name, rcpt[:30].decode()), code in codes and c.in_step(), code)
    c = Smtp(s, hello=False)
    check("MAIL before EHLO", c.code(FROM) == 503)
    check("[S18] EHLO with NUL", c.cmd(b"EHLO zq\0zqx\r\n")[0] == 501 and c.in_step())
    check("[S19] HELO alone", c.code(b"HELO\r\n") == 501)
    check("HELO", c.cmd(b"HELO client.test\r\n") == (250, "250 mail.%s\r\n" % DOMAIN))
    check("QUIT", c.code(b"QUIT\r\n") == 221 and c.closed())
    c = Smtp(s)
    check("EHLO ends a transaction", c.begin() == (250, 250) and c.ehlo() == 250 and c.code(b"DATA\r\n") == 503)


def lines(s):
    c = Smtp(s)
    code, _ = c.cmd(b"NOOP " + b"a" * 100_000 + b"\r\n")
    check("[S01] long line", code == 500 and c.in_step(), code)
    before, c = s.memory(), Smtp(s)
    for _ in range(128):
        if not c.send(b"x" * 65536):
            break
    check("[S02] no line end: 500, closed", c.reply()[0] in (500, 0) and c.closed())
    check("[S02] memory", s.memory() - before < 32 << 20)
    c = Smtp(s)
    check("[S03] NUL in MAIL", c.code(b"MAIL FROM:<a\0b@client.test>\r\n") == 501 and c.in_step())
    check("[S04] 8 bit without SMTPUTF8", c.code("MAIL FROM:<é@client.test>\r\n".encode()) == 553 and c.in_step())
    check("[S04b] no UTF-8", c.code(b"MAIL FROM:<\xff\xfe@client.test> SMTPUTF8\r\n") == 501 and c.in_step())
    check("[S05] CR does not end a line", c.code(b"NOOP\rQUIT\r\n") == 500 and c.in_step())
    check("LF does not end a line", c.code(b"NOOP\nQUIT\r\n") == 500 and c.in_step())
    c = Smtp(s)
    codes = [c.code(b"FROBNICATE\r\n") for _ in range(20)]
    check("[S27] too many errors", codes == [500] * 19 + [421] and c.closed(), codes)
    c = Smtp(s, hello=False)
    c.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" + FROM + TO)
    check("[S28] HTTP", c.reply()[0] == 421 and c.closed() and b"250" not in c.buffer)
    for hello, sender in ((b"a\rX-Inj: 1", b"<s@c.test>"), (b"c.test", b'<"a\rX-Inj: 1"@c.test>'), (b"c.test", b'<"a\nX-Inj: 1"@c.test>'),
                          (b"c.test", b"<a\rX-Inj: 1@c.test>")):
        c = Smtp(s, hello=False)
        codes = [c.code(b"EHLO " + hello + b"\r\n"), c.code(b"MAIL FROM:" + sender + b"\r\n")]
        check("[S38] header injection %r" % (hello + sender), codes[0] >= 500 or codes[1] >= 500, codes)


def pipelining(s):
    c = Smtp(s)
    c.send(FROM + TO * 2000)
    codes = [c.reply()[0] for _ in range(2001)]
    check("[S25] 2000 RCPT", codes == [250] * 1001 + [452] * 1000, {x: codes.count(x) for x in codes})
    t, c = token(), Smtp(s)
    c.send(FROM + TO * 5 + b"DATA\r\n")
    codes = [c.reply()[0] for _ in range(7)]
    check("[S26] one copy", codes == [250] * 6 + [354] and c.code(mail(t) + b".\r\n") == 250 and kept(s, t, mail(t)))
    t, c = token(), Smtp(s, hello=False)
    c.send(b"EHLO c.test\r\n" + FROM + TO + b"DATA\r\n" + mail(t) + b".\r\nQUIT\r\n")
    codes = []
    while not codes or codes[-1]:
        codes.append(c.reply()[0])
    check("[S36] text before the 354", codes == [250, 250, 250, 554, 0] and find(s, t) == [], codes)
    t, c, message = token(), Smtp(s, hello=False), None
    message, codes = mail(t, b".\r\nx\r\n".replace(b".", b"..")), []
    for part in (b"EHLO c.test\r\n", FROM, TO, b"DATA\r\n", message + b".\r\n"):
        for octet in part:
            c.send(bytes([octet]))
        codes.append(c.reply()[0])
    check("[S37] octet by octet", codes == [250, 250, 250, 354, 250] and kept(s, t, mail(t, b".\r\nx\r\n")), codes)
    t, c = token(), Smtp(s)
    check("commands right behind the dot", c.begin() == (250, 250) and c.code(b"DATA\r\n") == 354)
    c.send(mail(t) + b".\r\nNOOP\r\n" + FROM + TO + b"QUIT\r\n")
    check("answered in order", [c.reply()[0] for _ in range(5)] == [250, 250, 250, 250, 221])


# --- text ---------------------------------------------------------------------------------


def texts(s):
    for name, body in (("[S21] dots", b".\r\n..\r\n.x\r\n...\r\nend\r\n"),
                       ("[S22] all octets", b"".join(bytes([x]) * 3 + b"\r\n" for x in range(1, 256) if x not in (10, 13))),
                       ("[S24] 1 MB line", b"z" * 1_000_000 + b"\r\n"), ("empty body", b""), ("no line but a dot", b".\r\n"),
                       ("several chunks of the store", b"".join(b".%d %s\r\n" % (i, b"q" * 60) for i in range(20_000)))):
        t = token()
        message = mail(t, body)
        code = Smtp(s).data(re.sub(rb"(?m)^\.", b"..", message))
        check(name, code == 250 and kept(s, t, message), code)
    t = token()
    message = mail(t, b"b\r\n", b"X-Long: " + b"h" * 100_000 + b"\r\n")
    check("[S24] 100 kB header line", Smtp(s).data(message) == 250 and kept(s, t, message))
    c, t = Smtp(s), token()
    check("[S23] NUL", c.data(mail(t, b"a\0b\r\n")) == 554 and c.in_step() and find(s, t) == [])
    check("[R06] loop", c.data(b"Received: from a by b; Mon, 02 Mar 2026 10:00:00 +0000\r\n" * 51 + mail(t)) == 554 and c.in_step())
    check("[R06] fifty are fine", c.data(b"Received: from a by b; Mon, 02 Mar 2026 10:00:00 +0000\r\n" * 50 + mail(t)) == 250)
    c, t = Smtp(s), token()
    c.begin()
    check("[S34] DATA", c.code(b"DATA\r\n") == 354)
    c.send(mail(t, b"partial\r\n"))
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close()
    c, u = Smtp(s), token()
    c.begin()
    c.code(b"DATA\r\n")
    c.send(mail(u) + b".\r\n")
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close()
    time.sleep(0.5)
    check("[S34] cut off in DATA: nothing", find(s, t) == [])
    check("[S35] cut off after the dot: at most once", len(find(s, u)) <= 1)
    c, t = Smtp(s), token()
    c.begin()
    c.code(b"DATA\r\n")
    c.send(mail(t) + b".\r\n")
    c.sock.shutdown(socket.SHUT_WR)
    check("half-closed after the dot: answered", c.reply()[0] == 250 and c.closed() and len(find(s, t)) == 1)


def smuggling(s):
    for sep in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\n.\r\n", b"\r\n\0.\r\n",
                b"\r\n.\0\r\n", b"\n.\r", b"\r\n..\r\n"):
        a, b, c = token(), token(), Smtp(s)
        code = c.data(mail(a) + b"last" + sep + b"MAIL FROM:<admin@x.test>\r\n" + TO + b"DATA\r\n" + mail(b), b"\r\n.\r\n")
        more = c.code(b"NOOP\r\n")
        want = 250 if sep == b"\r\n..\r\n" else 554 if b"\0" in sep else 550
        check("[G01] %r" % sep, code == want and more == 250 and find(s, b) == [] and len(find(s, a)) == (code == 250), (code, more))
    t, c = token(), Smtp(s)
    c.begin()
    c.code(b"DATA\r\n")
    for part in (mail(t)[:-2], b"\r", b"\n", b".", b"\r", b"\n"):
        c.send(part)
        time.sleep(0.03)
    check("[G02] the end in six pieces", c.reply()[0] == 250 and kept(s, t, mail(t)))
    t, c = token(), Smtp(s)
    message = mail(t, b"a\nb\r\n")
    codes = [c.data(message)]
    c.begin()
    codes.append(c.bdat(message, True))
    check("[G03] DATA and BDAT agree", codes == [550, 550] and c.in_step() and find(s, t) == [], codes)
    check("[G04] LF LF in the header", Smtp(s).data(mail(t, b"x\r\n", b"X-A: 1\n\nX-B: 2\r\n")) == 550)


def chunking(s):
    c = Smtp(s)
    c.send(b"BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n")
    check("[S29] without MAIL", c.reply()[0] == 503 and c.in_step())
    for size in (b"-1", b"18446744073709551621", b"5 LASTX", b"5 5", b"", b"0x5", b"+5", b"20\0", b"20\n"):
        c = Smtp(s)
        c.begin()
        check("[S30] BDAT %r" % size, c.code(b"BDAT " + size + b"\r\n") == 501 and c.closed())
    t, c = token(), Smtp(s)
    message = mail(t, b".\r\n..\r\n.a\r\n")
    c.begin()
    codes = [c.bdat(message[:50]), c.bdat(b""), c.bdat(message[50:], True)]
    check("[S31] chunks", codes == [250] * 3 and kept(s, t, message), codes)
    t, c = token(), Smtp(s)
    message = mail(t, b"no line end")
    c.begin()
    check("BDAT 0 LAST", [c.bdat(message), c.bdat(b"", True)] == [250, 250] and kept(s, t, message))
    c = Smtp(s)
    c.begin()
    check("[S32] DATA behind BDAT", c.bdat(b"abcdef") == 250 and c.code(b"DATA\r\n") == 503 and c.in_step())
    t = token()
    check("[S32] nothing of the chunk is left", c.data(mail(t)) == 250 and b"abcdef" not in stored(s, t))
    c = Smtp(s)
    c.sock.settimeout(0.5)
    c.send(b"BDAT 10\r\n12345")
    early = c.line()
    c.sock.settimeout(20)
    check("the answer follows the octets (RFC 3030, 2)", early == b"" and c.code(b"67890") == 503 and c.in_step(), early)
    before, c = s.memory(), Smtp(s)
    c.begin()
    c.send(b"BDAT 4294967296 LAST\r\n" + b"q" * 100_000)
    check("[S33] 4 GiB", c.reply()[0] == 552 and s.memory() - before < 32 << 20)
    c = Smtp(s)
    c.begin()
    codes = [c.bdat(b"a\nb\r\n"), c.bdat(b"Subject: x\r\n\r\n", True), c.in_step()]
    check("a bad chunk ends the transaction", codes == [550, 503, True], codes)
    c = Smtp(s)
    c.begin()
    check("a CR at the very end", c.bdat(b"Subject: x\r\n\r\nend\r", True) == 550)
    c.begin()
    codes = [c.bdat(b"Subject: x\r\n\r\nend\r"), c.bdat(b"\n", True)]
    check("a CR whose LF comes with the next chunk", codes == [250, 250], codes)
    t, c = token(), Smtp(s)
    message = mail(t, b"x" * 300_000 + b"\r\n")
    c.send(FROM + TO + b"BDAT 100000\r\n" + message[:100_000] + b"BDAT %d LAST\r\n" % (len(message) - 100_000) + message[100_000:] + b"NOOP\r\n")
    codes = [c.reply()[0] for _ in range(5)]
    check("all of it pipelined", codes == [250] * 5 and kept(s, t, message), codes)


def sizes(s):
    """--max-message-size is 256K here."""
    c = Smtp(s)
    check("SIZE is announced", "250-SIZE 262144\r\n" in c.offers, c.offers)
    check("[S12] declared", c.code(FROM[:-2] + b" SIZE=262145\r\n") == 552 and c.code(FROM[:-2] + b" SIZE=262144\r\n") == 250 and c.in_step())
    t, used = token(), s.memory()
    code = c.data(mail(t) + (b"y" * 998 + b"\r\n") * 400)
    check("[S20] undeclared", code == 552 and c.in_step() and find(s, t) == [], code)
    exact = mail(t, b"")
    exact += b"z" * (262144 - len(exact) - 2) + b"\r\n"
    check("exactly the limit", c.data(exact) == 250 and kept(s, t, exact))
    check("one more", c.data(exact[:-2] + b"z\r\n") == 552)
    c.begin()
    codes = [c.bdat(b"a" * 200_000), c.bdat(b"b" * 100_000), c.bdat(b"c", True), c.in_step()]
    check("chunks over the limit", codes == [250, 552, 503, True], codes)
    c.begin()
    codes = [c.bdat(b"a" * 300_000, True), c.in_step()]
    check("a chunk over the limit is swallowed", codes == [552, True], codes)
    grown = s.memory() - used
    check("nothing is held", grown < 16 << 20, grown)


# --- who gets it ---------------------------------------------------------------------------


def quotas(s):
    """--quota 64K."""
    c, big = Smtp(s), mail(token(), b"q" * 40_000 + b"\r\n")
    check("[D22] half of it", c.data(big) == 250)
    check("[D22] too much at once", c.data(big) == 552 and c.in_step())
    check("[D22] declared: refused at RCPT", c.code(FROM[:-2] + b" SIZE=40000\r\n") == 250 and c.cmd(TO)[1].startswith("552 5.2.2 "))
    t = token()
    check("[D22] others are not touched", c.code(TO.replace(b"u0", b"u1")) == 250 and c.bdat(mail(t), True) == 250 and kept(s, t, mail(t), U1))
    check("[D22] there is room for little", c.data(mail(token())) == 250)
    m = s.imap(U0)
    m.select()
    m.store("1:*", "+FLAGS", "\\Deleted")
    m.expunge()
    m.logout()
    check("[D22] and for much when something was deleted", c.data(big) == 250)


def trace(s):
    t, c = token(), Smtp(s)
    c.data(mail(t))
    fields = stored(s, t)[:-len(mail(t))].decode()
    pattern = (r"Return-Path: <sender@client\.test>\r\nReceived: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby mail\.example\.test with ESMTP id \S+\r\n"
               r"\tfor <u0@example\.test>;\r\n\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n")
    check("Return-Path and Received", re.fullmatch(pattern, fields), fields)
    check("the id is in the log", wait_for(lambda: "id=" + re.search(r" id (\S+)", fields)[1] + " " in s.log_text(), 5))
    t = token()
    c.send(FROM + TO + TO.replace(b"u0", b"u1") + b"DATA\r\n")
    [c.reply() for _ in range(4)]
    c.code(mail(t) + b".\r\n")
    check("[X08] with two recipients neither is named", b"\tfor <" not in stored(s, t) and stored(s, t) == stored(s, t, U1))
    c, t = Smtp(s), token()
    c.starttls()
    c.ehlo()
    c.data(mail(t))
    check("with ESMTPS, and the cipher", re.search(rb"with ESMTPS id .*\r\n\tfor .*\r\n\ttls TLS_\w+;", stored(s, t)), stored(s, t))
    c, t = Smtp(s, "submissions", tls=True), token()
    c.auth()
    c.data(mail(t), sender=b"MAIL FROM:<%s>\r\n" % U0.encode())
    check("with ESMTPSA", b"with ESMTPSA id" in stored(s, t))
    c, t = Smtp(s, hello=False), token()
    c.code(b"HELO [192.0.2.1]\r\n")
    c.data(mail(t), sender=b"MAIL FROM:<>\r\n")
    check("HELO, and a bounce", re.match(rb"Return-Path: <>\r\nReceived: from \[192\.0\.2\.1\] \(\[127\.0\.0\.1\]\)\r\n\tby \S+ with SMTP id", stored(s, t)))
    c, t = Smtp(s), token()
    code = c.data(mail(t), sender="MAIL FROM:<é@client.test> BODY=8BITMIME SMTPUTF8\r\n".encode())
    got = stored(s, t)
    check("SMTPUTF8", code == 250 and "Return-Path: <é@client.test>".encode() in got and b"with UTF8SMTP id" in got, got)


def routing(s):
    """Aliases, a catch-all, subaddresses; see main() for the files."""
    def code(rcpt, sender=b"MAIL FROM:<s@client.test>\r\n"):
        c = Smtp(s)
        c.code(sender)
        return c.cmd(b"RCPT TO:<%s>\r\n" % rcpt.encode())

    for rcpt in ("team@" + DOMAIN, "u0+detail@" + DOMAIN, "U0@EXAMPLE.TEST", "anything@catch.test", '"u0"@' + DOMAIN):
        check("RCPT " + rcpt, code(rcpt)[0] == 250, code(rcpt))
    check("[R02] unknown user", code("nobody@" + DOMAIN)[1].startswith("550 5.1.1 "))
    check("[R03] also with <>", code("nobody@" + DOMAIN, b"MAIL FROM:<>\r\n")[0] == 550)
    check("relaying denied", code("x@other.test")[1].startswith("550 5.7.1 "))
    check("an alias that leads elsewhere", code("away@" + DOMAIN)[0] == 250)
    t, c = token(), Smtp(s)
    c.send(FROM + b"".join(b"RCPT TO:<%s>\r\n" % r.encode() for r in ("team@" + DOMAIN, U0, "u0+x@" + DOMAIN, "who@catch.test")) + b"DATA\r\n")
    codes = [c.reply()[0] for _ in range(6)]
    c.code(mail(t) + b".\r\n")
    check("an alias, its members and the catch-all: one copy each", codes == [250] * 5 + [354] and all(kept(s, t, mail(t), u) for u in s.users[:3]), codes)
    leaks = []
    for rcpt in ("<x@other.test>", "<x%other.test@" + DOMAIN + ">", "<other.test!x>", '<"x@other.test">', '<"x@other.test"@' + DOMAIN + ">", "<x@other.test@" + DOMAIN + ">",
                 "<@" + DOMAIN + ":x@other.test>", "<x@[127.0.0.2]>", "<x@[IPv6:::1]>", "<x@other.test.>", "x@other.test", "<x@" + DOMAIN + ".other.test>", "<x@\u212eother.test>"):
        for sender in ("<s@client.test>", "<>", "<" + U0 + ">", "<s@localhost>"):
            c = Smtp(s)
            c.code(b"MAIL FROM:" + sender.encode() + b"\r\n")
            if c.code(b"RCPT TO:" + rcpt.encode() + b"\r\n") < 500:
                leaks.append((sender, rcpt))
    check("[R01] relay forms", leaks == [], leaks)
    c = Smtp(s, "submission")
    check("[R04] submission without AUTH", c.cmd(b"MAIL FROM:<%s>\r\n" % U0.encode())[1].startswith("530 5.7.0 "))
    c.auth()
    check("[R05] another user's sender address", c.cmd(b"MAIL FROM:<%s>\r\n" % U1.encode())[1].startswith("553 5.7.1 "))
    check("senders of one's own", all(c.code(b"MAIL FROM:<%s>\r\n" % a.encode()) == 250 and c.in_step() for a in (U0, "u0+x@" + DOMAIN, "")))
    check("a group's address is not one's own", c.code(b"MAIL FROM:<team@%s>\r\n" % DOMAIN.encode()) == 553)
    c.code(b"MAIL FROM:<%s>\r\n" % U0.encode())
    check("users send to other domains", c.code(b"RCPT TO:<x@other.test>\r\n") == 250 and c.code(TO) == 250)


# --- TLS and logins ---------------------------------------------------------------------------


def starttls(s):
    """Without --allow-plaintext."""
    c = Smtp(s)
    c.send(b"STARTTLS\r\nRSET\r\nVRFY injected\r\n")
    check("[T01] STARTTLS", c.reply()[0] == 220)
    c.handshake()
    check("[T01] what came with it is gone", c.ehlo() == 250 and c.in_step())
    c = Smtp(s)
    check("[T04] in a transaction", c.code(FROM) == 250 and c.starttls() == 220)
    check("[T04] it is forgotten", c.code(TO) == 503 and c.code(FROM) == 503)
    check("[T04] not offered again", c.ehlo() == 250 and "STARTTLS" not in c.offers and c.code(b"STARTTLS\r\n") == 503)
    check("[T05] argument", Smtp(s).code(b"STARTTLS now\r\n") == 501)
    c = Smtp(s)
    c.send(b"STARTTLS\r\nEHLO ")
    c.reply()
    c.handshake()
    check("[T06] halves are not joined", c.code(b"joined.test\r\n") == 500)
    c = Smtp(s, "submission")
    check("[T07] AUTH in clear", "AUTH" not in c.offers and c.cmd(b"AUTH PLAIN AHUwQGV4YW1wbGUudGVzdABwdw==\r\n")[1].startswith("538 5.7.11 "))
    check("[R04] in clear", c.code(b"MAIL FROM:<%s>\r\n" % U0.encode()) == 530)
    c.starttls()
    c.ehlo()
    check("AUTH in TLS", "AUTH PLAIN LOGIN" in c.offers and c.auth() == 235 and c.ehlo() == 250 and "AUTH" not in c.offers)
    c = Smtp(s)
    c.code(b"STARTTLS\r\n")
    c.send(b"MAIL FROM:<a@b.test>\r\n" * 20)
    check("[T10] no ClientHello", c.closed() and b"250" not in c.buffer)
    c, t = Smtp(s, "submissions", tls=True), token()
    c.auth()
    c.begin(sender=b"MAIL FROM:<%s>\r\n" % U0.encode())
    c.code(b"DATA\r\n")
    c.send(mail(t) + b"text\r\n")
    raw = c.sock.detach()
    socket.socket(fileno=raw).close()
    check("[L05] end without close_notify in DATA", wait_for(lambda: "stored=0 refused=0" in s.log_text(), 10))


def logins(s):
    def b64(text):
        return base64.b64encode(text)

    c = Smtp(s)
    check("[A09] AUTH on the MX port", "AUTH" not in c.offers and c.auth() == 502 and c.in_step())
    c = Smtp(s, "submission")
    replies = [c.cmd(b"AUTH PLAIN " + b64(b"\0" + u + b"\0no") + b"\r\n") for u in (U0.encode(), b"nobody@x.test")]
    check("[A01] wrong password, unknown user", replies[0] == replies[1] and replies[0][1].startswith("535 5.7.8 "), replies)
    c = Smtp(s, "submission")
    check("[A02] not base64", c.code(b"AUTH PLAIN !!!!\r\n") == 501)
    check("[A02] cancelled", c.cmd(b"AUTH PLAIN\r\n") == (334, "334 \r\n") and c.code(b"*\r\n") == 501)
    check("[A02] empty", c.code(b"AUTH PLAIN =\r\n") in (501, 535))
    check("unknown mechanism", c.code(b"AUTH GSSAPI\r\n") == 504)
    check("[A02] then a good one", c.auth() == 235)
    check("[A04] twice", c.auth() == 503)
    c = Smtp(s, "submission")
    replies = [c.cmd(x + b"\r\n")[1] for x in (b"AUTH LOGIN", b64(U0.encode()), b64(b"pw"))]
    check("LOGIN", replies == ["334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n", "235 2.7.0 Authenticated\r\n"], replies)
    check("LOGIN with an initial response", [Smtp(s, "submission").code(b"AUTH LOGIN " + b64(U0.encode()) + b"\r\n")] == [334])
    check("[A04] in a transaction", c.code(b"MAIL FROM:<%s>\r\n" % U0.encode()) == 250 and c.auth() == 503)
    check("user names without a domain", Smtp(s, "submission").auth("U0") == 235)
    for text in (U0.encode(), b"\0" + U0.encode(), b"\0\0", b"\0%s\0pw\0x" % U0.encode(), b"%s\0%s\0pw" % (U1.encode(), U0.encode())):
        check("[A03] %r" % text, Smtp(s, "submission").code(b"AUTH PLAIN " + b64(text) + b"\r\n") in (501, 535))
    before, c = s.memory(), Smtp(s, "submission")
    c.send(b"AUTH PLAIN " + b"A" * 1_000_000 + b"\r\n")
    check("[A05] 1 MB line", c.reply()[0] == 500 and s.memory() - before < 32 << 20)
    c = Smtp(s, "submission")
    check("a long line of the exchange: 5.5.6 (RFC 4954, 4)", c.code(b"AUTH PLAIN\r\n") == 334 and
          c.cmd(b"A" * 13000 + b"\r\n")[1].startswith("500 5.5.6 ") and c.in_step())
    for user in (b"\xff\xfe", b"a\nb", b"../../etc/passwd", b"%u%n%s", b"*", b"' OR '1'='1", b"u" * 10_000, b"@", b"@@", b"a@" + b"b." * 500):
        code = Smtp(s, "submission").code(b"AUTH PLAIN " + b64(b"\0" + user + b"\0secretpassword") + b"\r\n")
        check("[A06] user %r" % user[:20], code in (535, 501, 500), code)
    c = Smtp(s, "submission")
    codes = [c.auth(U1, "bad") for _ in range(5)]
    check("[A08] five wrong passwords", codes == [535] * 4 + [421] and c.closed(), codes)
    check("[A08] then the right one", Smtp(s, "submission").auth(U1) == 235)
    others = [Smtp(s, "submission") for _ in range(20)]
    for c in others:
        c.send(b"AUTH PLAIN @@@\r\n" * 3)
    with Standstill() as still:
        begin = time.monotonic()
        code, took = Smtp(s, "submission").auth(), time.monotonic() - begin
        check("[A10] others with bad base64", code == 235 and took < 3 + still.seconds, (code, took, still.seconds))
    times = {U0: [], "nobody@" + DOMAIN: []}
    for i in range(10):  # an address that has failed before waits longer: each is another one's first
        for k, (user, took) in enumerate(times.items()):
            c, begin = Smtp(s, "submission", source="127.0.1.%d" % (2 * i + k + 1)), time.monotonic()
            c.auth(user, "no")
            took.append(time.monotonic() - begin)
    both = [min(t) for t in times.values()]
    check("[A07] timing", abs(both[0] - both[1]) < max(both) / 10, both)
    log = s.log_text()
    check("[A13] no password in the log", "secretpassword" not in log and b64(b"secretpassword").decode() not in log)
    check("[A13] names do not break lines", all(re.match(r"\d{4}-\d\d-\d\dT\S+Z [a-z]+ \S+", line) for line in log.splitlines() if line and not line.startswith(" ")))


# --- time -----------------------------------------------------------------------------------


def deadlines(s):
    """--login-timeout 5s, --smtp-timeout 10s, --handshake-timeout 2s; the time that the machine stands still is not theirs."""
    with Standstill() as still:
        ends_in_time(s, still)


def ends_in_time(s, still):
    begin = time.monotonic()
    silent, idle, shaking = Smtp(s, hello=False), Smtp(s), Smtp(s)
    slow, trickle, steady = Smtp(s), Smtp(s), Smtp(s)
    t = token()
    shaking.code(b"STARTTLS\r\n")
    for c in (slow, steady):
        c.begin()
        c.code(b"DATA\r\n")
    steady.send(mail(t, b""))
    ended = {}
    while time.monotonic() - begin < 25 + still.seconds and len(ended) < 5:
        slow.send(b"x")
        trickle.send(b"N")
        if time.monotonic() - begin < 22 + still.seconds:
            steady.send(b"y" * 998 + b"\r\n")
        for name, c in (("silent", silent), ("idle", idle), ("shaking", shaking), ("slow", slow), ("trickle", trickle)):
            if name in ended:
                continue
            c.sock.settimeout(0.02)
            try:
                got = c.sock.recv(1000)
            except socket.timeout:
                continue
            except OSError:
                got = b""
            if got:
                c.buffer += got
            else:
                ended[name] = time.monotonic() - begin
        time.sleep(0.3)
    for name, c, low, high in (("silent [O07]", silent, 4, 9), ("idle", idle, 9, 15), ("slow text [O02]", slow, 9, 15), ("trickle of a command", trickle, 9, 15)):
        at = ended.get(name.split()[0])
        check(name + ": 421 and closed in time", c.buffer.startswith(b"421 4.4.2 ") and at and low <= at < high + still.seconds, (at, still.seconds, c.buffer))
    check("[T13] handshake that never ends", 1 < ended.get("shaking", 0) < 6 + still.seconds, (ended, still.seconds))
    steady.sock.settimeout(20)
    check("steady text is taken however long it lasts", steady.code(b".\r\n") == 250 and len(find(s, t)) == 1)


def stopping(s):
    idle, busy = Smtp(s), Smtp(s)
    t = token()
    busy.begin()
    busy.code(b"DATA\r\n")
    busy.send(mail(t))
    s.proc.terminate()
    check("[C08] an idle session is told", idle.reply()[0] == 421 and idle.closed())
    check("[C08] a message under way is taken, then the session ends", busy.code(b".\r\n") == 250 and busy.reply()[0] == 421)
    s.stop()
    s.start()
    check("[C08] and it is there after the restart", kept(s, t, mail(t)))


def subjects(s, user):
    m = s.imap(user)
    m.select(readonly=True)
    found = []
    for item in m.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]:
        if isinstance(item, tuple):
            found.append(item[1].split()[1].decode())
    m.logout()
    return found


def killed(s, rounds=8):
    """[C12] kill -9 while messages go to users of several shards: each is for all or for none, and what was answered 250 is there."""
    answered, lock = set(), threading.Lock()

    def send():
        try:
            c = Smtp(s)
            while True:
                t = token()
                body = b"z" * random.choice((10, 3000, 200_000)) + b"\r\n"
                c.send(FROM + b"".join(b"RCPT TO:<%s>\r\n" % u.encode() for u in s.users) + b"DATA\r\n")
                if [c.reply()[0] for _ in range(len(s.users) + 2)][-1] != 354 or c.code(mail(t, body) + b".\r\n") != 250:
                    return
                with lock:
                    answered.add(t)
        except OSError:
            pass

    for _ in range(rounds):
        senders = [threading.Thread(target=send) for _ in range(6)]
        for x in senders:
            x.start()
        time.sleep(random.uniform(0.1, 0.6))
        s.kill()
        for x in senders:
            x.join()
        s.start()
    boxes = [subjects(s, u) for u in s.users]
    check("[C12] every answered message is there, once", all(answered <= set(b) and len(set(b)) == len(b) for b in boxes), [len(b) for b in boxes])
    check("[C12] each message is for all or for none", all(set(b) == set(boxes[0]) for b in boxes), [len(b) for b in boxes])
    print("%d messages answered, %d there, %d fan-outs finished at a start" % (len(answered), len(boxes[0]), s.log_text().count("fanout-finished")))


def large(s):
    """--max-message-size 110M."""
    t, c = token(), Smtp(s, seconds=120)
    c.begin()
    c.code(b"DATA\r\n")
    message = mail(t, (b"L" * 998 + b"\r\n") * 100_000)
    code = c.code(message + b".\r\n")
    check("100 MB are taken, and are there", code == 250 and kept(s, t, message), code)


def main():
    with Server(users=4) as s:
        commands(s)
        lines(s)
        pipelining(s)
        texts(s)
        smuggling(s)
        chunking(s)
        trace(s)
        logins(s)
        with smtplib.SMTP("127.0.0.1", s.ports["submission"]) as c:
            c.starttls(context=s.context())
            c.login(U0, "pw")
            check("smtplib: STARTTLS, AUTH, several recipients", c.sendmail(U0, s.users, mail(token())) == {})
        stopping(s)
    with Server(users=2, plaintext=False) as s:
        starttls(s)
    with Server(users=2, flags=["--max-message-size", "256K"]) as s:
        sizes(s)
    s = Server(users=4, names=["u%d@%s" % (i, DOMAIN) for i in range(3)] + ["c@catch.test"])
    aliases = os.path.join(s.data, "aliases")
    with open(aliases, "w", encoding="ascii") as f:
        f.write("team@%s u0@%s, u1@%s\naway@%s x@other.test\n" % ((DOMAIN,) * 4))
    s.flags = ["--aliases", aliases, "--domain", "catch.test", "--catch-all", "catch.test=u2@" + DOMAIN, "--unlimited-from", "127.0.0.0/8"]
    with s:
        routing(s)
    with Server(users=4, flags=["--quota", "64K"]) as s:
        quotas(s)
    with Server(users=2, flags=["--login-timeout", "5s", "--smtp-timeout", "10s", "--handshake-timeout", "2s"]) as s:
        deadlines(s)
    with Server(users=6, shards=4) as s:
        killed(s)
    with Server(users=2, flags=["--max-message-size", "110M"]) as s:
        large(s)
    finish()


main()
