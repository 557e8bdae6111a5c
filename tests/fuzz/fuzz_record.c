/* Whole files made of the input: the start and the offline check must live through any
 * bytes, hand out only what is inside the file, and agree with themselves when asked
 * twice. Checksums and addresses are made right where the input says so, since by chance
 * they never are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/log_check.h"
#include "tests/store/memdisk.h"

enum { STORE_ID = 7, SHARD = 1, SEGMENT = SEGMENT_BYTES_MIN, RECORDS_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replayed {
    unsigned count;
    uint64_t sum; /* of what came, in its order */
};

static enum status on_replay(void *arg, const struct log_record *record)
{
    struct replayed *r = arg;

    r->count++;
    r->sum = r->sum * 31 + record->seq;
    r->sum = r->sum * 31 + crc32c(record->kind, record->payload.at, record->payload.len);
    return STATUS_OK;
}

static enum status on_piece(void *arg, struct slice piece)
{
    return on_replay(arg, &(struct log_record){.payload = piece});
}

static enum status on_forget(void *arg)
{
    struct replayed *r = arg;

    *r = (struct replayed){0}; /* pieces come before records */
    return STATUS_OK;
}

static void on_problem(
    void *arg, const char *file, uint64_t offset, uint64_t bytes, const char *what)
{
    (void)arg;
    CHECK(file && what && offset <= UINT32_MAX && bytes <= UINT32_MAX);
}

/* Where a record begins and its reserved field says 1, the record is made valid. */
static void repair_records(unsigned char *at, uint32_t bytes, uint32_t identity)
{
    for (uint32_t o = FORMAT_BLOCK; o + 32 <= bytes; o += 8) {
        struct record_header h;

        memcpy(&h, at + o, sizeof h);
        if (h.magic != RECORD_MAGIC || h.reserved == 0)
            continue;
        h.length &= 0x3fff;
        if (o + sizeof h + h.length > bytes)
            continue;
        h.identity = identity;
        h.offset = o;
        memcpy(at + o, &h, sizeof h);
        record_finish(at + o);
    }
}

static void repair_frames(unsigned char *at, uint32_t bytes, uint32_t identity)
{
    uint32_t index = 0;

    for (uint32_t o = sizeof(struct checkpoint_header); o + 32 <= bytes;) {
        struct frame_header h;

        memcpy(&h, at + o, sizeof h);
        if (h.magic != FRAME_MAGIC || o + sizeof h + h.length > bytes)
            return;
        h.identity = identity;
        h.offset = o;
        h.index = index++;
        memcpy(at + o, &h, sizeof h);
        frame_finish(at + o);
        o += (uint32_t)record_span(h.length);
    }
}

static void put_file(struct memdisk *m, const char *name, const unsigned char *bytes)
{
    struct memfile from = {.bytes = SEGMENT, .durable = (unsigned char *)bytes};

    memdisk_copy(m, name, &from);
}

/* The input is spread over two segments and a checkpoint; the first bytes choose how. */
static void make_files(struct memdisk *m, const uint8_t *data, size_t size)
{
    static unsigned char file[SEGMENT];
    uint8_t choice = data[0];
    size_t each = (size - 1) / 3;
    char name[DISK_NAME_MAX];

    data++;
    for (uint32_t number = 1; number <= 2; number++) {
        struct segment_header h = {.store_id = STORE_ID,
            .shard = SHARD,
            .number = number,
            .epoch = 1 + (choice >> 1 & 1) * (number - 1),
            .cut = choice & 4 ? (uint64_t)1 << 32 | 8192 : 0,
            .segment_bytes = SEGMENT};

        memset(file, 0, sizeof file);
        segment_header_write(&h, (char *)file);
        memcpy(file + FORMAT_BLOCK, data + (number - 1) * each,
            each < SEGMENT - FORMAT_BLOCK ? each : SEGMENT - FORMAT_BLOCK);
        if (choice & 8 && number == 2)
            memset(file, choice, FORMAT_BLOCK);
        repair_records(file, SEGMENT, h.identity);
        snprintf(name, sizeof name, SEGMENT_NAME, number);
        put_file(m, name, file);
    }
    if (choice & 16) {
        struct checkpoint_header h = {0};

        memset(file, 0, sizeof file);
        memcpy(&h, data + 2 * each, each < sizeof h ? each : sizeof h);
        memcpy(file, data + 2 * each, each < SEGMENT ? each : SEGMENT);
        h.store_id = STORE_ID;
        h.shard = SHARD;
        h.number = 1;
        checkpoint_header_write(&h, (char *)file);
        repair_frames(file, SEGMENT, h.identity);
        put_file(m, "checkpoint-00000001", file);
    }
}

static enum status open_once(struct memdisk *m, struct replayed *r, uint64_t *cut)
{
    const struct log_conf conf = {.store_id = STORE_ID,
        .shard = SHARD,
        .segment_bytes = SEGMENT,
        .batch_bytes = 4096,
        .in_flight = 2};
    struct log_start start = {.piece = on_piece,
        .forget = on_forget,
        .replay = on_replay,
        .arg = r,
        .accept_loss = true};
    struct log *log;

    *r = (struct replayed){0};
    TRY(log_open(&log, &m->disk, &conf, &start));
    *cut = start.tail_cut_bytes;
    while (!log_idle(log)) {
        log_turn(log);
        memdisk_step(m);
    }
    log_close(log);
    return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_check check = {
        .store_id = STORE_ID, .shard = SHARD, .problem = on_problem};
    struct memdisk m;
    struct replayed first, second;
    enum status again;
    uint64_t cut;

    if (size < 4)
        return 0;
    memdisk_init(&m, 1);
    make_files(&m, data, size);
    (void)!log_check(&m.disk, &check);
    if (open_once(&m, &first, &cut) == STATUS_OK) {
        again = open_once(&m, &second, &cut);
        CHECK(again == STATUS_OK || again == STATUS_LIMIT); /* numbers are used up */
        CHECK(again == STATUS_LIMIT ||
            (first.count == second.count && first.sum == second.sum && cut == 0));
    }
    memdisk_free(&m);
    return 0;
}
