#include "server/mx_name.h"

#include <stdio.h>

#include "server/idn.h"

enum { ADDRESS_GIVEN_MAX = 45 };

/* An address as text, through the one parser that there is, which wants a port. */
static bool read_address(struct slice given, bool six, struct address *address)
{
    char buffer[ADDRESS_GIVEN_MAX + 8];
    struct out out = out_of(buffer, sizeof buffer);

    if (given.len > ADDRESS_GIVEN_MAX)
        return false;
    out_str(&out, six ? "[" : "");
    out_put(&out, given);
    out_str(&out, six ? "]:0" : ":0");
    if (!address_parse(out_slice(&out), address))
        return false;
    return (address->family == AF_INET6) == six;
}

/* With brackets: RFC 5321, 4.1.3. */
static bool read_literal(struct slice given, struct address *address)
{
    slice_take(&given, 1);
    if (given.len == 0 || given.at[given.len - 1] != ']')
        return false;
    given.len--;
    if (!slice_starts_nocase(given, S("IPv6:")))
        return read_address(given, false, address);
    slice_take(&given, 5);
    return read_address(given, true, address);
}

/* IPv4 within IPv6 is IPv4. */
static void unmap(struct address *address)
{
    struct sockaddr_storage sa;

    address_sockaddr(address, &sa);
    *address = address_of(&sa);
}

static void put_address(const struct address *address, char text[DNS_NAME_MAX + 1])
{
    char digits[ADDRESS_TEXT_MAX];
    struct slice s = address_text(address, digits, sizeof digits);

    snprintf(text, DNS_NAME_MAX + 1, "[%s%.*s]",
        address->family == AF_INET6 ? "IPv6:" : "", (int)s.len, s.at);
}

/* The last label is digits only: no domain (RFC 3696, 2), an address without brackets. */
static bool ends_in_number(struct slice name)
{
    size_t i = name.len;

    while (i > 0 && ascii_digit(name.at[i - 1]))
        i--;
    return i < name.len && (i == 0 || name.at[i - 1] == '.');
}

static bool read_domain(struct slice given, char text[DNS_NAME_MAX + 1])
{
    char ascii[IDN_MAX];
    struct slice name = idn_ascii(given, ascii, sizeof ascii);

    if (name.len > 1 && name.at[name.len - 1] == '.')
        name.len--;
    if (!dns_is_name(name) || ends_in_number(name))
        return false;
    memcpy(text, name.at, name.len);
    text[name.len] = 0;
    return true;
}

enum mx_name mx_name_read(
    struct slice given, bool host, char text[DNS_NAME_MAX + 1], struct address *address)
{
    bool found;

    *text = 0;
    if (given.len == 0 || memchr(given.at, 0, given.len))
        return MX_NAME_BAD;
    if (given.at[0] == '[')
        found = read_literal(given, address) ||
            (host && given.at[given.len - 1] == ']' && given.len > 2 &&
                read_address(slice_of(given.at + 1, given.len - 2), true, address));
    else
        found = host &&
            (read_address(given, false, address) || read_address(given, true, address));
    if (found) {
        unmap(address);
        put_address(address, text);
        return MX_NAME_ADDRESS;
    }
    return given.at[0] != '[' && read_domain(given, text) ? MX_NAME_DOMAIN : MX_NAME_BAD;
}
