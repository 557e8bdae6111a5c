#include "server/control_stat.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/admin.h"
#include "server/config.h"
#include "server/mx.h"
#include "server/queue.h"
#include "server/shard.h"

/* --- a thread ---------------------------------------------------------------- */

static void take_logins(struct thread *t, struct thread_stats *s)
{
    struct admin_stats a;

    admin_stats(t, &a);
    s->logins = a.logins;
    s->password_checks = a.checks;
    s->passwords_remembered = a.remembered;
    s->logins_failed = a.failed;
    s->logins_put_off = a.busy;
    s->hashes_waiting = a.waiting;
}

static void take_queue(struct thread *t, struct thread_stats *s)
{
    struct queue_stats q;

    queue_stats(t, &q);
    s->queue_waiting = q.entries;
    s->queue_held = q.held;
    s->queue_memory = q.bytes;
    s->queue_destinations = q.destinations;
    s->queue_resting = q.resting;
    s->queue_sessions = q.sessions;
    s->queue_settling = q.settling;
    s->queue_delivered = q.delivered;
    s->queue_relayed = q.relayed;
    s->queue_deferred = q.deferred;
    s->queue_refused = q.failed;
    s->queue_expired = q.expired;
    s->queue_reports = q.reports;
    s->queue_unsure = q.unsure;
}

static void take_dns(struct thread *t, struct thread_stats *s)
{
    struct mx_stats m;

    mx_stats(t, &m);
    s->dns_lookups = m.lookups;
    s->dns_cached = m.cached;
    s->dns_questions = m.questions;
    s->dns_failed = m.failed;
    s->dns_memory = m.bytes;
}

static void take_thread(struct thread *t, void *arg)
{
    struct thread_stats *s = arg;

    take_logins(t, s);
    take_queue(t, s);
    take_dns(t, s);
}

/* What a thread will fill between two turns: every page of it is there already, for the
 * thread would pay for those that are not. */
static void *room_for_figures(size_t bytes)
{
    size_t whole = (bytes + 63) & ~(size_t)63;
    void *at = aligned_alloc(64, whole);

    return at ? memset(at, 0, whole) : NULL;
}

static bool put_thread(struct process *p, unsigned i, struct out *out)
{
    struct thread_stats *s = room_for_figures(sizeof *s);

    if (!s)
        return false;
    process_stats(p, i, s);
    process_run(p, i, take_thread, s);
    stats_write(out, &(struct stats_set){&stats_thread_table, s->values, s->times});
    free(s);
    return true;
}

/* --- a shard ----------------------------------------------------------------- */

struct shard_figures {
    unsigned number;
    bool there;
    uint64_t values[SHARD_STAT_COUNT];
    struct histogram times[SHARD_TIMES_COUNT];
};

static void take_store(struct shard_figures *f, const struct store_stats *st)
{
    uint64_t *v = f->values;

    v[STAT_records] = st->records;
    v[STAT_users_read] = st->users_read;
    v[STAT_users_evicted] = st->users_evicted;
    v[STAT_users_loaded] = st->users_loaded;
    v[STAT_index_bytes] = st->index_bytes;
    v[STAT_recent_bytes] = st->recent_bytes;
    v[STAT_users] = st->users;
    v[STAT_log_bytes] = st->log_bytes;
    v[STAT_live_bytes] = st->live_bytes;
    v[STAT_segments] = st->segments;
    v[STAT_compacted_bytes] = st->compacted_bytes;
    v[STAT_queue_entries] = st->queue_entries;
    v[STAT_queue_bytes] = st->queue_bytes;
    v[STAT_damaged_ranges] = st->damaged_ranges;
    v[STAT_tail_cut_bytes] = st->tail_cut_bytes;
}

static void take_log(struct shard_figures *f, const struct log_counts *log)
{
    uint64_t *v = f->values;

    v[STAT_batches] = log->batches;
    v[STAT_bytes_written] = log->bytes_written;
    v[STAT_checkpoints] = log->checkpoints;
    v[STAT_reads] = log->reads;
    v[STAT_reads_memory] = log->reads_memory;
    f->times[TIMES_commit] = log->commit;
    f->times[TIMES_commit_wait] = log->commit_wait;
    f->times[TIMES_batch_records] = log->batch_records;
    f->times[TIMES_batch_bytes] = log->batch_bytes;
    f->times[TIMES_read] = log->read;
}

