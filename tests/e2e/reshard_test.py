"""`ringmail reshard`: another number of shards, and no client notices.

20 users with large messages, folders, keywords, subscriptions, expunges and copies; 2 -> 5
-> 1 -> 3 shards. Each time all that IMAP and POP3 show is the same, byte by byte, and new
mail arrives; and each time the mail has stayed in its files, only the index is new. Then the
command is killed at random moments: the store is the old one or the new one, whole. Mail that
waits for a server that never answers is in the queue all the time, the same. Damage in
a file that shards share is found by whom it costs a message. At last most mail is deleted,
and the disk is given back.
"""
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time

from harness import DOMAIN, LONG, RINGMAIL, Server, check, finish

USERS = 20
FLAGS = ["--segment-size", "2M", "--unlimited-from", "127.0.0.0/8", "--trust", "127.0.0.0/8", "--relay", "127.0.0.1:1",
         "--retry-first", "1h"]
QUEUED = 15
KILLS = 60 if LONG else 8


def reshard(s, shards):
    with subprocess.Popen([RINGMAIL, "reshard", s.data, "--shards", str(shards), "--segment-size", "2M"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        p.text = p.stdout.read()
        p.complaint = p.stderr.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    return subprocess.CompletedProcess(p.args, p.returncode, p.text, p.complaint), usage.ru_oublock * 512


def message(tag, size):
    line = hashlib.sha256(tag.encode()).hexdigest() + " .line of " + tag
    body = "\r\n".join([line, "." + line] * (size // (2 * len(line)) + 1))
    return "From: a@client.test\r\nTo: b@%s\r\nSubject: %s\r\nMessage-ID: <%s@client.test>\r\n\r\n%s\r\n" % (DOMAIN, tag, tag, body)


def fill(s):
    for i, user in enumerate(s.users):
        sizes = [300, 5000, 90_000, 300, 300, 700] + ([3_000_000 + i * 1000] if i % 5 == 0 else [])
        for n, size in enumerate(sizes):
            s.send([user], message("m%d-%d" % (i, n), size))
        m = s.imap(user)
        for name in ("Work/2024/May", "Archiv", "B&APw-cher", "empty"):
            m.create(name)
        m.subscribe("Archiv")
        m.subscribe("nowhere")
        m.append("Archiv", "(\\Flagged $Forwarded key%d)" % i, '"01-Feb-2019 03:04:05 +0130"', message("ap%d" % i, 400).encode())
        m.select("INBOX")
        m.store("1:3", "+FLAGS", "(\\Seen key%d)" % i)
        m.store("2", "+FLAGS", "(\\Answered $Junk)")
        m.copy("1:4", "Work/2024/May")
        m.store("4", "+FLAGS", "(\\Deleted)")
        m.expunge()
        m.store("4", "+FLAGS", "(\\Deleted)")
        if i % 3 == 0:
            m.rename("Archiv", "Old/Archiv")
        m.logout()
    s.send(s.users, message("everybody", 200_000))
    for n in range(QUEUED):  # alone, and in one message with a user's
        s.send(["far%d@elsewhere.test" % n] + ([s.users[n]] if n % 2 else []), message("far%d" % n, 400_000 if n % 7 == 3 else 2000))
    big = s.users[7]
    m = s.imap(big)
    for n in range(150):
        m.append("empty", "(key%d)" % (n % 40), None, b"Subject: n%d\r\n\r\nbody %d\r\n" % (n, n))
    m.logout()


def shown(s, user, bodies=True):
    """All that the two protocols show of a user."""
    out = {}
    m = s.imap(user)
    out["list"] = sorted(m.list()[1])
    out["lsub"] = sorted(m.lsub()[1])
    for line in m.list()[1]:
        name = re.search(rb'"?([^" ]+)"?$', line)[1].decode()
        status = m.status('"%s"' % name, "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY)")
        out["status " + name] = status
        if m.select('"%s"' % name, readonly=True)[0] != "OK":
            continue
        what = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE%s)" % (" BODY.PEEK[]" if bodies else "")
        out["fetch " + name] = digest(m.uid("FETCH", "1:*", what)[1])
    m.logout()
    p = s.pop3(user)
    out["uidl"] = p.uidl()[1]
    out["pop3"] = digest([p.retr(i + 1)[1] for i in range(p.stat()[0])] if bodies else p.list()[1])
    p.quit()
    return out


def digest(value):
    h = hashlib.sha256()
    h.update(repr(value).encode())
    return h.hexdigest()


def queued(s):
    """What the queue shows of each entry, but the time until the next try."""
    def ask(*command):
        out = subprocess.run([RINGMAIL, "queue", *command, "--data", s.data, "--json"], capture_output=True, text=True, check=False)
        return json.loads(out.stdout)
    rows = {row["id"]: {k: row[k] for k in ("sender", "size")} for row in ask("list")}
    for key in rows:
        rows[key]["to"] = sorted(r["address"] for r in ask("show", key)["recipients"])
    return rows


def everything(s, bodies=True):
    return {"queue": queued(s)} | {user: shown(s, user, bodies) for user in s.users}


def compare(name, before, after):
    wrong = ["%s %s: %r, was %r" % (u, k, after[u].get(k), v) for u in before for k, v in before[u].items() if after[u].get(k) != v]
    return check(name, not wrong and before.keys() == after.keys(), "\n".join(wrong)[:2000])


def clean(s, name):
    out = subprocess.run([RINGMAIL, "check", s.data], capture_output=True, text=True, check=False)
    check(name, out.returncode == 0, (out.stdout + out.stderr)[-2000:])


def shards_of(s):
    return sorted(n for n in os.listdir(s.data) if n.startswith("shard-"))


def new_mail(s, tag):
    """One for each, one for all; each is seen with the next UID."""
    good = True
    for i, user in enumerate(s.users):
        m = s.imap(user)
        following = int(re.search(rb"UIDNEXT (\d+)", m.status("INBOX", "(UIDNEXT)")[1][0])[1])
        s.send([user], message("%s-%d" % (tag, i), 1000))
        m.select("INBOX", readonly=True)
        got = m.uid("FETCH", str(following), "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        good = good and got[0] is not None and ("%s-%d" % (tag, i)).encode() in got[0][1]
        m.logout()
    s.send(s.users, message(tag + "-all", 1500))
    check("new mail arrives (%s)" % tag, good)


def say_no(s):
    running, _ = reshard(s, 4)
    check("refused while a server runs", running.returncode == 1 and "another ringmail" in running.stderr and
          running.stderr.count("\n") == 1, running.stderr)


def usage():
    for arguments in ([], ["/nowhere"], ["--shards", "3"], ["/a", "/b", "--shards", "3"], ["/a", "--shards", "0"],
                      ["/a", "--shards", "9999"], ["/a", "--wrong"]):
        out = subprocess.run([RINGMAIL, "reshard", *arguments], capture_output=True, text=True, check=False)
        check("usage %s" % arguments, out.returncode == 64 and out.stderr.count("\n") == 1, (out.returncode, out.stderr))
    out = subprocess.run([RINGMAIL, "reshard", "/nowhere", "--shards", "3"], capture_output=True, text=True, check=False)
    check("no store there", out.returncode == 1 and "no store there" in out.stderr and not os.path.exists("/nowhere"), out.stderr)
    overview = subprocess.run([RINGMAIL, "--help"], capture_output=True, text=True, check=False).stdout
    page = subprocess.run([RINGMAIL, "help", "--man"], capture_output=True, text=True, check=False).stdout
    own = subprocess.run([RINGMAIL, "reshard", "--help"], capture_output=True, text=True, check=False).stdout
    check("help, overview and manual page name it", all("reshard" in t for t in (overview, page, own)) and "stays where it is" in own)


def segments(s):
    """inode -> (a path, names, bytes on the disk)"""
    out = {}
    for shard in shards_of(s):
        folder = os.path.join(s.data, shard)
        for name in os.listdir(folder):
            if name.startswith("log-"):
                st = os.stat(os.path.join(folder, name))
                out[st.st_ino] = (os.path.join(folder, name), st.st_nlink, st.st_blocks * 512)
    return out


def content(path):
    """Bytes that hold something, in blocks."""
    with open(path, "rb") as f:
        return sum(4096 for block in iter(lambda: f.read(4096), b"") if block.strip(b"\0"))


def mail_stayed(s, name, before, written):
    """before: inode -> bytes in it, of all segments of the old shards."""
    after = segments(s)
    mail = sum(before.values())
    kept = sum(before[i] for i in after if i in before)
    new = sum(content(path) for i, (path, _, _) in after.items() if i not in before)
    check(name + ": the mail is in the same files", kept > mail * 0.9, (kept, mail))
    check(name + ": only an index is new", new < mail // 4 and written < mail // 2, (new, written, mail))
    numbers = [os.path.basename(path) for path, _, _ in after.values()]
    check(name + ": a segment number means one file", len(numbers) == len(set(numbers)), sorted(numbers))
    print("%s: %d bytes of mail, %d of new index, %d written, at most %d names of a file" %
          (name, mail, new, written, max(n for _, n, _ in after.values())))


def change(s, shards):
    before_folders = shards_of(s)
    s.start()
    before = everything(s)
    s.stop()
    files = {i: content(path) for i, (path, _, _) in segments(s).items()}
    out, written = reshard(s, shards)
    name = "%d -> %d shards" % (s.shards, shards)
    check(name, out.returncode == 0 and "all compared" in out.stdout and not out.stderr, out.stdout + out.stderr)
    check(name + ": old folders are gone, ids are new", len(shards_of(s)) == shards and not set(shards_of(s)) & set(before_folders) and
          "reshard" not in os.listdir(s.data), os.listdir(s.data))
    mail_stayed(s, name, files, written)
    clean(s, name + ": check finds nothing")
    old, s.shards = s.shards, shards
    s.start()
    compare(name + ": everything is as it was", before, everything(s))
    new_mail(s, "after%d" % shards)
    after = everything(s)
    s.stop()
    s.start()
    compare(name + ": also after a restart", after, everything(s))
    s.stop()
    s.shards = old
    try:
        s.start()
        check(name + ": the old number is refused", False)
        s.stop()
    except RuntimeError as e:
        check(name + ": the old number is refused", "ringmail reshard" in str(e), str(e)[-300:])
    s.shards = shards


def kill_one(s, shards, seconds):
    """Kills it after so many seconds, or (None) right behind the switch. False: it had ended by itself."""
    with subprocess.Popen([RINGMAIL, "reshard", s.data, "--shards", str(shards), "--segment-size", "2M"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as p:
        end = time.monotonic() + (120 if seconds is None else seconds)
        while p.poll() is None and time.monotonic() < end and not (seconds is None and count_in_store(s) == shards):
            time.sleep(0.0002 if seconds is None else 0.005)
        p.kill()
        text = p.stderr.read()
        if p.wait() not in (0, -9):
            check("reshard before the kill", False, text)
        return p.returncode == -9


def count_in_store(s):
    with open(os.path.join(s.data, "store"), "rb") as f:
        return int.from_bytes(f.read(16)[12:16], "little")


def kills(s):
    rng = random.Random(20)
    s.start()
    before = everything(s)
    s.stop()
    begin = time.monotonic()
    reshard(s, s.shards + 1)
    whole = time.monotonic() - begin
    s.shards += 1
    killed = switched = rounds = 0
    while killed < KILLS and rounds < 4 * KILLS:
        target = rng.choice([n for n in range(1, 6) if n != s.shards])
        seconds = None if rounds % 4 == 3 else whole * rng.uniform(0.02, 1.0)
        what = "round %d, %s" % (rounds, "behind the switch" if seconds is None else "after %.2f s" % seconds)
        real = kill_one(s, target, seconds)
        now = count_in_store(s)
        check(what + ": the store is the old or the new one", now in (s.shards, target), now)
        killed += real
        switched += real and now == target
        rounds += 1
        s.shards = now
        s.start()
        check(what + ": what is left over is removed", len(shards_of(s)) == now and "reshard" not in os.listdir(s.data), os.listdir(s.data))
        compare(what + ": nothing is lost", before, everything(s))
        s.stop()
    clean(s, "check after all kills")
    print("%d rounds, %d killed, %d of them behind the switch, %.2f s a reshard" % (rounds, killed, switched, whole))
    check("%d kills met the command at work" % KILLS, killed >= KILLS)


def places(s, tag):
    """Where the message lies: (path, names of the file, offset)."""
    line = hashlib.sha256(tag.encode()).hexdigest().encode()
    out = []
    for path, names, _ in segments(s).values():
        with open(path, "rb") as f:
            at = f.read().find(line)
        if at >= 0:
            out.append((path, names, at))
    return out


def damage(s):
    """In a message of one user, whose file other shards have as well, before a server comes and compacts. Which
    users share a file hangs on the number of shards that the kills have left."""
    s.start()
    before = {u: shown(s, u) for u in s.users}
    s.stop()
    out, _ = reshard(s, s.shards + 1)
    check("resharded once more", out.returncode == 0, out.stderr)
    s.shards += 1
    found = {u: places(s, "m%d-5" % i) for i, u in enumerate(s.users)}
    victim = next((u for u in s.users if any(names > 1 for _, names, _ in found[u])), s.users[0])
    intact, hits = {u: before[u] for u in s.users if u != victim}, found[victim]
    check("the message is there, in a shared file", any(names > 1 for _, names, _ in hits), hits)
    for path, _, at in hits:
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(b"damage")
    out = subprocess.run([RINGMAIL, "check", s.data], capture_output=True, text=True, check=False)
    lines = [x for x in out.stdout.splitlines() if "missing" in x]
    check("check names the message that is lost", out.returncode == 1 and lines and all(victim in x for x in lines), out.stdout)
    out = subprocess.run([RINGMAIL, "check", s.data, "--repair"], capture_output=True, text=True, check=False)
    check("repair drops it", "dropped" in out.stdout, out.stdout)
    clean(s, "then check finds nothing")
    s.start()
    compare("all the rest is as it was", intact, {u: shown(s, u) for u in intact})
    s.stop()


def used(s):
    return sum(size for _, _, size in segments(s).values())


def give_back(s):
    """Nearly all mail goes: compaction moves the rest out of the shared files, and they go."""
    s.start()
    full, shared = used(s), {i for i, (_, n, _) in segments(s).items() if n > 1}
    for user in s.users:
        m = s.imap(user)
        for line in m.list()[1]:
            name = re.search(rb'"?([^" ]+)"?$', line)[1].decode()
            if m.select('"%s"' % name)[0] == "OK" and int(m.response("EXISTS")[1][0] or 0) > 1:
                m.store("2:*", "+FLAGS", "(\\Deleted)")
                m.expunge()
        m.logout()
    before = everything(s, False)
    end = time.monotonic() + 300
    rounds = 0
    while time.monotonic() < end and set(segments(s)) & shared:
        rounds += 1
        m = s.imap(s.users[rounds % len(s.users)])  # a change, so that compaction looks
        m.select("INBOX")
        m.store("1", "+FLAGS", "(\\Draft)")
        m.store("1", "-FLAGS", "(\\Draft)")
        m.logout()
        before[s.users[rounds % len(s.users)]] = shown(s, s.users[rounds % len(s.users)], False)
    left = set(segments(s)) & shared
    check("shared files go when their mail has gone", shared and len(left) <= len(shared) // 4, (len(left), len(shared)))
    check("the disk has it back", used(s) < full * 3 // 4, (used(s), full))
    print("%d shared files, %d are left; %d bytes on the disk, %d before" % (len(shared), len(left), used(s), full))
    compare("what is left is as it was", before, everything(s, False))
    s.stop()
    clean(s, "check after compaction")


def main():
    usage()
    s = Server(users=USERS, shards=2, flags=FLAGS, tls=False)
    s.start()
    fill(s)
    say_no(s)
    s.stop()
    check("same number: nothing to do", reshard(s, 2)[0].stdout.endswith("has 2 shards already\n") and shards_of(s) == ["shard-0000", "shard-0001"])
    for shards in (5, 1, 3):
        change(s, shards)
    kills(s)
    damage(s)
    give_back(s)
    subprocess.run(["rm", "-rf", s.folder], check=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    finish()
