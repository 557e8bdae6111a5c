#include "proto/mime/date.h"

#include "proto/mime/lex.h"

enum { DAY_S = 86400 };

static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* --- the calendar ----------------------------------------------------------------- */

/* Years begin in March here, so that the leap day is the last day of a year; an era
 * is the 400 years after which the Gregorian calendar repeats. */
enum { ERA_DAYS = 146097, EPOCH_DAY = 719468 };

int32_t date_day_of(int32_t year, unsigned month, unsigned day)
{
    int32_t y = month <= 2 ? year - 1 : year;
    int32_t era = (y >= 0 ? y : y - 399) / 400;
    int32_t year_of_era = y - era * 400;
    int32_t month_from_march = (int32_t)(month + 9) % 12;
    int32_t day_of_year = (153 * month_from_march + 2) / 5 + (int32_t)day - 1;

    return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
        day_of_year - EPOCH_DAY;
}

void date_of_day(int32_t day, int32_t *year, unsigned *month, unsigned *mday)
{
    int64_t z = (int64_t)day + EPOCH_DAY;
    int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
    int32_t doe = (int32_t)(z - era * ERA_DAYS);
    int32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int32_t march = (5 * doy + 2) / 153;

    *mday = (unsigned)(doy - (153 * march + 2) / 5 + 1);
    *month = (unsigned)(march < 10 ? march + 3 : march - 9);
    *year = (int32_t)(yoe + era * 400 + (*month <= 2));
}

static int64_t floor_day(int64_t seconds)
{
    return seconds >= 0 ? seconds / DAY_S : -((DAY_S - 1 - seconds) / DAY_S);
}

int32_t date_local_day(struct date date)
{
    return (int32_t)floor_day(date.utc + date.offset_s);
}

