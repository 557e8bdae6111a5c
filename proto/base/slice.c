#include "proto/base/slice.h"

/* Eight octets with their ASCII letters in lower case. An octet's top bit tells, after
 * an addition that can't carry into the next, whether it is at least 'A', or above 'Z'.
 */
static uint64_t lower_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101U, tops = 0x80 * ones;
    uint64_t low = word & ~tops;
    uint64_t from_a = low + (0x80 - 'A') * ones, above_z = low + (0x7f - 'Z') * ones;

    return word | (from_a & ~above_z & ~word & tops) >> 2;
}

static uint64_t load8(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* The first four and the last four of four to eight octets. */
static uint64_t load4_4(const char *p, size_t n)
{
    uint32_t first, last;

    memcpy(&first, p, sizeof first);
    memcpy(&last, p + n - sizeof last, sizeof last);
    return (uint64_t)first << 32 | last;
}

bool octets_eq_nocase(const char *a, const char *b, size_t n)
{
    if (n < 4) {
        for (size_t i = 0; i < n; i++)
            if (ascii_lower(a[i]) != ascii_lower(b[i]))
                return false;
        return true;
    }
    for (; n > 8; a += 8, b += 8, n -= 8)
        if (lower_word(load8(a)) != lower_word(load8(b)))
            return false;
    if (n < 4) /* the end once more, together with what stands before it */
        return lower_word(load8(a + n - 8)) == lower_word(load8(b + n - 8));
    return lower_word(load4_4(a, n)) == lower_word(load4_4(b, n));
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_of(s.at, prefix.len), prefix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.len && is_blank(s.at[0]))
        slice_take(&s, 1);
    while (s.len && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool slice_u64(struct slice s, uint64_t *value)
{
    uint64_t v = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_digit(s.at[i]))
            return false;
        if (__builtin_mul_overflow(v, 10U, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.at[i] - '0'), &v))
            return false;
    }
    *value = v;
    return true;
}

bool slice_u32(struct slice s, uint32_t *value)
{
    uint64_t v;

    if (!slice_u64(s, &v) || v > UINT32_MAX)
        return false;
    *value = (uint32_t)v;
    return true;
}

/* Length of the well-formed sequence at the front of s (RFC 3629, section 4), or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t more;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        more = 1;
    else if ((p[0] & 0xf0) == 0xe0)
        more = 2;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        more = 3;
    else
        return 0;
    if (left <= more)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

bool slice_is_utf8(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.at;

    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(p + i, s.len - i);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

uint64_t slice_hash(struct slice s, uint64_t key)
{
    const uint64_t prime = 0x9e3779b97f4a7c15U;
    uint64_t h = key ^ (s.len * prime);

    while (s.len) {
        uint64_t word = 0;
        size_t n = s.len < sizeof word ? s.len : sizeof word;

        memcpy(&word, s.at, n);
        slice_take(&s, n);
        unsigned __int128 wide =
            (unsigned __int128)(h ^ word ^ prime) * 0xa0761d6478bd642fU;
        h = (uint64_t)wide ^ (uint64_t)(wide >> 64);
    }
    h ^= h >> 32;
    h *= prime;
    return h ^ (h >> 29);
}

void out_put_slow(struct out *o, struct slice s)
{
    while (s.len && !o->full) {
        size_t room = o->cap - o->len;

        if (room == 0) {
            o->full = !o->more || !o->more(o);
            continue;
        }
        if (room > s.len)
            room = s.len;
        if (!o->more && room < s.len) {
            o->full = true;
            return;
        }
        memcpy(o->at + o->len, s.at, room);
        o->len += room;
        slice_take(&s, room);
    }
}

static char *put_digits(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return end;
}

/* Where there is room, to their place at once: a copy would have to wait for the octets
 * that were just stored one by one. */
void out_u64(struct out *o, uint64_t value)
{
    char digits[20], *end = digits + sizeof digits;
    size_t count = 1;

    for (uint64_t limit = 10; count < sizeof digits && value >= limit; limit *= 10)
        count++;
    if (o->cap - o->len < count) {
        out_put(o, slice_of(put_digits(end, value), count));
        return;
    }
    o->len += count;
    put_digits(o->at + o->len, value);
}
