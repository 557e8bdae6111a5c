"""The way out: retries, reports, limits of destinations, restarts and `ringmail queue`,
against hops on loopback that do as they are told (sink.py). Ids as in the matrix."""
import email
import json
import os
import smtplib
import subprocess
import sys
import threading
import time
from email.utils import parsedate_to_datetime

from harness import LONG, RINGMAIL, Server, check, finish, free_ports, side_by_side, wait_for
from sink import DROP, Sink

U0, U1 = "u0@example.test", "u1@example.test"
FAST = ["--trust", "127.0.0.0/8", "--retry-first", "1s", "--retry-max", "2s", "--log-rate", "100000"]


def route(domain, sink, *options):
    return ["--route", ",".join(["%s=127.0.0.1:%d" % (domain, sink if isinstance(sink, int) else sink.port)] + list(options))]


def server(*flags, **kw):
    return Server(flags=FAST + [f for part in flags for f in (part if isinstance(part, list) else [part])], **kw)


def send(s, to, text="Subject: test\r\n\r\nhello\r\n", sender=U0, mail=(), rcpt=()):
    with s.smtp() as c:
        return c.sendmail(sender, to, text, mail_options=list(mail), rcpt_options=list(rcpt))


def submit(s, to, user=U0, mail=()):
    with smtplib.SMTP("127.0.0.1", s.ports["submission"], timeout=30) as c:
        c.ehlo("client.test")
        c.login(user, "pw")
        return c.sendmail(user, to, "Subject: test\r\n\r\nhello\r\n", mail_options=list(mail))


def inbox(s, user=U0):
    m = s.imap(user)
    m.select()
    numbers = m.search(None, "ALL")[1][0].split()
    found = [m.fetch(n, "(RFC822)")[1][0][1] for n in numbers]
    m.logout()
    return found


def reports(s, user=U0):
    return [m for m in map(email.message_from_bytes, inbox(s, user)) if m.get_content_type() == "multipart/report"]


def wait_reports(s, count, user=U0, seconds=20):
    return wait_for(lambda: (lambda r: r if len(r) >= count else None)(reports(s, user)), seconds, 0.2) or reports(s, user)


def fields(report):
    """The message part and the recipients' parts of message/delivery-status."""
    status = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"][0]
    parts = status.get_payload()
    return parts[0], [p for p in parts[1:] if p.get("Final-Recipient")]


