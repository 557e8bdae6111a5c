/* From a domain to its mail hosts, against a DNS server that answers well and badly
 * (security matrix R16, R18). */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/dns.h"
#include "server/mx.h"
#include "tests/server/dns_fake.h"
#include "tests/server/server_test.h"

#define A_OF(n) "A 60 192.0.2." #n

static const struct dns_fake_rule rules[] = {
    /* The usual. */
    {"one.test", "MX", FAKE_ANSWER, "MX 60 20 b.one.test|MX 60 10 a.one.test", 0},
    {"a.one.test", "A", FAKE_ANSWER, A_OF(1), 0},
    {"a.one.test", "AAAA", FAKE_ANSWER, "AAAA 60 2001:db8::1", 0},
    {"b.one.test", "A", FAKE_ANSWER, A_OF(2), 0},
    {"turns.test", "MX", FAKE_ANSWER, "MX 60 10 h.turns.test", 0},
    {"h.turns.test", "A", FAKE_ANSWER, "A 60 192.0.2.1|A 60 192.0.2.1|A 60 192.0.2.1", 0},
    {"h.turns.test", "AAAA", FAKE_ANSWER, "AAAA 60 2001:db8::1|AAAA 60 2001:db8::1", 0},
    {"implicit.test", "A", FAKE_ANSWER, A_OF(3), 0},
    {"six.test", "AAAA", FAKE_ANSWER, "AAAA 60 2001:db8::6", 0},
    {"xn--bcher-kva.test", "MX", FAKE_ANSWER, "MX 60 1 a.one.test", 0},
    {"upper.test", "MX", FAKE_UPPER, "MX 60 1 A.One.TEST", 0},
    /* Nothing to send to. */
    {"gone.test", NULL, FAKE_NXDOMAIN, NULL, 0},
    {"empty.test", "X", FAKE_ANSWER, NULL, 0},
    {"null.test", "MX", FAKE_ANSWER, "MX 60 0 .", 0},
    {"nullamong.test", "MX", FAKE_ANSWER, "MX 60 0 .|MX 60 10 b.one.test", 0},
    {"nohost.test", "MX", FAKE_ANSWER, "MX 60 10 gone.test|MX 60 20 empty.test", 0},
    /* CNAMEs. */
    {"tocname.test", "MX", FAKE_ANSWER, "MX 60 10 cname.test", 0},
    {"cname.test", NULL, FAKE_ANSWER, "CNAME 60 b.one.test|A 60 192.0.2.2", 0},
    {"alias.test", "MX", FAKE_ANSWER, "CNAME 60 one.test|MX 60 10 b.one.test", 0},
    {"piece.test", "MX", FAKE_ANSWER, "CNAME 60 piece2.test", 0},
    {"piece2.test", "MX", FAKE_ANSWER, "CNAME 60 piece3.test", 0},
    {"piece3.test", "MX", FAKE_ANSWER, "MX 60 10 b.one.test", 0},
    {"loop.test", NULL, FAKE_ANSWER, "CNAME 60 loop.test", 0},
    {"loop1.test", NULL, FAKE_ANSWER, "CNAME 60 loop2.test|CNAME 60 loop1.test", 0},
    {"loop3.test", NULL, FAKE_ANSWER, "CNAME 60 loop4.test", 0},
    {"loop4.test", NULL, FAKE_ANSWER, "CNAME 60 loop3.test", 0},
    {"aliasnull.test", "MX", FAKE_ANSWER, "CNAME 60 x.test|SOA 60 30", 0},
    {"aliasnull.test", "A", FAKE_ANSWER, "CNAME 60 x.test|A 60 192.0.2.4", 0},
    /* Transport. */
    {"cut.test", "MX", FAKE_CUT, "MX 60 10 b.one.test", 0},
    {"big.test", "MX", FAKE_64K, "MX 60 10 b.one.test", 0},
    {"many.test", "MX", FAKE_MANY_MX, NULL, 500},
    {"*.many.test", "A", FAKE_ANSWER, A_OF(5), 0},
    {"half.test", NULL, FAKE_HALF, "MX 60 10 b.one.test|MX 60 20 a.one.test", 0},
    {"servfail.test", NULL, FAKE_SERVFAIL, NULL, 0},
    {"refused.test", NULL, FAKE_REFUSED, NULL, 0},
    {"silent.test", NULL, FAKE_SILENT, NULL, 0},
    {"*.silent.test", NULL, FAKE_SILENT, NULL, 0},
    {"otherid.test", "MX", FAKE_OTHER_ID, "MX 60 10 b.one.test", 0},
    {"otherquestion.test", "MX", FAKE_OTHER_QUESTION, "MX 60 10 b.one.test", 0},
    {"otherport.test", "MX", FAKE_OTHER_PORT, "MX 60 10 b.one.test", 0},
    {"otheronly.test", "MX", FAKE_OTHER_ONLY, "MX 60 10 b.one.test", 0},
    {"emptyfirst.test", "MX", FAKE_EMPTY, "MX 60 10 b.one.test", 0},
    {"noedns.test", "MX", FAKE_NO_EDNS, "MX 60 10 b.one.test", 0},
    /* Half of the hosts fail. */
    {"somefail.test", "MX", FAKE_ANSWER, "MX 60 10 servfail.test|MX 60 20 b.one.test", 0},
    {"allfail.test", "MX", FAKE_ANSWER, "MX 60 10 servfail.test|MX 60 20 gone.test", 0},
    /* Names that are none. */
    {"nul.test", "MX", FAKE_ANSWER, "MX 60 10 ev~il.test", 0},
    {"cr.test", "MX", FAKE_ANSWER, "MX 60 10 ev!il.test", 0},
    {"dot.test", "MX", FAKE_ANSWER, "MX 60 10 ev@il.test", 0},
    {"long.test", "MX", FAKE_ANSWER, "MX 60 10 #.#.#.#.test", 0},
    {"space.test", "MX", FAKE_ANSWER, "MX 60 10 a b.test", 0},
    {"somebad.test", "MX", FAKE_ANSWER, "MX 60 10 ev~il.test|MX 60 20 b.one.test", 0},
    {"badalias.test", "MX", FAKE_ANSWER, "CNAME 60 ev~il.test", 0},
    {"badaddress.test", "MX", FAKE_ANSWER, "MX 60 10 badaddress2.test", 0},
    {"badaddress2.test", "A", FAKE_ANSWER, "CNAME 60 ev~il.test", 0},
    /* This server, and nobody (R16). */
    {"self.test", "MX", FAKE_ANSWER, "MX 60 10 Me.Test", 0},
    {"me.test", "A", FAKE_ANSWER, A_OF(9), 0},
    {"selfaddress.test", "MX", FAKE_ANSWER, "MX 60 10 b.one.test|MX 60 10 alsome.test",
        0},
    {"alsome.test", "A", FAKE_ANSWER, A_OF(77), 0},
    {"selfsecond.test", "MX", FAKE_ANSWER,
        "MX 60 30 b.one.test|MX 60 20 me.test|MX 60 20 c.test|MX 60 10 a.one.test", 0},
    {"selffailed.test", "MX", FAKE_ANSWER, "MX 60 10 servfail.test|MX 60 20 me.test", 0},
    {"implicitself.test", "A", FAKE_ANSWER, A_OF(77), 0},
    {"loopback.test", "MX", FAKE_ANSWER, "MX 60 10 l4.test|MX 60 20 l6.test", 0},
    {"l4.test", "A", FAKE_ANSWER, "A 60 127.0.0.1|A 60 127.1.2.3", 0},
    {"l6.test", "AAAA", FAKE_ANSWER, "AAAA 60 ::1|AAAA 60 ::ffff:127.0.0.1", 0},
    {"zero.test", "A", FAKE_ANSWER, "A 60 0.0.0.0|A 60 0.1.2.3", 0},
    {"zero6.test", "AAAA", FAKE_ANSWER, "AAAA 60 ::|AAAA 60 ::ffff:0.0.0.0", 0},
    {"others.test", NULL, FAKE_ANSWER,
        "A 60 224.0.0.1|A 60 169.254.1.1|A 60 255.255.255.255|AAAA 60 ff02::1|AAAA 60 "
        "fe80::1|AAAA 60 64:ff9b::7f00:1|AAAA 60 2002:7f00:1::1|AAAA 60 ::127.0.0.1",
        0},
    {"someloop.test", "MX", FAKE_ANSWER, "MX 60 10 l4.test|MX 60 20 b.one.test", 0},
    {"private.test", "A", FAKE_ANSWER, "A 60 10.1.2.3", 0},
    {"mapped.test", "AAAA", FAKE_ANSWER, "AAAA 60 ::ffff:192.0.2.8", 0},
    /* Time. */
    {"short.test", "MX", FAKE_ANSWER, "MX 0 10 b.one.test", 0},
    {"shortnull.test", "MX", FAKE_NXDOMAIN, "SOA 60 1", 0},
    {"lasting.test", "MX", FAKE_ANSWER, "MX 600 10 b.one.test", 0},
    {"lastingnull.test", "MX", FAKE_NXDOMAIN, "SOA 600 600", 0},
    /* As many names as one likes. */
    {"*.wild.test", "MX", FAKE_ANSWER, "MX 60 10 b.one.test", 0},
    {"*.wide.test", "MX", FAKE_ANSWER,
        "MX 60 1 a.l.wide.test|MX 60 2 b.l.wide.test|MX 60 3 c.l.wide.test|"
        "MX 60 4 d.l.wide.test|MX 60 5 e.l.wide.test|MX 60 6 f.l.wide.test|"
        "MX 60 7 g.l.wide.test|MX 60 8 h.l.wide.test|MX 60 9 i.l.wide.test|"
        "MX 60 10 j.l.wide.test|MX 60 11 k.l.wide.test|MX 60 12 l.l.wide.test|"
        "MX 60 13 m.l.wide.test|MX 60 14 n.l.wide.test|MX 60 15 o.l.wide.test|"
        "MX 60 16 p.l.wide.test",
        0},
    {"*.l.wide.test", "A", FAKE_ANSWER, A_OF(6), 0}, {0}};

