/* mx_rank.c -- from exchanges and their addresses to the hosts, in the order to try them.
 */
#include <stdarg.h>
#include <stdio.h>

#include "server/mx_work.h"

void mx_end(struct mx_work *w, enum mx_status status, const char *format, ...)
{
    va_list args;

    w->status = status;
    va_start(args, format);
    vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
}

/* --- who is in the way -------------------------------------------------- */

/* Leaves out the addresses that nobody else's mail server can have. */
static void refuse_addresses(struct mx_exchange *e)
{
    for (unsigned f = 0; f < 2; f++) {
        unsigned kept = 0;

        for (unsigned i = 0; i < e->counts[f]; i++)
            if (!mx_is_refused(&e->found[f][i]))
                e->found[f][kept++] = e->found[f][i];
        e->refused |= kept < e->counts[f];
        e->counts[f] = (uint8_t)kept;
    }
}

static bool is_own(const struct mx_exchange *e, const struct mx_self *self)
{
    if (mx_self_has_name(self, e->name))
        return true;
    for (unsigned f = 0; f < 2; f++)
        for (unsigned i = 0; i < e->counts[f]; i++)
            if (mx_self_has_address(self, &e->found[f][i]))
                return true;
    return false;
}

/* This server and all that are not preferred to it fall out, or mail would go back and
 * forth (RFC 5321, 5.1). Exchanges stand in order of preference. NULL: it is not there.
 */
static const struct mx_exchange *cut_own(struct mx_found *f, const struct mx_self *self)
{
    for (unsigned i = 0; i < f->count; i++) {
        uint16_t preference = f->exchanges[i].preference;

        if (!is_own(&f->exchanges[i], self))
            continue;
        f->count = i;
        while (f->count > 0 && f->exchanges[f->count - 1].preference == preference)
            f->count--;
        return &f->exchanges[i];
    }
    return NULL;
}

/* --- the order ---------------------------------------------------------- */

/* The first `count` numbers in random order. */
static void shuffle(uint8_t *order, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        order[i] = (uint8_t)i;
    for (unsigned i = count; i > 1; i--) {
        unsigned j = (unsigned)(random_u64() % i);
        uint8_t swapped = order[i - 1];

        order[i - 1] = order[j];
        order[j] = swapped;
    }
}

static bool is_listed(const struct mx_found *f, const struct address *a)
{
    for (unsigned i = 0; i < f->host_count; i++)
        if (address_eq(&f->hosts[i].address, a))
            return true;
    return false;
}

static void add_host(struct mx_work *w, const struct mx_exchange *e, struct address a)
{
    struct mx_found *f = w->found;

    a.port = w->port;
    if (f->host_count < MX_HOSTS_MAX && !is_listed(f, &a))
        f->hosts[f->host_count++] = (struct mx_host){a, e->name, e->preference};
}

/* IPv6 and IPv4 in turns, so that one family that leads nowhere costs one attempt before
 * the other has its own; each in random order, MX_ADDRESSES_MAX in all. */
static void add_exchange(struct mx_work *w, const struct mx_exchange *e)
{
    uint8_t order[2][MX_ADDRESSES_MAX];
    unsigned added = 0;

    shuffle(order[0], e->counts[0]);
    shuffle(order[1], e->counts[1]);
    for (unsigned i = 0; i < MX_ADDRESSES_MAX; i++)
        for (unsigned f = 0; f < 2; f++)
            if (i < e->counts[f] && added++ < MX_ADDRESSES_MAX)
                add_host(w, e, e->found[f][order[f][i]]);
}

/* Those of one preference in random order: the load is to be spread (RFC 5321, 5.1). */
static void add_all(struct mx_work *w)
{
    struct mx_found *f = w->found;
    uint8_t order[MX_EXCHANGES_MAX];

    for (unsigned at = 0, same; at < f->count; at += same) {
        for (same = 1; at + same < f->count &&
             f->exchanges[at + same].preference == f->exchanges[at].preference;)
            same++;
        shuffle(order, same);
        for (unsigned i = 0; i < same; i++)
            add_exchange(w, &f->exchanges[at + order[i]]);
    }
}

/* --- why there is none -------------------------------------------------- */

static void explain(struct mx_work *w, const struct mx_exchange *own)
{
    const struct mx_exchange *refused = NULL;

    for (unsigned i = 0; i < w->found->count; i++) {
        const struct mx_exchange *e = &w->found->exchanges[i];

        if (e->failed) {
            mx_end(w, MX_TRY_LATER, "address of %s: %s", e->name, e->failed);
            return;
        }
        if (e->refused)
            refused = e;
    }
    if (own)
        mx_end(
            w, MX_LOOP, "mail for %s comes back to this host (%s)", w->name, own->name);
    else if (refused)
        mx_end(w, MX_UNUSABLE, "%s has an address that no mail server can have",
            refused->name);
    else if (w->any)
        mx_end(w, MX_NO_HOST, "%s has no address", w->name);
    else if (w->implicit)
        mx_end(w, MX_NO_HOST, "%s has neither MX nor address", w->name);
    else
        mx_end(w, MX_NO_HOST, "no MX of %s has an address", w->name);
}

void mx_rank(struct mx_work *w, const struct mx_self *self)
{
    struct mx_found *f = w->found;
    const struct mx_exchange *own = NULL;

    if (!w->any) {
        own = cut_own(f, self);
        for (unsigned i = 0; i < f->count; i++)
            refuse_addresses(&f->exchanges[i]);
    }
    add_all(w);
    if (f->host_count > 0)
        mx_end(w, MX_OK, "%s", "");
    else
        explain(w, own);
}
