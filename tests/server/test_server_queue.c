/* The queue in a played world: retries, rests, clocks that jump, a hundred thousand for a
 * dead host, commits that fail. */
#include <stdio.h>

#include "tests/server/queue_fake.h"

static int set_up(void **state)
{
    (void)state;
    world_begin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_end();
    return 0;
}

static const char *busy(const char *rcpt, unsigned nth)
{
    (void)rcpt;
    (void)nth;
    return "450 4.2.1 busy";
}

static const char *by_name(const char *rcpt, unsigned nth)
{
    (void)nth;
    return strncmp(rcpt, "no", 2) == 0 ? "550 5.1.1 unknown"
        : strncmp(rcpt, "la", 2) == 0  ? "450 4.2.1 busy"
                                       : NULL;
}

static unsigned count_of(const char *in, size_t len, const char *what)
{
    unsigned n = 0;

    for (const char *at = in;
         (at = memmem(at, (size_t)(in + len - at), what, strlen(what))); at++)
        n++;
    return n;
}

/* --- answers ------------------------------------------------------------- */

static void what_is_good_is_gone(void **state)
{
    static const char *const rcpts[] = {"a@x.test", "b@y.test", "c@x.test"};
    uint64_t id;

    (void)state;
    open_queues();
    id = put_message(0, "u0@home.test", rcpts, 3, "", 0);
    settle_world();
    assert_false(is_stored(id));
    assert_int_equal(domain_at("x.test")->messages, 1);
    assert_int_equal(domain_at("y.test")->messages, 1);
    assert_int_equal(deliveries, 0);
    assert_int_equal(threads[0].queue->counts.entries, 0);
    pass(2); /* sessions end when nothing comes */
    assert_int_equal(threads[0].queue->counts.destinations, 0);
    assert_int_equal(threads[0].queue->counts.sessions, 0);
    assert_int_equal(threads[0].queue->counts.bytes, 0);
}

static void what_is_there_at_the_start_goes_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++)
        put_one(i % 2, "a@x.test");
    open_queues();
    assert_int_equal(stored_count(), 0);
    assert_int_equal(domain_at("x.test")->messages, 50);
}

static void one_report_for_an_attempt(void **state)
{
    static const char *const rcpts[] = {
        "no1@x.test", "a@x.test", "no2@x.test", "later@x.test", "no3@x.test"};
    uint64_t id;

    (void)state;
    domain_at("x.test")->answer = by_name;
    open_queues();
    id = put_message(0, "u0@home.test", rcpts, 5, "", 0);
    settle_world();
    assert_int_equal(deliveries, 1);
    assert_int_equal(count_of(delivered, delivered_len, "Action: failed"), 3);
    assert_int_equal(state_of_entry(id)->rcpts[0].fate, QUEUE_FAILED);
    assert_int_equal(state_of_entry(id)->rcpts[1].fate, QUEUE_RELAYED);
    assert_int_equal(state_of_entry(id)->rcpts[3].fate, QUEUE_PENDING);
    assert_int_equal(state_of_entry(id)->rcpts[3].attempts, 1);
    assert_int_equal(state_of_entry(id)->rcpts[3].answer->code, 450);
    domain_at("x.test")->answer = NULL;
    pass(301);
    assert_false(is_stored(id));
    assert_int_equal(deliveries, 1);
}

/* A report for a user of another shard is a message of the queue, then delivered. */
static void a_report_travels_to_its_shard(void **state)
{
    const char *rcpt = "no@x.test";

    (void)state;
    domain_at("x.test")->answer = by_name;
    open_queues();
    put_message(0, "u1@home.test", &rcpt, 1, "", 0);
    settle_world();
    assert_int_equal(deliveries, 2);
    assert_int_equal(stored_count(), 0);
}

static void nobody_hears_of_a_lost_report(void **state)
{
    const char *rcpt = "no@x.test";

    (void)state;
    domain_at("x.test")->answer = by_name;
    open_queues();
    put_message(0, "", &rcpt, 1, "", 0);
    pattern.notice = true;
    put_message(1, "", &rcpt, 1, "", 0);
    settle_world();
    assert_int_equal(deliveries, 0);
    assert_int_equal(stored_count(), 0);
}

