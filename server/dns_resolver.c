#include "server/dns_resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/config.h"
#include "server/thread_state.h"

enum {
    TRIES = 2,               /* of each server, the second twice as long */
    TIMEOUT_S = 5,           /* of the first, without a config */
    UDP_PAYLOAD = 1232,      /* fits the smallest IPv6 packet that no path cuts */
    RECEIVE_BYTES = 1 << 20, /* for the answers to a burst of questions */
    CLASS_IN = 1,
    AUTHENTIC = 0x20 /* AD, of the fourth octet of a message (RFC 6840, 5.7) */
};
/* The words of --resolver-trusted. */
enum { TRUST_NONE, TRUST_LOOPBACK, TRUST_ALL };
static const int64_t tick_ns =
    100000000; /* c-ares counts its timeouts in whole seconds */
/* Then a fresh channel takes the next questions: it reads /etc/resolv.conf as that is
 * now, and has source ports of its own, which nobody has seen yet. */
static const int64_t channel_ns = 60000000000;

/* A socket of c-ares. When c-ares closes it the poll is cancelled, and the watch goes
 * when the poll has ended. */
struct watch {
    struct list link;
    struct op op;
    struct dns_resolver *resolver;
    struct dns_channel *channel; /* NULL: the socket is closed */
    int fd;
    unsigned wanted, armed; /* poll events */
    bool cancelled, busy;
};

struct dns_channel {
    struct list link, watches;
    struct dns_resolver *resolver;
    ares_channel ares;
    bool trusted;   /* all its servers, and the path to them */
    unsigned asked; /* questions under way */
    int64_t opened_ns;
};

struct dns_resolver {
    struct thread *thread;
    struct dns_channel *current; /* of channels; NULL: none yet */
    struct list channels;
    struct timer tick;
    unsigned ending; /* watches whose poll has not ended */
};

/* --- sockets on the ring ------------------------------------------------ */

static void on_poll(struct op *op, int32_t res, uint32_t flags);

static void arm(struct watch *w)
{
    if (w->op.pending || !w->wanted)
        return;
    w->armed = w->wanted;
    op_start(&w->op, on_poll);
    ring_poll(w->resolver->thread->ring, &w->op, w->fd, w->armed);
}

static void disarm(struct watch *w)
{
    if (w->op.pending && !w->cancelled) {
        w->cancelled = true;
        ring_cancel(w->resolver->thread->ring, &w->op);
    }
}

static void end_watch(struct watch *w)
{
    list_remove(&w->link);
    w->channel = NULL;
    if (w->op.pending) {
        w->resolver->ending++;
        disarm(w);
    } else if (!w->busy) {
        free(w);
    }
}

/* What poll(2) says, for c-ares: errors and ends are found by reading or writing. */
static void process(struct watch *w, unsigned events)
{
    unsigned any = events & (POLLERR | POLLHUP | POLLNVAL) ? POLLIN | POLLOUT : events;
    int in = any & w->wanted & POLLIN ? w->fd : ARES_SOCKET_BAD;
    int out = any & w->wanted & POLLOUT ? w->fd : ARES_SOCKET_BAD;

    w->busy = true;
    ares_process_fd(w->channel->ares, in, out);
    w->busy = false;
}

static void on_poll(struct op *op, int32_t res, uint32_t flags)
{
    struct watch *w = container_of(op, struct watch, op);

    (void)flags;
    w->cancelled = false;
    if (w->channel && res > 0)
        process(w, (unsigned)res);
    else if (!w->channel)
        w->resolver->ending--;
    if (!w->channel)
        free(w);
    else if (res >= 0 || res == -ECANCELED)
        arm(w); /* after other errors the next tick does */
}

static struct watch *find_watch(struct dns_channel *c, int fd)
{
    list_each(link, &c->watches) {
        struct watch *w = container_of(link, struct watch, link);

        if (w->fd == fd)
            return w;
    }
    return NULL;
}

static struct watch *add_watch(struct dns_channel *c, int fd)
{
    struct watch *w = calloc(1, sizeof *w);

    if (!w) /* c-ares hears nothing on this socket: a timeout */
        return NULL;
    w->resolver = c->resolver;
    w->channel = c;
    w->fd = fd;
    list_add(&c->watches, &w->link);
    return w;
}

