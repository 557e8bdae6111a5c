/* accounts_users.c -- the users file: Dovecot's passwd-file, one account a line.
 *
 *   user@domain:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
 *
 * Only the first two are needed. Of the extra fields (key=value, divided by spaces)
 * "nologin", "disabled" and "allow_nets" mean something here; the rest is somebody
 * else's. */
#include <stdlib.h>

#include "proto/smtp/smtp.h"
#include "server/accounts_state.h"
#include "server/config.h"
#include "server/network.h"
#include "server/password.h"

enum { EXTRA_FIELD = 7 }; /* fields in front of the extra ones */

/* The field up to the next ':', which is cut off too. */
static struct slice cut_field(struct slice *line)
{
    struct slice field = slice_take(line, slice_find(*line, ':'));

    if (line->len > 0)
        slice_take(line, 1);
    return field;
}

static bool refuse(struct accounts_build *b, const char *reason)
{
    return accounts_refuse(b, b->source->users_name, reason);
}

static void take_extra(
    struct accounts_build *b, struct account *account, struct slice extra)
{
    while (extra.len > 0) {
        struct slice word = slice_take(&extra, slice_find(extra, ' '));

        if (extra.len > 0)
            slice_take(&extra, 1);
        if (slice_eq(word, S("nologin")) || slice_starts_nocase(word, S("nologin="))) {
            account->login = false;
        } else if (slice_eq(word, S("disabled"))) {
            account->disabled = true;
            account->login = false;
        } else if (slice_starts_nocase(word, S("allow_nets="))) {
            slice_take(&word, 11);
            account->networks = word;
            if (!network_list_good(word)) {
                accounts_warn(b, b->source->users_name, account->name,
                    "allow_nets is not a list of networks; no login");
                account->login = false;
            }
        }
    }
}

static void take_password(
    struct accounts_build *b, struct account *account, struct slice password)
{
    account->password = password;
    account->login = true;
    switch (password_kind(password)) {
    case PASSWORD_LOCKED:
        account->login = false;
        break;
    case PASSWORD_UNKNOWN:
        accounts_warn(b, b->source->users_name, account->name,
            "a password scheme this server does not know; no login");
        account->login = false;
        break;
    case PASSWORD_CRYPT:
    case PASSWORD_PLAIN:
        break;
    }
}

static bool same(struct account x, struct account y)
{
    return slice_eq(x.password, y.password) && slice_eq(x.networks, y.networks) &&
        x.login == y.login && x.disabled == y.disabled;
}

/* Since when it is what it is: logins older than that end. */
static uint64_t since(struct accounts_build *b, const struct account *account)
{
    const struct accounts *before = b->source->before;
    const struct account *old = before ? accounts_find(before, account->name) : NULL;

    return old && same(*old, *account) ? old->since : b->a->generation;
}

/* Without --domain each account brings its own, in the spelling that it has. */
static bool note_domain(struct accounts_build *b, struct slice name)
{
    struct slice domain = accounts_domain_of(name);
    char lower[SMTP_DOMAIN_MAX];

    if (b->source->config->domains.count > 0 || domain.len > sizeof lower ||
        !smtp_is_domain(domain, true))
        return true;
    for (size_t i = 0; i < domain.len; i++)
        lower[i] = ascii_lower(domain.at[i]);
    return accounts_add_domain(b, slice_of(lower, domain.len));
}

static bool take_line(struct accounts_build *b, struct slice line)
{
    struct accounts *a = b->a;
    struct account *account = &a->list[a->count];
    struct slice name, password;
    uint32_t other;

    if (slice_trim(line).len == 0 || line.at[0] == '#')
        return true;
    if (memchr(line.at, 0, line.len))
        return refuse(b, "holds a NUL; remove it");
    name = cut_field(&line);
    password = cut_field(&line);
    for (unsigned i = 2; i < EXTRA_FIELD; i++)
        cut_field(&line);
    if (password.len > ACCOUNT_SECRET_MAX)
        return refuse(b,
            "the password field is longer than 1024 octets; `ringmail user passwd` "
            "makes a new one");
    name = slice_trim(name);
    if (!note_domain(b, name) ||
        !accounts_canonical(b, b->source->users_name, name, &account->name))
        return false;
    take_password(b, account, password);
    take_extra(b, account, line);
    account->line = b->line;
    if (!name_index_add(&a->by_name, a->list, sizeof *a->list, a->count, &other))
        return accounts_refuse_twice(
            b, b->source->users_name, account->name, a->list[other].line);
    a->count++;
    return true;
}

/* Names that wait for their mail to be removed (DATA/removed): closed until then. */
static void close_removed(struct accounts_build *b)
{
    struct slice text = b->source->removed;
    struct slice line;

    while (accounts_line(b, &text, &line)) {
        uint32_t i = name_index_find(
            &b->a->by_name, b->a->list, sizeof *b->a->list, slice_trim(line));

        if (i != NAMES_NONE)
            b->a->list[i].login = false, b->a->list[i].disabled = true;
    }
}

unsigned accounts_lines(struct slice text)
{
    unsigned lines = 1;

    for (size_t i = 0; i < text.len; i++)
        lines += text.at[i] == '\n';
    return lines;
}

static bool make_room(struct accounts_build *b, unsigned lines)
{
    struct accounts *a = b->a;

    if (lines > ACCOUNTS_MAX)
        return refuse(b, "more accounts than this server takes");
    a->text_bytes = b->source->users.len;
    a->text = malloc(a->text_bytes + 1);
    a->list = calloc(lines, sizeof *a->list);
    return (a->text && a->list && name_index_init(&a->by_name, lines, a->key)) ||
        accounts_no_memory(b);
}

bool accounts_read_users(struct accounts_build *b)
{
    struct accounts *a = b->a;
    struct slice text, line;

    if (!make_room(b, accounts_lines(b->source->users)))
        return false;
    if (a->text_bytes > 0)
        memcpy(a->text, b->source->users.at, a->text_bytes);
    text = slice_of(a->text, a->text_bytes);
    b->line = 0;
    while (accounts_line(b, &text, &line))
        if (!take_line(b, line))
            return false;
    close_removed(b);
    for (unsigned i = 0; i < a->count; i++)
        a->list[i].since = since(b, &a->list[i]);
    return true;
}
