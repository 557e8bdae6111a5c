#include "server/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/tls_state.h"

/* --- between BoringSSL and the slices ------------------------------------- */

static int bio_read(BIO *bio, char *at, int cap)
{
    struct tls *tls = BIO_get_data(bio);
    size_t n;

    BIO_clear_retry_flags(bio);
    if (!tls->in || tls->in->len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    n = tls->in->len < (size_t)cap ? tls->in->len : (size_t)cap;
    memcpy(at, tls->in->at, n);
    slice_take(tls->in, n);
    return (int)n;
}

static int bio_write(BIO *bio, const char *at, int len)
{
    struct tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    tls->put(tls->arg, slice_of(at, (size_t)len));
    return len;
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
    if (!method)
        return;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

/* --- birth and death ------------------------------------------------------ */

struct tls *tls_make(struct tls_context *context, SSL_CTX *ctx,
    void (*put)(void *arg, struct slice sealed), void *arg)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tls *tls = calloc(1, sizeof *tls);
    BIO *bio = NULL;

    pthread_once(&once, make_method);
    if (!tls)
        return NULL;
    tls->ssl = SSL_new(ctx);
    if (tls->ssl && method)
        bio = BIO_new(method);
    if (!bio) {
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_shed_handshake_config(tls->ssl, 1);
    tls->put = put;
    tls->arg = arg;
    tls->context = context;
    context->refs++;
    return tls;
}

struct tls *tls_new(struct tls_context *context, const char *protocol,
    void (*put)(void *arg, struct slice sealed), void *arg)
{
    struct tls *tls = tls_make(context, context->servers[0], put, arg);

    if (!tls)
        return NULL;
    tls->protocol = protocol;
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    tls_context_drop(tls->context);
    free(tls);
}

/* --- work ----------------------------------------------------------------- */

void tls_feed(struct tls *tls, struct slice *in)
{
    tls->in = in;
}

/* Of a certificate that was refused: what is wrong with it. */
static const char *what_failed(const struct tls *tls)
{
    uint32_t error = ERR_peek_error();
    long verdict = SSL_get_verify_result(tls->ssl);

    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return ERR_reason_error_string(error);
}

/* What a call of BoringSSL that gave `result` means. */
static enum tls_result judge(struct tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);

    if (error == SSL_ERROR_WANT_READ)
        return TLS_MORE;
    if (error == SSL_ERROR_ZERO_RETURN)
        return TLS_CLOSED;
    tls->failed = true;
    tls->error = what_failed(tls);
    ERR_clear_error();
    return TLS_FAILED;
}

enum tls_result tls_handshake(struct tls *tls)
{
    int result;

    if (tls->failed)
        return TLS_FAILED;
    result = SSL_do_handshake(tls->ssl);
    if (result != 1)
        return judge(tls, result);
    tls->up = true;
    if (SSL_is_server(tls->ssl)) {
        tls_context_drop(tls->context);
        tls->context = NULL;
    }
    return TLS_DONE;
}

/* A record, or part of one, that has not been opened: without one BoringSSL can only say
 * so, and asking it costs as much as a short record does. */
static bool has_more(const struct tls *tls)
{
    return (tls->in && tls->in->len) || SSL_has_pending(tls->ssl);
}

/* As many records as fit, so that commands sent one by one are run together. What ends
 * the stream behind them is told by the next call. */
enum tls_result tls_read(struct tls *tls, char *at, size_t cap, size_t *got)
{
    enum tls_result result = TLS_MORE;

    *got = 0;
    if (tls->failed)
        return TLS_FAILED;
    if (tls->closed)
        return TLS_CLOSED;
    while (*got < cap && has_more(tls)) {
        int n = SSL_read(tls->ssl, at + *got, (int)(cap - *got));

        if (n <= 0) {
            result = judge(tls, n);
            break;
        }
        *got += (size_t)n;
    }
    tls->closed = result == TLS_CLOSED;
    return *got ? TLS_DONE : result;
}

bool tls_write(struct tls *tls, struct slice plain)
{
    int n;

    if (tls->failed)
        return false;
    n = SSL_write(tls->ssl, plain.at, (int)plain.len);
    if (n == (int)plain.len)
        return true;
    judge(tls, n);
    return false;
}

void tls_close(struct tls *tls)
{
    if (tls->up && !tls->failed)
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

bool tls_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl) != 0;
}

struct slice tls_text(const struct tls *tls, char *at, size_t cap)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
    int n = snprintf(at, cap, "%s %s", SSL_get_version(tls->ssl),
        cipher ? SSL_CIPHER_standard_name(cipher) : "none");

    if (n < 0)
        return S("");
    return slice_of(at, (size_t)n < cap ? (size_t)n : cap - 1);
}

const char *tls_error(const struct tls *tls)
{
    return tls->error ? tls->error : "";
}
