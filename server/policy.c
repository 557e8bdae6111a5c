#include "server/policy.h"

#include <stdlib.h>

#include "server/config.h"
#include "server/log.h"
#include "server/policy_check.h"

enum {
    ERRORS_FREE = 5,   /* of a connection, which cost no time */
    ERROR_STEP_MS = 20 /* longer with each error after them */
};

/* What costs least first. */
static const struct policy_check *const policy_checks[] = {
    &policy_helo, &policy_rate_address, &policy_rate_user, &policy_sender};

enum { POLICY_CHECK_COUNT = sizeof policy_checks / sizeof *policy_checks };

struct policy {
    struct conn *conn;
    void (*wake)(void *arg);
    void *arg;
    const struct policy_check *const *checks;
    const struct policy_facts *facts; /* of the step under way */
    char *fields;
    unsigned fields_len, errors;
    uint16_t wanted;                /* bits: the flags want the check */
    uint16_t text;                  /* bits: it looks at the text */
    uint16_t messages;              /* bits: it hears of where they begin and end */
    uint16_t steps;                 /* bits: some check is asked there */
    uint16_t at[POLICY_CHECKS_MAX]; /* where its state begins, in units of 16 octets */
    uint8_t count;
    uint8_t next;   /* the check that is asked, or waited for */
    uint8_t step;   /* enum policy_step */
    uint8_t answer; /* enum policy_answer */
    bool asking;    /* inside policy_ask() */
    bool in_message;
    struct slice reply;
    _Alignas(16) char states[];
};

static void *state_of(struct policy *p, unsigned i)
{
    return p->states + (size_t)p->at[i] * 16;
}

static bool is_wanted(const struct policy *p, unsigned i)
{
    return (p->wanted >> i & 1) != 0;
}

/* --- of a connection --------------------------------------------------- */

static size_t blocks_of(const struct policy_check *check)
{
    return (check->state_bytes + 15) / 16;
}

static unsigned wanted_of(const struct config *config,
    const struct policy_check *const *checks, unsigned count, size_t *blocks)
{
    unsigned wanted = 0;

    *blocks = 0;
    for (unsigned i = 0; i < count; i++) {
        if (checks[i]->wanted && !checks[i]->wanted(config))
            continue;
        wanted |= 1u << i;
        *blocks += blocks_of(checks[i]);
    }
    return wanted;
}

static void add_check(struct policy *p, unsigned i)
{
    const struct policy_check *check = p->checks[i];

    p->text = (uint16_t)(p->text | (unsigned)(check->text != NULL) << i);
    p->messages = (uint16_t)(p->messages | (unsigned)(check->begin || check->reset) << i);
    if (check->ask)
        policy_ask_at(p, check->steps ? check->steps(p->conn->thread->config) : ~0u);
}

struct policy *policy_open_checks(struct conn *c,
    const struct policy_check *const *checks, unsigned count, void (*wake)(void *arg),
    void *arg)
{
    size_t blocks;
    unsigned wanted = wanted_of(c->thread->config, checks, count, &blocks);
    struct policy *p;

    CHECK(count <= POLICY_CHECKS_MAX);
    p = calloc(1, sizeof *p + blocks * 16);
    if (!p)
        return NULL;
    p->conn = c;
    p->wake = wake;
    p->arg = arg;
    p->checks = checks;
    p->count = (uint8_t)count;
    p->wanted = (uint16_t)wanted;
    blocks = 0;
    for (unsigned left = wanted; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        p->at[i] = (uint16_t)blocks;
        blocks += blocks_of(checks[i]);
        add_check(p, i);
    }
    return p;
}

struct policy *policy_open(struct conn *c, void (*wake)(void *arg), void *arg)
{
    return policy_open_checks(c, policy_checks, POLICY_CHECK_COUNT, wake, arg);
}

static void cancel(struct policy *p)
{
    if (p->answer != POLICY_PENDING)
        return;
    p->checks[p->next]->cancel(p, state_of(p, p->next));
    p->answer = POLICY_PASS;
}

void policy_close(struct policy *p)
{
    if (!p)
        return;
    policy_reset(p);
    for (unsigned i = 0; i < p->count; i++)
        if (is_wanted(p, i) && p->checks[i]->close)
            p->checks[i]->close(p, state_of(p, i));
    free(p);
}

struct conn *policy_conn(const struct policy *p)
{
    return p->conn;
}

void policy_ask_at(struct policy *p, unsigned steps)
{
    p->steps = (uint16_t)(p->steps | steps);
}

bool policy_is_unlimited(const struct policy *p)
{
    const struct config *config = p->conn->thread->config;

    return conn_peer_in(
               p->conn, config->unlimited_from.at, config->unlimited_from.count) ||
        conn_peer_in(p->conn, config->trust.at, config->trust.count);
}

/* --- a step ------------------------------------------------------------ */

