/* D01 to D05: what the disk refuses or breaks while the log runs. And every allocation,
 * every call of every kind, fails once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/store/logkit.h"

enum { LENGTH = 1500 };

static struct kit kit;

/* --- allocations that fail; put in place by the linker --- */

static uint64_t allocations, allocation_fails_at;

void *__real_log_alloc(size_t n);
void *__real_log_alloc_blocks(size_t n);
void *__real_log_alloc_huge(size_t n);
void *__wrap_log_alloc(size_t n);
void *__wrap_log_alloc_blocks(size_t n);
void *__wrap_log_alloc_huge(size_t n);

void *__wrap_log_alloc(size_t n)
{
    return ++allocations == allocation_fails_at ? NULL : __real_log_alloc(n);
}

void *__wrap_log_alloc_blocks(size_t n)
{
    return ++allocations == allocation_fails_at ? NULL : __real_log_alloc_blocks(n);
}

void *__wrap_log_alloc_huge(size_t n)
{
    return ++allocations == allocation_fails_at ? NULL : __real_log_alloc_huge(n);
}

static int setup(void **state)
{
    kit_init(&kit, 11);
    kit.conf.segment_bytes = 64 << 10;
    kit.conf.batch_bytes = 8192;
    *state = &kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    return 0;
}

static void set_fault(struct kit *k, enum memdisk_fault_kind kind, enum disk_call call,
    uint64_t at, int error)
{
    k->disk.fault = (struct memdisk_fault){
        .kind = kind, .calls = 1U << call, .at = at, .error = error};
}

/* Adds until the log says something else than OK or BUSY. */
static enum status add_until_refused(
    struct kit *k, enum log_purpose purpose, unsigned most)
{
    for (unsigned i = 0; i < most;) {
        enum status status = kit_add(k, purpose, LENGTH);

        if (status == STATUS_OK) {
            kit_wait(k);
            i++;
        } else if (status != STATUS_BUSY) {
            return status;
        }
        kit_turn(k);
    }
    return STATUS_OK;
}

static void reopen_and_expect(struct kit *k)
{
    k->disk.fault = (struct memdisk_fault){0};
    kit_open_settled(k);
    kit_expect_prefix(k);
    kit_fill(k, 20, LENGTH);
    kit_close(k);
    kit_open_settled(k);
    kit_expect_all(k, k->count);
    kit_close(k);
}

/* --- a full disk --- */

/* D01: the next segment cannot be made once; a second later it can. */
static void full_disk_once_is_got_over(void **state)
{
    struct kit *k = *state;

    for (uint64_t at = 1; at <= 6; at++) {
        unsigned refused = 0;

        kit_free(k);
        setup(state);
        kit_open_settled(k);
        set_fault(k, FAULT_ERROR, DISK_CREATE, at, ENOSPC);
        for (unsigned i = 0; i < 300;) {
            enum status status = kit_add(k, LOG_GROW, LENGTH);

            assert_true(status == STATUS_OK || status == STATUS_BUSY ||
                status == STATUS_NO_SPACE);
            if (status == STATUS_OK) {
                kit_wait(k);
                i++;
            } else if (status == STATUS_NO_SPACE) {
                assert_int_equal(log_health(k->log), STATUS_NO_SPACE);
                refused++;
                k->disk.now_ns += 100000000;
            }
            kit_turn(k);
        }
        assert_int_equal(k->disk.fault.hits, 1);
        assert_true(refused > 0);
        kit_settle(k);
        assert_int_equal(log_health(k->log), STATUS_OK);
        assert_int_equal(k->acked, 300);
        kit_close(k);
        reopen_and_expect(k);
    }
}

/* D02: mail is refused, changes that free space are still taken, reading goes on; when
 * something has been removed mail is taken again, without a restart. */
