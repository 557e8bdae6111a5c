#include "tests/server/admin_support.h"

#include "server/route.h"

#define USERS                               \
    "anna@x.test:{PLAIN}pw\n"               \
    "bert@x.test:{PLAIN}pw\n"               \
    "carl@y.test:{PLAIN}pw\n"               \
    "lone+some@x.test:{PLAIN}pw\n"          \
    "shut@x.test:{PLAIN}pw::::::disabled\n" \
    "mute@x.test:!\n"                       \
    "\"o'neil b\"@x.test:{PLAIN}pw\n"

#define ALIASES                                                     \
    "# comment\n"                                                   \
    "\n"                                                            \
    "info@x.test    anna@x.test, bert@x.test\n"                     \
    "    # not the end of the list\n"                               \
    "\n"                                                            \
    "    carl@y.test\n"                                             \
    "Team@X.test    info@x.test bert\n"                             \
    "webmaster      carl@y.test\n"                                  \
    "bert@x.test    bert@x.test, anna@x.test\n"                     \
    "plus+tag@x.test anna@x.test\n"                                 \
    "ring1@x.test   ring2@x.test\n"                                 \
    "ring2@x.test   ring3@x.test\n"                                 \
    "ring3@x.test   ring1@x.test\n"                                 \
    "self@x.test    self@x.test\n"                                  \
    "away@x.test    anna@x.test, Some.One@else.test\n"              \
    "far@x.test     away2@x.test two@else.test\n"                   \
    "away2@x.test   Some.One@ELSE.test TWO@else.TEST\n"             \
    "foreign@x.test Foo@B\xc3\x9c"                                  \
    "cher.test foo@xn--bcher-kva.test\n"                            \
    "@gone.test     @else.test\n"                                   \
    "tour@x.test    anna@gone.test bert@gone.test anna@else.test\n" \
    "nobody@x.test  ghost@x.test\n"                                 \
    "closed@x.test  anna@x.test shut@x.test\n"                      \
    "diamond@x.test left@x.test right@x.test\n"                     \
    "left@x.test    carl@y.test\n"                                  \
    "right@x.test   left@x.test\n"                                  \
    "@old.test      @x.test\n"                                      \
    "@z.test        anna@x.test\n"                                  \
    "@loop1.test    @loop2.test\n"                                  \
    "@loop2.test    @loop1.test\n"                                  \
    "list@x.test    u1@z.test u2@z.test\n"                          \
    "olds@x.test    anna@old.test carl@old.test bert@old.test\n"    \
    "quoted@x.test  \"o'neil b\"@x.test\n"                          \
    "x.test         declares-the-domain\n"

