/* ring.h -- one io_uring, seen as ops.
 *
 * Every call below fills one submission entry and returns at once; nothing reaches the
 * kernel before ring_enter(), and done(op, res, flags) is only ever called by
 * ring_reap(). res is a count, a file number or a negative errno.
 *
 * The caller starts the op (op_start) and hands it over. Buffers, messages and the op
 * itself belong to the kernel until done() has run for the
 * last time: while RING_MORE is set in flags, the op stays pending. A ring belongs to the
 * thread that opened it. Nothing above this header knows the kernel's interface; a
 * simulation replaces it at link time.
 */
#pragma once
#include <sys/socket.h>

#include "proto/base/op.h"
#include "proto/base/slice.h"

struct ring;
struct ring_conf {
    unsigned entries;      /* submission queue */
    unsigned completions;  /* completion queue: four times the busy connections */
    unsigned buffers;      /* receive buffers, at most 32,768 */
    unsigned buffer_bytes; /* of each */
    unsigned window;       /* how many the kernel sees at first; adapts */
    unsigned big_buffers;  /* of RING_BIG_BYTES, for bulk input */
    unsigned workers; /* kernel threads for what can't be done at once, of each sort */
    bool minimal;     /* nothing optional: as on the oldest kernel */
};

enum {
    RING_MORE = 2,   /* in flags: not the last completion of this op */
    RING_LET_GO = 8, /* in flags: of ring_sendmsg_zero_copy(), the second completion */
    RING_COPIED = INT32_MIN, /* its res: the kernel has copied the bytes after all */
    RING_BIG_BYTES = 65536,
    RING_WHY_MAX = 256
};

/* NULL: `why` says in one line what forbids io_uring here and what to do about it. */
struct ring *ring_open(const struct ring_conf *conf, char *why, size_t cap);
/* With nothing in flight whose buffers are not abandoned too. */
void ring_close(struct ring *r);
/* The optional features in use, "no_sqarray no_iowait registered". */
const char *ring_features(const struct ring *r);
/* ring_sendmsg_zero_copy() is there. */
bool ring_has_zero_copy(const struct ring *r);
/* For ring_doorbell() of other threads. */
int ring_number(const struct ring *r);

struct ring_counters {
    uint64_t enters, completions, starved, overflows;
};
const struct ring_counters *ring_counters(const struct ring *r);

/* --- the turn ------------------------------------------------------------- */

/* Publishes receive buffers and submits everything, in one system call; waits for a
 * completion up to wait_ns (0: not at all, negative: for ever). */
void ring_enter(struct ring *r, int64_t now_ns, int64_t wait_ns);
/* Runs up to `max` completions; returns how many. */
unsigned ring_reap(struct ring *r, unsigned max);
/* Completions wait to be reaped. */
bool ring_ready(const struct ring *r);

/* --- sockets -------------------------------------------------------------- */

/* Multishot: res is an accepted descriptor, close-on-exec. */
void ring_accept(struct ring *r, struct op *op, int fd);
/* The same for one descriptor. Of several rings that wait on the same socket the kernel
 * wakes the one that has waited longest, so those that wait like this take turns. */
void ring_accept_one(struct ring *r, struct op *op, int fd);
/* Multishot, into receive buffers the ring provides: with res > 0 take the bytes with
 * ring_received() and give the buffer back with ring_return(), both inside done() and
 * before the op is started again; without data there is nothing to return, and
 * ring_return() does nothing. `big`: from the buffers for bulk input. -ENOBUFS ends
 * it, no byte is lost: the answer is ring_receive_starved(). */
void ring_receive(struct ring *r, struct op *op, int fd, bool big);
/* The same, once there are receive buffers again, in the order of these calls. */
void ring_receive_starved(struct ring *r, struct op *op, int fd, bool big);
struct slice ring_received(
    const struct ring *r, const struct op *op, int32_t res, uint32_t flags);
void ring_return(struct ring *r, const struct op *op, uint32_t flags);
/* Once, into the caller's buffer: datagrams, clients. */
void ring_receive_into(struct ring *r, struct op *op, int fd, void *at, size_t len);
/* All of it, or an error; a count below len only after a failure. At most one send of a
 * socket may be in flight. */
void ring_send(struct ring *r, struct op *op, int fd, const void *at, size_t len);
void ring_sendmsg(struct ring *r, struct op *op, int fd, const struct msghdr *msg);
/* The same for the last bytes of a stream: they stay in the socket until shutdown(2) or
 * close(), at once from done(), and leave in one packet with its end. */
void ring_sendmsg_last(struct ring *r, struct op *op, int fd, const struct msghdr *msg);
/* The same without copying the bytes. done() runs as for ring_sendmsg(), then the socket
 * may have its next send; with RING_MORE the bytes still are the kernel's, mostly until
 * the peer has them, and done() runs once more, with RING_LET_GO. Failed for lack of
 * locked memory (-ENOMEM) or on a socket that can't do it (-EOPNOTSUPP) nothing went. */
void ring_sendmsg_zero_copy(
    struct ring *r, struct op *op, int fd, const struct msghdr *msg);
/* The same for bytes that the socket probably has room for, at half the system calls:
 * success costs no completion and wakes nobody, done() hears of it when the thread wakes
 * anyway, and nothing may wait for it. Without room: done() with what went, or -EAGAIN,
 * and the rest is for ring_send(). */
void ring_send_now(struct ring *r, struct op *op, int fd, const void *at, size_t len);
void ring_sendmsg_now(
    struct ring *r, struct op *op, int fd, const struct msghdr *msg, size_t len);
void ring_connect(
    struct ring *r, struct op *op, int fd, const struct sockaddr *to, socklen_t len);
/* Once: res are the poll(2) events that came. */
void ring_poll(struct ring *r, struct op *op, int fd, unsigned events);

/* --- files ---------------------------------------------------------------- */

void ring_read(
    struct ring *r, struct op *op, int fd, void *at, uint32_t len, uint64_t offset);
/* durable: the data is on the disk when done() runs (RWF_DSYNC). */
void ring_write(struct ring *r, struct op *op, int fd, const void *at, uint32_t len,
    uint64_t offset, bool durable);
void ring_sync(struct ring *r, struct op *op, int fd, bool data_only);

/* --- without an answer ---------------------------------------------------- */

/* The op lands soon, with -ECANCELED unless it was faster. */
void ring_cancel(struct ring *r, struct op *op);
/* With nothing in flight or queued on fd. */
void ring_close_fd(struct ring *r, int fd);
/* Wakes the thread whose ring_number() it is. */
void ring_doorbell(struct ring *r, int number);
