/* policy.h -- what is asked before mail is taken: a chain of checks at each step of a
 * session, of which each may answer later without holding the shard.
 *
 *   connect --> HELO --> MAIL --> RCPT ... --> text as it streams --> end of the text
 *
 * The first check that refuses ends the step; what passes may leave header fields to be
 * put in front of the message. Each thread runs the checks of its own connections; state
 * that is kept by address or by sender lies at the thread of its hash and is reached by
 * calls. The checks that there are stand in one table in policy.c; a new one (a content
 * filter, SPF, DKIM) is a file and a line there.
 */
#pragma once
#include <limits.h>

#include "proto/smtp/smtp.h"
#include "server/conn.h"

enum policy_step {
    POLICY_CONNECT,
    POLICY_HELO,
    POLICY_MAIL,
    POLICY_RCPT,
    POLICY_END /* of the text */
};

/* What is known so far; filled in by the session, which keeps what the slices name until
 * the step is answered. */
struct policy_facts {
    bool submission, lmtp, authenticated;
    bool trusted; /* in --trust or logged in: may relay, limits do not hold */
    struct address peer;
    struct slice helo;
    struct slice user;              /* logged in; or empty */
    const struct smtp_path *sender; /* from MAIL on */
    const struct smtp_path *rcpt;   /* the one that is asked about */
    bool rcpt_local;
    unsigned rcpts; /* accepted so far */
    uint64_t size;  /* declared; at the end: of the text */
};

struct policy; /* the checks of one connection */

/* NULL: no memory. wake(arg) is called from the loop when a step that was PENDING has its
 * answer. */
struct policy *policy_open(struct conn *c, void (*wake)(void *arg), void *arg);
/* Harmless with NULL, and while a step is pending. */
void policy_close(struct policy *p);

enum policy_answer { POLICY_PASS, POLICY_REFUSE, POLICY_PENDING };

/* Does any check want the step? If not it passes, and need not be asked. */
bool policy_asks(const struct policy *p, enum policy_step step);
/* Asks the checks of a step. REFUSE: policy_reply() is the whole reply line, CR LF
 * included; a 421 closes. After PENDING and wake() policy_result() has the answer. */
enum policy_answer policy_ask(
    struct policy *p, enum policy_step step, const struct policy_facts *facts);
enum policy_answer policy_result(struct policy *p);
struct slice policy_reply(const struct policy *p);

/* A message begins; its text as it is received, without the trace fields of this server;
 * it was given up (RSET, a failed text). */
void policy_begin(struct policy *p);
void policy_text(struct policy *p, struct slice bytes);
void policy_reset(struct policy *p);
/* Whole header fields that the checks want in front, after POLICY_END passed; may be
 * empty. Known only then: the store puts them in front of text that is already there. */
struct slice policy_fields(const struct policy *p);

/* A command was refused: how long to wait before the reply goes out, in milliseconds. It
 * grows with the errors of this connection and of its address. CLOSE: there were too many
 * from there; 421 goes out in its place. */
enum { POLICY_CLOSE = INT_MAX };
unsigned policy_error_delay(struct policy *p);
