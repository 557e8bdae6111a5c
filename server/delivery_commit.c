/* delivery_commit.c -- from the last byte to the answer, over one shard or several. */
#include <stdlib.h>

#include "server/accounts.h"
#include "server/delivery_state.h"
#include "server/log.h"

enum {
    RETRY_S = 5,
    RETRIES_MAX = 12, /* then the queue goes on */
};

static void store_share(struct delivery_share *share);
static void store_next(struct delivery *d);

/* --- the account of the other shares ------------------------------------- *
 *
 * i64 date, u32 shares; each: u32 shard, u32 targets; each: u32 length, name. Then (not
 * in stores of format 2) u32 length, sender, u8 notice. */

static void put_u32(struct out *o, uint32_t value)
{
    out_put(o, slice_of((const char *)&value, sizeof value));
}

static bool rest_make(struct delivery *d)
{
    size_t bytes = sizeof d->date_s + 2 * sizeof(uint32_t) + d->sender.len + 1;

    free(d->rest.at);
    for (unsigned i = d->first + 1; i < d->share_count; i++) {
        bytes += 2 * sizeof(uint32_t);
        for (unsigned k = 0; k < d->shares[i].target_count; k++)
            bytes += sizeof(uint32_t) + d->shares[i].targets[k].user.len;
    }
    d->rest = out_of(malloc(bytes), bytes);
    if (!d->rest.at)
        return false;
    out_put(&d->rest, slice_of((const char *)&d->date_s, sizeof d->date_s));
    put_u32(&d->rest, d->share_count - d->first - 1);
    for (unsigned i = d->first + 1; i < d->share_count; i++) {
        put_u32(&d->rest, d->shares[i].shard);
        put_u32(&d->rest, d->shares[i].target_count);
        for (unsigned k = 0; k < d->shares[i].target_count; k++) {
            put_u32(&d->rest, (uint32_t)d->shares[i].targets[k].user.len);
            out_put(&d->rest, d->shares[i].targets[k].user);
        }
    }
    put_u32(&d->rest, (uint32_t)d->sender.len);
    out_put(&d->rest, d->sender);
    out_byte(&d->rest, d->notice);
    CHECK(!d->rest.full);
    return true;
}

/* --- the fan-out is over -------------------------------------------------- */

static void on_fanout_done(struct thread *t, struct call *call)
{
    struct delivery_share *share = container_of(call, struct delivery_share, call);

    (void)t;
    share->delivery->in_flight--;
    delivery_settle(share->delivery);
}

static void run_fanout_done(struct thread *t, struct call *call)
{
    struct delivery_share *share = container_of(call, struct delivery_share, call);

    store_fanout_done(shard_store(t, share->shard), share->delivery->fanout_id);
    call_answer(call);
}

static void fanout_close(struct delivery *d)
{
    struct delivery_share *first = &d->shares[d->first];

    first->call = (struct call){.run = run_fanout_done, .done = on_fanout_done};
    d->in_flight++;
    call_send(d->thread, first->thread, &first->call);
}

/* --- a share that could not be stored ------------------------------------- *
 *
 * Once the first shard holds the message it is everybody's: the answer is OK, and the
 * others are tried for a while. Then the queue of the first shard takes over, or, when
 * not even that can be, the next start. */

static void say_unfinished(const struct delivery *d, enum status status)
{
    struct event e;

    if (!event_begin(&e, LEVEL_ERROR, "fanout-open"))
        return;
    event_number(&e, "id", d->fanout_id);
    event_string(&e, "status", status_text(status));
    event_string(&e, "remedy", "it is finished at the next start");
    event_end(&e);
}

static bool may_pass(const struct delivery_share *share)
{
    enum status status = share->status;

    return status == STATUS_NO_SPACE || status == STATUS_NO_MEMORY ||
        status == STATUS_BUSY;
}

static void on_retry(struct timer *timer)
{
    struct delivery_share *share = container_of(timer, struct delivery_share, timer);
    struct delivery *d = share->delivery;

    d->in_flight--;
    if (!d->thread->stopping) {
        store_share(share);
        return;
    }
    say_unfinished(d, share->status);
    delivery_settle(d);
}

