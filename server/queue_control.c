#include "server/queue_control.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/accounts.h"
#include "server/clock.h"
#include "server/queue_show.h"
#include "server/shard.h"

enum {
    PAGE_BYTES_MAX = 160 << 10,
    LINE_BYTES_MAX = 32 << 10, /* of one line; less room than this ends a page */
    LAST_BYTES_MAX = 256,      /* of the lines that end a page */
    CHANGES_A_PAGE = 64,
    RCPTS_A_PAGE = 100,
    VALUE_MAX = 512
};

static const int64_t page_ns = 300000; /* of a turn */

enum verb { LIST, SHOW, WHY, RETRY, HOLD, RELEASE, DROP, BOUNCE, VERBS };
enum selector { ALL, ID, SENDER, TO, SELECTORS };

static const char *const verb_words[VERBS] = {
    "list", "show", "why", "retry", "hold", "release", "drop", "bounce"};
static const char *const selector_words[SELECTORS] = {"all", "id", "sender", "to"};

/* One request, on its way to a thread and back. */
struct queue_ask {
    struct call call;
    struct queue_asks *asks;
    struct queue_ask *next; /* of those that have finished */
    struct list link;       /* of all */
    void *client;           /* the control thread's */
    enum verb verb;
    enum selector selector;
    bool json;
    unsigned thread, shard_at; /* cursor: which shard of the thread, */
    uint64_t after;            /* the last entry looked at, */
    unsigned rcpt;             /* and in it the next recipient of `show` */
    uint64_t id;
    size_t value_len;
    char value[VALUE_MAX];
    /* On the thread. */
    struct thread *at;
    struct out out;
    unsigned pending, changed, failed;
    bool more, walked;
    enum status status; /* of changes: the first that was not OK */
    struct destination *destination;
    struct call facts_call;
    struct permit_facts facts;
    uint64_t facts_hash, permit_hash;  /* of a destination */
    struct store_queue_change removal; /* of what nobody could read */
    char room[PAGE_BYTES_MAX];
};

struct queue_asks {
    struct process *process;
    int wake_fd;
    struct list all;
    _Atomic(struct queue_ask *) finished; /* pushed by the threads */
    struct queue_ask *taken;              /* what queue_said points into */
    char error[128];
};

/* --- numbers ------------------------------------------------------------ */

enum { COUNTER_BITS = 40 }; /* store.h: shard << 40 | counter */

struct slice queue_id_text(uint64_t id, char at[QUEUE_ID_TEXT_MAX])
{
    int n = snprintf(at, QUEUE_ID_TEXT_MAX, "%llx-%llx",
        (unsigned long long)(id >> COUNTER_BITS),
        (unsigned long long)(id & ((1ull << COUNTER_BITS) - 1)));

    return slice_of(at, (size_t)n);
}

static bool take_hex(struct slice text, unsigned bits, uint64_t *value)
{
    *value = 0;
    if (text.len == 0 || text.len > 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.at[i]);
        unsigned digit = ascii_digit(c) ? (unsigned)(c - '0')
            : c >= 'a' && c <= 'f'      ? (unsigned)(c - 'a' + 10)
                                        : 16;

        if (digit == 16 || *value >> 60)
            return false;
        *value = *value << 4 | digit;
    }
    return bits == 64 || *value >> bits == 0;
}

bool queue_id_parse(struct slice text, uint64_t *id)
{
    struct slice shard = slice_take(&text, slice_find(text, '-'));
    uint64_t high, low;

    if (text.len == 0)
        return false;
    slice_take(&text, 1);
    if (!take_hex(shard, 64 - COUNTER_BITS, &high) || !take_hex(text, COUNTER_BITS, &low))
        return false;
    *id = high << COUNTER_BITS | low;
    return *id != 0;
}

/* --- back to the control thread ----------------------------------------- */

