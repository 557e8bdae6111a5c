#include "server/ring_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/ring.h"
#include "server/thread_state.h"

enum {
    WRITE_ZEROES = 0x80, /* FALLOC_FL_WRITE_ZEROES, Linux 6.17: written extents, no I/O */
    ZERO_BYTES = 1 << 20
};

struct ring_disk {
    struct disk disk;
    struct thread *thread;
    int folder;
    bool zero;
    bool starting;  /* ring_disk_starts() */
    int open_flags; /* O_DIRECT, where the file system takes it */
};

/* What a worker does for a request. */
struct disk_job {
    struct job job;
    struct ring_disk *disk;
    struct disk_op *op;
    int32_t res;
};

static struct ring_disk *disk_of(struct disk *disk)
{
    return container_of(disk, struct ring_disk, disk);
}

static void land(struct disk_op *op, int32_t res)
{
    op->op.pending = false;
    op->op.done(&op->op, res, 0);
}

/* --- by the ring ---------------------------------------------------------- */

static void on_ring(struct op *host_op, int32_t res, uint32_t flags);

/* host_word counts what has been transferred. */
static void transfer(struct ring_disk *d, struct disk_op *op)
{
    struct ring *ring = d->thread->ring;
    uint32_t done = (uint32_t)op->host_word;
    char *at = (char *)op->buffer + done;

    op_start(&op->host_op, on_ring);
    switch (op->call) {
    case DISK_READ:
        ring_read(ring, &op->host_op, op->file, at, op->bytes - done, op->offset + done);
        return;
    case DISK_WRITE:
    case DISK_COMMIT:
        ring_write(ring, &op->host_op, op->file, at, op->bytes - done, op->offset + done,
            op->call == DISK_COMMIT);
        return;
    case DISK_SYNC:
        ring_sync(ring, &op->host_op, op->file, true);
        return;
    case DISK_CREATE:
    case DISK_OPEN:
    case DISK_CLOSE:
    case DISK_REMOVE:
    case DISK_LINKS:
        break;
    }
    CHECK(false); /* the others are for a worker */
}

/* Reads and plain writes go on after a part; a commit or a sync that did not succeed is
 * never tried again. */
static void on_ring(struct op *host_op, int32_t res, uint32_t flags)
{
    struct disk_op *op = container_of(host_op, struct disk_op, host_op);
    bool again = op->call == DISK_READ || op->call == DISK_WRITE;

    (void)flags;
    if (again && (res == -EINTR || res == -EAGAIN)) {
        transfer(op->host, op);
        return;
    }
    if (again && res > 0) {
        op->host_word += res;
        if (op->host_word < op->bytes && op->host_word % DISK_BLOCK == 0) {
            transfer(op->host, op);
            return;
        }
    }
    land(op, again && res >= 0 ? (int32_t)op->host_word : res);
}

/* --- by a worker ---------------------------------------------------------- */

static int write_zeroes(int fd, uint32_t bytes)
{
    char *zeroes = aligned_alloc(DISK_BLOCK, ZERO_BYTES);
    int error = zeroes ? 0 : ENOMEM;

    if (zeroes)
        memset(zeroes, 0, ZERO_BYTES);
    for (uint32_t at = 0; !error && at < bytes;) {
        size_t part = bytes - at < ZERO_BYTES ? bytes - at : ZERO_BYTES;
        ssize_t n = pwrite(fd, zeroes, part, at);

        if (n > 0)
            at += (uint32_t)n;
        else if (n == 0 || errno != EINTR)
            error = n == 0 ? EIO : errno;
    }
    free(zeroes);
    return error;
}

/* Space for all of the file, so that commits change neither size nor allocation. */
static int reserve(const struct ring_disk *d, int fd, uint32_t bytes)
{
    int error = 0;

    if (bytes == 0 || fallocate(fd, WRITE_ZEROES, 0, bytes) == 0)
        return 0;
    if (fallocate(fd, 0, 0, bytes) != 0)
        error = errno;
    if (error && error != EOPNOTSUPP)
        return error;
    if (error || d->zero)
        return write_zeroes(fd, bytes);
    return 0;
}

static int32_t create(const struct ring_disk *d, const char *name, uint32_t bytes)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | d->open_flags;
    int fd = openat(d->folder, name, flags, 0600);
    int error;

    if (fd < 0)
        return -errno;
    error = reserve(d, fd, bytes);
    if (!error && (fsync(fd) != 0 || fsync(d->folder) != 0))
        error = errno;
    if (!error)
        return fd;
    unlinkat(d->folder, name, 0);
    close(fd);
    return -error;
}

static int32_t remove_name(const struct ring_disk *d, const char *name)
{
    if (unlinkat(d->folder, name, 0) != 0 || fsync(d->folder) != 0)
        return -errno;
    return 0;
}

