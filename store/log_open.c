/* Start and stop. */
#include <stdio.h>
#include <stdlib.h>

#include "store/log_parts.h"
#include "store/log_survey.h"

enum { SEGMENTS_LEFT_MIN = 1 << 20 }; /* numbers that must be left at a start */

static void on_done(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    op->res = res;
}

/* --- memory --- */

static void lists_init(struct log *log)
{
    struct list *lists[] = {&log->retired, &log->doomed, &log->closers, &log->pins,
        &log->waiters, &log->late_waiters, &log->recent, &log->spare};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
}

static void conf_check(const struct log_conf *conf)
{
    CHECK(conf->segment_bytes >= SEGMENT_BYTES_MIN);
    CHECK(conf->segment_bytes % FORMAT_BLOCK == 0);
    CHECK(conf->batch_bytes > 0 && conf->batch_bytes <= RECORD_PAYLOAD_MAX);
    CHECK(conf->in_flight >= 1 && conf->in_flight <= IN_FLIGHT_MAX);
}

uint64_t log_memory_max(const struct log_conf *conf)
{
    uint64_t read = conf->read_bytes ? conf->read_bytes : READ_BYTES_DEFAULT;
    uint64_t files = conf->files_max ? conf->files_max : FILES_MAX_DEFAULT;

    return sizeof(struct log) + slabs_bytes_max(conf) + read +
        2 * (uint64_t)CHECKPOINT_BUFFER_BYTES + files * sizeof(struct log_file);
}

static enum status log_new(
    struct log **out, struct disk *disk, const struct log_conf *conf)
{
    struct log *log = log_alloc(sizeof *log);

    conf_check(conf);
    *out = log;
    if (!log)
        return STATUS_NO_MEMORY;
    log->disk = disk;
    log->conf = *conf;
    if (!log->conf.files_max)
        log->conf.files_max = FILES_MAX_DEFAULT;
    log->latency_ns = LATENCY_FIRST_NS;
    log->next_number = 1;
    log->next_checkpoint = 1;
    lists_init(log);
    reads_open(log);
    log->prepare.block = log_alloc_blocks(FORMAT_BLOCK);
    if (!log->prepare.block)
        return STATUS_NO_MEMORY;
    TRY(files_open(log));
    return slabs_open(log);
}

static void log_free(struct log *log)
{
    files_close(log);
    reads_close(log);
    slabs_close(log);
    for (unsigned i = 0; i < log->segment_count; i++)
        free(log->segments[i]);
    for (unsigned i = 0; i < log->prepared_count; i++)
        free(log->prepared[i]);
    free(log->segments);
    free(log->numbers);
    free(log->prepare.block);
    free(log);
}

/* --- from what was found to what is --- */

static bool belongs(const struct found *s)
{
    return s->state == FOUND_LIVE || s->state == FOUND_LOST || s->state == FOUND_ADOPTED;
}

/* The table is there before the replay, which counts live bytes in it. */
static enum status fill_table(struct log *log, const struct recovery *r)
{
    TRY(segment_table_room(log, r->segment_count + PREPARED_MAX + 1));
    for (unsigned i = 0; i < r->segment_count; i++) {
        const struct found *f = &r->segments[i];
        const struct checkpoint_segment *c =
            r->imaged ? image_segment(&r->image, f->number) : NULL;
        struct log_segment *s;

        if (!belongs(f))
            continue;
        s = segment_new(f->shard, f->number, f->epoch, f->identity, f->bytes);
        if (!s)
            return STATUS_NO_MEMORY;
        s->sealed = true;
        s->adopted = f->state == FOUND_ADOPTED;
        s->end = c ? c->used_bytes : f->limit;
        s->live_bytes = c ? c->live_bytes : 0;
        segment_table_add(log, s);
        if (s->adopted)
            links_find(log, s);
    }
    return STATUS_OK;
}

/* Takes over where the replay found the ends; drops what turned out not to count. */
static void settle_table(struct log *log, const struct recovery *r)
{
    uint32_t position = r->imaged ? PLACE_SEGMENT(r->image.header.position) : 0;

    for (unsigned i = 0; i < r->segment_count; i++) {
        const struct found *f = &r->segments[i];
        struct log_segment *s = segment_find(log, f->number);

        if (!s)
            continue;
        if (!belongs(f)) {
            segment_table_drop(log, s);
            free(s);
            continue;
        }
        if (f->state == FOUND_LIVE && f->number >= position && f->end)
            s->end = f->end;
        if (f->cut_here)
            s->end = f->limit;
        s->cut = f->cut_here || f->number == PLACE_SEGMENT(r->end);
        if (r->imaged && f->number < position && !image_segment(&r->image, f->number))
            log_retire(log, f->number); /* it had been, when the checkpoint began */
    }
}

static void take_over(struct log *log, struct recovery *r)
{
    log->own_from = r->lister ? r->adoption.below : log->conf.numbers_from;
    log->adopting = !r->lister && log->own_from;
    log->next_number = r->highest_segment + 1;
    if (log->next_number < log->own_from)
        log->next_number = log->own_from;
    log->epoch_before = r->epoch;
    log->epoch = r->epoch + 1;
    log->cut = r->end;
    log->last_number = log->durable_number =
        r->highest_number > r->last_number ? r->highest_number : r->last_number;
    log->last_seq = log->durable_seq = r->last_seq;
    log->durable_place = r->end;
    settle_table(log, r);
    if (r->checkpoint_count)
        log->next_checkpoint = r->checkpoints[r->checkpoint_count - 1].number + 1;
    if (!r->imaged)
        return;
    log->checkpoints_begun = 1;
    log->kept[0] = (struct kept){r->image.header.number, 1, r->image.bytes};
    log->kept[1] = (struct kept){r->older, 0, r->older_bytes};
}