static void try_again(struct delivery_share *share)
{
    struct delivery *d = share->delivery;

    if (d->resumed || !may_pass(share) || share->retries == RETRIES_MAX) {
        share->refused = true;
        d->refused++;
        return;
    }
    if (d->thread->stopping) {
        say_unfinished(d, share->status);
        return;
    }
    share->retries++;
    d->in_flight++;
    timer_set(d->thread, &share->timer, d->thread->now_ns + (int64_t)RETRY_S * 1000000000,
        on_retry);
}

void delivery_left(struct delivery *d, enum status status)
{
    if (status != STATUS_OK)
        say_unfinished(d, status);
    if (d->state == DELIVERY_STORING)
        delivery_end(d, status == STATUS_OK ? STATUS_OK : STATUS_BUSY);
}

/* --- one share --------------------------------------------------------------- */

static void store_others(struct delivery *d)
{
    for (unsigned i = d->first + 1; i < d->share_count; i++)
        store_share(&d->shares[i]);
}

/* When every share has answered so does the delivery; one that finishes a fan-out, when
 * it is over. */
static void conclude(struct delivery *d)
{
    bool over = d->stored + d->gone + d->refused == d->share_count;

    if (d->tried < d->share_count)
        return;
    if (d->state == DELIVERY_STORING && !d->resumed)
        delivery_end(d, STATUS_OK);
    if (over && d->refused) {
        if (!delivery_leave(d))
            delivery_left(d, STATUS_NO_MEMORY);
        return;
    }
    if (over && d->rest.len)
        fanout_close(d);
    if (d->state == DELIVERY_STORING)
        delivery_end(d, over ? STATUS_OK : STATUS_BUSY);
}

/* What each user of the share is told. */
static void note_outcomes(struct delivery_share *share)
{
    struct delivery *d = share->delivery;

    for (unsigned i = 0; i < share->target_count; i++) {
        const struct store_target *t = &share->targets[i];

        d->outcomes[t->tag] = t->status != STATUS_OK ? t->status : (uint8_t)share->status;
    }
    if (delivery_is_home(share))
        d->outcomes[d->user_count] = (uint8_t)share->status;
}

/* OK when anybody has it; else what the first of them is told. */
static void conclude_each(struct delivery *d)
{
    unsigned i = 0, count = d->user_count + (d->entries != NULL);

    if (d->tried < d->share_count)
        return;
    while (i < count && d->outcomes[i] != STATUS_OK)
        i++;
    delivery_end(d, i < count ? STATUS_OK : (enum status)d->outcomes[0]);
}

static bool is_first(const struct delivery_share *share)
{
    const struct delivery *d = share->delivery;

    return share == &d->shares[d->first] && !d->resumed;
}

/* Of a fan-out, or the only one. */
static void go_on(struct delivery_share *share)
{
    struct delivery *d = share->delivery;
    bool first = is_first(share), good = share->status == STATUS_OK;

    if (first && share->gone)
        store_next(d);
    else if (first && !good)
        delivery_end(d, share->status);
    else if (first)
        store_others(d);
    else if (!good && !share->gone)
        try_again(share);
    if (d->stored || d->resumed)
        conclude(d);
}

static void on_stored(struct thread *t, struct call *call)
{
    struct delivery_share *share = container_of(call, struct delivery_share, call);
    struct delivery *d = share->delivery;

    (void)t;
    d->tried += !share->tried;
    d->stored += share->status == STATUS_OK;
    d->gone += share->gone;
    share->tried = true;
    if (d->each) {
        note_outcomes(share);
        conclude_each(d);
    } else {
        go_on(share);
    }
    d->in_flight--; /* it may have been given back meanwhile */
    delivery_settle(d);
}

static void on_message(struct store_op *op, enum status status)
{
    struct delivery_share *share = container_of(op, struct delivery_share, message.op);
    const struct delivery *d = share->delivery;

    /* A shard that knows the id already names the chunks it got before. */
    share->status = status;
    share->named = status == STATUS_OK && !d->resumed && !d->once_id;
    if (status == STATUS_OK && delivery_is_home(share))
        delivery_entered(share->thread, share->shard, d->entries);
    delivery_answer(&share->call);
}

/* May mail be put there now? One that takes no mail for a time still gets what it has
 * been promised. */
static bool is_taken(const struct delivery_share *share, const struct account *account)
{
    const struct delivery *d = share->delivery;
    bool promised = d->resumed || (!d->each && share != &d->shares[d->first]);

    return account && (promised || !account->disabled);
}

/* Looks the targets up in the snapshot of their owner. It is swapped on every thread
 * before a removal begins, so what is stored for an account that is in it is removed with
 * the rest of its mail. */
