/* ceiling_tls.c -- what TLS 1.3 costs the server's side: a full handshake with a P-256
 * certificate, a line each way, 10 KiB out.
 *
 * Over memory, by two threads: one is the servers of all connections, the other is their
 * clients. A phase is served by half of the connections while the clients work on the
 * other half; then they change. So the servers have a neighbour as busy as a driver keeps
 * the other CPU, with which they share what CPUs share. Counted is what the calls of the
 * servers use, not the waiting for the end of a phase.
 */
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sched.h>
#include <string.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum {
    HALF_MIN = 8, /* of the connections; not less, for a look at the clock takes time */
    HALF_MAX = 64,
    PIPE_BYTES = 1 << 14,
    LINE_BYTES = 20,
    ANSWER_MAX = 10240
};

static const char greeting[] = "* OK\r\n", request[] = "a001 NOOP\r\n";

struct ends {
    SSL *server, *client;
    size_t due; /* octets that the client has to read */
};

struct hall {
    SSL_CTX *server, *client;
    struct ends halves[2][HALF_MAX];
    unsigned half;                                 /* connections in each */
    void (*ask)(struct hall *h, struct ends *e);   /* the client's part in a phase */
    bool (*serve)(struct hall *h, struct ends *e); /* the server's; true: one is done */
    int answer_bytes;
    _Atomic unsigned through[2]; /* phases that clients, servers are through with */
    _Atomic unsigned phases;     /* to be gone through, as soon as that is known */
};
enum { CLIENTS, SERVERS };

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "ringmail-ceiling: tls: %s failed\n", what);
    exit(1);
}

