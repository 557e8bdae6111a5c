/* user.h -- an account in memory: the tree of its mailboxes, and what is on its way.
 *
 *      head --load--> USER_STATE, then the chain of records after it
 *           <--fold-- dirty pages, mailbox states, USER_STATE
 *           <--drop-- nothing is written: state and chain are on the disk;
 *                     what he had in memory is freed mailbox by mailbox
 *
 * Private to the store.
 */
#pragma once
#include "store/index.h"

struct mailbox;

/* Records that wait for something to be in memory, oldest first: struct change items
 * without their request. */
struct held {
    struct bytes bytes;
    size_t at; /* the next to apply */
};

/* False: no memory. */
bool held_add(struct held *h, const struct log_record *r);
/* The next one; NULL past the last. held_pop() goes on. */
const struct change *held_next(const struct held *h);
void held_pop(struct held *h);
static inline bool held_empty(const struct held *h)
{
    return h->at == h->bytes.len;
}

/* A range that holds all segments something names; max 0: none. */
struct segments {
    uint32_t min, max;
};

struct load;
struct fold;

enum { FEW_NAMES = 8 }; /* what most users have no more of */

struct user {
    struct store *store;
    struct head *head; /* NULL when removed */
    struct list link;  /* in store->lru while it can be evicted; when dead: see there */
    uint64_t id;
    bool loading;
    bool removed;
    bool dead;           /* in store->dead_users: nothing leads to him any more */
    bool half;           /* a record is applied in part: nothing may be folded */
    bool relocated;      /* an entry that names the segment being compacted was copied */
    uint32_t pins;       /* handles, mailboxes open, requests, fold, compaction */
    struct list waiters; /* requests for the load */

    struct mailbox **names; /* every name, sorted; room for name_cap, in `few` at first */
    struct mailbox **ids;   /* those that exist, by number; behind the room for names */
    uint32_t name_count, id_count, name_cap;
    uint32_t existing;   /* names of mailboxes and levels */
    uint64_t name_bytes; /* name_cost() of all nodes */
    uint32_t next_mailbox;
    uint64_t applied, applied_seq; /* the last record applied here */
    uint64_t bytes;                /* sum of message sizes, as applied */
    uint32_t state_bytes;          /* span of the USER_STATE */

    uint64_t used_turn; /* he was let go or came in this turn: he stays a little */
    struct held held;   /* while loading */
    struct load *load;
    struct fold *fold;
    struct freed freed; /* what his states and pages on disk no longer name */
    /* What his state on disk names and memory no longer does, for it was deleted or
     * written anew: until the next USER_STATE compaction must leave it there. */
    struct segments left;
    unsigned fold_after; /* a fold failed when the chain had this length */

    bool tree_busy;            /* a change of the tree is on its way */
    bool tree_held;            /* none may begin: his state is being written */
    bool renamed;              /* the names of `renaming` show */
    struct renaming *renaming; /* of a tree, applied in part */
    struct view_lost *losing;  /* what the views of INBOX are about to lose */
    struct list tree_waiters;  /* the next ones */
    size_t memory;             /* counted in store->index_used */
    struct mailbox *few[2 * FEW_NAMES];
};

/* --- user_open.c: in and out of memory --- */

/* An account in memory with nothing in it yet, on its way (`loading`); NULL without
 * memory. */
struct user *user_new(struct store *s, struct head *head);
/* The user of a head, loaded: OK. BUSY: a load is on its way and op, if any, has been
 * parked: it is tried again when it has ended. NO_MEMORY. */
enum status user_need(struct store *s, struct head *head, struct store_op *op);
void user_pin(struct user *u);
void user_unpin(struct user *u);
/* Frees what is only a copy of the disk's. */
void user_drop(struct user *u);
/* Evicts cold users while the index is over its budget. */
void users_evict(struct store *s);
/* Frees a slice of what was dropped; false while there is more. */
bool dead_step(struct store *s);
void user_memory(struct user *u, int64_t by);
/* The load has ended. */
void user_loaded(struct user *u, enum status status);

/* A new head for a name, with its USER record on its way. */
enum status user_create(struct store *s, struct slice name, struct head **head);

enum status try_user_open(struct store *s, struct user_open *o);
enum status try_user_remove(struct store *s, struct user_remove *r);

/* --- user_load.c --- */

