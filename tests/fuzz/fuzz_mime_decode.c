/* fuzz_mime_decode.c -- decoders, matcher, header filter, dates and addresses on any
 * octets: the same however they are cut, output that is UTF-8.
 *
 * Octets 0 to 3 choose cutting, encoding, charset and the needle's length. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/mime/address.h"
#include "proto/mime/date.h"
#include "proto/mime/header.h"
#include "proto/mime/search.h"

enum { OUTPUT = 1 << 18, CONTROL = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice charsets[] = {SI(""), SI("iso-8859-1"), SI("windows-1251"),
    SI("gb18030"), SI("iso-2022-jp"), SI("utf-7"), SI("utf-16"), SI("none")};

struct choice {
    size_t step;
    char encoding;
    struct slice charset;
};

static char first[OUTPUT], second[OUTPUT];

static struct slice piece_of(struct slice *in, size_t step)
{
    return slice_take(in, step < in->len ? step : in->len);
}

static size_t transfer(struct slice in, char encoding, size_t step, char *at)
{
    struct transfer_decoder d;
    size_t n = 0;

    transfer_begin(&d, encoding);
    while (in.len) {
        struct slice piece = piece_of(&in, step);

        while (piece.len)
            n += transfer_decode(&d, &piece, at + n, TRANSFER_ROOM_MIN);
    }
    return n + transfer_end(&d, at + n);
}

static struct slice convert(struct slice in, struct slice charset, size_t step, char *at)
{
    struct out out = out_of(at, OUTPUT);
    struct charset c;

    charset_begin(&c, charset);
    while (in.len)
        charset_feed(&c, piece_of(&in, step), &out);
    charset_end(&c, &out);
    CHECK(!out.full);
    return out_slice(&out);
}

static struct slice words(struct slice in, size_t step, char *at)
{
    struct out out = out_of(at, OUTPUT);
    struct words_decoder w;

    words_begin(&w);
    while (in.len)
        words_feed(&w, piece_of(&in, step), &out);
    words_end(&w, &out);
    CHECK(!out.full);
    return out_slice(&out);
}

static void check_decoders(struct slice in, const struct choice *choice)
{
    struct slice whole, pieces;
    size_t n = transfer(in, choice->encoding, in.len, first);

    CHECK(n <= in.len);
    CHECK(n == transfer(in, choice->encoding, choice->step, second));
    CHECK(memcmp(first, second, n) == 0);
    whole = convert(in, choice->charset, in.len, first);
    pieces = convert(in, choice->charset, choice->step, second);
    CHECK(slice_is_utf8(whole) && slice_eq(whole, pieces));
    whole = words(in, in.len, first);
    pieces = words(in, choice->step, second);
    CHECK(slice_is_utf8(whole) && slice_eq(whole, pieces));
    decode_extended_value(in, &(struct out){first, 0, OUTPUT, false, NULL});
}

static void check_search(struct slice needle_text, struct slice in, size_t step)
{
    struct arena arena = arena_of(1 << 20);
    struct search_needle needle;
    struct search whole, pieces;

    if (search_prepare(&arena, needle_text, S("iso-8859-1"), &needle) == STATUS_OK) {
        search_begin(&whole, &needle);
        search_begin(&pieces, &needle);
        search_feed(&whole, in);
        while (in.len)
            search_feed(&pieces, piece_of(&in, step));
        CHECK(whole.found == pieces.found);
    }
    arena_reset(&arena);
}

/* A field is passed or held back, so both filters together give all octets. */
static void check_filter(struct slice in, size_t step)
{
    struct slice names[] = {SI("to"), SI("a"), SI("subject")};
    uint64_t bytes[2], cut[2];
    struct header_field field;
    struct slice block = in;

    for (unsigned not = 0; not < 2; not ++) {
        struct header_filter f;
        struct slice rest = in;

        header_filter_begin(&f, names, 3, not != 0);
        header_filter_feed(&f, in, NULL);
        header_filter_end(&f, NULL);
        bytes[not ] = f.bytes;
        header_filter_rewind(&f);
        while (rest.len)
            header_filter_feed(&f, piece_of(&rest, step), NULL);
        header_filter_end(&f, NULL);
        cut[not ] = f.bytes;
    }
    CHECK(bytes[0] == cut[0] && bytes[1] == cut[1]);
    while (header_next(&block, &field))
        CHECK(field.whole.at + field.whole.len == block.at);
    CHECK(bytes[0] + bytes[1] <= in.len + 4);
}

static void check_fields(struct slice in)
{
    char *space = malloc(address_room(in.len));
    struct address_reader reader;
    struct address a;
    struct date date;
    int32_t day;

    CHECK(space);
    address_begin(&reader, in, space);
    for (size_t n = 0; address_next(&reader, &a); n++)
        CHECK(n <= 2 * in.len);
    free(space);
    if (date_parse(in, &date) || date_parse_internal(in, &date)) {
        struct date back;
        char text[64];
        struct out out = out_of(text, sizeof text);

        date_put_internal(&out, date);
        if (date_local_day(date) >= date_day_of(1, 1, 1) &&
            date_local_day(date) < date_day_of(10000, 1, 1))
            CHECK(date_parse_internal(out_slice(&out), &back) && back.utc == date.utc);
    }
    date_parse_day(in, &day);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size), needle;
    struct choice choice;

    if (size < CONTROL || size > OUTPUT / 8)
        return 0;
    slice_take(&in, CONTROL);
    choice = (struct choice){.step = data[0] ? data[0] : 1,
        .encoding = "7bq"[data[1] % 3],
        .charset = charsets[data[2] % 8]};
    check_decoders(in, &choice);
    check_filter(in, choice.step);
    check_fields(in);
    needle = slice_of(in.at, data[3] < in.len ? data[3] : in.len);
    check_search(needle, in, choice.step);
    return 0;
}
