/* A user's state is written, so that his chain starts anew.
 *
 *      CONTENT --> PAGES --> STATE --> WAIT
 *
 *      CONTENT  what waits at mailboxes that are not in memory must be applied first
 *      PAGES    changed pages are written, a few a turn
 *      STATE    when few are left: those, the mailbox states and the USER_STATE, at once,
 *               so that they show one moment
 *      WAIT     until the USER_STATE is durable
 *
 * Pages that change again meanwhile are written again. Changes that are on their way when
 * the state is taken are not in it; the chain keeps them. */
#include "store/mailbox.h"

enum {
    PAGES_TURN = 8,      /* pages written in one slice */
    QUEUE_TURN = 16,     /* waiting users looked at in one turn */
    QUEUE_MAX = 1 << 20, /* bytes of waiting users' numbers */
};

struct fold {
    struct list link; /* in store->folds */
    struct user *user;
    struct store_op *op; /* who waits for it, or NULL */
    bool waits;          /* the USER_STATE is on its way */
    bool more;           /* the slice was used up */
    uint32_t segment;
    struct freed freed;
    uint16_t reflected; /* records of the chain that the state makes superfluous */
    bool saturated;     /* the chain was too long to count */
    uint32_t state_bytes;
};

bool fold_due(const struct store *s, const struct head *head)
{
    unsigned limit = s->chain_fold;

    /* The directory of a large mailbox is rewritten each time. */
    if (head->user && !head->user->loading) {
        const struct mailbox *inbox = user_mailbox_id(head->user, MAILBOX_INBOX);

        if (inbox && inbox->content)
            limit += inbox->content->page_count / 2;
    }
    if (head->user && head->user->fold_after)
        limit = head->user->fold_after + s->chain_fold;
    return head->chain >= limit && !(head->flags & (HEAD_FOLDING | HEAD_REMOVED));
}

void fold_want(struct store *s, struct head *head)
{
    if (head->flags & HEAD_FOLDING || s->fold_ids.len > QUEUE_MAX)
        return; /* his next record asks again */
    bytes_put(&s->fold_ids, &head->id, sizeof head->id);
    if (!s->fold_ids.failed)
        head->flags |= HEAD_FOLDING;
    s->fold_ids.failed = false;
}

enum status fold_begin(struct user *u, uint32_t segment, struct store_op *op)
{
    struct fold *f;

    if (u->fold)
        return STATUS_BUSY;
    if (!store_writable(u->store) && !u->store->stopping)
        return STATUS_READ_ONLY;
    f = calloc(1, sizeof *f);
    if (!f)
        return STATUS_NO_MEMORY;
    f->user = u;
    f->segment = segment;
    f->op = op;
    u->fold = f;
    user_pin(u);
    list_add(&u->store->folds, &f->link);
    u->store->fold_count++;
    return STATUS_OK;
}

static void fold_end(struct fold *f, enum status status)
{
    struct user *u = f->user;
    struct store *s = u->store;

    if (u->head)
        u->head->flags &= (uint8_t)~HEAD_FOLDING;
    if (f->op)
        request_post(s, f->op, status);
    list_remove(&f->link);
    bytes_free(&f->freed.bytes);
    free(f);
    u->fold = NULL;
    s->fold_count--;
    user_unpin(u);
}

void fold_durable(struct head *head, const struct log_record *r)
{
    struct user *u = head->user;
    struct fold *f = u ? u->fold : NULL;

    head_set_state(head, r);
    if (!f)
        return;
    u->fold_after = 0;
    if (f->saturated)
        head->chain = (uint16_t)(u->store->chain_fold / 2);
    else
        head->chain = (uint16_t)(head->chain - f->reflected - 1);
    u->state_bytes = f->state_bytes;
    fold_end(f, STATUS_OK);
}

void fold_failed(struct head *head)
{
    if (head->user && head->user->fold)
        fold_end(head->user->fold, STATUS_READ_ONLY);
}

