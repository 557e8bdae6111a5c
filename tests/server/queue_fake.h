/* queue_fake.h -- the world around the queue: threads with a clock that the test turns,
 * calls, stores, DNS, hops and deliveries are played. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/delivery.h"
#include "server/process.h"
#include "server/queue_work.h"
#include "store/store.h"

enum { THREADS = 2, NAMES_MAX = 64 };

extern struct thread threads[THREADS];
extern struct config config;

/* A fresh world: two threads, a shard each; the queues are not open. */
void world_begin(void);
void world_end(void);
void open_queues(void);
void close_queues(void);

/* All that is due now, until nothing moves. */
void settle_world(void);
/* Time passes. */
void pass(int64_t seconds);
/* The wall clock jumps. */
void jump(int64_t seconds);

/* --- what is in the store ------------------------------------------------------ */

/* A message of u0@home.test, or of `sender`, in the store of thread 0 or 1; its id. With
 * a queue that is open it is entered. */
uint64_t put_message(unsigned shard, const char *sender, const char *const *rcpts,
    unsigned count, const char *state, size_t state_len);
uint64_t put_one(unsigned shard, const char *rcpt);
/* The envelope that the next messages get, but for sender and recipients. */
extern struct envelope pattern;
bool is_stored(uint64_t id);
unsigned stored_count(void);
/* The state as it is stored now; in an arena that is given back by the next call. */
const struct queue_state *state_of_entry(uint64_t id);
extern enum status change_status; /* of the next changes */
/* The text of all messages, and the octets of it that are read at a time. */
extern struct slice stored_text;
extern size_t piece_max;
extern bool text_breaks; /* it can't be read to its end */
extern unsigned changes; /* that were durable */

/* --- hops ------------------------------------------------------------------------ */

/* What becomes of a session with a domain: by default it is ready. */
struct fake_domain {
    const char *name;
    enum mx_status dns;
    const char *refuses; /* closed before it is ready, with this text */
    uint16_t code;       /* of that */
    /* Answer for a recipient: "450 4.2.1 busy"; NULL: 250. */
    const char *(*answer)(const char *rcpt, unsigned nth);
    bool dies;      /* in the middle of each message: code 0 */
    bool hangs;     /* never says anything */
    bool forgeable; /* its MX have no DNSSEC */
    /* Sessions with each level of TLS; with REQUIRETLS, and with that preferred. */
    unsigned levels[HOP_TLS_VERIFY + 1], required, preferred;
    unsigned opened, messages, open, most;
};
struct fake_domain *domain_at(const char *name); /* made when new */

/* Every accepted recipient, in order: "a@x.test\n". */
extern char accepted[1 << 16];
extern size_t accepted_len;

/* --- deliveries -------------------------------------------------------------------- */

extern unsigned deliveries;     /* that were committed */
extern char delivered[1 << 16]; /* their text, one after another */
extern size_t delivered_len;
extern enum status delivery_status; /* of the next commits */
