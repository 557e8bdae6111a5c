#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/imap/imap.h"
#include "tests/proto/base/fence.h"

/* Small limits, so that cases stay readable. */
static const struct imap_limits small = {
    .line_max = 64, .literal_max = 24, .append_max = 1000, .skip_max = 100};

/* One run: what was sent, what is waiting, and what came out. */
struct run {
    struct imap_collect collect;
    struct fence *fence;
    struct slice window; /* received, not consumed */
    struct out log;
    char bytes[1 << 12];
    uint64_t message_left; /* of an APPEND that was accepted */
    bool refuse_appends;
    bool closed;
};

static void note(struct run *r, enum imap_collected found, struct slice in)
{
    struct imap_collect *c = &r->collect;
    struct slice bytes = slice_of(in.at, c->bytes);

    switch (found) {
    case IMAP_COLLECT_COMMAND:
        out_put(&r->log, S("C "));
        out_put(&r->log, bytes);
        break;
    case IMAP_COLLECT_APPEND:
        out_put(&r->log, c->literal_sync ? S("A ") : S("A+ "));
        out_u64(&r->log, c->literal_bytes);
        out_byte(&r->log, ' ');
        out_put(&r->log, bytes);
        break;
    case IMAP_COLLECT_CONTINUE:
        out_put(&r->log, S("+ "));
        out_u64(&r->log, c->literal_bytes);
        break;
    case IMAP_COLLECT_REFUSED:
        out_put(&r->log, S("R "));
        out_put(&r->log, imap_collect_tag(c, in));
        out_byte(&r->log, ' ');
        out_put(&r->log, imap_error_name(c->error));
        break;
    case IMAP_COLLECT_CLOSE:
        out_byte(&r->log, 'X');
        break;
    case IMAP_COLLECT_MORE:
    case IMAP_COLLECT_SKIP:
    case IMAP_COLLECT_LINE:
        return;
    }
    out_byte(&r->log, '|');
}

static void take_message(struct run *r)
{
    size_t n = r->window.len < r->message_left ? r->window.len : r->message_left;

    slice_take(&r->window, n);
    r->message_left -= n;
}

/* Takes all that can be taken from the window, which ends where memory ends. */
static void drain(struct run *r)
{
    enum imap_collected found;

    do {
        struct slice in;

        take_message(r);
        if (r->message_left)
            return;
        in = fence_end(r->fence, r->window);
        found = imap_collect(&r->collect, in, &small);
        note(r, found, in);
        assert_true(r->collect.bytes <= in.len);
        if (found == IMAP_COLLECT_APPEND && r->refuse_appends)
            imap_collect_refuse(&r->collect, &small);
        else if (found == IMAP_COLLECT_APPEND)
            r->message_left = r->collect.literal_bytes;
        slice_take(&r->window, r->collect.bytes);
        r->closed = found == IMAP_COLLECT_CLOSE;
    } while (found != IMAP_COLLECT_MORE && !r->closed);
}

/* Sends text cut before `cut` and then in pieces. */
static void send_all(struct run *r, struct slice text, size_t cut, size_t piece)
{
    r->collect = (struct imap_collect){0};
    r->log = out_of(r->bytes, sizeof r->bytes);
    r->window = slice_of(text.at, 0);
    r->message_left = 0;
    r->closed = false;
    for (size_t sent = 0; sent < text.len && !r->closed;) {
        size_t n = sent < cut ? cut - sent : piece;

        n = n < text.len - sent ? n : text.len - sent;
        r->window.len += n;
        sent += n;
        drain(r);
    }
}

static void expect(struct run *r, struct slice text, struct slice want)
{
    for (size_t cut = 0; cut <= text.len; cut++)
        for (size_t piece = 1; piece <= text.len; piece = piece * 2 + 1) {
            send_all(r, text, cut, piece);
            if (!slice_eq(out_slice(&r->log), want))
                fail_msg("%.*s\ncut at %zu, then by %zu gave\n%.*s\nnot\n%.*s",
                    (int)text.len, text.at, cut, piece, (int)r->log.len, r->log.at,
                    (int)want.len, want.at);
        }
}

