/* APPEND: RFC 3501, 6.3.11; APPENDUID: RFC 4315, 3.
 *
 *   decide --> BODY --> TAIL (the CRLF) --> UPLOAD (chunks that are on their way)
 *          --> SUMMARY --> STORE
 *
 * The message streams through the summary builder into one buffer, when it is small, or
 * into chunks that are written while the rest is received. With all chunk buffers on
 * their way to the disk the input pauses, so that a message of any size costs the same.
 */
#include <stdlib.h>

#include "server/config_limits.h"
#include "server/session_imap_work.h"

enum {
    APPEND_BUFFERS = 3,
    APPEND_PIECE = 16 << 10, /* taken off the input at once */
    APPEND_RATE = 8,         /* octets summarized in a unit: header lines of three */
    APPEND_CODE_BYTES = 64,
};

struct upload {
    struct imap_request request;
    char *bytes;
    bool busy;
    unsigned index; /* of the chunk */
};

struct append {
    enum { APPEND_BODY, APPEND_TAIL, APPEND_UPLOAD, APPEND_SUMMARY, APPEND_STORE } at;
    struct imap_request message;
    struct store_target target;
    struct arena arena; /* of the summary */
    struct summary_builder *builder;
    struct slice summary;
    struct upload uploads[APPEND_BUFFERS];
    struct upload *filling; /* its buffer takes what comes */
    size_t filled, room;
    uint64_t left;       /* octets of the message still to come */
    uint64_t timed_left; /* when this is reached, the client has kept its pace */
    uint64_t *places;    /* of the chunks */
    uint32_t *sizes;
    unsigned chunk_count; /* given to the store */
    enum status status;   /* of the first chunk that failed */
    bool paused;
};

/* Looks at what has landed: buffers are free again, failures are remembered. */
static void reap(struct append *a)
{
    for (unsigned i = 0; i < APPEND_BUFFERS; i++) {
        struct upload *u = &a->uploads[i];

        if (!u->busy || u->request.op.pending)
            continue;
        u->busy = false;
        a->places[u->index] = u->request.chunk.place;
        if (u->request.status == STATUS_OK)
            a->sizes[u->index] = STORE_CHUNK_BYTES;
        else if (a->status == STATUS_OK)
            a->status = u->request.status;
    }
}

static void append_drop(struct session_imap *s)
{
    struct append *a = s->work->cursor;
    bool kept = a->at == APPEND_STORE && a->message.status == STATUS_OK;

    reap(a);
    for (unsigned i = 0; i < APPEND_BUFFERS; i++)
        free(a->uploads[i].bytes);
    for (unsigned i = 0; i < a->chunk_count && !kept; i++)
        if (a->sizes[i])
            store_chunk_drop(imap_store_of(s), a->places[i]);
    arena_reset(&a->arena);
    if (!s->gone) {
        conn_bulk(&s->conn, false);
        conn_pause(&s->conn, false);
    }
}

/* --- before the message
 * ------------------------------------------------------------------- */

/* The message is not wanted; if the client sends it all the same it is skipped. */
static bool refuse(struct session_imap *s, struct slice code, struct slice text)
{
    struct imap_limits limits = imap_limits(s);

    imap_no(s, code, text);
    imap_collect_refuse(&s->work->collect, &limits);
    s->work->skipping = true;
    return false;
}

/* Everything that can be known before the "+". False: the command has its reply. */
static bool decide(struct session_imap *s)
{
    const struct imap_append *cmd = &s->work->cmd.append;
    struct slice limit = imap_limit_code(s, cmd->message_bytes);
    struct mailbox_info info;

    if (!user_mailbox_find(s->user, cmd->mailbox, &info) || !info.exists ||
        !info.selectable)
        return refuse(s, S("[TRYCREATE]"), S("No such mailbox"));
    if (cmd->message_bytes == 0)
        return refuse(s, S("[CANNOT]"), S("An empty message cannot be kept"));
    if (slice_eq(limit, S("[OVERQUOTA]")))
        return refuse(s, limit, S("Not enough quota for the message"));
    if (store_read_only(imap_store_of(s)))
        return refuse(s, S("[UNAVAILABLE]"), S("The store takes no changes now"));
    if (thread_short_of_memory(s->conn.thread))
        return refuse(s, S("[LIMIT]"), S("Out of memory, try again later"));
    return true;
}

static bool make_room(struct session_imap *s, struct append *a, uint64_t bytes)
{
    struct arena *arena = &s->work->arena;
    size_t chunks = (size_t)(bytes / STORE_CHUNK_BYTES);
    struct summary_limits limits = config_summary_limits(s->conn.thread->config);

    a->room = bytes < STORE_CHUNK_BYTES ? (size_t)bytes : STORE_CHUNK_BYTES;
    a->filling = &a->uploads[0];
    a->filling->bytes = malloc(a->room);
    a->arena = arena_of(summary_memory(&limits));
    a->builder = summary_begin(&a->arena, &limits);
    if (bytes > STORE_CHUNK_BYTES) {
        a->places = arena_take(arena, chunks * sizeof *a->places);
        a->sizes = arena_take(arena, chunks * sizeof *a->sizes);
        if (!a->places || !a->sizes)
            return false;
    }
    return a->filling->bytes && a->builder;
}

