/* forward.h -- mail that goes on to somebody else: senders that lead back (SRS), and the
 * way of what comes back.
 *
 * Keys lie in DATA/srs.key, one a line in hexadecimal; the first one signs, the others
 * are those of before. The snapshot of the accounts holds them: SIGHUP reads them anew.
 */
#pragma once
#include "proto/smtp/srs.h"
#include "server/route.h"
#include "server/thread.h"

struct config;

enum { FORWARD_SENDER_MAX = SMTP_PATH_MAX };

/* The sender with which a forwarded copy (envelope_rcpt.forwarded) goes out: rewritten
 * with --srs where it is an address that is not ours, into `at` (FORWARD_SENDER_MAX
 * octets); else `sender` itself. */
struct slice forward_sender(const struct thread *t, struct slice sender, char *at);

/* route_resolve(), and bounces to what forward_sender() made: with <> as the sender they
 * go to the one remote address that it stands for, not forwarded; else ROUTE_SRS_SENDER.
 * `now_s`: seconds since 1970. */
enum route_result forward_route(const struct accounts *a, const struct smtp_path *rcpt,
    const struct smtp_path *sender, int64_t now_s, struct route *route);

/* Makes DATA/srs.key where --srs wants it and it is missing. False: `why`. */
bool forward_make_key(const struct config *config, struct out *why);
