/* sizes.h -- how large messages are: a size, a range, or weighted shares of them. */
#pragma once
#include "proto/base/slice.h"

enum { SIZES_SHARES_MAX = 32 };

struct sizes {
    struct {
        uint64_t min, max;
        uint64_t upto; /* of the weights so far */
    } at[SIZES_SHARES_MAX];
    unsigned count;
    uint64_t weights; /* sum */
    uint64_t largest;
};

/* "1K", "1000-5000", "1K:80,10K-20K:15,100K:5". False: it is none of these. */
bool sizes_parse(struct slice text, struct sizes *sizes);
/* The size that belongs to a random number: the same one for the same number. */
uint64_t sizes_pick(const struct sizes *sizes, uint64_t random);

/* "64", "64K", "1M", "2G". */
bool size_parse(struct slice text, uint64_t *size);

/* Scatters a number over 64 bits; what everything that looks random is derived from, so
 * that it can be derived again. */
static inline uint64_t scatter(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}
