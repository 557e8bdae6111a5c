/* convert_check.h -- what must hold of every converted message, for unit tests, the
 * corpus and the fuzzer. Failures end in CHECK. */
#pragma once
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/scan.h"
#include "proto/mime/convert.h"
#include "proto/mime/summary.h"
#include "proto/mime/utf8.h"

/* Converts the text, given in pieces of `step` octets, in buffers of `room` octets. The
 * result is malloc()ed; at == NULL when the verdict is a refusal. */
static inline struct slice convert_text(struct slice text, enum convert_target target,
    size_t step, size_t room, enum convert_verdict *verdict)
{
    struct arena arena = arena_of(CONVERT_MEMORY);
    struct convert_scan *s = convert_scan_begin(&arena, target);
    const struct convert_plan *plan;
    size_t cap = 8 * text.len + 4 * CONVERT_ROOM_MIN + room, len = 0;
    char *at = NULL;

    CHECK(s);
    for (struct slice in = text; in.len;)
        convert_scan_feed(s, slice_take(&in, step < in.len ? step : in.len));
    plan = convert_scan_end(s);
    *verdict = plan->verdict;
    if (plan->verdict == CONVERT_REWRITE || plan->verdict == CONVERT_AS_IS) {
        struct converter c;

        at = malloc(cap);
        CHECK(at);
        convert_begin(&c, plan);
        for (struct slice in = text; in.len;) {
            struct slice piece = slice_take(&in, step < in.len ? step : in.len);

            while (piece.len) {
                CHECK(cap - len >= room);
                len += convert_run(&c, &piece, at + len, room);
            }
        }
        CHECK(cap - len >= CONVERT_ROOM_MIN);
        len += convert_end(&c, at + len);
    }
    arena_reset(&arena);
    return slice_of(at, len);
}

static inline bool contains(struct slice text, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= text.len; i++)
        if (strncasecmp(text.at + i, word, n) == 0)
            return true;
    return false;
}

/* The target takes it. */
static inline void check_fits(struct slice text, enum convert_target target)
{
    size_t line = 0;

    CHECK(scan_flaws(text, 0) == 0);
    CHECK(text.len == 0 || text.at[text.len - 1] != '\r');
    if (target == CONVERT_TO_7BIT)
        CHECK(utf8_ascii_run(text) == text.len);
    for (size_t i = 0; i < text.len; i++) {
        line = text.at[i] == '\n' ? 0 : line + (text.at[i] != '\r');
        CHECK(line <= 998);
    }
}

static inline struct slice summary_of(struct slice text, struct arena *arena)
{
    struct summary_builder *b = summary_begin(arena, &summary_defaults);

    CHECK(b);
    summary_feed(b, text);
    return summary_end(b);
}

/* The decoded body of a leaf, malloc()ed. */
static inline struct slice decoded(struct slice text, const struct summary_leaf *leaf)
{
    struct slice in = slice_of(text.at + leaf->body.at, (size_t)leaf->body.len);
    char *at = malloc(in.len + 2 * TRANSFER_ROOM_MIN);
    struct transfer_decoder d;
    size_t n;

    CHECK(at);
    transfer_begin(&d, leaf->encoding);
    n = transfer_decode(&d, &in, at, in.len + TRANSFER_ROOM_MIN);
    CHECK(in.len == 0);
    n += transfer_end(&d, at + n);
    return slice_of(at, n);
}

/* Both have the same parts, which decode to the same octets. */
static inline void check_same_leaves(struct slice before, struct slice after)
{
    struct arena arena = arena_of(2 * summary_memory(&summary_defaults));
    struct summary_leaf a, b;
    struct summary s, t;

    CHECK(summary_open(summary_of(before, &arena), &s));
    CHECK(summary_open(summary_of(after, &arena), &t));
    for (unsigned i = 0; summary_leaf_at(&s, i, &a); i++) {
        struct slice x, y;

        CHECK(summary_leaf_at(&t, i, &b));
        x = decoded(before, &a);
        y = decoded(after, &b);
        CHECK(slice_eq(x, y));
        free((char *)x.at);
        free((char *)y.at);
    }
    arena_reset(&arena);
}

/* The summary looks into embedded messages without undoing an encoding of the whole. */
static inline bool may_encode_message(struct slice text)
{
    bool message = contains(text, "rfc822") || contains(text, "digest");

    return contains(text, "global") ||
        (message && (contains(text, "quoted-printable") || contains(text, "base64")));
}

/* All of it, for one message; returns the verdict. */
static inline enum convert_verdict check_conversion(
    struct slice text, enum convert_target target, size_t step)
{
    enum convert_verdict verdict, again;
    struct slice whole = convert_text(text, target, text.len, 64 << 10, &verdict);
    struct slice pieces = convert_text(text, target, step, CONVERT_ROOM_MIN, &again);

    CHECK(verdict == again && slice_eq(whole, pieces));
    free((char *)pieces.at);
    if (verdict == CONVERT_AS_IS)
        CHECK(slice_eq(whole, text));
    if (verdict == CONVERT_REWRITE) {
        check_fits(whole, target);
        pieces = convert_text(whole, target, step, CONVERT_ROOM_MIN, &again);
        CHECK(again == CONVERT_AS_IS);
        free((char *)pieces.at);
        if (!may_encode_message(text))
            check_same_leaves(text, whole);
    }
    free((char *)whole.at);
    return verdict;
}
