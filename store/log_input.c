#include "store/log_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    INPUT_BYTES = 1 << 20, /* of a window that will be read on from */
    KEPT_BYTES = 256 << 10 /* of its end that the next one can begin with */
};

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

/* Nothing is on its way any more. */
static void drop_ahead(struct input *in)
{
    if (in->ahead)
        disk_wait(in->disk, &in->next.op);
    in->ahead = false;
}

void input_close(struct input *in)
{
    if (in->file < 0)
        return;
    drop_ahead(in);
    disk_close(in->disk, &in->now.op, on_done, in->file);
    disk_wait(in->disk, &in->now.op);
    in->file = -1;
}

enum status input_open(
    struct input *in, const char *name, uint64_t bytes, enum input_use use)
{
    input_close(in);
    in->window = slice_of(in->now.memory, 0);
    in->from = 0;
    in->bytes = bytes;
    in->use = use;
    in->unreadable = 0;
    if (use == INPUT_WHOLE)
        disk_open_once(in->disk, &in->now.op, on_done, name);
    else
        disk_open(in->disk, &in->now.op, on_done, name);
    disk_wait(in->disk, &in->now.op);
    in->file = in->now.op.op.res;
    if (in->file >= 0)
        return STATUS_OK;
    return in->file == -ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
}

/* Bytes of the file from a block border on, in whole blocks, but not more than `most`. */
static size_t left_from(const struct input *in, uint64_t from, size_t most)
{
    uint64_t left = from < in->bytes ? blocks(in->bytes - from) : 0;

    return left < most ? (size_t)left : most;
}

/* Of the size that both parts will have: else memory that was touched goes for more. */
static bool part_room(struct input_part *part, size_t bytes)
{
    if (bytes <= part->room)
        return true;
    if (bytes < KEPT_BYTES + INPUT_BYTES)
        bytes = KEPT_BYTES + INPUT_BYTES;
    free(part->memory);
    part->room = 0;
    part->memory = log_alloc_blocks(bytes);
    if (part->memory)
        part->room = bytes;
    return part->memory;
}

/* --- a window that is read anew --- */

static int32_t read_range(struct input *in, size_t skip, size_t bytes)
{
    disk_read(in->disk, &in->now.op, on_done, in->file, in->now.memory + skip,
        (uint32_t)bytes, in->from + skip);
    disk_wait(in->disk, &in->now.op);
    return in->now.op.op.res;
}

/* The window as a whole cannot be read: what can be, block by block. */
static void read_blocks(struct input *in, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += DISK_BLOCK) {
        int32_t got = read_range(in, at, DISK_BLOCK);
        size_t good = got > 0 ? (size_t)got : 0;

        if (got < 0 && in->unreadable < in->from + at + DISK_BLOCK)
            in->unreadable = in->from + at + DISK_BLOCK;
        memset(in->now.memory + at + good, 0, DISK_BLOCK - good);
    }
}

/* The window becomes `bytes` bytes from block border `from` on. */
static enum status fill(struct input *in, uint64_t from, size_t bytes)
{
    size_t left = left_from(in, from, bytes);
    int32_t got = 0;

    drop_ahead(in);
    in->window = slice_of(NULL, 0);
    if (!part_room(&in->now, bytes))
        return STATUS_NO_MEMORY;
    in->from = from;
    in->window = slice_of(in->now.memory, bytes);
    if (left)
        got = read_range(in, 0, left);
    if (got < 0)
        read_blocks(in, left);
    else
        left = (size_t)got;
    memset(in->now.memory + left, 0, bytes - left);
    return STATUS_OK;
}

/* --- a window that was read ahead --- */

/* What follows the window goes behind room for the end of it. */
static void read_ahead(struct input *in)
{
    uint64_t from = in->from + in->window.len;
    size_t bytes = left_from(in, from, INPUT_BYTES);

    if (in->use != INPUT_WHOLE || !bytes ||
        !part_room(&in->next, KEPT_BYTES + INPUT_BYTES))
        return;
    disk_read(in->disk, &in->next.op, on_done, in->file, in->next.memory + KEPT_BYTES,
        (uint32_t)bytes, from);
    disk_begin(in->disk);
    in->ahead = true;
}

/* The window moves on to `bytes` bytes from block border `from` on, in it or at its end.
 * False: that is not what was read, or it could not be. */
static bool take_ahead(struct input *in, uint64_t from, size_t bytes)
{
    size_t kept = (size_t)(in->from + in->window.len - from), have;
    struct input_part part = in->next;

    if (!in->ahead || kept > KEPT_BYTES)
        return false;
    drop_ahead(in);
    have = kept + part.op.bytes;
    if (in->next.op.op.res != (int32_t)part.op.bytes || bytes > have)
        return false;
    memcpy(part.memory + KEPT_BYTES - kept, in->window.at + (from - in->from), kept);
    in->next.memory = in->now.memory;
    in->next.room = in->now.room;
    in->now.memory = part.memory;
    in->now.room = part.room;
    in->from = from;
    in->window = slice_of(part.memory + KEPT_BYTES - kept, have);
    return true;
}

/* --- both --- */

static bool has(const struct input *in, uint64_t at, size_t want)
{
    return at >= in->from && at + want <= in->from + in->window.len;
}

/* One window after the other: the next one will be asked for as well. */
static bool goes_on(const struct input *in, uint64_t from)
{
    return in->window.len > 0 && has(in, from, 0);
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
    size_t bytes = (size_t)blocks(at + want - from);
    size_t left = left_from(in, from, INPUT_BYTES);
    bool on = goes_on(in, from);

    if (has(in, at, want))
        return STATUS_OK;
    if (!on || !take_ahead(in, from, bytes))
        TRY(fill(in, from, bytes < left ? left : bytes));
    if (on)
        read_ahead(in);
    return STATUS_OK;
}

void input_end(struct input *in)
{
    input_close(in);
    free(in->now.memory);
    free(in->next.memory);
    in->now = in->next = (struct input_part){0};
}
