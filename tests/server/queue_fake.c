#include "tests/server/queue_fake.h"

#include <stdio.h>
#include <string.h>

#include "server/accounts.h"
#include "server/clock.h"
#include "server/forward.h"
#include "server/log.h"
#include "server/route.h"
#include "server/shard.h"

enum { ENTRIES_MAX = 200000, COUNTER_BITS = 40 };

struct thread threads[THREADS];
struct config config;
struct envelope pattern;
enum status change_status, delivery_status;
unsigned changes, deliveries;
char accepted[1 << 16], delivered[1 << 16];
size_t accepted_len, delivered_len;

static struct shard shards[THREADS];
static struct shard *shard_of_thread[THREADS];
static int64_t now_ns, now_s;
static uint64_t seed;

/* --- threads ---------------------------------------------------------------------- */

static struct list timers, calls;
static int64_t timers_run_ns; /* nothing else is due at this time */

void timer_set(
    struct thread *t, struct timer *timer, int64_t at_ns, void (*due)(struct timer *))
{
    (void)t;
    list_remove(&timer->link);
    if (at_ns <= now_ns)
        timers_run_ns = 0; /* it is due at once */
    timer->at_ns = at_ns;
    timer->due = due;
    list_add(&timers, &timer->link);
}

void timer_clear(struct timer *timer)
{
    list_remove(&timer->link);
}

void call_send(struct thread *from, struct thread *to, struct call *call)
{
    call->from = from;
    call->to = to;
    call->answered = false;
    list_add(&calls, &call->link);
}

void call_answer(struct call *call)
{
    call->answered = true;
    list_add(&calls, &call->link);
}

struct thread *thread_of_hash(struct thread *t, uint64_t hash)
{
    (void)t;
    return &threads[hash % THREADS];
}

unsigned process_threads(const struct process *p)
{
    (void)p;
    return THREADS;
}

unsigned process_shards(const struct process *p)
{
    (void)p;
    return THREADS;
}

struct thread *process_thread(const struct process *p, unsigned index)
{
    (void)p;
    return &threads[index];
}

unsigned shard_of_user(struct thread *t, struct slice user)
{
    (void)t;
    return user.at[1] == '1'; /* u0 at home in shard 0, u1 in shard 1 */
}

int64_t clock_monotonic_ns(void)
{
    return now_ns;
}

uint64_t random_u64(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 16;
}

static void tick(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i].now_ns = now_ns;
        threads[i].now_s = now_s;
    }
}

static bool run_calls(void)
{
    struct list *link = list_pop(&calls);
    struct call *call;

    if (!link)
        return false;
    call = container_of(link, struct call, link);
    if (call->answered)
        call->done(call->from, call);
    else
        call->run(call->to, call);
    return true;
}

/* Those that are due are put aside first: what they set is for the next round. */
static bool run_timers(void)
{
    struct list due, *link;
    bool any = false;

    if (now_ns == timers_run_ns)
        return false;
    list_init(&due);
    list_each_safe(at, after, &timers) {
        if (container_of(at, struct timer, link)->at_ns > now_ns)
            continue;
        list_remove(at);
        list_add(&due, at);
    }
    timers_run_ns = now_ns;
    while ((link = list_pop(&due))) {
        struct timer *timer = container_of(link, struct timer, link);

        timer->due(timer);
        any = true;
    }
    return any;
}

static bool run_hops(void);
static bool run_stores(void);

void settle_world(void)
{
    for (bool again = true; again;) {
        again = run_timers();
        for (unsigned i = 0; i < THREADS; i++)
            again |= op_queue_run(&threads[i].ready);
        while (run_calls())
            again = true;
        again |= run_hops();
        again |= run_stores();
    }
}

/* From one timer to the next. */
void pass(int64_t seconds)
{
    int64_t end_ns = now_ns + seconds * 1000000000, wall_ns = now_s * 1000000000;

    while (now_ns < end_ns) {
        int64_t next_ns = end_ns;

        list_each(link, &timers) {
            int64_t at_ns = container_of(link, struct timer, link)->at_ns;

            if (at_ns < next_ns)
                next_ns = at_ns;
        }
        wall_ns += next_ns - now_ns;
        now_ns = next_ns;
        now_s = wall_ns / 1000000000;
        tick();
        settle_world();
    }
}

