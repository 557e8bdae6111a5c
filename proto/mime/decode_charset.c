#include "proto/mime/decode.h"

#include <errno.h>
#include <iconv.h>
#include <uchar.h>

#include "proto/base/check.h"
#include "proto/mime/charset_tables.h"
#include "proto/mime/utf8.h"

/* --- names ----------------------------------------------------------------------------
 */

struct alias {
    struct slice name;
    const char *iconv; /* libc's name of it */
};

/* Names of mail for the sets of several octets a character that are converted. Only
 * these reach libc: a converter is much code, and some of the rare ones had faults. */
static const struct alias iconv_aliases[] = {
    {SI("gb18030"), "GB18030"},
    {SI("gb2312"), "GB18030"},
    {SI("gbk"), "GB18030"},
    {SI("cp936"), "GB18030"},
    {SI("x-gbk"), "GB18030"},
    {SI("euc-cn"), "GB18030"},
    {SI("big5"), "BIG5"},
    {SI("cp950"), "BIG5"},
    {SI("x-x-big5"), "BIG5"},
    {SI("big5-hkscs"), "BIG5-HKSCS"},
    {SI("shift_jis"), "CP932"},
    {SI("shift-jis"), "CP932"},
    {SI("sjis"), "CP932"},
    {SI("x-sjis"), "CP932"},
    {SI("windows-31j"), "CP932"},
    {SI("cp932"), "CP932"},
    {SI("euc-jp"), "EUC-JP"},
    {SI("x-euc-jp"), "EUC-JP"},
    {SI("iso-2022-jp"), "ISO-2022-JP"},
    {SI("iso-2022-jp-1"), "ISO-2022-JP"},
    {SI("iso-2022-jp-2"), "ISO-2022-JP-2"},
    {SI("euc-kr"), "UHC"},
    {SI("ks_c_5601-1987"), "UHC"},
    {SI("ksc5601"), "UHC"},
    {SI("windows-949"), "UHC"},
    {SI("cp949"), "UHC"},
    {SI("uhc"), "UHC"},
    {SI("iso-2022-kr"), "ISO-2022-KR"},
    {SI("utf-16"), "UTF-16"},
    {SI("utf-16le"), "UTF-16LE"},
    {SI("utf-16be"), "UTF-16BE"},
};

static const char *const preloaded[CHARSET_PRELOAD] = {"GB18030", "BIG5", "BIG5-HKSCS",
    "CP932", "EUC-JP", "ISO-2022-JP", "ISO-2022-JP-2", "UHC", "ISO-2022-KR", "UTF-16",
    "UTF-16LE"};

static const struct slice utf8_names[] = {SI("utf-8"), SI("utf8"), SI("us-ascii"),
    SI("ascii"), SI("ansi_x3.4-1968"), SI("ansi-x3.4-1968"), SI("646")};

struct slice charset_names(void)
{
    return S("US-ASCII UTF-8 ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1250 WINDOWS-1251 "
             "WINDOWS-1252 KOI8-R GB18030 BIG5 SHIFT_JIS ISO-2022-JP EUC-JP EUC-KR");
}

static const char *iconv_name(struct slice name)
{
    for (size_t i = 0; i < sizeof iconv_aliases / sizeof iconv_aliases[0]; i++)
        if (slice_eq_nocase(iconv_aliases[i].name, name))
            return iconv_aliases[i].iconv;
    return NULL;
}

static bool is_utf8_name(struct slice name)
{
    if (name.len == 0)
        return true;
    for (size_t i = 0; i < sizeof utf8_names / sizeof utf8_names[0]; i++)
        if (slice_eq_nocase(utf8_names[i], name))
            return true;
    return false;
}

static bool is_utf7_name(struct slice name)
{
    return slice_eq_nocase(name, S("utf-7")) ||
        slice_eq_nocase(name, S("unicode-1-1-utf-7"));
}

bool charset_is_known(struct slice name)
{
    return is_utf8_name(name) || is_utf7_name(name) || charset_table(name) ||
        iconv_name(name);
}

