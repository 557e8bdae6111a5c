"""No shared lock on the hot path: threads that serve mail make (next to) no futex calls under load."""
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

from harness import RELEASE, Server, check, finish, skip

SECONDS = 5


def smtp_load(s, stop, done):
    n = 0
    f = s.raw("smtp")
    f.readline()
    f.write(b"EHLO load.test\r\n")
    f.flush()
    while f.readline()[3:4] == b"-":
        pass
    body = b"From: a@client.test\r\nSubject: load\r\n\r\n" + b"x" * 900 + b"\r\n.\r\n"
    while not stop.is_set():
        f.write(b"MAIL FROM:<a@client.test>\r\nRCPT TO:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (s.users[n % 8].encode(), s.users[(n + 3) % 8].encode()))
        f.flush()
        for _ in range(4):
            f.readline()
        f.write(body)
        f.flush()
        if f.readline().startswith(b"250"):
            n += 1
    done.append(n)


def imap_load(s, k, stop, done):
    n = 0
    while not stop.is_set():
        m = s.imap(s.users[k])
        m.select()
        for _ in range(20):
            m.noop()
            m.fetch("1:5", "(FLAGS BODY.PEEK[])")
            m.store("1", "+FLAGS" if n % 2 else "-FLAGS", "\\Flagged")
            n += 3
        m.logout()
    done.append(n)


def pop3_load(s, k, stop, done):
    n = 0
    while not stop.is_set():
        p = s.pop3(s.users[k])
        for i in range(1, 4):
            p.retr(i)
        p.quit()
        n += 6
    done.append(n)


if not shutil.which("strace"):
    skip("futex count", "strace is not installed")
    finish()
with Server(users=8, binary=RELEASE, flags=["--unlimited-from", "127.0.0.0/8"]) as srv, tempfile.TemporaryDirectory() as tmp:
    for _ in range(6):
        srv.send(srv.users, b"From: a@client.test\r\nSubject: seed\r\n\r\nseed\r\n")
    stop, done = threading.Event(), []
    jobs = [threading.Thread(target=smtp_load, args=(srv, stop, done)) for _ in range(4)]
    jobs += [threading.Thread(target=imap_load, args=(srv, k, stop, done)) for k in range(3)]
    jobs += [threading.Thread(target=pop3_load, args=(srv, 4 + k, stop, done)) for k in range(2)]
    for j in jobs:
        j.start()
    time.sleep(1)
    report = os.path.join(tmp, "strace")
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", report, "-p", str(srv.proc.pid)], stderr=subprocess.DEVNULL)
    time.sleep(SECONDS)
    tracer.terminate()
    tracer.wait()
    stop.set()
    for j in jobs:
        j.join()
    text = open(report, encoding="utf-8").read() if os.path.exists(report) else ""
    print(text)
    calls = {m[2]: int(m[1]) for m in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", text, re.M)}
    enters, futexes, ops = calls.get("io_uring_enter", 0), calls.get("futex", 0), sum(done)
    print("operations %d, io_uring_enter %d, futex %d" % (ops, enters, futexes))
    if not enters:
        skip("futex count", "strace may not attach here")
    else:
        # Worker threads that hash passwords wait on a condition; a login may wake one. Nothing else may.
        check("no futex call per operation while SMTP, IMAP and POP3 are driven", futexes * 50 < enters, (futexes, enters))
        check("work was done", ops > 100, ops)
finish()
