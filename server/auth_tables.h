/* auth_tables.h -- what a thread remembers of logins: right passwords for a short time,
 * and addresses that guess. Both are of fixed size and forget the oldest. */
#pragma once
#include "proto/base/slice.h"
#include "server/address.h"

enum {
    TABLE_WAYS = 8, /* places an entry may take */
    RECENT_ROWS = 2048,
    FAILURE_ROWS = 1024,
    FAILURE_HALF_S = 300 /* a count of failures halves in that time */
};

/* A digest nobody can make without the key (SipHash-2-4, 128 bits). */
struct digest {
    uint64_t half[2];
};
struct digest digest_of(const uint64_t key[2], const struct slice *parts, unsigned count);

/* --- right passwords ---------------------------------------------------- */

struct recent {
    uint64_t key[2]; /* random, of this table */
    struct recent_entry {
        struct digest digest;
        uint32_t until_s; /* 0: free */
    } entries[RECENT_ROWS][TABLE_WAYS];
};

/* Name, password field of the account and password, as they were found to fit. */
struct digest remembered_digest(
    const struct recent *r, struct slice name, struct slice field, struct slice password);
bool remembered_has(const struct recent *r, const struct digest *digest, uint32_t now_s);
void remembered_add(
    struct recent *r, const struct digest *digest, uint32_t now_s, uint32_t keep_s);

/* --- failures ----------------------------------------------------------- */

struct failures {
    uint64_t key; /* random: places can't be chosen from outside */
    struct failure_entry {
        uint64_t source;
        uint32_t last_s, count; /* count 0: free */
    } entries[FAILURE_ROWS][TABLE_WAYS];
};

/* Who is counted as one: an IPv4 address or an IPv6 /64. */
uint64_t failure_source(const struct address *address);
/* Failures of late. */
uint32_t failures_of(const struct failures *f, uint64_t source, uint32_t now_s);
void failures_add(struct failures *f, uint64_t source, uint32_t now_s);
