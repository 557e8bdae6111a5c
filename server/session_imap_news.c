#include <stdlib.h>

#include "server/config.h"
#include "server/session_imap_work.h"

static_assert((int)IMAP_FLAG_ANSWERED == (int)FLAG_ANSWERED &&
        (int)IMAP_FLAG_FLAGGED == (int)FLAG_FLAGGED &&
        (int)IMAP_FLAG_DELETED == (int)FLAG_DELETED &&
        (int)IMAP_FLAG_SEEN == (int)FLAG_SEEN && (int)IMAP_FLAG_DRAFT == (int)FLAG_DRAFT,
    "flags pass through as they are");

enum {
    FLAGS_KEPT = FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_SEEN | FLAG_DRAFT
};

/* --- flags ----------------------------------------------------------------------- */

/* All keywords of the mailbox behind the system flags. */
static bool put_keywords(struct session_imap *s, bool first)
{
    struct slice keyword;

    for (unsigned i = 0; mailbox_keyword_at(s->view.mailbox, i, &keyword); i++)
        first = imap_put_flags(&s->conn.out, 0, &keyword, 1, first);
    return first;
}

/* RFC 3501, 7.2.6 and 7.1 (PERMANENTFLAGS): \Recent can't be changed; \* says that new
 * keywords can be made, so it is left out when there is no room for one. */
void imap_put_mailbox_flags(struct session_imap *s)
{
    struct out *out = &s->conn.out;
    struct slice more = S("\\*"), keyword;
    uint16_t told = 0;

    while (mailbox_keyword_at(s->view.mailbox, told, &keyword))
        told++;
    out_put(out, S("* FLAGS ("));
    put_keywords(s, imap_put_flags(out, FLAGS_KEPT, NULL, 0, true));
    out_put(out, S(")\r\n* OK [PERMANENTFLAGS ("));
    if (!s->view.examine) {
        put_keywords(s, imap_put_flags(out, FLAGS_KEPT, NULL, 0, true));
        if (told < s->conn.thread->config->max_keywords)
            imap_put_flags(out, 0, &more, 1, false);
    }
    out_put(out, S(")] Flags that are kept\r\n"));
    s->keywords_told = told;
}

void imap_tell_keywords(struct session_imap *s)
{
    struct slice keyword;

    if (mailbox_keyword_at(s->view.mailbox, s->keywords_told, &keyword))
        imap_put_mailbox_flags(s);
}

void imap_put_entry_flags(struct session_imap *s, const struct entry *entry)
{
    struct out *out = &s->conn.out;
    unsigned system = entry->flags | (entry->recent ? IMAP_FLAG_RECENT : 0U);
    struct slice keyword;
    bool first;

    out_put(out, S("FLAGS ("));
    first = imap_put_flags(out, system, NULL, 0, true);
    for (unsigned i = 0;
         entry->keywords && mailbox_keyword_at(s->view.mailbox, i, &keyword); i++)
        if (mailbox_keyword_in(s->view.mailbox, entry->keywords, i))
            first = imap_put_flags(out, 0, &keyword, 1, first);
    out_byte(out, ')');
}

void imap_put_flags_fetch(
    struct session_imap *s, uint32_t seq, const struct entry *entry, bool uid)
{
    struct out *out = &s->conn.out;

    imap_put_fetch_head(out, seq);
    if (uid) {
        out_put(out, S("UID "));
        out_u64(out, entry->uid);
        out_byte(out, ' ');
    }
    imap_put_entry_flags(s, entry);
    out_put(out, S(")\r\n"));
}

/* --- news ------------------------------------------------------------------------ */

void imap_view_changed(struct view *view)
{
    struct session_imap *s = container_of(view, struct session_imap, view);

    if (s->idle)
        conn_wake(&s->conn);
}

static void put_news(struct session_imap *s, const struct view_news *news, bool uid)
{
    struct out *out = &s->conn.out;

    s->conn.thread->stats.idle_pushes += s->idle != NULL;
    switch (news->event) {
    case VIEW_EXPUNGE:
        imap_put_count(out, news->seq, S("EXPUNGE"));
        break;
    case VIEW_EXISTS:
        imap_put_count(out, news->count, S("EXISTS"));
        imap_put_count(out, view_recent(&s->view), S("RECENT"));
        break;
    case VIEW_FLAGS:
        if (s->work) /* none in IDLE */
            s->work->told_flags = true;
        imap_put_flags_fetch(s, news->seq, &news->entry, uid);
        break;
    case VIEW_NONE:
        break;
    }
}

enum turn imap_tell(struct session_imap *s, bool expunge, bool uid)
{
    struct view_news news;
    enum turn turn = TURN_AGAIN;

    if (!s->view.mailbox)
        return TURN_DONE;
    if (mailbox_gone(s->view.mailbox)) { /* RFC 2180, 3.3 */
        imap_bye(s, S("The selected mailbox was deleted"));
        return TURN_WAIT;
    }
    imap_tell_keywords(s);
    while (turn == TURN_AGAIN) {
        if (view_news(&s->view, expunge, &news) == VIEW_NONE)
            return TURN_DONE;
        put_news(s, &news, uid);
        turn = imap_pace(s, 1);
    }
    return turn;
}

/* --- IDLE ------------------------------------------------------------------------ */

enum { IDLE_LINE_MAX = 1024 };

void imap_idle_end(struct session_imap *s)
{
    free(s->idle);
    s->idle = NULL;
}

static enum turn idle_answer(struct session_imap *s, bool done)
{
    struct slice tag = slice_of(s->idle->tag, s->idle->tag_bytes);

    if (done)
        imap_put_status(&s->conn.out, tag, S("OK"), S(""), S("IDLE completed"));
    else
        imap_put_status(&s->conn.out, tag, S("BAD"), S(""), S("DONE was expected"));
    imap_idle_end(s);
    imap_rest(s);
    if (!done)
        imap_count_error(s);
    return TURN_AGAIN;
}

/* A line of input: DONE, or what ends IDLE with BAD. */
static enum turn idle_line(struct session_imap *s)
{
    struct imap_work *w = s->work;
    struct imap_limits limits = imap_limits(s);
    struct slice line;

    switch (imap_collect_line(&w->collect, s->conn.in, IDLE_LINE_MAX, &limits)) {
    case IMAP_COLLECT_MORE:
        if (s->conn.eof)
            conn_close(&s->conn);
        return TURN_WAIT;
    case IMAP_COLLECT_LINE:
        line = slice_take(&s->conn.in, w->collect.bytes);
        return idle_answer(s, imap_is_done(line));
    case IMAP_COLLECT_REFUSED:
    case IMAP_COLLECT_SKIP:
        w->skipping = true;
        slice_take(&s->conn.in, w->collect.bytes);
        return idle_answer(s, false);
    case IMAP_COLLECT_CONTINUE:
    case IMAP_COLLECT_COMMAND:
    case IMAP_COLLECT_APPEND:
    case IMAP_COLLECT_CLOSE:
        break;
    }
    imap_bye(s, S("Line too long"));
    return TURN_WAIT;
}

enum turn imap_idle_run(struct session_imap *s)
{
    enum turn turn = imap_tell(s, true, false);

    if (turn != TURN_DONE)
        return turn;
    if (s->conn.in.len == 0) {
        imap_work_end(s);
        if (s->conn.eof)
            conn_close(&s->conn);
        return TURN_WAIT;
    }
    if (!s->work && !imap_work_begin(s))
        return TURN_WAIT;
    return idle_line(s);
}
