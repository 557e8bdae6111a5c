/* The table behind the limits of rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/policy_rates.h"

#define S_US 1000000ll

static struct rates *rates;

static int open_rates(void **state)
{
    (void)state;
    rates = rates_open(7);
    return rates ? 0 : -1;
}

static int close_rates(void **state)
{
    (void)state;
    free(rates);
    return 0;
}

static bool take(uint64_t source, uint64_t n, uint64_t limit, int64_t now_us)
{
    return rate_take(rates_of(rates, source, now_us), RATE_MESSAGES, n, limit, now_us);
}

static void so_many_at_once_then_one_by_one(void **state)
{
    int64_t now = 1000 * S_US;

    (void)state;
    for (int i = 0; i < 60; i++)
        assert_true(take(1, 1, 60, now));
    assert_false(take(1, 1, 60, now));
    assert_true(take(2, 1, 60, now)); /* somebody else */
    assert_false(take(1, 1, 60, now + 59 * S_US));
    assert_true(take(1, 1, 60, now + 60 * S_US)); /* one a minute */
    assert_false(take(1, 1, 60, now + 61 * S_US));
    assert_false(take(1, 31, 60, now + 1860 * S_US)); /* all or nothing */
    assert_true(take(1, 30, 60, now + 1860 * S_US));
    assert_true(take(1, 60, 60, now + 9000 * S_US));
    assert_false(take(1, 61, 60, now + 90000 * S_US));
}

static void no_limit_counts_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_true(take(3, 1000, 0, S_US));
    assert_true(take(3, 1, 1, S_US));
    assert_false(take(3, 1, 1, S_US));
}

static void kinds_are_apart(void **state)
{
    struct rate_entry *e = rates_of(rates, 4, S_US);

    (void)state;
    assert_true(rate_take(e, RATE_MESSAGES, 1, 1, S_US));
    assert_true(rate_take(e, RATE_RECIPIENTS, 1, 1, S_US));
    assert_false(rate_take(e, RATE_MESSAGES, 1, 1, S_US));
    assert_int_equal(rate_used(e, RATE_ERRORS, 1, S_US), 0);
}

static void errors_count_up_to_the_limit(void **state)
{
    struct rate_entry *e = rates_of(rates, 5, S_US);

    (void)state;
    rate_note(e, RATE_ERRORS, 3, 10, S_US);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, S_US), 3);
    rate_note(e, RATE_ERRORS, 1000000, 10, S_US);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, S_US), 10);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, 360 * S_US), 10);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, 362 * S_US), 9);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, 7200 * S_US), 0);
}

/* What somebody else has counted takes the place of what was known. */
static void counts_may_be_set(void **state)
{
    struct rate_entry *e = rates_of(rates, 7, S_US);

    (void)state;
    rate_note(e, RATE_ERRORS, 9, 10, S_US);
    rate_set(e, RATE_ERRORS, 4, 10, S_US);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, S_US), 4);
    rate_set(e, RATE_ERRORS, 1000000, 10, 2 * S_US);
    assert_int_equal(rate_used(e, RATE_ERRORS, 10, 2 * S_US), 10);
}

static void looking_makes_no_entry(void **state)
{
    (void)state;
    assert_null(rates_find(rates, 8, S_US));
    assert_null(rates_find(rates, 8, S_US));
    rate_note(rates_of(rates, 8, S_US), RATE_ERRORS, 1, 3600, S_US);
    assert_ptr_equal(rates_find(rates, 8, S_US), rates_of(rates, 8, S_US));
    assert_null(rates_find(rates, 8, 3 * S_US)); /* forgotten */
}

static void large_limits(void **state)
{
    (void)state;
    assert_true(take(6, 1000000000, 1000000000, S_US));
    assert_false(take(6, 1000000000, 1000000000, S_US));
    assert_true(take(6, 1, 1000000000, S_US + 2));
}

/* Whoever has used up much stays; those who did one thing each make room. */
static void newcomers_do_not_wash_out_the_busy(void **state)
{
    int64_t now = 50000 * S_US;

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        assert_true(take(1000000 + i, 100, 100, now));
    for (uint64_t i = 0; i < 200000; i++)
        assert_true(take(2000000 + i, 1, 100, now));
    for (uint64_t i = 0; i < 100; i++)
        assert_false(take(1000000 + i, 1, 100, now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_at_once_then_one_by_one),
        cmocka_unit_test(no_limit_counts_nothing),
        cmocka_unit_test(kinds_are_apart),
        cmocka_unit_test(errors_count_up_to_the_limit),
        cmocka_unit_test(counts_may_be_set),
        cmocka_unit_test(looking_makes_no_entry),
        cmocka_unit_test(large_limits),
        cmocka_unit_test(newcomers_do_not_wash_out_the_busy),
    };

    return cmocka_run_group_tests(tests, open_rates, close_rates);
}
