#include "store/mailbox.h"

enum {
    SUMMARY_BYTES_MAX = RECORD_PAYLOAD_MAX / 2, /* a larger one is computed when read */
    CHUNKS_MAX = 1 << 18,
    CREATED_A_TURN = 64, /* users, for a message: all their memory is new */
    FOUND_A_TURN = 256,  /* likewise: it is in no cache */
};

enum status try_chunk(struct store *s, struct store_chunk *c)
{
    struct rec_chunk head = {.version = RECORDS_VERSION};
    struct slice pieces[] = {slice_of((const char *)&head, sizeof head), c->bytes};

    if (c->bytes.len > STORE_CHUNK_BYTES)
        return STATUS_INVALID;
    if (!upload_reserve(s))
        return STATUS_NO_MEMORY;
    TRY(record_add(s, LOG_GROW, RECORD_CHUNK, 0, pieces, 2, 0, &c->place));
    TRY(change_mark(s, &c->op));
    upload_add(s, c->place);
    return STATUS_OK;
}

void store_chunk(struct store *s, struct store_chunk *c)
{
    c->place = 0;
    request_start(s, &c->op, REQUEST_CHUNK, s);
}

/* --- who gets it ---------------------------------------------------------------------
 */

/* A target and where it leads. */
struct ref {
    struct store_target *target;
    struct head *head;
    struct mailbox *mailbox; /* NULL: INBOX of a user who may be anywhere */
    uint64_t id;             /* of the user */
    uint64_t modseq;
    uint32_t uid;
};

static struct ref *refs(struct store *s)
{
    return (struct ref *)(void *)s->refs.at;
}

static unsigned ref_count(const struct store *s)
{
    return (unsigned)(s->refs.len / sizeof(struct ref));
}

static void let_go(struct store_message *m)
{
    for (unsigned i = 0; i < m->target_count; i++) {
        if (m->targets[i].held)
            user_unpin(m->targets[i].held);
        m->targets[i].held = NULL;
    }
}

static bool wants_inbox(const struct store_target *t)
{
    return slice_eq(name_canonical(t->mailbox), S("INBOX"));
}

/* The mailbox of a target that needs its user in memory. BUSY: the request is tried
 * again when he, or it, is. */
static enum status find_mailbox(struct store *s, struct store_message *m,
    struct store_target *t, struct head *head, struct mailbox **mailbox)
{
    struct user *u = t->held;
    struct mailbox *found;

    if (!u) {
        TRY(user_need(s, head, &m->op));
        u = t->held = head->user;
        user_pin(u);
    }
    if (u->removed)
        return STATUS_CANCELLED;
    found = names_find(u, name_canonical(t->mailbox));
    if (!found || !found->selectable || found->dying) {
        if (m->append)
            return STATUS_NOT_FOUND;
        found = user_mailbox_id(u, MAILBOX_INBOX);
    }
    if (t->keyword_count)
        TRY(content_need(found, &m->op));
    *mailbox = found;
    return STATUS_OK;
}

/* The user whom the target names; NULL: there is none. Who was found before is he who has
 * the name, unless he has been removed since. */
static struct head *find(struct store *s, struct store_target *t)
{
    const struct head *head = t->head;

    if (!head || head->flags & HEAD_REMOVED || !slice_eq(head_name(head), t->user))
        t->head = heads_find(&s->heads, t->user);
    return t->head;
}

/* False: there are more, and the request is tried again in the next turn. */
static bool find_all(struct store *s, struct store_message *m)
{
    unsigned end = m->found + FOUND_A_TURN;

    for (; m->found < m->target_count; m->found++) {
        if (m->found == end) {
            request_again(s, &m->op);
            return false;
        }
        find(s, &m->targets[m->found]);
    }
    return true;
}

/* BUSY: the request is tried again in the next turn, and finds these users. */
static enum status create(struct store *s, struct store_message *m,
    struct store_target *t, struct head **head, unsigned *created)
{
    if ((*created)++ == CREATED_A_TURN) {
        request_again(s, &m->op);
        return STATUS_BUSY;
    }
    return user_create(s, t->user, head);
}

