"""How IMAP sessions end: silence, another password, a removed account, too many of one user, a server that stops."""
import subprocess

from harness import Server, check, finish, wait_for
from imap_client import Client, Closed

U0, U1 = "u0@example.test", "u1@example.test"


def last_words(c, seconds=60):
    """The last line before the connection closes."""
    c.sock.settimeout(seconds)
    line = b""
    try:
        while True:
            line = c.line()
    except (Closed, OSError) as e:
        return line if isinstance(e, Closed) else b"still open"


def user(s, *words, text=""):
    done = subprocess.run([s.binary, "user", *words[:1], "--data", s.data, *words[1:]], input=text, capture_output=True, text=True, timeout=60, check=False)
    check("ringmail user " + " ".join(words), done.returncode == 0, done.stderr)


with Server(users=3, flags=["--login-timeout", "5s", "--max-mailbox-names", "16K"]) as s:
    silent = Client(s)
    half = Client(s)
    half.send(b"a LOGIN ")
    many = [Client(s, U1) for _ in range(20)]
    one_more = Client(s)
    r = one_more.do("LOGIN %s pw" % U1)
    check("the 21st session of a user is refused", r.status == "NO" and r.code == "LIMIT", r)
    many.pop().do("LOGOUT")
    check("and taken when another has gone", wait_for(lambda: Client(s).do("LOGIN %s pw" % U1).status == "OK", step=0.2))
    for c in many:
        c.close()
    idle, resting, other = Client(s, U0), Client(s, U0), Client(s, U1)
    idle.do("SELECT INBOX")
    idle.idle()
    user(s, "passwd", U0, text="new\n")
    check("another password ends a session in IDLE", last_words(idle).startswith(b"* BYE"))
    check("and one at rest", last_words(resting).startswith(b"* BYE"))
    check("the old password is wrong", Client(s).do("LOGIN %s pw" % U0).code == "AUTHENTICATIONFAILED")
    c = Client(s, U0, "new")
    check("the new one is right", c.append("INBOX", b"Subject: x\r\n\r\ny\r\n").status == "OK")
    c.do("SELECT INBOX")
    c.idle()
    user(s, "del", U0)
    check("removal ends the session", last_words(c).startswith(b"* BYE"))
    check("others go on", other.do("NOOP").status == "OK")
    user(s, "add", U0, text="again\n")
    c = Client(s, U0, "again")
    check("a new account of the name is empty", b"MESSAGES 0" in c.do("STATUS INBOX (MESSAGES)").lines[0])
    made = [c.do("CREATE %s%d" % ("n" * 500, i)) for i in range(40)]
    count = len([r for r in made if r.status == "OK"])
    check("names together have a limit", 16384 // 550 - 2 <= count <= 16384 // 548 and made[-1].code == "LIMIT", (count, made[-1]))
    check("RENAME to a shorter one does not meet it", c.do("RENAME %s0 short" % ("n" * 500)).status == "OK")
    check("which makes room", c.do("CREATE %s" % ("n" * 480)).status == "OK")
    check("silence before login ends", last_words(silent).startswith(b"* BYE"))
    check("half a command too", last_words(half).startswith(b"* BYE"))
    c.do("SELECT INBOX")
    c.idle()
    other.begin("NOOP")
    s.stop()
    check("a server that stops says BYE in IDLE", last_words(c).startswith(b"* BYE"))
    check("and to the others", last_words(other).startswith(b"* BYE"))
finish()
