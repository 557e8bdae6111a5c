/* accounts.h -- who has mail here: users and aliases, as an immutable snapshot.
 *
 * The control thread builds a snapshot from the users file (Dovecot's passwd-file) and
 * the alias file (Postfix's virtual aliases) and hands it to every thread; each thread
 * holds one reference. Names are folded to lower case (ASCII) and have a domain.
 */
#pragma once
#include <assert.h>
#include <stdatomic.h>

#include "proto/base/slice.h"

struct config;

enum {
    ACCOUNT_NAME_MAX = 254, /* octets of user@domain (RFC 5321, 4.5.3.1.3) */
    ACCOUNT_SECRET_MAX = 1024,
    ACCOUNTS_MAX = 16 << 20
};

/* There may be a million: what is rare is short. */
struct account {
    struct slice name;    /* canonical: user@domain in lower case */
    const char *secret;   /* private, as what follows: in the text of the file */
    uint32_t networks_at; /* behind it */
    uint32_t networks_bytes;
    uint32_t since; /* generation of the snapshot in which it last changed */
    uint16_t secret_bytes;
    bool login;    /* may log in at all */
    bool disabled; /* takes no mail either */
};

static_assert(sizeof(struct account) <= 40, "the price of an account");

/* "{SCHEME}hash" as in the file; empty: no login. */
static inline struct slice account_password(const struct account *account)
{
    return slice_of(account->secret, account->secret_bytes);
}

/* "allow_nets" of the file, comma-separated; empty: any. */
static inline struct slice account_networks(const struct account *account)
{
    return slice_of(account->secret + account->networks_at, account->networks_bytes);
}

struct accounts; /* private, but for the calls below */

struct accounts_source {
    const struct config *config;   /* --domain, --catch-all, --postmaster, delimiter */
    const struct accounts *before; /* the snapshot this one follows, or NULL */
    struct slice users, aliases, senders; /* the files' bytes */
    char *users_memory;    /* NULL: `users` is copied; else it is the memory of it, from
                            * malloc(), which goes over in any case */
    struct slice removed;  /* names whose mail is still to be removed, one a line */
    struct slice srs_keys; /* server/forward.h; empty: none */
    const char *users_name, *aliases_name, *senders_name; /* for messages */
    uint64_t key;                                         /* random: of the hash tables */
    /* Gets one line for each thing that is odd but harmless; may be NULL. */
    void (*warn)(void *arg, const char *line);
    void *arg;
};

/* A new snapshot with one reference. NULL: `why` holds file, line and reason. */
struct accounts *accounts_build(const struct accounts_source *source, struct out *why);
/* The same from the files that the configuration names. */
struct accounts *accounts_load(
    const struct config *config, const struct accounts *before, struct out *why);

/* False: the files are others than when it was loaded. */
bool accounts_are_current(const struct accounts *a, const struct config *config);

struct accounts *accounts_take(struct accounts *a); /* one more reference */
void accounts_drop(struct accounts *a);             /* the last one frees; NULL is fine */

uint64_t accounts_generation(const struct accounts *a); /* ascending, from 1 */
unsigned accounts_count(const struct accounts *a);
/* In the order of the file; i < accounts_count(). */
const struct account *accounts_at(const struct accounts *a, unsigned i);
unsigned accounts_alias_count(const struct accounts *a);

/* By canonical name; NULL: unknown. Good while the snapshot is held. */
const struct account *accounts_find(const struct accounts *a, struct slice name);

/* What a client calls itself -> canonical name in `at` (cap >= ACCOUNT_NAME_MAX + 1):
 * lower case, the first domain added where there is none. Empty when it can't be one. */
struct slice accounts_name(
    const struct accounts *a, struct slice given, char *at, size_t cap);

/* What stands behind the last '@'. */
struct slice accounts_domain_of(struct slice name);
bool accounts_is_local(const struct accounts *a, struct slice domain); /* any case */
/* The i-th local domain, lower case; false past the last. */
bool accounts_domain_at(const struct accounts *a, unsigned i, struct slice *domain);