/* --- the server --------------------------------------------------------- */

static struct config *config;

static void set(const char *name, const char *value)
{
    char buffer[512];
    struct out why = out_of(buffer, sizeof buffer);

    if (!config_set(config, slice_str(name), slice_str(value), true, &why))
        fail_msg("%.*s", (int)why.len, why.at);
}

static void configure(struct process_conf *conf)
{
    conf->threads = 1;
    conf->config = config;
    conf->thread_close = mx_close;
}

static struct process *begin_with(const struct dns_fake_rule *table, const char *resolver)
{
    char text[64];
    uint16_t port = dns_fake_start(table);

    config = config_new();
    assert_non_null(config);
    set("hostname", "me.test");
    set("smtp", "192.0.2.77:25");
    set("dns-timeout", "1");
    if (resolver)
        set("resolver", resolver);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    set("resolver", text);
    return server_begin(configure);
}

static struct process *begin(void)
{
    return begin_with(rules, NULL);
}

static void end(struct process *p)
{
    server_end(p);
    dns_fake_stop();
    config_free(config);
}

/* --- one lookup --------------------------------------------------------- */

struct lookup {
    struct mx_lookup lookup;
    const char *domain;
    bool host;
    enum mx_status status;
    bool secure;
    char why[MX_WHY_MAX], hosts[4096];
    _Atomic unsigned done;
};

