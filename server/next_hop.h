/* next_hop.h -- which way mail for a domain goes: to its MX, or as --route and --relay
 * say.
 *
 * Made once from the flags, before root is given up (it reads files with passwords), and
 * never changed. Routes that say the same are one next hop.
 */
#pragma once
#include "server/address.h"
#include "server/hop.h"

struct config;
struct next_hops;

enum next_hop_kind {
    NEXT_HOP_MX,   /* the MX of the recipient's domain */
    NEXT_HOP_HOST, /* one host, whatever the domain */
    NEXT_HOP_UNIX  /* a local socket */
};

struct next_hop {
    enum next_hop_kind kind;
    enum hop_tls tls;
    bool tls_fixed; /* the operator named the level, or a login that it guards */
    bool implicit_tls, lmtp;
    uint16_t port;      /* HOST */
    const char *name;   /* HOST: a name, or an address without brackets; UNIX: the path */
    struct slice label; /* "mail.example.org:25": its name in lists; empty for MX */
    struct slice user, password;
    struct address source[2]; /* to connect from, IPv4 and IPv6; family 0: any */
};

/* NULL: `why` names the flag, the value and the remedy. */
struct next_hops *next_hops_make(const struct config *config, struct out *why);
void next_hops_free(struct next_hops *hops); /* NULL is fine */

/* `domain` in any case. A route for it, else for the nearest domain above it that has a
 * route with a dot in front, else the relay, else MX. Never NULL. */
const struct next_hop *next_hops_find(const struct next_hops *hops, struct slice domain);
/* The level of TLS for a message; `optional`: it says TLS-Required: No (RFC 8689, 3).
 * Then no more is asked than the hop gives, where --tls-out alone asks for it; what the
 * operator named for this way is his, not the recipient's policy, and stays. */
enum hop_tls next_hop_level(const struct next_hop *hop, bool optional);
/* The one with this label; NULL: none. */
const struct next_hop *next_hops_labelled(
    const struct next_hops *hops, struct slice label);
/* Drawn at the start: a key of hashes that all threads compute alike. */
uint64_t next_hops_key(const struct next_hops *hops);
