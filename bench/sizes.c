#include "bench/sizes.h"

enum { WEIGHT_MAX = 1000000000 };
static const uint64_t size_max = 1ull << 30;

bool size_parse(struct slice text, uint64_t *size)
{
    static const char units[] = "kmg";
    unsigned shift = 0;

    for (unsigned i = 0; text.len && i < sizeof units - 1; i++)
        if (ascii_lower(text.at[text.len - 1]) == units[i])
            shift = 10 * (i + 1);
    if (shift)
        text.len--;
    if (!slice_u64(text, size) || *size > UINT64_MAX >> shift)
        return false;
    *size <<= shift;
    return true;
}

/* What stands before `c`, taken off the front together with it; *found: it was there. */
static struct slice cut(struct slice *text, char c, bool *found)
{
    struct slice word = slice_take(text, slice_find(*text, c));

    *found = text->len > 0;
    if (*found)
        slice_take(text, 1);
    return word;
}

static bool add_share(struct sizes *sizes, struct slice share)
{
    bool weighted, ranged;
    struct slice range = cut(&share, ':', &weighted);
    struct slice low = cut(&range, '-', &ranged);
    uint64_t min, max, weight = 1;

    if (sizes->count == SIZES_SHARES_MAX || !size_parse(low, &min) || min == 0)
        return false;
    max = min;
    if (ranged && !size_parse(range, &max))
        return false;
    if (weighted && (!slice_u64(share, &weight) || weight > WEIGHT_MAX))
        return false;
    if (max < min || max > size_max || weight == 0)
        return false;
    sizes->weights += weight;
    sizes->at[sizes->count].min = min;
    sizes->at[sizes->count].max = max;
    sizes->at[sizes->count++].upto = sizes->weights;
    if (max > sizes->largest)
        sizes->largest = max;
    return true;
}

bool sizes_parse(struct slice text, struct sizes *sizes)
{
    bool more = true;

    *sizes = (struct sizes){0};
    while (more)
        if (!add_share(sizes, cut(&text, ',', &more)))
            return false;
    return true;
}

uint64_t sizes_pick(const struct sizes *sizes, uint64_t random)
{
    uint64_t at;
    unsigned i = 0;

    if (sizes->count == 1 && sizes->at[0].min == sizes->at[0].max)
        return sizes->largest;
    at = random % sizes->weights;
    while (sizes->at[i].upto <= at)
        i++;
    return sizes->at[i].min + scatter(random) % (sizes->at[i].max - sizes->at[i].min + 1);
}
