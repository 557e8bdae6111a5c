#include "store/log_walk.h"

#include <string.h>

static bool zero_word(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word == 0;
}

/* The bytes at w->at, and how many of them may be looked at. */
static const char *bytes_at(
    const struct log_walk *w, struct slice window, uint32_t from, size_t *room)
{
    uint64_t window_end = (uint64_t)from + window.len;
    uint64_t end = window_end < w->end ? window_end : w->end;

    if (w->at < from || w->at >= end) {
        *room = 0;
        return window.at;
    }
    *room = (size_t)(end - w->at);
    return window.at + (w->at - from);
}

/* Nothing of a record stands here: note it, unless it is silence, and step on. */
static void step(struct log_walk *w, const char *p, size_t room)
{
    if (!w->in_damage && w->at >= w->batch_end && zero_word(p)) {
        for (; room >= FORMAT_ALIGN && zero_word(p); room -= FORMAT_ALIGN) {
            w->at += FORMAT_ALIGN;
            p += FORMAT_ALIGN;
        }
        return;
    }
    if (!w->in_damage) {
        w->in_damage = true;
        w->bad_from = w->at;
    }
    w->at += FORMAT_ALIGN;
}

static enum walk end_damage(struct log_walk *w, uint32_t to)
{
    w->in_damage = false;
    w->bad_to = to;
    return WALK_DAMAGE;
}

static enum walk on_valid(struct log_walk *w)
{
    struct batch_header batch;

    if (w->in_damage)
        return end_damage(w, w->at);
    if (batch_header_read(&w->header, w->payload, &batch))
        w->batch_end = w->at + batch.used;
    w->at += (uint32_t)record_span(w->header.length);
    return WALK_RECORD;
}

enum walk log_walk_next(struct log_walk *w, struct slice window, uint32_t from)
{
    const bool last = (uint64_t)from + window.len >= w->end;

    while (w->at < w->end) {
        size_t room;
        const char *p = bytes_at(w, window, from, &room);

        w->want = sizeof(struct record_header);
        if (room < w->want && !(last && room))
            return WALK_MORE;
        if (room < FORMAT_ALIGN) {
            w->at = w->end;
            break;
        }
        switch (record_check(p, room, w->identity, w->at, &w->header, &w->payload)) {
        case RECORD_VALID:
            return on_valid(w);
        case RECORD_CUT:
            if (!last && room >= sizeof(struct record_header)) {
                w->want += w->header.length;
                return WALK_MORE;
            }
            step(w, p, room);
            break;
        case RECORD_ABSENT:
        case RECORD_BAD:
            step(w, p, room);
            break;
        }
    }
    return w->in_damage ? end_damage(w, w->end) : WALK_END;
}

bool log_walk_batch(const struct log_walk *w, struct slice window, uint32_t from,
    struct batch_header *batch)
{
    struct record_header h;
    struct slice payload;
    size_t room;
    const char *p = bytes_at(w, window, from, &room);

    return w->at % FORMAT_BLOCK == 0 &&
        record_check(p, room, w->identity, w->at, &h, &payload) == RECORD_VALID &&
        batch_header_read(&h, payload, batch) && batch->bytes <= w->end - w->at;
}

bool log_walk_whole(const struct log_walk *w, struct slice window, uint32_t from,
    const struct batch_header *batch)
{
    struct log_walk in = log_walk_of(w->identity, w->at, w->at + batch->used);
    uint32_t records = 0;

    while (in.at < in.end) {
        if (log_walk_next(&in, window, from) != WALK_RECORD)
            return false;
        if (records++ && in.header.kind == RECORD_BATCH)
            return false;
    }
    return in.at == in.end && records == batch->records + 1;
}
