/* queue_entry.c -- the messages of the queue: read from the store, dealt out to the
 * destinations of their recipients, told of or given up when their time has come. */
#include <stdlib.h>

#include "server/accounts.h"
#include "server/log.h"
#include "server/process.h"
#include "server/queue_work.h"
#include "store/store.h"

/* A job, and the destination that it may be the only one of. */
enum { JOB_BYTES = sizeof(struct queue_job) + sizeof(struct destination) };

static const int64_t second_ns = 1000000000;
/* Beyond it a time of the disk means nothing. */
static const int64_t far_s = 100LL * 366 * 86400;
static const int64_t busy_wait_ns = 500000000; /* for settlements to get fewer */

/* --- time --------------------------------------------------------------- */

static int64_t between(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

int64_t queue_ns_of(const struct thread *t, int64_t wall_s)
{
    return t->now_ns + between(wall_s - t->now_s, -far_s, far_s) * second_ns;
}

int64_t queue_wall_of(const struct thread *t, int64_t ns)
{
    return t->now_s + (ns - t->now_ns) / second_ns;
}

int64_t queue_pause_ns(int64_t first_ns, int64_t max_ns, uint32_t failures)
{
    int64_t pause = first_ns;

    for (uint32_t i = 1; i < failures && pause < max_ns; i++)
        pause *= 2;
    if (pause > max_ns)
        pause = max_ns;
    return pause - (int64_t)(random_u64() % ((uint64_t)pause / 4 + 1));
}

/* When the notices and the end are due. An entry whose time seems to be over when it is
 * read (a long stop, or a clock that jumped) gets one more round of tries first; a clock
 * that went back makes no life longer than it is. */
static void set_times(
    struct queue_entry *e, const struct envelope *v, const struct queue_state *s)
{
    struct thread *t = e->queue->thread;
    const struct config *c = t->config;
    int64_t life_ns = (int64_t)c->queue_lifetime * second_ns;
    int64_t grace_ns = between((int64_t)c->retry_max * second_ns, 0, life_ns);
    int64_t from_s = v->hold_until_s > v->arrived_s ? v->hold_until_s : v->arrived_s;
    int64_t from_ns = queue_ns_of(t, from_s);

    if (v->hold_until_s <= v->arrived_s && from_ns > t->now_ns)
        from_ns = t->now_ns;
    e->expire_ns = from_ns + life_ns;
    if (e->expire_ns < t->now_ns + grace_ns)
        e->expire_ns = t->now_ns + grace_ns;
    e->delay_ns = s->delay_told || c->delay_notice == 0
        ? INT64_MAX
        : from_ns + (int64_t)c->delay_notice * second_ns;
    e->by_ns = v->by_s == 0 || s->by_told ? INT64_MAX : queue_ns_of(t, v->by_s);
}

/* --- the table ---------------------------------------------------------- */

static struct queue_entry **row_of(const struct queue *q, uint64_t id)
{
    return &q->entries[(id * 0x9e3779b97f4a7c15ull >> 32) & q->row_mask];
}

struct queue_entry *entry_find(const struct queue *q, uint64_t id)
{
    struct queue_entry *e = *row_of(q, id);

    while (e && e->id != id)
        e = e->next;
    return e;
}

static void link_entry(struct queue *q, struct queue_entry *e)
{
    struct queue_entry **row = row_of(q, e->id);

    e->next = *row;
    *row = e;
    q->counts.entries++;
    q->counts.bytes += e->bytes;
}

void entry_free(struct queue_entry *e)
{
    struct queue *q = e->queue;
    struct queue_entry **at = row_of(q, e->id);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    while (e->jobs)
        job_free(e->jobs);
    timer_clear(&e->timer);
    outcomes_forget(e);
    q->counts.entries--;
    q->counts.bytes -= e->bytes;
    q->counts.held -= e->held;
    free(e);
    queue_count_room(q);
}

struct store *entry_store(const struct queue_entry *e)
{
    return shard_store(e->queue->thread, e->shard);
}

/* --- jobs --------------------------------------------------------------- */

static struct queue_job *job_new(
    struct queue_entry *e, struct destination *to, bool forwarded)
{
    struct queue_job *job = calloc(1, sizeof *job);

    if (!job)
        return NULL;
    *job = (struct queue_job){.next = e->jobs,
        .entry = e,
        .to = to,
        .first = QUEUE_CHAIN_END,
        .state = JOB_HELD,
        .forwarded = forwarded};
    e->jobs = job;
    e->bytes += JOB_BYTES;
    e->queue->counts.bytes += JOB_BYTES;
    to->jobs++;
    to->latest[forwarded] = job;
    e->queue->counts.jobs++;
    return job;
}

void job_free(struct queue_job *job)
{
    struct destination *to = job->to;
    struct queue_job **at = &job->entry->jobs;

    job_leave(job, JOB_HELD);
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    if (to->latest[job->forwarded] == job)
        to->latest[job->forwarded] = NULL;
    to->jobs--;
    job->entry->bytes -= JOB_BYTES;
    job->entry->queue->counts.bytes -= JOB_BYTES;
    job->entry->queue->counts.jobs--;
    free(job);
    destination_free_idle(to);
}

static struct slice domain_of(struct slice address)
{
    size_t at = address.len;

    while (at > 0 && address.at[at - 1] != '@')
        at--;
    return at > 0 ? slice_of(address.at + at, address.len - at) : S("");
}

/* The recipient joins the job of its destination. False: no memory. */
static bool deal_rcpt(struct queue_entry *e, const struct envelope *v, unsigned i)
{
    struct destination *to =
        destination_of(e->queue, domain_of(v->rcpts[i].address), tls_need_of(v));
    bool forwarded = v->rcpts[i].forwarded;
    struct queue_job *job;

    if (!to)
        return false;
    job = to->latest[forwarded];
    if (!job || job->entry != e)
        job = job_new(e, to, forwarded);
    if (!job) {
        destination_free_idle(to);
        return false;
    }
    e->chain[i] = job->first;
    job->first = (uint16_t)i;
    job->count++;
    return true;
}

/* When a job is tried first, by what its recipients wait for. */
static int64_t start_of(
    const struct queue_job *job, const struct envelope *v, const struct queue_state *s)
{
    const struct queue_entry *e = job->entry;
    struct thread *t = e->queue->thread;
    int64_t max_ns = (int64_t)t->config->retry_max * second_ns, at = INT64_MAX;

    if (v->hold_until_s > t->now_s)
        return queue_ns_of(t, v->hold_until_s);
    for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = e->chain[i]) {
        int64_t next = s->rcpts[i].next_s ? queue_ns_of(t, s->rcpts[i].next_s) : 0;

        if (next < at)
            at = next;
    }
    return between(at, 0, t->now_ns + max_ns);
}

