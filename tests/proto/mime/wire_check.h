/* wire_check.h -- is this what IMAP may send? For renderings of summaries. */
#pragma once
#include "proto/base/slice.h"

/* Steps over a quoted string whose quote has been read. */
static inline bool wire_quoted(struct slice *s)
{
    while (s->len) {
        unsigned char c = (unsigned char)slice_take(s, 1).at[0];

        if (c == '"')
            return true;
        if (c == '\\' && (s->len == 0 || !memchr("\"\\", slice_take(s, 1).at[0], 2)))
            return false;
        if (c == 0 || c == '\r' || c == '\n' || c >= 0x80)
            return false;
    }
    return false;
}

/* Steps over a literal whose brace has been read. */
static inline bool wire_literal(struct slice *s)
{
    struct slice digits = slice_take(s, slice_find(*s, '}'));
    uint32_t n;

    if (!slice_u32(digits, &n) || s->len < 3 || memcmp(s->at, "}\r\n", 3) != 0)
        return false;
    slice_take(s, 3);
    if (n > s->len || memchr(s->at, 0, n))
        return false;
    slice_take(s, n);
    return true;
}

/* One parenthesized list (RFC 3501, section 9), complete, with nothing behind it. */
static inline bool wire_is_list(struct slice s)
{
    int depth = 0;

    do {
        char c;

        if (s.len == 0)
            return false;
        c = slice_take(&s, 1).at[0];
        if (c == '(')
            depth++;
        else if (c == ')')
            depth--;
        else if (c == '"' && !wire_quoted(&s))
            return false;
        else if (c == '{' && !wire_literal(&s))
            return false;
        else if (c < ' ' || c == 0x7f)
            return false;
    } while (depth > 0);
    return depth == 0 && s.len == 0;
}
