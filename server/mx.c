#include "server/mx.h"

#include <stdlib.h>

#include "server/mx_name.h"
#include "server/mx_work.h"

enum {
    STEPS_A_TURN = 16,    /* of all lookups together; each asks at most ... */
    EXCHANGES_A_STEP = 4, /* ... for so many exchanges, so a turn stays short */
    FAMILIES = 2
};
static const enum dns_type address_types[FAMILIES] = {DNS_AAAA, DNS_A};

struct mx {
    struct thread *thread;
    struct dns *dns;
    struct mx_self self;
    struct op pump; /* takes the next steps, once a turn */
    struct list ready, asking, waiting;
    unsigned running, waiting_count;
    uint64_t lookups, refused;
};

static void on_pump(struct op *op, int32_t res, uint32_t flags);

static void pump(struct mx *mx)
{
    if (mx->pump.pending)
        return;
    op_start(&mx->pump, on_pump);
    op_post(&mx->thread->ready, &mx->pump, 0);
}

static void make_ready(struct mx_work *w, void (*step)(struct mx_work *w))
{
    w->step = step;
    list_remove(&w->link);
    list_add(&w->mx->ready, &w->link);
    pump(w->mx);
}

static void wait_for_answers(struct mx_work *w)
{
    list_remove(&w->link);
    list_add(&w->mx->asking, &w->link);
}

/* --- the end ------------------------------------------------------------ */

/* The work goes; one that waits takes its place. */
static void free_work(struct mx_work *w, bool was_waiting)
{
    struct mx *mx = w->mx;

    dns_forget(&w->query);
    for (unsigned i = 0; w->found && i < w->found->asked; i++)
        for (unsigned f = 0; f < FAMILIES; f++)
            dns_forget(&w->found->exchanges[i].queries[f]);
    list_remove(&w->link);
    free(w->found);
    free(w);
    if (was_waiting)
        mx->waiting_count--;
    else
        mx->running--;
}

static void step_finish(struct mx_work *w)
{
    struct mx_lookup *l = w->lookup;
    bool good = w->status == MX_OK;

    list_remove(&w->link);
    l->work = NULL;
    l->pending = false;
    l->status = w->status;
    l->why = w->why;
    l->hosts = good ? w->found->hosts : NULL;
    l->host_count = good ? w->found->host_count : 0;
    l->secure = good && w->secure;
    l->done(l);
    free_work(w, false);
}

static void finish(struct mx_work *w)
{
    make_ready(w, step_finish);
}

/* Ends a lookup that has no work of its own. */
static void on_soon(struct timer *timer)
{
    struct mx_lookup *l = container_of(timer, struct mx_lookup, timer);

    l->pending = false;
    l->done(l);
}

static void end_soon(struct mx_lookup *l, enum mx_status status, const char *why)
{
    l->status = status;
    l->why = why;
    l->hosts = NULL;
    l->host_count = 0;
    l->secure = false;
    timer_set(l->thread, &l->timer, 0, on_soon); /* at once, but not from inside */
}

/* --- addresses ---------------------------------------------------------- */

static void step_rank(struct mx_work *w)
{
    mx_rank(w, &w->mx->self);
    step_finish(w);
}

/* Of one exchange: `family` is an index of address_types. IPv4 within IPv6 counts as IPv6
 * here, whose turn it takes. */
static void take_addresses(
    struct mx_exchange *e, unsigned family, const struct dns_answer *a)
{
    if (a->status == DNS_FAILED)
        e->failed = a->why;
    for (unsigned i = 0; a->status == DNS_OK && i < a->count; i++)
        if (e->counts[family] < MX_ADDRESSES_MAX)
            e->found[family][e->counts[family]++] = a->addresses[i];
}

static void took_addresses(struct mx_work *w)
{
    if (--w->outstanding == 0 && w->found->asked == w->found->count)
        make_ready(w, step_rank);
}

static void on_six(struct dns_query *q, const struct dns_answer *a)
{
    struct mx_exchange *e = container_of(q, struct mx_exchange, queries[0]);

    take_addresses(e, 0, a);
    took_addresses(e->work);
}

static void on_four(struct dns_query *q, const struct dns_answer *a)
{
    struct mx_exchange *e = container_of(q, struct mx_exchange, queries[1]);

    take_addresses(e, 1, a);
    took_addresses(e->work);
}

static void ask_exchange(struct mx_work *w, struct mx_exchange *e)
{
    e->queries[0].done = on_six;
    e->queries[1].done = on_four;
    for (unsigned f = 0; f < FAMILIES; f++) {
        const struct dns_answer *a =
            dns_ask(w->mx->dns, e->name, address_types[f], &e->queries[f]);

        if (a)
            take_addresses(e, f, a);
        else
            w->outstanding++;
    }
}

