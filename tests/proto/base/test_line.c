#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/line.h"
#include "tests/proto/base/fence.h"

static const struct line_limits limits = {16, 24};

/* What a stream is cut into: one letter for each result, and the lines behind it. */
struct log {
    char bytes[512];
    struct out out;
};

static void note(struct log *log, enum line_cut cut, struct slice line)
{
    out_byte(&log->out, "mdbnlf"[cut]);
    if (cut == LINE_DONE || cut == LINE_BARE || cut == LINE_NUL)
        out_put(&log->out, line);
    out_byte(&log->out, '|');
}

/* Feeds `text` in pieces to a cutter whose window ends at the end of memory. */
static void cut_all(struct log *log, struct slice text, size_t piece, struct fence *fence)
{
    struct line_cutter cutter = {0};
    struct slice window = {text.at, 0};

    log->out = out_of(log->bytes, sizeof log->bytes);
    while (text.len) {
        size_t n = piece < text.len ? piece : text.len;
        enum line_cut cut;

        window.len += n;
        slice_take(&text, n);
        do {
            struct slice in = fence_end(fence, window), line = {NULL, 0};
            size_t before = in.len;

            cut = line_cut(&cutter, &in, limits, &line);
            slice_take(&window, before - in.len);
            if (cut != LINE_MORE)
                note(log, cut, line);
            if (cut == LINE_FLOOD)
                return;
        } while (cut != LINE_MORE);
    }
}

static void same_lines_however_they_are_cut(void **state)
{
    static const struct {
        struct slice text, want;
    } cases[] = {
        {SI("NOOP\r\nQUIT\r\n"), SI("dNOOP|dQUIT|")},
        {SI("\r\n\r\n"), SI("d|d|")},
        {SI("NOOP\rQUIT\r\n"), SI("bNOOP\rQUIT|")},
        {SI("NOOP\nQUIT\r\n"), SI("bNOOP\nQUIT|")},
        {SI("\n\r\n"), SI("b\n|")},
        {SI("a\r\r\nb\r\n"), SI("ba\r|db|")},
        {SI("a\0b\r\nc\r\n"), SI("na\0b|dc|")},
        {SI("a\0\r\r\n"), SI("ba\0\r|")},
        {SI("no end"), SI("")},
        {SI("no end\r"), SI("")},
        /* 14 octets and CR LF are 16; 15 and CR LF are not. */
        {SI("12345678901234\r\nx\r\n"), SI("d12345678901234|dx|")},
        {SI("123456789012345\r\nx\r\n"), SI("l|dx|")},
        {SI("1234567890123456\r\nx\r\n"), SI("l|dx|")},
        {SI("123456789012345\r123\r\nx\r\n"), SI("l|dx|")},
        {SI("12345678901234567890\r\r\nx\r\n"), SI("l|dx|")},
        {SI("12345678901234567890\n\nQUIT\n\r\nx\r\n"), SI("l|dx|")},
        /* Twice. */
        {SI("12345678901234567890\r\n12345678901234567890\r\nx\r\n"), SI("l|l|dx|")},
        /* 16 + 24 octets with CR LF at the end are dropped, one more is a flood. */
        {SI("1234567890123456"
            "1234567890123456789012\r\nx\r\n"),
            SI("l|dx|")},
        {SI("1234567890123456"
            "12345678901234567890123\r\nx\r\n"),
            SI("l|f|")},
        {SI("123456789012345\r"
            "12345678901234567890123\r\nx\r\n"),
            SI("l|f|")},
        {SI("1234567890123456"
            "123456789012345678901234567890"),
            SI("l|f|")},
    };
    struct fence fence = fence_make();
    struct log log;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= cases[i].text.len; piece++) {
            cut_all(&log, cases[i].text, piece, &fence);
            assert_int_equal(log.out.len, cases[i].want.len);
            assert_memory_equal(log.bytes, cases[i].want.at, cases[i].want.len);
        }
    fence_free(&fence);
}

/* A sender of single octets must not cost a search of the whole line for each. */
static void searched_octets_are_not_searched_again(void **state)
{
    static char text[4000];
    struct line_cutter cutter = {0};
    struct line_limits wide = {sizeof text + 2, 10};

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t n = 1; n <= sizeof text; n++) {
        struct slice in = {text, n}, line;

        assert_int_equal(line_cut(&cutter, &in, wide, &line), LINE_MORE);
        assert_int_equal(cutter.seen, n);
        assert_int_equal(in.len, n);
    }
}

static void an_overlong_line_leaves_nothing_to_keep(void **state)
{
    static char text[4000];
    struct line_cutter cutter = {0};
    struct slice in = {text, sizeof text}, line;

    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(
        line_cut(&cutter, &in, (struct line_limits){100, 8000}, &line), LINE_LONG);
    assert_int_equal(
        line_cut(&cutter, &in, (struct line_limits){100, 8000}, &line), LINE_MORE);
    assert_int_equal(in.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_lines_however_they_are_cut),
        cmocka_unit_test(searched_octets_are_not_searched_again),
        cmocka_unit_test(an_overlong_line_leaves_nothing_to_keep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
