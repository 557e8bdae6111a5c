#include "store/check_state.h"

enum status check_drop(struct check *c, struct mailbox *m, uint32_t uid)
{
    struct uid_range range = {uid, uid};
    struct expunge_op e = {
        .op.done = check_done, .uids = &range, .uid_count = 1, .always = true};

    mailbox_expunge(m, &e);
    return check_await(c, &e.op);
}

enum status check_drop_queued(struct check *c, uint64_t id)
{
    struct store_queue_change change = {.op.done = check_done, .id = id, .done = true};

    store_queue_change(c->store, &change);
    return check_await(c, &change.op);
}

/* An empty summary is none: whoever reads it computes it. */
static enum status add_empty(struct check *c, struct mailbox *m, uint64_t *place)
{
    struct rec_summary head = {.version = RECORDS_VERSION, .count = 1, .owner_count = 1};
    uint64_t owner = m->user->id;
    uint32_t end = 0;
    struct slice pieces[] = {slice_of((const char *)&head, sizeof head),
        slice_of((const char *)&owner, sizeof owner),
        slice_of((const char *)&end, sizeof end)};

    TRY(record_add(c->store, LOG_SHRINK, RECORD_SUMMARY, 0, pieces, 3, 0, place));
    note_summaries(c->store, *place, 1, sizeof head + sizeof owner + sizeof end);
    return STATUS_OK;
}

enum status check_new_summary(struct check *c, struct mailbox *m, uint32_t uid)
{
    struct store_op op = {.done = check_done, .pending = true};
    struct rec_relocate head = {1};
    struct rec_move move = {.uid = uid};
    uint64_t place;
    struct bytes *b;

    TRY(add_empty(c, m, &place));
    move.summary = place;
    b = delta_begin(m->user, m->id, 0, 0, 0);
    bytes_put(b, &head, sizeof head);
    bytes_put(b, &move, sizeof move);
    TRY(delta_end(m->user, LOG_SHRINK, RECORD_RELOCATE, &op));
    return check_await(c, &op);
}
