#include "store/mailbox.h"

enum { PAGE_FIRST = 8 }; /* room of a page that has just begun */

struct content *content_new(const struct store *s)
{
    struct content *c = calloc(1, sizeof *c);

    if (c && !keywords_init(&c->keywords)) {
        keywords_free(&c->keywords);
        free(c);
        return NULL;
    }
    if (c)
        c->page_max = s->page_entries;
    return c;
}

void content_free(struct content *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->page_count; i++)
        free(c->pages[i].at);
    free(c->pages);
    keywords_free(&c->keywords);
    bytes_free(&c->dropped.bytes);
    free(c);
}

void content_bury(struct store *s, struct content *c)
{
    size_t bytes;

    if (!c)
        return;
    c->next_dead = s->dead_contents;
    s->dead_contents = c;
    bytes = content_memory(c);
    s->index_used += bytes;
    s->dead_bytes += bytes;
}

bool content_free_piece(struct store *s)
{
    struct content *c = s->dead_contents;
    size_t bytes;

    if (!c)
        return false;
    if (c->page_count) {
        struct page *last = &c->pages[--c->page_count];

        bytes = last->cap * sizeof *last->at;
        free(last->at);
    } else {
        bytes = content_memory(c);
        s->dead_contents = c->next_dead;
        content_free(c);
    }
    s->index_used -= bytes;
    s->dead_bytes -= bytes;
    return true;
}

size_t content_memory(const struct content *c)
{
    size_t n = sizeof *c + c->page_cap * sizeof *c->pages +
        c->keywords.set_cap * sizeof *c->keywords.sets;

    for (uint32_t i = 0; i < c->page_count; i++)
        n += c->pages[i].cap * sizeof(struct packed_entry);
    return n;
}

/* --- finding --- */

static uint32_t page_last_uid(const struct page *p)
{
    return p->at[p->count - 1].uid;
}

