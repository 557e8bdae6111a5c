#include "server/delivery.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/mime/summary.h"
#include "server/config_limits.h"
#include "server/delivery_state.h"
#include "server/process.h"

enum {
    BUFFER_MIN = 4096,
    BUFFERS_IN_FLIGHT = 2, /* chunks on their way; more and the sender waits */
};

/* A full chunk that all shares are storing. */
struct delivery_buffer {
    unsigned users;
    char *bytes;
};

/* --- the life of the object --------------------------------------------- */

void delivery_account(struct delivery *d)
{
    size_t now = d->cap + (size_t)d->buffers * STORE_CHUNK_BYTES + d->arena.taken +
        d->front.len + (d->entries ? d->entries->bytes : 0);

    d->thread->stats.buffered += now - d->accounted;
    d->accounted = now;
}

static void free_all(struct delivery *d)
{
    for (unsigned i = 0; i < d->share_count; i++)
        free(d->shares[i].chunks);
    d->thread->stats.buffered -= d->accounted;
    arena_reset(&d->arena);
    free(d->bytes);
    free(d->chunk_bytes);
    free(d->rest.at);
    free((char *)d->front.at);
    free(d->entries);
    free(d);
}

static void on_dropped(struct thread *t, struct call *call)
{
    struct delivery_share *share = container_of(call, struct delivery_share, call);

    (void)t;
    share->delivery->in_flight--;
    delivery_settle(share->delivery);
}

static void run_drop(struct thread *t, struct call *call)
{
    struct delivery_share *share = container_of(call, struct delivery_share, call);
    struct store *store = shard_store(t, share->shard);

    for (uint32_t i = 0; i < share->delivery->chunk_count; i++)
        if (share->chunks[i])
            store_chunk_drop(store, share->chunks[i]);
    call_answer(call);
}

/* Chunks that no message names are dead space: says so to their shards, once. True when
 * there is something to wait for. */
static bool drop_chunks(struct delivery *d)
{
    if (!d->chunk_count || d->dropped)
        return false;
    d->dropped = true;
    for (unsigned i = 0; i < d->share_count; i++) {
        struct delivery_share *share = &d->shares[i];

        if (share->named)
            continue;
        share->call = (struct call){.run = run_drop, .done = on_dropped};
        d->in_flight++;
        call_send(d->thread, share->thread, &share->call);
    }
    return d->in_flight > 0;
}

void delivery_settle(struct delivery *d)
{
    if (d->in_flight)
        return;
    if (d->abandoned) {
        if (!drop_chunks(d))
            free_all(d);
        return;
    }
    if (d->state == DELIVERY_WAITING)
        delivery_store(d);
}

static void wake(struct delivery *d)
{
    if (!d->abandoned)
        d->wake(d->arg);
}

void delivery_end(struct delivery *d, enum status status)
{
    d->status = status;
    d->state = DELIVERY_ENDED;
    wake(d);
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    d->abandoned = true;
    delivery_settle(d);
}

/* --- shares ---------------------------------------------------------------- */

static struct delivery_share *share_of(struct delivery *d, unsigned shard)
{
    struct delivery_share *share;

    for (unsigned i = 0; i < d->share_count; i++)
        if (d->shares[i].shard == shard)
            return &d->shares[i];
    share = &d->shares[d->share_count++];
    *share = (struct delivery_share){
        .delivery = d, .shard = shard, .thread = thread_of_shard(d->thread, shard)};
    return share;
}

/* Deals the users out to the shards that own them. `targets` has room for all of them,
 * `names` for the bytes of their names. */
static void deal(struct delivery *d, const struct slice *users, unsigned count,
    struct store_target *targets, char *names)
{
    for (unsigned i = 0; i < count; i++)
        share_of(d, shard_of_user(d->thread, users[i]))->target_count++;
    for (unsigned i = 0; i < d->share_count; i++) {
        d->shares[i].targets = targets;
        targets += d->shares[i].target_count;
        d->shares[i].target_count = 0;
    }
    for (unsigned i = 0; i < count; i++) {
        struct delivery_share *share = share_of(d, shard_of_user(d->thread, users[i]));

        CHECK(share->targets);
        memcpy(names, users[i].at, users[i].len);
        share->targets[share->target_count++] =
            (struct store_target){.user = slice_of(names, users[i].len), .tag = i};
        names += users[i].len;
    }
}

