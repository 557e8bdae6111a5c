#include "proto/mime/wire.h"

#include <emmintrin.h>

static bool is_special(char c)
{
    return c == '"' || c == '\\' || c == '\r' || c == '\n' || c == 0;
}

/* The octets that stand for one of the text. */
static size_t clean(char *at, char c, bool quoted)
{
    if (!is_special(c)) {
        *at = c;
        return 1;
    }
    if (c == '\r' || c == '\n' || c == 0) {
        *at = c == 0 ? '?' : ' ';
        return 1;
    }
    if (quoted)
        *at++ = '\\';
    *at = c;
    return quoted ? 2 : 1;
}

/* By way of a small buffer, so that a text of nothing but special octets costs little
 * more than another. */
static void put_cleaned(struct out *out, struct slice s, bool quoted)
{
    char buffer[256];
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += clean(buffer + n, s.at[i], quoted);
        if (n > sizeof buffer - 2) {
            out_put(out, slice_of(buffer, n));
            n = 0;
        }
    }
    out_put(out, slice_of(buffer, n));
}

static bool has_8bit(struct slice s)
{
    char bits = 0;

    for (size_t i = 0; i < s.len; i++)
        bits = (char)(bits | s.at[i]);
    return (bits & 0x80) != 0;
}

/* Not 0 where one of sixteen octets is special or above 0x7f. */
static int not_plain(__m128i v)
{
    __m128i marks = _mm_or_si128(
        _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    __m128i ends = _mm_or_si128(
        _mm_cmpeq_epi8(v, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
    __m128i nul = _mm_cmpeq_epi8(v, _mm_setzero_si128());

    return _mm_movemask_epi8(
        _mm_or_si128(_mm_or_si128(marks, ends), _mm_or_si128(nul, v)));
}

/* All of it stands in a quoted string as it is, which is what nearly every text does. */
static bool is_plain(struct slice s)
{
    size_t i = 0;

    for (; i + 16 <= s.len; i += 16)
        if (not_plain(_mm_loadu_si128((const __m128i *)(s.at + i))))
            return false;
    for (; i < s.len; i++)
        if (is_special(s.at[i]) || (s.at[i] & 0x80))
            return false;
    return true;
}

void wire_put_string(struct out *out, struct slice s)
{
    if (is_plain(s)) {
        out_byte(out, '"');
        out_put(out, s);
        out_byte(out, '"');
        return;
    }
    if (has_8bit(s)) {
        out_byte(out, '{');
        out_u64(out, s.len);
        out_str(out, "}\r\n");
        put_cleaned(out, s, false);
        return;
    }
    out_byte(out, '"');
    put_cleaned(out, s, true);
    out_byte(out, '"');
}

void wire_put_nstring(struct out *out, struct slice s)
{
    if (s.at)
        wire_put_string(out, s);
    else
        out_put(out, S("NIL"));
}
