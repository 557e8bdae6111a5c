/* Bodies, lent from the log record by record. The record of the message holds the ends of
 * a large body and the list of its chunks; the next chunk is read while one is sent. */
#include "store/index.h"

enum piece_state { PIECE_READING, PIECE_READY, PIECE_FAILED };

/* A record in memory, with as many owners as need it. */
struct piece {
    struct log_read read;
    struct store *store;
    struct body_state *waits; /* who is to be told */
    uint32_t refs;
    enum piece_state state;
    enum status status;
};

struct body_state {
    struct store *store;
    struct body *body;
    struct log_pin pin;
    uint64_t place;
    struct piece *message, *chunk, *ahead;
    struct piece *current; /* the one that body->piece points into */
    uint32_t chunk_at, ahead_at;
    bool parsed;
    struct message_read m;
};

/* Records up to this size are looked for in the page cache first: to copy them costs less
 * than a turn of the thread. */
enum { NEAR_BYTES = 32768 };

/* --- pieces --- */

static void piece_drop(struct piece *p)
{
    if (!p || --p->refs)
        return;
    p->waits = NULL;
    if (p->state == PIECE_READING)
        return; /* on_piece() frees it */
    if (p->state == PIECE_READY)
        log_read_end(&p->read);
    p->store->live_pins--;
    free(p);
}

static void go_on(struct body_state *st);

static void on_piece(struct log_read *read, enum status status)
{
    struct piece *p = container_of(read, struct piece, read);
    struct body_state *waits = p->waits;

    p->state = status == STATUS_OK ? PIECE_READY : PIECE_FAILED;
    p->status = status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    p->waits = NULL;
    if (p->refs == 0) {
        p->refs = 1;
        piece_drop(p);
        return;
    }
    if (waits)
        go_on(waits);
}

/* Starts reading the record; hint: its size, or 0; NULL: no memory. */
static struct piece *piece_read(struct store *s, uint64_t place, uint32_t hint)
{
    bool near = hint > 0 && hint <= NEAR_BYTES;
    struct piece *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->store = s;
    p->refs = 1;
    p->state = PIECE_READING;
    s->live_pins++;
    if ((near ? log_read_near : log_read)(s->log, &p->read, place, hint, on_piece))
        p->state = PIECE_READY;
    return p;
}

/* --- where the bytes are --------------------------------------------------------------
 */

static enum status parse(struct body_state *st)
{
    const struct log_record *r = &st->message->read.record;

    if (r->kind != RECORD_MESSAGE || !message_read(r->payload, &st->m))
        return STATUS_CORRUPT;
    st->parsed = true;
    if (st->body->end > st->m.fixed.size)
        st->body->end = st->m.fixed.size;
    return STATUS_OK;
}

static void give(
    struct body_state *st, struct piece *from, struct slice bytes, uint64_t begins)
{
    struct body *b = st->body;
    uint64_t skip = b->at - begins;

    if (bytes.len > b->end - begins)
        bytes.len = (size_t)(b->end - begins);
    b->piece = slice_of(bytes.at + skip, bytes.len - (size_t)skip);
    b->at += b->piece.len;
    st->current = from;
}

/* The chunk that holds offset `at`, and where it begins; chunk_count: it is the tail. */
static uint32_t chunk_of(const struct body_state *st, uint64_t at, uint64_t *begins)
{
    uint32_t i = 0;

    *begins = st->m.fixed.head_bytes;
    for (; i < st->m.fixed.chunk_count && at >= *begins + st->m.parts[i].bytes; i++)
        *begins += st->m.parts[i].bytes;
    return i;
}

static struct piece *chunk_read(struct body_state *st, uint32_t i)
{
    const struct rec_part *part = &st->m.parts[i];

    return piece_read(
        st->store, part->place, (uint32_t)sizeof(struct rec_chunk) + part->bytes);
}

static void read_ahead(struct body_state *st, uint64_t from)
{
    uint32_t next = st->chunk_at + 1;

    if (st->ahead || next >= st->m.fixed.chunk_count || from >= st->body->end)
        return;
    st->ahead = chunk_read(st, next);
    st->ahead_at = next;
}

