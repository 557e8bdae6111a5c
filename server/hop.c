/* hop.c -- the life of a hop: hosts, connections, and the end. */
#include "server/hop.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/sasl/sasl.h"
#include "server/config.h"
#include "server/hop_state.h"

static const struct session_calls hop_session_calls;

/* What the hop was doing, for the words of an end. */
static const char *const doing[] = {
    [HOP_CONNECT] = "connecting",
    [HOP_SHAKE] = "the TLS handshake",
    [HOP_GREETING] = "the greeting",
    [HOP_EHLO] = "EHLO",
    [HOP_HELO] = "HELO",
    [HOP_STARTTLS] = "STARTTLS",
    [HOP_AUTH_PLAIN] = "AUTH",
    [HOP_AUTH_LOGIN] = "AUTH",
    [HOP_AUTH_NAME] = "AUTH",
    [HOP_AUTH_PASSWORD] = "AUTH",
    [HOP_READY] = "waiting for mail",
    [HOP_SCAN] = "waiting for mail",
    [HOP_COMMANDS] = "MAIL, RCPT or DATA",
    [HOP_TEXT] = "sending the text",
    [HOP_VERDICT] = "the end of the text",
    [HOP_QUITTING] = "QUIT",
};

static struct hop *hop_of(struct conn *c)
{
    return container_of(c, struct hop_session, conn)->hop;
}

/* --- making --------------------------------------------------------------- */

void hop_wipe(struct hop *h)
{
    if (h->secrets)
        secret_wipe(h->secrets, h->user.len + h->password.len);
    free(h->secrets);
    h->secrets = NULL;
    h->user = h->password = S("");
}

static bool copy_secrets(struct hop *h, const struct hop_conf *conf)
{
    if (conf->user.len == 0)
        return true;
    h->secrets = malloc(conf->user.len + conf->password.len);
    if (!h->secrets)
        return false;
    memcpy(h->secrets, conf->user.at, conf->user.len);
    if (conf->password.len)
        memcpy(h->secrets + conf->user.len, conf->password.at, conf->password.len);
    h->user = slice_of(h->secrets, conf->user.len);
    h->password = slice_of(h->secrets + conf->user.len, conf->password.len);
    return true;
}

/* The array, and the names behind it. */
static bool copy_hosts(struct hop *h, const struct hop_conf *conf)
{
    size_t bytes = conf->host_count * sizeof *h->hosts;
    char *at;

    for (unsigned i = 0; i < conf->host_count; i++)
        bytes += strlen(conf->hosts[i].name) + 1;
    h->hosts = malloc(bytes);
    if (!h->hosts)
        return false;
    at = (char *)(h->hosts + conf->host_count);
    for (unsigned i = 0; i < conf->host_count; i++) {
        size_t n = strlen(conf->hosts[i].name) + 1;

        h->hosts[i] = conf->hosts[i];
        h->hosts[i].name = memcpy(at, conf->hosts[i].name, n);
        at += n;
    }
    h->host_count = conf->host_count;
    return true;
}

static void free_hop(struct hop *h)
{
    hop_wipe(h);
    free(h->hosts);
    free(h);
}

static void on_later(struct op *op, int32_t res, uint32_t flags);

static void do_later(struct hop *h)
{
    op_start(&h->later, on_later);
    op_post(&h->thread->ready, &h->later, 0);
}

struct hop *hop_open(struct thread *t, const struct hop_conf *conf,
    const struct hop_calls *calls, void *owner)
{
    struct hop *h = calloc(1, sizeof *h);

    CHECK(conf->host_count > 0);
    if (!h)
        return NULL;
    h->thread = t;
    h->calls = calls;
    h->owner = owner;
    h->tls = conf->prefer_tls ? HOP_TLS_VERIFY : conf->tls;
    h->tls_after = conf->tls;
    h->prefer_tls = conf->prefer_tls;
    h->implicit_tls = conf->implicit_tls;
    h->require_tls = conf->require_tls || conf->prefer_tls;
    h->lmtp = conf->lmtp;
    for (int i = 0; i < 2; i++)
        if (conf->source[i])
            h->source[i] = *conf->source[i];
    if (!copy_hosts(h, conf) || !copy_secrets(h, conf)) {
        free_hop(h);
        return NULL;
    }
    do_later(h);
    return h;
}

/* --- hosts ---------------------------------------------------------------- */

/* What may do better later counts more than what will not (RFC 5321, 5.1). */
static void note_failure(struct hop *h, const struct hop_answer *a)
{
    bool kept_later = h->failed && h->why.code / 100 != 5;

    if (!kept_later || a->code / 100 != 5) {
        h->why = *a;
        h->why_host = h->host;
    }
    h->failed = true;
}