static void drop_removed(struct thread *owner, struct delivery_share *share)
{
    unsigned kept = 0;

    if (!owner->accounts)
        return;
    for (unsigned i = 0; i < share->target_count; i++)
        if (is_taken(share, accounts_find(owner->accounts, share->targets[i].user)))
            share->targets[kept++] = share->targets[i];
        else if (share->delivery->each)
            share->delivery->outcomes[share->targets[i].tag] = STATUS_NOT_FOUND;
    share->target_count = kept;
    share->message.target_count = kept;
}

/* Nobody needs the text once more: its memory serves the next message while it is still
 * in the caches, and none is held while the disk is waited for. */
static void let_go_of_text(struct delivery *d)
{
    free(d->bytes);
    d->bytes = NULL;
    d->len = d->cap = 0;
    arena_reset(&d->arena);
    d->summary = NULL;
    d->encoded = slice_of(NULL, 0);
    delivery_account(d);
}

static void run_store(struct thread *t, struct call *call)
{
    struct delivery_share *share = container_of(call, struct delivery_share, call);
    struct delivery *d = share->delivery;

    drop_removed(t, share);
    if (share->target_count > 0 || share->message.queue_count > 0) {
        store_message(shard_store(t, share->shard), &share->message);
        if (t == d->thread && share->message.copied && d->share_count == 1 && !d->resumed)
            let_go_of_text(d);
        return;
    }
    share->status = STATUS_NOT_FOUND;
    share->gone = true;
    call_answer(call);
}

/* Body = head, the chunks, tail. */
static void put_body(struct store_message *m, const struct delivery *d)
{
    struct slice bytes = slice_of(d->bytes, d->len);

    m->head = d->chunk_count || d->front.len ? d->front : bytes;
    m->tail = d->chunk_count || d->front.len ? bytes : slice_of(NULL, 0);
    m->size = d->size;
    m->chunk_bytes = d->chunk_bytes;
    m->chunk_count = d->chunk_count;
}

/* The share of the queue: recipients elsewhere, and what is settled. */
static void put_home(struct store_message *m, const struct delivery *d)
{
    m->settles = d->settles;
    if (!d->entries)
        return;
    m->queue_envelopes = d->entries->envelopes;
    m->queue_count = d->entries->count;
    m->queue_ids = d->entries->ids;
}

static void store_share(struct delivery_share *share)
{
    struct delivery *d = share->delivery;

    share->message = (struct store_message){
        .op.done = on_message,
        .chunks = share->chunks,
        .summary = d->encoded,
        .date_s = d->date_s,
        .targets = share->targets,
        .target_count = share->target_count,
        .fanout_id = d->fanout_id,
        .fanout_rest = is_first(share) ? out_slice(&d->rest) : slice_of(NULL, 0),
        .each = d->each,
        .promised = d->resumed,
    };
    put_body(&share->message, d);
    if (delivery_is_home(share) && !d->resumed)
        put_home(&share->message, d);
    share->call = (struct call){.run = run_store, .done = on_stored};
    delivery_ask(d, share->thread, &share->call);
}

/* The first of the shares that are left goes ahead, with an account of the others. */
static void store_first(struct delivery *d)
{
    struct delivery_share *first = &d->shares[d->first];

    d->keeper = first->thread;
    d->keeper_shard = first->shard;
    if (d->share_count - d->first > 1) {
        while (!d->fanout_id)
            d->fanout_id = random_u64();
        if (!rest_make(d)) {
            delivery_end(d, STATUS_NO_MEMORY);
            return;
        }
    } else {
        d->rest.len = 0;
        d->fanout_id = d->once_id;
    }
    store_share(first);
}

/* Nobody is left in the first share. */
static void store_next(struct delivery *d)
{
    if (d->first + 1 == d->share_count || d->settles) {
        delivery_end(d, STATUS_NOT_FOUND);
        return;
    }
    d->first++;
    store_first(d);
}

static void store_all(struct delivery *d)
{
    for (unsigned i = 0; i < d->share_count; i++)
        store_share(&d->shares[i]);
}

void delivery_store(struct delivery *d)
{
    if (d->status != STATUS_OK) { /* a chunk failed on the way */
        delivery_end(d, d->status);
        return;
    }
    d->state = DELIVERY_STORING;
    if (d->resumed || d->each)
        store_all(d);
    else
        store_first(d);
}
