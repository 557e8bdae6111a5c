/* tls_store.c -- certificates and keys from files, checked before they are used. */
#include <errno.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "server/tls_state.h"

enum {
    CHAIN_MAX = 16,
    NAMES_MAX = 256,
    FILE_BYTES_MAX = 1 << 20,
    RSA_BITS_MIN = 2048,
    EXPIRES_SOON_DAYS = 14
};

struct loading {
    const struct tls_files *files;
    char *why;
    size_t cap;
    void (*warn)(void *arg, const char *line);
    void *arg;
};

static bool bad(const struct loading *l, const char *file, const char *what)
{
    snprintf(l->why, l->cap, "%s %s: %s",
        file == l->files->key ? "--tls-key" : "--tls-cert", file, what);
    ERR_clear_error();
    return false;
}

static void doubt(const struct loading *l, const char *what, int days)
{
    char line[512];

    if (!l->warn)
        return;
    snprintf(line, sizeof line, "file=\"%s\" doubt=\"", l->files->certificate);
    snprintf(line + strlen(line), sizeof line - strlen(line), what, days);
    snprintf(line + strlen(line), sizeof line - strlen(line), "\"");
    l->warn(l->arg, line);
}

/* --- files ---------------------------------------------------------------- */

/* secret: nobody else may be able to read it. */
static bool read_file(
    const struct loading *l, const char *path, bool secret, char **at, size_t *len)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    bool good;

    if (!f && errno == EACCES)
        return bad(l, path,
            "Permission denied; the account that the server runs as must be able to "
            "read it, and to enter its folder");
    if (!f)
        return bad(l, path, strerror(errno));
    good = fstat(fileno(f), &st) == 0;
    if (good && secret && (st.st_mode & (S_IROTH | S_IWOTH))) {
        fclose(f);
        return bad(l, path, "the private key can be read by others; chmod o-rwx it");
    }
    if (!good || st.st_size <= 0 || st.st_size > FILE_BYTES_MAX) {
        fclose(f);
        return bad(l, path, "not a PEM file");
    }
    *at = malloc((size_t)st.st_size);
    *len = *at ? fread(*at, 1, (size_t)st.st_size, f) : 0;
    fclose(f);
    if (*at && *len == (size_t)st.st_size)
        return true;
    free(*at);
    return bad(l, path, "can't be read");
}

/* --- the chain ------------------------------------------------------------ */

static bool add_name(struct tls_pair *pair, const uint8_t *at, size_t len)
{
    char *name;

    if (pair->name_count == NAMES_MAX || len == 0 || memchr(at, 0, len))
        return true; /* a name with a NUL in it is nobody's name */
    name = malloc(len + 1);
    if (!name)
        return false;
    for (size_t i = 0; i < len; i++)
        name[i] = ascii_lower((char)at[i]);
    name[len] = 0;
    pair->names[pair->name_count++] = name;
    return true;
}

/* The DNS names of RFC 6125; the common name where there are none. */
static bool take_names(struct tls_pair *pair, X509 *x509)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    char common[256];
    bool good = true;
    int len;

    pair->names = calloc(NAMES_MAX, sizeof *pair->names);
    if (!pair->names)
        good = false;
    for (size_t i = 0; good && names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS)
            good = add_name(pair, ASN1_STRING_get0_data(name->d.dNSName),
                (size_t)ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    if (!good || pair->name_count)
        return good;
    len = X509_NAME_get_text_by_NID(
        X509_get_subject_name(x509), NID_commonName, common, sizeof common);
    return len <= 0 || add_name(pair, (const uint8_t *)common, (size_t)len);
}

static void check_dates(const struct loading *l, struct tls_pair *pair, X509 *x509)
{
    int days, seconds;

    if (X509_cmp_current_time(X509_get0_notBefore(x509)) > 0)
        doubt(l, "the certificate is not valid yet", 0);
    pair->expired = X509_cmp_current_time(X509_get0_notAfter(x509)) < 0;
    if (pair->expired)
        doubt(l, "the certificate has expired", 0);
    else if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x509)) &&
        days < EXPIRES_SOON_DAYS)
        doubt(l, "the certificate expires in %d days", days);
}

static bool add_link(struct tls_pair *pair, X509 *x509)
{
    uint8_t *der = NULL;
    int len = i2d_X509(x509, &der);

    if (len <= 0)
        return false;
    pair->chain[pair->chain_count] = der;
    pair->chain_bytes[pair->chain_count++] = (size_t)len;
    return true;
}