static void start_job(
    struct queue_job *job, const struct envelope *v, const struct queue_state *s)
{
    int64_t at = start_of(job, v, s);

    for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = job->entry->chain[i])
        if (s->rcpts[i].attempts > job->attempts)
            job->attempts = s->rcpts[i].attempts;
    if (job->entry->held)
        job_leave(job, JOB_HELD);
    else if (at > job->entry->queue->thread->now_ns)
        job_wait(job, at);
    else
        job_ready(job);
}

bool job_keep_pending(struct queue_job *job, const struct queue_state *state)
{
    struct queue_entry *e = job->entry;
    uint16_t *at = &job->first;

    job->count = 0;
    while (*at != QUEUE_CHAIN_END) {
        bool stays = state->rcpts[*at].fate == QUEUE_PENDING;

        job->count += stays;
        if (stays)
            at = &e->chain[*at];
        else
            *at = e->chain[*at];
    }
    if (job->count > 0)
        return true;
    job_free(job);
    return false;
}

/* --- reading ------------------------------------------------------------ */

static enum status decode(struct slice envelope, struct slice state, struct arena *arena,
    struct envelope *v, struct queue_state *s)
{
    struct slice bytes = arena_copy(arena, envelope), more = arena_copy(arena, state);

    if (!bytes.at || (state.len > 0 && !more.at))
        return STATUS_NO_MEMORY;
    TRY(envelope_decode(bytes, arena, v));
    if (v->rcpt_count == 0 || v->rcpt_count >= QUEUE_CHAIN_END)
        return STATUS_CORRUPT;
    return queue_state_decode(more, v->rcpt_count, arena, s);
}

enum status entry_read(const struct queue_entry *e, struct arena *arena,
    struct envelope *envelope, struct queue_state *state)
{
    struct store_queued stored;

    if (!store_queue_find(entry_store(e), e->id, &stored))
        return STATUS_NOT_FOUND;
    return decode(stored.envelope, stored.state, arena, envelope, state);
}

static struct queue_entry *entry_new(struct queue *q, unsigned shard,
    const struct store_queued *stored, const struct envelope *v,
    const struct queue_state *s)
{
    struct queue_entry *e = calloc(1, sizeof *e + v->rcpt_count * sizeof e->chain[0]);

    if (!e)
        return NULL;
    e->queue = q;
    e->id = stored->id;
    e->shard = (uint16_t)shard;
    e->rcpt_count = (uint16_t)v->rcpt_count;
    e->priority = v->priority;
    e->held = s->held;
    e->by_return = v->by_s != 0 && !v->by_notify;
    e->bytes = (uint32_t)(sizeof *e + stored->envelope.len + stored->state.len +
        v->rcpt_count * sizeof e->chain[0]);
    list_init(&e->outcomes);
    set_times(e, v, s);
    q->counts.held += e->held;
    link_entry(q, e);
    return e;
}

/* It stays in the store, and nothing is done about it but saying so. */
static void say_unreadable(uint64_t id, unsigned shard, enum status status)
{
    struct event event;

    if (!event_begin_always(&event, LEVEL_ERROR, "queue-unreadable"))
        return;
    event_number(&event, "entry", id);
    event_number(&event, "shard", shard);
    event_string(&event, "why", status_text(status));
    event_end(&event);
}

