/* ceiling_server.c -- the least a server can be: one thread, one ring, multishot accept
 * and receive into provided buffers, one send for what one receive brought. Or, for one
 * connection, a thread that blocks on it. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum { ANSWER_BYTES = 16, LINES_MAX = 64 };

struct ceiling_peer {
    struct ceiling_server *server;
    struct ceiling_peer *next;
    struct op receive, send, read;
    int fd;
    bool ended;
    unsigned owed; /* answers, while the send before is in flight */
    char *out;     /* file_bytes, or room for answers */
};

static const char answer_text[ANSWER_BYTES + 1] = "250 2.0.0 Okay\r\n";

static void peer_end(struct ceiling_peer *p)
{
    p->ended = true;
    if (p->receive.pending || p->send.pending || p->read.pending)
        return;
    ring_close_fd(p->server->ring, p->fd);
    free(p->out);
    p->server->open--;
    /* The ring may still look at an op after its done(). */
    p->next = p->server->closed;
    p->server->closed = p;
}

static void answer(struct ceiling_peer *p);

/* The next request may have come before the news of this. */
static void on_sent(struct op *op, int32_t res, uint32_t flags)
{
    struct ceiling_peer *p = container_of(op, struct ceiling_peer, send);

    (void)flags;
    if (res <= 0 || p->ended)
        peer_end(p);
    else if (p->owed)
        answer(p);
}

static void on_read(struct op *op, int32_t res, uint32_t flags)
{
    struct ceiling_peer *p = container_of(op, struct ceiling_peer, read);

    (void)flags;
    if (res != (int32_t)p->server->file_bytes) {
        errno = res < 0 ? -res : EIO;
        ceiling_fail("reading the file to serve");
    }
    op_start(&p->send, on_sent);
    ring_send(p->server->ring, &p->send, p->fd, p->out, (size_t)res);
}

static unsigned lines_in(struct slice bytes)
{
    unsigned lines = 0;
    const char *lf;

    while (bytes.len && (lf = memchr(bytes.at, '\n', bytes.len))) {
        slice_take(&bytes, (size_t)(lf - bytes.at) + 1);
        lines++;
    }
    return lines;
}

static void answer(struct ceiling_peer *p)
{
    struct ceiling_server *s = p->server;
    unsigned lines = p->owed;

    p->owed = 0;
    s->answered += lines;
    if (s->answer == CEILING_ANSWER_FILE) {
        CHECK(lines == 1 && !p->read.pending);
        op_start(&p->read, on_read);
        ring_read(s->ring, &p->read, s->file, p->out, s->file_bytes, 0);
        return;
    }
    CHECK(lines <= LINES_MAX);
    for (unsigned i = 0; i < lines; i++)
        memcpy(p->out + i * ANSWER_BYTES, answer_text, ANSWER_BYTES);
    op_start(&p->send, on_sent);
    ring_send_now(s->ring, &p->send, p->fd, p->out, lines * ANSWER_BYTES);
}

static void take(struct ceiling_peer *p, struct slice bytes)
{
    p->server->bytes_in += bytes.len;
    if (p->server->answer != CEILING_ANSWER_SWALLOW)
        p->owed += lines_in(bytes);
    if (p->owed && !p->send.pending)
        answer(p);
}

static void on_receive(struct op *op, int32_t res, uint32_t flags)
{
    struct ceiling_peer *p = container_of(op, struct ceiling_peer, receive);
    struct ring *ring = p->server->ring;
    bool big = p->server->answer == CEILING_ANSWER_SWALLOW;

    if (res > 0)
        take(p, ring_received(ring, op, res, flags));
    ring_return(ring, op, flags);
    if (op->pending)
        return;
    if (p->ended || (res <= 0 && res != -ENOBUFS)) {
        peer_end(p);
        return;
    }
    op_start(op, on_receive);
    if (res == -ENOBUFS)
        ring_receive_starved(ring, op, p->fd, big);
    else
        ring_receive(ring, op, p->fd, big);
}

static void on_accept(struct op *op, int32_t res, uint32_t flags)
{
    struct ceiling_server *s = container_of(op, struct ceiling_server, accept);
    struct ceiling_peer *p;

    (void)flags;
    if (res >= 0) {
        p = calloc(1, sizeof *p);
        if (p)
            p->out = malloc(s->file_bytes + LINES_MAX * ANSWER_BYTES);
        if (!p || !p->out)
            ceiling_fail("memory for a connection");
        p->server = s;
        p->fd = res;
        s->open++;
        op_start(&p->receive, on_receive);
        ring_receive(s->ring, &p->receive, p->fd, s->answer == CEILING_ANSWER_SWALLOW);
    }
    if (!op->pending && !s->stop) {
        op_start(op, on_accept);
        ring_accept(s->ring, op, s->listener);
    }
}

static void turn(struct ceiling_server *s)
{
    static const int64_t wait_ns = 20000000;

    ring_enter(s->ring, clock_monotonic_ns(), wait_ns);
    ring_reap(s->ring, UINT32_MAX);
    while (s->closed) {
        struct ceiling_peer *p = s->closed;

        s->closed = p->next;
        free(p);
    }
}

static void *serve(void *arg)
{
    struct ceiling_server *s = arg;

    s->ring = ceiling_ring();
    op_start(&s->accept, on_accept);
    ring_accept(s->ring, &s->accept, s->listener);
    while (!s->stop || s->open)
        turn(s);
    if (s->accept.pending)
        ring_cancel(s->ring, &s->accept);
    while (s->accept.pending)
        turn(s);
    ring_close(s->ring);
    return NULL;
}

static void answer_plainly(struct ceiling_server *s, int fd)
{
    off_t at = 0;

    if (s->answer == CEILING_ANSWER_LINE &&
        send(fd, answer_text, ANSWER_BYTES, MSG_NOSIGNAL) != ANSWER_BYTES)
        ceiling_fail("sending an answer");
    while (at < (off_t)s->file_bytes)
        if (sendfile(fd, s->file, &at, s->file_bytes - (size_t)at) <= 0)
            ceiling_fail("sending the file to serve");
    s->answered++;
}

/* Until its client goes, who has one request on the way at a time. */
static void *serve_plainly(void *arg)
{
    struct ceiling_server *s = arg;
    char request[64];
    ssize_t got;
    int fd = accept(s->listener, NULL, NULL);

    if (fd < 0)
        ceiling_fail("accepting a connection");
    while ((got = recv(fd, request, sizeof request, 0)) > 0) {
        s->bytes_in += (uint64_t)got;
        answer_plainly(s, fd);
    }
    close(fd);
    return NULL;
}

void ceiling_server_start(struct ceiling_server *s)
{
    socklen_t len = sizeof s->at;
    int on = 1;

    s->at = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 ||
        setsockopt(s->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        bind(s->listener, (struct sockaddr *)&s->at, len) || listen(s->listener, 4096) ||
        getsockname(s->listener, (struct sockaddr *)&s->at, &len))
        ceiling_fail("listening on loopback");
    if (pthread_create(&s->thread, NULL, s->plain ? serve_plainly : serve, s))
        ceiling_fail("starting a thread");
}

void ceiling_server_stop(struct ceiling_server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->listener);
}

int64_t ceiling_server_cpu_ns(const struct ceiling_server *s)
{
    struct timespec used;
    clockid_t clock;

    if (pthread_getcpuclockid(s->thread, &clock) || clock_gettime(clock, &used))
        ceiling_fail("reading the CPU time of a thread");
    return used.tv_sec * 1000000000LL + used.tv_nsec;
}
