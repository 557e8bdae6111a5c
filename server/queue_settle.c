/* queue_settle.c -- what attempts have made of recipients, committed.
 *
 * An entry has one settlement at a time: all outcomes that have gathered become one new
 * state, or its end, and at most one report, in one commit. Nothing is forgotten when
 * that fails: it is tried again, so that what was sent is not sent twice, and nobody is
 * told twice.
 */
#include <stdlib.h>

#include "proto/smtp/dsn.h"
#include "server/log.h"
#include "server/queue_work.h"
#include "store/store.h"

struct settlement {
    struct queue_entry *entry;
    struct list outcomes;
    struct arena arena;
    struct envelope envelope;
    struct queue_state state;
    struct store_queue_change change;
    struct dsn_rcpt *told; /* recipients that the report is about */
    unsigned told_count;
    unsigned lost; /* recipients of a report, or without a sender, that have failed */
    const struct outcome_rcpt *first_lost;
    struct report *report;
    struct timer timer; /* until it is tried again */
    unsigned tries;
    bool gone;         /* the entry is no more */
    bool queue_report; /* the accounts of the sender don't take it now */
    bool untellable;   /* there is none of them any more */
};

enum { OUTCOME_ARENA_MAX = 2 << 20, A_TURN = 16 /* settlements begun: below 1 ms */ };
static const int64_t again_ns = 1000000000, again_max_ns = 60000000000;

static void commit(struct settlement *s);

/* --- outcomes ----------------------------------------------------------- */

struct outcome *outcome_new(struct queue_entry *e, struct queue_job *job, unsigned count)
{
    struct outcome *o = calloc(1, sizeof *o + count * sizeof o->rcpts[0]);
    const struct config *c = e->queue->thread->config;

    if (!o)
        return NULL;
    o->entry = e;
    o->job = job;
    o->arena = arena_of(OUTCOME_ARENA_MAX);
    o->at_s = e->queue->thread->now_s;
    o->delay_ns = queue_pause_ns((int64_t)c->retry_first * 1000000000,
        (int64_t)c->retry_max * 1000000000, job ? job->attempts + 1 : 1);
    o->count = count;
    return o;
}

void outcome_free(struct outcome *o)
{
    if (!o)
        return;
    arena_reset(&o->arena);
    free(o);
}

const struct queue_answer *outcome_answer(
    struct outcome *o, const struct queue_answer *answer)
{
    struct queue_answer *copy = arena_take(&o->arena, sizeof *copy);

    if (!copy)
        return NULL;
    *copy = *answer;
    copy->host = arena_copy(&o->arena, answer->host);
    copy->text = arena_copy(&o->arena, answer->text);
    if (!copy->host.at)
        copy->host = S("");
    if (!copy->text.at)
        copy->text = S("");
    return copy;
}

struct outcome *outcome_of_job(
    struct queue_job *job, enum outcome_what what, const struct queue_answer *answer)
{
    struct outcome *o = outcome_new(job->entry, job, job->count);
    const struct queue_answer *copy;
    unsigned n = 0;

    if (!o)
        return NULL;
    copy = answer ? outcome_answer(o, answer) : NULL;
    for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = job->entry->chain[i])
        o->rcpts[n++] = (struct outcome_rcpt){
            .rcpt = (uint16_t)i, .what = (uint8_t)what, .answer = copy};
    return o;
}

/* --- from outcomes to a state ------------------------------------------- */

static enum queue_fate fate_of(enum outcome_what what)
{
    switch (what) {
    case OUTCOME_DELIVERED:
        return QUEUE_DELIVERED;
    case OUTCOME_RELAYED:
    case OUTCOME_RELAYED_END:
        return QUEUE_RELAYED;
    case OUTCOME_FAILED:
        return QUEUE_FAILED;
    case OUTCOME_EXPIRED:
        return QUEUE_EXPIRED;
    case OUTCOME_DROPPED:
        return QUEUE_DROPPED;
    case OUTCOME_LATER:
    case OUTCOME_AGAIN:
    case OUTCOME_DELAYED:
    case OUTCOME_BY_DELAYED:
        break;
    }
    return QUEUE_PENDING;
}

