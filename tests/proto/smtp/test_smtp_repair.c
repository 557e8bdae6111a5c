/* Repairs of submitted messages, whole and cut at every octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "proto/smtp/smtp.h"
#include "proto/smtp/smtp_repair.h"

#define DATE "Date: Mon, 02 Mar 2026 10:00:00 +0100\r\n"
#define ID   "Message-ID: <1-2@mx.test>\r\n"
#define FROM "From: anna@x.test\r\n"
#define ALL  "Date: d\r\nFrom: a@x\r\nMessage-ID: <m>\r\n"

static bool is_annas(void *arg, struct slice address)
{
    (void)arg;
    return slice_eq(address, S("anna@x.test")) || slice_eq(address, S("\"a b\"@x.test"));
}

static const struct smtp_repair_conf conf = {
    .user = SI("anna@x.test"),
    .id = SI("1-2"),
    .host = SI("mx.test"),
    .time_s = 1772442000,
    .zone_minutes = 60,
};

static const struct {
    const char *in, *out;
} cases[] = {
    /* whole messages pass */
    {ALL "\r\nbody\r\n", ALL "\r\nbody\r\n"},
    {ALL "Subject : x\r\n \r\n\ty: z\r\nX:\r\n\r\n\r\nBcc: b\r\n",
        ALL "Subject : x\r\n \r\n\ty: z\r\nX:\r\n\r\n\r\nBcc: b\r\n"},
    {"DATE:x\r\nfrom :y\r\nmessage-id\t: z\r\n\r\n",
        "DATE:x\r\nfrom :y\r\nmessage-id\t: z\r\n\r\n"},
    {ALL "X: a\nb\rc\r\n\r\nd", ALL "X: a\nb\rc\r\n\r\nd"},
    /* what is missing */
    {"\r\nbody\r\n", DATE FROM ID "\r\nbody\r\n"},
    {"Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n" DATE FROM ID "\r\nbody\r\n"},
    {"Date: d\r\nMessage-ID: <m>\r\n\r\nb",
        "Date: d\r\nMessage-ID: <m>\r\n" FROM "\r\nb"},
    {"Datex: d\r\nX-From: a@x\r\nFrom: a@x\r\n\r\n",
        "Datex: d\r\nX-From: a@x\r\nFrom: a@x\r\n" DATE ID "\r\n"},
    /* several authors need a Sender (RFC 5322, 3.6.2) */
    {"Date: d\r\nMessage-ID: <m>\r\nFrom: a@x, \"b, c\" <b@x>\r\n\r\n",
        "Date: d\r\nMessage-ID: <m>\r\nFrom: a@x, \"b, c\" <b@x>\r\n"
        "Sender: anna@x.test\r\n\r\n"},
    {"Date: d\r\nMessage-ID: <m>\r\nFrom: a@x,\r\n b@x\r\nSender: b@x\r\n\r\n",
        "Date: d\r\nMessage-ID: <m>\r\nFrom: a@x,\r\n b@x\r\nSender: b@x\r\n\r\n"},
    {"Date: d\r\nMessage-ID: <m>\r\nFrom: \"a, b\" <a@x> (c, d)\r\n\r\n",
        "Date: d\r\nMessage-ID: <m>\r\nFrom: \"a, b\" <a@x> (c, d)\r\n\r\n"},
    {"Date: d\r\nMessage-ID: <m>\r\nFrom: a@x\r\nFrom: b@x\r\n\r\n",
        "Date: d\r\nMessage-ID: <m>\r\nFrom: a@x\r\nFrom: b@x\r\n"
        "Sender: anna@x.test\r\n\r\n"},
    /* what goes */
    {ALL "Bcc: secret@x\r\nTo: b@x\r\n\r\n", ALL "To: b@x\r\n\r\n"},
    {ALL "bCC : a,\r\n b,\r\n\tc\r\nTo: b@x\r\n\r\n", ALL "To: b@x\r\n\r\n"},
    {"Return-Path: <a@x>\r\nResent-Bcc: b\r\n" ALL "\r\nBcc: kept\r\n",
        ALL "\r\nBcc: kept\r\n"},
    {ALL "Bccx: a\r\nX-Bcc: b\r\n\r\n", ALL "Bccx: a\r\nX-Bcc: b\r\n\r\n"},
    {ALL "Bcc: a\rb\nc\r\n\r\nd", ALL "\r\nd"},
    {"From anna Mon Mar  2 10:00:00 2026\r\n" ALL "\r\n", ALL "\r\n"},
    {">From anna Mon\r\n" ALL "\r\n", ALL "\r\n"},
    /* no empty line */
    {ALL, ALL "\r\n"},
    {ALL "X: y", ALL "X: y\r\n\r\n"},
    {"", DATE FROM ID "\r\n"},
    {ALL "Bcc: y", ALL "\r\n"},
    {ALL "hello you\r\nTo: x\r\n", ALL "\r\nhello you\r\nTo: x\r\n"},
    {"hello\r\n\r\nyou\r\n", DATE FROM ID "\r\nhello\r\n\r\nyou\r\n"},
    {"hello", DATE FROM ID "\r\nhello"},
    {" folded: x\r\n", DATE FROM ID "\r\n folded: x\r\n"},
    {ALL ": x\r\n\r\n", ALL "\r\n: x\r\n\r\n"},
    {ALL "From anna Mon: x\r\n\r\n", ALL "\r\nFrom anna Mon: x\r\n\r\n"},
    {ALL "\xc3\xa9: x\r\n", ALL "\r\n\xc3\xa9: x\r\n"},
    {ALL "a b: x\r\n", ALL "\r\na b: x\r\n"},
    /* such text is refused, but must not be mistaken */
    {ALL "\rX", ALL "\r\n\rX"},
    {ALL "\nX: y\r\n", ALL "\r\n\nX: y\r\n"},
    {ALL "\r", ALL "\r\n"},
};

