/* format.h -- the bytes on disk: the framing of segments, records and checkpoints.
 *
 * This header and store/FORMAT.md are the specification. All numbers are little-endian.
 * What the payload of a record means is said in FORMAT.md, per kind.
 *
 *      segment     | header | batch | batch | ...                       | seal |
 *      header      one block of 4096 bytes: struct segment_header at 0, again at 2048
 *      batch       | BATCH record | record | record | ... | zeroes up to a block border |
 *      record      | struct record_header | payload | zeroes up to 8 bytes |
 *
 *      checkpoint  | header | frame | frame | ... | END frame | zeroes |
 *      frame       | struct frame_header | payload | zeroes up to 8 bytes |
 *
 * Versions. A file of a version up to FORMAT_VERSION is read as it stands, for ever; a
 * newer one is refused by name. Every change of these structs, and every new record
 * kind, raises FORMAT_VERSION. New files are written in the newest version. Reserved
 * fields are written as zero and are not looked at.
 */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/check.h"
#include "proto/base/slice.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are the disk format");

enum {
    FORMAT_VERSION = 3,
    FORMAT_BLOCK = 4096,            /* batches begin and end at multiples of this */
    FORMAT_ALIGN = 8,               /* records and frames begin at multiples of this */
    SEGMENT_COPY_AT = 2048,         /* where the segment header stands again */
    RECORD_PAYLOAD_MAX = 8 << 20,   /* bytes of one record's payload */
    CHECKPOINT_PIECE_MAX = 1 << 20, /* bytes of one piece of a checkpoint */
    SEGMENT_BYTES_MIN = 32 << 10,   /* of a segment file; a multiple of FORMAT_BLOCK */
    RECORD_MAGIC = 0x4d523e3e,      /* ">>RM" */
    FRAME_MAGIC = 0x46433e3e,       /* ">>CF" */
};

#define SEGMENT_MAGIC    "ringmail"
#define CHECKPOINT_MAGIC "ringckpt"

/* Names of the files, for printf: the number of the segment, of the checkpoint. */
#define SEGMENT_NAME    "log-%08x"
#define CHECKPOINT_NAME "checkpoint-%08x"

/* RECORD(name, number, text). Numbers are for ever. BATCH, SEGMENT_SEALED and SEGMENTS
 * belong to the log and are never shown to the index. */
#define RECORD_KINDS(RECORD)                       \
    RECORD(BATCH, 1, "batch header")               \
    RECORD(SEGMENT_SEALED, 2, "segment seal")      \
    RECORD(SEGMENTS, 3, "segment list")            \
    RECORD(MESSAGE, 16, "message")                 \
    RECORD(CHUNK, 17, "message chunk")             \
    RECORD(SUMMARY, 18, "message summary")         \
    RECORD(DELIVERY, 19, "delivery")               \
    RECORD(FLAGS, 20, "flags")                     \
    RECORD(EXPUNGE, 21, "expunge")                 \
    RECORD(RELOCATE, 22, "relocation")             \
    RECORD(COPY, 23, "copy")                       \
    RECORD(MAILBOX, 32, "mailbox change")          \
    RECORD(MAILBOX_STATE, 33, "mailbox state")     \
    RECORD(USER, 34, "user change")                \
    RECORD(USER_STATE, 35, "user state")           \
    RECORD(UIDVALIDITY, 36, "uidvalidity counter") \
    RECORD(ADOPTED, 37, "adopted segments")        \
    RECORD(FANOUT, 48, "fan-out")                  \
    RECORD(FANOUT_DONE, 49, "fan-out done")        \
    RECORD(QUEUE_ADDED, 64, "queue entry added")   \
    RECORD(QUEUE_ATTEMPTED, 65, "queue attempt")   \
    RECORD(QUEUE_DONE, 66, "queue entry done")

enum record_kind {
#define RECORD(name, number, text) RECORD_##name = (number),
    RECORD_KINDS(RECORD)
#undef RECORD
};

/* Belongs to the log. */
static inline bool record_is_framing(unsigned kind)
{
    return kind < RECORD_MESSAGE;
}

