/* One user's mail in memory, behind store/store.h. Plain and slow. */
#include <stdlib.h>

#include "proto/mime/summary.h"
#include "tests/server/imap_fake.h"

enum { MESSAGES_MAX = 512, BOXES_MAX = 64, KEYWORDS_MAX = 12, QUEUE_MAX = 64 };

struct message {
    struct entry entry;
    struct slice text, summary;
    bool recent;
};

struct mailbox {
    char name[600];
    bool exists, subscribed, selectable, gone;
    uint8_t use;
    uint32_t uid_validity, uid_next, uid_recent;
    uint64_t modseq;
    struct message messages[MESSAGES_MAX];
    unsigned count;
    char keywords[KEYWORDS_MAX][132];
    unsigned keyword_count;
    struct list views;
};

/* What a view was told: kept where the real one keeps its private difference. */
struct view_gone {
    struct known {
        uint32_t uid;
        uint64_t modseq;
        struct entry entry;
        bool recent;
    } at[MESSAGES_MAX];
};

struct user {
    int unused;
};

static struct user the_user;
static struct mailbox *boxes[BOXES_MAX];
static unsigned box_count;
static uint32_t validity;
static struct {
    struct store_op *op;
    enum status status;
    void (*act)(struct store_op *op);
    struct mailbox *mailbox;
} queue[QUEUE_MAX];
static unsigned queued;
static struct mailbox *acting;               /* of the request that lands */
static struct slice texts[2 * MESSAGES_MAX]; /* to be freed */
static unsigned text_count;
static struct slice stored_chunks[1024];
static unsigned chunk_count;

/* --- requests -------------------------------------------------------------------------
 */

static void ask(struct store_op *op, struct mailbox *m, enum status status,
    void (*act)(struct store_op *op))
{
    fake.requests++;
    if (fake.fail_at && fake.requests == fake.fail_at)
        status = fake.fail_with;
    op->pending = true;
    CHECK(queued < QUEUE_MAX);
    queue[queued].op = op;
    queue[queued].mailbox = m;
    queue[queued].status = status;
    queue[queued++].act = act;
}

static void tell_views(struct mailbox *m)
{
    list_each(link, &m->views) {
        struct view *v = container_of(link, struct view, link);

        if (v->changed)
            v->changed(v);
    }
}

bool fake_store_land(void)
{
    struct store_op *op = queue[0].op;
    enum status status = queue[0].status;
    void (*act)(struct store_op *) = queue[0].act;

    if (queued == 0)
        return false;
    acting = queue[0].mailbox;
    memmove(queue, queue + 1, --queued * sizeof *queue);
    op->pending = false;
    if (status == STATUS_OK && act)
        act(op);
    for (unsigned i = 0; i < box_count && status == STATUS_OK && act; i++)
        tell_views(boxes[i]);
    op->done(op, status);
    return true;
}

/* --- names
 * ------------------------------------------------------------------------------ */

static int rank_of(char c)
{
    return c == '/' ? 0 : (unsigned char)c + 1;
}

static int compare(const void *a, const void *b)
{
    const char *x = (*(struct mailbox *const *)a)->name;
    const char *y = (*(struct mailbox *const *)b)->name;

    while (*x && *x == *y)
        x++, y++;
    return (*x ? rank_of(*x) : -1) - (*y ? rank_of(*y) : -1);
}

static struct mailbox *find(struct slice name)
{
    if (name.len == 0)
        name = S("INBOX");
    for (unsigned i = 0; i < box_count; i++)
        if (slice_eq(slice_str(boxes[i]->name), name) && !boxes[i]->gone)
            return boxes[i];
    return NULL;
}

static struct mailbox *make(struct slice name)
{
    struct mailbox *m = find(name);

    if (m)
        return m;
    CHECK(box_count < BOXES_MAX);
    m = calloc(1, sizeof *m);
    memcpy(m->name, name.at, name.len);
    list_init(&m->views);
    m->uid_validity = ++validity;
    m->uid_next = 1;
    m->modseq = 1;
    boxes[box_count++] = m;
    qsort(boxes, box_count, sizeof *boxes, compare);
    return m;
}

void fake_mailbox(const char *name, uint8_t use)
{
    struct mailbox *m = make(slice_str(name));

    m->exists = m->selectable = true;
    m->use = use;
}

