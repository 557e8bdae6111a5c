/* call.c -- calls between threads.
 *
 * The sender puts a call into the queue of the pair, or behind those that found no room:
 * nobody waits for room, and the number of calls is bounded because each belongs to
 * something that waits. At the end of its turn it rings those who sleep. A thread says
 * that it sleeps, looks once more, then sleeps (thread.c); both sides exchange the flag,
 * so that one of the two sees the other.
 */
#include <string.h>

#include "server/thread_state.h"

static struct call_queue *queue_to(const struct thread *from, const struct thread *to)
{
    return &to->state->in[from->index];
}

static bool put(struct call_queue *q, struct call *call)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    if (tail - q->head_seen == CALL_SLOTS) {
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
        if (tail - q->head_seen == CALL_SLOTS)
            return false;
    }
    q->slots[tail % CALL_SLOTS] = call;
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    return true;
}

static struct call *take(struct call_queue *q)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    struct call *call;

    if (head == atomic_load_explicit(&q->tail, memory_order_acquire))
        return NULL;
    call = q->slots[head % CALL_SLOTS];
    atomic_store_explicit(&q->head, head + 1, memory_order_release);
    return call;
}

/* No slot is free, or others have waited longer. */
static void delay(struct thread *from, struct call_queue *q, struct call *call)
{
    from->stats.calls_delayed++;
    list_add(&q->overflow, &call->link);
}

static void push(struct thread *from, struct thread *to, struct call *call)
{
    struct call_queue *q = queue_to(from, to);

    from->state->called[to->index / 64] |= 1ULL << (to->index % 64);
    if (!list_empty(&q->overflow) || !put(q, call))
        delay(from, q, call);
}

void call_send(struct thread *from, struct thread *to, struct call *call)
{
    call->from = from;
    call->to = to;
    call->answered = false;
    push(from, to, call);
}

void call_answer(struct call *call)
{
    CHECK(call->done && !call->answered);
    call->answered = true;
    push(call->to, call->from, call);
}

static void land(struct thread *t, struct call *call)
{
    t->stats.calls++;
    if (call->answered)
        call->done(t, call);
    else
        call->run(t, call);
}

/* The queues in turn, beginning behind the one that was first last time. */
bool calls_run(struct thread *t)
{
    unsigned count = t->process->thread_count, left = CALLS_A_TURN;

    for (unsigned i = 0; i < count && left; i++) {
        struct call_queue *q = &t->state->in[(i + t->stats.turns) % count];
        struct call *call;

        /* What comes of these calls is for the next turn. */
        for (uint32_t n = atomic_load(&q->tail) - atomic_load(&q->head); n && left; n--) {
            call = take(q);
            left--;
            land(t, call);
        }
    }
    return left == 0;
}

bool calls_waiting(struct thread *t)
{
    for (unsigned i = 0; i < t->process->thread_count; i++) {
        struct call_queue *q = &t->state->in[i];

        if (atomic_load_explicit(&q->head, memory_order_relaxed) !=
            atomic_load_explicit(&q->tail, memory_order_acquire))
            return true;
    }
    return atomic_load_explicit(&t->state->inbox.filled, memory_order_acquire);
}

/* False: calls are left that found no room. */
static bool drain_overflow(struct call_queue *q)
{
    while (!list_empty(&q->overflow)) {
        struct list *first = q->overflow.next;
        struct call *call = container_of(first, struct call, link);

        list_remove(first); /* before the call belongs to the other thread */
        if (put(q, call))
            continue;
        first->next = q->overflow.next; /* back to the front */
        first->prev = &q->overflow;
        q->overflow.next->prev = first;
        q->overflow.next = first;
        return false;
    }
    return true;
}

bool calls_flush(struct thread *t)
{
    struct thread_state *s = t->state;
    bool left = false;

    for (unsigned word = 0; word * 64 < t->process->thread_count; word++) {
        uint64_t called = s->called[word];

        s->called[word] = 0;
        while (called) {
            unsigned bit = (unsigned)__builtin_ctzll(called);
            struct thread *to = t->process->threads[word * 64 + bit];

            called &= called - 1;
            if (!drain_overflow(queue_to(t, to))) {
                s->called[word] |= 1ULL << bit;
                left = true;
            }
            if (to != t && atomic_exchange(&to->state->sleeping, false)) {
                t->stats.doorbells++;
                ring_doorbell(t->ring, ring_number(to->ring));
            }
        }
    }
    return left;
}
