/* The command line of ringmail-bench. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/options.h"

enum { WORDS_MAX = 32 };

/* Parses words with spaces between them; the rest of `why` is NUL. */
static bool parse(struct options *o, const char *line, char why[OPTIONS_WHY_MAX])
{
    static char text[1024];
    struct out out = out_of(why, OPTIONS_WHY_MAX - 1);
    char *argv[WORDS_MAX], *rest = text, *word;
    int argc = 0;
    bool good;

    snprintf(text, sizeof text, "%s", line);
    while ((word = strtok_r(rest, " ", &rest)) && argc < WORDS_MAX)
        argv[argc++] = word;
    good = options_parse(o, argc, argv, &out);
    why[out.len] = 0;
    return good;
}

static void flags_become_values(void **state)
{
    struct options o;
    char why[OPTIONS_WHY_MAX];

    (void)state;
    assert_true(parse(&o,
        "smtp --to 127.0.0.1:25 --connections 2K --time 1.5 --rate 250.5 --threads 3 "
        "--users a%d@x.test --user-first 7 --user-count 9 --tls=starttls --pipeline no "
        "--server-pid 4 --server-pid 5 --recipients 9 --per-connection 1 --quiet",
        why));
    assert_int_equal(o.mode, MODE_SMTP);
    assert_int_equal(o.connections, 2048);
    assert_int_equal(o.time_ns, 1500000000);
    assert_true(o.rate > 250.4 && o.rate < 250.6);
    assert_int_equal(o.threads, 3);
    assert_int_equal(o.tls, TLS_STARTTLS);
    assert_int_equal(o.depth, 0);
    assert_int_equal(o.pids.count, 2);
    assert_int_equal(o.pids.at[1], 5);
    assert_int_equal(o.users.first, 7);
    assert_int_equal(o.recipients, 9);
    assert_true(o.quiet);
    assert_int_equal(o.to.address.ss_family, AF_INET);
    options_free(&o);
}

static void presets_hold(void **state)
{
    struct options o;
    char why[OPTIONS_WHY_MAX];

    (void)state;
    assert_true(parse(&o, "imap --to [::1]:143", why));
    assert_int_equal(o.op, OP_NOOP);
    assert_int_equal(o.connections, 1);
    assert_int_equal(o.threads, 1);
    assert_int_equal(o.depth, 1);
    assert_int_equal(o.time_ns, 10000000000);
    assert_string_equal(o.mailbox, "INBOX");
    assert_int_equal(o.sizes.largest, 1024);
    options_free(&o);
    assert_true(parse(&o, "imap --to unix:/tmp/x --op body --count 5 --pipeline 8", why));
    assert_int_equal(o.depth, 8);
    assert_int_equal(o.count, 5);
    assert_true(o.time_ns > 1000000000000);
    assert_int_equal(o.to.address.ss_family, AF_UNIX);
    options_free(&o);
    assert_true(parse(&o, "smtp --to 127.0.0.1:1 --connections 2 --threads 8", why));
    assert_int_equal(o.threads, 2); /* none without a connection */
    options_free(&o);
}

