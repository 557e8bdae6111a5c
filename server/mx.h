/* mx.h -- from a domain to the hosts that take its mail, in the order to try them
 * (RFC 5321, 5.1; RFC 7505).
 *
 *   mx_find(domain) --> cache --> MX --> A and AAAA of each --> done(OK, hosts)
 *
 * DNS is asked through c-ares, whose sockets are polled by the thread's ring; nothing
 * blocks. Answers are kept for their time to live in a bounded table of the thread, and
 * lookups that want the same answer share one question.
 *
 * Hosts that can't be mail servers of others never come out of an MX: this server itself
 * (its --hostname, and the addresses of its --smtp ports whatever their number, for a
 * wildcard those of the machine), with all that are not preferred to it; and loopback,
 * 0.0.0.0/8, link-local, multicast and reserved addresses, also inside IPv6. A host that
 * the operator names (--relay, --route) may be anything.
 *
 * Whether what DNS said may be a lie is told with the hosts: `secure`, for mail that goes
 * out only where that is sure (RFC 8689, 4.2.1).
 */
#pragma once
#include "server/address.h"
#include "server/thread.h"

enum {
    MX_PORT = 25,
    MX_HOSTS_MAX = 32,     /* addresses of one answer; more are not looked at */
    MX_EXCHANGES_MAX = 16, /* MX records that are followed, the best first */
    MX_ADDRESSES_MAX = 8,  /* of one exchange */
    MX_RUNNING_MAX = 512,  /* lookups of a thread that ask at the same time ... */
    MX_WAITING_MAX = 8192, /* ... and that wait for it; more end with MX_TRY_LATER */
    MX_WHY_MAX = 400
};

enum mx_status {
    MX_OK,
    MX_NO_DOMAIN, /* it does not exist, 5.1.2 */
    MX_NO_HOST,   /* it has neither MX nor address, or no MX has one: 5.4.4 */
    MX_NULL,      /* it takes no mail (RFC 7505): 5.1.10 */
    MX_LOOP,      /* its best MX is ourselves: 5.4.6 */
    MX_UNUSABLE,  /* its MX are loopback and the like: 5.4.4 */
    MX_BAD_NAME,  /* no domain name, or an answer held one: 5.4.4 */
    MX_TRY_LATER  /* no answer, SERVFAIL, too many lookups: 4.4.3 */
};

struct mx_host {
    struct address address; /* with its port */
    const char *name; /* for SNI, the check of the certificate, and reports: A-labels
                       * in lower case; of an address literal: with its brackets */
    uint16_t preference;
};

struct mx_work;

/* Embedded in what waits for the hosts; zero before its first use. */
struct mx_lookup {
    struct timer timer;   /* private */
    struct mx_work *work; /* private */
    struct thread *thread;
    void (*done)(struct mx_lookup *l);
    bool pending;
    /* Out, good inside done() only. */
    enum mx_status status;
    const char *why;             /* "no MX of example.org has an address", for the log and
                                  * for reports; printable; empty with MX_OK */
    const struct mx_host *hosts; /* best first; equal preferences in random order, each
                                  * host's IPv6 and IPv4 addresses in turns */
    unsigned host_count;
    bool secure; /* the names of the hosts are those that take this mail, with MX_OK: the
                  * MX were checked (DNSSEC), CNAMEs on the way too; or there is none, and
                  * the host has the domain's own name, or it is an address literal; or
                  * the operator named it, whose word is good. Addresses may be forged,
                  * and a certificate for the name tells */
};

/* Everything it needs is made on the first call. done() comes later, from the loop; the
 * lookup may be used again inside it. `domain` is copied; any case, A-labels or U-labels;
 * "[192.0.2.1]" and "[IPv6:2001:db8::1]" are themselves. */
void mx_find(struct mx_lookup *l, struct thread *t, struct slice domain,
    void (*done)(struct mx_lookup *l));
/* The addresses of one host, no MX: a name or an address, which may be any. "localhost"
 * is not asked for (RFC 6761, 6.3). */
void mx_find_host(struct mx_lookup *l, struct thread *t, struct slice host, uint16_t port,
    void (*done)(struct mx_lookup *l));
/* done() does not come any more. Harmless when it was not pending. */
void mx_cancel(struct mx_lookup *l);

/* At the end of the thread: lookups that are still pending are forgotten. */
void mx_close(struct thread *t);

/* What the thread's DNS has done since the start. */
struct mx_stats {
    uint64_t lookups, refused; /* begun; of these, for want of room */
    uint64_t questions;        /* sent to resolvers */
    uint64_t cached;           /* answered by the table */
    uint64_t failed;           /* questions without a usable answer */
    uint64_t entries, bytes;   /* of the table, now */
};
void mx_stats(const struct thread *t, struct mx_stats *stats);
