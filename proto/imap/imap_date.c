#include "proto/imap/imap_date.h"

enum { DAY_S = 86400, DAYS_ERA = 146097, DAYS_TO_1970 = 719468 };

const struct slice imap_months[12] = {SI("Jan"), SI("Feb"), SI("Mar"), SI("Apr"),
    SI("May"), SI("Jun"), SI("Jul"), SI("Aug"), SI("Sep"), SI("Oct"), SI("Nov"),
    SI("Dec")};

/* Years begin in March here, so that the leap day is the last of its year; an era is the
 * 400 years after which the calendar repeats. */
int32_t imap_day_of(int32_t year, int32_t month, int32_t day)
{
    int32_t y = month > 2 ? year : year - 1;
    int32_t era = (y >= 0 ? y : y - 399) / 400;
    int32_t of_era = y - era * 400;
    int32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * DAYS_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
        DAYS_TO_1970;
}

struct imap_day imap_day_split(int32_t days)
{
    int32_t d = days + DAYS_TO_1970;
    int32_t era = (d >= 0 ? d : d - DAYS_ERA + 1) / DAYS_ERA;
    int32_t of_era = d - era * DAYS_ERA;
    int32_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int32_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int32_t m = (5 * of_year + 2) / 153;
    int32_t month = m < 10 ? m + 3 : m - 9;

    return (struct imap_day){
        era * 400 + y + (month <= 2), month, of_year - (153 * m + 2) / 5 + 1};
}

/* Exactly n digits. */
static bool take_digits(struct imap_lex *x, size_t n, int32_t *value)
{
    uint32_t v;

    if (x->rest.len < n || !slice_u32(slice_of(x->rest.at, n), &v))
        return false;
    slice_take(&x->rest, n);
    *value = (int32_t)v;
    return true;
}

static bool take_month(struct imap_lex *x, int32_t *month)
{
    for (int32_t i = 0; i < 12; i++)
        if (slice_starts_nocase(x->rest, imap_months[i])) {
            slice_take(&x->rest, imap_months[i].len);
            *month = i + 1;
            return true;
        }
    return false;
}

/* What follows the day of the month: "-Feb-1994". False for a day that is not there. */
static bool take_month_year(struct imap_lex *x, int32_t day, int32_t *days)
{
    int32_t month, year;
    struct imap_day back;

    if (!imap_lex_take(x, '-') || !take_month(x, &month) || !imap_lex_take(x, '-') ||
        !take_digits(x, 4, &year))
        return false;
    *days = imap_day_of(year, month, day);
    back = imap_day_split(*days);
    return back.month == month && back.day == day;
}

enum imap_error imap_lex_date(struct imap_lex *x, int32_t *days)
{
    bool quoted = imap_lex_take(x, '"');
    int32_t day;

    if (!take_digits(x, 2, &day) && !take_digits(x, 1, &day))
        return IMAP_ERROR_DATE;
    if (!take_month_year(x, day, days) || (quoted && !imap_lex_take(x, '"')))
        return IMAP_ERROR_DATE;
    return IMAP_ERROR_NONE;
}

/* time: "02:44:25". A leap second is let through. */
static bool take_time(struct imap_lex *x, int32_t *seconds)
{
    int32_t hour, minute, second;

    if (!take_digits(x, 2, &hour) || !imap_lex_take(x, ':') ||
        !take_digits(x, 2, &minute) || !imap_lex_take(x, ':') ||
        !take_digits(x, 2, &second))
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

/* zone: "-0700". */
static bool take_zone(struct imap_lex *x, int16_t *minutes)
{
    bool west = imap_lex_next_is(x, '-');
    int32_t hour, minute;

    if (!imap_lex_take(x, west ? '-' : '+') || !take_digits(x, 2, &hour) ||
        !take_digits(x, 2, &minute) || hour >= 24 || minute >= 60)
        return false;
    minute += hour * 60;
    *minutes = (int16_t)(west ? -minute : minute);
    return true;
}

enum imap_error imap_lex_date_time(struct imap_lex *x, struct imap_date_time *date)
{
    int32_t day, days, seconds;
    bool padded;

    if (!imap_lex_take(x, '"'))
        return IMAP_ERROR_DATE;
    padded = imap_lex_take(x, ' ');
    if (!take_digits(x, padded ? 1 : 2, &day) || !take_month_year(x, day, &days) ||
        !imap_lex_take(x, ' ') || !take_time(x, &seconds) || !imap_lex_take(x, ' ') ||
        !take_zone(x, &date->zone_minutes) || !imap_lex_take(x, '"'))
        return IMAP_ERROR_DATE;
    date->utc_s = (int64_t)days * DAY_S + seconds - (int64_t)date->zone_minutes * 60;
    return IMAP_ERROR_NONE;
}