/* --- commits that fail ----------------------------------------------------- */

static void a_failed_commit_sends_nothing_twice(void **state)
{
    uint64_t id;

    (void)state;
    open_queues();
    change_status = STATUS_IO;
    id = put_one(0, "a@x.test");
    settle_world();
    pass(30);
    assert_true(is_stored(id));
    assert_int_equal(domain_at("x.test")->messages, 1);
    change_status = STATUS_OK;
    pass(70);
    assert_false(is_stored(id));
    assert_int_equal(domain_at("x.test")->messages, 1);
}

static void a_failed_report_is_made_once(void **state)
{
    (void)state;
    domain_at("x.test")->answer = by_name;
    open_queues();
    delivery_status = STATUS_NO_SPACE;
    put_one(0, "no@x.test");
    settle_world();
    pass(5);
    assert_int_equal(deliveries, 0);
    assert_int_equal(stored_count(), 1);
    delivery_status = STATUS_OK;
    pass(70);
    assert_int_equal(deliveries, 1);
    assert_int_equal(stored_count(), 0);
    assert_int_equal(domain_at("x.test")->messages, 1);
}

/* The sender's own mailbox is full: his report waits in the queue instead. */
static void a_full_mailbox_does_not_hold_up_the_entry(void **state)
{
    uint64_t id;

    (void)state;
    domain_at("x.test")->answer = by_name;
    open_queues();
    delivery_status = STATUS_LIMIT;
    id = put_one(0, "no@x.test");
    settle_world();
    assert_true(is_stored(id)); /* nothing was taken at all */
    delivery_status = STATUS_OK;
    pass(2);
    assert_false(is_stored(id));
    assert_int_equal(stored_count(), 0);
    assert_int_equal(deliveries, 2); /* into the queue, and out of it */
}

/* --- binary text for accounts here ----------------------------------------------- */

#define PATH   "Return-Path: <u0@home.test>\r\nReceived: by home.test; now\r\n"
#define MIME   "MIME-Version: 1.0\r\nContent-Type: "
#define BINARY "Content-Transfer-Encoding: binary\r\n"
#define DELIVERED(stored, wanted)        \
    {                                    \
        SI(PATH stored), SI(PATH wanted) \
    }
#define UNTOUCHED(stored) DELIVERED(stored, stored)

static const struct {
    struct slice stored, wanted;
} binaries[] = {
    DELIVERED(MIME "application/x\r\n" BINARY "\r\n\0\r\n\n",
        MIME "application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAA0KCg==\r\n"),
    DELIVERED(MIME "text/plain\r\n" BINARY "\r\na\nb\rc\0d\r\n",
        MIME "text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
             "a=0Ab=0Dc=00d\r\n"),
    /* It fits: not even its label is touched. */
    UNTOUCHED(MIME "text/plain; charset=utf-8\r\n" BINARY "\r\n\xc3\xbc\r\n"),
    /* Nothing can be done: better so than not at all. */
    UNTOUCHED(MIME "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\na\nb\r\n--b\r\n"
                   "Content-Type: application/pgp-signature\r\n\r\ns\r\n--b--\r\n"),
    UNTOUCHED(MIME "text/plain\r\nContent-Transfer-Encoding: x-own\r\n\r\na\nb\r\n"),
};

/* Of both recipients, who are in different shards. */
static void assert_delivered(size_t i, struct slice wanted)
{
    size_t n = wanted.len;

    if (delivered_len != 2 * n || memcmp(delivered, wanted.at, n) != 0 ||
        memcmp(delivered + n, wanted.at, n) != 0)
        fail_msg("text %zu became %.*s", i, (int)delivered_len, delivered);
}

