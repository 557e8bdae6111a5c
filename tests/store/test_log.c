/* The log when all goes well: batches, order, reading, segments, checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/store/logkit.h"

enum { READ_LITTLE = 8192 }; /* one buffer of the smallest size */

/* --- start and stop --- */

static void empty_store_opens_and_opens_again(void **state)
{
    struct kit *k = *state;

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(kit_open(k), STATUS_OK);
        kit_expect_all(k, 0);
        assert_int_equal(k->start.tail_cut_bytes, 0);
        kit_close(k);
    }
}

static void records_come_back(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_open(k), STATUS_OK);
    kit_fill(k, 500, 0);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, 500);
    assert_int_equal(k->replayed, 500);
    assert_int_equal(k->start.replayed, 500);
    assert_int_equal(k->start.tail_cut_bytes, 0);
    kit_fill(k, 100, 0);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, 600);
    kit_close(k);
}

static void sequence_numbers_go_on_after_a_restart(void **state)
{
    struct kit *k = *state;
    uint64_t last;

    assert_int_equal(kit_open(k), STATUS_OK);
    kit_fill(k, 10, 100);
    last = k->records[9].seq;
    assert_int_equal(log_durable_seq(k->log), last);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    assert_int_equal(log_durable_seq(k->log), last);
    kit_fill(k, 1, 100);
    assert_true(k->records[10].seq > last);
    kit_close(k);
}

static uint64_t bytes_of_a_start(struct kit *k)
{
    kit_close(k);
    k->disk.read_bytes = 0;
    kit_open_settled(k);
    return k->disk.read_bytes;
}

/* Beside one block of each segment. */
static void start_after_a_checkpoint_reads_only_the_tail(void **state)
{
    struct kit *k = *state;
    struct log_segment_info info;
    uint64_t small, big, blocks = 0;

    kit_open_settled(k);
    kit_fill(k, 50, 1000);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    small = bytes_of_a_start(k);
    kit_fill(k, 3000, 1000);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_fill(k, 5, 1000);
    big = bytes_of_a_start(k);
    assert_int_equal(k->replayed, 5);
    assert_int_equal(k->covered, 3050);
    kit_expect_all(k, 3055);
    while (log_segment_at(k->log, (unsigned)blocks, &info))
        blocks++;
    assert_true(blocks > 30);
    assert_true(big <= small + blocks * 4096 + 3 * k->conf.segment_bytes);
    kit_close(k);
}

/* Files made ahead are large and blank: after a clean stop nobody looks into them, and
 * after any other start all of them are. */
static void start_after_a_stop_reads_no_blank_files(void **state)
{
    struct kit *k = *state;
    uint64_t bytes;

    k->conf.segment_bytes = 4 << 20;
    kit_open_settled(k);
    kit_fill(k, 50, 1000);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_fill(k, 5, 1000);
    bytes = bytes_of_a_start(k);
    assert_int_equal(k->replayed, 5);
    kit_expect_all(k, 55);
    assert_true(bytes < 2 * k->conf.segment_bytes); /* windows of a MiB */
    kit_fill(k, 5, 1000);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_fill(k, 5, 1000);
    kit_crash(k, false);
    k->disk.read_bytes = 0;
    kit_open_settled(k);
    kit_expect_all(k, 65);
    assert_true(k->disk.read_bytes > 3 * k->conf.segment_bytes);
    kit_close(k);
}

/* What a start waits for is small; what comes after it has the size asked for. */
static void first_segment_of_a_start_is_small(void **state)
{
    enum { LARGE = 20 << 20, RECORD = 700000 };
    struct kit *k = *state;

    k->conf.segment_bytes = LARGE;
    kit_open_settled(k);
    kit_fill(k, 50, RECORD);
    assert_int_equal(kit_file_of(k, 0)->bytes, 16 << 20);
    assert_int_equal(kit_file_of(k, 49)->bytes, LARGE);
    kit_close(k);
    kit_open_settled(k);
    kit_expect_all(k, 50);
    kit_fill(k, 1, RECORD);
    assert_int_equal(kit_file_of(k, 50)->bytes, 16 << 20);
    kit_close(k);
}