/* The server's own certificate is returned, for the checks. */
static X509 *read_chain(const struct loading *l, struct tls_pair *pair)
{
    const char *file = l->files->certificate;
    X509 *own = NULL, *x509;
    size_t len;
    char *pem;
    BIO *bio;

    if (!read_file(l, file, false, &pem, &len))
        return NULL;
    pair->chain = calloc(CHAIN_MAX, sizeof *pair->chain);
    pair->chain_bytes = calloc(CHAIN_MAX, sizeof *pair->chain_bytes);
    bio = BIO_new_mem_buf(pem, (int)len);
    while (bio && pair->chain && pair->chain_bytes && pair->chain_count < CHAIN_MAX &&
        (x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        bool good = add_link(pair, x509);

        if (!own && good)
            own = x509;
        else
            X509_free(x509);
    }
    BIO_free(bio);
    free(pem);
    ERR_clear_error();
    if (!own)
        bad(l, file, "holds no certificate in PEM");
    return own;
}

/* --- the key -------------------------------------------------------------- */

/* Nobody is there to be asked for a password. */
static int no_password(
    char *at, /* NOLINT(readability-non-const-parameter): the type is the library's */
    int cap, int writing, void *arg)
{
    (void)at, (void)cap, (void)writing, (void)arg;
    return 0;
}

static EVP_PKEY *read_key(const struct loading *l)
{
    EVP_PKEY *key = NULL;
    size_t len;
    char *pem;
    BIO *bio;

    if (!read_file(l, l->files->key, true, &pem, &len))
        return NULL;
    bio = BIO_new_mem_buf(pem, (int)len);
    if (bio)
        key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    OPENSSL_cleanse(pem, len);
    free(pem);
    if (!key)
        bad(l, l->files->key, "holds no private key in PEM (or one with a password)");
    return key;
}

static bool take_key(const struct loading *l, struct tls_pair *pair, EVP_PKEY *key)
{
    CBB cbb;

    pair->ecdsa = EVP_PKEY_id(key) == EVP_PKEY_EC;
    if (!pair->ecdsa && EVP_PKEY_id(key) != EVP_PKEY_RSA)
        return bad(l, l->files->key, "only ECDSA and RSA keys are served");
    if (!pair->ecdsa && EVP_PKEY_bits(key) < RSA_BITS_MIN)
        return bad(l, l->files->key, "an RSA key needs 2048 bits or more");
    if (!CBB_init(&cbb, 2048))
        return bad(l, l->files->key, "out of memory");
    if (EVP_marshal_private_key(&cbb, key) &&
        CBB_finish(&cbb, &pair->key, &pair->key_bytes))
        return true;
    CBB_cleanup(&cbb);
    return bad(l, l->files->key, "can't be used");
}

/* --- all of it ------------------------------------------------------------ */

static bool load_pair(const struct loading *l, struct tls_pair *pair)
{
    X509 *own = read_chain(l, pair);
    EVP_PKEY *key = own ? read_key(l) : NULL;
    bool good = false;

    if (own && key) {
        if (!X509_check_private_key(own, key))
            bad(l, l->files->key, "is not the key of the certificate");
        else if (!take_names(pair, own))
            bad(l, l->files->certificate, "out of memory");
        else
            good = take_key(l, pair, key);
    }
    if (good) {
        check_dates(l, pair, own);
        if (pair->name_count == 0)
            doubt(l, "the certificate names no host", 0);
    }
    X509_free(own);
    EVP_PKEY_free(key);
    return good;
}

struct tls_store *tls_store_load(const struct tls_files *files, unsigned count, char *why,
    size_t cap, void (*warn)(void *arg, const char *line), void *arg)
{
    struct tls_store *store = calloc(1, sizeof *store);

    if (store)
        store->pairs = calloc(count ? count : 1, sizeof *store->pairs);
    if (!store || !store->pairs || count == 0 || count > TLS_FILES_MAX) {
        snprintf(why, cap, "no certificate, too many, or out of memory");
        tls_store_free(store);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        struct loading l = {&files[i], why, cap, warn, arg};

        store->count++;
        if (!load_pair(&l, &store->pairs[i])) {
            tls_store_free(store);
            return NULL;
        }
    }
    return store;
}

static void free_pair(struct tls_pair *pair)
{
    for (size_t i = 0; i < pair->chain_count; i++)
        OPENSSL_free(pair->chain[i]);
    free(pair->chain);
    free(pair->chain_bytes);
    for (size_t i = 0; i < pair->name_count; i++)
        free(pair->names[i]);
    free(pair->names);
    OPENSSL_free(pair->key); /* BoringSSL wipes what it frees */
}

void tls_store_free(struct tls_store *store)
{
    if (!store)
        return;
    for (unsigned i = 0; store->pairs && i < store->count; i++)
        free_pair(&store->pairs[i]);
    free(store->pairs);
    free(store);
}
