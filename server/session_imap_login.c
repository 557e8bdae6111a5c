/* LOGIN, AUTHENTICATE and STARTTLS.
 *
 *   START --> LINE (AUTHENTICATE only) --> CHECK --> MOVE --> OPEN --> logged in
 *                                                  to the thread that owns the user
 *
 * Between MOVE and OPEN the connection changes threads; from then on everything the
 * session does stays on that thread.
 */
#include <stdlib.h>

#include "proto/sasl/sasl.h"
#include "server/config.h"
#include "server/log.h"
#include "server/session_imap_work.h"
#include "server/tls.h"

struct login_cursor {
    enum { LOGIN_START, LOGIN_LINE, LOGIN_CHECK, LOGIN_MOVE, LOGIN_OPEN } at;
    struct session_imap *session;
    struct auth auth;
    bool granted; /* the auth holds something that login_begin() takes over */
    bool secret;  /* sasl has been started */
    bool stays;   /* login_stay() said yes */
    struct sasl sasl;
    struct imap_request open;
    char buffer[SASL_BUFFER_MIN];
};

/* --- STARTTLS ---------------------------------------------------------------------- */

enum turn imap_step_starttls(struct session_imap *s)
{
    struct conn *c = &s->conn;

    if (conn_is_tls(c))
        return imap_bad(s, S("TLS is active already"));
    if (!c->thread->tls || !tls_context_serves(c->thread->tls))
        return imap_bad(s, S("TLS is not available"));
    imap_put_status(&c->out, s->work->cmd.tag, S("OK"), S(""), S("Begin TLS now"));
    imap_work_end(s);
    conn_starttls(c);
    return TURN_WAIT;
}

/* --- passwords --------------------------------------------------------------------- */

/* Everything of the command behind its tag, which the reply still needs. */
static void wipe_command(struct session_imap *s)
{
    struct imap_work *w = s->work;
    struct slice command = w->command;

    slice_take(&command, w->cmd.tag.len);
    secret_wipe((char *)command.at, command.len);
    if (w->cmd.verb == IMAP_LOGIN)
        secret_wipe((char *)w->cmd.login.password.at, w->cmd.login.password.len);
}

/* What the auth holds for us passes to the session's login. */
static void take_grant(struct session_imap *s, struct login_cursor *l)
{
    if (l->granted)
        login_begin(&s->login, &l->auth);
    l->granted = false;
}

static void login_drop(struct session_imap *s)
{
    struct login_cursor *l = s->work->cursor;

    if (l->secret)
        sasl_wipe(&l->sasl);
    take_grant(s, l);
    if (l->open.session && l->open.status == STATUS_OK && !s->user)
        user_close(l->open.user_open.user);
}

static struct login_cursor *begin(struct session_imap *s)
{
    struct login_cursor *l;

    if (!conn_may_login(&s->conn)) {
        wipe_command(s);
        imap_no(s, S("[PRIVACYREQUIRED]"), S("TLS is required before login"));
        return NULL;
    }
    l = imap_cursor(s, sizeof *l);
    if (l) {
        l->session = s;
        s->work->drop = login_drop;
    }
    return l;
}

static void on_auth(struct auth *auth)
{
    struct login_cursor *l = container_of(auth, struct login_cursor, auth);

    l->granted = auth->result == AUTH_OK;
    imap_landed(l->session);
}

static void check(
    struct session_imap *s, struct login_cursor *l, struct slice user, struct slice pass)
{
    l->at = LOGIN_CHECK;
    s->work->timed = false;
    s->work->since_ns = s->conn.thread->now_ns;
    imap_owe(s);
    auth_start(&l->auth, &s->conn, user, pass, on_auth);
    wipe_command(s);
}

static void log_login(struct session_imap *s, bool granted, struct slice user)
{
    struct event e;
    char text[128];

    if (!event_begin(
            &e, granted ? LEVEL_INFO : LEVEL_NOTICE, granted ? "login" : "login-failed"))
        return;
    event_string(&e, "protocol", "imap");
    event_text(&e, "user", user);
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, text, sizeof text));
    if (conn_is_tls(&s->conn))
        event_text(&e, "tls", conn_tls_text(&s->conn, text, sizeof text));
    event_end(&e);
}

