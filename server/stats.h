/* stats.h -- what threads and shards count, and what is made of it.
 *
 * A thread counts into memory of its own, with plain additions: no other thread reads it.
 * Who wants to know asks the thread, which copies it between two turns (control_stat.c).
 *
 * How long an operation took is counted from the beginning of the turn in which its last
 * octet was seen to the end of that in which its answer left: the clock that the loop
 * reads anyway. What takes part of a turn counts as the whole of it, as the client waits
 * for all of it.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/base/histogram.h"
#include "proto/base/slice.h"
#include "server/stats_list.h"

#define STATS_NONE(...)
#define STATS_FIELD(name, ...) uint64_t name;
#define STATS_VALUE(name, ...) STAT_##name,
#define STATS_TIMES(name, ...) TIMES_##name,

enum thread_stat {
    THREAD_STATS(STATS_NONE, STATS_VALUE, STATS_VALUE, STATS_NONE, STATS_NONE)
        THREAD_STAT_COUNT
};

enum thread_times {
    THREAD_STATS(STATS_NONE, STATS_NONE, STATS_NONE, STATS_TIMES, STATS_TIMES)
        THREAD_TIMES_COUNT
};

/* An operation that has its answer, which leaves at the end of the turn. */
struct stats_ended {
    int64_t since_ns;
    uint32_t what; /* enum thread_times */
};

enum { STATS_ENDED_MAX = 64 };

/* On cache lines that nobody else writes to. */
struct thread_stats {
    union {
        struct {
            THREAD_STATS(STATS_NONE, STATS_FIELD, STATS_FIELD, STATS_NONE, STATS_NONE)
        };
        _Alignas(64) uint64_t values[THREAD_STAT_COUNT];
    };
    unsigned ended_count;
    struct stats_ended ended[STATS_ENDED_MAX];
    struct histogram times[THREAD_TIMES_COUNT];
};

/* The thread is about to serve: what its turns took so far was the start. */
void stats_begin(struct thread_stats *s);
/* All that has ended took until now. */
void stats_settle(struct thread_stats *s, int64_t now_ns);
/* For more in a turn than there is room for. */
void stats_settle_early(struct thread_stats *s);

/* An operation has its answer. */
static inline void stats_end(
    struct thread_stats *s, enum thread_times what, int64_t since_ns)
{
    if (s->ended_count == STATS_ENDED_MAX)
        stats_settle_early(s);
    s->ended[s->ended_count++] = (struct stats_ended){since_ns, (uint32_t)what};
}

enum shard_stat {
    SHARD_STATS(STATS_NONE, STATS_VALUE, STATS_VALUE, STATS_NONE, STATS_NONE)
        SHARD_STAT_COUNT
};

enum shard_times {
    SHARD_STATS(STATS_NONE, STATS_NONE, STATS_NONE, STATS_TIMES, STATS_TIMES)
        SHARD_TIMES_COUNT
};

enum server_stat {
    SERVER_STATS(STATS_NONE, STATS_VALUE, STATS_VALUE, STATS_NONE, STATS_NONE)
        SERVER_STAT_COUNT
};

#undef STATS_NONE
#undef STATS_FIELD
#undef STATS_VALUE
#undef STATS_TIMES

/* --- the lists as tables --------------------------------------------------- */

enum stats_kind { STATS_GROUP, STATS_COUNT, STATS_NOW, STATS_TIMES, STATS_SIZES };

struct stats_field {
    enum stats_kind kind;
    const char *name, *of, *flag, *help;
    unsigned at; /* among the values, or among the histograms */
};

struct stats_table {
    const char *name; /* "thread" */
    const struct stats_field *fields;
    unsigned field_count, value_count, times_count;
};

extern const struct stats_table stats_thread_table, stats_shard_table, stats_server_table;

/* The figures of one thread or shard, or of several added up. */
struct stats_set {
    const struct stats_table *table;
    uint64_t *values;
    struct histogram *times;
};

/* All zero; false: no memory. */
bool stats_set_open(struct stats_set *set, const struct stats_table *table);
void stats_set_close(struct stats_set *set);
void stats_set_copy(struct stats_set *to, const struct stats_set *from);
void stats_set_add(struct stats_set *to, const struct stats_set *from);
/* Leaves in `set` what came since `before`; what goes up and down stays as it is. */
void stats_set_since(struct stats_set *set, const struct stats_set *before);
/* By name; NULL. */
const struct stats_field *stats_find(const struct stats_table *table, struct slice name);

/* As lines: "turns 17", and "turn 17 4711 932 5=10 6=7": count, sum, maximum, then
 * buckets. */
void stats_write(struct out *out, const struct stats_set *set);
/* Takes what it knows; the rest is of another version. False: no such lines. */
bool stats_read(struct slice lines, struct stats_set *set);
