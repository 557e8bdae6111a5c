/* D07 to D17: what is wrong on the disk is found, told by its place, and passed over;
 * what only a crash can leave is cut without a word of damage. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/log_check.h"
#include "tests/store/logkit.h"

enum { RECORDS = 120, LENGTH = 1900 };

static struct kit base; /* several segments, well closed */
static struct kit kit;  /* a copy, to be harmed */

static int group_setup(void **state)
{
    (void)state;
    kit_init(&base, 7);
    base.conf.segment_bytes = 64 << 10;
    base.conf.batch_bytes = 8192;
    assert_int_equal(kit_open(&base), STATUS_OK);
    kit_fill(&base, RECORDS, LENGTH);
    kit_close(&base);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    kit_free(&base);
    return 0;
}

static int setup(void **state)
{
    kit_copy(&kit, &base);
    *state = &kit;
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    return 0;
}

static void again(struct kit *k)
{
    kit_free(k);
    kit_copy(k, &base);
}

/* --- the check, which must agree, and change nothing --- */

static unsigned problems(struct kit *k)
{
    struct log_check check = {.store_id = k->conf.store_id, .shard = k->conf.shard};
    struct memdisk *m = &k->disk;

    memset(m->calls, 0, sizeof m->calls);
    assert_int_equal(log_check(&m->disk, &check), STATUS_OK);
    assert_int_equal(m->calls[DISK_CREATE], 0);
    assert_int_equal(m->calls[DISK_COMMIT], 0);
    assert_int_equal(m->calls[DISK_WRITE], 0);
    assert_int_equal(m->calls[DISK_REMOVE], 0);
    return (unsigned)check.problems;
}

static void good_log_has_no_problems(void **state)
{
    struct kit *k = *state;
    struct log_check check = {.shard = k->conf.shard};

    assert_int_equal(problems(k), 0);
    assert_int_equal(log_check(&k->disk.disk, &check), STATUS_OK);
    assert_int_equal(check.store_id, k->conf.store_id);
    assert_int_equal(check.records[RECORD_MESSAGE], RECORDS / 5);
    assert_int_equal(check.records[RECORD_EXPUNGE], RECORDS / 5);
    assert_int_equal(check.record_bytes, (uint64_t)RECORDS * LENGTH);
    assert_int_equal(check.tail_cut_bytes, 0);
    assert_int_equal(check.last_seq, k->records[RECORDS - 1].seq);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, RECORDS);
    kit_close(k);
}

static void opens_and_lost(struct kit *k, unsigned from, unsigned to)
{
    assert_true(problems(k) > 0);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_lost(k, from, to);
    for (unsigned i = from; i < to; i++)
        assert_int_equal(kit_read(k, i), STATUS_CORRUPT);
    if (from > 0)
        assert_int_equal(kit_read(k, from - 1), STATUS_OK);
    if (to < k->count)
        assert_int_equal(kit_read(k, to), STATUS_OK);
    kit_close(k);
}

/* Offset of the batch that record i stands in. */
static uint32_t batch_of(struct kit *k, unsigned i)
{
    const unsigned char *bytes = kit_file_of(k, i)->now;
    uint32_t at = PLACE_OFFSET(k->records[i].place) & ~4095U;
    struct record_header h;

    for (;; at -= 4096) {
        memcpy(&h, bytes + at, sizeof h);
        if (h.magic == RECORD_MAGIC && h.kind == RECORD_BATCH && h.offset == at)
            return at;
    }
}

/* --- D07, D08: the torn tail --- */

/* A log that ended with a kill: nothing proves its last batch. */
static void make_torn(struct kit *k)
{
    again(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, RECORDS);
    for (unsigned i = 0; i < 3; i++)
        kit_fill(k, 1, LENGTH); /* a batch each */
    kit_crash(k, false);
}

