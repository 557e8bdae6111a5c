"""The attack suite of RINGMAIL_SHARED against a fresh server: no case may fail."""
import os
import re
import subprocess
import sys

from harness import DOMAIN, SHARED, Server, check, finish, free_ports, skip

if not SHARED:
    skip("attack suite", "RINGMAIL_SHARED is not set")
    finish()
SINK = free_ports(1)[0]
with Server(users=2, plaintext=False, flags=["--unlimited-from", "127.0.0.0/8", "--relay", "127.0.0.1:%d" % SINK, "--relay-tls", "none",
                                             "--retry-first", "1s", "--retry-max", "2s"]) as s:
    env = dict(os.environ, RM_HOST="127.0.0.1", RM_DOMAIN=DOMAIN, RM_USER1=s.users[0], RM_PASS1="pw", RM_USER2=s.users[1],
               RM_PASS2="pw", RM_SINK=str(SINK), RM_PIDS=str(s.proc.pid), **{"RM_" + k.upper(): str(v) for k, v in s.ports.items()})
    out = subprocess.run([sys.executable, os.path.join(SHARED, "security", "attack.py")], env=env, capture_output=True, text=True, check=False)
    print(out.stdout[-60000:], out.stderr[-4000:])
    for line in out.stdout.splitlines():
        m = re.match(r"(ok|not ok|skip) (\S+)(.*)", line)
        if not m:
            continue
        if m[1] == "skip":
            skip(m[2], m[3].strip())
        else:
            check(m[2] + m[3], m[1] == "ok")
    check("the server is still the same process", s.proc.poll() is None)
finish()
