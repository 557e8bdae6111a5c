/* Chunks of messages that are still being received. Compaction must not take them for
 * dead; a message may name them hours later, or never. */
#include "store/index.h"

enum { UPLOAD_S = 24 * 3600 }; /* no upload takes longer */

static uint32_t place_at(const struct uploads *u, uint64_t place)
{
    uint32_t lo = 0, hi = u->count;

    if (hi && u->at[hi - 1].place < place)
        return hi;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (u->at[mid].place < place)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool upload_reserve(struct store *s)
{
    struct uploads *u = &s->uploads;
    uint32_t cap = u->cap ? 2 * u->cap : 64;
    struct upload *at;

    if (u->count < u->cap)
        return true;
    at = realloc(u->at, cap * sizeof *at);
    if (!at)
        return false;
    u->at = at;
    u->cap = cap;
    return true;
}

void upload_add(struct store *s, uint64_t place)
{
    struct uploads *u = &s->uploads;
    uint32_t at = place_at(u, place);

    memmove(u->at + at + 1, u->at + at, (u->count - at) * sizeof *u->at);
    u->at[at] = (struct upload){place, s->now_s};
    u->count++;
}

struct upload *upload_find(struct store *s, uint64_t place)
{
    struct uploads *u = &s->uploads;
    uint32_t at = place_at(u, place);

    return at < u->count && u->at[at].place == place && u->at[at].since_s >= 0
        ? &u->at[at]
        : NULL;
}

void upload_end(struct store *s, struct upload *upload)
{
    struct uploads *u = &s->uploads;
    uint32_t kept = 0;

    upload->since_s = -1;
    if (++u->dead * 2 < u->count)
        return;
    for (uint32_t i = 0; i < u->count; i++)
        if (u->at[i].since_s >= 0)
            u->at[kept++] = u->at[i];
    u->count = kept;
    u->dead = 0;
}

bool upload_in(const struct store *s, uint32_t segment)
{
    const struct uploads *u = &s->uploads;

    for (uint32_t i = place_at(u, (uint64_t)segment << 32); i < u->count; i++) {
        if (PLACE_SEGMENT(u->at[i].place) != segment)
            return false;
        if (u->at[i].since_s >= 0 && s->now_s - u->at[i].since_s < UPLOAD_S)
            return true;
    }
    return false;
}

void store_chunk_drop(struct store *s, uint64_t place)
{
    struct upload *u = upload_find(s, place);

    if (u)
        upload_end(s, u);
}
