#include "proto/mime/decode.h"

#include <emmintrin.h>

#include "proto/base/check.h"

void words_begin(struct words_decoder *w)
{
    memset(w, 0, offsetof(struct words_decoder, blank));
    charset_begin(&w->plain, S(""));
}

/* --- encoded words (RFC 2047, section 2)
 * ------------------------------------------------ */

/* =?charset*language?encoding?text?= cut in its parts. */
struct encoded_word {
    struct slice charset, text;
    char encoding; /* 'b' or 'q', 0 when it is neither */
};

static struct encoded_word cut_word(struct slice hold)
{
    struct encoded_word word;
    size_t star;

    slice_take(&hold, 2);
    word.charset = slice_take(&hold, slice_find(hold, '?'));
    star = slice_find(word.charset, '*'); /* a language: RFC 2231, section 5 */
    word.charset.len = star;
    slice_take(&hold, 1);
    word.encoding = hold.len > 1 && hold.at[1] == '?' ? ascii_lower(hold.at[0]) : 0;
    if (word.encoding != 'b' && word.encoding != 'q')
        word.encoding = 0;
    slice_take(&hold, slice_find(hold, '?') + 1);
    word.text = slice_of(hold.at, hold.len - 2);
    return word;
}

static void close_charset(struct words_decoder *w, struct out *out)
{
    if (w->open)
        charset_end(&w->charset, out);
    w->open = false;
}

/* Opens the word's charset, unless the word before it had the same: a character may
 * be cut between the two, although RFC 2047, section 5 forbids that. */
static void open_charset(struct words_decoder *w, struct slice name, struct out *out)
{
    struct slice open = slice_of(w->charset_name, w->charset_len);

    if (w->open && slice_eq_nocase(open, name))
        return;
    close_charset(w, out);
    if (w->opens >= WORD_CHARSETS_MAX)
        name = S("unknown");
    charset_begin(&w->charset, name);
    w->opens = (uint16_t)(w->opens + (w->charset.kind == CHARSET_ICONV));
    w->open = true;
    w->charset_len = 0;
    if (name.len <= sizeof w->charset_name) {
        memcpy(w->charset_name, name.at, name.len);
        w->charset_len = (uint8_t)name.len;
    }
}

/* The "Q" encoding is quoted-printable with "_" for a blank (section 4.2). Its blanks
 * are written as =20, so that none is taken for the end of a line. */
static void put_octets(struct words_decoder *w, struct encoded_word word, struct out *out)
{
    struct transfer_decoder decoder;
    char octets[WORD_MAX + TRANSFER_ROOM_MIN];
    size_t n = 0;

    transfer_begin(&decoder, word.encoding);
    while (word.text.len) {
        size_t run = word.encoding == 'q' ? 0 : word.text.len;
        struct slice piece;

        while (
            run < word.text.len && word.text.at[run] != '_' && word.text.at[run] != ' ')
            run++;
        piece = slice_take(&word.text, run);
        n += transfer_decode(&decoder, &piece, octets + n, sizeof octets - n);
        if (word.text.len == 0)
            break;
        piece = S("=20");
        n += transfer_decode(&decoder, &piece, octets + n, sizeof octets - n);
        slice_take(&word.text, 1);
    }
    n += transfer_end(&decoder, octets + n);
    charset_feed(&w->charset, slice_of(octets, n), out);
}

/* --- what stands between
 * ---------------------------------------------------------------- */

/* Text that is no encoded word: blanks held in front of it count. */
static void put_plain(struct words_decoder *w, struct slice s, struct out *out)
{
    close_charset(w, out);
    charset_feed(&w->plain, slice_of(w->blank, w->blanks), out);
    w->blanks = 0;
    w->after_word = false;
    charset_feed(&w->plain, s, out);
}

static void put_word(struct words_decoder *w, struct out *out)
{
    struct encoded_word word = cut_word(slice_of(w->hold, w->held));

    if (!word.encoding) {
        put_plain(w, slice_of(w->hold, w->held), out);
    } else {
        if (!w->after_word)
            put_plain(w, S(""), out);
        open_charset(w, word.charset, out);
        put_octets(w, word, out);
        w->after_word = true;
        w->blanks = 0;
    }
    w->held = 0;
}

/* A blank, or the one for a fold. After an encoded word it may have to be dropped. */
static void put_blank(struct words_decoder *w, char c, struct out *out)
{
    if (!w->after_word || w->blanks == sizeof w->blank) {
        put_plain(w, slice_of(&c, 1), out);
        return;
    }
    w->blank[w->blanks++] = c;
}

/* What was held is no encoded word. */
static void give_up(struct words_decoder *w, struct out *out)
{
    unsigned held = w->held;

    w->held = 0;
    put_plain(w, slice_of(w->hold, held), out);
}