void jump(int64_t seconds)
{
    now_s += seconds;
    tick();
    settle_world();
}

/* --- accounts ------------------------------------------------------------------------
 */

static const struct account users[2] = {
    {.name = SI("u0@home.test")}, {.name = SI("u1@home.test")}};

const struct account *accounts_find(const struct accounts *a, struct slice name)
{
    (void)a;
    for (unsigned i = 0; i < 2; i++)
        if (slice_eq(users[i].name, name))
            return &users[i];
    return NULL;
}

struct slice accounts_domain_of(struct slice name)
{
    size_t at = slice_find(name, '@');

    return slice_of(name.at + at + 1, name.len - at - 1);
}

bool accounts_is_local(const struct accounts *a, struct slice domain)
{
    (void)a;
    return slice_eq(domain, S("home.test"));
}

bool accounts_domain_at(const struct accounts *a, unsigned i, struct slice *domain)
{
    (void)a;
    *domain = S("home.test");
    return i == 0;
}

enum route_result route_resolve(
    const struct accounts *a, const struct smtp_path *rcpt, struct route *route)
{
    const struct account *found = accounts_find(a, rcpt->text);

    if (!accounts_is_local(a, rcpt->domain)) {
        route->remotes[0] = (struct route_remote){.address = rcpt->text};
        route->remote_count = 1;
        return ROUTE_OK;
    }
    if (!found)
        return ROUTE_UNKNOWN;
    route->accounts[0] = found;
    route->count = 1;
    return ROUTE_OK;
}

struct slice forward_sender(const struct thread *t, struct slice sender, char *at)
{
    (void)t;
    (void)at;
    return sender;
}

/* --- the log
 * ---------------------------------------------------------------------------- */

bool event_begin(struct event *e, enum log_level level, const char *name)
{
    (void)e;
    (void)level;
    (void)name;
    return false;
}

bool event_begin_always(struct event *e, enum log_level level, const char *name)
{
    return event_begin(e, level, name);
}

void event_text(struct event *e, const char *key, struct slice value)
{
    (void)e;
    (void)key;
    (void)value;
}

void event_string(struct event *e, const char *key, const char *value)
{
    (void)e;
    (void)key;
    (void)value;
}

void event_number(struct event *e, const char *key, uint64_t value)
{
    (void)e;
    (void)key;
    (void)value;
}

void event_end(struct event *e)
{
    (void)e;
}

/* --- stores
 * --------------------------------------------------------------------------------- */

struct fake_entry {
    char *envelope, *state;
    size_t envelope_len, state_len;
};

static struct fake_entry *entries[THREADS];
static uint64_t last[THREADS];
static struct list pending; /* struct store_queue_change or body, by op.link */

enum { OP_CHANGE, OP_BODY };

static struct arena state_arena;
struct slice stored_text;
size_t piece_max;
bool text_breaks;

struct store *shard_store(struct thread *t, unsigned shard)
{
    (void)t;
    return (struct store *)&entries[shard];
}

static unsigned number_of(const struct store *store)
{
    return (unsigned)((struct fake_entry *const *)store - entries);
}

static struct fake_entry *entry_at(unsigned shard, uint64_t id)
{
    uint64_t n = id & ((1ull << COUNTER_BITS) - 1);

    if (id >> COUNTER_BITS != shard + 1 || n == 0 || n > last[shard])
        return NULL;
    return entries[shard][n].envelope ? &entries[shard][n] : NULL;
}

bool store_queue_find(const struct store *store, uint64_t id, struct store_queued *out)
{
    const struct fake_entry *e = entry_at(number_of(store), id);

    if (!e)
        return false;
    *out = (struct store_queued){.id = id,
        .size = stored_text.len,
        .envelope = {e->envelope, e->envelope_len},
        .state = {e->state, e->state_len}};
    return true;
}

bool store_queue_after(const struct store *store, uint64_t id, struct store_queued *out)
{
    unsigned shard = number_of(store);
    uint64_t first = (uint64_t)(shard + 1) << COUNTER_BITS;

    for (uint64_t at = id < first ? first + 1 : id + 1; at <= first + last[shard]; at++)
        if (store_queue_find(store, at, out))
            return true;
    return false;
}