static void binary_text_is_made_readable(void **state)
{
    static const char *const rcpts[] = {"u0@home.test", "u1@home.test"};
    static const size_t pieces[] = {SIZE_MAX, 7, 1};

    (void)state;
    open_queues();
    for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++)
        for (size_t n = 0; n < sizeof pieces / sizeof *pieces; n++) {
            stored_text = binaries[i].stored;
            piece_max = pieces[n];
            for (enum smtp_body body = SMTP_BODY_8BITMIME; body <= SMTP_BODY_BINARYMIME;
                 body++) {
                uint64_t id;

                pattern.body = body;
                delivered_len = 0;
                id = put_message(0, "a@x.test", rcpts, 2, "", 0);
                settle_world();
                assert_false(is_stored(id));
                assert_delivered(
                    i, body == SMTP_BODY_BINARYMIME ? binaries[i].wanted : stored_text);
            }
        }
    assert_int_equal(deliveries,
        4 * sizeof pieces / sizeof *pieces * (sizeof binaries / sizeof *binaries));
}

static void text_that_cannot_be_read_is_tried_again(void **state)
{
    static const char *const rcpts[] = {"u0@home.test", "u1@home.test"};
    uint64_t id;

    (void)state;
    open_queues();
    stored_text = binaries[0].stored;
    piece_max = 16;
    pattern.body = SMTP_BODY_BINARYMIME;
    text_breaks = true;
    id = put_message(0, "a@x.test", rcpts, 2, "", 0);
    settle_world();
    assert_true(is_stored(id));
    assert_int_equal(deliveries, 0);
    assert_int_equal(delivered_len, 0);
    text_breaks = false;
    pass(3600);
    assert_false(is_stored(id));
    assert_delivered(0, binaries[0].wanted);
}

/* --- destinations ------------------------------------------------------------ */

static void retries_grow_and_are_bounded(void **state)
{
    struct fake_domain *x = domain_at("x.test");
    int64_t waited = 0, longest = 0;

    (void)state;
    x->answer = busy;
    open_queues();
    put_one(0, "a@x.test");
    settle_world();
    for (unsigned i = 0; i < 48 * 60; i++) {
        unsigned before = x->messages;

        pass(60);
        waited += 60;
        if (x->messages == before)
            continue;
        if (waited > longest)
            longest = waited;
        waited = 0;
    }
    /* Two days: 5, 10, 20 ... minutes, then up to 4 hours, each less up to a quarter. */
    assert_in_range(x->messages, 48 / 4 + 4, 48 / 3 + 8);
    assert_in_range(longest, 3 * 3600, 4 * 3600 + 60);
}

static void a_dead_host_delays_nobody(void **state)
{
    enum { DEAD = 100000 };
    struct fake_domain *dead = domain_at("dead.test"), *x = domain_at("x.test");

    (void)state;
    dead->refuses = "connection refused";
    for (unsigned i = 0; i < DEAD; i++)
        put_one(i % 2, "a@dead.test");
    open_queues();
    assert_int_equal(threads[0].queue->counts.entries, DEAD / 2);
    assert_true(threads[0].queue->counts.bytes / (DEAD / 2) < QUEUE_ENTRY_BYTES);
    assert_int_equal(dead->opened, 2); /* once on each thread */
    assert_int_equal(changes, 0);      /* no attempt is written for each */
    for (unsigned i = 0; i < 20; i++) {
        put_one(i % 2, "a@x.test");
        settle_world();
        assert_int_equal(x->messages, i + 1);
    }
    pass(3600);
    assert_in_range(dead->opened, 8, 20); /* rests grow */
    assert_int_equal(changes, 20);
    dead->refuses = NULL;
    config.hop_messages = 100;
    pass(3600);
    settle_world();
    assert_int_equal(stored_count(), 0);
    assert_int_equal(dead->messages, DEAD);
    assert_in_range(dead->most, 1, 4);
}

static void hosts_that_hang_leave_slots(void **state)
{
    char name[32];

    (void)state;
    config.max_hops = 8; /* four on each thread */
    open_queues();
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "a@hang%u.test", i);
        domain_at(name + 2)->refuses = "timeout";
        put_one(0, name);
    }
    settle_world();
    for (unsigned i = 0; i < 20; i++) { /* now they are doubtful, and hang */
        snprintf(name, sizeof name, "hang%u.test", i);
        domain_at(name)->refuses = NULL;
        domain_at(name)->hangs = true;
    }
    pass(60);
    assert_int_equal(threads[0].queue->counts.sessions, 2);
    put_one(0, "a@x.test");
    settle_world();
    assert_int_equal(domain_at("x.test")->messages, 1);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "hang%u.test", i);
        domain_at(name)->hangs = false;
    }
    pass(600);
    assert_int_equal(stored_count(), 0);
}

