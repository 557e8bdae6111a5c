/* Opening, closing and cleaning a mailbox: SELECT, EXAMINE, STATUS, CLOSE, UNSELECT,
 * EXPUNGE and UID EXPUNGE. */
#include "server/session_imap_work.h"

/* --- SELECT, EXAMINE: RFC 3501, 6.3.1, 6.3.2 ------------------------------------------
 */

struct select {
    struct imap_request request;
    bool shown;
    uint32_t seq; /* the first unseen message is looked for from here */
};

enum { UNSEEN_PER_UNIT = 8 }; /* messages looked at in a unit */

static void show(struct session_imap *s, struct mailbox *mailbox)
{
    struct out *out = &s->conn.out;
    bool examine = s->work->cmd.verb == IMAP_EXAMINE;

    view_open(&s->view, mailbox, examine, imap_view_changed);
    s->state = IMAP_STATE_SELECTED;
    imap_put_mailbox_flags(s);
    imap_put_count(out, s->view.count, S("EXISTS"));
    imap_put_count(out, view_recent(&s->view), S("RECENT"));
}

/* The first message without \Seen; nothing is said when there is none. */
static enum turn find_unseen(struct session_imap *s, struct select *c)
{
    struct entry entry;

    while (c->seq < s->view.count) {
        c->seq++;
        if (view_entry(&s->view, c->seq, &entry) && !(entry.flags & FLAG_SEEN)) {
            imap_put_number_code(
                &s->conn.out, S("UNSEEN"), c->seq, S("First unseen message"));
            break;
        }
        if (c->seq % UNSEEN_PER_UNIT == 0 && imap_spent(s, 1))
            return TURN_YIELD;
    }
    return TURN_DONE;
}

static enum turn selected(struct session_imap *s)
{
    struct out *out = &s->conn.out;
    struct mailbox_status status;

    mailbox_status(s->view.mailbox, &status);
    imap_put_number_code(out, S("UIDVALIDITY"), status.uid_validity, S("UIDs are valid"));
    imap_put_number_code(out, S("UIDNEXT"), status.uid_next, S("The next UID"));
    return imap_ok_code(s, s->view.examine ? S("[READ-ONLY]") : S("[READ-WRITE]"));
}

static void select_drop(struct session_imap *s)
{
    struct select *c = s->work->cursor;

    if (!c->shown && c->request.status == STATUS_OK)
        mailbox_close(c->request.mailbox_open.mailbox);
}

enum turn imap_step_select(struct session_imap *s)
{
    struct select *c = s->work->cursor;
    enum turn turn;

    if (!c) {
        imap_deselect(s);
        c = imap_cursor(s, sizeof *c);
        if (!c)
            return TURN_DONE;
        s->work->drop = select_drop;
        imap_ask(s, &c->request);
        c->request.mailbox_open.name = s->work->cmd.mailbox;
        mailbox_open(s->user, &c->request.mailbox_open);
    }
    if (s->work->pending)
        return TURN_WAIT;
    if (!c->shown) {
        if (c->request.status != STATUS_OK)
            return imap_answer(s, c->request.status, S("[NONEXISTENT]"), S("[LIMIT]"));
        show(s, c->request.mailbox_open.mailbox);
        c->shown = true;
    }
    turn = find_unseen(s, c);
    return turn == TURN_DONE ? selected(s) : turn;
}

/* --- STATUS: RFC 3501, 6.3.10 ----------------------------------------------------------
 */

static void put_status(struct session_imap *s, struct mailbox *mailbox)
{
    struct mailbox_status status;

    mailbox_status(mailbox, &status);
    imap_put_status_data(&s->conn.out, s->work->cmd.status.mailbox,
        s->work->cmd.status.items,
        (uint32_t[IMAP_STATUS_COUNT]){
            [IMAP_STATUS_BIT_MESSAGES] = status.messages,
            [IMAP_STATUS_BIT_RECENT] = status.recent,
            [IMAP_STATUS_BIT_UIDNEXT] = status.uid_next,
            [IMAP_STATUS_BIT_UIDVALIDITY] = status.uid_validity,
            [IMAP_STATUS_BIT_UNSEEN] = status.unseen,
        });
}

static void status_drop(struct session_imap *s)
{
    struct imap_request *r = s->work->cursor;

    if (r->status == STATUS_OK)
        mailbox_close(r->mailbox_open.mailbox);
}

enum turn imap_step_status(struct session_imap *s)
{
    struct imap_request *r = s->work->cursor;

    if (!r) {
        r = imap_cursor(s, sizeof *r);
        if (!r)
            return TURN_DONE;
        s->work->drop = status_drop;
        imap_ask(s, r);
        r->mailbox_open.name = s->work->cmd.status.mailbox;
        mailbox_open(s->user, &r->mailbox_open);
    }
    if (s->work->pending)
        return TURN_WAIT;
    if (r->status == STATUS_OK)
        put_status(s, r->mailbox_open.mailbox);
    return imap_answer(s, r->status, S("[NONEXISTENT]"), S("[LIMIT]"));
}

/* --- EXPUNGE, CLOSE, UNSELECT: RFC 3501, 6.4.2, 6.4.3; RFC 4315, 2.1; RFC 3691
 * ---------- */

/* The UIDs of UID EXPUNGE. False: the command has its reply. */
static bool choose(struct session_imap *s, struct expunge_op *e)
{
    struct imap_seqs seqs;

    if (!s->work->cmd.uid)
        return true;
    if (!imap_seqs_of(s, &s->work->cmd.uids, true, &seqs))
        return false;
    e->uids = imap_seqs_uids(s, &seqs);
    e->uid_count = seqs.count;
    return e->uids && seqs.count;
}

/* Asks for the expunge; false: there is nothing to ask, or the reply is there. */
static bool ask_expunge(struct session_imap *s)
{
    struct imap_request *r = imap_cursor(s, sizeof *r);

    if (!r)
        return false;
    imap_ok(s); /* the reply where UIDs are given and none of them is there */
    if (!choose(s, &r->expunge))
        return false;
    imap_ask(s, r);
    mailbox_expunge(s->view.mailbox, &r->expunge);
    return true;
}

enum turn imap_step_expunge(struct session_imap *s)
{
    struct imap_request *r = s->work->cursor;

    if (!r && s->view.examine)
        return imap_no(s, S("[CANNOT]"), S("The mailbox is selected read-only"));
    if (!r && !ask_expunge(s))
        return TURN_DONE;
    if (s->work->pending)
        return TURN_WAIT;
    CHECK(r);
    return imap_answer(s, r->status, S("[NONEXISTENT]"), S("[LIMIT]"));
}

enum turn imap_step_close(struct session_imap *s)
{
    struct imap_request *r = s->work->cursor;

    if (!r && !s->view.examine && !mailbox_gone(s->view.mailbox)) {
        if (!ask_expunge(s))
            return TURN_DONE;
        r = s->work->cursor;
    }
    if (s->work->pending)
        return TURN_WAIT;
    if (r && r->status != STATUS_OK && r->status != STATUS_NOT_FOUND)
        return imap_answer(s, r->status, S(""), S("[LIMIT]"));
    imap_deselect(s);
    return imap_ok(s);
}

enum turn imap_step_unselect(struct session_imap *s)
{
    imap_deselect(s);
    return imap_ok(s);
}
