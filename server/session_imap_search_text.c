/* The text of a message against one needle, a piece at a time. */
#include "server/session_imap_search.h"

enum {
    TEXT_PIECE = 32 << 10, /* octets searched at once */
    TEXT_RATE = 64,        /* octets in a unit: decoding, folding, matching */
};

void text_search_begin(
    struct text_search *t, const struct imap_key *key, const struct search_needle *needle)
{
    *t = (struct text_search){.key = key, .needle = needle};
    t->at = key->kind == IMAP_KEY_HEADER ? TEXT_FIELD : TEXT_NEXT;
}

/* Ends the search of one text; whether it was found there. */
static bool end_text(struct text_search *t)
{
    if (!t->searching)
        return false;
    t->searching = false;
    if (t->at == TEXT_FIELD)
        return field_search_end(&t->field);
    if (t->at == TEXT_HEADER)
        return search_header_end(&t->header);
    return search_body_end(&t->body);
}

void text_search_end(struct text_search *t)
{
    end_text(t);
    if (t->reading)
        body_close(&t->read.body);
    t->reading = false;
}

static enum turn give_up(struct text_search *t)
{
    t->failed = true;
    return TURN_DONE;
}

static enum turn read_on(struct session_imap *s, struct text_search *t)
{
    t->fresh = true;
    return imap_body_next(s, &t->read) ? TURN_AGAIN : TURN_WAIT;
}

/* Begins to search the octets of a range as what t->at says. */
static enum turn open_text(struct session_imap *s, struct text_search *t,
    const struct entry *entry, struct range range)
{
    imap_spent(s, IMAP_UNITS_READ);
    memset(&t->read, 0, sizeof t->read);
    if (body_open(imap_store_of(s), &t->read.body, entry, range.at, range.len) !=
        STATUS_OK)
        return give_up(t);
    t->reading = true;
    t->searching = true;
    if (t->at == TEXT_FIELD)
        field_search_begin(&t->field, t->key->field, t->needle);
    else if (t->at == TEXT_HEADER)
        search_header_begin(&t->header, t->needle);
    else
        search_body_begin(&t->body, t->needle, t->part.encoding, t->part.charset);
    return read_on(s, t);
}

/* The next part of the message that is looked at. The message's own header is left out
 * for BODY; parts that are no text are left out for both (RFC 3501, 6.4.4). */
static enum turn next_text(struct session_imap *s, struct text_search *t,
    const struct entry *entry, const struct summary *summary)
{
    if (t->part.body.len && t->part.text && t->body_due) {
        t->body_due = false;
        t->at = TEXT_BODY;
        return open_text(s, t, entry, t->part.body);
    }
    if (!summary_leaf_at(summary, t->leaf++, &t->part))
        return TURN_DONE;
    t->body_due = true;
    if (imap_spent(s, 1))
        return TURN_YIELD;
    if (t->part.header.len == 0 ||
        (t->part.header.at == 0 && t->key->kind == IMAP_KEY_BODY))
        return TURN_AGAIN;
    t->at = TEXT_HEADER;
    return open_text(s, t, entry, t->part.header);
}

/* True when the text needs no more octets. */
static bool feed(struct text_search *t, struct slice bytes)
{
    if (t->at == TEXT_FIELD)
        return field_search_feed(&t->field, bytes);
    if (t->at == TEXT_HEADER)
        return search_header_feed(&t->header, bytes);
    return search_body_feed(&t->body, bytes);
}

/* Searches on in the text that is open. */
static enum turn search_on(struct session_imap *s, struct text_search *t)
{
    bool enough = false;

    if (t->read.status != STATUS_OK)
        return give_up(t);
    if (t->fresh)
        t->rest = t->read.body.piece;
    t->fresh = false;
    while (t->rest.len && !enough) {
        size_t n = t->rest.len < TEXT_PIECE ? t->rest.len : TEXT_PIECE;

        enough = feed(t, slice_take(&t->rest, n));
        if (imap_spent(s, 1 + (int)(n / TEXT_RATE)) && !enough && t->rest.len)
            return TURN_YIELD;
    }
    if (!enough && t->read.body.at < t->read.body.end)
        return read_on(s, t);
    t->found |= end_text(t);
    body_close(&t->read.body);
    t->reading = false;
    if (t->found || t->at == TEXT_FIELD)
        return TURN_DONE;
    t->at = TEXT_NEXT;
    return TURN_AGAIN;
}

enum turn text_search_step(struct session_imap *s, struct text_search *t,
    const struct entry *entry, const struct summary *summary)
{
    enum turn turn = TURN_AGAIN;

    while (turn == TURN_AGAIN) {
        if (t->reading)
            turn = search_on(s, t);
        else if (t->at == TEXT_FIELD)
            turn = open_text(s, t, entry, (struct range){0, summary->header_bytes});
        else
            turn = next_text(s, t, entry, summary);
        if (turn == TURN_AGAIN && imap_spent(s, 0))
            turn = TURN_YIELD;
    }
    return turn;
}
