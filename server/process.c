#include "server/process.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/conn_state.h"
#include "server/listen.h"
#include "server/shard.h"
#include "server/thread_state.h"
#include "server/tls.h"

enum {
    DISK_WORKERS = 2,
    DISK_QUEUE_MAX = 64 * SHARDS_MAX, /* beside opening and closing conf.files */
    WORKERS_PRESET_MAX = 4,
};

static const int64_t ticket_keys_ns = 12LL * 3600 * 1000000000;

void process_log(const struct thread *t, int level, const char *event, const char *text)
{
    const struct process_conf *conf = &t->process->conf;

    if (conf->log)
        conf->log(level, event, text);
}

/* --- requests to threads -------------------------------------------------- */

struct request {
    struct call call;
    thread_fn *fn;
    void *arg;
};

static void landed(struct process *p)
{
    pthread_mutex_lock(&p->lock);
    p->waiting--;
    pthread_cond_signal(&p->landed);
    pthread_mutex_unlock(&p->lock);
}

static void run_request(struct thread *to, struct call *call)
{
    struct request *r = container_of(call, struct request, call);

    r->fn(to, r->arg);
    landed(to->process);
}

static void wait_all(struct process *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->waiting)
        pthread_cond_wait(&p->landed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void post_request(struct process *p, unsigned thread, struct request *r)
{
    pthread_mutex_lock(&p->lock);
    p->waiting++;
    pthread_mutex_unlock(&p->lock);
    r->call.run = run_request;
    r->call.done = NULL;
    inbox_add_call(p->threads[thread], &r->call);
}

void process_run(struct process *p, unsigned thread, thread_fn *fn, void *arg)
{
    struct request r = {.fn = fn, .arg = arg};

    post_request(p, thread, &r);
    wait_all(p);
}

void process_run_all(struct process *p, thread_fn *fn, void *arg)
{
    for (unsigned i = 0; i < p->started; i++)
        process_run(p, i, fn, arg);
}

/* On all threads at once; what was begun before has ended then. */
static void begin_parallel(struct process *p, thread_fn *fn, void *arg)
{
    static struct request requests[THREADS_MAX];

    wait_all(p);
    for (unsigned i = 0; i < p->started; i++) {
        requests[i] = (struct request){.fn = fn, .arg = arg};
        post_request(p, i, &requests[i]);
    }
}

void process_run_parallel(struct process *p, thread_fn *fn, void *arg)
{
    begin_parallel(p, fn, arg);
    wait_all(p);
}

void process_post(struct process *p, unsigned thread, struct call *call)
{
    call->done = NULL;
    inbox_add_call(p->threads[thread], call);
}

/* For threads to say that a request failed. */
static void fail(struct process *p, const char *why)
{
    pthread_mutex_lock(&p->lock);
    if (!p->failed)
        snprintf(p->why, sizeof p->why, "%s", why);
    p->failed = true;
    pthread_mutex_unlock(&p->lock);
}

/* --- opening -------------------------------------------------------------- */

static unsigned cpus(void)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&allowed);
}

static void preset(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

/* A thread that spins takes its CPU from one that has work, where they share it. */
static void forbid_spinning(struct process_conf *c, unsigned cores)
{
    char text[64];

    if (c->spin_us == 0 || c->threads <= cores)
        return;
    c->spin_us = 0;
    snprintf(text, sizeof text, "threads=%u cores=%u", c->threads, cores);
    if (c->log)
        c->log(5, "spin-off", text);
}

static void fill_conf(struct process_conf *c)
{
    unsigned cores = cpus();

    preset(&c->threads, cores < THREADS_MAX ? cores : THREADS_MAX);
    forbid_spinning(c, cores);
    preset(&c->ring_entries, 512);
    preset(&c->ring_completions, 8192);
    preset(&c->receive_buffers, 1024);
    preset(&c->receive_buffer_bytes, 16384);
    preset(&c->workers, cores < WORKERS_PRESET_MAX ? cores : WORKERS_PRESET_MAX);
    preset(&c->workers_queue, 256);
    preset(&c->connections_max, 20000);
    preset(&c->per_address_max, 100);
    preset(&c->handshake_s, 15);
    preset(&c->write_s, 300);
    preset(&c->drain_s, 10);
    if (c->memory_max == 0)
        c->memory_max = 1ULL << 30;
    if (c->unsent_max == 0)
        c->unsent_max = 256 << 10;
}

static void init_queues(struct thread_state *s, unsigned count)
{
    memset(s->in, 0, count * sizeof *s->in);
    for (unsigned i = 0; i < count; i++)
        list_init(&s->in[i].overflow);
}

/* Everything of a thread that another may look at, before any of them runs. */
static struct thread *make_thread(struct process *p, unsigned index)
{
    struct thread *t = aligned_alloc(64, sizeof *t);
    struct thread_state *s = aligned_alloc(64, sizeof *s);

    if (s) {
        memset(s, 0, sizeof *s);
        s->in = aligned_alloc(64, p->conf.threads * sizeof *s->in);
    }
    if (t)
        memset(t, 0, sizeof *t);
    if (!t || !s || !s->in) {
        free(t);
        free(s);
        return NULL;
    }
    init_queues(s, p->conf.threads);
    s->thread = t;
    s->reserve_fd = -1;
    pthread_mutex_init(&s->inbox.lock, NULL);
    s->inbox.jobs_tail = &s->inbox.jobs;
    list_init(&s->inbox.calls);
    t->index = index;
    t->process = p;
    t->state = s;
    t->config = p->conf.config;
    return t;
}

static struct process *make_process(const struct process_conf *conf)
{
    struct process *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->conf = *conf;
    fill_conf(&p->conf);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->landed, NULL);
    p->address_key = random_u64();
    for (; p->thread_count < p->conf.threads; p->thread_count++) {
        p->threads[p->thread_count] = make_thread(p, p->thread_count);
        if (!p->threads[p->thread_count])
            break;
    }
    p->shard_count = p->thread_count;
    return p;
}

