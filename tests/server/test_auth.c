/* test_auth.c -- password checks and logins on two threads that the test turns by hand:
 * calls, timers and workers are its own, linked in place of the server's. */
#include <crypt.h>
#include <sys/socket.h>

#include "tests/server/admin_support.h"

#include "server/admin.h"
#include "server/auth.h"
#include "server/password.h"
#include "server/rand.h"

#define MS 1000000LL

static struct thread threads[2];
static struct config *config;
static struct list calls, timers; /* struct call, struct timer */
static struct job *jobs[64];
static unsigned job_count, job_max;
static unsigned hashes; /* done so far */

/* --- the seam ---------------------------------------------------------- */

struct thread *thread_of_user(struct thread *t, struct slice user)
{
    (void)t;
    return &threads[user.len > 0 && user.at[0] >= 'm'];
}

struct thread *thread_of_hash(struct thread *t, uint64_t hash)
{
    (void)t;
    return &threads[hash & 1];
}

void call_send(struct thread *from, struct thread *to, struct call *call)
{
    call->from = from;
    call->to = to;
    call->answered = false;
    list_add(&calls, &call->link);
}

void call_answer(struct call *call)
{
    assert_true(call->done && !call->answered);
    call->answered = true;
    list_add(&calls, &call->link);
}

void timer_set(
    struct thread *t, struct timer *timer, int64_t at_ns, void (*due)(struct timer *))
{
    (void)t;
    timer_clear(timer);
    timer->at_ns = at_ns;
    timer->due = due;
    list_add(&timers, &timer->link);
}

void timer_clear(struct timer *timer)
{
    list_remove(&timer->link);
}

bool worker_start(struct thread *from, struct job *job)
{
    job->from = from;
    if (job_count >= job_max)
        return false;
    jobs[job_count++] = job;
    return true;
}

/* --- turning ----------------------------------------------------------- */

static void run_calls(void)
{
    struct list *link;

    while ((link = list_pop(&calls))) {
        struct call *call = container_of(link, struct call, link);

        if (call->answered)
            call->done(call->from, call);
        else
            call->run(call->to, call);
    }
}

/* One job of a worker; false: there is none. */
static bool run_job(void)
{
    struct job *job = jobs[0];

    if (job_count == 0)
        return false;
    memmove(jobs, jobs + 1, --job_count * sizeof *jobs);
    hashes++;
    job->work(job);
    job->done(job);
    run_calls();
    return true;
}

static void pass(int64_t ms)
{
    int64_t until = threads[0].now_ns + ms * MS;

    run_calls();
    for (;;) {
        struct timer *first = NULL;

        list_each(link, &timers) {
            struct timer *timer = container_of(link, struct timer, link);

            if (timer->at_ns <= until && (!first || timer->at_ns < first->at_ns))
                first = timer;
        }
        if (!first)
            break;
        if (first->at_ns > threads[0].now_ns)
            threads[0].now_ns = threads[1].now_ns = first->at_ns;
        timer_clear(first);
        first->due(first);
        run_calls();
    }
    threads[0].now_ns = threads[1].now_ns = until;
}

/* --- a peer ------------------------------------------------------------ */

struct peer {
    struct conn conn;
    struct auth auth;
    struct login login;
    unsigned answers, ends;
};

static void on_done(struct auth *auth)
{
    container_of(auth, struct peer, auth)->answers++;
}

static void on_end(struct login *login)
{
    container_of(login, struct peer, login)->ends++;
}

static struct peer peer_from(uint8_t last)
{
    return (struct peer){
        .conn = {.thread = &threads[0],
            .peer = {.family = AF_INET, .bytes = {[10] = 0xff, 0xff, 192, 0, 2, last}}}};
}

static void start(struct peer *p, const char *user, const char *password)
{
    p->answers = 0;
    auth_start(&p->auth, &p->conn, slice_str(user), slice_str(password), on_done);
    assert_int_equal(p->answers, 0); /* never from inside */
}

