/* mode_idle.h -- clients that wait in IDLE, and the helpers that deliver to them.
 *
 *     helper                                 watcher
 *     smtp_next(): chooses a watcher         in IDLE
 *     ... final dot  ---- the server ---->   "* 5 EXISTS": the helper hears of it
 *     250: taken                             idle: waits on; mixed: its script
 *     client_done() when both have happened
 *
 * Watchers are the clients of the mode and get no operations; helpers do. A watcher has a
 * user of his own, and one message is under way to him at a time.
 */
#pragma once
#include "bench/imap.h"
#include "bench/mode_smtp.h"

enum { IDLE_OLD_MAX = 20 };

struct idle_session {
    struct imap imap;      /* first */
    struct client *helper; /* whose message is under way; NULL: none */
    bool idling;           /* IDLE has been confirmed */
    bool out;              /* LOGOUT has been said */
    /* mixed: the script of a message */
    unsigned step;
    uint32_t message; /* its number in the mailbox */
    uint64_t cycles;
    int64_t step_ns; /* when the step began */
    /* with --verify: old mail, read back before it is thrown away */
    struct imap_text text;
    uint8_t *old[IDLE_OLD_MAX]; /* in the ledger */
    unsigned old_count;
};

size_t idle_out_bytes(const struct options *o);
bool idle_prepare(struct bench *b, struct out *why);
void idle_open(struct client *c);
void idle_quit(struct client *c);
void idle_ended(struct client *c);
/* Makes the helpers of a thread. */
bool idle_populate(struct driver *d, const struct mode *helper);
bool idle_choose(struct client *helper);
/* Its message was taken. False: nobody waits for it, and that was its end. */
bool idle_stored(struct client *helper);
/* Its connection is gone: nobody is to tell it anything. */
void idle_helper_ended(struct client *helper);

/* Says IDLE; the session is ready when that is confirmed. */
void idle_begin(struct client *c);
/* True: the line was a matter of IDLE's, or the client is gone. *arrived: it told of a
 * message more. */
bool idle_take(struct client *c, const struct imap_said *said, bool *arrived);
