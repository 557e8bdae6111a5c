/* index.h -- the insides of the store, shared by its files and by nobody else.
 *
 *      store_open.c     start, stop
 *      store_turn.c     what is done once a turn; requests that wait
 *      store_change.c   changes on their way to the disk, in order
 *      store_note.c     what every record means for heads, counters, live bytes
 *      store_message.c  chunks, deliveries
 *      store_fanout.c   deliveries to several shards
 *      store_queue.c    entries of the queue, which hold on to a message
 *      store_adopt.c    what must be known of segments that other shards wrote
 *      store_checkpoint.c
 *      user_*.c         accounts: load, apply, fold, evict, remove; the tree of names
 *      mailbox_*.c      messages of a mailbox: pages, keywords, changes
 *      view.c uids.c body.c summary.c
 *      compact_*.c      segments rewritten
 *
 * The life of a change:
 *
 *      request --> change_add() --> log_add(), store_note(): heads advance
 *                                        |
 *                                     durable, in order
 *                                        v
 *                                user_apply(): what is in memory advances
 *                                        v
 *                                request.done(OK)
 *
 * store_note() and user_apply() are also what recovery and loading do with a record, so
 * that what is read back is what was there.
 */
#pragma once
#include "store/bytes.h"
#include "store/cells.h"
#include "store/heads.h"
#include "store/log.h"
#include "store/queued.h"
#include "store/records.h"
#include "store/store.h"

enum {
    TURN_BUDGET = 2048,  /* messages touched in one slice of work */
    MESSAGE_MADE = 4,    /* so many that are there already, for the fresh memory */
    CHAIN_FOLD = 128,    /* records of a user until his state is written */
    FOLD_SLICE = 512,    /* mailboxes of one looked at in one slice */
    INLINE_ENTRIES = 64, /* so many messages need no page of their own */
    REQUESTS_TURN = 4096,
};

enum request_kind {
    REQUEST_NONE,
    REQUEST_CHUNK,
    REQUEST_MESSAGE,
    REQUEST_USER_OPEN,
    REQUEST_USER_REMOVE,
    REQUEST_MAILBOX_CHANGE,
    REQUEST_MAILBOX_DELETING, /* the same, when it counts what it will free */
    REQUEST_MAILBOX_OPEN,
    REQUEST_FLAGS,
    REQUEST_EXPUNGE,
    REQUEST_COPY,
    REQUEST_QUEUE_CHANGE,
    REQUEST_FANOUT_QUEUE,
};

/* --- changes on their way --- */

/* One record that is not applied yet, or a mark that only carries a request. */
struct change {
    uint32_t span; /* of the whole item */
    uint32_t length;
    uint64_t seq, place;
    struct store_op *op; /* answered when it is applied; may be NULL */
    uint8_t kind;        /* 0: a mark */
    uint8_t flags;
    bool skip; /* the ring goes on at its start */
    _Alignas(8) char payload[];
};

static_assert(offsetof(struct change, payload) == sizeof(struct change), "no tail");

/* A ring of them. */
struct changes {
    char *at;
    size_t cap, head, tail;
    uint64_t added, applied; /* counts */
    uint64_t durable;        /* the count up to which they may be applied */
    uint64_t awaited;        /* up to which a waiter has been asked */
};

struct commit_waiter {
    struct log_waiter waiter;
    struct store *store;
    struct list link; /* among the free ones */
    uint64_t covers;  /* changes.added when it was asked */
};

/* How far a change has been applied when it is too long for one slice. */
struct progress {
    uint32_t target; /* of a DELIVERY */
    uint32_t uid;    /* next to look at */
    uint32_t done;   /* copies made; of FLAGS, whether any flag has changed */
    uint32_t phase;
    int budget; /* messages that may still be touched in this slice */
};

enum applied {
    APPLIED,
    APPLY_MORE,  /* the slice is used up: call again */
    APPLY_STUCK, /* no memory: call again later, nothing is half done */
};

/* --- tables of the store --- */

/* A message with chunks in another segment than its own. */
struct straddle {
    uint64_t message;
    uint32_t segment;
    uint32_t bytes;
};

struct fanout {
    struct list link;
    uint64_t id, body;
    uint64_t record; /* place of the record that keeps it */
    bool done;       /* its end could not be recorded yet */
    uint32_t rest_bytes;
    char rest[];
};

/* The ids stored lately, in a ring, with a table to find them. */
struct recent_ids {
    uint64_t *ring;
    uint32_t count, next;
    uint32_t *table; /* index + 1 into the ring */
};

