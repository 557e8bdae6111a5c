#include "server/config_limits.h"
#include "server/session_imap_work.h"

enum {
    BUILD_RATE = 20,        /* octets summarized in a unit: those of a header */
    BUILD_PIECE = 32 << 10, /* summarized at once */
};

/* The stored summary has come: it is lent until summary_release(). */
static void take(struct imap_summary *m)
{
    if (m->asked && !m->taken)
        m->held = m->request.status == STATUS_OK;
    m->taken = true;
}

static bool open_stored(struct imap_summary *m)
{
    take(m);
    if (!m->held || !summary_open(m->request.summary.summary, &m->summary))
        return false;
    m->ready = true;
    return true;
}

static enum turn give_up(struct imap_summary *m)
{
    m->failed = true;
    return TURN_DONE;
}

static void release_stored(struct imap_summary *m)
{
    if (m->held)
        summary_release(&m->request.summary);
    m->held = false;
}

/* Begins to make the summary anew: the body is read from end to end. */
static enum turn rebuild(
    struct session_imap *s, struct imap_summary *m, const struct entry *entry)
{
    struct summary_limits limits = config_summary_limits(s->conn.thread->config);

    release_stored(m);
    m->arena = arena_of(summary_memory(&limits));
    m->builder = summary_begin(&m->arena, &limits);
    memset(&m->request, 0, sizeof m->request);
    if (!m->builder ||
        body_open(imap_store_of(s), &m->request.body, entry, 0, entry->size) != STATUS_OK)
        return give_up(m);
    m->reading = m->fresh = true;
    return imap_body_next(s, &m->request) ? TURN_AGAIN : TURN_WAIT;
}

/* The octets of the message, a piece at a time; DONE at its end. */
static enum turn read_message(struct session_imap *s, struct imap_summary *m)
{
    while (m->request.status == STATUS_OK) {
        size_t n;

        if (m->fresh)
            m->rest = m->request.body.piece;
        m->fresh = false;
        if (m->rest.len == 0)
            break;
        n = m->rest.len < BUILD_PIECE ? m->rest.len : BUILD_PIECE;
        summary_feed(m->builder, slice_take(&m->rest, n));
        m->fresh = m->rest.len == 0;
        if (m->fresh && !imap_body_next(s, &m->request))
            return TURN_WAIT;
        if (imap_spent(s, (int)(n / BUILD_RATE)))
            return TURN_YIELD;
    }
    body_close(&m->request.body);
    m->reading = false;
    return TURN_DONE;
}

static enum turn build(struct session_imap *s, struct imap_summary *m)
{
    enum turn turn = m->reading ? read_message(s, m) : TURN_DONE;
    struct slice blob;

    if (turn != TURN_DONE)
        return turn;
    if (m->request.status != STATUS_OK)
        return give_up(m);
    if (!summary_end_step(m->builder, &blob))
        return TURN_YIELD;
    m->ready = blob.at && summary_open(blob, &m->summary);
    m->failed = !m->ready;
    return TURN_DONE;
}

struct store *imap_store_of(const struct session_imap *s)
{
    struct thread *t = s->conn.thread;

    return shard_store(t, shard_of_user(t, slice_str(s->name)));
}

enum turn imap_summary_step(
    struct session_imap *s, struct imap_summary *m, const struct entry *entry)
{
    enum turn turn = TURN_AGAIN;

    if (s->work->pending)
        return TURN_WAIT;
    if (!m->asked) {
        m->asked = true;
        imap_spent(s, IMAP_UNITS_READ);
        if (!imap_summary_get(s, &m->request, entry))
            return TURN_WAIT;
    }
    if (!m->builder && !m->ready && !m->failed && !open_stored(m))
        turn = rebuild(s, m, entry);
    if (turn != TURN_AGAIN || m->ready || m->failed)
        return turn == TURN_AGAIN ? TURN_DONE : turn;
    return build(s, m);
}

void imap_summary_end(struct imap_summary *m)
{
    take(m);
    release_stored(m);
    if (m->reading)
        body_close(&m->request.body);
    arena_reset(&m->arena);
    memset(m, 0, sizeof *m);
}
