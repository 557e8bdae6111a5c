/* smtp.h -- the receiving side of SMTP and LMTP, as words (RFC 5321, RFC 2033).
 *
 *      input --> line_cut() --> smtp_parse() --> struct smtp_cmd
 *                     \              \
 *                      \              +--> enum smtp_reply, when the peer is wrong
 *                       +--> smtp_line_reply()
 *
 * No I/O, no clock, no allocation but in an arena that is handed in. Every slice
 * in a command points into the line and lives as long as that. The message text is
 * smtp_text.h's, the fields in front of it are smtp_trace.h's.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/line.h"
#include "proto/base/slice.h"
#include "proto/smtp/smtp_words.h"

enum {
    SMTP_DISCARD_MAX = 128 << 10, /* octets of an overlong line before closing */
    /* RFC 5321, 4.5.3.1.1 asks for 64; senders that fold another address into the
     * local part (VERP, SRS) exceed it. */
    SMTP_LOCAL_MAX = 256,
    SMTP_DOMAIN_MAX = 255, /* RFC 5321, 4.5.3.1.2 */
    SMTP_LABEL_MAX = 63,   /* RFC 1035, 2.3.4 */
    SMTP_PATH_MAX = SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX,
    SMTP_ENVID_MAX = 100, /* RFC 3461, 4.4 */
    SMTP_ORCPT_MAX = 500, /* RFC 3461, 4.2 */
};

/* --- lines ------------------------------------------------------------- */

struct smtp_limits {
    uint32_t line; /* octets of a command; RFC 5321, 4.5.3.1.4 asks for 512 and more */
    uint32_t auth_line; /* of an AUTH command and of a line of its exchange */
};

/* 4096 and 12,288 (RFC 4954, 4). */
extern const struct smtp_limits smtp_defaults;

/* The limits for the line at the front of `in`: others for an AUTH command and, with
 * `in_auth`, for the lines of an AUTH exchange. */
struct line_limits smtp_line_limits(
    struct slice in, bool in_auth, const struct smtp_limits *limits);

/* --- states, verbs, replies -------------------------------------------- */

/* Where a session stands between commands.
 *
 *      START --EHLO--> READY --MAIL--> MAIL --RCPT--> RCPT --BDAT--> CHUNKS
 *                        ^               |              |              |
 *                        +-- EHLO, RSET, end of message, failed BDAT --+
 */
enum smtp_state {
    SMTP_START,  /* nobody has said EHLO yet */
    SMTP_READY,  /* between transactions */
    SMTP_MAIL,   /* have a sender */
    SMTP_RCPT,   /* have a sender and at least one recipient */
    SMTP_CHUNKS, /* have at least one BDAT chunk, not the last */
};

enum {
    SMTP_IN_START = 1 << SMTP_START,
    SMTP_IN_READY = 1 << SMTP_READY,
    SMTP_IN_MAIL = 1 << SMTP_MAIL,
    SMTP_IN_RCPT = 1 << SMTP_RCPT,
    SMTP_IN_CHUNKS = 1 << SMTP_CHUNKS,
    SMTP_IN_ANY = (1 << (SMTP_CHUNKS + 1)) - 1,
};

enum smtp_verb {
#define X(name, text, states) SMTP_VERB_##name,
    SMTP_VERBS(X)
#undef X
        SMTP_VERB_UNKNOWN,
};

enum smtp_reply {
    SMTP_REPLY_NONE, /* nothing is wrong */
#define X(name, text) SMTP_REPLY_##name,
    SMTP_REPLIES(X)
#undef X
};

/* The whole reply line, its code, enhanced status and CR LF included. */
struct slice smtp_reply_text(enum smtp_reply reply);

/* The three digits as a number. */
unsigned smtp_reply_code(enum smtp_reply reply);

/* True when the connection ends with this reply: every 421, 221, and a BDAT whose
 * count cannot be trusted. */
bool smtp_reply_closes(enum smtp_reply reply);

/* What a line that line_cut() gives up on is answered with; NONE for LINE_DONE and
 * LINE_MORE. */
enum smtp_reply smtp_line_reply(enum line_cut cut);

/* NONE, or 503 where the verb is not allowed in the state. */
enum smtp_reply smtp_order(enum smtp_state state, enum smtp_verb verb);

/* --- addresses --------------------------------------------------------- */

enum smtp_path_kind {
    SMTP_PATH_NULL,       /* <> : the sender of a bounce */
    SMTP_PATH_POSTMASTER, /* <postmaster> without a domain (RFC 5321, 4.1.1.3) */
    SMTP_PATH_MAILBOX,
};

/* A path as the peer wrote it, without its angle brackets and source route (which
 * is ignored, RFC 5321, appendix C). */
struct smtp_path {
    enum smtp_path_kind kind;
    struct slice text;   /* local part, @, domain: what is printed; empty for <> */
    struct slice local;  /* with its quotes where it has them */
    struct slice domain; /* with its brackets where it is an address literal */
    bool quoted;         /* the local part is a quoted string */
    bool literal;        /* the domain is an address literal */
    bool utf8;           /* not all ASCII */
};

/* local@domain, with nothing around it. With `utf8` both may hold UTF-8 (RFC 6531,
 * 3.3). False when that is not what `text` is. */
bool smtp_mailbox(struct slice text, bool utf8, struct smtp_path *path);

/* A domain name: labels of letters, digits, '-' and '_', and with `utf8` anything
 * beyond ASCII; no trailing dot. */
