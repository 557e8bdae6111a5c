/* A user's state is written, so that his chain starts anew.
 *
 *      CONTENT --> GATHER --> STATE --> WAIT
 *
 *      CONTENT  what waits at mailboxes that are not in memory must be applied first
 *      GATHER   mailbox by mailbox, slice by slice: changed pages, the mailbox state, and
 *               what the USER_STATE will say of it; then again those that have changed
 *               since
 *      STATE    when none is left, the USER_STATE, so that all of it shows one moment
 *      WAIT     until the USER_STATE is durable
 *
 * The tree of names stands still from GATHER to STATE. Changes that are on their way when
 * the state is taken are not in it; the chain keeps them. */
#include "store/mailbox.h"

enum {
    COST_STATE = 8, /* of writing one, in mailboxes looked at */
    COST_PAGE = 128,
    CONTENTS_MAX = 16,   /* of one user, brought in at once */
    QUEUE_TURN = 16,     /* waiting users looked at in one turn */
    QUEUE_MAX = 1 << 20, /* bytes of waiting users' numbers */
};

struct fold {
    struct list link; /* in store->folds */
    struct user *user;
    struct store_op *op;  /* who waits for it, or NULL */
    unsigned contents;    /* so many mailboxes have their content, if it is wanted */
    unsigned at;          /* the next name to gather; those before are gathered */
    struct bytes folders; /* what the USER_STATE says of them */
    struct bytes places;  /* where in it each begins: uint32_t */
    struct bytes touched; /* numbers of those that have changed since: uint32_t */
    int budget;           /* of this slice */
    bool waits;           /* the USER_STATE is on its way */
    bool more;            /* the slice was used up */
    uint32_t segment;
    uint16_t reflected; /* records of the chain that the state makes superfluous */
    bool saturated;     /* the chain was too long to count */
    uint32_t state_bytes;
};

static const uint32_t in_touched = 1u << 31; /* a flag of a place */

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

/* What was gathered is written, or not wanted any more. */
static void tree_release(struct fold *f)
{
    struct user *u = f->user;

    bytes_free(&f->folders);
    bytes_free(&f->places);
    bytes_free(&f->touched);
    if (!u->tree_held)
        return;
    u->tree_held = false;
    request_release(u->store, &u->tree_waiters, STATUS_OK);
}

static void fold_end(struct fold *f, enum status status)
{
    struct user *u = f->user;
    struct store *s = u->store;

    if (u->head)
        u->head->flags &= (uint8_t)~HEAD_FOLDING;
    if (f->op)
        request_post(s, f->op, status);
    tree_release(f);
    list_remove(&f->link);
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
    return f->segment && m->state && segments_have(m->segments, f->segment);
}

/* Some of thousands are looked at in a turn, and brought in at once. One that is passed
 * over, since another has been deleted, is brought in when it is written. BUSY: there are
 * more, or they are on their way. */
static enum status need_contents(struct fold *f)
{
    struct user *u = f->user;
    unsigned busy = 0, end = f->contents + (unsigned)u->store->fold_slice;

    for (unsigned i = f->contents; i < u->id_count; i++) {
        struct mailbox *m = u->ids[i];
        enum status status = STATUS_OK;

        f->more = i == end && busy == 0;
        if (i == end || busy == CONTENTS_MAX)
            return STATUS_BUSY;
        if (wants_content(f, m) || m->load)
            status = content_need(m, NULL);
        busy += status == STATUS_BUSY;
        if (status != STATUS_BUSY)
            TRY(status);
        if (!busy)
            f->contents = i + 1;
    }
    return busy ? STATUS_BUSY : STATUS_OK;
}

/* --- pages ----------------------------------------------------------------------------
 */

/* BUSY: goes on in the next turn. */
static enum status slice_left(struct fold *f)
{
    f->more = f->budget <= 0;
    return f->more ? STATUS_BUSY : STATUS_OK;
}

static bool is_inline(const struct mailbox *m)
{
    return m->content->messages <= m->user->store->inline_entries;
}

static bool page_due(const struct fold *f, const struct page *p)
{
    return p->dirty || !p->record.place || in_segment(f, p->record.place);
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
    page_recorded(p, place, (uint32_t)bytes);
    m->content->dirty = true;
    segments_add(&m->segments, place);
    return STATUS_OK;
}

static enum status write_pages(struct fold *f, struct mailbox *m)
{
    struct content *c = m->content;
    bool small = is_inline(m);

    for (uint32_t k = 0; k < c->page_count; k++) {
        if (small) /* a state will hold it */
            c->dirty |= in_segment(f, c->pages[k].record.place);
        if (small || !page_due(f, &c->pages[k]))
            continue;
        TRY(slice_left(f));
        TRY(page_write(m, &c->pages[k]));
        f->budget -= COST_PAGE;
    }
    return STATUS_OK;
}

/* --- states --- */

