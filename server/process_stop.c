/* process_stop.c -- the way down: nothing new is accepted, sessions say their goodbye,
 * stores become durable, threads end. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/clock.h"
#include "server/conn_state.h"
#include "server/listen.h"
#include "server/shard.h"
#include "server/thread_state.h"
#include "server/tls.h"

enum {
    ABORT_S = 3,       /* for aborted connections to land */
    QUIET_ROUNDS = 3,  /* looks without a call under way before threads end */
    POLL_NS = 2000000, /* between two looks of the control thread */
};

static void begin_stop(struct thread *t, void *arg)
{
    (void)arg;
    t->stopping = true;
    if (t->process->conf.thread_stopping)
        t->process->conf.thread_stopping(t);
    listen_stop(t);
    conns_stop(t);
}

static void abort_conns(struct thread *t, void *arg)
{
    (void)arg;
    conns_abort(t);
}

static void look_drained(struct thread *t, void *arg)
{
    bool *good = arg;

    *good &= listen_stopped(t) && t->stats.connections == 0 &&
        (!t->process->conf.thread_drained || t->process->conf.thread_drained(t));
}

static void look_quiet(struct thread *t, void *arg)
{
    bool *good = arg;

    *good &= !calls_waiting(t) && !t->state->called[0];
}

static void begin_stop_shards(struct thread *t, void *arg)
{
    (void)arg;
    shards_stop(t);
}

static void look_stopped(struct thread *t, void *arg)
{
    bool *good = arg;

    *good &= shards_stopped(t);
}

static void close_shards(struct thread *t, void *arg)
{
    bool *good = arg;

    *good &= shards_close(t);
}

static void end_thread(struct thread *t, void *arg)
{
    (void)arg;
    t->state->ending = true;
}

/* Asks all threads until all say yes; false after `seconds` (0: never). */
static bool wait_until(struct process *p, thread_fn *look, unsigned seconds)
{
    int64_t end = clock_monotonic_ns() + (int64_t)seconds * 1000000000;

    for (;;) {
        struct timespec moment = {0, POLL_NS};
        bool good = true;

        process_run_all(p, look, &good);
        if (good)
            return true;
        if (seconds && clock_monotonic_ns() > end)
            return false;
        nanosleep(&moment, NULL);
    }
}

static void drain(struct process *p)
{
    process_run_parallel(p, begin_stop, NULL);
    if (wait_until(p, look_drained, p->conf.drain_s))
        return;
    process_run_parallel(p, abort_conns, NULL);
    wait_until(p, look_drained, ABORT_S);
}

void process_end_threads(struct process *p)
{
    for (unsigned i = 0; i < p->started; i++)
        if (p->threads[i]->state->running)
            process_run(p, i, end_thread, NULL);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i]->state->pthread, NULL);
    p->started = 0;
}

static void free_thread(struct thread *t)
{
    listen_free(t);
    pthread_mutex_destroy(&t->state->inbox.lock);
    free(t->state->in);
    free(t->state);
    free(t);
}

void process_free(struct process *p)
{
    if (p->workers)
        workers_close(p->workers);
    if (p->disk_workers)
        workers_close(p->disk_workers);
    data_close(p->folder);
    for (unsigned i = 0; i < p->thread_count; i++)
        free_thread(p->threads[i]);
    pthread_cond_destroy(&p->landed);
    pthread_mutex_destroy(&p->lock);
    tls_keys_forget();
    free(p);
}

bool process_stop(struct process *p)
{
    bool good = true;

    drain(p);
    workers_close(p->workers); /* what sessions still wait for comes back */
    p->workers = NULL;
    for (unsigned i = 0; i < QUIET_ROUNDS; i++)
        wait_until(p, look_quiet, ABORT_S);
    process_run_parallel(p, begin_stop_shards, NULL);
    wait_until(p, look_stopped, 0);
    process_run_all(p, close_shards, &good);
    process_end_threads(p);
    process_free(p);
    return good;
}
