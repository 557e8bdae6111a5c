#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/smtp/smtp.h"
#include "tests/proto/base/fence.h"

#define TEN(x)   x x x x x x x x x x
#define LABEL_63 TEN("abcdef") "abc"

static const struct {
    struct slice text;
    bool good;
} addresses[] = {
    {SI("a@b"), true},
    {SI("user@example.test"), true},
    {SI("first.last@example.test"), true},
    {SI("!#$%&'*+-/=?^_`{|}~@example.test"), true},
    {SI("\"quoted text\"@example.test"), true},
    {SI("\"a\\\"b\\\\c\"@example.test"), true},
    {SI("\"<>()[],;:@\"@example.test"), true},
    {SI("a@a-b.c_d.test"), true},
    {SI("a@1.2.3"), true},
    {SI("a@[192.0.2.1]"), true},
    {SI("a@[IPv6:2001:db8::1]"), true},
    {SI("a@[ipv6:::ffff:192.0.2.1]"), true},
    {SI("a@[x400:c=us;a=x]"), true},
    {SI("a@" LABEL_63 ".test"), true},
    {SI("\xc3\xa9@b.test"), true},
    {SI("a@\xc3\xa9.test"), true},
    {SI("\"\xc3\xa9 \"@b.test"), true},
    {SI(TEN(TEN("ab")) TEN("abcde") "abcdef@b.test"), true}, /* 256 */
    {SI(TEN(TEN("ab")) TEN("abcde") "abcdefg@b.test"), false},
    {SI("a@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63), true}, /* 255 */
    {SI("a@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 ".a"), false},
    {SI("a@" LABEL_63 "x.test"), false},
    {SI(""), false},
    {SI("a"), false},
    {SI("@b.test"), false},
    {SI("a@"), false},
    {SI("a@b@c.test"), false},
    {SI("a b@c.test"), false},
    {SI(".a@c.test"), false},
    {SI("a.@c.test"), false},
    {SI("a..b@c.test"), false},
    {SI("a@.c.test"), false},
    {SI("a@c.test."), false},
    {SI("a@c..test"), false},
    {SI("a@-c.test"), false},
    {SI("a@c-.test"), false},
    {SI("a@c.test "), false},
    {SI(" a@c.test"), false},
    {SI("a@c!d.test"), false},
    {SI("a@c,d"), false},
    {SI("a(comment)@c.test"), false},
    {SI("a<b@c.test"), false},
    {SI("\"\"@c.test"), false},
    {SI("\"a@c.test"), false},
    {SI("\"a\"b@c.test"), false},
    {SI("a\"b\"@c.test"), false},
    {SI("\"a\\"), false},
    {SI("\"a\\\"@c.test"), false},
    {SI("\"a\tb\"@c.test"), false},
    {SI("\"a\\\nb\"@c.test"), false},
    {SI("\"a\0b\"@c.test"), false},
    {SI("a\0b@c.test"), false},
    {SI("a@c\0.test"), false},
    {SI("a\x7f@c.test"), false},
    {SI("a@[192.0.2.1"), false},
    {SI("a@[192.0.2]"), false},
    {SI("a@[192.0.2.256]"), false},
    {SI("a@[]"), false},
    {SI("a@[IPv6:]"), false},
    {SI("a@[IPv6:1::2::3]"), false},
    {SI("a@[IPv6:12345::]"), false},
    {SI("a@[IPv6:fe80::1%eth0]"), false},
    {SI("a@[192.0.2.1\0]"), false},
    {SI("a@[tag:]"), false},
    {SI("a@[tag:a[b]"), false},
    {SI("a@[192.0.2.1]x"), false},
    {SI("\xff@b.test"), false},
};

static void addresses_are_those_of_rfc_5321(void **state)
{
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct slice text = fence_end(&fence, addresses[i].text);
        struct smtp_path path;
        bool ascii = true;

        for (size_t k = 0; k < text.len; k++)
            ascii = ascii && (unsigned char)text.at[k] < 0x80;
        if (smtp_mailbox(text, true, &path) != addresses[i].good)
            fail_msg("%.*s", (int)text.len, text.at);
        assert_int_equal(smtp_mailbox(text, false, &path), addresses[i].good && ascii);
    }
    fence_free(&fence);
}

/* Spellings of an address, and the one form in which it is looked up. */
static void one_address_has_one_form(void **state)
{
    static const struct {
        struct slice text, full, base, user, detail;
    } cases[] = {
        {SI("Ann@Here.TEST"), SI("ann@here.test"), SI("ann@here.test"), SI("ann"),
            SI("")},
        {SI("\"ann\"@here.test"), SI("ann@here.test"), SI("ann@here.test"), SI("ann"),
            SI("")},
        {SI("\"\\a\\Nn\"@here.test"), SI("ann@here.test"), SI("ann@here.test"), SI("ann"),
            SI("")},
        {SI("ann+News@here.test"), SI("ann+news@here.test"), SI("ann@here.test"),
            SI("ann"), SI("news")},
        {SI("\"ann+news\"@here.test"), SI("ann+news@here.test"), SI("ann@here.test"),
            SI("ann"), SI("news")},
        {SI("ann+a+b@here.test"), SI("ann+a+b@here.test"), SI("ann@here.test"), SI("ann"),
            SI("a+b")},
        {SI("ann+@here.test"), SI("ann+@here.test"), SI("ann@here.test"), SI("ann"),
            SI("")},
        {SI("+news@here.test"), SI("+news@here.test"), SI("+news@here.test"), SI("+news"),
            SI("")},
        {SI("\"Ann Lee\"@here.test"), SI("\"ann lee\"@here.test"),
            SI("\"ann lee\"@here.test"), SI("\"ann lee\""), SI("")},
        {SI("\"\\A\\ b\"@here.test"), SI("\"a b\"@here.test"), SI("\"a b\"@here.test"),
            SI("\"a b\""), SI("")},
        {SI("\"a\\\"\\\\+x\"@here.test"), SI("\"a\\\"\\\\+x\"@here.test"),
            SI("\"a\\\"\\\\+x\"@here.test"), SI("\"a\\\"\\\\+x\""), SI("")},
        {SI("\"x@other.test\"@here.test"), SI("\"x@other.test\"@here.test"),
            SI("\"x@other.test\"@here.test"), SI("\"x@other.test\""), SI("")},
        {SI("\".a\"@here.test"), SI("\".a\"@here.test"), SI("\".a\"@here.test"),
            SI("\".a\""), SI("")},
        {SI("\xc3\x89va@here.test"), SI("\xc3\x89va@here.test"),
            SI("\xc3\x89va@here.test"), SI("\xc3\x89va"), SI("")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = arena_of(4096);
        struct smtp_path path;
        struct smtp_addr addr;

        assert_true(smtp_mailbox(cases[i].text, true, &path));
        assert_true(smtp_addr_of(&path, S("home.test"), '+', &arena, &addr));
        assert_true(slice_eq(addr.full, cases[i].full));
        assert_true(slice_eq(addr.base, cases[i].base));
        assert_true(slice_eq(addr.user, cases[i].user));
        assert_true(slice_eq(addr.detail, cases[i].detail));
        assert_true(slice_eq(addr.domain, S("here.test")));
        /* The form is an address, and its own form. */
        assert_true(smtp_mailbox(addr.full, true, &path));
        assert_true(smtp_addr_of(&path, S("home.test"), '+', &arena, &addr));
        assert_true(slice_eq(addr.full, cases[i].full));
        arena_reset(&arena);
    }
}

static void details_and_home_are_the_callers(void **state)
{
    struct arena arena = arena_of(4096), none = arena_of(8);
    struct smtp_path path = {
        .kind = SMTP_PATH_POSTMASTER, .text = S("Postmaster"), .local = S("Postmaster")};
    struct smtp_addr addr;

    (void)state;
    assert_true(smtp_addr_of(&path, S("Home.test"), '+', &arena, &addr));
    assert_true(slice_eq(addr.full, S("postmaster@home.test")));
    assert_true(smtp_mailbox(S("a-b+c@d.test"), false, &path));
    assert_true(smtp_addr_of(&path, S(""), 0, &arena, &addr));
    assert_true(slice_eq(addr.base, S("a-b+c@d.test")));
    assert_true(smtp_addr_of(&path, S(""), '-', &arena, &addr));
    assert_true(slice_eq(addr.base, S("a@d.test")));
    assert_false(smtp_addr_of(&path, S(""), '-', &none, &addr));
    path.kind = SMTP_PATH_NULL;
    assert_false(smtp_addr_of(&path, S(""), '-', &arena, &addr));
    arena_reset(&arena);
}

static void domains_alone(void **state)
{
    (void)state;
    assert_true(smtp_is_domain(S("here.test"), false));
    assert_true(smtp_is_domain(S("localhost"), false));
    assert_true(smtp_is_domain(S("b\xc3\xbc.test"), true));
    assert_false(smtp_is_domain(S("b\xc3\xbc.test"), false));
    assert_false(smtp_is_domain(S("b\xc3.test"), true));
    assert_false(smtp_is_domain(S(""), true));
    assert_false(smtp_is_domain(S("here.test."), true));
    assert_false(smtp_is_domain(S("[192.0.2.1]"), true));
    assert_false(smtp_is_domain(S("a b"), true));
    assert_false(smtp_is_domain(S("*"), true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_those_of_rfc_5321),
        cmocka_unit_test(one_address_has_one_form),
        cmocka_unit_test(details_and_home_are_the_callers),
        cmocka_unit_test(domains_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
