/* The replay: batches in order, damage stepped over, the tail recognised. */
#include "store/log_recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/log_survey.h"

/* --- handing out records --- */

static enum status deliver(
    struct recovery *r, struct found *s, const struct record_header *h, struct slice p)
{
    struct log_record record = {
        .kind = (enum record_kind)h->kind,
        .flags = h->flags,
        .seq = h->seq,
        .place = (uint64_t)s->number << 32 | h->offset,
        .payload = p,
    };

    if (h->kind == RECORD_SEGMENT_SEALED)
        return survey_sealed(r, s, p);
    if (record_is_framing(h->kind))
        return STATUS_OK;
    if (h->seq > r->last_seq)
        r->last_seq = h->seq;
    r->start->replayed++;
    return r->start->replay ? r->start->replay(r->start->arg, &record) : STATUS_OK;
}

static void note_batch(struct recovery *r, const struct batch_header *b)
{
    if (b->number > r->highest_number)
        r->highest_number = b->number;
    if (b->durable_number > r->durable_number)
        r->durable_number = b->durable_number;
    if (b->last_seq > r->last_seq)
        r->last_seq = b->last_seq;
}

static void accept_batch(
    struct recovery *r, struct found *s, uint32_t offset, const struct batch_header *b)
{
    note_batch(r, b);
    r->last_number = b->number;
    s->end = offset + b->bytes;
    r->end = (uint64_t)s->number << 32 | s->end;
}

/* --- whole batches --- */

/* The batch at `offset`: whether its header is valid, and whether all of it is. */
static enum status look(struct recovery *r, struct found *s, uint32_t offset,
    struct batch_header *b, bool *valid, bool *whole)
{
    struct log_walk w = log_walk_of(s->identity, offset, s->limit);

    TRY(input_need(&r->in, offset, BATCH_HEAD_BYTES));
    *valid = log_walk_batch(&w, r->in.window, (uint32_t)r->in.from, b) &&
        b->number > r->last_number;
    *whole = false;
    if (!*valid)
        return STATUS_OK;
    TRY(input_need(&r->in, offset, b->bytes));
    *whole = log_walk_whole(&w, r->in.window, (uint32_t)r->in.from, b);
    return STATUS_OK;
}

/* Of a batch that has been found whole and stands in the window. */
static enum status deliver_batch(
    struct recovery *r, struct found *s, uint32_t offset, const struct batch_header *b)
{
    uint32_t end = offset + b->used;

    accept_batch(r, s, offset, b);
    while (offset < end) {
        struct record_header h;
        const char *at = input_at(&r->in, offset);

        memcpy(&h, at, sizeof h);
        TRY(deliver(r, s, &h, slice_of(at + sizeof h, h.length)));
        offset += (uint32_t)record_span(h.length);
    }
    return STATUS_OK;
}

/* --- what is not whole --- */

/* Reads on to the end of the last epoch, for what batches there say. Counts the bytes
 * that the tail would lose. */
static enum status look_ahead(
    struct recovery *r, unsigned index, uint32_t offset, uint64_t *bytes)
{
    *bytes = 0;
    for (unsigned i = index; i < r->segment_count; i++) {
        struct found *s = &r->segments[i];
        uint32_t at = i == index ? offset : FORMAT_BLOCK;

        if (s->state != FOUND_LIVE || s->blank)
            continue;
        if (i != index)
            TRY(survey_open(r, s, INPUT_WHOLE));
        for (; at + FORMAT_BLOCK <= s->limit; at += FORMAT_BLOCK) {
            struct log_walk w = log_walk_of(s->identity, at, s->limit);
            struct batch_header b;

            TRY(input_need(&r->in, at, FORMAT_BLOCK));
            if (log_walk_batch(&w, r->in.window, (uint32_t)r->in.from, &b))
                note_batch(r, &b);
            if (!survey_zero(input_at(&r->in, at)))
                *bytes += FORMAT_BLOCK;
        }
        if (r->in.unreadable)
            return survey_refuse(
                r, STATUS_IO, s->number, offset, "the end of the log cannot be read");
    }
    return survey_open(r, &r->segments[index], INPUT_WHOLE);
}

/* The log ends at `offset` of `s`. A seal may have said that it goes on in a segment that
 * is missing, behind this one: the cut must not keep what is dropped here. */
static void end_at(struct recovery *r, const struct found *s, uint32_t offset)
{
    r->ended = true;
    if (PLACE_SEGMENT(r->end) > s->number)
        r->end = (uint64_t)s->number << 32 | offset;
}

/* Nothing valid stands at `offset` of segment `index`: the end of the log, or damage? */
static enum status judge(struct recovery *r, unsigned index, uint32_t offset)
{
    struct found *s = &r->segments[index];
    uint64_t bytes;

    if (s->epoch < r->epoch || r->last_number < r->durable_number)
        return STATUS_OK;
    if (r->closed == ((uint64_t)s->number << 32 | offset)) {
        end_at(r, s, offset);
        return STATUS_OK;
    }
    if (!r->looked_ahead) {
        TRY(look_ahead(r, index, offset, &bytes));
        r->looked_ahead = true;
        if (r->last_number < r->durable_number)
            return STATUS_OK;
        r->start->tail_cut_bytes = bytes;
    } else {
        TRY(look_ahead(r, index, offset, &r->start->tail_cut_bytes));
    }
    end_at(r, s, offset);
    return STATUS_OK;
}

