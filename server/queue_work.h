/* queue_work.h -- the inside of the queue; for queue*.c only.
 *
 *   entry (a message) 1--n job (its recipients with one next hop) n--1 destination
 *
 *   job:  READY in its destination's list --> SENDING by a session --> SETTLING, while
 *         its outcome is committed --> gone, or WAITING for its next try --> READY
 *   destination: jobs that are ready, sessions, or rest until a time
 *   outcome: what an attempt made of recipients; those of an entry are committed one
 *         settlement after the other, each with the report it asks for
 *
 * Times in memory are monotonic; the disk has those of the wall clock. Whatever that does
 * between, a wait that is read from the disk is no longer than it could have been when it
 * was written.
 */
#pragma once
#include "proto/base/arena.h"
#include "server/config.h"
#include "server/next_hop.h"
#include "server/queue.h"
#include "server/queue_permit.h"
#include "server/queue_state.h"

enum {
    QUEUE_ENTRY_BYTES = 2048,       /* memory counted for each of --max-queue */
    QUEUE_SESSION_BYTES = 64 << 10, /* for each of --max-hops */
    QUEUE_SETTLING_MAX = 64,        /* commits of a thread at a time */
    QUEUE_ARENA_MAX = 16 << 20,     /* for one envelope and its state, at their limits */
    QUEUE_LEVELS = 19,              /* of MT-PRIORITY (RFC 6710): -9 .. 9 */
    QUEUE_CHAIN_END = 0xffff,
};

/* --- entries and jobs --------------------------------------------------- */

enum job_state { JOB_READY, JOB_WAITING, JOB_SENDING, JOB_SETTLING, JOB_HELD };

struct queue_job {
    struct queue_job *next; /* of the entry */
    struct list link;       /* READY: in its destination */
    struct timer timer;     /* WAITING */
    struct queue_entry *entry;
    struct destination *to;
    uint32_t attempts;
    uint16_t first, count; /* of its recipients: a chain through entry->chain */
    uint8_t state;
    bool forwarded; /* SRS: its sender may be another */
};

struct queue_entry {
    struct queue_entry *next; /* of its row */
    struct queue *queue;
    struct queue_job *jobs;
    struct list link;     /* among those with outcomes that wait for a settlement */
    struct list outcomes; /* not being committed yet */
    struct settlement *settlement;
    struct timer timer; /* notices and expiry */
    uint64_t id;
    int64_t delay_ns, by_ns, expire_ns; /* INT64_MAX: never, or done */
    uint32_t bytes;                     /* counted */
    uint16_t shard, rcpt_count;
    int8_t priority;
    bool held, by_return;
    bool dropped;     /* by the operator; no job starts any more */
    bool bounced;     /* and the sender is to be told */
    uint16_t chain[]; /* the next recipient of the same job */
};

/* --- destinations ------------------------------------------------------- */

/* What a message wants of TLS. A session is for messages that want the same. */
enum tls_need {
    TLS_USUAL,
    TLS_REQUIRED,  /* REQUIRETLS (RFC 8689, 4.2.1) */
    TLS_PREFERRED, /* a report about such a message: like it, or not at all (5) */
    TLS_OPTIONAL,  /* TLS-Required: No, where more is usual (4.2.2) */
    TLS_NEEDS
};

struct destination {
    struct destination *next; /* of its row */
    struct queue *queue;
    const struct next_hop *hop; /* NULL: local delivery */
    uint64_t hash;
    struct list ready;    /* jobs of priority 0 */
    struct list *levels;  /* [QUEUE_LEVELS], made for the first of another */
    struct list link;     /* among those that are looked at, or that wait for a slot */
    struct list sessions; /* struct session, of queue_session.c */
    struct timer timer;   /* its rest */
    struct queue_job *latest[2]; /* made here last; by `forwarded` */
    unsigned jobs, ready_count, session_count, opening, idle;
    unsigned window;           /* sessions it may have: grows with success */
    unsigned failures;         /* in a row */
    int64_t rest_ns;           /* no session before; 0: none */
    struct queue_answer *last; /* why it rests or has failed, own piece of memory */
    int64_t last_s;            /* when */
    bool refused;              /* for good: what is ready fails with `last` */
    bool waits_slot, kicked;
    uint8_t tls; /* enum tls_need */
    uint16_t name_len;
    char name[]; /* domain in lower case, or the label of the next hop; "local" */
};

/* --- outcomes ----------------------------------------------------------- */

