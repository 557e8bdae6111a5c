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

unsigned scan_flaws(struct slice s, char before)
{
    const char *p = s.at;
    __m128i bares = _mm_setzero_si128(), least = _mm_set1_epi8(-1);
    unsigned flaws;
    size_t i = 1;

    if (s.len == 0)
        return 0;
    flaws = pair_flaws(before, p[0]);
    for (; i + BLOCK <= s.len; i += BLOCK) {
        bares = _mm_or_si128(bares, bare(p + i));
        least = _mm_min_epu8(least, load(p + i));
    }
    if (_mm_movemask_epi8(bares))
        flaws |= SCAN_BARE;
    if (_mm_movemask_epi8(equal(least, '\0')))
        flaws |= SCAN_NUL;
    for (; i < s.len; i++)
        flaws |= pair_flaws(p[i - 1], p[i]);
    return flaws;
}
