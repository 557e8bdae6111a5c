#include "tests/server/delivery_fake.h"

#include <stdio.h>

/* --- the world ------------------------------------------------------------------- */

char events[EVENTS_MAX];
struct fake_store stores[SHARDS];
struct thread threads[SHARDS];
static struct store_op *asked[64]; /* requests that have not landed */
static unsigned asked_count;
static struct call *calls[256];
static unsigned call_count;
struct timer *timer;
bool short_of_memory, hold, pieces_late;
size_t piece_bytes;
static unsigned loans;

static void note(char what, unsigned shard)
{
    size_t n = strlen(events);

    assert_true(n + 3 < sizeof events);
    events[n] = what;
    events[n + 1] = (char)('0' + shard);
    events[n + 2] = '\0';
}

static struct fake_store *fake_of(struct store *store)
{
    return (struct fake_store *)store;
}

static void land_later(struct store_op *op)
{
    assert_true(asked_count < 64);
    asked[asked_count++] = op;
}

/* Which request this is, and where it goes. */
struct fake_request {
    struct store_op *op;
    struct fake_store *store;
    struct store_chunk *chunk;
    struct store_message *message;
    struct store_fanout_queue *left;
};
static struct fake_request requests[64];

static struct fake_request *request_of(struct store_op *op)
{
    for (unsigned i = 0; i < 64; i++)
        if (requests[i].op == op)
            return &requests[i];
    return NULL;
}

static struct fake_request *request_new(struct store_op *op, struct fake_store *store)
{
    struct fake_request *r = request_of(NULL);

    assert_non_null(r);
    *r = (struct fake_request){.op = op, .store = store};
    land_later(op);
    return r;
}

void store_chunk(struct store *store, struct store_chunk *c)
{
    note('c', fake_of(store)->number);
    request_new(&c->op, fake_of(store))->chunk = c;
}

void store_fanout_queue(struct store *store, struct store_fanout_queue *q)
{
    note('q', fake_of(store)->number);
    request_new(&q->op, fake_of(store))->left = q;
}

void queue_entered(struct thread *t, unsigned shard, uint64_t id)
{
    struct fake_store *f = &stores[shard];

    assert_ptr_equal(t, thread_of_shard(t, shard));
    assert_true(f->entered_count < QUEUED_MAX);
    note('e', shard);
    f->entered[f->entered_count++] = id;
}

/* The n-th entry of shard s has number 10 * s + n, from 1. */
static void put_queued(
    struct fake_store *f, const struct slice *envelopes, unsigned count, uint64_t *ids)
{
    for (unsigned i = 0; i < count; i++) {
        char *copy = malloc(envelopes[i].len);

        assert_true(f->queued_count < QUEUED_MAX);
        memcpy(copy, envelopes[i].at, envelopes[i].len);
        f->queued[f->queued_count++] = slice_of(copy, envelopes[i].len);
        ids[i] = 10 * f->number + f->queued_count;
    }
}

void put_body(struct fake_store *f, struct slice s)
{
    f->body = realloc(f->body, f->body_len + s.len + 1);
    if (s.len)
        memcpy(f->body + f->body_len, s.at, s.len);
    f->body_len += s.len;
}

