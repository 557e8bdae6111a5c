"""Accounts, aliases and their commands against a running server: what an operator does, and
what becomes of the sessions that are open then."""
import base64
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from harness import DOMAIN, Server, certificate, check, finish, free_ports, skip, wait_for

U = ["u%d@%s" % (i, DOMAIN) for i in range(4)]
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 200000


def user(s, *words, text="pw\n"):
    return subprocess.run([s.binary, "user", *words[:1], "--data", s.data, *words[1:]], input=text,
                          capture_output=True, text=True, timeout=120, check=False)


class Line:
    """A client that sends lines and reads lines."""

    def __init__(self, s, port, seconds=20):
        self.file = s.raw(port, seconds)
        self.read()

    def read(self):
        try:
            return self.file.readline()
        except OSError:
            return b""

    def say(self, *lines):
        """The last answer; SMTP's several lines are one."""
        for line in lines:
            self.file.write(line.encode() + b"\r\n")
            self.file.flush()
            answer = self.read()
            while answer[3:4] == b"-" and answer[:3].isdigit():
                answer = self.read()
        return answer

    def send(self, data):
        self.file.write(data)
        self.file.flush()

    def ended(self, seconds=60):
        """What came until the connection ended; None when it did not."""
        self.file.sock.settimeout(seconds)
        got = b""
        try:
            while piece := self.file.sock.recv(1 << 16):
                got += piece
        except ConnectionError:
            pass
        except OSError:
            return None
        return got


def submit(s, name, *lines):
    c = Line(s, "submission")
    word = base64.b64encode(b"\0%s\0pw" % name.encode()).decode()
    c.say("EHLO client.test")
    check("AUTH as " + name, c.say("AUTH PLAIN " + word).startswith(b"235"))
    for line in lines:
        c.say(line)
    return c


def pop3(s, name, password="pw"):
    c = Line(s, "pop3")
    c.say("USER " + name)
    return c, c.say("PASS " + password).startswith(b"+OK")


def imap(s, name, *lines):
    c = Line(s, "imap")
    check("IMAP login of " + name, b" OK " in c.say('a LOGIN "%s" pw' % name))
    for line in lines:
        c.say(line)
    return c


# --- sessions in the middle of something ------------------------------------------------


def sessions(s, how, name):
    """RFC texts know no such moment; no session of the account outlives it."""
    for _ in range(3):
        s.send([name], LARGE)
    begin = ("MAIL FROM:<%s>" % name, "RCPT TO:<%s>" % U[0])
    text, chunk, skipped, idle = submit(s, name, *begin, "DATA"), submit(s, name, *begin), submit(s, name), submit(s, name)
    text.send(b"Subject: half\r\n")
    chunk.send(b"BDAT 100 LAST\r\nSubject: half\r\n")
    skipped.send(b"BDAT 100 LAST\r\nSubject: half\r\n")
    skipped.read()
    retr, good = pop3(s, name)
    check("login of " + name, good)
    retr.file.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    retr.send(b"RETR 1\r\nRETR 2\r\nRETR 3\r\n")
    append, fetch = imap(s, name), imap(s, name, "b NOOP")
    append.send(b"b APPEND INBOX {1000}\r\n")
    append.read()
    append.send(b"Subject: half\r\n")
    fetch.file.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    fetch.send(b"c SELECT INBOX\r\nd FETCH 1:3 BODY.PEEK[]\r\n")
    time.sleep(1)
    done = user(s, how, name, text="other\n")
    check("user %s" % how, done.returncode == 0 and not done.stderr, done)
    for what, c in (("idle", idle), ("in DATA", text), ("in BDAT", chunk), ("in a refused BDAT", skipped)):
        got = c.ended()
        check("%s ends a submission %s" % (how, what), got is not None and got.startswith(b"421 "), got)
    got = retr.ended()
    check("%s ends a POP3 session that reads slowly" % how, got is not None and len(got) < len(LARGE), got is not None and len(got))
    got = append.ended()
    check("%s ends an IMAP session in APPEND" % how, got is not None and b"* BYE " in got and b"b OK" not in got, got)
    got = fetch.ended()
    check("%s ends an IMAP session that reads slowly" % how, got is not None and len(got) < 3 * len(LARGE), got is not None and len(got))
    m = s.imap(U[0])
    m.select()
    check("nothing half is stored", m.search(None, "SUBJECT", "half")[1] == [b""])
    m.logout()
    check("the old password is of no use", not pop3(s, name)[1])


# --- the commands -----------------------------------------------------------------------


