/* accounts_domains.c -- the domains of a snapshot, and the one spelling that each has:
 * a name in U-labels and the same in A-labels are one (RFC 5890). */
#include <stdlib.h>

#include "server/accounts_state.h"
#include "server/config.h"
#include "server/idn.h"

static uint32_t domain_named(const struct accounts *a, struct slice key)
{
    return name_index_find(&a->by_domain, a->domains, sizeof *a->domains, key);
}

/* Most come as they are kept: in lower case, and in ASCII. */
static const struct domain *domain_of(const struct accounts *a, struct slice domain)
{
    char key[IDN_MAX];
    uint32_t i = domain_named(a, domain);

    if (i == NAMES_NONE)
        i = domain_named(a, idn_ascii(domain, key, sizeof key));
    return i == NAMES_NONE ? NULL : &a->domains[i];
}

struct slice accounts_spell(
    const struct accounts *a, struct slice domain, struct arena *arena)
{
    char key[IDN_MAX];
    struct slice labels = idn_ascii(domain, key, sizeof key);
    const struct domain *known = labels.len ? domain_of(a, labels) : NULL;

    if (known)
        return known->name;
    return arena_copy(arena, labels.len ? labels : domain);
}

bool accounts_domain_pattern(
    struct accounts_build *b, struct slice text, struct slice *pattern)
{
    char *at;
    struct slice domain;

    if (text.len > 0 && text.at[0] == '@')
        slice_take(&text, 1);
    domain = accounts_spell(b->a, text, &b->a->arena);
    at = domain.at ? arena_take(&b->a->arena, domain.len + 1) : NULL;
    if (!at)
        return accounts_no_memory(b);
    at[0] = '@';
    memcpy(at + 1, domain.at, domain.len);
    *pattern = slice_of(at, domain.len + 1);
    return true;
}

/* Most names are ASCII, and so are most domains: nothing to look up then. */
static bool is_plain(const struct accounts *a, struct slice domain)
{
    unsigned char any = 0;

    for (size_t i = 0; i < domain.len; i++)
        any |= (unsigned char)domain.at[i];
    return any < 0x80 && !a->spelt;
}

bool accounts_addr_of(const struct accounts *a, const struct smtp_path *path,
    struct arena *arena, struct smtp_addr *addr)
{
    struct smtp_path spelt;

    if (path->kind != SMTP_PATH_MAILBOX || is_plain(a, path->domain))
        return smtp_addr_of(path, a->home, a->delimiter, arena, addr);
    spelt = *path;
    spelt.domain = accounts_spell(a, path->domain, arena);
    return spelt.domain.at && smtp_addr_of(&spelt, a->home, a->delimiter, arena, addr);
}

/* Once, in the spelling of the first time. */
bool accounts_add_domain(struct accounts_build *b, struct slice name)
{
    struct accounts *a = b->a;
    struct domain *domain = &a->domains[a->domain_count];
    char key[IDN_MAX];
    uint32_t other;

    if (domain_of(a, name))
        return true;
    domain->key = idn_ascii(name, key, sizeof key);
    domain->key = arena_copy(&a->arena, domain->key.len ? domain->key : name);
    domain->name = arena_copy(&a->arena, name);
    if (!domain->key.at || !domain->name.at)
        return accounts_no_memory(b);
    if (!name_index_add(
            &a->by_domain, a->domains, sizeof *a->domains, a->domain_count, &other))
        return true;
    a->spelt = a->spelt || !slice_eq(domain->key, domain->name);
    a->domain_count++;
    return true;
}

static bool room_for_domains(struct accounts_build *b, unsigned count)
{
    count = count < ACCOUNTS_MAX ? count : ACCOUNTS_MAX;
    b->a->domains = calloc(count + 1, sizeof *b->a->domains);
    return (b->a->domains && name_index_init(&b->a->by_domain, count + 1, b->a->key)) ||
        accounts_no_memory(b);
}

void accounts_choose_home(struct accounts *a)
{
    if (a->domain_count > 0)
        a->home = a->domains[0].name;
}

bool accounts_named_domains(struct accounts_build *b)
{
    const struct config_texts *named = &b->source->config->domains;
    unsigned lines = accounts_lines(b->source->users);

    if (!room_for_domains(b, named->count ? named->count : lines))
        return false;
    for (unsigned i = 0; i < named->count; i++)
        if (!accounts_add_domain(b, slice_str(named->at[i])))
            return false;
    accounts_choose_home(b->a);
    return true;
}

struct slice accounts_domain_of(struct slice name)
{
    const char *at = name.len ? memrchr(name.at, '@', name.len) : NULL;

    return at ? slice_of(at + 1, (size_t)(name.at + name.len - at) - 1) : S("");
}

/* --- questions --------------------------------------------------------- */

struct slice accounts_name(
    const struct accounts *a, struct slice given, char *at, size_t cap)
{
    struct out out = out_of(at, cap - 1);
    bool complete = given.len > 0 && memchr(given.at, '@', given.len);
    const struct domain *domain = domain_of(a, accounts_domain_of(given));

    if (domain) /* in whatever spelling */
        given.len -= accounts_domain_of(given).len;
    for (size_t i = 0; i < given.len; i++) {
        if ((unsigned char)given.at[i] < ' ' || given.at[i] == 0x7f)
            return S("");
        out_byte(&out, ascii_lower(given.at[i]));
    }
    if (!complete)
        out_byte(&out, '@');
    if (!complete || domain)
        out_put(&out, domain ? domain->name : a->home);
    if (out.full || out.len > ACCOUNT_NAME_MAX || given.len == 0)
        return S("");
    at[out.len] = 0;
    return out_slice(&out);
}

bool accounts_is_local(const struct accounts *a, struct slice domain)
{
    return domain_of(a, domain) != NULL;
}

bool accounts_domain_at(const struct accounts *a, unsigned i, struct slice *domain)
{
    if (i >= a->domain_count)
        return false;
    *domain = a->domains[i].name;
    return true;
}