static void step_ask(struct mx_work *w)
{
    struct mx_found *f = w->found;

    for (unsigned i = 0; i < EXCHANGES_A_STEP && f->asked < f->count; i++)
        ask_exchange(w, &f->exchanges[f->asked++]);
    if (f->asked < f->count)
        make_ready(w, step_ask);
    else if (w->outstanding > 0)
        wait_for_answers(w);
    else
        make_ready(w, step_rank);
}

/* --- exchanges ---------------------------------------------------------- */

/* Room for them; false: no memory, and the lookup has ended. */
static bool make_found(struct mx_work *w, unsigned count)
{
    w->found = calloc(1, sizeof *w->found + count * sizeof *w->found->exchanges);
    if (!w->found) {
        mx_end(w, MX_TRY_LATER, "out of memory");
        finish(w);
        return false;
    }
    w->found->count = count;
    for (unsigned i = 0; i < count; i++)
        w->found->exchanges[i].work = w;
    return true;
}

/* One exchange: the name itself. */
static void begin_name(struct mx_work *w)
{
    struct mx_exchange *e;

    if (!make_found(w, 1))
        return;
    e = w->found->exchanges;
    memcpy(e->name, w->name, sizeof e->name);
    make_ready(w, step_ask);
}

static void put_found(struct mx_exchange *e, struct address a)
{
    unsigned family = a.family == AF_INET6 ? 0 : 1;

    e->found[family][e->counts[family]++] = a;
}

/* An address needs no question. */
static void begin_address(struct mx_work *w)
{
    if (!make_found(w, 1))
        return;
    memcpy(w->found->exchanges->name, w->name, sizeof w->name);
    put_found(w->found->exchanges, w->address);
    make_ready(w, step_rank);
}

/* Nor does "localhost": it is this host (RFC 6761, 6.3). */
static void begin_localhost(struct mx_work *w)
{
    struct address four, six;

    CHECK(address_parse(S("127.0.0.1:0"), &four) && address_parse(S("[::1]:0"), &six));
    w->address = six;
    begin_address(w);
    if (w->found)
        put_found(w->found->exchanges, four);
}

static void take_exchanges(struct mx_work *w, const struct dns_answer *a)
{
    if (!make_found(w, a->count))
        return;
    for (unsigned i = 0; i < a->count; i++) {
        struct mx_exchange *e = &w->found->exchanges[i];

        e->preference = a->exchanges[i].preference;
        memcpy(e->name, a->exchanges[i].name, sizeof e->name);
    }
    make_ready(w, step_ask);
}

static void take_mx(struct mx_work *w, const struct dns_answer *a)
{
    switch (a->status) {
    case DNS_OK:
        if (a->exchanges[0].name[0]) {
            w->secure = a->secure;
            take_exchanges(w, a);
            return;
        }
        mx_end(w, MX_NULL, "%s takes no mail (null MX)", w->name);
        break;
    case DNS_NO_DATA:
        w->implicit = w->secure = true;
        begin_name(w);
        return;
    case DNS_NO_NAME:
        mx_end(w, MX_NO_DOMAIN, "%s does not exist", w->name);
        break;
    case DNS_BAD_NAME:
        mx_end(w, MX_BAD_NAME, "the MX of %s are no names of hosts", w->name);
        break;
    case DNS_FAILED:
        mx_end(w, MX_TRY_LATER, "MX of %s: %s", w->name, a->why);
        break;
    }
    finish(w);
}

static void on_mx(struct dns_query *q, const struct dns_answer *a)
{
    take_mx(container_of(q, struct mx_work, query), a);
}

static void step_begin(struct mx_work *w)
{
    const struct dns_answer *a;

    w->secure = w->any || w->is_address;
    if (w->is_address) {
        begin_address(w);
    } else if (w->any && strcmp(w->name, "localhost") == 0) {
        begin_localhost(w);
    } else if (w->any) {
        begin_name(w);
    } else {
        w->query.done = on_mx;
        a = dns_ask(w->mx->dns, w->name, DNS_MX, &w->query);
        if (a)
            take_mx(w, a);
        else
            wait_for_answers(w);
    }
}

/* --- taking turns ------------------------------------------------------- */

static void admit(struct mx *mx)
{
    struct list *link;

    while (mx->running < MX_RUNNING_MAX && (link = list_pop(&mx->waiting))) {
        mx->waiting_count--;
        mx->running++;
        make_ready(container_of(link, struct mx_work, link), step_begin);
    }
}

