/* queued.h -- the entries of the queue, in memory: found by number, walked in order.
 *
 * A skip list: what comes has the highest number but after a compaction or a
 * resharding, and no order of coming and going makes a step cost more than the logarithm.
 */
#pragma once
#include <stdint.h>

#include "proto/base/slice.h"

enum { QUEUED_LEVELS = 12 }; /* a quarter of the entries goes one level up: 4^12 */

struct queued {
    uint64_t id;
    uint64_t body;                 /* place of the message */
    uint64_t record, state_record; /* places of what says so; 0: none */
    uint32_t record_span, state_span;
    uint32_t size; /* octets of the message */
    uint32_t envelope_bytes, state_bytes, state_cap;
    uint8_t share;           /* of the reference to the message: 1 / 2^share */
    uint8_t level;           /* length of `next` */
    bool durable;            /* may be shown */
    uint64_t barrier;        /* else: durable with this change, */
    struct queued *entering; /* and the next such entry */
    char *envelope;          /* behind `next`, in the same piece of memory */
    char *state;             /* NULL: none yet */
    struct queued *next[];
};

/* Zeroed: empty. */
struct queue_table {
    struct queued *head[QUEUED_LEVELS];
    uint64_t count, bytes; /* entries that may be shown, octets of their messages */
    uint64_t held;         /* bytes of envelopes and states */
};

/* NULL: there is none. */
struct queued *queued_find(const struct queue_table *t, uint64_t id);
/* The first with a higher number. */
struct queued *queued_after(const struct queue_table *t, uint64_t id);

/* A new one, not durable; `id` must not be there. NULL: no memory. */
struct queued *queued_add(struct queue_table *t, uint64_t id, struct slice envelope);
void queued_remove(struct queue_table *t, struct queued *q);
void queued_show(struct queue_table *t, struct queued *q);

/* Room for a state of so many bytes: queued_set_state() then takes no memory. */
bool queued_reserve(struct queued *q, size_t state_bytes);
void queued_set_state(struct queue_table *t, struct queued *q, struct slice state);

void queue_table_free(struct queue_table *t);

static inline struct slice queued_envelope(const struct queued *q)
{
    return slice_of(q->envelope, q->envelope_bytes);
}
static inline struct slice queued_state(const struct queued *q)
{
    return slice_of(q->state, q->state_bytes);
}