struct test_case {
    struct slice text, want;
};

static void run_cases(const struct test_case *cases, size_t count, bool refuse_appends)
{
    struct fence fence = fence_make();
    struct run r = {.fence = &fence, .refuse_appends = refuse_appends};

    for (size_t i = 0; i < count; i++)
        expect(&r, cases[i].text, cases[i].want);
    fence_free(&fence);
}

#define RUN(cases) run_cases(cases, sizeof(cases) / sizeof(cases)[0], false)

static void commands_are_cut_at_their_ends(void **state)
{
    static const struct test_case cases[] = {
        {SI("a NOOP\r\n"), SI("C a NOOP\r\n|")},
        {SI("a NOOP\r\nb NOOP\r\nc "), SI("C a NOOP\r\n|C b NOOP\r\n|")},
        {SI("a\r\n"), SI("C a\r\n|")},
        {SI("a \r\n"), SI("C a \r\n|")},
        {SI("a]b X\r\n"), SI("C a]b X\r\n|")},
        {SI("a NOOP}\r\nb X{2\r\n"), SI("C a NOOP}\r\n|C b X{2\r\n|")},
        {SI("a X{}\r\nb X{-1}\r\nc X{1e9}\r\n"),
            SI("C a X{}\r\n|C b X{-1}\r\n|C c X{1e9}\r\n|")},
        {SI("a X{1+2}\r\nb X{1} \r\nc X{1}}\r\n"),
            SI("C a X{1+2}\r\n|C b X{1} \r\n|C c X{1}}\r\n|")},
    };

    (void)state;
    RUN(cases);
}

static void literals_stay_in_place(void **state)
{
    static const struct test_case cases[] = {
        {SI("a LOGIN {3}\r\nann {2}\r\npw\r\n"),
            SI("+ 3|+ 2|C a LOGIN {3}\r\nann {2}\r\npw\r\n|")},
        {SI("a LOGIN {3+}\r\nann {2+}\r\npw\r\nb NOOP\r\n"),
            SI("C a LOGIN {3+}\r\nann {2+}\r\npw\r\n|C b NOOP\r\n|")},
        {SI("a X {0}\r\n\r\n"), SI("+ 0|C a X {0}\r\n\r\n|")},
        {SI("a X {0+}\r\n{0+}\r\n\r\n"), SI("C a X {0+}\r\n{0+}\r\n\r\n|")},
        {SI("a X {4+}\r\n\r\n\n\r\r\n"), SI("C a X {4+}\r\n\r\n\n\r\r\n|")},
        {SI("a X {5+}\r\n{9+}\r\r\n"), SI("C a X {5+}\r\n{9+}\r\r\n|")},
        {SI("a X {2+}\r\n\0\xff\r\n"), SI("C a X {2+}\r\n\0\xff\r\n|")},
        {SI("a X {{2+}\r\nhi\r\n"), SI("C a X {{2+}\r\nhi\r\n|")},
        {SI("a X {0024+}\r\n012345678901234567890123\r\n"),
            SI("C a X {0024+}\r\n012345678901234567890123\r\n|")},
    };

    (void)state;
    RUN(cases);
}

