/* Summaries in memory: one cache of the records that hold them, by place. A record may
 * hold the summaries of many messages of one mailbox; then one read serves them all. */
#include "store/mailbox.h"

enum {
    CACHE_BYTES = 16 << 20,
    CACHE_BUCKETS = 1 << 14,
    AHEAD = 32,       /* messages looked at behind one that had to be read */
    READS_MAX = 64,   /* on their way at once; more only where someone waits */
    ENTRY_COST = 256, /* bytes of memory counted beside the bytes themselves */
};

struct cluster {
    struct list lru; /* in store->clusters while nobody uses it */
    struct cluster *next;
    struct store *store;
    uint64_t place;
    uint32_t refs;
    bool reading;
    enum status status; /* why there are no bytes */
    struct log_read read;
    struct list waiting; /* summary_read.op.link */
    char *bytes;         /* the payload */
    size_t len;
    struct summaries_read summaries;
};

struct summary_cache {
    struct cluster *buckets[CACHE_BUCKETS];
    unsigned reads;
};

/* What summary_read.state leads to while it waits, and after. */
static struct cluster **bucket(struct store *s, uint64_t place)
{
    uint64_t x = (place >> 3) * 0x9e3779b97f4a7c15u;

    return &s->summary_cache->buckets[x >> 40 & (CACHE_BUCKETS - 1)];
}

static struct cluster *find(struct store *s, uint64_t place)
{
    struct cluster *c = *bucket(s, place);

    while (c && c->place != place)
        c = c->next;
    return c;
}

static void cluster_free(struct cluster *c)
{
    struct store *s = c->store;
    struct cluster **at = bucket(s, c->place);

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    list_remove(&c->lru);
    s->cluster_bytes -= c->len + ENTRY_COST;
    free(c->bytes);
    free(c);
}

static void shrink(struct store *s)
{
    while (s->cluster_bytes > CACHE_BYTES && !list_empty(&s->clusters))
        cluster_free(container_of(s->clusters.next, struct cluster, lru));
}

static void unref(struct cluster *c)
{
    struct store *s = c->store;

    if (--c->refs || c->reading)
        return;
    if (!c->bytes) {
        cluster_free(c); /* it could not be read */
        return;
    }
    list_add(&s->clusters, &c->lru);
    shrink(s);
}

/* --- reading -------------------------------------------------------------------------
 */

static enum status take(struct cluster *c)
{
    const struct log_record *r = &c->read.record;

    if (r->kind != RECORD_SUMMARY)
        return STATUS_CORRUPT;
    c->bytes = malloc(r->payload.len + 1);
    if (!c->bytes)
        return STATUS_NO_MEMORY;
    memcpy(c->bytes, r->payload.at, r->payload.len);
    if (!summaries_read(slice_of(c->bytes, r->payload.len), &c->summaries)) {
        free(c->bytes);
        c->bytes = NULL;
        return STATUS_CORRUPT;
    }
    c->len = r->payload.len;
    c->store->cluster_bytes += c->len;
    return STATUS_OK;
}

static bool pick(const struct cluster *c, struct summary_read *r, unsigned index)
{
    r->summary = summaries_at(&c->summaries, index);
    return index < c->summaries.fixed.count;
}

static void on_read(struct log_read *read, enum status status)
{
    struct cluster *c = container_of(read, struct cluster, read);
    struct list *link;

    c->reading = false;
    c->store->summary_cache->reads--;
    if (status == STATUS_OK) {
        status = take(c);
        log_read_end(&c->read);
    }
    if (status == STATUS_NOT_FOUND)
        status = STATUS_CORRUPT;
    while ((link = list_pop(&c->waiting))) {
        struct summary_read *r = container_of(link, struct summary_read, op.link);
        enum status each = status;

        if (each == STATUS_OK && !pick(c, r, r->op.kind))
            each = STATUS_CORRUPT;
        r->op.pending = false;
        if (each != STATUS_OK) {
            r->state = NULL;
            c->refs--;
        }
        r->op.done(&r->op, each);
    }
    unref(c); /* the read's own */
}

/* A cluster with a reference for the caller, or NULL: no memory. */
static struct cluster *begin(struct store *s, uint64_t place)
{
    struct cluster *c = calloc(1, sizeof *c);
    struct cluster **at = bucket(s, place);

    if (!c)
        return NULL;
    c->store = s;
    c->place = place;
    c->refs = 1;
    list_init(&c->lru);
    list_init(&c->waiting);
    c->next = *at;
    *at = c;
    s->cluster_bytes += ENTRY_COST;
    c->reading = true;
    s->summary_cache->reads++;
    c->refs++; /* for the read */
    if (!log_read_near(s->log, &c->read, place, 0, on_read))
        return c;
    c->reading = false;
    s->summary_cache->reads--;
    c->refs--;
    c->status = take(c);
    log_read_end(&c->read);
    return c;
}

/* Whoever lists a mailbox wants the next ones soon. */
static void read_ahead(struct mailbox *m, uint32_t uid)
{
    struct store *s = m->user->store;
    struct content *c = m->content;
    struct spot spot = content_seek(c, uid);

    for (int i = 0; i < AHEAD && s->summary_cache->reads < READS_MAX; i++) {
        const struct packed_entry *e;
        struct cluster *made;

        if (spot.page >= c->page_count || !content_next(c, &spot))
            return;
        e = content_get(c, spot);
        if (find(s, e->summary))
            continue;
        made = begin(s, e->summary);
        if (!made)
            return;
        unref(made);
    }
}

/* --- for sessions --- */

static struct cluster *use(struct cluster *c)
{
    list_remove(&c->lru);
    c->refs++;
    return c;
}

bool summary_get(struct mailbox *m, struct summary_read *r, const struct entry *entry,
    void (*done)(struct store_op *op, enum status status))
{
    struct store *s = m->user->store;
    struct cluster *c = find(s, entry->summary);
    enum status status = STATUS_OK;

    r->summary = slice_of(NULL, 0);
    c = c ? use(c) : begin(s, entry->summary);
    r->state = c;
    if (c && c->bytes && pick(c, r, entry->summary_index))
        return true;
    r->op.done = done;
    r->op.pending = true;
    r->op.kind = entry->summary_index;
    list_init(&r->op.link);
    if (c && c->reading) {
        list_add(&c->waiting, &r->op.link);
        if (m->content)
            read_ahead(m, entry->uid);
        return false;
    }
    status = !c ? STATUS_NO_MEMORY : c->bytes ? STATUS_CORRUPT : c->status;
    if (c)
        unref(c);
    r->state = NULL;
    request_post(s, &r->op, status);
    return false;
}

void summary_release(struct summary_read *r)
{
    if (r->state)
        unref(r->state);
    r->state = NULL;
}

enum status summaries_init(struct store *s)
{
    s->summary_cache = calloc(1, sizeof *s->summary_cache);
    return s->summary_cache ? STATUS_OK : STATUS_NO_MEMORY;
}

void summaries_free(struct store *s)
{
    while (!list_empty(&s->clusters))
        cluster_free(container_of(s->clusters.next, struct cluster, lru));
    free(s->summary_cache);
}