static void take_shard(struct thread *t, void *arg)
{
    struct shard_figures *f = arg;
    struct store *store = shard_store(t, f->number);
    struct store_stats st;

    if (!store)
        return;
    store_stats(store, &st);
    take_store(f, &st);
    take_log(f, st.log);
    f->values[STAT_read_only] = store_read_only(store);
    f->there = true;
}

/* Shard s runs on thread s mod threads (shard.h). */
static bool put_shard(struct process *p, unsigned number, struct out *out)
{
    struct shard_figures *f = room_for_figures(sizeof *f);
    bool there;

    if (!f)
        return false;
    f->number = number;
    process_run(p, number % process_threads(p), take_shard, f);
    there = f->there;
    if (there)
        stats_write(out, &(struct stats_set){&stats_shard_table, f->values, f->times});
    free(f);
    return there;
}

/* --- the process --------------------------------------------------------------- */

/* jemalloc's; a build with sanitizers has another allocator. */
extern int mallctl(const char *, void *, size_t *, void *, size_t) __attribute__((weak));

static uint64_t allocated(void)
{
    uint64_t epoch = 1;
    size_t bytes = 0, len = sizeof bytes;

    if (!mallctl)
        return 0;
    mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    return mallctl("stats.allocated", &bytes, &len, NULL, 0) == 0 ? bytes : 0;
}

static uint64_t resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;

    if (!f)
        return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t process_cpu_us(void)
{
    struct timespec ts = {0};

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void put_server(const struct control_stat *from, struct out *out)
{
    const struct config *c = from->config;
    uint64_t threads = process_threads(from->process);
    uint64_t shards = process_shards(from->process);
    uint64_t v[SERVER_STAT_COUNT] = {
        [STAT_pid] = (uint64_t)getpid(),
        [STAT_uptime_s] = (uint64_t)from->uptime_s,
        [STAT_threads] = threads,
        [STAT_shards] = shards,
        [STAT_accounts] = accounts_count(from->accounts),
        [STAT_aliases] = accounts_alias_count(from->accounts),
        [STAT_process_cpu_us] = process_cpu_us(),
        [STAT_memory_bound] = process_memory_bound(from->process),
        [STAT_memory_resident] = resident(),
        [STAT_memory_allocated] = allocated(),
        [STAT_receive_memory] = threads * c->receive_buffers * c->receive_buffer_size,
        [STAT_max_connections] = c->max_connections,
        [STAT_max_hashes] = c->max_hashes * threads,
        [STAT_max_queue] = c->max_queue,
        [STAT_max_hops] = c->max_hops,
        [STAT_buffer_memory] = c->buffer_memory,
        [STAT_recent_memory] = c->recent_memory * shards,
        [STAT_index_memory] = c->index_memory * shards,
    };

    stats_write(out, &(struct stats_set){&stats_server_table, v, NULL});
}

/* --- the request ---------------------------------------------------------------- */

/* "thread 3": the number behind `word`, below `count`. */
static bool numbered(
    struct slice what, struct slice word, unsigned count, unsigned *number)
{
    uint64_t n;

    if (what.len <= word.len || !slice_eq(slice_take(&what, word.len), word) ||
        !slice_u64(what, &n) || n >= count)
        return false;
    *number = (unsigned)n;
    return true;
}

bool control_stat(const struct control_stat *from, struct slice what, struct out *out)
{
    struct process *p = from->process;
    unsigned number;

    if (slice_eq(what, S("server"))) {
        put_server(from, out);
        return true;
    }
    if (numbered(what, S("thread "), process_threads(p), &number)
            ? put_thread(p, number, out)
            : numbered(what, S("shard "), process_shards(p), &number) &&
                put_shard(p, number, out))
        return true;
    out->len = 0;
    out_str(out, "no figures of ");
    out_put(out, what);
    return false;
}
