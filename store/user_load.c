/* From the last USER_STATE and the chain after it to a user in memory.
 *
 *      STATE --> CHAIN, newest record first --> APPLY, oldest first --> HELD --> loaded
 *
 * Chain and state are durable when the load begins. What becomes durable meanwhile is
 * held by the user and applied last. A record that moves messages between two mailboxes
 * wants both in memory; all others wait at their mailbox until somebody opens it. */
#include "store/mailbox.h"

enum {
    LOAD_BUDGET = 256, /* records in one slice */
    PEEKS_STEP = 64,   /* of all loads together, system calls in one step */
    FOLDERS_STEP = 96, /* mailboxes of a state in one slice */
    LINK_BYTES = 384,  /* what most records of a chain are smaller than, */
    STATE_BYTES = 900, /* and most states, of a user with the usual mailboxes */
};

enum load_phase {
    LOAD_STATE,
    LOAD_FOLDERS,
    LOAD_CHAIN,
    LOAD_APPLY,
    LOAD_HELD,
    LOAD_BIRTH
};

struct link {
    struct link *next; /* the newer one */
    struct change change;
};

struct load {
    struct list link; /* in store->loads while it can go on */
    struct user *user;
    enum load_phase phase;
    struct log_read read;
    bool reading, held; /* the state's record is on its way, or here */
    struct user_state_read folders;
    uint32_t folders_taken;
    uint64_t state;      /* place of the USER_STATE */
    uint64_t state_prev; /* what it is linked to */
    uint64_t state_seq;
    uint64_t place;     /* of the next record of the chain */
    uint64_t applied;   /* the state reflects the chain up to here */
    uint64_t below;     /* sequence numbers must fall */
    struct link *chain; /* oldest first, as the newest is read first */
    struct progress progress;
    int budget;
};

static void load_wake(struct load *l)
{
    struct store *s = l->user->store;

    if (!list_linked(&l->link))
        list_add(&s->loads, &l->link);
    if (s->conf.wake && !s->turning)
        s->conf.wake(s->conf.arg);
}

enum status load_begin(struct user *u)
{
    struct load *l = calloc(1, sizeof *l);

    if (!l)
        return STATUS_NO_MEMORY;
    list_init(&l->link);
    l->user = u;
    l->state = u->head->state;
    l->place = changes_base(u->store, u->head);
    l->below = UINT64_MAX;
    u->load = l;
    u->store->loading++;
    load_wake(l);
    return STATUS_OK;
}

void load_free(struct user *u)
{
    struct load *l = u->load;

    if (!l)
        return;
    CHECK(!l->reading);
    if (l->held)
        log_read_end(&l->read);
    while (l->chain) {
        struct link *next = l->chain->next;

        free(l->chain);
        l->chain = next;
    }
    list_remove(&l->link);
    free(l);
    u->load = NULL;
    u->store->loading--;
}

void load_born(struct user *u)
{
    if (u->load && u->load->phase == LOAD_BIRTH)
        load_wake(u->load);
}

void load_content_there(struct user *u)
{
    if (!u->load->reading)
        load_wake(u->load);
}

/* --- the state --- */

static bool folder_restore(struct user *u, const struct folder_state_read *f)
{
    struct mailbox *m = names_add(u, f->name);

    if (!m)
        return false;
    m->exists = f->fixed.flags & FOLDER_EXISTS;
    m->selectable = f->fixed.flags & FOLDER_SELECTABLE;
    m->subscribed = f->fixed.flags & FOLDER_SUBSCRIBED;
    m->use = f->fixed.use;
    u->existing += m->exists;
    if (!m->selectable)
        return true;
    m->id = f->fixed.mailbox;
    m->uid_validity = f->fixed.uid_validity;
    m->uid_next = m->uid_pending = f->fixed.uid_next;
    m->modseq = m->modseq_pending = f->fixed.modseq;
    m->recent_uid = f->fixed.recent_uid;
    m->state = f->fixed.state;
    m->state_bytes = f->fixed.state_bytes;
    m->segments = (struct segments){f->fixed.seg_min, f->fixed.seg_max};
    if (user_mailbox_id(u, m->id))
        return false;
    ids_add(u, m);
    return true;
}

/* The record stays until its folders have been taken. */
static enum status state_begin(struct load *l, const struct log_record *r)
{
    struct user *u = l->user;
    struct user_state_read *st = &l->folders;
    struct delta_read d;

