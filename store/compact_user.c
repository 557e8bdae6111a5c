/* Everything of one user that lies in the segment: what his mailboxes name is moved in
 * batches, each with its RELOCATE; then his state and chain, by a fold. Summaries of one
 * batch go into one record, so that the next listing reads few. */
#include "store/compact_state.h"

enum { LOAD_TRIES = 3 };

/* --- looking --- */

static bool wants(const struct compact *c, const struct packed_entry *e)
{
    return compact_body(c, e->body) || PLACE_SEGMENT(e->body) == c->segment ||
        PLACE_SEGMENT(e->summary) == c->segment;
}

bool compact_names(const struct store *s, const struct packed_entry *e)
{
    return s->compact && s->compact->segment && wants(s->compact, e);
}

static bool may_name(const struct compact *c, const struct mailbox *m)
{
    if (!held_empty(&m->held))
        return true;
    if (segments_have(m->segments, c->segment))
        return true;
    for (uint32_t i = 0; i < c->foreign.count; i++)
        if (segments_have(m->segments, PLACE_SEGMENT(c->foreign.at[i].place)))
            return true;
    return false;
}

static void want(struct mover *mv, const struct packed_entry *e)
{
    bool summary = PLACE_SEGMENT(e->summary) == mv->c->segment;
    bool body = PLACE_SEGMENT(e->body) == mv->c->segment || compact_body(mv->c, e->body);

    mv->batch[mv->count++] = (struct wanted){.uid = e->uid,
        .body = body ? e->body : 0,
        .summary = summary ? e->summary : 0,
        .summary_index = e->summary_index};
}

/* Fills a batch from one mailbox. OK: full, or the mailbox ends. BUSY: the slice is used
 * up. */
static enum status look_mailbox(struct mover *mv, struct mailbox *m, int *budget)
{
    const struct content *c = m->content;
    struct spot s = content_seek(c, mv->uid);

    for (; s.page < c->page_count && mv->count < BATCH; content_next(c, &s)) {
        const struct packed_entry *e = content_get(c, s);

        mv->uid = e->uid;
        if ((*budget)-- <= 0)
            return STATUS_BUSY;
        if (wants(mv->c, e) && !e->doomed)
            want(mv, e);
        else if (wants(mv->c, e))
            mv->user->relocated = true; /* it goes by itself: look again later */
        mv->uid = e->uid + 1;
    }
    return STATUS_OK;
}

/* The next mailbox of the user at or above the number. */
static struct mailbox *next_mailbox(const struct user *u, uint32_t id)
{
    CHECK(u);
    for (unsigned i = 0; i < u->id_count; i++)
        if (u->ids[i]->id >= id)
            return u->ids[i];
    return NULL;
}

/* OK: a batch, or nothing is left (count 0). */
static enum status look(struct mover *mv, int *budget)
{
    struct mailbox *m;

    while ((m = next_mailbox(mv->user, mv->mailbox))) {
        if (m->id != mv->mailbox) {
            mv->mailbox = m->id;
            mv->uid = 1;
        }
        if (may_name(mv->c, m)) {
            TRY(content_need(m, NULL));
            TRY(look_mailbox(mv, m, budget));
            if (mv->count)
                return STATUS_OK;
        }
        mv->mailbox++;
        mv->uid = 1;
        if ((*budget)-- <= 0)
            return STATUS_BUSY;
    }
    return STATUS_OK;
}

/* --- moving a batch --- */

static void batch_begin(struct mover *mv)
{
    mv->at = mv->summaries = mv->ahead = 0;
    mv->cluster = 0;
    bytes_clear(&mv->blobs);
    for (unsigned i = 0; i < mv->count; i++)
        mv->moves[i] = (struct rec_move){.uid = mv->batch[i].uid};
}

static enum status move_one_body(struct mover *mv, const struct wanted *w, unsigned i)
{
    struct item *item = w->body ? compact_body(mv->c, w->body) : NULL;

    if (!w->body)
        return STATUS_OK;
    if (!item || item->kind != RECORD_MESSAGE)
        return STATUS_CORRUPT; /* the scan has not found it: it is damaged */
    TRY(move_body(mv, item));
    mv->moves[i].body = item->moved;
    return STATUS_OK;
}