static void torn_tail_is_cut_at_every_octet(void **state)
{
    struct kit *k = *state;
    struct kit torn;
    uint32_t start, end;

    make_torn(k);
    start = batch_of(k, RECORDS + 2);
    end = PLACE_OFFSET(k->records[RECORDS + 2].place) + 32 + LENGTH;
    for (uint32_t cut = start; cut <= end; cut += cut + 64 < end ? 7 * KIT_STEP : 1) {
        kit_copy(&torn, k);
        memdisk_truncate(kit_file_of(&torn, RECORDS + 2), cut);
        assert_int_equal(kit_open(&torn), STATUS_OK);
        assert_int_equal(torn.damage_count, 0);
        assert_false(torn.wrong);
        for (unsigned i = 0; i < RECORDS + 2; i++)
            assert_true(torn.records[i].seen);
        assert_int_equal(torn.records[RECORDS + 2].seen, cut == end);
        assert_int_equal(
            torn.start.tail_cut_bytes, cut == start || cut == end ? 0 : 4096);
        torn.count = torn.acked = RECORDS + 2 + (cut == end);
        kit_fill(&torn, 2, LENGTH);
        kit_close(&torn);
        assert_int_equal(kit_open(&torn), STATUS_OK); /* and what was cut stays cut */
        kit_expect_all(&torn, torn.count);
        kit_close(&torn);
        kit_free(&torn);
    }
}

static void torn_sectors_of_the_tail_are_cut(void **state)
{
    struct kit *k = *state;
    struct kit torn;
    uint32_t start;

    make_torn(k);
    start = batch_of(k, RECORDS + 2);
    for (unsigned s = 0; s < (LENGTH + 120) / 512; s++)
        for (int fill = 0; fill < 512; fill += 255) {
            kit_copy(&torn, k);
            memdisk_fill(kit_file_of(&torn, RECORDS + 2), start + s * 512, 512, fill);
            assert_int_equal(kit_open(&torn), STATUS_OK);
            assert_int_equal(torn.damage_count, 0);
            assert_false(torn.wrong);
            assert_true(torn.records[RECORDS + 1].seen);
            assert_false(torn.records[RECORDS + 2].seen);
            assert_int_equal(torn.start.tail_cut_bytes, 4096);
            kit_close(&torn);
            kit_free(&torn);
        }
}

/* After a clean stop nothing behind its last batch is looked at, but what is in front of
 * it is read as ever; and where that batch itself is bad, so is everything. */
static void damage_before_a_clean_end_is_told(void **state)
{
    enum { MORE = 6 };
    struct kit *k = *state;
    struct kit bad;
    uint32_t end;

    assert_int_equal(kit_open(k), STATUS_OK);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    for (unsigned i = 0; i < MORE; i++)
        kit_fill(k, 1, LENGTH); /* a batch each */
    kit_close(k);
    for (unsigned i = RECORDS; i < RECORDS + MORE; i++) {
        uint64_t payload = PLACE_OFFSET(k->records[i].place) + 32;

        kit_copy(&bad, k);
        memdisk_flip(kit_file_of(&bad, i), payload * 8 + 100);
        opens_and_lost(&bad, i, i + 1);
        kit_free(&bad);
    }
    end = (batch_of(k, RECORDS + MORE - 1) & ~4095U) + 4096;
    for (int fill = 0; fill < 256; fill += 255) {
        kit_copy(&bad, k);
        memdisk_fill(kit_file_of(&bad, RECORDS + MORE - 1), end, 4096, fill);
        assert_int_equal(kit_open(&bad), STATUS_OK);
        kit_expect_all(&bad, RECORDS + MORE);
        assert_int_equal(bad.start.tail_cut_bytes, fill ? 4096 : 0);
        kit_close(&bad);
        kit_free(&bad);
    }
}

/* --- D09: single bits --- */

static void flipped_bit_loses_its_record_only(void **state)
{
    static const unsigned victims[] = {0, 17, 33, 50, 71, 98, RECORDS - 1};
    struct kit *k = *state;

    for (unsigned v = 0; v < sizeof victims / sizeof *victims; v++) {
        unsigned i = victims[v];
        uint64_t offset = PLACE_OFFSET(base.records[i].place);

        for (unsigned bit = 0; bit < 256 + 100; bit += (bit < 256 ? 3 : 1) * KIT_STEP) {
            uint64_t at = bit < 256 ? bit : 256 + (bit - 256) * 151U;

            again(k);
            memdisk_flip(kit_file_of(k, i), offset * 8 + at);
            opens_and_lost(k, i, i + 1);
            assert_int_equal(k->damages[0].offset, offset);
        }
    }
}

