#include "store/mailbox.h"

enum {
    USER_NAME_MAX = 1024,
    EVICT_TURN = 64,
    FREE_TURN = 128, /* pages and mailboxes freed in one turn, at least */
};

/* --- memory --- */

void user_memory(struct user *u, int64_t by)
{
    u->memory += (uint64_t)by;
    u->store->index_used += (uint64_t)by;
    if (u->dead)
        u->store->dead_bytes += (uint64_t)by;
}

void mailbox_recount(struct mailbox *m)
{
    size_t now = m->held.bytes.cap + (m->content ? content_memory(m->content) : 0);

    user_memory(m->user, (int64_t)now - (int64_t)m->counted);
    m->counted = now;
}

void mailbox_name_free(struct mailbox *m)
{
    if (m->name != m->short_name)
        free(m->name);
}

void mailbox_free(struct mailbox *m)
{
    struct store *s = m->user->store;

    CHECK(!m->pins && !m->load && list_empty(&m->views));
    content_bury(s, m->content);
    m->content = NULL;
    bytes_free(&m->held.bytes);
    mailbox_recount(m);
    user_memory(m->user, -(int64_t)(sizeof *m + m->name_bytes));
    m->user->name_bytes -= name_cost(m->name_bytes);
    mailbox_name_free(m);
    free(m->next.name);
    cell_give(&s->mailboxes, m);
}

struct user *user_new(struct store *s, struct head *head)
{
    struct user *u = cell_take(&s->users);

    if (!u)
        return NULL;
    u->store = s;
    u->head = head;
    u->id = head->id;
    u->loading = true;
    list_init(&u->link);
    list_init(&u->waiters);
    list_init(&u->tree_waiters);
    names_init(u);
    head->user = u;
    s->loaded++;
    s->users_read++;
    user_memory(u, sizeof *u);
    return u;
}

/* He is freed by dead_step(): an account may have thousands of mailboxes. */
static void user_bury(struct user *u)
{
    struct store *s = u->store;

    CHECK(!u->pins && !u->fold && list_empty(&u->waiters));
    list_remove(&u->link);
    renaming_free(u);
    load_free(u);
    u->dead = true;
    s->dead_bytes += u->memory;
    s->loaded--;
    list_add(&s->dead_users, &u->link);
}

/* Frees a mailbox of him, or him when none is left. */
static void user_free_piece(struct user *u)
{
    struct store *s = u->store;

    if (u->name_count) {
        mailbox_free(u->names[--u->name_count]);
        return;
    }
    list_remove(&u->link);
    lost_drop(u->losing);
    bytes_free(&u->held.bytes);
    bytes_free(&u->freed.bytes);
    names_free(u);
    user_memory(u, -(int64_t)u->memory);
    cell_give(&s->users, u);
}

/* Each turn gives back as much as has come since the last one, so nothing grows while
 * something waits here; and some more, so that this has an end. */
bool dead_step(struct store *s)
{
    struct list *users = &s->dead_users;

    for (int i = 0; i < FREE_TURN || s->index_used > s->index_before; i++) {
        if (content_free_piece(s))
            continue;
        if (list_empty(users))
            break;
        user_free_piece(container_of(users->next, struct user, link));
    }
    s->index_before = s->index_used;
    return list_empty(users) && !s->dead_contents;
}

void user_drop(struct user *u)
{
    if (u->head)
        u->head->user = NULL;
    user_bury(u);
}

void user_pin(struct user *u)
{
    list_remove(&u->link);
    u->pins++;
}

void user_unpin(struct user *u)
{
    CHECK(u->pins);
    if (--u->pins || u->loading)
        return;
    u->used_turn = u->store->turns;
    if (u->removed)
        user_bury(u);
    else
        list_add(&u->store->lru, &u->link);
}

/* --- eviction ------------------------------------------------------------------------
 */

static bool can_drop(const struct user *u)
{
    return u->head->pending == 0 && u->store->turns > u->used_turn + 1 && !u->fold &&
        !u->tree_busy && list_empty(&u->tree_waiters);
}

/* What the heads leave of the memory for the index, a quarter of it at least. */
static uint64_t room_for_users(const struct store *s)
{
    uint64_t all = s->conf.index_bytes, least = all / 4, heads = s->heads.memory.bytes;

    return heads < all - least ? all - heads : least;
}

