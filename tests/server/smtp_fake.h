/* smtp_fake.h -- the world of an SMTP session: the connection of imap_fake.h, a delivery
 * that keeps what it is given, and accounts built from text. */
#pragma once
#include "tests/server/imap_fake.h"

#include "server/policy.h"

enum { FAKE_MESSAGES_MAX = 64, FAKE_STEPS = POLICY_END + 1 };

struct fake_message {
    char *bytes;
    size_t len;
    char users[256];      /* with a space behind each */
    char envelopes[4096]; /* a line for each recipient: see put_envelope() */
};

struct fake_smtp {
    struct fake_message messages[FAKE_MESSAGES_MAX]; /* those that were committed */
    unsigned count;
    unsigned deliveries; /* under way */
    enum status status;  /* what a commit ends with */
    bool no_memory;      /* delivery_begin() fails */
    size_t
        busy_every; /* busy after so many octets, until something else runs; 0: never */
    bool held;      /* commits do not end */
    uint64_t kept_by_cy; /* octets of cy@x.test; the others keep nothing */
    /* LMTP: of the user at that place in the delivery. */
    enum status user_status[8];
    bool queue_full;
    /* The checks: the line of a refusal or NULL, and whether the answer comes later. */
    const char *refusal[FAKE_STEPS];
    bool later[FAKE_STEPS];
    unsigned asked[FAKE_STEPS];
    struct policy_facts facts;  /* of the last question */
    const char *fields;         /* to be put in front; or NULL */
    uint64_t seen;              /* octets of text that the checks were shown */
    unsigned error_delay;       /* milliseconds */
    unsigned envelopes, queued; /* committed; recipients in them */
    unsigned chains;            /* open */
};

extern struct fake_smtp fake_smtp;

/* Everything anew; then sessions may be opened. */
void fake_smtp_reset(enum protocol protocol);
/* A session that knows the accounts. */
struct fake_session *fake_smtp_open(void);
