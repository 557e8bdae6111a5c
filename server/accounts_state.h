/* accounts_state.h -- the inside of a snapshot. Private to accounts*.c and route.c. */
#pragma once
#include "proto/base/arena.h"
#include "proto/smtp/smtp.h"
#include "server/accounts.h"
#include "server/names.h"

struct alias {
    struct slice pattern;  /* user@domain, user, or @domain; lower case */
    uint32_t first, count; /* its targets */
    uint32_t line;
};

/* A line of --senders. */
struct grant {
    struct slice account;  /* canonical */
    uint32_t first, count; /* of `granted` */
    uint32_t line;
};

struct domain {
    struct slice key;  /* in A-labels, as it is looked up: server/idn.h */
    struct slice name; /* lower case, in the spelling that was met first: all names of
                        * accounts have it */
};

enum { SRS_KEYS_MAX = 8, SRS_KEY_MIN = 16, SRS_KEY_MAX = 64 /* octets */ };

struct srs_keys {
    unsigned count;
    bool signs;          /* --srs: else only what is on its way still comes back */
    struct slice domain; /* of the senders that are made */
    struct srs_key {
        uint8_t len;
        uint8_t bytes[SRS_KEY_MAX];
    } at[SRS_KEYS_MAX];
};

struct accounts {
    atomic_uint references;
    uint32_t generation;
    uint64_t key;   /* of the hashes */
    uint64_t stamp; /* of the files, when they were read */
    char delimiter;
    struct slice home;       /* first local domain, completes names without one */
    struct slice postmaster; /* address; empty: no account at all */

    char *text; /* the users file; names in it are folded */
    size_t text_bytes;
    struct arena arena; /* the other names */

    struct account *list; /* first field of each: the name */
    unsigned count;
    struct names by_name;

    struct alias *aliases;
    unsigned alias_count;
    struct names by_pattern;
    struct slice *targets; /* user@domain, or @domain: the same user there; as written */
    unsigned target_count;

    struct grant *grants;
    unsigned grant_count;
    struct names by_grantee;
    struct slice *granted; /* user@domain or @domain, as they are looked up */
    unsigned granted_count;

    struct srs_keys srs;

    struct domain *domains;
    unsigned domain_count;
    struct names by_domain;
    bool spelt; /* a domain is spelt in U-labels */
};

/* An address in the form in which it is looked up: smtp_addr_of(), a local domain in its
 * one spelling, any other in A-labels. False: no memory, or <>. */
bool accounts_addr_of(const struct accounts *a, const struct smtp_path *path,
    struct arena *arena, struct smtp_addr *addr);
/* The same for a domain alone; at NULL without memory. */
struct slice accounts_spell(
    const struct accounts *a, struct slice domain, struct arena *arena);

/* What a builder carries along. */
struct accounts_build {
    struct accounts *a;
    const struct accounts_source *source;
    struct out *why;
    unsigned warnings;
    unsigned line;      /* under way; of lines that belong together, the first */
    unsigned line_more; /* that belong to it */
    struct slice same;  /* a domain that is kept as it is written */
    unsigned indexed;   /* of the accounts: those before are in by_name */
};

enum { ACCOUNTS_WARNINGS_MAX = 20, ACCOUNTS_LINE_MAX = 1 << 20 };

/* Always false: "FILE, line N: reason". */
bool accounts_refuse(struct accounts_build *b, const char *file, const char *reason);
/* Likewise: "FILE, line N: TEXT: reason"; and for a TEXT that line `before` has. */
bool accounts_refuse_text(
    struct accounts_build *b, const char *file, struct slice text, const char *reason);
bool accounts_refuse_twice(
    struct accounts_build *b, const char *file, struct slice text, unsigned before);
bool accounts_no_memory(struct accounts_build *b);
/* "FILE, line N: NAME: reason", at most ACCOUNTS_WARNINGS_MAX times. */
void accounts_warn(
    struct accounts_build *b, const char *file, struct slice name, const char *reason);

/* user@domain, or user at the first domain, in the one form in which it is looked up, in
 * the arena. False: refused. */
bool accounts_canonical(
    struct accounts_build *b, const char *file, struct slice text, struct slice *name);

/* Those of --domain; without any there is room for those of the accounts. */
bool accounts_named_domains(struct accounts_build *b);
/* All domains are known: the first one completes names. */
void accounts_choose_home(struct accounts *a);
/* One more local domain, where it is new. */
bool accounts_add_domain(struct accounts_build *b, struct slice name);
/* Lines that a file has, at least one. */
unsigned accounts_lines(struct slice text);
/* The same without another spelling: as it is to be sent. */
bool accounts_complete(
    struct accounts_build *b, const char *file, struct slice text, struct slice *name);
/* "@domain", or "domain": with the @, as it is looked up. False: no memory. */
bool accounts_domain_pattern(
    struct accounts_build *b, struct slice text, struct slice *pattern);

/* Cuts the next line off, without its line end. False at the end. */
bool accounts_line(struct accounts_build *b, struct slice *text, struct slice *line);

/* A line and those that continue it, joined in `joined`. False at the end of the file. */
bool accounts_logical_line(
    struct accounts_build *b, struct slice *text, struct out *joined);
/* The next word of it: divided by commas and blanks, a quoted part kept whole. Empty at
 * the end. */
struct slice accounts_word(struct slice *rest);

/* Fills in list and by_name. */
bool accounts_read_users(struct accounts_build *b);
/* Fills in aliases, targets and by_pattern, --catch-all among them. */
bool accounts_read_aliases(struct accounts_build *b);
/* Fills in grants and granted: senders.c. */
bool accounts_read_senders(struct accounts_build *b);
/* Fills in srs: srs_keys.c. */
bool accounts_read_srs(struct accounts_build *b);
/* Does --senders let the account use this sender? */
bool accounts_granted(const struct accounts *a, const struct account *account,
    const struct smtp_addr *addr);
