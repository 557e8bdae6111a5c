/* conn_connect.c -- connections that we open. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/conn_state.h"

/* The kernel reads the address when the operation is submitted, or later. */
struct connecting {
    struct sockaddr_storage to;
};

static void on_connect(struct op *op, int32_t res, uint32_t flags)
{
    struct conn *c = container_of(op, struct conn, send);

    (void)flags;
    if (conn_is(c, CONN_ENDING)) {
        conn_advance(c);
        return;
    }
    if (res < 0) {
        conn_fail(c, -res);
        return;
    }
    free(c->under_way);
    c->under_way = NULL;
    c->state = CONN_OPEN;
    conn_greet(c);
    conn_receive_update(c);
}

/* A socket bound to `from`, which may be NULL; -1. */
static int open_socket(const struct address *to, const struct address *from)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int one = 1, fd = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || to->family == AF_UNIX)
        return fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (!from)
        return fd;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    len = address_sockaddr(from, &sa);
    if (bind(fd, (struct sockaddr *)&sa, len) == 0)
        return fd;
    close(fd);
    return -1;
}

static struct conn *open_conn(struct thread *t, const struct session_calls *calls,
    const struct address *to, const struct address *from)
{
    struct connecting *connecting = calloc(1, sizeof *connecting);
    int fd = connecting ? open_socket(to, from) : -1;
    struct conn *c = fd >= 0 ? conn_new(t, NULL, calls, fd) : NULL;

    if (!c) {
        if (fd >= 0)
            close(fd);
        free(connecting);
        return NULL;
    }
    c->peer = *to;
    c->under_way = connecting;
    conn_set(c, CONN_CLIENT, true);
    return c;
}

static void begin(struct conn *c, socklen_t len)
{
    struct connecting *connecting = c->under_way;

    op_start(&c->send, on_connect);
    ring_connect(
        c->thread->ring, &c->send, c->fd, (struct sockaddr *)&connecting->to, len);
}

struct conn *conn_connect(struct thread *t, const struct session_calls *calls,
    const struct address *to, const struct address *from)
{
    struct conn *c = open_conn(t, calls, to, from);

    if (c) {
        struct connecting *connecting = c->under_way;

        begin(c, address_sockaddr(to, &connecting->to));
    }
    return c;
}

struct conn *conn_connect_local(
    struct thread *t, const struct session_calls *calls, const char *path)
{
    const struct address to = {.family = AF_UNIX};
    size_t len = strlen(path);
    struct conn *c = len <= ADDRESS_PATH_MAX ? open_conn(t, calls, &to, NULL) : NULL;

    if (c) {
        struct connecting *connecting = c->under_way;
        struct sockaddr_un *un = (struct sockaddr_un *)&connecting->to;

        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path, len + 1);
        begin(c, sizeof *un);
    }
    return c;
}
