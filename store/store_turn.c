#include <stdarg.h>
#include <stdio.h>

#include "store/compact.h"
#include "store/mailbox.h"

enum { BUSY_TURN = 16 }; /* refusals of the log after which waiting requests wait on */

void store_say(struct store *s, int level, const char *event, const char *format, ...)
{
    char text[512];
    va_list args;

    if (!s->conf.event)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->conf.event(s->conf.arg, level, event, text);
}

uint32_t uid_validity_next(const struct store *s)
{
    uint32_t now = s->now_s > 0 && s->now_s < UINT32_MAX ? (uint32_t)s->now_s : 1;

    return now > s->uid_validity ? now : s->uid_validity + 1;
}

/* --- requests --------------------------------------------------------------------------
 */

void request_post(struct store *s, struct store_op *op, enum status status)
{
    op->status = (uint8_t)status;
    list_add(&s->posted, &op->link);
    if (s->conf.wake && !s->turning)
        s->conf.wake(s->conf.arg);
}

void request_again(struct store *s, struct store_op *op)
{
    list_add(&s->again, &op->link);
    if (s->conf.wake && !s->turning)
        s->conf.wake(s->conf.arg);
}

void request_release(struct store *s, struct list *ops, enum status status)
{
    struct list *link;

    while ((link = list_pop(ops))) {
        struct store_op *op = container_of(link, struct store_op, link);
        bool holds = op->kind == REQUEST_MAILBOX_DELETING || op->kind == REQUEST_COPY ||
            op->kind == REQUEST_USER_REMOVE;

        if (status != STATUS_OK && !holds && op->kind != REQUEST_MESSAGE) {
            request_post(s, op, status);
            continue;
        }
        op->status = (uint8_t)status;
        request_again(s, op);
    }
}

/* OK: entered, parked or answered. BUSY: to be tried again. Else: the answer. */
static enum status dispatch(struct store *s, struct store_op *op)
{
    switch ((enum request_kind)op->kind) {
    case REQUEST_CHUNK:
        return try_chunk(s, container_of(op, struct store_chunk, op));
    case REQUEST_MESSAGE:
        return try_message(s, container_of(op, struct store_message, op));
    case REQUEST_USER_OPEN:
        return try_user_open(s, container_of(op, struct user_open, op));
    case REQUEST_USER_REMOVE:
        return try_user_remove(s, container_of(op, struct user_remove, op));
    case REQUEST_MAILBOX_CHANGE:
    case REQUEST_MAILBOX_DELETING:
        return try_mailbox_change(op->owner, container_of(op, struct mailbox_op, op));
    case REQUEST_MAILBOX_OPEN:
        return try_mailbox_open(op->owner, container_of(op, struct mailbox_open, op));
    case REQUEST_FLAGS:
        return try_flags(op->owner, container_of(op, struct flags_op, op));
    case REQUEST_EXPUNGE:
        return try_expunge(op->owner, container_of(op, struct expunge_op, op));
    case REQUEST_COPY:
        return try_copy(op->owner, container_of(op, struct copy_op, op));
    case REQUEST_QUEUE_CHANGE:
        return try_queue_change(s, container_of(op, struct store_queue_change, op));
    case REQUEST_FANOUT_QUEUE:
        return try_fanout_queue(s, container_of(op, struct store_fanout_queue, op));
    case REQUEST_NONE:
        break;
    }
    return STATUS_INVALID;
}

/* False: the log takes nothing now. */
static bool try_request(struct store *s, struct store_op *op)
{
    enum status status = dispatch(s, op);

    if (status == STATUS_BUSY)
        list_add(&s->waiting, &op->link);
    else if (status != STATUS_OK)
        request_post(s, op, status);
    return status != STATUS_BUSY;
}

/* Reads go ahead of changes that wait for the log. */
static bool waits_in_line(const struct store *s, enum request_kind kind)
{
    return kind != REQUEST_USER_OPEN && kind != REQUEST_MAILBOX_OPEN &&
        !list_empty(&s->waiting);
}

void request_start(
    struct store *s, struct store_op *op, enum request_kind kind, void *owner)
{
    CHECK(!op->pending);
    op->pending = true;
    op->kind = (uint8_t)kind;
    op->status = STATUS_OK;
    op->owner = owner;
    list_init(&op->link);
    if (waits_in_line(s, kind))
        list_add(&s->waiting, &op->link);
    else
        try_request(s, op);
}

static void move_all(struct list *from, struct list *to)
{
    struct list *link;

    list_init(to);
    while ((link = list_pop(from)))
        list_add(to, link);
}

static void retry_waiting(struct store *s)
{
    struct list now, *link;
    int refused = 0;

    move_all(&s->waiting, &now);
    while ((link = list_pop(&now)))
        if (refused >= BUSY_TURN)
            list_add(&s->waiting, link);
        else
            refused += !try_request(s, container_of(link, struct store_op, link));
}

static void retry_again(struct store *s)
{
    struct list now, *link;

    move_all(&s->again, &now);
    while ((link = list_pop(&now)))
        try_request(s, container_of(link, struct store_op, link));
}

static void answer(struct store *s)
{
    struct list *link;

    for (int i = 0; i < REQUESTS_TURN && (link = list_pop(&s->posted)); i++) {
        struct store_op *op = container_of(link, struct store_op, link);

        op->pending = false;
        op->done(op, (enum status)op->status);
    }
}

/* A disk that fills up, or has room again, is said once: the answers to clients do not
 * reach the operator. */
static void say_room(struct store *s)
{
    enum status room = log_health(s->log);

    if (room == s->room || room == STATUS_READ_ONLY) /* which was said */
        return;
    s->room = room;
    if (room == STATUS_OK)
        store_say(s, SAY_INFO, "disk-has-room", "what=\"mail is taken again\"");
    else
        store_say(s, SAY_WARN, room == STATUS_NO_SPACE ? "disk-full" : "segment-not-made",
            "status=\"%s\" what=\"mail is put off until there is room for a segment; "
            "what "
            "is there can be read and deleted\"",
            status_text(room));
}

/* --- the turn --- */

void store_answer(struct store *s)
{
    s->turning = true;
    changes_complete(s);
    answer(s);
    s->turning = false;
}

bool store_turn(struct store *s, int64_t now_s)
{
    bool idle;

    s->turning = true;
    log_turn_begins(s->log);
    s->turns++;
    s->now_s = now_s;
    idle = changes_complete(s);
    answer(s);
    idle &= loads_step(s); /* ahead of those who wait for them */
    idle &= content_loads_step(s);
    retry_again(s);
    retry_waiting(s);
    idle &= folds_step(s);
    fanouts_step(s);
    users_evict(s);
    idle &= dead_step(s);
    idle &= compact_step(s);
    idle &= checkpoint_step(s);
    answer(s);
    changes_await(s);
    log_turn(s->log);
    say_room(s);
    s->progress.budget = s->turn_budget;
    s->turning = false;
    /* What came to an end late in this turn may have woken a load that had its turn. */
    return !idle || !list_empty(&s->posted) || !list_empty(&s->again) ||
        !list_empty(&s->loads) || !list_empty(&s->content_loads);
}

uint64_t store_due_ns(const struct store *s)
{
    return log_due_ns(s->log);
}

bool store_read_only(const struct store *s)
{
    return s->failed;
}
