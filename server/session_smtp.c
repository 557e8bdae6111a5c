#include "server/session_smtp.h"

#include <stdlib.h>

#include "server/config_limits.h"
#include "server/log.h"
#include "server/session_smtp_work.h"
#include "server/tls.h"

/* --- replies ------------------------------------------------------------------- */

void smtp_say(struct session_smtp *s, enum smtp_reply reply)
{
    out_put(&s->conn.out, smtp_reply_text(reply));
}

void smtp_bye(struct session_smtp *s, enum smtp_reply reply)
{
    smtp_say(s, reply);
    conn_close(&s->conn);
}

/* False: that was one too many, and the client has been told. */
static bool count_error(struct session_smtp *s)
{
    if (s->errors < UINT16_MAX)
        s->errors++;
    if (s->errors < smtp_config(s)->max_smtp_errors)
        return true;
    smtp_bye(s, SMTP_REPLY_ERRORS);
    return false;
}

void smtp_refuse(struct session_smtp *s, enum smtp_reply reply)
{
    if (smtp_reply_closes(reply))
        smtp_bye(s, reply);
    else
        smtp_refuse_text(s, smtp_reply_text(reply));
}

void smtp_refuse_text(struct session_smtp *s, struct slice line)
{
    if (line.at[0] == '5') {
        if (count_error(s) && !smtp_delay(s, line))
            out_put(&s->conn.out, line);
        return;
    }
    out_put(&s->conn.out, line);
    if (slice_starts_nocase(line, S("421")))
        conn_close(&s->conn);
}

void smtp_refuse_times(struct session_smtp *s, struct slice line, unsigned times)
{
    if (times == 1) {
        smtp_refuse_text(s, line);
        return;
    }
    for (unsigned i = 0; i < times; i++)
        out_put(&s->conn.out, line);
    if (times && line.at[0] == '5')
        count_error(s);
    if (slice_starts_nocase(line, S("421")))
        conn_close(&s->conn);
}

/* --- between commands ------------------------------------------------------------ */

void smtp_rest(struct session_smtp *s)
{
    const struct config *config = smtp_config(s);
    bool greeted = s->state != SMTP_START;

    s->paced = 0;
    conn_deadline(
        &s->conn, (unsigned)(greeted ? config->smtp_timeout : config->login_timeout));
}

/* What has to do with sending on, and with asking about names. Messages of users may be
 * held back (RFC 4865, 4.2: on their port only). Priorities are for those we trust (RFC
 * 6710, 4.1); so are deadlines, which oblige us to reports. */
static unsigned relay_offers(const struct session_smtp *s)
{
    bool users = smtp_is_submission(s);
    unsigned offers = 0;

    if (users || s->trusted || s->user)
        offers |= SMTP_OFFER_MT_PRIORITY | SMTP_OFFER_DELIVERBY;
    if (users)
        offers |= SMTP_OFFER_FUTURERELEASE;
    if (smtp_config(s)->vrfy && (users || s->trusted))
        offers |= SMTP_OFFER_VRFY;
    if (smtp_config(s)->expn && users)
        offers |= SMTP_OFFER_EXPN;
    return offers;
}

/* AUTH is for submission, and where it would carry a password in clear it is not even
 * offered (RFC 4954, 4; RFC 8314, 4.1). REQUIRETLS is for sessions that have it (RFC
 * 8689, 2). By LMTP nothing is queued, so there is nothing to report later (RFC 2033, 3),
 * and nothing can be converted after the answer.
 */
void smtp_offer(struct session_smtp *s)
{
    const struct conn *c = &s->conn;
    unsigned offers = SMTP_OFFER_PIPELINING | SMTP_OFFER_SIZE | SMTP_OFFER_8BITMIME |
        SMTP_OFFER_STATUSCODES | SMTP_OFFER_CHUNKING | SMTP_OFFER_SMTPUTF8 |
        SMTP_OFFER_LIMITS;

    if (!smtp_is_lmtp(s))
        offers |= SMTP_OFFER_BINARYMIME | SMTP_OFFER_DSN | relay_offers(s);
    if (conn_is_tls(c))
        offers |= SMTP_OFFER_REQUIRETLS;
    else if (c->thread->tls && tls_context_serves(c->thread->tls))
        offers |= SMTP_OFFER_STARTTLS;
    if (smtp_is_submission(s) && !s->user && conn_may_login(c))
        offers |= SMTP_OFFER_AUTH;
    if (s->xclient)
        offers |= SMTP_OFFER_XCLIENT;
    s->offers = offers;
}

