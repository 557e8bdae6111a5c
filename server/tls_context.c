/* tls_context.c -- what one thread needs to make connections: a context for each
 * certificate, and one for clients. */
#include <openssl/bytestring.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <stdlib.h>

#include "server/tls_state.h"

enum {
    TICKET_LIFE_S = 12 * 3600, /* as long as a key opens for sure */
    HOST_MAX = 255,
    SIGNATURE_ECDSA_P256 = 0x0403,
    VERSION_TLS13 = 0x0304,
};

/* AEAD with forward secrecy only; AES before ChaCha, which is slower where there are
 * instructions for AES. TLS 1.3 has its own, all of that kind. */
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char curves[] = "X25519:P-256:P-384";

/* --- choosing a certificate ----------------------------------------------- */

static bool has_u16(CBS list, uint16_t wanted)
{
    uint16_t value;

    while (CBS_get_u16(&list, &value))
        if (value == wanted)
            return true;
    return false;
}

static bool extension(const SSL_CLIENT_HELLO *hello, uint16_t type, CBS *body)
{
    const uint8_t *at;
    size_t len;

    if (!SSL_early_callback_ctx_extension_get(hello, type, &at, &len))
        return false;
    CBS_init(body, at, len);
    return true;
}

/* The client can check ECDSA: it says so among the signatures, and either speaks TLS 1.3
 * or has a cipher suite for it. */
static bool knows_ecdsa(const SSL_CLIENT_HELLO *hello)
{
    static const uint16_t suites[] = {0xc02b, 0xc02c, 0xcca9};
    CBS body, list, offered;

    if (!extension(hello, TLSEXT_TYPE_signature_algorithms, &body) ||
        !CBS_get_u16_length_prefixed(&body, &list) ||
        !has_u16(list, SIGNATURE_ECDSA_P256))
        return false;
    if (extension(hello, TLSEXT_TYPE_supported_versions, &body) &&
        CBS_get_u8_length_prefixed(&body, &list) && has_u16(list, VERSION_TLS13))
        return true;
    CBS_init(&offered, hello->cipher_suites, hello->cipher_suites_len);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (has_u16(offered, suites[i]))
            return true;
    return false;
}

/* "*.example.org" stands for one label (RFC 6125, 6.4.3). */
static bool name_matches(const char *pattern, struct slice host)
{
    size_t dot = slice_find(host, '.');

    if (slice_eq_nocase(slice_str(pattern), host))
        return true;
    if (pattern[0] != '*' || pattern[1] != '.' || dot == 0 || dot == host.len)
        return false;
    return slice_eq_nocase(
        slice_str(pattern + 1), slice_of(host.at + dot, host.len - dot));
}

static bool pair_names(const struct tls_context *c, unsigned i, struct slice host)
{
    for (size_t n = 0; n < c->name_counts[i]; n++)
        if (name_matches(c->names[i][n], host))
            return true;
    return false;
}

/* For the host, or the first one's names where none is meant; of two for the same host
 * the ECDSA one, when the client knows that. */
static unsigned choose(const struct tls_context *c, struct slice host, bool ecdsa)
{
    unsigned best = 0;
    bool found = false;

    for (unsigned i = 0; i < c->count; i++) {
        if (host.len && !pair_names(c, i, host))
            continue;
        if (!found || c->ecdsa[i] == ecdsa)
            best = i;
        if (c->ecdsa[i] == ecdsa)
            return best;
        found = true;
    }
    if (!found && host.len)
        return choose(c, S(""), ecdsa);
    return best;
}

enum ssl_select_cert_result_t tls_select(const SSL_CLIENT_HELLO *hello)
{
    struct tls *tls = SSL_get_app_data(hello->ssl);
    const struct tls_context *c = tls->context;
    const char *name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    struct slice host = name ? slice_str(name) : S("");
    unsigned chosen = 0;

    if (host.len > HOST_MAX)
        host = S("");
    chosen = choose(c, host, knows_ecdsa(hello));
    if (chosen != 0 && !SSL_set_SSL_CTX(hello->ssl, c->servers[chosen]))
        return ssl_select_cert_error;
    return ssl_select_cert_success;
}

