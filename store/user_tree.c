#include "store/mailbox.h"

enum { NAME_BYTES_MAX = 1024 }; /* after any number of renames */

/* --- how a change of the tree is applied --- */

static bool folder_make(struct user *u, const struct folder_read *f)
{
    struct mailbox *m = names_add(u, f->name);

    if (!m)
        return false;
    if (m->selectable)
        return true;
    if (!m->exists)
        u->existing++;
    m->exists = m->selectable = true;
    m->use = f->fixed.use;
    m->id = f->fixed.mailbox;
    m->uid_validity = f->fixed.uid_validity;
    m->uid_next = m->uid_pending = 1;
    m->modseq = m->modseq_pending = 1;
    if (m->id >= u->next_mailbox)
        u->next_mailbox = m->id + 1;
    ids_add(u, m);
    return true;
}

bool folders_make(struct user *u, struct reader folders, unsigned count)
{
    struct folder_read f;

    for (unsigned i = 0; i < count && folder_next(&folders, &f); i++)
        if (!folder_make(u, &f))
            return false;
    return true;
}

static bool has_children(const struct user *u, struct slice name)
{
    for (unsigned i = user_mailbox_after((struct user *)u, name); i < u->name_count;
         i++) {
        if (!name_below(mailbox_name(u->names[i]), name))
            return false;
        if (u->names[i]->exists)
            return true;
    }
    return false;
}

/* Takes the place of a mailbox that goes: a level, or a name that is subscribed. */
static struct mailbox *remnant_for(struct user *u, struct mailbox *m, bool level)
{
    struct mailbox *remnant;

    names_remove(u, m);
    remnant = names_add(u, mailbox_name(m));
    if (!remnant) { /* the list has room: this goes back where it was */
        unsigned at = names_at(u, mailbox_name(m));

        memmove(&u->names[at + 1], &u->names[at], (u->name_count - at) * sizeof m);
        u->names[at] = m;
        u->name_count++;
        return NULL;
    }
    remnant->exists = level;
    remnant->subscribed = m->subscribed;
    return remnant;
}

static void level_delete(struct user *u, struct slice name)
{
    struct mailbox *m = names_find(u, name);

    if (!m || m->selectable || !m->exists)
        return;
    u->existing--;
    m->exists = false;
    if (m->subscribed)
        return;
    names_remove(u, m);
    mailbox_free(m);
}

static enum applied apply_delete(
    struct user *u, const struct tree_read *t, struct progress *p)
{
    struct mailbox *m = user_mailbox_id(u, t->fixed.mailbox);
    bool level;
    enum applied a;

    if (!m) {
        level_delete(u, t->name);
        return APPLIED;
    }
    a = list_empty(&m->views) ? APPLIED : mailbox_empty(m, p);
    if (a != APPLIED)
        return a;
    level = has_children(u, mailbox_name(m));
    if (!level && !m->subscribed)
        names_remove(u, m);
    else if (!remnant_for(u, m, level))
        return APPLY_STUCK;
    u->existing -= !level;
    ids_remove(u, m);
    m->exists = m->selectable = m->dying = false;
    m->gone = true;
    views_tell(m);
    request_release(u->store, &m->waiters, STATUS_NOT_FOUND);
    if (m->pins == 0 && !m->load)
        mailbox_free(m);
    return APPLIED;
}

/* Collects what the views of INBOX are about to lose. */
static enum applied collect_lost(
    struct user *u, struct mailbox *inbox, struct progress *p)
{
    if (list_empty(&inbox->views))
        return APPLIED;
    if (!u->losing && !(u->losing = lost_new(inbox->content->messages)))
        return APPLY_STUCK;
    return lost_fill(u->losing, inbox->content, p);
}

static void give_away(
    struct user *u, struct mailbox *inbox, struct mailbox *m, struct content *empty)
{
    state_forget(inbox);
    m->content = inbox->content;
    m->uid_next = m->uid_pending = inbox->uid_next;
    m->modseq = m->modseq_pending = inbox->modseq;
    m->flags_modseq = inbox->flags_modseq;
    m->recent_uid = inbox->recent_uid;
    m->segments = inbox->segments;
    inbox->segments = (struct segments){0};
    inbox->content = empty;
    m->content->dirty = empty->dirty = true;
    u->relocated = true; /* what compaction had to say of INBOX comes too late */
}

/* RFC 3501, 6.3.5: the messages of INBOX move, INBOX stays. They take their UIDs along
 * into the new UIDVALIDITY. Nothing shows before all of it can be done: a mailbox that
 * somebody has opened meanwhile could take no messages. */