static void count(struct queue *q, enum outcome_what what)
{
    q->counts.delivered += what == OUTCOME_DELIVERED;
    q->counts.relayed += what == OUTCOME_RELAYED || what == OUTCOME_RELAYED_END;
    q->counts.deferred += what == OUTCOME_LATER || what == OUTCOME_AGAIN;
    q->counts.failed += what == OUTCOME_FAILED;
    q->counts.expired += what == OUTCOME_EXPIRED;
}

static void apply_rcpt(
    struct settlement *s, const struct outcome *o, const struct outcome_rcpt *r)
{
    struct queue_rcpt *rcpt = &s->state.rcpts[r->rcpt];
    const struct thread *t = s->entry->queue->thread;
    enum queue_fate fate = fate_of((enum outcome_what)r->what);

    if (rcpt->fate != QUEUE_PENDING)
        return;
    if (r->what == OUTCOME_DELAYED || r->what == OUTCOME_BY_DELAYED)
        return;
    if (fate != QUEUE_PENDING) {
        *rcpt = (struct queue_rcpt){.fate = fate};
        return;
    }
    rcpt->answer = r->answer;
    rcpt->attempts += r->what == OUTCOME_LATER;
    rcpt->next_s =
        r->what == OUTCOME_LATER ? queue_wall_of(t, t->now_ns + o->delay_ns) : 0;
}

/* --- whom to tell (RFC 3461, 4.1; RFC 2852, 4.1) ------------------------ */

/* False: nobody is told of this. */
static bool action_of(
    const struct outcome_rcpt *r, uint8_t notify, enum dsn_action *action)
{
    bool never = notify & SMTP_NOTIFY_NEVER;

    *action = DSN_RELAYED;
    switch ((enum outcome_what)r->what) {
    case OUTCOME_RELAYED:
        return r->anyway && !never;
    case OUTCOME_RELAYED_END:
        return (r->anyway && !never) || (notify & SMTP_NOTIFY_SUCCESS);
    case OUTCOME_DELIVERED:
        *action = DSN_DELIVERED;
        return notify & SMTP_NOTIFY_SUCCESS;
    case OUTCOME_FAILED:
    case OUTCOME_EXPIRED:
        *action = DSN_FAILED;
        return notify == 0 || (notify & SMTP_NOTIFY_FAILURE);
    case OUTCOME_DELAYED:
    case OUTCOME_BY_DELAYED:
        *action = DSN_DELAYED;
        return notify == 0 || (notify & SMTP_NOTIFY_DELAY);
    case OUTCOME_LATER:
    case OUTCOME_AGAIN:
    case OUTCOME_DROPPED:
        break;
    }
    return false;
}

static void put_status(struct dsn_rcpt *d, enum outcome_what what, enum dsn_action action)
{
    static const uint8_t by[3] = {5, 4, 7};
    uint8_t class = action == DSN_FAILED ? 5 : action == DSN_DELAYED ? 4 : 2;

    if (what == OUTCOME_BY_DELAYED ||
        (what == OUTCOME_EXPIRED && memcmp(d->status, by, sizeof by) != 0))
        memcpy(d->status, (uint8_t[]){4, 4, 7}, 3); /* RFC 3463, 3.5 */
    else if (d->status[0] != class)
        memcpy(d->status, (uint8_t[]){class, 0, 0}, 3);
}

static void tell_rcpt(
    struct settlement *s, const struct outcome *o, const struct outcome_rcpt *r)
{
    const struct envelope_rcpt *rcpt = &s->envelope.rcpts[r->rcpt];
    const struct queue_answer *a = r->answer;
    struct dsn_rcpt *d = &s->told[s->told_count];
    enum dsn_action action;

    if (s->state.rcpts[r->rcpt].fate != QUEUE_PENDING ||
        !action_of(r, rcpt->notify, &action))
        return;
    *d = (struct dsn_rcpt){.address = rcpt->address,
        .orcpt = rcpt->orcpt,
        .action = action,
        .attempt_s = a ? o->at_s : 0};
    if (a) {
        memcpy(d->status, a->status, sizeof d->status);
        d->remote = a->host; /* that was silent, too (RFC 3461, 6.3 h) */
        d->code = a->ours ? 0 : a->code;
        d->text = a->text;
    }
    put_status(d, (enum outcome_what)r->what, action);
    if (action == DSN_DELAYED)
        d->retry_until_s = queue_wall_of(s->entry->queue->thread, s->entry->expire_ns);
    s->told_count++;
}

