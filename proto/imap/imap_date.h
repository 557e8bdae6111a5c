/* imap_date.h -- private to proto/imap: dates of IMAP (RFC 3501, section 9). */
#pragma once
#include "proto/imap/imap.h"
#include "proto/imap/imap_lex.h"

/* Days since 1970-01-01 of a day in the Gregorian calendar; month 1..12. */
int32_t imap_day_of(int32_t year, int32_t month, int32_t day);

struct imap_day {
    int32_t year, month, day;
};

/* The reverse, for the years 0 to 9999. */
struct imap_day imap_day_split(int32_t days);

extern const struct slice imap_months[12]; /* "Jan" ... */

/* date: `1-Feb-1994`, with or without quotes. */
enum imap_error imap_lex_date(struct imap_lex *x, int32_t *days);

/* date-time: `"17-Jul-1996 02:44:25 -0700"`. */
enum imap_error imap_lex_date_time(struct imap_lex *x, struct imap_date_time *date);