/* What a log reads in segments that it has adopted: nothing else of them counts. */
static inline bool record_is_adopted(unsigned kind)
{
    return kind == RECORD_MESSAGE || kind == RECORD_CHUNK || kind == RECORD_SUMMARY;
}

/* "message", "flags", …; NULL for a number that is no kind. */
const char *record_kind_text(unsigned kind);

/* --- segments --- */

/* Numbers are unique in a store: they are dealt out to its shards in blocks of
 * SEGMENT_BLOCK, in turns. This is the lowest that is not below `from` and belongs to
 * shard `lane` of `lanes`; 0: they are used up. */
enum { SEGMENT_BLOCK = 256 };
uint32_t segment_number_from(uint64_t from, uint32_t lanes, uint32_t lane);

/* Says what file this is. Two copies, in different sectors; either suffices. */
struct segment_header {
    char magic[8];     /* SEGMENT_MAGIC */
    uint32_t version;  /* FORMAT_VERSION of the writer */
    uint32_t crc;      /* CRC-32C of this struct with crc = 0 */
    uint64_t store_id; /* of the whole store */
    uint64_t cut;      /* place at which older epochs end: what an older epoch wrote
                        * at or above it does not count. The same all the epoch */
    uint32_t shard;
    uint32_t number;        /* as in the name */
    uint32_t epoch;         /* one higher at each start of the log */
    uint32_t identity;      /* segment_identity() of the fields above */
    uint32_t segment_bytes; /* size of the file */
    uint32_t reserved[3];
};

static_assert(sizeof(struct segment_header) == 64, "disk format");
static_assert(offsetof(struct segment_header, version) == 8, "disk format");
static_assert(offsetof(struct segment_header, crc) == 12, "disk format");
static_assert(offsetof(struct segment_header, store_id) == 16, "disk format");
static_assert(offsetof(struct segment_header, cut) == 24, "disk format");
static_assert(offsetof(struct segment_header, shard) == 32, "disk format");
static_assert(offsetof(struct segment_header, number) == 36, "disk format");
static_assert(offsetof(struct segment_header, epoch) == 40, "disk format");
static_assert(offsetof(struct segment_header, identity) == 44, "disk format");
static_assert(offsetof(struct segment_header, segment_bytes) == 48, "disk format");

/* In front of every record. Valid when magic, identity and offset are those of the
 * place it was found at, the length fits, and the checksum holds. */
struct record_header {
    uint32_t magic;    /* RECORD_MAGIC */
    uint32_t crc;      /* CRC-32C of the bytes 8..31 and the payload */
    uint64_t seq;      /* ascending in the shard, kept when moved; of BATCH: its number */
    uint32_t length;   /* bytes of payload, without padding */
    uint32_t offset;   /* of this header in its segment: a record out of place is none */
    uint32_t identity; /* of the segment: what another file left here is no record */
    uint8_t kind;      /* enum record_kind */
    uint8_t flags;     /* of the kind */
    uint16_t reserved;
};

static_assert(sizeof(struct record_header) == 32, "disk format");
static_assert(offsetof(struct record_header, crc) == 4, "disk format");
static_assert(offsetof(struct record_header, seq) == 8, "disk format");
static_assert(offsetof(struct record_header, length) == 16, "disk format");
static_assert(offsetof(struct record_header, offset) == 20, "disk format");
static_assert(offsetof(struct record_header, identity) == 24, "disk format");
static_assert(offsetof(struct record_header, kind) == 28, "disk format");
static_assert(offsetof(struct record_header, flags) == 29, "disk format");

/* Payload of BATCH, the first record of each batch. */
struct batch_header {
    uint64_t number;         /* one higher than the batch before; rises over epochs too */
    uint64_t durable_number; /* all batches up to this one were on disk before */
    uint64_t durable_seq;    /* and with them all new records up to this number */
    uint64_t last_seq;       /* highest number given so far, this batch included */
    uint64_t cut;            /* of the epoch, as in the segment header */
    uint32_t epoch;
    uint32_t bytes;   /* of the whole batch, a multiple of FORMAT_BLOCK */
    uint32_t used;    /* of it, without the padding at the end */
    uint32_t records; /* after this one */
};