static void log_refusal(const struct policy *p)
{
    static const char *const steps[] = {"connect", "helo", "mail", "rcpt", "end"};
    const struct policy_facts *f = p->facts;
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_INFO, "policy-refused"))
        return;
    event_string(&e, "check", p->checks[p->next]->name);
    event_string(&e, "step", steps[p->step]);
    if (f->sender)
        event_text(&e, "from", f->sender->text);
    if (f->rcpt)
        event_text(&e, "to", f->rcpt->text);
    event_text(&e, "reply", slice_trim(policy_reply(p)));
    event_number(&e, "session", p->conn->id);
    event_text(&e, "peer", conn_peer_text(p->conn, peer, sizeof peer));
    event_end(&e);
}

/* Asks those that are left, until one does not pass. */
static void go_on(struct policy *p)
{
    for (; p->next < p->count; p->next++) {
        const struct policy_check *check = p->checks[p->next];

        if (!is_wanted(p, p->next) || !check->ask)
            continue;
        p->answer = (uint8_t)check->ask(
            p, state_of(p, p->next), (enum policy_step)p->step, p->facts);
        if (p->answer == POLICY_REFUSE)
            log_refusal(p);
        if (p->answer != POLICY_PASS)
            return;
    }
    p->answer = POLICY_PASS;
}

bool policy_asks(const struct policy *p, enum policy_step step)
{
    return (p->steps >> step & 1) != 0;
}

enum policy_answer policy_ask(
    struct policy *p, enum policy_step step, const struct policy_facts *facts)
{
    CHECK(p->answer != POLICY_PENDING);
    p->step = (uint8_t)step;
    p->facts = facts;
    p->reply = S("");
    p->next = 0;
    p->asking = true;
    go_on(p);
    p->asking = false;
    return (enum policy_answer)p->answer;
}

void policy_answer(struct policy *p, enum policy_answer answer)
{
    CHECK(p->answer == POLICY_PENDING && !p->asking && answer != POLICY_PENDING);
    p->answer = (uint8_t)answer;
    if (answer == POLICY_REFUSE) {
        log_refusal(p);
    } else {
        p->next++;
        p->asking = true;
        go_on(p);
        p->asking = false;
    }
    if (p->answer != POLICY_PENDING)
        p->wake(p->arg);
}

enum policy_answer policy_result(struct policy *p)
{
    return (enum policy_answer)p->answer;
}

enum policy_answer policy_refuse(struct policy *p, struct slice reply)
{
    p->reply = reply;
    return POLICY_REFUSE;
}

struct slice policy_reply(const struct policy *p)
{
    CHECK(p->reply.len > 0);
    return p->reply;
}

/* --- a message --------------------------------------------------------- */

void policy_begin(struct policy *p)
{
    policy_reset(p);
    p->in_message = true;
    for (unsigned left = p->messages; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        if (p->checks[i]->begin)
            p->checks[i]->begin(p, state_of(p, i));
    }
}

void policy_text(struct policy *p, struct slice bytes)
{
    for (unsigned left = p->text; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        p->checks[i]->text(p, state_of(p, i), bytes);
    }
}

void policy_reset(struct policy *p)
{
    cancel(p);
    for (unsigned left = p->in_message ? p->messages : 0; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        if (p->checks[i]->reset)
            p->checks[i]->reset(p, state_of(p, i));
    }
    p->in_message = false;
    free(p->fields);
    p->fields = NULL;
    p->fields_len = 0;
}

bool policy_add_field(struct policy *p, struct slice field)
{
    char *at;

    if (field.len > POLICY_FIELDS_MAX - p->fields_len)
        return false;
    at = realloc(p->fields, p->fields_len + field.len + 1);
    if (!at)
        return false;
    memcpy(at + p->fields_len, field.at, field.len);
    p->fields = at;
    p->fields_len += (unsigned)field.len;
    return true;
}

struct slice policy_fields(const struct policy *p)
{
    return p->fields ? slice_of(p->fields, p->fields_len) : S("");
}

/* --- errors ------------------------------------------------------------ */

unsigned policy_error_delay(struct policy *p)
{
    unsigned ms = 0;

    if (policy_is_unlimited(p))
        return 0;
    if (p->errors < POLICY_DELAY_MAX_MS)
        p->errors++;
    if (p->errors > ERRORS_FREE)
        ms = (p->errors - ERRORS_FREE) * ERROR_STEP_MS;
    for (unsigned i = 0; i < p->count; i++) {
        unsigned more = is_wanted(p, i) && p->checks[i]->error
            ? p->checks[i]->error(p, state_of(p, i))
            : 0;

        if (more == POLICY_CLOSE)
            return POLICY_CLOSE;
        ms += more;
    }
    return ms < POLICY_DELAY_MAX_MS ? ms : POLICY_DELAY_MAX_MS;
}
