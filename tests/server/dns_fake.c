#include "tests/server/dns_fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MESSAGE_MAX = 65535, LOG_MAX = 65536, PEERS_MAX = 32, NAME_MAX_TEXT = 256 };

struct message {
    uint8_t at[MESSAGE_MAX];
    size_t len;
    bool asks_ad; /* the question that it answers */
};

struct question {
    char name[NAME_MAX_TEXT];
    uint16_t type;
    size_t end; /* of the question in the query */
};

static struct {
    const struct dns_fake_rule *rules;
    int udp, stranger, tcp, stop[2];
    pthread_t thread;
    int peers[PEERS_MAX];
    pthread_mutex_t lock;
    struct {
        char name[64];
        uint16_t type;
    } log[LOG_MAX];
    unsigned log_count;
    atomic_uint over_tcp;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *name;
    uint16_t type;
} types[] = {{"A", 1}, {"CNAME", 5}, {"SOA", 6}, {"MX", 15}, {"AAAA", 28}, {"X", 99}};

static uint16_t type_of(const char *name)
{
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    abort();
}

/* --- writing ------------------------------------------------------------ */

static void put(struct message *m, const void *at, size_t len)
{
    if (len > MESSAGE_MAX - m->len)
        abort();
    memcpy(m->at + m->len, at, len);
    m->len += len;
}

static void put16(struct message *m, unsigned value)
{
    uint8_t octets[2] = {(uint8_t)(value >> 8), (uint8_t)value};

    put(m, octets, 2);
}

static void put32(struct message *m, uint32_t value)
{
    put16(m, value >> 16);
    put16(m, value & 0xffff);
}

static void put_label(struct message *m, const char *at, size_t len)
{
    uint8_t octets[64] = {(uint8_t)len};

    for (size_t i = 0; i < len; i++) {
        char c = at[i];

        octets[i + 1] = (uint8_t)(c == '~' ? 0 : c == '!' ? '\r' : c == '@' ? '.' : c);
    }
    if (len == 1 && *at == '#') {
        octets[0] = 63;
        memset(octets + 1, 'x', 63);
    }
    put(m, octets, octets[0] + 1u);
}

/* "" or ".": the root. */
static void put_name(struct message *m, const char *name)
{
    while (*name && strcmp(name, ".") != 0) {
        size_t len = strcspn(name, ".");

        put_label(m, name, len);
        name += len + (name[len] == '.');
    }
    put(m, "", 1);
}

static void put_data(struct message *m, uint16_t type, const char *data)
{
    uint8_t octets[16];
    char *rest;

    switch (type) {
    case 1:
    case 28:
        if (inet_pton(type == 1 ? AF_INET : AF_INET6, data, octets) != 1)
            abort();
        put(m, octets, type == 1 ? 4 : 16);
        break;
    case 15:
        put16(m, (unsigned)strtoul(data, &rest, 10));
        put_name(m, *rest ? rest + 1 : rest);
        break;
    case 5:
        put_name(m, data);
        break;
    case 6:
        put(m, "\0\0", 2);
        for (int i = 0; i < 4; i++)
            put32(m, 7);
        put32(m, (uint32_t)strtoul(data, NULL, 10));
        break;
    default:
        put(m, data, strlen(data));
    }
}

static void put_record(
    struct message *m, const char *owner, uint16_t type, uint32_t ttl_s, const char *data)
{
    size_t length_at;

    if (owner)
        put_name(m, owner);
    else
        put16(m, 0xc00c); /* the name of the question */
    put16(m, type);
    put16(m, 1);
    put32(m, ttl_s);
    length_at = m->len;
    put16(m, 0);
    put_data(m, type, data);
    m->at[length_at] = (uint8_t)((m->len - length_at - 2) >> 8);
    m->at[length_at + 1] = (uint8_t)(m->len - length_at - 2);
}

static void count_record(struct message *m, unsigned at)
{
    unsigned count = (unsigned)(m->at[at] << 8 | m->at[at + 1]) + 1;

    m->at[at] = (uint8_t)(count >> 8);
    m->at[at + 1] = (uint8_t)count;
}