static enum status resolve(
    struct store *s, struct store_message *m, struct store_target *t, unsigned *created)
{
    struct ref r = {.target = t, .head = find(s, t)};

    if (!r.head)
        TRY(create(s, m, t, &r.head, created));
    if (!wants_inbox(t) || t->keyword_count)
        TRY(find_mailbox(s, m, t, r.head, &r.mailbox));
    r.id = r.head->id;
    bytes_put(&s->refs, &r, sizeof r);
    return s->refs.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static int by_user(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->target < y->target ? -1 : 1;
}

static uint32_t mailbox_number(const struct ref *r)
{
    return r->mailbox ? r->mailbox->id : MAILBOX_INBOX;
}

/* Numbers for one copy, `i` of all; `copies` is how many its user gets with it. */
static enum status number_one(
    struct store *s, const struct store_message *m, unsigned i, unsigned copies)
{
    struct ref *all = refs(s), *r = &all[i];
    uint64_t quota = m->promised ? 0 : s->conf.quota_bytes;

    r->uid = r->mailbox ? mailbox_uid_next(r->mailbox) : r->head->uid_next;
    r->modseq = r->mailbox ? mailbox_modseq_next(r->mailbox) : r->head->modseq + 1;
    for (unsigned k = i; k-- && all[k].id == r->id;)
        if (mailbox_number(&all[k]) == mailbox_number(r)) {
            r->uid = all[k].uid + 1;
            r->modseq = all[k].modseq + 1;
            break;
        }
    if (r->uid >= UINT32_MAX - 1 || (quota && r->head->bytes + copies * m->size > quota))
        return STATUS_LIMIT;
    return r->head->pending > UINT16_MAX - m->target_count ? STATUS_BUSY : STATUS_OK;
}

/* Numbers for the copies; those of one user stand side by side. With `each` those that
 * are over quota are left out. */
static enum status number(struct store *s, struct store_message *m)
{
    struct ref *all = refs(s);
    unsigned kept = 0, copies = 0;

    for (unsigned i = 0; i < ref_count(s); i++) {
        enum status status;

        all[kept] = all[i];
        copies = kept && all[kept - 1].id == all[kept].id ? copies + 1 : 1;
        status = number_one(s, m, kept, copies);
        if (m->each && status == STATUS_LIMIT) {
            all[kept].target->status = STATUS_LIMIT;
            continue;
        }
        TRY(status);
        kept++;
    }
    s->refs.len = kept * sizeof(struct ref);
    return STATUS_OK;
}

static enum status intern_keywords(struct store *s)
{
    for (unsigned i = 0; i < ref_count(s); i++) {
        const struct store_target *t = refs(s)[i].target;

        if (t->keyword_count > KEYWORDS_HARD_MAX)
            return STATUS_LIMIT;
        if (t->keyword_count)
            TRY(mailbox_intern(refs(s)[i].mailbox, t->keywords, t->keyword_count));
    }
    return STATUS_OK;
}

/* --- the records --- */

struct owners {
    uint32_t count;
    struct slice bytes; /* u64 each */
};

/* What is being added: the targets that are left, and where. */
struct group {
    unsigned targets; /* refs() */
    unsigned share;   /* the weight of each reference: 1 / 2^share */
    struct owners owners;
    uint64_t body, summary; /* places */
};

/* The users, each once; the list stands behind the targets. */
static bool owners_of(struct store *s, unsigned targets, struct owners *o)
{
    size_t at = s->refs.len;

    o->count = 0;
    for (unsigned i = 0; i < targets; i++)
        if (i == 0 || refs(s)[i].id != refs(s)[i - 1].id) {
            uint64_t id = refs(s)[i].id;

            bytes_put(&s->refs, &id, sizeof id);
            o->count++;
        }
    o->bytes = slice_of(s->refs.at + at, s->refs.len - at);
    return !s->refs.failed;
}

static unsigned share_of(unsigned references)
{
    unsigned share = 0;

    while (share < SHARE_MAX && (1u << share) < references)
        share++;
    return share;
}

static enum status add_summary(
    struct store *s, const struct store_message *m, struct group *g)
{
    struct rec_summary head = {
        .version = RECORDS_VERSION, .count = 1, .owner_count = g->owners.count};
    struct slice blob =
        m->summary.len > SUMMARY_BYTES_MAX ? slice_of(NULL, 0) : m->summary;
    uint32_t end = (uint32_t)blob.len;
    struct slice pieces[] = {slice_of((const char *)&head, sizeof head), g->owners.bytes,
        slice_of((const char *)&end, sizeof end), blob};