static const struct {
    const char *rcpt;
    enum route_result result;
    const char *accounts; /* sorted, divided by spaces */
} routes[] = {
    {"anna@x.test", ROUTE_OK, "anna@x.test"},
    {"ANNA@X.TEST", ROUTE_OK, "anna@x.test"},
    {"\"anna\"@x.test", ROUTE_OK, "anna@x.test"},
    {"\"an\\na\"@x.test", ROUTE_OK, "anna@x.test"},
    {"anna+lists@x.test", ROUTE_OK, "anna@x.test"},
    {"anna+@x.test", ROUTE_OK, "anna@x.test"},
    {"lone+some@x.test", ROUTE_OK, "lone+some@x.test"},
    {"lone@x.test", ROUTE_UNKNOWN, ""},
    {"lone+other@x.test", ROUTE_UNKNOWN, ""},
    {"anna@y.test", ROUTE_UNKNOWN, ""},
    {"carl@y.test", ROUTE_OK, "carl@y.test"},
    {"mute@x.test", ROUTE_OK, "mute@x.test"},
    {"shut@x.test", ROUTE_DISABLED, ""},
    {"\"o'neil b\"@x.test", ROUTE_OK, "\"o'neil b\"@x.test"},
    /* aliases */
    {"info@x.test", ROUTE_OK, "anna@x.test bert@x.test carl@y.test"},
    {"info+more@x.test", ROUTE_OK, "anna@x.test bert@x.test carl@y.test"},
    {"team@x.test", ROUTE_OK, "anna@x.test bert@x.test carl@y.test"},
    {"webmaster@x.test", ROUTE_OK, "carl@y.test"},
    {"webmaster@y.test", ROUTE_OK, "carl@y.test"},
    {"webmaster@else.test", ROUTE_NOT_LOCAL, ""},
    {"bert@x.test", ROUTE_OK, "anna@x.test bert@x.test"},
    {"plus+tag@x.test", ROUTE_OK, "anna@x.test"},
    {"plus@x.test", ROUTE_UNKNOWN, ""},
    {"ring1@x.test", ROUTE_LOOP, ""},
    {"ring3@x.test", ROUTE_LOOP, ""},
    {"self@x.test", ROUTE_LOOP, ""},
    {"away@x.test", ROUTE_OK, "anna@x.test > Some.One@else.test"},
    {"far@x.test", ROUTE_OK, "> two@else.test > Some.One@ELSE.test"},
    {"foreign@x.test", ROUTE_OK, "> Foo@xn--bcher-kva.test"},
    {"AnNa@gone.test", ROUTE_OK, "> AnNa@else.test"},
    {"tour@x.test", ROUTE_OK, "> anna@else.test > bert@else.test"},
    {"nobody@x.test", ROUTE_UNKNOWN, ""},
    {"closed@x.test", ROUTE_DISABLED, ""},
    {"diamond@x.test", ROUTE_OK, "carl@y.test"},
    {"quoted@x.test", ROUTE_OK, "\"o'neil b\"@x.test"},
    /* whole domains */
    {"anna@old.test", ROUTE_OK, "anna@x.test"},
    {"anna+a@old.test", ROUTE_OK, "anna@x.test"},
    {"ghost@old.test", ROUTE_UNKNOWN, ""},
    {"anything@z.test", ROUTE_OK, "anna@x.test"},
    {"list@x.test", ROUTE_OK, "anna@x.test"},
    {"olds@x.test", ROUTE_UNKNOWN, ""},
    {"anna@loop1.test", ROUTE_LOOP, ""},
    {"anybody@caught.test", ROUTE_OK, "carl@y.test"},
    /* always there */
    {"postmaster@x.test", ROUTE_OK, "anna@x.test bert@x.test"},
    {"Postmaster@y.test", ROUTE_OK, "anna@x.test bert@x.test"},
    {"abuse@y.test", ROUTE_OK, "anna@x.test bert@x.test"},
    {"postmaster+a@y.test", ROUTE_OK, "anna@x.test bert@x.test"},
    {"postmaster@else.test", ROUTE_NOT_LOCAL, ""},
    /* strangers */
    {"x@other.test", ROUTE_NOT_LOCAL, ""},
    {"x%other.test@x.test", ROUTE_UNKNOWN, ""},
    {"\"x@other.test\"@x.test", ROUTE_UNKNOWN, ""},
    {"x@[127.0.0.2]", ROUTE_NOT_LOCAL, ""},
    {"anna@[127.0.0.1]", ROUTE_NOT_LOCAL, ""},
    {"x@x.test.other.test", ROUTE_NOT_LOCAL, ""},
    {"\"anna+lists\"@x.test", ROUTE_OK, "anna@x.test"},
};

static struct config *config;
static struct accounts *accounts;

static int open_all(void **state)
{
    struct told told;

    (void)state;
    config = config_with("domain x.test\ndomain y.test\ndomain caught.test\n"
                         "catch-all Caught.test=carl@y.test\n"
                         "catch-all z.test=bert@x.test\n" /* the file's comes first */
                         "postmaster bert@x.test\n");
    accounts = accounts_with(config, S(USERS), S(ALIASES), NULL, &told);
    if (!accounts)
        print_error("%s\n", told_text(&told));
    return accounts ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    accounts_drop(accounts);
    config_free(config);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    struct slice x = (*(const struct account *const *)a)->name,
                 y = (*(const struct account *const *)b)->name;
    int order = memcmp(x.at, y.at, x.len < y.len ? x.len : y.len);

    return order ? order : (int)x.len - (int)y.len;
}

static void join(const struct route *route, char *at, size_t cap)
{
    struct out out = out_of(at, cap - 1);

    qsort(route->accounts, route->count, sizeof *route->accounts, by_name);
    for (unsigned i = 0; i < route->count; i++) {
        if (i > 0)
            out_byte(&out, ' ');
        out_put(&out, route->accounts[i]->name);
    }
    for (unsigned i = 0; i < route->remote_count; i++) {
        out_str(&out, out.len > 0 ? " > " : "> ");
        out_put(&out, route->remotes[i].address);
        assert_true(route->remotes[i].forwarded);
    }
    at[out.len] = 0;
}

