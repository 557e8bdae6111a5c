/* log_walk.h -- finds the records in a run of segment bytes, whatever state they are in.
 *
 * Pure: the bytes come through a window that the caller moves. Damage is stepped over:
 * from the first byte that is no record the walk goes on in steps of 8 bytes until it
 * meets a valid record of this place again. Zeroes outside of a batch are silence, not
 * damage: only the caller knows whether something should have been there.
 */
#pragma once
#include <stdbool.h>

#include "store/format.h"

enum walk {
    WALK_RECORD, /* header and payload are set */
    WALK_DAMAGE, /* bad_from..bad_to is no record */
    WALK_MORE,   /* the window must hold `want` bytes from `at` on */
    WALK_END,    /* `end` is reached */
};

struct log_walk {
    uint32_t identity;  /* of the segment */
    uint32_t at;        /* next offset to look at, a multiple of FORMAT_ALIGN */
    uint32_t end;       /* where to stop */
    uint32_t batch_end; /* of the batch around `at`, as far as one is known; else 0 */
    bool in_damage;     /* bad_from is set and the bad range goes on */
    uint32_t bad_from, bad_to;
    uint32_t want;
    struct record_header header;
    struct slice payload; /* in the window */
};

static inline struct log_walk log_walk_of(uint32_t identity, uint32_t at, uint32_t end)
{
    return (struct log_walk){.identity = identity, .at = at, .end = end};
}

/* `window` holds the bytes from offset `from` on. */
enum walk log_walk_next(struct log_walk *w, struct slice window, uint32_t from);

/* Looks at the block that begins at w->at: true when a valid BATCH record stands there.
 * Needs BATCH_HEAD_BYTES in the window. Moves nothing. */
bool log_walk_batch(const struct log_walk *w, struct slice window, uint32_t from,
    struct batch_header *batch);

/* What a BATCH record takes. */
enum { BATCH_HEAD_BYTES = sizeof(struct record_header) + sizeof(struct batch_header) };

/* All of the batch that begins at w->at is in the window: true when every record of it
 * is valid and as many are there as its header says. Moves nothing. */
bool log_walk_whole(const struct log_walk *w, struct slice window, uint32_t from,
    const struct batch_header *batch);
