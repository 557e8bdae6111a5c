#include "server/route.h"

#include "proto/base/check.h"
#include "server/accounts_state.h"

enum {
    SEEN_SLOTS = 4096, /* a power of two, more than twice the addresses and accounts */
    WALK_BYTES_MAX = 2 << 20
};

_Static_assert(SEEN_SLOTS >= 2 * ROUTE_ADDRESSES_MAX, "the sets never fill up");
_Static_assert(ROUTE_ADDRESSES_MAX >= ROUTE_ACCOUNTS_MAX, "likewise");

/* A set of indices. */
struct seen {
    uint32_t slots[SEEN_SLOTS]; /* index + 1 */
};

/* One address on its way to accounts. */
struct walk {
    const struct accounts *a;
    struct route *route;
    struct arena arena;
    struct slice todo[ROUTE_ADDRESSES_MAX];     /* addresses as in the alias file */
    struct slice done[ROUTE_ADDRESSES_MAX + 1]; /* those looked at, in their one form */
    unsigned done_count, next, count;
    struct seen aliases, accounts, addresses;
    bool postmaster; /* has stood for somebody already */
};

/* An address that is looked at. */
struct visit {
    const struct smtp_path *path;
    struct smtp_addr addr; /* its one form */
    bool local;
    bool first; /* the recipient itself; others are where aliases lead */
    bool again; /* looked at before */
};

struct slice route_reply(enum route_result result)
{
    static const struct slice replies[] = {
#define X(name, text) [ROUTE_##name] = SI(text),
        ROUTE_RESULTS(X)
#undef X
    };

    return replies[result];
}

/* False: it was in the set already. */
static bool seen_add(struct seen *seen, uint32_t index)
{
    for (uint32_t at = index * 2654435761u;; at++) {
        uint32_t *slot = &seen->slots[at % SEEN_SLOTS];

        if (*slot == index + 1)
            return false;
        if (*slot == 0) {
            *slot = index + 1;
            return true;
        }
    }
}

/* False: it has been looked at before. */
static bool walk_visit(struct walk *w, struct slice address)
{
    for (uint64_t at = slice_hash(address, w->a->key);; at++) {
        uint32_t *slot = &w->addresses.slots[at % SEEN_SLOTS];

        if (*slot == 0) {
            w->done[w->done_count] = address;
            *slot = ++w->done_count;
            return true;
        }
        if (slice_eq(w->done[*slot - 1], address))
            return false;
    }
}

/* --- what an address names --------------------------------------------- */

static const struct alias *alias_named(const struct accounts *a, struct slice pattern)
{
    uint32_t i = name_index_find(&a->by_pattern, a->aliases, sizeof *a->aliases, pattern);

    return i == NAMES_NONE ? NULL : &a->aliases[i];
}

static bool has_detail(const struct smtp_addr *addr)
{
    return addr->base.len < addr->full.len;
}

/* The alias for exactly this address, or for its local part at any local domain. */
static const struct alias *alias_of(
    const struct accounts *a, const struct smtp_addr *addr, bool local)
{
    const struct alias *alias;

    if (a->alias_count == 0)
        return NULL;
    alias = alias_named(a, addr->full);
    if (!alias && has_detail(addr))
        alias = alias_named(a, addr->base);
    if (!alias && local)
        alias = alias_named(a, addr->local);
    if (!alias && local && has_detail(addr))
        alias = alias_named(a, addr->user);
    return alias;
}

static const struct alias *catch_all_of(
    const struct accounts *a, const struct smtp_addr *addr)
{
    const char *at = addr->domain.at - 1; /* `full` has the '@' in front of it */

    return a->alias_count ? alias_named(a, slice_of(at, addr->domain.len + 1)) : NULL;
}

static const struct account *account_of(
    const struct accounts *a, const struct smtp_addr *addr)
{
    const struct account *account = accounts_find(a, addr->full);

    if (!account && has_detail(addr))
        account = accounts_find(a, addr->base);
    return account;
}

static bool is_postmaster(const struct smtp_addr *addr)
{
    return slice_eq(addr->user, S("postmaster")) || slice_eq(addr->user, S("abuse"));
}

/* --- the walk ---------------------------------------------------------- */

static enum route_result add_account(struct walk *w, const struct account *account)
{
    if (account->disabled)
        return ROUTE_DISABLED;
    if (!seen_add(&w->accounts, (uint32_t)(account - w->a->list)))
        return ROUTE_OK;
    if (w->route->count == w->route->cap || w->route->count == ROUTE_ACCOUNTS_MAX)
        return ROUTE_TOO_MANY;
    w->route->accounts[w->route->count++] = account;
    return ROUTE_OK;
}

/* As it was written, but for a domain in U-labels: in A-labels more servers can take it
 * (RFC 6531, 3.2 wants SMTPUTF8 else). At NULL without memory. */
