/* populate.h -- a store of many users and messages, made quickly; private to populate*.c.
 *
 *   flags --> plan --> a thread a shard: message number --> text, summary --> the store
 *                          |
 *   control thread: reads `done` of each shard, draws the bar, stops the process
 *
 * What is made follows from the plan alone: the same seed gives the same mail.
 */
#pragma once
#include <stdatomic.h>

#include "proto/base/arena.h"
#include "server/thread.h"
#include "store/store.h"

enum {
    POPULATE_SIZE_MIN = 512, /* the header has its place in it */
    POPULATE_SIZE_MAX = STORE_INLINE_MAX,
    POPULATE_NAME_MAX = 254,
};

struct populate_plan {
    const char *data;
    const char *user;     /* pattern of the names; %d: number from 0 */
    const char *password; /* as it stands in the users file */
    uint64_t users, messages, size, seed, shards, segment_bytes;
    bool one_mailbox;
    const struct store_folder *folders; /* of each user, beside INBOX */
    unsigned folder_count;
};

/* --- populate_text.c ------------------------------------------------------ */

/* Name of user `number`, in `at` of POPULATE_NAME_MAX. */
struct slice populate_name(const struct populate_plan *plan, uint64_t number, char *at);

/* When message `number` came, seconds since 1970: one a second. */
int64_t populate_date(uint64_t number);

/* Exactly plan->size octets of message `number` for `user`, to `at`; never the same
 * twice in a store. */
void populate_text(
    const struct populate_plan *plan, uint64_t number, struct slice user, char *at);

/* --- populate_users.c ----------------------------------------------------- */

/* DATA/users, one line a user, durable. False: errno. */
bool populate_users(const struct populate_plan *plan);

/* --- populate_feed.c ------------------------------------------------------ */

/* What a thread makes. The counter is written by it alone. */
struct populate_feed;

/* On the thread of the shard: begins; false without memory. */
bool populate_begin(struct thread *t, const struct populate_plan *plan);
/* Once a turn; true: another one at once. */
bool populate_turn(struct thread *t);
/* Nothing comes any more. */
void populate_stopping(struct thread *t);
/* All is durable, and every user has left memory: his state is written. */
bool populate_drained(const struct thread *t);
void populate_end(struct thread *t);

struct populate_progress {
    uint64_t messages; /* durable */
    bool over;         /* all of it, or failed */
    enum status status;
};
/* From any thread. */
void populate_progress(const struct populate_feed *feed, struct populate_progress *p);
