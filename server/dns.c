#include "server/dns.h"

#include <stdlib.h>

#include "server/dns_message.h"
#include "server/dns_resolver.h"

enum { BUCKETS = 4096 };

/* An answer, or a question that will have one. `open` from when it is asked to when all
 * who waited have been told; then it stands in `used`, and goes when room is needed. */
struct entry {
    struct dns_question question;
    struct list link;   /* in dns.open or dns.used */
    struct entry *next; /* of the bucket */
    struct list waiters;
    struct timer heard; /* tells them, outside of c-ares */
    struct dns *dns;
    enum dns_type type;
    bool open;
    bool again; /* ask for `target` instead */
    unsigned aliases;
    bool secure; /* all answers so far */
    int64_t expires_ns;
    size_t bytes;
    struct dns_answer answer;
    void *records; /* of the answer */
    char *target;
    char name[];
};

struct dns {
    struct thread *thread;
    struct dns_resolver *resolver;
    struct list open, used; /* what was used last stands last */
    uint64_t key;
    bool closing;
    struct dns_stats stats;
    struct dns_records scratch;
    struct entry *buckets[BUCKETS];
};

static const struct dns_answer no_memory = {.status = DNS_FAILED, .why = "out of memory"};

/* --- the table ---------------------------------------------------------- */

static struct entry **bucket_of(struct dns *d, const char *name, enum dns_type type)
{
    return &d->buckets[slice_hash(slice_str(name), d->key + type) % BUCKETS];
}

static struct entry *find(struct dns *d, const char *name, enum dns_type type)
{
    struct entry *e = *bucket_of(d, name, type);

    while (e && (e->type != type || strcmp(e->name, name) != 0))
        e = e->next;
    return e;
}

static struct entry *add(struct dns *d, const char *name, enum dns_type type)
{
    size_t len = strlen(name) + 1;
    struct entry *e = calloc(1, sizeof *e + len), **bucket;

    if (!e)
        return NULL;
    memcpy(e->name, name, len);
    e->dns = d;
    e->type = type;
    e->bytes = sizeof *e + len;
    list_init(&e->waiters);
    bucket = bucket_of(d, name, type);
    e->next = *bucket;
    *bucket = e;
    d->stats.entries++;
    d->stats.bytes += e->bytes;
    return e;
}

static void clear_answer(struct entry *e)
{
    free(e->records);
    free(e->target);
    e->records = NULL;
    e->target = NULL;
    e->dns->stats.bytes -= e->bytes;
    e->bytes = sizeof *e + strlen(e->name) + 1;
    e->dns->stats.bytes += e->bytes;
}

static void drop(struct entry *e)
{
    struct entry **at = bucket_of(e->dns, e->name, e->type);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    clear_answer(e);
    e->dns->stats.bytes -= e->bytes;
    e->dns->stats.entries--;
    timer_clear(&e->heard);
    list_remove(&e->link);
    free(e);
}

static void make_room(struct dns *d)
{
    while (d->stats.bytes > DNS_CACHE_BYTES && !list_empty(&d->used))
        drop(container_of(d->used.next, struct entry, link));
}

/* --- answers ------------------------------------------------------------ */

static int64_t lasts_ns(const struct dns_records *r)
{
    uint32_t max_s = r->status == DNS_OK ? DNS_TTL_MAX_S : DNS_NEGATIVE_MAX_S;
    uint32_t s = r->ttl_s < DNS_TTL_MIN_S ? DNS_TTL_MIN_S : r->ttl_s;

    if (r->status == DNS_FAILED)
        s = DNS_FAILED_S;
    return (int64_t)(s < max_s ? s : max_s) * 1000000000;
}

/* Its own copy, no larger than needed. */
static void keep(struct entry *e, const struct dns_records *r)
{
    const void *from = e->type == DNS_MX ? (const void *)r->exchanges : r->addresses;
    size_t bytes =
        r->count * (e->type == DNS_MX ? sizeof *r->exchanges : sizeof *r->addresses);

    e->answer =
        (struct dns_answer){.status = r->status, .why = r->why, .secure = e->secure};
    e->expires_ns = e->dns->thread->now_ns + lasts_ns(r);
    if (r->status != DNS_OK)
        return;
    e->records = malloc(bytes);
    if (!e->records) {
        e->answer = no_memory;
        e->expires_ns = e->dns->thread->now_ns;
        return;
    }
    memcpy(e->records, from, bytes);
    e->answer.count = r->count;
    if (e->type == DNS_MX)
        e->answer.exchanges = e->records;
    else
        e->answer.addresses = e->records;
    e->bytes += bytes;
    e->dns->stats.bytes += bytes;
}

