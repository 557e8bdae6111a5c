/* XCLIENT: a proxy that we trust (--xclient-from) says for whom it speaks. Then the
 * session begins anew, with the greeting, as if that client had connected. */
#include <stdlib.h>

#include "proto/smtp/smtp_xclient.h"
#include "server/log.h"
#include "server/network.h"
#include "server/session_smtp_work.h"

enum { XCLIENT_BYTES_MAX = 4096 };

/* An address that the proxy does not know is nobody's, and trusted by nobody. */
static bool take_address(
    struct slice text, bool six, uint16_t port, struct address *address)
{
    struct network n;

    if (text.len == 0)
        text = S("0.0.0.0");
    if (slice_find(text, '/') < text.len || !network_parse(text, &n))
        return false;
    *address = (struct address){.family = AF_INET6, .port = port};
    memcpy(address->bytes, n.bytes, sizeof address->bytes);
    *address = address_plain(address);
    return six || slice_find(text, ':') == text.len;
}

static char *text_of(struct slice s)
{
    return strndup(s.at, s.len);
}

/* Replaces *field; an empty value is none. False: no memory. */
static bool set(char **field, struct slice value)
{
    char *copy = value.len ? text_of(value) : NULL;

    if (value.len && !copy)
        return false;
    free(*field);
    *field = copy;
    return true;
}

static void log_xclient(const struct session_smtp *s)
{
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_INFO, "xclient"))
        return;
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, peer, sizeof peer));
    if (s->peer_name)
        event_string(&e, "name", s->peer_name);
    if (s->user)
        event_string(&e, "user", s->user);
    event_end(&e);
}

/* A login has the name of an account in the form in which accounts have it. */
static bool find_login(
    const struct session_smtp *s, struct slice login, struct slice *name)
{
    const struct accounts *accounts = s->conn.thread->accounts;
    char folded[ACCOUNT_NAME_MAX];
    const struct account *account;

    *name = S("");
    if (login.len == 0)
        return true;
    if (login.len > sizeof folded)
        return false;
    for (size_t i = 0; i < login.len; i++)
        folded[i] = ascii_lower(login.at[i]);
    account = accounts_find(accounts, slice_of(folded, login.len));
    if (account)
        *name = account->name;
    return account != NULL;
}

static bool is_helo(struct slice helo)
{
    struct smtp_cmd cmd;
    const struct smtp_rules rules = {0};
    char line[SMTP_DOMAIN_MAX + 8];
    struct out out = out_of(line, sizeof line);

    out_put(&out, S("HELO "));
    out_put(&out, helo);
    return helo.len == 0 ||
        (!out.full && smtp_parse(out_slice(&out), &rules, &cmd) == SMTP_REPLY_NONE);
}

/* NONE, or why it is refused; *peer and *user are what they are from now on. */
static enum smtp_reply judge(const struct session_smtp *s, const struct smtp_xclient *x,
    struct address *peer, struct slice *user)
{
    const struct slice *v = x->value;
    struct address to;

    *peer = s->conn.peer;
    if (x->given[SMTP_XCLIENT_ADDR] &&
        !take_address(v[SMTP_XCLIENT_ADDR], x->six, x->port, peer))
        return SMTP_REPLY_BAD_PARAM;
    if (v[SMTP_XCLIENT_DESTADDR].len &&
        !take_address(v[SMTP_XCLIENT_DESTADDR], true, 0, &to))
        return SMTP_REPLY_BAD_PARAM;
    if (!is_helo(v[SMTP_XCLIENT_HELO]) || v[SMTP_XCLIENT_NAME].len > SMTP_DOMAIN_MAX ||
        (v[SMTP_XCLIENT_NAME].len && !smtp_is_domain(v[SMTP_XCLIENT_NAME], false)))
        return SMTP_REPLY_BAD_PARAM;
    return find_login(s, v[SMTP_XCLIENT_LOGIN], user) ? SMTP_REPLY_NONE
                                                      : SMTP_REPLY_AUTH_FAILED;
}

/* What was known of the client before is not this one's: neither its login nor its
 * greeting, and an address without a name has none. False: no memory. */
static bool believe(struct session_smtp *s, const struct smtp_xclient *x,
    const struct address *peer, struct slice user)
{
    const struct slice *v = x->value;

    s->conn.peer = *peer;
    if (x->given[SMTP_XCLIENT_PROTO])
        s->esmtp = x->esmtp;
    smtp_auth_forget(s);
    if (!set(&s->user, user) || !set(&s->helo, v[SMTP_XCLIENT_HELO]))
        return false;
    return (!x->given[SMTP_XCLIENT_NAME] && !x->given[SMTP_XCLIENT_ADDR]) ||
        set(&s->peer_name, v[SMTP_XCLIENT_NAME]);
}

void smtp_xclient(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    char room[XCLIENT_BYTES_MAX];
    struct out out = out_of(room, sizeof room);
    struct smtp_xclient x;
    struct address peer;
    struct slice user;
    enum smtp_reply reply = SMTP_REPLY_BAD_PARAM;

    if (smtp_xclient_parse(cmd->arg, &out, &x))
        reply = judge(s, &x, &peer, &user);
    if (reply != SMTP_REPLY_NONE) {
        smtp_refuse(s, reply);
        return;
    }
    if (!believe(s, &x, &peer, user)) {
        smtp_bye(s, SMTP_REPLY_BUSY);
        return;
    }
    log_xclient(s);
    smtp_policy_close(s);
    smtp_open(s);
}
