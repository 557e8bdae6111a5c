/* schedule.h -- when the operations of an open loop are due.
 *
 * The moments are fixed before anything is known about the server, so a server that is
 * late for one operation is late for those behind it too, and the figures show it (no
 * coordinated omission). Pure: the caller has the clock.
 */
#pragma once
#include "bench/options.h"

struct schedule {
    int64_t base_ns;
    double gap_ns;
    double ahead_ns; /* from the base to the next one */
    uint64_t count;  /* of those that have been taken */
    uint64_t random;
    enum arrival arrival;
};

/* For part `part` of `parts` that share the rate (a second, over all) evenly. */
void schedule_start(struct schedule *s, double rate, enum arrival arrival, unsigned part,
    unsigned parts, int64_t now_ns);
/* When the next operation is due. */
static inline int64_t schedule_due(const struct schedule *s)
{
    return s->base_ns + (int64_t)s->ahead_ns;
}
/* On to the one behind it. */
void schedule_step(struct schedule *s);
/* How many are due by now and have not been taken. */
uint64_t schedule_backlog(const struct schedule *s, int64_t now_ns);
