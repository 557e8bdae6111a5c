#include "store/compact.h"
#include "store/mailbox.h"

/* --- keywords of records --- */

/* Adds a keyword to the set. False: no memory. One too many is left out. */
static bool set_add(struct keywords *k, struct keyword_set *set, struct slice keyword)
{
    int at = keyword_intern(k, keyword);

    if (at < 0)
        return k->count == KEYWORDS_HARD_MAX || keyword.len > KEYWORD_BYTES_MAX;
    if (at >= k->shown)
        k->shown = (uint16_t)(at + 1);
    set->bits[at / 64] |= (uint64_t)1 << (at % 64);
    return true;
}

static bool set_read(struct keywords *k, struct reader *in, unsigned count, bool make,
    struct keyword_set *set)
{
    *set = (struct keyword_set){0};
    for (unsigned i = 0; i < count; i++) {
        struct slice keyword = reader_string(in);

        if (!make && keyword_find(k, keyword) < 0)
            continue;
        if (!set_add(k, set, keyword))
            return false;
    }
    return true;
}

/* --- coming --- */

static bool add_entry(struct mailbox *m, const struct packed_entry *e)
{
    uint32_t pages = m->content->page_count;

    if (!content_append(m->content, e))
        return false;
    if (m->content->page_count != pages)
        mailbox_recount(m);
    segments_add(&m->segments, e->body);
    segments_add(&m->segments, e->summary);
    if (compact_names(m->user->store, e))
        m->user->relocated = true;
    return true;
}

/* The compiler can't see that these values fit their bits: they were checked when the
 * record was made, and a layout is what it is. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
static struct packed_entry entry_of(
    const struct delivery_read *d, const struct rec_target *t, unsigned set)
{
    return (struct packed_entry){.uid = t->uid,
        .size = d->fixed.size,
        .date = d->fixed.date_s,
        .flags = t->flags,
        .share = d->fixed.share,
        .set = set,
        .modseq = t->modseq,
        .zone = d->fixed.date_zone,
        .summary_index = d->fixed.summary_index,
        .ends_with_crlf = d->fixed.ends_with_crlf & 1,
        .body = d->fixed.body,
        .summary = d->fixed.summary};
}
#pragma GCC diagnostic pop

static uint32_t last_uid(const struct content *c)
{
    const struct page *p;

    if (!c->page_count)
        return 0;
    p = &c->pages[c->page_count - 1];
    return p->at[p->count - 1].uid;
}

static enum applied apply_delivery(struct mailbox *m, const struct log_record *r)
{
    struct keywords *k = &m->content->keywords;
    struct delivery_read d;

    if (!delivery_read(r->payload, &d))
        return APPLIED;
    for (unsigned i = 0; i < d.fixed.target_count; i++) {
        const struct rec_target *t = &d.targets[i];
        struct keyword_set keywords;
        struct packed_entry e;
        int set = 0;

        if (t->user != m->user->id || t->mailbox != m->id ||
            t->uid <= last_uid(m->content)) {
            for (unsigned n = 0; n < t->keyword_count; n++)
                (void)reader_string(&d.keywords);
            continue;
        }
        if (t->keyword_count) {
            if (!set_read(k, &d.keywords, t->keyword_count, true, &keywords))
                return APPLY_STUCK;
            set = keyword_set_intern(k, &keywords);
            if (set == -1)
                return APPLY_STUCK;
        }
        e = entry_of(&d, t, set < 0 ? 0 : (unsigned)set);
        if (!add_entry(m, &e))
            return APPLY_STUCK;
    }
    views_came(m);
    return APPLIED;
}

/* --- flags --- */

struct flags_change {
    enum flags_mode mode;
    unsigned flags;
    struct keyword_set keywords;
    uint64_t modseq;
    int from, to; /* the set changed last, and what it became */
};

static unsigned flags_of(unsigned old, const struct flags_change *f)
{
    switch (f->mode) {
    case FLAGS_ADD:
        return old | f->flags;
    case FLAGS_REMOVE:
        return old & ~f->flags;
    case FLAGS_SET:
        break;
    }
    return f->flags;
}

