#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "proto/mime/summary.h"
#include "tests/proto/mime/wire_check.h"

/* Hostile mail: every message must be summarized within the time, the arena and the
 * size that summary.h promises. Sanitizers are slow, so the time allowed is generous;
 * work that grows with the square of the input takes minutes. */
enum { RENDERED_MAX = 4 << 20, MESSAGE_MAX = 64 << 20 };

static const double seconds_max = 10;

/* A message that is put together. */
struct text {
    char *at;
    size_t len, cap;
};

static struct text text_begin(void)
{
    return (struct text){0};
}

static void add(struct text *t, const char *s)
{
    size_t n = strlen(s);

    if (t->len + n > t->cap) {
        t->cap = t->cap ? 4 * t->cap : 64 << 10;
        CHECK(t->len + n <= t->cap && t->cap <= MESSAGE_MAX);
        t->at = realloc(t->at, t->cap);
        CHECK(t->at);
    }
    memcpy(t->at + t->len, s, n);
    t->len += n;
}

static void add_number(struct text *t, const char *before, unsigned n, const char *after)
{
    char number[16];

    snprintf(number, sizeof number, "%u", n);
    add(t, before);
    add(t, number);
    add(t, after);
}

static void repeat(struct text *t, const char *s, unsigned times)
{
    while (times--)
        add(t, s);
}

static unsigned count(struct slice s, const char *what)
{
    unsigned n = 0;
    const char *hit;

    while ((hit = memmem(s.at, s.len, what, strlen(what)))) {
        n++;
        slice_take(&s, (size_t)(hit + strlen(what) - s.at));
    }
    return n;
}

/* Summarizes in pieces of 64 KiB, checks the promises, frees the message. */
static struct summary summarize_within(
    const struct summary_limits *limits, struct text *t, struct arena *arena)
{
    struct slice rest = slice_of(t->at, t->len);
    struct summary_builder *b;
    struct summary_leaf leaf;
    struct summary s;
    clock_t start = clock();

    *arena = arena_of(summary_memory(limits));
    b = summary_begin(arena, limits);
    assert_non_null(b);
    while (rest.len)
        summary_feed(b, slice_take(&rest, rest.len < 65536 ? rest.len : 65536));
    assert_true(summary_open(summary_end(b), &s));
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < seconds_max);
    assert_true(wire_is_list(s.envelope) && wire_is_list(s.body));
    assert_true(wire_is_list(s.bodystructure));
    assert_true(s.envelope.len + s.body.len + s.bodystructure.len <= RENDERED_MAX + 64);
    assert_int_equal(s.size, t->len);
    for (unsigned i = 0; summary_leaf_at(&s, i, &leaf); i++)
        assert_true(leaf.body.at + leaf.body.len <= s.size);
    free(t->at);
    return s;
}

static struct summary summarize(struct text *t, struct arena *arena)
{
    return summarize_within(&summary_defaults, t, arena);
}

static unsigned parts_of(const struct summary *s)
{
    struct summary_leaf leaf;
    unsigned n = 0;

    while (summary_leaf_at(s, n, &leaf))
        n++;
    return n;
}

static void multiparts_nest_100_deep(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        add_number(&t, "Content-Type: multipart/mixed; boundary=b", i, ".\r\n\r\n");
        add_number(&t, "--b", i, ".\r\n");
    }
    add(&t, "\r\ndeep\r\n");
    s = summarize(&t, &arena);
    assert_int_equal(parts_of(&s), 101);
    assert_int_equal(count(s.bodystructure, "\"mixed\""), 100);
    assert_int_equal(count(s.bodystructure, "\"application\" \"octet-stream\""), 1);
    arena_reset(&arena);
}

static void messages_nest_100_deep(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    repeat(&t, "Content-Type: message/rfc822\r\n\r\n", 2000);
    s = summarize(&t, &arena);
    assert_int_equal(parts_of(&s), 101);
    assert_int_equal(count(s.bodystructure, "\"message\" \"rfc822\""), 100);
    arena_reset(&arena);
}

