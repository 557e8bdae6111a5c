/* queue_state.h -- what has become of the recipients of an entry of the queue: as values,
 * and as the bytes that the store keeps as its `state`.
 *
 * The bytes stand on the disk: a layout of QUEUE_STATE_VERSION is read for ever, a newer
 * one is refused. No bytes at all: nothing has happened yet.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/slice.h"

enum {
    QUEUE_STATE_VERSION = 1,
    QUEUE_TEXT_MAX = 256, /* octets of an answer that are kept */
    QUEUE_HOST_MAX = 128
};

enum queue_fate {
    QUEUE_PENDING,
    QUEUE_DELIVERED, /* here, or through LMTP */
    QUEUE_RELAYED,
    QUEUE_FAILED,
    QUEUE_EXPIRED,
    QUEUE_DROPPED, /* by the operator */
    QUEUE_FATES
};

/* The last answer for a recipient. */
struct queue_answer {
    uint16_t code; /* 0: none came */
    uint8_t status[3];
    bool ours;         /* this side's words, not a hop's */
    struct slice host; /* whose; may be empty */
    struct slice text;
};

struct queue_rcpt {
    enum queue_fate fate;
    /* Of those that are pending; else zero. */
    uint32_t attempts;
    int64_t next_s;                    /* not before, seconds since 1970; 0: at once */
    const struct queue_answer *answer; /* NULL: none yet */
};

struct queue_state {
    bool held;       /* by the operator */
    bool delay_told; /* the sender has had the notice of delay */
    bool by_told;    /* that of DELIVERBY */
    uint32_t unsure; /* how often a text went out whole and no answer came */
    struct queue_rcpt *rcpts;
    unsigned rcpt_count;
};

/* For an entry of so many recipients; what the slices name lies in `bytes`, the rest in
 * the arena. OK, CORRUPT, INVALID (a newer version), NO_MEMORY. */
enum status queue_state_decode(
    struct slice bytes, unsigned rcpt_count, struct arena *arena, struct queue_state *s);

/* At least as many octets as queue_state_encode() writes. */
size_t queue_state_bytes(const struct queue_state *s);
/* Texts and hosts are cut to their limits. */
void queue_state_encode(const struct queue_state *s, struct out *out);

/* "pending", "delivered" ... */
const char *queue_fate_word(enum queue_fate fate);