static void flipped_bit_of_a_batch_header_loses_nothing(void **state)
{
    struct kit *k = *state;
    uint64_t offset = batch_of(&base, 40);

    for (unsigned bit = 0; bit < 88 * 8; bit += 5 * KIT_STEP) {
        again(k);
        memdisk_flip(kit_file_of(k, 40), offset * 8 + bit);
        opens_and_lost(k, 0, 0);
    }
}

static void flipped_bit_of_a_segment_header_loses_nothing(void **state)
{
    struct kit *k = *state;

    for (unsigned bit = 0; bit < 52 * 8; bit += KIT_STEP) {
        again(k);
        memdisk_flip(kit_file(k, 1 + bit % 3), bit);
        opens_and_lost(k, 0, 0);
    }
}

static void lost_segment_header_is_made_up_for_by_a_batch(void **state)
{
    struct kit *k = *state;

    for (uint32_t segment = 1; segment <= 3; segment++) {
        again(k);
        memdisk_fill(kit_file(k, segment), 0, 4096, 0x5a);
        opens_and_lost(k, 0, 0);
    }
}

static void flipped_bit_of_a_seal_loses_nothing(void **state)
{
    struct kit *k = *state;
    uint32_t seal = 0;
    struct memfile *f = kit_file(k, 1);

    for (uint32_t at = 4096; at < f->bytes; at += 4096)
        if (f->now[at + 28] == RECORD_BATCH && f->now[at + 88 + 28] == 2)
            seal = at;
    assert_true(seal > 0);
    for (unsigned bit = 0; bit < (88 + 48) * 8; bit += 11 * KIT_STEP) {
        again(k);
        memdisk_flip(kit_file(k, 1), (uint64_t)seal * 8 + bit);
        opens_and_lost(k, 0, 0);
    }
}

/* --- D10: a hole --- */

static void hole_in_a_sealed_segment_is_not_its_end(void **state)
{
    struct kit *k = *state;
    unsigned from = 5, to = 5;
    uint32_t begin = PLACE_OFFSET(base.records[5].place) & ~4095U;

    while (PLACE_SEGMENT(base.records[to].place) == 1 &&
        PLACE_OFFSET(base.records[to].place) < begin + 16384)
        to++;
    while (from > 0 && PLACE_OFFSET(base.records[from - 1].place) >= begin)
        from--;
    memdisk_fill(kit_file(k, 1), begin, 16384, 0);
    opens_and_lost(k, from, to);
}

static void hole_to_the_end_of_a_sealed_segment(void **state)
{
    struct kit *k = *state;
    unsigned from = 5, to = 5;
    uint32_t begin = PLACE_OFFSET(base.records[5].place) & ~4095U;

    while (PLACE_SEGMENT(base.records[to].place) == 1)
        to++;
    while (from > 0 && PLACE_OFFSET(base.records[from - 1].place) >= begin)
        from--;
    memdisk_fill(kit_file(k, 1), begin, kit_file(k, 1)->bytes - begin, 0);
    opens_and_lost(k, from, to);
    again(k);
    memdisk_truncate(kit_file(k, 1), begin);
    assert_int_equal(kit_open(k), STATUS_OK);
    for (unsigned i = 0; i < k->count; i++)
        assert_int_equal(k->records[i].seen, i < from || i >= to);
    assert_true(k->damage_count > 0);
    kit_close(k);
}

