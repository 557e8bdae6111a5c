#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/proto/smtp/dsn_check.h"

static const struct dsn_rcpt bob = {.address = SI("bob@example.net"),
    .orcpt = SI("rfc822;Bob+2Bx@example.org"),
    .action = DSN_FAILED,
    .status = {5, 1, 1},
    .remote = SI("mx.example.net"),
    .code = 550,
    .text = SI("no such user / see https://example.net/help for what to do when an "
               "address is refused"),
    .attempt_s = 1750000000};

static struct dsn report(const struct dsn_rcpt *rcpts, unsigned count)
{
    return (struct dsn){.host = S("mx.example.com"),
        .from = S("postmaster@example.com"),
        .to = S("alice@example.com"),
        .unique = S("4f2a.91"),
        .arrived_s = 1749990000,
        .now_s = 1750000100,
        .zone_minutes = 120,
        .returned = DSN_RETURN_HEADER,
        .rcpts = rcpts,
        .rcpt_count = count};
}

static const struct slice message =
    SI("Received: here\r\nFrom: alice@example.com\r\nSubject: hi\r\n there\r\n\r\n"
       "--\r\nbody\r\n");

/* clang-format off */
static const struct slice whole =
    SI("Date: Sun, 15 Jun 2025 17:08:20 +0200\r\n"
       "From: Mail Delivery System <postmaster@example.com>\r\n"
       "To: <alice@example.com>\r\n"
       "Subject: Could not be delivered: your message to bob@example.net\r\n"
       "Message-ID: <4f2a.91@mx.example.com>\r\n"
       "In-Reply-To: <id@example.com>\r\n"
       "References: <id@example.com>\r\n"
       "Auto-Submitted: auto-replied\r\n"
       "MIME-Version: 1.0\r\n"
       "Content-Type: multipart/report; report-type=delivery-status;\r\n"
       "\tboundary=\"=_dsn-4f2a.91\"\r\n"
       "\r\n"
       "--=_dsn-4f2a.91\r\n"
       "Content-Type: text/plain; charset=us-ascii\r\n"
       "\r\n"
       "This is a report of the mail server mx.example.com.\r\n"
       "\r\n"
       "Your message could not be delivered to this address.\r\n"
       "It will not be tried again.\r\n"
       "\r\n"
       "  bob@example.net\r\n"
       "    You wrote to: Bob+x@example.org\r\n"
       "    There is no such mailbox.\r\n"
       "    The server mx.example.net said:\r\n"
       "        550 5.1.1 no such user / see https://example.net/help for what to do\r\n"
       "        when an address is refused\r\n"
       "    Check the address for mistakes.\r\n"
       "\r\n"
       "Your message came here on Sun, 15 Jun 2025 14:20:00 +0200.\r\n"
       "Its header is attached.\r\n"
       "If you need help, write to postmaster@example.com\r\n"
       "and quote this number: Q7\r\n"
       "\r\n"
       "--=_dsn-4f2a.91\r\n"
       "Content-Type: message/delivery-status\r\n"
       "\r\n"
       "Original-Envelope-Id: QQ=314\r\n"
       "Reporting-MTA: dns; mx.example.com\r\n"
       "Arrival-Date: Sun, 15 Jun 2025 14:20:00 +0200\r\n"
       "X-Ringmail-Log-Id: Q7\r\n"
       "\r\n"
       "Original-Recipient: rfc822; Bob+x@example.org\r\n"
       "Final-Recipient: rfc822; bob@example.net\r\n"
       "Action: failed\r\n"
       "Status: 5.1.1\r\n"
       "Remote-MTA: dns; mx.example.net\r\n"
       "Diagnostic-Code: smtp; 550 5.1.1 no such user / see https://example.net/help\r\n"
       " for what to do when an address is refused\r\n"
       "Last-Attempt-Date: Sun, 15 Jun 2025 17:06:40 +0200\r\n"
       "\r\n"
       "--=_dsn-4f2a.91\r\n"
       "Content-Type: text/rfc822-headers\r\n"
       "\r\n"
       "Received: here\r\n"
       "From: alice@example.com\r\n"
       "Subject: hi\r\n"
       " there\r\n"
       "\r\n"
       "--=_dsn-4f2a.91--\r\n");
/* clang-format on */

