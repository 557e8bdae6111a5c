/* admin_state.h -- the inside of admin.h. Private to auth.c, logins.c. */
#pragma once
#include "server/admin.h"
#include "server/auth.h"
#include "server/auth_tables.h"

enum {
    USER_ROWS = 4096,
    HASHES_AT_ONCE = 2 /* of a thread in the worker pool; the rest waits here, in order
                          of merit */
};

/* What a login holds: its place among the connections of the user. Allocated with the
 * check, ends with the login. */
struct login_slot {
    struct call call;    /* gives the place back */
    uint64_t generation; /* of the snapshot that the password was checked against */
    bool counted;        /* by the owner of the user */
    bool ended;          /* the session has been told */
    unsigned len;
    char name[]; /* canonical */
};

/* One user with connections, at the thread that owns him. */
struct user_count {
    struct user_count *next;
    uint32_t connections;
    unsigned len;
    char name[];
};

struct admin {
    struct thread *thread;
    struct recent recent;     /* of the users owned here */
    struct failures failures; /* of the addresses kept here */
    struct user_count *users[USER_ROWS];
    uint64_t users_key;
    struct list live;      /* struct login, checked against the current snapshot */
    struct list unchecked; /* struct login, still to be checked */
    struct timer sweep;
    struct list checks;     /* struct check: all of this thread */
    struct list waiting[2]; /* for a hash: nothing known against, failed of late */
    unsigned waiting_count, hashing;
    struct timer retry; /* the worker pool was full */
    bool stopping;
    struct admin_stats stats;
};

static inline struct admin *admin_of(struct thread *t)
{
    return t->admin;
}

static inline uint32_t admin_seconds(const struct thread *t)
{
    return (uint32_t)(t->now_ns / 1000000000);
}

static inline struct slice slot_name(const struct login_slot *slot)
{
    return slice_of(slot->name, slot->len);
}

/* On the owner's thread. False: the user has `max` connections. */
bool user_take(struct thread *t, struct login_slot *slot, uint64_t max);
/* On any thread: gives the place back and frees the slot. */
void slot_free(struct thread *t, struct login_slot *slot);

/* auth.c's share of admin_stopping(). */
void auth_stopping(struct thread *t);