def commands(s):
    for name, status, words in (("#a@" + DOMAIN, 64, "a # in front"), ('"a:b"@' + DOMAIN, 64, "a colon"), ("a@[127.0.0.1]", 64, "write it like")):
        done = user(s, "add", name)
        check("user add " + name, done.returncode == status and words in done.stderr, done)
    missing = os.path.join(s.folder, "missing")
    for verb, operands in (("list", ()), ("passwd", (U[0],)), ("del", (U[0],))):
        done = subprocess.run([s.binary, "user", verb, "--data", missing, *operands], input="pw\n", capture_output=True, text=True, timeout=60, check=False)
        check("user %s in no store" % verb, done.returncode == 1 and missing in done.stderr and not os.path.exists(missing), done)
    for name in ("jos\u00e9@" + DOMAIN, '"A b"@' + DOMAIN):
        check("user add " + name, user(s, "add", name).returncode == 0)
        for given in (name, name.lower(), name.replace("example", "EXAMPLE")):
            check("login of " + given, pop3(s, given)[1])
    m = s.smtp()
    m.docmd("MAIL FROM:<> SMTPUTF8")
    m.sock.sendall("RCPT TO:<jos\u00e9@EXAMPLE.test>\r\n".encode())
    check("mail to it", m.getreply()[0] == 250)
    m.close()
    done = []
    threads = [threading.Thread(target=lambda i=i: done.append(user(s, "add", "many%d@%s" % (i, DOMAIN)))) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("a dozen at once", all(d.returncode == 0 and not d.stderr for d in done), [d.stderr for d in done])
    check("all of them can log in", all(pop3(s, "many%d" % i)[1] for i in range(12)))


# --- the alias file ---------------------------------------------------------------------


def reload(s, text):
    """What the log says of this alias file."""
    before = len(s.log_text())
    with open(os.path.join(s.data, "aliases"), "w", encoding="utf-8") as f:
        f.write(text)
    s.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: " reloaded " in s.log_text()[before:] or " reload-failed " in s.log_text()[before:])
    return s.log_text()[before:]


def aliases(s):
    def rcpt(address):
        with s.smtp() as m:
            m.docmd("MAIL FROM:<>")
            return m.docmd("RCPT TO:<%s>" % address)[0]

    log = reload(s, "info@%s u0\nsales u0, u3\n@old.test @%s\n" % (DOMAIN, DOMAIN))
    check("aliases", " reloaded " in log and [rcpt(a) for a in ("info@" + DOMAIN, "Sales+x@" + DOMAIN, "u3@old.test", "u9@old.test")] == [250, 250, 250, 550], log)
    for text, words in (("info: u0\n", "line 1: info:: no colon"), ("# c\nx@%s\n# d\n# e\n" % DOMAIN, "line 2: x@%s: no target" % DOMAIN),
                        ("x@%s u0,\n  a@@b\n\n# d\n" % DOMAIN, "line 1: a@@b: not a name"), ("x@%s u0\nX@%s u1\n" % (DOMAIN, DOMAIN), "line 2: x@%s: has a line already, 1" % DOMAIN)):
        log = reload(s, text)
        check("refused: %r" % text, words in log and "reload-failed" in log and rcpt("info@" + DOMAIN) == 250, log)
    log = reload(s, "@c.test nobody@%s\nsales nobody@%s\n" % (DOMAIN, DOMAIN))
    check("a target that is nobody is named", log.count("a target is unknown or takes no mail") == 2 and "line 1: @c.test" in log and "line 2: sales" in log, log)
    reload(s, "")


def postmaster(s):
    """--postmaster names nobody; the first account takes no mail."""
    check("that is said at the start", wait_for(lambda: "--postmaster: nobody@%s: unknown" % DOMAIN in s.log_text()), s.log_text()[:2000])
    with s.smtp() as m:
        m.docmd("MAIL FROM:<>")
        codes = [m.docmd("RCPT TO:<%s>" % a)[0] for a in ("postmaster", "abuse@" + DOMAIN, "PostMaster@" + DOMAIN.upper())]
    check("postmaster is there all the same", codes == [250] * 3, codes)


