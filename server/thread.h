/* thread.h -- one thread: its ring, clock, timers, shards and connections.
 *
 * Everything a connection or a shard touches belongs to one thread. Threads share
 * nothing but immutable snapshots; they send one another calls.
 *
 *   turn: calls from other threads -> due timers -> ready ops -> answers of the
 *         stores -> touched connections run and send -> store_turn() of each shard -> one
 *         io_uring_enter -> completions
 *
 * Every turn is measured, and what a thread does is counted (server/stats.h).
 */
#pragma once
#include "proto/base/list.h"
#include "proto/base/op.h"
#include "proto/base/slice.h"
#include "server/stats.h"

struct process;
struct thread_state;
struct ring;
struct timers;
struct shard;
struct config;      /* flags, fixed while the process lives: server/config.h */
struct accounts;    /* users and aliases, an immutable snapshot: server/accounts.h */
struct tls_context; /* certificates, an immutable snapshot: server/tls.h */
struct store;
struct queue;
struct rates;

struct thread {
    unsigned index;             /* 0 .. count-1 */
    struct process *process;    /* the other threads, for calls */
    struct thread_state *state; /* private: server/thread_state.h */
    struct ring *ring;
    struct timers *timers;
    struct op_queue ready; /* software completions, run later this turn */
    struct list touched;   /* connections to be run or flushed at the end of the turn */
    int64_t now_ns;        /* monotonic, read once a turn */
    int64_t now_s;         /* wall clock, seconds since 1970, once a turn */
    int64_t looked_ns;     /* monotonic, as thread_has_time() saw it last */
    int64_t slice_end_ns;  /* of the connection that runs */
    const struct config *config;
    struct accounts *accounts; /* this thread's current snapshot */
    struct tls_context *tls;   /* likewise; NULL without certificates */
    struct shard **shards;     /* those that run here */
    unsigned shard_count;
    bool stopping;             /* draining: new work is refused */
    void *admin, *sessions;    /* for the parts above, one pointer each */
    struct queue *queue;       /* server/queue.h; NULL before queue_open() */
    struct mx *mx;             /* server/mx.h; NULL before the first lookup */
    struct rates *rates;       /* server/policy_rates.h; NULL before the first use */
    struct thread_stats stats; /* read through process_stats() */
};

/* Memory for input and output of this thread's connections runs short: new transactions
 * are answered 452 / NO [LIMIT] (matrix O09). */
bool thread_short_of_memory(const struct thread *t);

/* Whether the connection that runs may go on: its slice of the turn is not over. Looks at
 * the clock, so it is asked once for a good number of small steps. */
bool thread_has_time(struct thread *t);

/* Which shard owns a user, and which thread runs that shard. `name` is canonical. */
struct shard *thread_shard_here(
    struct thread *t, struct slice user); /* NULL: not on this thread */
struct thread *thread_of_user(struct thread *t, struct slice user);
unsigned shard_of_user(struct thread *t, struct slice user);
struct thread *thread_of_shard(struct thread *t, unsigned shard);
/* The store of a shard that runs on this thread. */
struct store *shard_store(struct thread *t, unsigned shard);

/* A thread for state kept by a key that is no user (limits per address). */
struct thread *thread_of_hash(struct thread *t, uint64_t hash);

/* --- calls: a request to another thread, and its answer ----------------
 *
 * A call is embedded in what waits for it, so that the answer always has room. run() is
 * called on the other thread; it, or something later there, calls call_answer(); then
 * done() is called on the first thread. To one's own thread it works the same, later in
 * the turn. Between call_send() and done() the call and what it points to belong to
 * the other thread. Order between two threads is kept. */
struct call {
    struct list link; /* private: waits for room in the queue */
    struct thread *from;
    struct thread *to;
    void (*run)(struct thread *to, struct call *call);
    void (*done)(
        struct thread *from, struct call *call); /* NULL: no answer is wanted, and
                                                    run() owns (frees) the call */
    bool answered;
};
void call_send(struct thread *from, struct thread *to, struct call *call);
void call_answer(struct call *call);

/* --- timers --------------------------------------------------------------- */

/* One deadline, embedded in its owner; 8 ms resolution and at most that much late. */
struct timer {
    struct list link;
    int64_t at_ns;
    void (*due)(struct timer *timer);
};
void timer_set(
    struct thread *t, struct timer *timer, int64_t at_ns, void (*due)(struct timer *));
void timer_clear(struct timer *timer);

/* --- workers: what may block ---------------------------------------------- */

/* work() runs on a worker thread and touches nothing but the job; then done() runs on
 * the thread that started it. */
struct job {
    struct thread *from; /* private */
    struct job *next;    /* private */
    void (*work)(struct job *job);
    void (*done)(struct job *job);
};
/* False: the bounded queue is full; the caller answers "try again later". */
bool worker_start(struct thread *from, struct job *job);
/* The same with workers of their own for the file system, which passwords never delay. */
bool worker_start_disk(struct thread *from, struct job *job);

/* --- randomness ----------------------------------------------------------- */

/* From the operating system in the server, from the seed in the simulation. */
void random_bytes(void *at, size_t len);
uint64_t random_u64(void);
