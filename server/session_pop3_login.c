/* USER and PASS, AUTH (RFC 5034), STLS (RFC 2595), and the way to the maildrop. */
#include <stdlib.h>

#include "server/log.h"
#include "server/session_pop3_work.h"
#include "server/tls.h"

/* --- STLS ------------------------------------------------------------------------ */

bool pop3_may_start_tls(const struct session_pop3 *s)
{
    const struct conn *c = &s->conn;

    return s->state != POP3_MAIL && !conn_is_tls(c) && c->thread->tls &&
        tls_context_serves(c->thread->tls);
}

enum pop3_turn pop3_stls(struct session_pop3 *s)
{
    if (!pop3_may_start_tls(s)) {
        pop3_refuse(s, POP3_REPLY_TLS_NOT_OFFERED);
        return POP3_AGAIN;
    }
    pop3_forget(s);
    s->state = POP3_START;
    pop3_say(s, POP3_REPLY_TLS_OK);
    conn_starttls(&s->conn);
    return POP3_WAIT;
}

/* --- passwords -------------------------------------------------------------------- */

static void exchange_end(struct session_pop3 *s)
{
    if (!s->auth)
        return;
    CHECK(!s->auth->checking);
    sasl_wipe(&s->auth->sasl);
    free(s->auth);
    s->auth = NULL;
}

void pop3_forget(struct session_pop3 *s)
{
    exchange_end(s);
    login_end(&s->login, s->conn.thread);
    free(s->name);
    s->name = NULL;
}

/* Back to where a name is awaited. */
static void start_over(struct session_pop3 *s, enum pop3_reply reply)
{
    pop3_forget(s);
    s->state = POP3_START;
    pop3_rest(s);
    pop3_refuse(s, reply);
}

/* False: no memory, and the client has been told. */
static bool exchange_begin(struct session_pop3 *s)
{
    s->auth = malloc(sizeof *s->auth);
    if (!s->auth) {
        start_over(s, POP3_REPLY_AUTH_BUSY);
        return false;
    }
    s->auth->session = s;
    s->auth->checking = false;
    s->auth->sasl = (struct sasl){.mechanism = SASL_NONE};
    return true;
}

static void on_checked(struct auth *auth)
{
    struct pop3_auth *a = container_of(auth, struct pop3_auth, auth);
    struct session_pop3 *s = a->session;

    a->checking = false;
    if (s->gone && auth->result == AUTH_OK)
        login_begin(&s->login, auth);
    pop3_landed(s);
}

static void check(struct session_pop3 *s, struct slice user, struct slice password)
{
    s->since_ns = s->conn.thread->now_ns;
    s->auth->checking = true;
    s->mode = POP3_MODE_CHECK;
    auth_start(&s->auth->auth, &s->conn, user, password, on_checked);
}

void pop3_user(struct session_pop3 *s, struct slice name)
{
    if (!conn_may_login(&s->conn)) {
        pop3_refuse(s, POP3_REPLY_PRIVACY);
        return;
    }
    free(s->name);
    s->name = strndup(name.at, name.len);
    if (!s->name) {
        pop3_refuse(s, POP3_REPLY_AUTH_BUSY);
        return;
    }
    s->state = POP3_USER;
    pop3_say(s, POP3_REPLY_NAME_OK);
}

void pop3_pass(struct session_pop3 *s, struct slice password)
{
    if (exchange_begin(s))
        check(s, slice_str(s->name), password);
    secret_wipe((char *)password.at, password.len);
}

/* A refusal looks like a wrong password, and takes as long. */
static void go_on(struct session_pop3 *s, enum sasl_result result)
{
    struct sasl *sasl = &s->auth->sasl;
    struct out *out = &s->conn.out;

    switch (result) {
    case SASL_CHALLENGE:
        out_put(out, S("+ "));
        out_put(out, sasl->challenge);
        out_put(out, S("\r\n"));
        s->mode = POP3_MODE_AUTH_LINE;
        return;
    case SASL_DONE:
        check(s, sasl->user, sasl->password);
        sasl_wipe(sasl);
        return;
    case SASL_REFUSED:
        check(s, S(""), S(""));
        sasl_wipe(sasl);
        return;
    case SASL_CANCELLED:
        start_over(s, POP3_REPLY_AUTH_CANCELLED);
        return;
    case SASL_MALFORMED:
        start_over(s, POP3_REPLY_AUTH_MALFORMED);
        return;
    }
}

void pop3_auth(struct session_pop3 *s, const struct pop3_cmd *cmd)
{
    enum sasl_mechanism mechanism = sasl_mechanism_of(cmd->text);

    if (!conn_may_login(&s->conn)) {
        pop3_refuse(s, POP3_REPLY_PRIVACY);
    } else if (mechanism == SASL_NONE) {
        pop3_refuse(s, POP3_REPLY_MECHANISM);
    } else if (exchange_begin(s)) {
        struct sasl *sasl = &s->auth->sasl;

        sasl_start(sasl, mechanism, s->auth->buffer, sizeof s->auth->buffer);
        go_on(s, sasl_initial(sasl, cmd->initial, cmd->has_initial));
    }
    secret_wipe((char *)cmd->initial.at, cmd->initial.len);
}

enum pop3_turn pop3_auth_line_step(struct session_pop3 *s)
{
    struct conn *c = &s->conn;
    struct slice line = S("");
    enum line_cut cut = LINE_MORE;

