/* delivery_state.h -- the inside of a delivery; for delivery*.c only. */
#pragma once
#include "proto/base/arena.h"
#include "server/delivery.h"
#include "store/store.h"

/*   TAKING --commit--> SUMMARY --> WAITING --chunks stored--> STORING --all shares-->
 * ENDED */
enum delivery_state {
    DELIVERY_TAKING,
    DELIVERY_SUMMARY,
    DELIVERY_WAITING,
    DELIVERY_STORING,
    DELIVERY_ENDED
};

struct delivery_buffer;

/* Envelopes as bytes, and the entries of the queue that they become; one piece of
 * memory. */
struct delivery_entries {
    unsigned count;
    struct slice *envelopes;
    uint64_t *ids;
    size_t bytes;
};

/* What is left of a fan-out on its way to the queue. */
struct delivery_left {
    struct call call;
    struct store_fanout_queue request;
    struct delivery *delivery;
    struct delivery_entries *entries;
    enum status status;
};

/* One chunk on its way to one shard. */
struct delivery_piece {
    struct call call;
    struct store_chunk chunk;
    struct delivery_share *share;
    struct delivery_buffer *buffer;
    uint32_t number;
    enum status status;
};

/* What one shard gets. */
struct delivery_share {
    struct delivery *delivery;
    struct thread *thread;
    unsigned shard;
    unsigned target_count;
    struct store_target *targets;
    uint64_t *chunks; /* places in this shard's log */
    struct call call;
    struct store_message message;
    struct timer timer; /* until it is tried again */
    enum status status; /* of the last try */
    uint8_t retries;
    bool tried;
    bool gone;    /* none of its targets is an account any more */
    bool refused; /* it can't be stored: its users get it by way of the queue */
    bool named;   /* its message is stored, so its chunks are named */
};

struct delivery {
    struct thread *thread;
    void (*wake)(void *arg);
    void *arg;
    struct arena arena; /* of the summary */
    struct summary_builder *summary;
    struct call call; /* of SUMMARY */
    struct slice encoded;
    char *bytes; /* what has not gone out as a chunk */
    size_t len, cap;
    uint64_t size;
    uint64_t fanout_id;
    uint64_t once_id; /* of the conf */
    int64_t date_s;
    uint32_t *chunk_bytes;
    uint32_t chunk_count, chunk_cap;
    unsigned buffers;   /* chunks that some share still stores */
    unsigned in_flight; /* calls and timers that have not come back */
    unsigned tried;     /* shares that have answered */
    unsigned stored;    /* shares that are durable */
    unsigned gone;      /* shares without a target that is left */
    unsigned refused;   /* shares that are left to the queue */
    unsigned first;     /* the share that commits the fan-out; those before it are gone */
    struct thread *keeper; /* of the fan-out, and its shard */
    unsigned keeper_shard;
    size_t accounted; /* bytes of this delivery in the thread's `buffered` */
    enum status status;
    uint8_t state;
    bool abandoned, dropped;
    bool resumed;      /* finishing a fan-out: the first shard has it already */
    bool each, notice; /* of the conf */
    bool home;         /* the first share is that of the queue, and there in any case */
    struct slice sender;
    struct store_queue_change *settles;
    struct delivery_entries *entries; /* NULL: no recipients elsewhere */
    struct slice front;               /* whole fields, before all other bytes */
    struct out rest; /* account of the other shares, for the fan-out record */
    unsigned user_count;
    uint8_t *outcomes; /* with `each`: enum status of each user, and of the envelopes */
    unsigned share_count;
    struct delivery_share shares[]; /* the targets and all names lie behind */
};

static inline bool delivery_is_home(const struct delivery_share *share)
{
    return share->delivery->home && share == &share->delivery->shares[0];
}

/* Calls to a share's thread. What the store answers later needs no queue when that is
 * this one: its done() comes from the loop, too. */
static inline void delivery_ask(struct delivery *d, struct thread *to, struct call *call)
{
    d->in_flight++;
    if (to != d->thread) {
        call_send(d->thread, to, call);
        return;
    }
    call->from = call->to = to;
    call->run(to, call);
}
static inline void delivery_answer(struct call *call)
{
    if (call->from == call->to)
        call->done(call->from, call);
    else
        call_answer(call);
}

/* The memory it takes has changed: makes the thread's account of it right. */
void delivery_account(struct delivery *d);
/* Something came back: go on with what waits for it. */
void delivery_settle(struct delivery *d);
/* All chunks are stored: store the message itself. */
void delivery_store(struct delivery *d);
void delivery_end(struct delivery *d, enum status status);
/* Every share is over, and some are refused: leaves their users to the queue.
 * delivery_left() follows. False: no memory. */
bool delivery_leave(struct delivery *d);
void delivery_left(struct delivery *d, enum status status); /* that is over */
/* The entries are durable: their shard's queue has them. On its thread. */
void delivery_entered(
    struct thread *t, unsigned shard, const struct delivery_entries *entries);
/* NULL: no memory. */
struct delivery_entries *delivery_entries_make(
    const struct envelope *envelopes, unsigned count);
