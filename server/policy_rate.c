/* policy_rate.c -- so many messages, recipients and errors an hour: of a client address
 * (an IPv6 /64 is one), of a user who sends.
 *
 *   a step --> the thread that keeps the address, or owns the user --> its answer
 *   a refused command --> the same, without waiting; the answer says how bad it is
 *
 * Errors are asked about only where there are any, so that good clients cost no
 * question. What a keeper says of an address that errs much is remembered by the thread
 * that asked; there its next connection asks before it is greeted. On other threads the
 * address is known after its first error.
 *
 * One question of a connection is under way at a time; what comes meanwhile goes with
 * the next. The question has memory of its own, which outlives the connection.
 */
#include <stdlib.h>

#include "server/auth_tables.h"
#include "server/config.h"
#include "server/policy_check.h"
#include "server/policy_rates.h"

struct rate_state;

struct rate_question {
    struct call call;
    struct policy *policy;    /* NULL: the connection is gone */
    struct rate_state *state; /* likewise */
    struct thread *keeper;
    uint64_t source;
    uint64_t limits[RATE_KINDS];
    uint32_t counts[RATE_KINDS]; /* to be asked for next */
    uint32_t asked[RATE_KINDS];  /* with the question under way */
    bool out;                    /* it is under way */
    bool wanted;                 /* a step waits for the next one ... */
    bool answers;                /* ... or for the one under way */
    bool refused[RATE_KINDS];    /* the answer */
    uint64_t errors;             /* used up, of limits[RATE_ERRORS] */
};

struct rate_state {
    struct rate_question *question; /* NULL before the first one */
    uint64_t errors;                /* as last heard */
    bool refused;                   /* they are too many */
};

static const unsigned counted_steps = 1u << POLICY_MAIL | 1u << POLICY_RCPT;

static const struct slice replies[RATE_KINDS] = {
    [RATE_MESSAGES] = SI("450 4.7.1 Too many messages of late, try again later\r\n"),
    [RATE_RECIPIENTS] = SI("450 4.7.1 Too many recipients of late, try again later\r\n"),
    [RATE_ERRORS] = SI("421 4.7.0 Too many errors from your address\r\n"),
};

/* --- at the keeper ------------------------------------------------------- */

/* Without memory nothing is limited. */
static void judge(struct thread *keeper, struct rate_question *q)
{
    int64_t now_us = keeper->now_ns / 1000;
    struct rate_entry *e;

    if (!keeper->rates)
        keeper->rates = rates_open(random_u64());
    memset(q->refused, 0, sizeof q->refused);
    q->errors = 0;
    if (!keeper->rates)
        return;
    e = rates_of(keeper->rates, q->source, now_us);
    rate_note(e, RATE_ERRORS, q->asked[RATE_ERRORS], q->limits[RATE_ERRORS], now_us);
    for (unsigned kind = 0; kind < RATE_ERRORS; kind++)
        q->refused[kind] = q->asked[kind] > 0 &&
            !rate_take(e, (enum rate_kind)kind, q->asked[kind], q->limits[kind], now_us);
    q->errors = rate_used(e, RATE_ERRORS, q->limits[RATE_ERRORS], now_us);
    q->refused[RATE_ERRORS] =
        q->limits[RATE_ERRORS] > 0 && q->errors >= q->limits[RATE_ERRORS];
}

static void run_judge(struct thread *to, struct call *call)
{
    judge(to, container_of(call, struct rate_question, call));
    call_answer(call);
}

/* --- asking -------------------------------------------------------------- */

static void take_counts(struct rate_question *q)
{
    memcpy(q->asked, q->counts, sizeof q->asked);
    memset(q->counts, 0, sizeof q->counts);
    q->answers = q->wanted;
    q->wanted = false;
}

static enum policy_answer answer_of(struct rate_question *q)
{
    for (unsigned kind = RATE_KINDS; kind-- > 0;)
        if (q->refused[kind])
            return policy_refuse(q->policy, replies[kind]);
    return POLICY_PASS;
}

static void on_judged(struct thread *t, struct call *call);

