/* convert_plan.h -- private to convert*.c: the edits that make a message fit, and the
 * parts that are open while they are found.
 *
 * The edits stand in the order of the text and don't overlap: they are appended as their
 * places pass, off, and switched on when the part has shown what it needs.
 */
#pragma once
#include "proto/mime/boundary.h"
#include "proto/mime/convert.h"
#include "proto/mime/text.h"

enum {
    CONVERT_LINE_MAX = 998,         /* octets without CR LF (RFC 5322, 2.1.1) */
    CONVERT_FIELD_MAX = 64 << 10,   /* of a Content field that are looked at */
    CONVERT_PIECES_MAX = 128,       /* of continued parameters (RFC 2231, 3) */
    CONVERT_HOLD = BOUNDARY_MAX + 8 /* octets of a line's beginning that may be held */
};

struct convert_edit {
    struct convert_edit *next;
    const struct convert_edit *with; /* on when that one is; may be NULL */
    uint64_t at, len;                /* the octets of the source that it replaces */
    struct slice text;               /* by that, where `encoding` is 0 */
    char encoding;                   /* by themselves, encoded as 'q' or 'b' */
    char decoding;                   /* after this encoding is undone; '7': none */
    bool on;
    bool line_end; /* followed by CR LF: the text ends there */
};

static inline bool convert_edit_is_on(const struct convert_edit *e)
{
    return e->on || (e->with && e->with->on);
}

enum convert_kind { CONVERT_LEAF, CONVERT_MULTIPART, CONVERT_MESSAGE };

struct convert_part {
    enum convert_kind kind;
    char label; /* '7', '8', 'B' for binary, 'q', 'b', '?' */
    bool in_header;
    bool message;       /* it is a message, the whole one or an embedded one */
    bool typed;         /* a Content-Type has been taken */
    bool labelled;      /* a Content-Transfer-Encoding */
    bool versioned;     /* a MIME-Version */
    bool digest;        /* multipart/digest */
    bool text;          /* text or message: quoted-printable rather than base64 */
    bool is_signed;     /* multipart/signed */
    bool inside_signed; /* within one: may not be changed */
    bool too_deep;      /* has parts that are not looked into */
    bool fixed;         /* no encoding is allowed for it, or it has no readable parts */
    bool has_parts;     /* multipart: the first delimiter has passed */
    uint64_t body_at;
    uint64_t epilogue_at;              /* multipart: behind the last delimiter, or 0 */
    struct convert_edit *label_edit;   /* replaces or adds the field */
    struct convert_edit *body_edit;    /* of a leaf */
    struct convert_edit *version_edit; /* adds MIME-Version; NULL: is there */
    uint8_t boundary_len;
    char boundary[BOUNDARY_MAX];
};

enum convert_field { CONVERT_FIELD_NONE, CONVERT_FIELD_TYPE, CONVERT_FIELD_LABEL };

enum convert_state {
    CONVERT_HEADER_LINE, /* the beginning of a header line, held until it is decided */
    CONVERT_FIELD,       /* the rest of it */
    CONVERT_BODY,
    CONVERT_DASHES,    /* a body line that begins with "-", held until it is decided */
    CONVERT_DELIMITER, /* the rest of a delimiter line */
};

/* What is seen of the octets of a region: SCAN_BARE and SCAN_NUL of scan.h, and these. */
enum { CONVERT_HIGH = 1 << 4, CONVERT_LONG = 1 << 5 };

/* How a header line might be folded. */
struct convert_fold {
    uint64_t at;     /* the blank to fold at, where `known` */
    uint64_t blank;  /* the last blank */
    uint32_t octets; /* of the line, or since the fold */
    bool known;
    bool after_blank; /* `blank` is the octet before */
    bool word, colon; /* have passed in this line, in this field */
};

struct convert_scan {
    struct arena *arena;
    struct convert_plan plan;
    struct convert_edit **last;
    bool wanted; /* some edit has to be made */
    enum convert_state state;
    uint64_t count;  /* octets so far */
    unsigned flaws;  /* of the region: a header, a leaf's body, a preamble ... */
    uint32_t line;   /* octets of the line so far */
    char newest[2];  /* the octets before, [1] the nearer */
    bool opens_part; /* the delimiter line in progress begins a part */
    enum convert_field field;
    struct convert_edit *field_edit; /* of the label in progress */
    struct text value;               /* raw value of the field in progress */
    struct text space;               /* where parameters are put together */
    struct convert_fold fold;
    struct boundaries boundaries;
    unsigned held;
    char hold[CONVERT_HOLD];
    unsigned depth; /* index of the innermost open part */
    struct convert_part parts[CONVERT_DEPTH_MAX + 1];
};

/* It can't be converted; the first reason stands. */
void convert_refuse(struct convert_scan *s, enum convert_verdict why);

static inline bool convert_refused(const struct convert_scan *s)
{
    return s->plan.verdict >= CONVERT_HEADER;
}

static inline struct convert_part *convert_part(struct convert_scan *s)
{
    return &s->parts[s->depth];
}

/* Flaws of the region that the target can't take; the region is over. */
unsigned convert_take_flaws(struct convert_scan *s);

/* Appends an edit, off, at a place behind all others; NULL: refused. */
struct convert_edit *convert_add(struct convert_scan *s, uint64_t at);

/* The name of a field that begins, at s->count; sets s->field. */
void convert_field_begin(struct convert_scan *s, struct slice name);

/* The field in progress is over. */
void convert_field_end(struct convert_scan *s);

/* A header octet at s->count + i: folds the line where it gets too long. */
void convert_fold_octets(struct convert_scan *s, struct slice octets);

/* The header of the innermost part is over, at s->count. `empty_line`: by its octets in
 * front of that, 0 for none. Its kind is settled then. */
void convert_header_done(struct convert_scan *s, unsigned empty_line);

/* The innermost part ends there; `whole`: with the text. Not yet taken off the stack. */
void convert_part_done(struct convert_scan *s, uint64_t end, bool whole);

/* The octets in front of the first delimiter of the innermost part have passed. */
void convert_preamble_done(struct convert_scan *s);
