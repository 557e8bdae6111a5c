/* admin_support.h -- what the tests of flags, accounts and logins share. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/accounts.h"
#include "server/config.h"

/* A message buffer of one call. */
struct told {
    char text[CONFIG_WHY_MAX + 1];
    struct out out;
};

static inline struct out *told_open(struct told *t)
{
    t->out = out_of(t->text, sizeof t->text - 1);
    return &t->out;
}

static inline const char *told_text(struct told *t)
{
    t->text[t->out.len] = 0;
    return t->text;
}

#define assert_told(told, part)                                            \
    do {                                                                   \
        if (!strstr(told_text(told), part))                                \
            fail_msg("\"%s\" does not say \"%s\"", told_text(told), part); \
    } while (0)

/* A configuration from "name value" lines, finished; the lines must be good. */
static inline struct config *config_with(const char *lines)
{
    struct config *c = config_new();
    struct told told;

    assert_non_null(c);
    if (!config_text(c, slice_str(lines), "test", told_open(&told)) ||
        !config_text(c, S("data /nowhere\nhostname mail.test\n"), "test", &told.out) ||
        !config_finish(c, false, &told.out))
        fail_msg("%s", told_text(&told));
    return c;
}

/* A snapshot, or NULL and the reason in `told`. */
static inline struct accounts *accounts_with(const struct config *c, struct slice users,
    struct slice aliases, const struct accounts *before, struct told *told)
{
    struct accounts_source source = {.config = c,
        .before = before,
        .users = users,
        .aliases = aliases,
        .users_name = "users",
        .aliases_name = "aliases",
        .key = 7};

    return accounts_build(&source, told_open(told));
}
