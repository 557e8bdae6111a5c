/* address.h -- a peer or a port to listen on, in 20 bytes.
 *
 * An IPv4 address stands in the form of RFC 4291, 2.5.5.2 (::ffff:a.b.c.d), so that one
 * comparison serves both families. A peer on a local socket has family AF_UNIX and no
 * address.
 */
#pragma once
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/slice.h"

struct address {
    uint16_t family; /* AF_INET, AF_INET6, AF_UNIX; 0: none */
    uint16_t port;   /* host order */
    uint8_t bytes[16];
};

enum { ADDRESS_TEXT_MAX = 64, ADDRESS_PATH_MAX = 107 };

/* "192.0.2.1:25", "[2001:db8::1]:25"; no names, the port is required. */
bool address_parse(struct slice text, struct address *address);
/* "192.0.2.1" or "2001:db8::1", without port; "local" for AF_UNIX. */
struct slice address_text(const struct address *a, char *at, size_t cap);
struct address address_of(const struct sockaddr_storage *sa);
/* An IPv4 address that stands in IPv6 form is one of family AF_INET. */
struct address address_plain(const struct address *a);
/* The length for bind() and connect(). */
socklen_t address_sockaddr(const struct address *a, struct sockaddr_storage *sa);
bool address_eq(const struct address *a, const struct address *b); /* ports aside */
/* Of what a limit counts as one peer: an IPv4 address, an IPv6 /64. */
uint64_t address_hash(const struct address *a, uint64_t key);

struct network; /* server/network.h */

/* Is it in one of them? AF_UNIX is in none. */
bool address_in(const struct address *a, const struct network *networks, unsigned count);
