"""Every message of the corpus in RINGMAIL_SHARED goes in by SMTP and by APPEND and comes back octet for octet
by IMAP and POP3, or is refused with the code its content calls for; FETCH answers agree with the recorded oracle."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

from harness import SHARED, Server, check, finish, skip

BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def by_smtp(s, files):
    """Sends each file as it is (bare line ends and NUL included), with its dots stuffed by us, not by smtplib."""
    sent, user = [], s.users[0]
    with s.smtp() as c:
        for f in files:
            with open(f, "rb") as h:
                raw = h.read()
            if b"\r" not in raw:
                raw = raw.replace(b"\n", b"\r\n")
            if not raw.endswith(b"\r\n"):
                raw += b"\r\n"
            c.mail("corpus@client.test", ["BODY=8BITMIME"])
            c.rcpt(user)
            code, text = c.docmd("DATA")
            assert code == 354, text
            c.send(re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n")
            code, text = c.getreply()
            name = os.path.relpath(f, SHARED)
            bare, nul = BARE.search(raw), b"\0" in raw
            received = len(re.findall(rb"(?mi)^received:", raw.split(b"\r\n\r\n", 1)[0] + b"\r\n"))
            if bare:
                check("%s: bare CR or LF is refused" % name, (code, text[:5]) in ((550, b"5.5.2"), (554, b"5.6.0") if nul else None), (code, text))
            elif nul:
                check("%s: NUL is refused" % name, code == 554 and text.startswith(b"5.6.0"), (code, text))
            elif received > 50:
                check("%s: a loop is refused" % name, code == 554, (code, text))
            elif check("%s: SMTP takes it" % name, code == 250, (code, text)):
                sent.append((name, raw))
    return sent


def read_back(s, sent):
    m = s.imap(s.users[0])
    m.select()
    for n, (name, raw) in enumerate(sent, 1):
        body = m.fetch(str(n), "(BODY.PEEK[])")[1][0][1]
        check("%s: IMAP gives the octets sent" % name, body.endswith(raw) and body[:len(body) - len(raw)].startswith((b"Return-Path:", b"Received:")),
              (len(body), len(raw)))
    p = s.pop3(s.users[0])
    check("POP3 counts them all", p.stat()[0] == len(sent))
    for n, (name, raw) in enumerate(sent, 1):
        p._putcmd("RETR %d" % n)
        first = p.file.readline()
        lines = []
        while (line := p.file.readline()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b"..") else line)
        check("%s: POP3 gives the octets sent" % name, first.startswith(b"+OK") and b"".join(lines).endswith(raw))
    p.quit()
    m.logout()


def differences():
    """(message, item) -> the RFC section that explains why we differ from the oracle."""
    table = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "proto", "mime", "corpus_differences.tsv")
    with open(table, encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]
    return {(file, item): why for file, item, why in rows}


def oracle(s):
    folder = os.path.join(SHARED, "corpus")
    with tempfile.TemporaryDirectory() as tmp:
        ours = os.path.join(tmp, "ours-fetch.jsonl")  # searches go beside it
        out = subprocess.run([sys.executable, os.path.join(folder, "oracle.py"), folder, ours, "127.0.0.1", str(s.ports["imap"]), s.users[1], "pw"],
                             capture_output=True, text=True, check=False)
        if not check("APPEND of every file and FETCH of every item is answered", out.returncode == 0, out.stdout[-1500:] + out.stderr[-1500:]):
            return
        with open(ours, encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                # literal8 is not announced, so NUL cannot be appended (RFC 3501, 4.3)
                nul = b"\0" in open(os.path.join(folder, r["file"]), "rb").read()
                if not nul:
                    check("%s: APPEND keeps the octets" % r["file"], r.get("body_identical"), r.get("error") or r.get("append"))
        cmp = subprocess.run([sys.executable, os.path.join(folder, "compare_oracle.py"), os.path.join(folder, "dovecot-fetch.jsonl"), ours, "-v"],
                             capture_output=True, text=True, check=False)
        explained = differences()
        agreed = sum(int(n) for n in re.findall(r"^(?!\d+ passed).*: (\d+) agree", cmp.stdout, re.M))
        print("agreements with the oracle: %d" % agreed)
        check("the oracle was compared", agreed > 5000, cmp.stdout[-800:] + cmp.stderr[-800:])
        for kind, name in re.findall(r"^not ok (BINARY\[section\]|BODY\[section\]|\S+|octets identical to what was appended) (.*)$", cmp.stdout, re.M):
            if kind.startswith("BINARY"):
                continue  # BINARY is not announced
            file, _, section = name.partition(" ")
            why = explained.get((file, section or kind))
            if kind == "answered" and b"\0" in open(os.path.join(folder, file), "rb").read():
                why = "RFC 3501, 9: a literal is of CHAR8, which leaves out NUL; literal8 is not announced"
            check("%s %s agrees with the oracle or differs for a reason" % (kind, name), bool(why), "no reason given")


if not SHARED:
    skip("corpus", "RINGMAIL_SHARED is not set")
    finish()
every = sorted(glob.glob(os.path.join(SHARED, "corpus", "*", "*.eml")))
with Server(users=2, flags=["--unlimited-from", "127.0.0.0/8"]) as srv:
    read_back(srv, by_smtp(srv, every))
    oracle(srv)
finish()
