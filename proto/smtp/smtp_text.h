/* smtp_text.h -- message text as it comes in by DATA and BDAT.
 *
 * The end of DATA is CR LF . CR LF and nothing else (RFC 5321, 4.1.1.4). Text is
 * handed on in long runs that point into the input; only the dots of dot-stuffing
 * fall between them. A bare CR or LF anywhere makes the whole message one to be
 * refused, after its true end: what another server may take for an end of text must
 * never be stored or passed on.
 */
#pragma once
#include "proto/base/scan.h"
#include "proto/base/slice.h"

/* Where the last octet left us. The input may be cut anywhere. */
enum smtp_text_at {
    SMTP_TEXT_LINE_START, /* at the start, or after CR LF */
    SMTP_TEXT_IN_LINE,
    SMTP_TEXT_CR,     /* after a CR that has been handed on */
    SMTP_TEXT_DOT,    /* after a dot at the start of a line, which is dropped */
    SMTP_TEXT_DOT_CR, /* after that and a CR, which is held back */
    SMTP_TEXT_ENDED,
};

/* All zeros at the start of each message. */
struct smtp_text {
    enum smtp_text_at at;
    unsigned flaws; /* SCAN_ flags of all text so far; final after the end */
};

enum smtp_text_got {
    SMTP_TEXT_MORE, /* `in` is used up */
    SMTP_TEXT_RUN,  /* *run is the next piece of text, not empty */
    SMTP_TEXT_END,  /* the end of text is consumed; what follows is commands */
};

/* The next run of the text of DATA. Consumes it from `in`. */
enum smtp_text_got smtp_text_next(
    struct smtp_text *t, struct slice *in, struct slice *run);

/* Takes note of octets of BDAT, which are text as they are (RFC 3030, 2). */
void smtp_text_chunk(struct smtp_text *t, struct slice bytes);

/* No octets will come: a CR at the very end is bare. For BDAT LAST. */
void smtp_text_chunk_end(struct smtp_text *t);

/* Watches the header of a message go past: counts Received fields (RFC 5321, 6.3), notes
 * which fields are there (RFC 6409, 8: what a submission server adds), and whether
 * TLS-Required says No (RFC 8689, 3). */
enum { SMTP_FIELD_NAME_MAX = 12 };

enum smtp_field {
    SMTP_FIELD_DATE = 1 << 0,
    SMTP_FIELD_FROM = 1 << 1,
    SMTP_FIELD_MESSAGE_ID = 1 << 2,
    SMTP_FIELD_RETURN_PATH = 1 << 3,
    SMTP_FIELD_TLS_OPTIONAL = 1 << 4, /* TLS-Required: No */
};

/* All zeros at the start of each message. */
struct smtp_header_watch {
    unsigned received; /* fields of that name */
    unsigned fields;   /* SMTP_FIELD_ bits */
    bool ended;        /* the empty line has passed; nothing more is looked at */
    bool in_line;      /* the name of this line has been judged */
    bool cr;           /* the line so far is one CR */
    uint8_t name_len;
    uint8_t value;                  /* private: what TLS-Required has said so far */
    char name[SMTP_FIELD_NAME_MAX]; /* start of the line, in lower case */
};

/* The next octets of the message, cut anywhere. How many of them are of the header, the
 * empty line included. */
size_t smtp_header_watch(struct smtp_header_watch *w, struct slice bytes);

/* So far a field "TLS-Required: No" has come. */
bool smtp_header_tls_optional(const struct smtp_header_watch *w);

/* Any octet above 127? */
bool smtp_has_8bit(struct slice bytes);
