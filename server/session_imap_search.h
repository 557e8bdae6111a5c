/* session_imap_search.h -- private to the files of SEARCH.
 *
 * Each message is asked the whole tree of keys (imap_search_match). What the index knows
 * is answered at once; a key that takes more is worked on alone, and then the tree is
 * asked again:
 *
 *   index: flags, dates, sizes, numbers --> summary: Date, envelope --> header --> body
 *
 * All of it in slices: a piece of a message, or some messages that the index decides.
 */
#pragma once
#include "proto/mime/header.h"
#include "proto/mime/search.h"
#include "server/session_imap_work.h"

enum { SEARCH_FIELD_BYTES = 1024 };

/* One header field, wherever it occurs: the filter cuts it out of the header, and its
 * values are searched. */
struct field_search {
    struct out out; /* what the filter writes: whole fields */
    const struct search_needle *needle;
    enum { FIELD_BEGIN, FIELD_NAME, FIELD_VALUE } at;
    bool open, found;
    struct slice name;
    struct header_filter filter;
    struct search_header value;
    char buffer[SEARCH_FIELD_BYTES];
};

void field_search_begin(
    struct field_search *f, struct slice name, const struct search_needle *needle);
/* The next octets of the header. True when no more are needed. */
bool field_search_feed(struct field_search *f, struct slice bytes);
/* The header is over: the answer. Must follow begin. */
bool field_search_end(struct field_search *f);

/* What the envelope says of a field. UNKNOWN: the field is not in it, or the text is such
 * that only the field as it was written can tell. */
enum imap_match envelope_search(
    struct slice envelope, struct slice field, const struct search_needle *needle);

/* The text of one message: a field, the body, or all of it (RFC 3501, 6.4.4). */
struct text_search {
    const struct imap_key *key;
    const struct search_needle *needle;
    enum { TEXT_FIELD, TEXT_NEXT, TEXT_HEADER, TEXT_BODY } at;
    unsigned leaf; /* the next one */
    struct summary_leaf part;
    bool body_due; /* its body comes next */
    bool reading, searching;
    bool found, failed; /* with DONE */
    struct imap_request read;
    bool fresh;        /* read has a new piece */
    struct slice rest; /* of the piece: not searched yet */
    union {
        struct field_search field;
        struct search_header header;
        struct search_body body;
    };
};

void text_search_begin(struct text_search *t, const struct imap_key *key,
    const struct search_needle *needle);
/* DONE, WAIT or YIELD. `summary` is for BODY and TEXT. */
enum turn text_search_step(struct session_imap *s, struct text_search *t,
    const struct entry *entry, const struct summary *summary);
/* Gives back what is held; harmless at any time. */
void text_search_end(struct text_search *t);
