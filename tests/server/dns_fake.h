/* dns_fake.h -- a DNS server on loopback, UDP and TCP on one port, that answers from a
 * table, well or badly.
 */
#pragma once
#include <stdint.h>

enum dns_fake_how {
    FAKE_ANSWER,
    FAKE_SILENT,
    FAKE_SERVFAIL,
    FAKE_REFUSED,
    FAKE_NXDOMAIN,
    FAKE_CUT,            /* truncated over UDP; whole over TCP */
    FAKE_HALF,           /* the second half is missing, and nothing says so */
    FAKE_OTHER_ID,       /* an answer to another id first, then the right one */
    FAKE_OTHER_QUESTION, /* one to another name first */
    FAKE_OTHER_PORT,     /* one from a stranger's port first */
    FAKE_OTHER_ONLY,     /* only one with another id */
    FAKE_EMPTY,          /* an empty datagram first */
    FAKE_UPPER,          /* the question comes back in capitals */
    FAKE_NO_EDNS,        /* FORMERR for whoever sends an OPT record */
    FAKE_MANY_MX,        /* `count` MX, preferences count-1 .. 0: mN.many.test */
    FAKE_64K             /* the records, then padding to 65,535 octets; over TCP */
};

/* Records: "CNAME 60 b.test|MX 60 10 mx.test|A 60 192.0.2.1|AAAA 60 ::1|SOA 60 30|X 60":
 * type, time to live, data; behind a CNAME they belong to where it leads. In names ~ is
 * NUL, ! is CR, @ is a dot within a label, # is a label of 63 octets. "AD|...": all of
 * it was validated, which is told who asks with AD (RFC 6840, 5.8). */
struct dns_fake_rule {
    const char *name; /* "*.x.test": all below; NULL ends the table: NXDOMAIN */
    const char *type; /* "MX", "A", "AAAA"; NULL: any; without a rule: no such record */
    enum dns_fake_how how;
    const char *records;
    unsigned count;
};

/* Starts it; returns its port. */
uint16_t dns_fake_start(const struct dns_fake_rule *rules);
void dns_fake_stop(void);
/* Questions for this name and type since the start; NULL: any. */
unsigned dns_fake_asked(const char *name, const char *type);
unsigned dns_fake_asked_tcp(void);
