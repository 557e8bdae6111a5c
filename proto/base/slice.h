/* slice.h -- borrowed bytes in, bounded bytes out.
 *
 * A slice never owns, is never NUL-terminated and is cheap to copy. Input from
 * a peer is only ever seen through slices. Output goes into a struct out, whose
 * overflow flag is sticky: write freely, ask once at the end.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *at;
    size_t len;
};

/* A slice of a string literal: S("NOOP"). SI() is the form for initialisers. */
#define S(lit) ((struct slice){"" lit, sizeof(lit) - 1})
#define SI(lit)                 \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }

static inline struct slice slice_of(const char *at, size_t len)
{
    return (struct slice){at, len};
}

static inline struct slice slice_str(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* Cut the first n bytes off the front of s; n must not exceed s->len. */
static inline struct slice slice_take(struct slice *s, size_t n)
{
    struct slice head = {s->at, n};
    s->at += n;
    s->len -= n;
    return head;
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* The n octets at a and b are equal without regard to the case of ASCII letters. */
bool octets_eq_nocase(const char *a, const char *b, size_t n);

/* Most words of a list differ from the one looked up in length or in the first letter,
 * which costs no call. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    return a.len == 0 ||
        (((a.at[0] ^ b.at[0]) & ~0x20) == 0 && octets_eq_nocase(a.at, b.at, a.len));
}

bool slice_starts_nocase(struct slice s, struct slice prefix);

/* Index of the first byte c in s, or s.len. */
static inline size_t slice_find(struct slice s, char c)
{
    const char *hit = s.len ? memchr(s.at, c, s.len) : NULL;
    return hit ? (size_t)(hit - s.at) : s.len;
}

/* s without leading and trailing spaces, tabs, CRs and LFs. */
struct slice slice_trim(struct slice s);

/* All of s is decimal digits (at least one) and fits: sets *value and returns true. */
bool slice_u64(struct slice s, uint64_t *value);
bool slice_u32(struct slice s, uint32_t *value);

/* ASCII only, whatever the locale. */
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static inline bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* True when s is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool slice_is_utf8(struct slice s);

/* A 64-bit hash of the bytes, keyed; for in-memory tables. */
uint64_t slice_hash(struct slice s, uint64_t key);

/* Where bytes go. A fixed buffer, or a window into something that can grow:
 * when `more` is set, it is called when the window is full; it must offer a new
 * window (at, len = 0, cap > 0) and return true, or return false. A write that
 * finds no room sets `full`, which stays set. */
struct out {
    char *at;
    size_t len, cap;
    bool full;
    bool (*more)(struct out *);
};

static inline struct out out_of(char *at, size_t cap)
{
    return (struct out){at, 0, cap, false, NULL};
}

/* The slow half of out_put(): crosses window borders. */
void out_put_slow(struct out *o, struct slice s);

static inline void out_put(struct out *o, struct slice s)
{
    if (__builtin_expect(s.len > o->cap - o->len, 0)) {
        out_put_slow(o, s);
        return;
    }
    if (s.len)
        memcpy(o->at + o->len, s.at, s.len);
    o->len += s.len;
}

static inline void out_byte(struct out *o, char c)
{
    out_put(o, slice_of(&c, 1));
}

static inline void out_str(struct out *o, const char *text)
{
    out_put(o, slice_str(text));
}

/* Decimal digits, no sign, no padding. */
void out_u64(struct out *o, uint64_t value);

/* What a fixed buffer holds so far. */
static inline struct slice out_slice(const struct out *o)
{
    return (struct slice){o->at, o->len};
}
