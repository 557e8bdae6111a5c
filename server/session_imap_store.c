/* STORE: RFC 3501, 6.4.6. The change is durable before anything is told of it. */
#include "server/session_imap_work.h"

struct store_cursor {
    struct imap_request request;
    struct imap_seqs seqs;
    enum { STORE_NEWS, STORE_WAIT, STORE_TELL } at;
    unsigned hint;
    uint32_t seq;
    bool missing; /* a message was expunged and this not yet told */
};

static struct store_cursor *begin(struct session_imap *s)
{
    struct imap_cmd *cmd = &s->work->cmd;
    struct store_cursor *c;

    if (s->view.examine) {
        imap_no(s, S("[CANNOT]"), S("The mailbox is selected read-only"));
        return NULL;
    }
    c = imap_cursor(s, sizeof *c);
    if (!c || !imap_seqs_of(s, &cmd->store.set, cmd->uid, &c->seqs))
        return NULL;
    return c;
}

static enum turn ask(struct session_imap *s, struct store_cursor *c)
{
    const struct imap_store *store = &s->work->cmd.store;
    struct flags_op *f = &c->request.flags;

    if (c->seqs.count == 0)
        return imap_ok(s);
    f->uids = imap_seqs_uids(s, &c->seqs);
    if (!f->uids)
        return TURN_DONE;
    f->uid_count = c->seqs.count;
    f->mode = store->mode == IMAP_STORE_SET ? FLAGS_SET
        : store->mode == IMAP_STORE_ADD     ? FLAGS_ADD
                                            : FLAGS_REMOVE;
    f->flags = (uint8_t)store->flags.system;
    f->keywords = store->flags.keywords;
    f->keyword_count = store->flags.keyword_count;
    imap_ask(s, &c->request);
    mailbox_flags(s->view.mailbox, f);
    c->at = STORE_WAIT;
    return TURN_WAIT;
}

/* RFC 2180, 4.2: what others expunged meanwhile can't be changed; the client learns that
 * at its next NOOP. */
static enum turn end(struct session_imap *s, const struct store_cursor *c)
{
    if (!c->missing || s->work->cmd.uid || s->work->cmd.store.silent)
        return imap_ok(s);
    return imap_no(s, S("[EXPUNGEISSUED]"), S("Some of the messages were expunged"));
}

static enum turn tell(struct session_imap *s, struct store_cursor *c)
{
    enum turn turn = TURN_AGAIN;
    struct entry entry;

    while (
        turn == TURN_AGAIN && imap_seqs_from(&c->seqs, &c->hint, c->seq + 1, &c->seq)) {
        if (!view_entry(&s->view, c->seq, &entry))
            c->missing = true;
        else
            imap_put_flags_fetch(s, c->seq, &entry, s->work->cmd.uid);
        turn = imap_pace(s, 1);
    }
    return turn == TURN_AGAIN ? end(s, c) : turn;
}

enum turn imap_step_store(struct session_imap *s)
{
    struct store_cursor *c = s->work->cursor;
    enum turn turn;
    bool alone;

    if (!c)
        c = begin(s);
    if (!c)
        return TURN_DONE;
    if (s->work->pending)
        return TURN_WAIT;
    switch (c->at) {
    case STORE_NEWS: /* what others changed until now is told as theirs */
        turn = imap_tell(s, false, s->work->cmd.uid);
        return turn == TURN_DONE ? ask(s, c) : turn;
    case STORE_WAIT:
        if (c->request.status != STATUS_OK)
            return imap_answer(s, c->request.status, S("[NONEXISTENT]"), S("[LIMIT]"));
        alone = view_skip_flags(&s->view, c->request.flags.modseq);
        /* With changes of others about, the client can't know what has come of both. */
        if (s->work->cmd.store.silent && alone && !s->work->told_flags)
            return imap_ok(s);
        imap_tell_keywords(s);
        c->at = STORE_TELL;
        return TURN_AGAIN;
    case STORE_TELL:
        return tell(s, c);
    }
    CHECK(false);
    return TURN_DONE;
}
