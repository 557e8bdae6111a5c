/* The heads, the counters and the small tables, so that a start reads only the tail.
 *
 * The pieces are written while the store works. Each head carries the number of the last
 * record it reflects, and a replay passes over what a head has already; the other tables
 * take a record twice without harm. A head may reflect records that are not durable yet:
 * the checkpoint is ended only when they are. */
#include "store/compact.h"

enum {
    PIECE_HEADS = 512,       /* in one piece */
    PIECE_BYTES = 64 << 10,  /* of the other tables */
    PIECE_QUEUED = 2048,     /* entries of the queue looked at for one piece of states */
    DUE_TURNS = 64,          /* between two looks at the segments */
    HEAD_BYTES_TYPICAL = 90, /* of a head in a checkpoint, rather too few */
    HEADS_AHEAD = 16,        /* looked at ahead of the one that is taken */
};

enum piece_kind {
    PIECE_COUNTERS = 1,
    PIECE_HEAD_LIST = 2,
    PIECE_STRADDLES = 3,
    PIECE_FANOUT = 4,
    PIECE_RECENT = 5,
    PIECE_QUEUE_NEXT = 6, /* these from version 3 on */
    PIECE_QUEUE = 7,
    PIECE_QUEUE_STATES = 8,
};

struct PACKED piece_header {
    uint8_t version, kind;
    uint16_t reserved;
    uint32_t count;
};

struct PACKED piece_counters {
    uint32_t uid_validity;
    uint64_t next_user;
};

struct PACKED piece_head {
    uint64_t id, last, seq, state, applied_seq, modseq, bytes;
    uint32_t uid_validity, uid_next;
    uint16_t chain, name_bytes; /* of the name that follows at once */
};

struct PACKED piece_straddle {
    uint64_t message;
    uint32_t segment, bytes;
};

/* Of entries of the queue; the envelope, or the state, follows at once. */
struct PACKED piece_queued {
    uint64_t id, body, record;
    uint32_t record_span, size, envelope_bytes;
    uint8_t share, reserved[3];
};

struct PACKED piece_queue_state {
    uint64_t id, record; /* 0: the entry's own record says it */
    uint32_t span, bytes;
};

static_assert(sizeof(struct piece_header) == 8, "disk format");
static_assert(sizeof(struct piece_counters) == 12, "disk format");
static_assert(sizeof(struct piece_head) == 68, "disk format");
static_assert(sizeof(struct piece_straddle) == 16, "disk format");
static_assert(sizeof(struct piece_queued) == 40, "disk format");
static_assert(sizeof(struct piece_queue_state) == 24, "disk format");
static_assert(sizeof(struct piece_header) + sizeof(struct piece_queued) +
            STORE_QUEUE_ENVELOPE_MAX <=
        CHECKPOINT_PIECE_MAX,
    "an envelope fits into a piece");
static_assert(sizeof(struct piece_header) + sizeof(struct piece_queue_state) +
            STORE_QUEUE_STATE_MAX <=
        CHECKPOINT_PIECE_MAX,
    "a state fits into a piece");

enum phase {
    COUNTERS,
    HEADS,
    STRADDLES,
    FANOUTS,
    RECENT,
    QUEUE_NEXT,
    QUEUE,
    QUEUE_STATES,
    DURABLE,
    ENDING
};

struct checkpoint {
    struct store *store;
    enum phase phase;
    uint64_t at;      /* in the table of this phase; of the queue: the last number */
    uint64_t barrier; /* changes that must be durable */
    struct bytes piece;
    uint64_t next; /* `at` after the piece */
    bool ready;    /* the piece waits to be taken */
    struct log_waiter waiter;
};

/* --- writing --------------------------------------------------------------------------
 */

static void piece_begin(struct checkpoint *c, enum piece_kind kind)
{
    struct piece_header h = {.version = RECORDS_VERSION, .kind = (uint8_t)kind};

    bytes_clear(&c->piece);
    bytes_put(&c->piece, &h, sizeof h);
    c->next = c->at;
}

static void piece_end(struct checkpoint *c, uint32_t count)
{
    if (!c->piece.failed)
        memcpy(c->piece.at + offsetof(struct piece_header, count), &count, sizeof count);
    c->ready = count > 0;
}