static void memory_is_told_beforehand(void **state)
{
    struct kit *k = *state;
    struct log_conf conf = {.batch_bytes = 256 << 10, .recent_bytes = 32 << 20};
    uint64_t bytes = log_memory_max(&conf);

    assert_true(bytes > (32U << 20) * 2 && bytes < (32U << 20) * 2 + (26U << 20));
    conf.recent_bytes += 1 << 20;
    conf.read_bytes = (32 << 20) + 1000;
    assert_int_equal(log_memory_max(&conf), bytes + (1 << 20) + 1000);
    (void)k;
}

/* --- batches --- */

static void several_waiters_share_one_commit(void **state)
{
    struct kit *k = *state;
    uint64_t before;

    kit_open_settled(k);
    before = k->disk.calls[DISK_COMMIT];
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
        kit_wait(k);
    }
    log_turn(k->log);
    assert_int_equal(k->releases, 0);
    memdisk_step(&k->disk);
    assert_int_equal(k->releases, 50);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 1);
    kit_close(k);
}

static void nothing_is_told_before_it_is_durable(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    kit_wait(k);
    for (unsigned i = 0; i < 5; i++)
        log_turn(k->log);
    assert_int_equal(k->releases, 0);
    assert_true(log_durable_seq(k->log) < k->records[0].seq);
    assert_false(log_idle(k->log));
    memdisk_step(&k->disk);
    assert_int_equal(k->acked, 1);
    assert_int_equal(log_durable_seq(k->log), k->records[0].seq);
    assert_true(log_idle(k->log));
    kit_close(k);
}

static void waiting_for_nothing_is_told_in_a_later_turn(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    kit_wait(k);
    assert_int_equal(k->releases, 0);
    log_turn(k->log);
    assert_int_equal(k->releases, 1);
    kit_close(k);
}

/* More than one batch flies when the first is slow, never more than allowed, and the
 * order of telling holds although they land in any order (kit.c asserts it). */
static void up_to_four_batches_fly(void **state)
{
    struct kit *k = *state;

    for (unsigned allowed = 1; allowed <= 4; allowed++) {
        kit_free(k);
        kit_init(k, allowed);
        k->conf.in_flight = allowed;
        k->conf.batch_bytes = 2000;
        k->conf.segment_bytes = 4 << 20;
        k->disk.latency_min_ns = 10000;
        k->disk.latency_max_ns = 5000000;
        kit_open_settled(k);
        k->disk.flying_most = 0;
        for (unsigned i = 0; i < 400; i++) {
            while (kit_add(k, LOG_GROW, 900) == STATUS_BUSY)
                kit_turn(k);
            kit_wait(k);
            log_turn(k->log);
            if (memdisk_draw(&k->disk, 3) == 0)
                memdisk_step(&k->disk);
        }
        kit_settle(k);
        assert_int_equal(k->acked, 400);
        assert_int_equal(k->disk.flying_most, allowed);
        kit_close(k);
    }
}

/* The open batch waits while another flies; a turn sends it when it has waited half as
 * long as a commit takes. */
static void batch_gathers_while_another_flies(void **state)
{
    struct kit *k = *state;
    uint64_t before;

    k->disk.latency_min_ns = 1000000;
    k->disk.latency_max_ns = 1000001;
    kit_open_settled(k);
    kit_fill(k, 60, 100); /* so that the latency is known */
    before = k->disk.calls[DISK_COMMIT];
    assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 1);
    assert_int_equal(log_due_ns(k->log), UINT64_MAX);
    assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 1);
    assert_int_equal(log_due_ns(k->log), UINT64_MAX); /* the landing makes a turn */
    k->disk.now_ns += 600000;
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 2);
    kit_close(k);
}

