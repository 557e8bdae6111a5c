/* fuzz_users.c -- users, alias and senders files as an operator might hand them over, and
 * the addresses that are then looked up. The input is four texts divided by \xff\n. */
#include <stdlib.h>

#include "server/accounts.h"
#include "server/config.h"
#include "server/password.h"
#include "server/route.h"

static struct slice cut(struct slice *rest)
{
    const char *at = rest->len ? memmem(rest->at, rest->len, "\xff\n", 2) : NULL;
    struct slice part = *rest;

    if (!at) {
        *rest = S("");
        return part;
    }
    part.len = (size_t)(at - rest->at);
    slice_take(rest, part.len + 2);
    return part;
}

static struct config *config_made(void)
{
    struct config *c = config_new();
    char text[CONFIG_WHY_MAX];
    struct out why = out_of(text, sizeof text);

    CHECK(c &&
        config_text(c, S("data /d\nhostname h.test\ndomain x.test\ndomain y.test\n"), "f",
            &why) &&
        config_finish(c, false, &why));
    return c;
}

/* What holds for every snapshot, whatever it was made from. */
static void check_accounts(const struct accounts *a)
{
    for (unsigned i = 0; i < accounts_count(a); i++) {
        const struct account *account = accounts_at(a, i);

        CHECK(account->name.len > 0 && account->name.len <= ACCOUNT_NAME_MAX);
        CHECK(slice_is_utf8(account->name));
        CHECK(accounts_find(a, account->name) == account);
        CHECK(!account->login ||
            password_kind(account_password(account)) >= PASSWORD_CRYPT);
    }
}

static void look_up(const struct accounts *a, struct slice text)
{
    const struct account *found[ROUTE_ACCOUNTS_MAX];
    struct route_remote remotes[ROUTE_REMOTES_MAX];
    struct arena arena = arena_of(ROUTE_BYTES_MAX);
    struct route route = {.accounts = found,
        .cap = ROUTE_ACCOUNTS_MAX,
        .remotes = remotes,
        .remote_cap = ROUTE_REMOTES_MAX,
        .arena = &arena};
    struct smtp_path path;
    struct slice targets[8];
    unsigned count;
    char name[320];

    accounts_name(a, text, name, sizeof name);
    if (!smtp_mailbox(text, true, &path))
        return;
    if (route_resolve(a, &path, &route) != ROUTE_OK)
        CHECK(route.count == 0 && route.remote_count == 0);
    else
        CHECK(route.count + route.remote_count > 0);
    for (unsigned i = 0; i < route.count; i++)
        CHECK(!found[i]->disabled);
    for (unsigned i = 0; i < route.remote_count; i++) {
        struct smtp_path to;

        CHECK(smtp_mailbox(remotes[i].address, true, &to));
        CHECK(!accounts_is_local(a, to.domain) && remotes[i].forwarded);
    }
    if (route_expand(a, &path, targets, 8, &count, &arena) == ROUTE_OK)
        CHECK(count > 0 && targets[0].len > 0);
    arena_reset(&arena);
    if (accounts_count(a) > 0)
        route_may_send(a, accounts_at(a, 0), &path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    struct slice rest = slice_of((const char *)data, size), users = cut(&rest),
                 aliases = cut(&rest), senders = cut(&rest);
    struct accounts_source source = {.users = users,
        .aliases = aliases,
        .senders = senders,
        .users_name = "users",
        .aliases_name = "aliases",
        .senders_name = "senders"};
    char text[CONFIG_WHY_MAX];
    struct out why = out_of(text, sizeof text);
    struct accounts *a, *next;

    if (!config)
        config = config_made();
    source.config = config;
    a = accounts_build(&source, &why);
    if (!a) {
        CHECK(why.len > 0 && !memchr(why.at, '\n', why.len));
        return 0;
    }
    check_accounts(a);
    look_up(a, rest);
    source.before = a;
    next = accounts_build(&source, &why);
    CHECK(next);
    for (unsigned i = 0; i < accounts_count(next); i++)
        CHECK(accounts_at(next, i)->since == 1); /* nothing has changed */
    accounts_drop(a);
    accounts_drop(next);
    return 0;
}
