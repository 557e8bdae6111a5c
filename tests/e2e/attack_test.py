"""The attack suite of RINGMAIL_SHARED against a fresh server: no case may fail.

A case that was too slow with the sanitizers, which multiply all work, or on a busy machine is tried
once more against the release build: what its limits mean is the time of that.

Two cases write and read one TLS connection in two threads, which Python's ssl before 3.13 does not
bear (an SSL object has one state for both; the reader then sees an end that nobody sent, in one of
some hundred runs against any server). These are tried again, a few times: a server that closes does
so each time. The same is tested from one thread in imap_commands_test and pop3_test.
"""
import os
import re
import subprocess
import sys

from harness import DOMAIN, RELEASE, RINGMAIL, SHARED, Server, check, finish, free_ports, skip

TOO_SLOW = re.compile(r"took [\d.]+ s \(limit|another connection waited [\d.]+ s")
TWO_THREADS = {"I18": "cut off at", "P07": "answers missing"}
TRIES = 5


def attack(binary, *cases):
    """The lines of the cases, as (verdict, id, the rest)."""
    sink = free_ports(1)[0]
    with Server(users=2, plaintext=False, binary=binary,
                flags=["--unlimited-from", "127.0.0.0/8", "--relay", "127.0.0.1:%d" % sink, "--relay-tls", "none",
                       "--retry-first", "1s", "--retry-max", "2s"]) as s:
        env = dict(os.environ, RM_HOST="127.0.0.1", RM_DOMAIN=DOMAIN, RM_USER1=s.users[0], RM_PASS1="pw", RM_USER2=s.users[1],
                   RM_PASS2="pw", RM_SINK=str(sink), RM_PIDS=str(s.proc.pid), **{"RM_" + k.upper(): str(v) for k, v in s.ports.items()})
        out = subprocess.run([sys.executable, os.path.join(SHARED, "security", "attack.py"), *cases], env=env,
                             capture_output=True, text=True, check=False)
        print(out.stdout[-60000:], out.stderr[-4000:])
        check("the server is still the same process", s.proc.poll() is None)
    return [m.groups() for m in (re.match(r"(ok|not ok|skip) (\S+)(.*)", line) for line in out.stdout.splitlines()) if m]


if not SHARED:
    skip("attack suite", "RINGMAIL_SHARED is not set")
    finish()
slow, again = [], []
lines = attack(RINGMAIL)
check("there were cases", len(lines) > 50, lines)
for verdict, case, text in lines:
    if verdict == "skip":
        skip(case, text.strip())
    elif verdict == "not ok" and TOO_SLOW.search(text):
        slow.append(case)
    elif verdict == "not ok" and TWO_THREADS.get(case, "\n") in text:
        again.append(case)
    else:
        check(case + text, verdict == "ok")
if slow:
    for verdict, case, text in attack(RELEASE, *slow):
        check("release build: " + case + text, verdict == "ok")
for case in again:
    tries = (attack(RINGMAIL, case) for _ in range(TRIES))
    check(case + ", again", any(verdict == "ok" for lines in tries for verdict, _, _ in lines))
finish()
