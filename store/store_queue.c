/* Entries of the queue: a message that somebody still has to be given to.
 *
 * An entry is a reference to its message like that of a mailbox, with a weight for the
 * live bytes, and is moved with it by a compaction. All of an entry is in memory. Each
 * record says what of the ones before it is dead, so that a replay on top of a checkpoint
 * that has seen more than itself counts right. */
#include "store/index.h"

static struct queued *entry_of(const struct store *s, uint64_t id)
{
    struct queued *q = queued_find(&s->queue, id);

    return q && q->durable ? q : NULL;
}

/* --- what the records mean --- */

void note_queue_next(struct store *s, uint64_t next)
{
    if (next > s->next_queue)
        s->next_queue = next;
}

static void note_id(struct store *s, uint64_t id)
{
    if (id >> USER_SHARD_SHIFT == s->conf.shard)
        note_queue_next(s, (id & (((uint64_t)1 << USER_SHARD_SHIFT) - 1)) + 1);
}

static uint32_t live_record(struct store *s, uint64_t place, size_t payload)
{
    uint32_t span = (uint32_t)record_span(payload);

    log_live(s->log, place, span);
    return span;
}

/* An entry that is there has room for the state. */
static void take_added(struct store *s, struct queued *q, uint64_t place, size_t payload,
    const struct queue_added_read *a)
{
    q->record_span = live_record(s, place, payload);
    note_freed(s, a->freed, a->fixed.freed_count);
    note_id(s, a->fixed.id);
    if (!q->durable)
        q->size = a->fixed.size;
    q->body = a->fixed.body;
    q->share = a->fixed.share;
    q->record = place;
    q->state_record = q->state_span = 0;
    queued_set_state(&s->queue, q, a->state);
}

enum status note_queue_added(struct store *s, const struct log_record *r)
{
    struct queue_added_read a;
    struct queued *q;

    if (!queue_added_read(r->payload, &a))
        return STATUS_OK;
    q = queued_find(&s->queue, a.fixed.id);
    if (!q)
        q = queued_add(&s->queue, a.fixed.id, a.envelope);
    if (!q || !queued_reserve(q, a.state.len))
        return STATUS_NO_MEMORY;
    take_added(s, q, r->place, r->payload.len, &a);
    queued_show(&s->queue, q);
    return STATUS_OK;
}

/* q NULL: it has gone since. */
static void take_attempted(struct store *s, struct queued *q, uint64_t place,
    size_t payload, const struct queue_attempted_read *a)
{
    uint32_t span = live_record(s, place, payload);

    note_freed(s, a->freed, a->fixed.freed_count);
    if (!q)
        return;
    q->state_record = place;
    q->state_span = span;
    queued_set_state(&s->queue, q, a->state);
}

enum status note_queue_attempted(struct store *s, const struct log_record *r)
{
    struct queue_attempted_read a;
    struct queued *q;

    if (!queue_attempted_read(r->payload, &a))
        return STATUS_OK;
    q = queued_find(&s->queue, a.fixed.id);
    if (q && !queued_reserve(q, a.state.len))
        return STATUS_NO_MEMORY;
    take_attempted(s, q, r->place, r->payload.len, &a);
    return STATUS_OK;
}

void note_queue_done(struct store *s, const struct log_record *r)
{
    struct queue_done_read d;
    struct queued *q;

    if (!queue_done_read(r->payload, &d))
        return;
    note_freed(s, d.freed, d.fixed.freed_count);
    q = queued_find(&s->queue, d.fixed.id);
    if (q)
        queued_remove(&s->queue, q);
}

/* --- new ones --- */

enum status queue_prepare(
    struct store *s, const struct slice *envelopes, unsigned count, uint64_t *ids)
{
    if (count > STORE_QUEUE_MAX)
        return STATUS_LIMIT;
    for (unsigned i = 0; i < count; i++)
        if (envelopes[i].len > STORE_QUEUE_ENVELOPE_MAX)
            return STATUS_LIMIT;
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = (uint64_t)s->conf.shard << USER_SHARD_SHIFT | (s->next_queue + i);

        if (!queued_add(&s->queue, id, envelopes[i])) {
            queue_unprepare(s, i, ids);
            return STATUS_NO_MEMORY;
        }
        ids[i] = id;
    }
    return STATUS_OK;
}

void queue_unprepare(struct store *s, unsigned count, const uint64_t *ids)
{
    for (unsigned i = 0; i < count; i++)
        queued_remove(&s->queue, queued_find(&s->queue, ids[i]));
}

