/* The checks of the policy: what they are told, and what follows their answers; and the
 * pauses by which errors cost time. */
#include <stdlib.h>

#include "server/session_smtp_work.h"

/* --- of a connection ------------------------------------------------------------- */

static void on_answer(void *arg)
{
    struct session_smtp *s = arg;

    conn_wake(&s->conn);
}

bool smtp_policy_open(struct session_smtp *s)
{
    s->chain = calloc(1, sizeof *s->chain);
    if (!s->chain)
        return false;
    s->chain->policy = policy_open(&s->conn, on_answer, s);
    return s->chain->policy != NULL;
}

static void drop_delay(struct session_smtp *s)
{
    if (!s->delay)
        return;
    timer_clear(&s->delay->timer);
    free(s->delay);
    s->delay = NULL;
}

void smtp_policy_close(struct session_smtp *s)
{
    drop_delay(s);
    if (!s->chain)
        return;
    policy_close(s->chain->policy);
    free(s->chain->hello);
    free(s->chain);
    s->chain = NULL;
}

/* --- a step ---------------------------------------------------------------------- */

static void state_facts(struct session_smtp *s, enum policy_step step)
{
    struct smtp_message *m = s->message;
    struct policy_facts *f = &s->chain->facts;
    const char *helo = s->chain->hello ? s->chain->hello : s->helo;

    *f = (struct policy_facts){
        .submission = smtp_is_submission(s),
        .lmtp = smtp_is_lmtp(s),
        .authenticated = s->user != NULL,
        .trusted = s->user || s->trusted,
        .peer = s->conn.peer,
        .helo = helo ? slice_str(helo) : S(""),
        .user = s->user ? slice_str(s->user) : S(""),
    };
    if (!m)
        return;
    f->sender = &m->mail.path;
    f->rcpts = m->rcpts;
    f->size = step == POLICY_END ? m->octets : m->mail.size;
    if (step == POLICY_RCPT) {
        f->rcpt = &m->asked.path;
        f->rcpt_local = m->asked_local;
    }
}

struct slice smtp_policy_reply(const struct session_smtp *s)
{
    return policy_reply(s->chain->policy);
}

/* A client that is turned away may be told so by 554, and then says QUIT (RFC 5321, 3.1).
 */
static void refuse_greeting(struct session_smtp *s)
{
    struct slice reply = smtp_policy_reply(s);

    out_put(&s->conn.out, reply);
    s->turned_away = true;
    if (reply.at[0] != '5')
        conn_close(&s->conn);
}

static void refused(struct session_smtp *s, enum policy_step step)
{
    switch (step) {
    case POLICY_CONNECT:
        refuse_greeting(s);
        return;
    case POLICY_HELO:
        smtp_hello_refused(s);
        smtp_refuse_text(s, smtp_policy_reply(s));
        return;
    case POLICY_MAIL:
        smtp_refuse_text(s, smtp_policy_reply(s));
        smtp_reset(s);
        return;
    case POLICY_RCPT:
        smtp_rcpt_refuse(s, s->message->asked.path.text, smtp_policy_reply(s));
        return;
    case POLICY_END:
        smtp_conclude_text(s, smtp_policy_reply(s));
        return;
    }
}

static void passed(struct session_smtp *s, enum policy_step step)
{
    switch (step) {
    case POLICY_CONNECT:
        smtp_put_greeting(
            &s->conn.out, slice_str(smtp_config(s)->hostname), smtp_is_lmtp(s));
        return;
    case POLICY_HELO:
        smtp_hello_done(s);
        return;
    case POLICY_MAIL:
        smtp_mail_done(s);
        return;
    case POLICY_RCPT:
        smtp_rcpt_passed(s);
        return;
    case POLICY_END:
        smtp_commit(s);
        return;
    }
}

enum policy_answer smtp_policy_begin(struct session_smtp *s, enum policy_step step)
{
    enum policy_answer answer;

    if (!policy_asks(s->chain->policy, step))
        return POLICY_PASS;
    state_facts(s, step);
    answer = policy_ask(s->chain->policy, step, &s->chain->facts);
    if (answer == POLICY_PENDING) {
        s->step = (uint8_t)step;
        s->mode = SMTP_MODE_POLICY;
        conn_pause(&s->conn, true);
    }
    return answer;
}

static void go_on(
    struct session_smtp *s, enum policy_step step, enum policy_answer answer)
{
    if (answer == POLICY_PASS)
        passed(s, step);
    else if (answer == POLICY_REFUSE)
        refused(s, step);
}

void smtp_policy_ask(struct session_smtp *s, enum policy_step step)
{
    go_on(s, step, smtp_policy_begin(s, step));
}

enum smtp_turn smtp_policy_step(struct session_smtp *s)
{
    enum policy_answer answer = policy_result(s->chain->policy);

    if (answer == POLICY_PENDING)
        return SMTP_WAIT;
    s->mode = SMTP_MODE_COMMAND;
    conn_pause(&s->conn, false);
    smtp_rest(s);
    go_on(s, (enum policy_step)s->step, answer);
    return SMTP_AGAIN;
}

/* --- pauses ---------------------------------------------------------------------- */

static void on_due(struct timer *timer)
{
    struct smtp_delay *d = container_of(timer, struct smtp_delay, timer);

    d->due = true;
    conn_wake(&d->session->conn);
}

bool smtp_delay(struct session_smtp *s, struct slice line)
{
    struct thread *t = s->conn.thread;
    unsigned ms = policy_error_delay(s->chain->policy);
    bool closes = ms == POLICY_CLOSE;
    struct smtp_delay *d = ms && !closes ? calloc(1, sizeof *d + line.len) : NULL;

    CHECK(!s->delay);
    if (closes)
        smtp_bye(s, SMTP_REPLY_ERRORS);
    if (!d)
        return closes;
    d->session = s;
    d->len = line.len;
    memcpy(d->reply, line.at, line.len);
    timer_set(t, &d->timer, t->now_ns + (int64_t)ms * 1000000, on_due);
    s->delay = d;
    s->after = s->mode;
    s->mode = SMTP_MODE_DELAY;
    conn_pause(&s->conn, true);
    return true;
}

enum smtp_turn smtp_delay_step(struct session_smtp *s)
{
    if (!s->delay->due)
        return SMTP_WAIT;
    out_put(&s->conn.out, slice_of(s->delay->reply, s->delay->len));
    s->mode = s->after;
    drop_delay(s);
    conn_pause(&s->conn, false);
    smtp_rest(s);
    return SMTP_AGAIN;
}
