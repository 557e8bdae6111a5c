/* dns.h -- questions to DNS servers, and the answers, kept for their time to live.
 *
 *   dns_ask --> table --> question, joined by all who want it --> c-ares --> dns_read
 *
 * One of each thread. The table is bounded in octets, what was used least goes first.
 * Names are given and come out as text: lower case, no final dot, only letters, digits,
 * '-' and '_' (dns_is_name()); what an answer holds beside that is skipped.
 */
#pragma once
#include "server/address.h"
#include "server/thread.h"

enum dns_type { DNS_A = 1, DNS_MX = 15, DNS_AAAA = 28 };

enum {
    DNS_NAME_MAX = 253,        /* octets of a name as text (RFC 1035, 2.3.4) */
    DNS_EXCHANGES_MAX = 16,    /* the best MX of an answer */
    DNS_ADDRESSES_MAX = 32,    /* the first addresses of an answer */
    DNS_TTL_MIN_S = 5,         /* so long an answer is kept, whatever it says ... */
    DNS_TTL_MAX_S = 3600,      /* ... and no longer than this */
    DNS_NEGATIVE_MAX_S = 300,  /* the same for "no such name", "no such record" */
    DNS_NEGATIVE_S = 60,       /* those that do not say how long (RFC 2308, 5) */
    DNS_FAILED_S = 3,          /* before a question without an answer is asked again */
    DNS_CACHE_BYTES = 4 << 20, /* of a thread */
    DNS_RESOLVERS_MAX = 8      /* --resolver */
};

enum dns_status {
    DNS_OK,
    DNS_NO_NAME,  /* NXDOMAIN */
    DNS_NO_DATA,  /* the name exists, without records of this type */
    DNS_BAD_NAME, /* it has records, none with a usable name */
    DNS_FAILED    /* no usable answer */
};

struct dns_exchange {
    uint16_t preference;
    char name[DNS_NAME_MAX + 1]; /* "" only as the one record of a null MX (RFC 7505) */
};

struct dns_answer {
    enum dns_status status;
    const char *why; /* DNS_FAILED: a literal */
    bool secure;     /* all that led to it was checked (DNSSEC), says a server that is
                      * believed (--resolver-trusted) */
    unsigned count;
    const struct dns_exchange *exchanges; /* DNS_MX: best first */
    const struct address *addresses;      /* DNS_A, DNS_AAAA: without port; IPv4 within
                                           * IPv6 is IPv4 */
};

struct dns;

/* NULL: no memory. Servers and times come from t->config, the system's without one. */
struct dns *dns_open(struct thread *t);
/* Nobody waits for an answer any more. */
void dns_close(struct dns *d);

/* Embedded in what waits for an answer. The answer is good inside done() only. */
struct dns_query {
    struct list link; /* private */
    void (*done)(struct dns_query *q, const struct dns_answer *answer);
};

/* What the table holds, good until the next call here; or NULL, and q->done() comes
 * later, from the loop. */
const struct dns_answer *dns_ask(
    struct dns *d, const char *name, enum dns_type type, struct dns_query *q);
/* done() does not come. Harmless for a query that does not wait. */
void dns_forget(struct dns_query *q);

/* At least one label, each of 1 to 63 of these octets, DNS_NAME_MAX in all. */
bool dns_is_name(struct slice text);

struct dns_stats {
    uint64_t questions, cached, failed, entries, bytes;
};
const struct dns_stats *dns_stats(const struct dns *d);
