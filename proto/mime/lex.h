/* lex.h -- the words of structured header fields (RFC 5322, section 3.2; RFC 2045,
 * section 5.1), over a value that may hold folding. Octets above 0x7f count as
 * ordinary characters (RFC 6532). Nesting of comments is counted, not recursed into.
 */
#pragma once
#include "proto/base/slice.h"

struct lexer {
    const char *at, *end;
    struct slice comment; /* content of the last comment met, raw; at == NULL: none */
};

struct lexer lex_of(struct slice value);

static inline bool lex_ended(const struct lexer *l)
{
    return l->at == l->end;
}

/* The next octet is c. */
static inline bool lex_is(const struct lexer *l, char c)
{
    return l->at < l->end && *l->at == c;
}

/* Steps over c when it is next. */
static inline bool lex_skip(struct lexer *l, char c)
{
    if (!lex_is(l, c))
        return false;
    l->at++;
    return true;
}

/* Steps over blanks, line ends and comments (CFWS). A comment that never closes
 * reaches to the end. */
void lex_blanks(struct lexer *l);

/* The longest run of atext (RFC 5322, 3.2.3), perhaps empty. */
struct slice lex_atom(struct lexer *l);

/* The longest run of token characters (RFC 2045, 5.1), perhaps empty. */
struct slice lex_token(struct lexer *l);

/* How folding inside a quoted string or comment is undone. */
enum lex_folding {
    LEX_STRICT, /* line ends are dropped (RFC 5322, 3.2.4) */
    LEX_TIDY,   /* a fold becomes one blank, as the folder meant it */
};

/* Steps over a quoted string, whose first octet must be next, and writes its content
 * without quotes, backslashes and folding. Without a closing quote it reaches to
 * the end. */
void lex_quoted(struct lexer *l, struct out *out, enum lex_folding folding);

/* Writes raw text of a comment or quoted string without backslashes and folding. */
void lex_put_unescaped(struct out *out, struct slice raw, enum lex_folding folding);