/* A last segment of which nothing is left: its predecessor's seal knows of it. */
static void emptied_last_segment_is_damage(void **state)
{
    struct kit *k = *state;
    uint32_t last = PLACE_SEGMENT(base.records[RECORDS - 1].place);
    unsigned from = RECORDS;

    while (PLACE_SEGMENT(base.records[from - 1].place) == last)
        from--;
    memdisk_fill(kit_file(k, last), 0, kit_file(k, last)->bytes, 0);
    assert_true(problems(k) > 0);
    assert_int_equal(kit_open(k), STATUS_OK);
    assert_int_equal(k->damages[0].segment, last);
    for (unsigned i = 0; i < k->count; i++)
        assert_int_equal(k->records[i].seen, i < from);
    kit_close(k);
}

/* Damage in a segment of many windows, among records as big as one. */
static void damage_among_big_records(void **state)
{
    struct kit *k = *state;
    struct kit big;

    kit_init(&big, 5);
    big.conf.segment_bytes = 8 << 20;
    assert_int_equal(kit_open(&big), STATUS_OK);
    for (unsigned i = 0; i < 24; i++)
        kit_fill(&big, 1, i % 3 ? 5000 : 900000);
    kit_close(&big);
    for (unsigned i = 0; i < 22; i++) {
        uint64_t place;

        kit_free(k);
        kit_copy(k, &big);
        place = PLACE_OFFSET(k->records[i].place);
        memdisk_flip(kit_file_of(k, i), (place + 32 + 4000) * 8);
        if (i % 2) /* the header of its batch as well */
            memdisk_flip(kit_file_of(k, i), batch_of(k, i) * 8ULL + 64);
        assert_int_equal(kit_open(k), STATUS_OK);
        kit_expect_lost(k, i, i + 1);
        assert_int_equal(kit_read(k, i), STATUS_CORRUPT);
        kit_close(k);
    }
    kit_free(&big);
}

static enum status count_record(void *arg, const struct log_record *record)
{
    (void)record;
    (*(unsigned *)arg)++;
    return STATUS_OK;
}

static void no_wake(void *arg)
{
    (void)arg;
}

/* Compaction sees what is left of a damaged segment, and hears of one it cannot read. */
static void scan_passes_over_damage(void **state)
{
    struct kit *k = *state;
    unsigned seen = 0, all = 0;
    struct log_scan *scan;
    enum status status;

    while (PLACE_SEGMENT(base.records[all].place) == 1)
        all++;
    memdisk_flip(kit_file(k, 1), PLACE_OFFSET(base.records[3].place) * 8ULL + 999);
    assert_int_equal(kit_open(k), STATUS_OK);
    assert_int_equal(log_scan_begin(k->log, 1, &scan, no_wake, &seen), STATUS_OK);
    while ((status = log_scan_step(scan, 4096, count_record)) != STATUS_OK) {
        assert_true(status == STATUS_BUSY || status == STATUS_LIMIT);
        kit_turn(k);
    }
    assert_int_equal(seen, all - 1);
    log_scan_end(scan);

    kit_settle(k);
    k->disk.fault = (struct memdisk_fault){
        .kind = FAULT_ERROR, .calls = 1U << DISK_READ, .at = 1, .error = EIO};
    assert_int_equal(log_scan_begin(k->log, 2, &scan, no_wake, &seen), STATUS_OK);
    while ((status = log_scan_step(scan, 4096, count_record)) == STATUS_BUSY)
        kit_turn(k);
    assert_int_equal(status, STATUS_IO);
    log_scan_end(scan);
    kit_close(k);
}

/* --- D11, D12, D13: what must be refused --- */

static void refused(struct kit *k, enum status want, uint32_t segment)
{
    bool named = false;

    assert_true(problems(k) > 0);
    assert_int_equal(kit_open(k), want);
    assert_null(k->log);
    for (unsigned i = 0; i < k->damage_count; i++)
        named |= k->damages[i].segment == segment;
    assert_true(named);
}

static uint32_t last_segment(const struct kit *k)
{
    return PLACE_SEGMENT(k->records[k->count - 1].place);
}

static void missing_segment_is_refused(void **state)
{
    struct kit *k = *state;
    uint32_t last = last_segment(&base);

    assert_true(last >= 4);
    for (uint32_t segment = 1; segment <= last; segment++) {
        again(k);
        memdisk_erase(&k->disk, kit_file(k, segment)->name);
        refused(k, STATUS_CORRUPT, segment);
    }
}

