/* A tree gets another name: all of it at one moment, however large it is.
 *
 *      COLLECT   who moves gets his new name beside the old one, slice by slice
 *      MERGE     the list as it will be, sorted, slice by slice
 *                then the list and the names are exchanged, which is one step
 *      SETTLE    the old names are freed, slice by slice
 *
 * No other change of the tree gets in meanwhile (user->tree_busy, or a load), and no
 * state is written (user->half). Subscriptions stay with the names (RFC 3501, 6.3.6: a
 * server must not take a name off the list): a remnant keeps each where the mailbox was.
 */
#include "store/mailbox.h"

enum { COST_NODE = 16, COST_SEEN = 2 }; /* of a mailbox, in messages */

struct renaming {
    enum { RENAME_COLLECT, RENAME_MERGE, RENAME_SETTLE } step;
    unsigned at, first, end; /* the next name; those that move are [first, end) */
    unsigned moved_count, rest_count, aside_count, dead_count, merged_count;
    unsigned moved_at, rest_at;
    struct mailbox **moved;  /* mailboxes that get another name */
    struct mailbox **rest;   /* all other nodes, and the remnants */
    struct mailbox **aside;  /* nodes that are not in the user's list: the remnants */
    struct mailbox **dead;   /* those that will not be in the next one */
    struct mailbox **merged; /* the next one, as long as it may become */
};

/* --- which -------------------------------------------------------------------------- */

static bool in_tree(const struct mailbox *m, struct slice name)
{
    return slice_eq(mailbox_name(m), name) || name_below(mailbox_name(m), name);
}

void names_tree(const struct user *u, struct slice name, unsigned *from, unsigned *to)
{
    unsigned lo = names_at(u, name), hi = u->name_count;

    *from = lo;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (in_tree(u->names[mid], name))
            lo = mid + 1;
        else
            hi = mid;
    }
    *to = lo;
}

/* --- begin, end --------------------------------------------------------------------- */

void renaming_free(struct user *u)
{
    struct renaming *r = u->renaming;

    u->renaming = NULL;
    u->renamed = false;
    if (!r)
        return;
    for (unsigned i = 0; r->aside && i < r->aside_count; i++)
        mailbox_free(r->aside[i]);
    free(r->moved);
    free(r->rest);
    free(r->aside);
    free(r->dead);
    free(r->merged);
    free(r);
}

static bool begin(struct user *u, struct slice from)
{
    size_t n = 2 * (size_t)u->name_count;
    struct renaming *r = u->renaming = calloc(1, sizeof *r);

    if (!r)
        return false;
    names_tree(u, from, &r->first, &r->end);
    r->moved = calloc(n, sizeof(void *));
    r->rest = calloc(n, sizeof(void *));
    r->aside = calloc(n, sizeof(void *));
    r->dead = calloc(n, sizeof(void *));
    if (r->moved && r->rest && r->aside && r->dead)
        return true;
    renaming_free(u);
    return false;
}

/* --- COLLECT ------------------------------------------------------------------------ */

static bool move(struct user *u, struct mailbox *m, struct slice from, struct slice to)
{
    struct renaming *r = u->renaming;
    struct slice old = mailbox_name(m);
    struct mailbox *remnant = NULL;
    char *name = malloc(old.len - from.len + to.len + 1);

    if (name && m->subscribed)
        remnant = name_node(u, old);
    if (!name || (m->subscribed && !remnant)) {
        free(name);
        return false;
    }
    memcpy(name, to.at, to.len);
    memcpy(name + to.len, old.at + from.len, old.len - from.len);
    m->next = (struct next_name){
        .name = name, .bytes = (uint16_t)(old.len - from.len + to.len)};
    r->moved[r->moved_count++] = m;
    if (remnant) {
        remnant->subscribed = true;
        r->rest[r->rest_count++] = r->aside[r->aside_count++] = remnant;
    }
    return true;
}

