#include <crypt.h>

#include "tests/server/admin_support.h"

#include "server/password.h"

static const struct {
    const char *field;
    enum password_kind kind;
} kinds[] = {
    {"", PASSWORD_LOCKED},
    {"!", PASSWORD_LOCKED},
    {"*", PASSWORD_LOCKED},
    {"!$y$j9T$abc$def", PASSWORD_LOCKED},
    {"{CRYPT}", PASSWORD_LOCKED},
    {"{CRYPT}!", PASSWORD_LOCKED},
    {"{CRYPT}*0", PASSWORD_LOCKED},
    {"{PLAIN}", PASSWORD_LOCKED},
    {"{PLAIN}pw", PASSWORD_PLAIN},
    {"{plain}!pw", PASSWORD_PLAIN},
    {"{CLEARTEXT}pw", PASSWORD_PLAIN},
    {"{SSHA256}abcd", PASSWORD_UNKNOWN},
    {"{ARGON2ID}$argon2id$v=19$x", PASSWORD_UNKNOWN},
    {"{CRYPT", PASSWORD_UNKNOWN},
    {"{CRYPT}pw", PASSWORD_UNKNOWN},
    {"pw", PASSWORD_UNKNOWN},
    {"{PLAIN.b64}cHc=", PASSWORD_UNKNOWN},
};

static void test_kinds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (password_kind(slice_str(kinds[i].field)) != kinds[i].kind)
            fail_msg("%s", kinds[i].field);
}

static const char *const prefixes[] = {"$y$", "$gy$", "$7$", "$2b$", "$6$", "$5$", "$1$"};

static void test_every_scheme_of_crypt(void **state)
{
    static const char *const schemes[] = {"", "{CRYPT}", "{crypt}", "{SHA512-CRYPT}",
        "{BLF-CRYPT}", "{YESCRYPT}", "{MD5-CRYPT}"};

    (void)state;
    for (unsigned i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct crypt_data data = {0};
        char salt[CRYPT_GENSALT_OUTPUT_SIZE], field[512];
        unsigned long cost = prefixes[i][1] == '2' ? 4 : prefixes[i][1] == '7' ? 6 : 1;

        if (prefixes[i][1] == '5' || prefixes[i][1] == '6')
            cost = 1000;
        if (prefixes[i][1] == '1')
            cost = 0;
        assert_non_null(crypt_gensalt_rn(prefixes[i], cost, NULL, 0, salt, sizeof salt));
        snprintf(field, sizeof field, "%s%s", schemes[i],
            crypt_r("correct horse", salt, &data));
        assert_int_equal(password_kind(slice_str(field)), PASSWORD_CRYPT);
        if (!password_fits(slice_str(field), S("correct horse")))
            fail_msg("%s", field);
        assert_false(password_fits(slice_str(field), S("correct hors")));
        assert_false(password_fits(slice_str(field), S("")));
        assert_false(password_fits(slice_str(field), S("correct horse\0")));
    }
}

/* A hash that another program made. */
static void test_known_hash(void **state)
{
    struct slice field =
        S("{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnI"
          "FNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1");

    (void)state;
    assert_true(password_fits(field, S("Hello world!")));
    assert_false(password_fits(field, S("Hello world")));
}

static void test_plain(void **state)
{
    (void)state;
    assert_true(password_fits(S("{PLAIN}pw"), S("pw")));
    assert_false(password_fits(S("{PLAIN}pw"), S("pwd")));
    assert_false(password_fits(S("{PLAIN}pw"), S("p")));
    assert_false(password_fits(S("{PLAIN}pw"), S("")));
    assert_false(password_fits(S("{PLAIN}"), S("")));
    assert_false(password_fits(S(""), S("")));
    assert_false(password_fits(S("!"), S("!")));
    assert_false(password_fits(S("{SSHA}x"), S("x")));
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(password_equal(S("abc"), S("abc")));
    assert_true(password_equal(S(""), S("")));
    assert_false(password_equal(S("abc"), S("abd")));
    assert_false(password_equal(S("abc"), S("abcabc")));
    assert_false(password_equal(S("abcabc"), S("abc")));
    assert_false(password_equal(S(""), S("a")));
}

static void test_make(void **state)
{
    char one[PASSWORD_FIELD_MAX], two[PASSWORD_FIELD_MAX], longest[PASSWORD_MAX + 1];
    struct out a = out_of(one, sizeof one), b = out_of(two, sizeof two),
               none = out_of(one, 0), small = out_of(two, 8);

    (void)state;
    assert_true(password_make(S("pw"), &a));
    assert_true(password_make(S("pw"), &b));
    assert_false(slice_eq(out_slice(&a), out_slice(&b))); /* salted */
    assert_true(slice_starts_nocase(out_slice(&a), S("{CRYPT}$y$")));
    assert_true(password_fits(out_slice(&a), S("pw")));
    assert_false(password_make(S(""), &none));
    assert_false(password_make(S("a\0b"), &none));
    assert_false(password_make(S("pw"), &small));
    memset(longest, 'x', sizeof longest);
    b.len = 0;
    assert_true(password_make(slice_of(longest, PASSWORD_MAX), &b));
    assert_true(password_fits(out_slice(&b), slice_of(longest, PASSWORD_MAX)));
    assert_false(password_fits(out_slice(&b), slice_of(longest, PASSWORD_MAX + 1)));
    assert_false(password_make(slice_of(longest, PASSWORD_MAX + 1), &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_every_scheme_of_crypt),
        cmocka_unit_test(test_known_hash),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
