/* command_serve.c -- ringmail serve: from flags to a running server and back. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/accounts.h"
#include "server/admin.h"
#include "server/command.h"
#include "server/control.h"
#include "server/delivery.h"
#include "server/file.h"
#include "server/forward.h"
#include "server/log.h"
#include "server/mx.h"
#include "server/notify.h"
#include "server/privilege.h"
#include "server/process.h"
#include "server/queue.h"
#include "server/sessions.h"
#include "server/shard.h"
#include "server/tls.h"

enum {
    WHY_MAX = 512,
    FOLDERS_MAX = 64,
    DESCRIPTORS_SPARE = 1024, /* beside connections: segments, rings, workers */
    ALL_FILES_MAX = 1 << 20,  /* segments open to read, of all shards */
};

/* What is made on the way up and unmade, in reverse order, on the way down. */
struct serve {
    struct config *config;
    unsigned files;            /* that the store may keep open to read */
    atomic_uint recovering;    /* threads whose deliveries are not finished yet */
    struct accounts *accounts; /* the first snapshot, until control has it */
    struct process *process;
    struct control *control;
    struct store_folder folders[FOLDERS_MAX];
};

/* For the threads' hooks, which have no argument of their own. */
static struct serve *serving;

/* --- hooks of the threads ----------------------------------------------- */

/* The queue begins when the deliveries of this thread are finished: from then on a store
 * gets its entries by queue_entered() only. */
static void on_recovered(struct thread *t, unsigned left)
{
    struct event e;

    if (!queue_open(t))
        event_say(LEVEL_ERROR, "queue", "not-opened", "out of memory");

    if (left && event_begin_always(&e, LEVEL_ERROR, "fanout-open")) {
        event_number(&e, "count", left);
        event_string(&e, "remedy", "mend the shard that refuses mail and start again");
        event_end(&e);
    }
    if (atomic_fetch_sub(&serving->recovering, 1) > 1)
        process_recovered(t);
    else
        control_recover(serving->control, t, process_recovered);
}

/* A message for several shards that a crash interrupted is for all of them. When all
 * threads have seen to that, the last one removes the mail of accounts that are gone: it
 * must not be met by whoever gets the name next. */
static void thread_recover(struct thread *t)
{
    admin_swap(t, serving->accounts);
    delivery_recover(t, on_recovered);
}

static bool thread_open(struct thread *t)
{
    return logger_attach() && admin_open(t);
}

static void thread_stopping(struct thread *t)
{
    admin_stopping(t);
    queue_stop(t);
}

static void thread_close(struct thread *t)
{
    queue_close(t);
    mx_close(t);
    admin_close(t);
}

static void log_line(int level, const char *name, const char *text)
{
    struct event e;

    if (!event_begin_always(&e, (enum log_level)level, name))
        return;
    event_raw(&e, text);
    event_end(&e);
}

/* --- the configuration of the process ----------------------------------- */

static unsigned fill_folders(struct serve *s)
{
    const struct config_texts *given = &s->config->folders;
    unsigned count = 0;

    for (; count < given->count && count < FOLDERS_MAX; count++) {
        struct slice text = slice_str(given->at[count]);
        struct slice name = slice_take(&text, slice_find(text, '='));

        if (text.len > 0)
            slice_take(&text, 1);
        s->folders[count] = (struct store_folder){name, (uint8_t)config_use_of(text)};
    }
    return count;
}

static struct store_conf store_conf(struct serve *s)
{
    const struct config *c = s->config;
    unsigned folder_count = fill_folders(s);

    return (struct store_conf){.segment_bytes = (uint32_t)c->segment_size,
        .commit_wait = (uint32_t)c->commit_wait,
        .recent_bytes = c->recent_memory,
        .index_bytes = c->index_memory,
        .checkpoint_bytes = c->checkpoint_size,
        .compact_percent = (uint32_t)c->compact_percent,
        .mailboxes_max = (uint32_t)c->max_mailboxes,
        .names_bytes_max = (uint32_t)c->max_mailbox_names,
        .keywords_max = (uint32_t)c->max_keywords,
        .quota_bytes = c->quota,
        .folders = s->folders,
        .folder_count = folder_count};
}