void store_queue_change(struct store *store, struct store_queue_change *c)
{
    c->op.owner = store;
    c->op.pending = true;
    c->op.kind = OP_CHANGE;
    list_add(&pending, &c->op.link);
}

static enum status apply(unsigned shard, const struct store_queue_change *c)
{
    struct fake_entry *e = entry_at(shard, c->id);

    if (change_status != STATUS_OK)
        return change_status;
    if (!e)
        return STATUS_NOT_FOUND;
    free(e->state);
    e->state = NULL;
    e->state_len = 0;
    if (c->done) {
        free(e->envelope);
        e->envelope = NULL;
    } else {
        e->state = malloc(c->state.len + 1);
        memcpy(e->state, c->state.at, c->state.len);
        e->state_len = c->state.len;
    }
    changes++;
    return STATUS_OK;
}

static bool run_stores(void)
{
    struct list *link = list_pop(&pending);
    struct store_op *op;
    enum status status = STATUS_IO;

    if (!link)
        return false;
    op = container_of(link, struct store_op, link);
    op->pending = false;
    if (op->kind == OP_CHANGE)
        status =
            apply(number_of(op->owner), container_of(op, struct store_queue_change, op));
    op->done(op, status);
    return true;
}

static uint64_t add_entry(
    unsigned shard, const struct envelope *v, const char *state, size_t state_len)
{
    uint64_t id = ((uint64_t)(shard + 1) << COUNTER_BITS) + ++last[shard];
    struct fake_entry *e = &entries[shard][last[shard]];
    struct out out;

    assert_true(last[shard] < ENTRIES_MAX);
    e->envelope_len = envelope_bytes(v);
    e->envelope = malloc(e->envelope_len);
    out = out_of(e->envelope, e->envelope_len);
    envelope_encode(v, &out);
    if (state_len > 0) {
        e->state = malloc(state_len);
        memcpy(e->state, state, state_len);
        e->state_len = state_len;
    }
    return id;
}

uint64_t put_message(unsigned shard, const char *sender, const char *const *rcpts,
    unsigned count, const char *state, size_t state_len)
{
    struct envelope_rcpt *list = calloc(count, sizeof *list);
    struct envelope v = pattern;
    uint64_t id;

    for (unsigned i = 0; i < count; i++)
        list[i].address = slice_str(rcpts[i]);
    v.sender = slice_str(sender);
    v.arrived_s = v.arrived_s ? v.arrived_s : now_s;
    v.rcpts = list;
    v.rcpt_count = count;
    v.text_at = 29;
    id = add_entry(shard, &v, state, state_len);
    free(list);
    if (threads[shard].queue)
        queue_entered(&threads[shard], shard, id);
    return id;
}

uint64_t put_one(unsigned shard, const char *rcpt)
{
    return put_message(shard, "u0@home.test", &rcpt, 1, "", 0);
}

bool is_stored(uint64_t id)
{
    return entry_at((unsigned)(id >> COUNTER_BITS) - 1, id);
}

unsigned stored_count(void)
{
    unsigned n = 0;

    for (unsigned shard = 0; shard < THREADS; shard++)
        for (uint64_t i = 1; i <= last[shard]; i++)
            n += entries[shard][i].envelope != NULL;
    return n;
}

const struct queue_state *state_of_entry(uint64_t id)
{
    static struct queue_state state;
    const struct fake_entry *e = entry_at((unsigned)(id >> COUNTER_BITS) - 1, id);
    struct envelope v;

    arena_reset(&state_arena);
    state_arena = arena_of(1 << 20);
    assert_non_null(e);
    assert_int_equal(
        envelope_decode(slice_of(e->envelope, e->envelope_len), &state_arena, &v),
        STATUS_OK);
    assert_int_equal(queue_state_decode(slice_of(e->state, e->state_len), v.rcpt_count,
                         &state_arena, &state),
        STATUS_OK);
    return &state;
}

/* --- bodies
 * ---------------------------------------------------------------------------------- */

