/* The chain of checks over real connections and threads: a session that asks it by lines,
 * and a check that hashes the text, answers later and adds a field. */
#include "tests/server/server_test.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/policy_check.h"
#include "tests/server/admin_support.h"

/* --- a check that takes its time ---------------------------------------------- */

#define MS 1000000ll

enum { LATER_MS = 30, SLOW_MS = 400 };

struct hash_state {
    struct policy *policy;
    struct timer timer;
    SHA256_CTX sha;
    size_t octets;
    enum policy_step step;
};

static _Atomic unsigned hash_cancelled, hash_closed, hash_texts;

static enum policy_answer judge_text(struct hash_state *h)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum[SHA256_DIGEST_LENGTH];
    char text[100];
    struct out out = out_of(text, sizeof text);

    if (h->octets == 0)
        return policy_refuse(h->policy, S("550 5.7.1 Nothing to hash\r\n"));
    SHA256_Final(sum, &h->sha);
    out_str(&out, "X-Hash: ");
    for (unsigned i = 0; i < sizeof sum; i++) {
        out_byte(&out, digits[sum[i] >> 4]);
        out_byte(&out, digits[sum[i] & 15]);
    }
    out_str(&out, "\r\n");
    assert_true(policy_add_field(h->policy, out_slice(&out)));
    return POLICY_PASS;
}

static void hash_due(struct timer *timer)
{
    struct hash_state *h = container_of(timer, struct hash_state, timer);

    policy_answer(h->policy, h->step == POLICY_END ? judge_text(h) : POLICY_PASS);
}

static enum policy_answer hash_ask(struct policy *p, void *state, enum policy_step step,
    const struct policy_facts *facts)
{
    struct thread *t = policy_conn(p)->thread;
    struct hash_state *h = state;
    bool slow = facts->rcpt && slice_eq(facts->rcpt->local, S("slow"));

    if (step != POLICY_END && step != POLICY_RCPT)
        return POLICY_PASS;
    h->policy = p;
    h->step = step;
    timer_set(t, &h->timer, t->now_ns + (slow ? SLOW_MS : LATER_MS) * MS, hash_due);
    return POLICY_PENDING;
}

static void hash_cancel(struct policy *p, void *state)
{
    (void)p;
    timer_clear(&((struct hash_state *)state)->timer);
    hash_cancelled++;
}

static void hash_begin(struct policy *p, void *state)
{
    struct hash_state *h = state;

    (void)p;
    SHA256_Init(&h->sha);
    h->octets = 0;
}

static void hash_text(struct policy *p, void *state, struct slice bytes)
{
    struct hash_state *h = state;

    (void)p;
    hash_texts++;
    SHA256_Update(&h->sha, bytes.at, bytes.len);
    h->octets += bytes.len;
}

static void hash_close(struct policy *p, void *state)
{
    (void)p;
    (void)state;
    hash_closed++;
}

static const struct policy_check hash_check = {
    .name = "hash",
    .state_bytes = sizeof(struct hash_state),
    .ask = hash_ask,
    .cancel = hash_cancel,
    .begin = hash_begin,
    .text = hash_text,
    .close = hash_close,
};

static bool never(const struct config *config)
{
    (void)config;
    return false;
}

static void must_not_be_called(struct policy *p, void *state, struct slice bytes)
{
    (void)p;
    (void)state;
    (void)bytes;
    abort();
}

static const struct policy_check unwanted_check = {
    .name = "unwanted", .wanted = never, .text = must_not_be_called};

static const struct policy_check *const checks[] = {
    &policy_helo, &unwanted_check, &policy_rate_address, &hash_check};

/* --- a session that asks ------------------------------------------------------- */

/* Lines: connect, helo NAME, mail, rcpt LOCAL, begin, text TEXT, end, reset, error,
 * again (END, given up at once and asked once more), trust. */
struct asker {
    struct conn conn;
    struct policy *policy;
    struct policy_facts facts;
    struct smtp_path rcpt;
    char argument[256];
    bool waiting;
};

static struct asker *asker_of(struct conn *c)
{
    return container_of(c, struct asker, conn);
}

