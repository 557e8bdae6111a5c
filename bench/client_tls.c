#include "bench/client_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine.h"
#include "bench/mode.h"
#include "bench/room.h"

enum { PLAIN_BYTES = 32768 };

struct tls_maker {
    SSL_CTX *context;
    bool resume;
    char plain[PLAIN_BYTES]; /* what has been opened, until the mode has seen it */
};

struct client_tls {
    SSL *ssl;             /* NULL: this connection has no TLS (yet) */
    SSL_SESSION *session; /* of the connection before */
    struct slice in;
    struct room fill, flight; /* sealed bytes: being made; being sent */
    bool up;
};

/* --- between BoringSSL and the slices ------------------------------------- */

static int bio_read(BIO *bio, char *at, int cap)
{
    struct client_tls *tls = BIO_get_data(bio);
    size_t n = tls->in.len < (size_t)cap ? tls->in.len : (size_t)cap;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(at, slice_take(&tls->in, n).at, n);
    return (int)n;
}

static int bio_write(BIO *bio, const char *at, int len)
{
    struct client_tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    return room_put(&tls->fill, slice_of(at, (size_t)len)) ? len : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(0, "ring");
    CHECK(method);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

/* --- making --------------------------------------------------------------- */

/* Takes the session over: 1 (a BoringSSL callback). */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *c = SSL_get_app_data(ssl);

    SSL_SESSION_free(c->tls->session);
    c->tls->session = session;
    return 1;
}

struct tls_maker *tls_maker_new(bool resume)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tls_maker *m = calloc(1, sizeof *m);

    pthread_once(&once, make_method);
    if (!m)
        return NULL;
    m->resume = resume;
    m->context = SSL_CTX_new(TLS_method());
    if (!m->context) {
        free(m);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(m->context, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(m->context,
        resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    if (resume)
        SSL_CTX_sess_set_new_cb(m->context, keep_session);
    return m;
}

void tls_maker_free(struct tls_maker *m)
{
    if (m)
        SSL_CTX_free(m->context);
    free(m);
}

/* A TLS 1.3 session is used once (RFC 8446, C.4). */
static void offer_session(struct client_tls *tls)
{
    if (!tls->session)
        return;
    SSL_set_session(tls->ssl, tls->session);
    if (!SSL_SESSION_should_be_single_use(tls->session))
        return;
    SSL_SESSION_free(tls->session);
    tls->session = NULL;
}

bool client_tls_start(struct client *c)
{
    struct tls_maker *m = c->driver->tls;
    BIO *bio = BIO_new(method);

    if (!c->tls)
        c->tls = calloc(1, sizeof *c->tls);
    if (c->tls && bio)
        c->tls->ssl = SSL_new(m->context);
    if (!c->tls || !bio || !c->tls->ssl) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, c->tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->tls->ssl, bio, bio);
    SSL_set_app_data(c->tls->ssl, c);
    SSL_set_shed_handshake_config(c->tls->ssl, 1);
    SSL_set_connect_state(c->tls->ssl);
    c->tls->fill.len = c->tls->flight.len = 0;
    c->tls->up = false;
    offer_session(c->tls);
    return true;
}

bool client_tls_on(const struct client *c)
{
    return c->tls && c->tls->ssl;
}

void client_tls_end(struct client *c)
{
    if (!c->tls)
        return;
    SSL_free(c->tls->ssl);
    c->tls->ssl = NULL;
    ERR_clear_error();
}

void client_tls_forget(struct client *c)
{
    if (!c->tls)
        return;
    SSL_free(c->tls->ssl);
    SSL_SESSION_free(c->tls->session);
    free(c->tls->fill.at);
    free(c->tls->flight.at);
    free(c->tls);
    c->tls = NULL;
}

/* --- work ----------------------------------------------------------------- */

static void fail(struct client *c)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    char text[160];
    int n = snprintf(text, sizeof text, "TLS: %s", reason ? reason : "broken");

    ERR_clear_error();
    client_fail(c, slice_of(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

/* True: the handshake is complete. */
static bool shake_hands(struct client *c)
{
    struct client_tls *tls = c->tls;
    int result = SSL_do_handshake(tls->ssl);

    if (result != 1 && SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_READ) {
        fail(c);
        return false;
    }
    client_flush(c);
    if (result != 1)
        return false;
    tls->up = true;
    c->driver->tally.handshakes++;
    c->driver->tally.resumed += SSL_session_reused(tls->ssl) != 0;
    c->state = CLIENT_OPEN;
    if (c->tls_kind == TLS_STARTTLS)
        c->mode->secured(c);
    else
        c->mode->open(c);
    return !client_gone(c);
}

static void on_read_end(struct client *c, int result)
{
    int error = SSL_get_error(c->tls->ssl, result);

    if (error == SSL_ERROR_WANT_READ)
        return;
    if (error != SSL_ERROR_ZERO_RETURN)
        fail(c);
    else if (c->leaving)
        client_drop(c);
    else
        client_fail(c, S("the server has closed the connection"));
}

void client_tls_input(struct client *c, struct slice in)
{
    struct client_tls *tls = c->tls;
    char *plain = c->driver->tls->plain;
    int n = 0;

    tls->in = in;
    if (!tls->up && !shake_hands(c)) {
        tls->in = S("");
        return;
    }
    while (!client_gone(c)) {
        n = SSL_read(tls->ssl, plain, PLAIN_BYTES);
        if (n <= 0)
            break;
        c->mode->input(c, slice_of(plain, (size_t)n));
    }
    if (!client_gone(c))
        on_read_end(c, n);
    tls->in = S("");
    if (!client_gone(c) && tls->fill.len)
        client_flush(c); /* what TLS itself has to say */
}

struct slice client_tls_output(struct client *c)
{
    struct client_tls *tls = c->tls;
    struct room sent;

    for (unsigned i = 0; tls->up && i < c->piece_count; i++) {
        const struct iovec *p = &c->pieces[i];

        /* Without memory for it nothing is sent, and the answer will not come. */
        (void)SSL_write(tls->ssl, p->iov_base, (int)p->iov_len);
    }
    sent = tls->flight;
    tls->flight = tls->fill;
    tls->fill = sent;
    tls->fill.len = 0;
    return slice_of(tls->flight.at, tls->flight.len);
}
