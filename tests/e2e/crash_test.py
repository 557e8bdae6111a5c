"""kill -9 under load, many times: what was acknowledged is there once, whole, with its flags and UIDs.

Runs the crash driver of RINGMAIL_SHARED against the release build: 50 kills, 10 kills inside
recovery, and a clean stop under load. More rounds with RINGMAIL_LONG=1.
"""
import os
import re
import shlex
import subprocess
import sys

from harness import LONG, RELEASE, SHARED, Server, check, finish, skip


def drive(name, *options, shards=3, flags=()):
    s = Server(users=4, shards=shards, binary=RELEASE, flags=["--unlimited-from", "127.0.0.0/8", *flags])
    command = [sys.executable, os.path.join(SHARED, "security", "crashtest.py"), "--start", " ".join(map(shlex.quote, s.command())),
               "--smtp", str(s.ports["smtp"]), "--imap", str(s.ports["imap"]), "--pop3", str(s.ports["pop3"]), "--settle", "0", *options]
    for user in s.users:
        command += ["--user", user + ":pw"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    text = out.stdout + out.stderr
    print(text)
    last = re.findall(r"(\d+) checks passed, (\d+) failed", text)
    check(name, out.returncode == 0 and last and int(last[-1][0]) > 0 and last[-1][1] == "0", text[-1500:])
    s.proc = None
    subprocess.run(["rm", "-rf", s.folder], check=True)


if not SHARED:
    skip("crash driver", "RINGMAIL_SHARED is not set")
else:
    # What a check reads grows with each round, and what is lost stays lost: it need not follow each kill.
    drive("50 kills under load", "--rounds", "500" if LONG else "50", "--max-run", "0.8", "--check-every", "1" if LONG else "2")
    drive("kills inside recovery", "--rounds", "50" if LONG else "10", "--min-run", "0", "--max-run", "0.05", "--check-every", "5")
    drive("small segments: kills in segment switch, checkpoint and compaction", "--rounds", "50" if LONG else "8", "--max-run", "1.5",
          flags=("--segment-size", "2M", "--checkpoint-size", "4M"))
    drive("SIGTERM under load", "--rounds", "5", "--signal", "TERM", "--max-run", "1")
finish()
