#include "store/mailbox.h"

struct bytes *delta_begin(
    struct user *u, uint32_t mailbox, unsigned what, uint64_t modseq, int64_t bytes)
{
    struct bytes *b = &u->store->scratch;
    struct rec_delta d = {.version = RECORDS_VERSION,
        .what = (uint8_t)what,
        .mailbox = mailbox,
        .user = u->id,
        .prev = u->head->last,
        .modseq = modseq,
        .bytes = bytes};

    bytes_clear(b);
    bytes_put(b, &d, sizeof d);
    return b;
}

enum status delta_end(
    struct user *u, enum log_purpose purpose, enum record_kind kind, struct store_op *op)
{
    struct store *s = u->store;

    if (s->scratch.failed)
        return STATUS_NO_MEMORY;
    if (u->head->pending == UINT16_MAX)
        return STATUS_BUSY;
    return change_add(s, purpose, kind, bytes_slice(&s->scratch), op, NULL);
}

void put_folder(
    struct bytes *b, uint32_t id, uint32_t uid_validity, unsigned use, struct slice name)
{
    struct rec_folder f = {.mailbox = id,
        .uid_validity = uid_validity,
        .use = (uint8_t)use,
        .name_bytes = (uint16_t)name.len};

    bytes_put(b, &f, sizeof f);
    bytes_put_slice(b, name);
}

struct tally *tally_new(void)
{
    return calloc(1, sizeof(struct tally));
}

void tally_free(struct tally *t)
{
    if (t)
        bytes_free(&t->freed.bytes);
    free(t);
}

bool tally_step(struct tally *t, struct mailbox *m)
{
    struct content *c = m->content;
    int budget = m->user->store->turn_budget;
    struct spot s;

    if (!c)
        return true; /* it can't be read: what it held stays counted as live */
    for (s = content_seek(c, t->uid); s.page < c->page_count; content_next(c, &s)) {
        const struct packed_entry *e = content_get(c, s);

        t->uid = e->uid;
        if (budget-- == 0)
            return false;
        t->bytes += e->size;
        freed_add_entry(m->user->store, &t->freed, e);
    }
    for (uint32_t i = 0; i < c->page_count; i++)
        if (c->pages[i].record.place)
            freed_add(&t->freed, PLACE_SEGMENT(c->pages[i].record.place),
                record_span(c->pages[i].record.bytes));
    if (m->state)
        freed_add(&t->freed, PLACE_SEGMENT(m->state), record_span(m->state_bytes));
    t->uid = 0;
    return true;
}
