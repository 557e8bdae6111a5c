/* mx_self.h -- which hosts are this server, and which are nobody else's. Private to
 * mx*.c.
 */
#pragma once
#include "server/address.h"
#include "server/config.h"

struct mx_self {
    struct slice name; /* --hostname; the config's */
    struct address *addresses;
    unsigned count;
};

/* The addresses of the --smtp ports; for 0.0.0.0 and [::] those of the machine's
 * interfaces, as they are now. False: no memory. `config` may be NULL: nothing is. */
bool mx_self_open(struct mx_self *self, const struct config *config);
void mx_self_close(struct mx_self *self);

bool mx_self_has_name(const struct mx_self *self, const char *name);
bool mx_self_has_address(const struct mx_self *self, const struct address *a);

/* No mail server of another can have it: 0/8, loopback, link-local, multicast, reserved,
 * :: and what is left of ::/96, fe80::/10, ff00::/8; IPv4 within IPv6 too (RFC 6890). */
bool mx_is_refused(const struct address *a);
