#include "bench/engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/client_tls.h"
#include "bench/mode.h"
#include "server/clock.h"
#include "server/ring.h"

enum {
    SETTLING_MAX = 64, /* connections that a thread sets up at a time */
    REAP_MAX = 8192,
    SPARE_FILES = 64
};
static const int64_t rest_ns = 100000000;   /* after a failed connection */
static const int64_t look_ns = 500000000;   /* between two looks for timeouts */
static const int64_t nap_max_ns = 50000000; /* so that `stop` is seen */
static const int64_t late_ns = 1000000;
static const int64_t leave_max_ns = 2000000000;

/* --- operations ----------------------------------------------------------- */

static bool may_begin(struct driver *d)
{
    return d->phase == PHASE_RUN && d->started < d->quota && d->now_ns < d->end_ns &&
        !atomic_load_explicit(&d->bench->stop, memory_order_relaxed);
}

static void connect_client(struct client *c)
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
        connect_client(c);
}

/* The client can take an operation. */
static void give(struct client *c)
{
    struct driver *d = c->driver;

    if (!d->bench->open_loop && !c->mode->holds && may_begin(d))
        begin(c, d->now_ns);
    else if (!c->mode->holds)
        list_add(&d->idle, &c->link);
}

/* What is due begins; the oldest first, with the client that is idle for longest. */
static void begin_due(struct driver *d)
{
    while (may_begin(d) && !list_empty(&d->idle)) {
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

static void leave(struct client *c)
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

static void count_error(struct driver *d, struct slice why)
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
        leave(c);
    else
        give(c);
}

void client_ready(struct client *c)
{
    struct driver *d = c->driver;

    c->state = CLIENT_READY;
    if (!c->settled && d->phase == PHASE_SETUP) {
        c->settled = true;
        d->settling--;
    }
    if (c->busy) {
        c->mode->next(c);
        return;
    }
    c->deadline_ns = 0;
    c->rest_ns = d->now_ns;
    give(c);
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
    count_error(c->driver, why);
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

void engine_failed(struct client *c, struct slice why)
{
    struct driver *d = c->driver;

    /* Who has nothing more to do may be hung up on. */
    if (!c->leaving && (c->busy || d->phase == PHASE_SETUP || may_begin(d)))
        count_error(d, why);
    c->rest_ns = c->state == CLIENT_READY ? d->now_ns : d->now_ns + rest_ns;
    while (c->busy)
        finish(c);
    if (!c->settled && d->phase == PHASE_SETUP) {
        d->settling--;
        d->failing++;
    }
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
}

/* --- connections that come and go ----------------------------------------- */

static void again(struct client *c)
{
    struct driver *d = c->driver;

    if (d->phase == PHASE_SETUP)
        list_add(&d->unset, &c->link);
    else if (d->bench->keep && d->phase == PHASE_RUN)
        connect_client(c);
    else
        give(c);
}

static void revive(struct driver *d)
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

static void run_later(struct driver *d)
{
    while (!list_empty(&d->later)) {
        struct client *c = container_of(d->later.next, struct client, waiting);

        if (c->later_ns > d->now_ns)
            return;
        list_remove(&c->waiting);
        c->mode->later(c);
    }
}

/* Those whose answer does not come. */
static void look(struct driver *d)
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
    revive(d);
    run_later(d);
    if (d->bench->open_loop)
        begin_due(d);
    ring_enter(d->ring, d->now_ns, nap(d));
    d->now_ns = clock_monotonic_ns();
    ring_reap(d->ring, REAP_MAX);
    look(d);
}

static void connect_unset(struct driver *d)
{
    while (d->settling < SETTLING_MAX && !list_empty(&d->unset)) {
        struct client *c = container_of(list_pop(&d->unset), struct client, link);

        d->settling++;
        connect_client(c);
    }
}

static bool is_set_up(const struct driver *d)
{
    return d->settling == 0 && list_empty(&d->unset) && list_empty(&d->ended) &&
        list_empty(&d->resting);
}

/* A server that refuses now and then is tried again, one that always does is not. */
static void set_up(struct driver *d)
{
    d->now_ns = clock_monotonic_ns();
    while (!d->broken && !is_set_up(d) && !d->bench->stop) {
        connect_unset(d);
        turn(d);
        d->broken = d->failing > 2 * d->count + 8;
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
        give(container_of(list_pop(&idle), struct client, link));
}

static bool run_is_over(const struct driver *d)
{
    if (d->phase == PHASE_RUN && d->bench->holding && !d->bench->stop)
        return d->now_ns >= d->end_ns || d->started >= d->quota;
    return d->busy == 0 && list_empty(&d->later);
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
        if (d->phase == PHASE_RUN && !may_begin(d) &&
            (!d->bench->holding || run_is_over(d)))
            d->phase = PHASE_DRAIN;
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
            leave(c);
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
        count_error(d, slice_str(why));
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
    pthread_barrier_wait(&b->ready);
    pthread_barrier_wait(&b->go);
    if (!d->broken)
        run(d);
    sem_post(&b->over);
    pthread_barrier_wait(&b->leave);
    if (d->ring)
        leave_all(d);
    return NULL;
}

static void call(const struct engine_watch *watch, void (*what)(void *arg))
{
    if (what)
        what(watch->arg);
}

/* Waits for all threads to end their operations. */
static void wait_over(struct bench *b, const struct engine_watch *watch)
{
    unsigned over = 0;
    struct timespec until;

    while (over < b->threads) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (sem_timedwait(&b->over, &until) == 0)
            over++;
        else
            call(watch, watch->tick);
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
    pthread_barrier_wait(&b->ready);
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
    wait_over(b, watch);
    if (good)
        call(watch, watch->over);
    pthread_barrier_wait(&b->leave);
    for (unsigned i = 0; i < b->threads; i++)
        pthread_join(b->drivers[i].thread, NULL);
    return good;
}

/* --- opening and closing -------------------------------------------------- */

static bool raise_files(uint64_t wanted, struct out *why)
{
    struct rlimit limit;
    char text[160];

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return true;
    snprintf(text, sizeof text,
        "--connections %llu: only %llu open files are allowed; raise that (ulimit -n)",
        (unsigned long long)wanted - SPARE_FILES, (unsigned long long)limit.rlim_cur);
    out_str(why, text);
    return false;
}

/* Client i of all belongs to thread i modulo threads. */
static bool open_clients(struct driver *d)
{
    struct bench *b = d->bench;
    uint64_t all = b->mode->serves ? 0 : b->o->connections;

    d->count = (unsigned)(all / b->threads + (d->index < all % b->threads));
    d->clients = calloc(d->count ? d->count : 1, sizeof *d->clients);
    if (!d->clients)
        return false;
    for (unsigned i = 0; i < d->count; i++) {
        struct client *c = &d->clients[i];

        if (!client_init(c, d, b->mode, &b->o->to, (uint64_t)i * b->threads + d->index))
            return false;
        c->tls_kind = b->o->tls;
        engine_join(d, c);
    }
    return !b->mode->populate || b->mode->populate(d);
}

static bool open_driver(struct bench *b, unsigned index)
{
    struct driver *d = &b->drivers[index];

    d->bench = b;
    d->index = index;
    d->quota = b->o->count / b->threads + (index < b->o->count % b->threads);
    list_init(&d->members);
    list_init(&d->idle);
    list_init(&d->unset);
    list_init(&d->ended);
    list_init(&d->resting);
    list_init(&d->later);
    d->tls = tls_maker_new(b->o->tls_resume);
    if (!d->tls || (b->ledgers && !ledger_open(&d->ledger)))
        return false;
    return open_clients(d);
}

bool engine_open(
    struct bench *b, const struct options *o, const struct mode *mode, struct out *why)
{
    b->o = o;
    b->mode = mode;
    b->threads = (unsigned)o->threads;
    b->open_loop = o->rate > 0;
    b->holding = mode->holds && !o->deliver.len;
    b->keep = o->per_connection == 0 && !mode->single;
    if (!raise_files(2 * o->connections + SPARE_FILES, why))
        return false;
    if (mode->prepare && !mode->prepare(b, why))
        return false;
    b->drivers = calloc(b->threads, sizeof *b->drivers);
    for (unsigned i = 0; i < b->threads; i++)
        if (!b->drivers || !open_driver(b, i)) {
            out_str(why, "out of memory; write fewer --connections");
            return false;
        }
    pthread_barrier_init(&b->ready, NULL, b->threads + 1);
    pthread_barrier_init(&b->go, NULL, b->threads + 1);
    pthread_barrier_init(&b->leave, NULL, b->threads + 1);
    sem_init(&b->over, 0, 0);
    return true;
}

void engine_close(struct bench *b)
{
    for (unsigned i = 0; b->drivers && i < b->threads; i++) {
        struct driver *d = &b->drivers[i];

        if (d->ring)
            ring_close(d->ring);
        list_each_safe(link, after, &d->members) {
            struct client *c = container_of(link, struct client, member);

            if (c->state != CLIENT_CLOSED && c->mode->ended)
                c->mode->ended(c);
            client_free(c);
            if (c->owned)
                free(c);
        }
        free(d->clients);
        free(d->extra);
        ledger_close(&d->ledger);
        tls_maker_free(d->tls);
    }
    free(b->drivers);
    b->drivers = NULL;
}

void engine_sum(const struct bench *b, struct tally *sum)
{
    *sum = (struct tally){.first_ns = INT64_MAX};
    for (unsigned i = 0; i < b->threads; i++) {
        const struct tally *t = &b->drivers[i].tally;

        sum->operations += t->operations;
        sum->errors += t->errors;
        sum->bytes_in += t->bytes_in;
        sum->bytes_out += t->bytes_out;
        sum->connections += t->connections;
        sum->handshakes += t->handshakes;
        sum->resumed += t->resumed;
        sum->recipients += t->recipients;
        sum->late += t->late;
        sum->missed += t->missed;
        histogram_merge(&sum->latency, &t->latency);
        for (unsigned s = 0; s < STEPS_MAX; s++)
            histogram_merge(&sum->steps[s], &t->steps[s]);
        if (!*sum->error_text)
            memcpy(sum->error_text, t->error_text, sizeof sum->error_text);
        sum->first_ns = t->first_ns < sum->first_ns ? t->first_ns : sum->first_ns;
        sum->last_ns = t->last_ns > sum->last_ns ? t->last_ns : sum->last_ns;
        sum->cpu_ns += t->cpu_ns;
        sum->waited_ns += t->waited_ns;
    }
}
