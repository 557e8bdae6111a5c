/* names.h -- a hash index from names to the items of an array. The array stays the
 * owner's; every item begins with its name, a struct slice. */
#pragma once
#include "proto/base/slice.h"

enum { NAMES_NONE = UINT32_MAX };

struct names {
    struct name_slot {
        uint32_t index; /* + 1; 0: empty */
        uint32_t tag;   /* of the hash: most other names are told from it */
    } * slots;
    uint32_t mask;
    uint64_t key; /* random: nobody outside can choose names that collide */
};

/* Room for `count` names; false without memory. */
bool name_index_init(struct names *n, uint32_t count, uint64_t key);
void name_index_free(struct names *n);

/* name_index_add() or name_index_find() of this name comes soon. */
void name_index_near(const struct names *n, struct slice name);

/* Index of the item of that name, or NAMES_NONE. */
uint32_t name_index_find(
    const struct names *n, const void *items, size_t item_bytes, struct slice name);
/* Adds items[index]. False, *other set, when there is one of its name already. */
bool name_index_add(struct names *n, const void *items, size_t item_bytes, uint32_t index,
    uint32_t *other);
