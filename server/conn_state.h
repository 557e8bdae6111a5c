/* conn_state.h -- what the files of the connection share. Private to conn_*.c, listen.c,
 * thread.c and process.c.
 *
 *   OPENING --from a proxy--> PREFACE --header--> OPENING
 *
 *   OPENING --up--> HANDSHAKE --done--> OPEN --conn_close()--> FLUSHING --drained-->
 *   LINGERING --peer closed--> ENDING --ops landed--> CLOSED --conn_free()
 *
 *   FLUSHING --drained, after conn_part()--> ENDING
 *
 *   OPEN --conn_move()--> MOVING --arrived--> OPEN, on the other thread
 *   any --conn_abort()--> ENDING
 */
#pragma once
#include "server/conn.h"
#include "server/thread_state.h"
#include "server/tls.h"

enum conn_state {
    CONN_OPENING,   /* waits to be admitted, or for connect */
    CONN_PREFACE,   /* waits for the header of a proxy (conn_proxy.c) */
    CONN_HANDSHAKE, /* no session code runs */
    CONN_OPEN,
    CONN_MOVING,    /* waits for output and receive to end, then leaves */
    CONN_FLUSHING,  /* waits for output; input is dropped */
    CONN_LINGERING, /* has said its last; waits for the peer's end of stream */
    CONN_ENDING,    /* waits for ops */
    CONN_CLOSED,    /* the session has been told */
};

enum conn_flag {
    CONN_WOKEN = 1,        /* run() is wanted */
    CONN_TOUCHED = 2,      /* in thread->touched */
    CONN_PAUSED = 4,       /* by the session */
    CONN_CONGESTED = 8,    /* over the high-water mark; run() when drained */
    CONN_BULK = 16,        /* large input is expected */
    CONN_BIG = 32,         /* the receive in flight uses big buffers */
    CONN_STOPPING = 64,    /* the receive is being cancelled */
    CONN_CANCELLING = 128, /* the send is being cancelled */
    CONN_CLIENT = 256,     /* we connected */
    CONN_GREETED = 512,    /* open() has been called */
    CONN_RUNNING = 1024,   /* inside session code */
    CONN_STARTING = 2048,  /* conn_starttls() was called: handshake comes next */
    CONN_TOLD = 4096,      /* stop() has been called */
    CONN_PARTING = 8192,   /* the peer has said goodbye, too: nothing more comes */
    CONN_FIN = 16384,      /* the transport has ended, whatever TLS says */
    CONN_PARKED = 32768,   /* in thread_state->handshakes */
};

enum {
    OUTPUT_HARD_MAX = 8 << 20, /* unsent bytes that abort a connection */
    SEND_BYTES_MAX = 128 << 10,
    LENT_MIN = 4096, /* smaller pieces are copied, and go promptly */
    PROMPT_BYTES_MAX = 32 << 10,
    LINGER_S = 2,
    LINGER_BYTES_MAX = 256 << 10,
    OPEN_DEADLINE_S = 60,
    INPUT_LIMIT = 64 << 10,
    BULK_AFTER = 32 << 10, /* bytes of bulk input before big buffers are worth a switch */
    HANDSHAKES_A_TURN = 8,
    HANDSHAKES_A_TURN_NS = 1000000,
};

static inline bool conn_is(const struct conn *c, enum conn_state state)
{
    return c->state == state;
}

static inline bool conn_has(const struct conn *c, enum conn_flag flag)
{
    return (c->flags & flag) != 0;
}

static inline void conn_set(struct conn *c, enum conn_flag flag, bool on)
{
    c->flags = (uint16_t)(on ? c->flags | flag : c->flags & ~flag);
}

/* One more or one less connection at its thread. Of two threads that each count one and
 * then add up all counts at least one sees both. */
static inline void conn_count(const struct conn *c, int by)
{
    struct thread_stats *s = &c->thread->stats;
    uint64_t n = (uint64_t)(int64_t)by;
    unsigned kind = c->listener ? STAT_connections_smtp + (unsigned)c->listener->protocol
                                : (unsigned)STAT_connections_out;

    s->connections += n;
    s->values[kind] += n;
    if (c->secure)
        s->connections_tls += n;
    atomic_store(&c->thread->state->open, s->connections);
}

/* --- conn.c: life --------------------------------------------------------- */

