/* queue_local.c -- recipients of the queue that have an account here: what their shard
 * refused when the message came, reports to users of other shards, what is held back,
 * and binary text, which is converted on the way.
 *
 *   binary: text --> scan
 *   recipient --> shard --> text --> delivery --> the next shard, or recipient
 *
 * One recipient after another, each by a delivery of its own for every shard it has
 * accounts in, with an id that is the same for ever: what is repeated after a crash is
 * not stored twice.
 */
#include <stdlib.h>

#include "server/accounts.h"
#include "server/delivery.h"
#include "server/log.h"
#include "server/queue_work.h"
#include "server/route.h"
#include "store/store.h"

enum { ROUTE_ARENA_MAX = 1 << 20, PIECES_A_TURN = 4 };

struct local {
    struct destination *to;
    struct queue_job *job;
    struct outcome *outcome;
    struct arena arena;
    struct envelope envelope;
    struct op op;
    struct body body;
    struct delivery *delivery;
    struct readable *readable; /* of binary text; NULL: it stays as it is */
    unsigned at;               /* recipient: index in the outcome */
    struct slice *users;       /* its accounts, [user_count]; those done are empty */
    unsigned user_count;
    enum status worst; /* of the recipient's deliveries */
    bool begun, scanning, body_open, reading;
};

static void next_rcpt(struct local *l);
static void next_shard(struct local *l);

static struct thread *thread_of(const struct local *l)
{
    return l->to->queue->thread;
}

/* --- the end ------------------------------------------------------------ */

static void close_text(struct local *l)
{
    if (l->body_open)
        body_close(&l->body);
    l->body_open = false;
    delivery_free(l->delivery);
    l->delivery = NULL;
}

static void free_local(struct local *l)
{
    struct destination *d = l->to;

    close_text(l);
    readable_free(l->readable);
    arena_reset(&l->arena);
    d->session_count--;
    d->queue->local_count--;
    free(l);
    destination_kick(d);
}

static void say(const struct local *l, const struct outcome_rcpt *r)
{
    struct slice address = l->envelope.rcpts[r->rcpt].address;
    bool good = r->what == OUTCOME_DELIVERED, later = r->what == OUTCOME_LATER;
    struct event e;

    if (!event_begin(&e, LEVEL_INFO, good ? "sent" : later ? "deferred" : "refused"))
        return;
    event_text(&e, "id", l->envelope.log_id);
    event_text(&e, "from", l->envelope.sender);
    event_text(&e, "to", address);
    event_string(&e, "host", "local");
    if (r->answer)
        event_text(&e, "text", r->answer->text);
    event_end(&e);
}

static void end(struct local *l)
{
    struct outcome *o = l->outcome;

    o->at_s = thread_of(l)->now_s;
    o->said = true;
    for (unsigned i = 0; i < o->count; i++)
        say(l, &o->rcpts[i]);
    free_local(l);
    outcome_settle(o);
}

/* --- outcomes ----------------------------------------------------------- */

static void set_outcome(struct local *l, enum outcome_what what, const uint8_t status[3],
    uint16_t code, const char *text)
{
    struct outcome_rcpt *r = &l->outcome->rcpts[l->at];
    struct queue_answer a = {.code = code, .ours = true, .text = slice_str(text)};

    memcpy(a.status, status, sizeof a.status);
    r->what = (uint8_t)what;
    r->answer = outcome_answer(l->outcome, &a);
}

static void judge(struct local *l)
{
    static const uint8_t good[] = {2, 1, 5}, unknown[] = {5, 1, 1}, full[] = {4, 2, 2},
                         system[] = {4, 3, 0};

    switch (l->worst) {
    case STATUS_OK:
        set_outcome(l, OUTCOME_DELIVERED, good, 250, "delivered");
        break;
    case STATUS_NOT_FOUND:
        set_outcome(l, OUTCOME_FAILED, unknown, 550, "no such mailbox here");
        break;
    case STATUS_LIMIT:
        set_outcome(l, OUTCOME_LATER, full, 452, "mailbox full");
        break;
    case STATUS_NO_SPACE:
    case STATUS_NO_MEMORY:
    case STATUS_EXISTS:
    case STATUS_INVALID:
    case STATUS_BUSY:
    case STATUS_CORRUPT:
    case STATUS_IO:
    case STATUS_READ_ONLY:
    case STATUS_CANCELLED:
        set_outcome(l, OUTCOME_LATER, system, 451, status_text(l->worst));
        break;
    }
}

/* No recipient gets it now. */
static void fail_all(struct local *l, enum status status)
{
    l->worst = status;
    for (; l->at < l->outcome->count; l->at++)
        judge(l);
    end(l);
}

