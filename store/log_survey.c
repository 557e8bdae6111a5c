/* The survey: which files there are, what each of them is, and which must be there. */
#include "store/log_survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MISSING_TOLD_MAX = 100 }; /* segments named for one range of the list */

/* --- reporting --- */

void survey_damage(struct recovery *r, uint32_t segment, uint64_t offset, uint64_t bytes,
    const char *what)
{
    r->bad_bytes += bytes;
    if (r->start->damage)
        r->start->damage(r->start->arg, segment, offset, bytes, what);
}

enum status survey_refuse(struct recovery *r, enum status status, uint32_t segment,
    uint64_t offset, const char *what)
{
    survey_damage(r, segment, offset, 0, what);
    return r->start->accept_loss ? STATUS_OK : status;
}

/* --- the files --- */

static bool grow(void **array, unsigned count, unsigned *room, size_t bytes)
{
    unsigned more = *room ? *room * 2 : 64;
    void *bigger;

    if (count < *room)
        return true;
    bigger = log_alloc(more * bytes);
    if (!bigger)
        return false;
    if (count)
        memcpy(bigger, *array, count * bytes);
    free(*array);
    *array = bigger;
    *room = more;
    return true;
}

/* The number in a name made from `format`; 0 when the name is another. */
static uint32_t number_in(const char *name, const char *format)
{
    char again[DISK_NAME_MAX];
    const char *dash = strrchr(name, '-');
    unsigned long number = dash ? strtoul(dash + 1, NULL, 16) : 0;

    if (number == 0 || number > UINT32_MAX)
        return 0;
    snprintf(again, sizeof again, format, (unsigned)number);
    return strcmp(name, again) == 0 ? (uint32_t)number : 0;
}

static void on_name(void *arg, const char *name, uint64_t bytes)
{
    struct recovery *r = arg;
    uint32_t segment = number_in(name, SEGMENT_NAME);
    uint32_t checkpoint = number_in(name, CHECKPOINT_NAME);

    survey_number(r, segment);
    if (segment) {
        if (!grow((void **)&r->segments, r->segment_count, &r->segment_room,
                sizeof *r->segments)) {
            r->failure = STATUS_NO_MEMORY;
            return;
        }
        r->segments[r->segment_count++] =
            (struct found){.number = segment, .bytes = (uint32_t)block_span(bytes)};
    } else if (checkpoint) {
        if (!grow((void **)&r->checkpoints, r->checkpoint_count, &r->checkpoint_room,
                sizeof *r->checkpoints)) {
            r->failure = STATUS_NO_MEMORY;
            return;
        }
        r->checkpoints[r->checkpoint_count++] =
            (struct found_checkpoint){checkpoint, bytes};
    }
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b; /* the number comes first in both structs */

    return (*left > *right) - (*left < *right);
}

static enum status list_files(struct recovery *r)
{
    TRY(r->disk->calls->list(r->disk, on_name, r));
    TRY(r->failure);
    if (r->segment_count)
        qsort(r->segments, r->segment_count, sizeof *r->segments, by_number);
    if (r->checkpoint_count)
        qsort(r->checkpoints, r->checkpoint_count, sizeof *r->checkpoints, by_number);
    return STATUS_OK;
}

enum status survey_open(struct recovery *r, const struct found *s, enum input_use use)
{
    char name[DISK_NAME_MAX];

    enum status status;

    snprintf(name, sizeof name, SEGMENT_NAME, s->number);
    status = input_open(&r->in, name, s->bytes, use);
    if (status != STATUS_OK)
        survey_damage(r, s->number, 0, 0, "the segment cannot be opened");
    return status;
}

/* --- what a segment is --- */

static void identify(
    struct recovery *r, struct found *s, uint32_t epoch, uint32_t identity, uint64_t cut)
{
    s->shard = r->shard;
    s->epoch = epoch;
    s->identity = identity;
    s->cut = cut;
    s->state = FOUND_LIVE;
    if (epoch > r->epoch)
        r->epoch = epoch;
}

