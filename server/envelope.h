/* envelope.h -- what travels beside the text of a message: the sender, the recipients,
 * and what was asked for them; as values, and as the bytes that the queue keeps.
 *
 * The bytes are the queue's `envelope` (store.h) and stand on the disk: layouts up to
 * ENVELOPE_VERSION are read for ever, a newer one is refused.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/slice.h"
#include "proto/smtp/smtp.h"

enum {
    ENVELOPE_VERSION = 2,
    /* Recipients of one entry of the queue: larger lists are several entries. */
    ENVELOPE_RCPTS_MAX = 1000
};

struct envelope_rcpt {
    struct slice address; /* local@domain, as it is to be sent */
    struct slice orcpt;   /* ORCPT=: type;xtext, undecoded (RFC 3461, 4.2); or empty */
    uint8_t notify;       /* SMTP_NOTIFY_ bits; 0: not given */
    bool forwarded; /* an alias of ours leads there: SRS may give it another sender */
};

struct envelope {
    struct slice sender; /* empty: <> */
    struct slice envid;  /* ENVID=: xtext, undecoded (RFC 3461, 4.4); or empty */
    struct slice auth;   /* AUTH=: xtext or <>, undecoded (RFC 4954, 5); or empty */
    struct slice hold;   /* HOLDFOR= or HOLDUNTIL=, as it was given; or empty */
    struct slice user;   /* the account that submitted it; empty: nobody */
    struct slice log_id; /* as in the Received field and the log */
    enum smtp_ret ret;
    enum smtp_body body;
    bool utf8;         /* SMTPUTF8 was given, or the addresses need it (RFC 6531) */
    bool utf8_header;  /* the header holds octets above 127 */
    bool text_8bit;    /* so does the body */
    bool require_tls;  /* REQUIRETLS (RFC 8689) */
    bool tls_optional; /* the header says TLS-Required: No (RFC 8689, 3) */
    bool notice; /* made here: a DSN; its sender is <>, and it never makes another */
    bool by_notify, by_trace; /* BY=...;N or R, T (RFC 2852, 4) */
    int8_t priority;          /* MT-PRIORITY (RFC 6710), -9 .. 9 */
    int64_t arrived_s;        /* seconds since 1970 */
    int64_t hold_until_s;     /* FUTURERELEASE (RFC 4865); 0: at once */
    int64_t by_s;             /* DELIVERBY: deliver until then; 0: no wish */
    uint32_t text_at; /* octets of Return-Path at the head of the stored text, which are
                       * not sent on: relayed text begins here */
    uint32_t header_bytes; /* of what is sent on, the empty line included */
    const struct envelope_rcpt *rcpts;
    unsigned rcpt_count;
};

/* Octets that envelope_encode() writes. */
size_t envelope_bytes(const struct envelope *e);
void envelope_encode(const struct envelope *e, struct out *out);
/* Slices point into `bytes`, the array of recipients lies in the arena. OK, CORRUPT,
 * INVALID (a newer version), NO_MEMORY. */
enum status envelope_decode(struct slice bytes, struct arena *arena, struct envelope *e);
