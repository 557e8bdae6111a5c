/* clock.h -- the time. A simulation replaces it at link time. */
#pragma once
#include <stdint.h>

int64_t clock_monotonic_ns(void);
int64_t clock_wall_s(void); /* since 1970 */
int64_t clock_cpu_ns(void); /* used by the calling thread; a system call */