size_t queue_room(const struct store *s, const struct slice *envelopes, unsigned count,
    const struct store_queue_change *settles)
{
    const struct queued *q = settles ? entry_of(s, settles->id) : NULL;
    size_t bytes = 0;
    unsigned straddles;

    for (unsigned i = 0; i < count; i++)
        bytes += record_span(sizeof(struct rec_queue_added) + envelopes[i].len);
    if (q) { /* an end frees a part of every segment that holds some of it */
        straddle_find(s, q->body, &straddles);
        bytes += record_span(sizeof(struct rec_queue_attempted) + settles->state.len +
            (straddles + 3) * sizeof(struct rec_freed));
    }
    return bytes;
}

void queue_put(struct store *s, const struct slice *envelopes, unsigned count,
    const uint64_t *ids, uint64_t body, uint64_t size, unsigned share)
{
    for (unsigned i = 0; i < count; i++) {
        struct queue_added_read a = {.fixed = {.version = RECORDS_VERSION,
                                         .share = (uint8_t)share,
                                         .size = (uint32_t)size,
                                         .envelope_bytes = (uint32_t)envelopes[i].len,
                                         .id = ids[i],
                                         .body = body}};
        struct slice pieces[] = {
            slice_of((const char *)&a.fixed, sizeof a.fixed), envelopes[i]};
        uint64_t place;

        CHECK(record_add(s, LOG_SHRINK, RECORD_QUEUE_ADDED, 0, pieces, 2, 0, &place) ==
            STATUS_OK);
        take_added(s, queued_find(&s->queue, ids[i]), place,
            sizeof a.fixed + envelopes[i].len, &a);
    }
}

void queue_await(struct store *s, unsigned count, const uint64_t *ids)
{
    for (unsigned i = 0; i < count; i++) {
        struct queued *q = queued_find(&s->queue, ids[i]);

        q->barrier = s->changes.added;
        if (s->entering)
            s->entered->entering = q;
        else
            s->entering = q;
        s->entered = q;
    }
}

void queue_show(struct store *s)
{
    while (s->entering && s->entering->barrier <= s->changes.applied) {
        struct queued *q = s->entering;

        s->entering = q->entering;
        q->entering = NULL;
        queued_show(&s->queue, q);
    }
}

/* --- changes --- */

enum status queue_settle_prepare(struct store *s, const struct store_queue_change *c)
{
    struct queued *q = entry_of(s, c->id);

    if (!q)
        return STATUS_NOT_FOUND;
    if (c->done)
        return STATUS_OK;
    if (c->state.len > STORE_QUEUE_STATE_MAX)
        return STATUS_LIMIT;
    return queued_reserve(q, c->state.len) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status put_state(struct store *s, struct queued *q, struct slice state)
{
    struct rec_freed freed = {PLACE_SEGMENT(q->state_record), q->state_span};
    struct queue_attempted_read a = {.fixed = {.version = RECORDS_VERSION,
                                         .freed_count = q->state_record != 0,
                                         .state_bytes = (uint32_t)state.len,
                                         .id = q->id},
        .freed = &freed,
        .state = state};
    struct slice pieces[] = {slice_of((const char *)&a.fixed, sizeof a.fixed),
        slice_of((const char *)&freed, a.fixed.freed_count * sizeof freed), state};
    uint64_t place;

    TRY(record_add(s, LOG_SHRINK, RECORD_QUEUE_ATTEMPTED, 0, pieces, 3, 0, &place));
    take_attempted(s, q, place, pieces[0].len + pieces[1].len + state.len, &a);
    return STATUS_OK;
}

static enum status put_done(struct store *s, struct queued *q)
{
    struct rec_queue_done fixed = {.version = RECORDS_VERSION, .id = q->id};
    struct freed freed = {0};
    struct slice pieces[2];
    uint64_t place;
    enum status status;

    freed_add_body(s, &freed, q->body, q->size, q->share);
    freed_add(&freed, PLACE_SEGMENT(q->record), q->record_span);
    if (q->state_record)
        freed_add(&freed, PLACE_SEGMENT(q->state_record), q->state_span);
    fixed.freed_count = freed_count(&freed);
    pieces[0] = slice_of((const char *)&fixed, sizeof fixed);
    pieces[1] = bytes_slice(&freed.bytes);
    status = record_add(s, LOG_SHRINK, RECORD_QUEUE_DONE, 0, pieces, 2, 0, &place);
    if (status == STATUS_OK) {
        note_freed(s, (const void *)freed.bytes.at, fixed.freed_count);
        queued_remove(&s->queue, q);
    }
    bytes_free(&freed.bytes);
    return status;
}

enum status queue_settle(struct store *s, const struct store_queue_change *c)
{
    struct queued *q = entry_of(s, c->id);