static void wake(void *arg)
{
    struct asker *a = arg;

    conn_wake(&a->conn);
}

static void say_answer(struct asker *a, enum policy_answer answer)
{
    struct out *out = &a->conn.out;

    a->waiting = answer == POLICY_PENDING;
    if (answer == POLICY_REFUSE) {
        out_put(out, policy_reply(a->policy));
    } else if (answer == POLICY_PASS) {
        out_str(out, "pass ");
        out_put(out, policy_fields(a->policy));
        if (policy_fields(a->policy).len == 0)
            out_byte(out, '\n');
    }
}

static void do_line(struct asker *a, struct slice word, struct slice argument)
{
    static const struct slice steps[] = {[POLICY_CONNECT] = SI("connect"),
        [POLICY_HELO] = SI("helo"),
        [POLICY_MAIL] = SI("mail"),
        [POLICY_RCPT] = SI("rcpt"),
        [POLICY_END] = SI("end")};
    static const struct smtp_path sender = {.kind = SMTP_PATH_NULL};
    struct out *out = &a->conn.out;

    CHECK(argument.len < sizeof a->argument);
    if (argument.len > 0)
        memcpy(a->argument, argument.at, argument.len);
    argument.at = a->argument;
    a->rcpt = (struct smtp_path){.kind = SMTP_PATH_MAILBOX, .local = argument};
    a->facts.peer = a->conn.peer;
    a->facts.helo = argument;
    a->facts.sender = &sender;
    a->facts.rcpt = slice_eq(word, S("rcpt")) ? &a->rcpt : NULL;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)
        if (slice_eq(word, steps[i])) {
            say_answer(a, policy_ask(a->policy, (enum policy_step)i, &a->facts));
            return;
        }
    if (slice_eq(word, S("begin"))) {
        policy_begin(a->policy);
    } else if (slice_eq(word, S("text"))) {
        policy_text(a->policy, argument);
    } else if (slice_eq(word, S("reset"))) {
        policy_reset(a->policy);
    } else if (slice_eq(word, S("trust"))) {
        a->facts.trusted = true;
    } else if (slice_eq(word, S("again"))) {
        CHECK(policy_ask(a->policy, POLICY_END, &a->facts) == POLICY_PENDING);
        policy_reset(a->policy);
        policy_begin(a->policy);
        policy_text(a->policy, S("abc"));
        say_answer(a, policy_ask(a->policy, POLICY_END, &a->facts));
    } else if (slice_eq(word, S("error"))) {
        out_u64(out, policy_error_delay(a->policy));
        out_byte(out, '\n');
    } else {
        out_str(out, "what?\n");
    }
}

static void run(struct conn *c)
{
    struct asker *a = asker_of(c);

    if (a->waiting) {
        enum policy_answer answer = policy_result(a->policy);

        if (answer == POLICY_PENDING)
            return;
        say_answer(a, answer);
    }
    while (!a->waiting && !c->closing) {
        size_t end = slice_find(c->in, '\n'), space;
        struct slice line;

        if (end == c->in.len)
            break;
        line = slice_take(&c->in, end + 1);
        line.len = end;
        space = slice_find(line, ' ');
        do_line(a, slice_of(line.at, space),
            slice_of(line.at + space + (space < end), end - space - (space < end)));
    }
    if (c->eof && !a->waiting)
        conn_close(c);
}

static void open_asker(struct conn *c)
{
    struct asker *a = asker_of(c);

    a->policy = policy_open_checks(c, checks, sizeof checks / sizeof *checks, wake, a);
    CHECK(a->policy);
}

static void end_asker(struct conn *c)
{
    conn_abort(c);
}

static void closed(struct conn *c)
{
    policy_close(asker_of(c)->policy);
    conn_free(c);
}

static const struct session_calls asker_calls = {
    .session_bytes = sizeof(struct asker),
    .open = open_asker,
    .run = run,
    .timeout = end_asker,
    .stop = end_asker,
    .closed = closed,
};

/* --- tests ----------------------------------------------------------------------- */

static struct config *config;
static struct process *process;

static void change(struct process_conf *conf)
{
    conf->config = config;
    for (unsigned i = 0; i < conf->listener_count; i++)
        conf->listeners[i].calls = &asker_calls;
}

