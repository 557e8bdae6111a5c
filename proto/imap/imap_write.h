/* imap_write.h -- the pieces of IMAP responses, written to a struct out.
 *
 * RFC 3501, 7 and 9. Every function appends; room is asked about once, by out->full. What
 * is given is trusted to be free of NUL; everything else is quoted or sent as a literal
 * as it needs to be, so no text of a peer can break a response.
 */
#pragma once
#include "proto/base/slice.h"
#include "proto/imap/imap.h"

/* `tag OK [code] text CRLF`. An empty tag is written "*". `code` comes with its brackets,
 * or empty. Text must be printable US-ASCII. */
void imap_put_status(struct out *o, struct slice tag, struct slice answer,
    struct slice code, struct slice text);

/* The reply to an error of the parser, completely: "a7 BAD Invalid date" CRLF. */
void imap_put_error(struct out *o, struct slice tag, enum imap_error error);

/* `* OK [UIDNEXT 7] text CRLF`: a code with one number. `name` is "UIDNEXT". */
void imap_put_number_code(
    struct out *o, struct slice name, uint64_t number, struct slice text);

/* `* 23 EXISTS CRLF`. */
void imap_put_count(struct out *o, uint64_t number, struct slice word);

/* --- strings --------------------------------------------------------------------- */

/* Quoted where all of it is printable US-ASCII and it is short, else a literal. */
void imap_put_string(struct out *o, struct slice s);
/* The same, NIL for s.at == NULL. */
void imap_put_nstring(struct out *o, struct slice s);
/* An atom where that is possible and cannot be taken for NIL, else a string. */
void imap_put_astring(struct out *o, struct slice s);
/* `{n}` CRLF; the n octets are the caller's to send. */
void imap_put_literal_head(struct out *o, uint64_t bytes);
/* A UTF-8 mailbox name in modified UTF-7, as an astring. */
void imap_put_mailbox(struct out *o, struct slice name);

/* --- flags, dates, data ------------------------------------------------------------ */

/* The system flags and then keywords, separated by spaces; no parentheses. `first` says
 * that nothing stands before; returns false once something was written, so that calls can
 * be chained: a keyword at a time, or "\*" after all. */
bool imap_put_flags(struct out *o, unsigned system, const struct slice *keywords,
    unsigned keyword_count, bool first);

/* `"17-Jul-1996 02:44:25 -0700"`, quotes included (date-time). Years 0 to 9999; what lies
 * beyond is written as the nearest such time. */
void imap_put_date_time(struct out *o, struct imap_date_time date);

/* Attributes of a LIST reply, bits in the order of IMAP_ATTRIBUTES. */
enum imap_attribute_bit {
#define ATTRIBUTE(name, text) IMAP_ATTR_BIT_##name,
    IMAP_ATTRIBUTES(ATTRIBUTE)
#undef ATTRIBUTE
        IMAP_ATTR_COUNT,
};
enum imap_attribute {
#define ATTRIBUTE(name, text) IMAP_ATTR_##name = 1 << IMAP_ATTR_BIT_##name,
    IMAP_ATTRIBUTES(ATTRIBUTE)
#undef ATTRIBUTE
};

/* `* LIST (\HasNoChildren \Sent) "/" name CRLF`. `word` is LIST or LSUB. With
 * `childinfo` the extended item ("CHILDINFO" ("SUBSCRIBED")) follows (RFC 5258, 3.5). */
void imap_put_list(struct out *o, struct slice word, unsigned attributes,
    enum imap_use use, struct slice name, bool childinfo);

/* `* STATUS name (MESSAGES 3 ...) CRLF`; values[bit] for each bit of items. */
void imap_put_status_data(struct out *o, struct slice name, unsigned items,
    const uint32_t values[IMAP_STATUS_COUNT]);

/* `* 7 FETCH (`: the items, separated by spaces, and `)` CRLF are the caller's. */
void imap_put_fetch_head(struct out *o, uint32_t seq);

/* The name of a data item as the response to it must carry it: `BODY[1.HEADER.FIELDS
 * (Date From)]<0>`, `RFC822.SIZE`. Never PEEK; keywords in upper case, field names as the
 * client wrote them. */
void imap_put_item_name(struct out *o, const struct imap_item *item);

/* `[APPENDUID 38505 3955]` (RFC 4315, 3), brackets included. */
void imap_put_append_uid(struct out *o, uint32_t uid_validity, uint32_t uid);
