/* What the new store gives back, compared with what the old ones have: accounts, trees,
 * messages; each byte of what was copied, and that the rest leads to the same files. */
#include "store/reshard_state.h"

enum { PROGRESS_MESSAGES = 256 };

struct pair {
    struct reshard *r;
    struct store *from, *to;
};

/* --- what stayed where it was ------------------------------------------------- */

/* Both stores mean the same segment. */
static bool same_segment(const struct pair *p, uint32_t number)
{
    struct log_adopted a, b;

    return log_adoptable(p->from->log, number, &a) == STATUS_OK &&
        log_adoptable(p->to->log, number, &b) == STATUS_OK && a.shard == b.shard &&
        a.epoch == b.epoch && a.bytes == b.bytes;
}

static enum status same_place(const struct pair *p, uint64_t place)
{
    unsigned count, known;
    const struct straddle *t = straddle_find(p->from, place, &count);
    const struct straddle *u = straddle_find(p->to, place, &known);
    bool same = same_segment(p, PLACE_SEGMENT(place)) && count == known;

    for (unsigned i = 0; same && i < count; i++)
        same = t[i].segment == u[i].segment && t[i].bytes == u[i].bytes &&
            same_segment(p, t[i].segment);
    return same ? STATUS_OK : STATUS_CORRUPT;
}

/* --- records ---------------------------------------------------------------- */

static bool same_payload(const struct fetched *a, const struct fetched *b)
{
    return a->read.record.kind == b->read.record.kind &&
        slice_eq(a->read.record.payload, b->read.record.payload);
}

static enum status fetch_both(const struct pair *p, uint64_t from, uint64_t to,
    uint32_t hint, struct fetched *a, struct fetched *b)
{
    enum status status;

    TRY(fetch(p->from, a, from, hint));
    status = fetch(p->to, b, to, hint);
    if (status != STATUS_OK)
        fetch_end(a);
    return status;
}

static void end_both(struct fetched *a, struct fetched *b)
{
    fetch_end(a);
    fetch_end(b);
}

static enum status same_record(const struct pair *p, uint64_t from, uint64_t to)
{
    struct fetched a, b;
    bool same;

    if (from == 0 || to == 0)
        return from == to ? STATUS_OK : STATUS_CORRUPT;
    if (from == to)
        return same_place(p, from);
    TRY(fetch_both(p, from, to, 0, &a, &b));
    same = same_payload(&a, &b);
    end_both(&a, &b);
    return same ? STATUS_OK : STATUS_CORRUPT;
}

static enum status same_parts(
    const struct pair *p, const struct message_read *a, const struct message_read *b)
{
    for (uint32_t i = 0; i < a->fixed.chunk_count; i++) {
        if (a->parts[i].bytes != b->parts[i].bytes)
            return STATUS_CORRUPT;
        TRY(same_record(p, a->parts[i].place, b->parts[i].place));
    }
    return STATUS_OK;
}

static enum status same_messages(
    const struct pair *p, const struct log_record *x, const struct log_record *y)
{
    struct message_read a, b;

    if (x->kind != RECORD_MESSAGE || y->kind != RECORD_MESSAGE ||
        !message_read(x->payload, &a) || !message_read(y->payload, &b))
        return STATUS_CORRUPT;
    if (memcmp(&a.fixed, &b.fixed, sizeof a.fixed) != 0 ||
        !slice_eq(a.owners, b.owners) || !slice_eq(a.head, b.head) ||
        !slice_eq(a.tail, b.tail))
        return STATUS_CORRUPT;
    return same_parts(p, &a, &b);
}

static enum status same_body(const struct pair *p, uint64_t from, uint64_t to)
{
    struct fetched a, b;
    enum status status;

    if (from == to)
        return same_place(p, from);
    TRY(fetch_both(p, from, to, 0, &a, &b));
    status = same_messages(p, &a.read.record, &b.read.record);
    end_both(&a, &b);
    return status;
}

/* --- mailboxes --------------------------------------------------------------- */

static bool same_entry(const struct packed_entry *a, const struct packed_entry *b)
{
    return a->uid == b->uid && a->size == b->size && a->date == b->date &&
        a->flags == b->flags && a->changed == b->changed && a->share == b->share &&
        a->set == b->set && a->modseq == b->modseq && a->zone == b->zone &&
        a->summary_index == b->summary_index && a->ends_with_crlf == b->ends_with_crlf;
}

static bool same_keywords(const struct keywords *a, const struct keywords *b)
{
    if (a->shown != b->shown || a->set_count != b->set_count ||
        memcmp(a->sets, b->sets, a->set_count * sizeof *a->sets) != 0)
        return false;
    for (unsigned i = 0; i < a->shown; i++)
        if (!slice_eq(a->at[i], b->at[i]))
            return false;
    return true;
}

static enum status same_entries(
    const struct pair *p, const struct mailbox *a, const struct mailbox *b)
{
    struct spot at = {0, 0}, bt = {0, 0};
    struct reshard *r = p->r;

    for (; at.page < a->content->page_count; content_next(a->content, &at)) {
        const struct packed_entry *e = content_get(a->content, at);
        const struct packed_entry *f = content_get(b->content, bt);
        enum status status = same_entry(e, f) ? STATUS_OK : STATUS_CORRUPT;

        if (status == STATUS_OK)
            status = same_body(p, e->body, f->body);
        if (status == STATUS_OK)
            status = same_record(p, e->summary, f->summary);
        if (status != STATUS_OK)
            return reshard_say_message(r, status, a, e->uid, "the copy differs");
        content_next(b->content, &bt);
        if (r->messages++ % PROGRESS_MESSAGES == 0 && r->progress)
            r->progress(r->arg);
    }
    return STATUS_OK;
}

