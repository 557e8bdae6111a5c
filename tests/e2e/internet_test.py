"""Two servers and a name server on hosts of their own: mail goes by MX and TLS, waits for
hosts that are down, comes back as reports, and nobody waits for a host that never answers."""
import re
import time

from harness import check, finish, skip, wait_for
from internet import Internet, MailHost, available, field

QUICK = ["--retry-first", "1s", "--retry-max", "2s", "--hop-connect-timeout", "4s", "--hop-timeout", "20s"]
NAMES = {
    "a.test.": ["MX 10 mx.a.test."], "mx.a.test.": ["A 10.77.0.1", "AAAA fd77::1"],
    "b.test.": ["MX 10 mx.b.test."], "mx.b.test.": ["A 10.77.0.2", "AAAA fd77::2"],
    "six.test.": ["MX 5 mx6.test."], "mx6.test.": ["AAAA fd77::2"],
    "both.test.": ["MX 5 mx46.test."], "mx46.test.": ["AAAA fd77::99", "A 10.77.0.2"],
    "second.test.": ["MX 5 gone.test.", "MX 10 mx.b.test."], "gone.test.": ["A 10.77.0.98"],
    "implicit.test.": ["A 10.77.0.2"],
    "silent.test.": ["MX 5 mx.silent.test."], "mx.silent.test.": ["A 10.77.0.66"],
    "null.test.": ["MX 0 ."], "self.test.": ["MX 5 mx.a.test."], "home.test.": ["MX 5 lo.test."], "lo.test.": ["A 127.0.0.1"],
}
ANNA, BERT = "anna@a.test", "bert@b.test"


def letter(subject, to=BERT, extra=""):
    return "From: %s\nTo: %s\nSubject: %s\n%s\nHello over the wire.\n.\n..dots\n" % (ANNA, to, subject, extra)


def by_mx(a, b):
    sent = a.msmtp(ANNA, BERT, letter("first"))
    check("msmtp hands over a message for another server", sent.returncode == 0, sent.stderr)
    got = b.find(BERT, "Subject: first")
    check("it arrives through MX", len(got) == 1)
    if not got:
        print(a.log_text()[-3000:], a.queue("list"))
        return
    check("over TLS", "with ESMTPS" in field(got[0], "Received"), field(got[0], "Received"))
    check("with its text as it was", got[0].endswith(b"Hello over the wire.\r\n.\r\n..dots\r\n"), got[0])
    check("and the envelope's sender", field(got[0], "Return-Path") == "<%s>" % ANNA)
    check("one Return-Path", len(re.findall(rb"(?im)^return-path:", got[0])) == 1)
    check("with Date and Message-ID", field(got[0], "Date") and field(got[0], "Message-ID"))
    check("the queue is empty again", wait_for(lambda: "10.77" not in a.queue("list") and BERT not in a.queue("list"), 10))
    for domain, what in (("six.test", "a host with IPv6 alone"), ("both.test", "a host whose IPv6 address is dead"),
                         ("second.test", "a domain whose best MX is down"), ("implicit.test", "a domain without MX")):
        a.msmtp(ANNA, "bert@" + domain, letter(domain, "bert@" + domain))
        check(what + " gets its mail", len(b.find(BERT, "Subject: " + domain)) == 1, a.queue("list"))
    big = letter("large") + "".join("line %d %s\n" % (i, "x" * 60) for i in range(60000))
    a.msmtp(ANNA, BERT, big)
    got = b.find(BERT, "Subject: large", 60)
    check("4 MB arrive as they were", len(got) == 1 and got[0].endswith(b"line 59999 " + b"x" * 60 + b"\r\n") and got[0].count(b"\r\nline ") == 60000)


def down_and_up(a, b):
    b.stop()
    for i in range(10):
        a.msmtp(ANNA, BERT, letter("waiting %d;" % i))
    check("what can't be sent waits in the queue", wait_for(lambda: a.queue("list").count(BERT) == 10, 10), a.queue("list"))
    why = a.queue("why", "b.test")
    check("the queue says why", "refused" in why.lower() or "10.77.0.2" in why, why)
    got = a.find(ANNA, "Action: delayed", 20)
    check("the sender is told of the delay", got and b"Status: 4." in got[0], a.log_text()[-1500:])
    a.stop()
    a.start()
    check("it is still there after a restart", a.queue("list").count(BERT) == 10, a.queue("list"))
    b.start()
    done = wait_for(lambda: sum(b"Subject: waiting" in t for t in b.inbox(BERT)) >= 10, 40, 0.2)
    time.sleep(2)
    texts = [t for t in b.inbox(BERT) if b"Subject: waiting" in t]
    check("when the host is back all of it arrives, each once",
          done and sorted(field(t, "Subject") for t in texts) == ["waiting %d;" % i for i in range(10)], len(texts))