static bool connect_host(struct hop *h)
{
    const struct mx_host *host = &h->hosts[h->host];
    const struct address *source = &h->source[host->address.family == AF_INET6];
    struct conn *c;

    if (host->address.family == AF_UNIX)
        c = conn_connect_local(h->thread, &hop_session_calls, host->name);
    else
        c = conn_connect(h->thread, &hop_session_calls, &host->address,
            source->family == host->address.family ? source : NULL);
    if (!c)
        return false;
    container_of(c, struct hop_session, conn)->hop = h;
    h->conn = c;
    h->step = HOP_CONNECT;
    h->answer = (struct smtp_answer){0};
    h->hello = (struct smtp_hello){0};
    h->tls_text[0] = 0;
    h->over = false;
    conn_deadline(c, (unsigned)h->thread->config->hop_connect_timeout);
    return true;
}

static void close_hop(struct hop *h)
{
    h->calls->closed(h, &h->why);
    free_hop(h);
}

/* All hosts have failed: false, for good; true: from the first again, with less. */
static bool settle_for_less(struct hop *h)
{
    if (!h->prefer_tls)
        return false;
    h->prefer_tls = h->require_tls = h->failed = false;
    h->tls = h->tls_after;
    h->host = 0;
    return true;
}

/* False: there is none. */
static bool connect_next(struct hop *h)
{
    for (; h->host < h->host_count; h->host++) {
        if (connect_host(h))
            return true;
        hop_answer_ours(
            &h->end, 0, HOP_STATUS(4, 3, 0), "no socket: %s", strerrordesc_np(errno));
        note_failure(h, &h->end);
    }
    return false;
}

static void next_host(struct hop *h)
{
    if (connect_next(h) || (settle_for_less(h) && connect_next(h)))
        return;
    h->host = h->why_host;
    close_hop(h);
}

/* --- the end of a connection ---------------------------------------------- */

/* The same host again, in clear (RFC 7435, 3: better than not at all). */
static bool wants_clear(const struct hop *h)
{
    return h->tls == HOP_TLS_MAY && !h->implicit_tls && !h->in_clear &&
        h->step == HOP_SHAKE && h->end.code == 0;
}

static void end_of_host(struct hop *h)
{
    if (h->quitting || h->thread->stopping) {
        h->why = h->end;
        close_hop(h);
    } else if (wants_clear(h)) {
        h->in_clear = true;
        next_host(h);
    } else {
        note_failure(h, &h->end);
        h->in_clear = false;
        h->host++;
        next_host(h);
    }
}

static void go_on_ending(struct hop *h)
{
    if (h->owed)
        return;
    hop_text_end(h);
    if (!h->ready) {
        end_of_host(h);
        return;
    }
    if (h->work.m)
        hop_give_up(h);
    h->why = h->end;
    close_hop(h);
}

static void on_later(struct op *op, int32_t res, uint32_t flags)
{
    struct hop *h = container_of(op, struct hop, later);

    (void)res, (void)flags;
    if (h->over)
        go_on_ending(h);
    else
        next_host(h);
}

static void let_go(struct hop *h, const struct hop_answer *end)
{
    if (end != &h->end)
        h->end = *end;
    h->over = true;
    if (h->conn)
        container_of(h->conn, struct hop_session, conn)->hop = NULL;
    h->conn = NULL;
}

void hop_landed(struct hop *h)
{
    if (h->over && !h->later.pending)
        do_later(h);
}

void hop_end(struct hop *h, const struct hop_answer *end, enum hop_farewell farewell)
{
    struct conn *c = h->conn;

    if (h->over)
        return;
    let_go(h, end);
    if (!h->later.pending)
        do_later(h);
    if (!c)
        return;
    if (farewell == HOP_ABORT) {
        conn_abort(c);
        return;
    }
    if (farewell == HOP_QUIT)
        out_put(&c->out, S("QUIT\r\n"));
    conn_close(c);
}

/* --- calls of the owner --------------------------------------------------- */

void *hop_owner(const struct hop *h)
{
    return h->owner;
}

const struct mx_host *hop_host(const struct hop *h)
{
    return &h->hosts[h->host];
}

struct slice hop_tls_text(const struct hop *h, char *at, size_t cap)
{
    size_t len = strlen(h->tls_text);

    if (len > cap)
        len = cap;
    memcpy(at, h->tls_text, len);
    return slice_of(at, len);
}

bool hop_usable(const struct hop *h)
{
    const struct conn *c = h->conn;
    uint32_t max = h->hello.mail_max;

    return c && h->step == HOP_READY && !h->work.m && !h->quitting && !h->over &&
        !c->eof && !c->closing && !h->thread->stopping &&
        (max == 0 || h->transactions < max);
}