static void test_routes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct account *found[8];
        struct route_remote remotes[8];
        struct arena arena = arena_of(ROUTE_BYTES_MAX);
        struct route route = {.accounts = found,
            .cap = 8,
            .count = 99,
            .remotes = remotes,
            .remote_cap = 8,
            .arena = &arena};
        struct smtp_path path;
        enum route_result result;
        char got[512];

        assert_true(smtp_mailbox(slice_str(routes[i].rcpt), true, &path));
        result = route_resolve(accounts, &path, &route);
        join(&route, got, sizeof got);
        if (result != routes[i].result || strcmp(got, routes[i].accounts) != 0)
            fail_msg("%s: %.*s %s", routes[i].rcpt, (int)route_reply(result).len,
                route_reply(result).at, got);
        arena_reset(&arena);
    }
}

static void test_postmaster_without_domain(void **state)
{
    const struct account *found[4];
    struct route route = {.accounts = found, .cap = 4};
    struct smtp_path path = {
        .kind = SMTP_PATH_POSTMASTER, .text = S("Postmaster"), .local = S("Postmaster")};
    struct config *c = config_with("domain x.test\n");
    struct told told;
    struct accounts *a = accounts_with(c, S(USERS), S(""), NULL, &told);
    struct accounts *none = accounts_with(c, S(""), S(""), NULL, &told);

    (void)state;
    assert_int_equal(route_resolve(a, &path, &route), ROUTE_OK);
    assert_true(slice_eq(found[0]->name, S("anna@x.test"))); /* the first account */
    assert_int_equal(route_resolve(none, &path, &route), ROUTE_UNKNOWN);
    accounts_drop(a);
    accounts_drop(none);
    config_free(c);
}

static void test_postmaster_that_leads_to_itself(void **state)
{
    const struct account *found[4];
    struct route route = {.accounts = found, .cap = 4};
    struct smtp_path path;
    struct config *c = config_with("domain x.test\npostmaster abuse@x.test\n");
    struct told told;
    struct accounts *a = accounts_with(c, S(USERS), S(""), NULL, &told);

    (void)state;
    assert_true(smtp_mailbox(S("postmaster@x.test"), false, &path));
    assert_int_equal(route_resolve(a, &path, &route), ROUTE_OK);
    assert_int_equal(route.count, 1);
    assert_true(slice_eq(found[0]->name, S("anna@x.test"))); /* the first account */
    accounts_drop(a);
    config_free(c);
}

/* The first account is of no use where it takes no mail, and nobody's address is not. */
static void test_postmaster_is_somebody(void **state)
{
    static const char *const flags[] = {"domain x.test\n",
        "domain x.test\npostmaster ghost@x.test\n",
        "domain x.test\npostmaster shut@x.test\n",
        "domain x.test\npostmaster x@else.test\n"};

    (void)state;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        const struct account *found[4];
        struct route route = {.accounts = found, .cap = 4};
        struct smtp_path path;
        struct config *c = config_with(flags[i]);
        struct told told;
        struct accounts *a = accounts_with(c,
            S("shut@x.test:{PLAIN}x::::::disabled\nanna@x.test:{PLAIN}x\n"), S(""), NULL,
            &told);

        assert_true(smtp_mailbox(S("postmaster@x.test"), false, &path));
        assert_int_equal(route_resolve(a, &path, &route), ROUTE_OK);
        assert_int_equal(route.count, 1);
        assert_true(slice_eq(found[0]->name, S("anna@x.test")));
        accounts_drop(a);
        config_free(c);
    }
}

static void test_replies(void **state)
{
    (void)state;
    assert_true(slice_starts_nocase(route_reply(ROUTE_UNKNOWN), S("550 5.1.1 ")));
    assert_true(slice_starts_nocase(route_reply(ROUTE_NOT_LOCAL), S("550 5.7.1 ")));
    for (int i = ROUTE_OK; i <= ROUTE_NO_MEMORY; i++) {
        struct slice reply = route_reply((enum route_result)i);

        assert_true(reply.len > 12 && reply.at[reply.len - 1] == '\n');
        assert_int_equal(reply.at[0] == '2', i == ROUTE_OK);
    }
}

static void test_no_room_is_all_or_nothing(void **state)
{
    const struct account *found[2];
    struct route route = {.accounts = found, .cap = 2};
    struct smtp_path path;

    (void)state;
    assert_true(smtp_mailbox(S("info@x.test"), true, &path));
    assert_int_equal(route_resolve(accounts, &path, &route), ROUTE_TOO_MANY);
    assert_int_equal(route.count, 0);
}

