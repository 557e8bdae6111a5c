/* Replies of servers, cut everywhere, and the offers of EHLO. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/sasl/sasl.h"
#include "proto/smtp/smtp_answer.h"

enum { LINES_MAX = 128, LINE_MAX = 4096 };

static const struct smtp_answer_limits limits = {
    .line_max = LINE_MAX, .lines_max = LINES_MAX};

/* Gives the text in pieces that end at `cut` and at its end, what is left of the first in
 * front of the second, at an address of its own: nothing may point into the old one. */
static enum smtp_answer_result read_cut(struct smtp_answer *a, struct slice text,
    size_t cut, struct smtp_hello *hello, size_t *left)
{
    char *first = calloc(cut + 1, 1), *whole;
    struct slice in = slice_of(first, cut);
    enum smtp_answer_result result;
    size_t rest;

    if (cut)
        memcpy(first, text.at, cut);
    result = smtp_answer_read(a, &in, limits, hello);
    rest = in.len + (text.len - cut);
    if (result == SMTP_ANSWER_MORE) {
        whole = malloc(rest + 1);
        memcpy(whole, text.at + (text.len - rest), rest);
        in = slice_of(whole, rest);
        result = smtp_answer_read(a, &in, limits, hello);
        rest = in.len;
        free(whole);
    }
    free(first);
    *left = rest;
    return result;
}

struct reply {
    struct slice text;
    enum smtp_answer_result result;
    unsigned code;
    uint8_t status[3];
    const char *kept;
    size_t left;
};

static const struct reply replies[] = {
    {SI("250 OK\r\n"), SMTP_ANSWER_DONE, 250, {0}, "OK", 0},
    {SI("250\r\n"), SMTP_ANSWER_DONE, 250, {0}, "", 0},
    {SI("250 \r\n"), SMTP_ANSWER_DONE, 250, {0}, "", 0},
    {SI("250-\r\n250 x\r\n"), SMTP_ANSWER_DONE, 250, {0}, "x", 0},
    {SI("550 5.1.1 No such user\r\n"), SMTP_ANSWER_DONE, 550, {5, 1, 1}, "No such user",
        0},
    {SI("550 5.1.1\r\n"), SMTP_ANSWER_DONE, 550, {5, 1, 1}, "", 0},
    {SI("550-5.7.1 One\r\n550-5.7.1 two\r\n550 5.7.26 three\r\n"), SMTP_ANSWER_DONE, 550,
        {5, 7, 26}, "One / two / three", 0},
    /* The class has to be that of the code, the numbers have to be numbers. */
    {SI("550 4.1.1 x\r\n"), SMTP_ANSWER_DONE, 550, {0}, "4.1.1 x", 0},
    {SI("550 5.1.1x\r\n"), SMTP_ANSWER_DONE, 550, {0}, "5.1.1x", 0},
    {SI("550 5.1 x\r\n"), SMTP_ANSWER_DONE, 550, {0}, "5.1 x", 0},
    {SI("550 5..1 x\r\n"), SMTP_ANSWER_DONE, 550, {0}, "5..1 x", 0},
    {SI("550 5.1.256 x\r\n"), SMTP_ANSWER_DONE, 550, {0}, "5.1.256 x", 0},
    {SI("550 5.1.99999999999 x\r\n"), SMTP_ANSWER_DONE, 550, {0}, "5.1.99999999999 x", 0},
    {SI("550 5.255.255 x\r\n"), SMTP_ANSWER_DONE, 550, {5, 255, 255}, "x", 0},
    /* The last line decides. */
    {SI("250-5.1.1 a\r\n450 4.2.0 b\r\n"), SMTP_ANSWER_DONE, 450, {4, 2, 0},
        "5.1.1 a / b", 0},
    /* What is behind stays. */
    {SI("354 go\r\n250 more\r\n"), SMTP_ANSWER_DONE, 354, {0}, "go", 10},
    /* Nothing but CR LF ends a line, and nothing but printable ASCII is kept. */
    {SI("550 a\n250 b\r\n"), SMTP_ANSWER_DONE, 550, {0}, "a?250 b", 0},
    {SI("550 a\r250 b\r\n"), SMTP_ANSWER_DONE, 550, {0}, "a?250 b", 0},
    {SI("550 \x1b[31mred\0\x7f\x9b.\r\n"), SMTP_ANSWER_DONE, 550, {0}, "?[31mred???.", 0},
    {SI("550 Gr\xc3\xbc\xc3\x9f\x65 \xff\r\n"), SMTP_ANSWER_DONE, 550, {0}, "Gr??e ?", 0},
    {SI("250\tx\r\n"), SMTP_ANSWER_MALFORMED, 250, {0}, "", 0},
    {SI("25\r\n"), SMTP_ANSWER_MALFORMED, 0, {0}, "", 0},
    {SI("150 x\r\n"), SMTP_ANSWER_MALFORMED, 0, {0}, "", 0},
    {SI("600 x\r\n"), SMTP_ANSWER_MALFORMED, 0, {0}, "", 0},
    {SI("2500 x\r\n"), SMTP_ANSWER_MALFORMED, 250, {0}, "", 0},
    {SI("\r\n"), SMTP_ANSWER_MALFORMED, 0, {0}, "", 0},
    {SI("+OK POP3\r\n"), SMTP_ANSWER_MALFORMED, 0, {0}, "", 0},
    {SI("250-x\r\n250_y\r\n"), SMTP_ANSWER_MALFORMED, 250, {0}, "x", 0},
    {SI("250 no end"), SMTP_ANSWER_MORE, 0, {0}, "", 10},
    {SI("250-x\r\n25"), SMTP_ANSWER_MORE, 250, {0}, "x", 2},
};

