/* dsn.h -- writes delivery status notifications (RFC 3464 in RFC 6522; what RFC 3461,
 * 6 asks of them; RFC 6533 for addresses beyond ASCII; RFC 3834).
 *
 *      dsn_put_head() --> dsn_returned_feed() ... --> dsn_returned_end()
 *
 * Three parts: what happened in plain English, the same for programs, and the header or
 * the whole of the message reported about. Whatever octets the slices hold, nothing but
 * the fields and parts written here comes out: control octets become blanks, what is no
 * UTF-8 (or beyond ASCII where only that is allowed) becomes '?', lines are folded.
 *
 * A report is sent with MAIL FROM:<> and, if the hop has DSN, NOTIFY=NEVER and no RET
 * (RFC 3461, 6.1). Nothing here writes Return-Path or Received.
 */
#pragma once
#include "proto/base/slice.h"
#include "proto/mime/encode.h"
#include "proto/smtp/smtp.h"

enum dsn_action { /* RFC 3464, 2.3.3 */
    DSN_FAILED,
    DSN_DELAYED,
    DSN_DELIVERED,
    DSN_RELAYED,  /* to a hop without DSN: no further report will come */
    DSN_EXPANDED, /* an alias of several addresses */
};

struct dsn_rcpt {
    struct slice address; /* as in the envelope when it came here */
    struct slice orcpt;   /* ORCPT=: type;xtext, undecoded; empty: was not given */
    enum dsn_action action;
    uint8_t status[3];     /* 5, 1, 1 (RFC 3463) */
    struct slice remote;   /* who said so: name of the host; empty: this server */
    uint16_t code;         /* SMTP reply code; 0: there was no reply */
    struct slice text;     /* the reply without code and status, or our own words */
    int64_t attempt_s;     /* of the last attempt, seconds since 1970; 0: none */
    int64_t retry_until_s; /* DSN_DELAYED: when it will be given up; 0: not known */
};

enum dsn_returned_what { DSN_RETURN_NOTHING, DSN_RETURN_HEADER, DSN_RETURN_FULL };

struct dsn {
    struct slice host;        /* our name: a domain name */
    struct slice from;        /* the mailbox that reports come from */
    struct slice to;          /* the envelope's sender, who gets the report; not <> */
    struct slice envid;       /* ENVID=: xtext, undecoded; empty: was not given */
    struct slice hold;        /* value of HOLDFOR= or HOLDUNTIL=; empty: was not given */
    int64_t by_s;             /* BY=: it was to be delivered by then; 0: was not given */
    struct slice unique;      /* nobody can guess it: letters, digits and dots, at most
                               * DSN_UNIQUE_MAX. Message-ID and boundary are made of it */
    struct slice message_id;  /* of the message, with <>; empty: not known */
    struct slice log_id;      /* for the postmaster to search the log; may be empty */
    int64_t arrived_s, now_s; /* the message came, the report is made */
    int zone_minutes;         /* of our clock, east of UTC */
    enum dsn_returned_what returned;
    bool returned_8bit;        /* the message holds octets above 127 */
    bool returned_8bit_header; /* its header does */
    bool returned_utf8;        /* it came with SMTPUTF8 (RFC 6531) */
    const struct dsn_rcpt *rcpts;
    unsigned rcpt_count; /* at least 1 */
};

enum {
    DSN_UNIQUE_MAX = 64,
    DSN_STEP_MAX = 8 << 10, /* octets that one dsn_put_step() writes at most */
    DSN_TEXT_MAX = 1024,    /* octets of a reply that are told */
};

/* What to return of a message of so many octets (RFC 3461, 6.2): all of it when a
 * recipient failed, RET=FULL was given and it is not over `full_max`; else the header.
 * `binary`: it can't be returned whole through 8-bit paths. */
enum dsn_returned_what dsn_what_to_return(const struct dsn_rcpt *rcpts, unsigned count,
    enum smtp_ret ret, uint64_t size, uint64_t full_max, bool binary);

/* What the report's own envelope has to say. */
bool dsn_is_utf8(const struct dsn *d); /* SMTPUTF8: its header holds UTF-8 */
bool dsn_is_8bit(const struct dsn *d); /* BODY=8BITMIME */

/* --- everything in front of the returned message ------------------------------ */

struct dsn_writer {
    const struct dsn *dsn;
    unsigned stage, rcpt; /* what comes next */
    bool headed;          /* the heading of the present list is written */
    bool utf8;            /* some address or reply is not all ASCII */
};

/* The struct dsn must live until the head is written. */
void dsn_begin(struct dsn_writer *w, const struct dsn *d);

/* The next DSN_STEP_MAX octets or less. False: that was the last of the head. */
bool dsn_put_step(struct dsn_writer *w, struct out *out);

/* All of it: some KiB, and for each recipient up to 2 * DSN_STEP_MAX. */
void dsn_put_head(struct out *out, const struct dsn *d);

/* --- the returned message, and the end ---------------------------------------- */

struct dsn_returned {
    const struct dsn *dsn;
    bool over;       /* no more of the message is wanted: go to dsn_returned_end() */
    bool encoded;    /* as quoted-printable */
    bool line_start; /* the next octet begins a line */
    bool after_cr;   /* or is the LF of the CR that ended the last one */
    bool cr;         /* a CR that begins a line of a header is held */
    uint8_t matched; /* octets of a delimiter that begin the line and are held */
    struct transfer_encoder encoder;
    uint8_t delimiter_len;
    char delimiter[DSN_UNIQUE_MAX + 8];
};

void dsn_returned_begin(struct dsn_returned *r, const struct dsn *d);

/* The next octets of the message as it was sent on (without Return-Path), cut anywhere.
 * Writes no more than 4 octets for one, and 128. With DSN_RETURN_HEADER it stops by
 * itself after the header, with DSN_RETURN_NOTHING at once: see `over`. */
void dsn_returned_feed(struct dsn_returned *r, struct slice bytes, struct out *out);

/* What is held, and the closing delimiter: at most 256 octets. */
void dsn_returned_end(struct dsn_returned *r, struct out *out);
