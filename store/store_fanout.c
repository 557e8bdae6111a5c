#include "store/index.h"

/* --- deliveries to several shards --- */

struct fanout *fanout_find(struct store *s, uint64_t id)
{
    list_each(link, &s->fanouts) {
        struct fanout *f = container_of(link, struct fanout, link);

        if (f->id == id)
            return f;
    }
    return NULL;
}

enum status fanout_open(
    struct store *s, uint64_t id, uint64_t body, uint64_t record, struct slice rest)
{
    struct fanout *f = fanout_find(s, id);

    if (!f) {
        f = malloc(sizeof *f + rest.len);
        if (!f)
            return STATUS_NO_MEMORY;
        *f = (struct fanout){.id = id, .rest_bytes = (uint32_t)rest.len};
        memcpy(f->rest, rest.at, rest.len);
        list_add(&s->fanouts, &f->link);
    }
    f->body = body;
    f->record = record;
    return STATUS_OK;
}

void fanout_close(struct store *s, uint64_t id)
{
    struct fanout *f = fanout_find(s, id);

    if (!f)
        return;
    s->fanouts_done -= f->done;
    list_remove(&f->link);
    free(f);
}

enum status fanout_record_done(struct store *s, uint64_t id)
{
    struct rec_fanout_done r = {.version = RECORDS_VERSION, .id = id};
    struct slice payload = slice_of((const char *)&r, sizeof r);
    uint64_t place;

    TRY(record_add(s, LOG_SHRINK, RECORD_FANOUT_DONE, 0, &payload, 1, 0, &place));
    fanout_close(s, id);
    return STATUS_OK;
}

/* If its end is never recorded, the shares are sent once more after the next start, and
 * their owners know the id. */
void store_fanout_done(struct store *s, uint64_t id)
{
    struct fanout *f = fanout_find(s, id);

    if (!f || f->done || fanout_record_done(s, id) == STATUS_OK)
        return;
    f->done = true;
    s->fanouts_done++;
}

void fanouts_step(struct store *s)
{
    if (!s->fanouts_done || !store_writable(s))
        return;
    list_each_safe(link, after, &s->fanouts) {
        struct fanout *f = container_of(link, struct fanout, link);

        if (f->done && fanout_record_done(s, f->id) != STATUS_OK)
            return;
    }
}

void fanouts_free(struct store *s)
{
    while (!list_empty(&s->fanouts))
        free(container_of(list_pop(&s->fanouts), struct fanout, link));
}

bool store_fanout_open(struct store *s, unsigned i, struct store_fanout *fanout)
{
    list_each(link, &s->fanouts) {
        struct fanout *f = container_of(link, struct fanout, link);

        if (i-- != 0)
            continue;
        *fanout = (struct store_fanout){
            .id = f->id, .rest = slice_of(f->rest, f->rest_bytes), .body = f->body};
        return true;
    }
    return false;
}

/* --- ids stored lately ---------------------------------------------------------------
 */

enum { TABLE = 2 * FANOUT_RECENT };

static uint32_t home(uint64_t id)
{
    return (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 40) & (TABLE - 1);
}

enum status recent_init(struct recent_ids *r)
{
    r->ring = calloc(FANOUT_RECENT, sizeof *r->ring);
    r->table = calloc(TABLE, sizeof *r->table);
    return r->ring && r->table ? STATUS_OK : STATUS_NO_MEMORY;
}

void recent_free(struct recent_ids *r)
{
    free(r->ring);
    free(r->table);
    *r = (struct recent_ids){0};
}

/* Slot of the id, or the free one where it belongs. */
static uint32_t find(const struct recent_ids *r, uint64_t id)
{
    uint32_t at = home(id);

    while (r->table[at] && r->ring[r->table[at] - 1] != id)
        at = (at + 1) & (TABLE - 1);
    return at;
}

bool recent_has(const struct recent_ids *r, uint64_t id)
{
    return r->table[find(r, id)] != 0;
}

/* Removes a slot and moves back what was pushed past it. */
static void forget(struct recent_ids *r, uint32_t hole)
{
    uint32_t at = hole;

    for (;;) {
        uint32_t want;

        at = (at + 1) & (TABLE - 1);
        if (!r->table[at])
            break;
        want = home(r->ring[r->table[at] - 1]);
        if (((at - want) & (TABLE - 1)) >= ((at - hole) & (TABLE - 1))) {
            r->table[hole] = r->table[at];
            hole = at;
        }
    }
    r->table[hole] = 0;
}

void recent_add(struct recent_ids *r, uint64_t id)
{
    if (recent_has(r, id))
        return;
    if (r->count == FANOUT_RECENT)
        forget(r, find(r, r->ring[r->next]));
    else
        r->count++;
    r->ring[r->next] = id;
    r->table[find(r, id)] = r->next + 1;
    r->next = (r->next + 1) % FANOUT_RECENT;
}
