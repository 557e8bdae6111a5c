#include "server/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "server/network.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct address mapped(const void *four, uint16_t port)
{
    struct address a = {.family = AF_INET, .port = port};

    memcpy(a.bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(a.bytes + 12, four, 4);
    return a;
}

static bool is_mapped(const uint8_t bytes[16])
{
    return memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

static bool parse_port(struct slice text, uint16_t *port)
{
    uint32_t value;

    if (!slice_u32(text, &value) || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool address_parse(struct slice text, struct address *address)
{
    char host[INET6_ADDRSTRLEN] = {0};
    struct slice name = text;
    struct in_addr four;
    uint16_t port;

    while (name.len && name.at[name.len - 1] != ':')
        name.len--;
    if (name.len < 2 ||
        !parse_port(slice_of(text.at + name.len, text.len - name.len), &port))
        return false;
    name.len--;
    if (name.at[0] == '[') {
        if (name.len < 3 || name.at[name.len - 1] != ']' || name.len - 2 >= sizeof host)
            return false;
        memcpy(host, name.at + 1, name.len - 2);
        *address = (struct address){.family = AF_INET6, .port = port};
        return inet_pton(AF_INET6, host, address->bytes) == 1;
    }
    if (name.len >= sizeof host)
        return false;
    memcpy(host, name.at, name.len);
    if (inet_pton(AF_INET, host, &four) != 1)
        return false;
    *address = mapped(&four, port);
    return true;
}

/* By hand: every message asks for it twice, and inet_ntop() goes through sprintf(). */
static struct slice dotted(const uint8_t four[4], char *at, size_t cap)
{
    struct out out = out_of(at, cap);

    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            out_byte(&out, '.');
        out_u64(&out, four[i]);
    }
    return out.full ? S("?") : out_slice(&out);
}

struct slice address_text(const struct address *a, char *at, size_t cap)
{
    const char *text;

    if (a->family == AF_INET)
        return dotted(a->bytes + 12, at, cap);
    if (a->family != AF_INET6)
        return S("local");
    text = inet_ntop(AF_INET6, a->bytes, at, (socklen_t)cap);
    return text ? slice_str(text) : S("?");
}

struct address address_of(const struct sockaddr_storage *sa)
{
    struct address a = {.family = sa->ss_family};
    const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

    if (sa->ss_family == AF_INET)
        return mapped(&in->sin_addr, ntohs(in->sin_port));
    if (sa->ss_family != AF_INET6)
        return a;
    if (is_mapped(in6->sin6_addr.s6_addr))
        return mapped(in6->sin6_addr.s6_addr + 12, ntohs(in6->sin6_port));
    a.port = ntohs(in6->sin6_port);
    memcpy(a.bytes, &in6->sin6_addr, sizeof a.bytes);
    return a;
}

struct address address_plain(const struct address *a)
{
    struct address plain = *a;

    if (a->family == AF_INET6 && is_mapped(a->bytes))
        plain.family = AF_INET;
    return plain;
}

socklen_t address_sockaddr(const struct address *a, struct sockaddr_storage *sa)
{
    struct sockaddr_in *in = (struct sockaddr_in *)sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;

    memset(sa, 0, sizeof *sa);
    sa->ss_family = a->family;
    if (a->family == AF_INET) {
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->bytes + 12, 4);
        return sizeof *in;
    }
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->bytes, sizeof a->bytes);
    return sizeof *in6;
}

bool address_eq(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

uint64_t address_hash(const struct address *a, uint64_t key)
{
    size_t counted = a->family == AF_INET6 ? 8 : sizeof a->bytes;

    return slice_hash(slice_of((const char *)a->bytes, counted), key);
}

static bool in_network(const uint8_t bytes[16], const struct network *n)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);

    if (memcmp(bytes, n->bytes, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ n->bytes[whole]) & mask) == 0;
}

bool address_in(const struct address *a, const struct network *networks, unsigned count)
{
    if (a->family != AF_INET && a->family != AF_INET6)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (in_network(a->bytes, &networks[i]))
            return true;
    return false;
}
