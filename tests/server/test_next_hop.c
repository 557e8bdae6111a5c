/* Tests for server/next_hop.h: what --route, --relay and their options make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"
#include "server/next_hop.h"

struct given {
    const char *name, *value;
};

static struct config *make_config(const struct given *flags)
{
    char why[CONFIG_WHY_MAX];
    struct config *c = config_new();

    assert_non_null(c);
    for (; flags->name; flags++) {
        struct out out = out_of(why, sizeof why);

        assert_true(
            config_set(c, slice_str(flags->name), slice_str(flags->value), true, &out));
    }
    return c;
}

static void assert_text(struct slice text, const char *wanted)
{
    assert_int_equal(text.len, strlen(wanted));
    assert_memory_equal(text.at, wanted, text.len);
}

static void test_without_flags(void **state)
{
    static const struct given none[] = {{NULL, NULL}};
    char why[CONFIG_WHY_MAX];
    struct out out = out_of(why, sizeof why);
    struct config *c = make_config(none);
    struct next_hops *hops = next_hops_make(c, &out);
    const struct next_hop *hop;

    (void)state;
    assert_non_null(hops);
    hop = next_hops_find(hops, S("example.org"));
    assert_int_equal(hop->kind, NEXT_HOP_MX);
    assert_int_equal(hop->tls, HOP_TLS_MAY);
    assert_int_equal(hop->label.len, 0);
    assert_int_equal(hop->source[0].family, 0);
    next_hops_free(hops);
    config_free(c);
}

static void test_routes(void **state)
{
    static const struct given flags[] = {{"route", "example.org=Mail.example.org:26"},
        {"route", ".example.net=[2001:db8::1]:25,tls=verify,source=2001:db8::2"},
        {"route", "deep.example.net=mx,tls=encrypt"},
        {"route", "lists.example=unix:/run/lists.lmtp"},
        {"route", "twin.example=Mail.example.org:26"},
        {"route", "other.example=Mail.example.org:26,tls=none"},
        {"route", "lmtp.example=127.0.0.1:24,lmtp"}, {"relay", "relay.example:465"},
        {"relay-tls", "encrypt"}, {"source", "192.0.2.7"}, {NULL, NULL}};
    static const struct {
        const char *domain, *label;
        enum next_hop_kind kind;
        enum hop_tls tls;
        bool lmtp;
    } cases[] = {
        {"example.org", "mail.example.org:26", NEXT_HOP_HOST, HOP_TLS_MAY, false},
        {"EXAMPLE.org", "mail.example.org:26", NEXT_HOP_HOST, HOP_TLS_MAY, false},
        {"twin.example", "mail.example.org:26", NEXT_HOP_HOST, HOP_TLS_MAY, false},
        {"other.example", "mail.example.org:26#2", NEXT_HOP_HOST, HOP_TLS_NONE, false},
        {"sub.example.org", "relay.example:465", NEXT_HOP_HOST, HOP_TLS_ENCRYPT, false},
        {"example.net", "relay.example:465", NEXT_HOP_HOST, HOP_TLS_ENCRYPT, false},
        {"a.example.net", "[2001:db8::1]:25", NEXT_HOP_HOST, HOP_TLS_VERIFY, false},
        {"a.b.example.net", "[2001:db8::1]:25", NEXT_HOP_HOST, HOP_TLS_VERIFY, false},
        {"deep.example.net", "", NEXT_HOP_MX, HOP_TLS_ENCRYPT, false},
        {"x.deep.example.net", "[2001:db8::1]:25", NEXT_HOP_HOST, HOP_TLS_VERIFY, false},
        {"lists.example", "unix:/run/lists.lmtp", NEXT_HOP_UNIX, HOP_TLS_MAY, true},
        {"lmtp.example", "127.0.0.1:24", NEXT_HOP_HOST, HOP_TLS_MAY, true},
        {"", "relay.example:465", NEXT_HOP_HOST, HOP_TLS_ENCRYPT, false},
        {"...", "relay.example:465", NEXT_HOP_HOST, HOP_TLS_ENCRYPT, false},
        {"[192.0.2.1]", "relay.example:465", NEXT_HOP_HOST, HOP_TLS_ENCRYPT, false},
    };
    char why[CONFIG_WHY_MAX];
    struct out out = out_of(why, sizeof why);
    struct config *c = make_config(flags);
    struct next_hops *hops = next_hops_make(c, &out);
    const struct next_hop *hop;

    (void)state;
    assert_non_null(hops);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        hop = next_hops_find(hops, slice_str(cases[i].domain));
        assert_text(hop->label, cases[i].label);
        assert_int_equal(hop->kind, cases[i].kind);
        assert_int_equal(hop->tls, cases[i].tls);
        assert_int_equal(hop->lmtp, cases[i].lmtp);
    }
    assert_ptr_equal(
        next_hops_find(hops, S("example.org")), next_hops_find(hops, S("twin.example")));
    hop = next_hops_find(hops, S("a.example.net"));
    assert_string_equal(hop->name, "2001:db8::1");
    assert_int_equal(hop->port, 25);
    assert_int_equal(hop->source[0].family, AF_INET); /* --source holds for all */
    assert_int_equal(hop->source[1].family, AF_INET6);
    next_hops_free(hops);
    config_free(c);
}

