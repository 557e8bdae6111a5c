/* convert.h -- a message made fit for a hop without 8BITMIME or BINARYMIME
 * (RFC 6152, 3; RFC 3030, 3; RFC 2045, 6).
 *
 * The encoding of a part stands in its header, and what the part needs is known at its
 * end only: the stored text is read twice.
 *
 *      text --> convert_scan_feed() ... --> convert_scan_end() --> plan with a verdict
 *      text --> convert_run() ... --> convert_end() --> text for the hop
 *
 * A leaf that holds what the hop can't take becomes quoted-printable (text, message) or
 * base64 (all else), whatever it was declared as; one that was already encoded, badly,
 * is encoded anew. Labels above the target are lowered, those of multiparts and embedded
 * messages too (RFC 2045, 6.4). Parts that fit, and messages all of whose parts do, are
 * not touched. Header lines over 998 octets are folded at their blanks. A preamble or
 * epilogue that doesn't fit is dropped: no reader shows it (RFC 2046, 5.1.1). What is
 * decoded from the parts stays the same, octet for octet.
 *
 * Refused: octets above 127 in headers, parts of a multipart/signed (RFC 1847, 2.1: no
 * gateway may change them), and what has no form at all in the target.
 *
 * No recursion; memory for the plan comes from the arena, a few dozen octets a part.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"
#include "proto/mime/decode.h"
#include "proto/mime/encode.h"

/* --- first pass: what there is to do ---------------------------------------- */

enum convert_target {
    CONVERT_TO_7BIT, /* the hop has no 8BITMIME */
    CONVERT_TO_8BIT, /* it has, but no BINARYMIME */
};

enum convert_verdict {
    CONVERT_AS_IS,   /* the text fits as it is: send it unchanged */
    CONVERT_REWRITE, /* convert_run() makes it fit */
    /* It can't be made to fit: bounce, 5.6.7 for the first, 5.6.3 for the others. */
    CONVERT_HEADER, /* a header holds octets above 127 (RFC 6532) */
    CONVERT_SIGNED, /* what is signed would have to be changed */
    CONVERT_FORM,   /* no form in the target: NUL or a bare CR or LF in a header or
                     * delimiter, a multipart without parts, an unknown encoding, a
                     * message/partial or message/external-body */
    CONVERT_LIMIT,  /* nested too deep, or more parts than the arena has room for */
};

/* For reports and the log: "a signed part would have to be converted". */
struct slice convert_reason(enum convert_verdict verdict);

struct convert_edit;

/* In the arena; not changed by the second pass, which may be made many times. */
struct convert_plan {
    enum convert_verdict verdict;
    enum convert_target target;
    const struct convert_edit *edits; /* by place in the text */
};

/* An arena of this limit suffices for all but messages made to be too much. */
enum { CONVERT_MEMORY = 4 << 20, CONVERT_DEPTH_MAX = 100 };

struct convert_scan;

/* In the arena, about 40 KiB; NULL when that has no room. */
struct convert_scan *convert_scan_begin(struct arena *arena, enum convert_target target);

/* The next octets of the text that the hop is to get (without Return-Path), cut
 * anywhere. Any octets are accepted. */
void convert_scan_feed(struct convert_scan *s, struct slice bytes);

/* The plan lives as long as the arena. */
const struct convert_plan *convert_scan_end(struct convert_scan *s);

/* --- second pass: doing it --------------------------------------------------- */

enum {
    CONVERT_ROOM_MIN = 1024, /* octets of room that convert_run() wants to get on */
    CONVERT_MID = 128,
};

struct converter {
    const struct convert_edit *edit; /* the next one, or the one under way */
    uint64_t at;                     /* octets of the source so far */
    bool inside;                     /* the edit has begun */
    struct slice left;               /* to be written, or encoded, before going on */
    struct transfer_encoder encoder;
    struct transfer_decoder decoder; /* of a part that was encoded badly */
    char mid[CONVERT_MID];           /* between the two */
};

/* For a plan whose verdict is CONVERT_REWRITE (or CONVERT_AS_IS: a copy). The plan must
 * outlive the converter. The struct must not be moved while in use. */
void convert_begin(struct converter *c, const struct convert_plan *plan);

/* Converts from the front of *in into `at` until *in is empty or less than
 * CONVERT_ROOM_MIN octets of room are left; room must be at least that. Returns the
 * octets written. The source is the same text as in the first pass, cut anywhere. */
size_t convert_run(struct converter *c, struct slice *in, char *at, size_t room);

/* The source is over: writes what is held, at most CONVERT_ROOM_MIN octets. */
size_t convert_end(struct converter *c, char *at);
