#include "proto/imap/imap_name.h"

#include "proto/base/check.h"

/* --- modified UTF-7 -------------------------------------------------------------- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == ',' ? 63 : -1;
}

static bool is_printable(uint32_t c)
{
    return c >= 0x20 && c <= 0x7e;
}

static void put_utf8(struct out *o, uint32_t c)
{
    if (c < 0x80) {
        out_byte(o, (char)c);
        return;
    }
    if (c < 0x800) {
        out_byte(o, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            out_byte(o, (char)(0xe0 | c >> 12));
        } else {
            out_byte(o, (char)(0xf0 | c >> 18));
            out_byte(o, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        out_byte(o, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    out_byte(o, (char)(0x80 | (c & 0x3f)));
}

/* One UTF-16 unit of a shifted run. `high` is the first half of a pair that waits for its
 * second. False: may not be encoded. */
static bool decode_unit(uint32_t unit, uint32_t *high, struct out *out)
{
    bool is_low = unit >= 0xdc00 && unit <= 0xdfff;

    if ((*high != 0) != is_low)
        return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        *high = unit;
        return true;
    }
    if (is_printable(unit) || unit == '\0' || unit == '\r' || unit == '\n')
        return false;
    put_utf8(out, is_low ? 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00) : unit);
    *high = 0;
    return true;
}

/* The octets between "&" and "-", at least one. */
static bool decode_shift(struct slice in, struct out *out)
{
    uint32_t bits = 0, high = 0;
    unsigned bit_count = 0;

    for (size_t i = 0; i < in.len; i++) {
        int value = base64_value(in.at[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count < 16)
            continue;
        bit_count -= 16;
        if (!decode_unit(bits >> bit_count & 0xffff, &high, out))
            return false;
    }
    return high == 0 && bit_count < 6 && (bits & ((1U << bit_count) - 1)) == 0;
}

bool imap_name_decode(struct slice in, struct out *out)
{
    bool shifted = false; /* the last thing was a shift */

    while (in.len) {
        char c = slice_take(&in, 1).at[0];

        if (c != '&') {
            if (!is_printable((unsigned char)c))
                return false;
            out_byte(out, c);
            shifted = false;
            continue;
        }
        struct slice run = slice_take(&in, slice_find(in, '-'));
        if (in.len == 0)
            return false;
        slice_take(&in, 1);
        if (run.len == 0) {
            out_byte(out, '&');
            shifted = false;
            continue;
        }
        if (shifted || !decode_shift(run, out))
            return false;
        shifted = true;
    }
    return !out->full;
}

/* Takes one character off well-formed UTF-8. */
static uint32_t take_utf8(struct slice *s)
{
    unsigned char first = (unsigned char)slice_take(s, 1).at[0];
    unsigned more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t c = more ? first & (0x3fU >> more) : first;

    while (more--)
        c = c << 6 | ((unsigned char)slice_take(s, 1).at[0] & 0x3f);
    return c;
}

/* The encoder's shifted run, open between "&" and "-". */
struct shift {
    struct out *out;
    bool open;
    uint32_t bits;
    unsigned bit_count;
};

static void shift_unit(struct shift *s, uint32_t unit)
{
    if (!s->open)
        out_byte(s->out, '&');
    s->open = true;
    s->bits = s->bits << 16 | unit;
    s->bit_count += 16;
    while (s->bit_count >= 6) {
        s->bit_count -= 6;
        out_byte(s->out, base64_digits[s->bits >> s->bit_count & 0x3f]);
    }
}

static void shift_close(struct shift *s)
{
    if (!s->open)
        return;
    if (s->bit_count)
        out_byte(s->out, base64_digits[s->bits << (6 - s->bit_count) & 0x3f]);
    out_byte(s->out, '-');
    *s = (struct shift){.out = s->out};
}

bool imap_name_encode(struct slice in, struct out *out)
{
    struct shift shift = {.out = out};

    if (!slice_is_utf8(in))
        return false;
    while (in.len) {
        uint32_t c = take_utf8(&in);

        if (is_printable(c)) {
            shift_close(&shift);
            out_byte(out, (char)c);
            if (c == '&')
                out_byte(out, '-');
        } else if (c < 0x10000) {
            shift_unit(&shift, c);
        } else {
            shift_unit(&shift, 0xd800 + ((c - 0x10000) >> 10));
            shift_unit(&shift, 0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
    shift_close(&shift);
    return !out->full;
}

/* --- what a name may be ------------------------------------------------------------ */

static bool has_controls(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];

        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.at[i + 1] < 0xa0)
            return true;
    }
    return false;
}

static bool levels_valid(struct slice name)
{
    for (unsigned levels = 1;; levels++) {
        struct slice level = slice_take(&name, slice_find(name, IMAP_DELIMITER));

        if (level.len == 0 || levels > IMAP_LEVELS_MAX || slice_eq(level, S(".")) ||
            slice_eq(level, S("..")))
            return false;
        if (name.len == 0)
            return true;
        slice_take(&name, 1);
    }
}

bool imap_name_valid(struct slice name)
{
    char wire[IMAP_NAME_MAX];
    struct out out = out_of(wire, sizeof wire);

    return name.len <= IMAP_NAME_MAX && imap_name_encode(name, &out) &&
        !has_controls(name) && levels_valid(name);
}

static unsigned levels_of(struct slice name)
{
    unsigned levels = 1;

    for (size_t i = 0; i < name.len; i++)
        levels += name.at[i] == IMAP_DELIMITER;
    return levels;
}

bool imap_name_fits(struct slice name, struct imap_name_limits limits)
{
    char wire[IMAP_NAME_MAX];
    struct out out = out_of(wire, limits.octets);

    CHECK(limits.octets <= IMAP_NAME_MAX && limits.levels <= IMAP_LEVELS_MAX);
    return name.len <= limits.octets && levels_of(name) <= limits.levels &&
        imap_name_encode(name, &out);
}

bool imap_name_is_inbox(struct slice name)
{
    return slice_eq_nocase(name, S("INBOX"));
}

enum imap_error imap_name_of_wire(
    struct slice wire, bool trailing, struct arena *arena, struct slice *name)
{
    char utf8[2 * IMAP_NAME_MAX];
    struct out out = out_of(utf8, sizeof utf8);
    struct slice first;

    if (trailing && wire.len && wire.at[wire.len - 1] == IMAP_DELIMITER)
        wire.len--;
    if (wire.len > IMAP_NAME_MAX || !imap_name_decode(wire, &out))
        return IMAP_ERROR_NAME;
    *name = out_slice(&out);
    first = slice_of(name->at, slice_find(*name, IMAP_DELIMITER));
    if (imap_name_is_inbox(first))
        memcpy(utf8, "INBOX", first.len);
    if (!imap_name_valid(*name))
        return IMAP_ERROR_NAME;
    *name = slice_eq(*name, wire) ? wire : arena_copy(arena, *name);
    return name->at ? IMAP_ERROR_NONE : IMAP_ERROR_LIMIT;
}

struct slice imap_name_levels(struct slice name, unsigned levels)
{
    size_t n = 0;

    for (; n < name.len; n++)
        if (name.at[n] == IMAP_DELIMITER && levels-- == 1)
            break;
    return slice_of(name.at, n);
}