def reports(a, b):
    a.msmtp(ANNA, ["nobody@b.test", BERT], letter("half"))
    got = a.find(ANNA, "nobody@b.test")
    check("a 5xx comes back as a report", len(got) == 1, a.log_text()[-1500:])
    if got:
        check("a multipart/report from <>", "multipart/report" in field(got[0], "Content-Type") and field(got[0], "Return-Path") == "<>")
        check("with status and the words of the server", re.search(rb"(?m)^Status: 5\.1\.1", got[0]) and b"Diagnostic-Code: smtp; 550" in got[0], got[0].decode())
        check("that names no other recipient", BERT.encode() not in re.split(rb"Content-Type: (?:message/rfc822|text/rfc822-headers)", got[0])[0])
    check("the others got theirs", len(b.find(BERT, "Subject: half")) == 1)
    for domain, status in (("null.test", "5.1.10"), ("self.test", "5.4.6"), ("home.test", "5.4.4"), ("nowhere.test", "5.1.2")):
        a.msmtp(ANNA, "x@" + domain, letter("to " + domain, "x@" + domain))
        got = a.find(ANNA, "x@" + domain)
        check("%s is reported as %s" % (domain, status), got and re.search(rb"(?m)^Status: " + status.encode().replace(b".", rb"\."), got[0]),
              re.findall(rb"(?m)^Status:.*", got[0]) if got else a.queue("list"))
    a.msmtp(ANNA, BERT, letter("told"), "--dsn-notify=success,failure", "--dsn-return=headers")
    got = a.find(ANNA, "Action: delivered")
    check("success is reported by the server that delivers", got and b"mx.b.test" in got[0], a.log_text()[-1500:])
    check("and with headers alone", got and b"Subject: told" in got[0] and b"Hello over" not in got[0])
    check("both queues are empty", wait_for(lambda: not re.search(r"@", a.queue("list") + b.queue("list")), 20), a.queue("list") + b.queue("list"))


def silent_host(a, b):
    def took(subject):
        start = time.monotonic()
        a.msmtp(ANNA, BERT, letter(subject))
        check(subject + " arrives", len(b.find(BERT, "Subject: " + subject, 60)) == 1)
        return time.monotonic() - start
    before = min(took("before%d;" % i) for i in range(3))
    for i in range(40):
        a.msmtp(ANNA, "x%d@silent.test" % i, letter("into the void"))
    after = min(took("after%d;" % i) for i in range(3))
    check("a host that never answers delays nobody else", after < 4 * before + 0.5, "%.2f s before, %.2f s after" % (before, after))
    check("what is for it waits", a.queue("list").count("silent.test") >= 40, a.queue("list")[:500])
    a.queue("drop", "all")
    check("and can be dropped", wait_for(lambda: "silent.test" not in a.queue("list"), 20), a.queue("list")[:500])


def main():
    why = available()
    if why:
        skip("an Internet of namespaces", why)
        finish()
    with Internet() as net:
        net.name_server(NAMES)
        quiet = net.silent("silent", 66)
        a = MailHost(net, "a", 1, "a.test", ["anna"], QUICK + ["--delay-notice", "3s"])
        b = MailHost(net, "b", 2, "b.test", ["bert"], QUICK + [x for d in ("six", "both", "second", "implicit") for x in ("--domain", d + ".test")])
        with open(b.data + "/aliases", "w", encoding="ascii") as f:
            f.writelines("@%s.test %s\n" % (d, BERT) for d in ("six", "both", "second", "implicit"))
        with a, b:
            by_mx(a, b)
            reports(a, b)
            down_and_up(a, b)
            silent_host(a, b)
        quiet.close()
    finish()


if __name__ == "__main__":
    main()
