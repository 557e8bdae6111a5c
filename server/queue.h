/* queue.h -- mail on its way to other servers.
 *
 *   accepted: delivery commits it with the 250 --> queue_entered()
 *   entry --> destinations, one for each next hop of its recipients
 *   destination: turn, permit, mx_find(), hop_open(), messages one after another
 *   answers --> state committed (and a report with it) --> done, or a later try
 *
 * The entries of a shard are worked on by its thread. How many sessions a destination may
 * have, over all threads, is kept at the thread of its hash (queue_permit.c). A
 * destination that does not answer rests, with growing pauses, and what is meant for it
 * waits without an attempt of its own, so no dead host costs others more than a timer.
 */
#pragma once
#include "server/envelope.h"
#include "server/thread.h"

/* Takes over the entries that the stores of this thread hold; after recovery. False: no
 * memory. */
bool queue_open(struct thread *t);
/* Nothing new is sent; sessions end. queue_stopped() says when. */
void queue_stop(struct thread *t);
bool queue_stopped(const struct thread *t);
void queue_close(struct thread *t);

/* The store of `shard`, which runs on this thread, holds a new entry. */
void queue_entered(struct thread *t, unsigned shard, uint64_t id);

/* Takes it another message? False: --max-queue is reached (452 4.3.1). Any thread asks
 * its own part. */
bool queue_has_room(const struct thread *t);

struct queue_stats {
    uint64_t entries, bytes, held; /* now; bytes of memory */
    uint64_t jobs;                 /* of them with their destinations */
    uint64_t destinations, resting, sessions, settling;
    /* Recipients, since the start; reports; messages that may arrive twice. */
    uint64_t delivered, relayed, deferred, failed, expired, reports, unsure;
};
void queue_stats(const struct thread *t, struct queue_stats *stats);

/* Bytes that the limits of the queue allow, over all threads. */
uint64_t queue_memory_bound(const struct config *config);
