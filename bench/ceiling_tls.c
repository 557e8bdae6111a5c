/* ceiling_tls.c -- what TLS 1.3 costs the server's side: a full handshake with a P-256
 * certificate, a short line each way, 10 KiB out. Both ends in one thread, over memory;
 * the CPU of the server's calls only is counted. */
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum { MESSAGE_BYTES = 10240, PIPE_BYTES = 1 << 16, STEPS_MAX = 10 };

struct ends {
    SSL *server, *client;
};

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

static struct ends ends_new(SSL_CTX *server, SSL_CTX *client)
{
    struct ends e = {SSL_new(server), SSL_new(client)};
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

/* Returns the server's CPU, the tickets that leave with its first words included. */
static int64_t shake_ns(struct ends *e)
{
    char text[64];
    int64_t used = 0, began;
    int client = 0, server = 0;

    for (unsigned i = 0; i < STEPS_MAX && (client != 1 || server != 1); i++) {
        client = SSL_do_handshake(e->client);
        began = clock_cpu_ns();
        server = SSL_do_handshake(e->server);
        used += clock_cpu_ns() - began;
    }
    need(client == 1 && server == 1, "a handshake");
    began = clock_cpu_ns();
    need(SSL_write(e->server, "* OK\r\n", 6) == 6, "the first words");
    used += clock_cpu_ns() - began;
    need(SSL_read(e->client, text, sizeof text) == 6, "reading the first words");
    return used;
}

/* The clock is a system call: `batch` exchanges between two looks at it. */
static int64_t exchange_ns(struct ends *e, size_t bytes, unsigned batch)
{
    static char text[MESSAGE_BYTES];
    static const char line[] = "a001 NOOP\r\n";
    int64_t began;

    for (unsigned i = 0; i < batch; i++)
        need(SSL_write(e->client, line, sizeof line - 1) > 0, "writing a line");
    began = clock_cpu_ns();
    for (unsigned i = 0; i < batch; i++) {
        need(SSL_read(e->server, text, sizeof line - 1) > 0, "reading a line");
        need(SSL_write(e->server, text, (int)bytes) == (int)bytes, "writing an answer");
    }
    began = clock_cpu_ns() - began;
    for (size_t left = bytes * batch; left;) {
        int got = SSL_read(e->client, text, sizeof text);

        need(got > 0, "reading an answer");
        left -= (size_t)got;
    }
    return began;
}

static double exchange_us(struct ends *e, size_t bytes, unsigned batch, double seconds)
{
    int64_t end = clock_cpu_ns() + (int64_t)(seconds * 1e9), used = 0;
    uint64_t count = 0;

    for (; clock_cpu_ns() < end; count += batch)
        used += exchange_ns(e, bytes, batch);
    return (double)used / 1e3 / (double)count;
}

static SSL_CTX *client_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    return ctx;
}

void ceiling_tls_handshake(const struct ceiling_conf *conf)
{
    SSL_CTX *server = server_context(), *client = client_context();
    int64_t end = clock_cpu_ns() + (int64_t)(conf->seconds * 0.5e9), used = 0;
    uint64_t count = 0;
    struct ends e;

    for (; clock_cpu_ns() < end; count++) {
        e = ends_new(server, client);
        used += shake_ns(&e);
        ends_free(&e);
    }
    ceiling_put(conf, "us", (double)used / 1e3 / (double)count);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

void ceiling_tls_exchange(const struct ceiling_conf *conf)
{
    enum { LINE_BYTES = 20 };
    SSL_CTX *server = server_context(), *client = client_context();
    struct ends e = ends_new(server, client);

    shake_ns(&e);
    ceiling_put(conf, "us",
        exchange_us(&e, conf->kib ? MESSAGE_BYTES : LINE_BYTES, conf->kib ? 4 : 16,
            conf->seconds * 0.2));
    ends_free(&e);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}