static void put_counters(struct checkpoint *c)
{
    struct piece_counters p = {c->store->uid_validity, c->store->next_user};

    piece_begin(c, PIECE_COUNTERS);
    bytes_put(&c->piece, &p, sizeof p);
    c->next = 1;
    piece_end(c, 1);
}

static void put_head(struct bytes *b, const struct head *head)
{
    struct piece_head p = {.id = head->id,
        .last = head->last,
        .seq = head->seq,
        .state = head->state,
        .applied_seq = head->applied_seq,
        .modseq = head->modseq,
        .bytes = head->bytes,
        .uid_validity = head->uid_validity,
        .uid_next = head->uid_next,
        .chain = head->chain,
        .name_bytes = head->name_bytes};

    bytes_put(b, &p, sizeof p);
    bytes_put_slice(b, head_name(head));
}

static void put_heads(struct checkpoint *c)
{
    struct heads *h = &c->store->heads;
    uint32_t count = 0;

    piece_begin(c, PIECE_HEAD_LIST);
    while (c->next < h->slots && count < PIECE_HEADS) {
        const struct head *head = heads_at(h, (uint32_t)c->next++);

        if (!head || head->flags & (HEAD_NEW | HEAD_REMOVED))
            continue;
        put_head(&c->piece, head);
        count++;
    }
    piece_end(c, count);
}

static void put_straddles(struct checkpoint *c)
{
    const struct store *s = c->store;
    uint32_t count = 0;

    piece_begin(c, PIECE_STRADDLES);
    for (; c->next < s->straddle_count && c->piece.len < PIECE_BYTES; count++) {
        const struct straddle *t = &s->straddles[c->next++];
        struct piece_straddle p = {t->message, t->segment, t->bytes};

        bytes_put(&c->piece, &p, sizeof p);
    }
    piece_end(c, count);
}

/* One fan-out a piece: its rest may be long. */
static void put_fanout(struct checkpoint *c)
{
    uint32_t i = 0;

    piece_begin(c, PIECE_FANOUT);
    c->next++;
    list_each(link, &c->store->fanouts) {
        const struct fanout *f = container_of(link, struct fanout, link);
        struct rec_fanout r = {.version = RECORDS_VERSION,
            .rest_bytes = f->rest_bytes,
            .id = f->id,
            .body = f->body};

        if (i++ != c->at)
            continue;
        bytes_put(&c->piece, &f->record, sizeof f->record);
        bytes_put(&c->piece, &r, sizeof r);
        bytes_put(&c->piece, f->rest, f->rest_bytes);
        piece_end(c, 1);
        return;
    }
    piece_end(c, 0);
}

static void put_recent(struct checkpoint *c)
{
    const struct recent_ids *r = &c->store->recent;
    uint32_t count = 0, first = r->count == FANOUT_RECENT ? r->next : 0;

    piece_begin(c, PIECE_RECENT);
    for (; c->next < r->count && c->piece.len < PIECE_BYTES; count++)
        bytes_put(
            &c->piece, &r->ring[(first + c->next++) % FANOUT_RECENT], sizeof(uint64_t));
    piece_end(c, count);
}

static void put_queue_next(struct checkpoint *c)
{
    piece_begin(c, PIECE_QUEUE_NEXT);
    bytes_put(&c->piece, &c->store->next_queue, sizeof c->store->next_queue);
    c->next = 1;
    piece_end(c, 1);
}

/* Has the piece room for an item of so many bytes? One always fits. */
static bool fits(const struct checkpoint *c, uint32_t count, size_t bytes)
{
    return count == 0 || c->piece.len + bytes <= PIECE_BYTES;
}

static void put_queue(struct checkpoint *c)
{
    const struct queued *q = queued_after(&c->store->queue, c->at);
    uint32_t count = 0;

    piece_begin(c, PIECE_QUEUE);
    for (; q && fits(c, count, sizeof(struct piece_queued) + q->envelope_bytes);
         count++) {
        struct piece_queued p = {.id = q->id,
            .body = q->body,
            .record = q->record,
            .record_span = q->record_span,
            .size = q->size,
            .envelope_bytes = q->envelope_bytes,
            .share = q->share};

        bytes_put(&c->piece, &p, sizeof p);
        bytes_put_slice(&c->piece, queued_envelope(q));
        c->next = q->id;
        q = q->next[0];
    }
    piece_end(c, count);
}

