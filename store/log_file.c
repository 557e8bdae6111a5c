/* Open files: a segment is read through the file number it was written by, or, once it
 * is sealed and settled, through one of a bounded number opened for reading.
 *
 *      FREE --> OPENING --> OPEN --least recently used, idle--> CLOSING --> FREE
 */
#include "store/log_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum status files_open(struct log *log)
{
    list_init(&log->files);
    list_init(&log->free_files);
    list_init(&log->file_waiters);
    log->file_table = log_alloc(FILES_MAX * sizeof *log->file_table);
    if (!log->file_table)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct log_file *f = &log->file_table[i];

        f->log = log;
        list_init(&f->waiting);
        list_add(&log->free_files, &f->link);
    }
    return STATUS_OK;
}

/* --- the read itself --- */

static void file_close(struct log_file *f);
static void serve(struct log *log, struct log_io *io);

static void on_read(struct op *op, int32_t res, uint32_t flags)
{
    struct log_io *io = container_of(op, struct log_io, op.op);
    struct log *log = io->log;
    struct log_file *f = io->file;

    (void)flags;
    io->file = NULL;
    if (!f) {
        io->segment->reading--;
    } else if (--f->reading == 0 && !list_empty(&log->file_waiters)) {
        file_close(f);
    }
    io->done(io, res);
}

static void read_from(struct log_io *io, int32_t number)
{
    disk_read(io->log->disk, &io->op, on_read, number, io->op.buffer, io->op.bytes,
        io->op.offset);
}

static void read_file(struct log_io *io, struct log_file *f)
{
    io->file = f;
    f->reading++;
    list_remove(&f->link);
    list_add(&f->log->files, &f->link);
    read_from(io, f->number);
}

/* --- opening and closing --- */

/* The file is free. Who waits may want it, or its segment again. */
static void file_freed(struct log_file *f)
{
    struct log *log = f->log;
    struct list waiters, *link;

    f->state = FILE_FREE;
    f->segment->file = NULL;
    f->segment = NULL;
    list_add(&log->free_files, &f->link);
    list_init(&waiters);
    while ((link = list_pop(&log->file_waiters)))
        list_add(&waiters, link);
    while ((link = list_pop(&waiters)))
        serve(log, container_of(link, struct log_io, link));
}

static void on_closed(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    (void)res; /* it was only read */
    file_freed(container_of(op, struct log_file, op.op));
}

static void file_close(struct log_file *f)
{
    CHECK(f->state == FILE_OPEN && f->reading == 0);
    f->state = FILE_CLOSING;
    list_remove(&f->link);
    disk_close(f->log->disk, &f->op, on_closed, f->number);
}

/* The file could not be opened: nobody who waited for it can read. */
static void fail_waiting(struct log_file *f, int32_t res)
{
    struct list failed, *link;

    list_init(&failed);
    while ((link = list_pop(&f->waiting)))
        list_add(&failed, link);
    file_freed(f);
    while ((link = list_pop(&failed)))
        container_of(link, struct log_io, link)
            ->done(container_of(link, struct log_io, link), res);
}

static void on_opened(struct op *op, int32_t res, uint32_t flags)
{
    struct log_file *f = container_of(op, struct log_file, op.op);
    struct list *link;

    (void)flags;
    if (res < 0) {
        fail_waiting(f, res);
        return;
    }
    f->number = res;
    f->state = FILE_OPEN;
    list_add(&f->log->files, &f->link);
    while ((link = list_pop(&f->waiting)))
        read_file(container_of(link, struct log_io, link), f);
}

static void file_open(struct log_file *f, struct log_segment *segment)
{
    f->state = FILE_OPENING;
    f->segment = segment;
    segment->file = f;
    snprintf(f->name, sizeof f->name, SEGMENT_NAME, segment->number);
    disk_open(f->log->disk, &f->op, on_opened, f->name);
}

/* All files are taken: closes the one that has been idle longest, if any is. */
static void make_room(struct log *log)
{
    list_each(link, &log->files) {
        struct log_file *f = container_of(link, struct log_file, link);

        if (f->reading == 0) {
            file_close(f);
            return;
        }
    }
}

static void serve(struct log *log, struct log_io *io)
{
    struct log_segment *s = io->segment;
    struct list *spare;

    if (s->writer >= 0 && !s->closing) {
        s->reading++;
        read_from(io, s->writer);
        return;
    }
    if (s->file && s->file->state == FILE_OPEN) {
        read_file(io, s->file);
        return;
    }
    if (s->file && s->file->state == FILE_OPENING) {
        list_add(&s->file->waiting, &io->link);
        return;
    }
    spare = s->file ? NULL : list_pop(&log->free_files);
    if (spare) {
        struct log_file *f = container_of(spare, struct log_file, link);

        file_open(f, s);
        list_add(&f->waiting, &io->link);
        return;
    }
    list_add(&log->file_waiters, &io->link);
    if (!s->file)
        make_room(log);
}

void segment_read(struct log *log, struct log_io *io, struct log_segment *segment,
    void *buffer, uint32_t bytes, uint64_t offset,
    void (*done)(struct log_io *io, int32_t res))
{
    io->log = log;
    io->segment = segment;
    io->file = NULL;
    io->done = done;
    io->op.buffer = buffer;
    io->op.bytes = bytes;
    io->op.offset = offset;
    serve(log, io);
}

int32_t segment_peek(struct log *log, struct log_segment *segment, void *buffer,
    uint32_t bytes, uint64_t offset)
{
    struct log_file *f = segment->file;

    if (!f || f->state != FILE_OPEN)
        return -EAGAIN;
    list_remove(&f->link);
    list_add(&log->files, &f->link);
    return disk_peek(log->disk, f->number, buffer, bytes, offset);
}

bool segment_file_closed(struct log *log, struct log_segment *segment)
{
    struct log_file *f = segment->file;

    (void)log;
    if (!f)
        return true;
    if (f->state == FILE_OPEN && f->reading == 0)
        file_close(f);
    return false;
}

void files_close(struct log *log)
{
    if (!log->file_table)
        return;
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct log_file *f = &log->file_table[i];

        if (f->state == FILE_OPENING)
            disk_wait(log->disk, &f->op);
        if (f->state == FILE_OPEN)
            file_close(f);
        if (f->state == FILE_CLOSING)
            disk_wait(log->disk, &f->op);
    }
    free(log->file_table);
}
