/* Records into batches, batches into slabs of memory.
 *
 * A batch is cut from a slab and from a segment at the same time, at its opening, so the
 * place of a record is known as soon as it is added. The bytes are copied once, to where
 * they are written from and later read from.
 */
#include "store/log_parts.h"

#include <stdlib.h>
#include <string.h>

#include "store/log_walk.h"

enum {
    HUGE_MIN = 8 << 20,       /* memory for batches that is worth huge pages */
    FILL_BYTES = 2 << 20,     /* of it at once: nobody who changes the map of the process
                               * waits for more */
    SEAL_ROOM = FORMAT_BLOCK, /* kept free in each slab and segment for the seal */
    LIST_ROOM = 2 * FORMAT_BLOCK, /* and in each segment for a list of segments, so that
                                   * segments can be removed when all else is full */
};

/* --- slabs --- */

/* `at`: its bytes; NULL: they are its own. */
static struct slab *slab_new(uint32_t bytes, char *at)
{
    struct slab *slab = log_alloc(sizeof *slab);

    if (!slab)
        return NULL;
    slab->own = !at;
    slab->at = at ? at : log_alloc_blocks(bytes);
    if (!slab->at) {
        free(slab);
        return NULL;
    }
    slab->bytes = bytes;
    return slab;
}

static void slab_free(struct slab *slab)
{
    list_remove(&slab->link);
    if (slab->own)
        free(slab->at);
    free(slab);
}

static uint32_t slab_bytes(const struct log_conf *conf)
{
    uint32_t bytes = (uint32_t)block_span((size_t)conf->batch_bytes * SLAB_BATCHES);

    return bytes < SLAB_BYTES_MIN ? SLAB_BYTES_MIN : bytes;
}

static uint64_t slab_count(const struct log_conf *conf)
{
    return conf->recent_bytes / slab_bytes(conf) + SLABS_SPARE;
}

uint64_t slabs_bytes_max(const struct log_conf *conf)
{
    return slab_count(conf) * slab_bytes(conf) +
        JUMBO_MAX * block_span(RECORD_PAYLOAD_MAX + (1 << 20));
}

enum status slabs_open(struct log *log)
{
    uint64_t count = slab_count(&log->conf);

    log->slab_bytes = slab_bytes(&log->conf);
    if (count * log->slab_bytes >= HUGE_MIN) {
        log->slab_memory = log_alloc_huge(count * log->slab_bytes);
        if (!log->slab_memory)
            return STATUS_NO_MEMORY;
    }
    for (uint64_t i = 0; i < count; i++) {
        char *at = log->slab_memory ? log->slab_memory + i * log->slab_bytes : NULL;
        struct slab *slab = slab_new(log->slab_bytes, at);

        if (!slab)
            return STATUS_NO_MEMORY;
        list_add(&log->spare, &slab->link);
        log->slab_count++;
    }
    return STATUS_OK;
}

size_t log_fill_recent(const struct log *log, size_t at)
{
    size_t bytes = log->slab_memory ? slab_count(&log->conf) * log->slab_bytes : 0;
    size_t n = at < bytes ? bytes - at : 0;

    if (n > FILL_BYTES)
        n = FILL_BYTES;
    if (n > 0)
        log_fill_huge(log->slab_memory + at, n);
    return n;
}

void slabs_close(struct log *log)
{
    while (!list_empty(&log->recent))
        slab_free(container_of(log->recent.next, struct slab, link));
    while (!list_empty(&log->spare))
        slab_free(container_of(log->spare.next, struct slab, link));
    free(log->slab_memory);
}

uint64_t log_recent_bytes(const struct log *log)
{
    uint64_t bytes = 0;

    list_each(link, &log->recent)
        bytes += container_of(link, struct slab, link)->used;
    return bytes;
}

/* Free memory, else the oldest that nobody needs; NULL when all are needed. */
static struct slab *slab_take(struct log *log)
{
    struct list *spare = list_pop(&log->spare);

