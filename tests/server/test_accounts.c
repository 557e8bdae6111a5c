#include <sys/socket.h>
#include <time.h>

#include "tests/server/admin_support.h"

#include "server/network.h"
#include "server/rand.h"

#define YES "{PLAIN}pw"

/* --- lines ------------------------------------------------------------- */

static const struct {
    const char *line;
    const char *name; /* NULL: refused, `password` is what is said */
    const char *password;
    bool login;
} lines[] = {
    {"anna@x.test:" YES, "anna@x.test", YES, true},
    {"ANNA@X.Test:" YES, "anna@x.test", YES, true},
    {"anna:" YES, "anna@x.test", YES, true},
    {"  anna@x.test  :" YES, "anna@x.test", YES, true},
    {"anna@x.test:" YES ":1000:1000::/home/anna:/bin/sh:", "anna@x.test", YES, true},
    {"anna@x.test:" YES "\r", "anna@x.test", YES, true},
    {"anna@x.test", "anna@x.test", "", false},
    {"anna@x.test:", "anna@x.test", "", false},
    {"anna@x.test:!", "anna@x.test", "!", false},
    {"anna@x.test:*", "anna@x.test", "*", false},
    {"anna@x.test:{PLAIN}", "anna@x.test", "{PLAIN}", false},
    {"anna@x.test:{CRYPT}!$y$x", "anna@x.test", "{CRYPT}!$y$x", false},
    {"anna@x.test:{SSHA}abc", "anna@x.test", "{SSHA}abc", false},
    {"anna@x.test:{PLAIN", "anna@x.test", "{PLAIN", false},
    {"anna@x.test:" YES "::::::nologin", "anna@x.test", YES, false},
    {"anna@x.test:" YES "::::::a=b nologin=y c=d", "anna@x.test", YES, false},
    {"anna@x.test:" YES "::::::nologins", "anna@x.test", YES, true},
    {"anna@x.test:" YES "::::::allow_nets=10.0.0.0/8,::1", "anna@x.test", YES, true},
    {"anna@x.test:" YES "::::::allow_nets=home", "anna@x.test", YES, false},
    {"\"a b\"@x.test:" YES, "\"a b\"@x.test", YES, true},
    {"\"anna\"@x.test:" YES, "anna@x.test", YES, true},
    {"b\xc3\xa4r@x.test:" YES, "b\xc3\xa4r@x.test", YES, true},
    {"\xef\xbb\xbf"
     "anna@x.test:" YES,
        "anna@x.test", YES, true},
    {"a.b-c_d.9@x.test:" YES, "a.b-c_d.9@x.test", YES, true},
    {"a..b@x.test:" YES, NULL, "not a name", false},
    {".a@x.test:" YES, NULL, "not a name", false},
    {"a.@x.test:" YES, NULL, "not a name", false},
    {"an na@x.test:" YES, NULL, "line 1: an na@x.test: not a name", false},
    {"@x.test:" YES, NULL, "not a name", false},
    {"anna@:" YES, NULL, "not a name", false},
    {":" YES, NULL, "not a name", false},
    {"a@b@x.test:" YES, NULL, "not a name", false},
    {"a@[127.0.0.1]:" YES, NULL, "not a name", false},
    {"../../etc/passwd@x.test:" YES, NULL, "not a name", false},
    {"\xff@x.test:" YES, NULL, "not a name", false},
};

/* Line i behind `before`, which holds `others` accounts. */
static void try_line(
    const struct config *c, const char *before, unsigned others, unsigned i)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%s%s", before, lines[i].line);
    const struct account *account;
    struct told told;
    struct accounts *a = accounts_with(c, slice_of(text, (size_t)n), S(""), NULL, &told);

    if (!a != !lines[i].name)
        fail_msg("%s: %s", text, told_text(&told));
    if (!a) {
        if (!others)
            assert_told(&told, lines[i].password);
        return;
    }
    assert_int_equal(accounts_count(a), others + 1);
    account = accounts_find(a, slice_str(lines[i].name));
    if (!account || account->login != lines[i].login ||
        !slice_eq(account_password(account), slice_str(lines[i].password)))
        fail_msg("%s", text);
    accounts_drop(a);
}

/* The first of a file, and behind another of its domain: what a line means is the same.
 */
static void test_lines(void **state)
{
    struct config *c = config_with("domain x.test\n");

    (void)state;
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        try_line(c, "", 0, i);
        if (!slice_starts_nocase(slice_str(lines[i].line), S("\xef\xbb\xbf")))
            try_line(c, "first@x.test:" YES "\n", 1, i);
    }
    config_free(c);
}

