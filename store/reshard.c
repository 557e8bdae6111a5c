/* Users, record by record, and where their mail is.
 *
 * The segments that hold a user's messages are adopted, or the messages copied; then he
 * is built in memory from what the old store knows and folded: his USER_STATE is the
 * first record of his new chain. */
#include "store/reshard_state.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    FOLDS_FLYING = 32, /* users whose state is on its way */
    MAP_MIN = 1024,
    REST_TURNS = 10000, /* in which a store comes to rest */
    PROGRESS_MESSAGES = 256,
};

/* Places in the old store and in the new one: a hash table, at most half full. */
struct map {
    struct {
        uint64_t from, to;
    } * at;
    size_t count, cap;
};

struct work {
    struct reshard *r;
    struct store *from, *to;
    unsigned index;     /* of `from` */
    struct freed *live; /* of adopted segments of all old stores */
    struct map own;     /* what only the user in hand may name */
    struct map shared;  /* what others may name as well */
    struct bytes payload;
};

/* --- what is wrong -------------------------------------------------------- */

enum status reshard_say(struct reshard *r, enum status status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    return status;
}

enum status reshard_say_message(struct reshard *r, enum status status,
    const struct mailbox *m, uint32_t uid, const char *what)
{
    const struct head *head = m->user->head;

    return reshard_say(r, status, "%.*s, mailbox %.*s, UID %u: %s", head->name_bytes,
        head->name, m->name_bytes, m->name, uid, what);
}

/* --- waiting -------------------------------------------------------------- */

static void on_nothing(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    op->res = res;
}

/* A question that the disk answers at once with no: whatever lands before the answer is
 * run as well. */
void reshard_turn(struct store *s)
{
    struct disk_op op = {0};

    store_turn(s, s->now_s);
    disk_open(s->disk, &op, on_nothing, "nothing");
    disk_wait(s->disk, &op);
}

static void on_fetched(struct log_read *read, enum status status)
{
    struct fetched *f = container_of(read, struct fetched, read);

    f->landed = true;
    f->status = status;
}

enum status fetch(struct store *s, struct fetched *f, uint64_t place, uint32_t hint)
{
    f->landed = false;
    if (log_read(s->log, &f->read, place, hint, on_fetched))
        return STATUS_OK;
    while (!f->landed)
        if (f->read.io.op.op.pending)
            disk_wait(s->disk, &f->read.io.op);
        else
            reshard_turn(s);
    return f->status == STATUS_NOT_FOUND ? STATUS_CORRUPT : f->status;
}

struct waited {
    struct user_open open;
    enum status status;
};

static void on_open(struct store_op *op, enum status status)
{
    container_of(op, struct waited, open.op)->status = status;
}

static enum status fetch_contents(struct reshard *r, struct store *s, struct user *u)
{
    for (unsigned i = 0; i < u->id_count; i++) {
        struct mailbox *m = u->ids[i];
        enum status status;

        while ((status = content_need(m, NULL)) == STATUS_BUSY)
            reshard_turn(s);
        if (status != STATUS_OK)
            return reshard_say(r, status, "%.*s, mailbox %.*s: can't be read",
                u->head->name_bytes, u->head->name, m->name_bytes, m->name);
    }
    return STATUS_OK;
}

enum status fetch_user(
    struct reshard *r, struct store *s, struct slice name, struct user **user)
{
    struct waited w = {.open = {.op = {.done = on_open}, .name = name}};
    enum status status;

    user_open(s, &w.open);
    while (w.open.op.pending)
        reshard_turn(s);
    if (w.status != STATUS_OK)
        return reshard_say(
            r, w.status, "%.*s: the account can't be read", (int)name.len, name.at);
    status = fetch_contents(r, s, w.open.user);
    if (status != STATUS_OK)
        user_close(w.open.user);
    *user = w.open.user;
    return status;
}

/* --- places --------------------------------------------------------------- */

static size_t map_slot(const struct map *m, uint64_t place)
{
    size_t at = (size_t)((place * 0x9e3779b97f4a7c15u) >> 20) & (m->cap - 1);

    while (m->at[at].from && m->at[at].from != place)
        at = (at + 1) & (m->cap - 1);
    return at;
}

static uint64_t map_find(const struct map *m, uint64_t place)
{
    return m->cap ? m->at[map_slot(m, place)].to : 0;
}

static void map_free(struct map *m)
{
    free(m->at);
    *m = (struct map){0};
}

