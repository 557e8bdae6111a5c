/* STARTTLS (RFC 3207) and AUTH (RFC 4954). */
#include <stdlib.h>

#include "server/config_limits.h"
#include "server/log.h"
#include "server/session_smtp_work.h"
#include "server/tls.h"

/* --- STARTTLS -------------------------------------------------------------------- */

/* What was learned in clear is forgotten, the login too (RFC 3207, 4.2; matrix T04). */
enum smtp_turn smtp_starttls(struct session_smtp *s)
{
    struct conn *c = &s->conn;

    if (!c->thread->tls || !tls_context_serves(c->thread->tls)) {
        smtp_refuse(s, SMTP_REPLY_TLS_FAILED);
        return SMTP_AGAIN;
    }
    smtp_reset(s);
    smtp_auth_forget(s);
    free(s->helo);
    s->helo = NULL;
    s->state = SMTP_START;
    smtp_say(s, SMTP_REPLY_START_TLS);
    conn_starttls(c);
    return SMTP_WAIT;
}

/* --- AUTH ------------------------------------------------------------------------ */

static void exchange_end(struct session_smtp *s)
{
    if (!s->auth)
        return;
    CHECK(!s->auth->checking);
    sasl_wipe(&s->auth->sasl);
    free(s->auth);
    s->auth = NULL;
}

void smtp_auth_forget(struct session_smtp *s)
{
    exchange_end(s);
    login_end(&s->login, s->conn.thread);
    free(s->user);
    s->user = NULL;
}

static void answer(struct session_smtp *s, enum smtp_reply reply)
{
    exchange_end(s);
    s->mode = SMTP_MODE_COMMAND;
    smtp_rest(s);
    smtp_refuse(s, reply);
}

static void on_checked(struct auth *auth)
{
    struct smtp_auth *a = container_of(auth, struct smtp_auth, auth);
    struct session_smtp *s = a->session;

    a->checking = false;
    if (s->gone && auth->result == AUTH_OK)
        login_begin(&s->login, auth);
    smtp_landed(s);
}

static void check(struct session_smtp *s, struct slice user, struct slice password)
{
    s->auth->since_ns = s->conn.thread->now_ns;
    s->auth->checking = true;
    s->mode = SMTP_MODE_AUTH_CHECK;
    auth_start(&s->auth->auth, &s->conn, user, password, on_checked);
}

/* A refusal looks like a wrong password, and takes as long. */
static void go_on(struct session_smtp *s, enum sasl_result result)
{
    struct sasl *sasl = &s->auth->sasl;
    struct out *out = &s->conn.out;

    switch (result) {
    case SASL_CHALLENGE:
        out_put(out, S("334 "));
        out_put(out, sasl->challenge);
        out_put(out, S("\r\n"));
        s->mode = SMTP_MODE_AUTH_LINE;
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
        answer(s, SMTP_REPLY_AUTH_CANCELLED);
        return;
    case SASL_MALFORMED:
        answer(s, SMTP_REPLY_AUTH_MALFORMED);
        return;
    }
}

void smtp_auth_begin(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    enum sasl_mechanism mechanism = sasl_mechanism_of(cmd->arg);

    if (mechanism == SASL_NONE) {
        smtp_refuse(s, SMTP_REPLY_MECHANISM);
        return;
    }
    s->auth = malloc(sizeof *s->auth);
    if (!s->auth) {
        smtp_refuse(s, SMTP_REPLY_AUTH_BUSY);
        return;
    }
    s->auth->session = s;
    s->auth->checking = false;
    sasl_start(&s->auth->sasl, mechanism, s->auth->buffer, sizeof s->auth->buffer);
    go_on(s, sasl_initial(&s->auth->sasl, cmd->initial, cmd->has_initial));
    secret_wipe((char *)cmd->initial.at, cmd->initial.len);
}

/* A line that is none ends the exchange as a malformed one does. */
enum smtp_turn smtp_auth_line_step(struct session_smtp *s)
{
    struct conn *c = &s->conn;
    struct smtp_limits limits = config_smtp_limits(smtp_config(s));
    struct slice line = S("");
    enum line_cut cut = LINE_MORE;

    if (c->in.len)
        cut = line_cut(&s->cutter, &c->in, smtp_line_limits(c->in, true, &limits), &line);
    if (cut == LINE_MORE) {
        if (c->eof)
            conn_close(c);
        return SMTP_WAIT;
    }
    smtp_rest(s);
    if (cut == LINE_DONE)
        go_on(s, sasl_line(&s->auth->sasl, line));
    else
        answer(s, cut == LINE_LONG ? SMTP_REPLY_AUTH_LONG : smtp_line_reply(cut));
    secret_wipe((char *)line.at, line.len);
    return SMTP_AGAIN;
}

/* --- the answer ------------------------------------------------------------------ */

static void log_login(const struct session_smtp *s, bool granted, const char *user)
{
    struct event e;
    char text[128];

    if (!event_begin(
            &e, granted ? LEVEL_INFO : LEVEL_NOTICE, granted ? "login" : "login-failed"))
        return;
    event_string(&e, "protocol", "submission");
    event_string(&e, "user", user);
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, text, sizeof text));
    if (conn_is_tls(&s->conn))
        event_text(&e, "tls", conn_tls_text(&s->conn, text, sizeof text));
    event_end(&e);
}

static void on_login_end(struct login *login)
{
    struct session_smtp *s = container_of(login, struct session_smtp, login);

    s->ended = true;
    conn_wake(&s->conn);
}

/* The connection stays on its thread: mail goes to the owners of its recipients. */
static enum smtp_reply log_in(struct session_smtp *s, struct auth *auth)
{
    login_begin(&s->login, auth);
    s->user = strdup(auth->user);
    if (!s->user || !login_stay(&s->login, &s->conn, on_login_end)) {
        smtp_auth_forget(s);
        return SMTP_REPLY_AUTH_FAILED;
    }
    s->errors = 0;
    return SMTP_REPLY_AUTH_OK;
}

static enum smtp_reply failed(struct session_smtp *s)
{
    s->failures++;
    return s->failures < smtp_config(s)->max_failed_logins ? SMTP_REPLY_AUTH_FAILED
                                                           : SMTP_REPLY_AUTH_TOO_MANY;
}

static enum smtp_reply reply_of(struct session_smtp *s, struct auth *auth)
{
    switch (auth->result) {
    case AUTH_OK:
        log_login(s, true, auth->user);
        stats_end(&s->conn.thread->stats, TIMES_submission_login, s->auth->since_ns);
        return log_in(s, auth);
    case AUTH_FAILED:
        log_login(s, false, auth->user);
        return failed(s);
    case AUTH_BUSY:
    case AUTH_TOO_MANY:
        auth_log_refused(auth, &s->conn, "submission");
        break;
    }
    return SMTP_REPLY_AUTH_BUSY;
}

enum smtp_turn smtp_auth_check_step(struct session_smtp *s)
{
    enum smtp_reply reply;

    if (s->auth->checking)
        return SMTP_WAIT;
    reply = reply_of(s, &s->auth->auth);
    smtp_offer(s);
    answer(s, reply);
    return SMTP_AGAIN;
}
