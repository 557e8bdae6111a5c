/* imap_fake.h -- a session on a connection and a store that live in memory.
 *
 * The session is the real one, chosen by fake_calls; conn.h, auth.h, thread.h, log.h and
 * store.h are played by imap_fake_conn.c and imap_fake_store.c. Input is moved to new
 * memory for every call of run(), so that a slice kept too long is found by the address
 * sanitizer. Requests to the store land one at a time, and any of them can be made to
 * fail.
 */
#pragma once
#include "server/conn.h"
#include "store/store.h"

struct fake_session {
    struct conn *conn;
    bool woken, bulk, paused, aborted, freed;
    unsigned deadline;
    unsigned moves;
    void (*arrived)(struct conn *c);
    char *input; /* what the session has not taken */
    size_t input_len;
    char window[64]; /* small, so that the session meets its end all the time */
    char *output;
    size_t output_len, output_cap, unsent;
    size_t high_water; /* congested above; 0: never */
};

enum { FAKE_SESSIONS_MAX = 4 };

struct fake {
    struct fake_session sessions[FAKE_SESSIONS_MAX];
    unsigned session_count;
    size_t piece_bytes;       /* of a body at once; 0: all of it */
    bool ends_unknown;        /* to the index, of messages that are added from here on */
    bool async;               /* bodies and summaries come by done() */
    unsigned fail_at;         /* the n-th request from here fails; 0: none */
    enum status fail_with;    /* so */
    unsigned requests;        /* asked so far */
    unsigned loans;           /* pieces lent and not given back */
    unsigned open;            /* bodies, summaries, mailboxes and users held */
    unsigned chunks, dropped; /* stored, given up */
    bool clear_login;         /* logins without TLS are allowed */
    bool tls;                 /* TLS can be had */
    bool read_only;
    bool short_of_memory;   /* what thread_short_of_memory() says */
    enum protocol protocol; /* of the listener */
    uint64_t quota;
    struct address peer;
};

extern struct fake fake;
/* The session under test; each test program defines it. */
extern const struct session_calls *const fake_calls;

/* Everything gone and zero; then open sessions and mailboxes. */
void fake_reset(void);
/* The flags, until the next reset. */
struct config *fake_config(void);
/* A session that has sent its greeting. */
struct fake_session *fake_open(void);
/* Gives the session input and runs everything until nothing moves. */
void fake_send(struct fake_session *f, struct slice bytes);
/* Runs everything until nothing moves; the peers read all output. */
void fake_pump(void);
/* One step only: a session runs, or a request lands. False: nothing to do. */
bool fake_step(void);
/* What was written since the last call. */
struct slice fake_output(struct fake_session *f);
/* The peer reads n octets of output. */
void fake_drain(struct fake_session *f, size_t n);
/* The peer closes its side / the socket dies. */
void fake_eof(struct fake_session *f);
void fake_die(struct fake_session *f);
void fake_stop(struct fake_session *f);
void fake_timeout(struct fake_session *f);
/* The account has changed: what login.end would be called for. */
void fake_kick(struct fake_session *f);

/* Store. */
void fake_store_reset(void);
bool fake_store_land(void);
/* A message that is there at once; its UID. */
uint32_t fake_message(
    const char *mailbox, struct slice text, uint8_t flags, int64_t date_s);
void fake_mailbox(const char *name, uint8_t use);
