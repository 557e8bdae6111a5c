/* conn_output.c -- from c->out to the socket.
 *
 *   c->out and lent bytes --> plain --sealed, or as they are--> wire --> one send
 *
 * Text stands in blocks of the thread's pool; a piece is a run of bytes in a block, or a
 * lent slice. The send in flight covers the first pieces of `wire`; completions are
 * counted in bytes, so a piece may grow at its end while it is being sent. Sends without
 * a copy take their pieces off the wire: conn_zero_copy.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/conn_state.h"
#include "server/output_pool.h"

/* --- queues --------------------------------------------------------------- */

static void queue_add(struct output_queue *q, struct output_piece *piece)
{
    CHECK(q->tail);
    piece->next = NULL;
    *q->tail = piece;
    q->tail = &piece->next;
    q->bytes += piece->len;
}

/* The first n bytes are done with. */
static void queue_skip(struct thread *t, struct output_queue *q, size_t n)
{
    q->bytes -= n;
    while (q->head) {
        struct output_piece *piece = q->head;

        if (n < piece->len) {
            piece->at += n;
            piece->len -= n;
            return;
        }
        n -= piece->len;
        q->head = piece->next;
        if (!q->head)
            q->tail = &q->head;
        output_drop_piece(t, piece);
    }
    CHECK(n == 0);
}

/* A run of the block: grows the last piece where it follows on. */
static bool queue_add_run(struct thread *t, struct output_queue *q,
    struct output_piece *last, struct output_block *block, const char *at, size_t len)
{
    struct output_piece *piece;

    if (last && last->block == block && last->at + last->len == at) {
        last->len += len;
        q->bytes += len;
        return true;
    }
    piece = output_take_piece(t);
    if (!piece)
        return false;
    piece->at = at;
    piece->len = len;
    piece->block = block;
    block->refs++;
    queue_add(q, piece);
    return true;
}

static struct output_piece *queue_last(struct output_queue *q)
{
    return q->head ? container_of(q->tail, struct output_piece, next) : NULL;
}

/* --- writing -------------------------------------------------------------- */

/* Makes a piece of what has been written to the window. */
static bool cut_window(struct conn *c)
{
    struct conn_output *o = c->output;
    struct out *out = &c->out;

    if (!o || out->len == 0)
        return true;
    if (!queue_add_run(
            c->thread, &o->plain, queue_last(&o->plain), o->window, out->at, out->len))
        return false;
    out->at += out->len;
    out->cap -= out->len;
    out->len = 0;
    return true;
}

static struct conn_output *output_of(struct conn *c)
{
    if (!c->output) {
        c->output = output_take(c->thread);
        if (c->output)
            c->output->since = thread_seconds(c->thread);
    }
    return c->output;
}

/* out->more: a new block for the window. */
static bool more_room(struct out *out)
{
    struct conn *c = container_of(out, struct conn, out);
    struct conn_output *o = output_of(c);
    struct output_block *block;

    if (!o || !cut_window(c) || conn_unsent(c) > OUTPUT_HARD_MAX)
        return false;
    block = output_take_block(c->thread);
    if (!block)
        return false;
    output_drop_block(c->thread, o->window);
    o->window = block;
    out->at = block->bytes;
    out->cap = sizeof block->bytes;
    out->len = 0;
    conn_touch(c);
    return true;
}

void conn_output_open(struct conn *c)
{
    c->out = (struct out){NULL, 0, 0, false, more_room};
}

size_t conn_unsent(const struct conn *c)
{
    const struct conn_output *o = c->output;

    return o ? o->plain.bytes + o->wire.bytes + o->pinned + c->out.len : 0;
}

bool conn_congested(const struct conn *c)
{
    return conn_unsent(c) > c->thread->process->conf.unsent_max;
}

void conn_lend(struct conn *c, struct slice bytes, void (*release)(void *arg), void *arg)
{
    struct output_piece *piece = NULL;

    if (c->closing || bytes.len < LENT_MIN) {
        if (!c->closing)
            out_put(&c->out, bytes);
    } else if (output_of(c) && cut_window(c)) {
        piece = output_take_piece(c->thread);
    }
    if (piece) {
        piece->at = bytes.at;
        piece->len = bytes.len;
        piece->release = release;
        piece->arg = arg;
        queue_add(&c->output->plain, piece);
        conn_touch(c);
        return;
    }
    if (!c->closing && bytes.len >= LENT_MIN)
        c->out.full = true; /* no memory: the connection is lost */
    if (release)
        release(arg);
}

