/* log_counts.h -- what the log of a shard has done since it was opened. Seen through
 * store_stats() and log_counts(). */
#pragma once
#include "proto/base/histogram.h"

struct log_counts {
    uint64_t batches, bytes_written, checkpoints;
    uint64_t reads, reads_memory; /* of records; of these, served from memory */
    struct histogram commit;      /* ns from the write of a batch until it is durable */
    struct histogram commit_wait; /* ns from its first record to the write */
    struct histogram batch_records, batch_bytes;
    struct histogram read; /* ns of reads that went to the disk */
};