void hop_send(struct hop *h, struct hop_message *m)
{
    CHECK(hop_usable(h) && m->rcpt_count > 0);
    h->work = (struct hop_work){.m = m};
    for (unsigned i = 0; i < m->rcpt_count; i++)
        m->rcpts[i].answer = NULL;
    m->unsure = m->dsn_relayed = m->by_relayed = false;
    conn_wake(h->conn);
}

void hop_abort(struct hop *h)
{
    struct hop_answer end;

    h->quitting = true;
    hop_answer_ours(&end, 0, HOP_STATUS(4, 4, 2), "given up");
    hop_end(h, &end, HOP_ABORT);
}

void hop_quit(struct hop *h)
{
    if (!h->ready)
        hop_abort(h);
    h->quitting = true;
    if (h->conn)
        conn_wake(h->conn);
}

/* --- the session ---------------------------------------------------------- */

void hop_await(struct hop *h, enum hop_step step)
{
    const struct config *config = h->thread->config;
    uint64_t seconds = config->hop_timeout;

    h->step = step;
    if (step == HOP_TEXT || step == HOP_SCAN)
        seconds = 0; /* the write timeout counts, or the disk is slow */
    else if (step == HOP_VERDICT)
        seconds = config->hop_data_timeout;
    else if (step == HOP_QUITTING && seconds > HOP_QUIT_S)
        seconds = HOP_QUIT_S;
    conn_deadline(h->conn, (unsigned)seconds);
}

static void on_open(struct conn *c)
{
    struct hop *h = hop_of(c);

    if (h)
        hop_begin(h);
}

static void quit(struct hop *h)
{
    out_put(&h->conn->out, S("QUIT\r\n"));
    hop_await(h, HOP_QUITTING);
}

void hop_end_by_count(struct hop *h)
{
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 5, 0), "more answers than commands, at %s",
        doing[h->step]);
    hop_end(h, &end, HOP_ABORT);
}

/* The hop has said goodbye, or something else where nothing was asked. */
static void end_by_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_answer end;

    if (a->code != 421 && h->step != HOP_QUITTING) {
        hop_end_by_count(h);
        return;
    }
    hop_answer_theirs(&end, a);
    hop_end(h, &end, HOP_CLOSE);
}

/* A session that has carried mail and wants to end: the next one takes it. */
static void end_before_mail(struct hop *h, const struct smtp_answer *a)
{
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 3, 2), "the session was ended: %u %.*s",
        (unsigned)a->code, (int)a->len, a->text);
    hop_end(h, &end, HOP_CLOSE);
}

/* What came while the text was on its way: there is no way to stop it but this. */
static void end_early(struct hop *h, const struct smtp_answer *a)
{
    struct hop_answer end;

    if (a->code >= 400)
        hop_answer_theirs(&end, a);
    else
        hop_answer_ours(
            &end, 0, HOP_STATUS(4, 5, 0), "an answer before the end of the text");
    hop_end(h, &end, HOP_ABORT);
}

static void on_reply(struct hop *h, const struct smtp_answer *a)
{
    bool before_mail =
        h->step == HOP_SCAN || (h->step == HOP_COMMANDS && !h->work.mail_heard);

    if (a->code == 421 && before_mail && h->transactions > 0) {
        end_before_mail(h, a);
        return;
    }
    if (a->code == 421 && h->step != HOP_TEXT) {
        end_by_reply(h, a);
        return;
    }
    switch (h->step) {
    case HOP_GREETING:
    case HOP_EHLO:
    case HOP_HELO:
    case HOP_STARTTLS:
    case HOP_AUTH_PLAIN:
    case HOP_AUTH_LOGIN:
    case HOP_AUTH_NAME:
    case HOP_AUTH_PASSWORD:
        hop_greet_reply(h, a);
        return;
    case HOP_COMMANDS:
        hop_command_reply(h, a);
        return;
    case HOP_TEXT:
        end_early(h, a);
        return;
    case HOP_VERDICT:
        hop_verdict_reply(h, a);
        return;
    case HOP_CONNECT:
    case HOP_SHAKE:
    case HOP_READY:
    case HOP_SCAN:
    case HOP_QUITTING:
        end_by_reply(h, a);
        return;
    }
}

static void end_by_nonsense(struct hop *h, enum smtp_answer_result result)
{
    const char *what = result == SMTP_ANSWER_MALFORMED ? "something else"
        : result == SMTP_ANSWER_TOO_LONG               ? "a line without end"
                                                       : "lines without end";
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 5, 0), "%s instead of an answer to %s", what,
        doing[h->step]);
    hop_end(h, &end, HOP_ABORT);
}

