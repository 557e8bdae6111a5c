"""`bench/populate`: a store made without a server is one that a server opens.

300 users and 2,000 messages: `ringmail check` finds no fault, every user can log in and sees
his share, numbers and bytes are what the plan says, new mail arrives behind it. The same seed
makes the same mail, another one other mail. One mailbox of all messages. Bad usage is told
in one line.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import DOMAIN, RINGMAIL, Server, check, finish, wait_for

POPULATE = os.path.join(os.path.dirname(os.path.abspath(RINGMAIL)), "ringmail-populate")
USERS, MESSAGES, SIZE = 300, 2000, 700


def populate(*args):
    return subprocess.run([POPULATE, *args], capture_output=True, text=True, timeout=120)


def fill(folder, *more, users=USERS, messages=MESSAGES):
    data = os.path.join(folder, "data")
    p = populate("--data", data, "--users", str(users), "--messages", str(messages), "--size", str(SIZE),
                 "--segment-size", "2M", *more)
    check("it is filled", p.returncode == 0 and "%d users, %d messages" % (users, messages) in p.stdout, (p.stdout, p.stderr))
    p = subprocess.run([RINGMAIL, "check", data], capture_output=True, text=True, timeout=120)
    check("`ringmail check` finds nothing", p.returncode == 0 and p.stdout.endswith("\n0 problems\n"), p.stdout[-500:])
    counts = re.findall(r"(\d+) users?, (\d+) messages?", p.stdout)
    check("`ringmail check` counts them", [sum(map(int, c)) for c in zip(*counts)] == [users, messages], p.stdout[-500:])
    return data


class Filled(Server):
    """A server on a folder that populate has made: its users file stays."""

    def __init__(self, folder, shards=2):
        super().__init__(names=[], folder=folder, shards=shards, tls=False, flags=["--segment-size", "2M"])

    def __exit__(self, *exc):
        self.stop()
        shutil.rmtree(self.folder)


def served(shards, *more, **counts):
    """A filled store's server; the harness would write a users file of its own."""
    folder = tempfile.mkdtemp(prefix="ringmail-test-")
    data = fill(folder, "--shards", str(shards), *more, **counts)
    users = open(os.path.join(data, "users"), encoding="utf-8").read()
    server = Filled(folder, shards)
    with open(server.users_file, "w", encoding="utf-8") as f:
        f.write(users)
    return server, users.split("\n")[:-1]


def texts(m):
    count = int(m.select()[1][0])
    return [part[1] for part in m.fetch("1:*", "(UID BODY.PEEK[])")[1] if isinstance(part, tuple)] if count else []


def spread():
    server, lines = served(3)
    check("the users file has a line each", lines == ["u%d@%s:{PLAIN}pw" % (i, DOMAIN) for i in range(USERS)])
    kept = []
    with server as s:
        before = s.stat()["shards"]
        for i in range(20):
            s.imap("u%d@%s" % (i, DOMAIN)).logout()
        after = s.stat()["shards"]
        read, users = (sum(b[key] - a[key] for a, b in zip(before, after)) for key in ("reads", "users_read"))
        check("a user's state is written: to bring him into memory takes one read", users == 20 and read == users, (read, users))
        wrong = []
        for i in range(USERS):
            m = s.imap("u%d@%s" % (i, DOMAIN))
            got = texts(m)
            kept += got
            if len(got) != (MESSAGES - i + USERS - 1) // USERS or any(
                    len(t) != SIZE or b"\r\nTo: <u%d@%s>\r\n" % (i, DOMAIN.encode()) not in t for t in got):
                wrong.append(i)
            m.logout()
        check("each has his share, of the size asked for", not wrong, wrong[:10])
        check("no message is there twice", len(set(kept)) == MESSAGES, len(set(kept)))
        m = s.imap("u7@" + DOMAIN)
        shown = m.select()[1][0]
        fields = m.fetch("1", "(RFC822.SIZE ENVELOPE INTERNALDATE BODYSTRUCTURE)")[1][0].decode()
        check("summaries are those of the bytes", "RFC822.SIZE %d" % SIZE in fields and '"u7" "example.test"' in fields and
              '"text" "plain"' in fields.lower() and '"01-Jan-2025 00:00:07 +0000"' in fields, fields)
        check("the usual folders are there", b"Drafts" in b" ".join(m.list()[1]), m.list()[1])
        s.send(["u7@" + DOMAIN], "Subject: new\r\n\r\nnew\r\n")
        m.noop()
        check("new mail comes behind it", int(m.select()[1][0]) == int(shown) + 1)
        check("with the next UID", m.fetch("*", "(UID)")[1][0].endswith(b"(UID %d)" % (int(shown) + 1)))
    return kept