static void a_failure_is_told_in_full(void **state)
{
    struct dsn d = report(&bob, 1);
    struct slice text;

    (void)state;
    d.envid = S("QQ+3D314");
    d.message_id = S("<id@example.com>");
    d.log_id = S("Q7");
    text = dsn_text(&d, message, message.len);
    if (!slice_eq(text, whole))
        fail_msg("%.*s", (int)text.len, text.at);
    free((char *)text.at);
    check_dsn(&d, message, 1);
    assert_false(dsn_is_8bit(&d));
    assert_false(dsn_is_utf8(&d));
}

/* --- what is told of a recipient ------------------------------------------ */

static const struct {
    struct dsn_rcpt rcpt;
    struct slice to;      /* empty: an ASCII sender */
    struct slice want[4]; /* all of them are in the report */
    struct slice none;    /* this is not; may be empty */
} told[] = {
    {{.address = SI("a@b"), .status = {4, 4, 7}, .attempt_s = 1750000000}, SI(""),
        {SI("could not be delivered in time"), SI("The last attempt was on Sun")},
        SI("Diagnostic-Code")},
    {{.address = SI("a@b"),
         .action = DSN_DELAYED,
         .status = {4, 4, 1},
         .text = SI("connection timed out"),
         .retry_until_s = 1750090000},
        SI(""),
        {SI("Subject: Not delivered yet: your message to a@b\r\n"),
            SI("    It will be tried until Mon, 16 Jun 2025 18:06:40 +0200.\r\n"),
            SI("\r\nWill-Retry-Until: Mon, 16 Jun 2025 18:06:40 +0200\r\n"),
            SI("\r\nAction: delayed\r\nStatus: 4.4.1\r\n"
               "Diagnostic-Code: x-ringmail; connection timed out\r\n")},
        SI("Remote-MTA")},
    {{.address = SI("a@b"),
         .action = DSN_DELIVERED,
         .status = {2, 0, 0},
         .retry_until_s = 1750090000},
        SI(""),
        {SI("Subject: Delivered: your message to a@b\r\n"),
            SI("\r\nAction: delivered\r\n")},
        SI("Will-Retry-Until")},
    {{.address = SI("a@b"),
         .action = DSN_RELAYED,
         .status = {2, 0, 0},
         .code = 250,
         .remote = SI("mx"),
         .text = SI("ok")},
        SI(""),
        {SI("\r\nAction: relayed\r\n"), SI("\r\nRemote-MTA: dns; mx\r\n"),
            SI("\r\nDiagnostic-Code: smtp; 250 2.0.0 ok\r\n"),
            SI("does not tell when mail is delivered")},
        SI("will not be tried")},
    {{.address = SI("a@b"), .action = DSN_EXPANDED, .status = {2, 0, 0}}, SI(""),
        {SI("\r\nAction: expanded\r\n")}, SI("Diagnostic")},
    /* Unknown codes. */
    {{.address = SI("a@b"), .status = {5, 1, 99}}, SI(""),
        {SI("The address was refused."), SI("\r\nStatus: 5.1.99\r\n")}, SI("")},
    {{.address = SI("a@b"), .status = {5, 0, 0}}, SI(""),
        {SI("No precise reason is known."), SI("\r\nStatus: 5.0.0\r\n")}, SI("")},
    {{.address = SI("a@b"), .status = {5, 255, 255}}, SI(""),
        {SI("\r\nStatus: 5.255.255\r\n")}, SI("")},
    /* Addresses beyond ASCII: escaped for one who may not read them (RFC 6533, 3). */
    {{.address = SI("j\xc3\xbc+x@b\xf0\x9f\x8e\x89"), .status = {5, 1, 1}}, SI(""),
        {SI("\r\nFinal-Recipient: utf-8; j\\x{FC}\\x{2B}x@b\\x{1F389}\r\n"),
            SI("\r\n  j\xc3\xbc+x@b\xf0\x9f\x8e\x89\r\n"),
            SI("your message to one address"),
            SI("\r\nContent-Type: message/delivery-status\r\n\r\n")},
        SI("global")},
    {{.address = SI("j\xc3\xbc@b"),
         .orcpt = SI("utf-8;\xc3\xbc\\x{2B}\\x{FC}@c"),
         .status = {5, 1, 1}},
        SI("\xc3\xa4@example.com"),
        {SI("\r\nFinal-Recipient: utf-8; j\xc3\xbc@b\r\n"),
            SI("\r\nOriginal-Recipient: utf-8; \xc3\xbc+\xc3\xbc@c\r\n"),
            SI("\r\nContent-Type: message/global-delivery-status\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\n"),
            SI("your message to j\xc3\xbc@b\r\n")},
        SI("rfc822;")},
    {{.address = SI("a@b"), .orcpt = SI("UTF-8;\xc3\xbc\\x{2B}@c"), .status = {5, 1, 1}},
        SI(""),
        {SI("\r\nOriginal-Recipient: UTF-8; \\x{FC}\\x{2B}@c\r\n"),
            SI("    You wrote to: \xc3\xbc+@c\r\n")},
        SI("global")},
    {{.address = SI("a@b"),
         .orcpt = SI("utf-8;\\x{D800}\\x{}\\x{110000}\\x{0A}x@c"),
         .status = {5, 1, 1}},
        SI("\xc3\xa4@example.com"),
        {SI("\r\nOriginal-Recipient: utf-8; \\x{D800}\\x{}\\x{110000}\\x{0A}x@c\r\n")},
        SI("global")},
    /* An ASCII address for an UTF-8 sender needs no new type. */
    {{.address = SI("a@b"), .status = {5, 1, 1}}, SI("\xc3\xa4@example.com"),
        {SI("\r\nTo: <\xc3\xa4@example.com>\r\n"),
            SI("\r\nContent-Type: message/delivery-status\r\n\r\n"),
            SI("\r\nContent-Transfer-Encoding: 8bit\r\n")},
        SI("global")},
    /* ORCPT of other types and shapes. */
    {{.address = SI("a@b"), .orcpt = SI("x400;/C=de/"), .status = {5, 1, 1}}, SI(""),
        {SI("\r\nOriginal-Recipient: x400; /C=de/\r\n")}, SI("You wrote to")},
    {{.address = SI("a@b"), .orcpt = SI("rfc822;A@B"), .status = {5, 1, 1}}, SI(""),
        {SI("\r\nOriginal-Recipient: rfc822; A@B\r\n")}, SI("You wrote to")},
    {{.address = SI("a@b"), .orcpt = SI("nothing"), .status = {5, 1, 1}}, SI(""),
        {SI("5.1.1")}, SI("Original-Recipient")},
    {{.address = SI("a@b"), .orcpt = SI("rfc822;"), .status = {5, 1, 1}}, SI(""),
        {SI("5.1.1")}, SI("Original-Recipient")},
    /* Replies beyond ASCII reach only those who read them. */
    {{.address = SI("a@b"),
         .status = {5, 1, 1},
         .code = 550,
         .text = SI("kein Postfach f\xc3\xbcr \xff")},
        SI(""),
        {SI("\r\nDiagnostic-Code: smtp; 550 5.1.1 kein Postfach f?r ?\r\n"),
            SI("        550 5.1.1 kein Postfach f\xc3\xbcr ?\r\n"),
            SI("Content-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\n")},
        SI("global")},
};

