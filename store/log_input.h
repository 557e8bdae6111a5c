/* log_input.h -- a file read through a moving window. Blocks: start and check only. */
#pragma once
#include "store/disk.h"
#include "store/log_memory.h"

#include "proto/base/slice.h"

/* How much of a file will be read. */
enum input_use {
    INPUT_PARTS, /* here and there */
    INPUT_WHOLE, /* from end to end: what comes next is read while this is looked at */
};

/* Memory, and a read into it. */
struct input_part {
    struct disk_op op;
    char *memory;
    size_t room;
};

struct input {
    struct disk *disk;
    int32_t file;   /* -1: none open */
    uint64_t bytes; /* size of the file */
    enum input_use use;
    struct input_part now, next; /* what the window shows, and what follows it */
    bool ahead;                  /* that is under way, or there */
    struct slice window;         /* what it holds now, */
    uint64_t from;               /* from this offset of the file on */
    uint64_t unreadable; /* end of the last block that could not be read; 0: none. Such
                          * blocks look like zeroes */
};

void input_init(struct input *in, struct disk *disk);

/* Opens another file; the one before is closed. NOT_FOUND, IO. */
enum status input_open(
    struct input *in, const char *name, uint64_t bytes, enum input_use use);
void input_close(struct input *in);

/* Moves the window so that it holds at least `want` bytes from offset `at` on (and what
 * follows, for reading on), and zeroes where the file has ended. A block that cannot be
 * read is zeroes, and noted. NO_MEMORY. */
enum status input_need(struct input *in, uint64_t at, size_t want);

/* The same, and not a block more: for files of which only the beginning matters. */
enum status input_need_only(struct input *in, uint64_t at, size_t want);

/* The bytes at an offset inside the window. */
static inline const char *input_at(const struct input *in, uint64_t at)
{
    return in->window.at + (at - in->from);
}

/* Closes and gives the memory back. */
void input_end(struct input *in);