static unsigned days_in_month(int32_t year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* A date in its parts, as read. */
struct civil {
    int32_t year, offset_s;
    unsigned month, day, hour, minute, second;
};

/* Ranges of RFC 5322, section 3.3; a leap second counts as the second after. */
static bool civil_date(const struct civil *c, struct date *date)
{
    if (c->year < 1 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1 ||
        c->day > days_in_month(c->year, c->month) || c->hour > 23 || c->minute > 59 ||
        c->second > 60)
        return false;
    date->offset_s = c->offset_s;
    date->utc = (int64_t)date_day_of(c->year, c->month, c->day) * DAY_S +
        (int64_t)c->hour * 3600 + (int64_t)c->minute * 60 + c->second - c->offset_s;
    return true;
}

/* --- reading ------------------------------------------------------------------------ */

/* A run of digits, at most `most`; their number, 0 for none. */
static unsigned read_digits(struct lexer *l, unsigned most, unsigned *value)
{
    unsigned n = 0;

    *value = 0;
    while (n < most && l->at < l->end && ascii_digit(*l->at)) {
        *value = *value * 10 + (unsigned)(*l->at++ - '0');
        n++;
    }
    return n;
}

/* 1..12 from the first three letters, 0 when it is no month. */
static unsigned month_of(struct slice name)
{
    for (unsigned i = 0; name.len >= 3 && i < 12; i++)
        if (slice_eq_nocase(slice_of(name.at, 3), slice_of(month_names[i], 3)))
            return i + 1;
    return 0;
}

static struct slice read_letters(struct lexer *l)
{
    const char *start = l->at;

    while (l->at < l->end && ascii_alpha(*l->at))
        l->at++;
    return slice_of(start, (size_t)(l->at - start));
}

/* RFC 5322, 4.3: two digits up to 49 are of 2000 on, else and three of 1900 on. */
static bool read_year(struct lexer *l, int32_t *year)
{
    unsigned value, digits = read_digits(l, 4, &value);

    if (digits < 2)
        return false;
    if (digits == 2)
        value += value < 50 ? 2000 : 1900;
    else if (digits == 3)
        value += 1900;
    *year = (int32_t)value;
    return true;
}

/* hour ":" minute [":" second], with CFWS between; dots are met in the wild. */
static bool read_time(struct lexer *l, struct civil *c)
{
    if (!read_digits(l, 2, &c->hour))
        return false;
    lex_blanks(l);
    if (!lex_skip(l, ':') && !lex_skip(l, '.'))
        return false;
    lex_blanks(l);
    if (!read_digits(l, 2, &c->minute))
        return false;
    lex_blanks(l);
    if (!lex_skip(l, ':') && !lex_skip(l, '.'))
        return true;
    lex_blanks(l);
    return read_digits(l, 2, &c->second) > 0;
}

/* hhmm behind the sign; false when it is not that. */
static bool read_offset(struct lexer *l, int32_t sign, int32_t *offset_s)
{
    unsigned value;

    if (read_digits(l, 4, &value) != 4 || value % 100 > 59 || value > 2400)
        return false;
    *offset_s = sign * (int32_t)(value / 100 * 3600 + value % 100 * 60);
    return true;
}

/* RFC 5322, 4.3: the named zones of old; military ones and unknown ones are +0000. */
static int32_t named_zone(struct slice name)
{
    static const struct {
        struct slice name;
        int32_t hours;
    } zones[] = {{SI("EDT"), -4}, {SI("EST"), -5}, {SI("CDT"), -5}, {SI("CST"), -6},
        {SI("MDT"), -6}, {SI("MST"), -7}, {SI("PDT"), -7}, {SI("PST"), -8}};

    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (slice_eq_nocase(name, zones[i].name))
            return zones[i].hours * 3600;
    return 0;
}

static void read_zone(struct lexer *l, int32_t *offset_s)
{
    *offset_s = 0;
    if (lex_skip(l, '+'))
        read_offset(l, 1, offset_s);
    else if (lex_skip(l, '-'))
        read_offset(l, -1, offset_s);
    else
        *offset_s = named_zone(read_letters(l));
}

bool date_parse(struct slice text, struct date *date)
{
    struct lexer l = lex_of(text);
    struct civil c = {0};

    lex_blanks(&l);
    if (l.at < l.end && !ascii_digit(*l.at)) { /* day of the week */
        read_letters(&l);
        lex_blanks(&l);
        lex_skip(&l, ',');
        lex_blanks(&l);
    }
    if (!read_digits(&l, 2, &c.day))
        return false;
    lex_blanks(&l);
    lex_skip(&l, '-');
    c.month = month_of(read_letters(&l));
    lex_blanks(&l);
    lex_skip(&l, '-');
    if (!c.month || !read_year(&l, &c.year))
        return false;
    lex_blanks(&l);
    if (!read_time(&l, &c))
        return false;
    lex_blanks(&l);
    read_zone(&l, &c.offset_s);
    return civil_date(&c, date);
}

/* dd "-" Mon "-" yyyy, the day with one or two digits. */
static bool read_imap_day(struct lexer *l, struct civil *c)
{
    unsigned year;

    if (!read_digits(l, 2, &c->day) || !lex_skip(l, '-') || l->end - l->at < 4)
        return false;
    c->month = month_of(slice_of(l->at, 3));
    l->at += 3;
    if (!c->month || !lex_skip(l, '-') || read_digits(l, 4, &year) != 4)
        return false;
    c->year = (int32_t)year;
    return true;
}

static bool read_two(struct lexer *l, char before, unsigned *value)
{
    return lex_skip(l, before) && read_digits(l, 2, value) == 2;
}

bool date_parse_internal(struct slice text, struct date *date)
{
    struct lexer l = lex_of(text);
    struct civil c = {0};
    int32_t sign;

    if (text.len != sizeof "17-Jul-1996 02:44:25 -0700" - 1)
        return false;
    lex_skip(&l, ' ');
    if (!read_imap_day(&l, &c) || !read_two(&l, ' ', &c.hour) ||
        !read_two(&l, ':', &c.minute) || !read_two(&l, ':', &c.second) ||
        !lex_skip(&l, ' '))
        return false;
    sign = lex_skip(&l, '-') ? -1 : lex_skip(&l, '+') ? 1 : 0;
    return sign != 0 && read_offset(&l, sign, &c.offset_s) && lex_ended(&l) &&
        civil_date(&c, date);
}

bool date_parse_day(struct slice text, int32_t *day)
{
    struct civil c = {0};
    struct date date;
    struct lexer l;

    if (text.len >= 2 && text.at[0] == '"' && text.at[text.len - 1] == '"')
        text = slice_of(text.at + 1, text.len - 2);
    l = lex_of(text);
    if (!read_imap_day(&l, &c) || !lex_ended(&l) || !civil_date(&c, &date))
        return false;
    *day = date_day_of(c.year, c.month, c.day);
    return true;
}

/* --- printing --------------------------------------------------------------------------
 */

static void put_padded(struct out *out, unsigned value, unsigned digits)
{
    char text[4];

    for (unsigned i = digits; i-- > 0; value /= 10)
        text[i] = (char)('0' + value % 10);
    out_put(out, slice_of(text, digits));
}

static void put_time_zone(struct out *out, int32_t second_of_day, int32_t offset_s)
{
    unsigned second = (unsigned)second_of_day;
    unsigned minutes = (unsigned)(offset_s < 0 ? -offset_s : offset_s) / 60;

    put_padded(out, second / 3600, 2);
    out_byte(out, ':');
    put_padded(out, second / 60 % 60, 2);
    out_byte(out, ':');
    put_padded(out, second % 60, 2);
    out_str(out, offset_s < 0 ? " -" : " +");
    put_padded(out, minutes / 60, 2);
    put_padded(out, minutes % 60, 2);
}

/* Day, month and year with `mark` between, then the time. */
static void put_date(struct out *out, struct date date, char mark)
{
    int32_t day = date_local_day(date), year;
    unsigned month, mday;

    date_of_day(day, &year, &month, &mday);
    put_padded(out, mday, 2);
    out_byte(out, mark);
    out_put(out, slice_of(month_names[month - 1], 3));
    out_byte(out, mark);
    put_padded(out, (unsigned)year, 4);
    out_byte(out, ' ');
    put_time_zone(
        out, (int32_t)(date.utc + date.offset_s - (int64_t)day * DAY_S), date.offset_s);
}

void date_put_rfc5322(struct out *out, struct date date)
{
    static const char names[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    int32_t weekday = date_local_day(date) % 7; /* 1970-01-01 was a Thursday */

    out_put(out, slice_of(names[weekday < 0 ? weekday + 7 : weekday], 3));
    out_put(out, S(", "));
    put_date(out, date, ' ');
}

void date_put_internal(struct out *out, struct date date)
{
    put_date(out, date, '-');
}
