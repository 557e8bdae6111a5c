/* reshard_state.h -- shared by the reshard*.c files and by nobody else. */
#pragma once
#include "store/mailbox.h"
#include "store/reshard.h"

/* One turn of the store, and something that was asked of the disk has landed. */
void reshard_turn(struct store *s);

/* A record, read while the caller waits. */
struct fetched {
    struct log_read read;
    enum status status;
    bool landed;
};
/* OK: f->read.record is good until fetch_end(). */
enum status fetch(struct store *s, struct fetched *f, uint64_t place, uint32_t hint);
static inline void fetch_end(struct fetched *f)
{
    log_read_end(&f->read);
}

/* A user with the messages of all his mailboxes, pinned: user_close(). */
enum status fetch_user(
    struct reshard *r, struct store *s, struct slice name, struct user **user);

/* Says what is wrong; returns `status`. */
enum status reshard_say(struct reshard *r, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status reshard_say_message(struct reshard *r, enum status status,
    const struct mailbox *m, uint32_t uid, const char *what);
