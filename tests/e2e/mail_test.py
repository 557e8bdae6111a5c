"""The spine in one breath: mail goes in by SMTP, comes out by IMAP and POP3, survives restarts."""
import re

from harness import DOMAIN, Server, check, finish


def message(n, size=600):
    body = "\r\n".join(".%d %s" % (i, "x" * 60) for i in range(size // 66 + 1))
    return ("From: Ann <ann@client.test>\r\nTo: u0@%s\r\nSubject: number %d\r\nMessage-ID: <m%d@client.test>\r\n"
            "Date: Mon, 02 Mar 2026 10:00:00 +0000\r\n\r\n%s\r\n" % (DOMAIN, n, n, body)).encode()


def spine(shards, threads):
    name = "%d shards, %d threads: " % (shards, threads)
    sizes = [600, 5000, 70_000, 400_000]
    with Server(users=4, shards=shards, threads=threads) as s:
        everyone = s.users
        for n, size in enumerate(sizes):
            check(name + "message of %d octets to all is accepted" % size, s.send(everyone, message(n, size)) == {})
        for user in everyone:
            m = s.imap(user)
            m.select()
            _, data = m.fetch("1:*", "(UID RFC822.SIZE BODY.PEEK[])")
            bodies = [d[1] for d in data if isinstance(d, tuple)]
            check(name + user + " sees every message at once after its 250", len(bodies) == len(sizes), len(bodies))
            check(name + user + " reads the octets sent", all(b.endswith(message(n, z)) for n, (b, z) in enumerate(zip(bodies, sizes))))
            said = [int(re.search(rb"RFC822.SIZE (\d+)", d[0])[1]) for d in data if isinstance(d, tuple)]
            check(name + user + " RFC822.SIZE is right", said == [len(b) for b in bodies], said)
            m.logout()
        p = s.pop3(everyone[1])
        count, _ = p.stat()
        check(name + "POP3 sees them too", count == len(sizes), count)
        got = [b"\r\n".join(p.retr(i + 1)[1]) + b"\r\n" for i in range(count)]
        check(name + "POP3 reads the octets sent", all(b.endswith(message(n, z)) for n, (b, z) in enumerate(zip(got, sizes))))
        ids = p.uidl()[1]
        p.dele(1)
        p.quit()
        m = s.imap(everyone[0])
        m.select()
        m.store("1", "+FLAGS", "(\\Flagged work)")
        m.store("2", "+FLAGS", "\\Deleted")
        m.expunge()
        m.create("Archive/2026")
        m.copy("1", "Archive/2026")
        before = m.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY)")[1]
        m.logout()
        s.stop()
        s.start()
        m = s.imap(everyone[0])
        check(name + "counts, UIDNEXT and UIDVALIDITY survive a restart", m.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY)")[1] == before)
        m.select()
        flags = m.fetch("1", "(FLAGS)")[1][0]
        check(name + "flags and keywords survive", b"\\Flagged" in flags and b"work" in flags, flags)
        m.select("Archive/2026")
        check(name + "the copy survives", m.fetch("1", "(BODY.PEEK[])")[1][0][1].endswith(message(0, sizes[0])))
        m.logout()
        p = s.pop3(everyone[1])
        left = p.uidl()[1]
        check(name + "a POP3 deletion is kept and UIDLs are stable", [x.split()[1] for x in left] == [x.split()[1] for x in ids][1:])
        p.quit()
        s.kill()
        s.start()
        m = s.imap(everyone[2])
        m.select()
        _, data = m.fetch("1:*", "(BODY.PEEK[])")
        bodies = [d[1] for d in data if isinstance(d, tuple)]
        check(name + "kill -9 and restart lose nothing", all(b.endswith(message(n, z)) for n, (b, z) in enumerate(zip(bodies, sizes))) and len(bodies) == len(sizes))
        m.logout()


for shape in ((1, 1), (2, 2), (5, 2), (1, 2)):
    spine(*shape)
finish()
