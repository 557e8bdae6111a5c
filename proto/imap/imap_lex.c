#include "proto/imap/imap_lex.h"

#include "proto/imap/imap.h"
#include "proto/imap/imap_name.h"

enum {
    A = IMAP_OCTET_ATOM,
    Z = IMAP_OCTET_ASTRING | IMAP_OCTET_LIST,
    L = IMAP_OCTET_LIST,
    T = IMAP_OCTET_TAG,
    N = IMAP_OCTET_SET,
    B = IMAP_OCTET_BASE64,
    F = IMAP_OCTET_FIELD,
    I = IMAP_OCTET_ITEM,

    ANY_ATOM = A | Z | T | F,
    ALPHANUMERIC = ANY_ATOM | B | I,
    DIGIT = ALPHANUMERIC | N,
};

/* Later initialisers override earlier ones, which is what makes the table readable. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif
const uint8_t imap_octets[256] = {
    ['!' ... '~'] = ANY_ATOM,
    ['0' ... '9'] = DIGIT,
    ['A' ... 'Z'] = ALPHANUMERIC,
    ['a' ... 'z'] = ALPHANUMERIC,
    ['+'] = A | Z | F | B,
    ['/'] = ANY_ATOM | B,
    ['='] = ANY_ATOM | B,
    ['.'] = ANY_ATOM | I,
    ['-'] = ANY_ATOM | I,
    [':'] = A | Z | T | N,
    [','] = ANY_ATOM | N,
    [']'] = Z | T | F,
    ['*'] = L | F | N,
    ['%'] = L | F,
    ['('] = F,
    [')'] = F,
    ['{'] = F,
    ['"'] = F,
    ['\\'] = F,
};
#pragma GCC diagnostic pop

bool imap_octets_all(struct slice s, enum imap_octet_class octet_class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!imap_octet_is(s.at[i], octet_class))
            return false;
    return true;
}

struct slice imap_lex_run(struct imap_lex *x, enum imap_octet_class octet_class)
{
    size_t n = 0;

    while (n < x->rest.len && imap_octet_is(x->rest.at[n], octet_class))
        n++;
    return slice_take(&x->rest, n);
}

bool imap_lex_at_end(const struct imap_lex *x)
{
    return slice_eq(x->rest, S("\r\n"));
}

enum imap_error imap_lex_end(struct imap_lex *x)
{
    return imap_lex_at_end(x) ? IMAP_ERROR_NONE : IMAP_ERROR_TRAILING;
}

enum imap_error imap_lex_space(struct imap_lex *x)
{
    if (imap_lex_take(x, ' '))
        return IMAP_ERROR_NONE;
    return imap_lex_at_end(x) ? IMAP_ERROR_NO_ARGUMENT : IMAP_ERROR_ARGUMENT;
}

enum imap_error imap_lex_atom(struct imap_lex *x, struct slice *atom)
{
    *atom = imap_lex_run(x, IMAP_OCTET_ATOM);
    return atom->len ? IMAP_ERROR_NONE : IMAP_ERROR_ARGUMENT;
}

/* A quoted string without its escapes, in the arena. `n` octets stand between the quotes.
 */
static enum imap_error unescape(struct imap_lex *x, struct slice quoted, struct slice *s)
{
    char *at = arena_take(x->arena, quoted.len);
    size_t n = 0;

    if (!at)
        return IMAP_ERROR_LIMIT;
    for (size_t i = 0; i < quoted.len; i++) {
        if (quoted.at[i] == '\\')
            i++;
        at[n++] = quoted.at[i];
    }
    *s = slice_of(at, n);
    return IMAP_ERROR_NONE;
}

/* quoted: TEXT-CHAR, and escapes for the two quoted-specials only. */
static enum imap_error lex_quoted(struct imap_lex *x, struct slice *s)
{
    bool escapes = false;

    slice_take(&x->rest, 1);
    for (size_t i = 0; i < x->rest.len; i++) {
        char c = x->rest.at[i];

        if (c == '"') {
            *s = slice_take(&x->rest, i);
            slice_take(&x->rest, 1);
            return escapes ? unescape(x, *s, s) : IMAP_ERROR_NONE;
        }
        if (c == '\0' || c == '\r' || c == '\n' || (unsigned char)c >= 0x80)
            return IMAP_ERROR_STRING;
        if (c == '\\') {
            i++;
            if (i == x->rest.len || (x->rest.at[i] != '"' && x->rest.at[i] != '\\'))
                return IMAP_ERROR_STRING;
            escapes = true;
        }
    }
    return IMAP_ERROR_STRING;
}

