/* Checkpoints, written a buffer at a time beside normal work.
 *
 *      CREATING --> WRITING <--> (a buffer in flight, the other filling)
 *                      |
 *                  END asked: segment table, END frame, last buffer
 *                      |
 *                   SYNCING --> CLOSING --> SWEEPING (what is older than two) --> OVER
 *                      |
 *      any failure: CLOSING --> DROPPING the file --> OVER, and the log goes on
 */
#include "store/log_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TABLE_FRAME_MAX = CHECKPOINT_PIECE_MAX / sizeof(struct checkpoint_segment),
};

struct log_checkpoint {
    struct log *log;
    struct disk_op op;
    enum { CREATING, WRITING, SYNCING, CLOSING, SWEEPING, DROPPING, OVER } state;
    bool flying; /* the other buffer is on its way */
    bool ending; /* no more pieces come */
    bool padded; /* END is in the buffer */
    char *buffers[2];
    unsigned filling;
    uint32_t fill;   /* bytes in buffers[filling] */
    uint64_t offset; /* of its first byte in the file */
    int32_t file;
    struct checkpoint_header header;
    struct checkpoint_segment *table; /* as it was at the beginning */
    uint32_t table_count, table_at;
    uint32_t frames;
    uint64_t begun, added;
    enum status error;
    struct log_waiter *waiter;
    char name[DISK_NAME_MAX];
};

static void pump(struct log_checkpoint *c);

static struct log_checkpoint *checkpoint_of(struct op *op)
{
    return container_of(op, struct log_checkpoint, op.op);
}

/* --- the end, good or bad --- */

static void checkpoint_free(struct log_checkpoint *c)
{
    free(c->buffers[0]);
    free(c->buffers[1]);
    free(c->table);
    free(c);
}

/* The file is settled. Tells how it went when somebody wants to know. */
static void settle(struct log_checkpoint *c)
{
    struct log *log = c->log;
    struct log_waiter *w = c->waiter;
    enum status error = c->error;

    c->state = OVER;
    if (!c->ending)
        return; /* log_checkpoint_end() will come */
    checkpoint_free(c);
    log->checkpoint = NULL;
    log->woken = true;
    if (w)
        w->done(w, error);
}

static void on_swept(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    (void)res; /* an older one that stays does no harm */
    settle(checkpoint_of(op));
}

static void sweep(struct log_checkpoint *c, struct kept old)
{
    if (old.number == 0) {
        settle(c);
        return;
    }
    c->state = SWEEPING;
    c->log->janitor.due = true;
    snprintf(c->name, sizeof c->name, CHECKPOINT_NAME, old.number);
    disk_remove(c->log->disk, &c->op, on_swept, c->name);
}

/* The new one is durable: two are kept, the third goes. */
static struct kept keep(struct log_checkpoint *c)
{
    struct log *log = c->log;
    struct kept old = log->kept[1];

    log->kept[1] = log->kept[0];
    log->kept[0] = (struct kept){c->header.number, c->begun, c->offset + c->fill};
    log->checkpoint_added = c->added;
    log->janitor.due = true;
    return old;
}

static void on_dropped(struct op *op, int32_t res, uint32_t flags)
{
    struct log_checkpoint *c = checkpoint_of(op);
    struct kept old = {0};

    (void)flags;
    (void)res;
    if (c->error == STATUS_NO_SPACE) { /* make room for the next try: one is enough */
        old = c->log->kept[1];
        c->log->kept[1] = (struct kept){0};
    }
    sweep(c, old);
}

static void on_closed(struct op *op, int32_t res, uint32_t flags)
{
    struct log_checkpoint *c = checkpoint_of(op);

    (void)flags;
    (void)res;
    if (c->error == STATUS_OK) {
        sweep(c, keep(c));
        return;
    }
    c->state = DROPPING;
    disk_remove(c->log->disk, &c->op, on_dropped, c->name);
}

static void close_file(struct log_checkpoint *c)
{
    c->state = CLOSING;
    disk_close(c->log->disk, &c->op, on_closed, c->file);
}

