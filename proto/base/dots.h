/* dots.h -- dot-stuffing for text that ends with a lone dot (RFC 5321, 4.5.2;
 * RFC 1939, 3), without copying.
 *
 * The text is handed on in runs that point into the input. A dot at the start of
 * a line ends one run and begins the next: sent twice, it is stuffed.
 *
 * A dot is stuffed after every LF, a bare one too: a reader that takes a bare LF
 * for a line end must not find the end of the text there.
 */
#pragma once
#include "proto/base/slice.h"

struct dots {
    bool in_line; /* the text so far does not end with CR LF, and is not empty */
    bool doubled; /* the dot at the front of the input has been sent once */
    char last;    /* octet before the input, 0 at the start */
};

/* The next run of `in`, consumed from it; empty when `in` is. */
struct slice dots_next(struct dots *d, struct slice *in);

/* All of `text`, stuffed, copied to `out`. */
void dots_put(struct dots *d, struct slice text, struct out *out);

/* What ends the text: CR LF first when the last line lacks it, then the dot line. */
struct slice dots_end(const struct dots *d);
