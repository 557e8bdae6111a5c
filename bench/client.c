#include "bench/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/client_tls.h"
#include "bench/engine.h"
#include "bench/mode.h"
#include "server/clock.h"
#include "server/ring.h"

/* --- birth and death ------------------------------------------------------ */

bool client_init(struct client *c, struct driver *d, const struct mode *mode,
    const struct target *to, uint64_t index)
{
    size_t room = mode->out_bytes(d->bench->o);

    *c = (struct client){
        .driver = d, .mode = mode, .to = to, .index = index, .fd = -1, .out.cap = room};
    c->out.at = malloc(room);
    c->session = calloc(1, mode->session_bytes);
    return c->out.at && c->session;
}

void client_free(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    client_tls_forget(c);
    free(c->out.at);
    free(c->session);
}

void client_fail(struct client *c, struct slice why)
{
    if (client_gone(c))
        return;
    engine_failed(c, why);
    client_drop(c);
}

static void fail_errno(struct client *c, const char *what, int error)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%s: %s", what, strerror(error));

    client_fail(c, slice_of(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

/* Once nothing of it is in flight, the connection is over. */
static void settle(struct client *c)
{
    if (c->receive.pending || c->send.pending)
        return;
    if (c->fd >= 0)
        ring_close_fd(c->driver->ring, c->fd);
    c->fd = -1;
    client_tls_end(c);
    engine_ended(c);
}

void client_drop(struct client *c)
{
    if (client_gone(c))
        return;
    c->state = CLIENT_ENDING;
    list_remove(&c->waiting);
    if (c->receive.pending)
        ring_cancel(c->driver->ring, &c->receive);
    if (c->send.pending)
        ring_cancel(c->driver->ring, &c->send);
    settle(c);
}

/* --- output --------------------------------------------------------------- */

/* What has been copied since the last piece becomes one. */
static void mark(struct client *c)
{
    CHECK(!c->out.full);
    if (c->out.len == c->out_marked)
        return;
    CHECK(c->piece_count < CLIENT_PIECES);
    c->pieces[c->piece_count++] =
        (struct iovec){c->out.at + c->out_marked, c->out.len - c->out_marked};
    c->out_marked = c->out.len;
}

void client_lend(struct client *c, struct slice s)
{
    if (s.len <= CLIENT_COPY_MAX) {
        client_write(c, s);
        return;
    }
    mark(c);
    CHECK(c->piece_count < CLIENT_PIECES);
    c->pieces[c->piece_count++] = (struct iovec){(void *)(uintptr_t)s.at, s.len};
}

static void reset_output(struct client *c)
{
    c->out.len = c->out_marked = 0;
    c->piece_count = c->piece_flying = 0;
    c->flush_again = false;
}

static size_t flying_bytes(const struct client *c)
{
    size_t sum = 0;

    for (unsigned i = 0; i < c->piece_flying; i++)
        sum += c->pieces[i].iov_len;
    return sum;
}

/* Where the copied bytes begin that are in no piece that has left. */
static size_t first_needed(const struct client *c)
{
    for (unsigned i = 0; i < c->piece_count; i++) {
        const char *at = c->pieces[i].iov_base;

        if (at >= c->out.at && at < c->out.at + c->out.len)
            return (size_t)(at - c->out.at);
    }
    return c->out_marked;
}

/* Moves the copied bytes that are still needed to the front. A client that is answered
 * faster than it hears of its sends always has some, so waiting until there are none
 * would fill the buffer. */
static void pack_output(struct client *c)
{
    size_t gone = first_needed(c);

    if (!gone)
        return;
    for (unsigned i = 0; i < c->piece_count; i++) {
        char *at = c->pieces[i].iov_base;

        if (at >= c->out.at && at < c->out.at + c->out.len)
            c->pieces[i].iov_base = at - gone;
    }
    memmove(c->out.at, c->out.at + gone, c->out.len - gone);
    c->out.len -= gone;
    c->out_marked -= gone;
}

/* The first pieces have left. */
static void shed_pieces(struct client *c)
{
    c->piece_count -= c->piece_flying;
    memmove(c->pieces, c->pieces + c->piece_flying, c->piece_count * sizeof *c->pieces);
    c->piece_flying = 0;
    pack_output(c);
}

static void on_sent(struct op *op, int32_t res, uint32_t flags);

/* Few bytes go without a completion; many pieces in one call. */
static void send_pieces(struct client *c)
{
    struct ring *ring = c->driver->ring;
    const struct iovec *first = &c->pieces[0];

    op_start(&c->send, on_sent);
    if (c->piece_flying == 1 && first->iov_len <= CLIENT_PROMPT_MAX) {
        ring_send_now(ring, &c->send, c->fd, first->iov_base, first->iov_len);
    } else if (c->piece_flying == 1) {
        ring_send(ring, &c->send, c->fd, first->iov_base, first->iov_len);
    } else {
        c->message = (struct msghdr){.msg_iov = c->pieces, .msg_iovlen = c->piece_flying};
        ring_sendmsg(ring, &c->send, c->fd, &c->message);
    }
}

void client_flush(struct client *c)
{
    struct slice sealed;

    if (client_gone(c))
        return;
    if (c->send.pending) {
        c->flush_again = true;
        return;
    }
    mark(c);
    if (client_tls_on(c)) {
        sealed = client_tls_output(c);
        reset_output(c);
        if (sealed.len)
            c->pieces[c->piece_count++] =
                (struct iovec){(void *)(uintptr_t)sealed.at, sealed.len};
    }
    c->piece_flying = c->piece_count;
    if (c->piece_flying)
        send_pieces(c);
    else if (c->close_after)
        client_drop(c);
}

/* What a prompt send did not get rid of goes again, and waits. */
static void send_rest(struct client *c, size_t sent)
{
    struct iovec *first = &c->pieces[0];

    first->iov_base = (char *)first->iov_base + sent;
    first->iov_len -= sent;
    op_start(&c->send, on_sent);
    ring_send(c->driver->ring, &c->send, c->fd, first->iov_base, first->iov_len);
}

static void on_sent(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, send);
    size_t wanted = flying_bytes(c), sent = res > 0 ? (size_t)res : 0;

    (void)flags;
    if (c->state == CLIENT_ENDING) {
        settle(c);
        return;
    }
    c->driver->tally.bytes_out += sent;
    if (sent < wanted && c->piece_flying == 1 && (res == -EAGAIN || res > 0)) {
        send_rest(c, sent);
        return;
    }
    if (sent < wanted) {
        fail_errno(c, "send", res < 0 ? -res : EPIPE);
        return;
    }
    shed_pieces(c);
    if (c->flush_again || c->close_after) {
        c->flush_again = false;
        client_flush(c);
    }
}

/* --- input ---------------------------------------------------------------- */

static void on_received(struct op *op, int32_t res, uint32_t flags);

static void arm(struct client *c)
{
    op_start(&c->receive, on_received);
    ring_receive(c->driver->ring, &c->receive, c->fd, c->mode->bulk);
}

/* The peer has closed; whoever is leaving has waited for that. */
static void on_end(struct client *c, int error)
{
    if (c->leaving)
        client_drop(c);
    else if (error)
        fail_errno(c, "receive", error);
    else
        client_fail(c, S("the server has closed the connection"));
}

static void on_received(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, receive);
    struct driver *d = c->driver;
    struct slice in;

    if (res > 0 && c->state != CLIENT_ENDING) {
        in = ring_received(d->ring, op, res, flags);
        d->now_ns = clock_monotonic_ns();
        d->tally.bytes_in += (uint64_t)res;
        if (client_tls_on(c))
            client_tls_input(c, in);
        else
            c->mode->input(c, in);
    }
    ring_return(d->ring, op, flags);
    if (flags & RING_MORE)
        return;
    if (c->state == CLIENT_ENDING) {
        if (c->fd >= 0)
            settle(c);
    } else if (res > 0) {
        arm(c);
    } else if (res == -ENOBUFS) {
        op_start(op, on_received);
        ring_receive_starved(d->ring, op, c->fd, c->mode->bulk);
    } else {
        on_end(c, -res);
    }
}