static void begin(const char *flags)
{
    config = config_with(flags);
    process = server_begin(change);
    hash_cancelled = hash_closed = hash_texts = 0;
}

static void end(void)
{
    server_end(process);
    config_free(config);
}

static const char *ask(int fd, const char *line)
{
    client_send(fd, line);
    return client_line(fd);
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void a_check_may_answer_later(void **state)
{
    int fd;

    (void)state;
    begin("");
    fd = client_open(PORT_PLAIN);
    assert_string_equal(ask(fd, "connect\nhelo a.test\nmail\n"), "pass \n");
    assert_line(fd, "pass \n");
    assert_line(fd, "pass \n");
    assert_string_equal(ask(fd, "rcpt b\n"), "pass \n"); /* after a while */
    assert_string_equal(
        ask(fd, "begin\ntext a\ntext b\ntext c\nend\n"), "pass X-Hash: " ABC "\r\n");
    /* the next message is another one */
    assert_string_equal(ask(fd, "begin\nend\n"), "550 5.7.1 Nothing to hash\r\n");
    assert_string_equal(ask(fd, "begin\ntext abc\nend\n"), "pass X-Hash: " ABC "\r\n");
    assert_string_equal(ask(fd, "reset\nmail\n"), "pass \n"); /* its field is gone */
    assert_int_equal(hash_cancelled, 0);
    assert_int_equal(hash_texts, 4);
    close(fd);
    assert_true(wait_for_count(&hash_closed, 1));
    end();
}

/* A step that was given up does not answer any more, and the next one does. */
static void what_is_given_up_does_not_answer(void **state)
{
    int fd;

    (void)state;
    begin("");
    fd = client_open(PORT_PLAIN);
    assert_string_equal(ask(fd, "begin\ntext xyz\nagain\n"), "pass X-Hash: " ABC "\r\n");
    assert_int_equal(hash_cancelled, 1);
    assert_string_equal(ask(fd, "mail\n"), "pass X-Hash: " ABC "\r\n");
    close(fd);
    end();
}

/* While one waits others are served; who leaves meanwhile leaves nothing behind. */
static void waiting_holds_nobody(void **state)
{
    int fds[32], other;

    (void)state;
    begin("threads 1\n");
    for (int i = 0; i < 32; i++) {
        fds[i] = client_open(PORT_PLAIN);
        client_send(fds[i], "rcpt slow\n");
    }
    other = client_open(PORT_PLAIN);
    for (int i = 0; i < 100; i++)
        assert_string_equal(ask(other, "mail\n"), "pass \n");
    for (int i = 0; i < 16; i++)
        close(fds[i]);
    for (int i = 16; i < 32; i++) {
        assert_line(fds[i], "pass \n");
        close(fds[i]);
    }
    close(other);
    assert_true(wait_for_count(&hash_closed, 33));
    end();
}

/* Messages of one address, from connections on whatever thread. */
static void messages_of_an_address(void **state)
{
    unsigned passed = 0, refused = 0;

    (void)state;
    begin("max-messages-address 20\nmax-recipients-address 3\n");
    for (int i = 0; i < 30; i++) {
        int fd = client_open(PORT_PLAIN);
        const char *line = ask(fd, "connect\nmail\n");

        assert_string_equal(line, "pass \n");
        line = client_line(fd);
        if (strcmp(line, "pass \n") == 0)
            passed++;
        else
            assert_string_equal(
                line, "450 4.7.1 Too many messages of late, try again later\r\n");
        if (i == 0)
            for (int j = 0; j < 5; j++)
                refused += ask(fd, "rcpt b\n")[0] == '4';
        assert_string_equal(ask(fd, "trust\nmail\n"), "pass \n");
        close(fd);
    }
    assert_int_equal(passed, 20);
    assert_int_equal(refused, 2);
    end();
}

#define SHUT_OUT "421 4.7.0 Too many errors from your address\r\n"

/* A connection of an address that has made too many errors is refused at once, or after
 * its first error where its thread has not heard of the address. True: at once. */
static bool is_shut_out(int fd)
{
    bool at_once = strcmp(ask(fd, "connect\n"), SHUT_OUT) == 0;

    if (!at_once)
        ask(fd, "error\n");
    /* The keeper may be another thread, on a crowded machine a slow one. */
    for (int i = 0; i < 500 && strcmp(ask(fd, "helo a.test\n"), SHUT_OUT) != 0; i++)
        usleep(20000);
    assert_string_equal(ask(fd, "helo a.test\n"), SHUT_OUT);
    assert_string_equal(ask(fd, "mail\n"), SHUT_OUT);
    return at_once;
}

/* Replies get slower, then the address is shut out, for a while. */
static void errors_of_an_address(void **state)
{
    int fd, again;
    unsigned late = 0;
    long before = 0;

    (void)state;
    begin("max-errors-address 40\n");
    fd = client_open(PORT_PLAIN);
    again = client_open(PORT_PLAIN);
    assert_string_equal(ask(fd, "connect\n"), "pass \n");
    for (int i = 0; i < 39; i++) {
        long delay = atol(ask(fd, "error\n"));

        assert_true(delay >= before && delay <= POLICY_DELAY_MAX_MS);
        assert_true(i >= 5 || delay == 0);
        before = delay;
        usleep(2000); /* the keeper may be another thread */
    }
    /* The fortieth is too many at the keeper; another thread hears of it a little later,
     * on a crowded machine much later. */
    for (int i = 0; i < 500 && before != POLICY_CLOSE; i++) {
        long delay = atol(ask(fd, "error\n"));

        assert_true(delay >= before || delay == POLICY_CLOSE);
        before = delay;
        usleep(20000);
    }
    assert_int_equal(before, POLICY_CLOSE);
    assert_string_equal(ask(fd, "mail\n"), SHUT_OUT);
    late += !is_shut_out(again);
    assert_string_equal(ask(again, "trust\nconnect\n"), "pass \n");
    close(fd);
    close(again);
    for (int i = 0; i < 40; i++) {
        fd = client_open(PORT_PLAIN);
        late += !is_shut_out(fd);
        close(fd);
    }
    assert_true(late <= 1); /* of two threads one keeps the address */
    end();
}

static void networks_without_limits(void **state)
{
    static const char *const flags[] = {
        "max-messages-address 1\nmax-errors-address 1\nunlimited-from 127.0.0.0/8\n",
        "max-messages-address 1\nmax-errors-address 1\ntrust 127.0.0.0/8\n"};

    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        int fd;

        begin(flags[n]);
        fd = client_open(PORT_PLAIN);
        for (int i = 0; i < 30; i++) {
            assert_string_equal(ask(fd, "error\n"), "0\n");
            assert_string_equal(ask(fd, "mail\n"), "pass \n");
        }
        close(fd);
        end();
    }
}

