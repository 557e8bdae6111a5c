#include "server/ring_state.h"

#include <errno.h>
#include <sys/uio.h>

/* From here to done() the op and its buffers belong to the kernel. */
static void give(struct io_uring_sqe *sqe, struct op *op)
{
    CHECK(op->pending);
    io_uring_sqe_set_data(sqe, op);
}

/* Nobody waits for these; only their failures are told, and ignored. */
static void fire(struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, TAG_IGNORE);
}

void ring_accept(struct ring *r, struct op *op, int fd)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    give(sqe, op);
}

void ring_accept_one(struct ring *r, struct op *op, int fd)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    give(sqe, op);
}

void ring_arm(struct ring *r, struct op *op)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_recv_multishot(sqe, op->res / GROUPS, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)(op->res % GROUPS);
    give(sqe, op);
}

void ring_receive(struct ring *r, struct op *op, int fd, bool big)
{
    op->res = fd * GROUPS + big;
    ring_arm(r, op);
}

void ring_receive_into(struct ring *r, struct op *op, int fd, void *at, size_t len)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_recv(sqe, fd, at, len, 0);
    give(sqe, op);
}

void ring_send(struct ring *r, struct op *op, int fd, const void *at, size_t len)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_send(sqe, fd, at, len, MSG_WAITALL | MSG_NOSIGNAL);
    give(sqe, op);
}

/* Only a failure will have a completion. */
static void give_promptly(
    struct ring *r, struct io_uring_sqe *sqe, struct op *op, size_t len)
{
    CHECK(op->pending);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)op | TAG_PROMPT);
    r->prompt[r->prompt_count++] = (struct prompt_send){op, (int32_t)len};
}

void ring_send_now(struct ring *r, struct op *op, int fd, const void *at, size_t len)
{
    struct io_uring_sqe *sqe;

    if (r->prompt_count == PROMPT_MAX) {
        ring_send(r, op, fd, at, len);
        return;
    }
    sqe = ring_entry(r);
    io_uring_prep_send(sqe, fd, at, len, MSG_WAITALL | MSG_NOSIGNAL | MSG_DONTWAIT);
    give_promptly(r, sqe, op, len);
}

void ring_sendmsg_now(
    struct ring *r, struct op *op, int fd, const struct msghdr *msg, size_t len)
{
    struct io_uring_sqe *sqe;

    if (r->prompt_count == PROMPT_MAX) {
        ring_sendmsg(r, op, fd, msg);
        return;
    }
    sqe = ring_entry(r);
    io_uring_prep_sendmsg(sqe, fd, msg, MSG_WAITALL | MSG_NOSIGNAL | MSG_DONTWAIT);
    give_promptly(r, sqe, op, len);
}

void ring_sendmsg(struct ring *r, struct op *op, int fd, const struct msghdr *msg)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_sendmsg(sqe, fd, msg, MSG_WAITALL | MSG_NOSIGNAL);
    give(sqe, op);
}

void ring_sendmsg_last(struct ring *r, struct op *op, int fd, const struct msghdr *msg)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_sendmsg(sqe, fd, msg, MSG_WAITALL | MSG_NOSIGNAL | MSG_MORE);
    give(sqe, op);
}

void ring_sendmsg_zero_copy(
    struct ring *r, struct op *op, int fd, const struct msghdr *msg)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_sendmsg_zc(sqe, fd, msg, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->ioprio = SEND_ZERO_COPY_REPORT;
    give(sqe, op);
}

void ring_connect(
    struct ring *r, struct op *op, int fd, const struct sockaddr *to, socklen_t len)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_connect(sqe, fd, to, len);
    give(sqe, op);
}

void ring_poll(struct ring *r, struct op *op, int fd, unsigned events)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_poll_add(sqe, fd, events);
    give(sqe, op);
}

void ring_read(
    struct ring *r, struct op *op, int fd, void *at, uint32_t len, uint64_t offset)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_read(sqe, fd, at, len, offset);
    give(sqe, op);
}

void ring_write(struct ring *r, struct op *op, int fd, const void *at, uint32_t len,
    uint64_t offset, bool durable)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_write(sqe, fd, at, len, offset);
    if (durable)
        sqe->rw_flags = RWF_DSYNC;
    give(sqe, op);
}

void ring_sync(struct ring *r, struct op *op, int fd, bool data_only)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
    give(sqe, op);
}

/* A receive that starves has not reached the kernel: it lands here. */
void ring_cancel(struct ring *r, struct op *op)
{
    struct io_uring_sqe *sqe;

    CHECK(op->pending);
    if (ring_buffers_unstarve(r, op)) {
        op_post(&r->landed, op, -ECANCELED);
        return;
    }
    sqe = ring_entry(r);
    io_uring_prep_cancel(sqe, op, 0);
    fire(sqe);
}

void ring_close_fd(struct ring *r, int fd)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_close(sqe, fd);
    fire(sqe);
}

void ring_doorbell(struct ring *r, int number)
{
    struct io_uring_sqe *sqe = ring_entry(r);

    io_uring_prep_msg_ring(sqe, number, 0, TAG_WAKE, 0);
    fire(sqe);
}
