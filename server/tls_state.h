/* tls_state.h -- what the files of TLS share. Private to tls*.c, the only ones that know
 * BoringSSL. */
#pragma once
#include <openssl/base.h>
#include <openssl/ssl.h>

#include "proto/base/check.h"
#include "server/tls.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "BoringSSL is needed: plain OpenSSL has no ticket AEAD methods"
#endif

/* A certificate chain and its key, as bytes, so that every thread can make objects of
 * its own from it. */
struct tls_pair {
    uint8_t **chain; /* DER, the server's own first */
    size_t *chain_bytes;
    size_t chain_count;
    uint8_t *key; /* DER, wiped when freed */
    size_t key_bytes;
    bool ecdsa, expired;
    char **names; /* DNS names, lower case, "*.example.org" too; NUL-terminated */
    size_t name_count;
};

struct tls_store {
    struct tls_pair *pairs;
    unsigned count;
};

struct tls_context {
    unsigned refs; /* one of the owner, one of each handshake under way */
    unsigned count;
    SSL_CTX **servers; /* one for each pair */
    bool *ecdsa;
    uint64_t *leaves; /* hash of each server's own certificate */
    char ***names;
    size_t *name_counts;
    SSL_CTX *client;
    bool trusts;           /* the authorities are in `client` */
    struct tls_kept *kept; /* sessions of clients, for resumption; NULL: none yet */
};

struct tls {
    SSL *ssl;
    struct tls_context *context; /* of a server: until the handshake is done */
    struct slice *in;
    void (*put)(void *arg, struct slice sealed);
    void *arg;
    const char *protocol; /* the ALPN name */
    uint64_t kept_key;    /* of a client: where its sessions are kept; 0: they aren't */
    const char *error;
    bool up, failed, closed;
};

/* A filter over a connection of BoringSSL's; NULL: no memory. */
struct tls *tls_make(struct tls_context *context, SSL_CTX *ctx,
    void (*put)(void *arg, struct slice sealed), void *arg);
/* Chooses a certificate (a BoringSSL callback). */
enum ssl_select_cert_result_t tls_select(const SSL_CLIENT_HELLO *hello);
void tls_context_drop(struct tls_context *context);
/* tls_client.c: makes the context of clients what they need; and gives back the sessions
 * that it keeps. */
void tls_client_prepare(struct tls_context *context);
void tls_client_forget(struct tls_context *context);
extern const SSL_TICKET_AEAD_METHOD tls_ticket_method;