static void too_much_waiting_is_refused_and_told(void **state)
{
    struct kit *k = *state;
    unsigned wakes, n = 0;

    k->conf.segment_bytes = 4 << 20;
    kit_open_settled(k);
    while (kit_add(k, LOG_GROW, 1000) == STATUS_OK)
        n++;
    assert_true(n * 1000 <= 21 * k->conf.batch_bytes);
    assert_true(n * 1000 >= 8 * k->conf.batch_bytes);
    assert_int_equal(kit_add(k, LOG_SHRINK, 1000), STATUS_BUSY);
    wakes = k->wakes;
    kit_settle(k);
    assert_true(k->wakes > wakes);
    assert_int_equal(kit_add(k, LOG_GROW, 1000), STATUS_OK);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, n + 1);
    kit_close(k);
}

static void big_records_go_through(void **state)
{
    struct kit *k = *state;
    unsigned n = 0;

    k->conf.segment_bytes = 16 << 20;
    kit_open_settled(k);
    for (unsigned length = 60000; length <= RECORD_PAYLOAD_MAX; length *= 2, n += 2) {
        kit_fill(k, 1, length);
        kit_fill(k, 1, 100);
        assert_int_equal(kit_read(k, n), STATUS_OK);
        assert_int_equal(kit_read(k, n + 1), STATUS_OK);
    }
    kit_fill(k, 2, RECORD_PAYLOAD_MAX);
    assert_int_equal(kit_add(k, LOG_GROW, RECORD_PAYLOAD_MAX + 1), STATUS_LIMIT);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, n + 2);
    for (unsigned i = 0; i < n + 2; i++)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    kit_close(k);
}

static void record_too_big_for_a_segment_is_refused(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    assert_int_equal(kit_add(k, LOG_GROW, k->conf.segment_bytes), STATUS_LIMIT);
    kit_fill(k, 1, k->conf.segment_bytes - 7 * 4096);
    kit_fill(k, 5, 100);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, 6);
    kit_close(k);
}

/* What belongs together is there wholly or not at all, wherever the power goes. */
static void group_is_never_split(void **state)
{
    struct kit *k = *state;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        kit_free(k);
        kit_init(k, seed);
        k->conf.segment_bytes = 64 << 10;
        k->conf.batch_bytes = 4096;
        kit_open_settled(k);
        for (unsigned i = 0; i < 40; i++) {
            while (log_room(k->log, LOG_GROW, 5, 5 * 700) == STATUS_BUSY)
                kit_turn(k);
            for (unsigned n = 0; n < 5; n++)
                assert_int_equal(kit_add(k, LOG_GROW, 700), STATUS_OK);
            log_turn(k->log);
            if (memdisk_draw(&k->disk, 3) == 0)
                memdisk_step(&k->disk);
        }
        kit_crash(k, true);
        assert_int_equal(kit_open(k), STATUS_OK);
        kit_expect_prefix(k);
        assert_int_equal(k->count % 5, 0);
        kit_close(k);
    }
}

/* --- reading --- */

static void recent_records_come_from_memory(void **state)
{
    struct kit *k = *state;
    uint64_t reads;

    kit_open_settled(k);
    assert_int_equal(kit_add(k, LOG_GROW, 3000), STATUS_OK);
    reads = k->disk.calls[DISK_READ];
    assert_int_equal(kit_read(k, 0), STATUS_OK); /* not even written yet */
    kit_fill(k, 20, 1000);
    for (unsigned i = 0; i < 21; i++)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    assert_int_equal(k->disk.calls[DISK_READ], reads);
    kit_close(k);
}

/* A batch that was opened for records that did not come. */
static void an_empty_batch_takes_its_place(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(log_room(k->log, LOG_GROW, 3, 2000), STATUS_OK);
        if (i % 3)
            kit_settle(k);
        else
            log_turn(k->log);
        assert_int_equal(kit_add(k, LOG_GROW, 3000), STATUS_OK);
        assert_int_equal(kit_read(k, i), STATUS_OK);
        kit_settle(k);
    }
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    kit_crash(k, true);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_settle(k);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    assert_int_equal(k->damage_count, 0);
    kit_close(k);
}