/* A chunk that no message names yet. */
struct upload {
    uint64_t place;
    int64_t since_s; /* -1: named or dropped */
};
struct uploads {
    struct upload *at; /* by place */
    uint32_t count, cap, dead;
};

struct checkpoint;
struct compact;

struct store {
    struct disk *disk;
    struct log *log;
    struct store_conf conf;
    struct store_folder *folders; /* the store's own copy */
    int64_t now_s;
    enum status room; /* whether segments can be made, as it was last said */
    bool failed;      /* a commit failed: read-only */
    bool stopping;    /* takes no more changes */
    bool turning;     /* inside store_turn() */
    uint64_t turns;
    unsigned loading; /* loads of users and mailboxes */
    unsigned peeks;   /* into the page cache that this step has left */

    struct heads heads;
    uint32_t uid_validity; /* highest given */
    uint64_t next_user;
    bool replaying;
    const struct log_start *start; /* while it is opened */
    uint64_t summary_bytes;        /* of a summary on disk, on average */

    struct changes changes;
    struct progress progress; /* of the oldest change */
    struct list waiters_free;
    struct bytes scratch; /* where payloads are made */
    struct bytes share;   /* of one user in a DELIVERY */

    struct list posted;  /* store_op: done() is to be called with op->status */
    struct list waiting; /* store_op: tried again every turn, in order */
    struct list again;   /* store_op: go on with a long request */

    struct cells users, mailboxes; /* memory of those that are in memory */
    struct list lru;               /* users in memory and not pinned, coldest first */
    struct list loads;             /* loads that go on in the next turn */
    struct list content_loads;
    struct list folds;     /* users being folded */
    struct bytes fold_ids; /* numbers of users that wait for it */
    size_t fold_at;        /* the next of them */
    unsigned fold_count;
    unsigned chain_fold;     /* CHAIN_FOLD, … */
    unsigned inline_entries; /* INLINE_ENTRIES, … */
    unsigned page_entries;   /* PAGE_ENTRIES, … */
    int turn_budget;         /* TURN_BUDGET; tests have them lower */
    int fold_slice;          /* FOLD_SLICE; likewise */
    struct list dead_users;  /* those that are being freed */
    struct content *dead_contents;
    uint64_t index_used;   /* bytes of memory of users, the dead included */
    uint64_t dead_bytes;   /* of them */
    uint64_t index_before; /* bytes at the end of the last dead_step() */
    uint64_t loaded;
    uint64_t users_read, users_evicted; /* since the start */

    struct straddle *straddles; /* by message */
    uint32_t straddle_count, straddle_cap;
    struct list fanouts;
    unsigned fanouts_done; /* with the flag `done` */
    struct recent_ids recent;
    struct uploads uploads;
    struct bytes refs; /* targets of the message being stored */

    struct queue_table queue;
    uint64_t next_queue;     /* counter part of the next entry's number */
    struct queued *entering; /* not durable yet, oldest first */
    struct queued *entered;  /* the last of them */

    struct summary_cache *summary_cache;
    struct list clusters; /* of it, those that nobody uses, coldest first */
    uint64_t cluster_bytes;

    struct checkpoint *checkpoint;
    unsigned checkpoints_owed; /* until retired segments may go */
    int64_t checkpoint_from_s; /* not before, after one that failed: store_rests() */
    struct compact *compact;
    struct store_op *stop_op;
    uint64_t damaged_ranges, tail_cut_bytes, compacted_bytes, commits, records;
    uint32_t user_at, user_at_slot; /* where store_user_at() was last */
    uint32_t live_pins; /* bodies, loans, pins: must be none at store_close() */
};

static inline struct log_record record_of_change(const struct change *c)
{
    return (struct log_record){.kind = (enum record_kind)c->kind,
        .flags = c->flags,
        .seq = c->seq,
        .place = c->place,
        .payload = slice_of(c->payload, c->length)};
}

/* store_open(), also in spite of what it would refuse. */
enum status store_open_as(struct store **store, struct disk *disk,
    const struct store_conf *conf, int64_t now_s, bool accept_loss);

/* --- store_note.c --- */

/* What a record means for heads, counters, fan-outs and live bytes; now, and again when
 * the log is replayed. NO_MEMORY only in a replay. Records of a layout that is not known
 * are passed over. */
enum status store_note(struct store *s, const struct log_record *r);

