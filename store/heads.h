/* heads.h -- what is always in memory of every user of the shard.
 *
 * A head is ninety-six bytes and the name. With it a message is delivered to a user
 * whose mailboxes stay on the disk. Heads never move while they exist. Two tables find
 * them, by name and by number; both grow by one bucket at a time, so that no call is
 * ever slow.
 */
#pragma once
#include <assert.h>

#include "proto/base/check.h"
#include "proto/base/slice.h"
#include "store/head_memory.h"

struct user;

enum head_flag {
    HEAD_NEW = 1,     /* made, but its USER record is not in the log yet */
    HEAD_REMOVED = 2, /* a removal is on its way: the name is free already */
    HEAD_ROLLED = 4,  /* a commit failed: `last` is the last durable record again */
    HEAD_FOLDING = 8, /* waits to be folded, or is being folded */
    HEAD_ASKED = 16,  /* it is being loaded to be folded */
};

struct head {
    char *name;
    struct user *user;               /* its state, when in memory */
    uint64_t id;                     /* number, never given twice */
    uint64_t last;                   /* place of its last record */
    uint64_t seq;                    /* and its number: older ones are reflected here */
    uint64_t state;                  /* place of the last USER_STATE; 0: none */
    uint64_t applied_seq;            /* of the last record that the state reflects */
    uint64_t modseq, bytes;          /* INBOX's; all mailboxes' */
    uint32_t uid_validity, uid_next; /* INBOX's */
    uint32_t name_link, id_link;     /* private: the next in the bucket */
    uint16_t name_bytes;
    uint16_t chain;   /* records since the state; stays at UINT16_MAX */
    uint16_t pending; /* records that are not durable yet */
    uint8_t flags;    /* enum head_flag */
};

static_assert(sizeof(struct head) <= 96, "the price of a user");

/* A hash table of slots, growing by linear hashing (Litwin, 1980). */
struct head_table {
    uint32_t **blocks;
    uint32_t block_cap;
    uint32_t buckets, mask; /* mask covers the buckets before this doubling */
};

struct heads {
    struct head **blocks;
    uint32_t block_count, block_cap;
    uint32_t slots; /* used so far, free ones included */
    uint32_t free;  /* list of free slots, linked by id_link */
    uint32_t count;
    uint64_t key;
    size_t name_bytes;
    struct head_memory memory;
    struct head_table by_name, by_id;
};

enum status heads_init(struct heads *h, uint64_t key);
void heads_free(struct heads *h);

/* While there are none: makes the tables ready for about so many, so that they need not
 * grow on the way there. */
enum status heads_expect(struct heads *h, uint64_t count);

/* A cleared head with name and number, found by number only; NULL without memory. */
struct head *heads_add(struct heads *h, uint64_t id, struct slice name);
void heads_remove(struct heads *h, struct head *head);

/* Makes the name lead to this head, or to none any more. */
void heads_name(struct heads *h, struct head *head);
void heads_unname(struct heads *h, struct head *head);

/* heads_name() or heads_find() of this name comes soon. */
void heads_near(const struct heads *h, struct slice name);

struct head *heads_find(const struct heads *h, struct slice name);
struct head *heads_by_id(const struct heads *h, uint64_t id);

/* The head in slot i, or NULL when it is free; i < h->slots. */
struct head *heads_at(const struct heads *h, uint32_t i);

static inline struct slice head_name(const struct head *head)
{
    return slice_of(head->name, head->name_bytes);
}
