#include "server/policy_rates.h"

#include <stdlib.h>

#define HOUR_US (RATE_HOUR_S * 1000000ll)

struct rates *rates_open(uint64_t key)
{
    struct rates *r = calloc(1, sizeof *r);

    if (r)
        r->key = key;
    return r;
}

/* The time at which nothing is left to forget of it. */
static int64_t clear_of(const struct rate_entry *e)
{
    int64_t at = 0;

    for (unsigned i = 0; i < RATE_KINDS; i++)
        at = e->clear_us[i] > at ? e->clear_us[i] : at;
    return at;
}

static unsigned row_of(const struct rates *r, uint64_t source)
{
    struct slice bytes = slice_of((const char *)&source, sizeof source);

    return (unsigned)(slice_hash(bytes, r->key) % RATES_ROWS);
}

static bool is_of(const struct rate_entry *e, uint64_t source, int64_t now_us)
{
    return e->source == source && clear_of(e) > now_us;
}

const struct rate_entry *rates_find(
    const struct rates *r, uint64_t source, int64_t now_us)
{
    const struct rate_entry *row = r->entries[row_of(r, source)];

    for (unsigned i = 0; i < RATES_WAYS; i++)
        if (is_of(&row[i], source, now_us))
            return &row[i];
    return NULL;
}

struct rate_entry *rates_of(struct rates *r, uint64_t source, int64_t now_us)
{
    struct rate_entry *row = r->entries[row_of(r, source)];
    struct rate_entry *place = row;

    for (unsigned i = 0; i < RATES_WAYS; i++) {
        if (is_of(&row[i], source, now_us))
            return &row[i];
        if (clear_of(&row[i]) < clear_of(place))
            place = &row[i];
    }
    *place = (struct rate_entry){.source = source};
    return place;
}

/* What one costs of the hour. */
static int64_t cost_us(uint64_t limit)
{
    return limit < (uint64_t)HOUR_US ? HOUR_US / (int64_t)limit : 1;
}

static int64_t begin_us(const struct rate_entry *e, enum rate_kind kind, int64_t now_us)
{
    return e->clear_us[kind] > now_us ? e->clear_us[kind] : now_us;
}

bool rate_take(
    struct rate_entry *e, enum rate_kind kind, uint64_t n, uint64_t limit, int64_t now_us)
{
    int64_t begin = begin_us(e, kind, now_us);

    if (limit == 0)
        return true;
    if (n > limit || begin - now_us > HOUR_US - (int64_t)n * cost_us(limit))
        return false;
    e->clear_us[kind] = begin + (int64_t)n * cost_us(limit);
    return true;
}

void rate_note(
    struct rate_entry *e, enum rate_kind kind, uint64_t n, uint64_t limit, int64_t now_us)
{
    int64_t at;

    if (limit == 0)
        return;
    n = n < limit ? n : limit;
    at = begin_us(e, kind, now_us) + (int64_t)n * cost_us(limit);
    e->clear_us[kind] = at < now_us + HOUR_US ? at : now_us + HOUR_US;
}

void rate_set(
    struct rate_entry *e, enum rate_kind kind, uint64_t n, uint64_t limit, int64_t now_us)
{
    e->clear_us[kind] = now_us;
    rate_note(e, kind, n, limit, now_us);
}

uint64_t rate_used(
    const struct rate_entry *e, enum rate_kind kind, uint64_t limit, int64_t now_us)
{
    int64_t left = begin_us(e, kind, now_us) - now_us;
    uint64_t used;

    if (limit == 0)
        return 0;
    used = (uint64_t)((left + cost_us(limit) - 1) / cost_us(limit));
    return used < limit ? used : limit;
}
