#include "tests/store/logkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- the model --- */

static uint8_t byte_of(unsigned i, size_t at)
{
    uint64_t h = (uint64_t)i * 0x9e3779b97f4a7c15U + at / 64;

    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9U;
    return (uint8_t)(h >> (at % 8 * 8 % 56));
}

static enum record_kind kind_of(unsigned i)
{
    static const enum record_kind kinds[] = {RECORD_MESSAGE, RECORD_DELIVERY,
        RECORD_FLAGS, RECORD_EXPUNGE, RECORD_QUEUE_ADDED};

    return kinds[i % (sizeof kinds / sizeof *kinds)];
}

/* The first four bytes are the number, as far as there are four. */
static void fill_payload(char *to, unsigned i, unsigned length)
{
    for (unsigned at = 0; at < length; at++)
        to[at] = (char)byte_of(i, at);
    memcpy(to, &i, length < sizeof i ? length : sizeof i);
}

static bool payload_is(unsigned i, unsigned length, struct slice payload)
{
    char *want = malloc(length ? length : 1);
    bool same;

    fill_payload(want, i, length);
    same = payload.len == length && memcmp(want, payload.at, length) == 0;
    free(want);
    return same;
}

/* --- callbacks of the start --- */

static enum status on_piece(void *arg, struct slice piece)
{
    struct kit *k = arg;

    if (piece.len >= sizeof k->covered) {
        memcpy(&k->covered, piece.at, sizeof k->covered);
        for (unsigned i = 0; i < k->covered && i < k->count; i++)
            k->records[i].seen = true;
    }
    return STATUS_OK;
}

static enum status on_forget(void *arg)
{
    struct kit *k = arg;

    for (unsigned i = 0; i < k->covered && i < k->count; i++)
        k->records[i].seen = false;
    k->covered = 0;
    return STATUS_OK;
}

static enum status on_replay(void *arg, const struct log_record *record)
{
    struct kit *k = arg;
    unsigned i;

    k->replayed++;
    if (record->payload.len < sizeof i) {
        k->wrong = true;
        return STATUS_OK;
    }
    memcpy(&i, record->payload.at, sizeof i);
    if (i >= k->count || !payload_is(i, k->records[i].length, record->payload) ||
        record->kind != kind_of(i) || record->flags != (uint8_t)i ||
        record->seq != k->records[i].seq) {
        k->wrong = true;
        return STATUS_OK;
    }
    if (k->records[i].seen)
        k->doubles++;
    else if (i > 0 && !k->records[i - 1].seen)
        k->gap = true;
    k->records[i].seen = true;
    k->records[i].place = record->place;
    return STATUS_OK;
}

static void on_damage(
    void *arg, uint32_t segment, uint64_t offset, uint64_t bytes, const char *what)
{
    struct kit *k = arg;
    struct kit_damage *d = &k->damages[k->damage_count];

    if (k->damage_count == KIT_DAMAGES_MAX)
        return;
    *d = (struct kit_damage){.segment = segment, .offset = offset, .bytes = bytes};
    snprintf(d->what, sizeof d->what, "%s", what);
    k->damage_count++;
}

static void on_wake(void *arg)
{
    ((struct kit *)arg)->wakes++;
}

/* --- open and close --- */

void kit_init(struct kit *k, uint64_t seed)
{
    memset(k, 0, sizeof *k);
    memdisk_init(&k->disk, seed);
    k->records = calloc(KIT_RECORDS_MAX, sizeof *k->records);
    k->length_max = 3000;
    k->conf = (struct log_conf){
        .store_id = 0x5157,
        .shard = 3,
        .segment_bytes = 128 << 10,
        .batch_bytes = 16 << 10,
        .in_flight = 4,
        .recent_bytes = 64 << 10,
        .read_bytes = 256 << 10,
        .wake = on_wake,
        .wake_arg = k,
    };
}