/* Whether c can go on with the word that is held: printable, no "=" before the third
 * question mark, and blanks and 8-bit octets only in the text, where some programs
 * leave them. */
static bool word_goes_on(const struct words_decoder *w, char c)
{
    if (w->held == WORD_MAX)
        return false;
    if (w->held == 1)
        return c == '?';
    if (w->marks < 3)
        return (unsigned char)c > ' ' && c != '=' && !(c & 0x80);
    return (unsigned char)c >= ' ';
}

/* c behind a held "=...": true when it belongs there. */
static bool hold_word(struct words_decoder *w, char c, struct out *out)
{
    char before = w->hold[w->held - 1];

    if (!word_goes_on(w, c)) {
        give_up(w, out);
        return false;
    }
    w->hold[w->held++] = c;
    w->marks = (uint8_t)(w->marks + (c == '?' && w->marks < 4));
    /* "?=" ends the word when its "?" is not the one behind the encoding. */
    if (c == '=' && before == '?' && w->marks == 4)
        put_word(w, out);
    return true;
}

/* The octet behind a line end: a blank makes it a fold, which is worth one blank. */
static void end_line(struct words_decoder *w, char c, struct out *out)
{
    w->line_end = false;
    if (c == ' ' || c == '\t') {
        w->folded = true;
        put_blank(w, ' ', out);
    } else {
        w->blanks = 0;
        put_plain(w, S("\r\n"), out);
    }
}

static void feed_octet(struct words_decoder *w, char c, struct out *out)
{
    bool blank = c == ' ' || c == '\t';

    if (c == '\r')
        return;
    if (w->line_end)
        end_line(w, c, out);
    if (w->folded && blank)
        return;
    w->folded = false;
    if (w->held && hold_word(w, c, out))
        return;
    if (c == '=') {
        w->hold[0] = c;
        w->held = 1;
        w->marks = 0;
    } else if (c == '\n') {
        w->line_end = true;
    } else if (blank) {
        put_blank(w, c, out);
    } else {
        put_plain(w, slice_of(&c, 1), out);
    }
}

/* Octets at the front of s that are plain text and nothing else. */
static size_t plain_run(struct slice s)
{
    enum { BLOCK = 16 };
    size_t n = 0;

    for (; n + BLOCK <= s.len; n += BLOCK) {
        __m128i v = _mm_loadu_si128((const __m128i *)(s.at + n));
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')),
            _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
        int hits =
            _mm_movemask_epi8(_mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8('='))));

        if (hits)
            return n + (size_t)__builtin_ctz((unsigned)hits);
    }
    while (n < s.len && s.at[n] != '=' && s.at[n] != '\r' && s.at[n] != '\n')
        n++;
    return n;
}

static bool in_plain_text(const struct words_decoder *w)
{
    return !w->held && !w->line_end && !w->folded && !w->after_word;
}

void words_feed(struct words_decoder *w, struct slice text, struct out *out)
{
    while (text.len) {
        if (in_plain_text(w))
            charset_feed(&w->plain, slice_take(&text, plain_run(text)), out);
        if (text.len)
            feed_octet(w, slice_take(&text, 1).at[0], out);
    }
}

void words_end(struct words_decoder *w, struct out *out)
{
    if (w->held)
        give_up(w, out);
    close_charset(w, out);
    charset_end(&w->plain, out);
    words_begin(w);
}

void decode_words(struct slice text, struct out *out)
{
    struct words_decoder w;

    words_begin(&w);
    words_feed(&w, slice_trim(text), out);
    words_end(&w, out);
}

/* --- RFC 2231
 * ----------------------------------------------------------------------------- */

static int hex_of(char c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void decode_extended_value(struct slice value, struct out *out)
{
    struct slice rest = value, name;
    struct charset charset;

    name = slice_take(&rest, slice_find(rest, '\''));
    if (rest.len)
        slice_take(&rest, 1);
    if (slice_find(rest, '\'') == rest.len) {
        name = S("");
        rest = value;
    } else {
        slice_take(&rest, slice_find(rest, '\'') + 1);
    }
    charset_begin(&charset, name);
    while (rest.len) {
        char c = slice_take(&rest, 1).at[0];

        if (c == '%' && rest.len >= 2 && hex_of(rest.at[0]) >= 0 &&
            hex_of(rest.at[1]) >= 0) {
            c = (char)(hex_of(rest.at[0]) * 16 + hex_of(rest.at[1]));
            slice_take(&rest, 2);
        }
        charset_feed(&charset, slice_of(&c, 1), out);
    }
    charset_end(&charset, out);
}