/* What has been handed out counts from now on, also behind the last known batch. */
static void reach(struct recovery *r, struct found *s, uint32_t offset)
{
    uint32_t end = (uint32_t)block_span(offset);

    if (end > s->end)
        s->end = end;
    if (((uint64_t)s->number << 32 | end) > r->end)
        r->end = (uint64_t)s->number << 32 | end;
}

/* Record by record from *offset on, which is damaged, to the next batch that has a valid
 * header, or to the limit. */
static enum status step_over(struct recovery *r, struct found *s, uint32_t *offset)
{
    struct log_walk w = log_walk_of(s->identity, *offset, s->limit);
    struct batch_header b;

    TRY(input_need(&r->in, *offset, BATCH_HEAD_BYTES));
    if (!log_walk_batch(&w, r->in.window, (uint32_t)r->in.from, &b)) {
        w.in_damage = true;
        w.bad_from = *offset;
    }
    for (;;) {
        TRY(input_need(&r->in, w.at, BATCH_HEAD_BYTES));
        if (w.at != *offset && log_walk_batch(&w, r->in.window, (uint32_t)r->in.from, &b))
            break;
        switch (log_walk_next(&w, r->in.window, (uint32_t)r->in.from)) {
        case WALK_RECORD:
            if (batch_header_read(&w.header, w.payload, &b) && b.number > r->last_number)
                accept_batch(r, s, w.header.offset, &b);
            reach(r, s, w.at);
            TRY(deliver(r, s, &w.header, w.payload));
            break;
        case WALK_DAMAGE:
            survey_damage(
                r, s->number, w.bad_from, w.bad_to - w.bad_from, "damaged records");
            break;
        case WALK_MORE:
            TRY(input_need(&r->in, w.at, w.want));
            break;
        case WALK_END:
            *offset = s->limit;
            return STATUS_OK;
        }
    }
    *offset = w.at;
    return STATUS_OK;
}

/* --- segments --- */

/* A segment that was left for the next must end with a seal, unless its epoch ended in
 * it. */
static enum status without_seal(struct recovery *r, unsigned index)
{
    struct found *s = &r->segments[index];

    if (s->epoch == r->epoch) {
        TRY(judge(r, index, s->limit));
        if (r->ended)
            return STATUS_OK;
    }
    if (!s->cut_here)
        survey_damage(r, s->number, s->limit, 0, "the seal is missing");
    s->end = s->limit;
    return STATUS_OK;
}

static enum status replay_segment(struct recovery *r, unsigned index, uint32_t offset)
{
    struct found *s = &r->segments[index];

    TRY(survey_open(r, s, INPUT_WHOLE));
    s->end = offset;
    while (offset < s->limit && !s->sealed) {
        struct batch_header b;
        bool valid, whole;

        TRY(look(r, s, offset, &b, &valid, &whole));
        if (whole) {
            TRY(deliver_batch(r, s, offset, &b));
            offset = s->end;
            continue;
        }
        TRY(judge(r, index, offset));
        if (r->ended)
            return STATUS_OK;
        TRY(step_over(r, s, &offset));
    }
    return s->sealed ? STATUS_OK : without_seal(r, index);
}

/* --- the whole --- */

/* What lies beyond the end does not count. A header that was torn while the segment was
 * being made is no damage: nothing had been written behind it. */
static void conclude(struct recovery *r, struct found *s)
{
    if (s->state != FOUND_LIVE)
        return;
    if (s->number > PLACE_SEGMENT(r->end))
        s->state = FOUND_VOID;
    else if (s->half && s->end != FORMAT_BLOCK)
        survey_damage(r, s->number, 0, sizeof(struct segment_header),
            "one copy of the segment header is damaged");
}

enum status recovery_replay(struct recovery *r)
{
    uint64_t position = 0;

    if (r->imaged && !r->from_start) {
        position = r->image.header.position;
        r->last_number = r->durable_number = r->image.header.batch_number;
        if (r->last_number > r->highest_number)
            r->highest_number = r->last_number;
        if (r->image.header.covered_seq > r->last_seq)
            r->last_seq = r->image.header.covered_seq;
    }
    r->end = position;
    for (unsigned i = 0; i < r->segment_count && !r->ended; i++) {
        struct found *s = &r->segments[i];
        bool first = s->number == PLACE_SEGMENT(position);

        if (s->number < PLACE_SEGMENT(position) || s->state != FOUND_LIVE)
            continue;
        TRY(replay_segment(r, i, first ? PLACE_OFFSET(position) : FORMAT_BLOCK));
    }
    for (unsigned i = 0; i < r->segment_count; i++)
        conclude(r, &r->segments[i]);
    return STATUS_OK;
}

void recovery_init(struct recovery *r, struct disk *disk, struct log_start *start)
{
    *r = (struct recovery){.disk = disk, .start = start};
    start->tail_cut_bytes = 0;
    start->replayed = 0;
    input_init(&r->in, disk);
}

void recovery_free(struct recovery *r)
{
    input_end(&r->in);
    image_free(&r->image);
    free(r->segments);
    free(r->checkpoints);
    free(r->listed);
    free(r->runs);
}
