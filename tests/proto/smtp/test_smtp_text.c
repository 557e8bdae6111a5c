#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/smtp/smtp_text.h"
#include "tests/proto/base/fence.h"

enum { OCTETS_MAX = 2048 };

struct result {
    char bytes[OCTETS_MAX];
    struct out out;
    unsigned flaws;
    bool ended;
    size_t left; /* octets behind the end */
};

static void receive(
    struct result *r, struct slice text, size_t piece, size_t first, struct fence *fence)
{
    struct smtp_text t = {0};

    *r = (struct result){.ended = false};
    r->out = out_of(r->bytes, sizeof r->bytes);
    while (text.len && !r->ended) {
        size_t n = first ? first : piece;
        struct slice in, run;
        enum smtp_text_got got;

        n = n < text.len ? n : text.len;
        first = 0;
        in = fence_end(fence, slice_take(&text, n));
        while ((got = smtp_text_next(&t, &in, &run)) == SMTP_TEXT_RUN) {
            assert_true(run.len > 0);
            out_put(&r->out, run);
        }
        r->ended = got == SMTP_TEXT_END;
        r->left = text.len + in.len;
    }
    r->flaws = t.flaws;
}

/* The rules one octet at a time, from the RFC's words. */
static void receive_plainly(struct result *r, struct slice text)
{
    static const char end[] = "\r\n.\r\n";
    char before[2] = {'\r', '\n'};
    size_t end_at = text.len, i = 0;

    *r = (struct result){.ended = false};
    r->out = out_of(r->bytes, sizeof r->bytes);
    if (text.len >= 3 && memcmp(text.at, ".\r\n", 3) == 0) {
        end_at = 0;
        i = 3;
    }
    for (size_t k = 0; end_at == text.len && k + 5 <= text.len; k++)
        if (memcmp(text.at + k, end, 5) == 0) {
            end_at = k + 2;
            i = k + 5;
        }
    r->ended = end_at < text.len;
    r->left = r->ended ? text.len - i : 0;
    for (size_t k = 0; k < end_at; k++) {
        char c = text.at[k];
        bool at_start = before[0] == '\r' && before[1] == '\n';

        if ((c == '\n') != (before[1] == '\r'))
            r->flaws |= SCAN_BARE;
        if (c == '\0')
            r->flaws |= SCAN_NUL;
        if (c != '.' || !at_start)
            out_byte(&r->out, c);
        before[0] = at_start && c == '.' ? 'x' : before[1];
        before[1] = at_start && c == '.' ? 'x' : c;
    }
}

static void assert_same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->ended, b->ended);
    assert_int_equal(a->left, b->left);
    assert_int_equal(a->flaws, b->flaws);
    assert_true(slice_eq(out_slice(&a->out), out_slice(&b->out)));
}

static void texts_end_and_lose_their_dots(void **state)
{
    static const struct {
        struct slice text, want;
        bool ended;
        size_t left;
        unsigned flaws;
    } cases[] = {
        {SI(".\r\n"), SI(""), true, 0, 0},
        {SI(".\r\nQUIT\r\n"), SI(""), true, 6, 0},
        {SI("a\r\n.\r\n"), SI("a\r\n"), true, 0, 0},
        {SI("a\r\n.\r\n.\r\n"), SI("a\r\n"), true, 3, 0},
        {SI("..\r\n...\r\n.a\r\n.\r\n"), SI(".\r\n..\r\na\r\n"), true, 0, 0},
        {SI("a.b\r\n .\r\n.\r\n"), SI("a.b\r\n .\r\n"), true, 0, 0},
        {SI("\r\n\r\n.\r\n"), SI("\r\n\r\n"), true, 0, 0},
        {SI("a\0b\r\n.\r\n"), SI("a\0b\r\n"), true, 0, SCAN_NUL},
        /* What follows the end has no say. */
        {SI("a\r\n.\r\n\n\r\0"), SI("a\r\n"), true, 3, 0},
        {SI("a\r\n.\r\n\n.\r\n"), SI("a\r\n"), true, 4, 0},
        /* Not yet ended. */
        {SI("a\r\n."), SI("a\r\n"), false, 0, 0},
        {SI("a\r\n.\r"), SI("a\r\n"), false, 0, 0},
        {SI("a"), SI("a"), false, 0, 0},
        {SI("a\r"), SI("a\r"), false, 0, 0},
        /* A CR more in front of the end is a bare one; the end is the end. */
        {SI("a\r\r\n.\r\n"), SI("a\r\r\n"), true, 0, SCAN_BARE},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= cases[i].text.len; piece++) {
            struct result r;

            receive(&r, cases[i].text, piece, 0, &fence);
            assert_true(slice_eq(out_slice(&r.out), cases[i].want));
            assert_int_equal(r.ended, cases[i].ended);
            assert_int_equal(r.left, cases[i].left);
            assert_int_equal(r.flaws, cases[i].flaws);
        }
    fence_free(&fence);
}