bool survey_zero(const char *at)
{
    return at[0] == 0 && memcmp(at, at + 1, FORMAT_BLOCK - 1) == 0;
}

/* Without a header: a batch that names store, shard, number and epoch by its identity
 * proves what this file is. */
static enum status identify_by_batch(struct recovery *r, struct found *s)
{
    s->state = FOUND_LOST;
    s->blank = true;
    for (uint32_t at = FORMAT_BLOCK; at + FORMAT_BLOCK <= s->bytes; at += FORMAT_BLOCK) {
        struct record_header h;
        struct batch_header b;
        struct log_walk w;

        TRY(input_need(&r->in, at, FORMAT_BLOCK));
        if (survey_zero(input_at(&r->in, at)))
            continue;
        s->blank = false;
        memcpy(&h, input_at(&r->in, at), sizeof h);
        w = log_walk_of(h.identity, at, s->bytes);
        if (h.magic != RECORD_MAGIC || h.kind != RECORD_BATCH ||
            !log_walk_batch(&w, r->in.window, (uint32_t)r->in.from, &b))
            continue;
        if (segment_identity(r->store_id, r->shard, s->number, b.epoch) != h.identity)
            continue;
        identify(r, s, b.epoch, h.identity, b.cut);
        survey_damage(r, s->number, 0, FORMAT_BLOCK, "the segment header is damaged");
        return STATUS_OK;
    }
    if (r->in.unreadable == 0)
        return STATUS_OK;
    s->blank = false;
    return survey_refuse(r, STATUS_IO, s->number, r->in.unreadable - FORMAT_BLOCK,
        "the segment cannot be read");
}

static enum status of_another(struct recovery *r, struct found *s)
{
    s->state = FOUND_LOST;
    s->identity = 0;
    return survey_refuse(
        r, STATUS_CORRUPT, s->number, 0, "belongs to another store or shard");
}

static enum status read_header(struct recovery *r, struct found *s)
{
    struct segment_header h;
    unsigned copies;
    enum status status;

    TRY(survey_open(r, s, INPUT_PARTS));
    TRY(input_need_only(&r->in, 0, FORMAT_BLOCK));
    status = segment_header_read(r->in.window.at, &h, &copies);
    if (status == STATUS_INVALID)
        return survey_refuse(r, status, s->number, 0, "written in a newer format");
    if (status != STATUS_OK)
        return identify_by_batch(r, s);
    if (r->store_id == 0)
        r->store_id = h.store_id;
    s->state = FOUND_LOST;
    if (h.store_id != r->store_id)
        return of_another(r, s);
    if (h.number != s->number)
        return survey_refuse(
            r, STATUS_CORRUPT, s->number, 0, "holds another segment than its name says");
    s->half = copies == 1;
    s->shard = h.shard;
    if (h.shard == r->shard) {
        identify(r, s, h.epoch, h.identity, h.cut);
        return STATUS_OK;
    }
    s->identity = h.identity;
    s->state = FOUND_OTHER;
    return STATUS_OK;
}

static void cut_at(struct found *s, uint32_t offset)
{
    s->cut_here = true;
    if (offset < s->limit)
        s->limit = offset;
}

/* Where the content of each segment stops counting: at the lowest cut of the epochs
 * after its own. Epochs rise with the numbers. */
static void apply_cuts(struct recovery *r)
{
    uint64_t lowest = UINT64_MAX, of_epoch = UINT64_MAX;
    uint32_t epoch = r->epoch;

    for (unsigned i = r->segment_count; i-- > 0;) {
        struct found *s = &r->segments[i];

        s->limit = s->bytes;
        if (s->state != FOUND_LIVE)
            continue;
        if (s->epoch != epoch) {
            lowest = of_epoch < lowest ? of_epoch : lowest;
            of_epoch = UINT64_MAX;
            epoch = s->epoch;
        }
        if (s->cut < of_epoch)
            of_epoch = s->cut;
        if (lowest == UINT64_MAX || PLACE_SEGMENT(lowest) > s->number)
            continue;
        if (PLACE_SEGMENT(lowest) < s->number)
            s->state = FOUND_VOID;
        else
            cut_at(s, PLACE_OFFSET(lowest));
    }
}

