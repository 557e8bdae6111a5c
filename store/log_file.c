/* Open files: a segment is read through the file number it was written by, or, once it
 * is sealed and settled, through one of a bounded number opened for reading.
 *
 *      FREE --> OPENING --> OPEN --longest idle, another is wanted--> CLOSING --> FREE
 *
 * A struct log_file is the right to have one open. They are made as they are wanted, up
 * to conf.files_max, and given up where the system has no descriptor for one: the others
 * serve in turn then, and a second later one more is tried.
 */
#include "store/log_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* One more, as long as there may be; NULL. */
static struct log_file *file_new(struct log *log)
{
    struct log_file *f;

    if (log->file_count == log->conf.files_max || log_now(log) < log->files_retry_ns)
        return NULL;
    f = log_alloc(sizeof *f);
    if (!f) {
        log->files_retry_ns = log_now(log) + RETRY_NS;
        return NULL;
    }
    f->log = log;
    list_init(&f->waiting);
    log->file_count++;
    return f;
}

static struct log_file *file_take(struct log *log)
{
    struct list *link = list_pop(&log->free_files);

    return link ? container_of(link, struct log_file, link) : file_new(log);
}

static void file_drop(struct log_file *f)
{
    f->log->file_count--;
    free(f);
}

/* The first is made at once: who waits for a file then has one to wait for. */
enum status files_open(struct log *log)
{
    struct log_file *first;

    list_init(&log->idle_files);
    list_init(&log->free_files);
    list_init(&log->file_waiters);
    first = file_new(log);
    if (!first)
        return STATUS_NO_MEMORY;
    list_add(&log->free_files, &first->link);
    return STATUS_OK;
}

/* --- the read itself --- */

static void make_room(struct log *log);

static void on_read(struct op *op, int32_t res, uint32_t flags)
{
    struct log_io *io = container_of(op, struct log_io, op.op);
    struct log *log = io->log;
    struct log_file *f = io->file;

    (void)flags;
    io->file = NULL;
    if (!f) {
        io->segment->reading--;
    } else if (--f->reading == 0) {
        list_add(&log->idle_files, &f->link);
        make_room(log);
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
    if (f->reading++ == 0)
        list_remove(&f->link);
    read_from(io, f->number);
}

/* --- opening and closing --- */

static void on_opened(struct op *op, int32_t res, uint32_t flags);

static void file_open(struct log_file *f, struct log_segment *segment)
{
    f->state = FILE_OPENING;
    f->segment = segment;
    segment->file = f;
    snprintf(f->name, sizeof f->name, SEGMENT_NAME, segment->number);
    disk_open(f->log->disk, &f->op, on_opened, f->name);
}

/* False: no file is to be had now. */
static bool serve(struct log *log, struct log_io *io)
{
    struct log_segment *s = io->segment;
    struct log_file *f = s->file;

    if (s->writer >= 0 && !s->closing) {
        s->reading++;
        read_from(io, s->writer);
        return true;
    }
    if (f && f->state == FILE_OPEN) {
        read_file(io, f);
        return true;
    }
    if (f && f->state == FILE_CLOSING)
        return false;
    if (!f) {
        f = file_take(log);
        if (!f)
            return false;
        file_open(f, s);
    }
    list_add(&f->waiting, &io->link);
    return true;
}

static void serve_or_wait(struct log *log, struct log_io *io)
{
    if (serve(log, io))
        return;
    list_add(&log->file_waiters, &io->link);
    if (io->segment->file_wanted)
        return;
    io->segment->file_wanted = true;
    log->files_wanted++;
    make_room(log);
}

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
    list_join(&waiters, &log->file_waiters);
    log->files_wanted = 0;
    list_each(waiter, &waiters)
        container_of(waiter, struct log_io, link)->segment->file_wanted = false;
    while ((link = list_pop(&waiters)))
        serve_or_wait(log, container_of(link, struct log_io, link));
}

static void on_closed(struct op *op, int32_t res, uint32_t flags)
{
    struct log_file *f = container_of(op, struct log_file, op.op);

    (void)flags;
    (void)res; /* it was only read */
    f->log->files_closing--;
    file_freed(f);
}

static void file_close(struct log_file *f)
{
    CHECK(f->state == FILE_OPEN && f->reading == 0);
    f->state = FILE_CLOSING;
    f->log->files_closing++;
    list_remove(&f->link);
    disk_close(f->log->disk, &f->op, on_closed, f->number);
}

/* Closes what has been idle longest, as many files as are waited for: readers of the same
 * segment wait for one. Where none is idle, the next that is will do. */
static void make_room(struct log *log)
{
    while (log->files_closing < log->files_wanted && !list_empty(&log->idle_files))
        file_close(container_of(log->idle_files.next, struct log_file, link));
}

/* The file could not be opened: nobody who waited for it can read. */
static void fail_waiting(struct log_file *f, int32_t res)
{
    struct list failed, *link;

    list_init(&failed);
    list_join(&failed, &f->waiting);
    file_freed(f);
    while ((link = list_pop(&failed))) {
        struct log_io *io = container_of(link, struct log_io, link);

        io->done(io, res);
    }
}

/* There is no descriptor for this file: its readers wait for one of the others. False:
 * there are no others. */
static bool put_off(struct log_file *f)
{
    struct log *log = f->log;
    struct list waiting, *link;

    log->files_retry_ns = log_now(log) + RETRY_NS;
    while ((link = list_pop(&log->free_files)))
        file_drop(container_of(link, struct log_file, link));
    if (log->file_count == 1)
        return false;
    list_init(&waiting);
    list_join(&waiting, &f->waiting);
    f->segment->file = NULL;
    file_drop(f);
    while ((link = list_pop(&waiting)))
        serve_or_wait(log, container_of(link, struct log_io, link));
    return true;
}

static void on_opened(struct op *op, int32_t res, uint32_t flags)
{
    struct log_file *f = container_of(op, struct log_file, op.op);
    struct list *link;

    (void)flags;
    if ((res == -EMFILE || res == -ENFILE) && put_off(f))
        return;
    if (res < 0) {
        fail_waiting(f, res);
        return;
    }
    f->number = res;
    f->state = FILE_OPEN;
    while ((link = list_pop(&f->waiting)))
        read_file(container_of(link, struct log_io, link), f);
}

/* --- the calls --- */

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
    serve_or_wait(log, io);
}

int32_t segment_peek(struct log *log, struct log_segment *segment, void *buffer,
    uint32_t bytes, uint64_t offset)
{
    struct log_file *f = segment->file;

    if (!f || f->state != FILE_OPEN)
        return -EAGAIN;
    if (f->reading == 0) {
        list_remove(&f->link);
        list_add(&log->idle_files, &f->link);
    }
    return disk_peek(log->disk, f->number, buffer, bytes, offset);
}

bool segment_file_closed(struct log_segment *segment)
{
    struct log_file *f = segment->file;

    if (!f)
        return true;
    if (f->state == FILE_OPEN && f->reading == 0)
        file_close(f);
    return false;
}

/* All are told to close before the first is waited for. */
void files_close(struct log *log)
{
    struct list *link;

    while ((link = list_pop(&log->idle_files)))
        file_close(container_of(link, struct log_file, link));
    for (unsigned i = 0; i < log->segment_count; i++)
        if (log->segments[i]->file)
            disk_wait(log->disk, &log->segments[i]->file->op);
    while ((link = list_pop(&log->free_files)))
        file_drop(container_of(link, struct log_file, link));
    CHECK(log->file_count == 0);
}
