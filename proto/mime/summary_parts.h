/* summary_parts.h -- private to summary_*.c: the part tree while a message passes,
 * and the encoded form of a summary.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"
#include "proto/mime/boundary.h"
#include "proto/mime/octets.h"
#include "proto/mime/summary.h"
#include "proto/mime/text.h"

enum {
    RENDER_MAX = 4 << 20,        /* octets of the three renderings together */
    RENDER_FIELDS = 512 << 10,   /* what the fields of one part may cost in them */
    RENDER_PART = 288,           /* what one part costs in them without any field */
    RENDER_ENVELOPE = 128,       /* and an embedded message's envelope */
    LINE_HOLD = BOUNDARY_MAX + 8 /* octets of a line's beginning that may be held */
};

enum part_kind {
    PART_LEAF,
    PART_MULTIPART,
    PART_MESSAGE, /* message/rfc822 or message/global; its only child is the message */
};

/* A rendering that is put together from pieces. */
struct piece {
    struct slice text;
    struct piece *next;
};

/* What ENVELOPE says of one header; every text as it is sent, at == NULL for NIL. */
struct envelope {
    struct slice date, subject, in_reply_to, message_id;
    struct envelope_list {
        struct piece *first, **last;
        uint32_t count; /* addresses */
    } from, sender, reply_to, to, cc, bcc;
};

struct part {
    struct part *next;   /* in message order */
    struct part *parent; /* NULL: the message itself */
    uint32_t index;      /* place in message order */
    uint32_t after;      /* index of the first part behind it and all within it */
    uint32_t children;
    uint16_t depth;
    uint32_t budget; /* octets that its fields may still cost in the renderings */
    enum part_kind kind;
    bool in_header;  /* header is not over */
    bool digest;     /* multipart/digest */
    bool text;       /* text/anything: has lines, and a charset by default */
    bool searchable; /* text, or a message/anything that is not looked into */
    char encoding;   /* '7', 'b', 'q', '?' */
    uint64_t header_at, body_at, end;
    uint64_t body_lines_at, end_lines; /* LFs of the message before body_at and end */
    struct envelope *envelope;         /* of the message itself and of embedded ones */
    struct slice boundary, charset;    /* as given */
    struct slice type;                 /* "text" "plain", or "mixed"; NULL: default */
    struct slice params;               /* the rest as sent; at == NULL for NIL */
    struct slice id, description, transfer;
    struct slice md5, disposition, language, location;
};

/* Which field a header line continues. */
enum field {
    FIELD_NONE,
    FIELD_DATE,
    FIELD_SUBJECT,
    FIELD_FROM,
    FIELD_SENDER,
    FIELD_REPLY_TO,
    FIELD_TO,
    FIELD_CC,
    FIELD_BCC,
    FIELD_IN_REPLY_TO,
    FIELD_MESSAGE_ID,
    FIELD_TYPE,
    FIELD_TRANSFER,
    FIELD_ID,
    FIELD_DESCRIPTION,
    FIELD_MD5,
    FIELD_DISPOSITION,
    FIELD_LANGUAGE,
    FIELD_LOCATION,
};

enum build_state {
    BUILD_HEADER_LINE, /* the beginning of a header line, held until it is decided */
    BUILD_KEEP,        /* the rest of a line of a field that is wanted */
    BUILD_SKIP,        /* the rest of a line of another field */
    BUILD_BODY,        /* octets that only count */
    BUILD_DASHES,      /* a body line that begins with "-", held until it is decided */
    BUILD_DELIMITER,   /* the rest of a delimiter line */
};

/* How far the encoded summary is written. */
struct encoding {
    enum {
        ENCODE_BEGIN,
        ENCODE_TABLE,
        ENCODE_BODY,
        ENCODE_BODYSTRUCTURE,
        ENCODE_NAMES,
        ENCODE_DONE,
    } at;
    struct out out;          /* the blob */
    struct out names;        /* the charsets, which go to its end */
    size_t section;          /* where the present section of the blob begins */
    const struct part *part; /* the next one of the section */
    struct slice newest;     /* charset */
    size_t newest_at;
};

struct summary_builder {
    struct arena *arena;
    struct summary_limits limits;
    bool failed; /* the arena was full */
    enum build_state state;
    struct octets octets;
    struct octets front; /* in front of all, and not in `octets` */
    struct boundaries boundaries;
    struct part *root, *newest, *part; /* `part` is the innermost open one */
    struct part **next_link;
    uint32_t count;
    bool opens_part; /* the delimiter line in progress begins a part */
    uint32_t budget; /* octets that the renderings may still grow by */
    bool ended;      /* all parts are closed */
    struct encoding encoding;
    enum field field;
    struct text value; /* raw value of the field in progress */
    struct text piece; /* a rendering in progress */
    struct text space; /* what parsers of structured fields put together */
    int64_t sent_utc;
    int32_t sent_day;
    unsigned held;
    char hold[LINE_HOLD];
};

/* Which field that is; NONE when nobody asks for it. A header that belongs to a part
 * and to no message has only the Content fields. */
enum field summary_field_of(struct slice name, bool message);

/* Renders the field in b->value for b->part. */
void summary_field_take(struct summary_builder *b);

/* Writes "(...)" of the message's ENVELOPE. */
void summary_put_envelope(struct out *out, const struct envelope *e);

/* Writes what one part, the next in message order, adds to BODY or BODYSTRUCTURE. */
void summary_put_part(struct out *out, const struct part *p, bool extended);

/* summary_end_step() once the parts are closed. */
bool summary_encode_step(struct summary_builder *b, struct slice *encoded);

/* --- the encoded form, little-endian ---------------------------------------
 *
 *  0 u8  'S'           1 u8  version          2 u16 flags
 *  4 u32 parts         8 u64 size            16 u64 header_bytes
 * 24 u32 lines        28 u32 body_lines      32 i64 sent_utc
 * 40 i32 sent_day     44 u32 envelope bytes  48 u32 body bytes
 * 52 u32 bodystructure bytes                 56 u32 charset bytes
 * 60 parts, then envelope, body, bodystructure, charsets
 *
 * One part, in message order:
 *  0 u64 header_at      8 u64 body_at        16 u64 end
 * 24 u32 after         28 u32 charset offset 32 u8 charset bytes
 * 33 u8 kind           34 u8 encoding        35 u8 searchable
 */
enum {
    BLOB_HEAD = 60,
    BLOB_PART = 36,
    BLOB_SLACK = 64, /* what a message without parts or fields costs in renderings */
    BLOB_8BIT = 1,
    BLOB_NUL = 2,
    BLOB_DOT_LINE = 4,
    BLOB_CRLF_END = 8,
    CHARSET_MAX = 64, /* a longer name is given as it begins */
};
