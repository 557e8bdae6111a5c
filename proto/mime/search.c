#include "proto/mime/search.h"

#include <emmintrin.h>

#include "proto/mime/text.h"
#include "proto/mime/utf8.h"

/* --- needles
 * -------------------------------------------------------------------------------- */

/* The needle's text as folded UTF-8, written over itself: no simple folding takes
 * more octets than there is room for here (U+023A and U+023E grow from 2 to 3). */
static struct slice fold_text(struct arena *arena, struct slice utf8)
{
    char *at = arena_take(arena, 2 * utf8.len + 1);
    size_t n = 0;

    while (at && utf8.len) {
        uint32_t code_point;
        int used = utf8_next(utf8.at, utf8.len, &code_point);

        slice_take(&utf8, used > 0 ? (size_t)used : 1);
        if (used > 0)
            n += utf8_encode(search_fold(code_point), at + n);
    }
    return slice_of(at, n);
}

/* For each prefix of the needle, how long its longest border is: a proper beginning
 * that is also its end (Knuth, Morris and Pratt 1977). */
static void find_borders(struct search_needle *needle)
{
    struct slice text = needle->text;
    uint32_t border = 0;

    needle->border[0] = 0;
    for (uint32_t i = 1; i < text.len; i++) {
        while (border && text.at[i] != text.at[border])
            border = needle->border[border - 1];
        border += text.at[i] == text.at[border];
        needle->border[i] = border;
    }
}

enum status search_prepare(struct arena *arena, struct slice text, struct slice charset,
    struct search_needle *needle)
{
    struct charset converter;
    struct text utf8;
    bool known = charset_begin(&converter, charset);

    text_init(&utf8, arena, SEARCH_NEEDLE_MAX);
    charset_feed(&converter, text, &utf8.out);
    charset_end(&converter, &utf8.out);
    if (!known)
        return STATUS_INVALID;
    if (utf8.no_memory)
        return STATUS_NO_MEMORY;
    if (utf8.out.full)
        return STATUS_LIMIT;
    if (converter.broken)
        return STATUS_CORRUPT;
    needle->text = fold_text(arena, text_slice(&utf8));
    needle->border = arena_take(arena, (needle->text.len + 1) * sizeof(uint32_t));
    if (!needle->text.at || !needle->border)
        return STATUS_NO_MEMORY;
    find_borders(needle);
    return STATUS_OK;
}

/* --- matching
 * --------------------------------------------------------------------------------- */

void search_begin(struct search *s, const struct search_needle *needle)
{
    *s = (struct search){.needle = needle, .found = needle->text.len == 0};
}

static void match_octet(struct search *s, char c)
{
    const struct search_needle *needle = s->needle;

    while (s->matched && needle->text.at[s->matched] != c)
        s->matched = needle->border[s->matched - 1];
    s->matched += needle->text.at[s->matched] == c;
    s->found = s->matched == needle->text.len;
}

static void match_character(struct search *s, uint32_t code_point)
{
    char octets[UTF8_MAX];
    unsigned n = utf8_encode(search_fold(code_point), octets);

    for (unsigned i = 0; i < n && !s->found; i++)
        match_octet(s, octets[i]);
}

/* How many octets at the front of the text can begin no match: not the needle's first
 * octet in either case, and ASCII, as other characters may fold to anything. */
static size_t skip_run(const struct search *s, struct slice text)
{
    char first = s->needle->text.at[0];
    __m128i lower = _mm_set1_epi8(first), upper = _mm_set1_epi8(ascii_upper(first));
    size_t i = 0;

    for (; i + 16 <= text.len; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(text.at + i));
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, lower), _mm_cmpeq_epi8(v, upper));
        int mask = _mm_movemask_epi8(_mm_or_si128(hit, v));

        if (mask)
            return i + (unsigned)__builtin_ctz((unsigned)mask);
    }
    while (i < text.len && !(text.at[i] & 0x80) && ascii_lower(text.at[i]) != first)
        i++;
    return i;
}

/* Completes a character that was cut between two pieces. When it is none, its first
 * octet counts as one and the others are tried again. */