static bool map_grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? 2 * m->cap : MAP_MIN, .count = m->count};

    bigger.at = calloc(bigger.cap, sizeof *bigger.at);
    if (!bigger.at)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->at[i].from)
            bigger.at[map_slot(&bigger, m->at[i].from)] = m->at[i];
    free(m->at);
    *m = bigger;
    return true;
}

static bool map_put(struct map *m, uint64_t from, uint64_t to)
{
    size_t at;

    if (2 * m->count >= m->cap && !map_grow(m))
        return false;
    at = map_slot(m, from);
    m->at[at].from = from;
    m->at[at].to = to;
    m->count++;
    return true;
}

/* --- records --------------------------------------------------------------- */

static enum status add(
    struct store *to, enum record_kind kind, struct slice payload, uint64_t *place)
{
    enum status status;

    while ((status = record_add(to, LOG_GROW, kind, 0, &payload, 1, 0, place)) ==
        STATUS_BUSY)
        reshard_turn(to);
    return status;
}

/* Until its message is there, compaction would take a chunk for dead. */
static enum status copy_chunk(struct work *w, struct rec_part *part)
{
    struct fetched f;
    enum status status;
    uint64_t place;

    TRY(fetch(
        w->from, &f, part->place, part->bytes + (uint32_t)sizeof(struct rec_chunk)));
    status = f.read.record.kind != RECORD_CHUNK ? STATUS_CORRUPT
        : upload_reserve(w->to) ? add(w->to, RECORD_CHUNK, f.read.record.payload, &place)
                                : STATUS_NO_MEMORY;
    fetch_end(&f);
    TRY(status);
    upload_add(w->to, place);
    part->place = place;
    return STATUS_OK;
}

/* The parts of the message in w->payload, which is changed. */
static enum status copy_parts(struct work *w, const struct message_read *m)
{
    struct rec_part *parts = (struct rec_part *)m->parts;

    for (uint32_t i = 0; i < m->fixed.chunk_count; i++)
        TRY(copy_chunk(w, &parts[i]));
    return STATUS_OK;
}

static void forget_parts(struct work *w, const struct message_read *m)
{
    for (uint32_t i = 0; i < m->fixed.chunk_count; i++)
        store_chunk_drop(w->to, m->parts[i].place);
}

/* The record of this place, its payload copied into w->payload. */
static enum status take(struct work *w, uint64_t place, enum record_kind kind)
{
    struct fetched f;
    bool right;

    TRY(fetch(w->from, &f, place, 0));
    bytes_clear(&w->payload);
    right = f.read.record.kind == kind;
    bytes_put_slice(&w->payload, f.read.record.payload);
    fetch_end(&f);
    if (!right)
        return STATUS_CORRUPT;
    return w->payload.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status put(struct work *w, enum record_kind kind, uint64_t *place)
{
    struct log_record r = {.kind = kind, .payload = bytes_slice(&w->payload)};

    TRY(add(w->to, kind, r.payload, place));
    r.place = *place;
    return store_note(w->to, &r);
}

typedef enum status copy_fn(
    struct work *w, uint64_t place, uint64_t *copy, uint32_t *owners);

static enum status copy_message(
    struct work *w, uint64_t place, uint64_t *copy, uint32_t *owners)
{
    struct message_read m;

    TRY(take(w, place, RECORD_MESSAGE));
    if (!message_read(bytes_slice(&w->payload), &m))
        return STATUS_CORRUPT;
    *owners = m.fixed.owner_count;
    TRY(copy_parts(w, &m));
    TRY(put(w, RECORD_MESSAGE, copy));
    forget_parts(w, &m);
    return STATUS_OK;
}

static enum status copy_summaries(
    struct work *w, uint64_t place, uint64_t *copy, uint32_t *owners)
{
    struct summaries_read s;

    TRY(take(w, place, RECORD_SUMMARY));
    if (!summaries_read(bytes_slice(&w->payload), &s))
        return STATUS_CORRUPT;
    *owners = s.fixed.owner_count;
    return put(w, RECORD_SUMMARY, copy);
}

/* Where the record is in the new store; copied when it is not there yet. */
static enum status copy_once(
    struct work *w, uint64_t place, copy_fn *copy, uint64_t *where)
{
    uint32_t owners;

    *where = 0;
    if (place == 0)
        return STATUS_OK;
    *where = map_find(&w->own, place);
    if (!*where)
        *where = map_find(&w->shared, place);
    if (*where)
        return STATUS_OK;
    TRY(copy(w, place, where, &owners));
    return map_put(owners > 1 ? &w->shared : &w->own, place, *where) ? STATUS_OK
                                                                     : STATUS_NO_MEMORY;
}

/* --- what stays where it is ------------------------------------------------- */

/* OK: what `to` names in this segment is there. INVALID: it can't be. */
static enum status adopt_segment(struct work *w, uint32_t number)
{
    struct log_adopted segment;
    enum status status;