static SSL_CTX *server_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *key = EVP_PKEY_new();
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    need(EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec), "making a key");
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_get_notBefore(cert), 0);
    X509_gmtime_adj(X509_get_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(
        name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    need(X509_sign(cert, key, EVP_sha256()) > 0, "signing a certificate");
    need(SSL_CTX_use_certificate(ctx, cert) && SSL_CTX_use_PrivateKey(ctx, key),
        "loading a certificate");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

static struct ends ends_new(const struct hall *h)
{
    struct ends e = {SSL_new(h->server), SSL_new(h->client), 0};
    BIO *a, *b;

    need(BIO_new_bio_pair(&a, PIPE_BYTES, &b, PIPE_BYTES), "a pipe in memory");
    SSL_set_bio(e.server, a, a);
    SSL_set_bio(e.client, b, b);
    SSL_set_accept_state(e.server);
    SSL_set_connect_state(e.client);
    return e;
}

static void ends_free(struct ends *e)
{
    SSL_free(e->server);
    SSL_free(e->client);
}

/* --- what the two do in a phase --------------------------------------------- */

static void read_due(struct ends *e)
{
    char text[4096];

    while (e->due) {
        int got =
            SSL_read(e->client, text, (int)(e->due < sizeof text ? e->due : sizeof text));

        need(got > 0, "reading an answer");
        e->due -= (size_t)got;
    }
}

/* False: the other end has to say something first. */
static bool shaken(SSL *ssl)
{
    int res = SSL_do_handshake(ssl);

    need(res == 1 || SSL_get_error(ssl, res) == SSL_ERROR_WANT_READ, "a handshake");
    return res == 1;
}

static void shake(struct hall *h, struct ends *e)
{
    if (e->due) {
        read_due(e);
        ends_free(e);
        *e = ends_new(h);
    }
    shaken(e->client);
}

/* With the tickets, which leave with its first words. */
static bool welcome(struct hall *h, struct ends *e)
{
    (void)h;
    if (!shaken(e->server))
        return false;
    e->due = sizeof greeting - 1;
    need(SSL_write(e->server, greeting, (int)e->due) == (int)e->due, "a greeting");
    return true;
}

static void ask(struct hall *h, struct ends *e)
{
    (void)h;
    read_due(e);
    need(SSL_write(e->client, request, sizeof request - 1) > 0, "writing a line");
}

static bool answer(struct hall *h, struct ends *e)
{
    static char text[ANSWER_MAX];

    need(SSL_read(e->server, text, sizeof request - 1) > 0, "reading a line");
    need(SSL_write(e->server, text, h->answer_bytes) == h->answer_bytes,
        "writing an answer");
    e->due = (size_t)h->answer_bytes;
    return true;
}

/* --- the phases --------------------------------------------------------------- */

/* Without sleep: the scheduler would put whom it wakes beside the waker, on one CPU. */
static void end_phase(struct hall *h, unsigned side)
{
    unsigned n = ++h->through[side];

    while (h->through[!side] < n)
        sched_yield();
}

static void ask_half(struct hall *h, struct ends *half)
{
    for (unsigned i = 0; i < h->half; i++)
        h->ask(h, &half[i]);
}

static void *be_clients(void *arg)
{
    struct hall *h = arg;

    for (unsigned n = 0; n < h->phases; n++) {
        ask_half(h, h->halves[(n + 1) % 2]);
        end_phase(h, CLIENTS);
    }
    return NULL;
}

/* Returns the CPU of each thing done, in microseconds. */
static double be_servers(struct hall *h, double seconds)
{
    int64_t end = clock_monotonic_ns() + (int64_t)(seconds * 1e9), used = 0, began;
    uint64_t done = 0;

    for (unsigned n = 0; n < h->phases; n++) {
        began = clock_cpu_ns();
        for (unsigned i = 0; i < h->half; i++)
            done += h->serve(h, &h->halves[n % 2][i]);
        used += clock_cpu_ns() - began;
        /* Known to the clients before they could begin the phase after it. */
        if (done && clock_monotonic_ns() >= end)
            h->phases = n + 1;
        end_phase(h, SERVERS);
    }
    return (double)used / 1e3 / (double)done;
}

static double each_us(struct hall *h, double seconds)
{
    pthread_t clients;
    double us;

    h->phases = UINT32_MAX;
    ask_half(h, h->halves[0]);
    if (pthread_create(&clients, NULL, be_clients, h))
        ceiling_fail("starting a thread");
    us = be_servers(h, seconds);
    pthread_join(clients, NULL);
    return us;
}

/* --- the calibrations ----------------------------------------------------------- */

static struct ends *ends_at(struct hall *h, unsigned i)
{
    return &h->halves[i / h->half][i % h->half];
}

static void hall_open(struct hall *h, unsigned connections)
{
    h->half = connections / 2;
    if (h->half < HALF_MIN)
        h->half = HALF_MIN;
    if (h->half > HALF_MAX)
        h->half = HALF_MAX;
    h->server = server_context();
    h->client = SSL_CTX_new(TLS_method());
    SSL_CTX_set_verify(h->client, SSL_VERIFY_NONE, NULL);
    for (unsigned i = 0; i < 2 * h->half; i++)
        *ends_at(h, i) = ends_new(h);
}

static void hall_close(struct hall *h)
{
    for (unsigned i = 0; i < 2 * h->half; i++)
        ends_free(ends_at(h, i));
    SSL_CTX_free(h->server);
    SSL_CTX_free(h->client);
}

void ceiling_tls_handshake(const struct ceiling_conf *conf)
{
    struct hall h = {.ask = shake, .serve = welcome};

    hall_open(&h, conf->connections);
    ceiling_put(conf, "us", each_us(&h, conf->seconds));
    hall_close(&h);
}

void ceiling_tls_exchange(const struct ceiling_conf *conf)
{
    struct hall h = {.ask = ask, .serve = answer};

    h.answer_bytes = conf->kib ? (int)conf->kib << 10 : LINE_BYTES;
    CHECK(h.answer_bytes <= ANSWER_MAX);
    hall_open(&h, conf->connections);
    for (unsigned i = 0; i < 2 * h.half; i++)
        do
            shaken(ends_at(&h, i)->client);
        while (!welcome(&h, ends_at(&h, i)));
    ceiling_put(conf, "us", each_us(&h, conf->seconds));
    hall_close(&h);
}
