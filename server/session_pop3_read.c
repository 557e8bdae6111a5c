/* STAT, LIST, UIDL; RETR and TOP.
 *
 * A message goes from the log to the socket as it lies there, unless some line of it
 * begins with a dot (RFC 1939, 3): it is looked through for one, or its summary tells.
 * RETR adds an end to a last line that has none. Of most messages the index knows that
 * there is one; the sizes of the others are completed with what their summaries tell,
 * once for a session and not before a client asks.
 */
#include "proto/mime/summary.h"
#include "server/log.h"
#include "server/session_pop3_work.h"

/* --- summaries -------------------------------------------------------------------- */

static void on_summary(struct store_op *op, enum status status)
{
    struct pop3_drop *d = container_of(op, struct pop3_drop, request.summary.op);

    d->owed = false;
    d->status = status;
    d->held = status == STATUS_OK;
    pop3_landed(d->session);
}

/* AGAIN: it is there, or d->status says why not. */
static enum pop3_turn get_summary(struct pop3_drop *d, const struct pop3_message *m)
{
    struct entry entry = pop3_entry(m);

    d->status = STATUS_OK;
    d->request.summary = (struct summary_read){0};
    d->held = summary_get(d->mailbox, &d->request.summary, &entry, on_summary);
    d->owed = !d->held;
    return d->held ? POP3_AGAIN : POP3_WAIT;
}

/* Takes down what the summary tells; `plain`: there is no dot to stuff. False: it can't
 * be read. */
static bool use_summary(struct pop3_drop *d, struct pop3_message *m, bool *plain)
{
    struct summary summary;
    bool known = d->held && summary_open(d->request.summary.summary, &summary);

    if (known) {
        m->sized = true;
        m->open_end = !summary.ends_with_crlf && m->size > 0;
        *plain = !summary.has_dot_line;
    }
    if (d->held)
        summary_release(&d->request.summary);
    d->held = false;
    return known;
}

/* --- sizes ------------------------------------------------------------------------ */

static void on_body(struct store_op *op, enum status status)
{
    struct pop3_drop *d = container_of(op, struct pop3_drop, read.body.op);

    d->owed = false;
    d->status = status;
    pop3_landed(d->session);
}

/* The next piece; AGAIN when it is there. */
static enum pop3_turn next_piece(struct pop3_drop *d)
{
    d->status = STATUS_OK;
    d->owed = !body_next(&d->read.body, on_body);
    return d->owed ? POP3_WAIT : POP3_AGAIN;
}

/* Opens the octets [at, at + len) of the message and asks for the first. */
static enum pop3_turn open_body(
    struct pop3_drop *d, const struct pop3_message *m, uint64_t at, uint64_t len)
{
    struct entry entry = pop3_entry(m);

    d->read.body = (struct body){0};
    d->status = body_open(d->store, &d->read.body, &entry, at, len);
    if (d->status != STATUS_OK)
        return POP3_AGAIN;
    d->read.reading = true;
    return next_piece(d);
}

void pop3_read_end(struct pop3_drop *d)
{
    if (d->read.reading)
        body_close(&d->read.body);
    d->read = (struct pop3_read){0};
}

/* Without a summary the last two octets tell; a message that can't be read is refused
 * when it is asked for. */
static void size_by_tail(struct pop3_drop *d, struct pop3_message *m)
{
    struct slice tail = d->read.body.piece;

    m->sized = true;
    m->open_end = d->status == STATUS_OK && d->read.reading && tail.len > 0 &&
        !slice_eq(tail, S("\r\n"));
    pop3_read_end(d);
}

/* AGAIN: a step is done; m->sized when it was the last. */
static enum pop3_turn size_one(struct pop3_drop *d, struct pop3_message *m)
{
    bool plain;

    switch (d->read.at) {
    case READ_SUMMARY:
        d->read.at = READ_BEGIN;
        return get_summary(d, m);
    case READ_BEGIN:
        d->read.at = READ_SEND;
        if (use_summary(d, m, &plain)) {
            pop3_read_end(d);
            return POP3_AGAIN;
        }
        return m->size < 2 ? open_body(d, m, 0, m->size)
                           : open_body(d, m, m->size - 2, 2);
    case READ_SEND:
        size_by_tail(d, m);
        break;
    }
    return POP3_AGAIN;
}

