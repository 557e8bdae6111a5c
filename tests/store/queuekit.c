#include "tests/store/queuekit.h"

#include <stdlib.h>

/* The i-th word; empty past the last. */
static struct slice word(const char *words, unsigned i)
{
    struct slice in = slice_str(words ? words : ""), one = in;

    for (unsigned n = 0; n <= i; n++) {
        size_t space = slice_find(in, ' ');

        one = slice_take(&in, space);
        if (in.len)
            slice_take(&in, 1);
    }
    return one;
}

static enum status set_chunks(
    struct skit *k, struct store_message *m, char *body, unsigned bytes)
{
    static uint64_t places[64];
    static uint32_t sizes[64];
    unsigned at = 100;

    m->head = slice_of(body, bytes);
    m->size = bytes;
    if (bytes <= STORE_INLINE_MAX)
        return STATUS_OK;
    m->chunks = places;
    m->chunk_bytes = sizes;
    m->head.len = at;
    for (; bytes - at > STORE_INLINE_MAX; at += STORE_CHUNK_BYTES) {
        struct store_chunk c = {
            .op.done = skit_done, .bytes = slice_of(body + at, STORE_CHUNK_BYTES)};

        store_chunk(k->store, &c);
        skit_run(k, &c.op);
        TRY(skit_status(&c.op));
        places[m->chunk_count] = c.place;
        sizes[m->chunk_count++] = STORE_CHUNK_BYTES;
    }
    m->tail = slice_of(body + at, bytes - at);
    return STATUS_OK;
}

enum status qkit_put(struct skit *k, struct qkit_put *p)
{
    struct store_target targets[QKIT_USERS] = {0};
    struct slice envelopes[QKIT_ENVELOPES];
    char *body = skit_body(p->tag, p->bytes);
    struct store_message m = {.op.done = skit_done,
        .summary = S("a summary"),
        .targets = targets,
        .each = p->each,
        .fanout_id = p->fanout_id,
        .fanout_rest = slice_str(p->rest ? p->rest : ""),
        .queue_envelopes = envelopes,
        .queue_ids = p->ids,
        .settles = p->settles};
    enum status status;

    for (; word(p->users, m.target_count).len; m.target_count++)
        targets[m.target_count].user = word(p->users, m.target_count);
    for (; word(p->envelopes, m.queue_count).len; m.queue_count++)
        envelopes[m.queue_count] = word(p->envelopes, m.queue_count);
    status = set_chunks(k, &m, body, p->bytes);
    if (status == STATUS_OK) {
        store_message(k->store, &m);
        skit_run(k, &m.op);
        status = skit_status(&m.op);
    }
    for (unsigned i = 0; i < m.target_count; i++)
        p->told[i] = (enum status)targets[i].status;
    free(body);
    return status;
}

uint64_t qkit_add(struct skit *k, const char *envelope, const char *tag, unsigned bytes)
{
    struct qkit_put p = {.envelopes = envelope, .tag = tag, .bytes = bytes};

    return qkit_put(k, &p) == STATUS_OK ? p.ids[0] : 0;
}

enum status qkit_change(struct skit *k, uint64_t id, const char *state)
{
    struct store_queue_change c = {.op.done = skit_done,
        .id = id,
        .done = !state,
        .state = slice_str(state ? state : "")};

    store_queue_change(k->store, &c);
    skit_run(k, &c.op);
    return skit_status(&c.op);
}

void qkit_check(struct skit *k, uint64_t id, const char *envelope, const char *state,
    const char *tag, unsigned bytes)
{
    struct store_queued q;
    struct entry e = {0};

    assert_true(store_queue_find(k->store, id, &q));
    assert_int_equal(q.id, id);
    assert_true(slice_eq(q.envelope, slice_str(envelope)));
    assert_true(slice_eq(q.state, slice_str(state)));
    e.body = q.body;
    e.size = q.size;
    skit_check_body(k, &e, tag, bytes);
}

bool qkit_there(struct skit *k, uint64_t id)
{
    struct store_queued q;

    return store_queue_find(k->store, id, &q);
}

unsigned qkit_count(struct skit *k)
{
    struct store_queued q = {0};
    struct store_stats st;
    unsigned n = 0;

    while (store_queue_after(k->store, q.id, &q))
        n++;
    store_stats(k->store, &st);
    assert_int_equal(st.queue_entries, n);
    return n;
}

uint64_t qkit_hash(struct skit *k)
{
    const struct queued *q = queued_after(&k->store->queue, 0);
    struct log_segment_info info;
    uint64_t h = k->store->next_queue;

    for (; q; q = queued_after(&k->store->queue, q->id)) {
        const uint64_t all[] = {q->id, q->body, q->record, q->state_record,
            q->record_span, q->state_span, q->size, q->share, q->durable};

        h = slice_hash(slice_of((const char *)all, sizeof all), h);
        h = slice_hash(queued_envelope(q), h);
        h = slice_hash(queued_state(q), h);
    }
    for (unsigned i = 0; log_segment_at(k->store->log, i, &info); i++)
        if (info.live_bytes)
            h = h * 31 + info.number * (uint64_t)1000003 + info.live_bytes;
    return h;
}