static void push(struct queue_ask *a)
{
    struct queue_asks *asks = a->asks;
    uint64_t one = 1;

    a->next = atomic_load_explicit(&asks->finished, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &asks->finished, &a->next, a, memory_order_release, memory_order_relaxed))
        ;
    if (write(asks->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: the reader is awake anyway */
}

/* The page is whole when all its changes are durable. */
static void settle(struct queue_ask *a)
{
    char line[96];

    if (!a->walked || a->pending > 0)
        return;
    a->out.cap = sizeof a->room; /* what was kept back for the last lines */
    if (a->verb >= RETRY) {
        snprintf(line, sizeof line, "n %u\n", a->changed);
        out_str(&a->out, line);
    }
    if (a->more) {
        snprintf(line, sizeof line, "next %u %u.%llu.%u\n", a->thread, a->shard_at,
            (unsigned long long)a->after, a->rcpt);
        out_str(&a->out, line);
    } else if (a->thread + 1 < process_threads(a->asks->process)) {
        snprintf(line, sizeof line, "next %u 0\n", a->thread + 1);
        out_str(&a->out, line);
    }
    push(a);
}

/* --- what is meant -------------------------------------------------------- */

static struct slice value_of(const struct queue_ask *a)
{
    return slice_of(a->value, a->value_len);
}

/* By the name of the destination, or the domain of the address, where many domains share
 * a destination. */
static bool rcpt_is_meant(const struct queue_ask *a, const struct queue_job *job,
    const struct envelope *v, unsigned rcpt)
{
    return slice_eq(destination_name(job->to), value_of(a)) ||
        slice_eq_nocase(accounts_domain_of(v->rcpts[rcpt].address), value_of(a));
}

static bool goes_to(
    const struct queue_ask *a, const struct queue_entry *e, const struct envelope *v)
{
    for (const struct queue_job *job = e ? e->jobs : NULL; job; job = job->next)
        for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = e->chain[i])
            if (rcpt_is_meant(a, job, v, i))
                return true;
    return false;
}

/* --- changes ------------------------------------------------------------ */

static void on_done(struct outcome *o, enum status status)
{
    struct queue_ask *a = o->owner;

    if (status != STATUS_OK && status != STATUS_NOT_FOUND && a->status == STATUS_OK)
        a->status = status;
    a->pending--;
    settle(a);
}

static bool start(struct queue_ask *a, struct outcome *o)
{
    if (!o) {
        a->status = STATUS_NO_MEMORY;
        return false;
    }
    o->done = on_done;
    o->owner = a;
    a->pending++;
    outcome_settle(o);
    return true;
}

static bool retry(struct queue_ask *a, struct queue_entry *e)
{
    (void)a;
    if (e->held)
        return false;
    for (struct queue_job *job = e->jobs; job; job = job->next) {
        if (job->state == JOB_WAITING)
            job_ready(job);
        if (job->to->rest_ns)
            destination_wake(job->to);
    }
    return true;
}

/* Holds, or lets go of, what is not under way; what is heeds it when it comes back. */
static bool set_held(struct queue_ask *a, struct queue_entry *e, bool held)
{
    struct outcome *o = e->held == held || e->dropped ? NULL : outcome_new(e, NULL, 0);

    if (e->held == held || e->dropped || !o) {
        if (e->held != held && !e->dropped)
            a->status = STATUS_NO_MEMORY;
        return false;
    }
    e->held = held;
    e->queue->counts.held += held ? 1 : (uint64_t)-1;
    for (struct queue_job *job = e->jobs; job; job = job->next)
        if (held && (job->state == JOB_READY || job->state == JOB_WAITING))
            job_leave(job, JOB_HELD);
        else if (!held && job->state == JOB_HELD)
            job_ready(job);
    entry_set_timer(e);
    o->hold_changed = true;
    o->hold = held;
    return start(a, o);
}

static bool is_idle(const struct queue_job *job)
{
    return job->state != JOB_SENDING && job->state != JOB_SETTLING;
}

static enum outcome_what drop_what(const struct queue_ask *a)
{
    return a->verb == BOUNCE ? OUTCOME_FAILED : OUTCOME_DROPPED;
}

/* What is under way heeds `dropped` when it comes back. */
static bool drop_all(struct queue_ask *a, struct queue_entry *e)
{
    bool any = false;

    if (e->dropped)
        return false;
    e->dropped = true;
    e->bounced = a->verb == BOUNCE;
    entry_set_timer(e);
    for (struct queue_job *job = e->jobs, *next; job; job = next) {
        next = job->next;
        if (is_idle(job))
            any |= start(a, outcome_of_job(job, drop_what(a), &queue_taken_out));
    }
    return any;
}

/* Only those of a job that are meant. */
static bool drop_some(
    struct queue_ask *a, struct queue_job *job, const struct envelope *v)
{
    struct outcome *o = outcome_new(job->entry, job, job->count);
    const struct queue_answer *why = o ? outcome_answer(o, &queue_taken_out) : NULL;