static struct slice sent_form(struct arena *arena, const struct visit *v)
{
    struct slice local = v->path->local, domain = v->addr.domain;
    char *at;

    if (slice_eq_nocase(domain, v->path->domain))
        return arena_copy(arena, v->path->text);
    at = arena_take(arena, local.len + 1 + domain.len);
    if (!at)
        return slice_of(NULL, 0);
    memcpy(at, local.at, local.len);
    at[local.len] = '@';
    memcpy(at + local.len + 1, domain.at, domain.len);
    return slice_of(at, local.len + 1 + domain.len);
}

static enum route_result add_remote(struct walk *w, const struct visit *v)
{
    struct route *route = w->route;
    struct slice copy;

    if (v->first && !route->relay)
        return ROUTE_NOT_LOCAL;
    if (v->again)
        return ROUTE_OK;
    if (route->remote_count == route->remote_cap ||
        route->remote_count == ROUTE_REMOTES_MAX)
        return ROUTE_TOO_MANY;
    copy = sent_form(route->arena, v);
    if (!copy.at)
        return ROUTE_NO_MEMORY;
    route->remotes[route->remote_count++] = (struct route_remote){copy, !v->first};
    return ROUTE_OK;
}

static enum route_result add_address(struct walk *w, struct slice address)
{
    if (w->count == ROUTE_ADDRESSES_MAX)
        return ROUTE_TOO_MANY;
    w->todo[w->count++] = address;
    return ROUTE_OK;
}

/* "@domain" as a target: the same user there; at NULL without memory. The case of his
 * name is not ours to change: it may matter there (RFC 5321, 2.4). */
static struct slice same_user(
    struct arena *arena, const struct smtp_path *path, struct slice domain)
{
    size_t len = path->local.len + domain.len;
    char *at = arena_take(arena, len);

    if (!at)
        return slice_of(NULL, 0);
    memcpy(at, path->local.at, path->local.len);
    memcpy(at + path->local.len, domain.at, domain.len);
    return slice_of(at, len);
}

static enum route_result add_targets(
    struct walk *w, const struct alias *alias, const struct visit *v)
{
    for (uint32_t i = 0; i < alias->count; i++) {
        struct slice target = w->a->targets[alias->first + i];
        enum route_result result;

        if (target.at[0] == '@')
            target = same_user(&w->arena, v->path, target);
        result = target.at ? add_address(w, target) : ROUTE_NO_MEMORY;
        if (result != ROUTE_OK)
            return result;
    }
    return ROUTE_OK;
}

/* An alias is followed once. Met again it stands for the account of the same name: so
 * "anna@x anna@x, bert@x" keeps a copy for anna. */
static bool follow(struct walk *w, const struct alias *alias)
{
    return alias && seen_add(&w->aliases, (uint32_t)(alias - w->a->aliases));
}

static enum route_result step_postmaster(struct walk *w)
{
    if (w->a->postmaster.len == 0)
        return ROUTE_UNKNOWN;
    if (w->postmaster)
        return ROUTE_OK;
    w->postmaster = true;
    return add_address(w, w->a->postmaster);
}

/* One of its targets is "@domain": different for every user. */
static bool keeps_user(const struct walk *w, const struct alias *alias)
{
    for (uint32_t i = 0; i < alias->count; i++)
        if (w->a->targets[alias->first + i].at[0] == '@')
            return true;
    return false;
}

static enum route_result step(struct walk *w, const struct visit *v)
{
    const struct alias *alias = alias_of(w->a, &v->addr, v->local);
    const struct account *account;

    if (follow(w, alias))
        return add_targets(w, alias, v);
    account = v->local ? account_of(w->a, &v->addr) : NULL;
    if (account)
        return add_account(w, account);
    if (alias)
        return ROUTE_OK; /* met before: its targets are on the list */
    if (v->local && is_postmaster(&v->addr))
        return step_postmaster(w);
    alias = catch_all_of(w->a, &v->addr);
    if (alias && (follow(w, alias) || (keeps_user(w, alias) && !v->again)))
        return add_targets(w, alias, v);
    if (alias)
        return ROUTE_OK;
    return v->local ? ROUTE_UNKNOWN : add_remote(w, v);
}

static enum route_result look_at(struct walk *w, const struct smtp_path *path, bool first)
{
    struct visit v = {.path = path, .first = first};

    if (!accounts_addr_of(w->a, path, &w->arena, &v.addr))
        return path->kind == SMTP_PATH_NULL ? ROUTE_UNKNOWN : ROUTE_NO_MEMORY;
    v.local = accounts_is_local(w->a, v.addr.domain);
    v.again = !walk_visit(w, v.addr.full);
    return step(w, &v);
}

