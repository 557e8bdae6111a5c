/* dsn_parts.h -- private to dsn*.c. */
#pragma once
#include "proto/smtp/dsn.h"

enum {
    DSN_WIDTH = 76,     /* octets of a line, where there are blanks to fold at */
    DSN_WORD_MAX = 400, /* octets of a word, which is cut then */
    DSN_ADDRESS_MAX =
        512,            /* octets of an address that are told: as many as it may have */
    DSN_NAME_MAX = 255, /* of a host's name, of a log id */
};

#define DSN_BOUNDARY "=_dsn-" /* and dsn.unique; "=_" is in no quoted-printable text */

void dsn_put_boundary(struct out *out, const struct dsn *d);

/* Quoted-printable for what is returned: a header beyond ASCII, to somebody who may be
 * behind servers without SMTPUTF8 (RFC 6533, 4.5). message/rfc822 allows no encoding. */
bool dsn_returns_encoded(const struct dsn *d);

/* --- octets of unknown origin (dsn_clean.c) ------------------------------------- */

bool dsn_is_ascii(struct slice s);

/* At most `max` octets of s on one line: control octets become blanks, and what is no
 * UTF-8, or without `utf8` no ASCII, becomes '?'. */
void dsn_put_clean(struct out *out, struct slice s, size_t max, bool utf8);

/* The same for DSN_TEXT_MAX octets, a blank before each word, folded: `column` octets
 * stand in the line already, `fold` (CR LF and blanks) comes before each further one. */
void dsn_put_folded(
    struct out *out, struct slice s, unsigned column, struct slice fold, bool utf8);

/* "5.1.1" (RFC 3463, 2) */
void dsn_put_status(struct out *out, const uint8_t status[3]);

/* "Name: rfc822; address" or "utf-8; address", and CR LF. With `utf8` an address beyond
 * ASCII stands for itself, else as \x{E9} (RFC 6533, 3). */
void dsn_put_address(struct out *out, struct slice name, struct slice address, bool utf8);

/* "Original-Recipient: ..." of ORCPT, or nothing. */
void dsn_put_original(struct out *out, struct slice orcpt, bool utf8);

/* The address in an ORCPT of type rfc822 or utf-8, decoded, as slice of `at`; empty
 * where there is none. */
enum { DSN_ORIGINAL_ROOM = 1024 };
struct slice dsn_original(struct slice orcpt, char *at);

/* --- the part for people (dsn_text.c) --------------------------------------------- */

void dsn_put_subject(struct out *out, const struct dsn *d);
void dsn_put_heading(struct out *out, enum dsn_action action, unsigned count);
void dsn_put_rcpt_text(struct out *out, const struct dsn *d, const struct dsn_rcpt *r);
void dsn_put_closing(struct out *out, const struct dsn *d);
