#include "server/names.h"

#include <stdlib.h>

#include "proto/base/check.h"

bool name_index_init(struct names *n, uint32_t count, uint64_t key)
{
    uint64_t size = 16;

    while (size < (uint64_t)count * 2)
        size *= 2;
    CHECK(size <= 1ull << 31);
    n->slots = calloc(size, sizeof *n->slots);
    n->mask = (uint32_t)size - 1;
    n->key = key;
    return n->slots != NULL;
}

void name_index_free(struct names *n)
{
    free(n->slots);
    n->slots = NULL;
}

static struct slice name_at(const void *items, size_t item_bytes, uint32_t index)
{
    return *(const struct slice *)((const char *)items + index * item_bytes);
}

/* The slot that holds the name, or the empty one where it belongs. */
static uint32_t *slot_of(
    const struct names *n, const void *items, size_t item_bytes, struct slice name)
{
    uint32_t at = (uint32_t)slice_hash(name, n->key);

    for (;; at++) {
        uint32_t *slot = &n->slots[at & n->mask];

        if (*slot == 0 || slice_eq(name_at(items, item_bytes, *slot - 1), name))
            return slot;
    }
}

uint32_t name_index_find(
    const struct names *n, const void *items, size_t item_bytes, struct slice name)
{
    return n->slots ? *slot_of(n, items, item_bytes, name) - 1 : NAMES_NONE;
}

bool name_index_add(struct names *n, const void *items, size_t item_bytes, uint32_t index,
    uint32_t *other)
{
    uint32_t *slot = slot_of(n, items, item_bytes, name_at(items, item_bytes, index));

    *other = *slot - 1;
    if (*slot != 0)
        return false;
    *slot = index + 1;
    return true;
}
