#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mime/address.h"

/* Every address as "name|route|mailbox|host ", "-" for what is missing; groups as
 * "{name " and "} ". */
static const struct {
    const char *text, *want;
} cases[] = {
    {"", ""},
    {" \r\n ", ""},
    {"a@b.test", "-|-|a|b.test "},
    {"<a@b.test>", "-|-|a|b.test "},
    {"Ann B. Example <a@b.test>", "Ann B. Example|-|a|b.test "},
    {"\"Example, \\\"A\\\"\" <a@b.test>, c@d", "Example, \"A\"|-|a|b.test -|-|c|d "},
    {"a@b.test (Ann (the) \\) one)", "Ann (the) ) one|-|a|b.test "},
    {"(no) a@b (Ann)", "Ann|-|a|b "},
    {"Ann (x) Bee <a@b> (y)", "Ann Bee|-|a|b "},
    {"a . b @ c . d", "-|-|a.b|c.d "},
    {"\"a b\"@c.test", "-|-|a b|c.test "},
    {"\"a\".b@c", "-|-|a.b|c "},
    {"a@[127.0.0.1]", "-|-|a|[127.0.0.1] "},
    {"<@r.test,@s.test:a@b>", "-|@r.test,@s.test|a|b "},
    {"G: a@b, c@d; , e@f", "{G -|-|a|b -|-|c|d } -|-|e|f "},
    {"Two Words:;", "{Two Words } "},
    {"G:a@b", "{G -|-|a|b } "},
    {"G:H:a@b;", "{G -|-|H|- } "},
    {",,a@b,, ,c@d,", "-|-|a|b -|-|c|d "},
    {"local", "-|-|local|- "},
    {"Ann Example", "Ann Example|-|-|- "},
    {"Ann Example a@b", "Ann Example a|-|-|- "},
    {"<>", "-|-|-|- "},
    {"Ann <>", "Ann|-|-|- "},
    {"a@b <c@d>", "a@b|-|c|d "},
    {"a@b <c>", "a@b|-|c|- "},
    {"a@b c@d, e@f", "-|-|a|b -|-|e|f "},
    {"a@", "-|-|a| "},
    {"@b", "-|-||b "},
    {"<a@b", "-|-|a|b "},
    {"<a b@c>", "-|-|ab|c "},
    {"\"unclosed <a@b>, c@d", "-|-|unclosed <a@b>, c@d|- "},
    {"(unclosed a@b", ""},
    {"\xc3\xa9 <\xc3\xa9@\xc3\xa9>", "\xc3\xa9|-|\xc3\xa9|\xc3\xa9 "},
    {"\"\" <a@b>", "|-|a|b "},
    {"A\r\n B <a@b>", "A B|-|a|b "},
    {"\"A\r\n\tB\" <a@b>", "A B|-|a|b "},
    {"; a@b", "-|-|a|b "},
    {")<>]", ")|-|-|- "},
};

static void put(struct out *out, struct slice s, char after)
{
    assert_true(s.at || s.len == 0);
    out_put(out, s.at ? s : S("-"));
    out_byte(out, after);
}

static void lists_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice text = slice_str(cases[i].text);
        char *copy = malloc(text.len + 1), *space = malloc(address_room(text.len));
        char shown[512];
        struct out out = out_of(shown, sizeof shown);
        struct address_reader reader;
        struct address a;

        assert_true(copy && space);
        memcpy(copy, text.at, text.len + 1);
        address_begin(&reader, slice_of(copy, text.len), space);
        while (address_next(&reader, &a)) {
            if (a.kind == ADDRESS_GROUP_END) {
                out_put(&out, S("} "));
            } else if (a.kind == ADDRESS_GROUP) {
                out_byte(&out, '{');
                put(&out, a.mailbox, ' ');
            } else {
                put(&out, a.name, '|');
                put(&out, a.route, '|');
                put(&out, a.mailbox, '|');
                put(&out, a.host, ' ');
            }
        }
        if (!slice_eq(out_slice(&out), slice_str(cases[i].want)))
            fail_msg("%s\n got %.*s\nwant %s", cases[i].text, (int)out.len, shown,
                cases[i].want);
        free(copy);
        free(space);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
