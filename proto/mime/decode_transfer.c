#include "proto/mime/decode.h"

#include <emmintrin.h>

#include "proto/base/check.h"

void transfer_begin(struct transfer_decoder *d, char encoding)
{
    *d = (struct transfer_decoder){.encoding = encoding};
}

/* --- base64 (RFC 2045, 6.8) -------------------------------------------------------- */

enum { B64_NONE = 64, B64_BLANK, B64_PAD };

/* 0..63 for the letters, or what else the octet is. Half of it: no octet above 0x7f
 * is a letter. */
/* clang-format off */
static const uint8_t sextets[128] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 65, 65, 64, 64, 65, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    65, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 64, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 66, 64, 64,
    64, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64,
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64,
};
/* clang-format on */

static unsigned sextet_of(unsigned char c)
{
    return c < 128 ? sextets[c] : B64_NONE;
}

/* The octets that the sextets held are worth; a lone sextet is worth none. */
static size_t base64_flush(struct transfer_decoder *d, char *at)
{
    size_t n = 0;

    if (d->sextets >= 2)
        at[n++] = (char)(d->bits >> (d->sextets == 2 ? 4 : 10));
    if (d->sextets == 3)
        at[n++] = (char)(d->bits >> 2);
    d->broken |= d->sextets == 1;
    d->sextets = 0;
    d->bits = 0;
    return n;
}

/* One octet that is no letter of the alphabet. */
static size_t base64_other(struct transfer_decoder *d, unsigned kind, char *at)
{
    if (kind == B64_NONE)
        d->broken = true;
    if (kind != B64_PAD)
        return 0;
    d->broken |= d->sextets == 0 && !d->padded;
    d->padded = true;
    return base64_flush(d, at);
}

/* Whole groups of four letters, the bulk of all base64. */
static size_t base64_groups(struct slice *in, char *at, size_t room)
{
    size_t n = 0;

    while (in->len >= 4 && room - n >= 3) {
        const unsigned char *p = (const unsigned char *)in->at;
        unsigned a = sextet_of(p[0]), b = sextet_of(p[1]);
        unsigned c = sextet_of(p[2]), e = sextet_of(p[3]);

        if ((a | b | c | e) >= B64_NONE)
            break;
        at[n++] = (char)(a << 2 | b >> 4);
        at[n++] = (char)(b << 4 | c >> 2);
        at[n++] = (char)(c << 6 | e);
        slice_take(in, 4);
    }
    return n;
}

static size_t base64_decode(
    struct transfer_decoder *d, struct slice *in, char *at, size_t room)
{
    size_t n = 0;

    while (in->len && room - n >= TRANSFER_ROOM_MIN) {
        if (d->sextets == 0 && !d->padded)
            n += base64_groups(in, at + n, room - n);
        if (in->len == 0 || room - n < 3)
            break;
        unsigned kind = sextet_of((unsigned char)slice_take(in, 1).at[0]);
        if (kind >= B64_NONE) {
            n += base64_other(d, kind, at + n);
            continue;
        }
        d->broken |= d->padded; /* more behind the padding: another text follows */
        d->padded = false;
        d->bits = d->bits << 6 | kind;
        if (++d->sextets == 4) {
            at[n++] = (char)(d->bits >> 16);
            at[n++] = (char)(d->bits >> 8);
            at[n++] = (char)d->bits;
            d->sextets = 0;
            d->bits = 0;
        }
    }
    return n;
}

/* --- quoted-printable (RFC 2045, 6.7) ----------------------------------------------- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Gives out what is held as it is. */
static size_t hold_flush(struct transfer_decoder *d, char *at)
{
    size_t n = d->held;

    memcpy(at, d->hold, n);
    d->held = 0;
    return n;
}

/* The octet behind "=": a digit or the end of a soft line break. False when it is
 * neither; what was held is given out then, and c is to be looked at on its own. */
static bool after_equals(struct transfer_decoder *d, char c, char *at, size_t *n)
{
    char newest = d->hold[d->held - 1];
    bool digits = d->held == 2 && hex_of(newest) >= 0;

    if (c == '\n') { /* "=" CRLF, perhaps with blanks between: a soft line break */
        d->broken |= newest != '\r';
        d->held = 0;
        return true;
    }
    if (digits && hex_of(c) >= 0) {
        at[(*n)++] = (char)(hex_of(newest) * 16 + hex_of(c));
        d->held = 0;
        return true;
    }
    if (!digits && d->held < TRANSFER_BLANKS_MAX &&
        (is_blank(c) || c == '\r' || (d->held == 1 && hex_of(c) >= 0))) {
        d->hold[d->held++] = c;
        return true;
    }
    d->broken = true;
    *n += hold_flush(d, at);
    return false;
}

