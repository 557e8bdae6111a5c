/* stat_figures.h -- what `ringmail stat` has heard from a server, and how it shows it.
 * Private to command_stat.c and stat_*.c. */
#pragma once
#include <stdio.h>

#include "server/config.h"
#include "server/stats.h"

struct figures {
    struct stats_set server, *threads, *shards;
    unsigned thread_count, shard_count;
    struct stats_set thread_sum, shard_sum; /* over all of them */
    double seconds;                         /* that counts and percentiles cover */
    bool interval;                          /* not since the start */
};

/* Asks the server of c->data for everything. NULL: said, and *status is what to exit
 * with. */
struct figures *figures_ask(const struct config *c, int *status);
void figures_free(struct figures *f);
/* What came in the `seconds` from `before` to `now`; all of it where another server runs
 * now. NULL: no memory. */
struct figures *figures_between(
    const struct figures *before, const struct figures *now, double seconds);

/* One object, in a line of its own. */
void figures_json(const struct figures *f, FILE *to);
/* For people; `line_end` is written before each line end. */
void figures_text(
    const struct figures *f, const char *data, const char *line_end, FILE *to);

static inline uint64_t figures_server(const struct figures *f, enum server_stat what)
{
    return f->server.values[what];
}