    if (spare)
        return container_of(spare, struct slab, link);
    list_each(link, &log->recent) {
        struct slab *slab = container_of(link, struct slab, link);

        if (slab->pins || slab->flying || slab->jumbo || slab == log->slab)
            continue;
        list_remove(link);
        return slab;
    }
    return NULL;
}

/* Makes a slab with `bytes` bytes the current one, from `place` on. */
static enum status slab_begin(struct log *log, size_t bytes, uint64_t place)
{
    bool jumbo = bytes > log->slab_bytes;
    struct slab *slab;

    if (jumbo && log->jumbo_count == JUMBO_MAX)
        return STATUS_BUSY;
    slab = jumbo ? slab_new((uint32_t)block_span(bytes), NULL) : slab_take(log);
    if (!slab)
        return jumbo ? STATUS_NO_MEMORY : STATUS_BUSY;
    slab->jumbo = jumbo;
    log->jumbo_count += jumbo;
    slab->used = 0;
    slab->place = place;
    list_add(&log->recent, &slab->link);
    log->slab = slab;
    return STATUS_OK;
}

static void jumbo_drop(struct log *log, struct slab *slab)
{
    if (!slab->jumbo || slab->pins || slab->flying || slab == log->slab)
        return;
    log->jumbo_count--;
    slab_free(slab);
}

void slab_unpin(struct log *log, struct slab *slab)
{
    CHECK(slab->pins > 0);
    if (--slab->pins == 0) {
        log->slabs_pinned--;
        log->woken = true;
        jumbo_drop(log, slab);
    }
}

void slab_landed(struct log *log, struct batch *batch)
{
    batch->slab->flying--;
    jumbo_drop(log, batch->slab);
    batch->slab = NULL;
}

struct slab *slab_find(struct log *log, uint64_t place)
{
    if (list_empty(&log->recent) ||
        place < container_of(log->recent.next, struct slab, link)->place)
        return NULL;
    for (struct list *link = log->recent.prev; link != &log->recent; link = link->prev) {
        struct slab *slab = container_of(link, struct slab, link);

        if (place >= slab->place)
            return place - slab->place < slab->used ? slab : NULL;
    }
    return NULL;
}

/* --- batches --- */

/* Bytes that a batch beginning at `offset` of a segment may have. */
static size_t segment_space(
    const struct log_segment *s, uint32_t offset, enum log_purpose purpose)
{
    size_t kept = SEAL_ROOM + (purpose == LOG_LIST ? 0 : LIST_ROOM);
    size_t bytes = s->bytes - kept;

    return offset < bytes ? bytes - offset : 0;
}

static size_t slab_space(const struct slab *slab)
{
    return slab->bytes - SEAL_ROOM - slab->used;
}

/* The memory that is taken follows the segment, also when nothing is added to a batch. */
static void slab_follow(struct batch *b)
{
    b->slab->used = (uint32_t)(b->at - b->slab->at) + (uint32_t)block_span(b->used);
}

static struct batch *batch_next(struct log *log)
{
    struct batch *b = &log->batches[log->tail++ % BATCHES_MAX];
    struct log_segment *s = log->current;
    struct slab *slab = log->slab;

    *b = (struct batch){
        .log = log,
        .slab = slab,
        .segment = s,
        .at = slab->at + slab->used,
        .offset = s->end,
        .used = (uint32_t)record_span(sizeof(struct batch_header)),
        .number = ++log->last_number,
        .opened_ns = log_now(log),
    };
    slab_follow(b);
    slab->flying++;
    s->flying++;
    log->open = b;
    return b;
}

void batch_close(struct log *log)
{
    struct batch *b = log->open;
    uint32_t bytes = (uint32_t)block_span(b->used);

    memset(b->at + b->used, 0, bytes - b->used);
    b->segment->end = b->offset + bytes;
    b->next_place = place_of(b->segment->number, b->segment->end);
    b->last_seq = log->last_seq;
    b->state = BATCH_CLOSED;
    log->open = NULL;
}

