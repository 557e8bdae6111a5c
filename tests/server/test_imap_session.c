#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/session_imap.h"
#include "server/session_imap_work.h"
#include "tests/server/imap_fake.h"

const struct session_calls *const fake_calls = &session_imap_calls;

static const char plain[] = "From: Ann <ann@a.example>\r\n"
                            "To: bob@b.example\r\n"
                            "Subject: first\r\n"
                            "Date: Wed, 17 Jul 1996 02:44:25 -0700\r\n"
                            "\r\n"
                            "Hello, Bob.\r\n";

static const char mixed[] = "From: \"Q\" <q@a.example>\r\n"
                            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
                            "MIME-Version: 1.0\r\n"
                            "Content-Type: multipart/mixed; boundary=b\r\n"
                            "\r\n"
                            "--b\r\n"
                            "\r\n"
                            "one\r\n"
                            "--b\r\n"
                            "Content-Type: text/plain; charset=iso-8859-1\r\n"
                            "Content-Transfer-Encoding: base64\r\n"
                            "\r\n"
                            "S/ZsbiBhbSBSaGVpbg==\r\n"
                            "--b\r\n"
                            "Content-Type: message/rfc822\r\n"
                            "\r\n"
                            "Subject: inner\r\n"
                            "\r\n"
                            "deep\r\n"
                            "--b--\r\n";

#define TEXT(array) slice_of(array, sizeof array - 1)

static struct fake_session *session;

static void check(struct slice got, const char *want)
{
    if (slice_eq(got, slice_str(want)))
        return;
    fprintf(stderr, "--- got\n%.*s--- want\n%s---\n", (int)got.len, got.at, want);
    fail();
}

/* Sends, and wants exactly this. */
static void talk(struct fake_session *f, const char *send, const char *want)
{
    fake_output(f);
    fake_send(f, slice_str(send));
    check(fake_output(f), want);
}

static struct fake_session *login(void)
{
    struct fake_session *f = fake_open();

    fake_send(f, S("0 LOGIN ann@a.example secret\r\n"));
    fake_output(f);
    return f;
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    return 0;
}

static int setup_mail(void **state)
{
    setup(state);
    fake_message("INBOX", TEXT(plain), 0, 837596665);
    fake_message("INBOX", TEXT(mixed), FLAG_SEEN, 837596665);
    session = login();
    return 0;
}

static int setup_selected(void **state)
{
    setup_mail(state);
    fake_send(session, S("0 SELECT INBOX\r\n"));
    fake_output(session);
    return 0;
}

/* Every session ends, and nothing is held any more. */
static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < fake.session_count; i++)
        fake_die(&fake.sessions[i]);
    fake_pump();
    assert_int_equal(fake.open, 0);
    assert_int_equal(fake.loans, 0);
    for (unsigned i = 0; i < fake.session_count; i++)
        assert_true(fake.sessions[i].freed);
    fake_reset();
    return 0;
}

#define CAPS                                                                \
    "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UIDPLUS UNSELECT " \
    "CHILDREN MOVE SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED"

static void greets_with_what_it_can(void **state)
{
    (void)state;
    check(fake_output(fake_open()),
        "* OK [CAPABILITY " CAPS " AUTH=PLAIN AUTH=LOGIN] host.test ready\r\n");
    fake.clear_login = false;
    fake.tls = true;
    check(fake_output(fake_open()),
        "* OK [CAPABILITY " CAPS " STARTTLS LOGINDISABLED] host.test ready\r\n");
}

static void refuses_passwords_in_clear(void **state)
{
    struct fake_session *f;

    (void)state;
    fake.clear_login = false;
    fake.tls = true;
    f = fake_open();
    talk(f, "a LOGIN ann secret\r\n",
        "a NO [PRIVACYREQUIRED] TLS is required before login\r\n");
    talk(f, "b AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n",
        "b NO [PRIVACYREQUIRED] TLS is required before login\r\n");
    talk(f, "c STARTTLS\r\nd NOOP\r\n", "c OK Begin TLS now\r\n");
    talk(f, "e CAPABILITY\r\n",
        "* CAPABILITY " CAPS " AUTH=PLAIN AUTH=LOGIN\r\ne OK CAPABILITY completed\r\n");
    talk(f, "f STARTTLS\r\n", "f BAD TLS is active already\r\n");
    talk(f, "g LOGIN ann secret\r\n", "g OK [CAPABILITY " CAPS "] LOGIN completed\r\n");
    assert_int_equal(f->moves, 1);
}