enum outcome_what {
    OUTCOME_DELIVERED,
    OUTCOME_RELAYED,     /* to a hop that tells of success itself */
    OUTCOME_RELAYED_END, /* to one that does not: no further report will come */
    OUTCOME_LATER,
    OUTCOME_AGAIN, /* at once, and not an attempt: the hop took others (RFC 5321,
                    * 4.5.3.1.10) */
    OUTCOME_FAILED,
    OUTCOME_EXPIRED,
    OUTCOME_DELAYED, /* only told */
    OUTCOME_BY_DELAYED,
    OUTCOME_DROPPED,
};

struct outcome_rcpt {
    uint16_t rcpt;
    uint8_t what;
    bool anyway;                       /* told unless NOTIFY is NEVER */
    const struct queue_answer *answer; /* in the arena of the outcome; or NULL */
};

struct outcome {
    struct list link;
    struct queue_entry *entry;
    struct queue_job *job; /* SETTLING meanwhile; NULL: of the whole entry */
    struct arena arena;
    int64_t at_s;      /* wall clock */
    int64_t delay_ns;  /* of LATER: until its next try */
    int64_t resume_ns; /* of a job that was not tried: when it was to be; 0: at once */
    bool unsure;
    bool hold_changed, hold;                             /* by the operator */
    bool said;                                           /* in the log */
    void (*done)(struct outcome *o, enum status status); /* or NULL; just before it is
                                                          * freed */
    void *owner;
    unsigned count;
    struct outcome_rcpt rcpts[];
};

/* --- the queue of a thread ---------------------------------------------- */

struct queue {
    struct thread *thread;
    const struct next_hops *hops;
    struct permits *permits;
    struct queue_entry **entries;
    struct destination **destinations;
    size_t row_mask; /* of both tables */
    struct op turn;
    struct list kicked;    /* destinations to be looked at */
    struct list slots[2];  /* those that wait for a session: sound ones, doubtful ones */
    struct list unsettled; /* entries */
    struct list blocked;   /* destinations that wait for settlements to end */
    unsigned sessions_max, doubtful, local_count, unsettled_count;
    unsigned load_shard; /* the first entries are read in slices: index in t->shards */
    uint64_t load_after;
    bool loading, stopping;
    _Atomic bool full;  /* for threads without a shard: they fill this one */
    struct timer later; /* a turn that nothing else would bring */
    struct queue_stats counts;
};

/* --- queue_entry.c ------------------------------------------------------ */

struct store *entry_store(const struct queue_entry *e);
struct queue_entry *entry_find(const struct queue *q, uint64_t id);
/* Reads an entry of the store and makes its jobs; one that is known is left alone. */
void entry_load(struct queue *q, unsigned shard, uint64_t id);
/* With its jobs; nothing is under way. */
void entry_free(struct queue_entry *e);
/* The envelope and the state as they are now; its bytes copied to the arena. */
enum status entry_read(const struct queue_entry *e, struct arena *arena,
    struct envelope *envelope, struct queue_state *state);
/* Sets the timer to what comes next. */
void entry_set_timer(struct queue_entry *e);
/* After a commit: the recipients of the job are those that are pending still. False:
 * none; the job is gone. */
bool job_keep_pending(struct queue_job *job, const struct queue_state *state);
void job_free(struct queue_job *job);

/* Monotonic time of a time of the wall clock, and back. */
int64_t queue_ns_of(const struct thread *t, int64_t wall_s);
int64_t queue_wall_of(const struct thread *t, int64_t ns);
/* The pause after so many failures in a row, with jitter. */
int64_t queue_pause_ns(int64_t first_ns, int64_t max_ns, uint32_t failures);

/* --- queue_destination.c ------------------------------------------------ */

enum tls_need tls_need_of(const struct envelope *envelope);
/* For one domain of a recipient, lower case or not. NULL: no memory. */
struct destination *destination_of(
    struct queue *q, struct slice domain, enum tls_need need);
/* Where its permits are kept: its limits hold whatever its sessions need of TLS. */
uint64_t destination_permit_hash(const struct destination *d);
/* By its name; the first of them, then, with `after`, the next. */
struct destination *destination_find(
    const struct queue *q, struct slice name, const struct destination *after);
