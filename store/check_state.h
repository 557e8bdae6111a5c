/* check_state.h -- shared by the check_*.c files and by nobody else. */
#pragma once
#include "store/mailbox.h"

/* A record of a kind, and how much of something it holds. */
struct placed {
    uint64_t place;
    uint32_t count;
};
struct places {
    struct bytes bytes; /* struct placed, sorted */
};
const struct placed *places_find(const struct places *p, uint64_t place);

/* A chunk and a message that names it. */
struct part_of {
    uint64_t message, chunk;
};

struct check {
    struct store_conf conf;
    bool repair;
    void (*say)(void *arg, const char *line);
    void *arg;
    int64_t now_s;
    struct disk *disk; /* keeps changes to itself, unless it is a repair */
    struct store *store;
    struct places messages, summaries, chunks;
    struct bytes parts; /* struct part_of, by message */
    uint64_t problems, users, entries, queued;
    uint64_t user_bytes; /* of the user being looked at */
    bool user_broken;
};

void check_say(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void check_problem(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Turns the store until the request is answered. */
enum status check_await(struct check *c, struct store_op *op);
void check_done(struct store_op *op, enum status status);

/* --- check_repair.c --- */

/* Gives a message whose summary is lost an empty one. */
enum status check_new_summary(struct check *c, struct mailbox *m, uint32_t uid);
/* Takes a message away whose body is lost. */
enum status check_drop(struct check *c, struct mailbox *m, uint32_t uid);
/* The same of an entry of the queue. */
enum status check_drop_queued(struct check *c, uint64_t id);
