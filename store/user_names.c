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

static void lists_at(struct user *u, struct mailbox **lists, uint32_t cap)
{
    u->names = lists;
    u->ids = lists + cap;
    u->name_cap = cap;
}

void names_init(struct user *u)
{
    lists_at(u, u->few, FEW_NAMES);
}

void names_free(struct user *u)
{
    if (u->names == u->few)
        return;
    user_memory(u, -(int64_t)(2 * u->name_cap * sizeof *u->names));
    free(u->names);
}

bool names_reserve(struct user *u, unsigned more)
{
    uint32_t cap = u->name_cap;
    struct mailbox **lists;

    if (u->name_count + more <= cap)
        return true;
    while (cap < u->name_count + more)
        cap *= 2;
    lists = malloc(2 * cap * sizeof *lists);
    if (!lists)
        return false;
    memcpy(lists, u->names, u->name_count * sizeof *lists);
    memcpy(lists + cap, u->ids, u->id_count * sizeof *lists);
    names_free(u);
    lists_at(u, lists, cap);
    user_memory(u, (int64_t)(2 * cap * sizeof *lists));
    return true;
}

struct mailbox *name_node(struct user *u, struct slice name)
{
    struct cells *cells = &u->store->mailboxes;
    struct mailbox *m = cell_take(cells);

    if (!m)
        return NULL;
    m->name = name.len <= SHORT_NAME ? m->short_name : malloc(name.len);
    if (!m->name) {
        cell_give(cells, m);
        return NULL;
    }
    memcpy(m->name, name.at, name.len);
    m->name_bytes = (uint16_t)name.len;
    m->user = u;
    list_init(&m->waiters);
    list_init(&m->views);
    user_memory(u, (int64_t)(sizeof *m + name.len));
    u->name_bytes += name_cost(name.len);
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
    m = name_node(u, name);
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
    segments_join(&u->left, m->segments);
    u->id_count--;
    memmove(&u->ids[at], &u->ids[at + 1], (u->id_count - at) * sizeof m);
}