/* Has chunk i as st->chunk. */
static enum status want_chunk(struct body_state *st, uint32_t i)
{
    if (st->chunk && st->chunk_at == i)
        return STATUS_OK;
    piece_drop(st->chunk);
    st->chunk = NULL;
    if (st->ahead && st->ahead_at == i) {
        st->chunk = st->ahead;
    } else {
        piece_drop(st->ahead);
        st->chunk = chunk_read(st, i);
    }
    st->ahead = NULL;
    st->chunk_at = i;
    return st->chunk ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status give_chunk(struct body_state *st, uint64_t begins)
{
    const struct log_record *r = &st->chunk->read.record;
    const struct rec_part *part = &st->m.parts[st->chunk_at];
    struct reader in = reader_of(r->payload);
    struct rec_chunk head;

    reader_copy(&in, &head, sizeof head);
    if (r->kind != RECORD_CHUNK || in.bad || head.version != RECORDS_VERSION ||
        in.rest.len != part->bytes)
        return STATUS_CORRUPT;
    give(st, st->chunk, in.rest, begins);
    read_ahead(st, begins + part->bytes);
    return STATUS_OK;
}

/* BUSY: a read is on its way, and has us go on. */
static enum status piece_wait(struct body_state *st, struct piece *p)
{
    if (p->state == PIECE_FAILED)
        return p->status;
    if (p->state == PIECE_READY)
        return STATUS_OK;
    p->waits = st;
    return STATUS_BUSY;
}

static enum status next_piece(struct body_state *st)
{
    struct body *b = st->body;
    uint64_t begins;
    uint32_t i;

    TRY(piece_wait(st, st->message));
    if (!st->parsed)
        TRY(parse(st));
    if (b->at >= b->end)
        return STATUS_OK;
    if (b->at < st->m.fixed.head_bytes) {
        give(st, st->message, st->m.head, 0);
        return STATUS_OK;
    }
    i = chunk_of(st, b->at, &begins);
    if (i == st->m.fixed.chunk_count) {
        give(st, st->message, st->m.tail, begins);
        return STATUS_OK;
    }
    TRY(want_chunk(st, i));
    TRY(piece_wait(st, st->chunk));
    return give_chunk(st, begins);
}

static void go_on(struct body_state *st)
{
    struct body *b = st->body;
    enum status status = next_piece(st);

    if (status == STATUS_BUSY)
        return;
    b->op.pending = false;
    b->op.done(&b->op, status);
}

/* --- for sessions --- */

/* hint: the size of the message's record, or 0. */
static enum status open_body(struct store *s, struct body *b, uint64_t place,
    uint32_t hint, uint64_t at, uint64_t len)
{
    struct body_state *st = calloc(1, sizeof *st);

    if (!st)
        return STATUS_NO_MEMORY;
    *b = (struct body){.at = at, .end = len > UINT64_MAX - at ? UINT64_MAX : at + len};
    st->message = piece_read(s, place, hint);
    if (!st->message) {
        free(st);
        return STATUS_NO_MEMORY;
    }
    st->store = s;
    st->body = b;
    st->place = place;
    log_pin(s->log, &st->pin);
    b->state = st;
    return STATUS_OK;
}

enum status body_open_place(
    struct store *s, struct body *b, uint64_t place, uint64_t at, uint64_t len)
{
    return open_body(s, b, place, 0, at, len);
}

/* What a message's record holds besides the text, with a few owners. */
enum { AROUND_BYTES = sizeof(struct rec_message) + 8 * sizeof(uint64_t) };

enum status body_open(
    struct store *s, struct body *b, const struct entry *entry, uint64_t at, uint64_t len)
{
    /* A larger one may have most of its text in chunks. */
    uint32_t hint = entry->size <= NEAR_BYTES - AROUND_BYTES
        ? (uint32_t)entry->size + AROUND_BYTES
        : 0;

    TRY(open_body(s, b, entry->body, hint, at, len));
    if (b->end > entry->size)
        b->end = entry->size;
    return STATUS_OK;
}

/* A failure is told by done() in a later turn, as everything that is not there at once.
 */
bool body_next(struct body *b, void (*done)(struct store_op *op, enum status status))
{
    struct body_state *st = b->state;
    enum status status;

    CHECK(!b->op.pending);
    b->piece = slice_of(NULL, 0);
    st->current = NULL;
    status = next_piece(st);
    if (status == STATUS_OK)
        return true;
    b->op.done = done;
    b->op.pending = true;
    b->op.kind = REQUEST_NONE;
    list_init(&b->op.link);
    if (status != STATUS_BUSY)
        request_post(st->store, &b->op, status);
    return false;
}

struct body_loan *body_lend(struct body *b)
{
    struct piece *p = b->state->current;

    CHECK(p);
    p->refs++;
    return (struct body_loan *)p;
}

void body_release(struct body_loan *loan)
{
    piece_drop((struct piece *)loan);
}

void body_close(struct body *b)
{
    struct body_state *st = b->state;

    CHECK(!b->op.pending);
    piece_drop(st->message);
    piece_drop(st->chunk);
    piece_drop(st->ahead);
    log_unpin(st->store->log, &st->pin);
    free(st);
    b->state = NULL;
}

struct store_pin {
    struct log_pin pin;
};

struct store_pin *store_pin(struct store *s)
{
    struct store_pin *p = calloc(1, sizeof *p);

    if (p)
        log_pin(s->log, &p->pin);
    return p;
}

void store_unpin(struct store *s, struct store_pin *p)
{
    if (p)
        log_unpin(s->log, &p->pin);
    free(p);
}
