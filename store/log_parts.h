/* log_parts.h -- the insides of the log, shared by the log_*.c files and by nobody else.
 *
 *      log_open.c        start and stop
 *      log_recover.c     from files to records, reading only
 *      log_walk.c        finds records in bytes
 *      log_add.c         records into batches, batches into slabs of memory
 *      log_commit.c      batches onto the disk, waiters released
 *      log_segment.c     table of segments, live bytes, pins
 *      log_adopt.c       segments that other shards wrote
 *      log_prepare.c     segments made ahead of need
 *      log_janitor.c     files closed and removed
 *      log_file.c        open files for reading
 *      log_read.c        one record, from memory or disk
 *      log_scan.c        all records of a segment
 *      log_checkpoint.c  checkpoints written
 *      log_image.c       checkpoints read
 */
#pragma once
#include <errno.h>

#include "store/log.h"
#include "store/log_memory.h"

enum {
    IN_FLIGHT_MAX = 4,      /* batches being written at once */
    BATCHES_MAX = 64,       /* open, closed and in flight; a power of two */
    SLAB_BYTES_MIN = 65536, /* memory for batches comes in pieces of this or more */
    SLAB_BATCHES = 4,       /* batches of full size that a slab holds */
    SLABS_SPARE = 5,        /* slabs beyond those of the cache */
    WAITING_BATCHES = 16,   /* full batches' worth of bytes that may wait for the disk */
    JUMBO_MAX = 2,          /* batches with one record too big for a slab, in memory */
    PREPARED_MAX = 3, /* the next segment, a reserve for LOG_SHRINK, one for a start */
    DEBRIS_MAX = 8,   /* files that a start leaves for after it; more it removes itself */
    DOOMED_MAX = 64,  /* segments removed in one round */
    RETRY_NS = 1000000000, /* between two tries to make a segment on a full disk */
    READ_BYTES_DEFAULT = 32 << 20,
    FILES_MAX_DEFAULT = 128,
    CHECKPOINT_BUFFER_BYTES = CHECKPOINT_PIECE_MAX + 2 * FORMAT_BLOCK, /* one of two */
    LATENCY_FIRST_NS = 500000, /* a commit's, before one has been measured */
};

/* The third purpose, of the log itself: may use what LOG_SHRINK leaves. */
#define LOG_LIST ((enum log_purpose)(LOG_SHRINK + 1))

struct log_segment {
    uint32_t number, epoch, identity;
    uint32_t shard;   /* that wrote it */
    uint32_t links;   /* names that the file has; this log's part is one of so many */
    uint32_t bytes;   /* size of the file */
    uint32_t end;     /* where its next batch goes; at last: used bytes */
    uint32_t flying;  /* batches not yet durable */
    uint32_t holds;   /* reads and scans that need it */
    uint32_t reading; /* reads in flight on `writer` */
    int32_t writer;   /* file number it was created under, -1 when closed */
    bool sealed;      /* takes no more batches */
    bool adopted;     /* of another shard: only read, never replayed */
    bool cut;         /* without a seal: its epoch ended at `end` */
    bool retired;     /* its live records are elsewhere */
    bool doomed;      /* being removed: no read may begin */
    bool closing;     /* `writer` waits in log->closing */
    uint64_t live_bytes;
    uint64_t retired_at; /* checkpoints begun before it was retired */
    uint64_t pin_stamp;  /* pins with a lower epoch hold it */
    struct log_file *file;
    bool file_wanted; /* counted in log->files_wanted */
    struct list link; /* in log->retired or log->doomed */
    struct list closing_link;
};

/* Memory that batches are cut from, in the order of the log; when they are durable it
 * stays as the cache until its turn comes again. */
struct slab {
    struct list link; /* in log->recent, oldest first, or log->spare */
    char *at;
    uint32_t bytes;
    uint32_t used;   /* by batches, padded */
    uint32_t flying; /* batches not yet durable */
    uint32_t pins;   /* readers */
    uint64_t place;  /* of its first byte */
    bool own;        /* `at` is its own allocation */
    bool jumbo;      /* made for one big record, freed when done with */
};

enum batch_state { BATCH_OPEN, BATCH_CLOSED, BATCH_FLYING, BATCH_LANDED, BATCH_BAD };

struct batch {
    struct disk_op io;
    struct log *log;
    struct slab *slab;
    struct log_segment *segment;
    char *at;
    uint32_t offset; /* in the segment */
    uint32_t used, room;
    uint32_t records;
    uint64_t number;
    uint64_t last_seq;
    uint64_t next_place; /* where the log goes on behind it */
    uint64_t opened_ns, sent_ns;
    enum batch_state state;
    bool seal;
};

/* What the next batch waits for: log_gather.c. */
struct gather {
    uint64_t landed_ns; /* when the newest batch did */
    uint32_t landed;    /* records, since the last batch was sent */
    uint32_t expected;  /* records in the next */
    uint32_t passes;    /* batches that don't wait now */
    uint32_t in_vain;   /* that did not after the last one that waited in vain */
    bool waited;        /* the open batch has */
};

