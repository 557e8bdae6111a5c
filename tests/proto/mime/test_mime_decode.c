#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "proto/mime/decode.h"

static void assert_slice(struct slice got, struct slice want, struct slice of)
{
    if (!slice_eq(got, want))
        fail_msg("of %.*s\ngot %.*s\nwant %.*s", (int)of.len, of.at, (int)got.len, got.at,
            (int)want.len, want.at);
}

/* --- transfer encodings ------------------------------------------------------------ */

static const struct {
    char encoding;
    struct slice text, want;
    bool broken;
} transfers[] = {
    {'7', SI("a=41\r\n"), SI("a=41\r\n"), false},
    {'?', SI("a=41\r\n"), SI("a=41\r\n"), false},
    {'b', SI(""), SI(""), false},
    {'b', SI("QUJD"), SI("ABC"), false},
    {'b', SI("QUI="), SI("AB"), false},
    {'b', SI("QQ==\r\n"), SI("A"), false},
    {'b', SI("QU\r\nJD\r\n"), SI("ABC"), false},
    {'b', SI("+/+/"), SI("\xfb\xff\xbf"), false},
    {'b', SI("QUJDQQ"), SI("ABCA"), false},
    {'b', SI("QUJDQ"), SI("ABC"), true},
    {'b', SI("Q-U*J\xff\104"), SI("ABC"), true},
    {'b', SI("QQ==QUJD"), SI("AABC"), true},
    {'b', SI("===="), SI(""), true},
    {'q', SI(""), SI(""), false},
    {'q', SI("a=3Db=e9\r\n"), SI("a=b\xe9\r\n"), false},
    {'q', SI("soft=\r\nbreak= \t\r\nend=\r\n"), SI("softbreakend"), false},
    {'q', SI("blank \t\r\nat end  "), SI("blank\r\nat end"), false},
    {'q', SI("inner  blanks"), SI("inner  blanks"), false},
    {'q', SI("=\nlf"), SI("lf"), true},
    {'q', SI("=4"), SI("=4"), true},
    {'q', SI("=4x=zz=4=41=="), SI("=4x=zz=4A=="), true},
    {'q', SI("= x"), SI("= x"), true},
    {'q', SI("=3 D"), SI("=3 D"), true},
    {'q', SI("a=\r"), SI("a=\r"), true},
};

static void transfers_decode_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof transfers / sizeof transfers[0]; i++) {
        for (size_t cut = 0; cut <= transfers[i].text.len; cut++) {
            struct slice rest = transfers[i].text, head = slice_take(&rest, cut);
            struct transfer_decoder d;
            char text[256];
            size_t n;

            transfer_begin(&d, transfers[i].encoding);
            n = transfer_decode(&d, &head, text, sizeof text);
            n += transfer_decode(&d, &rest, text + n, sizeof text - n);
            n += transfer_end(&d, text + n);
            assert_int_equal(head.len + rest.len, 0);
            assert_slice(slice_of(text, n), transfers[i].want, transfers[i].text);
            assert_int_equal(d.broken, transfers[i].broken);
        }
    }
}

/* However little room there is, all of it comes out. */
static void transfers_resume_when_there_is_room(void **state)
{
    static const char encodings[] = {'7', 'b', 'q'};
    static const char letters[] = "ABab12+/=\r\n \t=4=1";

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        char text[1000], whole[1200], pieces[1200];
        struct slice in = slice_of(text, sizeof text);
        char encoding = encodings[round % 3];
        struct transfer_decoder d;
        size_t n = 0, want;

        for (size_t i = 0; i < sizeof text; i++)
            text[i] = letters[(i * 7919 + round * 104729 + i * i * round) % 17];
        transfer_begin(&d, encoding);
        want = transfer_decode(&d, &in, whole, sizeof whole);
        want += transfer_end(&d, whole + want);
        in = slice_of(text, sizeof text);
        transfer_begin(&d, encoding);
        while (in.len) {
            size_t got = transfer_decode(&d, &in, pieces + n, TRANSFER_ROOM_MIN);

            assert_true(got <= TRANSFER_ROOM_MIN);
            n += got;
        }
        n += transfer_end(&d, pieces + n);
        assert_int_equal(n, want);
        assert_memory_equal(pieces, whole, n);
    }
}

/* --- character sets ------------------------------------------------------------------
 */

