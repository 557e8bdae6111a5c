/* The maildrop of a POP3 session (RFC 1939, 4 to 6). */
#include <stdlib.h>

#include "server/log.h"
#include "server/session_pop3_work.h"

/* --- one session a maildrop --------------------------------------------------------
 *
 * The locks of the users of a thread's shards are kept by that thread, in a table that is
 * there while there are any. They shut out POP3 only. */

enum { LOCK_ROWS = 256 };

struct pop3_locks {
    unsigned count;
    struct pop3_drop *rows[LOCK_ROWS];
};

static struct pop3_drop **lock_row(struct pop3_locks *locks, const char *name)
{
    return &locks->rows[slice_hash(slice_str(name), 0) % LOCK_ROWS];
}

static bool lock_held(struct thread *t, const char *name)
{
    if (!t->sessions)
        return false;
    for (struct pop3_drop *d = *lock_row(t->sessions, name); d; d = d->next)
        if (strcmp(d->session->name, name) == 0)
            return true;
    return false;
}

/* False: no memory. */
static bool lock_take(struct thread *t, struct pop3_drop *d)
{
    struct pop3_locks *locks = t->sessions;
    struct pop3_drop **row;

    if (!locks)
        locks = t->sessions = calloc(1, sizeof *locks);
    if (!locks)
        return false;
    row = lock_row(locks, d->session->name);
    d->next = *row;
    *row = d;
    locks->count++;
    return true;
}

static void lock_give(struct thread *t, struct pop3_drop *d)
{
    struct pop3_locks *locks = t->sessions;
    struct pop3_drop **at = lock_row(locks, d->session->name);

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    if (--locks->count > 0)
        return;
    free(locks);
    t->sessions = NULL;
}

enum pop3_reply pop3_drop_lock(struct session_pop3 *s)
{
    struct thread *t = s->conn.thread;
    struct pop3_drop *d;

    if (lock_held(t, s->name))
        return POP3_REPLY_IN_USE;
    d = calloc(1, sizeof *d);
    if (!d)
        return POP3_REPLY_UNAVAILABLE;
    d->session = s;
    d->store = shard_store(t, shard_of_user(t, slice_str(s->name)));
    if (!lock_take(t, d)) {
        free(d);
        return POP3_REPLY_UNAVAILABLE;
    }
    s->drop = d;
    return POP3_REPLY_NONE;
}

/* --- opening ----------------------------------------------------------------------- */

static void landed(struct pop3_drop *d, enum status status)
{
    d->owed = false;
    d->status = status;
    pop3_landed(d->session);
}

static void on_user(struct store_op *op, enum status status)
{
    struct pop3_drop *d = container_of(op, struct pop3_drop, request.user_open.op);

    if (status == STATUS_OK)
        d->user = d->request.user_open.user;
    landed(d, status);
}

static enum pop3_turn open_user(struct pop3_drop *d)
{
    if (d->user) {
        d->at = DROP_MAILBOX;
        return POP3_AGAIN;
    }
    d->owed = true;
    d->request.user_open = (struct user_open){
        .op.done = on_user, .name = slice_str(d->session->name), .create = true};
    user_open(d->store, &d->request.user_open);
    return POP3_WAIT;
}

/* Other clients' news are not for POP3. */
static void ignore(struct view *view)
{
    (void)view;
}

static size_t memory_of(const struct pop3_drop *d)
{
    return d->cap * sizeof *d->messages;
}

/* From here on nothing that the view shows can leave the disk. */
static void begin_copy(struct pop3_drop *d)
{
    struct mailbox_status status;

    d->pin = store_pin(d->store);
    if (!d->pin) {
        d->status = STATUS_NO_MEMORY;
        return;
    }
    mailbox_status(d->mailbox, &status);
    d->validity = status.uid_validity;
    view_open(&d->view, d->mailbox, true, ignore);
    d->messages = malloc((d->view.count + 1) * sizeof *d->messages);
    if (!d->messages) {
        d->status = STATUS_NO_MEMORY;
        return;
    }
    d->cap = d->view.count;
    d->session->conn.thread->stats.buffered += memory_of(d);
    d->at = DROP_COPY;
}

static void on_mailbox(struct store_op *op, enum status status)
{
    struct pop3_drop *d = container_of(op, struct pop3_drop, request.mailbox_open.op);

    if (status == STATUS_OK)
        d->mailbox = d->request.mailbox_open.mailbox;
    landed(d, status);
}

static enum pop3_turn open_mailbox(struct pop3_drop *d)
{
    if (d->mailbox) {
        begin_copy(d);
        return POP3_AGAIN;
    }
    d->owed = true;
    d->request.mailbox_open =
        (struct mailbox_open){.op.done = on_mailbox, .name = S("INBOX")};
    mailbox_open(d->user, &d->request.mailbox_open);
    return POP3_WAIT;
}

/* A message that is expunged while the others are copied is not there any more. */
static enum pop3_turn copy(struct session_pop3 *s, struct pop3_drop *d)
{
    struct entry e;

    while (d->copied < d->cap) {
        if (d->copied % POP3_COPY_RATE == 0 && pop3_pace(s, 1) == POP3_YIELD)
            return POP3_YIELD;
        if (!view_entry(&d->view, ++d->copied, &e))
            continue;
        CHECK(e.size <= UINT32_MAX);
        d->messages[d->count++] = (struct pop3_message){
            .body = e.body,
            .summary = e.summary,
            .summary_index = e.summary_index,
            .uid = e.uid,
            .size = (uint32_t)e.size,
            .sized = e.ends_with_crlf,
        };
    }
    view_close(&d->view);
    d->view.mailbox = NULL;
    d->kept = d->count;
    d->at = DROP_READY;
    return POP3_AGAIN;
}

