#include <fcntl.h>
#include <unistd.h>

#include "tests/server/admin_support.h"

#include "server/config_limits.h"
#include "server/config_table.h"

static bool set(struct config *c, const char *name, const char *value, struct told *told)
{
    return config_set(c, slice_str(name), slice_str(value ? value : ""), value != NULL,
        told_open(told));
}

/* --- numbers ----------------------------------------------------------- */

static const struct {
    const char *text;
    bool good;
    uint64_t value;
} sizes[] = {
    {"0", true, 0},
    {"1", true, 1},
    {"64M", true, 64 << 20},
    {"64m", true, 64 << 20},
    {"4K", true, 4096},
    {"2G", true, 2ull << 30},
    {"1T", true, 1ull << 40},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"16777216T", false, 0},
    {"", false, 0},
    {"M", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {"1.5M", false, 0},
    {"1MB", false, 0},
    {" 1", false, 0},
    {"0x10", false, 0},
};

static void test_sizes(void **state)
{
    uint64_t value;

    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool good = config_size(slice_str(sizes[i].text), &value);

        if (good != sizes[i].good || (good && value != sizes[i].value))
            fail_msg("%s", sizes[i].text);
    }
    assert_true(config_seconds(S("5m"), &value) && value == 300);
    assert_true(config_seconds(S("2h"), &value) && value == 7200);
    assert_true(config_seconds(S("1d"), &value) && value == 86400);
    assert_true(config_seconds(S("60s"), &value) && value == 60);
    assert_false(config_seconds(S("5w"), &value));
}

static void test_print_number(void **state)
{
    char buffer[32];
    struct out out = out_of(buffer, sizeof buffer);

    (void)state;
    config_print_number(&out, FLAG_SIZE, 64 << 20);
    config_print_number(&out, FLAG_SIZE, 1500);
    config_print_number(&out, FLAG_SECONDS, 1800);
    config_print_number(&out, FLAG_SIZE, 0);
    config_print_number(&out, FLAG_COUNT, 4096);
    assert_true(slice_eq(out_slice(&out), S("64M150030m04096")));
}

/* --- the table itself -------------------------------------------------- */

static bool is_number(const struct flag *f)
{
    return f->type == FLAG_COUNT || f->type == FLAG_SIZE || f->type == FLAG_SECONDS;
}

/* Every preset is within its own bounds, every bound is taken, what lies beyond is not,
 * and the message names flag, value and remedy. */
static void test_every_bound(void **state)
{
    struct config *c = config_new();

    (void)state;
    assert_non_null(c); /* presets are parsed like what an operator writes */
    for (unsigned i = 0; i < config_table_count; i++) {
        const struct flag *f = &config_table[i];
        char text[32], remedy[64];
        struct told told;

        if (!is_number(f))
            continue;
        snprintf(text, sizeof text, "%llu", (unsigned long long)f->min);
        assert_true(set(c, f->name, text, &told));
        snprintf(text, sizeof text, "%llu", (unsigned long long)f->max);
        assert_true(set(c, f->name, text, &told));
        snprintf(text, sizeof text, "%llu", (unsigned long long)f->max + 1);
        assert_false(set(c, f->name, text, &told));
        snprintf(remedy, sizeof remedy, "write --%s ", f->name);
        assert_told(&told, text);
        assert_told(&told, remedy);
        if (f->min > 0) {
            snprintf(text, sizeof text, "%llu", (unsigned long long)f->min - 1);
            assert_false(set(c, f->name, text, &told));
            assert_told(&told, "too small");
        }
        assert_false(set(c, f->name, "lots", &told));
        assert_told(&told, "lots");
    }
    config_free(c);
}

