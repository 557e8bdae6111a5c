/* Commits: appends of one KiB that are on the disk, through the log and the ring, beside
 * plain writes of as many bytes to a file prepared in the same way. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/micro/micro.h"
#include "server/process.h"
#include "server/ring_disk.h"
#include "server/thread_state.h"
#include "store/log.h"

enum {
    PAYLOAD_BYTES = 992, /* with its header an append is one KiB */
    APPEND_BYTES = PAYLOAD_BYTES + (int)sizeof(struct record_header),
    BATCH_HEAD = (int)(sizeof(struct record_header) + sizeof(struct batch_header)),
    SEGMENT_BYTES = 64 << 20,
    SEGMENT_BYTES_QUICK = 1 << 20,
    FLYING_MAX = 4,
};

struct commits {
    struct process *process;
    struct disk *disk;
    struct log *log;
    unsigned batch, flying;          /* appends in a batch; batches in flight */
    uint64_t wanted, started, ended; /* batches of this call */
    struct slot {
        struct log_waiter waiter;
        struct commits *commits;
        bool flies;
    } slots[FLYING_MAX];
    char payload[PAYLOAD_BYTES];

    /* The plain files. */
    int direct, buffered; /* descriptors; of a second one, where there is one */
    char *block;
    uint32_t block_bytes, file_bytes;
    _Atomic uint64_t next; /* write of this call */
};

static uint32_t segment_bytes(void)
{
    return micro_options.quick ? SEGMENT_BYTES_QUICK : SEGMENT_BYTES;
}

/* --- through the log, on the thread of the ring ---------------------------- */

static void on_durable(struct log_waiter *w, enum status status)
{
    struct slot *slot = container_of(w, struct slot, waiter);

    if (status != STATUS_OK)
        micro_die("a commit has failed: %s", status_text(status));
    slot->flies = false;
    slot->commits->ended++;
}

static bool append(struct commits *c)
{
    struct slice payload = slice_of(c->payload, sizeof c->payload);
    uint64_t place, seq = 0;
    enum status status =
        log_add(c->log, LOG_GROW, RECORD_MESSAGE, 0, &payload, 1, &place, &seq);

    if (status != STATUS_OK && status != STATUS_BUSY)
        micro_die("the log takes no record: %s", status_text(status));
    return status == STATUS_OK;
}

static void thread_turn(struct commits *c, struct thread *t)
{
    log_turn(c->log);
    if (!op_queue_run(&t->ready))
        thread_wait(t);
}

static struct slot *free_slot(struct commits *c)
{
    for (unsigned i = 0; i < c->flying; i++)
        if (!c->slots[i].flies)
            return &c->slots[i];
    return NULL;
}

static void start_batch(struct commits *c, struct thread *t, struct slot *slot)
{
    for (unsigned i = 0; i < c->batch; i++)
        while (!append(c)) /* the next segment is not ready */
            thread_turn(c, t);
    slot->flies = true;
    c->started++;
    log_wait(c->log, &slot->waiter);
    log_turn(c->log);
}

static void commit_some(struct thread *t, void *arg)
{
    struct commits *c = arg;
    struct slot *slot;

    while (c->ended < c->wanted) {
        while (c->started < c->wanted && (slot = free_slot(c)))
            start_batch(c, t, slot);
        if (c->ended < c->wanted)
            thread_turn(c, t);
    }
}

static uint64_t run_log(void *state, uint64_t passes)
{
    struct commits *c = state;

    c->wanted = passes * c->flying;
    c->started = c->ended = 0;
    process_run(c->process, 0, commit_some, c);
    return c->wanted * c->batch;
}

static enum status on_replay(void *arg, const struct log_record *record)
{
    (void)arg;
    (void)record;
    return STATUS_OK;
}

static void on_damage(
    void *arg, uint32_t segment, uint64_t offset, uint64_t bytes, const char *what)
{
    (void)arg;
    micro_die("segment %x of a new log, %llu bytes at %llu: %s", segment,
        (unsigned long long)bytes, (unsigned long long)offset, what);
}

