/* conn_input.c -- from the ring's receive buffers to c->in.
 *
 * What arrives is offered to the session where it lies; only what the session leaves is
 * copied, to the stash. A receive buffer is therefore given back before the completion
 * that brought it is over.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/conn_state.h"

enum {
    STASH_MIN = 1024,
    STASH_BULK =
        (BIG_BUFFERS + 2) * RING_BIG_BYTES, /* all big buffers, behind a full stash */
};

struct conn_input {
    uint32_t cap, at, len; /* bytes [at, at + len) wait to be taken */
    uint32_t touched;      /* bytes that have ever been used: the rest takes no memory */
    char bytes[];
};

/* --- the stash ------------------------------------------------------------ */

size_t conn_stashed(const struct conn *c)
{
    return c->input ? c->input->len : 0;
}

size_t conn_stash_room(const struct conn *c)
{
    return c->input ? c->input->touched : 0;
}

struct slice conn_stash_slice(const struct conn *c)
{
    return c->input ? slice_of(c->input->bytes + c->input->at, c->input->len) : S("");
}

void conn_free_stash(struct conn *c, struct conn_input *stash)
{
    if (!stash)
        return;
    c->thread->stats.buffered -= stash->touched;
    free(stash);
}

void conn_drop_input(struct conn *c)
{
    conn_free_stash(c, c->input);
    c->input = NULL;
}

static void note_touched(struct conn *c, struct conn_input *in)
{
    uint32_t end = in->at + in->len;

    if (end <= in->touched)
        return;
    c->thread->stats.buffered += end - in->touched;
    in->touched = end;
}

/* Bulk input has room for all that may come before it can be told to wait: moving it to
 * ever larger memory would touch more new pages than a turn has time for. */
static bool grow(struct conn *c, size_t need)
{
    size_t cap = c->input ? c->input->cap : STASH_MIN;
    struct conn_input *bigger;

    if (conn_has(c, CONN_BIG) && cap < STASH_BULK)
        cap = STASH_BULK;
    while (cap < need)
        cap *= 2;
    if (cap > UINT32_MAX / 2)
        return false;
    bigger = malloc(sizeof *bigger + cap);
    if (!bigger)
        return false;
    *bigger = (struct conn_input){.cap = (uint32_t)cap};
    if (c->input) {
        bigger->len = c->input->len;
        memcpy(bigger->bytes, c->input->bytes + c->input->at, c->input->len);
        conn_drop_input(c);
    }
    c->input = bigger;
    note_touched(c, bigger);
    return true;
}

/* Room comes from the part that has been taken, while that is enough: the memory is warm,
 * and a move to other memory would copy as much. */
bool conn_stash(struct conn *c, struct slice rest)
{
    struct conn_input *in = c->input;

    if (rest.len == 0)
        return true;
    if (!in || in->cap - in->len < rest.len) {
        if (!grow(c, conn_stashed(c) + rest.len))
            return false;
        in = c->input;
    } else if (in->cap - in->at - in->len < rest.len) {
        memmove(in->bytes, in->bytes + in->at, in->len);
        in->at = 0;
    }
    memcpy(in->bytes + in->at + in->len, rest.at, rest.len);
    in->len += (uint32_t)rest.len;
    note_touched(c, in);
    return true;
}

void conn_unstash(struct conn *c, size_t n)
{
    struct conn_input *in = c->input;

    CHECK(in && n <= in->len);
    in->at += (uint32_t)n;
    in->len -= (uint32_t)n;
    if (in->len == 0)
        conn_drop_input(c);
}

/* The stash holds exactly what c->in still has. */
static void keep_rest(struct conn *c)
{
    struct conn_input *in = c->input;

    if (!in)
        return;
    CHECK(c->in.len <= in->len);
    in->at += in->len - (uint32_t)c->in.len;
    in->len = (uint32_t)c->in.len;
    if (in->len == 0)
        conn_drop_input(c);
}

/* --- to the session ------------------------------------------------------- */

void conn_offer(struct conn *c)
{
    c->in = conn_stash_slice(c);
    conn_run(c);
    keep_rest(c);
    c->in = S("");
}

/* New input has to wait. */
static bool held_back(const struct conn *c)
{
    return !conn_is(c, CONN_OPEN) ||
        (c->flags & (CONN_PAUSED | CONN_CONGESTED | CONN_STARTING)) != 0;
}

void conn_take(struct conn *c, struct slice plain)
{
    if (c->closing)
        return;
    if (held_back(c) || c->input) {
        if (!conn_stash(c, plain))
            conn_fail(c, ENOMEM);
        else if (!held_back(c))
            conn_offer(c);
        return;
    }
    c->in = plain;
    conn_run(c);
    if (!c->closing && !conn_stash(c, c->in))
        conn_fail(c, ENOMEM);
    c->in = S("");
}

/* --- receiving ------------------------------------------------------------ */

static void on_receive(struct op *op, int32_t res, uint32_t flags);

