#include "server/session_pop3.h"

#include <stdlib.h>

#include "server/log.h"
#include "server/session_pop3_work.h"

/* --- replies ------------------------------------------------------------------- */

void pop3_say(struct session_pop3 *s, enum pop3_reply reply)
{
    out_put(&s->conn.out, pop3_reply_text(reply));
}

/* The next session of the user need not wait until this one's peer has closed, too. */
static void hang_up(struct session_pop3 *s)
{
    pop3_drop_close(s);
    conn_close(&s->conn);
}

void pop3_bye(struct session_pop3 *s, enum pop3_reply reply)
{
    pop3_say(s, reply);
    hang_up(s);
}

void pop3_part(struct session_pop3 *s, enum pop3_reply reply)
{
    pop3_say(s, reply);
    pop3_drop_close(s);
    conn_part(&s->conn);
}

void pop3_refuse(struct session_pop3 *s, enum pop3_reply reply)
{
    if (s->errors < UINT16_MAX)
        s->errors++;
    if (reply == POP3_REPLY_LINE_FLOOD)
        pop3_bye(s, reply);
    else if (s->errors >= pop3_config(s)->max_pop3_errors)
        pop3_bye(s, POP3_REPLY_ERRORS);
    else
        pop3_say(s, reply);
}

void pop3_rest(struct session_pop3 *s)
{
    const struct config *config = pop3_config(s);
    bool login = s->state != POP3_MAIL;

    s->mode = POP3_MODE_COMMAND;
    conn_deadline(
        &s->conn, (unsigned)(login ? config->login_timeout : config->pop3_timeout));
}

/* --- commands -------------------------------------------------------------------- */

/* AUTH alone asks which mechanisms there are. */
static void list_mechanisms(struct session_pop3 *s)
{
    out_put(&s->conn.out, S("+OK Mechanisms follow\r\n"));
    if (conn_may_login(&s->conn))
        out_put(&s->conn.out, S("PLAIN\r\nLOGIN\r\n"));
    out_put(&s->conn.out, S(".\r\n"));
}

/* What AUTHORIZATION has is announced in TRANSACTION too (RFC 2449, 5; RFC 5034, 3). */
static void capa(struct session_pop3 *s)
{
    pop3_put_capa(&s->conn.out, conn_may_login(&s->conn), pop3_may_start_tls(s));
}

static void quit(struct session_pop3 *s)
{
    if (s->state == POP3_MAIL)
        pop3_update(s);
    else
        pop3_part(s, POP3_REPLY_BYE);
}

static enum pop3_turn perform(struct session_pop3 *s, const struct pop3_cmd *cmd)
{
    switch (cmd->verb) {
    case POP3_VERB_USER:
        pop3_user(s, cmd->text);
        break;
    case POP3_VERB_PASS:
        pop3_pass(s, cmd->text);
        break;
    case POP3_VERB_AUTH:
        if (cmd->text.len)
            pop3_auth(s, cmd);
        else
            list_mechanisms(s);
        break;
    case POP3_VERB_STLS:
        return pop3_stls(s);
    case POP3_VERB_CAPA:
        capa(s);
        break;
    case POP3_VERB_QUIT:
        quit(s);
        break;
    case POP3_VERB_NOOP:
        pop3_say(s, POP3_REPLY_OK);
        break;
    case POP3_VERB_STAT:
    case POP3_VERB_LIST:
    case POP3_VERB_UIDL:
    case POP3_VERB_RETR:
    case POP3_VERB_TOP:
        pop3_begin(s, cmd);
        break;
    case POP3_VERB_DELE:
        pop3_dele(s, cmd->message);
        break;
    case POP3_VERB_RSET:
        pop3_rset(s);
        break;
    case POP3_VERB_UNKNOWN:
        break;
    }
    return POP3_AGAIN;
}

static enum pop3_turn execute(struct session_pop3 *s, struct slice line)
{
    struct pop3_cmd cmd;
    enum pop3_reply reply = pop3_parse(line, (enum pop3_state)s->state, &cmd);

    s->since_ns = s->conn.thread->now_ns;
    if (reply == POP3_REPLY_NONE)
        return perform(s, &cmd);
    if (cmd.verb == POP3_VERB_PASS || cmd.verb == POP3_VERB_AUTH)
        secret_wipe((char *)line.at, line.len);
    pop3_refuse(s, reply);
    return POP3_AGAIN;
}

/* --- the run loop ---------------------------------------------------------------- */

static enum pop3_turn starve(struct session_pop3 *s)
{
    if (s->conn.eof)
        hang_up(s);
    return POP3_WAIT;
}

/* The server stops, or the account has changed. */
static enum pop3_turn dismiss(struct session_pop3 *s)
{
    if (s->stopping) {
        pop3_bye(s, POP3_REPLY_SHUTDOWN);
        return POP3_WAIT;
    }
    out_put(&s->conn.out, S("-ERR [AUTH] Your account has changed\r\n"));
    hang_up(s);
    return POP3_WAIT;
}