/* To the end, workers and time included. */
static enum auth_result check(struct peer *p, const char *user, const char *password)
{
    start(p, user, password);
    for (int i = 0; p->answers == 0 && i < 2000; i++) {
        pass(10);
        run_job();
    }
    assert_int_equal(p->answers, 1);
    return p->auth.result;
}

static void log_out(struct peer *p)
{
    login_end(&p->login, p->conn.thread);
    run_calls();
}

static bool log_in(struct peer *p, const char *user, const char *password)
{
    if (check(p, user, password) != AUTH_OK)
        return false;
    login_begin(&p->login, &p->auth);
    assert_true(login_stay(&p->login, &p->conn, on_end));
    return true;
}

/* --- accounts ---------------------------------------------------------- */

static char users_text[4096];
static struct accounts *accounts;

static const char *hash_of(const char *password)
{
    static struct crypt_data several[4]; /* one line of the file takes a few */
    static unsigned next;
    struct crypt_data *data = &several[next++ % 4];
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];

    assert_non_null(crypt_gensalt_rn("$5$", 1000, NULL, 0, salt, sizeof salt));
    return crypt_r(password, salt, data);
}

static void swap(const char *users)
{
    struct told told;
    struct accounts *fresh =
        accounts_with(config, slice_str(users), S(""), accounts, &told);

    assert_non_null(fresh);
    admin_swap(&threads[0], fresh);
    admin_swap(&threads[1], fresh);
    accounts_drop(accounts);
    accounts = fresh;
    pass(50);
}

static int open_all(void **state)
{
    struct told told;

    (void)state;
    list_init(&calls);
    list_init(&timers);
    job_count = hashes = 0;
    job_max = 64;
    config = config_with("domain x.test\nmax-connections-user 3\nmax-hashes 4\n"
                         "unlimited-from 198.51.100.0/24\n");
    snprintf(users_text, sizeof users_text,
        "anna:%s\nzoe:%s\nlocked:!\nnear:%s::::::allow_nets=10.0.0.0/8\n",
        hash_of("secret"), hash_of("zs"), hash_of("secret"));
    accounts = accounts_with(config, slice_str(users_text), S(""), NULL, &told);
    if (!accounts)
        return -1;
    for (unsigned i = 0; i < 2; i++) {
        threads[i] =
            (struct thread){.index = i, .config = config, .now_ns = 1000 * 1000 * MS};
        if (!admin_open(&threads[i]))
            return -1;
        admin_swap(&threads[i], accounts);
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    run_calls();
    for (unsigned i = 0; i < 2; i++)
        admin_close(&threads[i]);
    accounts_drop(accounts);
    config_free(config);
    accounts = NULL;
    return 0;
}

/* --- answers ----------------------------------------------------------- */

static void test_right_password(void **state)
{
    struct peer p = peer_from(1);

    (void)state;
    assert_true(log_in(&p, "ANNA", "secret"));
    assert_string_equal(p.auth.user, "anna@x.test");
    log_out(&p);
    assert_true(log_in(&p, "zoe@x.test", "zs")); /* owned by the other thread */
    log_out(&p);
}

static void test_remembered(void **state)
{
    struct peer p = peer_from(1);

    (void)state;
    assert_true(log_in(&p, "anna", "secret"));
    log_out(&p);
    assert_int_equal(hashes, 1);
    assert_true(log_in(&p, "anna", "secret"));
    log_out(&p);
    assert_int_equal(hashes, 1);
    assert_int_equal(check(&p, "anna", "wrong"), AUTH_FAILED);
    assert_int_equal(hashes, 2);
    pass(6 * 60 * 1000); /* --auth-cache 5m */
    assert_true(log_in(&p, "anna", "secret"));
    log_out(&p);
    assert_int_equal(hashes, 3);
}

/* How long a check takes that nobody else delays, in ms, by steps of 1. */
static int64_t time_of(uint8_t last, const char *user, const char *password)
{
    struct peer p = peer_from(last);
    int64_t from = threads[0].now_ns;

    start(&p, user, password);
    while (p.answers == 0) {
        pass(1);
        run_job();
    }
    assert_int_equal(p.auth.result, AUTH_FAILED);
    return (threads[0].now_ns - from) / MS;
}

static void test_failures_look_the_same(void **state)
{
    static const char *const names[] = {"anna", "zoe", "nobody", "locked", "near",
        "nobody@else.test", "", "a b", "../../etc/passwd", "%n%s"};
    int64_t wanted = time_of(100, "anna", "wrong");

    (void)state;
    assert_in_range(wanted, 495, 505);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t took = time_of((uint8_t)i, names[i], "wrong");

        if (took != wanted)
            fail_msg(
                "%s: %lld instead of %lld", names[i], (long long)took, (long long)wanted);
    }
}

