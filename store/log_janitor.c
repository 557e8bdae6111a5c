/* Files closed and removed, one at a time and beside everything else.
 *
 *      IDLE --a sealed segment has settled--> CLOSING --> IDLE
 *      IDLE --retired ones are free--> LISTING --list durable--> REMOVING … --> IDLE
 *      IDLE --files that were no part of the log at its start--> SWEEPING --> IDLE
 *
 * Before a file goes, a list of the segments that stay is durable in the log: so a
 * restart can tell a removed segment from a lost one.
 */
#include "store/log_parts.h"

#include <stdio.h>
#include <stdlib.h>

static struct log *log_of(struct op *op)
{
    return container_of(op, struct log, janitor.op.op);
}

static struct log_segment *first_of(struct list *list)
{
    return list_empty(list) ? NULL : container_of(list->next, struct log_segment, link);
}

/* --- closing the writers of sealed segments --- */

static void on_writer_closed(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = log_of(op);

    (void)flags;
    (void)res; /* every byte was durable before */
    log->janitor.segment->closing = false;
    log->janitor.due = log->janitor.due || log->janitor.segment->retired;
    log->janitor.segment = NULL;
    log->janitor.state = JANITOR_IDLE;
}

/* Reads already begun on the writer go on; those that come later open the file anew. */
static bool close_one(struct log *log)
{
    struct janitor *j = &log->janitor;

    list_each(link, &log->closers) {
        struct log_segment *s = container_of(link, struct log_segment, closing_link);
        int32_t writer = s->writer;

        if (s->reading)
            continue;
        list_remove(link);
        s->writer = -1;
        j->segment = s;
        j->state = JANITOR_CLOSING;
        disk_close(log->disk, &j->op, on_writer_closed, writer);
        return true;
    }
    return false;
}

/* --- removing --- */

static void remove_next(struct log *log);

static void on_removed(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = log_of(op);
    struct log_segment *s = log->janitor.segment;

    (void)flags;
    (void)res; /* what cannot be removed is on no list: the next start tries again */
    segment_table_drop(log, s);
    list_remove(&s->link);
    free(s);
    log->janitor.segment = NULL;
    log->prepare.retry_ns = 0; /* there is space now */
    log->woken = true;
    remove_next(log);
}

static void remove_next(struct log *log)
{
    struct janitor *j = &log->janitor;
    struct log_segment *s = first_of(&log->doomed);

    j->state = s ? JANITOR_REMOVING : JANITOR_IDLE;
    if (!s || !segment_file_closed(s))
        return;
    j->segment = s;
    snprintf(j->name, sizeof j->name, SEGMENT_NAME, s->number);
    disk_remove(log->disk, &j->op, on_removed, j->name);
}

static void on_swept(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = log_of(op);

    (void)flags;
    (void)res; /* the next start tries again */
    log->janitor.state = JANITOR_IDLE;
    log->prepare.retry_ns = 0;
    log->woken = true;
}

static bool sweep_one(struct log *log)
{
    struct janitor *j = &log->janitor;

    if (!log->debris_count)
        return false;
    j->state = JANITOR_SWEEPING;
    snprintf(j->name, sizeof j->name, SEGMENT_NAME, log->debris[--log->debris_count]);
    disk_remove(log->disk, &j->op, on_swept, j->name);
    return true;
}

static void spare_doomed(struct log *log)
{
    struct log_segment *s;

    while ((s = first_of(&log->doomed))) {
        list_remove(&s->link);
        s->doomed = false;
        list_add(&log->retired, &s->link);
    }
    log->janitor.state = JANITOR_IDLE;
}

static void on_listed(struct log_waiter *w, enum status status)
{
    struct log *log = container_of(w, struct log, janitor.listed);

    if (status == STATUS_OK)
        remove_next(log);
    else
        spare_doomed(log);
}

/* No checkpoint that is kept needs it, and nobody looks at it. */
static bool removable(const struct log *log, const struct log_segment *s)
{
    const struct kept *oldest = &log->kept[log->kept[1].number ? 1 : 0];
    const struct list *pin = log->pins.next;

    return s->holds == 0 && s->writer < 0 && !s->closing &&
        oldest->begun > s->retired_at &&
        (list_empty(&log->pins) ||
            container_of(pin, struct log_pin, link)->epoch > s->pin_stamp);
}

static bool doom(struct log *log)
{
    unsigned count = 0;

    list_each_safe(link, after, &log->retired) {
        struct log_segment *s = container_of(link, struct log_segment, link);

        if (count == DOOMED_MAX || !removable(log, s))
            continue;
        list_remove(link);
        s->doomed = true;
        list_add(&log->doomed, link);
        count++;
    }
    return count > 0;
}

static void list_what_stays(struct log *log)
{
    struct janitor *j = &log->janitor;

    j->state = JANITOR_LISTING;
    if (log_put_segments(log) != STATUS_OK) {
        spare_doomed(log);
        return;
    }
    log_wait(log, &j->listed);
}

void janitor_turn(struct log *log)
{
    struct janitor *j = &log->janitor;

    j->listed.done = on_listed;
    if (j->state == JANITOR_REMOVING && !j->segment)
        remove_next(log);
    if (j->state != JANITOR_IDLE || close_one(log))
        return;
    if (log->failed || log->closing || sweep_one(log) || !j->due)
        return;
    if (doom(log))
        list_what_stays(log);
    else
        j->due = false;
}
