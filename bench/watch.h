/* watch.h -- what the server and its disk use, seen from outside: /proc, control groups,
 * and the counters of block devices. */
#pragma once
#include "bench/options.h"

/* Counters at one moment; differences mean something. */
struct watch_cpu {
    bool known;
    int64_t total_ns;           /* CPU time */
    int64_t user_ns, system_ns; /* in steps of a clock tick: shares of the total */
};

struct watch_disk {
    bool known;
    uint64_t writes, sectors, flushes; /* since the machine started */
    bool fua; /* a write may be durable by itself, and is not counted as a flush then */
};

enum { WATCH_PATH_MAX = 512 };

struct watch {
    const struct options *o;
    char disk[WATCH_PATH_MAX]; /* the stat file of its device; "": not known */
    bool fua;
};

/* False: `why` names the process, group or folder that is not there. */
bool watch_open(struct watch *w, const struct options *o, struct out *why);
struct watch_cpu watch_cpu(const struct watch *w);
struct watch_disk watch_disk(const struct watch *w);
/* Octets: what the control group is charged for, or, where nobody counts that, the
 * proportional set size of the processes; -1: not known. */
int64_t watch_memory(const struct watch *w);
