/* queue_show.h -- the queue as lines, for people and for programs. Private to
 * queue_control.c; on the thread of the queue. */
#pragma once
#include "server/queue_permit.h"
#include "server/queue_work.h"
#include "store/store.h"

/* A message as the store has it, and what the queue makes of it. */
struct queue_view {
    struct thread *thread;
    const struct queue_entry *entry; /* NULL: not read yet, or unreadable */
    struct store_queued stored;
    struct envelope envelope;
    struct queue_state state;
    enum status status; /* not OK: envelope and state are empty */
};

/* One line of `list`. */
void queue_show_line(const struct queue_view *v, bool json, struct out *out);
/* `show`: what there is before the recipients, then each of them. */
void queue_show_head(const struct queue_view *v, bool json, struct out *out);
void queue_show_rcpt(
    const struct queue_view *v, unsigned rcpt, bool json, struct out *out);
/* `why` of a message: a line for each job. */
void queue_show_job(
    const struct queue_view *v, const struct queue_job *job, bool json, struct out *out);
/* `why` of a destination. */
void queue_show_destination(const struct destination *d, const struct permit_facts *facts,
    bool json, struct out *out);
