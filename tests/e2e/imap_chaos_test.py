"""Mailboxes that are made, filled, renamed and deleted under clients that have them selected; accounts that go and come.

Nothing is expected of a single answer but that it is one: OK, NO, BYE. The server must live, and say nothing impossible.
"""
import random
import subprocess
import threading

from harness import LONG, Server, check, finish
from imap_client import Client, Closed

USERS = ["u0@example.test", "u1@example.test"]
BOXES = ["INBOX", "a", "a/b", "a/b/c", "d", "d/e"]
CLIENTS, ROUNDS = 8, 600 if LONG else 150
BODY = b"From: a@a.example\r\nSubject: chaos\r\n\r\n" + b"line of text\r\n" * 40


def command(rng):
    a, b = rng.choice(BOXES), rng.choice(BOXES)
    return rng.choice([
        "SELECT " + a, "SELECT " + a, "EXAMINE " + a, "CREATE " + a, "DELETE " + a, "RENAME %s %s" % (a, b), "STATUS %s (MESSAGES UNSEEN)" % a,
        "FETCH 1:* (UID FLAGS BODY.PEEK[])", "UID FETCH 1:* (ENVELOPE BODY[TEXT])", "STORE 1:* +FLAGS (\\Deleted k%d)" % rng.randint(1, 9),
        "UID STORE 1:* -FLAGS.SILENT (\\Deleted)", "EXPUNGE", "UID COPY 1:* " + b, "UID MOVE 1:* " + b, "SEARCH TEXT nothing", "CLOSE", "UNSELECT",
        'LIST "" "*"', "SUBSCRIBE " + a, "UNSUBSCRIBE " + a, 'LSUB "" "%"', "NOOP", "CHECK"])


def live(server, seed, faults):
    rng, c, n = random.Random(seed), None, 0
    while n < ROUNDS:
        n += 1
        try:
            if c is None:
                c = Client(server, seconds=60)
                r = c.do("LOGIN %s pw" % rng.choice(USERS))
                if r.status != "OK":
                    c.close()
                    c = None
                    continue
            what = rng.random()
            if what < 0.15:
                r = c.append(rng.choice(BOXES), BODY * rng.choice([1, 1, 1, 300]))
            elif what < 0.25:
                r = c.done(c.idle())
            elif what < 0.28:  # hang up in the middle of something
                c.begin(command(rng))
                c.close()
                c = None
                continue
            else:
                r = c.do(command(rng))
            if r.status not in ("OK", "NO", "BAD") or c.wrong:
                faults.append((seed, n, r, c.wrong[:2]))
                return
        except Closed:
            c = None
        except (OSError, AssertionError) as e:
            faults.append((seed, n, repr(e)))
            return


def come_and_go(server, stop):
    """The second account is removed and made again."""
    while not stop.wait(1.5):
        for words, text in ((("del",), ""), (("add",), "pw\n")):
            subprocess.run([server.binary, "user", *words, "--data", server.data, USERS[1]], input=text, text=True, capture_output=True, timeout=60, check=False)


with Server(users=2, flags=["--max-connections-user", "100"]) as s:
    faults, stop = [], threading.Event()
    threads = [threading.Thread(target=live, args=(s, seed, faults)) for seed in range(CLIENTS)]
    accounts = threading.Thread(target=come_and_go, args=(s, stop))
    for t in [*threads, accounts]:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    accounts.join()
    check("%d clients, %d commands each, over mailboxes that come and go" % (CLIENTS, ROUNDS), not faults, faults[:3])
    check("the server lives", s.proc.poll() is None, s.log_text()[-3000:])
    if s.proc.poll() is None:
        check("and serves", Client(s, USERS[0]).do("SELECT INBOX").status == "OK")
finish()
