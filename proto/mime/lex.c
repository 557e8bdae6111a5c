#include "proto/mime/lex.h"

#include "proto/base/check.h"

struct lexer lex_of(struct slice value)
{
    const char *at = value.len ? value.at : "";

    return (struct lexer){.at = at, .end = at + value.len};
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_comment(struct lexer *l)
{
    const char *start = l->at + 1;
    unsigned depth = 0;

    for (; l->at < l->end; l->at++) {
        if (*l->at == '\\' && l->at + 1 < l->end)
            l->at++;
        else if (*l->at == '(')
            depth++;
        else if (*l->at == ')' && --depth == 0)
            break;
    }
    l->comment = slice_of(start, (size_t)(l->at - start));
    lex_skip(l, ')');
}

void lex_blanks(struct lexer *l)
{
    while (l->at < l->end && (is_white(*l->at) || *l->at == '(')) {
        if (*l->at == '(')
            skip_comment(l);
        else
            l->at++;
    }
}

enum { SPECIAL = 1, TSPECIAL = 2 };

/* RFC 5322, 3.2.3 (specials) and RFC 2045, 5.1 (tspecials). */
static const uint8_t char_class[256] = {
    ['('] = SPECIAL | TSPECIAL,
    [')'] = SPECIAL | TSPECIAL,
    ['<'] = SPECIAL | TSPECIAL,
    ['>'] = SPECIAL | TSPECIAL,
    ['['] = SPECIAL | TSPECIAL,
    [']'] = SPECIAL | TSPECIAL,
    [':'] = SPECIAL | TSPECIAL,
    [';'] = SPECIAL | TSPECIAL,
    ['@'] = SPECIAL | TSPECIAL,
    ['\\'] = SPECIAL | TSPECIAL,
    [','] = SPECIAL | TSPECIAL,
    ['"'] = SPECIAL | TSPECIAL,
    ['.'] = SPECIAL,
    ['/'] = TSPECIAL,
    ['?'] = TSPECIAL,
    ['='] = TSPECIAL,
    [0x7f] = SPECIAL | TSPECIAL,
};

static bool is_atext(char c)
{
    return (unsigned char)c > ' ' && !(char_class[(unsigned char)c] & SPECIAL);
}

static bool is_token(char c)
{
    return (unsigned char)c > ' ' && !(char_class[(unsigned char)c] & TSPECIAL);
}

struct slice lex_atom(struct lexer *l)
{
    const char *start = l->at;

    while (l->at < l->end && is_atext(*l->at))
        l->at++;
    return slice_of(start, (size_t)(l->at - start));
}

struct slice lex_token(struct lexer *l)
{
    const char *start = l->at;

    while (l->at < l->end && is_token(*l->at))
        l->at++;
    return slice_of(start, (size_t)(l->at - start));
}

static bool is_plain(char c)
{
    return c != '\\' && c != '\r' && c != '\n';
}

void lex_put_unescaped(struct out *out, struct slice raw, enum lex_folding folding)
{
    while (raw.len) {
        size_t run = 0;

        while (run < raw.len && is_plain(raw.at[run]))
            run++;
        out_put(out, slice_take(&raw, run));
        if (raw.len == 0)
            return;
        if (raw.at[0] == '\\') {
            slice_take(&raw, 1);
            if (raw.len)
                out_put(out, slice_take(&raw, 1));
            continue;
        }
        if (folding == LEX_STRICT) {
            slice_take(&raw, 1);
            continue;
        }
        while (raw.len && is_white(raw.at[0]))
            slice_take(&raw, 1);
        out_byte(out, ' ');
    }
}

void lex_quoted(struct lexer *l, struct out *out, enum lex_folding folding)
{
    const char *start = l->at + 1;

    CHECK(lex_is(l, '"'));
    for (l->at++; l->at < l->end && *l->at != '"'; l->at++)
        if (*l->at == '\\' && l->at + 1 < l->end)
            l->at++;
    lex_put_unescaped(out, slice_of(start, (size_t)(l->at - start)), folding);
    lex_skip(l, '"');
}
