/* reply.h -- what servers say, cut into pieces that mean something.
 *
 * A server that is measured may be any server: nothing here trusts it, nothing depends on
 * where its bytes are cut, and everything is bounded. All input is taken off `in`; what
 * is not yet whole is kept by the reader, so nobody has to keep input for it.
 */
#pragma once
#include "proto/base/slice.h"

enum { LINES_HEAD = 448, LINES_TAIL = 64, LINES_KEPT = LINES_HEAD + LINES_TAIL };

/* Lines. Zero at the start. Of a line that comes in pieces and is longer than
 * LINES_KEPT, the front and the end are kept, and what is between them is cut out. */
struct lines {
    char kept[LINES_KEPT];
    size_t len; /* of the line so far, kept or not */
    bool whole; /* the line in `kept` has been handed out */
};

/* The next line without its line end; valid until the next call and while `in`'s bytes
 * are. False: there is none yet, and `in` is empty. */
bool lines_next(struct lines *l, struct slice *in, struct slice *line);

/* SMTP: the code of a line, 0 when it has none; *last: it ends the reply. */
unsigned smtp_line(struct slice line, bool *last);

/* IMAP. A response is lines with literals between them. */
struct imap_reader {
    struct lines lines;
    uint64_t literal; /* octets of the literal that are still to come */
    bool inside;      /* the next line goes on with a response */
};

enum imap_piece {
    IMAP_MORE,
    IMAP_FIRST,   /* a response, up to its first literal if it has one */
    IMAP_NEXT,    /* the line behind a literal */
    IMAP_LITERAL, /* octets of a literal; r->literal of it are still to come */
};

/* r->literal > 0 after a line: a literal follows. An empty one is not reported. */
enum imap_piece imap_next(struct imap_reader *r, struct slice *in, struct slice *text);

enum imap_kind { IMAP_UNTAGGED, IMAP_CONTINUE, IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_JUNK };

/* What a first line is; *rest: behind "* ", "+ " or the status; *tag: the number of a tag
 * "b17". */
enum imap_kind imap_line(struct slice line, uint32_t *tag, struct slice *rest);
/* "12 EXISTS": the number and the word. False: it does not begin with a number. */
bool imap_numbered(struct slice rest, uint32_t *number, struct slice *word);

/* POP3: the text of a multi-line answer. Zero at the start of each. */
struct pop3_text {
    unsigned matched; /* of CR LF . CR LF */
    bool begun;
};

/* Takes the text off `in`, as far as it goes. True: it has ended. */
bool pop3_text_end(struct pop3_text *t, struct slice *in);