    TRY(record_add(s, LOG_GROW, RECORD_SUMMARY, 0, pieces, 4, 0, &g->summary));
    note_summaries(
        s, g->summary, 1, pieces[0].len + pieces[1].len + pieces[2].len + pieces[3].len);
    return STATUS_OK;
}

static enum status add_body(
    struct store *s, const struct store_message *m, struct group *g)
{
    struct rec_message head = {.version = RECORDS_VERSION,
        .share = (uint8_t)g->share,
        .owner_count = g->owners.count,
        .chunk_count = m->chunk_count,
        .head_bytes = (uint32_t)m->head.len,
        .tail_bytes = (uint32_t)m->tail.len,
        .size = m->size};
    struct bytes *b = &s->scratch;
    struct slice pieces[5];

    bytes_clear(b);
    for (uint32_t i = 0; i < m->chunk_count; i++) {
        struct rec_part part = {m->chunks[i], m->chunk_bytes[i]};

        bytes_put(b, &part, sizeof part);
    }
    if (b->failed || !straddle_reserve(s, m->chunk_count))
        return STATUS_NO_MEMORY;
    pieces[0] = slice_of((const char *)&head, sizeof head);
    pieces[1] = g->owners.bytes;
    pieces[2] = bytes_slice(b);
    pieces[3] = m->head;
    pieces[4] = m->tail;
    TRY(record_add(s, LOG_GROW, RECORD_MESSAGE, 0, pieces, 5, 0, &g->body));
    note_message(s, g->body, &head, (const void *)b->at);
    return STATUS_OK;
}

static void put_targets(struct store *s, unsigned count)
{
    struct bytes *b = &s->scratch;

    for (unsigned i = 0; i < count; i++) {
        const struct ref *r = &refs(s)[i];
        struct rec_target t = {.user = r->id,
            .prev = r->head->last,
            .modseq = r->modseq,
            .mailbox = mailbox_number(r),
            .uid = r->uid,
            .flags = r->target->flags,
            .keyword_count = (uint16_t)r->target->keyword_count};

        bytes_put(b, &t, sizeof t);
    }
    for (unsigned i = 0; i < count; i++) {
        const struct store_target *t = refs(s)[i].target;

        for (unsigned k = 0; k < t->keyword_count; k++)
            bytes_put_string(b, t->keywords[k]);
    }
}

static int64_t date_fit(int64_t date)
{
    const int64_t max = ((int64_t)1 << 38) - 1;

    return date > max ? max : date < -max ? -max : date;
}

/* The few whose end stands in a chunk stay unknown: chunks are on the disk already. */
static bool ends_with_crlf(const struct store_message *m)
{
    struct slice end = m->tail.len || m->chunk_count ? m->tail : m->head;

    return end.len >= 2 && slice_eq(slice_of(end.at + end.len - 2, 2), S("\r\n"));
}

/* Without targets it says that the fan-out is known, and open. */
static enum status add_delivery(
    struct store *s, struct store_message *m, const struct group *g)
{
    struct bytes *b = &s->scratch;
    struct rec_delivery d = {.version = RECORDS_VERSION,
        .share = (uint8_t)g->share,
        .ends_with_crlf = ends_with_crlf(m),
        .date_zone = m->date_zone >= -2048 && m->date_zone < 2048 ? m->date_zone : 0,
        .target_count = (uint16_t)g->targets,
        .size = (uint32_t)m->size,
        .rest_bytes = (uint32_t)m->fanout_rest.len,
        .date_s = date_fit(m->date_s),
        .body = g->body,
        .summary = g->summary,
        .fanout_id = m->fanout_id};
    bool open = m->fanout_id && m->fanout_rest.len;
    enum status status;

