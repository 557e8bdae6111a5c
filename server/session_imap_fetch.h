/* session_imap_fetch.h -- private to the files of FETCH.
 *
 *      NEXT --> SUMMARY --> ITEMS --> NEXT ...                 --> SEEN --> done
 *       |                   ^  |                                    ^
 *       +-------------------+  +--> COPY    text of the summary     |
 *         flags, dates, sizes  +--> BODY    octets of the message --+ when many
 *         come from the index  +--> FIELDS  chosen header fields
 *
 * One response a message, in order; it stops wherever the output is congested. No octet
 * of a body is kept here: pieces go from the store to the connection.
 */
#pragma once
#include "proto/mime/header.h"
#include "server/session_imap_work.h"

enum {
    FETCH_SEEN_MAX = 128,        /* UID ranges that wait for \Seen */
    FETCH_COPY_BYTES = 32 << 10, /* of a summary at once */
    FETCH_COPY_RATE = 1024,      /* octets copied in a unit */
    FETCH_CLIP_BYTES = 512,
};

/* Passes on a window of what is written to `out`: a partial fetch. */
struct fetch_clip {
    struct out out;
    struct out *to;
    uint64_t skip, left;
    char buffer[FETCH_CLIP_BYTES];
};

struct fetch {
    struct imap_seqs seqs;
    unsigned hint;
    uint32_t seq;
    enum {
        FETCH_NEXT,
        FETCH_SUMMARY,
        FETCH_ITEMS,
        FETCH_COPY,
        FETCH_BODY,
        FETCH_FIELDS,
        FETCH_SEEN,
    } at;
    unsigned item;      /* the next one of this message */
    bool needs_summary; /* some item does */
    bool missing;       /* a message was expunged and this not yet told */
    bool failed;        /* something could not be read */
    bool last;          /* all messages are done */
    struct entry entry;
    struct imap_summary summary;
    struct slice rest; /* COPY: still to be written */

    struct imap_request read;       /* BODY, FIELDS */
    bool reading;                   /* read.body is open */
    bool headed;                    /* the size of the literal was told: no way back */
    uint64_t left;                  /* BODY: octets of the literal still to come */
    struct range range;             /* FIELDS: where the header lies */
    unsigned pieces;                /* FIELDS: read in this pass */
    struct header_filter **filters; /* an item each, made when first needed */
    struct fetch_clip clip;

    struct imap_request flags;
    struct uid_range seen[FETCH_SEEN_MAX];
    unsigned seen_count;
};

/* The item just met names octets of the message: begins to send them. */
enum turn fetch_body_begin(
    struct session_imap *s, struct fetch *f, const struct imap_item *item);
enum turn fetch_body_step(struct session_imap *s, struct fetch *f);
/* Where they lie. False: there is no such part. */
bool fetch_range(const struct fetch *f, const struct imap_item *item, struct range *r);
/* Cuts a range of `len` octets down to what a partial item asks for. */
void fetch_partial(const struct imap_item *item, uint64_t *at, uint64_t *len);
/* The item is answered NIL: it does not exist, or can't be read. */
enum turn fetch_nil(struct session_imap *s, struct fetch *f, bool failed);
/* The next piece of read.body. The session ends where one is missing in the middle of a
 * literal: nothing else can keep the client in step. */
enum turn fetch_read(struct session_imap *s, struct fetch *f);
bool fetch_lost(struct session_imap *s, const struct fetch *f);

/* HEADER.FIELDS and HEADER.FIELDS.NOT. */
enum turn fetch_fields_begin(
    struct session_imap *s, struct fetch *f, const struct imap_item *item);
enum turn fetch_fields_step(struct session_imap *s, struct fetch *f);