/* --- content --- */

static bool in_segment(const struct fold *f, uint64_t place)
{
    return f->segment && PLACE_SEGMENT(place) == f->segment;
}

static bool wants_content(const struct fold *f, const struct mailbox *m)
{
    if (!held_empty(&m->held))
        return true;
    return f->segment && m->state && f->segment >= m->segments.min &&
        f->segment <= m->segments.max;
}

/* BUSY: something is on its way. */
static enum status need_contents(struct fold *f)
{
    struct user *u = f->user;
    enum status all = STATUS_OK;

    for (unsigned i = 0; i < u->id_count; i++) {
        struct mailbox *m = u->ids[i];
        enum status status;

        if (!wants_content(f, m) && !m->load)
            continue;
        status = content_need(m, NULL);
        if (status == STATUS_BUSY)
            all = STATUS_BUSY;
        else
            TRY(status);
    }
    return all;
}

/* --- pages ----------------------------------------------------------------------------
 */

static bool is_inline(const struct mailbox *m)
{
    return m->content->messages <= m->user->store->inline_entries;
}

static bool page_due(const struct fold *f, const struct page *p)
{
    return p->dirty || !p->place || in_segment(f, p->place);
}

static enum status page_write(struct mailbox *m, struct page *p)
{
    struct store *s = m->user->store;
    struct rec_page head = {.version = RECORDS_VERSION,
        .mailbox = m->id,
        .user = m->user->id,
        .count = p->count};
    struct slice pieces[] = {slice_of((const char *)&head, sizeof head),
        slice_of((const char *)p->at, p->count * sizeof *p->at)};
    size_t bytes = pieces[0].len + pieces[1].len;
    uint64_t place;

    TRY(record_add(
        s, LOG_SHRINK, RECORD_MAILBOX_STATE, STATE_PAGE, pieces, 2, 0, &place));
    log_live(s->log, place, (int64_t)record_span(bytes));
    page_forget(m->content, p);
    p->place = place;
    p->bytes = (uint32_t)bytes;
    p->dirty = false;
    m->content->dirty = true;
    segments_add(&m->segments, place);
    return STATUS_OK;
}

/* Writes up to `budget` pages; *left: how many more there are. */
static enum status write_pages(struct fold *f, unsigned budget, unsigned *left)
{
    struct user *u = f->user;

    *left = 0;
    for (unsigned i = 0; i < u->id_count; i++) {
        struct content *c = u->ids[i]->content;

        for (uint32_t k = 0; c && !is_inline(u->ids[i]) && k < c->page_count; k++) {
            if (!page_due(f, &c->pages[k]))
                continue;
            if (budget == 0)
                ++*left;
            else
                TRY(page_write(u->ids[i], &c->pages[k]));
            budget -= budget > 0;
        }
    }
    return STATUS_OK;
}

/* --- states --- */

static void put_pages(struct bytes *b, const struct content *c)
{
    for (uint32_t i = 0; i < c->page_count; i++) {
        const struct page *p = &c->pages[i];
        struct rec_page_ref ref = {.place = p->place,
            .bytes = p->bytes,
            .count = p->count,
            .first = p->at[0].uid,
            .last = p->at[p->count - 1].uid};

        bytes_put(b, &ref, sizeof ref);
    }
}

static void put_state(struct bytes *b, const struct mailbox *m)
{
    const struct content *c = m->content;
    const struct keywords *k = &c->keywords;
    bool small = is_inline(m);
    struct rec_mailbox_state head = {.version = RECORDS_VERSION,
        .keyword_count = k->shown,
        .mailbox = m->id,
        .user = m->user->id,
        .flags_modseq = m->flags_modseq,
        .page_count = small ? 0 : c->page_count,
        .set_count = k->set_count,
        .entry_count = small ? c->messages : 0};

    bytes_clear(b);
    bytes_put(b, &head, sizeof head);
    if (!small)
        put_pages(b, c);
    for (unsigned i = 0; i < k->shown; i++)
        bytes_put_string(b, k->at[i]);
    bytes_put(b, k->sets, k->set_count * sizeof *k->sets);
    for (uint32_t i = 0; small && i < c->page_count; i++)
        bytes_put(b, c->pages[i].at, c->pages[i].count * sizeof *c->pages[i].at);
}

