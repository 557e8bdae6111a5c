/* policy_check.h -- what a check of the chain is; for policy*.c and its tests.
 *
 * A check is one constant struct policy_check in a file of its own, and a line of the
 * table in policy.c. What it remembers of a connection lies in a block of its own, zeroed
 * at the start, and is handed to each of its functions.
 */
#pragma once
#include "server/policy.h"

struct config;

struct policy_check {
    const char *name; /* in the log */
    size_t state_bytes;
    /* With these flags it is asked at all; NULL: always. */
    bool (*wanted)(const struct config *config);
    /* The steps at which it is asked, bits 1 << enum policy_step; NULL: at every one. */
    unsigned (*steps)(const struct config *config);
    /* The answer to a step. PENDING: policy_answer() comes later, from the loop, never
     * from inside; until then `facts` stay, and cancel() is needed. REFUSE: after
     * policy_refuse(). */
    enum policy_answer (*ask)(struct policy *p, void *state, enum policy_step step,
        const struct policy_facts *facts);
    /* What is pending is not wanted any more: policy_answer() must not come. */
    void (*cancel)(struct policy *p, void *state);
    /* A message begins, its text, and that it is over in whatever way. NULL: the text
     * does not matter, and costs nothing. */
    void (*begin)(struct policy *p, void *state);
    void (*text)(struct policy *p, void *state, struct slice bytes);
    void (*reset)(struct policy *p, void *state);
    /* A command was refused: milliseconds that the reply should wait for that, or
     * POLICY_CLOSE. */
    unsigned (*error)(struct policy *p, void *state);
    /* The connection is gone; nothing is pending. */
    void (*close)(struct policy *p, void *state);
};

enum {
    POLICY_CHECKS_MAX = 16,
    POLICY_FIELDS_MAX = 64 << 10, /* of one message */
    POLICY_DELAY_MAX_MS = 5000
};

/* The checks of the server; policy.c has them in the order they are asked. */
extern const struct policy_check policy_rate_address,
    policy_rate_user;                           /* policy_rate.c */
extern const struct policy_check policy_helo;   /* policy_helo.c */
extern const struct policy_check policy_sender; /* policy_sender.c */

/* policy_open() with other checks. */
struct policy *policy_open_checks(struct conn *c,
    const struct policy_check *const *checks, unsigned count, void (*wake)(void *arg),
    void *arg);

struct conn *policy_conn(const struct policy *p);
/* From now on it is asked at these steps too. */
void policy_ask_at(struct policy *p, unsigned steps);
/* REFUSE, with the reply line, CR LF included, which stays until the next step: a
 * constant, or bytes of the check's state. Text of a peer in it must be printable. */
enum policy_answer policy_refuse(struct policy *p, struct slice reply);
/* After PENDING: the check's answer. */
void policy_answer(struct policy *p, enum policy_answer answer);
/* Whole fields for the front of the message. False: too many, or no memory. */
bool policy_add_field(struct policy *p, struct slice field);
/* Are limits of rates lifted for the peer: --unlimited-from, --trust? */
bool policy_is_unlimited(const struct policy *p);