bool charset_begin(struct charset *c, struct slice name)
{
    const char *libc_name;

    *c = (struct charset){.kind = CHARSET_UNKNOWN};
    if (is_utf8_name(name)) {
        c->kind = CHARSET_UTF8;
    } else if (is_utf7_name(name)) {
        c->kind = CHARSET_UTF7;
    } else if ((c->table = charset_table(name))) {
        c->kind = CHARSET_TABLE;
    } else if ((libc_name = iconv_name(name))) {
        iconv_t converter = iconv_open("UTF-8", libc_name);

        if (converter == (iconv_t)-1)
            return false;
        c->kind = CHARSET_ICONV;
        c->iconv = converter;
    }
    return c->kind != CHARSET_UNKNOWN;
}

void charset_preload(struct charset kept[CHARSET_PRELOAD])
{
    for (unsigned i = 0; i < CHARSET_PRELOAD; i++)
        charset_begin(&kept[i], slice_str(preloaded[i]));
}

/* --- conversion ------------------------------------------------------------------------
 */

static void put_replacement(struct charset *c, struct out *out)
{
    c->broken = true;
    out_put(out, S("\xef\xbf\xbd"));
}

/* Characters of UTF-8 pass, others are replaced. */
static void feed_utf8(struct charset *c, struct slice s, struct out *out)
{
    while (s.len) {
        size_t ascii = utf8_ascii_run(s);
        uint32_t code_point;
        int n;

        out_put(out, slice_take(&s, ascii));
        if (s.len == 0)
            return;
        n = utf8_next(s.at, s.len, &code_point);
        if (n == 0) {
            memcpy(c->hold, s.at, s.len);
            c->held = (uint8_t)s.len;
            return;
        }
        if (n > 0) {
            out_put(out, slice_take(&s, (size_t)n));
        } else {
            put_replacement(c, out);
            slice_take(&s, 1);
        }
    }
}

static void feed_table(struct charset *c, struct slice s, struct out *out)
{
    char encoded[UTF8_MAX];

    while (s.len) {
        out_put(out, slice_take(&s, utf8_ascii_run(s)));
        while (s.len && (s.at[0] & 0x80)) {
            unsigned char octet = (unsigned char)slice_take(&s, 1).at[0];
            uint32_t code_point = c->table ? c->table[octet - 0x80] : UTF8_REPLACED;

            c->broken |= code_point == UTF8_REPLACED;
            out_put(out, slice_of(encoded, utf8_encode(code_point, encoded)));
        }
    }
}

/* Converts what libc takes of *s. False when the rest is an incomplete character. */
static bool feed_libc(struct charset *c, struct slice *s, struct out *out)
{
    char converted[512];

    while (s->len) {
        char *from = (char *)s->at, *to = converted;
        size_t left = s->len, room = sizeof converted;
        size_t done = iconv(c->iconv, &from, &left, &to, &room);
        int error = done == (size_t)-1 ? errno : 0;

        out_put(out, slice_of(converted, sizeof converted - room));
        slice_take(s, s->len - left);
        if (error == EINVAL)
            return false;
        if (error == EILSEQ && s->len) {
            put_replacement(c, out);
            slice_take(s, 1);
        }
    }
    return true;
}

/* Completes the character that is held, one octet after another. */
static void complete_held(struct charset *c, struct slice *s, struct out *out)
{
    while (c->held && s->len) {
        struct slice held;

        c->hold[c->held++] = slice_take(s, 1).at[0];
        held = slice_of(c->hold, c->held);
        if (!feed_libc(c, &held, out) && held.len < sizeof c->hold) {
            memmove(c->hold, held.at, held.len);
            c->held = (uint8_t)held.len;
            continue;
        }
        if (held.len)
            put_replacement(c, out);
        c->held = 0;
    }
}