static struct process_conf process_conf(struct serve *s)
{
    struct config *c = s->config;

    return (struct process_conf){.threads = (unsigned)c->threads,
        .shards = (unsigned)c->shards,
        .pin = c->pin != 0,
        .spin_us = (unsigned)c->spin,
        .ring_minimal = c->ring_features != 0,
        .ring_entries = (unsigned)c->ring_entries,
        .ring_completions = (unsigned)c->ring_completions,
        .receive_buffers = (unsigned)c->receive_buffers,
        .receive_buffer_bytes = (unsigned)c->receive_buffer_size,
        .workers = (unsigned)c->workers,
        .workers_queue = (unsigned)c->workers_queue,
        .connections_max = (unsigned)c->max_connections,
        .per_address_max = (unsigned)c->max_connections_address,
        .unlimited = c->unlimited_from.at,
        .unlimited_count = c->unlimited_from.count,
        .proxies = c->proxy_from.at,
        .proxy_count = c->proxy_from.count,
        .plaintext = c->allow_plaintext.at,
        .plaintext_count = c->allow_plaintext.count,
        .memory_max = c->buffer_memory,
        .memory_above = queue_memory_bound(c),
        .unsent_max = c->max_unsent,
        .zero_copy = c->zero_copy,
        .handshake_s = (unsigned)c->handshake_timeout,
        .drain_s = (unsigned)c->stop_timeout,
        .data = c->data,
        .store = store_conf(s),
        .files = s->files,
        .segment_zero = c->segment_zero != 0,
        .listeners = c->listeners,
        .listener_count = c->listener_count,
        .config = c,
        .log = log_line,
        .thread_open = thread_open,
        .thread_close = thread_close,
        .thread_recover = thread_recover,
        .thread_stopping = thread_stopping,
        .thread_drained = queue_stopped};
}

/* --- the way up -------------------------------------------------------- */

static bool fail(struct slice why)
{
    struct event e;

    if (event_begin_always(&e, LEVEL_ERROR, "not-started")) {
        event_text(&e, "why", why);
        event_end(&e);
    }
    return false;
}

/* Every connection is a descriptor. Where there are too few, connections get less, for a
 * store that can't open a file takes no mail at all. */
static void limit_connections(struct config *c, uint64_t have, uint64_t wanted)
{
    struct event e;

    c->max_connections =
        have > 2 * DESCRIPTORS_SPARE ? have - DESCRIPTORS_SPARE : have / 2;
    if (!event_begin(&e, LEVEL_WARNING, "descriptors"))
        return;
    event_number(&e, "have", have);
    event_number(&e, "max-connections-needs", wanted);
    event_number(&e, "connections-are-limited-to", c->max_connections);
    event_string(&e, "remedy", "LimitNOFILE in the unit file, or ulimit -Hn");
    event_end(&e);
}

/* Of what connections leave one half is for segments that are read, which pay for being
 * kept open; the other for all else: segments that are written, rings, listeners. */
static void raise_descriptors(struct serve *s)
{
    struct config *c = s->config;
    uint64_t wanted = c->max_connections + DESCRIPTORS_SPARE, files;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        limit_connections(c, limit.rlim_cur, wanted);
    files = (limit.rlim_cur - c->max_connections) / 2;
    s->files = files < ALL_FILES_MAX ? (unsigned)files : ALL_FILES_MAX;
}