static void loss_can_be_accepted(void **state)
{
    struct kit *k = *state;

    memdisk_erase(&k->disk, kit_file(k, 2)->name);
    k->start.accept_loss = true;
    assert_int_equal(kit_open(k), STATUS_OK);
    assert_true(k->damage_count > 0);
    for (unsigned i = 0; i < k->count; i++)
        assert_int_equal(k->records[i].seen, PLACE_SEGMENT(base.records[i].place) != 2);
    kit_close(k);
}

static void foreign_segment_is_refused(void **state)
{
    struct kit *k = *state;
    struct kit other;
    char name[DISK_NAME_MAX];
    uint32_t next = last_segment(&base) + 5;

    kit_init(&other, 3);
    other.conf = base.conf;
    other.conf.store_id++;
    other.conf.wake_arg = &other;
    assert_int_equal(kit_open(&other), STATUS_OK);
    kit_fill(&other, 20, LENGTH);
    kit_close(&other);

    snprintf(name, sizeof name, SEGMENT_NAME, next);
    memdisk_copy(&k->disk, name, kit_file(&other, 1));
    refused(k, STATUS_CORRUPT, next);

    again(k);
    k->conf.store_id++;
    refused(k, STATUS_CORRUPT, 1);
    again(k);
    k->conf.shard++;
    refused(k, STATUS_CORRUPT, 1);
    kit_free(&other);
}

static void swapped_and_copied_segments_are_refused(void **state)
{
    struct kit *k = *state;
    char name[DISK_NAME_MAX];

    snprintf(kit_file(k, 1)->name, DISK_NAME_MAX, "x");
    snprintf(kit_file(k, 2)->name, DISK_NAME_MAX, SEGMENT_NAME, 1);
    snprintf(memdisk_find(&k->disk, "x")->name, DISK_NAME_MAX, SEGMENT_NAME, 2);
    refused(k, STATUS_CORRUPT, 1);

    again(k);
    snprintf(name, sizeof name, SEGMENT_NAME, 77U);
    memdisk_copy(&k->disk, name, kit_file(k, 2));
    refused(k, STATUS_CORRUPT, 77);
}

static void set_version(struct memfile *f, uint32_t version)
{
    for (uint32_t at = 0; at <= SEGMENT_COPY_AT; at += SEGMENT_COPY_AT) {
        struct segment_header h;

        memcpy(&h, f->now + at, sizeof h);
        h.version = version;
        h.crc = 0;
        h.crc = crc32c(0, &h, sizeof h);
        memcpy(f->now + at, &h, sizeof h);
        memcpy(f->durable + at, &h, sizeof h);
    }
}

static void newer_format_is_refused(void **state)
{
    struct kit *k = *state;

    set_version(kit_file(k, 2), FORMAT_VERSION + 1);
    refused(k, STATUS_INVALID, 2);
}

/* The list of segments, alone in the first batch, as it was before segments could be
 * adopted. */
static void list_of_version_1(struct memfile *f)
{
    unsigned char *batch = f->now + FORMAT_BLOCK, *list;
    struct record_header h;
    struct batch_header b;

    memcpy(&b, batch + sizeof h, sizeof b);
    list = batch + record_span(sizeof b);
    memcpy(&h, list, sizeof h);
    assert_int_equal(h.kind, RECORD_SEGMENTS);
    assert_int_equal(b.used, record_span(sizeof b) + record_span(h.length));
    h.length -= (uint32_t)sizeof(struct segment_adoption);
    memcpy(list, &h, sizeof h);
    memset(list + sizeof h + h.length, 0, sizeof(struct segment_adoption));
    record_finish(list);
    b.used -= (uint32_t)sizeof(struct segment_adoption);
    memcpy(batch + sizeof h, &b, sizeof b);
    record_finish(batch);
    memcpy(f->durable, f->now, f->bytes);
}

