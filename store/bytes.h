/* bytes.h -- a byte buffer that grows, for payloads on their way to the log.
 *
 * `failed` is sticky: put freely, ask once at the end.
 */
#pragma once
#include <stdlib.h>

#include "proto/base/slice.h"

struct bytes {
    char *at;
    size_t len, cap;
    bool failed; /* no memory */
};

/* Room for n more bytes; false, and failed, without memory. */
static inline bool bytes_room(struct bytes *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 256;
    char *at;

    if (n <= b->cap - b->len)
        return true;
    while (cap - b->len < n)
        cap *= 2;
    at = realloc(b->at, cap);
    if (!at) {
        b->failed = true;
        return false;
    }
    b->at = at;
    b->cap = cap;
    return true;
}

static inline void bytes_put(struct bytes *b, const void *at, size_t n)
{
    if (!b->failed && bytes_room(b, n) && n) {
        memcpy(b->at + b->len, at, n);
        b->len += n;
    }
}

static inline void bytes_put_slice(struct bytes *b, struct slice s)
{
    bytes_put(b, s.at, s.len);
}

/* A string behind its length in one byte. */
static inline void bytes_put_string(struct bytes *b, struct slice s)
{
    uint8_t n = (uint8_t)s.len;

    bytes_put(b, &n, 1);
    bytes_put_slice(b, s);
}

/* Empties it, and gives memory back that only an unusual payload needed. */
static inline void bytes_clear(struct bytes *b)
{
    if (b->cap > 1 << 20) {
        free(b->at);
        *b = (struct bytes){0};
    }
    b->len = 0;
    b->failed = false;
}

static inline void bytes_free(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){0};
}

static inline struct slice bytes_slice(const struct bytes *b)
{
    return slice_of(b->at, b->len);
}