/* --- which segments must be there --- */

/* Copies `count` entries of eight bytes; NULL: no memory. */
static void *take_entries(struct slice *payload, uint64_t count)
{
    size_t bytes = (size_t)count * sizeof(uint64_t);
    void *entries = log_alloc(bytes ? bytes : 1);

    if (entries && bytes)
        memcpy(entries, payload->at, bytes);
    if (entries)
        slice_take(payload, bytes);
    return entries;
}

/* The head of what is adopted; version 1 has none. False: it does not fit. */
static bool adoption_read(struct slice rest, struct segment_adoption *a)
{
    *a = (struct segment_adoption){0};
    if (rest.len == 0)
        return true;
    if (rest.len < sizeof *a)
        return false;
    memcpy(a, rest.at, sizeof *a);
    return rest.len - sizeof *a == (uint64_t)a->runs * sizeof(struct segment_run);
}

static enum status take_list(struct recovery *r, uint32_t lister, struct slice payload)
{
    struct segment_list head;
    struct segment_adoption adoption;
    struct segment_range *entries;
    struct segment_run *runs;
    struct slice rest;
    uint64_t count;

    if (payload.len < sizeof head)
        return STATUS_OK;
    memcpy(&head, payload.at, sizeof head);
    slice_take(&payload, sizeof head);
    count = (uint64_t)head.ranges + head.cuts;
    if (payload.len < count * sizeof *entries)
        return STATUS_OK;
    rest = payload;
    slice_take(&rest, (size_t)count * sizeof *entries);
    if (!adoption_read(rest, &adoption))
        return STATUS_OK;
    entries = take_entries(&payload, count);
    if (!entries)
        return STATUS_NO_MEMORY;
    free(r->listed);
    r->listed = entries;
    if (payload.len)
        slice_take(&payload, sizeof adoption);
    runs = take_entries(&payload, payload.len / sizeof(uint64_t));
    if (!runs)
        return STATUS_NO_MEMORY;
    free(r->runs);
    r->runs = runs;
    r->list = head;
    r->adoption = adoption;
    r->lister = lister;
    return STATUS_OK;
}

static struct found *find(const struct recovery *r, uint32_t number)
{
    return r->segment_count
        ? bsearch(&number, r->segments, r->segment_count, sizeof *r->segments, by_number)
        : NULL;
}

/* From where the checkpoint covers the log, batch by batch: was it closed? Nothing was
 * written behind its end then, and files made ahead need not be read to know that they
 * are blank. A check of the whole store takes no such word for it. */
static enum status find_close(struct recovery *r)
{
    const struct found *s =
        r->imaged ? find(r, PLACE_SEGMENT(r->image.header.position)) : NULL;
    uint32_t offset = PLACE_OFFSET(r->image.header.position);
    bool last = false;

    if (!s || r->from_start || s->state != FOUND_LIVE || s->epoch != r->epoch)
        return STATUS_OK;
    TRY(survey_open(r, s, INPUT_PARTS));
    for (;;) {
        struct log_walk w = log_walk_of(s->identity, offset, s->limit);
        struct record_header h;
        struct batch_header b;

        TRY(input_need(&r->in, offset, BATCH_HEAD_BYTES));
        if (!log_walk_batch(&w, r->in.window, (uint32_t)r->in.from, &b))
            break;
        memcpy(&h, input_at(&r->in, offset), sizeof h);
        last = h.flags & BATCH_LAST;
        offset += b.bytes;
    }
    if (last)
        r->closed = (uint64_t)s->number << 32 | offset;
    return STATUS_OK;
}

