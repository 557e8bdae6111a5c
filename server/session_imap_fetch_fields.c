/* HEADER.FIELDS and HEADER.FIELDS.NOT: the size of the literal comes first, so the header
 * is filtered twice, once to count. A header that is one piece, as most are, is read
 * once. */
#include "server/session_imap_fetch.h"

enum { FILTER_RATE = 64 }; /* octets filtered in a unit */

static struct header_filter *filter_of(const struct fetch *f)
{
    return f->filters[f->item - 1];
}

static const struct imap_item *item_of(
    const struct session_imap *s, const struct fetch *f)
{
    return &s->work->cmd.fetch.items[f->item - 1];
}

/* The filter of the present item, at its start. NULL: no memory. */
static struct header_filter *begin_filter(
    struct session_imap *s, struct fetch *f, const struct imap_item *item)
{
    struct arena *arena = &s->work->arena;
    struct header_filter *filter;
    struct slice *names;

    if (!f->filters)
        f->filters =
            arena_zero(arena, s->work->cmd.fetch.item_count * sizeof *f->filters);
    if (!f->filters)
        return NULL;
    filter = filter_of(f);
    if (filter) {
        header_filter_rewind(filter);
        return filter;
    }
    filter = arena_take(arena, sizeof *filter);
    names = arena_take(arena, item->field_count * sizeof *names);
    if (!filter || !names)
        return NULL;
    memcpy(names, item->fields, item->field_count * sizeof *names);
    header_filter_begin(
        filter, names, item->field_count, item->part == IMAP_PART_FIELDS_NOT);
    f->filters[f->item - 1] = filter;
    return filter;
}

/* Opens the header for a pass. */
static enum turn open_pass(struct session_imap *s, struct fetch *f)
{
    memset(&f->read, 0, sizeof f->read);
    f->pieces = 0;
    if (body_open(imap_store_of(s), &f->read.body, &f->entry, f->range.at,
            f->range.len) != STATUS_OK) {
        if (!f->headed)
            return fetch_nil(s, f, true);
        conn_abort(&s->conn);
        return TURN_WAIT;
    }
    f->reading = true;
    return fetch_read(s, f);
}

enum turn fetch_fields_begin(
    struct session_imap *s, struct fetch *f, const struct imap_item *item)
{
    bool whole = item->path_count == 0;

    imap_put_item_name(&s->conn.out, item);
    f->range = (struct range){0, f->entry.size}; /* the filter finds the header's end */
    if (!whole && !fetch_range(f, item, &f->range))
        return fetch_nil(s, f, false);
    if (!begin_filter(s, f, item))
        return fetch_nil(s, f, true);
    f->headed = false;
    f->at = FETCH_FIELDS;
    return open_pass(s, f);
}

/* --- the window of a partial fetch
 * --------------------------------------------------------- */

static bool clip_flush(struct out *out)
{
    struct fetch_clip *clip = container_of(out, struct fetch_clip, out);
    struct slice text = out_slice(out);

    slice_take(&text, clip->skip < text.len ? (size_t)clip->skip : text.len);
    clip->skip -= out->len - text.len;
    if (text.len > clip->left)
        text.len = (size_t)clip->left;
    clip->left -= text.len;
    out_put(clip->to, text);
    out->at = clip->buffer;
    out->cap = sizeof clip->buffer;
    out->len = 0;
    return true;
}

static void clip_begin(struct fetch *f, struct out *to, uint64_t skip, uint64_t left)
{
    struct fetch_clip *clip = &f->clip;

    clip->out = out_of(clip->buffer, sizeof clip->buffer);
    clip->out.more = clip_flush;
    clip->to = to;
    clip->skip = skip;
    clip->left = left;
}

/* --- the two passes
 * ------------------------------------------------------------------------- */

/* Counted: tells the size. What is to be written goes through the window. */
static void put_head(struct session_imap *s, struct fetch *f)
{
    struct header_filter *filter = filter_of(f);
    uint64_t skip = 0, len;

    header_filter_end(filter, NULL);
    len = filter->bytes;
    fetch_partial(item_of(s, f), &skip, &len);
    out_byte(&s->conn.out, ' ');
    imap_put_literal_head(&s->conn.out, len);
    clip_begin(f, &s->conn.out, skip, len);
    f->headed = true;
    header_filter_rewind(filter);
}

static enum turn end_pass(struct session_imap *s, struct fetch *f)
{
    bool one = f->pieces <= 1 && f->read.body.piece.len;
    struct header_filter *filter = filter_of(f);

    if (!f->headed) {
        put_head(s, f);
        if (one) {
            f->pieces = 0; /* the same piece once more */
            return TURN_AGAIN;
        }
        body_close(&f->read.body);
        f->reading = false;
        return open_pass(s, f);
    }
    header_filter_end(filter, &f->clip.out);
    clip_flush(&f->clip.out);
    CHECK(f->clip.left == 0);
    body_close(&f->read.body);
    f->reading = false;
    f->at = FETCH_ITEMS;
    return imap_pace(s, IMAP_UNITS_READ);
}

enum turn fetch_fields_step(struct session_imap *s, struct fetch *f)
{
    struct header_filter *filter = filter_of(f);
    struct body *b = &f->read.body;
    struct slice piece = b->piece;
    enum turn turn;

    if (f->read.status != STATUS_OK && fetch_lost(s, f)) {
        if (!f->headed)
            return fetch_nil(s, f, true);
        conn_abort(&s->conn);
        return TURN_WAIT;
    }
    if (piece.len) {
        f->pieces++;
        header_filter_feed(filter, piece, f->headed ? &f->clip.out : NULL);
    }
    if (piece.len == 0 || filter->state == FILTER_DONE || b->at == b->end)
        return end_pass(s, f);
    turn = fetch_read(s, f);
    return turn == TURN_AGAIN ? imap_pace(s, (int)(piece.len / FILTER_RATE)) : turn;
}
