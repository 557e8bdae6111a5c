#include "store/mailbox.h"

void keywords_free(struct keywords *k)
{
    keywords_cut(k, 0);
    free(k->at);
    free(k->sets);
    free(k->table);
}

int keyword_find(const struct keywords *k, struct slice keyword)
{
    for (unsigned i = 0; i < k->count; i++)
        if (slice_eq_nocase(k->at[i], keyword))
            return (int)i;
    return -1;
}

int keyword_intern(struct keywords *k, struct slice keyword)
{
    int at = keyword_find(k, keyword);
    struct slice *grown;
    char *copy;

    if (at >= 0)
        return at;
    if (k->count == KEYWORDS_HARD_MAX || keyword.len > KEYWORD_BYTES_MAX)
        return -1;
    if (k->count % 8 == 0) {
        grown = realloc(k->at, (k->count + 8u) * sizeof *grown);
        if (!grown)
            return -1;
        k->at = grown;
    }
    copy = malloc(keyword.len + 1);
    if (!copy)
        return -1;
    memcpy(copy, keyword.at, keyword.len);
    k->at[k->count] = slice_of(copy, keyword.len);
    return k->count++;
}

void keywords_cut(struct keywords *k, unsigned n)
{
    while (k->count > n)
        free((char *)k->at[--k->count].at);
}

/* --- sets: a table of their numbers, at most half full --- */

static uint16_t *set_slot(const struct keywords *k, const struct keyword_set *set)
{
    uint32_t mask = 2u * k->set_cap - 1;
    uint32_t at = (uint32_t)slice_hash(slice_of((const char *)set, sizeof *set), 0);

    for (;; at++) {
        uint16_t *slot = &k->table[at & mask];

        if (*slot == 0 || memcmp(&k->sets[*slot - 1], set, sizeof *set) == 0)
            return slot;
    }
}

static bool sets_grow(struct keywords *k, unsigned cap)
{
    struct keyword_set *sets = realloc(k->sets, cap * sizeof *sets);
    uint16_t *table;

    if (!sets)
        return false;
    k->sets = sets;
    table = calloc(cap, 2 * sizeof *table);
    if (!table)
        return false;
    free(k->table);
    k->table = table;
    k->set_cap = (uint16_t)cap;
    for (unsigned i = 0; i < k->set_count; i++) {
        uint16_t *slot = set_slot(k, &k->sets[i]);

        if (*slot == 0)
            *slot = (uint16_t)(i + 1);
    }
    return true;
}

bool keywords_init(struct keywords *k)
{
    *k = (struct keywords){0};
    if (!sets_grow(k, 4))
        return false;
    k->sets[0] = (struct keyword_set){0};
    k->set_count = 1;
    *set_slot(k, &k->sets[0]) = 1;
    return true;
}

int keyword_set_intern(struct keywords *k, const struct keyword_set *set)
{
    uint16_t *slot = set_slot(k, set);

    if (*slot)
        return *slot - 1;
    if (k->set_count == KEYWORD_SETS_MAX)
        return SETS_FULL;
    if (k->set_count == k->set_cap) {
        if (!sets_grow(k, 2u * k->set_cap))
            return -1;
        slot = set_slot(k, set);
    }
    k->sets[k->set_count] = *set;
    *slot = ++k->set_count;
    return k->set_count - 1;
}

bool keyword_sets_take(struct keywords *k, struct slice sets)
{
    unsigned n = (unsigned)(sets.len / sizeof(struct keyword_set)), cap = k->set_cap;

    while (cap < n)
        cap *= 2;
    if (cap > k->set_cap && !sets_grow(k, cap))
        return false;
    for (unsigned i = k->set_count; i < n; i++) {
        uint16_t *slot;

        memcpy(&k->sets[i], sets.at + i * sizeof *k->sets, sizeof *k->sets);
        k->set_count = (uint16_t)(i + 1);
        slot = set_slot(k, &k->sets[i]);
        if (*slot == 0)
            *slot = (uint16_t)(i + 1);
    }
    return true;
}

/* --- for sessions --- */

bool mailbox_keyword_at(const struct mailbox *m, unsigned i, struct slice *keyword)
{
    if (!m->content || i >= m->content->keywords.shown)
        return false;
    *keyword = m->content->keywords.at[i];
    return true;
}

bool mailbox_keyword_in(const struct mailbox *m, uint16_t set, unsigned i)
{
    const struct keywords *k;

    if (!m->content || i >= KEYWORDS_HARD_MAX)
        return false;
    k = &m->content->keywords;
    return set < k->set_count && (k->sets[set].bits[i / 64] >> (i % 64) & 1);
}

int mailbox_keyword_find(const struct mailbox *m, struct slice keyword)
{
    int at = m->content ? keyword_find(&m->content->keywords, keyword) : -1;

    return at >= 0 && at < m->content->keywords.shown ? at : -1;
}