/* What is promised for every limit that a peer can meet. */
static const struct {
    const char *name;
    uint64_t preset;
} limits[] = {
    {"max-smtp-line", 4096},
    {"max-smtp-auth-line", 12288},
    {"max-recipients", 1000},
    {"max-message-size", 50 << 20},
    {"max-header-field", 1 << 20},
    {"max-header", 10 << 20},
    {"max-mime-depth", 100},
    {"max-mime-parts", 10000},
    {"max-field-addresses", 1000},
    {"max-parameter-pieces", 128},
    {"max-received", 50},
    {"max-smtp-errors", 20},
    {"max-imap-errors-before-login", 5},
    {"max-imap-errors", 25},
    {"max-pop3-errors", 10},
    {"max-failed-logins", 5},
    {"max-imap-command", 64 << 10},
    {"max-imap-command-before-login", 8 << 10},
    {"max-imap-literal", 64 << 10},
    {"max-imap-literal-before-login", 4 << 10},
    {"max-imap-depth", 50},
    {"max-imap-ranges", 1000},
    {"max-keywords", 256},
    {"max-mailbox-name", 512},
    {"max-mailbox-levels", 32},
    {"max-mailbox-names", 960 << 10},
    {"max-mailboxes", 10000},
    {"max-unsent", 256 << 10},
    {"max-connections", 20000},
    {"max-connections-address", 100},
    {"max-connections-user", 20},
    {"max-hop-line", 4 << 10},
    {"max-hop-lines", 128},
    {"login-timeout", 60},
    {"handshake-timeout", 15},
    {"smtp-timeout", 300},
    {"idle-timeout", 1800},
};

static void test_limits_have_their_defaults(void **state)
{
    struct config *c = config_new();

    (void)state;
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct flag *flag = NULL;
        uint64_t value;

        for (unsigned k = 0; k < config_table_count; k++)
            if (strcmp(config_table[k].name, limits[i].name) == 0)
                flag = &config_table[k];
        if (!flag || !is_number(flag))
            fail_msg("--%s is no flag", limits[i].name);
        memcpy(&value, (const char *)c + flag->offset, sizeof value);
        if (value != limits[i].preset)
            fail_msg("--%s", limits[i].name);
        assert_true(flag->max >= value && flag->max < UINT32_MAX);
    }
    config_free(c);
}

/* The parsers' own defaults are those of the flags, and what is set gets to them; their
 * hard bounds hold at the largest value that a flag takes. */
static void test_limits_reach_the_parsers(void **state)
{
    static const char *const given[][2] = {{"max-smtp-line", "10000"},
        {"max-smtp-auth-line", "10001"}, {"max-header-field", "70000"},
        {"max-header", "70001"}, {"max-mime-depth", "68"}, {"max-mime-parts", "69"},
        {"max-field-addresses", "70"}, {"max-parameter-pieces", "71"},
        {"max-imap-depth", "72"}, {"max-imap-ranges", "173"}, {"max-mailbox-name", "74"},
        {"max-mailbox-levels", "7"}};
    struct config *c = config_new();
    struct smtp_limits smtp = config_smtp_limits(c);
    struct summary_limits summary = config_summary_limits(c);
    struct imap_parse_limits imap = config_imap_limits(c);
    struct told told;

    (void)state;
    assert_memory_equal(&smtp, &smtp_defaults, sizeof smtp);
    assert_memory_equal(&summary, &summary_defaults, sizeof summary);
    assert_memory_equal(&imap, &imap_parse_defaults, sizeof imap);
    for (unsigned i = 0; i < sizeof given / sizeof *given; i++)
        if (!set(c, given[i][0], given[i][1], &told))
            fail_msg("%s", told_text(&told));
    smtp = config_smtp_limits(c);
    summary = config_summary_limits(c);
    imap = config_imap_limits(c);
    assert_true(smtp.line == 10000 && smtp.auth_line == 10001);
    assert_true(summary.field == 70000 && summary.header == 70001);
    assert_true(summary.depth == 68 && summary.parts == 69 && summary.addresses == 70);
    assert_int_equal(summary.pieces, 71);
    assert_true(imap.depth == 72 && imap.ranges == 173 && imap.name.octets == 74);
    assert_int_equal(imap.name.levels, 7);
    config_free(c);
}

static void test_names_are_unique_and_helped(void **state)
{
    char *room = malloc(1 << 16);
    struct out out = out_of(room, 1 << 16);

    (void)state;
    config_help(&out, NULL);
    assert_false(out.full);
    for (unsigned i = 0; i < config_table_count; i++) {
        char text[64];

        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(config_table[i].name, config_table[j].name);
        if (config_table[i].type == FLAG_GROUP)
            continue;
        snprintf(text, sizeof text, "  --%s", config_table[i].name);
        assert_non_null(memmem(out.at, out.len, text, strlen(text)));
        assert_true(strlen(config_table[i].help) > 5);
    }
    for (size_t i = 0, column = 0; i < out.len; i++) {
        column = out.at[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 80);
    }
    free(room);
}