/* RFC 5530: one answer for a wrong password and an unknown user. The connection has only
 * so many tries (matrix A08). */
static enum turn failed(struct session_imap *s)
{
    uint64_t max = s->conn.thread->config->max_failed_logins;

    s->failures++;
    if (s->failures < max)
        return imap_no(s, S("[AUTHENTICATIONFAILED]"), S("Authentication failed"));
    imap_put_status(&s->conn.out, s->work->cmd.tag, S("NO"), S("[AUTHENTICATIONFAILED]"),
        S("Authentication failed"));
    imap_bye(s, S("Too many failed logins"));
    return TURN_WAIT;
}

/* --- to the owner's thread -----------------------------------------------------------
 */

static void on_login_end(struct login *login)
{
    struct session_imap *s = container_of(login, struct session_imap, login);
    bool answering =
        s->work && s->work->phase == IMAP_PHASE_RUN && s->work->cmd.verb == IMAP_FETCH;

    s->ended = true;
    if (answering || conn_congested(&s->conn)) /* the rest is not for this client */
        conn_abort(&s->conn);
    else
        conn_wake(&s->conn);
}

static void on_arrived(struct conn *c)
{
    struct session_imap *s = imap_of(c);
    struct login_cursor *l = s->work->cursor;

    l->at = LOGIN_OPEN;
    l->stays = login_stay(&s->login, c, on_login_end);
    conn_wake(c);
}

static enum turn checked(struct session_imap *s, struct login_cursor *l)
{
    struct slice user = slice_str(l->auth.user);

    switch (l->auth.result) {
    case AUTH_FAILED:
        log_login(s, false, user);
        return failed(s);
    case AUTH_BUSY:
        auth_log_refused(&l->auth, &s->conn, "imap");
        return imap_no(s, S("[UNAVAILABLE]"), S("Try again later"));
    case AUTH_TOO_MANY:
        auth_log_refused(&l->auth, &s->conn, "imap");
        return imap_no(s, S("[LIMIT]"), S("Too many connections of this user"));
    case AUTH_OK:
        break;
    }
    s->name = strdup(l->auth.user);
    if (!s->name)
        return imap_no(s, S("[LIMIT]"), S("Out of memory"));
    take_grant(s, l);
    l->at = LOGIN_MOVE;
    conn_move(&s->conn, thread_of_user(s->conn.thread, user), on_arrived);
    return TURN_WAIT;
}

static void log_unavailable(const struct session_imap *s, enum status status)
{
    struct event e;

    if (!event_begin(&e, LEVEL_ERROR, "imap-unavailable"))
        return;
    event_string(&e, "user", s->name);
    event_string(&e, "status", status_text(status));
    event_end(&e);
}

static enum turn opened(struct session_imap *s, struct login_cursor *l)
{
    struct slice name = slice_str(s->name);

    if (l->open.status == STATUS_OK) {
        s->user = l->open.user_open.user;
        s->state = IMAP_STATE_USER;
        s->errors = 0;
        conn_input_limit(&s->conn, imap_input_room(s));
        log_login(s, true, name);
        return imap_ok_code(s, imap_capability_code(s));
    }
    log_unavailable(s, l->open.status);
    login_end(&s->login, s->conn.thread);
    free(s->name);
    s->name = NULL;
    return imap_answer(s, l->open.status, S("[UNAVAILABLE]"), S("[LIMIT]"));
}

static enum turn open_user(struct session_imap *s, struct login_cursor *l)
{
    struct thread *t = s->conn.thread;
    struct slice name = slice_str(s->name);

    if (!l->stays) {
        imap_bye(s, S("Your account has changed"));
        return TURN_WAIT;
    }
    if (l->open.session)
        return opened(s, l);
    imap_ask(s, &l->open);
    l->open.user_open.name = name;
    l->open.user_open.create = true;
    user_open(shard_store(t, shard_of_user(t, name)), &l->open.user_open);
    return TURN_WAIT;
}

