/* report.h -- the figures of a run, in words, as JSON and as a row of CSV. */
#pragma once
#include <stdio.h>

#include "bench/engine.h"
#include "bench/verify.h"
#include "bench/watch.h"

/* What kept a run from doing more, if it was not the server. */
enum report_limit {
    LIMIT_NONE,
    LIMIT_DRIVER, /* a thread used up a CPU: it can't ask for more */
    LIMIT_CPUS    /* it always had work, and too seldom a CPU, which others used */
};

struct figures {
    const struct options *o;
    const struct mode *mode;
    const struct tally *sum;
    double seconds;
    double busy_percent;   /* of the busiest thread: CPU in the time of the run */
    double waited_percent; /* likewise: ready to run, but without a CPU */
    struct watch_cpu cpu;  /* in the run */
    struct watch_cpu cpu_begin, cpu_end; /* its counters */
    struct watch_disk disk;
    bool kept;                          /* connections were made before the run */
    int64_t memory, memory_idle;        /* at the end; before anybody was connected; -1 */
    int64_t memory_ready, memory_held;  /* before the run; with all connections; -1 */
    const struct verify_result *verify; /* NULL: not wanted */
};

/* Shares of the run in percent, of the busiest thread. */
enum report_limit report_limit(double busy, double waited);
void report_words(const struct figures *f, FILE *to);
void report_json(const struct figures *f, FILE *to);
/* The line of headings, and the row. */
void report_csv_head(FILE *to);
void report_csv(const struct figures *f, FILE *to);

/* The line of the moment, drawn over the one before: connections of the set-up, then
 * operations, then goodbyes. Begin with zeros, and again before each run. */
struct progress {
    uint64_t operations;
    int64_t at_ns;
};
void report_progress(struct progress *p, const struct bench *b, int64_t now_ns, FILE *to);
void report_progress_clear(FILE *to);
