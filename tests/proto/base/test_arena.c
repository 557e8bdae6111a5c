#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/arena.h"

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena a = arena_of(1 << 20);
    char *pieces[200];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = arena_take(&a, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal((unsigned char)pieces[i][k], i);
    arena_reset(&a);
}

static void nothing_is_taken_past_the_limit(void **state)
{
    static const size_t limits[] = {0, 1, 15, 16, 100, 1024, 5000, 70000};

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct arena a = arena_of(limits[i]);
        size_t taken = 0;

        while (arena_take(&a, 48))
            taken += 48;
        assert_true(taken <= limits[i]);
        assert_true(a.taken <= limits[i]);
        assert_true(limits[i] < 2048 || taken >= limits[i] / 2);
        assert_null(arena_take(&a, 48));
        arena_reset(&a);
    }
}

static void absurd_sizes_are_refused(void **state)
{
    struct arena a = arena_of(1 << 20);

    (void)state;
    assert_null(arena_take(&a, SIZE_MAX));
    assert_null(arena_take(&a, SIZE_MAX - 15));
    assert_null(arena_take(&a, SIZE_MAX / 2));
    assert_null(arena_take(&a, (1 << 20) + 1));
    assert_non_null(arena_take(&a, 1 << 20));
    arena_reset(&a);
}

static void a_reset_arena_can_be_used_again(void **state)
{
    struct arena a = arena_of(4096);

    (void)state;
    for (int round = 0; round < 3; round++) {
        assert_non_null(arena_take(&a, 4000));
        assert_null(arena_take(&a, 4000));
        arena_reset(&a);
        assert_int_equal(a.taken, 0);
    }
    arena_reset(&a);
}

static void zeroed_pieces_are_zero_and_copies_are_copies(void **state)
{
    struct arena a = arena_of(8192);
    char text[] = "text";
    struct slice copy, empty;

    (void)state;
    memset(arena_take(&a, 512), 0xff, 512);
    for (int i = 0; i < 4; i++) {
        const char *piece = arena_zero(&a, 1000);

        for (size_t k = 0; k < 1000; k++)
            assert_int_equal(piece[k], 0);
    }
    copy = arena_copy(&a, slice_str(text));
    text[0] = 'X';
    assert_true(slice_eq(copy, S("text")));
    empty = arena_copy(&a, slice_of(NULL, 0));
    assert_int_equal(empty.len, 0);
    assert_non_null(empty.at);
    arena_reset(&a);
    a = arena_of(8);
    assert_null(arena_copy(&a, S("too long for it")).at);
    assert_null(arena_zero(&a, 64));
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(nothing_is_taken_past_the_limit),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(a_reset_arena_can_be_used_again),
        cmocka_unit_test(zeroed_pieces_are_zero_and_copies_are_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
