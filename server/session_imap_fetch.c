/* FETCH: RFC 3501, 6.4.5. */
#include "server/session_imap_fetch.h"

/* --- what there is to do
 * ----------------------------------------------------------------- */

/* Does the item take more than the index and the message's octets from the first on? */
static bool needs_summary(const struct imap_item *item)
{
    switch (item->kind) {
    case IMAP_ITEM_UID:
    case IMAP_ITEM_FLAGS:
    case IMAP_ITEM_INTERNALDATE:
    case IMAP_ITEM_RFC822_SIZE:
    case IMAP_ITEM_RFC822:
    case IMAP_ITEM_COUNT:
        return false;
    case IMAP_ITEM_ENVELOPE:
    case IMAP_ITEM_BODY:
    case IMAP_ITEM_BODYSTRUCTURE:
    case IMAP_ITEM_RFC822_HEADER:
    case IMAP_ITEM_RFC822_TEXT:
        return true;
    case IMAP_ITEM_SECTION:
        return item->path_count != 0 ||
            (item->part != IMAP_PART_ALL && item->part != IMAP_PART_FIELDS &&
                item->part != IMAP_PART_FIELDS_NOT);
    }
    return true;
}

static void fetch_drop(struct session_imap *s)
{
    struct fetch *f = s->work->cursor;

    imap_summary_end(&f->summary);
    if (f->reading)
        body_close(&f->read.body);
    f->reading = false;
}

static struct fetch *begin(struct session_imap *s)
{
    struct imap_cmd *cmd = &s->work->cmd;
    struct imap_seqs seqs;
    struct fetch *f;

    if (!imap_seqs_of(s, &cmd->fetch.set, cmd->uid, &seqs))
        return NULL;
    f = imap_cursor(s, sizeof *f);
    if (!f)
        return NULL;
    f->seqs = seqs;
    for (unsigned i = 0; i < cmd->fetch.item_count; i++)
        f->needs_summary |= needs_summary(&cmd->fetch.items[i]);
    s->work->drop = fetch_drop;
    return f;
}

/* --- \Seen
 * --------------------------------------------------------------------------------- */

/* The message has been sent: it will be \Seen. */
static void mark_seen(struct session_imap *s, struct fetch *f)
{
    struct uid_range *last = f->seen_count ? &f->seen[f->seen_count - 1] : NULL;
    uint32_t uid = f->entry.uid;

    if (!s->work->cmd.fetch.sets_seen || s->view.examine || (f->entry.flags & FLAG_SEEN))
        return;
    if (last && last->last + 1 == uid)
        last->last = uid;
    else
        f->seen[f->seen_count++] = (struct uid_range){uid, uid};
}

static enum turn finish(struct session_imap *s, const struct fetch *f)
{
    if (f->failed)
        return imap_no(s, S("[SERVERBUG]"), S("Some messages could not be read"));
    if (f->missing && !s->work->cmd.uid) /* RFC 2180, 4.1.2; RFC 5530 */
        return imap_no(s, S("[EXPUNGEISSUED]"), S("Some of the messages were expunged"));
    return imap_ok(s);
}

/* Durable before the OK. Where the store takes no changes the mail can still be read, and
 * nobody is told of a flag. */
static enum turn set_seen(struct session_imap *s, struct fetch *f)
{
    struct flags_op *op = &f->flags.flags;

    if (f->seen_count == 0) {
        f->at = FETCH_NEXT;
        return f->last ? finish(s, f) : TURN_AGAIN;
    }
    *op = (struct flags_op){.uids = f->seen,
        .uid_count = f->seen_count,
        .mode = FLAGS_ADD,
        .flags = FLAG_SEEN};
    f->seen_count = 0;
    imap_ask(s, &f->flags);
    mailbox_flags(s->view.mailbox, op);
    return TURN_WAIT;
}

/* --- a message
 * ------------------------------------------------------------------------------ */

static enum turn next(struct session_imap *s, struct fetch *f)
{
    if (!imap_seqs_from(&f->seqs, &f->hint, f->seq + 1, &f->seq)) {
        f->last = true;
        f->at = FETCH_SEEN;
        return TURN_AGAIN;
    }
    if (!view_entry(&s->view, f->seq, &f->entry)) {
        f->missing = true;
        return imap_pace(s, 1);
    }
    f->item = 0;
    f->at = f->needs_summary ? FETCH_SUMMARY : FETCH_ITEMS;
    return TURN_AGAIN;
}

/* A message whose structure can't be known is left out, as if it were not there. */
static enum turn summary(struct session_imap *s, struct fetch *f)
{
    enum turn turn = imap_summary_step(s, &f->summary, &f->entry);

    if (turn != TURN_DONE)
        return turn;
    f->at = FETCH_ITEMS;
    if (f->summary.failed) {
        imap_summary_end(&f->summary);
        f->failed = true;
        f->at = FETCH_NEXT;
    }
    return TURN_AGAIN;
}

