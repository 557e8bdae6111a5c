/* imap_lex.h -- private to proto/imap: tokens of a command (RFC 3501, section 9).
 *
 * A lexer is a place in a command whose literals stand inline. Every function either
 * takes what it is named after off the front and returns NONE, or returns an error; what
 * was taken by then does not matter, since the first error ends the command.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"
#include "proto/imap/imap_error.h"

struct imap_parse_limits;

struct imap_lex {
    struct slice rest; /* up to and including the final CRLF */
    struct arena *arena;
    const struct imap_parse_limits *limits;
};

/* Which octets may stand in what; bits of imap_octets[]. */
enum imap_octet_class {
    IMAP_OCTET_ATOM = 1,    /* ATOM-CHAR */
    IMAP_OCTET_ASTRING = 2, /* ASTRING-CHAR: ATOM-CHAR and "]" */
    IMAP_OCTET_LIST = 4,    /* list-char: ASTRING-CHAR, "*" and "%" */
    IMAP_OCTET_TAG = 8,     /* ASTRING-CHAR without "+" */
    IMAP_OCTET_SET = 16,    /* digits, ":", "," and "*" */
    IMAP_OCTET_BASE64 = 32, /* with "=" */
    IMAP_OCTET_FIELD = 64,  /* ftext of RFC 5322: printable US-ASCII without ":" */
    IMAP_OCTET_ITEM = 128,  /* letters, digits, "." and "-": names of items and options */
};
extern const uint8_t imap_octets[256];

static inline bool imap_octet_is(char c, enum imap_octet_class octet_class)
{
    return imap_octets[(unsigned char)c] & octet_class;
}

/* True when every octet of s is of the class. */
bool imap_octets_all(struct slice s, enum imap_octet_class octet_class);

/* The longest run of the class at the front; may be empty. */
struct slice imap_lex_run(struct imap_lex *x, enum imap_octet_class octet_class);

/* Takes the octet c if it is next. */
static inline bool imap_lex_take(struct imap_lex *x, char c)
{
    if (x->rest.len == 0 || x->rest.at[0] != c)
        return false;
    slice_take(&x->rest, 1);
    return true;
}

static inline bool imap_lex_next_is(const struct imap_lex *x, char c)
{
    return x->rest.len && x->rest.at[0] == c;
}

/* Exactly one space: NO_ARGUMENT at the end of the command, ARGUMENT before other text.
 */
enum imap_error imap_lex_space(struct imap_lex *x);

/* The final CRLF and nothing after it; TRAILING otherwise. */
enum imap_error imap_lex_end(struct imap_lex *x);

/* True at the final CRLF. */
bool imap_lex_at_end(const struct imap_lex *x);

enum imap_error imap_lex_atom(struct imap_lex *x, struct slice *atom);

/* Quoted strings without escapes and literals come as slices of the command, quoted
 * strings with escapes as copies in the arena. STRING: malformed, or NUL in a literal. */
enum imap_error imap_lex_string(struct imap_lex *x, struct slice *s);
enum imap_error imap_lex_astring(struct imap_lex *x, struct slice *s);
enum imap_error imap_lex_list_mailbox(struct imap_lex *x, struct slice *s);
/* at == NULL for NIL. */
enum imap_error imap_lex_nstring(struct imap_lex *x, struct slice *s);

/* `{n}` or `{n+}` and its CRLF. */
enum imap_error imap_lex_literal_head(struct imap_lex *x, uint64_t *bytes);

/* A mailbox name, checked and in UTF-8; `trailing` as in imap_name_of_wire(). */
enum imap_error imap_lex_mailbox(struct imap_lex *x, bool trailing, struct slice *name);

/* number: decimal digits, below 2^32. */
enum imap_error imap_lex_u32(struct imap_lex *x, uint32_t *n);

/* --- arrays that grow in the arena --------------------------------------------- */

struct imap_array {
    void *at;
    unsigned count, cap;
};

/* One more zeroed item of item_bytes, or NULL: `max` items are there, or the arena is
 * full. Items move when the array grows. */
void *imap_array_add(
    struct imap_array *a, struct arena *arena, size_t item_bytes, unsigned max);