static const struct {
    struct slice name, octets, want;
    bool unknown, broken;
} charsets[] = {
    {SI(""), SI("abc\xc3\xa9"), SI("abcé"), false, false},
    {SI("US-ASCII"), SI("a\xe9z"), SI("a\xef\xbf\xbdz"), false, true},
    {SI("utf-8"), SI("日本\xf0\x9f\x8e\x89"), SI("日本🎉"), false, false},
    {SI("UTF8"), SI("\xc0\x80\xed\xa0\x80\xe6\x97"),
        SI("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
        false, true},
    {SI("ISO-8859-1"),
        SI("Gr\xfc\xdf"
           "e"),
        SI("Grüße"), false, false},
    {SI("iso-8859-15"), SI("\xa4"), SI("€"), false, false},
    {SI("windows-1252"), SI("\x80\x93x\x94\x81"), SI("€“x”\xef\xbf\xbd"), false, true},
    {SI("Windows-1251"), SI("\xd2\xe5\xf1\xf2"), SI("Тест"), false, false},
    {SI("koi8-r"), SI("\xf4\xc5\xd3\xd4"), SI("Тест"), false, false},
    {SI("iso-8859-7"), SI("\xe1\xe2"), SI("αβ"), false, false},
    {SI("iso-8859-8-i"), SI("\xf9"), SI("\xd7\xa9"), false, false},
    {SI("gb2312"), SI("\xd6\xd0\xce\xc4"), SI("中文"), false, false},
    {SI("GB18030"), SI("\x81\x30\x81\x30"), SI("\xc2\x80"), false, false},
    {SI("big5"), SI("\xa4\xa4\xa4\xe5"), SI("中文"), false, false},
    {SI("Shift_JIS"), SI("\x93\xfa\x96\x7b"), SI("日本"), false, false},
    {SI("iso-2022-jp"), SI("\x1b$BF|K\\\x1b(Bx"), SI("日本x"), false, false},
    {SI("euc-jp"), SI("\xc6\xfc\xcb\xdc"), SI("日本"), false, false},
    {SI("ks_c_5601-1987"), SI("\xb0\xa1"), SI("가"), false, false},
    {SI("utf-7"), SI("Hi +Jjo-!"), SI("Hi ☺!"), false, false},
    {SI("utf-7"), SI("1 +- 1 +2Dzfiw. +ZeVnLIqe"), SI("1 + 1 🎋. 日本語"), false, false},
    {SI("utf-7"), SI("+2Dw- +34s- \xe9 +"), SI("\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd "),
        false, true},
    {SI("utf-16be"), SI("\0a\x20\xac"), SI("a€"), false, false},
    {SI("euc-jp"), SI("a\xc6"), SI("a\xef\xbf\xbd"), false, true},
    {SI("x-unknown"), SI("a\xe9"), SI("a\xef\xbf\xbd"), true, true},
    {SI("../../x//TRANSLIT"), SI("a\xe9"), SI("a\xef\xbf\xbd"), true, true},
};

static void charsets_convert_at_every_split(void **state)
{
    struct charset kept[CHARSET_PRELOAD];

    (void)state;
    charset_preload(kept);
    for (size_t i = 0; i < sizeof charsets / sizeof charsets[0]; i++) {
        assert_int_equal(charset_is_known(charsets[i].name), !charsets[i].unknown);
        for (size_t cut = 0; cut <= charsets[i].octets.len; cut++) {
            struct slice rest = charsets[i].octets;
            struct charset c;
            char text[256];
            struct out out = out_of(text, sizeof text);

            assert_int_equal(charset_begin(&c, charsets[i].name), !charsets[i].unknown);
            charset_feed(&c, slice_take(&rest, cut), &out);
            charset_feed(&c, rest, &out);
            charset_end(&c, &out);
            assert_slice(out_slice(&out), charsets[i].want, charsets[i].octets);
            assert_int_equal(c.broken, charsets[i].broken);
        }
    }
    for (unsigned i = 0; i < CHARSET_PRELOAD; i++) {
        assert_int_equal(kept[i].kind, CHARSET_ICONV);
        charset_end(&kept[i], NULL);
    }
}

static void offered_names_are_known(void **state)
{
    struct slice names = charset_names();

    (void)state;
    while (names.len) {
        struct slice name = slice_take(&names, slice_find(names, ' '));

        assert_true(charset_is_known(name));
        if (names.len)
            slice_take(&names, 1);
    }
}

/* --- encoded words ---------------------------------------------------------------------
 */

static const struct {
    struct slice text, want;
} words[] = {
    {SI("plain text"), SI("plain text")},
    {SI("=?utf-8?Q?Gr=C3=BC=C3=9Fe?="), SI("Grüße")},
    {SI("=?UTF-8?b?8J+OiQ==?="), SI("🎉")},
    {SI("=?iso-8859-1?q?a_b=5F?= c"), SI("a b_ c")},
    {SI("x =?us-ascii?Q?a?=  =?us-ascii?Q?b?= y"), SI("x ab y")},
    {SI("=?us-ascii?Q?a?=\r\n =?us-ascii?Q?b?=\r\n\tc"), SI("ab c")},
    {SI("=?us-ascii?Q?a?= \r\n\t \r\n =?us-ascii?Q?b?="), SI("ab")},
    {SI("=?us-ascii?Q?a?= =x"), SI("a =x")},
    {SI("=?utf-8?B?5pc=?= =?utf-8?B?pQ==?="), SI("日")},
    {SI("=?utf-8?B?5pc=?= x"), SI("\xef\xbf\xbd x")},
    {SI("=?utf-8*en?Q?x?="), SI("x")},
    {SI("=?bogus?Q?x=E9?="), SI("x\xef\xbf\xbd")},
    {SI("=?utf-8?X?x?="), SI("=?utf-8?X?x?=")},
    {SI("=?utf-8?Q?"
        "?="),
        SI("")},
    {SI("=?utf-8?Q?=41?=b"), SI("Ab")},
    {SI("=?utf-8?Q?a?b?="), SI("a?b")},
    {SI("=?utf-8?Q?a b?="), SI("a b")},
    {SI("=?iso-8859-1?Q?\xfc?="), SI("ü")},
    {SI("=?utf-8?Q?open"), SI("=?utf-8?Q?open")},
    {SI("=?utf-8?Q?a\r\n b?="), SI("=?utf-8?Q?a b?=")},
    {SI("=?=?utf-8?Q?a?="), SI("=?a")},
    {SI("==?utf-8?Q?a?=="), SI("=a=")},
    {SI("=?utf-8??a?="), SI("=?utf-8??a?=")},
    {SI("raw \xc3\xa9 and \xe9"), SI("raw é and \xef\xbf\xbd")},
    {SI("a\r\nb"), SI("a\r\nb")},
    {SI("=?us-ascii?Q?a?= \r\nb"), SI("a\r\nb")},
    {SI("a  b\r\n \t c"), SI("a  b c")},
    {SI("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?= x"), SI("日本 x")},
};

static void words_decode_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (size_t cut = 0; cut <= words[i].text.len; cut++) {
            struct slice rest = words[i].text;
            struct words_decoder w;
            char text[256];
            struct out out = out_of(text, sizeof text);

            words_begin(&w);
            words_feed(&w, slice_take(&rest, cut), &out);
            words_feed(&w, rest, &out);
            words_end(&w, &out);
            assert_slice(out_slice(&out), words[i].want, words[i].text);
        }
    }
}

