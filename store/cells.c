#include "store/cells.h"

#include <assert.h>
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/base/check.h"

enum { CHUNK = 2 << 20, ALIGN = 16 };

struct free_cell {
    struct free_cell *next;
};

struct chunk {
    struct list link;       /* in cells->some */
    struct free_cell *free; /* given back, the last one first */
    uint32_t used;          /* cells */
    uint32_t cut;           /* octets from the beginning; behind it nothing was touched */
};

static_assert(sizeof(struct chunk) % ALIGN == 0, "cells are aligned");

/* --- chunks --- */

/* On a border of its own size, so that a cell tells where its chunk is. */
static void *map_chunk(void)
{
    char *at =
        mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (at == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)at % CHUNK;
    if (before)
        munmap(at, before);
    munmap(at + before + CHUNK, CHUNK - before);
    return at + before;
}

static struct chunk *chunk_new(struct cells *c)
{
    struct chunk *k = map_chunk();

    if (!k)
        return NULL;
    if (c->chunks++)
        (void)madvise(k, CHUNK, MADV_HUGEPAGE); /* small pages do as well */
    k->cut = sizeof *k;
    list_add(&c->some, &k->link);
    return k;
}

static void chunk_free(struct cells *c, struct chunk *k)
{
    list_remove(&k->link);
    c->chunks--;
    ASAN_UNPOISON_MEMORY_REGION(k, CHUNK);
    munmap(k, CHUNK);
}

static struct chunk *chunk_of(void *cell)
{
    return (struct chunk *)((uintptr_t)cell & ~(uintptr_t)(CHUNK - 1));
}

static bool is_full(const struct cells *c, const struct chunk *k)
{
    return !k->free && CHUNK - k->cut < c->bytes;
}

/* --- cells --- */

void cells_open(struct cells *c, size_t bytes)
{
    *c = (struct cells){.bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN};
    list_init(&c->some);
}

void cells_close(struct cells *c)
{
    struct list *link;

    while ((link = list_pop(&c->some))) {
        struct chunk *k = container_of(link, struct chunk, link);

        CHECK(k->used == 0);
        chunk_free(c, k);
    }
    CHECK(c->chunks == 0);
}

void *cell_take(struct cells *c)
{
    struct chunk *k = list_empty(&c->some)
        ? chunk_new(c)
        : container_of(c->some.next, struct chunk, link);
    void *cell;

    if (!k)
        return NULL;
    cell = k->free;
    if (cell) {
        ASAN_UNPOISON_MEMORY_REGION(cell, c->bytes);
        k->free = k->free->next;
        memset(cell, 0, c->bytes);
    } else {
        cell = (char *)k + k->cut; /* as it was mapped: zeroes */
        k->cut += (uint32_t)c->bytes;
    }
    k->used++;
    if (is_full(c, k))
        list_remove(&k->link);
    return cell;
}

void cell_give(struct cells *c, void *cell)
{
    struct chunk *k = chunk_of(cell);
    struct free_cell *f = cell;
    bool was_full = is_full(c, k);

    f->next = k->free;
    k->free = f;
    ASAN_POISON_MEMORY_REGION(cell, c->bytes);
    if (was_full)
        list_add(&c->some, &k->link);
    if (--k->used == 0 && c->some.next != c->some.prev)
        chunk_free(c, k);
}
