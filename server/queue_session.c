/* queue_session.c -- one session with a destination: a permit, its hosts, then the jobs
 * that are ready, one message after another.
 *
 *   ASKING --permit--> LOOKING --hosts--> OPENING --ready--> SENDING <--> IDLE
 *                                                                |
 *   freed <--given-- GIVING the permit back <--closed-- ENDING <-+
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/forward.h"
#include "server/log.h"
#include "server/queue_work.h"
#include "store/store.h"

enum session_state {
    SESSION_ASKING,
    SESSION_LOOKING,
    SESSION_OPENING,
    SESSION_SENDING,
    SESSION_IDLE,
    SESSION_ENDING,
    SESSION_GIVING
};

struct session {
    struct list link; /* of its destination */
    struct destination *to;
    struct permit permit;
    struct mx_lookup lookup;
    struct hop *hop;
    struct timer timer; /* IDLE: until it is ended */
    struct queue_job *job;
    struct outcome *outcome; /* of the job, made before there is anything to remember */
    struct arena arena;      /* of the message */
    struct envelope envelope;
    struct hop_message message;
    int64_t since_ns; /* the message went to the hop */
    uint32_t sent;    /* messages that went to it */
    uint8_t state;
    bool opening, idle, doubtful; /* as counted */
    bool good;                    /* it has answered for a message */
    char sender[FORWARD_SENDER_MAX];
};

static const int64_t idle_ns = 1000000000;
static const int64_t pause_ns = 200000000; /* no permits to be had there yet */
static const int64_t unreadable_ns = 10000000000;
static const int64_t look_ns = 1000000000; /* does anybody want the slot of a slow one? */

static void next_job(struct session *s);
static bool others_wait(const struct queue *q);

static struct thread *thread_of(const struct session *s)
{
    return s->to->queue->thread;
}

/* --- counting ----------------------------------------------------------- */

static void set_opening(struct session *s, bool opening)
{
    s->to->opening += (unsigned)opening - (unsigned)s->opening;
    s->opening = opening;
}

static void set_idle(struct session *s, bool idle)
{
    s->to->idle += (unsigned)idle - (unsigned)s->idle;
    s->idle = idle;
    if (!idle)
        timer_clear(&s->timer);
}

/* --- the end ------------------------------------------------------------ */

static void free_session(struct session *s)
{
    struct queue *q = s->to->queue;

    set_opening(s, false);
    set_idle(s, false);
    list_remove(&s->link);
    s->to->session_count--;
    q->counts.sessions--;
    q->doubtful -= s->doubtful;
    arena_reset(&s->arena);
    free(s);
}

static void on_given(struct permit *permit)
{
    struct session *s = container_of(permit, struct session, permit);
    struct destination *d = s->to;
    struct queue *q = d->queue;

    free_session(s);
    queue_slot_freed(q);
    destination_kick(d); /* it goes when nothing is left of it */
}

static void end(struct session *s)
{
    uint32_t unused = s->permit.messages > s->sent ? s->permit.messages - s->sent : 0;

    set_opening(s, false);
    set_idle(s, false);
    s->state = SESSION_GIVING;
    permit_give(thread_of(s), &s->permit, unused, on_given);
}

/* --- answers ------------------------------------------------------------ */

static struct queue_answer answer_of(const struct hop *h, const struct hop_answer *a)
{
    const struct mx_host *host = hop_host(h);
    struct queue_answer answer = {.code = a->code,
        .ours = a->ours,
        .host = host && host->name ? slice_str(host->name) : S(""),
        .text = slice_of(a->text, a->len)};

    memcpy(answer.status, a->status, sizeof answer.status);
    return answer;
}

static enum outcome_what what_of(
    const struct session *s, const struct hop_answer *a, bool some_good)
{
    if (a->code >= 200 && a->code < 300)
        /* One with DSN tells of success itself, by LMTP too: it was asked to. */
        return s->message.dsn_relayed ? OUTCOME_RELAYED
            : s->to->hop->lmtp        ? OUTCOME_DELIVERED
                                      : OUTCOME_RELAYED_END;
    if (a->code >= 500)
        return OUTCOME_FAILED;
    if (some_good && a->code == 452 && a->status[1] == 5 && a->status[2] == 3)
        return OUTCOME_AGAIN;
    return OUTCOME_LATER;
}

