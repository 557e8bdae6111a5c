/* How long a commit waits for others' records: sessions on a clock of their own, beside a
 * disk whose commits take a millisecond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/log_parts.h"
#include "tests/store/logkit.h"

enum { COMMIT_NS = 1000000, TICK_NS = 10000, SESSIONS_MAX = 64 };

struct session {
    struct log_waiter waiter;
    struct crowd *crowd;
    uint64_t next_ns; /* when it adds a record; UINT64_MAX: waits for its answer */
    uint64_t sent_ns;
    uint64_t answers, waited_ns;
};

struct crowd {
    struct kit *kit;
    struct session sessions[SESSIONS_MAX];
    unsigned count;
    uint64_t think_ns; /* between an answer and the next record, twice this at most */
    unsigned burst;    /* records at once, at most; but the first session, which comes
                        * back within a commit's time, adds one */
    uint64_t answers, waited_ns;
};

static uint64_t thinks(struct session *s)
{
    struct crowd *c = s->crowd;
    bool quick = c->burst && s == c->sessions;

    return c->kit->disk.now_ns +
        memdisk_draw(&c->kit->disk, quick ? COMMIT_NS : 2 * c->think_ns);
}

static unsigned records_of(const struct session *s)
{
    struct crowd *c = s->crowd;

    return c->burst && s != c->sessions
        ? 1 + (unsigned)memdisk_draw(&c->kit->disk, c->burst)
        : 1;
}

static void on_answer(struct log_waiter *w, enum status status)
{
    struct session *s = container_of(w, struct session, waiter);
    struct crowd *c = s->crowd;

    assert_int_equal(status, STATUS_OK);
    s->answers++;
    s->waited_ns += c->kit->disk.now_ns - s->sent_ns;
    c->answers++;
    c->waited_ns += c->kit->disk.now_ns - s->sent_ns;
    s->next_ns = thinks(s);
}

static bool land(struct memdisk *disk)
{
    for (unsigned i = 0; i < disk->flying_count; i++)
        if (disk->flying[i].due_ns <= disk->now_ns)
            return memdisk_step(disk);
    return false;
}

/* What is due now; a turn where anything was. */
static void tick(struct crowd *c)
{
    struct kit *k = c->kit;
    bool any = log_due_ns(k->log) <= k->disk.now_ns;

    while (land(&k->disk))
        any = true;
    for (unsigned i = 0; i < c->count; i++) {
        struct session *s = &c->sessions[i];

        if (s->next_ns > k->disk.now_ns)
            continue;
        any = true;
        s->sent_ns = k->disk.now_ns;
        s->next_ns = UINT64_MAX;
        for (unsigned n = records_of(s); n; n--)
            assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
        log_wait(k->log, &s->waiter);
    }
    if (any)
        log_turn(k->log);
    k->disk.now_ns += TICK_NS;
}

/* So many sessions until so many answers; the commits they took. */
static uint64_t work(struct crowd *c, struct kit *k, unsigned sessions, unsigned answers)
{
    uint64_t commits;

    k->disk.latency_min_ns = k->disk.latency_max_ns = COMMIT_NS;
    k->conf.segment_bytes = 4 << 20;
    kit_open_settled(k);
    kit_fill(k, 60, 100); /* so that it is known what a commit takes */
    commits = k->disk.calls[DISK_COMMIT];
    c->kit = k;
    c->count = sessions;
    for (unsigned i = 0; i < sessions; i++) {
        struct session *s = &c->sessions[i];

        *s = (struct session){.waiter.done = on_answer, .crowd = c};
        s->next_ns = thinks(s);
    }
    while (c->answers < answers)
        tick(c);
    for (unsigned i = 0; i < sessions; i++)
        if (c->sessions[i].next_ns != UINT64_MAX)
            c->sessions[i].next_ns = UINT64_MAX - 1;
    kit_settle(k);
    return k->disk.calls[DISK_COMMIT] - commits;
}

static uint64_t mean_of(const struct crowd *c)
{
    return c->waited_ns / c->answers;
}

/* The same sessions with and without waiting. */
static void both(void **state, unsigned sessions, uint64_t think_ns, struct crowd c[2],
    uint64_t commits[2])
{
    struct kit *k = *state;

    for (unsigned waits = 0; waits < 2; waits++) {
        kit_free(k);
        kit_init(k, 7);
        k->conf.commit_wait = waits ? 2 : 0;
        c[waits] = (struct crowd){.think_ns = think_ns};
        commits[waits] = work(&c[waits], k, sessions, 4000);
        kit_close(k);
    }
}

/* All of them ride in each, and wait no longer for it than if they did not. */
static void sessions_share_their_commits(void **state)
{
    static const unsigned counts[] = {2, 3, 5, 16, 64};
    struct crowd c[2];
    uint64_t commits[2];

    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        both(state, counts[i], 50000, c, commits);
        assert_in_range(commits[1] * counts[i], 4000, 4400);
        assert_true(5 * commits[1] < 4 * commits[0]);
        assert_true(mean_of(&c[1]) <= mean_of(&c[0]));
    }
}

static void a_lone_session_waits_for_nobody(void **state)
{
    struct crowd c[2];
    uint64_t commits[2];

    both(state, 1, 50000, c, commits);
    assert_int_equal(commits[0], commits[1]);
    assert_true(
        100 * mean_of(&c[1]) <= 101 * mean_of(&c[0])); /* once, for kit_fill()'s */
}