static void older_records_come_from_the_disk(void **state)
{
    struct kit *k = *state;
    uint64_t reads;

    kit_open_settled(k);
    kit_fill(k, 1500, 1000);
    reads = k->disk.calls[DISK_READ];
    for (unsigned i = 0; i < 1500; i++)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    assert_true(k->disk.calls[DISK_READ] > reads + 500);
    kit_close(k);
}

static void on_read_told(struct log_read *r, enum status status)
{
    (void)r;
    assert_int_equal(status, STATUS_OK);
}

/* Readers that never let go cost the writer nothing: their bytes stay as they are, and
 * what goes beyond half of the memory is copied. */
static void held_records_do_not_stop_the_writer(void **state)
{
    enum { HELD = 60 };
    struct kit *k = *state;
    struct log_read *held = calloc(HELD, sizeof *held);
    char *copies = calloc(HELD, 1000);

    k->conf.read_bytes = 4 << 20;
    kit_open_settled(k);
    for (unsigned i = 0; i < HELD; i++) {
        kit_fill(k, 12, 1000);
        assert_true(log_read(
            k->log, &held[i], k->records[k->count - 1].place, 1000, on_read_told));
        memcpy(copies + i * 1000, held[i].record.payload.at, 1000);
    }
    kit_fill(k, 500, 1000);
    for (unsigned i = 0; i < HELD; i++) {
        assert_memory_equal(copies + i * 1000, held[i].record.payload.at, 1000);
        log_read_end(&held[i]);
    }
    kit_fill(k, 500, 1000);
    kit_close(k);
    free(held);
    free(copies);
}

/* Half of the slabs pinned, and every buffer held: the next reader waits, also for what
 * stands in memory, and is served when a buffer comes back. The writer is told to wait
 * before it would touch what is pinned. */
static void reader_of_memory_waits_for_a_buffer(void **state)
{
    struct kit *k = *state;
    struct log_read pins[2] = {0}, holder = {0}, waiter = {0};
    unsigned last;

    k->conf.recent_bytes = 0;
    k->conf.read_bytes = READ_LITTLE;
    k->conf.segment_bytes = 4 << 20;
    kit_open_settled(k);
    for (unsigned i = 0; i < 2; i++) { /* five slabs there are, two may be pinned */
        kit_fill(k, 70, 1000);
        assert_true(log_read(
            k->log, &pins[i], k->records[k->count - 1].place, 1000, on_read_told));
    }
    kit_fill(k, 70, 1000);
    last = k->count - 1;
    assert_true(log_read(k->log, &holder, k->records[last].place, 0, on_read_told));
    assert_false(log_read(k->log, &waiter, k->records[last - 1].place, 0, on_read_told));
    kit_turn(k);
    assert_null(waiter.record.payload.at);
    log_read_end(&holder);
    kit_settle(k);
    assert_int_equal(waiter.record.place, k->records[last - 1].place);
    log_read_end(&waiter);
    while (kit_add(k, LOG_SHRINK, 1000) == STATUS_OK)
        ;
    assert_int_equal(kit_add(k, LOG_SHRINK, 1000), STATUS_BUSY);
    for (unsigned i = 0; i < 2; i++)
        log_read_end(&pins[i]);
    kit_settle(k);
    assert_int_equal(kit_add(k, LOG_SHRINK, 1000), STATUS_OK);
    kit_close(k);
}

static void third_big_record_waits_for_the_first(void **state)
{
    struct kit *k = *state;

    k->conf.segment_bytes = 4 << 20;
    kit_open_settled(k);
    assert_int_equal(kit_add(k, LOG_GROW, 100000), STATUS_OK);
    assert_int_equal(kit_add(k, LOG_GROW, 100000), STATUS_OK);
    assert_int_equal(kit_add(k, LOG_GROW, 100000), STATUS_BUSY);
    kit_settle(k);
    assert_int_equal(kit_add(k, LOG_GROW, 100000), STATUS_OK);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, 3);
    kit_close(k);
}

