/* engine.h -- threads that give operations to clients, and count.
 *
 *     main              thread (struct driver)
 *     engine_run() ---> set up: kept connections are made, sessions opened
 *       look at the server <-- all are ready
 *                       run: operations, closed or open loop, until count or time
 *       look at the server <-- all operations have ended
 *                       leave: goodbye
 *
 * Main waits for each phase to end in all threads, and looks up several times a second.
 *
 * Threads share nothing while they run but what is fixed. A turn: what is due begins,
 * one ring_enter(), all completions. In a closed loop a client begins the next operation
 * where it ends the one before; in an open loop operations wait, in order of their
 * moments, for a client that is idle.
 */
#pragma once
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "bench/client.h"
#include "bench/ledger.h"
#include "bench/letter.h"
#include "bench/options.h"
#include "bench/schedule.h"
#include "proto/base/histogram.h"

struct mode;
struct ring;

enum { STEPS_MAX = 16, ERROR_TEXT_MAX = 256 };

/* What a thread counts. Only `operations`, `errors` and bytes are looked at by main
 * while it runs. */
struct tally {
    _Atomic uint64_t operations, errors, bytes_in, bytes_out;
    uint64_t connections, handshakes, resumed;
    uint64_t recipients;       /* of a sink */
    uint64_t late;             /* began more than a millisecond after its moment */
    uint64_t missed;           /* of these, with a client idle: the driver's own fault */
    uint64_t undone;           /* open loop: due in the time, and never begun */
    uint64_t twice, different; /* of messages that were thrown away, see verify.h */
    struct histogram latency;
    struct histogram steps[STEPS_MAX];
    char error_text[ERROR_TEXT_MAX]; /* of the first one */
    int64_t first_ns, last_ns; /* of the run: begin, and end of the last operation */
    int64_t cpu_ns, waited_ns; /* CPU of the thread; ready, but without a CPU */
};

enum phase { PHASE_SETUP, PHASE_RUN, PHASE_DRAIN, PHASE_LEAVE };

struct driver {
    struct bench *bench;
    unsigned index;
    pthread_t thread;
    struct ring *ring;
    struct tls_maker *tls;
    struct client *clients; /* those of the mode */
    unsigned count;
    struct list members; /* all clients */
    struct list idle;    /* take an operation; the one that waits longest first */
    struct list unset;   /* to be connected in the set-up */
    struct list ended;   /* their connection is gone */
    struct list later;   /* wait for mode->later(), in order of their moments */
    struct list resting; /* failed to connect; in order of their rest_ns */
    enum phase phase;
    int64_t now_ns, looked_ns;
    int64_t end_ns;   /* no operation begins after that */
    int64_t drain_ns; /* since then none has */
    unsigned open;    /* clients that are not CLOSED */
    /* of the set-up: under way; not there, tried or not; all of them; failures so far */
    unsigned settling;
    _Atomic unsigned unready; /* looked at by main, too */
    unsigned joined, failing;
    bool broken; /* the ring, or the set-up */
    struct schedule schedule;
    uint64_t started, quota; /* operations */
    uint64_t busy;           /* clients with an operation */
    struct ledger ledger;
    struct tally tally;
    void *extra; /* the mode's */
};

/* All of a run; what is fixed while threads run. */
struct bench {
    const struct options *o;
    const struct mode *mode;
    struct letters letters;
    struct driver *drivers;
    unsigned threads;
    bool open_loop, keep; /* keep: connections are made before the run */
    bool holding;         /* nobody gets operations */
    bool ledgers;         /* what is acknowledged is to be remembered */
    void *extra;          /* the mode's */
    enum phase phase;     /* that main waits for */
    pthread_barrier_t go, leave;
    sem_t ended;       /* a thread has ended a phase */
    _Atomic bool stop; /* end early: SIGINT */
};

/* What is called by main between the phases; any may be NULL. */
struct engine_watch {
    void (*before)(void *arg);                /* nothing is connected yet */
    void (*ready)(void *arg);                 /* connections are up, the run begins */
    void (*tick)(void *arg, struct bench *b); /* several times a second, in all phases */
    void (*over)(void *arg); /* all operations have ended, connections still stand */
    void *arg;
};

/* Makes threads and clients. False: `why`. */
bool engine_open(
    struct bench *b, const struct options *o, const struct mode *mode, struct out *why);
/* Runs it all; false: `why` says what forbids it. */
bool engine_run(struct bench *b, const struct engine_watch *watch, struct out *why);
void engine_close(struct bench *b);

/* All threads in one; for when they have ended. */
void engine_sum(const struct bench *b, struct tally *sum);

/* --- what clients tell their thread --------------------------------------- */

/* Its connection is gone, or about to be. */
void engine_failed(struct client *c, struct slice why);
void engine_ended(struct client *c);
/* A client that is not among d->clients: in the set-up it is connected first. */
void engine_join(struct driver *d, struct client *c);