/* An encoded word that is too long is text, as are words whose charset changes too
 * often; nothing is lost, and the next word counts again. */
static void words_are_bounded(void **state)
{
    static char text[100000], decoded[100000];
    struct out out = out_of(text, sizeof text), back = out_of(decoded, sizeof decoded);

    (void)state;
    out_str(&out, "=?utf-8?Q?");
    for (unsigned i = 0; i < 5000; i++)
        out_str(&out, "a");
    out_str(&out, "?= =?utf-8?Q?b?=");
    decode_words(out_slice(&out), &back);
    assert_int_equal(back.len, 10 + 5000 + 2 + 1 + 1);
    assert_int_equal(decoded[back.len - 1], 'b');
    out.len = back.len = 0;
    for (unsigned i = 0; i < 2000; i++)
        out_str(&out, i % 2 ? "=?gbk?Q?=D6=D0?= " : "=?big5?Q?=A4=A4?= ");
    decode_words(out_slice(&out), &back);
    assert_memory_equal(decoded, "中中中中", 12);
    assert_int_equal(back.len, WORD_CHARSETS_MAX * 3 + (2000 - WORD_CHARSETS_MAX) * 6);
}

static void extended_values_are_decoded(void **state)
{
    static const struct {
        struct slice value, want;
    } cases[] = {
        {SI("UTF-8''%e2%82%ac%20rates"), SI("€ rates")},
        {SI("iso-8859-1'en'na%EFve"), SI("naïve")},
        {SI("''plain%41"), SI("plainA")},
        {SI("no quotes%41"), SI("no quotesA")},
        {SI("it's%"), SI("it's%")},
        {SI("utf-8''%4x%"), SI("%4x%")},
        {SI(""), SI("")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        struct out out = out_of(text, sizeof text);

        decode_extended_value(cases[i].value, &out);
        assert_slice(out_slice(&out), cases[i].want, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfers_decode_at_every_split),
        cmocka_unit_test(transfers_resume_when_there_is_room),
        cmocka_unit_test(charsets_convert_at_every_split),
        cmocka_unit_test(offered_names_are_known),
        cmocka_unit_test(words_decode_at_every_split),
        cmocka_unit_test(words_are_bounded),
        cmocka_unit_test(extended_values_are_decoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