static void same_reply_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        for (size_t cut = 0; cut <= replies[i].text.len; cut++) {
            const struct reply *r = &replies[i];
            struct smtp_answer a = {0};
            size_t left;

            assert_int_equal(read_cut(&a, r->text, cut, NULL, &left), r->result);
            assert_int_equal(a.code, r->code);
            assert_int_equal(a.len, strlen(r->kept));
            assert_memory_equal(a.text, r->kept, a.len);
            if (r->result == SMTP_ANSWER_DONE)
                assert_memory_equal(a.status, r->status, 3);
            if (r->result != SMTP_ANSWER_MALFORMED)
                assert_int_equal(left, r->left);
        }
}

static const char ehlo[] = "250-mx.test greets you, SIZE 5\r\n"
                           "250-PIPELINING\r\n"
                           "250-size 1000000\r\n"
                           "250-8BITMIME\r\n"
                           "250-AUTH GSSAPI LOGIN\r\n"
                           "250-AUTH=PLAIN DIGEST-MD5\r\n"
                           "250-CHUNKING\r\n"
                           "250-X-UNKNOWN SIZE 7\r\n"
                           "250-LIMITS RCPTMAX=50 MAILMAX=0 RCPTDOMAINMAX=2 OTHER X=\r\n"
                           "250-DELIVERBY 240,other\r\n"
                           "250-MT-PRIORITY MIXER\r\n"
                           "250-CHUNKINGX\r\n"
                           "250 SMTPUTF8\r\n";

static void offers_at_every_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof ehlo; cut++) {
        struct smtp_answer a = {0};
        struct smtp_hello h = {0};
        size_t left;

        assert_int_equal(read_cut(&a, slice_of(ehlo, sizeof ehlo - 1),
                             cut < sizeof ehlo - 1 ? cut : sizeof ehlo - 1, &h, &left),
            SMTP_ANSWER_DONE);
        assert_int_equal(h.offers,
            SMTP_HELLO_PIPELINING | SMTP_HELLO_SIZE | SMTP_HELLO_8BITMIME |
                SMTP_HELLO_AUTH | SMTP_HELLO_CHUNKING | SMTP_HELLO_LIMITS |
                SMTP_HELLO_DELIVERBY | SMTP_HELLO_PRIORITY | SMTP_HELLO_SMTPUTF8);
        assert_int_equal(h.mechanisms, 1u << SASL_PLAIN | 1u << SASL_LOGIN);
        assert_int_equal(h.size_max, 1000000);
        assert_int_equal(h.by_min, 240);
        assert_int_equal(h.rcpt_max, 50);
        assert_int_equal(h.mail_max, 0);
        assert_int_equal(h.rcpt_domains, 2);
    }
}

