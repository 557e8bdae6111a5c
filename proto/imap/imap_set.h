/* imap_set.h -- sequence sets: parse, put in order, walk, test, print.
 *
 * RFC 3501, section 9 (sequence-set); RFC 4315, section 4 (uid-set). A set comes out of
 * the parser as it was written; imap_set_resolve() replaces `*` and makes the ranges
 * ascending and disjoint, and everything after that asks for a resolved set.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"
#include "proto/imap/imap_error.h"

/* Both ends included. In a set that is not yet resolved 0 stands for `*`, and the ends
 * may be in either order. */
struct imap_range {
    uint32_t first, last;
};

struct imap_set {
    struct imap_range *at; /* in the arena of the command */
    uint32_t count;        /* at least 1 after a successful parse */
};

/* All of `text` as a sequence set. SET: malformed, 0 or above 2^32-1. SET_LONG: more than
 * ranges_max ranges. LIMIT: the arena is full. */
enum imap_error imap_set_parse(
    struct slice text, uint32_t ranges_max, struct arena *arena, struct imap_set *set);

/* Replaces `*` by `star`, orders the ends of each range, sorts, and merges ranges that
 * overlap or touch. In place, O(n log n). `star` is the highest sequence number or UID;
 * for an empty mailbox UIDNEXT (UIDs) or 0 (sequence numbers: `*` then becomes 0, and
 * imap_set_fits() refuses it). */
void imap_set_resolve(struct imap_set *set, uint32_t star);

/* True when all members of a resolved set lie in 1..last. A sequence number above the
 * message count is answered with BAD (RFC 3501, section 9, seq-number). */
bool imap_set_fits(const struct imap_set *set, uint32_t last);

/* Is n a member of a resolved set? O(log n). */
bool imap_set_has(const struct imap_set *set, uint32_t n);

/* The smallest member of a resolved set that is >= from: sets *n and returns true, false
 * past the last. To walk: from = 1, then from = n + 1 (stop when n is UINT32_MAX); to
 * walk together with a list of UIDs, from = the next UID there is. O(log n). */
bool imap_set_from(const struct imap_set *set, uint32_t from, uint32_t *n);

/* --- printing ------------------------------------------------------------ */

/* Prints a set from a stream of numbers: 1,2,3,7 comes out as "1:3,7". The order given is
 * kept, which COPYUID needs (RFC 4315, 3). Start with imap_set_writer_of(). */
struct imap_set_writer {
    struct out *out;
    uint32_t first, last; /* the range being gathered; first == 0: none */
    bool any;             /* something was printed already */
};

static inline struct imap_set_writer imap_set_writer_of(struct out *out)
{
    return (struct imap_set_writer){out, 0, 0, false};
}

void imap_set_writer_add(struct imap_set_writer *w, uint32_t n);

/* Prints what is gathered. A set without members prints nothing. */
void imap_set_writer_end(struct imap_set_writer *w);