struct spot content_seek(const struct content *c, uint32_t uid)
{
    uint32_t lo = 0, hi = c->page_count;
    const struct page *p;
    struct spot s;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (page_last_uid(&c->pages[mid]) < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    s = (struct spot){lo, 0};
    if (lo == c->page_count)
        return s;
    p = &c->pages[lo];
    for (lo = 0, hi = p->count; lo < hi;) {
        uint32_t mid = (lo + hi) / 2;

        if (p->at[mid].uid < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    s.at = lo;
    return s;
}

/* Brings the counts of the pages before up to date, as far as page `upto`. */
static void sum(struct content *c, uint32_t upto)
{
    uint32_t i = c->summed;

    if (i == 0 && c->page_count) {
        c->pages[0].before = 0;
        i = 1;
    }
    for (; i <= upto && i < c->page_count; i++)
        c->pages[i].before = c->pages[i - 1].before + c->pages[i - 1].count;
    if (i > c->summed)
        c->summed = i;
}

static bool page_has(const struct content *c, uint32_t page, uint32_t i)
{
    const struct page *p = &c->pages[page];

    return i >= p->before && i - p->before < p->count;
}

const struct packed_entry *content_at(struct content *c, uint32_t i)
{
    uint32_t lo = 0, hi = c->page_count - 1;

    sum(c, hi);
    if (c->page_at <= hi && page_has(c, c->page_at, i))
        lo = hi = c->page_at;
    while (lo < hi) {
        uint32_t mid = (lo + hi + 1) / 2;

        if (c->pages[mid].before > i)
            hi = mid - 1;
        else
            lo = mid;
    }
    c->page_at = lo;
    return &c->pages[lo].at[i - c->pages[lo].before];
}

uint32_t content_rank(struct content *c, uint32_t uid)
{
    struct spot s;

    if (uid == UINT32_MAX)
        return c->messages;
    s = content_seek(c, uid + 1);
    if (s.page == c->page_count)
        return c->messages;
    sum(c, s.page);
    return c->pages[s.page].before + s.at;
}

struct packed_entry *content_find(const struct content *c, uint32_t uid)
{
    struct spot s = content_seek(c, uid);
    struct packed_entry *e;

    if (s.page == c->page_count)
        return NULL;
    e = &c->pages[s.page].at[s.at];
    return e->uid == uid ? e : NULL;
}

/* --- adding --- */

static void count_entry(struct content *c, const struct packed_entry *e, int by)
{
    c->messages += (uint32_t)by;
    c->unseen += (e->flags & FLAG_SEEN) ? 0 : (uint32_t)by;
    c->deleted += (e->flags & FLAG_DELETED) ? (uint32_t)by : 0;
    c->bytes += (uint64_t)((int64_t)e->size * by);
}

static struct page *page_add(struct content *c)
{
    if (c->page_count == c->page_cap) {
        uint32_t cap = c->page_cap ? 2 * c->page_cap : 2;
        struct page *pages = realloc(c->pages, cap * sizeof *pages);

        if (!pages)
            return NULL;
        c->pages = pages;
        c->page_cap = cap;
    }
    CHECK(c->pages);
    c->pages[c->page_count] = (struct page){.dirty = true};
    return &c->pages[c->page_count];
}

static bool page_room(struct page *p, uint32_t cap)
{
    struct packed_entry *at;

    if (p->cap >= cap)
        return true;
    at = realloc(p->at, cap * sizeof *at);
    if (!at)
        return false;
    p->at = at;
    p->cap = cap;
    return true;
}

bool content_append(struct content *c, const struct packed_entry *e)
{
    struct page *p = c->page_count ? &c->pages[c->page_count - 1] : NULL;

    if (!p || p->count >= c->page_max) {
        p = page_add(c);
        if (!p || !page_room(p, PAGE_FIRST))
            return false;
        c->page_count++;
    }
    if (p->count == p->cap &&
        !page_room(p, 2 * p->cap < c->page_max ? 2 * p->cap : c->page_max))
        return false;
    CHECK(p->count == 0 || page_last_uid(p) < e->uid);
    p->at[p->count++] = *e;
    p->dirty = c->dirty = true;
    count_entry(c, e, 1);
    return true;
}

bool content_append_page(struct content *c, struct slice entries)
{
    uint32_t n = (uint32_t)(entries.len / sizeof(struct packed_entry));
    struct page *p = page_add(c);

    if (!p || !page_room(p, n))
        return false;
    CHECK(p->at);
    memcpy(p->at, entries.at, entries.len);
    p->count = n;
    p->dirty = false;
    c->page_count++;
    for (uint32_t i = 0; i < n; i++) {
        struct packed_entry *e = &p->at[i];

        if (e->set >= c->keywords.set_count)
            e->set = 0;
        e->doomed = 0;
        count_entry(c, e, 1);
        if (e->changed && e->modseq > p->changed_modseq)
            p->changed_modseq = e->modseq;
    }
    return true;
}

/* --- removing --- */

void page_recorded(struct page *p, uint64_t place, uint32_t bytes)
{
    p->record = (struct rec_page_ref){.place = place,
        .bytes = bytes,
        .count = p->count,
        .first = p->at[0].uid,
        .last = page_last_uid(p)};
    p->dirty = false;
}

void page_forget(struct content *c, struct page *p)
{
    if (p->record.place)
        freed_add(
            &c->dropped, PLACE_SEGMENT(p->record.place), record_span(p->record.bytes));
    segments_add(&c->left, p->record.place);
    p->record.place = 0;
}

void state_forget(struct mailbox *m)
{
    if (m->state)
        freed_add(
            &m->content->dropped, PLACE_SEGMENT(m->state), record_span(m->state_bytes));
    segments_add(&m->content->left, m->state);
    m->state = 0;
}

static void page_remove(struct content *c, uint32_t at)
{
    page_forget(c, &c->pages[at]);
    free(c->pages[at].at);
    c->page_count--;
    memmove(&c->pages[at], &c->pages[at + 1], (c->page_count - at) * sizeof *c->pages);
    if (c->summed > at)
        c->summed = at;
}

void content_remove(struct content *c, struct spot s, uint32_t n)
{
    struct page *p = &c->pages[s.page];

    for (uint32_t i = s.at; i < s.at + n; i++) {
        count_entry(c, &p->at[i], -1);
        p->doomed -= p->at[i].doomed;
    }
    memmove(p->at + s.at, p->at + s.at + n, (p->count - s.at - n) * sizeof *p->at);
    p->count -= n;
    p->dirty = c->dirty = true;
    if (c->summed > s.page + 1)
        c->summed = s.page + 1;
    if (p->count == 0)
        page_remove(c, s.page);
}

/* Moves the entries of b behind those of a. False: too many, or no memory. */
static bool join(const struct content *c, struct page *a, struct page *b)
{
    if (a->count + b->count > c->page_max / 2 || !page_room(a, a->count + b->count))
        return false;
    memcpy(a->at + a->count, b->at, b->count * sizeof *b->at);
    a->count += b->count;
    a->doomed += b->doomed;
    if (b->changed_modseq > a->changed_modseq)
        a->changed_modseq = b->changed_modseq;
    a->dirty = true;
    return true;
}

void content_tidy(struct content *c)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < c->page_count; i++) {
        struct page *p = &c->pages[i];

        if (kept && join(c, &c->pages[kept - 1], p)) {
            page_forget(c, p);
            free(p->at);
            continue;
        }
        c->pages[kept++] = *p;
    }
    c->page_count = kept;
    c->summed = 0;
}

void entry_public(const struct packed_entry *e, struct entry *entry)
{
    *entry = (struct entry){.uid = e->uid,
        .flags = e->flags,
        .keywords = e->set,
        .modseq = e->modseq,
        .date_s = e->date,
        .date_zone = (int16_t)e->zone,
        .size = e->size,
        .body = e->body,
        .summary = e->summary,
        .summary_index = e->summary_index,
        .ends_with_crlf = e->ends_with_crlf};
}