/* A sealed segment, open for reading. */
struct log_file {
    struct disk_op op;
    struct list link; /* in log->idle_files, least recently used first, or free_files */
    struct list waiting; /* struct log_io, until it is open */
    struct log *log;
    struct log_segment *segment;
    int32_t number;
    uint32_t reading;
    enum { FILE_FREE, FILE_OPENING, FILE_OPEN, FILE_CLOSING } state;
    char name[DISK_NAME_MAX];
};

enum prepare_state {
    PREPARE_IDLE,
    PREPARE_CREATING,
    PREPARE_HEADING, /* its header is being written */
    PREPARE_CLOSING, /* it failed, and goes away again */
    PREPARE_REMOVING,
};

struct prepare {
    struct disk_op op;
    enum prepare_state state;
    struct log_segment *segment;
    char *block;
    uint64_t retry_ns;
    enum status error; /* why the last try failed; OK when it did not */
    char name[DISK_NAME_MAX];
};

enum janitor_state {
    JANITOR_IDLE,
    JANITOR_CLOSING,
    JANITOR_LISTING,
    JANITOR_REMOVING,
    JANITOR_SWEEPING,
};

struct janitor {
    struct disk_op op;
    enum janitor_state state;
    bool due; /* something may have become removable */
    struct log_segment *segment;
    struct log_waiter listed;
    char name[DISK_NAME_MAX];
};

/* Asks how many share an adopted segment. */
struct links {
    struct disk_op op;
    struct log_segment *segment; /* held; NULL: nothing is asked */
    uint32_t after;              /* number of the segment that was asked for last */
    char name[DISK_NAME_MAX];
};

/* A checkpoint file that is kept. */
struct kept {
    uint32_t number;
    uint64_t begun; /* how many checkpoints had begun with it */
    uint64_t bytes;
};

struct log_checkpoint;

enum { READ_CLASSES = 8, READ_CLASS_MIN = 8192 };

/* Buffers for reading, by sizes of powers of two. */
struct read_pool {
    struct list free[READ_CLASSES];
    struct list waiting; /* struct log_read */
    uint64_t bytes;      /* allocated */
    uint64_t busy_bytes; /* of them, handed out */
    uint64_t bytes_max;
};

struct log {
    struct disk *disk;
    struct log_conf conf;
    uint32_t epoch;
    uint32_t epoch_before; /* the highest that has records, until this one has some */
    uint64_t cut;
    bool failed; /* a write has failed: nothing is acknowledged any more */
    bool closing;
    bool last;  /* the batch being sent is the last of all */
    bool woken; /* wake() is owed */

    /* Segments, by number. The two arrays run in parallel. */
    struct log_segment **segments;
    uint32_t *numbers;
    unsigned segment_count, segment_room;
    struct log_segment *current; /* NULL: none could be made yet */
    uint32_t next_number;        /* at least */
    uint32_t own_from; /* adopted segments have lower numbers, own ones do not */
    bool adopting;     /* not all is adopted yet: no list says where own ones begin */
    unsigned adopted;  /* how many there are; they stand first in the table */
    struct links links;
    struct prepare prepare;
    struct log_segment *prepared[PREPARED_MAX];
    unsigned prepared_count;
    struct list retired, doomed, closers;
    struct janitor janitor;
    uint32_t debris[DEBRIS_MAX]; /* files that were no part of the log at its start */
    unsigned debris_count;
    struct list pins;
    uint64_t pin_clock;

    /* Batches: a ring; head is the oldest not durable, send the next to be written, tail
     * the next to be opened. */
    struct batch batches[BATCHES_MAX];
    uint64_t head, send, tail;
    struct batch *open;
    unsigned in_flight;
    uint64_t last_number, durable_number;
    uint64_t last_seq, durable_seq;
    uint64_t durable_place; /* where the log goes on behind what is durable */
    uint64_t batch_place;   /* the last durable batch, 0 before the first */
    uint64_t added_bytes;   /* padded bytes of batches made durable */
    uint64_t waiting_bytes; /* added and not yet durable */
    uint64_t latency_ns;    /* of a commit, smoothed */
    struct gather gather;
    struct list waiters, late_waiters;

    struct list recent, spare;
    struct slab *slab; /* that batches are cut from now */
    char *slab_memory; /* of all slabs that have none of their own; NULL: all have */
    uint32_t slab_bytes;
    unsigned slab_count, slabs_pinned, jumbo_count;

    struct list idle_files, free_files, file_waiters;
    unsigned file_count; /* in all */
    unsigned files_closing;
    unsigned files_wanted;   /* one for each segment of log->file_waiters */
    uint64_t files_retry_ns; /* no more of them before */
    struct read_pool pool;
    struct list told; /* reads whose done() runs in the next turn */
    unsigned reads;   /* begun and not told */

