#include "store/compact_state.h"

enum {
    CHOOSE_TURNS = 64,    /* turns between two looks at the segments */
    SEGMENTS_MIN = 3,     /* fewer are never worth it */
    WORTH_PERCENT = 80,   /* of a segment: more live than that is left alone */
    SCAN_BYTES = 1 << 17, /* looked at in one slice */
    MOVE_BYTES = 1 << 18, /* of mail moved in one, and a record */
    BUDGET = 2048,        /* messages touched in one slice */
};

uint32_t compact_segment(const struct store *s)
{
    return s->compact ? s->compact->segment : 0;
}

/* --- choosing --- */

static bool skipped(const struct compact *c, uint32_t segment)
{
    for (unsigned i = 0; i < c->skip_count; i++)
        if (c->skips[i] == segment)
            return true;
    return false;
}

/* The emptiest sealed segment; 0: disk use is as it should be. */
static uint32_t choose(struct compact *c)
{
    struct store *s = c->store;
    struct log_segment_info info, best = {0};
    uint64_t used = 0, live = 0;
    unsigned count = 0;

    for (unsigned i = 0; log_segment_at(s->log, i, &info); i++) {
        if (info.retired)
            continue;
        count++;
        used += info.used_bytes;
        live += info.live_bytes < info.used_bytes ? info.live_bytes : info.used_bytes;
        if (!info.sealed || skipped(c, info.number) || upload_in(s, info.number) ||
            info.live_bytes * 100 > info.used_bytes * WORTH_PERCENT)
            continue;
        /* live / used < best.live / best.used, in whole numbers */
        if (!best.number ||
            info.live_bytes * (best.used_bytes >> 12) <
                best.live_bytes * (info.used_bytes >> 12))
            best = info;
    }
    if (count < SEGMENTS_MIN || used * 100 <= live * s->conf.compact_percent)
        return 0;
    c->used_bytes = best.used_bytes;
    return best.number;
}

static bool is_oldest(struct store *s, uint32_t segment)
{
    struct log_segment_info info;

    for (unsigned i = 0; log_segment_at(s->log, i, &info); i++)
        if (!info.adopted) /* what is adopted is not replayed: nothing there comes back */
            return info.number == segment;
    return false;
}

/* --- the end, good or bad --- */

static void clear(struct compact *c)
{
    if (c->scan)
        log_scan_end(c->scan);
    c->scan = NULL;
    free(c->items.at);
    free(c->foreign.at);
    c->items = c->foreign = (struct items){0};
    bytes_free(&c->owners);
    bytes_free(&c->keeps);
    for (unsigned i = 0; i < MOVERS; i++) {
        bytes_free(&c->movers[i].blobs);
        bytes_free(&c->movers[i].message);
        c->movers[i] = (struct mover){.c = c};
    }
    c->segment = 0;
    c->looked_at = UINT64_MAX; /* perhaps there is another */
    c->failing = false;
    c->phase = COMPACT_IDLE;
}

/* The segment stays. What was copied out of it is dead, or names it no more. */
static void give_up(struct compact *c, enum status status)
{
    struct store *s = c->store;
    bool damaged = status == STATUS_CORRUPT || status == STATUS_INVALID ||
        status == STATUS_NOT_FOUND;

    if (damaged) {
        c->skips[c->skip_count % SKIPS] = c->segment;
        c->skip_count += c->skip_count < SKIPS;
        store_say(s, SAY_WARN, "segment-not-compacted", "segment=%08x status=\"%s\"",
            c->segment, status_text(status));
    } else {
        c->from_s = s->now_s + STORE_REST_S;
    }
    c->failing = true;
}

static bool stop_movers(struct compact *c)
{
    bool stopped = !c->settled.pending;

    for (unsigned i = 0; i < MOVERS; i++)
        stopped &= mover_stop(&c->movers[i]);
    return stopped;
}

static void retire(struct compact *c)
{
    struct store *s = c->store;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->straddle_count; i++) {
        const struct straddle *t = &s->straddles[i];

        if (t->segment != c->segment && PLACE_SEGMENT(t->message) != c->segment)
            s->straddles[kept++] = *t;
    }
    s->straddle_count = kept;
    log_retire(s->log, c->segment);
    s->checkpoints_owed = 2;
    s->compacted_bytes += c->used_bytes;
    store_say(s, SAY_INFO, "segment-compacted", "segment=%08x", c->segment);
    clear(c);
}

/* Something has changed since, and either nothing else is to be done or it is long ago.
 */
static bool worth_a_look(const struct compact *c)
{
    const struct store *s = c->store;

    return s->conf.compact_percent != STORE_COMPACT_NEVER && store_writable(s) &&
        !store_rests(s, c->from_s) && s->changes.applied != c->looked_at &&
        (changes_idle(s) || s->turns - c->looked_turn >= CHOOSE_TURNS);
}

/* --- phases --- */

static enum status begin(struct compact *c)
{
    struct store *s = c->store;

