#include "server/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/conn_state.h"
#include "server/limit.h"
#include "server/log.h"

enum {
    BACKLOG = 4096,       /* the kernel cuts it to net.core.somaxconn */
    DROPS_MAX = 64,       /* peers dropped at once when descriptors run out */
    LAST_CALLS_MAX = 128, /* peers taken out of the queue of a port that closes */
    BUSY_TRIES = 60,      /* looks at a port that is taken, 3 s in all */
    BUSY_PAUSE_NS = 50000000,
};
static const int64_t pause_ns = 200000000;
static const int64_t told_again_ns = 60000000000;
/* Another thread may take the peer that poll() has told of: accept4() waits no longer. */
static const struct timeval taken_wait = {.tv_usec = 1000};

/* One port of one thread. Each has a socket of its own, but a local one can't be bound
 * twice: of that all have duplicates, and take turns. */
struct listening {
    struct thread *thread;
    const struct listener *listener;
    int fd; /* -1: closed, or not bound yet */
    struct op accept;
    struct timer pause;
    bool stopping;
};

/* --- binding, by the control thread --------------------------------------- */

static const char *name_of(enum protocol protocol)
{
    switch (protocol) {
    case PROTO_SMTP:
        return "smtp";
    case PROTO_SUBMISSION:
        return "submission";
    case PROTO_LMTP:
        return "lmtp";
    case PROTO_POP3:
        return "pop3";
    case PROTO_IMAP:
        return "imap";
    }
    return "";
}

/* What an operator can do about it. */
static const char *remedy_of(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "; stop what listens there (`ss -ltnp` names it), or write another port";
    case EADDRNOTAVAIL:
        return "; write an address of this host, or 0.0.0.0 or [::] for all of them";
    case EACCES:
        return "; ports below 1024 are for root: start as root, with --user NAME";
    default:
        return "";
    }
}

/* The flag is the protocol, with an s at its end where TLS is implicit. */
static bool refuse(
    const struct listener *l, const char *what, int error, char *why, size_t cap)
{
    bool local = l->address.family == AF_UNIX;

    snprintf(why, cap, "--%s%s %s: can't %s: %s%s", name_of(l->protocol),
        l->implicit_tls ? "s" : "", l->text, what, strerror(error),
        local ? "" : remedy_of(error));
    return false;
}

/* A socket bound to the listener's address; -1 with errno. */
static int bound(const struct listener *l, int shared)
{
    struct sockaddr_storage sa;
    socklen_t len = address_sockaddr(&l->address, &sa);
    int one = 1, fd = socket(l->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (l->address.family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    /* What accept gives inherits these. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&sa, len) == 0)
        return fd;
    one = errno;
    close(fd);
    errno = one;
    return -1;
}

/* A socket that does not share its port finds one that somebody else, perhaps another
 * server of the same user, is listening on; shared ones would join it. */
static bool probe(struct listener *l)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int fd = bound(l, 0);
    bool good = fd >= 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&sa, &len) == 0;
    int error = errno;

    if (good)
        l->address.port = address_of(&sa).port;
    if (fd >= 0)
        close(fd);
    errno = error;
    return good;
}

static struct sockaddr_un local_of(const struct listener *l)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    snprintf(un.sun_path, sizeof un.sun_path, "%s", l->path);
    return un;
}

/* A socket file that nobody listens behind is left over from a server that was killed,
 * and is removed. False, with errno: somebody does, or it is no socket. */
static bool probe_local(struct listener *l)
{
    const struct sockaddr_un un = local_of(l);
    struct stat st;
    int fd, error;

    if (lstat(l->path, &st) != 0)
        return errno == ENOENT;
    errno = EEXIST;
    if (!S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    error = connect(fd, (const struct sockaddr *)&un, sizeof un) == 0 ? 0 : errno;
    close(fd);
    if (error == ECONNREFUSED)
        return unlink(l->path) == 0;
    errno = EADDRINUSE;
    return false;
}

/* The file is never open to more than its mode, not even for a moment: bind() makes it
 * with the one that the socket has. */
static int bound_local(const struct listener *l)
{
    const struct sockaddr_un un = local_of(l);
    int error, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &taken_wait, sizeof taken_wait) == 0 &&
        bind(fd, (const struct sockaddr *)&un, sizeof un) == 0 &&
        chmod(l->path, S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) == 0)
        return fd;
    error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

static bool is_local(const struct listener *l)
{
    return l->address.family == AF_UNIX;
}

/* Nobody else listens there. The kernel takes rings apart behind the end of their
 * process, so a server that was killed may hold its ports a moment longer: worth waiting
 * for. */
