/* auth.h -- password checks, off the shard, that tell an attacker nothing.
 *
 * A check runs in the worker pool (crypt(3)); a recent success is remembered for a short
 * time (salted digest, bounded table) and costs no hash. A failure is answered at a fixed
 * deadline, growing with failures from the address, whatever failed; for an unknown user
 * the same hash is computed. Passwords are wiped as soon as they have been used.
 *
 *   auth_start() --> done(AUTH_OK) --> login_begin() --> [conn_move()] --> login_stay()
 *                                          \                                  |
 *                                           +-------- closed() --> login_end()
 */
#pragma once
#include "server/conn.h"
#include "server/log.h"

enum auth_result {
    AUTH_OK,
    AUTH_FAILED,
    AUTH_BUSY /* try later */,
    AUTH_TOO_MANY /* connections of this user */
};

struct login_slot;

struct auth {
    struct job job; /* private from here ... */
    struct timer timer;
    struct conn *conn;
    void *state;
    struct login_slot *slot; /* ... to here */
    enum auth_result result;
    char user[320]; /* out: canonical account name, NUL-terminated */
    void (*done)(struct auth *auth);
};

/* Checks user and password (copied); done() follows, never from inside. The auth must
 * live until then, also when the connection closes meanwhile. */
void auth_start(struct auth *auth, struct conn *c, struct slice user,
    struct slice password, void (*done)(struct auth *auth));

/* The event of a check that ended with BUSY or TOO_MANY. */
static inline void auth_log_refused(
    const struct auth *auth, const struct conn *c, const char *protocol)
{
    struct event e;
    char text[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_NOTICE, "login-refused"))
        return;
    event_string(&e, "protocol", protocol);
    event_string(&e, "user", auth->user);
    event_string(&e, "why",
        auth->result == AUTH_TOO_MANY ? "too many sessions" : "too many checks wait");
    event_number(&e, "session", c->id);
    event_text(&e, "peer", conn_peer_text(c, text, sizeof text));
    event_end(&e);
}

/* --- logged in ----------------------------------------------------------
 *
 * A login counts against the user's limit, and ends when the account is removed, disabled
 * or gets another password. */
struct login {
    struct list link; /* private from here ... */
    struct login_slot *slot;
    struct conn *conn; /* ... to here */
    void (*end)(struct login *login);
};

/* After AUTH_OK, always, once: the login takes over what the auth holds for it. */
void login_begin(struct login *login, struct auth *auth);
/* The session is on the thread where it will stay. From now on `end` may be called there,
 * from the loop: say goodbye and conn_close(). False: the account has changed since the
 * check: do that at once. */
bool login_stay(struct login *login, struct conn *c, void (*end)(struct login *login));
/* In closed(), or where nothing came of it; harmless when there was no login. */
void login_end(struct login *login, struct thread *t);