    if (!w->r->adopt || log_adoptable(w->from->log, number, &segment) != STATUS_OK)
        return STATUS_INVALID;
    status = log_adopt(w->to->log, &segment);
    if (status == STATUS_OK)
        return w->r->adopt(w->r->arg, w->index, number);
    return status == STATUS_EXISTS ? STATUS_OK : status;
}

/* The message, with chunks of it that are in other segments. */
static enum status adopt_message(struct work *w, uint64_t place)
{
    unsigned count, known;
    const struct straddle *t = straddle_find(w->from, place, &count);

    TRY(adopt_segment(w, PLACE_SEGMENT(place)));
    for (unsigned i = 0; i < count; i++)
        TRY(adopt_segment(w, t[i].segment));
    if (count == 0 || straddle_find(w->to, place, &known))
        return STATUS_OK;
    if (!straddle_reserve(w->to, count))
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < count; i++)
        straddle_add(w->to, place, t[i].segment, t[i].bytes);
    return STATUS_OK;
}

static enum status adopt_entry(struct work *w, const struct packed_entry *e)
{
    if (e->summary)
        TRY(adopt_segment(w, PLACE_SEGMENT(e->summary)));
    TRY(adopt_message(w, e->body));
    freed_add_entry(w->from, w->live, e);
    return STATUS_OK;
}

/* --- mailboxes -------------------------------------------------------------- */

static bool copy_keywords(struct keywords *to, const struct keywords *from)
{
    for (unsigned i = 0; i < from->shown; i++)
        if (keyword_intern(to, from->at[i]) != (int)i)
            return false;
    to->shown = to->count;
    return keyword_sets_take(
        to, slice_of((const char *)from->sets, from->set_count * sizeof *from->sets));
}

static enum status copy_places(
    struct work *w, struct packed_entry *to, const struct packed_entry *from)
{
    uint64_t body, summary;

    TRY(copy_once(w, from->body, copy_message, &body));
    TRY(copy_once(w, from->summary, copy_summaries, &summary));
    to->body = body;
    to->summary = summary;
    return STATUS_OK;
}

static enum status copy_entry(
    struct work *w, struct mailbox *to, const struct packed_entry *e)
{
    struct packed_entry moved = *e;
    enum status status = adopt_entry(w, e);

    if (status == STATUS_INVALID)
        status = copy_places(w, &moved, e);
    TRY(status);
    moved.doomed = 0;
    segments_add(&to->segments, moved.body);
    segments_add(&to->segments, moved.summary);
    return content_append(to->content, &moved) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status copy_content(
    struct work *w, struct mailbox *to, const struct mailbox *from)
{
    const struct content *c = from->content;
    struct reshard *r = w->r;

    to->content = content_new(w->to);
    if (!to->content || !copy_keywords(&to->content->keywords, &c->keywords))
        return STATUS_NO_MEMORY;
    for (struct spot s = {0, 0}; s.page < c->page_count; content_next(c, &s)) {
        const struct packed_entry *e = content_get(c, s);
        enum status status = copy_entry(w, to, e);

        if (status == STATUS_CORRUPT)
            return reshard_say_message(r, status, from, e->uid, "can't be read");
        TRY(status);
        if (r->messages++ % PROGRESS_MESSAGES == 0 && r->progress)
            r->progress(r->arg);
    }
    to->content->dirty = true;
    mailbox_recount(to);
    return STATUS_OK;
}

static enum status copy_mailbox(
    struct work *w, struct user *u, const struct mailbox *from)
{
    struct mailbox *to = names_add(u, mailbox_name(from));

    if (!to)
        return STATUS_NO_MEMORY;
    to->exists = from->exists;
    to->selectable = from->selectable;
    to->subscribed = from->subscribed;
    to->use = from->use;
    u->existing += to->exists;
    if (!to->selectable)
        return STATUS_OK;
    to->id = from->id;
    to->uid_validity = from->uid_validity;
    to->uid_next = to->uid_pending = from->uid_next;
    to->modseq = to->modseq_pending = from->modseq;
    to->flags_modseq = from->flags_modseq;
    to->recent_uid = from->recent_uid;
    ids_add(u, to);
    return copy_content(w, to, from);
}

/* --- users ------------------------------------------------------------------ */

static struct head *copy_head(struct store *to, const struct head *from)
{
    struct head *head = heads_add(&to->heads, from->id, head_name(from));

