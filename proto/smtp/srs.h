/* srs.h -- senders of forwarded mail, rewritten so that they are ours and lead back.
 *
 *   anna@a.test                      --> SRS0=hash=day=a.test=anna@us.test
 *   SRS0=hash=day=a.test=anna@b.test --> SRS1=hash=b.test==hash=day=a.test=anna@us.test
 *
 * A sender that another forwarder has rewritten keeps his hash, and bounces go straight
 * to the first of them. The day stamp is two base32 digits of the days since 1970; the
 * hash is the head of an HMAC, so that only what went out from here comes back. Both are
 * compared without regard to case, which some servers do not keep.
 */
#pragma once
#include "proto/smtp/smtp.h"

enum {
    SRS_DAYS_VALID = 21,
    SRS_HASH_OCTETS = 6, /* base32: 30 bits that a forger has to guess by asking */
    SRS_MAC_BYTES = 32   /* what the HMAC function gives; the first four are used */
};

struct srs {
    struct slice domain; /* ours, behind the @ of what is made */
    unsigned keys;       /* key 0 signs, all of them verify */
    /* The HMAC of the text under key 0 .. keys-1. */
    void (*mac)(void *arg, unsigned key, struct slice text, uint8_t out[SRS_MAC_BYTES]);
    void *arg;
};

/* Rewrites a sender, local@domain. False: it would be too long for a local part, is no
 * address, or its domain holds an "="; then what a fixed `out` holds is of no use. */
bool srs_forward(
    const struct srs *srs, struct slice sender, int64_t now_s, struct out *out);

/* Does the local part look like one that srs_forward() made? */
bool srs_is(const struct smtp_path *path);

enum srs_result {
    SRS_OK,
    SRS_FORGED, /* the hash is not ours, or it is not whole */
    SRS_EXPIRED /* older than SRS_DAYS_VALID, or from the future */
};

/* The sender that a bounce to `path` is meant for, local@domain. */
enum srs_result srs_reverse(
    const struct srs *srs, const struct smtp_path *path, int64_t now_s, struct out *out);