void fake_store_reset(void)
{
    for (unsigned i = 0; i < box_count; i++)
        free(boxes[i]);
    for (unsigned i = 0; i < text_count; i++)
        free((char *)texts[i].at);
    for (unsigned i = 0; i < chunk_count; i++)
        free((char *)stored_chunks[i].at);
    box_count = text_count = chunk_count = queued = 0;
    validity = 100;
    fake_mailbox("INBOX", 0);
}

static bool is_below(const char *name, const char *parent)
{
    size_t n = strlen(parent);

    return strncmp(name, parent, n) == 0 && name[n] == '/';
}

static void info_of(struct mailbox *m, struct mailbox_info *info)
{
    *info = (struct mailbox_info){.name = slice_str(m->name),
        .use = m->use,
        .selectable = m->selectable,
        .exists = m->exists,
        .subscribed = m->subscribed,
        .uid_validity = m->uid_validity,
        .uid_next = m->uid_next,
        .modseq = m->modseq};
    for (unsigned i = 0; i < box_count; i++)
        info->has_children |=
            !boxes[i]->gone && boxes[i]->exists && is_below(boxes[i]->name, m->name);
}

static struct mailbox *listed(unsigned n)
{
    for (unsigned i = 0; i < box_count; i++)
        if (!boxes[i]->gone && (boxes[i]->exists || boxes[i]->subscribed) && n-- == 0)
            return boxes[i];
    return NULL;
}

bool user_mailbox_at(struct user *user, unsigned i, struct mailbox_info *info)
{
    struct mailbox *m = listed(i);

    (void)user;
    if (m)
        info_of(m, info);
    return m;
}

unsigned user_mailbox_after(struct user *user, struct slice name)
{
    struct mailbox *key = calloc(1, sizeof *key), *m;
    unsigned i = 0;

    (void)user;
    memcpy(key->name, name.at, name.len);
    while ((m = listed(i)) && compare(&m, &key) <= 0)
        i++;
    free(key);
    return i;
}

bool user_mailbox_find(struct user *user, struct slice name, struct mailbox_info *info)
{
    struct mailbox *m = find(name);

    (void)user;
    if (m)
        info_of(m, info);
    return m;
}

static void create(struct slice name, uint8_t use)
{
    for (size_t i = 0; i <= name.len; i++)
        if (i == name.len || name.at[i] == '/') {
            struct mailbox *m = make(slice_of(name.at, i));

            m->exists = m->selectable = true;
            if (i == name.len)
                m->use = use;
        }
}

static void delete (struct mailbox *m)
{
    struct mailbox_info info;

    info_of(m, &info);
    if (info.has_children) {
        m->selectable = false;
        return;
    }
    m->gone = true;
    m->exists = false;
}

static void rename_tree(struct slice from, struct slice to)
{
    struct mailbox *top = find(from);

    for (unsigned i = 0; i < box_count; i++)
        if (boxes[i] == top || is_below(boxes[i]->name, top->name)) {
            char name[600] = {0};

            memcpy(name, to.at, to.len);
            strcat(name, boxes[i]->name + from.len);
            if (boxes[i] != top)
                strcpy(boxes[i]->name, name);
        }
    memset(top->name, 0, sizeof top->name);
    memcpy(top->name, to.at, to.len);
    qsort(boxes, box_count, sizeof *boxes, compare);
}

static void act_change(struct store_op *op)
{
    struct mailbox_op *m = container_of(op, struct mailbox_op, op);

    if (m->change == MAILBOX_CREATE)
        create(m->name, m->use);
    else if (m->change == MAILBOX_DELETE)
        delete (find(m->name));
    else if (m->change == MAILBOX_RENAME)
        rename_tree(m->name, m->to);
    else if (m->change == MAILBOX_SUBSCRIBE)
        make(m->name)->subscribed = true;
    else if (find(m->name))
        find(m->name)->subscribed = false;
}

static enum status judge(const struct mailbox_op *m)
{
    struct mailbox *box = find(m->name);
    bool exists = box && box->exists;
    bool inbox = slice_eq(m->name, S("INBOX"));