static void checks_passwords(void **state)
{
    struct fake_session *f = fake_open();

    (void)state;
    talk(f, "a LOGIN ann wrong\r\n",
        "a NO [AUTHENTICATIONFAILED] Authentication failed\r\n");
    talk(f, "b LOGIN ann busy\r\n", "b NO [UNAVAILABLE] Try again later\r\n");
    talk(f, "c LOGIN ann many\r\n", "c NO [LIMIT] Too many connections of this user\r\n");
    talk(f, "d AUTHENTICATE PLAIN\r\n", "+ \r\n");
    talk(f, "*\r\n", "d BAD Authentication cancelled\r\n");
    talk(f, "e AUTHENTICATE PLAIN\r\n", "+ \r\n");
    talk(f, "!!\r\n", "e BAD Invalid authentication data\r\n");
    talk(f, "f AUTHENTICATE CRAM-MD5\r\n", "f NO [CANNOT] Mechanism not supported\r\n");
    talk(f, "g AUTHENTICATE LOGIN\r\n", "+ VXNlcm5hbWU6\r\n");
    talk(f, "YW5u\r\n", "+ UGFzc3dvcmQ6\r\n");
    talk(f, "c2VjcmV0\r\n", "g OK [CAPABILITY " CAPS "] AUTHENTICATE completed\r\n");
    talk(f, "h LOGIN ann secret\r\n", "h BAD Command not allowed in this state\r\n");
}

static void gives_up_after_five_wrong_passwords(void **state)
{
    struct fake_session *f = fake_open();

    (void)state;
    fake_send(f, S("a LOGIN a b\r\na LOGIN a b\r\na LOGIN a b\r\na LOGIN a b\r\n"));
    talk(f, "e LOGIN a b\r\nf NOOP\r\n",
        "e NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
        "* BYE Too many failed logins\r\n");
}

static void gives_up_after_too_many_errors(void **state)
{
    struct fake_session *f = fake_open(), *g = login();

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        talk(f, "a FOO\r\n", "a BAD Unknown command\r\n");
    talk(f, "a FOO\r\n", "a BAD Unknown command\r\n* BYE Too many errors\r\n");
    for (unsigned i = 0; i < 24; i++)
        talk(g, "a FOO\r\n", "a BAD Unknown command\r\n");
    talk(g, "a NOOP\r\n", "a OK NOOP completed\r\n");
    for (unsigned i = 0; i < 24; i++)
        talk(g, "a FOO\r\n", "a BAD Unknown command\r\n");
    talk(g, "a FOO\r\n", "a BAD Unknown command\r\n* BYE Too many errors\r\n");
}

static void selects(void **state)
{
    (void)state;
    talk(session, "a SELECT inbox\r\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags "
        "that are kept\r\n"
        "* 2 EXISTS\r\n* 2 RECENT\r\n"
        "* OK [UNSEEN 1] First unseen message\r\n"
        "* OK [UIDVALIDITY 101] UIDs are valid\r\n"
        "* OK [UIDNEXT 3] The next UID\r\n"
        "a OK [READ-WRITE] SELECT completed\r\n");
    talk(session, "b EXAMINE INBOX\r\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
        "* OK [PERMANENTFLAGS ()] Flags that are kept\r\n"
        "* 2 EXISTS\r\n* 0 RECENT\r\n"
        "* OK [UNSEEN 1] First unseen message\r\n"
        "* OK [UIDVALIDITY 101] UIDs are valid\r\n"
        "* OK [UIDNEXT 3] The next UID\r\n"
        "b OK [READ-ONLY] EXAMINE completed\r\n");
    talk(session, "c STORE 1 FLAGS ()\r\n",
        "c NO [CANNOT] The mailbox is selected read-only\r\n");
    talk(session, "d SELECT nothing\r\n", "d NO [NONEXISTENT] No such mailbox\r\n");
    talk(session, "e FETCH 1 UID\r\n", "e BAD Command not allowed in this state\r\n");
    talk(session, "f STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)\r\n",
        "* STATUS INBOX (MESSAGES 2 RECENT 0 UIDNEXT 3 UIDVALIDITY 101 UNSEEN 1)\r\n"
        "f OK STATUS completed\r\n");
}