static enum applied apply_rename_inbox(struct user *u, const struct delta_read *d,
    const struct tree_read *t, struct progress *p)
{
    struct mailbox *inbox = user_mailbox_id(u, MAILBOX_INBOX);
    bool there = inbox && inbox->content;
    enum applied a = there ? collect_lost(u, inbox, p) : APPLIED;
    struct view_lost *lost;
    struct content *empty;
    struct mailbox *m;

    if (a != APPLIED)
        return a;
    empty = content_new(u->store);
    if (!empty || (there && !views_reserve(inbox, NULL, 0)) ||
        !folders_make(u, t->folders, t->fixed.folder_count)) {
        content_free(empty);
        return APPLY_STUCK;
    }
    lost = u->losing;
    u->losing = NULL;
    m = names_find(u, t->to);
    if (!there || !m || !m->selectable || m->state || m->content) {
        content_free(empty);
        lost_drop(lost);
        return APPLIED;
    }
    if (lost)
        views_lose(inbox, lost);
    lost_drop(lost);
    give_away(u, inbox, m, empty);
    inbox->modseq = d->fixed.modseq;
    mailbox_given(inbox, inbox->uid_next, inbox->modseq);
    inbox->frozen = false;
    views_tell(inbox);
    return APPLIED;
}

static enum applied apply_subscribe(
    struct user *u, const struct tree_read *t, bool subscribe)
{
    struct mailbox *m = subscribe ? names_add(u, t->name) : names_find(u, t->name);

    if (!m)
        return subscribe ? APPLY_STUCK : APPLIED;
    m->subscribed = subscribe;
    if (subscribe || m->exists)
        return APPLIED;
    names_remove(u, m);
    mailbox_free(m);
    return APPLIED;
}

static enum applied apply_change(struct user *u, const struct delta_read *d,
    const struct tree_read *t, struct progress *p)
{
    switch ((enum tree_change)d->fixed.what) {
    case TREE_CREATE:
        return folders_make(u, t->folders, t->fixed.folder_count) ? APPLIED : APPLY_STUCK;
    case TREE_DELETE:
        return apply_delete(u, t, p);
    case TREE_RENAME:
        if (!u->renaming && !folders_make(u, t->folders, t->fixed.folder_count))
            return APPLY_STUCK;
        return names_rename(u, t->name, t->to, p);
    case TREE_RENAME_INBOX:
        return apply_rename_inbox(u, d, t, p);
    case TREE_SUBSCRIBE:
    case TREE_UNSUBSCRIBE:
        return apply_subscribe(u, t, d->fixed.what == TREE_SUBSCRIBE);
    }
    return APPLIED;
}

enum applied tree_apply(struct user *u, const struct log_record *r, struct progress *p)
{
    struct delta_read d;
    struct tree_read t;
    enum applied a;

    if (!delta_read(r->payload, &d) || !tree_read(d.body, &t))
        return APPLIED;
    a = apply_change(u, &d, &t, p);
    if (a != APPLIED)
        return a;
    u->tree_busy = false;
    request_release(u->store, &u->tree_waiters, STATUS_OK);
    return APPLIED;
}

/* --- how one is asked for ------------------------------------------------------------
 */

/* What a change adds to the tree. */
struct growth {
    unsigned names; /* of mailboxes */
    int64_t bytes;  /* name_cost() of all that is new */
};

static void grow(const struct user *u, struct slice name, struct growth *g)
{
    const struct mailbox *m = names_find(u, name);

    g->names += !m || !m->exists;
    g->bytes += m ? 0 : (int64_t)name_cost(name.len);
}

/* Mailboxes that have to be made first: the parents of `name` that don't exist. */
static struct growth growth_of_parents(const struct user *u, struct slice name)
{
    struct growth g = {0};

    for (size_t i = 1; i < name.len; i++)
        if (name.at[i] == '/')
            grow(u, slice_of(name.at, i), &g);
    return g;
}

static struct growth growth_of(const struct user *u, struct slice name)
{
    struct growth g = growth_of_parents(u, name);

    grow(u, name, &g);
    return g;
}

/* The folders of a record: missing parents of `name`, and itself when `whole`. The last
 * UIDVALIDITY given is left in *validity. */
static unsigned put_folders(struct user *u, struct bytes *b, struct slice name,
    bool whole, unsigned use, uint32_t *validity)
{
    uint32_t id = u->next_mailbox, next = uid_validity_next(u->store);
    unsigned count = 0;

    for (size_t i = 1; i < name.len; i++) {
        struct slice parent = slice_of(name.at, i);
        struct mailbox *m = name.at[i] == '/' ? names_find(u, parent) : NULL;

        if (name.at[i] != '/' || (m && m->exists))
            continue;
        put_folder(b, id++, next++, USE_NONE, parent);
        count++;
    }
    if (whole) {
        put_folder(b, id, next++, use, name);
        count++;
    }
    *validity = next - 1;
    return count;
}

