/* dns_message.h -- an answer of a DNS server, as it came, read (RFC 1035, 4). Pure. */
#pragma once
#include "server/dns.h"

enum {
    DNS_RECORDS_MAX = 1024, /* of an answer; what follows is not looked at */
    DNS_ALIASES_MAX = 8     /* CNAMEs from a name to its records */
};

struct dns_records {
    enum dns_status status;
    const char *why; /* DNS_FAILED: a literal */
    bool authentic;  /* the server says that it has checked all of it: the AD bit (RFC
                      * 4035, 3.2.3); worth what the path to the server is worth */
    bool alias;      /* DNS_OK: the name is an alias of `target`, and the
                      * answer does not say what is there */
    uint32_t ttl_s;  /* of all that led here; DNS_NEGATIVE_S where it says
                      * nothing */
    unsigned count;
    char target[DNS_NAME_MAX + 1];
    struct dns_exchange exchanges[DNS_EXCHANGES_MAX];
    struct address addresses[DNS_ADDRESSES_MAX];
};

/* Records count where their owner is the question's name or what its CNAMEs lead to.
 * `message` is any bytes at all. */
void dns_read(struct slice message, enum dns_type type, struct dns_records *out);
/* No message came. */
void dns_read_nothing(const char *why, struct dns_records *out);
