#include "server/pages.h"

#include <stdint.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void pages_huge(void *at, size_t n)
{
    uintptr_t from = ((uintptr_t)at + HUGE_PAGE - 1) & ~((uintptr_t)HUGE_PAGE - 1);
    uintptr_t to = ((uintptr_t)at + n) & ~((uintptr_t)HUGE_PAGE - 1);

    if (at && from < to)
        (void)madvise((char *)at + (from - (uintptr_t)at), to - from, MADV_HUGEPAGE);
}
