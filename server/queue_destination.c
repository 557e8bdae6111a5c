/* queue_destination.c -- where the jobs of the queue are going: which may be sent now,
 * and how many sessions that is worth. */
#include <stdlib.h>

#include "server/accounts.h"
#include "server/log.h"
#include "server/queue_work.h"

enum {
    KICKS_A_TURN = 64,
    JOBS_A_LOOK = 16 /* that fail, or are delivered here, in one look */
};

static const int64_t second_ns = 1000000000;
static const int64_t rest_first_ns = 30LL * 1000000000;

/* --- the table ---------------------------------------------------------- */

static uint64_t hash_part(unsigned need)
{
    return (uint64_t)need << 32;
}

static uint64_t hash_of(const struct queue *q, const struct next_hop *hop,
    struct slice name, enum tls_need need)
{
    uint64_t key = next_hops_key(q->hops);

    /* A domain and the label of a host may read alike. */
    return slice_hash(name, key ^ (hop ? (uint64_t)hop->kind + 1 : 0)) ^ hash_part(need);
}

static struct destination **row_of(const struct queue *q, uint64_t hash)
{
    return &q->destinations[hash & q->row_mask];
}

static struct destination *make(struct queue *q, const struct next_hop *hop,
    struct slice name, enum tls_need need, uint64_t hash)
{
    struct destination *d = calloc(1, sizeof *d + name.len);
    struct destination **row = row_of(q, hash);

    if (!d)
        return NULL;
    d->queue = q;
    d->hop = hop;
    d->hash = hash;
    d->tls = (uint8_t)need;
    d->window = 1;
    d->name_len = (uint16_t)name.len;
    memcpy(d->name, name.at, name.len);
    list_init(&d->ready);
    list_init(&d->sessions);
    d->next = *row;
    *row = d;
    q->counts.destinations++;
    return d;
}

static struct destination *get(
    struct queue *q, const struct next_hop *hop, struct slice name, enum tls_need need)
{
    uint64_t hash = hash_of(q, hop, name, need);
    struct destination *d = *row_of(q, hash);

    while (d &&
        (d->hash != hash || d->hop != hop || d->tls != need ||
            !slice_eq(destination_name(d), name)))
        d = d->next;
    return d ? d : make(q, hop, name, need, hash);
}

enum tls_need tls_need_of(const struct envelope *envelope)
{
    if (envelope->require_tls)
        return envelope->sender.len > 0 ? TLS_REQUIRED : TLS_PREFERRED;
    return envelope->tls_optional ? TLS_OPTIONAL : TLS_USUAL;
}

uint64_t destination_permit_hash(const struct destination *d)
{
    return d->hash ^ hash_part(d->tls);
}

struct destination *destination_of(
    struct queue *q, struct slice domain, enum tls_need need)
{
    const struct next_hop *hop;
    char lower[SMTP_DOMAIN_MAX];

    if (domain.len == 0 || accounts_is_local(q->thread->accounts, domain))
        return get(q, NULL, S("local"), TLS_USUAL);
    hop = next_hops_find(q->hops, domain);
    if (need == TLS_OPTIONAL && next_hop_level(hop, true) == hop->tls)
        need = TLS_USUAL;
    if (hop->kind != NEXT_HOP_MX)
        return get(q, hop, hop->label, need);
    if (domain.len > sizeof lower)
        domain.len = sizeof lower; /* no domain; DNS says so */
    for (size_t i = 0; i < domain.len; i++)
        lower[i] = ascii_lower(domain.at[i]);
    return get(q, hop, slice_of(lower, domain.len), need);
}

struct destination *destination_find(
    const struct queue *q, struct slice name, const struct destination *after)
{
    const struct next_hop *labelled = next_hops_labelled(q->hops, name);
    const struct next_hop *hops[] = {
        NULL, labelled ? labelled : next_hops_find(q->hops, name)};
    bool seen = !after;

    for (unsigned i = 0; i < 2 * TLS_NEEDS; i++) {
        const struct next_hop *hop = hops[i / TLS_NEEDS];
        enum tls_need need = (enum tls_need)(i % TLS_NEEDS);
        struct slice key = hop && hop->kind != NEXT_HOP_MX ? hop->label : name;
        uint64_t hash = hash_of(q, hop, key, need);

        for (struct destination *d = *row_of(q, hash); d; d = d->next) {
            if (d->hash != hash || d->hop != hop || d->tls != need ||
                !slice_eq(destination_name(d), key))
                continue;
            if (seen)
                return d;
            seen = d == after;
        }
    }
    return NULL;
}