/* Who has said AUTH may go on to name a sender with AUTH= (RFC 4954, 5). */
struct smtp_rules smtp_rules_of(const struct session_smtp *s)
{
    const struct config *config = smtp_config(s);

    return (struct smtp_rules){
        .offers = s->offers | (s->user ? (unsigned)SMTP_OFFER_AUTH : 0),
        .message_max = config->max_message_size,
        .now_s = s->conn.thread->now_s,
        .hold_max_s = (uint32_t)config->max_hold,
        .lmtp = smtp_is_lmtp(s),
        .utf8 = s->message && s->message->mail.utf8,
    };
}

void smtp_reset(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    struct arena arena;

    if (s->state > SMTP_READY)
        s->state = SMTP_READY;
    if (!m)
        return;
    s->message = NULL;
    delivery_free(m->delivery);
    policy_reset(s->chain->policy);
    arena = m->arena; /* the message lies in it */
    arena_reset(&arena);
}

/* --- the run loop ---------------------------------------------------------------- */

/* The server stops, or the account of the session has changed. */
static enum smtp_turn dismiss(struct session_smtp *s)
{
    if (s->stopping) {
        smtp_bye(s, SMTP_REPLY_SHUTDOWN);
        return SMTP_WAIT;
    }
    conn_pause(&s->conn, false);
    out_put(&s->conn.out, S("421 4.7.0 Your account has changed\r\n"));
    conn_close(&s->conn);
    return SMTP_WAIT;
}

/* Text of an account that has changed is not read to its end, which may be hours away;
 * what is on its way to the disk is answered first. */
static bool is_cut_off(const struct session_smtp *s)
{
    return s->ended &&
        (s->mode == SMTP_MODE_TEXT || s->mode == SMTP_MODE_CHUNK ||
            s->mode == SMTP_MODE_SKIP);
}

static enum smtp_turn starve(struct session_smtp *s)
{
    if (s->conn.eof)
        conn_close(&s->conn);
    return SMTP_WAIT;
}

static enum smtp_turn command(struct session_smtp *s)
{
    struct conn *c = &s->conn;
    struct smtp_limits limits = config_smtp_limits(smtp_config(s));
    struct slice line;
    enum line_cut cut;
    bool chunk;

    if (s->stopping || s->ended)
        return dismiss(s);
    if (c->in.len == 0)
        return starve(s);
    if (s->units-- == 0)
        return SMTP_YIELD;
    chunk = slice_starts_nocase(c->in, S("BDAT"));
    cut = line_cut(&s->cutter, &c->in, smtp_line_limits(c->in, false, &limits), &line);
    if (cut == LINE_MORE)
        return starve(s);
    s->commands++;
    smtp_rest(s);
    if (cut == LINE_DONE)
        return smtp_execute(s, line);
    /* After a BDAT that is no line, its text can't be told from commands. */
    smtp_refuse(s, chunk ? SMTP_REPLY_BAD_CHUNK : smtp_line_reply(cut));
    return SMTP_AGAIN;
}

static enum smtp_turn advance(struct session_smtp *s)
{
    if (is_cut_off(s))
        return dismiss(s);
    switch ((enum smtp_mode)s->mode) {
    case SMTP_MODE_COMMAND:
        return command(s);
    case SMTP_MODE_TEXT:
        return smtp_text_step(s);
    case SMTP_MODE_CHUNK:
        return smtp_chunk_step(s);
    case SMTP_MODE_SKIP:
        return smtp_skip_step(s);
    case SMTP_MODE_COMMIT:
        return smtp_commit_step(s);
    case SMTP_MODE_AUTH_LINE:
        return smtp_auth_line_step(s);
    case SMTP_MODE_AUTH_CHECK:
        return smtp_auth_check_step(s);
    case SMTP_MODE_RCPT:
        return smtp_rcpt_step(s);
    case SMTP_MODE_POLICY:
        return smtp_policy_step(s);
    case SMTP_MODE_DELAY:
        return smtp_delay_step(s);
    }
    return SMTP_WAIT;
}