    switch (m->change) {
    case MAILBOX_CREATE:
        return exists ? STATUS_EXISTS : STATUS_OK;
    case MAILBOX_DELETE:
        return inbox ? STATUS_INVALID : exists ? STATUS_OK : STATUS_NOT_FOUND;
    case MAILBOX_RENAME:
        if (find(m->to))
            return STATUS_EXISTS;
        return exists ? STATUS_OK : STATUS_NOT_FOUND;
    case MAILBOX_SUBSCRIBE:
    case MAILBOX_UNSUBSCRIBE:
        break;
    }
    return STATUS_OK;
}

void mailbox_change(struct user *user, struct mailbox_op *m)
{
    bool full = box_count + 33 > BOXES_MAX;

    (void)user;
    ask(&m->op, NULL, full ? STATUS_LIMIT : judge(m), act_change);
}

/* --- users, mailboxes
 * ------------------------------------------------------------------- */

static void act_user(struct store_op *op)
{
    container_of(op, struct user_open, op)->user = &the_user;
    fake.open++;
}

void user_open(struct store *store, struct user_open *o)
{
    (void)store;
    ask(&o->op, NULL, STATUS_OK, act_user);
}

void user_close(struct user *user)
{
    (void)user;
    fake.open--;
}

uint64_t user_bytes(const struct user *user)
{
    (void)user;
    return 0;
}

bool store_read_only(const struct store *store)
{
    (void)store;
    return fake.read_only;
}

static void act_open(struct store_op *op)
{
    struct mailbox_open *o = container_of(op, struct mailbox_open, op);

    o->mailbox = acting;
    fake.open++;
}

void mailbox_open(struct user *user, struct mailbox_open *o)
{
    struct mailbox *m = find(o->name);

    (void)user;
    ask(&o->op, m, m && m->exists && m->selectable ? STATUS_OK : STATUS_NOT_FOUND,
        act_open);
}

void mailbox_close(struct mailbox *mailbox)
{
    (void)mailbox;
    fake.open--;
}

bool mailbox_gone(const struct mailbox *mailbox)
{
    return mailbox->gone;
}

void mailbox_status(struct mailbox *m, struct mailbox_status *status)
{
    *status = (struct mailbox_status){.messages = m->count,
        .uid_next = m->uid_next,
        .uid_validity = m->uid_validity,
        .modseq = m->modseq};
    for (unsigned i = 0; i < m->count; i++) {
        status->unseen += !(m->messages[i].entry.flags & FLAG_SEEN);
        status->recent += m->messages[i].entry.uid > m->uid_recent;
    }
}

/* --- keywords
 * --------------------------------------------------------------------------- */

bool mailbox_keyword_at(const struct mailbox *m, unsigned i, struct slice *keyword)
{
    if (i >= m->keyword_count)
        return false;
    *keyword = slice_str(m->keywords[i]);
    return true;
}

bool mailbox_keyword_in(const struct mailbox *m, uint16_t set, unsigned i)
{
    (void)m;
    return set >> i & 1;
}

int mailbox_keyword_find(const struct mailbox *m, struct slice keyword)
{
    for (unsigned i = 0; i < m->keyword_count; i++)
        if (slice_eq_nocase(slice_str(m->keywords[i]), keyword))
            return (int)i;
    return -1;
}

static uint16_t keyword_bits(
    struct mailbox *m, const struct slice *keywords, unsigned count)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < count; i++) {
        if (mailbox_keyword_find(m, keywords[i]) < 0)
            memcpy(m->keywords[m->keyword_count++], keywords[i].at, keywords[i].len);
        bits |= 1U << mailbox_keyword_find(m, keywords[i]);
    }
    return (uint16_t)bits;
}

static bool keywords_fit(
    const struct mailbox *m, const struct slice *keywords, unsigned count)
{
    unsigned more = m->keyword_count;

    for (unsigned i = 0; i < count; i++)
        more += mailbox_keyword_find(m, keywords[i]) < 0;
    return more <= KEYWORDS_MAX;
}

/* --- messages
 * --------------------------------------------------------------------------- */

static struct slice keep(struct slice text)
{
    char *at = malloc(text.len + 1);

    memcpy(at, text.at, text.len);
    texts[text_count++] = slice_of(at, text.len);
    return texts[text_count - 1];
}

static struct message *add(struct mailbox *m, struct slice text)
{
    struct arena arena = arena_of(32 << 20);
    struct summary_builder *b = summary_begin(&arena, &summary_defaults);
    struct message *message = &m->messages[m->count++];

