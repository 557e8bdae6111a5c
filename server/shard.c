#include "server/shard.h"

#include <stdlib.h>

#include "server/clock.h"
#include "server/ring_disk.h"
#include "server/thread_state.h"

enum { FILES_MIN = 16, FILES_MAX = 4096 }; /* of a shard, open to read */

/* --- who owns what -------------------------------------------------------- */

unsigned shard_of_user(struct thread *t, struct slice user)
{
    const struct process *p = t->process;
    unsigned slot = data_slot(user);

    return p->slots ? p->slots[slot] : slot % p->shard_count;
}

struct thread *thread_of_shard(struct thread *t, unsigned shard)
{
    return t->process->threads[shard % t->process->thread_count];
}

struct thread *thread_of_user(struct thread *t, struct slice user)
{
    return thread_of_shard(t, shard_of_user(t, user));
}

static struct shard *shard_at(struct thread *t, unsigned number)
{
    unsigned at = number / t->process->thread_count;

    if (thread_of_shard(t, number) != t || at >= t->shard_count)
        return NULL;
    return t->shards[at];
}

struct shard *thread_shard_here(struct thread *t, struct slice user)
{
    return shard_at(t, shard_of_user(t, user));
}

struct store *shard_store(struct thread *t, unsigned shard)
{
    struct shard *s = shard_at(t, shard);

    return s ? s->store : NULL;
}

/* --- start ---------------------------------------------------------------- */

static void on_wake(void *arg)
{
    struct shard *s = arg;

    s->woken = true;
}

/* The store counts levels from 0: error, warning, information. */
static void on_event(void *arg, int level, const char *event, const char *text)
{
    static const int levels[] = {3, 4, 6};
    struct shard *s = arg;
    char line[1024];

    snprintf(line, sizeof line, "shard=%u %s", s->number, text);
    process_log(s->thread, levels[level < 0 || level > 2 ? 2 : level], event, line);
}

/* An equal part for each shard, and no more than pays: 256 GiB in segments of 64 MiB. */
static uint32_t files_of(const struct process *p)
{
    uint32_t part = p->conf.files / p->shard_count;

    if (p->conf.files == 0)
        return 0;
    if (part < FILES_MIN)
        return FILES_MIN;
    return part < FILES_MAX ? part : FILES_MAX;
}

static bool open_one(struct shard *s, char *why, size_t cap)
{
    struct process *p = s->thread->process;
    struct store_conf conf = p->conf.store;
    char path[DATA_PATH_MAX];
    enum status status;

    conf.store_id = data_layout(p->folder)->store_id;
    conf.shard = data_layout(p->folder)->first + s->number;
    conf.lanes = data_layout(p->folder)->shards;
    conf.lane = s->number;
    conf.files_max = files_of(p);
    conf.wake = on_wake;
    conf.event = on_event;
    conf.arg = s;
    if (!data_shard_path(p->folder, conf.shard, path, sizeof path)) {
        snprintf(why, cap, "the path of the data folder is too long");
        return false;
    }
    s->disk = ring_disk_open(s->thread, path, p->conf.segment_zero, why, cap);
    if (!s->disk)
        return false;
    ring_disk_starts(s->disk, true);
    status = store_open(&s->store, s->disk, &conf, clock_wall_s());
    ring_disk_starts(s->disk, false);
    if (status == STATUS_OK)
        return true;
    s->store = NULL;
    snprintf(why, cap, "%s: can't open the store: %s", path, status_text(status));
    return false;
}

static struct shard *add_shard(struct thread *t, unsigned number)
{
    struct shard *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->number = number;
    s->thread = t;
    t->shards[t->shard_count++] = s;
    return s;
}

bool shards_open(struct thread *t, char *why, size_t cap)
{
    struct process *p = t->process;

    t->shards = calloc(p->shard_count / p->thread_count + 1, sizeof(struct shard *));
    if (!t->shards) {
        snprintf(why, cap, "out of memory");
        return false;
    }
    for (unsigned n = t->index; n < p->shard_count; n += p->thread_count) {
        struct shard *s = add_shard(t, n);

        if (!s) {
            snprintf(why, cap, "out of memory");
            return false;
        }
        if (!open_one(s, why, cap))
            return false;
    }
    return true;
}

/* --- running and stop ----------------------------------------------------- */

void shards_answer(struct thread *t)
{
    for (unsigned i = 0; i < t->shard_count; i++)
        if (t->shards[i]->store)
            store_answer(t->shards[i]->store);
}

bool shards_turn(struct thread *t)
{
    bool more = false;

    for (unsigned i = 0; i < t->shard_count; i++) {
        struct shard *s = t->shards[i];

        s->woken = false;
        if (s->store)
            more |= store_turn(s->store, t->now_s) || s->woken;
    }
    return more;
}

int64_t shards_due_ns(const struct thread *t)
{
    uint64_t due = INT64_MAX;

    for (unsigned i = 0; i < t->shard_count; i++) {
        const struct store *store = t->shards[i]->store;
        uint64_t its = store ? store_due_ns(store) : UINT64_MAX;

        if (its < due)
            due = its;
    }
    return (int64_t)due;
}

static void on_stopped(struct store_op *op, enum status status)
{
    struct shard *s = container_of(op, struct shard, stop);

    s->stopped = true;
    s->failed = status != STATUS_OK;
}

void shards_stop(struct thread *t)
{
    for (unsigned i = 0; i < t->shard_count; i++) {
        struct shard *s = t->shards[i];

        s->stop.done = on_stopped;
        if (s->store)
            store_stop(s->store, &s->stop);
        else
            s->stopped = true;
    }
}

bool shards_stopped(const struct thread *t)
{
    for (unsigned i = 0; i < t->shard_count; i++)
        if (!t->shards[i]->stopped)
            return false;
    return true;
}

bool shards_close(struct thread *t)
{
    bool good = true;

    for (unsigned i = 0; i < t->shard_count; i++) {
        struct shard *s = t->shards[i];

        good &= !s->failed;
        if (s->store)
            store_close(s->store);
        if (s->disk)
            ring_disk_close(s->disk);
        free(s);
    }
    free(t->shards);
    t->shards = NULL;
    t->shard_count = 0;
    return good;
}