static void put_records(struct message *m, const char *text)
{
    char copy[4096], *save, owner[NAME_MAX_TEXT] = "";

    if (!text)
        return;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *one = strtok_r(copy, "|", &save); one; one = strtok_r(NULL, "|", &save)) {
        char type[16] = "", data[1024] = "";
        unsigned ttl_s = 0;

        if (strcmp(one, "AD") == 0) {
            m->at[3] |= m->asks_ad ? 0x20 : 0;
            continue;
        }
        if (sscanf(one, "%15s %u %1023[^\n]", type, &ttl_s, data) < 2)
            abort();
        put_record(m, *owner ? owner : NULL, type_of(type), ttl_s, data);
        count_record(m, strcmp(type, "SOA") == 0 ? 8 : 6);
        if (strcmp(type, "CNAME") == 0)
            snprintf(owner, sizeof owner, "%.255s", data);
    }
}

static void put_many(struct message *m, unsigned count)
{
    char data[64];

    for (unsigned i = count; i-- > 0;) {
        snprintf(data, sizeof data, "%u m%u.many.test", i, i);
        put_record(m, NULL, 15, 60, data);
        count_record(m, 6);
    }
}

/* Records of a type that nobody asked for. */
static void pad(struct message *m)
{
    char text[1001];

    memset(text, 'p', sizeof text);
    text[1000] = 0;
    while (m->len + 12 <= MESSAGE_MAX) {
        size_t room = MESSAGE_MAX - m->len - 12;

        text[room < 1000 ? room : 1000] = 0;
        put_record(m, NULL, 99, 60, text);
        count_record(m, 6);
    }
}

/* --- reading ------------------------------------------------------------ */

static bool read_question(const uint8_t *at, size_t len, struct question *q)
{
    size_t i = 12, n = 0;

    if (len < 17)
        return false;
    while (i < len && at[i]) {
        if (at[i] > 63 || i + at[i] + 1u >= len || n + at[i] + 2u > sizeof q->name)
            return false;
        if (n)
            q->name[n++] = '.';
        for (unsigned j = 1; j <= at[i]; j++)
            q->name[n++] = (char)at[i + j];
        i += at[i] + 1u;
    }
    q->name[n] = 0;
    if (i + 5 > len)
        return false;
    q->type = (uint16_t)(at[i + 1] << 8 | at[i + 2]);
    q->end = i + 5;
    return true;
}

static void note(const struct question *q)
{
    pthread_mutex_lock(&fake.lock);
    if (fake.log_count < LOG_MAX) {
        snprintf(fake.log[fake.log_count].name, 64, "%.63s", q->name);
        fake.log[fake.log_count++].type = q->type;
    }
    pthread_mutex_unlock(&fake.lock);
}

static bool matches(const char *pattern, const char *name)
{
    size_t len = strlen(name), tail = strlen(pattern);

    if (*pattern != '*')
        return strcasecmp(pattern, name) == 0;
    return len >= tail && strcasecmp(name + len - tail + 1, pattern + 1) == 0;
}

/* NULL: *known says whether there are rules for the name at all. */
static const struct dns_fake_rule *rule_of(const struct question *q, bool *known)
{
    *known = false;
    for (const struct dns_fake_rule *r = fake.rules; r->name; r++) {
        if (!matches(r->name, q->name))
            continue;
        if (!r->type || type_of(r->type) == q->type)
            return r;
        *known = true;
    }
    return NULL;
}

/* --- answers ------------------------------------------------------------ */

static void begin(
    struct message *m, const uint8_t *query, const struct question *q, unsigned rcode)
{
    m->len = 0;
    m->asks_ad = query[3] & 0x20;
    put(m, query, q->end);
    m->at[2] = 0x81;                    /* an answer; recursion was desired ... */
    m->at[3] = (uint8_t)(0x80 | rcode); /* ... and is available */
    m->at[4] = 0;
    m->at[5] = 1;
    memset(m->at + 6, 0, 6);
}