static void full_disk_keeps_a_reserve(void **state)
{
    struct kit *k = *state;
    unsigned mail;

    k->disk.capacity = 14 * k->conf.segment_bytes;
    kit_open_settled(k);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(add_until_refused(k, LOG_GROW, 1000), STATUS_NO_SPACE);
    kit_settle(k);
    mail = k->count;
    assert_int_equal(k->acked, mail);
    assert_true(mail > 80);
    for (unsigned i = 0; i < mail; i += 11)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    assert_int_equal(kit_add(k, LOG_GROW, LENGTH), STATUS_NO_SPACE);
    assert_int_equal(add_until_refused(k, LOG_SHRINK, 8), STATUS_OK);
    kit_settle(k);
    assert_int_equal(k->acked, mail + 8);
    kit_close(k);

    kit_open_settled(k); /* still full */
    kit_expect_all(k, mail + 8);
    assert_int_equal(kit_add(k, LOG_GROW, 30000), STATUS_NO_SPACE);
    assert_int_equal(add_until_refused(k, LOG_SHRINK, 5), STATUS_OK);
    kit_settle(k);
    k->disk.capacity += 5 * k->conf.segment_bytes; /* somebody made room */
    k->disk.now_ns += 2000000000;
    kit_settle(k);
    assert_int_equal(add_until_refused(k, LOG_GROW, 50), STATUS_OK);
    kit_settle(k);
    kit_close(k);
    k->disk.capacity = 0;
    reopen_and_expect(k);
}

/* A full disk is left by compaction alone: the log needs no room that is not there. */
static void full_disk_is_left_by_removing(void **state)
{
    struct kit *k = *state;
    struct log_segment_info info;

    k->disk.capacity = 16 * k->conf.segment_bytes;
    kit_open_settled(k);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(add_until_refused(k, LOG_GROW, 1000), STATUS_NO_SPACE);
    kit_settle(k);
    assert_int_equal(log_health(k->log), STATUS_NO_SPACE);
    /* Nothing in these is alive any more: they need not be moved. */
    for (unsigned i = 0; i < 5; i++) {
        assert_true(log_segment_at(k->log, i, &info));
        log_retire(k->log, info.number);
    }
    for (unsigned i = 0; i < 4; i++) { /* one that finds no room makes some */
        (void)!kit_checkpoint(k);
        kit_settle(k);
    }
    k->disk.now_ns += 2000000000;
    kit_settle(k);
    assert_int_equal(log_health(k->log), STATUS_OK);
    assert_int_equal(add_until_refused(k, LOG_GROW, 40), STATUS_OK);
    kit_settle(k);
    kit_close(k);
}

static void limit_of_bytes_is_a_full_disk(void **state)
{
    struct kit *k = *state;

    k->conf.disk_bytes_max = 10 * k->conf.segment_bytes;
    kit_open_settled(k);
    assert_int_equal(add_until_refused(k, LOG_GROW, 1000), STATUS_NO_SPACE);
    kit_settle(k);
    assert_true(memdisk_used(&k->disk) <= k->conf.disk_bytes_max);
    assert_true(memdisk_used(&k->disk) >= k->conf.disk_bytes_max - (64 << 10));
    kit_close(k);
}

static void checkpoint_that_finds_no_room_does_no_harm(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    kit_fill(k, 50, LENGTH);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    k->disk.capacity = memdisk_used(&k->disk) + 4096;
    assert_int_equal(kit_checkpoint(k), STATUS_NO_SPACE);
    assert_int_equal(kit_checkpoint(k), STATUS_OK); /* the older one made room */
    kit_fill(k, 5, LENGTH);
    kit_close(k);
    k->disk.capacity = 0;
    reopen_and_expect(k);
}

/* It fails before its end is asked for: told when it is, in a later turn. */
static void checkpoint_that_failed_early_is_told_of(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    kit_fill(k, 10, LENGTH);
    set_fault(k, FAULT_ERROR, DISK_CREATE, 1, ENOSPC);
    assert_int_equal(log_checkpoint_begin(k->log), STATUS_OK);
    k->checkpoint_open = true;
    while (memdisk_step(&k->disk))
        ;
    assert_int_equal(log_checkpoint_piece(k->log, S("piece")), STATUS_NO_SPACE);
    kit_checkpoint_end(k);
    assert_true(k->checkpoint_open);
    log_turn(k->log);
    assert_false(k->checkpoint_open);
    assert_int_equal(k->checkpoint_status, STATUS_NO_SPACE);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_close(k);
}

/* What could not be removed is on no list: the next start does it, and replays nothing of
 * it. */
