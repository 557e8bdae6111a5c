#include "tests/server/hop_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/tls.h"
#include "store/store.h"

char peer_why[HOP_TEXT_MAX + 1], peer_text[HOP_TEXT_MAX + 1], peer_tls_text[64];
bool peer_dsn_relayed, peer_by_relayed;

static char folder[64];
static struct config *config;
static struct process *process;
static pthread_t stopper;
static SSL_CTX *server_ctx;

/* --- the process ---------------------------------------------------------- */

static void log_line(int level, const char *event, const char *text)
{
    if (level < 5)
        fprintf(stderr, "%s %s\n", event, text);
}

static void make_certificates(void)
{
    char command[2048];

    snprintf(command, sizeof command,
        "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem "
        "-days 30 -subj /CN=authority >/dev/null 2>&1 && "
        "openssl req -newkey rsa:2048 -nodes -keyout mx.key -out mx.csr "
        "-subj /CN=mx.test >/dev/null 2>&1 && "
        "echo 'subjectAltName=DNS:mx.test,IP:127.0.0.1' > ext && "
        "openssl x509 -req -in mx.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
        "-days 30 -extfile ext -out mx.pem >/dev/null 2>&1",
        folder);
    assert_int_equal(system(command), 0);
}

const char *peer_authority(void)
{
    static char path[96];

    snprintf(path, sizeof path, "%s/ca.pem", folder);
    return path;
}

struct config *peer_config(void)
{
    return config;
}

