/* mx_name.h -- what stands behind the @ of an address, or names a relay. Private to
 * mx*.c.
 */
#pragma once
#include "server/dns.h"

enum mx_name {
    MX_NAME_DOMAIN,  /* `text` is its name as DNS has it: A-labels, lower case */
    MX_NAME_ADDRESS, /* `text` is the address in brackets, `address` has it, without port
                      */
    MX_NAME_BAD
};

/* "Example.ORG", "b\u00fccher.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"; with `host`
 * also addresses without brackets. A final dot counts for nothing. */
enum mx_name mx_name_read(
    struct slice given, bool host, char text[DNS_NAME_MAX + 1], struct address *address);
