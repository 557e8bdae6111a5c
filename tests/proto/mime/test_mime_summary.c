#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "proto/mime/summary.h"
#include "tests/proto/mime/wire_check.h"

enum { ARENA_MAX = 32 << 20 };

#define HEAD     "From: ann@a.test\r\nSubject: s\r\n"
#define ANN      "((NIL NIL \"ann\" \"a.test\"))"
#define ENVELOPE "(NIL \"s\" " ANN " " ANN " " ANN " NIL NIL NIL NIL NIL)"
#define PLAIN    "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "

struct message_case {
    const char *what;
    struct slice message, envelope, bodystructure;
};

static const struct message_case cases[] = {
    {"nothing", SI(""), SI("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        SI("(" PLAIN "0 0 NIL NIL NIL NIL)")},
    {"an empty line", SI("\r\n"), SI("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        SI("(" PLAIN "0 0 NIL NIL NIL NIL)")},
    {"plain text", SI(HEAD "\r\nhello\r\nyou\r\n"), SI(ENVELOPE),
        SI("(" PLAIN "12 2 NIL NIL NIL NIL)")},
    {"lines that end in LF", SI("From: ann@a.test\nSubject: s\n\nhello\n"), SI(ENVELOPE),
        SI("(" PLAIN "6 1 NIL NIL NIL NIL)")},
    {"no body", SI(HEAD), SI(ENVELOPE), SI("(" PLAIN "0 0 NIL NIL NIL NIL)")},
    {"all of an envelope",
        SI("Date: Tue, 5 Mar 2024 10:11:12 +0000\r\nSubject: a\r\n \tb\r\n"
           "From: \"A. B\" <@r.test,@s.test:a@b.test>\r\nSender: s@b.test (Sam)\r\n"
           "Reply-To: r@b.test\r\nTo: x@y.test, G: m@n.test;\r\nTo: z@y.test\r\n"
           "Cc: c@d.test\r\nBcc: Empty:;\r\nIn-Reply-To: <i@b>\r\nMessage-ID: <m@b>\r\n"
           "\r\n"),
        SI("(\"Tue, 5 Mar 2024 10:11:12 +0000\" \"a b\" "
           "((\"A. B\" \"@r.test,@s.test\" \"a\" \"b.test\")) "
           "((\"Sam\" NIL \"s\" \"b.test\")) ((NIL NIL \"r\" \"b.test\")) "
           "((NIL NIL \"x\" \"y.test\")(NIL NIL \"G\" NIL)(NIL NIL \"m\" \"n.test\")"
           "(NIL NIL NIL NIL)(NIL NIL \"z\" \"y.test\")) ((NIL NIL \"c\" \"d.test\")) "
           "((NIL NIL \"Empty\" NIL)(NIL NIL NIL NIL)) \"<i@b>\" \"<m@b>\")"),
        SI("(" PLAIN "0 0 NIL NIL NIL NIL)")},
    {"strings that must be quoted or literal",
        SI("Subject: a \"b\\c\"\r\nFrom: =?utf-8?Q?x?= <\xc3\xa9@b>\r\n\r\n"),
        SI("(NIL \"a \\\"b\\\\c\\\"\" ((\"=?utf-8?Q?x?=\" NIL {2}\r\n\xc3\xa9 \"b\")) "
           "((\"=?utf-8?Q?x?=\" NIL {2}\r\n\xc3\xa9 \"b\")) "
           "((\"=?utf-8?Q?x?=\" NIL {2}\r\n\xc3\xa9 \"b\")) NIL NIL NIL NIL NIL)"),
        SI("(" PLAIN "0 0 NIL NIL NIL NIL)")},
    {"NUL and a lone CR never get out", SI("Subject: a\0b\rc\r\n\r\n"),
        SI("(NIL \"a?b c\" NIL NIL NIL NIL NIL NIL NIL NIL)"),
        SI("(" PLAIN "0 0 NIL NIL NIL NIL)")},
    {"all Content fields",
        SI("Content-Type: IMAGE/PNG; name=\"a b\"; x=y\r\nContent-ID: <c@d>\r\n"
           "Content-Description: it\r\nContent-Transfer-Encoding: BASE64 (c)\r\n"
           "Content-MD5: abc=\r\nContent-Disposition: attachment; filename=f\r\n"
           "Content-Language: en, de\r\nContent-Location: "
           "http://l.test/\r\n\r\nAAAA\r\n"),
        SI("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        SI("(\"IMAGE\" \"PNG\" (\"name\" \"a b\" \"x\" \"y\") \"<c@d>\" \"it\" "
           "\"BASE64\" "
           "6 \"abc=\" (\"attachment\" (\"filename\" \"f\")) (\"en\" \"de\") "
           "\"http://l.test/\")")},
    {"continuations are joined (RFC 2231)",
        SI("Content-Type: a/b; n*1=two; n*0=\"one \"; e*0*=utf-8'en'%41; e*1=\"b%\";\r\n"
           " gap*0=x; gap*2=z; u*=utf-8''%42\r\n\r\n"),
        SI("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        SI("(\"a\" \"b\" (\"e*\" \"utf-8'en'%41b%25\" \"gap\" \"x\" \"n\" \"one two\" "
           "\"u*\" \"utf-8''%42\") NIL NIL \"7bit\" 0 NIL NIL NIL NIL)")},
    {"an invalid type is text", SI("Content-Type: text\r\n\r\nx"),
        SI("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        SI("(" PLAIN "1 0 NIL NIL NIL NIL)")},
    {"two parts, preamble and epilogue",
        SI(HEAD "Content-Type: multipart/mixed; boundary=x\r\n\r\nbefore\r\n--x\r\n\r\n"
                "one\r\n--x \t\r\nContent-Type: a/b\r\n\r\ntwo\r\n\r\n--x--\r\nafter\r\n"
                "--x\r\nno part\r\n"),
        SI(ENVELOPE),
        SI("((" PLAIN
           "3 0 NIL NIL NIL NIL)(\"a\" \"b\" NIL NIL NIL \"7bit\" 5 NIL NIL NIL "
           "NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"no close delimiter, no line end",
        SI(HEAD "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none"),
        SI(ENVELOPE),
        SI("((" PLAIN
           "3 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"a multipart without parts",
        SI(HEAD "Content-Type: multipart/mixed; boundary=x\r\n\r\nnothing\r\n"),
        SI(ENVELOPE),
        SI("((" PLAIN
           "0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"a part without a body, and one without a header",
        SI(HEAD "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: "
                "a/b\r\n--x\r\n--x--"),
        SI(ENVELOPE),
        SI("((\"a\" \"b\" NIL NIL NIL \"7bit\" 0 NIL NIL NIL NIL)(" PLAIN
           "0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"a boundary that begins another",
        SI(HEAD
            "Content-Type: multipart/a; boundary=x\r\n\r\n--x\r\n"
            "Content-Type: multipart/b; boundary=xy\r\n\r\n--xy\r\n\r\n1\r\n--xy--\r\n"
            "--x\r\n\r\n2\r\n--x--\r\n"),
        SI(ENVELOPE),
        SI("(((" PLAIN
           "1 0 NIL NIL NIL NIL) \"b\" (\"boundary\" \"xy\") NIL NIL NIL)(" PLAIN
           "1 0 NIL NIL NIL NIL) \"a\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"an outer boundary ends everything inside",
        SI(HEAD "Content-Type: multipart/a; boundary=x\r\n\r\n--x\r\n"
                "Content-Type: multipart/b; boundary=y\r\n\r\n--y\r\n\r\n1\r\n"
                "--x\r\n\r\n2\r\n--x--\r\n"),
        SI(ENVELOPE),
        SI("(((" PLAIN
           "1 0 NIL NIL NIL NIL) \"b\" (\"boundary\" \"y\") NIL NIL NIL)(" PLAIN
           "1 0 NIL NIL NIL NIL) \"a\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"an extended boundary (RFC 2231)",
        SI(HEAD "Content-Type: multipart/a; boundary*=us-ascii''%78\r\n\r\n--x\r\n\r\n1"),
        SI(ENVELOPE),
        SI("((" PLAIN
           "1 0 NIL NIL NIL NIL) \"a\" (\"boundary*\" \"us-ascii''%78\") NIL NIL "
           "NIL)")},
    {"a message within a message",
        SI(HEAD "Content-Type: message/rfc822\r\n\r\n" HEAD "\r\nin\r\n"), SI(ENVELOPE),
        SI("(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 36 " ENVELOPE " (" PLAIN
           "4 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)")},
    {"a digest",
        SI(HEAD "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n" HEAD
                "\r\nin\r\n--x\r\nContent-Type: text/plain\r\n\r\nt\r\n--x--\r\n"),
        SI(ENVELOPE),
        SI("((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 34 " ENVELOPE " (" PLAIN
           "2 0 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)(" PLAIN
           "1 0 NIL NIL NIL NIL) \"digest\" (\"boundary\" \"x\") NIL NIL NIL)")},
    {"message/global, cut off in its header",
        SI(HEAD "Content-Type: multipart/a; boundary=x\r\n\r\n--x\r\nContent-Type: "
                "message/global\r\n\r\nSubject: s\r\n--x--\r\n"),
        SI(ENVELOPE),
        SI("((\"message\" \"global\" NIL NIL NIL \"7bit\" 10 (NIL \"s\" NIL NIL NIL NIL "
           "NIL "
           "NIL NIL NIL) (" PLAIN "0 0 NIL NIL NIL NIL) 0 NIL NIL NIL NIL) \"a\" "
           "(\"boundary\" \"x\") NIL NIL NIL)")},
};

enum { CASES = sizeof cases / sizeof cases[0] };

/* The encoded summary of `message` fed in two pieces, the second in steps. */
static struct slice summarize(
    struct arena *arena, struct slice message, size_t first, size_t step)
{
    struct summary_builder *b = summary_begin(arena, &summary_defaults);

    if (!b)
        return slice_of(NULL, 0);
    summary_feed(b, slice_take(&message, first));
    while (message.len)
        summary_feed(b, slice_take(&message, step < message.len ? step : message.len));
    return summary_end(b);
}

static void assert_slice(struct slice got, struct slice want)
{
    if (!slice_eq(got, want))
        fail_msg("got %.*s\nwant %.*s", (int)got.len, got.at, (int)want.len, want.at);
}

static void renders_what_imap_sends(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct arena arena = arena_of(ARENA_MAX);
        struct summary s;

        print_message("%s\n", cases[i].what);
        assert_true(summary_open(
            summarize(&arena, cases[i].message, cases[i].message.len, 1), &s));
        assert_slice(s.envelope, cases[i].envelope);
        assert_slice(s.bodystructure, cases[i].bodystructure);
        assert_true(wire_is_list(s.body) && wire_is_list(s.bodystructure));
        assert_true(s.body.len < s.bodystructure.len);
        assert_int_equal(s.size, cases[i].message.len);
        arena_reset(&arena);
    }
}

static void same_summary_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct slice message = cases[i].message;
        struct arena whole = arena_of(ARENA_MAX);
        struct slice want = summarize(&whole, message, message.len, 1);

        for (size_t cut = 0; cut <= message.len; cut++) {
            struct arena arena = arena_of(ARENA_MAX);
            struct slice got = summarize(&arena, message, cut, message.len + 1);

            assert_slice(got, want);
            arena_reset(&arena);
            assert_slice(summarize(&arena, message, cut, 1), want);
            arena_reset(&arena);
        }
        arena_reset(&whole);
    }
}

/* As if they had been there from the start. */
static void fields_in_front_count_as_the_rest(void **state)
{
    static const struct slice fronts[] = {SI(""), SI("X-Spam: no\r\n"),
        SI("Return-Path: <a@x>\r\nAuthentication-Results: mx;\r\n\tspf=pass\r\n"),
        SI(".\xff: \0\r\n")};

    (void)state;
    for (size_t i = 0; i < CASES; i++)
        for (size_t f = 0; f < sizeof fronts / sizeof fronts[0]; f++) {
            struct slice message = cases[i].message, front = fronts[f];
            struct arena arena = arena_of(ARENA_MAX), whole = arena_of(ARENA_MAX);
            struct summary_builder *b = summary_begin(&arena, &summary_defaults);
            char *both = malloc(front.len + message.len);

            memcpy(both, front.at, front.len);
            memcpy(both + front.len, message.at, message.len);
            summary_feed(b, message);
            assert_true(summary_front(b, front));
            assert_slice(summary_end(b),
                summarize(&whole, slice_of(both, front.len + message.len), 0, 1000));
            free(both);
            arena_reset(&arena);
            arena_reset(&whole);
        }
}

static void fields_in_front_may_need_a_look_at_the_whole(void **state)
{
    static const struct slice fronts[] = {SI("Subject: new\r\n"),
        SI("X: y\r\ndate : z\r\n"), SI("X: y"), SI("X: y\r\n\r\n"),
        SI("content-type: a/b\n"), SI("\r\n")};

    (void)state;
    for (size_t f = 0; f < sizeof fronts / sizeof fronts[0]; f++) {
        struct arena arena = arena_of(ARENA_MAX);
        struct summary_builder *b = summary_begin(&arena, &summary_defaults);

        summary_feed(b, cases[0].message);
        assert_false(summary_front(b, fronts[f]));
        arena_reset(&arena);
    }
}

/* Whatever allocation fails, the answer is "too small" or the whole summary. */
static void full_arena_is_an_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct arena whole = arena_of(ARENA_MAX);
        struct slice want = summarize(&whole, cases[i].message, cases[i].message.len, 1);
        unsigned refused = 0;

        for (size_t limit = 0;; limit += 64) {
            struct arena arena = arena_of(limit);
            struct slice got =
                summarize(&arena, cases[i].message, cases[i].message.len, 1);
            bool done = got.at != NULL;

            if (done)
                assert_slice(got, want);
            refused += !done;
            arena_reset(&arena);
            if (done)
                break;
        }
        assert_true(refused > 10);
        arena_reset(&whole);
    }
}

/* --- sections --------------------------------------------------------------------- */

#define INNER                                                            \
    "Subject: in\r\nContent-Type: multipart/i; boundary=y\r\n\r\n"       \
    "--y\r\n\r\na\r\n--y\r\nContent-Type: text/html; charset=latin1\r\n" \
    "Content-Transfer-Encoding: base64\r\n\r\nYg==\r\n--y--"

static const struct slice nested = SI(
    HEAD "Content-Type: multipart/o; boundary=x\r\n\r\n--x\r\nX: 1\r\n\r\none\r\n--x\r\n"
         "Content-Type: message/rfc822\r\n\r\n" INNER "\r\n--x\r\n"
         "Content-Type: message/rfc822\r\n\r\n" HEAD "\r\nplain\r\n\r\n--x--\r\n");

struct section_case {
    uint32_t path[4];
    unsigned count;
    enum section_part part;
    const char *want; /* NULL: no such section */
};

static const struct section_case sections[] = {
    {{0}, 0, SECTION_HEADER, HEAD "Content-Type: multipart/o; boundary=x\r\n\r\n"},
    {{0}, 0, SECTION_MIME, NULL},
    {{1}, 1, SECTION_ALL, "one"},
    {{1}, 1, SECTION_MIME, "X: 1\r\n\r\n"},
    {{1}, 1, SECTION_HEADER, NULL},
    {{1}, 1, SECTION_TEXT, NULL},
    {{1, 1}, 2, SECTION_ALL, NULL},
    {{2}, 1, SECTION_ALL, INNER},
    {{2}, 1, SECTION_MIME, "Content-Type: message/rfc822\r\n\r\n"},
    {{2}, 1, SECTION_HEADER,
        "Subject: in\r\nContent-Type: multipart/i; boundary=y\r\n\r\n"},
    {{2, 1}, 2, SECTION_ALL, "a"},
    {{2, 1}, 2, SECTION_MIME, "\r\n"},
    {{2, 2}, 2, SECTION_ALL, "Yg=="},
    {{2, 3}, 2, SECTION_ALL, NULL},
    {{2, 0}, 2, SECTION_ALL, NULL},
    {{3}, 1, SECTION_TEXT, "plain\r\n"},
    {{3, 1}, 2, SECTION_ALL, "plain\r\n"},
    {{3, 1}, 2, SECTION_MIME, HEAD "\r\n"},
    {{3, 1, 1}, 3, SECTION_ALL, NULL},
    {{3, 2}, 2, SECTION_ALL, NULL},
    {{4}, 1, SECTION_ALL, NULL},
    {{UINT32_MAX}, 1, SECTION_ALL, NULL},
};

static void sections_are_where_rfc3501_says(void **state)
{
    struct arena arena = arena_of(ARENA_MAX);
    struct summary s;

    (void)state;
    assert_true(summary_open(summarize(&arena, nested, nested.len, 1), &s));
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        const struct section_case *c = &sections[i];
        struct range r;

        if (!c->want) {
            assert_false(summary_section(&s, c->path, c->count, c->part, &r));
            continue;
        }
        assert_true(summary_section(&s, c->path, c->count, c->part, &r));
        assert_slice(slice_of(nested.at + r.at, r.len), slice_str(c->want));
    }
    arena_reset(&arena);
}

static void part_1_of_a_plain_message_is_its_body(void **state)
{
    struct slice message = S(HEAD "\r\nbody");
    struct arena arena = arena_of(ARENA_MAX);
    struct summary s;
    struct range r;

    (void)state;
    assert_true(summary_open(summarize(&arena, message, message.len, 1), &s));
    assert_true(summary_section(&s, (uint32_t[]){1}, 1, SECTION_ALL, &r));
    assert_slice(slice_of(message.at + r.at, r.len), S("body"));
    assert_true(summary_section(&s, NULL, 0, SECTION_TEXT, &r));
    assert_slice(slice_of(message.at + r.at, r.len), S("body"));
    assert_true(summary_section(&s, NULL, 0, SECTION_ALL, &r));
    assert_int_equal(r.len, message.len);
    assert_false(summary_section(&s, (uint32_t[]){2}, 1, SECTION_ALL, &r));
    arena_reset(&arena);
}

static void leaves_come_in_message_order(void **state)
{
    static const struct {
        const char *body, *charset;
        char encoding;
        bool text;
    } want[] = {{"", "", '7', false}, {"one", "", '7', true}, {"", "", '7', true},
        {"", "", '7', false}, {"a", "", '7', true}, {"Yg==", "latin1", 'b', true},
        {"", "", '7', true}, {"plain\r\n", "", '7', true}};
    struct arena arena = arena_of(ARENA_MAX);
    struct summary_leaf leaf;
    struct summary s;
    unsigned i;

    (void)state;
    assert_true(summary_open(summarize(&arena, nested, nested.len, 1), &s));
    for (i = 0; summary_leaf_at(&s, i, &leaf); i++) {
        assert_slice(
            slice_of(nested.at + leaf.body.at, leaf.body.len), slice_str(want[i].body));
        assert_slice(leaf.charset, slice_str(want[i].charset));
        assert_int_equal(leaf.encoding, want[i].encoding);
        assert_int_equal(leaf.text, want[i].text);
        assert_int_equal(leaf.body.at, leaf.header.at + leaf.header.len);
    }
    assert_int_equal(i, sizeof want / sizeof want[0]);
    assert_true(summary_part(&s, (uint32_t[]){2, 2}, 2, &leaf));
    assert_int_equal(leaf.encoding, 'b');
    assert_false(summary_part(&s, (uint32_t[]){5}, 1, &leaf));
    arena_reset(&arena);
}

/* --- counts ------------------------------------------------------------------------- */

static void counts_are_of_the_whole_message(void **state)
{
    static const struct {
        struct slice message;
        uint64_t header_bytes;
        uint32_t lines, body_lines;
        bool has_8bit, has_nul, has_dot_line, ends_with_crlf;
    } want[] = {
        {SI(""), 0, 0, 0, false, false, false, false},
        {SI("A: b\r\n\r\n.x\r\n"), 8, 3, 1, false, false, true, true},
        {SI("A: b\r\n\r\nx.\n..\n"), 8, 4, 2, false, false, true, false},
        {SI("A: b\r\n\r\nx.y\r\n z"), 8, 3, 1, false, false, false, false},
        {SI("A: \xe9\r\n\r\n"), 8, 2, 0, true, false, false, true},
        {SI("A: b\r\n\r\n0123456789abcdef\0"), 8, 2, 0, false, true, false, false},
        {SI("A: b\r\n\r\n0123456789abcd\r\n.0123456789abcdef\r\n"), 8, 4, 2, false, false,
            true, true},
        {SI(".A: b\r\n"), 7, 1, 0, false, false, true, true},
        {SI("A: b\n\nx\xff"), 6, 2, 0, true, false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        for (size_t cut = 0; cut <= want[i].message.len; cut++) {
            struct arena arena = arena_of(ARENA_MAX);
            struct summary s;

            assert_true(
                summary_open(summarize(&arena, want[i].message, cut, SIZE_MAX), &s));
            assert_int_equal(s.header_bytes, want[i].header_bytes);
            assert_int_equal(s.lines, want[i].lines);
            assert_int_equal(s.body_lines, want[i].body_lines);
            assert_int_equal(s.has_8bit, want[i].has_8bit);
            assert_int_equal(s.has_nul, want[i].has_nul);
            assert_int_equal(s.has_dot_line, want[i].has_dot_line);
            assert_int_equal(s.ends_with_crlf, want[i].ends_with_crlf);
            arena_reset(&arena);
        }
    }
}

static void date_is_kept_in_seconds_and_days(void **state)
{
    static const struct {
        struct slice message;
        int64_t utc;
        int32_t day;
    } want[] = {
        {SI("Date: Thu, 1 Jan 1970 00:30:00 +0100\r\n\r\n"), -1800, 0},
        {SI("Date: Wed, 31 Dec 1969 23:30:00 -0100\r\n\r\n"), 1800, -1},
        {SI("Date: nonsense\r\n\r\n"), INT64_MIN, 0},
        {SI("Subject: x\r\n\r\nDate: Thu, 1 Jan 1970 00:30:00 +0100\r\n"), INT64_MIN, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        struct arena arena = arena_of(ARENA_MAX);
        struct summary s;

        assert_true(summary_open(summarize(&arena, want[i].message, 0, 1), &s));
        assert_true(s.sent_utc == want[i].utc);
        assert_int_equal(s.sent_day, want[i].day);
        arena_reset(&arena);
    }
}

/* --- damaged blobs ---------------------------------------------------------------------
 */

/* Whatever octet is wrong, offsets given out stay within the message, and slices
 * within the blob. */
static void damaged_blob_stays_within_bounds(void **state)
{
    struct arena arena = arena_of(ARENA_MAX);
    struct slice blob = summarize(&arena, nested, nested.len, 1);
    char *copy = malloc(blob.len);

    (void)state;
    assert_non_null(copy);
    for (size_t i = 0; i < blob.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct summary_leaf leaf;
            struct summary s;

            memcpy(copy, blob.at, blob.len);
            copy[i] = (char)(copy[i] ^ 1 << bit);
            if (!summary_open(slice_of(copy, blob.len), &s))
                continue;
            for (unsigned k = 0; summary_leaf_at(&s, k, &leaf); k++)
                assert_true(leaf.body.at + leaf.body.len <= s.size);
            for (size_t k = 0; k < sizeof sections / sizeof sections[0]; k++) {
                struct range r = {0, 0};

                summary_section(
                    &s, sections[k].path, sections[k].count, sections[k].part, &r);
                assert_true(r.at + r.len <= s.size);
            }
        }
    }
    for (size_t len = 0; len < blob.len; len++) {
        struct summary s;

        assert_false(summary_open(slice_of(blob.at, len), &s));
    }
    free(copy);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_what_imap_sends),
        cmocka_unit_test(same_summary_at_every_split),
        cmocka_unit_test(fields_in_front_count_as_the_rest),
        cmocka_unit_test(fields_in_front_may_need_a_look_at_the_whole),
        cmocka_unit_test(full_arena_is_an_answer),
        cmocka_unit_test(sections_are_where_rfc3501_says),
        cmocka_unit_test(part_1_of_a_plain_message_is_its_body),
        cmocka_unit_test(leaves_come_in_message_order),
        cmocka_unit_test(counts_are_of_the_whole_message),
        cmocka_unit_test(date_is_kept_in_seconds_and_days),
        cmocka_unit_test(damaged_blob_stays_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