/* The set that `old` becomes; -1: no memory. */
static int set_of(struct keywords *k, int old, struct flags_change *f)
{
    struct keyword_set set = k->sets[old];
    int to;

    if (old == f->from)
        return f->to;
    for (unsigned i = 0; i < KEYWORDS_HARD_MAX / 64; i++)
        switch (f->mode) {
        case FLAGS_ADD:
            set.bits[i] |= f->keywords.bits[i];
            break;
        case FLAGS_REMOVE:
            set.bits[i] &= ~f->keywords.bits[i];
            break;
        case FLAGS_SET:
            set.bits[i] = f->keywords.bits[i];
            break;
        }
    to = keyword_set_intern(k, &set);
    if (to == -1)
        return -1;
    f->from = old;
    f->to = to < 0 ? old : to;
    return f->to;
}

static bool set_flags(struct mailbox *m, struct page *p, struct packed_entry *e,
    unsigned flags, unsigned set, uint64_t modseq)
{
    struct content *c = m->content;

    if (e->flags == flags && e->set == set)
        return false;
    c->unseen += (e->flags & FLAG_SEEN) != 0;
    c->unseen -= (flags & FLAG_SEEN) != 0;
    c->deleted -= (e->flags & FLAG_DELETED) != 0;
    c->deleted += (flags & FLAG_DELETED) != 0;
    e->flags = flags & 31;
    e->set = set & (KEYWORD_SETS_MAX - 1);
    e->modseq = modseq & (((uint64_t)1 << 44) - 1);
    e->changed = 1;
    if (modseq > p->changed_modseq)
        p->changed_modseq = modseq;
    p->dirty = c->dirty = true;
    return true;
}

/* Views look for changes up to this one: not before the last message has it. */
static void flags_done(struct mailbox *m, uint64_t modseq)
{
    if (modseq <= m->flags_modseq)
        return;
    m->flags_before = m->flags_modseq;
    m->flags_modseq = modseq;
}

static enum applied flags_range(struct mailbox *m, const struct rec_range *range,
    struct flags_change *f, struct progress *p)
{
    struct content *c = m->content;
    struct spot s = content_seek(c, range->first > p->uid ? range->first : p->uid);

    for (; s.page < c->page_count; content_next(c, &s)) {
        struct page *page = &c->pages[s.page];
        struct packed_entry *e = &page->at[s.at];
        int set;

        if (e->uid > range->last)
            break;
        p->uid = e->uid;
        if (p->budget-- <= 0)
            return APPLY_MORE;
        set = set_of(&c->keywords, e->set, f);
        if (set < 0)
            return APPLY_STUCK;
        p->done |= set_flags(m, page, e, flags_of(e->flags, f), (unsigned)set, f->modseq);
    }
    return APPLIED;
}

static enum applied apply_flags(
    struct mailbox *m, const struct delta_read *d, struct progress *p)
{
    struct flags_read f;
    struct flags_change change = {
        .mode = (enum flags_mode)d->fixed.what, .modseq = d->fixed.modseq, .from = -1};

    if (!flags_read(d->body, &f) || d->fixed.what > FLAGS_REMOVE)
        return APPLIED;
    change.flags = f.fixed.flags & 31;
    if (!set_read(&m->content->keywords, &f.keywords, f.fixed.keyword_count,
            change.mode != FLAGS_REMOVE, &change.keywords))
        return APPLY_STUCK;
    for (uint32_t i = 0; i < f.ranges.count; i++) {
        enum applied a;

        if (f.ranges.at[i].last < p->uid)
            continue;
        a = flags_range(m, &f.ranges.at[i], &change, p);
        if (a != APPLIED)
            return a;
    }
    if (p->done)
        flags_done(m, change.modseq);
    return APPLIED;
}

/* --- going --- */

enum { COST_GAP = 4 }; /* of what moves up behind a range that goes, in messages */

/* Removes the messages of a range, page by page. */
static enum applied remove_range(
    struct mailbox *m, uint32_t first, uint32_t last, struct progress *p)
{
    struct content *c = m->content;
    uint32_t uids[PAGE_ENTRIES];
    int cost = 1 + views_cost(m);

    for (;;) {
        struct spot s = content_seek(c, first);
        uint32_t n = 0, room = p->budget > cost ? (uint32_t)(p->budget / cost) : 1;
        const struct page *page;

        if (s.page == c->page_count)
            return APPLIED;
        page = &c->pages[s.page];
        while (n < room && s.at + n < page->count && page->at[s.at + n].uid <= last) {
            uids[n] = page->at[s.at + n].uid;
            n++;
        }
        if (n == 0)
            return APPLIED;
        if (p->budget <= 0)
            return APPLY_MORE;
        if (!views_reserve(m, uids, n))
            return APPLY_STUCK;
        p->budget -= (int)n * cost + COST_GAP;
        content_remove(c, s, n);
        views_gone(m, uids, n);
    }
}

