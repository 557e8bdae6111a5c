/* What goes sixteen octets at a time does what the plainest loop over octets does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mime/decode.h"
#include "proto/mime/octets.h"
#include "proto/mime/wire.h"
#include "tests/proto/base/fence.h"

enum { TEXT_MAX = 400 };

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Letters, with one of the `special` octets at a rate of one in `rare`. */
static struct slice fill(char *at, uint32_t rare, struct slice special, uint32_t *seed)
{
    size_t n = next_random(seed) % TEXT_MAX;

    for (size_t i = 0; i < n; i++) {
        at[i] = (char)('a' + next_random(seed) % 26);
        if (next_random(seed) % rare == 0)
            at[i] = special.at[next_random(seed) % special.len];
    }
    return slice_of(at, n);
}

static void plain_pass(struct octets *o, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];

        o->has_8bit |= (c & 0x80) != 0;
        o->has_nul |= c == 0;
        o->has_dot_line |= o->line_start && c == '.';
        o->line_start = c == '\n';
        o->lines += c == '\n';
        o->last[0] = o->last[1];
        o->last[1] = c;
        o->count++;
    }
}

static void assert_same(const struct octets *a, const struct octets *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->lines, b->lines);
    assert_int_equal(a->has_8bit, b->has_8bit);
    assert_int_equal(a->has_nul, b->has_nul);
    assert_int_equal(a->has_dot_line, b->has_dot_line);
    assert_int_equal(a->line_start, b->line_start);
    assert_memory_equal(a->last, b->last, sizeof a->last);
}

static void octets_are_counted_as_one_by_one(void **state)
{
    struct fence fence = fence_make();
    struct octets plain, vector;
    char text[TEXT_MAX];
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        if (round % 8 == 0) {
            octets_begin(&plain);
            octets_begin(&vector);
        }
        struct slice s =
            fill(text, 2 + next_random(&seed) % 100, S("\n\n.\r\x80\0-"), &seed);
        s = round % 2 ? fence_end(&fence, s) : fence_start(&fence, s);
        plain_pass(&plain, s);
        octets_pass(&vector, s);
        assert_same(&plain, &vector);
    }
    fence_free(&fence);
}

/* Counts to the first '-' that begins a line. */
static bool plain_pass_to_dash(struct octets *o, struct slice *s)
{
    while (s->len && !(o->line_start && s->at[0] == '-'))
        plain_pass(o, slice_take(s, 1));
    return s->len > 0;
}

static void octets_are_counted_to_a_dash_as_one_by_one(void **state)
{
    struct fence fence = fence_make();
    char text[TEXT_MAX];
    uint32_t seed = 4;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        struct octets plain = {.line_start = round & 2}, vector = plain;
        struct slice special = round & 4 ? S("\n--.") : S("\n\n.\r\x80\0-");
        struct slice s = fill(text, 2 + next_random(&seed) % 100, special, &seed);
        struct slice a, b;

        a = b = round % 2 ? fence_end(&fence, s) : fence_start(&fence, s);
        assert_int_equal(
            plain_pass_to_dash(&plain, &a), octets_pass_to_dash(&vector, &b));
        assert_ptr_equal(a.at, b.at);
        assert_int_equal(a.len, b.len);
        assert_same(&plain, &vector);
    }
    fence_free(&fence);
}

/* One octet at a time takes no run. */
static size_t decode(struct slice s, size_t piece, char *at, size_t room, bool *broken)
{
    struct transfer_decoder d;
    size_t n = 0;

    transfer_begin(&d, 'q');
    while (s.len) {
        struct slice in = slice_take(&s, s.len < piece ? s.len : piece);

        while (in.len)
            n += transfer_decode(&d, &in, at + n, room - n);
    }
    n += transfer_end(&d, at + n);
    *broken = d.broken;
    return n;
}

static void quoted_printable_is_decoded_as_one_by_one(void **state)
{
    struct fence fence = fence_make();
    char text[TEXT_MAX], plain[2 * TEXT_MAX], vector[2 * TEXT_MAX];
    uint32_t seed = 2;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        struct slice special = round % 3 ? S("   \t\r\n") : S("== \t\r\n4AF");
        struct slice s = fill(text, 2 + next_random(&seed) % 30, special, &seed);
        bool broken[2];
        size_t n;

        s = round % 2 ? fence_end(&fence, s) : fence_start(&fence, s);
        n = decode(s, 1, plain, sizeof plain, &broken[0]);
        assert_int_equal(decode(s, TEXT_MAX, vector, sizeof vector, &broken[1]), n);
        assert_memory_equal(plain, vector, n);
        assert_int_equal(broken[0], broken[1]);
    }
    fence_free(&fence);
}

/* RFC 3501, section 9: what a quoted string can't hold makes a literal, or is cleaned. */
static void plain_put_string(struct out *out, struct slice s)
{
    bool literal = false;

    for (size_t i = 0; i < s.len; i++)
        literal |= (s.at[i] & 0x80) != 0;
    if (literal) {
        out_byte(out, '{');
        out_u64(out, s.len);
        out_put(out, S("}\r\n"));
    } else {
        out_byte(out, '"');
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];

        if (!literal && (c == '"' || c == '\\'))
            out_byte(out, '\\');
        out_byte(out, c == 0 ? '?' : c == '\r' || c == '\n' ? ' ' : c);
    }
    if (!literal)
        out_byte(out, '"');
}

static void strings_are_quoted_as_one_by_one(void **state)
{
    struct fence fence = fence_make();
    char text[TEXT_MAX], plain[3 * TEXT_MAX], vector[3 * TEXT_MAX];
    uint32_t seed = 3;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        struct slice special = round % 4 ? S("\"\\\r\n\0") : S("\x80\xff\"\n");
        struct slice s = fill(text, 2 + next_random(&seed) % 300, special, &seed);
        struct out a = out_of(plain, sizeof plain), b = out_of(vector, sizeof vector);

        s = round % 2 ? fence_end(&fence, s) : fence_start(&fence, s);
        plain_put_string(&a, s);
        wire_put_string(&b, s);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(plain, vector, a.len);
    }
    fence_free(&fence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(octets_are_counted_as_one_by_one),
        cmocka_unit_test(octets_are_counted_to_a_dash_as_one_by_one),
        cmocka_unit_test(quoted_printable_is_decoded_as_one_by_one),
        cmocka_unit_test(strings_are_quoted_as_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
