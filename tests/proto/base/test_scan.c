#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/dots.h"
#include "proto/base/scan.h"
#include "tests/proto/base/fence.h"

/* The plainest form of what the vector code does. */
static size_t plain_lf_dot(struct slice s, char before)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] == '.' && (i ? s.at[i - 1] : before) == '\n')
            return i;
    return s.len;
}

static unsigned plain_flaws(struct slice s, char before)
{
    unsigned flaws = 0;

    for (size_t i = 0; i < s.len; i++) {
        char left = i ? s.at[i - 1] : before;

        if ((left == '\r' && s.at[i] != '\n') || (left != '\r' && s.at[i] == '\n'))
            flaws |= SCAN_BARE;
        if (s.at[i] == '\0')
            flaws |= SCAN_NUL;
    }
    return flaws;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Mostly text, with the octets that matter thrown in at a rate of one in `rare`. */
static void fill(char *at, size_t n, uint32_t rare, uint32_t *seed)
{
    static const char special[] = {'\r', '\n', '.', '\0', '\r', '\n', '\n', '.'};

    for (size_t i = 0; i < n; i++) {
        at[i] = (char)('a' + next_random(seed) % 26);
        if (next_random(seed) % rare == 0)
            at[i] = special[next_random(seed) % sizeof special];
    }
}

static void vector_code_finds_what_plain_code_finds(void **state)
{
    static const char befores[] = {'\0', '\r', '\n', 'x'};
    struct fence fence = fence_make();
    char text[400];
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        size_t n = next_random(&seed) % sizeof text;
        char before = befores[next_random(&seed) % sizeof befores];
        unsigned flaws = 0;
        struct slice s;
        size_t dot;

        fill(text, n, 2 + next_random(&seed) % 200, &seed);
        s = round % 2 ? fence_end(&fence, slice_of(text, n))
                      : fence_start(&fence, slice_of(text, n));
        assert_int_equal(scan_lf_dot(s, before), plain_lf_dot(s, before));
        assert_int_equal(scan_flaws(s, before), plain_flaws(s, before));
        dot = scan_text(s, before, &flaws);
        assert_int_equal(dot, plain_lf_dot(s, before));
        assert_int_equal(flaws, plain_flaws(slice_of(s.at, dot), before));
    }
    fence_free(&fence);
}

static void one_flaw_is_found_wherever_it_is(void **state)
{
    static const struct {
        char octet;
        unsigned flaws;
    } cases[] = {{'\r', SCAN_BARE}, {'\n', SCAN_BARE}, {'\0', SCAN_NUL}, {'.', 0}};
    char text[200];

    (void)state;
    for (size_t n = 1; n < sizeof text; n++)
        for (size_t at = 0; at < n; at++)
            for (size_t i = 0; i < 4; i++) {
                bool last_cr = cases[i].octet == '\r' && at == n - 1;

                memset(text, 'a', n);
                text[at] = cases[i].octet;
                assert_int_equal(
                    scan_flaws(slice_of(text, n), 'a'), last_cr ? 0 : cases[i].flaws);
            }
}

/* RFC 5321, 4.5.2: insert a dot before each line that begins with one. */
static void plain_stuff(struct slice s, struct out *out)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '.' && (i == 0 || s.at[i - 1] == '\n'))
            out_byte(out, '.');
        out_byte(out, s.at[i]);
    }
    if (s.len && (s.len < 2 || memcmp(s.at + s.len - 2, "\r\n", 2) != 0))
        out_put(out, S("\r\n"));
    out_put(out, S(".\r\n"));
}

static void stuff(struct slice s, size_t piece, struct fence *fence, struct out *out)
{
    struct dots dots = {0};

    while (s.len) {
        struct slice part = slice_take(&s, piece < s.len ? piece : s.len);
        struct slice in = fence_end(fence, part);

        while (in.len)
            out_put(out, dots_next(&dots, &in));
    }
    out_put(out, dots_end(&dots));
}

static void stuffing_is_the_same_at_every_cut(void **state)
{
    static const struct slice texts[] = {SI(""), SI("."), SI(".\r\n"), SI("..\r\n.\r\n"),
        SI("a\r\n.b\r\n..c\r\nd"), SI("a\r\n"), SI("a\r"), SI("a\n"), SI("\n."),
        SI("\r\n"), SI("\n"), SI("a\n.\nb\r\n"), SI("\0.\r\n.\0\r\n"),
        SI("long line without any dots to speak of at its start.\r\n.and one with\r\n")};
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t piece = 1; piece <= texts[i].len + 1; piece++) {
            char want_room[256], got_room[256];
            struct out want = out_of(want_room, sizeof want_room);
            struct out got = out_of(got_room, sizeof got_room);

            plain_stuff(texts[i], &want);
            stuff(texts[i], piece, &fence, &got);
            assert_int_equal(got.len, want.len);
            assert_memory_equal(got_room, want_room, want.len);
        }
    fence_free(&fence);
}

static void stuffing_of_any_text_is_the_same(void **state)
{
    struct fence fence = fence_make();
    uint32_t seed = 7;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        char text[300], want_room[700], got_room[700], put_room[700];
        size_t n = next_random(&seed) % sizeof text;
        struct out want = out_of(want_room, sizeof want_room);
        struct out got = out_of(got_room, sizeof got_room);
        struct out put = out_of(put_room, sizeof put_room);
        struct dots dots = {0};

        fill(text, n, 2 + next_random(&seed) % 30, &seed);
        plain_stuff(slice_of(text, n), &want);
        stuff(slice_of(text, n), 1 + next_random(&seed) % 64, &fence, &got);
        dots_put(&dots, slice_of(text, n), &put);
        out_put(&put, dots_end(&dots));
        assert_true(slice_eq(out_slice(&got), out_slice(&want)));
        assert_true(slice_eq(out_slice(&put), out_slice(&want)));
    }
    fence_free(&fence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_code_finds_what_plain_code_finds),
        cmocka_unit_test(one_flaw_is_found_wherever_it_is),
        cmocka_unit_test(stuffing_is_the_same_at_every_cut),
        cmocka_unit_test(stuffing_of_any_text_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