static void test_may_send(void **state)
{
    static const struct {
        const char *account, *from;
        bool may;
    } cases[] = {
        {"anna@x.test", "anna@x.test", true},
        {"anna@x.test", "ANNA+shop@x.test", true},
        {"anna@x.test", "plus+tag@x.test", true},
        {"anna@x.test", "whatever@z.test", true},
        {"anna@x.test", "info@x.test", false}, /* stands for others too */
        {"bert@x.test", "bert@x.test", true},  /* his mail also goes to anna */
        {"anna@x.test", "carl@y.test", false},
        {"anna@x.test", "someone@else.test", false},
        {"carl@y.test", "webmaster@x.test", true},
        {"carl@y.test", "nobody@x.test", false},
    };
    struct smtp_path null = {.kind = SMTP_PATH_NULL};

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct account *account =
            accounts_find(accounts, slice_str(cases[i].account));
        struct smtp_path path;

        assert_true(smtp_mailbox(slice_str(cases[i].from), true, &path));
        if (route_may_send(accounts, account, &path) != cases[i].may)
            fail_msg("%s as %s", cases[i].account, cases[i].from);
        assert_true(route_may_send(accounts, account, &null));
    }
}

/* --- granted senders ----------------------------------------------------- */

static struct accounts *with_senders(
    const struct config *c, const char *senders, struct told *told)
{
    struct accounts_source source = {.config = c,
        .users = S(USERS),
        .aliases = S(ALIASES),
        .senders = slice_str(senders),
        .users_name = "users",
        .aliases_name = "aliases",
        .senders_name = "senders",
        .key = 7};

    return accounts_build(&source, told_open(told));
}

static void test_granted_senders(void **state)
{
    static const struct {
        const char *account, *from;
        bool may;
    } cases[] = {
        {"anna@x.test", "info@x.test", true},
        {"anna@x.test", "Info+more@x.test", true},
        {"anna@x.test", "anyone@Brand.test", true},
        {"anna@x.test", "anyone@sub.brand.test", false},
        {"anna@x.test", "anna@gmail.test", true},
        {"anna@x.test", "anna+a@gmail.test", true},
        {"anna@x.test", "bert@gmail.test", false},
        {"anna@x.test", "anna@x.test", true},
        {"bert@x.test", "info@x.test", false},
        {"carl@y.test", "bert@x.test", true},
        {"carl@y.test", "\xc3\xbc@xn--bcher-kva.test", true},
    };
    struct told told;
    struct accounts *a = with_senders(config,
        "# who may send as whom\n"
        "anna  info, @brand.test\n   anna@gmail.test\n"
        "Carl@y.test bert@x.test,@b\xc3\xbc"
        "cher.test\n",
        &told);

    (void)state;
    assert_non_null(a);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct smtp_path path;

        assert_true(smtp_mailbox(slice_str(cases[i].from), true, &path));
        if (route_may_send(a, accounts_find(a, slice_str(cases[i].account)), &path) !=
            cases[i].may)
            fail_msg("%s as %s", cases[i].account, cases[i].from);
    }
    accounts_drop(a);
}

