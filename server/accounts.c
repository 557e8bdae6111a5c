#include "server/accounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "proto/smtp/smtp.h"
#include "server/accounts_state.h"
#include "server/config.h"
#include "server/file.h"
#include "server/log.h"
#include "server/route.h"

enum {
    FILE_BYTES_MAX = 1 << 30,
    NAMES_BYTES_MAX = 1 << 30 /* of the arena */
};

/* --- messages ---------------------------------------------------------- */

static void put_line_number(struct out *out, const struct accounts_build *b)
{
    if (b->line > 0) {
        out_str(out, ", line ");
        out_u64(out, b->line);
    }
    out_str(out, ": ");
}

bool accounts_refuse(struct accounts_build *b, const char *file, const char *reason)
{
    out_str(b->why, file);
    put_line_number(b->why, b);
    out_str(b->why, reason);
    return false;
}

bool accounts_refuse_text(
    struct accounts_build *b, const char *file, struct slice text, const char *reason)
{
    char line[512];

    snprintf(line, sizeof line, "%.*s: %s", (int)(text.len < 254 ? text.len : 254),
        text.at, reason);
    return accounts_refuse(b, file, line);
}

bool accounts_refuse_twice(
    struct accounts_build *b, const char *file, struct slice text, unsigned before)
{
    char line[128];

    snprintf(line, sizeof line, "has a line already, %u; remove one of them", before);
    return accounts_refuse_text(b, file, text, line);
}

bool accounts_no_memory(struct accounts_build *b)
{
    out_str(b->why, "out of memory for users and aliases");
    return false;
}

void accounts_warn(
    struct accounts_build *b, const char *file, struct slice name, const char *reason)
{
    char line[1024];
    struct out out = out_of(line, sizeof line - 1);

    if (!b->source->warn || b->warnings++ >= ACCOUNTS_WARNINGS_MAX)
        return;
    out_str(&out, file);
    put_line_number(&out, b);
    out_put(&out, slice_of(name.at, name.len < 254 ? name.len : 254));
    out_str(&out, ": ");
    out_str(&out, reason);
    line[out.len] = 0;
    b->source->warn(b->source->arg, line);
}

bool accounts_line(struct accounts_build *b, struct slice *text, struct slice *line)
{
    if (b->line == 0 && slice_starts_nocase(*text, S("\xef\xbb\xbf")))
        slice_take(text, 3); /* what some editors put before UTF-8 */
    if (text->len == 0)
        return false;
    *line = slice_take(text, slice_find(*text, '\n'));
    if (text->len > 0)
        slice_take(text, 1);
    if (line->len > 0 && line->at[line->len - 1] == '\r')
        line->len--;
    b->line++;
    return true;
}

/* text@home, in the arena; at NULL without memory. */
static struct slice at_home(struct accounts *a, struct slice text)
{
    char *at = arena_take(&a->arena, text.len + 1 + a->home.len);

    if (!at)
        return slice_of(NULL, 0);
    if (text.len > 0)
        memcpy(at, text.at, text.len);
    at[text.len] = '@';
    memcpy(at + text.len + 1, a->home.at, a->home.len);
    return slice_of(at, text.len + 1 + a->home.len);
}

/* An address of the file, with its domain. */
static bool complete(
    struct accounts_build *b, const char *file, struct slice text, struct smtp_path *path)
{
    if (!memchr(text.at, '@', text.len)) {
        if (b->a->home.len == 0)
            return accounts_refuse_text(b, file, text,
                "a name without a domain; write user@domain, or name a --domain");
        text = at_home(b->a, text);
        if (!text.at)
            return accounts_no_memory(b);
    }
    if (text.len > ACCOUNT_NAME_MAX || !smtp_mailbox(text, true, path) || path->literal)
        return accounts_refuse_text(b, file, text,
            "not a name like user@domain; correct it, or begin the line with #");
    return true;
}

bool accounts_complete(
    struct accounts_build *b, const char *file, struct slice text, struct slice *name)
{
    struct smtp_path path;

    if (!complete(b, file, text, &path))
        return false;
    *name = arena_copy(&b->a->arena, path.text);
    return name->at || accounts_no_memory(b);
}

bool accounts_canonical(
    struct accounts_build *b, const char *file, struct slice text, struct slice *name)
{
    struct smtp_path path;
    struct smtp_addr addr;

    if (!complete(b, file, text, &path))
        return false;
    path.domain = accounts_spell(b->a, path.domain, &b->a->arena);
    if (!path.domain.at || !smtp_addr_of(&path, b->a->home, 0, &b->a->arena, &addr))
        return accounts_no_memory(b);
    *name = addr.full;
    return true;
}

/* --- accounts without a domain of ours ----------------------------------- */

