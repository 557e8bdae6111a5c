/* smtp_answer.h -- what a server says: replies, and the offers of EHLO (RFC 5321, 4.2;
 * RFC 2034; RFC 3463).
 *
 *      input --> smtp_answer_read() --> struct smtp_answer: code, status, clean text
 *                       \
 *                        +--> struct smtp_hello: what EHLO or LHLO offers
 *
 * A reply is a number and words to be shown; nothing in it is ever taken for more than
 * that. It is bounded in lines and in octets, only CR LF ends a line, and the text that
 * is kept is printable ASCII, whatever came.
 */
#pragma once
#include "proto/base/line.h"
#include "proto/base/slice.h"

enum { SMTP_ANSWER_TEXT_MAX = 512 };

struct smtp_answer_limits {
    size_t line_max;    /* octets of a line, CR LF included */
    unsigned lines_max; /* at most UINT16_MAX */
};

/* Zeroed before each reply. */
struct smtp_answer {
    uint16_t code;     /* 200 .. 599 */
    uint8_t status[3]; /* RFC 3463; 0, 0, 0: the server gave none */
    uint16_t len;
    char text[SMTP_ANSWER_TEXT_MAX]; /* of all lines, " / " between them, without codes
                                      * and statuses; octets that are no printable
                                      * ASCII are '?', what is too much is cut */
    /* Private. */
    uint16_t lines;
    struct line_cutter cutter;
};

/* X(name, EHLO keyword). */
#define SMTP_HELLO_OFFERS(X)                             \
    X(PIPELINING, "PIPELINING")           /* RFC 2920 */ \
    X(SIZE, "SIZE")                       /* RFC 1870 */ \
    X(8BITMIME, "8BITMIME")               /* RFC 6152 */ \
    X(STATUSCODES, "ENHANCEDSTATUSCODES") /* RFC 2034 */ \
    X(CHUNKING, "CHUNKING")               /* RFC 3030 */ \
    X(BINARYMIME, "BINARYMIME")           /* RFC 3030 */ \
    X(SMTPUTF8, "SMTPUTF8")               /* RFC 6531 */ \
    X(DSN, "DSN")                         /* RFC 3461 */ \
    X(STARTTLS, "STARTTLS")               /* RFC 3207 */ \
    X(AUTH, "AUTH")                       /* RFC 4954 */ \
    X(REQUIRETLS, "REQUIRETLS")           /* RFC 8689 */ \
    X(PRIORITY, "MT-PRIORITY")            /* RFC 6710 */ \
    X(DELIVERBY, "DELIVERBY")             /* RFC 2852 */ \
    X(HOLD, "FUTURERELEASE")              /* RFC 4865 */ \
    X(LIMITS, "LIMITS")                   /* RFC 9422 */

enum {
#define X(name, keyword) SMTP_HELLO_BIT_##name,
    SMTP_HELLO_OFFERS(X)
#undef X
};

enum smtp_hello_offer {
#define X(name, keyword) SMTP_HELLO_##name = 1 << SMTP_HELLO_BIT_##name,
    SMTP_HELLO_OFFERS(X)
#undef X
};

struct smtp_hello {
    unsigned offers;       /* SMTP_HELLO_ bits */
    unsigned mechanisms;   /* of AUTH: bits 1 << enum sasl_mechanism */
    uint64_t size_max;     /* SIZE: octets of a message; 0: no limit is told */
    uint32_t by_min;       /* DELIVERBY: seconds, for mode R; 0: none */
    uint32_t rcpt_max;     /* LIMITS: RCPT of a transaction; 0: not told, likewise: */
    uint32_t mail_max;     /* transactions of a session */
    uint32_t rcpt_domains; /* domains of the recipients of a transaction */
};

enum smtp_answer_result {
    SMTP_ANSWER_MORE, /* come back with more octets behind the same ones */
    SMTP_ANSWER_DONE,
    SMTP_ANSWER_MALFORMED, /* a line without a code: not SMTP */
    SMTP_ANSWER_TOO_LONG,  /* a line */
    SMTP_ANSWER_TOO_MANY   /* lines */
};

/* Takes lines off *in until the reply ends; what is behind it stays. The last line
 * decides on code and status. With `hello`, zeroed, its offers are taken down from the
 * lines behind the first, where that one says 250. After anything but MORE and DONE the
 * session is beyond help. */
enum smtp_answer_result smtp_answer_read(struct smtp_answer *a, struct slice *in,
    struct smtp_answer_limits max, struct smtp_hello *hello);

/* Adds text to what is kept, cleaned as above. */
void smtp_clean(struct out *out, struct slice text);
