#include "proto/smtp/smtp_trace.h"

#include "proto/base/check.h"

struct slice smtp_protocol(const struct smtp_trace *trace)
{
    /* Rows: ESMTP, LMTP, and both with SMTPUTF8. Columns: A 1, S 2. */
    static const struct slice words[4][4] = {
        {SI("ESMTP"), SI("ESMTPA"), SI("ESMTPS"), SI("ESMTPSA")},
        {SI("LMTP"), SI("LMTPA"), SI("LMTPS"), SI("LMTPSA")},
        {SI("UTF8SMTP"), SI("UTF8SMTPA"), SI("UTF8SMTPS"), SI("UTF8SMTPSA")},
        {SI("UTF8LMTP"), SI("UTF8LMTPA"), SI("UTF8LMTPS"), SI("UTF8LMTPSA")},
    };

    if (!trace->esmtp && !trace->lmtp)
        return S("SMTP");
    return words[2 * trace->utf8 + trace->lmtp]
                [2 * (trace->tls.len > 0) + trace->authenticated];
}

static void put_padded(struct out *out, uint64_t value, uint64_t scale)
{
    for (; scale > 1 && value < scale; scale /= 10)
        out_byte(out, '0');
    out_u64(out, value);
}

struct day {
    unsigned year, month, day; /* month 0..11, day 1..31 */
    unsigned weekday;          /* 0: Sunday */
};

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month] + (month == 1 && leap ? 1U : 0U);
}

/* The Gregorian date of a day counted from 1970-01-01. */
static struct day day_of(int64_t days)
{
    enum { ERA = 146097, YEAR_0 = 719528 }; /* days of 400 years; days up to 1970 */
    int64_t since_0 = days + YEAR_0;
    struct day d;
    unsigned left;

    CHECK(since_0 >= 0 && since_0 < (int64_t)ERA * 25);
    d.weekday = (unsigned)((since_0 + 6) % 7); /* 0000-01-01 was a Saturday */
    d.year = (unsigned)(since_0 / ERA * 400);
    left = (unsigned)(since_0 % ERA);
    for (unsigned n; n = 337 + days_in(d.year, 1), left >= n; left -= n)
        d.year++;
    d.month = 0;
    for (unsigned n; n = days_in(d.year, d.month), left >= n; left -= n)
        d.month++;
    d.day = left + 1;
    return d;
}

void smtp_put_date(struct out *out, int64_t time_s, int zone_minutes)
{
    enum { DAY_S = 86400 };
    static const char weekdays[] = "Sun, Mon, Tue, Wed, Thu, Fri, Sat, ";
    static const char months[] =
        " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
    int64_t local = time_s + zone_minutes * 60;
    int64_t second = ((local % DAY_S) + DAY_S) % DAY_S;
    struct day d = day_of((local - second) / DAY_S);
    unsigned zone = (unsigned)(zone_minutes < 0 ? -zone_minutes : zone_minutes);

    out_put(out, slice_of(weekdays + (size_t)5 * d.weekday, 5));
    put_padded(out, d.day, 10);
    out_put(out, slice_of(months + (size_t)5 * d.month, 5));
    put_padded(out, d.year, 1000);
    out_byte(out, ' ');
    put_padded(out, (uint64_t)second / 3600, 10);
    out_byte(out, ':');
    put_padded(out, (uint64_t)second / 60 % 60, 10);
    out_byte(out, ':');
    put_padded(out, (uint64_t)second % 60, 10);
    out_put(out, zone_minutes < 0 ? S(" -") : S(" +"));
    put_padded(out, zone / 60 * 100 + zone % 60, 1000);
}

/* --- RFC 3339 ---------------------------------------------------------------------- */

/* Days from 1970-01-01 to a date of a year from 1970 on. */
static int64_t days_to(struct day d)
{
    int64_t past = (int64_t)d.year - 1;
    int64_t days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;

    for (unsigned month = 0; month < d.month; month++)
        days += days_in(d.year, month);
    return days + d.day - 1;
}

/* `digits` digits and the mark behind them (none for '\0'). */
static bool take_part(struct slice *in, size_t digits, char mark, unsigned *value)
{
    uint32_t number;

    if (in->len < digits + (mark != '\0') ||
        !slice_u32(slice_of(in->at, digits), &number))
        return false;
    slice_take(in, digits);
    *value = number;
    return mark == '\0' || ascii_lower(slice_take(in, 1).at[0]) == mark;
}

