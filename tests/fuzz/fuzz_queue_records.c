/* Payloads of any bytes as records of the queue and pieces of a checkpoint, as a start
 * reads them: entries stay in order, the sums are right, and each says again in a
 * checkpoint what it is. */
#include <stdlib.h>

#include "store/index.h"
#include "tests/store/memdisk.h"

enum { FIRST_PIECE = 6 }; /* those of the queue */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One store for all inputs; only its tables matter. */
static struct store *store_made(void)
{
    static struct memdisk disk;
    static struct store *store;
    const struct store_conf conf = {
        .store_id = 7, .shard = 1, .segment_bytes = SEGMENT_BYTES_MIN};

    if (store)
        return store;
    memdisk_init(&disk, 1);
    CHECK(store_open(&store, &disk.disk, &conf, 1) == STATUS_OK);
    return store;
}

static void forget(struct store *s)
{
    queue_table_free(&s->queue);
    s->next_queue = 1;
    s->straddle_count = 0;
    while (!list_empty(&s->fanouts))
        free(container_of(list_pop(&s->fanouts), struct fanout, link));
}

static void take(struct store *s, unsigned kind, uint64_t n, struct slice payload)
{
    static const enum record_kind kinds[] = {RECORD_QUEUE_ADDED, RECORD_QUEUE_ATTEMPTED,
        RECORD_QUEUE_DONE, RECORD_UIDVALIDITY, RECORD_MESSAGE};
    struct log_record r = {.seq = n, .place = (uint64_t)1 << 32 | n, .payload = payload};

    if (kind % 6 == 5) { /* heads would outlive the input */
        if (payload.len > 1 && payload.at[1] >= FIRST_PIECE)
            (void)!checkpoint_take(s, payload, payload.len);
        return;
    }
    r.kind = kinds[kind % 6];
    CHECK(store_note(s, &r) == STATUS_OK);
}

static void look(struct store *s)
{
    struct store_queued q = {0}, again;
    uint64_t last = 0, count = 0, bytes = 0, held = 0;
    struct store_stats st;

    while (store_queue_after(s, last, &q)) {
        CHECK(q.id > last && store_queue_find(s, q.id, &again) && again.body == q.body);
        last = q.id;
        count++;
        bytes += q.size;
        held += q.envelope.len + q.state.len;
    }
    store_stats(s, &st);
    CHECK(st.queue_entries == count && st.queue_bytes == bytes && s->queue.held == held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *s = store_made();
    struct slice in = slice_of((const char *)data, size);

    s->replaying = true;
    for (uint64_t n = 1; in.len > 2; n++) {
        struct slice head = slice_take(&in, 2);
        size_t length = (unsigned char)head.at[1];
        char *copy = malloc(length + 1); /* so that what is behind is not ours */
        struct slice payload = slice_take(&in, length < in.len ? length : in.len);

        memcpy(copy, payload.at, payload.len);
        take(s, (unsigned char)head.at[0], n, slice_of(copy, payload.len));
        free(copy);
    }
    look(s);
    forget(s);
    return 0;
}