def limits(s):
    """--max-connections-address 6 --max-connections-user 2"""
    wait_for(lambda: s.stat()["total"]["connections"] == 0)  # those of before are counted until they are closed
    many = [s.raw("pop3") for _ in range(7)]
    first = [f.readline() for f in many]
    check("connections of an address", sum(x.startswith(b"-ERR [SYS/TEMP]") for x in first) == 1, first)
    check("and the log", wait_for(lambda: 'connection-refused protocol=pop3 peer=127.0.0.1 why="too many of this address"' in s.log_text()), s.log_text()[-600:])
    for f in many:
        f.sock.close()
        f.close()
    wait_for(lambda: s.stat()["total"]["connections"] == 0)
    some = [submit(s, U[0]) for _ in range(2)]
    c, good = pop3(s, U[0])
    check("sessions of a user", not good)
    check("and the log of them", wait_for(lambda: 'login-refused protocol=pop3 user=%s why="too many sessions"' % U[0] in s.log_text()), s.log_text()[-600:])
    for x in some + [c]:
        x.file.sock.close()


def certificates():
    """SIGHUP with other certificates (matrix U01, U02)."""
    def reload_tls(s):
        """What the log says of a reload behind its accounts, which come first: all of it is there at those of the next one."""
        before = len(s.log_text())
        for n in (1, 2):
            s.proc.send_signal(signal.SIGHUP)
            wait_for(lambda: s.log_text()[before:].count(" reloaded ") == n)
        return s.log_text()[before:].split(" reloaded ")[1]

    def served(s):
        return ssl.get_server_certificate(("127.0.0.1", s.ports["imaps"]))

    def text(path):
        with open(path, encoding="ascii") as f:
            return f.read()

    with Server(users=1) as s:
        cert, key = s.tls
        first, live = served(s), s.pop3(U[0])
        expired = subprocess.run(["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1"], check=True, capture_output=True).stdout
        for what, data, words in (("expired", expired, "cert.pem: the certificate has expired"), ("no PEM", b"x\n", "cert.pem: holds no certificate")):
            with open(cert, "wb") as f:
                f.write(data)
            log = reload_tls(s)
            check("a certificate that is %s: the old one stays" % what, words in log and "reload-failed" in log and served(s) == first, log)
        certificate(s.folder)
        log = reload_tls(s)
        check("a new one is served", "failed" not in log and served(s) == text(cert) != first, log)
        check("live sessions go on", live.stat()[0] == 0)
        live.quit()
        expired = subprocess.run(["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1"], check=True, capture_output=True).stdout
        with open(cert, "wb") as f:
            f.write(expired)
        s.stop()
        s.start()
        check("at a start an expired one is better than none", wait_for(lambda: "has expired" in s.log_text()) and served(s) == text(cert))
        check("and a reload for other reasons does not fail", "reload-failed" not in reload_tls(s))


def unprivileged():
    """Started as root with --user; root goes on to use the commands."""
    if os.geteuid() != 0:
        skip("--user", "needs root")
        return
    nobody = pwd.getpwnam("nobody")
    s = Server(users=0, tls=True, flags=["--user", "nobody"], env={"ASAN_OPTIONS": "detect_leaks=0"})
    os.chmod(s.folder, 0o755)
    os.remove(s.users_file)
    os.rmdir(s.data)
    config = os.path.join(s.folder, "config")
    with open(config, "w", encoding="utf-8") as f:
        f.write("data %s\nuser nobody\nsmtp 127.0.0.1:25\n" % s.data)
    done = subprocess.run([s.binary, "user", "add", "--config", config, U[0]], input="pw\n", capture_output=True, text=True, timeout=60, check=False)
    check("root adds the first account", done.returncode == 0, done)
    try:
        s.start()
        check("a key that only root may read", False)
    except RuntimeError as e:
        check("a key that only root may read", "key.pem: Permission denied; the account that the server runs as" in str(e), e)
    os.chown(s.tls[1], nobody.pw_uid, nobody.pw_gid)
    with s:
        check("login", pop3(s, U[0])[1])
        for verb in ("add", "passwd"):
            done = user(s, verb, U[1], text=verb + "\n")
            check("root: user " + verb, done.returncode == 0 and not done.stderr and pop3(s, U[1], verb)[1], done)
        done = user(s, "del", U[0])
        check("root: user del", done.returncode == 0 and not done.stderr and not pop3(s, U[0])[1], done)
        check("nothing belongs to root", all(os.stat(os.path.join(s.data, n)).st_uid == nobody.pw_uid for n in os.listdir(s.data)), os.listdir(s.data))
        s.stop()
        done = user(s, "del", U[1])
        check("root: user del without a server", done.returncode == 0, done)
        s.start()
        check("is done at the start", user(s, "list").stdout == "" and not os.path.exists(os.path.join(s.data, "removed")))