static enum status take_summary(struct mover *mv, const struct wanted *w, unsigned i)
{
    const struct log_record *record;
    struct summaries_read s;

    if (!w->summary)
        return STATUS_OK;
    TRY(mover_fetch(mv, w->summary, &record));
    if (record->kind != RECORD_SUMMARY || !summaries_read(record->payload, &s) ||
        w->summary_index >= s.fixed.count)
        return STATUS_CORRUPT;
    bytes_put_slice(&mv->blobs, summaries_at(&s, w->summary_index));
    if (i + 1 == mv->count || mv->batch[i + 1].summary != w->summary)
        mover_done(mv, w->summary); /* the next one may be in the same record */
    if (mv->blobs.failed)
        return STATUS_NO_MEMORY;
    mv->moves[i].summary = 1; /* its place is known when the cluster is written */
    mv->moves[i].summary_index = (uint8_t)mv->summaries;
    mv->ends[mv->summaries++] = (uint32_t)mv->blobs.len;
    return STATUS_OK;
}

/* Has the next records of the batch read. */
static void read_ahead(struct mover *mv)
{
    for (; mv->ahead < mv->count; mv->ahead++) {
        const struct wanted *w = &mv->batch[mv->ahead];
        const struct item *item = w->body ? compact_body(mv->c, w->body) : NULL;

        if (item && !item->moved && !item->moving && !mover_ahead(mv, w->body))
            return;
        if (w->summary && !mover_ahead(mv, w->summary))
            return;
    }
}

/* Moves what the batch names; a cluster that grows too large ends the batch early. */
static enum status move_items(struct mover *mv, int *budget)
{
    for (; mv->at < mv->count; mv->at++) {
        const struct wanted *w = &mv->batch[mv->at];

        read_ahead(mv);
        if ((*budget -= 16) <= 0)
            return STATUS_BUSY;
        if (mv->blobs.len >= CLUSTER_BYTES) {
            mv->uid = w->uid;
            mv->count = mv->at;
            break;
        }
        if (!mv->moves[mv->at].body)
            TRY(move_one_body(mv, w, mv->at));
        TRY(take_summary(mv, w, mv->at));
    }
    return STATUS_OK;
}

static enum status write_cluster(struct mover *mv)
{
    struct store *s = mv->c->store;
    struct rec_summary head = {
        .version = RECORDS_VERSION, .count = (uint16_t)mv->summaries, .owner_count = 1};
    struct slice pieces[] = {slice_of((const char *)&head, sizeof head),
        slice_of((const char *)&mv->owner.id, sizeof mv->owner.id),
        slice_of((const char *)mv->ends, mv->summaries * sizeof *mv->ends),
        bytes_slice(&mv->blobs)};

    if (mv->summaries == 0 || mv->cluster)
        return STATUS_OK;
    TRY(record_add(s, LOG_SHRINK, RECORD_SUMMARY, 0, pieces, 4, 0, &mv->cluster));
    note_summaries(s, mv->cluster, mv->summaries,
        pieces[0].len + pieces[1].len + pieces[2].len + pieces[3].len);
    for (unsigned i = 0; i < mv->count; i++)
        if (mv->moves[i].summary)
            mv->moves[i].summary = mv->cluster;
    return STATUS_OK;
}

static enum status write_relocate(struct mover *mv)
{
    struct rec_relocate head = {mv->count};
    struct bytes *b = delta_begin(mv->user, mv->mailbox, 0, 0, 0);

    bytes_put(b, &head, sizeof head);
    bytes_put(b, mv->moves, mv->count * sizeof *mv->moves);
    return delta_end(mv->user, LOG_SHRINK, RECORD_RELOCATE, NULL);
}

static enum status move(struct mover *mv, int *budget)
{
    TRY(move_items(mv, budget));
    TRY(write_cluster(mv));
    TRY(write_relocate(mv));
    mv->count = 0;
    return STATUS_OK;
}

/* --- state and chain --- */

