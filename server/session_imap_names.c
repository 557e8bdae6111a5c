/* CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE: RFC 3501, 6.3.3 to 6.3.7. */
#include "proto/imap/imap_name.h"
#include "server/config_limits.h"
#include "server/session_imap_work.h"

struct names_cursor {
    struct imap_request request;
    bool asked;
    unsigned next; /* RENAME: the next name of the tree to be looked at */
};

static_assert((int)IMAP_USE_ALL == (int)USE_ALL &&
        (int)IMAP_USE_ARCHIVE == (int)USE_ARCHIVE &&
        (int)IMAP_USE_DRAFTS == (int)USE_DRAFTS &&
        (int)IMAP_USE_FLAGGED == (int)USE_FLAGGED &&
        (int)IMAP_USE_JUNK == (int)USE_JUNK && (int)IMAP_USE_SENT == (int)USE_SENT &&
        (int)IMAP_USE_TRASH == (int)USE_TRASH,
    "special uses pass through as they are");

/* RFC 6154, 3: \All and \Flagged are views that no mailbox of ours can be, and a mailbox
 * has one use. */
static bool use_is_refused(const struct imap_cmd *cmd)
{
    return cmd->verb == IMAP_CREATE &&
        (cmd->create.several || cmd->create.use == IMAP_USE_ALL ||
            cmd->create.use == IMAP_USE_FLAGGED);
}

static void fill(const struct imap_cmd *cmd, struct mailbox_op *m)
{
    m->name = cmd->mailbox;
    if (cmd->verb == IMAP_CREATE) {
        m->change = MAILBOX_CREATE;
        m->name = cmd->create.mailbox;
        m->use = (uint8_t)cmd->create.use;
    } else if (cmd->verb == IMAP_RENAME) {
        m->change = MAILBOX_RENAME;
        m->name = cmd->rename.from;
        m->to = cmd->rename.to;
    } else if (cmd->verb == IMAP_DELETE) {
        m->change = MAILBOX_DELETE;
    } else if (cmd->verb == IMAP_SUBSCRIBE) {
        m->change = MAILBOX_SUBSCRIBE;
    } else {
        m->change = MAILBOX_UNSUBSCRIBE;
    }
}

/* --- RENAME: what is below goes along, and must fit as well ------------------------- */

static bool is_below(struct slice name, struct slice parent)
{
    return name.len > parent.len && name.at[parent.len] == IMAP_DELIMITER &&
        slice_eq(slice_of(name.at, parent.len), parent);
}

static bool fits(const struct session_imap *s, struct slice name)
{
    const struct imap_cmd *cmd = &s->work->cmd;
    struct imap_parse_limits limits = config_imap_limits(s->conn.thread->config);
    char at[2 * IMAP_NAME_MAX];
    struct out out = out_of(at, sizeof at);

    out_put(&out, cmd->rename.to);
    slice_take(&name, cmd->rename.from.len);
    out_put(&out, name);
    return !out.full && imap_name_valid(out_slice(&out)) &&
        imap_name_fits(out_slice(&out), limits.name);
}

/* DONE: the whole tree fits. Children of INBOX stay (RFC 3501, 6.3.5). */
static enum turn check_tree(struct session_imap *s, struct names_cursor *c)
{
    const struct imap_cmd *cmd = &s->work->cmd;
    struct mailbox_info info;

    if (cmd->verb != IMAP_RENAME || imap_name_is_inbox(cmd->rename.from))
        return TURN_DONE;
    if (c->next == 0)
        c->next = user_mailbox_after(s->user, cmd->rename.from);
    while (user_mailbox_at(s->user, c->next, &info) &&
        is_below(info.name, cmd->rename.from)) {
        if (!fits(s, info.name))
            return TURN_AGAIN;
        c->next++;
        if (imap_spent(s, 4))
            return TURN_YIELD;
    }
    return TURN_DONE;
}

/* --- all of them ----------------------------------------------------------------------
 */

static enum turn answer(struct session_imap *s, enum status status)
{
    /* Deleting what one has selected deselects it; others learn by BYE. */
    if (status == STATUS_OK && s->view.mailbox && mailbox_gone(s->view.mailbox) &&
        s->work->cmd.verb == IMAP_DELETE)
        imap_deselect(s);
    return imap_answer(s, status, S("[NONEXISTENT]"), S("[LIMIT]"));
}

enum turn imap_step_names(struct session_imap *s)
{
    struct names_cursor *c = s->work->cursor;
    enum turn turn;

    if (!c && use_is_refused(&s->work->cmd))
        return imap_no(s, S("[USEATTR]"), S("Special use not supported"));
    if (!c)
        c = imap_cursor(s, sizeof *c);
    if (!c)
        return TURN_DONE;
    if (s->work->pending)
        return TURN_WAIT;
    if (c->asked)
        return answer(s, c->request.status);
    turn = check_tree(s, c);
    if (turn == TURN_AGAIN)
        return imap_no(s, S("[CANNOT]"), S("A name below would be too long"));
    if (turn != TURN_DONE)
        return turn;
    fill(&s->work->cmd, &c->request.mailbox_op);
    imap_ask(s, &c->request);
    mailbox_change(s->user, &c->request.mailbox_op);
    c->asked = true;
    return TURN_WAIT;
}
