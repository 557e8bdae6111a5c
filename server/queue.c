#include "server/queue.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/log.h"
#include "server/process.h"
#include "server/queue_work.h"
#include "server/shard.h"
#include "store/store.h"

static const int64_t load_slice_ns = 400000; /* of a turn */

/* --- the turn ----------------------------------------------------------- */

static bool load_some(struct queue *q);

static void on_turn(struct op *op, int32_t res, uint32_t flags)
{
    struct queue *q = container_of(op, struct queue, turn);
    bool more = false;

    (void)res;
    (void)flags;
    if (q->loading && !q->stopping)
        more = load_some(q);
    more |= destinations_turn(q);
    more |= settlements_turn(q);
    if (more || !list_empty(&q->kicked))
        queue_wake(q);
}

void queue_wake(struct queue *q)
{
    if (q->turn.pending)
        return;
    op_start(&q->turn, on_turn);
    op_post(&q->thread->ready, &q->turn, 0);
}

/* --- what was there at the start ---------------------------------------- */

static void say_loaded(const struct queue *q)
{
    struct event e;

    if (q->counts.entries == 0 || !event_begin(&e, LEVEL_NOTICE, "queue-read"))
        return;
    event_number(&e, "thread", q->thread->index);
    event_number(&e, "entries", q->counts.entries);
    event_number(&e, "destinations", q->counts.destinations);
    event_end(&e);
}

/* A slice of the entries that the stores held when they were opened. True: there are
 * more. */
static bool load_some(struct queue *q)
{
    struct thread *t = q->thread;
    int64_t end_ns = clock_monotonic_ns() + load_slice_ns;
    struct store_queued stored;

    while (q->load_shard < t->shard_count) {
        unsigned shard = t->shards[q->load_shard]->number;

        if (!store_queue_after(shard_store(t, shard), q->load_after, &stored)) {
            q->load_shard++;
            q->load_after = 0;
            continue;
        }
        q->load_after = stored.id;
        entry_load(q, shard, stored.id);
        if (clock_monotonic_ns() > end_ns)
            return true;
    }
    q->loading = false;
    say_loaded(q);
    return false;
}

/* --- opening and closing ------------------------------------------------ */

/* The share of one thread: entries are where shards are. */
static uint64_t entries_max(const struct thread *t)
{
    unsigned threads = process_threads(t->process), shards = process_shards(t->process);

    return t->config->max_queue / (shards < threads ? shards : threads);
}

static size_t rows_for(const struct thread *t)
{
    uint64_t wanted = entries_max(t);
    size_t rows = 1024;

    while (rows < wanted && rows < (1u << 24))
        rows *= 2;
    return rows;
}

static void free_queue(struct queue *q)
{
    permits_close(q->permits);
    free(q->entries);
    free(q->destinations);
    free(q);
}

bool queue_open(struct thread *t)
{
    struct queue *q = calloc(1, sizeof *q);
    size_t rows = rows_for(t);
    uint64_t hops = t->config->max_hops / process_threads(t->process);

    if (!q)
        return false;
    q->thread = t;
    q->hops = t->config->next_hops;
    q->permits = permits_open(t);
    q->entries = calloc(rows, sizeof *q->entries);
    q->destinations = calloc(rows, sizeof *q->destinations);
    if (!q->permits || !q->entries || !q->destinations) {
        free_queue(q);
        return false;
    }
    q->row_mask = rows - 1;
    q->sessions_max = hops ? (unsigned)hops : 1;
    list_init(&q->kicked);
    list_init(&q->slots[0]);
    list_init(&q->slots[1]);
    list_init(&q->unsettled);
    list_init(&q->blocked);
    q->loading = true;
    t->queue = q;
    queue_wake(q);
    return true;
}

void queue_entered(struct thread *t, unsigned shard, uint64_t id)
{
    if (t->queue)
        entry_load(t->queue, shard, id);
}

void queue_count_room(struct queue *q)
{
    uint64_t max = entries_max(q->thread);
    bool full = q->counts.entries >= max || q->counts.bytes >= max * QUEUE_ENTRY_BYTES;

    if (full != atomic_load_explicit(&q->full, memory_order_relaxed))
        atomic_store_explicit(&q->full, full, memory_order_relaxed);
}

bool queue_has_room(const struct thread *t)
{
    const struct queue *q = t->queue;
    const struct queue *filled = q;

    if (t->shard_count == 0)
        filled = process_thread(t->process, t->index % process_shards(t->process))->queue;
    return q && filled && !q->stopping &&
        !atomic_load_explicit(&filled->full, memory_order_relaxed);
}

void queue_stats(const struct thread *t, struct queue_stats *stats)
{
    *stats = t->queue ? t->queue->counts : (struct queue_stats){0};
}

uint64_t queue_memory_bound(const struct config *c)
{
    return c->max_queue * QUEUE_ENTRY_BYTES + c->max_hops * QUEUE_SESSION_BYTES;
}

void queue_stop(struct thread *t)
{
    struct queue *q = t->queue;

    if (!q || q->stopping)
        return;
    q->stopping = true;
    permits_stop(q->permits);
    sessions_stop(q);
}

bool queue_stopped(const struct thread *t)
{
    const struct queue *q = t->queue;

    return !q ||
        (q->stopping && q->counts.sessions == 0 && q->local_count == 0 &&
            q->counts.settling == 0 && q->unsettled_count == 0);
}

void queue_close(struct thread *t)
{
    struct queue *q = t->queue;

    if (!q)
        return;
    for (size_t row = 0; row <= q->row_mask; row++)
        while (q->entries[row])
            entry_free(q->entries[row]);
    for (size_t row = 0; row <= q->row_mask; row++)
        while (q->destinations[row])
            destination_free(q->destinations[row]);
    timer_clear(&q->later);
    free_queue(q);
    t->queue = NULL;
}