static const struct {
    const char *items, *want;
} fetches[] = {
    {"1 UID", "* 1 FETCH (UID 1)\r\n"},
    {"1:2 (UID FLAGS)",
        "* 1 FETCH (UID 1 FLAGS (\\Recent))\r\n"
        "* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))\r\n"},
    {"2:1 RFC822.SIZE", "* 1 FETCH (RFC822.SIZE 116)\r\n* 2 FETCH (RFC822.SIZE 317)\r\n"},
    {"1 INTERNALDATE", "* 1 FETCH (INTERNALDATE \"17-Jul-1996 09:44:25 +0000\")\r\n"},
    {"1 BODY.PEEK[TEXT]", "* 1 FETCH (BODY[TEXT] {13}\r\nHello, Bob.\r\n)\r\n"},
    {"1 BODY.PEEK[]<0.5>", "* 1 FETCH (BODY[]<0> {5}\r\nFrom:)\r\n"},
    {"1 BODY.PEEK[]<114.500>", "* 1 FETCH (BODY[]<114> {2}\r\n\r\n)\r\n"},
    {"1 BODY.PEEK[]<116.1>", "* 1 FETCH (BODY[]<116> \"\")\r\n"},
    {"1 BODY.PEEK[]<4294967295.4294967295>", "* 1 FETCH (BODY[]<4294967295> \"\")\r\n"},
    {"1 BODY.PEEK[HEADER.FIELDS (subject)]",
        "* 1 FETCH (BODY[HEADER.FIELDS (subject)] {18}\r\nSubject: first\r\n\r\n)\r\n"},
    {"1 BODY.PEEK[HEADER.FIELDS (x-none)]",
        "* 1 FETCH (BODY[HEADER.FIELDS (x-none)] {2}\r\n\r\n)\r\n"},
    {"1 BODY.PEEK[HEADER.FIELDS.NOT (From To Date)]<9.3>",
        "* 1 FETCH (BODY[HEADER.FIELDS.NOT (From To Date)]<9> {3}\r\nfir)\r\n"},
    {"2 BODY.PEEK[1]", "* 2 FETCH (BODY[1] {3}\r\none)\r\n"},
    {"2 BODY.PEEK[2.MIME]",
        "* 2 FETCH (BODY[2.MIME] {83}\r\n"
        "Content-Type: text/plain; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n)\r\n"},
    {"2 (BODY.PEEK[3.HEADER] BODY.PEEK[3.TEXT] BODY.PEEK[3.1])",
        "* 2 FETCH (BODY[3.HEADER] {18}\r\nSubject: inner\r\n\r\n BODY[3.TEXT] {4}\r\n"
        "deep BODY[3.1] {4}\r\ndeep)\r\n"},
    {"2 BODY.PEEK[3.HEADER.FIELDS (SUBJECT)]",
        "* 2 FETCH (BODY[3.HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: inner\r\n\r\n)\r\n"},
    {"2 BODY.PEEK[4]", "* 2 FETCH (BODY[4] NIL)\r\n"},
    {"2 BODY.PEEK[1.HEADER.FIELDS (SUBJECT)]",
        "* 2 FETCH (BODY[1.HEADER.FIELDS (SUBJECT)] NIL)\r\n"},
    {"1 ENVELOPE",
        "* 1 FETCH (ENVELOPE (\"Wed, 17 Jul 1996 02:44:25 -0700\" \"first\" ((\"Ann\" "
        "NIL "
        "\"ann\" \"a.example\")) ((\"Ann\" NIL \"ann\" \"a.example\")) ((\"Ann\" NIL "
        "\"ann\" \"a.example\")) ((NIL NIL \"bob\" \"b.example\")) NIL NIL NIL "
        "NIL))\r\n"},
    {"1 BODY",
        "* 1 FETCH (BODY (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
        "\"7bit\" 13 1))\r\n"},
};

static void fetches_every_item(void **state)
{
    char command[256], want[4096];

    (void)state;
    for (unsigned i = 0; i < sizeof fetches / sizeof *fetches; i++) {
        snprintf(command, sizeof command, "a FETCH %s\r\n", fetches[i].items);
        snprintf(want, sizeof want, "%sa OK FETCH completed\r\n", fetches[i].want);
        for (fake.piece_bytes = 0; fake.piece_bytes < 9; fake.piece_bytes += 4) {
            fake.async = fake.piece_bytes == 4;
            talk(session, command, want);
        }
    }
}

static void fetch_sets_seen_when_it_is_durable(void **state)
{
    (void)state;
    talk(session, "a FETCH 1:2 BODY[]<0.1>\r\n",
        "* 1 FETCH (BODY[]<0> {1}\r\nF)\r\n* 2 FETCH (BODY[]<0> {1}\r\nF)\r\n"
        "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\na OK FETCH completed\r\n");
    talk(session, "b UID STORE 1 FLAGS.SILENT ()\r\n", "b OK UID STORE completed\r\n");
    talk(session, "c UID FETCH 1 RFC822.TEXT\r\n",
        "* 1 FETCH (UID 1 RFC822.TEXT {13}\r\nHello, Bob.\r\n)\r\n"
        "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\nc OK UID FETCH completed\r\n");
    talk(session, "d UID STORE 1 FLAGS.SILENT ()\r\n", "d OK UID STORE completed\r\n");
    fake.fail_at = 3; /* the body, its piece, then the flag */
    fake.fail_with = STATUS_READ_ONLY;
    fake.requests = 0;
    talk(session, "e FETCH 1 BODY[]<0.1>\r\n",
        "* 1 FETCH (BODY[]<0> {1}\r\nF)\r\ne OK FETCH completed\r\n");
}

static void refuses_what_is_not_there(void **state)
{
    (void)state;
    talk(session, "a FETCH 3 UID\r\n", "a BAD No such message\r\n");
    talk(session, "b STORE 0 FLAGS ()\r\n", "b BAD Invalid sequence set\r\n");
    talk(session, "c UID FETCH 7:9 FLAGS\r\n", "c OK UID FETCH completed\r\n");
    talk(session, "d UID FETCH 7:* UID\r\n",
        "* 2 FETCH (UID 2)\r\nd OK UID FETCH completed\r\n");
    talk(session, "e COPY 1 nowhere\r\n", "e NO [TRYCREATE] No such mailbox\r\n");
}

