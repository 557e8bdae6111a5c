/* header.h -- the fields of a header block, as slices (RFC 5322, section 2.2).
 *
 * A block is what lies before the empty line, with or without it. Any octets
 * are accepted: a line without a colon is a field whose name is the line and
 * whose value is empty; lines may end in LF alone.
 */
#pragma once
#include "proto/base/slice.h"

struct header_field {
    struct slice name;  /* without blanks before the colon */
    struct slice value; /* after the colon, folding and last line end included */
    struct slice whole; /* name to last line end, as stored */
};

/* Cuts the next field off the front of *block. False at the empty line or the end. */
bool header_next(struct slice *block, struct header_field *field);

/* The value of the first field of that name, case ignored; false when there is none. */
bool header_find(struct slice block, struct slice name, struct slice *value);

/* Writes the value without line ends (RFC 5322, 2.2.3) and without the blanks around
 * it. `tidy`: one blank stands for each fold, as the blanks of a fold are often the
 * folder's and not the author's. Encoded words stay. */
void header_put_unfolded(struct out *out, struct slice value, bool tidy);

enum { HEADER_NAME_MAX = 998 }; /* RFC 5322, 2.1.1: a line; longer names match nothing */

/* HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 3501, section 6.4.5) over a header that
 * arrives in pieces:
 *
 *      header_filter_begin() --> header_filter_feed() ... --> header_filter_end()
 *
 * `bytes` counts the output, so that a first pass with out == NULL tells the size
 * of the literal. Output goes through out->more when the window is full. */
struct header_filter {
    const struct slice *names; /* sorted, case ignored */
    unsigned count;
    bool not_listed; /* HEADER.FIELDS.NOT */
    enum { FILTER_LINE, FILTER_NAME, FILTER_PASS, FILTER_DROP, FILTER_DONE } state;
    bool passing; /* the field that goes on is wanted */
    uint64_t bytes;
    unsigned held; /* of the name, until it is decided */
    char name[HEADER_NAME_MAX];
};

/* Sorts `names` in place; they must live as long as the filter. Blanks belong to no
 * name. Nothing is allocated; finding a name takes the logarithm of count. */
void header_filter_begin(
    struct header_filter *f, struct slice *names, unsigned count, bool not_listed);

/* Sends the same header through once more, from its start. */
void header_filter_rewind(struct header_filter *f);

/* The next octets of the header. What follows the empty line is ignored.
 * out == NULL only counts. */
void header_filter_feed(struct header_filter *f, struct slice bytes, struct out *out);

/* The header is over. Writes what is held and the empty line. */
void header_filter_end(struct header_filter *f, struct out *out);