/* A report that nobody can be sent: a bounce never bounces (RFC 5321, 4.5.5; matrix R15).
 */
static void note_lost(struct settlement *s, const struct outcome_rcpt *r)
{
    if ((r->what != OUTCOME_FAILED && r->what != OUTCOME_EXPIRED) ||
        (s->envelope.sender.len > 0 && !s->envelope.notice))
        return;
    if (s->lost++ == 0)
        s->first_lost = r;
}

const struct queue_answer queue_taken_out = {.status = {5, 7, 0},
    .ours = true,
    .text = SI("the postmaster has taken the message out of the queue")};

/* What was under way when the operator took the message out is not tried again. */
static void take_out(const struct queue_entry *e, struct outcome_rcpt *r)
{
    if (!e->dropped || (r->what != OUTCOME_LATER && r->what != OUTCOME_AGAIN))
        return;
    r->what = e->bounced ? OUTCOME_FAILED : OUTCOME_DROPPED;
    r->answer = &queue_taken_out;
}

static void apply(struct settlement *s, struct outcome *o)
{
    for (unsigned i = 0; i < o->count; i++) {
        struct outcome_rcpt *r = &o->rcpts[i];

        take_out(s->entry, r);
        note_lost(s, r);
        if (s->tries == 0)
            count(s->entry->queue, (enum outcome_what)r->what);
        s->state.delay_told |= r->what == OUTCOME_DELAYED;
        s->state.by_told |= r->what == OUTCOME_BY_DELAYED;
        tell_rcpt(s, o, r);
        apply_rcpt(s, o, r);
    }
    s->state.unsure += o->unsure;
    if (o->hold_changed)
        s->state.held = o->hold;
}

static bool any_pending(const struct queue_state *state)
{
    for (unsigned i = 0; i < state->rcpt_count; i++)
        if (state->rcpts[i].fate == QUEUE_PENDING)
            return true;
    return false;
}

/* The last that is heard of it. */
static void say_undeliverable(
    const struct settlement *s, struct slice to, unsigned lost, struct slice text)
{
    struct event e;

    if (!event_begin(&e, LEVEL_NOTICE, "undeliverable"))
        return;
    event_text(&e, "id", s->envelope.log_id);
    event_text(&e, "from", s->envelope.sender);
    event_text(&e, "to", to);
    event_number(&e, "count", lost);
    event_string(&e, "kind", s->envelope.notice ? "report" : "message");
    event_text(&e, "text", text);
    event_string(&e, "told", "nobody");
    event_end(&e);
}

static void say_untold(const struct settlement *s)
{
    const struct outcome_rcpt *r = s->first_lost;
    unsigned failed = 0;

    for (unsigned i = 0; i < s->told_count; i++)
        failed += s->told[i].action == DSN_FAILED;
    if (s->lost > 0)
        say_undeliverable(s, s->envelope.rcpts[r->rcpt].address, s->lost,
            r->answer ? r->answer->text : S(""));
    else if (failed > 0)
        say_undeliverable(s, s->told[0].address, failed, s->told[0].text);
}

/* --- the commit --------------------------------------------------------- */

static void reschedule(struct queue_job *job, const struct outcome *o)
{
    int64_t at = o->resume_ns;

    if (job->entry->held) {
        job_leave(job, JOB_HELD);
        return;
    }
    for (unsigned i = 0; i < o->count && at == 0; i++)
        if (o->rcpts[i].what == OUTCOME_LATER) {
            job->attempts++;
            at = job->entry->queue->thread->now_ns + o->delay_ns;
        }
    /* Some are to go out at once: the others come along when they are due. */
    for (unsigned i = 0; i < o->count; i++)
        if (o->rcpts[i].what == OUTCOME_AGAIN)
            at = 0;
    if (at)
        job_wait(job, at);
    else
        job_ready(job);
}

