/* queue_permit.h -- how many sessions a destination may have, over all threads, and how
 * many messages a minute.
 *
 *   permit_ask() --call--> thread of the hash: room? --answer--> granted()
 *                                              else: waits, first come, first served
 *   permit_give() --call--> the next one that waits
 *
 * A destination is known here by the hash of its key: two that share a hash share their
 * limits, and nothing else.
 */
#pragma once
#include "server/thread.h"

struct permits; /* those that are kept on one thread */

/* What one session needs; zero before its first use. */
struct permit {
    struct call call; /* private */
    struct list link; /* private: among those that wait */
    uint64_t hash;    /* private */
    uint32_t count;   /* private: messages that are wanted, or come back */
    bool pending;     /* a callback is owed */
    /* Out. */
    bool held; /* with granted(): false when the thread there has no permits to give */
    uint32_t messages;                /* so many may be sent with it */
    void (*landed)(struct permit *p); /* private */
};

/* NULL: no memory. */
struct permits *permits_open(struct thread *t);
/* All that wait are answered, without a permit. */
void permits_stop(struct permits *permits);
void permits_close(struct permits *permits);

/* `wanted`: messages it would like to send. The permit must live until granted(). */
void permit_ask(struct thread *t, struct permit *p, uint64_t hash, uint32_t wanted,
    void (*granted)(struct permit *p));
/* Back, with the messages that were not sent. Held or not; the permit must live until
 * given(), which comes from the loop. */
void permit_give(
    struct thread *t, struct permit *p, uint32_t unused, void (*given)(struct permit *p));

/* What the thread of the hash knows, for `ringmail queue why`; on that thread. */
struct permit_facts {
    uint32_t taken, waiting;
    int64_t next_ns; /* --destination-rate holds back until then, monotonic; 0: it does
                      * not */
};
void permits_facts(const struct permits *permits, uint64_t hash, struct permit_facts *f);