static void recipients_are_told_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        struct dsn d = report(&told[i].rcpt, 1);
        struct slice text;

        if (told[i].to.len)
            d.to = told[i].to;
        text = dsn_text(&d, message, message.len);
        for (size_t k = 0; k < 4 && told[i].want[k].len; k++)
            if (!has(text, told[i].want[k]))
                fail_msg("case %zu lacks %s:\n%.*s", i, told[i].want[k].at, (int)text.len,
                    text.at);
        if (told[i].none.len && has(text, told[i].none))
            fail_msg("case %zu has %s", i, told[i].none.at);
        free((char *)text.at);
        check_dsn(&d, message, 5);
    }
}

/* What was asked about the time of delivery (RFC 2852, 5; RFC 4865, 5.1.2). */
static void wishes_about_time_are_told(void **state)
{
    static const struct {
        int64_t by_s;
        struct slice hold, want;
    } wishes[] = {
        {0, SI(""), SI("14:20:00 +0200\r\n\r\n")},
        {1750000050, SI("86400"),
            SI("14:20:00 +0200\r\nDeliver-By-Date: Sun, 15 Jun 2025 17:07:30 +0200\r\n"
               "Future-Release-Request: for;86400\r\n\r\n")},
        {0, SI("2025-06-15T15:00:00Z"),
            SI("14:20:00 +0200\r\n"
               "Future-Release-Request: until;2025-06-15T15:00:00Z\r\n\r\n")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        struct dsn d = report(&bob, 1);
        struct slice text;

        d.by_s = wishes[i].by_s;
        d.hold = wishes[i].hold;
        text = dsn_text(&d, message, message.len);
        if (!has(text, wishes[i].want))
            fail_msg("%.*s", (int)text.len, text.at);
        free((char *)text.at);
        check_dsn(&d, message, 1);
    }
}

static void the_gravest_outcome_is_the_subject(void **state)
{
    static const struct dsn_rcpt mixed[] = {
        {.address = SI("d@x"), .action = DSN_DELIVERED, .status = {2, 0, 0}},
        {.address = SI("f@x"), .action = DSN_FAILED, .status = {5, 2, 2}},
        {.address = SI("e@x"), .action = DSN_DELAYED, .status = {4, 2, 2}},
        {.address = SI("g@x"), .action = DSN_FAILED, .status = {5, 2, 2}},
    };
    struct dsn d = report(mixed, 4);
    struct slice text = dsn_text(&d, message, 3);

    (void)state;
    assert_true(has(text, S("Subject: Could not be delivered: your message to 2 add")));
    assert_true(has(text, S("to these 2 addresses.\r\n")));
    assert_true(has(text, S("\r\n  f@x\r\n")) && has(text, S("\r\n  e@x\r\n")));
    free((char *)text.at);
    check_dsn(&d, message, 3);
}

/* --- octets that no field may take over ----------------------------------- */

static const char evil[] =
    "\r\nBcc: x@y\r\n\r\n--=_dsn-4f2a.91--\r\n\n\r\v\f\x1b[2J\x7f\xc2\x85\xe2\x80\xa8"
    "\xff\xc3\xa9 \\x{0D}\\x{0A}+0D+0A";

static void no_octet_breaks_out_of_its_field(void **state)
{
    char text[3000];
    struct slice bad;

    (void)state;
    for (size_t len = 0; len < sizeof text; len += 1 + len / 3) {
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = evil[(i + len) % (sizeof evil - 1)];
        bad = slice_of(text, len);
        for (unsigned kind = 0; kind < 10; kind++) {
            struct dsn_rcpt rcpt = {.address = bad,
                .orcpt = bad,
                .action = kind % 5,
                .status = {kind > 4 ? 4 : 5, (uint8_t)kind, (uint8_t)kind},
                .remote = bad,
                .code = kind > 4 ? 0 : 550,
                .text = bad,
                .attempt_s = 1,
                .retry_until_s = 2};
            struct dsn d = report(&rcpt, 1);

            if (kind % 2)
                d.to = bad;
            d.host = d.from = d.envid = d.message_id = d.log_id = bad;
            d.returned = kind % 3;
            d.returned_8bit = d.returned_8bit_header = true;
            d.returned_utf8 = kind > 4;
            check_dsn(&d, bad, 7);
        }
    }
}

static void words_without_end_are_cut(void **state)
{
    char text[3000];
    struct dsn_rcpt rcpt = bob;
    struct dsn d = report(&rcpt, 1);

    (void)state;
    for (unsigned width = 1; width <= 2; width++) {
        for (size_t i = 0; i + width <= sizeof text; i += width)
            memcpy(text + i, width == 1 ? "x" : "\xc3\xa9", width);
        rcpt.text = rcpt.remote = rcpt.address = slice_of(text, sizeof text);
        rcpt.orcpt = S("");
        d.to = d.host = d.log_id = rcpt.text;
        check_dsn(&d, message, 100);
        d.to = S("a@b");
        check_dsn(&d, message, 100);
    }
}

static void a_thousand_recipients_fit(void **state)
{
    enum { RCPTS = 1000 };
    struct dsn_rcpt *rcpts = calloc(RCPTS, sizeof *rcpts);
    struct dsn d = report(rcpts, RCPTS);
    char text[512];

    (void)state;
    assert_non_null(rcpts);
    memset(text, 'w', sizeof text);
    for (unsigned i = 0; i < RCPTS; i++) {
        rcpts[i] = bob;
        rcpts[i].action = i % 5;
        rcpts[i].text = slice_of(text, sizeof text);
    }
    check_dsn(&d, message, 50);
    free(rcpts);
}

/* --- the returned message ------------------------------------------------- */

static const struct {
    struct slice message;
    enum dsn_returned_what what;
    bool is_8bit, header_8bit, utf8, utf8_sender;
    struct slice want; /* of its part's header, to the end of the report */
} returns[] = {
    {SI("A: b\r\n\r\nc\r\n"), DSN_RETURN_NOTHING, false, false, false, false, SI("")},
    {SI("A: b\r\n\r\nc\r\n"), DSN_RETURN_HEADER, false, false, false, false,
        SI("Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n")},
    {SI("A: b\r\n\r\nc\r\n"), DSN_RETURN_FULL, false, false, false, false,
        SI("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc\r\n")},
    {SI("A: b\r\n\r\n\xc3\xa9"), DSN_RETURN_FULL, true, false, false, false,
        SI("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
           "A: b\r\n\r\n\xc3\xa9")},
    {SI("A: b\r\n\r\n\xc3\xa9"), DSN_RETURN_HEADER, true, false, true, false,
        SI("Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n")},
    {SI("A: \xe9\r\n\r\n"), DSN_RETURN_HEADER, true, true, false, false,
        SI("Content-Type: text/rfc822-headers\r\n"
           "Content-Transfer-Encoding: quoted-printable\r\n\r\nA: =E9\r\n")},
    {SI("A: \xe9\r\n\r\n"), DSN_RETURN_FULL, true, true, false, false,
        SI("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
           "A: \xe9\r\n\r\n")},
    {SI("A: \xc3\xa9\r\n\r\nb"), DSN_RETURN_HEADER, true, true, true, false,
        SI("Content-Type: message/global-headers\r\n"
           "Content-Transfer-Encoding: quoted-printable\r\n\r\nA: =C3=A9\r\n")},
    {SI("A: \xc3\xa9\r\n\r\nb "), DSN_RETURN_FULL, true, true, true, false,
        SI("Content-Type: message/global\r\n"
           "Content-Transfer-Encoding: quoted-printable\r\n\r\nA: =C3=A9\r\n\r\nb=20")},
    {SI("A: \xc3\xa9\r\n\r\nb"), DSN_RETURN_FULL, true, true, true, true,
        SI("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
           "A: \xc3\xa9\r\n\r\nb")},
    /* The header is over at its end, at an empty line, and nowhere else. */
    {SI("A: b"), DSN_RETURN_HEADER, false, false, false, false, SI("\r\n\r\nA: b")},
    {SI("\r\nA: b"), DSN_RETURN_HEADER, false, false, false, false,
        SI("headers\r\n\r\n")},
    {SI("A: b\r\n\r"), DSN_RETURN_HEADER, false, false, false, false,
        SI("\r\n\r\nA: b\r\n\r")},
    {SI("A: b\r\n\rC: d\r\n\n"), DSN_RETURN_HEADER, false, false, false, false,
        SI("\r\n\r\nA: b\r\n\rC: d\r\n")},
    {SI("A: b\r\n-\r\n\r\n"), DSN_RETURN_HEADER, false, false, false, false,
        SI("\r\n\r\nA: b\r\n-\r\n")},
    /* What looks like the end of the part is moved by a blank. */
    {SI("A: b\r\n\r\n--=_dsn-4f2a.91--\r\n--=_dsn-4f2a.9\r\n---=_dsn-4f2a.91\r\n"),
        DSN_RETURN_FULL, false, false, false, false,
        SI("\r\n\r\n --=_dsn-4f2a.91--\r\n--=_dsn-4f2a.9\r\n---=_dsn-4f2a.91\r\n")},
    {SI("--=_dsn-4f2a.91\n--=_dsn-4f2a.91\r--=_dsn-4f2a.91 --=_dsn-4f2a.91"),
        DSN_RETURN_FULL, false, false, false, false,
        SI("\r\n\r\n --=_dsn-4f2a.91\n --=_dsn-4f2a.91\r --=_dsn-4f2a.91 "
           "--=_dsn-4f2a.91")},
    {SI("A: b\r\n\r\n--=_dsn-4f"), DSN_RETURN_FULL, false, false, false, false,
        SI("\r\n\r\nA: b\r\n\r\n--=_dsn-4f")},
};

static struct dsn returning(size_t i)
{
    struct dsn d = report(&bob, 1);

    d.returned = returns[i].what;
    d.returned_8bit = returns[i].is_8bit;
    d.returned_8bit_header = returns[i].header_8bit;
    d.returned_utf8 = returns[i].utf8;
    if (returns[i].utf8_sender)
        d.to = S("\xc3\xa4@example.com");
    return d;
}

static void messages_are_returned_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof returns / sizeof returns[0]; i++) {
        struct dsn d = returning(i);

        for (size_t step = 1; step <= returns[i].message.len; step++) {
            struct slice text = dsn_text(&d, returns[i].message, step), end;
            char want[512];
            struct out out = out_of(want, sizeof want);

            out_put(&out, returns[i].want);
            out_put(&out, S("\r\n--=_dsn-4f2a.91--\r\n"));
            assert_true(text.len > out.len);
            end = slice_of(text.at + text.len - out.len, out.len);
            if (!slice_eq(end, out_slice(&out)))
                fail_msg("case %zu step %zu:\n%.*s", i, step, (int)text.len, text.at);
            free((char *)text.at);
            check_dsn(&d, returns[i].message, step);
        }
    }
}