/* --- sealing -------------------------------------------------------------- */

void conn_put_sealed(void *conn, struct slice sealed)
{
    struct conn *c = conn;
    struct conn_output *o = output_of(c);

    while (o && sealed.len) {
        struct output_block *block = o->sealing;
        size_t room = block ? sizeof block->bytes - block->used : 0;
        size_t n = sealed.len < room ? sealed.len : room;

        if (room == 0) {
            output_drop_block(c->thread, block);
            o->sealing = output_take_block(c->thread);
            if (!o->sealing)
                break;
            continue;
        }
        memcpy(block->bytes + block->used, sealed.at, n);
        if (!queue_add_run(c->thread, &o->wire, queue_last(&o->wire), block,
                block->bytes + block->used, n))
            break;
        block->used += (uint32_t)n;
        slice_take(&sealed, n);
    }
    if (!o || sealed.len)
        c->out.full = true;
    conn_touch(c);
}

/* Copies plain pieces together until they fill a record: short ones cost one seal. */
static struct slice gather(struct conn *c, char *scratch)
{
    struct output_queue *q = &c->output->plain;
    size_t n = 0;

    if (q->head->len >= TLS_RECORD_MAX)
        return slice_of(q->head->at, TLS_RECORD_MAX);
    for (struct output_piece *piece = q->head; piece && n < TLS_RECORD_MAX;
         piece = piece->next) {
        size_t part = piece->len < TLS_RECORD_MAX - n ? piece->len : TLS_RECORD_MAX - n;

        memcpy(scratch + n, piece->at, part);
        n += part;
    }
    return slice_of(scratch, n);
}

static bool seal(struct conn *c)
{
    struct conn_output *o = c->output;
    char *scratch = c->thread->state->scratch + SCRATCH_BYTES / 2;

    while (o->plain.head && o->wire.bytes < SEND_BYTES_MAX) {
        struct slice record = gather(c, scratch);

        if (!tls_write(c->tls, record))
            return false;
        queue_skip(c->thread, &o->plain, record.len);
    }
    return true;
}

static void move_plain_to_wire(struct conn_output *o)
{
    if (!o->plain.head)
        return;
    *o->wire.tail = o->plain.head;
    o->wire.tail = o->plain.tail;
    o->wire.bytes += o->plain.bytes;
    o->plain.head = NULL;
    o->plain.tail = &o->plain.head;
    o->plain.bytes = 0;
}

void conn_out_in_clear(struct conn *c)
{
    if (!c->output)
        return;
    if (!cut_window(c))
        c->out.full = true;
    move_plain_to_wire(c->output);
}

/* --- sending -------------------------------------------------------------- */

static void on_send(struct op *op, int32_t res, uint32_t flags);

/* All of a reply, or of our part of a handshake, with nothing behind it: the end of the
 * send makes no difference to anybody. Lent bytes go back at the end, and somebody may
 * wait for those. */
static bool may_go_promptly(const struct conn *c, size_t bytes)
{
    const struct conn_output *o = c->output;

    if ((!conn_is(c, CONN_OPEN) && !conn_is(c, CONN_HANDSHAKE)) || c->closing ||
        conn_has(c, CONN_CONGESTED) || o->slow || o->pins || o->plain.head ||
        o->wire.bytes != bytes || bytes > PROMPT_BYTES_MAX)
        return false;
    for (const struct output_piece *piece = o->wire.head; piece; piece = piece->next)
        if (piece->release)
            return false;
    return true;
}

bool conn_sends_promptly(const struct conn *c)
{
    return c->send.pending && c->output && c->output->prompt;
}

/* The end of the stream follows. */
static bool is_last(const struct conn *c, size_t bytes)
{
    const struct conn_output *o = c->output;

    return conn_is(c, CONN_FLUSHING) && !o->plain.head && bytes == o->wire.bytes;
}

static void send_promptly(struct conn *c, size_t count, size_t bytes)
{
    struct conn_output *o = c->output;

    if (count == 1) {
        ring_send_now(c->thread->ring, &c->send, c->fd, o->iov[0].iov_base, bytes);
    } else {
        o->msg = (struct msghdr){.msg_iov = o->iov, .msg_iovlen = count};
        ring_sendmsg_now(c->thread->ring, &c->send, c->fd, &o->msg, bytes);
    }
}