static void put_queue_states(struct checkpoint *c)
{
    const struct queued *q = queued_after(&c->store->queue, c->at);
    uint32_t count = 0;

    piece_begin(c, PIECE_QUEUE_STATES);
    for (unsigned seen = 0; q && seen < PIECE_QUEUED &&
         fits(c, count, sizeof(struct piece_queue_state) + q->state_bytes);
         seen++) {
        struct piece_queue_state p = {.id = q->id,
            .record = q->state_record,
            .span = q->state_span,
            .bytes = q->state_bytes};

        if (q->state_record || q->state_bytes) {
            bytes_put(&c->piece, &p, sizeof p);
            bytes_put_slice(&c->piece, queued_state(q));
            count++;
        }
        c->next = q->id;
        q = q->next[0];
    }
    piece_end(c, count);
}

static bool table_done(const struct checkpoint *c)
{
    const struct store *s = c->store;
    unsigned fanouts = 0;

    switch (c->phase) {
    case COUNTERS:
        return c->at == 1;
    case HEADS:
        return c->at >= s->heads.slots;
    case STRADDLES:
        return c->at >= s->straddle_count;
    case FANOUTS:
        list_each(link, &s->fanouts)
            fanouts++;
        return c->at >= fanouts;
    case RECENT:
        return c->at >= s->recent.count;
    case QUEUE_NEXT:
        return c->at == 1;
    case QUEUE:
    case QUEUE_STATES:
        return !queued_after(&s->queue, c->at);
    case DURABLE:
    case ENDING:
        break;
    }
    return true;
}

static void put_piece(struct checkpoint *c)
{
    switch (c->phase) {
    case COUNTERS:
        put_counters(c);
        break;
    case HEADS:
        put_heads(c);
        break;
    case STRADDLES:
        put_straddles(c);
        break;
    case FANOUTS:
        put_fanout(c);
        break;
    case RECENT:
        put_recent(c);
        break;
    case QUEUE_NEXT:
        put_queue_next(c);
        break;
    case QUEUE:
        put_queue(c);
        break;
    case QUEUE_STATES:
        put_queue_states(c);
        break;
    case DURABLE:
    case ENDING:
        break;
    }
}

/* --- the work --- */

static void stop_post(struct store *s, enum status status)
{
    struct store_op *op = s->stop_op;

    s->stop_op = NULL;
    if (op)
        request_post(s, op, status);
}

static void on_end(struct log_waiter *w, enum status status)
{
    struct checkpoint *c = container_of(w, struct checkpoint, waiter);
    struct store *s = c->store;

    if (status != STATUS_OK) {
        store_say(s, SAY_WARN, "checkpoint-failed", "status=\"%s\"", status_text(status));
        s->checkpoint_from_s = s->now_s + STORE_REST_S;
    }
    checkpoint_free(s);
    stop_post(s, s->failed ? STATUS_READ_ONLY : STATUS_OK);
}

void checkpoint_free(struct store *s)
{
    if (s->checkpoint)
        bytes_free(&s->checkpoint->piece);
    free(s->checkpoint);
    s->checkpoint = NULL;
}

static bool begin(struct store *s)
{
    struct checkpoint *c = calloc(1, sizeof *c);

    if (!c)
        return false;
    if (log_checkpoint_begin(s->log) != STATUS_OK) {
        free(c);
        return false;
    }
    c->store = s;
    s->checkpoint = c;
    return true;
}

static void end(struct checkpoint *c)
{
    c->phase = ENDING;
    c->waiter.done = on_end;
    log_checkpoint_end(c->store->log, &c->waiter);
}