/* More readers than there is memory for: they wait, and all are served. */
static void readers_wait_for_memory(void **state)
{
    enum { READERS = 300 };
    struct kit *k = *state;
    struct log_read *reads = calloc(READERS, sizeof *reads);
    unsigned done = 0, begun = 0;

    k->conf.read_bytes = 64 << 10;
    kit_open_settled(k);
    kit_fill(k, 1500, 1000);
    for (unsigned i = 0; i < READERS; i++) {
        uint64_t place = k->records[i * 3].place;

        begun += !log_read(k->log, &reads[i], place, i % 2 ? 1000 : 0, on_read_told);
    }
    assert_int_equal(begun, READERS);
    for (unsigned turns = 0; done < READERS; turns++) {
        assert_true(turns < 100000);
        kit_turn(k);
        for (unsigned i = 0; i < READERS; i++)
            if (reads[i].record.payload.at) {
                assert_int_equal(reads[i].record.place, k->records[i * 3].place);
                log_read_end(&reads[i]);
                reads[i].record.payload.at = NULL;
                done++;
            }
        assert_true(memdisk_used(&k->disk) > 0);
    }
    kit_close(k);
    free(reads);
}

/* So many readers at once, each in a segment of its own, and later each record by itself:
 * all are served, from no more than conf.files_max files. */
static void read_with_files(struct kit *k, unsigned files)
{
    enum { READERS = 160 };
    struct log_read *reads = calloc(READERS, sizeof *reads);
    unsigned done = 0, first = 0;
    uint64_t opens;

    k->conf.segment_bytes = SEGMENT_BYTES_MIN;
    k->conf.read_bytes = 8 << 20;
    k->conf.recent_bytes = 0;
    k->conf.files_max = files;
    kit_open_settled(k);
    kit_fill(k, 2400, 1500);
    for (unsigned i = 0; i < READERS; i++) { /* one in each segment */
        uint32_t segment = PLACE_SEGMENT(k->records[first].place);

        assert_false(
            log_read(k->log, &reads[i], k->records[first].place, 1500, on_read_told));
        while (PLACE_SEGMENT(k->records[first].place) == segment)
            first++;
        assert_true(first < 2300);
    }
    while (done < READERS) {
        kit_turn(k);
        assert_true(memdisk_open_files(&k->disk, false) <= files);
        for (unsigned i = 0; i < READERS; i++)
            if (reads[i].record.payload.at) {
                log_read_end(&reads[i]);
                reads[i].record.payload.at = NULL;
                done++;
            }
    }
    kit_settle(k);
    opens = k->disk.calls[DISK_OPEN];
    assert_true(files < READERS || opens == READERS); /* kept open they serve again */
    for (unsigned i = 0; i < first; i += 7)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    assert_int_equal(k->disk.calls[DISK_OPEN] == opens, files >= READERS);
    assert_true(memdisk_open_files(&k->disk, false) <= files);
    kit_close(k);
    assert_int_equal(memdisk_open_files(&k->disk, false), 0);
    free(reads);
}

static void more_segments_than_open_files(void **state)
{
    static const unsigned files[] = {1, 2, 3, 17, 128, 159, 160, 400};
    struct kit *k = *state;

    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        kit_free(k);
        kit_init(k, i);
        read_with_files(k, files[i]);
    }
}

