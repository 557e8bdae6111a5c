/* address.h -- address lists of header fields (RFC 5322, section 3.4 and 4.4).
 *
 * Reads one address after another without backtracking, so the work is linear in
 * the field. What is no address is shown as well as can be, never refused.
 */
#pragma once
#include "proto/base/slice.h"
#include "proto/mime/lex.h"

enum address_kind {
    ADDRESS_MAILBOX,
    ADDRESS_GROUP,     /* mailbox holds the group's name */
    ADDRESS_GROUP_END, /* nothing else is set */
};

struct address {
    enum address_kind kind;
    struct slice name;    /* display name or comment; at == NULL: none */
    struct slice route;   /* "@a,@b" of an obsolete route; at == NULL: none */
    struct slice mailbox; /* local part; at == NULL: there was none */
    struct slice host;    /* domain; at == NULL: there was none */
};

struct address_reader {
    struct lexer lex;
    bool in_group;
    char *space; /* where names are put together */
    size_t cap;
};

/* The room that a value of so many octets needs. */
static inline size_t address_room(size_t value_bytes)
{
    return 4 * value_bytes + 64;
}

/* Reads addresses from a raw field value. `space` holds address_room() octets. */
void address_begin(struct address_reader *r, struct slice value, char *space);

/* The next address; false after the last. Its slices are good until the next call. */
bool address_next(struct address_reader *r, struct address *address);