/* The header of a record in the open batch, and where its payload belongs. */
static char *record_begin(
    struct log *log, enum record_kind kind, uint8_t flags, uint64_t seq, size_t length)
{
    struct batch *b = log->open;
    struct record_header h = {
        .seq = seq,
        .length = (uint32_t)length,
        .offset = b->offset + b->used,
        .identity = b->segment->identity,
        .kind = (uint8_t)kind,
        .flags = flags,
    };

    CHECK(record_span(length) <= b->room - b->used);
    memcpy(b->at + b->used, &h, sizeof h);
    return b->at + b->used + sizeof h;
}

/* The payload is there: closes the record. */
static uint64_t record_end(struct log *log, size_t length)
{
    struct batch *b = log->open;
    char *at = b->at + b->used;
    uint64_t place = place_of(b->segment->number, b->offset + b->used);
    size_t span = record_span(length), bytes = sizeof(struct record_header) + length;

    memset(at + bytes, 0, span - bytes);
    record_finish(at);
    b->used += (uint32_t)span;
    b->records++;
    slab_follow(b);
    log->waiting_bytes += span;
    return place;
}

static uint64_t batch_put(struct log *log, enum record_kind kind, uint8_t flags,
    uint64_t seq, const struct slice *pieces, unsigned count, size_t length)
{
    char *to = record_begin(log, kind, flags, seq, length);

    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].len)
            memcpy(to, pieces[i].at, pieces[i].len);
        to += pieces[i].len;
    }
    return record_end(log, length);
}

/* --- from one segment to the next --- */

/* The last batch of the current segment, of one block: the log goes on in `next`. */
static void seal_current(struct log *log, struct log_segment *next)
{
    struct log_segment *s = log->current;
    struct segment_seal seal = {
        .next = next->number, .used = s->end, .last_seq = log->last_seq};
    struct slice piece = slice_of((char *)&seal, sizeof seal);
    struct batch *b = batch_next(log);

    b->seal = true;
    b->room = SEAL_ROOM;
    batch_put(log, RECORD_SEGMENT_SEALED, 0, b->number, &piece, 1, sizeof seal);
    batch_close(log);
    b->next_place = place_of(next->number, FORMAT_BLOCK);
    s->sealed = true;
}

/* How many prepared segments this purpose must leave: new mail leaves one for deleting
 * mail, and both leave one with which a restart on a full disk begins its epoch. */
static unsigned reserve(enum log_purpose purpose)
{
    return purpose == LOG_GROW ? 2 : purpose == LOG_SHRINK ? 1 : 0;
}

/* OK: a segment for this purpose stands ready. */
static enum status next_ready(const struct log *log, enum log_purpose purpose)
{
    if (log->prepared_count > reserve(purpose))
        return STATUS_OK;
    return log->prepare.error != STATUS_OK ? log->prepare.error : STATUS_BUSY;
}

static struct log_segment *take_prepared(struct log *log)
{
    struct log_segment *s = log->prepared[0];

    log->prepared_count--;
    for (unsigned i = 0; i < log->prepared_count; i++)
        log->prepared[i] = log->prepared[i + 1];
    return s;
}

/* A batch goes as far as its slab and its segment do. */
static void batch_begin(struct log *log, enum log_purpose purpose)
{
    struct batch *b = batch_next(log);
    size_t slab = log->slab->bytes - SEAL_ROOM - (size_t)(b->at - log->slab->at);
    size_t segment = segment_space(b->segment, b->offset, purpose);

    b->room = (uint32_t)(slab < segment ? slab : segment);
}

/* Every segment begins with the list of all: what a restart must find. */
static void put_segments(struct log *log)
{
    size_t bytes = segment_list_write(log, NULL);

    segment_list_write(
        log, record_begin(log, RECORD_SEGMENTS, 0, log->open->number, bytes));
    record_end(log, bytes);
}

/* Seals the current segment and opens a batch in the next, with room for `need`. */
static enum status roll(struct log *log, enum log_purpose purpose, size_t need)
{
    size_t list = segment_list_write(log, NULL) + sizeof(struct segment_range);
    size_t bytes = block_span(BATCH_HEAD_BYTES + record_span(list) + need) + SEAL_ROOM;
    struct slab *before = log->slab, *after;
    struct log_segment *next;

