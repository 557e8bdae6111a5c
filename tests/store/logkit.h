/* logkit.h -- a log on a simulated disk, with a model of what it was given.
 *
 * Each record carries its number; kind, flags, length and bytes follow from the number,
 * so that whatever comes back can be checked to the last byte.
 */
#pragma once
#include "store/log.h"
#include "tests/store/memdisk.h"

enum { KIT_RECORDS_MAX = 20000, KIT_DAMAGES_MAX = 4096, KIT_WAITERS_MAX = 4096 };

struct kit_record {
    uint64_t seq, place;
    uint64_t former; /* place before a move that is not known to be durable, else 0 */
    uint32_t length;
    bool seen; /* in the last replay, or covered by the checkpoint */
};

struct kit_damage {
    uint32_t segment;
    uint64_t offset, bytes;
    char what[64];
};

struct kit_waiter {
    struct log_waiter waiter;
    struct kit *kit;
    unsigned covers; /* records added before it */
    unsigned order;
    bool used;
};

struct kit {
    struct memdisk disk;
    struct log_conf conf;
    struct log *log;
    struct log_start start;

    struct kit_record *records;
    unsigned count; /* added */
    unsigned acked; /* of them, known to be durable */
    struct kit_waiter waiters[KIT_WAITERS_MAX];
    unsigned waits, releases; /* waiters made, and told */
    unsigned failures;        /* told that it failed */
    enum status last_failure;
    unsigned wakes;

    /* Of the last open. */
    unsigned covered; /* records that the checkpoint held */
    unsigned replayed;
    unsigned doubles; /* records replayed that had been seen already */
    bool gap;         /* a record came before an earlier one */
    bool wrong;       /* bytes, kind, flags or place were not the record's */
    struct kit_damage damages[KIT_DAMAGES_MAX];
    unsigned damage_count;

    bool checkpoint_open;
    unsigned checkpoints_made;
    struct log_waiter checkpoint_waiter;
    enum status checkpoint_status;
    unsigned length_max; /* of drawn records */
};

/* A new disk and no log. Small segments and batches, so that all borders are met. */
void kit_init(struct kit *k, uint64_t seed);
void kit_free(struct kit *k);
/* Set-up and tear-down of a test whose state is one kit. */
int kit_start(void **state);
int kit_stop(void **state);

/* The same model on a copy of the durable bytes; `from` has no log open. */
void kit_copy(struct kit *to, const struct kit *from);

/* Opens, and checks nothing. */
enum status kit_open(struct kit *k);
void kit_close(struct kit *k); /* after everything has landed */

/* Everything the log has in flight lands, and what follows from it. */
void kit_settle(struct kit *k);
/* A start, which has to go well, and what it put off. */
void kit_open_settled(struct kit *k);
void kit_turn(
    struct kit *k); /* a log_turn(), and one landing or the time until it's due */

/* The process or the power goes; the log's memory is given back, the disk lives on. */
void kit_crash(struct kit *k, bool power);

/* The next record of the model, `length` bytes. */
enum status kit_add(struct kit *k, enum log_purpose purpose, unsigned length);
void kit_wait(struct kit *k);

/* Adds `n` records of drawn lengths, each batch awaited; fails the test unless OK. */
void kit_fill(struct kit *k, unsigned n, unsigned length);

/* All n records, in the order of the model, without damage. */
void kit_expect_all(struct kit *k, unsigned n);

/* After a crash: what was acknowledged is there, what is there is a prefix of what was
 * added. The model forgets the rest. */
void kit_expect_prefix(struct kit *k);

/* Starts with each record but [from, to), which are gone; something was reported that
 * overlaps where they stood. */
void kit_expect_lost(struct kit *k, unsigned from, unsigned to);

/* Reads record i and compares; returns the status. */
enum status kit_read(struct kit *k, unsigned i);

enum status kit_checkpoint(struct kit *k); /* whole, to its end */
enum status kit_checkpoint_begin(struct kit *k);
void kit_checkpoint_end(struct kit *k);

/* The segment that holds record i. */
struct memfile *kit_file_of(struct kit *k, unsigned i);
struct memfile *kit_file(struct kit *k, uint32_t segment);

/* Writes record i again with its number, as compaction does. */
enum status kit_move(struct kit *k, unsigned i);

/* Moves all records of a sealed segment and retires it; false when it is none. The disk
 * may die meanwhile. */
bool kit_compact(struct kit *k, unsigned index);
