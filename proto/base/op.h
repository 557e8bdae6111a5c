/* op.h -- one operation in flight, and what to do when it lands.
 *
 * An op is embedded in the object that started it and finds its way back with
 * container_of(). The object must stay alive until done() has run; done() is
 * only ever called from the shard loop, never from inside the call that
 * started the operation.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/check.h"

struct op;

/* res: a count, a file number, or a negative errno. flags: of the completion,
 * zero but for ring operations. */
typedef void op_done_fn(struct op *op, int32_t res, uint32_t flags);

struct op {
    op_done_fn *done;
    struct op *next; /* link while it waits in an op_queue */
    int32_t res;     /* carried across that wait */
    bool pending;    /* started, and done() has not run for the last time */
};

/* Operations that finished in software, waiting for the loop to run them. */
struct op_queue {
    struct op *head, **tail;
};

static inline void op_queue_init(struct op_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static inline void op_start(struct op *op, op_done_fn *done)
{
    CHECK(!op->pending);
    op->done = done;
    op->pending = true;
}

/* Let a started op land later this turn, with the result `res`. */
static inline void op_post(struct op_queue *q, struct op *op, int32_t res)
{
    CHECK(op->pending);
    op->res = res;
    op->next = NULL;
    *q->tail = op;
    q->tail = &op->next;
}

/* Run what is queued now; what these add waits for the next turn. Returns
 * whether anything ran. */
static inline bool op_queue_run(struct op_queue *q)
{
    struct op *op = q->head;
    bool any = op != NULL;

    op_queue_init(q);
    while (op) {
        struct op *next = op->next;

        op->pending = false;
        op->done(op, op->res, 0);
        op = next;
    }
    return any;
}