/* c-ares tells what it waits for on a socket; for nothing: it is about to close it. */
static void on_socket(void *data, int fd, int in, int out)
{
    struct dns_channel *c = data;
    struct watch *w = find_watch(c, fd);

    if (!in && !out) {
        if (w)
            end_watch(w);
        return;
    }
    if (!w)
        w = add_watch(c, fd);
    if (!w)
        return;
    w->wanted = (in ? POLLIN : 0u) | (out ? POLLOUT : 0u);
    if (w->op.pending && w->armed != w->wanted)
        disarm(w); /* armed anew when it has ended */
    else if (!w->busy)
        arm(w);
}

/* --- channels ----------------------------------------------------------- */

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

/* The servers that --resolver names. */
static bool set_servers(struct dns_channel *c, const struct config_texts *named)
{
    struct ares_addr_port_node nodes[DNS_RESOLVERS_MAX] = {0};
    unsigned count = 0;

    for (; count < named->count && count < DNS_RESOLVERS_MAX; count++) {
        struct ares_addr_port_node *n = &nodes[count];
        struct address a;

        if (!address_parse(slice_str(named->at[count]), &a))
            return false;
        n->family = a.family;
        n->udp_port = n->tcp_port = a.port;
        if (a.family == AF_INET)
            memcpy(&n->addr.addr4, a.bytes + 12, 4);
        else
            memcpy(&n->addr.addr6, a.bytes, 16);
        if (count > 0)
            nodes[count - 1].next = n;
    }
    return ares_set_servers_ports(c->ares, nodes) == ARES_SUCCESS;
}

static bool is_loopback(const struct ares_addr_port_node *n)
{
    if (n->family == AF_INET)
        return ntohl(n->addr.addr4.s_addr) >> 24 == 127;
    return memcmp(&n->addr.addr6, &in6addr_loopback, 16) == 0;
}

/* A word about DNSSEC can be believed where nobody can forge it: from a server of this
 * host, or as the operator says (RFC 4035, 4.9.3). */
static bool is_trusted(struct dns_channel *c, const struct config *config)
{
    unsigned word = config ? (unsigned)config->resolver_trusted : TRUST_LOOPBACK;
    struct ares_addr_port_node *servers = NULL;
    bool all = true;

    if (word != TRUST_LOOPBACK)
        return word == TRUST_ALL;
    if (ares_get_servers_ports(c->ares, &servers) != ARES_SUCCESS)
        return false;
    for (const struct ares_addr_port_node *n = servers; n; n = n->next)
        all = all && is_loopback(n);
    if (servers)
        ares_free_data(servers);
    return all;
}

/* No search list, no hosts file: a name is what it says. */
static bool init_ares(struct dns_channel *c, const struct config *config)
{
    char lookups[] = "b", nothing[] = "/dev/null";
    bool named = config && config->resolvers.count > 0;
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS |
        ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ |
        ARES_OPT_SOCK_RCVBUF;
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = 1000 * (config ? (int)config->dns_timeout : TIMEOUT_S),
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = c,
        .ednspsz = UDP_PAYLOAD,
        .socket_receive_buffer_size = RECEIVE_BYTES,
        .resolvconf_path = nothing};

    if (named)
        mask |= ARES_OPT_RESOLVCONF;
    if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS)
        return false;
    if (!named || set_servers(c, &config->resolvers))
        return true;
    ares_destroy(c->ares);
    return false;
}

static struct dns_channel *open_channel(struct dns_resolver *r)
{
    struct dns_channel *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    list_init(&c->watches);
    c->resolver = r;
    c->opened_ns = r->thread->now_ns;
    if (!init_ares(c, r->thread->config)) {
        free(c);
        return NULL;
    }
    c->trusted = is_trusted(c, r->thread->config);
    list_add(&r->channels, &c->link);
    return c;
}

static void close_channel(struct dns_channel *c)
{
    ares_destroy(c->ares);
    CHECK(list_empty(&c->watches) && c->asked == 0);
    list_remove(&c->link);
    if (c->resolver->current == c)
        c->resolver->current = NULL;
    free(c);
}

/* The channel for the next question. An old one goes on with what it was asked. */
static struct dns_channel *channel_now(struct dns_resolver *r)
{
    struct dns_channel *old = r->current, *fresh;