/* The same for messages and summaries just added; straddle_reserve() came before. */
void note_message(struct store *s, uint64_t place, const struct rec_message *m,
    const struct rec_part *parts);
void note_summaries(struct store *s, uint64_t place, unsigned count, size_t bytes);

/* The users whose chains a record is a link of. */
struct record_users {
    const struct rec_target *targets; /* NULL: one user */
    unsigned count;
    uint64_t user, prev;
};
bool record_users(const struct log_record *r, struct record_users *u);
static inline uint64_t record_user_at(
    const struct record_users *u, unsigned i, uint64_t *prev)
{
    *prev = u->targets ? u->targets[i].prev : u->prev;
    return u->targets ? u->targets[i].user : u->user;
}

/* Takes over what a durable USER_STATE says of the chain. */
void head_set_state(struct head *head, const struct log_record *r);

/* Bytes that a reference gives back when it goes, by segment. */
struct freed {
    struct bytes bytes; /* struct rec_freed, ascending */
};
static inline uint32_t freed_count(const struct freed *f)
{
    return (uint32_t)(f->bytes.len / sizeof(struct rec_freed));
}
void freed_add(struct freed *f, uint32_t segment, uint64_t bytes);
/* The part of a message that a reference held, without its summary. */
void freed_add_body(
    struct store *s, struct freed *f, uint64_t body, uint32_t size, unsigned share);
void freed_add_entry(struct store *s, struct freed *f, const struct packed_entry *e);
void note_freed(struct store *s, const struct rec_freed *freed, uint32_t count);

/* Segments that hold chunks of the message at `place`; NULL when none but its own. */
const struct straddle *straddle_find(
    const struct store *s, uint64_t message, unsigned *count);
bool straddle_reserve(struct store *s, unsigned count);
/* straddle_reserve() came before. */
void straddle_add(struct store *s, uint64_t message, uint32_t segment, uint32_t bytes);
void straddle_forget(struct store *s, uint64_t message);

/* --- store_change.c --- */

/* Adds a record that changes users, and has it applied when it is durable; op is
 * answered then. NO_MEMORY, NO_SPACE, READ_ONLY, LIMIT, BUSY: nothing has happened. */
enum status change_add(struct store *s, enum log_purpose purpose, enum record_kind kind,
    struct slice payload, struct store_op *op, uint64_t *place);

/* The same with a payload of two pieces. Only the first is kept until the record is
 * durable, and all that store_note() and user_apply() see. */
enum status change_add_long(struct store *s, enum log_purpose purpose,
    enum record_kind kind, struct slice first, struct slice rest, struct store_op *op,
    uint64_t *place);

/* Adds a record that changes no user; several pieces make its payload. `seq` 0: new. */
enum status record_add(struct store *s, enum log_purpose purpose, enum record_kind kind,
    uint8_t flags, const struct slice *pieces, unsigned count, uint64_t seq,
    uint64_t *place);

/* Has op answered when all that was added before is durable. NO_MEMORY, READ_ONLY. */
enum status change_mark(struct store *s, struct store_op *op);
/* Makes sure that the next change_mark() has memory. */
bool change_mark_reserve(struct store *s);

/* Applies what has become durable; false while there is more to do at once. */
bool changes_complete(struct store *s);
/* Asks the log to tell when what was added since the last call is durable. */
void changes_await(struct store *s);

static inline bool changes_idle(const struct store *s)
{
    return s->changes.applied == s->changes.added;
}

/* The place before the user's oldest record that is not applied yet. */
uint64_t changes_base(const struct store *s, const struct head *head);
void changes_free(struct store *s);

/* --- store_turn.c --- */

/* Begins a request: it is tried now, and done() follows in a later turn. */
void request_start(
    struct store *s, struct store_op *op, enum request_kind kind, void *owner);
/* Tries it again: something that it waited for has happened. */
void request_again(struct store *s, struct store_op *op);
/* Answers it in the next turn. */
void request_post(struct store *s, struct store_op *op, enum status status);
/* Each op of the list is answered (status not OK) or tried again (OK). One that holds
 * something (DELETING) is tried again with op->status set. */
void request_release(struct store *s, struct list *ops, enum status status);

/* What made work in the background fail, say a full disk or a bad sector, does not pass
 * between two turns: tried in each of them, it would keep thread and disk busy. The clock
 * may have been set back meanwhile. */
enum { STORE_REST_S = 5 };

static inline bool store_rests(const struct store *s, int64_t until_s)
{
    return s->now_s < until_s && until_s - s->now_s <= STORE_REST_S;
}