    bytes_clear(b);
    bytes_put(b, &d, sizeof d);
    put_targets(s, g->targets);
    bytes_put_slice(b, m->fanout_rest);
    if (b->failed)
        return STATUS_NO_MEMORY;
    if (open)
        TRY(fanout_open(s, m->fanout_id, g->body, 0, m->fanout_rest));
    status = change_add(s, LOG_GROW, RECORD_DELIVERY, bytes_slice(b), &m->op, NULL);
    if (status != STATUS_OK && open)
        fanout_close(s, m->fanout_id);
    return status;
}

static void tell_numbers(struct store *s, struct store_message *m, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct ref *r = &refs(s)[i];

        if (r->mailbox)
            mailbox_given(r->mailbox, r->uid + 1, r->modseq);
        r->target->uid = r->uid;
        r->target->uid_validity =
            r->mailbox ? r->mailbox->uid_validity : r->head->uid_validity;
    }
    for (uint32_t i = 0; i < m->chunk_count; i++)
        upload_end(s, upload_find(s, m->chunks[i]));
}

static size_t keyword_bytes(const struct store_message *m)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < m->target_count; i++)
        for (unsigned k = 0; k < m->targets[i].keyword_count; k++)
            bytes += 1 + m->targets[i].keywords[k].len;
    return bytes;
}

/* All of the group in one batch. What is more than a batch holds is whole by its last
 * record alone, if that is the only one that counts. */
static enum status room_for(struct store *s, const struct store_message *m)
{
    size_t bytes = m->summary.len + m->head.len + m->tail.len + m->fanout_rest.len + 512 +
        m->chunk_count * sizeof(struct rec_part) +
        m->target_count * (sizeof(struct rec_target) + 16);
    bool several = m->queue_count || m->settles;
    enum status room;

    if (several)
        bytes += keyword_bytes(m) +
            queue_room(s, m->queue_envelopes, m->queue_count, m->settles);
    room = log_room(s->log, LOG_GROW, several ? 4 + m->queue_count : 3, bytes);
    return room == STATUS_LIMIT && !several ? STATUS_OK : room;
}

static enum status add_text(
    struct store *s, const struct store_message *m, struct group *g)
{
    if (g->targets)
        TRY(add_summary(s, m, g));
    return add_body(s, m, g);
}

/* With entries of the queue, and what it settles: nothing fails after the first record
 * that counts. */
static enum status add_with_queue(
    struct store *s, struct store_message *m, struct group *g)
{
    bool delivery = g->targets || m->fanout_id;
    enum status status;

    if (m->settles)
        TRY(queue_settle_prepare(s, m->settles));
    if (!delivery && !change_mark_reserve(s))
        return STATUS_NO_MEMORY;
    TRY(queue_prepare(s, m->queue_envelopes, m->queue_count, m->queue_ids));
    status = add_text(s, m, g);
    if (status == STATUS_OK && delivery)
        status = add_delivery(s, m, g);
    if (status != STATUS_OK) {
        queue_unprepare(s, m->queue_count, m->queue_ids);
        return status;
    }
    queue_put(
        s, m->queue_envelopes, m->queue_count, m->queue_ids, g->body, m->size, g->share);
    if (m->settles)
        CHECK(queue_settle(s, m->settles) == STATUS_OK);
    if (!delivery)
        CHECK(change_mark(s, &m->op) == STATUS_OK);
    queue_await(s, m->queue_count, m->queue_ids);
    return STATUS_OK;
}

