#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/stats.h"

enum { ROOM = 256 << 10 };

static struct thread_stats stats; /* too large for a stack */

static int empty(void **state)
{
    (void)state;
    memset(&stats, 0, sizeof stats);
    return 0;
}

static struct stats_set opened(const struct stats_table *table)
{
    struct stats_set set;

    assert_true(stats_set_open(&set, table));
    return set;
}

static void what_is_written_is_read_back(void **state)
{
    struct stats_set before = {&stats_thread_table, stats.values, stats.times};
    struct stats_set after = opened(&stats_thread_table);
    char *room = malloc(ROOM);
    struct out out = out_of(room, ROOM);

    (void)state;
    for (unsigned i = 0; i < THREAD_STAT_COUNT; i++)
        stats.values[i] = i * 1000003ull;
    for (unsigned i = 0; i < THREAD_TIMES_COUNT; i++)
        for (uint64_t v = i; v < 1ull << 36; v = v * 3 + 1)
            histogram_add(&stats.times[i], v);
    stats_write(&out, &before);
    assert_false(out.full);
    assert_true(stats_read(out_slice(&out), &after));
    assert_memory_equal(after.values, stats.values, sizeof stats.values);
    assert_memory_equal(after.times, stats.times, sizeof stats.times);
    stats_set_close(&after);
    free(room);
}

static void figures_of_another_version_are_passed_over(void **state)
{
    struct stats_set set = opened(&stats_shard_table);

    (void)state;
    assert_true(stats_read(S("new_figure 7\nbatches 9\nlater 1 2 3 4=5\n"), &set));
    assert_int_equal(set.values[STAT_batches], 9);
    assert_true(stats_read(S(""), &set));
    stats_set_close(&set);
}

static void malformed_lines_are_refused(void **state)
{
    static const char *const bad[] = {"batches", "batches x", "batches 1 2",
        "batches 99999999999999999999", "commit", "commit 1", "commit 1 2",
        "commit 1 2 3 x", "commit 1 2 3 5", "commit 1 2 3 5=", "commit 1 2 3 =5",
        "commit 1 2 3 1152=1", "commit 1 2 3 -1=1"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct stats_set set = opened(&stats_shard_table);

        assert_false(stats_read(slice_str(bad[i]), &set));
        stats_set_close(&set);
    }
}

static void intervals_have_what_was_counted_and_what_is_now(void **state)
{
    struct stats_set now = opened(&stats_thread_table);
    struct stats_set before = opened(&stats_thread_table);

    (void)state;
    now.values[STAT_turns] = 100;
    now.values[STAT_connections] = 7;
    histogram_add(&now.times[TIMES_turn], 50);
    stats_set_copy(&before, &now);
    stats_set_add(&now, &before); /* now twice as much */
    now.values[STAT_connections] = 3;
    stats_set_since(&now, &before);
    assert_int_equal(now.values[STAT_turns], 100);
    assert_int_equal(now.values[STAT_connections], 3);
    assert_int_equal(now.times[TIMES_turn].count, 1);
    assert_int_equal(now.times[TIMES_turn].max, 50);
    stats_set_close(&now);
    stats_set_close(&before);
}

static void operations_last_until_the_turn_ends(void **state)
{
    struct histogram *fetch = &stats.times[TIMES_imap_fetch];

    (void)state;
    stats_end(&stats, TIMES_imap_fetch, 1000);
    stats_end(&stats, TIMES_imap_store, 1020);
    stats_end(&stats, TIMES_imap_fetch, 1050);
    assert_int_equal(fetch->count, 0);
    stats_settle(&stats, 1060);
    stats_settle(&stats, 5000); /* once */
    assert_int_equal(fetch->count, 2);
    assert_int_equal(fetch->sum, 70);
    assert_int_equal(fetch->max, 60);
    assert_int_equal(stats.times[TIMES_imap_store].sum, 40);
}

static void any_number_of_operations_is_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        stats_end(&stats, TIMES_pop3_retr, 0);
    stats_settle(&stats, 1);
    assert_int_equal(stats.times[TIMES_pop3_retr].count, 1000);
}

/* Every figure that another is a part of is there. */
static void every_whole_is_a_figure(void **state)
{
    static const struct stats_table *const tables[] = {
        &stats_thread_table, &stats_shard_table, &stats_server_table};

    (void)state;
    for (unsigned t = 0; t < 3; t++)
        for (unsigned i = 0; i < tables[t]->field_count; i++) {
            struct slice of = slice_str(tables[t]->fields[i].of);

            if (of.len)
                assert_true(
                    stats_find(tables[t], of) || stats_find(&stats_server_table, of));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_written_is_read_back, empty),
        cmocka_unit_test(figures_of_another_version_are_passed_over),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(intervals_have_what_was_counted_and_what_is_now),
        cmocka_unit_test_setup(operations_last_until_the_turn_ends, empty),
        cmocka_unit_test_setup(any_number_of_operations_is_counted, empty),
        cmocka_unit_test(every_whole_is_a_figure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