/* A message names the flag and says what to write. */
static const struct {
    const char *line, *named, *remedy;
} wrong[] = {
    {"", "mode", "ringmail-bench smtp"},
    {"--to 127.0.0.1:25", "mode", "ringmail-bench smtp"},
    {"ftp --to 127.0.0.1:25", "ftp", "smtp"},
    {"smtp", "--to", "--to 127.0.0.1:25"},
    {"smtp --to 127.0.0.1", "--to 127.0.0.1", "127.0.0.1:25"},
    {"smtp --to 127.0.0.1:70000", "--to", "127.0.0.1:25"},
    {"smtp --to unix:", "--to unix:", "unix:/path"},
    {"smtp --to", "--to", "needs a value"},
    {"smtp --connections x --to 127.0.0.1:25", "--connections x", "--connections 1"},
    {"smtp --connections 0 --to 127.0.0.1:25", "--connections 0", "--connections 1"},
    {"smtp --threads 65 --to 127.0.0.1:25", "--threads 65", "--threads 64"},
    {"smtp --time soon --to 127.0.0.1:25", "--time soon", "10"},
    {"smtp --rate -1 --to 127.0.0.1:25", "--rate -1", "500"},
    {"smtp --rate 1e-10 --to 127.0.0.1:25", "--rate 1e-10", "500"},
    {"smtp --rate nan --to 127.0.0.1:25", "--rate nan", "500"},
    {"smtp --tls ssl --to 127.0.0.1:25", "--tls ssl", "none|implicit|starttls"},
    {"smtp --size big --to 127.0.0.1:25", "--size big", "1K"},
    {"smtp --users u%s --to 127.0.0.1:25", "--users u%s", "%d"},
    {"smtp --users-file /nonexistent --to 127.0.0.1:25", "/nonexistent", "No such file"},
    {"smtp --pipeline 0 --to 127.0.0.1:25", "--pipeline 0", "yes, no or a number"},
    {"smtp --op noop --to 127.0.0.1:25", "--op", "leave it out"},
    {"smtp --quiet=yes --to 127.0.0.1:25", "--quiet", "leave it out"},
    {"smtp --nothing --to 127.0.0.1:25", "--nothing", "--help"},
    {"smtp to --to 127.0.0.1:25", "to", "--"},
    {"smtp --server-pid me --to 127.0.0.1:25", "--server-pid me", "number"},
    {"smtp --timeout 0 --to 127.0.0.1:25", "--timeout 0", "--timeout 60s"},
    {"lmtp --tls implicit --to 127.0.0.1:24", "--tls implicit", "starttls"},
    {"mixed --to 127.0.0.1:143", "--deliver", "--deliver 127.0.0.1:25"},
    {"smtp --users one@x.test --user-count 2 --to 127.0.0.1:25", "--users one@x.test",
        "%d"},
    {"sink --to 127.0.0.1:25", "--to", "leave it out"},
    {"sink", "--listen", "--listen 127.0.0.1:2525"},
};

static void bad_usage_says_what_to_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct options o;
        char why[OPTIONS_WHY_MAX];

        if (parse(&o, wrong[i].line, why) || !strstr(why, wrong[i].named) ||
            !strstr(why, wrong[i].remedy) || strchr(why, '\n'))
            fail_msg("%s: %s", wrong[i].line, why);
        options_free(&o);
    }
}

static void times_have_units(void **state)
{
    static const struct {
        struct slice text;
        int64_t ns;
    } good[] = {{SI("2"), 2000000000}, {SI("0.5"), 500000000}, {SI("20ms"), 20000000},
        {SI("3us"), 3000}, {SI("2m"), 120000000000}, {SI("1h"), 3600000000000}};
    static const struct slice bad[] = {
        SI(""), SI("s"), SI("1x"), SI("1.2.3"), SI("-1"), SI("1 s"), SI("99999999999h")};
    int64_t ns;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(options_time(good[i].text, &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(options_time(bad[i], &ns));
}

static void help_names_every_mode_and_fits_the_width(void **state)
{
    char *text = calloc(1, 65536), *line, *rest = text;
    struct out out = out_of(text, 65535);
    struct options o;
    char why[OPTIONS_WHY_MAX];

    (void)state;
    options_help(&out);
    assert_false(out.full);
    for (unsigned i = 0; i < MODE_COUNT; i++)
        assert_non_null(strstr(text, mode_names[i]));
    assert_non_null(strstr(text, "--verify"));
    while ((line = strtok_r(rest, "\n", &rest)))
        assert_true(strlen(line) <= 90);
    free(text);
    assert_true(parse(&o, "smtp --nonsense --help", why));
    assert_true(o.help);
    options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_become_values),
        cmocka_unit_test(presets_hold),
        cmocka_unit_test(bad_usage_says_what_to_write),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(help_names_every_mode_and_fits_the_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