static void compose(struct message *m, const uint8_t *query, const struct question *q,
    const struct dns_fake_rule *r, bool tcp)
{
    switch (r->how) {
    case FAKE_SERVFAIL:
        begin(m, query, q, 2);
        return;
    case FAKE_REFUSED:
        begin(m, query, q, 5);
        return;
    case FAKE_NXDOMAIN:
        begin(m, query, q, 3);
        put_records(m, r->records);
        return;
    case FAKE_NO_EDNS:
        begin(m, query, q, query[11] ? 1 : 0);
        if (!query[11])
            put_records(m, r->records);
        return;
    case FAKE_MANY_MX:
        begin(m, query, q, 0);
        if (tcp)
            put_many(m, r->count);
        else
            m->at[2] |= 2;
        return;
    case FAKE_CUT:
    case FAKE_64K:
        begin(m, query, q, 0);
        if (tcp)
            put_records(m, r->records);
        else
            m->at[2] |= 2;
        if (tcp && r->how == FAKE_64K)
            pad(m);
        return;
    case FAKE_HALF:
        begin(m, query, q, 0);
        put_records(m, r->records);
        m->len = q->end + (m->len - q->end) / 2;
        return;
    case FAKE_UPPER:
        begin(m, query, q, 0);
        for (size_t i = 12; i < q->end - 4; i++)
            if (m->at[i] >= 'a' && m->at[i] <= 'z')
                m->at[i] = (uint8_t)(m->at[i] - 32);
        put_records(m, r->records);
        return;
    case FAKE_ANSWER:
    case FAKE_SILENT:
    case FAKE_OTHER_ID:
    case FAKE_OTHER_QUESTION:
    case FAKE_OTHER_PORT:
    case FAKE_OTHER_ONLY:
    case FAKE_EMPTY:
        begin(m, query, q, 0);
        put_records(m, r->records);
        return;
    }
}

/* What comes before the right answer, and lies: an address that nobody wants. */
static void send_lie(enum dns_fake_how how, const uint8_t *query,
    const struct question *q, const struct sockaddr_in *to)
{
    static const struct dns_fake_rule lie = {
        .records = "MX 60 1 liar.test|A 60 203.0.113.66"};
    static struct message m;

    compose(&m, query, q, &lie, false);
    if (how == FAKE_OTHER_ID || how == FAKE_OTHER_ONLY)
        m.at[0] ^= 0x5a;
    else if (how == FAKE_OTHER_QUESTION)
        m.at[13] = m.at[13] == 'q' ? 'r' : 'q';
    else if (how == FAKE_EMPTY)
        m.len = 0;
    sendto(how == FAKE_OTHER_PORT ? fake.stranger : fake.udp, m.at, m.len, 0,
        (const struct sockaddr *)to, sizeof *to);
}

static bool lies(enum dns_fake_how how)
{
    return how == FAKE_OTHER_ID || how == FAKE_OTHER_QUESTION || how == FAKE_OTHER_PORT ||
        how == FAKE_OTHER_ONLY || how == FAKE_EMPTY;
}

/* False: nothing is to be sent. */
static bool answer(const uint8_t *query, size_t len, struct message *m,
    const struct sockaddr_in *udp_peer)
{
    const struct dns_fake_rule *r;
    struct question q;
    bool known;

    if (!read_question(query, len, &q))
        return false;
    note(&q);
    r = rule_of(&q, &known);
    if (!r) {
        begin(m, query, &q, known ? 0 : 3);
        return true;
    }
    if (udp_peer && lies(r->how))
        send_lie(r->how, query, &q, udp_peer);
    if (r->how == FAKE_SILENT || r->how == FAKE_OTHER_ONLY)
        return false;
    compose(m, query, &q, r, !udp_peer);
    return true;
}

/* --- sockets ------------------------------------------------------------ */

static void serve_udp(void)
{
    static struct message m;
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    uint8_t query[1500];
    ssize_t n =
        recvfrom(fake.udp, query, sizeof query, 0, (struct sockaddr *)&from, &from_len);

    if (n > 0 && answer(query, (size_t)n, &m, &from))
        sendto(fake.udp, m.at, m.len, 0, (struct sockaddr *)&from, from_len);
}