    if (c->in.len)
        cut = line_cut(&s->cutter, &c->in, pop3_line_limits(true), &line);
    if (cut == LINE_MORE) {
        if (c->eof)
            conn_close(c);
        return POP3_WAIT;
    }
    if (cut == LINE_DONE)
        go_on(s, sasl_line(&s->auth->sasl, line));
    else
        start_over(s, pop3_line_reply(cut));
    secret_wipe((char *)line.at, line.len);
    return POP3_AGAIN;
}

/* --- the answer ------------------------------------------------------------------- */

static void log_login(const struct session_pop3 *s, bool granted, const char *user)
{
    struct event e;
    char text[128];

    if (!event_begin(
            &e, granted ? LEVEL_INFO : LEVEL_NOTICE, granted ? "login" : "login-failed"))
        return;
    event_string(&e, "protocol", "pop3");
    event_string(&e, "user", user);
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, text, sizeof text));
    if (conn_is_tls(&s->conn))
        event_text(&e, "tls", conn_tls_text(&s->conn, text, sizeof text));
    event_end(&e);
}

static void failed(struct session_pop3 *s)
{
    log_login(s, false, s->auth->auth.user);
    s->failures++;
    if (s->failures < pop3_config(s)->max_failed_logins)
        start_over(s, POP3_REPLY_AUTH_FAILED);
    else
        pop3_bye(s, POP3_REPLY_AUTH_TOO_MANY);
}

/* The rest of a long answer is not for this client any more, and it may never read what
 * is there. Deletions on their way to the disk are answered first. */
static void on_login_end(struct login *login)
{
    struct session_pop3 *s = container_of(login, struct session_pop3, login);
    bool answering = s->mode == POP3_MODE_SIZE || s->mode == POP3_MODE_LIST ||
        s->mode == POP3_MODE_READ;

    s->ended = true;
    if (answering || conn_congested(&s->conn))
        conn_abort(&s->conn);
    else
        conn_wake(&s->conn);
}

static void on_arrived(struct conn *c)
{
    struct session_pop3 *s = pop3_of(c);

    s->stays = login_stay(&s->login, c, on_login_end);
    s->mode = POP3_MODE_OPEN;
    conn_wake(c);
}

static enum pop3_turn granted(struct session_pop3 *s)
{
    char *name = strdup(s->auth->auth.user);

    login_begin(&s->login, &s->auth->auth);
    if (!name) {
        start_over(s, POP3_REPLY_AUTH_BUSY);
        return POP3_AGAIN;
    }
    free(s->name);
    s->name = name;
    exchange_end(s);
    s->mode = POP3_MODE_MOVE;
    conn_move(&s->conn, thread_of_user(s->conn.thread, slice_str(name)), on_arrived);
    return POP3_WAIT;
}

enum pop3_turn pop3_check_step(struct session_pop3 *s)
{
    if (s->auth->checking)
        return POP3_WAIT;
    switch (s->auth->auth.result) {
    case AUTH_OK:
        return granted(s);
    case AUTH_FAILED:
        failed(s);
        return POP3_AGAIN;
    case AUTH_BUSY:
        auth_log_refused(&s->auth->auth, &s->conn, "pop3");
        start_over(s, POP3_REPLY_AUTH_BUSY);
        return POP3_AGAIN;
    case AUTH_TOO_MANY:
        auth_log_refused(&s->auth->auth, &s->conn, "pop3");
        start_over(s, POP3_REPLY_TOO_MANY_SESSIONS);
        return POP3_AGAIN;
    }
    return POP3_WAIT;
}

/* --- to the maildrop -------------------------------------------------------------- */

static void log_unavailable(const struct session_pop3 *s, enum status status)
{
    struct event e;

    if (!event_begin(&e, LEVEL_ERROR, "pop3-unavailable"))
        return;
    event_string(&e, "user", s->name);
    event_number(&e, "session", s->conn.id);
    event_string(&e, "status", status_text(status));
    event_end(&e);
}

static void refuse(struct session_pop3 *s, enum pop3_reply reply)
{
    pop3_drop_close(s);
    start_over(s, reply);
}

enum pop3_turn pop3_open_step(struct session_pop3 *s)
{
    enum pop3_reply reply = POP3_REPLY_NONE;
    enum pop3_turn turn;

    if (!s->stays || s->ended)
        reply = POP3_REPLY_AUTH_FAILED;
    else if (!s->drop)
        reply = pop3_drop_lock(s);
    if (reply != POP3_REPLY_NONE) {
        refuse(s, reply);
        return POP3_AGAIN;
    }
    turn = pop3_drop_step(s, s->drop);
    if (turn != POP3_AGAIN)
        return turn;
    if (s->drop->status != STATUS_OK) {
        log_unavailable(s, s->drop->status);
        refuse(s, POP3_REPLY_UNAVAILABLE);
        return POP3_AGAIN;
    }
    if (s->drop->at != DROP_READY)
        return POP3_AGAIN;
    log_login(s, true, s->name);
    stats_end(&s->conn.thread->stats, TIMES_pop3_login, s->since_ns);
    s->conn.thread->stats.pop3_sessions++;
    s->state = POP3_MAIL;
    s->errors = 0;
    pop3_rest(s);
    out_put(&s->conn.out, S("+OK Maildrop is ready, "));
    out_u64(&s->conn.out, s->drop->count);
    out_put(&s->conn.out, S(" messages\r\n"));
    return POP3_AGAIN;
}