static struct append *begin(struct session_imap *s)
{
    uint64_t bytes = s->work->cmd.append.message_bytes;
    struct append *a;

    if (!decide(s))
        return NULL;
    a = arena_zero(&s->work->arena, sizeof *a);
    if (!a) {
        refuse(s, S("[LIMIT]"), S("Out of memory"));
        return NULL;
    }
    s->work->cursor = a;
    s->work->drop = append_drop;
    a->left = a->timed_left = bytes;
    if (!make_room(s, a, bytes)) {
        refuse(s, S("[LIMIT]"), S("Out of memory"));
        return NULL;
    }
    if (s->work->collect.literal_sync)
        out_put(&s->conn.out, S("+ OK\r\n"));
    conn_bulk(&s->conn, bytes > STORE_CHUNK_BYTES);
    return a;
}

/* --- the message
 * -------------------------------------------------------------------------- */

static void pause_input(struct session_imap *s, struct append *a, bool on)
{
    if (a->paused != on)
        conn_pause(&s->conn, on);
    a->paused = on;
}

/* A free buffer to fill. False: all are on their way, or there is no memory. */
static bool take_buffer(struct append *a)
{
    for (unsigned i = 0; i < APPEND_BUFFERS && !a->filling; i++)
        if (!a->uploads[i].busy)
            a->filling = &a->uploads[i];
    if (!a->filling)
        return false;
    if (!a->filling->bytes)
        a->filling->bytes = malloc(STORE_CHUNK_BYTES);
    if (!a->filling->bytes)
        a->filling = NULL;
    return a->filling != NULL;
}

/* The buffer is full: to the store with it. After a failure the rest of the message is
 * only read. */
static void upload(struct session_imap *s, struct append *a)
{
    struct upload *u = a->filling;

    a->filled = 0;
    if (a->status != STATUS_OK)
        return;
    u->index = a->chunk_count++;
    a->sizes[u->index] = 0;
    u->busy = true;
    memset(&u->request, 0, sizeof u->request);
    imap_ask(s, &u->request);
    u->request.chunk.bytes = slice_of(u->bytes, STORE_CHUNK_BYTES);
    store_chunk(imap_store_of(s), &u->request.chunk);
    a->filling = NULL;
}

static void take(struct append *a, struct slice *in, size_t n)
{
    struct slice bytes = slice_take(in, n);

    summary_feed(a->builder, bytes);
    memcpy(a->filling->bytes + a->filled, bytes.at, bytes.len);
    a->filled += n;
    a->left -= n;
}

/* The client must send on: at least IMAP_MESSAGE_RATE octets a second. */
static void keep_time(struct session_imap *s, struct append *a)
{
    uint64_t window = (uint64_t)IMAP_COMMAND_S * IMAP_MESSAGE_RATE;

    if (s->work->timed && a->left > a->timed_left)
        return;
    s->work->timed = true;
    a->timed_left = a->left > window ? a->left - window : 0;
    conn_deadline(&s->conn, IMAP_COMMAND_S);
}

static enum turn wait_for_buffer(struct session_imap *s, struct append *a)
{
    if (s->work->pending) {
        pause_input(s, a, true);
        s->work->timed = false;
        return TURN_WAIT;
    }
    imap_bye(s, S("Out of memory"));
    return TURN_WAIT;
}

static enum turn body(struct session_imap *s, struct append *a)
{
    struct slice *in = &s->conn.in;
    size_t n;

    reap(a);
    if (s->ended) { /* the rest may be hours away */
        imap_bye(s, S("Your account has changed"));
        return TURN_WAIT;
    }
    if (a->left == 0) {
        a->at = APPEND_TAIL;
        return TURN_AGAIN;
    }
    if (!a->filling && !take_buffer(a))
        return wait_for_buffer(s, a);
    pause_input(s, a, false);
    keep_time(s, a);
    n = a->room - a->filled;
    if (n > in->len)
        n = in->len;
    if (n > a->left)
        n = (size_t)a->left;
    if (n > APPEND_PIECE)
        n = APPEND_PIECE;
    if (n == 0) {
        if (s->conn.eof)
            conn_close(&s->conn);
        return TURN_WAIT;
    }
    take(a, in, n);
    if (a->filled == STORE_CHUNK_BYTES && a->places)
        upload(s, a);
    return imap_pace(s, 1 + (int)(n / APPEND_RATE));
}

/* --- after the message
 * -------------------------------------------------------------------- */

