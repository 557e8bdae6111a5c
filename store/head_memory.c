#include "store/head_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/base/check.h"

enum { SMALL = 128 << 10, HUGE = 2 << 20, ALIGN = 8 };

struct head_chunk {
    struct head_chunk *next;
    size_t used, cap; /* from its beginning, this included */
};

static bool grow(struct head_memory *m)
{
    bool huge = m->bytes >= HUGE / 2;
    size_t cap = huge ? HUGE : SMALL;
    struct head_chunk *c = huge ? aligned_alloc(HUGE, HUGE) : malloc(SMALL);

    if (!c)
        return false;
    if (huge)
        (void)madvise(c, HUGE, MADV_HUGEPAGE); /* small pages do as well */
    *c = (struct head_chunk){.next = m->chunks, .used = sizeof *c, .cap = cap};
    m->chunks = c;
    m->bytes += cap;
    return true;
}

void *head_memory_take(struct head_memory *m, size_t n)
{
    void *piece;

    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    CHECK(n <= SMALL - sizeof(struct head_chunk));
    if ((!m->chunks || n > m->chunks->cap - m->chunks->used) && !grow(m))
        return NULL;
    piece = (char *)m->chunks + m->chunks->used;
    m->chunks->used += n;
    return piece;
}

/* NULL: no user has a name of that length. */
static void **free_names(struct head_memory *m, size_t n)
{
    return n > 0 && n <= HEAD_NAME_MAX ? &m->names[(n - 1) / HEAD_NAME_STEP] : NULL;
}

char *head_memory_name(struct head_memory *m, size_t n)
{
    void **list = free_names(m, n);
    char *name = list ? *list : NULL;

    if (!name)
        return head_memory_take(m, n);
    memcpy(list, name, sizeof *list);
    return name;
}

void head_memory_name_free(struct head_memory *m, char *name, size_t n)
{
    void **list = free_names(m, n);

    if (!list)
        return;
    memcpy(name, list, sizeof *list);
    *list = name;
}

void head_memory_free(struct head_memory *m)
{
    while (m->chunks) {
        struct head_chunk *c = m->chunks;

        m->chunks = c->next;
        free(c);
    }
    *m = (struct head_memory){0};
}