/* The hash for a name that does not exist is one of a real account's kind. */
static void test_unknown_user_costs_a_hash(void **state)
{
    static const char *const names[] = {"nobody1", "nobody2", "nobody3", "nobody4"};
    unsigned costly = 0;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        unsigned before = hashes;

        time_of(1, names[i], "wrong");
        costly += hashes - before;
    }
    assert_true(costly >= 2); /* but for those that stand for "locked" */
}

static void test_each_failure_costs_more(void **state)
{
    int64_t first = time_of(1, "anna", "wrong"), second = time_of(1, "nobody", "wrong"),
            last = 0;

    (void)state;
    assert_true(second > first);
    assert_true(second - first < 60); /* two in a row can't be told apart */
    for (int i = 0; i < 300; i++)
        last = time_of(1, "anna", "wrong");
    assert_in_range(last, 5400, 5600);                 /* and no more than that */
    assert_true(time_of(2, "anna", "wrong") == first); /* others pay nothing */
}

/* Whoever guesses waits before his guess is even looked at. */
static void test_guesser_waits_before_the_hash(void **state)
{
    struct peer p = peer_from(1);
    unsigned before;

    (void)state;
    for (int i = 0; i < 40; i++)
        time_of(1, "anna", "wrong");
    before = hashes;
    start(&p, "anna", "wrong");
    pass(900);
    assert_int_equal(job_count, 0);
    assert_int_equal(hashes, before);
    pass(200);
    assert_true(run_job());
    pass(600);
    assert_int_equal(p.answers, 1);
}

static void test_late_hash_ends_at_a_whole_step(void **state)
{
    struct peer p = peer_from(1);
    int64_t from = threads[0].now_ns;

    (void)state;
    start(&p, "anna", "wrong");
    pass(730);
    assert_true(run_job());
    pass(69);
    assert_int_equal(p.answers, 0);
    pass(1);
    assert_int_equal(p.answers, 1);
    assert_int_equal((threads[0].now_ns - from) / MS, 800);
}

static void test_unlimited_address(void **state)
{
    struct peer p = peer_from(1), many[10];
    int64_t from;

    (void)state;
    memcpy(p.conn.peer.bytes + 12, (uint8_t[]){198, 51, 100, 7}, 4);
    for (int i = 0; i < 20; i++)
        check(&p, "anna", "wrong");
    from = threads[0].now_ns;
    start(&p, "anna", "wrong");
    while (p.answers == 0) {
        pass(1);
        run_job();
    }
    assert_in_range((threads[0].now_ns - from) / MS, 495, 505);
    for (int i = 0; i < 10; i++) {
        many[i] = p;
        assert_true(log_in(&many[i], "anna", "secret"));
    }
    for (int i = 0; i < 10; i++)
        log_out(&many[i]);
}

static void test_allow_nets(void **state)
{
    struct peer p = peer_from(1);

    (void)state;
    assert_int_equal(check(&p, "near", "secret"), AUTH_FAILED);
    memcpy(p.conn.peer.bytes + 12, (uint8_t[]){10, 0, 0, 1}, 4);
    assert_true(log_in(&p, "near", "secret"));
    log_out(&p);
}

