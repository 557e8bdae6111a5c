/* arena.h -- memory with one lifetime, given back all at once.
 *
 * An arena hands out aligned pieces of a few blocks and frees nothing singly.
 * It is bounded: past `limit` bytes it answers NULL, and the parser that asked
 * turns that into a reply ("too big"), never into a crash.
 */
#pragma once
#include "proto/base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *block; /* the newest, from which pieces are cut */
    size_t taken;              /* bytes of all blocks */
    size_t limit;              /* upper bound for `taken` */
};

/* An empty arena; costs nothing until the first piece is asked for. */
static inline struct arena arena_of(size_t limit)
{
    return (struct arena){NULL, 0, limit};
}

/* n bytes aligned to 16, not cleared; NULL past the limit or without memory. */
void *arena_take(struct arena *a, size_t n);

/* The same, cleared. */
void *arena_zero(struct arena *a, size_t n);

/* A copy of s in the arena; at == NULL when there was no room. */
struct slice arena_copy(struct arena *a, struct slice s);

/* Gives everything back. The arena can be used again. */
void arena_reset(struct arena *a);