static void bad_tags_are_not_echoed(void **state)
{
    static const struct test_case cases[] = {
        {SI("+ NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("* NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI(" NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("a(b NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("a+ NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("a% NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("a\0b NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("\xff NOOP\r\na NOOP\r\n"), SI("R  TAG|C a NOOP\r\n|")},
        {SI("a\n"), SI("R  TAG|")},
    };

    (void)state;
    RUN(cases);
}

static void a_tag_has_a_limit(void **state)
{
    struct imap_limits limits = imap_limits_of(true, 0);
    char text[IMAP_TAG_MAX + 8];

    (void)state;
    for (size_t n = IMAP_TAG_MAX; n <= IMAP_TAG_MAX + 1; n++) {
        struct imap_collect c = {0};
        bool fits = n == IMAP_TAG_MAX;

        memset(text, 't', n);
        memcpy(text + n, " X\r\n", 4);
        assert_int_equal(imap_collect(&c, slice_of(text, n + 4), &limits),
            fits ? IMAP_COLLECT_COMMAND : IMAP_COLLECT_REFUSED);
        assert_int_equal(c.error, fits ? IMAP_ERROR_NONE : IMAP_ERROR_TAG);
        assert_int_equal(c.tag_bytes, fits ? IMAP_TAG_MAX : 0);
    }
}

static void octets_outside_literals_are_checked(void **state)
{
    static const struct test_case cases[] = {
        {SI("a NO\0OP\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a NOOP\rLOGOUT\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a NOOP\nb LOGOUT\r\nc NOOP\r\n"), SI("R a OCTET|C c NOOP\r\n|")},
        {SI("a NOOP\r\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a\r\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a SELECT \"a\rb\"\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a SELECT \"\xc3\xa9\"\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a X \xff{5+}\r\nb X\r\n\r\nc NOOP\r\n"), SI("R a OCTET|C c NOOP\r\n|")},
        {SI("a X \xff{5}\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
        {SI("a X {3+}\r\nabc\xff\r\nb NOOP\r\n"), SI("R a OCTET|C b NOOP\r\n|")},
    };

    (void)state;
    RUN(cases);
}

#define N10 "0123456789"

static void too_much_is_refused_in_step(void **state)
{
    static const struct test_case cases[] = {
        /* 64 octets fit, 65 do not. */
        {SI("a " N10 N10 N10 N10 N10 N10 "\r\n"),
            SI("C a " N10 N10 N10 N10 N10 N10 "\r\n|")},
        {SI("a " N10 N10 N10 N10 N10 N10 "0\r\nb NOOP\r\n"),
            SI("R a LINE_LONG|C b NOOP\r\n|")},
        {SI("a {4+}\r\n" N10 N10 N10 N10 N10 N10 "\r\nb NOOP\r\n"),
            SI("R a LINE_LONG|C b NOOP\r\n|")},
        {SI("a " N10 N10 N10 N10 N10 N10 "{4+}\r\nX\r\n\r\r\nb NOOP\r\n"),
            SI("R a LINE_LONG|C b NOOP\r\n|")},
        /* No end in sight. */
        {SI("a " N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10),
            SI("R a LINE_LONG|X|")},
        /* A refused literal that is waited for ends its command. */
        {SI("a LOGIN {25}\r\nb NOOP\r\n"), SI("R a LITERAL_BIG|C b NOOP\r\n|")},
        {SI("a LOGIN {4294967296}\r\nb NOOP\r\n"), SI("R a LITERAL_BIG|C b NOOP\r\n|")},
        {SI("a LOGIN {18446744073709551616}\r\nb NOOP\r\n"),
            SI("R a LITERAL_BIG|C b NOOP\r\n|")},
        {SI("a LOGIN {99999999999999999999999999999}\r\nb NOOP\r\n"),
            SI("R a LITERAL_BIG|C b NOOP\r\n|")},
        /* One that is not waited for is skipped, with the rest of the line. */
        {SI("a X {25+}\r\n0123456789\r\nc NOOP\r\nabc d e\r\nb NOOP\r\n"),
            SI("R a LITERAL_BIG|C b NOOP\r\n|")},
        {SI("a X {20+}\r\n" N10 N10 " {5+}\r\nabcde {3+}\r\nabc\r\nb NOOP\r\n"),
            SI("R a LITERAL_BIG|C b NOOP\r\n|")},
        {SI("a X {101+}\r\n" N10), SI("R a LITERAL_BIG|X|")},
        {SI("a X {268435456+}\r\n" N10), SI("R a LITERAL_BIG|X|")},
        {SI("a X {60+}\r\n" N10 N10 N10 N10 N10 N10 " {60+}\r\n" N10),
            SI("R a LITERAL_BIG|X|")},
    };

    (void)state;
    RUN(cases);
}

static void messages_are_announced_and_left_to_the_caller(void **state)
{
    static const struct test_case cases[] = {
        {SI("a APPEND x {5}\r\nhello\r\nb NOOP\r\n"),
            SI("A 5 a APPEND x {5}\r\n|C \r\n|C b NOOP\r\n|")},
        {SI("a append x {5+}\r\nhello\r\nb NOOP\r\n"),
            SI("A+ 5 a append x {5+}\r\n|C \r\n|C b NOOP\r\n|")},
        {SI("a APPEND {1}\r\nx {5}\r\na\r\nb \r\n"),
            SI("+ 1|A 5 a APPEND {1}\r\nx {5}\r\n|C \r\n|")},
        {SI("a APPEND {1+}\r\nx (\\Seen) {500+}\r\n" N10),
            SI("A+ 500 a APPEND {1+}\r\nx (\\Seen) {500+}\r\n|")},
        {SI("a APPEND x {0}\r\n\r\nb NOOP\r\n"),
            SI("A 0 a APPEND x {0}\r\n|C \r\n|C b NOOP\r\n|")},
        {SI("a APPEND x {5+}\r\nhello more\r\nb NOOP\r\n"),
            SI("A+ 5 a APPEND x {5+}\r\n|R  APPEND_TAIL|C b NOOP\r\n|")},
        {SI("a APPEND x {5+}\r\nhello\nb NOOP\r\nc NOOP\r\n"),
            SI("A+ 5 a APPEND x {5+}\r\n|R  APPEND_TAIL|C c NOOP\r\n|")},
        {SI("a APPEND x {1000}\r\n"), SI("A 1000 a APPEND x {1000}\r\n|")},
        {SI("a APPEND x {5+}\r\nhello\r \r\nb NOOP\r\n"),
            SI("A+ 5 a APPEND x {5+}\r\n|R  APPEND_TAIL|C b NOOP\r\n|")},
        {SI("a APPEND x {5+}\r\nhello {9+}\r\nb LOGOUT\r\nc\r\nd NOOP\r\n"),
            SI("A+ 5 a APPEND x {5+}\r\n|R  APPEND_TAIL|C d NOOP\r\n|")},
        {SI("a APPEND x {1001}\r\nb NOOP\r\n"), SI("R a MESSAGE_BIG|C b NOOP\r\n|")},
        {SI("a APPEND x {99999999999}\r\nb NOOP\r\n"),
            SI("R a MESSAGE_BIG|C b NOOP\r\n|")},
        {SI("a APPEND x {1001+}\r\n" N10), SI("R a MESSAGE_BIG|X|")},
        {SI("a APPENDX x {5+}\r\nhello\r\n"), SI("C a APPENDX x {5+}\r\nhello\r\n|")},
    };

    (void)state;
    RUN(cases);
}

static void refused_messages_are_skipped(void **state)
{
    static const struct test_case cases[] = {
        {SI("a APPEND x {5}\r\nb NOOP\r\n"), SI("A 5 a APPEND x {5}\r\n|C b NOOP\r\n|")},
        {SI("a APPEND x {8+}\r\nc NOOP\r\n\r\nb NOOP\r\n"),
            SI("A+ 8 a APPEND x {8+}\r\n|C b NOOP\r\n|")},
        {SI("a APPEND x {101+}\r\n" N10 N10 N10 N10 N10 N10 N10 N10 N10 N10
            "\n\r\nb NOOP\r\n"),
            SI("A+ 101 a APPEND x {101+}\r\n|C b NOOP\r\n|")},
        {SI("a APPEND x {1+}\r\n" N10 N10 N10 N10 N10 N10 N10 N10 N10 N10 N10),
            SI("A+ 1 a APPEND x {1+}\r\n|X|")},
    };

    (void)state;
    run_cases(cases, sizeof cases / sizeof cases[0], true);
}

/* What was looked at once may change without anybody noticing: so nothing is looked at
 * twice, and a sender of single octets costs no more than any other. The front is kept,
 * because the verb is asked for again when a literal is announced. */
static void octets_are_looked_at_once(void **state)
{
    enum { OCTETS = 60000, KEPT = 16 };
    struct imap_limits limits = imap_limits_of(true, 0);
    struct imap_collect c = {0};
    char *text = test_malloc(OCTETS + 2);

    (void)state;
    memset(text, 'x', OCTETS);
    memcpy(text, "a SEARCH ", 9);
    memcpy(text + OCTETS, "\r\n", 2);
    for (size_t n = 1; n < OCTETS + 2; n++) {
        assert_int_equal(imap_collect(&c, slice_of(text, n), &limits), IMAP_COLLECT_MORE);
        if (n > KEPT && n <= OCTETS)
            text[n - 1] = '\0';
    }
    assert_int_equal(
        imap_collect(&c, slice_of(text, OCTETS + 2), &limits), IMAP_COLLECT_COMMAND);
    assert_int_equal(c.bytes, OCTETS + 2);
    test_free(text);
}

/* The matrix's own numbers: 20,000 literals in one command end at the sum limit. */
static void the_sum_of_literals_is_bounded(void **state)
{
    struct imap_limits limits = imap_limits_of(true, 0);
    struct imap_collect c = {0};
    char *text = test_malloc(1 << 20);
    struct out o = out_of(text, 1 << 20);
    enum imap_collected found;

    (void)state;
    out_str(&o, "a SEARCH");
    for (int i = 0; i < 2000; i++) {
        out_str(&o, " SUBJECT {400+}\r\n");
        for (int j = 0; j < 40; j++)
            out_str(&o, N10);
    }
    assert_false(o.full);
    found = imap_collect(&c, out_slice(&o), &limits);
    assert_int_equal(found, IMAP_COLLECT_REFUSED);
    assert_int_equal(c.error, IMAP_ERROR_LITERAL_BIG);
    assert_in_range(c.bytes, 65536, 65536 + 65536 / 20);
    test_free(text);
}

static void limits_before_login_are_lower(void **state)
{
    struct imap_limits limits = imap_limits_of(false, 1000);
    struct imap_collect c = {0};
    struct slice fits = S("a LOGIN {4096}\r\n"), big = S("a LOGIN {4097}\r\n");

    (void)state;
    assert_int_equal(imap_collect(&c, fits, &limits), IMAP_COLLECT_CONTINUE);
    c = (struct imap_collect){0};
    assert_int_equal(imap_collect(&c, big, &limits), IMAP_COLLECT_REFUSED);
    assert_int_equal(limits.line_max, 8192);
}

/* --- plain lines ------------------------------------------------------------------- */

static enum imap_collected collect_line_cut(
    struct imap_collect *c, struct slice text, size_t cut)
{
    enum imap_collected found;

    *c = (struct imap_collect){0};
    found = imap_collect_line(c, slice_of(text.at, cut), 16, &small);
    if (found != IMAP_COLLECT_MORE)
        return found;
    return imap_collect_line(c, text, 16, &small);
}

static void plain_lines_are_cut(void **state)
{
    static const struct {
        struct slice text;
        enum imap_collected found;
        size_t bytes;
        enum imap_error error;
    } cases[] = {
        {SI("DONE\r\n"), IMAP_COLLECT_LINE, 6, 0},
        {SI("\r\nrest"), IMAP_COLLECT_LINE, 2, 0},
        {SI("AGFubgBwdw=\r\n"), IMAP_COLLECT_LINE, 13, 0},
        {SI("01234567890123\r\n"), IMAP_COLLECT_LINE, 16, 0},
        {SI("012345678901234\r\n"), IMAP_COLLECT_REFUSED, 16, IMAP_ERROR_LINE_LONG},
        {SI("DONE\n"), IMAP_COLLECT_REFUSED, 4, IMAP_ERROR_OCTET},
        {SI("DO\0E\r\n"), IMAP_COLLECT_REFUSED, 2, IMAP_ERROR_OCTET},
        {SI("b X {4+}\r\nabcd\r\n"), IMAP_COLLECT_REFUSED, 10, IMAP_ERROR_LITERAL},
        {SI("DONE"), IMAP_COLLECT_MORE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t cut = 0; cut <= cases[i].text.len; cut++) {
            struct imap_collect c;

            assert_int_equal(collect_line_cut(&c, cases[i].text, cut), cases[i].found);
            assert_int_equal(c.bytes, cases[i].bytes);
            assert_int_equal(c.error, cases[i].error);
        }
}

static void a_refused_line_stays_in_step(void **state)
{
    struct imap_collect c = {0};
    struct slice in = S("b X {6+}\r\nDONE\r\n!\r\na NOOP\r\n");

    (void)state;
    assert_int_equal(imap_collect_line(&c, in, 64, &small), IMAP_COLLECT_REFUSED);
    slice_take(&in, c.bytes);
    assert_int_equal(imap_collect(&c, in, &small), IMAP_COLLECT_SKIP);
    slice_take(&in, c.bytes);
    assert_int_equal(imap_collect(&c, in, &small), IMAP_COLLECT_COMMAND);
    assert_true(slice_eq(slice_of(in.at, c.bytes), S("a NOOP\r\n")));
}

/* Whole, and octet by octet: the runs that are passed over at once hide nothing. */
static void a_line_is_judged_wherever_it_is_cut(void **state)
{
    static const char octets[] = "abc {{{}7+\r\n\n\r";
    const struct imap_limits limits = {
        .line_max = 90, .literal_max = 50, .skip_max = 1000};
    struct fence fence = fence_make();
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        struct imap_collect whole = {0}, single = {0};
        enum imap_collected found, last = IMAP_COLLECT_MORE;
        char text[100] = "a1 ";
        size_t n = 3;

        while (n < sizeof text) {
            seed = seed * 1664525 + 1013904223;
            text[n++] =
                (char)((seed >> 8) % 16 ? 'x' : octets[(seed >> 16) % sizeof octets]);
        }
        found = imap_collect(&whole, fence_end(&fence, slice_of(text, n)), &limits);
        for (size_t i = 1; i <= n && last == IMAP_COLLECT_MORE; i++)
            last = imap_collect(&single, fence_end(&fence, slice_of(text, i)), &limits);
        assert_int_equal(found, last);
        assert_int_equal(whole.bytes, single.bytes);
        assert_int_equal(whole.error, single.error);
        assert_int_equal(whole.literal_bytes, single.literal_bytes);
    }
    fence_free(&fence);
}

static void done_ends_idle(void **state)
{
    (void)state;
    assert_true(imap_is_done(S("DONE\r\n")));
    assert_true(imap_is_done(S("done\r\n")));
    assert_false(imap_is_done(S("DONE \r\n")));
    assert_false(imap_is_done(S("b NOOP\r\n")));
    assert_false(imap_is_done(S("\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_cut_at_their_ends),
        cmocka_unit_test(literals_stay_in_place),
        cmocka_unit_test(bad_tags_are_not_echoed),
        cmocka_unit_test(a_tag_has_a_limit),
        cmocka_unit_test(octets_outside_literals_are_checked),
        cmocka_unit_test(too_much_is_refused_in_step),
        cmocka_unit_test(messages_are_announced_and_left_to_the_caller),
        cmocka_unit_test(refused_messages_are_skipped),
        cmocka_unit_test(octets_are_looked_at_once),
        cmocka_unit_test(the_sum_of_literals_is_bounded),
        cmocka_unit_test(limits_before_login_are_lower),
        cmocka_unit_test(plain_lines_are_cut),
        cmocka_unit_test(a_refused_line_stays_in_step),
        cmocka_unit_test(a_line_is_judged_wherever_it_is_cut),
        cmocka_unit_test(done_ends_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
