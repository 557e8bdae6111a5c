#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/proto/mime/convert_check.h"

#define CTE   "Content-Transfer-Encoding: "
#define QP    CTE "quoted-printable\r\n"
#define B64   CTE "base64\r\n"
#define V     "MIME-Version: 1.0\r\n"
#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n"

static const struct {
    struct slice text, want; /* want.at == NULL: the verdict says all */
    enum convert_target target;
    enum convert_verdict verdict;
} cases[] = {
    /* What fits is not touched, whatever it says of itself. */
    {SI("A: b\r\n\r\nabc\r\n"), SI("A: b\r\n\r\nabc\r\n"), CONVERT_TO_7BIT,
        CONVERT_AS_IS},
    {SI(V CTE "8bit\r\n\r\nabc\r\n"), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_AS_IS},
    {SI(V CTE "8bit\r\n\r\n\xc3\xa9\r\n"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_AS_IS},
    {SI(""), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_AS_IS},
    {SI("A: b\r\n"), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_AS_IS},
    {SI("\r\n"), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_AS_IS},
    /* Text becomes quoted-printable, all else base64. */
    {SI(V CTE "8bit\r\nA: b\r\n\r\n\xc3\xa9 =\r\n"),
        SI(V QP "A: b\r\n\r\n=C3=A9 =3D\r\n"), CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI("A: b\r\n\r\n\xe9\r\n"), SI("A: b\r\n" V QP "\r\n=E9\r\n"), CONVERT_TO_7BIT,
        CONVERT_REWRITE},
    {SI("\r\n\xe9"), SI(V QP "\r\n=E9"), CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V "Content-Type: application/x\r\n\r\n\xe9\r\n"),
        SI(V "Content-Type: application/x\r\n" B64 "\r\n6Q0K\r\n"), CONVERT_TO_7BIT,
        CONVERT_REWRITE},
    /* Several labels become one. */
    {SI(V CTE "8bit\r\nA: b\r\n" CTE "\r\n binary\r\n\r\n\xe9\r\n"),
        SI(V QP "A: b\r\n\r\n=E9\r\n"), CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V CTE "8 bit\r\n" CTE "8BIT (yes)\r\n\r\n\xe9\r\n"), SI(V QP "\r\n=E9\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    /* Only the parts that need it, but all labels. */
    {SI(V MIXED CTE "8bit\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\n" CTE
                    "8bit\r\n\r\n\xe9\r\n--b\r\n" CTE "8bit\r\n\r\nthree\r\n--b--\r\n"),
        SI(V MIXED CTE "7bit\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\n" QP
                       "\r\n=E9\r\n--b\r\n" CTE "7bit\r\n\r\nthree\r\n--b--\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V MIXED "\r\n--b\r\nContent-Type: image/x\r\n\r\n\xe9\r\n--b--\r\n"),
        SI(V MIXED "\r\n--b\r\nContent-Type: image/x\r\n" B64 "\r\n6Q==\r\n--b--\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V MIXED "\r\n--b\r\n\r\n\xe9"), SI(V MIXED "\r\n--b\r\n" QP "\r\n=E9"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    /* No line of a converted part can become a delimiter. */
    {SI(V "Content-Type: multipart/mixed; boundary=\"b=E9\"\r\n\r\n--b=E9\r\n\r\n"
          "--b\xe9\r\n--b=E9--\r\n"),
        SI(V "Content-Type: multipart/mixed; boundary=\"b=E9\"\r\n\r\n--b=E9\r\n" QP
             "\r\n=2D-b=E9\r\n--b=E9--\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    /* Preamble and epilogue are nobody's. */
    {SI(V MIXED "\r\n\xe9\r\n\r\n--b\r\n\r\none\r\n--b--\r\n\xe9\r\n"),
        SI(V MIXED "\r\n--b\r\n\r\none\r\n--b--\r\n"), CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V MIXED "\r\n--b\r\n\r\n\xe9\r\n--b--"),
        SI(V MIXED "\r\n--b\r\n" QP "\r\n=E9\r\n--b--"), CONVERT_TO_7BIT,
        CONVERT_REWRITE},
    /* Embedded messages, within digests too; each says that it is MIME. */
    {SI("Content-Type: message/rfc822\r\n" CTE "8bit\r\n\r\nA: b\r\n\r\n\xe9\r\n"),
        SI("Content-Type: message/rfc822\r\n" CTE "7bit\r\n" V "\r\nA: b\r\n" V QP
           "\r\n=E9\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: "
          "b\r\n\r\n\xe9\r\n--b--\r\n"),
        SI(V "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\n" V QP
             "\r\n=E9\r\n--b--\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI(V "Content-Type: message/global\r\n" CTE "8bit\r\n\r\nA: \xc3\xa9\r\n\r\nx\r\n"),
        SI(V "Content-Type: message/global\r\n" QP "\r\nA: =C3=A9\r\n\r\nx\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    /* What was encoded badly. */
    {SI(V QP "\r\n\xe9=3D=\r\nx\r\n"), SI(V QP "\r\n=E9=3Dx\r\n"), CONVERT_TO_7BIT,
        CONVERT_REWRITE},
    {SI(V B64 "\r\nQUJD\xe9QUJD\r\n"), SI(V B64 "\r\nQUJDQUJD\r\n"), CONVERT_TO_7BIT,
        CONVERT_REWRITE},
    /* Binary: to 8bit only where 8bit does not do. */
    {SI(V CTE "binary\r\n\r\na\xe9\rb\nc\x00\r\n"), SI(V QP "\r\na=E9=0Db=0Ac=00\r\n"),
        CONVERT_TO_8BIT, CONVERT_REWRITE},
    {SI(V MIXED CTE "binary\r\n\r\n--b\r\n" CTE "binary\r\n\r\n\xe9\r\n--b\r\n"
                    "Content-Type: image/x\r\n" CTE "binary\r\n\r\n\xe9\n\r\n--b--\r\n"),
        SI(V MIXED CTE "8bit\r\n\r\n--b\r\n" CTE "8bit\r\n\r\n\xe9\r\n--b\r\n"
                       "Content-Type: image/x\r\n" B64 "\r\n6Qo=\r\n--b--\r\n"),
        CONVERT_TO_8BIT, CONVERT_REWRITE},
    {SI("A: \xe9\r\n" V CTE "binary\r\n\r\n\x00"), SI("A: \xe9\r\n" V QP "\r\n=00"),
        CONVERT_TO_8BIT, CONVERT_REWRITE},
    {SI(V "Content-Type: image/x\r\n\r\na\r"),
        SI(V "Content-Type: image/x\r\n" B64 "\r\nYQ0=\r\n"), CONVERT_TO_8BIT,
        CONVERT_REWRITE},
    /* Refused: headers. */
    {SI("A: \xe9\r\n\r\nabc\r\n"), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_HEADER},
    {SI(MIXED "\r\n--b\r\nA: \xe9\r\n\r\n\r\n--b--\r\n"), {NULL, 0}, CONVERT_TO_7BIT,
        CONVERT_HEADER},
    {SI("Content-Type: message/rfc822\r\n\r\nA: \xe9\r\n\r\n"), {NULL, 0},
        CONVERT_TO_7BIT, CONVERT_HEADER},
    {SI("A: \x00\r\n\r\nabc\r\n"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_FORM},
    {SI("A: b\n\r\nabc\r\n"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_FORM},
    {SI("A: b\rC: d\r\n\r\nabc\r\n"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_FORM},
    {SI("A: b\r"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_FORM},
    /* Refused: what is signed. */
    {SI("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n"),
        {NULL, 0}, CONVERT_TO_7BIT, CONVERT_SIGNED},
    {SI("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" CTE
        "8bit\r\n\r\nabc\r\n--b--\r\n"),
        {NULL, 0}, CONVERT_TO_7BIT, CONVERT_AS_IS},
    /* ... is left alone beside what is converted. */
    {SI(V MIXED "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n" CTE
                "8bit\r\n\r\n--s\r\n" CTE "8bit\r\n\r\nx\r\n--s--\r\n\r\n--b\r\n\r\n"
                "\xe9\r\n--b--\r\n"),
        SI(V MIXED "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n" CTE
                   "7bit\r\n\r\n--s\r\n" CTE "8bit\r\n\r\nx\r\n--s--\r\n\r\n--b\r\n" QP
                   "\r\n=E9\r\n--b--\r\n"),
        CONVERT_TO_7BIT, CONVERT_REWRITE},
    {SI("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n" MIXED
        "\r\n\xe9\r\n--b\r\n\r\n--b--\r\n--s--\r\n"),
        {NULL, 0}, CONVERT_TO_7BIT, CONVERT_SIGNED},
    /* Refused: no form. */
    {SI(V CTE "x-uuencode\r\n\r\n\xe9\r\n"), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_FORM},
    {SI(V "Content-Type: message/partial\r\n\r\n\xe9\r\n"), {NULL, 0}, CONVERT_TO_7BIT,
        CONVERT_FORM},
    {SI(V "Content-Type: message/external-body\r\n\r\n\xe9\r\n"), {NULL, 0},
        CONVERT_TO_7BIT, CONVERT_FORM},
    {SI(V "Content-Type: multipart/mixed\r\n\r\n\xe9\r\n"), {NULL, 0}, CONVERT_TO_7BIT,
        CONVERT_FORM},
    {SI(V MIXED "\r\n\xe9\r\n"), {NULL, 0}, CONVERT_TO_7BIT, CONVERT_FORM},
    {SI(V MIXED "\r\n--b \xe9\r\n\r\nx\r\n--b--\r\n"), {NULL, 0}, CONVERT_TO_7BIT,
        CONVERT_FORM},
    {SI(V MIXED "\r\n--b\r\n\r\nx\n--b--\r\n"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_FORM},
    {SI(V MIXED "\r\n--b\n\r\nx\r\n--b--\r\n"), {NULL, 0}, CONVERT_TO_8BIT, CONVERT_FORM},
};

static void check_case(size_t i, size_t step)
{
    enum convert_verdict verdict;
    struct slice got =
        convert_text(cases[i].text, cases[i].target, step, CONVERT_ROOM_MIN, &verdict);

    if (verdict != cases[i].verdict)
        fail_msg("case %zu: verdict %d", i, verdict);
    if (cases[i].want.at && !slice_eq(got, cases[i].want))
        fail_msg("case %zu step %zu:\n%.*s", i, step, (int)got.len, got.at);
    if (verdict == CONVERT_AS_IS)
        assert_true(slice_eq(got, cases[i].text));
    free((char *)got.at);
}

static void cases_convert_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= cases[i].text.len + 1; step++)
            check_case(i, step);
        check_conversion(cases[i].text, cases[i].target, 7);
    }
}

/* Writes n times c, in place of a '%' in the text. */
static struct slice expanded(struct slice text, char c, size_t n, char *at)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        size_t count = text.at[i] == '%' ? n : 1;

        memset(at + len, text.at[i] == '%' ? c : text.at[i], count);
        len += count;
    }
    return slice_of(at, len);
}

static const struct {
    struct slice text;
    char c;
    size_t n;
    enum convert_verdict verdict;
} lines[] = {
    {SI("A: b\r\n\r\n%\r\n"), 'x', 998, CONVERT_AS_IS},
    {SI("A: b\r\n\r\n%\r\n"), 'x', 999, CONVERT_REWRITE},
    {SI("A: b\r\n\r\n%"), 'x', 998, CONVERT_AS_IS},
    {SI("A: b\r\n\r\n%"), 'x', 999, CONVERT_REWRITE},
    {SI("A: b\r\n\r\n%%%%%%%%\r\n"), 'x', 999, CONVERT_REWRITE},
    {SI(V "Content-Type: image/x\r\n\r\n%\r\n"), 'x', 5000, CONVERT_REWRITE},
    {SI(V QP "\r\n%\r\n"), 'x', 5000, CONVERT_REWRITE},
    {SI(V B64 "\r\n%\r\n"), 'x', 5000, CONVERT_REWRITE},
    {SI("A: %\r\n\r\nx\r\n"), 'x', 995, CONVERT_AS_IS},
    {SI("A: %\r\n\r\nx\r\n"), 'x', 996, CONVERT_REWRITE}, /* behind the colon */
    {SI("A: %\r\n\r\nx\r\n"), 'x', 997, CONVERT_REWRITE},
    {SI("A: %\r\n\r\nx\r\n"), 'x', 998, CONVERT_FORM},
    {SI("A:%\r\n\r\nx\r\n"), 'x', 998, CONVERT_FORM},
    {SI("A: % %\t%  %\r\n %\r\nB: c\r\n\r\nx\r\n"), 'x', 600, CONVERT_REWRITE},
    {SI("A: x%y\r\n\r\nx\r\n"), ' ', 1200, CONVERT_FORM},
    {SI("A %: x\r\n\r\nx\r\n"), 'x', 1000, CONVERT_FORM},
    {SI(CTE "8bit (%)\r\n\r\nx\r\n"), 'x', 1000, CONVERT_FORM},
    {SI(V MIXED "\r\n%\r\n--b\r\n\r\nx\r\n--b--\r\n%\r\n"), 'x', 1000, CONVERT_REWRITE},
    {SI(V MIXED "\r\n--b %\r\n\r\nx\r\n--b--\r\n"), 'x', 1000, CONVERT_FORM},
    {SI("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nA: % x\r\n\r\n"
        "x\r\n--b--\r\n"),
        'x', 990, CONVERT_AS_IS},
    {SI("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nA: % x\r\n\r\n"
        "x\r\n--b--\r\n"),
        'x', 995, CONVERT_SIGNED},
};

static void lines_are_cut_to_998_octets(void **state)
{
    char text[10000];

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct slice in = expanded(lines[i].text, lines[i].c, lines[i].n, text);

        for (size_t step = 1; step < 2000; step += step < 5 ? 1 : step / 2)
            for (unsigned target = CONVERT_TO_7BIT; target <= CONVERT_TO_8BIT; target++)
                if (check_conversion(in, target, step) != lines[i].verdict)
                    fail_msg("case %zu", i);
    }
}

/* Multiparts within each other, the innermost with an octet to convert. */
static size_t nested(unsigned depth, char *at, size_t cap)
{
    struct out out = out_of(at, cap);

    out_put(&out, S(V));
    for (unsigned i = 0; i < depth; i++) {
        out_put(&out, S("Content-Type: multipart/mixed; boundary=\"n"));
        out_u64(&out, i);
        out_put(&out, S("-\"\r\n\r\n--n"));
        out_u64(&out, i);
        out_put(&out, S("-\r\n"));
    }
    out_put(&out, S("\r\n\xe9\r\n"));
    assert_false(out.full);
    return out.len;
}

static void nesting_is_followed_to_the_limit(void **state)
{
    char text[20000];

    (void)state;
    for (unsigned depth = 98; depth < 104; depth++) {
        struct slice in = slice_of(text, nested(depth, text, sizeof text));

        assert_int_equal(check_conversion(in, CONVERT_TO_7BIT, 13),
            depth <= CONVERT_DEPTH_MAX ? CONVERT_REWRITE : CONVERT_LIMIT);
    }
}

static void ten_thousand_parts_fit_the_arena(void **state)
{
    enum { PARTS = 10000, CAP = PARTS * 64 + 200 };
    char *text = malloc(CAP);
    struct out out = out_of(text, CAP);

    (void)state;
    assert_non_null(text);
    out_put(&out, S(V MIXED "\r\n"));
    for (unsigned i = 0; i < PARTS; i++)
        out_put(&out, S("--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n"));
    out_put(&out, S("--b--\r\n"));
    assert_false(out.full);
    assert_int_equal(
        check_conversion(out_slice(&out), CONVERT_TO_7BIT, 1000), CONVERT_REWRITE);
    free(text);
}

/* With too little memory the verdict is a refusal, whenever it runs out. */
static void an_arena_that_is_full_refuses(void **state)
{
    static const struct slice text =
        SI(V MIXED "\r\n--b\r\n" CTE "8bit\r\n\r\n\xe9\r\n--b\r\n\r\n\xe9\r\n--b--\r\n");
    unsigned refused = 0, done = 0;

    (void)state;
    for (size_t limit = 0; limit < 256 << 10; limit += 512) {
        struct arena arena = arena_of(limit);
        struct convert_scan *s = convert_scan_begin(&arena, CONVERT_TO_7BIT);

        if (s) {
            enum convert_verdict verdict;

            convert_scan_feed(s, text);
            verdict = convert_scan_end(s)->verdict;
            assert_true(verdict == CONVERT_LIMIT || verdict == CONVERT_REWRITE);
            refused += verdict == CONVERT_LIMIT;
            done += verdict == CONVERT_REWRITE;
        }
        arena_reset(&arena);
    }
    assert_true(refused > 0 && done > 0);
}

static void every_verdict_has_a_reason(void **state)
{
    (void)state;
    for (unsigned v = CONVERT_AS_IS; v <= CONVERT_LIMIT; v++)
        assert_true(convert_reason(v).len > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_convert_in_pieces_of_any_size),
        cmocka_unit_test(lines_are_cut_to_998_octets),
        cmocka_unit_test(nesting_is_followed_to_the_limit),
        cmocka_unit_test(ten_thousand_parts_fit_the_arena),
        cmocka_unit_test(an_arena_that_is_full_refuses),
        cmocka_unit_test(every_verdict_has_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