static void on_done(struct mx_lookup *l)
{
    struct lookup *k = container_of(l, struct lookup, lookup);
    struct out out = out_of(k->hosts, sizeof k->hosts - 1);

    k->status = l->status;
    k->secure = l->secure;
    snprintf(k->why, sizeof k->why, "%s", l->why);
    for (unsigned i = 0; i < l->host_count; i++) {
        char text[ADDRESS_TEXT_MAX];

        out_str(&out, i ? "|" : "");
        out_u64(&out, l->hosts[i].preference);
        out_str(&out, " ");
        out_str(&out, l->hosts[i].name);
        out_str(&out, " ");
        out_put(&out, address_text(&l->hosts[i].address, text, sizeof text));
        assert_int_equal(l->hosts[i].address.port, k->host ? 2525 : 25);
    }
    assert_false(out.full);
    k->hosts[out.len] = 0;
    k->done++;
}

static void find(struct thread *t, void *arg)
{
    struct lookup *k = arg;

    if (k->host)
        mx_find_host(&k->lookup, t, slice_str(k->domain), 2525, on_done);
    else
        mx_find(&k->lookup, t, slice_str(k->domain), on_done);
    assert_int_equal(k->done, 0); /* never from inside */
}

static void look_up(struct process *p, struct lookup *k, const char *domain)
{
    memset(k, 0, sizeof *k);
    k->domain = domain;
    process_run(p, 0, find, k);
    if (!wait_for_count(&k->done, 1))
        fail_msg("%s: no answer", domain);
}

