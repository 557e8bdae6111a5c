/* ceiling_client.c -- the other end of a network calibration: as cheap as it can be, for
 * it has the second core only. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum { BULK_BYTES = 1 << 18, SOURCES = 200 };

struct client {
    struct ceiling_clients *all;
    struct op connect, send, receive;
    int fd;
    uint32_t missing; /* of the answer that is on its way */
};

static const char request[] = "a001 NOOP\r\n";
static char bulk[BULK_BYTES], answers[1 << 16]; /* nobody looks at what comes */

static void open_again(struct client *c);

static void trouble(const char *what, int res)
{
    errno = res < 0 ? -res : ECONNRESET;
    ceiling_fail(what);
}

static void on_bulk_sent(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, send);

    (void)flags;
    if (res <= 0)
        trouble("sending", res);
    if (c->all->stop) {
        ring_close_fd(c->all->ring, c->fd);
        c->all->open--;
        return;
    }
    op_start(op, on_bulk_sent);
    ring_send(c->all->ring, op, c->fd, bulk, sizeof bulk);
}

static void answered(struct client *c);

/* The news of it may come after the answer. */
static void on_sent(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, send);

    (void)flags;
    if (res <= 0)
        trouble("sending", res);
    if (!c->missing)
        answered(c);
}

static void on_received(struct op *op, int32_t res, uint32_t flags);

static void ask(struct client *c)
{
    struct ring *ring = c->all->ring;

    c->missing = c->all->answer_bytes;
    op_start(&c->receive, on_received);
    ring_receive_into(ring, &c->receive, c->fd, answers, sizeof answers);
    op_start(&c->send, on_sent);
    ring_send_now(ring, &c->send, c->fd, request, sizeof request - 1);
}

static void answered(struct client *c)
{
    if (!c->all->stop && !c->all->once) {
        ask(c);
        return;
    }
    ring_close_fd(c->all->ring, c->fd);
    c->all->open--;
    if (!c->all->stop)
        open_again(c);
}

static void on_received(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, receive);

    (void)flags;
    if (res <= 0)
        trouble("receiving", res);
    c->missing -= (uint32_t)res < c->missing ? (uint32_t)res : c->missing;
    if (!c->missing) {
        if (!c->send.pending)
            answered(c);
        return;
    }
    op_start(op, on_received);
    ring_receive_into(c->all->ring, op, c->fd, answers, sizeof answers);
}

static void on_connect(struct op *op, int32_t res, uint32_t flags)
{
    struct client *c = container_of(op, struct client, connect);

    (void)flags;
    if (res < 0)
        trouble("connecting", res);
    if (c->all->answer_bytes) {
        ask(c);
        return;
    }
    op_start(&c->send, on_bulk_sent);
    ring_send(c->all->ring, &c->send, c->fd, bulk, sizeof bulk);
}

/* From one of many loopback addresses, so that closed connections do not use up the ports
 * of one. */
static void open_again(struct client *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;

    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + c->all->opened++ % SOURCES);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 ||
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) ||
        bind(c->fd, (struct sockaddr *)&from, sizeof from))
        ceiling_fail("a socket for a client");
    c->all->open++;
    op_start(&c->connect, on_connect);
    ring_connect(c->all->ring, &c->connect, c->fd,
        (const struct sockaddr *)&c->all->server->at, sizeof c->all->server->at);
}

static void *drive(void *arg)
{
    static const int64_t wait_ns = 20000000;
    struct ceiling_clients *all = arg;
    struct client *clients = calloc(all->connections, sizeof *clients);

    if (!clients)
        ceiling_fail("memory for the clients");
    all->ring = ceiling_ring();
    for (unsigned i = 0; i < all->connections; i++) {
        clients[i].all = all;
        open_again(&clients[i]);
    }
    while (!all->stop || all->open) {
        ring_enter(all->ring, clock_monotonic_ns(), wait_ns);
        ring_reap(all->ring, UINT32_MAX);
    }
    /* The last closes are only queued. */
    ring_enter(all->ring, clock_monotonic_ns(), 0);
    ring_close(all->ring);
    free(clients);
    return NULL;
}

void ceiling_clients_start(struct ceiling_clients *c)
{
    if (pthread_create(&c->thread, NULL, drive, c))
        ceiling_fail("starting a thread");
}

void ceiling_clients_stop(struct ceiling_clients *c)
{
    c->stop = true;
    pthread_join(c->thread, NULL);
}
