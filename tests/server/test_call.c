/* Calls between threads, workers, and how users spread over shards and threads. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/shard.h"
#include "server/thread_state.h"
#include "tests/server/server_test.h"

static void three_threads(struct process_conf *conf)
{
    conf->threads = 3;
    conf->workers = 2;
    conf->workers_queue = 20;
}

/* --- calls ---------------------------------------------------------------- */

/* More than a queue holds, so that they overflow; each is answered once, in order. */
enum { CALLS = 2000, PEERS = 3 };

struct ask {
    struct call call;
    unsigned number;
    _Atomic unsigned runs, answers;
};

static struct ask asks[PEERS][PEERS][CALLS];
static _Atomic unsigned order_errors, all_answers;
static unsigned next_run[PEERS][PEERS], next_answer[PEERS][PEERS];

static void on_ask(struct thread *to, struct call *call)
{
    struct ask *a = container_of(call, struct ask, call);

    a->runs++;
    if (a->number != next_run[call->from->index][to->index]++)
        order_errors++;
    if (call->to != to)
        order_errors++;
    call_answer(call);
}

static void on_ask_done(struct thread *from, struct call *call)
{
    struct ask *a = container_of(call, struct ask, call);

    a->answers++;
    all_answers++;
    if (a->number != next_answer[from->index][call->to->index]++ || call->from != from)
        order_errors++;
}

static void send_all(struct thread *t, void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < CALLS; n++)
        for (unsigned to = 0; to < PEERS; to++) {
            struct ask *a = &asks[t->index][to][n];

            a->number = n;
            a->call.run = on_ask;
            a->call.done = on_ask_done;
            call_send(t, process_thread(t->process, to), &a->call);
        }
}

static void calls_arrive_once_and_in_order(void **state)
{
    struct process *p = server_begin(three_threads);

    (void)state;
    for (unsigned i = 0; i < PEERS; i++)
        process_run(p, i, send_all, NULL);
    assert_true(wait_for_count(&all_answers, PEERS * PEERS * CALLS));
    assert_int_equal(order_errors, 0);
    for (unsigned from = 0; from < PEERS; from++)
        for (unsigned to = 0; to < PEERS; to++)
            for (unsigned n = 0; n < CALLS; n++) {
                assert_int_equal(asks[from][to][n].runs, 1);
                assert_int_equal(asks[from][to][n].answers, 1);
            }
    server_end(p);
}

/* A call that wakes a sleeping thread, and its answer, take a moment, not a timeout. */
static _Atomic unsigned pings;
static struct call ping;

static void on_ping(struct thread *to, struct call *call)
{
    (void)to;
    call_answer(call);
}

static void on_pong(struct thread *from, struct call *call)
{
    if (++pings < 1000)
        call_send(from, process_thread(from->process, 1), call);
}

static void send_ping(struct thread *t, void *arg)
{
    (void)arg;
    ping = (struct call){.run = on_ping, .done = on_pong};
    call_send(t, process_thread(t->process, 1), &ping);
}

static void sleeping_threads_are_woken(void **state)
{
    struct process *p = server_begin(NULL);
    int64_t begin;

    (void)state;
    pings = 0;
    begin = clock_monotonic_ns();
    process_run(p, 0, send_ping, NULL);
    assert_true(wait_for_count(&pings, 1000));
    printf("call and answer: %ld us\n",
        (long)((clock_monotonic_ns() - begin) / 1000 / 1000));
    server_end(p);
}

/* Idle threads sleep: no turns without a reason. */
static void idle_threads_sleep(void **state)
{
    struct process *p = server_begin(NULL);
    struct timespec second = {1, 0};
    struct thread_stats before, after;

    (void)state;
    process_stats(p, 0, &before);
    nanosleep(&second, NULL);
    process_stats(p, 0, &after);
    assert_in_range(after.turns - before.turns, 1, 10);
    server_end(p);
}

/* That this process may use. */
static unsigned cores(void)
{
    cpu_set_t allowed;

    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return (unsigned)CPU_COUNT(&allowed);
}

static void spinning(struct process_conf *conf)
{
    conf->spin_us = 200;
}

static void spinning_threads_answer_and_sleep_too(void **state)
{
    struct process *p = server_begin(spinning);
    struct timespec second = {1, 0};
    struct thread_stats before, after;

    (void)state;
    pings = 0;
    process_run(p, 0, send_ping, NULL);
    assert_true(wait_for_count(&pings, 1000));
    nanosleep(&second, NULL);
    process_stats(p, 0, &before);
    nanosleep(&second, NULL);
    process_stats(p, 0, &after);
    assert_in_range(after.turns - before.turns, 1, 20000);
    assert_true(after.spun > 0 || cores() < process_threads(p));
    server_end(p);
}

