#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "proto/mime/search.h"

static void prepare(struct arena *arena, const char *text, struct search_needle *needle)
{
    *arena = arena_of(1 << 22);
    assert_int_equal(
        search_prepare(arena, slice_str(text), S("utf-8"), needle), STATUS_OK);
}

static const struct {
    const char *needle;
    struct slice text;
    bool found;
} cases[] = {
    {"", SI(""), true},
    {"", SI("x"), true},
    {"a", SI(""), false},
    {"hello", SI("say HeLLo to"), true},
    {"HELLO", SI("say hello to"), true},
    {"hello", SI("hell o"), false},
    {"aab", SI("aaaaaaaaaaaaaaaaaaaaaaab"), true},
    {"abab", SI("abaabab"), true},
    {"ababc", SI("abababababababababc"), true},
    {"ababc", SI("abababababababababd"), false},
    {"x", SI("0123456789abcdef0123456789abcdef0123456789X"), true},
    {"[a", SI("{A"), false},
    {"grüsse", SI("GRÜSSE"), true},
    {"größe", SI("GRÖßE"), true},
    {"тест", SI("ТЕСТ"), true},
    {"ΣΑΣ", SI("σας"), true},
    {"éa", SI("xxéÉA"), true},
    {"k", SI("\xe2\x84\xaa"), true}, /* the Kelvin sign */
    {"日本", SI("x日本x"), true},
    {"日本", SI("x日x本x"), false},
    {"\xc3\xa9", SI("\xc3\xc3\xa9"), true},
    {"é", SI("\xe9"), false},
    {"a\xcc\x81", SI("A\xcc\x81"), true},
};

static void texts_match_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct search_needle needle;
        struct arena arena;

        prepare(&arena, cases[i].needle, &needle);
        for (size_t cut = 0; cut <= cases[i].text.len; cut++) {
            struct slice rest = cases[i].text;
            struct search s;

            search_begin(&s, &needle);
            search_feed(&s, slice_take(&rest, cut));
            search_feed(&s, rest);
            if (s.found != cases[i].found)
                fail_msg("%s in %.*s at %zu", cases[i].needle, (int)cases[i].text.len,
                    cases[i].text.at, cut);
        }
        arena_reset(&arena);
    }
}

/* The same answer as a search without any cleverness gives. */
static void texts_match_as_the_plain_search_says(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char text[40], pattern[6];
        size_t pattern_len = 1 + round % 5;
        struct search_needle needle;
        struct arena arena;
        struct search s;

        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)('a' + ((seed = seed * 1103515245 + 12345) >> 16) % 2);
        for (size_t i = 0; i < pattern_len; i++)
            pattern[i] = (char)('a' + ((seed = seed * 1103515245 + 12345) >> 16) % 2);
        pattern[pattern_len] = 0;
        prepare(&arena, pattern, &needle);
        search_begin(&s, &needle);
        search_feed(&s, slice_of(text, sizeof text));
        assert_int_equal(
            s.found, memmem(text, sizeof text, pattern, pattern_len) != NULL);
        arena_reset(&arena);
    }
}

static void needles_are_checked(void **state)
{
    static char large[SEARCH_NEEDLE_MAX + 1];
    struct arena arena = arena_of(1 << 22), small = arena_of(2000);
    struct search_needle needle;

    (void)state;
    memset(large, 'a', sizeof large);
    assert_int_equal(
        search_prepare(&arena, S("x"), S("x-none"), &needle), STATUS_INVALID);
    assert_int_equal(
        search_prepare(&arena, S("\xe9"), S("utf-8"), &needle), STATUS_CORRUPT);
    assert_int_equal(
        search_prepare(&arena, S("\xe9"), S("iso-8859-1"), &needle), STATUS_OK);
    assert_true(slice_eq(needle.text, S("é")));
    assert_int_equal(
        search_prepare(&arena, slice_of(large, sizeof large), S(""), &needle),
        STATUS_LIMIT);
    assert_int_equal(
        search_prepare(&arena, slice_of(large, sizeof large - 1), S(""), &needle),
        STATUS_OK);
    assert_int_equal(
        search_prepare(&small, slice_of(large, 1000), S(""), &needle), STATUS_NO_MEMORY);
    arena_reset(&arena);
    arena_reset(&small);
}

/* Every allocation fails once. */
static void needle_in_a_full_arena_is_refused(void **state)
{
    enum status status = STATUS_NO_MEMORY;

    (void)state;
    for (size_t limit = 0; status != STATUS_OK; limit += 16) {
        struct arena arena = arena_of(limit);
        struct search_needle needle;

        status = search_prepare(&arena, S("needle"), S("utf-8"), &needle);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        arena_reset(&arena);
    }
}

