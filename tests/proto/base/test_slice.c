#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/slice.h"
#include "tests/proto/base/fence.h"

static void numbers_are_digits_that_fit(void **state)
{
    static const struct {
        struct slice text;
        bool is_u64, is_u32;
        uint64_t value;
    } cases[] = {
        {SI("0"), true, true, 0},
        {SI("007"), true, true, 7},
        {SI("4294967295"), true, true, UINT32_MAX},
        {SI("4294967296"), true, false, 4294967296U},
        {SI("18446744073709551615"), true, false, UINT64_MAX},
        {SI("18446744073709551616"), false, false, 0},
        {SI("99999999999999999999999999"), false, false, 0},
        {SI(""), false, false, 0},
        {SI("+1"), false, false, 0},
        {SI("-1"), false, false, 0},
        {SI(" 1"), false, false, 0},
        {SI("1 "), false, false, 0},
        {SI("1e3"), false, false, 0},
        {SI("0x10"), false, false, 0},
        {SI("1\0"), false, false, 0},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice text = fence_end(&fence, cases[i].text);
        uint64_t wide = 77;
        uint32_t narrow = 77;

        assert_int_equal(slice_u64(text, &wide), cases[i].is_u64);
        assert_int_equal(wide, cases[i].is_u64 ? cases[i].value : 77);
        assert_int_equal(slice_u32(text, &narrow), cases[i].is_u32);
        assert_int_equal(narrow, cases[i].is_u32 ? cases[i].value : 77);
    }
    fence_free(&fence);
}

/* RFC 3629, 4: the edges of each range, and what lies just outside. */
static void utf8_is_that_of_rfc_3629(void **state)
{
    static const struct {
        struct slice text;
        bool good;
    } cases[] = {
        {SI(""), true},
        {SI("\0 ascii \x7f"), true},
        {SI("\xc2\x80"), true},
        {SI("\xdf\xbf"), true},
        {SI("\xe0\xa0\x80"), true},
        {SI("\xed\x9f\xbf"), true},
        {SI("\xee\x80\x80"), true},
        {SI("\xef\xbf\xbf"), true},
        {SI("\xf0\x90\x80\x80"), true},
        {SI("\xf4\x8f\xbf\xbf"), true},
        {SI("a\xc3\xa9z\xe2\x82\xacq\xf0\x9f\x93\xa8."), true},
        {SI("\x80"), false},
        {SI("\xbf"), false},
        {SI("\xc0\x80"), false},         /* overlong NUL */
        {SI("\xc1\xbf"), false},         /* overlong */
        {SI("\xe0\x9f\xbf"), false},     /* overlong */
        {SI("\xf0\x8f\xbf\xbf"), false}, /* overlong */
        {SI("\xed\xa0\x80"), false},     /* surrogate */
        {SI("\xed\xbf\xbf"), false},     /* surrogate */
        {SI("\xf4\x90\x80\x80"), false}, /* beyond U+10FFFF */
        {SI("\xf5\x80\x80\x80"), false},
        {SI("\xff\xfe"), false},
        {SI("\xc2"), false},
        {SI("\xe2\x82"), false},
        {SI("\xf0\x9f\x93"), false},
        {SI("\xc2z"), false},
        {SI("\xe2\x82z"), false},
        {SI("\xf0\x9f\x93z"), false},
        {SI("\xe2\xc2\xac"), false},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(slice_is_utf8(fence_end(&fence, cases[i].text)), cases[i].good);
    fence_free(&fence);
}

static void case_is_folded_for_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(slice_eq_nocase(S("Noop"), S("nOOP")));
    assert_false(slice_eq_nocase(S("noop"), S("noo")));
    assert_false(slice_eq_nocase(S("["), S("{")));
    assert_false(slice_eq_nocase(S("@"), S("`")));
    assert_false(slice_eq_nocase(S("\xc3\x89"), S("\xc3\xa9")));
    assert_true(slice_starts_nocase(S("From:<>"), S("FROM:")));
    assert_true(slice_starts_nocase(S("x"), S("")));
    assert_false(slice_starts_nocase(S("FRO"), S("FROM:")));
}

/* Long words go eight octets at a time; one octet is made another, or the other case. */
static void case_is_folded_at_every_length(void **state)
{
    struct fence fences[2] = {fence_make(), fence_make()};
    char text[2][40];
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        size_t n = 1 + (size_t)round % 39, at;
        bool same;

        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            text[0][i] = (char)(seed >> 24);
            text[1][i] = seed & 0x100 ? text[0][i] : ascii_upper(text[0][i]);
        }
        at = (seed >> 9) % n;
        if (seed & 0x200)
            text[1][at] = (char)(text[1][at] ^ (seed & 0x400 ? 0x20 : 0x80));
        same = ascii_lower(text[0][at]) == ascii_lower(text[1][at]);
        assert_int_equal(slice_eq_nocase(fence_end(&fences[0], slice_of(text[0], n)),
                             fence_end(&fences[1], slice_of(text[1], n))),
            same);
    }
    fence_free(&fences[0]);
    fence_free(&fences[1]);
}