/* Who has more, from before there was a bound, keeps it and gets no more. */
static bool bytes_left(const struct user *u, int64_t more)
{
    return more <= 0 || u->name_bytes + (uint64_t)more <= u->store->conf.names_bytes_max;
}

static bool names_left(const struct user *u, struct growth g)
{
    return u->existing + g.names <= u->store->conf.mailboxes_max &&
        bytes_left(u, g.bytes);
}

struct tree_put {
    enum tree_change change;
    struct slice name, to; /* as in the record */
    struct slice make;     /* make its parents */
    bool whole;            /* and itself */
    unsigned use;
    uint32_t mailbox;
    uint64_t modseq;
    const struct tally *tally;
};

static enum status tree_add(
    struct user *u, const struct tree_put *t, struct mailbox_op *op)
{
    struct rec_mailbox r = {.name_bytes = (uint16_t)t->name.len,
        .to_bytes = (uint16_t)t->to.len,
        .mailbox = t->mailbox,
        .freed_count = t->tally ? freed_count(&t->tally->freed) : 0};
    bool shrinks = t->change == TREE_DELETE || t->change == TREE_UNSUBSCRIBE;
    struct bytes *b = delta_begin(u, t->modseq ? MAILBOX_INBOX : 0, t->change, t->modseq,
        t->tally ? -(int64_t)t->tally->bytes : 0);
    uint32_t validity = 0;
    size_t at = b->len;

    bytes_put(b, &r, sizeof r);
    if (t->make.len)
        r.folder_count =
            (uint16_t)put_folders(u, b, t->make, t->whole, t->use, &validity);
    if (!b->failed)
        memcpy(b->at + at, &r, sizeof r);
    bytes_put_slice(b, t->name);
    bytes_put_slice(b, t->to);
    if (t->tally)
        bytes_put_slice(b, bytes_slice(&t->tally->freed.bytes));
    TRY(delta_end(u, shrinks ? LOG_SHRINK : LOG_GROW, RECORD_MAILBOX, &op->op));
    op->uid_validity = validity;
    u->tree_busy = true;
    return STATUS_OK;
}

static enum status try_create(struct user *u, struct mailbox_op *op, struct slice name)
{
    struct mailbox *m = names_find(u, name);

    if (m && m->selectable)
        return STATUS_EXISTS;
    if (!names_left(u, growth_of(u, name)))
        return STATUS_LIMIT;
    return tree_add(u,
        &(struct tree_put){
            TREE_CREATE, .name = name, .make = name, .whole = true, .use = op->use},
        op);
}

/* Counts what the mailbox gives back, in slices, while nothing new gets in. BUSY: the
 * request will be tried again. What can't be read can be deleted all the same. */
static enum status count_freed(struct mailbox *m, struct mailbox_op *op)
{
    enum status status = (enum status)op->op.status;

    if (status == STATUS_OK)
        status = content_need(m, &op->op);
    if (status != STATUS_OK && status != STATUS_CORRUPT)
        return status;
    if (!op->work && !(op->work = tally_new()))
        return STATUS_NO_MEMORY;
    if (tally_step(op->work, m))
        return STATUS_OK;
    request_again(m->user->store, &op->op);
    return STATUS_BUSY;
}

/* A DELETE that holds the tree gives it back: entered, or refused. */
static void count_end(
    struct user *u, struct mailbox *m, struct mailbox_op *op, bool entered)
{
    tally_free(op->work);
    op->work = NULL;
    op->op.kind = REQUEST_MAILBOX_CHANGE;
    op->op.status = STATUS_OK;
    if (entered)
        return;
    m->dying = u->tree_busy = false;
    request_release(u->store, &u->tree_waiters, STATUS_OK);
}

static enum status try_delete(struct user *u, struct mailbox_op *op, struct slice name)
{
    struct mailbox *m = names_find(u, name);
    struct tree_put put = {TREE_DELETE, .name = name};
    enum status status;

    if (!m || !m->exists)
        return STATUS_NOT_FOUND;
    if (m->id == MAILBOX_INBOX || (!m->selectable && has_children(u, name)))
        return STATUS_INVALID;
    if (!m->selectable)
        return tree_add(u, &put, op);
    m->dying = u->tree_busy = true;
    op->op.kind = REQUEST_MAILBOX_DELETING;
    status = count_freed(m, op);
    if (status == STATUS_BUSY)
        return STATUS_OK;
    put.mailbox = m->id;
    put.tally = op->work;
    if (status == STATUS_OK)
        status = tree_add(u, &put, op);
    count_end(u, m, op, status == STATUS_OK);
    return status;
}

