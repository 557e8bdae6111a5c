/* engine_work.c -- who gets which operation, and what becomes of it. */
#include "bench/engine_work.h"

#include <stdio.h>

#include "bench/mode.h"

static const int64_t rest_ns = 100000000; /* after a failed connection */
static const int64_t look_ns = 500000000; /* between two looks for timeouts */
static const int64_t late_ns = 1000000;

/* --- operations ----------------------------------------------------------- */

bool work_may_begin(struct driver *d)
{
    return d->phase == PHASE_RUN && d->started < d->quota && d->now_ns < d->end_ns &&
        !atomic_load_explicit(&d->bench->stop, memory_order_relaxed);
}

void work_connect(struct client *c)
{
    struct driver *d = c->driver;

    d->open++;
    if (!c->deadline_ns)
        c->deadline_ns = d->now_ns + d->bench->o->timeout_ns;
    client_connect(c);
}

/* How many operations begin together. */
static uint32_t batch_of(const struct client *c)
{
    const struct driver *d = c->driver;
    uint64_t most = c->driver->bench->o->per_connection, batch = d->bench->o->depth;

    if (!c->mode->pipelines || d->bench->open_loop || batch < 2)
        return 1;
    if (d->quota - d->started < batch)
        batch = d->quota - d->started;
    if (most && most - c->served % most < batch)
        batch = most - c->served % most;
    return (uint32_t)batch;
}

static void begin(struct client *c, int64_t intended_ns)
{
    struct driver *d = c->driver;

    c->busy = true;
    d->busy++;
    c->batch = c->left = batch_of(c);
    c->number = d->started * d->bench->threads + d->index;
    d->started += c->batch;
    c->intended_ns = intended_ns;
    c->deadline_ns = d->now_ns + d->bench->o->timeout_ns;
    if (c->state == CLIENT_READY)
        c->mode->next(c);
    else
        work_connect(c);
}

void work_give(struct client *c)
{
    struct driver *d = c->driver;

    if (!d->bench->open_loop && !c->mode->holds && work_may_begin(d))
        begin(c, d->now_ns);
    else if (!c->mode->holds)
        list_add(&d->idle, &c->link);
}

void work_begin_due(struct driver *d)
{
    while (work_may_begin(d) && !list_empty(&d->idle)) {
        int64_t due = schedule_due(&d->schedule);
        struct client *c;

        if (due > d->now_ns)
            return;
        c = container_of(list_pop(&d->idle), struct client, link);
        schedule_step(&d->schedule);
        if (d->now_ns - due > late_ns) {
            d->tally.late++;
            /* It was idle when the moment came, and nobody was there to see it. */
            d->tally.missed += c->rest_ns < due;
        }
        begin(c, due);
    }
}

void work_leave(struct client *c)
{
    c->leaving = true;
    c->deadline_ns = c->driver->now_ns + c->driver->bench->o->timeout_ns;
    if (c->mode->quit)
        c->mode->quit(c);
    else
        client_drop(c);
}

/* One of the operations of c has ended, well or not; false: others are under way. */
static bool finish(struct client *c)
{
    struct driver *d = c->driver;

    d->tally.last_ns = d->now_ns;
    c->served++;
    if (--c->left)
        return false;
    c->busy = false;
    d->busy--;
    c->deadline_ns = 0;
    return true;
}