/* Sizes of all messages, or of the one at the cursor. AGAIN: they are complete. */
static enum pop3_turn complete_sizes(struct session_pop3 *s, struct pop3_drop *d)
{
    uint32_t end = d->single ? d->cursor + 1 : d->count;
    uint32_t *at = d->single ? &d->cursor : &d->sized;
    enum pop3_turn turn = POP3_AGAIN;

    while (*at < end && turn == POP3_AGAIN) {
        struct pop3_message *m = &d->messages[*at];

        if (!m->sized) {
            turn = size_one(d, m);
            if (turn == POP3_AGAIN)
                turn = pop3_pace(s, 1);
        } else if (d->single) {
            break;
        } else {
            d->octets += m->deleted ? 0 : pop3_octets(m);
            if (++d->sized % POP3_SCAN_RATE == 0)
                turn = pop3_pace(s, 1);
        }
    }
    return *at == end ? POP3_AGAIN : turn;
}

/* --- STAT, LIST, UIDL --------------------------------------------------------------- */

static void put_stat(struct session_pop3 *s)
{
    struct out *out = &s->conn.out;

    out_put(out, S("+OK "));
    out_u64(out, s->drop->kept);
    out_byte(out, ' ');
    out_u64(out, s->drop->octets);
    out_put(out, S("\r\n"));
}

/* "7 1024" or "7 1712345678.42": the UIDVALIDITY and UID of IMAP, which are never used
 * for another message. */
static void put_line(struct session_pop3 *s, uint32_t i)
{
    const struct pop3_drop *d = s->drop;
    struct out *out = &s->conn.out;

    out_u64(out, (uint64_t)i + 1);
    out_byte(out, ' ');
    if (d->verb == POP3_VERB_UIDL) {
        out_u64(out, d->validity);
        out_byte(out, '.');
        out_u64(out, d->messages[i].uid);
    } else {
        out_u64(out, pop3_octets(&d->messages[i]));
    }
    out_put(out, S("\r\n"));
}

static void begin_list(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;

    if (d->single) {
        out_put(&s->conn.out, S("+OK "));
        put_line(s, d->cursor);
        pop3_rest(s);
        return;
    }
    pop3_say(s, POP3_REPLY_LIST_FOLLOWS);
    d->cursor = 0;
    s->mode = POP3_MODE_LIST;
}

enum pop3_turn pop3_size_step(struct session_pop3 *s)
{
    enum pop3_turn turn = complete_sizes(s, s->drop);

    if (turn != POP3_AGAIN)
        return turn;
    if (s->drop->verb == POP3_VERB_STAT) {
        put_stat(s);
        pop3_rest(s);
    } else {
        begin_list(s);
    }
    return POP3_AGAIN;
}

enum pop3_turn pop3_list_step(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;
    enum pop3_turn turn = POP3_AGAIN;

    while (d->cursor < d->count && turn == POP3_AGAIN) {
        if (!d->messages[d->cursor].deleted)
            put_line(s, d->cursor);
        d->cursor++;
        if (d->cursor % POP3_LIST_RATE == 0)
            turn = pop3_pace(s, 1);
    }
    if (d->cursor < d->count)
        return turn;
    out_put(&s->conn.out, S(".\r\n"));
    pop3_rest(s);
    return POP3_AGAIN;
}

/* --- RETR, TOP ---------------------------------------------------------------------- */

static enum pop3_turn unreadable(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;
    bool begun = d->read.headed;
    struct event e;

    if (event_begin(&e, LEVEL_ERROR, "pop3-body-lost")) {
        event_string(&e, "user", s->name);
        event_number(&e, "uid", d->messages[d->cursor].uid);
        event_string(&e, "status", status_text(d->status));
        event_end(&e);
    }
    pop3_read_end(d);
    pop3_rest(s);
    if (begun)
        conn_abort(&s->conn); /* in the middle of a message there is no way to say it */
    else
        pop3_say(s,
            d->status == STATUS_NO_MEMORY ? POP3_REPLY_UNAVAILABLE : POP3_REPLY_NOT_READ);
    return POP3_AGAIN;
}

static enum pop3_turn begin_body(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;
    struct pop3_message *m = &d->messages[d->cursor];

    use_summary(d, m, &d->read.plain);
    d->read.at = READ_SEND;
    d->read.left = m->size;
    return open_body(d, m, 0, m->size);
}