/* All of `in` in pieces of `first` octets and of `rest`. */
static struct smtp_repair repair(const struct smtp_repair_conf *how, struct slice in,
    size_t first, size_t rest, struct arena *arena, struct out *out)
{
    struct smtp_repair r;
    struct slice run;

    smtp_repair_begin(&r, how, arena);
    for (size_t n = first; in.len > 0 || n == first; n = rest) {
        /* a copy of its own, so that no run outlives its piece */
        char piece[4096];
        struct slice part = slice_take(&in, n < in.len ? n : in.len);

        memcpy(piece, part.at, part.len);
        part.at = piece;
        while (smtp_repair_next(&r, &part, &run)) {
            assert_true(run.len > 0);
            out_put(out, run);
        }
        memset(piece, '#', sizeof piece);
        if (in.len == 0)
            break;
    }
    while (smtp_repair_end(&r, &run))
        out_put(out, run);
    assert_false(smtp_repair_end(&r, &run));
    return r;
}

static void check_pieces(const char *in, const char *want, size_t first, size_t rest)
{
    struct arena arena = arena_of(SMTP_REPAIR_BYTES_MAX);
    char room[4096];
    struct out out = out_of(room, sizeof room - 1);
    struct smtp_repair r = repair(&conf, slice_str(in), first, rest, &arena, &out);

    room[out.len] = 0;
    if (r.no_memory || r.denied || strcmp(room, want) != 0)
        fail_msg("%s\nat %zu, %zu:\n%s\nnot:\n%s", in, first, rest, room, want);
    arena_reset(&arena);
}

static void repairs_at_every_split(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].in);

        check_pieces(cases[i].in, cases[i].out, len, 1);
        check_pieces(cases[i].in, cases[i].out, 1, 1);
        for (size_t cut = 1; cut < len; cut++)
            check_pieces(cases[i].in, cases[i].out, cut, len);
    }
}