/* Hosts that nobody knows yet take all there is, and do not greet: for a fair while. */
static void silent_hosts_give_way(void **state)
{
    char name[32];

    (void)state;
    config.max_hops = 8;
    config.hop_connect_timeout = 30;
    open_queues();
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "a@hang%u.test", i);
        domain_at(name + 2)->hangs = true;
        put_one(0, name);
    }
    settle_world();
    pass(100);
    assert_int_equal(threads[0].queue->counts.sessions, 4); /* nobody else wants them */
    put_one(0, "a@x.test");
    pass(2);
    assert_int_equal(domain_at("x.test")->messages, 1);
    assert_int_equal(stored_count(), 4);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "hang%u.test", i);
        domain_at(name)->hangs = false;
    }
    pass(600);
    assert_int_equal(stored_count(), 0);
}

static void sessions_are_bounded_over_all_threads(void **state)
{
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    config.destination_sessions = 3;
    config.hop_messages = 7;
    for (unsigned i = 0; i < 400; i++)
        put_one(i % 2, "a@x.test");
    open_queues();
    pass(10);
    assert_int_equal(x->messages, 400);
    assert_in_range(x->most, 2, 3);
    assert_true(x->opened >= 400 / 7);
}

static void the_rate_is_kept(void **state)
{
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    config.destination_rate = 60;
    for (unsigned i = 0; i < 100; i++)
        put_one(i % 2, "a@x.test");
    open_queues();
    pass(30);
    assert_in_range(x->messages, 28, 33);
    pass(30);
    assert_in_range(x->messages, 57, 63);
    pass(60);
    assert_int_equal(x->messages, 100);
}

static void what_dns_refuses_comes_back(void **state)
{
    (void)state;
    domain_at("gone.test")->dns = MX_NO_DOMAIN;
    domain_at("later.test")->dns = MX_TRY_LATER;
    open_queues();
    for (unsigned i = 0; i < 30; i++)
        put_one(0, "a@gone.test");
    put_one(0, "a@later.test");
    settle_world();
    assert_int_equal(deliveries, 30);
    assert_int_equal(count_of(delivered, delivered_len, "Status: 5.1.2"), 30);
    assert_int_equal(stored_count(), 1);
    domain_at("later.test")->dns = MX_OK;
    pass(40);
    assert_int_equal(stored_count(), 0);
}

/* What dies before it answers for any message rests, whatever it is asked. */
static void a_session_that_dies_counts(void **state)
{
    struct fake_domain *x = domain_at("x.test");
    uint64_t id;

    (void)state;
    x->dies = true;
    open_queues();
    id = put_one(0, "a@x.test");
    settle_world();
    assert_int_equal(x->messages, 1);
    assert_int_equal(state_of_entry(id)->unsure, 1);
    assert_int_equal(threads[0].queue->counts.resting, 1);
    x->dies = false;
    pass(301);
    assert_false(is_stored(id));
}

/* --- TLS ------------------------------------------------------------------------ */

static void put_wanting(bool require_tls, bool tls_optional, const char *sender)
{
    const char *rcpt = "a@x.test";

    pattern.require_tls = require_tls;
    pattern.tls_optional = tls_optional;
    put_message(0, sender, &rcpt, 1, "", 0);
}

/* Another --tls-out or --route; the queues are not open yet. */
static void configure_tls(int tls_out, const char *route)
{
    static char *routes[1];
    char why[256];
    struct out out = out_of(why, sizeof why);

    next_hops_free(config.next_hops);
    config.tls_out = tls_out;
    routes[0] = (char *)(uintptr_t)route;
    config.routes.at = routes;
    config.routes.count = route != NULL;
    config.next_hops = next_hops_make(&config, &out);
    assert_non_null(config.next_hops);
}

