#include "store/heads.h"

#include <stdlib.h>

#include "store/records.h"

enum { BLOCK = 256, NONE = UINT32_MAX, BUCKETS_MAX = 1 << 30 };

struct head *heads_at(const struct heads *h, uint32_t i)
{
    struct head *head = &h->blocks[i / BLOCK][i % BLOCK];

    return head->name ? head : NULL;
}

static struct head *slot(const struct heads *h, uint32_t i)
{
    return &h->blocks[i / BLOCK][i % BLOCK];
}

/* --- a table --- */

static uint32_t *bucket(const struct head_table *t, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & t->mask;

    /* Buckets below buckets - (mask + 1) have been split already. */
    if (i + t->mask + 1 < t->buckets)
        i = (uint32_t)hash & (2 * t->mask + 1);
    return &t->blocks[i / BLOCK][i % BLOCK];
}

static bool block_add(struct heads *h, struct head_table *t)
{
    uint32_t at = t->buckets / BLOCK;
    uint32_t *block;

    if (at == t->block_cap) {
        uint32_t cap = t->block_cap ? 2 * t->block_cap : 16;
        uint32_t **blocks = realloc(t->blocks, cap * sizeof *blocks);

        if (!blocks)
            return false;
        t->blocks = blocks;
        t->block_cap = cap;
    }
    block = head_memory_take(&h->memory, BLOCK * sizeof *block);
    if (!block)
        return false;
    t->blocks[at] = block;
    return true;
}

/* An empty table of `buckets` buckets, a power of two and at least BLOCK. */
static bool table_init(struct heads *h, struct head_table *t, uint32_t buckets)
{
    while (t->buckets < buckets) {
        if (!block_add(h, t))
            return false;
        memset(t->blocks[t->buckets / BLOCK], 0xff, BLOCK * sizeof(uint32_t));
        t->buckets += BLOCK;
    }
    t->mask = buckets - 1;
    return true;
}

static void table_free(struct head_table *t)
{
    free(t->blocks);
    *t = (struct head_table){0};
}

static uint64_t hash_name(const struct heads *h, const struct head *head)
{
    return slice_hash(head_name(head), h->key);
}

/* Numbers are counters, and what is read or written of many heads comes in their order:
 * neighbours stand side by side. Those of another shard, from a resharding, begin
 * elsewhere. */
static uint64_t hash_id(const struct heads *h, const struct head *head)
{
    (void)h;
    return head->id + (head->id >> USER_SHARD_SHIFT) * 0x9e3779b97f4a7c15u;
}

typedef uint64_t hash_fn(const struct heads *h, const struct head *head);

static uint32_t *name_link(struct head *head)
{
    return &head->name_link;
}

static uint32_t *id_link(struct head *head)
{
    return &head->id_link;
}

typedef uint32_t *link_fn(struct head *head);

/* One more bucket: what belongs there comes from the one that it was split from. */
static void split(struct heads *h, struct head_table *t, hash_fn *hash, link_fn *link)
{
    uint32_t from = t->buckets - (t->mask + 1), to = t->buckets;
    uint32_t at, *bucket_from, *bucket_to;

    if (to % BLOCK == 0 && !block_add(h, t))
        return; /* a table that is too full is only slower */
    bucket_from = &t->blocks[from / BLOCK][from % BLOCK];
    bucket_to = &t->blocks[to / BLOCK][to % BLOCK];
    at = *bucket_from;
    *bucket_from = *bucket_to = NONE;
    t->buckets++;
    while (at != NONE) {
        struct head *head = slot(h, at);
        uint32_t next = *link(head);
        bool moves = ((uint32_t)hash(h, head) & (2 * t->mask + 1)) == to;
        uint32_t *into = moves ? bucket_to : bucket_from;

        *link(head) = *into;
        *into = at;
        at = next;
    }
    if (t->buckets == 2 * (t->mask + 1))
        t->mask = 2 * t->mask + 1;
}

static void table_add(
    struct heads *h, struct head_table *t, hash_fn *hash, link_fn *link, uint32_t at)
{
    struct head *head = slot(h, at);
    uint32_t *into;

    if (h->count > t->buckets && t->buckets < BUCKETS_MAX)
        split(h, t, hash, link);
    into = bucket(t, hash(h, head));
    *link(head) = *into;
    *into = at;
}

static bool table_remove(struct heads *h, struct head_table *t, hash_fn *hash,
    link_fn *link, struct head *head)
{
    uint32_t *at = bucket(t, hash(h, head));

    while (*at != NONE && slot(h, *at) != head)
        at = link(slot(h, *at));
    if (*at == NONE)
        return false;
    *at = *link(head);
    return true;
}

