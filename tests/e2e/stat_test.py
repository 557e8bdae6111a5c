"""`ringmail stat` counts what was done, and says so as text, JSON and again and again."""
import json
import os
import pty
import re
import socket
import subprocess

from harness import Server, check, finish, undisturbed, wait_for

U0, U1 = "u0@example.test", "u1@example.test"
MAIL = "Subject: one\r\n\r\n" + "text of the message\r\n" * 20


def stat(s, *words, timeout=60):
    return subprocess.run([s.binary, "stat", "--data", s.data, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout, check=False)


def same(name, have, want):
    wrong = {k: (have[k], v) for k, v in want.items() if have[k] != v}
    check(name, not wrong, wrong)


def submit(s):
    """Three by SMTP, one of them to two recipients; a recipient that is not there; one by LMTP."""
    for to in ([U0], [U0], [U0, U1]):
        s.send(to, MAIL)
    with s.smtp() as c:
        c.mail("sender@client.test")
        check("an unknown recipient is refused", c.rcpt("nobody@example.test")[0] == 550)
    with socket.create_connection(("127.0.0.1", s.ports["lmtp"]), 30) as c:
        f = c.makefile("rb")
        for line, answers in ((b"", 1), (b"LHLO c\r\n", 0), (b"MAIL FROM:<a@client.test>\r\n", 1), (b"RCPT TO:<%s>\r\n" % U0.encode(), 1),
                              (b"DATA\r\n", 1), (MAIL.encode() + b".\r\n", 1), (b"QUIT\r\n", 1)):
            c.sendall(line)
            while answers == 0 and f.readline()[3:4] == b"-":
                pass
            for _ in range(answers):
                f.readline()


def read(s):
    """IMAP: a login each, and what is counted of commands; POP3: two of four messages, one deleted."""
    m = s.imap(U0)
    m.select("INBOX")
    m.fetch("1:*", "(FLAGS)")
    m.fetch("1", "(BODY.PEEK[])")
    m.store("1:2", "+FLAGS", "\\Seen")
    m.search(None, "ALL")
    m.append("INBOX", None, None, MAIL.encode())
    m.copy("1", "Sent")
    m.status("Sent", "(MESSAGES)")
    m.list()
    m.noop()
    m.store("5", "+FLAGS", "\\Deleted")
    m.expunge()
    m.logout()
    try:
        s.imap(U0, "wrong")
        check("a wrong password is refused", False)
    except Exception as e:  # pylint: disable=broad-except
        check("a wrong password is refused", "AUTHENTICATIONFAILED" in str(e), e)
    p = s.pop3(U0)
    p.retr(1)
    p.top(2, 3)
    p.dele(1)
    p.quit()


def idle(s):
    """A client in IDLE is told of a message: EXISTS, one change."""
    m = s.imap(U1)
    m.select("INBOX")
    m.send(b"i IDLE\r\n")
    m.readline()
    s.send([U1], MAIL)
    check("IDLE tells of it", b"EXISTS" in m.readline())
    m.send(b"DONE\r\n")
    while not m.readline().startswith(b"i OK"):
        pass
    wait_for(lambda: s.stat()["total"]["connections"] == 1)  # the one that brought it goes
    now = s.stat()["total"]
    same("a session that is logged in is seen", now, {"connections": 1, "connections_imap": 1, "logins": 1, "connections_tls": 0})
    m.logout()


def counted(s):
    check("all is closed", wait_for(lambda: s.stat()["total"]["connections"] == 0))
    d = s.stat()
    t = d["total"]
    same("connections", t, {"accepted_smtp": base["accepted_smtp"] + 5, "accepted_lmtp": 1, "accepted_pop3": 1, "accepted_imap": base["accepted_imap"] + 3,
                            "accepted": base["accepted"] + 10, "connections_refused": 0, "connections_out": 0})
    same("mail", t, {"recipients": 6, "recipients_refused": 1, "messages": 5, "messages_refused": 0, "fetched": 5, "searched": 4,
                     "retrieved": 2, "pop3_sessions": 1, "idle_pushes": 1})
    same("logins", t, {"password_checks": 4, "logins_failed": 1, "logins": 0})
    counts = {name: t[name]["count"] for name in t if isinstance(t[name], dict)}
    same("operations", counts, {"smtp_message": 4, "submission_message": 0, "lmtp_message": 1, "submission_login": 0, "pop3_login": 1, "pop3_retr": 2,
                                "pop3_quit": 1, "imap_login": 2, "imap_select": 2, "imap_fetch": 2, "imap_store": 2, "imap_append": 1, "imap_search": 1,
                                "imap_copy": 1, "imap_expunge": 1, "imap_status": 1, "imap_list": 1, "hop_message": 0})
    check("every reply has its turn", t["turns"] >= 40 and t["turn"]["count"] >= 40 and t["turn_cpu"]["count"] > 0, t)
    check("octets", t["bytes_in"] > 6 * len(MAIL) and t["bytes_out"] > 2 * len(MAIL), (t["bytes_in"], t["bytes_out"]))
    check("commits", 5 <= t["batches"] == counts["commit"] == counts["batch_records"] <= t["records"] and t["bytes_written"] >= 4096 * t["batches"], t)
    check("reads", 0 < t["reads_memory"] == t["reads"] and t["read"]["count"] == 0 and t["recent_bytes"] > 0, t)
    check("users and mail", t["users"] == 2 and 1 <= t["users_loaded"] <= 2 and t["live_bytes"] <= t["log_bytes"], t)
    for name in ("smtp_message", "commit", "turn"):
        h = t[name]
        check("percentiles of %s ascend" % name, 0 < h["p50_us"] <= h["p90_us"] <= h["p99_us"] <= h["p999_us"] <= h["max_us"] < 60_000_000, h)
    check("a message takes as long as its commit", t["smtp_message"]["max_us"] >= t["commit"]["p50_us"] / 2, t["smtp_message"])
    return d


def sums(d):
    check("the frame", d["format"] == 1 and d["interval"] is False and d["seconds"] == d["server"]["uptime_s"], d["server"])
    same("the process", d["server"], {"threads": 2, "shards": 2, "accounts": 2, "max_hops": 77, "max_queue": 200000, "index_memory": 2 * (16 << 20)})
    check("memory", 0 < d["server"]["memory_resident"] < d["server"]["memory_bound"], d["server"])
    parts = [(n, d["threads"]) for n in d["threads"][0] if n != "thread"] + [(n, d["shards"]) for n in d["shards"][0] if n != "shard"]
    check("all figures are in the total, and no others", sorted(n for n, _ in parts) == sorted(d["total"]))
    wrong = [n for n, rows in parts if (sum(r[n]["count"] for r in rows) != d["total"][n]["count"] if isinstance(rows[0][n], dict)
                                        else sum(r[n] for r in rows) != d["total"][n])]
    check("which is their sum", not wrong, wrong)
    check("a row for each thread and shard", [r["thread"] for r in d["threads"]] == [0, 1] == [r["shard"] for r in d["shards"]])


def text(s):
    r = stat(s)
    check("text", r.returncode == 0 and r.stderr == "" and "since the start" in r.stdout.splitlines()[0], r)
    check("figures with their flags", re.search(r"^  index_bytes .* of index_memory +--index-memory$", r.stdout, re.M) and
          re.search(r"^  smtp_message +4 ", r.stdout, re.M) and re.search(r"^  logins_failed +1 .*25.0 % of password_checks +--max-failed-logins$", r.stdout, re.M), r.stdout)
    check("what is zero is left out", "queue_waiting" not in r.stdout and "imap_store" in r.stdout)
    check("a row for each thread and shard of the text", len(re.findall(r"^  [01]  .*\d", r.stdout, re.M)) == 4, r.stdout)
    check("no line is too long for a terminal", max(map(len, r.stdout.splitlines())) <= 132, max(map(len, r.stdout.splitlines())))


def two_views(s):
    """Of --watch 1 2, with a message between them."""
    watch = subprocess.Popen([s.binary, "stat", "--data", s.data, "--json", "--watch", "1", "2"], stdout=subprocess.PIPE, text=True)
    first = json.loads(watch.stdout.readline())
    s.send([U0, U1], MAIL)
    second = json.loads(watch.stdout.readline())
    check("--watch ends by itself", watch.wait(60) == 0 and watch.stdout.read() == "")
    return first, second


def watching(s):
    first, second = undisturbed(lambda: two_views(s), lambda views: views[1]["total"]["messages"] == 1)
    same("the first interval was quiet", first["total"], {"messages": 0, "recipients": 0, "batches": 0})
    same("the second has what came in it", second["total"], {"messages": 1, "recipients": 2})
    check("and its own percentiles", second["total"]["smtp_message"]["count"] == 1 and 0 < second["total"]["smtp_message"]["p50_us"] < 60_000_000)
    both = first["seconds"] + second["seconds"]  # a view that comes late shortens the next interval
    check("intervals are said", first["interval"] and first["seconds"] > 0.5 and second["seconds"] > 0 and both > 1.5, (first["seconds"], second["seconds"]))
    with open("/dev/full", "w", encoding="ascii") as full:
        for words in ((), ("--watch", "1")):
            r = subprocess.run([s.binary, "stat", "--data", s.data, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            check("stat %s that can't be written fails" % " ".join(words), r.returncode == 1 and "No space" in r.stderr, r)
    r = stat(s, "--watch", "1", "1")
    check("--watch as text", r.returncode == 0 and "the last" in r.stdout.splitlines()[0] and "\033" not in r.stdout, r)
    main, peer = pty.openpty()
    view = subprocess.Popen([s.binary, "stat", "--data", s.data, "--watch", "1", "1"], stdin=subprocess.DEVNULL, stdout=peer)
    os.close(peer)
    shown = b""
    try:
        while part := os.read(main, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(main)
    check("a terminal is written over", view.wait(30) == 0 and shown.startswith(b"\033[2J\033[H") and shown.endswith(b"\033[J"), shown[:80])


def usage(s):
    for words, said in ((["5"], "--watch 5"), (["--watch", "x"], "--watch x: not a time"), (["--watch", "0"], "--watch 0: not a time"),
                        (["--watch", "2d"], "--watch 2d: not a time"), (["--watch", "1", "none"], "not a number of views"), (["--watch", "1", "0"], "not a number of views"),
                        (["--watch", "1", "1", "1"], "1"), (["--jsn"], "--jsn: no such flag"), (["--threads", "2"], "not a flag of this command")):
        r = stat(s, *words, timeout=30)
        check("usage: %s" % " ".join(words), r.returncode == 64 and r.stdout == "" and r.stderr.count("\n") == 1 and said in r.stderr, r)
    r = stat(s, "--help")
    check("--help explains every figure", r.returncode == 0 and all("  %s: " % n in r.stdout for n in s.stat()["total"]), r.stdout[:200])
    r = subprocess.run([s.binary, "status", "--data", s.data], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    check("there is one command, not two", r.returncode == 64, r)


def raw(s, request):
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(os.path.join(s.data, "control"))
        c.sendall(request + b"\n")
        return c.makefile("rb").read()


with Server(users=2, flags=["--max-hops", "77", "--index-memory", "16M"]) as server:
    base = server.stat()["total"]
    submit(server)
    read(server)
    idle(server)
    sums(counted(server))
    text(server)
    watching(server)
    usage(server)
    for wrong_request in (b"stat", b"stat thread", b"stat thread 2", b"stat shard 99999999999", b"stat shard -1", b"stat nothing"):
        check("the socket refuses %s" % wrong_request.decode(), raw(server, wrong_request).startswith(b"error "))
    server.stop()
    gone = stat(server)
    check("without a server", gone.returncode == 1 and "no server runs on" in gone.stderr, gone)
finish()