static void pass_on(struct thread *t, struct rate_question *q)
{
    take_counts(q);
    q->out = true;
    q->call.run = run_judge;
    q->call.done = on_judged;
    call_send(t, q->keeper, &q->call);
}

static bool has_counts(const struct rate_question *q)
{
    for (unsigned kind = 0; kind < RATE_KINDS; kind++)
        if (q->counts[kind] > 0)
            return true;
    return false;
}

/* More errors than these are many. */
static uint64_t errors_free(uint64_t limit)
{
    return limit / 2;
}

/* The thread's table has what other keepers say, beside what it keeps itself. */
static void remember(struct thread *t, const struct rate_question *q)
{
    uint64_t limit = q->limits[RATE_ERRORS];
    int64_t now_us = t->now_ns / 1000;

    if (q->errors <= errors_free(limit))
        return;
    if (!t->rates)
        t->rates = rates_open(random_u64());
    if (t->rates)
        rate_set(
            rates_of(t->rates, q->source, now_us), RATE_ERRORS, q->errors, limit, now_us);
}

static bool has_many_errors(const struct conn *c)
{
    const struct thread *t = c->thread;
    uint64_t limit = t->config->max_errors_address;
    int64_t now_us = t->now_ns / 1000;
    const struct rate_entry *e =
        t->rates && limit ? rates_find(t->rates, failure_source(&c->peer), now_us) : NULL;

    return e && rate_used(e, RATE_ERRORS, limit, now_us) > errors_free(limit);
}

static void hear(struct rate_question *q)
{
    struct rate_state *s = q->state;

    s->errors = q->errors;
    s->refused = q->refused[RATE_ERRORS];
    if (s->refused)
        policy_ask_at(q->policy, 1u << POLICY_HELO | counted_steps);
}

static void on_judged(struct thread *t, struct call *call)
{
    struct rate_question *q = container_of(call, struct rate_question, call);
    struct policy *p = q->policy;
    bool answers = q->answers;
    enum policy_answer answer;

    remember(t, q);
    q->out = q->answers = false;
    if (!p) {
        free(q);
        return;
    }
    hear(q);
    answer = answer_of(q);
    if (q->wanted || has_counts(q))
        pass_on(t, q);
    if (answers) /* last: it may end the connection */
        policy_answer(p, answer);
}

/* What has been counted is judged: at once, true, where that is possible. */
static bool judge_counts(struct thread *t, struct rate_question *q)
{
    if (q->out)
        return false;
    if (q->keeper != t) {
        pass_on(t, q);
        return false;
    }
    take_counts(q);
    judge(t, q);
    q->answers = false;
    hear(q);
    return true;
}

/* For a step. */
static enum policy_answer ask(struct thread *t, struct rate_question *q)
{
    q->wanted = true;
    return judge_counts(t, q) ? answer_of(q) : POLICY_PENDING;
}

/* NULL: no memory. */
static struct rate_question *question_of(struct policy *p, struct rate_state *s)
{
    if (s->question)
        return s->question;
    s->question = calloc(1, sizeof *s->question);
    if (s->question) {
        s->question->policy = p;
        s->question->state = s;
    }
    return s->question;
}

static void cancel(struct policy *p, void *state)
{
    struct rate_question *q = ((struct rate_state *)state)->question;

    (void)p;
    q->wanted = q->answers = false;
}

static void leave(struct policy *p, void *state)
{
    struct rate_question *q = ((struct rate_state *)state)->question;

    (void)p;
    if (q && q->out)
        q->policy = NULL;
    else
        free(q);
}

/* --- of an address ------------------------------------------------------- */

static bool address_wanted(const struct config *config)
{
    return config->max_messages_address || config->max_recipients_address ||
        config->max_errors_address;
}

static struct rate_question *address_question(struct policy *p, struct rate_state *s)
{
    const struct conn *c = policy_conn(p);
    const struct config *config = c->thread->config;
    struct rate_question *q = question_of(p, s);

    if (!q || q->out) /* then it has all of this */
        return q;
    q->source = failure_source(&c->peer);
    q->keeper = thread_of_hash(c->thread, q->source);
    q->limits[RATE_MESSAGES] = config->max_messages_address;
    q->limits[RATE_RECIPIENTS] = config->max_recipients_address;
    q->limits[RATE_ERRORS] = config->max_errors_address;
    return q;
}

