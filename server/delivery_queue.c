/* delivery_queue.c -- what of a delivery becomes entries of the queue.
 *
 *   envelopes of recipients elsewhere --bytes--> with the first share's message
 *   users of shares that can't be stored --envelopes of their names--> the keeper of the
 *   fan-out: entries instead of the fan-out, in one commit
 */
#include <stdlib.h>

#include "proto/mime/summary.h"
#include "server/delivery_state.h"
#include "server/queue.h"

/* --- envelopes as bytes ---------------------------------------------------- */

struct delivery_entries *delivery_entries_make(
    const struct envelope *envelopes, unsigned count)
{
    struct delivery_entries *e;
    struct out out;
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += envelope_bytes(&envelopes[i]);
    e = malloc(sizeof *e + count * (sizeof e->envelopes[0] + sizeof e->ids[0]) + bytes);
    if (!e)
        return NULL;
    e->count = count;
    e->bytes = bytes;
    e->envelopes = (void *)(e + 1);
    e->ids = (void *)(e->envelopes + count);
    out = out_of((char *)(e->ids + count), bytes);
    for (unsigned i = 0; i < count; i++) {
        const char *at = out.at + out.len;

        envelope_encode(&envelopes[i], &out);
        e->envelopes[i] = slice_of(at, (size_t)(out.at + out.len - at));
        e->ids[i] = 0;
    }
    CHECK(!out.full);
    return e;
}

void delivery_entered(
    struct thread *t, unsigned shard, const struct delivery_entries *entries)
{
    for (unsigned i = 0; entries && i < entries->count; i++)
        if (entries->ids[i])
            queue_entered(t, shard, entries->ids[i]);
}

/* --- what is left of a fan-out --------------------------------------------- */

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] >= 0x80)
            return false;
    return true;
}

/* What is known of the message without those who know more. */
static struct envelope envelope_of(const struct delivery *d)
{
    struct envelope e = {.sender = d->sender,
        .notice = d->notice,
        .arrived_s = d->date_s,
        .utf8 = !is_ascii(d->sender)};
    struct summary s;

    if (summary_open(d->encoded, &s)) {
        e.text_8bit = s.has_8bit;
        e.body = s.has_8bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
        e.header_bytes =
            s.header_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)s.header_bytes;
    }
    return e;
}

static unsigned users_left(const struct delivery *d)
{
    unsigned users = 0;

    for (unsigned i = 0; i < d->share_count; i++)
        if (d->shares[i].refused)
            users += d->shares[i].target_count;
    return users;
}

static void list_users(const struct delivery *d, struct envelope_rcpt *rcpts)
{
    for (unsigned i = 0; i < d->share_count; i++) {
        const struct delivery_share *share = &d->shares[i];

        for (unsigned k = 0; share->refused && k < share->target_count; k++)
            *rcpts++ = (struct envelope_rcpt){.address = share->targets[k].user};
    }
}

static struct delivery_entries *entries_of_users(const struct delivery *d)
{
    unsigned users = users_left(d);
    unsigned count = (users + ENVELOPE_RCPTS_MAX - 1) / ENVELOPE_RCPTS_MAX;
    struct envelope_rcpt *rcpts = malloc(users * sizeof *rcpts);
    struct envelope *envelopes = malloc(count * sizeof *envelopes);
    struct delivery_entries *entries = NULL;

    if (rcpts && envelopes) {
        list_users(d, rcpts);
        for (unsigned i = 0, from = 0; i < count; i++, from += ENVELOPE_RCPTS_MAX) {
            unsigned n = users - from;

            envelopes[i] = envelope_of(d);
            envelopes[i].rcpts = rcpts + from;
            envelopes[i].rcpt_count = n < ENVELOPE_RCPTS_MAX ? n : ENVELOPE_RCPTS_MAX;
            for (unsigned k = 0; k < envelopes[i].rcpt_count; k++)
                envelopes[i].utf8 |= !is_ascii(rcpts[from + k].address);
        }
        entries = delivery_entries_make(envelopes, count);
    }
    free(rcpts);
    free(envelopes);
    return entries;
}

static void on_left(struct thread *t, struct call *call)
{
    struct delivery_left *left = container_of(call, struct delivery_left, call);
    struct delivery *d = left->delivery;
    enum status status = left->status;

    (void)t;
    free(left->entries);
    free(left);
    delivery_left(d, status);
    d->in_flight--; /* it may have been given back meanwhile */
    delivery_settle(d);
}

static void on_queued(struct store_op *op, enum status status)
{
    struct delivery_left *left = container_of(op, struct delivery_left, request.op);
    const struct delivery *d = left->delivery;

    left->status = status;
    if (status == STATUS_OK)
        delivery_entered(d->keeper, d->keeper_shard, left->entries);
    delivery_answer(&left->call);
}

static void run_left(struct thread *t, struct call *call)
{
    struct delivery_left *left = container_of(call, struct delivery_left, call);

    store_fanout_queue(shard_store(t, left->delivery->keeper_shard), &left->request);
}

bool delivery_leave(struct delivery *d)
{
    struct delivery_left *left = calloc(1, sizeof *left);

    if (!left)
        return false;
    left->entries = entries_of_users(d);
    if (!left->entries) {
        free(left);
        return false;
    }
    left->delivery = d;
    left->request = (struct store_fanout_queue){.op.done = on_queued,
        .fanout_id = d->fanout_id,
        .size = d->size,
        .envelopes = left->entries->envelopes,
        .count = left->entries->count,
        .ids = left->entries->ids};
    left->call = (struct call){.run = run_left, .done = on_left};
    delivery_ask(d, d->keeper, &left->call);
    return true;
}