static const struct {
    const char *domain;
    enum mx_status status;
    const char *hosts; /* or, with a bad status, a part of why */
} cases[] = {
    {"one.test", MX_OK,
        "10 a.one.test 2001:db8::1|10 a.one.test 192.0.2.1|20 b.one.test 192.0.2.2"},
    {"ONE.Test", MX_OK,
        "10 a.one.test 2001:db8::1|10 a.one.test 192.0.2.1|20 b.one.test 192.0.2.2"},
    {"one.test.", MX_OK,
        "10 a.one.test 2001:db8::1|10 a.one.test 192.0.2.1|20 b.one.test 192.0.2.2"},
    {"turns.test", MX_OK, "10 h.turns.test 2001:db8::1|10 h.turns.test 192.0.2.1"},
    {"implicit.test", MX_OK, "0 implicit.test 192.0.2.3"},
    {"six.test", MX_OK, "0 six.test 2001:db8::6"},
    {"b\u00fccher.test", MX_OK, "1 a.one.test 2001:db8::1|1 a.one.test 192.0.2.1"},
    {"B\u00dcCHER.test", MX_OK, "1 a.one.test 2001:db8::1|1 a.one.test 192.0.2.1"},
    {"xn--bcher-kva.test", MX_OK, "1 a.one.test 2001:db8::1|1 a.one.test 192.0.2.1"},
    {"upper.test", MX_OK, "1 a.one.test 2001:db8::1|1 a.one.test 192.0.2.1"},
    {"gone.test", MX_NO_DOMAIN, "gone.test does not exist"},
    {"notinthetable.test", MX_NO_DOMAIN, "does not exist"},
    {"empty.test", MX_NO_HOST, "neither MX nor address"},
    {"null.test", MX_NULL, "takes no mail"},
    {"nullamong.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"nohost.test", MX_NO_HOST, "no MX of nohost.test has an address"},
    {"tocname.test", MX_OK, "10 cname.test 192.0.2.2"},
    {"alias.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"piece.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"loop.test", MX_TRY_LATER, "CNAME loop"},
    {"loop1.test", MX_TRY_LATER, "CNAME loop"},
    {"loop3.test", MX_TRY_LATER, "CNAME loop"},
    {"aliasnull.test", MX_OK, "0 aliasnull.test 192.0.2.4"},
    {"cut.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"big.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"half.test", MX_TRY_LATER, "malformed"},
    {"servfail.test", MX_TRY_LATER, "SERVFAIL"},
    {"refused.test", MX_TRY_LATER, "REFUSED"},
    {"silent.test", MX_TRY_LATER, "no DNS server answered in time"},
    {"otherid.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"otherquestion.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"otherport.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"otheronly.test", MX_TRY_LATER, "no DNS server answered in time"},
    {"emptyfirst.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"noedns.test", MX_OK, "10 b.one.test 192.0.2.2"},
    {"somefail.test", MX_OK, "20 b.one.test 192.0.2.2"},
    {"allfail.test", MX_TRY_LATER, "address of servfail.test"},
    {"nul.test", MX_BAD_NAME, "no names of hosts"},
    {"cr.test", MX_BAD_NAME, "no names of hosts"},
    {"dot.test", MX_BAD_NAME, "no names of hosts"},
    {"long.test", MX_BAD_NAME, "no names of hosts"},
    {"space.test", MX_BAD_NAME, "no names of hosts"},
    {"badalias.test", MX_BAD_NAME, "no names of hosts"},
    {"somebad.test", MX_OK, "20 b.one.test 192.0.2.2"},
    {"badaddress.test", MX_NO_HOST, "no MX"},
    {"self.test", MX_LOOP, "comes back to this host (me.test)"},
    {"me.test", MX_LOOP, "comes back"},
    {"selfaddress.test", MX_LOOP, "(alsome.test)"},
    {"selfsecond.test", MX_OK, "10 a.one.test 2001:db8::1|10 a.one.test 192.0.2.1"},
    {"selffailed.test", MX_TRY_LATER, "servfail.test"},
    {"implicitself.test", MX_LOOP, "comes back"},
    {"loopback.test", MX_UNUSABLE, "no mail server can have"},
    {"l4.test", MX_UNUSABLE, "no mail server can have"},
    {"zero.test", MX_UNUSABLE, "no mail server can have"},
    {"zero6.test", MX_UNUSABLE, "no mail server can have"},
    {"others.test", MX_UNUSABLE, "no mail server can have"},
    {"someloop.test", MX_OK, "20 b.one.test 192.0.2.2"},
    {"private.test", MX_OK, "0 private.test 10.1.2.3"},
    {"mapped.test", MX_OK, "0 mapped.test 192.0.2.8"},
    {"[192.0.2.1]", MX_OK, "0 [192.0.2.1] 192.0.2.1"},
    {"[IPv6:2001:DB8::1]", MX_OK, "0 [IPv6:2001:db8::1] 2001:db8::1"},
    {"[ipv6:::ffff:192.0.2.1]", MX_OK, "0 [192.0.2.1] 192.0.2.1"},
    {"[127.0.0.1]", MX_UNUSABLE, "no mail server can have"},
    {"[IPv6:::1]", MX_UNUSABLE, "no mail server can have"},
    {"[192.0.2.77]", MX_LOOP, "comes back"},
    {"[2001:db8::1]", MX_BAD_NAME, "no name"},
    {"[192.0.2.1", MX_BAD_NAME, "no name"},
    {"[192.0.2.1]]", MX_BAD_NAME, "no name"},
    {"[x:y]", MX_BAD_NAME, "no name"},
    {"[]", MX_BAD_NAME, "no name"},
    {"192.0.2.1", MX_BAD_NAME, "no name"},
    {"", MX_BAD_NAME, "no name"},
    {".", MX_BAD_NAME, "no name"},
    {"a..test", MX_BAD_NAME, "no name"},
    {"a b.test", MX_BAD_NAME, "no name"},
    {"a\\b.test", MX_BAD_NAME, "no name"},
    {"b\xfc.test", MX_BAD_NAME, "no name"},
    {"\u2024.\u00fc test", MX_BAD_NAME, "no name"},
};

static void every_kind_of_domain(void **state)
{
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *wanted = cases[i].hosts;

        look_up(p, k, cases[i].domain);
        if (k->status != cases[i].status ||
            (k->status == MX_OK ? strcmp(k->hosts, wanted) != 0 || k->why[0]
                                : !strstr(k->why, wanted) || k->hosts[0]))
            fail_msg("%s: %d %s (%s)", cases[i].domain, k->status, k->hosts, k->why);
    }
    free(k);
    end(p);
}

/* --- DNSSEC ------------------------------------------------------------- */

static const struct dns_fake_rule checked_rules[] = {
    {"yes.test", "MX", FAKE_ANSWER, "AD|MX 60 10 h.test", 0},
    {"no.test", "MX", FAKE_ANSWER, "MX 60 10 h.test", 0},
    {"cut.test", "MX", FAKE_CUT, "AD|MX 60 10 h.test", 0},
    {"noedns.test", "MX", FAKE_NO_EDNS, "AD|MX 60 10 h.test", 0},
    {"otherid.test", "MX", FAKE_OTHER_ID, "AD|MX 60 10 h.test", 0},
    {"alias.test", "MX", FAKE_ANSWER, "AD|CNAME 60 yes.test|MX 60 10 h.test", 0},
    {"pieces.test", "MX", FAKE_ANSWER, "AD|CNAME 60 yes.test", 0},
    {"firstnot.test", "MX", FAKE_ANSWER, "CNAME 60 yes.test", 0},
    {"lastnot.test", "MX", FAKE_ANSWER, "AD|CNAME 60 no.test", 0},
    {"implicit.test", "A", FAKE_ANSWER, "A 60 192.0.2.3", 0},
    {"null.test", "MX", FAKE_ANSWER, "AD|MX 60 0 .", 0},
    {"nohost.test", "MX", FAKE_ANSWER, "AD|MX 60 10 gone.test", 0},
    {"h.test", "A", FAKE_ANSWER, "A 60 192.0.2.1", 0}, {0}};

static const struct {
    const char *name;
    bool host, loopback, none; /* secure with --resolver-trusted as it is, and none */
} checked[] = {{"yes.test", false, true, false}, {"no.test", false, false, false},
    {"cut.test", false, true, false}, {"noedns.test", false, true, false},
    {"yes.test", false, true, false} /* from the table */,
    {"otherid.test", false, true, false}, {"alias.test", false, true, false},
    {"pieces.test", false, true, false}, {"firstnot.test", false, false, false},
    {"lastnot.test", false, false, false}, {"implicit.test", false, true, true},
    {"null.test", false, false, false}, {"nohost.test", false, false, false},
    {"..", false, false, false}, {"[192.0.2.1]", false, true, true},
    {"h.test", true, true, true}, {"gone.test", true, false, false}};

static void check_secure(struct process *p, bool trusted)
{
    struct lookup *k = malloc(sizeof *k);

    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
        memset(k, 0, sizeof *k);
        k->domain = checked[i].name;
        k->host = checked[i].host;
        process_run(p, 0, find, k);
        assert_true(wait_for_count(&k->done, 1));
        if (k->secure != (trusted ? checked[i].loopback : checked[i].none))
            fail_msg("%s: %d", checked[i].name, k->secure);
    }
    free(k);
}

static void answers_that_were_validated(void **state)
{
    struct process *p = begin_with(checked_rules, NULL);

    (void)state;
    check_secure(p, true);
    /* And for pieces.test and firstnot.test; the second time it came from the table. */
    assert_int_equal(dns_fake_asked("yes.test", "MX"), 1 + 2);
    end(p);
}

/* One server that is elsewhere, though it never answered, is one too many. */
static void whose_word_is_believed(void **state)
{
    static const struct {
        const char *other, *flag;
        bool trusted;
    } words[] = {{"127.0.0.2:1", "loopback", true}, {"[::1]:1", "loopback", true},
        {"[::2]:1", "loopback", false}, {"192.0.2.1:1", "loopback", false},
        {"192.0.2.1:1", "all", true}, {NULL, "all", true}, {NULL, "none", false}};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct process *p = begin_with(checked_rules, NULL);

        server_end(p);
        set("resolver-trusted", words[i].flag);
        if (words[i].other)
            set("resolver", words[i].other);
        p = server_begin(configure);
        check_secure(p, words[i].trusted);
        end(p);
    }
}

