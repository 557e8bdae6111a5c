#include "proto/mime/utf8.h"

#include <emmintrin.h>

/* Octets that follow the first, and the bits it gives; -1: no first octet. */
static int octets_behind(unsigned char first, uint32_t *bits)
{
    if (first >= 0xc2 && first <= 0xdf) {
        *bits = first & 0x1f;
        return 1;
    }
    if ((first & 0xf0) == 0xe0) {
        *bits = first & 0x0f;
        return 2;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        *bits = first & 0x07;
        return 3;
    }
    return -1;
}

/* RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool second_fits(unsigned char first, unsigned char second)
{
    if (first == 0xe0)
        return second >= 0xa0;
    if (first == 0xed)
        return second <= 0x9f;
    if (first == 0xf0)
        return second >= 0x90;
    if (first == 0xf4)
        return second <= 0x8f;
    return true;
}

int utf8_next(const char *p, size_t n, uint32_t *code_point)
{
    const unsigned char *u = (const unsigned char *)p;
    uint32_t bits = u[0];
    int behind;

    if (u[0] < 0x80) {
        *code_point = u[0];
        return 1;
    }
    behind = octets_behind(u[0], &bits);
    if (behind < 0 || (n > 1 && !second_fits(u[0], u[1])))
        return -1;
    for (int i = 1; i <= behind; i++) {
        if ((size_t)i == n)
            return 0;
        if ((u[i] & 0xc0) != 0x80)
            return -1;
        bits = bits << 6 | (u[i] & 0x3fU);
    }
    *code_point = bits;
    return behind + 1;
}

unsigned utf8_encode(uint32_t c, char *at)
{
    if (c < 0x80) {
        at[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        at[0] = (char)(0xc0 | c >> 6);
        at[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        at[0] = (char)(0xe0 | c >> 12);
        at[1] = (char)(0x80 | (c >> 6 & 0x3f));
        at[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    at[0] = (char)(0xf0 | c >> 18);
    at[1] = (char)(0x80 | (c >> 12 & 0x3f));
    at[2] = (char)(0x80 | (c >> 6 & 0x3f));
    at[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t utf8_ascii_run(struct slice s)
{
    size_t i = 0;

    for (; i + 16 <= s.len; i += 16)
        if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(s.at + i))))
            break;
    while (i < s.len && !(s.at[i] & 0x80))
        i++;
    return i;
}