/* Blanks are held until it is known that the line goes on. */
static size_t after_blanks(struct transfer_decoder *d, char c, char *at)
{
    if (c == '\r' || c == '\n') {
        d->held = 0;
        return 0;
    }
    return hold_flush(d, at);
}

/* An octet that no held one waits for. */
static size_t plain_octet(struct transfer_decoder *d, char c, char *at)
{
    if (c == '=' || is_blank(c)) {
        d->hold[d->held++] = c;
        return 0;
    }
    at[0] = c;
    return 1;
}

static size_t quoted_octet(struct transfer_decoder *d, char c, char *at)
{
    size_t n = 0;

    if (d->held && d->hold[0] == '=') {
        if (after_equals(d, c, at, &n))
            return n;
    } else if (d->held && is_blank(c) && d->held < TRANSFER_BLANKS_MAX) {
        d->hold[d->held++] = c;
        return 0;
    } else if (d->held) {
        n = after_blanks(d, c, at);
    }
    return n + plain_octet(d, c, at + n);
}

/* Octets of the run that sixteen octets and the one after them begin: bit n for an octet
 * that ends it. */
static int run_ends(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i next = _mm_loadu_si128((const __m128i *)(p + 1));
    __m128i blank = _mm_or_si128(
        _mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')));
    __m128i hidden = _mm_or_si128(_mm_cmpeq_epi8(next, _mm_set1_epi8(' ')),
        _mm_cmpeq_epi8(next, _mm_set1_epi8('\t')));
    __m128i ended = _mm_or_si128(_mm_cmpeq_epi8(next, _mm_set1_epi8('\r')),
        _mm_cmpeq_epi8(next, _mm_set1_epi8('\n')));

    blank = _mm_and_si128(blank, _mm_or_si128(hidden, ended));
    return _mm_movemask_epi8(_mm_or_si128(blank, _mm_cmpeq_epi8(v, _mm_set1_epi8('='))));
}

/* A run that is given out as it is: no "=", and no blank but between two other octets,
 * which is how words stand. */
static size_t plain_run(struct slice in, size_t most)
{
    size_t n = 0;

    if (most > in.len)
        most = in.len;
    for (; n + 17 <= most; n += 16) {
        int ends = run_ends(in.at + n);

        if (ends)
            return n + (size_t)__builtin_ctz((unsigned)ends);
    }
    while (n < most && in.at[n] != '=' && !is_blank(in.at[n]))
        n++;
    return n;
}

static size_t quoted_decode(
    struct transfer_decoder *d, struct slice *in, char *at, size_t room)
{
    size_t n = 0;

    while (in->len && room - n >= TRANSFER_ROOM_MIN) {
        if (d->held == 0) {
            size_t run = plain_run(*in, room - n);

            memcpy(at + n, slice_take(in, run).at, run);
            n += run;
            if (in->len == 0 || room - n < TRANSFER_ROOM_MIN)
                break;
        }
        n += quoted_octet(d, slice_take(in, 1).at[0], at + n);
    }
    return n;
}

/* --- both --------------------------------------------------------------------------- */

size_t transfer_decode(
    struct transfer_decoder *d, struct slice *in, char *at, size_t room)
{
    size_t n = in->len < room ? in->len : room;

    CHECK(room >= TRANSFER_ROOM_MIN);
    if (d->encoding == 'b')
        return base64_decode(d, in, at, room);
    if (d->encoding == 'q')
        return quoted_decode(d, in, at, room);
    if (n)
        memcpy(at, slice_take(in, n).at, n);
    return n;
}

size_t transfer_end(struct transfer_decoder *d, char *at)
{
    if (d->encoding == 'b')
        return base64_flush(d, at);
    if (d->held && d->hold[0] == '=') {
        d->broken = true;
        return hold_flush(d, at);
    }
    d->held = 0; /* blanks at the end of the last line */
    return 0;
}