/* --- connecting ----------------------------------------------------------- */

/* The ports of one address of loopback are few: there are more of both. */
static bool bind_source(const struct client *c, int fd)
{
    uint64_t sources = c->driver->bench->o->sources;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;

    if (sources == 1 || c->to->address.ss_family != AF_INET)
        return true;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(c->index % sources));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    return bind(fd, (struct sockaddr *)&from, sizeof from) == 0;
}

static void begin_session(struct client *c)
{
    c->served = 0;
    c->sessions++;
    memset(c->session, 0, c->mode->session_bytes);
}

static void on_connected(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, send);

    (void)flags;
    if (c->state == CLIENT_ENDING) {
        settle(c);
        return;
    }
    if (res < 0) {
        fail_errno(c, "connect", -res);
        return;
    }
    c->driver->now_ns = clock_monotonic_ns();
    c->driver->tally.connections++;
    arm(c);
    if (c->tls_kind == TLS_IMPLICIT) {
        client_secure(c);
        return;
    }
    c->state = CLIENT_OPEN;
    c->mode->open(c);
}

void client_connect(struct client *c)
{
    int one = 1, family = c->to->address.ss_family;

    c->state = CLIENT_CONNECTING;
    c->leaving = false;
    reset_output(c);
    begin_session(c);
    c->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || !bind_source(c, c->fd)) {
        fail_errno(c, "socket", errno);
        return;
    }
    if (family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    op_start(&c->send, on_connected);
    ring_connect(c->driver->ring, &c->send, c->fd,
        (const struct sockaddr *)&c->to->address, c->to->len);
}

void client_adopt(struct client *c, int fd)
{
    int one = 1;

    c->leaving = true; /* that it goes is no error */
    c->close_after = false;
    reset_output(c);
    begin_session(c);
    c->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->driver->tally.connections++;
    arm(c);
    c->state = CLIENT_OPEN;
    c->mode->open(c);
}

void client_secure(struct client *c)
{
    c->state = CLIENT_SECURING;
    if (client_tls_start(c))
        client_tls_input(c, S(""));
    else
        client_fail(c, S("TLS: out of memory"));
}