/* RFC 8689, 4.2.1, step 2, and 5. */
static void requiretls_wants_mx_that_are_certain(void **state)
{
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    x->forgeable = true;
    open_queues();
    put_wanting(true, false, "u0@home.test");
    settle_world();
    assert_int_equal(x->opened, 0);
    assert_int_equal(count_of(delivered, delivered_len, "Status: 5.7.30"), 1);
    assert_int_equal(
        count_of(delivered, delivered_len, "DNSSEC"), 2); /* to people and programs */
    assert_int_equal(stored_count(), 0);
    put_wanting(false, false, "u0@home.test"); /* others may take the risk, */
    put_wanting(true, false, "");              /* and so may a report */
    settle_world();
    assert_int_equal(x->messages, 2);
    assert_int_equal(x->required + x->preferred, 0);
    x->forgeable = false;
    put_wanting(true, false, "u0@home.test");
    put_wanting(true, false, "");
    settle_world();
    assert_int_equal(x->messages, 4);
    assert_int_equal(x->required, 1);
    assert_int_equal(x->preferred, 0); /* the session from before will do */
    pass(5);
    put_wanting(true, false, "");
    settle_world();
    assert_int_equal(x->preferred, 1);
    assert_int_equal(x->levels[HOP_TLS_VERIFY], 1);
    assert_int_equal(deliveries, 1);
}

/* RFC 8689, 4.2.2: no session for both. */
static void tls_required_no(void **state)
{
    static const struct {
        int tls_out;
        const char *route; /* NULL: MX */
        unsigned usual, optional;
    } cases[] = {
        {HOP_TLS_VERIFY, NULL, HOP_TLS_VERIFY, HOP_TLS_MAY},
        {HOP_TLS_ENCRYPT, NULL, HOP_TLS_ENCRYPT, HOP_TLS_MAY},
        {HOP_TLS_MAY, NULL, HOP_TLS_MAY, HOP_TLS_MAY},
        {HOP_TLS_NONE, NULL, HOP_TLS_NONE, HOP_TLS_NONE},
        {HOP_TLS_VERIFY, "x.test=x.test:25", HOP_TLS_VERIFY, HOP_TLS_MAY},
        {HOP_TLS_MAY, "x.test=mx,tls=encrypt", HOP_TLS_ENCRYPT, HOP_TLS_ENCRYPT},
        {HOP_TLS_VERIFY, "x.test=mx,tls=verify", HOP_TLS_VERIFY, HOP_TLS_VERIFY},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool differ = cases[i].usual != cases[i].optional;
        struct fake_domain *x;

        world_end();
        world_begin();
        x = domain_at("x.test");
        configure_tls(cases[i].tls_out, cases[i].route);
        open_queues();
        put_wanting(false, false, "u0@home.test");
        settle_world();
        put_wanting(false, true, "u0@home.test");
        settle_world();
        put_wanting(false, false, "u0@home.test"); /* both are idle now */
        settle_world();
        put_wanting(false, true, "u0@home.test");
        settle_world();
        assert_int_equal(x->messages, 4);
        assert_int_equal(x->opened, differ ? 2 : 1);
        assert_int_equal(x->levels[cases[i].usual], 1);
        assert_int_equal(x->levels[cases[i].optional], 1);
    }
}

/* However many kinds of session there are, the limit is for all. */
static void limits_hold_over_all_kinds_of_tls(void **state)
{
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    config.destination_sessions = 2;
    configure_tls(HOP_TLS_VERIFY, NULL);
    for (unsigned i = 0; i < 80; i++)
        put_wanting(i % 4 > 1, i % 4 == 1, i % 4 == 3 ? "" : "u0@home.test");
    open_queues();
    pass(10);
    assert_int_equal(x->messages, 80);
    assert_in_range(x->most, 1, 2);
}

/* --- time ----------------------------------------------------------------------- */

static uint64_t put_waiting(int64_t next_s)
{
    const char *rcpt = "a@x.test";
    struct queue_rcpt one = {.attempts = 3, .next_s = next_s};
    struct queue_state s = {.rcpts = &one, .rcpt_count = 1};
    char room[256];
    struct out out = out_of(room, sizeof room);

    queue_state_encode(&s, &out);
    return put_message(0, "u0@home.test", &rcpt, 1, room, out.len);
}