/* From 127.0.0.1 to 127.0.0.1 the server's own names are fine: e2e tests have others. */
static void numbers_are_no_names(void **state)
{
    static const struct {
        const char *line;
        bool good;
    } cases[] = {
        {"helo a.test\n", true},
        {"helo [127.0.0.1]\n", true},
        {"helo [IPv6:::1]\n", true},
        {"helo 1a\n", true},
        {"helo 3com.test\n", true},
        {"helo mail.test\n", true},
        {"helo 12345\n", false},
        {"helo 127.0.0.1\n", false},
        {"helo 1.2\n", false},
        {"helo 2001:db8::1\n", false},
    };
    int fd;

    (void)state;
    begin("helo-checks yes\n");
    fd = client_open(PORT_PLAIN);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((ask(fd, cases[i].line)[0] == 'p') != cases[i].good)
            fail_msg("%s", cases[i].line);
    assert_string_equal(ask(fd, "trust\nhelo 12345\n"), "pass \n");
    close(fd);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_may_answer_later),
        cmocka_unit_test(what_is_given_up_does_not_answer),
        cmocka_unit_test(waiting_holds_nobody),
        cmocka_unit_test(messages_of_an_address),
        cmocka_unit_test(errors_of_an_address),
        cmocka_unit_test(networks_without_limits),
        cmocka_unit_test(numbers_are_no_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