/* Signals are the control thread's. */
static bool start_threads(struct process *p)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->workers = workers_open(p->conf.workers, p->conf.workers_queue);
    p->disk_workers = workers_open(DISK_WORKERS, DISK_QUEUE_MAX + p->conf.files);
    for (unsigned i = 0; i < p->thread_count && p->workers && p->disk_workers; i++) {
        pthread_mutex_lock(&p->lock);
        p->waiting++;
        pthread_mutex_unlock(&p->lock);
        if (pthread_create(
                &p->threads[i]->state->pthread, NULL, thread_main, p->threads[i]) != 0) {
            fail(p, "can't start a thread");
            landed(p);
            break;
        }
        p->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    wait_all(p);
    if (p->started < p->thread_count)
        fail(p, "can't start threads");
    return !p->failed;
}

struct process *process_open(const struct process_conf *conf, char *why, size_t cap)
{
    struct process *p = make_process(conf);

    signal(SIGPIPE, SIG_IGN);
    if (!p || p->thread_count < p->conf.threads) {
        snprintf(why, cap, "out of memory");
        if (p)
            process_free(p);
        return NULL;
    }
    if (!tls_keys_rotate()) {
        snprintf(why, cap, "out of memory");
        process_free(p);
        return NULL;
    }
    if (!listeners_bind(p, why, cap)) {
        process_free(p);
        return NULL;
    }
    if (!start_threads(p)) {
        snprintf(why, cap, "%s", p->why);
        process_end_threads(p);
        process_free(p);
        return NULL;
    }
    snprintf(p->features, sizeof p->features, "%s", ring_features(p->threads[0]->ring));
    if (conf->zero_copy && !ring_has_zero_copy(p->threads[0]->ring) && conf->log)
        conf->log(
            5, "zero-copy-off", "reason=\"needs Linux 6.3 and --ring-features all\"");
    return p;
}

/* --- starting ------------------------------------------------------------- */

static void open_shards(struct thread *t, void *arg)
{
    char why[512] = "";

    (void)arg;
    if (!shards_open(t, why, sizeof why))
        fail(t->process, why);
}

static void answer(struct thread *to, struct call *call)
{
    (void)to;
    call_answer(call);
}

static void on_heard(struct thread *from, struct call *call)
{
    (void)call;
    if (--from->process->unheard == 0)
        tls_keys_forget();
}

/* New keys for tickets; the ones replaced before are wiped when no thread can be using
 * them any more. */
static void on_ticket_timer(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, ticket_timer);
    struct thread *t = p->threads[0];

    timer_set(t, timer, t->now_ns + ticket_keys_ns, on_ticket_timer);
    if (p->unheard || !tls_keys_rotate())
        return;
    for (unsigned i = 0; i < p->thread_count; i++) {
        p->heard[i] = (struct call){.run = answer, .done = on_heard};
        p->unheard++;
        call_send(t, p->threads[i], &p->heard[i]);
    }
}

static void start_listening(struct thread *t, void *arg)
{
    char why[512] = "";
    struct timer *timer = &t->process->ticket_timer;

    (void)arg;
    stats_begin(&t->stats);
    if (t->index == 0)
        timer_set(t, timer, t->now_ns + ticket_keys_ns, on_ticket_timer);
    if (!listen_start(t, why, sizeof why))
        fail(t->process, why);
}