static bool is_free(struct listener *l)
{
    const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};

    for (unsigned tries = BUSY_TRIES; !(is_local(l) ? probe_local(l) : probe(l));
         tries--) {
        if (errno != EADDRINUSE || !tries)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* The socket of the next thread, of which `first` is that of the first. */
static int bound_next(const struct listener *l, int first)
{
    if (!is_local(l))
        return bound(l, 1);
    return first < 0 ? bound_local(l) : fcntl(first, F_DUPFD_CLOEXEC, 0);
}

static bool bind_one(struct process *p, unsigned i, char *why, size_t cap)
{
    struct listener *l = &p->conf.listeners[i];
    int first = -1;

    if (!is_free(l))
        return refuse(l, "listen there", errno, why, cap);
    for (unsigned n = 0; n < p->thread_count; n++) {
        struct listening *port = &p->threads[n]->state->listening[i];

        port->thread = p->threads[n];
        port->listener = l;
        port->fd = bound_next(l, first);
        if (port->fd < 0)
            return refuse(l, "bind", errno, why, cap);
        if (n == 0)
            first = port->fd;
    }
    return true;
}

bool listeners_bind(struct process *p, char *why, size_t cap)
{
    for (unsigned n = 0; n < p->thread_count; n++) {
        struct thread_state *s = p->threads[n]->state;

        s->listening = calloc(p->conf.listener_count + 1, sizeof *s->listening);
        if (!s->listening) {
            snprintf(why, cap, "out of memory");
            return false;
        }
        for (unsigned i = 0; i < p->conf.listener_count; i++)
            s->listening[i].fd = -1;
    }
    for (unsigned i = 0; i < p->conf.listener_count; i++)
        if (!bind_one(p, i, why, cap))
            return false;
    return true;
}

/* --- admission ------------------------------------------------------------ */

#define TOO_MANY "too many in all"

static uint64_t connections_of(const struct process *p)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < p->thread_count; i++)
        sum += atomic_load(&p->threads[i]->state->open);
    return sum;
}

static void tell_refused(
    const struct listener *l, const struct address *peer, const char *why)
{
    struct event e;
    char text[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_NOTICE, "connection-refused"))
        return;
    event_string(&e, "protocol", name_of(l->protocol));
    if (peer->family)
        event_text(&e, "peer", address_text(peer, text, sizeof text));
    event_string(&e, "why", why);
    event_end(&e);
}