static void warn_of_foreign_accounts(struct accounts_build *b)
{
    struct slice local = S("");

    b->line = 0;
    for (unsigned i = 0; i < b->a->count; i++) {
        struct slice domain = accounts_domain_of(b->a->list[i].name);

        if (slice_eq(domain, local))
            continue;
        if (accounts_is_local(b->a, domain))
            local = domain;
        else
            accounts_warn(b, b->source->users_name, b->a->list[i].name,
                "no --domain names its domain, so it gets no mail");
    }
}

/* --- postmaster -------------------------------------------------------- */

/* OK also where `text` is no address. */
static enum route_result route_of(const struct accounts *a, struct slice text, bool relay)
{
    const struct account *found[ROUTE_ACCOUNTS_MAX];
    struct route_remote remotes[ROUTE_REMOTES_MAX];
    struct arena arena = arena_of(ROUTE_BYTES_MAX);
    struct route route = {.accounts = found,
        .cap = ROUTE_ACCOUNTS_MAX,
        .remotes = remotes,
        .remote_cap = ROUTE_REMOTES_MAX,
        .arena = &arena,
        .relay = relay};
    enum route_result result = ROUTE_OK;
    struct smtp_path path;

    if (smtp_mailbox(text, true, &path))
        result = route_resolve(a, &path, &route);
    arena_reset(&arena);
    return result;
}

static struct slice first_open_account(const struct accounts *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!a->list[i].disabled)
            return a->list[i].name;
    return S("");
}

/* A postmaster there must be (RFC 5321, 4.5.1): where the one that is named can't have
 * mail, somebody else gets it. */
static bool find_postmaster(struct accounts_build *b)
{
    struct accounts *a = b->a;
    const char *given = b->source->config->postmaster;

    if (given && route_of(a, slice_str(given), false) == ROUTE_OK) {
        a->postmaster = arena_copy(&a->arena, slice_str(given));
        return a->postmaster.at || accounts_no_memory(b);
    }
    a->postmaster = first_open_account(a);
    b->line = 0;
    if (given)
        accounts_warn(b, "--postmaster", slice_str(given),
            "unknown, not local or takes no mail; the first account gets the mail");
    return true;
}

/* --- aliases that lead nowhere ------------------------------------------ */

/* An alias domain may lead back to itself, whoever is written to; else he counts. */
static enum route_result route_of_domain(const struct accounts *a, struct slice pattern)
{
    char text[SMTP_DOMAIN_MAX + 4];
    struct out out = out_of(text, sizeof text);

    out_str(&out, "x");
    out_put(&out, pattern);
    return route_of(a, out_slice(&out), true) == ROUTE_LOOP ? ROUTE_LOOP : ROUTE_OK;
}

/* What comes of an alias; where that depends on what it stands in for (a local part, a
 * domain), of its targets. */
static enum route_result route_of_alias(
    const struct accounts *a, const struct alias *alias)
{
    enum route_result result = route_of(a, alias->pattern, true);
    struct smtp_path path;

    if (smtp_mailbox(alias->pattern, true, &path))
        return result;
    if (alias->pattern.at[0] == '@')
        result = route_of_domain(a, alias->pattern);
    for (uint32_t i = 0; i < alias->count && result == ROUTE_OK; i++)
        result = route_of(a, a->targets[alias->first + i], true);
    return result;
}

static void warn_of_alias(struct accounts_build *b, const struct alias *alias)
{
    enum route_result result = route_of_alias(b->a, alias);
    const char *file = alias->line ? b->source->aliases_name : "--catch-all";

    b->line = alias->line;
    if (result == ROUTE_LOOP)
        accounts_warn(
            b, file, alias->pattern, "leads back to itself; mail to it is refused");
    else if (result == ROUTE_TOO_MANY)
        accounts_warn(b, file, alias->pattern,
            "stands for too many addresses; mail to it is refused");
    else if (result != ROUTE_OK)
        accounts_warn(b, file, alias->pattern,
            "a target is unknown or takes no mail; mail to it is refused");
}

/* --- a snapshot -------------------------------------------------------- */

static bool build(struct accounts_build *b)
{
    if (!accounts_named_domains(b) || !accounts_read_users(b))
        return false;
    accounts_choose_home(b->a);
    return accounts_read_aliases(b) && accounts_read_senders(b) && accounts_read_srs(b) &&
        find_postmaster(b);
}

struct accounts *accounts_build(const struct accounts_source *source, struct out *why)
{
    struct accounts *a = calloc(1, sizeof *a);
    struct accounts_build b = {.a = a, .source = source, .why = why};

    if (!a) {
        free(source->users_memory);
        accounts_no_memory(&b);
        return NULL;
    }
    a->text = source->users_memory;
    a->text_bytes = a->text ? source->users.len : 0;
    atomic_init(&a->references, 1);
    a->generation = source->before ? source->before->generation + 1 : 1;
    a->key = source->key;
    a->delimiter = source->config->delimiter;
    a->arena = arena_of(NAMES_BYTES_MAX);
    if (!build(&b)) {
        accounts_drop(a);
        return NULL;
    }
    warn_of_foreign_accounts(&b);
    for (unsigned i = 0; i < a->alias_count && b.warnings < ACCOUNTS_WARNINGS_MAX; i++)
        warn_of_alias(&b, &a->aliases[i]);
    return a;
}

