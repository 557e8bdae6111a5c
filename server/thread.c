#include "server/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/conn_state.h"
#include "server/limit.h"
#include "server/listen.h"
#include "server/shard.h"
#include "server/thread_state.h"

enum {
    REAP_STEP = 1,        /* completions between two looks at the clock: each may be
                           * 64 commands, or 64 KiB for memory that nobody has touched */
    ROUNDS_MAX = 8,       /* of work in a turn */
    CPU_SAMPLE_TURNS = 16 /* one turn in so many has its CPU time measured */
};
static const int64_t reap_budget_ns = 300000; /* then timers and calls have their turn */
static const int64_t rounds_budget_ns = 100000; /* from the start of the turn */
static const int64_t spin_min_ns = 1000;
static const int64_t overflow_wait_ns = 200000; /* a full queue is tried again after it */

/* --- the turn ------------------------------------------------------------- */

static void read_clocks(struct thread *t)
{
    t->now_ns = clock_monotonic_ns();
    t->now_s = clock_wall_s();
}

/* All that is due by itself; true: more is waiting. */
static bool work_once(struct thread *t)
{
    const struct process_conf *conf = &t->process->conf;
    bool more = calls_run(t);

    inbox_run(t);
    more |= timers_run(t);
    op_queue_run(&t->ready);
    shards_answer(t);
    more |= conns_turn(t);
    if (conf->thread_turn)
        more |= conf->thread_turn(t);
    more |= shards_turn(t);
    return more || t->ready.head || !list_empty(&t->touched);
}

/* What the thread has found to do for itself: calls to its own stores, sessions that they
 * have answered. */
static bool at_hand(struct thread *t)
{
    if (t->state->enter_first)
        return false;
    return t->ready.head || !list_empty(&t->touched) || calls_waiting(t);
}

/* A login or a SELECT that finds all in memory is a few steps that wait for nothing but
 * their turn; they do not go through the kernel for each. */
static bool work(struct thread *t)
{
    bool more = work_once(t);

    for (unsigned n = 1; n < ROUNDS_MAX && at_hand(t); n++) {
        if (clock_monotonic_ns() - t->now_ns > rounds_budget_ns)
            return true;
        more = work_once(t);
    }
    return more;
}

/* Work has come: spinning until it came, if only for a part of what is allowed, paid. */
static void found_work(struct thread *t)
{
    struct thread_state *s = t->state;
    int64_t max_ns = (int64_t)t->process->conf.spin_us * 1000;

    s->idle_since_ns = t->now_ns;
    if (s->spinning)
        s->spin_ns = s->spin_ns * 2 < max_ns ? s->spin_ns * 2 : max_ns;
    s->spinning = false;
}

/* Empty turns before sleep: fewer after each time that they found nothing. */
static bool keeps_spinning(struct thread *t)
{
    struct thread_state *s = t->state;

    if (s->spin_ns == 0)
        return false;
    if (t->now_ns - s->idle_since_ns < s->spin_ns) {
        s->spinning = true;
        t->stats.spun++;
        return true;
    }
    if (s->spinning && s->spin_ns / 2 >= spin_min_ns)
        s->spin_ns /= 2;
    s->spinning = false;
    return false;
}

/* How long nothing will be due: 0 for "not at all", negative for "for ever". */
static int64_t wait_of(struct thread *t, bool more)
{
    int64_t next, due;

    if (more || ring_ready(t->ring) || t->state->ending)
        return 0;
    if (keeps_spinning(t))
        return 0;
    next = timers_next_ns(t->timers);
    due = shards_due_ns(t);
    if (due < next)
        next = due;
    if (next == INT64_MAX)
        return -1;
    return next > t->now_ns ? next - t->now_ns : 0;
}

/* Says that it sleeps, looks once more, enters. */
static void enter(struct thread *t, int64_t wait_ns)
{
    _Atomic bool *sleeping = &t->state->sleeping;

    if (wait_ns) {
        atomic_exchange(sleeping, true);
        if (calls_waiting(t))
            wait_ns = 0;
    }
    t->state->enter_first = false;
    ring_enter(t->ring, t->now_ns, wait_ns);
    atomic_store_explicit(sleeping, false, memory_order_relaxed);
}

static bool reap(struct thread *t)
{
    int64_t begin = t->now_ns;
    bool any = false;

    while (ring_reap(t->ring, REAP_STEP) == REAP_STEP) {
        any = true;
        t->now_ns = clock_monotonic_ns();
        if (t->now_ns - begin > reap_budget_ns)
            break;
    }
    return any;
}

static void measure(struct thread *t, int64_t begin_ns, int64_t begin_cpu_ns)
{
    int64_t now_ns = clock_monotonic_ns();

    histogram_add(&t->stats.times[TIMES_turn], (uint64_t)(now_ns - begin_ns));
    if (begin_cpu_ns)
        histogram_add(
            &t->stats.times[TIMES_turn_cpu], (uint64_t)(clock_cpu_ns() - begin_cpu_ns));
    stats_settle(&t->stats, now_ns);
}

