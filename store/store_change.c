#include "store/index.h"
#include "store/user.h"

/* --- the ring --- */

static struct change *change_at(const struct changes *q, size_t at)
{
    struct change *c = (struct change *)(q->at + at);

    return c->skip ? (struct change *)q->at : c;
}

static bool ring_grow(struct changes *q, size_t span)
{
    size_t cap = q->cap ? 2 * q->cap : 16384, used = 0;
    char *at;

    while (cap < 2 * span)
        cap *= 2;
    if (q->added != q->applied) /* a ring that is not empty may wrap once */
        while (cap < 2 * (q->cap + span))
            cap *= 2;
    at = malloc(cap);
    if (!at)
        return false;
    for (uint64_t i = q->applied; i != q->added; i++) {
        struct change *c = change_at(q, q->head);

        memcpy(at + used, c, c->span);
        used += c->span;
        q->head = (size_t)((char *)c - q->at) + c->span;
    }
    free(q->at);
    q->at = at;
    q->cap = cap;
    q->head = 0;
    q->tail = used;
    return true;
}

/* Room for an item of `span` bytes in one piece, and a mark of a skip behind it. */
static bool ring_fits(const struct changes *q, size_t span)
{
    size_t slack = sizeof(struct change);

    if (q->added == q->applied)
        return span + slack <= q->cap;
    if (q->tail > q->head)
        return q->tail + span + slack <= q->cap || span + slack <= q->head;
    return q->tail + span + slack <= q->head;
}

static size_t span_of(size_t length)
{
    return (sizeof(struct change) + length + 7) & ~(size_t)7;
}

static bool ring_reserve(struct changes *q, size_t length)
{
    size_t span = span_of(length);

    if (q->added == q->applied && q->cap > 4 << 20 && span < 1 << 20) {
        free(q->at);
        q->at = NULL;
        q->cap = 0;
    }
    if (q->added == q->applied)
        q->head = q->tail = 0;
    return ring_fits(q, span) || ring_grow(q, span);
}

/* The next item; ring_reserve() has made room. */
static struct change *ring_push(struct changes *q, size_t length)
{
    size_t span = span_of(length);
    struct change *c = (struct change *)(q->at + q->tail);

    if (q->tail + span + sizeof *c > q->cap) {
        *c = (struct change){.skip = true};
        q->tail = 0;
        c = (struct change *)q->at;
    }
    *c = (struct change){.span = (uint32_t)span, .length = (uint32_t)length};
    q->tail += span;
    q->added++;
    return c;
}

static void ring_pop(struct changes *q, const struct change *c)
{
    q->head = (size_t)((const char *)c - q->at) + c->span;
    q->applied++;
}

void changes_free(struct store *s)
{
    CHECK(changes_idle(s));
    free(s->changes.at);
    while (!list_empty(&s->waiters_free))
        free(container_of(list_pop(&s->waiters_free), struct commit_waiter, link));
}

/* --- adding --- */

static void count_pending(struct store *s, const struct log_record *r, int by)
{
    struct record_users users;
    uint64_t prev;

    if (!record_users(r, &users))
        return;
    for (unsigned i = 0; i < users.count; i++) {
        struct head *head = heads_by_id(&s->heads, record_user_at(&users, i, &prev));

        if (head)
            head->pending = (uint16_t)(head->pending + by);
    }
}

enum status change_add_long(struct store *s, enum log_purpose purpose,
    enum record_kind kind, struct slice first, struct slice rest, struct store_op *op,
    uint64_t *place)
{
    struct log_record r = {.kind = kind, .payload = first};
    struct slice pieces[] = {first, rest};
    struct change *c;

    if (!store_writable(s))
        return STATUS_READ_ONLY;
    if (!ring_reserve(&s->changes, first.len))
        return STATUS_NO_MEMORY;
    TRY(log_add(s->log, purpose, kind, 0, pieces, 2, &r.place, &r.seq));
    c = ring_push(&s->changes, first.len);
    memcpy(c->payload, first.at, first.len);
    c->kind = (uint8_t)kind;
    c->seq = r.seq;
    c->place = r.place;
    c->op = op;
    CHECK(store_note(s, &r) == STATUS_OK);
    count_pending(s, &r, 1);
    s->records++;
    if (place)
        *place = r.place;
    return STATUS_OK;
}

enum status change_add(struct store *s, enum log_purpose purpose, enum record_kind kind,
    struct slice payload, struct store_op *op, uint64_t *place)
{
    return change_add_long(s, purpose, kind, payload, slice_of(NULL, 0), op, place);
}

enum status record_add(struct store *s, enum log_purpose purpose, enum record_kind kind,
    uint8_t flags, const struct slice *pieces, unsigned count, uint64_t seq,
    uint64_t *place)
{
    if (!store_writable(s))
        return STATUS_READ_ONLY;
    TRY(log_add(s->log, purpose, kind, flags, pieces, count, place, &seq));
    s->records++;
    return STATUS_OK;
}