static void release_loan(void *loan)
{
    body_release(loan);
}

/* Looked through for dots: lent if it has none to stuff. */
static void send_unknown(struct session_pop3 *s, struct slice run)
{
    struct pop3_read *r = &s->drop->read;
    struct slice first = dots_next(&r->dots, &run);

    if (run.len == 0) {
        conn_lend(&s->conn, first, release_loan, body_lend(&r->body));
        return;
    }
    out_put(&s->conn.out, first);
    dots_put(&r->dots, run, &s->conn.out);
}

/* What dots_next() would note of a run without dots to stuff. */
static void note_run(struct dots *dots, struct slice run)
{
    char before = run.len > 1 ? run.at[run.len - 2] : dots->last;

    dots->last = run.at[run.len - 1];
    dots->in_line = before != '\r' || dots->last != '\n';
}

static void send_run(struct session_pop3 *s, struct slice run)
{
    struct pop3_read *r = &s->drop->read;

    if (run.len == 0)
        return;
    s->octets += run.len;
    if (!r->plain) {
        send_unknown(s, run);
        return;
    }
    note_run(&r->dots, run);
    conn_lend(&s->conn, run, release_loan, body_lend(&r->body));
}

static enum pop3_turn sent(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;

    out_put(&s->conn.out, dots_end(&d->read.dots));
    pop3_read_end(d);
    s->retrieved++;
    s->conn.thread->stats.retrieved++;
    stats_end(&s->conn.thread->stats, TIMES_pop3_retr, s->since_ns);
    pop3_rest(s);
    return POP3_AGAIN;
}

/* One piece of the body, then the next. */
static enum pop3_turn send_piece(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;
    struct pop3_read *r = &d->read;
    struct slice run = r->body.piece;
    enum pop3_turn turn;

    if (d->status != STATUS_OK || run.len > r->left || (run.len == 0 && r->left))
        return unreadable(s);
    if (!r->headed)
        pop3_say(s, POP3_REPLY_TEXT_FOLLOWS);
    r->headed = true;
    r->left -= run.len;
    if (r->top)
        run = pop3_top_take(&r->lines, run);
    send_run(s, run);
    if (r->left == 0 || (r->top && r->lines.done))
        return sent(s);
    turn = next_piece(d);
    if (turn != POP3_AGAIN)
        return turn;
    return pop3_pace(s, 1 + (int32_t)(run.len / POP3_LEND_RATE));
}

enum pop3_turn pop3_read_step(struct session_pop3 *s)
{
    struct pop3_drop *d = s->drop;

    switch (d->read.at) {
    case READ_SUMMARY:
        d->read.at = READ_BEGIN;
        return get_summary(d, &d->messages[d->cursor]);
    case READ_BEGIN:
        return begin_body(s);
    case READ_SEND:
        return send_piece(s);
    }
    return POP3_AGAIN;
}

/* --- beginning ---------------------------------------------------------------------- */

/* Of a small message a look at every octet is cheaper than a read of its summary. */
static void begin_read(struct session_pop3 *s, const struct pop3_cmd *cmd)
{
    struct pop3_drop *d = s->drop;

    d->read = (struct pop3_read){
        .at = d->messages[d->cursor].size > POP3_SCAN_OCTETS ? READ_SUMMARY : READ_BEGIN,
        .top = cmd->verb == POP3_VERB_TOP,
        .lines.lines_left = cmd->lines,
    };
    s->mode = POP3_MODE_READ;
}

void pop3_begin(struct session_pop3 *s, const struct pop3_cmd *cmd)
{
    struct pop3_drop *d = s->drop;

    if (cmd->message > d->count) {
        pop3_say(s, POP3_REPLY_NO_MESSAGE);
        return;
    }
    if (cmd->message && d->messages[cmd->message - 1].deleted) {
        pop3_say(s, POP3_REPLY_GONE);
        return;
    }
    d->verb = cmd->verb;
    d->single = cmd->message != 0;
    d->cursor = cmd->message ? cmd->message - 1 : 0;
    if (cmd->verb == POP3_VERB_RETR || cmd->verb == POP3_VERB_TOP)
        begin_read(s, cmd);
    else if (cmd->verb == POP3_VERB_UIDL)
        begin_list(s);
    else
        s->mode = POP3_MODE_SIZE;
}
