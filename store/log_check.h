/* log_check.h -- the log of a shard looked through from end to end, offline.
 *
 * Nothing is written. Every problem is reported by file and offset; the records go to
 * the caller in the order of the log, as a start without a checkpoint would see them.
 */
#pragma once
#include "store/log.h"

struct log_check {
    /* In. store_id 0: whatever the first segment says. */
    uint64_t store_id;
    uint32_t shard;
    log_replay_fn *record; /* each valid record, then messages, chunks and summaries of
                            * adopted segments; may be NULL */

    /* A problem: the name of the file, where in it, how many bytes (0: not a range). */
    void (*problem)(
        void *arg, const char *file, uint64_t offset, uint64_t bytes, const char *what);
    void *arg;

    /* Out. */
    uint64_t records[256]; /* by kind */
    uint64_t segments, checkpoints;
    uint64_t record_bytes;   /* of payload */
    uint64_t tail_cut_bytes; /* torn tail: dropped by the next start, no problem */
    uint64_t problems;
    uint32_t epoch;
    uint64_t last_seq;
};

/* OK: looked through, whatever was found. NO_MEMORY, IO, or what `record` returned. */
enum status log_check(struct disk *disk, struct log_check *check);
