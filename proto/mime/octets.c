#include "proto/mime/octets.h"

#include <smmintrin.h>

enum { BLOCK = 16, GROUP = 4 * BLOCK };

void octets_begin(struct octets *o)
{
    *o = (struct octets){.line_start = true};
}

/* Up to sixteen octets as bit masks, bit n for octet n. */
struct masks {
    unsigned lf, nul, high, dot, dash;
};

static struct masks masks_of(__m128i v)
{
    return (struct masks){
        .lf = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n'))),
        .nul = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())),
        .high = (unsigned)_mm_movemask_epi8(v),
        .dot = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('.'))),
        .dash = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('-'))),
    };
}

static __m128i load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* The last n octets of s, fewer than a block: most lines of a header are shorter than
 * two blocks. */
static struct masks tail_masks(struct slice s, size_t n)
{
    char block[BLOCK];
    struct masks m;
    size_t before = BLOCK - n;

    if (s.len < BLOCK) {
        memset(block, 'x', sizeof block);
        memcpy(block, s.at + s.len - n, n);
        return masks_of(load(block));
    }
    m = masks_of(load(s.at + s.len - BLOCK));
    return (struct masks){m.lf >> before, m.nul >> before, m.high >> before,
        m.dot >> before, m.dash >> before};
}

static void pass_tail(struct octets *o, struct slice s, size_t n)
{
    struct masks m = tail_masks(s, n);
    unsigned starts = m.lf << 1 | o->line_start;

    o->has_8bit |= m.high != 0;
    o->has_nul |= m.nul != 0;
    o->has_dot_line |= (starts & m.dot) != 0;
    o->lines += (unsigned)__builtin_popcount(m.lf);
    o->line_start = starts >> n & 1;
}

static void pass_octet(struct octets *o, char c)
{
    o->has_8bit |= (c & 0x80) != 0;
    o->has_nul |= c == 0;
    o->has_dot_line |= o->line_start && c == '.';
    o->line_start = c == '\n';
    o->lines += c == '\n';
}

static __m128i equal(__m128i v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static bool any(__m128i v)
{
    return _mm_movemask_epi8(v) != 0;
}

/* What the octets of some groups are, in any order: the sign bits of `high`, the least of
 * each column, 0xff where a dot begins a line; and how many octets follow an LF. */
struct sums {
    __m128i high, least, dots, lines;
};

/* The 64 octets from p on; there is one before p. False, and nothing is added: a line
 * begins with '-' and `to_dash` is set. */
static inline bool add_group(struct sums *to, const char *p, bool to_dash)
{
    struct sums sums = *to;
    __m128i lfs = _mm_setzero_si128(), dashes = lfs;

    for (size_t i = 0; i < GROUP; i += BLOCK) {
        __m128i v = load(p + i), starts = equal(load(p + i - 1), '\n');

        sums.high = _mm_or_si128(sums.high, v);
        sums.least = _mm_min_epu8(sums.least, v);
        sums.dots = _mm_or_si128(sums.dots, _mm_and_si128(starts, equal(v, '.')));
        dashes = _mm_or_si128(dashes, _mm_and_si128(starts, equal(v, '-')));
        lfs = _mm_sub_epi8(lfs, starts);
    }
    if (to_dash && any(dashes))
        return false;
    sums.lines = _mm_add_epi64(sums.lines, _mm_sad_epu8(lfs, _mm_setzero_si128()));
    *to = sums;
    return true;
}

/* Counts as much as the groups behind the first octet cover. */
static inline size_t pass_groups(struct octets *o, const char *p, size_t n, bool to_dash)
{
    struct sums s = {.least = _mm_set1_epi8(-1)};
    size_t i = 1;

    if (n <= GROUP || (to_dash && o->line_start && p[0] == '-'))
        return 0;
    while (i + GROUP <= n && add_group(&s, p + i, to_dash))
        i += GROUP;
    o->has_8bit |= (p[0] & 0x80) != 0 || any(s.high);
    o->has_nul |= p[0] == 0 || any(equal(s.least, 0));
    o->has_dot_line |= (o->line_start && p[0] == '.') || any(s.dots);
    o->line_start = p[i - 1] == '\n';
    o->lines += (uint64_t)_mm_extract_epi64(s.lines, 0) +
        (uint64_t)_mm_extract_epi64(s.lines, 1) + o->line_start;
    return i;
}

/* Counts groups, then whole blocks; stops before one in which a line begins with '-' when
 * `to_dash` is set. Returns the octets counted. */
static inline size_t pass_blocks(struct octets *o, const char *p, size_t n, bool to_dash)
{
    size_t i = pass_groups(o, p, n, to_dash);
    unsigned high = 0, nul = 0, dots = 0, carry = o->line_start;
    uint64_t lines = 0;

    for (; i + BLOCK <= n; i += BLOCK) {
        struct masks m = masks_of(load(p + i));
        unsigned starts = m.lf << 1 | carry;

        if (to_dash && (starts & m.dash))
            break;
        high |= m.high;
        nul |= m.nul;
        dots |= starts & m.dot;
        lines += (unsigned)__builtin_popcount(m.lf);
        carry = m.lf >> (BLOCK - 1);
    }
    o->has_8bit |= high != 0;
    o->has_nul |= nul != 0;
    o->has_dot_line |= (dots & 0xffff) != 0;
    o->line_start = carry != 0;
    o->lines += lines;
    return i;
}

static void pass_done(struct octets *o, struct slice s)
{
    o->count += s.len;
    if (s.len >= 2)
        o->last[0] = s.at[s.len - 2];
    else if (s.len == 1)
        o->last[0] = o->last[1];
    if (s.len)
        o->last[1] = s.at[s.len - 1];
}

void octets_pass(struct octets *o, struct slice s)
{
    size_t i = pass_blocks(o, s.at, s.len, false);

    if (i < s.len)
        pass_tail(o, s, s.len - i);
    pass_done(o, s);
}

bool octets_pass_to_dash(struct octets *o, struct slice *s)
{
    size_t i = pass_blocks(o, s->at, s->len, true);

    for (; i < s->len && !(o->line_start && s->at[i] == '-'); i++)
        pass_octet(o, s->at[i]);
    pass_done(o, slice_take(s, i));
    return s->len > 0;
}
