/* pages.h -- large memory in large pages. */
#pragma once
#include <stddef.h>

/* What lies in [at, at + n), from malloc() and not written yet, comes in huge pages where
 * the kernel has them: a fault for each 4 KiB of a million accounts is most of what
 * reading them costs. Small memory stays as it is. */
void pages_huge(void *at, size_t n);
