/* queue_report.c -- a report to the sender (RFC 3464), written and committed together
 * with the state that says so: whatever crashes when, there is one, and only one.
 *
 * A sender whose accounts are all in the shard of the entry gets it at once. Else it is a
 * message of the queue itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/smtp/dsn.h"
#include "server/accounts.h"
#include "server/delivery.h"
#include "server/queue_work.h"
#include "server/route.h"
#include "server/shard.h"
#include "store/store.h"

enum {
    REPORT_ARENA_MAX = 2 << 20,
    STEPS_A_TURN = 8,
    FEED_MAX = 2048 /* octets of the message taken at once: four times as many come out */
};

enum report_stage { REPORT_HEAD, REPORT_BODY, REPORT_END, REPORT_COMMIT };

struct report {
    struct report_conf conf;
    struct op op; /* the next step, later this turn or in the next */
    struct arena arena;
    struct dsn dsn;
    struct dsn_writer writer;
    struct dsn_returned returned;
    struct body body;
    struct slice piece; /* of the body, not fed yet */
    struct delivery *delivery;
    struct envelope envelope; /* of the report */
    char unique[DSN_UNIQUE_MAX], from[SMTP_PATH_MAX + 1], log_id[48];
    uint32_t header_bytes; /* so far */
    uint8_t matched;       /* octets of the empty line that ends the header */
    uint8_t stage;
    bool body_open, reading, in_body, abandoned;
};

static const struct slice return_path = SI("Return-Path: <>\r\n");

static void step(struct report *r);

/* --- who reads it ------------------------------------------------------- */

struct readers {
    const struct account *accounts[ROUTE_ACCOUNTS_MAX];
    struct route_remote remotes[ROUTE_REMOTES_MAX];
    struct route route;
};

/* NULL: nobody, or no memory. In the arena. */
static struct readers *find_readers(
    const struct queue *q, struct slice sender, struct arena *arena)
{
    struct readers *f = arena_zero(arena, sizeof *f);
    struct smtp_path path = {.kind = SMTP_PATH_MAILBOX};

    if (!f || !smtp_mailbox(sender, true, &path))
        return NULL;
    f->route = (struct route){.accounts = f->accounts,
        .cap = ROUTE_ACCOUNTS_MAX,
        .remotes = f->remotes,
        .remote_cap = ROUTE_REMOTES_MAX,
        .arena = arena,
        .relay = true};
    return route_resolve(q->thread->accounts, &path, &f->route) == ROUTE_OK ? f : NULL;
}

bool report_has_reader(const struct queue *q, const struct envelope *envelope)
{
    struct arena arena = arena_of(REPORT_ARENA_MAX);
    bool has = !envelope->notice && envelope->sender.len > 0 &&
        find_readers(q, envelope->sender, &arena);

    arena_reset(&arena);
    return has;
}

/* All of them are accounts of the entry's shard. */
static bool all_here(const struct report *r, const struct readers *f)
{
    struct thread *t = r->conf.queue->thread;

    for (unsigned i = 0; i < f->route.count; i++)
        if (shard_of_user(t, f->accounts[i]->name) != r->conf.shard)
            return false;
    return f->route.remote_count == 0;
}

/* --- where it goes ------------------------------------------------------ */

static void on_delivery(void *arg);

static struct delivery *begin_here(struct report *r, const struct readers *f)
{
    struct slice names[ROUTE_ACCOUNTS_MAX];
    struct delivery_conf conf = {.users = names,
        .count = f->route.count,
        .shard = (int)r->conf.shard,
        .notice = true,
        .settles = r->conf.settles};

    for (unsigned i = 0; i < f->route.count; i++)
        names[i] = f->accounts[i]->name;
    return delivery_begin(r->conf.queue->thread, &conf, on_delivery, r);
}

/* As an entry of the queue: to the accounts by their names, to the others as they are. */
static struct delivery *begin_queued(struct report *r, const struct readers *f)
{
    unsigned count = f->route.count + f->route.remote_count, n = 0;
    struct envelope_rcpt *rcpts = arena_zero(&r->arena, (count + 1) * sizeof *rcpts);
    struct delivery_conf conf = {.queued = true,
        .shard = (int)r->conf.shard,
        .notice = true,
        .settles = r->conf.settles};