static const struct {
    const char *keys, *want;
} searches[] = {
    {"ALL", " 1 2"},
    {"SEEN", " 2"},
    {"UNSEEN", " 1"},
    {"NEW", " 1"},
    {"OLD", ""},
    {"RECENT NOT SEEN", " 1"},
    {"2", " 2"},
    {"UID 1:*", " 1 2"},
    {"UID 7", ""},
    {"SUBJECT FIRST", " 1"},
    {"SUBJECT gr\xc3\x9c\xc3\x9f", " 2"},
    {"HEADER Subject \"\"", " 1 2"},
    {"HEADER To \"\"", " 1"},
    {"HEADER Mime-version 1.0", " 2"},
    {"HEADER MIME-version 1.1", ""},
    {"FROM \"ann <ANN@a\"", " 1"},
    {"TO bob@b.example", " 1"},
    {"CC bob", ""},
    {"FROM a.example NOT TO bob", " 2"},
    {"BODY hello", " 1"},
    {"BODY Subject:", " 2"},
    {"TEXT Subject:", " 1 2"},
    {"TEXT k\xc3\x96ln", " 2"},
    {"BODY inner", " 2"},
    {"BODY S/ZsbiBhbS", ""},
    {"OR BODY deep BODY bob", " 1 2"},
    {"SENTON 17-Jul-1996", " 1"},
    {"SENTBEFORE 17-Jul-1996", ""},
    {"SENTSINCE 17-Jul-1996", " 1"},
    {"NOT SENTSINCE 17-Jul-1996", " 2"},
    {"ON 17-Jul-1996", " 1 2"},
    {"BEFORE 17-Jul-1996", ""},
    {"SINCE 18-Jul-1996", ""},
    {"LARGER 116", " 2"},
    {"SMALLER 117", " 1"},
    {"KEYWORD none", ""},
    {"UNKEYWORD none", " 1 2"},
    {"CHARSET UTF-8 TEXT \"\"", " 1 2"},
    {"(OR (SEEN SUBJECT first) (UNSEEN BODY hello)) 1:2", " 1"},
};

/* Literals, so that 8-bit text can stand in the table. */
static void put_command(char *at, size_t cap, const char *keys)
{
    struct out out = out_of(at, cap - 1);

    out_str(&out, "a SEARCH ");
    for (const char *word = keys; *word;) {
        size_t n = strcspn(word, " ");
        bool eight = false;

        for (size_t i = 0; i < n; i++)
            eight |= (word[i] & 0x80) != 0;
        if (eight) {
            out_byte(&out, '{');
            out_u64(&out, n);
            out_str(&out, "+}\r\n");
        }
        out_put(&out, slice_of(word, n));
        word += n;
        if (*word)
            out_byte(&out, *word++);
    }
    out_str(&out, "\r\n");
    at[out.len] = 0;
}

static void searches_every_key(void **state)
{
    char command[256], want[256];

    (void)state;
    for (unsigned i = 0; i < sizeof searches / sizeof *searches; i++) {
        put_command(command, sizeof command, searches[i].keys);
        snprintf(want, sizeof want, "* SEARCH%s\r\na OK SEARCH completed\r\n",
            searches[i].want);
        for (fake.piece_bytes = 0; fake.piece_bytes < 9; fake.piece_bytes += 4) {
            fake.async = fake.piece_bytes == 4;
            talk(session, command, want);
        }
    }
    talk(session, "b SEARCH CHARSET X-NONE ALL\r\n",
        "b NO [BADCHARSET (US-ASCII UTF-8)] Charset not supported\r\n");
    talk(session, "c SEARCH 3\r\n", "c BAD No such message\r\n");
}

static void two_sessions_see_each_other(void **state)
{
    struct fake_session *other = login();

    (void)state;
    fake_send(other, S("0 SELECT INBOX\r\n"));
    talk(other, "a STORE 1 +FLAGS (\\Flagged work)\r\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)\r\n"
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work \\*)] "
        "Flags that are kept\r\n"
        "* 1 FETCH (FLAGS (\\Flagged work))\r\na OK STORE completed\r\n");
    talk(session, "b NOOP\r\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)\r\n"
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work \\*)] "
        "Flags that are kept\r\n"
        "* 1 FETCH (FLAGS (\\Flagged \\Recent work))\r\nb OK NOOP completed\r\n");
    talk(other, "c STORE 1 +FLAGS.SILENT \\Deleted\r\n", "c OK STORE completed\r\n");
    talk(other, "d EXPUNGE\r\n", "* 1 EXPUNGE\r\nd OK EXPUNGE completed\r\n");
    fake_message("INBOX", TEXT(plain), 0, 0);
    talk(session, "e FETCH 1:2 UID\r\n",
        "* 2 FETCH (UID 2)\r\n* 3 EXISTS\r\n* 3 RECENT\r\n"
        "e NO [EXPUNGEISSUED] Some of the messages were expunged\r\n");
    talk(session, "f STORE 1 FLAGS ()\r\n",
        "f NO [EXPUNGEISSUED] Some of the messages were expunged\r\n");
    talk(session, "g COPY 1:2 INBOX\r\n",
        "* 1 EXPUNGE\r\n"
        "g NO [EXPUNGEISSUED] Some of the messages were expunged\r\n");
    talk(session, "h NOOP\r\n", "h OK NOOP completed\r\n");
    talk(other, "i NOOP\r\n", "* 2 EXISTS\r\n* 0 RECENT\r\ni OK NOOP completed\r\n");
}

