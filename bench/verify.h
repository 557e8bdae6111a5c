/* verify.h -- is each acknowledged message there once, byte for byte?
 *
 * Reads the mailboxes of all users who were sent something back by IMAP, with the engine
 * that sent it, and compares each message with what its number says it was.
 */
#pragma once
#include "bench/engine.h"

struct verify_result {
    uint64_t expected;  /* acknowledged: (message, recipient) */
    uint64_t found;     /* of these, at least once */
    uint64_t missing;   /* not found */
    uint64_t twice;     /* found more than once, acknowledged or not */
    uint64_t different; /* ours by its number, but not in every octet, or at a user whose
                           it is not */
    char error[ERROR_TEXT_MAX]; /* the mail could not be read */
};

/* When `run` has ended; for servers that deliver later what they took, again and again
 * while something is missing, up to --verify-wait. The tick of `watch` may stop it. */
void verify_run(
    struct bench *run, const struct engine_watch *watch, struct verify_result *result);
/* A message that was read at `user`: its octet of the ledger; NULL: it is not one of his.
 * One that is ours and not as it was sent is counted. */
uint8_t *verify_message(
    struct bench *run, uint64_t user, struct slice message, uint64_t *different);
/* Anything larger is not ours. */
uint64_t verify_largest(const struct bench *run);

static inline bool verify_is_good(const struct verify_result *r)
{
    return !*r->error && r->missing == 0 && r->twice == 0 && r->different == 0;
}