static void headers_are_decoded_first(void **state)
{
    static const struct {
        const char *needle, *value;
        bool found;
    } headers[] = {
        {"grüße", " =?utf-8?Q?Gr=C3=BC?= =?utf-8?Q?=C3=9Fe?=\r\n", true},
        {"a b", " a\r\n\tb\r\n", true},
        {"=?utf-8", "=?utf-8?Q?x?=", false},
        {"b\r\n", "a b\r\n", false},
        {"ü", "=?iso-8859-1?Q?=FC?=", true},
        {"", "", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct slice value = slice_str(headers[i].value);
        struct search_needle needle;
        struct arena arena;

        prepare(&arena, headers[i].needle, &needle);
        assert_int_equal(search_in_header(&needle, value), headers[i].found);
        arena_reset(&arena);
    }
}

static void bodies_are_decoded_first(void **state)
{
    static const struct {
        const char *needle;
        char encoding;
        const char *charset;
        struct slice body;
        bool found;
    } bodies[] = {
        {"grüße", 'q', "iso-8859-1", SI("Gr=FC=\r\n=DFe\r\n"), true},
        {"grüße", 'b', "utf-8", SI("R3LDvMOf\r\nZQ==\r\n"), true},
        {"R3LDv", 'b', "utf-8", SI("R3LDvMOf\r\nZQ==\r\n"), false},
        {"中文", '7', "gb2312", SI("x\xd6\xd0\xce\xc4x"), true},
        {"\xef\xbf\xbd", '7', "", SI("\xe9"), true},
        {"end", 'q', "", SI("the en=\r\nd"), true},
        {"=4", 'q', "", SI("x=4"), true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct search_needle needle;
        struct arena arena;

        prepare(&arena, bodies[i].needle, &needle);
        for (size_t cut = 0; cut <= bodies[i].body.len; cut++) {
            struct slice rest = bodies[i].body;
            struct search_body b;

            search_body_begin(
                &b, &needle, bodies[i].encoding, slice_str(bodies[i].charset));
            search_body_feed(&b, slice_take(&rest, cut));
            search_body_feed(&b, rest);
            assert_int_equal(search_body_end(&b), bodies[i].found);
        }
        arena_reset(&arena);
    }
}

/* 900 times "a" and a "b" in 5 MB of "a", and other pairs that are bad for others. */
static void hostile_needles_take_linear_time(void **state)
{
    enum { TEXT = 5000000, NEEDLE = 900 };
    static const char *const units[] = {"a", "ab", "aab", "ä"};
    char *text = malloc(TEXT), pattern[NEEDLE + 2];

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < 4; i++) {
        size_t unit = strlen(units[i]);
        struct search_needle needle;
        struct arena arena;
        struct search s;
        clock_t start = clock();

        for (size_t k = 0; k < TEXT; k++)
            text[k] = units[i][k % unit];
        for (size_t k = 0; k < NEEDLE; k++)
            pattern[k] = units[i][k % unit];
        memcpy(pattern + NEEDLE, "c", 2);
        prepare(&arena, pattern, &needle);
        search_begin(&s, &needle);
        assert_false(search_feed(&s, slice_of(text, TEXT)));
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 3);
        arena_reset(&arena);
    }
    free(text);
}

static void case_folds_by_unicode(void **state)
{
    static const struct {
        uint32_t from, to;
    } folds[] = {{'A', 'a'}, {'Z', 'z'}, {'[', '['}, {0xc0, 0xe0}, {0xd7, 0xd7},
        {0xdf, 0xdf}, {0x100, 0x101}, {0x101, 0x101}, {0x178, 0xff}, {0x130, 0x130},
        {0x17f, 's'}, {0x391, 0x3b1}, {0x3c2, 0x3c3}, {0x410, 0x430}, {0x401, 0x451},
        {0x531, 0x561}, {0x10a0, 0x2d00}, {0x1e9e, 0xdf}, {0x1f08, 0x1f00}, {0x212a, 'k'},
        {0x2160, 0x2170}, {0x24b6, 0x24d0}, {0xff21, 0xff41}, {0x10400, 0x10428},
        {0x65e5, 0x65e5}, {0x10ffff, 0x10ffff}};

    (void)state;
    for (size_t i = 0; i < sizeof folds / sizeof folds[0]; i++)
        assert_int_equal(search_fold(folds[i].from), folds[i].to);
    for (uint32_t c = 0; c < 0x20000; c++)
        assert_int_equal(search_fold(search_fold(c)), search_fold(c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_match_at_every_split),
        cmocka_unit_test(texts_match_as_the_plain_search_says),
        cmocka_unit_test(needles_are_checked),
        cmocka_unit_test(needle_in_a_full_arena_is_refused),
        cmocka_unit_test(headers_are_decoded_first),
        cmocka_unit_test(bodies_are_decoded_first),
        cmocka_unit_test(hostile_needles_take_linear_time),
        cmocka_unit_test(case_folds_by_unicode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