static void test_man_has_every_flag(void **state)
{
    char *room = malloc(1 << 17);
    struct out out = out_of(room, 1 << 17);
    unsigned flags = 0, items = 0;

    (void)state;
    config_man(&out);
    assert_false(out.full);
    for (unsigned i = 0; i < config_table_count; i++)
        flags += config_table[i].type != FLAG_GROUP;
    for (char *at = room; (at = memmem(at, (size_t)(room + out.len - at), ".TP\n", 4));
         at++)
        items++;
    assert_int_equal(items, flags);
    free(room);
}

/* --- the command line -------------------------------------------------- */

static bool parse(struct config *c, const char *words, const char *const *only,
    unsigned operand_max, unsigned *operand_count, struct told *told)
{
    char *copy = strdup(words), *argv[32], *operands[4];
    int argc = 0;
    bool good;

    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    good = config_parse(
        c, argc, argv, only, operands, operand_max, operand_count, told_open(told));
    free(copy);
    return good;
}

static void test_command_line(void **state)
{
    static const char *const only[] = {"data", "users", NULL};
    struct config *c = config_new();
    struct told told;
    unsigned count;

    (void)state;
    assert_true(parse(c,
        "--data /a --max-recipients=200 --imap 127.0.0.1:143 --imaps [::1]:993 "
        "--smtp [::]:25 --domain A.test --domain b.test --log-priority "
        "--allow-plaintext 127.0.0.0/8 --pin no --log-level debug",
        NULL, 0, &count, &told));
    assert_string_equal(c->data, "/a");
    assert_int_equal(c->max_recipients, 200);
    assert_int_equal(c->listener_count, 3);
    assert_int_equal(c->listeners[1].protocol, PROTO_IMAP);
    assert_true(c->listeners[1].implicit_tls && !c->listeners[0].implicit_tls);
    assert_int_equal(c->listeners[1].address.port, 993);
    assert_int_equal(c->listeners[2].protocol, PROTO_SMTP);
    assert_int_equal(c->listeners[2].address.family, AF_INET6);
    assert_string_equal(config_listener_name(&c->listeners[1]), "imaps");
    assert_int_equal(c->domains.count, 2);
    assert_int_equal(c->allow_plaintext.count, 1);
    assert_true(c->log_priority && !c->pin);
    assert_int_equal(c->log_level, 4);
    assert_false(parse(c, "stray", NULL, 0, &count, &told));
    assert_told(&told, "stray");
    assert_true(parse(c, "add u@x.test --data /b", only, 2, &count, &told));
    assert_int_equal(count, 2);
    assert_false(parse(c, "--imap 127.0.0.1:1", only, 0, &count, &told));
    config_free(c);
}

static const struct {
    const char *words, *says;
} mistakes[] = {
    {"--max-recipient 5", "did you mean --max-recipients?"},
    {"--imap-port 143", "no such flag"},
    {"--zzzzzzzzzzzz", "--help lists"},
    {"--data", "no value; write --data DIR"},
    {"--data=", "no value"},
    {"--imap localhost:143", "not an address with a port"},
    {"--imap 127.0.0.1", "not an address with a port"},
    {"--imap 127.0.0.1:99999", "not an address with a port"},
    {"--imap unix:/x", "not an address with a port"},
    {"--smtp unix:/x", "not an address with a port"},
    {"--lmtp unix:", "not a path of at most 107 octets"},
    {"--lmtp /run/lmtp", "not an address with a port; write it like 0.0.0.0:24"},
    {"--proxy-from localhost", "not a network"},
    {"--max-hold 1s", "too small"},
    {"--nntp 127.0.0.1:119", "no such flag"},
    {"--allow-plaintext 127.0.0.1/8", "not a network"},
    {"--allow-plaintext everywhere", "not a network"},
    {"--pin maybe", "not one of no|yes"},
    {"--log-level loud", "not one of error|warning|notice|info|debug"},
    {"--log-priority=yes", "takes no value"},
    {"--max-message-size 3T", "write --max-message-size 2G or less"},
    {"--max-recipients 99", "write --max-recipients 100 or more"},
    {"--max-recipients many", "not a number; write --max-recipients 1000"},
    {"--shards many", "not a number; write --shards N"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct config *c = config_new();
        struct told told;
        unsigned count;

        if (parse(c, mistakes[i].words, NULL, 0, &count, &told))
            fail_msg("%s was taken", mistakes[i].words);
        assert_told(&told, mistakes[i].says);
        assert_null(strchr(told_text(&told), '\n'));
        config_free(c);
    }
}