void peer_begin(void)
{
    static char data[96];
    char why[512] = "";
    struct process_conf conf = {
        .threads = 1,
        .shards = 1,
        .drain_s = 2,
        .log = log_line,
        .data = data,
        .store = {.segment_bytes = 16 << 20,
            .recent_bytes = 4 << 20,
            .index_bytes = 4 << 20,
            .checkpoint_bytes = 64 << 20,
            .compact_percent = 150,
            .mailboxes_max = 100,
            .keywords_max = 64},
    };

    signal(SIGPIPE, SIG_IGN);
    snprintf(folder, sizeof folder, "/var/tmp/ringmail-test-hop-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(data, sizeof data, "%s/data", folder);
    make_certificates();
    config = config_new();
    assert_non_null(config);
    free(config->hostname);
    config->hostname = strdup("client.test");
    config->hop_timeout = 20;
    config->hop_connect_timeout = 20;
    config->hop_data_timeout = 20;
    conf.config = config;
    process = process_open(&conf, why, sizeof why);
    if (!process || !process_start(process, why, sizeof why))
        fail_msg("%s", why);
    if (!tls_authorities_load(peer_authority(), why, sizeof why))
        fail_msg("%s", why);
}

static bool stopped_well;

static void *stop_process(void *arg)
{
    (void)arg;
    stopped_well = process_stop(process);
    return NULL;
}

void peer_end(void)
{
    char command[128];

    if (process)
        assert_true(process_stop(process));
    SSL_CTX_free(server_ctx);
    config_free(config);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static void moment(void)
{
    struct timespec ts = {0, 1000000};

    nanosleep(&ts, NULL);
}

static void wait_for(_Atomic bool *flag)
{
    for (int i = 0; i < 60000 && !*flag; i++)
        moment();
    assert_true(*flag);
}

/* --- the message ---------------------------------------------------------- */

static const char return_path[] = "Return-Path: <a@from.test>\r\n";

static struct {
    struct store *store;
    struct slice all; /* with Return-Path */
    uint64_t body;
    unsigned chunk, chunk_count;
    uint64_t places[1024];
    uint32_t bytes[1024];
    struct store_chunk part;
    struct store_message message;
    struct store_target target;
    struct user_open user;
    struct mailbox_open mailbox;
    _Atomic bool stored;
} mail;

static void no_news(struct view *view)
{
    (void)view;
}

static void on_mailbox(struct store_op *op, enum status status)
{
    struct view view = {0};
    struct entry entry = {0};

    (void)op;
    CHECK(status == STATUS_OK);
    view_open(&view, mail.mailbox.mailbox, true, no_news);
    CHECK(view.count > 0 && view_entry(&view, view.count, &entry));
    CHECK(entry.size == mail.all.len);
    mail.body = entry.body;
    view_close(&view);
    mailbox_close(mail.mailbox.mailbox);
    user_close(mail.user.user);
    mail.stored = true;
}

static void on_user(struct store_op *op, enum status status)
{
    (void)op;
    CHECK(status == STATUS_OK);
    mail.mailbox = (struct mailbox_open){.op.done = on_mailbox, .name = S("INBOX")};
    mailbox_open(mail.user.user, &mail.mailbox);
}

static void on_message(struct store_op *op, enum status status)
{
    (void)op;
    CHECK(status == STATUS_OK);
    mail.user = (struct user_open){.op.done = on_user, .name = S("u@x.test")};
    user_open(mail.store, &mail.user);
}

static void put_message(struct slice head, struct slice tail)
{
    mail.target = (struct store_target){.user = S("u@x.test")};
    mail.message = (struct store_message){.op.done = on_message,
        .head = head,
        .chunks = mail.places,
        .chunk_bytes = mail.bytes,
        .chunk_count = mail.chunk_count,
        .tail = tail,
        .size = mail.all.len,
        .targets = &mail.target,
        .target_count = 1};
    store_message(mail.store, &mail.message);
}

static void put_chunk(void);

static void on_chunk(struct store_op *op, enum status status)
{
    (void)op;
    CHECK(status == STATUS_OK);
    mail.places[mail.chunk] = mail.part.place;
    mail.bytes[mail.chunk++] = (uint32_t)mail.part.bytes.len;
    put_chunk();
}

/* Return-Path is the head, the rest goes in chunks and the tail. */
static void put_chunk(void)
{
    size_t head = sizeof return_path - 1;
    size_t at = head + (size_t)mail.chunk * STORE_CHUNK_BYTES;

    if (mail.chunk == mail.chunk_count) {
        put_message(
            slice_of(mail.all.at, head), slice_of(mail.all.at + at, mail.all.len - at));
        return;
    }
    mail.part = (struct store_chunk){
        .op.done = on_chunk, .bytes = slice_of(mail.all.at + at, STORE_CHUNK_BYTES)};
    store_chunk(mail.store, &mail.part);
}

static void store_now(struct thread *t, void *arg)
{
    (void)arg;
    mail.store = shard_store(t, 0);
    mail.chunk = 0;
    mail.chunk_count =
        (unsigned)((mail.all.len - (sizeof return_path - 1)) / STORE_CHUNK_BYTES);
    CHECK(mail.chunk_count <= 1024);
    put_chunk();
}

void peer_store(struct slice text)
{
    size_t head = sizeof return_path - 1;
    char *all = malloc(head + text.len);

    free((void *)(uintptr_t)mail.all.at);
    memcpy(all, return_path, head);
    if (text.len)
        memcpy(all + head, text.at, text.len);
    mail.all = slice_of(all, head + text.len);
    mail.stored = false;
    process_run(process, 0, store_now, NULL);
    wait_for(&mail.stored);
}

static struct slice sent_text(void)
{
    size_t head = sizeof return_path - 1;

    return slice_of(mail.all.at + head, mail.all.len - head);
}

/* --- the client ----------------------------------------------------------- */

static struct {
    const struct peer_case *c;
    struct mx_host hosts[PEER_HOSTS_MAX];
    struct hop_conf conf;
    struct envelope envelope;
    struct hop_message message;
    struct hop_rcpt rcpts[PEER_RCPTS_MAX];
    unsigned left; /* messages */
    char result[4096];
    size_t len;
    _Atomic bool closed;
} run;

static struct {
    int fd;
    SSL *ssl;
    const struct peer_ways *ways;
    char trouble[1024];
} peer;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void add(const char *format, ...)
{
    va_list list;
    int n;

    va_start(list, format);
    n = vsnprintf(run.result + run.len, sizeof run.result - run.len, format, list);
    va_end(list);
    if (n > 0)
        run.len += (size_t)n;
    CHECK(run.len < sizeof run.result);
}

static void add_answer(const struct hop_answer *a)
{
    add("%u %u.%u.%u%s", (unsigned)a->code, (unsigned)a->status[0],
        (unsigned)a->status[1], (unsigned)a->status[2], a->ours ? " ours" : "");
    for (unsigned i = 0; i < a->len; i++)
        CHECK(a->text[i] >= 0x20 && a->text[i] < 0x7f);
}

static void send_next(struct hop *h)
{
    static const struct envelope_rcpt plain = {.address = {"to@mx.test", 10}};
    const struct envelope *e = run.c->envelope;

    run.envelope = e ? *e : (struct envelope){.sender = S("a@from.test")};
    run.envelope.text_at = sizeof return_path - 1;
    run.message = (struct hop_message){.envelope = &run.envelope,
        .sender = run.envelope.sender,
        .store = mail.store,
        .body = mail.body,
        .size = mail.all.len,
        .rcpts = run.rcpts,
        .rcpt_count = e && e->rcpt_count ? e->rcpt_count : 1,
        .owner = &run};
    if (run.envelope.by_s)
        run.envelope.by_s += time(NULL);
    CHECK(run.message.rcpt_count <= PEER_RCPTS_MAX);
    for (unsigned i = 0; i < run.message.rcpt_count; i++)
        run.rcpts[i] =
            (struct hop_rcpt){.rcpt = e && e->rcpt_count ? &e->rcpts[i] : &plain};
    run.left--;
    hop_send(h, &run.message);
}

static void on_ready(struct hop *h)
{
    struct slice tls = hop_tls_text(h, peer_tls_text, sizeof peer_tls_text - 1);

    peer_tls_text[tls.len] = 0;
    CHECK(hop_owner(h) == &run);
    send_next(h);
    if (peer.ways->gives_up)
        hop_abort(h);
}

static void on_sent(struct hop *h, struct hop_message *m)
{
    CHECK(m == &run.message && m->owner == &run);
    if (m->unsure)
        add("unsure ");
    for (unsigned i = 0; i < m->rcpt_count; i++) {
        CHECK(m->rcpts[i].answer);
        if (i)
            add(",");
        add_answer(m->rcpts[i].answer);
    }
    snprintf(peer_text, sizeof peer_text, "%.*s", (int)m->rcpts[0].answer->len,
        m->rcpts[0].answer->text);
    peer_dsn_relayed = m->dsn_relayed;
    peer_by_relayed = m->by_relayed;
    add(";");
    if (run.left && hop_usable(h))
        send_next(h);
    else if (!peer.ways->stays)
        hop_quit(h);
}

static void on_closed(struct hop *h, const struct hop_answer *why)
{
    CHECK(hop_host(h)->name);
    add_answer(why);
    snprintf(peer_why, sizeof peer_why, "%.*s", (int)why->len, why->text);
    run.closed = true;
}

static const struct hop_calls calls = {on_ready, on_sent, on_closed};

static void open_now(struct thread *t, void *arg)
{
    (void)arg;
    CHECK(hop_open(t, &run.conf, &calls, &run));
}

/* --- the peer ------------------------------------------------------------- */

static void trouble(const char *what, const char *at)
{
    if (!peer.trouble[0])
        snprintf(peer.trouble, sizeof peer.trouble, "- %s: %.900s", what, at);
}

static ssize_t get(char *at, size_t len)
{
    ssize_t n;

    if (peer.ssl)
        return SSL_read(peer.ssl, at, (int)len);
    do
        n = recv(peer.fd, at, len, 0);
    while (n < 0 && errno == EINTR); /* stopped and let go on, with a time limit */
    return n;
}

static bool put(const char *at, size_t len)
{
    while (len) {
        ssize_t n = peer.ssl ? SSL_write(peer.ssl, at, (int)len)
                             : send(peer.fd, at, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool say(const char *text)
{
    char line[80000];
    size_t len = (size_t)snprintf(line, sizeof line, "%s\r\n", text);
    size_t cut = peer.ways->cut;

    if (peer.ways->octets) {
        for (size_t i = 0; i < len; i++)
            if (!put(line + i, 1))
                return false;
        return true;
    }
    if (cut == 0 || cut >= len)
        return put(line, len);
    if (!put(line, cut))
        return false;
    moment();
    return put(line + cut, len - cut);
}

/* Without its line end; false: there is none. */
static bool hear(char *line, size_t cap)
{
    size_t len = 0;

    while (len + 1 < cap && get(line + len, 1) == 1)
        if (line[len++] == '\n')
            break;
    line[len] = 0;
    if (len < 2 || line[len - 1] != '\n' || line[len - 2] != '\r')
        return false;
    line[len - 2] = 0;
    return true;
}

static bool hear_exactly(const char *wanted, bool prefix)
{
    char line[8192];

    if (!hear(line, sizeof line)) {
        trouble("the client went away before", wanted);
        return false;
    }
    if (prefix ? strncmp(line, wanted, strlen(wanted)) == 0 : strcmp(line, wanted) == 0)
        return true;
    trouble(wanted, line);
    return false;
}

static void difference(const char *text, size_t len, struct slice want)
{
    char where[64];
    size_t at = 0;

    while (at < len && at < want.len && text[at] == want.at[at])
        at++;
    snprintf(where, sizeof where, "%zu octets, not %zu, and the first is number %zu", len,
        want.len, at);
    trouble("another text", where);
}

/* All up to the lone dot, which goes, and the dots that were doubled; NULL: there is no
 * end. The CR LF in front of the lone dot stays. Nothing behind it may be read. */
static char *read_raw(size_t at_least, size_t *len)
{
    size_t cap = 3 * at_least + 65536, n = 0, in = 0;
    char *raw = malloc(cap);

    while (!(n >= 3 && memcmp(raw + n - 3, ".\r\n", 3) == 0 &&
        (n == 3 || (n >= 5 && memcmp(raw + n - 5, "\r\n", 2) == 0)))) {
        size_t some = at_least > n + 65536 ? 32768 : 1;
        ssize_t got = n + some <= cap ? get(raw + n, some) : 0;

        if (got <= 0) {
            trouble("no end of the text", "");
            free(raw);
            return NULL;
        }
        n += (size_t)got;
    }
    for (size_t i = 0; i + 3 < n; i++) {
        if (raw[i] == '.' && (i == 0 || raw[i - 1] == '\n'))
            i++;
        raw[in++] = raw[i];
    }
    raw[in] = 0;
    *len = in;
    return raw;
}

/* A text whose last line has no end gets one. */
static bool read_text(void)
{
    struct slice want = sent_text();
    size_t len = 0;
    char *text = read_raw(want.len, &len);
    bool good = text != NULL;

    if (good && len == want.len + 2)
        len -= 2;
    if (good && (len != want.len || (len && memcmp(text, want.at, len) != 0))) {
        difference(text, len, want);
        good = false;
    }
    free(text);
    return good;
}

static bool read_seven(const char *words)
{
    size_t len = 0;
    char *text = read_raw(sent_text().len, &len);
    bool good = text && memmem(text, len, words, strlen(words)) != NULL;

    for (size_t i = 0; good && i < len; i++)
        good = (unsigned char)text[i] < 0x80 && text[i] != 0;
    if (text && !good)
        trouble(words, text);
    free(text);
    return good;
}

/* What BDAT announces is the text, octet for octet. */
static bool read_chunk(void)
{
    struct slice want = sent_text();
    char line[128], wanted[128], *text = malloc(want.len + 1);
    size_t len = 0;
    bool good;

    snprintf(wanted, sizeof wanted, "BDAT %zu LAST", want.len);
    good = hear(line, sizeof line) && strcmp(line, wanted) == 0;
    if (!good)
        trouble("no BDAT", line);
    while (good && len < want.len) {
        ssize_t n = get(text + len, want.len - len < 32768 ? want.len - len : 32768);

        good = n > 0;
        len += good ? (size_t)n : 0;
    }
    if (good && want.len && memcmp(text, want.at, len) != 0) {
        difference(text, len, want);
        good = false;
    }
    free(text);
    return good;
}

static bool begin_tls(void)
{
    char path[96];

    if (!server_ctx) {
        server_ctx = SSL_CTX_new(TLS_method());
        snprintf(path, sizeof path, "%s/mx.pem", folder);
        SSL_CTX_use_certificate_chain_file(server_ctx, path);
        snprintf(path, sizeof path, "%s/mx.key", folder);
        SSL_CTX_use_PrivateKey_file(server_ctx, path, SSL_FILETYPE_PEM);
    }
    peer.ssl = SSL_new(server_ctx);
    SSL_set_fd(peer.ssl, peer.fd);
    if (SSL_accept(peer.ssl) == 1)
        return true;
    trouble("no handshake", "");
    return false;
}

static bool hear_end(void)
{
    char line[1024];

    if (!hear(line, sizeof line) && line[0] == 0)
        return true;
    trouble("more after the end", line);
    return false;
}

static bool step(const char *s)
{
    if (strncmp(s, "> ", 2) == 0)
        return say(s + 2);
    if (strncmp(s, "< ", 2) == 0)
        return hear_exactly(s + 2, false);
    if (strncmp(s, "<* ", 3) == 0)
        return hear_exactly(s + 3, true);
    if (strcmp(s, "text") == 0)
        return read_text();
    if (strncmp(s, "seven ", 6) == 0)
        return read_seven(s + 6);
    if (strcmp(s, "chunk") == 0)
        return read_chunk();
    if (strcmp(s, "some") == 0)
        return get((char[1024]){0}, 1024) > 0;
    if (strcmp(s, "tls") == 0)
        return begin_tls();
    if (strcmp(s, "eof") == 0)
        return hear_end();
    if (strcmp(s, "stop") == 0)
        return pthread_create(&stopper, NULL, stop_process, NULL) == 0;
    if (strcmp(s, "wait") == 0)
        for (int i = 0; i < 500; i++)
            moment();
    return true;
}

static void end_of_peer(bool reset)
{
    struct linger linger = {1, 0};

    if (reset)
        setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    if (peer.ssl && !reset)
        SSL_shutdown(peer.ssl);
    SSL_free(peer.ssl);
    peer.ssl = NULL;
    close(peer.fd);
}

/* False: the steps that the way allows are used up. */
static bool play_script(const char *const *script, unsigned *steps)
{
    for (; *script; script++) {
        if (peer.ways->steps && *steps == peer.ways->steps) {
            end_of_peer(peer.ways->resets);
            return false;
        }
        ++*steps;
        if (strcmp(*script, "same") == 0)
            continue;
        if (strcmp(*script, "reset") == 0) {
            end_of_peer(true);
            return true;
        }
        if (!step(*script))
            break;
    }
    end_of_peer(false);
    return true;
}

/* --- a run ---------------------------------------------------------------- */

static int listen_somewhere(struct mx_host *host, bool local, unsigned i)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    struct timeval ten = {10, 0};
    int fd;

    if (local) {
        struct sockaddr_un *un = (struct sockaddr_un *)&sa;
        static char paths[PEER_HOSTS_MAX][96];

        snprintf(paths[i], sizeof paths[i], "%s/peer%u", folder, i);
        unlink(paths[i]);
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, paths[i], strlen(paths[i]) + 1);
        host->address = (struct address){.family = AF_UNIX};
        host->name = paths[i];
    } else {
        assert_true(address_parse(S("127.0.0.1:0"), &host->address));
        len = address_sockaddr(&host->address, &sa);
    }
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ten, sizeof ten);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&sa, local ? sizeof(struct sockaddr_un) : len), 0);
    if (!local) {
        len = sizeof sa;
        getsockname(fd, (struct sockaddr *)&sa, &len);
        host->address = address_of(&sa);
    }
    return fd;
}