static enum applied collect(
    struct user *u, struct slice from, struct slice to, struct progress *p)
{
    struct renaming *r = u->renaming;

    for (; r->at < u->name_count; r->at++) {
        struct mailbox *m = u->names[r->at];

        if (p->budget <= 0)
            return APPLY_MORE;
        p->budget -= COST_SEEN;
        if (r->at < r->first || r->at >= r->end || !m->exists) {
            r->rest[r->rest_count++] = m;
            continue;
        }
        if (!move(u, m, from, to))
            return APPLY_STUCK;
        p->budget -= m->subscribed ? 2 * COST_NODE : COST_NODE;
    }
    if (!names_reserve(u, r->rest_count + r->moved_count - u->name_count))
        return APPLY_STUCK;
    r->merged = calloc(u->name_cap, sizeof(void *));
    if (!r->merged)
        return APPLY_STUCK;
    r->step = RENAME_MERGE;
    return APPLIED;
}

/* --- MERGE -------------------------------------------------------------------------- */

static struct slice next_name(const struct mailbox *m)
{
    return slice_of(m->next.name, m->next.bytes);
}

/* Both lists are sorted. A node whose name a mailbox takes gives it the subscription. */
static void merge_one(struct renaming *r)
{
    struct mailbox *rest = r->rest_at < r->rest_count ? r->rest[r->rest_at] : NULL;
    struct mailbox *moved = r->moved_at < r->moved_count ? r->moved[r->moved_at] : NULL;
    int c = !rest ? 1 : !moved ? -1 : name_compare(mailbox_name(rest), next_name(moved));

    r->rest_at += c <= 0;
    r->moved_at += c > 0;
    if (c == 0) {
        moved->next.subscribed |= rest->subscribed;
        r->dead[r->dead_count++] = rest;
    } else {
        r->merged[r->merged_count++] = c < 0 ? rest : moved;
    }
}

/* From here on mailbox_name() is the next one. */
static void exchange(struct user *u)
{
    struct renaming *r = u->renaming;
    struct mailbox **aside = r->aside;

    memcpy(u->names, r->merged, r->merged_count * sizeof *u->names);
    u->name_count = r->merged_count;
    u->renamed = true;
    r->aside = r->dead;
    r->aside_count = r->dead_count;
    r->dead = aside;
    r->moved_at = 0;
    r->step = RENAME_SETTLE;
}

static enum applied merge(struct user *u, struct progress *p)
{
    struct renaming *r = u->renaming;

    while (r->rest_at < r->rest_count || r->moved_at < r->moved_count) {
        if (p->budget <= 0)
            return APPLY_MORE;
        p->budget -= COST_SEEN;
        merge_one(r);
    }
    exchange(u);
    return APPLIED;
}

/* --- SETTLE ------------------------------------------------------------------------- */

static enum applied settle(struct user *u, struct progress *p)
{
    struct renaming *r = u->renaming;

    for (; r->moved_at < r->moved_count; r->moved_at++) {
        struct mailbox *m = r->moved[r->moved_at];

        if (p->budget <= 0)
            return APPLY_MORE;
        p->budget -= COST_SEEN;
        user_memory(u, (int64_t)m->next.bytes - m->name_bytes);
        u->name_bytes += (uint64_t)m->next.bytes - m->name_bytes;
        mailbox_name_free(m);
        m->name = m->next.name;
        m->name_bytes = m->next.bytes;
        m->subscribed = m->next.subscribed;
        m->next = (struct next_name){0};
    }
    renaming_free(u);
    return APPLIED;
}

enum applied names_rename(
    struct user *u, struct slice from, struct slice to, struct progress *p)
{
    enum applied a = u->renaming || begin(u, from) ? APPLIED : APPLY_STUCK;

    if (a == APPLIED && u->renaming->step == RENAME_COLLECT)
        a = collect(u, from, to, p);
    if (a == APPLIED && u->renaming->step == RENAME_MERGE)
        a = merge(u, p);
    return a == APPLIED ? settle(u, p) : a;
}