    CHECK(m->count <= MESSAGES_MAX);
    summary_feed(b, text);
    *message = (struct message){.text = keep(text), .summary = keep(summary_end(b))};
    message->entry.uid = m->uid_next++;
    message->entry.modseq = ++m->modseq;
    message->entry.size = text.len;
    message->entry.ends_with_crlf = !fake.ends_unknown && text.len >= 2 &&
        memcmp(text.at + text.len - 2, "\r\n", 2) == 0;
    message->entry.body = (uint64_t)(uintptr_t)message->text.at;
    message->entry.summary = text_count - 1;
    arena_reset(&arena);
    return message;
}

uint32_t fake_message(
    const char *mailbox, struct slice text, uint8_t flags, int64_t date_s)
{
    struct mailbox *m = find(slice_str(mailbox));
    struct message *message = add(m, text);

    message->entry.flags = flags;
    message->entry.date_s = date_s;
    tell_views(m);
    return message->entry.uid;
}

static void act_chunk(struct store_op *op)
{
    struct store_chunk *c = container_of(op, struct store_chunk, op);
    char *at = malloc(c->bytes.len);

    memcpy(at, c->bytes.at, c->bytes.len);
    stored_chunks[chunk_count] = slice_of(at, c->bytes.len);
    c->place = chunk_count++;
    fake.chunks++;
}

void store_chunk(struct store *store, struct store_chunk *c)
{
    (void)store;
    ask(&c->op, NULL, chunk_count < 1024 ? STATUS_OK : STATUS_NO_SPACE, act_chunk);
}

void store_chunk_drop(struct store *store, uint64_t place)
{
    (void)store;
    CHECK(place < chunk_count);
    fake.dropped++;
}

static void act_message(struct store_op *op)
{
    struct store_message *s = container_of(op, struct store_message, op);
    struct store_target *t = s->targets;
    struct mailbox *m = find(t->mailbox);
    char *text = malloc(s->size);
    struct out out = out_of(text, s->size);
    struct message *message;

    out_put(&out, s->head);
    for (unsigned i = 0; i < s->chunk_count; i++)
        out_put(&out, stored_chunks[s->chunks[i]]);
    out_put(&out, s->tail);
    CHECK(!out.full && out.len == s->size);
    message = add(m, out_slice(&out));
    CHECK(slice_eq(message->summary, s->summary));
    message->entry.flags = t->flags;
    message->entry.keywords = keyword_bits(m, t->keywords, t->keyword_count);
    message->entry.date_s = s->date_s;
    message->entry.date_zone = s->date_zone;
    t->uid = message->entry.uid;
    t->uid_validity = m->uid_validity;
    free(text);
}

void store_message(struct store *store, struct store_message *m)
{
    bool full = text_count + 2 > 2 * MESSAGES_MAX || chunk_count > 1000;
    enum status status = full ? STATUS_LIMIT : STATUS_OK;

    (void)store;
    ask(&m->op, NULL, find(m->targets->mailbox) ? status : STATUS_NOT_FOUND, act_message);
}

static bool in_ranges(const struct uid_range *uids, unsigned count, uint32_t uid)
{
    for (unsigned i = 0; i < count; i++)
        if (uid >= uids[i].first && uid <= uids[i].last)
            return true;
    return uids == NULL;
}

static void act_flags(struct store_op *op)
{
    struct flags_op *f = container_of(op, struct flags_op, op);
    uint16_t bits = keyword_bits(acting, f->keywords, f->keyword_count);

    f->modseq = ++acting->modseq;
    for (unsigned i = 0; i < acting->count; i++) {
        struct entry *e = &acting->messages[i].entry;
        struct entry before = *e;

        if (!in_ranges(f->uids, f->uid_count, e->uid))
            continue;
        if (f->mode == FLAGS_SET)
            e->flags = f->flags, e->keywords = bits;
        else if (f->mode == FLAGS_ADD)
            e->flags |= f->flags, e->keywords |= bits;
        else
            e->flags &= (uint8_t)~f->flags, e->keywords &= (uint16_t)~bits;
        if (e->flags != before.flags || e->keywords != before.keywords)
            e->modseq = f->modseq;
    }
}

void mailbox_flags(struct mailbox *m, struct flags_op *f)
{
    ask(&f->op, m,
        keywords_fit(m, f->keywords, f->keyword_count) ? STATUS_OK : STATUS_LIMIT,
        act_flags);
}

