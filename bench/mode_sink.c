/* mode_sink.c -- the other end of outbound mail: takes messages by SMTP or LMTP, counts
 * them, and forgets them. An operation is a message; its latency is how long it took to
 * come, from MAIL to the final dot.
 *
 * While an answer is delayed, those behind it wait in the same buffer, so their order
 * holds whatever the peer pipelines.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/mode.h"
#include "bench/reply.h"
#include "server/ring.h"

enum {
    OUT_BYTES = 65536,
    ANSWER_MAX = 512,
    BACKLOG = 4096,
    CLIENTS_MAX = 65536,
    SPARE = 64
};

struct session {
    struct lines lines;
    struct pop3_text text; /* ends like that of POP3 */
    bool in_text, lmtp, held;
    unsigned recipients; /* of the transaction */
    int64_t mail_ns;
};

struct sink {
    struct driver *driver;
    struct op accept;
    int fd;
    struct list free; /* clients without a connection */
    unsigned clients, most;
    uint64_t messages;
};

static size_t out_bytes(const struct options *o)
{
    (void)o;
    return OUT_BYTES;
}

/* --- answers -------------------------------------------------------------- */

static void answer(struct client *c, struct slice line)
{
    if (c->out.cap - c->out.len < ANSWER_MAX)
        client_drop(c); /* it asks and does not listen */
    else
        client_write(c, line);
}

static void answer_code(struct client *c, uint64_t code)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%llu %llu.0.0 %s\r\n", (unsigned long long)code,
        (unsigned long long)code / 100, code / 100 == 2 ? "Taken" : "As you wish");

    answer(c, slice_of(text, (size_t)n));
}

/* Messages that get --answer are spread evenly over all. */
static uint64_t code_of(struct client *c)
{
    const struct options *o = c->driver->bench->o;
    struct sink *sink = c->driver->extra;
    uint64_t n = sink->messages++;

    return (n + 1) * o->answer_share / 100 > n * o->answer_share / 100 ? o->answer : 250;
}

static void on_text_end(struct client *c)
{
    struct session *s = c->session;
    struct driver *d = c->driver;
    uint64_t code = code_of(c);
    unsigned answers = s->lmtp ? s->recipients : 1;

    s->in_text = false;
    d->tally.recipients += s->recipients;
    s->recipients = 0;
    client_counted(c, s->mail_ns);
    while (answers-- && !client_gone(c))
        answer_code(c, code);
    if (code == 421 && !client_gone(c))
        c->close_after = true;
    if (d->bench->o->delay_ns && !s->held && !client_gone(c)) {
        s->held = true;
        client_later(c, client_now(c) + d->bench->o->delay_ns);
    }
}

static void on_later(struct client *c)
{
    struct session *s = c->session;

    s->held = false;
    client_flush(c);
}

static void on_data(struct client *c)
{
    struct session *s = c->session;

    if (s->recipients == 0) {
        answer(c, S("503 5.5.1 No recipients\r\n"));
        return;
    }
    s->in_text = true;
    s->text = (struct pop3_text){0};
    answer(c, S("354 Go on\r\n"));
}

static void on_command(struct client *c, struct slice line)
{
    struct session *s = c->session;

    if (slice_starts_nocase(line, S("RCPT"))) {
        s->recipients++;
        answer(c, S("250 2.1.5 Good\r\n"));
    } else if (slice_starts_nocase(line, S("MAIL"))) {
        s->recipients = 0;
        s->mail_ns = client_now(c);
        answer(c, S("250 2.1.0 Good\r\n"));
    } else if (slice_starts_nocase(line, S("DATA"))) {
        on_data(c);
    } else if (slice_starts_nocase(line, S("EHLO")) ||
        slice_starts_nocase(line, S("LHLO"))) {
        s->lmtp = ascii_lower(line.at[0]) == 'l';
        answer(c,
            S("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
              "250 ENHANCEDSTATUSCODES\r\n"));
    } else if (slice_starts_nocase(line, S("HELO"))) {
        answer(c, S("250 sink\r\n"));
    } else if (slice_starts_nocase(line, S("QUIT"))) {
        answer(c, S("221 2.0.0 Goodbye\r\n"));
        c->close_after = true;
    } else if (slice_starts_nocase(line, S("RSET")) ||
        slice_starts_nocase(line, S("NOOP"))) {
        s->recipients = 0;
        answer(c, S("250 2.0.0 Good\r\n"));
    } else {
        answer(c, S("502 5.5.1 No such command here\r\n"));
    }
}