static bool state_here(const struct mover *mv)
{
    const struct user *u = mv->user;
    uint32_t segment = mv->c->segment;

    CHECK(u);
    if (mv->owner.seq > u->head->applied_seq ||
        PLACE_SEGMENT(u->head->state) == segment || segments_have(u->left, segment))
        return true;
    for (unsigned i = 0; i < u->id_count; i++) {
        const struct mailbox *m = u->ids[i];

        if (PLACE_SEGMENT(m->state) == segment ||
            (m->content && segments_have(m->content->left, segment)))
            return true;
        for (uint32_t k = 0; m->content && k < m->content->page_count; k++)
            if (PLACE_SEGMENT(m->content->pages[k].record.place) == segment)
                return true;
    }
    return false;
}

static void on_folded(struct store_op *op, enum status status)
{
    container_of(op, struct mover, fold)->folded = status;
}

static enum status fold(struct mover *mv)
{
    if (mv->fold.pending)
        return STATUS_BUSY;
    if (mv->folded != STATUS_BUSY)
        return mv->folded;
    if (!state_here(mv))
        return STATUS_OK;
    mv->fold = (struct store_op){.done = on_folded};
    TRY(fold_begin(mv->user, mv->c->segment, &mv->fold));
    mv->fold.pending = true;
    return STATUS_BUSY;
}

/* --- all of it --- */

static void look_again(struct mover *mv)
{
    mv->user->relocated = false;
    mv->mailbox = mv->uid = 1;
    mv->count = 0;
    mv->folded = STATUS_BUSY;
    mv->phase = MOVER_LOOK;
}

static enum status load(struct mover *mv)
{
    struct head *head = heads_by_id(&mv->c->store->heads, mv->owner.id);

    if (!head || head->flags & HEAD_REMOVED) {
        mv->phase = MOVER_FREE;
        return STATUS_OK;
    }
    if (!head->user && mv->at++ == LOAD_TRIES)
        return STATUS_CORRUPT; /* the load fails */
    TRY(user_need(mv->c->store, head, NULL));
    mv->user = head->user;
    user_pin(mv->user);
    look_again(mv);
    return STATUS_OK;
}

/* Something that was read ahead may still be on its way. */
static enum status let_go(struct mover *mv)
{
    if (!mover_settle(mv))
        return STATUS_BUSY;
    user_unpin(mv->user);
    mv->user = NULL;
    mv->phase = MOVER_FREE;
    return STATUS_OK;
}

/* What was added is applied; a copy made meanwhile may name the old places. */
static enum status settle(struct mover *mv)
{
    CHECK(mv->user);
    if (mv->c->store->changes.applied < mv->barrier)
        return STATUS_BUSY;
    if (!mv->user->relocated)
        return let_go(mv);
    look_again(mv);
    return STATUS_OK;
}

static enum status step(struct mover *mv, int *budget)
{
    switch (mv->phase) {
    case MOVER_FREE:
        break;
    case MOVER_LOAD:
        return load(mv);
    case MOVER_LOOK:
        TRY(look(mv, budget));
        mv->phase = mv->count ? MOVER_MOVE : MOVER_FOLD;
        if (mv->count)
            batch_begin(mv);
        break;
    case MOVER_MOVE:
        TRY(move(mv, budget));
        mv->phase = MOVER_LOOK;
        break;
    case MOVER_FOLD:
        TRY(fold(mv));
        mv->barrier = mv->c->store->changes.added;
        mv->phase = MOVER_SETTLE;
        break;
    case MOVER_SETTLE:
        return settle(mv);
    }
    return STATUS_OK;
}

enum status mover_step(struct mover *mv, int *budget)
{
    while (mv->phase != MOVER_FREE && *budget > 0) {
        if (mv->user && (mv->user->removed || mv->user->head->flags & HEAD_REMOVED)) {
            if (!mover_stop(mv))
                return STATUS_BUSY;
            break;
        }
        TRY(step(mv, budget));
    }
    return STATUS_OK;
}

bool mover_stop(struct mover *mv)
{
    if (!mover_settle(mv) || mv->fold.pending)
        return false;
    if (mv->item)
        mv->item->moving = false;
    mv->item = NULL;
    mv->has_message = false;
    if (mv->user)
        user_unpin(mv->user);
    mv->user = NULL;
    mv->phase = MOVER_FREE;
    return true;
}
