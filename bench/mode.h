/* mode.h -- what a protocol has to bring to be driven.
 *
 * A mode is a table of calls and a session for each connection. To add one: a file
 * mode_NAME.c with the table, its name in options.c, a line in mode.c.
 *
 *     connect --> open() .. input() .. client_ready()      once a connection
 *     next() .. input() .. client_done() | client_refused() once an operation
 *     quit() .. client_drop()                              at the end
 *
 * Calls never wait and allocate nothing; they write, flush, and return. Answers come to
 * input(), in whatever pieces.
 */
#pragma once
#include "bench/client.h"
#include "bench/engine.h"

struct mode {
    const char *name;
    const char *unit; /* of one that only reads: what it reads; for the progress line */
    size_t session_bytes;
    /* Octets that may be written (not lent) before an answer must come. */
    size_t (*out_bytes)(const struct options *o);
    /* Further checks of the options, and what is made once. False: `why`. */
    bool (*prepare)(struct bench *b, struct out *why);
    /* Clients of another kind in this thread, made before threads start. */
    bool (*populate)(struct driver *d);
    /* In the thread, whose ring is there; NULL: nothing to do. */
    void (*start)(struct driver *d);
    bool bulk;      /* answers are large: big receive buffers */
    bool pipelines; /* several operations of a client may be under way: c->batch */
    bool single;    /* an operation is a connection, whatever --per-connection says */
    bool serves;    /* clients are those that connect to us */
    bool holds;     /* clients are only held, they get no operations */
    /* The connection is there. */
    void (*open)(struct client *c);
    /* TLS is up after STARTTLS. */
    void (*secured)(struct client *c);
    /* IMAP: logged in, a mailbox selected; NULL: that is client_ready(). */
    void (*up)(struct client *c);
    /* Takes all of `in`; stops where the client is gone. */
    void (*input)(struct client *c, struct slice in);
    /* Begins operation c->number, and the c->batch - 1 behind it. */
    void (*next)(struct client *c);
    /* What client_later() asked for. */
    void (*later)(struct client *c);
    /* Says goodbye, where that takes more than closing; NULL: it does not. */
    void (*quit)(struct client *c);
    /* The connection has ended, whoever ended it; NULL: nothing to do. */
    void (*ended)(struct client *c);
    const char *const *steps; /* names of further latencies, NULL at the end */
};

/* --- what modes tell the engine ------------------------------------------- */

/* The session is set up. */
void client_ready(struct client *c);
/* An operation is done, and its connection goes on; of a batch the oldest. */
void client_done(struct client *c);
/* The same, but it was done before, at end_ns. */
void client_done_at(struct client *c, int64_t end_ns);
/* The same as the first, but the server refused it: an error; `why` is the server's
 * answer. */
void client_refused(struct client *c, struct slice why);
/* Like client_fail(): the server does not let this user in. */
void client_unwelcome(struct client *c, uint64_t user, struct slice why);
/* Calls mode->later(); a mode waits equally long every time. */
void client_later(struct client *c, int64_t at_ns);
/* Of a mode that serves: an operation that began at since_ns is done. */
void client_counted(struct client *c, int64_t since_ns);
/* A latency of one of the mode's steps. */
void client_step(struct client *c, unsigned step, int64_t since_ns);
/* The time. */
int64_t client_now(struct client *c);

extern const struct mode mode_imap, mode_imap_append, mode_imap_login, mode_pop3,
    mode_idle, mode_mixed, mode_sink;
extern const struct mode *const mode_smtp;
/* Of the mode that the options name. */
const struct mode *mode_find(const struct options *o);
