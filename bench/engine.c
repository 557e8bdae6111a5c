#include "bench/engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/engine_work.h"
#include "bench/mode.h"
#include "server/clock.h"
#include "server/ring.h"

enum {
    SETTLING_MAX = 64, /* connections that a thread sets up at a time */
    FAILING_MAX = 8,
    FAILING_FIRST_MAX = 3,
    REAP_MAX = 8192
};
static const int64_t nap_max_ns = 50000000; /* so that `stop` is seen */
static const int64_t leave_max_ns = 2000000000;

/* --- turns ---------------------------------------------------------------- */

static int64_t nap(const struct driver *d)
{
    int64_t until = d->now_ns + nap_max_ns;
    bool waits = d->phase == PHASE_RUN && d->started < d->quota;

    if (d->phase == PHASE_RUN && d->end_ns < until)
        until = d->end_ns;
    if (waits && d->bench->open_loop && !list_empty(&d->idle) &&
        schedule_due(&d->schedule) < until)
        until = schedule_due(&d->schedule);
    if (!list_empty(&d->ended))
        return 0;
    if (!list_empty(&d->later)) {
        int64_t at = container_of(d->later.next, struct client, waiting)->later_ns;

        until = at < until ? at : until;
    }
    return until > d->now_ns ? until - d->now_ns : 0;
}

static void turn(struct driver *d)
{
    work_revive(d);
    work_later(d);
    if (d->bench->open_loop)
        work_begin_due(d);
    ring_enter(d->ring, d->now_ns, nap(d));
    d->now_ns = clock_monotonic_ns();
    ring_reap(d->ring, REAP_MAX);
    work_look(d);
}

static void connect_unset(struct driver *d)
{
    while (d->settling < SETTLING_MAX && !list_empty(&d->unset)) {
        struct client *c = container_of(list_pop(&d->unset), struct client, link);

        c->settling = true;
        d->settling++;
        work_connect(c);
    }
}

/* A server that refuses now and then is tried again; one that always does, or has never
 * done anything else, is not. */
static bool is_hopeless(const struct driver *d)
{
    bool nobody = d->unready == d->joined && d->settling == 0;

    return d->failing > 2 * d->joined + FAILING_MAX ||
        (nobody && d->failing >= FAILING_FIRST_MAX);
}

static void set_up(struct driver *d)
{
    d->now_ns = clock_monotonic_ns();
    while (!d->broken && d->unready && !d->bench->stop) {
        connect_unset(d);
        turn(d);
        d->broken = is_hopeless(d);
    }
    if (!d->broken && d->unready) {
        work_error(d, S("interrupted before all connections were there"));
        d->broken = true;
    }
}

/* Ready to run, but without a CPU. */
static int64_t waited_ns(void)
{
    char text[128];
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    long long on = 0, waited = 0;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return sscanf(text, "%lld %lld", &on, &waited) == 2 ? waited : 0;
}

static void begin_all(struct driver *d)
{
    struct list idle;

    list_init(&idle);
    list_join(&idle, &d->idle);
    while (!list_empty(&idle))
        work_give(container_of(list_pop(&idle), struct client, link));
}

/* No operation begins any more; those under way are waited for. */
static void begin_drain(struct driver *d)
{
    int64_t until = d->now_ns < d->end_ns ? d->now_ns : d->end_ns;

    d->phase = PHASE_DRAIN;
    d->drain_ns = d->now_ns;
    if (d->bench->open_loop && d->started < d->quota)
        d->tally.undone = schedule_backlog(&d->schedule, until - 1);
}

/* Those who connect to a sink do not stop: it owes them what it has put off so far. Who
 * only reads owes nobody anything. */
static bool run_is_over(const struct driver *d)
{
    const struct bench *b = d->bench;

    if (b->stop && b->mode->unit)
        return true;
    return d->busy == 0 &&
        (list_empty(&d->later) ||
            (b->mode->serves && d->now_ns > d->drain_ns + b->o->delay_ns));
}

