#include "proto/smtp/dsn_parts.h"

#include "proto/base/check.h"
#include "proto/mime/utf8.h"

bool dsn_is_ascii(struct slice s)
{
    return utf8_ascii_run(s) == s.len;
}

/* The next character that may be shown, cut off the front of *s. C1 controls and the
 * separators of lines and paragraphs end lines for some readers. */
static struct slice next_clean(struct slice *s, bool utf8)
{
    uint32_t c;
    int n = utf8_next(s->at, s->len, &c);

    if (n <= 0 || (n > 1 && !utf8)) {
        slice_take(s, n > 1 ? (size_t)n : 1);
        return S("?");
    }
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029) {
        slice_take(s, (size_t)n);
        return S(" ");
    }
    return slice_take(s, (size_t)n);
}

void dsn_put_clean(struct out *out, struct slice s, size_t max, bool utf8)
{
    if (s.len > max)
        s.len = max;
    while (s.len)
        out_put(out, next_clean(&s, utf8));
}

void dsn_put_status(struct out *out, const uint8_t status[3])
{
    for (unsigned i = 0; i < 3; i++) {
        if (i)
            out_byte(out, '.');
        out_u64(out, status[i]);
    }
}

/* The next word of a clean text, cut off its front; empty at the end. */
static struct slice next_word(struct slice *s)
{
    size_t n;

    while (s->len && s->at[0] == ' ')
        slice_take(s, 1);
    n = slice_find(*s, ' ');
    if (n > DSN_WORD_MAX)
        n = DSN_WORD_MAX;
    while (n > DSN_WORD_MAX - UTF8_MAX && n < s->len && (s->at[n] & 0xc0) == 0x80)
        n--; /* not within a character */
    return slice_take(s, n);
}

void dsn_put_folded(
    struct out *out, struct slice s, unsigned column, struct slice fold, bool utf8)
{
    char text[DSN_TEXT_MAX];
    struct out clean = out_of(text, sizeof text);
    struct slice rest, word;

    dsn_put_clean(&clean, s, sizeof text, utf8);
    rest = out_slice(&clean);
    while (word = next_word(&rest), word.len) {
        if (column + 1 + word.len > DSN_WIDTH) {
            out_put(out, fold);
            column = (unsigned)fold.len - 2;
        }
        out_byte(out, ' ');
        out_put(out, word);
        column += 1 + (unsigned)word.len;
    }
}

/* --- addresses (RFC 3464, 2.3.1; RFC 6533, 3) ----------------------------- */

enum {
    ENCODED_ROOM = 6 * DSN_ADDRESS_MAX + 16, /* "\x{2B}" for an octet */
    LINE_CUT = 900
};

/* EmbeddedUnicodeChar */
static void put_embedded(struct out *out, uint32_t c)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned shift = c > 0xffff ? 20 : c > 0xff ? 12 : 4;

    out_put(out, S("\\x{"));
    while (shift > 4 && c >> shift == 0)
        shift -= 4;
    for (; shift > 0; shift -= 4)
        out_byte(out, digits[c >> shift & 15]);
    out_byte(out, digits[c & 15]);
    out_byte(out, '}');
}

/* utf-8-addr-xtext. `escaped`: what is ASCII is in that form already. */
static void put_xtext_form(struct out *out, struct slice s, bool escaped)
{
    while (s.len) {
        uint32_t c;
        int n = utf8_next(s.at, s.len, &c);
        bool special = c < 0x21 || c == 0x7f || c == '\\' || c == '+' || c == '=';

        if (n <= 0) {
            slice_take(&s, 1);
            out_byte(out, '?');
            continue;
        }
        if (c >= 0x80 || (special && !escaped))
            put_embedded(out, c);
        else
            dsn_put_clean(out, slice_of(s.at, 1), 1, false);
        slice_take(&s, (size_t)n);
    }
}