    if (r->kind != RECORD_USER_STATE || !delta_read(r->payload, &d) ||
        d.fixed.user != u->id || !user_state_read(d.body, st) || !user_state_whole(st))
        return STATUS_CORRUPT;
    u->next_mailbox = st->fixed.next_mailbox;
    u->bytes = st->fixed.applied_bytes;
    u->applied = l->applied = st->fixed.applied;
    u->applied_seq = st->fixed.applied_seq;
    u->state_bytes = (uint32_t)record_span(r->payload.len);
    l->state_prev = d.fixed.prev;
    l->state_seq = r->seq;
    l->held = true;
    l->phase = LOAD_FOLDERS;
    return STATUS_OK;
}

/* BUSY: more of them in the next turn. */
static enum status folders_take(struct load *l)
{
    struct folder_state_read f;

    for (int n = 0; l->folders_taken < l->folders.fixed.mailbox_count; n++) {
        if (n == FOLDERS_STEP) {
            load_wake(l);
            return STATUS_BUSY;
        }
        if (!folder_state_next(&l->folders.folders, &f))
            return STATUS_CORRUPT;
        if (!folder_restore(l->user, &f))
            return STATUS_NO_MEMORY;
        l->folders_taken++;
    }
    log_read_end(&l->read);
    l->held = false;
    l->phase = LOAD_CHAIN;
    return STATUS_OK;
}

/* --- the chain --- */

bool record_prev(const struct log_record *r, uint64_t user, uint64_t *prev)
{
    struct record_users users;

    if (!record_users(r, &users))
        return false;
    for (unsigned i = 0; i < users.count; i++)
        if (record_user_at(&users, i, prev) == user)
            return true;
    return false;
}

static enum status link_push(struct load *l, const struct log_record *r, uint64_t prev)
{
    struct link *link;

    link = malloc(sizeof *link + r->payload.len);
    if (!link)
        return STATUS_NO_MEMORY;
    link->change = (struct change){.length = (uint32_t)r->payload.len,
        .kind = (uint8_t)r->kind,
        .flags = r->flags,
        .seq = r->seq,
        .place = r->place};
    if (r->payload.len)
        memcpy(link->change.payload, r->payload.at, r->payload.len);
    link->next = l->chain;
    l->chain = link;
    l->below = r->seq;
    l->place = prev;
    return STATUS_OK;
}

static enum status chain_add(struct load *l, const struct log_record *r)
{
    const struct user *u = l->user;
    struct log_record own = *r;
    uint64_t prev;

    if (r->seq >= l->below || !record_prev(r, u->id, &prev))
        return STATUS_CORRUPT;
    if (r->kind == RECORD_DELIVERY)
        own.payload = delivery_share(r->payload, u->id, 0, &u->store->share);
    return own.payload.at ? link_push(l, &own, prev) : STATUS_NO_MEMORY;
}

/* The state is a link of the chain, too: what is added after it hangs on it. */
static enum status chain_add_state(struct load *l)
{
    struct log_record r = {
        .kind = RECORD_USER_STATE, .seq = l->state_seq, .place = l->state};

    return link_push(l, &r, l->state_prev);
}
static enum status take_record(struct load *l)
{
    enum status status = l->phase == LOAD_STATE ? state_begin(l, &l->read.record)
                                                : chain_add(l, &l->read.record);

    if (!l->held)
        log_read_end(&l->read);
    return status;
}

/* --- steps -----------------------------------------------------------------------------
 */

static void load_end(struct load *l, enum status status)
{
    struct user *u = l->user;

    if (status == STATUS_CORRUPT || status == STATUS_NOT_FOUND)
        store_say(u->store, SAY_ERROR, "user-damaged", "user=%.*s segment=%08x offset=%u",
            (int)u->head->name_bytes, u->head->name,
            PLACE_SEGMENT(l->phase < LOAD_CHAIN ? l->state : l->place),
            PLACE_OFFSET(l->phase < LOAD_CHAIN ? l->state : l->place));
    if (status == STATUS_NOT_FOUND)
        status = STATUS_CORRUPT;
    user_loaded(u, status);
}

static void on_read(struct log_read *read, enum status status)
{
    struct load *l = container_of(read, struct load, read);

    l->reading = false;
    if (status == STATUS_OK)
        status = take_record(l);
    if (status != STATUS_OK)
        load_end(l, status);
    else
        load_wake(l);
}

/* False: the read will go on by itself. */
static bool read_next(struct load *l, uint64_t place, enum status *status)
{
    struct store *s = l->user->store;
    uint32_t bytes = l->phase == LOAD_CHAIN ? LINK_BYTES : STATE_BYTES;

    l->reading = true;
    if (s->peeks) {
        s->peeks--;
        if (!log_read_near(s->log, &l->read, place, bytes, on_read))
            return false;
    } else if (!log_read(s->log, &l->read, place, bytes, on_read)) {
        return false;
    }
    l->reading = false;
    *status = take_record(l);
    return true;
}

