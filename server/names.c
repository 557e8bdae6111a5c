#include "server/names.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "server/pages.h"

bool name_index_init(struct names *n, uint32_t count, uint64_t key)
{
    uint64_t size = 16;

    while (size < (uint64_t)count * 2)
        size *= 2;
    CHECK(size <= 1ull << 31);
    n->slots = calloc(size, sizeof *n->slots);
    pages_huge(n->slots, size * sizeof *n->slots);
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

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

void name_index_near(const struct names *n, struct slice name)
{
    __builtin_prefetch(&n->slots[(uint32_t)slice_hash(name, n->key) & n->mask], 1);
}

/* The slot that holds the name, or the empty one where it belongs. */
static struct name_slot *slot_of(const struct names *n, const void *items,
    size_t item_bytes, struct slice name, uint64_t hash)
{
    for (uint32_t at = (uint32_t)hash;; at++) {
        struct name_slot *slot = &n->slots[at & n->mask];

        if (slot->index == 0 ||
            (slot->tag == tag_of(hash) &&
                slice_eq(name_at(items, item_bytes, slot->index - 1), name)))
            return slot;
    }
}

uint32_t name_index_find(
    const struct names *n, const void *items, size_t item_bytes, struct slice name)
{
    if (!n->slots)
        return NAMES_NONE;
    return slot_of(n, items, item_bytes, name, slice_hash(name, n->key))->index - 1;
}

bool name_index_add(struct names *n, const void *items, size_t item_bytes, uint32_t index,
    uint32_t *other)
{
    struct slice name = name_at(items, item_bytes, index);
    uint64_t hash = slice_hash(name, n->key);
    struct name_slot *slot = slot_of(n, items, item_bytes, name, hash);

    *other = slot->index - 1;
    if (slot->index != 0)
        return false;
    *slot = (struct name_slot){index + 1, tag_of(hash)};
    return true;
}