    if (!o) {
        a->status = STATUS_NO_MEMORY;
        return false;
    }
    o->resume_ns = job->state == JOB_WAITING ? job->timer.at_ns : 0;
    o->count = 0;
    for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = job->entry->chain[i])
        if (rcpt_is_meant(a, job, v, i))
            o->rcpts[o->count++] = (struct outcome_rcpt){
                .rcpt = (uint16_t)i, .what = (uint8_t)drop_what(a), .answer = why};
    if (o->count > 0)
        return start(a, o);
    outcome_free(o);
    return false;
}

static bool drop(struct queue_ask *a, struct queue_entry *e, const struct envelope *v)
{
    bool any = false;

    if (a->selector != TO)
        return drop_all(a, e);
    for (struct queue_job *job = e->jobs, *next; job; job = next) {
        next = job->next;
        if (is_idle(job))
            any |= drop_some(a, job, v);
    }
    return any;
}

static void on_removed(struct store_op *op, enum status status)
{
    struct queue_ask *a = container_of(op, struct queue_ask, removal.op);

    a->status = status;
    a->changed += status == STATUS_OK;
    a->pending--;
    settle(a);
}

/* What can't be read can only be dropped. */
static void remove_unread(struct queue_ask *a, struct store *store, uint64_t id)
{
    if (a->selector != ID || (a->verb != DROP && a->verb != BOUNCE))
        return;
    a->removal =
        (struct store_queue_change){.op.done = on_removed, .id = id, .done = true};
    a->pending++;
    store_queue_change(store, &a->removal);
}

static bool change(struct queue_ask *a, struct queue_entry *e, const struct envelope *v)
{
    switch (a->verb) {
    case RETRY:
        return retry(a, e);
    case HOLD:
        return set_held(a, e, true);
    case RELEASE:
        return set_held(a, e, false);
    case DROP:
    case BOUNCE:
        return drop(a, e, v);
    case LIST:
    case SHOW:
    case WHY:
    case VERBS:
        break;
    }
    return false;
}

/* --- one entry ---------------------------------------------------------- */

static bool is_meant(const struct queue_ask *a, const struct queue_view *v)
{
    switch (a->selector) {
    case ALL:
    case ID:
        return true;
    case SENDER:
        return v->status == STATUS_OK &&
            slice_eq_nocase(
                v->envelope.sender, slice_eq(value_of(a), S("<>")) ? S("") : value_of(a));
    case TO:
        return v->status == STATUS_OK && goes_to(a, v->entry, &v->envelope);
    case SELECTORS:
        break;
    }
    return false;
}

static bool room_left(const struct queue_ask *a)
{
    return a->out.cap - a->out.len > LINE_BYTES_MAX;
}

/* True: all of it is shown; else `rcpt` is where to go on. */
static bool show(struct queue_ask *a, const struct queue_view *v)
{
    unsigned end = a->rcpt + RCPTS_A_PAGE;

    if (a->rcpt == 0)
        queue_show_head(v, a->json, &a->out);
    for (; a->rcpt < v->state.rcpt_count && a->rcpt < end && room_left(a); a->rcpt++)
        queue_show_rcpt(v, a->rcpt, a->json, &a->out);
    if (a->rcpt < v->state.rcpt_count)
        return false;
    a->rcpt = 0;
    return true;
}

/* The same for `why`, by jobs. */
static bool explain(struct queue_ask *a, const struct queue_view *v)
{
    const struct queue_job *job = v->entry ? v->entry->jobs : NULL;
    unsigned n = 0;

    for (; job && n < a->rcpt; job = job->next)
        n++;
    for (; job && n < a->rcpt + RCPTS_A_PAGE && room_left(a); job = job->next, n++)
        queue_show_job(v, job, a->json, &a->out);
    a->rcpt = job ? n : 0;
    return !job;
}

