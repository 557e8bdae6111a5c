/* timer.c -- a hierarchical timer wheel.
 *
 * Six levels of 64 slots; a slot of level 0 is one tick of 8.4 ms. A timer stands at the
 * level of the highest digit (base 64) in which its tick differs from the wheel's own,
 * so that setting and clearing cost the same however far away it is. When the wheel
 * reaches a slot of a higher level, the timers there move down, so many a turn: deadlines
 * that lie far ahead share few slots.
 */
#include <stdlib.h>

#include "server/thread_state.h"

enum {
    LEVELS = 6,
    SLOTS = 64,
    SLOT_BITS = 6,
    TICK_SHIFT = 23,
    TIMERS_A_TURN = 256,
    MOVES_A_TURN = 1024
};

struct timers {
    uint64_t tick;             /* all before it has been run */
    struct list due;           /* to be run */
    struct list moving;        /* of slots that were reached: to be set anew */
    uint64_t occupied[LEVELS]; /* slots that may hold timers: clearing leaves the bit */
    struct list slots[LEVELS][SLOTS];
};

struct timers *timers_open(int64_t now_ns)
{
    struct timers *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->tick = (uint64_t)now_ns >> TICK_SHIFT;
    list_init(&w->due);
    list_init(&w->moving);
    for (unsigned level = 0; level < LEVELS; level++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    return w;
}

void timers_close(struct timers *timers)
{
    free(timers);
}

/* The first tick that is not before the deadline. */
static uint64_t tick_of(const struct timer *timer)
{
    uint64_t at = timer->at_ns > 0 ? (uint64_t)timer->at_ns : 0;

    return (at + (1U << TICK_SHIFT) - 1) >> TICK_SHIFT;
}

static void insert(struct timers *w, struct timer *timer)
{
    uint64_t tick = tick_of(timer);
    unsigned level, slot;

    if (tick <= w->tick) {
        list_add(&w->due, &timer->link);
        return;
    }
    level = (63 - (unsigned)__builtin_clzll((tick ^ w->tick) | (SLOTS - 1))) / SLOT_BITS;
    CHECK(level < LEVELS);
    slot = (tick >> (level * SLOT_BITS)) % SLOTS;
    w->occupied[level] |= 1ULL << slot;
    list_add(&w->slots[level][slot], &timer->link);
}

void timer_set(
    struct thread *t, struct timer *timer, int64_t at_ns, void (*due)(struct timer *))
{
    list_remove(&timer->link);
    timer->at_ns = at_ns;
    timer->due = due;
    insert(t->timers, timer);
}

void timer_clear(struct timer *timer)
{
    list_remove(&timer->link);
}

/* Finds the first occupied slot, the one reached first; false: there is none. Within a
 * level all timers lie ahead of the wheel's own digit. */
static bool find_next(struct timers *w, unsigned *level, unsigned *slot, uint64_t *tick)
{
    for (unsigned l = 0; l < LEVELS; l++)
        while (w->occupied[l]) {
            unsigned s = (unsigned)__builtin_ctzll(w->occupied[l]);
            unsigned shift = l * SLOT_BITS;

            if (list_empty(&w->slots[l][s])) {
                w->occupied[l] &= ~(1ULL << s);
                continue;
            }
            *level = l;
            *slot = s;
            *tick = (w->tick >> shift >> SLOT_BITS << SLOT_BITS | s) << shift;
            return true;
        }
    return false;
}

/* Moves the wheel to now; what it passes is due, or moves down. */
static void advance(struct timers *w, uint64_t now)
{
    struct list *link;
    unsigned level, slot;
    uint64_t tick;

    while (find_next(w, &level, &slot, &tick) && tick <= now) {
        w->tick = tick;
        w->occupied[level] &= ~(1ULL << slot);
        list_join(level ? &w->moving : &w->due, &w->slots[level][slot]);
    }
    if (now > w->tick)
        w->tick = now;
    for (unsigned n = 0; n < MOVES_A_TURN && (link = list_pop(&w->moving)); n++)
        insert(w, container_of(link, struct timer, link));
}

bool timers_run(struct thread *t)
{
    struct timers *w = t->timers;
    struct list *link;

    advance(w, (uint64_t)t->now_ns >> TICK_SHIFT);
    for (unsigned n = 0; n < TIMERS_A_TURN && (link = list_pop(&w->due)); n++) {
        struct timer *timer = container_of(link, struct timer, link);

        timer->due(timer);
    }
    return !list_empty(&w->due) || !list_empty(&w->moving);
}

int64_t timers_next_ns(struct timers *w)
{
    unsigned level, slot;
    uint64_t tick;

    if (!list_empty(&w->due) || !list_empty(&w->moving))
        return 0;
    if (!find_next(w, &level, &slot, &tick))
        return INT64_MAX;
    return (int64_t)(tick << TICK_SHIFT);
}