static bool skip_fraction(struct slice *in)
{
    size_t digits = 0;

    if (in->len == 0 || in->at[0] != '.')
        return true;
    slice_take(in, 1);
    while (digits < in->len && ascii_digit(in->at[digits]))
        digits++;
    slice_take(in, digits);
    return digits > 0;
}

bool smtp_utc(struct slice text, int64_t *time_s)
{
    struct day d;
    unsigned hour, minute, second;

    if (!take_part(&text, 4, '-', &d.year) || !take_part(&text, 2, '-', &d.month) ||
        !take_part(&text, 2, 't', &d.day) || !take_part(&text, 2, ':', &hour) ||
        !take_part(&text, 2, ':', &minute) || !take_part(&text, 2, '\0', &second) ||
        !skip_fraction(&text) || !slice_eq_nocase(text, S("Z")))
        return false;
    if (d.year < 1970 || d.month-- == 0 || d.month > 11 || d.day == 0 ||
        d.day > days_in(d.year, d.month) || hour > 23 || minute > 59 || second > 60)
        return false;
    *time_s = days_to(d) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

void smtp_put_utc(struct out *out, int64_t time_s)
{
    int64_t second = time_s % 86400;
    struct day d = day_of((time_s - second) / 86400);

    put_padded(out, d.year, 1000);
    out_byte(out, '-');
    put_padded(out, d.month + 1, 10);
    out_byte(out, '-');
    put_padded(out, d.day, 10);
    out_byte(out, 'T');
    put_padded(out, (uint64_t)second / 3600, 10);
    out_byte(out, ':');
    put_padded(out, (uint64_t)second / 60 % 60, 10);
    out_byte(out, ':');
    put_padded(out, (uint64_t)second % 60, 10);
    out_byte(out, 'Z');
}

/* --- the fields -------------------------------------------------------------------- */

void smtp_put_return_path(struct out *out, const struct smtp_path *sender)
{
    out_put(out, S("Return-Path: <"));
    out_put(out, sender->text);
    out_put(out, S(">\r\n"));
}

/* address-literal (RFC 5321, 4.1.3) */
static void put_literal(struct out *out, struct slice ip)
{
    out_put(out, slice_find(ip, ':') < ip.len ? S("[IPv6:") : S("["));
    out_put(out, ip);
    out_byte(out, ']');
}

/* Extended-Domain: what it said, and in a comment what is known. */
static void put_from(struct out *out, const struct smtp_trace *trace)
{
    out_put(out, S("Received: from "));
    if (trace->helo.len)
        out_put(out, trace->helo);
    else if (trace->peer_ip.len)
        put_literal(out, trace->peer_ip);
    else
        out_put(out, S("localhost"));
    if (trace->peer_ip.len) {
        out_put(out, S(" ("));
        if (trace->peer_name.len) {
            out_put(out, trace->peer_name);
            out_byte(out, ' ');
        }
        put_literal(out, trace->peer_ip);
        out_byte(out, ')');
    }
    out_put(out, S("\r\n"));
}

void smtp_put_received(struct out *out, const struct smtp_trace *trace)
{
    put_from(out, trace);
    out_put(out, S("\tby "));
    out_put(out, trace->host);
    out_put(out, S(" with "));
    out_put(out, smtp_protocol(trace));
    if (trace->id.len) {
        out_put(out, S(" id "));
        out_put(out, trace->id);
    }
    if (trace->rcpt.len) {
        out_put(out, S("\r\n\tfor <"));
        out_put(out, trace->rcpt);
        out_byte(out, '>');
    }
    if (trace->tls.len) {
        out_put(out, S("\r\n\ttls "));
        out_put(out, trace->tls);
    }
    if (trace->priority) {
        out_put(out, trace->priority < 0 ? S("\r\n\tPRIORITY -") : S("\r\n\tPRIORITY "));
        out_u64(
            out, (uint64_t)(trace->priority < 0 ? -trace->priority : trace->priority));
    }
    out_put(out, S(";\r\n\t"));
    smtp_put_date(out, trace->time_s, trace->zone_minutes);
    out_put(out, S("\r\n"));
}
