#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mime/boundary.h"

static uint32_t seed = 1;

static uint32_t roll(uint32_t sides)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % sides;
}

/* A short text of two letters, so that most begin one another. */
static struct slice any_text(char *at)
{
    size_t len = 1 + roll(6);

    for (size_t i = 0; i < len; i++)
        at[i] = (char)('a' + roll(2));
    return slice_of(at, len);
}

struct open_one {
    char text[8];
    size_t len;
};

/* The longest that begins the line, and of equal ones the newest. */
static const struct open_one *plain_match(
    const struct open_one *open, unsigned count, struct slice line)
{
    const struct open_one *best = NULL;

    for (unsigned i = 0; i < count; i++)
        if (open[i].len <= line.len && memcmp(open[i].text, line.at, open[i].len) == 0 &&
            (!best || open[i].len >= best->len))
            best = &open[i];
    return best;
}

static void longest_and_innermost_boundary_matches(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        struct open_one open[BOUNDARIES_MAX];
        struct boundaries b = {0};
        unsigned count = 0;

        for (unsigned step = 0; step < 60; step++) {
            char text[8];
            struct slice line = any_text(text);
            const struct open_one *want = plain_match(open, count, line);
            size_t length;

            assert_ptr_equal(boundary_match(&b, line, &length), want);
            if (want)
                assert_int_equal(length, want->len);
            if (count < BOUNDARIES_MAX && roll(3)) {
                open[count].len = any_text(open[count].text).len;
                boundary_add(
                    &b, slice_of(open[count].text, open[count].len), &open[count]);
                count++;
            } else if (count) {
                boundary_remove(&b, &open[--count]);
            }
        }
    }
}

static void removing_what_is_not_there_changes_nothing(void **state)
{
    struct boundaries b = {0};
    size_t length;
    int owner;

    (void)state;
    boundary_add(&b, S("x"), &owner);
    boundary_remove(&b, &length);
    assert_ptr_equal(boundary_match(&b, S("xyz"), &length), &owner);
    boundary_remove(&b, &owner);
    assert_null(boundary_match(&b, S("x"), &length));
    assert_null(boundary_match(&b, S(""), &length));
}

static void boundaries_are_compared_to_their_limit(void **state)
{
    char text[BOUNDARY_MAX + 10];
    struct boundaries b = {0};
    size_t length;
    int owner;

    (void)state;
    memset(text, 'x', sizeof text);
    boundary_add(&b, slice_of(text, sizeof text), &owner);
    assert_null(boundary_match(&b, slice_of(text, BOUNDARY_MAX - 1), &length));
    assert_ptr_equal(boundary_match(&b, slice_of(text, BOUNDARY_MAX), &length), &owner);
    assert_int_equal(length, BOUNDARY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_and_innermost_boundary_matches),
        cmocka_unit_test(removing_what_is_not_there_changes_nothing),
        cmocka_unit_test(boundaries_are_compared_to_their_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
