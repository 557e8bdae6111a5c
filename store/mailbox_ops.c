#include "store/mailbox.h"

#include <limits.h>

enum {
    EXPUNGE_STEP = 2048, /* messages looked at in one slice */
    SETS_FULL_AT = KEYWORD_SETS_MAX / 4,
};

/* Nothing can be changed here any more. */
static bool is_gone(const struct mailbox *m)
{
    return m->gone || m->user->removed;
}

static bool can_give(const struct mailbox *m, uint32_t count)
{
    return count < UINT32_MAX - mailbox_uid_next(m);
}

/* --- open, close ---------------------------------------------------------------------
 */

enum status try_mailbox_open(struct user *u, struct mailbox_open *o)
{
    struct mailbox *m = u->removed ? NULL : names_find(u, name_canonical(o->name));
    enum status status;

    if (!m || !m->selectable || m->dying)
        return STATUS_NOT_FOUND;
    status = content_need(m, &o->op);
    if (status == STATUS_BUSY)
        return STATUS_OK; /* it is tried again when it is there */
    TRY(status);
    o->mailbox = m;
    m->pins++;
    user_pin(u);
    request_post(u->store, &o->op, STATUS_OK);
    return STATUS_OK;
}

void mailbox_open(struct user *u, struct mailbox_open *o)
{
    o->mailbox = NULL;
    request_start(u->store, &o->op, REQUEST_MAILBOX_OPEN, u);
}

void mailbox_close(struct mailbox *m)
{
    struct user *u = m->user;

    CHECK(m->pins);
    if (--m->pins == 0 && m->gone && !m->exists && !m->load)
        mailbox_free(m);
    user_unpin(u);
}

void mailbox_status(struct mailbox *m, struct mailbox_status *st)
{
    struct content *c = m->content;

    *st = (struct mailbox_status){.messages = c->messages,
        .recent = c->messages - content_rank(c, m->recent_uid),
        .unseen = c->unseen,
        .deleted = c->deleted,
        .uid_next = m->uid_next,
        .uid_validity = m->uid_validity,
        .modseq = m->modseq,
        .size = c->bytes};
}

bool mailbox_gone(const struct mailbox *m)
{
    return is_gone(m);
}

/* --- flags --- */

static void put_ranges(struct bytes *b, const struct uid_range *uids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct rec_range r = {uids[i].first, uids[i].last};

        bytes_put(b, &r, sizeof r);
    }
}

enum status mailbox_intern(
    struct mailbox *m, const struct slice *keywords, unsigned count)
{
    struct keywords *k = &m->content->keywords;
    uint32_t max = m->user->store->conf.keywords_max;

