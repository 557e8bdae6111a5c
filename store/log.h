/* log.h -- the append-only log of one shard. Private to the store.
 *
 * Records go into the open batch; log_turn() writes batches (O_DIRECT and
 * RWF_DSYNC through the disk interface, up to four in flight) and releases
 * waiters strictly in order. A record's place is known as soon as it is added.
 *
 *      log_add() --> open batch --log_turn()--> in flight --durable, in order--> waiters
 *                                                  |
 *                                                  +-- failed --> read-only for ever
 *
 * The bytes are specified in store/FORMAT.md and store/format.h.
 */
#pragma once
#include "proto/base/list.h"
#include "proto/base/op.h"
#include "proto/base/slice.h"
#include "store/disk.h"
#include "store/format.h"
#include "store/log_counts.h"

struct log;

/* Where a record starts: segment number << 32 | offset of its header. 0 is no place. */
#define PLACE_SEGMENT(place) ((uint32_t)((place) >> 32))
#define PLACE_OFFSET(place)  ((uint32_t)(place))

struct log_conf {
    uint64_t store_id;       /* of the whole store; in every segment */
    uint32_t shard;          /* number of this shard */
    uint32_t segment_bytes;  /* a multiple of 4096; default 64 MiB */
    uint32_t batch_bytes;    /* a batch is sent when it reaches this; default 256 KiB */
    uint32_t in_flight;      /* batches being written at once, 1..4 */
    uint32_t commit_wait;    /* a batch waits for others' records, at most so many times
                              * what a commit takes; 0: never */
    uint64_t recent_bytes;   /* newest batches kept in memory for reading */
    uint64_t disk_bytes_max; /* 0: what the file system gives */
    uint64_t read_bytes;     /* buffers for reading older records; 0: 32 MiB */
    uint32_t files_max;      /* sealed segments open for reading; 0: 128 */

    /* Which numbers new segments take: segment_number_from(). lanes 0: all. */
    uint32_t lanes, lane;
    uint32_t numbers_from; /* a log that is new takes none below; adopted ones are */

    /* Something that was answered with BUSY or NO_SPACE may go now. Runs at the end of
     * log_turn(), not for what came before log_turn_begins(). May be NULL. */
    void (*wake)(void *arg);
    void *wake_arg;
};

/* The memory that a log takes at most, whatever happens: batches and cache, buffers for
 * reading, a checkpoint on its way; without the table of segments (about 150 bytes for
 * each) and running scans. */
uint64_t log_memory_max(const struct log_conf *conf);

/* One record as read or replayed. */
struct log_record {
    enum record_kind kind;
    uint8_t flags;
    uint64_t seq; /* ascending in the shard, kept by compaction */
    uint64_t place;
    struct slice payload;
};

typedef enum status log_replay_fn(void *arg, const struct log_record *record);
typedef void log_damage_fn(
    void *arg, uint32_t segment, uint64_t offset, uint64_t bytes, const char *what);

struct log_start {
    /* Called with each piece of the newest checkpoint, in order, while that is read; not
     * at all when there is none. */
    enum status (*piece)(void *arg, struct slice piece);
    /* The rest of it is damaged: those pieces do not count. An older one may follow. */
    enum status (*forget)(void *arg);
    log_replay_fn *replay; /* then each valid record after the checkpoint, in log order */
    log_damage_fn *damage; /* bytes before the tail that fail; nothing is cut */
    void *arg;
    uint64_t image_bytes;    /* out, before the first piece: of its checkpoint */
    bool accept_loss;        /* open in spite of what would be refused; it is reported */
    uint64_t tail_cut_bytes; /* out: what a torn tail held, nobody was told of it */
    uint64_t replayed;       /* out: records */
};

/* Opens the log: newest valid checkpoint, then the tail. *log is set before the first
 * record, for log_live(), and NULL in the end when the status is not OK. Blocks; start
 * only. Begins a new segment under a new epoch. CORRUPT: a segment or store id does not
 * belong here, a segment is missing, or the log ends before the checkpoint; INVALID: a
 * file was written in a newer format; IO: the end of the log cannot be read. Each is
 * named through `damage`. NO_MEMORY. A status that a callback returns is passed on. A
 * full disk is no reason to fail: log_add() then answers NO_SPACE until there is room. */
enum status log_open(struct log **log, struct disk *disk, const struct log_conf *conf,
    struct log_start *start);

/* After the last waiter has been released. Closes files, frees memory. */
void log_close(struct log *log);

enum log_purpose {
    LOG_GROW,   /* new mail: refused first when the disk fills */
    LOG_SHRINK, /* expunge, flags, deletion, compaction: may use the reserve */
};

