/* dsn_check.h -- what must hold of every report, whatever it was made of; for unit tests
 * and the fuzzer. Failures end in CHECK. */
#pragma once
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/scan.h"
#include "proto/mime/decode.h"
#include "proto/mime/summary.h"
#include "proto/mime/utf8.h"
#include "proto/smtp/dsn.h"

/* The report about `message`, given in pieces of `step` octets; malloc()ed. */
static inline struct slice dsn_text(
    const struct dsn *d, struct slice message, size_t step)
{
    size_t cap = 4 * message.len + (3 + 2 * (size_t)d->rcpt_count) * DSN_STEP_MAX + 1024;
    struct out out = out_of(malloc(cap), cap);
    struct dsn_returned r;
    struct dsn_writer w;
    bool more = true;

    CHECK(out.at);
    dsn_begin(&w, d);
    while (more) {
        size_t before = out.len;

        more = dsn_put_step(&w, &out);
        CHECK(out.len - before <= DSN_STEP_MAX);
    }
    dsn_returned_begin(&r, d);
    while (message.len) {
        size_t before = out.len, n = step < message.len ? step : message.len;

        dsn_returned_feed(&r, slice_take(&message, n), &out);
        CHECK(out.len - before <= 4 * n + 128);
    }
    dsn_returned_end(&r, &out);
    CHECK(!out.full);
    return out_slice(&out);
}

static inline bool starts(struct slice s, struct slice with)
{
    return s.len >= with.len && memcmp(s.at, with.at, with.len) == 0;
}

/* Lines, as the most lenient reader cuts them, that begin like a delimiter. */
static inline unsigned delimiters_in(struct slice text, struct slice unique)
{
    char delimiter[DSN_UNIQUE_MAX + 16];
    struct out out = out_of(delimiter, sizeof delimiter);
    bool line_start = true;
    unsigned count = 0;

    out_put(&out, S("--=_dsn-"));
    out_put(&out, unique);
    for (; text.len; slice_take(&text, 1)) {
        count += line_start && starts(text, out_slice(&out));
        line_start = text.at[0] == '\n' || text.at[0] == '\r';
    }
    return count;
}

/* What this program wrote: lines of printable octets, none over 998. */
static inline void check_lines(struct slice text, bool utf8)
{
    size_t line = 0;

    CHECK(scan_flaws(text, 0) == 0);
    CHECK(utf8 ? slice_is_utf8(text) : utf8_ascii_run(text) == text.len);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];

        CHECK((c >= 0x20 && c != 0x7f) || c == '\r' || c == '\n' || c == '\t');
        line = c == '\n' ? 0 : line + (c != '\r');
        CHECK(line <= 998);
    }
}

static inline struct slice part_of(
    struct slice text, const struct summary *s, uint32_t number, enum section_part what)
{
    struct range range;

    CHECK(summary_section(s, number ? &number : NULL, number > 0, what, &range));
    return slice_of(text.at + range.at, (size_t)range.len);
}

static inline bool has(struct slice text, struct slice word)
{
    for (; text.len >= word.len; slice_take(&text, 1))
        if (starts(text, word))
            return true;
    return false;
}

static inline unsigned count_of(struct slice text, struct slice word)
{
    unsigned count = 0;

    for (; text.len >= word.len; slice_take(&text, 1))
        count += starts(text, word);
    return count;
}

/* The field begins a line just once. */
static inline void check_once(struct slice text, const char *name)
{
    char line[64];
    struct out out = out_of(line, sizeof line);

    out_put(&out, S("\r\n"));
    out_str(&out, name);
    CHECK(count_of(text, out_slice(&out)) == 1);
}

/* What of the message is to be returned. */
static inline struct slice wanted_of(struct slice message, enum dsn_returned_what what)
{
    if (what == DSN_RETURN_NOTHING)
        return slice_of(message.at, 0);
    if (what == DSN_RETURN_FULL)
        return message;
    for (size_t i = 0; i < message.len; i++) {
        struct slice rest = slice_of(message.at + i, message.len - i);

        if ((i == 0 || message.at[i - 1] == '\n') &&
            (starts(rest, S("\r\n")) || starts(rest, S("\n"))))
            return slice_of(message.at, i);
    }
    return message;
}

/* The third part, its encoding undone, is the message. */
static inline void check_returned(
    const struct dsn *d, struct slice part, bool encoded, struct slice message)
{
    struct slice want = wanted_of(message, d->returned);
    char *at = malloc(part.len + 2 * TRANSFER_ROOM_MIN);
    struct transfer_decoder decoder;
    size_t n;

    CHECK(at);
    transfer_begin(&decoder, encoded ? 'q' : '7');
    n = transfer_decode(&decoder, &part, at, part.len + TRANSFER_ROOM_MIN);
    n += transfer_end(&decoder, at + n);
    if (encoded || delimiters_in(want, d->unique) == 0)
        CHECK(slice_eq(slice_of(at, n), want));
    free(at);
}

static inline void check_structure(
    const struct dsn *d, struct slice text, const struct summary *s, struct slice message)
{
    struct slice header = part_of(text, s, 0, SECTION_HEADER);
    struct slice status = part_of(text, s, 2, SECTION_ALL), mime;
    uint32_t third = 3;
    struct range range;

    check_lines(header, dsn_is_utf8(d));
    check_lines(part_of(text, s, 1, SECTION_ALL), true);
    check_lines(status, dsn_is_utf8(d));
    check_once(header, "From: ");
    check_once(header, "To: ");
    check_once(header, "Subject: ");
    check_once(header, "Message-ID: ");
    check_once(header, "Auto-Submitted: ");
    check_once(header, "Content-Type: ");
    CHECK(count_of(status, S("\r\nFinal-Recipient: ")) == d->rcpt_count);
    CHECK(count_of(status, S("\r\nAction: ")) == d->rcpt_count);
    CHECK(count_of(status, S("\r\nStatus: ")) == d->rcpt_count);
    CHECK(count_of(status, S("\r\n\r\n")) == d->rcpt_count);
    if (d->returned == DSN_RETURN_NOTHING) {
        CHECK(!summary_section(s, &third, 1, SECTION_ALL, &range));
        return;
    }
    mime = part_of(text, s, 3, SECTION_MIME);
    check_returned(
        d, part_of(text, s, 3, SECTION_ALL), has(mime, S("quoted-printable")), message);
}

/* All of it: the text is read back by the summary. */
static inline void check_dsn(const struct dsn *d, struct slice message, size_t step)
{
    struct slice text = dsn_text(d, message, message.len ? message.len : 1);
    struct slice pieces = dsn_text(d, message, step);
    struct arena arena = arena_of(summary_memory(&summary_defaults));
    struct summary_builder *b = summary_begin(&arena, &summary_defaults);
    struct summary s;

    CHECK(slice_eq(text, pieces));
    CHECK(delimiters_in(text, d->unique) == 3U + (d->returned != DSN_RETURN_NOTHING));
    CHECK(b);
    summary_feed(b, text);
    CHECK(summary_open(summary_end(b), &s));
    CHECK(!s.has_8bit || dsn_is_8bit(d) || !d->returned_8bit);
    check_structure(d, text, &s, message);
    arena_reset(&arena);
    free((char *)text.at);
    free((char *)pieces.at);
}
