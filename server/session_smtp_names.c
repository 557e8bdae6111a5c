/* What a transaction keeps in its arena: commands, and names that count once. */
#include "server/session_smtp_work.h"

/* --- commands -------------------------------------------------------------------- */

/* A part of `from`, in its copy. */
static struct slice moved(struct slice part, struct slice from, struct slice to)
{
    return part.len ? slice_of(to.at + (part.at - from.at), part.len) : part;
}

static bool keep(struct arena *arena, struct slice *s)
{
    if (s->len == 0)
        return true;
    *s = arena_copy(arena, *s);
    return s->at != NULL;
}

bool smtp_keep(struct arena *arena, const struct smtp_cmd *from, struct smtp_cmd *to)
{
    struct smtp_path *path = &to->path;

    *to = *from;
    if (!keep(arena, &path->text) || !keep(arena, &to->envid) ||
        !keep(arena, &to->orcpt) || !keep(arena, &to->auth) || !keep(arena, &to->hold))
        return false;
    path->local = moved(path->local, from->path.text, path->text);
    path->domain = moved(path->domain, from->path.text, path->text);
    return true;
}

/* --- names ----------------------------------------------------------------------- */

void smtp_names_init(struct smtp_names *n)
{
    *n = (struct smtp_names){.cap = sizeof n->few / sizeof *n->few};
    n->at = n->few;
}

static uint32_t *slot_of(const struct smtp_names *n, struct slice name)
{
    uint32_t mask = 2 * n->cap - 1, at = (uint32_t)slice_hash(name, 0);

    while (n->slots[at & mask] && !slice_eq(n->at[n->slots[at & mask] - 1], name))
        at++;
    return &n->slots[at & mask];
}

static uint32_t place_of(const struct smtp_names *n, struct slice name)
{
    if (n->slots)
        return *slot_of(n, name) - 1; /* an empty slot is SMTP_NO_NAME */
    for (uint32_t i = 0; i < n->count; i++)
        if (slice_eq(n->at[i], name))
            return i;
    return SMTP_NO_NAME;
}

bool smtp_names_has(const struct smtp_names *n, struct slice name)
{
    return n->count && place_of(n, name) != SMTP_NO_NAME;
}

/* Room for four times as many; the old arrays stay in the arena. */
static bool grow(struct smtp_names *n, struct arena *arena)
{
    struct smtp_names bigger = {.count = n->count, .cap = 4 * n->cap};

    bigger.at = arena_take(arena, bigger.cap * sizeof *bigger.at);
    bigger.slots = arena_zero(arena, 2 * sizeof *bigger.slots * bigger.cap);
    if (!bigger.at || !bigger.slots)
        return false;
    memcpy(bigger.at, n->at, n->count * sizeof *n->at);
    for (uint32_t i = 0; i < bigger.count; i++)
        *slot_of(&bigger, bigger.at[i]) = i + 1;
    *n = bigger;
    return true;
}

uint32_t smtp_names_add(struct smtp_names *n, struct arena *arena, struct slice name)
{
    uint32_t place = place_of(n, name);
    struct slice copy;

    if (place != SMTP_NO_NAME)
        return place;
    if (n->count == n->cap && !grow(n, arena))
        return SMTP_NO_NAME;
    copy = arena_copy(arena, name);
    if (!copy.at)
        return SMTP_NO_NAME;
    if (n->slots)
        *slot_of(n, copy) = n->count + 1;
    n->at[n->count] = copy;
    return n->count++;
}

void smtp_names_cut(struct smtp_names *names, uint32_t n)
{
    while (names->count > n) {
        names->count--;
        if (names->slots)
            *slot_of(names, names->at[names->count]) = 0;
    }
}
