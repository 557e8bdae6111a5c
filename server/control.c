#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/admin.h"
#include "server/clock.h"
#include "server/control_stat.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/queue_control.h"
#include "server/removal.h"
#include "server/tls.h"

enum {
    CLIENTS_MAX = 16,
    REQUEST_MAX = 1024,
    REPLY_MAX = 192 << 10, /* fits a socket's buffer */
    CLIENT_S = 10,         /* a client that says nothing for so long is dropped */
    TICK_MS = 1000,        /* looking for such clients */
    ROTATE_S = 12 * 3600
};

struct client {
    int fd;     /* -1: free */
    bool waits; /* for removals */
    bool asked; /* the queue */
    int64_t until_s;
    size_t len;
    char request[REQUEST_MAX];
};

struct control {
    struct control_conf conf;
    struct accounts *accounts;
    struct removals *removals;
    struct queue_asks *asks;
    int listener, signals, wake;
    bool stopping;
    bool filled; /* process_fill_memory() */
    int watchdog_ms;
    int64_t watchdog_ns, rotated_s, started_s;
    struct client clients[CLIENTS_MAX];
};

enum { POLL_SIGNALS, POLL_LISTENER, POLL_WAKE, POLL_CLIENTS };

static int64_t seconds(void)
{
    return clock_monotonic_ns() / 1000000000;
}

/* --- snapshots --------------------------------------------------------- */

static void swap(struct thread *t, void *arg)
{
    admin_swap(t, arg);
}

static bool reload_accounts(struct control *c, struct out *why)
{
    struct accounts *fresh = accounts_load(c->conf.config, c->accounts, why);
    struct event e;

    if (!fresh)
        return false;
    process_run_all(c->conf.process, swap, fresh);
    accounts_drop(c->accounts); /* the last to let go: freeing takes its time */
    c->accounts = fresh;
    if (event_begin(&e, LEVEL_NOTICE, "reloaded")) {
        event_number(&e, "users", accounts_count(fresh));
        event_number(&e, "aliases", accounts_alias_count(fresh));
        event_end(&e);
    }
    return true;
}

bool control_load_tls(
    const struct config *config, struct process *process, struct out *why)
{
    struct tls_files files[TLS_FILES_MAX];
    char text[CONFIG_WHY_MAX] = "";
    unsigned count = config->tls_certs.count;

    if (count == 0)
        return true;
    if (count > TLS_FILES_MAX) {
        out_str(why, "--tls-cert: more certificates than this server takes");
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        files[i] = (struct tls_files){config->tls_certs.at[i], config->tls_keys.at[i]};
    if (process_load_tls(process, files, count, text, sizeof text))
        return true;
    out_str(why, text);
    return false;
}

static bool reload_certificates(struct control *c, struct out *why)
{
    return control_load_tls(c->conf.config, c->conf.process, why);
}

/* A system without authorities may go on without. */
static bool reload_authorities(struct control *c, struct out *why)
{
    char text[CONFIG_WHY_MAX] = "";

    if (tls_authorities_load(c->conf.config->ca_bundle, text, sizeof text)) {
        process_renew_tls_clients(c->conf.process);
        return true;
    }
    out_str(why, text);
    return !c->conf.config->ca_bundle;
}

/* What is bad stays as it was, the others are taken. */
static bool reload_all(struct control *c, struct out *why)
{
    static bool (*const parts[])(struct control * c, struct out * why) = {
        reload_accounts, reload_certificates, reload_authorities};
    bool good = true;

    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t before = why->len;

        out_str(why, before > 0 ? "; " : "");
        if (parts[i](c, why))
            why->len = before;
        else
            good = false;
    }
    return good;
}

static bool reload(struct control *c, struct out *why)
{
    bool good;

    notify_reloading();
    good = reload_all(c, why);
    if (!good) {
        struct event e;

        if (event_begin_always(&e, LEVEL_ERROR, "reload-failed")) {
            event_text(&e, "why", out_slice(why));
            event_string(&e, "kept", "the old ones");
            event_end(&e);
        }
    }
    notify_send("READY=1");
    return good;
}

/* --- clients ----------------------------------------------------------- */

static void drop_client(struct control *c, struct client *client)
{
    if (client->asked)
        queue_ask_forget(c->asks, client);
    close(client->fd);
    client->fd = -1;
}

