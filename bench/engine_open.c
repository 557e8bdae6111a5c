/* engine_open.c -- making threads and clients, and adding up what they counted. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/client_tls.h"
#include "bench/mode.h"
#include "server/ring.h"

enum { SPARE_FILES = 64 };

/* Twice as many as there are connections: closing one takes its time. A sink does not
 * know how many will come. */
static bool raise_files(const struct bench *b, struct out *why)
{
    uint64_t wanted = 2 * b->o->connections + SPARE_FILES;
    struct rlimit limit;
    char text[160];

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
        (limit.rlim_cur >= wanted && !b->mode->serves))
        return true;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return true;
    snprintf(text, sizeof text,
        "--connections %llu: needs %llu open files, and %llu are allowed; raise that "
        "(ulimit -n)",
        (unsigned long long)b->o->connections, (unsigned long long)wanted,
        (unsigned long long)limit.rlim_cur);
    out_str(why, text);
    return false;
}

/* Client i of all belongs to thread i modulo threads. */
static bool open_clients(struct driver *d)
{
    struct bench *b = d->bench;
    uint64_t all = b->mode->serves ? 0 : b->o->connections;

    d->count = (unsigned)(all / b->threads + (d->index < all % b->threads));
    d->clients = calloc(d->count ? d->count : 1, sizeof *d->clients);
    if (!d->clients)
        return false;
    for (unsigned i = 0; i < d->count; i++) {
        struct client *c = &d->clients[i];

        if (!client_init(c, d, b->mode, &b->o->to, (uint64_t)i * b->threads + d->index))
            return false;
        c->tls_kind = b->o->tls;
        engine_join(d, c);
    }
    return !b->mode->populate || b->mode->populate(d);
}

static bool open_driver(struct bench *b, unsigned index)
{
    struct driver *d = &b->drivers[index];

    d->bench = b;
    d->index = index;
    d->quota = b->o->count / b->threads + (index < b->o->count % b->threads);
    list_init(&d->members);
    list_init(&d->idle);
    list_init(&d->unset);
    list_init(&d->ended);
    list_init(&d->resting);
    list_init(&d->later);
    d->tls = tls_maker_new(b->o->tls_resume);
    if (!d->tls || (b->ledgers && !ledger_open(&d->ledger)))
        return false;
    return open_clients(d);
}

bool engine_open(
    struct bench *b, const struct options *o, const struct mode *mode, struct out *why)
{
    b->o = o;
    b->mode = mode;
    b->threads = (unsigned)o->threads;
    b->open_loop = o->rate > 0;
    b->holding = mode->holds && !o->deliver.len;
    b->keep = o->per_connection == 0 && !mode->single;
    if (!raise_files(b, why))
        return false;
    if (mode->prepare && !mode->prepare(b, why))
        return false;
    b->drivers = calloc(b->threads, sizeof *b->drivers);
    for (unsigned i = 0; i < b->threads; i++)
        if (!b->drivers || !open_driver(b, i)) {
            out_str(why, "out of memory; write fewer --connections");
            return false;
        }
    pthread_barrier_init(&b->go, NULL, b->threads + 1);
    pthread_barrier_init(&b->leave, NULL, b->threads + 1);
    sem_init(&b->ended, 0, 0);
    return true;
}

void engine_close(struct bench *b)
{
    for (unsigned i = 0; b->drivers && i < b->threads; i++) {
        struct driver *d = &b->drivers[i];

        if (d->ring)
            ring_close(d->ring);
        list_each_safe(link, after, &d->members) {
            struct client *c = container_of(link, struct client, member);

            if (c->state != CLIENT_CLOSED && c->mode->ended)
                c->mode->ended(c);
            client_free(c);
            if (c->owned)
                free(c);
        }
        free(d->clients);
        free(d->extra);
        ledger_close(&d->ledger);
        tls_maker_free(d->tls);
    }
    free(b->drivers);
    b->drivers = NULL;
}

void engine_sum(const struct bench *b, struct tally *sum)
{
    *sum = (struct tally){.first_ns = INT64_MAX};
    for (unsigned i = 0; i < b->threads; i++) {
        const struct tally *t = &b->drivers[i].tally;

        sum->operations += t->operations;
        sum->errors += t->errors;
        sum->bytes_in += t->bytes_in;
        sum->bytes_out += t->bytes_out;
        sum->connections += t->connections;
        sum->handshakes += t->handshakes;
        sum->resumed += t->resumed;
        sum->recipients += t->recipients;
        sum->late += t->late;
        sum->missed += t->missed;
        sum->undone += t->undone;
        histogram_merge(&sum->latency, &t->latency);
        for (unsigned s = 0; s < STEPS_MAX; s++)
            histogram_merge(&sum->steps[s], &t->steps[s]);
        if (!*sum->error_text)
            memcpy(sum->error_text, t->error_text, sizeof sum->error_text);
        sum->first_ns = t->first_ns < sum->first_ns ? t->first_ns : sum->first_ns;
        sum->last_ns = t->last_ns > sum->last_ns ? t->last_ns : sum->last_ns;
        sum->cpu_ns += t->cpu_ns;
        sum->waited_ns += t->waited_ns;
    }
}
