/* memory_disk.h -- a disk in memory without a price, so that the index can be measured
 * alone: what is asked for lands at the next step, in order. */
#pragma once
#include <stdbool.h>

#include "store/disk.h"

enum { MEMORY_FILES_MAX = 1024 };

struct memory_file {
    char name[DISK_NAME_MAX];
    char *at;
    uint64_t bytes;
    bool linked;
};

struct memory_disk {
    struct disk disk;
    bool drops; /* commits and writes land and keep nothing: nobody reads them back */
    struct op_queue landing;
    struct memory_file files[MEMORY_FILES_MAX]; /* file numbers are indexes */
    unsigned file_count;
};

struct memory_disk *memory_disk_open(bool drops);
void memory_disk_close(struct memory_disk *d);

/* Lands what has been asked for; false: that was nothing. */
bool memory_disk_step(struct memory_disk *d);
