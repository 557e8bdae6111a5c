#include "store/mailbox.h"

/* --- records that wait --- */

bool held_add(struct held *h, const struct log_record *r)
{
    struct change c = {
        .length = (uint32_t)r->payload.len, .seq = r->seq, .place = r->place};
    size_t span = (sizeof c + r->payload.len + 7) & ~(size_t)7;

    if (!bytes_room(&h->bytes, span)) {
        h->bytes.failed = false;
        return false;
    }
    c.span = (uint32_t)span;
    c.kind = (uint8_t)r->kind;
    c.flags = r->flags;
    memcpy(h->bytes.at + h->bytes.len, &c, sizeof c);
    memcpy(h->bytes.at + h->bytes.len + sizeof c, r->payload.at, r->payload.len);
    h->bytes.len += span;
    return true;
}

const struct change *held_next(const struct held *h)
{
    return held_empty(h) ? NULL : (const struct change *)(h->bytes.at + h->at);
}

void held_pop(struct held *h)
{
    h->at += held_next(h)->span;
    if (!held_empty(h))
        return;
    bytes_free(&h->bytes);
    h->at = 0;
}

/* --- a record of one user --- */

static bool first_of_mailbox(
    const struct user *u, const struct delivery_read *d, unsigned at)
{
    const struct rec_target *t = &d->targets[at];

    if (t->user != u->id)
        return false;
    for (unsigned i = at; i-- && d->targets[i].user == u->id;)
        if (d->targets[i].mailbox == t->mailbox)
            return false;
    return true;
}

static enum applied apply_delivery(
    struct user *u, const struct log_record *r, struct progress *p)
{
    struct delivery_read d;
    uint64_t copies = 0;

    if (!delivery_read(r->payload, &d))
        return APPLIED;
    for (unsigned i = 0; i < d.fixed.target_count; i++) {
        struct mailbox *m;
        enum applied a;

        copies += d.targets[i].user == u->id;
        if (i < p->phase || !first_of_mailbox(u, &d, i))
            continue;
        m = user_mailbox_id(u, d.targets[i].mailbox);
        a = m ? mailbox_apply(m, r, p) : APPLIED;
        if (a != APPLIED)
            return a;
        p->phase = i + 1;
    }
    u->bytes += copies * d.fixed.size;
    return APPLIED;
}

static enum applied apply_copy(struct user *u, const struct log_record *r,
    const struct delta_read *d, struct progress *p)
{
    struct mailbox *to = user_mailbox_id(u, d->fixed.mailbox);
    struct mailbox *from;
    struct copy_read c;

    if (!copy_read(d->body, &c))
        return APPLIED;
    from = user_mailbox_id(u, c.fixed.from);
    if (!to || !from || !to->content || !from->content)
        return APPLIED; /* one of them is damaged, or has been deleted since */
    return copy_apply(to, from, r, p);
}

static enum applied apply_created(struct user *u, const struct delta_read *d)
{
    struct user_read created;
    struct mailbox *inbox;

    if (!user_read(d->body, &created))
        return APPLIED;
    inbox = names_add(u, S("INBOX"));
    if (!inbox)
        return APPLY_STUCK;
    if (!inbox->exists) {
        inbox->exists = inbox->selectable = true;
        inbox->id = MAILBOX_INBOX;
        inbox->uid_validity = created.fixed.uid_validity;
        inbox->uid_next = inbox->uid_pending = 1;
        inbox->modseq = inbox->modseq_pending = 1;
        u->existing++;
        u->next_mailbox = MAILBOX_INBOX + 1;
        ids_add(u, inbox);
    }
    if (!folders_make(u, created.folders, created.fixed.folder_count))
        return APPLY_STUCK;
    /* Clients that show what is subscribed show the folders of a new account. */
    for (unsigned i = 0; i < u->name_count; i++)
        u->names[i]->subscribed = true;
    return APPLIED;
}

static enum applied apply_delta(
    struct user *u, const struct log_record *r, struct progress *p)
{
    struct delta_read d;
    struct mailbox *m;
    enum applied a = APPLIED;