/* False: not all of it, the page is full. */
static bool visit(struct queue_ask *a, struct store *store, const struct store_queued *q)
{
    struct arena arena = arena_of(QUEUE_ARENA_MAX);
    struct queue_view v = {.thread = a->at, .stored = *q};
    struct queue_entry *e = entry_find(a->at->queue, q->id);
    bool whole = true;

    v.entry = e;
    v.status = envelope_decode(q->envelope, &arena, &v.envelope);
    if (v.status == STATUS_OK)
        v.status = queue_state_decode(q->state, v.envelope.rcpt_count, &arena, &v.state);
    if (v.status != STATUS_OK) {
        v.envelope = (struct envelope){0};
        v.state = (struct queue_state){0};
    }
    if (!is_meant(a, &v))
        whole = true;
    else if (a->verb == LIST)
        queue_show_line(&v, a->json, &a->out);
    else if (a->verb == SHOW)
        whole = show(a, &v);
    else if (a->verb == WHY)
        whole = explain(a, &v);
    else if (e)
        a->changed += change(a, e, &v.envelope);
    else
        remove_unread(a, store, q->id);
    arena_reset(&arena);
    return whole;
}

/* --- all of a thread ---------------------------------------------------- */

static bool page_is_full(const struct queue_ask *a, int64_t begin_ns)
{
    return !room_left(a) || a->pending >= CHANGES_A_PAGE ||
        a->changed >= CHANGES_A_PAGE || clock_monotonic_ns() - begin_ns > page_ns;
}

/* The entry after the cursor; true: there is one, and the cursor stands on it. */
static bool next_entry(struct queue_ask *a, struct store **store, struct store_queued *q)
{
    while (a->shard_at < a->at->shard_count) {
        *store = shard_store(a->at, a->at->shards[a->shard_at]->number);
        if (a->rcpt > 0 ? store_queue_find(*store, a->after, q)
                        : store_queue_after(*store, a->after, q)) {
            a->after = q->id;
            return true;
        }
        if (a->rcpt == 0)
            a->shard_at++, a->after = 0;
        a->rcpt = 0; /* it went between two pages */
    }
    return false;
}

static void walk(struct queue_ask *a)
{
    int64_t begin_ns = clock_monotonic_ns();
    struct store_queued q;
    struct store *store;

    while (next_entry(a, &store, &q))
        if (!visit(a, store, &q) || page_is_full(a, begin_ns)) {
            a->more = true;
            return;
        }
}

static void walk_one(struct queue_ask *a)
{
    struct store_queued q;

    for (unsigned i = 0; i < a->at->shard_count; i++) {
        struct store *store = shard_store(a->at, a->at->shards[i]->number);

        if (!store_queue_find(store, a->id, &q))
            continue;
        a->shard_at = i;
        a->after = a->id;
        a->more = !visit(a, store, &q);
        return;
    }
}

/* --- destinations ------------------------------------------------------- */

static void ask_facts(struct queue_ask *a, struct destination *d);

static void on_facts(struct thread *t, struct call *call)
{
    struct queue_ask *a = container_of(call, struct queue_ask, facts_call);
    struct destination *d = NULL;

    /* It may have gone meanwhile: looked for again, never kept. */
    do
        d = destination_find(t->queue, value_of(a), d);
    while (d && d->hash != a->facts_hash);
    if (d)
        queue_show_destination(d, &a->facts, a->json, &a->out);
    d = d ? destination_find(t->queue, value_of(a), d) : NULL;
    if (d) {
        ask_facts(a, d);
        return;
    }
    a->walked = true;
    settle(a);
}

static void run_facts(struct thread *t, struct call *call)
{
    struct queue_ask *a = container_of(call, struct queue_ask, facts_call);

    a->facts = (struct permit_facts){0};
    if (t->queue)
        permits_facts(t->queue->permits, a->permit_hash, &a->facts);
    call_answer(call);
}

static void ask_facts(struct queue_ask *a, struct destination *d)
{
    a->facts_hash = d->hash;
    a->facts_call = (struct call){.run = run_facts, .done = on_facts};
    a->permit_hash = destination_permit_hash(d);
    call_send(a->at, thread_of_hash(a->at, a->permit_hash), &a->facts_call);
}

static void run_ask(struct thread *t, struct call *call)
{
    struct queue_ask *a = container_of(call, struct queue_ask, call);

    a->at = t;
    a->out = out_of(a->room, sizeof a->room - LAST_BYTES_MAX);
    if (t->queue && a->verb == WHY && a->selector == TO) {
        struct destination *d = destination_find(t->queue, value_of(a), NULL);

        if (d) {
            ask_facts(a, d);
            return;
        }
    } else if (t->queue && a->selector == ID) {
        walk_one(a);
    } else if (t->queue) {
        walk(a);
    }
    a->walked = true;
    settle(a);
}

