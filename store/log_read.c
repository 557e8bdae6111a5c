/* One record, from the memory of recent batches or from the disk.
 *
 *      log_read --> in memory: true, the batch's memory is pinned
 *               --> BUFFER --> FLYING --> checked --> HELD
 *                      ^          |
 *                      +----------+ longer than thought: once more, with its true size
 */
#include "store/log_parts.h"

#include <stdlib.h>
#include <string.h>

enum read_state {
    READ_NONE,
    READ_BUFFER, /* waits for memory */
    READ_FLYING,
    READ_PINNED, /* record in a slab */
    READ_HELD,   /* record in a buffer */
};

struct buffer {
    struct list link;
    char *at;
    uint32_t bytes;
};

/* --- buffers --- */

static unsigned class_of(uint32_t bytes)
{
    unsigned c = 0;

    while (c < READ_CLASSES && ((uint32_t)READ_CLASS_MIN << c) < bytes)
        c++;
    return c;
}

static void buffer_free(struct read_pool *pool, struct buffer *b)
{
    pool->bytes -= b->bytes;
    free(b->at);
    free(b);
}

static void shrink(struct read_pool *pool, uint64_t target)
{
    for (unsigned c = READ_CLASSES; c-- > 0 && pool->bytes > target;) {
        struct list *link;

        while (pool->bytes > target && (link = list_pop(&pool->free[c])))
            buffer_free(pool, container_of(link, struct buffer, link));
    }
}

/* NULL when the limit is reached. One buffer is always to be had, however big. */
static struct buffer *buffer_take(struct read_pool *pool, uint32_t bytes)
{
    unsigned c = class_of(bytes);
    struct list *link = c < READ_CLASSES ? list_pop(&pool->free[c]) : NULL;
    struct buffer *b;

    if (link) {
        b = container_of(link, struct buffer, link);
        pool->busy_bytes += b->bytes;
        return b;
    }
    if (c < READ_CLASSES)
        bytes = (uint32_t)READ_CLASS_MIN << c;
    if (pool->busy_bytes && pool->busy_bytes + bytes > pool->bytes_max)
        return NULL;
    if (pool->bytes + bytes > pool->bytes_max)
        shrink(pool, pool->bytes_max > bytes ? pool->bytes_max - bytes : 0);
    b = log_alloc(sizeof *b);
    if (!b)
        return NULL;
    b->at = log_alloc_blocks(bytes);
    if (!b->at) {
        free(b);
        return NULL;
    }
    b->bytes = bytes;
    pool->bytes += bytes;
    pool->busy_bytes += bytes;
    return b;
}

static void buffer_give(struct read_pool *pool, struct buffer *b)
{
    unsigned c = class_of(b->bytes);

    pool->busy_bytes -= b->bytes;
    if (c < READ_CLASSES && pool->bytes <= pool->bytes_max)
        list_add(&pool->free[c], &b->link);
    else
        buffer_free(pool, b);
}

void reads_open(struct log *log)
{
    struct read_pool *pool = &log->pool;

    for (unsigned c = 0; c < READ_CLASSES; c++)
        list_init(&pool->free[c]);
    list_init(&pool->waiting);
    list_init(&log->told);
    pool->bytes_max = log->conf.read_bytes ? log->conf.read_bytes : READ_BYTES_DEFAULT;
}

void reads_close(struct log *log)
{
    shrink(&log->pool, 0);
}

/* --- telling --- */

static void tell(struct log_read *r, enum status status)
{
    r->log->reads--;
    if (status != STATUS_OK) {
        r->state = READ_NONE;
        if (r->segment)
            segment_release(r->log, r->segment);
    }
    r->done(r, status);
}

static void tell_later(struct log_read *r, enum status status)
{
    r->status = status;
    list_add(&r->log->told, &r->link);
}

void reads_turn(struct log *log)
{
    struct list told, *link;

    if (list_empty(&log->told))
        return;
    list_init(&told);
    while ((link = list_pop(&log->told)))
        list_add(&told, link);
    while ((link = list_pop(&told))) {
        struct log_read *r = container_of(link, struct log_read, link);

        tell(r, r->status);
    }
}

static void set_record(
    struct log_read *r, const struct record_header *h, struct slice payload)
{
    r->record = (struct log_record){
        .kind = (enum record_kind)h->kind,
        .flags = h->flags,
        .seq = h->seq,
        .place = r->place,
        .payload = payload,
    };
}

/* --- from memory --- */

enum memory { MEMORY_NONE, MEMORY_FOUND, MEMORY_FULL, MEMORY_BAD };