/* "relayed" is to be told whether asked for or not (RFC 2852, 4.1.4). */
static bool tells_anyway(const struct session *s)
{
    const struct envelope *v = &s->envelope;

    return v->by_s != 0 && (v->by_trace || (v->by_notify && !s->message.by_relayed));
}

static bool any_good(const struct hop_message *m)
{
    for (unsigned i = 0; i < m->rcpt_count; i++)
        if (m->rcpts[i].answer->code >= 200 && m->rcpts[i].answer->code < 300)
            return true;
    return false;
}

/* The session died before it heard of this message: as if it had not been sent. Not so
 * where the operator wants it back: a settlement heeds that. */
static bool never_heard(const struct session *s)
{
    if (s->job->entry->held || s->job->entry->dropped)
        return false;
    for (unsigned i = 0; i < s->message.rcpt_count; i++)
        if (s->message.rcpts[i].answer->code != 0 || !s->message.rcpts[i].answer->ours)
            return false;
    return s->good && !s->message.unsure && !hop_usable(s->hop);
}

/* --- the log ------------------------------------------------------------ */

static void say(const struct session *s, unsigned from, unsigned count)
{
    static const char *const names[] = {[OUTCOME_DELIVERED] = "sent",
        [OUTCOME_RELAYED] = "sent",
        [OUTCOME_RELAYED_END] = "sent",
        [OUTCOME_LATER] = "deferred",
        [OUTCOME_AGAIN] = "deferred",
        [OUTCOME_FAILED] = "refused"};
    const struct outcome_rcpt *r = &s->outcome->rcpts[from];
    const struct hop_answer *a = s->message.rcpts[from].answer;
    const struct mx_host *host = hop_host(s->hop);
    char tls[128], status[16], at[ADDRESS_TEXT_MAX];
    struct event e;

    if (!event_begin(&e, LEVEL_INFO, names[r->what]))
        return;
    snprintf(status, sizeof status, "%u.%u.%u", a->status[0], a->status[1], a->status[2]);
    event_text(&e, "id", s->envelope.log_id);
    event_text(&e, "from", s->message.sender);
    event_text(&e, "to", s->message.rcpts[from].rcpt->address);
    event_number(&e, "count", count);
    if (host) {
        event_string(&e, "host", host->name ? host->name : "");
        event_text(&e, "address", address_text(&host->address, at, sizeof at));
    }
    event_number(&e, "code", a->code);
    event_string(&e, "status", status);
    event_text(&e, "text", slice_of(a->text, a->len));
    event_text(&e, "tls", hop_tls_text(s->hop, tls, sizeof tls));
    event_number(&e, "delay-s",
        s->outcome->at_s > s->envelope.arrived_s
            ? (uint64_t)(s->outcome->at_s - s->envelope.arrived_s)
            : 0);
    if (s->message.unsure && a->code == 0)
        event_string(&e, "unsure", "the whole text went out; it may arrive twice");
    event_end(&e);
}

/* One line for those that have outcome and answer in common. */
static void say_all(const struct session *s)
{
    const struct outcome *o = s->outcome;

    for (unsigned i = 0, n; i < o->count; i += n) {
        for (n = 1; i + n < o->count && o->rcpts[i + n].what == o->rcpts[i].what &&
             s->message.rcpts[i + n].answer == s->message.rcpts[i].answer;
             n++)
            ;
        say(s, i, n);
    }
}

/* --- a message ---------------------------------------------------------- */

static void fill_outcome(struct session *s)
{
    struct hop_message *m = &s->message;
    struct outcome *o = s->outcome;
    bool some_good = any_good(m);
    const struct queue_answer *copy = NULL;

    o->at_s = thread_of(s)->now_s;
    o->unsure = m->unsure;
    o->said = true;
    s->to->queue->counts.unsure += m->unsure;
    for (unsigned i = 0; i < m->rcpt_count; i++) {
        const struct hop_answer *a = m->rcpts[i].answer;

        if (i == 0 || a != m->rcpts[i - 1].answer) {
            struct queue_answer answer = answer_of(s->hop, a);

            copy = outcome_answer(o, &answer);
        }
        o->rcpts[i].what = (uint8_t)what_of(s, a, some_good);
        o->rcpts[i].anyway = tells_anyway(s);
        o->rcpts[i].answer = copy;
    }
}

