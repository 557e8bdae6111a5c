#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/imap/imap_name.h"
#include "tests/proto/base/fence.h"

static void names_change_form_and_back(void **state)
{
    static const struct {
        struct slice wire, utf8;
    } cases[] = {
        {SI("a b"), SI("a b")},
        {SI("&-"), SI("&")},
        {SI("a&-b&-"), SI("a&b&")},
        {SI("&AOk-"), SI("\xc3\xa9")},
        {SI("&Jjo-!"), SI("\xe2\x98\xba!")},
        {SI("&Jjo-&-"), SI("\xe2\x98\xba&")},
        {SI("&-&Jjo-"), SI("&\xe2\x98\xba")},
        {SI("~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            SI("~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
               "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e")},
        {SI("&U,BTF2XlZyyKng-"),
            SI("\xe5\x8f\xb0\xe5\x8c\x97\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e")},
        {SI("&B,8IAA-"), SI("\xdf\xbf\xe0\xa0\x80")},
        {SI("&2D3cqQ-"), SI("\xf0\x9f\x92\xa9")},
        {SI("&2D3cqdg93Kk-"), SI("\xf0\x9f\x92\xa9\xf0\x9f\x92\xa9")},
        {SI("&2//f,w-"), SI("")},
        {SI("&,,8-"), SI("\xef\xbf\xbf")},
        {SI("&AAE-"), SI("\x01")},
        {SI("&AIAAfw-"), SI("\xc2\x80\x7f")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[128];
        struct fence fence = fence_make();
        struct out o = out_of(bytes, sizeof bytes);
        bool good = imap_name_decode(fence_end(&fence, cases[i].wire), &o);

        /* An empty right side: not a name at all. */
        assert_int_equal(good, cases[i].utf8.len != 0);
        if (good) {
            assert_true(slice_eq(out_slice(&o), cases[i].utf8));
            o = out_of(bytes, sizeof bytes);
            assert_true(imap_name_encode(fence_end(&fence, cases[i].utf8), &o));
            assert_true(slice_eq(out_slice(&o), cases[i].wire));
        }
        fence_free(&fence);
    }
}

/* Other ways to write a name, and what may not be written at all. */
static void only_the_canonical_form_is_read(void **state)
{
    static const struct slice cases[] = {
        SI("a&"),
        SI("&AAA"),
        SI("a&AAA"),
        SI("&Jjo"),
        SI("&Jjo!"),
        SI("&!!-"),
        SI("&A-"),
        SI("&AO-"),
        SI("&AOl-"),
        SI("&AOkA-"),
        SI("&AOkAA-"),
        SI("&AOkAAA-"), /* a NUL behind the letter */
        SI("&Jjo-&Jjo-"),
        SI("&U,BTFw-&ZeVnLIqe-"),
        SI("&ADw-script-"),
        SI("&AGE-"),
        SI("&AC8-"),
        SI("&ACY-"),
        SI("&AH4-"),
        SI("&ACA-"),
        SI("&AAA-"),
        SI("&AA0ACg-"),
        SI("&AAo-"),
        SI("&2AA-"),
        SI("&2D0-"),
        SI("&3Kk-"),
        SI("&3KnYPQ-"),
        SI("&2D0AYQ-"),
        SI("&2D3YPQ-"),
        SI("&AOk=-"),
        SI("&AO k-"),
        SI("&AO/k-"),
        SI("\xc3\xa9"),
        SI("a\x7f"),
        SI("a\x01"),
        SI("a\r\n* BYE"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[128];
        struct out o = out_of(bytes, sizeof bytes);

        if (imap_name_decode(cases[i], &o))
            fail_msg("%.*s was read", (int)cases[i].len, cases[i].at);
    }
}

/* Whatever can be decoded is encoded to itself: all names of five letters out of an
 * alphabet that shifts, pads and breaks. */
static void reading_and_writing_agree(void **state)
{
    static const char letters[] = "&-aAOk,+/Jjo2D3cqQg";
    enum { LETTERS = sizeof letters - 1, LENGTH = 5 };
    unsigned good = 0;

    (void)state;
    for (unsigned n = 0; n < LETTERS * LETTERS * LETTERS * LETTERS * LETTERS; n++) {
        char wire[LENGTH], utf8[3 * LENGTH], back[4 * LENGTH];
        struct out o = out_of(utf8, sizeof utf8), b = out_of(back, sizeof back);
        unsigned rest = n;

        for (int i = 0; i < LENGTH; i++, rest /= LETTERS)
            wire[i] = letters[rest % LETTERS];
        if (!imap_name_decode(slice_of(wire, LENGTH), &o))
            continue;
        assert_true(slice_is_utf8(out_slice(&o)));
        assert_true(imap_name_encode(out_slice(&o), &b));
        assert_true(slice_eq(out_slice(&b), slice_of(wire, LENGTH)));
        good++;
    }
    assert_true(good > 1000);
}

static void too_little_room_is_said(void **state)
{
    char bytes[8];
    struct out o = out_of(bytes, 2);

    (void)state;
    assert_false(imap_name_decode(S("&Jjo-"), &o));
    o = out_of(bytes, 4);
    assert_false(imap_name_encode(S("\xe2\x98\xba"), &o));
    o = out_of(bytes, 5);
    assert_true(imap_name_encode(S("\xe2\x98\xba"), &o));
    o = out_of(bytes, sizeof bytes);
    assert_false(imap_name_encode(S("\xff"), &o));
}

static void names_have_rules(void **state)
{
    static const struct slice good[] = {SI("a"), SI("a/b"), SI("a..b"), SI("...a"),
        SI("~root"), SI("..\\..\\x"), SI("50% *"), SI("\xc3\xa9"), SI("a\xc2\xa0\x20z"),
        SI("INBOX"), SI("#news.comp"), SI("a&b")};
    static const struct slice bad[] = {SI(""), SI("/"), SI("/a"), SI("a/"), SI("a//b"),
        SI("."), SI(".."), SI("a/./b"), SI("a/../b"), SI("../../../etc/passwd"),
        SI("INBOX/../../B"), SI("a\x01"), SI("a\x7f"), SI("a\xc2\x85"), SI("a\xc2\x9fz"),
        SI("a\xff"), SI("a\0b"), SI("a\nb")};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(imap_name_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(imap_name_valid(bad[i]));
}

static void names_have_lengths(void **state)
{
    char text[2 * IMAP_NAME_MAX];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_true(imap_name_valid(slice_of(text, IMAP_NAME_MAX)));
    assert_false(imap_name_valid(slice_of(text, IMAP_NAME_MAX + 1)));
    /* Each "&" is two octets on the wire. */
    memset(text, '&', sizeof text);
    assert_true(imap_name_valid(slice_of(text, IMAP_NAME_MAX / 2)));
    assert_false(imap_name_valid(slice_of(text, IMAP_NAME_MAX / 2 + 1)));
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '/' : 'l';
    assert_true(imap_name_valid(slice_of(text, 2 * IMAP_LEVELS_MAX - 1)));
    assert_false(imap_name_valid(slice_of(text, 2 * IMAP_LEVELS_MAX + 1)));
}

static void levels_are_cut(void **state)
{
    (void)state;
    assert_true(slice_eq(imap_name_levels(S("a/bc/d"), 1), S("a")));
    assert_true(slice_eq(imap_name_levels(S("a/bc/d"), 2), S("a/bc")));
    assert_true(slice_eq(imap_name_levels(S("a/bc/d"), 3), S("a/bc/d")));
    assert_true(slice_eq(imap_name_levels(S("a/bc/d"), 9), S("a/bc/d")));
}

/* --- patterns ---------------------------------------------------------------------- */

static uint32_t levels_of(struct slice reference, struct slice pattern, struct slice name)
{
    struct arena arena = arena_of(1 << 16);
    const struct imap_pattern *p = imap_pattern_compile(reference, pattern, &arena);
    uint32_t levels;
    unsigned count = 1;

    assert_non_null(p);
    levels = imap_pattern_levels(p, name);
    for (size_t i = 0; i < name.len; i++)
        count += name.at[i] == '/';
    assert_int_equal(imap_pattern_match(p, name), levels >> (count - 1) & 1);
    arena_reset(&arena);
    return levels;
}

static void patterns_match_levels(void **state)
{
    static const struct {
        struct slice reference, pattern, name;
        uint32_t levels;
    } cases[] = {
        {SI(""), SI("*"), SI("a/b/c"), 7},
        {SI(""), SI("%"), SI("a/b/c"), 1},
        {SI(""), SI("%/%"), SI("a/b/c"), 2},
        {SI(""), SI("a/*"), SI("a/b/c"), 6},
        {SI("a/"), SI("%"), SI("a/b/c"), 2},
        {SI("a"), SI("%"), SI("a/b"), 1},
        {SI("x"), SI("/a"), SI("a"), 0},
        {SI("x"), SI("/a"), SI("x/a"), 2},
        {SI(""), SI("a"), SI("a"), 1},
        {SI(""), SI("a"), SI("A"), 0},
        {SI(""), SI("inbox"), SI("INBOX"), 1},
        {SI(""), SI("iNb%"), SI("INBOX/a"), 1},
        {SI(""), SI("inbox/a"), SI("INBOX/a"), 2},
        {SI(""), SI("inbox/A"), SI("INBOX/a"), 0},
        {SI(""), SI("inboxes"), SI("INBOXES"), 0},
        {SI(""), SI("a*c"), SI("abbc"), 1},
        {SI(""), SI("a*c"), SI("ab/c"), 2},
        {SI(""), SI("a%c"), SI("ab/c"), 0},
        {SI(""), SI("*%"), SI("a/b"), 3},
        {SI(""), SI("%*"), SI("a/b"), 3},
        {SI(""), SI("%%"), SI("a/b"), 1},
        {SI("%"), SI("%"), SI("ab"), 1},
        {SI(""), SI("*/"), SI("a/b"), 0},
        {SI(""), SI(""), SI("a"), 0},
        {SI(""), SI("&AOk-*"), SI("\xc3\xa9t\xc3\xa9"), 1},
        {SI(""), SI("*&AOk-"), SI("\xc3\xa9t\xc3\xa9"), 1},
        {SI(""), SI("%t%"), SI("\xc3\xa9t\xc3\xa9"), 1},
        {SI(""), SI("&AO*"), SI("\xc3\xa9"), 0},
        {SI(""), SI("a&-b"), SI("a&b"), 1},
        {SI(""), SI("a&b"), SI("a&b"), 0},
        {SI(""), SI("\xc3\xa9"), SI("\xc3\xa9"), 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t got = levels_of(cases[i].reference, cases[i].pattern, cases[i].name);

        if (got != cases[i].levels)
            fail_msg("%.*s on %.*s gave %u", (int)cases[i].pattern.len,
                cases[i].pattern.at, (int)cases[i].name.len, cases[i].name.at, got);
    }
}

/* The plain definition, with time to spare. */
static bool plainly_matches(struct slice pattern, struct slice name)
{
    if (pattern.len == 0)
        return name.len == 0;
    if (pattern.at[0] == '*' || pattern.at[0] == '%') {
        struct slice rest = slice_of(pattern.at + 1, pattern.len - 1);

        return plainly_matches(rest, name) ||
            (name.len && (pattern.at[0] == '*' || name.at[0] != '/') &&
                plainly_matches(pattern, slice_of(name.at + 1, name.len - 1)));
    }
    return name.len && name.at[0] == pattern.at[0] &&
        plainly_matches(slice_of(pattern.at + 1, pattern.len - 1),
            slice_of(name.at + 1, name.len - 1));
}

static void matching_agrees_with_its_definition(void **state)
{
    static const char pattern_letters[] = "ab/*%", name_letters[] = "ab/";
    enum { PATTERNS = 5 * 5 * 5 * 5 * 5, NAMES = 3 * 3 * 3 * 3 * 3 * 3 };
    unsigned matched = 0;

    (void)state;
    for (unsigned n = 0; n < PATTERNS; n++) {
        struct arena arena = arena_of(1 << 14);
        char text[5], name[6];
        const struct imap_pattern *p;

        for (unsigned i = 0, rest = n; i < sizeof text; i++, rest /= 5)
            text[i] = pattern_letters[rest % 5];
        p = imap_pattern_compile(S(""), slice_of(text, sizeof text), &arena);
        for (unsigned m = 0; m < NAMES; m++) {
            bool want;

            for (unsigned i = 0, rest = m; i < sizeof name; i++, rest /= 3)
                name[i] = name_letters[rest % 3];
            want =
                plainly_matches(slice_of(text, sizeof text), slice_of(name, sizeof name));
            assert_int_equal(imap_pattern_match(p, slice_of(name, sizeof name)), want);
            matched += want;
        }
        arena_reset(&arena);
    }
    assert_true(matched > 1000);
}

/* Rows of several words: the carry between them, and the longest pattern there is. */
static void long_patterns_match(void **state)
{
    char name[IMAP_NAME_MAX], text[2 * IMAP_NAME_MAX + 2];
    struct arena arena = arena_of(1 << 20);

    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t n = 60; n <= IMAP_NAME_MAX; n += 4) {
        const struct imap_pattern *p =
            imap_pattern_compile(S(""), slice_of(name, n), &arena);

        assert_non_null(p);
        assert_true(imap_pattern_match(p, slice_of(name, n)));
        assert_false(imap_pattern_match(p, slice_of(name, n - 1)));
        arena_reset(&arena);
    }
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? 'a' : '*';
    for (size_t n = 2 * IMAP_NAME_MAX; n <= sizeof text; n++) {
        const struct imap_pattern *p =
            imap_pattern_compile(S(""), slice_of(text, n), &arena);

        assert_int_equal(imap_pattern_match(p, slice_of(name, sizeof name)),
            n <= 2 * IMAP_NAME_MAX + 1);
        arena_reset(&arena);
    }
}

/* Wildcards that would send a backtracking matcher to the end of days. */
static void hostile_patterns_end(void **state)
{
    static const char *const pieces[] = {"*a", "%a", "*%", "*", "%", "*%a"};
    char name[60];

    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        char text[2048];
        struct arena arena = arena_of(1 << 20);
        struct out o = out_of(text, sizeof text);
        const struct imap_pattern *p;

        for (int j = 0; j < 500; j++)
            out_str(&o, pieces[i]);
        out_byte(&o, 'b');
        p = imap_pattern_compile(S(""), out_slice(&o), &arena);
        assert_non_null(p);
        for (int j = 0; j < 10000; j++)
            assert_int_equal(imap_pattern_levels(p, slice_of(name, sizeof name)), 0);
        arena_reset(&arena);
    }
}

static void patterns_need_room(void **state)
{
    struct arena arena = arena_of(64);

    (void)state;
    assert_null(imap_pattern_compile(S(""), S("a*"), &arena));
    arena_reset(&arena);
    arena = arena_of(320);
    assert_null(imap_pattern_compile(S(""), S("abcdefghijklmnopqrstuvwxyz*"), &arena));
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_change_form_and_back),
        cmocka_unit_test(only_the_canonical_form_is_read),
        cmocka_unit_test(reading_and_writing_agree),
        cmocka_unit_test(too_little_room_is_said),
        cmocka_unit_test(names_have_rules),
        cmocka_unit_test(names_have_lengths),
        cmocka_unit_test(levels_are_cut),
        cmocka_unit_test(patterns_match_levels),
        cmocka_unit_test(matching_agrees_with_its_definition),
        cmocka_unit_test(long_patterns_match),
        cmocka_unit_test(hostile_patterns_end),
        cmocka_unit_test(patterns_need_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
