#include "store/log_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_BYTES = 1 << 20 };

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

void input_init(struct input *in, struct disk *disk)
{
    *in = (struct input){.disk = disk, .file = -1};
}

static void on_done(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    op->res = res;
}

void input_close(struct input *in)
{
    if (in->file < 0)
        return;
    disk_close(in->disk, &in->op, on_done, in->file);
    disk_wait(in->disk, &in->op);
    in->file = -1;
}

enum status input_open(struct input *in, const char *name, uint64_t bytes)
{
    input_close(in);
    in->window = slice_of(in->memory, 0);
    in->from = 0;
    in->bytes = bytes;
    in->unreadable = 0;
    disk_open(in->disk, &in->op, on_done, name);
    disk_wait(in->disk, &in->op);
    in->file = in->op.op.res;
    if (in->file >= 0)
        return STATUS_OK;
    return in->file == -ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
}

static int32_t read_range(struct input *in, size_t skip, size_t bytes)
{
    disk_read(in->disk, &in->op, on_done, in->file, in->memory + skip, (uint32_t)bytes,
        in->from + skip);
    disk_wait(in->disk, &in->op);
    return in->op.op.res;
}

/* The window as a whole cannot be read: what can be, block by block. */
static void read_blocks(struct input *in, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += DISK_BLOCK) {
        int32_t got = read_range(in, at, DISK_BLOCK);
        size_t good = got > 0 ? (size_t)got : 0;

        if (got < 0 && in->unreadable < in->from + at + DISK_BLOCK)
            in->unreadable = in->from + at + DISK_BLOCK;
        memset(in->memory + at + good, 0, DISK_BLOCK - good);
    }
}

static enum status window_room(struct input *in, size_t bytes)
{
    if (bytes <= in->room)
        return STATUS_OK;
    free(in->memory);
    in->room = 0;
    in->memory = log_alloc_blocks(bytes);
    if (!in->memory)
        return STATUS_NO_MEMORY;
    in->room = bytes;
    return STATUS_OK;
}

/* The window becomes `bytes` bytes from block border `from` on. */
static enum status fill(struct input *in, uint64_t from, size_t bytes)
{
    size_t left = from < in->bytes ? (size_t)blocks(in->bytes - from) : 0;
    int32_t got = 0;

    in->window = slice_of(NULL, 0);
    TRY(window_room(in, bytes));
    in->from = from;
    in->window = slice_of(in->memory, bytes);
    if (left > bytes)
        left = bytes;
    if (left)
        got = read_range(in, 0, left);
    if (got < 0)
        read_blocks(in, left);
    else
        left = (size_t)got;
    memset(in->memory + left, 0, bytes - left);
    return STATUS_OK;
}

static bool has(const struct input *in, uint64_t at, size_t want)
{
    return at >= in->from && at + want <= in->from + in->window.len;
}

enum status input_need_only(struct input *in, uint64_t at, size_t want)
{
    uint64_t from = at - at % DISK_BLOCK;

    return has(in, at, want) ? STATUS_OK
                             : fill(in, from, (size_t)blocks(at + want - from));
}

enum status input_need(struct input *in, uint64_t at, size_t want)
{
    uint64_t from = at - at % DISK_BLOCK;
    uint64_t bytes = blocks(at + want - from);
    uint64_t left = from < in->bytes ? blocks(in->bytes - from) : 0;

    if (has(in, at, want))
        return STATUS_OK;
    if (bytes < INPUT_BYTES && bytes < left)
        bytes = left < INPUT_BYTES ? left : INPUT_BYTES;
    return fill(in, from, (size_t)bytes);
}

void input_end(struct input *in)
{
    input_close(in);
    free(in->memory);
    in->memory = NULL;
    in->room = 0;
}