static void forget_message(struct session *s)
{
    s->job = NULL;
    s->outcome = NULL;
    arena_reset(&s->arena);
}

static void on_sent(struct hop *h, struct hop_message *m)
{
    struct session *s = hop_owner(h);
    struct outcome *o = s->outcome;

    CHECK(m == &s->message && s->state == SESSION_SENDING);
    if (never_heard(s)) {
        struct queue_job *job = s->job;

        outcome_free(o);
        forget_message(s);
        job_ready(job);
    } else {
        fill_outcome(s);
        say_all(s);
        stats_end(&thread_of(s)->stats, TIMES_hop_message, s->since_ns);
        s->sent++;
        for (unsigned i = 0; i < m->rcpt_count; i++)
            s->good |= m->rcpts[i].answer->code != 0;
        if (s->good)
            destination_sound(s->to);
        forget_message(s);
        outcome_settle(o);
    }
    next_job(s);
}

/* The recipients of the job, as the hop wants them and as the outcome remembers them. */
static bool fill_rcpts(struct session *s)
{
    struct queue_job *job = s->job;
    struct hop_rcpt *rcpts = arena_zero(&s->arena, job->count * sizeof *rcpts);
    unsigned n = 0;

    s->outcome = outcome_new(job->entry, job, job->count);
    if (!rcpts || !s->outcome)
        return false;
    for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = job->entry->chain[i]) {
        rcpts[n].rcpt = &s->envelope.rcpts[i];
        s->outcome->rcpts[n++].rcpt = (uint16_t)i;
    }
    CHECK(n == job->count);
    s->message.rcpts = rcpts;
    s->message.rcpt_count = n;
    return true;
}

static bool find_body(struct hop_message *m)
{
    const struct session *s = m->owner;
    struct store_queued stored;

    if (!store_queue_find(m->store, s->job->entry->id, &stored))
        return false;
    m->body = stored.body;
    return true;
}

/* False: it can't be sent now. */
static bool fill_message(struct session *s)
{
    struct queue_entry *e = s->job->entry;
    struct store_queued stored;
    struct queue_state state;

    s->arena = arena_of(QUEUE_ARENA_MAX);
    if (entry_read(e, &s->arena, &s->envelope, &state) != STATUS_OK ||
        !store_queue_find(entry_store(e), e->id, &stored))
        return false;
    s->message = (struct hop_message){.envelope = &s->envelope,
        .sender = s->job->forwarded
            ? forward_sender(thread_of(s), s->envelope.sender, s->sender)
            : s->envelope.sender,
        .store = entry_store(e),
        .body = stored.body,
        .size = stored.size,
        .find = find_body,
        .owner = s};
    return fill_rcpts(s);
}

/* False: not now; the job waits. */
static bool send_job(struct session *s, struct queue_job *job)
{
    s->job = job;
    s->outcome = NULL;
    if (fill_message(s)) {
        set_idle(s, false);
        s->state = SESSION_SENDING;
        s->since_ns = thread_of(s)->now_ns;
        hop_send(s->hop, &s->message);
        return true;
    }
    outcome_free(s->outcome);
    forget_message(s);
    job_wait(job, thread_of(s)->now_ns + unreadable_ns);
    return false;
}

static void quit(struct session *s)
{
    set_idle(s, false);
    s->state = SESSION_ENDING;
    hop_quit(s->hop);
}

static void on_idle(struct timer *timer)
{
    quit(container_of(timer, struct session, timer));
}

/* For a slot that an idle session would hold. */
static bool others_wait(const struct queue *q)
{
    return !list_empty(&q->slots[0]) || !list_empty(&q->slots[1]);
}

/* The next one, or a moment of rest in case that one comes, or the end. */
static void next_job(struct session *s)
{
    struct queue *q = s->to->queue;
    struct queue_job *job;

    if (q->stopping || s->sent >= s->permit.messages || !hop_usable(s->hop)) {
        quit(s);
        return;
    }
    do
        job = settlements_busy(q) ? NULL : destination_take(s->to);
    while (job && !send_job(s, job));
    if (!job && others_wait(q)) {
        quit(s);
    } else if (!job) {
        s->state = SESSION_IDLE;
        set_idle(s, true);
        timer_set(q->thread, &s->timer, q->thread->now_ns + idle_ns, on_idle);
    }
    if (s->to->ready_count > 0)
        destination_kick(s->to);
}