void kit_free(struct kit *k)
{
    memdisk_free(&k->disk);
    free(k->records);
}

int kit_start(void **state)
{
    static struct kit kit;

    kit_init(&kit, 1);
    *state = &kit;
    return 0;
}

int kit_stop(void **state)
{
    kit_free(*state);
    return 0;
}

void kit_copy(struct kit *to, const struct kit *from)
{
    struct kit_record *records = calloc(KIT_RECORDS_MAX, sizeof *records);

    CHECK(!from->log);
    *to = *from;
    memcpy(records, from->records, from->count * sizeof *records);
    to->records = records;
    to->conf.wake_arg = to;
    memdisk_clone(&to->disk, &from->disk);
}

enum status kit_open(struct kit *k)
{
    bool accept = k->start.accept_loss;

    k->start = (struct log_start){
        .piece = on_piece,
        .forget = on_forget,
        .replay = on_replay,
        .damage = on_damage,
        .arg = k,
        .accept_loss = accept,
    };
    k->covered = k->replayed = k->doubles = k->damage_count = 0;
    k->gap = k->wrong = false;
    for (unsigned i = 0; i < k->count; i++) {
        struct kit_record *r = &k->records[i];

        r->seen = false;
        if (r->former)
            r->place = r->former;
        r->former = 0;
    }
    return log_open(&k->log, &k->disk.disk, &k->conf, &k->start);
}

/* False: nothing happens any more. */
static bool kit_step(struct kit *k)
{
    log_turn(k->log);
    return memdisk_step(&k->disk) || memdisk_wait(&k->disk, log_due_ns(k->log));
}

void kit_turn(struct kit *k)
{
    kit_step(k);
}

void kit_settle(struct kit *k)
{
    for (unsigned i = 0; i < 100000; i++) {
        if (!kit_step(k) && log_idle(k->log))
            return;
    }
    fail_msg("the log does not come to rest");
}

void kit_open_settled(struct kit *k)
{
    assert_int_equal(kit_open(k), STATUS_OK);
    kit_settle(k);
}

void kit_close(struct kit *k)
{
    kit_settle(k);
    log_close(k->log);
    k->log = NULL;
}

void kit_crash(struct kit *k, bool power)
{
    unsigned acked = k->acked;

    if (power && !k->disk.dead)
        memdisk_power_loss(&k->disk);
    else if (!k->disk.dead)
        memdisk_kill(&k->disk);
    for (unsigned quiet = 0; quiet < 3; quiet++) {
        while (kit_step(k))
            quiet = 0;
    }
    assert_int_equal(k->acked, acked); /* the dead acknowledge nothing */
    log_close(k->log);
    k->log = NULL;
    k->checkpoint_open = false;
    memdisk_revive(&k->disk);
}

/* --- adding and waiting --- */

enum status kit_add(struct kit *k, enum log_purpose purpose, unsigned length)
{
    unsigned i = k->count;
    struct kit_record *r = &k->records[i];
    char *payload;
    struct slice pieces[3];
    enum status status;

    assert_true(i < KIT_RECORDS_MAX);
    if (length < sizeof i)
        length = sizeof i;
    payload = calloc(1, length);
    fill_payload(payload, i, length);
    pieces[0] = slice_of(payload, length / 3);
    pieces[1] = slice_of(payload + length / 3, 0);
    pieces[2] = slice_of(payload + length / 3, length - length / 3);
    *r = (struct kit_record){.length = length};
    status =
        log_add(k->log, purpose, kind_of(i), (uint8_t)i, pieces, 3, &r->place, &r->seq);
    free(payload);
    if (status == STATUS_OK)
        k->count++;
    return status;
}

static void on_done(struct log_waiter *w, enum status status)
{
    struct kit_waiter *kw = container_of(w, struct kit_waiter, waiter);
    struct kit *k = kw->kit;

    assert_int_equal(kw->order, k->releases); /* strictly in order */
    k->releases++;
    kw->used = false;
    if (status != STATUS_OK) {
        k->failures++;
        k->last_failure = status;
        return;
    }
    assert_int_equal(k->failures, 0); /* nothing is well after a failure */
    if (kw->covers > k->acked)
        k->acked = kw->covers;
}