/* What some server somewhere has taken for the end of a message. Here the message goes
 * on to its true end, and is refused where a bare CR or LF was what made it look so. */
static void look_alikes_of_the_end_are_text(void **state)
{
    static const struct {
        struct slice mark;
        unsigned flaws;
    } marks[] = {
        {SI("\n.\n"), SCAN_BARE},
        {SI("\n.\r\n"), SCAN_BARE},
        {SI("\r\n.\n"), SCAN_BARE},
        {SI("\r.\r"), SCAN_BARE},
        {SI("\r.\r\n"), SCAN_BARE},
        {SI("\r\n.\r"), SCAN_BARE},
        {SI("\r\r\n.\r\r\n"), SCAN_BARE},
        {SI("\r\n.\r\r\n"), SCAN_BARE},
        {SI("\n\n.\r\n"), SCAN_BARE},
        {SI("\r\n\0.\r\n"), SCAN_NUL},
        {SI("\r\n.\0\r\n"), SCAN_NUL},
        {SI("\n.\r"), SCAN_BARE},
        {SI("\r\n..\r\n"), 0},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        char room[256];
        struct out text = out_of(room, sizeof room);

        out_put(&text, S("Subject: x\r\n\r\nlast line"));
        out_put(&text, marks[i].mark);
        out_put(&text, S("MAIL FROM:<a@b.test>\r\nDATA\r\n"));
        out_put(&text, S("\r\n.\r\nQUIT\r\n"));
        for (size_t piece = 1; piece <= text.len; piece++) {
            struct result r;

            receive(&r, out_slice(&text), piece, 0, &fence);
            assert_true(r.ended);
            assert_int_equal(r.left, 6);
            assert_int_equal(r.flaws, marks[i].flaws);
        }
    }
    fence_free(&fence);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void any_text_cut_anywhere_is_the_same(void **state)
{
    static const struct slice words[] = {SI("\r\n"), SI("\r\n."), SI("."), SI("\r"),
        SI("\n"), SI("\r\n..\r\n"), SI("abcdefghijklmnopqrstuvw"), SI("x"), SI("\0"),
        SI("\r\n.\r\n")};
    struct fence fence = fence_make();
    uint32_t seed = 3;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char room[600];
        struct out text = out_of(room, sizeof room);
        uint32_t count = next_random(&seed) % 20, kinds = round % 3 ? 9 : 10;
        struct result want, got;

        while (count--)
            out_put(&text, words[next_random(&seed) % kinds]);
        out_put(&text, S("\r\n.\r\n"));
        receive_plainly(&want, out_slice(&text));
        receive(&got, out_slice(&text), 1 + next_random(&seed) % 40,
            next_random(&seed) % (text.len + 1), &fence);
        assert_same(&got, &want);
    }
    fence_free(&fence);
}

static void chunks_are_text_as_they_are(void **state)
{
    static const struct {
        struct slice text;
        unsigned flaws;
    } cases[] = {
        {SI(""), 0},
        {SI(".\r\n..\r\nQUIT\r\n.\r\n"), 0},
        {SI("no line end"), 0},
        {SI("a\r\n"), 0},
        {SI("a\r"), SCAN_BARE},
        {SI("a\n"), SCAN_BARE},
        {SI("\n"), SCAN_BARE},
        {SI("a\rb"), SCAN_BARE},
        {SI("a\0"), SCAN_NUL},
        {SI("\r\n\r\r\n"), SCAN_BARE},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= cases[i].text.len + 1; piece++) {
            struct smtp_text t = {0};
            struct slice left = cases[i].text;

            while (left.len) {
                size_t n = piece < left.len ? piece : left.len;

                smtp_text_chunk(&t, fence_end(&fence, slice_take(&left, n)));
                smtp_text_chunk(&t, S(""));
            }
            smtp_text_chunk_end(&t);
            assert_int_equal(t.flaws, cases[i].flaws);
        }
    fence_free(&fence);
}