static void remove_at(struct mailbox *m, unsigned i)
{
    memmove(
        &m->messages[i], &m->messages[i + 1], (m->count - i - 1) * sizeof *m->messages);
    m->count--;
    m->modseq++;
}

static void act_expunge(struct store_op *op)
{
    struct expunge_op *e = container_of(op, struct expunge_op, op);

    e->count = 0;
    for (unsigned i = 0; i < acting->count;) {
        const struct entry *entry = &acting->messages[i].entry;

        if (!in_ranges(e->uids, e->uid_count, entry->uid) ||
            !(e->always || entry->flags & FLAG_DELETED)) {
            i++;
            continue;
        }
        remove_at(acting, i);
        e->count++;
    }
}

void mailbox_expunge(struct mailbox *m, struct expunge_op *e)
{
    ask(&e->op, m, STATUS_OK, act_expunge);
}

static void act_copy(struct store_op *op)
{
    struct copy_op *c = container_of(op, struct copy_op, op);
    struct mailbox *to = find(c->to);
    unsigned count = acting->count;

    c->uid_validity = to->uid_validity;
    c->uid_first = to->uid_next;
    c->count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct message from = acting->messages[i];
        struct message *copy;

        if (!in_ranges(c->uids, c->uid_count, from.entry.uid))
            continue;
        copy = add(to, from.text);
        copy->entry.flags = from.entry.flags;
        copy->entry.date_s = from.entry.date_s;
        c->count++;
    }
    for (unsigned i = 0; c->move && i < acting->count && count--;)
        if (in_ranges(c->uids, c->uid_count, acting->messages[i].entry.uid))
            remove_at(acting, i);
        else
            i++;
}

void mailbox_copy(struct mailbox *m, struct copy_op *c)
{
    bool full = text_count + 2 * m->count + 2 > 2 * MESSAGES_MAX;
    enum status status = full ? STATUS_LIMIT : STATUS_OK;

    ask(&c->op, m, find(c->to) ? status : STATUS_NOT_FOUND, act_copy);
}

/* --- views
 * ------------------------------------------------------------------------------ */

static struct message *message_of(const struct mailbox *m, uint32_t uid)
{
    for (unsigned i = 0; i < m->count && !m->gone; i++)
        if (m->messages[i].entry.uid == uid)
            return (struct message *)&m->messages[i];
    return NULL;
}

static void learn(struct view *view, const struct message *message)
{
    struct known *k = &view->gone->at[view->count++];

    *k = (struct known){message->entry.uid, message->entry.modseq, message->entry, false};
    if (message->entry.uid > view->mailbox->uid_recent) {
        k->recent = true;
        if (!view->examine)
            view->mailbox->uid_recent = message->entry.uid;
    }
    view->uid_known = message->entry.uid;
}

void view_open(struct view *view, struct mailbox *mailbox, bool examine,
    void (*changed)(struct view *))
{
    *view = (struct view){.mailbox = mailbox, .changed = changed, .examine = examine};
    view->gone = calloc(1, sizeof *view->gone);
    list_add(&mailbox->views, &view->link);
    for (unsigned i = 0; i < mailbox->count; i++)
        learn(view, &mailbox->messages[i]);
}

void view_close(struct view *view)
{
    list_remove(&view->link);
    free(view->gone);
    view->gone = NULL;
}

bool view_entry(const struct view *view, uint32_t seq, struct entry *entry)
{
    const struct known *k = &view->gone->at[seq - 1];
    const struct message *message;

    CHECK(seq >= 1 && seq <= view->count);
    message = message_of(view->mailbox, k->uid);
    if (!message)
        return false;
    *entry = message->entry;
    entry->recent = k->recent;
    return true;
}

uint32_t view_rank(const struct view *view, uint32_t uid)
{
    uint32_t n = 0;

    while (n < view->count && view->gone->at[n].uid <= uid)
        n++;
    return n;
}

uint32_t view_uid(const struct view *view, uint32_t seq)
{
    CHECK(seq >= 1 && seq <= view->count);
    return view->gone->at[seq - 1].uid;
}

uint32_t view_recent(const struct view *view)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < view->count; i++)
        n += view->gone->at[i].recent;
    return n;
}