static void open_log(struct thread *t, void *arg)
{
    struct commits *c = arg;
    const struct log_conf conf = {.store_id = 1,
        .shard = 1,
        .segment_bytes = segment_bytes(),
        .batch_bytes = (uint32_t)(BATCH_HEAD + (int)c->batch * APPEND_BYTES),
        .in_flight = c->flying,
        .recent_bytes = 4 << 20};
    struct log_start start = {.replay = on_replay, .damage = on_damage};
    char why[256];

    c->disk = ring_disk_open(t, micro_folder(), true, why, sizeof why);
    if (!c->disk)
        micro_die("%s", why);
    if (log_open(&c->log, c->disk, &conf, &start) != STATUS_OK)
        micro_die("can't open a log in %s", micro_folder());
    for (size_t at = 0, n = 1; n > 0; at += n)
        n = log_fill_recent(c->log, at);
    do /* until the segments are made that come next */
        thread_turn(c, t);
    while (!log_idle(c->log));
}

static void remove_file(void *arg, const char *name, uint64_t bytes)
{
    char path[4096 + 64];

    (void)arg;
    (void)bytes;
    snprintf(path, sizeof path, "%s/%s", micro_folder(), name);
    unlink(path);
}

static void close_log(struct thread *t, void *arg)
{
    struct commits *c = arg;

    while (!log_idle(c->log))
        thread_turn(c, t);
    log_close(c->log);
    if (c->disk->calls->list(c->disk, remove_file, NULL) != STATUS_OK)
        micro_die("can't list %s", micro_folder());
    ring_disk_close(c->disk);
}

/* --- plain files ------------------------------------------------------- */