void destination_free(struct destination *d)
{
    struct queue *q = d->queue;
    struct destination **at = row_of(q, d->hash);

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    list_remove(&d->link);
    timer_clear(&d->timer);
    sessions_forget(d);
    q->counts.destinations--;
    q->counts.resting -= d->rest_ns != 0;
    free(d->levels);
    free(d->last);
    free(d);
}

void destination_free_idle(struct destination *d)
{
    if (d->jobs == 0 && d->session_count == 0)
        destination_free(d);
}

/* --- jobs --------------------------------------------------------------- */

static struct list *level_of(struct destination *d, int priority)
{
    if (priority == 0)
        return &d->ready;
    if (!d->levels) {
        d->levels = calloc(QUEUE_LEVELS, sizeof *d->levels);
        for (unsigned i = 0; d->levels && i < QUEUE_LEVELS; i++)
            list_init(&d->levels[i]);
    }
    /* Without memory a priority is as good as none. */
    return d->levels ? &d->levels[priority + QUEUE_LEVELS / 2] : &d->ready;
}

void job_leave(struct queue_job *job, enum job_state state)
{
    if (job->state == JOB_READY)
        job->to->ready_count--;
    list_remove(&job->link);
    timer_clear(&job->timer);
    job->state = (uint8_t)state;
}

void job_ready(struct queue_job *job)
{
    job_leave(job, JOB_READY);
    list_add(level_of(job->to, job->entry->priority), &job->link);
    job->to->ready_count++;
    destination_kick(job->to);
}

static void on_job(struct timer *timer)
{
    job_ready(container_of(timer, struct queue_job, timer));
}

void job_wait(struct queue_job *job, int64_t at_ns)
{
    job_leave(job, JOB_WAITING);
    timer_set(job->entry->queue->thread, &job->timer, at_ns, on_job);
}

static struct queue_job *take(struct list *level, enum job_state state)
{
    struct queue_job *job;

    if (list_empty(level))
        return NULL;
    job = container_of(level->next, struct queue_job, link);
    job_leave(job, state);
    return job;
}

struct queue_job *destination_take(struct destination *d)
{
    struct queue_job *job = NULL;

    for (unsigned i = QUEUE_LEVELS; d->levels && i-- > 0 && !job;) {
        if (i == QUEUE_LEVELS / 2)
            job = take(&d->ready, JOB_SENDING);
        else
            job = take(&d->levels[i], JOB_SENDING);
    }
    return job ? job : take(&d->ready, JOB_SENDING);
}

/* --- what to do --------------------------------------------------------- */

static bool is_doubtful(const struct destination *d)
{
    return d->failures > 0;
}

/* Waits for a slot; true: there is one. */
static bool get_slot(struct destination *d)
{
    if (queue_has_slot(d->queue, d))
        return true;
    if (!d->waits_slot) {
        d->waits_slot = true;
        list_add(&d->queue->slots[is_doubtful(d)], &d->link);
    }
    return false;
}

static bool wants_session(const struct destination *d)
{
    unsigned max = (unsigned)d->queue->thread->config->destination_sessions;
    unsigned window = d->window < max ? d->window : max;

    return d->ready_count > 0 && d->opening == 0 && d->session_count < window &&
        d->rest_ns == 0;
}

/* Fails or delivers here some of what is ready. True: there is more to be done at once.
 */
static bool look_without_sessions(struct destination *d)
{
    struct queue *q = d->queue;
    unsigned max = (unsigned)q->thread->config->destination_sessions;

    for (unsigned i = 0; i < JOBS_A_LOOK && d->ready_count > 0; i++) {
        struct queue_job *job;
        struct outcome *o;

        if (!d->refused && d->session_count >= max)
            return false;
        job = destination_take(d);
        if (!d->refused) {
            local_begin(d, job);
            continue;
        }
        o = outcome_of_job(job, OUTCOME_FAILED, d->last);
        if (o)
            outcome_settle(o);
        else
            job_wait(job, q->thread->now_ns + second_ns);
    }
    if (d->ready_count == 0)
        d->refused = false;
    return d->ready_count > 0;
}

/* True: it is to be looked at again in the next turn. */
static bool look(struct destination *d)
{
    if (d->queue->stopping || d->ready_count == 0)
        return false;
    if (settlements_busy(d->queue)) {
        list_add(&d->queue->blocked, &d->link);
        return false;
    }
    if (d->refused || !d->hop)
        return look_without_sessions(d);
    while (d->ready_count > 0 && session_use_idle(d))
        ;
    if (wants_session(d) && get_slot(d))
        session_begin(d);
    return false;
}