enum status load_begin(struct user *u);
/* A load that waits for the user's first record goes on. */
void load_born(struct user *u);
/* So does one that waited for the content of a mailbox. */
void load_content_there(struct user *u);
void load_free(struct user *u);
/* Goes on with loads that gave way; false while there are more. */
bool loads_step(struct store *s);
/* The user's record before this one, and whether r is a record of his at all. */
bool record_prev(const struct log_record *r, uint64_t user, uint64_t *prev);

/* --- user_apply.c --- */

/* A durable record of this user: applied, or kept for the end of his load. */
enum applied user_change(
    struct store *s, struct head *head, const struct log_record *r, struct progress *p);
enum applied user_apply(struct user *u, const struct log_record *r, struct progress *p);
void user_roll_back(
    struct store *s, struct head *head, const struct log_record *r, uint64_t prev);

/* --- user_names.c: the sorted list --- */

/* What a name takes in the user's state, which is written in one piece. */
static inline size_t name_cost(size_t bytes)
{
    return sizeof(struct rec_folder_state) + bytes;
}

/* Bytes, with '/' below all others. */
int name_compare(struct slice a, struct slice b);
/* Is `name` below `parent` in the tree? */
bool name_below(struct slice name, struct slice parent);
/* Index of the first name not below the given one. */
unsigned names_at(const struct user *u, struct slice name);
struct mailbox *names_find(const struct user *u, struct slice name);
struct mailbox *user_mailbox_id(const struct user *u, uint32_t id);
/* A node of that name, made when it is missing; NULL without memory. */
struct mailbox *names_add(struct user *u, struct slice name);
void names_remove(struct user *u, struct mailbox *m);
/* Gives a node the number by which records name it. */
void ids_add(struct user *u, struct mailbox *m);
void ids_remove(struct user *u, struct mailbox *m);
/* An empty list. */
void names_init(struct user *u);
/* Room for so many more nodes. */
bool names_reserve(struct user *u, unsigned more);
/* Gives the list's memory back, if it has memory of its own. */
void names_free(struct user *u);
/* A node that is in no list; NULL without memory. */
struct mailbox *name_node(struct user *u, struct slice name);

/* --- user_rename.c: a tree gets another name --- */

/* The nodes [*from, *to) are the name and all below it: they stand together. */
void names_tree(const struct user *u, struct slice name, unsigned *from, unsigned *to);
/* Renames a node and all below it; to be called again until it is APPLIED. */
enum applied names_rename(
    struct user *u, struct slice from, struct slice to, struct progress *p);
/* Forgets one that has begun, with its user. */
void renaming_free(struct user *u);

/* --- user_tree.c: changes of the tree --- */

enum status try_mailbox_change(struct user *u, struct mailbox_op *op);
enum applied tree_apply(struct user *u, const struct log_record *r, struct progress *p);
/* Makes the mailboxes of a USER record. */
bool folders_make(struct user *u, struct reader folders, unsigned count);
/* The name a caller gives, INBOX in its one form. */
struct slice name_canonical(struct slice name);

/* --- user_delta.c: records that change one user --- */

/* Begins a payload in store->scratch. */
struct bytes *delta_begin(
    struct user *u, uint32_t mailbox, unsigned what, uint64_t modseq, int64_t bytes);
/* Adds what is in the scratch. Statuses of change_add(). */
enum status delta_end(
    struct user *u, enum log_purpose purpose, enum record_kind kind, struct store_op *op);
void put_folder(
    struct bytes *b, uint32_t id, uint32_t uid_validity, unsigned use, struct slice name);

/* What a mailbox gives back when it goes, counted in slices. */
struct tally {
    struct freed freed;
    uint64_t bytes; /* of messages */
    uint32_t mailbox, uid;
};
struct tally *tally_new(void);
void tally_free(struct tally *t);
/* False while there is more to count. */
bool tally_step(struct tally *t, struct mailbox *m);

/* --- user_fold.c --- */

/* Wants the user's state written soon. */
void fold_want(struct store *s, struct head *head);
/* Starts folds that wait, and does a slice of each. False while there is more to do. */
bool folds_step(struct store *s);
/* Folds a loaded user now; op (may be NULL) is answered when the state is durable.
 * `segment`: whatever of his state lies there is rewritten too; 0: none. */
enum status fold_begin(struct user *u, uint32_t segment, struct store_op *op);
/* Its USER_STATE is durable, or never will be. */
void fold_durable(struct head *head, const struct log_record *r);
void fold_failed(struct head *head);
/* A record has changed this mailbox. */
void fold_touched(struct mailbox *m);
/* Should the chain of this head be folded? */
bool fold_due(const struct store *s, const struct head *head);