    if (old && r->thread->now_ns - old->opened_ns < channel_ns)
        return old;
    fresh = open_channel(r);
    if (!fresh)
        return old;
    r->current = fresh;
    if (old && old->asked == 0)
        close_channel(old);
    return fresh;
}

/* --- time --------------------------------------------------------------- */

static void on_tick(struct timer *timer);

static void set_tick(struct dns_resolver *r)
{
    if (!list_linked(&r->tick.link))
        timer_set(r->thread, &r->tick, r->thread->now_ns + tick_ns, on_tick);
}

/* As long as anything is under way; true: something is. */
static bool tick_channel(struct dns_channel *c)
{
    if (c->asked > 0)
        ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (c->asked == 0 && c != c->resolver->current) {
        close_channel(c);
        return false;
    }
    list_each(link, &c->watches)
        arm(container_of(link, struct watch, link));
    return c->asked > 0;
}

static void on_tick(struct timer *timer)
{
    struct dns_resolver *r = container_of(timer, struct dns_resolver, tick);
    bool more = false;

    list_each_safe(link, after, &r->channels) {
        more |= tick_channel(container_of(link, struct dns_channel, link));
    }
    if (more)
        set_tick(r);
}

/* --- questions ---------------------------------------------------------- */

static const char *why_of(int status)
{
    switch (status) {
    case ARES_ETIMEOUT:
        return "no DNS server answered in time";
    case ARES_ENOMEM:
        return "out of memory";
    case ARES_EBADRESP:
    case ARES_EFORMERR:
        return "malformed answer";
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
    case ARES_ECONNREFUSED: /* said of SERVFAIL too when no server is left */
        return "the DNS servers could not answer (SERVFAIL, REFUSED or unreachable)";
    default:
        return ares_strerror(status);
    }
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct dns_question *q = arg;

    (void)timeouts;
    q->channel->asked--;
    if (status == ARES_SUCCESS && bytes && len > 0)
        q->heard(q, slice_of((const char *)bytes, (size_t)len), "");
    else
        q->heard(q, S(""), why_of(status));
}

struct dns_resolver *dns_resolver_open(struct thread *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct dns_resolver *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    pthread_once(&once, library_init);
    list_init(&r->channels);
    r->thread = t;
    return r;
}

void dns_resolver_close(struct dns_resolver *r)
{
    timer_clear(&r->tick);
    list_each_safe(link, after, &r->channels) {
        close_channel(container_of(link, struct dns_channel, link));
    }
    while (r->ending)
        thread_wait(r->thread);
    free(r);
}

/* c-ares learns at a server's first FORMERR that there is no EDNS to be had, and gives it
 * up for the channel: a question with it would fail. */
static bool has_edns(const struct dns_channel *c)
{
    struct ares_options o = {0};
    int mask;
    bool has = false;

    if (ares_save_options(c->ares, &o, &mask) == ARES_SUCCESS)
        has = (o.flags & ARES_FLAG_EDNS) != 0;
    ares_destroy_options(&o);
    return has;
}

/* What ares_query() would send, and AD. */
static int make_question(
    const struct dns_channel *c, const char *name, enum dns_type type, struct slice *out)
{
    unsigned char *bytes = NULL;
    int len = 0,
        status = ares_create_query(name, CLASS_IN, (int)type, (uint16_t)random_u64(), 1,
            &bytes, &len, has_edns(c) ? UDP_PAYLOAD : 0);

    if (status != ARES_SUCCESS)
        return status;
    bytes[3] |= AUTHENTIC;
    *out = slice_of((const char *)bytes, (size_t)len);
    return ARES_SUCCESS;
}

void dns_resolver_ask(
    struct dns_resolver *r, struct dns_question *q, const char *name, enum dns_type type)
{
    struct dns_channel *c = channel_now(r);
    struct slice bytes;
    int status;

    q->trusted = c && c->trusted;
    if (!c) {
        q->heard(q, S(""), "out of memory or descriptors");
        return;
    }
    status = make_question(c, name, type, &bytes);
    if (status != ARES_SUCCESS) {
        q->heard(q, S(""), why_of(status));
        return;
    }
    q->channel = c;
    c->asked++;
    set_tick(r);
    ares_send(c->ares, (const unsigned char *)bytes.at, (int)bytes.len, on_answer, q);
    ares_free_string((char *)(uintptr_t)bytes.at);
}