static enum turn go_on(struct session_imap *s, struct login_cursor *l)
{
    if (s->work->pending)
        return TURN_WAIT;
    if (l->at == LOGIN_CHECK)
        return checked(s, l);
    return l->at == LOGIN_OPEN ? open_user(s, l) : TURN_WAIT;
}

enum turn imap_step_login(struct session_imap *s)
{
    const struct imap_cmd *cmd = &s->work->cmd;
    struct login_cursor *l = s->work->cursor;

    if (l)
        return go_on(s, l);
    l = begin(s);
    if (!l)
        return TURN_DONE;
    check(s, l, cmd->login.user, cmd->login.password);
    return TURN_WAIT;
}

/* --- AUTHENTICATE: RFC 3501, 6.2.2; RFC 4959 ------------------------------------------
 */

static enum turn sasl_turn(
    struct session_imap *s, struct login_cursor *l, enum sasl_result result)
{
    struct out *out = &s->conn.out;

    switch (result) {
    case SASL_CHALLENGE:
        out_put(out, S("+ "));
        out_put(out, l->sasl.challenge);
        out_put(out, S("\r\n"));
        l->at = LOGIN_LINE;
        s->work->timed = true;
        return TURN_AGAIN;
    case SASL_DONE:
        check(s, l, l->sasl.user, l->sasl.password);
        sasl_wipe(&l->sasl);
        return TURN_WAIT;
    case SASL_CANCELLED:
        return imap_bad(s, S("Authentication cancelled"));
    case SASL_MALFORMED:
        return imap_bad(s, S("Invalid authentication data"));
    case SASL_REFUSED: /* takes as long as a wrong password */
        check(s, l, S(""), S(""));
        return TURN_WAIT;
    }
    CHECK(false);
    return TURN_DONE;
}

static enum turn start(struct session_imap *s)
{
    const struct imap_cmd *cmd = &s->work->cmd;
    enum sasl_mechanism mechanism = sasl_mechanism_of(cmd->authenticate.mechanism);
    struct login_cursor *l = begin(s);

    if (!l)
        return TURN_DONE;
    if (mechanism == SASL_NONE)
        return imap_no(s, S("[CANNOT]"), S("Mechanism not supported"));
    sasl_start(&l->sasl, mechanism, l->buffer, sizeof l->buffer);
    l->secret = true;
    return sasl_turn(s, l,
        sasl_initial(&l->sasl, cmd->authenticate.initial, cmd->authenticate.has_initial));
}

static enum turn read_line(struct session_imap *s, struct login_cursor *l)
{
    struct imap_work *w = s->work;
    struct conn *c = &s->conn;
    struct imap_limits limits = imap_limits(s);
    enum sasl_result result;
    struct slice line;

    switch (imap_collect_line(&w->collect, c->in, SASL_LINE_MAX, &limits)) {
    case IMAP_COLLECT_MORE:
        if (c->eof)
            conn_close(c);
        return TURN_WAIT;
    case IMAP_COLLECT_LINE:
        line = slice_take(&c->in, w->collect.bytes);
        line.len -= S("\r\n").len;
        result = sasl_line(&l->sasl, line);
        secret_wipe((char *)line.at, line.len);
        return sasl_turn(s, l, result);
    case IMAP_COLLECT_REFUSED:
    case IMAP_COLLECT_SKIP:
        w->skipping = true;
        slice_take(&c->in, w->collect.bytes);
        return imap_bad(s, S("Invalid authentication data"));
    case IMAP_COLLECT_CONTINUE:
    case IMAP_COLLECT_COMMAND:
    case IMAP_COLLECT_APPEND:
    case IMAP_COLLECT_CLOSE:
        break;
    }
    imap_bye(s, S("Line too long"));
    return TURN_WAIT;
}

enum turn imap_step_authenticate(struct session_imap *s)
{
    struct login_cursor *l = s->work->cursor;

    if (!l)
        return start(s);
    return l->at == LOGIN_LINE ? read_line(s, l) : go_on(s, l);
}