/* In clear a reason is given; the socket buffer of a new connection takes it. */
static void turn_away(struct thread *t, const struct listener *l, int fd,
    const struct address *peer, const char *why)
{
    struct slice text = l->calls->refusal;

    t->stats.connections_refused++;
    tell_refused(l, peer, why);
    if (text.len && !l->implicit_tls)
        (void)!send(fd, text.at, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
}

/* Of a connection that is counted already. */
static void turn_away_counted(struct conn *c, const char *why)
{
    turn_away(c->thread, c->listener, c->fd, &c->peer, why);
    conn_fail(c, EUSERS);
}

static void begin(struct conn *c)
{
    conn_begin(c);
    if (c->input || conn_has(c, CONN_FIN))
        conn_proxy_resume(c);
}

static void on_admitted(struct conn *c, bool granted)
{
    if (conn_is(c, CONN_ENDING)) {
        conn_touch(c);
        return;
    }
    if (!granted) {
        turn_away_counted(c, "too many of this address");
        return;
    }
    begin(c);
}

void listen_admit(struct conn *c)
{
    const struct process_conf *conf = &c->thread->process->conf;

    if (c->peer.family == AF_UNIX ||
        conn_peer_in(c, conf->unlimited, conf->unlimited_count))
        begin(c);
    else
        admission_ask(c, on_admitted);
}

/* The counts are looked at twice: before, for a connection more than there may be to cost
 * no more than its refusal; and with its own, for other threads may have taken the last
 * place meanwhile. */
static void accepted(struct listening *port, int fd)
{
    struct thread *t = port->thread;
    const struct process_conf *conf = &t->process->conf;
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    struct address peer = {0};
    const char *why = "out of memory";
    struct conn *c = NULL;

    t->stats.accepted++;
    t->stats.values[STAT_accepted_smtp + (unsigned)port->listener->protocol]++;
    if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
        peer = address_of(&sa);
    if (connections_of(t->process) >= conf->connections_max)
        why = TOO_MANY;
    else
        c = conn_new(t, port->listener, port->listener->calls, fd);
    if (!c) {
        turn_away(t, port->listener, fd, &peer, why);
        close(fd);
        return;
    }
    c->peer = peer;
    if (!peer.family) { /* it has gone already */
        conn_fail(c, ENOTCONN);
        return;
    }
    if (connections_of(t->process) > conf->connections_max) {
        turn_away_counted(c, TOO_MANY);
        return;
    }
    if (conf->proxy_count && conn_peer_in(c, conf->proxies, conf->proxy_count))
        conn_proxy_await(c);
    else
        listen_admit(c);
}

/* --- accepting ------------------------------------------------------------ */

static void on_accept(struct op *op, int32_t res, uint32_t flags);

static void arm(struct listening *port)
{
    op_start(&port->accept, on_accept);
    if (is_local(port->listener))
        ring_accept_one(port->thread->ring, &port->accept, port->fd);
    else
        ring_accept(port->thread->ring, &port->accept, port->fd);
}

static void on_pause(struct timer *timer)
{
    struct listening *port = container_of(timer, struct listening, pause);

    if (!port->stopping && !port->accept.pending)
        arm(port);
}

/* The next peer in the queue, without waiting; -1: there is none. */
static int take_one(const struct listening *port)
{
    struct pollfd p = {.fd = port->fd, .events = POLLIN};

    if (poll(&p, 1, 0) <= 0)
        return -1;
    return accept4(port->fd, NULL, NULL, SOCK_CLOEXEC);
}

static void tell_short(struct thread *t, int error)
{
    struct thread_state *s = t->state;
    char text[128];

    t->stats.descriptors_short++;
    if (s->short_told_ns && t->now_ns - s->short_told_ns < told_again_ns)
        return;
    s->short_told_ns = t->now_ns;
    snprintf(text, sizeof text, "reason=\"%s\" connections=%llu", strerror(error),
        (unsigned long long)t->stats.connections);
    process_log(t, 4, "accept-paused", text);
}

/* Out of descriptors: the one in reserve is given up to take peers out of the queue and
 * drop them, so that they learn of it, then accepting rests for a moment. */
static void ran_short(struct listening *port, int error)
{
    struct thread *t = port->thread;
    struct thread_state *s = t->state;

    tell_short(t, error);
    if (s->reserve_fd >= 0)
        close(s->reserve_fd);
    for (unsigned n = 0; s->reserve_fd >= 0 && n < DROPS_MAX; n++) {
        int fd = take_one(port);

        if (fd < 0)
            break;
        t->stats.connections_refused++;
        close(fd);
    }
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    timer_set(t, &port->pause, t->now_ns + pause_ns, on_pause);
}

static void last_calls(struct listening *port)
{
    for (unsigned n = 0; n < LAST_CALLS_MAX; n++) {
        int fd = take_one(port);

        if (fd < 0)
            break;
        accepted(port, fd);
    }
    close(port->fd);
    port->fd = -1;
}

static void on_accept(struct op *op, int32_t res, uint32_t flags)
{
    struct listening *port = container_of(op, struct listening, accept);

    (void)flags;
    if (res >= 0)
        accepted(port, res);
    if (op->pending)
        return;
    if (port->stopping)
        last_calls(port);
    else if (res == -EMFILE || res == -ENFILE || res == -ENOBUFS || res == -ENOMEM)
        ran_short(port, -res);
    else
        arm(port); /* ECONNABORTED and the like: the peer's affair */
}

/* --- start and stop ------------------------------------------------------- */

bool listen_start(struct thread *t, char *why, size_t cap)
{
    t->state->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < t->process->conf.listener_count; i++) {
        struct listening *port = &t->state->listening[i];

        if (listen(port->fd, BACKLOG) != 0)
            return refuse(port->listener, "listen", errno, why, cap);
        arm(port);
    }
    return true;
}

void listen_stop(struct thread *t)
{
    for (unsigned i = 0; i < t->process->conf.listener_count; i++) {
        struct listening *port = &t->state->listening[i];

        if (port->fd < 0 || port->stopping)
            continue;
        port->stopping = true;
        timer_clear(&port->pause);
        if (port->accept.pending)
            ring_cancel(t->ring, &port->accept);
        else
            last_calls(port);
        if (t->index == 0 && is_local(port->listener))
            unlink(port->listener->path);
    }
}

bool listen_stopped(const struct thread *t)
{
    for (unsigned i = 0; i < t->process->conf.listener_count; i++)
        if (t->state->listening[i].fd >= 0)
            return false;
    return true;
}

void listen_free(struct thread *t)
{
    struct thread_state *s = t->state;

    for (unsigned i = 0; s->listening && i < t->process->conf.listener_count; i++)
        if (s->listening[i].fd >= 0)
            close(s->listening[i].fd);
    free(s->listening);
    s->listening = NULL;
    if (s->reserve_fd >= 0)
        close(s->reserve_fd);
}