static bool enter(const struct config *c)
{
    char buffer[WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    if (geteuid() != 0)
        return !c->user ||
            fail(S("--user only counts for a server started as root; "
                   "leave it out"));
    if (!c->user) {
        event_say(LEVEL_WARNING, "root", "remedy",
            "the server runs as root; name an account of its own with --user");
        return true;
    }
    return privilege_enter(c->user, c->data, &why) || fail(out_slice(&why));
}

static bool drop(const struct config *c)
{
    char buffer[WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    return privilege_drop(c->user, &why) || fail(out_slice(&why));
}

/* The control socket lies in it, before the first shard does. */
static bool make_folder(const struct config *c)
{
    char buffer[WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    if (mkdir(c->data, 0700) == 0 || errno == EEXIST)
        return true;
    out_str(&why, "--data ");
    out_str(&why, c->data);
    out_str(&why, ": can't make the folder: ");
    out_str(&why, strerror(errno));
    return fail(out_slice(&why));
}

static bool load_accounts(struct serve *s)
{
    char buffer[WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    if (s->config->srs && (!make_folder(s->config) || !forward_make_key(s->config, &why)))
        return why.len > 0 && fail(out_slice(&why));
    s->accounts = accounts_load(s->config, NULL, &why);
    if (!s->accounts)
        return fail(out_slice(&why));
    if (!s->config->postmaster && accounts_count(s->accounts) > 0) {
        struct event e;

        if (event_begin(&e, LEVEL_NOTICE, "postmaster")) {
            event_text(&e, "goes-to", accounts_at(s->accounts, 0)->name);
            event_string(&e, "because", "--postmaster names nobody else");
            event_end(&e);
        }
    }
    return true;
}

/* A store that is there is opened while accounts are loaded: with a million users each
 * takes half of a start. One that is new is not made before they are good. */
static bool first_accounts(struct serve *s)
{
    return data_exists(s->config->data) || load_accounts(s);
}

static bool other_accounts(struct serve *s)
{
    return s->accounts || load_accounts(s);
}

/* Without authorities of the system hops whose certificate has to be checked are refused,
 * and mail to them waits. */
static bool load_authorities(const struct config *c)
{
    char why[WHY_MAX];

    if (tls_authorities_load(c->ca_bundle, why, sizeof why))
        return true;
    if (c->ca_bundle)
        return fail(slice_str(why));
    event_say(LEVEL_NOTICE, "no-authorities", "why", why);
    return true;
}

static bool open_control(struct serve *s)
{
    char buffer[WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct control_conf conf = {s->config, s->process, s->accounts};

    if (!control_load_tls(s->config, s->process, &why))
        return fail(out_slice(&why));
    s->control = control_open(&conf, &why);
    return s->control || fail(out_slice(&why));
}

static void put_port(struct out *out, const struct listener *l)
{
    bool six = l->address.family == AF_INET6;
    char text[ADDRESS_TEXT_MAX];

    out_str(out, config_listener_name(l));
    out_byte(out, ' ');
    if (l->address.family == AF_UNIX) {
        out_str(out, l->text);
        out_byte(out, '\n');
        return;
    }
    out_str(out, six ? "[" : "");
    out_put(out, address_text(&l->address, text, sizeof text));
    out_str(out, six ? "]:" : ":");
    out_u64(out, l->address.port);
    out_byte(out, '\n');
}

static bool write_ports(const struct config *c)
{
    char buffer[16384];
    struct out out = out_of(buffer, sizeof buffer);

    if (!c->write_ports)
        return true;
    for (unsigned i = 0; i < c->listener_count; i++)
        put_port(&out, &c->listeners[i]);
    if (!file_replace(c->write_ports, out_slice(&out), 0644)) {
        out = out_of(buffer, sizeof buffer);
        out_str(&out, "--write-ports ");
        out_str(&out, c->write_ports);
        out_str(&out, ": ");
        out_str(&out, strerror(errno));
        return fail(out_slice(&out));
    }
    return true;
}

static void say_ready(const struct serve *s)
{
    struct event e;

    for (unsigned i = 0; i < s->config->listener_count; i++) {
        char buffer[256];
        struct out out = out_of(buffer, sizeof buffer);
        size_t space;

        put_port(&out, &s->config->listeners[i]);
        space = slice_find(out_slice(&out), ' ');
        if (event_begin_always(&e, LEVEL_NOTICE, "listening")) {
            event_text(&e, "protocol", slice_of(buffer, space));
            event_text(&e, "at", slice_trim(slice_of(buffer + space, out.len - space)));
            event_end(&e);
        }
    }
    if (!event_begin_always(&e, LEVEL_NOTICE, "ready"))
        return;
    event_string(&e, "version", RINGMAIL_VERSION);
    event_number(&e, "threads", process_threads(s->process));
    event_number(&e, "shards", process_shards(s->process));
    event_number(&e, "users", control_users(s->control));
    event_number(&e, "memory-at-limits-mib", process_memory_bound(s->process) >> 20);
    event_string(&e, "ring", process_ring_features(s->process));
    event_end(&e);
}

static bool open_process(struct serve *s)
{
    struct process_conf conf;
    char why[WHY_MAX] = "";

    for (unsigned i = 0; i < s->config->listener_count; i++)
        s->config->listeners[i].calls = sessions_calls(s->config->listeners[i].protocol);
    conf = process_conf(s);
    s->process = process_open(&conf, why, sizeof why);
    return s->process || fail(slice_str(why));
}

/* Before the control socket, for that of a server that runs here must not be replaced. */
static bool recover(struct serve *s)
{
    char why[WHY_MAX] = "";

    return process_recover(s->process, why, sizeof why) || fail(slice_str(why));
}

static bool start_process(struct serve *s)
{
    char why[WHY_MAX] = "";
    struct out told = out_of(why, sizeof why);

    atomic_store(&s->recovering, process_threads(s->process));
    if (!process_start(s->process, why, sizeof why))
        return fail(slice_str(why));
    return control_recovered(s->control, &told) || fail(out_slice(&told));
}

/* --- all of it ---------------------------------------------------------- */

static bool serve(struct serve *s)
{
    raise_descriptors(s);
    if (!enter(s->config) || !first_accounts(s) || !load_authorities(s->config) ||
        !open_process(s) || !drop(s->config) || !make_folder(s->config) || !recover(s) ||
        !other_accounts(s) || !open_control(s) || !start_process(s) ||
        !write_ports(s->config))
        return false;
    say_ready(s);
    notify_send("READY=1");
    control_run(s->control);
    notify_send("STOPPING=1");
    return true;
}

static bool stop(struct serve *s)
{
    bool good = !s->process || process_stop(s->process);

    if (s->control)
        control_close(s->control);
    else
        accounts_drop(s->accounts);
    return good;
}

static int run(int argc, char **argv)
{
    struct serve s = {0};
    unsigned count;
    int status;
    bool ready, good;

    s.config = command_config(&command_serve, argc, argv, NULL, 0, &count, &status);
    if (!s.config)
        return status;
    serving = &s;
    privilege_fix();
    control_block_signals();
    logger_set((enum log_level)(LEVEL_ERROR + s.config->log_level),
        s.config->log_priority, (unsigned)s.config->log_rate);
    if (!logger_start())
        return command_failf(EXIT_FAILED, "no thread for the log: %s", strerror(errno));
    ready = serve(&s);
    good = stop(&s) && ready;
    if (ready)
        event_say(LEVEL_NOTICE, "stopped", "clean", good ? "yes" : "no");
    logger_stop();
    config_free(s.config);
    return good ? EXIT_GOOD : EXIT_FAILED;
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "--data DIR [FLAGS]",
    .summary = "run the server",
    .text = "Runs in the foreground and logs to standard error. SIGTERM stops it with "
            "nothing lost;\nSIGHUP reads users, aliases and certificates again.\n\n"
            "  ringmail serve --data /srv/mail --hostname mail.example.org \\\n"
            "      --domain example.org --tls-cert chain.pem --tls-key key.pem \\\n"
            "      --smtp 0.0.0.0:25 --submissions 0.0.0.0:465 --imaps 0.0.0.0:993\n\n"
            "Sizes take K, M, G and T, times take s, m, h and d.\n",
    .flags = NULL,
    .run = run,
};
