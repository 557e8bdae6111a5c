/* proxy.h -- the header by which a load balancer says whose connection it hands on: the
 * PROXY protocol, version 1 (one line of text) and version 2 (binary).
 *
 *   "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25" CR LF, then the client's octets
 *   12 octets of signature, version and command, family, length; addresses; extensions
 *
 * Who sends it must be known to be such a proxy: what it says is believed.
 */
#pragma once
#include "proto/base/slice.h"

enum {
    PROXY_LINE_MAX = 107,  /* of version 1, CR LF included */
    PROXY_BYTES_MAX = 4096 /* of version 2: addresses and extensions */
};

struct proxy_header {
    size_t len; /* octets of the header: the client's begin behind them */
    bool named; /* false (LOCAL, UNKNOWN, other families): the peer speaks for itself */
    bool six;   /* IPv6; else IPv4, in the form ::ffff:a.b.c.d */
    uint8_t source[16];
    uint16_t port; /* of the source */
};

enum proxy_got {
    PROXY_MORE, /* good so far, not whole */
    PROXY_DONE,
    PROXY_BAD
};

/* The header at the front of `in`, whatever follows it. */
enum proxy_got proxy_parse(struct slice in, struct proxy_header *h);