static enum route_result walk(struct walk *w, const struct smtp_path *rcpt)
{
    enum route_result result = look_at(w, rcpt, true);
    struct smtp_path path;

    while (result == ROUTE_OK && w->next < w->count)
        result = smtp_mailbox(w->todo[w->next++], true, &path) ? look_at(w, &path, false)
                                                               : ROUTE_UNKNOWN;
    if (result == ROUTE_OK && w->route->count + w->route->remote_count == 0)
        return ROUTE_LOOP;
    return result;
}

/* Most recipients are accounts that no alias names. */
static bool resolve_plain(
    const struct accounts *a, const struct smtp_path *rcpt, struct route *route)
{
    struct arena arena = arena_of((size_t)4 * SMTP_PATH_MAX);
    struct smtp_addr addr;
    const struct account *account = NULL;

    if (accounts_addr_of(a, rcpt, &arena, &addr) && accounts_is_local(a, addr.domain) &&
        !alias_of(a, &addr, true))
        account = account_of(a, &addr);
    arena_reset(&arena);
    if (!account || account->disabled || route->cap == 0)
        return false;
    route->accounts[0] = account;
    route->count = 1;
    return true;
}

enum route_result route_resolve(
    const struct accounts *a, const struct smtp_path *rcpt, struct route *route)
{
    struct walk w;
    enum route_result result;

    route->count = route->remote_count = 0;
    if (resolve_plain(a, rcpt, route))
        return ROUTE_OK;
    w.a = a;
    w.route = route;
    w.arena = arena_of(WALK_BYTES_MAX);
    w.done_count = w.next = w.count = 0;
    w.postmaster = false;
    memset(&w.aliases, 0, sizeof w.aliases);
    memset(&w.accounts, 0, sizeof w.accounts);
    memset(&w.addresses, 0, sizeof w.addresses);
    result = walk(&w, rcpt);
    arena_reset(&w.arena);
    if (result != ROUTE_OK)
        route->count = route->remote_count = 0;
    return result;
}

/* --- what it is directly ------------------------------------------------- */

/* The alias that an address meets first, whichever kind. */
static const struct alias *first_alias(
    const struct accounts *a, const struct smtp_addr *addr, bool local)
{
    const struct alias *alias = alias_of(a, addr, local);

    if (alias || (local && (account_of(a, addr) || is_postmaster(addr))))
        return alias;
    return catch_all_of(a, addr);
}

static enum route_result expand(const struct accounts *a, const struct alias *alias,
    const struct smtp_path *rcpt, struct slice *targets, unsigned cap, unsigned *count,
    struct arena *arena)
{
    for (uint32_t i = 0; i < alias->count && i < cap; i++) {
        struct slice target = a->targets[alias->first + i];

        if (target.at[0] == '@')
            target = same_user(arena, rcpt, target);
        if (!target.at)
            return ROUTE_NO_MEMORY;
        targets[i] = target;
    }
    *count = alias->count;
    return ROUTE_OK;
}

enum route_result route_expand(const struct accounts *a, const struct smtp_path *rcpt,
    struct slice *targets, unsigned cap, unsigned *count, struct arena *arena)
{
    struct smtp_addr addr;
    const struct alias *alias;
    const struct account *account;
    bool local;

    CHECK(cap > 0);
    *count = 0;
    if (!accounts_addr_of(a, rcpt, arena, &addr))
        return rcpt->kind == SMTP_PATH_NULL ? ROUTE_UNKNOWN : ROUTE_NO_MEMORY;
    local = accounts_is_local(a, addr.domain);
    alias = first_alias(a, &addr, local);
    if (alias)
        return expand(a, alias, rcpt, targets, cap, count, arena);
    account = local ? account_of(a, &addr) : NULL;
    if (local && !account && is_postmaster(&addr) && a->postmaster.len > 0)
        targets[0] = a->postmaster;
    else if (account)
        targets[0] = account->name;
    else
        return local ? ROUTE_UNKNOWN : ROUTE_NOT_LOCAL;
    *count = 1;
    return ROUTE_OK;
}

/* --- senders -------------------------------------------------------------- */

bool route_may_send(
    const struct accounts *a, const struct account *account, const struct smtp_path *from)
{
    const struct account *found;
    struct route route = {.accounts = &found, .cap = 1};
    struct arena arena = arena_of((size_t)4 * SMTP_PATH_MAX);
    struct smtp_addr addr;
    bool own;

    if (from->kind == SMTP_PATH_NULL)
        return true;
    own = accounts_addr_of(a, from, &arena, &addr) &&
        (account_of(a, &addr) == account || accounts_granted(a, account, &addr));
    arena_reset(&arena);
    return own || (route_resolve(a, from, &route) == ROUTE_OK && found == account);
}