bool smtp_is_domain(struct slice text, bool utf8);

/* An address in the one form in which it is looked up: ASCII letters in lower case,
 * quotes gone where the local part can stand without them (else kept, with the
 * fewest backslashes), so that no two spellings of an address differ and none can
 * be taken for another's. */
struct smtp_addr {
    struct slice full;   /* user+detail@domain */
    struct slice base;   /* user@domain; the same bytes as `full` without detail */
    struct slice local;  /* the part of `full` before the last @ */
    struct slice domain; /* the part after it */
    struct slice user;   /* the part of `base` before the last @ */
    struct slice detail; /* what stands behind the separator, empty without one */
};

/* The form above, in the arena. `home` is the domain of a path without one;
 * `separator` begins the detail, 0 for none. A quoted local part has no detail.
 * False for <> and when the arena has no room. */
bool smtp_addr_of(const struct smtp_path *path, struct slice home, char separator,
    struct arena *arena, struct smtp_addr *addr);

/* --- commands ---------------------------------------------------------- */

enum {
#define X(name, keyword) SMTP_OFFER_BIT_##name,
    SMTP_OFFERS(X)
#undef X
};

/* What EHLO announces, as bits. */
enum smtp_offer {
#define X(name, keyword) SMTP_OFFER_##name = 1 << SMTP_OFFER_BIT_##name,
    SMTP_OFFERS(X)
#undef X
};

/* What decides whether a command is well formed here and now. */
struct smtp_rules {
    unsigned offers;      /* SMTP_OFFER_ bits; parameters of others are unknown (555) */
    uint64_t message_max; /* octets; more in SIZE= or BDAT is 552 */
    int64_t now_s;        /* seconds since 1970: HOLDFOR=, HOLDUNTIL= and BY= count on */
    uint32_t hold_max_s;  /* how far HOLDFOR= and HOLDUNTIL= may reach; more is 501 */
    bool lmtp;            /* LHLO instead of HELO and EHLO */
    bool utf8;            /* the transaction under way has SMTPUTF8 (for RCPT) */
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS }; /* RFC 3461, 4.3 */

/* RFC 3461, 4.1. None set: the parameter was not given. */
enum smtp_notify {
    SMTP_NOTIFY_NEVER = 1 << 0,
    SMTP_NOTIFY_SUCCESS = 1 << 1,
    SMTP_NOTIFY_FAILURE = 1 << 2,
    SMTP_NOTIFY_DELAY = 1 << 3,
};

struct smtp_cmd {
    enum smtp_verb verb;
    struct slice arg;      /* HELO, EHLO, LHLO: who; AUTH: mechanism; VRFY, EXPN, XCLIENT:
                            * all there is */
    struct smtp_path path; /* MAIL, RCPT */
    uint64_t size;         /* MAIL: SIZE=, 0 without; BDAT: octets of the chunk */
    enum smtp_body body;   /* MAIL */
    enum smtp_ret ret;     /* MAIL */
    unsigned notify;       /* RCPT: SMTP_NOTIFY_ bits */
    struct slice envid;    /* MAIL: checked xtext, undecoded; empty without */
    struct slice orcpt;    /* RCPT: type;xtext, checked, undecoded; empty without */
    struct slice auth;     /* MAIL: AUTH=, checked xtext or <>; empty without */
    int64_t hold_until_s;  /* MAIL: HOLDFOR=, HOLDUNTIL=; 0 without */
    struct slice hold;     /* ... its value: seconds, or a date, which has dashes */
    int64_t by_s;          /* MAIL: BY=, when it is to be delivered; 0 without */
    bool by_notify;        /* ... mode N, not R */
    bool by_trace;         /* ... T */
    bool require_tls;      /* MAIL: REQUIRETLS */
    int8_t priority;       /* MAIL: MT-PRIORITY=, -9 .. 9 */
    struct slice initial;  /* AUTH: initial response */
    bool has_initial;      /* AUTH had one */
    bool last;             /* BDAT: LAST */
    bool utf8;             /* MAIL, VRFY, EXPN: SMTPUTF8 */
};

/* One line. NONE: *cmd is whole. Otherwise the answer it gets; cmd->verb is set
 * nevertheless, and for a BDAT that is too big (552) so are its size and `last`.
 * Order is not judged here: ask smtp_order() next. */
enum smtp_reply smtp_parse(
    struct slice line, const struct smtp_rules *rules, struct smtp_cmd *cmd);

/* Decodes xtext (RFC 3461, 4). False when it is none, or out has no room. */
bool smtp_xtext_decode(struct slice text, struct out *out);

/* Encodes as xtext. */
void smtp_xtext_encode(struct slice bytes, struct out *out);

/* --- what is said in full ---------------------------------------------- */

/* "220 host ..." (RFC 5321, 4.3.1). */
void smtp_put_greeting(struct out *out, struct slice host, bool lmtp);

/* What stands behind the offers. */
struct smtp_values {
    struct slice mechanisms; /* the words after AUTH */
    /* LIMITS: of a transaction, of a session, and domains of a session's recipients. 0:
     * no limit of that kind. With no limit at all LIMITS may not be offered. */
    uint32_t rcpt_max, mail_max, domain_max;
};

/* The answer to HELO, one line, or to EHLO and LHLO, with the offers. */
void smtp_put_hello(struct out *out, enum smtp_verb verb, struct slice host,
    const struct smtp_rules *rules, const struct smtp_values *values);
