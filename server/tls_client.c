/* tls_client.c -- TLS with servers: authorities, names, and sessions to resume.
 *
 * The authorities are one set for the process, which costs megabytes: a check of a
 * certificate looks them up under a lock of BoringSSL's, for microseconds. Sessions are
 * kept by each thread for itself.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/rand.h"
#include "server/tls_state.h"

enum {
    HOST_MAX = 255,
    KEPT_MAX = 256, /* sessions a thread keeps; one more takes the place of another */
};

/* Those of one context. A TLS 1.3 session is used once (RFC 8446, C.4). */
struct tls_kept {
    uint64_t key; /* of the hash over names */
    struct {
        uint64_t name;
        SSL_SESSION *session;
    } at[KEPT_MAX];
};

static const char *const authority_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
};

/* --- authorities ---------------------------------------------------------- */

static X509_STORE *authorities; /* for contexts that begin to check */
static pthread_mutex_t authorities_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t authorities_once = PTHREAD_ONCE_INIT;

static X509_STORE *read_authorities(const char *file)
{
    X509_STORE *store = X509_STORE_new();

    if (store && X509_STORE_load_locations(store, file, NULL) == 1)
        return store;
    X509_STORE_free(store);
    ERR_clear_error();
    return NULL;
}

static X509_STORE *read_system(void)
{
    X509_STORE *store = NULL;

    for (size_t i = 0; !store && i < sizeof authority_files / sizeof(char *); i++)
        store = read_authorities(authority_files[i]);
    return store;
}

/* Those that are in use keep the ones before. */
static void replace_authorities(X509_STORE *store)
{
    X509_STORE *before;

    pthread_mutex_lock(&authorities_lock);
    before = authorities;
    authorities = store;
    pthread_mutex_unlock(&authorities_lock);
    X509_STORE_free(before);
}

/* One reference more; NULL: there are none. */
static X509_STORE *take_authorities(void)
{
    X509_STORE *store;

    pthread_mutex_lock(&authorities_lock);
    store = authorities;
    if (store)
        X509_STORE_up_ref(store);
    pthread_mutex_unlock(&authorities_lock);
    return store;
}

static void load_system(void)
{
    X509_STORE *given = take_authorities();

    if (!given)
        replace_authorities(read_system());
    X509_STORE_free(given);
}

bool tls_authorities_load(const char *file, char *why, size_t cap)
{
    bool given = file && *file;
    X509_STORE *store = given ? read_authorities(file) : read_system();

    if (!store) {
        snprintf(why, cap, "--ca-bundle: no certificates can be read from %s",
            given ? file : authority_files[0]);
        return false;
    }
    replace_authorities(store);
    return true;
}

static bool trust(struct tls_context *c)
{
    X509_STORE *store;

    pthread_once(&authorities_once, load_system);
    store = c->trusts ? NULL : take_authorities();
    if (!store)
        return c->trusts;
    SSL_CTX_set_cert_store(c->client, store);
    c->trusts = true;
    return true;
}

/* --- sessions ------------------------------------------------------------- */

static unsigned place_of(uint64_t name)
{
    return (unsigned)(name % KEPT_MAX);
}

/* Takes the session over: 1 (a BoringSSL callback). */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = SSL_get_app_data(ssl);
    struct tls_kept *kept = tls->context ? tls->context->kept : NULL;
    unsigned i = place_of(tls->kept_key);

    if (!kept || tls->kept_key == 0)
        return 0;
    SSL_SESSION_free(kept->at[i].session);
    kept->at[i].session = session;
    kept->at[i].name = tls->kept_key;
    return 1;
}

/* The session kept under the key is offered to the server. */
static void offer_session(struct tls *tls)
{
    struct tls_kept *kept = tls->context->kept;
    unsigned i = place_of(tls->kept_key);
    SSL_SESSION *session = kept->at[i].session;

    if (!session || kept->at[i].name != tls->kept_key)
        return;
    SSL_set_session(tls->ssl, session);
    if (!SSL_SESSION_should_be_single_use(session))
        return;
    SSL_SESSION_free(session);
    kept->at[i].session = NULL;
}

static void resume(struct tls *tls, struct slice name, bool verify)
{
    struct tls_context *c = tls->context;

    if (!c->kept) {
        c->kept = calloc(1, sizeof *c->kept);
        if (!c->kept)
            return;
        c->kept->key = random_u64();
    }
    tls->kept_key = slice_hash(name, c->kept->key + verify);
    if (tls->kept_key)
        offer_session(tls);
}

void tls_client_prepare(struct tls_context *c)
{
    SSL_CTX_set_session_cache_mode(
        c->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->client, keep_session);
}

void tls_client_forget(struct tls_context *c)
{
    for (unsigned i = 0; c->kept && i < KEPT_MAX; i++)
        SSL_SESSION_free(c->kept->at[i].session);
    free(c->kept);
    c->kept = NULL;
}

/* --- connections ---------------------------------------------------------- */

static bool is_address(const char *host)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* SNI has names of hosts only (RFC 6066, 3). */
static bool set_name(struct tls *tls, const char *host, bool verify)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);

    if (is_address(host))
        return !verify || X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    SSL_set_tlsext_host_name(tls->ssl, host);
    if (!verify)
        return true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(tls->ssl, host) == 1;
}

struct tls *tls_new_client(struct tls_context *context, struct slice name, bool verify,
    void (*put)(void *arg, struct slice sealed), void *arg)
{
    bool named = name.len > 0 && name.len <= HOST_MAX;
    struct tls *tls;
    char host[HOST_MAX + 1];

    if (verify && (!named || !trust(context)))
        return NULL;
    tls = tls_make(context, context->client, put, arg);
    if (!tls)
        return NULL;
    SSL_set_connect_state(tls->ssl);
    if (!named)
        return tls;
    memcpy(host, name.at, name.len);
    host[name.len] = 0;
    if (!set_name(tls, host, verify)) {
        tls_free(tls);
        return NULL;
    }
    if (verify)
        SSL_set_verify(tls->ssl, SSL_VERIFY_PEER, NULL);
    resume(tls, name, verify);
    return tls;
}
