#include "proto/base/histogram.h"

enum { STEPS = 1 << HISTOGRAM_BITS };

/* The first two powers of two hold one value a bucket, each further one twice as many. */
static unsigned shift_of(unsigned bucket)
{
    return bucket < STEPS ? 0 : bucket / STEPS - 1;
}

uint64_t histogram_low(unsigned bucket)
{
    unsigned shift = shift_of(bucket);

    return (uint64_t)(bucket - shift * STEPS) << shift;
}

uint64_t histogram_high(unsigned bucket)
{
    return histogram_low(bucket) + (1ull << shift_of(bucket)) - 1;
}

void histogram_merge(struct histogram *h, const struct histogram *from)
{
    h->count += from->count;
    h->sum += from->sum;
    if (from->max > h->max)
        h->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += from->buckets[i];
}

void histogram_since(struct histogram *h, const struct histogram *before)
{
    unsigned last = 0;

    h->count -= before->count;
    h->sum -= before->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        h->buckets[i] -= before->buckets[i];
        if (h->buckets[i])
            last = i;
    }
    if (h->count == 0)
        h->max = 0;
    else if (last < HISTOGRAM_BUCKETS - 1 && histogram_high(last) < h->max)
        h->max = histogram_high(last);
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    double exact = (double)h->count * percent / 100;
    uint64_t rank = (uint64_t)exact, seen = 0;
    unsigned i = 0;

    if ((double)rank < exact || rank == 0)
        rank++;
    if (rank >= h->count)
        return h->max;
    for (; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += h->buckets[i];
        if (seen >= rank)
            break;
    }
    uint64_t low = histogram_low(i), middle = low + (histogram_high(i) - low) / 2;

    return middle < h->max ? middle : h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum / h->count : 0;
}
