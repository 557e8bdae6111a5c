/* imap_name.h -- mailbox names and the patterns that match them.
 *
 * On the wire a name is modified UTF-7 (RFC 3501, 5.1.3); inside it is UTF-8. The parser
 * of commands converts and checks every name on its way in, imap_put_mailbox()
 * (imap_write.h) converts on the way out, so the store and the sessions only ever see
 * UTF-8. Levels are divided by '/'. The first level INBOX is written INBOX whatever case
 * it came in.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"
#include "proto/imap/imap_error.h"

struct imap_name_limits {
    uint16_t octets; /* in UTF-8 and in modified UTF-7; at most IMAP_NAME_MAX */
    uint16_t levels; /* at most IMAP_LEVELS_MAX */
};

enum {
    IMAP_NAME_MAX = 512, /* octets of a name, in UTF-8 and in modified UTF-7 */
    IMAP_LEVELS_MAX = 32,
    IMAP_DELIMITER = '/',
};

/* Modified UTF-7 to UTF-8, strict: every shift ends with '-', pads with zero bits, holds
 * at least one character and is not followed by another shift that it could have
 * swallowed; printable US-ASCII, surrogates without their partner, NUL, CR and LF may not
 * be encoded, and 8-bit octets may not be bare. Never writes more than in.len * 2 octets.
 * False: not canonical, or `out` is full. */
bool imap_name_decode(struct slice in, struct out *out);

/* UTF-8 to modified UTF-7, the one canonical form. False: not UTF-8; `out` then holds a
 * part. */
bool imap_name_encode(struct slice in, struct out *out);

/* Is the UTF-8 name fit to be a mailbox? Not empty, valid UTF-8, no control characters
 * (C0, DEL, C1), no empty level, none that is "." or "..", no delimiter at either end,
 * within IMAP_NAME_MAX (in both forms) and IMAP_LEVELS_MAX. */
bool imap_name_valid(struct slice name);

/* Is a valid name also within these limits? */
bool imap_name_fits(struct slice name, struct imap_name_limits limits);

/* The wire form of a name as a checked, canonical UTF-8 name, which points into `wire` or
 * the arena. With `trailing` one delimiter at the end is ignored (CREATE: RFC
 * 3501, 6.3.3). NAME: not a valid name. LIMIT: the arena is full. */
enum imap_error imap_name_of_wire(
    struct slice wire, bool trailing, struct arena *arena, struct slice *name);

/* True for INBOX in any case. */
bool imap_name_is_inbox(struct slice name);

/* --- patterns ------------------------------------------------------------ */

/* A compiled LIST or LSUB pattern: `*` matches anything, `%` anything without a delimiter
 * (RFC 3501, 6.3.8). Matching simulates all alternatives at once, a machine word of them
 * a step: time is name octets times pattern octets / 64, whatever the pattern. */
struct imap_pattern;

/* Compiles the reference with the pattern behind it, both in wire form. One that is not
 * modified UTF-7, or too long for any name, compiles to one that matches nothing. NULL:
 * the arena is full. */
const struct imap_pattern *imap_pattern_compile(
    struct slice reference, struct slice pattern, struct arena *arena);

/* Does the pattern match the whole (UTF-8, canonical) name? */
bool imap_pattern_match(const struct imap_pattern *p, struct slice name);

/* Which levels of the name match: bit i is set when the name's first i + 1 levels do. So
 * for name a/b/c and pattern % the answer is 1: the parent "a" is to be listed, with
 * \Noselect or \NonExistent if there is no such mailbox (RFC 3501, 6.3.8). Looks at the
 * first IMAP_LEVELS_MAX levels. */
uint32_t imap_pattern_levels(const struct imap_pattern *p, struct slice name);

/* The first `levels` levels of a name. */
struct slice imap_name_levels(struct slice name, unsigned levels);