static enum turn end_message(struct session_imap *s, struct fetch *f)
{
    out_put(&s->conn.out, S(")\r\n"));
    s->conn.thread->stats.fetched++;
    if (f->needs_summary)
        imap_summary_end(&f->summary);
    mark_seen(s, f);
    f->at = f->seen_count == FETCH_SEEN_MAX ? FETCH_SEEN : FETCH_NEXT;
    return imap_pace(s, 1);
}

/* Text of the summary: it can be long, so it goes out in steps. */
static void put_text(struct session_imap *s, struct fetch *f,
    const struct imap_item *item, struct slice text)
{
    imap_put_item_name(&s->conn.out, item);
    out_byte(&s->conn.out, ' ');
    f->rest = text;
    f->at = FETCH_COPY;
}

static enum turn copy(struct session_imap *s, struct fetch *f)
{
    size_t n = f->rest.len < FETCH_COPY_BYTES ? f->rest.len : FETCH_COPY_BYTES;

    out_put(&s->conn.out, slice_take(&f->rest, n));
    if (f->rest.len == 0)
        f->at = FETCH_ITEMS;
    return imap_pace(s, 1 + (int)(n / FETCH_COPY_RATE));
}

static void put_number(struct out *out, struct slice name, uint64_t value)
{
    out_put(out, name);
    out_u64(out, value);
}

/* One item. Leaves f->at other than ITEMS when it takes more steps. */
static enum turn put_item(
    struct session_imap *s, struct fetch *f, const struct imap_item *item)
{
    struct out *out = &s->conn.out;

    switch (item->kind) {
    case IMAP_ITEM_UID:
        put_number(out, S("UID "), f->entry.uid);
        break;
    case IMAP_ITEM_FLAGS:
        imap_put_entry_flags(s, &f->entry);
        break;
    case IMAP_ITEM_INTERNALDATE:
        out_put(out, S("INTERNALDATE "));
        imap_put_date_time(
            out, (struct imap_date_time){f->entry.date_s, f->entry.date_zone});
        break;
    case IMAP_ITEM_RFC822_SIZE:
        put_number(out, S("RFC822.SIZE "), f->entry.size);
        break;
    case IMAP_ITEM_ENVELOPE:
        put_text(s, f, item, f->summary.summary.envelope);
        break;
    case IMAP_ITEM_BODY:
        put_text(s, f, item, f->summary.summary.body);
        break;
    case IMAP_ITEM_BODYSTRUCTURE:
        put_text(s, f, item, f->summary.summary.bodystructure);
        break;
    case IMAP_ITEM_RFC822:
    case IMAP_ITEM_RFC822_HEADER:
    case IMAP_ITEM_RFC822_TEXT:
        return fetch_body_begin(s, f, item);
    case IMAP_ITEM_SECTION:
        if (item->part == IMAP_PART_FIELDS || item->part == IMAP_PART_FIELDS_NOT)
            return fetch_fields_begin(s, f, item);
        return fetch_body_begin(s, f, item);
    case IMAP_ITEM_COUNT:
        break;
    }
    return TURN_AGAIN;
}

static enum turn items(struct session_imap *s, struct fetch *f)
{
    const struct imap_fetch *fetch = &s->work->cmd.fetch;
    enum turn turn = TURN_AGAIN;

    if (f->item == 0)
        imap_put_fetch_head(&s->conn.out, f->seq);
    while (f->at == FETCH_ITEMS && turn == TURN_AGAIN) {
        const struct imap_item *item = &fetch->items[f->item];

        if (f->item == fetch->item_count)
            return end_message(s, f);
        if (f->item++)
            out_byte(&s->conn.out, ' ');
        turn = put_item(s, f, item);
    }
    return turn;
}

static enum turn advance(struct session_imap *s, struct fetch *f)
{
    switch (f->at) {
    case FETCH_NEXT:
        return next(s, f);
    case FETCH_SUMMARY:
        return summary(s, f);
    case FETCH_ITEMS:
        return items(s, f);
    case FETCH_COPY:
        return copy(s, f);
    case FETCH_BODY:
        return fetch_body_step(s, f);
    case FETCH_FIELDS:
        return fetch_fields_step(s, f);
    case FETCH_SEEN:
        return set_seen(s, f);
    }
    CHECK(false);
    return TURN_DONE;
}

/* Most messages take two steps that wait for nothing. Each piece of output has been
 * paced, so nothing needs to be asked between them. */
enum turn imap_step_fetch(struct session_imap *s)
{
    struct fetch *f = s->work->cursor;
    enum turn turn;

    if (!f)
        f = begin(s);
    if (!f)
        return TURN_DONE;
    if (s->work->pending)
        return TURN_WAIT;
    do
        turn = advance(s, f);
    while (turn == TURN_AGAIN);
    return turn;
}
