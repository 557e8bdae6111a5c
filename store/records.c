#include "store/records.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are the disk format");

/* Whole, and of a layout that this version knows. */
static bool done(const struct reader *r, uint8_t version)
{
    return !r->bad && version == RECORDS_VERSION;
}

bool message_read(struct slice payload, struct message_read *m)
{
    struct reader r = reader_of(payload);
    uint64_t sum;

    reader_copy(&r, &m->fixed, sizeof m->fixed);
    m->owners = reader_take(&r, (uint64_t)m->fixed.owner_count * 8);
    m->parts =
        (const void *)reader_take(&r, (uint64_t)m->fixed.chunk_count * sizeof *m->parts)
            .at;
    m->head = reader_take(&r, m->fixed.head_bytes);
    m->tail = reader_take(&r, m->fixed.tail_bytes);
    if (!done(&r, m->fixed.version))
        return false;
    sum = (uint64_t)m->fixed.head_bytes + m->fixed.tail_bytes;
    for (uint32_t i = 0; i < m->fixed.chunk_count; i++)
        sum += m->parts[i].bytes;
    return sum == m->fixed.size;
}

bool summaries_read(struct slice payload, struct summaries_read *s)
{
    struct reader r = reader_of(payload);
    uint32_t end = 0;

    reader_copy(&r, &s->fixed, sizeof s->fixed);
    s->owners = reader_take(&r, (uint64_t)s->fixed.owner_count * 8);
    s->ends = reader_take(&r, (uint64_t)s->fixed.count * 4);
    s->blobs = r.rest;
    if (!done(&r, s->fixed.version))
        return false;
    for (unsigned i = 0; i < s->fixed.count; i++) {
        uint32_t next;

        memcpy(&next, s->ends.at + (size_t)i * 4, 4);
        if (next < end || next > s->blobs.len)
            return false;
        end = next;
    }
    return true;
}

struct slice summaries_at(const struct summaries_read *s, unsigned i)
{
    uint32_t from = 0, to;

    if (i >= s->fixed.count)
        return slice_of(NULL, 0);
    if (i)
        memcpy(&from, s->ends.at + (size_t)(i - 1) * 4, 4);
    memcpy(&to, s->ends.at + (size_t)i * 4, 4);
    return slice_of(s->blobs.at + from, to - from);
}

static void skip_strings(struct reader *r, uint32_t count)
{
    for (uint32_t i = 0; i < count && !r->bad; i++)
        (void)reader_string(r);
}

bool delivery_read(struct slice payload, struct delivery_read *d)
{
    struct reader r = reader_of(payload);
    uint32_t keywords = 0;

    reader_copy(&r, &d->fixed, sizeof d->fixed);
    d->targets = (const void *)reader_take(
        &r, (uint64_t)d->fixed.target_count * sizeof *d->targets)
                     .at;
    if (r.bad)
        return false;
    d->keywords = r;
    if (r.rest.len > d->fixed.rest_bytes) {
        for (uint32_t i = 0; i < d->fixed.target_count; i++)
            keywords += d->targets[i].keyword_count;
        skip_strings(&r, keywords);
    }
    d->rest = reader_take(&r, d->fixed.rest_bytes);
    return done(&r, d->fixed.version);
}

/* The first target of the user; target_count when he has none. */
static uint32_t first_of(const struct delivery_read *d, uint64_t user, uint32_t near)
{
    uint32_t at = 0;

    if (near < d->fixed.target_count && d->targets[near].user == user &&
        (near == 0 || d->targets[near - 1].user != user))
        return near;
    while (at < d->fixed.target_count && d->targets[at].user != user)
        at++;
    return at;
}

/* The strings of `count` targets, cut off the front. */
static struct slice take_keywords(
    struct reader *r, const struct rec_target *targets, uint32_t count)
{
    const char *from = r->rest.at;