/* What was good stays good: the id of the delivery sees to that. Accounts that are gone
 * count only when all are. */
static void add_status(struct local *l, enum status status)
{
    if (status == STATUS_NOT_FOUND)
        return;
    if (l->worst == STATUS_NOT_FOUND || l->worst == STATUS_OK)
        l->worst = status;
}

/* --- the text ----------------------------------------------------------- */

static void step(struct local *l);

static void on_step(struct op *op, int32_t res, uint32_t flags)
{
    (void)res;
    (void)flags;
    step(container_of(op, struct local, op));
}

static void go_on(struct local *l)
{
    if (l->op.pending)
        return;
    op_start(&l->op, on_step);
    op_post(&thread_of(l)->ready, &l->op, 0);
}

static void on_wake(void *arg)
{
    go_on(arg);
}

static bool open_text(struct local *l)
{
    const struct queue_entry *e = l->job->entry;
    struct store_queued stored;

    if (!store_queue_find(entry_store(e), e->id, &stored))
        return false;
    l->body_open = body_open_place(entry_store(e), &l->body, stored.body, 0,
                       stored.size) == STATUS_OK;
    return l->body_open;
}

static void add_text(struct local *l, struct slice piece)
{
    if (l->scanning)
        readable_scan(l->readable, piece);
    else if (l->readable)
        readable_put(l->readable, piece, l->delivery);
    else
        delivery_add(l->delivery, piece);
}

static void end_text(struct local *l)
{
    if (l->scanning) {
        l->scanning = false;
        if (!readable_scanned(l->readable, &l->envelope)) {
            readable_free(l->readable);
            l->readable = NULL;
        }
        return;
    }
    if (l->readable)
        readable_end(l->readable, l->delivery);
    delivery_commit(l->delivery, NULL, 0);
}

/* One piece of the message, or its end. */
static void take_piece(struct local *l)
{
    if (l->body.piece.len > 0) {
        add_text(l, l->body.piece);
        return;
    }
    body_close(&l->body);
    l->body_open = false;
    end_text(l);
}

static void on_piece(struct store_op *op, enum status status)
{
    struct local *l = container_of(op, struct local, body.op);

    l->reading = false;
    if (status == STATUS_OK) {
        take_piece(l);
    } else {
        close_text(l);
        add_status(l, status);
    }
    go_on(l);
}

/* A piece a turn. What can't be read is not delivered either. */
static void scan(struct local *l)
{
    if (!l->body_open) {
        fail_all(l, STATUS_IO);
        return;
    }
    if (!body_next(&l->body, on_piece)) {
        l->reading = true;
        return;
    }
    take_piece(l);
    go_on(l);
}

static void start(struct local *l)
{
    l->begun = true;
    if (l->readable) {
        l->scanning = true;
        open_text(l);
        go_on(l);
    } else {
        next_rcpt(l);
    }
}

/* Pieces of the text for the delivery, until that has enough, or ends. */
static void deliver(struct local *l)
{
    unsigned pieces = l->readable ? 1 : PIECES_A_TURN; /* conversion takes its time */
    enum status status;

    for (unsigned i = 0; i < pieces; i++) {
        if (delivery_done(l->delivery, &status)) {
            close_text(l);
            add_status(l, status);
            next_shard(l);
            return;
        }
        if (!l->body_open || delivery_busy(l->delivery))
            return; /* on_wake() */
        if (!body_next(&l->body, on_piece)) {
            l->reading = true;
            return;
        }
        take_piece(l);
    }
    go_on(l);
}

static void step(struct local *l)
{
    if (l->reading)
        return;
    if (!l->begun)
        start(l);
    else if (l->scanning)
        scan(l);
    else if (l->delivery)
        deliver(l);
    else if (l->user_count)
        next_shard(l);
    else
        next_rcpt(l);
}

/* --- the shards of a recipient ------------------------------------------ */

/* The id of this delivery, in whatever order and however often it is made. */
static uint64_t id_of(const struct local *l, unsigned shard)
{
    uint64_t parts[3] = {l->job->entry->id, l->outcome->rcpts[l->at].rcpt, shard};
    uint64_t id = slice_hash(slice_of((const char *)parts, sizeof parts), 0);

    return id ? id : 1;
}

