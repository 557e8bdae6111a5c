#include "proto/base/arena.h"

#include <stdlib.h>

enum { BLOCK_MIN = 1024, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ALIGN) char bytes[];
};

static struct arena_block *block_for(struct arena *a, size_t n)
{
    size_t cap = a->taken < BLOCK_MIN ? BLOCK_MIN : a->taken;
    struct arena_block *b;

    if (cap > a->limit - a->taken)
        cap = a->limit - a->taken;
    if (cap < n)
        cap = n;
    if (cap > a->limit - a->taken)
        return NULL;
    b = malloc(sizeof *b + cap);
    if (!b)
        return NULL;
    *b = (struct arena_block){.next = a->block, .cap = cap};
    a->block = b;
    a->taken += cap;
    return b;
}

void *arena_take(struct arena *a, size_t n)
{
    struct arena_block *b = a->block;
    void *piece;

    if (n > SIZE_MAX - ALIGN)
        return NULL;
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!b || n > b->cap - b->used) {
        b = block_for(a, n);
        if (!b)
            return NULL;
    }
    piece = b->bytes + b->used;
    b->used += n;
    return piece;
}

void *arena_zero(struct arena *a, size_t n)
{
    void *piece = arena_take(a, n);

    if (piece)
        memset(piece, 0, n);
    return piece;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *piece = arena_take(a, s.len ? s.len : 1);

    if (!piece)
        return slice_of(NULL, 0);
    if (s.len)
        memcpy(piece, s.at, s.len);
    return slice_of(piece, s.len);
}

void arena_reset(struct arena *a)
{
    while (a->block) {
        struct arena_block *b = a->block;

        a->block = b->next;
        free(b);
    }
    a->taken = 0;
}