/* A shard of this thread, rather one that gets the message anyway. */
static unsigned choose_home(struct thread *t, const struct delivery_conf *conf)
{
    unsigned shards = process_shards(t->process);

    if (conf->shard >= 0)
        return (unsigned)conf->shard;
    for (unsigned i = 0; i < conf->count; i++) {
        unsigned shard = shard_of_user(t, conf->users[i]);

        if (thread_of_shard(t, shard) == t)
            return shard;
    }
    for (unsigned shard = 0; shard < shards; shard++)
        if (thread_of_shard(t, shard) == t)
            return shard;
    return t->index % shards;
}

/* What one piece of memory holds behind the shares. */
struct layout {
    bool home;
    unsigned shares;
    size_t targets, names, outcomes, settles; /* bytes */
};

static struct layout layout_of(struct thread *t, const struct delivery_conf *conf)
{
    unsigned shards = process_shards(t->process);
    struct layout l = {.home = conf->queued || conf->settles,
        .targets = conf->count * sizeof(struct store_target),
        .names = conf->sender.len,
        .outcomes = conf->each ? conf->count + 1U : 0};

    l.shares = conf->count + l.home < shards ? conf->count + l.home : shards;
    for (unsigned i = 0; i < conf->count; i++)
        l.names += conf->users[i].len;
    if (conf->settles)
        l.settles = sizeof *conf->settles + conf->settles->state.len;
    return l;
}

static void copy_settles(
    struct delivery *d, const struct store_queue_change *settles, void *at)
{
    char *state = (char *)at + sizeof *settles;

    d->settles = at;
    *d->settles = (struct store_queue_change){.id = settles->id,
        .done = settles->done,
        .state = slice_of(state, settles->state.len)};
    if (settles->state.len)
        memcpy(state, settles->state.at, settles->state.len);
}

/* The object, its shares, the targets and their names in one piece. */
static struct delivery *make(struct thread *t, const struct delivery_conf *conf)
{
    struct summary_limits limits = config_summary_limits(t->config);
    struct layout l = layout_of(t, conf);
    struct store_target *targets;
    struct delivery *d;
    char *at;

    d = malloc(sizeof *d + l.shares * sizeof d->shares[0] + l.targets + l.settles +
        l.names + l.outcomes);
    if (!d)
        return NULL;
    *d = (struct delivery){.thread = t,
        .arena = arena_of(summary_memory(&limits)),
        .fanout_id = conf->fanout_id,
        .once_id = conf->fanout_id,
        .each = conf->each,
        .notice = conf->notice,
        .home = l.home,
        .user_count = conf->count};
    targets = (void *)&d->shares[l.shares];
    at = (char *)targets + l.targets;
    if (conf->settles)
        copy_settles(d, conf->settles, at);
    at += l.settles;
    d->outcomes = conf->each ? memset(at + l.names, STATUS_OK, l.outcomes) : NULL;
    if (conf->sender.len)
        memcpy(at, conf->sender.at, conf->sender.len);
    d->sender = slice_of(at, conf->sender.len);
    if (l.home)
        share_of(d, choose_home(t, conf));
    deal(d, conf->users, conf->count, targets, at + conf->sender.len);
    return d;
}

struct delivery *delivery_begin(struct thread *t, const struct delivery_conf *conf,
    void (*wake_fn)(void *arg), void *arg)
{
    struct summary_limits limits = config_summary_limits(t->config);
    struct delivery *d;

    CHECK(conf->count > 0 || conf->queued);
    d = make(t, conf);
    if (!d)
        return NULL;
    d->wake = wake_fn;
    d->arg = arg;
    d->summary = summary_begin(&d->arena, &limits);
    if (!d->summary) {
        free_all(d);
        return NULL;
    }
    delivery_account(d);
    return d;
}

/* --- bytes ------------------------------------------------------------------ */

static void fail(struct delivery *d, enum status status)
{
    if (d->status == STATUS_OK)
        d->status = status;
}

