/* date.h -- calendar arithmetic, RFC 5322 dates and IMAP dates.
 *
 * Nothing here reads a clock or a time zone: seconds and offsets come in.
 */
#pragma once
#include "proto/base/slice.h"

struct date {
    int64_t utc;      /* seconds since 1970-01-01 00:00:00 UTC */
    int32_t offset_s; /* of the local time, seconds east of UTC */
};

/* Days since 1970-01-01 in the Gregorian calendar; month 1..12, day 1..31. */
int32_t date_day_of(int32_t year, unsigned month, unsigned day);

/* The reverse. */
void date_of_day(int32_t day, int32_t *year, unsigned *month, unsigned *mday);

/* The calendar day at the date's own offset, days since 1970-01-01. */
int32_t date_local_day(struct date date);

/* RFC 5322, section 3.3 with the obsolete forms of 4.3: comments and folding
 * anywhere, two- and three-digit years, no seconds, named zones. The day of the
 * week is not checked. An unknown zone or none is +0000. False when it is no date. */
bool date_parse(struct slice text, struct date *date);

/* IMAP date-time, without its quotes: "17-Jul-1996 02:44:25 -0700", the day with a
 * blank or a zero in front (RFC 3501, section 9). Ranges are checked. */
bool date_parse_internal(struct slice text, struct date *date);

/* IMAP date, quotes allowed: 1-Feb-1994. Days since 1970-01-01. */
bool date_parse_day(struct slice text, int32_t *day);

/* "Wed, 17 Jul 1996 02:44:25 -0700", no line end. */
void date_put_rfc5322(struct out *out, struct date date);

/* INTERNALDATE without quotes, always 26 octets: "17-Jul-1996 02:44:25 -0700". */
void date_put_internal(struct out *out, struct date date);
