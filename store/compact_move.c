#include "store/compact_state.h"

/* --- reading -------------------------------------------------------------------------
 */

static void on_read(struct log_read *read, enum status status)
{
    struct fetch *f = container_of(read, struct fetch, read);

    f->reading = false;
    f->status = status;
}

static struct fetch *fetch_of(struct mover *m, uint64_t place)
{
    for (unsigned i = 0; i < FETCHES; i++)
        if (m->fetches[i].place == place)
            return &m->fetches[i];
    return NULL;
}

static struct fetch *fetch_begin(struct mover *m, uint64_t place)
{
    struct fetch *f = fetch_of(m, 0);

    if (!f)
        return NULL;
    f->place = place;
    f->reading = true;
    f->status = STATUS_OK;
    if (log_read(m->c->store->log, &f->read, place, 0, on_read))
        f->reading = false;
    return f;
}

static void fetch_end(struct fetch *f)
{
    if (f->place && f->status == STATUS_OK)
        log_read_end(&f->read);
    f->place = 0;
}

bool mover_ahead(struct mover *m, uint64_t place)
{
    return fetch_of(m, place) || fetch_begin(m, place);
}

/* What was read ahead and is not wanted any more makes room. */
static struct fetch *make_room(struct mover *m)
{
    for (unsigned i = 0; i < FETCHES; i++)
        if (!m->fetches[i].reading) {
            fetch_end(&m->fetches[i]);
            return &m->fetches[i];
        }
    return NULL;
}

enum status mover_fetch(struct mover *m, uint64_t place, const struct log_record **record)
{
    struct fetch *f = fetch_of(m, place);

    if (!f)
        f = fetch_begin(m, place);
    if (!f && make_room(m))
        f = fetch_begin(m, place);
    if (!f || f->reading)
        return STATUS_BUSY;
    *record = &f->read.record;
    if (f->status == STATUS_OK)
        return STATUS_OK;
    f->place = 0;
    return f->status;
}

void mover_done(struct mover *m, uint64_t place)
{
    struct fetch *f = fetch_of(m, place);

    if (f)
        fetch_end(f);
}

bool mover_settle(struct mover *m)
{
    bool settled = true;

    for (unsigned i = 0; i < FETCHES; i++)
        if (m->fetches[i].reading)
            settled = false;
        else
            fetch_end(&m->fetches[i]);
    return settled;
}

/* --- a message, with its chunks in the segment --- */

static enum status begin(struct mover *m, struct item *item)
{
    const struct log_record *record;
    struct message_read r;

    TRY(mover_fetch(m, item->place, &record));
    if (record->kind != RECORD_MESSAGE || !message_read(record->payload, &r))
        return STATUS_CORRUPT;
    bytes_clear(&m->message);
    bytes_put_slice(&m->message, record->payload);
    m->message_seq = record->seq;
    mover_done(m, item->place);
    if (m->message.failed)
        return STATUS_NO_MEMORY;
    m->part = 0;
    m->has_message = true;
    return STATUS_OK;
}

static struct rec_part *part_at(struct mover *m, uint32_t i)
{
    struct rec_message fixed;

    memcpy(&fixed, m->message.at, sizeof fixed);
    return (struct rec_part *)(void *)(m->message.at + sizeof fixed +
               (size_t)fixed.owner_count * 8) +
        i;
}

/* Adds what has been read, or made of it, once more. LIMIT: not in this turn. */
static enum status move_record(struct mover *m, enum record_kind kind,
    struct slice payload, uint64_t seq, uint64_t *place)
{
    struct compact *c = m->c;

    if (c->left == 0)
        return STATUS_LIMIT;
    TRY(record_add(c->store, LOG_SHRINK, kind, 0, &payload, 1, seq, place));
    c->left -= payload.len < c->left ? (uint32_t)payload.len : c->left;
    return STATUS_OK;
}

static enum status move_chunk(struct mover *m, struct rec_part *part)
{
    struct item *chunk = items_find(&m->c->items, part->place);
    const struct log_record *record;

    if (!chunk || chunk->kind != RECORD_CHUNK)
        return STATUS_CORRUPT;
    if (!chunk->moved) {
        TRY(mover_fetch(m, part->place, &record));
        TRY(move_record(m, RECORD_CHUNK, record->payload, record->seq, &chunk->moved));
        mover_done(m, part->place);
    }
    part->place = chunk->moved;
    return STATUS_OK;
}

/* The old record no longer counts, where it stays in another segment. */
static void forget_old(struct store *s, const struct item *item, uint32_t segment,
    const struct rec_message *fixed)
{
    unsigned count;
    const struct straddle *t = straddle_find(s, item->place, &count);
    uint64_t own = fixed->size + ACCOUNT_MESSAGE;

    for (unsigned i = 0; i < count; i++) {
        own -= t[i].bytes;
        if (t[i].segment != segment) /* the new record counts it again */
            log_live(s->log, (uint64_t)t[i].segment << 32, -(int64_t)t[i].bytes);
    }
    if (PLACE_SEGMENT(item->place) != segment)
        log_live(s->log, item->place, -(int64_t)own);
    straddle_forget(s, item->place);
}

static enum status move_message(struct mover *m)
{
    struct store *s = m->c->store;
    struct slice payload = bytes_slice(&m->message);
    struct rec_message fixed;
    uint64_t place;

    memcpy(&fixed, m->message.at, sizeof fixed);
    if (!straddle_reserve(s, fixed.chunk_count))
        return STATUS_NO_MEMORY;
    TRY(move_record(m, RECORD_MESSAGE, payload, m->message_seq, &place));
    forget_old(s, m->item, m->c->segment, &fixed);
    note_message(s, place, &fixed, part_at(m, 0));
    m->item->moved = place;
    return STATUS_OK;
}

void move_drop(struct mover *m)
{
    if (m->item)
        m->item->moving = false;
    m->item = NULL;
    m->has_message = false;
}

enum status move_body(struct mover *m, struct item *item)
{
    struct rec_message fixed;

    if (item->moved)
        return STATUS_OK;
    if (item->moving && m->item != item)
        return STATUS_BUSY; /* another has it in hand */
    if (m->item != item)
        move_drop(m);
    m->item = item;
    item->moving = true;
    if (!m->has_message)
        TRY(begin(m, item));
    memcpy(&fixed, m->message.at, sizeof fixed);
    for (; m->part < fixed.chunk_count; m->part++) {
        struct rec_part *part = part_at(m, m->part);

        if (PLACE_SEGMENT(part->place) == m->c->segment)
            TRY(move_chunk(m, part));
    }
    TRY(move_message(m));
    m->item = NULL;
    m->has_message = false;
    return STATUS_OK;
}
