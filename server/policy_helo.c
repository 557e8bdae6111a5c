/* policy_helo.c -- --helo-checks: clients that say they are this server, or give a number
 * for a name. Senders of spam do; RFC 5321, 4.1.1.1 and 4.1.4 ask for the client's own
 * name or an address literal, and 4.1.3 wants brackets around the latter.
 *
 * Off unless asked for: hosts behind one address or in containers may have the name of
 * the server without meaning harm, and RFC 5321, 4.1.4 forbids to refuse mail because a
 * name does not fit its address.
 */
#include <arpa/inet.h>

#include "server/config.h"
#include "server/network.h"
#include "server/policy_check.h"

static bool wanted(const struct config *config)
{
    return config->helo_checks;
}

static unsigned steps(const struct config *config)
{
    (void)config;
    return 1u << POLICY_HELO;
}

/* "12345", "192.0.2.1", "2001:db8::1": what should be a name, or in brackets. */
static bool is_bare_number(struct slice helo)
{
    struct network network;

    for (size_t i = 0; i < helo.len; i++)
        if (!ascii_digit(helo.at[i]) && helo.at[i] != '.')
            return network_parse(helo, &network);
    return true;
}

/* Where the client has connected to. False: no address. */
static bool own_address(const struct conn *c, struct address *address)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (getsockname(c->fd, (struct sockaddr *)&sa, &len) != 0)
        return false;
    *address = address_of(&sa);
    return address->family == AF_INET || address->family == AF_INET6;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321, 4.1.3). */
static bool is_literal_of(struct slice helo, const struct address *address)
{
    static const struct slice ipv6 = SI("IPv6:");
    struct network network;

    if (helo.len < 2 || helo.at[0] != '[' || helo.at[helo.len - 1] != ']')
        return false;
    helo = slice_of(helo.at + 1, helo.len - 2);
    if (slice_starts_nocase(helo, ipv6))
        slice_take(&helo, ipv6.len);
    return network_parse(helo, &network) && network.bits == 128 &&
        address_in(address, &network, 1);
}

static enum policy_answer ask(struct policy *p, void *state, enum policy_step step,
    const struct policy_facts *facts)
{
    const struct conn *c = policy_conn(p);
    struct address own;
    bool known;

    (void)state;
    if (step != POLICY_HELO || facts->trusted || facts->submission || facts->lmtp)
        return POLICY_PASS;
    if (is_bare_number(facts->helo))
        return policy_refuse(
            p, S("550 5.7.1 A number is no name; say EHLO and your host's\r\n"));
    known = own_address(c, &own);
    if (known && address_eq(&own, &facts->peer)) /* it may well be us */
        return POLICY_PASS;
    if (slice_eq_nocase(facts->helo, slice_str(c->thread->config->hostname)))
        return policy_refuse(p, S("550 5.7.1 That is my name, not yours\r\n"));
    if (known && is_literal_of(facts->helo, &own))
        return policy_refuse(p, S("550 5.7.1 That is my address, not yours\r\n"));
    return POLICY_PASS;
}

const struct policy_check policy_helo = {
    .name = "helo",
    .wanted = wanted,
    .steps = steps,
    .ask = ask,
};
