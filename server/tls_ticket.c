/* tls_ticket.c -- session tickets under keys of the process.
 *
 *   ticket: key name (16) | nonce (12) | AES-256-GCM of the session, tag (16)
 *
 * Any thread seals and opens with whatever set it finds; a set never changes, and lives
 * until every thread has been heard of since it was replaced.
 */
#include <openssl/aead.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "server/tls_state.h"

enum { NAME_BYTES = 16, KEY_BYTES = 32, NONCE_BYTES = 12, TAG_BYTES = 16 };
enum { FRONT_BYTES = NAME_BYTES + NONCE_BYTES };

struct ticket_key {
    uint8_t name[NAME_BYTES];
    uint8_t bytes[KEY_BYTES];
    EVP_AEAD_CTX aead;
};

struct ticket_keys {
    struct ticket_key keys[2]; /* sealing one first; the one before it opens */
    unsigned count;
    struct ticket_keys *next; /* among the retired */
};

static _Atomic(struct ticket_keys *) current;
static struct ticket_keys *retired; /* of whoever rotates */

static bool begin_key(struct ticket_key *key)
{
    return EVP_AEAD_CTX_init(&key->aead, EVP_aead_aes_256_gcm(), key->bytes, KEY_BYTES,
               TAG_BYTES, NULL) == 1;
}

static void free_keys(struct ticket_keys *set)
{
    for (unsigned i = 0; i < set->count; i++)
        EVP_AEAD_CTX_cleanup(&set->keys[i].aead);
    OPENSSL_cleanse(set, sizeof *set);
    free(set);
}

bool tls_keys_rotate(void)
{
    struct ticket_keys *before = atomic_load(&current);
    struct ticket_keys *set = calloc(1, sizeof *set);

    if (!set)
        return false;
    RAND_bytes(set->keys[0].name, NAME_BYTES);
    RAND_bytes(set->keys[0].bytes, KEY_BYTES);
    set->count = 1;
    if (before) {
        memcpy(set->keys[1].name, before->keys[0].name, NAME_BYTES);
        memcpy(set->keys[1].bytes, before->keys[0].bytes, KEY_BYTES);
        set->count = 2;
    }
    for (unsigned i = 0; i < set->count; i++)
        CHECK(begin_key(&set->keys[i]));
    atomic_store(&current, set);
    if (before) {
        before->next = retired;
        retired = before;
    }
    return true;
}

void tls_keys_forget(void)
{
    while (retired) {
        struct ticket_keys *set = retired;

        retired = set->next;
        free_keys(set);
    }
}

static size_t max_overhead(SSL *ssl)
{
    (void)ssl;
    return FRONT_BYTES + TAG_BYTES;
}

/* Works in place, because input and output may be the same. */
static int seal(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out_len,
    const uint8_t *in, size_t in_len)
{
    const struct ticket_key *key = &atomic_load(&current)->keys[0];
    uint8_t *body = out + FRONT_BYTES;
    size_t body_len;

    (void)ssl;
    if (max_out_len < in_len + FRONT_BYTES + TAG_BYTES)
        return 0;
    memmove(body, in, in_len);
    memcpy(out, key->name, NAME_BYTES);
    RAND_bytes(out + NAME_BYTES, NONCE_BYTES);
    if (!EVP_AEAD_CTX_seal(&key->aead, body, &body_len, max_out_len - FRONT_BYTES,
            out + NAME_BYTES, NONCE_BYTES, body, in_len, NULL, 0))
        return 0;
    *out_len = FRONT_BYTES + body_len;
    return 1;
}

static enum ssl_ticket_aead_result_t open_ticket(SSL *ssl, uint8_t *out, size_t *out_len,
    size_t max_out_len, const uint8_t *in, size_t in_len)
{
    const struct ticket_keys *set = atomic_load(&current);
    uint8_t front[FRONT_BYTES];

    (void)ssl;
    if (in_len < FRONT_BYTES + TAG_BYTES || max_out_len < in_len - FRONT_BYTES)
        return ssl_ticket_aead_ignore_ticket;
    memcpy(front, in, FRONT_BYTES);
    memmove(out, in + FRONT_BYTES, in_len - FRONT_BYTES);
    for (unsigned i = 0; i < set->count; i++) {
        if (CRYPTO_memcmp(set->keys[i].name, front, NAME_BYTES) != 0)
            continue;
        if (EVP_AEAD_CTX_open(&set->keys[i].aead, out, out_len, max_out_len,
                front + NAME_BYTES, NONCE_BYTES, out, in_len - FRONT_BYTES, NULL, 0))
            return ssl_ticket_aead_success;
    }
    return ssl_ticket_aead_ignore_ticket;
}

const SSL_TICKET_AEAD_METHOD tls_ticket_method = {max_overhead, seal, open_ticket};
