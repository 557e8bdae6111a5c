/* tls.h -- TLS by BoringSSL, as a filter between slices.
 *
 *   received bytes --tls_feed()--> tls_read() --> plain text
 *   plain text --tls_write()--> put(arg, sealed bytes)
 *
 * TLS 1.2 and 1.3, ECDHE with AEAD only, no renegotiation, no early data. Nothing here
 * does I/O or waits. The only files that know BoringSSL are tls*.c.
 *
 *   tls_files --tls_store_load()--> struct tls_store: checked chains and keys, made by
 *   the control thread --tls_context_new()--> struct tls_context: one a thread, so that
 *   threads share no counters --tls_new()--> struct tls: one a connection
 */
#pragma once
#include <stdio.h>

#include "proto/base/slice.h"

struct tls_store;
struct tls_context;
struct tls;

/* A pair of PEM files: the chain, the server's own certificate first, and its key. */
struct tls_files {
    const char *certificate, *key;
};

enum { TLS_FILES_MAX = 256, TLS_RECORD_MAX = 16384 };

/* Reads and checks: the key belongs to the certificate, is readable by nobody else, RSA
 * has at least 2048 bits. NULL: `why` names the file and what is wrong. `warn` gets a
 * line for each doubt (expired, not yet valid, expires soon, no names). */
struct tls_store *tls_store_load(const struct tls_files *files, unsigned count, char *why,
    size_t cap, void (*warn)(void *arg, const char *line), void *arg);
void tls_store_free(struct tls_store *store);
/* One of the certificates has expired and is not served already: *at, in order of the
 * files. Not for a start: an expired certificate is better than none. */
bool tls_store_is_stale(
    const struct tls_store *store, const struct tls_context *served, unsigned *at);

/* For one thread. Without a store (NULL) for clients only. NULL: no memory. */
struct tls_context *tls_context_new(const struct tls_store *store);
/* Connections that use it keep what they need. */
void tls_context_free(struct tls_context *context);
/* It has certificates: servers can offer TLS. */
bool tls_context_serves(const struct tls_context *context);

/* Ticket keys are one set for the process, sealed and opened by any thread; after a
 * rotation those before still open. By one thread at a time; first before any context is
 * made. */
bool tls_keys_rotate(void);
/* Wipes the sets that have been replaced: when every thread has been heard of since. */
void tls_keys_forget(void);

/* The server's side. `protocol` is the only ALPN name that is accepted ("imap", "pop3",
 * "smtp"); a client that offers others only is refused (RFC 7301, 3.2). put() takes
 * every byte. NULL: no memory. */
struct tls *tls_new(struct tls_context *context, const char *protocol,
    void (*put)(void *arg, struct slice sealed), void *arg);
/* The client's side: SNI and, with verify, a check of the certificate against the
 * authorities and the name (RFC 6125; RFC 7817, 3), which may be an address too. Sessions
 * with a name are resumed, apart for each `verify`. NULL: no memory, or no authorities.
 */
struct tls *tls_new_client(struct tls_context *context, struct slice name, bool verify,
    void (*put)(void *arg, struct slice sealed), void *arg);
/* Authorities for the contexts of clients that check their first certificate from now on,
 * in PEM; `file` NULL or empty: the system's. On a thread that may read files: before the
 * others begin, else the first check does it. False: `why` names the file, and nothing
 * has changed. */
bool tls_authorities_load(const char *file, char *why, size_t cap);
void tls_free(struct tls *tls);

/* Bytes from the peer, taken from the front of *in by the following calls until the next
 * tls_feed(). */
void tls_feed(struct tls *tls, struct slice *in);

enum tls_result {
    TLS_DONE,   /* handshake: complete; read: bytes are there */
    TLS_MORE,   /* needs more input */
    TLS_CLOSED, /* close_notify: the peer sends no more */
    TLS_FAILED, /* broken for good; an alert may have been put() */
};

enum tls_result tls_handshake(struct tls *tls);
/* Opens records into `at`; *got > 0 with TLS_DONE. */
enum tls_result tls_read(struct tls *tls, char *at, size_t cap, size_t *got);
/* Seals all of it. False: broken for good. */
bool tls_write(struct tls *tls, struct slice plain);
/* Puts close_notify, once. */
void tls_close(struct tls *tls);

bool tls_resumed(const struct tls *tls);
/* "TLSv1.3 TLS_AES_128_GCM_SHA256". */
struct slice tls_text(const struct tls *tls, char *at, size_t cap);
/* What went wrong last, for the log: "no shared cipher". */
const char *tls_error(const struct tls *tls);