    if (!head)
        return NULL;
    heads_name(&to->heads, head);
    head->modseq = from->modseq;
    head->bytes = from->bytes;
    head->uid_validity = from->uid_validity;
    head->uid_next = from->uid_next;
    return head;
}

static enum status copy_mailboxes(
    struct work *w, struct user *to, const struct user *from)
{
    for (unsigned i = 0; i < from->name_count; i++)
        TRY(copy_mailbox(w, to, from->names[i]));
    to->next_mailbox = from->next_mailbox;
    to->bytes = from->bytes;
    return fold_begin(to, 0, NULL);
}

static enum status copy_user(struct work *w, const struct head *old)
{
    struct head *head;
    struct user *from = NULL, *to;
    enum status status;

    if (heads_find(&w->to->heads, head_name(old)))
        return reshard_say(w->r, STATUS_EXISTS, "%.*s: two shards have the account",
            old->name_bytes, old->name);
    TRY(fetch_user(w->r, w->from, head_name(old), &from));
    CHECK(from);
    head = copy_head(w->to, old);
    to = head ? user_new(w->to, head) : NULL;
    status = STATUS_NO_MEMORY;
    if (to) {
        to->loading = false;
        user_pin(to);
        status = copy_mailboxes(w, to, from);
        user_unpin(to);
    }
    user_close(from);
    map_free(&w->own);
    return status;
}

/* States may only fail for want of room: the head then has none. */
static enum status await_folds(struct store *to, unsigned left)
{
    while (to->fold_count > left)
        reshard_turn(to);
    return to->failed ? STATUS_READ_ONLY : STATUS_OK;
}

static enum status check_states(struct reshard *r)
{
    struct heads *h = &r->to->heads;

    for (uint32_t i = 0; i < h->slots; i++) {
        const struct head *head = heads_at(h, i);
        enum status health = log_health(r->to->log);

        if (head && !head->state)
            return health == STATUS_OK ? STATUS_IO : health;
    }
    return STATUS_OK;
}

static enum status copy_users(struct work *w)
{
    struct heads *h = &w->from->heads;

    for (uint32_t i = 0; i < h->slots; i++) {
        const struct head *head = heads_at(h, i);

        if (!head || head->flags & HEAD_REMOVED ||
            !w->r->wanted(w->r->arg, head_name(head)))
            continue;
        TRY(copy_user(w, head));
        TRY(await_folds(w->to, FOLDS_FLYING));
        w->r->users++;
        if (w->r->progress)
            w->r->progress(w->r->arg);
    }
    return STATUS_OK;
}

/* --- the queue ----------------------------------------------------------------- */

/* Where its message is in the new store. */
static enum status bring_body(struct work *w, const struct queued *q, uint64_t *body)
{
    enum status status = adopt_message(w, q->body);

    *body = q->body;
    if (status == STATUS_INVALID)
        return copy_once(w, q->body, copy_message, body);
    if (status == STATUS_OK)
        freed_add_body(w->from, w->live, q->body, q->size, q->share);
    return status;
}

static enum status copy_queued(struct work *w, const struct queued *q)
{
    struct rec_queue_added fixed = {.version = RECORDS_VERSION,
        .share = q->share,
        .size = q->size,
        .envelope_bytes = q->envelope_bytes,
        .state_bytes = q->state_bytes,
        .id = q->id};
    uint64_t body, place;

    TRY(bring_body(w, q, &body));
    fixed.body = body;
    bytes_clear(&w->payload);
    bytes_put(&w->payload, &fixed, sizeof fixed);
    bytes_put_slice(&w->payload, queued_envelope(q));
    bytes_put_slice(&w->payload, queued_state(q));
    return w->payload.failed ? STATUS_NO_MEMORY : put(w, RECORD_QUEUE_ADDED, &place);
}

static enum status copy_queue(struct work *w)
{
    struct reshard *r = w->r;
    const struct queued *q = queued_after(&w->from->queue, 0);

    for (; q; q = q->next[0]) {
        enum status status;

        if (r->wanted_queued && !r->wanted_queued(r->arg, q->id))
            continue;
        if (queued_find(&w->to->queue, q->id))
            return reshard_say(r, STATUS_EXISTS, "queue entry %llx: two shards have it",
                (unsigned long long)q->id);
        status = copy_queued(w, q);
        if (status != STATUS_OK)
            return reshard_say(r, status, "queue entry %llx: %s",
                (unsigned long long)q->id, status_text(status));
        if (r->queued++ % PROGRESS_MESSAGES == 0 && r->progress)
            r->progress(r->arg);
    }
    return STATUS_OK;
}

/* No account of the new shard may be given a UIDVALIDITY that was given in an old one. */
static enum status put_counters(struct reshard *r)
{
    struct rec_counters c = {.version = RECORDS_VERSION, .next_user = r->to->next_user};
    uint64_t place;