/* --- the control thread ------------------------------------------------- */

struct queue_asks *queue_asks_open(struct process *process, int wake_fd)
{
    struct queue_asks *asks = calloc(1, sizeof *asks);

    if (!asks)
        return NULL;
    asks->process = process;
    asks->wake_fd = wake_fd;
    list_init(&asks->all);
    return asks;
}

void queue_asks_close(struct queue_asks *asks)
{
    struct list *link;

    if (!asks)
        return;
    while ((link = list_pop(&asks->all)))
        free(container_of(link, struct queue_ask, link));
    free(asks);
}

static struct slice word(struct slice *line)
{
    struct slice w;

    *line = slice_trim(*line);
    w = slice_take(line, slice_find(*line, ' '));
    *line = slice_trim(*line);
    return w;
}

static int word_of(struct slice w, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (slice_eq(w, slice_str(words[i])))
            return i;
    return -1;
}

static bool take_cursor(struct slice text, struct queue_ask *a)
{
    struct slice shard = slice_take(&text, slice_find(text, '.')), id;

    if (text.len == 0)
        return slice_eq(shard, S("0"));
    slice_take(&text, 1);
    id = slice_take(&text, slice_find(text, '.'));
    if (text.len == 0)
        return false;
    slice_take(&text, 1);
    return slice_u32(shard, &a->shard_at) && slice_u64(id, &a->after) &&
        slice_u32(text, &a->rcpt);
}

static bool parse(struct queue_ask *a, struct slice line)
{
    int verb = word_of(word(&line), verb_words, VERBS);
    struct slice format = word(&line), thread = word(&line), cursor = word(&line);
    int selector = word_of(word(&line), selector_words, SELECTORS);

    if (verb < 0 || selector < 0 || line.len >= sizeof a->value)
        return false;
    a->verb = (enum verb)verb;
    a->selector = (enum selector)selector;
    a->json = slice_eq(format, S("json"));
    memcpy(a->value, line.at, line.len);
    a->value_len = line.len;
    if (a->selector == ID && !queue_id_parse(line, &a->id))
        return false;
    for (size_t i = 0;
         a->selector == TO && !slice_starts_nocase(line, S("unix:")) && i < line.len; i++)
        a->value[i] = ascii_lower(a->value[i]);
    return slice_u32(thread, &a->thread) &&
        a->thread < process_threads(a->asks->process) && take_cursor(cursor, a);
}

bool queue_ask(
    struct queue_asks *asks, struct slice request, void *client, struct out *why)
{
    struct queue_ask *a = calloc(1, sizeof *a);

    if (!a) {
        out_str(why, "out of memory");
        return false;
    }
    a->asks = asks;
    a->client = client;
    if (!parse(a, request)) {
        out_str(why, "no such request of the queue");
        free(a);
        return false;
    }
    list_add(&asks->all, &a->link);
    a->call.run = run_ask;
    process_post(asks->process, a->thread, &a->call);
    return true;
}

void queue_ask_forget(struct queue_asks *asks, const void *client)
{
    list_each(link, &asks->all) {
        struct queue_ask *a = container_of(link, struct queue_ask, link);

        if (a->client == client)
            a->client = NULL;
    }
}

static void release(struct queue_asks *asks)
{
    if (!asks->taken)
        return;
    list_remove(&asks->taken->link);
    free(asks->taken);
    asks->taken = NULL;
}

/* One of those that were pushed; the others are pushed back in order. */
static struct queue_ask *pop(struct queue_asks *asks)
{
    struct queue_ask *a =
        atomic_exchange_explicit(&asks->finished, NULL, memory_order_acquire);
    struct queue_ask *rest = a ? a->next : NULL;

    while (rest) {
        struct queue_ask *next = rest->next;

        push(rest);
        rest = next;
    }
    return a;
}

bool queue_asks_take(struct queue_asks *asks, struct queue_said *said)
{
    struct queue_ask *a;

    release(asks);
    a = pop(asks);
    if (!a)
        return false;
    asks->taken = a;
    *said = (struct queue_said){.client = a->client, .lines = out_slice(&a->out)};
    if (a->status != STATUS_OK) {
        snprintf(asks->error, sizeof asks->error, "the change is not durable: %s",
            status_text(a->status));
        said->error = slice_str(asks->error);
    }
    return true;
}
