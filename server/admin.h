/* admin.h -- this part's share of every thread: logins and the accounts' snapshot.
 *
 *   process_conf.thread_open     --> admin_open()
 *   process_conf.thread_stopping --> admin_stopping()
 *   process_conf.thread_close    --> admin_close()
 */
#pragma once
#include "server/accounts.h"
#include "server/thread.h"

/* There are no accounts yet. False: no memory. */
bool admin_open(struct thread *t);
/* No check waits any longer: all end with AUTH_BUSY. */
void admin_stopping(struct thread *t);
void admin_close(struct thread *t);

/* Swaps the snapshot (t->accounts); logins whose account has changed are ended, a few a
 * turn. On the thread. Takes a reference. The first one comes before anybody asks. */
void admin_swap(struct thread *t, struct accounts *accounts);

struct admin_stats {
    uint64_t logins;         /* open here */
    uint64_t checks, failed; /* since the start */
    uint64_t remembered;     /* answered without a hash */
    uint64_t busy;           /* put off: too many hashes wait */
    uint64_t waiting;        /* hashes, now */
};
void admin_stats(struct thread *t, struct admin_stats *stats);