/* The whole reply fits the socket's buffer; a client that does not read loses it. */
static void reply(struct control *c, struct client *client, struct slice text)
{
    if (send(client->fd, text.at, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        event_say(LEVEL_DEBUG, "control", "lost", strerror(errno));
    drop_client(c, client);
}

static void reply_result(
    struct control *c, struct client *client, bool good, struct slice why)
{
    char buffer[CONFIG_WHY_MAX + 16];
    struct out out = out_of(buffer, sizeof buffer - 1);

    if (good) {
        out_str(&out, "ok\n");
    } else {
        out_str(&out, "error ");
        out_put(&out, why);
        out_byte(&out, '\n');
    }
    reply(c, client, out_slice(&out));
}

static void reply_lines(struct control *c, struct client *client, struct slice lines)
{
    struct iovec parts[] = {{(void *)(uintptr_t)lines.at, lines.len}, {"ok\n", 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        event_say(LEVEL_DEBUG, "control", "lost", strerror(errno));
    drop_client(c, client);
}

static void reply_stat(struct control *c, struct client *client, struct slice what)
{
    const struct control_stat from = {.process = c->conf.process,
        .config = c->conf.config,
        .accounts = c->accounts,
        .uptime_s = seconds() - c->started_s};
    char *buffer = malloc(REPLY_MAX);
    struct out out = out_of(buffer, buffer ? REPLY_MAX - 3 : 0);
    bool good = buffer && control_stat(&from, what, &out);

    if (good && !out.full)
        reply_lines(c, client, out_slice(&out));
    else
        reply_result(c, client, false,
            good         ? S("too many figures")
                : buffer ? out_slice(&out)
                         : S("out of memory"));
    free(buffer);
}

static void start_removals(struct control *c, struct client *client)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    if (!reload_accounts(c, &why) || !removals_start(c->removals, &why))
        reply_result(c, client, false, out_slice(&why));
    else if (removals_pending(c->removals) == 0)
        reply_result(c, client, true, S(""));
    else
        client->waits = true;
}

static void ask_queue(struct control *c, struct client *client, struct slice request)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    client->asked = queue_ask(c->asks, request, client, &why);
    if (!client->asked)
        reply_result(c, client, false, out_slice(&why));
}

static void obey(struct control *c, struct client *client, struct slice request)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    bool good;

    if (slice_eq(request, S("reload"))) {
        good = reload(c, &why);
        reply_result(c, client, good, out_slice(&why));
    } else if (slice_eq(request, S("remove"))) {
        start_removals(c, client);
    } else if (slice_starts_nocase(request, S("stat "))) {
        slice_take(&request, 5);
        reply_stat(c, client, request);
    } else if (slice_starts_nocase(request, S("queue "))) {
        slice_take(&request, 6);
        ask_queue(c, client, request);
    } else if (slice_eq(request, S("version"))) {
        reply(c, client, S(RINGMAIL_VERSION "\nok\n"));
    } else {
        reply_result(c, client, false, S("no such request"));
    }
}

static void hear(struct control *c, struct client *client)
{
    ssize_t n = recv(client->fd, client->request + client->len,
        sizeof client->request - client->len, MSG_DONTWAIT);
    struct slice line;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_client(c, client);
        return;
    }
    client->len += (size_t)n;
    line = slice_of(client->request, client->len);
    line.len = slice_find(line, '\n');
    if (line.len < client->len && !client->waits && !client->asked)
        obey(c, client, slice_trim(line));
    else if (client->len == sizeof client->request)
        drop_client(c, client);
}

static void accept_client(struct control *c)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (c->clients[i].fd < 0) {
            c->clients[i] = (struct client){.fd = fd, .until_s = seconds() + CLIENT_S};
            return;
        }
    close(fd);
}

static void drop_silent(struct control *c)
{
    int64_t now_s = seconds();

    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0 && !c->clients[i].waits && !c->clients[i].asked &&
            c->clients[i].until_s < now_s)
            drop_client(c, &c->clients[i]);
}

