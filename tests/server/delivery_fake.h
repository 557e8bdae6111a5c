/* delivery_fake.h -- the world around deliveries: threads, calls, stores, timers,
 * accounts, the queue and the log are played; one step at a time. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/mime/summary.h"
#include "server/accounts.h"
#include "server/delivery_state.h"
#include "server/log.h"
#include "server/process.h"
#include "server/queue.h"

enum {
    SHARDS = 4,
    CHUNKS_MAX = 64,
    OPEN_MAX = 4,
    EVENTS_MAX = 256,
    QUEUED_MAX = 8,
};

/* What happened, in order: 'm2' a message of shard 2 was asked for, 'c0' a chunk, 'd1' a
 * chunk dropped, 'f0' a fan-out closed, 'q0' one left to the queue, 'e0' an entry given
 * to the queue. */
extern char events[EVENTS_MAX];

struct fake_store {
    unsigned number;
    struct slice chunk[CHUNKS_MAX]; /* copies; NULL once dropped */
    bool named[CHUNKS_MAX];
    unsigned chunk_count;
    char *body; /* of the message that was stored */
    size_t body_len;
    bool has_summary;
    unsigned users;
    uint64_t id, date;
    char *rest;
    size_t rest_len;
    struct slice queued[QUEUED_MAX]; /* envelopes, copies */
    unsigned queued_count;
    uint64_t entered[QUEUED_MAX]; /* ids */
    unsigned entered_count;
    char settled[32]; /* the state that came with a message */
    uint64_t settles;
    uint64_t left_size; /* of what was left to the queue */
    bool promised;
    bool copies;      /* takes a message at once, before it answers */
    const char *full; /* users who are over quota, with `each` */
    enum status message_status, chunk_status, queue_status;
    struct store_fanout open[OPEN_MAX];
    unsigned open_count;
};

extern struct fake_store stores[SHARDS];
extern struct thread threads[SHARDS];
extern struct timer *timer;
extern bool short_of_memory, hold, pieces_late;
extern size_t piece_bytes;
extern enum status body_status;
extern const char *removed, *disabled; /* accounts: "u0@b u2@a" */
extern unsigned woken;

/* One thing moves; false: nothing is left. */
bool step(void);
void pump(void);
int set_up(void **state);
/* Nothing is in flight, nothing is held. */
int tear_down(void **state);
void put_body(struct fake_store *f, struct slice s);

/* --- messages --- */

struct slice text_of(size_t len);
struct delivery *begin(const struct slice *users, unsigned count);
struct delivery *begin_conf(const struct delivery_conf *conf);
/* All of it, as fast as the delivery takes it. */
void add(struct delivery *d, struct slice bytes);
enum status finish(struct delivery *d);
enum status finish_with(
    struct delivery *d, const struct envelope *envelopes, unsigned count);
void assert_stored(unsigned shard, struct slice bytes, unsigned users);
/* The time has come; the timer is unset before. */
void ring_timer(void);

/* --- after a crash --- */

/* Shard 2 holds the message and the account of the others. */
struct slice crash_after_first(size_t len);
/* Recovers; how many were left. */
unsigned recover(void);

/* u0 and u2 two each, u3 one; shard 2 comes first. */
extern const struct slice spread[5];
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