static void test_bad_senders_files(void **state)
{
    static const struct {
        const char *text, *says;
    } files[] = {
        {"anna\n", "senders, line 1: anna: no address behind it"},
        {"\nanna@@x b@x\n", "line 2: anna@@x: not a name"},
        {"anna b@@x\n", "line 1: b@@x: not a name"},
        {"anna @x..y\n", "line 1: @x..y: not a domain"},
        {"anna a@b.test\n# x\nanna c@b.test\n", "line 3: anna@x.test: has a line"},
        {"@x.test a@b.test\n", "not a name"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        struct told told;

        assert_null(with_senders(config, files[i].text, &told));
        assert_told(&told, files[i].says);
    }
}

/* --- EXPN ---------------------------------------------------------------- */

static void test_expand(void **state)
{
    static const struct {
        const char *rcpt;
        enum route_result result;
        const char *targets;
    } cases[] = {
        {"info@x.test", ROUTE_OK, "anna@x.test bert@x.test carl@y.test"},
        {"team+a@x.test", ROUTE_OK, "info@x.test bert@x.test"},
        {"away@x.test", ROUTE_OK, "anna@x.test Some.One@else.test"},
        {"Anna@old.test", ROUTE_OK, "Anna@x.test"},
        {"anna@x.test", ROUTE_OK, "anna@x.test"},
        {"who@z.test", ROUTE_OK, "anna@x.test"},
        {"who@caught.test", ROUTE_OK, "carl@y.test"},
        {"postmaster@y.test", ROUTE_OK, "bert@x.test"},
        {"ghost@x.test", ROUTE_UNKNOWN, ""},
        {"x@else.test", ROUTE_NOT_LOCAL, ""},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = arena_of(ROUTE_BYTES_MAX);
        struct slice targets[3];
        struct smtp_path path;
        unsigned count;
        char got[256];
        struct out out = out_of(got, sizeof got - 1);

        assert_true(smtp_mailbox(slice_str(cases[i].rcpt), true, &path));
        assert_int_equal(
            route_expand(accounts, &path, targets, 3, &count, &arena), cases[i].result);
        for (unsigned j = 0; j < count; j++) {
            out_str(&out, j > 0 ? " " : "");
            out_put(&out, targets[j]);
        }
        got[out.len] = 0;
        assert_string_equal(got, cases[i].targets);
        if (count > 1) {
            unsigned all = count;

            assert_int_equal(
                route_expand(accounts, &path, targets, 1, &count, &arena), ROUTE_OK);
            assert_int_equal(count, all);
        }
        arena_reset(&arena);
    }
}

/* --- one domain in two spellings ------------------------------------------- */

#define UE "\xc3\xbc"

static void check_spellings(const char *flags, const char *users, const char *name)
{
    static const char *const rcpts[] = {"anna@b" UE "cher.test",
        "ANNA@XN--BCHER-KVA.test",
        "anna@B\xc3\x9c"
        "CHER.TEST",
        "info@xn--bcher-kva.test", "anna+a@b" UE "cher.test", "x@gro" UE ".test",
        "x@xn--gro-joa.test"};
    struct config *c = config_with(flags);
    struct told told;
    struct accounts *a = accounts_with(c, slice_str(users),
        S("info@b" UE "cher.test anna@xn--bcher-kva.test\n@gro" UE ".test anna@b" UE
          "cher.test\n"),
        NULL, &told);
    char at[ACCOUNT_NAME_MAX + 1];

    assert_non_null(a);
    for (unsigned i = 0; i < sizeof rcpts / sizeof *rcpts; i++) {
        const struct account *found[2];
        struct route route = {.accounts = found, .cap = 2};
        struct smtp_path path;

        assert_true(smtp_mailbox(slice_str(rcpts[i]), true, &path));
        if (route_resolve(a, &path, &route) != ROUTE_OK || route.count != 1 ||
            !slice_eq(found[0]->name, slice_str(name)))
            fail_msg("%s with %s", rcpts[i], flags);
    }
    assert_true(slice_eq(
        accounts_name(a, S("Anna@b" UE "cher.test"), at, sizeof at), slice_str(name)));
    assert_true(slice_eq(
        accounts_name(a, S("anna@xn--bcher-KVA.test"), at, sizeof at), slice_str(name)));
    assert_true(accounts_is_local(a, S("b" UE "cher.test")));
    assert_false(accounts_is_local(a, S("b" UE "cher.example")));
    accounts_drop(a);
    config_free(c);
}

static void test_spellings_of_a_domain(void **state)
{
    (void)state;
    check_spellings("domain b" UE "cher.test\n", "anna@b" UE "cher.test:{PLAIN}x\n",
        "anna@b" UE "cher.test");
    check_spellings("domain b" UE "cher.test\n", "anna@xn--bcher-kva.test:{PLAIN}x\n",
        "anna@b" UE "cher.test");
    check_spellings("domain xn--bcher-kva.test\n", "anna@b" UE "cher.test:{PLAIN}x\n",
        "anna@xn--bcher-kva.test");
    check_spellings("", "anna@b" UE "cher.test:{PLAIN}x\n", "anna@b" UE "cher.test");
    check_spellings("", "anna@xn--bcher-kva.test:{PLAIN}x\n", "anna@xn--bcher-kva.test");
}

/* --- the alias file itself --------------------------------------------- */

static const struct {
    const char *text, *says;
} bad_files[] = {
    {"a@x.test\n", "line 1: a@x.test: no target"},
    {"a@x.test ,\n", "line 1: a@x.test: no target"},
    {"\n\na@@x.test b@x.test\n", "line 3: a@@x.test: not a name"},
    {"a@x.test b@@x.test\n", "line 1: b@@x.test: not a name"},
    /* the line where an alias begins, whatever belongs to it or stands behind it */
    {"# 1\na@x.test b@@x.test,\n  c\n# 4\n\n# 6\n", "line 2: b@@x.test"},
    {"a@x.test b\n  c\n# 3\nb@x.test b@@x.test\n", "line 4: b@@x.test"},
    /* what aliases(5) looks like */
    {"info: anna@x.test\n", "line 1: info:: no colon"},
    {"info@x.test: anna@x.test\n", "line 1: info@x.test:: not a name"},
    {"a..b anna@x.test\n", "line 1: a..b@x: not a name"},
    {"a@x.test |/bin/cat\n", "commands"},
    {"a@x.test /var/mail/a\n", "commands"},
    {"a@x.test :include:/x\n", "commands"},
    {"@x..test a@x.test\n", "not a domain"},
    {"a@x.test @x..test\n", "not a domain"},
    {"a@x.test b\nA@X.test c\n", "line 2: a@x.test: has a line already, 1; remove"},
    {"a@x.test b\n , c\n,\n", "line 3: no address in front"},
    {"a@x.test \"b\n", "not a name"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        struct told told;
        struct accounts *a =
            accounts_with(config, S(USERS), slice_str(bad_files[i].text), NULL, &told);

        if (a)
            fail_msg("taken: %s", bad_files[i].text);
        assert_told(&told, bad_files[i].says);
        assert_told(&told, "aliases, line");
    }
}

static void test_aliases_with_nul_are_refused(void **state)
{
    struct told told;

    (void)state;
    assert_null(accounts_with(config, S(USERS), S("a@x.test b\0c"), NULL, &told));
    assert_told(&told, "NUL");
}

/* A thousand targets are one recipient; one more is refused when the file is read. */
static void test_many_targets(void **state)
{
    size_t cap = 1 << 18;
    char *users = malloc(cap), *aliases = malloc(cap);
    struct out u = out_of(users, cap), l = out_of(aliases, cap);
    const struct account *found[ROUTE_ACCOUNTS_MAX];
    struct route route = {.accounts = found, .cap = ROUTE_ACCOUNTS_MAX};
    struct smtp_path path;
    struct accounts *a;
    struct told told;

    (void)state;
    out_str(&l, "all@x.test");
    for (unsigned i = 0; i < 1000; i++) {
        out_str(&u, "u");
        out_u64(&u, i);
        out_str(&u, "@x.test:!\n");
        out_str(&l, ",\n u");
        out_u64(&l, i);
    }
    a = accounts_with(config, out_slice(&u), out_slice(&l), NULL, &told);
    if (!a)
        fail_msg("%s", told_text(&told));
    assert_true(smtp_mailbox(S("all@x.test"), true, &path));
    assert_int_equal(route_resolve(a, &path, &route), ROUTE_OK);
    assert_int_equal(route.count, 1000);
    accounts_drop(a);
    out_str(&l, " u0 u1");
    assert_null(accounts_with(config, out_slice(&u), out_slice(&l), NULL, &told));
    assert_told(&told, "more than 1000 targets");
    free(users);
    free(aliases);
}

/* Aliases that double at every step stay within the bound on addresses. */
static void test_explosion(void **state)
{
    char text[8192] = "";
    const struct account *found[ROUTE_ACCOUNTS_MAX];
    struct route route = {.accounts = found, .cap = ROUTE_ACCOUNTS_MAX};
    struct smtp_path path;
    struct accounts *a;
    struct told told;

    (void)state;
    for (int i = 0; i < 60; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
            "@d%d.test @d%d.test @e%d.test\n@e%d.test @d%d.test @e%d.test\n", i, i + 1,
            i + 1, i, i + 1, i + 1);
    a = accounts_with(config, S(USERS), slice_str(text), NULL, &told);
    assert_non_null(a);
    assert_true(smtp_mailbox(S("boom@d0.test"), true, &path));
    assert_int_equal(route_resolve(a, &path, &route), ROUTE_TOO_MANY);
    accounts_drop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_postmaster_without_domain),
        cmocka_unit_test(test_postmaster_that_leads_to_itself),
        cmocka_unit_test(test_postmaster_is_somebody),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_no_room_is_all_or_nothing),
        cmocka_unit_test(test_may_send),
        cmocka_unit_test(test_granted_senders),
        cmocka_unit_test(test_bad_senders_files),
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_spellings_of_a_domain),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_aliases_with_nul_are_refused),
        cmocka_unit_test(test_many_targets),
        cmocka_unit_test(test_explosion),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
