/* The parameters of the extensions that came after RFC 5321, and XCLIENT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/smtp/smtp_trace.h"
#include "proto/smtp/smtp_xclient.h"
#include "tests/proto/base/fence.h"

enum {
    NOW = 1772445600, /* 2026-03-02T10:00:00Z */
    DAY = 86400,
    ALL = (SMTP_OFFER_AUTH << 1) - 1
};

static const struct smtp_rules all = {
    .offers = ALL, .message_max = 1000, .now_s = NOW, .hold_max_s = DAY};
static const struct smtp_rules bare = {
    .offers = SMTP_OFFER_SIZE, .message_max = 1000, .now_s = NOW, .hold_max_s = DAY};

static enum smtp_reply mail(
    const struct smtp_rules *rules, const char *params, struct smtp_cmd *cmd)
{
    static struct fence fence;
    char room[400];
    struct out line = out_of(room, sizeof room);

    if (!fence.page)
        fence = fence_make();
    out_put(&line, S("MAIL FROM:<a@b.test> "));
    out_str(&line, params);
    return smtp_parse(fence_end(&fence, out_slice(&line)), rules, cmd);
}

static void bad_values(void **state)
{
    static const struct {
        const char *params;
        enum smtp_reply reply;
    } cases[] = {
        {"REQUIRETLS=", SMTP_REPLY_BAD_PARAM},
        {"REQUIRETLS=1", SMTP_REPLY_BAD_PARAM},
        {"REQUIRETLS REQUIRETLS", SMTP_REPLY_BAD_PARAM},
        {"MT-PRIORITY", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=10", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=-10", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=-0", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=+1", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=01", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=-", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=--1", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=x", SMTP_REPLY_BAD_PRIORITY},
        {"MT-PRIORITY=1 MT-PRIORITY=1", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=0", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=01", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=-1", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=86401", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=1000000000", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=18446744073709551617", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=1 HOLDFOR=1", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=1 HOLDUNTIL=2026-03-02T11:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-02T10:00:00Z", SMTP_REPLY_BAD_PARAM}, /* is now */
        {"HOLDUNTIL=2026-03-03T10:00:01Z", SMTP_REPLY_BAD_PARAM}, /* too far */
        {"HOLDUNTIL=2026-03-02T11:00:00+00:00", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-02T11:00:00", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-02-29T11:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-13-02T11:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-00-02T11:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-00T11:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-02T24:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-02T11:60:00Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-02T11:00:61Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-03-02T11:00:00.Z", SMTP_REPLY_BAD_PARAM},
        {"HOLDUNTIL=2026-3-02T11:00:00Z", SMTP_REPLY_BAD_PARAM},
        {"BY", SMTP_REPLY_BAD_PARAM},
        {"BY=", SMTP_REPLY_BAD_PARAM},
        {"BY=;N", SMTP_REPLY_BAD_PARAM},
        {"BY=10", SMTP_REPLY_BAD_PARAM},
        {"BY=10;", SMTP_REPLY_BAD_PARAM},
        {"BY=10;X", SMTP_REPLY_BAD_PARAM},
        {"BY=10;NX", SMTP_REPLY_BAD_PARAM},
        {"BY=10;NTT", SMTP_REPLY_BAD_PARAM},
        {"BY=10;T", SMTP_REPLY_BAD_PARAM},
        {"BY=0;R", SMTP_REPLY_BAD_PARAM},
        {"BY=-10;R", SMTP_REPLY_BAD_PARAM},
        {"BY=+-10;N", SMTP_REPLY_BAD_PARAM},
        {"BY=1000000000;N", SMTP_REPLY_BAD_PARAM},
        {"BY=60;N HOLDFOR=61", SMTP_REPLY_BAD_PARAM}, /* RFC 4865, 5.2.2 */
        {"HOLDFOR=61 BY=60;R", SMTP_REPLY_BAD_PARAM},
        {"HOLDFOR=61 BY=-60;N", SMTP_REPLY_BAD_PARAM},
    };
    struct smtp_cmd cmd;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (mail(&all, cases[i].params, &cmd) != cases[i].reply)
            fail_msg("%s", cases[i].params);
}

static void what_is_not_offered_is_unknown(void **state)
{
    static const char *const params[] = {"REQUIRETLS", "MT-PRIORITY=1", "HOLDFOR=1",
        "HOLDUNTIL=2026-03-02T11:00:00Z", "BY=10;N", "RET=FULL", "ENVID=x",
        "BODY=BINARYMIME", "SMTPUTF8"};
    struct smtp_cmd cmd;

    (void)state;
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        assert_int_equal(mail(&bare, params[i], &cmd), SMTP_REPLY_NO_PARAM);
        assert_int_equal(mail(&all, params[i], &cmd), SMTP_REPLY_NONE);
    }
}

