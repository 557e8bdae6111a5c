/* TLS over loopback, against a client of the same library. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/tls.h"
#include "tests/server/server_test.h"

static char folder[] = "/tmp/ringmail-test-tls-XXXXXX";

/* --- certificates --------------------------------------------------------- */

struct pair {
    char certificate[128], key[128];
};

static EVP_PKEY *new_key(bool ecdsa)
{
    EVP_PKEY *key = EVP_PKEY_new();
    RSA *rsa = RSA_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *e = BN_new();

    BN_set_word(e, RSA_F4);
    if (ecdsa) {
        assert_int_equal(EC_KEY_generate_key(ec), 1);
        EVP_PKEY_assign_EC_KEY(key, ec);
        RSA_free(rsa);
    } else {
        assert_int_equal(RSA_generate_key_ex(rsa, 2048, e, NULL), 1);
        EVP_PKEY_assign_RSA(key, rsa);
        EC_KEY_free(ec);
    }
    BN_free(e);
    return key;
}

static X509 *new_certificate(EVP_PKEY *key, const char *names, int first_s, int last_s)
{
    X509 *x = X509_new();
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), first_s);
    X509_gmtime_adj(X509_getm_notAfter(x), last_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
        (const uint8_t *)"unused.test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, NID_subject_alt_name, names);
    assert_non_null(ext);
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

static struct pair write_pair(
    const char *name, bool ecdsa, const char *names, int first_s, int last_s)
{
    EVP_PKEY *key = new_key(ecdsa);
    X509 *x = new_certificate(key, names, first_s, last_s);
    struct pair pair;
    FILE *f;

    snprintf(pair.certificate, sizeof pair.certificate, "%s/%s.crt", folder, name);
    snprintf(pair.key, sizeof pair.key, "%s/%s.key", folder, name);
    f = fopen(pair.certificate, "we");
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    f = fopen(pair.key, "we");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    chmod(pair.key, 0600);
    X509_free(x);
    EVP_PKEY_free(key);
    return pair;
}

static struct pair first_ec, first_rsa, second_ec;

static int make_pairs(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    first_ec = write_pair("first-ec", true, "DNS:mail.first.test", -60, 30 * 86400);
    first_rsa = write_pair("first-rsa", false, "DNS:mail.first.test", -60, 30 * 86400);
    second_ec = write_pair(
        "second-ec", true, "DNS:second.test,DNS:*.second.test", -60, 30 * 86400);
    return 0;
}

static int remove_pairs(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* --- server and client ---------------------------------------------------- */

static struct process *tls_begin(void (*change)(struct process_conf *conf))
{
    struct tls_files files[3] = {{first_ec.certificate, first_ec.key},
        {first_rsa.certificate, first_rsa.key}, {second_ec.certificate, second_ec.key}};
    struct process *p = server_begin(change);
    char why[512] = "";

    if (!process_load_tls(p, files, 3, why, sizeof why))
        fail_msg("%s", why);
    return p;
}

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static SSL_CTX *new_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
    return ctx;
}

/* Not connected yet: the test may set options. */
static struct client client_of(int fd)
{
    struct client c = {.ctx = new_ctx(), .fd = fd};

    c.ssl = SSL_new(c.ctx);
    SSL_set_fd(c.ssl, fd);
    return c;
}

static void client_free(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    ERR_clear_error();
    close(c->fd);
}

static struct client connected(void)
{
    struct client c = client_of(client_open(PORT_TLS));

    if (SSL_connect(c.ssl) != 1)
        fail_msg("handshake: %s", ERR_reason_error_string(ERR_peek_error()));
    return c;
}

static void say(struct client *c, const char *text)
{
    assert_int_equal(SSL_write(c->ssl, text, (int)strlen(text)), (int)strlen(text));
}

static const char *line_of(struct client *c)
{
    static char line[4096];
    size_t len = 0;

    while (len < sizeof line - 1 && SSL_read(c->ssl, line + len, 1) == 1)
        if (line[len++] == '\n')
            break;
    line[len] = 0;
    return line;
}

#define assert_tls_line(c, text) assert_string_equal(line_of(c), text)

static bool read_whole(struct client *c, char *at, size_t len)
{
    while (len) {
        int n = SSL_read(c->ssl, at, len > 65536 ? 65536 : (int)len);

        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* --- tests ---------------------------------------------------------------- */

static void dialogue_over_each_version(void **state)
{
    static const uint16_t versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct process *p = tls_begin(NULL);
    char byte;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client c = client_of(client_open(PORT_TLS));

        SSL_set_min_proto_version(c.ssl, versions[i]);
        SSL_set_max_proto_version(c.ssl, versions[i]);
        assert_int_equal(SSL_connect(c.ssl), 1);
        assert_tls_line(&c, "hello\n");
        say(&c, "one\ntwo\nwait\nthr");
        say(&c, "ee\ntls\n");
        assert_tls_line(&c, "one\n");
        assert_tls_line(&c, "two\n");
        assert_tls_line(&c, "done\n");
        assert_tls_line(&c, "three\n");
        printf("%s", line_of(&c));
        say(&c, "quit\n");
        assert_tls_line(&c, "bye\n");
        assert_int_equal(SSL_read(c.ssl, &byte, 1), 0);
        assert_int_equal(SSL_get_error(c.ssl, 0), SSL_ERROR_ZERO_RETURN);
        client_free(&c);
    }
    server_end(p);
}

/* Matrix L01, L02: old versions and weak suites are refused. */
static void old_versions_and_suites_are_refused(void **state)
{
    struct process *p = tls_begin(NULL);

    (void)state;
    for (uint16_t version = TLS1_VERSION; version <= TLS1_1_VERSION; version++) {
        struct client c = client_of(client_open(PORT_TLS));

        SSL_set_min_proto_version(c.ssl, version);
        SSL_set_max_proto_version(c.ssl, version);
        assert_true(SSL_connect(c.ssl) <= 0);
        assert_int_equal(
            ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        client_free(&c);
    }
    static const char *const weak[] = {
        "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "DES-CBC3-SHA"};
    for (int i = 0; i < 3; i++) {
        struct client c = client_of(client_open(PORT_TLS));

        SSL_set_max_proto_version(c.ssl, TLS1_2_VERSION);
        assert_int_equal(SSL_set_strict_cipher_list(c.ssl, weak[i]), 1);
        assert_true(SSL_connect(c.ssl) <= 0);
        assert_int_equal(
            ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
        client_free(&c);
    }
    assert_true(wait_for_connections(p, 0));
    server_end(p);
}

static bool certificate_has(struct client *c, const char *name)
{
    X509 *x = SSL_get_peer_certificate(c->ssl);
    bool good = X509_check_host(x, name, strlen(name), 0, NULL) == 1;

    X509_free(x);
    return good;
}

static int key_type(struct client *c)
{
    X509 *x = SSL_get_peer_certificate(c->ssl);
    EVP_PKEY *key = X509_get_pubkey(x);
    int type = EVP_PKEY_id(key);

    EVP_PKEY_free(key);
    X509_free(x);
    return type;
}

static void name_and_algorithm_choose_the_certificate(void **state)
{
    static const struct {
        const char *asked, *given;
        bool rsa_only;
        int type;
    } cases[] = {
        {"mail.first.test", "mail.first.test", false, EVP_PKEY_EC},
        {"mail.first.test", "mail.first.test", true, EVP_PKEY_RSA},
        {"second.test", "second.test", false, EVP_PKEY_EC},
        {"Imap.Second.test", "imap.second.test", false, EVP_PKEY_EC},
        {"a.b.second.test", "mail.first.test", false, EVP_PKEY_EC},
        {"unknown.test", "mail.first.test", false, EVP_PKEY_EC},
        {NULL, "mail.first.test", true, EVP_PKEY_RSA},
    };
    static const uint16_t rsa[] = {
        SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_RSA_PKCS1_SHA256};
    struct process *p = tls_begin(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c = client_of(client_open(PORT_TLS));

        if (cases[i].asked)
            SSL_set_tlsext_host_name(c.ssl, cases[i].asked);
        if (cases[i].rsa_only)
            SSL_CTX_set_verify_algorithm_prefs(c.ctx, rsa, 2);
        SSL_free(c.ssl);
        c.ssl = SSL_new(c.ctx);
        SSL_set_fd(c.ssl, c.fd);
        if (cases[i].asked)
            SSL_set_tlsext_host_name(c.ssl, cases[i].asked);
        assert_int_equal(SSL_connect(c.ssl), 1);
        assert_true(certificate_has(&c, cases[i].given));
        assert_int_equal(key_type(&c), cases[i].type);
        client_free(&c);
    }
    server_end(p);
}

/* Matrix L03. */
static void foreign_protocols_are_refused(void **state)
{
    static const struct {
        const char *wire;
        bool good;
    } cases[] = {{"\x08http/1.1", false}, {"\x04smtp", false}, {"\x04imap", true},
        {"\x08http/1.1\x04imap", true}};
    struct process *p = tls_begin(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c = client_of(client_open(PORT_TLS));

        SSL_set_alpn_protos(
            c.ssl, (const uint8_t *)cases[i].wire, (unsigned)strlen(cases[i].wire));
        assert_int_equal(SSL_connect(c.ssl) == 1, cases[i].good);
        if (!cases[i].good)
            assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
                SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        client_free(&c);
    }
    server_end(p);
}

/* Matrix T01-T06: what came in clear behind the command is forgotten. */
static void starttls_forgets_clear_input(void **state)
{
    struct process *p = tls_begin(NULL);

    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = client_open(PORT_PLAIN);
        struct client c = client_of(fd);

        assert_line(fd, "hello\n");
        client_send(fd, i % 2 ? "starttls\nwho\nhalf" : "starttls\n");
        assert_line(fd, "go\n");
        assert_int_equal(SSL_connect(c.ssl), 1);
        say(&c, "in tls\n");
        assert_tls_line(&c, "in tls\n");
        say(&c, "move 1\nmove 0\nquit\n");
        assert_tls_line(&c, "moved 1\n");
        assert_tls_line(&c, "moved 0\n");
        assert_tls_line(&c, "bye\n");
        client_free(&c);
    }
    server_end(p);
}

static void moves_and_bulk_in_tls(void **state)
{
    enum { BYTES = 8 << 20 };
    struct process *p = tls_begin(NULL);
    char *body = malloc(BYTES), line[64];
    struct client c = connected();

    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        body[i] = (char)(i * 31 >> 3);
    assert_tls_line(&c, "hello\n");
    snprintf(line, sizeof line, "move 1\nsink %d\n", BYTES);
    say(&c, line);
    assert_int_equal(SSL_write(c.ssl, body, BYTES), BYTES);
    assert_tls_line(&c, "moved 1\n");
    snprintf(
        line, sizeof line, "sum %llu\n", (unsigned long long)echo_sum(body, BYTES, 0));
    assert_tls_line(&c, line);
    say(&c, "big 8000\nlend 100000\nmove 0\n");
    assert_true(read_whole(&c, body, 8000 * 1024 + 100001));
    assert_int_equal(body[8000 * 1024 - 1], '\n');
    assert_memory_equal(body + 8000 * 1024, "abcdefghijklmnopqrstuvwxyzabcd", 30);
    assert_tls_line(&c, "moved 0\n");
    say(&c, "quit\n");
    assert_tls_line(&c, "bye\n");
    client_free(&c);
    free(body);
    server_end(p);
}

/* --- a client in memory, so that its bytes can be cut as one likes -------- */

static void shake_in_pieces(size_t piece)
{
    struct client c = {.ctx = new_ctx(), .fd = client_open(PORT_TLS)};
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    bool up = false, sent = false;
    char got[4096], text[64];
    size_t len = 0;

    c.ssl = SSL_new(c.ctx);
    SSL_set_bio(c.ssl, in, out);
    SSL_set_connect_state(c.ssl);
    while (len < 14) {
        const uint8_t *at;
        size_t left;
        int n;

        up = up || SSL_do_handshake(c.ssl) == 1;
        if (up && !sent)
            sent = SSL_write(c.ssl, "split up\n", 9) == 9;
        assert_int_equal(BIO_mem_contents(out, &at, &left), 1);
        for (; left; left -= (size_t)n, at += n) {
            n = left < piece ? (int)left : (int)piece;
            client_send_bytes(c.fd, at, (size_t)n);
        }
        BIO_reset(out);
        n = up ? SSL_read(c.ssl, text + len, (int)(sizeof text - len)) : 0;
        if (n > 0) {
            len += (size_t)n;
            continue;
        }
        n = (int)recv(c.fd, got, sizeof got, 0);
        assert_true(n > 0);
        BIO_write(in, got, n);
    }
    assert_memory_equal(text, "hello\nsplit up\n", 14);
    client_free(&c);
}

/* Matrix L04. */
static void handshake_survives_any_split(void **state)
{
    struct process *p = tls_begin(NULL);

    (void)state;
    for (size_t piece = 1; piece < 40; piece += 3)
        shake_in_pieces(piece);
    assert_true(wait_for_connections(p, 0));
    server_end(p);
}

static const char old_hello[48] = "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10";

static void garbage_is_closed_at_once(void **state)
{
    static const struct {
        const char *at;
        size_t len;
    } cases[] = {{"GET / HTTP/1.0\r\n\r\n", 18}, {"\x16\x03\x01\xff\xff\x01\x02\x03", 8},
        {old_hello, sizeof old_hello}, {"\x15\x03\x01\x00\x00\x15\x03\x01\x00\x00", 10}};
    struct process *p = tls_begin(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = client_open(PORT_TLS);
        time_t begin = time(NULL);
        char byte[64];

        client_send_bytes(fd, cases[i].at, cases[i].len);
        while (recv(fd, byte, sizeof byte, 0) > 0) {}
        assert_in_range(time(NULL) - begin, 0, 3);
        close(fd);
    }
    assert_true(wait_for_connections(p, 0));
    assert_int_equal(echo_opened, 0);
    server_end(p);
}

/* Peers that leave at any point of the handshake. */
static void broken_handshakes_leave_nothing(void **state)
{
    struct process *p = tls_begin(NULL);

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        struct linger reset = {1, 0};
        struct client c = {.ctx = new_ctx(), .fd = client_open(PORT_TLS)};
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        const uint8_t *at;
        size_t len;

        c.ssl = SSL_new(c.ctx);
        SSL_set_bio(c.ssl, in, out);
        SSL_set_connect_state(c.ssl);
        SSL_do_handshake(c.ssl);
        assert_int_equal(BIO_mem_contents(out, &at, &len), 1);
        client_send_bytes(c.fd, at, i < len ? i : len);
        if (i % 2)
            setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        client_free(&c);
    }
    assert_true(wait_for_connections(p, 0));
    assert_int_equal(echo_opened, 0);
    server_end(p);
}

static void short_handshake(struct process_conf *conf)
{
    conf->handshake_s = 1;
}

/* Matrix T13. */
static void endless_handshake_is_closed(void **state)
{
    struct process *p = tls_begin(short_handshake);
    int fd = client_open(PORT_TLS);
    time_t begin = time(NULL);
    char byte;

    (void)state;
    client_send_bytes(fd, "\x16\x03\x01\x02\x00\x01", 6);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    assert_in_range(time(NULL) - begin, 1, 4);
    close(fd);
    server_end(p);
}

/* Matrix L05: without close_notify the session sees an abort, not an end. */
static void bare_fin_is_an_abort(void **state)
{
    struct process *p = tls_begin(NULL);
    struct client c = connected();

    (void)state;
    assert_tls_line(&c, "hello\n");
    say(&c, "sink 1000\n12345");
    shutdown(c.fd, SHUT_WR);
    assert_true(wait_for_count(&echo_closed, 1));
    assert_int_equal(echo_last_error, ECONNRESET);
    client_free(&c);
    c = connected();
    assert_tls_line(&c, "hello\n");
    say(&c, "text\n");
    assert_tls_line(&c, "text\n");
    SSL_shutdown(c.ssl);
    assert_true(wait_for_count(&echo_closed, 2));
    assert_int_equal(echo_last_error, 0);
    client_free(&c);
    server_end(p);
}

/* Matrix L07. */
static void flood_of_key_updates_is_closed(void **state)
{
    struct process *p = tls_begin(NULL);
    struct client c = connected();

    (void)state;
    assert_tls_line(&c, "hello\n");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        say(&c, "fine\n");
        assert_tls_line(&c, "fine\n");
    }
    for (int i = 0; i < 100; i++)
        if (SSL_key_update(c.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            SSL_write(c.ssl, "", 0) < 0)
            break;
    SSL_write(c.ssl, "flood\n", 6);
    assert_tls_line(&c, "");
    assert_true(wait_for_count(&echo_closed, 1));
    assert_int_equal(echo_last_error, EPROTO);
    client_free(&c);
    server_end(p);
}

/* --- resumption ----------------------------------------------------------- */

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static bool resumes(uint16_t version)
{
    struct client c = client_of(client_open(PORT_TLS));
    bool reused;

    SSL_CTX_sess_set_new_cb(c.ctx, keep_session);
    SSL_set_min_proto_version(c.ssl, version);
    SSL_set_max_proto_version(c.ssl, version);
    if (kept)
        SSL_set_session(c.ssl, kept);
    assert_int_equal(SSL_connect(c.ssl), 1);
    reused = SSL_session_reused(c.ssl);
    assert_tls_line(&c, "hello\n");
    client_free(&c);
    return reused;
}

/* Tickets made by one thread are opened by the other; keys last for two periods. */
static void sessions_resume_on_any_thread(void **state)
{
    static const uint16_t versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct process *p = tls_begin(NULL);

    (void)state;
    for (int v = 0; v < 2; v++) {
        kept = NULL;
        assert_false(resumes(versions[v]));
        for (int i = 0; i < 20; i++)
            assert_true(resumes(versions[v]));
        assert_true(tls_keys_rotate());
        assert_true(resumes(versions[v]));
        /* TLS 1.3 gives a new ticket each time, TLS 1.2 with a full handshake only. */
        assert_true(tls_keys_rotate());
        assert_int_equal(resumes(versions[v]), versions[v] == TLS1_3_VERSION);
        assert_true(tls_keys_rotate());
        assert_true(tls_keys_rotate());
        assert_false(resumes(versions[v]));
        SSL_SESSION_free(kept);
    }
    kept = NULL;
    server_end(p);
}

/* --- files ---------------------------------------------------------------- */

static unsigned doubts;
static char doubt[512];

static void on_doubt(void *arg, const char *line)
{
    (void)arg;
    doubts++;
    snprintf(doubt, sizeof doubt, "%s", line);
}

static bool loads(const char *certificate, const char *key, char *why)
{
    struct tls_files files = {certificate, key};
    struct tls_store *store = tls_store_load(&files, 1, why, 512, on_doubt, NULL);

    tls_store_free(store);
    return store != NULL;
}

/* Matrix L08, U01. */
static void files_are_checked(void **state)
{
    struct pair old = write_pair("old", true, "DNS:old.test", -100 * 86400, -86400);
    struct pair soon = write_pair("soon", true, "DNS:soon.test", -60, 5 * 86400);
    char why[512];

    (void)state;
    assert_true(loads(first_ec.certificate, first_ec.key, why));
    assert_int_equal(doubts, 0);
    assert_false(loads(first_ec.certificate, second_ec.key, why));
    assert_non_null(strstr(why, "not the key"));
    assert_false(loads("/nowhere/x.crt", first_ec.key, why));
    assert_non_null(strstr(why, "No such file"));
    assert_false(loads(first_ec.key, first_ec.key, why));
    assert_non_null(strstr(why, "no certificate"));
    chmod(second_ec.certificate, 0600);
    assert_false(loads(first_ec.certificate, second_ec.certificate, why));
    assert_non_null(strstr(why, "no private key"));
    chmod(first_ec.key, 0604);
    assert_false(loads(first_ec.certificate, first_ec.key, why));
    assert_non_null(strstr(why, "by others"));
    chmod(first_ec.key, 0600);
    assert_true(loads(old.certificate, old.key, why));
    assert_non_null(strstr(doubt, "expired"));
    assert_true(loads(soon.certificate, soon.key, why));
    assert_non_null(strstr(doubt, "expires in"));
}

static void renewed_certificates_are_served(void **state)
{
    struct process *p = tls_begin(NULL);
    struct tls_files files = {second_ec.certificate, second_ec.key};
    struct tls_files bad = {second_ec.certificate, first_ec.key};
    struct client before = connected(), after;
    char why[512] = "";

    (void)state;
    assert_true(certificate_has(&before, "mail.first.test"));
    assert_false(process_load_tls(p, &bad, 1, why, sizeof why));
    assert_true(process_load_tls(p, &files, 1, why, sizeof why));
    after = connected();
    assert_true(certificate_has(&after, "second.test"));
    assert_tls_line(&before, "hello\n");
    say(&before, "still here\n");
    assert_tls_line(&before, "still here\n");
    client_free(&before);
    client_free(&after);
    server_end(p);
}

/* --- load and memory ------------------------------------------------------ */

/* More handshakes at once than a turn may have: all come to their end. Returns the bytes
 * that closing gives back, for each; the client's side is gone by then. */
static size_t shake_many(struct process *p)
{
    enum { COUNT = 300 };
    static struct client c[COUNT];
    size_t open;

    for (int i = 0; i < COUNT; i++) {
        c[i] = client_of(client_open(PORT_TLS));
        fcntl(c[i].fd, F_SETFL, O_NONBLOCK);
        SSL_connect(c[i].ssl); /* sends ClientHello */
        ERR_clear_error();
    }
    for (int i = 0; i < COUNT; i++) {
        fcntl(c[i].fd, F_SETFL, 0);
        assert_int_equal(SSL_connect(c[i].ssl), 1);
        assert_tls_line(&c[i], "hello\n");
        say(&c[i], "text\n");
        assert_tls_line(&c[i], "text\n");
        SSL_set_quiet_shutdown(c[i].ssl, 1);
        SSL_free(c[i].ssl);
        SSL_CTX_free(c[i].ctx);
    }
    open = heap_in_use();
    for (int i = 0; i < COUNT; i++)
        close(c[i].fd);
    assert_true(wait_for_connections(p, 0));
    return (open - heap_in_use()) / COUNT;
}

/* The second time, when pools are full already, shows what stays with a connection. */
static void many_handshakes_at_once(void **state)
{
    struct process *p = tls_begin(NULL);
    size_t each;

    (void)state;
    shake_many(p);
    each = shake_many(p);
    printf("idle: %zu bytes a connection with TLS\n", each);
    assert_true(each < 4096);
    server_end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogue_over_each_version),
        cmocka_unit_test(old_versions_and_suites_are_refused),
        cmocka_unit_test(name_and_algorithm_choose_the_certificate),
        cmocka_unit_test(foreign_protocols_are_refused),
        cmocka_unit_test(starttls_forgets_clear_input),
        cmocka_unit_test(moves_and_bulk_in_tls),
        cmocka_unit_test(handshake_survives_any_split),
        cmocka_unit_test(garbage_is_closed_at_once),
        cmocka_unit_test(broken_handshakes_leave_nothing),
        cmocka_unit_test(endless_handshake_is_closed),
        cmocka_unit_test(bare_fin_is_an_abort),
        cmocka_unit_test(flood_of_key_updates_is_closed),
        cmocka_unit_test(sessions_resume_on_any_thread),
        cmocka_unit_test(files_are_checked),
        cmocka_unit_test(renewed_certificates_are_served),
        cmocka_unit_test(many_handshakes_at_once),
    };

    return cmocka_run_group_tests(tests, make_pairs, remove_pairs);
}