static void ten_thousand_parts_are_listed(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;
    struct range r;

    (void)state;
    add(&t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    repeat(&t, "--b\r\n\r\nx\r\n", 100000);
    add(&t, "--b--\r\n");
    s = summarize(&t, &arena);
    assert_int_equal(parts_of(&s), 10000);
    assert_true(summary_section(&s, (uint32_t[]){9999}, 1, SECTION_ALL, &r));
    assert_int_equal(r.len, 1);
    assert_false(summary_section(&s, (uint32_t[]){10000}, 1, SECTION_ALL, &r));
    arena_reset(&arena);
}

/* Where the renderings would be over their limit, fewer parts are listed. */
static void renderings_are_bounded(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    add(&t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (unsigned i = 0; i < 20000; i++) {
        add(&t, "--b\r\nContent-Description: ");
        repeat(&t, "0123456789", 100);
        add(&t, "\r\n\r\nx\r\n");
    }
    s = summarize(&t, &arena);
    assert_true(parts_of(&s) > 1000);
    arena_reset(&arena);
}

static void many_messages_with_envelopes_are_bounded(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    add(&t, "Content-Type: multipart/digest; boundary=b\r\n\r\n");
    for (unsigned i = 0; i < 9000; i++)
        add_number(&t, "--b\r\n\r\nFrom: ", i,
            "@a.test\r\nTo: <b@c>\r\nSubject: \"\"\"\"\r\n\r\nx\r\n");
    s = summarize(&t, &arena);
    assert_true(parts_of(&s) > 4000);
    arena_reset(&arena);
}

static void thousand_addresses_of_a_field(void **state)
{
    static const char *const forms[] = {
        "a@b.test, ", "\"x\" <a@b.test>,\r\n ", "g:a@b.test;,", "<@r:a@b.test>,(c)"};
    static const char *const starts[] = {"To: ", "From: "};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct text t = text_begin();
        struct arena arena;
        struct summary s;

        add(&t, starts[i / 4]);
        repeat(&t, forms[i % 4], 50000);
        add(&t, "\r\n\r\n");
        s = summarize(&t, &arena);
        assert_in_range(count(s.envelope, "\"b.test\""), 333, i < 4 ? 1000 : 3000);
        arena_reset(&arena);
    }
}

static void many_fields_of_one_name(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    for (unsigned i = 0; i < 20000; i++)
        add_number(
            &t, "To: a", i, "@b.test\r\nSubject: 0123456789012345678901234567\r\n");
    add(&t, "\r\n");
    s = summarize(&t, &arena);
    assert_int_equal(count(s.envelope, "\"b.test\""), 1000);
    arena_reset(&arena);
}

static void pieces_of_parameters(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    add(&t, "Content-Type: a/b");
    for (unsigned i = 0; i < 20000; i++)
        add_number(&t, ";\r\n n*", i, "=xyz");
    add(&t, "\r\n\r\n");
    s = summarize(&t, &arena);
    assert_int_equal(count(s.bodystructure, "xyz"), 128);
    arena_reset(&arena);
}

/* Names that differ at their end only, as many as are read. */
static void long_parameter_names(void **state)
{
    struct text t = text_begin();
    struct arena arena;

    (void)state;
    for (unsigned k = 0; k < 40; k++) {
        add(&t, "Content-Disposition: x");
        for (unsigned i = 0; i < 4000; i++) {
            add(&t, ";");
            repeat(&t, "0123456789", 24);
            add_number(&t, "", i, "*0=a");
        }
        add(&t, "\r\n");
    }
    add(&t, "\r\n");
    summarize(&t, &arena);
    arena_reset(&arena);
}

/* What is put 50,000 times into a field, which is then read in several ways. */
static void hostile_field_values(void **state)
{
    static const char *const pieces[] = {"(", "(a", ")", "\"", "\\", "<", ">", "<a@", ":",
        ";", "@", ",", "[", "=?utf-8?Q?x?= ", "a ", ".", "*", "=", "'", "\r\n ", "a:;",
        "<@a,", "\"\" ", "((()", "a=", ";a=b", "/", "--b"};
    static const char *const names[] = {"From: ", "Content-Type: a/b ",
        "Date: ", "Content-Disposition: a;",
        "Subject: ", "Content-Language: ", "Content-Type: "};

    (void)state;
    for (unsigned i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct text t = text_begin();
        struct arena arena;

        for (unsigned k = 0; k < sizeof names / sizeof names[0]; k++) {
            add(&t, names[k]);
            repeat(&t, pieces[i], 50000);
            add(&t, "\r\n");
        }
        add(&t, "\r\nbody");
        summarize(&t, &arena);
        arena_reset(&arena);
    }
}

static void many_and_large_fields(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    for (unsigned i = 0; i < 70000; i++)
        add_number(&t, "X-Field-", i, ": some words that fill a line of a header\r\n");
    add(&t, "Subject: ");
    repeat(&t, "0123456789abcdef", 100000);
    add(&t, "\r\nMessage-ID: <after@it>\r\n\r\n");
    s = summarize(&t, &arena);
    assert_int_equal(count(s.envelope, "0123456789abcdef"), (256 << 10) / 16 - 1);
    assert_int_equal(count(s.envelope, "<after@it>"), 1);
    arena_reset(&arena);
}

/* All ten fields of an envelope, of the most that is looked at each, full of octets
 * that must be escaped. */
static void largest_envelope(void **state)
{
    static const char *const names[] = {
        "Subject: ", "Message-ID: ", "In-Reply-To: ", "Date: ", "From: \"", "To: \"",
        "Cc: \"", "Bcc: \"", "Sender: \"", "Reply-To: \""};
    struct text t = text_begin();
    struct arena arena;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        add(&t, names[i]);
        repeat(&t, "\"\\\"", 350000);
        add(&t, "\r\n");
    }
    add(&t, "\r\n");
    summarize(&t, &arena);
    arena_reset(&arena);
}