bool conns_open(struct thread *t);
void conns_close(struct thread *t);
/* Runs and flushes what was touched, handshakes that waited; true: more is left. */
bool conns_turn(struct thread *t);
/* `listener`: where it was accepted, or NULL. */
struct conn *conn_new(struct thread *t, const struct listener *listener,
    const struct session_calls *calls, int fd);
/* It is admitted: begins TLS or the session. */
void conn_begin(struct conn *c);
/* Looked at again at the end of the turn. */
void conn_touch(struct conn *c);
/* Calls into the session. */
void conn_enter(struct conn *c, void (*call)(struct conn *c));
/* run(), and what it asked for. */
void conn_run(struct conn *c);
/* stop(), once. */
void conn_stop(struct conn *c);
/* conn_move.c: output and receive have ended, the call goes out. */
void conn_depart(struct conn *c);
/* The transport has failed. */
void conn_fail(struct conn *c, int error);
/* The session is up. */
void conn_greet(struct conn *c);
/* Goes on with what waits for ops or output to end. */
void conn_advance(struct conn *c);
/* One timer serves all deadlines: the session's, the write's. */
void conn_arm_timer(struct conn *c);
void conn_on_timer(struct timer *timer);
/* On each thread: stop() for all; then abort for all. */
void conns_stop(struct thread *t);
void conns_abort(struct thread *t);

/* --- conn_input.c --------------------------------------------------------- */

/* Makes the receive in flight what it should be. */
void conn_receive_update(struct conn *c);
/* Plain text for the session: to run(), the rest to the stash. */
void conn_take(struct conn *c, struct slice plain);
/* Offers the stash (or nothing) to run(). */
void conn_offer(struct conn *c);
void conn_drop_input(struct conn *c);
size_t conn_stashed(const struct conn *c);    /* bytes that wait */
size_t conn_stash_room(const struct conn *c); /* bytes of memory they take */
bool conn_stash(struct conn *c, struct slice rest);
struct slice conn_stash_slice(const struct conn *c);
/* Forgets the first n bytes. */
void conn_unstash(struct conn *c, size_t n);
/* Gives back a stash that has been taken off its connection. */
void conn_free_stash(struct conn *c, struct conn_input *stash);

/* --- conn_proxy.c --------------------------------------------------------- */

/* The peer is a proxy: its header comes first. */
void conn_proxy_await(struct conn *c);
void conn_proxy_take(struct conn *c, struct slice bytes);
/* Begun, with bytes in the stash that came behind the header, or the end. */
void conn_proxy_resume(struct conn *c);

/* --- conn_output.c -------------------------------------------------------- */

void conn_output_open(struct conn *c); /* c->out gets its growing window */
/* Seals and sends what there is, when no send is in flight. */
void conn_flush(struct conn *c);
/* The send has ended, its bytes are off the wire; res < 0: for this reason. */
void conn_sent(struct conn *c, int32_t res);
/* Fewer bytes are unsent: what waits for that goes on. */
void conn_fewer_unsent(struct conn *c);
/* A send is on its way that may end without a completion. */
bool conn_sends_promptly(const struct conn *c);
/* Sealed bytes go out next. */
void conn_put_sealed(void *conn, struct slice sealed);
/* What is in c->out goes out in clear, before anything sealed. */
void conn_out_in_clear(struct conn *c);
/* Frees all output, lent pieces included; no send may be in flight. */
void conn_drop_output(struct conn *c);
void conn_pools_close(struct thread *t);

/* --- conn_zero_copy.c ----------------------------------------------------- */

/* Sends the first `count` pieces of the wire, which are in output->iov, without a copy.
 * False: no memory. */
bool conn_send_zero_copy(struct conn *c, size_t count);
/* The kernel still has bytes of sends that have ended. */
bool conn_pinned(const struct conn *c);
/* The op of the send in flight, as the kernel knows it. */
struct op *conn_send_op(struct conn *c);

/* --- conn_tls.c ----------------------------------------------------------- */

/* Received bytes of a connection that has TLS state. */
void conn_tls_take(struct conn *c, struct slice sealed);
/* Goes on with a handshake that had to wait for its turn. */
void conn_tls_resume(struct conn *c);
/* This turn has time for a handshake. */
bool conn_may_shake(const struct thread *t);
/* The handshake begins; false: no memory or no certificates. */
bool conn_tls_begin(struct conn *c);
void conn_tls_end(struct conn *c);