bool session_use_idle(struct destination *d)
{
    if (d->idle == 0)
        return false;
    list_each(link, &d->sessions) {
        struct session *s = container_of(link, struct session, link);

        if (s->state != SESSION_IDLE)
            continue;
        if (hop_usable(s->hop))
            return send_job(s, destination_take(d)) || d->ready_count > 0;
        quit(s);
        return d->idle > 0;
    }
    return false;
}

/* --- opening ------------------------------------------------------------ */

static void on_ready(struct hop *h)
{
    struct session *s = hop_owner(h);

    set_opening(s, false);
    timer_clear(&s->timer);
    next_job(s);
}

/* It never was ready, or never answered for a message: not the fault of the messages. */
static void judge(struct session *s, const struct hop_answer *why)
{
    struct queue_answer answer = answer_of(s->hop, why);
    bool never_ready = s->opening;

    if (s->to->queue->stopping || (!never_ready && (s->good || s->sent == 0)))
        return;
    if (never_ready && why->code >= 500 && !why->ours && s->to->hop->kind == NEXT_HOP_MX)
        destination_refuse(s->to, &answer); /* RFC 5321, 3.1; RFC 7504, 4 */
    else if (never_ready && why->code >= 500 && s->to->tls == TLS_REQUIRED)
        destination_refuse(s->to, &answer); /* RFC 8689, 4.2.1 */
    else
        destination_rest(s->to, &answer);
}

static void on_closed(struct hop *h, const struct hop_answer *why)
{
    struct session *s = hop_owner(h);

    CHECK(!s->job);
    judge(s, why);
    s->hop = NULL;
    end(s);
}

static const struct hop_calls calls = {
    .ready = on_ready, .sent = on_sent, .closed = on_closed};

/* A host that has not greeted yet keeps its slot for as long as nobody else wants it. */
static void on_slow(struct timer *timer)
{
    struct session *s = container_of(timer, struct session, timer);
    struct thread *t = thread_of(s);

    if (others_wait(s->to->queue))
        hop_abort(s->hop);
    else
        timer_set(t, timer, t->now_ns + look_ns, on_slow);
}

static void watch_slow(struct session *s)
{
    struct thread *t = thread_of(s);
    int64_t fair_ns = (int64_t)t->config->hop_connect_timeout * 1000000000;

    timer_set(t, &s->timer, t->now_ns + fair_ns, on_slow);
}

/* `secure`: they are those that take this mail (mx.h). */
static void open_hop(
    struct session *s, const struct mx_host *hosts, unsigned count, bool secure)
{
    static const struct queue_answer no_memory = {
        .status = {4, 3, 0}, .ours = true, .text = SI("out of memory")};
    const struct next_hop *hop = s->to->hop;
    enum tls_need need = (enum tls_need)s->to->tls;
    struct hop_conf conf = {.hosts = hosts,
        .host_count = count,
        .tls = need == TLS_REQUIRED ? HOP_TLS_VERIFY
                                    : next_hop_level(hop, need == TLS_OPTIONAL),
        .implicit_tls = hop->implicit_tls,
        .require_tls = need == TLS_REQUIRED,
        .prefer_tls = need == TLS_PREFERRED && secure,
        .lmtp = hop->lmtp,
        .user = hop->user,
        .password = hop->password};

    for (unsigned i = 0; i < 2; i++)
        conf.source[i] = hop->source[i].family ? &hop->source[i] : NULL;
    s->state = SESSION_OPENING;
    s->hop = hop_open(thread_of(s), &conf, &calls, s);
    if (s->hop) {
        watch_slow(s);
        return;
    }
    destination_rest(s->to, &no_memory);
    end(s);
}

/* What DNS says is as good as an answer (RFC 3463, 3.2, 3.5; RFC 7505, 4.1). */
static struct queue_answer dns_answer(enum mx_status status, const char *why)
{
    struct queue_answer a = {.ours = true, .status = {5, 4, 4}, .text = slice_str(why)};

    switch (status) {
    case MX_NO_DOMAIN:
        memcpy(a.status, (uint8_t[]){5, 1, 2}, 3);
        break;
    case MX_NULL:
        memcpy(a.status, (uint8_t[]){5, 1, 10}, 3);
        break;
    case MX_LOOP:
        memcpy(a.status, (uint8_t[]){5, 4, 6}, 3);
        break;
    case MX_TRY_LATER:
        memcpy(a.status, (uint8_t[]){4, 4, 3}, 3);
        break;
    case MX_OK:
    case MX_NO_HOST:
    case MX_UNUSABLE:
    case MX_BAD_NAME:
        break;
    }
    return a;
}

