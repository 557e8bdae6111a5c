/* A view is what its client believes, told as a difference: the client's list is the
 * messages with UIDs up to uid_known, and those of them that have gone without his being
 * told. Its order is that of UIDs, so a sequence number is one rank less another. */
#include "store/mailbox.h"
#include "store/uids.h"

/* UIDs of all that went from a mailbox at one moment, ascending; its views share it. */
struct view_lost {
    uint32_t holders;
    uint32_t count, cap;
    uint32_t uids[];
};

/* UIDs of messages that have gone and are not told. */
struct view_gone {
    struct view_lost *lost; /* the first lost_count of them, too; or NULL */
    uint32_t lost_count;
    struct uids own;
};

static uint32_t gone_count(const struct view *v)
{
    return v->gone ? v->gone->own.count + v->gone->lost_count : 0;
}

static struct content *content_of(const struct view *v)
{
    return v->mailbox->content;
}

static uint32_t last_uid(const struct content *c)
{
    const struct page *p;

    if (!c || !c->page_count)
        return 0;
    p = &c->pages[c->page_count - 1];
    return p->at[p->count - 1].uid;
}

/* --- what the mailbox does to its views --- */

/* How many of these, which ascend, the client knows. */
static unsigned known_of(const struct view *v, const uint32_t *uids, unsigned n)
{
    while (n && uids[n - 1] > v->uid_known)
        n--;
    return n;
}

static bool gone_reserve(struct view *v, const uint32_t *uids, unsigned n)
{
    if (!v->gone)
        v->gone = calloc(1, sizeof *v->gone);
    return v->gone && uids_reserve(&v->gone->own, uids, known_of(v, uids, n));
}

static void gone_free(struct view *v)
{
    if (v->gone) {
        lost_drop(v->gone->lost);
        uids_free(&v->gone->own);
    }
    free(v->gone);
    v->gone = NULL;
}

bool views_reserve(struct mailbox *m, const uint32_t *uids, unsigned n)
{
    list_each(link, &m->views)
        if (!gone_reserve(container_of(link, struct view, link), uids, n))
            return false;
    return true;
}

void views_gone(struct mailbox *m, const uint32_t *uids, unsigned n)
{
    list_each(link, &m->views) {
        struct view *v = container_of(link, struct view, link);

        uids_add(&v->gone->own, uids, known_of(v, uids, n));
    }
}

enum { VIEWS_A_MESSAGE = 16 }; /* to note one for so many is as much as to remove it */

int views_cost(const struct mailbox *m)
{
    int views = 0;

    list_each(link, &m->views)
        views++;
    return views / VIEWS_A_MESSAGE;
}

/* --- all at once --- */

struct view_lost *lost_new(uint32_t messages)
{
    struct view_lost *l = malloc(sizeof *l + messages * sizeof l->uids[0]);

    if (l)
        *l = (struct view_lost){.holders = 1, .cap = messages};
    return l;
}

void lost_drop(struct view_lost *l)
{
    if (l && --l->holders == 0)
        free(l);
}

enum applied lost_fill(struct view_lost *l, const struct content *c, struct progress *p)
{
    for (; p->done < c->page_count; p->done++) {
        const struct page *page = &c->pages[p->done];

        if (p->budget <= 0)
            return APPLY_MORE;
        CHECK(l->count + page->count <= l->cap);
        for (uint32_t i = 0; i < page->count; i++)
            l->uids[l->count++] = page->at[i].uid;
        p->budget -= (int)page->count;
    }
    return APPLIED;
}