static void buffer_return(struct delivery *d, struct delivery_buffer *b)
{
    if (--b->users)
        return;
    free(b->bytes);
    free(b);
    d->buffers--;
    delivery_account(d);
}

static void on_chunk(struct thread *t, struct call *call)
{
    struct delivery_piece *piece = container_of(call, struct delivery_piece, call);
    struct delivery_share *share = piece->share;
    struct delivery *d = share->delivery;
    bool was_busy = delivery_busy(d);

    (void)t;
    if (piece->status == STATUS_OK)
        share->chunks[piece->number] = piece->chunk.place;
    else
        fail(d, piece->status);
    buffer_return(d, piece->buffer);
    free(piece);
    d->in_flight--;
    if (was_busy && !delivery_busy(d) && d->state == DELIVERY_TAKING)
        wake(d);
    delivery_settle(d);
}

static void on_chunk_stored(struct store_op *op, enum status status)
{
    struct delivery_piece *piece = container_of(op, struct delivery_piece, chunk.op);

    piece->status = status;
    delivery_answer(&piece->call);
}

static void run_chunk(struct thread *t, struct call *call)
{
    struct delivery_piece *piece = container_of(call, struct delivery_piece, call);

    store_chunk(shard_store(t, piece->share->shard), &piece->chunk);
}

static bool room_for_chunk(struct delivery *d)
{
    uint32_t cap = d->chunk_cap ? d->chunk_cap * 2 : 16;

    if (d->chunk_count < d->chunk_cap)
        return true;
    for (unsigned i = 0; i <= d->share_count; i++) {
        bool last = i == d->share_count;
        size_t each = last ? sizeof *d->chunk_bytes : sizeof *d->shares[0].chunks;
        void *was = last ? (void *)d->chunk_bytes : (void *)d->shares[i].chunks;
        void *now = realloc(was, cap * each);

        if (!now)
            return false;
        if (last)
            d->chunk_bytes = now;
        else
            d->shares[i].chunks = now;
    }
    d->chunk_cap = cap;
    return true;
}

static bool send_chunk(
    struct delivery_share *share, struct delivery_buffer *buffer, uint32_t number)
{
    struct delivery_piece *piece = calloc(1, sizeof *piece);

    if (!piece)
        return false;
    piece->share = share;
    piece->buffer = buffer;
    piece->number = number;
    piece->chunk.op.done = on_chunk_stored;
    piece->chunk.bytes = slice_of(buffer->bytes, STORE_CHUNK_BYTES);
    piece->call = (struct call){.run = run_chunk, .done = on_chunk};
    buffer->users++;
    delivery_ask(share->delivery, share->thread, &piece->call);
    return true;
}

/* The buffer is full: every share stores it as its next chunk. */
static void ship(struct delivery *d)
{
    struct delivery_buffer *buffer = malloc(sizeof *buffer);
    uint32_t number = d->chunk_count;

    if (!buffer || !room_for_chunk(d)) {
        free(buffer);
        fail(d, STATUS_NO_MEMORY);
        d->len = 0;
        return;
    }
    *buffer = (struct delivery_buffer){.users = 1, .bytes = d->bytes};
    d->bytes = NULL;
    d->len = d->cap = 0;
    d->buffers++;
    d->chunk_count++;
    d->chunk_bytes[number] = STORE_CHUNK_BYTES;
    for (unsigned i = 0; i < d->share_count; i++) {
        d->shares[i].chunks[number] = 0;
        if (!send_chunk(&d->shares[i], buffer, number))
            fail(d, STATUS_NO_MEMORY);
    }
    buffer_return(d, buffer);
}

/* Where memory is short, what takes more than the least is put off (matrix O09). */
static bool grow(struct delivery *d, size_t want)
{
    size_t cap = d->cap ? d->cap : d->chunk_count ? STORE_CHUNK_BYTES : BUFFER_MIN;
    char *now;

    while (cap < want && cap < STORE_CHUNK_BYTES)
        cap *= 2;
    if (cap > STORE_CHUNK_BYTES)
        cap = STORE_CHUNK_BYTES;
    if (cap == d->cap)
        return true;
    if (cap > BUFFER_MIN && thread_short_of_memory(d->thread))
        return false;
    now = realloc(d->bytes, cap);
    if (!now)
        return false;
    d->bytes = now;
    d->cap = cap;
    return true;
}