/* What the queue says goes to who asked. */
static void answer_asks(struct control *c)
{
    struct queue_said said;

    while (queue_asks_take(c->asks, &said)) {
        struct client *client = said.client;

        if (!client)
            continue;
        client->asked = false;
        if (said.error.len > 0)
            reply_result(c, client, false, said.error);
        else
            reply_lines(c, client, said.lines);
    }
}

/* Removals have landed: once all have, the accounts are what they should be. */
static void finish_removals(struct control *c)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    bool good;

    if (!removals_turn(c->removals))
        return;
    good = reload_accounts(c, &why);
    if (good && removals_failed(c->removals) > 0) {
        out_str(&why,
            "mail could not be removed now, the log says why; it is tried again "
            "at the next start");
        good = false;
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0 && c->clients[i].waits)
            reply_result(c, &c->clients[i], good, out_slice(&why));
}

static void on_wake(struct control *c)
{
    uint64_t count;

    if (read(c->wake, &count, sizeof count) < 0)
        return;
    answer_asks(c);
    finish_removals(c);
}

/* --- signals ----------------------------------------------------------- */

static sigset_t our_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void control_block_signals(void)
{
    sigset_t set = our_signals();

    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_signal(struct control *c)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct signalfd_siginfo info;

    if (read(c->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        reload(c, &why);
        return;
    }
    event_say(LEVEL_NOTICE, "stopping", "signal", strsignal((int)info.ssi_signo));
    c->stopping = true;
}

/* --- the socket -------------------------------------------------------- */

/* A path that fits into a socket's name however long DATA is: by way of its descriptor.
 * The descriptor must stay open until the name has been used. */
static int name_in(const char *data, struct sockaddr_un *name)
{
    int folder = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC);

    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (folder >= 0)
        snprintf(
            name->sun_path, sizeof name->sun_path, "/proc/self/fd/%d/control", folder);
    return folder;
}

static int listen_on(const char *data)
{
    struct sockaddr_un name;
    int folder = name_in(data, &name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int saved;

    /* The mode of the socket becomes that of its file: nobody else, from the start. */
    if (folder >= 0 && fd >= 0 && fchmod(fd, 0600) == 0 &&
        (unlink(name.sun_path) == 0 || errno == ENOENT) &&
        bind(fd, (struct sockaddr *)&name, sizeof name) == 0 &&
        listen(fd, CLIENTS_MAX) == 0) {
        close(folder);
        return fd;
    }
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    errno = saved;
    return -1;
}

struct control *control_open(const struct control_conf *conf, struct out *why)
{
    struct control *c = calloc(1, sizeof *c);
    sigset_t set = our_signals();

    if (!c) {
        out_str(why, "out of memory");
        return NULL;
    }
    c->conf = *conf;
    c->accounts = conf->accounts;
    c->started_s = c->rotated_s = seconds();
    c->watchdog_ms = notify_watchdog_ms();
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        c->clients[i].fd = -1;
    c->listener = listen_on(conf->config->data);
    c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->removals = removals_open(conf->config, conf->process, c->wake);
    c->asks = queue_asks_open(conf->process, c->wake);
    if (c->listener >= 0 && c->signals >= 0 && c->wake >= 0 && c->removals && c->asks)
        return c;
    out_str(why, conf->config->control_path);
    out_str(why, ": ");
    out_str(why, strerror(errno));
    control_close(c);
    return NULL;
}

void control_close(struct control *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0)
            drop_client(c, &c->clients[i]);
    if (c->listener >= 0) {
        close(c->listener);
        unlink(c->conf.config->control_path);
    }
    if (c->signals >= 0)
        close(c->signals);
    if (c->wake >= 0)
        close(c->wake);
    removals_close(c->removals);
    queue_asks_close(c->asks);
    accounts_drop(c->accounts);
    free(c);
}

/* --- the loop ---------------------------------------------------------- */

static void tick(struct control *c)
{
    drop_silent(c);
    if (c->watchdog_ms >= 0 && clock_monotonic_ns() >= c->watchdog_ns) {
        notify_send("WATCHDOG=1");
        c->watchdog_ns = clock_monotonic_ns() + c->watchdog_ms * 1000000LL;
    }
    if (seconds() - c->rotated_s >= ROTATE_S && tls_keys_rotate())
        c->rotated_s = seconds();
}