static void headers_are_counted_to_their_end(void **state)
{
    static const struct {
        struct slice text;
        unsigned received, fields;
        bool ended;
    } cases[] = {
        {SI(""), 0, 0, false},
        {SI("Received: a\r\nreceived:b\r\nRECEIVED :c\r\n\r\nReceived: d\r\n"), 3, 0,
            true},
        {SI("Received: a\r\n Received: b\r\n\tReceived: c\r\n"), 1, 0, false},
        {SI("X-Received: a\r\nReceived-SPF: b\r\nReceive: c\r\nReceived\r\n\r\n"), 0, 0,
            true},
        {SI("Date: x\r\nMessage-ID:y\r\nFrom: z\r\nReturn-Path: <>\r\n\r\n"), 0,
            SMTP_FIELD_DATE | SMTP_FIELD_FROM | SMTP_FIELD_MESSAGE_ID |
                SMTP_FIELD_RETURN_PATH,
            true},
        {SI("Message-Identity: a\r\nDated: x\r\nDat: y\r\nResent-Date: z\r\n"), 0, 0,
            false},
        {SI("\r\nReceived: a\r\n"), 0, 0, true},
        {SI("X: y\r\n\rReceived: a\r\nReceived: b\r\n"), 1, 0, false},
        {SI(": a\r\nReceived: b\r\n"), 1, 0, false},
        {SI("no field at all\r\nReceived: b\r\n \r\nReceived: c\r\n"), 2, 0, false},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= cases[i].text.len + 1; piece++) {
            struct smtp_header_watch watch = {0};
            struct slice left = cases[i].text;

            while (left.len) {
                size_t n = piece < left.len ? piece : left.len;

                smtp_header_watch(&watch, fence_end(&fence, slice_take(&left, n)));
            }
            assert_int_equal(watch.received, cases[i].received);
            assert_int_equal(watch.fields, cases[i].fields);
            assert_int_equal(watch.ended, cases[i].ended);
        }
    fence_free(&fence);
}

static void tls_required(void **state)
{
    static const struct {
        struct slice text;
        bool optional;
    } cases[] = {
        {SI("TLS-Required: No\r\n\r\n"), true},
        {SI("tls-required:no\r\n"), true},
        {SI("TLS-Required:\r\n\tNO \r\nX: y\r\n\r\n"), true},
        {SI("A: b\r\nTLS-Required: No"), true},
        {SI("TLS-Required: Yes\r\nTLS-Required: No\r\n\r\n"), true},
        {SI("TLS-Required: \r\n\r\nNo\r\n"), false},
        {SI("TLS-Required: Nope\r\n\r\n"), false},
        {SI("TLS-Required: N o\r\n\r\n"), false},
        {SI("TLS-Required: N\r\n o\r\n\r\n"), false},
        {SI("TLS-Required: No\r\n thanks\r\n\r\n"), false},
        {SI("TLS-Required: no, not\r\n\r\n"), false},
        {SI("TLS-Required2: No\r\nX-TLS-Required: No\r\nTLS-Require: No\r\n"), false},
        {SI("Subject: x\r\n TLS-Required: No\r\n\r\nTLS-Required: No\r\n"), false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= cases[i].text.len; piece++) {
            struct smtp_header_watch watch = {0};
            struct slice left = cases[i].text;
            size_t header = 0;

            while (left.len)
                header += smtp_header_watch(
                    &watch, slice_take(&left, piece < left.len ? piece : left.len));
            assert_int_equal(smtp_header_tls_optional(&watch), cases[i].optional);
            if (!watch.ended)
                assert_int_equal(header, cases[i].text.len);
            else
                assert_memory_equal(cases[i].text.at + header - 4, "\r\n\r\n", 4);
        }
    assert_false(smtp_has_8bit(S("")));
    assert_false(smtp_has_8bit(S("\x7f\1 plain text that is long enough for a vector")));
    assert_true(smtp_has_8bit(S("text that is long enough for a vector, and then \x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_end_and_lose_their_dots),
        cmocka_unit_test(look_alikes_of_the_end_are_text),
        cmocka_unit_test(any_text_cut_anywhere_is_the_same),
        cmocka_unit_test(chunks_are_text_as_they_are),
        cmocka_unit_test(headers_are_counted_to_their_end),
        cmocka_unit_test(tls_required),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