/* Nothing of what an operator names is refused, and MX are not asked for. */
static void hosts_that_the_operator_names(void **state)
{
    static const struct {
        const char *host;
        enum mx_status status;
        const char *hosts;
    } hosts[] = {
        {"b.one.test", MX_OK, "0 b.one.test 192.0.2.2"},
        {"me.test", MX_OK, "0 me.test 192.0.2.9"},
        {"l4.test", MX_OK, NULL},
        {"localhost", MX_OK, "0 localhost ::1|0 localhost 127.0.0.1"},
        {"127.0.0.1", MX_OK, "0 [127.0.0.1] 127.0.0.1"},
        {"[127.0.0.1]", MX_OK, "0 [127.0.0.1] 127.0.0.1"},
        {"::1", MX_OK, "0 [IPv6:::1] ::1"},
        {"[::1]", MX_OK, "0 [IPv6:::1] ::1"},
        {"[IPv6:2001:db8::5]", MX_OK, "0 [IPv6:2001:db8::5] 2001:db8::5"},
        {"empty.test", MX_NO_HOST, "empty.test has no address"},
        {"gone.test", MX_NO_HOST, "gone.test has no address"},
        {"servfail.test", MX_TRY_LATER, "SERVFAIL"},
        {"[", MX_BAD_NAME, "no name"},
        {"[]", MX_BAD_NAME, "no name"},
        {"host:25", MX_BAD_NAME, "no name"},
    };
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        memset(k, 0, sizeof *k);
        k->domain = hosts[i].host;
        k->host = true;
        process_run(p, 0, find, k);
        assert_true(wait_for_count(&k->done, 1));
        if (k->status != hosts[i].status ||
            (hosts[i].hosts &&
                !strstr(k->status == MX_OK ? k->hosts : k->why, hosts[i].hosts)))
            fail_msg("%s: %d %s (%s)", hosts[i].host, k->status, k->hosts, k->why);
    }
    assert_int_equal(dns_fake_asked(NULL, "MX"), 0);
    assert_int_equal(dns_fake_asked("localhost", NULL), 0);
    free(k);
    end(p);
}