static void good_values(void **state)
{
    static const struct {
        const char *params;
        struct smtp_cmd cmd; /* what is looked at of it */
    } cases[] = {
        {"requiretls", {.require_tls = true}},
        {"MT-PRIORITY=0", {0}},
        {"mt-priority=9", {.priority = 9}},
        {"MT-PRIORITY=-9", {.priority = -9}},
        {"HOLDFOR=1", {.hold_until_s = NOW + 1}},
        {"HOLDFOR=86400", {.hold_until_s = NOW + DAY}},
        {"HOLDUNTIL=2026-03-02T10:00:01Z", {.hold_until_s = NOW + 1}},
        {"holduntil=2026-03-03t10:00:00z", {.hold_until_s = NOW + DAY}},
        {"HOLDUNTIL=2026-03-02T11:00:00.25Z", {.hold_until_s = NOW + 3600}},
        {"BY=60;R", {.by_s = NOW + 60}},
        {"BY=+60;rt", {.by_s = NOW + 60, .by_trace = true}},
        {"BY=0;N", {.by_s = NOW, .by_notify = true}},
        {"by=-999999999;nT",
            {.by_s = NOW - 999999999, .by_notify = true, .by_trace = true}},
        {"BY=60;N HOLDFOR=60",
            {.by_s = NOW + 60, .by_notify = true, .hold_until_s = NOW + 60}},
    };
    struct smtp_cmd cmd;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct smtp_cmd *want = &cases[i].cmd;

        assert_int_equal(mail(&all, cases[i].params, &cmd), SMTP_REPLY_NONE);
        if (cmd.require_tls != want->require_tls || cmd.priority != want->priority ||
            cmd.hold_until_s != want->hold_until_s || cmd.by_s != want->by_s ||
            cmd.by_notify != want->by_notify || cmd.by_trace != want->by_trace)
            fail_msg("%s", cases[i].params);
    }
}

/* Every day of four centuries, and the last second of each, goes out and comes back. */
static void times_in_utc(void **state)
{
    char room[32];
    int64_t back;

    (void)state;
    for (int64_t day = 0; day < 146097; day++)
        for (int64_t second = 0; second < 2; second++) {
            struct out out = out_of(room, sizeof room);

            smtp_put_utc(&out, day * DAY + second * (DAY - 1));
            assert_int_equal(out.len, 20);
            assert_true(smtp_utc(out_slice(&out), &back));
            assert_int_equal(back, day * DAY + second * (DAY - 1));
        }
    assert_false(smtp_utc(S("1969-12-31T23:59:59Z"), &back));
    assert_false(smtp_utc(S("2026-03-02T10:00:00Zx"), &back));
    assert_true(smtp_utc(S("9999-12-31T23:59:60Z"), &back));
}

static void priority_in_the_trace(void **state)
{
    char room[600];
    struct out out = out_of(room, sizeof room);
    struct smtp_trace trace = {.helo = S("c.test"), .host = S("h.test"), .priority = -3};

    (void)state;
    smtp_put_received(&out, &trace);
    assert_true(slice_eq(out_slice(&out),
        S("Received: from c.test\r\n\tby h.test with SMTP\r\n\tPRIORITY -3;\r\n\t"
          "Thu, 01 Jan 1970 00:00:00 +0000\r\n")));
}

static void xclient(void **state)
{
    char room[400];
    struct out out = out_of(room, sizeof room);
    struct smtp_xclient x;

    (void)state;
    assert_true(smtp_xclient_parse(
        S("NAME=client.test addr=IPv6:2001:db8::1 PORT=1234  PROTO=smtp HELO=h+2Btest "
          "LOGIN=ann@x.test DESTADDR=192.0.2.1 DESTPORT=25"),
        &out, &x));
    for (unsigned i = 0; i < SMTP_XCLIENT_COUNT; i++)
        assert_true(x.given[i]);
    assert_true(slice_eq(x.value[SMTP_XCLIENT_NAME], S("client.test")));
    assert_true(x.six && slice_eq(x.value[SMTP_XCLIENT_ADDR], S("2001:db8::1")));
    assert_int_equal(x.port, 1234);
    assert_false(x.esmtp);
    assert_true(slice_eq(x.value[SMTP_XCLIENT_HELO], S("h+test")));
    assert_true(slice_eq(x.value[SMTP_XCLIENT_LOGIN], S("ann@x.test")));
    out.len = 0;
    assert_true(smtp_xclient_parse(
        S("NAME=[UNAVAILABLE] ADDR=[tempunavail] PORT=[UNAVAILABLE]"), &out, &x));
    assert_true(x.given[SMTP_XCLIENT_ADDR] && x.value[SMTP_XCLIENT_ADDR].len == 0);
    assert_true(x.esmtp && !x.given[SMTP_XCLIENT_PROTO]);
}

static void bad_xclient(void **state)
{
    static const struct slice cases[] = {SI("NAME"), SI("NAME="), SI("=x"), SI("FROB=x"),
        SI("NAME=a NAME=b"), SI("PORT=65536"), SI("PORT=x"), SI("PORT=-1"),
        SI("DESTPORT=x"), SI("PROTO=LMTP"), SI("NAME=a+"), SI("NAME=a+0Ab"),
        SI("LOGIN=a+20b"), SI("HELO=a=b"), SI("ADDR=IPV6:"), SI("HELO=\xc3\xa9")};
    char room[100];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct out out = out_of(room, sizeof room);
        struct smtp_xclient x;

        if (smtp_xclient_parse(cases[i], &out, &x))
            fail_msg("%s", cases[i].at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_values),
        cmocka_unit_test(what_is_not_offered_is_unknown),
        cmocka_unit_test(good_values),
        cmocka_unit_test(times_in_utc),
        cmocka_unit_test(priority_in_the_trace),
        cmocka_unit_test(xclient),
        cmocka_unit_test(bad_xclient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
