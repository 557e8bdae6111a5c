/* head_memory.h -- memory for heads, their tables and names.
 *
 * It grows by large pieces, in huge pages as soon as there is much of it: with a million
 * users a fault for each 4 KiB took a quarter of the CPU of a start. Blocks stay until
 * all of it is freed; names that are given back are taken again for others of about
 * their length.
 */
#pragma once
#include <stddef.h>

enum {
    HEAD_NAME_STEP = 8,
    HEAD_NAME_MAX = 1032, /* octets of a name and its final NUL */
};

struct head_memory {
    struct head_chunk *chunks; /* newest first; pieces are cut from that one */
    size_t bytes;              /* of all chunks */
    void *names[HEAD_NAME_MAX / HEAD_NAME_STEP]; /* free ones, by length */
};

/* n bytes, aligned to 8, not cleared; NULL without memory. */
void *head_memory_take(struct head_memory *m, size_t n);

/* The same for a name of n octets, n < 64 KiB. One that is given back is taken again,
 * unless it is longer than HEAD_NAME_MAX: only a store that somebody forged has that. */
char *head_memory_name(struct head_memory *m, size_t n);
void head_memory_name_free(struct head_memory *m, char *name, size_t n);

void head_memory_free(struct head_memory *m);
