/* ceiling_commit.c -- durable appends: aligned writes past the page cache into a file
 * that has its blocks already, each on the disk when it lands. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum {
    FILE_BYTES = 64 << 20,
    ZERO_BYTES = 1 << 20,
    ALIGNMENT = 4096,
    DEPTH_MAX = 4,
    LATENCIES_MAX = 1 << 20,
};

struct appender {
    struct ring *ring;
    int fd;
    uint32_t bytes;    /* of each append */
    uint64_t offset;   /* of the next one */
    int64_t end_ns;    /* no new one after it */
    uint32_t *latency; /* of each, in ns */
    size_t done;
    unsigned open;
    struct append {
        struct op op;
        struct appender *all;
        void *at;
        int64_t began_ns;
    } appends[DEPTH_MAX];
};

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void start(struct append *a);

static void on_append(struct op *op, int32_t res, uint32_t flags)
{
    struct append *a = container_of(op, struct append, op);
    struct appender *all = a->all;
    int64_t now = clock_monotonic_ns();

    (void)flags;
    if (res != (int32_t)all->bytes) {
        errno = res < 0 ? -res : EIO;
        ceiling_fail("a durable write past the page cache");
    }
    if (all->done < LATENCIES_MAX)
        all->latency[all->done] = (uint32_t)(now - a->began_ns);
    all->done++;
    all->open--;
    if (now < all->end_ns)
        start(a);
}

static void start(struct append *a)
{
    struct appender *all = a->all;

    if (all->offset + all->bytes > FILE_BYTES)
        all->offset = 0;
    a->began_ns = clock_monotonic_ns();
    op_start(&a->op, on_append);
    ring_write(all->ring, &a->op, all->fd, a->at, all->bytes, all->offset, true);
    all->offset += all->bytes;
    all->open++;
}

static void measure(struct appender *all, const struct ceiling_conf *conf)
{
    int64_t began = clock_monotonic_ns(), cpu = ceiling_process_cpu_ns();
    double elapsed, used;
    size_t kept;

    all->bytes = conf->kib << 10;
    all->end_ns = began + (int64_t)(conf->seconds * 1e9);
    for (unsigned i = 0; i < conf->depth; i++)
        start(&all->appends[i]);
    while (all->open) {
        ring_enter(all->ring, clock_monotonic_ns(), -1);
        ring_reap(all->ring, UINT32_MAX);
    }
    elapsed = (double)(clock_monotonic_ns() - began) / 1e9;
    used = (double)(ceiling_process_cpu_ns() - cpu) / 1e3;
    kept = all->done < LATENCIES_MAX ? all->done : LATENCIES_MAX;
    qsort(all->latency, kept, sizeof *all->latency, by_size);
    ceiling_put(conf, "per_s", (double)all->done / elapsed);
    ceiling_put(conf, "us", used / (double)all->done);
    ceiling_put(conf, "p50_us", all->latency[kept / 2] / 1e3);
    ceiling_put(conf, "p99_us", all->latency[kept * 99 / 100] / 1e3);
}

/* Written once with zeros: blocks that only are reserved cost a change of the file's map
 * at their first write. */
static int zeroed_file(const char *folder)
{
    char name[4096], *zeros = aligned_alloc(ALIGNMENT, ZERO_BYTES);
    int fd;

    snprintf(name, sizeof name, "%s/ceiling.XXXXXX", folder);
    fd = mkostemp(name, O_CLOEXEC | O_DIRECT);
    if (fd < 0 || !zeros || unlink(name))
        ceiling_fail(name);
    memset(zeros, 0, ZERO_BYTES);
    for (off_t at = 0; at < FILE_BYTES; at += ZERO_BYTES)
        if (pwrite(fd, zeros, ZERO_BYTES, at) != ZERO_BYTES)
            ceiling_fail(name);
    if (fsync(fd))
        ceiling_fail(name);
    free(zeros);
    return fd;
}

void ceiling_commit(const struct ceiling_conf *conf)
{
    struct appender all = {.ring = ceiling_ring(), .fd = zeroed_file(conf->folder)};

    CHECK(conf->depth <= DEPTH_MAX);
    all.latency = malloc(LATENCIES_MAX * sizeof *all.latency);
    for (unsigned i = 0; i < conf->depth; i++) {
        all.appends[i].all = &all;
        all.appends[i].at = aligned_alloc(ALIGNMENT, conf->kib << 10);
        if (!all.latency || !all.appends[i].at)
            ceiling_fail("memory for the appends");
        memset(all.appends[i].at, 'm', conf->kib << 10);
    }
    measure(&all, conf);
    for (unsigned i = 0; i < conf->depth; i++)
        free(all.appends[i].at);
    free(all.latency);
    ring_close(all.ring);
    close(all.fd);
}