/* One piece, or the next table. False: come back when something has happened. */
static bool step(struct checkpoint *c)
{
    struct store *s = c->store;
    enum status status;

    if (!c->ready) {
        if (table_done(c)) {
            c->phase++;
            c->at = 0;
            c->barrier = s->changes.added;
            return c->phase != DURABLE;
        }
        put_piece(c);
        if (c->piece.failed) {
            c->piece.failed = c->ready = false;
            return false; /* no memory: once more, later */
        }
        if (!c->ready) {
            c->at = c->next;
            return true;
        }
    }
    status = log_checkpoint_piece(s->log, bytes_slice(&c->piece));
    if (status == STATUS_BUSY)
        return false;
    c->ready = false;
    c->at = c->next;
    if (status != STATUS_OK)
        end(c);
    return status == STATUS_OK;
}

/* When the log has grown; and when retired segments, which wait for two checkpoints, take
 * more room than those will. */
static bool due(const struct store *s)
{
    struct log_segment_info info;
    uint64_t used = 0, retired = 0;

    if (log_since_checkpoint(s->log) >= s->conf.checkpoint_bytes)
        return true;
    if (!s->checkpoints_owed || (s->turns % DUE_TURNS && !changes_idle(s)))
        return false;
    for (unsigned i = 0; log_segment_at(s->log, i, &info); i++) {
        used += info.used_bytes;
        retired += info.retired ? info.used_bytes : 0;
    }
    return retired * 8 > used &&
        retired > (uint64_t)s->heads.count * sizeof(struct piece_head) +
            s->heads.name_bytes + s->queue.held;
}

/* Nothing is on its way any more. */
static bool quiet(struct store *s)
{
    return changes_idle(s) && list_empty(&s->waiting) && list_empty(&s->again) &&
        s->fold_count == 0 && s->loading == 0 && compact_idle(s);
}

static void stop_step(struct store *s)
{
    if (!s->stop_op || s->checkpoint || !quiet(s))
        return;
    if (s->failed || !begin(s))
        stop_post(s, s->failed ? STATUS_READ_ONLY : STATUS_NO_MEMORY);
}

bool checkpoint_step(struct store *s)
{
    struct checkpoint *c;

    stop_step(s);
    if (!s->checkpoint && !s->failed && !s->stopping &&
        !store_rests(s, s->checkpoint_from_s) && due(s) && begin(s))
        s->checkpoints_owed -= s->checkpoints_owed > 0;
    c = s->checkpoint;
    if (!c || c->phase == ENDING)
        return true;
    if (c->phase < DURABLE)
        return !step(c) && c->phase != DURABLE;
    if (s->failed || s->changes.durable >= c->barrier || changes_idle(s))
        end(c);
    return true;
}

void store_stop(struct store *s, struct store_op *op)
{
    CHECK(!s->stop_op && !op->pending);
    op->pending = true;
    list_init(&op->link);
    s->stopping = true;
    s->stop_op = op;
    if (s->conf.wake)
        s->conf.wake(s->conf.arg);
}

/* --- reading --- */

static enum status take_head(struct store *s, struct reader *in)
{
    struct piece_head p;
    struct slice name;
    struct head *head;

    reader_copy(in, &p, sizeof p);
    name = reader_take(in, p.name_bytes);
    if (in->bad)
        return STATUS_CORRUPT;
    head = heads_add(&s->heads, p.id, name);
    if (!head)
        return STATUS_NO_MEMORY;
    heads_name(&s->heads, head);
    head->last = p.last;
    head->seq = p.seq;
    head->state = p.state;
    head->applied_seq = p.applied_seq;
    head->modseq = p.modseq;
    head->bytes = p.bytes;
    head->uid_validity = p.uid_validity;
    head->uid_next = p.uid_next;
    head->chain = p.chain;
    return STATUS_OK;
}

/* The table by name is too large for any cache: what the next ones need there is on its
 * way while one is taken. */
static enum status take_heads(struct store *s, struct reader *in, uint32_t count)
{
    struct reader ahead = *in;

    for (uint32_t i = 0, seen = 0; i < count; i++) {
        for (; seen < count && seen < i + HEADS_AHEAD; seen++) {
            struct piece_head p;

            reader_copy(&ahead, &p, sizeof p);
            heads_near(&s->heads, reader_take(&ahead, p.name_bytes));
        }
        TRY(take_head(s, in));
    }
    return STATUS_OK;
}

static enum status take_straddle(struct store *s, struct reader *in)
{
    struct piece_straddle p;

