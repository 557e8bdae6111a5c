/* route.h -- from a recipient's address to the accounts that get the mail, and to the
 * addresses elsewhere that it goes on to.
 *
 *   address --> alias --> alias of the local part --> account --> the same without
 * +detail
 *           --> postmaster, abuse --> @domain alias --> --catch-all --> unknown
 *
 * Targets of an alias go the same way; one that is not of this server is a remote
 * address. The work is bounded: ROUTE_ADDRESSES_MAX addresses looked at, each once.
 */
#pragma once
#include "proto/smtp/smtp.h"
#include "server/accounts.h"

enum {
    ROUTE_ACCOUNTS_MAX = 1000, /* accounts one recipient may stand for */
    ROUTE_REMOTES_MAX = 1000,  /* and addresses elsewhere */
    ROUTE_ADDRESSES_MAX = 2000,
    ROUTE_BYTES_MAX = 1 << 20 /* of the addresses elsewhere, at most */
};

/* X(name, whole SMTP reply line, enhanced status included) */
#define ROUTE_RESULTS(X)                                                       \
    X(OK, "250 2.1.5 Recipient accepted\r\n")                                  \
    X(UNKNOWN, "550 5.1.1 No such mailbox here\r\n")                           \
    X(NOT_LOCAL, "550 5.7.1 Not a domain of this server; relaying denied\r\n") \
    X(DISABLED, "550 5.2.1 Mailbox disabled\r\n")                              \
    X(LOOP, "550 5.4.6 Aliases of this address form a loop\r\n")               \
    X(TOO_MANY, "550 5.1.1 Address stands for too many others\r\n")            \
    X(SRS_FORGED, "550 5.1.1 No such return address\r\n")                      \
    X(SRS_EXPIRED, "550 5.1.1 This return address has expired\r\n")            \
    X(SRS_SENDER, "550 5.7.1 This address takes nothing but bounces\r\n")      \
    X(NO_MEMORY, "451 4.3.0 Out of memory, try again later\r\n")

enum route_result {
#define X(name, text) ROUTE_##name,
    ROUTE_RESULTS(X)
#undef X
};

struct route_remote {
    struct slice address; /* local@domain, as it is to be sent; in route.arena */
    bool forwarded;       /* an alias leads there; else it is the recipient itself */
};

struct route {
    /* Set by the caller: room for pointers to accounts. */
    const struct account **accounts;
    unsigned cap;
    /* Set by route_resolve(): each account once, in the order found. The accounts belong
     * to the snapshot; who keeps them past the turn copies the names. */
    unsigned count;
    /* Set by the caller: room for addresses elsewhere, and an arena for their text. Where
     * there is no room (0 and NULL) an address that has some is one of TOO_MANY. */
    struct route_remote *remotes;
    unsigned remote_cap;
    unsigned remote_count; /* set by route_resolve(): each once, in the order found */
    struct arena *arena;
    bool relay; /* who asks may send anywhere: no domain is NOT_LOCAL */
};

/* All or nothing: anything but OK leaves the counts 0. */
enum route_result route_resolve(
    const struct accounts *a, const struct smtp_path *rcpt, struct route *route);

/* The reply for a result, CR LF included. */
struct slice route_reply(enum route_result result);

/* What an address is directly, for EXPN (RFC 5321, 3.5): the targets of its alias, or its
 * account. At most `cap` are written, *count says how many there are; they belong to the
 * snapshot or lie in the arena. Anything but OK: *count is 0. */
enum route_result route_expand(const struct accounts *a, const struct smtp_path *rcpt,
    struct slice *targets, unsigned cap, unsigned *count, struct arena *arena);

/* May this account name `from` as the sender (RFC 6409, 6.1)? Its own address, with any
 * detail, every address that leads to it alone, and what --senders grants. <> is allowed.
 */
bool route_may_send(const struct accounts *a, const struct account *account,
    const struct smtp_path *from);