void kit_wait(struct kit *k)
{
    struct kit_waiter *kw = &k->waiters[k->waits % KIT_WAITERS_MAX];

    assert_false(kw->used);
    *kw = (struct kit_waiter){
        .waiter.done = on_done,
        .kit = k,
        .covers = k->count,
        .order = k->waits++,
        .used = true,
    };
    log_wait(k->log, &kw->waiter);
}

void kit_fill(struct kit *k, unsigned n, unsigned length)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned bytes =
            length ? length : 4 + (unsigned)memdisk_draw(&k->disk, k->length_max);
        enum status status;

        while ((status = kit_add(k, LOG_GROW, bytes)) == STATUS_BUSY)
            kit_turn(k);
        assert_int_equal(status, STATUS_OK);
        kit_wait(k);
        if (memdisk_draw(&k->disk, 2))
            kit_turn(k);
    }
    kit_settle(k);
    assert_int_equal(k->acked, k->count);
}

/* --- expectations --- */

void kit_expect_all(struct kit *k, unsigned n)
{
    assert_int_equal(k->count, n);
    assert_false(k->wrong);
    assert_false(k->gap);
    assert_int_equal(k->damage_count, 0);
    for (unsigned i = 0; i < n; i++)
        assert_true(k->records[i].seen);
}

void kit_expect_prefix(struct kit *k)
{
    unsigned n = 0;

    assert_false(k->wrong);
    assert_false(k->gap);
    for (unsigned i = 0; i < k->damage_count; i++)
        print_error("damage in %u at %lu+%lu: %s\n", k->damages[i].segment,
            (unsigned long)k->damages[i].offset, (unsigned long)k->damages[i].bytes,
            k->damages[i].what);
    assert_int_equal(k->damage_count, 0);
    while (n < k->count && k->records[n].seen)
        n++;
    for (unsigned i = n; i < k->count; i++)
        assert_false(k->records[i].seen);
    assert_true(n >= k->acked);
    k->count = k->acked = n;
    k->failures = 0;
    k->waits = k->releases = 0;
}

static bool damage_at(const struct kit *k, const struct kit_record *r)
{
    uint64_t from = PLACE_OFFSET(r->place), to = from + record_span(r->length);

    for (unsigned i = 0; i < k->damage_count; i++) {
        const struct kit_damage *d = &k->damages[i];

        if (d->segment == PLACE_SEGMENT(r->place) && d->offset < to &&
            d->offset + d->bytes > from)
            return true;
    }
    return false;
}

void kit_expect_lost(struct kit *k, unsigned from, unsigned to)
{
    assert_false(k->wrong);
    assert_int_equal(k->doubles, 0);
    assert_true(k->damage_count > 0);
    for (unsigned i = 0; i < k->count; i++) {
        bool lost = i >= from && i < to;

        assert_int_equal(k->records[i].seen, !lost);
        if (lost)
            assert_true(damage_at(k, &k->records[i]));
    }
}

/* --- reading --- */

struct reader {
    struct log_read read;
    bool done;
    enum status status;
};

static void on_read(struct log_read *r, enum status status)
{
    struct reader *reader = container_of(r, struct reader, read);

    assert_false(reader->done);
    reader->done = true;
    reader->status = status;
}

enum status kit_read(struct kit *k, unsigned i)
{
    const struct kit_record *want = &k->records[i];
    struct reader r = {0};
    uint32_t hint = i % 3 == 0 ? 0 : i % 3 == 1 ? want->length : 10;

