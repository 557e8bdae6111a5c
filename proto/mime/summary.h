/* summary.h -- what FETCH and SEARCH need to know of a message, without its bytes.
 *
 * The summary is computed once, while the bytes stream past at delivery, and is
 * stored beside the message. ENVELOPE, BODY and BODYSTRUCTURE are kept in the
 * form in which IMAP sends them, so that FETCH copies them; a table of parts
 * turns a section number into a range of the stored octets.
 *
 *      bytes --> summary_feed() ... --> summary_end() --> encoded summary (stored)
 *      encoded summary --> summary_open() --> struct summary (slices into it)
 *
 * The parser never recurses and takes memory only from the arena handed in. What
 * lies beyond struct summary_limits is opaque text, never an error.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"

enum { SUMMARY_VERSION = 1 };

/* --- making one -------------------------------------------------------- */

/* How far a message is looked into. */
struct summary_limits {
    uint32_t field;  /* octets of one field; of what is sent, SUMMARY_TEXT_MAX at most */
    uint32_t header; /* octets of one header: fields that begin beyond are not seen */
    uint32_t depth;  /* of parts within each other */
    uint32_t parts;  /* of a message */
    uint32_t addresses; /* of one kind in an ENVELOPE */
    uint32_t pieces;    /* of continued parameters of a field (RFC 2231, 3) */
};

enum { /* no limit may be above these */
    SUMMARY_FIELD_MAX = 4 << 20,
    SUMMARY_HEADER_MAX = 64 << 20,
    SUMMARY_DEPTH_MAX = 100,
    SUMMARY_PARTS_MAX = 10000,
    SUMMARY_ADDRESSES_MAX = 10000,
    SUMMARY_PIECES_MAX = 256,
};

/* Octets of a field that reach ENVELOPE or BODYSTRUCTURE, whatever the limit is: they are
 * worked on in one piece, and that takes a millisecond. 64 KiB where it has structure. */
enum { SUMMARY_TEXT_MAX = 256 << 10 };

extern const struct summary_limits summary_defaults;

/* An arena of this limit suffices for any message; ordinary mail takes a few KiB. */
static inline size_t summary_memory(const struct summary_limits *limits)
{
    uint32_t text = limits->field < SUMMARY_TEXT_MAX ? limits->field : SUMMARY_TEXT_MAX;

    return (32 << 20) + 20 * (size_t)text;
}

struct summary_builder;

/* A builder in the arena, or NULL when the arena has no room. The arena must
 * live until the encoded summary has been used. The limits are copied. */
struct summary_builder *summary_begin(
    struct arena *arena, const struct summary_limits *limits);

/* The next octets of the message as stored (CRLF lines, trace fields included),
 * cut anywhere. Any octets are accepted. */
void summary_feed(struct summary_builder *b, struct slice bytes);

/* Whole header fields that stand in front of the message after all: lines with CRLF.
 * Once, between the last octet and the first call of summary_end_step(). False: nothing
 * has happened; one of them is a field that the summary tells of, an empty line is among
 * them, or the last has no end. */
bool summary_front(struct summary_builder *b, struct slice fields);

/* Goes on with the encoded summary, a piece at a time, so that no call takes long.
 * False: there is more to do. True: *encoded is whole, in the arena; at == NULL: the
 * arena was too small. For ordinary mail one call does it. */
bool summary_end_step(struct summary_builder *b, struct slice *encoded);

/* All of it in one call, for those who have nobody to keep waiting. */
struct slice summary_end(struct summary_builder *b);

/* --- using one --------------------------------------------------------- */

struct summary {
    struct slice blob;
    uint64_t size;          /* octets of the message: RFC822.SIZE */
    uint64_t header_bytes;  /* header and the empty line after it */
    uint32_t lines;         /* LFs in the whole message */
    uint32_t body_lines;    /* LFs after header_bytes; what POP3 TOP counts */
    bool has_8bit, has_nul; /* anywhere in the message */
    bool has_dot_line;      /* some line starts with a dot: POP3 must stuff */
    bool ends_with_crlf;    /* POP3 must add a line end where it is false */
    int64_t sent_utc;       /* Date field in seconds since 1970 UTC, INT64_MIN if none */
    int32_t sent_day;       /* Date field's own calendar day, days since 1970-01-01 */
    struct slice envelope;  /* "(...)": RFC 3501 7.4.2 ENVELOPE */
    struct slice body;      /* "(...)": BODY, without extension data */
    struct slice bodystructure; /* "(...)": BODYSTRUCTURE */
    struct slice parts;         /* the part table, opaque */
};

/* False when the blob is not an encoded summary of a known version. */
bool summary_open(struct slice blob, struct summary *s);

enum section_part {
    SECTION_ALL,    /* BODY[] or BODY[1.2]: the body of the part */
    SECTION_HEADER, /* BODY[HEADER], BODY[1.2.HEADER]: header of the (embedded) message */
    SECTION_TEXT,   /* BODY[TEXT], BODY[1.2.TEXT] */
    SECTION_MIME,   /* BODY[1.2.MIME]: the header of the part itself */
};

struct range {
    uint64_t at, len; /* octets of the stored message */
};

/* Where the section lies (RFC 3501, 6.4.5). `path` are the part numbers, count 0
 * for the message itself. False when there is no such part. HEADER and TEXT with
 * a path want a message/rfc822 part there. */
bool summary_section(const struct summary *s, const uint32_t *path, unsigned count,
    enum section_part part, struct range *range);

/* A leaf of the part tree, for content search and decoding. */
struct summary_leaf {
    struct range header, body;
    bool text;            /* worth searching: text/anything, other message/anything */
    char encoding;        /* '7' as is, 'b' base64, 'q' quoted-printable, '?' not known */
    struct slice charset; /* as given, empty for us-ascii */
};

/* The i-th header/leaf in message order for SEARCH TEXT/BODY; false past the last.
 * Headers of multiparts and embedded messages are given as leaves with an empty body. */
bool summary_leaf_at(const struct summary *s, unsigned i, struct summary_leaf *leaf);

/* The part with these numbers, as a leaf: header, body, encoding, charset. For BINARY
 * (RFC 3516). `text` and `encoding` are those of the part; a multipart or message has its
 * whole body here. False when there is no such part; count 0 is the message itself. */
bool summary_part(const struct summary *s, const uint32_t *path, unsigned count,
    struct summary_leaf *part);