/* --- bounds ------------------------------------------------------------ */

static void test_queue_is_bounded(void **state)
{
    struct peer p[12];
    unsigned busy = 0;

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        p[i] = peer_from((uint8_t)i);
        start(&p[i], "anna", "wrong");
        pass(0);
        busy += p[i].answers && p[i].auth.result == AUTH_BUSY;
    }
    assert_int_equal(busy, 12 - 4 - 2); /* four wait, two are being hashed */
    assert_int_equal(job_count, 2);
    while (run_job())
        ;
    pass(1000);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(p[i].answers, 1);
}

/* Those who have not failed go first, however long the others have waited. */
static void test_good_addresses_go_first(void **state)
{
    struct peer bad[3], good = peer_from(9), hold[2];

    (void)state;
    time_of(1, "anna", "wrong");
    for (unsigned i = 0; i < 2; i++) {
        hold[i] = peer_from((uint8_t)(20 + i));
        start(&hold[i], "zoe", "wrong");
    }
    pass(0);
    for (unsigned i = 0; i < 3; i++) {
        bad[i] = peer_from(1);
        start(&bad[i], "anna", "wrong");
    }
    pass(100);
    start(&good, "anna", "secret");
    pass(0);
    assert_int_equal(job_count, 2);
    run_job();
    run_job(); /* those that were there; now two more are at work */
    assert_true(run_job());
    assert_int_equal(good.answers, 1);
    assert_int_equal(good.auth.result, AUTH_OK);
    login_begin(&good.login, &good.auth);
    log_out(&good);
    while (run_job())
        ;
    pass(2000);
}

static void test_full_pool_is_tried_again(void **state)
{
    struct peer p = peer_from(1);

    (void)state;
    job_max = 0;
    start(&p, "anna", "secret");
    pass(100);
    assert_int_equal(p.answers, 0);
    job_max = 64;
    pass(100);
    assert_true(run_job());
    assert_int_equal(p.auth.result, AUTH_OK);
    login_begin(&p.login, &p.auth);
    log_out(&p);
}

static void test_connections_of_a_user(void **state)
{
    struct peer p[4];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        p[i] = peer_from((uint8_t)i);
        assert_true(log_in(&p[i], "zoe", "zs"));
    }
    p[3] = peer_from(3);
    assert_int_equal(check(&p[3], "zoe", "zs"), AUTH_TOO_MANY);
    assert_true(log_in(&p[3], "anna", "secret"));
    log_out(&p[3]);
    log_out(&p[1]);
    assert_true(log_in(&p[3], "zoe", "zs"));
    log_out(&p[0]);
    log_out(&p[2]);
    log_out(&p[3]);
    log_out(&p[3]); /* twice is harmless */
}

/* --- accounts that change ---------------------------------------------- */

static void test_changed_account_ends_its_logins(void **state)
{
    struct peer anna = peer_from(1), zoe = peer_from(2);
    char users[4096];

    (void)state;
    assert_true(log_in(&anna, "anna", "secret"));
    assert_true(log_in(&zoe, "zoe", "zs"));
    swap(users_text);
    assert_int_equal(anna.ends, 0);
    snprintf(
        users, sizeof users, "anna:%s\n%s", hash_of("new"), strchr(users_text, '\n') + 1);
    swap(users);
    assert_int_equal(anna.ends, 1);
    assert_int_equal(zoe.ends, 0);
    swap("anna:!\n");
    assert_int_equal(anna.ends, 1); /* told once */
    assert_int_equal(zoe.ends, 1);
    log_out(&anna);
    log_out(&zoe);
    assert_int_equal(check(&anna, "anna", "secret"), AUTH_FAILED);
}