enum status body_open_place(
    struct store *store, struct body *b, uint64_t place, uint64_t at, uint64_t len)
{
    (void)store;
    (void)place;
    *b = (struct body){.at = at, .end = at + len};
    return STATUS_OK;
}

bool body_next(struct body *b, void (*done)(struct store_op *op, enum status status))
{
    size_t len = b->end - b->at < piece_max ? b->end - b->at : piece_max;

    if (text_breaks && b->at + len == b->end) {
        b->op = (struct store_op){.done = done, .pending = true, .kind = OP_BODY};
        list_add(&pending, &b->op.link);
        return false;
    }
    b->piece = slice_of(stored_text.at + b->at, len);
    b->at += len;
    return true;
}

void body_close(struct body *b)
{
    (void)b;
}

/* --- deliveries
 * ----------------------------------------------------------------------------- */

struct delivery {
    struct list link;
    struct delivery_conf conf;
    struct store_queue_change settles;
    void (*wake)(void *arg);
    void *arg;
    unsigned shard;
    bool committed, done, has_envelope;
    enum status status;
    char *envelope;
    size_t envelope_len;
};

static struct list committing;

struct delivery *delivery_begin(struct thread *t, const struct delivery_conf *conf,
    void (*wake)(void *arg), void *arg)
{
    struct delivery *d = calloc(1, sizeof *d);

    (void)t;
    d->conf = *conf;
    d->wake = wake;
    d->arg = arg;
    if (conf->settles)
        d->settles = *conf->settles;
    d->shard = conf->shard >= 0 ? (unsigned)conf->shard : 0;
    return d;
}

void delivery_add(struct delivery *d, struct slice bytes)
{
    (void)d;
    if (bytes.len < sizeof delivered - delivered_len) {
        memcpy(delivered + delivered_len, bytes.at, bytes.len);
        delivered_len += bytes.len;
    }
}

bool delivery_busy(const struct delivery *d)
{
    (void)d;
    return false;
}

void delivery_commit(struct delivery *d, const struct envelope *envelopes, unsigned count)
{
    assert_true(count <= 1);
    if (count > 0) {
        struct out out;

        d->has_envelope = true;
        d->envelope_len = envelope_bytes(envelopes);
        d->envelope = malloc(d->envelope_len);
        out = out_of(d->envelope, d->envelope_len);
        envelope_encode(envelopes, &out);
    }
    d->committed = true;
    list_add(&committing, &d->link);
}

bool delivery_done(const struct delivery *d, enum status *status)
{
    *status = d->status;
    return d->done;
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    list_remove(&d->link);
    free(d->envelope);
    free(d);
}

static void commit(struct delivery *d)
{
    d->done = true;
    d->status = delivery_status;
    if (d->status == STATUS_OK && d->conf.settles)
        d->status = apply(d->shard, &d->settles);
    if (d->status != STATUS_OK)
        return;
    deliveries++;
    if (d->has_envelope) {
        struct arena arena = arena_of(1 << 20);
        struct envelope v;

        assert_int_equal(
            envelope_decode(slice_of(d->envelope, d->envelope_len), &arena, &v),
            STATUS_OK);
        queue_entered(&threads[d->shard], d->shard, add_entry(d->shard, &v, "", 0));
        arena_reset(&arena);
    }
}

/* --- DNS and hops
 * ------------------------------------------------------------------------------ */

static struct fake_domain domains[NAMES_MAX];
static struct list lookups, hops;

struct lookup {
    struct list link;
    struct mx_lookup *l;
    char name[256];
};

struct hop {
    struct list link;
    struct fake_domain *domain;
    const struct hop_calls *calls;
    void *owner;
    struct mx_host host;
    struct hop_message *m;
    bool ready, quits;
};

struct fake_domain *domain_at(const char *name)
{
    unsigned i = 0;

    while (i < NAMES_MAX && domains[i].name && strcmp(domains[i].name, name) != 0)
        i++;
    assert_true(i < NAMES_MAX);
    if (!domains[i].name)
        domains[i].name = strdup(name);
    return &domains[i];
}

