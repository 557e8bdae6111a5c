/* What servers say, cut everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/reply.h"

enum { TEXT_MAX = 4096 };

/* Two pieces of `text`, each with memory of its own: nothing may point into the first
 * when the second comes. */
struct halves {
    char *at[2];
    size_t len[2];
};

static struct halves cut_at(struct slice text, size_t cut)
{
    struct halves h = {.len = {cut, text.len - cut}};

    for (unsigned i = 0; i < 2; i++) {
        h.at[i] = malloc(h.len[i] + 1);
        memcpy(h.at[i], text.at + (i ? cut : 0), h.len[i]);
    }
    return h;
}

static void drop_half(struct halves *h, unsigned i)
{
    memset(h->at[i], '!', h->len[i]);
    free(h->at[i]);
}

/* --- lines ---------------------------------------------------------------- */

static void lines_of(struct slice text, size_t cut, char got[TEXT_MAX])
{
    struct halves h = cut_at(text, cut);
    struct lines l = {0};
    struct out out = out_of(got, TEXT_MAX - 1);
    struct slice line;

    for (unsigned i = 0; i < 2; i++) {
        struct slice in = slice_of(h.at[i], h.len[i]);

        while (lines_next(&l, &in, &line)) {
            out_str(&out, "[");
            out_put(&out, line);
            out_str(&out, "]");
        }
        assert_int_equal(in.len, 0);
        drop_half(&h, i);
    }
    got[out.len] = 0;
}

static void lines_are_the_same_at_every_cut(void **state)
{
    const struct slice text = S("250-one\r\n250 two\r\n\r\n\nbare\n* tail");
    char got[TEXT_MAX];

    (void)state;
    for (size_t cut = 0; cut <= text.len; cut++) {
        lines_of(text, cut, got);
        assert_string_equal(got, "[250-one][250 two][][][bare]");
    }
}

/* Of a long line that comes in pieces, front and end are what they are in the whole. */
static void long_lines_keep_front_and_end(void **state)
{
    char text[2003], got[TEXT_MAX];
    const size_t len = sizeof text - 3;

    (void)state;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 26);
    memcpy(text + len, "\r\nx", 3);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        size_t n;

        lines_of(slice_of(text, sizeof text), cut, got);
        n = strlen(got);
        assert_true(n > LINES_HEAD + 2);
        assert_memory_equal(got + 1, text, LINES_HEAD);
        assert_memory_equal(got + n - 1 - (LINES_TAIL - 1), text + len - (LINES_TAIL - 1),
            LINES_TAIL - 1);
    }
}

/* --- SMTP ----------------------------------------------------------------- */

