#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/proto/base/fence.h"
#include "tests/proto/imap/dump.h"

struct test_case {
    struct slice text, want;
};

/* Parses text, which ends where memory ends, in a state where every verb but those of
 * the start is allowed. */
static struct slice parsed(struct fence *fence, struct slice text, enum imap_state state,
    char *bytes, size_t cap)
{
    struct out o = out_of(bytes, cap);

    dump_parse(&o, fence_end(fence, text), state, IMAP_ARENA_BYTES);
    assert_false(o.full);
    return out_slice(&o);
}

/* Every prefix of a good command is no command. */
static void refuse_prefixes(struct fence *fence, struct slice text, enum imap_state state)
{
    char bytes[2048];

    for (size_t n = 0; n < text.len; n++) {
        struct slice got =
            parsed(fence, slice_of(text.at, n), state, bytes, sizeof bytes);

        if (slice_find(got, '!') == got.len || slice_find(got, '!') > IMAP_TAG_MAX)
            fail_msg("%.*s was accepted", (int)n, text.at);
    }
}

static void run_cases(const struct test_case *cases, size_t count, enum imap_state state)
{
    struct fence fence = fence_make();

    for (size_t i = 0; i < count; i++) {
        char bytes[2048];
        struct slice text = cases[i].text, want = cases[i].want;
        struct slice got = parsed(&fence, text, state, bytes, sizeof bytes);

        if (!slice_eq(got, want))
            fail_msg("%.*s\ngave\n%.*s\nnot\n%.*s", (int)text.len, text.at, (int)got.len,
                got.at, (int)want.len, want.at);
        if (slice_find(want, '!') == want.len)
            refuse_prefixes(&fence, text, state);
    }
    fence_free(&fence);
}

#define RUN(cases, state) run_cases(cases, sizeof(cases) / sizeof(cases)[0], state)