static void match_held(struct search *s, struct slice *text)
{
    while (s->held && text->len && !s->found) {
        uint32_t code_point;
        int used;

        s->hold[s->held] = text->at[0];
        used = utf8_next(s->hold, s->held + 1U, &code_point);
        if (used < 0) {
            match_character(s, UTF8_REPLACED);
            memmove(s->hold, s->hold + 1, --s->held);
            continue;
        }
        slice_take(text, 1);
        s->held++;
        if (used == 0)
            continue;
        match_character(s, code_point);
        s->held = 0;
    }
}

bool search_feed(struct search *s, struct slice utf8)
{
    if (!s->found)
        match_held(s, &utf8);
    while (utf8.len && !s->found) {
        uint32_t code_point;
        int used;

        if (s->matched == 0)
            slice_take(&utf8, skip_run(s, utf8));
        if (utf8.len == 0)
            break;
        if (!(utf8.at[0] & 0x80)) {
            match_octet(s, ascii_lower(slice_take(&utf8, 1).at[0]));
            continue;
        }
        used = utf8_next(utf8.at, utf8.len, &code_point);
        if (used == 0) {
            memcpy(s->hold, utf8.at, utf8.len);
            s->held = (uint8_t)utf8.len;
            break;
        }
        slice_take(&utf8, used > 0 ? (size_t)used : 1);
        match_character(s, used > 0 ? code_point : UTF8_REPLACED);
    }
    return s->found;
}

/* --- decoded text
 * --------------------------------------------------------------------------------- */

/* Output whose windows are searched as they fill. */
struct sink {
    struct out out;
    struct search *search;
    char window[1024];
};

static bool sink_more(struct out *out)
{
    struct sink *sink = container_of(out, struct sink, out);

    search_feed(sink->search, out_slice(out));
    out->len = 0;
    return true;
}

static void sink_begin(struct sink *sink, struct search *search)
{
    sink->out = (struct out){sink->window, 0, sizeof sink->window, false, sink_more};
    sink->search = search;
}

static bool sink_end(struct sink *sink)
{
    sink_more(&sink->out);
    return sink->search->found;
}

void search_header_begin(struct search_header *h, const struct search_needle *needle)
{
    search_begin(&h->search, needle);
    words_begin(&h->words);
}

bool search_header_feed(struct search_header *h, struct slice raw)
{
    struct sink sink;

    if (h->search.found)
        return true;
    sink_begin(&sink, &h->search);
    words_feed(&h->words, raw, &sink.out);
    return sink_end(&sink);
}

bool search_header_end(struct search_header *h)
{
    struct sink sink;

    sink_begin(&sink, &h->search);
    words_end(&h->words, &sink.out);
    return sink_end(&sink);
}

bool search_in_header(const struct search_needle *needle, struct slice value)
{
    struct search_header h;

    search_header_begin(&h, needle);
    search_header_feed(&h, slice_trim(value));
    return search_header_end(&h);
}

void search_body_begin(struct search_body *b, const struct search_needle *needle,
    char encoding, struct slice charset)
{
    search_begin(&b->search, needle);
    transfer_begin(&b->transfer, encoding);
    charset_begin(&b->charset, charset);
}

bool search_body_feed(struct search_body *b, struct slice stored)
{
    struct sink sink;
    char octets[4096];

    sink_begin(&sink, &b->search);
    while (stored.len && !b->search.found) {
        size_t n = transfer_decode(&b->transfer, &stored, octets, sizeof octets);

        charset_feed(&b->charset, slice_of(octets, n), &sink.out);
        sink_end(&sink);
    }
    return b->search.found;
}

bool search_body_end(struct search_body *b)
{
    struct sink sink;
    char octets[TRANSFER_ROOM_MIN];
    size_t n = transfer_end(&b->transfer, octets);

    sink_begin(&sink, &b->search);
    charset_feed(&b->charset, slice_of(octets, n), &sink.out);
    charset_end(&b->charset, &sink.out);
    return sink_end(&sink);
}
