/* delivery.h -- one incoming message on its way to the stores of its recipients, and to
 * the queue for those elsewhere.
 *
 *   delivery_begin() --> delivery_add() ... --> delivery_commit() --> wake(),
 * delivery_done()
 *
 * The session stays on its thread; the bytes go to the shard of each recipient by calls.
 * A small message is held in memory until the commit; a large one leaves in chunks as it
 * arrives, so its size costs no memory. The summary is computed as the bytes pass.
 *
 * Recipients on several shards: the first shard commits one fan-out record with the body
 * and the account of all shares; then the others commit, idempotently by the id of the
 * fan-out; then delivery_done() says OK. From the first commit on the message is
 * delivered to all, whatever happens: what is left open is finished by
 * delivery_recover() before the server listens again.
 *
 * Recipients elsewhere are one share more, the first: the queue is in a store, and its
 * entries are committed with the fan-out. When they are durable queue_entered() is called
 * for each, on the thread of that shard.
 *
 * A share that is certain and can't be stored (over quota, read-only, full for long)
 * becomes an entry of the queue as well, in the first shard: recipients are the names of
 * the accounts, and the fan-out is over.
 *
 * With `each` there is no fan-out: every share is stored for itself, and within it each
 * user has it or has not. Until the answer has been given nobody has been promised
 * anything.
 *
 * An account that was removed after its RCPT gets nothing: the owner of each recipient
 * looks it up again just before it stores the message.
 */
#pragma once
#include "proto/base/slice.h"
#include "server/envelope.h"
#include "server/thread.h"

struct delivery;
struct store_queue_change;

struct delivery_conf {
    const struct slice *users; /* local accounts: canonical names, each once, copied */
    unsigned count;            /* may be 0 when `queued` */
    struct slice sender; /* of the envelope, copied: who hears of it when a share that is
                          * certain after the 250 can't be stored; empty: nobody */
    bool queued; /* has recipients elsewhere: delivery_commit() gives their envelopes */
    int shard;   /* of the queue's share; -1: one of this thread, or the nearest */
    bool each;   /* LMTP: every user has an outcome of his own: delivery_user_status() */
    bool notice; /* a report: what is left of it in the queue never makes another */
    /* A change of an entry of `shard` that becomes durable with the message, copied. All
     * users must be on that shard. NOT_FOUND: there is no such entry (any more). */
    const struct store_queue_change *settles;
    uint64_t fanout_id; /* not 0: delivered with this id before means delivered: nothing
                         * is stored twice. Without `queued` */
};

/* A delivery by *conf, which is copied. wake(arg) is called, from the
 * loop, when delivery_busy() ends and when delivery_done() begins. NULL: no memory. */
struct delivery *delivery_begin(struct thread *t, const struct delivery_conf *conf,
    void (*wake)(void *arg), void *arg);

/* The next bytes as they are to be stored, trace fields first; copied. */
void delivery_add(struct delivery *d, struct slice bytes);

/* Chunks wait for the disk: stop feeding until wake(). */
bool delivery_busy(const struct delivery *d);

/* Octets added so far. */
uint64_t delivery_size(const struct delivery *d);

/* Whole header fields (lines with CRLF) that go in front of everything, `Return-Path`
 * too; copied. Once, when all bytes have been added, up to DELIVERY_FRONT_MAX octets;
 * envelope.text_at and header_bytes count them. False: no memory, or too long. */
enum { DELIVERY_FRONT_MAX = 64 * 1024 };
bool delivery_front(struct delivery *d, struct slice fields);

/* All bytes are there: make it durable. The internal date is the thread's clock.
 * `envelopes` (with `queued`; NULL and 0 without) are encoded at once: one entry of the
 * queue each. */
void delivery_commit(
    struct delivery *d, const struct envelope *envelopes, unsigned count);

/* The commit has ended: OK (durable and visible to every recipient, or certain to
 * become so), NOT_FOUND (no recipient is an account any more), NO_SPACE, NO_MEMORY, LIMIT
 * (over quota), READ_ONLY, IO. */
bool delivery_done(const struct delivery *d, enum status *status);

/* With `each`, after delivery_done(): what became of user i of the conf, or of the
 * envelopes (i: count). OK, NOT_FOUND, LIMIT, READ_ONLY, NO_SPACE, ...; delivery_done()
 * says OK when one of them is OK. */
enum status delivery_user_status(const struct delivery *d, unsigned i);

/* Gives the delivery up (before the commit: nothing is stored) or back (after it). wake()
 * is not called any more. NULL is fine. */
void delivery_free(struct delivery *d);

/* Finishes the fan-outs that were open in the stores of this thread when they were
 * recovered. done(t, left) is called, from the loop, when all have been tried; `left` is
 * how many could not be finished now. All threads must be running their loops. */
void delivery_recover(struct thread *t, void (*done)(struct thread *t, unsigned left));