/* Half of the slabs may be pinned by readers; what is read beyond that is copied, so
 * that slow readers never take the memory that writing needs. */
static bool may_pin(const struct log *log, const struct slab *slab)
{
    return slab->pins || log->slabs_pinned < log->slab_count / 2;
}

static enum memory from_memory(struct log *log, struct log_read *r)
{
    struct slab *slab = slab_find(log, r->place);
    struct record_header h;
    const char *at;
    size_t room;

    if (!slab)
        return MEMORY_NONE;
    at = slab->at + (r->place - slab->place);
    room = slab->used - (size_t)(r->place - slab->place);
    if (room < sizeof h)
        return MEMORY_BAD;
    memcpy(&h, at, sizeof h);
    if (h.magic != RECORD_MAGIC || h.identity != r->segment->identity ||
        h.offset != PLACE_OFFSET(r->place) || h.length > room - sizeof h)
        return MEMORY_BAD;
    if (may_pin(log, slab)) {
        log->slabs_pinned += slab->pins++ == 0;
        r->source = slab;
        r->state = READ_PINNED;
        set_record(r, &h, slice_of(at + sizeof h, h.length));
        return MEMORY_FOUND;
    }
    struct buffer *b = buffer_take(&log->pool, h.length);

    if (!b)
        return MEMORY_FULL;
    memcpy(b->at, at + sizeof h, h.length);
    r->source = b;
    r->state = READ_HELD;
    set_record(r, &h, slice_of(b->at, h.length));
    return MEMORY_FOUND;
}

/* --- from the disk --- */

static void attempt(struct log *log, struct log_read *r);

/* Where the record begins in what is read: transfers begin at a block border. */
static uint32_t skew(const struct log_read *r)
{
    return PLACE_OFFSET(r->place) % DISK_BLOCK;
}

/* What must be read for so much payload; never beyond the file. */
static uint32_t bytes_for(const struct log_read *r, uint32_t payload)
{
    uint32_t from = PLACE_OFFSET(r->place) - skew(r);
    size_t bytes = block_span(skew(r) + record_span(payload));
    size_t left = block_span(r->segment->bytes) - from;

    return (uint32_t)(bytes < left ? bytes : left);
}

static void wait_for_buffer(struct log *log, struct log_read *r)
{
    if (log->pool.busy_bytes == 0) { /* nobody will give one back */
        tell_later(r, STATUS_NO_MEMORY);
        return;
    }
    r->state = READ_BUFFER;
    list_add(&log->pool.waiting, &r->link);
}

/* A buffer came back: who waits first is served first. */
static void serve_waiting(struct log *log)
{
    struct list *waiting = &log->pool.waiting;

    while (!list_empty(waiting)) {
        struct list *link = waiting->next;
        struct log_read *r = container_of(link, struct log_read, link);

        list_remove(link);
        r->state = READ_NONE;
        attempt(log, r);
        if (r->state == READ_BUFFER) {
            list_remove(link);
            list_add(waiting->next, link); /* keeps its place at the front */
            return;
        }
    }
}

static void drop_buffer(struct log *log, struct log_read *r)
{
    buffer_give(&log->pool, r->source);
    r->source = NULL;
    serve_waiting(log);
}

static void on_read(struct log_io *io, int32_t res)
{
    struct log_read *r = container_of(io, struct log_read, io);
    const struct buffer *b = r->source;
    struct log *log = r->log;
    size_t room = res > 0 && (uint32_t)res > skew(r) ? (uint32_t)res - skew(r) : 0;
    struct record_header h;
    struct slice payload;
    enum record_check check;

    if (res < 0) {
        drop_buffer(log, r);
        tell(r, STATUS_IO);
        return;
    }
    check = record_check(b->at + skew(r), room, r->segment->identity,
        PLACE_OFFSET(r->place), &h, &payload);
    if (check == RECORD_VALID) {
        set_record(r, &h, payload);
        r->state = READ_HELD;
        histogram_add(&log->counts.read, log_now(log) - r->begun_ns);
        tell(r, STATUS_OK);
        return;
    }
    if (check == RECORD_CUT && room >= sizeof h && bytes_for(r, h.length) > r->bytes) {
        r->bytes = bytes_for(r, h.length);
        drop_buffer(log, r);
        attempt(log, r);
        return;
    }
    drop_buffer(log, r);
    tell(r, STATUS_CORRUPT);
}

static void from_disk(struct log *log, struct log_read *r)
{
    struct buffer *b = buffer_take(&log->pool, r->bytes);

    if (!r->begun_ns)
        r->begun_ns = log_now(log);
    if (!b) {
        wait_for_buffer(log, r);
        return;
    }
    r->source = b;
    r->state = READ_FLYING;
    segment_read(log, &r->io, r->segment, b->at, r->bytes,
        PLACE_OFFSET(r->place) - skew(r), on_read);
}

