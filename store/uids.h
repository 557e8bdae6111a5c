/* uids.h -- a set of UIDs, for what has gone from a mailbox.
 *
 *      blocks, ascending --> UIDS_BLOCK bits each
 *
 * In bits and not as a list: messages go in long runs, so that a million of them need 160
 * KiB, and no turn has to move what other turns have put there.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { UIDS_BLOCK = 2048 };

struct uid_block {
    uint32_t number; /* of UIDs number * UIDS_BLOCK and up */
    uint32_t before; /* UIDs in the blocks before */
    uint64_t *bits;
};

struct uids {
    struct uid_block *blocks;
    uint32_t block_count, block_cap;
    uint32_t count; /* UIDs */
};

/* Room for these, which ascend. False: no memory; the set is what it was. */
bool uids_reserve(struct uids *u, const uint32_t *uids, unsigned n);
/* Adds them; uids_reserve() came before. */
void uids_add(struct uids *u, const uint32_t *uids, unsigned n);
/* How many are <= uid. */
uint32_t uids_rank(const struct uids *u, uint32_t uid);
/* The i-th from 0; i < count. */
uint32_t uids_at(const struct uids *u, uint32_t i);
/* Takes the highest out; there is one. */
void uids_take_last(struct uids *u);
void uids_free(struct uids *u);
