/* Timers: never early, at most one tick late, cleared and set from anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/thread_state.h"

enum { TICK_NS = 1 << 23, MS = 1000000 };

struct probe {
    struct timer timer;
    struct thread *thread;
    struct probe *other;
    int64_t asked_ns, fired_ns;
    int fired;
    bool again, clears_other;
};

static void on_due(struct timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);

    p->fired++;
    p->fired_ns = p->thread->now_ns;
    if (p->clears_other)
        timer_clear(&p->other->timer);
    if (p->again)
        timer_set(p->thread, timer, p->thread->now_ns + 100 * MS, on_due);
}

static struct thread thread_at(int64_t now_ns)
{
    struct thread t = {.now_ns = now_ns};

    t.timers = timers_open(now_ns);
    assert_non_null(t.timers);
    return t;
}

static void set(struct thread *t, struct probe *p, int64_t at_ns)
{
    p->thread = t;
    p->asked_ns = at_ns;
    timer_set(t, &p->timer, at_ns, on_due);
}

/* Goes on the way the loop does: to the next deadline, or a little on. */
static void run_to(struct thread *t, int64_t end_ns)
{
    while (t->now_ns < end_ns) {
        int64_t next = timers_next_ns(t->timers);

        if (next > t->now_ns)
            t->now_ns = next < end_ns ? next : end_ns;
        while (timers_run(t)) {}
    }
}

static void fires_on_time_at_any_distance(void **state)
{
    static const int64_t distances[] = {0, 1, MS, 8 * MS, 9 * MS, 100 * MS, 536 * MS,
        537 * MS, 1000LL * MS, 34000LL * MS, 36000LL * MS, 300000LL * MS, 1800000LL * MS,
        86400000LL * MS, 30LL * 86400000 * MS};
    static const int64_t starts[] = {
        1, 5LL * TICK_NS, 64LL * TICK_NS - 1, 4096LL * TICK_NS - 1, 123456789012345};

    (void)state;
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
            struct thread t = thread_at(starts[s]);
            struct probe p = {0};

            set(&t, &p, starts[s] + distances[d]);
            run_to(&t, starts[s] + distances[d] + 10 * TICK_NS);
            assert_int_equal(p.fired, 1);
            assert_true(p.fired_ns >= p.asked_ns);
            assert_true(p.fired_ns <= p.asked_ns + TICK_NS);
            assert_true(timers_next_ns(t.timers) == INT64_MAX);
            timers_close(t.timers);
        }
}

static void past_deadlines_fire_in_the_next_run(void **state)
{
    struct thread t = thread_at(1000LL * MS);
    struct probe p = {0};

    (void)state;
    set(&t, &p, 1);
    assert_int_equal(p.fired, 0);
    assert_int_equal(timers_next_ns(t.timers), 0);
    timers_run(&t);
    assert_int_equal(p.fired, 1);
    timers_close(t.timers);
}

static void random_timers_fire_once_unless_cleared(void **state)
{
    enum { COUNT = 5000 };
    struct probe *p = calloc(COUNT, sizeof *p);
    struct thread t = thread_at(77777777);

    (void)state;
    srand(7);
    for (int i = 0; i < COUNT; i++)
        set(&t, &p[i], t.now_ns + (int64_t)rand() % (100000LL * MS));
    for (int step = 0; step < 2000; step++) {
        int i = rand() % COUNT;

        if (step % 3 == 0) {
            timer_clear(&p[i].timer);
            if (!p[i].fired)
                p[i].fired = -1;
        } else if (!p[i].fired) {
            set(&t, &p[i], t.now_ns + (int64_t)rand() % (50000LL * MS));
        }
        run_to(&t, t.now_ns + rand() % (20 * MS));
    }
    run_to(&t, t.now_ns + 200000LL * MS);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(abs(p[i].fired), 1);
        if (p[i].fired == 1)
            assert_true(p[i].fired_ns >= p[i].asked_ns &&
                p[i].fired_ns <= p[i].asked_ns + 21 * MS);
    }
    timers_close(t.timers);
    free(p);
}

static void callbacks_may_set_and_clear(void **state)
{
    struct thread t = thread_at(5);
    struct probe first = {.clears_other = true}, second = {0}, again = {.again = true};

    (void)state;
    first.other = &second;
    set(&t, &first, 50 * MS);
    set(&t, &second, 50 * MS);
    set(&t, &again, 50 * MS);
    run_to(&t, 1100LL * MS);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
    assert_in_range(again.fired, 9, 11);
    timers_close(t.timers);
}

/* Many at once are run in portions, so that other work has its turn. */
static void a_flood_is_run_in_portions(void **state)
{
    enum { COUNT = 1000 };
    struct probe *p = calloc(COUNT, sizeof *p);
    struct thread t = thread_at(5);
    int runs = 1, fired = 0;

    (void)state;
    for (int i = 0; i < COUNT; i++)
        set(&t, &p[i], 100 * MS);
    t.now_ns = 200 * MS;
    while (timers_run(&t))
        runs++;
    for (int i = 0; i < COUNT; i++)
        fired += p[i].fired;
    assert_int_equal(fired, COUNT);
    assert_true(runs > 2);
    timers_close(t.timers);
    free(p);
}

/* As many as a long queue has, with deadlines far away that share a slot: no turn moves
 * them all, whichever of them are cleared meanwhile, and each is on time. */
static void a_crowd_moves_in_portions(void **state)
{
    enum { COUNT = 20000 };
    const int64_t far = 5 * 86400000LL * MS;
    struct probe *p = calloc(COUNT, sizeof *p);
    struct thread t = thread_at(5);
    int64_t reached;
    int runs = 0;

    (void)state;
    for (int i = 0; i < COUNT; i++)
        set(&t, &p[i], far + i % 100 * 100LL * MS);
    reached = timers_next_ns(t.timers);
    assert_true(reached > 0 && reached <= far);
    t.now_ns = reached;
    for (bool more = true; more; runs++) {
        more = timers_run(&t);
        assert_int_equal(timers_next_ns(t.timers) == 0, more);
        timer_clear(&p[COUNT - 1 - runs].timer);
    }
    assert_true(runs > 10);
    run_to(&t, far + 20000LL * MS);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(p[i].fired, i < COUNT - runs);
        assert_true(!p[i].fired || p[i].fired_ns >= p[i].asked_ns);
        assert_true(!p[i].fired || p[i].fired_ns <= p[i].asked_ns + TICK_NS);
    }
    timers_close(t.timers);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_on_time_at_any_distance),
        cmocka_unit_test(past_deadlines_fire_in_the_next_run),
        cmocka_unit_test(random_timers_fire_once_unless_cleared),
        cmocka_unit_test(callbacks_may_set_and_clear),
        cmocka_unit_test(a_flood_is_run_in_portions),
        cmocka_unit_test(a_crowd_moves_in_portions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