void destination_free_idle(struct destination *d);
void destination_free(struct destination *d);
static inline struct slice destination_name(const struct destination *d)
{
    return slice_of(d->name, d->name_len);
}
/* Looks at it soon. */
void destination_kick(struct destination *d);
/* Looks at those that were kicked, a bounded number; true: there are more. */
bool destinations_turn(struct queue *q);
/* It has failed: rests, growing. */
void destination_rest(struct destination *d, const struct queue_answer *why);
/* No session for a moment; nothing has failed. */
void destination_pause(struct destination *d, int64_t pause_ns);
/* It works. */
void destination_sound(struct destination *d);
/* All that is ready fails with this answer. */
void destination_refuse(struct destination *d, const struct queue_answer *why);
/* No rest any more, by the operator. */
void destination_wake(struct destination *d);

void job_ready(struct queue_job *job);
void job_wait(struct queue_job *job, int64_t at_ns);
/* Takes it out of list or timer: it is in `state` now. */
void job_leave(struct queue_job *job, enum job_state state);
/* The next one to be sent, SENDING; NULL: none. */
struct queue_job *destination_take(struct destination *d);

/* --- queue_session.c ---------------------------------------------------- */

/* One more session with it; the caller has checked that there may be one. */
void session_begin(struct destination *d);
/* Gives a job to a session that has none. False: no such session. */
bool session_use_idle(struct destination *d);
/* Ends them: at once when idle, after the message under way else. */
void sessions_stop(struct queue *q);
/* At the very end: forgets what never ended. */
void sessions_forget(struct destination *d);
/* A slot for a session is free: the next destination that waits for one. */
void queue_slot_freed(struct queue *q);
bool queue_has_slot(const struct queue *q, const struct destination *d);

/* --- queue_local.c ------------------------------------------------------ */

/* Delivers a job's recipients to their accounts here. */
void local_begin(struct destination *d, struct queue_job *job);

/* --- queue_readable.c --------------------------------------------------- */

struct delivery;
struct readable;

/* Makes binary text fit for mailboxes, if it has to be. NULL: no memory. */
struct readable *readable_new(void);
/* The first reading of the stored text, cut anywhere. */
void readable_scan(struct readable *r, struct slice piece);
/* It is over. False: it is delivered as it is, because it fits, or because nothing can be
 * done about it (signed, malformed), which the log is told. */
bool readable_scanned(struct readable *r, const struct envelope *envelope);
/* Another reading, for a delivery; any number of them. */
void readable_begin(struct readable *r);
void readable_put(struct readable *r, struct slice piece, struct delivery *d);
void readable_end(struct readable *r, struct delivery *d);
void readable_free(struct readable *r); /* NULL is fine */

/* --- queue_settle.c ----------------------------------------------------- */

/* For some recipients of an entry. NULL: no memory. */
struct outcome *outcome_new(struct queue_entry *e, struct queue_job *job, unsigned count);
/* The same for all recipients of a job. */
struct outcome *outcome_of_job(
    struct queue_job *job, enum outcome_what what, const struct queue_answer *answer);
void outcome_free(struct outcome *o); /* that was not settled; NULL is fine */
/* A copy, in the outcome. NULL: no memory. */
const struct queue_answer *outcome_answer(
    struct outcome *o, const struct queue_answer *answer);
/* Commits it; the job is SETTLING until then. */
void outcome_settle(struct outcome *o);
/* What the sender is told of a message that the operator has taken out. */
extern const struct queue_answer queue_taken_out;
/* So much waits to be committed that nothing should be sent meanwhile. */
bool settlements_busy(const struct queue *q);
/* Starts some of what waits; true: there is more to be started at once. */
bool settlements_turn(struct queue *q);
/* At the very end. */
void outcomes_forget(struct queue_entry *e);

/* --- queue_report.c ----------------------------------------------------- */

struct report;
struct dsn_rcpt;

/* What a report is about, alive until done(). */
struct report_conf {
    struct queue *queue;
    const struct envelope *envelope; /* of the message */
    uint64_t entry_id;
    unsigned shard;
    const struct dsn_rcpt *rcpts;
    unsigned rcpt_count;
    const struct store_queue_change *settles; /* durable with the report */
    bool queue_it; /* never at once: the accounts of the sender would not take it */
    void (*done)(void *arg, enum status status);
    void *arg;
};
/* Writes the report and commits it. NULL: no memory. */
struct report *report_begin(const struct report_conf *conf);
/* Nobody can be told: the sender is no address, or is unknown here. */
bool report_has_reader(const struct queue *q, const struct envelope *envelope);

/* --- queue.c ------------------------------------------------------------ */

/* The entries or their bytes have changed: is there room for more? */
void queue_count_room(struct queue *q);
/* A turn of the queue comes soon. */
void queue_wake(struct queue *q);