enum pop3_turn pop3_drop_step(struct session_pop3 *s, struct pop3_drop *d)
{
    if (d->status != STATUS_OK)
        return POP3_AGAIN;
    switch (d->at) {
    case DROP_USER:
        return open_user(d);
    case DROP_MAILBOX:
        return open_mailbox(d);
    case DROP_COPY:
        return copy(s, d);
    case DROP_READY:
        break;
    }
    return POP3_AGAIN;
}

void pop3_drop_close(struct session_pop3 *s)
{
    struct thread *t = s->conn.thread;
    struct pop3_drop *d = s->drop;

    if (!d)
        return;
    CHECK(!d->owed);
    pop3_read_end(d);
    if (d->held)
        summary_release(&d->request.summary);
    if (d->view.mailbox)
        view_close(&d->view);
    if (d->pin)
        store_unpin(d->store, d->pin);
    if (d->mailbox)
        mailbox_close(d->mailbox);
    if (d->user)
        user_close(d->user);
    t->stats.buffered -= memory_of(d);
    free(d->messages);
    free(d->ranges);
    lock_give(t, d);
    free(d);
    s->drop = NULL;
}

/* --- deleting -------------------------------------------------------------------- */

struct entry pop3_entry(const struct pop3_message *m)
{
    return (struct entry){
        .uid = m->uid,
        .size = m->size,
        .body = m->body,
        .summary = m->summary,
        .summary_index = m->summary_index,
    };
}

void pop3_dele(struct session_pop3 *s, uint32_t number)
{
    struct pop3_drop *d = s->drop;
    struct pop3_message *m;

    if (number > d->count || d->messages[number - 1].deleted) {
        pop3_say(s, number > d->count ? POP3_REPLY_NO_MESSAGE : POP3_REPLY_GONE);
        return;
    }
    m = &d->messages[number - 1];
    m->deleted = true;
    d->kept--;
    d->deleted++;
    d->octets -= d->sized == d->count ? pop3_octets(m) : 0;
    pop3_say(s, POP3_REPLY_DELETED);
}

void pop3_rset(struct session_pop3 *s)
{
    s->drop->cursor = 0;
    s->mode = POP3_MODE_RESET;
}

/* The next message of a walk over all of them; NULL: the slice is used up. */
static struct pop3_message *walk(struct session_pop3 *s, struct pop3_drop *d)
{
    if (d->cursor % POP3_SCAN_RATE == 0 && pop3_pace(s, 1) == POP3_YIELD)
        return NULL;
    return &d->messages[d->cursor++];
}

enum pop3_turn pop3_reset_step(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;

    while (d->deleted) {
        struct pop3_message *m = walk(s, d);

        if (!m)
            return POP3_YIELD;
        if (!m->deleted)
            continue;
        m->deleted = false;
        d->kept++;
        d->deleted--;
        d->octets += d->sized == d->count ? pop3_octets(m) : 0;
    }
    pop3_rest(s);
    pop3_say(s, POP3_REPLY_OK);
    return POP3_AGAIN;
}

/* --- UPDATE ------------------------------------------------------------------------ */

static void on_expunged(struct store_op *op, enum status status)
{
    landed(container_of(op, struct pop3_drop, request.expunge.op), status);
}

void pop3_update(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;

    if (d->deleted == 0) {
        pop3_part(s, POP3_REPLY_BYE);
        return;
    }
    d->ranges = malloc(d->deleted * sizeof *d->ranges);
    if (!d->ranges) {
        pop3_part(s, POP3_REPLY_NOT_STORED);
        return;
    }
    d->cursor = 0;
    s->mode = POP3_MODE_COLLECT;
}

/* Deleted neighbours make one range: no message of the mailbox lies between them. */
static void collect(struct pop3_drop *d, const struct pop3_message *m)
{
    if (m > d->messages && m[-1].deleted)
        d->ranges[d->range_count - 1].last = m->uid;
    else
        d->ranges[d->range_count++] = (struct uid_range){m->uid, m->uid};
}

enum pop3_turn pop3_collect_step(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;
    struct expunge_op *e = &d->request.expunge;

    while (d->cursor < d->count) {
        const struct pop3_message *m = walk(s, d);

        if (!m)
            return POP3_YIELD;
        if (m->deleted)
            collect(d, m);
    }
    *e = (struct expunge_op){.op.done = on_expunged,
        .uids = d->ranges,
        .uid_count = d->range_count,
        .always = true};
    d->owed = true;
    s->mode = POP3_MODE_UPDATE;
    mailbox_expunge(d->mailbox, e);
    return POP3_AGAIN;
}

/* A message that somebody else has removed meanwhile counts as deleted. */
enum pop3_turn pop3_update_step(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;
    struct event e;

    if (d->status == STATUS_OK) {
        s->deleted = d->deleted;
        stats_end(&s->conn.thread->stats, TIMES_pop3_quit, s->since_ns);
        pop3_part(s, POP3_REPLY_BYE);
        return POP3_WAIT;
    }
    if (event_begin(&e, LEVEL_ERROR, "pop3-not-deleted")) {
        event_string(&e, "user", s->name);
        event_number(&e, "session", s->conn.id);
        event_string(&e, "status", status_text(d->status));
        event_end(&e);
    }
    pop3_part(s, POP3_REPLY_NOT_STORED);
    return POP3_WAIT;
}
