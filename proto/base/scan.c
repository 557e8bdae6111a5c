#include "proto/base/scan.h"

#include <emmintrin.h>

enum { BLOCK = 16, GROUP = 4 * BLOCK };

static inline __m128i load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline __m128i equal(__m128i block, char c)
{
    return _mm_cmpeq_epi8(block, _mm_set1_epi8(c));
}

/* 0xff where p[i - 1] is an LF and p[i] a dot. */
static inline __m128i lf_dots(const char *p)
{
    return _mm_and_si128(equal(load(p - 1), '\n'), equal(load(p), '.'));
}

size_t scan_lf_dot(struct slice s, char before)
{
    const char *p = s.at;
    size_t i = 1;

    if (s.len == 0)
        return 0;
    if (before == '\n' && p[0] == '.')
        return 0;
    for (; i + GROUP <= s.len; i += GROUP) {
        __m128i low = _mm_or_si128(lf_dots(p + i), lf_dots(p + i + BLOCK));
        __m128i high =
            _mm_or_si128(lf_dots(p + i + GROUP / 2), lf_dots(p + i + GROUP - BLOCK));

        if (_mm_movemask_epi8(_mm_or_si128(low, high)))
            break;
    }
    for (; i + BLOCK <= s.len; i += BLOCK) {
        int hits = _mm_movemask_epi8(lf_dots(p + i));

        if (hits)
            return i + (size_t)__builtin_ctz((unsigned)hits);
    }
    for (; i < s.len; i++)
        if (p[i - 1] == '\n' && p[i] == '.')
            return i;
    return s.len;
}

/* 0xff where exactly one of "p[i - 1] is a CR" and "p[i] is an LF" holds. */
static inline __m128i bare(const char *p)
{
    return _mm_xor_si128(equal(load(p - 1), '\r'), equal(load(p), '\n'));
}

static inline unsigned pair_flaws(char a, char b)
{
    return ((a == '\r') != (b == '\n') ? SCAN_BARE : 0U) | (b == '\0' ? SCAN_NUL : 0U);
}

/* What blocks have: 0xff where one of the two is bare, the least of each column. */
struct flawed {
    __m128i bares, least;
};

static inline struct flawed flawless(void)
{
    return (struct flawed){.least = _mm_set1_epi8(-1)};
}

static inline void add_block(struct flawed *f, const char *p)
{
    f->bares = _mm_or_si128(f->bares, bare(p));
    f->least = _mm_min_epu8(f->least, load(p));
}

static inline unsigned flaws_of(struct flawed f)
{
    return (_mm_movemask_epi8(f.bares) ? SCAN_BARE : 0U) |
        (_mm_movemask_epi8(equal(f.least, '\0')) ? SCAN_NUL : 0U);
}

unsigned scan_flaws(struct slice s, char before)
{
    const char *p = s.at;
    struct flawed f = flawless();
    unsigned flaws;
    size_t i = 1;

    if (s.len == 0)
        return 0;
    flaws = pair_flaws(before, p[0]);
    for (; i + BLOCK <= s.len; i += BLOCK)
        add_block(&f, p + i);
    flaws |= flaws_of(f);
    for (; i < s.len; i++)
        flaws |= pair_flaws(p[i - 1], p[i]);
    return flaws;
}

/* --- both ------------------------------------------------------------------- */

/* The 64 octets from p on, unless there is a dot that comes right after an LF. */
static inline bool add_group(struct flawed *to, const char *p)
{
    struct flawed f = *to;
    __m128i dots = _mm_setzero_si128();

    for (size_t i = 0; i < GROUP; i += BLOCK) {
        dots = _mm_or_si128(dots, lf_dots(p + i));
        add_block(&f, p + i);
    }
    if (_mm_movemask_epi8(dots))
        return false;
    *to = f;
    return true;
}

size_t scan_text(struct slice s, char before, unsigned *flaws)
{
    struct flawed f = flawless();
    size_t i = 0, dot;

    if (s.len > GROUP && !(before == '\n' && s.at[0] == '.')) {
        for (i = 1; i + GROUP <= s.len && add_group(&f, s.at + i); i += GROUP)
            ;
        *flaws |= pair_flaws(before, s.at[0]) | flaws_of(f);
        before = s.at[i - 1];
    }
    dot = i + scan_lf_dot(slice_of(s.at + i, s.len - i), before);
    *flaws |= scan_flaws(slice_of(s.at + i, dot - i), before);
    return dot;
}