static void leftover_segment_goes_at_the_next_start(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    kit_fill(k, 100, LENGTH);
    assert_true(kit_compact(k, 0));
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    assert_null(kit_file(k, 1));
    assert_true(kit_compact(k, 0));
    set_fault(k, FAULT_ERROR, DISK_REMOVE, 1, EIO);
    k->disk.fault.for_ever = true;
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    k->disk.fault = (struct memdisk_fault){0};
    assert_non_null(kit_file(k, 2));
    kit_close(k);
    memdisk_erase(&k->disk, "checkpoint-00000001");
    memdisk_erase(&k->disk, "checkpoint-00000002");
    memdisk_erase(&k->disk, "checkpoint-00000003");
    kit_open_settled(k);
    assert_null(kit_file(k, 2));
    assert_int_equal(k->damage_count, 0);
    assert_int_equal(k->doubles, 0);
    assert_int_equal(k->replayed, 100);
    kit_close(k);
}

/* --- writes that fail --- */

/* D03, D04, D05: after a failed or short write nothing is written and nothing is
 * acknowledged, though later batches may have landed well; after a restart what had been
 * acknowledged is there. */
static void fails_for_good(struct kit *k, enum memdisk_fault_kind kind, uint64_t at)
{
    uint64_t commits;
    unsigned acked;

    k->disk.latency_max_ns = 3000000;
    kit_open_settled(k);
    k->disk.fault = (struct memdisk_fault){.kind = kind,
        .calls = 1U << DISK_COMMIT,
        .at = at,
        .error = EIO,
        .bytes = 7 * 512};
    assert_int_equal(add_until_refused(k, LOG_GROW, 400), STATUS_READ_ONLY);
    assert_int_equal(k->disk.fault.hits, 1);
    while (memdisk_step(&k->disk))
        ;
    assert_int_equal(log_health(k->log), STATUS_READ_ONLY);
    commits = k->disk.calls[DISK_COMMIT];
    acked = k->acked;
    assert_true(k->failures > 0);
    assert_int_equal(k->last_failure, STATUS_IO);
    k->failures = 0;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(kit_add(k, LOG_SHRINK, 100), STATUS_READ_ONLY);
        kit_wait(k);
        kit_turn(k);
        k->disk.now_ns += 1000000000;
    }
    assert_int_equal(k->failures, 20);
    assert_int_equal(k->last_failure, STATUS_READ_ONLY);
    for (unsigned i = 0; i < acked; i += 7)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    assert_true(log_checkpoint_begin(k->log) == STATUS_READ_ONLY);
    assert_int_equal(k->acked, acked);
    assert_int_equal(k->disk.calls[DISK_COMMIT], commits);
    kit_close(k);
    assert_int_equal(k->disk.calls[DISK_COMMIT], commits);
    reopen_and_expect(k);
}

static void failed_write_is_final(void **state)
{
    struct kit *k = *state;

    for (uint64_t at = 1; at <= 60; at += at < 12 ? 1 : 7 * KIT_STEP)
        for (unsigned kind = FAULT_ERROR; kind <= FAULT_SHORT; kind++) {
            kit_free(k);
            kit_init(k, at);
            k->conf.batch_bytes = 4096;
            k->conf.segment_bytes = 1 << 20; /* so that only batches are committed */
            fails_for_good(k, (enum memdisk_fault_kind)kind, at);
        }
}

/* A disk that says yes and does nothing: found at the next start, unless nothing ever
 * proved that it had been written; never wrong bytes. */
static void lost_and_misplaced_writes_are_found(void **state)
{
    struct kit *k = *state;

    for (uint64_t at = 1; at <= 40; at += 3)
        for (unsigned kind = FAULT_LOST; kind <= FAULT_MISPLACED; kind++) {
            unsigned seen = 0;

            kit_free(k);
            setup(state);
            k->conf.segment_bytes = 1 << 20;
            kit_open_settled(k);
            set_fault(k, (enum memdisk_fault_kind)kind, DISK_COMMIT, at, 0);
            k->disk.fault.bytes = 4096;
            kit_fill(k, 200, LENGTH);
            assert_int_equal(k->disk.fault.hits, 1);
            kit_close(k);
            k->disk.fault = (struct memdisk_fault){0};
            kit_open_settled(k);
            assert_false(k->wrong);
            assert_int_equal(k->doubles, 0);
            for (unsigned i = 0; i < k->count; i++)
                seen += k->records[i].seen;
            assert_true(seen == k->count || k->damage_count > 0);
            assert_true(seen >= k->count - 30);
            kit_close(k);
        }
}