static enum pop3_turn command(struct session_pop3 *s)
{
    struct conn *c = &s->conn;
    struct slice line;
    enum line_cut cut;

    if (s->stopping || s->ended)
        return dismiss(s);
    if (c->in.len == 0)
        return starve(s);
    if (pop3_pace(s, 1) == POP3_YIELD)
        return POP3_YIELD;
    cut = line_cut(&s->cutter, &c->in, pop3_line_limits(false), &line);
    if (cut == LINE_MORE)
        return starve(s);
    s->commands++;
    pop3_rest(s);
    if (cut == LINE_DONE)
        return execute(s, line);
    pop3_refuse(s, pop3_line_reply(cut));
    return POP3_AGAIN;
}

static enum pop3_turn advance(struct session_pop3 *s)
{
    if (s->drop && s->drop->owed)
        return POP3_WAIT;
    switch ((enum pop3_mode)s->mode) {
    case POP3_MODE_COMMAND:
        return command(s);
    case POP3_MODE_AUTH_LINE:
        return pop3_auth_line_step(s);
    case POP3_MODE_CHECK:
        return pop3_check_step(s);
    case POP3_MODE_OPEN:
        return pop3_open_step(s);
    case POP3_MODE_SIZE:
        return pop3_size_step(s);
    case POP3_MODE_LIST:
        return pop3_list_step(s);
    case POP3_MODE_READ:
        return pop3_read_step(s);
    case POP3_MODE_RESET:
        return pop3_reset_step(s);
    case POP3_MODE_COLLECT:
        return pop3_collect_step(s);
    case POP3_MODE_UPDATE:
        return pop3_update_step(s);
    case POP3_MODE_MOVE:
        break;
    }
    return POP3_WAIT;
}

bool pop3_goes_on(struct session_pop3 *s)
{
    if (!thread_has_time(s->conn.thread))
        return false;
    s->units = POP3_LOOK_UNITS;
    return true;
}

static void session_run(struct conn *c)
{
    struct session_pop3 *s = pop3_of(c);
    enum pop3_turn turn = POP3_AGAIN;

    s->units = POP3_LOOK_UNITS;
    while (turn == POP3_AGAIN && !c->closing)
        turn = conn_congested(c) ? POP3_WAIT : advance(s);
    if (turn == POP3_YIELD && !c->closing)
        conn_wake(c);
}

/* --- the session ------------------------------------------------------------------- */

static void session_open(struct conn *c)
{
    struct session_pop3 *s = pop3_of(c);

    pop3_rest(s);
    pop3_say(s, POP3_REPLY_GREETING);
}

/* RFC 1939, 3: closed without a word, and nothing is deleted. While the session waits for
 * the disk or a password check the client is not to blame. */
static void session_timeout(struct conn *c)
{
    struct session_pop3 *s = pop3_of(c);

    if (s->mode == POP3_MODE_COMMAND || s->mode == POP3_MODE_AUTH_LINE)
        hang_up(s);
    else
        conn_deadline(c, c->deadline_s);
}

static void session_stop(struct conn *c)
{
    pop3_of(c)->stopping = true;
    conn_wake(c);
}

static void log_end(const struct session_pop3 *s)
{
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_INFO, "pop3-end"))
        return;
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, peer, sizeof peer));
    if (s->state == POP3_MAIL)
        event_string(&e, "user", s->name);
    event_number(&e, "commands", s->commands);
    event_number(&e, "retrieved", s->retrieved);
    event_number(&e, "octets", s->octets);
    event_number(&e, "deleted", s->deleted);
    if (s->conn.error)
        event_number(&e, "errno", (uint64_t)s->conn.error);
    event_end(&e);
}

static void release(struct session_pop3 *s)
{
    log_end(s);
    pop3_drop_close(s);
    pop3_forget(s);
    conn_free(&s->conn);
}

static bool is_owed(const struct session_pop3 *s)
{
    return (s->drop && s->drop->owed) || (s->auth && s->auth->checking);
}

void pop3_landed(struct session_pop3 *s)
{
    if (!s->gone)
        conn_wake(&s->conn);
    else if (!is_owed(s))
        release(s);
}

static void session_closed(struct conn *c)
{
    struct session_pop3 *s = pop3_of(c);

    s->gone = true;
    if (!is_owed(s))
        release(s);
}

const struct session_calls session_pop3_calls = {
    .session_bytes = sizeof(struct session_pop3),
    .open = session_open,
    .run = session_run,
    .timeout = session_timeout,
    .stop = session_stop,
    .closed = session_closed,
    .refusal = SI("-ERR [SYS/TEMP] Too many connections, try later\r\n"),
};
