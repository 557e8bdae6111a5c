/* log_recover.h -- from files to records, reading only. Blocks: start and check only.
 *
 *      recovery_survey()   which files there are, what each is, what must be there,
 *                          and the newest valid checkpoint with its pieces
 *      recovery_replay()   the records after it, up to the tail
 *
 * The tail. Up to four batches fly at once, so after a crash any of the last ones may be
 * missing or torn. Each batch says which number was durable when it left: a batch up to
 * the highest such number had to be there, and what is bad of it is damage: reported,
 * stepped over, never cut. The first bad batch above that number is where the log ends;
 * nobody was told of it or of what follows. Everything that a later epoch accepted as
 * the past (below its cut) had to be there as well.
 */
#pragma once
#include "store/log.h"
#include "store/log_image.h"
#include "store/log_walk.h"

enum found_state {
    FOUND_LIVE,    /* part of the log */
    FOUND_OTHER,   /* of another shard, until it is known whether it was adopted */
    FOUND_ADOPTED, /* of another shard: read, never replayed */
    FOUND_VOID,    /* of an epoch that ended before it: nothing in it counts */
    FOUND_LEFT,    /* removed from the log, the file was to go as well */
    FOUND_LOST,    /* neither header nor batches can be recognised */
    FOUND_DEBRIS,  /* was about to become a segment */
};

/* A segment file. */
struct found {
    uint32_t number, epoch, identity;
    uint32_t shard; /* that wrote it */
    uint32_t bytes; /* of the file, in whole blocks */
    uint32_t limit; /* bytes that count: up to the cut of a later epoch */
    uint64_t cut;   /* that its own epoch made */
    uint32_t end;   /* behind its last batch */
    bool sealed;
    bool half;     /* one copy of its header is bad */
    bool blank;    /* nothing stands behind the header block */
    bool cut_here; /* limit is the end of its epoch, which needs no seal */
    enum found_state state;
};

struct recovery {
    struct disk *disk;
    uint64_t store_id; /* 0: that of the first segment */
    uint32_t shard;
    struct log_start *start;
    bool from_start; /* replay everything, whatever the checkpoint covers */

    struct found *segments; /* by number */
    unsigned segment_count, segment_room;
    struct found_checkpoint {
        uint32_t number;
        uint64_t bytes;
    } * checkpoints; /* by number */
    unsigned checkpoint_count, checkpoint_room;

    bool imaged;        /* there is a valid checkpoint */
    struct image image; /* the newest valid one */
    uint32_t older;     /* number of the one before it, 0: none */
    uint64_t older_bytes;

    struct segment_list list;     /* the newest in the log */
    struct segment_range *listed; /* its ranges, owned; its cuts follow them */
    struct segment_adoption adoption;
    struct segment_run *runs; /* of adopted segments, owned */
    uint32_t lister;          /* segment the list stands in; 0: none */

    uint64_t closed;          /* place behind the BATCH_LAST of the newest epoch, or 0 */
    uint32_t epoch;           /* the highest seen */
    uint32_t highest_segment; /* of any that is there, or was named */
    uint64_t end;             /* place at which the log ends */
    bool ended;               /* the tail has been met */
    uint64_t last_number;     /* of a batch that counts */
    uint64_t durable_number;  /* had to be there */
    uint64_t highest_number;  /* of any batch seen */
    uint64_t last_seq;        /* highest sequence number seen */
    bool looked_ahead;
    uint64_t bad_bytes; /* reported as damage */

    struct input in;
    enum status failure; /* of a callback, for whoever had it called */
};

void recovery_init(struct recovery *r, struct disk *disk, struct log_start *start);
enum status recovery_survey(struct recovery *r);
enum status recovery_replay(struct recovery *r);
void recovery_free(struct recovery *r);
