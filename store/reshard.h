/* reshard.h -- users brought from the stores of old shards to that of a new one; offline.
 *
 *      store_open() of all, nothing else uses them
 *      reshard_copy()    every user that is wanted: his state, and where his mail is
 *      reshard_finish()  all of it is durable; the new store is closed
 *      store_open() of the new one again
 *      reshard_verify()  each user, each of his messages, each entry of the queue, old
 *                        against new
 *      reshard_close()   of each
 *
 * The mail stays where it is: the new store adopts the segments that hold it, whose files
 * the caller shares with its folder. Only the index is written. Messages are copied where
 * two old stores have different segments of one number, as stores of format 1 do.
 *
 * Accounts and mailboxes keep their numbers, UIDs, UIDVALIDITYs, modseqs, flags, keywords
 * and subscriptions; entries of the queue keep theirs, and their state. A message that
 * several users of the new shard have is there once. The old stores are only read. All
 * calls block.
 */
#pragma once
#include <stddef.h>

#include "proto/base/slice.h"
#include "store/store.h"

struct reshard {
    struct store *const *from; /* open; take no changes from here on */
    unsigned from_count;
    struct store *to;
    bool (*wanted)(void *arg, struct slice user);  /* does he belong to `to`? */
    bool (*wanted_queued)(void *arg, uint64_t id); /* this entry? NULL: all */
    void (*progress)(void *arg);                   /* now and then; may be NULL */
    /* Puts the file of a segment of from[i] into the folder of `to`, under the same name;
     * durable before reshard_finish(). Shared or copied, it is never written again. What
     * it returns but OK ends the work. NULL: messages are copied. */
    enum status (*adopt)(void *arg, unsigned i, uint32_t segment);
    void *arg;
    uint64_t users, messages, queued; /* out: done so far; added to */
    char why[512];                    /* out: what a status other than OK is about */
};

/* The settings with which a new store is filled: no compaction, one checkpoint at the
 * end. segment_bytes, ids and callbacks are the caller's. */
void reshard_conf(struct store_conf *conf);

/* What conf.segments_from of the new stores must be. */
uint32_t reshard_segments_from(struct store *const *from, unsigned count);
/* Bytes of messages that can't stay where they are; about, for one new store or many. */
uint64_t reshard_copied_bytes(struct store *const *from, unsigned count);

/* CORRUPT: a user, or a message that is copied, can't be read; NO_SPACE, NO_MEMORY, IO,
 * READ_ONLY. */
enum status reshard_copy(struct reshard *r);
/* CORRUPT: something differs. */
enum status reshard_verify(struct reshard *r);

/* Makes all durable, with a checkpoint, and closes the store in any case. */
enum status reshard_finish(struct store *to);
/* Closes a store of either kind, whatever is still on its way. */
void reshard_close(struct store *store);
