#include "proto/proxy/proxy.h"

#include <arpa/inet.h>

static const struct slice text_begin = SI("PROXY ");
static const char signature[12] = {
    '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

enum {
    HEAD_BYTES = 16, /* of version 2, up to the addresses */
    IPV4_BYTES = 12, /* two addresses, two ports */
    IPV6_BYTES = 36
};

/* `in` is the beginning of `whole`, or all of it and more. */
static bool agrees(struct slice in, struct slice whole)
{
    size_t n = in.len < whole.len ? in.len : whole.len;

    return memcmp(in.at, whole.at, n) == 0;
}

static void set_four(struct proxy_header *h, const void *four)
{
    memset(h->source, 0, 10);
    h->source[10] = h->source[11] = 0xff;
    memcpy(h->source + 12, four, 4);
}

/* --- version 1 ----------------------------------------------------------- */

static bool take_address(struct slice *line, bool six, uint8_t address[16])
{
    struct slice word = slice_take(line, slice_find(*line, ' '));
    char text[INET6_ADDRSTRLEN];

    if (word.len >= sizeof text || line->len == 0)
        return false;
    slice_take(line, 1);
    memcpy(text, word.at, word.len);
    text[word.len] = '\0';
    return strlen(text) == word.len &&
        inet_pton(six ? AF_INET6 : AF_INET, text, address) == 1;
}

/* A number without zeroes in front. */
static bool is_port(struct slice text, uint16_t *port)
{
    uint32_t value;

    if (!slice_u32(text, &value) || value > UINT16_MAX ||
        (text.len > 1 && text.at[0] == '0'))
        return false;
    *port = (uint16_t)value;
    return true;
}

/* What stands behind "PROXY ", without the line end. */
static bool parse_line(struct slice line, struct proxy_header *h)
{
    struct slice family = slice_take(&line, slice_find(line, ' ')), port;
    uint8_t address[16];
    uint16_t ignored;

    if (slice_eq(family, S("UNKNOWN")))
        return true;
    h->six = slice_eq(family, S("TCP6"));
    if ((!h->six && !slice_eq(family, S("TCP4"))) || line.len == 0)
        return false;
    slice_take(&line, 1);
    if (!take_address(&line, h->six, address))
        return false;
    if (h->six)
        memcpy(h->source, address, sizeof h->source);
    else
        set_four(h, address);
    if (!take_address(&line, h->six, address))
        return false;
    port = slice_take(&line, slice_find(line, ' '));
    if (line.len == 0 || !is_port(port, &h->port))
        return false;
    slice_take(&line, 1);
    h->named = true;
    return is_port(line, &ignored);
}

static enum proxy_got parse_text(struct slice in, struct proxy_header *h)
{
    size_t end = slice_find(in, '\n');
    struct slice line = slice_of(in.at, end);

    if (end == in.len || end >= PROXY_LINE_MAX)
        return end < PROXY_LINE_MAX ? PROXY_MORE : PROXY_BAD;
    if (line.at[end - 1] != '\r')
        return PROXY_BAD;
    line.len--;
    slice_take(&line, text_begin.len);
    h->len = end + 1;
    return parse_line(line, h) ? PROXY_DONE : PROXY_BAD;
}

/* --- version 2 ----------------------------------------------------------- */

static uint16_t number(const char *at)
{
    return (uint16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

/* Addresses of `family`, the upper four bits of the 14th octet: 1 IPv4, 2 IPv6. The lower
 * four: 1 a stream. */
static bool parse_addresses(unsigned family, struct slice bytes, struct proxy_header *h)
{
    if (family == 0x11 && bytes.len >= IPV4_BYTES) {
        set_four(h, bytes.at);
        h->port = number(bytes.at + 8);
    } else if (family == 0x21 && bytes.len >= IPV6_BYTES) {
        memcpy(h->source, bytes.at, sizeof h->source);
        h->six = true;
        h->port = number(bytes.at + 32);
    } else {
        return family != 0x11 && family != 0x21;
    }
    h->named = true;
    return true;
}

static enum proxy_got parse_binary(struct slice in, struct proxy_header *h)
{
    unsigned version, size;

    if (in.len < HEAD_BYTES)
        return PROXY_MORE;
    version = (unsigned char)in.at[12];
    size = number(in.at + 14);
    if ((version != 0x20 && version != 0x21) || size > PROXY_BYTES_MAX)
        return PROXY_BAD;
    if (in.len - HEAD_BYTES < size)
        return PROXY_MORE;
    h->len = HEAD_BYTES + size;
    if (version == 0x20) /* LOCAL: the proxy looks whether we live */
        return PROXY_DONE;
    return parse_addresses(
               (unsigned char)in.at[13], slice_of(in.at + HEAD_BYTES, size), h)
        ? PROXY_DONE
        : PROXY_BAD;
}

enum proxy_got proxy_parse(struct slice in, struct proxy_header *h)
{
    const struct slice magic = slice_of(signature, sizeof signature);

    *h = (struct proxy_header){0};
    if (in.len == 0)
        return PROXY_MORE;
    if (agrees(in, text_begin))
        return in.len < text_begin.len ? PROXY_MORE : parse_text(in, h);
    if (agrees(in, magic))
        return parse_binary(in, h);
    return PROXY_BAD;
}