static void idle_tells_at_once(void **state)
{
    (void)state;
    talk(session, "a IDLE\r\n", "+ idling\r\n");
    assert_null(container_of(session->conn, struct session_imap, conn)->work);
    fake_message("INBOX", TEXT(plain), 0, 0);
    fake_pump();
    check(fake_output(session), "* 3 EXISTS\r\n* 3 RECENT\r\n");
    talk(session, "DO", "");
    talk(session, "NE\r\nb NOOP\r\n", "a OK IDLE completed\r\nb OK NOOP completed\r\n");
    talk(session, "c IDLE\r\n", "+ idling\r\n");
    talk(session, "d NOOP\r\n", "c BAD DONE was expected\r\n");
    talk(session, "e IDLE\r\n", "+ idling\r\n");
    fake_timeout(session);
    check(fake_output(session), "* BYE Autologout after silence\r\n");
}

static void copies_and_moves(void **state)
{
    (void)state;
    fake_mailbox("Work", 0);
    talk(session, "a UID COPY 1:2 Work\r\n",
        "a OK [COPYUID 102 1:2 1:2] UID COPY completed\r\n");
    talk(session, "b MOVE 1 Work\r\n",
        "* OK [COPYUID 102 1 3] Moved\r\n* 1 EXPUNGE\r\nb OK MOVE completed\r\n");
    talk(session, "c UID MOVE 1 Work\r\n", "c OK UID MOVE completed\r\n");
    talk(session, "d UID STORE 2 +FLAGS.SILENT (\\Deleted)\r\n",
        "d OK UID STORE completed\r\n");
    talk(session, "e UID EXPUNGE 1\r\n", "e OK UID EXPUNGE completed\r\n");
    talk(session, "f UID EXPUNGE 1:9\r\n",
        "* 1 EXPUNGE\r\nf OK UID EXPUNGE completed\r\n");
    talk(session, "g SELECT Work\r\nh STORE 1:3 +FLAGS.SILENT (\\Deleted)\r\ni CLOSE\r\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags "
        "that are kept\r\n"
        "* 3 EXISTS\r\n* 3 RECENT\r\n* OK [UNSEEN 1] First unseen message\r\n"
        "* OK [UIDVALIDITY 102] UIDs are valid\r\n* OK [UIDNEXT 4] The next UID\r\n"
        "g OK [READ-WRITE] SELECT completed\r\n"
        "h OK STORE completed\r\ni OK CLOSE completed\r\n");
    talk(session, "j STATUS Work (MESSAGES)\r\n",
        "* STATUS Work (MESSAGES 0)\r\nj OK STATUS completed\r\n");
}

static void appends(void **state)
{
    (void)state;
    talk(session, "a APPEND INBOX (\\Seen kw) \"17-Jul-1996 02:44:25 -0700\" {3}\r\n",
        "+ OK\r\n");
    talk(session, "abc", "");
    talk(session, "\r\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft kw)\r\n"
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft kw \\*)] "
        "Flags that are kept\r\n"
        "* 3 EXISTS\r\n* 3 RECENT\r\n"
        "a OK [APPENDUID 101 3] APPEND completed\r\n");
    talk(session, "b FETCH 3 (FLAGS INTERNALDATE BODY.PEEK[])\r\n",
        "* 3 FETCH (FLAGS (\\Seen \\Recent kw) INTERNALDATE \"17-Jul-1996 02:44:25 "
        "-0700\""
        " BODY[] {3}\r\nabc)\r\nb OK FETCH completed\r\n");
    talk(session, "c APPEND nowhere {3}\r\n", "c NO [TRYCREATE] No such mailbox\r\n");
    talk(session, "d APPEND nowhere {3+}\r\nabc\r\ne NOOP\r\n",
        "d NO [TRYCREATE] No such mailbox\r\ne OK NOOP completed\r\n");
    talk(session, "f APPEND INBOX {2000000}\r\n",
        "f NO [TOOBIG] Message exceeds the size limit\r\n");
    talk(session, "g APPEND INBOX {3+}\r\nabcd\r\n",
        "g BAD Nothing may follow the message\r\n");
    talk(session, "h APPEND INBOX {0+}\r\n\r\n",
        "h NO [CANNOT] An empty message cannot be kept\r\n");
    fake_output(session);
    fake_send(session, slice_of("i APPEND INBOX {3+}\r\na\0c\r\n", 26));
    check(fake_output(session), "i BAD NUL in the message\r\n");
    fake.read_only = true;
    talk(session, "j APPEND INBOX {3}\r\n",
        "j NO [UNAVAILABLE] The store takes no changes now\r\n");
}

