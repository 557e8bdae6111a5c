/* disk.h -- all the store asks of the world: files in the folder of one shard.
 *
 * In the server the requests go to an io_uring and a few workers; in the tests to
 * arrays in memory that lose, tear and reorder what was not made durable.
 *
 * A request is a struct disk_op inside its owner. One of the functions below fills it
 * and hands it over; op.done(op, res, 0) runs later, from the host's loop and never
 * from inside the call. The op, the buffer and the name belong to the host until then.
 * res is a count, a file number (>= 0), or a negative errno.
 *
 *      create   res: file number, for reading and writing
 *      open     res: file number, for reading only
 *      commit   res: bytes, all of them durable; fewer or negative is a failure
 *      write    res: bytes, not durable before a sync
 *      sync     res: 0, everything written to the file is durable
 *      read     res: bytes, fewer only at the end of the file
 *      close    res: 0
 *      remove   res: 0, durable
 *      links    res: how many names the file has, in all folders
 *
 * Alignment: offset and buffer of reads, writes and commits are multiples of
 * DISK_BLOCK, and so is the count. A host may use O_DIRECT anywhere, and should for
 * created files: what is read from an open segment must be what was committed.
 */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/op.h"

enum {
    DISK_BLOCK = 4096,  /* alignment of every transfer */
    DISK_NAME_MAX = 32, /* of a file name, with its final NUL */
};

enum disk_call {
    DISK_CREATE,
    DISK_OPEN,
    DISK_COMMIT,
    DISK_WRITE,
    DISK_SYNC,
    DISK_READ,
    DISK_CLOSE,
    DISK_REMOVE,
    DISK_LINKS,
};

struct disk_op {
    struct op op;
    enum disk_call call;
    int32_t file;     /* all but create, open, remove */
    uint32_t bytes;   /* commit, write, read: count; create: size of the file */
    uint64_t offset;  /* commit, write, read */
    void *buffer;     /* commit, write, read */
    const char *name; /* create, open, remove, links; NUL-terminated, no slash */
    bool once;        /* open */

    /* For the host while the request is in flight; never looked at by the store. */
    struct op host_op;
    void *host;
    int64_t host_word;
};

struct disk;

typedef void disk_name_fn(void *arg, const char *name, uint64_t bytes);

struct disk_calls {
    /* Takes the request; it fails only through done(). */
    void (*submit)(struct disk *disk, struct disk_op *op);

    /* Blocks until `op` has landed; whatever else lands meanwhile is run as well.
     * Start, stop and offline commands only. */
    void (*wait)(struct disk *disk, struct disk_op *op);

    /* Requests that were handed over are on their way now, not only in wait(). NULL: they
     * are in any case. Start and offline only. */
    void (*begin)(struct disk *disk);

    /* Every file of the folder, in any order. Blocks; start and offline only. */
    enum status (*list)(struct disk *disk, disk_name_fn *each, void *arg);

    /* Bytes of a file from open, at once: a count, or -EAGAIN when it would have to wait
     * for them. NULL: nothing can be had so here. */
    int32_t (*peek)(
        struct disk *disk, int32_t file, void *buffer, uint32_t bytes, uint64_t offset);

    /* A monotonic clock; the time at which the turn began is good enough. */
    uint64_t (*now_ns)(struct disk *disk);
};

struct disk {
    const struct disk_calls *calls;
};

static inline void disk_submit(
    struct disk *d, struct disk_op *op, enum disk_call call, op_done_fn *done)
{
    op_start(&op->op, done);
    op->call = call;
    d->calls->submit(d, op);
}

/* A new file of `bytes` bytes (0: it grows by writes). Before done() reports success the
 * space is reserved, the size is final, and file and directory entry are durable; the
 * content is zeroes or whatever the blocks held. -ENOSPC and -EDQUOT: no room, and
 * nothing remains. -EEXIST: the name is taken, which also shuts out a second writer. */
