/* client.h -- a connection of the driver: bytes out, bytes in, TLS between them.
 *
 * A client is a place for one connection after the other. It is never freed while the
 * driver runs, and it belongs to one thread. One multishot receive, one send in flight;
 * what is written meanwhile goes with the next. A mode (mode.h) says what is written and
 * what answers mean; the engine (engine.h) says when.
 *
 *   CLOSED --client_connect()--> CONNECTING --> SECURING (TLS) --> OPEN
 * --client_ready()--> READY --client_drop(), the peer closes--> ENDING --> CLOSED
 */
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include "proto/base/list.h"
#include "proto/base/op.h"
#include "proto/base/slice.h"

struct driver;
struct mode;
struct client_tls;
struct target;

enum { CLIENT_PIECES = 16, CLIENT_COPY_MAX = 4096, CLIENT_PROMPT_MAX = 8192 };

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,
    CLIENT_SECURING,
    CLIENT_OPEN,  /* the mode sets its session up */
    CLIENT_READY, /* takes operations */
    CLIENT_ENDING
};

struct client {
    struct list link;   /* in a list of the engine's */
    struct list member; /* of all clients of the thread */
    struct driver *driver;
    const struct mode *mode;
    const struct target *to;
    void *session;  /* the mode's, zero when a connection begins */
    uint64_t index; /* among the clients of its mode, over all threads */
    int fd;
    enum client_state state;
    struct op receive, send; /* send: connecting too */
    /* the operation under way */
    bool busy, leaving;
    bool settling, settled; /* in the set-up: under way; there */
    uint32_t batch;         /* operations that began together */
    uint32_t left;          /* of these, under way */
    uint64_t number;        /* of the (first) operation, over all threads */
    int64_t intended_ns, deadline_ns;
    uint64_t served;     /* operations of this connection */
    uint64_t sessions;   /* connections so far */
    int64_t rest_ns;     /* nothing before that, after a failure */
    struct list waiting; /* for mode->later() */
    int64_t later_ns;
    /* output: copied bytes, and pieces of them or of what lives elsewhere */
    struct out out;
    size_t out_marked; /* octets of it that are in a piece */
    struct iovec pieces[CLIENT_PIECES];
    unsigned piece_count, piece_flying;
    struct msghdr message;
    bool flush_again;
    bool close_after; /* ends when all has been sent */
    bool owned;       /* was allocated by itself */
    /* TLS */
    struct client_tls *tls;
    int tls_kind; /* enum tls_kind */
};

/* --- for modes ------------------------------------------------------------ */

static inline void client_write(struct client *c, struct slice s)
{
    out_put(&c->out, s);
}
/* Bytes that stay as they are until they have been sent; few are copied. */
void client_lend(struct client *c, struct slice s);
/* Sends what has been written. */
void client_flush(struct client *c);
/* The server has agreed to STARTTLS: mode->secured() is called once TLS is up. */
void client_secure(struct client *c);
/* The connection can't go on; `why` is for the report. The operation under way is an
 * error. Nothing of the session may be used behind this call. */
void client_fail(struct client *c, struct slice why);
/* Ends the connection. */
void client_drop(struct client *c);
/* It has ended, or is about to: input must not be read on. */
static inline bool client_gone(const struct client *c)
{
    return c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED;
}

/* --- for the engine ------------------------------------------------------- */

bool client_init(struct client *c, struct driver *d, const struct mode *mode,
    const struct target *to, uint64_t index);
/* With no operation of it in flight. */
void client_free(struct client *c);
void client_connect(struct client *c);
/* A connection that was accepted; for sinks. */
void client_adopt(struct client *c, int fd);
