/* hop_text.c -- the text of a message, from the log to the hop: lent where it lies, with
 * the dots doubled for DATA (RFC 5321, 4.5.2), as it is for BDAT (RFC 3030). */
#include "server/hop_state.h"

static void unreadable(struct hop *h, enum status status)
{
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 3, 0), "the stored text can't be read: %s",
        status == STATUS_OK ? "it is too short" : status_text(status));
    hop_end(h, &end, HOP_ABORT);
}

/* --- pieces --------------------------------------------------------------- */

static bool take_piece(struct hop *h, enum status status)
{
    struct hop_work *w = &h->work;
    struct slice piece = w->piece.piece;

    if (status != STATUS_OK || piece.len == 0 || piece.len > w->left) {
        unreadable(h, status);
        return false;
    }
    w->at = piece;
    w->left -= piece.len;
    return true;
}

static void on_piece(struct store_op *op, enum status status)
{
    struct hop *h = container_of(op, struct hop, work.piece.op);

    h->owed = false;
    if (h->over)
        hop_landed(h);
    else if (take_piece(h, status))
        conn_wake(h->conn);
}

bool hop_text_more(struct hop *h)
{
    if (h->work.at.len || h->work.left == 0)
        return true;
    h->owed = !body_next(&h->work.piece, on_piece);
    return !h->owed && take_piece(h, STATUS_OK);
}

/* --- sending -------------------------------------------------------------- */

static void release_loan(void *loan)
{
    body_release(loan);
}

static void lend(struct hop *h, struct slice run)
{
    conn_lend(h->conn, run, release_loan, body_lend(&h->work.piece));
}

/* A part of the piece: at most so many runs, since a text of dots alone is all copying.
 */
static void send_stuffed(struct hop *h)
{
    struct hop_work *w = &h->work;

    for (unsigned n = 0; n < HOP_TURN_RUNS && w->at.len; n++)
        lend(h, dots_next(&w->dots, &w->at));
}

static void send_piece(struct hop *h)
{
    struct hop_work *w = &h->work;

    if (w->chunks)
        lend(h, slice_take(&w->at, w->at.len));
    else if (w->converted)
        hop_convert_run(h, &w->at);
    else
        send_stuffed(h);
}

static void all_sent(struct hop *h)
{
    struct hop_work *w = &h->work;

    if (w->converted)
        hop_convert_end(h);
    if (!w->chunks)
        out_put(&h->conn->out, dots_end(&w->dots));
    hop_text_end(h);
    w->verdicts = h->lmtp ? w->accepted : 1;
    w->heard = 0;
    hop_await(h, HOP_VERDICT);
}

void hop_text(struct hop *h)
{
    struct hop_work *w = &h->work;

    if (h->owed || conn_congested(h->conn))
        return;
    if (!hop_text_more(h))
        return;
    if (w->at.len)
        send_piece(h);
    if (w->at.len == 0 && w->left == 0)
        all_sent(h);
    else
        conn_wake(h->conn);
}

/* --- beginning and end ---------------------------------------------------- */

bool hop_text_open(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct hop_message *m = w->m;
    enum status status = STATUS_NOT_FOUND;

    w->piece = (struct body){0};
    w->at = S("");
    w->left = w->send_bytes;
    if (!m->find || m->find(m))
        status = body_open_place(
            m->store, &w->piece, m->body, m->envelope->text_at, w->send_bytes);
    w->reading = status == STATUS_OK;
    if (!w->reading)
        unreadable(h, status);
    return w->reading;
}

void hop_text_begin(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct out *out = &h->conn->out;

    hop_await(h, HOP_TEXT);
    w->dots = (struct dots){0};
    if (!hop_text_open(h))
        return;
    if (w->converted)
        hop_convert_begin(w->converted);
    if (w->chunks) {
        out_put(out, S("BDAT "));
        out_u64(out, w->send_bytes);
        out_put(out, S(" LAST\r\n"));
    }
    hop_text(h);
}

void hop_text_end(struct hop *h)
{
    if (h->work.reading)
        body_close(&h->work.piece);
    h->work.reading = false;
}