void mx_find(struct mx_lookup *l, struct thread *t, struct slice domain,
    void (*done)(struct mx_lookup *l))
{
    struct lookup *lookup = calloc(1, sizeof *lookup);

    l->thread = t;
    l->done = done;
    l->pending = true;
    l->work = (struct mx_work *)lookup;
    lookup->l = l;
    memcpy(lookup->name, domain.at, domain.len);
    list_add(&lookups, &lookup->link);
}

void mx_find_host(struct mx_lookup *l, struct thread *t, struct slice host, uint16_t port,
    void (*done)(struct mx_lookup *l))
{
    (void)port;
    mx_find(l, t, host, done);
}

void mx_cancel(struct mx_lookup *l)
{
    struct lookup *lookup = (struct lookup *)l->work;

    if (!l->pending)
        return;
    l->pending = false;
    list_remove(&lookup->link);
    free(lookup);
}

struct hop *hop_open(struct thread *t, const struct hop_conf *conf,
    const struct hop_calls *calls_of, void *owner)
{
    struct hop *h = calloc(1, sizeof *h);

    (void)t;
    h->calls = calls_of;
    h->owner = owner;
    h->domain = domain_at(conf->hosts[0].name);
    h->host = (struct mx_host){.name = h->domain->name};
    h->domain->opened++;
    h->domain->levels[conf->tls]++;
    h->domain->required += conf->require_tls;
    h->domain->preferred += conf->prefer_tls;
    if (++h->domain->open > h->domain->most)
        h->domain->most = h->domain->open;
    list_add(&hops, &h->link);
    return h;
}

void *hop_owner(const struct hop *h)
{
    return h->owner;
}

void hop_send(struct hop *h, struct hop_message *m)
{
    assert_true(hop_usable(h));
    h->m = m;
    h->domain->messages++;
}

bool hop_usable(const struct hop *h)
{
    return h->ready && !h->m && !h->quits;
}

void hop_quit(struct hop *h)
{
    h->quits = true;
}

void hop_abort(struct hop *h)
{
    h->quits = true;
}

const struct mx_host *hop_host(const struct hop *h)
{
    return &h->host;
}

struct slice hop_tls_text(const struct hop *h, char *at, size_t cap)
{
    (void)h;
    (void)at;
    (void)cap;
    return S("");
}

static struct hop_answer answer_of(const char *said)
{
    struct hop_answer a = {.code = (uint16_t)atoi(said)};
    unsigned status[3];

    assert_int_equal(sscanf(said + 4, "%u.%u.%u", &status[0], &status[1], &status[2]), 3);
    for (unsigned i = 0; i < 3; i++)
        a.status[i] = (uint8_t)status[i];
    a.len = (uint16_t)snprintf(a.text, sizeof a.text, "%s", said + 10);
    return a;
}

static void answer_all(struct hop *h)
{
    struct hop_message *m = h->m;
    struct hop_answer *answers = calloc(m->rcpt_count, sizeof *answers);

    for (unsigned i = 0; i < m->rcpt_count; i++) {
        struct slice to = m->rcpts[i].rcpt->address;
        char name[300];
        const char *said;

        snprintf(name, sizeof name, "%.*s", (int)to.len, to.at);
        said = h->domain->dies  ? "0   4.4.2 connection lost"
            : h->domain->answer ? h->domain->answer(name, h->domain->messages)
                                : NULL;
        answers[i] = answer_of(said ? said : "250 2.0.0 taken");
        answers[i].ours = h->domain->dies;
        m->rcpts[i].answer = &answers[i];
        if (!said && accepted_len + to.len + 1 < sizeof accepted)
            accepted_len += (size_t)snprintf(
                accepted + accepted_len, sizeof accepted - accepted_len, "%s\n", name);
    }
    m->unsure = h->domain->dies;
    h->m = NULL;
    h->ready = !h->domain->dies;
    h->calls->sent(h, m);
    free(answers);
}

static void close_hop(struct hop *h, const char *said)
{
    struct hop_answer why = answer_of(said);

    why.ours = why.code == 0;
    list_remove(&h->link);
    h->domain->open--;
    h->calls->closed(h, &why);
    free(h);
}