/* Adds a record with the given pieces as its payload to the open batch and says where it
 * will be and its sequence number. The bytes are copied. *seq: 0 for a new number, or the
 * original one (compaction). NO_SPACE: the disk is full for this purpose. IO, NO_MEMORY:
 * the next segment cannot be made for another reason. READ_ONLY. LIMIT: over
 * RECORD_PAYLOAD_MAX, or more than a segment holds. BUSY: too many bytes wait already,
 * come back after conf.wake. */
enum status log_add(struct log *log, enum log_purpose purpose, enum record_kind kind,
    uint8_t flags, const struct slice *pieces, unsigned count, uint64_t *place,
    uint64_t *seq);

enum { GROUP_RECORDS_MAX = 16384 };

/* Makes sure that the next `records` records with together `payload_bytes` of payload
 * can be added, and that all of them go into one batch: after a crash either all of them
 * are there or none. Statuses as log_add(); LIMIT: over RECORD_PAYLOAD_MAX together, or
 * over GROUP_RECORDS_MAX. */
enum status log_room(
    struct log *log, enum log_purpose purpose, unsigned records, uint64_t payload_bytes);

/* Someone who wants to know that everything added so far is durable. */
struct log_waiter {
    struct list link;
    uint64_t seq;
    void (*done)(struct log_waiter *w, enum status status);
};

/* w->done() runs, in the order of the calls, when all records added so far are on the
 * disk (OK), when their write has failed (IO), or in a later turn when the log had
 * failed before (READ_ONLY). Never from inside this call. */
void log_wait(struct log *log, struct log_waiter *w);

/* The caller is about to try again what was BUSY: it need not be woken for what has come
 * to an end so far. Optional. */
void log_turn_begins(struct log *log);

/* Once a turn, after the sessions: writes what has gathered, by the pressure rule. */
void log_turn(struct log *log);

/* The time (of the disk's clock) at which log_turn() has to run again even if nothing
 * else happens, for a batch that waits (conf.commit_wait) or a segment that could not be
 * made; UINT64_MAX: none. Coming late costs latency, nothing else. */
uint64_t log_due_ns(struct log *log);

/* OK; READ_ONLY after a failed write; NO_SPACE or IO while the next segment cannot be
 * made: LOG_GROW is refused then, or will be when the current segment is full. */
enum status log_health(const struct log *log);

/* Nothing waits, nothing is in flight. */
bool log_idle(const struct log *log);

/* Highest sequence number that is durable. */
uint64_t log_durable_seq(const struct log *log);

/* --- reading --- */

/* Private: a range of a segment on its way from the disk. */
struct log_io {
    struct disk_op op;
    struct log *log;
    struct log_segment *segment;
    struct log_file *file; /* of the segment, held while the read is in flight */
    struct list link;      /* waits for the file */
    void (*done)(struct log_io *io, int32_t res);
};

struct log_read {
    struct log_record record; /* good after true or done(OK) until log_read_end() */
    void (*done)(struct log_read *r, enum status status);

    /* Private. */
    struct log *log;
    struct log_io io;
    uint64_t place;
    struct log_segment *segment; /* held while the read lasts */
    struct list link;            /* waits for a buffer or for its done() */
    void *source;                /* pinned memory of a batch, or pooled buffer */
    uint32_t bytes;              /* read from the disk, a multiple of DISK_BLOCK */
    uint8_t state;
    enum status status;
    uint64_t begun_ns; /* when it went to the disk */
};

/* Reads the record at `place`, checked (magic, segment, place, CRC-32C). `bytes_hint`:
 * payload size if known, else 0. From memory when it is recent: then it returns true,
 * r->record is set and done() is not called. Otherwise false, and done() runs later: OK,
 * CORRUPT, IO, NOT_FOUND (no such segment). The record and the segment stay pinned until
 * log_read_end(), which is owed after true or OK. */
bool log_read(struct log *log, struct log_read *r, uint64_t place, uint32_t bytes_hint,
    void (*done)(struct log_read *r, enum status status));
/* The same, but looks into the page cache as well before it answers false: a system call,
 * for small records that are read one after the other, each for the place of the next. */
bool log_read_near(struct log *log, struct log_read *r, uint64_t place,
    uint32_t bytes_hint, void (*done)(struct log_read *r, enum status status));
void log_read_end(struct log_read *r);

/* --- segments, live bytes, compaction --- */

/* Counts `bytes` of record at `place` as live (+) or dead (-). */
void log_live(struct log *log, uint64_t place, int64_t bytes);

struct log_segment_info {
    uint32_t number;
    bool sealed;         /* takes no more records: may be scanned and retired */
    bool retired;        /* waits to be removed */
    bool adopted;        /* not written by this log: log_adopt() */
    uint64_t used_bytes; /* of the file; of one that others share, this log's part */
    uint64_t live_bytes;
};

