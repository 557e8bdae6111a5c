/* Sizes, users and moments: what a load is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/ledger.h"
#include "bench/schedule.h"

static void sizes_follow_their_weights(void **state)
{
    struct sizes s;
    unsigned small = 0, middle = 0, large = 0;

    (void)state;
    assert_true(sizes_parse(S("1K:80,10K-20K:15,100K:5"), &s));
    assert_int_equal(s.largest, 102400);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t size = sizes_pick(&s, scatter(i));

        assert_int_equal(size, sizes_pick(&s, scatter(i)));
        small += size == 1024;
        middle += size >= 10240 && size <= 20480;
        large += size == 102400;
    }
    assert_int_equal(small + middle + large, 100000);
    assert_in_range(small, 79000, 81000);
    assert_in_range(middle, 14500, 15500);
    assert_in_range(large, 4700, 5300);
}

static void a_range_is_used_to_both_ends(void **state)
{
    bool seen[5] = {false};
    struct sizes s;

    (void)state;
    assert_true(sizes_parse(S("10-14"), &s));
    for (uint64_t i = 0; i < 1000; i++)
        seen[sizes_pick(&s, scatter(i)) - 10] = true;
    for (unsigned i = 0; i < 5; i++)
        assert_true(seen[i]);
}

static void bad_sizes_are_refused(void **state)
{
    static const struct slice bad[] = {SI(""), SI("0"), SI("x"), SI("1K,"), SI(",1K"),
        SI("1K:"), SI("1K:0"), SI("2K-1K"), SI("1K-"), SI("-1K"), SI("2G"), SI("1K:x"),
        SI("1:2:3"), SI("99999999999999999999"), SI("1K 2K")};
    struct sizes s;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sizes_parse(bad[i], &s));
    assert_true(sizes_parse(S("300"), &s));
    assert_int_equal(sizes_pick(&s, 12345), 300);
}

static void check_name(const struct users *u, uint64_t i, const char *want)
{
    char text[USER_NAME_MAX + 1] = "";
    struct out out = out_of(text, USER_NAME_MAX);

    users_name(u, i, &out);
    assert_string_equal(text, want);
}

static void a_pattern_counts(void **state)
{
    struct users u = {.first = 5, .count = 3};

    (void)state;
    assert_true(users_pattern(&u, S("u%d@x.test")));
    check_name(&u, 0, "u5@x.test");
    check_name(&u, 2, "u7@x.test");
    check_name(&u, 3, "u5@x.test");
    assert_true(users_pattern(&u, S("one@x.test")));
    check_name(&u, 1, "one@x.test");
    assert_false(users_pattern(&u, S("u%d%d@x.test")));
    assert_false(users_pattern(&u, S("u%@x.test")));
    assert_false(users_pattern(&u, S("")));
}

static void a_file_lists(void **state)
{
    struct users u = {.password = S("all")};
    char path[] = "/tmp/bench_users_XXXXXX";
    static const char text[] = "a@x.test:secret:with colon\r\n\n# nobody\nb@x.test\nc:";
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_true(users_file(&u, path));
    assert_int_equal(u.count, 3);
    check_name(&u, 0, "a@x.test");
    assert_true(slice_eq(users_password(&u, 0), S("secret:with colon")));
    assert_true(slice_eq(users_password(&u, 1), S("all")));
    check_name(&u, 5, "c");
    users_free(&u);
    assert_int_equal(truncate(path, 0), 0);
    assert_false(users_file(&u, path));
    users_free(&u);
    unlink(path);
    assert_false(users_file(&u, path));
}

/* Three threads at 1000 a second make one comb of moments a millisecond apart. */
static void parts_of_a_fixed_schedule_interleave(void **state)
{
    const int64_t now = 1000000000;
    int64_t at[300];
    unsigned seen[300] = {0};

    (void)state;
    for (unsigned part = 0; part < 3; part++) {
        struct schedule s;

        schedule_start(&s, 1000, ARRIVAL_FIXED, part, 3, now);
        for (unsigned i = 0; i < 100; i++, schedule_step(&s))
            at[part * 100 + i] = schedule_due(&s) - now;
    }
    for (unsigned i = 0; i < 300; i++) {
        int64_t n = (at[i] + 500000) / 1000000;

        assert_in_range(n, 0, 299);
        assert_true(at[i] > n * 1000000 - 1000 && at[i] < n * 1000000 + 1000);
        seen[n]++;
    }
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(seen[i], 1);
}

/* Moments do not drift, however many there are, and do not depend on when they are
 * asked for. */
static void a_fixed_schedule_does_not_drift(void **state)
{
    struct schedule s;

    (void)state;
    schedule_start(&s, 30000, ARRIVAL_FIXED, 0, 1, 0);
    for (unsigned i = 0; i < 3000000; i++)
        schedule_step(&s);
    assert_in_range(schedule_due(&s), 100000000000 - 1000, 100000000000 + 1000);
    assert_int_equal(schedule_backlog(&s, schedule_due(&s) - 1), 0);
    assert_int_equal(schedule_backlog(&s, schedule_due(&s)), 1);
    assert_int_equal(schedule_backlog(&s, schedule_due(&s) + 1000100), 31);
}

static void poisson_gaps_have_the_mean_and_the_spread(void **state)
{
    struct schedule s;
    double sum = 0, squares = 0;
    int64_t before = 0;
    const unsigned many = 200000;

    (void)state;
    schedule_start(&s, 1e6, ARRIVAL_POISSON, 0, 1, 0);
    for (unsigned i = 0; i < many; i++, schedule_step(&s)) {
        double gap = (double)(schedule_due(&s) - before);

        assert_true(gap >= 0);
        before = schedule_due(&s);
        sum += gap;
        squares += gap * gap;
    }
    assert_in_range((int)(sum / many), 980, 1020);
    assert_in_range(
        (int)(squares / many / 1000), 1900, 2100); /* twice the mean's square */
}

static void a_ledger_remembers_far_slots(void **state)
{
    struct ledger l = {0};
    uint64_t last = (uint64_t)LEDGER_CHUNK * LEDGER_CHUNKS_MAX - 1;

    (void)state;
    ledger_set(&l, 5, LEDGER_ACKED); /* nothing is remembered yet */
    assert_null(ledger_at(&l, 5));
    assert_true(ledger_open(&l));
    ledger_set(&l, 70000, LEDGER_SENT);
    ledger_set(&l, last, LEDGER_ACKED);
    assert_int_equal(*ledger_at(&l, 70000), LEDGER_SENT);
    assert_int_equal(*ledger_at(&l, 69999), 0);
    assert_int_equal(*ledger_at(&l, last), LEDGER_ACKED);
    assert_int_equal(l.full, 0);
    ledger_set(&l, last + 1, LEDGER_ACKED);
    assert_int_equal(l.full, 1);
    ledger_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_follow_their_weights),
        cmocka_unit_test(a_range_is_used_to_both_ends),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(a_pattern_counts),
        cmocka_unit_test(a_file_lists),
        cmocka_unit_test(parts_of_a_fixed_schedule_interleave),
        cmocka_unit_test(a_fixed_schedule_does_not_drift),
        cmocka_unit_test(poisson_gaps_have_the_mean_and_the_spread),
        cmocka_unit_test(a_ledger_remembers_far_slots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