/* Whoever comes back reads a record for each link of his chain, all over the disk: with
 * more than a few, it is cheaper to write his state once. */
static bool worth_folding(const struct user *u)
{
    return u->head->chain > u->store->chain_fold / 32 && store_writable(u->store) &&
        !(u->head->flags & HEAD_FOLDING);
}

/* The coldest leave. What has a chain is folded first, so that it comes back quickly; the
 * fold's end puts it at the cold end again. */
void users_evict(struct store *s)
{
    uint64_t room = room_for_users(s);

    for (int i = 0; i < EVICT_TURN && s->index_used - s->dead_bytes > room; i++) {
        struct list *link = list_pop(&s->lru);
        struct user *u;

        if (!link)
            return;
        u = container_of(link, struct user, link);
        if (!can_drop(u)) {
            list_add(&s->lru, link);
        } else if (worth_folding(u)) {
            fold_want(s, u->head);
            list_add(&s->lru, link);
        } else if (u->head->flags & HEAD_FOLDING) {
            list_add(&s->lru, link);
        } else {
            s->users_evicted++;
            user_drop(u);
        }
    }
}

/* --- in --------------------------------------------------------------------------------
 */

enum status user_need(struct store *s, struct head *head, struct store_op *op)
{
    struct user *u = head->user;

    if (u && !u->loading)
        return STATUS_OK;
    if (!u) {
        u = user_new(s, head);
        if (!u)
            return STATUS_NO_MEMORY;
        if (load_begin(u) != STATUS_OK) {
            user_drop(u);
            return STATUS_NO_MEMORY;
        }
    }
    if (op)
        list_add(&u->waiters, &op->link);
    return STATUS_BUSY;
}

void user_loaded(struct user *u, enum status status)
{
    struct store *s = u->store;

    u->loading = false;
    request_release(s, &u->waiters, status);
    load_free(u);
    if (status != STATUS_OK) {
        user_drop(u);
        return;
    }
    user_pin(u);
    user_unpin(u); /* until someone pins it, it may be evicted */
}

static void put_created(struct store *s, struct slice name, uint64_t id)
{
    struct bytes *b = &s->scratch;
    uint32_t validity = uid_validity_next(s);
    struct rec_delta d = {.version = RECORDS_VERSION,
        .what = USER_CREATED,
        .mailbox = MAILBOX_INBOX,
        .user = id,
        .modseq = 1};
    struct rec_user u = {.uid_validity = validity,
        .folder_count = (uint16_t)s->conf.folder_count,
        .name_bytes = (uint16_t)name.len};

    bytes_clear(b);
    bytes_put(b, &d, sizeof d);
    bytes_put(b, &u, sizeof u);
    for (unsigned i = 0; i < s->conf.folder_count; i++)
        put_folder(b, MAILBOX_INBOX + 1 + i, validity + 1 + i, s->folders[i].use,
            s->folders[i].name);
    bytes_put_slice(b, name);
}

enum status user_create(struct store *s, struct slice name, struct head **made)
{
    uint64_t id = (uint64_t)s->conf.shard << USER_SHARD_SHIFT | s->next_user;
    struct head *head;
    enum status status;

    if (!store_writable(s))
        return STATUS_READ_ONLY;
    if (name.len == 0 || name.len > USER_NAME_MAX)
        return STATUS_INVALID;
    put_created(s, name, id);
    if (s->scratch.failed)
        return STATUS_NO_MEMORY;
    head = heads_add(&s->heads, id, name);
    if (!head)
        return STATUS_NO_MEMORY;
    heads_name(&s->heads, head);
    head->flags = HEAD_NEW;
    status = change_add(s, LOG_GROW, RECORD_USER, bytes_slice(&s->scratch), NULL, NULL);
    if (status != STATUS_OK) {
        heads_remove(&s->heads, head);
        return status;
    }
    *made = head;
    return STATUS_OK;
}

enum status try_user_open(struct store *s, struct user_open *o)
{
    struct head *head = heads_find(&s->heads, o->name);
    enum status status;