static void test_hostile_value_is_one_line(void **state)
{
    struct config *c = config_new();
    struct told told;

    (void)state;
    assert_false(set(c, "max-recipients", "1\n2\033[31m", &told));
    assert_null(strchr(told_text(&told), '\n'));
    assert_null(strchr(told_text(&told), '\033'));
    assert_false(config_set(c, S("data"), S("a\0b"), true, told_open(&told)));
    config_free(c);
}

static void test_default_list_gives_way(void **state)
{
    struct config *c = config_new();
    struct told told;

    (void)state;
    assert_int_equal(c->folders.count, 5);
    assert_true(set(c, "folder", "Sent=sent", &told));
    assert_true(set(c, "folder", "Work", &told));
    assert_int_equal(c->folders.count, 2);
    assert_string_equal(c->folders.at[1], "Work");
    config_free(c);
}

/* --- the file ---------------------------------------------------------- */

static void test_file_lines(void **state)
{
    struct config *c = config_new();
    struct told told;
    bool good = config_text(c,
        S("# all of it\n"
          "\n"
          "data /srv/mail   # here\n"
          "  --max-recipients 300\r\n"
          "hostname=mail.test\n"
          "domain = x.test\n"
          "recipient-delimiter \"#\"\n"
          "user a#b\n"
          "log-priority\n"
          "smtp 127.0.0.1:25"),
        "f", told_open(&told));

    (void)state;
    if (!good)
        fail_msg("%s", told_text(&told));
    assert_string_equal(c->data, "/srv/mail");
    assert_int_equal(c->max_recipients, 300);
    assert_string_equal(c->hostname, "mail.test");
    assert_string_equal(c->domains.at[0], "x.test");
    assert_string_equal(c->recipient_delimiter, "#");
    assert_string_equal(c->user, "a#b");
    assert_true(c->log_priority);
    assert_int_equal(c->listener_count, 1);
    config_free(c);
}

static void test_file_names_the_line(void **state)
{
    struct config *c = config_new();
    struct told told;

    (void)state;
    assert_false(config_text(
        c, S("data /a\n\nmax-recipients 1\n"), "/etc/r.conf", told_open(&told)));
    assert_told(&told, "(/etc/r.conf, line 3)");
    assert_told(&told, "write --max-recipients 100 or more");
    config_free(c);
}

static void test_quotes_are_closed_at_the_end(void **state)
{
    static const char *const bad[] = {
        "data \"/a", "data \"/a\"b", "data \"/a\" b", "data \""};
    struct config *c = config_new();
    struct told told;

    (void)state;
    assert_true(config_text(
        c, S("data \"/a # b\" # c\nusers = \"/u\"\n"), "t", told_open(&told)));
    assert_string_equal(c->data, "/a # b");
    assert_string_equal(c->users, "/u");
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(config_text(c, slice_str(bad[i]), "t", told_open(&told)));
        assert_told(&told, "--data: the quotes around the value are not closed");
        assert_told(&told, "(t, line 1)");
    }
    config_free(c);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_file_within_a_file(void **state)
{
    char path[] = "/tmp/ringmail-test-XXXXXX", text[64];
    struct config *c = config_new();
    struct told told;

    (void)state;
    close(mkstemp(path));
    snprintf(text, sizeof text, "config %s\n", path);
    write_file(path, text);
    assert_false(set(c, "config", path, &told));
    assert_told(&told, "can't name another");
    write_file(path, "max-recipients 250\n");
    assert_true(set(c, "config", path, &told));
    assert_int_equal(c->max_recipients, 250);
    unlink(path);
    assert_false(set(c, "config", path, &told));
    assert_told(&told, path);
    assert_false(set(c, "config", "/tmp", &told));
    config_free(c);
}

/* --- between flags ----------------------------------------------------- */

