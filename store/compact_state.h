/* compact_state.h -- shared by the compact_*.c files and by nobody else. */
#pragma once
#include "store/compact.h"
#include "store/mailbox.h"

enum {
    MOVERS = 8, /* users worked on at once */
    BATCH = 64, /* messages in one RELOCATE */
    SKIPS = 64, /* segments that can't be rewritten, remembered */
    CLUSTER_BYTES = 128 << 10,
    FETCHES = 16, /* records read at once by one mover */
};

/* A record that users may name. */
struct item {
    uint64_t place, moved; /* moved: 0 while it is where it was */
    uint8_t kind;
    bool moving; /* some mover has it in hand */
};
struct items {
    struct item *at; /* by place */
    uint32_t count, cap;
};

/* A user who may name something in the segment. */
struct owner {
    uint64_t id;
    uint64_t seq; /* of the last record of his chain in it; 0: none */
};

/* A record to be kept as it is: a tombstone. */
struct keep {
    uint64_t seq;
    uint32_t bytes;
    uint8_t kind;
};

struct wanted {
    uint64_t body, summary; /* 0: stays */
    uint32_t uid;
    uint8_t summary_index;
};

enum mover_phase {
    MOVER_FREE,
    MOVER_LOAD,
    MOVER_LOOK,
    MOVER_MOVE,
    MOVER_FOLD,
    MOVER_SETTLE
};

/* A record on its way from the log, or here. */
struct fetch {
    struct log_read read;
    uint64_t place; /* 0: free */
    bool reading;
    enum status status;
};

/* Works on one user. */
struct mover {
    struct compact *c;
    enum mover_phase phase;
    struct owner owner;
    struct user *user;
    uint32_t mailbox, uid; /* where the look has come to */
    uint64_t barrier;

    struct wanted batch[BATCH];
    struct rec_move moves[BATCH];
    unsigned count, at;
    struct bytes blobs; /* of the cluster being made */
    uint32_t ends[BATCH];
    unsigned summaries;
    uint64_t cluster; /* its place, once it is written */

    /* The message in hand. */
    struct item *item;
    bool has_message;
    struct bytes message; /* payload, parts being replaced */
    uint64_t message_seq;
    uint32_t part;

    struct fetch fetches[FETCHES];
    unsigned ahead; /* of the batch: what is before is asked for */

    struct store_op fold;
    enum status folded;
};

enum compact_phase {
    COMPACT_IDLE,
    COMPACT_BARRIER,
    COMPACT_SCAN,
    COMPACT_FOREIGN,
    COMPACT_FANOUTS,
    COMPACT_QUEUE,
    COMPACT_USERS,
    COMPACT_KEEP,
    COMPACT_SETTLE,
};

struct compact {
    struct store *store;
    enum compact_phase phase;
    uint32_t segment;
    uint64_t used_bytes;
    bool oldest;   /* nothing before it is left: tombstones may go */
    bool adopted;  /* only messages in it count */
    bool adoption; /* it says what must be known of adopted ones */
    struct adopted_at adopted_at;
    bool failing;
    uint32_t left; /* octets of mail that this turn may still move */
    uint64_t barrier;
    struct log_scan *scan;
    struct items items;   /* in the segment */
    struct items foreign; /* messages elsewhere with chunks in it */
    struct bytes owners;  /* struct owner */
    size_t next_owner;
    struct bytes keeps; /* struct keep and payload */
    size_t next_keep;
    uint32_t next_foreign;
    uint64_t next_queued; /* number of the last entry of the queue that was looked at */
    struct mover movers[MOVERS];
    struct store_op settled;
    uint32_t skips[SKIPS];
    unsigned skip_count;
    uint64_t looked_turn, looked_at; /* the last look at the segments */
    int64_t from_s;                  /* no look before, after a failure: store_rests() */
};

/* --- compact_scan.c --- */

/* What a record of the segment means for the work. Also for messages elsewhere. */
enum status scan_record(void *arg, const struct log_record *r);
enum status owners_of_message(struct compact *c, const struct log_record *r);
/* The owners each once, sorted. */
void owners_sort(struct compact *c);
bool items_add(struct items *items, uint64_t place, unsigned kind);
struct item *items_find(const struct items *items, uint64_t place);
/* The message at this place, if it has to be moved. */
struct item *compact_body(const struct compact *c, uint64_t place);

/* --- compact_move.c: one message, one summary --- */

/* Moves the message. BUSY: come back. Other statuses: the segment stays. */
enum status move_body(struct mover *m, struct item *item);
/* Whoever wanted the message in hand has gone. */
void move_drop(struct mover *m);
/* The record at this place: OK and *record, until mover_done(). BUSY: it is on its way.
 */
enum status mover_fetch(
    struct mover *m, uint64_t place, const struct log_record **record);
void mover_done(struct mover *m, uint64_t place);
/* Begins to read it, if there is room. False: there is none. */
bool mover_ahead(struct mover *m, uint64_t place);
/* False: something is on its way still. Else nothing is held any more. */
bool mover_settle(struct mover *m);

/* --- compact_user.c: all of one user --- */

enum status mover_step(struct mover *m, int *budget);
/* Nothing of it is on its way: frees it. */
bool mover_stop(struct mover *m);
