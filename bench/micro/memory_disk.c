#include "bench/micro/memory_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/micro.h"

static struct memory_disk *disk_of(struct disk *disk)
{
    return container_of(disk, struct memory_disk, disk);
}

static int32_t find(const struct memory_disk *d, const char *name)
{
    for (unsigned i = 0; i < d->file_count; i++)
        if (d->files[i].linked && strcmp(d->files[i].name, name) == 0)
            return (int32_t)i;
    return -ENOENT;
}

static void grow(struct memory_disk *d, struct memory_file *f, uint64_t bytes)
{
    if (bytes <= f->bytes)
        return;
    if (!d->drops) {
        f->at = realloc(f->at, bytes);
        if (!f->at)
            micro_die("out of memory");
        memset(f->at + f->bytes, 0, bytes - f->bytes);
    }
    f->bytes = bytes;
}

static int32_t create(struct memory_disk *d, const char *name, uint32_t bytes)
{
    struct memory_file *f = &d->files[d->file_count];

    if (find(d, name) >= 0)
        return -EEXIST;
    if (d->file_count == MEMORY_FILES_MAX)
        return -ENOSPC;
    strncpy(f->name, name, sizeof f->name - 1);
    f->linked = true;
    grow(d, f, bytes);
    return (int32_t)d->file_count++;
}

static int32_t write_to(struct memory_disk *d, const struct disk_op *op)
{
    struct memory_file *f = &d->files[op->file];

    grow(d, f, op->offset + op->bytes);
    if (!d->drops)
        memcpy(f->at + op->offset, op->buffer, op->bytes);
    return (int32_t)op->bytes;
}

static int32_t read_from(const struct memory_disk *d, const struct disk_op *op)
{
    const struct memory_file *f = &d->files[op->file];
    uint64_t left = op->offset < f->bytes ? f->bytes - op->offset : 0;
    size_t n = op->bytes < left ? op->bytes : left;

    if (d->drops)
        return -EIO;
    memcpy(op->buffer, f->at + op->offset, n);
    return (int32_t)n;
}

static int32_t remove_name(struct memory_disk *d, const char *name)
{
    int32_t file = find(d, name);

    if (file < 0)
        return file;
    d->files[file].linked = false;
    free(d->files[file].at);
    d->files[file].at = NULL;
    d->files[file].bytes = 0;
    return 0;
}

static int32_t serve(struct memory_disk *d, struct disk_op *op)
{
    switch (op->call) {
    case DISK_CREATE:
        return create(d, op->name, op->bytes);
    case DISK_OPEN:
        return find(d, op->name);
    case DISK_COMMIT:
    case DISK_WRITE:
        return write_to(d, op);
    case DISK_READ:
        return read_from(d, op);
    case DISK_REMOVE:
        return remove_name(d, op->name);
    case DISK_LINKS:
        return find(d, op->name) < 0 ? -ENOENT : 1;
    case DISK_SYNC:
    case DISK_CLOSE:
        return 0;
    }
    return -EINVAL;
}

static void submit(struct disk *disk, struct disk_op *op)
{
    struct memory_disk *d = disk_of(disk);

    op_post(&d->landing, &op->op, serve(d, op));
}

bool memory_disk_step(struct memory_disk *d)
{
    return op_queue_run(&d->landing);
}

static void wait_for(struct disk *disk, struct disk_op *op)
{
    while (op->op.pending)
        CHECK(memory_disk_step(disk_of(disk)));
}

static enum status list(struct disk *disk, disk_name_fn *each, void *arg)
{
    const struct memory_disk *d = disk_of(disk);

    for (unsigned i = 0; i < d->file_count; i++)
        if (d->files[i].linked)
            each(arg, d->files[i].name, d->files[i].bytes);
    return STATUS_OK;
}

/* Nothing here takes time. */
static uint64_t now_ns(struct disk *disk)
{
    (void)disk;
    return 1;
}

struct memory_disk *memory_disk_open(bool drops)
{
    static const struct disk_calls calls = {submit, wait_for, NULL, list, NULL, now_ns};
    struct memory_disk *d = micro_take(sizeof *d);

    d->disk.calls = &calls;
    d->drops = drops;
    op_queue_init(&d->landing);
    return d;
}

void memory_disk_close(struct memory_disk *d)
{
    for (unsigned i = 0; i < d->file_count; i++)
        free(d->files[i].at);
    free(d);
}