/* ALPACA: a client that means another protocol is not served (RFC 7301, 3.2). */
static int select_protocol(SSL *ssl, const uint8_t **out, uint8_t *out_len,
    const uint8_t *in, unsigned in_len, void *arg)
{
    const struct tls *tls = SSL_get_app_data(ssl);
    CBS list, name;

    (void)arg;
    CBS_init(&list, in, in_len);
    while (CBS_get_u8_length_prefixed(&list, &name)) {
        if (!CBS_mem_equal(&name, (const uint8_t *)tls->protocol, strlen(tls->protocol)))
            continue;
        *out = CBS_data(&name);
        *out_len = (uint8_t)CBS_len(&name);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* --- making contexts ------------------------------------------------------ */

static SSL_CTX *new_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (!ctx)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_strict_cipher_list(ctx, ciphers) &&
        SSL_CTX_set1_curves_list(ctx, curves))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static bool give_pair(SSL_CTX *ctx, const struct tls_pair *pair)
{
    CRYPTO_BUFFER **chain = calloc(pair->chain_count, sizeof(CRYPTO_BUFFER *));
    EVP_PKEY *key;
    bool good = chain != NULL;
    CBS cbs;

    CBS_init(&cbs, pair->key, pair->key_bytes);
    key = EVP_parse_private_key(&cbs);
    for (size_t i = 0; good && i < pair->chain_count; i++) {
        chain[i] = CRYPTO_BUFFER_new(pair->chain[i], pair->chain_bytes[i], NULL);
        good = chain[i] != NULL;
    }
    good = good && key &&
        SSL_CTX_set_chain_and_key(ctx, chain, pair->chain_count, key, NULL);
    for (size_t i = 0; chain && i < pair->chain_count; i++)
        CRYPTO_BUFFER_free(chain[i]);
    EVP_PKEY_free(key);
    free(chain);
    return good;
}

static SSL_CTX *new_server(const struct tls_pair *pair)
{
    SSL_CTX *ctx = new_context();

    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_timeout(ctx, TICKET_LIFE_S);
    SSL_CTX_set_session_psk_dhe_timeout(ctx, TICKET_LIFE_S);
    SSL_CTX_set_ticket_aead_method(ctx, &tls_ticket_method);
    SSL_CTX_set_select_certificate_cb(ctx, tls_select);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
    if (give_pair(ctx, pair))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static bool copy_names(struct tls_context *c, unsigned i, const struct tls_pair *pair)
{
    c->names[i] = calloc(pair->name_count + 1, sizeof(char *));
    if (!c->names[i])
        return false;
    for (size_t n = 0; n < pair->name_count; n++) {
        c->names[i][n] = strdup(pair->names[n]);
        if (!c->names[i][n])
            return false;
        c->name_counts[i]++;
    }
    return true;
}

/* Tells certificates apart, no more. */
static uint64_t leaf_of(const struct tls_pair *pair)
{
    return slice_hash(slice_of((const char *)pair->chain[0], pair->chain_bytes[0]), 0);
}

static bool has_leaf(const struct tls_context *c, uint64_t leaf)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->leaves[i] == leaf)
            return true;
    return false;
}

bool tls_store_is_stale(
    const struct tls_store *store, const struct tls_context *served, unsigned *at)
{
    if (!served || served->count == 0)
        return false;
    for (unsigned i = 0; i < store->count; i++)
        if (store->pairs[i].expired && !has_leaf(served, leaf_of(&store->pairs[i]))) {
            *at = i;
            return true;
        }
    return false;
}

static bool fill(struct tls_context *c, const struct tls_store *store)
{
    unsigned count = store ? store->count : 0;

    c->servers = calloc(count + 1, sizeof(SSL_CTX *));
    c->ecdsa = calloc(count + 1, sizeof(bool));
    c->leaves = calloc(count + 1, sizeof(uint64_t));
    c->names = calloc(count + 1, sizeof(char **));
    c->name_counts = calloc(count + 1, sizeof(size_t));
    c->client = new_context();
    if (!c->servers || !c->ecdsa || !c->leaves || !c->names || !c->name_counts ||
        !c->client)
        return false;
    tls_client_prepare(c);
    for (unsigned i = 0; i < count; i++) {
        c->count++;
        c->ecdsa[i] = store->pairs[i].ecdsa;
        c->leaves[i] = leaf_of(&store->pairs[i]);
        c->servers[i] = new_server(&store->pairs[i]);
        if (!c->servers[i] || !copy_names(c, i, &store->pairs[i]))
            return false;
    }
    return true;
}

struct tls_context *tls_context_new(const struct tls_store *store)
{
    struct tls_context *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->refs = 1;
    if (fill(c, store))
        return c;
    tls_context_drop(c);
    return NULL;
}

void tls_context_drop(struct tls_context *c)
{
    if (!c || --c->refs > 0)
        return;
    for (unsigned i = 0; i < c->count; i++) {
        SSL_CTX_free(c->servers[i]);
        for (size_t n = 0; c->names[i] && n < c->name_counts[i]; n++)
            free(c->names[i][n]);
        free(c->names[i]);
    }
    tls_client_forget(c);
    SSL_CTX_free(c->client);
    free(c->servers);
    free(c->ecdsa);
    free(c->leaves);
    free(c->names);
    free(c->name_counts);
    free(c);
}

void tls_context_free(struct tls_context *context)
{
    tls_context_drop(context);
}

bool tls_context_serves(const struct tls_context *context)
{
    return context->count > 0;
}