def queue(s, *words, json_too=False):
    r = subprocess.run([RINGMAIL, "queue", *words, "--data", s.data] + (["--json"] if json_too else []),
                       capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if json_too and r.returncode == 0:
        return json.loads(r.stdout)
    return r


def listed(s):
    return queue(s, "list", json_too=True)


def empty(s, seconds=20):
    return wait_for(lambda: listed(s) == [], seconds, 0.2)


def counter(s, name):
    return s.stat()["total"][name]


# --- answers of hops ------------------------------------------------------------

def later_then_good():
    with Sink() as sink:
        tries = []
        sink.on_dot = lambda s, m: tries.append(1) or ("451 4.3.0 not now" if len(tries) == 1 else None)
        with server("--relay", "127.0.0.1:%d" % sink.port) as s:
            send(s, "bert@far.example", "Subject: dots\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n")
            check("R11 451 at the dot, then 250: it arrives", wait_for(lambda: sink.mails, 15))
            check("R11 the queue is empty", empty(s))
            check("R11 once, after two tries", len(sink.mails) == 1 and len(tries) == 2, tries)
            check("R11 nobody is told", reports(s) == [])
            text = sink.mails[0].text
            check("dots arrive as they were", text.endswith(b"\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"), text)
            check("no Return-Path on the way", not text.startswith(b"Return-Path"), text[:80])
            check("the hop's sender is the sender", sink.mails[0].sender == U0)


def one_report():
    with Sink() as sink:
        sink.on_rcpt = lambda s, who: b"550-5.1.1 first \x1b[31mline\r\n550 5.1.1 \x00second"
        with server("--relay", "127.0.0.1:%d" % sink.port) as s:
            send(s, "nobody@far.example", mail=["RET=HDRS", "ENVID=QQ+2B1"], rcpt=["ORCPT=rfc822;Old@far.example"])
            got = wait_reports(s, 1)
            time.sleep(1)
            check("R09 one report", len(reports(s)) == 1)
            raw = inbox(s)[0]
            check("R09 no control octets", not any(b < 9 or 13 < b < 32 or b == 127 for b in raw), raw)
            check("R09 from <>", raw.startswith(b"Return-Path: <>\r\n"))
            head, rcpts = fields(got[0])
            check("R09 it names what happened", len(rcpts) == 1 and rcpts[0]["Action"] == "failed" and rcpts[0]["Status"] == "5.1.1"
                  and "nobody@far.example" in rcpts[0]["Final-Recipient"], rcpts)
            check("R09 both lines of the hop", "first" in rcpts[0]["Diagnostic-Code"] and "second" in rcpts[0]["Diagnostic-Code"])
            check("ENVID comes back decoded", head["Original-Envelope-Id"] == "QQ+1", head["Original-Envelope-Id"])
            check("ORCPT comes back", "Old@far.example" in rcpts[0]["Original-Recipient"])
            check("the queue is empty", empty(s))


def hundred_recipients():
    with Sink() as sink:
        tries = {}

        def on_rcpt(s, who):
            tries[who] = tries.get(who, 0) + 1
            n = int(who[1:who.index("@")])
            if n in (7, 50, 99):
                return "550 5.1.1 no such user"
            if n in (20, 60) and tries[who] == 1:
                return "450 4.2.1 busy"
        sink.on_rcpt = on_rcpt
        with server("--relay", "127.0.0.1:%d" % sink.port) as s:
            send(s, ["r%d@far.example" % i for i in range(100)])
            check("R14 the two come later", wait_for(lambda: len(sink.mails) == 2, 15), len(sink.mails))
            check("R14 the queue is empty", empty(s))
            check("R14 95 at first, then 2", sorted(len(m.rcpts) for m in sink.mails) == [2, 95])
            check("R14 each accepted once", all(n == (2 if w in ("r20@far.example", "r60@far.example") else 1) for w, n in tries.items()))
            got = wait_reports(s, 1)
            check("R14 one report with three", len(got) == 1 and len(fields(got[0])[1]) == 3, got)


def dies_after_the_dot():
    with Sink() as sink:
        tries = []
        sink.on_dot = lambda s, m: tries.append(m) or (DROP if len(tries) == 1 else None)
        with server("--relay", "127.0.0.1:%d" % sink.port) as s:
            send(s, "bert@far.example")
            check("R12 tried again", wait_for(lambda: sink.mails, 15))
            check("R12 the queue is empty", empty(s))
            check("R12 counted and logged", counter(s, "queue_unsure") == 1 and wait_for(lambda: "unsure=" in s.log_text(), 10))
            check("R12 nobody is told", reports(s) == [])


def never_a_bounce_of_a_bounce():
    with Sink() as far, Sink() as back:
        far.on_rcpt = lambda s, who: "550 5.1.1 unknown"
        back.on_rcpt = lambda s, who: "550 5.7.1 no reports here"
        with server(route("far.example", far), route("back.example", back)) as s:
            send(s, "x@far.example", sender="someone@back.example")
            check("R15 the report is refused and dropped", wait_for(lambda: "undeliverable" in s.log_text(), 15), s.log_text()[-2000:])
            check("R15 the queue is empty", empty(s))
            send(s, "x@far.example", sender="")
            check("R15 <> gets no report", wait_for(lambda: s.log_text().count("undeliverable") == 2, 15))
            check("R15 the queue is empty again", empty(s))
            check("R15 nobody heard of it", reports(s) == [] and reports(s, U1) == [] and back.mails == [])


def report_to_elsewhere():
    with Sink() as far, Sink(offers=["DSN", "8BITMIME"]) as back:
        far.on_rcpt = lambda s, who: "550 5.1.1 unknown"
        with server(route("far.example", far), route("back.example", back)) as s:
            send(s, ["x@far.example", "y@far.example"], sender="someone@back.example")
            check("a report goes to a sender elsewhere", wait_for(lambda: back.mails, 15))
            check("one for both", empty(s) and len(back.mails) == 1)
            m = back.mails[0]
            check("from <>, NOTIFY=NEVER, no RET", m.sender == "" and "RET" not in m.params and "NOTIFY=NEVER" in m.rcpt_params[0], (m.params, m.rcpt_params))
            check("with both recipients", len(fields(email.message_from_bytes(m.text))[1]) == 2)


# --- NOTIFY, RET, ENVID (RFC 3461) ------------------------------------------------

def notify_matrix():
    with Sink() as plain, Sink(offers=["DSN"]) as dsn, Sink() as bad:
        bad.on_rcpt = lambda s, who: "550 5.1.1 unknown"
        rows = [  # notify, hop, action reported or None
            ("NEVER", plain, None), ("NEVER", bad, None), ("SUCCESS", plain, "relayed"), ("SUCCESS", dsn, None),
            ("SUCCESS", bad, None), ("FAILURE", plain, None), ("FAILURE", bad, "failed"), ("DELAY", bad, None),
            ("SUCCESS,FAILURE", bad, "failed"), ("SUCCESS,FAILURE", plain, "relayed"), (None, bad, "failed"), (None, plain, None)]
        with server(route("plain.example", plain), route("dsn.example", dsn), route("bad.example", bad), users=len(rows)) as s:
            names = {plain: "plain", dsn: "dsn", bad: "bad"}
            for i, (notify, hop, _) in enumerate(rows):
                send(s, "r@%s.example" % names[hop], sender="u%d@example.test" % i, mail=["ENVID=E%d" % i],
                     rcpt=["NOTIFY=" + notify] if notify else [])
            check("NOTIFY: all is done", empty(s))
            time.sleep(0.5)
            for i, (notify, hop, action) in enumerate(rows):
                got = wait_reports(s, 1 if action else 0, "u%d@example.test" % i, 5)
                actions = [r["Action"] for g in got for r in fields(g)[1]]
                check("NOTIFY=%s, hop %s" % (notify, names[hop]), actions == ([action] if action else []), actions)
                if got:
                    check("ENVID of it", fields(got[0])[0]["Original-Envelope-Id"] == "E%d" % i)
            got = [m for m in dsn.mails]
            check("a hop with DSN is handed the wishes", got and any("NOTIFY=SUCCESS" in p for p in got[0].rcpt_params)
                  and "ENVID=E3" in got[0].params, got and (got[0].params, got[0].rcpt_params))


def returned_text():
    with Sink() as bad:
        bad.on_rcpt = lambda s, who: "550 5.1.1 unknown"
        body = "".join("line %d\r\n" % i for i in range(2000))
        with server("--relay", "127.0.0.1:%d" % bad.port, "--max-returned", "32K", users=4) as s:
            for i, (ret, text) in enumerate([("FULL", body[:3000]), ("HDRS", body[:3000]), (None, body[:3000]), ("FULL", body * 3)]):
                send(s, "x@far.example", "Subject: returned %d\r\n\r\n%s" % (i, text), "u%d@example.test" % i, mail=["RET=" + ret] if ret else [])
            for i, (full, what) in enumerate([(True, "RET=FULL"), (False, "RET=HDRS"), (False, "no RET"), (False, "RET=FULL of what is too large")]):
                got = wait_reports(s, 1, "u%d@example.test" % i)
                kinds = [p.get_content_type() for p in got[0].walk()] if got else []
                raw = inbox(s, "u%d@example.test" % i)[0] if got else b""
                check(what, ("message/rfc822" in kinds) == full and (b"line 100\r\n" in raw) == full and b"Subject: returned %d" % i in raw, kinds)


def local_success():
    with server(users=2) as s:
        send(s, U1, rcpt=["NOTIFY=SUCCESS"])
        got = wait_reports(s, 1, seconds=5)
        check("NOTIFY=SUCCESS of a delivery here", got and fields(got[0])[1][0]["Action"] == "delivered", got)


# --- time ----------------------------------------------------------------------------

def notices_and_the_end():
    with Sink() as sink:
        sink.on_rcpt = lambda s, who: "450 4.2.1 mailbox busy"
        with server("--relay", "127.0.0.1:%d" % sink.port, "--delay-notice", "2s", "--queue-lifetime", "12s", users=3) as s:
            send(s, ["a@far.example", "b@far.example"])
            send(s, "a@far.example", sender=U1, rcpt=["NOTIFY=FAILURE"])
            send(s, "a@far.example", sender="u2@example.test", rcpt=["NOTIFY=NEVER"])
            got = wait_reports(s, 1)
            check("a notice of delay", got and [r["Action"] for r in fields(got[0])[1]] == ["delayed"] * 2, got)
            check("with the last answer", got and "mailbox busy" in fields(got[0])[1][0]["Diagnostic-Code"])
            check("and until when it is tried", got and fields(got[0])[1][0]["Will-Retry-Until"])
            check("the end", empty(s, 40))
            got = wait_reports(s, 2)
            check("one notice, one report", len(got) == 2 and [r["Action"] for r in fields(got[1])[1]] == ["failed"] * 2, len(got))
            check("expired", got and fields(got[-1])[1][0]["Status"] == "4.4.7", got and fields(got[-1])[1][0]["Status"])
            got = wait_reports(s, 1, U1)
            check("NOTIFY=FAILURE: no notice", len(got) == 1 and fields(got[0])[1][0]["Action"] == "failed", len(got))
            check("NOTIFY=NEVER: nothing", reports(s, "u2@example.test") == [])


def dead_host_expires():
    """What waits for a host that is dead ends, too, with what is known of it."""
    with server("--relay", "127.0.0.1:%d" % free_ports(1)[0], "--delay-notice", "0", "--queue-lifetime", "4s") as s:
        send(s, "a@far.example")
        got = wait_reports(s, 1, seconds=15)
        check("a dead host: the message comes back", got and fields(got[0])[1][0]["Action"] == "failed", s.log_text()[-1500:])
        check("with the host", got and fields(got[0])[1][0]["Remote-MTA"] == "dns; [127.0.0.1]", got and fields(got[0])[1][0]["Remote-MTA"])
        check("with the reason", got and "connect" in fields(got[0])[1][0]["Diagnostic-Code"], got and fields(got[0])[1][0]["Diagnostic-Code"])
        check("the queue is empty", empty(s))


def restart_keeps_the_schedule():
    with Sink() as sink:
        sink.on_rcpt = lambda s, who: "450 4.2.1 busy"
        s = server("--relay", "127.0.0.1:%d" % sink.port, "--retry-first", "600s", "--retry-max", "2000s")

        def waiting():
            return wait_for(lambda: [m for m in listed(s) if "next_try_s" in m]) or [{"age_s": 0, "next_try_s": 0}]

        def same(before, after):
            """The next try stays at its moment: each part is a whole number of seconds."""
            return abs(sum(after[0][k] - before[0][k] for k in ("age_s", "next_try_s"))) <= 2
        with s:
            send(s, "a@far.example")
            check("a first try", wait_for(lambda: listed(s) and listed(s)[0].get("last_answer")))
            before = waiting()
            check("the next one is far away", before[0]["next_try_s"] > 300, before)
            tries = sink.sessions
            s.stop()
            s.start()
            after = waiting()
            check("after a restart it waits as before", same(before, after), (before, after))
            check("the last answer is known", after[0].get("last_answer", {}).get("text") == "busy", after)
            check("no try at once", sink.sessions == tries)
            s.kill()
            s.start()
            check("after a kill, too", same(before, waiting()), (before, waiting()))
            queue(s, "drop", "all")


def stop_and_kill():
    """SIGTERM lets the message under way be finished; what a kill cuts off is sent again."""
    with Sink() as sink:
        texts, go = [], threading.Event()
        sink.on_dot = lambda s, m: texts.append(m) or go.wait(60) and None
        s = server("--relay", "127.0.0.1:%d" % sink.port)
        with s:
            send(s, "a@far.example")
            check("under way", wait_for(lambda: len(texts) == 1))
            answer = threading.Timer(0.5, go.set)
            answer.start()
            s.stop()
            answer.join()
            check("SIGTERM: the message was finished", len(sink.mails) == 1)
            s.start()
            check("and is not sent again", empty(s) and len(sink.mails) == 1)
            go.clear()
            send(s, "b@far.example")
            check("under way again", wait_for(lambda: len(texts) == 2))
            s.kill()
            go.set()
            s.start()
            check("a kill: sent again", wait_for(lambda: len(texts) == 3) and empty(s) and texts[2].rcpts == ["b@far.example"])


def one_report_whatever_crashes():
    with Sink() as sink:
        sink.on_rcpt = lambda s, who: "550 5.1.1 unknown"
        s = server("--relay", "127.0.0.1:%d" % sink.port, users=8)
        with s:
            for turn in range(6 if LONG else 3):
                for i in range(8):
                    send(s, "t%d@far.example" % turn, sender="u%d@example.test" % i)
                time.sleep(0.01 * turn)
                s.kill()
                s.start()
            check("the queue is empty", empty(s, 30))
            turns = 6 if LONG else 3
            for i in range(8):
                got = wait_reports(s, turns, "u%d@example.test" % i)
                told = sorted(r["Final-Recipient"] for g in got for r in fields(g)[1])
                check("one report for each message, u%d" % i, len(told) == turns and len(set(told)) == turns, told)


# --- destinations ------------------------------------------------------------------------

def dead_host_delays_nobody():
    """R13, R17: thousands for hosts that don't answer; others don't notice."""
    count = 5000 if LONG else 1500
    dead = free_ports(1)[0]
    with Sink(greet=False) as silent, Sink() as good:
        with server(route("dead.example", dead), route("silent.example", silent), route("good.example", good),
                    "--hop-timeout", "5s", "--retry-first", "20s", "--retry-max", "60s", "--max-connections-address", "1000") as s:
            def fill(domain, part):
                with s.smtp() as c:
                    for i in range(part):
                        c.sendmail(U0, "a%d@%s" % (i, domain), "Subject: x\r\n\r\nx\r\n")
            def latency():
                before = len(good.mails)
                t = time.monotonic()
                send(s, "x@good.example")
                wait_for(lambda: len(good.mails) > before, 10, 0.002)
                return time.monotonic() - t
            quiet = min(latency() for _ in range(3))
            base = s.memory()
            begin = time.monotonic()
            threads = [threading.Thread(target=fill, args=(d, count // 2)) for d in ("dead.example", "silent.example")]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            loaded = min(latency() for _ in range(3))
            check("R13 R17 all wait", len(listed(s)) == 2 * (count // 2), len(listed(s)))
            check("R13 R17 others are not delayed", loaded < quiet + 0.5, (quiet, loaded))
            tries, most = s.log_text().count("destination=127.0.0.1:%d" % dead), 4 + (time.monotonic() - begin) / 10  # of each shard
            check("R17 few tries", s.log_text().count(" deferred ") == 0 and tries <= most, (tries, most))
            check("R17 memory is bounded", counter(s, "queue_memory") < count * 2048 and s.memory() - base < (256 << 20), (counter(s, "queue_memory"), s.memory() - base))
            why = queue(s, "why", "dead.example", json_too=True)
            check("why says it rests", why and sum(w["jobs"] for w in why) == count // 2 and any(w["rests_s"] > 0 for w in why), why)
            check("drop for a destination", queue(s, "drop", "dead.example").stdout.startswith("%d messages dropped" % (count // 2)))
            check("the others stay", len(listed(s)) == count // 2)
            check("drop for a sender", queue(s, "drop", "--sender", U0).returncode == 0 and listed(s) == [])


def limits_of_a_destination():
    with Sink() as sink:
        sink.delay = 0.05
        with server("--relay", "127.0.0.1:%d" % sink.port, "--destination-sessions", "3", "--hop-messages", "5") as s:
            with s.smtp() as c:
                for i in range(40):
                    c.sendmail(U0, "a%d@far.example" % i, "Subject: x\r\n\r\nx\r\n")
            check("40 arrive", wait_for(lambda: len(sink.mails) == 40, 30), len(sink.mails))
            check("by at most 3 sessions at a time", 1 < sink.most <= 3, sink.most)
            check("at most 5 on each", sink.sessions >= 8, sink.sessions)
            check("and no more sessions than needed", sink.sessions <= 30, sink.sessions)
    with Sink() as sink:
        with server("--relay", "127.0.0.1:%d" % sink.port, "--destination-rate", "120") as s:
            begin = time.monotonic()
            with s.smtp() as c:
                for i in range(12):
                    c.sendmail(U0, "a%d@far.example" % i, "Subject: x\r\n\r\nx\r\n")
            check("--destination-rate: 12 arrive", wait_for(lambda: len(sink.mails) == 12, 30), len(sink.mails))
            check("at its pace", time.monotonic() - begin > 3.5, time.monotonic() - begin)


def one_session_for_many():
    with Sink() as sink:
        with server("--relay", "127.0.0.1:%d" % sink.port, threads=1, shards=1) as s:
            for _ in range(5):  # until five come within a second of each other, whatever else the machine does
                slowest, sessions, begin = 0, sink.sessions, time.monotonic()
                for i in range(5):
                    before = len(sink.mails)
                    send(s, "a%d@far.example" % i)
                    wait_for(lambda: len(sink.mails) > before)
                    slowest, begin = max(slowest, time.monotonic() - begin), time.monotonic()
                if slowest < 1 or sink.sessions == sessions + 1:
                    break
                wait_for(lambda: sink.open == 0)
            check("one connection carries what comes within a second", sink.sessions == sessions + 1, (sink.sessions, slowest))


def priorities():
    with Sink() as sink:
        with server("--relay", "127.0.0.1:%d" % sink.port, "--destination-sessions", "1", threads=1, shards=1) as s:
            texts, go = [], threading.Event()
            sink.on_dot = lambda s, m: texts.append(m) or go.wait(60) and None
            send(s, "first@far.example")
            wait_for(lambda: texts)
            for p in (-3, 0, 5, 2):
                send(s, "p%d@far.example" % p, mail=["MT-PRIORITY=%d" % p])
            check("MT-PRIORITY: they wait for the first", len(listed(s)) == 5)
            go.set()
            check("MT-PRIORITY: all arrive", wait_for(lambda: len(sink.mails) == 5))
            order = [m.rcpts[0].split("@")[0] for m in sink.mails]
            check("the urgent first", order == ["first", "p5", "p2", "p0", "p-3"], order)


def release_and_deadline():
    with Sink() as sink, Sink() as busy:
        busy.on_rcpt = lambda s, who: "450 4.2.1 busy"
        with server(route("far.example", sink), route("busy.example", busy), users=3) as s:
            begin = time.monotonic()
            submit(s, "a@far.example", mail=["HOLDFOR=3"])
            check("FUTURERELEASE: arrives", wait_for(lambda: sink.mails, 30) and time.monotonic() - begin > 2, time.monotonic() - begin)
            send(s, "a@busy.example", sender=U0, mail=["BY=3;N"])
            got = wait_reports(s, 1, U0, 10)
            check("BY;N: delayed, 4.4.7", got and fields(got[0])[1][0]["Action"] == "delayed" and fields(got[0])[1][0]["Status"] == "4.4.7", got)
            send(s, "a@far.example", sender=U1, mail=["BY=600;R"])
            got = wait_reports(s, 1, U1, 10)
            check("BY;R to a hop without DELIVERBY: failed", got and fields(got[0])[1][0]["Action"] == "failed", got)
            submit(s, "b@busy.example", user=s.users[2], mail=["HOLDFOR=1", "BY=3;N"])
            got = wait_reports(s, 1, s.users[2], 10)
            head = fields(got[0])[0] if got else {}
            arrival, by = (parsedate_to_datetime(head.get(n, "Thu, 01 Jan 1970 00:00:00 +0000")) for n in ("Arrival-Date", "Deliver-By-Date"))
            check("the report says what was asked", head.get("Future-Release-Request") == "for;1" and 2 <= (by - arrival).total_seconds() <= 3,
                  list(head.items()) if got else got)
            queue(s, "drop", "all")


def lmtp_hop():
    with Sink(lmtp=True) as sink:
        sink.on_dot = lambda s, m, who: {"full": "552 5.2.2 full", "busy": "450 4.2.1 busy"}.get(who.split("@")[0])
        with server(route("lists.example", sink, "lmtp")) as s:
            send(s, ["good@lists.example", "full@lists.example", "busy@lists.example"])
            got = wait_reports(s, 1)
            check("LMTP: an answer for each", got and [r["Status"] for r in fields(got[0])[1]] == ["5.2.2"], got)
            left = listed(s)
            check("LMTP: one is tried again", len(left) == 1 and left[0]["recipients"] == ["busy@lists.example"], left)
            sink.on_dot = lambda s, m, who: None
            check("LMTP: and arrives", empty(s))


def lmtp_with_dsn():
    with Sink(lmtp=True, offers=("PIPELINING", "DSN")) as sink:
        with server(route("lists.example", sink, "lmtp")) as s:
            send(s, "a@lists.example", rcpt=["NOTIFY=SUCCESS"])
            check("LMTP with DSN: it is asked to tell", wait_for(lambda: sink.mails, 15) and sink.mails[0].rcpt_params == ["NOTIFY=SUCCESS"])
            check("LMTP with DSN: and nobody else does", empty(s) and reports(s) == [])


def few_messages_a_session():
    with Sink(offers=("PIPELINING", "LIMITS MAILMAX=1 RCPTMAX=2")) as sink:
        with server("--relay", "127.0.0.1:%d" % sink.port, "--retry-first", "60s", "--retry-max", "60s") as s:
            send(s, ["r%d@far.example" % i for i in range(8)])
            check("RFC 9422: four sessions of one transaction each, at once", wait_for(lambda: len(sink.mails) == 4, 15), len(sink.mails))
            check("RFC 9422: each recipient once", sorted(r for m in sink.mails for r in m.rcpts) == ["r%d@far.example" % i for i in range(8)])


def alias_with_never():
    with Sink() as sink:
        sink.on_rcpt = lambda s, who: "550 5.1.1 no"
        with server("--relay", "127.0.0.1:%d" % sink.port) as s:
            with open(os.path.join(s.data, "aliases"), "w", encoding="utf-8") as f:
                f.write("both@example.test u1@example.test, away@far.example\nout@example.test x@far.example, y@far.example\n")
            s.stop()
            s.start()
            send(s, ["both@example.test", "out@example.test"], rcpt=["NOTIFY=NEVER"])
            check("NOTIFY=NEVER holds for all that an alias stands for", empty(s) and reports(s) == [])
            check("and the local one has it", len(inbox(s, U1)) == 1)


def taken_back_under_way():
    """The hop closes the session while the operator wants the message back."""
    for words, left, told in ((["hold", "all"], 1, 0), (["drop", "all"], 0, 0), (["drop", "all", "--bounce"], 0, 1)):
        with Sink(offers=("8BITMIME",)) as sink:
            heard, go = [], threading.Event()

            def on_mail(s, mail):
                heard.append(1)
                if len(heard) == 2:
                    go.wait(20)
                    return DROP
            sink.on_mail, sink.delay = on_mail, 1
            with server("--relay", "127.0.0.1:%d" % sink.port, "--destination-sessions", "1", threads=1, shards=1) as s:
                send(s, "a@far.example")
                send(s, "b@far.example")
                wait_for(lambda: len(heard) == 2, 15)
                queue(s, *words)
                go.set()
                wait_for(lambda: len(reports(s)) == told and len(listed(s)) == left, 10)
                time.sleep(3)
                name = " ".join(words) + " under way: "
                check(name + "it is not sent", [m.rcpts for m in sink.mails] == [["a@far.example"]], [m.rcpts for m in sink.mails])
                check(name + "%d left" % left, len(listed(s)) == left, listed(s))
                got = reports(s)
                check(name + "%d told" % told, len(got) == told and all(fields(r)[1][0]["Status"] == "5.7.0" for r in got), got)


def greetings():
    with Sink() as sink:
        state = {"greeting": "421 4.3.2 too busy"}
        sink.on_greet = lambda s: state["greeting"]
        with server("--relay", "127.0.0.1:%d" % sink.port) as s:
            send(s, "a@far.example")
            check("a 421 greeting: the destination rests", wait_for(lambda: "destination-rests" in s.log_text(), 10))
            state["greeting"] = "554 5.7.1 go away"
            time.sleep(2)
            check("a relay that refuses for good is the operator's affair", len(listed(s)) == 1)
            state["greeting"] = None
            check("it arrives in the end", wait_for(lambda: sink.mails, 15) and empty(s))


def kill_while_it_works():
    """kill -9, many times: nothing that was acknowledged is lost; twice comes only what the hop had taken
    when the answer was not in the log yet."""
    kills, sessions = (25 if LONG else 8), 4
    with Sink() as sink:
        sink.delay = 0.004
        s = server("--relay", "127.0.0.1:%d" % sink.port, "--destination-sessions", str(sessions))
        acked, stop = [], []

        def client(n):
            i = 0
            while not stop:
                try:
                    with s.smtp() as c:
                        while not stop:
                            name = "m%d-%d" % (n, i)
                            i += 1
                            c.sendmail(U0, name + "@far.example", "Subject: %s\r\n\r\n%s\r\n" % (name, "x" * 500 * (i % 40)))
                            acked.append(name)
                except (smtplib.SMTPException, OSError):
                    time.sleep(0.05)
        with s:
            threads = [threading.Thread(target=client, args=(n,)) for n in range(2)]
            for t in threads:
                t.start()
            for k in range(kills):
                before = len(acked)
                wait_for(lambda: len(acked) >= before + 12)
                time.sleep(0.4 + 0.07 * (k % 5))
                s.kill()
                s.start()
            stop.append(1)
            for t in threads:
                t.join()
            check("the queue is empty in the end", empty(s, 60), len(listed(s)))
            arrived = {}
            for m in sink.mails:
                name = m.rcpts[0].split("@")[0]
                arrived[name] = arrived.get(name, 0) + 1
            lost = [n for n in acked if n not in arrived]
            twice = sum(n - 1 for n in arrived.values())
            check("nothing acknowledged is lost", not lost, lost[:5])
            check("%d of %d came twice in %d kills" % (twice, len(acked), kills), twice <= kills * 2 * sessions, twice)
            check("enough was sent to tell", len(acked) > 10 * kills, len(acked))
            check("nobody was told of anything", reports(s) == [])


def recipients_in_parts():
    """A hop that takes two recipients at a time (RFC 5321, 4.5.3.1.10): the others at once, not later."""
    with Sink() as sink:
        sink.on_rcpt = lambda s, who: None
        taken = threading.local()

        def on_mail(s, mail):
            taken.count = 0

        def on_rcpt(s, who):
            taken.count += 1
            return "452 4.5.3 too many recipients" if taken.count > 2 else None
        sink.on_mail, sink.on_rcpt = on_mail, on_rcpt
        with server("--relay", "127.0.0.1:%d" % sink.port, "--retry-first", "1000s", "--retry-max", "1000s") as s:
            send(s, ["r%d@far.example" % i for i in range(7)])
            check("452 4.5.3: all arrive at once", wait_for(lambda: len(sink.mails) == 4, 10) and empty(s, 5), len(sink.mails))
            check("in parts", sorted(len(m.rcpts) for m in sink.mails) == [1, 2, 2, 2])


def forwarded():
    """An alias that leads elsewhere: with --srs its sender leads back to us; its report goes to the true one."""
    for srs in ("no", "yes"):
        with Sink() as sink:
            with server("--relay", "127.0.0.1:%d" % sink.port, "--srs", srs) as s:
                with open(os.path.join(s.data, "aliases"), "w", encoding="utf-8") as f:
                    f.write("out@example.test away@far.example\n")
                s.stop()
                s.start()
                send(s, ["out@example.test", "direct@far.example"], sender="someone@client.test")
                check("srs %s: both arrive" % srs, wait_for(lambda: sum(len(m.rcpts) for m in sink.mails) == 2, 10), len(sink.mails))
                by = {r: m.sender for m in sink.mails for r in m.rcpts}
                check("srs %s: who was written to directly sees the true sender" % srs, by.get("direct@far.example") == "someone@client.test", by)
                check("srs %s: the forwarded copy" % srs, by.get("away@far.example", "").endswith("@example.test") == (srs == "yes"), by)


def local_socket():
    """LMTP on a local socket, and an end to it: what is not there rests."""
    with Server(names=["far@lists.example"]) as there:
        there.stop()
        path = os.path.join(there.folder, "lmtp")
        there.flags = ["--lmtp", "unix:" + path, "--domain", "lists.example"]
        with server("--route", "lists.example=unix:" + path) as s:
            send(s, ["far@lists.example", "nobody@lists.example"])
            check("no socket: it rests", wait_for(lambda: "destination-rests" in s.log_text(), 10))
            check("why", "rests" in queue(s, "why", "lists.example").stdout)
            there.start()
            got = wait_reports(s, 1)
            check("LMTP on a local socket: it arrives", wait_for(lambda: len(inbox(there, "far@lists.example")) == 1, 10))
            check("who is not there is reported", got and fields(got[0])[1][0]["Status"] == "5.1.1", got)


# --- ringmail queue --------------------------------------------------------------------------

def the_command():
    with Sink() as sink:
        state = {"answer": "450 4.2.1 busy"}
        asked = []
        sink.on_rcpt = lambda s, who: asked.append(who) or state["answer"]
        with server(route("far.example", sink), "--retry-first", "100s", "--retry-max", "200s") as s:
            check("an empty queue", queue(s, "list").stdout == "0 messages.\n" and listed(s) == [])
            send(s, ["a@far.example", "b@far.example"], "Subject: x\r\n\r\nx\r\n")
            send(s, "\"q\\\"t\"@far.example", sender=U1)
            check("both are listed with their answers", wait_for(lambda: len([m for m in listed(s) if m.get("last_answer")]) == 2, 10))
            rows = {m["sender"]: m for m in listed(s)}
            one, two = rows[U0]["id"], rows[U1]["id"]
            check("recipients left", rows[U0]["recipients_left"] == 2 and rows[U1]["recipients"] == ["\"q\\\"t\"@far.example"], rows)
            text = queue(s, "list").stdout
            check("list for people", one in text and "450 4.2.1 busy" in text and "2 messages." in text, text)
            shown = queue(s, "show", one, json_too=True)
            check("show", shown["id"] == one and [r["address"] for r in shown["recipients"]] == ["a@far.example", "b@far.example"]
                  and all(r["fate"] == "pending" and r["attempts"] == 1 for r in shown["recipients"]), shown)
            why = queue(s, "why", one, json_too=True)
            check("why", len(why) == 1 and why[0]["recipients"] == 2 and why[0]["last_answer"]["code"] == 450, why)
            check("hold", queue(s, "hold", one).stdout == "1 message held.\n")
            check("a held one is left alone by retry", queue(s, "retry", one).returncode == 1)
            check("why says so", "held" in queue(s, "why", one).stdout)
            tries = len(asked)
            check("retry all takes the other", queue(s, "retry", "all").stdout == "1 message retried.\n"
                  and wait_for(lambda: len(asked) > tries, 5) and set(asked[tries:]) == {"\"q\\\"t\"@far.example"}, asked)
            s.stop()
            s.start()
            held = wait_for(lambda: [m for m in listed(s) if m["id"] == one and m["state"] == "held"], 10)
            check("held over a restart", held)
            state["answer"] = None
            check("release", queue(s, "release", one).stdout == "1 message released.\n")
            check("the released one arrives", wait_for(lambda: [m for m in sink.mails if m.sender == U0], 10))
            check("drop --bounce", queue(s, "drop", two, "--bounce").stdout == "1 message returned.\n")
            got = wait_reports(s, 1, U1)
            check("its sender is told", got and fields(got[0])[1][0]["Action"] == "failed")
            check("the queue is empty", empty(s))
            state["answer"] = "450 4.2.1 busy"
            send(s, "a@far.example")
            wait_for(lambda: listed(s), 5)
            check("drop", queue(s, "drop", "all").stdout == "1 message dropped.\n" and listed(s) == [])
            time.sleep(0.5)
            check("nobody is told", reports(s) == [])
            r = queue(s, "show", "1-ffff")
            check("an id that is not there", r.returncode == 1 and "no such message" in r.stderr, r)
            r = queue(s, "why", "nowhere.example")
            check("a destination that is not there", r.returncode == 1 and "nowhere.example" in r.stderr, r)
            for words in (["show"], ["show", "all"], ["drop"], ["burn", "all"], ["list", "--bounce"], ["retry", "--sender"], ["list", "a", "b"]):
                r = queue(s, *words)
                check("wrong usage: %s" % " ".join(words), r.returncode == 64 and r.stderr.count("\n") == 1, r)
        r = queue(s, "list")
        check("no server", r.returncode == 1 and "no server runs" in r.stderr, r)
        r = queue(s, "list", "--json")
        check("no server, and no list", r.returncode == 1 and r.stdout == "" and "no server runs" in r.stderr, r)


def strange_addresses():
    """What a sender wrote is shown, and is no command for the terminal."""
    with server(route("dead.example", free_ports(1)[0])) as s:
        address = '"a\u009b31m\u0085\\"\u00e9"@dead.example'
        with s.smtp() as c:
            c.ehlo("client.test")
            c.command_encoding = "utf-8"
            c.mail("", ["SMTPUTF8"])
            c.docmd("RCPT", "TO:<%s>" % address)
            check("it is taken", c.data("Subject: x\r\n\r\nx\r\n")[0] == 250)
        entry = listed(s)[0]
        check("the address as it is, in JSON", entry["recipients"] == [address], entry)
        for words in (["list"], ["show", entry["id"]], ["why", entry["id"]], ["list", "--json"], ["show", entry["id"], "--json"]):
            out = subprocess.run([RINGMAIL, "queue", *words, "--data", s.data], capture_output=True, stdin=subprocess.DEVNULL).stdout
            shown = out.decode()
            check(" ".join(words[:1] + words[2:]) + ": no control characters", not [c for c in shown if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160], shown)
            check(" ".join(words[:1] + words[2:]) + ": the rest is there", words[0] == "why" or "\u00e9" in shown, shown)
        queue(s, "drop", "all")


def pages():
    """More than fits a page, and an entry whose recipients don't."""
    with server(route("dead.example", free_ports(1)[0]), "--retry-first", "100s", "--retry-max", "200s") as s:
        with s.smtp() as c:
            for i in range(700):
                c.sendmail("s%d@far.example" % i, "a%d@dead.example" % i, "Subject: x\r\n\r\nx\r\n")
        send(s, ["r%d-%s@dead.example" % (i, "x" * 40) for i in range(900)])
        rows = listed(s)
        check("all are listed once", len(rows) == 701 and len({m["id"] for m in rows}) == 701, len(rows))
        big = [m for m in rows if m["recipients_left"] == 900][0]
        shown = queue(s, "show", big["id"], json_too=True)
        check("all recipients are shown once", len({r["address"] for r in shown["recipients"]}) == 900 == len(shown["recipients"]))
        check("all are held", queue(s, "hold", "all").stdout == "701 messages held.\n")
        check("and released", queue(s, "release", "all").stdout == "701 messages released.\n")
        far, near = os.openpty()
        r = subprocess.run([RINGMAIL, "queue", "drop", "all", "--data", s.data], stdout=subprocess.PIPE, stderr=near, text=True, timeout=120, stdin=subprocess.DEVNULL)
        os.close(near)
        said = os.read(far, 65536).decode()
        os.close(far)
        check("and dropped", r.stdout == "701 messages dropped.\n" and listed(s) == [], r)
        steps = [int(word.split()[0]) for word in said[:-3].split("\r")[:-1]]
        check("a terminal shows how far it is", said.endswith("\033[K") and len(steps) > 3 and steps == sorted(steps) and steps[-1] <= 701, said)


def room():
    with server(route("dead.example", free_ports(1)[0]), "--max-queue", "100", threads=1, shards=1) as s:
        codes = []
        with s.smtp() as c:
            for i in range(105):
                try:
                    c.sendmail(U0, "a@dead.example", "Subject: x\r\n\r\nx\r\n")
                    codes.append(250)
                except Exception as e:  # smtplib's are many
                    codes.append(getattr(e, "smtp_code", None) or list(e.recipients.values())[0][0])
        check("--max-queue: 452", codes[:100] == [250] * 100 and codes[100:] == [452] * 5, codes[95:])
        send(s, U1)
        check("mail for here is taken", len(inbox(s, U1)) == 1)
        queue(s, "drop", "all")
        check("and for elsewhere again", send(s, "a@dead.example") == {})
        queue(s, "drop", "all")


# These look at what happens within a second, or keep the machine busy.
ALONE = [dead_host_delays_nobody, limits_of_a_destination, one_session_for_many, priorities, release_and_deadline, kill_while_it_works, pages, room]
# These mostly wait for the next try.
SIDE_BY_SIDE = [notices_and_the_end, taken_back_under_way, later_then_good, one_report, hundred_recipients, dies_after_the_dot,
                never_a_bounce_of_a_bounce, report_to_elsewhere, notify_matrix, returned_text, local_success, dead_host_expires,
                restart_keeps_the_schedule, stop_and_kill, one_report_whatever_crashes, lmtp_hop, lmtp_with_dsn,
                few_messages_a_session, alias_with_never, greetings, recipients_in_parts, forwarded, local_socket, the_command, strange_addresses]

if __name__ == "__main__":
    def chosen(tests):
        return [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    side_by_side(chosen(SIDE_BY_SIDE))
    side_by_side(chosen(ALONE), 1)
    finish()
