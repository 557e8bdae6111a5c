/* hop_greet.c -- from the connection to ready(): greeting, EHLO, STARTTLS, AUTH. */
#include "proto/sasl/sasl.h"
#include "server/hop_state.h"

/* --- the end of this host ------------------------------------------------- */

/* The hop said no: the next host may say yes (RFC 5321, 3.1 and 5.1). */
static void refused(struct hop *h, const struct smtp_answer *a)
{
    struct hop_answer end;

    hop_answer_theirs(&end, a);
    if (a->code < 400)
        hop_answer_ours(&end, 0, HOP_STATUS(4, 5, 0), "an answer that makes no sense: %u",
            (unsigned)a->code);
    hop_end(h, &end, HOP_QUIT);
}

/* A mistake in the configuration is no reason to send mail back. */
static void no_lmtp(struct hop *h, const struct smtp_answer *a)
{
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 3, 5), "LHLO was refused: %u %.*s",
        (unsigned)a->code, (int)a->len, a->text);
    hop_end(h, &end, HOP_QUIT);
}

/* No TLS where it has to be: for mail that requires it that is the end (RFC 8689, 4.2.1),
 * all other waits for better times. */
static void no_tls(struct hop *h, const char *what)
{
    struct hop_answer end;

    if (h->require_tls)
        hop_answer_ours(&end, 550, HOP_STATUS(5, 7, 10), "%s", what);
    else
        hop_answer_ours(&end, 0, HOP_STATUS(4, 7, 10), "%s", what);
    hop_end(h, &end, HOP_QUIT);
}

/* --- EHLO ----------------------------------------------------------------- */

static void say_hello(struct hop *h, const char *verb, enum hop_step step)
{
    struct out *out = &h->conn->out;

    h->hello = (struct smtp_hello){0};
    out_str(out, verb);
    out_byte(out, ' ');
    out_str(out, h->thread->config->hostname);
    out_put(out, S("\r\n"));
    hop_await(h, step);
}

static void ehlo(struct hop *h)
{
    say_hello(h, h->lmtp ? "LHLO" : "EHLO", HOP_EHLO);
}

static void shake(struct hop *h)
{
    bool verify = h->tls == HOP_TLS_VERIFY;
    struct conn *c = h->conn;

    hop_await(h, HOP_SHAKE);
    conn_starttls_client(c, slice_str(hop_host(h)->name), verify);
}

void hop_begin(struct hop *h)
{
    if (h->implicit_tls && !hop_is_local(h))
        shake(h);
    else
        hop_await(h, HOP_GREETING);
}

void hop_shaken(struct hop *h)
{
    struct slice text = conn_tls_text(h->conn, h->tls_text, sizeof h->tls_text - 1);

    h->tls_text[text.len] = 0;
    if (h->implicit_tls)
        hop_await(h, HOP_GREETING);
    else
        ehlo(h);
}

/* --- AUTH ----------------------------------------------------------------- */

static bool is_loopback(const struct address *a)
{
    static const uint8_t six[16] = {[15] = 1};

    if (a->family == AF_INET)
        return a->bytes[12] == 127;
    return a->family == AF_UNIX ||
        (a->family == AF_INET6 && memcmp(a->bytes, six, sizeof six) == 0);
}

static void put_line(struct hop *h, const char *verb, struct slice secret)
{
    struct out *out = &h->conn->out;

    out_str(out, verb);
    base64_encode(out, secret);
    out_put(out, S("\r\n"));
}

static void auth_plain(struct hop *h)
{
    char message[SASL_NAME_MAX + 2 + SASL_PASSWORD_MAX];
    struct out out = out_of(message, sizeof message);

    out_byte(&out, 0);
    out_put(&out, h->user);
    out_byte(&out, 0);
    out_put(&out, h->password);
    put_line(h, "AUTH PLAIN ", out_slice(&out));
    secret_wipe(message, sizeof message);
    hop_await(h, HOP_AUTH_PLAIN);
}

/* That mail waits, and the operator is told, is better than that it all goes back because
 * of a password. */
static void no_login(struct hop *h, const char *why)
{
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 7, 8), "%s", why);
    hop_end(h, &end, HOP_QUIT);
}

