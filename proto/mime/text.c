#include "proto/mime/text.h"

#include "proto/base/check.h"

enum { TEXT_FIRST = 256 };

static void text_window(struct text *t, size_t used)
{
    t->out.at = t->base + used;
    t->out.len = 0;
    t->out.cap = t->cap - used;
}

/* A larger piece of the arena with the same content. */
static bool text_grow(struct text *t, size_t cap)
{
    size_t used = text_len(t);
    char *base;

    if (cap > t->limit)
        cap = t->limit;
    if (cap <= used)
        return false;
    base = arena_take(t->arena, cap);
    if (!base) {
        t->no_memory = true;
        return false;
    }
    if (used)
        memcpy(base, t->base, used);
    t->base = base;
    t->cap = cap;
    text_window(t, used);
    return true;
}

static bool text_more(struct out *out)
{
    struct text *t = container_of(out, struct text, out);

    return text_grow(t, t->cap ? t->cap * 2 : TEXT_FIRST);
}

void text_init(struct text *t, struct arena *arena, size_t limit)
{
    *t = (struct text){.out = {.more = text_more}, .arena = arena, .limit = limit};
}

void text_reset(struct text *t)
{
    t->out.full = false;
    if (t->base)
        text_window(t, 0);
}

bool text_reserve(struct text *t, size_t n)
{
    size_t cap = t->cap ? t->cap : TEXT_FIRST;

    if (n <= t->cap)
        return true;
    if (n > t->limit)
        return false;
    while (cap < n)
        cap *= 2;
    return text_grow(t, cap);
}

void text_cut(struct text *t, size_t n)
{
    CHECK(n <= text_len(t));
    t->out.full = false;
    if (t->base)
        text_window(t, n);
}