    if (!rcpts)
        return NULL;
    for (unsigned i = 0; i < f->route.count && n < ENVELOPE_RCPTS_MAX; i++)
        rcpts[n++] =
            (struct envelope_rcpt){.address = arena_copy(&r->arena, f->accounts[i]->name),
                .notify = SMTP_NOTIFY_NEVER};
    for (unsigned i = 0; i < f->route.remote_count && n < ENVELOPE_RCPTS_MAX; i++)
        rcpts[n++] = (struct envelope_rcpt){.address = f->remotes[i].address,
            .notify = SMTP_NOTIFY_NEVER,
            .forwarded = f->remotes[i].forwarded};
    r->envelope.rcpts = rcpts;
    r->envelope.rcpt_count = n;
    return delivery_begin(r->conf.queue->thread, &conf, on_delivery, r);
}

static void choose_delivery(struct report *r)
{
    struct readers *f = find_readers(r->conf.queue, r->conf.envelope->sender, &r->arena);

    if (!f)
        return;
    r->delivery =
        all_here(r, f) && !r->conf.queue_it ? begin_here(r, f) : begin_queued(r, f);
}

/* --- what it says ------------------------------------------------------- */

static void fill_names(struct report *r)
{
    const struct queue *q = r->conf.queue;
    struct slice domain;

    if (!accounts_domain_at(q->thread->accounts, 0, &domain))
        domain = slice_str(q->thread->config->hostname);
    snprintf(r->unique, sizeof r->unique, "%llx.%016llx",
        (unsigned long long)q->thread->now_s, (unsigned long long)random_u64());
    snprintf(r->log_id, sizeof r->log_id, "%llx-%llx-r",
        (unsigned long long)q->thread->now_s, (unsigned long long)r->conf.entry_id);
    snprintf(r->from, sizeof r->from, "postmaster@%.*s", (int)domain.len, domain.at);
}

static void fill_dsn(struct report *r)
{
    const struct queue *q = r->conf.queue;
    const struct envelope *v = r->conf.envelope;

    r->dsn = (struct dsn){.host = slice_str(q->thread->config->hostname),
        .from = slice_str(r->from),
        .to = v->sender,
        .envid = v->envid,
        .hold = v->hold,
        .by_s = v->by_s,
        .unique = slice_str(r->unique),
        .log_id = v->log_id,
        .arrived_s = v->arrived_s,
        .now_s = q->thread->now_s,
        .returned_8bit = v->text_8bit,
        .returned_8bit_header = v->utf8_header,
        .returned_utf8 = v->utf8,
        .rcpts = r->conf.rcpts,
        .rcpt_count = r->conf.rcpt_count};
    /* RFC 8689, 5: as if RET=HDRS had been given. */
    r->dsn.returned = dsn_what_to_return(r->dsn.rcpts, r->dsn.rcpt_count,
        v->require_tls ? SMTP_RET_HDRS : v->ret, r->body.end - r->body.at,
        q->thread->config->max_returned, v->body == SMTP_BODY_BINARYMIME);
}

/* What is known before the text is written; the rest in put_envelope(). */
static void fill_envelope(struct report *r)
{
    const struct envelope *v = r->conf.envelope;

    r->envelope.log_id = slice_str(r->log_id);
    r->envelope.utf8 = dsn_is_utf8(&r->dsn);
    r->envelope.utf8_header = r->envelope.utf8;
    r->envelope.text_8bit = dsn_is_8bit(&r->dsn);
    r->envelope.body = r->envelope.text_8bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    r->envelope.require_tls = v->require_tls;
    r->envelope.priority = v->priority;
    r->envelope.notice = true;
    r->envelope.arrived_s = r->conf.queue->thread->now_s;
    r->envelope.text_at = (uint32_t)return_path.len;
}

/* --- writing ------------------------------------------------------------ */

/* Counts the octets of the header as they pass: up to its empty line. */
static void count_header(struct report *r, struct slice bytes)
{
    static const char end[4] = {'\r', '\n', '\r', '\n'};

    for (size_t i = 0; i < bytes.len && r->matched < sizeof end; i++) {
        r->header_bytes++;
        if (bytes.at[i] == end[r->matched])
            r->matched++;
        else
            r->matched = bytes.at[i] == '\r';
    }
}

static void put(struct report *r, const struct out *out)
{
    CHECK(!out->full);
    if (r->matched < 4)
        count_header(r, out_slice(out));
    delivery_add(r->delivery, out_slice(out));
}

static void write_head(struct report *r)
{
    char room[DSN_STEP_MAX];
    struct out out = out_of(room, sizeof room);

    if (!dsn_put_step(&r->writer, &out)) {
        dsn_returned_begin(&r->returned, &r->dsn);
        r->stage = REPORT_BODY;
    }
    put(r, &out);
}

