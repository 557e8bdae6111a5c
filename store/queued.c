#include "store/queued.h"

#include <stdlib.h>

#include "proto/base/check.h"

static unsigned level_of(uint64_t id)
{
    uint64_t bits = (id * 0x9e3779b97f4a7c15u) >> 24;
    unsigned level = 1;

    for (; level < QUEUED_LEVELS && (bits & 3) == 0; bits >>= 2)
        level++;
    return level;
}

/* The links that lead to the first entry not below `id`, one of each level. */
static void seek(struct queue_table *t, uint64_t id, struct queued **links[QUEUED_LEVELS])
{
    struct queued **next = t->head;

    for (unsigned level = QUEUED_LEVELS; level-- > 0;) {
        while (next[level] && next[level]->id < id)
            next = next[level]->next;
        links[level] = &next[level];
    }
}

static struct queued *first_from(const struct queue_table *t, uint64_t id)
{
    struct queued *const *next = t->head;

    for (unsigned level = QUEUED_LEVELS; level-- > 0;)
        while (next[level] && next[level]->id < id)
            next = next[level]->next;
    return next[0];
}

struct queued *queued_find(const struct queue_table *t, uint64_t id)
{
    struct queued *q = first_from(t, id);

    return q && q->id == id ? q : NULL;
}

struct queued *queued_after(const struct queue_table *t, uint64_t id)
{
    return id == UINT64_MAX ? NULL : first_from(t, id + 1);
}

struct queued *queued_add(struct queue_table *t, uint64_t id, struct slice envelope)
{
    struct queued **links[QUEUED_LEVELS], *q;
    unsigned level = level_of(id);

    q = malloc(sizeof *q + level * sizeof q->next[0] + envelope.len);
    if (!q)
        return NULL;
    *q = (struct queued){
        .id = id, .level = (uint8_t)level, .envelope_bytes = (uint32_t)envelope.len};
    q->envelope = (char *)&q->next[level];
    if (envelope.len)
        memcpy(q->envelope, envelope.at, envelope.len);
    seek(t, id, links);
    CHECK(!*links[0] || (*links[0])->id != id);
    for (unsigned i = 0; i < level; i++) {
        q->next[i] = *links[i];
        *links[i] = q;
    }
    t->held += envelope.len;
    return q;
}

void queued_remove(struct queue_table *t, struct queued *q)
{
    struct queued **links[QUEUED_LEVELS];

    seek(t, q->id, links);
    for (unsigned i = 0; i < q->level; i++)
        *links[i] = q->next[i];
    if (q->durable) {
        t->count--;
        t->bytes -= q->size;
    }
    t->held -= (uint64_t)q->envelope_bytes + q->state_bytes;
    free(q->state);
    free(q);
}

void queued_show(struct queue_table *t, struct queued *q)
{
    if (q->durable)
        return;
    q->durable = true;
    t->count++;
    t->bytes += q->size;
}

bool queued_reserve(struct queued *q, size_t state_bytes)
{
    char *at;

    if (state_bytes <= q->state_cap)
        return true;
    at = realloc(q->state, state_bytes);
    if (!at)
        return false;
    q->state = at;
    q->state_cap = (uint32_t)state_bytes;
    return true;
}

void queued_set_state(struct queue_table *t, struct queued *q, struct slice state)
{
    CHECK(state.len <= q->state_cap);
    if (state.len)
        memmove(q->state, state.at, state.len);
    t->held += state.len;
    t->held -= q->state_bytes;
    q->state_bytes = (uint32_t)state.len;
}

void queue_table_free(struct queue_table *t)
{
    struct queued *q = t->head[0], *next;

    for (; q; q = next) {
        next = q->next[0];
        free(q->state);
        free(q);
    }
    *t = (struct queue_table){0};
}
