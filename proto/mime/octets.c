#include "proto/mime/octets.h"

#include <emmintrin.h>

enum { BLOCK = 16 };

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

/* Counts whole blocks; stops before one in which a line begins with '-' when
 * `to_dash` is set. Returns the octets counted. */
static size_t pass_blocks(struct octets *o, const char *p, size_t n, bool to_dash)
{
    unsigned high = 0, nul = 0, dots = 0, carry = o->line_start;
    uint64_t lines = 0;
    size_t i = 0;

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
