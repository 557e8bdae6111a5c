/* fence.h -- bytes that end where readable memory ends, for tests of parsers. */
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/slice.h"

/* One readable page between two that are not. */
struct fence {
    char *page;
    size_t size;
};

static inline struct fence fence_make(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    CHECK(mprotect(at + size, size, PROT_READ | PROT_WRITE) == 0);
    return (struct fence){at + size, size};
}

static inline void fence_free(struct fence *f)
{
    CHECK(munmap(f->page - f->size, 3 * f->size) == 0);
}

/* A copy of s, at most a page, that ends at the end of readable memory. */
static inline struct slice fence_end(struct fence *f, struct slice s)
{
    char *at = f->page + f->size - s.len;

    CHECK(s.len <= f->size);
    if (s.len)
        memcpy(at, s.at, s.len);
    return slice_of(at, s.len);
}

/* A copy that begins at the start of readable memory. */
static inline struct slice fence_start(struct fence *f, struct slice s)
{
    CHECK(s.len <= f->size);
    if (s.len)
        memcpy(f->page, s.at, s.len);
    return slice_of(f->page, s.len);
}