/* RFC 8689, 4.2.1, step 2: a name that may be forged is nobody's to send this to, however
 * good its certificate. MTA-STS, which could vouch for it too, is not asked. */
static void refuse_forgeable(struct session *s)
{
    static const struct queue_answer answer = {.code = 550,
        .status = {5, 7, 30},
        .ours = true,
        .text = SI("REQUIRETLS was asked for, and the MX of this domain are not certain: "
                   "their DNS answer was not validated (DNSSEC)")};

    destination_refuse(s->to, &answer);
    end(s);
}

static void on_looked(struct mx_lookup *l)
{
    struct session *s = container_of(l, struct session, lookup);
    struct queue_answer answer;

    if (l->status == MX_OK) {
        if (s->to->tls == TLS_REQUIRED && !l->secure)
            refuse_forgeable(s);
        else
            open_hop(s, l->hosts, l->host_count, l->secure);
        return;
    }
    answer = dns_answer(l->status, l->why);
    /* The name of a host in a flag is the operator's to mend. */
    if (l->status == MX_TRY_LATER || s->to->hop->kind != NEXT_HOP_MX) {
        answer.status[0] = 4;
        destination_rest(s->to, &answer);
    } else {
        destination_refuse(s->to, &answer);
    }
    end(s);
}

static void look_up(struct session *s)
{
    const struct next_hop *hop = s->to->hop;
    struct mx_host local = {.address = {.family = AF_UNIX}, .name = hop->name};

    s->state = SESSION_LOOKING;
    switch (hop->kind) {
    case NEXT_HOP_MX:
        mx_find(&s->lookup, thread_of(s), destination_name(s->to), on_looked);
        break;
    case NEXT_HOP_HOST:
        mx_find_host(
            &s->lookup, thread_of(s), slice_str(hop->name), hop->port, on_looked);
        break;
    case NEXT_HOP_UNIX:
        open_hop(s, &local, 1, true);
        break;
    }
}

static void on_granted(struct permit *permit)
{
    struct session *s = container_of(permit, struct session, permit);
    struct destination *d = s->to;

    if (!permit->held && !d->queue->stopping)
        destination_pause(d, pause_ns);
    if (!permit->held || d->queue->stopping || d->ready_count == 0 || d->rest_ns ||
        d->refused)
        end(s);
    else
        look_up(s);
}

void session_begin(struct destination *d)
{
    struct queue *q = d->queue;
    struct session *s = calloc(1, sizeof *s);

    if (!s) {
        destination_pause(d, pause_ns);
        return;
    }
    s->to = d;
    s->doubtful = d->failures > 0;
    s->state = SESSION_ASKING;
    list_add(&d->sessions, &s->link);
    d->session_count++;
    q->counts.sessions++;
    q->doubtful += s->doubtful;
    set_opening(s, true);
    permit_ask(q->thread, &s->permit, destination_permit_hash(d),
        (uint32_t)q->thread->config->hop_messages, on_granted);
}

/* --- stop --------------------------------------------------------------- */

static void stop(struct session *s)
{
    switch ((enum session_state)s->state) {
    case SESSION_LOOKING:
        mx_cancel(&s->lookup);
        end(s);
        break;
    case SESSION_OPENING:
        hop_abort(s->hop);
        break;
    case SESSION_IDLE:
        quit(s);
        break;
    case SESSION_SENDING: /* the message under way first: next_job() ends it then */
    case SESSION_ASKING:  /* permits_stop() answers, there */
    case SESSION_ENDING:
    case SESSION_GIVING:
        break;
    }
}

void sessions_stop(struct queue *q)
{
    for (size_t row = 0; row <= q->row_mask; row++)
        for (struct destination *d = q->destinations[row]; d; d = d->next)
            list_each_safe(link, after, &d->sessions)
                stop(container_of(link, struct session, link));
}

void sessions_forget(struct destination *d)
{
    list_each_safe(link, after, &d->sessions) {
        struct session *s = container_of(link, struct session, link);

        outcome_free(s->outcome);
        mx_cancel(&s->lookup);
        free_session(s);
    }
}