static void big_messages_go_in_chunks(void **state)
{
    enum { BYTES = 3 * STORE_CHUNK_BYTES + 5 };
    const size_t sizes[] = {BYTES, 3 * STORE_CHUNK_BYTES, STORE_CHUNK_BYTES};
    char *text = malloc(BYTES), command[64];
    struct slice got;

    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        text[i] = (char)('a' + i % 23);
    for (unsigned round = 0; round < 3; round++) {
        size_t bytes = sizes[round];

        snprintf(command, sizeof command, "a APPEND INBOX {%zu+}\r\n", bytes);
        fake_send(session, slice_str(command));
        fake_send(session, slice_of(text, bytes));
        fake_output(session);
        fake_send(session, S("\r\n"));
        got = fake_output(session);
        assert_true(memmem(got.at, got.len, "a OK [APPENDUID", 15));
        snprintf(command, sizeof command, "b FETCH %u BODY.PEEK[]\r\n", 3 + round);
        fake.piece_bytes = 10000;
        fake_send(session, slice_str(command));
        got = fake_output(session);
        assert_non_null(memmem(got.at, got.len, text, bytes));
    }
    assert_int_equal(fake.chunks, 6);
    assert_int_equal(fake.dropped, 0);
    fake_send(session, S("c APPEND INBOX {300000}\r\n"));
    fake_send(session, slice_of(text, 290000));
    fake_die(session);
    fake_pump();
    assert_int_equal(fake.chunks - fake.dropped, 6);
    free(text);
}

static void names_are_made_and_listed(void **state)
{
    (void)state;
    fake_mailbox("Sent", USE_SENT);
    talk(session, "a CREATE a/b&AOk-/c\r\n", "a OK CREATE completed\r\n");
    talk(session, "b CREATE inbox\r\n", "b NO [ALREADYEXISTS] Mailbox exists\r\n");
    talk(session, "c CREATE Arch (USE (\\Archive))\r\n", "c OK CREATE completed\r\n");
    talk(session, "d CREATE All (USE (\\All))\r\n",
        "d NO [USEATTR] Special use not supported\r\n");
    talk(session, "e LIST \"\" *\r\n",
        "* LIST (\\HasNoChildren \\Archive) \"/\" Arch\r\n"
        "* LIST (\\HasNoChildren) \"/\" INBOX\r\n"
        "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\n"
        "* LIST (\\HasChildren) \"/\" a\r\n"
        "* LIST (\\HasChildren) \"/\" a/b&AOk-\r\n"
        "* LIST (\\HasNoChildren) \"/\" a/b&AOk-/c\r\n"
        "e OK LIST completed\r\n");
    talk(session, "f LIST \"\" \"\"\r\n",
        "* LIST (\\Noselect) \"/\" \"\"\r\nf OK LIST completed\r\n");
    talk(session, "g LIST (SPECIAL-USE) \"\" *\r\n",
        "* LIST (\\HasNoChildren \\Archive) \"/\" Arch\r\n"
        "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\ng OK LIST completed\r\n");
    talk(session, "h LIST a/ %\r\n",
        "* LIST (\\HasChildren) \"/\" a/b&AOk-\r\nh OK LIST completed\r\n");
    talk(session, "i SUBSCRIBE a/b&AOk-/c\r\nj SUBSCRIBE x/y\r\n",
        "i OK SUBSCRIBE completed\r\nj OK SUBSCRIBE completed\r\n");
    talk(session, "k LSUB \"\" %\r\n",
        "* LSUB (\\Noselect) \"/\" a\r\n* LSUB (\\Noselect) \"/\" x\r\n"
        "k OK LSUB completed\r\n");
    talk(session, "l LSUB \"\" *\r\n",
        "* LSUB () \"/\" a/b&AOk-/c\r\n* LSUB () \"/\" x/y\r\nl OK LSUB completed\r\n");
    talk(session, "m LIST (SUBSCRIBED) \"\" *\r\n",
        "* LIST (\\HasNoChildren \\Subscribed) \"/\" a/b&AOk-/c\r\n"
        "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" x/y\r\n"
        "m OK LIST completed\r\n");
    talk(session, "n LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %\r\n",
        "* LIST (\\HasChildren) \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
        "* LIST (\\NonExistent \\HasChildren) \"/\" x (\"CHILDINFO\" "
        "(\"SUBSCRIBED\"))\r\n"
        "n OK LIST completed\r\n");
    talk(session, "o RENAME a d\r\n", "o OK RENAME completed\r\n");
    talk(session, "p LIST \"\" d*\r\n",
        "* LIST (\\HasChildren) \"/\" d\r\n* LIST (\\HasChildren) \"/\" d/b&AOk-\r\n"
        "* LIST (\\HasNoChildren) \"/\" d/b&AOk-/c\r\np OK LIST completed\r\n");
    talk(session, "q DELETE d/b&AOk-\r\nr LIST \"\" d/%\r\n",
        "q OK DELETE completed\r\n"
        "* LIST (\\Noselect \\HasChildren) \"/\" d/b&AOk-\r\nr OK LIST completed\r\n");
    talk(session, "s DELETE INBOX\r\n",
        "s NO [CANNOT] Not possible with this mailbox\r\n");
    talk(session, "t UNSUBSCRIBE x/y\r\nu LSUB x *\r\n",
        "t OK UNSUBSCRIBE completed\r\nu OK LSUB completed\r\n");
}

