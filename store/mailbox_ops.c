#include "store/mailbox.h"

enum {
    EXPUNGE_STEP = 4096, /* messages looked at in one slice */
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

    for (; s.page < content->page_count; content_next(content, &s)) {
        const struct packed_entry *entry = content_get(content, s);
        bool goes = !entry->doomed && (e->always || entry->flags & FLAG_DELETED);

        if (entry->uid > range.last)
            break;
        c->next = entry->uid;
        if (c->budget-- == 0)
            return false;
        if (goes)
            choose(m->user->store, c, entry, adjacent);
        adjacent = goes;
    }
    return true;
}

/* Marks what a record on its way takes, so that nothing else counts on it. */
static void doom(struct mailbox *m, const struct rec_range *ranges, size_t count)
{
    struct content *c = m->content;

    for (size_t i = 0; i < count; i++) {
        struct spot s = content_seek(c, ranges[i].first);

        for (; s.page < c->page_count; content_next(c, &s)) {
            struct packed_entry *e = &c->pages[s.page].at[s.at];

            if (e->uid > ranges[i].last)
                break;
            c->pages[s.page].doomed += !e->doomed;
            e->doomed = 1;
        }
    }
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
    unsigned count = e->uids ? e->uid_count : 1;

    *last = true;
    for (unsigned i = 0; i < count && *last; i++)
        *last = choose_range(m, e, e->uids ? e->uids[i] : all, c);
    if (c->ranges.failed)
        return STATUS_NO_MEMORY;
    if (c->count)
        TRY(expunge_add(m, c, *last ? &e->op : NULL));
    else if (*last)
        TRY(change_mark(m->user->store, &e->op));
    e->count += c->count;
    e->from = c->next;
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
    status = expunge_some(m, e, &c, &last);
    choice_free(&c);
    return status;
}

void mailbox_expunge(struct mailbox *m, struct expunge_op *e)
{
    e->count = 0;
    e->from = 1;
    request_start(m->user->store, &e->op, REQUEST_EXPUNGE, m);
}

/* --- copy --- */

/* What is copied: exactly the messages that will be there when it is applied. */
static void choose_copies(struct mailbox *m, const struct copy_op *op, struct choice *c)
{
    const struct content *content = m->content;

    for (unsigned i = 0; i < op->uid_count; i++) {
        struct spot s = content_seek(content, op->uids[i].first);
        bool adjacent = false;

        for (; s.page < content->page_count; content_next(content, &s)) {
            const struct packed_entry *e = content_get(content, s);

            if (e->uid > op->uids[i].last)
                break;
            if (e->doomed) {
                adjacent = false;
                continue;
            }
            add_uid(c, e->uid, adjacent);
            adjacent = true;
            c->bytes += e->size;
            c->count++;
            for (unsigned k = 0; e->set && k < KEYWORDS_HARD_MAX / 64; k++)
                c->keywords.bits[k] |= content->keywords.sets[e->set].bits[k];
        }
    }
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
    TRY(delta_end(from->user, op->move ? LOG_SHRINK : LOG_GROW, RECORD_COPY, &op->op));
    mailbox_given(to, r.uid_first + r.count, modseq);
    if (op->move) {
        mailbox_given(from, 0, modseq_from);
        doom(from, (const void *)c->ranges.at, r.range_count);
    }
    op->uid_first = r.uid_first;
    op->count = r.count;
    op->uid_validity = to->uid_validity;
    return STATUS_OK;
}

static enum status copy_chosen(
    struct mailbox *from, struct mailbox *to, struct copy_op *op, struct choice *c)
{
    uint64_t quota = from->user->store->conf.quota_bytes;

    choose_copies(from, op, c);
    if (c->ranges.failed)
        return STATUS_NO_MEMORY;
    op->uid_validity = to->uid_validity;
    op->uid_first = mailbox_uid_next(to);
    if (c->count == 0)
        return change_mark(from->user->store, &op->op);
    if (!can_give(to, c->count) || !keywords_fit(from, to, c))
        return STATUS_LIMIT;
    if (!op->move && quota && from->user->head->bytes + c->bytes > quota)
        return STATUS_LIMIT;
    return copy_add(from, to, op, c);
}

enum status try_copy(struct mailbox *m, struct copy_op *op)
{
    struct user *u = m->user;
    struct choice c = {0};
    struct mailbox *to;
    enum status status;

    if (is_gone(m))
        return STATUS_NOT_FOUND;
    to = names_find(u, name_canonical(op->to));
    if (!to || !to->selectable || to->dying)
        return STATUS_NOT_FOUND;
    if (m->frozen || to->frozen)
        return STATUS_BUSY;
    status = content_need(to, &op->op);
    if (status == STATUS_BUSY)
        return STATUS_OK;
    TRY(status);
    status = copy_chosen(m, to, op, &c);
    choice_free(&c);
    return status;
}

void mailbox_copy(struct mailbox *m, struct copy_op *c)
{
    c->uid_validity = c->uid_first = c->count = 0;
    request_start(m->user->store, &c->op, REQUEST_COPY, m);
}

void mailbox_change(struct user *u, struct mailbox_op *m)
{
    m->work = NULL;
    m->uid_validity = 0;
    request_start(u->store, &m->op, REQUEST_MAILBOX_CHANGE, u);
}
