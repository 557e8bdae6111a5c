/* The messages of a mailbox, from its state and its pages, then what was held. */
#include "store/mailbox.h"

enum {
    PAGE_READS = 8,
    LOADS_TURN = 4, /* mailboxes that are loaded further in one turn */
};

enum content_phase { CONTENT_STATE, CONTENT_PAGES, CONTENT_HELD };

struct page_slot {
    struct log_read read;
    struct content_load *load;
    uint32_t page;
    bool reading, landed;
    enum status status;
};

struct content_load {
    struct list link; /* in store->content_loads while it can go on */
    struct mailbox *mailbox;
    enum content_phase phase;
    struct content *content;
    struct log_read read; /* the state, until the pages are in */
    bool reading, landed;
    enum status status;
    struct mailbox_state_read state;
    struct segments segments;
    uint32_t asked, taken; /* pages */
    unsigned in_flight;
    struct page_slot slots[PAGE_READS];
    struct progress progress;
};

static void wake(struct content_load *l)
{
    struct store *s = l->mailbox->user->store;

    if (!list_linked(&l->link))
        list_add(&s->content_loads, &l->link);
    if (s->conf.wake && !s->turning)
        s->conf.wake(s->conf.arg);
}

enum status content_need(struct mailbox *m, struct store_op *op)
{
    struct content_load *l;

    if (m->content && !m->load)
        return STATUS_OK;
    if (m->damaged)
        return STATUS_CORRUPT;
    if (!m->load && !op && m->failed) {
        enum status status = (enum status)m->failed;

        m->failed = STATUS_OK;
        return status;
    }
    if (!m->load) {
        l = calloc(1, sizeof *l);
        if (!l)
            return STATUS_NO_MEMORY;
        list_init(&l->link);
        l->mailbox = m;
        m->load = l;
        m->user->store->loading++;
        user_pin(m->user);
        wake(l);
    }
    if (op)
        list_add(&m->waiters, &op->link);
    return STATUS_BUSY;
}

/* --- the end --------------------------------------------------------------------------
 */

static void say_damaged(const struct mailbox *m)
{
    const struct user *u = m->user;

    store_say(u->store, SAY_ERROR, "mailbox-damaged",
        "user=%.*s mailbox=%u segment=%08x offset=%u", u->head ? u->head->name_bytes : 0,
        u->head ? u->head->name : "", m->id, PLACE_SEGMENT(m->state),
        PLACE_OFFSET(m->state));
}

static void load_end(struct content_load *l, enum status status)
{
    struct mailbox *m = l->mailbox;
    struct user *u = m->user;

    if (l->landed)
        log_read_end(&l->read);
    if (status == STATUS_NOT_FOUND)
        status = STATUS_CORRUPT;
    if (status == STATUS_CORRUPT) {
        m->damaged = true;
        say_damaged(m);
    }
    if (m->content != l->content)
        content_bury(u->store, l->content);
    list_remove(&l->link);
    free(l);
    m->load = NULL;
    m->failed = (uint8_t)status;
    u->store->loading--;
    mailbox_recount(m);
    request_release(u->store, &m->waiters, status);
    if (u->load)
        load_content_there(u);
    if (m->gone && !m->exists && m->pins == 0)
        mailbox_free(m);
    user_unpin(u);
}

/* All reads must have landed before the load may go. */
static void fail(struct content_load *l, enum status status)
{
    if (l->status == STATUS_OK)
        l->status = status;
    for (unsigned i = 0; i < PAGE_READS; i++)
        if (l->slots[i].landed) {
            if (l->slots[i].status == STATUS_OK)
                log_read_end(&l->slots[i].read);
            l->slots[i].landed = false;
        }
    if (!l->reading && l->in_flight == 0)
        load_end(l, l->status);
}

/* --- the state -------------------------------------------------------------------------
 */

static enum status take_keywords(struct content_load *l)
{
    struct keywords *k = &l->content->keywords;

    for (unsigned i = 0; i < l->state.fixed.keyword_count; i++)
        if (keyword_intern(k, reader_string(&l->state.keywords)) != (int)i)
            return STATUS_NO_MEMORY;
    k->shown = k->count;
    return keyword_sets_take(k, l->state.sets) ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Adds the entries of a page if they are what a page holds: ascending UIDs. */
static enum status take_entries(struct content_load *l, struct slice entries)
{
    struct content *c = l->content;
    uint32_t last = 0, n = (uint32_t)(entries.len / sizeof(struct packed_entry));

    if (c->page_count)
        last = c->pages[c->page_count - 1].at[c->pages[c->page_count - 1].count - 1].uid;
    if (n == 0 || n > PAGE_ENTRIES)
        return STATUS_CORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        struct packed_entry e;