static enum view_event tell_gone(struct view *view, struct view_news *news)
{
    for (uint32_t i = 0; i < view->count; i++)
        if (!message_of(view->mailbox, view->gone->at[i].uid)) {
            memmove(&view->gone->at[i], &view->gone->at[i + 1],
                (view->count - i - 1) * sizeof(struct known));
            view->count--;
            news->seq = i + 1;
            return news->event = VIEW_EXPUNGE;
        }
    return VIEW_NONE;
}

enum view_event view_news(struct view *view, bool expunge, struct view_news *news)
{
    struct mailbox *m = view->mailbox;
    uint32_t before = view->count;

    news->event = VIEW_NONE;
    if (expunge && tell_gone(view, news))
        return news->event;
    for (uint32_t i = 0; i < view->count; i++) {
        struct known *k = &view->gone->at[i];
        struct message *message = message_of(m, k->uid);

        if (!message || message->entry.modseq == k->modseq)
            continue;
        k->modseq = message->entry.modseq;
        if (message->entry.modseq == view->flags_skip)
            continue;
        news->entry = message->entry;
        news->entry.recent = k->recent;
        news->seq = i + 1;
        return news->event = VIEW_FLAGS;
    }
    for (unsigned i = 0; i < m->count && !m->gone; i++)
        if (m->messages[i].entry.uid > view->uid_known)
            learn(view, &m->messages[i]);
    news->count = view->count;
    return news->event = view->count > before ? VIEW_EXISTS : VIEW_NONE;
}

bool view_skip_flags(struct view *view, uint64_t modseq)
{
    view->flags_skip = modseq;
    return true;
}

/* --- reading
 * ---------------------------------------------------------------------------- */

struct body_state {
    struct slice text; /* the range */
    size_t given;
};

enum status body_open(struct store *store, struct body *b, const struct entry *entry,
    uint64_t at, uint64_t len)
{
    struct slice text = slice_of((const char *)(uintptr_t)entry->body, entry->size);

    (void)store;
    CHECK(at <= text.len);
    if (fake.fail_at && ++fake.requests == fake.fail_at)
        return STATUS_NO_MEMORY;
    b->state = calloc(1, sizeof *b->state);
    slice_take(&text, at);
    if (len < text.len)
        text.len = len;
    b->state->text = text;
    b->at = at;
    b->end = at + text.len;
    fake.open++;
    return STATUS_OK;
}

/* Every piece is new memory, so that one that is used too long is found. */
static void next_piece(struct store_op *op)
{
    struct body *b = container_of(op, struct body, op);
    size_t n = b->state->text.len;
    char *at;

    if (fake.piece_bytes && n > fake.piece_bytes)
        n = fake.piece_bytes;
    at = malloc(n + 1);
    memcpy(at, slice_take(&b->state->text, n).at, n);
    b->piece = slice_of(at, n);
    b->at += n;
}

bool body_next(struct body *b, void (*done)(struct store_op *op, enum status status))
{
    free((char *)b->piece.at);
    b->piece = S("");
    b->piece.at = NULL;
    if (!fake.async && !fake.fail_at) {
        next_piece(&b->op);
        return true;
    }
    b->op.done = done;
    ask(&b->op, NULL, STATUS_OK, next_piece);
    return false;
}

struct body_loan {
    char *at;
};

struct body_loan *body_lend(struct body *b)
{
    struct body_loan *loan = malloc(sizeof *loan);

    loan->at = (char *)b->piece.at;
    b->piece.at = NULL;
    fake.loans++;
    return loan;
}

void body_release(struct body_loan *loan)
{
    fake.loans--;
    free(loan->at);
    free(loan);
}

void body_close(struct body *b)
{
    CHECK(!b->op.pending);
    free((char *)b->piece.at);
    free(b->state);
    b->state = NULL;
    fake.open--;
}

static void give_summary(struct store_op *op)
{
    (void)op;
    fake.open++;
}

bool summary_get(struct mailbox *mailbox, struct summary_read *r,
    const struct entry *entry, void (*done)(struct store_op *op, enum status status))
{
    r->summary = texts[entry->summary];
    if (!fake.async && !fake.fail_at) {
        fake.open++;
        return true;
    }
    r->op.done = done;
    ask(&r->op, mailbox, STATUS_OK, give_summary);
    return false;
}

void summary_release(struct summary_read *r)
{
    (void)r;
    fake.open--;
}
