/* Segments that another shard wrote: users of it came here, and their mail stayed where
 * it was. The file is shared by hard links. Nothing is ever written into it, no record of
 * it is replayed; what the index names is read, moved out by compaction, and when nothing
 * is named any more this folder's name of the file goes. */
#include "store/log_parts.h"

#include <stdio.h>

enum status log_adoptable(const struct log *log, uint32_t number, struct log_adopted *out)
{
    const struct log_segment *s = segment_find(log, number);

    if (!s || s->identity == 0)
        return STATUS_NOT_FOUND;
    if (!s->sealed || s->flying)
        return STATUS_BUSY;
    *out = (struct log_adopted){.number = number,
        .shard = s->shard,
        .epoch = s->epoch,
        .bytes = s->bytes,
        .end = s->end,
        .cut = s->cut};
    return STATUS_OK;
}

enum status log_adopt(struct log *log, const struct log_adopted *a)
{
    uint32_t identity =
        segment_identity(log->conf.store_id, a->shard, a->number, a->epoch);
    struct log_segment *s = segment_find(log, a->number);

    if (s)
        return s->identity == identity ? STATUS_EXISTS : STATUS_INVALID;
    if (!log->adopting || a->number >= log->own_from)
        return STATUS_INVALID;
    TRY(segment_table_room(log, PREPARED_MAX + 2));
    s = segment_new(a->shard, a->number, a->epoch, identity, a->bytes);
    if (!s)
        return STATUS_NO_MEMORY;
    s->sealed = s->adopted = true;
    s->end = a->end;
    s->cut = a->cut;
    segment_table_add(log, s);
    return STATUS_OK;
}

enum status log_adopt_end(struct log *log)
{
    bool adopting = log->adopting;
    enum status status;

    log->adopting = false;
    status = log_put_segments(log);
    if (status != STATUS_OK)
        log->adopting = adopting;
    return status;
}

bool log_adopts(const struct log *log, uint32_t number)
{
    const struct log_segment *s = segment_find(log, number);

    return s && s->adopted;
}

uint32_t log_numbers_end(const struct log *log)
{
    return log->next_number;
}

uint64_t log_last_seq(const struct log *log)
{
    return log->last_seq;
}

void log_number_above(struct log *log, uint64_t seq)
{
    if (seq > log->last_seq)
        log->last_seq = seq;
}

/* --- who else has the file --- */

static void take_links(struct log_segment *s, int32_t res)
{
    s->links = res > 1 ? (uint32_t)res : 1;
}

static void on_links(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = container_of(op, struct log, links.op.op);
    struct log_segment *s = log->links.segment;

    (void)flags;
    log->links.segment = NULL;
    take_links(s, res);
    segment_release(log, s);
}

static void ask(struct log *log, struct log_segment *s)
{
    struct links *l = &log->links;

    l->segment = s;
    l->after = s->number;
    segment_hold(s);
    snprintf(l->name, sizeof l->name, SEGMENT_NAME, s->number);
    disk_links(log->disk, &l->op, on_links, l->name);
}

void links_find(struct log *log, struct log_segment *s)
{
    ask(log, s);
    disk_wait(log->disk, &log->links.op);
}

/* The first adopted segment behind the one asked for last; else the first of all. */
static struct log_segment *next_shared(const struct log *log)
{
    unsigned low = 0, high = log->adopted;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (log->numbers[middle] <= log->links.after)
            low = middle + 1;
        else
            high = middle;
    }
    return log->segments[low < log->adopted ? low : 0];
}

void log_look_at_links(struct log *log)
{
    struct log_segment *s;

    if (log->links.segment || log->adopted == 0 || log->closing)
        return;
    s = next_shared(log);
    if (s->adopted && !s->retired)
        ask(log, s);
    else
        log->links.after = s->number;
}
