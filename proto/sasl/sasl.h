/* sasl.h -- the server's side of SASL PLAIN (RFC 4616) and LOGIN, for SMTP, POP3
 * and IMAP alike.
 *
 *      sasl_start --> sasl_initial --+--> SASL_CHALLENGE: print it, read a line
 *                                    |         ^                  |
 *                                    |         +-- sasl_line <----+
 *                                    +--> SASL_DONE: check user and password
 *                                    +--> anything else: refuse
 *
 * Everything the client says is kept in a buffer of the caller's; it holds the
 * password until sasl_wipe(), which every way out must call.
 */
#pragma once
#include "proto/base/slice.h"
#include "proto/sasl/base64.h"

enum {
    SASL_LINE_MAX = 12288, /* octets of a base64 line with CR LF (RFC 4954, 4) */
    SASL_NAME_MAX = 255,   /* octets of a user name or authorisation identity */
    SASL_PASSWORD_MAX = 1024,
    /* A buffer that holds whatever is within the limits above. */
    SASL_BUFFER_MIN = 2 * SASL_NAME_MAX + 2 + SASL_PASSWORD_MAX,
};

#define SASL_MECHANISMS(X) \
    X(PLAIN, "PLAIN")      \
    X(LOGIN, "LOGIN")

enum sasl_mechanism {
    SASL_NONE, /* no mechanism of ours */
#define X(name, text) SASL_##name,
    SASL_MECHANISMS(X)
#undef X
};

/* The mechanism of that name, in any case, or SASL_NONE. */
enum sasl_mechanism sasl_mechanism_of(struct slice name);

enum sasl_result {
    SASL_CHALLENGE, /* send sasl->challenge, then give the answer to sasl_line() */
    SASL_DONE,      /* user and password are there to be checked */
    SASL_CANCELLED, /* the client sent "*" (RFC 4954, 4: 501) */
    SASL_MALFORMED, /* not base64, or not a message of the mechanism (501) */
    SASL_REFUSED,   /* well formed, never to be granted: another's identity, a name
                       over the limits (535); looks like a wrong password outside */
};

struct sasl {
    enum sasl_mechanism mechanism;
    struct slice challenge; /* in base64, for SASL_CHALLENGE; may be empty */
    struct slice user;      /* in the buffer, for SASL_DONE; not empty, UTF-8, no NUL */
    struct slice password;  /* likewise */
    struct out kept;        /* the caller's buffer */
};

/* The mechanism must not be SASL_NONE; the buffer has SASL_BUFFER_MIN octets. */
void sasl_start(struct sasl *s, enum sasl_mechanism mechanism, char *buffer, size_t cap);

/* The initial response, where the command had one: "=" stands for an empty one
 * (RFC 4954, 4; RFC 5034, 4; RFC 4959, 3). `given` is false where it had none. */
enum sasl_result sasl_initial(struct sasl *s, struct slice text, bool given);

/* The client's line in answer to a challenge, without CR LF. */
enum sasl_result sasl_line(struct sasl *s, struct slice line);

/* Clears the buffer and forgets the slices into it. */
void sasl_wipe(struct sasl *s);

/* Clears n octets in a way that the compiler may not leave out. */
void secret_wipe(void *at, size_t n);
