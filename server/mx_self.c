#include "server/mx_self.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/network.h"

static bool is_wildcard(const struct address *a)
{
    static const uint8_t nothing[16];

    return a->family == AF_INET ? memcmp(a->bytes + 12, nothing, 4) == 0
                                : memcmp(a->bytes, nothing, 16) == 0;
}

static bool add(struct mx_self *self, const struct address *a)
{
    struct address *grown;

    if (mx_self_has_address(self, a))
        return true;
    grown = realloc(self->addresses, (self->count + 1) * sizeof *grown);
    if (!grown)
        return false;
    self->addresses = grown;
    grown[self->count++] = *a;
    return true;
}

/* Without the list nothing but the name tells that a host is this one. */
static bool add_interfaces(struct mx_self *self, uint16_t family)
{
    struct ifaddrs *all;
    bool good = true;

    if (getifaddrs(&all) != 0)
        return true;
    for (struct ifaddrs *i = all; i && good; i = i->ifa_next) {
        struct sockaddr_storage sa = {0};
        struct address a;

        if (!i->ifa_addr || i->ifa_addr->sa_family != family)
            continue;
        memcpy(&sa, i->ifa_addr,
            family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        a = address_of(&sa);
        good = add(self, &a);
    }
    freeifaddrs(all);
    return good;
}

bool mx_self_open(struct mx_self *self, const struct config *config)
{
    bool good = true;

    *self = (struct mx_self){0};
    if (!config)
        return true;
    if (config->hostname)
        self->name = slice_str(config->hostname);
    for (unsigned i = 0; i < config->listener_count && good; i++) {
        const struct listener *l = &config->listeners[i];

        if (l->protocol != PROTO_SMTP || l->address.family == AF_UNIX)
            continue;
        good = is_wildcard(&l->address) ? add_interfaces(self, l->address.family)
                                        : add(self, &l->address);
    }
    if (!good)
        mx_self_close(self);
    return good;
}

void mx_self_close(struct mx_self *self)
{
    free(self->addresses);
    *self = (struct mx_self){0};
}

bool mx_self_has_name(const struct mx_self *self, const char *name)
{
    return slice_eq_nocase(self->name, slice_str(name));
}

bool mx_self_has_address(const struct mx_self *self, const struct address *a)
{
    for (unsigned i = 0; i < self->count; i++)
        if (address_eq(&self->addresses[i], a))
            return true;
    return false;
}

/* IPv4 that a translator or a tunnel would be told to reach (RFC 6052, 2.1; RFC 3056). */
static bool embedded(const struct address *a, struct address *four)
{
    static const uint8_t translated[12] = {0, 0x64, 0xff, 0x9b};
    unsigned at;

    if (a->family != AF_INET6)
        return false;
    if (memcmp(a->bytes, translated, sizeof translated) == 0)
        at = 12;
    else if (a->bytes[0] == 0x20 && a->bytes[1] == 0x02)
        at = 2;
    else
        return false;
    *four = (struct address){.family = AF_INET};
    memset(four->bytes + 10, 0xff, 2);
    memcpy(four->bytes + 12, a->bytes + at, 4);
    return true;
}

bool mx_is_refused(const struct address *a)
{
    static const struct network refused[] = {
        {{[10] = 0xff, 0xff, 0}, 96 + 8},         /* 0/8 */
        {{[10] = 0xff, 0xff, 127}, 96 + 8},       /* loopback */
        {{[10] = 0xff, 0xff, 169, 254}, 96 + 16}, /* link-local */
        {{[10] = 0xff, 0xff, 224}, 96 + 4},       /* multicast */
        {{[10] = 0xff, 0xff, 240}, 96 + 4},       /* reserved, broadcast */
        {{0}, 96},                                /* ::, ::1, IPv4-compatible */
        {{0xfe, 0x80}, 10},                       /* link-local */
        {{0xff}, 8},                              /* multicast */
    };
    struct address four;

    return address_in(a, refused, sizeof refused / sizeof *refused) ||
        (embedded(a, &four) &&
            address_in(&four, refused, sizeof refused / sizeof *refused));
}