static bool run_hop(struct hop *h)
{
    char said[256];

    if (h->m && !h->domain->hangs) {
        answer_all(h);
    } else if (h->quits) {
        close_hop(h, "221 2.0.0 bye");
    } else if (h->domain->hangs) {
        return false;
    } else if (!h->ready && h->domain->refuses) {
        snprintf(said, sizeof said, "%-3u 4.4.1 %s", h->domain->code, h->domain->refuses);
        close_hop(h, said);
    } else if (!h->ready) {
        h->ready = true;
        h->calls->ready(h);
    } else {
        return false;
    }
    return true;
}

static bool run_hops(void)
{
    struct list *link = list_pop(&lookups);
    bool any = link != NULL;

    if (link) {
        struct lookup *lookup = container_of(link, struct lookup, link);
        struct mx_lookup *l = lookup->l;
        struct mx_host host = {.name = lookup->name};

        l->pending = false;
        l->status = domain_at(lookup->name)->dns;
        l->why = l->status == MX_OK ? "" : "so says DNS";
        l->hosts = &host;
        l->host_count = 1;
        l->secure = !domain_at(lookup->name)->forgeable;
        l->done(l);
        free(lookup);
    }
    list_each_safe(at, after, &hops)
        any |= run_hop(container_of(at, struct hop, link));
    link = list_pop(&committing);
    if (link) {
        struct delivery *d = container_of(link, struct delivery, link);

        commit(d);
        d->wake(d->arg);
        any = true;
    }
    return any;
}

/* --- the world
 * --------------------------------------------------------------------------------- */

void world_begin(void)
{
    char why[256];
    struct out out = out_of(why, sizeof why);

    memset(threads, 0, sizeof threads);
    pattern = (struct envelope){0};
    change_status = delivery_status = STATUS_OK;
    changes = deliveries = 0;
    accepted_len = delivered_len = 0;
    stored_text = S("Return-Path: <u0@home.test>\r\nSubject: x\r\n\r\nbody\r\n");
    piece_max = SIZE_MAX;
    text_breaks = false;
    now_ns = 1000000000000;
    now_s = 1700000000;
    timers_run_ns = 0;
    list_init(&timers);
    list_init(&calls);
    list_init(&pending);
    list_init(&committing);
    list_init(&lookups);
    list_init(&hops);
    config = (struct config){.hostname = (char *)(uintptr_t) "mail.home.test",
        .tls_out = 1,
        .queue_lifetime = 5 * 86400,
        .delay_notice = 0,
        .retry_first = 300,
        .retry_max = 4 * 3600,
        .max_queue = 400000,
        .destination_sessions = 4,
        .hop_messages = 100,
        .max_hops = 100,
        .max_returned = 65536};
    config.next_hops = next_hops_make(&config, &out);
    for (unsigned i = 0; i < THREADS; i++) {
        shards[i] = (struct shard){.number = i, .thread = &threads[i]};
        shard_of_thread[i] = &shards[i];
        threads[i].index = i;
        threads[i].config = &config;
        threads[i].shards = &shard_of_thread[i];
        threads[i].shard_count = 1;
        op_queue_init(&threads[i].ready);
        entries[i] = calloc(ENTRIES_MAX, sizeof *entries[i]);
        last[i] = 0;
    }
    tick();
}

void open_queues(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(queue_open(&threads[i]));
    settle_world();
}

void close_queues(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        queue_stop(&threads[i]);
    settle_world();
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(queue_stopped(&threads[i]));
    for (unsigned i = 0; i < THREADS; i++)
        queue_close(&threads[i]);
    assert_true(list_empty(&timers));
    assert_true(list_empty(&hops) && list_empty(&lookups) && list_empty(&calls));
}

void world_end(void)
{
    if (threads[0].queue)
        close_queues();
    for (unsigned i = 0; i < THREADS; i++) {
        for (uint64_t n = 1; n <= last[i]; n++) {
            free(entries[i][n].envelope);
            free(entries[i][n].state);
        }
        free(entries[i]);
    }
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        free((char *)(uintptr_t)domains[i].name);
        domains[i] = (struct fake_domain){0};
    }
    arena_reset(&state_arena);
    next_hops_free(config.next_hops);
}

/* Nobody asks how long it took. */
void stats_settle_early(struct thread_stats *s)
{
    s->ended_count = 0;
}
