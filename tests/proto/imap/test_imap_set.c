#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/proto/base/fence.h"
#include "tests/proto/imap/dump.h"

enum { RANGES_MAX = 1000 };

/* Parses text at the end of memory and resolves it; "!NAME" for an error. */
static struct slice resolved(struct slice text, uint32_t star, char *bytes, size_t cap)
{
    struct fence fence = fence_make();
    struct arena arena = arena_of(1 << 16);
    struct out o = out_of(bytes, cap);
    struct imap_set set;
    enum imap_error error =
        imap_set_parse(fence_end(&fence, text), RANGES_MAX, &arena, &set);

    if (error) {
        out_byte(&o, '!');
        out_put(&o, imap_error_name(error));
    } else {
        imap_set_resolve(&set, star);
        dump_set(&o, &set);
    }
    arena_reset(&arena);
    fence_free(&fence);
    return out_slice(&o);
}

static void sets_are_put_in_order(void **state)
{
    static const struct {
        struct slice text;
        uint32_t star;
        struct slice want;
    } cases[] = {
        {SI("1"), 9, SI("1")},
        {SI("2,4:7,9,12:*"), 15, SI("2,4:7,9,12:15")},
        {SI("*:4,5:7"), 10, SI("4:10")},
        {SI("3291:*"), 100, SI("100:3291")},
        {SI("4:2"), 9, SI("2:4")},
        {SI("*"), 9, SI("9")},
        {SI("*:*"), 9, SI("9")},
        {SI("1,2,3"), 9, SI("1:3")},
        {SI("3,1,2,2"), 9, SI("1:3")},
        {SI("5:9,1:2,4,3"), 9, SI("1:9")},
        {SI("1:4294967295"), 9, SI("1:4294967295")},
        {SI("4294967295,4294967294"), 9, SI("4294967294:4294967295")},
        {SI("1:4294967295,7,4294967295"), 9, SI("1:4294967295")},
        {SI("0"), 9, SI("!SET")},
        {SI("00"), 9, SI("!SET")},
        {SI("01"), 9, SI("!SET")},
        {SI(""), 9, SI("!SET")},
        {SI(","), 9, SI("!SET")},
        {SI("1,"), 9, SI("!SET")},
        {SI(",1"), 9, SI("!SET")},
        {SI("1,,2"), 9, SI("!SET")},
        {SI("1:"), 9, SI("!SET")},
        {SI(":1"), 9, SI("!SET")},
        {SI("1:2:3"), 9, SI("!SET")},
        {SI("**"), 9, SI("!SET")},
        {SI("1*"), 9, SI("!SET")},
        {SI("-1"), 9, SI("!SET")},
        {SI("1 "), 9, SI("!SET")},
        {SI("4294967296"), 9, SI("!SET")},
        {SI("1:99999999999999999999"), 9, SI("!SET")},
        {SI("a"), 9, SI("!SET")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[64];
        struct slice got = resolved(cases[i].text, cases[i].star, bytes, sizeof bytes);

        if (!slice_eq(got, cases[i].want))
            fail_msg("%.*s gave %.*s", (int)cases[i].text.len, cases[i].text.at,
                (int)got.len, got.at);
    }
}

static void ranges_are_counted(void **state)
{
    char text[4 * RANGES_MAX + 8];
    char bytes[16];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < RANGES_MAX; i++, n += 4)
        memcpy(text + n, "1:*,", 4);
    assert_true(
        slice_eq(resolved(slice_of(text, n - 1), 7, bytes, sizeof bytes), S("1:7")));
    text[n] = '1';
    assert_true(slice_eq(
        resolved(slice_of(text, n + 1), 7, bytes, sizeof bytes), S("!SET_LONG")));
}

/* A small generator with a fixed seed. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*seed >> 33);
}

/* Random sets against a table of their members. */
static void members_are_found(void **state)
{
    enum { NUMBERS = 64, ROUNDS = 2000 };
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct imap_range ranges[12];
        struct imap_set set = {ranges, 1 + next_random(&seed) % 12};
        bool member[NUMBERS + 2] = {false};
        uint32_t found;

        for (uint32_t i = 0; i < set.count; i++) {
            uint32_t a = 1 + next_random(&seed) % NUMBERS;
            uint32_t b = next_random(&seed) % 2 ? a : 1 + next_random(&seed) % NUMBERS;

            ranges[i] = (struct imap_range){a, b};
            for (uint32_t n = a < b ? a : b; n <= (a < b ? b : a); n++)
                member[n] = true;
        }
        imap_set_resolve(&set, 1);
        for (uint32_t n = 0, next; n <= NUMBERS + 1; n++) {
            assert_int_equal(imap_set_has(&set, n), member[n]);
            for (next = n; next <= NUMBERS && !member[next]; next++)
                ;
            assert_int_equal(imap_set_from(&set, n, &found), next <= NUMBERS);
            if (next <= NUMBERS)
                assert_int_equal(found, next);
        }
        for (uint32_t i = 1; i < set.count; i++)
            assert_true(set.at[i].first > set.at[i - 1].last + 1);
    }
}

static void sets_fit_or_not(void **state)
{
    struct imap_range one = {1, 5}, star = {0, 0};
    struct imap_set set = {&one, 1}, empty = {&star, 1};

    (void)state;
    assert_true(imap_set_fits(&set, 5));
    assert_false(imap_set_fits(&set, 4));
    imap_set_resolve(&empty, 0);
    assert_false(imap_set_fits(&empty, 0));
}

static void numbers_are_printed_compactly(void **state)
{
    static const struct {
        uint32_t numbers[8]; /* up to the first 0 */
        struct slice want;
    } cases[] = {
        {{0}, SI("")},
        {{1}, SI("1")},
        {{1, 2}, SI("1:2")},
        {{1, 2, 3, 7}, SI("1:3,7")},
        {{7, 9, 10}, SI("7,9:10")},
        {{304, 319, 320}, SI("304,319:320")},
        {{3, 1, 2}, SI("3,1:2")},
        {{4294967294, 4294967295, 1}, SI("4294967294:4294967295,1")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[64];
        struct out o = out_of(bytes, sizeof bytes);
        struct imap_set_writer w = imap_set_writer_of(&o);

        for (int j = 0; cases[i].numbers[j]; j++)
            imap_set_writer_add(&w, cases[i].numbers[j]);
        imap_set_writer_end(&w);
        assert_true(slice_eq(out_slice(&o), cases[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_put_in_order),
        cmocka_unit_test(ranges_are_counted),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(sets_fit_or_not),
        cmocka_unit_test(numbers_are_printed_compactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