static void put_pages(struct bytes *b, const struct content *c)
{
    for (uint32_t i = 0; i < c->page_count; i++) {
        const struct page *p = &c->pages[i];

        CHECK(p->record.place && !p->dirty);
        bytes_put(b, &p->record, sizeof p->record);
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
    state_forget(m);
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

/* What pages and states no longer name. */
static void take_freed(struct user *u, struct content *c)
{
    const struct rec_freed *at = (const void *)c->dropped.bytes.at;

    for (uint32_t k = 0; k < freed_count(&c->dropped); k++)
        freed_add(&u->freed, at[k].segment, at[k].bytes);
    c->dropped.bytes.len = 0;
    segments_join(&u->left, c->left);
    c->left = (struct segments){0};
}

/* All of the mailbox is on its way to the disk as it is now. */
static enum status mailbox_write(struct fold *f, struct mailbox *m)
{
    if (wants_content(f, m) || m->load)
        TRY(content_need(m, NULL));
    if (!m->content)
        return STATUS_OK;
    TRY(write_pages(f, m));
    if (m->content->dirty || in_segment(f, m->state)) {
        TRY(state_write(m));
        f->budget -= COST_STATE;
    }
    take_freed(f->user, m->content);
    return STATUS_OK;
}

/* --- all of them ---------------------------------------------------------------------
 */

static struct rec_folder_state folder_state(const struct mailbox *m)
{
    return (struct rec_folder_state){.mailbox = m->id,
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
}

/* All of it before any is written: what grows is copied, and new memory is dear. */
static enum status make_room(struct fold *f)
{
    const struct user *u = f->user;

    return bytes_room(&f->folders, u->name_bytes) &&
            bytes_room(&f->places, u->name_count * sizeof(uint32_t))
        ? STATUS_OK
        : STATUS_NO_MEMORY;
}

static enum status gather(struct fold *f)
{
    struct user *u = f->user;

    for (; f->at < u->name_count; f->at++) {
        struct mailbox *m = u->names[f->at];
        uint32_t place = (uint32_t)f->folders.len;
        struct rec_folder_state state;

        TRY(slice_left(f));
        TRY(mailbox_write(f, m));
        state = folder_state(m);
        bytes_put(&f->places, &place, sizeof place);
        bytes_put(&f->folders, &state, sizeof state);
        bytes_put_slice(&f->folders, mailbox_name(m));
        f->budget--;
    }
    return STATUS_OK;
}

static uint32_t *place_of_folder(const struct fold *f, uint32_t number)
{
    return (uint32_t *)(void *)f->places.at + number;
}

void fold_touched(struct mailbox *m)
{
    struct fold *f = m->user->fold;
    uint32_t number, *place;

    if (!f || f->waits || f->at == 0)
        return;
    number = names_at(m->user, mailbox_name(m));
    if (number >= f->at)
        return;
    CHECK(m->user->names[number] == m);
    place = place_of_folder(f, number);
    if (!(*place & in_touched))
        bytes_put(&f->touched, &number, sizeof number);
    *place |= in_touched;
}

/* Those that have changed since, the last first, until none is left. */
static enum status gather_touched(struct fold *f)
{
    if (f->touched.failed)
        return STATUS_NO_MEMORY;
    while (f->touched.len) {
        size_t last = f->touched.len - sizeof(uint32_t);
        struct rec_folder_state state;
        struct mailbox *m;
        uint32_t number, *place;

        memcpy(&number, f->touched.at + last, sizeof number);
        m = f->user->names[number];
        TRY(slice_left(f));
        TRY(mailbox_write(f, m));
        state = folder_state(m);
        place = place_of_folder(f, number);
        *place &= ~in_touched;
        memcpy(f->folders.at + *place, &state, sizeof state);
        f->touched.len = last;
        f->budget--;
    }
    return STATUS_OK;
}

/* --- the state of the user -----------------------------------------------------------
 */

/* All but the folders. */
static void put_user_state(struct user *u)
{
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
        .freed_count = freed_count(&u->freed),
        .name_bytes = head->name_bytes,
        .applied_bytes = u->bytes};

    bytes_put(b, &st, sizeof st);
    bytes_put_slice(b, head_name(head));
    bytes_put_slice(b, bytes_slice(&u->freed.bytes));
}

/* What the payload may have. */
static size_t state_room(const struct fold *f)
{
    const struct user *u = f->user;

    return sizeof(struct rec_delta) + sizeof(struct rec_user_state) +
        u->head->name_bytes + u->freed.bytes.len + sizeof(struct rec_freed) +
        f->folders.len;
}

static enum status user_write(struct fold *f)
{
    struct user *u = f->user;
    struct store *s = u->store;
    struct head *head = u->head;
    struct slice first, folders = bytes_slice(&f->folders);
    uint64_t place;

    if (head->pending == UINT16_MAX)
        return STATUS_BUSY;
    TRY(log_room(s->log, LOG_SHRINK, 1, state_room(f)));
    if (head->state)
        freed_add(&u->freed, PLACE_SEGMENT(head->state), u->state_bytes);
    f->reflected = (uint16_t)(head->chain - head->pending);
    f->saturated = head->chain == UINT16_MAX;
    put_user_state(u);
    if (s->scratch.failed)
        return STATUS_NO_MEMORY;
    first = bytes_slice(&s->scratch);
    f->state_bytes = (uint32_t)record_span(first.len + folders.len);
    TRY(change_add_long(s, LOG_SHRINK, RECORD_USER_STATE, first, folders, NULL, &place));
    log_live(s->log, place, (int64_t)f->state_bytes - (int64_t)record_span(first.len));
    bytes_free(&u->freed.bytes);
    u->left = (struct segments){0};
    return STATUS_OK;
}

/* --- steps --- */

/* No other change of the tree begins, and the last one is over. BUSY: it is not yet. */
static enum status tree_hold(struct user *u)
{
    u->tree_held = true;
    return u->tree_busy ? STATUS_BUSY : STATUS_OK;
}

static enum status fold_step(struct fold *f)
{
    struct user *u = f->user;

    if (u->half)
        return STATUS_BUSY;
    if (f->at == 0) {
        TRY(need_contents(f));
        TRY(tree_hold(u));
        TRY(make_room(f));
    }
    f->budget = u->store->fold_slice;
    TRY(gather(f));
    TRY(gather_touched(f));
    TRY(user_write(f));
    f->waits = true;
    tree_release(f);
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
    for (int i = 0; i < QUEUE_TURN && s->fold_count < s->conf.folds_max; i++) {
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
