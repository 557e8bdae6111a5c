#include "store/log_memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "store/disk.h"

enum { HUGE_PAGE = 2 << 20 };

void *log_alloc(size_t n)
{
    return calloc(1, n ? n : 1);
}

void *log_alloc_blocks(size_t n)
{
    size_t blocks = n / DISK_BLOCK + (n % DISK_BLOCK != 0);

    return aligned_alloc(DISK_BLOCK, (blocks ? blocks : 1) * DISK_BLOCK);
}

void *log_alloc_huge(size_t n)
{
    size_t pages = n / HUGE_PAGE + (n % HUGE_PAGE != 0);
    void *at = aligned_alloc(HUGE_PAGE, pages * HUGE_PAGE);

    if (at) /* small pages do as well */
        (void)madvise(at, pages * HUGE_PAGE, MADV_HUGEPAGE);
    return at;
}

void log_fill_huge(void *at, size_t n)
{
    (void)madvise(at, n, MADV_POPULATE_WRITE); /* else it comes on first use */
}