/* Matrix D20. */
static void clocks_that_jump_before_a_start(void **state)
{
    struct fake_domain *x = domain_at("x.test");
    int64_t s = threads[0].now_s;

    (void)state;
    put_waiting(s + 600);
    jump(-86400); /* it would be a day and ten minutes */
    open_queues();
    pass(4 * 3600 - 60);
    assert_int_equal(x->messages, 0);
    pass(120); /* never more than --retry-max */
    assert_int_equal(x->messages, 1);
    close_queues();

    pattern.arrived_s = threads[0].now_s;
    put_waiting(threads[0].now_s + 600);
    jump(10LL * 365 * 86400); /* all seems to be over: one more try first */
    open_queues();
    assert_int_equal(x->messages, 2);
    assert_int_equal(deliveries, 0);
    assert_int_equal(stored_count(), 0);
}

static void a_life_that_is_over_gets_one_more_try(void **state)
{
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    x->answer = busy;
    pattern.arrived_s = threads[0].now_s - 10 * 86400;
    put_waiting(threads[0].now_s - 10 * 86400 + 300);
    open_queues();
    assert_int_equal(x->messages, 1);
    assert_int_equal(deliveries, 0);
    pass(5 * 3600);
    assert_int_equal(deliveries, 1);
    assert_int_equal(count_of(delivered, delivered_len, "Status: 4.4.7"), 1);
    assert_int_equal(stored_count(), 0);
}

static void clocks_that_jump_while_it_runs(void **state)
{
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    x->answer = busy;
    open_queues();
    put_one(0, "a@x.test");
    settle_world();
    assert_int_equal(x->messages, 1);
    jump(10LL * 365 * 86400);
    assert_int_equal(x->messages, 1);
    assert_int_equal(deliveries, 0);
    jump(-20LL * 365 * 86400);
    pass(301);
    assert_int_equal(x->messages, 2);
    jump(86400);
    pass(4 * 86400);
    assert_int_equal(deliveries, 0);
    pass(86400 + 60);
    assert_int_equal(deliveries, 1); /* five days of its own time */
    assert_int_equal(stored_count(), 0);
}

static void a_dead_host_ends_too(void **state)
{
    (void)state;
    domain_at("dead.test")->refuses = "connection refused";
    config.delay_notice = 3600;
    open_queues();
    for (unsigned i = 0; i < 500; i++)
        put_one(0, "a@dead.test");
    pass(3 * 3600);
    assert_int_equal(deliveries, 500);
    assert_int_equal(stored_count(), 500);
    delivered_len = 0;
    pass(5 * 86400);
    assert_int_equal(deliveries, 1000);
    assert_int_equal(stored_count(), 0);
    assert_true(count_of(delivered, delivered_len, "connection refused") > 20);
}

static void deadlines(void **state)
{
    const char *rcpt = "a@x.test";
    struct fake_domain *x = domain_at("x.test");

    (void)state;
    x->answer = busy;
    open_queues();
    pattern.by_s = threads[0].now_s + 120;
    put_message(0, "u0@home.test", &rcpt, 1, "", 0);
    pass(130);
    assert_int_equal(count_of(delivered, delivered_len, "Status: 5.4.7"), 1);
    assert_int_equal(stored_count(), 0);
    pattern.by_s = threads[0].now_s + 120;
    pattern.by_notify = true;
    put_message(0, "u0@home.test", &rcpt, 1, "", 0);
    pass(130);
    assert_int_equal(count_of(delivered, delivered_len, "Action: delayed"), 1);
    assert_int_equal(stored_count(), 1);
    pattern = (struct envelope){.hold_until_s = threads[0].now_s + 3600};
    x->answer = NULL;
    x->messages = 0;
    put_message(0, "u0@home.test", &rcpt, 1, "", 0);
    pass(3590); /* FUTURERELEASE; the one before has gone out meanwhile */
    assert_int_equal(x->messages, 1);
    pass(20);
    assert_int_equal(x->messages, 2);
}