static void places_that_are_none(void **state)
{
    struct kit *k = *state;
    static const struct {
        int64_t move;
        enum status memory, disk;
    } cases[] = {
        {8, STATUS_CORRUPT, STATUS_CORRUPT},
        {1, STATUS_NOT_FOUND, STATUS_NOT_FOUND},
        {(int64_t)77 << 32, STATUS_NOT_FOUND, STATUS_NOT_FOUND},
        {64 << 10, STATUS_CORRUPT, STATUS_CORRUPT},
        {1 << 20, STATUS_NOT_FOUND, STATUS_NOT_FOUND},
        {-(1 << 20), STATUS_NOT_FOUND, STATUS_NOT_FOUND},
    };
    uint64_t place;

    kit_open_settled(k);
    kit_fill(k, 1, 2000);
    place = k->records[0].place;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        k->records[0].place = place + (uint64_t)cases[i].move;
        assert_int_equal(kit_read(k, 0), cases[i].memory);
    }
    k->records[0].place = 0;
    assert_int_equal(kit_read(k, 0), STATUS_NOT_FOUND);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        k->records[0].place = place + (uint64_t)cases[i].move;
        assert_int_equal(kit_read(k, 0), cases[i].disk);
    }
    kit_close(k);
}

static void unreadable_record_costs_only_itself(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    kit_fill(k, 1000, 1000);
    k->disk.fault = (struct memdisk_fault){
        .kind = FAULT_ERROR, .calls = 1U << DISK_READ, .at = 3, .error = 5};
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(kit_read(k, i), i == 2 ? STATUS_IO : STATUS_OK);
    assert_int_equal(kit_read(k, 2), STATUS_OK);
    kit_fill(k, 10, 1000);
    kit_close(k);
}

/* --- segments --- */

static unsigned segments(struct kit *k)
{
    struct log_segment_info info;
    unsigned n = 0;

    while (log_segment_at(k->log, n, &info))
        n++;
    return n;
}

/* Removed once both checkpoints have begun after it was retired, not before. */
static void retired_segment_goes_with_the_second_checkpoint(void **state)
{
    struct kit *k = *state;
    unsigned before;

    kit_open_settled(k);
    kit_fill(k, 500, 1000);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_true(kit_compact(k, 0));
    kit_settle(k);
    before = segments(k);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    assert_int_equal(segments(k), before);
    assert_non_null(kit_file(k, 1));
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    assert_int_equal(segments(k), before - 1);
    assert_null(kit_file(k, 1));
    for (unsigned i = 0; i < 500; i += 3)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    kit_close(k);
    kit_open_settled(k);
    kit_expect_all(k, 500);
    kit_close(k);
}

static void removed_segment_is_not_missed_without_checkpoints(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    kit_fill(k, 300, 1000);
    assert_true(kit_compact(k, 0));
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    assert_null(kit_file(k, 1));
    kit_close(k);
    memdisk_erase(&k->disk, "checkpoint-00000001");
    memdisk_erase(&k->disk, "checkpoint-00000002");
    kit_open_settled(k);
    assert_int_equal(k->damage_count, 0);
    assert_false(k->wrong);
    for (unsigned i = 0; i < 300; i++)
        assert_true(k->records[i].seen);
    kit_close(k);
}

static void pin_keeps_a_retired_segment(void **state)
{
    struct kit *k = *state;
    struct log_pin pin = {0}, later = {0};

    kit_open_settled(k);
    kit_fill(k, 300, 1000);
    log_pin(k->log, &pin);
    assert_true(kit_compact(k, 0));
    log_pin(k->log, &later);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    assert_non_null(kit_file(k, 1));
    log_unpin(k->log, &pin);
    kit_settle(k);
    assert_null(kit_file(k, 1));
    log_unpin(k->log, &later);
    kit_close(k);
}

static void read_in_progress_keeps_a_retired_segment(void **state)
{
    struct kit *k = *state;
    struct log_read read = {0};

    kit_open_settled(k);
    kit_fill(k, 600, 1000);
    assert_false(log_read(k->log, &read, k->records[0].place, 1000, on_read_told));
    kit_settle(k);
    assert_non_null(read.record.payload.at);
    assert_true(kit_compact(k, 0));
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_settle(k);
    assert_non_null(kit_file(k, 1));
    log_read_end(&read);
    kit_settle(k);
    assert_null(kit_file(k, 1));
    kit_close(k);
}