static void on_piece(struct store_op *op, enum status status);

/* The next octets of the message; true: some, or the end. False: they come. */
static bool read_piece(struct report *r)
{
    if (r->piece.len > 0)
        return true;
    if (!body_next(&r->body, on_piece)) {
        r->reading = true;
        return false;
    }
    r->piece = r->body.piece;
    if (r->piece.len == 0)
        r->stage = REPORT_END;
    return true;
}

static void write_body(struct report *r)
{
    char room[4 * FEED_MAX + 128];
    struct out out = out_of(room, sizeof room);

    if (r->returned.over) {
        r->stage = REPORT_END;
        return;
    }
    if (!read_piece(r) || r->stage == REPORT_END)
        return;
    dsn_returned_feed(&r->returned,
        slice_take(&r->piece, r->piece.len < FEED_MAX ? r->piece.len : FEED_MAX), &out);
    put(r, &out);
}

static void write_end(struct report *r)
{
    char room[256];
    struct out out = out_of(room, sizeof room);

    dsn_returned_end(&r->returned, &out);
    put(r, &out);
    r->envelope.header_bytes = r->header_bytes;
    r->stage = REPORT_COMMIT;
    if (r->envelope.rcpt_count > 0)
        delivery_commit(r->delivery, &r->envelope, 1);
    else
        delivery_commit(r->delivery, NULL, 0);
}

/* --- its life ----------------------------------------------------------- */

static void free_all(struct report *r)
{
    if (r->body_open)
        body_close(&r->body);
    delivery_free(r->delivery);
    arena_reset(&r->arena);
    free(r);
}

static void end(struct report *r, enum status status)
{
    struct report_conf conf = r->conf;

    if (r->reading || r->op.pending) {
        r->abandoned = true;
        r->conf.done = NULL;
    } else {
        free_all(r);
    }
    if (conf.done)
        conf.done(conf.arg, status);
}

static void on_step(struct op *op, int32_t res, uint32_t flags)
{
    struct report *r = container_of(op, struct report, op);

    (void)res;
    (void)flags;
    if (!r->abandoned)
        step(r);
    else if (!r->reading)
        free_all(r);
}

static void go_on(struct report *r)
{
    if (r->op.pending)
        return;
    op_start(&r->op, on_step);
    op_post(&r->conf.queue->thread->ready, &r->op, 0);
}

static void on_piece(struct store_op *op, enum status status)
{
    struct report *r = container_of(op, struct report, body.op);

    r->reading = false;
    if (r->abandoned) {
        if (!r->op.pending)
            free_all(r);
        return;
    }
    /* A message that can't be read is reported all the same: without it. */
    r->piece = status == STATUS_OK ? r->body.piece : S("");
    if (r->piece.len == 0)
        r->stage = REPORT_END;
    go_on(r);
}

static void on_delivery(void *arg)
{
    go_on(arg);
}

static void step(struct report *r)
{
    enum status status;

    for (unsigned i = 0; i < STEPS_A_TURN && !r->reading; i++) {
        if (delivery_done(r->delivery, &status)) {
            end(r, status);
            return;
        }
        if (r->stage == REPORT_COMMIT || delivery_busy(r->delivery))
            return; /* on_delivery() */
        if (r->stage == REPORT_HEAD)
            write_head(r);
        else if (r->stage == REPORT_BODY)
            write_body(r);
        else
            write_end(r);
    }
    if (!r->reading)
        go_on(r);
}

static bool open_body(struct report *r)
{
    struct store *store = shard_store(r->conf.queue->thread, r->conf.shard);
    struct store_queued stored;
    uint64_t from = r->conf.envelope->text_at;

    if (!store_queue_find(store, r->conf.entry_id, &stored) || from > stored.size)
        return false;
    r->body_open = body_open_place(store, &r->body, stored.body, from,
                       stored.size - from) == STATUS_OK;
    return r->body_open;
}

struct report *report_begin(const struct report_conf *conf)
{
    struct report *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->conf = *conf;
    r->arena = arena_of(REPORT_ARENA_MAX);
    if (open_body(r)) {
        fill_names(r);
        fill_dsn(r);
        fill_envelope(r);
        choose_delivery(r);
    }
    if (!r->delivery) {
        free_all(r);
        return NULL;
    }
    delivery_add(r->delivery, return_path);
    dsn_begin(&r->writer, &r->dsn);
    go_on(r);
    return r;
}