static void format_1_is_read(void **state)
{
    struct kit *k = *state;

    kit_free(k);
    kit_init(k, 3);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_settle(k);
    kit_fill(k, 10, 100);
    kit_close(k);
    list_of_version_1(kit_file(k, 1));
    set_version(kit_file(k, 1), 1);
    assert_int_equal(problems(k), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(kit_open(k), STATUS_OK);
        kit_expect_all(k, 10);
        assert_int_equal(k->damage_count, 0);
        kit_close(k);
    }
}

/* A log with records, a checkpoint, more records, another checkpoint, and a few more. */
static void make_checkpoints(struct kit *k)
{
    again(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(kit_checkpoint(k), STATUS_OK);
        kit_fill(k, 10, LENGTH);
    }
    kit_close(k);
}

static void log_behind_its_checkpoint_is_refused(void **state)
{
    struct kit *k = *state;
    struct kit cut;
    uint64_t position;
    uint32_t last;

    make_checkpoints(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, RECORDS + 20);
    kit_fill(k, 2, LENGTH);
    assert_int_equal(kit_checkpoint(k), STATUS_OK);
    kit_crash(k, false);
    last = last_segment(k);
    position = batch_of(k, k->count - 1);

    kit_copy(&cut, k); /* the whole segment */
    memdisk_erase(&cut.disk, kit_file(&cut, last)->name);
    refused(&cut, STATUS_CORRUPT, last);
    kit_free(&cut);
    kit_copy(&cut, k); /* its end is not there */
    memdisk_truncate(kit_file(&cut, last), position);
    refused(&cut, STATUS_CORRUPT, last);
    kit_free(&cut);
    kit_copy(&cut, k); /* an older copy of it */
    memdisk_fill(
        kit_file(&cut, last), position, kit_file(&cut, last)->bytes - position, 0);
    refused(&cut, STATUS_CORRUPT, last);
    kit_free(&cut);
    kit_copy(&cut, k); /* one bit there is no reason */
    memdisk_flip(kit_file(&cut, last), position * 8 + 100);
    assert_int_equal(kit_open(&cut), STATUS_OK);
    kit_close(&cut);
    kit_free(&cut);
}

/* --- D14: checkpoints are caches --- */

static void all_without(struct kit *k, const struct kit *from, const char *name,
    uint64_t truncate, uint64_t flip)
{
    struct memfile *f;

    kit_copy(k, from);
    f = memdisk_find(&k->disk, name);
    assert_non_null(f);
    if (flip != UINT64_MAX)
        memdisk_flip(f, flip);
    else if (truncate)
        memdisk_truncate(f, truncate);
    else
        memdisk_erase(&k->disk, name);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, from->count);
    for (unsigned i = 0; i < k->count; i += 13)
        assert_int_equal(kit_read(k, i), STATUS_OK);
    kit_close(k);
    kit_free(k);
}

static void bad_checkpoint_is_passed_over(void **state)
{
    struct kit *k = *state;
    struct kit bad;
    const char *newest = "checkpoint-00000002";
    uint64_t bytes;

    make_checkpoints(k);
    bytes = memdisk_find(&k->disk, newest)->bytes;
    all_without(&bad, k, newest, 0, UINT64_MAX);
    for (uint64_t cut = 1; cut < bytes; cut += 512 * KIT_STEP)
        all_without(&bad, k, newest, cut, UINT64_MAX);
    for (uint64_t bit = 0; bit < (bytes - 4096) * 8; bit += 997 * KIT_STEP)
        all_without(&bad, k, newest, 0, bit);
    kit_copy(&bad, k);
    memdisk_erase(&bad.disk, newest);
    memdisk_erase(&bad.disk, "checkpoint-00000001");
    assert_int_equal(kit_open(&bad), STATUS_OK);
    kit_expect_all(&bad, k->count);
    assert_int_equal(bad.replayed, k->count);
    kit_close(&bad);
    kit_free(&bad);
}

/* --- D15, D16, D17: the right bytes at the wrong place --- */