static enum status rename_inbox(struct user *u, struct mailbox_op *op, struct slice to)
{
    struct mailbox *inbox = user_mailbox_id(u, MAILBOX_INBOX);
    enum status status;

    if (!names_left(u, growth_of(u, to)))
        return STATUS_LIMIT;
    if (inbox->choosing) {
        request_again(u->store, &op->op);
        return STATUS_OK;
    }
    status = content_need(inbox, &op->op);
    if (status == STATUS_BUSY)
        return STATUS_OK;
    TRY(status);
    TRY(tree_add(u,
        &(struct tree_put){TREE_RENAME_INBOX, .name = S("INBOX"), .to = to, .make = to,
            .whole = true, .modseq = mailbox_modseq_next(inbox)},
        op));
    inbox->frozen = true;
    return STATUS_OK;
}

/* What a rename makes of the names, and the longest of them. What is subscribed stays,
 * too. */
static size_t longest(
    const struct user *u, struct slice from, struct slice to, struct growth *g)
{
    size_t most = 0;
    unsigned i, end;

    for (names_tree(u, from, &i, &end); i < end; i++) {
        const struct mailbox *m = u->names[i];
        size_t bytes = mailbox_name(m).len;

        if (bytes > most)
            most = bytes;
        if (m->exists)
            g->bytes += (int64_t)to.len - (int64_t)from.len;
        if (m->exists && m->subscribed)
            g->bytes += (int64_t)name_cost(bytes);
    }
    return most - from.len + to.len;
}

static enum status try_rename(
    struct user *u, struct mailbox_op *op, struct slice from, struct slice to)
{
    struct mailbox *m = names_find(u, from), *other = names_find(u, to);
    struct growth g;

    if (!m || !m->exists)
        return STATUS_NOT_FOUND;
    if ((other && other->exists) || has_children(u, to))
        return STATUS_EXISTS;
    if (name_below(to, from) && m->id != MAILBOX_INBOX)
        return STATUS_INVALID;
    if (m->id == MAILBOX_INBOX)
        return rename_inbox(u, op, to);
    g = growth_of_parents(u, to);
    if (longest(u, from, to, &g) > NAME_BYTES_MAX || !names_left(u, g))
        return STATUS_LIMIT;
    return tree_add(
        u, &(struct tree_put){TREE_RENAME, .name = from, .to = to, .make = to}, op);
}

static enum status try_subscribe(
    struct user *u, struct mailbox_op *op, struct slice name, bool subscribe)
{
    struct mailbox *m = names_find(u, name);

    if ((m && m->subscribed) == subscribe)
        return change_mark(u->store, &op->op);
    if (subscribe && !m &&
        (u->name_count >= 2 * u->store->conf.mailboxes_max ||
            !bytes_left(u, (int64_t)name_cost(name.len))))
        return STATUS_LIMIT;
    return tree_add(u,
        &(struct tree_put){subscribe ? TREE_SUBSCRIBE : TREE_UNSUBSCRIBE, .name = name},
        op);
}

static enum status try_change(struct user *u, struct mailbox_op *op)
{
    struct slice name = name_canonical(op->name);

    switch (op->change) {
    case MAILBOX_CREATE:
        return try_create(u, op, name);
    case MAILBOX_DELETE:
        return try_delete(u, op, name);
    case MAILBOX_RENAME:
        return try_rename(u, op, name, name_canonical(op->to));
    case MAILBOX_SUBSCRIBE:
        return try_subscribe(u, op, name, true);
    case MAILBOX_UNSUBSCRIBE:
        return try_subscribe(u, op, name, false);
    }
    return STATUS_INVALID;
}

enum status try_mailbox_change(struct user *u, struct mailbox_op *op)
{
    bool counting = op->op.kind == REQUEST_MAILBOX_DELETING;

    if (u->removed) {
        tally_free(op->work);
        return STATUS_NOT_FOUND;
    }
    if (op->name.len == 0 || op->name.len > NAME_BYTES_MAX ||
        (op->change == MAILBOX_RENAME &&
            (op->to.len == 0 || op->to.len > NAME_BYTES_MAX)))
        return STATUS_INVALID;
    if ((u->tree_busy || u->tree_held) && !counting) {
        list_add(&u->tree_waiters, &op->op.link);
        return STATUS_OK;
    }
    return try_change(u, op);
}