    if (count && k->set_count > SETS_FULL_AT)
        return STATUS_LIMIT;
    for (unsigned i = 0; i < count; i++) {
        if (keywords[i].len == 0)
            return STATUS_INVALID;
        if (keywords[i].len > KEYWORD_BYTES_MAX)
            return STATUS_LIMIT;
        if (keyword_find(k, keywords[i]) >= 0)
            continue;
        if (k->count >= max || k->count >= KEYWORDS_HARD_MAX)
            return STATUS_LIMIT;
        if (keyword_intern(k, keywords[i]) < 0)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static enum status flags_add(struct mailbox *m, struct flags_op *f)
{
    uint64_t modseq = mailbox_modseq_next(m);
    struct bytes *b = delta_begin(m->user, m->id, f->mode, modseq, 0);
    struct rec_flags r = {.flags = f->flags,
        .keyword_count = (uint16_t)f->keyword_count,
        .range_count = f->uid_count};

    bytes_put(b, &r, sizeof r);
    put_ranges(b, f->uids, f->uid_count);
    for (unsigned i = 0; i < f->keyword_count; i++)
        bytes_put_string(b, f->keywords[i]);
    TRY(delta_end(m->user, LOG_SHRINK, RECORD_FLAGS, &f->op));
    mailbox_given(m, 0, modseq);
    f->modseq = modseq;
    return STATUS_OK;
}

enum status try_flags(struct mailbox *m, struct flags_op *f)
{
    unsigned before;
    enum status status = STATUS_OK;

    if (is_gone(m))
        return STATUS_NOT_FOUND;
    if (f->keyword_count > KEYWORDS_HARD_MAX)
        return STATUS_LIMIT;
    if (f->uid_count == 0)
        return change_mark(m->user->store, &f->op);
    before = m->content->keywords.count;
    if (f->mode != FLAGS_REMOVE)
        status = mailbox_intern(m, f->keywords, f->keyword_count);
    if (status == STATUS_OK)
        status = flags_add(m, f);
    if (status != STATUS_OK)
        keywords_cut(&m->content->keywords, before);
    return status;
}

void mailbox_flags(struct mailbox *m, struct flags_op *f)
{
    f->modseq = m->modseq;
    request_start(m->user->store, &f->op, REQUEST_FLAGS, m);
}

/* --- expunge --- */

/* What one record will take away. */
struct choice {
    struct bytes ranges; /* struct rec_range */
    struct freed freed;
    uint64_t bytes;
    uint32_t count;
    uint32_t next; /* UID to go on with */
    int budget;
    struct keyword_set keywords; /* of any of them */
};

static void choice_free(struct choice *c)
{
    bytes_free(&c->ranges);
    bytes_free(&c->freed.bytes);
}

/* UIDs that follow each other without a message between them make one range. */
static void add_uid(struct choice *c, uint32_t uid, bool adjacent)
{
    struct rec_range r = {uid, uid}, *last;

    if (!adjacent || c->ranges.len == 0) {
        bytes_put(&c->ranges, &r, sizeof r);
        return;
    }
    last = (void *)(c->ranges.at + c->ranges.len - sizeof *last);
    last->last = uid;
}

static void choose(
    struct store *s, struct choice *c, const struct packed_entry *e, bool adjacent)
{
    add_uid(c, e->uid, adjacent);
    freed_add_entry(s, &c->freed, e);
    c->bytes += e->size;
    c->count++;
}

/* False: the budget is used up; c->next says where to go on. */
static bool choose_range(struct mailbox *m, const struct expunge_op *e,
    struct uid_range range, struct choice *c)
{
    struct content *content = m->content;
    struct spot s = content_seek(content, range.first > c->next ? range.first : c->next);
    bool adjacent = false;

    if (c->budget-- <= 0)
        return false;
    for (; s.page < content->page_count; content_next(content, &s)) {
        const struct packed_entry *entry = content_get(content, s);
        bool goes = !entry->doomed && (e->always || entry->flags & FLAG_DELETED);

        if (entry->uid > range.last)
            break;
        c->next = entry->uid;
        if (c->budget-- <= 0)
            return false;
        if (goes)
            choose(m->user->store, c, entry, adjacent);
        adjacent = goes;
    }
    return true;
}

/* Marks what a record on its way takes, so that nothing else counts on it: the range from
 * the UID on. False: the budget is used up, and *next is where to go on. */
static bool doom_range(
    struct mailbox *m, const struct rec_range *range, uint32_t *next, int *budget)
{
    struct content *c = m->content;
    struct spot s = content_seek(c, range->first > *next ? range->first : *next);

    for (; s.page < c->page_count; content_next(c, &s)) {
        struct packed_entry *e = &c->pages[s.page].at[s.at];

        if (e->uid > range->last)
            break;
        *next = e->uid;
        if ((*budget)-- <= 0)
            return false;
        c->pages[s.page].doomed += !e->doomed;
        e->doomed = 1;
    }
    return true;
}

static void doom(struct mailbox *m, const struct rec_range *ranges, size_t count)
{
    uint32_t next = 0;
    int budget = INT_MAX;

    for (size_t i = 0; i < count; i++)
        doom_range(m, &ranges[i], &next, &budget);
}

static enum status expunge_add(
    struct mailbox *m, const struct choice *c, struct store_op *op)
{
    uint64_t modseq = mailbox_modseq_next(m);
    struct bytes *b = delta_begin(m->user, m->id, 0, modseq, -(int64_t)c->bytes);
    struct rec_expunge r = {.count = c->count,
        .range_count = (uint32_t)(c->ranges.len / sizeof(struct rec_range)),
        .freed_count = freed_count(&c->freed)};

    bytes_put(b, &r, sizeof r);
    bytes_put_slice(b, bytes_slice(&c->ranges));
    bytes_put_slice(b, bytes_slice(&c->freed.bytes));
    TRY(delta_end(m->user, LOG_SHRINK, RECORD_EXPUNGE, op));
    mailbox_given(m, 0, modseq);
    doom(m, (const void *)c->ranges.at, r.range_count);
    return STATUS_OK;
}

/* One slice: *last says that the whole request has been looked at. */
static enum status expunge_some(
    struct mailbox *m, struct expunge_op *e, struct choice *c, bool *last)
{
    struct uid_range all = {1, UINT32_MAX};
    unsigned at = e->at, count = e->uids ? e->uid_count : 1;

    while (at < count && choose_range(m, e, e->uids ? e->uids[at] : all, c))
        at++;
    *last = at == count;
    if (c->ranges.failed)
        return STATUS_NO_MEMORY;
    if (c->count)
        TRY(expunge_add(m, c, *last ? &e->op : NULL));
    else if (*last)
        TRY(change_mark(m->user->store, &e->op));
    e->count += c->count;
    e->from = c->next;
    e->at = at;
    if (!*last)
        request_again(m->user->store, &e->op);
    return STATUS_OK;
}

/* EXPUNGE needs not be all or none: a long one makes several records. */
enum status try_expunge(struct mailbox *m, struct expunge_op *e)
{
    struct choice c = {.next = e->from, .budget = EXPUNGE_STEP};
    enum status status;
    bool last;

    if (is_gone(m) || m->frozen)
        return is_gone(m) ? STATUS_NOT_FOUND : STATUS_BUSY;
    if (m->choosing) {
        request_again(m->user->store, &e->op);
        return STATUS_OK;
    }
    status = expunge_some(m, e, &c, &last);
    choice_free(&c);
    return status;
}

void mailbox_expunge(struct mailbox *m, struct expunge_op *e)
{
    e->count = 0;
    e->from = 1;
    e->at = 0;
    request_start(m->user->store, &e->op, REQUEST_EXPUNGE, m);
}

/* --- copy --- */

/* A COPY or MOVE: what it takes is chosen, then its record is added, then a MOVE marks
 * what will go; the first and the last in slices, while nothing else may take a message
 * away (mailbox->choosing). */
struct copying {
    struct choice c;
    unsigned at;    /* the range that is being looked at, or marked */
    bool adjacent;  /* the message before is chosen, too */
    bool added;     /* its record is on its way */
    uint64_t flags; /* the last change of flags when it began */
    enum copy_busy { BUSY_LOG, BUSY_SLICE, BUSY_LOAD } why;
};

static enum status busy(struct copying *w, enum copy_busy why)
{
    w->why = why;
    return STATUS_BUSY;
}

static void choose_copy(
    struct mailbox *m, struct copying *w, const struct packed_entry *e)
{
    const struct keyword_set *sets = m->content->keywords.sets;

    if (e->doomed) {
        w->adjacent = false;
        return;
    }
    add_uid(&w->c, e->uid, w->adjacent);
    w->adjacent = true;
    w->c.bytes += e->size;
    w->c.count++;
    for (unsigned k = 0; e->set && k < KEYWORDS_HARD_MAX / 64; k++)
        w->c.keywords.bits[k] |= sets[e->set].bits[k];
}

/* What is copied: exactly the messages that will be there when it is applied. */
static enum status choose_copies(
    struct mailbox *m, const struct copy_op *op, struct copying *w)
{
    const struct content *content = m->content;

    for (; w->at < op->uid_count; w->at++, w->c.next = 0, w->adjacent = false) {
        struct uid_range range = op->uids[w->at];
        uint32_t first = w->c.next > range.first ? w->c.next : range.first;
        struct spot s = content_seek(content, first);

        if (w->c.budget-- <= 0)
            return busy(w, BUSY_SLICE);
        for (; s.page < content->page_count; content_next(content, &s)) {
            const struct packed_entry *e = content_get(content, s);

            if (e->uid > range.last)
                break;
            w->c.next = e->uid;
            if (w->c.budget-- <= 0)
                return busy(w, BUSY_SLICE);
            choose_copy(m, w, e);
        }
    }
    return w->c.ranges.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

/* What a MOVE has taken; some of it may have gone already. */
static enum status doom_copies(struct mailbox *m, struct copying *w)
{
    const struct rec_range *ranges = (const void *)w->c.ranges.at;
    unsigned count = (unsigned)(w->c.ranges.len / sizeof *ranges);

    for (; w->at < count; w->at++)
        if (!doom_range(m, &ranges[w->at], &w->c.next, &w->c.budget))
            return busy(w, BUSY_SLICE);
    return STATUS_OK;
}

/* Has the target room for the keywords that the messages carry? */
static bool keywords_fit(
    const struct mailbox *from, const struct mailbox *to, const struct choice *c)
{
    const struct keywords *k = &from->content->keywords;
    const struct keywords *into = &to->content->keywords;
    unsigned more = 0;
    bool any = false;

    for (unsigned i = 0; i < k->count; i++) {
        bool used = c->keywords.bits[i / 64] >> (i % 64) & 1;

        any |= used;
        more += used && keyword_find(into, k->at[i]) < 0;
    }
    return into->count + more <= to->user->store->conf.keywords_max &&
        (!any || into->set_count <= SETS_FULL_AT);
}

static enum status copy_add(
    struct mailbox *from, struct mailbox *to, struct copy_op *op, const struct choice *c)
{
    uint64_t modseq = mailbox_modseq_next(to);
    uint64_t modseq_from = op->move ? modseq + 1 : 0;
    struct bytes *b = delta_begin(
        from->user, to->id, op->move, modseq, op->move ? 0 : (int64_t)c->bytes);
    struct rec_copy r = {.from = from->id,
        .uid_first = mailbox_uid_next(to),
        .count = c->count,
        .range_count = (uint32_t)(c->ranges.len / sizeof(struct rec_range))};

    if (op->move && from != to)
        modseq_from = mailbox_modseq_next(from);
    r.modseq_from = modseq_from;
    bytes_put(b, &r, sizeof r);
    bytes_put_slice(b, bytes_slice(&c->ranges));
    TRY(delta_end(from->user, op->move ? LOG_SHRINK : LOG_GROW, RECORD_COPY,
        op->move ? NULL : &op->op));
    mailbox_given(to, r.uid_first + r.count, modseq);
    if (op->move)
        mailbox_given(from, 0, modseq_from);
    op->uid_first = r.uid_first;
    op->count = r.count;
    op->uid_validity = to->uid_validity;
    return STATUS_OK;
}

static enum status copy_chosen(
    struct mailbox *from, struct mailbox *to, struct copy_op *op, struct copying *w)
{
    uint64_t quota = from->user->store->conf.quota_bytes;
    struct choice *c = &w->c;

    op->uid_validity = to->uid_validity;
    op->uid_first = mailbox_uid_next(to);
    if (c->count == 0)
        return change_mark(from->user->store, &op->op);
    if (from->flags_modseq != w->flags) /* any of them may have any keyword now */
        memset(&c->keywords, 0xff, sizeof c->keywords);
    if (!can_give(to, c->count) || !keywords_fit(from, to, c))
        return STATUS_LIMIT;
    if (!op->move && quota && from->user->head->bytes + c->bytes > quota)
        return STATUS_LIMIT;
    return copy_add(from, to, op, c);
}

/* The target with its messages in memory. */
static enum status copy_target(
    struct user *u, struct copy_op *op, struct copying *w, struct mailbox **to)
{
    enum status status = (enum status)op->op.status; /* of a load that it waited for */

    op->op.status = STATUS_OK;
    TRY(status);
    *to = names_find(u, name_canonical(op->to));
    if (!*to || !(*to)->selectable || (*to)->dying)
        return STATUS_NOT_FOUND;
    if ((*to)->frozen)
        return STATUS_BUSY;
    status = content_need(*to, &op->op);
    return status == STATUS_BUSY ? busy(w, BUSY_LOAD) : status;
}

/* BUSY: goes on. */
static enum status copy_step(struct mailbox *m, struct copy_op *op, struct copying *w)
{
    struct mailbox *to;
    enum status status;

    if (!w->added) {
        if (is_gone(m))
            return STATUS_NOT_FOUND;
        TRY(copy_target(m->user, op, w, &to));
        TRY(choose_copies(m, op, w));
        TRY(copy_chosen(m, to, op, w));
        if (!op->move || w->c.count == 0)
            return STATUS_OK;
        w->added = true;
        w->at = w->c.next = 0;
    }
    if (!is_gone(m))
        TRY(doom_copies(m, w));
    status = change_mark(m->user->store, &op->op);
    return status == STATUS_NO_MEMORY ? busy(w, BUSY_SLICE) : status;
}

static void copy_end(struct mailbox *m, struct copy_op *op)
{
    struct copying *w = op->work;

    choice_free(&w->c);
    free(w);
    op->work = NULL;
    m->choosing = false;
}

enum status try_copy(struct mailbox *m, struct copy_op *op)
{
    struct copying *w = op->work;
    enum status status;

    if (m->frozen)
        return STATUS_BUSY;
    if (!w && m->choosing) {
        request_again(m->user->store, &op->op);
        return STATUS_OK;
    }
    if (!w) {
        w = op->work = calloc(1, sizeof *w);
        if (!w)
            return STATUS_NO_MEMORY;
        w->flags = m->flags_modseq;
        m->choosing = true;
    }
    w->why = BUSY_LOG;
    w->c.budget = 2 * m->user->store->turn_budget;
    status = copy_step(m, op, w);
    if (status != STATUS_BUSY) {
        copy_end(m, op);
        return status;
    }
    if (w->why == BUSY_SLICE)
        request_again(m->user->store, &op->op);
    return w->why == BUSY_LOG ? STATUS_BUSY : STATUS_OK;
}

void mailbox_copy(struct mailbox *m, struct copy_op *c)
{
    c->uid_validity = c->uid_first = c->count = 0;
    c->work = NULL;
    request_start(m->user->store, &c->op, REQUEST_COPY, m);
}

void mailbox_change(struct user *u, struct mailbox_op *m)
{
    m->work = NULL;
    m->uid_validity = 0;
    request_start(u->store, &m->op, REQUEST_MAILBOX_CHANGE, u);
}
