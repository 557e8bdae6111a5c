/* LIST and LSUB: RFC 3501, 6.3.8 and 6.3.9; RFC 5258; RFC 6154.
 *
 * The names of the user are walked in their order, in which children follow their parent.
 * A parent that has no entry of its own ("a" where only "a/b" is subscribed) is met at
 * its first descendant: at the levels of a name that the one before it does not share.
 */
#include "proto/imap/imap_name.h"
#include "server/session_imap_work.h"

enum {
    LISTED_MAX = 2 * IMAP_NAME_MAX, /* octets of any name in the store */
    NAMES_PER_UNIT = 2,             /* looked at in a unit */
    OCTETS_PER_UNIT = 64,           /* of a name, compared with one word of a pattern */
    PATTERN_WORD = 64,              /* octets of a pattern in a word */
};

struct list_cursor {
    const struct imap_pattern **patterns;
    unsigned pattern_count;
    unsigned words;  /* of the patterns: what an octet of a name costs (imap_pattern.c) */
    unsigned index;  /* of the next name, while `fresh` */
    bool fresh;      /* no turn of the loop has passed since `index` was right */
    size_t last_len; /* of the name before, among those that count */
    char last[LISTED_MAX];
    size_t at_len; /* of the name looked at last */
    char at[LISTED_MAX];
};

/* --- what matches ----------------------------------------------------------------------
 */

static bool matches(const struct list_cursor *c, struct slice name)
{
    for (unsigned i = 0; i < c->pattern_count; i++)
        if (imap_pattern_match(c->patterns[i], name))
            return true;
    return false;
}

/* Do the options choose this name (RFC 5258, 3.1; RFC 6154, 2)? */
static bool is_chosen(const struct imap_list *list, const struct mailbox_info *info)
{
    bool subscribed = list->select & IMAP_LIST_SUBSCRIBED;

    if (subscribed ? !info->subscribed : !info->exists)
        return false;
    return !(list->select & IMAP_LIST_SPECIAL_USE) || info->use != USE_NONE;
}

static bool is_below(struct slice name, struct slice parent)
{
    return name.len > parent.len && name.at[parent.len] == IMAP_DELIMITER &&
        slice_eq(slice_of(name.at, parent.len), parent);
}

/* Is a chosen name below `parent`, and is one of them not matched itself? Descendants
 * are looked for from index i on. */
static bool has_chosen(struct session_imap *s, const struct list_cursor *c, unsigned i,
    struct slice parent, bool *unmatched)
{
    const struct imap_list *list = &s->work->cmd.list;
    struct mailbox_info info;
    bool any = false;

    *unmatched = false;
    for (; user_mailbox_at(s->user, i, &info); i++) {
        if (slice_eq(info.name, parent))
            continue;
        if (!is_below(info.name, parent))
            break;
        if (i % NAMES_PER_UNIT == 0)
            imap_spent(s, 1);
        if (!is_chosen(list, &info))
            continue;
        any = true;
        *unmatched = !matches(c, info.name);
        if (*unmatched)
            break;
    }
    return any;
}

/* The levels of `name`, itself not among them, that have no entry of their own and were
 * not met before. A bit for each, the topmost in bit 0. */
static uint32_t new_parents(const struct list_cursor *c, struct slice name)
{
    struct slice last = slice_of(c->last, c->last_len);
    uint32_t bits = 0;
    unsigned level = 0;

    for (size_t i = 0; i < name.len && level < IMAP_LEVELS_MAX; i++) {
        struct slice parent = slice_of(name.at, i);

        if (name.at[i] != IMAP_DELIMITER)
            continue;
        if (!slice_eq(last, parent) && !is_below(last, parent))
            bits |= 1U << level;
        level++;
    }
    return bits;
}

static void remember(char *at, size_t *len, struct slice name)
{
    CHECK(name.len <= LISTED_MAX);
    *len = name.len;
    memcpy(at, name.at, *len);
}

/* --- LIST ------------------------------------------------------------------------------
 */

static unsigned attributes_of(
    const struct imap_list *list, const struct mailbox_info *info)
{
    unsigned a = info->has_children ? IMAP_ATTR_HAS_CHILDREN : IMAP_ATTR_HAS_NO_CHILDREN;

    if (!info->exists)
        a |= IMAP_ATTR_NONEXISTENT;
    else if (!info->selectable)
        a |= IMAP_ATTR_NOSELECT;
    if ((list->want & IMAP_LIST_SUBSCRIBED) && info->subscribed)
        a |= IMAP_ATTR_SUBSCRIBED;
    return a;
}

/* RFC 5258, 3.1 (RECURSIVEMATCH): parents without an entry. */
static void list_parents(
    struct session_imap *s, struct list_cursor *c, unsigned i, struct slice name)
{
    uint32_t parents = new_parents(c, name);

