#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/pop3/pop3.h"
#include "tests/proto/base/fence.h"

static enum pop3_reply parse(
    struct slice line, enum pop3_state state, struct pop3_cmd *cmd)
{
    static struct fence fence;

    if (!fence.page)
        fence = fence_make();
    return pop3_parse(fence_end(&fence, line), state, cmd);
}

static void every_bad_line_has_its_reply(void **state)
{
    static const struct {
        enum pop3_state state;
        struct slice line;
        enum pop3_reply reply;
    } cases[] = {
        {POP3_MAIL, SI(""), POP3_REPLY_BAD_VERB},
        {POP3_MAIL, SI(" NOOP"), POP3_REPLY_BAD_VERB},
        {POP3_MAIL, SI("XBAD"), POP3_REPLY_BAD_VERB},
        {POP3_MAIL, SI("NO\0OP"), POP3_REPLY_BAD_VERB},
        {POP3_MAIL, SI("\xff\xfe"), POP3_REPLY_BAD_VERB},
        {POP3_START, SI("APOP ann c4c9334bac560ecc979e58001b3e22fb"),
            POP3_REPLY_BAD_VERB},
        {POP3_START, SI("STAT"), POP3_REPLY_BAD_ORDER},
        {POP3_START, SI("DELE 1"), POP3_REPLY_BAD_ORDER},
        {POP3_START, SI("NOOP"), POP3_REPLY_BAD_ORDER},
        {POP3_START, SI("PASS x"), POP3_REPLY_BAD_ORDER},
        {POP3_USER, SI("RETR 1"), POP3_REPLY_BAD_ORDER},
        {POP3_MAIL, SI("USER ann"), POP3_REPLY_BAD_ORDER},
        {POP3_MAIL, SI("STLS"), POP3_REPLY_BAD_ORDER},
        {POP3_MAIL, SI("AUTH PLAIN"), POP3_REPLY_BAD_ORDER},
        {POP3_START, SI("USER"), POP3_REPLY_BAD_ARGS},
        {POP3_USER, SI("PASS"), POP3_REPLY_BAD_ARGS},
        {POP3_START, SI("STLS now"), POP3_REPLY_BAD_ARGS},
        {POP3_START, SI("AUTH PLAIN a b"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("NOOP 1"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR "), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR 0"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR -1"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR 4294967297"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR 18446744073709551617"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR x"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR 1x"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("RETR 1 2"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("DELE +1"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("LIST 0"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("LIST 1 2"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("UIDL 0x1"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("TOP"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("TOP 1"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("TOP 0 0"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("TOP 1 -1"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("TOP 1 1x"), POP3_REPLY_BAD_ARGS},
        {POP3_MAIL, SI("TOP 1 1 1"), POP3_REPLY_BAD_ARGS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pop3_cmd cmd;

        if (parse(cases[i].line, cases[i].state, &cmd) != cases[i].reply)
            fail_msg("%.*s", (int)cases[i].line.len, cases[i].line.at);
    }
}

static void commands_are_read(void **state)
{
    struct pop3_cmd cmd;

    (void)state;
    assert_int_equal(parse(S("user Ann@here.test"), POP3_START, &cmd), POP3_REPLY_NONE);
    assert_int_equal(cmd.verb, POP3_VERB_USER);
    assert_true(slice_eq(cmd.text, S("Ann@here.test")));
    assert_int_equal(parse(S("PASS  two spaces "), POP3_USER, &cmd), POP3_REPLY_NONE);
    assert_true(slice_eq(cmd.text, S(" two spaces ")));
    assert_int_equal(parse(S("AUTH"), POP3_START, &cmd), POP3_REPLY_NONE);
    assert_int_equal(cmd.text.len, 0);
    assert_int_equal(parse(S("AUTH PLAIN ="), POP3_START, &cmd), POP3_REPLY_NONE);
    assert_true(slice_eq(cmd.text, S("PLAIN")));
    assert_true(cmd.has_initial && slice_eq(cmd.initial, S("=")));
    assert_int_equal(parse(S("LIST"), POP3_MAIL, &cmd), POP3_REPLY_NONE);
    assert_int_equal(cmd.message, 0);
    assert_int_equal(parse(S("LIST 4294967295"), POP3_MAIL, &cmd), POP3_REPLY_NONE);
    assert_int_equal(cmd.message, UINT32_MAX);
    assert_int_equal(parse(S("top 2 10 "), POP3_MAIL, &cmd), POP3_REPLY_NONE);
    assert_int_equal(cmd.message, 2);
    assert_int_equal(cmd.lines, 10);
    assert_int_equal(
        parse(S("TOP 1 99999999999999999999"), POP3_MAIL, &cmd), POP3_REPLY_NONE);
    assert_int_equal(cmd.lines, UINT32_MAX);
    assert_int_equal(parse(S("QUIT"), POP3_START, &cmd), POP3_REPLY_NONE);
    assert_int_equal(parse(S("CAPA"), POP3_MAIL, &cmd), POP3_REPLY_NONE);
}

static void replies_are_well_formed(void **state)
{
    (void)state;
    for (unsigned i = POP3_REPLY_NONE + 1; i <= POP3_REPLY_UNAVAILABLE; i++) {
        struct slice text = pop3_reply_text((enum pop3_reply)i);

        assert_true(
            slice_starts_nocase(text, S("+OK")) || slice_starts_nocase(text, S("-ERR ")));
        assert_int_equal(slice_find(text, '\r'), text.len - 2);
        assert_int_equal(text.at[text.len - 1], '\n');
        assert_true(text.len <= 512); /* RFC 1939, 3 */
    }
    assert_int_equal(pop3_line_reply(LINE_DONE), POP3_REPLY_NONE);
    assert_int_equal(pop3_line_reply(LINE_NUL), POP3_REPLY_LINE_NUL);
    assert_int_equal(pop3_line_reply(LINE_FLOOD), POP3_REPLY_LINE_FLOOD);
    assert_true(pop3_line_limits(false).max >= 255);
    assert_true(pop3_line_limits(true).max > pop3_line_limits(false).max);
}

static void capa_says_what_would_be_taken_now(void **state)
{
    char room[512];
    struct out out = out_of(room, sizeof room);

    (void)state;
    pop3_put_capa(&out, true, true);
    assert_false(out.full);
    assert_non_null(memmem(room, out.len, "\r\nUSER\r\nSASL PLAIN LOGIN\r\n", 26));
    assert_non_null(memmem(room, out.len, "\r\nSTLS\r\n.\r\n", 11));
    out.len = 0;
    pop3_put_capa(&out, false, false);
    assert_null(memmem(room, out.len, "USER", 4));
    assert_null(memmem(room, out.len, "SASL", 4));
    assert_null(memmem(room, out.len, "STLS", 4));
    assert_memory_equal(room + out.len - 5, "\r\n.\r\n", 5);
}

#define MESSAGE "A: b\r\n c\r\n\r\none\r\n\r\n.three\r\nfour without an end"

static void top_shows_header_and_lines(void **state)
{
    static const struct {
        struct slice text;
        uint32_t lines;
        struct slice want;
    } cases[] = {
        {SI(MESSAGE), 0, SI("A: b\r\n c\r\n\r\n")},
        {SI(MESSAGE), 1, SI("A: b\r\n c\r\n\r\none\r\n")},
        {SI(MESSAGE), 2, SI("A: b\r\n c\r\n\r\none\r\n\r\n")},
        {SI(MESSAGE), 3, SI("A: b\r\n c\r\n\r\none\r\n\r\n.three\r\n")},
        {SI(MESSAGE), 4, SI(MESSAGE)},
        {SI(MESSAGE), UINT32_MAX, SI(MESSAGE)},
        {SI(""), 1, SI("")},
        {SI("\r\nbody\r\n"), 0, SI("\r\n")},
        {SI("A: no body\r\n"), 5, SI("A: no body\r\n")},
        {SI("A: b\r\n\r\r\nC: d\r\n\r\nx"), 0, SI("A: b\r\n\r\r\nC: d\r\n\r\n")},
        {SI("A: b\n\nbody\nmore"), 1, SI("A: b\n\nbody\n")},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= cases[i].text.len + 1; piece++) {
            struct pop3_top top = {.lines_left = cases[i].lines};
            struct slice left = cases[i].text;
            char room[200];
            struct out out = out_of(room, sizeof room);

            while (left.len && !top.done) {
                size_t n = piece < left.len ? piece : left.len;

                out_put(
                    &out, pop3_top_take(&top, fence_end(&fence, slice_take(&left, n))));
            }
            assert_true(slice_eq(out_slice(&out), cases[i].want));
            assert_true(top.done || left.len == 0);
            if (top.done)
                assert_int_equal(pop3_top_take(&top, S("more")).len, 0);
        }
    fence_free(&fence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_line_has_its_reply),
        cmocka_unit_test(commands_are_read),
        cmocka_unit_test(replies_are_well_formed),
        cmocka_unit_test(capa_says_what_would_be_taken_now),
        cmocka_unit_test(top_shows_header_and_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
