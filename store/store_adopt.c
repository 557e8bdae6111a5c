/* Adopted segments are not replayed, so the log says of them what a replay would find
 * out: live bytes, and messages whose chunks lie in other segments than they do. */
#include "store/index.h"

enum { PART_MAX = 4096 }; /* live bytes or straddles in one record, but for one message */

static enum status put(struct store *s, uint32_t live, uint32_t straddles)
{
    struct rec_adopted head = {
        .version = RECORDS_VERSION, .live_count = live, .straddle_count = straddles};
    struct slice pieces[] = {
        slice_of((const char *)&head, sizeof head), bytes_slice(&s->scratch)};
    uint64_t place;

    if (s->scratch.failed)
        return STATUS_NO_MEMORY;
    return record_add(s, LOG_SHRINK, RECORD_ADOPTED, 0, pieces, 2, 0, &place);
}

/* --- live bytes --- */

static enum status put_live(struct store *s, struct adopted_at *at)
{
    struct log_segment_info info;
    uint32_t count = 0, last = at->segment;

    bytes_clear(&s->scratch);
    for (unsigned i = 0; count < PART_MAX && log_segment_at(s->log, i, &info); i++) {
        struct rec_freed live = {info.number, info.live_bytes};

        if (!info.adopted || info.retired || info.number <= at->segment)
            continue;
        bytes_put(&s->scratch, &live, sizeof live);
        last = info.number;
        count++;
    }
    if (count)
        TRY(put(s, count, 0));
    at->segment = count < PART_MAX ? UINT32_MAX : last;
    return STATUS_OK;
}

/* --- straddles --- */

static uint32_t straddle_after(const struct store *s, uint64_t message)
{
    uint32_t lo = 0, hi = s->straddle_count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (s->straddles[mid].message <= message)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* All of one message, side by side. */
static uint32_t put_message(struct store *s, uint32_t i)
{
    uint64_t message = s->straddles[i].message;

    for (; i < s->straddle_count && s->straddles[i].message == message; i++) {
        const struct straddle *t = &s->straddles[i];
        struct rec_straddle r = {t->message, t->segment, t->bytes};

        bytes_put(&s->scratch, &r, sizeof r);
    }
    return i;
}

static enum status put_straddles(struct store *s, struct adopted_at *at)
{
    const size_t bytes_max = PART_MAX * sizeof(struct rec_straddle);
    uint64_t last = UINT64_MAX;
    uint32_t i = straddle_after(s, at->message);

    bytes_clear(&s->scratch);
    while (i < s->straddle_count && s->scratch.len < bytes_max) {
        last = s->straddles[i].message;
        if (log_adopts(s->log, PLACE_SEGMENT(last)))
            i = put_message(s, i);
        else
            i = straddle_after(s, last);
    }
    if (s->scratch.len || s->scratch.failed)
        TRY(put(s, 0, (uint32_t)(s->scratch.len / sizeof(struct rec_straddle))));
    at->message = i < s->straddle_count ? last : UINT64_MAX;
    return STATUS_OK;
}

enum status adopted_put(struct store *s, struct adopted_at *at)
{
    while (at->segment != UINT32_MAX)
        TRY(put_live(s, at));
    while (at->message != UINT64_MAX)
        TRY(put_straddles(s, at));
    return STATUS_OK;
}

/* --- reading them --- */

static enum status note_straddles(struct store *s, struct reader *in, uint32_t count)
{
    uint64_t before = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct rec_straddle t;

        reader_copy(in, &t, sizeof t);
        if (in->bad)
            return STATUS_OK;
        if (t.message != before)
            straddle_forget(s, t.message);
        before = t.message;
        if (!straddle_reserve(s, 1))
            return STATUS_NO_MEMORY;
        straddle_add(s, t.message, t.segment, t.bytes);
    }
    return STATUS_OK;
}

enum status adopted_note(struct store *s, const struct log_record *r)
{
    struct reader in = reader_of(r->payload);
    struct rec_adopted head;

    reader_copy(&in, &head, sizeof head);
    if (in.bad || head.version != RECORDS_VERSION)
        return STATUS_OK;
    for (uint32_t i = 0; i < head.live_count; i++) {
        struct rec_freed live;

        reader_copy(&in, &live, sizeof live);
        if (in.bad)
            return STATUS_OK;
        log_live_is(s->log, live.segment, live.bytes);
    }
    return note_straddles(s, &in, head.straddle_count);
}
