"""Long commands let others live, and big messages cost little memory (matrix I21, O03, O15)."""
import re
import threading
import time

from harness import RELEASE, Server, check, finish
from imap_client import Client

HEAVY, QUIET = "u0@example.test", "u1@example.test"


def worst(client, clock, stop):
    """Longest NOOP until told to stop; and the 99th of a hundred."""
    times = []
    while not stop.is_set() or len(times) < 100:
        t = clock()
        client.do("NOOP")
        times.append(clock() - t)
        time.sleep(0.002)
    times.sort()
    return times[-1], times[len(times) * 99 // 100]


def measure(client, work):
    """Runs work() in other threads while a quiet client of the same shard counts its delays. Time is CPU time of the
    server: what it does for others while somebody waits, whatever else the machine does."""
    stop, result, clock = threading.Event(), [], client.server.cpu_seconds
    probe = threading.Thread(target=lambda: result.append(worst(client, clock, stop)))
    probe.start()
    begin = clock()
    threads = [threading.Thread(target=w) for w in work]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = clock() - begin
    stop.set()
    probe.join()
    return took, result[0][0], result[0][1]


with Server(users=2, shards=1, threads=1, binary=RELEASE, flags=["--max-message-size", "200M", "--max-connections-user", "100"]) as s:
    s.memory()  # what it takes after it listens costs CPU, too
    quiet = Client(s, QUIET)
    c = Client(s, HEAVY)
    big = b"Subject: haystack\r\n\r\n" + (b"a" * 990 + b"\r\n") * 5200
    check("5 MB of a", c.append("INBOX", big).status == "OK")
    check("a quarter of it", c.append("INBOX", big[:len(big) // 4]).status == "OK")
    c.do("SELECT INBOX")

    def share(name, work):
        took, longest, usual = measure(quiet, work)
        check(name + ": others wait little, 99 of 100 times", usual < max(0.05, took / 4), (took, longest, usual))

    def cpu(command):
        before = s.cpu_seconds()
        r = c.do(command)
        check("%s... is answered" % command[:20], r.status == "OK", r.line)
        return s.cpu_seconds() - before

    def turns(command):
        before = s.stat()["total"]["turns"]
        check("%s... is answered" % command[:20], c.do(command).status == "OK")
        return s.stat()["total"]["turns"] - before

    search = ['BODY "%s%c"' % ("a" * 900, end) for end in "bcde"]
    share("SEARCH BODY, the worst case", [lambda: c.do("SEARCH NOT " + " NOT ".join(search))])
    few, all_octets = (cpu("SEARCH %d %s" % (number, search[0])) for number in (2, 1))
    check("and it is linear", all_octets < 8 * few + 0.05, (few, all_octets))
    many = [Client(s, HEAVY) for _ in range(20)]
    for m in many:
        m.do("SELECT INBOX")
    share("20 of one", [lambda m=m: m.do("SEARCH " + search[0]) for m in many])
    c.do("CREATE many")
    small = b"From: a@a.example\r\nSubject: x\r\n\r\ny\r\n"
    for _ in range(20):
        c.send(b"".join(b"a APPEND many {%d+}\r\n%s\r\n" % (len(small), small) for _ in range(250)))
        for _ in range(250):
            c.line()
    c.do("SELECT many")
    check("5000 messages", len(c.messages) == 5000, len(c.messages))
    for command in ("FETCH 1:* (FLAGS UID)", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
                    "SEARCH TEXT nothing", "STORE 1:* +FLAGS (\\Answered)", "COPY 1:* INBOX"):
        share(command + " over 5000 messages", [lambda: c.do(command)])

    few, all_keys = (cpu("SEARCH " + "SUBJECT x " * n + "ALL") for n in (200, 900))
    check("SEARCH is linear in its keys", all_keys < 10 * few + 0.1, (few, all_keys))

    for i in range(1500):
        c.do("CREATE %s%d" % ("ab" * 240, i))
    few, some = (turns(command) for command in ("NOOP", 'LIST "" (%s)' % " ".join(["*" + "ab*" * 150 + "c"] * 32)))
    check("LIST of long names by 32 long patterns is sliced", some > 20 * few, (some, few))
    for m in many:
        m.close()
    huge = b"Subject: huge\r\n\r\n" + b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc\r\n" * (100_000_000 // 63)
    before = s.memory()
    r = c.append("many", huge)
    check("APPEND of 100 MB", r.status == "OK", r)
    after = s.memory()
    check("costs less than 100 MB of memory, the recent batches included", after - before < 100 << 20, (after - before) >> 20)
    before = s.memory()
    r = c.do("FETCH * BODY.PEEK[]")
    check("FETCH of 100 MB gives every octet", huge in r.lines[0])
    check("and costs less than 16 MB", s.memory() - before < 16 << 20, (s.memory() - before) >> 20)
    deaf = Client(s, HEAVY)
    before = s.memory()
    deaf.send(b"a SELECT many\r\n" + b"b FETCH * BODY.PEEK[]\r\n" * 3000)
    time.sleep(2)
    check("a client that reads nothing costs less than 16 MB", s.memory() - before < 16 << 20, (s.memory() - before) >> 20)
    check("and the others nothing", quiet.do("NOOP").status == "OK")


# --- what is done in slices is done at one moment, and by all of a crash or by nothing of it ---

def names(client):
    return {line.rsplit(b" ", 1)[1] for line in client.do('LIST "" "*"').lines if line.startswith(b"* LIST")}


def in_bulk(client, commands):
    client.send(b"".join(b"b%d %s\r\n" % (i, c) for i, c in enumerate(commands)))
    last = b"b%d " % (len(commands) - 1)
    while not client.line().startswith(last):
        pass


MANY = 400
with Server(users=2, shards=1, threads=1) as s:
    c, other = Client(s, HEAVY), Client(s, HEAVY)
    small = b"From: a@a.example\r\nSubject: x\r\n\r\ny\r\n"
    in_bulk(c, [b"CREATE t/%d" % i for i in range(MANY)] + [b"SUBSCRIBE t/%d" % i for i in range(0, MANY, 4)])
    in_bulk(c, [b"APPEND t/0 {%d+}\r\n%s" % (len(small), small)] * 100)
    c.do("SELECT t/0")
    for _ in range(5):
        c.do("COPY 1:* t/0")
        c.do("NOOP")
    c.do("UNSELECT")
    trees = [{b"%s/%d" % (top, i) for i in range(MANY)} for top in (b"t", b"v")]
    for old, new in (("t", "v"), ("v", "t")):
        check("RENAME %s %s" % (old, new), c.do("RENAME %s %s" % (old, new)).status == "OK")
        check("moves all of the tree", [len(t & names(other)) for t in trees] == ([0, MANY] if new == "v" else [MANY, 0]))
    check("subscriptions stay with the names", len([1 for line in other.do('LSUB "" "t/*"').lines if line.startswith(b"* LSUB")]) == MANY / 4)
    at, moved, copied = "t", 0, 0
    for round in range(6):
        to = "v" if at == "t" else "t"
        before = int(re.search(rb"MESSAGES (\d+)", other.do("STATUS %s/1 (MESSAGES)" % at).lines[0])[1])
        c.do("SELECT %s/0" % at)
        c.send("x COPY 1:* %s/1\r\ny RENAME %s %s\r\n" % (at, at, to))
        time.sleep(0.008 * round)
        s.kill()
        s.start()
        c, other = Client(s, HEAVY), Client(s, HEAVY)
        n = names(c)
        whole = [t & n == t for t in trees]
        if not check("kill -9 in a RENAME leaves one whole tree", whole[0] != whole[1] and not trees[whole[0]] & n,
                     [len(t & n) for t in trees]):
            break
        moved += (at == "t") != whole[0]
        at = "t" if whole[0] else "v"
        after = int(re.search(rb"MESSAGES (\d+)", other.do("STATUS %s/1 (MESSAGES)" % at).lines[0])[1])
        check("and of a COPY all or nothing", after - before in (0, 3200), (before, after))
        copied += after > before
    def count(client, mailbox):
        r = client.do("STATUS %s (MESSAGES)" % mailbox)
        return int(re.search(rb"MESSAGES (\d+)", r.lines[0])[1]) if r.status == "OK" else 0

    def fill_inbox():
        c.do("SELECT %s/0" % at)
        while count(other, "INBOX") < 6400:
            c.do("COPY 1:* INBOX")

    fill_inbox()
    many, emptied = count(c, "INBOX"), 0
    other.do("SELECT INBOX")
    check("RENAME INBOX", c.do("RENAME INBOX given").status == "OK")
    check("gives all away", (count(c, "INBOX"), count(c, "given")) == (0, many))
    r = other.do("NOOP")
    check("and who has it open hears of each", len(r.having(b" EXPUNGE")) == many and not other.messages, (r, many))
    for round in range(6):
        fill_inbox()
        many = count(c, "INBOX")
        other.do("SELECT INBOX")
        c.send("x RENAME INBOX to%d\r\n" % round)
        time.sleep(0.004 * round)
        s.kill()
        s.start()
        c, other = Client(s, HEAVY), Client(s, HEAVY)
        after = (count(c, "INBOX"), count(c, "to%d" % round))
        check("kill -9 in a RENAME of INBOX moves all or nothing", after in ((many, 0), (0, many)), (after, many))
        emptied += after[0] == 0
    print("# INBOX was given away in %d of 6 rounds" % emptied)
    print("# %d of 6 renames and %d of 6 copies were done" % (moved, copied), flush=True)
finish()
