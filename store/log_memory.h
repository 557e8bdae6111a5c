/* log_memory.h -- where the log gets its memory. Private to the log.
 *
 * Never on the path of a record. Given back with free(). The tests put failing
 * versions in their place at link time.
 */
#pragma once
#include <stddef.h>

/* Cleared; NULL without memory. */
void *log_alloc(size_t n);

/* Aligned to DISK_BLOCK and not cleared; n is rounded up to a multiple of it. */
void *log_alloc_blocks(size_t n);

/* The same, aligned to 2 MiB and in huge pages where the kernel has them: memory that is
 * written from end to end, where a fault for each 4 KiB cost a tenth of the CPU of small
 * messages. It comes on its first use, or by log_fill_huge(). */
void *log_alloc_huge(size_t n);

/* Takes n octets of it from the system, while others use it: nothing in it changes. */
void log_fill_huge(void *at, size_t n);