    reader_copy(in, &p, sizeof p);
    if (in->bad)
        return STATUS_CORRUPT;
    if (!straddle_reserve(s, 1))
        return STATUS_NO_MEMORY;
    s->straddles[s->straddle_count++] = (struct straddle){p.message, p.segment, p.bytes};
    return STATUS_OK;
}

static enum status take_fanout(struct store *s, struct reader *in)
{
    uint64_t record;
    struct rec_fanout f;
    struct slice rest;

    reader_copy(in, &record, sizeof record);
    reader_copy(in, &f, sizeof f);
    rest = reader_take(in, f.rest_bytes);
    if (in->bad)
        return STATUS_CORRUPT;
    return fanout_open(s, f.id, f.body, record, rest);
}

static enum status take_queued(struct store *s, struct reader *in)
{
    struct piece_queued p;
    struct slice envelope;
    struct queued *q;

    reader_copy(in, &p, sizeof p);
    envelope = reader_take(in, p.envelope_bytes);
    if (in->bad || p.id == 0 || p.share > SHARE_MAX || queued_find(&s->queue, p.id))
        return STATUS_CORRUPT;
    q = queued_add(&s->queue, p.id, envelope);
    if (!q)
        return STATUS_NO_MEMORY;
    q->body = p.body;
    q->size = p.size;
    q->share = p.share;
    q->record = p.record;
    q->record_span = p.record_span;
    queued_show(&s->queue, q);
    return STATUS_OK;
}

static enum status take_queue_state(struct store *s, struct reader *in)
{
    struct piece_queue_state p;
    struct slice state;
    struct queued *q;

    reader_copy(in, &p, sizeof p);
    state = reader_take(in, p.bytes);
    if (in->bad)
        return STATUS_CORRUPT;
    q = queued_find(&s->queue, p.id);
    if (!q) /* it came after the entries were written: the log tells */
        return STATUS_OK;
    if (!queued_reserve(q, state.len))
        return STATUS_NO_MEMORY;
    q->state_record = p.record;
    q->state_span = p.span;
    queued_set_state(&s->queue, q, state);
    return STATUS_OK;
}

static enum status take_item(struct store *s, unsigned kind, struct reader *in)
{
    struct piece_counters p;
    uint64_t id;

    switch (kind) {
    case PIECE_COUNTERS:
        reader_copy(in, &p, sizeof p);
        s->uid_validity = p.uid_validity;
        s->next_user = p.next_user;
        break;
    case PIECE_STRADDLES:
        return take_straddle(s, in);
    case PIECE_FANOUT:
        return take_fanout(s, in);
    case PIECE_RECENT:
        reader_copy(in, &id, sizeof id);
        if (!in->bad)
            recent_add(&s->recent, id);
        break;
    case PIECE_QUEUE_NEXT:
        reader_copy(in, &id, sizeof id);
        if (!in->bad)
            note_queue_next(s, id);
        break;
    case PIECE_QUEUE:
        return take_queued(s, in);
    case PIECE_QUEUE_STATES:
        return take_queue_state(s, in);
    default:
        return STATUS_CORRUPT;
    }
    return in->bad ? STATUS_CORRUPT : STATUS_OK;
}

/* Most of a checkpoint is heads. Where it is not (a long queue) the tables have more room
 * than they need: a twelfth of its size at most. */
static enum status expect_heads(struct store *s, uint64_t image_bytes)
{
    return s->heads.count ? STATUS_OK
                          : heads_expect(&s->heads, image_bytes / HEAD_BYTES_TYPICAL);
}

enum status checkpoint_take(struct store *s, struct slice piece, uint64_t image_bytes)
{
    struct reader in = reader_of(piece);
    struct piece_header h;

    reader_copy(&in, &h, sizeof h);
    if (in.bad || h.version != RECORDS_VERSION)
        return STATUS_CORRUPT;
    if (h.kind == PIECE_HEAD_LIST) {
        TRY(expect_heads(s, image_bytes));
        return take_heads(s, &in, h.count);
    }
    for (uint32_t i = 0; i < h.count; i++)
        TRY(take_item(s, h.kind, &in));
    return STATUS_OK;
}