/* However far apart the two are, and however they are written. */
static void test_twice_is_found(void **state)
{
    static const char *const again[] = {"u3@x.test", "U3@X.Test", "\"u3\"@x.test", "u3"};
    struct config *c = config_with("domain x.test\n");
    char text[8192], expected[64];
    struct told told;

    (void)state;
    for (unsigned lines_between = 0; lines_between < 40; lines_between += 13)
        for (unsigned i = 0; i < sizeof again / sizeof *again; i++) {
            struct out out = out_of(text, sizeof text);
            unsigned last = 4 + lines_between;

            for (unsigned k = 0; k < last; k++) {
                out_str(&out, "u");
                out_u64(&out, k);
                out_str(&out, "@x.test:" YES "\n");
            }
            out_str(&out, again[i]);
            out_str(&out, ":" YES "\n");
            assert_null(accounts_with(c, out_slice(&out), S(""), NULL, &told));
            snprintf(expected, sizeof expected,
                "line %u: u3@x.test: has a line already, 4; remove", last + 1);
            assert_told(&told, expected);
        }
    config_free(c);
}

static void test_file(void **state)
{
    struct config *c = config_with("domain x.test\n");
    struct told told;
    struct accounts *a = accounts_with(c,
        S("# users\n\n   \nanna@x.test:" YES "\n#bert@x.test:" YES "\nbert:" YES), S(""),
        NULL, &told);

    (void)state;
    assert_non_null(a);
    assert_int_equal(accounts_count(a), 2);
    assert_true(slice_eq(accounts_at(a, 1)->name, S("bert@x.test")));
    assert_null(accounts_find(a, S("Anna@x.test"))); /* the caller folds */
    assert_null(accounts_find(a, S("")));
    accounts_drop(a);

    assert_null(accounts_with(
        c, S("anna@x.test:" YES "\n\nAnna@X.TEST:" YES), S(""), NULL, &told));
    assert_told(&told, "users, line 3: anna@x.test: has a line already, 1; remove");
    assert_null(accounts_with(c, S("anna@x.test:\0"), S(""), NULL, &told));
    assert_told(&told, "NUL");
    a = accounts_with(c, S(""), S(""), NULL, &told);
    assert_non_null(a);
    assert_int_equal(accounts_count(a), 0);
    accounts_drop(a);
    config_free(c);
}

/* The memory goes over, whether a snapshot comes of it or not. */
static void test_users_memory_goes_over(void **state)
{
    static const char *const texts[] = {
        "anna@x.test:" YES "\nbela@x.test:" YES, "anna@x.test:" YES "\nno name:" YES, ""};
    struct config *c = config_with("domain x.test\n");

    (void)state;
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        char buffer[200], *memory = strdup(texts[i]);
        struct out why = out_of(buffer, sizeof buffer);
        struct accounts_source source = {.config = c,
            .users = slice_str(memory),
            .users_memory = memory,
            .users_name = "users",
            .aliases_name = "aliases"};
        struct accounts *a = accounts_build(&source, &why);

        assert_int_equal(!a, i == 1);
        if (i == 0) {
            const struct account *bela = accounts_find(a, S("bela@x.test"));

            assert_non_null(bela);
            assert_true(account_password(bela).at > memory &&
                account_password(bela).at < memory + 60);
        }
        accounts_drop(a);
    }
    config_free(c);
}

static void test_long_password_is_refused(void **state)
{
    struct config *c = config_with("domain x.test\n");
    char line[ACCOUNT_SECRET_MAX + 64];
    int n = snprintf(line, sizeof line, "a@x.test:{PLAIN}%0*d", ACCOUNT_SECRET_MAX, 0);
    struct told told;

    (void)state;
    assert_null(accounts_with(c, slice_of(line, (size_t)n), S(""), NULL, &told));
    assert_told(&told, "line 1: the password field is longer than 1024 octets; `ring");
    config_free(c);
}

/* --- domains ----------------------------------------------------------- */

