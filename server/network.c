#include "server/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Octets of the address in text form; 32 or 128 bits wide, or 0. */
static unsigned parse_octets(struct slice text, uint8_t bytes[16])
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof copy)
        return 0;
    memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    if (strlen(copy) != text.len)
        return 0;
    if (inet_pton(AF_INET6, copy, bytes) == 1)
        return 128;
    memset(bytes, 0, 10);
    bytes[10] = bytes[11] = 0xff;
    return inet_pton(AF_INET, copy, bytes + 12) == 1 ? 32 : 0;
}

static bool zero_behind(const uint8_t bytes[16], unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        if (bytes[i / 8] & (0x80 >> (i % 8)))
            return false;
    return true;
}

bool network_parse(struct slice text, struct network *network)
{
    size_t slash = slice_find(text, '/');
    unsigned width = parse_octets(slice_of(text.at, slash), network->bytes);
    uint32_t bits = width;

    if (width == 0)
        return false;
    if (slash < text.len &&
        !slice_u32(slice_of(text.at + slash + 1, text.len - slash - 1), &bits))
        return false;
    if (bits > width)
        return false;
    network->bits = (uint8_t)(128 - width + bits);
    return zero_behind(network->bytes, network->bits);
}

static bool cut_network(struct slice *list, struct network *network)
{
    struct slice one = slice_take(list, slice_find(*list, ','));

    if (list->len > 0)
        slice_take(list, 1);
    return network_parse(one, network);
}

bool network_list_good(struct slice list)
{
    struct network network;

    while (list.len > 0)
        if (!cut_network(&list, &network))
            return false;
    return true;
}

bool network_list_has(struct slice list, const struct address *address)
{
    struct network network;

    while (list.len > 0)
        if (cut_network(&list, &network) && address_in(address, &network, 1))
            return true;
    return false;
}
