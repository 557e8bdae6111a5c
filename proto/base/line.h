/* line.h -- cuts command lines off the front of a connection's input.
 *
 * Only CR LF ends a line (RFC 5321, 2.3.8; RFC 1939, 3). A line that holds a bare
 * CR, a bare LF or a NUL is cut whole and reported, never executed in part. What
 * has been searched once is not searched again, however small the pieces in which
 * it comes, and the result does not depend on where the pieces are cut.
 */
#pragma once
#include "proto/base/slice.h"

enum line_cut {
    LINE_MORE,  /* no whole line yet: come back with more bytes behind the same ones */
    LINE_DONE,  /* a line */
    LINE_BARE,  /* a line with a bare CR or LF in it */
    LINE_NUL,   /* a line with a NUL in it */
    LINE_LONG,  /* a line over `max`; said once, its rest is dropped in silence */
    LINE_FLOOD, /* that rest is over `discard_max` too: hang up */
};

struct line_limits {
    size_t max;         /* octets of a line, its CR LF included */
    size_t discard_max; /* octets beyond `max` that are dropped before giving up */
};

/* Between lines all fields are zero; a fresh one is all zeros. */
struct line_cutter {
    size_t seen;      /* octets at the front of the input that hold no line end */
    size_t discarded; /* octets of an overlong line dropped beyond `max` */
    bool discarding;
};

/* Cuts the next line off `in`. On LINE_DONE, LINE_BARE and LINE_NUL the line and
 * its CR LF are consumed and *line, without the CR LF, points to the same bytes.
 * On LINE_MORE the rest of `in` must be offered again with new bytes behind it
 * (nothing is left while an overlong line is being dropped, but for one CR). */
enum line_cut line_cut(struct line_cutter *c, struct slice *in, struct line_limits limits,
    struct slice *line);
