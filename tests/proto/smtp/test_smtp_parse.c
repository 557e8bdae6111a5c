#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/smtp/smtp.h"
#include "tests/proto/base/fence.h"

enum {
    ALL = (SMTP_OFFER_AUTH << 1) - 1,
    MX = ALL & ~SMTP_OFFER_AUTH,
    BARE = 0, /* an old server */
};

static const struct smtp_rules mx = {.offers = MX, .message_max = 50 << 20};
static const struct smtp_rules mx_utf8 = {
    .offers = MX, .message_max = 50 << 20, .utf8 = true};
static const struct smtp_rules submission = {.offers = ALL, .message_max = 50 << 20};
static const struct smtp_rules bare = {.offers = BARE, .message_max = 50 << 20};
static const struct smtp_rules lmtp = {
    .offers = MX, .message_max = 50 << 20, .lmtp = true};

/* The line is copied to the end of readable memory; *cmd points there. */
static enum smtp_reply parse(
    struct slice line, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    static struct fence fence;

    if (!fence.page)
        fence = fence_make();
    return smtp_parse(fence_end(&fence, line), rules, cmd);
}

static const struct {
    const struct smtp_rules *rules;
    struct slice line;
    enum smtp_reply reply;
} bad_lines[] = {
    /* Verbs. */
    {&mx, SI(""), SMTP_REPLY_BAD_VERB},
    {&mx, SI(" "), SMTP_REPLY_BAD_VERB},
    {&mx, SI(" NOOP"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("FROBNICATE"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("NOOPX"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("NOO"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("MAIL\tFROM:<a@b.test>"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("\xff\xfe"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("LHLO a.test"), SMTP_REPLY_BAD_VERB},
    {&lmtp, SI("EHLO a.test"), SMTP_REPLY_BAD_VERB},
    {&lmtp, SI("HELO a.test"), SMTP_REPLY_BAD_VERB},
    {&mx, SI("POST / HTTP/1.1"), SMTP_REPLY_FOREIGN},
    {&mx, SI("get / HTTP/1.0"), SMTP_REPLY_FOREIGN},
    {&mx, SI("CONNECT a.test:25 HTTP/1.1"), SMTP_REPLY_FOREIGN},
    {&mx, SI("User-Agent: x"), SMTP_REPLY_FOREIGN},
    {&mx, SI("AUTH PLAIN AGEAYg=="), SMTP_REPLY_NOT_OFFERED},
    {&bare, SI("STARTTLS"), SMTP_REPLY_NOT_OFFERED},
    {&bare, SI("BDAT 5 LAST"), SMTP_REPLY_NOT_OFFERED},
    /* No arguments where none belong, some where some do. */
    {&mx, SI("DATA now"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("RSET 1"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("QUIT now"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("STARTTLS now"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("VRFY"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("EXPN  "), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("HELO"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO "), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO a b"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO a\tb"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO zq\0zqx"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO a\rX-Inj: 1"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO b\xc3\xbc.test"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO <script>"), SMTP_REPLY_BAD_HOST},
    {&mx, SI("EHLO (a)"), SMTP_REPLY_BAD_HOST},
    {&lmtp, SI("LHLO"), SMTP_REPLY_BAD_HOST},
    /* Senders. */
    {&mx, SI("MAIL"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("MAIL FROM"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("MAIL TO:<a@b.test>"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("MAIL FROM :<a@b.test>"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("MAIL FROM:"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a@"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a@b.test"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:a@b.test"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a>"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<postmaster>"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<\"a@b.test\">"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a\0b@client.test>"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<\"a\rX-Inj: 1\"@c.test>"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a@b.test>SIZE=1"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<a@b.test>>"), SMTP_REPLY_BAD_SENDER},
    {&mx, SI("MAIL FROM:<\xc3\xa9@client.test>"), SMTP_REPLY_NOT_ASCII},
    {&mx, SI("MAIL FROM:<a@\xc3\xa9.test>"), SMTP_REPLY_NOT_ASCII},
    {&mx, SI("MAIL FROM:<\xff\xfe@client.test>"), SMTP_REPLY_NOT_ASCII},
    {&mx, SI("MAIL FROM:<\xff\xfe@client.test> SMTPUTF8"), SMTP_REPLY_BAD_UTF8},
    {&mx, SI("MAIL FROM:<@\xff.test:a@b.test> SMTPUTF8"), SMTP_REPLY_BAD_UTF8},
    {&mx, SI("MAIL FROM:<\"\xed\xa0\x80\"@b.test> SMTPUTF8"), SMTP_REPLY_BAD_UTF8},
    {&bare, SI("MAIL FROM:<\xc3\xa9@client.test> SMTPUTF8"), SMTP_REPLY_NO_PARAM},
    /* Parameters of MAIL. */
    {&mx, SI("MAIL FROM:<a@b.test> XYZZY=1"), SMTP_REPLY_NO_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> <c@d.test>"), SMTP_REPLY_NO_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ="), SMTP_REPLY_NO_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> NOTIFY=NEVER"), SMTP_REPLY_NO_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> AUTH=<>"), SMTP_REPLY_NO_PARAM},
    {&bare, SI("MAIL FROM:<a@b.test> SIZE=1"), SMTP_REPLY_NO_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE="), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=-1"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=1e3"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=0x10"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=1 size=1"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=2000000000"), SMTP_REPLY_TOO_BIG},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=52428801"), SMTP_REPLY_TOO_BIG},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=18446744073709551616"), SMTP_REPLY_TOO_BIG},
    {&mx, SI("MAIL FROM:<a@b.test> SIZE=99999999999999999999999999"), SMTP_REPLY_TOO_BIG},
    {&mx, SI("MAIL FROM:<a@b.test> BODY=9BIT"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> BODY="), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> BODY"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SMTPUTF8="), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> SMTPUTF8=1"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> RET=MAYBE"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> RET"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID="), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=a+0Ab"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=a+"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=a+4"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=a+4g"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=a+4a"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=a=b"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("MAIL FROM:<a@b.test> ENVID=\xc3\xa9"), SMTP_REPLY_BAD_PARAM},
    {&submission, SI("MAIL FROM:<a@b.test> AUTH="), SMTP_REPLY_BAD_PARAM},
    {&submission, SI("MAIL FROM:<a@b.test> AUTH=a+00"), SMTP_REPLY_BAD_PARAM},
    /* Recipients. */
    {&mx, SI("RCPT"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("RCPT FROM:<a@b.test>"), SMTP_REPLY_BAD_ARGS},
    {&mx, SI("RCPT TO:"), SMTP_REPLY_BAD_RCPT},
    {&mx, SI("RCPT TO:<>"), SMTP_REPLY_BAD_RCPT},
    {&mx, SI("RCPT TO:<user1@here.test"), SMTP_REPLY_BAD_RCPT},
    {&mx, SI("RCPT TO:<<user1@here.test>>"), SMTP_REPLY_BAD_RCPT},
    {&mx, SI("RCPT TO:<\"\"@here.test>"), SMTP_REPLY_BAD_RCPT},
    {&mx, SI("RCPT TO:<a@b.test> SIZE=1"), SMTP_REPLY_NO_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> NOTIFY=NEVER,SUCCESS"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> NOTIFY=BOGUS"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> NOTIFY="), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> NOTIFY"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> NOTIFY=DELAY,"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> NOTIFY=,DELAY"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=rfc822;a+ZZb"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=nosemicolon"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=;a@b.test"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=rfc822;"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=rfc822;a+0D+0Ab"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=r c;a"), SMTP_REPLY_BAD_PARAM},
    {&mx, SI("RCPT TO:<a@b.test> ORCPT=utf-8;\xc3\xa9@b.test"), SMTP_REPLY_BAD_PARAM},
    {&mx_utf8, SI("RCPT TO:<a@b.test> ORCPT=utf-8;\xff"), SMTP_REPLY_BAD_PARAM},
    {&mx_utf8, SI("RCPT TO:<\xff@b.test>"), SMTP_REPLY_BAD_UTF8},
    /* Chunks: RFC 3030, 2; what is no count ends the connection. */
    {&mx, SI("BDAT"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT LAST"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT -1"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT +5"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT 0x5"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT 5 5"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT 5 LASTX"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT 5 LAST X"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT 18446744073709551621"), SMTP_REPLY_BAD_CHUNK},
    {&mx, SI("BDAT 4294967296 LAST"), SMTP_REPLY_TOO_BIG},
    /* AUTH. */
    {&submission, SI("AUTH"), SMTP_REPLY_BAD_ARGS},
    {&submission, SI("AUTH PLAIN a b"), SMTP_REPLY_BAD_ARGS},
    {&submission, SI("AUTH ABCDEFGHIJKLMNOPQRSTU"), SMTP_REPLY_BAD_ARGS},
};

static void every_bad_line_has_its_reply(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        struct smtp_cmd cmd;
        enum smtp_reply reply = parse(bad_lines[i].line, bad_lines[i].rules, &cmd);

        if (reply != bad_lines[i].reply)
            print_message("%.*s\n", (int)bad_lines[i].line.len, bad_lines[i].line.at);
        assert_int_equal(reply, bad_lines[i].reply);
    }
}

/* The forms of address by which servers have been made to relay. Each is refused here
 * or comes out with the domain that the relay policy has to refuse. */
static void forms_of_address_that_ask_for_relaying(void **state)
{
    static const struct {
        struct slice path;
        enum smtp_reply reply;
        struct slice full;
    } cases[] = {
        {SI("<x@other.test>"), SMTP_REPLY_NONE, SI("x@other.test")},
        {SI("<x%other.test@here.test>"), SMTP_REPLY_NONE, SI("x%other.test@here.test")},
        {SI("<other.test!x>"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("<\"x@other.test\">"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("<\"x@other.test\"@here.test>"), SMTP_REPLY_NONE,
            SI("\"x@other.test\"@here.test")},
        {SI("<x@other.test@here.test>"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("<@here.test:x@other.test>"), SMTP_REPLY_NONE, SI("x@other.test")},
        {SI("<x@[127.0.0.2]>"), SMTP_REPLY_NONE, SI("x@[127.0.0.2]")},
        {SI("<x@[IPv6:::1]>"), SMTP_REPLY_NONE, SI("x@[ipv6:::1]")},
        {SI("<x@other.test.>"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("<\"x@other.test@here.test\">"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("x@other.test"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("<x@here.test@other.test>"), SMTP_REPLY_BAD_RCPT, SI("")},
        {SI("<@other.test:x@here.testx>"), SMTP_REPLY_NONE, SI("x@here.testx")},
        {SI("<x@here.test.other.test>"), SMTP_REPLY_NONE, SI("x@here.test.other.test")},
        {SI("<x@\xe2\x84\xaeother.test>"), SMTP_REPLY_NOT_ASCII, SI("")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[200];
        struct out line = out_of(room, sizeof room);
        struct arena arena = arena_of(4096);
        struct smtp_addr addr;
        struct smtp_cmd cmd;

        out_put(&line, S("RCPT TO:"));
        out_put(&line, cases[i].path);
        assert_int_equal(parse(out_slice(&line), &mx, &cmd), cases[i].reply);
        if (cases[i].reply == SMTP_REPLY_NONE) {
            assert_true(smtp_addr_of(&cmd.path, S("here.test"), '+', &arena, &addr));
            assert_true(slice_eq(addr.full, cases[i].full));
        }
        arena_reset(&arena);
    }
}

static void mail_is_read_with_all_its_parameters(void **state)
{
    struct smtp_cmd cmd;

    (void)state;
    assert_int_equal(
        parse(S("mail from: <J\xc3\xb6rg@B\xc3\xbc.test>  SIZE=52428800 body=8bitmime "
                "SmtpUtf8 RET=hdrs ENVID=QQ+2B314 AUTH=e+3Dmc2@example.com \t"),
            &submission, &cmd),
        SMTP_REPLY_NONE);
    assert_int_equal(cmd.verb, SMTP_VERB_MAIL);
    assert_int_equal(cmd.path.kind, SMTP_PATH_MAILBOX);
    assert_true(slice_eq(cmd.path.local, S("J\xc3\xb6rg")));
    assert_true(slice_eq(cmd.path.domain, S("B\xc3\xbc.test")));
    assert_true(slice_eq(cmd.path.text, S("J\xc3\xb6rg@B\xc3\xbc.test")));
    assert_true(cmd.path.utf8 && cmd.utf8);
    assert_int_equal(cmd.size, 52428800);
    assert_int_equal(cmd.body, SMTP_BODY_8BITMIME);
    assert_int_equal(cmd.ret, SMTP_RET_HDRS);
    assert_true(slice_eq(cmd.envid, S("QQ+2B314")));
    assert_true(slice_eq(cmd.auth, S("e+3Dmc2@example.com")));

    assert_int_equal(parse(S("MAIL FROM:<>"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.path.kind, SMTP_PATH_NULL);
    assert_int_equal(cmd.path.text.len, 0);
    assert_int_equal(cmd.size, 0);
    assert_int_equal(
        parse(S("MAIL FROM:<a@b.test> BODY=BINARYMIME"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.body, SMTP_BODY_BINARYMIME);
    assert_int_equal(
        parse(S("MAIL FROM:<a@b.test> AUTH=<>"), &submission, &cmd), SMTP_REPLY_NONE);
    assert_true(slice_eq(cmd.auth, S("<>")));
}

static void rcpt_is_read_with_all_its_parameters(void **state)
{
    struct smtp_cmd cmd;

    (void)state;
    assert_int_equal(parse(S("RCPT TO:<@a.test,@[192.0.2.1]:\"Joe \\\"\"@b.test> "
                             "NOTIFY=SUCCESS,delay ORCPT=rfc822;Bob+2Bx@example.com"),
                         &mx, &cmd),
        SMTP_REPLY_NONE);
    assert_true(slice_eq(cmd.path.text, S("\"Joe \\\"\"@b.test")));
    assert_true(cmd.path.quoted);
    assert_int_equal(cmd.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
    assert_true(slice_eq(cmd.orcpt, S("rfc822;Bob+2Bx@example.com")));

    assert_int_equal(parse(S("RCPT TO:<Postmaster>"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.path.kind, SMTP_PATH_POSTMASTER);
    assert_int_equal(
        parse(S("RCPT TO:<\xe7\x94\xa8@\xe4\xbe\x8b.test> ORCPT=utf-8;\xe7\x94\xa8@x"),
            &mx_utf8, &cmd),
        SMTP_REPLY_NONE);
    assert_true(cmd.path.utf8);
    assert_int_equal(
        parse(S("RCPT TO:<a@b.test> NOTIFY=NEVER"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.notify, SMTP_NOTIFY_NEVER);
}

static void other_commands_are_read(void **state)
{
    struct smtp_cmd cmd;

    (void)state;
    assert_int_equal(parse(S("EHLO [IPv6:2001:db8::1]"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_true(slice_eq(cmd.arg, S("[IPv6:2001:db8::1]")));
    assert_int_equal(parse(S("helo my_host  "), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.verb, SMTP_VERB_HELO);
    assert_true(slice_eq(cmd.arg, S("my_host")));
    assert_int_equal(parse(S("LHLO a.test"), &lmtp, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(parse(S("BDAT 0"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.size, 0);
    assert_false(cmd.last);
    assert_int_equal(parse(S("bdat 86 last"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(cmd.size, 86);
    assert_true(cmd.last);
    assert_int_equal(parse(S("BDAT 4294967296 LAST"), &mx, &cmd), SMTP_REPLY_TOO_BIG);
    assert_int_equal(cmd.verb, SMTP_VERB_BDAT);
    assert_int_equal(cmd.size, 4294967296U);
    assert_true(cmd.last);
    assert_int_equal(parse(S("VRFY ann smtputf8 "), &mx, &cmd), SMTP_REPLY_NONE);
    assert_true(cmd.utf8 && slice_eq(cmd.arg, S("ann")));
    assert_int_equal(parse(S("EXPN SMTPUTF8"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_true(!cmd.utf8 && slice_eq(cmd.arg, S("SMTPUTF8")));
    assert_int_equal(parse(S("AUTH plain ="), &submission, &cmd), SMTP_REPLY_NONE);
    assert_true(slice_eq(cmd.arg, S("plain")));
    assert_true(cmd.has_initial && slice_eq(cmd.initial, S("=")));
    assert_int_equal(parse(S("AUTH LOGIN "), &submission, &cmd), SMTP_REPLY_NONE);
    assert_false(cmd.has_initial);
    assert_int_equal(parse(S("NOOP whatever \xff"), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(parse(S("DATA "), &mx, &cmd), SMTP_REPLY_NONE);
    assert_int_equal(parse(S("STARTTLS now"), &mx, &cmd), SMTP_REPLY_BAD_ARGS);
    assert_int_equal(cmd.verb, SMTP_VERB_STARTTLS);
}

/* No octet behind the line is read, and no front part of a line is taken for more. */
static void cut_lines_are_lines_of_their_own(void **state)
{
    static const struct slice lines[] = {
        SI("MAIL FROM:<@a.test:\"x\\\"\"@[IPv6:::1]> SIZE=10 BODY=7BIT ENVID=a+41"),
        SI("RCPT TO:<@a,@b:u@c.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+41@b"),
        SI("BDAT 100 LAST"), SI("AUTH PLAIN AGEAYg=="), SI("EHLO [127.0.0.1]")};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct smtp_cmd cmd;

        assert_int_equal(parse(lines[i], &submission, &cmd), SMTP_REPLY_NONE);
        for (size_t n = 0; n < lines[i].len; n++) {
            size_t from = slice_find(lines[i], '>');

            if (parse(slice_of(lines[i].at, n), &submission, &cmd) == SMTP_REPLY_NONE &&
                from < lines[i].len)
                assert_true(n > from);
        }
    }
}

static void commands_have_their_order(void **state)
{
    static const struct {
        enum smtp_verb verb;
        const char *allowed; /* in START READY MAIL RCPT CHUNKS */
    } cases[] = {
        {SMTP_VERB_EHLO, "+++++"},
        {SMTP_VERB_MAIL, "-+---"},
        {SMTP_VERB_RCPT, "--++-"},
        {SMTP_VERB_DATA, "---+-"},
        {SMTP_VERB_BDAT, "---++"},
        {SMTP_VERB_RSET, "+++++"},
        {SMTP_VERB_AUTH, "-+---"},
        {SMTP_VERB_STARTTLS, "+++++"},
        {SMTP_VERB_QUIT, "+++++"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned at = SMTP_START; at <= SMTP_CHUNKS; at++)
            assert_int_equal(smtp_order((enum smtp_state)at, cases[i].verb),
                cases[i].allowed[at] == '+' ? SMTP_REPLY_NONE : SMTP_REPLY_ORDER);
}

static bool is_status_line(struct slice s)
{
    return s.len > 12 && s.at[0] >= '2' && s.at[0] <= '5' && s.at[3] == ' ' &&
        slice_eq(slice_of(s.at + s.len - 2, 2), S("\r\n"));
}

/* RFC 2034, 4: the class of the enhanced code is that of the reply. */
static void replies_are_well_formed(void **state)
{
    (void)state;
    for (unsigned i = SMTP_REPLY_NONE + 1; i <= SMTP_REPLY_NO_PARAM; i++) {
        struct slice text = smtp_reply_text((enum smtp_reply)i);

        assert_true(is_status_line(text));
        assert_int_equal(slice_find(text, '\r'), text.len - 2);
        if (i != SMTP_REPLY_SEND_TEXT)
            assert_true(text.at[4] == text.at[0] && text.at[5] == '.');
        assert_true(text.len <= 512);
    }
    assert_int_equal(smtp_reply_code(SMTP_REPLY_NO_PARAM), 555);
    assert_true(smtp_reply_closes(SMTP_REPLY_FOREIGN));
    assert_true(smtp_reply_closes(SMTP_REPLY_BAD_CHUNK));
    assert_true(smtp_reply_closes(SMTP_REPLY_BYE));
    assert_false(smtp_reply_closes(SMTP_REPLY_LINE_LONG));
    assert_false(smtp_reply_closes(SMTP_REPLY_NONE));
}

static void lines_have_their_limits_and_replies(void **state)
{
    const struct smtp_limits other = {.line = 600, .auth_line = 2000};

    (void)state;
    assert_int_equal(smtp_line_limits(S("NOOP aaa"), false, &smtp_defaults).max, 4096);
    assert_int_equal(smtp_line_limits(S("AUTH"), false, &smtp_defaults).max, 4096);
    assert_int_equal(smtp_line_limits(S("auth PLAIN"), false, &smtp_defaults).max, 12288);
    assert_int_equal(smtp_line_limits(S("AGEA"), true, &smtp_defaults).max, 12288);
    assert_int_equal(smtp_line_limits(S("NOOP"), false, &other).max, 600);
    assert_int_equal(smtp_line_limits(S("AUTH PLAIN"), false, &other).max, 2000);
    assert_int_equal(smtp_line_reply(LINE_DONE), SMTP_REPLY_NONE);
    assert_int_equal(smtp_line_reply(LINE_BARE), SMTP_REPLY_LINE_BARE);
    assert_int_equal(smtp_line_reply(LINE_NUL), SMTP_REPLY_LINE_NUL);
    assert_int_equal(smtp_line_reply(LINE_LONG), SMTP_REPLY_LINE_LONG);
    assert_int_equal(smtp_line_reply(LINE_FLOOD), SMTP_REPLY_FLOOD);
}

static void hello_says_what_is_offered(void **state)
{
    static const struct smtp_rules rules = {
        .offers = SMTP_OFFER_SIZE | SMTP_OFFER_PIPELINING | SMTP_OFFER_AUTH,
        .message_max = 1000};
    static const struct smtp_values values = {.mechanisms = SI("PLAIN LOGIN")};
    static const struct smtp_rules all = {.offers = ALL & ~SMTP_OFFER_AUTH,
        .message_max = 1000,
        .now_s = 1772445600,
        .hold_max_s = 86400};
    static const struct smtp_values limits = {.rcpt_max = 100, .domain_max = 7};
    char room[2048];
    struct out out = out_of(room, sizeof room);

    (void)state;
    smtp_put_greeting(&out, S("mx.here.test"), false);
    smtp_put_hello(&out, SMTP_VERB_HELO, S("mx.here.test"), &rules, &values);
    smtp_put_hello(&out, SMTP_VERB_EHLO, S("mx.here.test"), &rules, &values);
    smtp_put_hello(&out, SMTP_VERB_EHLO, S("mx.here.test"), &bare, &values);
    smtp_put_hello(&out, SMTP_VERB_EHLO, S("mx.here.test"), &all, &limits);
    assert_true(slice_eq(out_slice(&out),
        S("220 mx.here.test ESMTP ringmail\r\n"
          "250 mx.here.test\r\n"
          "250-mx.here.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 AUTH PLAIN "
          "LOGIN\r\n"
          "250 mx.here.test\r\n"
          "250-mx.here.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
          "250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-BINARYMIME\r\n"
          "250-SMTPUTF8\r\n250-DSN\r\n250-REQUIRETLS\r\n250-MT-PRIORITY\r\n"
          "250-FUTURERELEASE 86400 2026-03-03T10:00:00Z\r\n250-DELIVERBY\r\n"
          "250-LIMITS RCPTMAX=100 RCPTDOMAINMAX=7\r\n250-VRFY\r\n250-EXPN\r\n"
          "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"
          "250 STARTTLS\r\n")));
}

static void xtext_goes_out_and_comes_back(void **state)
{
    char octets[256], coded_room[1024], back_room[256];
    struct out coded = out_of(coded_room, sizeof coded_room);
    struct out back = out_of(back_room, sizeof back_room);

    (void)state;
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (char)i;
    smtp_xtext_encode(slice_of(octets, sizeof octets), &coded);
    assert_true(smtp_xtext_decode(out_slice(&coded), &back));
    assert_int_equal(back.len, sizeof octets);
    assert_memory_equal(back_room, octets, sizeof octets);
    assert_false(smtp_xtext_decode(S("a"), &back)); /* no room */
    back = out_of(back_room, sizeof back_room);
    assert_false(smtp_xtext_decode(S("a b"), &back));
    assert_false(smtp_xtext_decode(S("+4"), &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_line_has_its_reply),
        cmocka_unit_test(forms_of_address_that_ask_for_relaying),
        cmocka_unit_test(mail_is_read_with_all_its_parameters),
        cmocka_unit_test(rcpt_is_read_with_all_its_parameters),
        cmocka_unit_test(other_commands_are_read),
        cmocka_unit_test(cut_lines_are_lines_of_their_own),
        cmocka_unit_test(commands_have_their_order),
        cmocka_unit_test(replies_are_well_formed),
        cmocka_unit_test(lines_have_their_limits_and_replies),
        cmocka_unit_test(hello_says_what_is_offered),
        cmocka_unit_test(xtext_goes_out_and_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