static void a_deleted_mailbox_ends_its_sessions(void **state)
{
    struct fake_session *other = login();

    (void)state;
    fake_mailbox("gone", 0);
    fake_send(session, S("0 SELECT gone\r\n"));
    fake_send(other, S("0 SELECT gone\r\n"));
    talk(session, "a DELETE gone\r\n", "a OK DELETE completed\r\n");
    talk(session, "b CHECK\r\n", "b BAD Command not allowed in this state\r\n");
    talk(other, "c NOOP\r\n", "* BYE The selected mailbox was deleted\r\n");
}

static void the_small_commands(void **state)
{
    (void)state;
    talk(session, "a NAMESPACE\r\n",
        "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\na OK NAMESPACE completed\r\n");
    talk(session, "b ENABLE CONDSTORE\r\n", "* ENABLED\r\nb OK ENABLE completed\r\n");
    talk(session, "c ID (\"name\" \"x\" \"v\" NIL)\r\n",
        "* ID (\"name\" \"ringmail\")\r\nc OK ID completed\r\n");
    talk(session, "d CHECK\r\n", "d OK CHECK completed\r\n");
    talk(session, "e UNSELECT\r\n", "e OK UNSELECT completed\r\n");
    talk(session, "f LOGOUT\r\ng NOOP\r\n", "* BYE Goodbye\r\nf OK LOGOUT completed\r\n");
}

static void the_world_ends_sessions(void **state)
{
    struct fake_session *kicked = login(), *idle = login();

    (void)state;
    fake_stop(session);
    check(fake_output(session), "* BYE Server is stopping\r\n");
    fake_kick(kicked);
    check(fake_output(kicked), "* BYE Your account has changed\r\n");
    talk(idle, "a IDLE\r\n", "+ idling\r\n");
    fake_kick(idle);
    check(fake_output(idle), "* BYE Your account has changed\r\n");
}

/* --- one long conversation, whatever happens to it
 * --------------------------------------- */

static const char script[] =
    "a LOGIN ann@a.example secret\r\n"
    "b SELECT INBOX\r\n"
    "c FETCH 1:* (FLAGS UID ENVELOPE BODYSTRUCTURE)\r\n"
    "d UID FETCH 1:* (BODY[HEADER.FIELDS (Subject From)] BODY[TEXT]<3.10>)\r\n"
    "e SEARCH OR TEXT {4+}\r\nk\xc3\xb6l BODY bob\r\n"
    "e2 SEARCH HEADER Mime-Version 1.0 SENTSINCE 1-Jan-1990\r\n"
    "f STORE 1 +FLAGS (\\Deleted kw)\r\n"
    "g CREATE New/Box\r\n"
    "h COPY 1:2 New/Box\r\n"
    "i APPEND INBOX (\\Seen) {10+}\r\n0123456789\r\n"
    "j EXPUNGE\r\n"
    "k MOVE 1 New\r\n"
    "l LIST \"\" *\r\n"
    "l2 LSUB \"\" %\r\n"
    "m STATUS New/Box (MESSAGES)\r\n"
    "n IDLE\r\nDONE\r\n"
    "n2 RENAME New Old\r\n"
    "o CLOSE\r\n"
    "p LOGOUT\r\n";

static struct slice play(size_t piece, size_t high_water)
{
    struct fake_session *f;
    struct slice in = TEXT(script);

    fake_message("INBOX", TEXT(plain), 0, 837596665);
    fake_message("INBOX", TEXT(mixed), FLAG_SEEN, 837596665);
    f = session = fake_open();
    f->high_water = high_water;
    while (in.len)
        fake_send(f, slice_take(&in, in.len < piece ? in.len : piece));
    return fake_output(f);
}

static char *reference;

static void reset_world(void)
{
    for (unsigned i = 0; i < fake.session_count; i++)
        fake_die(&fake.sessions[i]);
    fake_pump();
    fake_reset();
}