static inline bool store_writable(const struct store *s)
{
    return !s->failed && !s->stopping;
}

void store_say(struct store *s, int level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
enum { SAY_ERROR = 0, SAY_WARN = 1, SAY_INFO = 2 };

uint32_t uid_validity_next(const struct store *s);

/* --- store_fanout.c --- */

struct fanout *fanout_find(struct store *s, uint64_t id);
/* Makes it known before its record is added. NO_MEMORY. */
enum status fanout_open(
    struct store *s, uint64_t id, uint64_t body, uint64_t record, struct slice rest);
void fanout_close(struct store *s, uint64_t id);
bool recent_has(const struct recent_ids *r, uint64_t id);
enum status recent_init(struct recent_ids *r);
void recent_add(struct recent_ids *r, uint64_t id);
void recent_free(struct recent_ids *r);
enum status fanout_record_done(struct store *s, uint64_t id);
/* Records ends that could not be recorded before. */
void fanouts_step(struct store *s);
void fanouts_free(struct store *s);

/* --- store_queue.c --- */

/* Numbers and memory for new entries: known, but not shown. NO_MEMORY; LIMIT: too many,
 * or too long. */
enum status queue_prepare(
    struct store *s, const struct slice *envelopes, unsigned count, uint64_t *ids);
void queue_unprepare(struct store *s, unsigned count, const uint64_t *ids);
/* What queue_put() will add at most: for log_room(). */
size_t queue_room(const struct store *s, const struct slice *envelopes, unsigned count,
    const struct store_queue_change *settles);
/* Adds the records of what was prepared, all of them references to one message with a
 * weight of 1 / 2^share. log_room() came before. The entries are shown when the change
 * that is the newest then is applied: queue_await(). */
void queue_put(struct store *s, const struct slice *envelopes, unsigned count,
    const uint64_t *ids, uint64_t body, uint64_t size, unsigned share);
void queue_await(struct store *s, unsigned count, const uint64_t *ids);
/* Shows what has become durable. */
void queue_show(struct store *s);

/* OK: queue_settle() can be called, and can't fail after log_room(). NOT_FOUND, LIMIT,
 * NO_MEMORY. */
enum status queue_settle_prepare(struct store *s, const struct store_queue_change *c);
enum status queue_settle(struct store *s, const struct store_queue_change *c);

/* The record of an entry anew, with all that is said of it; its message is at `body` now.
 * As record_add(). */
enum status queue_rewrite(struct store *s, struct queued *q, uint64_t body);

/* NO_MEMORY. */
enum status note_queue_added(struct store *s, const struct log_record *r);
enum status note_queue_attempted(struct store *s, const struct log_record *r);
void note_queue_done(struct store *s, const struct log_record *r);
void note_queue_next(struct store *s, uint64_t next);

enum status try_queue_change(struct store *s, struct store_queue_change *c);
enum status try_fanout_queue(struct store *s, struct store_fanout_queue *q);

/* --- store_adopt.c --- */

/* How far adopted_put() has come. */
struct adopted_at {
    uint32_t segment; /* the last that was told */
    uint64_t message; /* the last whose straddles were; live bytes first */
};

/* Writes what the log alone can't say of adopted segments, from *at (zeroes: all of it)
 * on. OK: it is written; as record_add() else, and *at says where to go on. */
enum status adopted_put(struct store *s, struct adopted_at *at);
/* NO_MEMORY. */
enum status adopted_note(struct store *s, const struct log_record *r);

/* --- store_upload.c --- */

/* False: no memory. */
bool upload_reserve(struct store *s);
void upload_add(struct store *s, uint64_t place);
struct upload *upload_find(struct store *s, uint64_t place);
void upload_end(struct store *s, struct upload *u);
/* Does the segment hold chunks that a message may still name? */
bool upload_in(const struct store *s, uint32_t segment);

/* --- store_message.c --- */

enum status try_chunk(struct store *s, struct store_chunk *c);
enum status try_message(struct store *s, struct store_message *m);

/* --- store_checkpoint.c --- */

/* One piece of a checkpoint of image_bytes in all, read back. */
enum status checkpoint_take(struct store *s, struct slice piece, uint64_t image_bytes);
/* A slice; false while there is more to do at once. */
bool checkpoint_step(struct store *s);
void checkpoint_free(struct store *s);

/* --- summary.c --- */

enum status summaries_init(struct store *s);
void summaries_free(struct store *s);