/* Places of chunks are 1 and up. */
static void keep(struct fake_store *f, const struct store_message *m)
{
    struct summary summary;

    if (f->id && f->id == m->fanout_id)
        return;
    f->body_len = 0;
    put_body(f, m->head);
    for (uint32_t i = 0; i < m->chunk_count; i++) {
        struct slice chunk = f->chunk[m->chunks[i] - 1];

        assert_int_equal(chunk.len, m->chunk_bytes[i]);
        put_body(f, chunk);
    }
    for (uint32_t i = 0; i < m->chunk_count; i++)
        f->named[m->chunks[i] - 1] = true;
    put_body(f, m->tail);
    assert_int_equal(f->body_len, m->size);
    f->has_summary = m->summary.len > 0;
    assert_true(!f->has_summary || summary_open(m->summary, &summary));
    assert_true(!f->has_summary || summary.size == m->size);
    f->promised = m->promised;
    for (unsigned i = 0; i < m->target_count; i++) {
        struct slice name = m->targets[i].user;
        bool full = f->full && memmem(f->full, strlen(f->full), name.at, name.len);

        m->targets[i].status = full ? STATUS_LIMIT : STATUS_OK;
        f->users += !full;
    }
    put_queued(f, m->queue_envelopes, m->queue_count, m->queue_ids);
    if (m->settles) {
        f->settles = m->settles->id;
        snprintf(f->settled, sizeof f->settled, "%.*s", (int)m->settles->state.len,
            m->settles->state.at);
    }
    f->id = m->fanout_id;
    f->date = (uint64_t)m->date_s;
    free(f->rest);
    f->rest = malloc(m->fanout_rest.len + 1);
    f->rest_len = m->fanout_rest.len;
    if (f->rest_len)
        memcpy(f->rest, m->fanout_rest.at, f->rest_len);
    for (unsigned i = 0; i < m->target_count; i++)
        assert_int_equal(shard_of_user(threads, m->targets[i].user), f->number);
}

void store_message(struct store *store, struct store_message *m)
{
    struct fake_store *f = fake_of(store);

    note('m', f->number);
    request_new(&m->op, f)->message = m;
    m->copied = f->copies && f->message_status == STATUS_OK;
    if (m->copied)
        keep(f, m);
}

static enum status perform(struct fake_request *r)
{
    struct fake_store *f = r->store;

    if (r->message) {
        if (f->message_status == STATUS_OK && !r->message->copied)
            keep(f, r->message);
        return f->message_status;
    }
    if (r->left) {
        f->left_size = r->left->size;
        assert_int_equal(r->left->fanout_id, f->id);
        if (f->queue_status == STATUS_OK)
            put_queued(f, r->left->envelopes, r->left->count, r->left->ids);
        return f->queue_status;
    }
    if (f->chunk_status != STATUS_OK)
        return f->chunk_status;
    f->chunk[f->chunk_count] = slice_of(
        memcpy(malloc(r->chunk->bytes.len), r->chunk->bytes.at, r->chunk->bytes.len),
        r->chunk->bytes.len);
    r->chunk->place = ++f->chunk_count;
    return STATUS_OK;
}

void store_chunk_drop(struct store *store, uint64_t place)
{
    struct fake_store *f = fake_of(store);

    if (f->named[place - 1])
        return;
    note('d', f->number);
    assert_non_null(f->chunk[place - 1].at);
    free((void *)(uintptr_t)f->chunk[place - 1].at);
    f->chunk[place - 1].at = NULL;
}

void store_fanout_done(struct store *store, uint64_t id)
{
    note('f', fake_of(store)->number);
    assert_true(id != 0);
}

bool store_fanout_open(struct store *store, unsigned i, struct store_fanout *fanout)
{
    struct fake_store *f = fake_of(store);

    if (i >= f->open_count)
        return false;
    *fanout = f->open[i];
    return true;
}

/* --- bodies: place is the number of the store whose body it is, plus one --- */

static struct body *body_waiting;
static void (*body_done)(struct store_op *op, enum status status);
enum status body_status;

enum status body_open_place(
    struct store *store, struct body *b, uint64_t place, uint64_t at, uint64_t len)
{
    assert_int_equal(place, fake_of(store)->number + 1);
    assert_int_equal(at, 0);
    assert_true(len == UINT64_MAX);
    b->at = 0;
    b->end = fake_of(store)->body_len;
    b->state = (struct body_state *)store;
    loans++;
    return STATUS_OK;
}

static void next_piece(struct body *b)
{
    struct fake_store *f = (struct fake_store *)b->state;
    size_t n = b->end - b->at < piece_bytes ? b->end - b->at : piece_bytes;

    b->piece = slice_of(f->body + b->at, n);
    b->at += n;
}