/* The newest list of segments in this one, if it holds any. */
static enum status find_list(struct recovery *r, struct found *s)
{
    bool ends = r->closed && s->number == PLACE_SEGMENT(r->closed);
    struct log_walk w =
        log_walk_of(s->identity, FORMAT_BLOCK, ends ? PLACE_OFFSET(r->closed) : s->limit);

    s->blank = true;
    if (r->closed && s->number > PLACE_SEGMENT(r->closed))
        return STATUS_OK;
    TRY(survey_open(r, s, INPUT_WHOLE));
    for (;;)
        switch (log_walk_next(&w, r->in.window, (uint32_t)r->in.from)) {
        case WALK_RECORD:
            s->blank = false;
            if (w.header.kind == RECORD_SEGMENTS)
                TRY(take_list(r, s->number, w.payload));
            break;
        case WALK_DAMAGE:
            s->blank = false;
            break;
        case WALK_MORE:
            TRY(input_need(&r->in, w.at, w.want));
            break;
        case WALK_END:
            s->blank = s->blank && r->in.unreadable == 0;
            return STATUS_OK;
        }
}

static enum status find_newest_list(struct recovery *r)
{
    for (unsigned i = r->segment_count; i-- > 0 && !r->lister;)
        if (r->segments[i].state == FOUND_LIVE)
            TRY(find_list(r, &r->segments[i]));
    return STATUS_OK;
}

static bool listed(const struct recovery *r, uint32_t number)
{
    for (uint32_t i = 0; i < r->list.ranges; i++)
        if (number >= r->listed[i].first &&
            number - r->listed[i].first < r->listed[i].count)
            return true;
    return false;
}

static enum status missing(struct recovery *r, uint32_t number)
{
    return survey_refuse(r, STATUS_CORRUPT, number, 0, "the segment is missing");
}

/* Cuts whose own headers are gone. */
static void apply_listed_cuts(struct recovery *r)
{
    for (uint32_t i = 0; i < r->list.cuts; i++) {
        struct segment_cut cut;
        struct found *s;

        memcpy(&cut, &r->listed[r->list.ranges + i], sizeof cut);
        s = find(r, cut.number);
        if (s && (s->state == FOUND_LIVE || s->state == FOUND_ADOPTED) &&
            cut.end >= FORMAT_BLOCK)
            cut_at(s, cut.end);
    }
}