/* --- heads --- */

enum status heads_init(struct heads *h, uint64_t key)
{
    *h = (struct heads){.free = NONE, .key = key};
    if (!table_init(h, &h->by_name, BLOCK) || !table_init(h, &h->by_id, BLOCK)) {
        heads_free(h);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status heads_expect(struct heads *h, uint64_t count)
{
    uint32_t buckets = BLOCK;

    CHECK(h->count == 0);
    while (buckets < count && buckets < BUCKETS_MAX)
        buckets *= 2;
    table_free(&h->by_name);
    table_free(&h->by_id);
    return table_init(h, &h->by_name, buckets) && table_init(h, &h->by_id, buckets)
        ? STATUS_OK
        : STATUS_NO_MEMORY;
}

void heads_free(struct heads *h)
{
    free(h->blocks);
    table_free(&h->by_name);
    table_free(&h->by_id);
    head_memory_free(&h->memory);
    *h = (struct heads){.free = NONE};
}

static bool grow(struct heads *h)
{
    const size_t bytes = BLOCK * sizeof(struct head);
    struct head *block;

    if (h->block_count == h->block_cap) {
        uint32_t cap = h->block_cap ? 2 * h->block_cap : 16;
        struct head **blocks = realloc(h->blocks, cap * sizeof *blocks);

        if (!blocks)
            return false;
        h->blocks = blocks;
        h->block_cap = cap;
    }
    block = head_memory_take(&h->memory, bytes);
    if (!block)
        return false;
    memset(block, 0, bytes);
    h->blocks[h->block_count++] = block;
    return true;
}

static bool take_slot(struct heads *h, uint32_t *at)
{
    if (h->free != NONE) {
        *at = h->free;
        h->free = slot(h, *at)->id_link;
        return true;
    }
    if (h->slots == h->block_count * BLOCK && !grow(h))
        return false;
    *at = h->slots++;
    return true;
}

struct head *heads_add(struct heads *h, uint64_t id, struct slice name)
{
    char *copy = head_memory_name(&h->memory, name.len + 1);
    struct head *head;
    uint32_t at;

    if (!copy)
        return NULL;
    if (!take_slot(h, &at)) {
        head_memory_name_free(&h->memory, copy, name.len + 1);
        return NULL;
    }
    memcpy(copy, name.at, name.len);
    copy[name.len] = 0;
    head = slot(h, at);
    *head = (struct head){.name = copy, .id = id, .name_bytes = (uint16_t)name.len};
    h->count++;
    h->name_bytes += name.len + 1;
    table_add(h, &h->by_id, hash_id, id_link, at);
    return head;
}

static uint32_t slot_of(const struct heads *h, const struct head *head)
{
    uint32_t at = *bucket(&h->by_id, hash_id(h, head));

    while (slot(h, at) != head)
        at = slot(h, at)->id_link;
    return at;
}

void heads_remove(struct heads *h, struct head *head)
{
    uint32_t at = slot_of(h, head);

    heads_unname(h, head);
    table_remove(h, &h->by_id, hash_id, id_link, head);
    h->count--;
    h->name_bytes -= head->name_bytes + 1u;
    head_memory_name_free(&h->memory, head->name, head->name_bytes + 1u);
    *head = (struct head){.id_link = h->free};
    h->free = at;
}

void heads_name(struct heads *h, struct head *head)
{
    table_add(h, &h->by_name, hash_name, name_link, slot_of(h, head));
}

void heads_unname(struct heads *h, struct head *head)
{
    table_remove(h, &h->by_name, hash_name, name_link, head);
}

void heads_near(const struct heads *h, struct slice name)
{
    __builtin_prefetch(bucket(&h->by_name, slice_hash(name, h->key)), 1);
}

struct head *heads_find(const struct heads *h, struct slice name)
{
    uint32_t at = *bucket(&h->by_name, slice_hash(name, h->key));

    while (at != NONE && !slice_eq(head_name(slot(h, at)), name))
        at = slot(h, at)->name_link;
    return at == NONE ? NULL : slot(h, at);
}

struct head *heads_by_id(const struct heads *h, uint64_t id)
{
    struct head key = {.id = id};
    uint32_t at = *bucket(&h->by_id, hash_id(h, &key));

    while (at != NONE && slot(h, at)->id != id)
        at = slot(h, at)->id_link;
    return at == NONE ? NULL : slot(h, at);
}