static void turn(struct thread *t)
{
    uint64_t completions = ring_counters(t->ring)->completions;
    bool sampled = t->stats.turns % CPU_SAMPLE_TURNS == 0;
    int64_t begin_cpu_ns = sampled ? clock_cpu_ns() : 0;
    int64_t begin_ns, wait_ns;
    bool more;

    read_clocks(t);
    begin_ns = t->state->turn_ns = t->now_ns;
    t->stats.turns++;
    reap(t);
    if (ring_counters(t->ring)->completions != completions || calls_waiting(t))
        found_work(t);
    more = work(t);
    wait_ns = wait_of(t, more);
    if (calls_flush(t) && (wait_ns < 0 || wait_ns > overflow_wait_ns))
        wait_ns = overflow_wait_ns;
    measure(t, begin_ns, begin_cpu_ns);
    enter(t, wait_ns);
}

void thread_wait(struct thread *t)
{
    read_clocks(t);
    ring_enter(t->ring, t->now_ns, ring_ready(t->ring) ? 0 : -1);
    reap(t);
    inbox_run(t);
}

/* --- opening and closing -------------------------------------------------- */

/* The i-th of the CPUs this process may use. */
static void pin(unsigned index)
{
    cpu_set_t allowed, one;
    unsigned count;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    count = (unsigned)CPU_COUNT(&allowed);
    for (unsigned cpu = 0, seen = 0; cpu < CPU_SETSIZE && count; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || seen++ != index % count)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
        return;
    }
}

static struct ring *open_ring(struct thread *t)
{
    const struct process_conf *conf = &t->process->conf;
    struct ring_conf ring = {
        .entries = conf->ring_entries,
        .completions = conf->ring_completions,
        .buffers = conf->receive_buffers,
        .buffer_bytes = conf->receive_buffer_bytes,
        .window = 64,
        .big_buffers = BIG_BUFFERS,
        .workers = 2,
        .minimal = conf->ring_minimal,
    };

    return ring_open(&ring, t->state->why, sizeof t->state->why);
}

static bool open_here(struct thread *t)
{
    struct thread_state *s = t->state;

    read_clocks(t);
    s->start_ns = s->idle_since_ns = t->now_ns;
    s->spin_ns = (int64_t)t->process->conf.spin_us * 1000;
    t->ring = open_ring(t);
    if (!t->ring)
        return false;
    s->zero_copy_min = t->process->conf.zero_copy;
    if (s->zero_copy_min == 0 || !ring_has_zero_copy(t->ring))
        s->zero_copy_min = SIZE_MAX;
    snprintf(s->why, sizeof s->why, "out of memory or descriptors");
    t->timers = timers_open(t->now_ns);
    t->state->limits = limits_open(random_u64());
    if (!t->timers || !t->state->limits || !conns_open(t) || !inbox_open(t))
        return false;
    return !t->process->conf.thread_open || t->process->conf.thread_open(t);
}

/* Opening has failed: gives back what there is of it. */
static void abandon(struct thread *t)
{
    conn_pools_close(t);
    free(t->state->scratch);
    if (t->timers)
        timers_close(t->timers);
    limits_close(t->state->limits);
    if (t->ring)
        ring_close(t->ring);
}

static void close_here(struct thread *t)
{
    if (t->process->conf.thread_close)
        t->process->conf.thread_close(t);
    inbox_close(t);
    conns_close(t);
    timers_close(t->timers);
    tls_context_free(t->tls);
    tls_context_free(t->state->tls_client);
    limits_close(t->state->limits);
    free(t->rates);
    listen_free(t);
    ring_close(t->ring);
}

static void report(struct process *p, bool good, const char *why)
{
    pthread_mutex_lock(&p->lock);
    if (!good && !p->failed) {
        p->failed = true;
        snprintf(p->why, sizeof p->why, "%s", why);
    }
    p->waiting--;
    pthread_cond_signal(&p->landed);
    pthread_mutex_unlock(&p->lock);
}

void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct process *p = t->process;
    char name[16];
    bool good;

    snprintf(name, sizeof name, "shard-%u", t->index);
    pthread_setname_np(pthread_self(), name);
    if (p->conf.pin)
        pin(t->index);
    good = t->state->running = open_here(t);
    if (!good)
        abandon(t);
    report(p, good, t->state->why);
    if (!good)
        return NULL;
    while (!t->state->ending)
        turn(t);
    close_here(t);
    return NULL;
}

/* --- questions ------------------------------------------------------------ */

bool thread_has_time(struct thread *t)
{
    t->looked_ns = clock_monotonic_ns();
    return t->looked_ns < t->slice_end_ns;
}

bool thread_short_of_memory(const struct thread *t)
{
    const struct process *p = t->process;

    return t->stats.buffered > p->conf.memory_max / p->thread_count;
}

struct thread *thread_of_hash(struct thread *t, uint64_t hash)
{
    return t->process->threads[(hash >> 32) % t->process->thread_count];
}
