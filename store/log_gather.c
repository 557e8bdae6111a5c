/* How long a commit waits for company, while nothing flies.
 *
 * Whoever works one command after the other answers a commit with his next record. If
 * the next batch left with the first of them, the sessions would fall apart into groups
 * that pay for a commit each. So it waits for as many records as have landed and as had
 * gathered behind them, which are all that are at work: for each of them an eighth of
 * the time that a commit takes, up to some such times. Where they did not come in time,
 * the sessions are slow or do other things, and ever fewer batches wait; where they did,
 * more wait again, by and by, for some come by chance. A log whose records come by
 * themselves commits them at once, as one does that was at rest.
 */
#include "store/log_parts.h"

enum {
    RECORDS_A_COMMIT = 8, /* that are worth a wait as long as a commit takes */
    RECORDS_ENOUGH = 64,  /* in a batch: more of them make none of them cheaper */
    PASSES_MAX = 31,      /* batches that go at once after one that waited in vain */
};

static uint64_t wait_ends_ns(const struct log *log)
{
    uint64_t worth_ns = log->gather.expected * log->latency_ns / RECORDS_A_COMMIT;
    uint64_t most_ns = log->conf.commit_wait * log->latency_ns;

    return log->gather.landed_ns + (worth_ns < most_ns ? worth_ns : most_ns);
}

bool gather_waits(struct log *log)
{
    struct gather *g = &log->gather;

    if (g->passes || log->open->records >= g->expected ||
        log_now(log) >= wait_ends_ns(log))
        return false;
    g->waited = true;
    return true;
}

uint64_t gather_due_ns(const struct log *log)
{
    return log->gather.waited ? wait_ends_ns(log) : UINT64_MAX;
}

void gather_landed(struct log *log, const struct batch *batch)
{
    struct gather *g = &log->gather;

    g->landed_ns = log_now(log);
    g->landed += batch->records;
    g->expected = g->landed + (log->open ? log->open->records : 0);
    if (g->expected > RECORDS_ENOUGH)
        g->expected = RECORDS_ENOUGH;
}

void gather_sent(struct log *log, const struct batch *batch)
{
    struct gather *g = &log->gather;

    g->landed = 0;
    if (!g->waited) {
        g->passes -= g->passes != 0;
        return;
    }
    g->waited = false;
    if (batch->records >= g->expected)
        g->in_vain /= 2;
    else if (g->in_vain < PASSES_MAX)
        g->in_vain = 2 * g->in_vain + 1;
    g->passes = g->in_vain;
}