    if (!delta_read(r->payload, &d))
        return APPLIED;
    if (r->kind == RECORD_COPY)
        a = apply_copy(u, r, &d, p);
    else if (r->kind == RECORD_MAILBOX)
        a = tree_apply(u, r, p);
    else if (r->kind == RECORD_USER)
        a = d.fixed.what == USER_CREATED ? apply_created(u, &d) : APPLIED;
    else if (r->kind != RECORD_USER_STATE) {
        m = user_mailbox_id(u, d.fixed.mailbox);
        a = m ? mailbox_apply(m, r, p) : APPLIED;
    }
    if (a == APPLIED)
        u->bytes += (uint64_t)d.fixed.bytes;
    return a;
}

enum applied user_apply(struct user *u, const struct log_record *r, struct progress *p)
{
    enum applied a =
        r->kind == RECORD_DELIVERY ? apply_delivery(u, r, p) : apply_delta(u, r, p);

    if (a == APPLIED) {
        u->applied = r->place;
        u->applied_seq = r->seq;
    }
    return a;
}

/* --- as it becomes durable --- */

/* The account goes: its views become empty, mailbox by mailbox. */
static enum applied apply_removed(
    struct store *s, struct head *head, struct user *u, struct progress *p)
{
    while (u && p->phase < u->name_count) {
        struct mailbox *m = u->names[p->phase];

        if (mailbox_empty(m, p) != APPLIED)
            return APPLY_MORE;
        views_tell(m);
        m->gone = true;
        p->phase++;
    }
    heads_remove(&s->heads, head);
    if (u) {
        u->head = NULL;
        u->removed = true;
        request_release(s, &u->tree_waiters, STATUS_NOT_FOUND);
        user_pin(u);
        user_unpin(u); /* the last one out frees it */
    }
    return APPLIED;
}

/* Of a delivery to many only his share is applied, or held: what they all do with it
 * grows with their number, not with its square. */
static enum applied change_loaded(
    struct user *u, const struct log_record *r, struct progress *p)
{
    struct log_record own = *r;
    enum applied a;

    if (r->kind == RECORD_DELIVERY)
        own.payload = delivery_share(r->payload, u->id, p->target, &u->store->share);
    if (!own.payload.at)
        return APPLY_STUCK;
    if (!u->loading) {
        a = user_apply(u, &own, p);
        u->half = a != APPLIED;
        return a;
    }
    if (!held_add(&u->held, &own))
        return APPLY_STUCK;
    load_born(u);
    return APPLIED;
}

enum applied user_change(
    struct store *s, struct head *head, const struct log_record *r, struct progress *p)
{
    struct user *u = head->user;
    struct delta_read d;

    if (r->kind == RECORD_USER_STATE)
        fold_durable(head, r);
    if (r->kind == RECORD_USER && delta_read(r->payload, &d) &&
        d.fixed.what == USER_REMOVED)
        return apply_removed(s, head, u, p);
    return u ? change_loaded(u, r, p) : APPLIED;
}

static void roll_back_user(struct store *s, struct head *head, bool created)
{
    struct user *u = head->user;

    if (!created) { /* a removal: the name leads to the account again */
        head->flags &= (uint8_t)~HEAD_REMOVED;
        if (!heads_find(&s->heads, head_name(head)))
            heads_name(&s->heads, head);
        return;
    }
    heads_remove(&s->heads, head);
    if (!u)
        return;
    u->head = NULL;
    u->removed = true;
    user_loaded(u, STATUS_READ_ONLY);
}

void user_roll_back(
    struct store *s, struct head *head, const struct log_record *r, uint64_t prev)
{
    struct user *u = head->user;
    struct delta_read d;

    if (!(head->flags & HEAD_ROLLED)) {
        head->flags |= HEAD_ROLLED;
        head->last = prev;
    }
    if (r->kind == RECORD_DELIVERY || !delta_read(r->payload, &d))
        return;
    if (r->kind == RECORD_USER) {
        roll_back_user(s, head, d.fixed.what == USER_CREATED);
        return;
    }
    if (r->kind == RECORD_USER_STATE)
        fold_failed(head);
    if (r->kind == RECORD_MAILBOX && u) {
        u->tree_busy = false;
        request_release(s, &u->tree_waiters, STATUS_READ_ONLY);
    }
}