static void crowded(struct process_conf *conf)
{
    conf->spin_us = 1000;
    conf->threads = cores() + 1;
}

/* More threads than cores: an empty turn of one would be taken from another. */
static void crowded_threads_do_not_spin(void **state)
{
    struct process *p = server_begin(crowded);
    struct thread_stats stats;
    uint64_t spun = 0;

    (void)state;
    for (unsigned n = 0; n < 100; n++)
        for (unsigned i = 0; i < process_threads(p); i++) {
            process_stats(p, i, &stats);
            spun += stats.spun;
        }
    assert_int_equal(spun, 0);
    server_end(p);
}

/* --- workers -------------------------------------------------------------- */

struct slow {
    struct job job;
    pthread_t worked_by, done_by;
};

static _Atomic unsigned jobs_done, jobs_refused;
static _Atomic bool jobs_started;
static struct slow slow[60];

/* No job ends before all have been started, however long that takes. */
static void work_slowly(struct job *job)
{
    struct timespec moment = {0, 2000000};

    container_of(job, struct slow, job)->worked_by = pthread_self();
    while (!jobs_started)
        nanosleep(&moment, NULL);
}

static void on_worked(struct job *job)
{
    container_of(job, struct slow, job)->done_by = pthread_self();
    jobs_done++;
}

static void start_jobs(struct thread *t, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 60; i++) {
        slow[i].job.work = work_slowly;
        slow[i].job.done = on_worked;
        if (!worker_start(t, &slow[i].job)) {
            jobs_refused++;
            slow[i].job.work = NULL;
        }
    }
    jobs_started = true;
}

static void workers_are_bounded_and_report_home(void **state)
{
    struct process *p = server_begin(three_threads);

    (void)state;
    process_run(p, 2, start_jobs, NULL);
    assert_true(wait_for_count(&jobs_done, 60 - jobs_refused));
    assert_in_range(jobs_refused, 38, 40); /* 20 wait, each worker may have taken one */
    for (unsigned i = 0; i < 60; i++) {
        if (!slow[i].job.work)
            continue;
        assert_true(pthread_equal(slow[i].done_by, process_thread(p, 2)->state->pthread));
        assert_false(pthread_equal(slow[i].worked_by, slow[i].done_by));
    }
    server_end(p);
}

/* --- slots ---------------------------------------------------------------- */

/* Where a user's mail is must never change: values of the first release. */
static void slots_are_fixed_for_ever(void **state)
{
    static const struct {
        struct slice user;
        unsigned slot;
    } cases[] = {
        {SI("anna@example.org"), 332}, {SI("bob@example.org"), 1891}, {SI("x@y"), 3533}};
    unsigned spread[16] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(data_slot(cases[i].user), cases[i].slot);
    for (int i = 0; i < 16000; i++) {
        char name[64];
        int n = snprintf(name, sizeof name, "user%d@example.org", i);

        spread[data_slot(slice_of(name, (size_t)n)) % 16]++;
    }
    for (int i = 0; i < 16; i++)
        assert_in_range(spread[i], 800, 1200);
}

static void owner_agrees_on_every_thread(struct thread *t, void *arg)
{
    struct thread **owners = arg;

    for (int i = 0; i < 100; i++) {
        char name[64];
        int n = snprintf(name, sizeof name, "user%d@example.org", i);
        struct slice user = slice_of(name, (size_t)n);
        struct thread *owner = thread_of_user(t, user);

        assert_ptr_equal(owner, thread_of_shard(t, shard_of_user(t, user)));
        if (owners[i])
            assert_ptr_equal(owner, owners[i]);
        owners[i] = owner;
    }
}

static void threads_agree_on_owners(void **state)
{
    struct process *p = server_begin(three_threads);
    struct thread *owners[100] = {0};

    (void)state;
    process_run_all(p, owner_agrees_on_every_thread, owners);
    server_end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_arrive_once_and_in_order),
        cmocka_unit_test(sleeping_threads_are_woken),
        cmocka_unit_test(idle_threads_sleep),
        cmocka_unit_test(spinning_threads_answer_and_sleep_too),
        cmocka_unit_test(crowded_threads_do_not_spin),
        cmocka_unit_test(workers_are_bounded_and_report_home),
        cmocka_unit_test(slots_are_fixed_for_ever),
        cmocka_unit_test(threads_agree_on_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