/* --- descriptors --- */

enum { READERS_MAX = 64 };

struct reader {
    struct log_read read;
    enum status status;
    bool done;
};

static void on_read(struct log_read *r, enum status status)
{
    struct reader *reader = container_of(r, struct reader, read);

    reader->status = status;
    reader->done = true;
    if (status == STATUS_OK)
        log_read_end(r);
}

/* Segments that are finished and closed, and of each the first record. */
static unsigned fill_segments(struct kit *k, uint64_t *places)
{
    unsigned count = 0;
    uint32_t last = 0;

    k->conf.segment_bytes = SEGMENT_BYTES_MIN;
    k->conf.recent_bytes = 0;
    k->conf.read_bytes = 1 << 20;
    kit_open_settled(k);
    kit_fill(k, 1100, LENGTH);
    kit_settle(k);
    for (unsigned i = 0; i < 800 && count < READERS_MAX; i++) /* the last are in memory */
        if (PLACE_SEGMENT(k->records[i].place) != last) {
            last = PLACE_SEGMENT(k->records[i].place);
            places[count++] = k->records[i].place;
        }
    return count;
}

/* All at once; returns how many were read. Nobody waits for ever. */
static unsigned read_at_once(struct kit *k, const uint64_t *places, unsigned count)
{
    static struct reader readers[READERS_MAX];
    unsigned done = 0, good = 0;

    memset(readers, 0, sizeof readers);
    for (unsigned i = 0; i < count; i++)
        assert_false(log_read(k->log, &readers[i].read, places[i], LENGTH, on_read));
    for (unsigned turns = 0; done < count; turns++) {
        assert_true(turns < 100 * count);
        kit_turn(k);
        done = good = 0;
        for (unsigned i = 0; i < count; i++) {
            done += readers[i].done;
            good += readers[i].done && readers[i].status == STATUS_OK;
        }
    }
    return good;
}

/* Whichever open finds no descriptor, another file is closed for it. */
static void open_without_descriptor_waits_for_another(void **state)
{
    struct kit *k = *state;
    uint64_t places[READERS_MAX];
    bool hit = true;

    for (uint64_t at = 1; hit; at++) {
        unsigned count;

        kit_free(k);
        setup(state);
        k->conf.files_max = 2 + (uint32_t)at % 7 * 5;
        count = fill_segments(k, places);
        assert_true(count >= 40);
        assert_int_equal(read_at_once(k, places, 1), 1); /* one can be closed */
        set_fault(k, FAULT_ERROR, DISK_OPEN, at, at % 2 ? EMFILE : ENFILE);
        assert_int_equal(read_at_once(k, places, count), count);
        for (unsigned i = 0; i < count; i++)
            assert_int_equal(read_at_once(k, &places[i], 1), 1);
        hit = k->disk.fault.hits > 0;
        kit_close(k);
    }
}

/* Fewer descriptors than files are allowed: those there are serve all. When there are
 * more, a second later, more are open. */
static void fewer_descriptors_than_files(void **state)
{
    struct kit *k = *state;
    uint64_t places[READERS_MAX], opens;

    for (unsigned few = 1; few < 30; few += 1 + few / 4) {
        unsigned count, taken;

        kit_free(k);
        setup(state);
        count = fill_segments(k, places);
        assert_int_equal(read_at_once(k, places, 1), 1);
        taken = memdisk_open_files(&k->disk, true);
        k->disk.handles_max = taken + few;
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(read_at_once(k, places, count), count);
        kit_settle(k);
        assert_in_range(memdisk_open_files(&k->disk, false), 1, few);
        k->disk.handles_max = 0;
        k->disk.now_ns += 1000000000;
        assert_int_equal(read_at_once(k, places, count), count);
        opens = k->disk.calls[DISK_OPEN];
        assert_int_equal(read_at_once(k, places, count), count);
        assert_int_equal(k->disk.calls[DISK_OPEN], opens); /* all stayed open */
        kit_close(k);
    }
}