static int32_t links_of(const struct ring_disk *d, const char *name)
{
    struct stat st;

    if (fstatat(d->folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    return (int32_t)st.st_nlink;
}

static int32_t open_name(const struct ring_disk *d, const char *name, bool once)
{
    int flags = O_RDONLY | O_CLOEXEC | (once ? d->open_flags : 0);
    int fd = openat(d->folder, name, flags);

    return fd < 0 ? -errno : fd;
}

/* Takes as long as it takes. */
static int32_t perform(const struct ring_disk *d, const struct disk_op *op)
{
    switch (op->call) {
    case DISK_CREATE:
        return create(d, op->name, op->bytes);
    case DISK_OPEN:
        return open_name(d, op->name, op->once);
    case DISK_CLOSE:
        return close(op->file) == 0 || errno == EINTR ? 0 : -errno;
    case DISK_REMOVE:
        return remove_name(d, op->name);
    case DISK_LINKS:
        return links_of(d, op->name);
    case DISK_COMMIT:
    case DISK_WRITE:
    case DISK_SYNC:
    case DISK_READ:
        break;
    }
    CHECK(false); /* the others are for the ring */
    return -EINVAL;
}

static void work(struct job *job)
{
    struct disk_job *j = container_of(job, struct disk_job, job);

    j->res = perform(j->disk, j->op);
}

static void on_worked(struct job *job)
{
    struct disk_job *j = container_of(job, struct disk_job, job);
    struct disk_op *op = j->op;
    int32_t res = j->res;

    free(j);
    land(op, res);
}

static void give_to_worker(struct ring_disk *d, struct disk_op *op)
{
    struct disk_job *j = calloc(1, sizeof *j);

    if (j) {
        j->disk = d;
        j->op = op;
        j->job.work = work;
        j->job.done = on_worked;
        if (worker_start_disk(d->thread, &j->job))
            return;
    }
    op_post(&d->thread->ready, &op->op, j ? -EBUSY : -ENOMEM);
    free(j);
}

/* --- the interface -------------------------------------------------------- */

static void submit(struct disk *disk, struct disk_op *op)
{
    struct ring_disk *d = disk_of(disk);

    op->host = d;
    op->host_word = 0;
    switch (op->call) {
    case DISK_READ:
    case DISK_WRITE:
    case DISK_COMMIT:
    case DISK_SYNC:
        transfer(d, op);
        return;
    case DISK_CREATE:
    case DISK_OPEN:
    case DISK_CLOSE:
    case DISK_REMOVE:
    case DISK_LINKS:
        if (d->starting)
            op_post(&d->thread->ready, &op->op, perform(d, op));
        else
            give_to_worker(d, op);
        return;
    }
}

static void wait_for(struct disk *disk, struct disk_op *op)
{
    struct thread *t = disk_of(disk)->thread;

    while (op->op.pending)
        if (!op_queue_run(&t->ready))
            thread_wait(t);
}

static void begin(struct disk *disk)
{
    struct thread *t = disk_of(disk)->thread;

    ring_enter(t->ring, t->now_ns, 0);
}

static enum status list(struct disk *disk, disk_name_fn *each, void *arg)
{
    int fd = openat(disk_of(disk)->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat st;
    int error;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return STATUS_IO;
    }
    errno = 0;
    while ((entry = readdir(dir))) {
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            each(arg, entry->d_name, (uint64_t)st.st_size);
        errno = 0;
    }
    error = errno;
    closedir(dir);
    return error ? STATUS_IO : STATUS_OK;
}

static int32_t peek(
    struct disk *disk, int32_t file, void *buffer, uint32_t bytes, uint64_t offset)
{
    struct iovec iov = {buffer, bytes};
    ssize_t n = preadv2(file, &iov, 1, (off_t)offset, RWF_NOWAIT);

    (void)disk;
    return n < 0 ? -errno : (int32_t)n;
}

static uint64_t now_ns(struct disk *disk)
{
    return (uint64_t)disk_of(disk)->thread->now_ns;
}

static const struct disk_calls calls = {submit, wait_for, begin, list, peek, now_ns};

/* --- opening -------------------------------------------------------------- */

/* Some file systems take the flag and refuse the write: so one is tried. */
static bool direct_works(int folder)
{
    static const char name[] = "direct-probe";
    int fd =
        openat(folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600);
    char *block = aligned_alloc(DISK_BLOCK, DISK_BLOCK);
    struct iovec iov = {block, DISK_BLOCK};
    bool good = false;

    if (fd >= 0 && block) {
        memset(block, 0, DISK_BLOCK);
        good = pwritev2(fd, &iov, 1, 0, RWF_DSYNC) == DISK_BLOCK;
    }
    if (fd >= 0) {
        close(fd);
        unlinkat(folder, name, 0);
    }
    free(block);
    return good;
}

struct disk *ring_disk_open(
    struct thread *t, const char *path, bool zero, char *why, size_t cap)
{
    struct ring_disk *d = calloc(1, sizeof *d);
    char text[600];

    if (!d) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    d->disk.calls = &calls;
    d->thread = t;
    d->zero = zero;
    d->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->folder < 0) {
        snprintf(why, cap, "%s: can't open: %s", path, strerror(errno));
        free(d);
        return NULL;
    }
    if (direct_works(d->folder)) {
        d->open_flags = O_DIRECT;
    } else {
        snprintf(text, sizeof text,
            "folder=\"%.500s\" reason=\"no direct writes here: the page cache is used\"",
            path);
        process_log(t, 5, "disk-buffered", text);
    }
    return &d->disk;
}

void ring_disk_starts(struct disk *disk, bool starting)
{
    disk_of(disk)->starting = starting;
}

void ring_disk_close(struct disk *disk)
{
    struct ring_disk *d = disk_of(disk);

    close(d->folder);
    free(d);
}