    if (log_read(k->log, &r.read, want->place, hint, on_read))
        r = (struct reader){r.read, true, STATUS_OK};
    while (!r.done)
        kit_turn(k);
    if (r.status != STATUS_OK)
        return r.status;
    assert_true(payload_is(i, want->length, r.read.record.payload));
    assert_int_equal(r.read.record.kind, kind_of(i));
    assert_int_equal(r.read.record.seq, want->seq);
    assert_int_equal(r.read.record.flags, (uint8_t)i);
    assert_int_equal(r.read.record.place, want->place);
    log_read_end(&r.read);
    return STATUS_OK;
}

/* --- checkpoints, files, moves --- */

enum status kit_checkpoint_begin(struct kit *k)
{
    unsigned covered = 0;
    enum status status = log_checkpoint_begin(k->log);

    if (status != STATUS_OK)
        return status;
    while (covered < k->count && k->records[covered].seq <= log_durable_seq(k->log))
        covered++;
    k->checkpoint_open = true;
    for (unsigned i = 0; i < 3; i++) {
        char piece[5000];

        memset(piece, (int)i, sizeof piece);
        memcpy(piece, &covered, sizeof covered);
        do {
            status = log_checkpoint_piece(
                k->log, slice_of(piece, i == 1 ? sizeof piece : sizeof covered));
            if (status == STATUS_BUSY)
                kit_turn(k);
        } while (status == STATUS_BUSY);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void on_checkpoint(struct log_waiter *w, enum status status)
{
    struct kit *k = container_of(w, struct kit, checkpoint_waiter);

    k->checkpoint_open = false;
    k->checkpoint_status = status;
    k->checkpoints_made += status == STATUS_OK;
}

void kit_checkpoint_end(struct kit *k)
{
    k->checkpoint_waiter.done = on_checkpoint;
    log_checkpoint_end(k->log, &k->checkpoint_waiter);
}

enum status kit_checkpoint(struct kit *k)
{
    enum status status = kit_checkpoint_begin(k);

    if (!k->checkpoint_open)
        return status;
    kit_checkpoint_end(k);
    while (k->checkpoint_open)
        kit_turn(k);
    return k->checkpoint_status;
}

struct memfile *kit_file(struct kit *k, uint32_t segment)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, SEGMENT_NAME, segment);
    return memdisk_find(&k->disk, name);
}

struct memfile *kit_file_of(struct kit *k, unsigned i)
{
    return kit_file(k, PLACE_SEGMENT(k->records[i].place));
}

enum status kit_move(struct kit *k, unsigned i)
{
    struct kit_record *r = &k->records[i];
    char *payload = calloc(1, r->length);
    struct slice piece = slice_of(payload, r->length);
    uint64_t place;
    enum status status;

    fill_payload(payload, i, r->length);
    status =
        log_add(k->log, LOG_SHRINK, kind_of(i), (uint8_t)i, &piece, 1, &place, &r->seq);
    free(payload);
    if (status != STATUS_OK)
        return status;
    if (!r->former)
        r->former = r->place;
    r->place = place;
    return STATUS_OK;
}

/* Everything added is durable; false when it never will be. */
static bool all_told(struct kit *k)
{
    kit_wait(k);
    while (k->releases < k->waits)
        kit_turn(k);
    return k->failures == 0;
}

bool kit_compact(struct kit *k, unsigned index)
{
    struct log_segment_info info;

    if (!log_segment_at(k->log, index, &info) || !info.sealed || info.retired)
        return false;
    if (!all_told(k))
        return false;
    for (unsigned i = 0; i < k->acked; i++) {
        enum status status = STATUS_OK;

        if (PLACE_SEGMENT(k->records[i].place) != info.number)
            continue;
        while (!k->disk.dead && (status = kit_move(k, i)) == STATUS_BUSY)
            kit_turn(k);
        if (status != STATUS_OK || k->disk.dead)
            return false;
    }
    if (!all_told(k))
        return false;
    for (unsigned i = 0; i < k->count; i++)
        k->records[i].former = 0;
    log_retire(k->log, info.number);
    return true;
}
