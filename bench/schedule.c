#include "bench/schedule.h"

#include <math.h>

/* Exponential, with mean 1. */
static double gap_of(struct schedule *s)
{
    s->random = scatter(s->random);
    return -log(((double)(s->random >> 11) + 0.5) * 0x1p-53);
}

void schedule_start(struct schedule *s, double rate, enum arrival arrival, unsigned part,
    unsigned parts, int64_t now_ns)
{
    *s = (struct schedule){.base_ns = now_ns,
        .gap_ns = 1e9 * parts / rate,
        .random = part + 1,
        .arrival = arrival};
    s->ahead_ns =
        arrival == ARRIVAL_POISSON ? gap_of(s) * s->gap_ns : s->gap_ns * part / parts;
    s->base_ns += arrival == ARRIVAL_FIXED ? (int64_t)s->ahead_ns : 0;
    if (arrival == ARRIVAL_FIXED)
        s->ahead_ns = 0;
}

/* Fixed moments are multiples of the gap, so that rounding never adds up. */
void schedule_step(struct schedule *s)
{
    s->count++;
    if (s->arrival == ARRIVAL_POISSON)
        s->ahead_ns += gap_of(s) * s->gap_ns;
    else
        s->ahead_ns = (double)s->count * s->gap_ns;
}

uint64_t schedule_backlog(const struct schedule *s, int64_t now_ns)
{
    double late = (double)(now_ns - schedule_due(s));

    return late < 0 ? 0 : 1 + (uint64_t)(late / s->gap_ns);
}