enum imap_error imap_lex_literal_head(struct imap_lex *x, uint64_t *bytes)
{
    struct slice digits;
    size_t n = 0;

    if (!imap_lex_take(x, '{'))
        return IMAP_ERROR_LITERAL;
    while (n < x->rest.len && ascii_digit(x->rest.at[n]))
        n++;
    digits = slice_take(&x->rest, n);
    imap_lex_take(x, '+');
    if (!slice_u64(digits, bytes) || !imap_lex_take(x, '}') || !imap_lex_take(x, '\r') ||
        !imap_lex_take(x, '\n'))
        return IMAP_ERROR_LITERAL;
    return IMAP_ERROR_NONE;
}

/* literal: *CHAR8, which leaves out NUL. */
static enum imap_error lex_literal(struct imap_lex *x, struct slice *s)
{
    uint64_t bytes;
    enum imap_error error = imap_lex_literal_head(x, &bytes);

    if (error)
        return error;
    if (bytes > x->rest.len)
        return IMAP_ERROR_LITERAL;
    *s = slice_take(&x->rest, (size_t)bytes);
    return slice_find(*s, '\0') == s->len ? IMAP_ERROR_NONE : IMAP_ERROR_STRING;
}

enum imap_error imap_lex_string(struct imap_lex *x, struct slice *s)
{
    if (imap_lex_next_is(x, '"'))
        return lex_quoted(x, s);
    if (imap_lex_next_is(x, '{'))
        return lex_literal(x, s);
    return imap_lex_at_end(x) ? IMAP_ERROR_NO_ARGUMENT : IMAP_ERROR_STRING;
}

/* A string, or a bare run of the class. */
static enum imap_error string_or_run(
    struct imap_lex *x, enum imap_octet_class octet_class, struct slice *s)
{
    *s = imap_lex_run(x, octet_class);
    return s->len ? IMAP_ERROR_NONE : imap_lex_string(x, s);
}

enum imap_error imap_lex_astring(struct imap_lex *x, struct slice *s)
{
    return string_or_run(x, IMAP_OCTET_ASTRING, s);
}

enum imap_error imap_lex_list_mailbox(struct imap_lex *x, struct slice *s)
{
    return string_or_run(x, IMAP_OCTET_LIST, s);
}

enum imap_error imap_lex_nstring(struct imap_lex *x, struct slice *s)
{
    struct imap_lex ahead = *x;

    if (slice_eq_nocase(imap_lex_run(&ahead, IMAP_OCTET_ATOM), S("NIL"))) {
        *x = ahead;
        *s = slice_of(NULL, 0);
        return IMAP_ERROR_NONE;
    }
    return imap_lex_string(x, s);
}

enum imap_error imap_lex_mailbox(struct imap_lex *x, bool trailing, struct slice *name)
{
    struct slice wire;
    enum imap_error error = imap_lex_astring(x, &wire);

    if (!error)
        error = imap_name_of_wire(wire, trailing, x->arena, name);
    if (!error && !imap_name_fits(*name, x->limits->name))
        error = IMAP_ERROR_NAME;
    return error;
}

enum imap_error imap_lex_u32(struct imap_lex *x, uint32_t *n)
{
    size_t digits = 0;

    while (digits < x->rest.len && ascii_digit(x->rest.at[digits]))
        digits++;
    return slice_u32(slice_take(&x->rest, digits), n) ? IMAP_ERROR_NONE
                                                      : IMAP_ERROR_NUMBER;
}

void *imap_array_add(
    struct imap_array *a, struct arena *arena, size_t item_bytes, unsigned max)
{
    enum { CAP_MIN = 8 };

    if (a->count == max)
        return NULL;
    if (a->count == a->cap) {
        unsigned cap = a->cap ? a->cap * 2 : CAP_MIN;
        void *at = arena_zero(arena, cap * item_bytes);

        if (!at)
            return NULL;
        if (a->count)
            memcpy(at, a->at, a->count * item_bytes);
        a->at = at;
        a->cap = cap;
    }
    return (char *)a->at + a->count++ * item_bytes;
}
