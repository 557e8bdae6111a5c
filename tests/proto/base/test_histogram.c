#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/histogram.h"

static struct histogram a, b, both; /* too large for a stack, emptied by each test */

static int empty(void **state)
{
    (void)state;
    a = b = both = (struct histogram){0};
    return 0;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void buckets_follow_one_another_without_gap(void **state)
{
    (void)state;
    assert_int_equal(histogram_low(0), 0);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t low = histogram_low(i), high = histogram_high(i);

        assert_int_equal(histogram_bucket(low), i);
        assert_int_equal(histogram_bucket(high), i);
        assert_true(high - low <= low / 32);
        if (i + 1 < HISTOGRAM_BUCKETS)
            assert_int_equal(histogram_low(i + 1), high + 1);
    }
    assert_int_equal(
        histogram_high(HISTOGRAM_BUCKETS - 1), (1ull << HISTOGRAM_TOP_BITS) - 1);
}

static void what_is_too_large_goes_to_the_last_bucket(void **state)
{
    static const uint64_t large[] = {1ull << 40, 1ull << 50, UINT64_MAX / 4};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(histogram_bucket(large[i]), HISTOGRAM_BUCKETS - 1);
        histogram_add(&a, large[i]);
    }
    assert_true(a.max == UINT64_MAX / 4);
    assert_true(histogram_percentile(&a, 100) == UINT64_MAX / 4);
    assert_int_equal(a.buckets[HISTOGRAM_BUCKETS - 1], 3);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t v = 1; v <= 60; v++)
        histogram_add(&a, v);
    assert_int_equal(a.count, 60);
    assert_int_equal(a.sum, 1830);
    assert_int_equal(a.max, 60);
    assert_int_equal(histogram_mean(&a), 30);
    assert_int_equal(histogram_percentile(&a, 50), 30);
    assert_int_equal(histogram_percentile(&a, 90), 54);
    assert_int_equal(histogram_percentile(&a, 1), 1);
    assert_int_equal(histogram_percentile(&a, 0.001), 1);
    assert_int_equal(histogram_percentile(&a, 99.9), 60);
    assert_int_equal(histogram_percentile(&a, 100), 60);
}

static void nothing_seen_is_zero_everywhere(void **state)
{
    (void)state;
    assert_int_equal(histogram_percentile(&a, 50), 0);
    assert_int_equal(histogram_percentile(&a, 100), 0);
    assert_int_equal(histogram_mean(&a), 0);
}

static int by_value(const void *x, const void *y)
{
    uint64_t p = *(const uint64_t *)x, q = *(const uint64_t *)y;

    return p < q ? -1 : p > q;
}

/* Against the sorted values themselves, over eleven powers of ten. */
static void a_percentile_is_right_to_one_part_in_sixty_four(void **state)
{
    enum { COUNT = 20000 };
    static const double percents[] = {0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
    static uint64_t values[COUNT];
    uint64_t seed = 88172645463325252ull;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = next_random(&seed) >> (25 + next_random(&seed) % 36);
        histogram_add(&a, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], by_value);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        double exact = COUNT * percents[i] / 100;
        size_t rank = (size_t)exact + ((double)(size_t)exact < exact);
        uint64_t want = values[rank - 1];
        uint64_t have = histogram_percentile(&a, percents[i]);
        uint64_t off = have > want ? have - want : want - have;

        assert_true(off * 64 <= want);
    }
}

static void merged_is_as_if_added_to_one(void **state)
{
    uint64_t seed = 1181783497276652981ull;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t v = next_random(&seed) >> (24 + i % 40);

        histogram_add(i % 3 ? &a : &b, v);
        histogram_add(&both, v);
    }
    histogram_merge(&a, &b);
    assert_memory_equal(&a, &both, sizeof a);
}

static void a_difference_holds_what_came_between(void **state)
{
    (void)state;
    histogram_add(&a, 1000000);
    b = a; /* before */
    for (uint64_t v = 100; v < 200; v++) {
        histogram_add(&a, v);
        histogram_add(&both, v);
    }
    histogram_since(&a, &b);
    assert_int_equal(a.count, 100);
    assert_int_equal(a.sum, both.sum);
    assert_memory_equal(a.buckets, both.buckets, sizeof a.buckets);
    assert_true(a.max >= 199 && a.max <= 199 + 199 / 32);
    b = a;
    histogram_since(&a, &b);
    assert_int_equal(a.count, 0);
    assert_int_equal(a.max, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(buckets_follow_one_another_without_gap, empty),
        cmocka_unit_test_setup(what_is_too_large_goes_to_the_last_bucket, empty),
        cmocka_unit_test_setup(small_values_are_exact, empty),
        cmocka_unit_test_setup(nothing_seen_is_zero_everywhere, empty),
        cmocka_unit_test_setup(a_percentile_is_right_to_one_part_in_sixty_four, empty),
        cmocka_unit_test_setup(merged_is_as_if_added_to_one, empty),
        cmocka_unit_test_setup(a_difference_holds_what_came_between, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