/* They come back too late for the batch that would wait for them. */
static void the_slow_are_not_waited_for(void **state)
{
    static const uint64_t thinking[] = {5000000, 20000000, 100000000};
    struct crowd c[2];
    uint64_t commits[2];

    for (unsigned i = 0; i < sizeof thinking / sizeof *thinking; i++) {
        both(state, 16, thinking[i], c, commits);
        assert_true(commits[1] <= commits[0]);
        assert_true(10 * mean_of(&c[1]) < 11 * mean_of(&c[0]));
    }
}

/* Copies and flags of others, of many records each, are no reason to wait for whoever
 * works beside them: that as many records come in time is chance. */
static void bursts_hold_nobody_up(void **state)
{
    struct kit *k = *state;
    uint64_t mean[2];

    for (unsigned waits = 0; waits < 2; waits++) {
        struct crowd c = {.think_ns = 60000000, .burst = 20};

        kit_free(k);
        kit_init(k, 7);
        k->conf.commit_wait = waits ? 2 : 0;
        work(&c, k, SESSIONS_MAX, 2500);
        kit_close(k);
        mean[waits] = c.sessions[0].waited_ns / c.sessions[0].answers;
    }
    assert_true(4 * mean[1] < 5 * mean[0]);
}

/* Lets a batch of `landed` records land, and says how long one of a single record waits
 * then. It goes when that is over. */
static uint64_t wait_after(struct kit *k, unsigned landed)
{
    uint64_t before, due;

    k->disk.now_ns += 10 * (uint64_t)COMMIT_NS; /* nobody is waited for any more */
    for (unsigned i = 0; i < landed; i++)
        assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    log_turn(k->log);
    assert_true(memdisk_step(&k->disk));
    before = k->disk.calls[DISK_COMMIT];
    assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    log_turn(k->log);
    due = log_due_ns(k->log) - k->disk.now_ns;
    k->disk.now_ns += due - 1;
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before);
    k->disk.now_ns++;
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 1);
    assert_int_equal(log_due_ns(k->log), UINT64_MAX);
    kit_settle(k);
    return due;
}

static void a_wait_ends(void **state)
{
    struct kit *k = *state;
    static const struct {
        unsigned landed, eighths;
    } cases[] = {{2, 2}, {4, 4}, {16, 16}, {24, 24}, {30, 24}, {60, 24}};

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_free(k);
        kit_init(k, 1);
        k->disk.latency_min_ns = k->disk.latency_max_ns = COMMIT_NS;
        k->conf.commit_wait = 3;
        kit_open_settled(k);
        kit_fill(k, 60, 100);
        kit_settle(k);
        assert_in_range(wait_after(k, cases[i].landed), cases[i].eighths * COMMIT_NS / 9,
            cases[i].eighths * COMMIT_NS / 7);
        kit_close(k);
    }
}

static void one_slow_commit_makes_no_long_wait(void **state)
{
    struct kit *k = *state;

    k->disk.latency_min_ns = k->disk.latency_max_ns = COMMIT_NS;
    k->conf.commit_wait = 2;
    kit_open_settled(k);
    kit_fill(k, 60, 100);
    k->disk.latency_min_ns = k->disk.latency_max_ns = 1000 * (uint64_t)COMMIT_NS;
    k->disk.now_ns += 10 * (uint64_t)COMMIT_NS;
    kit_fill(k, 1, 100);
    k->disk.latency_min_ns = k->disk.latency_max_ns = COMMIT_NS;
    assert_in_range(wait_after(k, 16), 2 * COMMIT_NS - COMMIT_NS / 8, 3 * COMMIT_NS);
    kit_close(k);
}

/* It is known what a commit takes, and nobody is waited for any more. */
static void open_at_rest(struct kit *k)
{
    k->disk.latency_min_ns = k->disk.latency_max_ns = COMMIT_NS;
    k->conf.commit_wait = 2;
    kit_open_settled(k);
    kit_fill(k, 60, 100);
    k->disk.now_ns += 10 * (uint64_t)COMMIT_NS;
}

/* So many that more would not make a commit cheaper for any of them. */
static void a_crowd_does_not_wait_for_all(void **state)
{
    struct kit *k = *state;
    uint64_t before;

    open_at_rest(k);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(kit_add(k, LOG_GROW, 40), STATUS_OK);
    log_turn(k->log);
    assert_true(memdisk_step(&k->disk));
    before = k->disk.calls[DISK_COMMIT];
    for (unsigned i = 0; i < 64; i++) {
        log_turn(k->log);
        assert_int_equal(k->disk.calls[DISK_COMMIT], before);
        assert_int_equal(kit_add(k, LOG_GROW, 40), STATUS_OK);
    }
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 1);
    kit_close(k);
}

static void who_comes_last_sets_it_off(void **state)
{
    struct kit *k = *state;
    uint64_t before;

    open_at_rest(k);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    log_turn(k->log);
    for (unsigned i = 0; i < 2; i++) /* gather meanwhile */
        assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    assert_true(memdisk_step(&k->disk));
    before = k->disk.calls[DISK_COMMIT];
    for (unsigned i = 0; i < 3; i++) {
        log_turn(k->log);
        assert_int_equal(k->disk.calls[DISK_COMMIT], before);
        assert_int_equal(kit_add(k, LOG_GROW, 100), STATUS_OK);
    }
    log_turn(k->log);
    assert_int_equal(k->disk.calls[DISK_COMMIT], before + 1);
    kit_close(k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_start, kit_stop)
    const struct CMUnitTest tests[] = {
        T(sessions_share_their_commits),
        T(a_lone_session_waits_for_nobody),
        T(the_slow_are_not_waited_for),
        T(bursts_hold_nobody_up),
        T(a_wait_ends),
        T(one_slow_commit_makes_no_long_wait),
        T(a_crowd_does_not_wait_for_all),
        T(who_comes_last_sets_it_off),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
