/* smtp_trace.h -- the fields a server puts in front of a message (RFC 5321, 4.4). */
#pragma once
#include "proto/base/slice.h"
#include "proto/smtp/smtp.h"

/* What the Received field tells. All slices are free of control octets. */
struct smtp_trace {
    struct slice helo; /* what the client called itself, as EHLO had it; may be empty */
    struct slice peer_name; /* its name by reverse lookup, verified; empty: unknown */
    struct slice peer_ip;   /* its address in text, without brackets */
    struct slice host;      /* our name */
    struct slice id;        /* the message's id in our log */
    struct slice tls;  /* the cipher suite's IANA name (RFC 8314, 7.4); empty: none */
    struct slice rcpt; /* the recipient, when the message has but one; else empty */
    int64_t time_s;    /* seconds since 1970 UTC */
    int zone_minutes;  /* east of UTC, -1439..1439 */
    bool esmtp;        /* EHLO or LHLO, not HELO */
    bool lmtp, authenticated, utf8;
    int priority; /* MT-PRIORITY (RFC 6710, 4.1); 0: not named */
};

/* "Return-Path: <...>" and CR LF, for final delivery only. */
void smtp_put_return_path(struct out *out, const struct smtp_path *sender);

/* "Received: from ..." in three or four lines, and CR LF. */
void smtp_put_received(struct out *out, const struct smtp_trace *trace);

/* The word after "with": RFC 3848, RFC 6531, 4.3. */
struct slice smtp_protocol(const struct smtp_trace *trace);

/* "2026-03-02T10:00:00Z" (RFC 3339) as seconds since 1970, and back. A time in UTC only,
 * of years 1970 to 9999; fractions of a second are dropped. */
bool smtp_utc(struct slice text, int64_t *time_s);
void smtp_put_utc(struct out *out, int64_t time_s);

/* "Mon, 02 Mar 2026 10:00:00 +0100" (RFC 5322, 3.3). Any time of years 0 to 9999. */
void smtp_put_date(struct out *out, int64_t time_s, int zone_minutes);