static inline void disk_create(struct disk *d, struct disk_op *op, op_done_fn *done,
    const char *name, uint32_t bytes)
{
    op->name = name;
    op->bytes = bytes;
    disk_submit(d, op, DISK_CREATE, done);
}

/* An existing file, for reading, through the page cache. -ENOENT. Files opened so are
 * no longer written. */
static inline void disk_open(
    struct disk *d, struct disk_op *op, op_done_fn *done, const char *name)
{
    op->name = name;
    op->once = false;
    disk_submit(d, op, DISK_OPEN, done);
}

/* The same for a file that is read from end to end, and not soon again: a host that can
 * leaves it out of its page cache. */
static inline void disk_open_once(
    struct disk *d, struct disk_op *op, op_done_fn *done, const char *name)
{
    op->name = name;
    op->once = true;
    disk_submit(d, op, DISK_OPEN, done);
}

/* Writes inside the size given at creation; done(bytes) when it is on the disk to stay.
 * Several may be in flight, also on one file, and may land in any order. */
static inline void disk_commit(struct disk *d, struct disk_op *op, op_done_fn *done,
    int32_t file, void *buffer, uint32_t bytes, uint64_t offset)
{
    op->file = file;
    op->buffer = buffer;
    op->bytes = bytes;
    op->offset = offset;
    disk_submit(d, op, DISK_COMMIT, done);
}

/* Writes, growing the file where needed; a checkpoint's way, one at a time. */
static inline void disk_write(struct disk *d, struct disk_op *op, op_done_fn *done,
    int32_t file, void *buffer, uint32_t bytes, uint64_t offset)
{
    op->file = file;
    op->buffer = buffer;
    op->bytes = bytes;
    op->offset = offset;
    disk_submit(d, op, DISK_WRITE, done);
}

/* Makes all earlier writes of the file, and its size, durable. A failure is final: the
 * store does not ask again, it removes the file. */
static inline void disk_sync(
    struct disk *d, struct disk_op *op, op_done_fn *done, int32_t file)
{
    op->file = file;
    disk_submit(d, op, DISK_SYNC, done);
}

static inline void disk_read(struct disk *d, struct disk_op *op, op_done_fn *done,
    int32_t file, void *buffer, uint32_t bytes, uint64_t offset)
{
    op->file = file;
    op->buffer = buffer;
    op->bytes = bytes;
    op->offset = offset;
    disk_submit(d, op, DISK_READ, done);
}

/* What the page cache has of a file from disk_open(). Never waits: a count, fewer when
 * the rest is not there, or a negative errno. Needs no alignment. */
static inline int32_t disk_peek(
    struct disk *d, int32_t file, void *buffer, uint32_t bytes, uint64_t offset)
{
    return d->calls->peek ? d->calls->peek(d, file, buffer, bytes, offset) : -EAGAIN;
}

/* With nothing in flight on the file; its number is free again after done(). */
static inline void disk_close(
    struct disk *d, struct disk_op *op, op_done_fn *done, int32_t file)
{
    op->file = file;
    disk_submit(d, op, DISK_CLOSE, done);
}

/* The name is gone for good when done() reports success. -ENOENT. The store has closed
 * its numbers of the file before. */
static inline void disk_remove(
    struct disk *d, struct disk_op *op, op_done_fn *done, const char *name)
{
    op->name = name;
    disk_submit(d, op, DISK_REMOVE, done);
}

/* By how many names an existing file is known: segments are shared by hard links. A host
 * without such links answers 1. -ENOENT. */
static inline void disk_links(
    struct disk *d, struct disk_op *op, op_done_fn *done, const char *name)
{
    op->name = name;
    disk_submit(d, op, DISK_LINKS, done);
}

static inline void disk_begin(struct disk *d)
{
    if (d->calls->begin)
        d->calls->begin(d);
}

/* Blocks until op has landed. */
static inline void disk_wait(struct disk *d, struct disk_op *op)
{
    if (op->op.pending)
        d->calls->wait(d, op);
    CHECK(!op->op.pending);
}