static enum turn tail(struct session_imap *s, struct append *a)
{
    struct imap_limits limits = imap_limits(s);
    struct imap_work *w = s->work;
    struct conn *c = &s->conn;
    const struct imap_error_reply *error;

    switch (imap_collect(&w->collect, c->in, &limits)) {
    case IMAP_COLLECT_MORE:
        if (c->eof)
            conn_close(c);
        return TURN_WAIT;
    case IMAP_COLLECT_COMMAND:
        slice_take(&c->in, w->collect.bytes);
        w->timed = false;
        w->since_ns = c->thread->now_ns; /* the client has taken its time */
        imap_rest(s);
        a->at = APPEND_UPLOAD;
        return TURN_AGAIN;
    case IMAP_COLLECT_REFUSED:
        slice_take(&c->in, w->collect.bytes);
        w->skipping = true;
        a->at = APPEND_UPLOAD;
        error = imap_error_reply(w->collect.error);
        w->reply = (struct imap_reply){error->answer, error->code, error->text};
        return TURN_AGAIN;
    case IMAP_COLLECT_CONTINUE:
    case IMAP_COLLECT_APPEND:
    case IMAP_COLLECT_LINE:
    case IMAP_COLLECT_SKIP:
    case IMAP_COLLECT_CLOSE:
        break;
    }
    CHECK(false); /* nothing else can follow a message */
    return TURN_WAIT;
}

/* RFC 3501, section 9: CHAR8 has no NUL. */
static bool summary_is_good(struct session_imap *s, struct append *a)
{
    struct summary summary;

    if (!a->summary.at || !summary_open(a->summary, &summary)) {
        imap_no(s, S("[LIMIT]"), S("Out of memory"));
        return false;
    }
    if (summary.has_nul)
        imap_bad(s, S("NUL in the message"));
    return !summary.has_nul;
}

static enum turn store(struct session_imap *s, struct append *a)
{
    const struct imap_append *cmd = &s->work->cmd.append;
    struct store_message *m = &a->message.message;
    struct slice rest = slice_of(a->filling ? a->filling->bytes : "", a->filled);

    if (!summary_end_step(a->builder, &a->summary))
        return TURN_YIELD;
    if (!summary_is_good(s, a))
        return TURN_DONE;
    a->target = (struct store_target){.user = slice_str(s->name),
        .mailbox = cmd->mailbox,
        .flags = (uint8_t)cmd->flags.system,
        .keywords = cmd->flags.keywords,
        .keyword_count = cmd->flags.keyword_count};
    m->head = a->chunk_count ? S("") : rest;
    m->tail = a->chunk_count ? rest : S("");
    m->chunks = a->places;
    m->chunk_bytes = a->sizes;
    m->chunk_count = a->chunk_count;
    m->size = cmd->message_bytes;
    m->summary = a->summary;
    m->date_s = cmd->has_date ? cmd->date.utc_s : s->conn.thread->now_s;
    m->date_zone = cmd->has_date ? cmd->date.zone_minutes : 0;
    m->targets = &a->target;
    m->target_count = 1;
    m->append = true;
    imap_ask(s, &a->message);
    store_message(imap_store_of(s), m);
    a->at = APPEND_STORE;
    return TURN_WAIT;
}

/* All chunks are on the disk, or one of them is not to be. */
static enum turn uploaded(struct session_imap *s, struct append *a)
{
    reap(a);
    if (s->work->reply.answer.len)
        return TURN_DONE;
    if (a->status != STATUS_OK)
        return imap_answer(s, a->status, S("[UNAVAILABLE]"), S("[OVERQUOTA]"));
    a->at = APPEND_SUMMARY;
    return TURN_AGAIN;
}

static enum turn stored(struct session_imap *s, struct append *a)
{
    char *at = arena_take(&s->work->arena, APPEND_CODE_BYTES);
    struct out code = out_of(at, at ? APPEND_CODE_BYTES : 0);

    if (a->message.status != STATUS_OK)
        return imap_answer(s, a->message.status, S("[TRYCREATE]"),
            imap_limit_code(s, s->work->cmd.append.message_bytes));
    imap_put_append_uid(&code, a->target.uid_validity, a->target.uid);
    return imap_ok_code(s, code.full ? S("") : out_slice(&code));
}

enum turn imap_step_append(struct session_imap *s)
{
    struct append *a = s->work->cursor;

    if (!a)
        a = begin(s);
    if (!a)
        return TURN_DONE;
    switch (a->at) {
    case APPEND_BODY:
        return body(s, a);
    case APPEND_TAIL:
        return tail(s, a);
    case APPEND_UPLOAD:
        if (s->work->pending)
            return TURN_WAIT;
        return uploaded(s, a);
    case APPEND_SUMMARY:
        return store(s, a);
    case APPEND_STORE:
        return s->work->pending ? TURN_WAIT : stored(s, a);
    }
    CHECK(false);
    return TURN_DONE;
}