static void on_pump(struct op *op, int32_t res, uint32_t flags)
{
    struct mx *mx = container_of(op, struct mx, pump);
    struct list *link;

    (void)res;
    (void)flags;
    for (unsigned n = 0; n < STEPS_A_TURN && (link = list_pop(&mx->ready)); n++) {
        struct mx_work *w = container_of(link, struct mx_work, link);

        w->step(w);
    }
    admit(mx);
    if (!list_empty(&mx->ready))
        pump(mx);
}

/* --- opening and closing ------------------------------------------------ */

static struct mx *open_here(struct thread *t)
{
    struct mx *mx = calloc(1, sizeof *mx);

    if (!mx)
        return NULL;
    mx->thread = t;
    list_init(&mx->ready);
    list_init(&mx->asking);
    list_init(&mx->waiting);
    mx->dns = dns_open(t);
    if (!mx->dns || !mx_self_open(&mx->self, t->config)) {
        if (mx->dns)
            dns_close(mx->dns);
        free(mx);
        return NULL;
    }
    return mx;
}

static void forget_all(struct list *works, bool waiting)
{
    while (!list_empty(works)) {
        struct mx_work *w = container_of(works->next, struct mx_work, link);

        w->lookup->pending = false;
        w->lookup->work = NULL;
        free_work(w, waiting);
    }
}

void mx_close(struct thread *t)
{
    struct mx *mx = t->mx;

    if (!mx)
        return;
    forget_all(&mx->ready, false);
    forget_all(&mx->asking, false);
    forget_all(&mx->waiting, true);
    dns_close(mx->dns);
    mx_self_close(&mx->self);
    free(mx);
    t->mx = NULL;
}

void mx_stats(const struct thread *t, struct mx_stats *stats)
{
    const struct dns_stats *d;

    *stats = (struct mx_stats){0};
    if (!t->mx)
        return;
    d = dns_stats(t->mx->dns);
    *stats = (struct mx_stats){.lookups = t->mx->lookups,
        .refused = t->mx->refused,
        .questions = d->questions,
        .cached = d->cached,
        .failed = d->failed,
        .entries = d->entries,
        .bytes = d->bytes};
}

/* --- lookups ------------------------------------------------------------ */

/* False: too many wait already. */
static bool enqueue(struct mx *mx, struct mx_work *w)
{
    if (mx->running < MX_RUNNING_MAX) {
        mx->running++;
        make_ready(w, step_begin);
        return true;
    }
    if (mx->waiting_count == MX_WAITING_MAX)
        return false;
    mx->waiting_count++;
    list_add(&mx->waiting, &w->link);
    return true;
}

static void begin(struct mx_lookup *l, struct slice given, bool any, uint16_t port)
{
    struct thread *t = l->thread;
    char name[DNS_NAME_MAX + 1];
    struct address address;
    enum mx_name kind = mx_name_read(given, any, name, &address);
    struct mx_work *w;

    if (!t->mx)
        t->mx = open_here(t);
    w = t->mx && kind != MX_NAME_BAD ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        end_soon(l, kind == MX_NAME_BAD ? MX_BAD_NAME : MX_TRY_LATER,
            kind == MX_NAME_BAD ? "no name of a domain" : "out of memory");
        return;
    }
    *w = (struct mx_work){.mx = t->mx,
        .lookup = l,
        .any = any,
        .port = port,
        .is_address = kind == MX_NAME_ADDRESS,
        .address = address};
    memcpy(w->name, name, sizeof name);
    t->mx->lookups++;
    if (enqueue(t->mx, w)) {
        l->work = w;
        return;
    }
    free(w);
    t->mx->refused++;
    end_soon(l, MX_TRY_LATER, "too many lookups wait");
}

static void start(struct mx_lookup *l, struct thread *t, struct slice given, bool any,
    uint16_t port, void (*done)(struct mx_lookup *l))
{
    CHECK(!l->pending);
    l->thread = t;
    l->done = done;
    l->work = NULL;
    l->pending = true;
    begin(l, given, any, port);
}

void mx_find(struct mx_lookup *l, struct thread *t, struct slice domain,
    void (*done)(struct mx_lookup *l))
{
    start(l, t, domain, false, MX_PORT, done);
}

void mx_find_host(struct mx_lookup *l, struct thread *t, struct slice host, uint16_t port,
    void (*done)(struct mx_lookup *l))
{
    start(l, t, host, true, port, done);
}

void mx_cancel(struct mx_lookup *l)
{
    struct mx_work *w = l->work;

    if (!l->pending)
        return;
    l->pending = false;
    timer_clear(&l->timer);
    l->work = NULL;
    if (w) {
        struct mx *mx = w->mx;

        /* One that waits has not had a step. */
        free_work(w, w->step == NULL);
        if (!list_empty(&mx->waiting))
            pump(mx);
    }
}