static enum status build(struct queue *q, unsigned shard,
    const struct store_queued *stored, struct arena *arena)
{
    struct envelope v;
    struct queue_state s;
    struct queue_entry *e;

    TRY(decode(stored->envelope, stored->state, arena, &v, &s));
    e = entry_new(q, shard, stored, &v, &s);
    if (!e)
        return STATUS_NO_MEMORY;
    /* From the end, since each comes in front of those before. */
    for (unsigned i = v.rcpt_count; i-- > 0;)
        if (s.rcpts[i].fate == QUEUE_PENDING && !deal_rcpt(e, &v, i)) {
            entry_free(e);
            return STATUS_NO_MEMORY;
        }
    for (struct queue_job *job = e->jobs, *next; job; job = next) {
        next = job->next;
        start_job(job, &v, &s);
    }
    entry_set_timer(e);
    queue_count_room(q);
    return STATUS_OK;
}

void entry_load(struct queue *q, unsigned shard, uint64_t id)
{
    struct arena arena = arena_of(QUEUE_ARENA_MAX);
    struct store_queued stored;
    enum status status = STATUS_OK;

    if (!entry_find(q, id) &&
        store_queue_find(shard_store(q->thread, shard), id, &stored))
        status = build(q, shard, &stored, &arena);
    if (status != STATUS_OK)
        say_unreadable(id, shard, status);
    arena_reset(&arena);
}

/* --- its time has come -------------------------------------------------- */

static void on_time(struct timer *timer);

void entry_set_timer(struct queue_entry *e)
{
    int64_t at = e->expire_ns;

    timer_clear(&e->timer);
    if (e->held || e->dropped)
        return;
    if (e->delay_ns < at)
        at = e->delay_ns;
    if (e->by_ns < at)
        at = e->by_ns;
    timer_set(e->queue->thread, &e->timer, at, on_time);
}

/* What is known of why a job has not gone out yet. */
static const struct queue_answer *reason(
    const struct queue_job *job, const struct queue_rcpt *r)
{
    return r->answer ? r->answer : job->to->last;
}

static bool idle(const struct queue_job *job)
{
    return job->state == JOB_READY || job->state == JOB_WAITING;
}

/* Ends what is not under way: each job with the answer that it had last. */
static bool give_up(struct queue_entry *e, const struct queue_state *s, bool by)
{
    static const struct queue_answer late = {
        .status = {5, 4, 7}, .ours = true, .text = SI("delivery time expired")};
    bool all = true;

    for (struct queue_job *job = e->jobs, *next; job; job = next) {
        const struct queue_answer *why = by ? &late : reason(job, &s->rcpts[job->first]);
        struct outcome *o;

        next = job->next;
        if (!idle(job))
            continue;
        o = outcome_of_job(job, OUTCOME_EXPIRED, why ? why : &late);
        if (o)
            outcome_settle(o);
        all &= o != NULL;
    }
    return all;
}

/* Tells the sender of all that is pending. */
static bool tell(
    struct queue_entry *e, const struct queue_state *s, enum outcome_what what)
{
    struct outcome *o = outcome_new(e, NULL, e->rcpt_count);

    if (!o)
        return false;
    o->count = 0;
    for (struct queue_job *job = e->jobs; job; job = job->next)
        for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = e->chain[i]) {
            const struct queue_answer *why = reason(job, &s->rcpts[i]);

            o->rcpts[o->count++] = (struct outcome_rcpt){.rcpt = (uint16_t)i,
                .what = (uint8_t)what,
                .answer = why ? outcome_answer(o, why) : NULL};
        }
    outcome_settle(o);
    return true;
}

/* One of what is due; false: no memory. */
static bool do_due(struct queue_entry *e, const struct queue_state *s)
{
    int64_t now = e->queue->thread->now_ns;

    if (e->expire_ns <= now) {
        e->expire_ns = now + busy_wait_ns * 20; /* again for what is under way now */
        return give_up(e, s, false);
    }
    if (e->by_ns <= now) {
        e->by_ns = e->by_return ? now + busy_wait_ns * 2 : INT64_MAX;
        return e->by_return ? give_up(e, s, true) : tell(e, s, OUTCOME_BY_DELAYED);
    }
    if (e->delay_ns <= now) {
        e->delay_ns = INT64_MAX;
        return tell(e, s, OUTCOME_DELAYED);
    }
    return true;
}

static void on_time(struct timer *timer)
{
    struct queue_entry *e = container_of(timer, struct queue_entry, timer);
    struct queue *q = e->queue;
    struct arena arena = arena_of(QUEUE_ARENA_MAX);
    struct envelope v;
    struct queue_state s;
    bool good = false;

    if (!settlements_busy(q) && !e->settlement && list_empty(&e->outcomes) &&
        !q->stopping && entry_read(e, &arena, &v, &s) == STATUS_OK)
        good = do_due(e, &s);
    arena_reset(&arena);
    if (good)
        entry_set_timer(e);
    else
        timer_set(q->thread, &e->timer, q->thread->now_ns + busy_wait_ns, on_time);
}