static void forget_state(struct mailbox *m)
{
    if (m->state)
        freed_add(
            &m->content->dropped, PLACE_SEGMENT(m->state), record_span(m->state_bytes));
    m->state = 0;
}

static bool has_nothing(const struct mailbox *m)
{
    return m->content->messages == 0 && m->content->keywords.shown == 0 &&
        m->flags_modseq == 0;
}

static enum status state_write(struct mailbox *m)
{
    struct store *s = m->user->store;
    struct content *c = m->content;
    struct bytes *b = &s->scratch;
    struct slice payload;
    uint64_t place = 0;

    if (!has_nothing(m)) {
        put_state(b, m);
        if (b->failed)
            return STATUS_NO_MEMORY;
        payload = bytes_slice(b);
        TRY(record_add(s, LOG_SHRINK, RECORD_MAILBOX_STATE, 0, &payload, 1, 0, &place));
        log_live(s->log, place, (int64_t)record_span(payload.len));
    }
    forget_state(m);
    m->state = place;
    m->state_bytes = place ? (uint32_t)b->len : 0;
    segments_add(&m->segments, place);
    for (uint32_t i = 0; is_inline(m) && i < c->page_count; i++) {
        page_forget(c, &c->pages[i]);
        c->pages[i].dirty = false;
    }
    c->dirty = false;
    return STATUS_OK;
}

static enum status write_states(struct fold *f)
{
    struct user *u = f->user;

    for (unsigned i = 0; i < u->id_count; i++) {
        struct mailbox *m = u->ids[i];

        if (m->content && (m->content->dirty || in_segment(f, m->state)))
            TRY(state_write(m));
    }
    return STATUS_OK;
}

static void put_folder_state(struct bytes *b, const struct mailbox *m)
{
    struct rec_folder_state f = {.mailbox = m->id,
        .flags = (uint8_t)((m->exists ? FOLDER_EXISTS : 0) |
            (m->selectable ? FOLDER_SELECTABLE : 0) |
            (m->subscribed ? FOLDER_SUBSCRIBED : 0)),
        .use = m->use,
        .name_bytes = m->name_bytes,
        .uid_validity = m->uid_validity,
        .uid_next = m->uid_next,
        .recent_uid = m->recent_uid,
        .modseq = m->modseq,
        .state = m->state,
        .state_bytes = m->state_bytes,
        .seg_min = m->segments.min,
        .seg_max = m->segments.max};

    bytes_put(b, &f, sizeof f);
    bytes_put_slice(b, mailbox_name(m));
}

/* What pages and states no longer name goes into the table of this fold. */
static void gather_freed(struct fold *f)
{
    struct user *u = f->user;

    for (unsigned i = 0; i < u->id_count; i++) {
        struct content *c = u->ids[i]->content;
        const struct rec_freed *at = c ? (const void *)c->dropped.bytes.at : NULL;

        for (uint32_t k = 0; c && k < freed_count(&c->dropped); k++)
            freed_add(&f->freed, at[k].segment, at[k].bytes);
        if (c)
            c->dropped.bytes.len = 0;
    }
}

