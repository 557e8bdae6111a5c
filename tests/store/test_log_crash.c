/* C02, C04, C05: crashes at any moment, from seeds. What was acknowledged is replayed to
 * the byte and in order, once; what was not is there wholly or not at all, and nothing
 * behind a gap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/log_check.h"
#include "tests/store/logkit.h"

enum { SEEDS = 300, ROUNDS = 4, STEPS = 120 };

static unsigned seeds = SEEDS;
static uint64_t running; /* seed; told when a test fails */
static struct kit kit;

static unsigned draw(unsigned n)
{
    return (unsigned)memdisk_draw(&kit.disk, n);
}

/* Small sizes make rare paths common. */
static void draw_conf(struct kit *k)
{
    static const unsigned segments[] = {32, 48, 64, 128, 512};
    static const unsigned batches[] = {1, 4096, 8192, 16384};

    k->conf.segment_bytes = segments[draw(5)] << 10;
    k->conf.batch_bytes = batches[draw(4)];
    k->conf.in_flight = 1 + draw(4);
    k->conf.commit_wait = draw(4);
    k->conf.recent_bytes = draw(3) * 65536;
    k->length_max = draw(4) ? 1500 : 16000;
    k->disk.latency_min_ns = draw(200000);
    k->disk.latency_max_ns = k->disk.latency_min_ns + 1 + draw(3) * 1500000;
}

static void add_some(struct kit *k)
{
    unsigned n = 1 + draw(6);

    for (unsigned i = 0; i < n; i++) {
        enum status status =
            kit_add(k, draw(4) ? LOG_GROW : LOG_SHRINK, 4 + draw(k->length_max));

        if (status == STATUS_BUSY || status == STATUS_LIMIT)
            return;
        if (k->disk.dead)
            return;
        assert_int_equal(status, STATUS_OK);
        if (draw(2))
            kit_wait(k);
    }
}

static void read_some(struct kit *k)
{
    for (unsigned i = 0; i < 3 && k->acked && !k->disk.dead; i++) {
        enum status status = kit_read(k, draw(k->acked));

        assert_true(status == STATUS_OK || k->disk.dead);
    }
}

static void checkpoint_some(struct kit *k)
{
    if (!k->checkpoint_open) {
        (void)!kit_checkpoint_begin(k);
        return;
    }
    if (k->checkpoint_waiter.done) /* its end has been asked for */
        return;
    kit_checkpoint_end(k);
}

static void live_some(struct kit *k)
{
    for (unsigned step = 0; step < STEPS && !k->disk.dead; step++) {
        unsigned what = draw(100);

        if (what < 45)
            add_some(k);
        else if (what < 90)
            kit_turn(k);
        else if (what < 94)
            read_some(k);
        else if (what < 97)
            checkpoint_some(k);
        else if (what < 98)
            kit_compact(k, draw(4));
        if (!k->checkpoint_open)
            k->checkpoint_waiter.done = NULL;
    }
}

/* A power loss at some call of the start, again and again, before one succeeds. */
static void open_through_crashes(struct kit *k)
{
    enum status status;

    for (unsigned i = 0; i < 3; i++) {
        if (draw(2))
            k->disk.fault = (struct memdisk_fault){
                .kind = FAULT_POWER, .calls = ~0U, .at = 1 + draw(60)};
        status = kit_open(k);
        k->disk.fault = (struct memdisk_fault){0};
        if (status == STATUS_OK && !k->disk.dead)
            return;
        assert_true(k->disk.dead);
        if (status == STATUS_OK)
            kit_crash(k, true);
        else
            memdisk_revive(&k->disk);
    }
    assert_int_equal(kit_open(k), STATUS_OK);
}

static void on_problem(
    void *arg, const char *file, uint64_t offset, uint64_t bytes, const char *what)
{
    (void)arg;
    if (strncmp(file, "checkpoint", 10) == 0)
        return; /* may be unfinished */
    fail_msg(
        "%s at %lu+%lu: %s", file, (unsigned long)offset, (unsigned long)bytes, what);
}

static void check_finds_nothing(struct kit *k)
{
    struct log_check check = {
        .store_id = k->conf.store_id, .shard = k->conf.shard, .problem = on_problem};

    assert_int_equal(log_check(&k->disk.disk, &check), STATUS_OK);
}

static void one_seed(uint64_t seed)
{
    struct kit *k = &kit;

    running = seed;
    kit_init(k, seed);
    draw_conf(k);
    for (unsigned round = 0; round < ROUNDS; round++) {
        open_through_crashes(k);
        kit_expect_prefix(k);
        k->checkpoint_waiter.done = NULL;
        if (draw(8) == 0)
            k->disk.fault = (struct memdisk_fault){
                .kind = FAULT_POWER, .calls = ~0U, .at = 1 + draw(300)};
        live_some(k);
        k->disk.fault = (struct memdisk_fault){0};
        kit_crash(k, draw(3) > 0);
        check_finds_nothing(k);
    }
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_prefix(k);
    for (unsigned i = 0; i < k->count; i += 1 + k->count / 50)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    kit_close(k);
    kit_free(k);
    running = 0;
}

static int tell_seed(void **state)
{
    (void)state;
    if (running)
        print_error("again with LOG_CRASH_SEED=%lu\n", (unsigned long)running);
    return 0;
}

static void everything_acknowledged_survives(void **state)
{
    const char *only = getenv("LOG_CRASH_SEED");

    (void)state;
    if (only) {
        one_seed(strtoull(only, NULL, 0));
        return;
    }
    for (uint64_t seed = 1; seed <= seeds; seed += KIT_STEP) {
        if (seed % 500 == 0)
            print_message("seed %lu\n", (unsigned long)seed);
        one_seed(seed);
    }
}

/* A power loss at each single call of one fixed run, its starts included. */
static void power_may_go_at_every_call(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at += KIT_STEP) {
        struct kit *k = &kit;
        bool hit;

        kit_init(k, 99);
        k->conf.segment_bytes = 48 << 10;
        k->conf.batch_bytes = 4096;
        k->disk.fault =
            (struct memdisk_fault){.kind = FAULT_POWER, .calls = ~0U, .at = at};
        if (kit_open(k) == STATUS_OK) {
            for (unsigned i = 0; i < 60 && !k->disk.dead; i++) {
                (void)!kit_add(k, LOG_GROW, 1500);
                kit_wait(k);
                kit_turn(k);
                if (i % 20 == 10)
                    (void)!kit_checkpoint(k);
                if (i == 30 || i == 45)
                    kit_compact(k, 0);
            }
            kit_crash(k, true);
        } else {
            assert_true(k->disk.dead);
            memdisk_revive(&k->disk);
        }
        hit = k->disk.fault.hits != 0;
        k->disk.fault = (struct memdisk_fault){0};
        assert_int_equal(kit_open(k), STATUS_OK);
        kit_expect_prefix(k);
        kit_fill(k, 5, 0);
        kit_close(k);
        assert_int_equal(kit_open(k), STATUS_OK);
        kit_expect_all(k, k->count);
        kit_close(k);
        kit_free(k);
        if (!hit)
            return;
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(everything_acknowledged_survives, tell_seed),
        cmocka_unit_test(power_may_go_at_every_call),
    };

    if (argc > 1)
        seeds = (unsigned)strtoul(argv[1], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
