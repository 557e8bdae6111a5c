/* Batches onto the disk: when to write, in which order to believe.
 *
 *      OPEN --close--> CLOSED --send--> FLYING --> LANDED --all before it landed-->
 * durable
 *                                         |
 *                                         +--> BAD: it and every later batch have failed
 *
 * Up to four fly at once and land in any order. Durable is what has landed and has
 * nothing unlanded before it; only then are its waiters released. A failed or short
 * write is never repeated: the log takes nothing more.
 */
#include "store/log_parts.h"

#include <string.h>

#include "store/log_walk.h"

/* --- waiters --- */

static void release(struct list *waiters, enum status status)
{
    struct list *link;

    while ((link = list_pop(waiters)))
        container_of(link, struct log_waiter, link)
            ->done(container_of(link, struct log_waiter, link), status);
}

/* Moves the waiters up to batch `number` from the front to `to`, so that what their
 * done() adds anew waits for its turn. */
static void take_waiters(struct log *log, uint64_t number, struct list *to)
{
    while (!list_empty(&log->waiters)) {
        struct list *link = log->waiters.next;

        if (container_of(link, struct log_waiter, link)->seq > number)
            return;
        list_remove(link);
        list_add(to, link);
    }
}

static void release_durable(struct log *log)
{
    struct list ready;

    list_init(&ready);
    take_waiters(log, log->durable_number, &ready);
    release(&ready, STATUS_OK);
}

void log_wait(struct log *log, struct log_waiter *w)
{
    w->seq = log->last_number;
    list_add(log->failed ? &log->late_waiters : &log->waiters, &w->link);
}

/* --- landing --- */

static void count_batch(struct log *log, const struct batch *b, uint64_t took)
{
    struct log_counts *c = &log->counts;

    c->batches++;
    c->bytes_written += block_span(b->used);
    histogram_add(&c->commit, took);
    histogram_add(&c->commit_wait, b->sent_ns - b->opened_ns);
    histogram_add(&c->batch_records, b->records);
    histogram_add(&c->batch_bytes, b->used);
}

/* One that takes long says little of the next; several that do say it soon enough. */
static void learn_latency(struct log *log, uint64_t took)
{
    uint64_t most = 2 * log->latency_ns;

    log->latency_ns += (took < most ? took : most) / 8 - log->latency_ns / 8;
}

static void on_durable(struct log *log, struct batch *b)
{
    uint64_t took = log_now(log) - b->sent_ns;

    count_batch(log, b, took);
    learn_latency(log, took);
    log->durable_number = b->number;
    log->durable_seq = b->last_seq;
    log->durable_place = b->next_place;
    log->batch_place = b->seal ? 0 : place_of(b->segment->number, b->offset);
    log->added_bytes += block_span(b->used);
    log->waiting_bytes -= b->used - BATCH_HEAD_BYTES;
    b->segment->flying--;
    if (b->segment->sealed && b->segment->flying == 0)
        segment_settled(log, b->segment);
    slab_landed(log, b);
}

/* Nothing after the last durable batch counts, and nothing ever will. */
static void fail(struct log *log)
{
    struct list lost;

    if (log->failed)
        return;
    log->failed = true;
    log->woken = true;
    list_init(&lost);
    take_waiters(log, log->durable_number, &lost);
    release(&lost, STATUS_OK);
    take_waiters(log, UINT64_MAX, &lost);
    release(&lost, STATUS_IO);
}

/* Believes what has landed, in the order of the log. */
static void advance(struct log *log)
{
    bool any = false;

    while (log->head < log->send && !log->failed) {
        struct batch *b = &log->batches[log->head % BATCHES_MAX];

        if (b->state == BATCH_BAD) {
            fail(log);
            return;
        }
        if (b->state != BATCH_LANDED)
            break;
        on_durable(log, b);
        log->head++;
        any = true;
    }
    if (any) {
        log->woken = true;
        release_durable(log);
    }
}

static void on_landed(struct op *op, int32_t res, uint32_t flags)
{
    struct batch *b = container_of(op, struct batch, io.op);

    (void)flags;
    CHECK(b->state == BATCH_FLYING);
    b->state = res == (int32_t)block_span(b->used) ? BATCH_LANDED : BATCH_BAD;
    b->log->in_flight--;
    gather_landed(b->log, b);
    advance(b->log);
}

