#include "store/mailbox.h"

/* --- order --- */

int name_compare(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)a.at[i], y = (unsigned char)b.at[i];

        if (x == y)
            continue;
        if (x == '/' || y == '/')
            return x == '/' ? -1 : 1;
        return x < y ? -1 : 1;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool name_below(struct slice name, struct slice parent)
{
    return name.len > parent.len && name.at[parent.len] == '/' &&
        slice_eq(slice_of(name.at, parent.len), parent);
}

unsigned names_at(const struct user *u, struct slice name)
{
    unsigned lo = 0, hi = u->name_count;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (name_compare(mailbox_name(u->names[mid]), name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct mailbox *names_find(const struct user *u, struct slice name)
{
    unsigned at = names_at(u, name);

    if (at == u->name_count || !slice_eq(mailbox_name(u->names[at]), name))
        return NULL;
    return u->names[at];
}

/* --- nodes --- */

static bool names_reserve(struct user *u, unsigned more)
{
    uint32_t cap = u->name_cap ? u->name_cap : 8;
    struct mailbox **names, **ids;

    if (u->name_count + more <= u->name_cap)
        return true;
    while (cap < u->name_count + more)
        cap *= 2;
    names = realloc(u->names, cap * sizeof *names);
    if (!names)
        return false;
    u->names = names;
    ids = realloc(u->ids, cap * sizeof *ids);
    if (!ids)
        return false;
    u->ids = ids;
    user_memory(u, (int64_t)(2 * sizeof *ids * (cap - u->name_cap)));
    u->name_cap = cap;
    return true;
}

static struct mailbox *node_new(struct user *u, struct slice name)
{
    struct mailbox *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->name = malloc(name.len + 1);
    if (!m->name) {
        free(m);
        return NULL;
    }
    memcpy(m->name, name.at, name.len);
    m->name_bytes = (uint16_t)name.len;
    m->user = u;
    list_init(&m->waiters);
    list_init(&m->views);
    user_memory(u, (int64_t)(sizeof *m + name.len));
    return m;
}

struct mailbox *names_add(struct user *u, struct slice name)
{
    unsigned at = names_at(u, name);
    struct mailbox *m;

    if (at < u->name_count && slice_eq(mailbox_name(u->names[at]), name))
        return u->names[at];
    if (!names_reserve(u, 1))
        return NULL;
    m = node_new(u, name);
    if (!m)
        return NULL;
    memmove(&u->names[at + 1], &u->names[at], (u->name_count - at) * sizeof m);
    u->names[at] = m;
    u->name_count++;
    return m;
}

void names_remove(struct user *u, struct mailbox *m)
{
    unsigned at = names_at(u, mailbox_name(m));

    u->name_count--;
    memmove(&u->names[at], &u->names[at + 1], (u->name_count - at) * sizeof m);
}

/* --- numbers --- */

static unsigned ids_at(const struct user *u, uint32_t id)
{
    unsigned lo = 0, hi = u->id_count;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (u->ids[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct mailbox *user_mailbox_id(const struct user *u, uint32_t id)
{
    unsigned at = ids_at(u, id);

    return at < u->id_count && u->ids[at]->id == id ? u->ids[at] : NULL;
}

void ids_add(struct user *u, struct mailbox *m)
{
    unsigned at = ids_at(u, m->id);

    CHECK(u->id_count < u->name_cap); /* every one of them has a name */
    memmove(&u->ids[at + 1], &u->ids[at], (u->id_count - at) * sizeof m);
    u->ids[at] = m;
    u->id_count++;
}

void ids_remove(struct user *u, struct mailbox *m)
{
    unsigned at = ids_at(u, m->id);

    CHECK(at < u->id_count && u->ids[at] == m);
    u->id_count--;
    memmove(&u->ids[at], &u->ids[at + 1], (u->id_count - at) * sizeof m);
}

/* --- renaming a tree --- */

/* The nodes [*from, *to) are the name and all below it: they stand together. */
static void subtree(const struct user *u, struct slice name, unsigned *from, unsigned *to)
{
    *from = *to = names_at(u, name);
    while (*to < u->name_count &&
        (slice_eq(mailbox_name(u->names[*to]), name) ||
            name_below(mailbox_name(u->names[*to]), name)))
        ++*to;
}

/* Subscriptions stay with the names (RFC 3501, 6.3.6: a server must not take a name off
 * the list): a remnant keeps each where the mailbox was. */
struct renaming {
    struct mailbox **moved; /* mailboxes that get another name */
    char **names;           /* and which */
    struct mailbox **rest;  /* all other nodes, and the remnants */
    unsigned moved_count, rest_count;
};

static bool renaming_init(struct user *u, struct renaming *r)
{
    size_t n = 2 * (size_t)u->name_count + 1;

    *r = (struct renaming){.moved = calloc(n, sizeof(void *)),
        .names = calloc(n, sizeof(void *)),
        .rest = calloc(n, sizeof(void *))};
    return r->moved && r->names && r->rest;
}

static void renaming_free(struct renaming *r)
{
    free(r->moved);
    free(r->names);
    free(r->rest);
}

static bool renaming_add(struct user *u, struct mailbox *m, struct slice from,
    struct slice to, struct renaming *r)
{
    struct slice old = mailbox_name(m);
    struct mailbox *remnant = NULL;
    char *name = malloc(old.len - from.len + to.len + 1);

    if (!name)
        return false;
    memcpy(name, to.at, to.len);
    memcpy(name + to.len, old.at + from.len, old.len - from.len);
    r->names[r->moved_count] = name;
    r->moved[r->moved_count++] = m;
    if (!m->subscribed)
        return true;
    remnant = node_new(u, old);
    if (!remnant)
        return false;
    remnant->subscribed = true;
    r->rest[r->rest_count++] = remnant;
    return true;
}

static bool renaming_make(
    struct user *u, struct slice from, struct slice to, struct renaming *r)
{
    unsigned first, end;

    if (!renaming_init(u, r))
        return false;
    subtree(u, from, &first, &end);
    for (unsigned i = 0; i < u->name_count; i++) {
        struct mailbox *m = u->names[i];

        if (i < first || i >= end || !m->exists)
            r->rest[r->rest_count++] = m;
        else if (!renaming_add(u, m, from, to, r))
            return false;
    }
    return names_reserve(u, r->rest_count + r->moved_count - u->name_count);
}

/* No memory: as if nothing had been. A remnant's name is that of a mailbox that moved. */
static void renaming_undo(struct user *u, struct renaming *r)
{
    for (unsigned i = 0; i < r->moved_count; i++)
        free(r->names[i]);
    for (unsigned i = 0; i < r->rest_count; i++)
        if (names_find(u, mailbox_name(r->rest[i])) != r->rest[i])
            mailbox_free(r->rest[i]);
}

static void rename_nodes(struct renaming *r, struct slice from, struct slice to)
{
    for (unsigned i = 0; i < r->moved_count; i++) {
        struct mailbox *m = r->moved[i];

        m->name_bytes = (uint16_t)(m->name_bytes - from.len + to.len);
        free(m->name);
        m->name = r->names[i];
        m->subscribed = false;
    }
}

/* Both lists are sorted. A remnant whose name a mailbox takes gives it the subscription.
 */
static void names_merge(struct user *u, const struct renaming *r)
{
    unsigned i = 0, k = 0, n = 0;

    while (i < r->rest_count || k < r->moved_count) {
        int c = i == r->rest_count ? 1
            : k == r->moved_count
            ? -1
            : name_compare(mailbox_name(r->rest[i]), mailbox_name(r->moved[k]));
        if (c == 0) {
            r->moved[k]->subscribed |= r->rest[i]->subscribed;
            mailbox_free(r->rest[i++]);
        } else {
            u->names[n++] = c < 0 ? r->rest[i++] : r->moved[k++];
        }
    }
    u->name_count = n;
}

bool names_rename(struct user *u, struct slice from, struct slice to)
{
    struct renaming r;
    bool made = renaming_make(u, from, to, &r);

    if (made) {
        rename_nodes(&r, from, to);
        names_merge(u, &r);
    } else if (r.moved && r.names && r.rest) {
        renaming_undo(u, &r);
    }
    renaming_free(&r);
    return made;
}
