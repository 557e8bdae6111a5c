#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mime/decode.h"
#include "proto/mime/encode.h"

static const struct {
    char encoding;
    struct slice octets, want;
} cases[] = {
    {'b', SI(""), SI("")},
    {'b', SI("A"), SI("QQ==")},
    {'b', SI("AB"), SI("QUI=")},
    {'b', SI("ABC"), SI("QUJD")},
    {'b', SI("\xfb\xff\xbf\x00"), SI("+/+/AA==")},
    {'b', SI("123456789012345678901234567890123456789012345678901234567"),
        SI("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY"
           "3")},
    {'b', SI("1234567890123456789012345678901234567890123456789012345678"),
        SI("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3"
           "\r\n"
           "OA==")},
    {'q', SI(""), SI("")},
    {'q',
        SI("Gr\xc3\xbc\xc3\x9f"
           "e = 1\r\n"),
        SI("Gr=C3=BC=C3=9Fe =3D 1\r\n")},
    {'q', SI("blank \r\ntab\t\r\n two  \r\nend "),
        SI("blank=20\r\ntab=09\r\n two =20\r\nend=20")},
    {'q', SI("a\rb\nc\r\r\nd\r"), SI("a=0Db=0Ac=0D\r\nd=0D")},
    {'q', SI("a \rb \r"), SI("a =0Db =0D")},
    {'q', SI("--x\r\n.\r\n\r\n-\r\na-.\x00"), SI("=2D-x\r\n=2E\r\n\r\n=2D\r\na-.=00")},
    {'q', SI("\x7f\x1f\x01"), SI("=7F=1F=01")},
    /* 75 octets fit a line that goes on, and so do 75 in one that ends. */
    {'q',
        SI("123456789012345678901234567890123456789012345678901234567890123456789012345"),
        SI("12345678901234567890123456789012345678901234567890123456789012345678901234"
           "5")},
    {'q',
        SI("123456789012345678901234567890123456789012345678901234567890123456789012345-"
           "-"),
        SI("123456789012345678901234567890123456789012345678901234567890123456789012345="
           "\r\n=2D-")},
    {'q',
        SI("1234567890123456789012345678901234567890123456789012345678901234567890123"
           "\xff"),
        SI("1234567890123456789012345678901234567890123456789012345678901234567890123="
           "\r\n"
           "=FF")},
    {'q',
        SI("12345678901234567890123456789012345678901234567890123456789012345678901234 "
           "\r\n"),
        SI("12345678901234567890123456789012345678901234567890123456789012345678901234="
           "\r\n"
           "=20\r\n")},
};

static size_t encode(char encoding, struct slice in, size_t cut, char *at)
{
    struct slice rest = in, head = slice_take(&rest, cut);
    struct transfer_encoder e;
    size_t n = 0;

    encoder_begin(&e, encoding);
    while (head.len)
        n += encoder_run(&e, &head, at + n, ENCODE_ROOM_MIN);
    while (rest.len)
        n += encoder_run(&e, &rest, at + n, ENCODE_ROOM_MIN + cut);
    return n + encoder_end(&e, at + n);
}

static void encodes_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t cut = 0; cut <= cases[i].octets.len; cut++) {
            char text[512];
            size_t n = encode(cases[i].encoding, cases[i].octets, cut, text);

            if (!slice_eq(slice_of(text, n), cases[i].want))
                fail_msg("case %zu cut %zu: got %.*s", i, cut, (int)n, text);
        }
    }
}

/* Any octets: ASCII lines of at most 76 octets that begin with neither '-' nor '.', and
 * that decode to the same. */
static void any_octets_come_back(void **state)
{
    static const char likely[] = "\r\n \t=-.a\xe9\0F\r\n";
    uint64_t seed = 88172645463325252U;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        char octets[600], text[4000], back[4000];
        struct slice in = slice_of(text, 0);
        struct transfer_decoder d;
        char encoding = round & 1 ? 'q' : 'b';
        size_t len, n, column = 0;

        for (size_t i = 0; i < sizeof octets; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            octets[i] =
                round & 2 ? (char)seed : likely[(seed >> 20) % (sizeof likely - 1)];
        }
        len = (seed >> 30) % sizeof octets;
        in.len = encode(encoding, slice_of(octets, len), len / 2, text);
        for (size_t i = 0; i < in.len; i++) {
            assert_true(text[i] == '\r' || text[i] == '\n' ||
                (text[i] >= ' ' && text[i] <= '~') || text[i] == '\t');
            assert_false(column == 0 && (text[i] == '-' || text[i] == '.'));
            column = text[i] == '\n' ? 0 : column + 1;
            assert_true(column <= 76 + (text[i] == '\r'));
            if (text[i] == '\n')
                assert_true(i && text[i - 1] == '\r');
        }
        transfer_begin(&d, encoding);
        n = transfer_decode(&d, &in, back, sizeof back);
        n += transfer_end(&d, back + n);
        assert_false(d.broken);
        assert_int_equal(n, len);
        assert_memory_equal(back, octets, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_at_every_split),
        cmocka_unit_test(any_octets_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
