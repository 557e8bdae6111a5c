/* conn.h -- a peer: bytes in, bytes out, deadlines, TLS, and the way to another thread.
 *
 * A session embeds struct conn as its first member. The connection calls the
 * session's run() whenever there may be something to do: input came, output drained,
 * TLS came up, the peer closed, or the session asked with conn_wake(). run() takes what
 * it can from c->in (advancing it), writes replies to c->out, and returns.
 *
 *   receive buffer (or the stash) --> c->in --> run() --> c->out --> one send at a time
 *
 * After run() what is left of c->in is copied to the stash, so c->in always starts at the
 * first byte not taken and is contiguous. While the stash is at its limit nothing is
 * received. Idle: no receive buffer, no stash, no output block.
 *
 * c->in is only good inside run(). Everywhere else (completions of the session, calls,
 * timers of its own) the one thing to do is to remember the outcome and conn_wake().
 * After c->eof with nothing more to expect the session calls conn_close().
 */
#pragma once
#include "proto/base/op.h"
#include "proto/base/slice.h"
#include "server/address.h"
#include "server/thread.h"

struct conn;
struct tls;
struct conn_input;
struct conn_output;
struct admission;

enum protocol { PROTO_SMTP, PROTO_SUBMISSION, PROTO_LMTP, PROTO_POP3, PROTO_IMAP };

/* A port we listen on; immutable. */
struct listener {
    enum protocol protocol;
    bool implicit_tls;
    struct address address;          /* family AF_UNIX: `path` instead */
    char path[ADDRESS_PATH_MAX + 1]; /* of a unix: listener */
    char text[ADDRESS_PATH_MAX + 8]; /* as given, for logs */
    const struct session_calls *calls;
};

struct session_calls {
    /* Bytes of the session object, conn included; zeroed and given to open(). */
    size_t session_bytes;
    /* The connection is up (with implicit TLS: after the handshake; as a client: after
     * connect): greet. The deadline is 60 s from now until the session sets its own. */
    void (*open)(struct conn *c);
    void (*run)(struct conn *c);
    /* The deadline has passed: say goodbye with c->out and conn_close(), or set a new
     * one. Not called while output is on its way: then the write timeout counts. */
    void (*timeout)(struct conn *c);
    /* The server is stopping: say 421 / BYE and conn_close() at the next good moment. */
    void (*stop)(struct conn *c);
    /* The socket is closed. Release what the session holds; when ops or calls of the
     * session are still in flight, return and call conn_free() after the last; else call
     * it now. Called once for every session whose open() or conn_connect() was. */
    void (*closed)(struct conn *c);
    /* Sent before closing when a limit of connections turns the peer away (clear text
     * ports only); empty: just closed. "421 4.7.0 Too many connections\r\n". */
    struct slice refusal;
};

struct conn {
    struct thread *thread;
    const struct listener *listener; /* NULL: conn_connect() */
    const struct session_calls *calls;
    struct slice in; /* what the session has not taken yet */
    struct out
        out; /* replies; overflow is never lost: it grows by blocks to a hard limit, then
                the connection is aborted. Look at conn_congested() between pieces */
    struct tls *tls; /* NULL while in clear */
    uint64_t id;     /* unique in the process, for logs */
    struct address peer;
    int fd;
    int error;    /* closed(): 0 orderly, or the errno of what ended it (ETIMEDOUT,
                     ECONNRESET, EPROTO for TLS, ENOBUFS for the hard limit) */
    bool eof;     /* the peer has closed; c->in may still hold bytes. With TLS: by
                     close_notify; a bare FIN is an abort (matrix L05) */
    bool closing; /* conn_close() or worse has been called: take nothing more */
    bool secure;  /* the handshake is done */
    bool copies;  /* private: sends without a copy have proved to be of no use here */
    /* Private from here. */
    uint8_t state;       /* enum conn_state */
    uint16_t flags;      /* enum conn_flag */
    uint16_t deadline_s; /* what the session last asked for */
    uint32_t input_limit, bulk_bytes;
    uint32_t idle_at, write_at; /* in seconds of thread_seconds(); 0: none */
    struct timer timer;
    struct conn_input *input;
    struct conn_output *output;
    struct op receive, send;
    struct list link, touched;   /* all connections of the thread; to be flushed */
    void *under_way;             /* what a connect or a move needs meanwhile */
    struct admission *admission; /* counted at the thread of hash(address), or NULL */
    const char *tls_why;         /* what TLS found wrong, for logs; NULL */
};