    for (uint32_t i = 0; i < count; i++)
        skip_strings(r, targets[i].keyword_count);
    return slice_of(from, (size_t)(r->rest.at - from));
}

struct slice delivery_share(
    struct slice payload, uint64_t user, uint32_t near, struct bytes *copy)
{
    struct delivery_read d;
    struct slice keywords = slice_of(NULL, 0);
    uint32_t first, end;

    if (!delivery_read(payload, &d) ||
        (d.fixed.target_count == 1 && d.fixed.rest_bytes == 0))
        return payload;
    first = end = first_of(&d, user, near);
    while (end < d.fixed.target_count && d.targets[end].user == user)
        end++;
    if (d.keywords.rest.len > d.fixed.rest_bytes) {
        take_keywords(&d.keywords, d.targets, first);
        keywords = take_keywords(&d.keywords, d.targets + first, end - first);
    }
    d.fixed.target_count = (uint16_t)(end - first);
    d.fixed.rest_bytes = 0;
    bytes_clear(copy);
    bytes_put(copy, &d.fixed, sizeof d.fixed);
    bytes_put(copy, d.targets + first, (end - first) * sizeof *d.targets);
    bytes_put_slice(copy, keywords);
    return copy->failed ? slice_of(NULL, 0) : bytes_slice(copy);
}

bool delta_read(struct slice payload, struct delta_read *d)
{
    d->body = reader_of(payload);
    reader_copy(&d->body, &d->fixed, sizeof d->fixed);
    return done(&d->body, d->fixed.version);
}

/* Sorted, disjoint, not empty: what apply functions rely on. */
static struct ranges_read take_ranges(struct reader *r, uint32_t count)
{
    struct ranges_read ranges = {
        (const void *)reader_take(r, (uint64_t)count * sizeof *ranges.at).at, count};

    for (uint32_t i = 0; !r->bad && i < count; i++)
        if (ranges.at[i].first > ranges.at[i].last ||
            (i && ranges.at[i].first <= ranges.at[i - 1].last))
            r->bad = true;
    return ranges;
}

static const struct rec_freed *take_freed(struct reader *r, uint32_t count)
{
    return (const void *)reader_take(r, (uint64_t)count * sizeof(struct rec_freed)).at;
}

bool flags_read(struct reader r, struct flags_read *f)
{
    reader_copy(&r, &f->fixed, sizeof f->fixed);
    f->ranges = take_ranges(&r, f->fixed.range_count);
    f->keywords = r;
    skip_strings(&r, f->fixed.keyword_count);
    return !r.bad;
}

bool expunge_read(struct reader r, struct expunge_read *e)
{
    reader_copy(&r, &e->fixed, sizeof e->fixed);
    e->ranges = take_ranges(&r, e->fixed.range_count);
    e->freed = take_freed(&r, e->fixed.freed_count);
    return !r.bad;
}

bool copy_read(struct reader r, struct copy_read *c)
{
    reader_copy(&r, &c->fixed, sizeof c->fixed);
    c->ranges = take_ranges(&r, c->fixed.range_count);
    return !r.bad;
}

bool relocate_read(struct reader r, struct relocate_read *m)
{
    struct rec_relocate fixed;

    reader_copy(&r, &fixed, sizeof fixed);
    m->count = fixed.count;
    m->moves = (const void *)reader_take(&r, (uint64_t)fixed.count * sizeof *m->moves).at;
    return !r.bad;
}

bool folder_next(struct reader *folders, struct folder_read *f)
{
    reader_copy(folders, &f->fixed, sizeof f->fixed);
    f->name = reader_take(folders, f->fixed.name_bytes);
    return !folders->bad;
}

static struct reader take_folders(struct reader *r, uint32_t count)
{
    struct reader folders = *r;
    struct folder_read f;

    for (uint32_t i = 0; i < count && folder_next(r, &f); i++)
        ;
    return folders;
}