/* What no session has said: given up here. */
static void say_given_up(const struct settlement *s, const struct outcome *o)
{
    static const char *const names[] = {[OUTCOME_FAILED] = "refused",
        [OUTCOME_EXPIRED] = "expired",
        [OUTCOME_DROPPED] = "dropped"};
    const struct outcome_rcpt *r = o->rcpts;
    struct event e;

    if (o->count == 0 || o->said || r->what < OUTCOME_FAILED ||
        r->what > OUTCOME_DROPPED || !names[r->what] ||
        !event_begin(&e, LEVEL_INFO, names[r->what]))
        return;
    event_text(&e, "id", s->envelope.log_id);
    event_text(&e, "from", s->envelope.sender);
    event_text(&e, "to", s->envelope.rcpts[r->rcpt].address);
    event_number(&e, "count", o->count);
    if (r->answer) {
        event_text(&e, "host", r->answer->host);
        event_number(&e, "code", r->answer->code);
        event_text(&e, "text", r->answer->text);
    }
    event_end(&e);
}

static void finish_outcome(struct settlement *s, struct outcome *o, enum status status)
{
    if (status == STATUS_OK)
        say_given_up(s, o);
    if (o->job && !s->gone && job_keep_pending(o->job, &s->state))
        reschedule(o->job, o);
    if (o->done)
        o->done(o, status);
    outcome_free(o);
}

static void finish(struct settlement *s, enum status status)
{
    struct queue_entry *e = s->entry;
    struct queue *q = e->queue;
    struct list *link;

    e->settlement = NULL;
    q->counts.settling--;
    while ((link = list_pop(&s->outcomes)))
        finish_outcome(s, container_of(link, struct outcome, link), status);
    if (s->gone || s->change.done)
        entry_free(e);
    else if (!list_empty(&e->outcomes))
        list_add(&q->unsettled, &e->link), q->unsettled_count++;
    arena_reset(&s->arena);
    timer_clear(&s->timer);
    free(s);
    queue_wake(q);
}

static void on_again(struct timer *timer)
{
    commit(container_of(timer, struct settlement, timer));
}

static void say_failed(const struct settlement *s, enum status status)
{
    struct event e;

    if (!event_begin(&e, LEVEL_ERROR, "queue-not-written"))
        return;
    event_number(&e, "entry", s->entry->id);
    event_number(&e, "shard", s->entry->shard);
    event_string(&e, "why", status_text(status));
    event_end(&e);
}

static void landed(struct settlement *s, enum status status)
{
    struct queue *q = s->entry->queue;
    int64_t pause = again_ns << (s->tries < 6 ? s->tries : 6);

    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        s->gone = status == STATUS_NOT_FOUND;
        q->counts.reports += s->told_count > 0 && status == STATUS_OK;
        finish(s, status);
        return;
    }
    say_failed(s, status);
    s->tries++;
    if (q->stopping)
        finish(s, status); /* the next start tries again what this one can't write */
    else
        timer_set(q->thread, &s->timer,
            q->thread->now_ns + (pause < again_max_ns ? pause : again_max_ns), on_again);
}

static void on_changed(struct store_op *op, enum status status)
{
    landed(container_of(op, struct settlement, change.op), status);
}

static bool is_there(const struct settlement *s)
{
    struct store_queued stored;

    return store_queue_find(entry_store(s->entry), s->entry->id, &stored);
}

static void on_reported(void *arg, enum status status)
{
    struct settlement *s = arg;

    s->report = NULL;
    if (status == STATUS_LIMIT && !s->queue_report)
        s->queue_report = true;
    else if (status == STATUS_NOT_FOUND && !s->untellable && is_there(s))
        s->untellable = true;
    else {
        landed(s, status);
        return;
    }
    s->tries++; /* what was counted is */
    commit(s);
}

static bool report(struct settlement *s)
{
    struct report_conf conf = {.queue = s->entry->queue,
        .envelope = &s->envelope,
        .entry_id = s->entry->id,
        .shard = s->entry->shard,
        .rcpts = s->told,
        .rcpt_count = s->told_count,
        .settles = &s->change,
        .queue_it = s->queue_report,
        .done = on_reported,
        .arg = s};

    s->report = report_begin(&conf);
    return s->report != NULL;
}

/* What the outcomes make of the state as it is now. */
static enum status work_out(struct settlement *s)
{
    struct queue_entry *e = s->entry;
    unsigned total = 0;
    struct out out;