static void trim_and_find(void **state)
{
    struct slice s = slice_trim(S(" \t\r\n a b \r\n"));

    (void)state;
    assert_true(slice_eq(s, S("a b")));
    assert_int_equal(slice_trim(S(" \r\n\t")).len, 0);
    assert_int_equal(slice_find(S("abc"), 'c'), 2);
    assert_int_equal(slice_find(S("abc"), 'x'), 3);
    assert_int_equal(slice_find(slice_of(NULL, 0), 'x'), 0);
}

static void hash_sees_every_octet_and_the_key(void **state)
{
    char text[40] = {0};
    uint64_t plain = slice_hash(slice_of(text, sizeof text), 1);

    (void)state;
    assert_int_not_equal(plain, slice_hash(slice_of(text, sizeof text), 2));
    assert_int_not_equal(plain, slice_hash(slice_of(text, sizeof text - 1), 1));
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = 1;
        assert_int_not_equal(plain, slice_hash(slice_of(text, sizeof text), 1));
        text[i] = 0;
    }
    assert_int_equal(plain, slice_hash(slice_of(text, sizeof text), 1));
}

static void a_full_buffer_stays_full(void **state)
{
    char room[8];
    struct out out = out_of(room, sizeof room);

    (void)state;
    out_put(&out, S("12345"));
    assert_false(out.full);
    out_put(&out, S("6789"));
    assert_true(out.full);
    assert_true(slice_eq(out_slice(&out), S("12345")));
    out_put(&out, S("678"));
    assert_true(out.full);
}

static void decimal_numbers_come_out_whole(void **state)
{
    char room[64];
    struct out out = out_of(room, sizeof room);

    (void)state;
    out_u64(&out, 0);
    out_byte(&out, ' ');
    out_u64(&out, 1000000007);
    out_str(&out, " ");
    out_u64(&out, UINT64_MAX);
    assert_true(slice_eq(out_slice(&out), S("0 1000000007 18446744073709551615")));
}

/* Each count of digits, with exactly the room it takes and with less. */
static void decimal_numbers_keep_to_their_room(void **state)
{
    char want[24], room[24];

    (void)state;
    for (uint64_t value = 1, digits = 1; digits <= 20; digits++, value *= 10)
        for (uint64_t less = 0; less < 2; less++) {
            size_t n = (size_t)snprintf(want, sizeof want, "%" PRIu64, value - less);
            struct out out = out_of(room, n);

            memset(room, '#', sizeof room);
            out_u64(&out, value - less);
            assert_false(out.full);
            assert_true(slice_eq(out_slice(&out), slice_of(want, n)));
            assert_int_equal(room[n], '#');
            out = out_of(room, n - 1);
            out_u64(&out, value - less);
            assert_true(out.full);
        }
}

/* Windows of one size over an array, as a connection's output would offer them. */
struct windows {
    struct out out;
    char bytes[64];
    size_t window, used, limit;
};

static bool next_window(struct out *o)
{
    struct windows *w = (struct windows *)o;

    w->used += o->len;
    if (w->used == w->limit)
        return false;
    o->at = w->bytes + w->used;
    o->len = 0;
    o->cap = w->window < w->limit - w->used ? w->window : w->limit - w->used;
    return true;
}

static void windows_receive_the_bytes_in_order(void **state)
{
    static const char text[] = "the quick brown fox jumps over the dog";

    (void)state;
    for (size_t window = 1; window <= sizeof text; window++)
        for (size_t piece = 1; piece <= sizeof text; piece++) {
            struct windows w = {.window = window, .limit = sizeof w.bytes};
            struct slice left = slice_str(text);

            w.out.more = next_window;
            while (left.len)
                out_put(&w.out, slice_take(&left, piece < left.len ? piece : left.len));
            assert_false(w.out.full);
            assert_int_equal(w.used + w.out.len, sizeof text - 1);
            assert_memory_equal(w.bytes, text, sizeof text - 1);
        }
}

static void no_more_windows_is_full(void **state)
{
    struct windows w = {.window = 4, .limit = 10};

    (void)state;
    w.out.more = next_window;
    out_put(&w.out, S("0123456789"));
    assert_false(w.out.full);
    out_byte(&w.out, '!');
    assert_true(w.out.full);
    assert_memory_equal(w.bytes, "0123456789\0", 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_digits_that_fit),
        cmocka_unit_test(utf8_is_that_of_rfc_3629),
        cmocka_unit_test(case_is_folded_for_ascii_letters_only),
        cmocka_unit_test(case_is_folded_at_every_length),
        cmocka_unit_test(trim_and_find),
        cmocka_unit_test(hash_sees_every_octet_and_the_key),
        cmocka_unit_test(a_full_buffer_stays_full),
        cmocka_unit_test(decimal_numbers_come_out_whole),
        cmocka_unit_test(decimal_numbers_keep_to_their_room),
        cmocka_unit_test(windows_receive_the_bytes_in_order),
        cmocka_unit_test(no_more_windows_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