static unsigned steps_of(uint64_t connect, uint64_t mail, uint64_t rcpt)
{
    return (unsigned)(connect > 0) << POLICY_CONNECT |
        (unsigned)(mail > 0) << POLICY_MAIL | (unsigned)(rcpt > 0) << POLICY_RCPT;
}

static unsigned address_steps(const struct config *config)
{
    return steps_of(config->max_errors_address, config->max_messages_address,
        config->max_recipients_address);
}

/* A text that has been sent may as well be taken. */
static enum policy_answer ask_address(struct policy *p, void *state,
    enum policy_step step, const struct policy_facts *facts)
{
    const struct conn *c = policy_conn(p);
    struct rate_state *s = state;
    bool counted = (address_steps(c->thread->config) & counted_steps) >> step & 1;
    bool suspect = step == POLICY_CONNECT && has_many_errors(c);
    struct rate_question *q;

    if (step == POLICY_END || !(counted || suspect || s->refused) || facts->trusted ||
        c->peer.family == AF_UNIX || policy_is_unlimited(p))
        return POLICY_PASS;
    if (s->refused)
        return policy_refuse(p, replies[RATE_ERRORS]);
    q = address_question(p, s);
    if (!q)
        return POLICY_PASS;
    if (counted)
        q->counts[step == POLICY_MAIL ? RATE_MESSAGES : RATE_RECIPIENTS]++;
    return ask(c->thread, q);
}

/* The second half of the limit makes the replies slower and slower; then no more. */
static unsigned note_error(struct policy *p, void *state)
{
    struct thread *t = policy_conn(p)->thread;
    struct rate_state *s = state;
    struct rate_question *q = address_question(p, s);
    uint64_t limit = q ? q->limits[RATE_ERRORS] : 0;

    if (limit == 0 || policy_conn(p)->peer.family == AF_UNIX)
        return 0;
    q->counts[RATE_ERRORS]++;
    judge_counts(t, q);
    if (s->errors <= errors_free(limit))
        return 0;
    if (s->errors >= limit)
        return POLICY_CLOSE;
    return (unsigned)((s->errors - errors_free(limit)) * POLICY_DELAY_MAX_MS /
        (limit - errors_free(limit)));
}

const struct policy_check policy_rate_address = {
    .name = "rate-address",
    .state_bytes = sizeof(struct rate_state),
    .wanted = address_wanted,
    .steps = address_steps,
    .ask = ask_address,
    .cancel = cancel,
    .error = note_error,
    .close = leave,
};

/* --- of a user ----------------------------------------------------------- */

static bool user_wanted(const struct config *config)
{
    return config->max_messages_user || config->max_recipients_user;
}

static unsigned user_steps(const struct config *config)
{
    return steps_of(0, config->max_messages_user, config->max_recipients_user);
}

static enum policy_answer ask_user(struct policy *p, void *state, enum policy_step step,
    const struct policy_facts *facts)
{
    struct thread *t = policy_conn(p)->thread;
    enum rate_kind kind = step == POLICY_MAIL ? RATE_MESSAGES : RATE_RECIPIENTS;
    struct rate_question *q;

    if ((step != POLICY_MAIL && step != POLICY_RCPT) || facts->user.len == 0 ||
        policy_is_unlimited(p))
        return POLICY_PASS;
    q = question_of(p, state);
    if (!q)
        return POLICY_PASS;
    if (!q->out) {
        q->source = slice_hash(facts->user, RATE_KINDS);
        q->keeper = thread_of_user(t, facts->user);
        q->limits[RATE_MESSAGES] = t->config->max_messages_user;
        q->limits[RATE_RECIPIENTS] = t->config->max_recipients_user;
    }
    if (q->limits[kind] == 0)
        return POLICY_PASS;
    q->counts[kind]++;
    return ask(t, q);
}

const struct policy_check policy_rate_user = {
    .name = "rate-user",
    .state_bytes = sizeof(struct rate_state),
    .wanted = user_wanted,
    .steps = user_steps,
    .ask = ask_user,
    .cancel = cancel,
    .close = leave,
};