static void test_domains(void **state)
{
    struct config *named = config_with("domain X.test\ndomain y.test\ndomain x.test\n");
    struct config *none = config_with("");
    struct slice users = S("a@y.test:" YES "\nb@z.test:" YES "\nc@y.test:" YES "\n");
    struct slice domain;
    struct told told;
    struct accounts *a = accounts_with(named, users, S(""), NULL, &told);

    (void)state;
    assert_true(accounts_is_local(a, S("x.test")));
    assert_true(accounts_is_local(a, S("Y.TEST")));
    assert_false(accounts_is_local(a, S("z.test")));
    assert_false(accounts_is_local(a, S("")));
    assert_false(accounts_is_local(a, S("x.test.")));
    assert_true(accounts_domain_at(a, 1, &domain) && slice_eq(domain, S("y.test")));
    assert_false(accounts_domain_at(a, 2, &domain));
    accounts_drop(a);

    a = accounts_with(none, users, S(""), NULL, &told);
    assert_true(accounts_is_local(a, S("z.test")));
    assert_true(accounts_domain_at(a, 0, &domain) && slice_eq(domain, S("y.test")));
    assert_false(accounts_domain_at(a, 2, &domain));
    accounts_drop(a);

    assert_null(accounts_with(none, S("anna:" YES), S(""), NULL, &told));
    assert_told(&told, "without a domain");
    config_free(named);
    config_free(none);
}

static void test_login_names(void **state)
{
    static const struct {
        struct slice given;
        const char *name;
    } names[] = {
        {SI("anna@x.test"), "anna@x.test"},
        {SI("Anna@X.Test"), "anna@x.test"},
        {SI("anna"), "anna@x.test"},
        {SI("anna@other"), "anna@other"},
        {SI(""), ""},
        {SI("an na"), "an na@x.test"}, /* what nobody is called */
        {SI("\"An na\"@x.test"), "\"an na\"@x.test"},
        {SI("anna\n"), ""},
        {SI("an\0na"), ""},
        {SI("\x7f"), ""},
        {SI("%u%n%s"), "%u%n%s@x.test"},
    };
    struct config *c = config_with("domain x.test\n");
    struct told told;
    struct accounts *a = accounts_with(c, S(""), S(""), NULL, &told);
    char buffer[320], longest[400];

    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct slice name = accounts_name(a, names[i].given, buffer, sizeof buffer);

        if (!slice_eq(name, slice_str(names[i].name)))
            fail_msg("%u: %.*s", i, (int)name.len, name.at);
    }
    memset(longest, 'a', sizeof longest);
    assert_int_equal(
        accounts_name(a, slice_of(longest, 247), buffer, sizeof buffer).len, 254);
    assert_int_equal(
        accounts_name(a, slice_of(longest, 248), buffer, sizeof buffer).len, 0);
    assert_int_equal(
        accounts_name(a, slice_of(longest, 400), buffer, sizeof buffer).len, 0);
    accounts_drop(a);
    config_free(c);
}

/* --- snapshots --------------------------------------------------------- */

static uint64_t since(const struct accounts *a, const char *name)
{
    return accounts_find(a, slice_str(name))->since;
}

static void test_since(void **state)
{
    struct config *c = config_with("domain x.test\n");
    struct told told;
    struct accounts *one = accounts_with(
        c, S("a:{PLAIN}1\nb:{PLAIN}1\nc:{PLAIN}1\nd:{PLAIN}1"), S(""), NULL, &told);
    struct accounts *two = accounts_with(c,
        S("d:{PLAIN}1:::::: "
          "\nc:{PLAIN}1::::::nologin\nb:{PLAIN}2\na:{PLAIN}1\ne:{PLAIN}1"),
        S(""), one, &told);
    struct accounts *three =
        accounts_with(c, S("a:{PLAIN}1\nb:{PLAIN}2"), S(""), two, &told);

    (void)state;
    assert_int_equal(accounts_generation(one), 1);
    assert_int_equal(accounts_generation(three), 3);
    assert_int_equal(since(one, "a@x.test"), 1);
    assert_int_equal(since(two, "a@x.test"), 1);
    assert_int_equal(since(two, "b@x.test"), 2);
    assert_int_equal(since(two, "c@x.test"), 2);
    assert_int_equal(since(two, "d@x.test"), 1);
    assert_int_equal(since(two, "e@x.test"), 2);
    assert_int_equal(since(three, "a@x.test"), 1);
    assert_int_equal(since(three, "b@x.test"), 2);
    accounts_drop(one);
    accounts_drop(two);
    accounts_drop(accounts_take(three));
    assert_int_equal(accounts_count(three), 2); /* the first reference still holds it */
    accounts_drop(three);
    config_free(c);
}

static void test_removed_are_closed(void **state)
{
    struct config *c = config_with("domain x.test\n");
    struct accounts_source source = {.config = c,
        .users = S("a:{PLAIN}1\nb:{PLAIN}1"),
        .removed = S("gone@x.test\n b@x.test \n\n"),
        .users_name = "users",
        .aliases_name = "aliases"};
    struct told told;
    struct accounts *a = accounts_build(&source, told_open(&told));

    (void)state;
    assert_non_null(a);
    assert_true(accounts_find(a, S("a@x.test"))->login);
    assert_false(accounts_find(a, S("b@x.test"))->login);
    assert_true(accounts_find(a, S("b@x.test"))->disabled);
    accounts_drop(a);
    config_free(c);
}

