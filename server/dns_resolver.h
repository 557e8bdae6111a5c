/* dns_resolver.h -- c-ares on the ring: a question goes out, bytes come back, or why not.
 *
 * c-ares opens the sockets, retries, falls back to TCP where an answer was cut, and takes
 * only answers whose address, id and question are those of the question (RFC 5452). Here
 * are the ring's polls of its sockets and its clock. Questions have AD set, so that a
 * server that validates says in its answer whether it has (RFC 6840, 5.7).
 */
#pragma once
#include "server/dns.h"

struct dns_resolver;
struct dns_channel;

/* Embedded in what asks, which lives until heard(). */
struct dns_question {
    struct dns_channel *channel; /* private */
    bool trusted; /* out, with heard(): AD in the answer is to be believed, for all
                   * servers that may have given it are trusted, and the path to them */
    /* `message` is empty where none came; then `why`, a literal, says so. May come from
     * inside dns_resolver_ask(); must not call anything here. */
    void (*heard)(struct dns_question *q, struct slice message, const char *why);
};

/* NULL: no memory. */
struct dns_resolver *dns_resolver_open(struct thread *t);
/* heard() comes for all that is under way, with an empty message. Runs the ring until its
 * polls have ended. */
void dns_resolver_close(struct dns_resolver *r);
/* `name` as dns_is_name() has it. */
void dns_resolver_ask(
    struct dns_resolver *r, struct dns_question *q, const char *name, enum dns_type type);
