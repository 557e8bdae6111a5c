/* control_stat.h -- the figures of `ringmail stat`, as they are now.
 *
 *   stat server      of the process: how many threads and shards there are, limits,
 * memory stat thread N    what a thread has counted since the start stat shard N     and
 * the store of a shard
 *
 * The answer is the lines of stats_write(). A thread copies its figures between two
 * turns; nothing that it counts is shared, and nobody waits for anything but that. The
 * asker makes sums, intervals and percentiles of them (command_stat.c).
 */
#pragma once
#include "proto/base/slice.h"
#include "server/accounts.h"
#include "server/process.h"

struct control_stat {
    struct process *process;
    const struct config *config;
    const struct accounts *accounts;
    int64_t uptime_s;
};

/* `what`: "thread 3". False: `out` says why. */
bool control_stat(const struct control_stat *from, struct slice what, struct out *out);
