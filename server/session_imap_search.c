/* SEARCH: RFC 3501, 6.4.4. */
#include "server/session_imap_search.h"

enum {
    SECONDS_A_DAY = 86400,
    KEYS_PER_UNIT = 8,   /* tested in a unit */
    ENVELOPE_RATE = 128, /* octets of an envelope searched in a unit */
    /* Octets of a header that the envelope has whole, whatever it holds: no field is cut,
     * and From, written three times with every octet escaped, is within RENDER_FIELDS. */
    WHOLE_HEADER = 32 << 10,
};

struct search_cursor {
    struct imap_seqs seqs; /* the messages that can match at all */
    unsigned hint;
    uint32_t seq;
    bool begun;    /* `* SEARCH` is written */
    bool failed;   /* a message could not be read */
    bool looking;  /* `entry` is not decided yet */
    unsigned keys; /* tested since the slice was last looked at */
    struct entry entry;
    struct session_imap *session;
    struct view *view;
    struct mailbox *mailbox;
    uint8_t *known; /* of each key for this message: 1 + enum imap_match, or 0 */
    bool any_known;
    int16_t *keywords;             /* of KEYWORD keys: index in the mailbox, or -1 */
    struct search_needle *needles; /* of keys with text */
    const struct imap_key *open;   /* the key that is worked on, or NULL */
    bool in_text;                  /* `text` has begun for it */
    struct imap_summary summary;
    struct text_search text;
};

/* --- before the first message
 * ------------------------------------------------------------- */

/* The sets of the keys are in the arena of this command, and nobody else's. */
static void resolve(struct session_imap *s, const struct imap_key *key)
{
    const struct view *view = &s->view;
    struct imap_set *set = (struct imap_set *)&key->set;
    uint32_t star = view->count;

    if (key->kind == IMAP_KEY_UID)
        star = view->count ? view_uid(view, view->count) : UINT32_MAX;
    imap_set_resolve(set, star);
}

/* False: the command has its reply. */
static bool prepare_key(
    struct session_imap *s, struct search_cursor *c, const struct imap_key *key)
{
    const uint32_t texts =
        1U << IMAP_KEY_HEADER | 1U << IMAP_KEY_BODY | 1U << IMAP_KEY_TEXT;
    enum status status = STATUS_OK;

    if (key->kind == IMAP_KEY_SEQUENCE || key->kind == IMAP_KEY_UID)
        resolve(s, key);
    else if (key->kind == IMAP_KEY_KEYWORD)
        c->keywords[key->index] = (int16_t)mailbox_keyword_find(c->mailbox, key->text);
    else if (texts >> key->kind & 1)
        status = search_prepare(
            &s->work->arena, key->text, S("UTF-8"), &c->needles[key->index]);
    if (key->kind == IMAP_KEY_SEQUENCE && s->view.count &&
        !imap_set_fits(&key->set, s->view.count)) {
        imap_bad(s, S("No such message"));
        return false;
    }
    if (status == STATUS_OK)
        return true;
    imap_no(s, S("[LIMIT]"), S("Too much text to search for"));
    return false;
}

static bool has_children(const struct imap_key *key)
{
    return key->kind == IMAP_KEY_AND || key->kind == IMAP_KEY_OR ||
        key->kind == IMAP_KEY_NOT;
}

/* Every key once; the parser never allows more than IMAP_DEPTH_MAX levels. */
static bool prepare_keys(struct session_imap *s, struct search_cursor *c)
{
    const struct imap_key *stack[IMAP_DEPTH_MAX + 8];
    unsigned depth = 0;

    stack[depth++] = s->work->cmd.search.root;
    while (depth) {
        const struct imap_key *key = stack[--depth];

        if (!prepare_key(s, c, key))
            return false;
        CHECK(depth + 2 <= sizeof stack / sizeof *stack);
        if (key->next)
            stack[depth++] = key->next;
        if (has_children(key))
            stack[depth++] = key->child;
    }
    return true;
}

/* Where a set must match anyway, only its messages are looked at. */
static bool choose(struct session_imap *s, struct search_cursor *c)
{
    const struct imap_key *root = s->work->cmd.search.root, *key;
    struct imap_seqs *seqs = &c->seqs;

    for (key = root->child; key; key = key->next)
        if (!key->negated &&
            (key->kind == IMAP_KEY_SEQUENCE || key->kind == IMAP_KEY_UID))
            break;
    if (root->kind != IMAP_KEY_AND || root->negated || !key) {
        seqs->at = arena_take(&s->work->arena, sizeof *seqs->at);
        seqs->count = s->view.count ? 1 : 0;
        if (seqs->at)
            seqs->at[0] = (struct imap_range){1, s->view.count};
        return seqs->at;
    }
    seqs->at = arena_take(&s->work->arena, key->set.count * sizeof *seqs->at);
    if (!seqs->at)
        return false;
    memcpy(seqs->at, key->set.at, key->set.count * sizeof *seqs->at);
    seqs->count = key->set.count;
    if (key->kind == IMAP_KEY_UID)
        imap_seqs_from_uids(&s->view, seqs);
    return true;
}