static void put_user_state(struct fold *f)
{
    struct user *u = f->user;
    const struct head *head = u->head;
    struct bytes *b = delta_begin(u, 0, 0, 0, 0);
    struct rec_user_state st = {.applied = u->applied,
        .applied_seq = u->applied_seq,
        .uid_validity = head->uid_validity,
        .uid_next = head->uid_next,
        .modseq = head->modseq,
        .bytes = head->bytes,
        .chain = head->pending,
        .next_mailbox = u->next_mailbox,
        .mailbox_count = u->name_count,
        .freed_count = freed_count(&f->freed),
        .name_bytes = head->name_bytes,
        .applied_bytes = u->bytes};

    bytes_put(b, &st, sizeof st);
    bytes_put_slice(b, head_name(head));
    bytes_put_slice(b, bytes_slice(&f->freed.bytes));
    for (unsigned i = 0; i < u->name_count; i++)
        put_folder_state(b, u->names[i]);
}

static enum status user_write(struct fold *f)
{
    struct user *u = f->user;
    const struct head *head = u->head;

    gather_freed(f);
    if (head->state && !f->state_bytes)
        freed_add(&f->freed, PLACE_SEGMENT(head->state), u->state_bytes);
    f->reflected = (uint16_t)(head->chain - head->pending);
    f->saturated = head->chain == UINT16_MAX;
    put_user_state(f);
    f->state_bytes = (uint32_t)record_span(u->store->scratch.len);
    TRY(delta_end(u, LOG_SHRINK, RECORD_USER_STATE, NULL));
    bytes_free(&f->freed.bytes);
    return STATUS_OK;
}

/* --- steps --- */

static enum status fold_step(struct fold *f)
{
    enum status status = f->user->half ? STATUS_BUSY : need_contents(f);
    unsigned left;

    if (status != STATUS_OK)
        return status;
    TRY(write_pages(f, PAGES_TURN, &left));
    if (left) {
        f->more = true;
        return STATUS_BUSY;
    }
    TRY(write_states(f));
    TRY(user_write(f));
    f->waits = true;
    return STATUS_OK;
}

/* A mailbox that can't be read, or a full disk: the chain goes on growing, and it is
 * tried again when it has grown. */
static void give_up(struct fold *f, enum status status)
{
    struct head *head = f->user->head;

    if (f->op == NULL && head && head->chain >= f->user->store->chain_fold)
        f->user->fold_after = head->chain;
    fold_end(f, status);
}

/* A load that failed is not tried again before the user's next record. */
static void queue_take(struct store *s, struct head *head)
{
    bool asked = head->flags & HEAD_ASKED;
    enum status status;

    head->flags &= (uint8_t) ~(HEAD_FOLDING | HEAD_ASKED);
    if (asked && !head->user)
        return;
    status = user_need(s, head, NULL);
    if (status == STATUS_BUSY) {
        fold_want(s, head);
        head->flags |= HEAD_ASKED;
    } else if (status == STATUS_OK && fold_begin(head->user, 0, NULL) == STATUS_OK) {
        head->flags |= HEAD_FOLDING;
    }
}

static void queue_step(struct store *s)
{
    for (int i = 0; i < QUEUE_TURN && s->fold_count < FOLDS_MAX; i++) {
        struct head *head;
        uint64_t id;

        if (s->fold_at >= s->fold_ids.len) {
            bytes_clear(&s->fold_ids);
            s->fold_at = 0;
            return;
        }
        memcpy(&id, s->fold_ids.at + s->fold_at, sizeof id);
        s->fold_at += sizeof id;
        head = heads_by_id(&s->heads, id);
        if (head)
            queue_take(s, head);
    }
}

bool folds_step(struct store *s)
{
    bool more = false;

    if (store_writable(s))
        queue_step(s);
    list_each_safe(link, after, &s->folds) {
        struct fold *f = container_of(link, struct fold, link);
        enum status status;

        if (f->waits)
            continue;
        if (f->user->removed || f->user->head->flags & HEAD_REMOVED) {
            fold_end(f, STATUS_NOT_FOUND);
            continue;
        }
        f->more = false;
        status = fold_step(f);
        more |= f->more;
        if (status != STATUS_OK && status != STATUS_BUSY)
            give_up(f, status);
    }
    return !more;
}