/* The place of the next record that the state does not reflect; 0: none is left. */
static enum status chain_next(struct load *l, uint64_t *next)
{
    *next = 0;
    if (l->place && l->place == l->state)
        TRY(chain_add_state(l));
    if (l->place != l->applied)
        *next = l->place;
    return STATUS_OK;
}

/* Both mailboxes of a move, or INBOX when it is renamed, must be there first. */
static enum status content_wanted(struct user *u, const struct log_record *r)
{
    struct delta_read d;
    struct copy_read c;
    uint32_t ids[2] = {0};

    if (!delta_read(r->payload, &d))
        return STATUS_OK;
    if (r->kind == RECORD_COPY && copy_read(d.body, &c)) {
        ids[0] = d.fixed.mailbox;
        ids[1] = c.fixed.from;
    }
    if (r->kind == RECORD_MAILBOX && d.fixed.what == TREE_RENAME_INBOX)
        ids[0] = MAILBOX_INBOX;
    for (int i = 0; i < 2; i++) {
        struct mailbox *m = ids[i] ? user_mailbox_id(u, ids[i]) : NULL;
        enum status status = m ? content_need(m, NULL) : STATUS_OK;

        if (status != STATUS_OK && status != STATUS_CORRUPT)
            return status;
    }
    return STATUS_OK;
}

/* OK: applied. BUSY: come back when a content is there, or in the next turn. */
static enum status apply_one(struct load *l, const struct change *c)
{
    struct log_record r = record_of_change(c);
    enum status status = r.kind == RECORD_COPY || r.kind == RECORD_MAILBOX
        ? content_wanted(l->user, &r)
        : STATUS_OK;
    enum applied a;

    if (status == STATUS_BUSY)
        return STATUS_BUSY; /* content_need() has us woken */
    TRY(status);
    l->progress.budget = l->user->store->turn_budget;
    a = user_apply(l->user, &r, &l->progress);
    if (a == APPLY_STUCK)
        return STATUS_NO_MEMORY;
    if (a == APPLY_MORE) {
        load_wake(l);
        return STATUS_BUSY;
    }
    l->progress = (struct progress){0};
    return STATUS_OK;
}

static enum status apply_chain(struct load *l)
{
    while (l->chain) {
        struct link *link = l->chain;

        TRY(apply_one(l, &link->change));
        l->chain = link->next;
        free(link);
        if (l->budget-- == 0) {
            load_wake(l);
            return STATUS_BUSY;
        }
    }
    l->phase = LOAD_HELD;
    return STATUS_OK;
}

static enum status apply_held(struct load *l)
{
    struct user *u = l->user;

    while (!held_empty(&u->held)) {
        TRY(apply_one(l, held_next(&u->held)));
        held_pop(&u->held);
    }
    if (user_mailbox_id(u, MAILBOX_INBOX))
        return STATUS_OK;
    if (u->head->pending == 0)
        return STATUS_CORRUPT; /* no record made him */
    l->phase = LOAD_BIRTH;
    return STATUS_BUSY;
}

static enum status load_step(struct load *l, bool *waits)
{
    enum status status = STATUS_OK;
    uint64_t next;

    switch (l->phase) {
    case LOAD_STATE:
        if (l->state)
            *waits = !read_next(l, l->state, &status);
        else
            l->phase = LOAD_CHAIN;
        return status;
    case LOAD_FOLDERS:
        return folders_take(l);
    case LOAD_CHAIN:
        TRY(chain_next(l, &next));
        if (next)
            *waits = !read_next(l, next, &status);
        else
            l->phase = LOAD_APPLY;
        return status;
    case LOAD_APPLY:
        return apply_chain(l);
    case LOAD_BIRTH:
        l->phase = LOAD_HELD;
        return STATUS_OK;
    case LOAD_HELD:
        break;
    }
    return apply_held(l);
}

static void load_run(struct load *l)
{
    for (l->budget = LOAD_BUDGET; l->budget > 0; l->budget--) {
        bool last = l->phase == LOAD_HELD, waits = false;
        enum status status = load_step(l, &waits);

        if (waits || status == STATUS_BUSY)
            return;
        if (status != STATUS_OK || (last && l->phase == LOAD_HELD)) {
            load_end(l, status);
            return;
        }
    }
    load_wake(l);
}

bool loads_step(struct store *s)
{
    struct list now;
    struct list *link;

    list_init(&now);
    while ((link = list_pop(&s->loads)))
        list_add(&now, link);
    s->peeks = PEEKS_STEP;
    while ((link = list_pop(&now)))
        load_run(container_of(link, struct load, link));
    return list_empty(&s->loads);
}