static void odd_offers_mean_nothing(void **state)
{
    static const char text[] = "250-x\r\n250-SIZE 99999999999999999999999\r\n"
                               "250-SIZE\r\n250-AUTH\r\n250-LIMITS RCPTMAX=-1 MAILMAX "
                               "RCPTDOMAINMAX=4294967296\r\n250-DELIVERBY\r\n250 \r\n";
    struct slice in = S("550-no\r\n550-CHUNKING\r\n550 DSN\r\n");
    struct smtp_answer a = {0};
    struct smtp_hello h = {0};

    (void)state;
    assert_int_equal(smtp_answer_read(&a, &in, limits, &h), SMTP_ANSWER_DONE);
    assert_int_equal(h.offers, 0);
    a = (struct smtp_answer){0};
    in = slice_str(text);
    assert_int_equal(smtp_answer_read(&a, &in, limits, &h), SMTP_ANSWER_DONE);
    assert_int_equal(h.offers,
        SMTP_HELLO_SIZE | SMTP_HELLO_AUTH | SMTP_HELLO_LIMITS | SMTP_HELLO_DELIVERBY);
    assert_int_equal(h.size_max, 0);
    assert_int_equal(h.mechanisms | h.rcpt_max | h.mail_max | h.rcpt_domains, 0);
}

/* Matrix R10. */
static void replies_are_bounded(void **state)
{
    static char lines[LINES_MAX * 8 + 8], line[LINE_MAX + 2];
    struct slice in = slice_of(lines, 0);
    struct smtp_answer a = {0};

    (void)state;
    for (int i = 0; i < LINES_MAX - 1; i++)
        memcpy(lines + (size_t)i * 7, "250-a\r\n", 7);
    memcpy(lines + (size_t)(LINES_MAX - 1) * 7, "250 z\r\n", 7);
    in.len = (size_t)LINES_MAX * 7;
    assert_int_equal(smtp_answer_read(&a, &in, limits, NULL), SMTP_ANSWER_DONE);
    assert_int_equal(a.len, sizeof a.text / 4 * 4 - 3);
    lines[(size_t)(LINES_MAX - 1) * 7 + 3] = '-';
    memcpy(lines + (size_t)LINES_MAX * 7, "250 y\r\n", 7);
    in = slice_of(lines, (size_t)(LINES_MAX + 1) * 7);
    a = (struct smtp_answer){0};
    assert_int_equal(smtp_answer_read(&a, &in, limits, NULL), SMTP_ANSWER_TOO_MANY);

    memset(line, 'x', sizeof line);
    memcpy(line, "250 ", 4);
    memcpy(line + LINE_MAX - 2, "\r\n", 2);
    a = (struct smtp_answer){0};
    in = slice_of(line, LINE_MAX);
    assert_int_equal(smtp_answer_read(&a, &in, limits, NULL), SMTP_ANSWER_DONE);
    assert_int_equal(a.len, SMTP_ANSWER_TEXT_MAX);
    memset(line + LINE_MAX - 2, 'x', 2);
    memcpy(line + LINE_MAX, "\r\n", 2);
    a = (struct smtp_answer){0};
    in = slice_of(line, sizeof line);
    assert_int_equal(smtp_answer_read(&a, &in, limits, NULL), SMTP_ANSWER_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_reply_at_every_cut),
        cmocka_unit_test(offers_at_every_cut),
        cmocka_unit_test(odd_offers_mean_nothing),
        cmocka_unit_test(replies_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