static_assert(sizeof(struct batch_header) == 56, "disk format");
static_assert(offsetof(struct batch_header, durable_number) == 8, "disk format");
static_assert(offsetof(struct batch_header, durable_seq) == 16, "disk format");
static_assert(offsetof(struct batch_header, last_seq) == 24, "disk format");
static_assert(offsetof(struct batch_header, cut) == 32, "disk format");
static_assert(offsetof(struct batch_header, epoch) == 40, "disk format");
static_assert(offsetof(struct batch_header, bytes) == 44, "disk format");
static_assert(offsetof(struct batch_header, used) == 48, "disk format");
static_assert(offsetof(struct batch_header, records) == 52, "disk format");

/* Flags of BATCH. */
enum {
    BATCH_LAST = 1, /* the log was closed behind it: its epoch wrote nothing more */
};

/* Payload of SEGMENT_SEALED: nothing follows here, the log goes on in `next`. */
struct segment_seal {
    uint32_t next; /* segment number; its file was durable before */
    uint32_t used; /* offset at which the seal's own batch begins */
    uint64_t last_seq;
};

static_assert(sizeof(struct segment_seal) == 16, "disk format");

/* Payload of SEGMENTS: every segment that the log consists of, the one that holds the
 * record included. This head, then the ranges, then the cuts, then (from version 2 on)
 * what is adopted and the runs of it, each ascending. The newest such record counts. */
struct segment_list {
    uint32_t ranges, cuts; /* how many of each follow */
};

struct segment_range {
    uint32_t first, count; /* segment numbers */
};

/* A segment that ended without a seal, because its epoch did: what stands behind `end`
 * does not count. The header of the next epoch says so as well (cut), but its segment
 * may have been removed since. */
struct segment_cut {
    uint32_t number, end;
};

/* Segments that another shard wrote, and that are read here for what the index names in
 * them. They are no part of the sequence of the log. Their cuts stand among the others.
 */
struct segment_adoption {
    uint32_t below; /* the shard's own numbers begin here; adopted ones are lower */
    uint32_t runs;  /* how many follow */
};

struct segment_run {
    uint32_t first, count; /* segment numbers */
    uint32_t shard, epoch; /* that they were written under */
};

static_assert(sizeof(struct segment_list) == 8, "disk format");
static_assert(sizeof(struct segment_range) == 8, "disk format");
static_assert(sizeof(struct segment_cut) == 8, "disk format");
static_assert(sizeof(struct segment_adoption) == 8, "disk format");
static_assert(sizeof(struct segment_run) == 16, "disk format");

/* --- checkpoints --- */

struct checkpoint_header {
    char magic[8];    /* CHECKPOINT_MAGIC */
    uint32_t version; /* FORMAT_VERSION of the writer */
    uint32_t crc;     /* CRC-32C of this struct with crc = 0 */
    uint64_t store_id;
    uint64_t covered_seq;  /* every record up to this number is reflected */
    uint64_t position;     /* place from which the log must be replayed */
    uint64_t batch_place;  /* the last batch before it; 0: none in that segment */
    uint64_t batch_number; /* its number, or that of the last before it */
    uint32_t shard;
    uint32_t number;   /* as in the name */
    uint32_t epoch;    /* in which it was written */
    uint32_t identity; /* of its frames: checkpoint_identity() */
};

static_assert(sizeof(struct checkpoint_header) == 72, "disk format");
static_assert(offsetof(struct checkpoint_header, store_id) == 16, "disk format");
static_assert(offsetof(struct checkpoint_header, position) == 32, "disk format");
static_assert(offsetof(struct checkpoint_header, shard) == 56, "disk format");

enum frame_kind {
    FRAME_PIECE = 1,    /* the index's bytes, in the order given */
    FRAME_SEGMENTS = 2, /* an array of struct checkpoint_segment */
    FRAME_END = 3,      /* struct checkpoint_end; the last frame */
};