    CHECK(q);
    return c->done ? put_done(s, q) : put_state(s, q, c->state);
}

enum status try_queue_change(struct store *s, struct store_queue_change *c)
{
    if (!store_writable(s))
        return STATUS_READ_ONLY;
    TRY(queue_settle_prepare(s, c));
    if (!change_mark_reserve(s))
        return STATUS_NO_MEMORY;
    TRY(queue_settle(s, c));
    CHECK(change_mark(s, &c->op) == STATUS_OK);
    return STATUS_OK;
}

void store_queue_change(struct store *s, struct store_queue_change *c)
{
    request_start(s, &c->op, REQUEST_QUEUE_CHANGE, s);
}

enum status queue_rewrite(struct store *s, struct queued *q, uint64_t body)
{
    struct freed freed = {0};
    struct queue_added_read a = {.fixed = {.version = RECORDS_VERSION,
                                     .share = q->share,
                                     .size = q->size,
                                     .envelope_bytes = q->envelope_bytes,
                                     .state_bytes = q->state_bytes,
                                     .id = q->id,
                                     .body = body},
        .envelope = queued_envelope(q),
        .state = queued_state(q)};
    struct slice pieces[4];
    uint64_t place;
    enum status status;

    freed_add(&freed, PLACE_SEGMENT(q->record), q->record_span);
    if (q->state_record)
        freed_add(&freed, PLACE_SEGMENT(q->state_record), q->state_span);
    a.freed = (const void *)freed.bytes.at;
    a.fixed.freed_count = freed_count(&freed);
    pieces[0] = slice_of((const char *)&a.fixed, sizeof a.fixed);
    pieces[1] = bytes_slice(&freed.bytes);
    pieces[2] = a.envelope;
    pieces[3] = a.state;
    status = record_add(s, LOG_SHRINK, RECORD_QUEUE_ADDED, 0, pieces, 4, 0, &place);
    if (status == STATUS_OK)
        take_added(s, q, place,
            sizeof a.fixed + pieces[1].len + a.envelope.len + a.state.len, &a);
    bytes_free(&freed.bytes);
    return status;
}

/* --- what is left of a fan-out --- */

/* Its body has counted for others so far: this reference weighs nothing. */
static enum status put_rest(struct store *s, struct store_fanout_queue *q, uint64_t body)
{
    size_t bytes = queue_room(s, q->envelopes, q->count, NULL) +
        record_span(sizeof(struct rec_fanout_done));

    TRY(log_room(s->log, LOG_SHRINK, q->count + 1, bytes));
    queue_put(s, q->envelopes, q->count, q->ids, body, q->size, SHARE_MAX);
    CHECK(fanout_record_done(s, q->fanout_id) == STATUS_OK);
    CHECK(change_mark(s, &q->op) == STATUS_OK);
    queue_await(s, q->count, q->ids);
    return STATUS_OK;
}

enum status try_fanout_queue(struct store *s, struct store_fanout_queue *q)
{
    const struct fanout *f = fanout_find(s, q->fanout_id);
    enum status status;

    if (!store_writable(s))
        return STATUS_READ_ONLY;
    if (!f || f->done || q->size > UINT32_MAX)
        return STATUS_NOT_FOUND;
    if (!change_mark_reserve(s))
        return STATUS_NO_MEMORY;
    TRY(queue_prepare(s, q->envelopes, q->count, q->ids));
    status = put_rest(s, q, f->body);
    if (status != STATUS_OK)
        queue_unprepare(s, q->count, q->ids);
    return status;
}

void store_fanout_queue(struct store *s, struct store_fanout_queue *q)
{
    request_start(s, &q->op, REQUEST_FANOUT_QUEUE, s);
}

/* --- looking --- */

static void describe(const struct queued *q, struct store_queued *out)
{
    *out = (struct store_queued){.id = q->id,
        .body = q->body,
        .size = q->size,
        .envelope = queued_envelope(q),
        .state = queued_state(q)};
}

bool store_queue_find(const struct store *s, uint64_t id, struct store_queued *out)
{
    const struct queued *q = entry_of(s, id);

    if (q)
        describe(q, out);
    return q;
}

bool store_queue_after(const struct store *s, uint64_t id, struct store_queued *out)
{
    const struct queued *q = queued_after(&s->queue, id);

    while (q && !q->durable)
        q = q->next[0];
    if (q)
        describe(q, out);
    return q;
}