static void feed_iconv(struct charset *c, struct slice s, struct out *out)
{
    complete_held(c, &s, out);
    while (s.len && !feed_libc(c, &s, out)) {
        if (s.len < sizeof c->hold) {
            memcpy(c->hold, s.at, s.len);
            c->held = (uint8_t)s.len;
            return;
        }
        put_replacement(c, out); /* libc wants more than any character has */
        slice_take(&s, 1);
    }
}

/* Completes a character of UTF-8 that was cut. When it is none, its first octet is
 * replaced and the others are tried again. */
static void complete_utf8(struct charset *c, struct slice *s, struct out *out)
{
    while (c->held && s->len) {
        uint32_t code_point;
        int used;

        c->hold[c->held] = s->at[0];
        used = utf8_next(c->hold, c->held + 1U, &code_point);
        if (used < 0) {
            put_replacement(c, out);
            memmove(c->hold, c->hold + 1, --c->held);
            continue;
        }
        slice_take(s, 1);
        c->held++;
        if (used == 0)
            continue;
        out_put(out, slice_of(c->hold, c->held));
        c->held = 0;
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* A code unit of UTF-16: a character, or half of one. */
static void put_unit(struct charset *c, uint16_t unit, struct out *out)
{
    bool low = unit >= 0xdc00 && unit <= 0xdfff;
    uint32_t code_point = unit;
    char encoded[UTF8_MAX];

    if (c->high && low) {
        code_point = 0x10000 + ((c->high & 0x3ffU) << 10 | (unit & 0x3ffU));
        c->high = 0;
    }
    if (c->high || code_point - 0xdc00 < 0x400) /* half of a pair without the other */
        put_replacement(c, out);
    c->high = 0;
    if (code_point - 0xdc00 < 0x400)
        return;
    if (code_point - 0xd800 < 0x400) {
        c->high = unit;
        return;
    }
    out_put(out, slice_of(encoded, utf8_encode(code_point, encoded)));
}

/* The end of a base64 run, in front of the octet `next`; "-" is part of it. */
static bool end_shift(struct charset *c, char next, struct out *out)
{
    if (c->fresh && next == '-')
        out_byte(out, '+');
    if (c->high || c->bits)
        put_replacement(c, out);
    c->high = 0;
    c->shifted = false;
    return next == '-';
}

static void feed_utf7(struct charset *c, struct slice s, struct out *out)
{
    for (size_t i = 0; i < s.len; i++) {
        int digit = base64_digit(s.at[i]);

        if (c->shifted && digit >= 0) {
            c->fresh = false;
            c->bits = c->bits << 6 | (uint32_t)digit;
            c->bit_count = (uint8_t)(c->bit_count + 6);
            if (c->bit_count >= 16) {
                c->bit_count = (uint8_t)(c->bit_count - 16);
                put_unit(c, (uint16_t)(c->bits >> c->bit_count), out);
                c->bits &= (1U << c->bit_count) - 1;
            }
            continue;
        }
        if (c->shifted && end_shift(c, s.at[i], out))
            continue;
        if (s.at[i] == '+') {
            c->shifted = c->fresh = true;
            c->bits = 0;
            c->bit_count = 0;
        } else if (s.at[i] & 0x80) {
            put_replacement(c, out);
        } else {
            out_byte(out, s.at[i]);
        }
    }
}

void charset_feed(struct charset *c, struct slice octets, struct out *out)
{
    switch (c->kind) {
    case CHARSET_UTF7:
        feed_utf7(c, octets, out);
        break;
    case CHARSET_UTF8:
        complete_utf8(c, &octets, out);
        feed_utf8(c, octets, out);
        break;
    case CHARSET_TABLE:
    case CHARSET_UNKNOWN:
        feed_table(c, octets, out);
        break;
    case CHARSET_ICONV:
        feed_iconv(c, octets, out);
        break;
    }
}

void charset_end(struct charset *c, struct out *out)
{
    if (c->held || (c->shifted && (c->high || c->bits)))
        put_replacement(c, out);
    c->held = 0;
    if (c->kind == CHARSET_ICONV)
        iconv_close(c->iconv);
    c->kind = CHARSET_UNKNOWN;
    c->table = NULL;
}
