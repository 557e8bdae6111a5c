/* network.h -- networks as operators write them: "192.0.2.0/24", "2001:db8::/32". */
#pragma once
#include "server/address.h"

struct network {
    uint8_t bytes[16]; /* in the form of struct address: IPv4 mapped into IPv6 */
    uint8_t bits;      /* of those 128 that count */
};

/* One address alone is the network that holds only it. False: not a network, or bits are
 * set behind the prefix. Whether an address is inside: address_in(). */
bool network_parse(struct slice text, struct network *network);

/* A comma-separated list of them, as in the users file's allow_nets. */
bool network_list_good(struct slice list);
/* Is the address in one? */
bool network_list_has(struct slice list, const struct address *address);