/* The best sixteen of five hundred, which come over TCP, worst first. */
static void five_hundred_mx(void **state)
{
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);

    (void)state;
    look_up(p, k, "many.test");
    assert_int_equal(k->status, MX_OK);
    assert_string_equal(k->hosts, "0 m0.many.test 192.0.2.5"); /* all have one address */
    assert_int_equal(dns_fake_asked("m15.many.test", "A"), 1);
    assert_int_equal(dns_fake_asked("m16.many.test", "A"), 0);
    assert_true(dns_fake_asked_tcp() >= 1);
    free(k);
    end(p);
}

/* A server that is not there, or refuses, is not the last word. */
static void the_next_server_is_asked(void **state)
{
    struct process *p = begin_with(rules, "127.0.0.1:1");
    struct lookup *k = malloc(sizeof *k);

    (void)state;
    look_up(p, k, "one.test");
    assert_int_equal(k->status, MX_OK);
    free(k);
    end(p);
}

/* --- the order ---------------------------------------------------------- */

static const struct dns_fake_rule equal_rules[] = {
    {"equal.test", "MX", FAKE_ANSWER,
        "MX 60 10 x.equal.test|MX 60 10 y.equal.test|MX 60 10 z.equal.test|"
        "MX 60 20 w.equal.test",
        0},
    {"x.equal.test", "A", FAKE_ANSWER, "A 60 192.0.2.1", 0},
    {"y.equal.test", "A", FAKE_ANSWER, "A 60 192.0.2.2", 0},
    {"z.equal.test", "A", FAKE_ANSWER, "A 60 192.0.2.3", 0},
    {"w.equal.test", NULL, FAKE_ANSWER, "A 60 192.0.2.4", 0}, {0}};

static void equal_preferences_take_turns(void **state)
{
    unsigned first[3] = {0};
    struct lookup *k = malloc(sizeof *k);
    struct process *p = begin_with(equal_rules, NULL);

    (void)state;
    for (int i = 0; i < 300; i++) {
        look_up(p, k, "equal.test");
        assert_int_equal(k->status, MX_OK);
        first[k->hosts[3] - 'x']++;
        assert_non_null(strstr(k->hosts, "|20 w.equal.test 192.0.2.4"));
        assert_string_equal(strrchr(k->hosts, '|'), "|20 w.equal.test 192.0.2.4");
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(first[i], 60, 150);
    assert_int_equal(dns_fake_asked("equal.test", "MX"), 1);
    free(k);
    end(p);
}

/* --- the table ---------------------------------------------------------- */

/* Of each the first, a second at once and a third when the shortest times are over. */
static void answers_are_kept_for_their_time(void **state)
{
    static const struct {
        const char *domain;
        bool asked_again;
    } kept[] = {{"short.test", true}, {"shortnull.test", true}, {"lasting.test", false},
        {"lastingnull.test", false}, {"servfail.test", true}};
    struct timespec wait = {DNS_TTL_MIN_S, 100000000};
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);
    unsigned first[5];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        int64_t begin_ns;

        do { /* again where the machine stands still for as long as the shortest are kept
              */
            begin_ns = clock_monotonic_ns();
            look_up(p, k, kept[i].domain);
            first[i] = dns_fake_asked(kept[i].domain, "MX");
            look_up(p, k, kept[i].domain);
        } while (clock_monotonic_ns() - begin_ns > (DNS_TTL_MIN_S - 1) * 1000000000LL);
        assert_int_equal(dns_fake_asked(kept[i].domain, "MX"), first[i]);
    }
    nanosleep(&wait, NULL);
    for (unsigned i = 0; i < 5; i++) {
        look_up(p, k, kept[i].domain);
        assert_int_equal(
            dns_fake_asked(kept[i].domain, "MX") > first[i], kept[i].asked_again);
    }
    free(k);
    end(p);
}