static enum status add_all(struct store *s, struct store_message *m)
{
    struct group g = {.targets = ref_count(s)};

    g.share = share_of(g.targets + m->queue_count);
    if (!owners_of(s, g.targets, &g.owners))
        return STATUS_NO_MEMORY;
    TRY(room_for(s, m));
    if (m->queue_count || m->settles) {
        TRY(add_with_queue(s, m, &g));
    } else {
        TRY(add_text(s, m, &g));
        TRY(add_delivery(s, m, &g));
    }
    tell_numbers(s, m, g.targets);
    return STATUS_OK;
}

/* --- the request --- */

static enum status message_valid(struct store *s, const struct store_message *m)
{
    uint64_t sum = m->head.len + m->tail.len;

    if (m->head.len + m->tail.len > (size_t)2 * STORE_INLINE_MAX ||
        m->chunk_count > CHUNKS_MAX || m->target_count + m->queue_count == 0 ||
        m->target_count > UINT16_MAX)
        return STATUS_INVALID;
    for (uint32_t i = 0; i < m->chunk_count; i++) {
        if (!upload_find(s, m->chunks[i]))
            return STATUS_INVALID; /* given up long ago, or named twice */
        sum += m->chunk_bytes[i];
    }
    if (m->size > UINT32_MAX)
        return STATUS_LIMIT;
    return sum == m->size ? STATUS_OK : STATUS_INVALID;
}

/* With `each`: those that have no mailbox are left out. */
static enum status resolve_all(struct store *s, struct store_message *m)
{
    unsigned created = 0;

    if (!find_all(s, m))
        return STATUS_CANCELLED; /* parked */
    bytes_clear(&s->refs);
    for (unsigned i = 0; i < m->target_count; i++) {
        struct store_target *t = &m->targets[i];
        enum status status = resolve(s, m, t, &created);

        if (status == STATUS_BUSY && list_linked(&m->op.link))
            return STATUS_CANCELLED; /* parked */
        if (status == STATUS_CANCELLED)
            status = STATUS_NOT_FOUND; /* the account went while it waited */
        if (m->each)
            t->status = (uint8_t)status;
        if (!m->each || status != STATUS_NOT_FOUND)
            TRY(status);
    }
    if (ref_count(s) > 1)
        qsort(s->refs.at, ref_count(s), sizeof(struct ref), by_user);
    return STATUS_OK;
}

/* Nobody is left who could have it: what the first of them is told. */
static enum status nobody(const struct store *s, const struct store_message *m)
{
    return ref_count(s) || m->queue_count ? STATUS_OK : (enum status)m->targets[0].status;
}

/* The body is looked up by its id, so that one that is on its way counts as stored, and
 * the answer waits for it. */
static enum status store_it(struct store *s, struct store_message *m)
{
    if (!store_writable(s))
        return STATUS_READ_ONLY;
    if (m->fanout_id && recent_has(&s->recent, m->fanout_id))
        return change_mark(s, &m->op);
    TRY(message_valid(s, m));
    TRY(resolve_all(s, m));
    TRY(number(s, m));
    TRY(nobody(s, m));
    TRY(intern_keywords(s));
    return add_all(s, m);
}

enum status try_message(struct store *s, struct store_message *m)
{
    enum status status = store_it(s, m);

    if (status == STATUS_CANCELLED)
        return STATUS_OK;
    m->copied = status == STATUS_OK;
    let_go(m);
    return status;
}

void store_message(struct store *s, struct store_message *m)
{
    for (unsigned i = 0; i < m->target_count; i++) {
        m->targets[i].held = m->targets[i].head = NULL;
        m->targets[i].uid = m->targets[i].uid_validity = 0;
        m->targets[i].status = STATUS_OK;
    }
    m->found = 0;
    for (unsigned i = 0; i < m->queue_count; i++)
        m->queue_ids[i] = 0;
    m->copied = false;
    request_start(s, &m->op, REQUEST_MESSAGE, s);
}