static void count_one(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter,
        atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

void work_error(struct driver *d, struct slice why)
{
    struct tally *t = &d->tally;
    size_t n = why.len < ERROR_TEXT_MAX - 1 ? why.len : ERROR_TEXT_MAX - 1;

    if (t->errors == 0)
        for (size_t i = 0; i < n; i++)
            t->error_text[i] = why.at[i] >= ' ' && why.at[i] < 0x7f ? why.at[i] : '?';
    count_one(&t->errors);
}

/* --- what clients tell ---------------------------------------------------- */

int64_t client_now(struct client *c)
{
    return c->driver->now_ns;
}

static void go_on(struct client *c)
{
    uint64_t most = c->mode->single ? 1 : c->driver->bench->o->per_connection;

    c->rest_ns = c->driver->now_ns;
    if (most && c->served >= most)
        work_leave(c);
    else
        work_give(c);
}

/* In the set-up: it is there, or it has failed. One that was there may fail too. */
static void settled(struct client *c, bool there)
{
    struct driver *d = c->driver;

    d->settling -= c->settling;
    d->unready += c->settled;
    d->unready -= there;
    d->failing += !there;
    c->settling = false;
    c->settled = there;
}

void client_ready(struct client *c)
{
    struct driver *d = c->driver;

    c->state = CLIENT_READY;
    if (d->phase == PHASE_SETUP)
        settled(c, true);
    if (c->busy) {
        c->mode->next(c);
        return;
    }
    c->deadline_ns = 0;
    c->rest_ns = d->now_ns;
    work_give(c);
}

void client_done_at(struct client *c, int64_t end_ns)
{
    struct tally *t = &c->driver->tally;

    if (!c->busy || client_gone(c))
        return;
    histogram_add(
        &t->latency, end_ns > c->intended_ns ? (uint64_t)(end_ns - c->intended_ns) : 0);
    count_one(&t->operations);
    if (finish(c))
        go_on(c);
}

void client_done(struct client *c)
{
    client_done_at(c, c->driver->now_ns);
}

void client_refused(struct client *c, struct slice why)
{
    if (!c->busy || client_gone(c))
        return;
    work_error(c->driver, why);
    if (finish(c))
        go_on(c);
}

void client_step(struct client *c, unsigned step, int64_t since_ns)
{
    CHECK(step < STEPS_MAX);
    histogram_add(
        &c->driver->tally.steps[step], (uint64_t)(c->driver->now_ns - since_ns));
}

void client_later(struct client *c, int64_t at_ns)
{
    c->later_ns = at_ns;
    list_add(&c->driver->later, &c->waiting);
}

void client_counted(struct client *c, int64_t since_ns)
{
    struct driver *d = c->driver;

    if (d->started++ == 0)
        d->tally.first_ns = since_ns;
    histogram_add(&d->tally.latency, (uint64_t)(d->now_ns - since_ns));
    count_one(&d->tally.operations);
    d->tally.last_ns = d->now_ns;
}

void client_unwelcome(struct client *c, uint64_t user, struct slice why)
{
    char text[USER_NAME_MAX + ERROR_TEXT_MAX];
    struct out out = out_of(text, sizeof text);

    users_name(&c->driver->bench->o->users, user, &out);
    out_str(&out, ": ");
    out_put(&out,
        slice_of(why.at, why.len < ERROR_TEXT_MAX / 2 ? why.len : ERROR_TEXT_MAX / 2));
    client_fail(c, out_slice(&out));
}

/* Nobody has seen yet what is there: it may not be what was meant. */
static void set_up_error(struct client *c, struct slice why)
{
    char text[ERROR_TEXT_MAX];
    int n = snprintf(text, sizeof text, "%s: %.*s", c->to ? c->to->text : "client",
        (int)why.len, why.at);

    work_error(
        c->driver, slice_of(text, n < ERROR_TEXT_MAX ? (size_t)n : ERROR_TEXT_MAX - 1));
}

void engine_failed(struct client *c, struct slice why)
{
    struct driver *d = c->driver;
    /* Who has nothing more to do may be hung up on. */
    bool counts = !c->leaving && work_may_begin(d);

    list_remove(&c->link); /* it may have been idle */
    if (d->phase == PHASE_SETUP)
        set_up_error(c, why);
    else if (counts && !c->busy)
        work_error(d, why);
    c->rest_ns = c->state == CLIENT_READY ? d->now_ns : d->now_ns + rest_ns;
    while (c->busy) {
        work_error(d, why);
        finish(c);
    }
    if (d->phase == PHASE_SETUP)
        settled(c, false);
}

void engine_ended(struct client *c)
{
    list_remove(&c->link);
    list_add(&c->driver->ended, &c->link);
}

void engine_join(struct driver *d, struct client *c)
{
    list_add(&d->members, &c->member);
    list_add(d->bench->keep ? &d->unset : &d->idle, &c->link);
    d->joined += d->bench->keep;
    d->unready += d->bench->keep;
}

/* --- connections that come and go ----------------------------------------- */

static void again(struct client *c)
{
    struct driver *d = c->driver;

    if (d->phase == PHASE_SETUP)
        list_add(&d->unset, &c->link);
    else if (d->bench->keep && d->phase == PHASE_RUN)
        work_connect(c);
    else
        work_give(c);
}

void work_revive(struct driver *d)
{
    struct list *link;

    while ((link = list_pop(&d->ended))) {
        struct client *c = container_of(link, struct client, link);

        c->state = CLIENT_CLOSED;
        c->deadline_ns = 0;
        d->open--;
        if (c->mode->ended)
            c->mode->ended(c);
        if (c->mode->serves)
            continue; /* and the mode has it */
        if (c->rest_ns > d->now_ns)
            list_add(&d->resting, &c->link);
        else
            again(c);
    }
    while (!list_empty(&d->resting)) {
        struct client *c = container_of(d->resting.next, struct client, link);

        if (c->rest_ns > d->now_ns)
            break;
        list_remove(&c->link);
        again(c);
    }
}

void work_later(struct driver *d)
{
    while (!list_empty(&d->later)) {
        struct client *c = container_of(d->later.next, struct client, waiting);

        if (c->later_ns > d->now_ns)
            return;
        list_remove(&c->waiting);
        c->mode->later(c);
    }
}

void work_look(struct driver *d)
{
    if (d->now_ns - d->looked_ns < look_ns)
        return;
    d->looked_ns = d->now_ns;
    list_each(link, &d->members) {
        struct client *c = container_of(link, struct client, member);

        if (c->deadline_ns && c->deadline_ns < d->now_ns) {
            c->deadline_ns = 0;
            client_fail(c, S("no answer in time (--timeout)"));
        }
    }
}