static bool same_mailbox(const struct mailbox *a, const struct mailbox *b)
{
    return slice_eq(mailbox_name(a), mailbox_name(b)) && a->id == b->id &&
        a->exists == b->exists && a->selectable == b->selectable &&
        a->subscribed == b->subscribed && a->use == b->use &&
        a->uid_validity == b->uid_validity && a->uid_next == b->uid_next &&
        a->modseq == b->modseq && a->recent_uid == b->recent_uid &&
        a->flags_modseq == b->flags_modseq && !a->content == !b->content;
}

static bool same_contents(const struct content *a, const struct content *b)
{
    return a->messages == b->messages && a->unseen == b->unseen &&
        a->deleted == b->deleted && a->bytes == b->bytes &&
        same_keywords(&a->keywords, &b->keywords);
}

/* --- users ------------------------------------------------------------------- */

static bool same_account(const struct user *a, const struct user *b)
{
    const struct head *x = a->head, *y = b->head;

    return x->id == y->id && x->modseq == y->modseq && x->bytes == y->bytes &&
        x->uid_validity == y->uid_validity && x->uid_next == y->uid_next &&
        a->name_count == b->name_count && a->id_count == b->id_count &&
        a->existing == b->existing && a->next_mailbox == b->next_mailbox &&
        a->bytes == b->bytes;
}

static enum status same_user(
    const struct pair *p, const struct user *a, const struct user *b)
{
    const struct head *head = a->head;

    if (!same_account(a, b))
        return reshard_say(p->r, STATUS_CORRUPT, "%.*s: the copy of the account differs",
            head->name_bytes, head->name);
    for (unsigned i = 0; i < a->name_count; i++) {
        const struct mailbox *m = a->names[i], *n = b->names[i];

        if (!same_mailbox(m, n) || (m->content && !same_contents(m->content, n->content)))
            return reshard_say(p->r, STATUS_CORRUPT,
                "%.*s, mailbox %.*s: the copy differs", head->name_bytes, head->name,
                m->name_bytes, m->name);
        if (m->content)
            TRY(same_entries(p, m, n));
    }
    return STATUS_OK;
}

static enum status verify_user(const struct pair *p, struct slice name)
{
    struct user *a, *b;
    enum status status;

    TRY(fetch_user(p->r, p->from, name, &a));
    status = fetch_user(p->r, p->to, name, &b);
    if (status == STATUS_OK) {
        status = same_user(p, a, b);
        user_close(b);
    }
    user_close(a);
    return status;
}

static enum status verify_users(const struct pair *p)
{
    struct heads *h = &p->from->heads;

    for (uint32_t i = 0; i < h->slots; i++) {
        const struct head *head = heads_at(h, i);

        if (!head || head->flags & HEAD_REMOVED ||
            !p->r->wanted(p->r->arg, head_name(head)))
            continue;
        TRY(verify_user(p, head_name(head)));
        p->r->users++;
        if (p->r->progress)
            p->r->progress(p->r->arg);
    }
    return STATUS_OK;
}

/* --- the queue ---------------------------------------------------------------- */

static enum status verify_queued(const struct pair *p, const struct queued *a)
{
    const struct queued *b = queued_find(&p->to->queue, a->id);

    if (!b || a->size != b->size || a->share != b->share ||
        !slice_eq(queued_envelope(a), queued_envelope(b)) ||
        !slice_eq(queued_state(a), queued_state(b)))
        return STATUS_CORRUPT;
    return same_body(p, a->body, b->body);
}

static enum status verify_queue(const struct pair *p)
{
    struct reshard *r = p->r;
    const struct queued *q = queued_after(&p->from->queue, 0);

    for (; q; q = q->next[0]) {
        if (r->wanted_queued && !r->wanted_queued(r->arg, q->id))
            continue;
        if (verify_queued(p, q) != STATUS_OK)
            return reshard_say(r, STATUS_CORRUPT, "queue entry %llx: the copy differs",
                (unsigned long long)q->id);
        if (r->queued++ % PROGRESS_MESSAGES == 0 && r->progress)
            r->progress(r->arg);
    }
    return STATUS_OK;
}

enum status reshard_verify(struct reshard *r)
{
    uint64_t before = r->users, queued = r->queued;

    r->to->stopping = true;
    for (unsigned i = 0; i < r->from_count; i++) {
        struct pair p = {r, r->from[i], r->to};

        if (r->to->uid_validity < p.from->uid_validity)
            return reshard_say(r, STATUS_CORRUPT, "the counter of UIDVALIDITY is lost");
        TRY(verify_users(&p));
        TRY(verify_queue(&p));
    }
    if (r->users - before != r->to->heads.count)
        return reshard_say(r, STATUS_CORRUPT, "there are more accounts than there were");
    if (r->queued - queued != r->to->queue.count)
        return reshard_say(
            r, STATUS_CORRUPT, "there are more queue entries than there were");
    return STATUS_OK;
}
