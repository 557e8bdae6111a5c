/* histogram.h -- how often each value was seen: latencies, sizes, counts.
 *
 * Log-linear: every power of two is cut into 32 buckets of one width, so a value is
 * known to one part in 64 however large it is, and below 64 exactly. Nine KiB hold
 * any number of values; what never got a value costs no more than the zero page.
 *
 * Pure, and without locks: one thread adds. Who wants to see what another thread
 * counts asks that thread for a copy.
 */
#pragma once
#include <stdint.h>

enum {
    HISTOGRAM_BITS = 5,      /* 32 buckets a power of two */
    HISTOGRAM_TOP_BITS = 40, /* of the largest value told apart: 18 minutes of ns */
    HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BITS - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS,
};

/* Zero is empty. */
struct histogram {
    uint64_t count, sum;
    uint64_t max; /* exact, even above the top */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value; the last one takes all that is larger. */
static inline unsigned histogram_bucket(uint64_t value)
{
    uint64_t top = (1ull << HISTOGRAM_TOP_BITS) - 1;
    uint64_t v = value < top ? value : top;
    unsigned shift =
        63 - HISTOGRAM_BITS - (unsigned)__builtin_clzll(v | 1 << HISTOGRAM_BITS);

    return (shift << HISTOGRAM_BITS) + (unsigned)(v >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->buckets[histogram_bucket(value)]++;
}

/* The smallest value of a bucket, and the largest. */
uint64_t histogram_low(unsigned bucket);
uint64_t histogram_high(unsigned bucket);

/* All that `from` has seen, into h. */
void histogram_merge(struct histogram *h, const struct histogram *from);

/* Leaves in h what it has seen since it was `before`. The largest of these is known
 * only as well as any other value. */
void histogram_since(struct histogram *h, const struct histogram *before);

/* The value that `percent` of all values do not exceed, 0 < percent <= 100: the
 * middle of its bucket, and 100 the largest value itself. 0 when nothing was seen. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* The mean, rounded down; 0 when nothing was seen. */
uint64_t histogram_mean(const struct histogram *h);