static void only_allowed_authors(void **state)
{
    static const struct {
        const char *from;
        bool denied;
    } froms[] = {
        {"From: anna@x.test\r\n", false},
        {"From: Anna <anna@x.test>\r\n", false},
        {"From: \"a b\"@x.test\r\n", false},
        {"From: ceo@x.test\r\n", true},
        {"From: anna@x.test, ceo@x.test\r\n", true},
        {"From: anna@x.test\r\nFrom: ceo@x.test\r\n", true},
        {"From: Friends: anna@x.test, ceo@x.test;\r\n", true},
        {"From: Friends: anna@x.test;\r\n", false},
        {"From: anna\r\n", true},
        {"From: \"anna@x.test\" <ceo@x.test>\r\n", true},
        {"From: \"anna@x.test\"@y.test\r\n", true},
        {"Subject: ceo@x.test\r\n", false},
        {"From: <anna@x.test> <ceo@x.test>\r\n", true},
        {"From: anna@x.test ceo@x.test\r\n", true},
        {"From: anna@x.test\r\n ceo@x.test\r\n", true},
        {"From: \"ceo@x.test\" <anna@x.test> (me (b@x) @)\r\n", false},
        {"From: \"\\\"\" anna@x.test, ceo@x.test\r\n", true},
    };
    struct smtp_repair_conf how = conf;

    (void)state;
    how.may_write_as = is_annas;
    for (unsigned i = 0; i < sizeof froms / sizeof *froms; i++) {
        struct arena arena = arena_of(SMTP_REPAIR_BYTES_MAX);
        char room[4096];
        struct out out = out_of(room, sizeof room);
        struct smtp_repair r = repair(&how, slice_str(froms[i].from), 7, 3, &arena, &out);

        if (r.denied != froms[i].denied)
            fail_msg("%s", froms[i].from);
        arena_reset(&arena);
    }
}

/* Names at the limit, a From that is longer than what is looked at. */
static void long_names_and_values(void **state)
{
    static char text[SMTP_REPAIR_FROM_MAX + 4096], room[sizeof text + 4096];
    struct smtp_repair_conf how = conf;

    (void)state;
    for (size_t len = SMTP_REPAIR_NAME_MAX - 1; len < SMTP_REPAIR_NAME_MAX + 2; len++) {
        struct out in = out_of(text, sizeof text), out = out_of(room, sizeof room);
        struct arena arena = arena_of(SMTP_REPAIR_BYTES_MAX);
        bool field = len <= SMTP_REPAIR_NAME_MAX;

        for (size_t i = 0; i < len; i++)
            out_byte(&in, 'n');
        out_str(&in, ": x\r\n");
        repair(&conf, out_slice(&in), 100, 100, &arena, &out);
        assert_int_equal(slice_starts_nocase(out_slice(&out), S("Date")), !field);
        arena_reset(&arena);
    }
    for (unsigned n = 0; n < 2; n++) {
        struct out in = out_of(text, sizeof text), out = out_of(room, sizeof room);
        struct arena arena = arena_of(SMTP_REPAIR_BYTES_MAX);
        size_t len = SMTP_REPAIR_FROM_MAX - 2 + n;
        struct smtp_repair r;

        out_str(&in, "From:");
        while (in.len < len - 5)
            out_byte(&in, ' ');
        out_str(&in, "anna@x.test\r\n\r\n");
        in.len = in.len > sizeof text ? sizeof text : in.len;
        how.may_write_as = is_annas;
        r = repair(&how, out_slice(&in), 4000, 4000, &arena, &out);
        assert_true(r.denied); /* it is cut: nobody knows what comes behind */
        assert_false(r.no_memory);
        assert_int_equal(memcmp(out.at, in.at, in.len - 2), 0);
        arena_reset(&arena);
    }
}

static void arena_without_room(void **state)
{
    static const char in[] = "From: a@x, b@x\r\n\r\nbody\r\n";

    (void)state;
    for (size_t limit = 0; limit < 8192; limit += 64) {
        struct arena arena = arena_of(limit);
        char room[4096];
        struct out out = out_of(room, sizeof room);
        struct smtp_repair r =
            repair(&conf, slice_of(in, sizeof in - 1), 5, 5, &arena, &out);

        assert_true(limit > 0 || r.no_memory);
        assert_true(r.no_memory || out.len > sizeof in + 60);
        arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repairs_at_every_split),
        cmocka_unit_test(only_allowed_authors),
        cmocka_unit_test(long_names_and_values),
        cmocka_unit_test(arena_without_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
