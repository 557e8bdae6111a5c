#include "store/log_check.h"

#include <stdio.h>

#include "store/log_survey.h"

static void report(struct log_check *c, const char *format, uint32_t number,
    uint64_t offset, uint64_t bytes, const char *what)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, format, number);
    c->problems++;
    if (c->problem)
        c->problem(c->arg, name, offset, bytes, what);
}

static void on_damage(
    void *arg, uint32_t segment, uint64_t offset, uint64_t bytes, const char *what)
{
    report(arg, SEGMENT_NAME, segment, offset, bytes, what);
}

static enum status on_record(void *arg, const struct log_record *record)
{
    struct log_check *c = arg;

    c->records[record->kind]++;
    c->record_bytes += record->payload.len;
    return c->record ? c->record(c->arg, record) : STATUS_OK;
}

/* Each checkpoint by itself. A crash while one is written leaves it unfinished, which the
 * next start sweeps away: said, because it explains the file. */
static enum status check_images(struct recovery *r, struct log_check *c)
{
    for (unsigned i = 0; i < r->checkpoint_count; i++) {
        uint32_t number = r->checkpoints[i].number;
        struct image image;
        enum status status =
            image_read(&r->in, number, r->checkpoints[i].bytes, NULL, NULL, &image);

        c->checkpoints++;
        image_free(&image);
        if (status == STATUS_NO_MEMORY)
            return status;
        if (status == STATUS_OK &&
            (image.header.store_id != r->store_id || image.header.shard != r->shard))
            report(c, CHECKPOINT_NAME, number, 0, 0, "belongs to another store or shard");
        else if (status != STATUS_OK)
            report(c, CHECKPOINT_NAME, number, image.bad_at, 0,
                status == STATUS_INVALID ? "written in a newer format"
                                         : "the checkpoint is not whole");
    }
    return STATUS_OK;
}

/* What an adopted segment holds for messages, up to its seal. Damage in it is told by
 * whoever names something there; the rest is of other shards, or dead. */
static enum status adopted_record(
    struct log_check *c, const struct found *s, const struct log_walk *w)
{
    struct log_record record = {
        .kind = (enum record_kind)w->header.kind,
        .flags = w->header.flags,
        .seq = w->header.seq,
        .place = (uint64_t)s->number << 32 | w->header.offset,
        .payload = w->payload,
    };

    return record_is_adopted(record.kind) && c->record ? c->record(c->arg, &record)
                                                       : STATUS_OK;
}

static enum status check_adopted(
    struct recovery *r, struct log_check *c, const struct found *s)
{
    struct log_walk w = log_walk_of(s->identity, FORMAT_BLOCK, s->limit);

    TRY(survey_open(r, s, INPUT_WHOLE));
    for (;;)
        switch (log_walk_next(&w, r->in.window, (uint32_t)r->in.from)) {
        case WALK_RECORD:
            if (w.header.kind == RECORD_SEGMENT_SEALED)
                return STATUS_OK;
            TRY(adopted_record(c, s, &w));
            break;
        case WALK_DAMAGE:
            break;
        case WALK_MORE:
            TRY(input_need(&r->in, w.at, w.want));
            break;
        case WALK_END:
            return STATUS_OK;
        }
}

static enum status check_all_adopted(struct recovery *r, struct log_check *c)
{
    for (unsigned i = 0; i < r->segment_count; i++)
        if (r->segments[i].state == FOUND_ADOPTED)
            TRY(check_adopted(r, c, &r->segments[i]));
    return STATUS_OK;
}

enum status log_check(struct disk *disk, struct log_check *c)
{
    struct log_start start = {
        .replay = on_record, .damage = on_damage, .arg = c, .accept_loss = true};
    struct recovery r;
    enum status status;

    recovery_init(&r, disk, &start);
    r.store_id = c->store_id;
    r.shard = c->shard;
    r.from_start = true;
    status = recovery_survey(&r);
    if (status == STATUS_OK)
        status = check_images(&r, c);
    if (status == STATUS_OK)
        status = recovery_replay(&r);
    if (status == STATUS_OK)
        status = check_all_adopted(&r, c);
    c->segments = r.segment_count;
    c->tail_cut_bytes = start.tail_cut_bytes;
    c->epoch = r.epoch;
    c->last_seq = r.last_seq;
    c->store_id = r.store_id;
    recovery_free(&r);
    return status;
}