/* The thread has something to finish before anything listens: process_recovered(). */
static void recover(struct thread *t, void *arg)
{
    struct process *p = t->process;

    (void)arg;
    pthread_mutex_lock(&p->lock);
    p->waiting++;
    pthread_mutex_unlock(&p->lock);
    p->conf.thread_recover(t);
}

void process_recovered(struct thread *t)
{
    landed(t->process);
}

bool process_recover(struct process *p, char *why, size_t cap)
{
    if (!p->conf.data || p->folder)
        return true;
    p->folder = data_open(p->conf.data, p->conf.shards, p->thread_count, why, cap);
    if (!p->folder)
        return false;
    p->shard_count = data_layout(p->folder)->shards;
    p->slots = data_layout(p->folder)->slots;
    begin_parallel(p, open_shards, NULL);
    return true;
}

bool process_start(struct process *p, char *why, size_t cap)
{
    if (!process_recover(p, why, cap))
        return false;
    wait_all(p);
    if (!p->failed && p->conf.thread_recover)
        process_run_parallel(p, recover, NULL);
    if (!p->failed)
        process_run_parallel(p, start_listening, NULL);
    if (p->failed)
        snprintf(why, cap, "%s", p->why);
    return !p->failed;
}

bool process_fill_memory(struct process *p)
{
    struct thread *t = p->threads[p->filled_shards % p->thread_count];
    struct store *store = shard_store(t, p->filled_shards);
    size_t n = store ? store_fill_recent(store, p->filled) : 0;

    p->filled = n > 0 ? p->filled + n : 0;
    p->filled_shards += store && n == 0;
    return store != NULL;
}

/* --- questions ------------------------------------------------------------ */

unsigned process_threads(const struct process *p)
{
    return p->thread_count;
}

struct thread *process_thread(const struct process *p, unsigned index)
{
    return p->threads[index];
}

unsigned process_shards(const struct process *p)
{
    return p->shard_count;
}

const char *process_ring_features(const struct process *p)
{
    return p->features;
}

uint64_t process_memory_bound(const struct process *p)
{
    const struct process_conf *c = &p->conf;
    uint64_t ring = (uint64_t)c->receive_buffers * c->receive_buffer_bytes +
        16ULL * RING_BIG_BYTES + (uint64_t)c->ring_completions * 16 +
        (uint64_t)c->ring_entries * 64;
    uint64_t shard = c->store.recent_bytes + c->store.index_bytes;

    return (uint64_t)c->connections_max * 4096 + c->memory_max + c->memory_above +
        ring * c->threads + (c->data ? shard * p->shard_count : 0);
}

static void copy_stats(struct thread *t, void *arg)
{
    struct thread_stats *stats = arg;
    const struct ring_counters *ring = ring_counters(t->ring);

    *stats = t->stats;
    stats->completions = ring->completions;
    stats->receive_starved = ring->starved;
    stats->cpu_us = (uint64_t)clock_cpu_ns() / 1000;
}

void process_stats(struct process *p, unsigned thread, struct thread_stats *stats)
{
    process_run(p, thread, copy_stats, stats);
}

/* --- certificates --------------------------------------------------------- */

static void swap_tls(struct thread *t, void *arg)
{
    struct tls_context *fresh = arg;

    tls_context_free(t->tls);
    t->tls = fresh;
}

static void forget_tls_clients(struct thread *t, void *arg)
{
    (void)arg;
    tls_context_free(t->state->tls_client);
    t->state->tls_client = NULL;
}

void process_renew_tls_clients(struct process *p)
{
    process_run_all(p, forget_tls_clients, NULL);
}

static void warn_tls(void *arg, const char *line)
{
    struct process *p = arg;

    process_log(p->threads[0], 4, "certificate", line);
}

bool process_load_tls(struct process *p, const struct tls_files *files, unsigned count,
    char *why, size_t cap)
{
    struct tls_context *fresh[THREADS_MAX] = {0};
    struct tls_store *store = tls_store_load(files, count, why, cap, warn_tls, p);
    bool good = store != NULL;
    unsigned at;

    if (good && tls_store_is_stale(store, p->threads[0]->tls, &at)) {
        snprintf(why, cap,
            "--tls-cert %s: the certificate has expired; put a new one there",
            files[at].certificate);
        good = false;
    }
    for (unsigned i = 0; good && i < p->thread_count; i++) {
        fresh[i] = tls_context_new(store);
        good = fresh[i] != NULL;
        if (!good)
            snprintf(why, cap, "out of memory");
    }
    for (unsigned i = 0; i < p->thread_count; i++)
        if (good)
            process_run(p, i, swap_tls, fresh[i]);
        else
            tls_context_free(fresh[i]);
    tls_store_free(store);
    return good;
}