static void on_synced(struct op *op, int32_t res, uint32_t flags)
{
    struct log_checkpoint *c = checkpoint_of(op);

    (void)flags;
    c->error = status_of(res);
    close_file(c);
}

/* --- writing --- */

static void on_written(struct op *op, int32_t res, uint32_t flags)
{
    struct log_checkpoint *c = checkpoint_of(op);

    (void)flags;
    c->flying = false;
    if (res != (int32_t)c->op.bytes)
        c->error = res < 0 ? status_of(res) : STATUS_NO_SPACE;
    if (c->error != STATUS_OK)
        close_file(c);
    else
        pump(c);
    c->log->woken = true;
}

/* Writes the whole blocks of the filling buffer; the rest begins the other one. */
static void flush(struct log_checkpoint *c)
{
    char *from = c->buffers[c->filling], *to = c->buffers[1 - c->filling];
    uint32_t bytes = c->fill - c->fill % FORMAT_BLOCK;

    CHECK(!c->flying && c->state == WRITING && bytes);
    memcpy(to, from + bytes, c->fill - bytes);
    c->flying = true;
    c->filling = 1 - c->filling;
    c->fill -= bytes;
    disk_write(c->log->disk, &c->op, on_written, c->file, from, bytes, c->offset);
    c->offset += bytes;
}

/* False: no room until the buffer in flight has landed. */
static bool put_frame(
    struct log_checkpoint *c, enum frame_kind kind, struct slice payload)
{
    uint32_t span = (uint32_t)record_span(payload.len);
    struct frame_header h;
    char *at;

    if (span > CHECKPOINT_BUFFER_BYTES - c->fill) {
        if (c->flying || c->state != WRITING)
            return false;
        flush(c);
    }
    at = c->buffers[c->filling] + c->fill;
    h = (struct frame_header){
        .offset = c->offset + c->fill,
        .length = (uint32_t)payload.len,
        .identity = c->header.identity,
        .index = c->frames++,
        .kind = kind,
    };
    memcpy(at, &h, sizeof h);
    if (payload.len)
        memcpy(at + sizeof h, payload.at, payload.len);
    memset(at + sizeof h + payload.len, 0, span - sizeof h - payload.len);
    frame_finish(at);
    c->fill += span;
    return true;
}

static bool put_table(struct log_checkpoint *c)
{
    while (c->table_at < c->table_count) {
        uint32_t n = c->table_count - c->table_at;
        struct slice piece;

        if (n > TABLE_FRAME_MAX)
            n = TABLE_FRAME_MAX;
        piece = slice_of((char *)(c->table + c->table_at), n * sizeof *c->table);
        if (!put_frame(c, FRAME_SEGMENTS, piece))
            return false;
        c->table_at += n;
    }
    return true;
}

static bool put_end(struct log_checkpoint *c)
{
    struct checkpoint_end end = {
        .bytes = c->offset + c->fill,
        .frames = c->frames,
        .segments = c->table_count,
    };
    uint32_t left;

    if (record_span(sizeof end) + FORMAT_BLOCK > CHECKPOINT_BUFFER_BYTES - c->fill) {
        if (c->flying)
            return false;
        flush(c);
    }
    if (!put_frame(c, FRAME_END, slice_of((char *)&end, sizeof end)))
        return false;
    left = (uint32_t)block_span(c->fill) - c->fill;
    memset(c->buffers[c->filling] + c->fill, 0, left);
    c->fill += left;
    c->padded = true;
    return true;
}

/* Goes on with the end of the checkpoint as far as the buffers allow. After a commit that
 * failed there is none: what it tells of records that never were must not be believed. */
static void pump(struct log_checkpoint *c)
{
    if (c->state != WRITING || !c->ending)
        return;
    if (c->log->failed) {
        c->error = STATUS_READ_ONLY;
        if (!c->flying)
            close_file(c);
        return;
    }
    if (!c->padded && !(put_table(c) && put_end(c)))
        return;
    if (c->flying)
        return;
    if (c->fill) {
        flush(c);
        return;
    }
    c->state = SYNCING;
    disk_sync(c->log->disk, &c->op, on_synced, c->file);
}

/* --- the beginning --- */