bool body_next(struct body *b, void (*done)(struct store_op *op, enum status status))
{
    if (!pieces_late) {
        next_piece(b);
        return true;
    }
    body_waiting = b;
    body_done = done;
    return false;
}

void body_close(struct body *b)
{
    (void)b;
    assert_null(body_waiting);
    loans--;
}

/* --- accounts: all there are, but for those --- */

const char *removed, *disabled;

const struct account *accounts_find(const struct accounts *a, struct slice name)
{
    static struct account account;

    (void)a;
    if (removed && memmem(removed, strlen(removed), name.at, name.len))
        return NULL;
    account = (struct account){.name = name};
    account.disabled = disabled && memmem(disabled, strlen(disabled), name.at, name.len);
    return &account;
}

/* --- threads --- */

unsigned process_shards(const struct process *p)
{
    (void)p;
    return SHARDS;
}

/* "u3@..." is in shard 3. */
unsigned shard_of_user(struct thread *t, struct slice user)
{
    (void)t;
    return (unsigned)(user.at[1] - '0');
}

struct thread *thread_of_shard(struct thread *t, unsigned shard)
{
    (void)t;
    return &threads[shard / 2]; /* two shards a thread */
}

struct store *shard_store(struct thread *t, unsigned shard)
{
    assert_ptr_equal(t, thread_of_shard(t, shard));
    return (struct store *)&stores[shard];
}

bool thread_short_of_memory(const struct thread *t)
{
    (void)t;
    return short_of_memory;
}

void call_send(struct thread *from, struct thread *to, struct call *call)
{
    call->from = from;
    call->to = to;
    call->answered = false;
    assert_true(call_count < 256);
    calls[call_count++] = call;
}

void call_answer(struct call *call)
{
    assert_false(call->answered);
    call->answered = true;
    calls[call_count++] = call;
}

void timer_set(
    struct thread *t, struct timer *set, int64_t at_ns, void (*due)(struct timer *))
{
    assert_true(at_ns > t->now_ns);
    set->due = due;
    assert_null(timer);
    timer = set;
}

uint64_t random_u64(void)
{
    return 4711;
}

bool event_begin(struct event *e, enum log_level level, const char *name)
{
    (void)e, (void)level, (void)name;
    return false;
}
void event_number(struct event *e, const char *key, uint64_t value)
{
    (void)e, (void)key, (void)value;
}
void event_string(struct event *e, const char *key, const char *value)
{
    (void)e, (void)key, (void)value;
}
void event_end(struct event *e)
{
    (void)e;
}

/* One thing moves. */
bool step(void)
{
    if (call_count) {
        struct call *call = calls[0];

        memmove(calls, calls + 1, --call_count * sizeof *calls);
        if (call->answered)
            call->done(call->from, call);
        else
            call->run(call->to, call);
        return true;
    }
    if (asked_count && !hold) {
        struct store_op *op = asked[0];
        struct fake_request *r = request_of(op);
        enum status status = perform(r);

        memmove(asked, asked + 1, --asked_count * sizeof *asked);
        *r = (struct fake_request){0};
        op->done(op, status);
        return true;
    }
    if (body_waiting) {
        struct body *b = body_waiting;

        body_waiting = NULL;
        if (body_status == STATUS_OK)
            next_piece(b);
        body_done(&b->op, body_status);
        return true;
    }
    for (unsigned i = 0; i < SHARDS; i++)
        if (op_queue_run(&threads[i].ready))
            return true;
    return false;
}

void pump(void)
{
    while (step())
        ;
}

unsigned woken;

static void on_wake(void *arg)
{
    (void)arg;
    woken++;
}

static void forget_stores(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned k = 0; k < stores[i].chunk_count; k++)
            free((void *)(uintptr_t)stores[i].chunk[k].at);
        for (unsigned k = 0; k < stores[i].queued_count; k++)
            free((void *)(uintptr_t)stores[i].queued[k].at);
        free(stores[i].body);
        free(stores[i].rest);
        stores[i] = (struct fake_store){.number = i};
    }
}