def two_servers():
    """A server that may not start leaves the one that runs alone."""
    with Server(users=1) as s:
        other = [s.binary, "serve", "--data", s.data, "--smtp", "127.0.0.1:%d" % free_ports(1)[0]]
        done = subprocess.run(other, capture_output=True, text=True, timeout=60, check=False)
        check("a second server is told why", done.returncode == 1 and "another ringmail uses this store; stop it first" in done.stderr, done)
        done = user(s, "add", U[1])
        check("the first still hears commands", done.returncode == 0 and not done.stdout and pop3(s, U[1])[1], done)


def mistakes():
    """What only a start can tell: the flag, its value, why, and what to do."""
    s = Server(users=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = "127.0.0.1:%d" % taken.getsockname()[1]
        nowhere, cert, key = s.folder + "/nowhere", *s.tls
        for flags, words in ((["--submissions", busy], "--submissions %s: can't listen there: Address already in use; stop" % busy),
                             (["--smtp", "192.0.2.1:2525"], "--smtp 192.0.2.1:2525: can't listen there: Cannot assign requested address; write"),
                             (["--aliases", nowhere], "--aliases %s: No such file or directory" % nowhere),
                             (["--senders", nowhere], "--senders %s: No such file or directory" % nowhere),
                             (["--users", nowhere], "--users %s: No such file or directory; `ringmail user add` makes one" % nowhere),
                             (["--tls-cert", nowhere, "--tls-key", key], "--tls-cert %s: No such file or directory" % nowhere),
                             (["--tls-cert", cert, "--tls-key", cert], "--tls-key %s: the private key can be read by others; chmod" % cert)):
            done = subprocess.run([s.binary, "serve", "--data", s.data, "--tls-cert", cert, "--tls-key", key, "--lmtp", "127.0.0.1:0", *flags],
                                  capture_output=True, text=True, timeout=60, check=False)
            said = [line for line in done.stderr.splitlines() if " error " in line]
            check("mistake: " + words, done.returncode == 1 and len(said) == 1 and words in said[0], done)
    shutil.rmtree(s.folder, ignore_errors=True)


def bad_users():
    """The store is opened while the users file is read; one that is bad does not harm it, and makes none."""
    def refused(what):
        p = subprocess.run(s.command(), capture_output=True, text=True, timeout=120, check=False)
        check("a bad users file ends a start " + what,
              p.returncode == 1 and p.stderr.count("not-started") == 1 and "has a line already" in p.stderr, p)

    def write(text):
        with open(s.users_file, "w", encoding="utf-8") as f:
            f.write(text)

    s = Server(users=2, tls=False)
    good = "".join("%s:{PLAIN}pw\n" % u for u in s.users)
    write(good * 2)
    refused("of a new store")
    check("no store was made for it", not os.path.exists(os.path.join(s.data, "store")))
    write(good)
    s.start()
    for u in s.users:
        s.send([u], LARGE)
    s.kill()
    write(good * 2)
    refused("of a store")
    write(good)
    before = len(s.log_text())
    s.start()
    recovered = [line for line in s.log_text()[before:].splitlines() if " recovered " in line]
    check("the start after it follows a clean stop", len(recovered) == 2 and all(" records=0 " in r for r in recovered), recovered)
    check("the mail is there", all(s.imap(u).select()[1] == [b"1"] for u in s.users))
    s.stop()
    shutil.rmtree(s.folder, ignore_errors=True)


def while_it_starts():
    """The accounts are read, and nobody can be told of new ones yet."""
    s = Server(users=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", s.ports["smtp"]))
        taken.listen()
        starting = threading.Thread(target=s.start)
        starting.start()
        read = wait_for(lambda: os.path.exists(s.log) and "postmaster" in s.log_text(), 30)
        done = user(s, "add", U[1])
        check("added while a server waits for its port", read and done.returncode == 0, done)
    starting.join()
    check("counts from this start", pop3(s, U[1])[1])
    s.stop()
    shutil.rmtree(s.folder, ignore_errors=True)


def main():
    unprivileged()
    two_servers()
    mistakes()
    bad_users()
    while_it_starts()
    certificates()
    with Server(users=4, flags=["--unlimited-from", "127.0.0.0/8"]) as s:
        sessions(s, "del", U[1])
        sessions(s, "passwd", U[2])
        commands(s)
        aliases(s)
    s = Server(users=2, flags=["--postmaster", "nobody@" + DOMAIN, "--max-connections-address", "6", "--max-connections-user", "2"])
    with open(s.users_file, "w", encoding="utf-8") as f:
        f.write("shut@%s:{PLAIN}pw::::::disabled\n" % DOMAIN + "".join("%s:{PLAIN}pw\n" % u for u in s.users))
    with s:
        postmaster(s)
        limits(s)
    finish()


main()
