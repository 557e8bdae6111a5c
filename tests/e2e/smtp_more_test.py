"""SMTP's extensions over sockets: what is announced, refused, and handed to the next hop.

The names in brackets are rows of the security matrix.
"""
import email
import random
import re
import time

from harness import DOMAIN, Server, check, finish, wait_for
from sink import Sink
from smtp_client import FROM, TO, U0, U1, Smtp, find, kept, mail, stored, token

ANN = b"MAIL FROM:<%s>" % U0.encode()
OUT = b"RCPT TO:<x@other.test>"


def offers(c):
    return {line[4:].split()[0]: line[4:].split()[1:] for line in c.offers.splitlines()[1:]}


def announced(s):
    mx, sub = offers(Smtp(s)), offers(Smtp(s, "submission"))
    hold = sub.get("FUTURERELEASE", [])
    check("LIMITS on both", mx.get("LIMITS") == sub.get("LIMITS") == ["MAILMAX=40", "RCPTMAX=100", "RCPTDOMAINMAX=2"], (mx, sub))
    check("FUTURERELEASE for users only (RFC 4865, 4.2)", "FUTURERELEASE" not in mx and hold[0] == "86400" and
          re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", hold[1]), hold)
    check("MT-PRIORITY and DELIVERBY for users only", not {"MT-PRIORITY", "DELIVERBY"} & set(mx) and {"MT-PRIORITY", "DELIVERBY"} <= set(sub))
    check("REQUIRETLS not in clear", "REQUIRETLS" not in mx and "REQUIRETLS" not in sub)
    c = Smtp(s)
    check("but in TLS", c.starttls() == 220 and c.ehlo() == 250 and "REQUIRETLS" in c.offers and
          c.code(FROM[:-2] + b" REQUIRETLS\r\n") == 250)


def parameters(s):
    """[R07] and the like, where they are announced."""
    c = Smtp(s, "submission")
    c.auth()
    for params in (b"RET=MAYBE", b"RET", b"ENVID=" + b"e" * 101, b"ENVID=a+0Ab", b"MT-PRIORITY=10", b"MT-PRIORITY=-0", b"HOLDFOR=0", b"HOLDFOR=86401",
                   b"HOLDUNTIL=2020-01-01T00:00:00Z", b"HOLDUNTIL=tomorrow", b"HOLDFOR=5 HOLDUNTIL=2999-01-01T00:00:00Z", b"BY=0;R", b"BY=5;X", b"BY=10;N HOLDFOR=11",
                   b"BODY=9BIT", b"SMTPUTF8=1"):
        reply = c.cmd(ANN + b" " + params + b"\r\n")
        check("[R07] %s" % params[:40].decode(), reply[0] == 501 and reply[1][4:7] == "5.5", reply)
    check("all good ones together", c.code(ANN + b" RET=HDRS ENVID=q+2B1 MT-PRIORITY=-3 HOLDFOR=60 BY=120;NT BODY=8BITMIME SMTPUTF8 AUTH=<>\r\n") == 250)
    for params in (b"NOTIFY=NEVER,SUCCESS", b"NOTIFY=BOGUS", b"NOTIFY=", b"ORCPT=rfc822;a+ZZb", b"ORCPT=nosemicolon", b"ORCPT=rfc822;" + b"a" * 500):
        check("[R07] %s" % params[:30].decode(), c.code(OUT + b" " + params + b"\r\n") == 501)
    check("a good one", c.code(OUT + b" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;" + b"a" * 400 + b"\r\n") == 250)


def limits(s):
    """--max-messages-connection 40, --max-recipients 100, --max-recipient-domains 2."""
    c = Smtp(s, "submission")
    c.auth()
    c.code(ANN + b"\r\n")
    codes = [c.code(b"RCPT TO:<x@%s>\r\n" % d) for d in (b"one.test", b"two.test", b"three.test", b"ONE.test")]
    check("RCPTDOMAINMAX is kept", codes == [250, 250, 452, 250], codes)
    c.in_step()
    c.code(ANN + b"\r\n")
    check("over transactions too", c.cmd(b"RCPT TO:<x@three.test>\r\n")[1].startswith("452 4.5.3 "))
    codes = [c.code(b"RCPT TO:<x%d@one.test>\r\n" % i) for i in range(101)]
    check("RCPTMAX is kept, the refused one counts", codes == [250] * 99 + [452] * 2, codes[-3:])
    codes = [c.in_step() and c.code(ANN + (b" X=1" if i % 2 else b"") + b"\r\n") for i in range(39)]
    check("MAILMAX is kept, refused ones count", codes == [250, 555] * 19 + [421] and c.closed(), codes)


def names(s):
    c = Smtp(s)
    check("[S39] VRFY, EXPN for strangers", {c.code(b"VRFY " + U0.encode() + b"\r\n"), c.code(b"EXPN team\r\n"), c.code(b"VRFY nobody\r\n")} == {252})
    c = Smtp(s, "submission")
    check("and before login", c.code(b"VRFY u0\r\n") == 252 and {"VRFY", "EXPN"} <= set(offers(c)))
    c.auth()
    check("VRFY for users", [c.code(b"VRFY %s\r\n" % a) for a in (b"u0", b"<" + U0.encode() + b">", b"nobody", b"x@other.test")] == [250, 250, 550, 252])
    reply = c.cmd(b"EXPN team\r\n")
    check("EXPN lists an alias", reply == (250, "250-2.1.5 <%s>\r\n250 2.1.5 <%s>\r\n" % (U0, U1)), reply)
    uni = b"\xc3\xbc@%s" % DOMAIN.encode()
    replies = [c.cmd(verb + uni + word + b"\r\n")[1][:9] for verb in (b"VRFY ", b"EXPN ") for word in (b"", b" SMTPUTF8")]
    check("no UTF-8 unless asked for (RFC 6531, 3.7.4.2)", replies == ["252 2.6.8", "250 2.1.5", "252 2.6.8", "250-2.1.5"], replies)


def hop_gets(s, sink):
    """What travels with a message to the next hop."""
    t, c = token(), Smtp(s, "submission")
    c.auth()
    c.code(ANN + b" RET=HDRS ENVID=q+2B1 BODY=8BITMIME MT-PRIORITY=2 BY=600;N\r\n")
    codes = [c.code(x) for x in (OUT + b" NOTIFY=FAILURE,DELAY ORCPT=rfc822;q@c.test\r\n", b"RCPT TO:<y@other.test>\r\n", TO, b"DATA\r\n")]
    message = mail(t, b".a line\r\n\xc3\xbc\r\n", b"Bcc: secret@other.test\r\n")
    code = c.code(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    check("a message for two elsewhere and one here", codes == [250] * 3 + [354] and code == 250, (codes, code))
    check("the hop has it", wait_for(lambda: len(sink.mails) == 1))
    m = sink.mails[0]
    text = m.text if isinstance(m.text, bytes) else m.text.encode()
    check("for both recipients", sorted(m.rcpts) == ["x@other.test", "y@other.test"], m.rcpts)
    params = str(m.params).upper()
    check("with RET, ENVID and BODY", "RET=HDRS" in params and "ENVID=Q+2B1" in params and "BODY=8BITMIME" in params, m.params)
    rcpt = str(m.rcpt_params).upper()
    check("with NOTIFY and ORCPT", "NOTIFY=FAILURE,DELAY" in rcpt and "ORCPT=RFC822;Q@C.TEST" in rcpt, m.rcpt_params)
    check("without Return-Path and Bcc, Received first", text.startswith(b"Received: from ") and b"Return-Path" not in text and b"secret" not in text, text[:200])
    check("Date was missing", b"\r\nDate: " in text)
    check("the priority is in the trace (RFC 6710, 4.1)", b"PRIORITY 2;" in text, text[:400])
    check("the text is the same", text.endswith(b"\r\n\r\n.a line\r\n\xc3\xbc\r\n"), text[-60:])
    local = wait_for(lambda: find(s, t))
    check("and the one here has it at once", local and local[0].startswith(b"Return-Path: <" + U0.encode() + b">\r\nReceived: "))


def binary_mail(t):
    """NUL, bare CR and LF and lines of 5000 octets, as a file and as text."""
    data = bytes(range(256)) + b"\n.\n\r.\r" + b"\x00" * 5000 + b"\r\n" + bytes(range(255, -1, -1)) * 40
    text = b"one\ntwo\rthree\r\n.\r\n\x00 \xc3\xbc =3D \t\r\n" + b"long " * 1000 + b"\r\nend"
    part = b"--b\r\nContent-Type: %s\r\nContent-Transfer-Encoding: binary\r\n\r\n%s\r\n"
    body = part % (b"application/octet-stream", data) + part % (b"text/plain; charset=utf-8", text) + b"--b--\r\n"
    return mail(t, body, b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n"), [data, text]


def clean(text):
    """What IMAP and POP3 may hand out: lines (RFC 5322, 2.3)."""
    return text.count(b"\n") == text.count(b"\r") == text.count(b"\r\n") and b"\0" not in text and max(map(len, text.split(b"\r\n"))) <= 998


def retrieved(s, t, user=U0):
    p = s.pop3(user)
    texts = [b"\r\n".join(p.retr(i + 1)[1]) + b"\r\n" for i in range(len(p.list()[1]))]
    p.quit()
    return [x for x in texts if b"\r\nSubject: " + t.encode() + b"\r\n" in x]


def decoded(text):
    return [p.get_payload(decode=True) for p in email.message_from_bytes(text).walk() if not p.is_multipart()]


def binary(s):
    t, c = token(), Smtp(s, "submission")
    c.auth()
    message, parts = binary_mail(t)
    codes = [c.code(x) for x in (ANN + b" BODY=BINARYMIME\r\n", TO, b"RCPT TO:<%s>\r\n" % U1.encode(), b"DATA\r\n")]
    check("BODY=BINARYMIME and DATA: 503 (RFC 3030, 3)", codes == [250, 250, 250, 503], codes)
    check("by BDAT", [c.bdat(message[:200]), c.bdat(message[200:], True)] == [250, 250])
    for user in (U0, U1):
        wait_for(lambda: find(s, t, user))
        got = find(s, t, user)
        check("one copy, of clean lines", len(got) == 1 and clean(got[0]), got and got[0][:3000])
        check("its parts are what they were", decoded(got[0]) == parts, got[0][:3000])
        check("the trace is in front", re.match(rb"Return-Path: <%s>\r\nReceived: from " % U0.encode(), got[0]), got[0][:200])
        check("POP3 has the same", retrieved(s, t, user) == got)
    check("what fits is not touched", c.code(ANN + b" BODY=BINARYMIME\r\n") == 250 and c.code(TO) == 250)
    t = token()
    message = mail(t, b"\xc3\xbc\r\n.\r\n", b"Content-Transfer-Encoding: binary\r\n")
    check("by BDAT", c.bdat(message, True) == 250 and wait_for(lambda: find(s, t)))
    got = stored(s, t)
    check("not even its label", b"\r\nContent-Transfer-Encoding: binary\r\n" in got and got.endswith(b"\r\n\r\n\xc3\xbc\r\n.\r\n"), got)
    t = token()
    signed = mail(t, b"--b\r\n\r\na\nb\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\ns\r\n--b--\r\n",
                  b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n")
    check("what is signed", [c.code(ANN + b" BODY=BINARYMIME\r\n"), c.code(TO), c.bdat(signed, True)] == [250] * 3 and wait_for(lambda: find(s, t)))
    check("stays as it is", stored(s, t).endswith(b"\r\na\nb\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\ns\r\n--b--\r\n") and
          wait_for(lambda: "not-converted" in s.log_text()))


def binary_over_kills(s):
    """Acknowledged, and killed at any moment behind that: each has it once, and whole."""
    sent = {}
    for i in range(40):
        t, c = token(), Smtp(s, "submission")
        c.auth()
        message, parts = binary_mail(t)
        codes = [c.code(ANN + b" BODY=BINARYMIME\r\n"), c.code(TO), c.code(b"RCPT TO:<%s>\r\n" % U1.encode()), c.bdat(message, True)]
        check("taken", codes == [250] * 4, codes)
        sent[t] = parts
        if i % 4 == 3:
            time.sleep(random.random() * 0.03)
            s.kill()
            s.start()
    for user in (U0, U1):
        check("all arrive", wait_for(lambda: all(find(s, t, user) for t in sent), 60, 1))
    time.sleep(2)
    for user in (U0, U1):
        got = {t: find(s, t, user) for t in sent}
        check("once", all(len(x) == 1 for x in got.values()), {t: len(x) for t, x in got.items()})
        check("clean and whole", all(clean(x[0]) and decoded(x[0]) == sent[t] for t, x in got.items()))


def held_back(s, sink):
    came = []
    sink.on_dot = lambda *_: came.append(time.monotonic())
    t, c = token(), Smtp(s, "submission")
    c.auth()
    begin, local = time.monotonic(), token()
    check("HOLDFOR=4", [c.code(x) for x in (ANN + b" HOLDFOR=4\r\n", OUT + b"\r\n")] == [250, 250] and c.bdat(mail(t), True) == 250)
    check("to a user here too", [c.code(x) for x in (ANN + b" HOLDFOR=4\r\n", TO)] == [250, 250] and c.bdat(mail(local), True) == 250)
    check("that comes, not before its time", wait_for(lambda: find(s, local)) and time.monotonic() - begin > 3)
    check("and so does the other", wait_for(lambda: came) and came[0] - begin > 3)


def reported(s):
    """NOTIFY=SUCCESS for a user here: delivered by the queue, and the sender hears of it."""
    t, c = token(), Smtp(s, "submission")
    c.auth()
    to = b"RCPT TO:<%s> NOTIFY=SUCCESS ORCPT=rfc822;old@c.test\r\n" % U1.encode()
    check("NOTIFY=SUCCESS", [c.code(x) for x in (ANN + b" RET=HDRS ENVID=my+2Bid\r\n", to)] == [250, 250] and c.bdat(mail(t), True) == 250)
    check("it is delivered", wait_for(lambda: find(s, t, U1)))

    def report():
        m = s.imap(U0)
        m.select(readonly=True)
        found = m.search(None, "BODY", "old@c.test")[1][0].split()
        text = m.fetch(found[0], "(BODY.PEEK[])")[1][0][1] if found else b""
        m.logout()
        return text

    text = wait_for(report)
    check("and reported (RFC 3464)", b"multipart/report" in text and b"Action: delivered" in text and b"Original-Envelope-Id: my+id" in text, text[:1500])


def xclient(s):
    c = Smtp(s)
    check("XCLIENT is offered", offers(c).get("XCLIENT", [None])[0] == "NAME", c.offers)
    t = token()
    check("taken", c.cmd(b"XCLIENT NAME=real.test ADDR=192.0.2.77 PORT=1234 HELO=h.test PROTO=ESMTP\r\n")[1].startswith("220 mail."))
    c.ehlo()
    check("a message", c.data(mail(t)) == 250)
    got = find(s, t)[0]
    check("its trace names the client", b"from client.test (real.test [192.0.2.77])" in got.replace(b"\r\n\t", b" "), got[:300])
    check("bad ones", [c.code(b"XCLIENT " + x + b"\r\n") for x in (b"ADDR=x", b"FROB=1", b"LOGIN=nobody@x.test")] == [501, 501, 535])
    check("with a login", c.code(b"XCLIENT LOGIN=%s\r\n" % U0.encode()) == 220 and c.ehlo() == 250 and c.code(ANN + b"\r\n") == 250 and c.code(OUT + b"\r\n") == 250)
    check("not in a transaction", c.code(b"XCLIENT NAME=x\r\n") == 503)
    check("the log names the client", wait_for(lambda: "192.0.2.77" in s.log_text()))


def main():
    flags = ["--max-messages-connection", "40", "--max-recipients", "100", "--max-recipient-domains", "2", "--max-hold", "1d", "--vrfy", "yes", "--expn", "yes",
             "--unlimited-from", "127.0.0.0/8", "--max-smtp-errors", "1000"]
    s = Server(users=2, flags=flags)
    with open(s.data + "/aliases", "w", encoding="utf-8") as f:
        f.write("team@%s %s, %s\n\u00fc@%s %s, \u00e4@other.test\n" % (DOMAIN, U0, U1, DOMAIN, U0))
    with s:
        announced(s)
        parameters(s)
        limits(s)
        names(s)
        check("XCLIENT for others", Smtp(s).code(b"XCLIENT NAME=x\r\n") == 502)
    with Sink(offers=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")) as sink:
        with Server(users=2, flags=["--relay", "127.0.0.1:%d" % sink.port, "--relay-tls", "none"]) as s:
            hop_gets(s, sink)
            held_back(s, sink)
            reported(s)
            binary(s)
    with Server(users=2, flags=["--unlimited-from", "127.0.0.0/8"]) as s:
        binary_over_kills(s)
    with Server(users=2, flags=["--xclient-from", "127.0.0.0/8"]) as s:
        xclient(s)
    finish()


main()