static void run(struct driver *d)
{
    const struct options *o = d->bench->o;
    struct tally *t = &d->tally;
    int64_t cpu_ns = clock_cpu_ns(), waited = waited_ns();

    d->now_ns = t->first_ns = t->last_ns = clock_monotonic_ns();
    d->end_ns = d->now_ns + o->time_ns;
    d->phase = PHASE_RUN;
    if (d->bench->open_loop)
        schedule_start(&d->schedule, o->rate, (enum arrival)o->arrival, d->index,
            d->bench->threads, d->now_ns);
    begin_all(d);
    while (d->phase == PHASE_RUN || !run_is_over(d)) {
        turn(d);
        if (d->phase == PHASE_RUN && !work_may_begin(d))
            begin_drain(d);
    }
    if (d->bench->holding && !d->bench->mode->serves)
        t->last_ns = d->now_ns;
    t->cpu_ns = clock_cpu_ns() - cpu_ns;
    t->waited_ns = waited_ns() - waited;
}

/* Goodbye; a server that does not answer that is left alone. */
static void leave_all(struct driver *d)
{
    int64_t until = clock_monotonic_ns() + leave_max_ns;

    d->phase = PHASE_LEAVE;
    list_each(link, &d->members) {
        struct client *c = container_of(link, struct client, member);

        if (c->state == CLIENT_READY && !c->leaving) {
            list_remove(&c->link);
            work_leave(c);
        } else if (c->state != CLIENT_READY) {
            client_drop(c);
        }
    }
    while (d->open && d->now_ns < until)
        turn(d);
    list_each(link, &d->members) {
        client_drop(container_of(link, struct client, member));
    }
    until = clock_monotonic_ns() + leave_max_ns;
    while (d->open && d->now_ns < until)
        turn(d);
}

/* --- threads -------------------------------------------------------------- */

static bool open_ring(struct driver *d)
{
    const struct ring_conf conf = {.entries = 1024,
        .completions = 16384,
        .buffers = 2048,
        .buffer_bytes = 4096,
        .window = 64,
        .big_buffers = d->bench->mode->bulk ? 128 : 1,
        .workers = 4};
    char why[RING_WHY_MAX];

    d->ring = ring_open(&conf, why, sizeof why);
    if (!d->ring)
        work_error(d, slice_str(why));
    return d->ring != NULL;
}

static void *work(void *arg)
{
    struct driver *d = arg;
    struct bench *b = d->bench;

    prctl(PR_SET_TIMERSLACK, 1);
    d->broken = !open_ring(d);
    d->now_ns = clock_monotonic_ns();
    if (!d->broken && b->mode->start)
        b->mode->start(d);
    set_up(d);
    sem_post(&b->ended);
    pthread_barrier_wait(&b->go);
    if (!d->broken)
        run(d);
    sem_post(&b->ended);
    pthread_barrier_wait(&b->leave);
    if (d->ring)
        leave_all(d);
    sem_post(&b->ended);
    return NULL;
}

static void call(const struct engine_watch *watch, void (*what)(void *arg))
{
    if (what)
        what(watch->arg);
}

/* Waits for all threads to end this phase. */
static void await(struct bench *b, enum phase phase, const struct engine_watch *watch)
{
    unsigned ended = 0;
    struct timespec until;

    b->phase = phase;
    while (ended < b->threads) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (sem_timedwait(&b->ended, &until) == 0)
            ended++;
        else if (watch->tick)
            watch->tick(watch->arg, b);
    }
}

bool engine_run(struct bench *b, const struct engine_watch *watch, struct out *why)
{
    unsigned started = 0;
    bool good = true;

    call(watch, watch->before);
    while (started < b->threads &&
        pthread_create(&b->drivers[started].thread, NULL, work, &b->drivers[started]) ==
            0)
        started++;
    CHECK(started == b->threads); /* else those that run would wait for ever */
    await(b, PHASE_SETUP, watch);
    for (unsigned i = 0; i < b->threads; i++)
        if (b->drivers[i].broken && good) {
            out_str(why, b->drivers[i].tally.error_text);
            good = false;
        }
    if (good)
        call(watch, watch->ready);
    else
        b->stop = true;
    pthread_barrier_wait(&b->go);
    await(b, PHASE_RUN, watch);
    if (good)
        call(watch, watch->over);
    pthread_barrier_wait(&b->leave);
    await(b, PHASE_LEAVE, watch);
    for (unsigned i = 0; i < b->threads; i++)
        pthread_join(b->drivers[i].thread, NULL);
    return good;
}