/* How many of the UIDs are <= uid. */
static uint32_t rank(const uint32_t *uids, uint32_t count, uint32_t uid)
{
    uint32_t lo = 0, hi = count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (uids[mid] <= uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* A view that has lost all before, and was not told all of it, knows none of these. */
void views_lose(struct mailbox *m, struct view_lost *l)
{
    list_each(link, &m->views) {
        struct view *v = container_of(link, struct view, link);
        uint32_t known = rank(l->uids, l->count, v->uid_known);

        if (!known)
            continue;
        CHECK(v->gone && !v->gone->lost_count);
        lost_drop(v->gone->lost);
        v->gone->lost = l;
        v->gone->lost_count = known;
        l->holders++;
    }
}

/* --- news has come --- */

/* RFC 3501, 2.3.2: recent to the first session that is told. That is the oldest that may
 * change the mailbox; so what one view takes is always one run of UIDs. */
static void take_recent(struct view *v)
{
    uint32_t last = last_uid(content_of(v));

    if (last <= v->mailbox->recent_uid)
        return;
    if (v->recent_first > v->recent_last)
        v->recent_first = v->mailbox->recent_uid + 1;
    v->recent_last = v->mailbox->recent_uid = last;
}

void views_came(struct mailbox *m)
{
    list_each(link, &m->views) {
        struct view *v = container_of(link, struct view, link);

        if (!v->examine) {
            take_recent(v);
            return;
        }
    }
}

void views_tell(struct mailbox *m)
{
    list_each_safe(link, after, &m->views) {
        struct view *v = container_of(link, struct view, link);

        /* That the mailbox has gone is news, also of an empty one. */
        if (v->told || (!m->gone && !view_has_news(v)))
            continue;
        v->told = true;
        v->changed(v);
    }
}

/* --- open, close --- */

void view_open(
    struct view *v, struct mailbox *m, bool examine, void (*changed)(struct view *))
{
    CHECK(m->content);
    *v = (struct view){.mailbox = m,
        .changed = changed,
        .count = m->content->messages,
        .uid_known = last_uid(m->content),
        .recent_first = 1,
        .flags_seen = m->flags_modseq,
        .examine = examine};
    list_add(&m->views, &v->link);
    if (examine) {
        v->recent_first = m->recent_uid + 1;
        v->recent_last = v->uid_known;
    } else {
        take_recent(v);
    }
}

void view_close(struct view *v)
{
    list_remove(&v->link);
    gone_free(v);
}

/* --- numbers --- */

static uint32_t lost_rank(const struct view_gone *g, uint32_t uid)
{
    return g->lost_count ? rank(g->lost->uids, g->lost_count, uid) : 0;
}

/* How many of the gone have UIDs <= uid. */
static uint32_t gone_rank(const struct view *v, uint32_t uid)
{
    const struct view_gone *g = v->gone;

    return g ? uids_rank(&g->own, uid) + lost_rank(g, uid) : 0;
}

/* The i-th of the gone, which are in two places. */
static uint32_t gone_uid(const struct view *v, uint32_t i)
{
    const struct view_gone *g = v->gone;
    uint32_t lo = 0, hi = g->own.count;

    if (!g->lost_count)
        return uids_at(&g->own, i);
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (mid + lost_rank(g, uids_at(&g->own, mid)) < i)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < g->own.count && lo + lost_rank(g, uids_at(&g->own, lo)) == i)
        return uids_at(&g->own, lo);
    return g->lost->uids[i - lo];
}

uint32_t view_rank(const struct view *v, uint32_t uid)
{
    if (uid > v->uid_known)
        uid = v->uid_known;
    return content_rank(content_of(v), uid) + gone_rank(v, uid);
}

/* Sequence number of the i-th of the gone. */
static uint32_t gone_seq(const struct view *v, uint32_t i)
{
    return content_rank(content_of(v), gone_uid(v, i)) + i + 1;
}

/* How many of the gone have numbers below seq; sets *uid when one has seq itself. */
static uint32_t gone_below(const struct view *v, uint32_t seq, uint32_t *uid)
{
    uint32_t lo = 0, hi = gone_count(v);

    *uid = 0;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2, at = gone_seq(v, mid);

        if (at == seq)
            *uid = gone_uid(v, mid);
        if (at < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct packed_entry *entry_at(
    const struct view *v, uint32_t seq, uint32_t *gone)
{
    uint32_t below;

    *gone = 0;
    if (seq == 0 || seq > v->count)
        return NULL;
    below = gone_below(v, seq, gone);
    return *gone ? NULL : content_at(content_of(v), seq - below - 1);
}

static bool is_recent(const struct view *v, uint32_t uid)
{
    return uid >= v->recent_first && uid <= v->recent_last;
}

bool view_entry(const struct view *v, uint32_t seq, struct entry *entry)
{
    uint32_t gone;
    const struct packed_entry *e = entry_at(v, seq, &gone);

    if (!e)
        return false;
    entry_public(e, entry);
    entry->recent = is_recent(v, e->uid);
    return true;
}

uint32_t view_uid(const struct view *v, uint32_t seq)
{
    uint32_t gone;
    const struct packed_entry *e = entry_at(v, seq, &gone);

    return e ? e->uid : gone;
}

uint32_t view_seq(const struct view *v, uint32_t uid)
{
    uint32_t seq = view_rank(v, uid);

    return seq && uid <= v->uid_known && view_uid(v, seq) == uid ? seq : 0;
}

uint32_t view_recent(const struct view *v)
{
    if (v->recent_first > v->recent_last)
        return 0;
    return view_rank(v, v->recent_last) - view_rank(v, v->recent_first - 1);
}

/* --- news --- */

static bool has_new(const struct view *v)
{
    return content_of(v)->messages + gone_count(v) > v->count;
}

static bool has_flags(const struct view *v)
{
    return v->flags_target || v->mailbox->flags_modseq > v->flags_seen;
}

bool view_has_news(const struct view *v)
{
    return gone_count(v) || has_new(v) || has_flags(v);
}

/* The last first: the numbers of the others stay, and taking it off costs nothing. */
static void tell_expunge(struct view *v, struct view_news *news)
{
    struct view_gone *g = v->gone;
    uint32_t uid = gone_uid(v, gone_count(v) - 1);

    news->event = VIEW_EXPUNGE;
    news->seq = gone_seq(v, gone_count(v) - 1);
    v->count--;
    if (g->lost_count && g->lost->uids[g->lost_count - 1] == uid)
        g->lost_count--;
    else
        uids_take_last(&g->own);
    if (gone_count(v) == 0)
        gone_free(v);
}

static void tell_exists(struct view *v, struct view_news *news)
{
    news->event = VIEW_EXISTS;
    v->count = news->count = content_of(v)->messages;
    v->uid_known = last_uid(content_of(v));
    if (v->examine && v->mailbox->recent_uid < v->recent_first)
        v->recent_last = v->uid_known; /* nobody has taken them yet */
}

/* The next message, from flags_uid on, whose flags changed after flags_seen. */
static const struct packed_entry *next_changed(struct view *v)
{
    const struct content *c = content_of(v);
    struct spot s = content_seek(c, v->flags_uid);

    while (s.page < c->page_count) {
        const struct page *p = &c->pages[s.page];
        const struct packed_entry *e;

        if (s.at == 0 && p->changed_modseq <= v->flags_seen) {
            s.page++;
            continue;
        }
        e = &p->at[s.at];
        if (e->uid > v->uid_known)
            break;
        if (e->changed && e->modseq > v->flags_seen && e->modseq != v->flags_skip)
            return e;
        content_next(c, &s);
    }
    return NULL;
}

/* Goes over the mailbox once for all changes up to flags_target; what changes meanwhile
 * has a higher modseq and is found by the next pass. */
static bool tell_flags(struct view *v, struct view_news *news)
{
    while (has_flags(v)) {
        const struct packed_entry *e;

        if (!v->flags_target) {
            v->flags_target = v->mailbox->flags_modseq;
            v->flags_uid = 1;
        }
        e = next_changed(v);
        if (e) {
            news->event = VIEW_FLAGS;
            news->seq = view_rank(v, e->uid);
            entry_public(e, &news->entry);
            news->entry.recent = is_recent(v, e->uid);
            v->flags_uid = e->uid + 1;
            return true;
        }
        v->flags_seen = v->flags_target;
        v->flags_target = 0;
    }
    return false;
}

enum view_event view_news(struct view *v, bool expunge, struct view_news *news)
{
    *news = (struct view_news){.event = VIEW_NONE};
    if (gone_count(v) && expunge)
        tell_expunge(v, news);
    else if (!gone_count(v) && has_new(v))
        tell_exists(v, news);
    else if (!tell_flags(v, news))
        v->told = false;
    return news->event;
}

bool view_skip_flags(struct view *v, uint64_t modseq)
{
    const struct mailbox *m = v->mailbox;
    bool alone =
        !v->flags_target && m->flags_modseq == modseq && m->flags_before <= v->flags_seen;

    v->flags_skip = modseq;
    if (alone)
        v->flags_seen = modseq;
    return alone;
}