static enum applied apply_expunge(
    struct mailbox *m, const struct delta_read *d, struct progress *p)
{
    struct expunge_read e;

    if (!expunge_read(d->body, &e))
        return APPLIED;
    for (uint32_t i = p->done; i < e.ranges.count; i++) {
        enum applied a = remove_range(m, e.ranges.at[i].first, e.ranges.at[i].last, p);

        p->done = i;
        if (a != APPLIED)
            return a;
    }
    content_tidy(m->content);
    return APPLIED;
}

enum applied mailbox_empty(struct mailbox *m, struct progress *p)
{
    return m->content ? remove_range(m, 1, UINT32_MAX, p) : APPLIED;
}

/* --- moved by compaction --- */

static enum applied apply_relocate(struct mailbox *m, const struct delta_read *d)
{
    struct content *c = m->content;
    struct relocate_read r;

    if (!relocate_read(d->body, &r))
        return APPLIED;
    for (uint32_t i = 0; i < r.count; i++) {
        const struct rec_move *move = &r.moves[i];
        struct spot s = content_seek(c, move->uid);
        struct packed_entry *e;

        if (s.page == c->page_count || c->pages[s.page].at[s.at].uid != move->uid)
            continue;
        e = &c->pages[s.page].at[s.at];
        if (move->body)
            e->body = move->body;
        if (move->summary) {
            e->summary = move->summary;
            e->summary_index = move->summary_index;
        }
        segments_add(&m->segments, move->body);
        segments_add(&m->segments, move->summary);
        c->pages[s.page].dirty = c->dirty = true;
    }
    return APPLIED;
}

/* --- all of them --- */

enum applied content_apply(
    struct mailbox *m, const struct log_record *r, struct progress *p)
{
    struct delta_read d;

    if (r->kind == RECORD_DELIVERY)
        return apply_delivery(m, r);
    if (!delta_read(r->payload, &d))
        return APPLIED;
    if (r->kind == RECORD_FLAGS)
        return apply_flags(m, &d, p);
    if (r->kind == RECORD_EXPUNGE)
        return apply_expunge(m, &d, p);
    if (r->kind == RECORD_RELOCATE)
        return apply_relocate(m, &d);
    return APPLIED;
}

static void count(struct mailbox *m, uint64_t uid_next, uint64_t modseq)
{
    if (uid_next > UINT32_MAX)
        uid_next = UINT32_MAX;
    if (uid_next > m->uid_next)
        m->uid_next = (uint32_t)uid_next;
    if (modseq > m->modseq)
        m->modseq = modseq;
    mailbox_given(m, m->uid_next, m->modseq);
    fold_touched(m);
}

static void count_delivery(struct mailbox *m, const struct log_record *r)
{
    struct delivery_read d;

    if (!delivery_read(r->payload, &d))
        return;
    for (unsigned i = 0; i < d.fixed.target_count; i++)
        if (d.targets[i].user == m->user->id && d.targets[i].mailbox == m->id)
            count(m, (uint64_t)d.targets[i].uid + 1, d.targets[i].modseq);
}

enum applied mailbox_apply(
    struct mailbox *m, const struct log_record *r, struct progress *p)
{
    struct delta_read d;

    if (m->content && held_empty(&m->held)) {
        enum applied a = content_apply(m, r, p);

        if (a != APPLIED)
            return a;
    } else if (!held_add(&m->held, r)) {
        return APPLY_STUCK;
    } else {
        mailbox_recount(m);
    }
    if (r->kind == RECORD_DELIVERY)
        count_delivery(m, r);
    else if (delta_read(r->payload, &d))
        count(m, 0, d.fixed.modseq);
    if (r->kind != RECORD_RELOCATE)
        views_tell(m);
    return APPLIED;
}

/* --- copies --- */

/* What the set of one mailbox is in another; -1: no memory. */
static int translate(const struct keywords *from, int set, struct keywords *to)
{
    struct keyword_set made = {0};
    int at;

    for (unsigned i = 0; i < from->count; i++)
        if (from->sets[set].bits[i / 64] >> (i % 64) & 1)
            if (!set_add(to, &made, from->at[i]))
                return -1;
    at = keyword_set_intern(to, &made);
    return at == SETS_FULL ? 0 : at;
}

enum { COPY_STEP = 64 };