/* A file of zeroes that are on the disk, as the log prepares its segments. */
static int prepare(const struct commits *c, const char *name, int flags)
{
    char path[4096 + 64];
    int fd;

    snprintf(path, sizeof path, "%s/%s", micro_folder(), name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (uint32_t at = 0; at < c->file_bytes; at += c->block_bytes)
        if (pwrite(fd, c->block, c->block_bytes, at) != (ssize_t)c->block_bytes)
            micro_die("%s: can't write: %s", path, strerror(errno));
    if (fsync(fd) != 0)
        micro_die("%s: can't sync: %s", path, strerror(errno));
    close(fd);
    fd = open(path, O_WRONLY | O_CLOEXEC | flags);
    if (fd < 0)
        micro_die("%s: can't open (%s): the file system must take direct writes, give "
                  "--dir another",
            path, strerror(errno));
    return fd;
}

static void open_plain(struct commits *c)
{
    size_t bytes = (size_t)BATCH_HEAD + (size_t)c->batch * APPEND_BYTES;

    c->block_bytes = (uint32_t)((bytes + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK);
    c->file_bytes = segment_bytes() / c->block_bytes * c->block_bytes;
    c->block = aligned_alloc(DISK_BLOCK, c->block_bytes);
    if (!c->block)
        micro_die("out of memory");
    memset(c->block, 0, c->block_bytes);
    c->direct = prepare(c, "direct", O_DIRECT);
}

/* The `at`-th write of the call, or that there is none. */
static bool take_write(struct commits *c, off_t *at)
{
    uint64_t i = c->next++;

    *at = (off_t)(i * c->block_bytes % c->file_bytes);
    return i < c->wanted;
}

static void *write_direct(void *arg)
{
    struct commits *c = arg;
    struct iovec iov = {c->block, c->block_bytes};
    off_t at;

    while (take_write(c, &at))
        if (pwritev2(c->direct, &iov, 1, at, RWF_DSYNC) != (ssize_t)c->block_bytes)
            micro_die("a direct write has failed: %s", strerror(errno));
    return NULL;
}

/* Several in flight take several threads: that is how plain C does it. */
static uint64_t run_direct(void *state, uint64_t passes)
{
    struct commits *c = state;
    pthread_t threads[FLYING_MAX];

    c->wanted = passes * c->flying;
    c->next = 0;
    for (unsigned i = 1; i < c->flying; i++)
        if (pthread_create(&threads[i], NULL, write_direct, c) != 0)
            micro_die("can't start a thread");
    write_direct(c);
    for (unsigned i = 1; i < c->flying; i++)
        pthread_join(threads[i], NULL);
    return c->wanted * c->batch;
}

static uint64_t run_buffered(void *state, uint64_t passes)
{
    struct commits *c = state;
    off_t at;

    c->wanted = passes;
    c->next = 0;
    while (take_write(c, &at))
        if (pwrite(c->buffered, c->block, c->block_bytes, at) !=
                (ssize_t)c->block_bytes ||
            fdatasync(c->buffered) != 0)
            micro_die("a write has failed: %s", strerror(errno));
    return c->wanted * c->batch;
}

/* --- cases ---------------------------------------------------------------- */

static void on_event(int level, const char *event, const char *text)
{
    if (level < 5)
        fprintf(stderr, "ringmail-micro: %s %s\n", event, text);
}

static void *open_any(const struct micro *m)
{
    struct commits *c = micro_take(sizeof *c);

    c->batch = m->size;
    c->flying = m->depth;
    c->buffered = -1;
    open_plain(c);
    return c;
}

static void *open_raw(const struct micro *m)
{
    struct commits *c = open_any(m);

    c->buffered = prepare(c, "buffered", 0);
    return c;
}

static void *open_commits(const struct micro *m)
{
    const struct process_conf conf = {.threads = 1, .log = on_event};
    struct commits *c = open_any(m);
    char why[512];

    for (unsigned i = 0; i < FLYING_MAX; i++) {
        c->slots[i].waiter.done = on_durable;
        c->slots[i].commits = c;
    }
    memset(c->payload, 'a', sizeof c->payload);
    c->process = process_open(&conf, why, sizeof why);
    if (!c->process || !process_start(c->process, why, sizeof why))
        micro_die("%s", why);
    process_run(c->process, 0, open_log, c);
    return c;
}

static void close_raw(void *state)
{
    struct commits *c = state;

    close(c->direct);
    if (c->buffered >= 0)
        close(c->buffered);
    free(c->block);
    free(c);
}

static void close_commits(void *state)
{
    struct commits *c = state;

    process_run(c->process, 0, close_log, c);
    if (!process_stop(c->process))
        micro_die("the thread of the ring did not stop in order");
    close_raw(c);
}

#define LOG(case, appends, batches)                                            \
    {                                                                          \
        .name = case, .against = "direct write, dsync", .unit = MICRO_TIMES,   \
        .wall = true, .size = appends, .depth = batches, .open = open_commits, \
        .run = run_log, .reference = run_direct, .close = close_commits        \
    }
#define RAW(case, appends)                                                   \
    {                                                                        \
        .name = case, .against = "direct write, dsync", .unit = MICRO_TIMES, \
        .wall = true, .size = appends, .depth = 1, .open = open_raw,         \
        .run = run_buffered, .reference = run_direct, .close = close_raw     \
    }

/* The RAW ones say what the other plain way, write and fdatasync, is worth here. */
const struct micro micro_commit[] = {LOG("log-1x1", 1, 1), LOG("log-4x1", 4, 1),
    LOG("log-16x1", 16, 1), LOG("log-64x1", 64, 1), LOG("log-256x1", 256, 1),
    LOG("log-1x4", 1, 4), LOG("log-4x4", 4, 4), LOG("log-16x4", 16, 4),
    LOG("log-64x4", 64, 4), LOG("log-256x4", 256, 4), RAW("raw-fdatasync-1", 1),
    RAW("raw-fdatasync-16", 16), RAW("raw-fdatasync-256", 256), {0}};
