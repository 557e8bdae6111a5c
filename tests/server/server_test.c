#include "tests/server/server_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

uint16_t server_ports[PORTS];
static struct listener listeners[PORTS];
static _Atomic unsigned clients; /* since the server began */

static void log_line(int level, const char *event, const char *text)
{
    if (level < 5)
        fprintf(stderr, "%s %s\n", event, text);
}

struct process *server_begin(void (*change)(struct process_conf *conf))
{
    char why[512] = "";
    struct process_conf conf = {.threads = 2,
        .listeners = listeners,
        .listener_count = PORTS,
        .per_address_max = 100000,
        .drain_s = 2,
        .log = log_line};
    struct process *p;

    memset(listeners, 0, sizeof listeners);
    for (unsigned i = 0; i < PORTS; i++) {
        assert_true(address_parse(S("127.0.0.1:0"), &listeners[i].address));
        snprintf(listeners[i].text, sizeof listeners[i].text, "127.0.0.1:0");
        listeners[i].protocol = PROTO_IMAP;
        listeners[i].implicit_tls = i == PORT_TLS;
        listeners[i].calls = &echo_calls;
    }
    if (change)
        change(&conf);
    p = process_open(&conf, why, sizeof why);
    if (!p || !process_start(p, why, sizeof why))
        fail_msg("%s", why);
    for (unsigned i = 0; i < PORTS; i++)
        server_ports[i] = listeners[i].address.port;
    clients = echo_opened = echo_closed = echo_stopped = 0;
    return p;
}

void server_end(struct process *p)
{
    assert_true(process_stop(p));
    assert_int_equal(echo_opened, echo_closed);
    assert_int_equal(echo_lent, 0);
}

static void moment(void)
{
    struct timespec ts = {0, 2000000};

    nanosleep(&ts, NULL);
}

bool wait_for_count(_Atomic unsigned *at, unsigned wanted)
{
    for (int i = 0; i < 2500 && *at != wanted; i++)
        moment();
    return *at == wanted;
}

/* All clients have been accepted, and so many connections are open. One that moves is
 * counted nowhere for a moment, but its session is open. */
static bool are_open(struct process *p, uint64_t wanted)
{
    struct thread_stats sum = {0};

    for (unsigned i = 0; i < process_threads(p); i++) {
        struct thread_stats stats;

        process_stats(p, i, &stats);
        sum.connections += stats.connections;
        sum.accepted += stats.accepted;
    }
    return sum.accepted >= clients && sum.connections == wanted &&
        echo_opened - echo_closed <= wanted;
}

bool wait_for_connections(struct process *p, uint64_t wanted)
{
    bool good = are_open(p, wanted);

    for (int i = 0; i < 2500 && !good; i++) {
        moment();
        good = are_open(p, wanted);
    }
    return good;
}

int client_open(unsigned port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(server_ports[port])};
    struct timeval ten = {10, 0};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ten, sizeof ten);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    clients++;
    return fd;
}

void client_send_bytes(int fd, const void *at, size_t len)
{
    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        assert_true(n > 0);
        at = (const char *)at + n;
        len -= (size_t)n;
    }
}

void client_send(int fd, const char *text)
{
    client_send_bytes(fd, text, strlen(text));
}

/* Whoever stops this process and lets it go on interrupts a call with a time limit. */
static ssize_t receive(int fd, char *at, size_t len)
{
    ssize_t n;

    do
        n = recv(fd, at, len, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

bool client_read(int fd, char *at, size_t len)
{
    while (len) {
        ssize_t n = receive(fd, at, len);

        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

const char *client_line(int fd)
{
    static _Thread_local char line[4096];
    size_t len = 0;

    while (len < sizeof line - 1) {
        ssize_t n = receive(fd, line + len, 1);

        if (n < 0)
            return NULL;
        if (n == 0 || line[len++] == '\n')
            break;
    }
    line[len] = 0;
    return line;
}

bool client_at_end(int fd)
{
    char byte;

    return receive(fd, &byte, 1) == 0;
}

/* jemalloc's, where that is linked. */
int mallctl(const char *name, void *old, size_t *old_len, void *fresh, size_t fresh_len)
    __attribute__((weak));

size_t heap_in_use(void)
{
    uint64_t epoch = 1;
    size_t bytes = 0, len = sizeof bytes;

    if (!mallctl)
        return mallinfo2().uordblks;
    mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    mallctl("stats.allocated", &bytes, &len, NULL, 0);
    return bytes;
}