static void send_copying(struct conn *c, size_t count, size_t bytes)
{
    struct ring *ring = c->thread->ring;
    struct conn_output *o = c->output;

    o->msg = (struct msghdr){.msg_iov = o->iov, .msg_iovlen = count};
    if (is_last(c, bytes))
        ring_sendmsg_last(ring, &c->send, c->fd, &o->msg);
    else if (count == 1)
        ring_send(ring, &c->send, c->fd, o->iov[0].iov_base, bytes);
    else
        ring_sendmsg(ring, &c->send, c->fd, &o->msg);
}

static void start_send(struct conn *c)
{
    struct conn_output *o = c->output;
    size_t count = 0, bytes = 0;

    for (struct output_piece *piece = o->wire.head;
         piece && count < OUTPUT_IOVS && bytes < SEND_BYTES_MAX; piece = piece->next) {
        o->iov[count++] = (struct iovec){(void *)(uintptr_t)piece->at, piece->len};
        bytes += piece->len;
    }
    op_start(&c->send, on_send);
    o->prompt = bytes < c->thread->state->zero_copy_min && may_go_promptly(c, bytes);
    if (o->prompt) {
        send_promptly(c, count, bytes);
        return;
    }
    if (bytes < c->thread->state->zero_copy_min || c->copies ||
        !conn_send_zero_copy(c, count))
        send_copying(c, count, bytes);
    c->write_at = thread_seconds(c->thread) + c->thread->process->conf.write_s;
    conn_arm_timer(c);
}

static bool all_sent(const struct conn_output *o)
{
    return !o->wire.head && !o->plain.head && !o->pins;
}

/* Everything is sent: the blocks go back, and the session's deadline, which stood still,
 * goes on. What went promptly may be heard of late, and took no time. */
static void drained(struct conn *c)
{
    if (c->idle_at && !c->output->prompt)
        c->idle_at += thread_seconds(c->thread) - c->output->since;
    c->write_at = 0;
    output_drop(c->thread, c->output);
    c->output = NULL;
    conn_output_open(c);
    conn_arm_timer(c);
}

void conn_flush(struct conn *c)
{
    struct conn_output *o = c->output;

    if (!o || conn_is(c, CONN_ENDING) || conn_is(c, CONN_CLOSED))
        return;
    if (c->out.full || !cut_window(c)) {
        conn_fail(c, ENOBUFS);
        return;
    }
    if (!c->tls) {
        move_plain_to_wire(o);
    } else if (c->secure && !seal(c)) {
        conn_fail(c, EPROTO);
        return;
    }
    if (c->secure && conn_is(c, CONN_FLUSHING) && !o->plain.head)
        conn_tls_end(c); /* its last record goes with the others */
    if (c->send.pending)
        return;
    if (o->wire.head)
        start_send(c);
    else if (all_sent(o))
        drained(c);
}

static void on_send(struct op *op, int32_t res, uint32_t flags)
{
    struct conn *c = container_of(op, struct conn, send);

    (void)flags;
    if (res > 0) {
        c->thread->stats.bytes_out += (uint64_t)res;
        queue_skip(c->thread, &c->output->wire, (size_t)res);
    }
    conn_sent(c, res);
}

void conn_sent(struct conn *c, int32_t res)
{
    struct conn_output *o = c->output;

    if (conn_is(c, CONN_ENDING)) {
        conn_advance(c);
        return;
    }
    if (res <= 0 && res != -EINTR && res != -EAGAIN) {
        conn_fail(c, res ? -res : EPIPE);
        return;
    }
    if (o->prompt) {
        o->slow = o->wire.head;
        o->since = thread_seconds(c->thread);
    }
    conn_fewer_unsent(c);
}

void conn_fewer_unsent(struct conn *c)
{
    struct conn_output *o = c->output;

    if (!c->send.pending) {
        if (!o->pins)
            c->write_at = 0;
        if (all_sent(o) && c->out.len == 0)
            drained(c);
    }
    if (conn_has(c, CONN_CONGESTED) &&
        conn_unsent(c) <= c->thread->process->conf.unsent_max / 2) {
        conn_set(c, CONN_CONGESTED, false);
        conn_deadline(c, c->deadline_s); /* the peer has taken much: it is alive */
        conn_wake(c);
    }
    if (c->output || !conn_is(c, CONN_OPEN))
        conn_touch(c);
}

void conn_drop_output(struct conn *c)
{
    struct conn_output *o = c->output;

    CHECK(!c->send.pending && !conn_pinned(c));
    if (!o)
        return;
    queue_skip(c->thread, &o->plain, o->plain.bytes);
    queue_skip(c->thread, &o->wire, o->wire.bytes);
    output_drop(c->thread, o);
    c->output = NULL;
    conn_output_open(c);
}