static void smtp_lines_have_a_code(void **state)
{
    static const struct {
        struct slice line;
        unsigned code;
        bool last;
    } cases[] = {{SI("250 OK"), 250, true}, {SI("250-x"), 250, false},
        {SI("250"), 250, true}, {SI("354 "), 354, true}, {SI("25"), 0, true},
        {SI(""), 0, true}, {SI("x50 y"), 0, true}, {SI("550-5.1.1 a-b"), 550, false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool last;

        assert_int_equal(smtp_line(cases[i].line, &last), cases[i].code);
        assert_int_equal(last, cases[i].last);
    }
}

/* --- IMAP ----------------------------------------------------------------- */

/* As "<line>", "<+line>" behind a literal, and the octets of literals as they are. */
static void pieces_of(struct slice text, size_t cut, char got[TEXT_MAX])
{
    struct halves h = cut_at(text, cut);
    struct imap_reader r = {0};
    struct out out = out_of(got, TEXT_MAX - 1);
    enum imap_piece piece;
    struct slice s;

    for (unsigned i = 0; i < 2; i++) {
        struct slice in = slice_of(h.at[i], h.len[i]);

        while ((piece = imap_next(&r, &in, &s)) != IMAP_MORE) {
            if (piece != IMAP_LITERAL)
                out_str(&out, piece == IMAP_FIRST ? "<" : "<+");
            out_put(&out, s);
            if (piece != IMAP_LITERAL)
                out_str(&out, ">");
        }
        assert_int_equal(in.len, 0);
        drop_half(&h, i);
    }
    got[out.len] = 0;
}

static void imap_is_the_same_at_every_cut(void **state)
{
    const struct slice text = S(
        "* OK hi\r\n* 1 FETCH (BODY[] {9}\r\nab\r\n)\r\n{1 UID 7 X {0}\r\n FLAGS ())\r\n"
        "* 2 FETCH (BODY[] ~{3}\r\nxyz)\r\nb1 OK {done}\r\nb2 NO {}\r\n");
    static const char want[] =
        "<* OK hi><* 1 FETCH (BODY[] {9}>ab\r\n)\r\n{1<+ UID 7 X {0}><+ FLAGS ())>"
        "<* 2 FETCH (BODY[] ~{3}>xyz<+)><b1 OK {done}><b2 NO {}>";
    char got[TEXT_MAX];

    (void)state;
    for (size_t cut = 0; cut <= text.len; cut++) {
        pieces_of(text, cut, got);
        assert_string_equal(got, want);
    }
}

static void imap_lines_have_a_kind(void **state)
{
    static const struct {
        struct slice line;
        enum imap_kind kind;
        uint32_t tag;
        struct slice rest;
    } cases[] = {
        {SI("* 3 EXISTS"), IMAP_UNTAGGED, 0, SI("3 EXISTS")},
        {SI("+ idling"), IMAP_CONTINUE, 0, SI(" idling")},
        {SI("+"), IMAP_CONTINUE, 0, SI("")},
        {SI("b12 OK done"), IMAP_OK, 12, SI("done")},
        {SI("b12 ok"), IMAP_OK, 12, SI("")},
        {SI("b9 NO [X] y"), IMAP_NO, 9, SI("[X] y")},
        {SI("b9 BAD y"), IMAP_BAD, 9, SI("y")},
        {SI("a1 OK x"), IMAP_JUNK, 0, SI("OK x")},
        {SI("b OK x"), IMAP_JUNK, 0, SI("OK x")},
        {SI(""), IMAP_JUNK, 0, SI("")},
        {SI(" "), IMAP_JUNK, 0, SI("")},
        {SI("**"), IMAP_JUNK, 0, SI("")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice rest;
        uint32_t tag;

        assert_int_equal(imap_line(cases[i].line, &tag, &rest), cases[i].kind);
        assert_int_equal(tag, cases[i].tag);
        assert_true(slice_eq(rest, cases[i].rest));
    }
}

static void imap_numbers_are_told_from_words(void **state)
{
    struct slice word;
    uint32_t n;

    (void)state;
    assert_true(imap_numbered(S("17 EXISTS"), &n, &word));
    assert_int_equal(n, 17);
    assert_true(slice_eq(word, S("EXISTS")));
    assert_false(imap_numbered(S("OK 17"), &n, &word));
    assert_false(imap_numbered(S("4294967296 EXISTS"), &n, &word));
}

/* --- POP3 ----------------------------------------------------------------- */

static void pop3_text_ends_at_every_cut(void **state)
{
    static const struct {
        struct slice text;
        size_t end;
    } cases[] = {{SI(".\r\nrest"), 3}, {SI("a\r\n.\r\nrest"), 6},
        {SI("..\r\n.\r\n+OK"), 7}, {SI("a\r\n..b\r\nc.\r\n.\r\n"), 15},
        {SI("a\r\r\n.\r\n"), 7}, {SI("a\n.\n.\r\nb\r\n.\r\n"), 13},
        {SI("\r\n\r\n.\r\n"), 7}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut <= cases[i].text.len; cut++) {
            struct pop3_text t = {0};
            struct slice text = cases[i].text, in = slice_take(&text, cut);
            bool ended = pop3_text_end(&t, &in);

            assert_int_equal(ended, cut >= cases[i].end);
            if (!ended) {
                assert_int_equal(in.len, 0);
                assert_true(pop3_text_end(&t, &text));
                assert_int_equal(text.len, cases[i].text.len - cases[i].end);
            } else {
                assert_int_equal(in.len, cut - cases[i].end);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_at_every_cut),
        cmocka_unit_test(long_lines_keep_front_and_end),
        cmocka_unit_test(smtp_lines_have_a_code),
        cmocka_unit_test(imap_is_the_same_at_every_cut),
        cmocka_unit_test(imap_lines_have_a_kind),
        cmocka_unit_test(imap_numbers_are_told_from_words),
        cmocka_unit_test(pop3_text_ends_at_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
