/* search.h -- does this text occur in that one? What IMAP SEARCH asks.
 *
 * Comparison ignores case: i;ascii-casemap and the simple case folding of Unicode
 * for all scripts that have case. Text comes in pieces, a match may span them;
 * the work is linear in text and needle together, whatever the needle is.
 *
 *      search_prepare() once a command
 *      search_begin() --> search_feed() until true --> a text
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/slice.h"
#include "proto/mime/decode.h"

enum { SEARCH_NEEDLE_MAX = 65536 }; /* octets after folding, as UTF-8 */

struct search_needle {
    struct slice text; /* folded UTF-8 */
    uint32_t *border;  /* Knuth-Morris-Pratt: longest proper border of each prefix */
};

/* A needle in the arena from text in the named charset (empty: us-ascii, where
 * UTF-8 is accepted too). INVALID: the charset is not known (answer BADCHARSET).
 * CORRUPT: the
 * octets are no text in it (answer BAD). LIMIT: too long. NO_MEMORY: the arena is full.
 */
enum status search_prepare(struct arena *arena, struct slice text, struct slice charset,
    struct search_needle *needle);

/* One search through one text. Lives in its caller; needs no end. */
struct search {
    const struct search_needle *needle;
    uint32_t matched; /* octets of the needle that end where the text does */
    bool found;
    uint8_t held; /* octets of a character that is not complete */
    char hold[4]; /* one more than may be held */
};

/* An empty needle is found at once. */
void search_begin(struct search *s, const struct search_needle *needle);

/* The next octets of UTF-8 text. True once the needle has been seen. */
bool search_feed(struct search *s, struct slice utf8);

/* Whether the needle occurs in a header field's raw value: unfolded, encoded words
 * decoded. For values at hand; take struct search_header for sliced work. */
bool search_in_header(const struct search_needle *needle, struct slice value);

/* The same over header text that comes in pieces (a value, or a whole header). */
struct search_header {
    struct search search;
    struct words_decoder words;
};

void search_header_begin(struct search_header *h, const struct search_needle *needle);
bool search_header_feed(struct search_header *h, struct slice raw);
/* The text is over: the answer. Must follow begin; gives back the converter. */
bool search_header_end(struct search_header *h);

/* The text of a body part: transfer encoding undone, charset to UTF-8. Attachments
 * that are no text are searched as their decoded octets. */
struct search_body {
    struct search search;
    struct transfer_decoder transfer;
    struct charset charset;
};

/* search_body_end() must follow: the charset may hold memory. */
void search_body_begin(struct search_body *b, const struct search_needle *needle,
    char encoding, struct slice charset);
/* The next stored octets. The cost is linear in them: 16 KiB take less than
 * 1 ms, whatever they hold. */
bool search_body_feed(struct search_body *b, struct slice stored);
bool search_body_end(struct search_body *b);

/* The folded form of one code point (Unicode simple case folding). */
uint32_t search_fold(uint32_t code_point);