struct accounts *accounts_take(struct accounts *a)
{
    atomic_fetch_add_explicit(&a->references, 1, memory_order_relaxed);
    return a;
}

void accounts_drop(struct accounts *a)
{
    if (!a || atomic_fetch_sub_explicit(&a->references, 1, memory_order_acq_rel) != 1)
        return;
    explicit_bzero(&a->srs, sizeof a->srs);
    if (a->text)
        explicit_bzero(a->text, a->text_bytes);
    free(a->text);
    free(a->list);
    free(a->aliases);
    free(a->targets);
    free(a->grants);
    free(a->granted);
    free(a->domains);
    name_index_free(&a->by_name);
    name_index_free(&a->by_pattern);
    name_index_free(&a->by_grantee);
    name_index_free(&a->by_domain);
    arena_reset(&a->arena);
    free(a);
}

/* --- from the disk ----------------------------------------------------- */

static void log_warning(void *arg, const char *line)
{
    (void)arg;
    event_say(LEVEL_WARNING, "accounts", "about", line);
}

/* A file that need not be there is empty when it is not. */
static bool read_file(const char *flag, const char *path, bool wanted,
    struct file_bytes *bytes, struct out *why)
{
    if (file_read(path, FILE_BYTES_MAX, bytes))
        return true;
    if (errno == ENOENT && !wanted)
        return true;
    out_str(why, flag);
    out_str(why, path);
    out_str(why, ": ");
    out_str(why, strerror(errno));
    if (errno == EACCES)
        out_str(why, "; the account that the server runs as must be able to read it");
    return false;
}

static bool read_users(
    const struct config *config, struct file_bytes *bytes, struct out *why)
{
    if (read_file("--users ", config->users, true, bytes, why))
        return true;
    if (errno == ENOENT)
        out_str(why, "; `ringmail user add` makes one");
    return false;
}

/* Changes with any of the files that an operator or `ringmail user` writes. */
static uint64_t stamp_of(const struct config *config)
{
    const char *const names[] = {config->users, config->aliases, config->senders};
    uint64_t stamp = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat st = {0};
        int64_t facts[4];

        if (names[i] && stat(names[i], &st) != 0)
            st = (struct stat){0};
        facts[0] = (int64_t)st.st_ino;
        facts[1] = st.st_size;
        facts[2] = st.st_mtim.tv_sec;
        facts[3] = st.st_mtim.tv_nsec;
        stamp = slice_hash(slice_of((const char *)facts, sizeof facts), stamp);
    }
    return stamp;
}

bool accounts_are_current(const struct accounts *a, const struct config *config)
{
    return a->stamp == stamp_of(config);
}

struct accounts *accounts_load(
    const struct config *config, const struct accounts *before, struct out *why)
{
    uint64_t stamp = stamp_of(config); /* before: a change meanwhile is one */
    struct file_bytes users = {0}, aliases = {0}, senders = {0}, removed = {0},
                      srs_keys = {0};
    struct accounts *a = NULL;

    if (read_users(config, &users, why) &&
        read_file("--aliases ", config->aliases, config->aliases_wanted, &aliases, why) &&
        (!config->senders ||
            read_file("--senders ", config->senders, true, &senders, why)) &&
        read_file("", config->removed_path, false, &removed, why) &&
        read_file("", config->srs_key_path, false, &srs_keys, why)) {
        struct accounts_source source = {.config = config,
            .before = before,
            .users = users.text,
            .users_memory = users.at,
            .aliases = aliases.text,
            .senders = senders.text,
            .removed = removed.text,
            .srs_keys = srs_keys.text,
            .users_name = config->users,
            .aliases_name = config->aliases,
            .senders_name = config->senders,
            .key = random_u64(),
            .warn = log_warning};

        users = (struct file_bytes){0}; /* it has gone over */
        a = accounts_build(&source, why);
        if (a)
            a->stamp = stamp;
    }
    file_release(&users);
    file_release(&aliases);
    file_release(&senders);
    file_release(&removed);
    if (srs_keys.at)
        explicit_bzero(srs_keys.at, srs_keys.text.len);
    file_release(&srs_keys);
    return a;
}

/* --- questions --------------------------------------------------------- */

uint64_t accounts_generation(const struct accounts *a)
{
    return a->generation;
}

unsigned accounts_count(const struct accounts *a)
{
    return a->count;
}

unsigned accounts_alias_count(const struct accounts *a)
{
    return a->alias_count;
}

const struct account *accounts_at(const struct accounts *a, unsigned i)
{
    CHECK(i < a->count);
    return &a->list[i];
}

const struct account *accounts_find(const struct accounts *a, struct slice name)
{
    uint32_t i = name_index_find(&a->by_name, a->list, sizeof *a->list, name);

    return i == NAMES_NONE ? NULL : &a->list[i];
}