/* Whose the level is says whether TLS-Required: No changes it. */
static void test_levels(void **state)
{
    static const struct given flags[] = {{"tls-out", "verify"},
        {"route", "plain.test=m.test:25"}, {"route", "named.test=m.test:26,tls=verify"},
        {"route", "mx.test=mx,tls=encrypt"}, {"route", "none.test=mx,tls=none"},
        {"route", "same.test=m.test:25,tls=verify"}, {"relay", "m.test:27"},
        {NULL, NULL}};
    static const struct {
        const char *domain;
        enum hop_tls usual, optional;
    } cases[] = {{"plain.test", HOP_TLS_VERIFY, HOP_TLS_MAY},
        {"named.test", HOP_TLS_VERIFY, HOP_TLS_VERIFY},
        {"mx.test", HOP_TLS_ENCRYPT, HOP_TLS_ENCRYPT},
        {"none.test", HOP_TLS_NONE, HOP_TLS_NONE},
        {"same.test", HOP_TLS_VERIFY, HOP_TLS_VERIFY},
        {"relay.test", HOP_TLS_VERIFY, HOP_TLS_MAY}};
    char why[CONFIG_WHY_MAX];
    struct out out = out_of(why, sizeof why);
    struct config *c = make_config(flags);
    struct next_hops *hops = next_hops_make(c, &out);

    (void)state;
    assert_non_null(hops);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct next_hop *hop = next_hops_find(hops, slice_str(cases[i].domain));

        assert_int_equal(next_hop_level(hop, false), cases[i].usual);
        assert_int_equal(next_hop_level(hop, true), cases[i].optional);
    }
    next_hops_free(hops);
    config_free(c);
}

static void test_login(void **state)
{
    char path[] = "/tmp/ringmail-next-hop-XXXXXX", option[128], why[CONFIG_WHY_MAX];
    int fd = mkstemp(path);
    struct given flags[] = {{"tls-out", "encrypt"}, {"relay", "relay.example:587"},
        {"relay-user", "anna"}, {"relay-password-file", path}, {"route", option},
        {NULL, NULL}};
    struct out out = out_of(why, sizeof why);
    const struct next_hop *hop;
    struct next_hops *hops;
    struct config *c;

    (void)state;
    snprintf(option, sizeof option,
        "example.org=relay.example:587,user=bert,password-file=%s", path);
    assert_int_equal(write(fd, "secret word\r\nrest\n", 18), 18);
    close(fd);
    c = make_config(flags);
    hops = next_hops_make(c, &out);
    assert_non_null(hops);
    hop = next_hops_find(hops, S("any.example"));
    assert_text(hop->user, "anna");
    assert_text(hop->password, "secret word");
    hop = next_hops_find(hops, S("example.org"));
    assert_text(hop->user, "bert");
    /* No message may lay open the password. */
    assert_int_equal(next_hop_level(hop, true), HOP_TLS_ENCRYPT);
    assert_text(hop->password, "secret word");
    next_hops_free(hops);
    config_free(c);
    unlink(path);
}

static void test_refused(void **state)
{
    static const struct {
        struct given flags[3];
        const char *why; /* what the message begins with */
    } cases[] = {
        {{{"route", "example.org"}}, "--route example.org: not DOMAIN=HOST:PORT"},
        {{{"route", "=mail:25"}}, "--route =mail:25: not DOMAIN="},
        {{{"route", "a_b c=mail:25"}}, "--route a_b c=mail:25: not DOMAIN="},
        {{{"route", "example.org=mail"}}, "--route example.org=mail: not a host"},
        {{{"route", "example.org=mail:0"}}, "--route example.org=mail:0: not a host"},
        {{{"route", "example.org=mail:65536"}}, "--route example.org=mail:65536: not a"},
        {{{"route", "example.org=[192.0.2.1]:25"}}, "--route example.org=[192.0.2.1]"},
        {{{"route", "example.org=2001:db8::1:25"}},
            "--route example.org=2001:db8::1:25:"},
        {{{"route", "example.org=unix:lmtp"}}, "--route example.org=unix:lmtp: not the"},
        {{{"route", "example.org=m:25,tls=much"}},
            "--route example.org=m:25,tls=much: no"},
        {{{"route", "example.org=m:25,odd"}}, "--route example.org=m:25,odd: no such"},
        {{{"route", "example.org=m:25,"}}, "--route example.org=m:25,: no such"},
        {{{"route", "example.org=m:25,source=x"}},
            "--route ... source x: not an address"},
        {{{"route", "example.org=m:25,user=u"}},
            "--route example.org=m:25,user=u: a login"},
        {{{"route", "example.org=m:25,password-file=/nowhere/x"}},
            "--route ... password-file /nowhere/x: No such file"},
        {{{"route", "example.org=mx,lmtp"}}, "--route example.org=mx,lmtp: MX speak no"},
        {{{"route", "example.org=m:465,smtps,tls=none"}},
            "--route example.org=m:465,smtps"},
        {{{"route", "example.org=m:25"}, {"route", "Example.ORG=n:25"}},
            "--route Example.ORG=n:25: this domain has a route already"},
        {{{"relay", "mail"}}, "--relay mail: not a host with a port"},
        {{{"relay", "mail:25"}, {"relay-tls", "high"}}, "--relay-tls high: not one of"},
        {{{"relay-user", "anna"}}, "--relay-user : only counts with --relay"},
        {{{"relay", "mail:25"}, {"relay-user", "anna"}},
            "--relay mail:25: a login needs"},
        {{{"source", "mail.example.org"}}, "--source mail.example.org: not an address"},
        {{{"source", "192.0.2.1:25"}}, "--source 192.0.2.1:25: not an address"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[CONFIG_WHY_MAX] = "";
        struct out out = out_of(why, sizeof why - 1);
        struct config *c = make_config(cases[i].flags);

        assert_null(next_hops_make(c, &out));
        why[out.len] = 0;
        if (strncmp(why, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("case %u: \"%s\" is not \"%s\"...", i, why, cases[i].why);
        config_free(c);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_without_flags),
        cmocka_unit_test(test_routes), cmocka_unit_test(test_levels),
        cmocka_unit_test(test_login), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests_name("next_hop", tests, NULL, NULL);
}