static void live_bytes_are_kept_by_the_checkpoint(void **state)
{
    struct kit *k = *state;
    struct log_segment_info info;

    kit_open_settled(k);
    kit_fill(k, 300, 1000);
    for (unsigned i = 0; i < 300; i++)
        log_live(k->log, k->records[i].place, 1000);
    log_live(k->log, k->records[0].place, -1000);
    assert_true(log_segment_at(k->log, 0, &info));
    assert_int_equal(info.number, 1);
    assert_true(info.sealed);
    uint64_t live = info.live_bytes, used = info.used_bytes;

    assert_true(live > 20000 && live < used);
    log_live(k->log, k->records[299].place, -((int64_t)1 << 40));
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_close(k);
    kit_open_settled(k);
    assert_true(log_segment_at(k->log, 0, &info));
    assert_int_equal(info.live_bytes, live);
    assert_int_equal(info.used_bytes, used);
    assert_true(log_segment_at(k->log, PLACE_SEGMENT(k->records[299].place) - 1, &info));
    assert_int_equal(info.live_bytes, 0);
    kit_close(k);
}

/* --- scan --- */

struct scanned {
    struct kit *kit;
    unsigned next, stop_at, wakes;
};

static enum status on_scan(void *arg, const struct log_record *record)
{
    struct scanned *s = arg;

    if (s->next == s->stop_at) {
        s->stop_at = UINT32_MAX;
        return STATUS_BUSY;
    }
    assert_int_equal(record->place, s->kit->records[s->next].place);
    assert_int_equal(record->seq, s->kit->records[s->next].seq);
    assert_int_equal(record->payload.len, s->kit->records[s->next].length);
    s->next++;
    return STATUS_OK;
}

static void on_scan_wake(void *arg)
{
    ((struct scanned *)arg)->wakes++;
}

static void scan_gives_every_record_once(void **state)
{
    struct kit *k = *state;
    struct scanned s = {.kit = k, .stop_at = 7};
    struct log_scan *scan;
    enum status status;

    k->conf.segment_bytes = 1 << 20;
    kit_open_settled(k);
    kit_fill(k, 700, 0);
    kit_fill(k, 1, 400000); /* more than a window */
    kit_fill(k, 300, 3000);
    assert_int_equal(log_scan_begin(k->log, 1, &scan, on_scan_wake, &s), STATUS_OK);
    while ((status = log_scan_step(scan, 10000, on_scan)) != STATUS_OK) {
        assert_true(status == STATUS_BUSY || status == STATUS_LIMIT);
        kit_turn(k);
    }
    assert_int_equal(s.stop_at, UINT32_MAX);
    assert_true(s.wakes > 0);
    assert_int_equal(PLACE_SEGMENT(k->records[s.next - 1].place), 1);
    assert_int_equal(PLACE_SEGMENT(k->records[s.next].place), 2);
    log_scan_end(scan);

    assert_int_equal(log_scan_begin(k->log, 1, &scan, on_scan_wake, &s), STATUS_OK);
    assert_int_equal(log_scan_step(scan, 10000, on_scan), STATUS_BUSY);
    log_scan_end(scan); /* while it reads */
    assert_int_equal(
        log_scan_begin(k->log, 99, &scan, on_scan_wake, &s), STATUS_NOT_FOUND);
    kit_close(k);
}

/* --- checkpoints --- */

static unsigned pieces_seen;

static enum status on_big_piece(void *arg, struct slice piece)
{
    (void)arg;
    assert_int_equal(piece.len, CHECKPOINT_PIECE_MAX - pieces_seen * 1000);
    for (size_t i = 0; i < piece.len; i += 4099)
        assert_int_equal(piece.at[i], (char)(pieces_seen + i / 4099));
    pieces_seen++;
    return STATUS_OK;
}

