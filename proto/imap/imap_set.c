#include "proto/imap/imap_set.h"

#include "proto/imap/imap_lex.h"

/* seq-number: an nz-number or `*`, which comes out as 0. */
static bool take_number(struct imap_lex *x, uint32_t *n)
{
    if (imap_lex_take(x, '*')) {
        *n = 0;
        return true;
    }
    return !imap_lex_next_is(x, '0') && imap_lex_u32(x, n) == IMAP_ERROR_NONE;
}

static bool take_range(struct imap_lex *x, struct imap_range *r)
{
    if (!take_number(x, &r->first))
        return false;
    r->last = r->first;
    return !imap_lex_take(x, ':') || take_number(x, &r->last);
}

enum imap_error imap_set_parse(
    struct slice text, uint32_t ranges_max, struct arena *arena, struct imap_set *set)
{
    struct imap_lex x = {.rest = text, .arena = arena};
    uint32_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == ',' && ++count > ranges_max)
            return IMAP_ERROR_SET_LONG;
    set->at = arena_take(arena, count * sizeof *set->at);
    set->count = count;
    if (!set->at)
        return IMAP_ERROR_LIMIT;
    for (uint32_t i = 0; i < count; i++)
        if (!take_range(&x, &set->at[i]) || (i + 1 < count && !imap_lex_take(&x, ',')))
            return IMAP_ERROR_SET;
    return x.rest.len == 0 ? IMAP_ERROR_NONE : IMAP_ERROR_SET;
}

/* --- order ------------------------------------------------------------------------ */

/* Lets the range at `root` sink to its place in a heap of `count` with the largest on
 * top. */
static void sink(struct imap_range *at, uint32_t root, uint32_t count)
{
    struct imap_range range = at[root];
    uint32_t child;

    while ((child = 2 * root + 1) < count) {
        if (child + 1 < count && at[child + 1].first > at[child].first)
            child++;
        if (at[child].first <= range.first)
            break;
        at[root] = at[child];
        root = child;
    }
    at[root] = range;
}

/* Heap sort: no recursion, and no order of a peer's making it slow. */
static void sort(struct imap_range *at, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sink(at, i, count);
    for (uint32_t end = count; end > 1;) {
        struct imap_range largest = at[0];

        at[0] = at[--end];
        at[end] = largest;
        sink(at, 0, end);
    }
}

static bool is_sorted(const struct imap_set *set)
{
    for (uint32_t i = 1; i < set->count; i++)
        if (set->at[i].first < set->at[i - 1].first)
            return false;
    return true;
}

/* Joins ranges that overlap or touch. */
static void merge(struct imap_set *set)
{
    uint32_t kept = 0;

    for (uint32_t i = 1; i < set->count; i++) {
        struct imap_range *last = &set->at[kept], *next = &set->at[i];

        if (next->first <= last->last || next->first - last->last == 1) {
            if (next->last > last->last)
                last->last = next->last;
        } else {
            set->at[++kept] = *next;
        }
    }
    set->count = kept + 1;
}

void imap_set_resolve(struct imap_set *set, uint32_t star)
{
    if (set->count == 0)
        return;
    for (uint32_t i = 0; i < set->count; i++) {
        struct imap_range *r = &set->at[i];
        uint32_t a = r->first ? r->first : star, b = r->last ? r->last : star;

        *r = a < b ? (struct imap_range){a, b} : (struct imap_range){b, a};
    }
    if (!is_sorted(set))
        sort(set->at, set->count);
    merge(set);
}

/* --- asking ------------------------------------------------------------------------ */

bool imap_set_fits(const struct imap_set *set, uint32_t last)
{
    return set->count && set->at[0].first >= 1 && set->at[set->count - 1].last <= last;
}

bool imap_set_from(const struct imap_set *set, uint32_t from, uint32_t *n)
{
    uint32_t low = 0, high = set->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (set->at[middle].last < from)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == set->count)
        return false;
    *n = set->at[low].first > from ? set->at[low].first : from;
    return true;
}

bool imap_set_has(const struct imap_set *set, uint32_t n)
{
    uint32_t found;

    return imap_set_from(set, n, &found) && found == n;
}

/* --- printing ---------------------------------------------------------------------- */

static void put_gathered(struct imap_set_writer *w)
{
    if (w->first == 0)
        return;
    if (w->any)
        out_byte(w->out, ',');
    out_u64(w->out, w->first);
    if (w->last != w->first) {
        out_byte(w->out, ':');
        out_u64(w->out, w->last);
    }
    w->any = true;
}

void imap_set_writer_add(struct imap_set_writer *w, uint32_t n)
{
    if (w->first && w->last != UINT32_MAX && n == w->last + 1) {
        w->last = n;
        return;
    }
    put_gathered(w);
    w->first = w->last = n;
}

void imap_set_writer_end(struct imap_set_writer *w)
{
    put_gathered(w);
    w->first = 0;
}
