/* shard.h -- the data folder, and the shards that run on a thread.
 *
 *   DATA/lock         held by the one server that uses the folder
 *   DATA/store        what the store is: format, id, shards, slots
 *   DATA/reshard      which shards are about to replace which; only while they are
 *   DATA/shard-NNNN/  log and checkpoints of a shard, by its id
 *
 * A user's slot is a hash of the canonical name; DATA/store says which shard owns it.
 * Shard s runs on thread s mod threads; its id is first + s. Resharding replaces all
 * shards: ids go up, and none is given twice.
 */
#pragma once
#include "server/process.h"
#include "server/thread.h"

enum {
    DATA_SLOTS = 4096,
    DATA_VERSION = 2,
    DATA_PATH_MAX = 4096,
    SHARD_ID_MAX = 1 << 24, /* ids are part of the numbers of users */
};
#define SHARD_NAME "shard-%04u"

struct data_layout {
    uint64_t store_id;
    uint32_t shards;
    uint32_t first;             /* id of shard 0 */
    uint16_t slots[DATA_SLOTS]; /* slot -> shard */
};

/* Is there a store in DATA? */
bool data_exists(const char *path);

struct data_folder; /* open and locked */

/* Locks DATA, making it, and a store of `shards` shards (0: `preset`), if it is new. With
 * `shards` different from what the store has: refused. NULL: `why`. */
struct data_folder *data_open(
    const char *path, unsigned shards, unsigned preset, char *why, size_t cap);
void data_close(struct data_folder *folder);
const struct data_layout *data_layout(const struct data_folder *folder);
/* Replaces DATA/store, durably and at once or not at all; resharding only. */
bool data_write(
    struct data_folder *folder, const struct data_layout *layout, char *why, size_t cap);
/* Notes, durably, that the shards of `next` are about to be made and to replace those
 * there are, by data_write(). */
bool data_reshard_begin(
    struct data_folder *folder, const struct data_layout *next, char *why, size_t cap);
/* Removes the shards, old or new, that DATA/store does not name; data_open() does so too
 * after a crash. */
bool data_reshard_end(struct data_folder *folder, char *why, size_t cap);
/* "DATA/shard-0007"; false: it does not fit. */
bool data_shard_path(const struct data_folder *folder, uint32_t id, char *at, size_t cap);
/* Makes the folder of a shard, durably. */
bool data_make_shard(
    const struct data_folder *folder, uint32_t id, char *why, size_t cap);
/* An even deal of the slots. */
struct data_layout data_layout_of(uint64_t store_id, unsigned shards);
/* Fixed for ever: it decides where a user's mail is. */
unsigned data_slot(struct slice user);

struct shard {
    unsigned number;
    struct thread *thread;
    struct disk *disk;
    struct store *store;
    struct store_op stop;
    bool woken, stopped, failed;
};

/* On its thread, blocking: recovers the stores of the shards that run there. */
bool shards_open(struct thread *t, char *why, size_t cap);
/* Before the sessions: what the stores have done since the last turn is answered. */
void shards_answer(struct thread *t);
/* Once a turn; true: another turn is wanted at once. */
bool shards_turn(struct thread *t);
/* Monotonic: when a turn has to be even if nothing else happens; INT64_MAX: never. */
int64_t shards_due_ns(const struct thread *t);
/* Begins to make everything durable; shards_stopped() says when it is. */
void shards_stop(struct thread *t);
bool shards_stopped(const struct thread *t);
/* False: a shard had failed or could not be made durable. */
bool shards_close(struct thread *t);