void destination_kick(struct destination *d)
{
    if (d->kicked || d->waits_slot)
        return;
    list_remove(&d->link); /* it may be blocked */
    d->kicked = true;
    list_add(&d->queue->kicked, &d->link);
    queue_wake(d->queue);
}

bool destinations_turn(struct queue *q)
{
    for (unsigned i = 0; i < KICKS_A_TURN; i++) {
        struct list *link = list_pop(&q->kicked);
        struct destination *d;

        if (!link)
            return false;
        d = container_of(link, struct destination, link);
        d->kicked = false;
        if (look(d))
            destination_kick(d);
        else
            destination_free_idle(d);
    }
    return !list_empty(&q->kicked);
}

bool queue_has_slot(const struct queue *q, const struct destination *d)
{
    unsigned half = (q->sessions_max + 1) / 2;

    return q->counts.sessions < q->sessions_max &&
        (!is_doubtful(d) || q->doubtful < half);
}

void queue_slot_freed(struct queue *q)
{
    for (unsigned i = 0; i < 2; i++) {
        struct destination *d;

        if (list_empty(&q->slots[i]))
            continue;
        d = container_of(q->slots[i].next, struct destination, link);
        if (!queue_has_slot(q, d))
            continue;
        list_remove(&d->link);
        d->waits_slot = false;
        destination_kick(d);
        return;
    }
}

/* --- sound and unsound -------------------------------------------------- */

static void set_last(struct destination *d, const struct queue_answer *why)
{
    size_t host = why->host.len < QUEUE_HOST_MAX ? why->host.len : QUEUE_HOST_MAX;
    size_t text = why->text.len < QUEUE_TEXT_MAX ? why->text.len : QUEUE_TEXT_MAX;
    struct queue_answer *copy = malloc(sizeof *copy + host + text);
    char *at;

    d->last_s = d->queue->thread->now_s;
    if (!copy)
        return; /* the one before is as good a reason */
    at = (char *)(copy + 1);
    *copy = *why;
    copy->host = slice_of(at, host);
    copy->text = slice_of(at + host, text);
    if (host)
        memcpy(at, why->host.at, host);
    if (text)
        memcpy(at + host, why->text.at, text);
    free(d->last);
    d->last = copy;
}

void destination_wake(struct destination *d)
{
    d->queue->counts.resting -= d->rest_ns != 0;
    d->rest_ns = 0;
    timer_clear(&d->timer);
    destination_kick(d);
}

static void on_rested(struct timer *timer)
{
    destination_wake(container_of(timer, struct destination, timer));
}

static void say_rest(const struct destination *d, int64_t pause_ns)
{
    struct event e;

    if (!event_begin(&e, LEVEL_NOTICE, "destination-rests"))
        return;
    event_text(&e, "destination", destination_name(d));
    event_number(&e, "for-s", (uint64_t)(pause_ns / second_ns));
    event_number(&e, "failures", d->failures);
    event_number(&e, "waiting", d->ready_count);
    if (d->last) {
        event_text(&e, "host", d->last->host);
        event_number(&e, "code", d->last->code);
        event_text(&e, "text", d->last->text);
    }
    event_end(&e);
}

/* Nobody looks at it before. */
static void rest_until(struct destination *d, int64_t at_ns)
{
    d->queue->counts.resting += d->rest_ns == 0;
    d->rest_ns = at_ns;
    timer_set(d->queue->thread, &d->timer, at_ns, on_rested);
}

void destination_pause(struct destination *d, int64_t pause_ns)
{
    rest_until(d, d->queue->thread->now_ns + pause_ns);
}

void destination_rest(struct destination *d, const struct queue_answer *why)
{
    const struct config *c = d->queue->thread->config;
    int64_t first = (int64_t)c->retry_first * second_ns;
    int64_t pause;

    d->failures++;
    d->window = 1;
    set_last(d, why);
    pause = queue_pause_ns(first < rest_first_ns ? first : rest_first_ns,
        (int64_t)c->retry_max * second_ns, d->failures);
    rest_until(d, d->queue->thread->now_ns + pause);
    say_rest(d, pause);
}

void destination_sound(struct destination *d)
{
    d->failures = 0;
    if (d->window < d->queue->thread->config->destination_sessions)
        d->window++;
}

void destination_refuse(struct destination *d, const struct queue_answer *why)
{
    set_last(d, why);
    d->refused = true;
    destination_kick(d);
}