static void search_drop(struct session_imap *s)
{
    struct search_cursor *c = s->work->cursor;

    text_search_end(&c->text);
    imap_summary_end(&c->summary);
}

static struct search_cursor *begin(struct session_imap *s)
{
    struct arena *arena = &s->work->arena;
    unsigned count = s->work->cmd.search.key_count;
    struct search_cursor *c = imap_cursor(s, sizeof *c);

    if (!c)
        return NULL;
    s->work->drop = search_drop;
    c->session = s;
    c->view = &s->view;
    c->mailbox = s->view.mailbox;
    c->known = arena_zero(arena, count);
    c->keywords = arena_take(arena, count * sizeof *c->keywords);
    c->needles = arena_take(arena, count * sizeof *c->needles);
    if (!c->known || !c->keywords || !c->needles) {
        imap_no(s, S("[LIMIT]"), S("Out of memory"));
        return NULL;
    }
    if (!prepare_keys(s, c))
        return NULL;
    if (choose(s, c))
        return c;
    imap_no(s, S("[LIMIT]"), S("Out of memory"));
    return NULL;
}

/* --- what the index knows
 * ------------------------------------------------------------------ */

static enum imap_match match_of(bool yes)
{
    return yes ? IMAP_MATCH_YES : IMAP_MATCH_NO;
}

/* The calendar day of the internal date at its own zone. */
static int64_t internal_day(const struct entry *entry)
{
    int64_t local = entry->date_s + (int64_t)entry->date_zone * 60;
    int64_t day = local / SECONDS_A_DAY;

    return local % SECONDS_A_DAY < 0 ? day - 1 : day;
}

static bool has_flag(const struct entry *entry, unsigned flag)
{
    return flag == IMAP_FLAG_RECENT ? entry->recent : entry->flags & flag;
}

/* --- what the summary knows
 * ---------------------------------------------------------------- */

static enum imap_match match_sent(
    const struct imap_key *key, const struct summary *summary)
{
    if (summary->sent_utc == INT64_MIN)
        return IMAP_MATCH_NO;
    if (key->kind == IMAP_KEY_SENT_BEFORE)
        return match_of(summary->sent_day < key->day);
    if (key->kind == IMAP_KEY_SENT_ON)
        return match_of(summary->sent_day == key->day);
    return match_of(summary->sent_day >= key->day);
}

/* What the summary says of a key. */
static enum imap_match match_summary(const struct search_cursor *c,
    const struct imap_key *key, const struct summary *summary)
{
    enum imap_match match;

    if (key->kind == IMAP_KEY_HEADER) {
        match = envelope_search(summary->envelope, key->field, &c->needles[key->index]);
        /* Of a big header the envelope may have less than there is. */
        return match == IMAP_MATCH_NO && summary->header_bytes > WHOLE_HEADER
            ? IMAP_MATCH_UNKNOWN
            : match;
    }
    if (key->kind == IMAP_KEY_BODY || key->kind == IMAP_KEY_TEXT)
        return IMAP_MATCH_UNKNOWN;
    return match_sent(key, summary);
}

static void know(
    struct search_cursor *c, const struct imap_key *key, enum imap_match match)
{
    c->known[key->index] = (uint8_t)(1 + match);
    c->any_known = true;
}

/* Where the summary is at hand the key is asked at once, so that the tree is not walked
 * anew for each of a thousand keys; but not for longer than the slice. */
static enum imap_match ask_summary(struct search_cursor *c, const struct imap_key *key)
{
    const struct summary *summary = &c->summary.summary;
    enum imap_match match;

    if (c->known[key->index])
        return (enum imap_match)(c->known[key->index] - 1);
    if (!c->summary.ready ||
        imap_spent(c->session, 1 + (int)(summary->envelope.len / ENVELOPE_RATE)))
        return IMAP_MATCH_UNKNOWN;
    match = match_summary(c, key, summary);
    if (match != IMAP_MATCH_UNKNOWN)
        know(c, key, match);
    return match;
}

/* --- all keys
 * ------------------------------------------------------------------------------ */

static enum imap_match test(const struct imap_key *key, void *arg)
{
    struct search_cursor *c = arg;
    const struct entry *entry = &c->entry;

