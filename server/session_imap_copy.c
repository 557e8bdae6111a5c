/* COPY and MOVE: RFC 3501, 6.4.7; RFC 6851; COPYUID: RFC 4315, 3. All or none. */
#include "server/session_imap_work.h"

struct copy_cursor {
    struct imap_request request;
    struct imap_seqs given;   /* what the client named */
    struct imap_seqs present; /* what of it is still there */
    enum { COPY_LOOK, COPY_WAIT, COPY_CODE } at;
    unsigned hint;
    uint32_t seq;
    uint32_t count; /* messages in `present` */
    uint64_t bytes; /* of them */
    struct imap_set_writer writer;
    bool writing;
};

enum { LOOKS_PER_UNIT = 8, UIDS_PER_UNIT = 2 }; /* messages looked at in a unit */

static struct copy_cursor *begin(struct session_imap *s)
{
    struct imap_cmd *cmd = &s->work->cmd;
    struct copy_cursor *c;

    if (cmd->verb == IMAP_MOVE && s->view.examine) {
        imap_no(s, S("[CANNOT]"), S("The mailbox is selected read-only"));
        return NULL;
    }
    c = imap_cursor(s, sizeof *c);
    if (!c || !imap_seqs_of(s, &cmd->copy.set, cmd->uid, &c->given))
        return NULL;
    return c;
}

static enum turn ask(struct session_imap *s, struct copy_cursor *c)
{
    struct copy_op *op = &c->request.copy;

    if (c->count == 0)
        return imap_ok(s);
    op->uids = imap_seqs_uids(s, &c->present);
    if (!op->uids)
        return TURN_DONE;
    op->uid_count = c->present.count;
    op->to = s->work->cmd.copy.mailbox;
    op->move = s->work->cmd.verb == IMAP_MOVE;
    imap_ask(s, &c->request);
    mailbox_copy(s->view.mailbox, op);
    c->at = COPY_WAIT;
    return TURN_WAIT;
}

/* Leaves out what was expunged: ignored among UIDs, an error among sequence numbers, as
 * the client may mean another message (RFC 2180, 4.4). */
static enum turn look(struct session_imap *s, struct copy_cursor *c)
{
    struct entry entry;

    while (imap_seqs_from(&c->given, &c->hint, c->seq + 1, &c->seq)) {
        if (view_entry(&s->view, c->seq, &entry)) {
            if (!imap_seqs_add(s, &c->present, c->seq))
                return TURN_DONE;
            c->count++;
            c->bytes += entry.size;
        } else if (!s->work->cmd.uid) {
            return imap_no(
                s, S("[EXPUNGEISSUED]"), S("Some of the messages were expunged"));
        }
        if (c->seq % LOOKS_PER_UNIT == 0 && imap_spent(s, 1))
            return TURN_YIELD;
    }
    return ask(s, c);
}

/* `[COPYUID validity from to]`, a piece at a time: the sets can be long. */
static enum turn put_code(struct session_imap *s)
{
    struct copy_cursor *c = s->work->cursor;
    const struct copy_op *op = &c->request.copy;
    struct out *out = &s->conn.out;
    enum turn turn = TURN_AGAIN;

    if (!c->writing) {
        out_put(out, S("[COPYUID "));
        out_u64(out, op->uid_validity);
        out_byte(out, ' ');
        c->writer = imap_set_writer_of(out);
        c->writing = true;
        c->hint = 0;
        c->seq = 0;
    }
    while (turn == TURN_AGAIN &&
        imap_seqs_from(&c->present, &c->hint, c->seq + 1, &c->seq)) {
        imap_set_writer_add(&c->writer, view_uid(&s->view, c->seq));
        if (c->seq % UIDS_PER_UNIT == 0)
            turn = imap_pace(s, 1);
    }
    if (turn != TURN_AGAIN)
        return turn;
    imap_set_writer_end(&c->writer);
    out_byte(out, ' ');
    c->writer = imap_set_writer_of(out);
    imap_set_writer_add(&c->writer, op->uid_first);
    if (op->count > 1)
        c->writer.last = op->uid_first + op->count - 1;
    imap_set_writer_end(&c->writer);
    out_byte(out, ']');
    return TURN_DONE;
}

static enum turn copied(struct session_imap *s, struct copy_cursor *c)
{
    const struct copy_op *op = &c->request.copy;

    if (c->request.status != STATUS_OK)
        return imap_answer(s, c->request.status, S("[TRYCREATE]"),
            imap_limit_code(s, op->move ? 0 : c->bytes));
    /* Fewer: some went while the copy was on its way; which, only the store knows. */
    if (op->count != c->count || op->count == 0)
        return imap_ok(s);
    if (!op->move) {
        imap_ok(s);
        s->work->code = put_code;
        return TURN_DONE;
    }
    out_put(&s->conn.out, S("* OK ")); /* before the EXPUNGEs: RFC 6851, 4.3 */
    c->at = COPY_CODE;
    return TURN_AGAIN;
}

enum turn imap_step_copy(struct session_imap *s)
{
    struct copy_cursor *c = s->work->cursor;
    enum turn turn;

    if (!c)
        c = begin(s);
    if (!c)
        return TURN_DONE;
    if (s->work->pending)
        return TURN_WAIT;
    switch (c->at) {
    case COPY_LOOK:
        return look(s, c);
    case COPY_WAIT:
        return copied(s, c);
    case COPY_CODE:
        turn = put_code(s);
        if (turn != TURN_DONE)
            return turn;
        out_put(&s->conn.out, S(" Moved\r\n"));
        return imap_ok(s);
    }
    CHECK(false);
    return TURN_DONE;
}
