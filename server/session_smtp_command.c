/* The commands that need no waiting. */
#include <stdlib.h>

#include "server/route.h"
#include "server/session_smtp_work.h"

/* --- HELO and EHLO ------------------------------------------------------------- */

/* What the session was before counts until the checks have passed (RFC 5321, 4.1.4). */
static void hello(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    char *said = malloc(cmd->arg.len + 1);

    if (!said) {
        smtp_bye(s, SMTP_REPLY_BUSY);
        return;
    }
    memcpy(said, cmd->arg.at, cmd->arg.len);
    said[cmd->arg.len] = '\0';
    s->chain->hello = said;
    s->chain->esmtp = cmd->verb != SMTP_VERB_HELO;
    smtp_policy_ask(s, POLICY_HELO);
}

void smtp_hello_refused(struct session_smtp *s)
{
    free(s->chain->hello);
    s->chain->hello = NULL;
}

void smtp_hello_done(struct session_smtp *s)
{
    const struct config *config = smtp_config(s);
    const struct smtp_values values = {
        .mechanisms = S("PLAIN LOGIN"),
        .rcpt_max = (uint32_t)config->max_recipients,
        .mail_max = (uint32_t)config->max_messages_connection,
        .domain_max = (uint32_t)config->max_recipient_domains,
    };
    struct smtp_rules rules;

    smtp_reset(s); /* EHLO in a session is a RSET too */
    free(s->helo);
    s->helo = s->chain->hello;
    s->chain->hello = NULL;
    s->esmtp = s->chain->esmtp;
    smtp_offer(s);
    s->state = SMTP_READY;
    rules = smtp_rules_of(s);
    rules.offers = s->offers;
    smtp_put_hello(&s->conn.out, s->esmtp ? SMTP_VERB_EHLO : SMTP_VERB_HELO,
        slice_str(config->hostname), &rules, &values);
    smtp_rest(s);
}

/* --- MAIL ------------------------------------------------------------------------ */

static enum smtp_reply judge_login(const struct session_smtp *s)
{
    if (!smtp_is_submission(s) || s->user)
        return SMTP_REPLY_NONE;
    if (!(s->offers & SMTP_OFFER_AUTH) && (s->offers & SMTP_OFFER_STARTTLS))
        return SMTP_REPLY_TLS_NEEDED;
    return SMTP_REPLY_AUTH_NEEDED;
}

static enum smtp_reply judge_sender(
    const struct session_smtp *s, const struct smtp_path *sender)
{
    const struct thread *t = s->conn.thread;
    const struct account *account;

    if (thread_short_of_memory(t))
        return SMTP_REPLY_NO_SPACE;
    if (!s->user)
        return SMTP_REPLY_NONE;
    account = accounts_find(t->accounts, slice_str(s->user));
    return account && !account->disabled && route_may_send(t->accounts, account, sender)
        ? SMTP_REPLY_NONE
        : SMTP_REPLY_SENDER_DENIED;
}

static bool begin_message(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    struct arena arena = arena_of(SMTP_NAMES_BYTES_MAX);
    struct smtp_message *m = arena_zero(&arena, sizeof *m);

    if (!m)
        return false;
    m->arena = arena;
    if (!smtp_keep(&m->arena, cmd, &m->mail)) {
        arena = m->arena;
        arena_reset(&arena);
        return false;
    }
    smtp_names_init(&m->users);
    smtp_names_init(&m->others);
    s->message = m;
    return true;
}

static void mail(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    enum smtp_reply reply = judge_login(s);

    if (reply == SMTP_REPLY_NONE)
        reply = judge_sender(s, &cmd->path);
    if (reply == SMTP_REPLY_NONE && !begin_message(s, cmd))
        reply = SMTP_REPLY_NO_SPACE;
    if (reply != SMTP_REPLY_NONE) {
        smtp_refuse(s, reply);
        return;
    }
    policy_begin(s->chain->policy);
    smtp_policy_ask(s, POLICY_MAIL);
}

void smtp_mail_done(struct session_smtp *s)
{
    s->state = SMTP_MAIL;
    smtp_say(s, SMTP_REPLY_SENDER_OK);
}

/* --- all of them --------------------------------------------------------------- */

/* MAILMAX and RCPTMAX limit commands, whether they succeed or not (RFC 9422, 4). NONE, or
 * that it is one too many: for RCPT that is said by smtp_rcpt(), which logs it too. */
static enum smtp_reply count_command(struct session_smtp *s, enum smtp_verb verb)
{
    uint64_t mail_max = smtp_config(s)->max_messages_connection;

