"""Every IMAP command over a socket: RFC 3501 and the extensions that are announced, errors included."""
import re
import time

from harness import Server, check, finish
from imap_client import Client, Closed

U0, U1 = "u0@example.test", "u1@example.test"

# RFC 3501, 6.4.5: the message whose section numbers are given there.
NESTED = b"\r\n".join([
    b"From: Ann <ann@a.example>", b"To: bob@b.example", b"Subject: nested", b"Message-ID: <n1@a.example>",
    b"Date: Mon, 02 Mar 2026 10:00:00 +0100", b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="o"', b"",
    b"preamble", b"--o", b"Content-Type: text/plain", b"", b"part one", b"--o", b"Content-Type: application/octet-stream", b"",
    b"part two", b"--o", b"Content-Type: message/rfc822", b"", b"Subject: part three", b"Content-Type: multipart/mixed; boundary=i",
    b"", b"--i", b"Content-Type: text/plain", b"", b"part 3.1", b"--i", b"", b"part 3.2", b"--i--", b"--o",
    b"Content-Type: multipart/mixed; boundary=p", b"", b"--p", b"Content-Type: image/gif", b"Content-ID: <g@a>", b"", b"GIF", b"--p",
    b"Content-Type: message/rfc822", b"", b"Subject: part 4.2", b"Content-Type: multipart/mixed; boundary=q", b"", b"--q", b"",
    b"4.2.1", b"--q", b"Content-Type: multipart/alternative; boundary=r", b"", b"--r", b"", b"4.2.2.1", b"--r",
    b"Content-Type: text/richtext", b"", b"4.2.2.2", b"--r--", b"--q--", b"--p--", b"--o--", b"epilogue", b""])


def text(n, body="hello"):
    return ("From: Ann <ann@a.example>\r\nTo: u0@example.test\r\nSubject: number %d\r\n"
            "Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <%d@a.example>\r\n\r\n%s\r\n" % (n, n, body)).encode()


def body_of(reply):
    """The literal or quoted string of the only FETCH response."""
    lines = reply.having(b"FETCH")
    if len(lines) != 1:
        return None
    m = re.search(rb"\{(\d+)\}\r\n", lines[0])
    if m:
        return lines[0][m.end():m.end() + int(m[1])]
    return b"" if b'""' in lines[0] else None


def want(name, reply, status="OK", code=None, lines=None):
    good = reply.status == status and (code is None or reply.code.split(" ")[0] == code)
    return check(name, good and (lines is None or reply.lines == lines), reply)


