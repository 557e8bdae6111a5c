/* process.h -- the threads of one server, from start to stop.
 *
 *   process_open: bind, make the threads --> process_recover: lock and read DATA, begin
 *   to recover all shards in parallel --> process_start: they are, listen --> ... -->
 *   process_stop: drain, close the stores
 *
 * All of it is called by one control thread (main), which otherwise sleeps and takes the
 * signals; the threads have them blocked. Nothing here is called by the threads.
 */
#pragma once
#include <stdio.h>

#include "server/conn.h"
#include "server/thread.h"
#include "store/store.h"

struct process;
struct tls_files;

enum { THREADS_MAX = 256, SHARDS_MAX = 1024, LISTENERS_MAX = 64 };

struct process_conf {
    unsigned threads;  /* 0: one for each CPU we may use */
    unsigned shards;   /* 0: as many as threads, for a new store; what it has otherwise */
    bool pin;          /* bind thread i to the i-th CPU */
    unsigned spin_us;  /* empty turns before sleep, at most this long; 0: none. Not with
                          more threads than cores */
    bool ring_minimal; /* no optional feature of io_uring (--ring-features) */
    unsigned ring_entries;           /* 0: 512 */
    unsigned ring_completions;       /* 0: 8192 */
    unsigned receive_buffers;        /* of a thread; 0: 1024 */
    unsigned receive_buffer_bytes;   /* 0: 16 KiB */
    unsigned workers;                /* for passwords; 0: one a CPU */
    unsigned workers_queue;          /* jobs that may wait; 0: 256 */
    unsigned connections_max;        /* in all; 0: 20,000 */
    unsigned per_address_max;        /* 0: 100 */
    const struct network *unlimited; /* not counted by address */
    unsigned unlimited_count;
    const struct network *proxies; /* their connections begin with a PROXY header */
    unsigned proxy_count;
    const struct network *plaintext; /* logins without TLS allowed */
    unsigned plaintext_count;
    uint64_t memory_max;        /* for input and output of all connections; 0: 1 GiB */
    uint64_t memory_above;      /* what the parts above may take, for the bound */
    size_t unsent_max;          /* high-water mark of a connection; 0: 256 KiB */
    size_t zero_copy;           /* sends of so many bytes go without a copy; 0: none */
    unsigned handshake_s;       /* time for a TLS handshake; 0: 15 */
    unsigned write_s;           /* a peer that takes nothing is cut off; 0: 300 */
    unsigned drain_s;           /* how long process_stop() waits for sessions; 0: 10 */
    const char *data;           /* folder of the store; NULL: no store (tests) */
    struct store_conf store;    /* template; ids, wake, event and arg are set here */
    unsigned files;             /* that all shards may keep open to read; 0: 128 each */
    bool segment_zero;          /* write zeroes into new segments ahead of use */
    struct listener *listeners; /* port 0 is replaced by the one bound */
    unsigned listener_count;
    const struct config *config; /* for thread->config */
    /* One event for the operator, from any thread. level as in syslog. */
    void (*log)(int level, const char *event, const char *text);
    /* Optional. On each thread: before its first and after its last turn; and once a
     * turn, after the sessions: true when it wants another turn at once. */
    bool (*thread_open)(struct thread *t); /* false: process_open() fails */
    bool (*thread_turn)(struct thread *t);
    void (*thread_close)(struct thread *t);
    /* Optional. On each thread when all stores are open and nothing listens yet: starts
     * what must be finished first, and calls process_recovered(t) once it is, not from
     * inside. */
    void (*thread_recover)(struct thread *t);
    /* On each thread when it begins to drain, before the sessions hear stop(). */
    void (*thread_stopping)(struct thread *t);
    /* Optional. While it drains: true when nothing that must be finished is under way. */
    bool (*thread_drained)(const struct thread *t);
};

/* NULL: `why` says in one line what is wrong (port in use, io_uring not allowed ...).
 * Ports are bound, nothing listens yet; after it root may be dropped. */
struct process *process_open(const struct process_conf *conf, char *why, size_t cap);
/* From now on the folder is ours alone: before anything in it is touched. Its stores are
 * recovered beside what the caller does meanwhile. False: as above (another server has
 * it); process_stop() is still owed. Else process_start() does it. */
bool process_recover(struct process *p, char *why, size_t cap);
/* For thread_recover(), on the same thread. */
void process_recovered(struct thread *t);
/* Listens once the stores are recovered. False: as above; process_stop() is still owed.
 */
bool process_start(struct process *p, char *why, size_t cap);
/* Takes a piece of the memory that deliveries will want (store_fill_recent()); false: all
 * is there. After process_start(), for taking it is half of what a start costs. */
bool process_fill_memory(struct process *p);
/* Stops accepting, tells the sessions, closes what is left after drain_s, makes the
 * stores durable, ends the threads, frees everything. False: something was not written.
 */
bool process_stop(struct process *p);

unsigned process_threads(const struct process *p);
struct thread *process_thread(const struct process *p, unsigned index);
unsigned process_shards(const struct process *p);
/* Bytes all limits together allow: for the line printed at start. */
uint64_t process_memory_bound(const struct process *p);
/* Name of the optional io_uring features in use, for the log. */
const char *process_ring_features(const struct process *p);

/* Runs fn(t, arg) on one thread, between two turns, and waits for it. */
void process_run(struct process *p, unsigned thread,
    void (*fn)(struct thread *t, void *arg), void *arg);
/* One after the other on every thread. */
void process_run_all(
    struct process *p, void (*fn)(struct thread *t, void *arg), void *arg);
/* Does not wait; run() frees what it must. From any thread, the control thread too. */
void process_post(struct process *p, unsigned thread, struct call *call);

/* What a thread has counted since the start (server/stats.h). */
void process_stats(struct process *p, unsigned thread, struct thread_stats *stats);

/* Loads certificates and hands them to every thread; connections keep the old ones.
 * False: the old ones stay, `why` names the file. Doubts ("expires in 3 days") go to the
 * log. */
bool process_load_tls(struct process *p, const struct tls_files *files, unsigned count,
    char *why, size_t cap);
/* After tls_authorities_load(): connections to servers that begin from now on check by
 * those, and resume no session from before. */
void process_renew_tls_clients(struct process *p);
