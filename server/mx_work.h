/* mx_work.h -- a lookup under way. Private to mx.c and mx_rank.c.
 *
 *   waiting --> begin --> (MX) --> ask A and AAAA, a few exchanges a step --> rank -->
 * done
 */
#pragma once
#include "server/dns.h"
#include "server/mx.h"
#include "server/mx_self.h"

/* A name that takes the mail, and what is known of it. */
struct mx_exchange {
    struct mx_work *work;
    struct dns_query queries[2]; /* AAAA, A: their order in what follows too */
    struct address found[2][MX_ADDRESSES_MAX];
    uint8_t counts[2];
    bool refused;       /* an address was left out: loopback and the like */
    const char *failed; /* a question had no answer: a literal; else NULL */
    uint16_t preference;
    char name[DNS_NAME_MAX + 1];
};

/* What a lookup gathers once it is its turn. */
struct mx_found {
    struct mx_host hosts[MX_HOSTS_MAX];
    unsigned host_count;
    unsigned count, asked; /* exchanges; of these, asked for */
    struct mx_exchange exchanges[];
};

struct mx_work {
    struct list link;
    struct mx *mx;
    struct mx_lookup *lookup;
    void (*step)(struct mx_work *w);
    struct dns_query query; /* for the MX */
    unsigned outstanding;   /* questions for addresses */
    struct mx_found *found;
    bool any;      /* mx_find_host(): what the operator names may be anything */
    bool implicit; /* it has no MX: its own addresses count (RFC 5321, 5.1) */
    bool is_address;
    bool secure; /* as in mx_lookup */
    uint16_t port;
    struct address address; /* with is_address */
    enum mx_status status;
    char why[MX_WHY_MAX];
    char name[DNS_NAME_MAX + 1];
};

/* Fills in the hosts, status and why from what the exchanges have. */
void mx_rank(struct mx_work *w, const struct mx_self *self);
/* Sets the status and why it is no better. */
__attribute__((format(printf, 3, 4))) void mx_end(
    struct mx_work *w, enum mx_status status, const char *format, ...);