static void input(struct client *c, struct slice in)
{
    struct session *s = c->session;
    struct slice line;

    while (in.len && !client_gone(c) && !c->close_after) {
        if (s->in_text) {
            if (pop3_text_end(&s->text, &in))
                on_text_end(c);
        } else if (lines_next(&s->lines, &in, &line)) {
            on_command(c, line);
        }
    }
    if (!s->held)
        client_flush(c);
}

/* --- connections ---------------------------------------------------------- */

static void open_session(struct client *c)
{
    client_write(c, S("220 sink ESMTP ringmail-bench\r\n"));
    client_flush(c);
}

static void ended(struct client *c)
{
    struct sink *sink = c->driver->extra;

    list_add(&sink->free, &c->link);
}

static struct client *take_client(struct driver *d)
{
    struct sink *sink = d->extra;
    struct list *link = list_pop(&sink->free);
    struct client *c;

    if (link)
        return container_of(link, struct client, link);
    c = sink->clients < sink->most ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return NULL;
    if (!client_init(c, d, &mode_sink, &d->bench->o->listen, sink->clients)) {
        client_free(c);
        free(c);
        return NULL;
    }
    c->owned = true;
    list_add(&d->members, &c->member);
    sink->clients++;
    return c;
}

static void on_accept(struct op *op, int32_t res, uint32_t flags)
{
    struct sink *sink = container_of(op, struct sink, accept);
    struct driver *d = sink->driver;
    struct client *c = res >= 0 && d->phase != PHASE_LEAVE ? take_client(d) : NULL;

    if (c) {
        d->open++;
        client_adopt(c, res);
    } else if (res >= 0) {
        close(res); /* as many as it can have are there, or it is about to end */
    }
    if (flags & RING_MORE || res == -ECANCELED)
        return;
    op_start(op, on_accept);
    ring_accept(d->ring, op, sink->fd);
}

/* The port that was found free, where 0 was asked for. */
static void print_place(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    char text[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&sa;

    getsockname(fd, (struct sockaddr *)&sa, &len);
    if (sa.ss_family == AF_INET)
        fprintf(stderr, "ringmail-bench: listening on %s:%u\n",
            inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text), ntohs(v4->sin_port));
    else if (sa.ss_family == AF_INET6)
        fprintf(stderr, "ringmail-bench: listening on [%s]:%u\n",
            inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text), ntohs(v6->sin6_port));
}

/* Of the run before; anything else that is there stays, and is told of. */
static void unlink_socket(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}

/* With that many descriptors there is still one to accept and close the next with. */
static unsigned clients_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= CLIENTS_MAX + SPARE)
        return CLIENTS_MAX;
    return limit.rlim_cur > SPARE ? (unsigned)limit.rlim_cur - SPARE : 1;
}

static bool prepare(struct bench *b, struct out *why)
{
    const struct target *at = &b->o->listen;
    const struct sockaddr *sa = (const struct sockaddr *)&at->address;
    struct sink *sink = calloc(1, sizeof *sink);
    int one = 1;

    CHECK(sink);
    b->extra = sink;
    list_init(&sink->free);
    sink->most = clients_max();
    if (at->address.ss_family == AF_UNIX)
        unlink_socket(((const struct sockaddr_un *)sa)->sun_path);
    sink->fd = socket(at->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(sink->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (sink->fd < 0 || bind(sink->fd, sa, at->len) < 0 ||
        listen(sink->fd, BACKLOG) < 0) {
        out_str(why, "--listen ");
        out_str(why, at->text);
        out_str(why, ": ");
        out_str(why, strerror(errno));
        return false;
    }
    if (!b->o->quiet)
        print_place(sink->fd);
    return true;
}

/* The clients are those that connect; there are none before. */
static bool populate(struct driver *d)
{
    struct sink *sink = d->bench->extra;

    d->extra = sink;
    sink->driver = d;
    return true;
}

static void start(struct driver *d)
{
    struct sink *sink = d->extra;

    op_start(&sink->accept, on_accept);
    ring_accept(d->ring, &sink->accept, sink->fd);
}

static void never(struct client *c)
{
    (void)c; /* nobody gives operations to a sink */
}

const struct mode mode_sink = {
    .name = "sink",
    .session_bytes = sizeof(struct session),
    .holds = true,
    .bulk = true,
    .serves = true,
    .out_bytes = out_bytes,
    .prepare = prepare,
    .populate = populate,
    .start = start,
    .open = open_session,
    .input = input,
    .next = never,
    .later = on_later,
    .ended = ended,
};