bool tree_read(struct reader r, struct tree_read *t)
{
    reader_copy(&r, &t->fixed, sizeof t->fixed);
    t->folders = take_folders(&r, t->fixed.folder_count);
    t->name = reader_take(&r, t->fixed.name_bytes);
    t->to = reader_take(&r, t->fixed.to_bytes);
    t->freed = take_freed(&r, t->fixed.freed_count);
    return !r.bad;
}

bool user_read(struct reader r, struct user_read *u)
{
    reader_copy(&r, &u->fixed, sizeof u->fixed);
    u->folders = take_folders(&r, u->fixed.folder_count);
    u->name = reader_take(&r, u->fixed.name_bytes);
    u->freed = take_freed(&r, u->fixed.freed_count);
    return !r.bad;
}

bool user_state_read(struct reader r, struct user_state_read *s)
{
    reader_copy(&r, &s->fixed, sizeof s->fixed);
    s->name = reader_take(&r, s->fixed.name_bytes);
    s->freed = take_freed(&r, s->fixed.freed_count);
    s->folders = r;
    return !r.bad;
}

bool user_state_whole(const struct user_state_read *s)
{
    struct reader r = s->folders;
    struct folder_state_read f;

    for (uint32_t i = 0; i < s->fixed.mailbox_count && folder_state_next(&r, &f); i++)
        ;
    return !r.bad;
}

bool folder_state_next(struct reader *folders, struct folder_state_read *f)
{
    reader_copy(folders, &f->fixed, sizeof f->fixed);
    f->name = reader_take(folders, f->fixed.name_bytes);
    return !folders->bad;
}

bool mailbox_state_read(struct slice payload, struct mailbox_state_read *s)
{
    struct reader r = reader_of(payload);

    reader_copy(&r, &s->fixed, sizeof s->fixed);
    s->pages =
        (const void *)reader_take(&r, (uint64_t)s->fixed.page_count * sizeof *s->pages)
            .at;
    s->keywords = r;
    skip_strings(&r, s->fixed.keyword_count);
    s->sets = reader_take(&r, (uint64_t)s->fixed.set_count * sizeof(struct keyword_set));
    s->entries =
        reader_take(&r, (uint64_t)s->fixed.entry_count * sizeof(struct packed_entry));
    return done(&r, s->fixed.version) && s->fixed.keyword_count <= KEYWORDS_HARD_MAX &&
        s->fixed.set_count <= KEYWORD_SETS_MAX;
}

bool page_read(struct slice payload, struct page_read *p)
{
    struct reader r = reader_of(payload);

    reader_copy(&r, &p->fixed, sizeof p->fixed);
    p->entries = reader_take(&r, (uint64_t)p->fixed.count * sizeof(struct packed_entry));
    return done(&r, p->fixed.version);
}

bool queue_added_read(struct slice payload, struct queue_added_read *q)
{
    struct reader r = reader_of(payload);

    reader_copy(&r, &q->fixed, sizeof q->fixed);
    q->freed = take_freed(&r, q->fixed.freed_count);
    q->envelope = reader_take(&r, q->fixed.envelope_bytes);
    q->state = reader_take(&r, q->fixed.state_bytes);
    return done(&r, q->fixed.version) && q->fixed.id && q->fixed.share <= SHARE_MAX;
}

bool queue_attempted_read(struct slice payload, struct queue_attempted_read *q)
{
    struct reader r = reader_of(payload);

    reader_copy(&r, &q->fixed, sizeof q->fixed);
    q->freed = take_freed(&r, q->fixed.freed_count);
    q->state = reader_take(&r, q->fixed.state_bytes);
    return done(&r, q->fixed.version);
}

bool queue_done_read(struct slice payload, struct queue_done_read *q)
{
    struct reader r = reader_of(payload);

    reader_copy(&r, &q->fixed, sizeof q->fixed);
    q->freed = take_freed(&r, q->fixed.freed_count);
    return done(&r, q->fixed.version);
}