static void make_reference(void)
{
    struct slice all = play(sizeof script, 0);

    reference = calloc(1, all.len + 1);
    memcpy(reference, all.at, all.len);
    assert_non_null(strstr(reference, "p OK LOGOUT"));
    assert_null(strstr(reference, " NO "));
    assert_null(strstr(reference, " BAD "));
    reset_world();
}

static void same_conversation_at_every_split(void **state)
{
    (void)state;
    make_reference();
    for (size_t cut = 1; cut < sizeof script; cut++) {
        fake.async = cut % 2;
        fake.piece_bytes = cut % 5;
        check(play(cut, 0), reference);
        reset_world();
    }
    free(reference);
}

static void same_conversation_to_a_slow_reader(void **state)
{
    (void)state;
    make_reference();
    for (size_t water = 1; water < 600; water += 7) {
        fake.piece_bytes = 5;
        check(play(sizeof script, water), reference);
        reset_world();
    }
    free(reference);
}

/* The n-th request fails: the command says NO, or the connection ends inside a literal,
 * and nothing is left behind. */
static void every_request_may_fail(void **state)
{
    static const enum status kinds[] = {STATUS_IO, STATUS_CORRUPT, STATUS_NO_SPACE,
        STATUS_LIMIT, STATUS_READ_ONLY, STATUS_NO_MEMORY, STATUS_NOT_FOUND};
    unsigned last = 0;

    (void)state;
    for (unsigned n = 1; n < 400; n++) {
        struct slice got;

        fake.piece_bytes = 50;
        fake.fail_at = n;
        fake.fail_with = kinds[n % (sizeof kinds / sizeof *kinds)];
        got = play(sizeof script, 0);
        if (fake.requests < n) {
            last = n;
            break;
        }
        assert_true(session->aborted || memmem(got.at, got.len, "p OK LOGOUT", 11) ||
            memmem(got.at, got.len, "* BYE", 5));
        fake_pump();
        assert_true(session->freed);
        assert_int_equal(fake.open, 0);
        assert_int_equal(fake.loans, 0);
        reset_world();
    }
    assert_in_range(last, 30, 399);
}

/* The socket dies after any step of the world: everything is given back. */
static void the_connection_may_die_at_any_step(void **state)
{
    bool whole = false;

    (void)state;
    for (unsigned steps = 1; !whole; steps++) {
        struct fake_session *f;
        struct slice in = TEXT(script);

        fake.async = true;
        fake.piece_bytes = 50;
        fake_message("INBOX", TEXT(plain), 0, 0);
        fake_message("INBOX", TEXT(mixed), 0, 0);
        f = fake_open();
        f->input = malloc(in.len);
        memcpy(f->input, in.at, in.len);
        f->input_len = in.len;
        f->woken = true;
        for (unsigned i = 0; i < steps; i++)
            whole = !fake_step();
        fake_die(f);
        fake_pump();
        assert_true(f->freed);
        assert_int_equal(fake.open, 0);
        assert_int_equal(fake.loans, 0);
        reset_world();
    }
}

static void a_session_at_rest_is_small(void **state)
{
    struct session_imap *s = container_of(session->conn, struct session_imap, conn);

    (void)state;
    assert_true(sizeof *s <= IMAP_SESSION_BYTES);
    assert_null(s->work);
    talk(session, "a NO", "");
    assert_non_null(s->work);
    talk(session, "OP\r\n", "a OK NOOP completed\r\n");
    assert_null(s->work);
}

#define CASE(setup_fn, test) cmocka_unit_test_setup_teardown(test, setup_fn, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(setup, greets_with_what_it_can),
        CASE(setup, refuses_passwords_in_clear),
        CASE(setup, checks_passwords),
        CASE(setup, gives_up_after_five_wrong_passwords),
        CASE(setup, gives_up_after_too_many_errors),
        CASE(setup_mail, selects),
        CASE(setup_selected, fetches_every_item),
        CASE(setup_selected, fetch_sets_seen_when_it_is_durable),
        CASE(setup_selected, refuses_what_is_not_there),
        CASE(setup_selected, searches_every_key),
        CASE(setup_selected, two_sessions_see_each_other),
        CASE(setup_selected, idle_tells_at_once),
        CASE(setup_selected, copies_and_moves),
        CASE(setup_selected, appends),
        CASE(setup_selected, big_messages_go_in_chunks),
        CASE(setup_mail, names_are_made_and_listed),
        CASE(setup_mail, a_deleted_mailbox_ends_its_sessions),
        CASE(setup_selected, the_small_commands),
        CASE(setup_mail, the_world_ends_sessions),
        CASE(setup, same_conversation_at_every_split),
        CASE(setup, same_conversation_to_a_slow_reader),
        CASE(setup, every_request_may_fail),
        CASE(setup, the_connection_may_die_at_any_step),
        CASE(setup_selected, a_session_at_rest_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