static void play_hosts(const struct peer_case *c, const int *fds)
{
    unsigned at = 0, steps = 0;

    for (unsigned i = 0; i < PEER_HOSTS_MAX && c->hosts[i]; i++) {
        const char *const *script = c->hosts[i];
        struct timeval ten = {10, 0};
        bool same = script[0] && strcmp(script[0], "same") == 0;

        if (i && !same)
            at++;
        if (!script[0])
            continue;
        peer.fd = accept(fds[at], NULL, NULL);
        if (peer.fd < 0) {
            trouble("nobody connects", c->name);
            return;
        }
        setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &ten, sizeof ten);
        if (!play_script(script, &steps))
            return;
    }
}

const char *peer_play(const struct peer_case *c, const struct peer_ways *ways)
{
    int fds[PEER_HOSTS_MAX];
    unsigned count = 0;

    memset(&run, 0, sizeof run);
    peer.ways = ways;
    peer.trouble[0] = 0;
    run.c = c;
    run.left = c->messages ? c->messages : 1;
    for (unsigned i = 0; i < PEER_HOSTS_MAX && c->hosts[i]; i++) {
        if (c->hosts[i][0] && strcmp(c->hosts[i][0], "same") == 0)
            continue;
        run.hosts[count].name = ways->host ? ways->host : "mx.test";
        fds[count] = listen_somewhere(&run.hosts[count], ways->local, count);
        if (c->hosts[i][0])
            assert_int_equal(listen(fds[count], 5), 0);
        count++;
    }
    run.conf = c->conf;
    run.conf.hosts = run.hosts;
    run.conf.host_count = count;
    process_run(process, 0, open_now, NULL);
    play_hosts(c, fds);
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    wait_for(&run.closed);
    if (stopper) {
        pthread_join(stopper, NULL);
        assert_true(stopped_well);
        process = NULL;
    }
    if (peer.trouble[0])
        add(" %s", peer.trouble);
    return run.result;
}

void peer_check(const struct peer_case *c, const struct peer_ways *ways)
{
    const char *result = peer_play(c, ways);

    if (strcmp(result, c->result) != 0)
        fail_msg("%s: %s (wanted %s; why: %s; text: %s)", c->name, result, c->result,
            peer_why, peer_text);
}

void peer_check_silence(const struct peer_case *c)
{
    const struct peer_ways plain = {0};
    int64_t begin_ns;
    unsigned tries = 0;
    bool good;

    do {
        begin_ns = clock_monotonic_ns();
        good = strcmp(peer_play(c, &plain), c->result) == 0;
    } while (!good && clock_monotonic_ns() - begin_ns > 1500000000 && ++tries < 5);
    if (!good)
        peer_check(c, &plain);
}

uint64_t peer_resumed(void)
{
    struct thread_stats stats;

    process_stats(process, 0, &stats);
    return stats.handshakes_resumed;
}