static bool read_all(int fd, uint8_t *at, size_t len)
{
    while (len) {
        ssize_t n = recv(fd, at, len, 0);

        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* One question of a TCP peer; false: it has gone. */
static bool serve_tcp(int fd)
{
    static struct message m;
    uint8_t query[1500], head[2];
    size_t len, sent = 0;

    if (!read_all(fd, head, 2))
        return false;
    len = (size_t)(head[0] << 8 | head[1]);
    if (len > sizeof query || !read_all(fd, query, len))
        return false;
    fake.over_tcp++;
    if (!answer(query, len, &m, NULL))
        return true;
    head[0] = (uint8_t)(m.len >> 8);
    head[1] = (uint8_t)m.len;
    if (send(fd, head, 2, MSG_NOSIGNAL) != 2)
        return false;
    while (sent < m.len) {
        ssize_t n = send(fd, m.at + sent, m.len - sent, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

static void take_peer(void)
{
    int fd = accept(fake.tcp, NULL, NULL);

    for (unsigned i = 0; i < PEERS_MAX; i++)
        if (fake.peers[i] < 0) {
            fake.peers[i] = fd;
            return;
        }
    close(fd);
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        struct pollfd fds[3 + PEERS_MAX] = {
            {fake.stop[0], POLLIN, 0}, {fake.udp, POLLIN, 0}, {fake.tcp, POLLIN, 0}};

        for (unsigned i = 0; i < PEERS_MAX; i++)
            fds[3 + i] = (struct pollfd){fake.peers[i], POLLIN, 0};
        if (poll(fds, 3 + PEERS_MAX, -1) < 0 && errno != EINTR)
            abort();
        if (fds[0].revents)
            return NULL;
        if (fds[1].revents)
            serve_udp();
        if (fds[2].revents)
            take_peer();
        for (unsigned i = 0; i < PEERS_MAX; i++)
            if (fake.peers[i] >= 0 && fds[3 + i].revents && fds[3 + i].fd >= 0 &&
                !serve_tcp(fake.peers[i])) {
                close(fake.peers[i]);
                fake.peers[i] = -1;
            }
    }
}

static int bound(int type, uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof in) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)&in, &len);
    *port = ntohs(in.sin_port);
    return fd;
}

uint16_t dns_fake_start(const struct dns_fake_rule *rules)
{
    uint16_t port = 0, other = 0;
    int room = 4 << 20;

    fake.rules = rules;
    fake.log_count = 0;
    fake.over_tcp = 0;
    memset(fake.peers, 0xff, sizeof fake.peers);
    fake.stranger = bound(SOCK_DGRAM, &other);
    do { /* a port that is free for both */
        port = 0;
        fake.tcp = bound(SOCK_STREAM, &port);
        fake.udp = bound(SOCK_DGRAM, &port);
        if (fake.udp < 0)
            close(fake.tcp);
    } while (fake.udp < 0);
    setsockopt(fake.udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (fake.stranger < 0 || listen(fake.tcp, 16) != 0 || pipe(fake.stop) != 0 ||
        pthread_create(&fake.thread, NULL, serve, NULL) != 0)
        abort();
    return port;
}

void dns_fake_stop(void)
{
    if (write(fake.stop[1], "", 1) != 1)
        abort();
    pthread_join(fake.thread, NULL);
    for (unsigned i = 0; i < PEERS_MAX; i++)
        if (fake.peers[i] >= 0)
            close(fake.peers[i]);
    close(fake.udp);
    close(fake.stranger);
    close(fake.tcp);
    close(fake.stop[0]);
    close(fake.stop[1]);
}

unsigned dns_fake_asked(const char *name, const char *type)
{
    unsigned count = 0;

    pthread_mutex_lock(&fake.lock);
    for (unsigned i = 0; i < fake.log_count; i++)
        count += (!name || strcasecmp(fake.log[i].name, name) == 0) &&
            (!type || fake.log[i].type == type_of(type));
    pthread_mutex_unlock(&fake.lock);
    return count;
}

unsigned dns_fake_asked_tcp(void)
{
    return fake.over_tcp;
}
