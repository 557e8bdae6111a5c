/* Octets of a message: BODY[...] and RFC822..., lent from the log to the connection. */
#include "server/log.h"
#include "server/session_imap_fetch.h"

enum { LEND_RATE = 512 }; /* octets sent in a unit: checksums, encryption */

static enum section_part section_of(const struct imap_item *item)
{
    if (item->kind == IMAP_ITEM_RFC822_HEADER)
        return SECTION_HEADER;
    if (item->kind == IMAP_ITEM_RFC822_TEXT)
        return SECTION_TEXT;
    if (item->kind == IMAP_ITEM_RFC822)
        return SECTION_ALL;
    switch (item->part) {
    case IMAP_PART_HEADER:
    case IMAP_PART_FIELDS:
    case IMAP_PART_FIELDS_NOT:
        return SECTION_HEADER;
    case IMAP_PART_TEXT:
        return SECTION_TEXT;
    case IMAP_PART_MIME:
        return SECTION_MIME;
    case IMAP_PART_ALL:
        break;
    }
    return SECTION_ALL;
}

bool fetch_range(const struct fetch *f, const struct imap_item *item, struct range *r)
{
    enum section_part part = section_of(item);
    bool whole = item->kind != IMAP_ITEM_SECTION || item->path_count == 0;

    *r = (struct range){0, f->entry.size};
    if (whole && part == SECTION_ALL)
        return true;
    return summary_section(&f->summary.summary, whole ? NULL : item->path,
               whole ? 0 : item->path_count, part, r) &&
        r->at <= f->entry.size && r->len <= f->entry.size - r->at;
}

/* RFC 3501, 6.4.5: what begins beyond the end is empty, what reaches beyond it is cut. */
void fetch_partial(const struct imap_item *item, uint64_t *at, uint64_t *len)
{
    uint64_t skip;

    if (item->kind != IMAP_ITEM_SECTION || !item->partial)
        return;
    skip = item->from < *len ? item->from : *len;
    *at += skip;
    *len -= skip;
    if (*len > item->length)
        *len = item->length;
}

enum turn fetch_nil(struct session_imap *s, struct fetch *f, bool failed)
{
    if (f->reading)
        body_close(&f->read.body);
    f->reading = false;
    f->failed |= failed;
    f->at = FETCH_ITEMS;
    out_put(&s->conn.out, S(" NIL"));
    return imap_pace(s, 1);
}

enum turn fetch_read(struct session_imap *s, struct fetch *f)
{
    return imap_body_next(s, &f->read) ? TURN_AGAIN : TURN_WAIT;
}

bool fetch_lost(struct session_imap *s, const struct fetch *f)
{
    struct event e;

    if (f->read.status == STATUS_OK && f->read.body.piece.len)
        return false;
    if (event_begin(&e, LEVEL_ERROR, "imap-body-lost")) {
        event_string(&e, "user", s->name);
        event_number(&e, "uid", f->entry.uid);
        event_string(&e, "status", status_text(f->read.status));
        event_end(&e);
    }
    return true;
}

enum turn fetch_body_begin(
    struct session_imap *s, struct fetch *f, const struct imap_item *item)
{
    struct out *out = &s->conn.out;
    struct range r;

    imap_put_item_name(out, item);
    if (!fetch_range(f, item, &r))
        return fetch_nil(s, f, false);
    fetch_partial(item, &r.at, &r.len);
    if (r.len == 0) {
        out_put(out, S(" \"\""));
        return TURN_AGAIN;
    }
    memset(&f->read, 0, sizeof f->read);
    if (body_open(imap_store_of(s), &f->read.body, &f->entry, r.at, r.len) != STATUS_OK)
        return fetch_nil(s, f, true);
    f->reading = true;
    f->headed = false;
    f->left = r.len;
    f->at = FETCH_BODY;
    return fetch_read(s, f);
}

static void release(void *loan)
{
    body_release(loan);
}

enum turn fetch_body_step(struct session_imap *s, struct fetch *f)
{
    struct body *b = &f->read.body;
    struct slice piece = b->piece;
    enum turn turn;

    if (fetch_lost(s, f)) {
        if (!f->headed)
            return fetch_nil(s, f, true);
        conn_abort(&s->conn);
        return TURN_WAIT;
    }
    if (!f->headed) {
        out_byte(&s->conn.out, ' ');
        imap_put_literal_head(&s->conn.out, f->left);
        f->headed = true;
    }
    CHECK(piece.len <= f->left);
    f->left -= piece.len;
    conn_lend(&s->conn, piece, release, body_lend(b));
    if (f->left) {
        turn = fetch_read(s, f);
        return turn == TURN_AGAIN
            ? imap_pace(s, IMAP_UNITS_READ + (int)(piece.len / LEND_RATE))
            : turn;
    }
    body_close(b);
    f->reading = false;
    f->at = FETCH_ITEMS;
    return imap_pace(s, IMAP_UNITS_READ + (int)(piece.len / LEND_RATE));
}
