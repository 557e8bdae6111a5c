/* cells.h -- memory for many things of one size.
 *
 * Cells are cut from chunks of 2 MiB, and all chunks but the first are asked for in huge
 * pages: a fault for each 4 KiB of the users who come into memory was a fifth of what it
 * costs to bring them in. What is given back is taken again first; a chunk in which
 * nothing is left goes back to the system, unless it is the only one with room.
 */
#pragma once
#include <stddef.h>

#include "proto/base/list.h"

struct cells {
    size_t bytes;     /* of a cell */
    struct list some; /* chunks with a free cell */
    unsigned chunks;
};

/* For things of `bytes` each, aligned to 16. */
void cells_open(struct cells *c, size_t bytes);
/* All cells have been given back. */
void cells_close(struct cells *c);

/* Cleared; NULL without memory. */
void *cell_take(struct cells *c);
void cell_give(struct cells *c, void *cell);
