/* ring_disk.h -- store/disk.h on a folder, spoken through a thread's ring.
 *
 * Commits are O_DIRECT with RWF_DSYNC; where the file system refuses O_DIRECT, buffered
 * writes, each followed by fdatasync, said once in the log. What blocks in the kernel
 * (creating, preallocating, removing) is done by the disk workers. Sealed files are read
 * through the page cache.
 */
#pragma once
#include "server/thread.h"
#include "store/disk.h"

/* On the thread that will use it. zero: new files are filled with zeroes, so that commits
 * change no metadata. NULL: `why`. */
struct disk *ring_disk_open(
    struct thread *t, const char *path, bool zero, char *why, size_t cap);
/* While a store is opened the thread waits for every file in any case: what blocks is
 * done by itself then, for a worker costs two switches of threads. */
void ring_disk_starts(struct disk *disk, bool starting);
/* With nothing in flight. */
void ring_disk_close(struct disk *disk);
