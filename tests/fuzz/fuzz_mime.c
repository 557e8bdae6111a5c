/* fuzz_mime.c -- a summary of any octets: the same however they are cut, its renderings
 * well formed, every section and leaf within the message; any octets as a summary.
 *
 * The first octet chooses the cutting; the rest is the message. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/mime/summary.h"
#include "tests/proto/mime/wire_check.h"

enum { ARENA_MAX = 32 << 20, CHILDREN = 5, DEPTH = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice summarize(struct arena *arena, struct slice message, size_t step)
{
    struct summary_builder *b = summary_begin(arena, &summary_defaults);

    CHECK(b);
    while (message.len) {
        size_t n = step < message.len ? step : message.len;
        char *piece = malloc(n); /* so that a read past the piece is seen */

        CHECK(piece);
        memcpy(piece, slice_take(&message, n).at, n);
        summary_feed(b, slice_of(piece, n));
        free(piece);
    }
    return summary_end(b);
}

/* A section, where there is one, lies in the message and inside its part. */
static void check_section(const struct summary *s, const uint32_t *path, unsigned count)
{
    struct range all, range;
    struct summary_leaf leaf;
    bool there = summary_section(s, path, count, SECTION_ALL, &all);

    CHECK(there == summary_part(s, path, count, &leaf));
    if (!there)
        return;
    CHECK(all.at <= s->size && all.len <= s->size - all.at);
    for (int part = SECTION_HEADER; part <= SECTION_MIME; part++) {
        if (!summary_section(s, path, count, (enum section_part)part, &range))
            continue;
        CHECK(range.at <= s->size && range.len <= s->size - range.at);
        if (part != SECTION_MIME)
            CHECK(range.at >= all.at && range.at + range.len <= all.at + all.len);
        else
            CHECK(range.at + range.len == all.at);
    }
}

/* All paths of small numbers and small depth. */
static void check_sections(const struct summary *s)
{
    uint32_t path[DEPTH] = {0};

    check_section(s, path, 0);
    for (unsigned n = 1; n < 1U << (3 * DEPTH); n++) {
        unsigned count = 0;

        for (unsigned rest = n; rest; rest /= CHILDREN + 1)
            if (count < DEPTH)
                path[count++] = rest % (CHILDREN + 1);
        check_section(s, path, count);
    }
}

static void check_leaves(const struct summary *s, struct slice blob)
{
    struct summary_leaf leaf;

    for (unsigned i = 0; summary_leaf_at(s, i, &leaf); i++) {
        CHECK(leaf.header.at + leaf.header.len == leaf.body.at);
        CHECK(leaf.body.at + leaf.body.len <= s->size);
        CHECK(leaf.charset.len <= blob.len);
    }
}

static void check_message(struct slice message, size_t step)
{
    struct arena whole = arena_of(ARENA_MAX), pieces = arena_of(ARENA_MAX);
    struct slice blob = summarize(&whole, message, message.len);
    struct slice again = summarize(&pieces, message, step);
    struct summary s;

    CHECK(blob.at && slice_eq(blob, again));
    CHECK(summary_open(blob, &s));
    CHECK(s.size == message.len && s.header_bytes <= s.size);
    CHECK(wire_is_list(s.envelope) && wire_is_list(s.body));
    CHECK(wire_is_list(s.bodystructure));
    check_sections(&s);
    check_leaves(&s, blob);
    arena_reset(&whole);
    arena_reset(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice message = slice_of((const char *)data, size);
    struct summary s;

    if (size == 0)
        return 0;
    if (summary_open(message, &s)) {
        check_sections(&s);
        for (unsigned i = 0; i < 100; i++)
            summary_leaf_at(&s, i, &(struct summary_leaf){0});
    }
    slice_take(&message, 1);
    check_message(message, data[0] ? data[0] : 1);
    return 0;
}
