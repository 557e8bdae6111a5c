/* check_disk.h -- a disk behind a disk, for work offline.
 *
 * Every request is waited for, so that the caller needs no loop of his own. Without
 * `write` nothing reaches the disk behind: what is created, written or removed is so in
 * memory only, and a store can be opened and looked through without a trace.
 */
#pragma once
#include "store/disk.h"

struct check_disk;

/* NULL: no memory. */
struct disk *check_disk_open(struct disk *real, bool write);
/* Nothing may be on its way. */
void check_disk_close(struct disk *d);

/* Runs what has landed; false when there was nothing. */
bool check_disk_run(struct disk *d);