static void auth(struct hop *h)
{
    if (!h->conn->secure && !is_loopback(&hop_host(h)->address)) {
        no_login(h, "no TLS, without which the password is not said");
    } else if (h->user.len > SASL_NAME_MAX || h->password.len > SASL_PASSWORD_MAX) {
        no_login(h, "the name or the password is too long");
    } else if (h->hello.mechanisms & 1u << SASL_PLAIN) {
        auth_plain(h);
    } else if (h->hello.mechanisms & 1u << SASL_LOGIN) {
        out_put(&h->conn->out, S("AUTH LOGIN\r\n"));
        hop_await(h, HOP_AUTH_LOGIN);
    } else {
        no_login(h, "the hop offers neither AUTH PLAIN nor AUTH LOGIN");
    }
}

/* --- ready ---------------------------------------------------------------- */

static void become_ready(struct hop *h)
{
    hop_wipe(h);
    h->ready = true;
    hop_await(h, HOP_READY);
    h->calls->ready(h);
}

static void after_tls(struct hop *h)
{
    struct hop_answer end;

    if (h->require_tls && !hop_is_local(h) && !hop_offers(h, SMTP_HELLO_REQUIRETLS)) {
        hop_answer_ours(&end, 550, HOP_STATUS(5, 7, 30), "the hop has no REQUIRETLS");
        hop_end(h, &end, HOP_QUIT);
    } else if (h->user.len) {
        auth(h);
    } else {
        become_ready(h);
    }
}

static void after_hello(struct hop *h)
{
    bool wanted =
        h->tls != HOP_TLS_NONE && !h->in_clear && !h->conn->secure && !hop_is_local(h);

    if (wanted && hop_offers(h, SMTP_HELLO_STARTTLS)) {
        out_put(&h->conn->out, S("STARTTLS\r\n"));
        hop_await(h, HOP_STARTTLS);
    } else if (wanted && h->tls != HOP_TLS_MAY) {
        no_tls(h, "TLS is required, and the hop does not offer it");
    } else {
        after_tls(h);
    }
}

static void starttls_reply(struct hop *h, const struct smtp_answer *a)
{
    if (a->code == 220) {
        shake(h);
    } else if (h->tls == HOP_TLS_MAY) {
        after_tls(h);
    } else {
        no_tls(h, "TLS is required, and the hop has refused STARTTLS");
    }
}

static void auth_reply(struct hop *h, const struct smtp_answer *a)
{
    bool asks = a->code == 334;

    if (a->code == 235 && (h->step == HOP_AUTH_PLAIN || h->step == HOP_AUTH_PASSWORD)) {
        h->authenticated = true;
        become_ready(h);
    } else if (asks && h->step == HOP_AUTH_LOGIN) {
        put_line(h, "", h->user);
        hop_await(h, HOP_AUTH_NAME);
    } else if (asks && h->step == HOP_AUTH_NAME) {
        put_line(h, "", h->password);
        hop_await(h, HOP_AUTH_PASSWORD);
    } else {
        struct hop_answer end;

        hop_answer_ours(&end, 0, HOP_STATUS(4, 7, 8), "the login was refused: %u %.*s",
            (unsigned)a->code, (int)a->len, a->text);
        hop_end(h, &end, HOP_QUIT);
    }
}

void hop_greet_reply(struct hop *h, const struct smtp_answer *a)
{
    switch (h->step) {
    case HOP_GREETING:
        if (a->code == 220)
            ehlo(h);
        else
            refused(h, a);
        return;
    case HOP_EHLO:
        if (a->code == 250)
            after_hello(h);
        else if (a->code >= 500 && h->lmtp)
            no_lmtp(h, a);
        else if (a->code >= 500)
            say_hello(h, "HELO", HOP_HELO);
        else
            refused(h, a);
        return;
    case HOP_HELO:
        if (a->code == 250)
            after_hello(h);
        else
            refused(h, a);
        return;
    case HOP_STARTTLS:
        starttls_reply(h, a);
        return;
    case HOP_AUTH_PLAIN:
    case HOP_AUTH_LOGIN:
    case HOP_AUTH_NAME:
    case HOP_AUTH_PASSWORD:
        auth_reply(h, a);
        return;
    case HOP_CONNECT:
    case HOP_SHAKE:
    case HOP_READY:
    case HOP_SCAN:
    case HOP_COMMANDS:
    case HOP_TEXT:
    case HOP_VERDICT:
    case HOP_QUITTING:
        return;
    }
}