static void header_beyond_its_limit_is_opaque(void **state)
{
    struct text t = text_begin();
    struct arena arena;
    struct summary s;

    (void)state;
    repeat(&t, "X: 01234567890123456789012345678901234567890123456789\r\n", 200000);
    add(&t, "Subject: too late\r\n\r\nbody\r\n");
    s = summarize(&t, &arena);
    assert_int_equal(count(s.envelope, "late"), 0);
    assert_int_equal(s.body_lines, 1);
    arena_reset(&arena);
}

static double cpu_ms(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The longest call while the message is summarized in pieces of 32 KiB, in milliseconds,
 * and how many calls its end took. */
static double longest_call(struct text *t, unsigned *ends)
{
    struct slice rest = slice_of(t->at, t->len), encoded;
    struct arena arena = arena_of(summary_memory(&summary_defaults));
    struct summary_builder *b = summary_begin(&arena, &summary_defaults);
    double longest = 0;
    struct summary s;
    bool ended = false;

    for (*ends = 0; !ended; *ends += rest.len == 0) {
        double start = cpu_ms(), took;

        if (rest.len)
            summary_feed(b, slice_take(&rest, rest.len < 32768 ? rest.len : 32768));
        else
            ended = summary_end_step(b, &encoded);
        took = cpu_ms() - start;
        longest = took > longest ? took : longest;
    }
    assert_true(summary_open(encoded, &s));
    assert_int_equal(s.size, t->len);
    arena_reset(&arena);
    return longest;
}

/* A release build takes about a millisecond for the longest call; what is built to be
 * debugged may take sixty times that, on a machine that is busy with other things. Frees
 * the message. */
static bool is_quick(struct text *t, unsigned *ends)
{
    bool quick = false;

    for (unsigned tries = 0; tries < 3 && !quick; tries++)
        quick = longest_call(t, ends) < 60;
    free(t->at);
    return quick;
}

static void no_call_takes_long(void **state)
{
    static const char *const names[] = {"Subject: ", "Date: ", "From: ", "To: <",
        "Content-Type: text/plain; a=", "Content-Disposition: a; b=", "Content-ID: "};
    static const char *const pieces[] = {
        "\\", "\"", "a", "a,", "(", "@a", "\r\n ", "[", " (a)", ";x=y", "<@a,@b:"};
    unsigned ends;

    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        for (unsigned k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
            struct text t = text_begin();

            add(&t, names[i]);
            while (t.len < 1 << 20)
                add(&t, pieces[k]);
            add(&t, "\r\n\r\nbody\r\n");
            assert_true(is_quick(&t, &ends));
            assert_true(ends <= 4);
        }
}

static void large_structures_are_ended_in_steps(void **state)
{
    struct text t = text_begin();
    unsigned ends;

    (void)state;
    add(&t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (unsigned i = 0; i < 10000; i++)
        add_number(&t, "--b\r\nContent-Type: image/png; name=", i, "\r\n\r\nx\r\n");
    assert_true(is_quick(&t, &ends));
    assert_true(ends > 30);
}

/* Lines that nearly are delimiters of a hundred open multiparts. */
static void near_delimiters(void **state)
{
    struct text t = text_begin();
    struct arena arena;

    (void)state;
    for (unsigned i = 0; i < 99; i++) {
        add(&t, "Content-Type: multipart/mixed; boundary=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        add_number(&t, "", 100 + i, "\"\r\n\r\n--aaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        add_number(&t, "", 100 + i, "\r\n");
    }
    add(&t, "\r\n");
    repeat(&t, "--aaaaaaaaaaaaaaaaaaaaaaaaaaaa1\r\n--\r\n-\r\n--a\r\n", 200000);
    summarize(&t, &arena);
    arena_reset(&arena);
}

/* Other limits than the defaults: one below each is met, and the largest. */
static void limits_are_those_given(void **state)
{
    const struct summary_limits small = {.field = 4096,
        .header = 8192,
        .depth = 2,
        .parts = 4,
        .addresses = 3,
        .pieces = 2};
    const struct summary_limits large = {.field = SUMMARY_FIELD_MAX,
        .header = SUMMARY_HEADER_MAX,
        .depth = SUMMARY_DEPTH_MAX,
        .parts = SUMMARY_PARTS_MAX,
        .addresses = SUMMARY_ADDRESSES_MAX,
        .pieces = SUMMARY_PIECES_MAX};
    const struct summary_limits *limits[] = {&small, &large};
    const unsigned addresses[] = {3, 10}, texts[] = {4096 / 16 - 1, 512},
                   pieces[] = {2, 5}, parts[] = {4, 7}, late[] = {0, 1};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct text t = text_begin();
        struct arena arena;
        struct summary s;

        add(&t, "To: ");
        repeat(&t, "a@b.test, ", 10);
        add(&t, "\r\nContent-Type: multipart/mixed; boundary=b");
        for (unsigned k = 0; k < 5; k++)
            add_number(&t, "; n*", k, "=xyz");
        add(&t, "\r\nSubject: ");
        repeat(&t, "0123456789abcdef", 512);
        add(&t, "\r\nMessage-ID: <late>\r\n\r\n");
        repeat(&t, "--b\r\n\r\nx\r\n", 5);
        add(&t,
            "--b\r\nContent-Type: message/rfc822\r\n\r\nTo: c@d\r\n\r\nx\r\n--b--\r\n");
        s = summarize_within(limits[i], &t, &arena);
        assert_int_equal(count(s.envelope, "\"b.test\""), addresses[i]);
        assert_int_equal(count(s.envelope, "0123456789abcdef"), texts[i]);
        assert_int_equal(count(s.envelope, "<late>"), late[i]);
        assert_int_equal(count(s.bodystructure, "xyz"), pieces[i]);
        assert_int_equal(parts_of(&s), parts[i] + (i == 1));
        arena_reset(&arena);
    }
}

static void depth_is_that_given(void **state)
{
    struct summary_limits limits = summary_defaults;

    (void)state;
    for (unsigned depth = 1; depth < 100; depth += 7) {
        struct text t = text_begin();
        struct arena arena;
        struct summary s;

        limits.depth = depth;
        repeat(&t, "Content-Type: message/rfc822\r\n\r\n", 200);
        s = summarize_within(&limits, &t, &arena);
        assert_int_equal(parts_of(&s), depth + 1);
        arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiparts_nest_100_deep),
        cmocka_unit_test(messages_nest_100_deep),
        cmocka_unit_test(ten_thousand_parts_are_listed),
        cmocka_unit_test(renderings_are_bounded),
        cmocka_unit_test(many_messages_with_envelopes_are_bounded),
        cmocka_unit_test(thousand_addresses_of_a_field),
        cmocka_unit_test(many_fields_of_one_name),
        cmocka_unit_test(pieces_of_parameters),
        cmocka_unit_test(long_parameter_names),
        cmocka_unit_test(hostile_field_values),
        cmocka_unit_test(many_and_large_fields),
        cmocka_unit_test(largest_envelope),
        cmocka_unit_test(header_beyond_its_limit_is_opaque),
        cmocka_unit_test(no_call_takes_long),
        cmocka_unit_test(large_structures_are_ended_in_steps),
        cmocka_unit_test(near_delimiters),
        cmocka_unit_test(limits_are_those_given),
        cmocka_unit_test(depth_is_that_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