    if (bytes > log->conf.segment_bytes - FORMAT_BLOCK - LIST_ROOM)
        return STATUS_LIMIT;
    TRY(next_ready(log, purpose));
    next = log->prepared[0];
    TRY(slab_begin(log, bytes, place_of(next->number, FORMAT_BLOCK)));
    after = log->slab;
    if (log->current) {
        log->slab = before;
        seal_current(log, next);
        log->slab = after;
    }
    if (before)
        jumbo_drop(log, before);
    segment_table_add(log, take_prepared(log));
    log->current = next;
    batch_begin(log, purpose);
    put_segments(log);
    return STATUS_OK;
}

/* Memory for a batch of `bytes` in the current segment; rather a new slab than a batch
 * that is small for want of the rest of an old one. */
static enum status slab_for(struct log *log, size_t bytes)
{
    struct slab *before = log->slab;
    size_t left = slab_space(before);
    enum status status;

    if (left >= bytes && left >= log->conf.batch_bytes)
        return STATUS_OK;
    status = slab_begin(
        log, bytes + SEAL_ROOM, place_of(log->current->number, log->current->end));
    if (status != STATUS_OK)
        return left >= bytes ? STATUS_OK : status;
    jumbo_drop(log, before);
    return STATUS_OK;
}

enum status batch_open(struct log *log, enum log_purpose purpose, size_t need)
{
    size_t bytes = block_span(BATCH_HEAD_BYTES + need);

    if (log->open)
        batch_close(log);
    if (log->tail - log->head > BATCHES_MAX - 2) /* a seal and a batch */
        return STATUS_BUSY;
    if (!log->current || segment_space(log->current, log->current->end, purpose) < bytes)
        return roll(log, purpose, need);
    TRY(slab_for(log, bytes));
    batch_begin(log, purpose);
    return STATUS_OK;
}

/* --- adding --- */

/* The open batch has `need` bytes of room, or says why not. */
static enum status room_for(struct log *log, enum log_purpose purpose, size_t need)
{
    CHECK(!log->closing);
    if (log->failed)
        return STATUS_READ_ONLY;
    if (purpose == LOG_GROW && log->prepared_count < reserve(LOG_GROW) &&
        log->prepare.error != STATUS_OK)
        return log->prepare.error; /* the current segment is the reserve */
    if (log->open && log->open->room - log->open->used >= need)
        return STATUS_OK;
    if (log->waiting_bytes >= (uint64_t)log->conf.batch_bytes * WAITING_BATCHES)
        return STATUS_BUSY;
    return batch_open(log, purpose, need);
}

enum status log_put_segments(struct log *log)
{
    size_t bytes = segment_list_write(log, NULL) + sizeof(struct segment_range);

    TRY(room_for(log, LOG_LIST, record_span(bytes)));
    put_segments(log);
    return STATUS_OK;
}

enum status log_room(
    struct log *log, enum log_purpose purpose, unsigned records, uint64_t payload_bytes)
{
    if (payload_bytes > RECORD_PAYLOAD_MAX || records > GROUP_RECORDS_MAX)
        return STATUS_LIMIT;
    return room_for(
        log, purpose, record_span(payload_bytes) + (size_t)records * record_span(7));
}

enum status log_add(struct log *log, enum log_purpose purpose, enum record_kind kind,
    uint8_t flags, const struct slice *pieces, unsigned count, uint64_t *place,
    uint64_t *seq)
{
    size_t length = 0;

    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].len > RECORD_PAYLOAD_MAX - length)
            return STATUS_LIMIT;
        length += pieces[i].len;
    }
    TRY(room_for(log, purpose, record_span(length)));
    CHECK(*seq <= log->last_seq);
    if (*seq == 0)
        *seq = ++log->last_seq;
    *place = batch_put(log, kind, flags, *seq, pieces, count, length);
    return STATUS_OK;
}
