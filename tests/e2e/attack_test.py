"""The attack suite of RINGMAIL_SHARED against a fresh server: no case may fail.

A case that was too slow with the sanitizers, which multiply all work, or on a busy machine is tried
once more against the release build: what its limits mean is the time of that.
"""
import os
import re
import subprocess
import sys

from harness import DOMAIN, RELEASE, RINGMAIL, SHARED, Server, check, finish, free_ports, skip

TOO_SLOW = re.compile(r"took [\d.]+ s \(limit|another connection waited [\d.]+ s")


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
slow = []
lines = attack(RINGMAIL)
check("there were cases", len(lines) > 50, lines)
for verdict, case, text in lines:
    if verdict == "skip":
        skip(case, text.strip())
    elif verdict == "not ok" and TOO_SLOW.search(text):
        slow.append(case)
    else:
        check(case + text, verdict == "ok")
if slow:
    for verdict, case, text in attack(RELEASE, *slow):
        check("release build: " + case + text, verdict == "ok")
finish()