/* The password changed between the check and the arrival at the owner's thread. */
static void test_changed_on_the_way(void **state)
{
    struct peer p = peer_from(1);

    (void)state;
    assert_int_equal(check(&p, "zoe", "zs"), AUTH_OK);
    login_begin(&p.login, &p.auth);
    swap("zoe:{PLAIN}other\n");
    p.conn.thread = &threads[1];
    assert_false(login_stay(&p.login, &p.conn, on_end));
    swap("zoe:{PLAIN}third\n");
    assert_int_equal(p.ends, 0);
    log_out(&p);
}

/* A remembered password counts only for the field it fitted. */
static void test_memory_ends_with_the_password(void **state)
{
    struct peer p = peer_from(1);
    char users[1024];

    (void)state;
    assert_true(log_in(&p, "anna", "secret"));
    log_out(&p);
    snprintf(users, sizeof users, "anna:%s\n", hash_of("other"));
    swap(users);
    assert_int_equal(check(&p, "anna", "secret"), AUTH_FAILED);
    assert_true(log_in(&p, "anna", "other"));
    log_out(&p);
}

static void test_many_logins_are_swept_in_slices(void **state)
{
    enum { MANY = 1000 };
    struct peer *p = calloc(MANY, sizeof *p);
    unsigned ended = 0;

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        p[i] = peer_from(1);
        memcpy(p[i].conn.peer.bytes + 12, (uint8_t[]){198, 51, 100, 7}, 4);
        assert_true(log_in(&p[i], "anna", "secret"));
    }
    swap("zoe:!\n");
    for (unsigned i = 0; i < MANY; i++) {
        ended += p[i].ends;
        log_out(&p[i]);
    }
    assert_int_equal(ended, MANY);
    free(p);
}

/* --- the end ------------------------------------------------------------ */

static void test_stopping_answers_all(void **state)
{
    struct peer waits[4], fails = peer_from(90);

    (void)state;
    start(&fails, "anna", "wrong");
    pass(0);
    run_job(); /* waits for its deadline now */
    for (unsigned i = 0; i < 4; i++) {
        waits[i] = peer_from((uint8_t)i);
        start(&waits[i], "anna", "secret");
    }
    pass(0);
    admin_stopping(&threads[0]);
    run_calls();
    assert_int_equal(fails.auth.result, AUTH_BUSY);
    while (run_job()) /* those that a worker had already */
        ;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(waits[i].answers, 1);
        assert_int_equal(waits[i].auth.result, AUTH_BUSY);
    }
}

static void test_hostile_lengths(void **state)
{
    char name[2000], password[2000];
    struct peer p = peer_from(1);

    (void)state;
    memset(name, 'u', sizeof name);
    memset(password, 'p', sizeof password);
    name[sizeof name - 1] = password[sizeof password - 1] = 0;
    assert_int_equal(check(&p, name, "pw"), AUTH_FAILED);
    assert_int_equal(check(&p, "anna", password), AUTH_FAILED);
    assert_int_equal(check(&p, "", ""), AUTH_FAILED);
    auth_start(&p.auth, &p.conn, S("anna\0x"), S("secret"), on_done);
    p.answers = 0;
    pass(2000);
    while (run_job())
        ;
    pass(2000);
    assert_int_equal(p.answers, 1);
    assert_int_equal(p.auth.result, AUTH_FAILED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(test_right_password),
        TEST(test_remembered),
        TEST(test_failures_look_the_same),
        TEST(test_unknown_user_costs_a_hash),
        TEST(test_each_failure_costs_more),
        TEST(test_guesser_waits_before_the_hash),
        TEST(test_late_hash_ends_at_a_whole_step),
        TEST(test_unlimited_address),
        TEST(test_allow_nets),
        TEST(test_queue_is_bounded),
        TEST(test_good_addresses_go_first),
        TEST(test_full_pool_is_tried_again),
        TEST(test_connections_of_a_user),
        TEST(test_changed_account_ends_its_logins),
        TEST(test_changed_on_the_way),
        TEST(test_memory_ends_with_the_password),
        TEST(test_many_logins_are_swept_in_slices),
        TEST(test_stopping_answers_all),
        TEST(test_hostile_lengths),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