    for (unsigned i = 0; i < r->from_count; i++)
        if (r->from[i]->uid_validity > r->to->uid_validity)
            r->to->uid_validity = r->from[i]->uid_validity;
    c.uid_validity = r->to->uid_validity;
    return add(r->to, RECORD_UIDVALIDITY, slice_of((const char *)&c, sizeof c), &place);
}

static enum status adopt_end(struct store *to, const struct freed *live)
{
    const struct rec_freed *at = (const void *)live->bytes.at;
    struct adopted_at how_far = {0};
    enum status status;

    for (uint32_t i = 0; i < freed_count(live); i++)
        log_live_is(to->log, at[i].segment, at[i].bytes);
    while ((status = adopted_put(to, &how_far)) == STATUS_BUSY)
        reshard_turn(to);
    while (status == STATUS_OK && (status = log_adopt_end(to->log)) == STATUS_BUSY)
        reshard_turn(to);
    return status;
}

static enum status copy_from(struct reshard *r, unsigned i, struct freed *live)
{
    struct work w = {.r = r, .from = r->from[i], .to = r->to, .index = i, .live = live};
    enum status status;

    w.from->stopping = true; /* nothing is changed, compacted or folded there */
    w.to->summary_bytes = w.from->summary_bytes;
    log_number_above(w.to->log, log_last_seq(w.from->log));
    status = copy_users(&w);
    if (status == STATUS_OK)
        status = copy_queue(&w);
    map_free(&w.own);
    map_free(&w.shared);
    bytes_free(&w.payload);
    return status;
}

enum status reshard_copy(struct reshard *r)
{
    enum status status = put_counters(r);
    struct freed live = {0};

    for (unsigned i = 0; i < r->from_count && status == STATUS_OK; i++)
        status = copy_from(r, i, &live);
    if (status == STATUS_OK)
        status = adopt_end(r->to, &live);
    if (status == STATUS_OK)
        status = await_folds(r->to, 0);
    if (status == STATUS_OK)
        status = check_states(r);
    bytes_free(&live.bytes);
    if (status != STATUS_OK && !r->why[0])
        status = reshard_say(r, status, "%s", status_text(status));
    return status;
}

/* --- what it will take ---------------------------------------------------------- */

uint32_t reshard_segments_from(struct store *const *from, unsigned count)
{
    uint32_t end = 1;

    for (unsigned i = 0; i < count; i++)
        if (log_numbers_end(from[i]->log) > end)
            end = log_numbers_end(from[i]->log);
    return end;
}

/* Has another store a different segment of this number? */
static bool is_taken(
    struct store *const *before, unsigned count, const struct log_adopted *segment)
{
    struct log_adopted other;

    for (unsigned i = 0; i < count; i++)
        if (log_adoptable(before[i]->log, segment->number, &other) == STATUS_OK &&
            (other.shard != segment->shard || other.epoch != segment->epoch))
            return true;
    return false;
}

uint64_t reshard_copied_bytes(struct store *const *from, unsigned count)
{
    struct log_segment_info info;
    struct log_adopted segment;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; log_segment_at(from[i]->log, k, &info); k++)
            if (log_adoptable(from[i]->log, info.number, &segment) == STATUS_OK &&
                is_taken(from, i, &segment))
                bytes += info.live_bytes;
    return bytes;
}

/* --- opening and closing ------------------------------------------------------ */

void reshard_conf(struct store_conf *conf)
{
    conf->compact_percent = STORE_COMPACT_NEVER;
    conf->checkpoint_bytes = UINT64_MAX;
    conf->recent_bytes = 8 << 20;
    conf->index_bytes = 32 << 20;
}

struct stopped {
    struct store_op op;
    enum status status;
};

static void on_stopped(struct store_op *op, enum status status)
{
    container_of(op, struct stopped, op)->status = status;
}

void reshard_close(struct store *s)
{
    s->stopping = true;
    for (int i = 0; i < REST_TURNS; i++) {
        if (log_idle(s->log) && changes_idle(s) && s->fold_count == 0)
            break;
        reshard_turn(s);
    }
    store_close(s);
}

enum status reshard_finish(struct store *to)
{
    struct stopped w = {.op = {.done = on_stopped}};

    store_stop(to, &w.op);
    while (w.op.pending)
        reshard_turn(to);
    reshard_close(to);
    return w.status;
}