static const struct segment_run *adopted_by(const struct recovery *r, uint32_t number)
{
    uint32_t low = 0, high = r->adoption.runs;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (r->runs[middle].first <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low && number - r->runs[low - 1].first < r->runs[low - 1].count
        ? &r->runs[low - 1]
        : NULL;
}

/* The list says under which shard and epoch it was written: no header is needed. */
static enum status adopt(struct recovery *r, struct found *s, const struct segment_run *a)
{
    uint32_t identity = segment_identity(r->store_id, a->shard, s->number, a->epoch);

    if (s->number >= r->adoption.below ||
        (s->state == FOUND_OTHER && s->identity != identity))
        return of_another(r, s);
    if (s->state == FOUND_LOST)
        survey_damage(r, s->number, 0, FORMAT_BLOCK, "the segment header is damaged");
    else if (s->half)
        survey_damage(r, s->number, 0, sizeof(struct segment_header),
            "one copy of the segment header is damaged");
    s->shard = a->shard;
    s->epoch = a->epoch;
    s->identity = identity;
    s->state = FOUND_ADOPTED;
    return STATUS_OK;
}

/* Files of other shards: adopted, or left over from when they were. Those that should
 * not be here at all have numbers that this shard or its neighbours may have now. */
static enum status sort_out_others(struct recovery *r)
{
    for (unsigned i = 0; i < r->segment_count; i++) {
        struct found *s = &r->segments[i];
        const struct segment_run *a = adopted_by(r, s->number);

        if (a && (s->state == FOUND_OTHER || s->state == FOUND_LOST))
            TRY(adopt(r, s, a));
        else if (s->state == FOUND_OTHER && s->number < r->adoption.below)
            s->state = FOUND_LEFT;
        else if (s->state == FOUND_OTHER)
            TRY(of_another(r, s));
    }
    return STATUS_OK;
}

/* What nobody can recognise, and no list names, was going to be a segment when it is
 * newer than all others or still blank; else it is damage. */
static void sort_out_lost(struct recovery *r)
{
    bool known = false;

    for (unsigned i = r->segment_count; i-- > 0;) {
        struct found *s = &r->segments[i];
        bool named = listed(r, s->number);

        known = known || s->state != FOUND_LOST;
        if (s->state != FOUND_LOST)
            continue;
        if (!named && (!known || s->blank))
            s->state = FOUND_DEBRIS;
        else if (named || s->number > r->lister)
            survey_damage(r, s->number, 0, s->bytes,
                "neither segment header nor batches are valid");
    }
}

/* Names what is missing of one range; not all of it when nearly all is. Below the
 * checkpoint only what its table names can be: a range may claim any count of numbers. */
static enum status check_range(struct recovery *r, struct segment_range range)
{
    uint64_t number = range.first, end = number + range.count;
    uint64_t known = r->imaged ? PLACE_SEGMENT(r->image.header.position) : 0;
    unsigned told = 0;

    survey_number(r, range.first + range.count - 1);
    if (known > end)
        known = end;
    for (uint32_t i = 0; number < known && i < r->image.table_count; i++) {
        uint32_t named = r->image.table[i].number;

        if (named < number || named >= known || find(r, named))
            continue;
        TRY(missing(r, named));
        told++;
    }
    if (number < known)
        number = known;
    for (; number < end && told < MISSING_TOLD_MAX; number++) {
        if (find(r, (uint32_t)number))
            continue;
        TRY(missing(r, (uint32_t)number));
        told++;
    }
    return STATUS_OK;
}

static enum status check_listed(struct recovery *r)
{
    for (uint32_t i = 0; i < r->adoption.runs; i++)
        TRY(check_range(r, (struct segment_range){r->runs[i].first, r->runs[i].count}));
    for (uint32_t i = 0; i < r->list.ranges; i++)
        TRY(check_range(r, r->listed[i]));
    for (unsigned i = 0; i < r->segment_count; i++) {
        struct found *s = &r->segments[i];

        if (s->number < r->lister && !listed(r, s->number) &&
            (s->state == FOUND_LIVE || s->state == FOUND_LOST))
            s->state = FOUND_LEFT;
    }
    return STATUS_OK;
}

enum status survey_sealed(struct recovery *r, struct found *s, struct slice payload)
{
    struct segment_seal seal;
    struct found *next;

    if (payload.len != sizeof seal)
        return STATUS_OK;
    memcpy(&seal, payload.at, sizeof seal);
    if (seal.next <= s->number)
        return STATUS_OK; /* numbers only rise; this is no seal of ours */
    s->sealed = true;
    survey_number(r, seal.next);
    r->end = (uint64_t)seal.next << 32 | FORMAT_BLOCK;
    next = find(r, seal.next);
    if (next && next->state == FOUND_DEBRIS) {
        next->state = FOUND_LOST; /* it had been made */
        survey_damage(r, seal.next, 0, FORMAT_BLOCK, "the segment header is damaged");
    }
    if (next || (seal.next < r->lister && !listed(r, seal.next)))
        return STATUS_OK;
    return missing(r, seal.next);
}

/* --- checkpoints --- */

static bool fits(const struct recovery *r, const struct checkpoint_header *h)
{
    return h->store_id == r->store_id && h->shard == r->shard;
}

static enum status on_piece(void *arg, struct slice piece)
{
    struct recovery *r = arg;

    r->failure = r->start->piece(r->start->arg, piece);
    return r->failure;
}

/* Its pieces are handed out while it is read, once, for it is long; when it turns out not
 * to be whole they are taken back. */
static enum status try_image(struct recovery *r, const struct found_checkpoint *c)
{
    image_piece_fn *piece = r->start->piece && !r->from_start ? on_piece : NULL;
    enum status status;

    r->start->image_bytes = c->bytes;
    status = image_read(&r->in, c->number, c->bytes, piece, r, &r->image);
    r->imaged = status == STATUS_OK && fits(r, &r->image.header);
    if (r->imaged || r->failure != STATUS_OK)
        return r->failure;
    if (piece && r->image.pieces > 0)
        TRY(r->start->forget(r->start->arg));
    image_free(&r->image);
    return status == STATUS_INVALID || status == STATUS_NO_MEMORY ? status : STATUS_OK;
}

/* The newest that is whole. One that is not is passed over: the newest may just not have
 * been finished. */
static enum status find_image(struct recovery *r)
{
    for (unsigned i = r->checkpoint_count; i-- > 0;) {
        struct found_checkpoint *c = &r->checkpoints[i];
        struct checkpoint_header h;
        enum status status;

        if (r->imaged) {
            if (image_peek(&r->in, c->number, c->bytes, &h) == STATUS_OK && fits(r, &h)) {
                r->older = c->number;
                r->older_bytes = c->bytes;
                return STATUS_OK;
            }
            continue;
        }
        status = try_image(r, c);
        if (status == STATUS_INVALID)
            return survey_refuse(r, status, 0, 0, "a checkpoint of a newer format");
        TRY(status);
    }
    return STATUS_OK;
}

/* Anything valid of the batch that was the last before the checkpoint. */
static enum status trace_of(
    struct recovery *r, const struct found *s, uint64_t place, uint64_t end, bool *any)
{
    struct log_walk w = log_walk_of(s->identity, PLACE_OFFSET(place), PLACE_OFFSET(end));

    *any = false;
    if (w.end > s->limit || w.at >= w.end)
        return STATUS_OK;
    TRY(survey_open(r, s, INPUT_PARTS));
    for (;;)
        switch (log_walk_next(&w, r->in.window, (uint32_t)r->in.from)) {
        case WALK_RECORD:
            *any = true;
            return STATUS_OK;
        case WALK_DAMAGE:
            break;
        case WALK_MORE:
            TRY(input_need(&r->in, w.at, w.want));
            break;
        case WALK_END:
            return STATUS_OK;
        }
}

/* The log must reach to where the checkpoint says it had come. */
static enum status check_image(struct recovery *r)
{
    const struct checkpoint_header *h = &r->image.header;
    const char *short_log = "the log ends before the checkpoint";
    uint32_t number = PLACE_SEGMENT(h->position);
    const struct found *s;
    bool any = true;

    if (h->position == 0)
        return STATUS_OK;
    survey_number(r, number);
    for (uint32_t i = 0; i < r->image.table_count; i++)
        survey_number(r, r->image.table[i].number);
    s = find(r, number);
    if (!s)
        return missing(r, number);
    if (s->state != FOUND_LIVE || h->epoch > r->epoch ||
        s->limit < PLACE_OFFSET(h->position))
        return survey_refuse(r, STATUS_CORRUPT, number, s->limit, short_log);
    if (h->batch_place)
        TRY(trace_of(r, s, h->batch_place, h->position, &any));
    if (!any)
        return survey_refuse(
            r, STATUS_CORRUPT, number, PLACE_OFFSET(h->batch_place), short_log);
    for (uint32_t i = 0; i < r->image.table_count; i++)
        if (!find(r, r->image.table[i].number) && !r->lister)
            TRY(missing(r, r->image.table[i].number));
    return STATUS_OK;
}

enum status recovery_survey(struct recovery *r)
{
    TRY(list_files(r));
    for (unsigned i = 0; i < r->segment_count; i++)
        TRY(read_header(r, &r->segments[i]));
    apply_cuts(r);
    TRY(find_image(r));
    TRY(find_close(r));
    TRY(find_newest_list(r));
    TRY(sort_out_others(r));
    apply_listed_cuts(r);
    sort_out_lost(r);
    TRY(check_listed(r));
    return r->imaged ? check_image(r) : STATUS_OK;
}