/* One command is awaited, and one only: what is behind its answer was put there by
 * somebody else, or the hop has lost count (RFC 3207, 4.2; matrix T11). */
static bool is_followed(const struct hop *h)
{
    return h->step >= HOP_GREETING && h->step < HOP_READY && h->conn->in.len > 0;
}

/* Takes one reply; false: there is none. */
static bool take_reply(struct hop *h)
{
    struct conn *c = h->conn;
    const struct config *config = h->thread->config;
    const struct smtp_answer_limits max = {
        config->max_hop_line, (unsigned)config->max_hop_lines};
    struct smtp_hello *hello = h->step == HOP_EHLO ? &h->hello : NULL;
    enum smtp_answer_result result;
    struct smtp_answer a;

    if (c->in.len == 0 || h->step == HOP_SHAKE)
        return false;
    result = smtp_answer_read(&h->answer, &c->in, max, hello);
    if (result == SMTP_ANSWER_MORE)
        return false;
    if (result != SMTP_ANSWER_DONE) {
        end_by_nonsense(h, result);
        return false;
    }
    a = h->answer;
    h->answer = (struct smtp_answer){0};
    if (is_followed(h))
        hop_end_by_count(h);
    else
        on_reply(h, &a);
    return true;
}

static void go_on(struct hop *h)
{
    if (h->step == HOP_SHAKE && h->conn->secure)
        hop_shaken(h);
    else if (h->step == HOP_READY && h->work.m)
        hop_message_begin(h);
    else if (h->step == HOP_READY && h->quitting)
        quit(h);
    else if (h->step == HOP_SCAN)
        hop_scan(h);
    else if (h->step == HOP_COMMANDS)
        hop_commands(h);
    else if (h->step == HOP_TEXT)
        hop_text(h);
}

static void end_by_eof(struct hop *h)
{
    struct hop_answer end;

    hop_answer_ours(&end, 0, HOP_STATUS(4, 4, 2),
        "the hop has closed the connection, at %s", doing[h->step]);
    hop_end(h, &end, HOP_CLOSE);
}

static void on_run(struct conn *c)
{
    struct hop *h = hop_of(c);

    while (h && h->conn == c && take_reply(h))
        ;
    if (h && h->conn == c)
        go_on(h);
    if (h && h->conn == c && c->eof && h->step != HOP_SHAKE)
        end_by_eof(h);
    if (hop_of(c) == NULL)
        slice_take(&c->in, c->in.len);
}

static void on_timeout(struct conn *c)
{
    struct hop *h = hop_of(c);
    struct hop_answer end;

    if (!h) {
        conn_abort(c);
        return;
    }
    if (h->step == HOP_READY && !h->work.m) {
        hop_quit(h);
        return;
    }
    if (h->step == HOP_CONNECT)
        hop_answer_ours(&end, 0, HOP_STATUS(4, 4, 1), "no answer in time");
    else
        hop_answer_ours(
            &end, 0, HOP_STATUS(4, 4, 2), "no answer in time to %s", doing[h->step]);
    hop_end(h, &end, HOP_ABORT);
}

/* The process stops: what is under way is finished. */
static void on_stop(struct conn *c)
{
    struct hop *h = hop_of(c);

    if (!h)
        conn_close(c);
    else
        hop_quit(h);
}

static void describe(const struct hop *h, const struct conn *c, struct hop_answer *end)
{
    struct slice tls = conn_tls_why(c);

    if (h->step == HOP_CONNECT)
        hop_answer_ours(
            end, 0, HOP_STATUS(4, 4, 1), "connecting: %s", strerrordesc_np(c->error));
    else if (tls.len)
        hop_answer_ours(end, h->require_tls && !h->ready ? 550 : 0,
            h->require_tls && !h->ready ? HOP_STATUS(5, 7, 10) : HOP_STATUS(4, 7, 5),
            "TLS: %.*s", (int)tls.len, tls.at);
    else
        hop_answer_ours(end, 0, HOP_STATUS(4, 4, 2), "the connection broke at %s: %s",
            doing[h->step],
            c->error ? strerrordesc_np(c->error) : "closed in the middle");
}

static void on_closed(struct conn *c)
{
    struct hop *h = hop_of(c);

    if (h) {
        describe(h, c, &h->end);
        let_go(h, &h->end);
    }
    conn_free(c);
    if (h && !h->later.pending)
        go_on_ending(h);
}

static const struct session_calls hop_session_calls = {
    .session_bytes = sizeof(struct hop_session),
    .open = on_open,
    .run = on_run,
    .timeout = on_timeout,
    .stop = on_stop,
    .closed = on_closed,
};