/* They wait for one file, not for one each. */
static void readers_of_a_segment_close_one_file(void **state)
{
    struct kit *k = *state;
    uint64_t places[READERS_MAX], same[READERS_MAX], opens;
    unsigned count;

    k->conf.files_max = 20;
    count = fill_segments(k, places);
    assert_true(count > 20);
    assert_int_equal(read_at_once(k, places, 20), 20);
    opens = k->disk.calls[DISK_OPEN];
    for (unsigned i = 0; i < 15; i++)
        same[i] = places[20];
    assert_int_equal(read_at_once(k, same, 15), 15);
    assert_int_equal(k->disk.calls[DISK_OPEN], opens + 1);
    assert_int_equal(memdisk_open_files(&k->disk, false), 20);
    kit_close(k);
}

/* Nothing can be closed: every reader is told, and the next has a file again. */
static void no_descriptor_at_all_is_told(void **state)
{
    struct kit *k = *state;
    uint64_t places[READERS_MAX];
    unsigned count = fill_segments(k, places);

    set_fault(k, FAULT_ERROR, DISK_OPEN, 1, EMFILE);
    k->disk.fault.for_ever = true;
    assert_int_equal(read_at_once(k, places, count), 0);
    assert_int_equal(read_at_once(k, places, 1), 0);
    k->disk.fault = (struct memdisk_fault){0};
    assert_int_equal(read_at_once(k, places, count), count);
    kit_close(k);
}

/* --- everything once --- */

/* A bit of everything; goes on whatever fails. */
static void run(struct kit *k)
{
    for (unsigned i = 0; i < 120; i++) {
        if (kit_add(k, i % 3 ? LOG_GROW : LOG_SHRINK, LENGTH) == STATUS_OK)
            kit_wait(k);
        kit_turn(k);
        if (i % 20 == 10)
            (void)!kit_checkpoint(k);
        if (i == 45 || i == 65)
            kit_compact(k, 0);
        if (i % 10 == 9 && k->acked)
            (void)!kit_read(k, (i * 7) % k->acked);
        if (i % 30 == 0)
            k->disk.now_ns += 1500000000;
    }
    kit_settle(k);
    kit_close(k);
}

static void every_call_fails_once(void **state)
{
    struct kit *k = *state;

    for (unsigned call = DISK_CREATE; call <= DISK_REMOVE; call++) {
        for (uint64_t at = 1;; at += (at < 40 ? 1 : 11) * KIT_STEP) {
            enum status status;
            bool hit;

            kit_free(k);
            setup(state);
            set_fault(k, FAULT_ERROR, (enum disk_call)call, at,
                call == DISK_CREATE && at % 2 ? ENOSPC : EIO);
            status = kit_open(k);
            if (status == STATUS_OK)
                run(k);
            else
                assert_true(k->disk.fault.hits > 0);
            hit = k->disk.fault.hits > 0;
            reopen_and_expect(k);
            if (!hit)
                break;
        }
    }
}

static void every_allocation_fails_once(void **state)
{
    struct kit *k = *state;
    uint64_t used;

    for (uint64_t at = 1;; at++) {
        enum status status;

        kit_free(k);
        setup(state);
        allocations = 0;
        allocation_fails_at = at;
        status = kit_open(k);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        if (status == STATUS_OK)
            run(k);
        used = allocations;
        allocation_fails_at = 0;
        reopen_and_expect(k);

        allocations = 0; /* the same for a start that has something to read */
        allocation_fails_at = at;
        status = kit_open(k);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        if (status == STATUS_OK)
            kit_close(k);
        allocation_fails_at = 0;
        reopen_and_expect(k);
        if (at > used)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(full_disk_once_is_got_over),
        T(full_disk_keeps_a_reserve),
        T(full_disk_is_left_by_removing),
        T(limit_of_bytes_is_a_full_disk),
        T(checkpoint_that_finds_no_room_does_no_harm),
        T(checkpoint_that_failed_early_is_told_of),
        T(leftover_segment_goes_at_the_next_start),
        T(failed_write_is_final),
        T(lost_and_misplaced_writes_are_found),
        T(open_without_descriptor_waits_for_another),
        T(fewer_descriptors_than_files),
        T(readers_of_a_segment_close_one_file),
        T(no_descriptor_at_all_is_told),
        T(every_call_fails_once),
        T(every_allocation_fails_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
