#include "store/compact_state.h"

/* --- items ---------------------------------------------------------------------------
 */

static uint32_t items_at(const struct items *items, uint64_t place)
{
    uint32_t lo = 0, hi = items->count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (items->at[mid].place < place)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct item *items_find(const struct items *items, uint64_t place)
{
    uint32_t at = items_at(items, place);

    return at < items->count && items->at[at].place == place ? &items->at[at] : NULL;
}

/* As many as a segment of small messages has: what is not used is not touched, and what
 * grows is copied into new memory in one turn. */
enum { ITEMS_FIRST = 1 << 18 };

bool items_add(struct items *items, uint64_t place, unsigned kind)
{
    uint32_t at;

    if (items->count == items->cap) {
        uint32_t cap = items->cap ? 2 * items->cap : ITEMS_FIRST;
        struct item *grown = realloc(items->at, cap * sizeof *grown);

        if (!grown)
            return false;
        items->at = grown;
        items->cap = cap;
    }
    at = items_at(items, place); /* at the end, in a scan */
    if (at < items->count && items->at[at].place == place)
        return true;
    memmove(&items->at[at + 1], &items->at[at], (items->count - at) * sizeof *items->at);
    items->at[at] = (struct item){.place = place, .kind = (uint8_t)kind};
    items->count++;
    return true;
}

struct item *compact_body(const struct compact *c, uint64_t place)
{
    return items_find(
        PLACE_SEGMENT(place) == c->segment ? &c->items : &c->foreign, place);
}

/* --- owners ----------------------------------------------------------------------------
 */

static enum status owner_add(struct compact *c, uint64_t id, uint64_t seq)
{
    struct owner o = {id, seq}, *last;

    if (c->owners.len) {
        last = (void *)(c->owners.at + c->owners.len - sizeof *last);
        if (last->id == id && (seq == 0 || last->seq >= seq))
            return STATUS_OK;
    }
    bytes_put(&c->owners, &o, sizeof o);
    return c->owners.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status owners_add(struct compact *c, struct slice ids)
{
    for (size_t i = 0; i < ids.len / 8; i++)
        TRY(owner_add(c, u64_at(ids, i), 0));
    return STATUS_OK;
}

enum status owners_of_message(struct compact *c, const struct log_record *r)
{
    struct message_read m;

    if (!message_read(r->payload, &m))
        return STATUS_CORRUPT;
    return owners_add(c, m.owners);
}

static int by_id(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

void owners_sort(struct compact *c)
{
    struct owner *at = (void *)c->owners.at;
    size_t n = c->owners.len / sizeof *at, kept = 0;

    if (n > 1)
        qsort(at, n, sizeof *at, by_id);
    for (size_t i = 0; i < n; i++) {
        if (kept && at[kept - 1].id == at[i].id) {
            if (at[i].seq > at[kept - 1].seq)
                at[kept - 1].seq = at[i].seq;
            continue;
        }
        at[kept++] = at[i];
    }
    c->owners.len = kept * sizeof *at;
}

/* --- records --- */

static enum status keep_add(struct compact *c, const struct log_record *r)
{
    struct keep k = {
        .seq = r->seq, .bytes = (uint32_t)r->payload.len, .kind = (uint8_t)r->kind};

    if (c->oldest)
        return STATUS_OK;
    bytes_put(&c->keeps, &k, sizeof k);
    bytes_put_slice(&c->keeps, r->payload);
    return c->keeps.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

/* What it gave back was counted where it stood. */
static enum status scan_queue_done(struct compact *c, const struct log_record *r)
{
    struct queue_done_read d;
    struct log_record bare = *r;

    if (!queue_done_read(r->payload, &d))
        return STATUS_CORRUPT;
    d.fixed.freed_count = 0;
    bare.payload = slice_of((const char *)&d.fixed, sizeof d.fixed);
    return keep_add(c, &bare);
}

/* A link of chains: whose state does not reflect it yet has to be folded. */
static enum status scan_chain(struct compact *c, const struct log_record *r)
{
    struct record_users users;
    uint64_t prev;

    if (!record_users(r, &users))
        return STATUS_CORRUPT;
    for (unsigned i = 0; i < users.count; i++) {
        uint64_t id = record_user_at(&users, i, &prev);
        const struct head *head = heads_by_id(&c->store->heads, id);

        if (head && (head->applied_seq < r->seq || head->state == r->place))
            TRY(owner_add(c, id, r->seq));
    }
    return STATUS_OK;
}

static enum status scan_user(struct compact *c, const struct log_record *r)
{
    struct delta_read d;

    if (!delta_read(r->payload, &d))
        return STATUS_CORRUPT;
    if (d.fixed.what == USER_REMOVED)
        return keep_add(c, r);
    return scan_chain(c, r);
}

static enum status scan_state(struct compact *c, const struct log_record *r)
{
    struct mailbox_state_read st;
    struct page_read p;
    bool page = r->flags & STATE_PAGE;

    if (page ? !page_read(r->payload, &p) : !mailbox_state_read(r->payload, &st))
        return STATUS_CORRUPT;
    return owner_add(c, page ? p.fixed.user : st.fixed.user, 0);
}

static enum status scan_summary(struct compact *c, const struct log_record *r)
{
    struct summaries_read s;

    if (!summaries_read(r->payload, &s))
        return STATUS_CORRUPT;
    if (!items_add(&c->items, r->place, r->kind))
        return STATUS_NO_MEMORY;
    return owners_add(c, s.owners);
}

enum status scan_record(void *arg, const struct log_record *r)
{
    struct compact *c = arg;

    if (c->adopted && !record_is_adopted(r->kind))
        return STATUS_OK;
    switch (r->kind) {
    case RECORD_MESSAGE:
        if (!items_add(&c->items, r->place, r->kind))
            return STATUS_NO_MEMORY;
        return owners_of_message(c, r);
    case RECORD_CHUNK:
        return items_add(&c->items, r->place, r->kind) ? STATUS_OK : STATUS_NO_MEMORY;
    case RECORD_SUMMARY:
        return scan_summary(c, r);
    case RECORD_MAILBOX_STATE:
        return scan_state(c, r);
    case RECORD_USER:
        return scan_user(c, r);
    case RECORD_DELIVERY:
    case RECORD_FLAGS:
    case RECORD_EXPUNGE:
    case RECORD_RELOCATE:
    case RECORD_COPY:
    case RECORD_MAILBOX:
    case RECORD_USER_STATE:
        return scan_chain(c, r);
    case RECORD_FANOUT_DONE:
        return keep_add(c, r);
    case RECORD_ADOPTED: /* written anew at the end */
        c->adoption = true;
        return STATUS_OK;
    case RECORD_UIDVALIDITY: /* written anew at the end */
    case RECORD_FANOUT:      /* found by the table of the open ones */
    case RECORD_QUEUE_ADDED: /* found by the table of the entries */
    case RECORD_QUEUE_ATTEMPTED:
        return STATUS_OK;
    case RECORD_QUEUE_DONE:
        return scan_queue_done(c, r);
    case RECORD_BATCH:
    case RECORD_SEGMENT_SEALED:
    case RECORD_SEGMENTS:
        break;
    }
    return STATUS_INVALID; /* nothing of ours: the segment stays as it is */
}
