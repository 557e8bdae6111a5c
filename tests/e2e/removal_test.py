"""Accounts that are removed while mail is on its way to them, and while the server is down."""
import os
import re
import subprocess

from harness import DOMAIN, Server, check, finish, wait_for
from imap_client import Client

USERS = ["u%d@%s" % (i, DOMAIN) for i in range(4)]
SMALL, LARGE = b"Subject: s\r\n\r\nhello\r\n", b"Subject: l\r\n\r\n" + b"0123456789abcdef\r\n" * 50000


def user(s, *words, text=""):
    done = subprocess.run([s.binary, "user", *words[:1], "--data", s.data, *words[1:]], input=text,
                          capture_output=True, text=True, timeout=60, check=False)
    check("ringmail user " + " ".join(words), done.returncode == 0, done.stderr)


def kept(s, name, password="pw"):
    c = Client(s, name, password)
    return int(re.search(rb"MESSAGES (\d+)", c.do("STATUS INBOX (MESSAGES)").lines[0])[1])


def begin(s, *names):
    """A message up to its first octet."""
    c = s.smtp()
    c.ehlo("client.test")
    c.docmd("MAIL FROM:<a@client.test>")
    for name in names:
        check("RCPT TO:<%s>" % name, c.docmd("RCPT TO:<%s>" % name)[0] == 250)
    check("DATA", c.docmd("DATA")[0] == 354)
    return c


with Server(users=4, shards=4, threads=2) as s:
    for text in (SMALL, LARGE):
        alone, some = begin(s, USERS[0]), begin(s, *USERS)
        alone.send(text[:len(text) // 2])
        some.send(text[:len(text) // 2])
        user(s, "del", USERS[0])
        alone.send(text[len(text) // 2:])
        some.send(text[len(text) // 2:])
        code, words = alone.docmd(".")
        check("nobody is left", code == 550 and b"5.1.1" in words, (code, words))
        check("the others are", some.docmd(".")[0] == 250)
        user(s, "add", USERS[0], text="pw\n")
        check("the next one of that name has no mail", kept(s, USERS[0]) == 0)
    for name in USERS[1:]:
        check("all mail is at " + name, kept(s, name) == 2)

    # While the server is down: what is left of the old account goes before anybody can get in.
    s.stop()
    user(s, "del", USERS[1])
    user(s, "add", USERS[1], text="again\n")
    user(s, "del", USERS[2])
    check("the removals wait", os.path.exists(os.path.join(s.data, "removed")))
    before = len(s.log_text())
    s.start()
    check("the list is gone when the server answers", not os.path.exists(os.path.join(s.data, "removed")))
    check("the next one of that name gets in", wait_for(lambda: Client(s).do("LOGIN %s again" % USERS[1]).status == "OK"))
    check("and has no mail", kept(s, USERS[1], "again") == 0)
    check("others keep theirs", kept(s, USERS[3]) == 2)
    wait_for(lambda: "ready" in s.log_text()[before:])
    log = s.log_text()[before:]
    check("both were removed before the server was ready",
          0 < log.find("user-removed") < log.rfind("user-removed") < log.find("ready "), log)
    begin(s, USERS[1])
finish()