struct warnings {
    unsigned count;
    char last[512];
};

static void take_warning(void *arg, const char *line)
{
    struct warnings *w = arg;

    w->count++;
    snprintf(w->last, sizeof w->last, "%s", line);
}

static unsigned warnings_of(
    const struct config *c, struct slice users, struct slice aliases, struct warnings *w)
{
    struct accounts_source source = {.config = c,
        .users = users,
        .aliases = aliases,
        .users_name = "users",
        .aliases_name = "aliases",
        .warn = take_warning,
        .arg = w};
    struct told told;
    struct accounts *a;

    w->count = 0;
    a = accounts_build(&source, told_open(&told));
    if (!a)
        fail_msg("%s", told_text(&told));
    accounts_drop(a);
    return w->count;
}

static void test_warnings(void **state)
{
    struct config *c = config_with("domain x.test\n");
    struct warnings w;
    char many[4096] = "";

    (void)state;
    assert_int_equal(warnings_of(c, S("a:" YES), S("b@x.test a@x.test"), &w), 0);
    assert_int_equal(warnings_of(c, S("#\na:{SSHA}x"), S(""), &w), 1);
    assert_non_null(strstr(w.last, "users, line 2: a@x.test: a password scheme"));
    assert_int_equal(warnings_of(c, S("a@y.test:" YES), S(""), &w), 1);
    assert_non_null(strstr(w.last, "no --domain"));
    assert_int_equal(warnings_of(c, S("a:" YES), S("\nb@x.test c@else.test"), &w), 0);
    assert_int_equal(
        warnings_of(c, S("a:" YES), S("\n@y.test @z.test\n@z.test @y.test"), &w), 2);
    assert_non_null(strstr(w.last, "aliases, line 3: @z.test: leads back to itself"));
    assert_int_equal(warnings_of(c, S("a:" YES), S("b@x.test c\nc@x.test b"), &w), 2);
    assert_non_null(strstr(w.last, "leads back to itself"));
    assert_int_equal(warnings_of(c, S("a:" YES), S("b@x.test nobody"), &w), 1);
    assert_non_null(strstr(w.last, "unknown"));
    for (int i = 0; i < 60; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "u%d:{SSHA}x\n", i);
    assert_int_equal(warnings_of(c, slice_str(many), S(""), &w), 20);
    config_free(c);
}

static void test_allow_nets(void **state)
{
    struct address v4 = {.family = AF_INET, .bytes = {[10] = 0xff, 0xff, 10, 1, 2, 3}};
    struct address v6 = {.family = AF_INET6, .bytes = {[15] = 1}};

    (void)state;
    assert_true(network_list_has(S("192.0.2.0/24,10.0.0.0/8"), &v4));
    assert_false(network_list_has(S("192.0.2.0/24"), &v4));
    assert_true(network_list_has(S("192.0.2.0/24,::1"), &v6));
    assert_false(network_list_has(S("::2"), &v6));
    assert_true(network_list_good(S("10.1.2.3")));
    assert_false(network_list_good(S("10.1.2.3,,")));
}

/* Hundreds of thousands of accounts load in a moment: linear, and a name that the hash
 * dislikes costs nothing more. */
static void test_many(void **state)
{
    enum { MANY = 200000 };
    struct config *c = config_with("domain x.test\n");
    size_t cap = (size_t)MANY * 32;
    char *text = malloc(cap);
    struct out out = out_of(text, cap);
    struct timespec start, end;
    struct told told;
    struct accounts *a;

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        out_str(&out, "u");
        out_u64(&out, i);
        out_str(&out, "@x.test:{PLAIN}pw\n");
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    a = accounts_with(c, out_slice(&out), S(""), NULL, &told);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_non_null(a);
    assert_int_equal(accounts_count(a), MANY);
    assert_non_null(accounts_find(a, S("u199999@x.test")));
    assert_null(accounts_find(a, S("u200000@x.test")));
    print_message("%d accounts in %.0f ms\n", MANY,
        (double)(end.tv_sec - start.tv_sec) * 1e3 +
            (double)(end.tv_nsec - start.tv_nsec) / 1e6);
    accounts_drop(a);
    free(text);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_long_password_is_refused),
        cmocka_unit_test(test_users_memory_goes_over),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_login_names),
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_removed_are_closed),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_allow_nets),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_twice_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