static void the_urgent_first(void **state)
{
    static const int8_t levels[] = {-9, 0, 9, 4, 0, -1};
    char name[32];

    (void)state;
    config.destination_sessions = 1;
    for (unsigned i = 0; i < sizeof levels; i++) {
        const char *rcpt = name;

        snprintf(name, sizeof name, "p%d@x.test", levels[i]);
        pattern.priority = levels[i];
        put_message(0, "u0@home.test", &rcpt, 1, "", 0);
    }
    open_queues();
    accepted[accepted_len] = 0;
    assert_string_equal(
        accepted, "p9@x.test\np4@x.test\np0@x.test\np0@x.test\np-1@x.test\np-9@x.test\n");
}

/* --- bounds ----------------------------------------------------------------------- */

static void room_has_an_end(void **state)
{
    (void)state;
    config.max_queue = 200;
    domain_at("dead.test")->refuses = "no";
    open_queues();
    for (unsigned i = 0; i < 100; i++) {
        assert_true(queue_has_room(&threads[0]));
        put_one(0, "a@dead.test");
        settle_world();
    }
    assert_false(queue_has_room(&threads[0]));
    assert_true(queue_has_room(&threads[1]));
    domain_at("dead.test")->refuses = NULL;
    pass(60);
    assert_true(queue_has_room(&threads[0]));
    queue_stop(&threads[1]);
    assert_false(queue_has_room(&threads[1]));
}

/* A thousand recipients, each with a destination of his own. */
static void a_message_for_a_thousand_domains(void **state)
{
    static char names[1000][32];
    const char *rcpts[1000];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "a@d%u.test", i % NAMES_MAX);
        rcpts[i] = names[i];
    }
    open_queues();
    put_message(0, "u0@home.test", rcpts, 1000, "", 0);
    assert_int_equal(threads[0].queue->counts.jobs, NAMES_MAX);
    settle_world(); /* more destinations than slots: idle sessions make room */
    assert_int_equal(stored_count(), 0);
    assert_int_equal(count_of(accepted, accepted_len, "\n"), 1000);
}

static void bytes_that_are_no_entry_stay(void **state)
{
    uint64_t id = put_message(0, "u0@home.test", &(const char *){"a@x.test"}, 1, "??", 2);

    (void)state;
    put_one(0, "b@x.test");
    open_queues();
    assert_true(is_stored(id));
    assert_int_equal(stored_count(), 1);
}

/* In the middle of everything: sessions that open, lookups, permits. */
static void stop_at_any_moment(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 40; steps++) {
        world_end();
        world_begin();
        domain_at("x.test")->answer = by_name;
        domain_at("h.test")->hangs = steps % 2;
        for (unsigned i = 0; i < 10; i++) {
            put_one(i % 2, i % 3 ? "no@x.test" : "a@h.test");
            put_one(i % 2, "u1@home.test");
        }
        for (unsigned i = 0; i < THREADS; i++)
            assert_true(queue_open(&threads[i]));
        for (unsigned i = 0; i < steps; i++)
            op_queue_run(&threads[i % 2].ready);
        domain_at("h.test")->hangs = false;
        close_queues();
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {T(what_is_good_is_gone),
        T(what_is_there_at_the_start_goes_out), T(one_report_for_an_attempt),
        T(a_report_travels_to_its_shard), T(nobody_hears_of_a_lost_report),
        T(a_failed_commit_sends_nothing_twice), T(a_failed_report_is_made_once),
        T(a_full_mailbox_does_not_hold_up_the_entry), T(binary_text_is_made_readable),
        T(text_that_cannot_be_read_is_tried_again), T(retries_grow_and_are_bounded),
        T(a_dead_host_delays_nobody), T(hosts_that_hang_leave_slots),
        T(silent_hosts_give_way), T(sessions_are_bounded_over_all_threads),
        T(the_rate_is_kept), T(what_dns_refuses_comes_back),
        T(a_session_that_dies_counts), T(requiretls_wants_mx_that_are_certain),
        T(tls_required_no), T(limits_hold_over_all_kinds_of_tls),
        T(clocks_that_jump_before_a_start), T(a_life_that_is_over_gets_one_more_try),
        T(clocks_that_jump_while_it_runs), T(a_dead_host_ends_too), T(deadlines),
        T(the_urgent_first), T(room_has_an_end), T(a_message_for_a_thousand_domains),
        T(bytes_that_are_no_entry_stay), T(stop_at_any_moment)};
#undef T

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