    for (unsigned level = 0; parents >> level; level++) {
        struct slice parent = imap_name_levels(name, level + 1);
        bool unmatched;

        if ((parents >> level & 1) && matches(c, parent) &&
            has_chosen(s, c, i, parent, &unmatched) && unmatched)
            imap_put_list(&s->conn.out, S("LIST"),
                IMAP_ATTR_NONEXISTENT | IMAP_ATTR_HAS_CHILDREN, IMAP_USE_NONE, parent,
                true);
    }
}

static void list_name(struct session_imap *s, struct list_cursor *c, unsigned i,
    const struct mailbox_info *info)
{
    const struct imap_list *list = &s->work->cmd.list;
    bool recursive = list->select & IMAP_LIST_RECURSIVEMATCH;
    bool chosen = is_chosen(list, info), child = false, unmatched = false;

    if (recursive)
        list_parents(s, c, i, info->name);
    if (!matches(c, info->name))
        return;
    if (recursive)
        child = has_chosen(s, c, i + 1, info->name, &unmatched);
    if (chosen || unmatched)
        imap_put_list(&s->conn.out, S("LIST"), attributes_of(list, info),
            (enum imap_use)info->use, info->name, child);
}

/* --- LSUB ------------------------------------------------------------------------------
 */

/* RFC 3501, 6.3.9: a parent that matches `%` where only its child is subscribed is told
 * with \Noselect. */
static void lsub_name(
    struct session_imap *s, struct list_cursor *c, const struct mailbox_info *info)
{
    uint32_t parents, levels;

    if (!info->subscribed)
        return;
    if (matches(c, info->name)) {
        imap_put_list(
            &s->conn.out, S("LSUB"), 0, (enum imap_use)USE_NONE, info->name, false);
    } else {
        parents = new_parents(c, info->name);
        levels = parents & imap_pattern_levels(c->patterns[0], info->name);
        for (unsigned level = 0; levels >> level; level++)
            if (levels >> level & 1)
                imap_put_list(&s->conn.out, S("LSUB"), IMAP_ATTR_NOSELECT, IMAP_USE_NONE,
                    imap_name_levels(info->name, level + 1), false);
    }
    remember(c->last, &c->last_len, info->name);
}

/* --- both ------------------------------------------------------------------------------
 */

static struct list_cursor *begin(struct session_imap *s)
{
    const struct imap_list *list = &s->work->cmd.list;
    struct list_cursor *c = imap_cursor(s, sizeof *c);
    size_t bytes = list->pattern_count * sizeof *c->patterns;

    if (!c)
        return NULL;
    c->fresh = true;
    c->patterns = arena_take(&s->work->arena, bytes);
    for (unsigned i = 0; c->patterns && i < list->pattern_count; i++) {
        const struct imap_pattern *p;

        if (list->extended && list->patterns[i].len == 0)
            continue; /* RFC 5258, 3 */
        p = imap_pattern_compile(list->reference, list->patterns[i], &s->work->arena);
        c->words +=
            1 + (unsigned)(list->reference.len + list->patterns[i].len) / PATTERN_WORD;
        if (!p)
            c->patterns = NULL;
        else
            c->patterns[c->pattern_count++] = p;
    }
    if (c->patterns)
        return c;
    imap_no(s, S("[LIMIT]"), S("Out of memory"));
    return NULL;
}

/* RFC 3501, 6.3.8: an empty name asks for the delimiter. */
static bool asks_delimiter(const struct imap_cmd *cmd)
{
    return cmd->verb == IMAP_LIST && !cmd->list.extended &&
        cmd->list.patterns[0].len == 0;
}

/* In units. */
static int cost_of(const struct list_cursor *c, struct slice name)
{
    return 2 + (int)((1 + name.len / OCTETS_PER_UNIT) * c->words / 2);
}

static enum turn walk(struct session_imap *s, struct list_cursor *c)
{
    bool lsub = s->work->cmd.verb == IMAP_LSUB;
    struct mailbox_info info;
    enum turn turn = TURN_AGAIN;

    if (!c->fresh)
        c->index = user_mailbox_after(s->user, slice_of(c->at, c->at_len));
    c->fresh = false;
    while (turn == TURN_AGAIN && user_mailbox_at(s->user, c->index, &info)) {
        if (lsub)
            lsub_name(s, c, &info);
        else
            list_name(s, c, c->index, &info);
        if (!lsub)
            remember(c->last, &c->last_len, info.name);
        remember(c->at, &c->at_len, info.name);
        c->index++;
        turn = imap_pace(s, cost_of(c, info.name));
    }
    return turn == TURN_AGAIN ? imap_ok(s) : turn;
}

enum turn imap_step_list(struct session_imap *s)
{
    struct list_cursor *c = s->work->cursor;

    if (!c && asks_delimiter(&s->work->cmd)) {
        imap_put_list(
            &s->conn.out, S("LIST"), IMAP_ATTR_NOSELECT, IMAP_USE_NONE, S(""), false);
        return imap_ok(s);
    }
    if (!c)
        c = begin(s);
    return c ? walk(s, c) : TURN_DONE;
}