static void ask_now(struct entry *e, const char *name)
{
    e->dns->stats.questions++;
    dns_resolver_ask(e->dns->resolver, &e->question, name, e->type);
}

static void on_told(struct timer *timer)
{
    struct entry *e = container_of(timer, struct entry, heard);
    struct dns *d = e->dns;
    struct list *link;

    if (e->again) {
        e->again = false;
        ask_now(e, e->target);
        return;
    }
    while ((link = list_pop(&e->waiters))) {
        struct dns_query *q = container_of(link, struct dns_query, link);

        q->done(q, &e->answer);
    }
    e->open = false;
    list_remove(&e->link);
    list_add(&d->used, &e->link);
    make_room(d);
}

/* The chain of CNAMEs goes on with another question. */
static bool goes_on(struct entry *e, const struct dns_records *r)
{
    if (r->status != DNS_OK || !r->alias || ++e->aliases > DNS_ALIASES_MAX)
        return false;
    free(e->target);
    e->target = strdup(r->target);
    return e->target != NULL;
}

/* Often from inside c-ares: only the timer acts on it. */
static void on_heard(struct dns_question *q, struct slice message, const char *why)
{
    struct entry *e = container_of(q, struct entry, question);
    struct dns *d = e->dns;
    struct dns_records *r = &d->scratch;

    if (d->closing)
        return;
    if (message.len > 0)
        dns_read(message, e->type, r);
    else
        dns_read_nothing(why, r);
    e->secure = e->secure && q->trusted && r->authentic;
    e->again = goes_on(e, r);
    if (!e->again) {
        if (r->status == DNS_OK && r->alias) {
            r->status = DNS_FAILED;
            r->why = "CNAME loop";
        }
        d->stats.failed += r->status == DNS_FAILED;
        keep(e, r);
    }
    timer_set(d->thread, &e->heard, 0, on_told); /* at once */
}

/* --- questions ---------------------------------------------------------- */

static void ask(struct entry *e)
{
    clear_answer(e);
    e->open = e->secure = true;
    e->aliases = 0;
    e->question.heard = on_heard;
    list_remove(&e->link);
    list_add(&e->dns->open, &e->link);
    ask_now(e, e->name);
}

const struct dns_answer *dns_ask(
    struct dns *d, const char *name, enum dns_type type, struct dns_query *q)
{
    struct entry *e = find(d, name, type);

    if (e && !e->open && e->expires_ns > d->thread->now_ns) {
        d->stats.cached++;
        list_remove(&e->link);
        list_add(&d->used, &e->link);
        return &e->answer;
    }
    if (!e)
        e = add(d, name, type);
    if (!e)
        return &no_memory;
    list_add(&e->waiters, &q->link);
    if (!e->open)
        ask(e);
    return NULL;
}

void dns_forget(struct dns_query *q)
{
    list_remove(&q->link);
}

/* --- opening and closing ------------------------------------------------ */

struct dns *dns_open(struct thread *t)
{
    struct dns *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->resolver = dns_resolver_open(t);
    if (!d->resolver) {
        free(d);
        return NULL;
    }
    d->thread = t;
    d->key = random_u64();
    list_init(&d->open);
    list_init(&d->used);
    return d;
}

static void drop_all(struct list *entries)
{
    while (!list_empty(entries)) {
        struct entry *e = container_of(entries->next, struct entry, link);

        CHECK(list_empty(&e->waiters));
        drop(e);
    }
}

void dns_close(struct dns *d)
{
    d->closing = true;
    dns_resolver_close(d->resolver);
    drop_all(&d->open);
    drop_all(&d->used);
    free(d);
}

const struct dns_stats *dns_stats(const struct dns *d)
{
    return &d->stats;
}
