/* Segments made ahead of need: the next one, one as the reserve with which mail can still
 * be deleted on a full disk, and one for a restart there. A full disk is met here and
 * nowhere else.
 *
 *      IDLE --> CREATING --> HEADING --> prepared
 *                  |            |
 *                  |            +-- failed --> CLOSING --> REMOVING --> IDLE
 *                  +-- failed --------------------------------------> IDLE, tried again
 */
#include "store/log_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES_MAX = 16 << 20 }; /* and no record is too large for it */

static_assert(
    (int)FIRST_BYTES_MAX >= 2 * RECORD_PAYLOAD_MAX, "a first segment takes any record");

static void give_up(struct log *log, enum status error)
{
    struct prepare *p = &log->prepare;

    free(p->segment);
    p->segment = NULL;
    p->error = error;
    p->retry_ns = log_now(log) + RETRY_NS;
    p->state = PREPARE_IDLE;
}

static struct log *log_of(struct op *op)
{
    return container_of(op, struct log, prepare.op.op);
}

static void on_removed(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    (void)res; /* left over, it is swept away at the next start */
    give_up(log_of(op), log_of(op)->prepare.error);
}

static void on_closed(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = log_of(op);

    (void)flags;
    (void)res;
    log->prepare.state = PREPARE_REMOVING;
    disk_remove(log->disk, &log->prepare.op, on_removed, log->prepare.name);
}

static void on_headed(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = log_of(op);
    struct prepare *p = &log->prepare;

    (void)flags;
    if (res != FORMAT_BLOCK) {
        p->error = res < 0 ? status_of(res) : STATUS_IO;
        p->state = PREPARE_CLOSING;
        disk_close(log->disk, &p->op, on_closed, p->segment->writer);
        return;
    }
    log->prepared[log->prepared_count++] = p->segment;
    p->segment = NULL;
    p->error = STATUS_OK;
    p->state = PREPARE_IDLE;
    log->woken = true;
}

static void on_created(struct op *op, int32_t res, uint32_t flags)
{
    struct log *log = log_of(op);
    struct prepare *p = &log->prepare;
    struct segment_header h = {
        .store_id = log->conf.store_id,
        .cut = log->cut,
        .shard = log->conf.shard,
        .number = p->segment->number,
        .epoch = log->epoch,
        .segment_bytes = p->segment->bytes,
    };

    (void)flags;
    if (res < 0) {
        give_up(log, status_of(res));
        return;
    }
    p->segment->writer = res;
    segment_header_write(&h, p->block);
    p->state = PREPARE_HEADING;
    disk_commit(log->disk, &p->op, on_headed, res, p->block, FORMAT_BLOCK, 0);
}

static bool wanted(struct log *log)
{
    const struct prepare *p = &log->prepare;

    return p->state == PREPARE_IDLE && log->prepared_count < PREPARED_MAX &&
        !log->failed && !log->closing &&
        (p->error == STATUS_OK || log_now(log) >= p->retry_ns);
}

uint64_t prepare_due_ns(struct log *log)
{
    const struct prepare *p = &log->prepare;
    bool later = p->error != STATUS_OK && log_now(log) < p->retry_ns;

    return later ? p->retry_ns : UINT64_MAX;
}

/* A start waits for the first segment of its epoch: it is a small one, as files are
 * filled with zeroes before use. The first turns make full ones. */
static uint32_t size_of_next(const struct log *log)
{
    bool first = !log->current && log->prepared_count == 0;

    return first && log->conf.segment_bytes > FIRST_BYTES_MAX ? FIRST_BYTES_MAX
                                                              : log->conf.segment_bytes;
}

void prepare_turn(struct log *log)
{
    struct prepare *p = &log->prepare;
    uint32_t bytes = size_of_next(log);
    uint32_t number =
        segment_number_from(log->next_number, log->conf.lanes, log->conf.lane);

    if (!wanted(log))
        return;
    if (number < log->next_number || number == UINT32_MAX) {
        give_up(log, STATUS_IO); /* they are used up */
        return;
    }
    if (log->conf.disk_bytes_max &&
        log_disk_bytes(log) + bytes > log->conf.disk_bytes_max) {
        give_up(log, STATUS_NO_SPACE);
        return;
    }
    p->segment = segment_new(log->conf.shard, number, log->epoch,
        segment_identity(log->conf.store_id, log->conf.shard, number, log->epoch), bytes);
    if (!p->segment || segment_table_room(log, PREPARED_MAX + 1) != STATUS_OK) {
        give_up(log, STATUS_NO_MEMORY);
        return;
    }
    log->next_number = number + 1;
    snprintf(p->name, sizeof p->name, SEGMENT_NAME, number);
    p->state = PREPARE_CREATING;
    disk_create(log->disk, &p->op, on_created, p->name, bytes);
}