static void on_created(struct op *op, int32_t res, uint32_t flags)
{
    struct log_checkpoint *c = checkpoint_of(op);

    (void)flags;
    c->log->woken = true;
    if (res < 0) {
        c->error = status_of(res);
        on_dropped(op, 0, 0);
        return;
    }
    c->file = res;
    c->state = WRITING;
    pump(c);
}

/* Retired segments are left out: whoever starts from here does not need them. */
static enum status copy_table(struct log_checkpoint *c)
{
    struct log *log = c->log;

    c->table = log_alloc(log->segment_count * sizeof *c->table);
    if (!c->table)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < log->segment_count; i++) {
        const struct log_segment *s = log->segments[i];

        if (s->retired)
            continue;
        c->table[c->table_count++] = (struct checkpoint_segment){
            .number = s->number,
            .epoch = s->epoch,
            .used_bytes = s->end,
            .sealed = s->sealed,
            .live_bytes = s->live_bytes,
        };
    }
    return STATUS_OK;
}

static void begin_header(struct log_checkpoint *c)
{
    struct log *log = c->log;

    c->header = (struct checkpoint_header){
        .store_id = log->conf.store_id,
        .covered_seq = log->durable_seq,
        .position = log->durable_place,
        .batch_place = log->batch_place,
        .batch_number = log->durable_number,
        .shard = log->conf.shard,
        .number = log->next_checkpoint++,
        .epoch = log->added_bytes ? log->epoch : log->epoch_before,
    };
    checkpoint_header_write(&c->header, c->buffers[0]);
    c->fill = sizeof c->header;
    c->begun = ++log->checkpoints_begun;
    log->counts.checkpoints++;
    c->added = log->added_bytes;
}

enum status log_checkpoint_begin(struct log *log)
{
    struct log_checkpoint *c;

    if (log->checkpoint)
        return STATUS_BUSY;
    if (log->failed || log->closing)
        return STATUS_READ_ONLY;
    c = log_alloc(sizeof *c);
    if (!c)
        return STATUS_NO_MEMORY;
    c->log = log;
    c->buffers[0] = log_alloc_blocks(CHECKPOINT_BUFFER_BYTES);
    c->buffers[1] = log_alloc_blocks(CHECKPOINT_BUFFER_BYTES);
    if (!c->buffers[0] || !c->buffers[1] || copy_table(c) != STATUS_OK) {
        checkpoint_free(c);
        return STATUS_NO_MEMORY;
    }
    begin_header(c);
    log->checkpoint = c;
    snprintf(c->name, sizeof c->name, CHECKPOINT_NAME, c->header.number);
    disk_create(log->disk, &c->op, on_created, c->name, 0);
    return STATUS_OK;
}

enum status log_checkpoint_piece(struct log *log, struct slice piece)
{
    struct log_checkpoint *c = log->checkpoint;

    CHECK(c && !c->ending);
    if (piece.len > CHECKPOINT_PIECE_MAX)
        return STATUS_LIMIT;
    TRY(c->error);
    return put_frame(c, FRAME_PIECE, piece) ? STATUS_OK : STATUS_BUSY;
}

void log_checkpoint_end(struct log *log, struct log_waiter *w)
{
    struct log_checkpoint *c = log->checkpoint;

    CHECK(c && !c->ending);
    c->ending = true;
    c->waiter = w;
    pump(c);
}

/* A checkpoint that had failed before its end came is told of here, outside of calls. */
void checkpoint_turn(struct log *log)
{
    struct log_checkpoint *c = log->checkpoint;

    if (c && c->state == OVER && c->ending)
        settle(c);
}

void checkpoint_abandon(struct log *log)
{
    struct log_checkpoint *c = log->checkpoint;

    if (!c)
        return;
    c->ending = false;
    while (c->state != OVER) {
        disk_wait(log->disk, &c->op);
        if (c->state == WRITING && !c->op.op.pending) {
            c->error = STATUS_CANCELLED;
            close_file(c);
        }
    }
    checkpoint_free(c);
    log->checkpoint = NULL;
}

uint64_t log_since_checkpoint(const struct log *log)
{
    return log->added_bytes - log->checkpoint_added;
}