        memcpy(&e, entries.at + i * sizeof e, sizeof e);
        if (e.uid <= last)
            return STATUS_CORRUPT;
        last = e.uid;
        segments_add(&l->segments, e.body);
        segments_add(&l->segments, e.summary);
    }
    return content_append_page(c, entries) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status take_state(struct content_load *l)
{
    struct mailbox *m = l->mailbox;
    const struct log_record *r = &l->read.record;

    if (r->kind != RECORD_MAILBOX_STATE || r->flags & STATE_PAGE ||
        !mailbox_state_read(r->payload, &l->state) || l->state.fixed.user != m->user->id)
        return STATUS_CORRUPT;
    TRY(take_keywords(l));
    if (l->state.fixed.flags_modseq > m->flags_modseq)
        m->flags_modseq = l->state.fixed.flags_modseq;
    segments_add(&l->segments, m->state);
    l->phase = CONTENT_PAGES;
    if (l->state.fixed.entry_count == 0)
        return STATUS_OK;
    TRY(take_entries(l, l->state.entries));
    l->content->pages[0].dirty = false;
    return STATUS_OK;
}

static void on_state(struct log_read *read, enum status status)
{
    struct content_load *l = container_of(read, struct content_load, read);

    l->reading = false;
    l->landed = status == STATUS_OK;
    l->status = status;
    wake(l);
}

/* --- the pages --- */

static void on_page(struct log_read *read, enum status status)
{
    struct page_slot *slot = container_of(read, struct page_slot, read);

    slot->reading = false;
    slot->landed = true;
    slot->status = status;
    slot->load->in_flight--;
    wake(slot->load);
}

static void ask_pages(struct content_load *l)
{
    struct log *log = l->mailbox->user->store->log;

    while (l->asked < l->state.fixed.page_count && l->asked < l->taken + PAGE_READS) {
        struct page_slot *slot = &l->slots[l->asked % PAGE_READS];
        const struct rec_page_ref *ref = &l->state.pages[l->asked];

        slot->load = l;
        slot->page = l->asked++;
        slot->landed = false;
        slot->reading = true;
        l->in_flight++;
        if (log_read(log, &slot->read, ref->place, ref->bytes, on_page)) {
            slot->reading = false;
            slot->landed = true;
            slot->status = STATUS_OK;
            l->in_flight--;
        }
    }
}

static enum status take_page(struct content_load *l, const struct page_slot *slot)
{
    const struct rec_page_ref *ref = &l->state.pages[slot->page];
    const struct log_record *r = &slot->read.record;
    struct page_read p;
    struct page *page;

    if (r->kind != RECORD_MAILBOX_STATE || !(r->flags & STATE_PAGE) ||
        !page_read(r->payload, &p) || p.fixed.user != l->mailbox->user->id ||
        p.fixed.count != ref->count)
        return STATUS_CORRUPT;
    TRY(take_entries(l, p.entries));
    page = &l->content->pages[l->content->page_count - 1];
    page_recorded(page, ref->place, (uint32_t)r->payload.len);
    segments_add(&l->segments, ref->place);
    return STATUS_OK;
}

/* OK: all are in. BUSY: more are on their way. */
static enum status take_pages(struct content_load *l)
{
    for (int budget = TURN_BUDGET / MESSAGE_MADE / PAGE_ENTRIES;
         l->taken < l->state.fixed.page_count;) {
        struct page_slot *slot = &l->slots[l->taken % PAGE_READS];
        enum status status;

        ask_pages(l);
        if (!slot->landed)
            return STATUS_BUSY;
        if (budget-- == 0) {
            wake(l);
            return STATUS_BUSY;
        }
        status = slot->status == STATUS_OK ? take_page(l, slot) : slot->status;
        if (slot->status == STATUS_OK)
            log_read_end(&slot->read);
        slot->landed = false;
        TRY(status);
        l->taken++;
    }
    return STATUS_OK;
}

/* --- steps --- */

static enum status begin(struct content_load *l)
{
    struct mailbox *m = l->mailbox;

    if (!l->content && !(l->content = content_new(m->user->store)))
        return STATUS_NO_MEMORY;
    if (l->landed)
        return take_state(l);
    if (!m->state) {
        l->phase = CONTENT_PAGES;
        return STATUS_OK;
    }
    l->reading = true;
    if (!log_read(m->user->store->log, &l->read, m->state, m->state_bytes, on_state))
        return STATUS_BUSY;
    l->reading = false;
    l->landed = true;
    return take_state(l);
}

static enum status apply_held(struct content_load *l)
{
    struct mailbox *m = l->mailbox;

    m->content = l->content;
    l->progress.budget = m->user->store->turn_budget;
    while (!held_empty(&m->held)) {
        struct log_record r = record_of_change(held_next(&m->held));
        enum applied a = APPLY_MORE;

        if (l->progress.budget > 0)
            a = content_apply(m, &r, &l->progress);
        if (a != APPLIED) {
            wake(l); /* the slice is used up, or there is no memory: once more, later */
            return STATUS_BUSY;
        }
        l->progress = (struct progress){.budget = l->progress.budget - MESSAGE_MADE};
        held_pop(&m->held);
    }
    return STATUS_OK;
}

static void run(struct content_load *l)
{
    enum status status = l->status;

    if (status == STATUS_OK && l->phase == CONTENT_STATE)
        status = begin(l);
    if (status == STATUS_OK && l->phase == CONTENT_PAGES) {
        status = take_pages(l);
        if (status == STATUS_OK) {
            l->mailbox->segments = l->segments;
            l->phase = CONTENT_HELD;
        }
    }
    if (status == STATUS_OK)
        status = apply_held(l);
    if (status == STATUS_BUSY)
        return;
    if (status != STATUS_OK)
        fail(l, status);
    else
        load_end(l, STATUS_OK);
}

bool content_loads_step(struct store *s)
{
    struct list now;
    struct list *link;

    list_init(&now);
    for (int n = 0; n < LOADS_TURN && (link = list_pop(&s->content_loads)); n++)
        list_add(&now, link);
    while ((link = list_pop(&now)))
        run(container_of(link, struct content_load, link));
    return list_empty(&s->content_loads);
}
