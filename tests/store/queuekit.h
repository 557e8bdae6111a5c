/* queuekit.h -- entries of the queue in a store on a simulated disk; calls that wait. */
#pragma once
#include "tests/store/storekit.h"

enum { QKIT_USERS = 4, QKIT_ENVELOPES = 4 };

/* A message for users (INBOX; names divided by spaces) and entries of the queue with
 * these envelopes (likewise). Its body is that of skit_deliver(). */
struct qkit_put {
    const char *users, *envelopes, *tag;
    unsigned bytes;
    uint64_t fanout_id;
    const char *rest;
    bool each;
    const struct store_queue_change *settles;
    uint64_t ids[QKIT_ENVELOPES]; /* out */
    enum status told[QKIT_USERS]; /* out, with `each` */
};
enum status qkit_put(struct skit *k, struct qkit_put *p);

/* An entry alone; its number, or 0. */
uint64_t qkit_add(struct skit *k, const char *envelope, const char *tag, unsigned bytes);
/* state NULL: the end. */
enum status qkit_change(struct skit *k, uint64_t id, const char *state);

/* Is it there, with all this, and its body readable to the last byte? */
void qkit_check(struct skit *k, uint64_t id, const char *envelope, const char *state,
    const char *tag, unsigned bytes);
bool qkit_there(struct skit *k, uint64_t id);
unsigned qkit_count(struct skit *k);

/* Equal for equal queues, counters and live bytes. */
uint64_t qkit_hash(struct skit *k);