static void misdirected_batch_is_found(void **state)
{
    struct kit *k = *state;
    struct memfile *f = kit_file(k, 2);
    unsigned from = 0, to;

    memdisk_fill(f, 12288, 4096, 0);
    memcpy(f->now + 12288, f->now + 8192, 4096);
    while (base.records[from].place + 32 + LENGTH <= ((uint64_t)2 << 32 | 12288))
        from++;
    for (to = from; PLACE_OFFSET(base.records[to].place) < 12288 + 4096; to++)
        ;
    assert_int_equal(kit_open(k), STATUS_OK);
    assert_false(k->wrong);
    assert_int_equal(k->doubles, 0);
    assert_true(k->damage_count > 0);
    for (unsigned i = 0; i < from; i++)
        assert_true(k->records[i].seen);
    for (unsigned i = to; i < k->count; i++)
        assert_true(k->records[i].seen);
    kit_close(k);
}

/* What another segment held here before, record for record at its own offset. */
static void stale_blocks_never_join(void **state)
{
    struct kit *k = *state;
    uint32_t last, end;

    make_torn(k);
    last = last_segment(k);
    end = (PLACE_OFFSET(k->records[k->count - 1].place) & ~4095U) + 4096;
    memcpy(kit_file(k, last)->now + end, kit_file(k, 1)->now + end,
        kit_file(k, last)->bytes - end);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, RECORDS + 3);
    assert_int_equal(k->doubles, 0);
    kit_close(k);
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_expect_all(k, RECORDS + 3);
    kit_close(k);
}

/* --- unreadable blocks --- */

static void fail_reads(struct kit *k, uint64_t at, bool for_ever)
{
    again(k);
    k->disk.fault = (struct memdisk_fault){.kind = FAULT_ERROR,
        .calls = 1U << DISK_READ,
        .at = at,
        .for_ever = for_ever,
        .error = EIO};
}

/* Each read of a start fails once, or it and all after it: the start says so or makes up
 * for it; it never takes the unreadable for the end, and nothing is swept away. */
static void unreadable_is_not_empty(void **state)
{
    struct kit *k = *state;
    bool hit = true;

    for (uint64_t at = 1; hit; at++)
        for (unsigned for_ever = 0; for_ever < 2; for_ever++) {
            enum status status;

            fail_reads(k, at, for_ever);
            status = kit_open(k);
            hit = k->disk.fault.hits != 0;
            k->disk.fault = (struct memdisk_fault){0};
            assert_false(k->wrong);
            if (status == STATUS_OK && k->damage_count == 0)
                kit_expect_all(k, RECORDS);
            if (status == STATUS_OK)
                kit_close(k);
            else
                assert_int_equal(status, STATUS_IO);
            assert_int_equal(kit_open(k), STATUS_OK);
            kit_expect_all(k, RECORDS);
            kit_close(k);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(good_log_has_no_problems),
        T(torn_tail_is_cut_at_every_octet),
        T(torn_sectors_of_the_tail_are_cut),
        T(damage_before_a_clean_end_is_told),
        T(flipped_bit_loses_its_record_only),
        T(flipped_bit_of_a_batch_header_loses_nothing),
        T(flipped_bit_of_a_segment_header_loses_nothing),
        T(lost_segment_header_is_made_up_for_by_a_batch),
        T(flipped_bit_of_a_seal_loses_nothing),
        T(hole_in_a_sealed_segment_is_not_its_end),
        T(hole_to_the_end_of_a_sealed_segment),
        T(emptied_last_segment_is_damage),
        T(damage_among_big_records),
        T(scan_passes_over_damage),
        T(missing_segment_is_refused),
        T(loss_can_be_accepted),
        T(foreign_segment_is_refused),
        T(swapped_and_copied_segments_are_refused),
        T(newer_format_is_refused),
        T(format_1_is_read),
        T(log_behind_its_checkpoint_is_refused),
        T(bad_checkpoint_is_passed_over),
        T(misdirected_batch_is_found),
        T(stale_blocks_never_join),
        T(unreadable_is_not_empty),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
