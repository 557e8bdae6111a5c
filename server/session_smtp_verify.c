/* VRFY and EXPN (RFC 5321, 3.5): nothing is told to strangers (matrix S39; RFC
 * 5321, 7.3), and nothing beyond ASCII to those who did not ask for it (RFC
 * 6531, 3.7.4.2).
 */
#include "server/session_smtp_work.h"

enum { EXPAND_MAX = 1000, EXPAND_BYTES_MAX = 1 << 20 };

/* "user", "user@domain" or "<user@domain>"; a name without a domain is of the first one,
 * like postmaster. */
static bool take_name(struct slice arg, struct smtp_path *path)
{
    if (arg.len > 2 && arg.at[0] == '<' && arg.at[arg.len - 1] == '>')
        arg = slice_of(arg.at + 1, arg.len - 2);
    if (smtp_mailbox(arg, true, path))
        return true;
    for (size_t i = 0; i < arg.len; i++)
        if (!ascii_alpha(arg.at[i]) && !ascii_digit(arg.at[i]) &&
            (arg.at[i] == '\0' || !strchr("-._+", arg.at[i])))
            return false;
    *path = (struct smtp_path){.kind = SMTP_PATH_POSTMASTER, .text = arg, .local = arg};
    return arg.len > 0 && arg.len <= SMTP_LOCAL_MAX;
}

static void put_line(struct out *out, struct slice address, bool last)
{
    out_put(out, last ? S("250 2.1.5 <") : S("250-2.1.5 <"));
    out_put(out, address);
    out_put(out, S(">\r\n"));
}

/* The mailbox of a good answer has a domain (RFC 5321, 3.5.2). */
static struct slice whole_of(
    const struct session_smtp *s, const struct smtp_path *path, struct arena *arena)
{
    struct slice home;
    struct smtp_addr addr;

    if (path->kind == SMTP_PATH_MAILBOX ||
        !accounts_domain_at(s->conn.thread->accounts, 0, &home) ||
        !smtp_addr_of(path, home, 0, arena, &addr))
        return path->text;
    return addr.full;
}

/* One that is not of this server can't be looked up here. */
static void answer_verify(
    struct session_smtp *s, const struct smtp_path *path, bool utf8, struct arena *arena)
{
    const struct account *accounts[1];
    struct route_remote remotes[1];
    struct route route = {.accounts = accounts,
        .cap = 1,
        .remotes = remotes,
        .remote_cap = 1,
        .arena = arena};
    enum route_result result = route_resolve(s->conn.thread->accounts, path, &route);

    if (result == ROUTE_NOT_LOCAL)
        smtp_say(s, SMTP_REPLY_NO_VRFY);
    else if (result != ROUTE_OK && result != ROUTE_TOO_MANY) /* a group is one, too */
        smtp_refuse_text(s, route_reply(result));
    else if (path->utf8 && !utf8)
        smtp_say(s, SMTP_REPLY_VRFY_UTF8);
    else
        put_line(&s->conn.out, whole_of(s, path, arena), true);
}

void smtp_verify(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    struct arena arena = arena_of(EXPAND_BYTES_MAX);
    struct smtp_path path;

    if (!smtp_config(s)->vrfy || !smtp_may_relay(s))
        smtp_say(s, SMTP_REPLY_NO_VRFY);
    else if (!take_name(cmd->arg, &path))
        smtp_refuse(s, SMTP_REPLY_BAD_RCPT);
    else
        answer_verify(s, &path, cmd->utf8, &arena);
    arena_reset(&arena);
}

static bool has_8bit(const struct slice *targets, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (smtp_has_8bit(targets[i]))
            return true;
    return false;
}

static void answer_expand(
    struct session_smtp *s, const struct smtp_path *path, bool utf8, struct arena *arena)
{
    struct slice targets[EXPAND_MAX];
    unsigned count;
    enum route_result result =
        route_expand(s->conn.thread->accounts, path, targets, EXPAND_MAX, &count, arena);

    if (result == ROUTE_OK && count > EXPAND_MAX)
        result = ROUTE_TOO_MANY;
    if (result == ROUTE_NOT_LOCAL)
        smtp_say(s, SMTP_REPLY_NO_VRFY);
    else if (result != ROUTE_OK || count == 0)
        smtp_refuse_text(s, route_reply(result == ROUTE_OK ? ROUTE_UNKNOWN : result));
    else if (!utf8 && has_8bit(targets, count))
        smtp_say(s, SMTP_REPLY_VRFY_UTF8);
    else
        for (unsigned i = 0; i < count; i++)
            put_line(&s->conn.out, targets[i], i + 1 == count);
}

void smtp_expand(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    struct arena arena = arena_of(EXPAND_BYTES_MAX);
    struct smtp_path path;

    if (!smtp_config(s)->expn || !s->user)
        smtp_say(s, SMTP_REPLY_NO_VRFY);
    else if (!take_name(cmd->arg, &path))
        smtp_refuse(s, SMTP_REPLY_BAD_RCPT);
    else
        answer_expand(s, &path, cmd->utf8, &arena);
    arena_reset(&arena);
}