/* --- the new epoch --- */

static void remove_now(struct log *log, const char *format, uint32_t number)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, format, number);
    disk_remove(log->disk, &log->janitor.op, on_done, name);
    disk_wait(log->disk, &log->janitor.op);
}

/* Files that are not part of the log: true when one was removed. */
static bool sweep_one(struct log *log, struct recovery *r)
{
    for (unsigned i = 0; i < r->segment_count; i++) {
        struct found *f = &r->segments[i];

        if (belongs(f))
            continue;
        remove_now(log, SEGMENT_NAME, f->number);
        f->state = FOUND_LIVE; /* done with; not asked again */
        return true;
    }
    return false;
}

/* Removing a file may take as long as a sync, so segments are left to the janitor. Those
 * that a crash leaves the next start knows for what they are as well: the headers of this
 * epoch say where the ones before were cut. */
static void sweep(struct log *log, struct recovery *r)
{
    for (unsigned i = 0; i < r->segment_count; i++) {
        uint32_t number = r->segments[i].number;

        if (belongs(&r->segments[i]))
            continue;
        if (log->debris_count < DEBRIS_MAX)
            log->debris[log->debris_count++] = number;
        else
            remove_now(log, SEGMENT_NAME, number);
    }
    for (unsigned i = 0; i < r->checkpoint_count; i++)
        if (r->checkpoints[i].number != log->kept[0].number &&
            r->checkpoints[i].number != log->kept[1].number)
            remove_now(log, CHECKPOINT_NAME, r->checkpoints[i].number);
}

static void prepare_now(struct log *log)
{
    log->prepare.error = STATUS_OK;
    prepare_turn(log);
    while (log->prepare.state != PREPARE_IDLE)
        disk_wait(log->disk, &log->prepare.op);
}

/* The first segment of this epoch, durable. On a full disk the files that no longer
 * count make room for it, one by one: that is where the reserve of the last run went. */
static enum status begin_epoch(struct log *log, struct recovery *r)
{
    input_close(&r->in);
    prepare_now(log);
    while (log->prepare.error == STATUS_NO_SPACE && sweep_one(log, r))
        prepare_now(log);
    if (log->prepare.error == STATUS_NO_SPACE)
        return STATUS_OK;
    TRY(log->prepare.error);
    sweep(log, r);
    return batch_open(log, LOG_LIST, 0);
}

static enum status start(struct log *log, struct recovery *r)
{
    r->store_id = log->conf.store_id;
    r->shard = log->conf.shard;
    TRY(recovery_survey(r));
    TRY(fill_table(log, r));
    TRY(recovery_replay(r));
    if (r->highest_segment > UINT32_MAX - SEGMENTS_LEFT_MIN) {
        survey_damage(r, r->highest_segment, 0, 0, "segment numbers are used up");
        return STATUS_LIMIT;
    }
    take_over(log, r);
    return begin_epoch(log, r);
}

/* --- stop --- */

/* Waits for everything in flight; nothing new begins. */
static void land_all(struct log *log)
{
    for (uint64_t i = log->head; i < log->send; i++)
        disk_wait(log->disk, &log->batches[i % BATCHES_MAX].io);
    while (log->prepare.state != PREPARE_IDLE)
        disk_wait(log->disk, &log->prepare.op);
    while (log->janitor.op.op.pending)
        disk_wait(log->disk, &log->janitor.op);
    disk_wait(log->disk, &log->links.op);
    checkpoint_abandon(log);
}

static void write_out(struct log *log)
{
    while (!log->failed && log->head != log->tail) {
        commit_flush(log);
        disk_wait(log->disk, &log->batches[log->head % BATCHES_MAX].io);
    }
}

/* An empty batch says that everything before it is durable, so that the next start takes
 * no damage at the end of a well stopped log for a torn tail; and that nothing follows:
 * it need not look. */
static void write_proof(struct log *log)
{
    const struct log_segment *s = log->current;

    if (log->failed || !s || s->bytes - s->end < 2 * FORMAT_BLOCK)
        return;
    log->last = true;
    if (batch_open(log, LOG_LIST, 0) == STATUS_OK)
        write_out(log);
}

static void close_writers(struct log *log)
{
    for (unsigned i = 0; i < log->segment_count + log->prepared_count; i++) {
        struct log_segment *s = i < log->segment_count
            ? log->segments[i]
            : log->prepared[i - log->segment_count];

        if (s->writer < 0)
            continue;
        disk_close(log->disk, &log->janitor.op, on_done, s->writer);
        disk_wait(log->disk, &log->janitor.op);
        s->writer = -1;
    }
}

void log_close(struct log *log)
{
    log->closing = true;
    write_out(log);
    land_all(log);
    write_proof(log);
    CHECK(list_empty(&log->waiters));
    CHECK(log->reads == 0);
    close_writers(log);
    log_free(log);
}

/* --- start --- */

enum status log_open(struct log **out, struct disk *disk, const struct log_conf *conf,
    struct log_start *how)
{
    struct recovery r;
    enum status status = log_new(out, disk, conf);

    recovery_init(&r, disk, how);
    if (status == STATUS_OK)
        status = start(*out, &r);
    recovery_free(&r);
    if (status != STATUS_OK && *out) {
        close_writers(*out);
        log_free(*out);
        *out = NULL;
    }
    return status;
}