    if (!worth_a_look(c))
        return STATUS_BUSY;
    c->looked_turn = s->turns;
    c->looked_at = s->changes.applied;
    log_look_at_links(s->log);
    c->segment = choose(c);
    if (!c->segment)
        return STATUS_BUSY;
    c->oldest = is_oldest(s, c->segment);
    c->adopted = log_adopts(s->log, c->segment);
    c->adoption = false;
    c->adopted_at = (struct adopted_at){0};
    c->barrier = s->changes.added;
    c->next_owner = c->next_keep = c->next_foreign = 0;
    c->next_queued = 0;
    c->phase = COMPACT_BARRIER;
    return STATUS_OK;
}

static void wake(void *arg)
{
    struct store *s = arg;

    if (s->conf.wake)
        s->conf.wake(s->conf.arg);
}

static enum status barrier(struct compact *c)
{
    if (c->store->changes.applied < c->barrier)
        return STATUS_BUSY;
    TRY(log_scan_begin(c->store->log, c->segment, &c->scan, wake, c->store));
    c->phase = COMPACT_SCAN;
    return STATUS_OK;
}

/* `arg` of a scan's records is what was given for wake(). */
static enum status each(void *arg, const struct log_record *r)
{
    return scan_record(((struct store *)arg)->compact, r);
}

static enum status scan(struct compact *c)
{
    enum status status = log_scan_step(c->scan, SCAN_BYTES, each);

    if (status == STATUS_LIMIT)
        return STATUS_LIMIT;
    TRY(status);
    log_scan_end(c->scan);
    c->scan = NULL;
    for (uint32_t i = 0; i < c->store->straddle_count; i++) {
        const struct straddle *t = &c->store->straddles[i];

        if (t->segment == c->segment && PLACE_SEGMENT(t->message) != c->segment &&
            !items_add(&c->foreign, t->message, RECORD_MESSAGE))
            return STATUS_NO_MEMORY;
    }
    c->phase = COMPACT_FOREIGN;
    return STATUS_OK;
}

/* Messages elsewhere whose chunks are here: who owns them? One whose segment has been
 * retired has been moved before. */
static enum status foreign(struct compact *c)
{
    struct mover *m = &c->movers[0];

    for (; c->next_foreign < c->foreign.count; c->next_foreign++) {
        uint64_t place = c->foreign.at[c->next_foreign].place;
        const struct log_record *record;
        enum status status = mover_fetch(m, place, &record);

        if (status == STATUS_NOT_FOUND)
            continue;
        TRY(status);
        TRY(owners_of_message(c, record));
        mover_done(m, place);
    }
    owners_sort(c);
    c->phase = COMPACT_FANOUTS;
    return STATUS_OK;
}

static enum status fanout_move(struct compact *c, struct fanout *f)
{
    struct item *item = compact_body(c, f->body);
    struct rec_fanout head = {.version = RECORDS_VERSION,
        .rest_bytes = f->rest_bytes,
        .id = f->id,
        .body = f->body};
    struct slice pieces[] = {
        slice_of((const char *)&head, sizeof head), slice_of(f->rest, f->rest_bytes)};

    if (item) {
        TRY(move_body(&c->movers[0], item));
        head.body = item->moved;
    }
    TRY(record_add(c->store, LOG_SHRINK, RECORD_FANOUT, 0, pieces, 2, 0, &f->record));
    f->body = head.body;
    return STATUS_OK;
}

/* Deliveries to other shards that are not finished name a body, too. */
static enum status fanouts(struct compact *c)
{
    list_each(link, &c->store->fanouts) {
        struct fanout *f = container_of(link, struct fanout, link);

        if (compact_body(c, f->body) || PLACE_SEGMENT(f->record) == c->segment)
            TRY(fanout_move(c, f));
    }
    move_drop(&c->movers[0]);
    c->phase = COMPACT_QUEUE;
    return STATUS_OK;
}

static enum status queued_move(struct compact *c, struct queued *q)
{
    struct item *item = compact_body(c, q->body);
    bool here = PLACE_SEGMENT(q->body) == c->segment;

    if (!item && here)
        return STATUS_CORRUPT;
    if (!item && PLACE_SEGMENT(q->record) != c->segment &&
        PLACE_SEGMENT(q->state_record) != c->segment)
        return STATUS_OK;
    if (item)
        TRY(move_body(&c->movers[0], item));
    return queue_rewrite(c->store, q, item ? item->moved : q->body);
}

/* Entries of the queue. What they name now was there when the segment was chosen, or has
 * been moved with a fan-out. */
static enum status queue(struct compact *c)
{
    const struct queue_table *table = &c->store->queue;
    struct queued *q = queued_after(table, c->next_queued);

    for (int budget = BUDGET; q; q = q->next[0]) {
        if (budget-- <= 0)
            return STATUS_LIMIT;
        TRY(queued_move(c, q));
        c->next_queued = q->id;
    }
    move_drop(&c->movers[0]);
    c->phase = COMPACT_USERS;
    return STATUS_OK;
}