static int hex_of(char c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* An EmbeddedUnicodeChar at the front of s: its length, or 0. */
static size_t embedded_at(struct slice s, uint32_t *c)
{
    size_t n = 3;

    if (s.len < 6 || memcmp(s.at, "\\x{", 3) != 0)
        return 0;
    for (*c = 0; n < s.len && n < 9 && hex_of(s.at[n]) >= 0; n++)
        *c = *c << 4 | (uint32_t)hex_of(s.at[n]);
    if (n < 5 || n == s.len || s.at[n] != '}')
        return 0;
    if (*c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
        return 0;
    return n + 1;
}

/* utf-8-address out of one of the two other forms; what conforms to none is copied. */
static void put_native_form(struct out *out, struct slice s)
{
    while (s.len) {
        char text[UTF8_MAX];
        uint32_t c;
        size_t n = embedded_at(s, &c);

        if (n) {
            slice_take(&s, n);
            out_put(out, slice_of(text, utf8_encode(c, text)));
        } else {
            out_put(out, slice_take(&s, 1));
        }
    }
}

/* A field with an address, which is not to be folded unless nothing else helps. */
static void put_typed(
    struct out *out, struct slice name, struct slice type, struct slice address)
{
    out_put(out, name);
    out_put(out, S(": "));
    dsn_put_clean(out, type, 64, false);
    out_byte(out, ';');
    if (name.len + type.len + address.len + 4 > DSN_WIDTH)
        out_put(out, S("\r\n"));
    out_byte(out, ' ');
    while (address.len > LINE_CUT) {
        size_t n = LINE_CUT;

        while (n > LINE_CUT - UTF8_MAX && (address.at[n] & 0xc0) == 0x80)
            n--;
        out_put(out, slice_take(&address, n));
        out_put(out, S("\r\n "));
    }
    out_put(out, address);
    out_put(out, S("\r\n"));
}

static struct slice clipped(struct slice s)
{
    return slice_of(s.at, s.len < DSN_ADDRESS_MAX ? s.len : DSN_ADDRESS_MAX);
}

void dsn_put_address(struct out *out, struct slice name, struct slice address, bool utf8)
{
    char text[ENCODED_ROOM];
    struct out form = out_of(text, sizeof text);
    bool ascii = dsn_is_ascii(address);

    address = clipped(address);
    if (ascii || utf8)
        dsn_put_clean(&form, address, address.len, utf8);
    else
        put_xtext_form(&form, address, false);
    CHECK(!form.full);
    put_typed(out, name, ascii ? S("rfc822") : S("utf-8"), out_slice(&form));
}

/* type ";" xtext; false when it is not that. */
static bool split_orcpt(struct slice orcpt, struct slice *type, struct slice *address)
{
    size_t n = slice_find(orcpt, ';');

    *type = slice_of(orcpt.at, n);
    if (n == 0 || n >= orcpt.len)
        return false;
    slice_take(&orcpt, n + 1);
    *address = clipped(orcpt);
    return address->len > 0;
}

struct slice dsn_original(struct slice orcpt, char *at)
{
    struct out out = out_of(at, DSN_ORIGINAL_ROOM);
    struct slice type, address;

    if (!split_orcpt(orcpt, &type, &address))
        return S("");
    if (slice_eq_nocase(type, S("utf-8"))) {
        put_native_form(&out, address);
        return out_slice(&out);
    }
    if (!slice_eq_nocase(type, S("rfc822")) || !smtp_xtext_decode(address, &out))
        return S("");
    return out_slice(&out);
}

/* RFC 3461, 6.3 (d): as it was given, the xtext decoded. */
void dsn_put_original(struct out *out, struct slice orcpt, bool utf8)
{
    char decoded[ENCODED_ROOM], text[ENCODED_ROOM];
    struct out plain = out_of(decoded, sizeof decoded);
    struct out form = out_of(text, sizeof text);
    struct slice type, address, value;

    if (!split_orcpt(orcpt, &type, &address))
        return;
    if (slice_eq_nocase(type, S("utf-8"))) {
        if (utf8)
            put_native_form(&plain, address);
        else
            put_xtext_form(&plain, address, true);
    } else if (!smtp_xtext_decode(address, &plain)) {
        plain.len = 0;
        dsn_put_clean(&plain, address, address.len, false);
    }
    value = out_slice(&plain);
    dsn_put_clean(&form, value, value.len, utf8);
    put_typed(out, S("Original-Recipient"), type, out_slice(&form));
}