    if (verb == SMTP_VERB_RCPT && s->message && s->message->tried < UINT32_MAX)
        s->message->tried++;
    if (verb != SMTP_VERB_MAIL || mail_max == 0)
        return SMTP_REPLY_NONE;
    return ++s->mails > mail_max ? SMTP_REPLY_TOO_MANY_MESSAGES : SMTP_REPLY_NONE;
}

/* Why a command that EHLO does not announce is refused: because it is not to be had
 * here, or not any more, or not yet. */
static enum smtp_reply not_offered(const struct session_smtp *s, enum smtp_verb verb)
{
    if (verb == SMTP_VERB_STARTTLS && conn_is_tls(&s->conn))
        return SMTP_REPLY_TLS_ON;
    if (verb == SMTP_VERB_AUTH && s->user)
        return SMTP_REPLY_AUTH_TWICE;
    if (verb == SMTP_VERB_AUTH && smtp_is_submission(s))
        return SMTP_REPLY_AUTH_PLAIN_TEXT;
    return SMTP_REPLY_NOT_OFFERED;
}

static void refuse(
    struct session_smtp *s, const struct smtp_cmd *cmd, enum smtp_reply reply)
{
    if (cmd->verb == SMTP_VERB_BDAT && reply != SMTP_REPLY_BAD_CHUNK) {
        smtp_refuse_chunk(s, cmd, reply);
        return;
    }
    if (cmd->verb == SMTP_VERB_AUTH)
        secret_wipe((char *)cmd->initial.at, cmd->initial.len);
    smtp_refuse(s, reply);
}

static enum smtp_turn perform(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    switch (cmd->verb) {
    case SMTP_VERB_HELO:
    case SMTP_VERB_EHLO:
    case SMTP_VERB_LHLO:
        hello(s, cmd);
        break;
    case SMTP_VERB_MAIL:
        mail(s, cmd);
        break;
    case SMTP_VERB_RCPT:
        smtp_rcpt(s, cmd);
        break;
    case SMTP_VERB_DATA:
        smtp_data(s);
        break;
    case SMTP_VERB_BDAT:
        smtp_bdat(s, cmd);
        break;
    case SMTP_VERB_RSET:
        smtp_reset(s);
        smtp_say(s, SMTP_REPLY_OK);
        break;
    case SMTP_VERB_NOOP:
        smtp_say(s, SMTP_REPLY_OK);
        break;
    case SMTP_VERB_QUIT:
        smtp_say(s, SMTP_REPLY_BYE);
        conn_part(&s->conn);
        break;
    case SMTP_VERB_VRFY:
        smtp_verify(s, cmd);
        break;
    case SMTP_VERB_EXPN:
        smtp_expand(s, cmd);
        break;
    case SMTP_VERB_HELP:
        smtp_say(s, SMTP_REPLY_HELP);
        break;
    case SMTP_VERB_AUTH:
        smtp_auth_begin(s, cmd);
        break;
    case SMTP_VERB_STARTTLS:
        return smtp_starttls(s);
    case SMTP_VERB_XCLIENT:
        smtp_xclient(s, cmd);
        break;
    case SMTP_VERB_UNKNOWN:
        break;
    }
    return SMTP_AGAIN;
}

enum smtp_turn smtp_execute(struct session_smtp *s, struct slice line)
{
    const struct smtp_rules rules = smtp_rules_of(s);
    struct smtp_cmd cmd;
    enum smtp_reply reply = smtp_parse(line, &rules, &cmd);
    enum smtp_reply order = count_command(s, cmd.verb);

    if (s->turned_away && cmd.verb != SMTP_VERB_QUIT) /* RFC 5321, 3.1 */
        order = SMTP_REPLY_TURNED_AWAY;
    else if (order != SMTP_REPLY_NONE)
        reply = order;
    else if (reply == SMTP_REPLY_NOT_OFFERED)
        reply = not_offered(s, cmd.verb);
    else if (cmd.verb == SMTP_VERB_AUTH && s->user)
        reply = SMTP_REPLY_AUTH_TWICE;
    else if (reply == SMTP_REPLY_NONE || reply == SMTP_REPLY_TOO_BIG)
        order = smtp_order((enum smtp_state)s->state, cmd.verb);
    if (order != SMTP_REPLY_NONE)
        reply = order;
    if (reply == SMTP_REPLY_NONE)
        return perform(s, &cmd);
    refuse(s, &cmd, reply);
    return SMTP_AGAIN;
}