static void big_checkpoint_comes_back_in_order(void **state)
{
    struct kit *k = *state;
    char *piece = calloc(1, CHECKPOINT_PIECE_MAX + 1);
    struct log_start start = {.piece = on_big_piece};
    uint64_t bytes;

    kit_open_settled(k);
    kit_fill(k, 20, 100);
    assert_int_equal(log_checkpoint_begin(k->log), STATUS_OK);
    assert_int_equal(log_checkpoint_begin(k->log), STATUS_BUSY);
    assert_int_equal(
        log_checkpoint_piece(k->log, slice_of(piece, CHECKPOINT_PIECE_MAX + 1)),
        STATUS_LIMIT);
    for (unsigned n = 0; n < 12; n++) {
        size_t length = CHECKPOINT_PIECE_MAX - n * 1000;

        for (size_t i = 0; i < length; i += 4099)
            piece[i] = (char)(n + i / 4099);
        while (log_checkpoint_piece(k->log, slice_of(piece, length)) == STATUS_BUSY)
            kit_turn(k);
    }
    k->checkpoint_open = true;
    kit_checkpoint_end(k);
    kit_settle(k);
    assert_int_equal(k->checkpoint_status, STATUS_OK);
    kit_close(k);
    bytes = memdisk_find(&k->disk, "checkpoint-00000001")->bytes;
    pieces_seen = 0;
    k->disk.read_bytes = 0;
    assert_int_equal(log_open(&k->log, &k->disk.disk, &k->conf, &start), STATUS_OK);
    assert_int_equal(pieces_seen, 12);
    assert_true(k->disk.read_bytes < bytes + bytes / 4); /* it is read once */
    kit_close(k);
    free(piece);
}

static void two_checkpoints_are_kept(void **state)
{
    struct kit *k = *state;

    kit_open_settled(k);
    for (unsigned i = 0; i < 5; i++) {
        kit_fill(k, 20, 1000);
        assert_true(log_since_checkpoint(k->log) >= 20000);
        assert_int_equal(kit_checkpoint(k), STATUS_OK);
        assert_true(log_since_checkpoint(k->log) < 8192);
        if (i == 2) {
            kit_close(k);
            kit_open_settled(k);
            kit_expect_all(k, k->count);
        }
    }
    kit_settle(k);
    assert_null(memdisk_find(&k->disk, "checkpoint-00000003"));
    assert_non_null(memdisk_find(&k->disk, "checkpoint-00000004"));
    assert_non_null(memdisk_find(&k->disk, "checkpoint-00000005"));
    kit_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, kit_start, kit_stop)
        T(empty_store_opens_and_opens_again),
        T(records_come_back),
        T(an_empty_batch_takes_its_place),
        T(sequence_numbers_go_on_after_a_restart),
        T(start_after_a_checkpoint_reads_only_the_tail),
        T(start_after_a_stop_reads_no_blank_files),
        T(first_segment_of_a_start_is_small),
        T(memory_is_told_beforehand),
        T(several_waiters_share_one_commit),
        T(nothing_is_told_before_it_is_durable),
        T(waiting_for_nothing_is_told_in_a_later_turn),
        T(up_to_four_batches_fly),
        T(batch_gathers_while_another_flies),
        T(too_much_waiting_is_refused_and_told),
        T(big_records_go_through),
        T(record_too_big_for_a_segment_is_refused),
        T(group_is_never_split),
        T(recent_records_come_from_memory),
        T(older_records_come_from_the_disk),
        T(held_records_do_not_stop_the_writer),
        T(reader_of_memory_waits_for_a_buffer),
        T(third_big_record_waits_for_the_first),
        T(readers_wait_for_memory),
        T(more_segments_than_open_files),
        T(places_that_are_none),
        T(unreadable_record_costs_only_itself),
        T(retired_segment_goes_with_the_second_checkpoint),
        T(removed_segment_is_not_missed_without_checkpoints),
        T(pin_keeps_a_retired_segment),
        T(read_in_progress_keeps_a_retired_segment),
        T(live_bytes_are_kept_by_the_checkpoint),
        T(scan_gives_every_record_once),
        T(big_checkpoint_comes_back_in_order),
        T(two_checkpoints_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