    struct log_checkpoint *checkpoint;
    uint64_t checkpoints_begun;
    struct kept kept[2]; /* newest first; number 0: none */
    uint32_t next_checkpoint;
    uint64_t checkpoint_added; /* added_bytes when the newest was begun */

    struct log_counts counts;
};

static inline uint64_t place_of(uint32_t segment, uint32_t offset)
{
    return (uint64_t)segment << 32 | offset;
}

static inline enum status status_of(int32_t res)
{
    if (res >= 0)
        return STATUS_OK;
    if (res == -ENOSPC || res == -EDQUOT)
        return STATUS_NO_SPACE;
    return res == -ENOMEM ? STATUS_NO_MEMORY : STATUS_IO;
}

static inline uint64_t log_now(struct log *log)
{
    return log->disk->calls->now_ns(log->disk);
}

/* --- log_segment.c --- */

struct log_segment *segment_new(
    uint32_t shard, uint32_t number, uint32_t epoch, uint32_t identity, uint32_t bytes);

/* Room in the table for `more` segments. NO_MEMORY. */
enum status segment_table_room(struct log *log, unsigned more);

/* Puts it into the table, which has room. */
void segment_table_add(struct log *log, struct log_segment *segment);
void segment_table_drop(struct log *log, struct log_segment *segment);

/* By number; NULL. */
struct log_segment *segment_find(const struct log *log, uint32_t number);

/* The payload of a SEGMENTS record: every segment that stays. Returns its size; at NULL:
 * writes nothing. */
size_t segment_list_write(const struct log *log, char *at);

static inline void segment_hold(struct log_segment *segment)
{
    segment->holds++;
}

void segment_release(struct log *log, struct log_segment *segment);

/* The last batch of a sealed segment is durable: its writer may be closed. */
void segment_settled(struct log *log, struct log_segment *segment);

/* Bytes that all files take at most. */
uint64_t log_disk_bytes(const struct log *log);

/* --- log_adopt.c --- */

/* Asks how many share it, and waits; start only. */
void links_find(struct log *log, struct log_segment *segment);

/* --- log_prepare.c --- */

/* Starts to make a segment when one is wanted and nothing stands against it. */
void prepare_turn(struct log *log);

/* When what went wrong is tried again; UINT64_MAX: nothing did. */
uint64_t prepare_due_ns(struct log *log);

/* --- log_janitor.c --- */

void janitor_turn(struct log *log);

/* --- log_add.c --- */

/* Closes the open batch and opens one with room for `need` bytes of records, in the
 * current segment or the next. BUSY, LIMIT, or why there is no space. */
enum status batch_open(struct log *log, enum log_purpose purpose, size_t need);
void batch_close(struct log *log);

/* Adds a list of the segments that stay. As log_add(). */
enum status log_put_segments(struct log *log);

/* Bytes of all slabs, jumbo ones included, at most. */
uint64_t slabs_bytes_max(const struct log_conf *conf);

/* Allocates the slabs. */
enum status slabs_open(struct log *log);
void slabs_close(struct log *log);
void slab_unpin(struct log *log, struct slab *slab);

/* The memory that holds this place, or NULL. */
struct slab *slab_find(struct log *log, uint64_t place);

/* The batch is durable, or never will be. */
void slab_landed(struct log *log, struct batch *batch);

/* --- log_commit.c --- */

/* Writes what there is, whatever the pressure, and without being asked again. */
void commit_flush(struct log *log);

/* --- log_gather.c --- */

/* Whether the open batch, with nothing in flight, waits for more records, until
 * gather_due_ns(). */
bool gather_waits(struct log *log);
uint64_t gather_due_ns(const struct log *log); /* UINT64_MAX: none waits */

void gather_landed(struct log *log, const struct batch *batch);
void gather_sent(struct log *log, const struct batch *batch);

/* --- log_file.c --- */

enum status files_open(struct log *log);
void files_close(struct log *log);

/* Reads a range of a segment; io->done() runs later. The segment is held. */
void segment_read(struct log *log, struct log_io *io, struct log_segment *segment,
    void *buffer, uint32_t bytes, uint64_t offset,
    void (*done)(struct log_io *io, int32_t res));

/* The same at once, when the segment's file is open and the page cache has it: a count of
 * bytes, or a negative errno. */
int32_t segment_peek(struct log *log, struct log_segment *segment, void *buffer,
    uint32_t bytes, uint64_t offset);

/* The segment is going away; nothing reads it. Returns true when it has no open file;
 * else that is being closed: ask again in a later turn. */
bool segment_file_closed(struct log_segment *segment);

/* --- log_read.c --- */

void reads_open(struct log *log);
void reads_turn(struct log *log);
void reads_close(struct log *log);

/* --- log_checkpoint.c --- */

void checkpoint_turn(struct log *log);

/* Waits for the running checkpoint to land and gives it up; stop only. */
void checkpoint_abandon(struct log *log);
