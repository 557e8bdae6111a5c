/* conn_zero_copy.c -- sends without a copy (--zero-copy).
 *
 *   wire --send--> pinned --the socket has them--> pinned --let go--> given back
 *                       \--refused--> wire
 *
 * The kernel sends from our memory, and again where packets are lost: the pieces are its
 * own until it says that it lets go of them, mostly when the peer has them all. The next
 * send does not wait for that; the rest of the connection does: while bytes are pinned
 * there is output, so that it counts as unsent, the write timeout runs, and nobody moves
 * or hangs up.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/conn_state.h"
#include "server/output_pool.h"

struct zero_copy {
    struct op op;
    struct conn *conn;
    struct output_queue pieces;
};

bool conn_pinned(const struct conn *c)
{
    return c->output && c->output->pins;
}

struct op *conn_send_op(struct conn *c)
{
    return c->output && c->output->zero_copy ? &c->output->zero_copy->op : &c->send;
}

/* --- pieces --------------------------------------------------------------- */

static void take_pieces(struct zero_copy *z, struct output_queue *wire, size_t count)
{
    z->pieces = (struct output_queue){wire->head, NULL, 0};
    for (struct output_piece **next = &wire->head; count; count--) {
        z->pieces.bytes += (*next)->len;
        next = &(*next)->next;
        z->pieces.tail = next;
    }
    wire->head = *z->pieces.tail;
    wire->bytes -= z->pieces.bytes;
    if (!wire->head)
        wire->tail = &wire->head;
    *z->pieces.tail = NULL;
}

static void put_back(struct zero_copy *z)
{
    struct conn_output *o = z->conn->output;

    *z->pieces.tail = o->wire.head;
    if (!o->wire.head)
        o->wire.tail = z->pieces.tail;
    o->wire.head = z->pieces.head;
    o->wire.bytes += z->pieces.bytes;
    o->pinned -= z->pieces.bytes;
    z->pieces = (struct output_queue){0};
}

/* --- the send ------------------------------------------------------------- */

/* Nothing went, and a send that copies would. */
static bool is_refusal(int32_t res)
{
    return res == -ENOMEM || res == -EOPNOTSUPP || res == -EINVAL;
}

/* The socket has the bytes, or will never have them. Cut short is only what has failed.
 */
static void taken(struct zero_copy *z, int32_t res)
{
    struct conn *c = z->conn;

    c->output->zero_copy = NULL;
    if (res >= 0) {
        c->thread->stats.sends_zero_copy++;
        c->thread->stats.bytes_out += (uint64_t)res;
        if ((size_t)res < z->pieces.bytes)
            res = -EPIPE;
    } else {
        put_back(z);
        if (is_refusal(res)) {
            c->copies = true;
            res = -EAGAIN;
        }
    }
    op_post(&c->thread->ready, &c->send, res);
}

static void let_go(struct zero_copy *z)
{
    struct conn *c = z->conn;

    c->output->pins--;
    c->output->pinned -= z->pieces.bytes;
    while (z->pieces.head) {
        struct output_piece *piece = z->pieces.head;

        z->pieces.head = piece->next;
        output_drop_piece(c->thread, piece);
    }
    free(z);
    if (conn_is(c, CONN_ENDING)) {
        conn_advance(c);
        return;
    }
    c->write_at = thread_seconds(c->thread) + c->thread->process->conf.write_s;
    conn_fewer_unsent(c);
}

/* A send that has failed says that it was copied, too: it says nothing. */
static void on_zero_copy(struct op *op, int32_t res, uint32_t flags)
{
    struct zero_copy *z = container_of(op, struct zero_copy, op);

    if (!(flags & RING_LET_GO)) {
        taken(z, res);
    } else if (res == RING_COPIED && z->pieces.head) {
        z->conn->thread->stats.sends_copied++;
        z->conn->copies = true;
    }
    if (!(flags & RING_MORE))
        let_go(z);
}

static void on_taken(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    conn_sent(container_of(op, struct conn, send), res);
}

bool conn_send_zero_copy(struct conn *c, size_t count)
{
    struct conn_output *o = c->output;
    struct zero_copy *z = calloc(1, sizeof *z);

    if (!z)
        return false;
    z->conn = c;
    take_pieces(z, &o->wire, count);
    o->pins++;
    o->pinned += z->pieces.bytes;
    o->zero_copy = z;
    o->msg = (struct msghdr){.msg_iov = o->iov, .msg_iovlen = count};
    c->send.done = on_taken;
    op_start(&z->op, on_zero_copy);
    ring_sendmsg_zero_copy(c->thread->ring, &z->op, c->fd, &o->msg);
    return true;
}
