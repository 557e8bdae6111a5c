/* What a start of the log puts off until after it: removals, and memory for batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "store/log_parts.h"
#include "tests/store/logkit.h"

enum { PAGE = 4096 };

/* --- removals --- */

/* What was made ahead is no part of the log any more; it goes when the log is in use, and
 * does no harm where a crash comes before. */
static void start_does_not_wait_for_removals(void **state)
{
    struct kit *k = *state;
    uint32_t blank = 0;

    kit_open_settled(k);
    kit_fill(k, 50, 1000);
    kit_close(k);
    for (uint32_t i = 1; i < 1000; i++)
        if (kit_file(k, i))
            blank = i;
    for (unsigned crash = 0; crash < 2; crash++) {
        k->disk.calls[DISK_REMOVE] = 0;
        assert_int_equal(kit_open(k), STATUS_OK);
        assert_int_equal(k->disk.calls[DISK_REMOVE], 0);
        assert_non_null(kit_file(k, blank));
        if (crash == 0)
            kit_crash(k, true);
    }
    kit_settle(k);
    assert_null(kit_file(k, blank));
    assert_true(k->disk.calls[DISK_REMOVE] > 1);
    kit_expect_all(k, 50);
    assert_int_equal(k->damage_count, 0);
    kit_fill(k, 50, 1000);
    kit_close(k);
    kit_open_settled(k);
    kit_expect_all(k, 100);
    assert_int_equal(k->damage_count, 0);
    kit_close(k);
}

/* A crash, start after start, before anything is removed: the files do not pile up. */
static void removals_do_not_pile_up(void **state)
{
    struct kit *k = *state;
    unsigned most = 0;

    for (unsigned start = 0; start < 40; start++) {
        unsigned files = 0;

        assert_int_equal(kit_open(k), STATUS_OK);
        for (uint32_t i = 1; i < 1000; i++)
            files += kit_file(k, i) != NULL;
        most = files > most ? files : most;
        kit_crash(k, false);
    }
    assert_true(most < 20);
    kit_open_settled(k);
    kit_close(k);
}

/* --- memory --- */

static bool is_there(const char *at, size_t n)
{
    static unsigned char there[(32 << 20) / PAGE];

    assert_true(n / PAGE <= sizeof there);
    assert_int_equal(mincore((char *)(uintptr_t)at, n, there), 0);
    for (size_t i = 0; i < n / PAGE; i++)
        if (!(there[i] & 1))
            return false;
    return true;
}

/* What was written before stays, and all of it comes. */
static void memory_is_filled_in_use(void **state)
{
    struct kit *k = *state;
    char before[10 * 1000];
    size_t bytes = 0, n;

    k->conf.recent_bytes = 16 << 20;
    kit_open_settled(k);
    kit_fill(k, 10, 1000);
    kit_settle(k);
    assert_non_null(k->log->slab_memory);
    assert_int_equal(madvise(k->log->slab_memory + (8 << 20), 8 << 20, MADV_DONTNEED), 0);
    memcpy(before, k->log->slab_memory, sizeof before);
    assert_false(is_there(k->log->slab_memory, 16 << 20));
    while ((n = log_fill_recent(k->log, bytes)) > 0)
        bytes += n;
    assert_true(bytes > 16 << 20);
    assert_true(is_there(k->log->slab_memory, bytes));
    assert_memory_equal(k->log->slab_memory, before, sizeof before);
    kit_close(k);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_start, kit_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(start_does_not_wait_for_removals),
        T(removals_do_not_pile_up),
        T(memory_is_filled_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