struct frame_header {
    uint32_t magic;    /* FRAME_MAGIC */
    uint32_t crc;      /* CRC-32C of the bytes 8..31 and the payload */
    uint64_t offset;   /* of this header in the file */
    uint32_t length;   /* bytes of payload, without padding */
    uint32_t identity; /* of the checkpoint */
    uint32_t index;    /* 0, 1, 2, … */
    uint32_t kind;     /* enum frame_kind */
};

static_assert(sizeof(struct frame_header) == 32, "disk format");
static_assert(offsetof(struct frame_header, offset) == 8, "disk format");
static_assert(offsetof(struct frame_header, length) == 16, "disk format");
static_assert(offsetof(struct frame_header, identity) == 20, "disk format");
static_assert(offsetof(struct frame_header, index) == 24, "disk format");
static_assert(offsetof(struct frame_header, kind) == 28, "disk format");

/* One segment as it stood when the checkpoint began. */
struct checkpoint_segment {
    uint32_t number;
    uint32_t epoch;
    uint32_t used_bytes;
    uint32_t sealed;     /* 1: takes no more records */
    uint64_t live_bytes; /* of records that the index still names */
};

static_assert(sizeof(struct checkpoint_segment) == 24, "disk format");

/* Payload of the END frame: what must have come before it. */
struct checkpoint_end {
    uint64_t bytes;    /* offset of the END frame's header */
    uint32_t frames;   /* before this one */
    uint32_t segments; /* entries in all SEGMENTS frames */
};

static_assert(sizeof(struct checkpoint_end) == 16, "disk format");

/* --- encoding and checking; no I/O, no allocation --- */

/* CRC-32C (Castagnoli; RFC 3720, appendix B.4) of `n` bytes, going on from `crc`, which
 * is 0 at the start. crc32c(crc32c(0, a), b) is the checksum of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *at, size_t n);

/* Bytes that a record or frame with `length` bytes of payload takes. */
static inline size_t record_span(size_t length)
{
    return (sizeof(struct record_header) + length + FORMAT_ALIGN - 1) &
        ~(size_t)(FORMAT_ALIGN - 1);
}

static inline size_t block_span(size_t n)
{
    return (n + FORMAT_BLOCK - 1) & ~(size_t)(FORMAT_BLOCK - 1);
}

/* Tells records of this segment from all others; never 0. */
uint32_t segment_identity(
    uint64_t store_id, uint32_t shard, uint32_t number, uint32_t epoch);
uint32_t checkpoint_identity(
    uint64_t store_id, uint32_t shard, uint32_t number, uint32_t epoch);

/* Fills in magic, version, identity and crc of *h and writes the header block. */
void segment_header_write(struct segment_header *h, char block[FORMAT_BLOCK]);

/* Reads a header block from either copy. CORRUPT: neither is valid. INVALID: valid, but
 * of a newer version. `copies`: how many of the two are valid. */
enum status segment_header_read(
    const char block[FORMAT_BLOCK], struct segment_header *h, unsigned *copies);

/* Sets magic and crc of the header at `at`, whose other fields and payload are set. */
void record_finish(void *at);

enum record_check {
    RECORD_VALID,
    RECORD_ABSENT, /* the header is zeroes: padding, or never written */
    RECORD_BAD,    /* no record of this place */
    RECORD_CUT,    /* may be one, but `room` ends before it does */
};

/* Looks at what stands at `at`, which is `offset` of the segment with this identity;
 * `room` bytes may be read. *payload is set when VALID. */
enum record_check record_check(const void *at, size_t room, uint32_t identity,
    uint32_t offset, struct record_header *h, struct slice *payload);

/* Reads the payload of a BATCH record. False: it contradicts itself or its header. */
bool batch_header_read(
    const struct record_header *h, struct slice payload, struct batch_header *batch);

void checkpoint_header_write(struct checkpoint_header *h, char *at);
enum status checkpoint_header_read(struct slice bytes, struct checkpoint_header *h);

/* Sets magic and crc of the frame at `at`. */
void frame_finish(void *at);
enum record_check frame_check(const void *at, size_t room, uint32_t identity,
    uint64_t offset, uint32_t index, struct frame_header *h, struct slice *payload);