static void read_stats(struct thread *t, void *arg)
{
    mx_stats(t, arg);
}

/* More answers than there is room for: those used last stay. */
static void the_table_is_bounded(void **state)
{
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);
    struct mx_stats stats;
    char name[64];

    (void)state;
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof name, "d%d.wide.test", i);
        look_up(p, k, name);
        assert_int_equal(k->status, MX_OK);
        if (i % 300 == 0) {
            look_up(p, k, "d0.wide.test");
            assert_int_equal(dns_fake_asked("d0.wide.test", "MX"), 1);
        }
    }
    process_run(p, 0, read_stats, &stats);
    assert_in_range(stats.bytes, DNS_CACHE_BYTES / 2, DNS_CACHE_BYTES);
    assert_int_equal(stats.lookups, 1505);
    look_up(p, k, "d1.wide.test");
    assert_int_equal(dns_fake_asked("d1.wide.test", "MX"), 2);
    free(k);
    end(p);
}

/* --- many at once ------------------------------------------------------- */

enum { CROWD = MX_RUNNING_MAX + MX_WAITING_MAX + 10 };
static struct mx_lookup crowd[CROWD];
static char crowd_names[CROWD][32];
static _Atomic unsigned crowd_good, crowd_refused, crowd_done;

static void on_crowd(struct mx_lookup *l)
{
    crowd_good += l->status == MX_OK;
    crowd_refused += l->status == MX_TRY_LATER && strstr(l->why, "too many") != NULL;
    crowd_done++;
}

static void begin_crowd(const char *format)
{
    for (unsigned i = 0; i < CROWD; i++)
        snprintf(crowd_names[i], sizeof crowd_names[i], format, i);
    crowd_good = crowd_refused = crowd_done = 0;
}

static void find_crowd(struct thread *t, void *arg)
{
    for (unsigned i = 0; i < *(unsigned *)arg; i++)
        mx_find(&crowd[i], t, slice_str(crowd_names[i]), on_crowd);
}

static void cancel_crowd(struct thread *t, void *arg)
{
    (void)t;
    (void)arg;
    for (unsigned i = 0; i < CROWD; i++)
        mx_cancel(&crowd[i]);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void one_question_for_all_who_ask_it(void **state)
{
    struct process *p = begin();
    unsigned count = 300;

    (void)state;
    begin_crowd("one.test");
    process_run(p, 0, find_crowd, &count);
    assert_true(wait_for_count(&crowd_done, count));
    assert_int_equal(crowd_good, count);
    assert_int_equal(dns_fake_asked("one.test", "MX"), 1);
    assert_int_equal(dns_fake_asked("a.one.test", "A"), 1);
    assert_int_equal(dns_fake_asked("a.one.test", "AAAA"), 1);
    end(p);
}

static void many_wait_and_more_are_refused(void **state)
{
    struct process *p = begin();
    unsigned count = CROWD;
    struct mx_stats stats;

    (void)state;
    begin_crowd("d%u.silent.test");
    process_run(p, 0, find_crowd, &count);
    assert_true(wait_for_count(&crowd_refused, 10));
    assert_int_equal(crowd_done, 10);
    process_run(p, 0, read_stats, &stats);
    assert_int_equal(stats.refused, 10);
    process_run(p, 0, cancel_crowd, NULL);
    /* There is room again, and others are not held up. */
    begin_crowd("d%u.wild.test");
    count = 3000;
    process_run(p, 0, find_crowd, &count);
    assert_true(wait_for_count(&crowd_done, count));
    assert_int_equal(crowd_good, count);
    end(p);
}

#pragma GCC diagnostic pop

/* --- giving up ---------------------------------------------------------- */

static struct {
    struct mx_lookup lookup;
    struct op op;
    struct thread *thread;
    char name[64];
    unsigned turns;
    bool own_done;
    _Atomic unsigned over;
} cancelled;

static void on_too_soon(struct mx_lookup *l)
{
    (void)l;
    cancelled.own_done = true;
}

static void on_turn(struct op *op, int32_t res, uint32_t flags)
{
    (void)res;
    (void)flags;
    if (cancelled.turns-- > 0) {
        op_start(op, on_turn);
        op_post(&cancelled.thread->ready, op, 0);
        return;
    }
    mx_cancel(&cancelled.lookup);
    mx_cancel(&cancelled.lookup);
    memset(&cancelled.lookup, 0xee, sizeof cancelled.lookup);
    cancelled.over++;
}

static void find_and_cancel(struct thread *t, void *arg)
{
    memset(&cancelled.lookup, 0, sizeof cancelled.lookup);
    cancelled.thread = t;
    cancelled.turns = *(unsigned *)arg;
    cancelled.own_done = false;
    mx_find(&cancelled.lookup, t, slice_str(cancelled.name), on_too_soon);
    op_start(&cancelled.op, on_turn);
    op_post(&t->ready, &cancelled.op, 0);
}

/* After every number of turns up to its end. */
static void cancelled_at_every_stage(void **state)
{
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);
    unsigned whole = 0;

    (void)state;
    for (unsigned turns = 0; turns < 4000 && whole < 3; turns += 1 + turns / 16) {
        snprintf(cancelled.name, sizeof cancelled.name, "c%u.wide.test", turns);
        cancelled.over = 0;
        process_run(p, 0, find_and_cancel, &turns);
        assert_true(wait_for_count(&cancelled.over, 1));
        whole += cancelled.own_done;
    }
    assert_int_equal(whole, 3);
    snprintf(cancelled.name, sizeof cancelled.name, "..");
    cancelled.over = 0;
    process_run(p, 0, find_and_cancel, &(unsigned){0});
    assert_true(wait_for_count(&cancelled.over, 1));
    look_up(p, k, "one.test");
    assert_int_equal(k->status, MX_OK);
    free(k);
    end(p);
}