static bool wants_input(const struct conn *c)
{
    if (conn_has(c, CONN_FIN))
        return false;
    switch ((enum conn_state)c->state) {
    case CONN_PREFACE:
    case CONN_HANDSHAKE:
    case CONN_OPEN:
        return conn_stashed(c) < c->input_limit;
    case CONN_FLUSHING:
        return !conn_has(c, CONN_PARTING) && c->bulk_bytes < LINGER_BYTES_MAX;
    case CONN_LINGERING:
        return c->bulk_bytes < LINGER_BYTES_MAX;
    case CONN_OPENING:
    case CONN_MOVING:
    case CONN_ENDING:
    case CONN_CLOSED:
        break;
    }
    return false;
}

static bool wants_big(const struct conn *c)
{
    return conn_has(c, CONN_BULK) && c->bulk_bytes >= BULK_AFTER;
}

void conn_receive_update(struct conn *c)
{
    bool big = wants_big(c), wanted = wants_input(c);
    struct op *op = &c->receive;

    if (op->pending) {
        if (!conn_has(c, CONN_STOPPING) && (!wanted || big != conn_has(c, CONN_BIG))) {
            conn_set(c, CONN_STOPPING, true);
            ring_cancel(c->thread->ring, op);
        }
        return;
    }
    if (!wanted)
        return;
    conn_set(c, CONN_STOPPING, false);
    conn_set(c, CONN_BIG, big);
    op_start(op, on_receive);
    ring_receive(c->thread->ring, op, c->fd, big);
}

static void take_bytes(struct conn *c, struct slice bytes)
{
    c->thread->stats.bytes_in += bytes.len;
    switch ((enum conn_state)c->state) {
    case CONN_HANDSHAKE:
    case CONN_OPEN:
    case CONN_MOVING:
        if (conn_has(c, CONN_BULK) && c->bulk_bytes < BULK_AFTER)
            c->bulk_bytes += (uint32_t)bytes.len;
        if (c->tls)
            conn_tls_take(c, bytes);
        else
            conn_take(c, bytes);
        return;
    case CONN_FLUSHING:
    case CONN_LINGERING:
        if (c->bulk_bytes < LINGER_BYTES_MAX)
            c->bulk_bytes += (uint32_t)bytes.len;
        return;
    case CONN_PREFACE:
        conn_proxy_take(c, bytes);
        return;
    case CONN_OPENING: /* behind the header of a proxy */
        if (!conn_stash(c, bytes))
            conn_fail(c, ENOMEM);
        return;
    case CONN_ENDING:
    case CONN_CLOSED:
        return;
    }
}

/* The end of the stream. Inside TLS only close_notify ends a session in order. */
static void take_end(struct conn *c)
{
    conn_set(c, CONN_FIN, true);
    switch ((enum conn_state)c->state) {
    case CONN_PREFACE:
    case CONN_HANDSHAKE:
        conn_fail(c, ECONNRESET);
        return;
    case CONN_OPEN:
        if (c->tls && !c->eof) {
            conn_fail(c, ECONNRESET);
            return;
        }
        if (!c->eof) {
            c->eof = true;
            conn_wake(c);
        }
        return;
    case CONN_MOVING: /* looked at on arrival */
    case CONN_FLUSHING:
    case CONN_LINGERING:
    case CONN_OPENING:
    case CONN_ENDING:
    case CONN_CLOSED:
        return;
    }
}

static void receive_again(struct conn *c)
{
    if (!wants_input(c) || conn_has(c, CONN_STOPPING))
        return;
    op_start(&c->receive, on_receive);
    ring_receive_starved(c->thread->ring, &c->receive, c->fd, conn_has(c, CONN_BIG));
}

static void on_receive(struct op *op, int32_t res, uint32_t flags)
{
    struct conn *c = container_of(op, struct conn, receive);
    struct ring *ring = c->thread->ring;

    if (res > 0)
        take_bytes(c, ring_received(ring, op, res, flags));
    ring_return(ring, op, flags);
    if (res == 0)
        take_end(c);
    else if (res == -ENOBUFS)
        receive_again(c);
    else if (res < 0 && res != -ECANCELED && res != -EINTR && res != -EAGAIN &&
        !conn_is(c, CONN_ENDING))
        conn_fail(c, -res);
    if (!op->pending)
        conn_set(c, CONN_STOPPING, false);
    conn_receive_update(c);
    if (!conn_is(c, CONN_OPEN))
        conn_touch(c);
}

/* --- what a session may ask ----------------------------------------------- */

void conn_input_limit(struct conn *c, size_t bytes)
{
    c->input_limit = bytes < INT32_MAX ? (uint32_t)bytes : INT32_MAX;
    conn_touch(c);
}

void conn_bulk(struct conn *c, bool on)
{
    if (conn_has(c, CONN_BULK) == on)
        return;
    conn_set(c, CONN_BULK, on);
    c->bulk_bytes = 0;
}

/* What has been stashed meanwhile is offered at the end of the turn. */
void conn_pause(struct conn *c, bool on)
{
    bool was = conn_has(c, CONN_PAUSED);

    conn_set(c, CONN_PAUSED, on);
    if (was && !on && c->input)
        conn_wake(c);
}