/* A read that could not be served at once. */
static void attempt(struct log *log, struct log_read *r)
{
    switch (from_memory(log, r)) {
    case MEMORY_NONE:
        from_disk(log, r);
        break;
    case MEMORY_FOUND:
        tell_later(r, STATUS_OK);
        break;
    case MEMORY_FULL:
        wait_for_buffer(log, r);
        break;
    case MEMORY_BAD:
        tell_later(r, STATUS_CORRUPT);
        break;
    }
}

/* --- the calls --- */

static bool place_possible(const struct log_segment *s, uint32_t offset)
{
    return s && !s->doomed && offset % FORMAT_ALIGN == 0 && offset >= FORMAT_BLOCK &&
        offset < s->bytes;
}

/* What the page cache has, `bytes` from the record on, and no whole blocks: most of the
 * cost is the copy. *h and *payload are good if the record is VALID. */
static enum record_check peek(struct log *log, const struct log_read *r, struct buffer *b,
    uint32_t bytes, struct record_header *h, struct slice *payload)
{
    uint32_t offset = PLACE_OFFSET(r->place);
    int32_t res = segment_peek(log, r->segment, b->at, bytes, offset);
    enum record_check check;

    if (res <= 0)
        return RECORD_ABSENT;
    check = record_check(b->at, (size_t)res, r->segment->identity, offset, h, payload);
    return check == RECORD_CUT && (uint32_t)res < bytes ? RECORD_ABSENT : check;
}

/* False: nothing has happened, and a proper read will tell what there is. */
static bool from_cache(struct log *log, struct log_read *r, uint32_t bytes)
{
    struct buffer *b = buffer_take(&log->pool, bytes);
    enum record_check check;
    struct record_header h;
    struct slice payload;

    if (!b)
        return false;
    check = peek(log, r, b, bytes, &h, &payload);
    if (check == RECORD_CUT &&
        record_span(h.length) <= b->bytes) /* longer than thought */
        check = peek(log, r, b, (uint32_t)record_span(h.length), &h, &payload);
    if (check != RECORD_VALID) {
        buffer_give(&log->pool, b);
        return false;
    }
    r->source = b;
    r->state = READ_HELD;
    set_record(r, &h, payload);
    return true;
}

static bool begin(struct log *log, struct log_read *r, uint64_t place,
    uint32_t bytes_hint, bool near, void (*done)(struct log_read *r, enum status status))
{
    struct log_segment *s = segment_find(log, PLACE_SEGMENT(place));

    if (bytes_hint > RECORD_PAYLOAD_MAX)
        bytes_hint = RECORD_PAYLOAD_MAX;
    *r = (struct log_read){.done = done, .log = log, .place = place};
    log->reads++;
    log->counts.reads++;
    if (!place_possible(s, PLACE_OFFSET(place))) {
        tell_later(r, STATUS_NOT_FOUND);
        return false;
    }
    r->segment = s;
    segment_hold(s);
    if (bytes_hint == 0)
        bytes_hint = READ_CLASS_MIN / 2;
    r->bytes = bytes_for(r, bytes_hint);
    switch (from_memory(log, r)) {
    case MEMORY_FOUND:
        log->reads--;
        log->counts.reads_memory++;
        return true;
    case MEMORY_NONE:
        if (near && from_cache(log, r, (uint32_t)record_span(bytes_hint))) {
            log->reads--;
            return true;
        }
        from_disk(log, r);
        return false;
    case MEMORY_FULL:
        wait_for_buffer(log, r);
        return false;
    case MEMORY_BAD:
        tell_later(r, STATUS_CORRUPT);
        return false;
    }
    return false;
}

bool log_read(struct log *log, struct log_read *r, uint64_t place, uint32_t bytes_hint,
    void (*done)(struct log_read *r, enum status status))
{
    return begin(log, r, place, bytes_hint, false, done);
}

bool log_read_near(struct log *log, struct log_read *r, uint64_t place,
    uint32_t bytes_hint, void (*done)(struct log_read *r, enum status status))
{
    return begin(log, r, place, bytes_hint, true, done);
}

void log_read_end(struct log_read *r)
{
    struct log *log = r->log;

    CHECK(r->state == READ_PINNED || r->state == READ_HELD);
    if (r->state == READ_PINNED)
        slab_unpin(log, r->source);
    else
        drop_buffer(log, r);
    r->state = READ_NONE;
    r->source = NULL;
    segment_release(log, r->segment);
}
