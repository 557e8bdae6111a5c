#include "server/queue_permit.h"

#include <stdlib.h>

#include "server/config.h"
#include "server/queue_work.h"

enum { ROWS = 4096 };
static const int64_t minute_ns = 60LL * 1000000000;

/* A destination with sessions, with some that wait, or with messages sent of late. */
struct row {
    struct row *next;
    struct permits *permits;
    uint64_t hash;
    uint32_t taken, waiting;
    struct list queue; /* struct permit */
    /* The rate, as the time at which all that was sent will have been due at an even
     * pace: what lies in the future is what counts. */
    int64_t even_ns;
    struct timer timer;
};

struct permits {
    struct thread *thread;
    uint32_t sessions_max;
    int64_t interval_ns; /* between messages; 0: no limit */
    uint32_t burst;      /* messages that may go out at once */
    bool stopping;
    struct row *rows[ROWS];
};

/* --- rows --------------------------------------------------------------- */

static struct row **row_at(struct permits *p, uint64_t hash)
{
    struct row **at = &p->rows[hash % ROWS];

    while (*at && (*at)->hash != hash)
        at = &(*at)->next;
    return at;
}

static struct row *row_make(struct permits *p, uint64_t hash)
{
    struct row **at = row_at(p, hash);

    if (*at)
        return *at;
    *at = calloc(1, sizeof **at);
    if (!*at)
        return NULL;
    (*at)->permits = p;
    (*at)->hash = hash;
    list_init(&(*at)->queue);
    return *at;
}

static void row_drop(struct row *row)
{
    struct row **at = row_at(row->permits, row->hash);

    CHECK(*at == row);
    timer_clear(&row->timer);
    *at = row->next;
    free(row);
}

/* --- the rate ----------------------------------------------------------- */

static uint32_t messages_now(const struct row *row, uint32_t wanted)
{
    const struct permits *p = row->permits;
    int64_t now = p->thread->now_ns;
    int64_t free_ns =
        now + p->burst * p->interval_ns - (row->even_ns > now ? row->even_ns : now);

    if (p->interval_ns == 0)
        return wanted;
    if (free_ns < p->interval_ns)
        return 0;
    return free_ns / p->interval_ns < wanted ? (uint32_t)(free_ns / p->interval_ns)
                                             : wanted;
}

static void take_messages(struct row *row, uint32_t count)
{
    int64_t now = row->permits->thread->now_ns;

    if (row->even_ns < now)
        row->even_ns = now;
    row->even_ns += count * row->permits->interval_ns;
}

/* When the next message may go out. */
static int64_t next_ns(const struct row *row)
{
    return row->even_ns - (row->permits->burst - 1) * row->permits->interval_ns;
}

/* --- who is next -------------------------------------------------------- */

static void serve(struct row *row);

static void on_timer(struct timer *timer)
{
    serve(container_of(timer, struct row, timer));
}

/* Gives what there is to those that wait; a row that says nothing any more goes. */
static void serve(struct row *row)
{
    struct permits *p = row->permits;

    while (!list_empty(&row->queue) && row->taken < p->sessions_max) {
        struct permit *first = container_of(row->queue.next, struct permit, link);
        uint32_t messages = messages_now(row, first->count);

        if (messages == 0)
            break;
        list_remove(&first->link);
        row->waiting--;
        row->taken++;
        take_messages(row, messages);
        first->held = true;
        first->messages = messages;
        call_answer(&first->call);
    }
    timer_clear(&row->timer);
    if (row->taken >= p->sessions_max)
        return;
    if (!list_empty(&row->queue))
        timer_set(p->thread, &row->timer, next_ns(row), on_timer);
    else if (row->taken == 0 && row->even_ns > p->thread->now_ns)
        timer_set(p->thread, &row->timer, row->even_ns, on_timer);
    else if (row->taken == 0)
        row_drop(row);
}

/* --- calls -------------------------------------------------------------- */

static void on_landed(struct thread *t, struct call *call)
{
    struct permit *permit = container_of(call, struct permit, call);

    (void)t;
    permit->pending = false;
    permit->landed(permit);
}

static void run_ask(struct thread *t, struct call *call)
{
    struct permit *permit = container_of(call, struct permit, call);
    struct permits *p = t->queue ? t->queue->permits : NULL;
    struct row *row = p && !p->stopping ? row_make(p, permit->hash) : NULL;

    if (!row) {
        call_answer(call);
        return;
    }
    list_add(&row->queue, &permit->link);
    row->waiting++;
    serve(row);
}

static void run_give(struct thread *t, struct call *call)
{
    struct permit *permit = container_of(call, struct permit, call);
    struct row *row = *row_at(t->queue->permits, permit->hash);

    CHECK(row && row->taken > 0);
    row->taken--;
    row->even_ns -= permit->count * row->permits->interval_ns;
    call_answer(call);
    serve(row);
}

void permit_ask(struct thread *t, struct permit *p, uint64_t hash, uint32_t wanted,
    void (*granted)(struct permit *p))
{
    CHECK(!p->pending);
    *p = (struct permit){
        .hash = hash, .count = wanted, .pending = true, .landed = granted};
    p->call.run = run_ask;
    p->call.done = on_landed;
    call_send(t, thread_of_hash(t, hash), &p->call);
}

static void run_nothing(struct thread *t, struct call *call)
{
    (void)t;
    call_answer(call);
}

void permit_give(
    struct thread *t, struct permit *p, uint32_t unused, void (*given)(struct permit *p))
{
    CHECK(!p->pending && unused <= p->messages);
    p->pending = true;
    p->count = unused;
    p->landed = given;
    p->call.run = p->held ? run_give : run_nothing;
    p->call.done = on_landed;
    p->held = false;
    p->messages = 0;
    call_send(t, thread_of_hash(t, p->hash), &p->call);
}

/* --- opening and closing ------------------------------------------------ */

struct permits *permits_open(struct thread *t)
{
    struct permits *p = calloc(1, sizeof *p);
    uint64_t rate = t->config->destination_rate;

    if (!p)
        return NULL;
    p->thread = t;
    p->sessions_max = (uint32_t)t->config->destination_sessions;
    p->interval_ns = rate ? minute_ns / (int64_t)rate : 0;
    p->burst = (uint32_t)(1 + rate / 60); /* of a second: smooth */
    return p;
}

void permits_stop(struct permits *p)
{
    p->stopping = true;
    for (unsigned i = 0; i < ROWS; i++)
        for (struct row *row = p->rows[i], *next; row; row = next) {
            struct list *link;

            next = row->next;
            while ((link = list_pop(&row->queue)))
                call_answer(&container_of(link, struct permit, link)->call);
            row->waiting = 0;
            serve(row);
        }
}

void permits_close(struct permits *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < ROWS; i++)
        while (p->rows[i])
            row_drop(p->rows[i]);
    free(p);
}

void permits_facts(const struct permits *permits, uint64_t hash, struct permit_facts *f)
{
    const struct row *row = permits->rows[hash % ROWS];

    *f = (struct permit_facts){0};
    while (row && row->hash != hash)
        row = row->next;
    if (!row)
        return;
    f->taken = row->taken;
    f->waiting = row->waiting;
    if (permits->interval_ns && messages_now(row, 1) == 0)
        f->next_ns = next_ns(row);
}