const struct log_counts *log_counts(const struct log *log);
/* Octets of batches in memory. */
uint64_t log_recent_bytes(const struct log *log);
/* See store_fill_recent(). */
size_t log_fill_recent(const struct log *log, size_t at);

/* The i-th segment, oldest first; false past the end. */
bool log_segment_at(const struct log *log, unsigned i, struct log_segment_info *info);

/* Sets the live bytes of a segment that is there. */
void log_live_is(struct log *log, uint32_t segment, uint64_t bytes);

/* --- segments of other shards --- */

/* A segment that another log of the same store has finished. What stands in it under
 * names that the index keeps can be read here, and scanned; it is never replayed. */
struct log_adopted {
    uint32_t number;
    uint32_t shard, epoch; /* it was written under */
    uint32_t bytes;        /* size of the file */
    uint32_t end;          /* of what counts in it */
    bool cut;              /* and no seal says so */
};

/* Segment `number` of this log, as others would adopt it. NOT_FOUND: there is none, or
 * it can't be recognised; BUSY: it takes records still. */
enum status log_adoptable(
    const struct log *log, uint32_t number, struct log_adopted *segment);

/* Adopts a segment. Only a log that is new, with conf.numbers_from, can do so, and its
 * folder must hold the file before it is opened again. EXISTS: it has been adopted;
 * INVALID: another segment has the number, or it is not below this log's own. NO_MEMORY.
 */
enum status log_adopt(struct log *log, const struct log_adopted *segment);

/* That was all: adds the list that says so. Until it is durable no other start of the log
 * succeeds. As log_add(). */
enum status log_adopt_end(struct log *log);

/* Has this segment been adopted? */
bool log_adopts(const struct log *log, uint32_t number);

/* No segment of this log has a number like this or a higher one, now or ever before. */
uint32_t log_numbers_end(const struct log *log);

/* Has an adopted segment's share in the disk looked at again, one a call and in turns.
 * Returns at once. */
void log_look_at_links(struct log *log);

/* New records are numbered above `seq`, so that adopted ones can be moved. */
uint64_t log_last_seq(const struct log *log);
void log_number_above(struct log *log, uint64_t seq);

/* Pins all segments that are not retired now, so that later removed ones keep their bytes
 * readable for this holder (a POP3 maildrop, a long read). */
struct log_pin {
    struct list link;
    uint64_t epoch;
};
void log_pin(struct log *log, struct log_pin *pin);
void log_unpin(struct log *log, struct log_pin *pin);

/* Retires a sealed segment whose live records have been rewritten, durably. The file is
 * removed once all kept checkpoints have begun later and no pin from before holds it;
 * until then its records can be read. */
void log_retire(struct log *log, uint32_t segment);

/* Reads a sealed segment record by record, in the background: begin, then step() calls
 * `each` (with `arg`) for up to about `bytes_max` bytes of records already read, and
 * returns BUSY while more is on its way (wake() tells), LIMIT when `bytes_max` is used up
 * and more is there, OK at the end, IO, or what `each` returned: the record is then
 * offered again by the next step. Damaged ranges are passed over. The segment stays
 * pinned until log_scan_end(), which may come at any time. begin: NOT_FOUND, NO_MEMORY;
 * BUSY: its last batches are not durable yet. */
struct log_scan;
enum status log_scan_begin(struct log *log, uint32_t segment, struct log_scan **scan,
    void (*wake)(void *arg), void *arg);
enum status log_scan_step(struct log_scan *scan, uint32_t bytes_max, log_replay_fn *each);
void log_scan_end(struct log_scan *scan);

/* --- checkpoints --- */

/* A checkpoint holds what the index gives as pieces (each up to CHECKPOINT_PIECE_MAX),
 * and the segment table. It covers every record up to the sequence number durable at
 * begin; the index must give a consistent picture of exactly that moment, or pieces that
 * carry their own numbers and tolerate replay. It is written in slices beside normal
 * work; two are kept. One at a time: BUSY. NO_MEMORY. */
enum status log_checkpoint_begin(struct log *log);
/* BUSY: come back after conf.wake; the piece was not taken. IO, NO_SPACE: the file
 * failed, end it; the log goes on without a new checkpoint. */
enum status log_checkpoint_piece(struct log *log, struct slice piece);
/* done(OK) when it is durable, and older segments may go; IO, NO_SPACE. */
void log_checkpoint_end(struct log *log, struct log_waiter *w);

/* Bytes added to the log since the newest checkpoint: when to make the next. */
uint64_t log_since_checkpoint(const struct log *log);