void delivery_add(struct delivery *d, struct slice bytes)
{
    CHECK(d->state == DELIVERY_TAKING && !d->front.at);
    d->size += bytes.len;
    if (d->status != STATUS_OK)
        return;
    summary_feed(d->summary, bytes);
    while (bytes.len && d->status == STATUS_OK) {
        size_t room;

        if (d->len == STORE_CHUNK_BYTES)
            ship(d);
        if (d->len + bytes.len > d->cap && !grow(d, d->len + bytes.len)) {
            fail(d, STATUS_NO_MEMORY);
            return;
        }
        room = d->cap - d->len;
        if (room > bytes.len)
            room = bytes.len;
        memcpy(d->bytes + d->len, bytes.at, room);
        d->len += room;
        slice_take(&bytes, room);
    }
    delivery_account(d);
}

bool delivery_busy(const struct delivery *d)
{
    return d->buffers >= BUFFERS_IN_FLIGHT;
}

uint64_t delivery_size(const struct delivery *d)
{
    return d->size;
}

bool delivery_front(struct delivery *d, struct slice fields)
{
    char *copy;

    CHECK(d->state == DELIVERY_TAKING && !d->front.at);
    if (fields.len > DELIVERY_FRONT_MAX)
        return false;
    copy = malloc(fields.len + 1);
    if (!copy)
        return false;
    if (fields.len)
        memcpy(copy, fields.at, fields.len);
    d->front = slice_of(copy, fields.len);
    d->size += fields.len;
    if (!summary_front(d->summary, d->front))
        d->summary = NULL;
    delivery_account(d);
    return true;
}

/* --- commit -------------------------------------------------------------- */

static void run_summary(struct thread *t, struct call *call);

/* Without a summary it is computed when the message is read. */
static bool summary_step(struct delivery *d)
{
    return !d->summary || summary_end_step(d->summary, &d->encoded);
}

/* A slice of the summary; the next one has the next turn of the loop. */
static void go_on_summary(struct delivery *d)
{
    if (d->status == STATUS_OK && !summary_step(d)) {
        d->call = (struct call){.run = run_summary};
        d->in_flight++;
        call_send(d->thread, d->thread, &d->call);
        return;
    }
    delivery_account(d);
    if (d->status == STATUS_OK && d->summary && !d->encoded.at)
        fail(d, STATUS_NO_MEMORY);
    if (d->status != STATUS_OK)
        return; /* delivery_done() says so at once; the chunks are dropped by the free */
    d->date_s = d->date_s ? d->date_s : d->thread->now_s;
    d->state = DELIVERY_WAITING;
    delivery_settle(d);
}

static void run_summary(struct thread *t, struct call *call)
{
    struct delivery *d = container_of(call, struct delivery, call);

    (void)t;
    d->in_flight--;
    if (d->abandoned) {
        delivery_settle(d);
        return;
    }
    go_on_summary(d);
    if (d->status != STATUS_OK && d->state == DELIVERY_SUMMARY)
        wake(d);
}

void delivery_commit(struct delivery *d, const struct envelope *envelopes, unsigned count)
{
    CHECK(d->state == DELIVERY_TAKING && (d->home || count == 0));
    if (count) {
        d->entries = delivery_entries_make(envelopes, count);
        if (!d->entries)
            fail(d, STATUS_NO_MEMORY);
    }
    d->state = DELIVERY_SUMMARY;
    go_on_summary(d);
}

bool delivery_done(const struct delivery *d, enum status *status)
{
    *status = d->status;
    return d->state == DELIVERY_ENDED || d->status != STATUS_OK;
}

enum status delivery_user_status(const struct delivery *d, unsigned i)
{
    CHECK(d->each && i <= d->user_count);
    return d->state == DELIVERY_ENDED && d->outcomes[i] != STATUS_OK
        ? (enum status)d->outcomes[i]
        : d->status;
}