def seeds(kept):
    server, _ = served(1)
    with server as s:
        m = s.imap("u0@" + DOMAIN)
        check("the same seed, in other shards: the same mail", texts(m) and set(texts(m)) <= set(kept))
    server, _ = served(1, "--seed", "2")
    with server as s:
        check("another seed: other mail", not set(texts(s.imap("u0@" + DOMAIN))) & set(kept))


def one_mailbox():
    server, lines = served(2, "--one-mailbox", "--user", "person%d@" + DOMAIN, "--password", "{PLAIN}else", users=20)
    check("names by the pattern", lines[19] == "person19@%s:{PLAIN}else" % DOMAIN)
    with server as s:
        m = s.imap("person0@" + DOMAIN, password="else")
        check("one has it all", len(set(texts(m))) == MESSAGES)
        m = s.imap("person1@" + DOMAIN, password="else")
        check("the others have none", m.select()[1] == [b"0"])


def usage():
    with tempfile.TemporaryDirectory() as folder:
        data = fill(folder, users=3, messages=0)
        p = populate("--data", data, "--users", "3", "--messages", "1")
        check("a store is never added to", p.returncode == 1 and "has a file `store` already" in p.stderr, p.stderr)
        for args, word in ((["--users", "0"], "--users 0: write a whole number"), (["--size", "3"], "--size 3: write a size"),
                           (["--user", "me"], "--user me: write a name"), (["--password", "a:b"], "--password a:b: write"),
                           (["--colour", "red"], "--colour red: no such flag"), (["--users"], "--users (nothing)"),
                           (["x"], "argument x: "), (["--data", "d", "--users", "1"], "--messages M is missing")):
            p = populate(*args)
            check("populate %s" % " ".join(args), p.returncode == 64 and word in p.stderr and p.stderr.count("\n") == 1, p.stderr)
        big = os.path.join(folder, "big")
        p = populate("--data", big, "--users", "3", "--messages", str(1 << 40))
        check("what cannot be enough room is not filled", p.returncode == 1 and "GiB" in p.stderr and
              p.stderr.count("\n") == 1 and not os.listdir(big), p.stderr)
        for i in range(20):
            p = populate("--data", os.path.join(folder, "none%d" % i), "--users", "3", "--messages", "0", "--segment-size", "2M")
            if p.returncode != 0:
                break
        check("users without mail are made, time after time", p.returncode == 0, (i, p))
        half = os.path.join(folder, "half")
        run = subprocess.Popen([POPULATE, "--data", half, "--users", "9", "--messages", "9000000"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        wait_for(lambda: os.path.exists(os.path.join(half, "store")))
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)
        check("an interrupt ends it, and says what is left", run.returncode == 1 and said[0] == "" and
              said[1].count("\n") == 1 and "interrupted; remove" in said[1] and "users" not in os.listdir(half), said)
    for args in (("--help",), ("--data", "d", "--help")):
        check(" ".join(args), populate(*args).stdout.startswith("Usage: bench/populate "))


seeds(spread())
one_mailbox()
usage()
finish()