static void front_of_a_command(void **state)
{
    static const struct test_case cases[] = {
        {SI("a NOOP\r\n"), SI("a NOOP")},
        {SI("A.1]x noop\r\n"), SI("A.1]x NOOP")},
        {SI("a CAPABILITY\r\n"), SI("a CAPABILITY")},
        {SI("a LOGOUT\r\n"), SI("a LOGOUT")},
        {SI("a CHECK\r\n"), SI("a CHECK")},
        {SI("a CLOSE\r\n"), SI("a CLOSE")},
        {SI("a EXPUNGE\r\n"), SI("a EXPUNGE")},
        {SI("a UNSELECT\r\n"), SI("a UNSELECT")},
        {SI("a IDLE\r\n"), SI("a IDLE")},
        {SI("a NAMESPACE\r\n"), SI("a NAMESPACE")},
        {SI("a\r\n"), SI("a!NO_COMMAND")},
        {SI("a \r\n"), SI("a!NO_COMMAND")},
        {SI("a  NOOP\r\n"), SI("a!NO_COMMAND")},
        {SI("a NOOP \r\n"), SI("a!TRAILING")},
        {SI("a NOOP x\r\n"), SI("a!TRAILING")},
        {SI("a NOOP\tx\r\n"), SI("a!TRAILING")},
        {SI("a NOOP"), SI("a!TRAILING")},
        {SI("a NOOPE\r\n"), SI("a!COMMAND")},
        {SI("a FROBNICATE\r\n"), SI("a!COMMAND")},
        {SI("a UID\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a UID NOOP\r\n"), SI("a!COMMAND")},
        {SI("a UID UID FETCH 1 UID\r\n"), SI("a!COMMAND")},
        {SI("+ NOOP\r\n"), SI("!TAG")},
        {SI("* NOOP\r\n"), SI("!TAG")},
        {SI(" NOOP\r\n"), SI("!TAG")},
        {SI("a(b NOOP\r\n"), SI("!TAG")},
        {SI("\r\n"), SI("!TAG")},
        {SI(""), SI("!TAG")},
        {SI("a LOGIN u p\r\n"), SI("a!STATE")},
        {SI("a STARTTLS\r\n"), SI("a!STATE")},
        {SI("a AUTHENTICATE \x01\r\n"), SI("a!STATE")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

static void before_login(void **state)
{
    static const struct test_case cases[] = {
        {SI("a STARTTLS\r\n"), SI("a STARTTLS")},
        {SI("a STARTTLS now\r\n"), SI("a!TRAILING")},
        {SI("a LOGIN ann pw\r\n"), SI("a LOGIN [ann] [pw]")},
        {SI("a LOGIN \"a\\\"n\\\\n\" \"\"\r\n"), SI("a LOGIN [a\"n\\n] []")},
        {SI("a LOGIN {3}\r\nann {4+}\r\n\xc3\xa9 \r\r\n"),
            SI("a LOGIN [ann] [\xc3\xa9 \r]")},
        {SI("a LOGIN a]b+c p\r\n"), SI("a LOGIN [a]b+c] [p]")},
        {SI("a LOGIN ann\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a LOGIN\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a LOGIN ann \r\n"), SI("a!NO_ARGUMENT")},
        {SI("a LOGIN ann pw x\r\n"), SI("a!TRAILING")},
        {SI("a LOGIN ann  pw\r\n"), SI("a!STRING")},
        {SI("a LOGIN an\"n pw\r\n"), SI("a!ARGUMENT")},
        {SI("a LOGIN \"ann pw\r\n"), SI("a!STRING")},
        {SI("a LOGIN \"a\\nn\" pw\r\n"), SI("a!STRING")},
        {SI("a LOGIN {3}\r\na\0n pw\r\n"), SI("a!STRING")},
        {SI("a LOGIN {}\r\nx pw\r\n"), SI("a!LITERAL")},
        {SI("a LOGIN {-1}\r\n pw\r\n"), SI("a!LITERAL")},
        {SI("a LOGIN {9}\r\nann pw\r\n"), SI("a!LITERAL")},
        {SI("a LOGIN {1e9}\r\nann pw\r\n"), SI("a!LITERAL")},
        {SI("a LOGIN {99999999999999999999}\r\nann pw\r\n"), SI("a!LITERAL")},
        {SI("a LOGIN (a) pw\r\n"), SI("a!STRING")},
        {SI("a AUTHENTICATE PLAIN\r\n"), SI("a AUTHENTICATE [PLAIN]")},
        {SI("a AUTHENTICATE PLAIN AGFubgBwdw==\r\n"),
            SI("a AUTHENTICATE [PLAIN] [AGFubgBwdw==]")},
        {SI("a AUTHENTICATE EXTERNAL =\r\n"), SI("a AUTHENTICATE [EXTERNAL] []")},
        {SI("a AUTHENTICATE PLAIN \r\n"), SI("a!BASE64")},
        {SI("a AUTHENTICATE PLAIN abc\r\n"), SI("a!BASE64")},
        {SI("a AUTHENTICATE PLAIN !!!!\r\n"), SI("a!BASE64")},
        {SI("a AUTHENTICATE PLAIN abcd efgh\r\n"), SI("a!TRAILING")},
        {SI("a AUTHENTICATE\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a AUTHENTICATE (\r\n"), SI("a!ARGUMENT")},
        {SI("a SELECT INBOX\r\n"), SI("a!STATE")},
        {SI("a APPEND INBOX {5}\r\n"), SI("a!STATE")},
        {SI("a SEARCH ((((\r\n"), SI("a!STATE")},
        {SI("a IDLE\r\n"), SI("a!STATE")},
        {SI("a NOOP\r\n"), SI("a NOOP")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_START);
}

static void selecting_comes_first(void **state)
{
    static const struct test_case cases[] = {
        {SI("a FETCH 1 UID\r\n"), SI("a!STATE")},
        {SI("a UID EXPUNGE 1\r\n"), SI("a!STATE")},
        {SI("a CLOSE\r\n"), SI("a!STATE")},
        {SI("a LOGIN u p\r\n"), SI("a!STATE")},
        {SI("a SELECT x\r\n"), SI("a SELECT [x]")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_USER);
}

static void id_and_enable(void **state)
{
    static const struct test_case cases[] = {
        {SI("a ID NIL\r\n"), SI("a ID")},
        {SI("a ID nil\r\n"), SI("a ID")},
        {SI("a ID ()\r\n"), SI("a ID")},
        {SI("a ID (\"name\" \"sendmail\" \"version\" NIL)\r\n"),
            SI("a ID [name] [sendmail] [version] -")},
        {SI("a ID (\"name\" {3}\r\na\r\n)\r\n"), SI("a ID [name] [a\r\n]")},
        {SI("a ID (\"name\")\r\n"), SI("a!ARGUMENT")},
        {SI("a ID (name \"x\")\r\n"), SI("a!STRING")},
        {SI("a ID (\"012345678901234567890123456789x\" \"v\")\r\n"), SI("a!ARGUMENT")},
        {SI("a ID ((((((((\r\n"), SI("a!STRING")},
        {SI("a ID x\r\n"), SI("a!ARGUMENT")},
        {SI("a ID\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a ENABLE CONDSTORE X-GOOD]\r\n"), SI("a!TRAILING")},
        {SI("a ENABLE CONDSTORE X-GOOD\r\n"), SI("a ENABLE [CONDSTORE] [X-GOOD]")},
        {SI("a ENABLE\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a ENABLE \r\n"), SI("a!ARGUMENT")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_USER);
}

static void mailboxes(void **state)
{
    static const struct test_case cases[] = {
        {SI("a SELECT INBOX\r\n"), SI("a SELECT [INBOX]")},
        {SI("a EXAMINE \"iNbOx\"\r\n"), SI("a EXAMINE [INBOX]")},
        {SI("a EXAMINE {5}\r\ninbox\r\n"), SI("a EXAMINE [INBOX]")},
        {SI("a DELETE inbox/a\r\n"), SI("a DELETE [INBOX/a]")},
        {SI("a DELETE inboxes\r\n"), SI("a DELETE [inboxes]")},
        {SI("a SUBSCRIBE \"a b\"\r\n"), SI("a SUBSCRIBE [a b]")},
        {SI("a UNSUBSCRIBE &AOk-t&AOk-\r\n"), SI("a UNSUBSCRIBE [\xc3\xa9t\xc3\xa9]")},
        {SI("a SELECT a&-b\r\n"), SI("a SELECT [a&b]")},
        {SI("a SELECT \"\\\\\"\r\n"), SI("a SELECT [\\]")},
        {SI("a SELECT ..\r\n"), SI("a!NAME")},
        {SI("a SELECT a/../b\r\n"), SI("a!NAME")},
        {SI("a SELECT /etc/passwd\r\n"), SI("a!NAME")},
        {SI("a SELECT a//b\r\n"), SI("a!NAME")},
        {SI("a SELECT a/\r\n"), SI("a!NAME")},
        {SI("a SELECT \"\"\r\n"), SI("a!NAME")},
        {SI("a SELECT \"a\x01\"\r\n"), SI("a!NAME")},
        {SI("a SELECT \"a\x7f\"\r\n"), SI("a!NAME")},
        {SI("a SELECT {2}\r\n\xc3\xa9\r\n"), SI("a!NAME")},
        {SI("a SELECT {19}\r\nx\r\n* BYE injected\r\n\r\n"), SI("a!NAME")},
        {SI("a CREATE {19}\r\nsp\r\n* BYE injected\r\r\n"), SI("a!NAME")},
        {SI("a SELECT {3}\r\na\0b\r\n"), SI("a!STRING")},
        {SI("a SELECT INBOX (CONDSTORE)\r\n"), SI("a!TRAILING")},
        {SI("a SELECT\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SELECT *\r\n"), SI("a!STRING")},
        {SI("a RENAME a b\r\n"), SI("a RENAME [a] [b]")},
        {SI("a RENAME a\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a RENAME a b c\r\n"), SI("a!TRAILING")},
        {SI("a CREATE a/b\r\n"), SI("a CREATE [a/b]")},
        {SI("a CREATE a/b/\r\n"), SI("a CREATE [a/b]")},
        {SI("a CREATE a//\r\n"), SI("a!NAME")},
        {SI("a CREATE /\r\n"), SI("a!NAME")},
        {SI("a CREATE a (USE (\\Sent))\r\n"), SI("a CREATE [a] [\\Sent]")},
        {SI("a CREATE a (use (\\drafts \\TRASH))\r\n"),
            SI("a CREATE [a] [\\Drafts] several")},
        {SI("a CREATE a (USE (\\All \\All))\r\n"), SI("a CREATE [a] [\\All]")},
        {SI("a CREATE a (USE ())\r\n"), SI("a CREATE [a]")},
        {SI("a CREATE a (USE (\\Important))\r\n"), SI("a!USE")},
        {SI("a CREATE a (USE \\Sent)\r\n"), SI("a!ARGUMENT")},
        {SI("a CREATE a (USE (Sent))\r\n"), SI("a!ARGUMENT")},
        {SI("a CREATE a (X 1)\r\n"), SI("a!ARGUMENT")},
        {SI("a CREATE a ()\r\n"), SI("a!ARGUMENT")},
        {SI("a CREATE a (USE (\\Sent)\r\n"), SI("a!ARGUMENT")},
        {SI("a CREATE a b\r\n"), SI("a!ARGUMENT")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_USER);
}

static void status(void **state)
{
    static const struct test_case cases[] = {
        {SI("a STATUS blurdybloop (UIDNEXT MESSAGES)\r\n"),
            SI("a STATUS [blurdybloop] 5")},
        {SI("a STATUS x (messages recent uidnext uidvalidity unseen)\r\n"),
            SI("a STATUS [x] 31")},
        {SI("a STATUS x ()\r\n"), SI("a!STATUS_ITEM")},
        {SI("a STATUS x (SIZE)\r\n"), SI("a!STATUS_ITEM")},
        {SI("a STATUS x (RECENT )\r\n"), SI("a!STATUS_ITEM")},
        {SI("a STATUS x RECENT\r\n"), SI("a!STATUS_ITEM")},
        {SI("a STATUS x\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a STATUS x (RECENT\r\n"), SI("a!STATUS_ITEM")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_USER);
}

static void lists(void **state)
{
    static const struct test_case cases[] = {
        {SI("a LIST \"\" *\r\n"), SI("a LIST [] [*]")},
        {SI("a LIST \"\" \"\"\r\n"), SI("a LIST [] []")},
        {SI("a LIST ~/Mail/ %\r\n"), SI("a LIST [~/Mail/] [%]")},
        {SI("a LIST #news. comp.m%l.*\r\n"), SI("a LIST [#news.] [comp.m%l.*]")},
        {SI("a LIST \"\" {3+}\r\na*b\r\n"), SI("a LIST [] [a*b]")},
        {SI("a LSUB \"#news.\" \"comp.mail.*\"\r\n"),
            SI("a LSUB [#news.] [comp.mail.*]")},
        {SI("a LIST () \"\" *\r\n"), SI("a LIST extended [] [*]")},
        {SI("a LIST (SPECIAL-USE) \"\" *\r\n"), SI("a LIST extended use [] [*] use")},
        {SI("a LIST \"\" % RETURN (SPECIAL-USE)\r\n"), SI("a LIST extended [] [%] use")},
        {SI("a LIST \"\" % RETURN (CHILDREN SUBSCRIBED)\r\n"),
            SI("a LIST extended [] [%] sub children")},
        {SI("a LIST \"\" % return ()\r\n"), SI("a LIST extended [] [%]")},
        {SI("a LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) \"\" * RETURN (CHILDREN)\r\n"),
            SI("a LIST extended sub remote recursive [] [*] sub children")},
        {SI("a LIST \"\" (\"INBOX\" Drafts Sent/%)\r\n"),
            SI("a LIST extended [] [INBOX] [Drafts] [Sent/%]")},
        {SI("a LIST (RECURSIVEMATCH) \"\" *\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST (REMOTE RECURSIVEMATCH) \"\" *\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST (X-FOO) \"\" *\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST (CHILDREN) \"\" *\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST \"\" * RETURN (REMOTE)\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST \"\" * RETURN\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a LIST \"\" * FOO ()\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST \"\" ()\r\n"), SI("a!STRING")},
        {SI("a LIST \"\" (a\r\n"), SI("a!PATTERN")},
        {SI("a LIST \"\" ((((((((((((\r\n"), SI("a!STRING")},
        {SI("a LIST ((((((((((((\r\n"), SI("a!LIST_OPTION")},
        {SI("a LIST \"\"\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a LIST * *\r\n"), SI("a!STRING")},
        {SI("a LSUB () \"\" *\r\n"), SI("a!STRING")},
        {SI("a LSUB \"\" (a b)\r\n"), SI("a!PATTERN")},
        {SI("a LSUB \"\" * RETURN ()\r\n"), SI("a!TRAILING")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_USER);
}

static void appends(void **state)
{
    static const struct test_case cases[] = {
        {SI("A003 APPEND saved-messages (\\Seen) {310}\r\n"),
            SI("A003 APPEND [saved-messages] (\\Seen) 310")},
        {SI("a APPEND inbox {0}\r\n"), SI("a APPEND [INBOX] () 0")},
        {SI("a APPEND x () {310+}\r\n"), SI("a APPEND [x] () 310")},
        {SI("a APPEND x \"17-Jul-1996 02:44:25 -0700\" {9}\r\n"),
            SI("a APPEND [x] () 837596665 -420 9")},
        {SI("a APPEND x \" 7-feb-1994 00:00:00 +0000\" {9}\r\n"),
            SI("a APPEND [x] () 760579200 0 9")},
        {SI("a APPEND x \"29-Feb-2000 23:59:60 +0530\" {9}\r\n"),
            SI("a APPEND [x] () 951849000 330 9")},
        {SI("a APPEND {1+}\r\nx (\\Seen $Fwd \\draft) \"01-Jan-1970 00:00:01 +0000\" "
            "{9}\r\n"),
            SI("a APPEND [x] (\\Seen \\Draft $Fwd) 1 0 9")},
        {SI("a APPEND x \"99-Zzz-9999 99:99:99 +9999\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"31-Jun-2001 00:00:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"29-Feb-1900 00:00:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"00-Jan-2001 00:00:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"1-Jan-2001 00:00:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"01-Jan-2001 24:00:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"01-Jan-2001 00:60:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"01-Jan-2001 00:00:61 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"01-Jan-2001 00:00:00 0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"01-Jan-2001 00:00:00 +0060\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x \"01-Jan-01 00:00:00 +0000\" {3}\r\n"), SI("a!DATE")},
        {SI("a APPEND x (\\Recent) {3}\r\n"), SI("a!FLAG")},
        {SI("a APPEND x \\Seen {3}\r\n"), SI("a!LITERAL")},
        {SI("a APPEND .. {3}\r\n"), SI("a!NAME")},
        {SI("a APPEND x hello\r\n"), SI("a!LITERAL")},
        {SI("a APPEND x \"hello\"\r\n"), SI("a!DATE")},
        {SI("a APPEND x\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a APPEND\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a APPEND x {3}\r\nabc\r\n"), SI("a!TRAILING")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_USER);
}

static void stores(void **state)
{
    static const struct test_case cases[] = {
        {SI("A003 STORE 2:4 +FLAGS (\\Deleted)\r\n"),
            SI("A003 STORE 2:4 add (\\Deleted)")},
        {SI("a UID STORE 1 -flags.silent \\Seen \\answered kw\r\n"),
            SI("a UID STORE 1 remove silent (\\Answered \\Seen kw)")},
        {SI("a STORE 1 FLAGS ()\r\n"), SI("a STORE 1 set ()")},
        {SI("a STORE 1 FLAGS.SILENT (\\Flagged)\r\n"),
            SI("a STORE 1 set silent (\\Flagged)")},
        {SI("a STORE 1 FLAGS\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a STORE 1 FLAGS \r\n"), SI("a!FLAG")},
        {SI("a STORE 1 +FLAGS (\\Recent)\r\n"), SI("a!FLAG")},
        {SI("a STORE 1 +FLAGS (\\Evil)\r\n"), SI("a!FLAG")},
        {SI("a STORE 1 +FLAGS (\\)\r\n"), SI("a!FLAG")},
        {SI("a STORE 1 +FLAGS (a b\r\n"), SI("a!FLAG")},
        {SI("a STORE 1 +FLAGS a]b\r\n"), SI("a!TRAILING")},
        {SI("a STORE 1 *FLAGS a\r\n"), SI("a!STORE_ITEM")},
        {SI("a STORE 1 +FLAG a\r\n"), SI("a!STORE_ITEM")},
        {SI("a STORE 1 +-FLAGS a\r\n"), SI("a!STORE_ITEM")},
        {SI("a STORE 0 FLAGS a\r\n"), SI("a!SET")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

static void copies_and_expunges(void **state)
{
    static const struct test_case cases[] = {
        {SI("a COPY 2:4 MEETING\r\n"), SI("a COPY 2:4 [MEETING]")},
        {SI("a UID COPY *:4,7 inbox\r\n"), SI("a UID COPY *:4,7 [INBOX]")},
        {SI("a UID MOVE 42:69 foo\r\n"), SI("a UID MOVE 42:69 [foo]")},
        {SI("a MOVE 1 {3}\r\na b\r\n"), SI("a MOVE 1 [a b]")},
        {SI("a UID EXPUNGE 3000:3002\r\n"), SI("a UID EXPUNGE 3000:3002")},
        {SI("a EXPUNGE 1\r\n"), SI("a!TRAILING")},
        {SI("a UID EXPUNGE\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a COPY 1\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a COPY x y\r\n"), SI("a!SET")},
        {SI("a COPY 1 a b\r\n"), SI("a!TRAILING")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

static void fetches(void **state)
{
    static const struct test_case cases[] = {
        {SI("A654 FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])\r\n"),
            SI("A654 FETCH 2:4 FLAGS BODY[HEADER.FIELDS (DATE FROM)] seen")},
        {SI("a FETCH 1 FAST\r\n"), SI("a FETCH 1 FLAGS INTERNALDATE RFC822.SIZE")},
        {SI("a FETCH 1 all\r\n"),
            SI("a FETCH 1 FLAGS INTERNALDATE RFC822.SIZE ENVELOPE")},
        {SI("a FETCH 1 FULL\r\n"),
            SI("a FETCH 1 FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY")},
        {SI("a UID FETCH 1:* FLAGS\r\n"), SI("a UID FETCH 1:* UID FLAGS")},
        {SI("a UID FETCH 1:* (UID FLAGS)\r\n"), SI("a UID FETCH 1:* UID FLAGS")},
        {SI("a FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)\r\n"),
            SI("a FETCH 1 RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE seen")},
        {SI("a FETCH 1 RFC822.HEADER\r\n"), SI("a FETCH 1 RFC822.HEADER")},
        {SI("a FETCH 1 (ENVELOPE INTERNALDATE BODY BODYSTRUCTURE)\r\n"),
            SI("a FETCH 1 ENVELOPE INTERNALDATE BODY BODYSTRUCTURE")},
        {SI("a FETCH 1 BODY[]\r\n"), SI("a FETCH 1 BODY[] seen")},
        {SI("a FETCH 1 body.peek[]<0.1>\r\n"), SI("a FETCH 1 BODY[]<0>+1(peek)")},
        {SI("a FETCH 1 BODY[TEXT]<4294967295.4294967295>\r\n"),
            SI("a FETCH 1 BODY[TEXT]<4294967295>+4294967295 seen")},
        {SI("a FETCH 1 BODY.PEEK[1.2.3]\r\n"), SI("a FETCH 1 BODY[1.2.3](peek)")},
        {SI("a FETCH 1 BODY.PEEK[1.2.header.fields.not (a {1}\r\nb \"c\")]<0.100>\r\n"),
            SI("a FETCH 1 BODY[1.2.HEADER.FIELDS.NOT (a b c)]<0>+100(peek)")},
        {SI("a FETCH 1 (BODY.PEEK[4.MIME] BODY.PEEK[4.HEADER] BODY.PEEK[4.TEXT])\r\n"),
            SI("a FETCH 1 BODY[4.MIME](peek) BODY[4.HEADER](peek) BODY[4.TEXT](peek)")},
        {SI("a FETCH 1 BODY.PEEK\r\n"), SI("a!FETCH_ITEM")},
        {SI("a FETCH 1 (FAST)\r\n"), SI("a!FETCH_ITEM")},
        {SI("a FETCH 1 ()\r\n"), SI("a!FETCH_ITEM")},
        {SI("a FETCH 1 (FLAGS UID\r\n"), SI("a!FETCH_ITEM")},
        {SI("a FETCH 1 FLAGS UID\r\n"), SI("a!TRAILING")},
        {SI("a FETCH 1 ((((((((\r\n"), SI("a!FETCH_ITEM")},
        {SI("a FETCH 1 BINARY[1]\r\n"), SI("a!FETCH_ITEM")},
        {SI("a FETCH 1\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a FETCH\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a FETCH 0 UID\r\n"), SI("a!SET")},
        {SI("a FETCH 4294967296 UID\r\n"), SI("a!SET")},
        {SI("a FETCH -1 UID\r\n"), SI("a!SET")},
        {SI("a FETCH a UID\r\n"), SI("a!SET")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

static void sections(void **state)
{
    static const struct test_case cases[] = {
        {SI("a FETCH 1 BODY[HEADER.FIELDS (a(b)]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS (\"a(b\")]\r\n"),
            SI("a FETCH 1 BODY[HEADER.FIELDS (\"a(b\")] seen")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS (\"a b\")]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS (a:)]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS (\"\")]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS ({3}\r\na\r\n)]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS ()]\r\n"), SI("a!STRING")},
        {SI("a FETCH 1 BODY[HEADER.FIELDS]\r\n"), SI("a!ARGUMENT")},
        {SI("a FETCH 1 BODY[MIME]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[1.HEADERX]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[0]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[-1]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[1.]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[.1]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[1..2]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[1TEXT]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[4294967296]\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[\r\n"), SI("a!SECTION")},
        {SI("a FETCH 1 BODY[]<0.0>\r\n"), SI("a!PARTIAL")},
        {SI("a FETCH 1 BODY[]<5>\r\n"), SI("a!PARTIAL")},
        {SI("a FETCH 1 BODY[]<-1.5>\r\n"), SI("a!PARTIAL")},
        {SI("a FETCH 1 BODY[]<18446744073709551615.2>\r\n"), SI("a!PARTIAL")},
        {SI("a FETCH 1 BODY[]<0.4294967296>\r\n"), SI("a!PARTIAL")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

static void searches(void **state)
{
    static const struct test_case cases[] = {
        {SI("A282 SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"\r\n"),
            SI("A282 SEARCH and(flag \\Flagged since 8797 not(header [FROM] [Smith]))")},
        {SI("A283 SEARCH TEXT \"string not in mailbox\"\r\n"),
            SI("A283 SEARCH and(text [string not in mailbox])")},
        {SI("A284 SEARCH CHARSET UTF-8 TEXT {6}\r\n\xd0\x96\xd0\x96\xd0\x96\r\n"),
            SI("A284 SEARCH and(text [\xd0\x96\xd0\x96\xd0\x96])")},
        {SI("a UID SEARCH charset us-ascii ALL\r\n"), SI("a UID SEARCH and(all)")},
        {SI("a SEARCH ANSWERED DELETED DRAFT FLAGGED NEW OLD RECENT SEEN\r\n"),
            SI("a SEARCH and(flag \\Answered flag \\Deleted flag \\Draft flag \\Flagged "
               "new !flag \\Recent flag \\Recent flag \\Seen)")},
        {SI("a SEARCH unanswered UNDELETED UNDRAFT UNFLAGGED UNSEEN UNKEYWORD k\r\n"),
            SI("a SEARCH and(!flag \\Answered !flag \\Deleted !flag \\Draft "
               "!flag \\Flagged !flag \\Seen !keyword [k])")},
        {SI("a SEARCH BCC a CC b FROM c SUBJECT d TO e BODY f HEADER X-G \"\"\r\n"),
            SI("a SEARCH and(header [BCC] [a] header [CC] [b] header [FROM] [c] "
               "header [SUBJECT] [d] header [TO] [e] body [f] header [X-G] [])")},
        {SI("a SEARCH BEFORE 1-Jan-1970 ON \"02-jan-1970\" SINCE 31-Dec-1969\r\n"),
            SI("a SEARCH and(before 0 on 1 since -1)")},
        {SI("a SEARCH SENTBEFORE 1-Jan-0000 SENTON 31-Dec-9999 SENTSINCE "
            "29-Feb-2000\r\n"),
            SI("a SEARCH and(sentbefore -719528 senton 2932896 sentsince 11016)")},
        {SI("a SEARCH LARGER 0 SMALLER 4294967295 KEYWORD $Junk\r\n"),
            SI("a SEARCH and(larger 0 smaller 4294967295 keyword [$Junk])")},
        {SI("a SEARCH 1:3,* UID 7:*\r\n"), SI("a SEARCH and(seq 1:3,* uid 7:*)")},
        {SI("a SEARCH (SEEN)\r\n"), SI("a SEARCH and(and(flag \\Seen))")},
        {SI("a SEARCH OR SEEN DRAFT ALL\r\n"),
            SI("a SEARCH and(or(flag \\Seen flag \\Draft) all)")},
        {SI("a SEARCH OR NOT SEEN OR (1 NEW) NOT NOT 2 ALL\r\n"),
            SI("a SEARCH and(or(not(flag \\Seen) or(and(seq 1 new) not(not(seq 2)))) "
               "all)")},
        {SI("a SEARCH (OR (1 2) (3)) NOT (4) (5 (6))\r\n"),
            SI("a SEARCH and(and(or(and(seq 1 seq 2) and(seq 3))) not(and(seq 4)) "
               "and(seq 5 and(seq 6)))")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

static void searches_that_are_none(void **state)
{
    static const struct test_case cases[] = {
        {SI("a SEARCH CHARSET X-NO-SUCH SUBJECT x\r\n"), SI("a!BAD_CHARSET")},
        {SI("a SEARCH CHARSET UTF-8 SUBJECT {3}\r\n\xff\xfe\xfd\r\n"),
            SI("a!CHARSET_TEXT")},
        {SI("a SEARCH CHARSET UTF-8\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH CHARSET\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH ALL CHARSET UTF-8\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH \r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH ALL \r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH ()\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH (ALL\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH ALL)\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH (ALL))\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH ( ALL)\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH (ALL )\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH (ALL)ALL\r\n"), SI("a!TRAILING")},
        {SI("a SEARCH NOT\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH NOT )\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH (NOT)\r\n"), SI("a!ARGUMENT")},
        {SI("a SEARCH (OR ALL)\r\n"), SI("a!ARGUMENT")},
        {SI("a SEARCH OR ALL\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH OR (ALL\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH FROM\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH HEADER \"a:b\" x\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH HEADER x\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH KEYWORD \\Seen\r\n"), SI("a!ARGUMENT")},
        {SI("a SEARCH SINCE 31-Feb-1994\r\n"), SI("a!DATE")},
        {SI("a SEARCH SINCE 1-Feb-94\r\n"), SI("a!DATE")},
        {SI("a SEARCH SINCE \"1-Feb-1994\r\n"), SI("a!DATE")},
        {SI("a SEARCH SINCE 1-Fob-1994\r\n"), SI("a!DATE")},
        {SI("a SEARCH LARGER -1\r\n"), SI("a!NUMBER")},
        {SI("a SEARCH LARGER 4294967296\r\n"), SI("a!NUMBER")},
        {SI("a SEARCH UID\r\n"), SI("a!NO_ARGUMENT")},
        {SI("a SEARCH UID 0\r\n"), SI("a!SET")},
        {SI("a SEARCH 1:\r\n"), SI("a!SET")},
        {SI("a SEARCH FROBNICATE\r\n"), SI("a!SEARCH_KEY")},
        {SI("a SEARCH RETURN (MIN) ALL\r\n"), SI("a!SEARCH_KEY")},
    };

    (void)state;
    RUN(cases, IMAP_STATE_SELECTED);
}

/* --- much of everything ------------------------------------------------------------- */

enum { MUCH = 1 << 16 };

/* Parses `head`, then `count` times `piece`, then `tail`. */
static enum imap_error parse_within(const struct imap_parse_limits *limits,
    const char *head, const char *piece, unsigned count, const char *tail,
    size_t arena_max)
{
    char *text = test_malloc(MUCH * 4);
    struct out o = out_of(text, MUCH * 4);
    struct arena arena = arena_of(arena_max);
    struct imap_cmd cmd;
    enum imap_error error;

    out_str(&o, head);
    while (count--)
        out_str(&o, piece);
    out_str(&o, tail);
    out_str(&o, "\r\n");
    assert_false(o.full);
    error = imap_parse(out_slice(&o), IMAP_STATE_SELECTED, limits, &arena, &cmd);
    arena_reset(&arena);
    test_free(text);
    return error;
}

static enum imap_error parse_many(const char *head, const char *piece, unsigned count,
    const char *tail, size_t arena_max)
{
    return parse_within(&imap_parse_defaults, head, piece, count, tail, arena_max);
}

/* One below each limit of the defaults, and the hard bounds. */
static void limits_are_those_given(void **state)
{
    const struct imap_parse_limits small = {
        .depth = 3, .ranges = 5, .name = {.octets = 10, .levels = 2}};
    const struct imap_parse_limits large = {.depth = IMAP_DEPTH_MAX,
        .ranges = IMAP_SET_RANGES_MAX,
        .name = {.octets = IMAP_NAME_MAX, .levels = IMAP_LEVELS_MAX}};
    const struct {
        const struct imap_parse_limits *limits;
        const char *head, *piece;
        unsigned most;
        const char *tail;
        enum imap_error error;
    } cases[] = {
        {&small, "a SEARCH ", "NOT ", 3, "ALL", IMAP_ERROR_DEPTH},
        {&large, "a SEARCH ", "NOT ", IMAP_DEPTH_MAX, "ALL", IMAP_ERROR_DEPTH},
        {&small, "a FETCH 1", ",7", 4, " UID", IMAP_ERROR_SET_LONG},
        {&large, "a FETCH 1", ",7", IMAP_SET_RANGES_MAX - 1, " UID", IMAP_ERROR_SET_LONG},
        {&small, "a SEARCH UID 1", ",7", 4, "", IMAP_ERROR_SET_LONG},
        {&small, "a SELECT ", "x", 10, "", IMAP_ERROR_NAME},
        {&small, "a SELECT x", "/x", 1, "", IMAP_ERROR_NAME},
        {&small, "a RENAME x ", "x", 10, "", IMAP_ERROR_NAME},
        {&small, "a SELECT ", "&-", 5, "", IMAP_ERROR_NAME}, /* as it is sent */
        {&large, "a CREATE ", "x", IMAP_NAME_MAX, "", IMAP_ERROR_NAME},
        {&large, "a CREATE x", "/x", IMAP_LEVELS_MAX - 1, "", IMAP_ERROR_NAME},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned over = 0; over < 2; over++)
            assert_int_equal(parse_within(cases[i].limits, cases[i].head, cases[i].piece,
                                 cases[i].most + over, cases[i].tail, IMAP_ARENA_BYTES),
                over ? cases[i].error : IMAP_ERROR_NONE);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(parse_many("a SEARCH ", "(", 50, "ALL", 1 << 20),
        IMAP_ERROR_SEARCH_KEY); /* unclosed, but not too deep */
    assert_int_equal(parse_many("a SEARCH ", "(", 51, "ALL", 1 << 20), IMAP_ERROR_DEPTH);
    assert_int_equal(parse_many("a SEARCH ", "(", 100000, "", 1 << 20), IMAP_ERROR_DEPTH);
    assert_int_equal(
        parse_many("a SEARCH ", "NOT ", 50, "ALL", 1 << 20), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a SEARCH ", "NOT ", 50000, "ALL", 1 << 20), IMAP_ERROR_DEPTH);
    assert_int_equal(
        parse_many("a SEARCH ", "OR ALL ", 20000, "ALL", 1 << 20), IMAP_ERROR_DEPTH);
}

static void counts_are_bounded(void **state)
{
    size_t arena = IMAP_ARENA_BYTES;

    (void)state;
    assert_int_equal(parse_many("a SEARCH ", "ALL ", 998, "ALL", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a SEARCH ", "ALL ", 999, "ALL", arena), IMAP_ERROR_LIMIT);
    assert_int_equal(
        parse_many("a FETCH 1 (", "BODY.PEEK[] ", 127, "UID)", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a FETCH 1 (", "BODY.PEEK[] ", 128, "UID)", arena), IMAP_ERROR_LIMIT);
    assert_int_equal(
        parse_many("a FETCH 1 BODY[", "1.", 99, "1]", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a FETCH 1 BODY[", "1.", 2000, "1]", arena), IMAP_ERROR_SECTION);
    assert_int_equal(
        parse_many("a FETCH 1 BODY[HEADER.FIELDS (", "a ", 999, "a)]", arena),
        IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a FETCH 1 BODY[HEADER.FIELDS (", "a ", 1000, "a)]", arena),
        IMAP_ERROR_LIMIT);
    assert_int_equal(
        parse_many("a STORE 1 FLAGS (", "k ", 255, "k)", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a STORE 1 FLAGS (", "k ", 5000, "k)", arena), IMAP_ERROR_LIMIT);
    assert_int_equal(
        parse_many("a STORE 1 FLAGS ", "k", 128, "", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a STORE 1 FLAGS ", "k", 129, "", arena), IMAP_ERROR_LIMIT);
    assert_int_equal(parse_many("a LIST \"\" (", "a ", 31, "a)", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a LIST \"\" (", "a ", 32, "a)", arena), IMAP_ERROR_LIMIT);
    assert_int_equal(
        parse_many("a FETCH ", "1:*,", 1500, "1 UID", arena), IMAP_ERROR_SET_LONG);
    assert_int_equal(parse_many("a ENABLE", " X", 33, "", arena), IMAP_ERROR_LIMIT);
    assert_int_equal(
        parse_many("a ID (\"a\" \"b\"", " \"c\" NIL", 29, ")", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a ID (\"a\" \"b\"", " \"c\" NIL", 30, ")", arena), IMAP_ERROR_LIMIT);
}

static void id_pairs_have_lengths(void **state)
{
    size_t arena = IMAP_ARENA_BYTES;

    (void)state;
    assert_int_equal(parse_many("a ID (\"", "f", 30, "\" NIL)", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a ID (\"", "f", 31, "\" NIL)", arena), IMAP_ERROR_ARGUMENT);
    assert_int_equal(
        parse_many("a ID (\"f\" \"", "v", 1024, "\")", arena), IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a ID (\"f\" \"", "v", 1025, "\")", arena), IMAP_ERROR_ARGUMENT);
}

static void names_are_bounded(void **state)
{
    size_t arena = IMAP_ARENA_BYTES;

    (void)state;
    assert_int_equal(parse_many("a CREATE ", "n", 512, "", arena), IMAP_ERROR_NONE);
    assert_int_equal(parse_many("a CREATE ", "n", 513, "", arena), IMAP_ERROR_NAME);
    assert_int_equal(parse_many("a CREATE ", "n", 100000, "", arena), IMAP_ERROR_NAME);
    assert_int_equal(parse_many("a CREATE ", "l/", 31, "l", arena), IMAP_ERROR_NONE);
    assert_int_equal(parse_many("a CREATE ", "l/", 32, "l", arena), IMAP_ERROR_NAME);
}

/* What costs most memory for its octets still fits the arena that the header promises. */
static void the_promised_arena_suffices(void **state)
{
    size_t arena = IMAP_ARENA_BYTES;

    (void)state;
    assert_int_equal(
        parse_many("a SEARCH ", "TEXT \"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\" ", 998,
            "ALL", arena),
        IMAP_ERROR_NONE);
    assert_int_equal(
        parse_many("a SEARCH ",
            "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1 ", 970,
            "ALL", arena),
        IMAP_ERROR_NONE);
    assert_int_equal(parse_many("a FETCH 1 (",
                         "BODY[1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1] ", 127,
                         "UID)", arena),
        IMAP_ERROR_NONE);
}

/* With too little memory every command is refused with LIMIT, and nothing else happens.
 */
static void a_full_arena_is_a_reply(void **state)
{
    static const struct slice commands[] = {
        SI("a SEARCH OR (1,2,3 TEXT \"\\\"\") NOT UID 4 FROM \"\\\\\"\r\n"),
        SI("a FETCH 1,2 (FLAGS BODY[1.2.HEADER.FIELDS (A \"\\\"\")])\r\n"),
        SI("a UID FETCH 1 FLAGS\r\n"),
        SI("a STORE 1:2 +FLAGS (\\Seen a b c)\r\n"),
        SI("a SELECT &AOk-\r\n"),
        SI("a LIST (SUBSCRIBED) \"\\\"\" (a b \"\\\\\")\r\n"),
        SI("a ID (\"a\" \"b\")\r\n"),
        SI("a ENABLE X Y\r\n"),
        SI("a APPEND \"\\\"\" (a b) {3}\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        for (size_t bytes = 0;; bytes += 16) {
            char text[512];
            struct out o = out_of(text, sizeof text);

            dump_parse(&o, commands[i], IMAP_STATE_SELECTED, bytes);
            if (!slice_eq(out_slice(&o), S("a!LIMIT"))) {
                assert_true(bytes > 0);
                assert_int_equal(slice_find(out_slice(&o), '!'), o.len);
                break;
            }
            assert_true(bytes < 4096);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(front_of_a_command),
        cmocka_unit_test(before_login),
        cmocka_unit_test(selecting_comes_first),
        cmocka_unit_test(id_and_enable),
        cmocka_unit_test(mailboxes),
        cmocka_unit_test(status),
        cmocka_unit_test(lists),
        cmocka_unit_test(appends),
        cmocka_unit_test(stores),
        cmocka_unit_test(copies_and_expunges),
        cmocka_unit_test(fetches),
        cmocka_unit_test(sections),
        cmocka_unit_test(searches),
        cmocka_unit_test(searches_that_are_none),
        cmocka_unit_test(limits_are_those_given),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(id_pairs_have_lengths),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(the_promised_arena_suffices),
        cmocka_unit_test(a_full_arena_is_a_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
