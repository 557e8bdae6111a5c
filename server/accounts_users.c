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
#include "server/pages.h"
#include "server/password.h"

enum {
    EXTRA_FIELD = 7,   /* fields in front of the extra ones */
    PLAIN_MAX = 64,    /* octets of a local part (RFC 5321, 4.5.3.1.1) */
    NAMES_BEHIND = 16, /* the index follows so many names behind: by then the place of
                        * one in it has come into the cache */
};

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
            account->networks_at = (uint32_t)(word.at - account->secret);
            account->networks_bytes = (uint32_t)word.len;
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
    account->secret = password.at;
    account->secret_bytes = (uint16_t)password.len;
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

static bool same(const struct account *x, const struct account *y)
{
    return slice_eq(account_password(x), account_password(y)) &&
        slice_eq(account_networks(x), account_networks(y)) && x->login == y->login &&
        x->disabled == y->disabled;
}

/* Since when it is what it is: logins older than that end. */
static uint32_t since(struct accounts_build *b, const struct account *account)
{
    const struct accounts *before = b->source->before;
    const struct account *old = before ? accounts_find(before, account->name) : NULL;

    return old && same(old, account) ? old->since : b->a->generation;
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

static bool is_plain_local(struct slice local)
{
    bool begun = false; /* since the last dot */

    for (size_t i = 0; i < local.len; i++) {
        char c = local.at[i];

        if (c == '.' ? !begun
                     : !(c >= 'a' && c <= 'z') && !ascii_digit(c) && c != '-' && c != '_')
            return false;
        begun = c != '.';
    }
    return begun && local.len <= PLAIN_MAX;
}

/* Of a million names nearly all are written as they are looked up: a simple word at a
 * domain that an account before had. They stay where they are in the text. */
static bool is_plain(const struct accounts_build *b, struct slice name)
{
    struct slice domain = accounts_domain_of(name);

    return domain.len > 0 && slice_eq(domain, b->same) && name.len <= ACCOUNT_NAME_MAX &&
        is_plain_local(slice_of(name.at, name.len - domain.len - 1));
}

static bool take_name(struct accounts_build *b, struct slice text, struct slice *name)
{
    if (is_plain(b, text)) {
        *name = text;
        return true;
    }
    if (!note_domain(b, text) ||
        !accounts_canonical(b, b->source->users_name, text, name))
        return false;
    if (slice_eq(accounts_domain_of(text), accounts_domain_of(*name)))
        b->same = accounts_domain_of(*name);
    return true;
}

/* Of the file. */
static unsigned line_of(const struct accounts *a, const struct account *account)
{
    return accounts_lines(slice_of(a->text, (size_t)(account->secret - a->text)));
}

/* The accounts before the `end`-th can be found by name. */
static bool index_names(struct accounts_build *b, unsigned end)
{
    struct accounts *a = b->a;
    uint32_t other;

    for (; b->indexed < end; b->indexed++) {
        if (name_index_add(&a->by_name, a->list, sizeof *a->list, b->indexed, &other))
            continue;
        b->line = line_of(a, &a->list[b->indexed]);
        return accounts_refuse_twice(b, b->source->users_name, a->list[b->indexed].name,
            line_of(a, &a->list[other]));
    }
    return true;
}

static bool take_line(struct accounts_build *b, struct slice line)
{
    struct accounts *a = b->a;
    struct account *account = &a->list[a->count];
    struct slice name, password;

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
    if (!take_name(b, slice_trim(name), &account->name))
        return false;
    name_index_near(&a->by_name, account->name);
    take_password(b, account, password);
    take_extra(b, account, line);
    a->count++;
    return a->count <= NAMES_BEHIND || index_names(b, a->count - NAMES_BEHIND);
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
    if (!a->text) {
        a->text_bytes = b->source->users.len;
        a->text = malloc(a->text_bytes + 1);
        if (a->text && a->text_bytes > 0)
            memcpy(a->text, b->source->users.at, a->text_bytes);
    }
    a->list = calloc(lines, sizeof *a->list);
    pages_huge(a->list, lines * sizeof *a->list);
    return (a->text && a->list && name_index_init(&a->by_name, lines, a->key)) ||
        accounts_no_memory(b);
}

bool accounts_read_users(struct accounts_build *b)
{
    struct accounts *a = b->a;
    struct slice text, line;

    if (!make_room(b, accounts_lines(b->source->users)))
        return false;
    text = slice_of(a->text, a->text_bytes);
    b->line = 0;
    while (accounts_line(b, &text, &line))
        if (!take_line(b, line))
            return false;
    if (!index_names(b, a->count))
        return false;
    close_removed(b);
    for (unsigned i = 0; i < a->count; i++)
        a->list[i].since = since(b, &a->list[i]);
    return true;
}