/* One of two that share their questions; from inside the other's done(). */
static struct mx_lookup pair[2];
static _Atomic unsigned pair_done;

static void on_pair(struct mx_lookup *l)
{
    assert_int_equal(l->status, MX_OK);
    mx_cancel(l);
    mx_cancel(&pair[l == &pair[0]]);
    memset(pair, 0xee, sizeof pair);
    pair_done++;
}

static void find_pair(struct thread *t, void *arg)
{
    (void)arg;
    memset(pair, 0, sizeof pair);
    mx_find(&pair[0], t, S("one.test"), on_pair);
    mx_find(&pair[1], t, S("one.test"), on_pair);
}

static void cancelled_by_the_other(void **state)
{
    struct process *p = begin();
    struct lookup *k = malloc(sizeof *k);

    (void)state;
    pair_done = 0;
    process_run(p, 0, find_pair, NULL);
    assert_true(wait_for_count(&pair_done, 1));
    look_up(p, k, "one.test");
    assert_int_equal(pair_done, 1);
    free(k);
    end(p);
}

/* Used again inside done(). */
static unsigned rounds_left;
static struct mx_lookup again;
static _Atomic unsigned again_over;

static void on_again(struct mx_lookup *l)
{
    assert_int_equal(l->status, MX_OK);
    if (rounds_left-- > 0)
        mx_find(l, l->thread, S("one.test"), on_again);
    else
        again_over++;
}

static void find_again(struct thread *t, void *arg)
{
    (void)arg;
    rounds_left = 50;
    mx_find(&again, t, S("one.test"), on_again);
}

static void used_again_inside_done(void **state)
{
    struct process *p = begin();

    (void)state;
    process_run(p, 0, find_again, NULL);
    assert_true(wait_for_count(&again_over, 1));
    end(p);
}

/* The thread ends while questions are under way, over TCP too. */
static void closed_in_the_middle(void **state)
{
    struct process *p = begin();
    unsigned count = CROWD;

    (void)state;
    begin_crowd("d%u.silent.test");
    snprintf(crowd_names[0], sizeof crowd_names[0], "big.test");
    snprintf(crowd_names[1], sizeof crowd_names[1], "cut.test");
    process_run(p, 0, find_crowd, &count);
    end(p);
}

/* --- this host ---------------------------------------------------------- */

/* A wildcard listens on what the machine has; 127.0.0.1 at least. */
static void own_addresses_of_a_wildcard(void **state)
{
    struct process *p;
    struct lookup *k = malloc(sizeof *k);

    (void)state;
    p = begin();
    server_end(p);
    set("smtp", "0.0.0.0:25");
    p = server_begin(configure);
    look_up(p, k, "[127.0.0.1]");
    assert_int_equal(k->status, MX_LOOP);
    look_up(p, k, "[192.0.2.77]");
    assert_int_equal(k->status, MX_LOOP);
    look_up(p, k, "one.test");
    assert_int_equal(k->status, MX_OK);
    free(k);
    end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_domain),
        cmocka_unit_test(answers_that_were_validated),
        cmocka_unit_test(whose_word_is_believed),
        cmocka_unit_test(hosts_that_the_operator_names),
        cmocka_unit_test(five_hundred_mx),
        cmocka_unit_test(the_next_server_is_asked),
        cmocka_unit_test(equal_preferences_take_turns),
        cmocka_unit_test(answers_are_kept_for_their_time),
        cmocka_unit_test(the_table_is_bounded),
        cmocka_unit_test(one_question_for_all_who_ask_it),
        cmocka_unit_test(many_wait_and_more_are_refused),
        cmocka_unit_test(cancelled_at_every_stage),
        cmocka_unit_test(cancelled_by_the_other),
        cmocka_unit_test(used_again_inside_done),
        cmocka_unit_test(closed_in_the_middle),
        cmocka_unit_test(own_addresses_of_a_wildcard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