    if (!head && !o->create)
        return STATUS_NOT_FOUND;
    if (!head)
        TRY(user_create(s, o->name, &head));
    status = user_need(s, head, &o->op);
    if (status == STATUS_BUSY)
        return STATUS_OK; /* it is tried again when he is there */
    TRY(status);
    o->user = head->user;
    user_pin(o->user);
    request_post(s, &o->op, STATUS_OK);
    return STATUS_OK;
}

/* --- out --- */

/* Counts what each mailbox gives back. BUSY: the request is tried again. */
static enum status count_all(struct user *u, struct user_remove *r)
{
    struct tally *t = r->work;

    for (; t->mailbox < u->id_count; t->mailbox++) {
        struct mailbox *m = u->ids[t->mailbox];
        enum status status = (enum status)r->op.status;

        r->op.status = STATUS_OK;
        if (status == STATUS_OK)
            status = content_need(m, &r->op);
        if (status == STATUS_BUSY)
            return STATUS_BUSY;
        if (status == STATUS_OK && !tally_step(t, m)) {
            request_again(u->store, &r->op);
            return STATUS_BUSY;
        }
    }
    return STATUS_OK;
}

static enum status remove_add(struct store *s, struct head *head, struct user_remove *r)
{
    struct tally *t = r->work;
    struct bytes *b = &s->scratch;
    struct rec_delta d = {.version = RECORDS_VERSION,
        .what = USER_REMOVED,
        .user = head->id,
        .prev = head->last,
        .bytes = -(int64_t)head->bytes};
    struct rec_user u = {
        .name_bytes = head->name_bytes, .freed_count = freed_count(&t->freed)};

    bytes_clear(b);
    bytes_put(b, &d, sizeof d);
    bytes_put(b, &u, sizeof u);
    bytes_put_slice(b, head_name(head));
    bytes_put_slice(b, bytes_slice(&t->freed.bytes));
    if (b->failed)
        return STATUS_NO_MEMORY;
    TRY(change_add(s, LOG_SHRINK, RECORD_USER, bytes_slice(b), &r->op, NULL));
    head->flags |= HEAD_REMOVED;
    heads_unname(&s->heads, head);
    return STATUS_OK;
}

/* The account is in memory and counted, or known to be unreadable. BUSY: the request is
 * tried again. */
static enum status remove_prepare(
    struct store *s, struct head *head, struct user_remove *r)
{
    enum status status = (enum status)r->op.status;

    if (!r->work && !(r->work = tally_new()))
        return STATUS_NO_MEMORY;
    if (!head->user && status != STATUS_OK)
        return STATUS_OK; /* the load failed: it is removed all the same */
    TRY(user_need(s, head, &r->op));
    return count_all(head->user, r);
}

enum status try_user_remove(struct store *s, struct user_remove *r)
{
    struct head *head = heads_find(&s->heads, r->name);
    enum status status = head ? remove_prepare(s, head, r) : STATUS_NOT_FOUND;

    if (status == STATUS_BUSY)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = remove_add(s, head, r);
    tally_free(r->work);
    r->work = NULL;
    return status;
}

/* --- for sessions ----------------------------------------------------------------------
 */

void user_open(struct store *s, struct user_open *o)
{
    o->user = NULL;
    request_start(s, &o->op, REQUEST_USER_OPEN, s);
}

void user_close(struct user *u)
{
    user_unpin(u);
}

void user_remove(struct store *s, struct user_remove *r)
{
    r->work = NULL;
    request_start(s, &r->op, REQUEST_USER_REMOVE, s);
}

bool user_removed(const struct user *u)
{
    return u->removed;
}

uint64_t user_bytes(const struct user *u)
{
    return u->head ? u->head->bytes : 0;
}

uint64_t store_user_bytes(const struct store *s, struct slice name)
{
    const struct head *head = heads_find(&s->heads, name);

    return head ? head->bytes : 0;
}

/* Callers count up, so the search goes on where it ended. */
bool store_user_at(const struct store *store, unsigned i, struct slice *name)
{
    struct store *s = (struct store *)store;
    uint32_t at = s->user_at_slot;
    unsigned count = s->user_at;

    if (i < count)
        at = count = 0;
    for (; at < s->heads.slots; at++) {
        const struct head *head = heads_at(&s->heads, at);

        if (!head || head->flags & HEAD_REMOVED || count++ < i)
            continue;
        s->user_at = i;
        s->user_at_slot = at;
        *name = head_name(head);
        return true;
    }
    return false;
}
