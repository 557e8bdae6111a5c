"""Several clients on one mailbox at once: sequence numbers stay right, and in the end all believe the same.

Each client does what it likes for a while, keeping its own list of messages from EXISTS, EXPUNGE and FETCH alone.
Whatever the server says must fit that list (RFC 3501, 7.4.1; RFC 2180).
"""
import random
import re
import threading

from harness import LONG, Server, check, finish
from imap_client import Client, Closed

USER = "u0@example.test"
CLIENTS, ROUNDS = 6, 400 if LONG else 120


def some(rng, c):
    n = len(c.messages)
    a, b = rng.randint(1, n), rng.randint(1, n)
    return "%d:%d" % (min(a, b), min(max(a, b), min(a, b) + 5))


def act(rng, c, n):
    """One random command; returns what is wrong with its answer."""
    count = len(c.messages)
    do = rng.choice("append fetch uidfetch store silent delete expunge search noop idle body copy".split())
    if do == "append" or count < 3:
        r = c.append("INBOX", b"Subject: %d\r\n\r\nbody %d\r\n" % (n, n))
    elif do == "fetch":
        asked = some(rng, c)
        r = c.do("FETCH %s (UID FLAGS)" % asked)
        if r.status == "NO" and r.code == "EXPUNGEISSUED":
            return ""
    elif do == "uidfetch":
        r = c.do("UID FETCH 1:* (FLAGS)")
    elif do == "store":
        r = c.do("STORE %s %sFLAGS (\\Flagged k%d)" % (some(rng, c), rng.choice("+-"), rng.randint(1, 5)))
        if r.status == "NO" and r.code == "EXPUNGEISSUED":
            return ""
    elif do == "silent":
        one = rng.randint(1, count)
        r = c.do("STORE %d FLAGS.SILENT (\\Answered)" % one)
        if r.status == "OK" and not r.having(b"* %d FETCH" % one):
            c.messages[one]["flags"] = {b"\\Answered"}
    elif do == "delete":
        r = c.do("STORE %s +FLAGS (\\Deleted)" % some(rng, c)) if count > 20 else c.do("NOOP")
        if r.status == "NO" and r.code == "EXPUNGEISSUED":
            return ""
    elif do == "expunge":
        r = c.do("EXPUNGE")
    elif do == "search":
        r = c.do("SEARCH UNDELETED")
        found = [int(x) for x in r.having(b"* SEARCH")[0].split()[2:]] if r.lines else []
        if any(x > count for x in found):
            return "SEARCH gave %s of %d" % (found[-1:], count)
    elif do == "idle":
        r = c.done(c.idle())
    elif do == "body":
        r = c.do("FETCH %d (UID BODY[])" % rng.randint(1, count))
        if r.status == "NO" and r.code == "EXPUNGEISSUED":
            return ""
        uid, text = re.search(rb"UID (\d+)", r.lines[0]), re.search(rb"body (\d+)\r\n", r.lines[0], re.S)
        if uid and not text:
            return "no body: %r" % r
    elif do == "copy":
        r = c.do("UID COPY 1:* other")
    else:
        r = c.do("NOOP")
    return "" if r.status == "OK" else "%s: %r" % (do, r)


def live(server, seed, faults, clients):
    rng = random.Random(seed)
    try:
        c = Client(server, USER, seconds=60)
        clients.append(c)
        c.do("SELECT INBOX")
        for n in range(ROUNDS):
            fault = act(rng, c, seed * 100000 + n)
            if fault or c.wrong:
                faults.append((seed, n, fault, c.wrong[:3]))
                return
    except (Closed, OSError, IndexError) as e:
        faults.append((seed, "ended", repr(e)))


with Server(users=1, flags=["--max-connections-user", "50"]) as server:
    setup = Client(server, USER)
    setup.do("CREATE other")
    faults, clients = [], []
    threads = [threading.Thread(target=live, args=(server, seed, faults, clients)) for seed in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("%d clients, %d commands each: every answer fits what was told before" % (CLIENTS, ROUNDS), not faults, faults[:3])
    beliefs = []
    for c in clients:
        try:
            c.do("NOOP")
            told = {n: m["flags"] for n, m in c.messages.items() if "flags" in m}
            r = c.do("FETCH 1:* (UID FLAGS)")
            asked = {n: m["flags"] for n, m in c.messages.items()}
            check("what was told of flags is what is there", all(asked[n] == f for n, f in told.items()),
                  [(n, f, asked[n]) for n, f in told.items() if asked[n] != f][:3])
            beliefs.append([(m["uid"], sorted(m["flags"])) for m in c.messages.values()])
        except (Closed, OSError) as e:
            check("the session lives", False, repr(e))
    check("in the end all believe the same", len(beliefs) == CLIENTS and all(b == beliefs[0] for b in beliefs))
    check("UIDs ascend", all(a < b for a, b in zip([u for u, _ in beliefs[0]], [u for u, _ in beliefs[0]][1:])))
finish()