/* The next messages of the range, as many as the slice has room for; their number. */
static unsigned gather(const struct content *c, const struct rec_range *range,
    const struct progress *p, struct packed_entry *list)
{
    int room = p->budget > MESSAGE_MADE ? p->budget / MESSAGE_MADE : 1;
    unsigned max = room < COPY_STEP ? (unsigned)room : COPY_STEP;
    uint32_t uid = p->uid;
    struct spot s = content_seek(c, range->first > uid ? range->first : uid);
    unsigned n = 0;

    while (s.page < c->page_count && n < max) {
        const struct packed_entry *e = content_get(c, s);

        if (e->uid > range->last)
            break;
        list[n++] = *e;
        content_next(c, &s);
    }
    return n;
}

static bool copy_one(struct mailbox *to, struct mailbox *from,
    const struct packed_entry *old, uint32_t uid, const struct delta_read *d, int set)
{
    bool move = d->fixed.what;
    struct packed_entry e = *old;
    struct packed_entry *source;

    e.uid = uid;
    e.set = (unsigned)set & (KEYWORD_SETS_MAX - 1);
    e.modseq = d->fixed.modseq & (((uint64_t)1 << 44) - 1);
    e.doomed = e.changed = 0;
    if (!move && e.share < SHARE_MAX)
        e.share++;
    if (!add_entry(to, &e))
        return false;
    if (!move) {
        struct spot s = content_seek(from->content, old->uid);

        source = &from->content->pages[s.page].at[s.at];
        source->share = e.share;
        from->content->pages[s.page].dirty = from->content->dirty = true;
    }
    return true;
}

/* Neighbours on a page go together. */
static void remove_uids(struct content *c, const uint32_t *uids, unsigned count)
{
    for (unsigned i = 0, n; i < count; i += n) {
        struct spot s = content_seek(c, uids[i]);
        const struct page *page = &c->pages[s.page];

        for (n = 1; i + n < count && s.at + n < page->count; n++)
            if (page->at[s.at + n].uid != uids[i + n])
                break;
        content_remove(c, s, n);
    }
}

/* Copies, and takes away what was copied when it is a move. */
static enum applied copy_some(struct mailbox *to, struct mailbox *from,
    const struct delta_read *d, uint32_t uid_first, const struct packed_entry *list,
    unsigned n, struct progress *p)
{
    uint32_t uids[COPY_STEP];
    int last_from = -1, last_to = 0;
    int cost = MESSAGE_MADE + (d->fixed.what ? views_cost(from) : 0);
    unsigned made = 0;

    for (unsigned i = 0; i < n; i++)
        uids[i] = list[i].uid;
    if (d->fixed.what && !views_reserve(from, uids, n))
        return APPLY_STUCK;
    for (; made < n; made++) {
        int set = list[made].set;

        if (set != last_from) {
            last_to = translate(&from->content->keywords, set, &to->content->keywords);
            last_from = last_to < 0 ? -1 : set;
        }
        if (last_to < 0 ||
            !copy_one(to, from, &list[made], uid_first + p->done, d, last_to))
            break;
        p->uid = uids[made] + 1;
        p->done++;
    }
    p->budget -= (int)made * cost;
    if (d->fixed.what) {
        remove_uids(from->content, uids, made);
        views_gone(from, uids, made);
    }
    return made < n ? APPLY_STUCK : APPLIED;
}

enum applied copy_apply(struct mailbox *to, struct mailbox *from,
    const struct log_record *r, struct progress *p)
{
    struct packed_entry list[COPY_STEP];
    struct delta_read d;
    struct copy_read c;

    if (!delta_read(r->payload, &d) || !copy_read(d.body, &c))
        return APPLIED;
    for (uint32_t i = 0; i < c.ranges.count; i++) {
        unsigned n;

        if (c.ranges.at[i].last < p->uid)
            continue;
        while ((n = gather(from->content, &c.ranges.at[i], p, list)) > 0) {
            enum applied a = copy_some(to, from, &d, c.fixed.uid_first, list, n, p);

            if (a != APPLIED)
                return a;
            if (p->budget <= 0)
                return APPLY_MORE;
        }
    }
    if (d.fixed.what)
        content_tidy(from->content);
    count(to, (uint64_t)c.fixed.uid_first + c.fixed.count, d.fixed.modseq);
    if (d.fixed.what)
        count(from, 0, c.fixed.modseq_from);
    fold_touched(from);
    views_came(to);
    views_tell(to);
    views_tell(from);
    return APPLIED;
}