def before_login(s):
    c = Client(s)
    check("the greeting has capabilities", c.greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 "), c.greeting)
    for command in ("SELECT INBOX", 'LIST "" *', "IDLE", "FETCH 1 UID"):
        want("before login %s is refused" % command, c.do(command), "BAD")
        c.do("NOOP")
    c = Client(s)
    r = c.do("CAPABILITY")
    for word in (b"STARTTLS", b"AUTH=PLAIN", b"SASL-IR", b"LITERAL+", b"IDLE", b"MOVE", b"UIDPLUS", b"SPECIAL-USE"):
        check("announced: " + word.decode(), word in r.lines[0], r)
    want("ID before login", c.do('ID ("name" "test" "x" NIL)'), "OK")
    want("a wrong password", c.do('LOGIN %s "nope"' % U0), "NO", "AUTHENTICATIONFAILED")
    want("an unknown user", c.do('LOGIN nobody "nope"'), "NO", "AUTHENTICATIONFAILED")
    want("LOGIN by literals", c.literal("LOGIN ", U0.encode(), b' "pw"'), "OK", "CAPABILITY")
    want("LOGIN twice", c.do("LOGIN a b"), "BAD")
    c = Client(s)
    want("AUTHENTICATE PLAIN with an initial response", c.do("AUTHENTICATE PLAIN AHUwQGV4YW1wbGUudGVzdABwdw=="), "OK")
    c = Client(s)
    tag = c.begin("AUTHENTICATE LOGIN")
    first = c.line()
    c.send(b"dTA=\r\n")
    second = c.line()
    c.send(b"cHc=\r\n")
    check("AUTHENTICATE LOGIN, a name without domain", c.finish(tag).status == "OK" and first[:2] == second[:2] == b"+ ")
    c = Client(s)
    c.send(b"a STARTTLS\r\nb LOGIN %s pw\r\n" % U0.encode())
    check("STARTTLS", c.line().startswith(b"a OK"))
    c.sock = s.context().wrap_socket(c.sock, server_hostname="localhost")
    r = c.do("CAPABILITY")
    check("what came with STARTTLS is forgotten", r.status == "OK" and len(r.lines) == 1 and b"STARTTLS" not in r.lines[0], r)
    want("login over TLS", c.do("LOGIN %s pw" % U0), "OK")
    want("login over implicit TLS", Client(s, U0, tls=True).do("SELECT INBOX"), "OK")


def privacy(s):
    c = Client(s)
    check("without TLS logins are not offered", b"LOGINDISABLED" in c.greeting and b"AUTH=" not in c.greeting, c.greeting)
    want("nor taken", c.do("LOGIN %s pw" % U0), "NO", "PRIVACYREQUIRED")
    want("nor by AUTHENTICATE", c.do("AUTHENTICATE PLAIN AHUwQGV4YW1wbGUudGVzdABwdw=="), "NO", "PRIVACYREQUIRED")
    c.starttls()
    want("with TLS they are", c.do("LOGIN %s pw" % U0), "OK")


def names(s):
    c = Client(s, U0)
    listed = lambda what="*": {x.split(b' "/" ')[1].decode(): x.split(b")")[0].split(b"(")[1].decode()
                               for x in c.do('LIST "" "%s"' % what).lines}
    usual = listed()
    for name, use in (("Drafts", "\\Drafts"), ("Sent", "\\Sent"), ("Junk", "\\Junk"), ("Trash", "\\Trash"), ("Archive", "\\Archive")):
        check("a new account has %s with its use" % name, use in usual.get(name, ""), usual)
    want("CREATE with parents", c.do("CREATE a/b/c"), "OK")
    check("parents are made and have children", "\\HasChildren" in listed("a%").get("a", ""), listed())
    want("CREATE twice", c.do("CREATE a/b"), "NO", "ALREADYEXISTS")
    want("CREATE INBOX", c.do("CREATE inbox"), "NO", "ALREADYEXISTS")
    want("CREATE with a delimiter at the end", c.do("CREATE dir/"), "OK")
    want("CREATE in modified UTF-7", c.do("CREATE M&APw-ll"), "OK")
    check("and its name comes back", "M&APw-ll" in listed(), listed())
    for bad in ('"a//b"', '"/a"', '"../x"', "M&AGE-", '"&AAA-"', '"' + "x" * 600 + '"'):
        want("CREATE %s" % bad[:12], c.do("CREATE " + bad), "NO", "CANNOT")
    want("RENAME of a tree", c.do("RENAME a z"), "OK")
    check("takes the children along", "z/b/c" in listed() and "a" not in listed(), listed())
    want("RENAME to what is there", c.do("RENAME z Sent"), "NO", "ALREADYEXISTS")
    want("RENAME of nothing", c.do("RENAME nothing q"), "NO", "NONEXISTENT")
    want("RENAME below itself", c.do("RENAME z z/q"), "NO")
    want("DELETE with children leaves a level", c.do("DELETE z/b"), "OK")
    check("that can't be selected", "\\Noselect" in listed().get("z/b", ""), listed())
    want("SELECT of it", c.do("SELECT z/b"), "NO", "NONEXISTENT")
    want("DELETE INBOX", c.do("DELETE INBOX"), "NO", "CANNOT")
    want("DELETE of nothing", c.do("DELETE nothing"), "NO", "NONEXISTENT")
    want("LIST of the delimiter", c.do('LIST "" ""'), lines=[b'* LIST (\\Noselect) "/" ""'])
    want("LIST inbox in lower case", c.do('LIST "" inbox'), lines=[b'* LIST (\\HasNoChildren) "/" INBOX'])
    check("LIST %", "z/b/c" not in listed("%") and "z" in listed("%"))
    check("LIST with a reference", [x.split(b" ")[-1] for x in c.do('LIST z/ "%/%"').lines] == [b"z/b/c"])
    usual = ("Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash")
    want("LSUB of a new account", c.do('LSUB "" *'), lines=[b'* LSUB () "/" ' + n.encode() for n in usual])
    for n in usual:
        want("UNSUBSCRIBE " + n, c.do("UNSUBSCRIBE " + n), "OK")
    for n in ("z/b/c", "ghost/deep"):
        want("SUBSCRIBE " + n, c.do("SUBSCRIBE " + n), "OK")
    want("LSUB %", c.do('LSUB "" "%"'), lines=[b'* LSUB (\\Noselect) "/" ghost', b'* LSUB (\\Noselect) "/" z'])
    want("LSUB *", c.do('LSUB "" "*"'), lines=[b'* LSUB () "/" ghost/deep', b'* LSUB () "/" z/b/c'])
    r = c.do('LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN)')
    check("LIST (SUBSCRIBED)", len(r.lines) == 2 and b"\\NonExistent" in r.lines[0] and b"\\Subscribed" in r.lines[1], r)
    r = c.do('LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"')
    check("RECURSIVEMATCH", len(r.lines) == 2 and all(b'("CHILDINFO" ("SUBSCRIBED"))' in x for x in r.lines), r)
    r = c.do('LIST (SPECIAL-USE) "" "*"')
    check("LIST (SPECIAL-USE)", len(r.lines) == 5, r)
    want("UNSUBSCRIBE", c.do("UNSUBSCRIBE ghost/deep"), "OK")
    want("CREATE with a use", c.do("CREATE Old (USE (\\Archive))"), "OK")
    want("CREATE with a use that can't be", c.do("CREATE Every (USE (\\All))"), "NO", "USEATTR")
    check("INBOX renamed keeps INBOX", c.append("INBOX", text(1)).status == "OK" and c.do("RENAME INBOX saved").status == "OK"
          and "INBOX" in listed() and b"MESSAGES 1" in c.do("STATUS saved (MESSAGES)").lines[0]
          and b"MESSAGES 0" in c.do("STATUS INBOX (MESSAGES)").lines[0])
    want("NAMESPACE", c.do("NAMESPACE"), lines=[b'* NAMESPACE (("" "/")) NIL NIL'])
    want("STATUS of nothing", c.do("STATUS nothing (MESSAGES)"), "NO", "NONEXISTENT")
    want("a name with CRLF in a literal", c.literal("CREATE ", b"x\r\n* BYE no"), "NO", "CANNOT")


def fetching(s):
    c = Client(s, U0)
    c.do("CREATE sections")
    want("APPEND with flags and date", c.append("sections", NESTED, '(\\Draft kw) "17-Jul-1996 02:44:25 -0700" '), "OK", "APPENDUID")
    c.append("sections", text(2))
    c.do("SELECT sections")
    r = c.do("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE UID)")
    check("APPEND keeps flags, date and size", b"\\Draft" in r.lines[0] and b"kw" in r.lines[0] and b'"17-Jul-1996 02:44:25 -0700"' in r.lines[0]
          and b"RFC822.SIZE %d" % len(NESTED) in r.lines[0], r)
    sections = {"": NESTED, "HEADER": NESTED[:NESTED.index(b"\r\n\r\n") + 4], "TEXT": NESTED[NESTED.index(b"\r\n\r\n") + 4:],
                "1": b"part one", "2": b"part two", "3.HEADER": b"Subject: part three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n",
                "3.1": b"part 3.1", "3.2": b"part 3.2", "4.1.MIME": b"Content-Type: image/gif\r\nContent-ID: <g@a>\r\n\r\n", "4.1": b"GIF",
                "4.2.HEADER": b"Subject: part 4.2\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n", "4.2.1": b"4.2.1",
                "4.2.2.1": b"4.2.2.1", "4.2.2.2": b"4.2.2.2", "HEADER.FIELDS (subject TO)": b"To: bob@b.example\r\nSubject: nested\r\n\r\n",
                "3.HEADER.FIELDS (Subject)": b"Subject: part three\r\n\r\n", "HEADER.FIELDS (none)": b"\r\n",
                "4.2.HEADER.FIELDS.NOT (Content-Type)": b"Subject: part 4.2\r\n\r\n"}
    for section, octets in sections.items():
        r = c.do("FETCH 1 BODY.PEEK[%s]" % section)
        check("BODY[%s]" % section, r.status == "OK" and body_of(r) == octets, r)
        for at, n in ((0, 1), (1, 5), (max(len(octets) - 2, 0), 10), (len(octets), 1), (4294967295, 4294967295)):
            r = c.do("FETCH 1 BODY.PEEK[%s]<%d.%d>" % (section, at, n))
            check("BODY[%s]<%d.%d>" % (section, at, n), r.status == "OK" and body_of(r) == octets[at:at + n], r)
    for missing in ("5", "1.2", "3.3", "1.HEADER", "4.2.2.3", "9.9.9.9"):
        r = c.do("FETCH 1 BODY.PEEK[%s]" % missing)
        check("BODY[%s] is NIL" % missing, r.status == "OK" and b"NIL" in r.lines[0], r)
    for bad in ("BODY[0]", "BODY[]<0.0>", "BODY[]<1>", "BODY[1.]", "BODY[01]", "BODY[1.02]", "BODY[HEADER.FIELDS ()]", "BODY[MIME]", "NONSENSE", "(FLAGS", "()"):
        want("FETCH 1 " + bad, c.do("FETCH 1 " + bad), "BAD")
    r = c.do("FETCH 1 (RFC822.HEADER)")
    check("RFC822.HEADER", body_of(r) == sections["HEADER"], r)
    r = c.do("FETCH 1 FAST")
    check("FAST", all(w in r.lines[0] for w in (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE")), r)
    r = c.do("FETCH 1 FULL")
    check("FULL", b"ENVELOPE (" in r.lines[0] and b" BODY (" in r.lines[0], r)
    r = c.do("FETCH 2 ENVELOPE")
    ann = b'(("Ann" NIL "ann" "a.example"))'
    check("ENVELOPE", r.lines == [b'* 2 FETCH (ENVELOPE ("Mon, 02 Mar 2026 10:00:00 +0000" "number 2" %s %s %s ((NIL NIL "u0" '
                                  b'"example.test")) NIL NIL NIL "<2@a.example>"))' % (ann, ann, ann)], r)
    r = c.do("FETCH 2 BODYSTRUCTURE")
    check("BODYSTRUCTURE", r.lines == [b'* 2 FETCH (BODYSTRUCTURE ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 1 NIL NIL NIL NIL))'], r)
    r = c.do("FETCH 2 BODY[TEXT]")
    check("BODY[TEXT] sets \\Seen and tells it", r.status == "OK" and any(b"\\Seen" in x for x in r.lines), r)
    r = c.do("UID FETCH 1:* FLAGS")
    check("UID FETCH has UIDs, and \\Seen is there", all(b"UID" in x for x in r.lines) and b"\\Seen" in r.lines[1] and b"\\Seen" not in r.lines[0], r)
    want("FETCH beyond the end", c.do("FETCH 3 UID"), "BAD")
    want("UID FETCH beyond the end", c.do("UID FETCH 900 UID"), "OK", lines=[])
    check("nothing impossible was said", not c.wrong, c.wrong)


def flags_and_copies(s):
    c = Client(s, U1)
    other = Client(s, U1)
    for n in range(1, 6):
        c.append("INBOX", text(n))
    c.do("SELECT INBOX")
    other.do("SELECT INBOX")
    check("FETCH 1:* UID", len(c.do("FETCH 1:* (UID FLAGS)").lines) == 5)
    other.do("FETCH 1:* (UID FLAGS)")
    r = c.do("STORE 2:3 +FLAGS (\\Flagged work)")
    check("STORE tells the flags", len(r.having(b"FETCH")) == 2 and r.having(b"* FLAGS (") and all(b"work" in x for x in r.lines), r)
    want("STORE.SILENT says nothing", c.do("STORE 1 FLAGS.SILENT (\\Answered)"), "OK", lines=[])
    want("and not later either", c.do("NOOP"), "OK", lines=[])
    r = other.do("NOOP")
    check("the other session is told", len(r.having(b"FETCH")) == 3, r)
    r = c.do("STORE 2 -FLAGS (work)")
    check("a keyword goes", r.having(b"FETCH") and b"work" not in r.having(b"FETCH")[0], r)
    want("STORE \\Recent", c.do("STORE 1 +FLAGS (\\Recent)"), "BAD")
    r = c.do("STORE 1 +FLAGS.SILENT (" + " ".join("k%d" % i for i in range(200)) + ")")
    r = c.do("STORE 1 +FLAGS.SILENT (" + " ".join("j%d" % i for i in range(200)) + ")")
    want("too many keywords", r, "NO", "LIMIT")
    r = c.do("STORE 1 +FLAGS.SILENT (" + " ".join("j%d" % i for i in range(55)) + ")")
    check("with room for none \\* is not offered", r.status == "OK" and r.having(b"PERMANENTFLAGS") and not r.having(b"\\*"), r)
    want("APPEND with one more", c.append("INBOX", text(9), "(another) "), "NO", "LIMIT")
    c.do("CREATE otherwise")
    c.append("otherwise", text(1), "(another) ")
    c.do("SELECT otherwise")
    want("COPY with one more", c.do("COPY 1 INBOX"), "NO", "LIMIT")
    c.do("SELECT INBOX")
    for failing in ("SELECT a//b", "EXAMINE nothing"):
        c.do("SELECT INBOX")
        want("%s fails" % failing, c.do(failing), "NO")
        want("and leaves nothing selected", c.do("CHECK"), "BAD")
    c.do("SELECT INBOX")
    c.do("CREATE copies")
    r = c.do("COPY 1:2 copies")
    check("COPYUID", r.status == "OK" and re.match(r"COPYUID \d+ 1:2 1:2$", r.code), r)
    want("COPY to nothing", c.do("COPY 1 nothing"), "NO", "TRYCREATE")
    r = c.do("MOVE 2 copies")
    check("MOVE", r.status == "OK" and r.lines[0].startswith(b"* OK [COPYUID ") and r.lines[1:] == [b"* 2 EXPUNGE"], r)
    r = other.do("UID FETCH 1:* FLAGS")
    check("UID FETCH may tell expunges", b"* 2 EXPUNGE" in r.lines, r)
    c.do("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    r = c.do("UID EXPUNGE 3")
    check("UID EXPUNGE takes only its UIDs", r.status == "OK" and r.lines == [b"* 2 EXPUNGE"], r)
    r = other.do("FETCH 1:3 UID")
    check("FETCH of what is gone", r.status == "NO" and r.code == "EXPUNGEISSUED" and not r.having(b"EXPUNGE"), r)
    other.do("NOOP")
    r = c.do("EXPUNGE")
    check("EXPUNGE", r.status == "OK" and r.lines == [b"* 1 EXPUNGE"], r)
    c.do("STORE 1 +FLAGS.SILENT (\\Deleted)")
    want("CLOSE expunges in silence", c.do("CLOSE"), "OK", lines=[])
    want("after CLOSE nothing is selected", c.do("CHECK"), "BAD")
    other.do("NOOP")
    check("both believe the same", sorted(m["uid"] for m in other.messages.values()) == [5], other.messages)
    c.do("EXAMINE INBOX")
    for command in ("STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 copies"):
        want("read-only: " + command, c.do(command), "NO")
    c.do("FETCH 1 BODY[]")
    want("read-only FETCH sets no \\Seen", c.do("SEARCH SEEN"), "OK", lines=[b"* SEARCH"])
    want("UNSELECT", c.do("UNSELECT"), "OK")
    c.do("SELECT copies")
    c.do("STORE 1 +FLAGS.SILENT (\\Deleted)")
    want("UNSELECT expunges nothing", c.do("UNSELECT"), "OK")
    check("really", b"MESSAGES 3" in c.do("STATUS copies (MESSAGES)").lines[0])
    check("nothing impossible was said", not c.wrong + other.wrong, c.wrong + other.wrong)


def searching(s):
    c = Client(s, U0)
    c.do("CREATE search")
    c.append("search", text(1, "plain words"), "(\\Seen) ")
    c.append("search", text(2, "x" * 3000), '"01-Jan-2001 23:30:00 -0800" ')
    c.append("search", NESTED, "(\\Flagged kw) ")
    c.append("search", "From: =?utf-8?Q?J=C3=B6rg?= <j@x.example>\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\nMIME-Version: 1.0\r\n"
             "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nS8O2bG4gYW0gUmhlaW4=\r\n".encode())
    c.do("SELECT search")
    cases = {"ALL": "1 2 3 4", "SEEN": "1", "NOT SEEN": "2 3 4", "FLAGGED": "3", "KEYWORD kw": "3", "UNKEYWORD kw": "1 2 4",
             "SUBJECT number": "1 2", "SUBJECT \"number 2\"": "2", "FROM ann": "1 2 3", "FROM \"Ann <ann@a.example>\"": "1 2 3",
             "TO u0": "1 2", "HEADER Message-ID 1@a": "1 3", "HEADER Mime-Version \"\"": "3 4", "BODY words": "1", "BODY nested": "",
             "TEXT nested": "3", "BODY \"part 3.1\"": "3", "BODY \"4.2.2.2\"": "3", "LARGER 3000": "2",
             "SMALLER 1000 LARGER 250": "3", "ON 1-Jan-2001": "2", "BEFORE 2-Jan-2001": "2", "SINCE 2-Jan-2001": "1 3 4",
             "SENTON 2-Mar-2026": "1 2 3", "SENTBEFORE 2-Mar-2026": "", "SENTSINCE 1-Jan-2026": "1 2 3", "2:3": "2 3", "UID 3:*": "3 4",
             "OR SEEN FLAGGED": "1 3", "OR (SUBJECT number BODY words) (FLAGGED)": "1 3", "NOT (OR SEEN FLAGGED)": "2 4",
             "(2:4 (NOT 3))": "2 4", "CHARSET UTF-8 ALL": "1 2 3 4", "CHARSET US-ASCII TEXT plain": "1 3 4", "NEW": "2 3 4", "OLD": "",
             "DELETED": "", "UNDELETED UNANSWERED UNDRAFT UNFLAGGED": "1 2 4"}
    for keys, numbers in cases.items():
        want("SEARCH " + keys, c.do("SEARCH " + keys), "OK", lines=[("* SEARCH " + numbers).strip().encode()])
    for word, number in (("grÜßE", b"4"), ("jörg", b"4")):
        r = c.literal("SEARCH CHARSET UTF-8 %s " % ("SUBJECT" if number == b"4" and word[0] == "g" else "FROM"), word.encode())
        check("SEARCH for " + word, r.lines == [b"* SEARCH 4"], r)
    check("SEARCH decoded text", c.literal("SEARCH BODY ", "KÖLN AM".encode()).lines == [b"* SEARCH 4"])
    want("UID SEARCH", c.do("UID SEARCH 4"), "OK", lines=[b"* SEARCH 4"])
    want("SEARCH in an unknown charset", c.do("SEARCH CHARSET X-NO SUBJECT x"), "NO", "BADCHARSET")
    for bad in ("SEARCH", "SEARCH SUBJECT", "SEARCH NONSENSE", "SEARCH (ALL", "SEARCH SINCE 31-Foo-2001", "SEARCH 9", "SEARCH 0"):
        want(bad, c.do(bad), "BAD")


def appending(s):
    c = Client(s, U0)
    c.do("SELECT INBOX")
    before = len(c.messages)
    r = c.append("INBOX", text(7))
    check("APPEND to what is selected is told first", r.status == "OK" and b"* %d EXISTS" % (before + 1) in r.lines, r)
    want("APPEND to nothing", c.append("nothing", text(1)), "NO", "TRYCREATE")
    c.send(b"x1 APPEND INBOX {99999999999}\r\n")
    check("too big is refused before the data", c.line().startswith(b"x1 NO [TOOBIG]"))
    c.send(b"x2 APPEND nothing {5+}\r\nhelloA\r\nx3 NOOP\r\n")
    lines = [c.line(), c.line()]
    check("a refused literal is skipped", lines[0].startswith(b"x2 NO") and lines[1].startswith(b"x3 OK"), lines)
    want("NUL in a message", c.append("INBOX", b"a\0b"), "BAD")
    want("a bad date", c.do('APPEND INBOX "99-Zzz-9999 99:99:99 +9999" {3+}\r\nabc'), "BAD")
    odd = b"Subject: odd\r\n\r\nbare\rCR and\nLF, \x80\xff, no end"
    want("octets as they are", c.append("INBOX", odd), "OK")
    check("come back as they are", body_of(c.do("FETCH * BODY.PEEK[]")) == odd)
    for size in (127 << 10, 128 << 10, (128 << 10) + 1, (256 << 10), 1_000_003):
        data = text(8) + b"0123456789abcde\r\n" * (size // 17)
        data = (data + b"z" * size)[:size]
        r = c.append("INBOX", data)
        check("APPEND of %d octets" % size, r.status == "OK", r)
        check("and back", body_of(c.do("FETCH * BODY.PEEK[]")) == data)
        check("and in part", body_of(c.do("FETCH * BODY.PEEK[]<%d.70000>" % (size // 2))) == data[size // 2:size // 2 + 70000])
    n = len(c.messages)
    cut = Client(s, U0)
    cut.send(b"a APPEND INBOX {500000}\r\n")
    cut.line()
    cut.send(b"x" * 400000)
    cut.close()
    time.sleep(0.3)
    c.do("NOOP")
    check("an APPEND cut off stores nothing", len(c.messages) == n)


def pieces_and_order(s):
    c = Client(s, U0)
    script = b"p1 NOOP\r\np2 SELECT INBOX\r\np3 FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\np4 SEARCH SUBJECT {6+}\r\nnumber\r\np5 LOGOUT\r\n"
    for i in range(len(script)):
        c.send(script[i:i + 1])
    tags = []
    while len(tags) < 5:
        line = c.line()
        if line[:1] == b"p":
            tags.append(line[:5])
    check("an octet at a time", tags == [b"p1 OK", b"p2 OK", b"p3 OK", b"p4 OK", b"p5 OK"], tags)
    for tls in False, True:
        c = Client(s, U0, tls=tls)
        c.do("SELECT INBOX")
        c.send(b"".join(b"q%d %s\r\n" % (i, b"NOOP" if i % 3 else b"UID FETCH 1:* (FLAGS)") for i in range(2000)))
        seen = []
        while len(seen) < 2000:
            line = c.line()
            if line[:1] == b"q":
                seen.append(line.split(b" ")[0])
        check("pipelined commands are answered in order, TLS %s" % tls, seen == [b"q%d" % i for i in range(2000)])
    c = Client(s, U0)
    for i in range(30):
        try:
            r = c.do("FROBNICATE")
            if any(x.startswith(b"* BYE") for x in r.lines):
                break
        except Closed:
            break
    check("25 errors end the session", 23 <= i <= 25, i)
    for raw in (b"\xff\xfe NOOP\r\n", b"a NO\0OP\r\n", b"a NOOP\rLOGOUT\r\n", b"a b c\r\n", b"\r\n", b"a\r\n", b"+ NOOP\r\n", b"a NOOP\nb NOOP\r\n"):
        c = Client(s, U0)
        c.send(raw)
        line = c.line()
        check("%r is BAD" % raw, b" BAD" in line, line)
        check("and in step", c.do("NOOP").status == "OK")


def idling(s):
    c, d = Client(s, U0), Client(s, U0)
    c.do("SELECT INBOX")
    n = len(c.messages)
    tag = c.idle()
    d.append("INBOX", text(50))
    lines = [c.line(), c.line()]
    check("IDLE tells of an APPEND", lines == [b"* %d EXISTS" % (n + 1), lines[1]] and b"RECENT" in lines[1], lines)
    s.send(U0, text(51))
    check("IDLE tells of a delivery", c.line() == b"* %d EXISTS" % (n + 2) and b"RECENT" in c.line())
    d.do("SELECT INBOX")
    d.do("STORE * +FLAGS (\\Flagged)")
    check("IDLE tells of a flag", c.line().startswith(b"* %d FETCH (FLAGS (\\Flagged" % (n + 2)))
    d.do("STORE * +FLAGS.SILENT (\\Deleted)")
    c.line()
    d.do("EXPUNGE")
    check("IDLE tells of an expunge", c.line() == b"* %d EXPUNGE" % (n + 2))
    want("DONE", c.done(tag), "OK")
    tag = c.idle()
    c.send(b"z NOOP\r\n")
    check("other text than DONE is BAD", c.line().startswith(tag.encode() + b" BAD"))
    c = Client(s, U0)
    tag = c.idle()
    want("IDLE without a mailbox", c.done(tag), "OK")
    for full in (True, False):
        c = Client(s, U0)
        d.do("CREATE doomed")
        if full:
            d.append("doomed", text(1))
        c.do("SELECT doomed")
        c.idle()
        d.do("DELETE doomed")
        check("a deleted mailbox ends its sessions", c.line().startswith(b"* BYE"))


with Server(users=3) as server:
    for part in (before_login, names, fetching, flags_and_copies, searching, appending, pieces_and_order, idling):
        try:
            part(server)
        except (Closed, OSError, AssertionError, AttributeError, IndexError) as e:
            check(part.__name__ + " runs to its end", False, repr(e))
with Server(users=1, plaintext=False) as server:
    privacy(server)
finish()