int set_up(void **state)
{
    (void)state;
    forget_stores();
    for (unsigned i = 0; i < SHARDS; i++) {
        threads[i] = (struct thread){
            .index = i, .now_s = 1000, .accounts = (struct accounts *)&threads};
        op_queue_init(&threads[i].ready);
    }
    memset(events, 0, sizeof events);
    removed = disabled = NULL;
    timer = NULL;
    short_of_memory = hold = pieces_late = false;
    piece_bytes = 1000;
    body_status = STATUS_OK;
    woken = 0;
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    pump();
    assert_int_equal(call_count, 0);
    assert_int_equal(asked_count, 0);
    assert_int_equal(loans, 0);
    assert_int_equal(threads[0].stats.buffered, 0);
    forget_stores();
    return 0;
}
/* --- messages ---------------------------------------------------------------------- */

static char *text;

struct slice text_of(size_t len)
{
    free(text);
    text = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i * 7 % 26);
    return slice_of(text, len);
}

struct delivery *begin_conf(const struct delivery_conf *conf)
{
    struct delivery *d = delivery_begin(&threads[0], conf, on_wake, NULL);

    assert_non_null(d);
    return d;
}

struct delivery *begin(const struct slice *users, unsigned count)
{
    struct delivery_conf conf = {
        .users = users, .count = count, .sender = S("sender@x"), .shard = -1};

    return begin_conf(&conf);
}

/* All of it, as fast as the delivery takes it. */
void add(struct delivery *d, struct slice bytes)
{
    while (bytes.len) {
        size_t n = bytes.len < 70000 ? bytes.len : 70000;

        while (delivery_busy(d))
            assert_true(step());
        delivery_add(d, slice_take(&bytes, n));
    }
}

enum status finish_with(
    struct delivery *d, const struct envelope *envelopes, unsigned count)
{
    enum status status;

    delivery_commit(d, envelopes, count);
    pump();
    assert_true(delivery_done(d, &status));
    return status;
}

enum status finish(struct delivery *d)
{
    return finish_with(d, NULL, 0);
}

void ring_timer(void)
{
    struct timer *due = timer;

    assert_non_null(due);
    timer = NULL;
    due->due(due);
    pump();
}

void assert_stored(unsigned shard, struct slice bytes, unsigned users)
{
    struct fake_store *f = &stores[shard];

    assert_int_equal(f->users, users);
    assert_int_equal(f->body_len, bytes.len);
    assert_memory_equal(f->body, bytes.at, bytes.len);
}

const struct slice spread[5] = {
    SI("u2@a"), SI("u0@b"), SI("u3@c"), SI("u2@d"), SI("u0@e")};

/* --- after a crash ----------------------------------------------------------------- */

static unsigned recovered, recovered_left;

static void on_recovered(struct thread *t, unsigned left)
{
    assert_ptr_equal(t, &threads[1]);
    recovered++;
    recovered_left = left;
}

struct slice crash_after_first(size_t len)
{
    struct slice bytes = text_of(len);
    struct delivery *d = begin(spread, 5);

    threads[0].stopping = true;
    stores[0].message_status = stores[3].message_status = STATUS_BUSY;
    add(d, bytes);
    assert_int_equal(finish(d), STATUS_OK);
    delivery_free(d);
    pump();
    assert_int_equal(stores[0].users + stores[3].users, 0);
    threads[0].stopping = false;
    stores[0].message_status = stores[3].message_status = STATUS_OK;
    memset(events, 0, sizeof events);
    threads[0].now_s = threads[1].now_s = 2000;
    stores[2].open[0] = (struct store_fanout){.id = stores[2].id,
        .rest = slice_of(stores[2].rest, stores[2].rest_len),
        .body = 3};
    stores[2].open_count = 1;
    return bytes;
}

unsigned recover(void)
{
    recovered = 0;
    delivery_recover(&threads[1], on_recovered);
    assert_int_equal(recovered, 0);
    pump();
    assert_int_equal(recovered, 1);
    assert_int_equal(threads[1].stats.buffered, 0);
    return recovered_left;
}