/* --- sending --- */

/* The header is written last: it says what was durable when the batch left. */
static void finish_header(struct log *log, struct batch *b)
{
    struct batch_header head = {
        .number = b->number,
        .durable_number = log->durable_number,
        .durable_seq = log->durable_seq,
        .last_seq = b->last_seq,
        .cut = log->cut,
        .epoch = log->epoch,
        .bytes = (uint32_t)block_span(b->used),
        .used = b->used,
        .records = b->records,
    };
    struct record_header h = {
        .seq = b->number,
        .length = sizeof head,
        .offset = b->offset,
        .identity = b->segment->identity,
        .kind = RECORD_BATCH,
        .flags = log->last ? BATCH_LAST : 0,
    };

    memcpy(b->at, &h, sizeof h);
    memcpy(b->at + sizeof h, &head, sizeof head);
    record_finish(b->at);
}

static void send_next(struct log *log)
{
    struct batch *b = &log->batches[log->send++ % BATCHES_MAX];

    CHECK(b->state == BATCH_CLOSED);
    finish_header(log, b);
    b->state = BATCH_FLYING;
    b->sent_ns = log_now(log);
    log->in_flight++;
    gather_sent(log, b);
    disk_commit(log->disk, &b->io, on_landed, b->segment->writer, b->at,
        (uint32_t)block_span(b->used), b->offset);
}

/* How old the open batch may become while others fly. */
static uint64_t patience_ns(const struct log *log)
{
    return log->latency_ns / 2;
}

/* The open batch goes when it is big enough; when nothing flies and nobody is worth
 * waiting for; or, beside others, when its first record has waited half as long as a
 * commit takes. */
static bool pressed(struct log *log)
{
    const struct batch *b = log->open;

    if (b->used >= log->conf.batch_bytes)
        return true;
    if (log->in_flight == 0)
        return !gather_waits(log);
    return log_now(log) - b->opened_ns >= patience_ns(log);
}

static void send_all(struct log *log, bool flush)
{
    while (log->in_flight < log->conf.in_flight && !log->failed) {
        if (log->send == log->tail)
            return;
        if (&log->batches[log->send % BATCHES_MAX] == log->open) {
            if (!flush && !pressed(log))
                return;
            batch_close(log);
        }
        send_next(log);
    }
}

void commit_flush(struct log *log)
{
    send_all(log, true);
}

/* --- the turn --- */

void log_turn_begins(struct log *log)
{
    log->woken = false;
}

void log_turn(struct log *log)
{
    struct list late;

    list_init(&late);
    while (!list_empty(&log->late_waiters)) {
        struct list *link = list_pop(&log->late_waiters);

        list_add(&late, link);
    }
    release(&late, STATUS_READ_ONLY);
    if (!log->failed)
        release_durable(log);
    reads_turn(log);
    send_all(log, false);
    prepare_turn(log);
    janitor_turn(log);
    checkpoint_turn(log);
    if (log->woken && log->conf.wake) {
        log->woken = false;
        log->conf.wake(log->conf.wake_arg);
    }
}

uint64_t log_due_ns(struct log *log)
{
    uint64_t gather = gather_due_ns(log), prepare = prepare_due_ns(log);

    if (log->failed)
        return UINT64_MAX;
    return gather < prepare ? gather : prepare;
}

enum status log_health(const struct log *log)
{
    if (log->failed)
        return STATUS_READ_ONLY;
    return log->prepare.error;
}

uint64_t log_durable_seq(const struct log *log)
{
    return log->durable_seq;
}

const struct log_counts *log_counts(const struct log *log)
{
    return &log->counts;
}

bool log_idle(const struct log *log)
{
    bool batches = log->failed ? log->in_flight != 0 : log->head != log->tail;

    return !batches && list_empty(&log->waiters) && list_empty(&log->late_waiters) &&
        log->reads == 0 && log->prepare.state == PREPARE_IDLE &&
        log->janitor.state == JANITOR_IDLE && !log->checkpoint && !log->links.segment;
}
