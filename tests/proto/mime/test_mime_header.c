#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mime/header.h"

static void assert_slice(struct slice got, struct slice want)
{
    if (!slice_eq(got, want))
        fail_msg("got %.*s\nwant %.*s", (int)got.len, got.at, (int)want.len, want.at);
}

#define BLOCK                                                                         \
    "From: ann\r\nSubject \t: a\r\n b\r\n\tc\r\nno colon here\r\nX-Empty:\r\nTo: x\n" \
    "from: bob\r\n: no name\r\n"

static void fields_are_cut_whole(void **state)
{
    static const struct {
        struct slice name, value;
    } want[] = {
        {SI("From"), SI(" ann\r\n")},
        {SI("Subject"), SI(" a\r\n b\r\n\tc\r\n")},
        {SI("no colon here"), SI("")},
        {SI("X-Empty"), SI("\r\n")},
        {SI("To"), SI(" x\n")},
        {SI("from"), SI(" bob\r\n")},
        {SI(""), SI(" no name\r\n")},
    };
    struct slice block = S(BLOCK "\r\nbody: no field\r\n");
    const char *at = block.at;
    struct header_field field;
    size_t n = 0;

    (void)state;
    for (; header_next(&block, &field); n++) {
        assert_slice(field.name, want[n].name);
        assert_slice(field.value, want[n].value);
        assert_ptr_equal(field.whole.at, at);
        at += field.whole.len;
    }
    assert_int_equal(n, sizeof want / sizeof want[0]);
    assert_true(header_find(S(BLOCK), S("FROM"), &block));
    assert_slice(block, S(" ann\r\n"));
    assert_false(header_find(S(BLOCK), S("body"), &block));
    assert_false(header_find(S(""), S("From"), &block));
}

static void values_are_unfolded(void **state)
{
    static const struct {
        struct slice value, strict, tidy;
    } cases[] = {
        {SI(" a\r\n"), SI("a"), SI("a")},
        {SI(" a\r\n\tb\r\n"), SI("a\tb"), SI("a b")},
        {SI("\r\n a \r\n  b  c"), SI("a   b  c"), SI("a b  c")},
        {SI(""), SI(""), SI("")},
        {SI(" \r\n \r\n"), SI(""), SI("")},
        {SI("a\rb"), SI("ab"), SI("a b")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        struct out out = out_of(text, sizeof text);

        header_put_unfolded(&out, cases[i].value, false);
        assert_slice(out_slice(&out), cases[i].strict);
        out.len = 0;
        header_put_unfolded(&out, cases[i].value, true);
        assert_slice(out_slice(&out), cases[i].tidy);
    }
}

static const struct {
    struct slice names[3];
    unsigned count;
    bool not_listed;
    struct slice want;
} filters[] = {
    {{SI("to"), SI("FROM")}, 2, false, SI("From: ann\r\nTo: x\nfrom: bob\r\n\r\n")},
    {{SI("subject"), SI("x"), SI("x-empty")}, 3, false,
        SI("Subject \t: a\r\n b\r\n\tc\r\nX-Empty:\r\n\r\n")},
    {{SI("nothing")}, 1, false, SI("\r\n")},
    {{SI("from"), SI("subject"), SI("to")}, 3, true,
        SI("no colon here\r\nX-Empty:\r\n: no name\r\n\r\n")},
    {{SI("body")}, 1, true, SI(BLOCK "\r\n")},
    {{{NULL, 0}}, 0, true, SI(BLOCK "\r\n")},
    {{SI("no colon here")}, 1, false, SI("no colon here\r\n\r\n")},
};

static void filter_is_the_same_at_every_split(void **state)
{
    static const struct slice headers[] = {
        SI(BLOCK "\r\nbody: text\r\n"), SI(BLOCK "\nbody"), SI(BLOCK)};

    (void)state;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        for (size_t k = 0; k < sizeof headers / sizeof headers[0]; k++) {
            for (size_t cut = 0; cut <= headers[k].len; cut++) {
                struct slice names[3], rest = headers[k];
                struct header_filter f;
                char text[512];
                struct out out = out_of(text, sizeof text);

                memcpy(names, filters[i].names, sizeof names);
                header_filter_begin(&f, names, filters[i].count, filters[i].not_listed);
                header_filter_feed(&f, headers[k], NULL);
                header_filter_end(&f, NULL);
                assert_int_equal(f.bytes, filters[i].want.len);
                header_filter_rewind(&f);
                header_filter_feed(&f, slice_take(&rest, cut), &out);
                header_filter_feed(&f, rest, &out);
                header_filter_end(&f, &out);
                assert_slice(out_slice(&out), filters[i].want);
                assert_int_equal(f.bytes, filters[i].want.len);
            }
        }
    }
}

static void header_without_its_last_line_end_is_filtered(void **state)
{
    static const struct slice headers[] = {SI("A: b\r\nTo: x"), SI("A: b\r\nTo")};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct slice names[] = {SI("to")};
        struct header_filter f;
        char text[64];
        struct out out = out_of(text, sizeof text);

        header_filter_begin(&f, names, 1, false);
        header_filter_feed(&f, headers[i], &out);
        header_filter_end(&f, &out);
        assert_slice(out_slice(&out), i ? S("To\r\n") : S("To: x\r\n"));
    }
}

static void names_longer_than_a_line_match_nothing(void **state)
{
    size_t len = 100000;
    char *header = calloc(len, 1);
    struct slice names[] = {slice_of(header, 99998)};
    struct header_filter f;

    (void)state;
    assert_non_null(header);
    memset(header, 'a', len);
    header[len - 2] = ':';
    header_filter_begin(&f, names, 1, false);
    header_filter_feed(&f, slice_of(header, len), NULL);
    header_filter_end(&f, NULL);
    assert_int_equal(f.bytes, 2);
    header_filter_begin(&f, names, 1, true);
    header_filter_feed(&f, slice_of(header, len), NULL);
    header_filter_end(&f, NULL);
    assert_int_equal(f.bytes, len + 2);
    free(header);
}

/* Names that a binary search must find among many, in any order given. */
static void every_listed_name_is_found(void **state)
{
    enum { NAMES = 999 };
    static char text[NAMES][8];
    struct slice names[NAMES];
    struct header_filter f;

    (void)state;
    for (unsigned i = 0; i < NAMES; i++) {
        struct out out = out_of(text[i], sizeof text[i]);

        out_byte(&out, i % 2 ? 'X' : 'x');
        out_u64(&out, i * 7919 % NAMES);
        names[i] = out_slice(&out);
    }
    header_filter_begin(&f, names, NAMES, false);
    for (unsigned i = 0; i < NAMES; i++) {
        header_filter_feed(&f, slice_of(names[i].at, names[i].len), NULL);
        header_filter_feed(&f, S(":\r\n"), NULL);
        header_filter_feed(&f, S("y:\r\n"), NULL);
    }
    header_filter_end(&f, NULL);
    assert_int_equal(f.bytes, 10 * 2 + 90 * 3 + 899 * 4 + NAMES * 3 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_cut_whole),
        cmocka_unit_test(values_are_unfolded),
        cmocka_unit_test(filter_is_the_same_at_every_split),
        cmocka_unit_test(header_without_its_last_line_end_is_filtered),
        cmocka_unit_test(names_longer_than_a_line_match_nothing),
        cmocka_unit_test(every_listed_name_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
