/* All records of one sealed segment, read in the background a window at a time. */
#include "store/log_parts.h"

#include <stdlib.h>

#include "store/log_walk.h"

enum { SCAN_WINDOW = 256 << 10 };

struct log_scan {
    struct log *log;
    struct log_segment *segment;
    struct log_walk walk;
    struct log_io io;
    char *window;
    uint32_t room;        /* of the window */
    uint32_t from, bytes; /* of the segment that it holds */
    bool reading, ended;
    enum status status;
    void (*wake)(void *arg);
    void *arg;
};

static void scan_free(struct log_scan *scan)
{
    segment_release(scan->log, scan->segment);
    free(scan->window);
    free(scan);
}

enum status log_scan_begin(struct log *log, uint32_t segment, struct log_scan **scan,
    void (*wake)(void *arg), void *arg)
{
    struct log_segment *s = segment_find(log, segment);
    struct log_scan *n;

    if (!s || s->doomed || !s->sealed)
        return STATUS_NOT_FOUND;
    if (s->flying)
        return STATUS_BUSY;
    n = log_alloc(sizeof *n);
    if (!n)
        return STATUS_NO_MEMORY;
    n->log = log;
    n->segment = s;
    n->walk = log_walk_of(s->identity, FORMAT_BLOCK, s->end);
    n->wake = wake;
    n->arg = arg;
    segment_hold(s);
    *scan = n;
    return STATUS_OK;
}

static void on_read(struct log_io *io, int32_t res)
{
    struct log_scan *scan = container_of(io, struct log_scan, io);

    scan->reading = false;
    scan->log->reads--;
    if (scan->ended) {
        scan_free(scan);
        return;
    }
    if (res < 0 || (uint32_t)res < scan->bytes)
        scan->status = STATUS_IO;
    scan->wake(scan->arg);
}

/* Moves the window to where the walk stands, and makes it as big as it wants. */
static enum status fetch(struct log_scan *scan)
{
    uint32_t from = scan->walk.at - scan->walk.at % DISK_BLOCK;
    size_t want = block_span(scan->walk.at - from + (size_t)scan->walk.want);
    size_t left = block_span(scan->segment->end) - from;

    if (want < SCAN_WINDOW)
        want = SCAN_WINDOW;
    if (want > scan->room) {
        free(scan->window);
        scan->room = 0;
        scan->window = log_alloc_blocks(want);
        if (!scan->window)
            return STATUS_NO_MEMORY;
        scan->room = (uint32_t)want;
    }
    scan->from = from;
    scan->bytes = (uint32_t)(want < left ? want : left);
    scan->reading = true;
    scan->log->reads++;
    segment_read(
        scan->log, &scan->io, scan->segment, scan->window, scan->bytes, from, on_read);
    return STATUS_BUSY;
}

/* What was not taken is given again by the next step. */
static enum status give(struct log_scan *scan, log_replay_fn *each)
{
    const struct record_header *h = &scan->walk.header;
    struct log_record record = {
        .kind = (enum record_kind)h->kind,
        .flags = h->flags,
        .seq = h->seq,
        .place = place_of(scan->segment->number, h->offset),
        .payload = scan->walk.payload,
    };

    enum status status =
        record_is_framing(h->kind) ? STATUS_OK : each(scan->arg, &record);

    if (status != STATUS_OK)
        scan->walk.at = h->offset;
    return status;
}

enum status log_scan_step(struct log_scan *scan, uint32_t bytes_max, log_replay_fn *each)
{
    uint32_t start = scan->walk.at;

    if (scan->reading)
        return STATUS_BUSY;
    TRY(scan->status);
    while (scan->walk.at - start < bytes_max) {
        switch (
            log_walk_next(&scan->walk, slice_of(scan->window, scan->bytes), scan->from)) {
        case WALK_RECORD:
            TRY(give(scan, each));
            break;
        case WALK_DAMAGE:
            break;
        case WALK_MORE:
            return fetch(scan);
        case WALK_END:
            return STATUS_OK;
        }
    }
    return STATUS_LIMIT;
}

void log_scan_end(struct log_scan *scan)
{
    if (scan->reading)
        scan->ended = true; /* the disk still has its memory */
    else
        scan_free(scan);
}
