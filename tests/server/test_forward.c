/* The keys of SRS, the senders of forwarded mail, and bounces to them. */
#include "tests/server/admin_support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "server/file.h"
#include "server/forward.h"

#define USERS "anna@x.test:{PLAIN}pw\n"
#define KEY1  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY2  "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\n"

enum { NOW = 1772442000 };

static struct accounts *with_keys(
    const struct config *c, const char *keys, struct told *told)
{
    struct accounts_source source = {.config = c,
        .users = S(USERS),
        .srs_keys = slice_str(keys),
        .users_name = "users",
        .aliases_name = "aliases"};

    return accounts_build(&source, told_open(told));
}

static const char *sender_of(struct accounts *a, const char *sender)
{
    static char text[FORWARD_SENDER_MAX + 1];
    char at[FORWARD_SENDER_MAX];
    struct thread t = {.accounts = a, .now_s = NOW};
    struct slice made = forward_sender(&t, slice_str(sender), at);

    memcpy(text, made.at, made.len);
    text[made.len] = 0;
    return text;
}

static void copy_text(char at[FORWARD_SENDER_MAX + 1], const char *text)
{
    memcpy(at, text, strlen(text) + 1);
}

static enum route_result bounce_to(const struct accounts *a, const char *rcpt,
    const struct smtp_path *sender, int64_t now_s, char to[512])
{
    const struct account *found[4];
    struct route_remote remotes[4];
    struct arena arena = arena_of(ROUTE_BYTES_MAX);
    struct route route = {.accounts = found,
        .cap = 4,
        .remotes = remotes,
        .remote_cap = 4,
        .arena = &arena};
    struct out out = out_of(to, 511);
    struct smtp_path path;
    enum route_result result;

    assert_true(smtp_mailbox(slice_str(rcpt), true, &path));
    result = forward_route(a, &path, sender, now_s, &route);
    for (unsigned i = 0; i < route.count; i++)
        out_put(&out, found[i]->name);
    for (unsigned i = 0; i < route.remote_count; i++) {
        assert_false(remotes[i].forwarded);
        out_put(&out, remotes[i].address);
    }
    to[out.len] = 0;
    assert_false(route.relay);
    arena_reset(&arena);
    return result;
}

static const struct smtp_path null = {.kind = SMTP_PATH_NULL};

static void senders_lead_back(void **state)
{
    struct config *c = config_with("domain x.test\ndomain y.test\nsrs yes\n");
    struct told told;
    struct accounts *a = with_keys(c, "# new\n" KEY1 KEY2, &told);
    struct accounts *old = with_keys(c, KEY2, &told);
    struct smtp_path somebody;
    char to[512], made[FORWARD_SENDER_MAX + 1];

    (void)state;
    assert_non_null(a);
    assert_string_equal(sender_of(a, ""), "");
    assert_string_equal(sender_of(a, "anna@x.test"), "anna@x.test");
    assert_string_equal(sender_of(a, "anyone@Y.test"), "anyone@Y.test");
    copy_text(made, sender_of(old, "bert@else.test"));
    assert_memory_equal(made, "SRS0=", 5);
    assert_true(smtp_mailbox(S("bert@else.test"), true, &somebody));
    assert_int_equal(bounce_to(a, made, &null, NOW, to), ROUTE_OK);
    assert_string_equal(to, "bert@else.test");
    assert_int_equal(bounce_to(a, made, &somebody, NOW, to), ROUTE_SRS_SENDER);
    assert_int_equal(bounce_to(a, made, &null, NOW + 30 * 86400, to), ROUTE_SRS_EXPIRED);
    made[6] = made[6] == 'A' ? 'B' : 'A';
    assert_int_equal(bounce_to(a, made, &null, NOW, to), ROUTE_SRS_FORGED);
    assert_string_equal(to, "");
    assert_int_equal(
        bounce_to(a, "SRS0=a=b=c=d@else.test", &null, NOW, to), ROUTE_NOT_LOCAL);
    assert_int_equal(bounce_to(a, "srs0@x.test", &null, NOW, to), ROUTE_UNKNOWN);
    assert_int_equal(bounce_to(a, "anna@x.test", &null, NOW, to), ROUTE_OK);
    accounts_drop(a);
    accounts_drop(old);
    config_free(c);
}

/* A domain of its own, which has no accounts; and what comes back after --srs is off. */
static void domains_and_flags(void **state)
{
    struct config *c = config_with("domain x.test\nsrs yes\nsrs-domain SRS.x.test\n");
    struct config *off = config_with("domain x.test\nsrs-domain srs.x.test\n");
    struct told told;
    struct accounts *a = with_keys(c, KEY1, &told), *b = with_keys(off, KEY1, &told),
                    *none = with_keys(c, "", &told);
    char to[512], made[FORWARD_SENDER_MAX + 1];

    (void)state;
    copy_text(made, sender_of(a, "bert@else.test"));
    assert_string_equal(strchr(made, '@'), "@srs.x.test");
    assert_string_equal(sender_of(a, made), made);
    assert_int_equal(bounce_to(a, made, &null, NOW, to), ROUTE_OK);
    assert_string_equal(to, "bert@else.test");
    assert_string_equal(sender_of(b, "bert@else.test"), "bert@else.test");
    assert_int_equal(bounce_to(b, made, &null, NOW, to), ROUTE_OK);
    assert_string_equal(sender_of(none, "bert@else.test"), "bert@else.test");
    assert_int_equal(bounce_to(none, made, &null, NOW, to), ROUTE_NOT_LOCAL);
    accounts_drop(a);
    accounts_drop(b);
    accounts_drop(none);
    config_free(c);
    config_free(off);
}

static void bad_keys(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"abc\n", "line 1: not a key"},
        {KEY1 "\n0123456789abcdef0123456789abcdeg\n", "line 3: not a key"},
        {"0123456789abcdef0123456789abcde\n", "line 1: not a key"},
        {KEY2 KEY2 KEY2 KEY2 KEY2 KEY2 KEY2 KEY2 KEY2, "line 9: more than 8"},
    };
    struct config *c = config_with("domain x.test\nsrs yes\n");

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct told told;

        assert_null(with_keys(c, cases[i].text, &told));
        assert_told(&told, cases[i].says);
    }
    config_free(c);
}

static void the_key_is_made_once(void **state)
{
    char folder[] = "/tmp/ringmail-test-XXXXXX", lines[128], path[64];
    struct file_bytes first, second;
    struct told told;
    struct stat st;
    struct config *c = config_new();

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(lines, sizeof lines, "data %s\nhostname h.test\nsrs yes\n", folder);
    assert_true(config_text(c, slice_str(lines), "t", told_open(&told)) &&
        config_finish(c, false, &told.out));
    assert_true(forward_make_key(c, told_open(&told)));
    assert_int_equal(stat(c->srs_key_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(file_read(c->srs_key_path, 1000, &first));
    assert_true(forward_make_key(c, told_open(&told)));
    assert_true(file_read(c->srs_key_path, 1000, &second));
    assert_true(slice_eq(first.text, second.text));
    assert_int_equal(first.text.len, 65);
    file_release(&first);
    file_release(&second);
    unlink(c->srs_key_path);
    snprintf(path, sizeof path, "%s/srs.key.lock", folder);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    assert_false(forward_make_key(c, told_open(&told)));
    assert_told(&told, "srs.key: can't make the key");
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_lead_back),
        cmocka_unit_test(domains_and_flags),
        cmocka_unit_test(bad_keys),
        cmocka_unit_test(the_key_is_made_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
