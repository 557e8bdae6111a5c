#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "proto/mime/date.h"

static void days_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int32_t day = -719162; day < 2932896; day += 13) {
        time_t seconds = (time_t)day * 86400;
        struct tm tm;
        int32_t year;
        unsigned month, mday;

        assert_non_null(gmtime_r(&seconds, &tm));
        date_of_day(day, &year, &month, &mday);
        assert_int_equal(year, tm.tm_year + 1900);
        assert_int_equal(month, tm.tm_mon + 1);
        assert_int_equal(mday, tm.tm_mday);
        assert_int_equal(date_day_of(year, month, mday), day);
    }
}

static const struct {
    const char *text;
    int64_t utc;
    int32_t offset_s;
    bool bad;
} dates[] = {
    {"Thu, 1 Jan 1970 00:00:00 +0000", 0, 0, false},
    {"Wed, 17 Jul 1996 02:44:25 -0700", 837596665, -25200, false},
    {" 17 Jul 1996 02:44:25 -0700\r\n", 837596665, -25200, false},
    {"17 Jul 96 02:44:25 -0700", 837596665, -25200, false},
    {"17 Jul 096 02:44:25 -0700", 837596665, -25200, false},
    {"Wed (mid(dle)) ,\r\n 17 (x) Jul (\\)) 1996 02 : 44 : 25 (y) -0700 (PDT)", 837596665,
        -25200, false},
    {"Wed, 17 JULY 1996 02:44:25 PDT", 837596665, -25200, false},
    {"17-Jul-96 02.44.25 PDT", 837596665, -25200, false},
    {"Tue, 5 Mar 24 10:11 EST", 1709651460, -18000, false},
    {"5 Mar 49 10:11 GMT", 2498551860, 0, false},
    {"5 Mar 2024 10:11:60 +0000", 1709633520, 0, false},
    {"5 Mar 2024 10:11:12 Z", 1709633472, 0, false},
    {"5 Mar 2024 10:11:12 MEZ", 1709633472, 0, false},
    {"5 Mar 2024 10:11:12", 1709633472, 0, false},
    {"29 Feb 2000 00:00:00 +0000", 951782400, 0, false},
    {"29 Feb 1900 00:00:00 +0000", 0, 0, true},
    {"31 Apr 2024 10:11:12 +0000", 0, 0, true},
    {"0 Apr 2024 10:11:12 +0000", 0, 0, true},
    {"5 Mar 2024 24:11:12 +0000", 0, 0, true},
    {"5 Mar 2024 10:60:12 +0000", 0, 0, true},
    {"5 Mar 2024 10:11:61 +0000", 0, 0, true},
    {"5 Mar 2024", 0, 0, true},
    {"5 Mrz 2024 10:11:12 +0000", 0, 0, true},
    {"Mar 5 2024 10:11:12 +0000", 0, 0, true},
    {"5 Mar 0000 10:11:12 +0000", 0, 0, true},
    {"(((((((((", 0, 0, true},
    {"", 0, 0, true},
};

static void rfc5322_dates_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        struct date date = {0};
        bool good = date_parse(slice_str(dates[i].text), &date);

        print_message("%s\n", dates[i].text);
        assert_int_equal(good, !dates[i].bad);
        if (good) {
            assert_true(date.utc == dates[i].utc);
            assert_int_equal(date.offset_s, dates[i].offset_s);
        }
    }
}

static void imap_dates_are_read(void **state)
{
    static const char *const good[] = {"17-Jul-1996 02:44:25 -0700",
        "17-jul-1996 02:44:25 -0700", "17-JUL-1996 02:44:25 -0700"};
    static const char *const bad[] = {"", "7-Jul-1996 02:44:25 -0700",
        "17-Jul-1996 02:44:25  0700", "17-Jul-1996 02:44:25 -07000",
        "17-Jul-1996 02:44:25 -07:0", "99-Zzz-1996 02:44:25 -0700",
        "17 Jul 1996 02:44:25 -0700", "17-Jul-1996 2:44:25 -07000",
        "17-Jul-1996 02:44:61 -0700", "17-Jul-1996 02:44:25 -9900"};
    struct date date;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(date_parse_internal(slice_str(good[i]), &date));
        assert_true(date.utc == 837596665 && date.offset_s == -25200);
    }
    assert_true(date_parse_internal(S(" 7-Jul-1996 02:44:25 +1400"), &date));
    assert_int_equal(date.offset_s, 50400);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(date_parse_internal(slice_str(bad[i]), &date));
}

static void imap_days_are_read(void **state)
{
    static const char *const bad[] = {"", "\"", "\"\"", "1-Feb", "1-Feb-94",
        "31-Feb-1994", "1-Feb-1994 ", "Feb-1-1994", "1-F\xe9 -1994"};
    int32_t day;

    (void)state;
    assert_true(date_parse_day(S("1-Feb-1994"), &day));
    assert_int_equal(day, 8797);
    assert_true(date_parse_day(S("\"01-feb-1994\""), &day));
    assert_int_equal(day, 8797);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(date_parse_day(slice_str(bad[i]), &day));
}

static void dates_are_printed_and_read_back(void **state)
{
    static const struct {
        struct date date;
        struct slice rfc5322, internal;
    } cases[] = {
        {{837596665, -25200}, SI("Wed, 17 Jul 1996 02:44:25 -0700"),
            SI("17-Jul-1996 02:44:25 -0700")},
        {{0, 0}, SI("Thu, 01 Jan 1970 00:00:00 +0000"), SI("01-Jan-1970 00:00:00 +0000")},
        {{-1, 0}, SI("Wed, 31 Dec 1969 23:59:59 +0000"),
            SI("31-Dec-1969 23:59:59 +0000")},
        {{1709633472, 19800}, SI("Tue, 05 Mar 2024 15:41:12 +0530"),
            SI("05-Mar-2024 15:41:12 +0530")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        struct out out = out_of(text, sizeof text);
        struct date date;

        date_put_rfc5322(&out, cases[i].date);
        assert_true(slice_eq(out_slice(&out), cases[i].rfc5322));
        assert_true(date_parse(out_slice(&out), &date));
        assert_memory_equal(&date.utc, &cases[i].date.utc, sizeof date.utc);
        out.len = 0;
        date_put_internal(&out, cases[i].date);
        assert_true(slice_eq(out_slice(&out), cases[i].internal));
        assert_true(date_parse_internal(out_slice(&out), &date));
        assert_true(date.utc == cases[i].date.utc);
        assert_int_equal(date.offset_s, cases[i].date.offset_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_agree_with_the_c_library),
        cmocka_unit_test(rfc5322_dates_are_read),
        cmocka_unit_test(imap_dates_are_read),
        cmocka_unit_test(imap_days_are_read),
        cmocka_unit_test(dates_are_printed_and_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
