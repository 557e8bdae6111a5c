/* thread_state.h -- what the files of the thread share. Private to thread*.c, call.c,
 * timer.c, worker.c, process.c, listen.c and conn_*.c.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "server/process.h"
#include "server/ring.h"
#include "server/thread.h"

struct listening;
struct limits;
struct output_block;
struct output_piece;

/* --- calls: one queue for each ordered pair of threads -------------------- */

enum { CALL_SLOTS = 256, CALLS_A_TURN = 256 };

/* One thread adds, one takes, each on cache lines of its own. */
struct call_queue {
    _Alignas(64) _Atomic uint32_t tail; /* the sender's */
    uint32_t head_seen;                 /* what it last saw of the head */
    struct list overflow;               /* calls that found no slot, in order */
    _Alignas(64) _Atomic uint32_t head; /* the receiver's */
    struct call *slots[CALL_SLOTS];
};

/* Takes what other threads have sent, at most CALLS_A_TURN; true: there is more. */
bool calls_run(struct thread *t);
/* Moves overflow to the queues and wakes those that sleep; true: overflow is left. */
bool calls_flush(struct thread *t);
/* Anything to take? */
bool calls_waiting(struct thread *t);

/* --- what comes from threads without a ring ------------------------------- */

struct inbox {
    pthread_mutex_t lock;
    _Atomic bool filled;
    struct job *jobs, **jobs_tail;
    struct list calls;
    int event; /* eventfd, a read of which is always in flight on the ring */
    uint64_t event_count;
    struct op event_op;
};

bool inbox_open(struct thread *t);
void inbox_close(struct thread *t);
/* From any thread. */
void inbox_add_job(struct thread *t, struct job *job);
void inbox_add_call(struct thread *t, struct call *call);
/* Runs what came; on the thread. */
void inbox_run(struct thread *t);

/* --- timers --------------------------------------------------------------- */

struct timers *timers_open(int64_t now_ns);
void timers_close(struct timers *timers);
/* Runs due timers, a bounded number; true: more are due. */
bool timers_run(struct thread *t);
/* When to come back, or INT64_MAX. */
int64_t timers_next_ns(struct timers *timers);

/* --- workers -------------------------------------------------------------- */

struct workers;
struct workers *workers_open(unsigned threads, unsigned queue_max);
/* Finishes what is queued, then ends the threads. */
void workers_close(struct workers *workers);
bool workers_add(struct workers *workers, struct job *job);

/* --- the thread ----------------------------------------------------------- */

enum { BLOCK_BYTES = 4096, SCRATCH_BYTES = 2 * 16384 };
enum { BIG_BUFFERS = 16 }; /* of RING_BIG_BYTES, for bulk input */

struct thread_state {
    struct thread *thread;
    pthread_t pthread;
    struct call_queue *in;             /* [threads]; in[i] is filled by thread i */
    uint64_t called[THREADS_MAX / 64]; /* threads to be rung at the end of the turn */
    _Alignas(64) _Atomic bool sleeping;
    _Alignas(64) struct inbox inbox;
    int64_t turn_ns;  /* monotonic: when this turn began */
    bool running;     /* it takes requests */
    bool ending;      /* leave the loop */
    bool enter_first; /* before more rounds of work: an end is to be heard of */

    struct tls_context *tls_client; /* made when first needed */
    struct listening *listening;    /* [listener_count] */
    struct limits *limits; /* connections by address, of the addresses kept here */
    struct list connections;
    _Atomic uint64_t open;     /* how many; other threads add them up */
    struct list handshakes;    /* connections whose handshake waits for its turn */
    unsigned handshakes_begun; /* this turn */
    int64_t handshake_ns;      /* spent on them this turn */
    int reserve_fd;            /* given up to drop a peer when descriptors run out */
    int64_t short_told_ns;     /* when that was last logged */
    uint64_t next_id;          /* for connections */
    int64_t start_ns;          /* thread_seconds() counts from here */

    struct output_block *free_blocks; /* the one used last on top */
    unsigned free_block_count;
    struct output_piece *free_pieces;
    unsigned free_piece_count;
    struct conn_output *free_outputs;
    unsigned free_output_count;
    char *scratch;        /* SCRATCH_BYTES, for one step of work */
    size_t zero_copy_min; /* sends of so many bytes go without a copy; SIZE_MAX: none */

    char why[RING_WHY_MAX]; /* why opening failed */
    int64_t idle_since_ns;  /* the last work came then */
    int64_t spin_ns;        /* empty turns before sleep, adapted */
    bool spinning;
};

/* Seconds since the thread began: deadlines of connections are kept in these. */
static inline uint32_t thread_seconds(const struct thread *t)
{
    return (uint32_t)((t->now_ns - t->state->start_ns) / 1000000000) + 1;
}

/* The body of a thread: argument is its struct thread, made but for what only the thread
 * itself can make. */
void *thread_main(void *arg);
/* Waits for completions and runs them, nothing else: for what may block, at start and
 * stop. */
void thread_wait(struct thread *t);

/* --- the process ---------------------------------------------------------- */

struct process {
    struct process_conf conf;
    struct thread *threads[THREADS_MAX];
    unsigned thread_count, shard_count, started;
    unsigned filled_shards; /* process_fill_memory() has filled so many, */
    size_t filled;          /* and this much of the next */
    struct workers *workers, *disk_workers;
    const uint16_t *slots; /* 4096: shard of each slot; NULL without a store */
    struct data_folder *folder;
    uint64_t address_key; /* of the hash over peers */
    pthread_mutex_t lock;
    pthread_cond_t landed;
    unsigned waiting; /* threads that have not finished the current request */
    bool failed;
    char why[512];
    char features[64];
    struct timer ticket_timer;      /* thread 0 renews the keys of tickets ... */
    struct call heard[THREADS_MAX]; /* ... and hears of all before it wipes old ones */
    unsigned unheard;
};

typedef void thread_fn(struct thread *t, void *arg);
/* On all threads at once; waits for all. */
void process_run_parallel(struct process *p, thread_fn *fn, void *arg);
/* Those that run leave their loop and are joined. */
void process_end_threads(struct process *p);
void process_free(struct process *p);
void process_log(const struct thread *t, int level, const char *event, const char *text);