static bool next_owner(struct compact *c, struct mover *m)
{
    struct owner o;

    if (c->next_owner >= c->owners.len)
        return false;
    memcpy(&o, c->owners.at + c->next_owner, sizeof o);
    c->next_owner += sizeof o;
    m->owner = o;
    m->phase = MOVER_LOAD;
    m->at = 0;
    return true;
}

static enum status users(struct compact *c)
{
    int budget = BUDGET;
    bool busy = false;

    for (unsigned i = 0; i < MOVERS && budget > 0; i++) {
        struct mover *m = &c->movers[i];
        enum status status = STATUS_OK;

        while (status == STATUS_OK && budget > 0 &&
            (m->phase != MOVER_FREE || next_owner(c, m)))
            status = mover_step(m, &budget);
        if (status != STATUS_OK && status != STATUS_BUSY)
            return status;
        busy |= m->phase != MOVER_FREE;
    }
    if (budget <= 0)
        return STATUS_LIMIT;
    if (busy)
        return STATUS_BUSY;
    c->phase = COMPACT_KEEP;
    return STATUS_OK;
}

static enum status put_counters(struct store *s)
{
    struct recent_ids *r = &s->recent;
    uint32_t count = r->count < 4096 ? r->count : 4096;
    struct rec_counters head = {.version = RECORDS_VERSION,
        .uid_validity = s->uid_validity,
        .next_user = s->next_user,
        .fanout_count = count};
    struct bytes *b = &s->scratch;
    struct slice payload;
    uint64_t place;

    bytes_clear(b);
    bytes_put(b, &head, sizeof head);
    for (uint32_t i = count; i; i--)
        bytes_put(
            b, &r->ring[(r->next + FANOUT_RECENT - i) % FANOUT_RECENT], sizeof(uint64_t));
    bytes_put(b, &s->next_queue, sizeof s->next_queue);
    if (b->failed)
        return STATUS_NO_MEMORY;
    payload = bytes_slice(b);
    return record_add(s, LOG_SHRINK, RECORD_UIDVALIDITY, 0, &payload, 1, 0, &place);
}

static void on_settled(struct store_op *op, enum status status)
{
    struct compact *c = container_of(op, struct compact, settled);

    if (status != STATUS_OK)
        c->failing = true;
    else if (!c->failing)
        retire(c);
}

/* Tombstones, and the counters. */
static enum status keep(struct compact *c)
{
    struct store *s = c->store;

    while (c->next_keep < c->keeps.len) {
        struct keep k;
        struct slice payload;
        uint64_t place;

        memcpy(&k, c->keeps.at + c->next_keep, sizeof k);
        payload = slice_of(c->keeps.at + c->next_keep + sizeof k, k.bytes);
        TRY(record_add(
            s, LOG_SHRINK, (enum record_kind)k.kind, 0, &payload, 1, k.seq, &place));
        c->next_keep += sizeof k + k.bytes;
    }
    if (c->adoption)
        TRY(adopted_put(s, &c->adopted_at));
    TRY(put_counters(s));
    c->settled = (struct store_op){.done = on_settled};
    TRY(change_mark(s, &c->settled));
    c->settled.pending = true;
    c->phase = COMPACT_SETTLE;
    return STATUS_OK;
}

/* OK: go on at once. LIMIT: in the next turn. BUSY: when something has happened. */
static enum status step(struct compact *c)
{
    switch (c->phase) {
    case COMPACT_IDLE:
        return begin(c);
    case COMPACT_BARRIER:
        return barrier(c);
    case COMPACT_SCAN:
        return scan(c);
    case COMPACT_FOREIGN:
        return foreign(c);
    case COMPACT_FANOUTS:
        return fanouts(c);
    case COMPACT_QUEUE:
        return queue(c);
    case COMPACT_USERS:
        return users(c);
    case COMPACT_KEEP:
        return keep(c);
    case COMPACT_SETTLE:
        break;
    }
    return STATUS_BUSY;
}

bool compact_step(struct store *s)
{
    struct compact *c = s->compact;
    enum status status;

    if (!c && !s->turning)
        return true;
    if (!c) {
        c = s->compact = calloc(1, sizeof *c);
        if (!c)
            return true;
        c->store = s;
        clear(c);
    }
    if (c->phase != COMPACT_IDLE && !store_writable(s))
        c->failing = true;
    if (c->failing) {
        if (stop_movers(c))
            clear(c);
        return true;
    }
    c->left = MOVE_BYTES;
    status = step(c);
    if (status == STATUS_OK || status == STATUS_LIMIT)
        return false;
    if (status != STATUS_BUSY)
        give_up(c, status);
    return true;
}

bool compact_idle(const struct store *s)
{
    return !s->compact || s->compact->phase == COMPACT_IDLE;
}

void compact_free(struct store *s)
{
    if (!s->compact)
        return;
    CHECK(compact_idle(s));
    clear(s->compact);
    free(s->compact);
    s->compact = NULL;
}