/* Begins the delivery to the accounts that share a shard with the first one left. */
static bool begin_shard(struct local *l, unsigned first)
{
    struct thread *t = thread_of(l);
    unsigned shard = shard_of_user(t, l->users[first]), count = 0;
    struct slice *users = arena_take(&l->arena, l->user_count * sizeof *users);
    struct delivery_conf conf = {.users = users,
        .sender = l->envelope.sender,
        .shard = -1,
        .notice = l->envelope.notice,
        .fanout_id = id_of(l, shard)};

    if (!users)
        return false;
    for (unsigned i = first; i < l->user_count; i++)
        if (l->users[i].len > 0 && shard_of_user(t, l->users[i]) == shard) {
            users[count++] = l->users[i];
            l->users[i].len = 0;
        }
    conf.count = count;
    l->delivery = delivery_begin(t, &conf, on_wake, l);
    if (!l->delivery || !open_text(l))
        return false;
    if (l->readable)
        readable_begin(l->readable);
    return true;
}

static void next_shard(struct local *l)
{
    unsigned i = 0;

    while (i < l->user_count && l->users[i].len == 0)
        i++;
    if (i < l->user_count && begin_shard(l, i)) {
        go_on(l);
        return;
    }
    if (i < l->user_count) {
        close_text(l);
        add_status(l, STATUS_NO_MEMORY);
    }
    judge(l);
    l->at++;
    next_rcpt(l);
}

/* --- recipients --------------------------------------------------------- */

static bool set_users(struct local *l, const struct account *const *accounts, unsigned n)
{
    l->users = arena_take(&l->arena, n * sizeof *l->users);
    l->user_count = 0;
    for (unsigned i = 0; l->users && i < n; i++) {
        l->users[i] = arena_copy(&l->arena, accounts[i]->name);
        if (!l->users[i].at)
            return false;
        l->user_count++;
    }
    return l->users != NULL;
}

/* The account of that name; else what the address leads to now. */
static enum status find_users(struct local *l, struct slice address)
{
    struct accounts *a = thread_of(l)->accounts;
    const struct account *account = accounts_find(a, address);
    const struct account *found[ROUTE_ACCOUNTS_MAX];
    struct route route = {.accounts = found, .cap = ROUTE_ACCOUNTS_MAX};
    struct smtp_path path = {.kind = SMTP_PATH_MAILBOX};

    if (account && !account->disabled)
        return set_users(l, &account, 1) ? STATUS_OK : STATUS_NO_MEMORY;
    if (!smtp_mailbox(address, true, &path))
        return STATUS_NOT_FOUND;
    switch (route_resolve(a, &path, &route)) {
    case ROUTE_OK:
        return set_users(l, found, route.count) ? STATUS_OK : STATUS_NO_MEMORY;
    case ROUTE_NO_MEMORY:
        return STATUS_NO_MEMORY;
    case ROUTE_TOO_MANY: /* it is forwarded elsewhere now: not while it waits here */
        return STATUS_INVALID;
    case ROUTE_UNKNOWN:
    case ROUTE_NOT_LOCAL:
    case ROUTE_DISABLED:
    case ROUTE_LOOP:
    case ROUTE_SRS_FORGED:
    case ROUTE_SRS_EXPIRED:
    case ROUTE_SRS_SENDER:
        break;
    }
    return STATUS_NOT_FOUND;
}

/* Those that need no delivery are judged at once. */
static void next_rcpt(struct local *l)
{
    while (l->at < l->outcome->count) {
        unsigned rcpt = l->outcome->rcpts[l->at].rcpt;

        l->user_count = 0;
        l->worst = find_users(l, l->envelope.rcpts[rcpt].address);
        if (l->worst == STATUS_OK && l->user_count > 0) {
            l->worst = STATUS_NOT_FOUND; /* until one of them has it */
            go_on(l);
            return;
        }
        judge(l);
        l->at++;
    }
    end(l);
}

static bool begin(struct local *l)
{
    struct queue_entry *e = l->job->entry;
    struct queue_state state;
    unsigned n = 0;

    l->outcome = outcome_new(e, l->job, l->job->count);
    if (!l->outcome || entry_read(e, &l->arena, &l->envelope, &state) != STATUS_OK)
        return false;
    if (l->envelope.body == SMTP_BODY_BINARYMIME) {
        l->readable = readable_new();
        if (!l->readable)
            return false;
    }
    for (unsigned i = l->job->first; i != QUEUE_CHAIN_END; i = e->chain[i])
        l->outcome->rcpts[n++].rcpt = (uint16_t)i;
    return true;
}

void local_begin(struct destination *d, struct queue_job *job)
{
    struct local *l = calloc(1, sizeof *l);

    if (!l) {
        job_wait(job, d->queue->thread->now_ns + (int64_t)1e9);
        return;
    }
    l->to = d;
    l->job = job;
    l->arena = arena_of(QUEUE_ARENA_MAX);
    d->session_count++;
    d->queue->local_count++;
    if (begin(l)) {
        go_on(l);
        return;
    }
    outcome_free(l->outcome);
    job_wait(job, d->queue->thread->now_ns + (int64_t)1e10);
    free_local(l);
}