static void what_is_returned_follows_the_wish(void **state)
{
    static const struct dsn_rcpt rcpts[] = {
        {.action = DSN_DELIVERED}, {.action = DSN_DELAYED}, {.action = DSN_FAILED}};

    (void)state;
    assert_int_equal(
        dsn_what_to_return(rcpts, 3, SMTP_RET_FULL, 10, 10, false), DSN_RETURN_FULL);
    assert_int_equal(
        dsn_what_to_return(rcpts, 2, SMTP_RET_FULL, 10, 10, false), DSN_RETURN_HEADER);
    assert_int_equal(
        dsn_what_to_return(rcpts, 3, SMTP_RET_FULL, 11, 10, false), DSN_RETURN_HEADER);
    assert_int_equal(
        dsn_what_to_return(rcpts, 3, SMTP_RET_FULL, 10, 10, true), DSN_RETURN_HEADER);
    assert_int_equal(
        dsn_what_to_return(rcpts, 3, SMTP_RET_HDRS, 10, 10, false), DSN_RETURN_HEADER);
    assert_int_equal(
        dsn_what_to_return(rcpts, 3, SMTP_RET_NONE, 10, 10, false), DSN_RETURN_HEADER);
}

static void the_envelope_says_what_the_text_needs(void **state)
{
    static const struct dsn_rcpt plain = {.address = SI("a@b"), .status = {5, 1, 1}};
    static const struct dsn_rcpt utf8 = {
        .address = SI("\xc3\xa9@b"), .status = {5, 1, 1}};
    struct dsn d = report(&plain, 1);

    (void)state;
    assert_false(dsn_is_8bit(&d));
    d.returned_8bit = true; /* but only its header is returned */
    assert_false(dsn_is_8bit(&d));
    d.returned = DSN_RETURN_FULL;
    assert_true(dsn_is_8bit(&d));
    d.returned_8bit_header = d.returned_utf8 = true; /* encoded */
    assert_false(dsn_is_8bit(&d));
    d.rcpts = &utf8;
    assert_true(dsn_is_8bit(&d));
    assert_false(dsn_is_utf8(&d));
    d.to = S("\xc3\xa4@b");
    assert_true(dsn_is_utf8(&d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_told_in_full),
        cmocka_unit_test(recipients_are_told_of),
        cmocka_unit_test(wishes_about_time_are_told),
        cmocka_unit_test(the_gravest_outcome_is_the_subject),
        cmocka_unit_test(no_octet_breaks_out_of_its_field),
        cmocka_unit_test(words_without_end_are_cut),
        cmocka_unit_test(a_thousand_recipients_fit),
        cmocka_unit_test(messages_are_returned_at_every_split),
        cmocka_unit_test(what_is_returned_follows_the_wish),
        cmocka_unit_test(the_envelope_says_what_the_text_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