static const struct {
    const char *lines;
    bool serve;
    const char *says; /* NULL: good */
} checks[] = {
    {"", false, "--data"},
    {"data /a\n", false, NULL},
    {"data /a\n", true, "no port is named"},
    {"data /a\nsmtp 127.0.0.1:25\n", true, NULL},
    {"data /a\nimaps 127.0.0.1:993\n", true, "needs a certificate"},
    {"data /a\nimap 127.0.0.1:143\n", true, "nobody could log in"},
    {"data /a\nimap 127.0.0.1:143\nallow-plaintext 127.0.0.0/8\n", true, NULL},
    {"data /a\nimaps 127.0.0.1:993\ntls-cert c\ntls-key k\n", true, NULL},
    {"data /a\nimaps 127.0.0.1:993\ntls-cert c\n", true, "--tls-cert"},
    {"data /a\nsmtp 127.0.0.1:25\nsmtp 127.0.0.1:25\n", true, "named twice"},
    {"data /a\nsmtp 127.0.0.1:0\nsmtp 127.0.0.1:0\n", true, NULL},
    {"data /a\nlmtp 127.0.0.1:24\nlmtp unix:/run/x/lmtp\n", true, NULL},
    {"data /a\nlmtp [::1]:25\n", true, "not on port 25"},
    {"data /a\nlmtp unix:/l\nlmtp unix:/l\n", true, "named twice"},
    {"data /a\nsmtp 127.0.0.1:25\nsegment-size 1500K\n", true, "--segment-size"},
    {"data /a\nsmtp 127.0.0.1:25\nresolver 192.0.2.53\n", true,
        "--resolver 192.0.2.53: not an address with a port; write it like 127.0.0.1:53"},
    {"data /a\nsmtp 127.0.0.1:25\nresolver [::1]:0\n", true, "--resolver [::1]:0"},
    {"data /a\nsmtp 127.0.0.1:25\nresolver [::1]:53\n", true, NULL},
    {"data /a\nhostname no_/host\n", false, "--hostname"},
    {"data /a\ndomain a..b\n", false, "--domain"},
    {"data /a\nrecipient-delimiter ++\n", false, "--recipient-delimiter"},
    {"data /a\nrecipient-delimiter @\n", false, "--recipient-delimiter"},
    {"data /a\nrecipient-delimiter none\n", false, NULL},
    {"data /a\npostmaster anna\n", false, "--postmaster"},
    {"data /a\ncatch-all x.test\n", false, "--catch-all"},
    {"data /a\ncatch-all x.test=anna\n", false, "--catch-all"},
    {"data /a\ncatch-all x.test=anna@x.test\n", false, NULL},
    {"data /a\nfolder Sent=outbox\n", false, "no such use"},
    {"data /a\nfolder \"=sent\"\n", false, "not a name of a mailbox"},
};

static void test_finish(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct config *c = config_new();
        struct told told;
        bool good;

        assert_true(config_text(c, S("hostname h.test\n"), "t", told_open(&told)));
        assert_true(config_text(c, slice_str(checks[i].lines), "t", told_open(&told)));
        good = config_finish(c, checks[i].serve, told_open(&told));
        if (good != !checks[i].says)
            fail_msg("%s: %s", checks[i].lines, told_text(&told));
        if (checks[i].says)
            assert_told(&told, checks[i].says);
        config_free(c);
    }
}

static void test_finished_paths(void **state)
{
    struct config *c = config_with("aliases /etc/aliases\n");

    (void)state;
    assert_string_equal(c->users, "/nowhere/users");
    assert_string_equal(c->aliases, "/etc/aliases");
    assert_true(c->aliases_wanted);
    assert_string_equal(c->control_path, "/nowhere/control");
    assert_int_equal(c->delimiter, '+');
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_print_number),
        cmocka_unit_test(test_every_bound),
        cmocka_unit_test(test_limits_have_their_defaults),
        cmocka_unit_test(test_limits_reach_the_parsers),
        cmocka_unit_test(test_names_are_unique_and_helped),
        cmocka_unit_test(test_man_has_every_flag),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_hostile_value_is_one_line),
        cmocka_unit_test(test_default_list_gives_way),
        cmocka_unit_test(test_file_lines),
        cmocka_unit_test(test_file_names_the_line),
        cmocka_unit_test(test_quotes_are_closed_at_the_end),
        cmocka_unit_test(test_file_within_a_file),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_finished_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