/* Without clients and watchdog nothing needs a tick but the keys of tickets. */
static int patience_ms(const struct control *c, bool busy)
{
    if (!c->filled)
        return 0;
    if (busy)
        return TICK_MS;
    return c->watchdog_ms > 0 ? c->watchdog_ms : 60 * TICK_MS;
}

static void poll_once(struct control *c)
{
    struct pollfd p[POLL_CLIENTS + CLIENTS_MAX] = {
        [POLL_SIGNALS] = {.fd = c->signals, .events = POLLIN},
        [POLL_LISTENER] = {.fd = c->listener, .events = POLLIN},
        [POLL_WAKE] = {.fd = c->wake, .events = POLLIN}};
    bool busy = false;

    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        p[POLL_CLIENTS + i] = (struct pollfd){.fd = c->clients[i].fd, .events = POLLIN};
        busy |= c->clients[i].fd >= 0;
    }
    if (poll(p, POLL_CLIENTS + CLIENTS_MAX, patience_ms(c, busy)) <= 0)
        return;
    if (p[POLL_SIGNALS].revents)
        on_signal(c);
    if (p[POLL_WAKE].revents)
        on_wake(c);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (p[POLL_CLIENTS + i].revents && c->clients[i].fd >= 0)
            hear(c, &c->clients[i]);
    if (p[POLL_LISTENER].revents)
        accept_client(c);
}

void control_recover(struct control *c, struct thread *t, void (*done)(struct thread *t))
{
    removals_recover(c->removals, t, done);
}

bool control_recovered(struct control *c, struct out *why)
{
    bool removed = removals_recovered(c->removals);

    return (!removed && accounts_are_current(c->accounts, c->conf.config)) ||
        reload_accounts(c, why);
}

unsigned control_users(const struct control *c)
{
    return accounts_count(c->accounts);
}

void control_run(struct control *c)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer - 1);

    if (!removals_start(c->removals, &why)) {
        buffer[why.len] = 0;
        event_say(LEVEL_ERROR, "user-not-removed", "why", buffer);
    }
    while (!c->stopping) {
        poll_once(c);
        tick(c);
        c->filled = c->filled || !process_fill_memory(c->conf.process);
    }
}

/* --- the other end ----------------------------------------------------- */

static int connect_to(const char *data, unsigned time_s)
{
    struct timeval limit = {.tv_sec = time_s};
    struct sockaddr_un name;
    int folder = name_in(data, &name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    int saved = 0;

    if (folder < 0 || fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        saved = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (folder >= 0)
        close(folder);
    errno = saved;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static size_t receive_all(int fd, char *at, size_t cap)
{
    size_t len = 0;
    ssize_t n;

    while (len < cap &&
        ((n = recv(fd, at + len, cap - len, 0)) > 0 || (n < 0 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    return len;
}

/* The lines before the last one, or what the last one says is wrong. */
static enum control_result read_answer(struct slice text, struct out *answer)
{
    size_t last;

    if (text.len == 0 || text.at[text.len - 1] != '\n')
        return CONTROL_LOST;
    text.len--;
    for (last = text.len; last > 0 && text.at[last - 1] != '\n';)
        last--;
    if (slice_eq(slice_of(text.at + last, text.len - last), S("ok"))) {
        out_put(answer, slice_of(text.at, last));
        return CONTROL_OK;
    }
    slice_take(&text, last);
    if (slice_starts_nocase(text, S("error ")))
        slice_take(&text, 6);
    out_put(answer, text);
    return CONTROL_ERROR;
}

enum control_result control_ask(
    const char *data, const char *request, unsigned time_s, struct out *answer)
{
    char line[REQUEST_MAX];
    int n = snprintf(line, sizeof line, "%s\n", request);
    int fd = connect_to(data, time_s);
    enum control_result result = CONTROL_LOST;
    char *buffer;

    if (fd < 0) /* where nobody listens, or nothing is there to listen at */
        return errno == ECONNREFUSED || errno == ENOENT ? CONTROL_NONE : CONTROL_LOST;
    buffer = malloc(REPLY_MAX);
    if (buffer && send(fd, line, (size_t)n, MSG_NOSIGNAL) == n)
        result =
            read_answer(slice_of(buffer, receive_all(fd, buffer, REPLY_MAX)), answer);
    free(buffer);
    close(fd);
    return result;
}