/* After STARTTLS run() is called again only when the handshake is done. */
static void session_run(struct conn *c)
{
    struct session_smtp *s = smtp_of(c);
    enum smtp_turn turn = SMTP_AGAIN;

    if (c->secure && (s->offers & SMTP_OFFER_STARTTLS)) {
        smtp_offer(s);
        smtp_rest(s);
    }
    s->units = SMTP_SLICE_COMMANDS;
    s->octets = SMTP_SLICE_OCTETS;
    while (turn == SMTP_AGAIN && !c->closing)
        turn = conn_congested(c) ? SMTP_WAIT : advance(s);
    if (turn == SMTP_YIELD && !c->closing)
        conn_wake(c);
}

/* --- the session ------------------------------------------------------------------- */

void smtp_open(struct session_smtp *s)
{
    const struct config_networks *trust = &smtp_config(s)->trust;

    s->state = SMTP_START;
    s->turned_away = false;
    s->trusted = conn_peer_in(&s->conn, trust->at, trust->count);
    smtp_offer(s);
    smtp_rest(s);
    if (smtp_policy_open(s))
        smtp_policy_ask(s, POLICY_CONNECT);
    else
        smtp_bye(s, SMTP_REPLY_BUSY);
}

static void session_open(struct conn *c)
{
    struct session_smtp *s = smtp_of(c);
    const struct config_networks *proxies = &smtp_config(s)->xclient_from;

    s->xclient = conn_peer_in(c, proxies->at, proxies->count);
    smtp_open(s);
}

/* Text must come at a rate, commands after some time; while the session waits for the
 * disk or a password check the client is not to blame. */
static void session_timeout(struct conn *c)
{
    struct session_smtp *s = smtp_of(c);

    switch ((enum smtp_mode)s->mode) {
    case SMTP_MODE_TEXT:
    case SMTP_MODE_CHUNK:
    case SMTP_MODE_SKIP:
        if (s->paced >= SMTP_RATE_MIN * (uint32_t)c->deadline_s ||
            (s->message && s->message->delivery && delivery_busy(s->message->delivery)))
            smtp_rest(s);
        else
            smtp_bye(s, SMTP_REPLY_TOO_SLOW);
        return;
    case SMTP_MODE_COMMIT:
    case SMTP_MODE_AUTH_CHECK:
    case SMTP_MODE_RCPT:
    case SMTP_MODE_POLICY:
    case SMTP_MODE_DELAY:
        smtp_rest(s);
        return;
    case SMTP_MODE_COMMAND:
    case SMTP_MODE_AUTH_LINE:
        smtp_bye(s, SMTP_REPLY_TIMEOUT);
        return;
    }
}

static void session_stop(struct conn *c)
{
    smtp_of(c)->stopping = true;
    conn_wake(c);
}

static void log_end(const struct session_smtp *s)
{
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_INFO, smtp_is_lmtp(s) ? "lmtp-end" : "smtp-end"))
        return;
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, peer, sizeof peer));
    if (s->user)
        event_string(&e, "user", s->user);
    event_number(&e, "commands", s->commands);
    event_number(&e, "stored", s->stored);
    event_number(&e, "refused", s->refused);
    event_number(&e, "rcpts-refused", s->rcpts_refused);
    if (s->conn.error)
        event_number(&e, "errno", (uint64_t)s->conn.error);
    event_end(&e);
}

static void release(struct session_smtp *s)
{
    log_end(s);
    smtp_reset(s);
    smtp_policy_close(s);
    smtp_auth_forget(s);
    free(s->room);
    free(s->domains);
    free(s->helo);
    free(s->peer_name);
    conn_free(&s->conn);
}

static bool is_owed(const struct session_smtp *s)
{
    return (s->auth && s->auth->checking) || (s->room && s->room->asking);
}

void smtp_landed(struct session_smtp *s)
{
    if (!s->gone)
        conn_wake(&s->conn);
    else if (!is_owed(s))
        release(s);
}

static void session_closed(struct conn *c)
{
    struct session_smtp *s = smtp_of(c);

    s->gone = true;
    if (!is_owed(s))
        release(s);
}

const struct session_calls session_smtp_calls = {
    .session_bytes = sizeof(struct session_smtp),
    .open = session_open,
    .run = session_run,
    .timeout = session_timeout,
    .stop = session_stop,
    .closed = session_closed,
    .refusal = SI("421 4.7.0 Too many connections\r\n"),
};