/* As a client: opens a session of `calls` and connects to `to`, from `from` unless NULL
 * (its port 0: any). NULL: no memory or no descriptor. Then either open() or closed(),
 * with c->error, is called later. Set a deadline for the connecting itself: it ends in
 * timeout(), where conn_abort() is the answer. */
struct conn *conn_connect(struct thread *t, const struct session_calls *calls,
    const struct address *to, const struct address *from);
/* The same to a local socket, a path of ADDRESS_PATH_MAX octets at most. */
struct conn *conn_connect_local(
    struct thread *t, const struct session_calls *calls, const char *path);

/* More unsent output than the high-water mark (256 KiB): long commands pause, no input is
 * taken. run() is called when half of it has drained. */
bool conn_congested(const struct conn *c);
/* Unsent bytes, those included that went out by --zero-copy and that the peer may not
 * have yet. */
size_t conn_unsent(const struct conn *c);

/* Appends bytes that stay where they are until they are sent; then release(arg) is
 * called (on this thread, also when the connection fails). Small pieces are copied and
 * released at once, from inside. release may be NULL. */
void conn_lend(struct conn *c, struct slice bytes, void (*release)(void *arg), void *arg);

/* run() will be called later this turn. From completions: the one thing they do. Ignored
 * once the connection is closing. */
void conn_wake(struct conn *c);

/* The peer must have done something by then (run() called with input does not move it:
 * the session does). The clock stands still while output is on its way, and begins anew
 * when a congested peer has taken enough for run() to go on. 0: none. */
void conn_deadline(struct conn *c, unsigned seconds);

/* How many bytes the stash may hold while the session waits for the rest of a command.
 * Default 64 KiB; APPEND and DATA take input as it comes and need no more. At the limit
 * with no progress possible the session must answer and close. */
void conn_input_limit(struct conn *c, size_t bytes);
/* Large input follows (DATA, BDAT, APPEND) or is over: receive in big pieces meanwhile.
 */
void conn_bulk(struct conn *c, bool on);
/* Stop and start taking input (the session is busy with a command that waits): while
 * paused run() is called for conn_wake(), drained output and eof, not for new input. */
void conn_pause(struct conn *c, bool on);

/* Sends what is in c->out, throws away all input received so far (RFC 3207, 4.2; matrix
 * T01-T06), and does the handshake; run() is called when it is done, c->secure set. A
 * failed handshake closes the connection. Only from run(); return at once. */
void conn_starttls(struct conn *c);
/* The same as a client, from open() too: SNI `name`; with `verify` the certificate must
 * be good for it. */
void conn_starttls_client(struct conn *c, struct slice name, bool verify);
/* closed() came because of TLS: what was wrong, in a few words; empty otherwise. */
struct slice conn_tls_why(const struct conn *c);
bool conn_is_tls(const struct conn *c);
/* "TLSv1.3 TLS_AES_128_GCM_SHA256" into a buffer, for trace fields and logs. */
struct slice conn_tls_text(const struct conn *c, char *at, size_t cap);

/* Sends what is in c->out, then closes; input is ignored from now on. */
void conn_close(struct conn *c);
/* The same after the peer's QUIT or LOGOUT. In clear it has nothing left to say, so
 * nobody waits for it to close, too. */
void conn_part(struct conn *c);
/* Closes at once (TCP reset where that helps). closed() comes later this turn or after
 * it, never from inside. */
void conn_abort(struct conn *c);
/* After closed(): gives the memory back. */
void conn_free(struct conn *c);

/* Moves the connection to another thread: flushes, cancels the receive, carries unread
 * input and TLS along, then calls arrived(c) there, and run() when there is input. Only
 * from run() or timeout(), which must then return at once; nothing is called here any
 * more, unless the connection dies on the way: then closed() is, here. No op of the
 * session may be in flight. To the own thread: arrived() is called later this turn. */
void conn_move(struct conn *c, struct thread *to, void (*arrived)(struct conn *c));

/* "192.0.2.1" or "2001:db8::1". */
struct slice conn_peer_text(const struct conn *c, char *at, size_t cap);
bool conn_peer_in(const struct conn *c, const struct network *networks, unsigned count);

/* Logins in clear are allowed here: TLS, or --allow-plaintext names the peer's network.
 */
bool conn_may_login(const struct conn *c);
