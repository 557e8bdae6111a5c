/* text.h -- a text that grows in an arena, up to a limit.
 *
 * Written through `out` like any struct out; text_reset() keeps the memory for the
 * next text, so that many short texts cost no more than the longest of them.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"

struct text {
    struct out out; /* the window behind what is written already */
    struct arena *arena;
    char *base;
    size_t cap, limit;
    bool no_memory; /* the arena was full; stays set */
};

/* Empty, without memory. `limit` is the most octets it will hold. */
void text_init(struct text *t, struct arena *arena, size_t limit);

/* Empty again; out.full is cleared. */
void text_reset(struct text *t);

/* Room for n octets altogether, so that slices of it stay valid while no more than
 * that is written. False past the limit or without memory. */
bool text_reserve(struct text *t, size_t n);

static inline size_t text_len(const struct text *t)
{
    return t->base ? (size_t)(t->out.at + t->out.len - t->base) : 0;
}

static inline struct slice text_slice(const struct text *t)
{
    return slice_of(t->base, text_len(t));
}

/* Drops what was written past the first n octets. */
void text_cut(struct text *t, size_t n);
