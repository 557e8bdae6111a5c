#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "proto/smtp/smtp_trace.h"

static void dates_are_those_of_rfc_5322(void **state)
{
    static const struct {
        int64_t time_s;
        int zone_minutes;
        struct slice want;
    } cases[] = {
        {0, 0, SI("Thu, 01 Jan 1970 00:00:00 +0000")},
        {1772445600, 60, SI("Mon, 02 Mar 2026 11:00:00 +0100")},
        {951782399, 0, SI("Mon, 28 Feb 2000 23:59:59 +0000")},
        {951782400, 0, SI("Tue, 29 Feb 2000 00:00:00 +0000")},
        {4107542399, 0, SI("Sun, 28 Feb 2100 23:59:59 +0000")},
        {4107542400, 0, SI("Mon, 01 Mar 2100 00:00:00 +0000")},
        {-1, 0, SI("Wed, 31 Dec 1969 23:59:59 +0000")},
        {0, -570, SI("Wed, 31 Dec 1969 14:30:00 -0930")},
        {253402300799, 0, SI("Fri, 31 Dec 9999 23:59:59 +0000")},
        {-62167219200, 0, SI("Sat, 01 Jan 0000 00:00:00 +0000")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[64];
        struct out out = out_of(room, sizeof room);

        smtp_put_date(&out, cases[i].time_s, cases[i].zone_minutes);
        assert_int_equal(out.len, cases[i].want.len);
        assert_memory_equal(room, cases[i].want.at, out.len);
    }
}

/* Each day of four centuries, held against the C library's calendar. */
static void every_day_has_its_date(void **state)
{
    (void)state;
    for (int64_t day = -135140; day < 11000 + 135140; day++) {
        char room[64], want[64];
        struct out out = out_of(room, sizeof room);
        time_t at = day * 86400 + 3723;
        struct tm tm;

        assert_non_null(gmtime_r(&at, &tm));
        assert_int_not_equal(
            strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S +0000", &tm), 0);
        smtp_put_date(&out, at, 0);
        assert_true(slice_eq(out_slice(&out), slice_str(want)));
    }
}

static void with_says_how_it_came(void **state)
{
    static const struct {
        bool esmtp, lmtp, tls, authenticated, utf8;
        struct slice want;
    } cases[] = {
        {false, false, false, false, false, SI("SMTP")},
        {true, false, false, false, false, SI("ESMTP")},
        {true, false, true, false, false, SI("ESMTPS")},
        {true, false, false, true, false, SI("ESMTPA")},
        {true, false, true, true, false, SI("ESMTPSA")},
        {true, true, false, false, false, SI("LMTP")},
        {true, true, true, false, false, SI("LMTPS")},
        {true, false, false, false, true, SI("UTF8SMTP")},
        {true, false, true, true, true, SI("UTF8SMTPSA")},
        {true, true, false, false, true, SI("UTF8LMTP")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smtp_trace trace = {.esmtp = cases[i].esmtp,
            .lmtp = cases[i].lmtp,
            .authenticated = cases[i].authenticated,
            .utf8 = cases[i].utf8,
            .tls = cases[i].tls ? S("TLS_AES_128_GCM_SHA256") : S("")};

        assert_true(slice_eq(smtp_protocol(&trace), cases[i].want));
    }
}

static void fields_are_printed_whole(void **state)
{
    struct smtp_trace trace = {.helo = S("client.test"),
        .peer_name = S("mail.client.test"),
        .peer_ip = S("2001:db8::1"),
        .host = S("mx.here.test"),
        .id = S("3-1a2b"),
        .tls = S("TLS_AES_128_GCM_SHA256"),
        .rcpt = S("ann@here.test"),
        .time_s = 1772445600,
        .esmtp = true};
    struct smtp_path sender = {.kind = SMTP_PATH_NULL};
    char room[1024];
    struct out out = out_of(room, sizeof room);

    (void)state;
    smtp_put_return_path(&out, &sender);
    sender.text = S("\"a b\"@c.test");
    smtp_put_return_path(&out, &sender);
    smtp_put_received(&out, &trace);
    trace = (struct smtp_trace){.peer_ip = S("192.0.2.7"),
        .host = S("mx.here.test"),
        .time_s = 1772445600,
        .zone_minutes = -60};
    smtp_put_received(&out, &trace);
    trace.peer_ip = S("");
    smtp_put_received(&out, &trace);
    assert_true(slice_eq(out_slice(&out),
        S("Return-Path: <>\r\n"
          "Return-Path: <\"a b\"@c.test>\r\n"
          "Received: from client.test (mail.client.test [IPv6:2001:db8::1])\r\n"
          "\tby mx.here.test with ESMTPS id 3-1a2b\r\n"
          "\tfor <ann@here.test>\r\n"
          "\ttls TLS_AES_128_GCM_SHA256;\r\n"
          "\tMon, 02 Mar 2026 10:00:00 +0000\r\n"
          "Received: from [192.0.2.7] ([192.0.2.7])\r\n"
          "\tby mx.here.test with SMTP;\r\n"
          "\tMon, 02 Mar 2026 09:00:00 -0100\r\n"
          "Received: from localhost\r\n"
          "\tby mx.here.test with SMTP;\r\n"
          "\tMon, 02 Mar 2026 09:00:00 -0100\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_those_of_rfc_5322),
        cmocka_unit_test(every_day_has_its_date),
        cmocka_unit_test(with_says_how_it_came),
        cmocka_unit_test(fields_are_printed_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