enum status change_mark(struct store *s, struct store_op *op)
{
    struct change *c;

    if (s->failed)
        return STATUS_READ_ONLY;
    if (!ring_reserve(&s->changes, 0))
        return STATUS_NO_MEMORY;
    c = ring_push(&s->changes, 0);
    c->op = op;
    return STATUS_OK;
}

bool change_mark_reserve(struct store *s)
{
    return ring_reserve(&s->changes, 0);
}

/* --- durable, or failed --- */

static void on_commit(struct log_waiter *waiter, enum status status)
{
    struct commit_waiter *w = container_of(waiter, struct commit_waiter, waiter);
    struct store *s = w->store;

    if (status != STATUS_OK && !s->failed) {
        s->failed = true;
        store_say(s, SAY_ERROR, "read-only",
            "what=\"a commit failed, nothing more is taken until a restart\"");
    }
    if (!s->failed) {
        s->changes.durable = w->covers;
        s->commits++;
    }
    list_add(&s->waiters_free, &w->link);
    if (s->conf.wake)
        s->conf.wake(s->conf.arg);
}

void changes_await(struct store *s)
{
    struct list *link;
    struct commit_waiter *w;

    if (s->changes.awaited == s->changes.added)
        return;
    link = list_pop(&s->waiters_free);
    w = link ? container_of(link, struct commit_waiter, link) : malloc(sizeof *w);
    if (!w)
        return; /* the next turn asks again */
    *w = (struct commit_waiter){.store = s, .covers = s->changes.added};
    w->waiter.done = on_commit;
    s->changes.awaited = s->changes.added;
    log_wait(s->log, &w->waiter);
}

enum { USER_TOUCHED = 40 }; /* as many messages that are looked at: all of it is cold */

/* The users whose memory a durable record changes; false: not finished. */
static bool apply(struct store *s, struct change *c)
{
    struct log_record r = record_of_change(c);
    struct record_users users;
    uint64_t prev, id, before = 0;

    if (c->kind == 0 || !record_users(&r, &users))
        return true;
    for (; s->progress.target < users.count; s->progress.target++) {
        struct head *head;
        int cost;

        id = record_user_at(&users, s->progress.target, &prev);
        if (s->progress.target && id == before)
            continue;
        if (s->progress.budget <= 0)
            return false;
        before = id;
        head = heads_by_id(&s->heads, id);
        if (!head)
            continue;
        cost = head->user ? USER_TOUCHED : 1;
        if (user_change(s, head, &r, &s->progress) != APPLIED)
            return false;
        s->progress.budget -= cost;
        s->progress.uid = s->progress.done = s->progress.phase = 0;
        if (r.kind != RECORD_USER && fold_due(s, head))
            fold_want(s, head);
    }
    count_pending(s, &r, -1);
    return true;
}

/* After a failed commit: the head names the last record that is on the disk. */
static void roll_back(struct store *s, struct change *c)
{
    struct log_record r = record_of_change(c);
    struct record_users users;
    uint64_t prev;

    if (c->kind == 0 || !record_users(&r, &users))
        return;
    for (unsigned i = 0; i < users.count; i++) {
        struct head *head = heads_by_id(&s->heads, record_user_at(&users, i, &prev));

        if (head)
            user_roll_back(s, head, &r, prev);
    }
    count_pending(s, &r, -1);
}

bool changes_complete(struct store *s)
{
    struct changes *q = &s->changes;

    while (q->applied != q->added && (s->failed || q->applied < q->durable)) {
        struct change *c = change_at(q, q->head);
        bool durable = q->applied < q->durable;
        struct store_op *op = c->op;

        if (s->progress.budget <= 0)
            return false;
        s->progress.budget--;
        if (durable && !apply(s, c))
            return false;
        if (!durable)
            roll_back(s, c);
        s->progress.target = 0;
        ring_pop(q, c);
        if (durable && s->entering)
            queue_show(s);
        if (op)
            request_post(s, op, durable ? STATUS_OK : STATUS_READ_ONLY);
    }
    return true;
}

/* Of a change that is applied in part, who has had his share needs it no more. */
uint64_t changes_base(const struct store *s, const struct head *head)
{
    const struct changes *q = &s->changes;
    unsigned first = s->progress.target;
    size_t at = q->head;

    if (!head->pending)
        return head->last;
    for (uint64_t i = q->applied; i != q->added; i++) {
        struct change *c = change_at(q, at);
        struct log_record r = record_of_change(c);
        struct record_users users;
        uint64_t prev;

        at = (size_t)((char *)c - q->at) + c->span;
        if (c->kind == 0 || !record_users(&r, &users))
            continue;
        for (unsigned k = first; k < users.count; k++)
            if (record_user_at(&users, k, &prev) == head->id)
                return prev;
        first = 0;
    }
    return head->last;
}
