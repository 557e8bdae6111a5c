/* queue_control.h -- what `ringmail queue` asks of a running server.
 *
 * The control thread hands a request to one thread after another. Each looks at a bounded
 * number of its entries and says where to go on, so that neither a shard nor the control
 * thread is held up by a long queue: the client asks for page after page.
 *
 *   request: queue VERB FORMAT THREAD CURSOR SELECTOR [VALUE]
 *     VERB      list, show, why, retry, hold, release, drop, bounce
 *     FORMAT    text, json
 *     THREAD    number; CURSOR: "0" at first
 *     SELECTOR  all; id NUMBER; sender ADDRESS; to DESTINATION
 *   answer: lines, each with a letter in front that says what it is; then, where there is
 *     more, "next THREAD CURSOR"
 *
 * A change is answered when it is durable.
 */
#pragma once
#include "proto/base/slice.h"
#include "server/process.h"

struct queue_asks; /* those of a control thread */

/* `wake_fd`: an eventfd that is written when there is something for queue_asks_take(). */
struct queue_asks *queue_asks_open(struct process *process, int wake_fd);
/* After process_stop(). */
void queue_asks_close(struct queue_asks *asks);

/* What follows "queue ". False: `why`. */
bool queue_ask(
    struct queue_asks *asks, struct slice request, void *client, struct out *why);
/* The client has gone: nobody is answered. */
void queue_ask_forget(struct queue_asks *asks, const void *client);

struct queue_said {
    void *client;       /* NULL: it has gone */
    struct slice lines; /* good until the next call */
    struct slice error; /* empty: all is well */
};
/* Takes one that has finished; false: none. */
bool queue_asks_take(struct queue_asks *asks, struct queue_said *said);

/* --- numbers of messages ------------------------------------------------ */

enum { QUEUE_ID_TEXT_MAX = 24 };
/* "1-2f": the shard that gave it, and its place among those, in hexadecimal. */
struct slice queue_id_text(uint64_t id, char at[QUEUE_ID_TEXT_MAX]);
bool queue_id_parse(struct slice text, uint64_t *id);