    switch (key->kind) {
    case IMAP_KEY_ALL:
        return IMAP_MATCH_YES;
    case IMAP_KEY_FLAG:
        return match_of(has_flag(entry, key->flag));
    case IMAP_KEY_NEW:
        return match_of(entry->recent && !(entry->flags & FLAG_SEEN));
    case IMAP_KEY_KEYWORD:
        return match_of(c->keywords[key->index] >= 0 &&
            mailbox_keyword_in(
                c->mailbox, entry->keywords, (unsigned)c->keywords[key->index]));
    case IMAP_KEY_SEQUENCE:
        return match_of(imap_set_has(&key->set, c->seq));
    case IMAP_KEY_UID:
        return match_of(imap_set_has(&key->set, entry->uid));
    case IMAP_KEY_BEFORE:
        return match_of(internal_day(entry) < key->day);
    case IMAP_KEY_ON:
        return match_of(internal_day(entry) == key->day);
    case IMAP_KEY_SINCE:
        return match_of(internal_day(entry) >= key->day);
    case IMAP_KEY_LARGER:
        return match_of(entry->size > key->number);
    case IMAP_KEY_SMALLER:
        return match_of(entry->size < key->number);
    case IMAP_KEY_SENT_BEFORE:
    case IMAP_KEY_SENT_ON:
    case IMAP_KEY_SENT_SINCE:
    case IMAP_KEY_HEADER:
    case IMAP_KEY_BODY:
    case IMAP_KEY_TEXT:
        return ask_summary(c, key);
    case IMAP_KEY_AND:
    case IMAP_KEY_OR:
    case IMAP_KEY_NOT:
        break;
    }
    CHECK(false); /* not a leaf */
    return IMAP_MATCH_NO;
}

/* --- what takes more
 * ------------------------------------------------------------------------- */

/* The open key is known. */
static enum turn close_key(struct search_cursor *c, enum imap_match match)
{
    know(c, c->open, match);
    c->open = NULL;
    c->in_text = false;
    return TURN_AGAIN;
}

static enum turn search_text(struct session_imap *s, struct search_cursor *c)
{
    enum turn turn = text_search_step(s, &c->text, &c->entry, &c->summary.summary);

    if (turn != TURN_DONE)
        return turn;
    c->failed |= c->text.failed;
    text_search_end(&c->text);
    return close_key(c, match_of(c->text.found));
}

/* Works on the open key; AGAIN when it is known. */
static enum turn find_out(struct session_imap *s, struct search_cursor *c)
{
    enum imap_match match;
    enum turn turn;

    if (c->in_text)
        return search_text(s, c);
    if (!c->summary.ready && !c->summary.failed) {
        turn = imap_summary_step(s, &c->summary, &c->entry);
        if (turn != TURN_DONE)
            return turn;
    }
    if (c->summary.failed) {
        c->failed = true;
        return close_key(c, IMAP_MATCH_NO);
    }
    imap_spent(s, IMAP_UNITS_READ);
    match = match_summary(c, c->open, &c->summary.summary);
    if (match != IMAP_MATCH_UNKNOWN)
        return close_key(c, match);
    text_search_begin(&c->text, c->open, &c->needles[c->open->index]);
    c->in_text = true;
    return TURN_AGAIN;
}

/* --- message by message
 * ----------------------------------------------------------------------- */

static void forget(struct session_imap *s, struct search_cursor *c)
{
    if (c->any_known)
        memset(c->known, 0, s->work->cmd.search.key_count);
    c->any_known = false;
    if (c->summary.asked)
        imap_summary_end(&c->summary);
    c->looking = false;
}

static void put_match(struct session_imap *s, const struct search_cursor *c)
{
    out_byte(&s->conn.out, ' ');
    out_u64(&s->conn.out, s->work->cmd.uid ? c->entry.uid : c->seq);
}

/* Goes on with the present message. */
static enum turn decide(struct session_imap *s, struct search_cursor *c)
{
    enum imap_match match;
    enum turn turn;
    int units;

    if (c->open) {
        turn = find_out(s, c);
        return turn == TURN_AGAIN ? imap_pace(s, 0) : turn;
    }
    match = imap_search_match(&s->work->cmd.search, test, c, &c->open);
    c->keys += s->work->cmd.search.key_count;
    units = (int)(c->keys / KEYS_PER_UNIT);
    c->keys %= KEYS_PER_UNIT;
    if (match == IMAP_MATCH_UNKNOWN)
        return imap_pace(s, units);
    if (match == IMAP_MATCH_YES)
        put_match(s, c);
    forget(s, c);
    return units ? imap_pace(s, units) : TURN_AGAIN;
}

static enum turn finish(struct session_imap *s, const struct search_cursor *c)
{
    out_put(&s->conn.out, S("\r\n"));
    if (c->failed)
        return imap_no(s, S("[SERVERBUG]"), S("Some messages could not be read"));
    return imap_ok(s);
}

enum turn imap_step_search(struct session_imap *s)
{
    struct search_cursor *c = s->work->cursor;

    if (!c)
        c = begin(s);
    if (!c)
        return TURN_DONE;
    if (s->work->pending)
        return TURN_WAIT;
    if (!c->begun)
        out_put(&s->conn.out, S("* SEARCH"));
    c->begun = true;
    if (c->looking)
        return decide(s, c);
    if (!imap_seqs_from(&c->seqs, &c->hint, c->seq + 1, &c->seq))
        return finish(s, c);
    s->conn.thread->stats.searched++;
    c->looking = view_entry(&s->view, c->seq, &c->entry);
    return c->looking ? decide(s, c) : imap_pace(s, 1);
}