    arena_reset(&s->arena);
    s->told_count = s->lost = 0;
    TRY(entry_read(e, &s->arena, &s->envelope, &s->state));
    list_each(link, &s->outcomes)
        total += container_of(link, struct outcome, link)->count;
    s->told = arena_take(&s->arena, (total + 1) * sizeof *s->told);
    if (!s->told)
        return STATUS_NO_MEMORY;
    list_each(link, &s->outcomes)
        apply(s, container_of(link, struct outcome, link));
    out = out_of(NULL, queue_state_bytes(&s->state));
    out.at = arena_take(&s->arena, out.cap);
    if (!out.at)
        return STATUS_NO_MEMORY;
    queue_state_encode(&s->state, &out);
    CHECK(!out.full);
    s->change = (struct store_queue_change){.op.done = on_changed,
        .id = e->id,
        .done = !any_pending(&s->state),
        .state = out_slice(&out)};
    return STATUS_OK;
}

static void commit(struct settlement *s)
{
    enum status status = work_out(s);
    struct queue *q = s->entry->queue;

    if (status != STATUS_OK) {
        landed(s, status);
        return;
    }
    if (s->told_count > 0 && (s->untellable || !report_has_reader(q, &s->envelope))) {
        if (s->lost == 0)
            say_untold(s);
        s->told_count = 0;
    }
    if (s->lost > 0 && s->tries == 0)
        say_untold(s);
    if (s->told_count == 0)
        store_queue_change(entry_store(s->entry), &s->change);
    else if (!report(s))
        landed(s, STATUS_NO_MEMORY);
}

/* --- when --------------------------------------------------------------- */

bool settlements_busy(const struct queue *q)
{
    return q->counts.settling + q->unsettled_count >= 2 * QUEUE_SETTLING_MAX;
}

void outcome_settle(struct outcome *o)
{
    struct queue_entry *e = o->entry;
    struct queue *q = e->queue;

    if (o->job)
        job_leave(o->job, JOB_SETTLING);
    list_add(&e->outcomes, &o->link);
    if (!e->settlement && !list_linked(&e->link)) {
        list_add(&q->unsettled, &e->link);
        q->unsettled_count++;
    }
    queue_wake(q);
}

static bool begin(struct queue_entry *e)
{
    struct settlement *s = calloc(1, sizeof *s);
    struct list *link;

    if (!s)
        return false;
    s->entry = e;
    s->arena = arena_of(QUEUE_ARENA_MAX);
    list_init(&s->outcomes);
    while ((link = list_pop(&e->outcomes)))
        list_add(&s->outcomes, link);
    e->settlement = s;
    e->queue->counts.settling++;
    commit(s);
    return true;
}

static void unblock(struct queue *q)
{
    struct list *link;

    while (!settlements_busy(q) && (link = list_pop(&q->blocked)))
        destination_kick(container_of(link, struct destination, link));
}

static void on_later(struct timer *timer)
{
    queue_wake(container_of(timer, struct queue, later));
}

bool settlements_turn(struct queue *q)
{
    bool more = false;

    for (unsigned i = 0; q->counts.settling < QUEUE_SETTLING_MAX; i++) {
        struct list *link = i < A_TURN ? list_pop(&q->unsettled) : NULL;

        more = i == A_TURN;
        if (!link)
            break;
        q->unsettled_count--;
        if (begin(container_of(link, struct queue_entry, link)))
            continue;
        list_add(&q->unsettled, link);
        q->unsettled_count++;
        timer_set(q->thread, &q->later, q->thread->now_ns + again_ns, on_later);
        break;
    }
    unblock(q);
    return more && !list_empty(&q->unsettled);
}

void outcomes_forget(struct queue_entry *e)
{
    struct settlement *s = e->settlement;
    struct list *link;

    if (list_linked(&e->link)) {
        list_remove(&e->link);
        e->queue->unsettled_count--;
    }
    while ((link = list_pop(&e->outcomes)))
        outcome_free(container_of(link, struct outcome, link));
    if (!s)
        return;
    /* Of a report that has not ended by now nothing may be touched: its store is closed.
     */
    timer_clear(&s->timer);
    while ((link = list_pop(&s->outcomes)))
        outcome_free(container_of(link, struct outcome, link));
    arena_reset(&s->arena);
    free(s);
}
